"""Each OpenCL function that a training calls fails: first and last calls, and some between.

All calls, which takes an hour: sweep.py.
"""

import concurrent.futures
import os
import sys
import unittest
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

    def test_a_fault_that_is_not_noticed_would_be(self):
        """The layer does make calls fail, and a report tells which."""
        done, _ = self.rig.attempt(rig.Fault("clEnqueueNDRangeKernel", 5, rig.OUT_OF_RESOURCES),
                                   False)
        self.assertEqual(done.report[("failed",)], "clEnqueueNDRangeKernel")
        self.assertEqual(done.report["call", "clCreateContext"], 1)
        self.assertEqual(done.code, 1)


if __name__ == "__main__":
    tapunit.main()
