"""Losses, class weights, ignored values, clipping, warm-up and early stopping of whole runs."""

import json
import math
import shutil
import struct
import unittest

import harness as h
import tapunit

LOSSES = ["bce", "ce", "dice", "focal"]
VAL = ["--val-fraction", "0.2"]
ALL = [*VAL, "--loss", "dice", "--class-weights", "auto", "--clip-grad", "0.05", "--warmup", 5,
       "--early-stop", 20, "--ignore", "300", "--augment", "flip", "--optimizer", "adam", "--lr",
       "0.001"]


def steps(run):
    return [(e["step"], e["loss"], e["lr"], e.get("grad_norm")) for e in h.log_events(run)
            if e["event"] == "step"]


def last(run):
    return h.read_safetensors(run / "checkpoints/last.safetensors")


def change_metadata(path, change):
    """Let change(metadata) edit what a checkpoint says of itself."""
    data = path.read_bytes()
    n = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + n])
    meta = header["__metadata__"]
    key = next(k for k, v in meta.items() if v.startswith("{"))
    inner = json.loads(meta[key])
    change(inner)
    meta[key] = json.dumps(inner)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + n:])


class Runs(h.Case):
    def setUp(self):
        super().setUp()
        self.data = h.make_dataset(self.tmp / "d", count=11)

    def train(self, out, *more):
        return self.ok(*h.train_args(self.data, self.tmp / out, *more), "--json", "--quiet")

    def test_every_loss_falls(self):
        for loss in LOSSES:
            with self.subTest(loss=loss):
                r = self.train(loss, "--loss", loss, "--epochs", 5, "--class-weights", "1,1.5",
                               "--clip-grad", "5")
                losses = [e["train_loss"] for e in r.of("epoch")]
                self.assertLess(losses[-1], 0.9 * losses[0], losses)
                self.ok("info", self.tmp / loss / "checkpoints/last.safetensors")

    def test_validation_loss_is_that_of_eval(self):
        for loss in LOSSES:
            with self.subTest(loss=loss):
                r = self.train(loss, "--loss", loss, *VAL, "--class-weights", "1,4", "--max-steps",
                               4)
                val = r.of("epoch")[0]["val_loss"]
                out = self.ok("eval", self.tmp / loss / "checkpoints/last.safetensors", "--data",
                              self.data, "--split", "val").out
                line = next(x for x in out.splitlines() if x.startswith("loss"))
                self.assertAlmostEqual(float(line.split()[1]), val, places=5)

    def test_weights_change_the_loss(self):
        def first(*more):
            return self.train("w" + "".join(map(str, more)), "--loss", "ce", "--max-steps", 1,
                              *more).of("step")[0]["loss"]
        plain = first()
        self.assertEqual(first("--class-weights", "none"), plain)
        self.assertEqual(first("--class-weights", "1,1"), plain)
        self.assertAlmostEqual(first("--class-weights", "3,3"), plain, places=5)
        self.assertGreater(abs(first("--class-weights", "1,9") - plain), 1e-4)

    def test_resuming_with_everything_gives_the_same_bits(self):
        args = ["--epochs", 4, *ALL]
        self.train("straight", *args)
        self.train("parts", *args, "--max-steps", 3)
        for n in (4, 9, -1):
            self.ok("train", "--resume", self.tmp / "parts", "--max-steps", n, "--quiet")
        straight, parts = self.tmp / "straight", self.tmp / "parts"
        self.assertEqual(last(straight)[1], last(parts)[1])
        self.assertEqual(steps(straight), steps(parts))
        rates = [s[2] for s in steps(straight)]
        for k in range(5):
            self.assertAlmostEqual(rates[k], 0.001 * (k + 1) / 5, places=12)
        self.assertEqual(rates[5:], [0.001] * len(rates[5:]))
        self.assertTrue(all(math.isfinite(s[3]) for s in steps(straight)))
        self.assertEqual(json.loads((straight / "config.json").read_text())["clip-grad"], 0.05)

    def test_weights_are_not_counted_anew(self):
        first = self.train("run", *ALL, "--max-steps", 1).of("start")[0]["class_weights"]
        for mask in (self.data / "masks").iterdir():  # all of one class
            mask.write_bytes(h.png_bytes(32, 32, [bytes(32) for _ in range(32)]))
        r = self.ok("train", "--resume", self.tmp / "run", "--max-steps", 2, "--json", "--quiet")
        self.assertEqual(r.of("start")[0]["class_weights"], first)
        self.assertNotEqual(first[0], first[1])

    def test_no_norm_without_clipping(self):
        r = self.train("run", "--max-steps", 1)
        self.assertNotIn("grad_norm", r.of("step")[0])
        self.assertNotIn("class_weights", r.of("start")[0])

    def test_early_stop(self):
        run = self.tmp / "run"
        more = ["--lr", "1e-12", *VAL, "--epochs", 30, "--early-stop", 2]
        r = self.ok(*h.train_args(self.data, run, *more), "--json")
        self.assertEqual(r.of("end")[0]["reason"], "early-stop")
        self.assertIn("stopped early", r.err)
        ious = [e["mean_iou"] for e in r.of("epoch")]
        self.assertLess(len(ious), 30)
        self.assertEqual(ious.index(max(ious)), len(ious) - 3)
        before = last(run)
        again = self.ok("train", "--resume", run)
        self.assertIn("--early-stop", again.err)
        self.assertEqual(last(run), before)
        self.assertEqual(len([e for e in h.log_events(run) if e["event"] == "epoch"]), len(ious))
        r = self.ok("train", "--resume", run, "--early-stop", 0, "--epochs", len(ious) + 1,
                    "--json")
        self.assertEqual(len(r.of("epoch")), 1)
        self.assertEqual(r.of("end")[0]["reason"], "completed")

    def test_runs_of_older_versions_go_on(self):
        run, new = self.tmp / "run", self.tmp / "new"
        self.train("run", "--epochs", 2, "--max-steps", 2)
        shutil.copytree(run, new)

        def forget(meta):
            for key in ("ignore", "focal-gamma", "class-weights", "clip-grad", "warmup",
                        "early-stop", "format", "own-split", "partial", "mem"):
                del meta["config"][key]
            del meta["state"]["class-weights"]
        change_metadata(run / "checkpoints/last.safetensors", forget)
        for folder in (run, new):
            self.ok("train", "--resume", folder, "--max-steps", "-1", "--quiet")
        self.assertEqual(last(run)[1], last(new)[1])


class Ignore(h.Case):
    def setUp(self):
        super().setUp()
        self.data = h.make_dataset(self.tmp / "d", count=6, classes="ground 0\nbox 255\n")
        mask = self.data / "masks/p1.png"
        rows = [bytes([7] * 16 + [0] * 16) for _ in range(32)]
        mask.write_bytes(h.png_bytes(32, 32, rows))

    def test_train_eval_and_data(self):
        run, data = self.tmp / "run", ["--data", self.data]
        self.fails(h.BAD_INPUT, ["p1.png", "value 7"],
                   *h.train_args(self.data, run, "--max-steps", 3))
        shutil.rmtree(run)
        self.ok(*h.train_args(self.data, run, "--max-steps", 3, "--ignore", "7"), "--quiet")
        ckpt = run / "checkpoints/last.safetensors"
        counted = 6 * 32 * 32 - 16 * 32
        for more in ([], ["--ignore", "5-7"]):
            r = self.ok("eval", ckpt, *data, *more, "--json")
            self.assertEqual(sum(map(sum, r.events[0]["confusion"])), counted)
        self.fails(h.BAD_INPUT, ["p1.png", "value 7"], "eval", ckpt, *data, "--ignore", "8")
        self.fails(h.BAD_INPUT, ["value 7"], "data", self.data)
        self.ok("data", self.data, "--ignore", "7")

    def test_a_class_is_not_ignored(self):
        run = self.tmp / "run"
        self.fails(h.USAGE, ["--ignore", "value 255", "'box'"],
                   *h.train_args(self.data, run, "--ignore", "7 250-255"))
        self.fails(h.USAGE, ["--ignore", "'x'"], "data", self.data, "--ignore", "x")
        self.assertFalse(run.exists())


class Wrong(h.Case):
    def test_one_line_each(self):
        data = h.make_dataset(self.tmp / "d")
        for words, more in [
                (["--class-weights", "3 numbers for 2 classes"], ["--class-weights", "1,2,3"]),
                (["--class-weights", "1,x"], ["--class-weights", "1,x"]),
                (["--class-weights", "above 0"], ["--class-weights", "0,0"]),
                (["--focal-gamma", "at least 0"], ["--focal-gamma=-1"]),
                (["--clip-grad", "at least 0"], ["--clip-grad=-1"]),
                (["--warmup"], ["--warmup=-1"]),
                (["--loss", "dice"], ["--loss", "dise"]),
                (["--early-stop", "--val"], ["--early-stop", "3"])]:
            with self.subTest(more=more):
                self.fails(h.USAGE, words, *h.train_args(data, self.tmp / "run", *more))

    def test_options_of_the_run_are_not_changed(self):
        data = h.make_dataset(self.tmp / "d")
        run = self.tmp / "run"
        self.ok(*h.train_args(data, run, "--max-steps", 0), "--quiet")
        for more in (["--warmup", 3], ["--clip-grad", 1], ["--class-weights", "auto"],
                     ["--ignore", "7"], ["--focal-gamma", 1]):
            self.fails(h.USAGE, [more[0], "--resume"], "train", "--resume", run, *more)


if __name__ == "__main__":
    tapunit.main()
