"""Running clfcn, its helper and the other side, each alone in a process of its own."""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from table import NotMeasured

HERE = Path(__file__).resolve().parent


def positive(text):
    """For options."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return value


def note(text):
    print(text, file=sys.stderr, flush=True)


def run(argv, env=None):
    """(stdout, peak resident MB, seconds) of a command; NotMeasured if it fails."""
    argv = [str(a) for a in argv]
    start = time.perf_counter()
    with tempfile.TemporaryFile("w+") as errors:
        try:
            child = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=errors, text=True,
                                     env={**os.environ, **(env or {})})
        except OSError as e:
            raise NotMeasured(f"{argv[0]}: {e.strerror}") from e
        with child.stdout:
            out = child.stdout.read()
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode != 0:
            errors.seek(0)
            last = errors.read().strip().splitlines()[-1:] or ["no message"]
            raise NotMeasured(f"{' '.join(argv[:2])}: status {child.returncode}: {last[0]}")
    return out, usage.ru_maxrss / 1024, time.perf_counter() - start


class Runner:
    """The two sides of a comparison, by the command line's options."""

    def __init__(self, options):
        self.options = options
        self.device = self.chosen_device()
        self.cores = self.device["compute_units"]
        self.gpu = self.device["type"] == "gpu"
        self.deadline = time.monotonic() + (options.limit or float("inf"))

    def check_time(self):
        if time.monotonic() > self.deadline:
            raise NotMeasured("no time left of --limit")

    def chosen_device(self):
        o = self.options
        out, _, _ = run([o.clfcn, "devices", "--device", o.device, "--json", "--quiet"])
        for line in out.splitlines():
            device = json.loads(line)
            if device["chosen"]:
                return device
        raise NotMeasured("clfcn devices names no device")

    def net_options(self, batch, size):
        o = self.options
        return ["--arch", o.arch, "--backbone", o.backbone, "--batch", batch or o.batch,
                "--size", size or o.size, "--gemm", o.gemm, "--device", o.device]

    def bench(self, batch=None, size=None, steps=None, env=None):
        """clfcn bench: its JSON object, and peak_mb: of the runs, before it measures the device."""
        o = self.options
        out, _, _ = run([o.clfcn, "bench", *self.net_options(batch, size), "--classes",
                            o.classes, "--steps", steps or o.steps, "--no-verify", "--json",
                            "--quiet"], env)
        found = json.loads(out)
        return {**found, "peak_mb": found["host_peak_kb"] / 1024}

    def train(self, data, out, *more, env=None):
        """The events that clfcn train --json prints, each with the second when it came."""
        argv = [self.options.clfcn, "train", *self.net_options(None, None), "--data", data,
                "--out", out, "--val-fraction", 0, "--json", "--quiet", *more]
        start = time.perf_counter()
        events = []
        with tempfile.TemporaryFile("w+") as errors, subprocess.Popen(
                [str(a) for a in argv], stdout=subprocess.PIPE, stderr=errors, text=True,
                env={**os.environ, **(env or {})}) as child:
            for line in child.stdout:
                events.append({**json.loads(line), "after_s": time.perf_counter() - start})
            if child.wait() != 0:
                errors.seek(0)
                raise NotMeasured(f"clfcn train: {errors.read().strip()}")
        return events

    def peer(self, what, **spec):
        """PyTorch or a BLAS: peer.py's JSON object, and the process's peak_mb."""
        threads = str(self.cores)
        out, peak, _ = run([self.options.python, HERE / "peer.py", what, json.dumps(spec)],
                           {"OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads})
        return {**json.loads(out), "peak_mb": peak}

    def torch(self, batch=None, cuda=False, tf32=False):
        o = self.options
        return self.peer("net", arch=o.arch, backbone=o.backbone, classes=o.classes,
                         size=o.size, batch=batch or o.batch, steps=o.steps,
                         threads=self.cores, cuda=cuda, tf32=tf32)

    def gemm(self, provider, reps=None):
        """The JSON objects that gemm_bench prints, one a layer."""
        o = self.options
        small = ["--small"] if o.quick else []
        out, _, _ = run([o.gemm_bench, provider, "--device", o.device, "--batch", o.batch,
                         "--reps", reps or o.steps, *small])
        return [json.loads(line) for line in out.splitlines()]

    def alternate(self, title, sides):
        """Run all sides in turn, --rounds times: {name: [result of each round]}."""
        results = {name: [] for name in sides}
        for i in range(self.options.rounds):
            if i > 0 and time.monotonic() > self.deadline:
                break
            for name, measure in sides.items():
                note(f"{title}, round {i + 1}/{self.options.rounds}: {name}")
                results[name].append(measure())
        return results
