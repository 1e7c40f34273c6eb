"""clfcn plan --ranks: what training takes on several ranks, on paper."""

import json
import unittest

import harness as h
import tapunit
from test_info import bench_run

NET = ["--backbone", "vgg11", "--size", "64x64", "--batch", "8"]
# So that the speed of the machine does not matter.
STEP = ["--step-ms", "1000"]


class Ranks(h.Case):
    def plan(self, *args, net=NET, **kwargs):
        return self.ok("plan", *net, *args, "--json", "--quiet", **kwargs).events[0]

    def rows(self, kind, *args, **kwargs):
        rows = self.plan(*args, **kwargs)["ranks"][kind]["rows"]
        return {r["ranks"]: r for r in rows}

    def test_without_ranks_nothing_is_said_of_them(self):
        self.assertNotIn("ranks", self.plan())
        self.assertNotIn("caling", self.ok("plan", *NET, "--quiet").out)

    def test_strong(self):
        ranks = self.plan("--ranks", "2,3,8,16", "--scaling", "strong", *STEP)["ranks"]
        self.assertNotIn("weak", ranks)
        self.assertEqual([(r["ranks"], r["share"]) for r in ranks["strong"]["rows"]],
                         [(1, 8), (2, 4), (3, 3), (8, 1), (16, 0)])
        alone, *several, none = ranks["strong"]["rows"]
        self.assertAlmostEqual(alone["step_ms"], 1000, places=3)
        self.assertEqual((alone["exchange_ms"], alone["efficiency"]), (0, 1))
        self.assertNotIn("step_ms", none)
        for r in several:
            self.assertAlmostEqual(r["speedup"], 1000 / r["step_ms"], places=6)
            self.assertAlmostEqual(r["efficiency"], r["speedup"] / r["ranks"], places=6)
            self.assertAlmostEqual(r["images_per_s"], 8000 / r["step_ms"], places=6)
            self.assertLessEqual(r["hidden_ms"], r["exchange_ms"])
        computing = [r["compute_ms"] for r in several]
        self.assertEqual(computing, sorted(computing, reverse=True))

    def test_weak(self):
        rows = self.rows("weak", "--ranks", "64,2,2,1", "--scaling", "weak", *STEP)
        self.assertEqual(list(rows), [1, 2, 64])
        for k, r in rows.items():
            self.assertEqual(r["share"], 8)
            self.assertAlmostEqual(r["compute_ms"], 1000, places=3)
            self.assertAlmostEqual(r["images_per_s"], 8000 * k / r["step_ms"], places=6)
            self.assertAlmostEqual(r["efficiency"], 1000 / r["step_ms"], places=6)

    def test_exchange_by_the_formula(self):
        """2 (K-1) messages a bucket, 2 (K-1)/K of the gradients, there and back to the host."""
        for wire, width in [("fp32", 1), ("fp16", 0.5)]:
            ranks = self.plan("--ranks", 4, "--scaling", "weak", *STEP, "--bandwidth",
                              "8Gbit/s", "--latency", "0.2ms", "--copy-rate", "2GB/s",
                              "--exchange", wire)["ranks"]
            r = ranks["weak"]["rows"][1]
            size = ranks["gradient_bytes"]
            self.assertGreater(size, 30e6)
            self.assertAlmostEqual(r["latency_ms"], 6 * 0.2 * ranks["buckets"], places=6)
            self.assertAlmostEqual(r["link_ms"], 1e3 * 1.5 * width * size / 1e9, places=4)
            self.assertAlmostEqual(r["copy_ms"], 1e3 * 2 * size / 2e9, places=4)
            self.assertAlmostEqual(r["exchange_ms"],
                                   r["latency_ms"] + r["link_ms"] + r["copy_ms"], places=6)

    def test_units(self):
        def link(*args):
            ranks = self.plan("--ranks", 2, "--scaling", "weak", *args)["ranks"]
            return ranks["bytes_per_s"], ranks["latency_us"]
        self.assertEqual(link(), (125e6, 50))
        self.assertEqual(link("--bandwidth", "1.2GB/s", "--latency", "3us"), (1.2e9, 3))
        self.assertEqual(link("--bandwidth", "100Mbit/s", "--latency", "1.5ms"), (12.5e6, 1500))

    def test_assumptions_are_told(self):
        args = ["--ranks", 2]
        ranks = self.plan(*args)["ranks"]
        self.assertTrue(ranks["bandwidth_assumed"] and ranks["latency_assumed"] and
                        ranks["copy_rate_assumed"])
        self.assertEqual(ranks["step_from"], "estimate")
        self.assertEqual(self.ok("plan", *NET, *args, "--quiet").out.count("assumed"), 3)
        text = self.ok("plan", *NET, *args, "--bandwidth", "1Gbit/s", "--latency", "50us",
                       "--copy-rate", "8GB/s", *STEP, "--quiet").out
        self.assertNotIn("assumed", text)
        self.assertIn("as --step-ms says", text)

    def test_text(self):
        text = self.ok("plan", *NET, "--ranks", "2,4,16", *STEP, "--quiet").out
        for words in ["on one rank", "1000 ms", "Strong scaling: 8 images for all ranks",
                      "Weak scaling: 8 images for each rank", "efficiency %",
                      "there are fewer images than ranks"]:
            self.assertIn(words, text)
        strong = text.split("Strong scaling")[1].splitlines()
        self.assertEqual(strong[2].split(), ["1", "8", "1000", "-", "-", "-", "8", "1.00",
                                             "100.0"])
        self.assertTrue(all(len(line) <= 100 for line in text.splitlines()), text)

    def advice(self, *args):
        weak = self.plan("--scaling", "weak", *args)["ranks"]["weak"]
        return weak["rows"][-1]["limit"], weak["advice"]

    def test_advice_names_what_limits(self):
        short = ["--ranks", "2,2048", "--step-ms", 20]
        for limit, words, *args in [
                ("bandwidth", "link's bandwidth; --exchange fp16", "--bandwidth", "10Mbit/s"),
                ("latency", "link's latency", "--latency", "100ms", "--sync-bn", "off"),
                ("copies", "copies between device and host", "--copy-rate", "1MB/s")]:
            limits, advice = self.advice(*short, *args)
            self.assertEqual(limits, limit)
            self.assertIn("Below 50 % with 2 ranks", advice)
            self.assertIn(words, advice)
        _, advice = self.advice(*short, "--bandwidth", "10Mbit/s", "--exchange", "fp16")
        self.assertIn("link's bandwidth; more images", advice)
        limits, advice = self.advice("--ranks", "2,8", *STEP, "--latency", "1ms", "--bandwidth",
                                     "99GB/s", "--copy-rate", "99GB/s", "--sync-bn", "on")
        self.assertEqual(limits, "batch norm")
        self.assertIn("At least 50 % up to 8 ranks", advice)
        self.assertIn("batch norm's sums", advice)

    def test_batch_norm(self):
        def norm(*args):
            return self.rows("weak", "--ranks", "5", "--latency", "1ms", "--bandwidth", "99GB/s",
                             *STEP, *args)[5]["norm_ms"]
        self.assertAlmostEqual(norm("--sync-bn", "on"), 10 * 4, delta=0.1)  # five layers, there and back
        self.assertEqual(norm("--sync-bn", "off"), 0)
        # By itself where a rank has fewer than eight images, of which there are eight here.
        self.assertEqual(norm(), 0)
        rows = self.rows("strong", "--ranks", 2, "--sync-bn", "auto")
        self.assertGreater(rows[2]["norm_ms"], 0)

    def test_a_batch_that_only_several_hold(self):
        env = {"POCL_MEMORY_LIMIT": "1"}
        wide = ["--backbone", "vgg11", "--size", "512x512", "--batch", "16", "--workspace", "16M"]
        self.fails(h.FAILED, ["does not fit"], "plan", *wide, env=env)
        rows = self.rows("strong", "--ranks", "16", net=wide, env=env)
        self.assertEqual((rows[1]["fits"], rows[16]["share"], rows[16]["fits"]), (False, 1, True))
        self.fails(h.FAILED, ["does not fit"], "plan", *wide, "--ranks", 16, "--scaling", "weak",
                   env=env)

    def test_measured_by_bench(self):
        net = {"arch": "fcns", "backbone": "vgg11", "width": 64, "height": 32, "batch": 4,
               "classes": 3}
        layer = {"name": "a", "kind": "conv2d", "forward_ms": 10.0, "backward_ms": 30.0,
                 "passes": []}
        path = self.tmp / "bench.json"
        path.write_text(json.dumps(bench_run(net=net, layers=[layer])) + "\n")
        ranks = self.plan("--ranks", 2, "--measured", path, net=[])["ranks"]
        self.assertEqual(ranks["step_from"], str(path))
        self.assertAlmostEqual(ranks["step_ms"], 250, places=3)
        self.assertAlmostEqual(ranks["backward_share"], 0.75, places=6)
        self.assertEqual(ranks["weak"]["rows"][1]["share"], 4)
        # Another batch is the same network, and takes its own time.
        twice = self.plan("--ranks", 2, "--measured", path, net=["--batch", 8])["ranks"]
        self.assertGreater(twice["step_ms"], 300)
        self.assertLess(twice["step_ms"], 500)
        for option, value, other in [("--size", "64x64", "64x32"), ("--classes", 2, "3"),
                                     ("--arch", "fcn32s", "fcns"),
                                     ("--optimizer", "adam", "sgd")]:
            self.fails(h.USAGE, [option, value, other, "bench.json"], "plan", "--ranks", 2,
                       "--measured", path, option, value)
        self.fails(h.USAGE, ["--freeze-backbone"], "plan", "--ranks", 2, "--measured", path,
                   "--freeze-backbone")

    def test_measured_in_a_run(self):
        run = self.tmp / "run"
        self.ok("train", "--data", "demo", "--val-fraction", "0", "--epochs", "1", "--max-steps",
                "3", "--backbone", "vgg11", "--size", "32x32", "--batch", "2",
                "--freeze-backbone", "--out", run, "--quiet")
        # As if it had taken these times.
        log = run / "log.jsonl"
        times = iter([9000.0, 400.0, 500.0])
        events = [json.loads(line) for line in log.read_text().splitlines()]
        for e in events:
            if e["event"] == "step":
                e["ms"] = next(times)
        log.write_text("".join(json.dumps(e) + "\n" for e in events))
        ranks = self.plan("--ranks", 2, "--measured", run, net=[])["ranks"]
        self.assertAlmostEqual(ranks["step_ms"], 500, places=3)
        self.assertEqual(ranks["strong"]["rows"][1]["share"], 1)
        self.assertLess(ranks["gradient_bytes"], 30e6)  # the decoder's alone
        for e in events:
            if e["event"] == "start":
                e["ranks"] = [{"rank": 0}, {"rank": 1}]
        log.write_text("".join(json.dumps(e) + "\n" for e in events))
        self.fails(h.BAD_INPUT, ["several ranks"], "plan", "--ranks", 2, "--measured", run)

    def test_measured_that_is_of_no_use(self):
        path = self.tmp / "bench.json"
        for runs, word in [([bench_run(train_step_ms=None)], "no training step"),
                           ([bench_run(), bench_run()], "of one"),
                           ([bench_run(net=dict(bench_run()["net"], width=50))], "cannot be"),
                           ([bench_run(options=dict(bench_run()["options"], loss="huh"))],
                            "unknown")]:
            path.write_text("".join(json.dumps(r) + "\n" for r in runs))
            self.fails(h.BAD_INPUT, ["bench.json", word], "plan", "--ranks", 2, "--measured",
                       path)
        self.fails(h.BAD_INPUT, ["no-such"], "plan", "--ranks", 2, "--measured",
                   self.tmp / "no-such.json")
        self.fails(h.BAD_INPUT, [self.tmp.name], "plan", "--ranks", 2, "--measured", self.tmp)

    def test_wrong_usage(self):
        for args in [["--ranks", "0"], ["--ranks", "many"], ["--ranks", "2,"], ["--ranks", "2;4"],
                     ["--ranks", "-2"], ["--ranks", "70000"], ["--ranks", "2.5"],
                     ["--ranks", ",".join(map(str, range(1, 18)))],
                     ["--bandwidth", "10G"], ["--bandwidth", "fast"], ["--bandwidth", "-1Gbit/s"],
                     ["--bandwidth", "0Gbit/s"], ["--bandwidth", "1e30B/s"],
                     ["--bandwidth", "nanB/s"], ["--copy-rate", "8GB"],
                     ["--latency", "50"], ["--latency", "-1us"], ["--latency", "1h"],
                     ["--latency", "60000ms"], ["--step-ms", "0"], ["--step-ms", "-5"],
                     ["--exchange", "fp8"], ["--sync-bn", "maybe"], ["--scaling", "so"],
                     ["--inference"], ["--step-ms", "5", "--measured", "x"]]:
            with self.subTest(args=args):
                ranks = [] if args[0] == "--ranks" else ["--ranks", "2"]
                self.fails(h.USAGE, [args[0] if args[0] != "--inference" else "--ranks"], "plan",
                           *NET, *ranks, *args)

    def test_options_of_ranks_need_ranks(self):
        for option, value in [("--bandwidth", "1GB/s"), ("--latency", "1us"),
                              ("--copy-rate", "1GB/s"), ("--exchange", "fp16"),
                              ("--sync-bn", "off"), ("--step-ms", "5"), ("--measured", "x"),
                              ("--scaling", "weak")]:
            self.fails(h.USAGE, [option, "needs --ranks"], "plan", *NET, option, value)


if __name__ == "__main__":
    tapunit.main()
