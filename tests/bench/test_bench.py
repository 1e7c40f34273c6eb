"""The measuring tools themselves: verdicts, and the table of tiny networks from end to end."""

import json
import os
import subprocess
import sys
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
import tapunit  # noqa: E402
from table import Row, markdown  # noqa: E402

CLFCN = os.environ.get("CLFCN")
GEMM_BENCH = os.environ.get("CLFCN_GEMM_BENCH")


def against(ours, theirs, **more):
    return Row("step", "ms", ours, "PyTorch:", theirs, must=2.5, aim=4, **more)


class Verdict(unittest.TestCase):
    def test_ratio_is_how_many_times_better(self):
        self.assertEqual(against([2, 4], [10, 12]).ratios(), [5, 3])
        self.assertEqual(against([10, 12], [2, 4], more_is_better=True).ratios(), [5, 3])

    def test_goals(self):
        self.assertEqual(against([10, 10], [45, 45]).verdict(), "reaches the aim")
        self.assertEqual(against([10, 10], [30, 30]).verdict(), "met")
        self.assertEqual(against([10, 10], [20, 20]).verdict(), "MISSED")
        self.assertEqual(Row("first step", "s", [9, 9], must=20, aim=8).verdict(), "met")
        self.assertEqual(Row("first step", "s", [7, 7], must=20, aim=8).verdict(),
                         "reaches the aim")
        self.assertEqual(Row("first step", "s", [21, 21], must=20, aim=8).verdict(), "MISSED")

    def test_distrust(self):
        self.assertIn("not in every round", against([10, 10, 10], [26, 27, 24]).verdict())
        self.assertIn("spread too wide", against([10, 10, 10], [30, 30, 40]).verdict())
        self.assertIn("one round only", against([10], [30]).verdict())
        self.assertNotIn("spread", against([10, 11], [30, 33]).verdict())

    def test_table_has_a_line_a_row(self):
        rows = [against([10, 12], [30, 36]), Row("data", problem="no folder")]
        lines = [line for line in markdown({"machine": "here"}, rows).splitlines()
                 if line.startswith("|")]
        self.assertEqual(len(lines), 4)
        self.assertIn("11.0 ms (10.0-12.0) | PyTorch: 33.0 ms (30.0-36.0) | 3.00 (3.00-3.00) | "
                      "2.5× | 4× | met", lines[2])
        self.assertIn("not measured: no folder", lines[3])


@unittest.skipUnless(CLFCN and GEMM_BENCH, "CLFCN and CLFCN_GEMM_BENCH name the programs")
class Tools(unittest.TestCase):
    def bench(self, *arguments):
        return subprocess.run(
            [sys.executable, HERE / "bench.py", "--clfcn", CLFCN, "--quick", "--json",
             *arguments], capture_output=True, text=True)

    def test_rows_without_another_side(self):
        done = self.bench("--only", "growth,data")
        self.assertEqual(done.returncode, 0, done.stderr)
        table = json.loads(done.stdout)
        self.assertIn("compute units", table["machine"]["device"])
        self.assertEqual([r["row"] for r in table["rows"]], ["growth", "growth", "data"])
        for row in table["rows"]:
            self.assertEqual(len(row["clfcn"]), 2, row)

    def test_a_row_that_fails_says_so(self):
        done = self.bench("--only", "step", "--python", "/nonexistent/python")
        self.assertEqual(done.returncode, 1)
        verdict = json.loads(done.stdout)["rows"][0]["verdict"]
        self.assertIn("not measured: /nonexistent/python", verdict)

    def test_gemm_bench_times_each_provider(self):
        for provider in ("native", "clblast", "shipped"):
            with self.subTest(provider=provider):
                done = subprocess.run([GEMM_BENCH, provider, "--small", "--reps", "2"],
                                      capture_output=True, text=True)
                self.assertEqual(done.returncode, 0, done.stderr)
                layers = [json.loads(line) for line in done.stdout.splitlines()]
                self.assertEqual(len(layers), 8)
                for layer in layers:
                    self.assertEqual(len(layer["ms"]), 2)
                    self.assertTrue(all(ms > 0 for ms in layer["ms"]), layer)

    def test_gemm_bench_refuses_what_it_does_not_know(self):
        self.assertEqual(subprocess.run([GEMM_BENCH, "mkl"], capture_output=True).returncode, 2)


if __name__ == "__main__":
    tapunit.main()
