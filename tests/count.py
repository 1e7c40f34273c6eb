#!/usr/bin/env python3
"""Count single tests in meson's test logs and print `N passed, N failed[, N skipped]`.

    count.py [--failed N] LOG.json...

A TAP test counts once for each of its lines, any other once. A test that ended badly without a
failed line (a leak found at exit, a crash, a timeout) adds one failure.
"""

import argparse
import json
import re
import sys
from pathlib import Path

LINE = re.compile(r"^(not )?ok\b\s*\d*\s*(?:- )?([^#]*)(?:#\s*(skip|todo)\b)?", re.I)
LEFT = re.compile(r"^# skipped: ", re.M)  # tests/skip.h: the test's own line says "ok"
GOOD = {"OK", "EXPECTEDFAIL"}


def count(test):
    """(passed, skipped, names of failures) of one entry of the log"""
    name, result = test["name"], test["result"]
    output = test.get("stdout") or ""
    lines = [m for m in map(LINE.match, output.splitlines()) if m]
    failed = [f"{name}: {m[2].strip()}" for m in lines if m[1] and not m[3]]
    skipped = sum(1 for m in lines if m[3]) + len(LEFT.findall(output))
    passed = len(lines) - len(failed) - skipped
    if result == "SKIP":
        return 0, max(1, skipped), []
    if result not in GOOD and not failed:
        failed.append(f"{name}: {result.lower()}")
    elif result in GOOD and not lines:
        passed = 1
    return passed, skipped, failed


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--failed", type=int, default=0, help="failures to add, builds for example")
    p.add_argument("logs", nargs="*", type=Path)
    options = p.parse_args()
    passed, skipped, failed = 0, 0, options.failed
    for log in options.logs:
        for line in log.read_text(errors="replace").splitlines():
            good, left_out, names = count(json.loads(line))
            passed, skipped, failed = passed + good, skipped + left_out, failed + len(names)
            for name in names:
                print(f"FAILED {log.parent.parent.name}: {name}")
    total = f"{passed} passed, {failed} failed"
    print(total + (f", {skipped} skipped" if skipped else ""))
    sys.exit(1 if failed or not passed else 0)


if __name__ == "__main__":
    main()
