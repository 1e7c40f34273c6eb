"""A wall clock that is set by weeks and back all the time: no bit of a training depends on it."""

import os
import re
import sys
import unittest
import urllib.request
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import runs  # noqa: E402
import tapunit  # noqa: E402

h = runs.h
WEEKS = 3e6  # seconds
CLOCK = {"LD_PRELOAD": os.environ.get("CLFCN_CLOCK_LIB", ""), "CLFCN_CLOCK": f"{WEEKS} 0.15"}
DASHBOARD = os.environ.get("CLFCN_DASHBOARD", "1") == "1"
DURATIONS = ("ms", "seconds", "val_seconds", "wait_s")


class Clock(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.bed = runs.Bed(runs.fast_folder())
        cls.addClassCleanup(cls.bed.close)

    @staticmethod
    def durations(events):
        return [(e["event"], key, e[key]) for e in events for key in DURATIONS if key in e]

    def watch_page(self, process):
        """Read the live page again and again until the training ends; the lines of stderr."""
        first = process.stderr.readline()
        address = re.fullmatch(r"dashboard: (\S+)\n", first)
        self.assertTrue(address, first)
        pages = []
        while process.poll() is None:
            try:
                with urllib.request.urlopen(address[1], timeout=5) as reply:
                    pages.append(reply.read().decode())
            except OSError:
                break
        return pages

    def test_nothing_depends_on_it(self):
        run = self.bed.root / "set"
        loaded = os.environ.get("CLFCN_FAIL_LAYER", "")
        # The driver crashes within the first steps: a new process takes its place.
        crash = {"OPENCL_LAYERS": loaded, "CLFCN_FAIL": "clEnqueueNDRangeKernel 400 crash",
                 "CLFCN_FAIL_ONCE": str(self.bed.root / "crashed")}
        args = ["--max-restarts", "1", *(["--dashboard=0"] if DASHBOARD else [])]
        process = self.bed.start(run, args=args, **CLOCK, **crash)
        pages = self.watch_page(process) if DASHBOARD else []
        done = self.bed.finish(process)
        said = [line for line in done.stderr.splitlines()
                if "goes on from the last checkpoint" not in line and "dashboard" not in line]
        self.assertEqual((done.returncode, said), (h.OK, []))
        self.assertEqual(self.bed.compare(run), [])
        events = runs.split_log(run)[0]
        self.assertIn("restart", [e["event"] for e in events])
        for event, key, seconds in self.durations(events):
            self.assertTrue(0 <= seconds < 1000 * runs.SECONDS, (event, key, seconds))
        self.assertEqual(DASHBOARD, bool(pages))
        for page in pages:
            self.assertNotRegex(page, r"\bnan\b|-\d+:\d\d|\d{5,}:\d\d")

    def test_the_remaining_time(self):
        run = self.bed.root / "eta"
        process = self.bed.start(run, quiet=False, args=["--epochs", "40", "--max-steps", "12"],
                                 **CLOCK)
        done = self.bed.finish(process)
        self.assertEqual(done.returncode, h.OK, done.stderr)
        told = re.findall(r"ETA (\S+)", done.stderr)
        self.assertTrue(told, done.stderr)
        for eta in told:
            self.assertRegex(eta, r"^(-|0:\d\d:\d\d)$")

    @unittest.skipUnless(runs.TENSORBOARD, "built without protobuf-c")
    def test_files_for_tensorboard_stay_in_order(self):
        """A run whose clock is set back between its sessions."""
        run = self.bed.root / "sessions"
        files = run / "tb"
        names = []
        for steps, seconds in ((1, 1.8e9), (2, 1.7e9), (3, 1.9e9)):
            process = self.bed.start(run, resume=steps > 1, args=["--max-steps", steps],
                                     LD_PRELOAD=CLOCK["LD_PRELOAD"], CLFCN_CLOCK=f"{seconds} 0")
            done = self.bed.finish(process)
            self.assertEqual(done.returncode, h.OK, done.stderr)
            new = sorted(p.name for p in files.iterdir() if p.name not in names)
            self.assertEqual(len(new), 1)
            names += new
        self.assertEqual(names, sorted(names))

    def test_a_name_that_is_taken(self):
        """Two runs of one second are given folders of their own."""
        before, folder = os.getcwd(), self.bed.root / "names"
        folder.mkdir()
        os.chdir(folder)
        self.addCleanup(os.chdir, before)
        for _ in range(3):
            process = self.bed.start(None, args=["--max-steps", "0"],
                                     LD_PRELOAD=CLOCK["LD_PRELOAD"], CLFCN_CLOCK="1.8e9 0")
            done = self.bed.finish(process)
            self.assertEqual(done.returncode, h.OK, done.stderr)
        self.assertEqual(sorted(p.name[15:] for p in (folder / "runs").iterdir()),
                         ["", "-2", "-3"])


if __name__ == "__main__":
    tapunit.main()
