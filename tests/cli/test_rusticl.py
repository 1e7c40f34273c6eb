"""One training step on a second, independent OpenCL implementation: Mesa's rusticl on llvmpipe."""

import os
import unittest

import harness as h
import tapunit

ICD = "/etc/OpenCL/vendors/rusticl.icd"
ENV = {"OCL_ICD_VENDORS": ICD, "RUSTICL_ENABLE": "llvmpipe"}


@unittest.skipUnless(os.path.exists(ICD), "mesa-opencl-icd is not installed")
class Rusticl(h.Case):
    def test_device_is_listed(self):
        r = self.ok("devices", "--json", env=ENV)
        self.assertIn("llvmpipe", r.out)

    def test_a_step_gives_the_loss_of_the_default_runtime(self):
        data = h.make_dataset(self.tmp / "d", count=2)
        args = ["--max-steps", 1, "--no-shuffle", "--arch", "fcn32s"]
        want = self.ok(*h.train_args(data, self.tmp / "a", *args), "--json").of("step")
        found = self.ok(*h.train_args(data, self.tmp / "b", *args), "--json", env=ENV,
                        timeout=800).of("step")
        self.assertAlmostEqual(found[0]["loss"], want[0]["loss"], places=4)


if __name__ == "__main__":
    tapunit.main()
