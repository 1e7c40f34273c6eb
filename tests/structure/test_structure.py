"""The walls of the code base: floors, headers, system calls in one place, exported names."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import tapunit  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
HOST = ROOT / "host"
PUBLIC = ROOT / "include" / "clfcn"

FLOORS = ["util", "comm", "device", "ops", "net", "data", "train", "report", "cli"]
OS_HEADER = re.compile(
    r"^(pthread|unistd|dlfcn|fcntl|termios|signal|dirent|poll|spawn|sched|sys/.*)\.h$")
INCLUDE = re.compile(r'^\s*#\s*include\s+(["<])([^">]+)[">]', re.M)

LINES_WARN = 500
LINES_MAX = 800


def sources(folder, *suffixes):
    return sorted(p for p in folder.rglob("*") if p.suffix in suffixes)


def includes(path):
    """(line, quote, target) of each #include in a file."""
    text = path.read_text()
    for m in INCLUDE.finditer(text):
        yield text.count("\n", 0, m.start()) + 1, m.group(1), m.group(2)


def floor_of_include(path, quote, target):
    """The floor that one #include of a host file reaches, None for a system or public header.

    Public headers are vocabulary (enumerators, plain data) for every floor.
    """
    if quote == "<":
        return "train" if target in ("clfcn/train.h", "clfcn/clfcn.h") else None
    resolved = (path.parent / target).resolve()
    if not resolved.is_relative_to(HOST):
        return None
    return resolved.relative_to(HOST).parts[0]


class Floors(unittest.TestCase):
    def test_a_file_reaches_only_its_own_floor_or_lower(self):
        wrong = []
        for path in sources(HOST, ".c", ".h"):
            own = path.relative_to(HOST).parts[0]
            for line, quote, target in includes(path):
                reached = floor_of_include(path, quote, target)
                if reached is None:
                    continue
                too_high = quote == '"' and FLOORS.index(reached) > FLOORS.index(own)
                if too_high or (own == "report" and reached == "train"):
                    wrong.append(f"{path.relative_to(ROOT)}:{line}: floor {own} includes {target}")
        self.assertEqual(wrong, [])

    def test_every_folder_is_a_known_floor(self):
        folders = {p.name for p in HOST.iterdir() if p.is_dir()}
        self.assertEqual(folders, set(FLOORS))

    def test_operating_system_stays_in_util(self):
        wrong = []
        for path in sources(HOST, ".c", ".h"):
            if path.relative_to(HOST).parts[0] == "util":
                continue
            for line, quote, target in includes(path):
                if quote == "<" and OS_HEADER.match(target):
                    wrong.append(f"{path.relative_to(ROOT)}:{line}: <{target}>")
        self.assertEqual(wrong, [])

    def test_public_headers_include_only_public_headers(self):
        for path in sources(PUBLIC, ".h"):
            for line, quote, target in includes(path):
                if quote == '"':
                    self.assertTrue((PUBLIC / target).is_file(), f"{path.name}:{line}: {target}")


class Size(unittest.TestCase):
    def test_files_are_short(self):
        long = []
        for path in sources(HOST, ".c", ".h") + sources(ROOT / "cl", ".cl") + sources(PUBLIC, ".h"):
            n = len(path.read_text().splitlines())
            if n > LINES_MAX:
                long.append(f"{path.relative_to(ROOT)}: {n} lines")
            elif n > LINES_WARN:
                print(f"# {path.relative_to(ROOT)}: {n} lines, more than {LINES_WARN}")
        self.assertEqual(long, [], f"files of more than {LINES_MAX} lines: split them")


class Headers(unittest.TestCase):
    """Each header compiles alone, so none leans on what its user included before."""

    def compile(self, compiler, args, header, include):
        if shutil.which(compiler[0]) is None:
            self.skipTest(f"{compiler[0]} is not installed")
        with tempfile.TemporaryDirectory() as tmp:
            suffix = ".cpp" if "-std=c++11" in args else ".c"
            src = Path(tmp) / ("alone" + suffix)
            src.write_text(f"#include {include}\n#include {include}\nint main(void) {{ return 0; }}\n")
            done = subprocess.run(
                [*compiler, *args, "-Wall", "-Wextra", "-Werror", f"-I{ROOT / 'include'}",
                 "-D_POSIX_C_SOURCE=200809L", "-D_DEFAULT_SOURCE",
                 *os.environ.get("OPENCL_CFLAGS", "").split(), "-fsyntax-only", str(src)],
                capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, f"{header}:\n{done.stderr}")

    def test_public_headers_alone_in_c11(self):
        for path in sources(PUBLIC, ".h"):
            with self.subTest(header=path.name):
                self.compile(["cc"], ["-std=c11", "-pedantic"], path, f"<clfcn/{path.name}>")

    def test_public_headers_alone_in_cpp(self):
        for path in sources(PUBLIC, ".h"):
            with self.subTest(header=path.name):
                self.compile(["c++"], ["-std=c++11", "-pedantic"], path, f"<clfcn/{path.name}>")

    def test_internal_headers_alone_in_c11(self):
        for path in sources(HOST, ".h"):
            with self.subTest(header=str(path.relative_to(HOST))):
                mpi = "#include <mpi.h>" in path.read_text()
                self.compile(["mpicc" if mpi else "cc"], ["-std=c11"], path, f'"{path}"')


@unittest.skipUnless(os.environ.get("CLFCN_LIB") and shutil.which("nm"), "no library or no nm")
class Exports(unittest.TestCase):
    def exported(self):
        out = subprocess.run(["nm", "-D", "--defined-only", os.environ["CLFCN_LIB"]],
                             check=True, capture_output=True, text=True).stdout
        names = {line.split()[-1].split("@")[0] for line in out.splitlines()}
        # What sanitizers and profilers add is not ours to name.
        return {n for n in names if not re.match(r"_?_?(asan|ubsan|lsan|odr_asan|gcov|llvm)", n)}

    def declared(self):
        text = "".join(p.read_text() for p in sources(PUBLIC, ".h"))
        return set(re.findall(r"^CLFCN_API\b[^;(]*?\b(clfcn_\w+)\s*\(", text, re.M))

    def test_only_clfcn_names_are_exported(self):
        self.assertEqual([n for n in sorted(self.exported()) if not n.startswith("clfcn_")], [])

    def test_exported_is_what_the_public_headers_declare(self):
        self.assertEqual(self.exported(), self.declared())


if __name__ == "__main__":
    tapunit.main()
