"""clfcn selftest: what it finds is kept, and obeyed by all that builds a network."""

import json
import os
import re
import shutil
import unittest

import harness as h
import tapunit

NET = ["--backbone", "vgg11", "--size", "32x32", "--batch", "1"]


class Selftest(h.Case):
    """Each test has a cache of its own, with the kernels that all need and no certificate."""

    @classmethod
    def setUpClass(cls):
        cls.keep = h.Case()
        cls.keep.setUp()
        cls.addClassCleanup(cls.keep.doCleanups)
        cls.data = h.make_dataset(cls.keep.tmp / "d", count=3)
        cls.cache = cls.keep.tmp / "cache"
        cls.result = h.run(*h.train_args(cls.data, cls.keep.tmp / "run", "--max-steps", 0, net=NET),
                           env={"CLFCN_CACHE_DIR": str(cls.cache)})

    def setUp(self):
        super().setUp()
        self.assertEqual(self.result.code, h.OK, str(self.result))
        self.env = {"CLFCN_CACHE_DIR": str(self.tmp / "cache")}
        shutil.copytree(self.cache, self.tmp / "cache", ignore=lambda *_: ["selftest"])

    def certified(self):
        """As if this test had built the network before."""
        shutil.copytree(self.cache / "selftest", self.tmp / "cache" / "selftest")

    def build(self, *more):
        """Build a network, as every command that runs one does."""
        self.runs = getattr(self, "runs", 0) + 1
        return h.run(*h.train_args(self.data, self.tmp / f"run{self.runs}", "--max-steps", 0,
                                   *more, net=NET), env=self.env)

    def built(self):
        r = self.build()
        self.assertEqual(r.code, h.OK, str(r))
        return r

    def algorithms(self):
        """{(layers, pass): algorithm} of the network, built or not."""
        rows = self.ok("tune", *NET, "--show", "--json", "--quiet", env=self.env).events
        return {(r["layers"], r["pass"]): r["algorithm"] for r in rows}

    def certificate(self):
        (path,) = (self.tmp / "cache" / "selftest").iterdir()
        return path

    def blame(self, wrong):
        """Let the certificate say that these (kernel, pass) are wrong, and nothing else; with
        the sum that clfcn computes."""
        path = self.certificate()
        content = json.loads(path.read_text())
        content["findings"] = [
            {"subject": s, "pass": p, "tests": 1, "error": 0.5, "bound": 0.125,
             "correct": False, "ms": 1.0, "at": "a test", "why": "relative error 5e-01"}
            for s, p in wrong]
        del content["sum"]
        text = json.dumps(content, sort_keys=True, separators=(",", ":"))
        value = 0xcbf29ce484222325
        for byte in text.encode() + b"\0":
            value = ((value ^ byte) * 0x100000001b3) & 0xFFFFFFFFFFFFFFFF
        content["sum"] = f"{value:016x}"
        path.write_text(json.dumps(content))

    def test_first_use_certifies_once(self):
        first = self.built()
        self.assertEqual(first.err.count("verifying"), 1, str(first))
        content = self.certificate().read_text()
        self.assertTrue(json.loads(content)["findings"])
        self.assertNotIn("verifying", self.built().err)
        self.assertEqual(self.certificate().read_text(), content)
        # Damaged, or of another driver: all anew.
        self.certificate().write_text(content.replace('"driver": "', '"driver": "x'))
        self.assertIn("verifying", self.built().err)
        self.assertNotIn('"driver": "x', self.certificate().read_text())

    def chosen_device(self):
        """What `devices` says of the device that is used: as JSON, and as text."""
        (chosen,) = (d for d in self.ok("devices", "--json", env=self.env).events
                     if d.get("chosen"))
        return chosen, self.ok("devices", env=self.env).out

    def test_devices_tell_what_was_found(self):
        device, text = self.chosen_device()
        self.assertEqual((device["tested"], device["wrong"]), (0, []))
        self.assertIn("nothing yet with this driver", text)
        self.built()
        device, text = self.chosen_device()
        self.assertGreater(device["tested"], 0)
        self.assertEqual(device["wrong"], [])
        self.assertIn(f"{device['tested']} passes of kernels, all right", text)
        self.blame([("winograd4", "forward"), ("tiled", "weight gradient")])
        device, text = self.chosen_device()
        self.assertEqual(device["wrong"], ["forward of winograd4", "weight gradient of tiled"])
        self.assertIn("never used: forward of winograd4, weight gradient of tiled", text)

    def test_what_is_wrong_is_replaced(self):
        self.certified()
        usual = self.algorithms()
        wrong = usual["conv3_2", "forward"]
        self.blame([(wrong, "forward")])
        now = self.algorithms()
        r = self.built()
        told = [l for l in r.err.splitlines() if "wrong results" in l]
        self.assertGreaterEqual(len(told), 1, str(r))
        for l in told:
            self.assertIn(f"{wrong} gives wrong results", l)
            self.assertIn("(forward: relative error 5e-01)", l)
        for key, algorithm in usual.items():
            if (algorithm, key[1]) == (wrong, "forward"):
                self.assertNotEqual(now[key], wrong)
                self.assertTrue(any(f": {now[key]} takes its place" in l for l in told), str(r))
            else:
                self.assertEqual(now[key], algorithm)
        # The replacement is verified in its turn, and then all is known.
        self.assertNotIn("verifying", self.built().err)

    def test_nothing_left(self):
        self.certified()
        blamed = set()
        while True:
            # Each turn takes away what is chosen, until nothing is left to choose.
            r = h.run("tune", *NET, "--show", "--json", "--quiet", env=self.env)
            if r.code != h.OK:
                break
            now = {(e["algorithm"], "forward") for e in r.events if e["pass"] == "forward"}
            self.assertFalse(now & blamed, str(r))
            blamed |= now
            self.blame(sorted(blamed))
            self.assertLess(len(blamed), 60)
        self.assertGreater(len(blamed), 2)
        r = self.build("--quiet")
        self.assert_one_error(r, h.FAILED, "layer '", "forward", "no algorithm", "selftest")

    def test_layers_without_choice(self):
        self.certified()
        for kernel in (("maxpool", "backward"), ("bce", "forward"), ("sgd", "update"),
                       ("bias and ReLU", "backward")):
            self.blame([kernel])
            self.assert_one_error(self.build("--quiet"), h.FAILED, *kernel)

    def test_a_driver_that_does_not_run_a_kernel(self):
        """A layer between clfcn and the driver drops Winograd's kernel without a word."""
        self.env.update({"OPENCL_LAYERS": os.environ["CLFCN_SKIP_LAYER"],
                         "CLFCN_TEST_SKIP": "winograd_conv"})
        r = self.built()
        if "winograd4 gives wrong results" not in r.err:
            self.skipTest("no device with vectors, whose default this is")
        # Which variants a network has depends on what the first look found quickest.
        found = {p: set(re.findall(rf"(\w+)\S* gives wrong results .*\({p}: leaves values", r.err))
                 for p in ("forward", "input gradient")}
        self.assertEqual(found["forward"], found["input gradient"], str(r))
        again = self.built()
        self.assertNotIn("verifying", again.err)
        self.assertIn("winograd4 gives wrong results", again.err)
        r = h.run("selftest", "--json", "--quiet", "--gemm", "native", env=self.env)
        self.assert_one_error(r, h.FAILED, "wrong on this device")
        wrong = {(e["kernel"].split(":")[0], e["pass"]) for e in r.events[:-1]
                 if not e["correct"]}
        self.assertEqual(wrong, {(w, p) for w in ("winograd4", "winograd2")
                                 for p in ("forward", "input gradient")})

    def test_the_command(self):
        r = self.ok("selftest", "--json", "--quiet", "--gemm", "native", env=self.env)
        rows, total = r.events[:-1], r.events[-1]
        self.assertEqual(total["kernels"], len(rows))
        self.assertEqual(total["correct_kernels"], len(rows))
        self.assertEqual(total["certificate"], str(self.certificate()))
        for row in rows:
            self.assertTrue(row["correct"], str(row))
            self.assertLessEqual(row["error"], row["bound"])
        kernels = {row["kernel"] for row in rows}
        self.assertLessEqual({"batchnorm", "maxpool", "adam", "ce", "im2col+native"}, kernels)
        # What was found wrong before and is right now is trusted again, and all is known.
        self.blame([("im2col+native", "forward")])
        self.ok("selftest", "--json", "--quiet", "--gemm", "native", env=self.env)
        r = self.built()
        self.assertNotIn("wrong", r.err)
        self.assertNotIn("verifying", r.err)

    def test_info_shows_the_certificate(self):
        self.certified()
        self.blame([("winograd4", "forward")])
        path = self.certificate()
        now = self.ok("info", path, "--json").events[0]
        self.assertEqual((now["kernels"], now["wrong"]), (1, 1))
        self.assertEqual(now["findings"][0]["kernel"], "winograd4")
        self.assertRegex(now["date"], r"^20\d\d-\d\d-\d\dT")
        text = self.ok("info", path).out
        for word in (now["device"], now["driver"], now["date"], "0 of 1",
                     "WRONG: relative error 5e-01"):
            self.assertIn(word, text)
        damaged = self.tmp / "damaged.json"
        damaged.write_text(path.read_text().replace("winograd4", "winograd2"))
        self.fails(h.BAD_INPUT, ["damaged.json", "damaged"], "info", damaged)
        other = self.tmp / "other.json"
        other.write_text("{}")
        self.fails(h.BAD_INPUT, ["other.json", "selftest"], "info", other)
        self.fails(h.BAD_INPUT, ["none.json"], "info", self.tmp / "none.json")

    def test_own_shapes(self):
        r = self.ok("selftest", *NET, "--gemm", "native", "--json", "--quiet", env=self.env)
        tests = {(e["kernel"], e["pass"]): e["tests"] for e in r.events[:-1]}
        alone = self.ok("selftest", "--gemm", "native", "--json", "--quiet", env=self.env)
        fewer = {(e["kernel"], e["pass"]): e["tests"] for e in alone.events[:-1]}
        self.assertEqual(tests.keys(), fewer.keys())
        for key in (("im2col+native", "weight gradient"), ("maxpool", "forward"),
                    ("batchnorm", "backward")):
            self.assertGreater(tests[key], fewer[key], key)
        self.assertEqual(r.events[-1]["correct_kernels"], len(tests))

    def test_wrong_usage(self):
        self.fails(h.USAGE, ["multiple"], "selftest", "--size", "33x32", env=self.env)


if __name__ == "__main__":
    tapunit.main()
