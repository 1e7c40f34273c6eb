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
import ranks_table  # noqa: E402
from table import NotMeasured, Row, markdown  # noqa: E402

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


def log_of(*epochs, ranks=()):
    """A run's log whose epochs took these milliseconds in their steps."""
    events = [{"event": "start"}]
    for number, steps in enumerate(epochs):
        events += [{"event": "step", "epoch": number, "ms": ms} for ms in steps]
        events.append({"event": "epoch", "epoch": number, "ranks": list(ranks)})
    return events


def a_rank(wait_s, exchange_s, hidden):
    return {"wait_s": wait_s, "exchange_s": exchange_s, "exchange_hidden": hidden}


def side(title, images, *ms):
    return ranks_table.Side(title, images, [ranks_table.Sample(v) for v in ms])


class Ranks(unittest.TestCase):
    def test_the_last_epoch_counts(self):
        ranks = [a_rank(0.3, 0.6, 0.5), a_rank(0.1, 0.3, 0.7)]
        found = ranks_table.sample(log_of([900, 800, 700], [300, 500, 200], ranks=ranks))
        self.assertEqual(found.step_ms, 300)
        self.assertAlmostEqual(found.wait, 0.2)
        self.assertAlmostEqual(found.exchange_ms, 150)
        self.assertAlmostEqual(found.hidden, 0.6)

    def test_one_process_exchanges_nothing(self):
        found = ranks_table.sample(log_of([5, 4]))
        self.assertEqual((found.step_ms, found.wait, found.hidden), (4.5, None, None))
        self.assertIsNone(ranks_table.sample(log_of([1], ranks=[a_rank(0, 0, None)])).exchange_ms)

    def test_a_log_without_an_epoch(self):
        with self.assertRaises(NotMeasured):
            ranks_table.sample([{"event": "start"}, {"event": "step", "epoch": 0, "ms": 1}])

    def test_link_without_its_latency(self):
        # 4 MB at 100 MB/s behind a round trip of 10 ms.
        rate, latency = ranks_table.link_of(10, 4e6 / 0.05 / 1e6, 4e6)
        self.assertAlmostEqual(rate, 100e6, delta=1)
        self.assertAlmostEqual(latency, 0.005)

    def test_images_a_second_are_compared(self):
        row = ranks_table.Row(side("2 ranks", 8, 400, 500), side("alone", 4, 360, 400), 2, "weak")
        self.assertEqual(row.speedups(), [1.8, 1.6])
        self.assertEqual(row.efficiencies(), [0.9, 0.8])
        row.plan_ms = 200
        self.assertEqual(row.plan_ratios(), [2, 2.5])
        self.assertIn("450 ms (400-500) | alone: 380 ms (360-400) | 1.70 (1.60-1.80)",
                      ranks_table.markdown({}, [row]))

    def test_what_is_missing_is_said(self):
        row = ranks_table.Row(side("2 ranks", 4), side("1 process", 4, 300), 1, "strong",
                              note="oversubscribed")
        row.side.problem = "mpirun: status 1"
        text = ranks_table.markdown({}, [row], ["test hosts: none"])
        line = next(t for t in text.splitlines() if "2 ranks" in t)
        self.assertIn("not measured: mpirun: status 1", line)
        self.assertEqual(line.count("|"), len(ranks_table.HEAD) + 1)
        self.assertIn("oversubscribed", line)
        self.assertIn("Left out: test hosts: none", text)
        self.assertEqual(row.as_json()["problem"], "not measured: mpirun: status 1")


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
