"""--max-restarts: a lost device, a crash and a hang cost steps, but no bit of the result."""

import os
import signal
import subprocess
import sys
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import opencl  # noqa: E402
import rig  # noqa: E402
import tapunit  # noqa: E402

h = rig.h
NOT_AVAILABLE = rig.NOT_AVAILABLE


class Recovery(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.rig = opencl.OpenCL()
        cls.addClassCleanup(cls.rig.close)
        if not cls.rig.calls[False]:
            raise unittest.SkipTest("this OpenCL loader knows no layers")

    def setUp(self):
        self.run_dir = self.rig.root / self.id().rpartition(".")[2]
        self.once = self.run_dir.with_suffix(".once")

    def start(self, fault, *args, once=True, **env):
        """A run of two steps, a checkpoint after each, in which a call fails."""
        report = self.run_dir.with_suffix(".report")
        environment = {**self.rig.environment(self.rig.warm, fault, report), **env}
        if once:
            environment["CLFCN_FAIL_ONCE"] = str(self.once)
        return subprocess.Popen([h.CLFCN, *map(str, self.rig.argv(self.run_dir)), *args],
                                env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                text=True)

    def end(self, process):
        """(exit status, warnings, other lines)."""
        _, err = process.communicate(timeout=rig.SECONDS)
        lines = err.splitlines()
        warnings = [line for line in lines if line.startswith("clfcn: warning: ")]
        return process.returncode, warnings, [line for line in lines if line not in warnings]

    def launch(self, part):
        """The launch so far into the run, which has a few hundred."""
        return int(part * self.rig.calls[False]["clEnqueueNDRangeKernel"])

    def restarts(self):
        return [e for e in h.log_events(self.run_dir) if e["event"] == "restart"]

    def recovers(self, fault, wanted, **env):
        code, warnings, others = self.end(self.start(fault, "--max-restarts", "1", **env))
        self.assertEqual((code, others), (h.OK, []), warnings)
        self.assertEqual(len(warnings), 1)
        self.assertRegex(warnings[0], wanted)
        self.assertTrue(self.once.exists())
        self.assertEqual([e["event"] for e in h.log_events(self.run_dir)][-1], "end")
        self.assertEqual(len(self.restarts()), 1)
        self.assertRegex(self.restarts()[0]["reason"], wanted)
        self.assertEqual(self.rig.tensors(self.run_dir), self.rig.want)

    def test_lost_in_the_first_step(self):
        self.recovers(rig.Fault("clEnqueueNDRangeKernel", self.launch(0.2), NOT_AVAILABLE),
                      "layer '.+CL_DEVICE_NOT_AVAILABLE")

    def test_lost_later(self):
        self.recovers(rig.Fault("clEnqueueNDRangeKernel", self.launch(0.7), NOT_AVAILABLE),
                      "layer '.+CL_DEVICE_NOT_AVAILABLE")

    def test_lost_while_a_checkpoint_is_written(self):
        calls = self.rig.calls[False]["clEnqueueReadBuffer"]
        self.recovers(rig.Fault("clEnqueueReadBuffer", calls // 2, NOT_AVAILABLE),
                      "reading '.+CL_DEVICE_NOT_AVAILABLE")

    def test_no_context_at_first(self):
        self.recovers_anew(rig.Fault("clCreateContext", 1, rig.OUT_OF_RESOURCES))

    def recovers_anew(self, fault):
        """Where nothing has begun there is no run to log it in."""
        code, warnings, others = self.end(self.start(fault, "--max-restarts", "1"))
        self.assertEqual((code, others, len(warnings)), (h.OK, [], 1), warnings)
        self.assertEqual(self.rig.tensors(self.run_dir), self.rig.want)

    def test_driver_crashes(self):
        self.recovers(rig.Fault("clEnqueueNDRangeKernel", self.launch(0.7), "crash"),
                      "ended by signal 11")

    def test_device_hangs(self):
        waits = self.rig.calls[False]["clWaitForEvents"]
        self.recovers(rig.Fault("clWaitForEvents", waits // 2, "hang"), "it hangs",
                      CLFCN_HANG_SECONDS="3")

    def test_a_hang_without_restarts_is_said(self):
        waits = self.rig.calls[False]["clWaitForEvents"]
        code, warnings, others = self.end(self.start(rig.Fault("clWaitForEvents", waits // 2, "hang"),
                                                     CLFCN_HANG_SECONDS="3"))
        self.assertEqual((code, warnings, len(others)), (h.FAILED, [], 1), others)
        self.assertRegex(others[0], "^clfcn: train: the device has been at .+: it hangs; go on with "
                                    f"clfcn train --resume {self.run_dir}$")

    def test_as_often_as_asked(self):
        fault = rig.Fault("clEnqueueNDRangeKernel", self.launch(0.2), rig.OUT_OF_RESOURCES)
        code, warnings, others = self.end(self.start(fault, "--max-restarts", "2", once=False))
        self.assertEqual((code, len(warnings), len(others)), (h.FAILED, 2, 1), others)
        self.assertRegex(others[0], "^clfcn: train: layer '.+CL_OUT_OF_RESOURCES")
        self.assertEqual(len(self.restarts()), 2)
        again = self.rig.run(["train", "--resume", self.run_dir, "--quiet"], self.rig.warm)
        self.assertEqual(again.code, h.OK, again.err)
        self.assertEqual(self.rig.tensors(self.run_dir), self.rig.want)

    def test_what_a_new_process_does_not_mend(self):
        for args, code in ((("--lr", "1e30"), h.FAILED), (("--init", "/nowhere"), h.BAD_INPUT),
                           (("--max-restarts", "-1"), h.USAGE)):
            with self.subTest(args=args):
                got, warnings, others = self.end(self.start(None, "--max-restarts", "3", *args))
                self.assertEqual((got, warnings, len(others)), (code, [], 1), others)

    def test_stops_when_asked(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            with self.subTest(signal=number):
                self.run_dir = self.run_dir.with_suffix(f".{number}")
                process = self.start(None, "--max-restarts", "3", "--epochs", "100000",
                                     "--max-steps", "1000000")
                log = self.run_dir / "log.jsonl"
                end = time.monotonic() + rig.SECONDS
                while time.monotonic() < end and not (log.exists() and
                                                      '"event":"step"' in log.read_text()):
                    time.sleep(0.02)
                process.send_signal(number)
                code, warnings, others = self.end(process)
                self.assertEqual((code, warnings, len(others)), (h.INTERRUPTED, [], 1), others)
                self.assertEqual(h.log_events(self.run_dir)[-1]["reason"], "interrupted")

    def test_a_process_that_was_stopped_does_not_hang(self):
        process = self.start(None, "--epochs", "100000", "--max-steps", "60",
                             CLFCN_HANG_SECONDS="0.8")
        time.sleep(1)
        process.send_signal(signal.SIGSTOP)
        time.sleep(3)
        process.send_signal(signal.SIGCONT)
        code, warnings, others = self.end(process)
        self.assertEqual((code, warnings, others), (h.OK, [], []))


if __name__ == "__main__":
    tapunit.main()
