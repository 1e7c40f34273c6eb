"""A training of two steps in which one OpenCL call fails, and what may come of that.

    with Rig() as rig:
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
from dataclasses import dataclass
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(TESTS), str(TESTS / "cli")]

import harness as h  # noqa: E402

LAYER = os.environ.get("CLFCN_FAIL_LAYER", "")
SECONDS = 120  # a run takes about one; more than this is a hang
STEPS = 2
NET = ["--arch", "fcns", "--backbone", "vgg11", "--size", "32x32", "--batch", "2"]
FILES = re.compile(r"config\.json|log\.jsonl|report\.html|checkpoints/(last|best|epoch-\d+)\.safetensors"
                   r"|samples/[^/]+\.png|run\.lock|\.lock")

# A layer, a buffer, a device, or what concerns a step as a whole.
WHERE = re.compile(r"'[^']+'|uploading (images|labels)|waiting for the (upload|device)"
                   r"|submitting work|reading back a result")

OUT_OF_RESOURCES, OUT_OF_HOST_MEMORY, ALLOCATION, NOT_AVAILABLE, BAD_QUEUE = -5, -6, -4, -2, -36
CODES = {OUT_OF_RESOURCES: "CL_OUT_OF_RESOURCES", OUT_OF_HOST_MEMORY: "CL_OUT_OF_HOST_MEMORY",
         ALLOCATION: "CL_MEM_OBJECT_ALLOCATION_FAILURE", NOT_AVAILABLE: "CL_DEVICE_NOT_AVAILABLE",
         BAD_QUEUE: "CL_INVALID_COMMAND_QUEUE"}


@dataclass(frozen=True)
class Fault:
    """The n-th call of a function fails with a code. cold: no kernel was kept from before."""
    function: str
    call: int
    code: int
    cold: bool = False

    def __str__(self):
        return (f"{self.function} {self.call} {CODES.get(self.code, self.code)}"
                + (", cold" if self.cold else ""))


@dataclass
class Outcome:
    code: int
    err: str
    report: dict  # {("call", NAME): COUNT, ("live", KIND): COUNT, ("failed",): NAME}


def read_report(path):
    """{} of a process that did not come to its end."""
    if not path.exists():
        return {}
    words = [line.split() for line in path.read_text().splitlines()]
    return {tuple(w[:2]) if w[0] != "failed" else ("failed",): int(w[2]) if len(w) > 2 else w[1]
            for w in words}


class Rig:
    def __init__(self):
        self.root = Path(tempfile.mkdtemp(prefix="clfcn-faults-"))
        self.data = h.make_dataset(self.root / "data", count=6)
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
        if fault is not None:
            env["CLFCN_FAIL"] = f"{fault.function} {fault.call} {fault.code}"
        return env

    def run(self, argv, cache, fault=None, report=None):
        env = self.environment(cache, fault, report)
        done = subprocess.run([h.CLFCN, *map(str, argv)], env=env, capture_output=True, text=True,
                              errors="replace", timeout=SECONDS)
        return Outcome(done.returncode, done.stderr, read_report(report) if report else {})

    def prepare(self):
        """The files that an undisturbed run leaves, and its calls with and without kept kernels."""
        self.warm, self.cold = self.root / "warm", self.root / "cold"
        for name in ("first", "second"):
            self.run(self.argv(self.root / name), self.warm)
        self.want = self.tensors(self.root / "second")
        shutil.copytree(self.warm, self.cold)
        shutil.rmtree(self.cold / "kernels", ignore_errors=True)
        self.calls = {cold: self.undisturbed(cold) for cold in (False, True)}

    def undisturbed(self, cold):
        done = self.attempt(None, cold)
        if done[0].code != 0:
            raise RuntimeError(done[0].err)
        return {key[1]: n for key, n in done[0].report.items() if key[0] == "call"}

    def attempt(self, fault, cold):
        """(outcome, the run's folder, its cache): all in a folder of their own."""
        place = Path(tempfile.mkdtemp(dir=self.root))
        shutil.copytree(self.cold if cold else self.warm, place / "cache")
        done = self.run(self.argv(place / "run"), place / "cache", fault, place / "report")
        return done, place

    def faults(self, every=1):
        """For each function calls from the first on, each `every`-th, and the last; by turns all
        codes. Cold: what is called more often then."""
        codes, i = list(CODES), 0
        for cold in (False, True):
            for function, calls in sorted(self.calls[cold].items()):
                if cold and calls <= self.calls[False].get(function, 0):
                    continue
                for call in sorted({*range(1, calls + 1, every), calls}):
                    yield Fault(function, call, codes[i % len(codes)], cold)
                    i += 1

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
            found = [*self.judge(done, fault), *self.judge_files(place / "run", done)]
            if resume and (place / "run" / "config.json").exists():
                found += self.judge_resumed(place)
            return [f"{fault}: {text}" for text in found]
        finally:
            shutil.rmtree(place)

    def judge(self, done, fault):
        lines = [line for line in done.err.splitlines()
                 if not line.startswith(("clfcn: warning: ", "device: "))]
        if done.code not in (h.OK, h.FAILED, h.NO_DEVICE):
            yield f"exit status {done.code}: {done.err[-500:]}"
        elif done.code == h.OK and lines:
            yield f"says {lines}"
        elif done.code != h.OK and (len(lines) != 1 or not lines[0].startswith("clfcn: train: ")):
            yield f"not one line: {lines}"
        elif done.code == h.FAILED and CODES[fault.code] not in lines[0]:
            yield f"does not say what failed: {lines[0]}"
        elif done.code == h.FAILED and not WHERE.search(lines[0]):
            yield f"does not say where: {lines[0]}"
        if ("failed",) not in done.report and done.code == h.OK:
            yield "was not made"
        for key, n in done.report.items():
            if key[0] == "live" and n != 0:
                yield f"{n} objects of kind {key[1]} are left"

    def judge_files(self, run, done):
        if not run.exists():
            return
        for path in sorted(p for p in run.rglob("*") if p.is_file()):
            name = str(path.relative_to(run))
            if not FILES.fullmatch(name):
                yield f"leaves {name}"
            elif name.endswith(".safetensors"):
                try:
                    h.read_safetensors(path)
                except (AssertionError, ValueError, KeyError) as e:
                    yield f"leaves a broken {name}: {e}"
            elif name == "log.jsonl":
                try:
                    [json.loads(line) for line in path.read_text().splitlines()]
                except ValueError as e:
                    yield f"leaves a broken log: {e}"
        if done.code == h.OK and self.tensors(run) != self.want:
            yield "other weights, and nothing said"

    def judge_resumed(self, place):
        again = self.run(["train", "--resume", place / "run", "--max-steps", STEPS, "--quiet"],
                         place / "cache")
        if again.code != h.OK:
            yield f"cannot be resumed: exit status {again.code}: {again.err[-300:]}"
        elif self.tensors(place / "run") != self.want:
            yield "other weights after --resume"
