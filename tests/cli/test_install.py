"""What `meson install` gives: a C program builds against it through pkg-config and runs."""

import os
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

import harness as h
import tapunit

BUILD = os.environ.get("CLFCN_BUILD_DIR")

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


@unittest.skipUnless(BUILD and shutil.which("meson") and shutil.which("pkg-config"),
                     "needs meson and pkg-config")
class Install(h.Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.dest = Path(tempfile.mkdtemp(prefix="clfcn-install-"))
        cls.addClassCleanup(shutil.rmtree, cls.dest)
        subprocess.run(["meson", "install", "-C", BUILD, "--no-rebuild", "--destdir", str(cls.dest)],
                       check=True, capture_output=True, text=True)
        cls.files = [p for p in cls.dest.rglob("*") if p.is_file()]

    def installed(self, name):
        return next(p for p in self.files if p.name == name)

    def build(self, source):
        """Compile a program against the installed library, found by pkg-config alone."""
        pc = self.installed("clfcn.pc").parent
        env = h.environment({"PKG_CONFIG_PATH": str(pc), "PKG_CONFIG_SYSROOT_DIR": str(self.dest)})
        flags = subprocess.run(["pkg-config", "--cflags", "--libs", "clfcn"], env=env, check=True,
                               capture_output=True, text=True).stdout.split()
        program = self.tmp / source.stem
        subprocess.run(["cc", "-std=c11", "-Wall", "-Wextra", "-Wno-unused-parameter", "-Werror",
                        "-o", str(program), str(source), *flags], check=True)
        return program

    def run_program(self, *argv):
        library = next(p for p in self.files if p.name.startswith("libclfcn.so"))
        return subprocess.run([str(a) for a in argv], capture_output=True, text=True, cwd=self.tmp,
                              env=h.environment({"LD_LIBRARY_PATH": str(library.parent)}))

    def test_what_is_installed(self):
        headers = {p.name for p in (EXAMPLES.parents[1] / "include/clfcn").glob("*.h")}
        self.assertLessEqual(headers | {"clfcn.pc"}, {p.name for p in self.files})
        binary, probe = self.installed("clfcn"), self.installed("clfcn-probe")
        self.assertEqual(binary.parent.name, "bin")
        self.assertTrue(os.access(binary, os.X_OK))
        self.assertEqual(probe.parent.name, "libexec")
        self.assertTrue(os.access(probe, os.X_OK))

        pages = {p.name for p in self.files if p.parent.name == "man1"}
        if pages:  # none where the program cannot run on the machine that builds it
            self.assertLessEqual({"clfcn.1", "clfcn-train.1"}, pages)
            self.assertEqual(self.installed("clfcn.bash").parent.name, "completions")

    def test_examples_are_short(self):
        for source in EXAMPLES.glob("*.c"):
            self.assertLess(len(source.read_text().splitlines()), 80, source.name)

    def test_train_example(self):
        program = self.build(EXAMPLES / "train.c")
        done = self.run_program(program, "discs.safetensors")
        self.assertEqual(done.returncode, 0, done.stderr)
        *steps, last = done.stdout.splitlines()
        self.assertEqual(len(steps), 4 * 64 // 4)
        self.assertGreater(float(last.split()[-1]), 0.8, last)
        info = h.run("info", self.tmp / "discs.safetensors", "--json")
        self.assertEqual(info.code, h.OK, info)
        self.assertIn("deconv1.weight", info.out)

    def test_predict_example(self):
        data = h.make_dataset(self.tmp / "d", count=6)
        self.ok(*h.train_args(data, self.tmp / "run", "--max-steps", 1), "--quiet")
        checkpoint = self.tmp / "run/checkpoints/last.safetensors"
        program = self.build(EXAMPLES / "predict.c")
        width, height = 37, 21
        rows = h.picture(3, width, height)[0]
        rgb = b"".join(rows)
        (self.tmp / "in.ppm").write_bytes(b"P6 %d %d 255\n" % (width, height) + rgb)
        (self.tmp / "in.png").write_bytes(h.png_bytes(width, height, rows, color_type=2))
        done = self.run_program(program, checkpoint, "in.ppm", "out.ppm")
        self.assertEqual(done.returncode, 0, done.stderr)
        head, _, body = (self.tmp / "out.ppm").read_bytes().partition(b"\n")
        self.assertEqual(head, b"P6 37 21 255")
        self.ok("predict", checkpoint, self.tmp / "in.png", "--out", self.tmp / "masks")
        mask = self.tmp / "masks/in.png"
        labels = [c for row in h.read_png(mask)[3] for c in row]
        palette = mask.read_bytes().partition(b"PLTE")[2]
        want = bytes((v + palette[3 * labels[i // 3] + i % 3]) // 2 for i, v in enumerate(rgb))
        self.assertEqual(body, want)
        done = self.run_program(program, checkpoint, "missing.ppm", "out.ppm")
        self.assertEqual(done.returncode, 1)
        self.assertIn("missing.ppm", done.stderr)


if __name__ == "__main__":
    tapunit.main()
