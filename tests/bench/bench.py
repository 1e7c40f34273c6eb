#!/usr/bin/python3
"""Measure clfcn on this machine against PyTorch, OpenBLAS and CLBlast as shipped.

    bench.py [--clfcn build/host/cli/clfcn] [--only step,infer,gemm,...] [--json [FILE]]

Prints the table of goals as Markdown: each figure with its spread, the other side of the
comparison measured in alternating rounds, what must be reached, and the verdict. Rows:

    step, infer  a training step and inference against PyTorch, threads as the device has cores
    memory       peak memory of those processes
    gemm         the matrix products of VGG's layers against OpenBLAS (cuBLAS on a GPU) and
                 CLBlast as shipped
    growth       the step's time over batch and side, relative to linear
    cold, warm   time to the first step, from empty caches and from warm ones
    data         share of the time that the device waits for images (--data DIR)
    cuda         a GPU against PyTorch with CUDA, TF32 off and on, batch 4 and 32

All that fit the device are measured unless --only says otherwise. Exit status 1 if a row could
not be measured; a goal that is missed is a result, not a failure.
"""

import argparse
import json
import os
import sys
from pathlib import Path

import machine
from rows import CPU_ROWS, GPU_ROWS, ROWS
from runner import Runner, note, positive
from table import NotMeasured, Row, markdown

BUILD = Path(__file__).resolve().parents[2] / "build"


def row_names(text):
    names = text.split(",")
    for name in names:
        if name not in ROWS:
            raise argparse.ArgumentTypeError(f"no row '{name}': there are {', '.join(ROWS)}")
    return names


def parse():
    p = argparse.ArgumentParser(description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--clfcn", default=os.environ.get("CLFCN", BUILD / "host/cli/clfcn"))
    p.add_argument("--gemm-bench", help="default: tests/bench/gemm_bench of clfcn's build folder")
    p.add_argument("--python", default=sys.executable, help="the one that has PyTorch, NumPy")
    p.add_argument("--only", type=row_names, metavar="ROW,ROW")
    p.add_argument("--rounds", type=positive, default=5, help="default 5")
    p.add_argument("--steps", type=positive, default=5, help="timed in each round; default 5")
    p.add_argument("--limit", type=positive, metavar="SECONDS",
                   help="begin no row, and no round but a row's first, after so long")
    p.add_argument("--data", metavar="DIR", help="data set of row data; default: the demo set")
    p.add_argument("--device", default="auto")
    p.add_argument("--arch", default="fcns")
    p.add_argument("--backbone", default="vgg16")
    p.add_argument("--batch", type=positive, default=4)
    p.add_argument("--size", default="160x160")
    p.add_argument("--classes", type=positive, default=2)
    p.add_argument("--gemm", default="auto", help="clfcn's provider of matrix products")
    p.add_argument("--json", nargs="?", const="-", metavar="FILE",
                   help="the same as JSON: instead of Markdown, or into FILE beside it")
    p.add_argument("--quick", action="store_true",
                   help="tiny networks and products, two rounds: tries the tool, measures nothing")
    o = p.parse_args()
    if o.quick:
        o.backbone, o.size, o.batch, o.rounds, o.steps = "vgg11", "32x32", 2, 2, 2
    if o.gemm_bench is None:
        o.gemm_bench = Path(o.clfcn).resolve().parents[2] / "tests/bench/gemm_bench"
    return o


def measure(name, runner):
    """The rows of that name; what cannot be measured is a row that says so."""
    try:
        runner.check_time()
        rows = ROWS[name](runner)
    except NotMeasured as e:
        note(f"{name}: {e}")
        rows = [Row(name, problem=str(e))]
    for row in rows:
        row.name = name
    return rows


def main():
    options = parse()
    try:
        runner = Runner(options)
    except NotMeasured as e:
        sys.exit(f"bench.py: {e}")
    about = machine.describe(runner)
    rows = []
    for name in options.only or (GPU_ROWS if runner.gpu else CPU_ROWS):
        rows += measure(name, runner)
    as_json = json.dumps({"machine": about, "rows": [r.as_json() for r in rows]}, indent=1)
    if options.json != "-":
        print(markdown(about, rows))
        if options.json:
            Path(options.json).write_text(as_json + "\n")
    else:
        print(as_json)
    sys.exit(any(r.problem for r in rows))


if __name__ == "__main__":
    main()
