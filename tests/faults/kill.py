#!/usr/bin/python3
"""Kill short trainings at random moments, with SIGKILL, and list what clfcn does wrong.

    kill.py BUILD [--kills N] [--seed S] [--jobs N] [--folder DIR]

A training is killed a few times, from its start-up to its last line, going on each time, and then
comes to its end: with whole files all the time, and with the bits of a training that was never
killed. Exit status 1 if there is anything to complain of. 200 kills take 10 minutes.
"""

import argparse
import concurrent.futures
import os
import random
import shutil
import sys
import threading
import time
from pathlib import Path

MOST = 4  # kills of one training
COLD = 0.25  # part of the trainings that find no kernels in their cache


class Victim:
    """One training. Its kills depend on the seed, and on how fast the machine is."""

    def __init__(self, bed, number, seed, kills):
        self.bed, self.kills, self.rng = bed, kills, random.Random(f"{seed} {number}")
        self.folder = bed.root / f"victim-{number}"
        self.folder.mkdir()
        self.run, self.cache = self.folder / "run", self.folder / "cache"
        if self.rng.random() >= COLD:
            shutil.copytree(bed.root / "cache", self.cache)
        self.done, self.moments = 0, []

    def start(self, resume):
        # A supervised training is killed with its supervisor, as by the machine's own killer.
        args = ["--max-restarts", "1"] if self.rng.random() < 0.25 else []
        return self.bed.start(self.run, resume, args=args, group=True,
                              CLFCN_CACHE_DIR=str(self.cache))

    def kill(self, resume):
        """Start and kill; complaints."""
        process = self.start(resume)
        time.sleep(self.rng.uniform(0, self.bed.seconds))
        killed = process.poll() is None
        if killed:
            self.bed.kill(process)
            self.done += 1
        # How long a training takes changes with what else the machine does.
        self.bed.seconds *= 1.05 if killed else 0.85
        done = self.bed.finish(process)
        self.moments.append(self.bed.moment(self.run))
        if done.returncode not in (0, -9):
            return [f"exit status {done.returncode}: {done.stderr[-300:]}"]
        return self.bed.judge(self.run)

    def suffer(self):
        """Complaints about all of it."""
        found, resume = [], False
        while not found and self.done < self.kills and not self.bed.is_complete(self.run):
            found = self.kill(resume)
            if not found:
                resume, found = self.bed.way_on(self.run, self.rng)
        if not found:
            found = self.bed.end(self.run, resume=resume, CLFCN_CACHE_DIR=str(self.cache))
            found += [f"{p.relative_to(self.folder)} is left" for p in self.folder.rglob("*.tmp")]
        shutil.rmtree(self.folder)
        return [f"{self.folder.name}, killed at {', '.join(self.moments)}: {t}" for t in found]


def sweep(bed, kills, seed, jobs, say=print):
    """(kills, where they were: {moment: times}, complaints)"""
    lock, moments, complaints = threading.Lock(), {}, []
    left, number = kills, 0

    def work():
        nonlocal left, number
        while True:
            with lock:
                if left <= 0:
                    return
                n = min(left, random.Random(f"{seed} {number} kills").randint(1, MOST))
                victim = Victim(bed, number, seed, n)
                left, number = left - n, number + 1
            found = victim.suffer()
            with lock:
                left += n - victim.done  # it may have ended before
                for moment in victim.moments:
                    moments[moment] = moments.get(moment, 0) + 1
                for text in found:
                    complaints.append(text)
                    say(text)

    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        for worker in [pool.submit(work) for _ in range(jobs)]:
            worker.result()
    return kills - left, moments, complaints


def parse():
    p = argparse.ArgumentParser(description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("build", type=Path, help="the build folder")
    p.add_argument("--kills", type=int, default=200, metavar="N")
    p.add_argument("--seed", type=int, default=1, metavar="S")
    p.add_argument("--jobs", type=int, default=os.cpu_count(), metavar="N")
    p.add_argument("--folder", metavar="DIR", help="where to train, else a temporary folder")
    return p.parse_args()


def main():
    o = parse()
    build = o.build.resolve()
    os.environ.update({
        "CLFCN": str(build / "host/cli/clfcn"),
        "CLFCN_PROBE": str(build / "host/cli/clfcn-probe"),
        "CLFCN_DISK_LIB": str(build / "tests/faults/disk.so"),
    })
    import runs
    with runs.Bed(o.folder) as bed:
        kills, moments, complaints = sweep(bed, o.kills, o.seed, o.jobs,
                                           lambda text: print(text, flush=True))
    for moment, n in sorted(moments.items()):
        print(f"  {n:4} x {moment}")
    print(f"{kills} kills, {len(complaints)} complaints")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
