"""A training of two steps in which one OpenCL call fails."""

import re
import shutil
import tempfile
from pathlib import Path

import rig
from rig import BUILD, CODES, FLIP, Fault, h

# A layer, a buffer, a device, or what concerns a step as a whole.
WHERE = re.compile(r"'[^']+'|uploading (images|labels)|waiting for the (upload|device)"
                   r"|submitting work|reading back a result")


class OpenCL(rig.Rig):
    kind = "opencl"

    def prepare(self):
        """The calls of an undisturbed run, with and without kept kernels."""
        self.cold = self.root / "cold"
        shutil.copytree(self.warm, self.cold)
        shutil.rmtree(self.cold / "kernels", ignore_errors=True)
        self.calls = {cold: self.undisturbed(cold) for cold in (False, True)}

    def undisturbed(self, cold):
        done = self.attempt(None, cold)
        if done[0].code != 0:
            raise RuntimeError(done[0].err)
        return {key[1]: n for key, n in done[0].report.items() if key[0] == "call"}

    def attempt(self, fault, cold):
        """(outcome, a folder with the run and its cache)."""
        place = Path(tempfile.mkdtemp(dir=self.root))
        shutil.copytree(self.cold if cold else self.warm, place / "cache")
        done = self.run(self.argv(place / "run"), place / "cache", fault, place / "report")
        return done, place

    def faults(self, every=1):
        """For each function calls from the first on, each `every`-th, and the last; by turns all
        codes. Cold: what is called more often then. What only one function can return, and reads
        of which a bit is wrong, come besides."""
        codes, i = [code for code in CODES if code != BUILD], 0
        for cold in (False, True):
            for function, calls in sorted(self.calls[cold].items()):
                if cold and calls <= self.calls[False].get(function, 0):
                    continue
                for call in sorted({*range(1, calls + 1, every), calls}):
                    yield Fault(function, call, codes[i % len(codes)], cold)
                    if function == "clBuildProgram":
                        yield Fault(function, call, BUILD, cold)
                    elif function == "clEnqueueReadBuffer":
                        yield Fault(function, call, FLIP, cold)
                    i += 1

    def totals(self):
        """How often each function is called."""
        return {**self.calls[False], **self.calls[True]}

    # --- judging ---

    def statuses(self, fault):
        return (h.OK, h.FAILED, h.NO_DEVICE) if fault.code != FLIP else (h.OK, h.FAILED)

    def judge_message(self, done, fault, line):
        named = CODES.get(fault.code, "")
        if done.code == h.FAILED and named not in line:
            yield f"does not say what failed: {line}"
        elif done.code == h.FAILED and fault.code != FLIP and not WHERE.search(line):
            yield f"does not say where: {line}"

    def judge_files(self, place, done, fault):
        for text in super().judge_files(place, done, fault):
            if fault.code != FLIP or not text.startswith("other weights"):
                yield text

    def check(self, fault, resume=True):
        """A run with a wrong bit in it may go on to other weights."""
        return super().check(fault, resume and fault.code != FLIP)
