"""Manners on a laptop: waiting on battery or hot, and cutting kernels, change nothing else."""

import signal
import threading
import time
import unittest

import harness as h
import tapunit


def put(folder, **files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(f"{text}\n")


def paused(run):
    log = run / "log.jsonl"
    return log.exists() and '"event":"pause"' in log.read_text()


class Pause(h.Case):
    def setUp(self):
        super().setUp()
        self.sysfs = self.tmp / "sys"
        self.mains = self.sysfs / "class/power_supply/AC"
        self.zone = self.sysfs / "class/thermal/thermal_zone0"
        self.data = h.make_dataset(self.tmp / "data", count=4)
        self.env = {"CLFCN_SYSFS": str(self.sysfs)}

    def in_pause(self, name, *actions):
        """Do one action after the other, a second and more apart, once the run waits."""
        def act():
            end = time.monotonic() + h.TIMEOUT
            while not paused(self.tmp / name) and time.monotonic() < end:
                time.sleep(0.02)
            for action in actions:
                time.sleep(1.3)
                action()
        thread = threading.Thread(target=act)
        thread.start()
        self.addCleanup(thread.join)

    def train(self, name, *more):
        return self.ok(*h.train_args(self.data, self.tmp / name, *more), env=self.env)

    def events(self, name, kind):
        return [e for e in h.log_events(self.tmp / name) if e["event"] == kind]

    def assert_paused(self, name, reason):
        pauses, resumes = self.events(name, "pause"), self.events(name, "resume")
        self.assertEqual([e["reason"] for e in pauses + resumes], [reason, reason])
        self.assertGreater(resumes[0]["seconds"], 0.5)
        # The waiting counts as no step's time.
        steps = self.events(name, "step")
        self.assertLess(self.events(name, "epoch")[0]["seconds"],
                        sum(e["ms"] for e in steps) / 1e3 + 0.5 * resumes[0]["seconds"])

    def test_waits_for_mains(self):
        put(self.mains, type="Mains", online=0)
        self.in_pause("run", lambda: put(self.mains, online=1))
        r = self.train("run", "--pause-on-battery")
        self.assertIn("paused: on battery; goes on when power is back", r.err + r.out)
        self.assert_paused("run", "battery")
        self.train("straight")
        last = "checkpoints/last.safetensors"
        self.assertEqual(h.read_safetensors(self.tmp / "run" / last)[1],
                         h.read_safetensors(self.tmp / "straight" / last)[1])
        self.ok("report", self.tmp / "run")

    def test_waits_until_it_is_cool(self):
        put(self.zone, temp=91000)
        self.in_pause("run", lambda: put(self.zone, temp=86000),  # not cool enough
                      lambda: put(self.zone, temp=84000))
        r = self.train("run", "--max-temp", 90)
        self.assertIn("paused: 91 degrees Celsius, above --max-temp 90; goes on at 85",
                      r.err + r.out)
        self.assert_paused("run", "temperature")
        self.assertEqual(self.events("run", "pause")[0]["celsius"], 91)
        self.assertGreater(self.events("run", "resume")[0]["seconds"], 2)

    def test_interrupt_ends_the_waiting(self):
        put(self.mains, type="Mains", online=0)
        run = self.tmp / "run"
        p = h.start(*h.train_args(self.data, run, "--pause-on-battery"), env=self.env)
        self.assertTrue(h.wait_for(lambda: paused(run), p))
        time.sleep(0.3)
        begin = time.monotonic()
        self.assertEqual(h.kill(p, signal.SIGINT), h.INTERRUPTED)
        self.assertLess(time.monotonic() - begin, 60)  # on a busy machine
        put(self.mains, online=1)
        self.ok("train", "--resume", run, "--pause-on-battery", env=self.env)
        self.assertEqual(self.events("run", "end")[-1]["reason"], "completed")

    def test_missing_sensors_are_told(self):
        self.sysfs.mkdir()
        for option in (["--pause-on-battery"], ["--max-temp", "80"]):
            self.fails(h.USAGE, [option[0], "leave the option out"],
                       *h.train_args(self.data, self.tmp / "run", *option), env=self.env)
        self.assertFalse((self.tmp / "run").exists())


class Slices(h.Case):
    def test_a_limit_leaves_the_bits_alone(self):
        data = h.make_dataset(self.tmp / "data", count=4)
        found = []
        for name, ms in ("whole", 0), ("sliced", 0.05):
            self.ok(*h.train_args(data, self.tmp / name, "--max-kernel-ms", ms))
            found.append(h.read_safetensors(
                self.tmp / name / "checkpoints/last.safetensors")[1])
        self.assertEqual(*found)

    def test_a_limit_below_zero_is_refused(self):
        data = h.make_dataset(self.tmp / "data", count=4)
        self.fails(h.USAGE, ["--max-kernel-ms"],
                   *h.train_args(data, self.tmp / "run"), "--max-kernel-ms=-3")


if __name__ == "__main__":
    tapunit.main()
