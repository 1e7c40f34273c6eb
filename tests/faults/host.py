"""Short jobs of clfcn in which one allocation, or one call of a file, fails."""

import collections
import errno
import functools
import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

import rig
from rig import TEMPORARY, Fault, h

# What may come of a call, one of them at a time.
ERRORS = {"open": ["EMFILE", "EACCES", "ENOSPC", "EROFS"], "write": ["ENOSPC", "EIO"],
          "mkdir": ["ENOSPC", "EROFS", "EACCES"], "rename": ["EIO", "EROFS", "ENOSPC"],
          "fsync": ["EIO", "ENOSPC"], "stat64": ["EACCES", "EIO"], "opendir": ["EMFILE", "EACCES"],
          "mkdtemp": ["ENOSPC", "EROFS"], "pipe": ["EMFILE"], "pipe2": ["EMFILE"],
          "socket": ["EMFILE"], "bind": ["EACCES"],
          "pthread_create": ["EAGAIN"], "fork": ["EAGAIN"], "posix_spawn": ["EAGAIN"]}
# What may come at any time, and must make no difference.
HARMLESS = {"open": ["EINTR"], "read": ["EINTR", "short"], "pread": ["EINTR", "short"],
            "write": ["EINTR", "short"], "fsync": ["EINTR"], "close": ["EINTR"],
            "flock": ["EINTR"], "poll": ["EINTR"], "ftruncate64": ["EINTR"]}
# What stays so: a full disk, one that became read-only, one that is gone.
LASTING = {"open": ["ENOSPC+", "EROFS+", "EIO+"], "write": ["ENOSPC+", "EIO+"],
           "mkdir": ["ENOSPC+"], "fsync": ["EIO+"], "rename": ["EROFS+"]}
WHEN = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")  # a report says when it was written
CLOCK = re.compile(r'"clock_mhz": ?\d+')
GONE = ("EROFS+", "EIO+")  # nothing can be removed there either
NO_MEMORY = re.compile("out of memory|memory exhausted|not enough memory|Cannot allocate memory"
                       "|Insufficient memory", re.I)


@dataclass(frozen=True)
class Job:
    """What clfcn does in a folder: reads from inputs, writes to folder/run or folder/out."""
    command: str
    argv: Callable[[Path, Path], list]  # of the folder and the inputs
    trains: bool = False
    begun: bool = False  # folder/run is there already
    bare: bool = False   # with an empty cache
    says: bool = False   # what it prints is the same each time


def last(inputs):
    return inputs / "run/checkpoints/last.safetensors"


def train(place, *more):
    return ["--data", place.parent / "data", *rig.NET, "--val-fraction", "0.3", "--epochs", "1",
            "--max-steps", rig.STEPS, "--save-steps", "1", "--workers", "1", "--out", place / "run",
            *more]


JOBS = {
    "train": Job("train", lambda p, i: train(p), trains=True),
    "resume": Job("train", lambda p, i: ["--resume", p / "run", "--max-steps", rig.STEPS],
                  trains=True, begun=True),
    "watched": Job("train", lambda p, i: train(p, "--dashboard", "0", "--tensorboard", p / "out"),
                   trains=True),
    "restarts": Job("train", lambda p, i: train(p, "--max-restarts", "1"), trains=True),
    "eval": Job("eval", lambda p, i: [last(i), "--data", p.parent / "data", "--json"], says=True),
    "predict": Job("predict", lambda p, i: [last(i), p.parent / "data/images", "--overlay",
                                            "--logits", "--out", p / "out"]),
    "pth": Job("export", lambda p, i: [last(i), p / "out/w.pth"]),
    "onnx": Job("export", lambda p, i: [last(i), p / "out/w.onnx"]),
    "safetensors": Job("export", lambda p, i: [last(i), p / "out/w.safetensors"]),
    "import": Job("import", lambda p, i: [i / "w.pth", p / "out/w.safetensors"]),
    "data": Job("data", lambda p, i: [p.parent / "data", "--sheet", p / "out/sheet.png", "--json"],
                says=True),
    "report": Job("report", lambda p, i: [i / "run", "--out", p / "out/report.html"]),
    "info": Job("info", lambda p, i: [last(i), "--json"], says=True),
    "devices": Job("devices", lambda p, i: ["--json"], bare=True, says=True),
}


def read_report(path):
    """What both libraries say."""
    return {**rig.read_report(path), **rig.read_report(path.with_suffix(".cl"))}


class Host(rig.Rig):
    """kind: memory or files, of which faults() are; it may be changed."""

    def __init__(self, kind, jobs=None):
        self.kind = kind
        self.jobs = jobs or list(JOBS)
        super().__init__()

    def prepare(self):
        """What jobs read, what they write where nothing fails, and the sites that they call from."""
        self.inputs = self.root / "inputs"
        self.inputs.mkdir()
        shutil.copytree(self.root / "second", self.inputs / "run")
        self.must(["export", last(self.inputs), self.inputs / "w.pth", "--quiet"])
        self.must([*self.argv(self.root / "begun"), "--max-steps", "1"])
        self.results, self.sites = {}, {"memory": {}, "files": {}}
        for job in self.jobs:
            done, place = self.attempt(None, job)
            if done.code != 0:
                raise RuntimeError(f"{job}: {done.err}")
            self.results[job] = self.result(place, done, job)
            for key, n in done.report.items():
                if key[0] == "site":
                    self.sites[key[1]].setdefault(key[2:], (job, n))
            shutil.rmtree(place)

    def must(self, argv):
        done = self.run(argv, self.warm)
        if done.code != 0:
            raise RuntimeError(done.err)

    # --- running ---

    def environment(self, cache, fault=None, report=None):
        env = super().environment(cache, fault, report)
        if report is not None:
            env.update({"LD_PRELOAD": rig.HOST, "CLFCN_HOST_REPORT": str(report),
                        "CLFCN_FAIL_REPORT": str(report.with_suffix(".cl"))})
        if fault is not None:
            env["CLFCN_HOST_FAIL"] = f"{fault.function} {fault.site} {fault.call} {fault.code}"
        return env

    @staticmethod
    def read_report(path):
        return read_report(path)

    def attempt(self, fault, job):
        """(outcome, a folder with what the job wrote)."""
        place = Path(tempfile.mkdtemp(dir=self.root))
        job = JOBS[fault.job if fault else job]
        (place / "out").mkdir()
        if job.begun:
            shutil.copytree(self.root / "begun", place / "run")
        if job.bare:
            (place / "cache").mkdir()
        else:
            shutil.copytree(self.warm, place / "cache")
        argv = [job.command, *job.argv(place, self.inputs), "--quiet"]
        return self.run(argv, place / "cache", fault, place / "report"), place

    def result(self, place, done, job):
        """What must be the same bits each time."""
        if JOBS[job].trains:
            return self.tensors(place / "run")
        files = {p.name: WHEN.sub(b"", p.read_bytes()) for p in (place / "out").iterdir()}
        return files, CLOCK.sub("", done.out) if JOBS[job].says else ""

    def faults(self, every=1):
        """Each every-th site, called for the first time, and of files for the last time too."""
        sites = sorted(self.sites[self.kind].items(), key=lambda s: (s[0][0], s[0][1]))
        for i, ((function, site), (job, calls)) in enumerate(sites):
            if i % every == 0:
                for call, code in self.codes(function, calls, i // every):
                    yield Fault(function, call, code, kind=self.kind, site=site, job=job)

    def codes(self, function, calls, i):
        """(call, code) to try at the i-th site."""
        if self.kind == "memory":
            errors = ERRORS.get(function, ["ENOMEM", "ENOMEM+"])
            return [(1, errors[i % len(errors)])]
        errors = ERRORS.get(function, ["EIO"])
        found = [(call, errors[(i + k) % len(errors)]) for k, call in enumerate({1, calls})]
        for table in (HARMLESS, LASTING):
            if function in table:
                found.append((1, table[function][i % len(table[function])]))
        return found

    def totals(self):
        """From how many places each function is called."""
        return collections.Counter(function for function, _ in self.sites[self.kind])

    # --- judging ---

    def command(self, fault):
        return JOBS[fault.job].command

    def is_certain(self, fault):
        """Threads may come by in another order, or not at all."""
        return False

    def statuses(self, fault):
        if fault.code in ("EINTR", "short"):
            return (h.OK,)
        return (h.OK, h.FAILED) if fault.kind == "memory" else (h.OK, h.FAILED, h.BAD_INPUT)

    def judge_message(self, done, fault, line):
        code = fault.code.rstrip("+")
        reason = os.strerror(getattr(errno, code))
        # Whether something is there is asked once more where it matters, and then it is.
        asked = fault.function in ("stat64", "fstatat64")
        if reason not in line and not asked and not (code == "ENOMEM" and NO_MEMORY.search(line)):
            yield f"does not say what failed: {line}"
        path = Path(done.report.get(("path",), ""))
        temporary = TEMPORARY.fullmatch(path.name)
        name = temporary[1] if temporary else path.name
        # Where all calls fail from then on, it may be any of them.
        if fault.kind == "files" and fault.code == code and path.is_absolute() and name not in line:
            yield f"does not name {path}: {line}"

    def judge_files(self, place, done, fault):
        yield from super().judge_files(place, done, fault)
        for path in sorted((place / "out").iterdir()):
            if TEMPORARY.fullmatch(path.name):
                if not self.may_leave(path, fault):
                    yield f"leaves {path.name}"
            elif (wrong := rig.broken(path)) and not (wrong == "empty" and fault.code in GONE):
                yield f"leaves a broken {path.name}: {wrong}"
        warned = "clfcn: warning: the report lacks a picture" in done.err
        wanted = self.results[fault.job]
        if done.code == h.OK and not warned and self.result(place, done, fault.job) != wanted:
            yield "other results, and nothing said"

    def may_leave(self, path, fault):
        return TEMPORARY.fullmatch(path.name) and fault.code in GONE

    @staticmethod
    def where(done):
        """The functions of clfcn that the call came from."""
        at = done.report.get(("at",), [])[:6]
        return " <- " + " < ".join(name_of(a) for a in at) if at else ""


@functools.cache
def name_of(offset):
    """A function of clfcn's and a line, where addr2line knows."""
    try:
        # The return address lies behind the call.
        found = subprocess.run(["addr2line", "-fse", h.CLFCN, hex(int(offset, 16) - 1)],
                               capture_output=True, text=True)
        return " ".join(found.stdout.split())
    except OSError:
        return offset
