"""unittest with TAP on stdout, so that meson counts single tests. Ends with the plan."""

import sys
import time
import traceback
import unittest


class TapResult(unittest.TestResult):
    """One line a test method; a method whose subtests fail counts as one failure."""

    def __init__(self):
        super().__init__()
        self.count = 0
        self.sub_failed = False

    def startTest(self, test):
        super().startTest(test)
        self.sub_failed = False
        self.started = time.monotonic()

    def _line(self, ok, test, directive=""):
        self.count += 1
        name = test.id() if hasattr(test, "id") else str(test)
        name = name.removeprefix("__main__.").replace("#", "")
        print(f"{'ok' if ok else 'not ok'} {self.count} - {name}{directive}", flush=True)

    def _diagnose(self, err):
        for line in "".join(traceback.format_exception(*err)).splitlines():
            print(f"# {line}", flush=True)

    def addSuccess(self, test):
        if not self.sub_failed:
            self._line(True, test)

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self._line(False, test)
        self._diagnose(err)

    def addError(self, test, err):
        super().addError(test, err)
        self._line(False, test)
        self._diagnose(err)

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self._line(True, test, f" # SKIP {reason}")

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err is not None:
            if not self.sub_failed:
                self._line(False, test)
            self.sub_failed = True
            print(f"# in {subtest}")
            self._diagnose(err)


def main():
    """Run the tests of __main__; arguments choose some by a part of their names."""
    suite = unittest.defaultTestLoader.loadTestsFromModule(sys.modules["__main__"])
    wanted = sys.argv[1:]

    def flatten(s):
        for item in s:
            if isinstance(item, unittest.TestSuite):
                yield from flatten(item)
            else:
                yield item

    chosen = unittest.defaultTestLoader.suiteClass()
    for test in flatten(suite):
        if not wanted or any(w in test.id() for w in wanted):
            chosen.addTest(test)
    result = TapResult()
    print("TAP version 13", flush=True)
    chosen.run(result)
    print(f"1..{result.count}", flush=True)
    sys.exit(0 if result.wasSuccessful() else 1)
