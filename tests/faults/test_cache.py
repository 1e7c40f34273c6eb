"""One cache folder for several processes at once, killed ones among them, and with damaged files.

CLFCN_CACHE_ROUNDS=10: more rounds of the first two tests.
"""

import os
import random
import shutil
import stat
import subprocess
import sys
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import runs  # noqa: E402
import tapunit  # noqa: E402

h = runs.h
ROUNDS = int(os.environ.get("CLFCN_CACHE_ROUNDS", "1"))
PROCESSES = 4
# What clfcn says with -v of a file in its cache that it cannot use or write.
TROUBLE = ("left alone", "left out", "not kept", "not stored", "of no use", "lost", "warning")


class Cache(h.Case):
    @classmethod
    def setUpClass(cls):
        cls.keep = h.Case()
        cls.keep.setUp()
        cls.addClassCleanup(cls.keep.doCleanups)
        cls.data = h.make_dataset(cls.keep.tmp / "data", count=6)
        cls.good = cls.keep.tmp / "good"
        cls.want, said = cls.result(cls.start(cls.good, cls.keep.tmp / "first"))
        if cls.want is None:
            raise RuntimeError(said)

    def setUp(self):
        super().setUp()
        self.cache, self.count = self.tmp / "cache", 0

    @classmethod
    def start(cls, cache, run):
        argv = h.train_args(cls.data, run, "--max-steps", 1, "-v")
        return subprocess.Popen([h.CLFCN, *map(str, argv)], text=True, errors="replace",
                                env=h.environment({"CLFCN_CACHE_DIR": str(cache)}),
                                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                stderr=subprocess.PIPE)

    @staticmethod
    def result(process):
        """(the weights after a step or None, stderr)"""
        _, err = process.communicate(timeout=h.TIMEOUT)
        run = Path(process.args[process.args.index("--out") + 1])
        if process.returncode != h.OK:
            return None, err
        weights = runs.tensors_hash(run / "checkpoints" / "last.safetensors")
        shutil.rmtree(run)
        return weights, err

    def begin(self):
        self.count += 1
        return self.start(self.cache, self.tmp / f"run{self.count}")

    def trouble(self, err):
        return [line for line in err.splitlines() if any(t in line for t in TROUBLE)]

    def check_one(self, process, trouble=False):
        weights, err = self.result(process)
        self.assertEqual(weights, self.want, err)
        self.assertEqual(bool(self.trouble(err)), trouble, err)

    def check_whole(self):
        """The cache serves a run that finds nothing wrong, and holds what it should."""
        self.check_one(self.begin())
        self.assertEqual(list(self.cache.rglob("*.tmp")), [])
        self.assertEqual(self.files(self.cache), self.files(self.good))

    @staticmethod
    def files(folder):
        return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())

    def test_several_start_with_an_empty_one(self):
        for _ in range(ROUNDS):
            for process in [self.begin() for _ in range(PROCESSES)]:
                self.check_one(process)
            self.check_whole()
            shutil.rmtree(self.cache)

    def test_some_are_killed(self):
        rng = random.Random(1)
        for _ in range(ROUNDS):
            processes = [self.begin() for _ in range(PROCESSES)]
            for process in processes[:-1]:
                time.sleep(rng.uniform(0, 1))
                process.kill()
                process.communicate()
            self.check_one(processes[-1])
            self.check_whole()
            shutil.rmtree(self.cache)

    def test_a_temporary_file_of_a_killed_process_goes(self):
        shutil.copytree(self.good, self.cache)
        left = self.cache / "kernels" / ".0123456789abcdef.bin.4711.0.tmp"
        left.write_bytes(b"half")
        self.check_one(self.begin())
        self.assertFalse(left.exists())

    def test_damaged_files_are_made_anew(self):
        rng = random.Random(2)
        shutil.copytree(self.good, self.cache)
        for i, path in enumerate(sorted(p for p in self.cache.rglob("*") if p.is_file())):
            content = bytearray(path.read_bytes())
            if i % 4 == 0:
                content = content[:rng.randrange(len(content))]
            elif i % 4 == 1:
                content = b""
            elif i % 4 == 2:
                for _ in range(20):
                    content[rng.randrange(len(content))] ^= rng.randrange(1, 256)
            else:
                content = bytearray(rng.randbytes(len(content)))
            path.write_bytes(content)
        self.check_one(self.begin(), trouble=True)
        self.check_whole()

    @unittest.skipIf(os.geteuid() != 0, "only root can give files away")
    def test_another_users_files_are_made_anew(self):
        shutil.copytree(self.good, self.cache)
        for path in self.cache.rglob("*"):
            if path.is_file():
                os.chown(path, 12345, 12345)
        self.check_one(self.begin(), trouble=True)
        self.check_whole()
        self.assertEqual({p.stat().st_uid for p in self.cache.rglob("*")}, {os.geteuid()})

    def test_only_the_user_may_enter(self):
        before = os.umask(0)
        self.addCleanup(os.umask, before)
        self.check_one(self.begin())
        for folder in [self.cache, *(p for p in self.cache.rglob("*") if p.is_dir())]:
            self.assertEqual(stat.S_IMODE(folder.stat().st_mode), 0o700, folder)


if __name__ == "__main__":
    tapunit.main()
