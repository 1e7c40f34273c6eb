"""A short training with all its writers at work, and what must be true of its folder whenever it
is killed: every file whole, and --resume, or a new start, comes to the bits of an undisturbed run.

    with Bed() as bed:
        process = bed.start(run)             # subprocess.Popen
        process.kill()
        complaints = bed.judge(run)          # texts, none if all is well
        complaints = bed.end(run)            # goes on to the end and compares
"""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zlib
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(TESTS), str(TESTS / "cli")]

import harness as h  # noqa: E402

# Preloaded, it keeps every file that a run ever had (disk.c). "" where there is none.
DISK = os.environ.get("CLFCN_DISK_LIB", "")
SECONDS = 240  # a run takes two; more than this is a hang
EPOCHS, STEPS = 2, 4
TENSORBOARD = os.environ.get("CLFCN_TENSORBOARD", "1") == "1"
TEMPORARY = re.compile(r"\..+\.\d+\.\d+\.tmp")


def tensors_hash(path):
    """Of the weights and the optimiser's state; ValueError if the file is not whole."""
    try:
        tensors = h.read_safetensors(path)[1]
    except (AssertionError, KeyError, ValueError, OSError, IndexError) as e:
        raise ValueError(f"{path.name}: {e}") from None
    return tuple((name, kind, tuple(shape), zlib.crc32(data))
                 for name, (kind, shape, data) in sorted(tensors.items()))


def state_of(path):
    """What a checkpoint says of the run: step, log-bytes and so on."""
    with open(path, "rb") as f:
        header = json.loads(f.read(int.from_bytes(f.read(8), "little")))
    return json.loads(header["__metadata__"]["clfcn"])["state"]


def split_log(run):
    """The events of the whole lines, and what follows them."""
    try:
        text = (run / "log.jsonl").read_bytes()
    except FileNotFoundError:
        return [], b""
    whole, _, rest = text.rpartition(b"\n")
    return [json.loads(line) for line in whole.splitlines()], rest


def curve(run):
    """Losses and metrics, without what a clock measured."""
    timed = ("ms", "seconds", "val_seconds", "wait_s", "images_per_s")
    return [{k: v for k, v in e.items() if k not in timed}
            for e in split_log(run)[0] if e["event"] in ("step", "epoch")]


def has_checkpoint(run):
    return (run / "checkpoints" / "last.safetensors").exists()


def fast_folder():
    """Where syncing costs nothing, for a few GB; None: the usual one for temporary files."""
    memory = Path("/dev/shm")
    roomy = memory.is_dir() and shutil.disk_usage(memory).free > 6 << 30
    return str(memory) if roomy and os.access(memory, os.W_OK) else None


class Bed:
    state_of = staticmethod(state_of)

    def __init__(self, folder=None):
        self.root = Path(tempfile.mkdtemp(prefix="clfcn-kill-", dir=folder))
        self.hashes = {}  # of files by (inode, size, time)
        h.make_dataset(self.root / "data", count=6)
        self.reference = self.root / "reference"
        self.known = set()
        first = self.finish(self.start(self.root / "first"))  # fills the cache
        journal, begin = self.root / "journal", time.monotonic()
        done = self.finish(self.start(self.reference, journal=journal if DISK else None))
        if (first.returncode, done.returncode) != (h.OK, h.OK):
            raise RuntimeError(first.stderr + done.stderr)
        self.seconds = time.monotonic() - begin  # that a training takes
        shutil.rmtree(self.root / "first")
        self.final = {p.name: self.hash(p) for p in
                      (self.reference / "checkpoints").glob("*.safetensors")}
        self.curve = curve(self.reference)
        self.samples = {p.name: p.read_bytes() for p in (self.reference / "samples").iterdir()}
        if DISK:  # each checkpoint that there ever was
            self.known = {self.hash(p) for p in journal.iterdir() if p.stat().st_size > 1 << 20}
        shutil.rmtree(journal, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        shutil.rmtree(self.root, ignore_errors=True)

    # --- running ---

    def start(self, run, resume=False, journal=None, args=(), group=False, quiet=True,
              **env):
        """run: None lets clfcn choose a folder. journal: record there what happens to the files
        of the run's parent folder. group: in a group of processes of its own, for kill()."""
        what = ["--resume", run] if resume else [
            *(["--out", run] if run else []), "--data", self.root / "data",
            "--arch", "fcns", "--backbone", "vgg11",
            "--size", "32x32", "--batch", "2", "--val-fraction", "0.3", "--epochs", EPOCHS,
            "--augment", "flip", "--lr-policy", "cosine", "--save-steps", "1", "--save-every", "1"]
        argv = ["train", *what, "--workers", "1", *(["--quiet"] if quiet else []), *args]
        if run and TENSORBOARD:
            argv += ["--tensorboard", run / "tb"]
        env.setdefault("CLFCN_CACHE_DIR", str(self.root / "cache"))
        if journal:
            journal.mkdir()
            env.update({"LD_PRELOAD": DISK, "CLFCN_DISK": str(run.parent),
                        "CLFCN_DISK_JOURNAL": str(journal)})
        return subprocess.Popen([h.CLFCN, *map(str, argv)], env=h.environment(env), text=True,
                                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                stderr=subprocess.PIPE, errors="replace",
                                start_new_session=group)

    @staticmethod
    def kill(process):
        """With the processes that it started."""
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            process.kill()

    @staticmethod
    def finish(process):
        """The process with stderr, when it has ended."""
        try:
            _, err = process.communicate(timeout=SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        return subprocess.CompletedProcess(process.args, process.returncode, "", err)

    # --- judging ---

    def hash(self, path):
        st = path.stat()
        key = (st.st_ino, st.st_size, st.st_mtime_ns)
        if key not in self.hashes:
            self.hashes[key] = tensors_hash(path)
        return self.hashes[key]

    def judge_file(self, path, anything):
        if path.suffix == ".safetensors":
            if self.hash(path) not in self.known and self.known and not anything:
                raise ValueError("a checkpoint that the undisturbed run never had")
        elif path.suffix == ".png":
            h.read_png(path)
        elif path.name == "config.json":
            json.loads(path.read_text())
        elif path.name == "report.html":
            if not path.read_text().rstrip().endswith("</html>"):
                raise ValueError("the end is missing")

    def judge(self, run, anything=False):
        """A killed run's files: all whole, but for those under temporary names and the end of
        the log. anything: it is another training than the undisturbed one."""
        found = []
        for path in sorted(p for p in run.rglob("*") if p.is_file()):
            name = path.relative_to(run)
            if TEMPORARY.fullmatch(path.name) or name.parts[0] == "tb":
                continue
            try:
                self.judge_file(path, anything)
            except Exception as e:  # whatever a reader makes of a broken file
                found.append(f"{name}: {type(e).__name__}: {e}")
        try:
            split_log(run)
            last = run / "checkpoints" / "last.safetensors"
            if last.exists():
                logged = (run / "log.jsonl").stat().st_size
                if logged < state_of(last)["log-bytes"]:
                    found.append(f"log.jsonl: {logged} bytes, fewer than the checkpoint speaks of")
        except (ValueError, KeyError, OSError) as e:
            found.append(f"log.jsonl: {e}")
        return found

    def way_on(self, run, choice):
        """(whether to resume, complaints): of a killed run, which may not have begun. choice: a
        random.Random, for where both a new start and --resume are good."""
        begun = has_checkpoint(run) or (run / "log.jsonl").exists()
        if begun:
            done = self.finish(self.start(run))
            if done.returncode != h.USAGE or f"--resume {run}" not in done.stderr:
                return True, [f"a new start into it: {done.returncode}: {done.stderr}"]
            return True, []
        if (run / "config.json").exists():
            return choice.random() < 0.5, []
        done = self.finish(self.start(run, resume=True))
        if done.returncode != h.BAD_INPUT or len(done.stderr.splitlines()) != 1:
            return False, [f"--resume of nothing: {done.returncode}: {done.stderr}"]
        return False, []

    @staticmethod
    def moment(run):
        """How far a killed run has come, in words."""
        if not run.exists():
            return "no folder"
        writes = "".join(sorted(f", {p.name.split('.')[1]} half written"
                                for p in run.rglob("*.tmp")))
        events = [e for e in split_log(run)[0] if e["event"] != "checkpoint"]
        if events:
            return f"{events[-1]['event']} {events[-1].get('step', 0)}{writes}"
        return ("configuration" if (run / "config.json").exists() else "folder") + writes

    @staticmethod
    def is_complete(run):
        events = split_log(run)[0]
        return bool(events) and events[-1]["event"] == "end"

    def end(self, run, choice=random, resume=None, args=(), **env):
        """Go on, and compare with the undisturbed run."""
        found = []
        if resume is None:
            resume, found = self.way_on(run, choice)
        done = self.finish(self.start(run, resume=resume, args=args, **env))
        said = [line for line in done.stderr.splitlines() if "is complete" not in line]
        if done.returncode != h.OK or said:
            return found + [f"{'resumed' if resume else 'started anew'}: {done.returncode}: "
                            f"{done.stderr[-500:]}"]
        return found + self.compare(run)

    def compare(self, run):
        """What of a run that has ended is not as in the undisturbed one."""
        found = self.judge(run)
        checkpoints = {p.name: self.hash(p) for p in (run / "checkpoints").glob("*.safetensors")}
        for name in sorted(self.final.keys() | checkpoints.keys()):
            if self.final.get(name) != checkpoints.get(name):
                found.append(f"{name} differs" if name in checkpoints else f"no {name}")
        if curve(run) != self.curve:
            found.append(f"the log differs: {[e['step'] for e in curve(run)]}")
        if {p.name: p.read_bytes() for p in (run / "samples").iterdir()} != self.samples:
            found.append("the samples differ")
        found += [f"{p.relative_to(run)} is left" for p in run.rglob("*.tmp")]
        if split_log(run)[1]:
            found.append("the log's last line has no end")
        return found
