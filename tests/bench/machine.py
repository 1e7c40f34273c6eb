"""The machine and the versions that a table of figures belongs to."""

import json
import os
import platform
import shutil
import subprocess
from pathlib import Path

from table import NotMeasured


def first_line(*argv):
    """What a command says first; "" if it cannot be run."""
    try:
        out = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return ""
    return out.strip().splitlines()[0] if out.strip() else ""


def cpu_model():
    with open("/proc/cpuinfo") as f:
        for line in f:
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.machine()


def memory_gb():
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30


def system():
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except OSError:
        return platform.system()


def build_of(clfcn):
    """Compiler and CLBlast, from the build folder that the program lies in."""
    info = Path(clfcn).resolve().parents[2] / "meson-info"
    try:
        targets, options, dependencies = (
            json.loads((info / f"intro-{name}.json").read_text())
            for name in ("targets", "buildoptions", "dependencies"))
    except OSError:
        return "unknown", "unknown"
    compilers = [s["compiler"] for t in targets if t["name"] == "clfcn"
                 for s in t["target_sources"] if s.get("compiler")]
    compiler = first_line(*compilers[0], "--version") if compilers else "unknown"
    buildtype = next(o["value"] for o in options if o["name"] == "buildtype")
    clblast = next((d["version"] for d in dependencies if d["name"] == "clblast"), "unknown")
    return f"{compiler}, {buildtype}", clblast


def openblas(runner):
    return runner.peer("gemm", shapes=[[64, 64, 64]], reps=1, cuda=runner.gpu)["library"]


def torch(runner):
    return runner.peer("versions")["pytorch"]


def said_or_why_not(what, runner):
    try:
        return what(runner)
    except NotMeasured as e:
        return f"none ({e})"


def describe(runner):
    """Everything by name, in the order to print it."""
    o, d = runner.options, runner.device
    compiler, clblast = build_of(o.clfcn)
    git = shutil.which("git") and first_line("git", "-C", str(Path(__file__).parent),
                                             "describe", "--always", "--dirty")
    return {
        "job": f"{o.arch} on {o.backbone}, {o.size}, batch {o.batch}, BCE, SGD; "
               f"{o.rounds} rounds, median of {o.steps} in each",
        "machine": f"{cpu_model()}, {len(os.sched_getaffinity(0))} processors, "
                   f"{memory_gb():.0f} GB, {system()}, load {os.getloadavg()[0]:.1f} at first",
        "device": f"{d['name']} ({d['platform']}, driver {d['driver']}), "
                  f"{d['compute_units']} compute units",
        "clfcn": first_line(o.clfcn, "--version") + (f", commit {git}" if git else ""),
        "compiler": compiler,
        "CLBlast": clblast,
        "PyTorch": said_or_why_not(torch, runner),
        "BLAS": said_or_why_not(openblas, runner),
    }
