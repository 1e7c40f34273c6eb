#!/usr/bin/python3
"""Time clfcn and PyTorch in turn on the same machine; print medians and the ratio.

    against_torch.py --clfcn build/host/cli/clfcn [--rounds 3] [--steps 5] ...

Each round runs PyTorch's training steps and inference, then clfcn's (`clfcn bench`), so that a
drift of the machine's speed touches both. Both run alone in a process of their own; PyTorch uses
as many threads as there are processors, and oneDNN or cuDNN as it comes.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "parity"))

WARM_UP = 2


def time_torch(options):
    """Runs in a child process: one JSON object on stdout."""
    import torch
    from fcn_torch import FCN, init_, loss_of, optimizer_of

    width, height = map(int, options.size.split("x"))
    torch.set_num_threads(os.cpu_count())
    model = init_(FCN(options.arch, options.backbone, options.classes), 0)
    images = torch.randn(options.batch, 3, height, width)
    labels = torch.randint(options.classes, (options.batch, height, width))
    optimizer = optimizer_of("sgd", model, lr=0.01)

    def step():
        optimizer.zero_grad()
        loss_of("bce", model(images), labels).backward()
        optimizer.step()

    def infer():
        with torch.no_grad():
            model(images)

    def seconds(what):
        for _ in range(WARM_UP):
            what()
        times = []
        for _ in range(options.steps):
            start = time.perf_counter()
            what()
            times.append(time.perf_counter() - start)
        return 1e3 * statistics.median(times)

    train_ms = seconds(step)
    model.eval()
    print(json.dumps({
        "train_step_ms": train_ms,
        "infer_ms": seconds(infer),
        "host_peak_kb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
        "version": torch.__version__,
    }))


def run_torch(options):
    argv = [sys.executable, __file__, "--child", "--arch", options.arch, "--backbone",
            options.backbone, "--batch", options.batch, "--size", options.size, "--steps",
            options.steps, "--classes", options.classes]
    return json.loads(subprocess.check_output(list(map(str, argv))))


def run_clfcn(options):
    argv = [options.clfcn, "bench", "--arch", options.arch, "--backbone", options.backbone,
            "--batch", options.batch, "--size", options.size, "--steps", options.steps,
            "--classes", options.classes, "--gemm", options.gemm, "--device", options.device,
            "--json", "--quiet"]
    return json.loads(subprocess.check_output(list(map(str, argv))))


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--clfcn", default=os.environ.get("CLFCN", "clfcn"))
    p.add_argument("--arch", default="fcns")
    p.add_argument("--backbone", default="vgg16")
    p.add_argument("--batch", type=int, default=4)
    p.add_argument("--size", default="160x160")
    p.add_argument("--classes", type=int, default=2)
    p.add_argument("--steps", type=int, default=5)
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--gemm", default="auto")
    p.add_argument("--device", default="auto")
    p.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = p.parse_args()
    if options.child:
        time_torch(options)
        return
    rounds = [(run_torch(options), run_clfcn(options)) for _ in range(options.rounds)]
    print(f"{options.arch} on {options.backbone}, {options.size}, batch {options.batch}; "
          f"PyTorch {rounds[0][0]['version']}; {rounds[0][1]['device']}")
    print(f"{'':24} {'PyTorch':>10} {'clfcn':>10} {'ratio':>18}")
    for title, key in (("training step, ms", "train_step_ms"), ("inference, ms", "infer_ms"),
                       ("peak host memory, kB", "host_peak_kb")):
        theirs = [t[key] for t, _ in rounds]
        ours = [c[key] for _, c in rounds]
        ratios = sorted(t / c for t, c in zip(theirs, ours))
        print(f"{title:24} {statistics.median(theirs):10.0f} {statistics.median(ours):10.0f} "
              f"{statistics.median(ratios):6.2f} ({ratios[0]:.2f}-{ratios[-1]:.2f})")


if __name__ == "__main__":
    main()
