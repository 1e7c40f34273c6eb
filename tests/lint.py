#!/usr/bin/env python3
"""Let tools that read code look for faults, in TAP.

    lint.py BUILD [TOOL...]     of shell, tidy, gcc and analyzer; without a name all of them

BUILD is a folder that meson set up: its compile_commands.json says how each file is compiled.

  shell      shellcheck over all scripts
  tidy       clang-tidy over host/ and tests/, with the checks of .clang-tidy
  gcc        gcc -fanalyzer over host/
  analyzer   clang's analyzer over host/: 3 to 10 s of processor time a file

Compilers and clang-tidy learn new warnings with every version, so that a version is skipped that
this code has not been brought in order for, unless --any-version is given.
"""

import argparse
import concurrent.futures
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TIDY, GCC = "14", "12"
TOOLS = ["shell", "tidy", "gcc", "analyzer"]

# Checks of clang's analyzer that are left out, and why.
#   DeprecatedOrUnsafeBufferHandling asks for C11's Annex K, which no C library here has.
#   NullDereference, NonNullParamChecker, uninitialized.*, UndefinedBinaryOperatorResult and
#     CallAndMessage do not see, in another file, that an error is below CLFCN_OK, and that
#     CLFCN_OK means that *out is set.
#   DivideZero and portability.UnixAPI take numbers for 0 that another file makes at least 1.
#   FloatLoopCounter is about marks on an axis, Padding about tables of a few lines.
ANALYZER = ",".join(["-*", "clang-analyzer-*"] + [f"-clang-analyzer-{name}" for name in (
    "security.insecureAPI.DeprecatedOrUnsafeBufferHandling", "core.NullDereference",
    "core.NonNullParamChecker", "core.uninitialized.*", "core.CallAndMessage",
    "core.UndefinedBinaryOperatorResult", "core.DivideZero", "optin.performance.Padding",
    "optin.portability.UnixAPI", "security.FloatLoopCounter")])

# Warnings of gcc's analyzer that are left out, and why.
#   malloc-leak loses what is kept in an element of an array. Valgrind and LeakSanitizer look too.
#   null-* do not see either what CLFCN_OK means.
#   use-of-uninitialized-value does not see what functions with versions for vectors write.
GCC_OFF = [f"-Wno-analyzer-{name}" for name in (
    "malloc-leak", "null-dereference", "null-argument", "possible-null-dereference",
    "possible-null-argument", "use-of-uninitialized-value")]


class Skip(Exception):
    pass


def need(program, pattern, wanted, any_version):
    """The program, or Skip if it is not there or of another version."""
    if not shutil.which(program):
        raise Skip(f"no {program} here")
    said = subprocess.run([program, "--version"], capture_output=True, text=True).stdout
    found = re.search(pattern, said)
    if wanted and not any_version and (not found or found[1] != wanted):
        raise Skip(f"{program} is not version {wanted}")


def commands(build, folders):
    """{file: (folder to compile in, words of the command)} of C files in these folders"""
    found = {}
    for entry in json.loads((build / "compile_commands.json").read_text()):
        path = Path(entry["directory"], entry["file"]).resolve()
        if path.suffix == ".c" and any(path.is_relative_to(ROOT / f) for f in folders):
            found.setdefault(path, (entry["directory"], shlex.split(entry["command"])))
    if not found:
        raise SystemExit(f"{build}: no file of {' or '.join(folders)} in compile_commands.json")
    return found


def analyzed(words):
    """The command with gcc's analyzer on, and nothing written."""
    words = words[words.index("ccache") + 1:] if "ccache" in words else list(words)
    for option in ("-o", "-MF", "-MQ"):
        if option in words:
            at = words.index(option)
            del words[at:at + 2]
    words = [w for w in words if w not in ("-MD", "-O2", "-O3", "-g") and "coverage" not in w]
    return ["gcc", *words[1:], "-O1", "-fanalyzer", *GCC_OFF, "-fdiagnostics-color=never",
            "-fdiagnostics-path-format=none", "-o", os.devnull]


def shell(options):
    need("shellcheck", "", None, True)
    scripts = [p for p in ROOT.rglob("*.sh") if "node_modules" not in p.parts
               and not p.relative_to(ROOT).parts[0].startswith("build")]
    scripts += [p for p in [ROOT / ".ci/run"] if p.is_file()]
    return [(ROOT, ["shellcheck", "-x", str(p.relative_to(ROOT))]) for p in sorted(scripts)]


def tidy(options, *more):
    need("clang-tidy", r"version (\d+)", TIDY, options.any_version)
    folders = ["host"] if more else ["host", "tests"]
    return [(ROOT, ["clang-tidy", "-p", str(options.build), "--quiet", *more, str(path)])
            for path in sorted(commands(options.build, folders))]


def analyzer(options):
    return tidy(options, f"--checks={ANALYZER}")


def gcc(options):
    need("gcc", r"\) (\d+)\.", GCC, options.any_version)
    return [(folder, analyzed(words))
            for _, (folder, words) in sorted(commands(options.build, ["host"]).items())]


def run(job):
    folder, words = job
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, errors="replace")
    said = done.stdout + done.stderr
    return words[-1] if done.returncode else "", said, "warning:" in said or "error:" in said


def report(number, tool, options):
    """One line of TAP, behind those of what was found; whether all is well."""
    try:
        jobs = globals()[tool](options)
    except Skip as why:
        print(f"ok {number} - {tool} # SKIP {why}", flush=True)
        return True
    bad = 0
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        for failed, said, found in pool.map(run, jobs):
            if failed or found:
                bad += 1
                print("".join(f"# {line}\n" for line in said.splitlines()), end="")
    print(f"{'not ok' if bad else 'ok'} {number} - {tool}: {len(jobs)} files", flush=True)
    return not bad


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--any-version", action="store_true", help="of clang-tidy and gcc")
    p.add_argument("--jobs", type=int, default=os.cpu_count())
    p.add_argument("build", type=lambda s: Path(s).resolve())
    p.add_argument("tools", nargs="*", metavar="TOOL", help=", ".join(TOOLS))
    options = p.parse_args()
    for tool in options.tools:
        if tool not in TOOLS:
            p.error(f"'{tool}' is none of {', '.join(TOOLS)}")
    tools = options.tools or TOOLS
    print(f"1..{len(tools)}")
    good = [report(i + 1, tool, options) for i, tool in enumerate(tools)]
    sys.exit(0 if all(good) else 1)


if __name__ == "__main__":
    main()
