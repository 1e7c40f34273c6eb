"""The helper that runs jobs: what each rank is given, finding and killing ranks, nothing stays."""

import os
import signal
import subprocess
import sys
import time
import unittest

import rig
import mpirun
import tapunit
from mpirun import Rank

# Ranks that take no notice of the end of mpirun.
STUBBORN = ["sh", "-c", "trap '' TERM INT; sleep 600 & wait; sleep 600"]


def setUpModule():
    rig.need_mpi()


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with open(f"/proc/{pid}/stat") as f:
        return f.read().rpartition(")")[2].split()[0] != "Z"


class Settings(rig.Case):
    def test_same_for_all(self):
        told = self.ping(3, 4, 1000, env={"CLFCN_PING_LABEL": "all"})
        self.assertEqual([t["label"] for t in told], ["all"] * 3)
        self.assertEqual([t["args"] for t in told], [["4", "1000"]] * 3)

    def test_of_one_rank(self):
        told = self.ping(3, 4, env={"CLFCN_PING_LABEL": "all"},
                         per_rank=[Rank(), Rank(env={"CLFCN_PING_LABEL": "a, b; c"}),
                                   Rank(args=["1048576", "x y"])])
        self.assertEqual([t["label"] for t in told], ["all", "a, b; c", "all"])
        self.assertEqual([t["args"] for t in told], [["4"], ["4"], ["4", "1048576", "x y"]])

    def test_no_binding_unless_asked(self):
        show = ["sh", "-c", "grep Cpus_allowed_list /proc/self/status"]
        mine = subprocess.run(show, capture_output=True, text=True).stdout
        done = mpirun.run(2, show, timeout=60)
        self.assertEqual(done.out, mine * 2, str(done))

    def test_binding(self):
        if len(os.sched_getaffinity(0)) < 2:
            self.skipTest("one processor")
        show = ["sh", "-c", "grep Cpus_allowed_list /proc/self/status"]
        lines = mpirun.run(2, show, bind="core", timeout=60).out.splitlines()
        self.assertEqual(len(set(lines)), 2, lines)

    def test_exit_status_and_streams(self):
        done = mpirun.run(2, ["sh", "-c", "echo out; echo err >&2; exit 7"], timeout=60)
        self.assertEqual(done.code, 7, str(done))
        self.assertIn("out", done.out)
        self.assertIn("err", done.err)


class Ends(rig.Case):
    def test_pid_is_that_of_the_rank(self):
        with mpirun.start(3, [rig.PING, "watch"]) as job:
            pids = [job.pid(r) for r in range(3)]
            self.assertEqual(len(set(pids)), 3)
            self.assertTrue(job.wait_for(lambda: rig.objects(job.out()), 60), job.err())
            os.kill(job.pid(1), signal.SIGKILL)
            done = job.wait(60)
        self.assertEqual(done.code, 128 + signal.SIGKILL, str(done))
        self.assertIn("process rank 1 ", done.err)
        self.assertEqual(done.left_over, [])
        self.assertFalse(any(map(alive, pids)))

    def test_processes_of_a_rank_are_no_ranks(self):
        with mpirun.start(2, ["sh", "-c", "sleep 600 & wait"]) as job:
            pid = job.pid(1)
            self.assertTrue(job.wait_for(
                lambda: sum(mpirun.parent_of(p) == pid for p in job._members()) == 1, 60))
            self.assertEqual(job.pid(1), pid)
            self.assertEqual(sorted(job.pids()), [0, 1])

    def test_timeout_kills_all(self):
        job = mpirun.start(2, STUBBORN)
        pids = [job.pid(r) for r in range(2)]
        with self.assertRaises(TimeoutError):
            job.wait(1)
        self.assertFalse(any(map(alive, [*pids, job.process.pid])))
        self.assertFalse(job.folder.exists())

    def test_left_over_is_told(self):
        with mpirun.start(2, STUBBORN) as job:
            pids = [job.pid(r) for r in range(2)]
            job.signal(signal.SIGKILL)
            done = job.wait(60)
        self.assertEqual(done.code, -signal.SIGKILL)
        self.assertTrue(any("sleep 600" in line for line in done.left_over), done.left_over)
        self.assertFalse(any(map(alive, pids)))

    def test_killed_test_ends_the_job(self):
        code = ("import mpirun, time\n"
                "job = mpirun.start(2, ['sleep', '600'])\n"
                "print(job.pid(0), job.pid(1), job.process.pid, job.folder, flush=True)\n"
                "time.sleep(600)\n")
        victim = subprocess.Popen([sys.executable, "-c", code], text=True,
                                  stdout=subprocess.PIPE, cwd=os.path.dirname(rig.__file__))
        *pids, folder = victim.stdout.readline().split()
        pids = list(map(int, pids))
        victim.stdout.close()
        self.assertTrue(all(map(alive, pids)))
        victim.kill()
        victim.wait()
        end = time.monotonic() + 30
        while any(map(alive, pids)) and time.monotonic() < end:
            time.sleep(0.1)
        self.assertFalse(any(map(alive, pids)))
        subprocess.run(["rm", "-rf", folder], check=True)


class Placement(unittest.TestCase):
    class Three:
        names = ["node1", "node2", "node3"]

    def test_blocks(self):
        def at(n):
            return [int(name[-1]) for name in mpirun.placement(n, self.Three)]

        self.assertEqual(at(3), [1, 2, 3])
        self.assertEqual(at(4), [1, 1, 2, 3])
        self.assertEqual(at(6), [1, 1, 2, 2, 3, 3])


if __name__ == "__main__":
    tapunit.main()
