"""Allocations and calls of files fail: some of those that training, evaluation and the rest make.

All places that they are made from, which takes an hour: sweep.py.
"""

import concurrent.futures
import os
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import host  # noqa: E402
import rig  # noqa: E402
import tapunit  # noqa: E402

h = rig.h
EVERY = {"memory": 70, "files": 30}  # of the places that calls come from: a minute's worth


@unittest.skipUnless(rig.HOST, "made for glibc, and not for sanitizers")
class HostCalls(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.rig = host.Host("files")
        cls.addClassCleanup(cls.rig.close)

    def sweep(self, kind):
        self.rig.kind = kind
        faults = list(self.rig.faults(EVERY[kind]))
        self.assertGreater(len(faults), 12)
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            found = [text for texts in pool.map(self.rig.check, faults) for text in texts]
        self.assertEqual(found, [])

    def test_allocations_that_fail(self):
        self.sweep("memory")

    def test_file_calls_that_fail(self):
        self.sweep("files")

    def test_what_is_called(self):
        """Enough of it that a sweep is one."""
        functions = {kind: {f for f, _ in sites} for kind, sites in self.rig.sites.items()}
        self.assertLessEqual({"malloc", "calloc", "realloc", "strdup", "pthread_create", "fdopen"},
                             functions["memory"])
        self.assertLessEqual({"open", "read", "write", "close", "fsync", "rename", "mkdir", "stat64",
                              "flock", "opendir", "pread"}, functions["files"])

    def fails(self, function, code, kind, job="train"):
        done, place = self.rig.attempt(rig.Fault(function, 1, code, kind=kind, job=job), None)
        self.assertEqual((done.code, done.report["failed",]), (h.FAILED, function), done.err)
        self.assertEqual(len(done.err.splitlines()), 1, done.err)
        self.assertGreater(len(done.report["at",]), 1)
        return done, place

    def test_memory_ends(self):
        done, _ = self.fails("calloc", "ENOMEM+", "memory")
        self.assertIn("out of memory", done.err)

    def test_a_disk_is_read_only(self):
        done, place = self.fails("mkdir", "EROFS+", "files", "predict")
        self.assertRegex(done.err, "^clfcn: predict: .*Read-only file system$")
        self.assertEqual(list((place / "out").iterdir()), [])

    def test_a_disk_is_full_in_the_middle_of_a_checkpoint(self):
        """The library does fail the write that is asked for: a file of 100 writes is not whole."""
        sites = self.rig.sites["files"]
        (function, site), (_, calls) = max(((key, value) for key, value in sites.items()
                                            if key[0] == "write" and value[0] == "train"),
                                           key=lambda item: item[1][1])
        done, place = self.rig.attempt(rig.Fault(function, calls // 2, "ENOSPC+", kind="files",
                                                 site=site), None)
        self.assertEqual(done.code, h.FAILED, done.err)
        self.assertRegex(done.err, "^clfcn: train: .*No space left on device$")
        self.assertEqual([p for p in (place / "run").rglob(".*.tmp")], [])

    def test_a_file_that_is_not_whole_is_seen(self):
        folder = Path(self.rig.root)
        for name, content in (("a.png", b"\x89PNG"), ("a.json", b"{"), ("a.html", b"<html>"),
                              ("a.jsonl", b'{}\n{"a":'), ("a.safetensors", b"12345678"),
                              ("a.npy", b""), ("a.pth", b"PK")):
            (folder / name).write_bytes(content)
            self.assertTrue(rig.broken(folder / name), name)


if __name__ == "__main__":
    tapunit.main()
