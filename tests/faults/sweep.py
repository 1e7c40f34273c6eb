#!/usr/bin/python3
"""Let calls of short jobs fail, one in each run, and list what clfcn does wrong.

    sweep.py BUILD [--kind opencl|memory|files] [--every N] [--only FUNCTION,...] [--jobs N]

opencl: the calls of a training; memory: allocations; files: calls of files. All calls by default
(opencl takes an hour on two processors), or all places in the program that they are made from; with
--every N each N-th. With a build that has sanitizers what they report is a complaint; it does for
opencl alone. Exit status 1 if there is anything to complain of.
"""

import argparse
import collections
import concurrent.futures
import os
import sys
from pathlib import Path


def parse():
    p = argparse.ArgumentParser(description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("build", type=Path, help="the build folder")
    p.add_argument("--kind", choices=["opencl", "memory", "files"], default="opencl")
    p.add_argument("--every", type=int, default=1, metavar="N")
    p.add_argument("--only", metavar="FUNCTION,...")
    p.add_argument("--of", metavar="JOB,...", help="memory and files: only these jobs")
    p.add_argument("--jobs", type=int, default=os.cpu_count())
    p.add_argument("--no-resume", action="store_true", help="leave out going on with the runs")
    return p.parse_args()


def main():
    o = parse()
    build = o.build.resolve()
    # Of a build with sanitizers: what clfcn leaks on its way out of an error.
    os.environ.setdefault("ASAN_OPTIONS", "allocator_may_return_null=1")
    os.environ.setdefault("LSAN_OPTIONS", "print_suppressions=0:suppressions="
                          + str(Path(__file__).resolve().parent.parent / "lsan.supp"))
    pocl = "/etc/OpenCL/vendors/pocl.icd"
    if Path(pocl).exists():  # as the tests do: one runtime, of which it is known what it leaks
        os.environ.setdefault("OCL_ICD_VENDORS", pocl)
    os.environ.update({
        "CLFCN": str(build / "host/cli/clfcn"),
        "CLFCN_PROBE": str(build / "host/cli/clfcn-probe"),
        "CLFCN_FAIL_LAYER": str(build / "tests/layers/fail_layer.so"),
        "CLFCN_HOST_FAULTS": str(build / "tests/faults/host_faults.so"),
    })
    from host import Host
    from opencl import OpenCL
    tried, complaints = collections.Counter(), []
    jobs = o.of.split(",") if o.of else None
    with OpenCL() if o.kind == "opencl" else Host(o.kind, jobs) as rig:
        wanted = o.only.split(",") if o.only else None
        faults = [f for f in rig.faults(o.every) if not wanted or f.function in wanted]
        print(f"{len(faults)} faults", file=sys.stderr)
        with concurrent.futures.ThreadPoolExecutor(o.jobs) as pool:
            checks = {pool.submit(rig.check, f, not o.no_resume): f for f in faults}
            for done in concurrent.futures.as_completed(checks):
                tried[checks[done].function] += 1
                if tried.total() % 20 == 0:
                    print(f"{tried.total()} of {len(faults)}", file=sys.stderr)
                for text in done.result():
                    complaints.append(text)
                    print(text, flush=True)
        totals = rig.totals()
    for function, n in sorted(tried.items()):
        print(f"{function}: {n} of {totals[function]}", file=sys.stderr)
    print(f"{sum(tried.values())} faults tried, {len(complaints)} complaints")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
