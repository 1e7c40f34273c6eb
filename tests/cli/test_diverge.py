"""clfcn diverge: two devices that agree, and one that computes a wrong value somewhere."""

import os
import unittest

import harness as h
import tapunit

NET = ["--backbone", "vgg11", "--size", "32x32", "--batch", "2"]
PAIR = ["--device", "pthread", "--device", "basic"]
ENV = {"POCL_DEVICES": "pthread basic"}
LAYER = os.environ.get("CLFCN_FAULT_LAYER", "")


def diverge(*args, devices=PAIR, env=None):
    return h.run("diverge", *devices, *NET, "--quiet", *args, env={**ENV, **(env or {})})


class Agree(h.Case):
    def test_two_devices_agree(self):
        for options in ([], ["--loss", "ce", "--optimizer", "adamw", "--arch", "fcn16s",
                             "--gemm", "clblast"]):
            with self.subTest(options=options):
                r = diverge("--json", "--steps", 2, *options)
                self.assertEqual(r.code, h.OK, str(r))
                o = r.events[0]
                self.assertFalse(o["diverged"])
                self.assertIsNone(o["first"])
                self.assertTrue(all(row["beyond"] == 0 for row in o["rows"]))
                self.assertEqual([d["name"].split("-")[0] for d in o["devices"]],
                                 ["pthread", "basic"])

    def test_every_tensor_of_a_step_is_compared_once(self):
        rows = diverge("--json", "--steps", 1).events[0]["rows"]
        names = [(r["layer"], r["pass"], r["tensor"]) for r in rows]
        self.assertEqual(len(names), len(set(names)))
        for name in [("parameters", "start", "bn1.running_var"),
                     ("input", "upload", "images"),
                     ("conv1_1", "forward", "output"),
                     ("bn3", "forward", "mean and 1/deviation"),
                     ("bn3", "forward", "running_mean"),
                     ("loss", "loss", "loss"),
                     ("loss", "loss", "logits gradient"),
                     ("bn3", "backward", "weight gradient"),
                     ("deconv2", "backward", "bias gradient"),
                     ("deconv2", "weight gradient", "weight gradient"),
                     ("deconv2", "input gradient", "input gradient"),
                     ("conv3_1", "backward", "masked output gradient"),
                     ("pool1", "backward", "input gradient"),
                     ("parameters", "update", "deconv1.weight"),
                     ("parameters", "update", "optim.momentum.deconv1.weight")]:
            self.assertIn(name, names)
        self.assertNotIn(("conv1_1", "input gradient", "input gradient"), names)

    def test_a_device_agrees_with_itself_bit_for_bit(self):
        for mode in ([], ["--free"]):
            with self.subTest(mode=mode):
                r = diverge("--json", "--tolerance", 0, *mode,
                            devices=["--device", "basic", "--device", "basic"])
                self.assertEqual(r.code, h.OK, str(r))
                o = r.events[0]
                self.assertEqual(len(o["trajectory"]), 3)
                for step in o["trajectory"]:
                    self.assertGreater(step["loss"][0], 0.1)
                    self.assertGreater(step["gradient_norm"][0], 0)
                self.assertTrue(all(row["relative"] == 0 for row in o["rows"]))

    def test_running_free_shows_how_the_difference_grows(self):
        r = diverge("--free", "--tolerance", 10)
        self.assertEqual(r.code, h.OK, str(r))
        self.assertRegex(r.out, r"(?m)^ +step +loss A +loss B")
        steps = diverge("--free", "--tolerance", 10, "--json").events[0]["trajectory"]
        for a, b in (s["loss"] for s in steps):
            self.assertAlmostEqual(a, b, places=3)
        self.assertGreater(steps[0]["gradient_norm"][0], 0)
        self.assertGreater(steps[2]["weights_apart"], steps[0]["weights_apart"])


class Part(h.Case):
    """One value is made wrong after the n-th launch of a kernel on one of the devices.

    Launches are counted by the default algorithms for CPUs: F(4x4,3x3) for eight convolutions,
    F(2x2,3x3) for five transposed ones, and back.
    """

    def setUp(self):
        super().setUp()
        if not os.path.exists(LAYER):
            self.skipTest("no layer")
        self.stamp = self.tmp / "stamp"
        h.run("devices", env={**ENV, **self.env("none none 1 0 0 1")})
        if not self.stamp.exists():
            self.skipTest("this OpenCL loader knows no layers")

    def env(self, fault):
        return {"OPENCL_LAYERS": LAYER, "CLFCN_FAULT": fault, "CLFCN_FAULT_STAMP": str(self.stamp)}

    def part(self, fault, *args):
        r = diverge("--json", "--steps", 2, *args, env=self.env(fault))
        self.assert_one_error(r, h.FAILED, "part at step")
        o = r.events[0]
        self.assertTrue(o["diverged"])
        return o

    def test_the_first_wrong_value_is_named(self):
        for fault, step, layer, which, tensor, index, add in [
                ("basic winograd_conv 3 4 100 10", 1, "conv3_1", "forward", "output",
                 [0, 1, 4, 4], 10),
                ("basic winograd_conv 20 4 7 0.5", 1, "conv5_1", "input gradient",
                 "input gradient", [0, 1, 1, 1], 0.5),
                ("basic winograd_filter 2 1 40 1", 1, "deconv4", "weight gradient",
                 "weight gradient", [0, 4, 1, 1], 1),
                ("basic pool_forward 7 1 33 1", 2, "pool2", "forward", "output",
                 [0, 0, 4, 1], 1),
                ("basic bn_grad_finish 1 1 3 1", 1, "bn5", "backward", "weight gradient",
                 [3], 1),
                ("basic loss_finish 2 1 0 1", 2, "loss", "loss", "loss", [0], 1),
                ("basic sgd 2 0 0 0.01", 2, "parameters", "update",
                 "pretrained_net.features.0.weight", [0, 0, 0, 0], 0.01)]:
            with self.subTest(fault=fault):
                o = self.part(fault)
                first = o["first"]
                self.assertEqual((first["step"], first["layer"], first["pass"], first["tensor"]),
                                 (step, layer, which, tensor))
                self.assertEqual((first["index"], first["far"]), (index, 1))
                self.assertAlmostEqual(first["b"] - first["a"], add, places=5)
                self.assertIn(fault.split()[1], first["kernels"][1])
                # What other layers made was computed from equal inputs, and is right.
                self.assertEqual({r["layer"] for r in o["rows"] if r["beyond"]}, {layer})

    def test_float64_says_which_device_is_wrong(self):
        for device, wrong, right in [("basic", "B", "a"), ("pthread", "A", "b")]:
            for call in (3, 20): # conv3_1 forward; conv5_1's input gradient, added to a skip's
                with self.subTest(device=device, call=call):
                    first = self.part(f"{device} winograd_conv {call} 4 100 10")["first"]
                    self.assertEqual(first["wrong"], wrong)
                    self.assertAlmostEqual(first["reference"], first[right], places=5)
        self.assertIsNone(self.part("basic pool_forward 1 1 0 1")["first"]["wrong"])

    def test_a_single_element_of_many_does_not_hide_in_the_norm(self):
        first = self.part("basic winograd_conv 1 4 100 0.05")["first"]
        self.assertEqual((first["layer"], first["far"]), ("conv1_1", 1))
        self.assertLess(first["relative"], 1e-3)

    def test_a_value_that_is_no_number(self):
        first = self.part("basic pool_forward 1 1 5 nan")["first"]
        self.assertEqual((first["layer"], first["b"], first["relative"]), ("pool1", None, None))

    def test_the_report(self):
        r = diverge("--steps", 1, env=self.env("basic winograd_conv 3 4 100 10"))
        self.assert_one_error(r, h.FAILED, "conv3_1", "forward", "output")
        self.assertRegex(r.out, r"(?m)^conv3_1 +forward +output .* BEYOND$")
        report = r.out[r.out.index("The devices part"):]
        for text in ["step 1", "'conv3_1' (conv2d), forward: output [256][2][8][8]",
                     "[0][1][4][4]", "B is wrong", "winograd4", "winograd_conv", "Portable",
                     "device A    pthread", "device B    basic", "fcns on vgg11", "seed 0",
                     "clfcn diverge --device pthread --device basic --backbone vgg11"]:
            self.assertIn(text, report)


class Wrong(h.Case):
    def test_two_devices_are_needed(self):
        for devices in ([], ["--device", "basic"]):
            r = diverge(devices=devices)
            self.assert_one_error(r, h.USAGE, "--device twice")
        r = diverge(devices=[*PAIR, "--device", "basic"])
        self.assert_one_error(r, h.USAGE, "--device", "more than twice")

    def test_unknown_device(self):
        for devices in (["--device", "basic", "--device", "no-such"],
                        ["--device", "99", "--device", "basic"]):
            self.assert_one_error(diverge(devices=devices), h.NO_DEVICE, "there")

    def test_values(self):
        for option, value in [("--steps", "0"), ("--steps", "-1"), ("--tolerance", "-1"),
                              ("--tolerance", "x"), ("--size", "33x32"), ("--seed", "-1"),
                              ("--batch", "0"), ("--device", "")]:
            with self.subTest(option=option, value=value):
                devices = PAIR if option != "--device" else PAIR[:2]
                r = diverge(option, value, devices=devices)
                self.assert_one_error(r, h.USAGE)

    def test_other_commands_take_the_last_device(self):
        r = self.ok("plan", "--device", "no-such", "--device", "basic", "--json", env=ENV)
        self.assertIn("basic", r.events[0]["device"])


if __name__ == "__main__":
    tapunit.main()
