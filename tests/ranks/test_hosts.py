"""The test hosts themselves: names, latency, rate, counting, cuts, and that nothing stays."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import rig
import mpirun
import tapunit
from hosts import Hosts, Unavailable

HERE = Path(__file__).resolve().parent
# A processor that others use may keep a message this much longer, even in the quickest of 20.
LATE_MS = 15

# Makes a host, starts something there, and waits to be killed.
VICTIM = """
import subprocess, sys, time
from hosts import Hosts
hosts = Hosts(2)
subprocess.Popen(hosts.argv("node2", "sleep", "600"))
print(*hosts.networks, flush=True)
time.sleep(600)
"""


def setUpModule():
    rig.need_mpi()


def comes_true(condition, seconds=20):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.05)
    return False


class HostsCase(rig.Case):
    @classmethod
    def setUpClass(cls):
        rig.need_hosts()

    def test_two_and_three_hosts(self):
        for count in 2, 3:
            with self.subTest(hosts=count), Hosts(count, delay_ms=4) as hosts:
                told = self.ping(count, hosts=hosts)
                self.assertEqual([t["host"] for t in told], hosts.names)
                for t in told[1:]:
                    self.assertGreaterEqual(t["round_trip_ms"], 8)
                    self.assertLess(t["round_trip_ms"], 8 + LATE_MS)

    def test_latency_is_what_was_asked(self):
        with Hosts(2, delay_ms=30) as hosts:
            slow = self.ping(2, 5, hosts=hosts)[1]["round_trip_ms"]
        with Hosts(2, delay_ms=0) as hosts:
            quick = self.ping(2, hosts=hosts)[1]["round_trip_ms"]
        self.assertGreaterEqual(slow, 60)
        self.assertLess(slow, 60 + LATE_MS)
        self.assertLess(quick, LATE_MS)

    def test_ranks_that_share_a_host_are_neighbours(self):
        with Hosts(2, delay_ms=20) as hosts:
            told = self.ping(3, 5, hosts=hosts)
        self.assertEqual([t["host"] for t in told], ["node1", "node1", "node2"])
        self.assertLess(told[1]["round_trip_ms"], LATE_MS)  # no wire between the two
        self.assertGreaterEqual(told[2]["round_trip_ms"], 40)

    def test_rate(self):
        with Hosts(2, delay_ms=1, rate_mbit=80) as hosts:
            told = self.ping(2, 5, 2000000, hosts=hosts)
        self.assertLessEqual(told[1]["mbyte_s"], 10)
        self.assertGreater(told[1]["mbyte_s"], 4)

    def test_traffic_is_counted(self):
        with Hosts(2) as hosts:
            self.ping(2, 5, 4000000, hosts=hosts)
            sent = hosts.traffic()
        # Three long messages from the first, and short answers from the second.
        self.assertGreater(sent["node1"], 12e6)
        self.assertLess(sent["node1"], 14e6)
        self.assertLess(sent["node2"], 1e6)

    def test_cut_and_mend(self):
        with Hosts(2) as hosts, mpirun.start(2, [rig.PING, "watch"], hosts=hosts) as job:
            def lines():
                return len(rig.objects(job.out()))

            self.assertTrue(job.wait_for(lambda: lines() >= 3, 90), job.err())
            hosts.cut("node2")
            time.sleep(0.5)  # what was under way
            before = lines()
            time.sleep(1)
            self.assertEqual(lines(), before)
            self.assertIsNone(job.process.poll())
            hosts.mend("node2")
            self.assertTrue(job.wait_for(lambda: lines() > before + 3, 90), job.err())

    def test_names_stay_in_the_hosts(self):
        before = os.uname().nodename
        with Hosts(1) as hosts:
            name = subprocess.run(hosts.argv("node1", "hostname"), capture_output=True, text=True)
        self.assertEqual(name.stdout.strip(), "node1", name.stderr)
        self.assertEqual(os.uname().nodename, before)


class CleanUp(rig.Case):
    @classmethod
    def setUpClass(cls):
        rig.need_hosts()

    def test_close_kills_what_runs(self):
        with Hosts(2) as hosts:
            child = subprocess.Popen(hosts.argv("node2", "sleep", "600"))
            self.assertTrue(comes_true(lambda: child.pid in hosts.processes()))
        self.assertEqual(child.wait(timeout=20), -signal.SIGKILL)
        self.assertEqual(hosts.processes(), {})
        self.assertFalse(hosts.folder.exists())

    def test_also_after_a_failure(self):
        with self.assertRaises(ZeroDivisionError):
            with Hosts(1) as hosts:
                child = subprocess.Popen(hosts.argv("node1", "sleep", "600"))
                self.assertTrue(comes_true(lambda: child.pid in hosts.processes()))
                raise ZeroDivisionError
        self.assertEqual(child.wait(timeout=20), -signal.SIGKILL)
        self.assertEqual(hosts.wire.returncode, 0)

    def test_also_when_the_test_is_killed(self):
        victim = subprocess.Popen([sys.executable, "-c", VICTIM], cwd=HERE, text=True,
                                  stdout=subprocess.PIPE)
        self.addCleanup(victim.stdout.close)
        with Hosts(1) as other:  # for its way to find processes
            other.networks = set(map(int, victim.stdout.readline().split()))
            self.assertTrue(comes_true(lambda: "sleep" in other.processes().values()))
            victim.kill()
            victim.wait()
            self.assertTrue(comes_true(lambda: not other.processes()), other.processes())

    def test_unavailable_says_why(self):
        path = os.environ["PATH"]
        os.environ["PATH"] = "/nowhere"
        try:
            with self.assertRaisesRegex(Unavailable, "nsenter"):
                Hosts(1)
        finally:
            os.environ["PATH"] = path

    def test_unavailable_without_the_right(self):
        # Without CAP_SYS_ADMIN there are no new namespaces.
        r = subprocess.run(
            ["setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin", sys.executable,
             "-c", "import hosts; print(hosts.available())"],
            cwd=HERE, capture_output=True, text=True, timeout=60)
        self.assertIn("not permitted", r.stdout, r.stderr)


if __name__ == "__main__":
    tapunit.main()
