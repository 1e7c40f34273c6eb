"""--profile: what the timeline holds, that it changes nothing, and that it is always whole."""

import json
import math
import os
import signal
import time
import unittest

import harness as h
import tapunit

HOST, DEVICE = 1, 2
COMPUTE = 1
SLACK_US = 200.0  # the device's clock is known to a few us; the host may be busy


def bits(path):
    return {name: data for name, (_, _, data) in h.read_safetensors(path)[1].items()}


class Trace:
    """The spans of a file, which must be whole."""

    def __init__(self, path):
        self.json = json.loads(path.read_text())
        self.spans = [e for e in self.json["traceEvents"] if e["ph"] == "X"]
        self.rows = {(e["pid"], e["tid"]): e["args"]["name"] for e in self.json["traceEvents"]
                     if e["name"] == "thread_name"}

    def of(self, **want):
        return [e for e in self.spans if all(e.get(k) == v for k, v in want.items())]


class Profile(h.Case):
    def profiled(self, *args, code=h.OK):
        """Run args with --profile; returns the trace and the run's wall time in us."""
        path = self.tmp / "trace.json"
        start = time.monotonic()
        r = h.run(*args, "--profile", path, "--quiet")
        wall = 1e6 * (time.monotonic() - start)
        self.assertEqual(r.code, code, str(r))
        self.assertEqual([p.name for p in self.tmp.iterdir() if "tmp" in p.name], [])
        trace = Trace(path)
        for e in trace.spans:
            self.assertGreaterEqual(e["dur"], 0, e)
            self.assertGreaterEqual(e["ts"], -SLACK_US, e)
            self.assertLessEqual(e["ts"] + e["dur"], wall, e)
            self.assertIn((e["pid"], e["tid"]), trace.rows)
        return trace

    def assert_in_turn(self, spans):
        """Commands of one queue come one after the other."""
        spans = sorted(spans, key=lambda e: e["ts"])
        for a, b in zip(spans, spans[1:]):
            self.assertLessEqual(a["ts"] + a["dur"], b["ts"] + 0.01, (a, b))


class Train(Profile):
    def test_two_steps(self):
        data = h.make_dataset(self.tmp / "d", count=6)
        args = ["--max-steps", 2, "--val", data]
        self.ok(*h.train_args(data, self.tmp / "plain", *args), "--quiet")
        t = self.profiled(*h.train_args(data, self.tmp / "run", *args))
        last = "checkpoints/last.safetensors"
        self.assertEqual(bits(self.tmp / "plain" / last), bits(self.tmp / "run" / last))

        kernels = t.of(cat="kernel")
        layers = {e["args"]["layer"] for e in kernels if "args" in e}
        self.assertLessEqual({"conv1_1", "conv5_2", "pool5", "deconv1", "bn5", "classifier",
                              "loss", "update"}, layers)
        passes = {e["args"]["pass"] for e in kernels if e["args"]["layer"] == "conv2_1"}
        self.assertLessEqual({"forward"}, passes)
        self.assertGreaterEqual(len(passes), 2, passes)
        self.assertEqual({e["tid"] for e in kernels}, {COMPUTE})
        devices = self.ok("devices", "--json", "--quiet").events
        shared = next(d for d in devices if d["chosen"])["unified_memory"]
        uploads = ["batch in place"] if shared else ["upload images", "upload labels"]
        for name in uploads + ["read loss"]:
            self.assertEqual(len(t.of(name=name, cat="transfer")), 2, name)
        for name in ["step", "enqueue step"]:
            self.assertEqual(len(t.of(name=name, pid=HOST)), 2, name)
        for name in ["build kernels", "wait for the device", "write checkpoint"]:
            self.assertGreaterEqual(len(t.of(name=name, pid=HOST)), 1, name)
        decoded = t.of(name="decode image")
        self.assertGreaterEqual(len(decoded), 4)
        for e in decoded:
            self.assertRegex(t.rows[HOST, e["tid"]], r"^loader \d+$")
        self.assertEqual(t.json["otherData"]["events_left_out"], 0)

        # Rows line up: the steps' commands run between enqueueing and the end of the wait.
        queue = t.of(pid=DEVICE, tid=COMPUTE)
        self.assert_in_turn(queue)
        begin = t.of(name="enqueue step")[0]["ts"]
        end = max(e["ts"] + e["dur"] for e in t.of(name="step"))
        of_steps = [e for e in kernels if "args" in e]
        self.assertGreaterEqual(min(e["ts"] for e in of_steps), begin - SLACK_US)
        self.assertLessEqual(max(e["ts"] + e["dur"] for e in of_steps), end + SLACK_US)
        self.assertLessEqual(sum(e["dur"] for e in of_steps),
                             sum(e["dur"] for e in t.of(name="step")) + SLACK_US)

    def test_evaluation_is_shown(self):
        data = h.make_dataset(self.tmp / "d", count=4)
        t = self.profiled(*h.train_args(data, self.tmp / "run", "--val", data))
        self.assertEqual(len(t.of(name="evaluate")), 1)
        self.assertEqual(len(t.of(name="judge image")), 4)
        self.assertGreaterEqual(len(t.of(name="read logits", cat="transfer")), 2)

    def test_interrupted(self):
        data = h.make_dataset(self.tmp / "d", count=4)
        run, path = self.tmp / "run", self.tmp / "trace.json"
        p = h.start(*h.train_args(data, run, "--epochs", 10000, "--save-every", 0),
                    "--profile", path)
        try:
            log = run / "log.jsonl"
            self.assertTrue(h.wait_for(lambda: log.exists() and '"event":"step"' in log.read_text(), p))
            self.assertEqual(h.kill(p, signal.SIGINT), h.INTERRUPTED)
        finally:
            p.kill()
            p.wait()
        t = Trace(path)
        self.assertGreaterEqual(len(t.of(name="step")), 1)
        self.assertGreater(len(t.of(cat="kernel")), 10)

    def test_failed(self):
        data = h.make_dataset(self.tmp / "d", count=4)
        broken = data / "images" / "p3.png"
        broken.write_bytes(broken.read_bytes()[:-40])
        t = self.profiled(*h.train_args(data, self.tmp / "run", "--no-shuffle"),
                          code=h.BAD_INPUT)
        self.assertGreater(len(t.of(cat="kernel")), 10)

    def test_resumed(self):
        data = h.make_dataset(self.tmp / "d", count=4)
        run = self.tmp / "run"
        self.ok(*h.train_args(data, run, "--max-steps", 1), "--quiet")
        t = self.profiled("train", "--resume", run, "--max-steps", 2)
        self.assertEqual(len(t.of(name="step")), 1)

    def test_file_that_cannot_be_written(self):
        data = h.make_dataset(self.tmp / "d", count=2)
        for path in [self.tmp / "nowhere" / "t.json", self.tmp, "/dev/null"]:
            with self.subTest(path=path):
                self.fails(h.USAGE, ["--profile", path],
                           *h.train_args(data, self.tmp / "run"), "--profile", path)
                self.assertFalse((self.tmp / "run").exists())
        self.assertTrue(os.path.exists("/dev/null"))


class Others(Profile):
    def test_eval_and_predict(self):
        data = h.make_dataset(self.tmp / "d", count=3)
        self.ok(*h.train_args(data, self.tmp / "run", "--max-steps", 0), "--quiet")
        last = self.tmp / "run/checkpoints/last.safetensors"
        t = self.profiled("eval", last, "--data", data)
        self.assertEqual(len(t.of(name="judge image")), 3)
        self.assertTrue(t.of(name="read logits"))
        t = self.profiled("predict", last, data / "images", "--out", self.tmp / "out")
        self.assertEqual(len(t.of(name="write mask")), 3)
        self.assertTrue(t.of(cat="kernel"))


class Bench(Profile):
    ARGS = ["bench", "--backbone", "vgg11", "--size", "32x32", "--batch", "1", "--steps", "2"]

    def bench(self, *more):
        return self.ok(*self.ARGS, "--json", *more).events[0]

    def test_figures(self):
        found = self.bench()
        self.assertEqual(set(found["peak"]), {"gflops", "gbps", "launch_us", "upload_gbps",
                                              "download_gbps", "cache_gbps"})
        for name, value in found["peak"].items():
            self.assertTrue(0 < value < 1e6 and math.isfinite(value), name)
        self.assertTrue(0 <= found["launch_share"] < 1, found["launch_share"])
        self.assertEqual(len(found["train_step_ms_all"]), 2)
        layers = {layer["name"]: layer for layer in found["layers"]}
        for layer in layers.values():
            self.assertGreater(layer["forward_ms"], 0, layer)
            self.assertGreater(layer["backward_ms"], 0, layer)
            parts = {p["pass"]: p["ms"] for p in layer["passes"]}
            self.assertAlmostEqual(parts.pop("forward"), layer["forward_ms"], places=6)
            self.assertAlmostEqual(sum(parts.values()) + layer["backward_rest_ms"],
                                   layer["backward_ms"], places=6)
        first = {p["pass"] for p in layers["conv1_1"]["passes"]}
        self.assertEqual(first, {"forward", "weight gradient"})  # nobody wants the images'
        self.assertEqual([p["pass"] for p in layers["pool1"]["passes"]], ["forward"])
        p = layers["deconv1"]["passes"][0]
        self.assertAlmostEqual(p["of_peak"] * found["peak"]["gflops"], p["gflops"], places=4)

    def test_passes_are_told_apart(self):
        for layer in self.bench()["layers"]:
            if layer["kind"] in ("conv2d", "deconv2d"):
                for p in layer["passes"]:
                    self.assertGreater(p["ms"], 0, (layer["name"], p))

    def test_library_calls_are_timed(self):
        path = self.tmp / "t.json"
        self.bench("--gemm", "clblast", "--profile", path)
        t = Trace(path)
        calls = [e for e in t.of(cat="kernel") if e["args"]["what"] == "clblast_sgemm"]
        self.assertTrue(calls)
        self.assertIn("deconv1", {e["args"]["layer"] for e in calls})
        self.assert_in_turn(t.of(pid=DEVICE, tid=COMPUTE))


if __name__ == "__main__":
    tapunit.main()
