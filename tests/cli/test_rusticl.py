"""One training step on a second, independent OpenCL implementation: Mesa's rusticl on llvmpipe."""

import os
import shutil
import unittest

import harness as h
import tapunit

ICD = "/etc/OpenCL/vendors/rusticl.icd"
POCL = "/etc/OpenCL/vendors/pocl.icd"
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

    @unittest.skipUnless(os.path.exists(POCL), "PoCL is not installed")
    def test_no_pass_of_a_layer_parts_from_the_default_runtime(self):
        vendors = self.tmp / "vendors"
        vendors.mkdir()
        for icd in (ICD, POCL):
            shutil.copy(icd, vendors)
        r = self.ok("diverge", "--device", "portable", "--device", "llvmpipe", *h.NET, "--arch",
                    "fcn32s", "--steps", 1, "--json", env={**ENV, "OCL_ICD_VENDORS": str(vendors)},
                    timeout=800).events[0]
        self.assertEqual(r["first"], None)
        self.assertIn("llvmpipe", r["devices"][1]["name"])
        # Two compilers that agree on every bit would be one.
        self.assertGreater(max(row["relative"] for row in r["rows"]), 0)


if __name__ == "__main__":
    tapunit.main()
