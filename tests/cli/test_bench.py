"""clfcn bench on devices that are slow, full, or do not know the time: an OpenCL layer makes them
so."""

import math
import os
import unittest

import harness as h
import tapunit

LAYER = os.environ["CLFCN_ODD_LAYER"]
NET = ["--arch", "fcn32s", "--backbone", "vgg11", "--size", "32x32", "--batch", "1"]


class Odd(h.Case):
    def setUp(self):
        super().setUp()
        stamp = self.tmp / "stamp"
        self.env = {"OPENCL_LAYERS": LAYER, "CLFCN_ODD_STAMP": str(stamp)}
        h.run("devices", env=self.env)
        if not stamp.exists():
            self.skipTest("this OpenCL loader knows no layers")

    def bench(self, *args, **odd):
        env = {**self.env, **{f"CLFCN_ODD_{k.upper()}": str(v) for k, v in odd.items()}}
        return self.ok("bench", *NET, "--steps", 2, "--json", *args, env=env)

    def layer_ms(self, run):
        return sum(x["forward_ms"] + x["backward_ms"] for x in run["layers"])

    def test_layers_are_timed_by_the_host_where_the_device_cannot(self):
        for clock in ("zero", "short", "long", "none"):
            with self.subTest(clock=clock):
                r = self.bench("--no-verify", clock=clock)
                self.assertIn("timed by the host's clock", r.err)
                share = self.layer_ms(r.events[0]) / r.events[0]["train_step_ms"]
                # Each kernel waits for the one before it: they come to more than a step.
                self.assertTrue(0.3 < share < 10, (clock, share))

    def test_a_device_that_knows_the_time_is_believed(self):
        self.assertNotIn("the host's clock", self.bench("--no-verify").err)

    def test_what_there_is_no_memory_for_is_null_and_said(self):
        self.bench()  # tunes, verifies, and leaves nothing to be allocated for that
        plan = self.ok("plan", *NET, "--json", "--quiet").events[0]
        run = self.bench(memory=plan["total"] + (1 << 20)).events[0]
        said = " ".join(run["left_out"])
        self.assertIn("the network leaves too little memory", said)
        self.assertRegex(said, r"[1-8] of 8 products: too little memory")
        self.assertIsNone(run["before"]["gflops"])
        self.assertEqual({run["peak"][k] for k in run["peak"]}, {None})
        self.assertGreater(run["train_step_ms"], 0)
        self.assertTrue(all(p["of_peak"] is None for x in run["layers"] for p in x["passes"]))

    def test_a_slow_device_has_its_layers_measured_one_by_one(self):
        r = self.bench("--budget", 8, launch_ms=25)
        run = r.events[0]
        self.assertIn("layers are measured one by one", r.err)
        self.assertTrue(run["layers_alone"])
        said = " ".join(run["left_out"])
        self.assertRegex(said, r"training step: too slow, about \d+(\.\d)? (s|min)")
        self.assertIsNone(run["train_step_ms"])
        self.assertIsNone(run["first_step_s"])
        self.assertEqual(run["train_step_ms_all"], [])
        self.assertTrue(run["correct"])
        measured = [p for x in run["layers"] for p in x["passes"]]
        self.assertGreater(len(measured), 5)
        for p in measured:
            self.assertGreaterEqual(p["ms"], 25)
            self.assertTrue(p["correct"])
        # Such a run is compared with others by what it has.
        path = self.tmp / "slow.json"
        path.write_text(r.out)
        other = self.tmp / "usual.json"
        other.write_text(self.bench("--no-verify").out)
        page = self.tmp / "page.html"
        text = self.ok("compare", path, other, "--out", page).out
        self.assertIn("A  not measured: training step: too slow", text)
        self.assertNotIn("nan", text)
        html = page.read_text().split("<main>")[1].split("<script>")[0]
        self.assertNotIn("nan", html.lower())
        self.assertIn("training step: too slow", html)
        rows = self.ok("compare", path, other, "--json").events
        self.assertEqual([r["against"] for r in rows], ["B", "B"])
        self.assertEqual((rows[0]["train_step_ms"], rows[0]["train"]), (None, None))
        self.fails(h.FAILED, ["slow.json", "training step", "too slow to be measured"],
                   "compare", other, path, "--fail-if-slower", "5%")

    def test_a_slow_device_with_time_enough(self):
        run = self.bench("--budget", 60, launch_ms=25).events[0]
        self.assertGreater(run["train_step_ms"], 500)
        self.assertGreater(run["infer_ms"], 200)
        self.assertTrue(run["correct"])
        self.assertTrue(math.isfinite(self.layer_ms(run)))


if __name__ == "__main__":
    tapunit.main()
