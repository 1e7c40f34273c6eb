"""clfcn info of what is no weights file: what bench printed, and run folders."""

import json
import unittest

import harness as h
import tapunit


def layer(name, forward, backward):
    return {"name": name, "kind": "conv2d", "forward_ms": forward, "backward_ms": backward,
            "passes": []}


def bench_run(**changes):
    """What bench --json prints, as far as info reads it."""
    run = {
        "device": "Card (Maker, 1.0)", "train_step_ms": 250.0, "infer_ms": 80.0,
        "net": {"arch": "fcns", "backbone": "vgg16", "width": 160, "height": 128, "batch": 4,
                "classes": 2},
        "options": {"loss": "bce", "optimizer": "sgd", "gemm": "auto", "steps": 5},
        "hardware": {"name": "Card", "platform": "Maker", "driver": "1.0"},
        "system": {"clfcn": "0.1.0", "date": "2026-11-23T10:00:00Z", "os": None, "cpu": None,
                   "cpus": 2},
        "train_spread": {"lowest_ms": 240.0, "highest_ms": 260.0, "relative": 0.01, "drift": 1.02,
                         "noisy": False},
        "infer_spread": {"lowest_ms": 79.0, "highest_ms": 90.0, "relative": 0.2, "drift": None,
                         "noisy": True},
        "first_step_s": 1.5, "device_bytes": 3 << 20, "noisy": True, "tuned": False,
        "before": {"gflops": 100.0}, "after": {"gflops": 101.0},
        "peak": {"gflops": 512.0, "gbps": 20.0, "cache_gbps": 50.0, "launch_us": 9.0},
        "correct": False, "left_out": ["products: 3 min"],
        "checks": {"passes": 40, "wrong": 2, "worst_error": 0.5, "worst_at": "conv3 forward",
                   "bound": 1e-4, "inference_error": 0.0, "training_repeats": True,
                   "inference_repeats": True},
        "layers": [layer("a", 1.0, 2.0), layer("b", 30.0, 60.0), layer("c", None, 4.0),
                   layer("d", 2.0, 3.0), layer("e", None, None), layer("f", 10.0, 10.0),
                   layer("g", 0.5, 0.5)],
    }
    run.update(changes)
    return run


class Bench(h.Case):
    def write(self, *runs):
        path = self.tmp / "here.json"
        path.write_text("".join(json.dumps(r) + "\n" for r in runs))
        return path

    def test_text(self):
        text = self.ok("info", self.write(bench_run())).out
        for words in ["Card", "1.0 of Maker", "fcns on vgg16, 160x128, batch 4, 2 classes",
                      "2026-11-23T10:00:00Z", "250 ms, 16.00 images/s (240 to 260, spread 1.0 %", "drift +2.0 %", "too noisy to trust", "3.00 MiB", "512 GFLOP/s",
                      "memory 20 GB/s", "WRONG, 38 of 40 passes within bounds",
                      "5.0e-01 (conv3 forward)", "not measured products: 3 min"]:
            self.assertIn(words, text)
        rows = [line.split() for line in text.split("slowest")[1].splitlines()[1:]]
        self.assertEqual([r[0] for r in rows], ["b", "f", "d", "c", "a"])
        self.assertEqual(rows[0][2:], ["30", "60", "73.2"])
        self.assertEqual(rows[3][2:4], ["-", "4"])

    def test_json(self):
        path = self.write(bench_run(), bench_run(train_step_ms=125.0, correct=True))
        first, second = self.ok("info", path, "--json").events
        self.assertEqual((first["device"], first["train"]["ms"], first["correct"]),
                         ("Card", 250.0, False))
        self.assertEqual((second["train"]["ms"], second["correct"]), (125.0, True))
        self.assertEqual([layer["name"] for layer in first["slowest"]], ["b", "f", "d", "c", "a"])

    def test_run_that_failed_and_one_that_was_too_slow(self):
        failed = {k: v for k, v in bench_run(error="out of memory").items()
                  if k in ("device", "net", "options", "hardware", "system", "error")}
        slow = bench_run(train_step_ms=None, infer_ms=None, correct=None, checks=None)
        text = self.ok("info", self.write(failed, slow)).out
        self.assertIn("failed      out of memory", text)
        self.assertIn("training    not measured", text)
        self.assertIn("results     not verified", text)

    def test_damaged(self):
        self.assert_one_error(h.run("info", self.write(bench_run(device_bytes="many"))),
                              h.BAD_INPUT, "here.json", "device_bytes")

    def test_what_bench_prints(self):
        path = self.tmp / "real.json"
        r = self.ok("bench", *h.NET, "--steps", 2, "--no-verify", "--json")
        path.write_text(r.out)
        info, = self.ok("info", path, "--json").events
        self.assertAlmostEqual(info["train"]["ms"], r.events[0]["train_step_ms"], places=3)
        self.assertEqual(len(info["slowest"]), 5)


class Run(h.Case):
    def test_by_its_folder_and_its_files(self):
        data = h.make_dataset(self.tmp / "d", count=6)
        run = self.tmp / "run"
        self.ok(*h.train_args(data, run, "--epochs", 2, "--val-fraction", 0.34), "--quiet")
        last = [e for e in h.log_events(run) if e["event"] == "epoch"][-1]
        for path in [run, f"{run}/", run / "config.json", run / "log.jsonl"]:
            with self.subTest(path=path):
                text = self.ok("info", path).out
                self.assertIn("progress    2 of 2 epochs, 4 steps", text)
                self.assertIn(f"mean IoU {last['mean_iou']:.4f}", text)
        self.assertIn("progress", self.ok("info", "log.jsonl", cwd=run).out)
        info, = self.ok("info", run, "--json").events
        self.assertEqual((info["epoch"], info["epochs"], info["step"], info["arch"]),
                         (2, 2, 4, "fcns"))
        self.assertAlmostEqual(info["train_loss"], last["train_loss"], places=6)

    def test_that_has_no_epoch_yet(self):
        data = h.make_dataset(self.tmp / "d", count=6)
        self.ok(*h.train_args(data, self.tmp / "run", "--max-steps", 0), "--quiet")
        self.assertIn("progress    0 of 1 epochs, 0 steps", self.ok("info", self.tmp / "run").out)

    def test_that_is_none(self):
        self.assert_one_error(h.run("info", self.tmp), h.BAD_INPUT, "no run folder")


if __name__ == "__main__":
    tapunit.main()
