"""Broken OpenCL drivers beside a good one, and alone: they cost a line, never the process.

The broken ones are tests/device/broken_icd.c, a library for each fault.
"""

import os
import shutil
import time
import unittest
from pathlib import Path

import harness as h
import tapunit

BROKEN = Path(os.environ.get("CLFCN_BROKEN_ICDS", "."))
PROBE = os.environ.get("CLFCN_PROBE", "clfcn-probe")
POCL = Path("/etc/OpenCL/vendors/pocl.icd")

SEGFAULT = "signal 11 (Segmentation fault)"
# What is left out, and what is said of it.
FAULTS = {
    "crash_on_load": f"crashed with {SEGFAULT} while being loaded",
    "exit_on_load": "ended the whole process while being loaded",
    "crash_in_platforms": f"crashed with {SEGFAULT} while listing its platforms",
    "crash_in_devices": f"crashed with {SEGFAULT} while listing its devices",
    "crash_in_context": f"crashed with {SEGFAULT} while opening device 'Broken GPU'",
    "error_from_devices": "cannot list its devices: CL_OUT_OF_HOST_MEMORY",
    "billions_of_devices": "claims to have 4000000000 devices",
}
HANGS = {
    "hang_on_load": "did not answer within 3 s while being loaded",
    "hang_in_devices": "did not answer within 3 s while listing its devices",
}
# Devices that are listed, and why they are not usable.
NONSENSE = {
    "no_compute_units": "0 compute units",
    "no_memory": "does not tell its memory",
    "absurd_memory": "18446744073709551615 bytes",
    "no_name": "no name",
}


@unittest.skipUnless(POCL.exists(), "PoCL is not installed")
class Vendors(h.Case):
    """A vendors folder of each test's own."""

    def setUp(self):
        super().setUp()
        self.vendors = self.tmp / "vendors"
        self.vendors.mkdir()
        self.env = {"OCL_ICD_VENDORS": str(self.vendors),
                    "CLFCN_CACHE_DIR": str(self.tmp / "cache")}

    def install(self, *faults, good=True):
        """Register PoCL, if good, and drivers with faults only."""
        for old in self.vendors.iterdir():
            old.unlink()
        if good:
            shutil.copy(POCL, self.vendors / "pocl.icd")
        for fault in faults:
            library = BROKEN / f"icd_{fault}.so"
            self.assertTrue(library.exists(), library)
            (self.vendors / f"{fault}.icd").write_text(f"{library}\n")


class Drivers(Vendors):
    def train(self, *more, **kwargs):
        shutil.rmtree(self.tmp / "run", ignore_errors=True)
        return h.run(*h.train_args("demo", self.tmp / "run", "--arch", "fcn32s", "--max-steps", 1,
                                   *more), "--quiet", env=self.env, **kwargs)

    def assert_line(self, text, fault, words, start):
        """One line of text is of that driver: library, file, what happened, what to do."""
        lines = [line for line in text.splitlines() if f"icd_{fault}.so" in line]
        self.assertEqual(len(lines), 1, text)
        self.assertTrue(lines[0].startswith(start), lines[0])
        for word in (str(BROKEN / f"icd_{fault}.so"), words,
                     f"delete {self.vendors / fault}.icd"):
            self.assertIn(word, lines[0])

    def assert_left_out(self, fault, words):
        self.install(fault)
        text = self.ok("devices", env=self.env)
        self.assert_line(text.out, fault, words, "! ")
        self.assertEqual(text.err, "")
        objects = self.ok("devices", "--json", env=self.env).events
        self.assertTrue(objects[0]["usable"] and objects[0]["chosen"], objects)
        self.assertIn("Portable Computing Language", objects[0]["platform"])
        self.assertEqual(objects[1:], [{
            "library": str(BROKEN / f"icd_{fault}.so"), "file": f"{self.vendors}/{fault}.icd",
            "usable": False, "why_not": words, "chosen": False}])

        r = self.train()
        self.assertEqual(r.code, h.OK, str(r))
        self.assertEqual(len(r.err.splitlines()), 1, str(r))
        self.assert_line(r.err, fault, words, "clfcn: warning: ")

    def assert_no_device_left(self, fault, words):
        self.install(fault, good=False)
        r = h.run("devices", env=self.env)
        self.assertEqual(r.code, h.NO_DEVICE, str(r))
        self.assert_line(r.out, fault, words, "! ")
        r = self.train()
        self.assertEqual(r.code, h.NO_DEVICE, str(r))
        self.assertIn("1 OpenCL driver does not work", r.err.splitlines()[-1])
        self.assertIn("no OpenCL device found", r.err.splitlines()[-1])

    def test_faults_are_left_out(self):
        for fault, words in FAULTS.items():
            with self.subTest(fault=fault):
                self.assert_left_out(fault, words)

    def test_with_nothing_else_there_is_no_device(self):
        for fault, words in FAULTS.items():
            with self.subTest(fault=fault):
                self.assert_no_device_left(fault, words)

    def test_hanging_drivers_are_left_out(self):
        self.env["CLFCN_PROBE_SECONDS"] = "3"
        for fault, words in HANGS.items():
            with self.subTest(fault=fault):
                self.assert_left_out(fault, words)

    def test_hanging_drivers_cost_the_limit_once(self):
        self.env["CLFCN_PROBE_SECONDS"] = "8"  # one after the other they would take 16
        self.install(*HANGS)
        begin = time.monotonic()
        r = self.ok("devices", env=self.env)
        self.assertLess(time.monotonic() - begin, 15.5)
        for fault, words in HANGS.items():
            self.assert_line(r.out, fault, words.replace("3 s", "8 s"), "! ")
        self.assertIn("CLFCN_PROBE_SECONDS", r.out)

    def test_a_driver_that_offers_nothing_is_in_nobodys_way(self):
        words = "cannot list its platforms: CL_OUT_OF_HOST_MEMORY"
        for i in range(2):  # found, then remembered
            self.install("error_from_platforms")
            self.assert_line(self.ok("devices", env=self.env).out, "error_from_platforms", words,
                             "! ")
            r = self.train()
            self.assertEqual((r.code, r.err), (h.OK, ""), str(r))
            self.assert_no_device_left("error_from_platforms", words)

    def test_a_library_that_cannot_be_loaded(self):
        self.install()
        (self.vendors / "gone.icd").write_text("libno-such-opencl.so.9\n")
        r = self.ok("devices", env=self.env)
        self.assertRegex(r.out, r"! libno-such-opencl\.so\.9 .*gone\.icd\) cannot be loaded: ")
        self.assertEqual(self.train().err, "")

    def test_no_platforms_and_no_devices_are_no_fault(self):
        self.install("no_platforms", "no_devices")
        r = self.ok("devices", env=self.env)
        self.assertNotIn("icd_no", r.out + r.err)
        self.install("no_platforms", "no_devices", good=False)
        r = self.train()
        self.assert_one_error(r, h.NO_DEVICE, "no OpenCL device found")
        self.assertNotIn("does not work", r.err)

    def test_devices_with_nonsense_values_are_not_usable(self):
        for fault, words in NONSENSE.items():
            with self.subTest(fault=fault):
                self.install(fault)
                by_usable = {d["usable"]: d for d in
                             self.ok("devices", "--json", env=self.env).events}
                self.assertIn(words, by_usable[False]["why_not"])
                self.assertTrue(by_usable[True]["chosen"])
                r = self.train()
                self.assertEqual((r.code, r.err), (h.OK, ""), str(r))
                self.assert_one_error(self.train("--device", by_usable[False]["index"]),
                                      h.NO_DEVICE, words)

    def test_numbers_are_the_same_in_every_command(self):
        self.env["POCL_DEVICES"] = "pthread basic"
        self.install("no_compute_units", "crash_in_devices", "error_from_platforms")
        for device in self.ok("devices", "--json", env=self.env).events:
            if device["usable"]:
                r = self.ok("plan", "--backbone", "vgg11", "--size", "32x32", "--batch", 1,
                            "--device", device["index"], env=self.env)
                self.assertIn(device["name"], r.out)

    def test_time_limit_that_is_none(self):
        self.install()
        for value in ("soon", "0", "-1", "nan"):
            with self.subTest(value=value):
                r = self.ok("devices", env={**self.env, "CLFCN_PROBE_SECONDS": value})
                self.assertIn(f"CLFCN_PROBE_SECONDS={value} ", r.err)

    def test_without_the_probing_program_drivers_are_used_untried(self):
        self.install()
        r = self.ok("devices", "-v", env={**self.env, "CLFCN_PROBE": "/no/such/program"})
        self.assertIn("/no/such/program", r.err)
        self.assertIn("Portable Computing Language", r.out)


class Memory(Vendors):
    """Which drivers are tried: those of which nothing is known."""

    def setUp(self):
        super().setUp()
        self.log = self.tmp / "tried"
        script = self.tmp / "probe.sh"
        script.write_text(f'#!/bin/sh\necho "$1" >>"{self.log}"\nexec "{PROBE}" "$@"\n')
        script.chmod(0o755)
        self.env["CLFCN_PROBE"] = str(script)

    def tried(self, command, **env):
        """The libraries that a command tried, and that it did no harm."""
        self.log.write_text("")
        args = ["--backbone", "vgg11", "--size", "32x32"] if command == "plan" else []
        self.ok(command, *args, env={**self.env, **env})
        return sorted(Path(line).name for line in self.log.read_text().splitlines())

    def test_a_driver_that_passed_is_not_tried_again(self):
        self.install()
        self.assertEqual(len(self.tried("plan")), 1)
        self.assertEqual(self.tried("plan"), [])
        self.assertEqual(len(self.tried("devices")), 1)
        self.assertEqual(self.tried("plan"), [])
        self.assertEqual(len(self.tried("plan", POCL_DEVICES="basic")), 1)

    def test_a_broken_driver_is_tried_each_time(self):
        self.install("crash_on_load")
        self.assertEqual(len(self.tried("plan")), 2)
        self.assertEqual(self.tried("plan"), ["icd_crash_on_load.so"])

    def test_a_changed_library_is_tried_again(self):
        self.install()
        library = self.tmp / "driver.so"
        shutil.copy(BROKEN / "icd_no_devices.so", library)
        (self.vendors / "own.icd").write_text(f"{library}\n")
        self.assertEqual(len(self.tried("plan")), 2)
        self.assertEqual(self.tried("plan"), [])
        shutil.copy(BROKEN / "icd_crash_on_load.so", library)
        self.assertEqual(self.tried("plan"), ["driver.so"])

    def test_damaged_memory_is_no_memory(self):
        self.install()
        self.tried("plan")
        for file in (self.tmp / "cache/drivers").iterdir():
            file.write_bytes(file.read_bytes()[:-30])
        self.assertEqual(len(self.tried("plan")), 1)


if __name__ == "__main__":
    tapunit.main()
