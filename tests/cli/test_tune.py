"""clfcn tune: measures, stores, shows; what is built later uses it; resuming keeps what a run had."""

import json
import pathlib
import unittest

import harness as h
import tapunit

NET = ["--backbone", "vgg11", "--size", "32x32", "--batch", "1"]


class Tune(h.Case):
    def setUp(self):
        super().setUp()
        self.env = {"CLFCN_CACHE_DIR": str(self.tmp / "cache")}

    def run_json(self, *args):
        return self.ok(*args, "--json", "--quiet", env=self.env).events

    def stored(self):
        """The one tuning file, or None."""
        folder = pathlib.Path(self.env["CLFCN_CACHE_DIR"]) / "tuning"
        files = list(folder.iterdir()) if folder.is_dir() else []
        self.assertLessEqual(len(files), 1)
        return files[0] if files else None

    def layers_of_bench(self, *more):
        bench = self.run_json("bench", *NET, "--steps", 1, *more)[0]
        return {l["name"]: l["algorithm"] for l in bench["layers"]}

    def test_tune_show_bench(self):
        rows = self.run_json("tune", *NET, "--budget", 2)
        self.assertTrue(self.stored())
        measured = [r for r in rows if r["source"] == "measured"]
        self.assertGreater(len(measured), 0)
        for r in measured:
            self.assertGreater(r["ms"], 0)
            self.assertGreater(r["gflops"], 0)
            self.assertGreater(r["of_peak"], 0)
            self.assertLess(r["error"], 1e-4)
            self.assertGreater(len(r["others"]), 0)
        shown = self.run_json("tune", *NET, "--show")
        self.assertEqual([(r["layers"], r["pass"]) for r in rows],
                         [(r["layers"], r["pass"]) for r in shown])
        for now, later in zip(rows, shown):
            self.assertEqual(now["algorithm"], later["algorithm"])
            self.assertEqual(later["source"],
                             "default" if now["source"] == "default" else "stored")
        used = self.layers_of_bench()
        for r in rows:
            if r["pass"] == "forward":
                for layer in r["layers"].split():
                    self.assertEqual(used[layer], r["algorithm"], layer)

    def test_show_measures_nothing(self):
        for r in self.run_json("tune", *NET, "--show"):
            self.assertEqual((r["source"], r["ms"]), ("default", None))
        self.assertIsNone(self.stored())
        text = self.ok("tune", *NET, "--show", env=self.env).out
        self.assertIn("not measured", text)

    def test_gemm_forces_the_provider(self):
        for r in self.run_json("tune", *NET, "--budget", 1, "--gemm", "native"):
            self.assertNotIn("clblast", json.dumps(r))

    def force(self, algorithm):
        """Make every choice in the tuning file this one, or if it is None leave them out; with
        the sum that clfcn computes."""
        path = self.stored()
        content = json.loads(path.read_text())
        for c in content["choices"]:
            c["algorithm"], c["ms"], c["error"] = algorithm, 1.0, 0.5
        if algorithm is None:
            content["choices"] = []
        content["peak gflops"] = 1.0
        del content["sum"]
        text = json.dumps(content, sort_keys=True, separators=(",", ":"))
        value = 0xcbf29ce484222325
        for byte in text.encode() + b"\0":
            value = ((value ^ byte) * 0x100000001b3) & 0xFFFFFFFFFFFFFFFF
        content["sum"] = f"{value:016x}"
        path.write_text(json.dumps(content))

    def test_a_stale_file_is_told_and_left_out(self):
        self.run_json("tune", *NET, "--budget", 0.1)
        path = self.stored()
        path.write_text(path.read_text().replace('"driver": "', '"driver": "x'))
        r = self.ok("tune", *NET, "--show", "--quiet", env=self.env)
        self.assertEqual(r.err.count("\n"), 1, str(r))
        self.assertIn("clfcn tune", r.err)
        self.ok("plan", *NET, "--quiet", env=self.env)
        rows = self.run_json("tune", *NET, "--budget", 0.1)
        self.assertEqual(self.ok("tune", *NET, "--show", "--quiet", env=self.env).err, "")
        self.assertIn("measured", [r["source"] for r in rows])

    def train(self, out, *more, loud=False):
        net = ["--backbone", "vgg11", "--size", "32x32", "--batch", "2"]
        return self.ok(*h.train_args(self.data, out, "--epochs", 2, *more, net=net),
                       *([] if loud else ["--quiet"]), env=self.env)

    def final(self, out):
        return h.read_safetensors(out / "checkpoints/last.safetensors")[1]

    def test_resuming_keeps_the_algorithms(self):
        self.data = h.make_dataset(self.tmp / "d", count=6)
        net = ["--backbone", "vgg11", "--size", "32x32", "--batch", "2"]
        self.train(self.tmp / "default")
        self.run_json("tune", *net, "--budget", 3)
        self.force("im2col+clblast")
        self.train(self.tmp / "tuned")
        self.assertFalse(self.final(self.tmp / "default") == self.final(self.tmp / "tuned"))

        self.train(self.tmp / "stopped", "--max-steps", 2)
        self.force("im2col+native")
        r = self.ok("train", "--resume", self.tmp / "stopped", "--max-steps", "-1", "--quiet",
                    env=self.env)
        self.assertEqual(r.err, "")
        self.assertTrue(self.final(self.tmp / "tuned") == self.final(self.tmp / "stopped"))

        # Another device cannot go on with them, and says so.
        self.train(self.tmp / "moved", "--max-steps", 2)
        r = self.ok("train", "--resume", self.tmp / "moved", "--max-steps", 3, "--quiet",
                    env={**self.env, "POCL_DEVICES": "basic"})
        self.assertEqual(r.err.count("\n"), 1, str(r))
        self.assertIn("round otherwise", r.err)

        # Begun with the defaults, resumed where there is tuning.
        self.stored().unlink()
        self.train(self.tmp / "plain", "--max-steps", 2)
        self.run_json("tune", *net, "--budget", 3)
        self.force("im2col+clblast")
        self.ok("train", "--resume", self.tmp / "plain", "--max-steps", "-1", "--quiet",
                env=self.env)
        self.assertTrue(self.final(self.tmp / "default") == self.final(self.tmp / "plain"))

    def test_the_first_look_keeps_the_bits(self):
        """Two runs in fresh cache folders, where nothing is tuned, and one whose first look found
        nothing: on a CPU they compute the same."""
        self.data = h.make_dataset(self.tmp / "d", count=6)
        for name in "one", "other":
            self.env = {"CLFCN_CACHE_DIR": str(self.tmp / name)}
            run = self.train(self.tmp / f"by-{name}", loud=True)
            if "trying algorithms" in run.err:
                self.skipTest("the device is no CPU")
            self.assertIn("trying parameters", run.err)
            self.assertIsNotNone(self.stored())
        again = self.train(self.tmp / "again", loud=True)
        self.assertNotIn("trying", again.err)
        self.force(None)
        self.train(self.tmp / "by-neither")
        self.assertTrue(self.final(self.tmp / "by-one") == self.final(self.tmp / "by-other"))
        self.assertTrue(self.final(self.tmp / "by-one") == self.final(self.tmp / "by-neither"))

    def test_wrong_usage(self):
        self.fails(h.USAGE, ["--budget"], "tune", *NET, "--budget", "0", env=self.env)
        self.fails(h.USAGE, ["multiple"], "tune", "--size", "33x32", env=self.env)


if __name__ == "__main__":
    tapunit.main()
