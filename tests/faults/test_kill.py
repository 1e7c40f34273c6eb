"""Killed trainings, losses of power, and several trainings that want one folder.

More of them: kill.py and power.py.
"""

import os
import random
import shutil
import signal
import sys
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import kill  # noqa: E402
import power  # noqa: E402
import runs  # noqa: E402
import tapunit  # noqa: E402

h = runs.h
KILLS = 8
EVERY = 30  # of the operations on files, the power goes after one


class Kill(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.bed = runs.Bed(runs.fast_folder())
        cls.addClassCleanup(cls.bed.close)

    def test_killed_at_random_moments(self):
        kills, moments, found = kill.sweep(self.bed, KILLS, 1, os.cpu_count())
        self.assertEqual((kills, found), (KILLS, []), moments)

    @unittest.skipUnless(runs.DISK, "not on this system, or with sanitizers")
    def test_the_power_goes(self):
        states, went, found = power.sweep(self.bed, EVERY, 1, os.cpu_count())
        self.assertEqual(found, [])
        self.assertGreater(min(states, went), 5)

    @unittest.skipUnless(runs.DISK, "not on this system, or with sanitizers")
    def test_a_name_before_its_content_would_be_noticed(self):
        """A disk on which renames come before what was written: what sync is for."""
        record = power.Record(self.bed, "careless")
        record.lines = [line for line in record.lines if not line.startswith("sync ")]
        cases = [c for c in record.pictures(1, 1)
                 if c[0].endswith("names") and "/last.safetensors)" in c[0]]
        self.assertTrue(cases)
        self.assertTrue(record.check(0, cases[-1]))

    def refused(self, process):
        done = self.bed.finish(process)
        self.assertIn(done.returncode, (h.FAILED, h.USAGE), done.stderr)
        self.assertRegex(done.stderr, r"^clfcn: train: .*"
                                      r"(in use by another process|holds a run already).*\n$")

    def test_one_folder_for_several(self):
        run = self.bed.root / "wanted"
        processes = [self.bed.start(run) for _ in range(4)]
        for process in processes:
            process.wait(runs.SECONDS)
        winners = [p for p in processes if p.returncode == h.OK]
        self.assertEqual(len(winners), 1)
        for process in processes:
            if process is winners[0]:
                self.assertEqual(self.bed.finish(process).stderr, "")
            else:
                self.refused(process)
        self.assertEqual(self.bed.compare(run), [])

    def test_a_folder_in_use(self):
        run = self.bed.root / "used"
        first = self.bed.start(run, args=["--max-steps", "1"], CLFCN_CACHE_DIR=str(self.tmp()))
        self.wait_for(lambda: (run / "config.json").exists(), first)
        first.send_signal(signal.SIGSTOP)
        for resume in (False, True):
            done = self.bed.finish(self.bed.start(run, resume=resume))
            self.assertEqual(done.returncode, h.FAILED, done.stderr)
            self.assertIn("in use by another process", done.stderr)
        first.send_signal(signal.SIGCONT)
        self.assertEqual(self.bed.finish(first).returncode, h.OK)
        self.assertEqual(self.bed.end(run, resume=True, args=["--max-steps", "-1"]), [])

    def test_the_one_that_supervises_is_killed(self):
        """The training ends itself, saved, and lets go of the folder."""
        run = self.bed.root / "supervised"
        process = self.bed.start(run, args=["--max-restarts", "1", "--epochs", "100000"])
        self.wait_for(lambda: runs.curve(run), process)
        process.kill()
        process.communicate()
        self.wait_for(lambda: any(e["event"] == "end" for e in runs.split_log(run)[0]))
        end = time.monotonic() + runs.SECONDS
        while True:  # the lock goes last
            done = self.bed.finish(self.bed.start(run, resume=True, args=["--max-steps", "1"]))
            if "in use" not in done.stderr or time.monotonic() > end:
                break
        self.assertEqual(done.returncode, h.OK, done.stderr)
        self.assertEqual(self.bed.judge(run, anything=True), [])

    def tmp(self):
        """A cache without kernels: a start-up that takes a while."""
        cold = self.bed.root / "cold"
        shutil.copytree(self.bed.root / "cache", cold)
        shutil.rmtree(cold / "kernels")
        return cold

    def wait_for(self, condition, process=None):
        end = time.monotonic() + runs.SECONDS
        while not condition():
            self.assertLess(time.monotonic(), end)
            self.assertTrue(process is None or process.poll() is None)
            time.sleep(0.005)


if __name__ == "__main__":
    random.seed(1)
    tapunit.main()
