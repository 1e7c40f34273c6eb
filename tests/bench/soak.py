#!/usr/bin/python3
"""Long runs of a small network: whether anything grows.

    soak.py --clfcn PATH [--layer PATH] [--steps N] [--cycles N] [--images N] [--image-steps N]

Three parts, each left out with 0: a training of N steps with checkpoints and a live page that is
read all the time (3000); N times start, interrupt and resume (100); a data set of N small pictures
that is surveyed, and trained on with a small cache (50000). --layer is tests/layers/fail_layer.so
of the build, which counts OpenCL objects. Exit status 1 if something grew that should not.

Sampled of the process, twice a second: resident memory, descriptors and threads; times of steps are
from the run's log. A step is as long as before if it is, in the median, to a quarter: other work on
the machine makes it longer, too.
"""

import argparse
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(TESTS), str(TESTS / "cli"), str(TESTS / "faults")]

CACHE_MB = 4


def parse():
    p = argparse.ArgumentParser(description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--clfcn", required=True, metavar="PATH")
    p.add_argument("--layer", default="", metavar="PATH")
    p.add_argument("--steps", type=int, default=3000, metavar="N")
    p.add_argument("--cycles", type=int, default=100, metavar="N")
    p.add_argument("--images", type=int, default=50000, metavar="N")
    p.add_argument("--image-steps", type=int, default=1000, metavar="N")
    return p.parse_args()


# --- a process ---

def sample(pid):
    """{KiB, descriptors, threads} of a process; None when it has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
        found = dict(re.findall(r"^(VmRSS|Threads):\s+(\d+)", status, re.M))
        return {"memory, MiB": int(found["VmRSS"]) / 1024,
                "descriptors": len(os.listdir(f"/proc/{pid}/fd")),
                "threads": int(found["Threads"])}
    except (OSError, KeyError):
        return None


class Watched:
    """A clfcn that is sampled until it ends."""

    def __init__(self, argv, env):
        self.process = subprocess.Popen(argv, env=env, stdin=subprocess.DEVNULL, text=True,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        self.samples, self.lines, self.pages = [], [], 0
        self.reader = threading.Thread(target=self.read)
        self.reader.start()

    def read(self):
        for line in self.process.stderr:
            self.lines.append(line)

    def read_page(self):
        found = re.search(r"dashboard: (\S+)", "".join(self.lines))
        if found:
            try:
                with urllib.request.urlopen(found[1], timeout=5) as reply:
                    self.pages += len(reply.read()) > 0
            except OSError:
                pass

    def end(self):
        """The exit status."""
        while self.process.poll() is None:
            taken = sample(self.process.pid)
            if taken:
                self.samples.append(taken)
            self.read_page()
            time.sleep(0.5)
        self.reader.join()
        return self.process.returncode


# --- tables ---

def thirds(values, of=statistics.median):
    """The first and the last third's, without the first twentieth: what warms up."""
    values = values[len(values) // 20:] or [float("nan")]
    n = max(1, len(values) // 3)
    return of(values[:n]), of(values[-n:])


class Table:
    prefix = ""  # of each line

    def __init__(self, title):
        self.title, self.named = title, []

    @property
    def rows(self):
        """Whether each is as it should be."""
        return [good for _, good in self.named]

    def row(self, what, first, last, most):
        """most: what the last may be."""
        good = last <= most
        self.named.append((what, good))
        self.head()
        self.say(f"  {what:32}{first:12.4g}{last:12.4g}  {'flat' if good else 'GROWS'}")

    def say(self, text):
        print(self.prefix + text, flush=True)

    def head(self):
        if self.title:
            self.say("")
            self.say(f"{self.title:34}{'first third':>12}{'last third':>12}")
            self.title = ""

    def fact(self, what, value, good=True):
        self.head()
        self.named.append((what, good))
        self.say(f"  {what:32}{value}{'' if good else '  WRONG'}")


def add_samples(table, samples):
    for what in samples[0] if samples else ():
        values = [s[what] for s in samples]
        first, last = thirds(values)
        if what == "descriptors":  # files and connections come and go
            first, last = thirds(values, max)[0], thirds(values, min)[1]
        # An allocator needs some room to breathe; the others are counts.
        table.row(what, first, last, 1.02 * first + 8 if what.startswith("memory") else first)


def add_live(table, series):
    """Of objects as the layer counts them."""
    text = series.read_text() if series.exists() else ""
    lines = [line.split()[1:] for line in text.splitlines()]
    counts = [dict(zip(words[::2], map(int, words[1::2]))) for words in lines]
    for kind in counts[0] if counts else ():
        values = [c[kind] for c in counts]
        first, last = thirds(values)
        # Events come and go within a step; the most there were at a time tells.
        if kind == "event":
            n = max(1, len(values) // 3)
            first, last = max(values[:2 * n]), max(values[-n:])
        table.row(f"OpenCL {kind}s", first, last, first)


def median_steps(run):
    import runs
    return [e["ms"] for e in runs.split_log(run)[0] if e["event"] == "step"]


# --- the parts ---

class Soak:
    def __init__(self, options, root):
        self.o, self.root = options, root
        import harness
        self.h = harness
        self.data = harness.make_dataset(root / "data", count=40)
        self.env = harness.environment({"CLFCN_CACHE_DIR": str(root / "cache")})
        self.good = True

    def argv(self, run, **more):
        """more: options, in place of those here."""
        options = {"out": run, "data": self.data, "arch": "fcns", "backbone": "vgg11",
                   "size": "32x32", "batch": 2, "workers": 1, "val_fraction": 0.2,
                   "epochs": 100000, "save_every": 0, **more}
        return [self.o.clfcn, "train", "--quiet",
                *(f"--{name.replace('_', '-')}={value}" for name, value in options.items())]

    def close(self, table):
        self.good = self.good and all(table.rows)

    def steps(self, steps):
        run, series = self.root / "steps", self.root / "series"
        env = dict(self.env)
        if self.o.layer:
            env.update({"OPENCL_LAYERS": self.o.layer, "CLFCN_FAIL_SERIES": str(series),
                        "CLFCN_FAIL": "any 0 -5"})
        argv = self.argv(run, max_steps=steps, save_steps=max(1, steps // 30), dashboard=0)
        watched = Watched(argv, env)
        code = watched.end()
        table = Table(f"{steps} steps")
        table.fact("exit status", code, code == 0)
        table.fact("reads of the live page", watched.pages, watched.pages > 0)
        ms = median_steps(run)
        table.fact("steps in the log", len(ms), len(ms) == steps)
        first, last = thirds(ms)
        table.row("ms a step, median", first, last, 1.25 * first)
        add_samples(table, watched.samples)
        add_live(table, series)
        self.close(table)
        shutil.rmtree(run)

    def cycles(self, cycles):
        import runs
        run, table = self.root / "cycles", Table(f"{cycles} times start, interrupt, resume")
        codes, memory = [], []
        argv = self.argv(run)
        for _ in range(cycles):
            had = len(median_steps(run))
            process = subprocess.Popen(argv, env=self.env, stdin=subprocess.DEVNULL,
                                       stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
            while process.poll() is None and len(median_steps(run)) <= had:
                time.sleep(0.01)
            taken = sample(process.pid)
            memory += [taken] if taken else []
            process.send_signal(signal.SIGINT)
            process.communicate()
            codes.append(process.returncode)
            argv = [self.o.clfcn, "train", "--quiet", "--resume", str(run)]
        done = len(median_steps(run))
        table.fact("ended as interrupted", codes.count(130), codes.count(130) == cycles)
        table.fact("steps", done, done >= cycles)
        whole = self.root / "whole"
        code = subprocess.run(self.argv(whole, max_steps=done), env=self.env,
                              stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL).returncode
        last = "checkpoints/last.safetensors"
        same = code == 0 and runs.tensors_hash(run / last) == runs.tensors_hash(whole / last)
        table.fact("bits of an undisturbed one", "the same" if same else "others", same)
        losses = [[e["loss"] for e in runs.split_log(r)[0] if e["event"] == "step"]
                  for r in (run, whole)]
        table.fact("its losses", "the same" if losses[0] == losses[1] else "others",
                   losses[0] == losses[1])
        add_samples(table, memory)
        left = [p for p in run.rglob("*.tmp")]
        table.fact("temporary files left", len(left), not left)
        self.close(table)
        shutil.rmtree(run)
        shutil.rmtree(whole)

    def make_pictures(self, count, kinds=50):
        folder = self.root / f"pictures-{count}"
        for name in ("images", "masks"):
            (folder / name).mkdir(parents=True)
        (folder / "classes.txt").write_text("ground 0-127\nbox 128-255\n")
        for i in range(count):
            image, mask = (folder / n / f"p{i:06}.png" for n in ("images", "masks"))
            if i < kinds:
                self.h.write_image(image, i, 16, 16)
                self.h.write_mask(mask, i, 16, 16)
            else:
                os.link(folder / "images" / f"p{i % kinds:06}.png", image)
                os.link(folder / "masks" / f"p{i % kinds:06}.png", mask)
        return folder

    def images(self, count, steps):
        folder = self.make_pictures(count)
        table = Table(f"{count} pictures of 16x16")
        begin = time.monotonic()
        watched = Watched([self.o.clfcn, "data", str(folder), "--json"], self.env)
        code = watched.end()
        most = max((s["memory, MiB"] for s in watched.samples), default=0)
        table.fact("clfcn data", f"{time.monotonic() - begin:.1f} s, {most:.0f} MiB", code == 0)
        for n, data in ((40, self.data), (count, folder)):
            run, begin = self.root / f"few-{n}", time.monotonic()
            watched = Watched(self.argv(run, data=data, max_steps=1, val_fraction=0), self.env)
            code = watched.end()
            table.fact(f"one step, of {n} pictures", f"{time.monotonic() - begin:.1f} s", code == 0)
            shutil.rmtree(run)
        run = self.root / "streamed"
        argv = self.argv(run, data=folder, max_steps=steps, cache_mem=f"{CACHE_MB}M", batch=16,
                         val_fraction=0)
        watched = Watched(argv, self.env)
        code = watched.end()
        table.fact(f"{16 * steps} of them streamed", f"exit status {code}", code == 0)
        first, last = thirds(median_steps(run))
        table.row("ms a step, median", first, last, 1.25 * first)
        add_samples(table, watched.samples)
        self.close(table)
        shutil.rmtree(run)
        shutil.rmtree(folder)


def main():
    o = parse()
    o.clfcn = str(Path(o.clfcn).resolve())
    os.environ["CLFCN"] = o.clfcn
    root = Path(tempfile.mkdtemp(prefix="clfcn-soak-"))
    try:
        soak = Soak(o, root)
        if o.steps:
            soak.steps(o.steps)
        if o.cycles:
            soak.cycles(o.cycles)
        if o.images:
            soak.images(o.images, o.image_steps)
    finally:
        shutil.rmtree(root, ignore_errors=True)
    print("\nnothing grows" if soak.good else "\nSOMETHING GROWS, or is wrong")
    return 0 if soak.good else 1


if __name__ == "__main__":
    sys.exit(main())
