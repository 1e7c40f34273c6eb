"""clfcn bench on several devices and networks, and clfcn compare of what it printed."""

import copy
import csv
import json
import unittest

import harness as h
import tapunit

NET = ["--backbone", "vgg11", "--size", "32x32", "--batch", "1"]
STEPS = 7


class Bench(h.Case):
    """Two devices, measured once for all tests."""
    measured = None

    def setUp(self):
        super().setUp()
        self.env = {"POCL_DEVICES": "pthread basic"}
        if Bench.measured is None:
            Bench.measured = self.measure()
        self.runs, self.table = copy.deepcopy(Bench.measured)

    def measure(self):
        path = self.tmp / "bench.csv"
        r = self.ok("bench", "--device", "all", *NET, "--steps", STEPS, "--csv", path, "--json",
                    "--quiet", env=self.env)
        self.assertEqual(r.err, "")
        return r.events, list(csv.DictReader(path.open(newline="")))

    def save(self, name, *runs):
        path = self.tmp / name
        path.write_text("".join(json.dumps(r) + "\n" for r in runs))
        return path


class Measured(Bench):
    def test_every_device_once(self):
        names = [r["hardware"]["name"] for r in self.runs]
        self.assertEqual(len(set(names)), 2, names)
        for r in self.runs:
            self.assertIn(r["hardware"]["name"], r["device"])
            self.assertEqual((r["net"]["backbone"], r["net"]["width"]), ("vgg11", 32))
            self.assertEqual(len(r["train_step_ms_all"]), STEPS)
            self.assertEqual(len(r["infer_ms_all"]), STEPS)
            self.assertEqual(r["train_step_ms"], sorted(r["train_step_ms_all"])[STEPS // 2])
            self.assertEqual(r["train_spread"]["lowest_ms"], min(r["train_step_ms_all"]))
            self.assertIn(r["train_spread"]["noisy"], (True, False))
            for moment in ("before", "after"):
                self.assertGreater(r[moment]["gflops"], 0)
        # Only the first run's memory is the process's.
        self.assertGreater(self.runs[0]["host_peak_kb"], 0)
        self.assertIsNone(self.runs[1]["host_peak_kb"])

    def test_what_the_budget_does_not_allow_is_null_and_said(self):
        r = self.ok("bench", *NET, "--steps", 3, "--budget", 0.01, "--json", "--quiet").events[0]
        self.assertEqual((r["train_step_ms"], r["train_step_ms_all"]), (None, []))
        self.assertIsNone(r["infer_ms"])
        self.assertIsNone(r["correct"])
        self.assertEqual(r["products"], [])
        self.assertTrue(all(layer["forward_ms"] is None for layer in r["layers"]))
        said = " ".join(r["left_out"])
        for what in ("training step: too slow", "inference: too slow", "61 of 61 passes of layers",
                     "8 of 8 products"):
            self.assertIn(what, said)
        r["peak"] = {key: None for key in r["peak"]}  # as where the network leaves no memory
        r["before"]["gflops"] = r["after"]["gflops"] = None
        page = self.tmp / "c.html"
        self.ok("compare", self.save("a.json", r, self.runs[0]), "--out", page)
        text = page.read_text().split("<main>")[1].split("<script>")[0]
        self.assertNotIn("nan", text.lower())
        self.assertIn("not measured", text)

    def test_results_are_verified(self):
        for r in self.runs:
            self.assertIs(r["correct"], True)
            checks = r["checks"]
            self.assertEqual(checks["wrong"], 0)
            self.assertLess(checks["worst_error"], checks["bound"])
            self.assertTrue(checks["training_repeats"] and checks["inference_repeats"])
            verified = 0
            for layer in r["layers"]:
                has_weights = layer["kind"] in ("conv2d", "deconv2d")
                self.assertIs(layer["backward_correct"], None if has_weights else True, layer)
                verified += not has_weights
                for p in layer["passes"]:
                    self.assertIs(p["correct"], True, (layer, p))
                    self.assertLessEqual(p["error"], checks["bound"])
                    verified += 1
                    if has_weights:
                        # Winograd's tiles of 4x4 cost more than they save on smaller images.
                        if p["algorithm"].startswith("im2col"):
                            self.assertEqual(p["own_flop"], p["flop"])
                        elif layer["name"] == "conv1_1":
                            self.assertEqual(p["own_flop"], p["flop"] / 4)
                        self.assertGreater(p["own_flop"], 0)
                        self.assertGreater(p["bytes"], 0)
            self.assertEqual(checks["passes"], verified)
            self.assertGreater(len(r["products"]), 0)
            self.assertTrue(all(p["correct"] for p in r["products"]))

    def test_csv_holds_the_same(self):
        for r in self.runs:
            rows = [row for row in self.table if row["device"] == r["device"]]
            whole = {row["pass"]: row for row in rows if row["kind"] == "network"}
            self.assertAlmostEqual(float(whole["training step"]["ms"]) / r["train_step_ms"], 1,
                                   places=4)
            self.assertEqual(whole["inference"]["correct"], "true")
            for layer in r["layers"]:
                here = {row["pass"]: row for row in rows if row["layer"] == layer["name"]}
                for p in layer["passes"]:
                    row = here[p["pass"]]
                    self.assertEqual(row["algorithm"], p["algorithm"])
                    self.assertAlmostEqual(float(row["ms"]) / p["ms"], 1, places=4)
                    self.assertEqual(row["correct"],
                                     "" if p["correct"] is None else str(p["correct"]).lower())

    def test_several_nets(self):
        runs = self.ok("bench", "--net", "fcn32s/vgg11,fcns/vgg11", "--size", "32x32", "--batch",
                       1, "--steps", 1, "--no-verify", "--json", "--quiet").events
        self.assertEqual([r["net"]["arch"] for r in runs], ["fcn32s", "fcns"])
        for r in runs:
            self.assertIsNone(r["correct"])
            self.assertIsNone(r["checks"])
            self.assertIsNone(r["train_spread"]["relative"])

    def test_a_run_that_fails_lets_the_others_go_on(self):
        r = h.run("bench", "--device", "all", "--backbone", "vgg19", "--size", "1600x1600",
                  "--batch", 8, "--steps", 1, "--json", "--quiet",
                  env={**self.env, "POCL_MEMORY_LIMIT": "1"})
        self.assertEqual(r.code, h.FAILED, str(r))
        self.assertEqual(len(r.err.splitlines()), 2, str(r))
        self.assertEqual(len(r.events), 2)
        for event, line in zip(r.events, r.err.splitlines()):
            self.assertIn(event["error"], line)
            self.assertIn(event["hardware"]["name"], line)
        path = self.save("failed.json", *r.events)
        self.assertIn("failed: ", self.ok("compare", path).out)

    def test_wrong_usage(self):
        self.fails(h.USAGE, ["--net", "fcns/vgg99"], "bench", "--net", "fcns/vgg99")
        self.fails(h.USAGE, ["--net", "arch/backbone"], "bench", "--net", "fcns")
        self.fails(h.USAGE, ["either --net"], "bench", "--net", "fcns/vgg11", "--arch", "fcns")
        self.fails(h.USAGE, ["--profile"], "bench", "--device", "all", "--profile",
                   self.tmp / "p.json")


class Compare(Bench):
    def steady(self, run, step=100.0, infer=20.0, relative=0.01):
        """The run as if its repetitions had been these."""
        run = copy.deepcopy(run)
        run.update(train_step_ms=step, infer_ms=infer, noisy=False)
        for name in ("train_spread", "infer_spread"):
            run[name].update(relative=relative, drift=1.0, noisy=False)
        run["after"] = run["before"]
        return run

    def test_two_devices(self):
        path, page = self.save("ab.json", *self.runs), self.tmp / "page.html"
        text = self.ok("compare", path, "--out", page).out
        for r in self.runs:
            self.assertIn(r["device"], text)
        self.assertIn("step against A", text)
        html = page.read_text()
        self.assertEqual(html.count("Roofline of run"), 2)
        self.assertIn("prefers-color-scheme: dark", html)
        for word in ("http:", "https:", "src=", "url("):
            self.assertNotIn(word, html)
        rows = self.ok("compare", path, "--json").events
        self.assertEqual([r["run"] for r in rows], ["A", "B"])
        for row, r in zip(rows, self.runs):
            self.assertEqual(row["train_step_ms"], r["train_step_ms"])
            self.assertIs(row["correct"], True)
            self.assertAlmostEqual(row["train"]["times_as_fast"],
                                   self.runs[0]["train_step_ms"] / r["train_step_ms"], places=6)

    def test_a_run_does_not_differ_from_itself(self):
        path = self.save("a.json", self.runs[0])
        text = self.ok("compare", path, path, "--fail-if-slower", "0%").out
        self.assertEqual(text.count("no difference"), 2, text)
        for row in self.ok("compare", path, path, "--json").events:
            self.assertFalse(row["train"]["differs"] or row["infer"]["differs"])

    def test_fail_if_slower(self):
        before = self.save("before.json", self.steady(self.runs[0]))
        slower = self.save("slower.json", self.steady(self.runs[0], step=112))
        faster = self.save("faster.json", self.steady(self.runs[0], step=80))
        noisy = self.save("noisy.json", self.steady(self.runs[0], step=112, relative=0.3))
        self.fails(h.FAILED, ["slower.json", "training step", "12.0 % slower", "allowed are 5 %"],
                   "compare", before, slower, "--fail-if-slower", "5%")
        self.fails(h.FAILED, ["slower.json"], "compare", before, faster, slower,
                   "--fail-if-slower=5")
        self.ok("compare", before, slower, "--fail-if-slower", "15%")
        self.ok("compare", before, faster, "--fail-if-slower", "5%")
        self.ok("compare", before, noisy, "--fail-if-slower", "5%")
        self.ok("compare", before, slower)
        for text in ("fast", "5%%", "-1", "nan"):
            self.fails(h.USAGE, ["--fail-if-slower"], "compare", before, slower,
                       f"--fail-if-slower={text}")

    def test_other_nets_are_left_out(self):
        other = copy.deepcopy(self.runs[1])
        other["net"]["batch"] = 2
        a, b = self.save("a.json", self.runs[0]), self.save("b.json", self.runs[1], other)
        text = self.ok("compare", a, b).out
        self.assertIn("left out", text)
        self.assertIn("batch 2", text.split("left out")[1])
        rows = self.ok("compare", a, b, "--json").events
        self.assertEqual([r["run"] for r in rows], ["A", "B", None])
        self.assertTrue(rows[2]["left_out"])
        only = self.save("other.json", other)
        self.fails(h.BAD_INPUT, ["nothing to compare"], "compare", a, only)

    def test_broken_files(self):
        whole = self.save("whole.json", self.runs[0])
        self.fails(h.BAD_INPUT, ["missing.json"], "compare", whole, self.tmp / "missing.json")
        for name, content, word in (
                ("cut.json", whole.read_text()[:3000], "run 1"),
                ("empty.json", "\n", "empty"),
                ("list.json", "[]\n", "object"),
                ("log.json", '{"event":"start"}\n', "net"),
                ("bytes.json", "\xff\x00\x01", "bytes.json")):
            with self.subTest(name):
                path = self.tmp / name
                path.write_text(content, encoding="latin-1")
                self.fails(h.BAD_INPUT, [name, word], "compare", whole, path)
        wrong = copy.deepcopy(self.runs[0])
        wrong["layers"][3]["passes"][0]["ms"] = "\x1b[31m"
        self.fails(h.BAD_INPUT, ["wrong.json", "'ms'"], "compare", whole,
                   self.save("wrong.json", wrong))

    def test_usage(self):
        self.fails(h.USAGE, ["argument is missing"], "compare")
        path = self.save("a.json", self.runs[0])
        self.fails((h.FAILED,), ["no-such-folder"], "compare", path, "--out",
                   self.tmp / "no-such-folder" / "page.html")


if __name__ == "__main__":
    tapunit.main()
