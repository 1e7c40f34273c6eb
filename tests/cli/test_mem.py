"""clfcn plan says what training takes, and --mem makes it take less with the same losses."""

import unittest

import harness as h
import tapunit

NET = ["--backbone", "vgg11", "--size", "64x64", "--batch", "4"]
CLASSES = 5  # of the demo set
DATA = ["--data", "demo", "--val-fraction", "0", "--epochs", "1", "--max-steps", "3", "--augment",
        "none"]


class Memory(h.Case):
    def plan(self, *args):
        return self.ok("plan", *NET, "--classes", CLASSES, *args, "--json", "--quiet").events[0]

    def train(self, name, *args):
        r = self.ok("train", *DATA, *NET, "--out", self.tmp / name, *args, "--json", "--quiet")
        return r.of("start")[0], [e["loss"] for e in r.of("step")]

    def test_plan_is_what_bench_takes(self):
        usual = self.plan()
        parts = ["weights", "gradients", "optimizer", "activations", "workspace", "io"]
        self.assertEqual(usual["total"], sum(usual[p] for p in parts))
        self.assertGreater(usual["flop"], 1e9)
        self.assertGreater(usual["expected_ms"], 0)
        self.assertNotIn("to_fit", usual)
        for mem in (None, int(0.8 * usual["total"])):
            limit = ["--mem", str(mem)] if mem else []
            planned = self.plan(*limit)["total"]
            taken = self.ok("bench", *NET, "--classes", CLASSES, *limit, "--steps", 1, "--json",
                            "--quiet").events[0]["device_bytes"]
            self.assertLess(abs(taken - planned) / planned, 0.02)
            self.assertTrue(mem is None or taken <= mem * 1.001)

    def test_same_losses_in_less(self):
        usual = self.plan()
        self.check_less(usual, int(0.8 * usual["total"]), "layer by layer")

    def test_same_losses_with_activations_made_twice(self):
        usual = self.plan()
        means = "activations made a second time"
        self.check_less(usual, self.limit_with(usual, lambda how: means in how and
                                               "parts" not in how), means)

    def test_same_losses_in_a_third(self):
        usual = self.plan()
        self.check_less(usual, usual["total"] // 3, "weights and optimizer state in host memory")

    def test_same_losses_in_parts(self):
        """They are summed in another order, so that the last digits may differ."""
        usual = self.plan()
        mem = self.limit_with(usual, lambda how: "parts" in how)
        self.check_less(usual, mem, "the batch up to pool", delta=1e-4)

    def limit_with(self, usual, wanted):
        """The largest limit with which it does what is wanted."""
        limits = [usual["total"] * share // 100 for share in range(90, 20, -1)]
        return next(m for m in limits if wanted(self.plan("--mem", m)["to_fit"]))

    def check_less(self, usual, mem, means, delta=0):
        less = self.plan("--mem", mem)
        self.assertTrue(less["fits"])
        self.assertLessEqual(less["total"], mem)
        self.assertGreater(less["expected_ms"], less["usual_ms"])
        self.assertIn(means, less["to_fit"])
        start, losses = self.train("usual")
        start_less, losses_less = self.train("less", "--mem", mem)
        self.assertEqual(start["device_bytes"], usual["total"])
        self.assertEqual(start_less["device_bytes"], less["total"])
        for a, b in zip(losses, losses_less, strict=True):
            self.assertAlmostEqual(a, b, delta=delta)

    def test_resume_keeps_the_limit(self):
        mem = int(0.8 * self.plan()["total"])
        self.train("run", "--mem", mem)
        r = self.ok("train", "--resume", self.tmp / "run", "--max-steps", 4, "--json", "--quiet")
        self.assertLessEqual(r.of("start")[0]["device_bytes"], mem)

    def test_it_says_what_it_does(self):
        mem = int(0.8 * self.plan()["total"])
        text = self.ok("plan", *NET, "--mem", mem).out
        self.assertIn("It fits.", text)
        self.assertIn("layer by layer", text)
        r = self.ok("train", *DATA, *NET, "--out", self.tmp / "run", "--mem", mem)
        self.assertIn("layer by layer", r.err)

    def test_too_little(self):
        self.fails(h.FAILED, ["does not fit", "--size"], "plan", *NET, "--mem", "1M")
        env = {"POCL_MEMORY_LIMIT": "1"}
        big = ["--arch", "fcns", "--backbone", "vgg16", "--size", "480x480", "--batch", 4]
        self.fails(h.FAILED, ["does not fit", "make it fit with --mem 1024M, or lower --size"],
                   "plan", *big, env=env)
        self.ok("plan", *big, "--mem", "1024M", env=env)
        self.fails(h.FAILED, ["--mem 1.0", "least", "--batch"], "train", *DATA, *NET, "--out",
                   self.tmp / "run", "--mem", "1M")
        self.fails(h.USAGE, ["--mem"], "plan", *NET, "--mem", "much")


if __name__ == "__main__":
    tapunit.main()
