"""--verify-every finds what a device computes wrongly, and NaN is traced to where it begins."""

import os
import re
import shutil
import struct
import sys
import tempfile
import unittest
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(TESTS), str(TESTS / "cli")]

import harness as h  # noqa: E402
import tapunit  # noqa: E402

LAYER = os.environ.get("CLFCN_FAULT_LAYER", "")
# One picture a batch, so that in most layers all elements are compared.
NET = ["--arch", "fcns", "--backbone", "vgg11", "--size", "32x32", "--batch", "1"]
STEPS = 40
# Launched once for each of five layers, from the first one on or from the last: a kernel and its
# result's argument.
FIVE = {("maxpool", "forward"): ("pool_forward", 1, False),
        ("maxpool", "backward"): ("pool_backward", 2, True),
        ("batchnorm", "forward"): ("bn_apply", 5, False),
        ("batchnorm", "backward"): ("bn_grad_apply", 6, True)}


def tensors(run):
    return h.read_safetensors(Path(run) / "checkpoints" / "last.safetensors")[1]


class Verify(h.Case):
    @classmethod
    def setUpClass(cls):
        cls.root = Path(tempfile.mkdtemp(prefix="clfcn-verify-"))
        cls.addClassCleanup(shutil.rmtree, cls.root, ignore_errors=True)
        cls.data = h.make_dataset(cls.root / "data", count=STEPS + 2)  # all in one epoch
        # A cache of its own, since what a spoiled kernel leaves in it would be held against the
        # device. Kernels are certified here, and not where their launches are counted.
        cls.cache = cls.root / "cache"
        if os.environ.get("CLFCN_CACHE_DIR") and os.path.isdir(os.environ["CLFCN_CACHE_DIR"]):
            shutil.copytree(os.environ["CLFCN_CACHE_DIR"], cls.cache)
        done = cls.train(cls.root / "right", "--verify-every", 1, "--max-steps", STEPS)
        assert done.code == h.OK, done
        cls.events = [e for e in h.log_events(cls.root / "right") if e["event"] == "verify"]

    def setUp(self):
        super().setUp()
        self.stamp = self.tmp / "stamp"

    @classmethod
    def train(cls, out, *args, env=None):
        return h.run("train", "--data", cls.data, *NET, "--val-fraction", 0, "--epochs", 20,
                     "--quiet", "--out", out, *args, env={"CLFCN_CACHE_DIR": str(cls.cache), **(env or {})})

    def faulty(self, fault, *args):
        """A run in which a kernel's result is spoiled: CALL ARG ELEMENT ADD."""
        if not os.path.exists(LAYER):
            self.skipTest("no layer")
        env = {"OPENCL_LAYERS": LAYER, "CLFCN_FAULT": f"p {fault}",
               "CLFCN_FAULT_STAMP": str(self.stamp)}
        run = self.tmp / re.sub(r"\W", "-", fault)
        done = self.train(run, *args, env=env)
        if not self.stamp.exists():
            self.skipTest("this OpenCL loader knows no layers")
        return done, run

    def log(self, run, kind):
        return [e for e in h.log_events(run) if e["event"] == kind]


class Audit(Verify):
    def test_what_is_right_is_not_doubted(self):
        self.assertEqual([e["step"] for e in self.events], list(range(1, STEPS + 1)))
        for e in self.events:
            self.assertTrue(e["correct"])
            self.assertGreater(e["compared"], 0)
            self.assertLessEqual(e["apart"], e["tolerance"] / 5, e)
        self.assertGreater(len({(e["layer"], e["pass"]) for e in self.events}), 20)

    def test_same_bits_and_the_same_choice_when_resumed(self):
        run = self.tmp / "run"
        self.assertEqual(self.train(run, "--max-steps", 12).code, h.OK)
        plain = tensors(run)
        run = self.tmp / "parts"
        self.assertEqual(self.train(run, "--verify-every", 3, "--max-steps", 5).code, h.OK)
        r = h.run("train", "--resume", run, "--max-steps", 12, "--quiet")
        self.assertEqual(r.code, h.OK, str(r))
        self.assertEqual(tensors(run), plain)
        wanted = [(e["step"], e["layer"], e["pass"]) for e in self.events[:12] if e["step"] % 3 == 0]
        self.assertEqual([(e["step"], e["layer"], e["pass"]) for e in self.log(run, "verify")],
                         wanted)

    def test_what_is_wrong_is_named(self):
        for fault, kinds, passes, name in [
                ("winograd_conv 0 4 0 10", {"conv2d", "deconv2d"}, {"forward", "input gradient"},
                 None),
                ("pool_forward 0 1 0 10", {"maxpool"}, {"forward"}, "output"),
                ("pool_backward 0 2 0 0.01", {"maxpool"}, {"backward"}, "input gradient"),
                ("bn_finish 0 1 0 1", {"batchnorm"}, {"forward"}, "mean and 1/deviation"),
                ("bn_apply 0 5 0 1", {"batchnorm"}, {"forward"}, "output"),
                ("bn_grad_finish 0 1 0 1", {"batchnorm"}, {"backward"}, "weight gradient"),
                ("bn_grad_apply 0 6 0 0.01", {"batchnorm"}, {"backward"}, "input gradient")]:
            with self.subTest(fault=fault):
                r, run = self.faulty(fault, "--verify-every", 1, "--max-restarts", 3)
                self.assert_one_error(r, h.FAILED, "float64", "again when this is repeated",
                                      "last checkpoint")
                wrong = self.log(run, "verify")[-1]
                self.assertFalse(wrong["correct"])
                self.assertIn(wrong["kind"], kinds)
                self.assertIn(wrong["pass"], passes)
                self.assertEqual(wrong["tensor"], name or wrong["tensor"])
                self.assertEqual(set(wrong["index"]), {0})
                added = float(fault.split()[-1])
                self.assertAlmostEqual(wrong["device_value"] - wrong["reference"], added,
                                       delta=0.01 * added)
                self.assertEqual(wrong["repeated"], "wrong")
                self.assertIn(fault.split()[0], wrong["kernels"])
                self.assertIn(f"step {wrong['step']}: layer '{wrong['layer']}', {wrong['pass']}", r.err)
                self.assertEqual(self.log(run, "end")[0]["reason"], "failed")
                # The state of the last good checkpoint is still there.
                r = h.run("info", run / "checkpoints" / "last.safetensors")
                self.assertEqual(r.code, h.OK, str(r))

    def test_once_wrong_costs_a_restart_and_no_bit(self):
        # Later than the launch of that number in the process that goes on.
        seen = next(e for e in self.events if e["step"] > 3 and (e["kind"], e["pass"]) in FIVE)
        kernel, arg, from_last = FIVE[seen["kind"], seen["pass"]]
        layer = int(seen["layer"][-1])
        call = 5 * (seen["step"] - 1) + (6 - layer if from_last else layer)
        limits = ["--save-steps", 1, "--max-steps", seen["step"] + 1]
        plain = self.tmp / "plain"
        self.assertEqual(self.train(plain, *limits).code, h.OK)
        fault = f"{kernel} {call} {arg} 0 1"
        r, run = self.faulty(fault, "--verify-every", 1, "--max-restarts", 1, *limits)
        self.assertEqual(r.code, h.OK, str(r))
        self.assert_one_error(r, h.OK, f"step {seen['step']}: layer '{seen['layer']}', {seen['pass']}",
                              "not when this is repeated", "goes on from the last checkpoint")
        self.assertEqual([e["step"] for e in self.log(run, "restart")], [seen["step"] - 1])
        self.assertIn("not when this is repeated", self.log(run, "restart")[0]["reason"])
        self.assertEqual(tensors(run), tensors(plain))
        shutil.rmtree(run)
        r, _ = self.faulty(fault, "--verify-every", 1, *limits)
        self.assert_one_error(r, h.FAILED, "not when this is repeated")

    def test_the_report(self):
        env = {"OPENCL_LAYERS": LAYER, "CLFCN_FAULT": "p pool_forward 0 1 0 10",
               "CLFCN_FAULT_STAMP": str(self.stamp), "CLFCN_CACHE_DIR": str(self.cache)}
        if not os.path.exists(LAYER):
            self.skipTest("no layer")
        r = h.run("train", "--data", self.data, *NET, "--val-fraction", 0, "--verify-every", 1,
                  "--out", self.tmp / "run", env=env)
        if not self.stamp.exists():
            self.skipTest("this OpenCL loader knows no layers")
        self.assertEqual(r.code, h.FAILED, str(r))
        report = r.out[r.out.index("The device computes wrongly"):]
        for text in ["(maxpool), forward: output [", "[0][0][0][0]  device", "float64",
                     "repeated    wrong", "pool_forward", "Portable", "driver", "tolerance"]:
            self.assertIn(text, report)

    def test_values(self):
        self.assert_one_error(self.train(self.tmp / "run", "--verify-every", -1), h.USAGE,
                              "--verify-every")


class NotFinite(Verify):
    def traced(self, r, run, cause, *words):
        self.assert_one_error(r, h.FAILED, "not finite at step", "last checkpoint", *words)
        event = self.log(run, "not-finite")[0]
        self.assertEqual(event["cause"], cause)
        return event

    def test_a_learning_rate_that_is_too_high(self):
        run = self.tmp / "run"
        r = self.train(run, "--lr", "1e30")
        e = self.traced(r, run, "too large", "step 2", "lower --lr (now 1e+30)",
                        "the first is layer 'conv")
        self.assertEqual((e["found_in_step"], e["pass"], e["tensor"]), (2, "forward", "output"))
        self.assertGreater(e["largest_weight"], 1e20)

    def test_weights_that_are_no_numbers(self):
        """Refused before a step is made of them."""
        start = self.tmp / "start"
        self.assertEqual(self.train(start, "--max-steps", 0).code, h.OK)
        data = bytearray((start / "checkpoints" / "last.safetensors").read_bytes())
        n = struct.unpack("<Q", data[:8])[0]
        at = 8 + n + h.json.loads(data[8:8 + n])["deconv2.weight"]["data_offsets"][0]
        data[at + 40:at + 44] = struct.pack("<f", float("nan"))
        bad = self.tmp / "bad.safetensors"
        bad.write_bytes(data)
        self.assert_one_error(self.train(self.tmp / "run", "--init", bad), h.BAD_INPUT, str(bad),
                              "'deconv2.weight' holds nan at element 10")

    def test_a_device_that_makes_them(self):
        for fault, layer, which, tensor, step, index in [
                ("pool_forward 0 1 1 nan", "pool1", "forward", "output", 1, [0, 0, 0, 1]),
                ("bn_grad_finish 0 1 3 nan", "bn5", "backward", "weight gradient", 1, [3]),
                ("winograd_filter 0 1 40 nan", "deconv5", "weight gradient", "weight gradient", 1,
                 [0, 4, 1, 1]),
                ("sgd 0 0 0 nan", "conv1_1", "update", "pretrained_net.features.0.weight", 1,
                 [0, 0, 0, 0])]:
            with self.subTest(fault=fault):
                r, run = self.faulty(fault, "--max-restarts", 2)
                e = self.traced(r, run, "device", f"'{layer}', {which}: {tensor}",
                                "the device computes wrongly")
                self.assertEqual((e["found_in_step"], e["index"]), (step, index))
                self.assertEqual("reference" in e, fault.split()[0] != "sgd")

    def test_one_that_does_so_once(self):
        fault = "pool_forward 11 1 1 nan"
        r, run = self.faulty(fault, "--max-steps", 6)
        e = self.traced(r, run, "not repeated", "step 3", "computed wrongly once")
        self.assertEqual(e["repeated_from"], 0)


if __name__ == "__main__":
    tapunit.main()
