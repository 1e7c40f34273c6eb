"""Stopping and going on gives the bits of a run that was never stopped."""

import random
import shutil
import signal
import time
import unittest

import harness as h
import tapunit

EPOCHS = 6
STEPS = 24  # 11 images, 2 for validation: 4 batches of 2 an epoch
MORE = ["--val-fraction", "0.2", "--augment", "flip", "--lr-policy", "cosine", "--save-every", 2]


def final(run):
    return h.read_safetensors(run / "checkpoints/last.safetensors")[1]


def losses(run):
    return [(e["epoch"], e["step"], e["loss"], e["lr"]) for e in h.log_events(run)
            if e["event"] == "step"]


def logged(run, event):
    try:
        return (run / "log.jsonl").read_text().count(f'"event":"{event}"')
    except FileNotFoundError:
        return -1


def steps_logged(run):
    return logged(run, "step")


class Resume(h.Case):
    @classmethod
    def setUpClass(cls):
        cls.keep = h.Case()
        cls.keep.setUp()
        cls.data = h.make_dataset(cls.keep.tmp / "d", count=11)
        cls.straight = cls.keep.tmp / "straight"
        cls.result = h.run(*cls.args(cls.straight), "--quiet")

    @classmethod
    def tearDownClass(cls):
        cls.keep.doCleanups()

    @classmethod
    def args(cls, out, *more):
        return h.train_args(cls.data, out, "--epochs", EPOCHS, *MORE, *more)

    def setUp(self):
        super().setUp()
        self.assertEqual(self.result.code, h.OK, str(self.result))

    def assert_same_as_straight(self, run):
        want, found = final(self.straight), final(run)
        self.assertEqual(list(want), list(found))
        for name in want:
            self.assertEqual(want[name], found[name], f"{name} differs")
        self.assertEqual(losses(self.straight), losses(run))
        best = "checkpoints/best.safetensors"
        self.assertEqual(h.read_safetensors(self.straight / best)[1],
                         h.read_safetensors(run / best)[1])

    def kill_and_resume(self, sig, seed, *more, kills=3):
        """Stop the run at random moments, going on each time, then let it end."""
        rng = random.Random(seed)
        run = self.tmp / "run"
        command, stopped = self.args(run, *more, "--quiet"), 0
        for target in sorted(rng.sample(range(1, STEPS), kills)):
            # Who is asked to stop is to know by then what that means. SIGKILL may come before,
            # and cuts the log.
            begun = -1 if sig == signal.SIGKILL else max(0, logged(run, "start"))
            p = h.start(*command)
            self.assertTrue(h.wait_for(lambda: steps_logged(run) >= target and
                                       logged(run, "start") > begun, p))
            # Any moment of a step, of validation, of saving.
            time.sleep(rng.uniform(0, 0.4))
            code = h.kill(p, sig)
            stopped += code != h.OK
            self.assertIn(code, (h.OK, -sig if sig == signal.SIGKILL else h.INTERRUPTED))
            command = ["train", "--resume", run, *more, "--quiet"]
        self.assertGreater(stopped, 0)
        r = h.run("train", "--resume", run, *more, "--quiet")
        self.assertEqual(r.code, h.OK, str(r))
        self.assert_same_as_straight(run)

    def test_sigkill_at_random_moments(self):
        for seed in range(3):
            with self.subTest(seed=seed):
                shutil.rmtree(self.tmp / "run", ignore_errors=True)
                self.kill_and_resume(signal.SIGKILL, seed)

    def test_sigkill_with_checkpoints_within_epochs(self):
        self.kill_and_resume(signal.SIGKILL, 11, "--save-steps", 1)

    def test_sigint_finishes_the_step_and_saves(self):
        for seed in range(2):
            with self.subTest(seed=seed):
                shutil.rmtree(self.tmp / "run", ignore_errors=True)
                self.kill_and_resume(signal.SIGINT, 100 + seed)

    def test_sigterm_is_like_sigint(self):
        self.kill_and_resume(signal.SIGTERM, 200, kills=1)

    def test_max_steps_in_parts(self):
        run = self.tmp / "run"
        self.ok(*self.args(run, "--max-steps", 0), "--quiet")
        for steps in (1, 6, 7, 13):
            self.ok("train", "--resume", run, "--max-steps", steps, "--quiet")
            self.assertEqual(len(losses(run)), steps)
        self.ok("train", "--resume", run, "--max-steps", "-1", "--quiet")
        self.assert_same_as_straight(run)

    def test_resuming_a_finished_run_changes_nothing(self):
        run = self.tmp / "run"
        shutil.copytree(self.straight, run)
        self.ok("train", "--resume", run, "--quiet")
        self.assert_same_as_straight(run)

    def test_adam_state_survives(self):
        more = ["--optimizer", "adam", "--lr", "0.001", "--arch", "fcn32s"]
        self.ok(*self.args(self.tmp / "a", *more, "--max-steps", 6), "--quiet")
        self.ok(*self.args(self.tmp / "b", *more, "--max-steps", 2), "--quiet")
        self.ok("train", "--resume", self.tmp / "b", "--max-steps", 6, "--quiet")
        self.assertEqual(final(self.tmp / "a"), final(self.tmp / "b"))

    def test_more_epochs_than_planned(self):
        run = self.tmp / "run"
        self.ok(*self.args(run, "--lr-policy", "constant", "--epochs", 1), "--quiet")
        self.ok("train", "--resume", run, "--epochs", 2, "--quiet")
        self.ok(*self.args(self.tmp / "two", "--lr-policy", "constant", "--epochs", 2), "--quiet")
        self.assertEqual(final(run), final(self.tmp / "two"))

    def test_the_log_is_cut_at_the_checkpoint(self):
        run = self.tmp / "run"
        self.ok(*self.args(run, "--max-steps", 4), "--quiet")
        with open(run / "log.jsonl", "a") as f:
            f.write('{"event":"step","epoch":0,"step":5,"loss":9')  # what a kill leaves behind
        self.ok("train", "--resume", run, "--max-steps", "-1", "--quiet")
        self.assert_same_as_straight(run)


class Wrong(h.Case):
    def test_nothing_to_resume(self):
        self.fails(h.BAD_INPUT, [self.tmp / "none"], "train", "--resume", self.tmp / "none")

    def test_missing_checkpoint(self):
        run = self.tmp / "run"
        (run / "checkpoints").mkdir(parents=True)
        self.fails(h.BAD_INPUT, ["last.safetensors"], "train", "--resume", run)


if __name__ == "__main__":
    tapunit.main()
