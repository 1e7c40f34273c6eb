"""Each OpenCL function that a training calls fails: first and last calls, and some between.

All calls, which takes an hour: sweep.py.
"""

import concurrent.futures
import os
import sys
import unittest
from unittest import mock
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import opencl  # noqa: E402
import rig  # noqa: E402
import tapunit  # noqa: E402

EVERY = 700  # of a function's calls: a minute's worth


class OpenCL(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.rig = opencl.OpenCL()
        cls.addClassCleanup(cls.rig.close)
        if not cls.rig.calls[False]:
            raise unittest.SkipTest("this OpenCL loader knows no layers")

    def test_calls_that_fail(self):
        faults = list(self.rig.faults(EVERY))
        self.assertGreater(len({f.function for f in faults}), 20)
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            found = [text for texts in pool.map(self.rig.check, faults) for text in texts]
        self.assertEqual(found, [])

    def test_what_only_one_function_returns(self):
        """A compiler's error, and a read that delivers a wrong bit."""
        codes = {f.code for f in self.rig.faults(EVERY)}
        self.assertLessEqual({rig.BUILD, rig.FLIP, rig.BAD_QUEUE}, codes)

    def test_a_bit_that_is_wrong_is(self):
        done, place = self.rig.attempt(
            rig.Fault("clEnqueueReadBuffer", self.rig.calls[False]["clEnqueueReadBuffer"], rig.FLIP),
            False)
        self.assertEqual((done.code, done.report["failed",]), (0, "clEnqueueReadBuffer"), done.err)
        want, got = self.rig.want, self.rig.tensors(place / "run")
        different = sum(a != b for name in want for a, b in zip(want[name][2], got[name][2]))
        self.assertEqual(different, 1)

    def test_a_slow_driver_changes_nothing(self):
        with mock.patch.dict(os.environ, {"CLFCN_FAIL_SLOW": "1"}):
            self.assertEqual(self.rig.check(rig.Fault("none", 1, rig.FLIP)),
                             ["none 1 flip: was not made"])

    def test_a_fault_that_is_not_noticed_would_be(self):
        """The layer does make calls fail, and a report tells which."""
        done, _ = self.rig.attempt(rig.Fault("clEnqueueNDRangeKernel", 5, rig.OUT_OF_RESOURCES),
                                   False)
        self.assertEqual(done.report[("failed",)], "clEnqueueNDRangeKernel")
        self.assertEqual(done.report["call", "clCreateContext"], 1)
        self.assertEqual(done.code, 1)


if __name__ == "__main__":
    tapunit.main()
