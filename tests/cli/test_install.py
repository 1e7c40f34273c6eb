"""What `meson install` gives: a C program builds against it through pkg-config and runs."""

import os
import shutil
import subprocess
import unittest

import harness as h
import tapunit

BUILD = os.environ.get("CLFCN_BUILD_DIR")

PROGRAM = r"""
#include <clfcn/clfcn.h>
#include <stdio.h>
#include <stdlib.h>

int main(void)
{
    struct clfcn_err err = { 0 };
    struct clfcn_device_info *list = NULL;
    int n = 0;
    if (clfcn_device_list(&list, &n, &err) != CLFCN_OK) {
        fprintf(stderr, "%s\n", err.msg);
        return 1;
    }
    printf("%s %d %s\n", clfcn_version(), n, n ? list[0].name : "none");
    free(list);
    return 0;
}
"""


@unittest.skipUnless(BUILD and shutil.which("meson") and shutil.which("pkg-config"),
                     "needs meson and pkg-config")
class Install(h.Case):
    def test_install_compile_run(self):
        dest = self.tmp / "dest"
        subprocess.run(["meson", "install", "-C", BUILD, "--no-rebuild", "--destdir", str(dest)],
                       check=True, capture_output=True, text=True)
        files = [p for p in dest.rglob("*") if p.is_file()]
        names = {p.name for p in files}
        for name in ("clfcn.h", "common.h", "device.h", "net.h", "data.h", "train.h", "clfcn.pc"):
            self.assertIn(name, names)
        library = next(p for p in files if p.name.startswith("libclfcn.so"))
        binary = next(p for p in files if p.name == "clfcn")
        self.assertEqual(binary.parent.name, "bin")
        self.assertTrue(os.access(binary, os.X_OK))
        probe = next(p for p in files if p.name == "clfcn-probe")
        self.assertEqual(probe.parent.name, "libexec")
        self.assertTrue(os.access(probe, os.X_OK))

        pc = next(p for p in files if p.name == "clfcn.pc").parent
        env = h.environment({"PKG_CONFIG_PATH": str(pc), "PKG_CONFIG_SYSROOT_DIR": str(dest)})
        flags = subprocess.run(["pkg-config", "--cflags", "--libs", "clfcn"], env=env, check=True,
                               capture_output=True, text=True).stdout.split()
        (self.tmp / "main.c").write_text(PROGRAM)
        subprocess.run(["cc", "-std=c11", "-Wall", "-Werror", "-o", str(self.tmp / "main"),
                        str(self.tmp / "main.c"), *flags], check=True)
        done = subprocess.run([str(self.tmp / "main")], capture_output=True, text=True,
                              env=h.environment({"LD_LIBRARY_PATH": str(library.parent)}))
        self.assertEqual(done.returncode, 0, done.stderr)
        version, count, *_ = done.stdout.split()
        self.assertRegex(version, r"^\d+\.\d+\.\d+$")
        self.assertGreaterEqual(int(count), 0)


if __name__ == "__main__":
    tapunit.main()
