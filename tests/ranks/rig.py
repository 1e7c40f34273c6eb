"""What the tests of ranks share: finding the other folders' modules, skipping, running ping."""

import json
import os
import sys
import unittest
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(TESTS), str(TESTS / "cli")]

import hosts  # noqa: E402
import mpirun  # noqa: E402

PING = os.environ.get("CLFCN_PING")


def need_mpi():
    """For setUpModule()."""
    if os.environ.get("CLFCN_RANKS_MPI") != "1":
        raise unittest.SkipTest("built without MPI (package libopenmpi-dev)")
    reason = mpirun.available()
    if reason is not None:
        raise unittest.SkipTest(reason)


def need_hosts():
    """For setUpClass()."""
    reason = hosts.available()
    if reason is not None:
        raise unittest.SkipTest(f"no test hosts on this machine: {reason}")


def objects(text):
    """The JSON objects of a text, one a line; the last line may still be under way."""
    lines = text.splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith("\n") and line.startswith("{")]


class Case(unittest.TestCase):
    def well(self, result):
        """A job that ended well and left nothing over; what each rank printed, by rank."""
        self.assertEqual(result.code, 0, str(result))
        self.assertEqual(result.left_over, [], str(result))
        return sorted(objects(result.out), key=lambda o: o.get("rank", 0))

    def ping(self, ranks, *args, **settings):
        told = self.well(mpirun.run(ranks, [PING, *args], timeout=90, **settings))
        self.assertEqual([t["rank"] for t in told], list(range(ranks)))
        return told
