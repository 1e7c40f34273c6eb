#!/usr/bin/env python3
"""Which lines of host/ do the tests run? Takes gcc and its gcov.

    coverage.py [--suites unit,slow,cli,faults] [--report] [--out FOLDER]

Builds with counters in build-test/coverage, runs the suites there, and prints for each folder of
host/ how many of its lines have run, then the functions that never did. --report only prints:
counts add up from run to run until the folder is deleted. Processes that are killed count for
nothing, and neither does what runs in a signal handler that ends the process.
"""

import argparse
import concurrent.futures
import gzip
import json
import os
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def build(out):
    if not (out / "build.ninja").exists():
        subprocess.run(["meson", "setup", out, "-Dtests=enabled", "-Db_coverage=true"], cwd=ROOT,
                       env={**os.environ, "CC": "gcc"}, check=True)
    subprocess.run(["meson", "compile", "-C", out], check=True)


def gcov(notes):
    """What gcov says of one object file's sources."""
    done = subprocess.run(["gcov", "--json-format", "--stdout", notes],
                          cwd=notes.parent, capture_output=True, check=True)
    raw = done.stdout
    if raw[:2] == b"\x1f\x8b":
        raw = gzip.decompress(raw)
    return [(json.loads(line), notes) for line in raw.splitlines() if line.strip()]


def gather(out):
    """({source: {line: count}}, {(source, line): [name, count]}), over all objects of a source"""
    lines = defaultdict(lambda: defaultdict(int))
    functions = {}
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for parts in pool.map(gcov, sorted(out.rglob("*.gcno"))):
            for part, _ in parts:
                for f in part["files"]:
                    path = (out / f["file"]).resolve()
                    if not path.is_relative_to(ROOT / "host"):
                        continue
                    source = path.relative_to(ROOT)
                    for line in f["lines"]:
                        lines[source][line["line_number"]] += line["count"]
                    for one in f["functions"]:
                        entry = functions.setdefault((source, one["start_line"]), [one["name"], 0])
                        entry[1] += one["execution_count"]
    return lines, functions


def show(lines, functions):
    folders = defaultdict(lambda: [0, 0])
    for source, counts in lines.items():
        for name in (source.parts[1] if len(source.parts) > 2 else "", None):
            folders[name][0] += sum(1 for n in counts.values() if n > 0)
            folders[name][1] += len(counts)
    print("folder          lines    run      %")
    for name in sorted(folders, key=lambda n: (n is None, n)):
        run, total = folders[name]
        title = "host/" + name if name is not None else "all of host/"
        print(f"{title:<14}{total:>7}{run:>7}  {100 * run / total:5.1f}")
    never = [(str(source), line, name) for (source, line), (name, n) in functions.items() if n == 0]
    print(f"\nfunctions: {len(functions)}, never run: {len(never)}")
    for source, line, name in sorted(never):
        print(f"  {source}:{line}: {name}")


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--suites", default="unit,slow,cli,faults")
    p.add_argument("--report", action="store_true", help="no build and no tests")
    p.add_argument("--out", type=Path, default=ROOT / "build-test/coverage")
    options = p.parse_args()
    out = options.out.resolve()
    failed = 0
    if not options.report:
        build(out)
        suites = [word for s in options.suites.split(",") for word in ("--suite", s)]
        failed = subprocess.run(["meson", "test", "-C", out, "--no-rebuild",
                                 "--timeout-multiplier", "3", *suites]).returncode
    show(*gather(out))
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
