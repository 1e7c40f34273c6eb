"""Running clfcn with one call that fails, and judging what comes of that.

    with opencl.OpenCL() as rig:            # or host.Host("memory"), host.Host("files")
        for fault in rig.faults():
            for complaint in rig.check(fault):
                ...

Whatever fails: an exit status of the contract, one line that says what failed and where, no object
left in the driver, no file that is not whole, and a run that --resume takes on to the same bits.
A call that clfcn can do without may fail unnoticed, if the result has the same bits, too.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(TESTS), str(TESTS / "cli")]

import harness as h  # noqa: E402

LAYER = os.environ.get("CLFCN_FAIL_LAYER", "")
HOST = os.environ.get("CLFCN_HOST_FAULTS", "")
SECONDS = h.TIMEOUT  # a run takes about one; more than this is a hang
STEPS = 2
NET = ["--arch", "fcns", "--backbone", "vgg11", "--size", "32x32", "--batch", "2"]
FILES = re.compile(r"config\.json|log\.jsonl|report\.html|checkpoints/(last|best|epoch-\d+)\.safetensors"
                   r"|samples/[^/]+\.png|run\.lock|\.lock")
TEMPORARY = re.compile(r"\.(.+)\.\d+\.\d+\.tmp")
# jansson 2.14 ends the program itself where memory ends in its reader.
JANSSON = "lex_unget_unsave: Assertion"
SANITIZER = re.compile(r"AddressSanitizer|LeakSanitizer|runtime error:")


@dataclass(frozen=True)
class Fault:
    """The call-th call of a function fails with a code, which is a number of OpenCL's or the name
    of an errno; site says from where it is called. cold: no kernel was kept from before."""
    function: str
    call: int
    code: object
    cold: bool = False
    kind: str = "opencl"
    site: str = "any"
    job: str = "train"

    def __str__(self):
        return (f"{self.function} {self.call} {CODES.get(self.code, self.code)}"
                + (f" at {self.site}, {self.job}" if self.kind != "opencl" else "")
                + (", cold" if self.cold else ""))


@dataclass
class Outcome:
    code: int
    err: str
    out: str = ""
    # {("call", NAME): COUNT, ("live", KIND): COUNT, ("failed",): NAME, ("site", KIND, FUNCTION,
    # SITE): COUNT, ("path",): what a host call was about, ("at",): its callers' offsets}
    report: dict = field(default_factory=dict)


OUT_OF_RESOURCES, OUT_OF_HOST_MEMORY, ALLOCATION, NOT_AVAILABLE, BAD_QUEUE = -5, -6, -4, -2, -36
BUILD, FLIP = "build", "flip"
CODES = {OUT_OF_RESOURCES: "CL_OUT_OF_RESOURCES", OUT_OF_HOST_MEMORY: "CL_OUT_OF_HOST_MEMORY",
         ALLOCATION: "CL_MEM_OBJECT_ALLOCATION_FAILURE", NOT_AVAILABLE: "CL_DEVICE_NOT_AVAILABLE",
         BAD_QUEUE: "CL_INVALID_COMMAND_QUEUE", BUILD: "CL_BUILD_PROGRAM_FAILURE"}


def read_report(path):
    """{} of a process that did not come to its end."""
    report = {}
    for line in path.read_text(errors="replace").splitlines() if path.exists() else []:
        words = line.split()
        if words[0] == "failed":
            report["failed",] = words[1]
            report["path",] = line.partition(f"failed {words[1]} ")[2]
        elif words[0] == "at":
            report.setdefault(("at",), []).append(words[1])
        else:
            report[tuple(words[:-1])] = int(words[-1])
    return report


def broken(path):
    """What is wrong with a file, by its ending; None if it is whole."""
    try:
        if path.suffix == ".safetensors":
            h.read_safetensors(path)
        elif path.suffix == ".jsonl":
            [json.loads(line) for line in path.read_text().splitlines()]
        elif path.suffix == ".json":
            json.loads(path.read_text())
        elif path.suffix == ".png":
            h.read_png(path)
        elif path.suffix == ".pth":
            with zipfile.ZipFile(path) as archive:
                return archive.testzip()
        elif path.suffix == ".html":
            return None if path.read_text().rstrip().endswith("</html>") else "no end"
        elif path.stat().st_size == 0 and path.name != ".lock":
            return "empty"
    except Exception as e:  # whatever a reader says of a broken file
        return f"{type(e).__name__}: {e}"
    return None


class Rig:
    """A data set, and caches that an undisturbed run has filled."""

    def __init__(self):
        self.root = Path(tempfile.mkdtemp(prefix="clfcn-faults-"))
        self.data = h.make_dataset(self.root / "data", count=6)
        if h.HAVE_JPEG:
            (self.data / "images/jpeg.jpg").write_bytes(h.TINY_JPEG)
            h.write_mask(self.data / "masks/jpeg.png", 6, 64, 32)
        self.warm = self.root / "warm"
        for name in ("first", "second"):
            done = self.run(self.argv(self.root / name), self.warm)
            if done.code != 0:
                raise RuntimeError(done.err)
        self.want = self.tensors(self.root / "second")
        self.prepare()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        shutil.rmtree(self.root, ignore_errors=True)

    # --- running ---

    def argv(self, out):
        return ["train", "--data", self.data, *NET, "--val-fraction", "0.3", "--epochs", "1",
                "--max-steps", STEPS, "--save-steps", "1", "--workers", "1", "--quiet", "--out", out]

    def environment(self, cache, fault=None, report=None):
        env = h.environment({"CLFCN_CACHE_DIR": str(cache)})
        if report is not None:
            env.update({"OPENCL_LAYERS": LAYER, "CLFCN_FAIL_REPORT": str(report)})
        if fault is not None and fault.kind == "opencl":
            env["CLFCN_FAIL"] = f"{fault.function} {fault.call} {fault.code}"
        return env

    def run(self, argv, cache, fault=None, report=None):
        done = subprocess.run([h.CLFCN, *map(str, argv)], env=self.environment(cache, fault, report),
                              stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              errors="replace", timeout=SECONDS)
        return Outcome(done.returncode, done.stderr, done.stdout,
                       self.read_report(report) if report else {})

    @staticmethod
    def read_report(path):
        return read_report(path)

    # --- judging ---

    @staticmethod
    def tensors(run):
        return h.read_safetensors(Path(run) / "checkpoints" / "last.safetensors")[1]

    def check(self, fault, resume=True):
        """What is wrong with how clfcn takes a fault, a line each."""
        try:
            done, place = self.attempt(fault, fault.cold)
        except subprocess.TimeoutExpired:
            return [f"{fault}: hangs"]
        try:
            found = [*self.judge(done, fault), *self.judge_files(place, done, fault)]
            if resume and fault.job == "train" and (place / "run" / "config.json").exists():
                found += self.judge_resumed(place)
            return [f"{fault}: {text}{self.where(done)}" for text in found]
        finally:
            shutil.rmtree(place)

    @staticmethod
    def where(done):
        return ""

    def judge(self, done, fault):
        """Exit status, message, and what is left in the driver."""
        lines = [line for line in done.err.splitlines()
                 if not line.startswith(("clfcn: warning: ", "device: ", "dashboard: "))]
        if SANITIZER.search(done.err):
            yield f"exit status {done.code}: {done.err[-6000:]}"
        elif JANSSON in done.err or self.is_driver(done):
            return
        elif done.code not in self.statuses(fault):
            yield f"exit status {done.code}: {done.err[-500:]}"
        elif done.code == h.OK and lines:
            yield f"says {lines}"
        elif done.code != h.OK and (len(lines) != 1 or
                                    not lines[0].startswith(f"clfcn: {self.command(fault)}: ")):
            yield f"not one line: {lines}"
        elif done.code != h.OK:
            yield from self.judge_message(done, fault, lines[0])
        if ("failed",) not in done.report and done.code == h.OK and self.is_certain(fault):
            yield "was not made"
        for key, n in done.report.items():
            if key[0] == "live" and n != 0:
                yield f"{n} objects of kind {key[1]} are left"

    def command(self, fault):
        return "train"

    def is_driver(self, done):
        """Whether a driver is left out because what was to try it could not say how that went."""
        return (done.code == h.NO_DEVICE and
                str(done.report.get(("path",), "")).startswith("pipe:"))

    def is_certain(self, fault):
        """Whether there is such a call in each run."""
        return True

    def judge_files(self, place, done, fault):
        run = place / "run"
        for path in sorted(p for p in run.rglob("*") if p.is_file()):
            name = str(path.relative_to(run))
            if not FILES.fullmatch(name) and not self.may_leave(path, fault):
                yield f"leaves {name}"
            elif not TEMPORARY.fullmatch(path.name) and (wrong := broken(path)):
                yield f"leaves a broken {name}: {wrong}"
        if done.code == h.OK and fault.job == "train" and self.tensors(run) != self.want:
            yield "other weights, and nothing said"

    def may_leave(self, path, fault):
        return False

    def judge_resumed(self, place):
        again = self.run(["train", "--resume", place / "run", "--max-steps", STEPS, "--quiet"],
                         place / "cache")
        if again.code != h.OK:
            yield f"cannot be resumed: exit status {again.code}: {again.err[-300:]}"
        elif self.tensors(place / "run") != self.want:
            yield "other weights after --resume"
        elif any(TEMPORARY.fullmatch(p.name) for p in (place / "run").rglob(".*")):
            yield "a temporary file after --resume"
