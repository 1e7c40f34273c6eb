"""A rank is lost while others wait: they say which, soon, and the job ends."""

import os
import re
import subprocess
import sys
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import tapunit  # noqa: E402

LINE = re.compile(r"^rank (\d): (\w+) (.*) after ([\d.]+) s$", re.M)
SPEAKS = re.compile(r"^rank (\d) speaks$", re.M)
WAITS = ["sum", "gather", "broadcast", "agree", "allreduce"]
LOST = r"rank 1 \(host .+, Card B\)"


def lost(wait, how, ranks=3, **env):
    """Exit status, {rank: (status, message, seconds)}, stderr."""
    done = subprocess.run(
        [os.environ["MPIRUN"], "-n", str(ranks), os.environ["LOST"], wait, how],
        capture_output=True, text=True, timeout=20, env={**os.environ, **env})
    said = {int(r): (status, text, float(seconds))
            for r, status, text, seconds in LINE.findall(done.stderr)}
    return done.returncode, said, done.stderr


class Lost(unittest.TestCase):
    def check(self, said, stderr, wanted, seconds, ranks=(0, 2)):
        for rank in ranks:
            self.assertIn(rank, said, stderr)
            status, text, after = said[rank]
            self.assertEqual(status, "CLFCN_ECOMM", stderr)
            self.assertRegex(text, wanted)
            self.assertLess(after, seconds)

    def test_a_rank_that_fails_is_heard_in_every_wait(self):
        for wait in WAITS:
            with self.subTest(wait=wait):
                status, said, stderr = lost(wait, "failed")
                self.check(said, stderr, f"^{LOST} failed: image 'a.png': not a PNG$", 3)
                self.assertEqual(status, 4)
                self.assertEqual(SPEAKS.findall(stderr), ["0"], stderr)

    def test_one_that_fails_while_others_compute_speaks_itself(self):
        status, _, stderr = lost("busy", "failed", ranks=4)
        self.assertEqual(status, 4)
        self.assertEqual(SPEAKS.findall(stderr), ["1"], stderr)

    def test_a_rank_that_is_killed_is_named_at_once(self):
        for wait in WAITS:
            with self.subTest(wait=wait):
                status, said, stderr = lost(wait, "killed")
                self.assertNotEqual(status, 0)
                # mpirun may end one before it has looked.
                self.check(said, stderr, f"^{LOST} died$", 3, ranks=sorted(said))
                self.assertTrue(said, stderr)

    def test_over_tcp_too(self):
        status, said, stderr = lost("allreduce", "failed", OMPI_MCA_btl="self,tcp")
        self.assertEqual(status, 4)
        self.check(said, stderr, f"^{LOST} failed: image", 3, ranks=sorted(said))
        self.assertTrue(said, stderr)
        # Where a connection breaks Open MPI ends its process at once, often before it looks.
        status, said, stderr = lost("allreduce", "killed", OMPI_MCA_btl="self,tcp")
        self.assertNotEqual(status, 0)
        self.check(said, stderr, f"^{LOST} died$", 3, ranks=sorted(said))
        self.assertRegex(stderr, "rank 1 .*(died|on node .+ exited on signal 9)")

    def test_silence_has_a_limit(self):
        for wait in ("gather", "allreduce"):
            with self.subTest(wait=wait):
                status, said, stderr = lost(wait, "silent", CLFCN_COMM_TIMEOUT="0.7")
                self.assertNotEqual(status, 0)
                self.assertTrue(said, stderr)
                self.check(said, stderr, f"^{LOST} has not answered for 0.7 s", 4,
                           ranks=sorted(said))

    def test_a_rank_that_has_left_is_not_waited_for(self):
        status, said, stderr = lost("sum", "left")
        self.assertNotEqual(status, 0)
        self.assertTrue(said, stderr)
        self.check(said, stderr, f"^{LOST} has ended and left the others behind$", 4,
                   ranks=sorted(said))

    def test_sigterm_does_not_end_a_wait_for_a_rank_that_runs(self):
        status, said, stderr = lost("sum", "stopped", ranks=2)
        self.assertEqual(status, 0, stderr)
        self.assertEqual(said[0][0], "CLFCN_OK", stderr)

    def test_a_failure_that_all_know_of_ends_in_good_order(self):
        began = time.monotonic()
        status, said, stderr = lost("agree", "agreed")
        self.assertEqual(status, 4)
        self.assertLess(time.monotonic() - began, 15)
        for rank in (0, 2):
            self.assertEqual(said[rank][0], "CLFCN_EDATA", stderr)
            self.assertRegex(said[rank][1], f"^{LOST}: image 'a.png': not a PNG$")
        self.assertNotIn("improperly", stderr)

    def test_a_limit_that_is_none_is_refused(self):
        for limit in ("0", "-1", "soon", "nan", "1 h"):
            with self.subTest(limit=limit):
                status, _, stderr = lost("sum", "failed", ranks=2, CLFCN_COMM_TIMEOUT=limit)
                self.assertNotEqual(status, 0)
                self.assertIn(f"CLFCN_COMM_TIMEOUT is '{limit}'", stderr)


if __name__ == "__main__":
    tapunit.main()
