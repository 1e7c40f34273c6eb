"""A short soak: the verdicts of soak.py, and a few of its steps, cycles and pictures."""

import os
import sys
import tempfile
import types
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]
import soak  # noqa: E402
import tapunit  # noqa: E402

soak.Table.prefix = "# "  # as TAP wants it


class Verdict(unittest.TestCase):
    def table(self, samples):
        table = soak.Table("")
        soak.add_samples(table, samples)
        return all(table.rows)

    def samples(self, **grows):
        return [{"memory, MiB": 200 + grows.get("memory", 0) * i / 100,
                 "descriptors": 5 + i % 2 + int(grows.get("descriptors", 0) * i / 100),
                 "threads": 4 + int(grows.get("threads", 0) * i / 100)} for i in range(100)]

    def test_what_grows_is_noticed(self):
        self.assertTrue(self.table(self.samples()))
        for grows in ({"memory": 40}, {"descriptors": 8}, {"threads": 3}):
            self.assertFalse(self.table(self.samples(**grows)), grows)

    def test_objects(self):
        with tempfile.TemporaryDirectory() as folder:
            series = Path(folder) / "series"
            for grows, good in ((0, True), (1, False)):
                series.write_text("".join(f"{i}0000 buffer {200 + grows * i // 10} event {i % 7}\n"
                                          for i in range(1, 61)))
                table = soak.Table("")
                soak.add_live(table, series)
                self.assertEqual(all(table.rows), good)
                self.assertEqual(len(table.rows), 2)


class Soak(unittest.TestCase):
    """Starting takes longer than a few steps: they are too few for a verdict on memory and time, and
    on what a process has open."""

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="clfcn-soak-")
        cls.addClassCleanup(cls.folder.cleanup)
        options = types.SimpleNamespace(clfcn=os.environ["CLFCN"],
                                        layer=os.environ.get("CLFCN_FAIL_LAYER", ""))
        cls.soak = soak.Soak(options, Path(cls.folder.name))

    def check(self, part, *args):
        tables = []
        self.soak.close = tables.append
        part(*args)
        self.assertEqual(len(tables), 1)
        names = [name for name, good in tables[0].named if not good]
        unsteady = ("ms", "memory", "descriptors", "threads")
        self.assertEqual([n for n in names if not n.startswith(unsteady)], [])

    @unittest.skipUnless(os.environ.get("CLFCN_DASHBOARD", "1") == "1", "no dashboard")
    def test_steps(self):
        self.check(self.soak.steps, 40)

    def test_cycles(self):
        self.check(self.soak.cycles, 3)

    def test_many_pictures(self):
        self.check(self.soak.images, 3000, 20)


if __name__ == "__main__":
    tapunit.main()
