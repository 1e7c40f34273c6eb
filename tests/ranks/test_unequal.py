"""Ranks whose devices are not alike: a slow one, and two OpenCL implementations."""

import os
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import rig  # noqa: E402
import mpirun  # noqa: E402
import tapunit  # noqa: E402
import harness as h  # noqa: E402

LAYER = os.environ.get("CLFCN_SLOW_LAYER")
RUSTICL = "/etc/OpenCL/vendors/rusticl.icd"
POCL = "/etc/OpenCL/vendors/pocl.icd"


def setUpModule():
    rig.need_mpi()


def slow(factor):
    """A rank whose kernels take so many times as long."""
    return mpirun.Rank(env={"OPENCL_LAYERS": LAYER, "CLFCN_TEST_SLOW": factor})


class Unequal(rig.Case, h.Case):
    def setUp(self):
        super().setUp()
        self.data = self.tmp / "data"

    def argv(self, name, *args):
        return ["train", "--data", self.data, "--backbone", "vgg11", "--seed", "3",
                "--out", self.tmp / name, *args]

    def together(self, name, *args, **settings):
        done = mpirun.run(2, [h.CLFCN, *self.argv(name, *args)], **settings)
        self.assertEqual(done.code, 0, str(done))
        self.assertEqual(done.left_over, [], str(done))
        return done

    def events(self, name, kind):
        return [e for e in h.log_events(self.tmp / name) if e["event"] == kind]

    def losses(self, name):
        return [e["loss"] for e in self.events(name, "step")]

    def tensors(self, name):
        return h.read_safetensors(self.tmp / name / "checkpoints" / "last.safetensors")[1]


class SlowRank(Unequal):
    NET = ["--size", "32x32", "--val-fraction", "0"]

    def setUp(self):
        super().setUp()
        self.ok("data", "demo", "--write", self.data, "--count", 24)

    def test_it_gets_fewer_images(self):
        net = [*self.NET, "--batch", "12", "--epochs", "2"]
        self.together("run", *net, "--sync-bn", "on", per_rank=[mpirun.Rank(), slow(4)])
        quick, late = [r["batch"] for r in self.events("run", "start")[0]["ranks"]]
        self.assertEqual(quick + late, 12)
        self.assertGreater(quick, 2 * late)
        # Whoever computes what, the results are those of one process.
        self.ok(*self.argv("alone", *net))
        for i, (a, b) in enumerate(zip(self.losses("run"), self.losses("alone"), strict=True)):
            self.assertLessEqual(abs(a - b), (1e-5 if i == 0 else 1e-2) * b, f"step {i + 1}")

    def test_measured_shares_stay(self):
        self.together("run", *self.NET, "--batch", "6", "--max-steps", "1",
                      per_rank=[mpirun.Rank(), slow(4)])
        # Bit for bit as before means as shared out before, though neither is slow now.
        self.well(mpirun.run(2, [h.CLFCN, "train", "--resume", self.tmp / "run",
                                 "--max-steps", "2"]))
        before, after = [[r["batch"] for r in e["ranks"]] for e in h.log_events(self.tmp / "run")
                         if "ranks" in e]
        self.assertGreater(before[0], before[1])
        self.assertEqual(before, after)

    def test_with_equal_shares_the_quick_one_waits(self):
        self.together("run", *self.NET, "--batch", "6", "--epochs", "1", "--balance", "equal",
                      per_rank=[slow(4), mpirun.Rank()])
        epoch = self.events("run", "epoch")[0]
        late, quick = epoch["ranks"]
        self.assertEqual((late["batch"], quick["batch"]), (3, 3))
        self.assertGreater(quick["wait_s"], 0.4 * epoch["seconds"])
        self.assertLess(late["wait_s"], 0.5 * quick["wait_s"])
        self.assertGreater(quick["images_per_s"], 1.5 * late["images_per_s"])

    def test_one_that_holds_the_others_up_is_named(self):
        done = self.together("run", *self.NET, "--batch", "2", "--max-steps", "2",
                             per_rank=[mpirun.Rank(), slow(8)])
        warnings = [t for t in done.err.splitlines() if "warning" in t]
        self.assertEqual(len(warnings), 1, done.err)
        device = self.events("run", "start")[0]["ranks"][1]
        self.assertIn(f"rank 1 ({device['host']}, {device['device']}) makes the whole slower",
                      warnings[0])
        self.assertRegex(warnings[0], r"about \d+ ms a step with it, \d+ without")


@unittest.skipUnless(os.path.exists(RUSTICL), "mesa-opencl-icd is not installed")
@unittest.skipUnless(os.path.exists(POCL), "PoCL is not installed")
class TwoImplementations(Unequal):
    """PoCL and Mesa's rusticl: other compilers, other orders of sums, each a rank's device.

    llvmpipe takes seconds for a step, hence few of them, and the library of the matrix products
    that it is quickest with. A cache of their own keeps other tests' programs as they are."""

    NET = ["--arch", "fcn32s", "--size", "32x32", "--batch", "2", "--sync-bn", "on",
           "--val-fraction", "0.25", "--balance", "equal", "--max-steps", "2", "--gemm", "clblast"]
    BOTH = [mpirun.Rank(env={"OCL_ICD_VENDORS": POCL}),
            mpirun.Rank(env={"OCL_ICD_VENDORS": RUSTICL, "RUSTICL_ENABLE": "llvmpipe"})]

    def test_they_train_together(self):
        h.make_dataset(self.data, count=8)
        env = {"CLFCN_CACHE_DIR": os.environ["CLFCN_RANKS_CACHE"]}
        for name in ("run", "again"):
            self.together(name, *self.NET, per_rank=self.BOTH, env=env, timeout=800)
        names = [r["device"] for r in self.events("run", "start")[0]["ranks"]]
        self.assertNotIn("llvmpipe", names[0])
        self.assertIn("llvmpipe", names[1])
        self.ok(*self.argv("alone", *self.NET))
        found, want = self.losses("run"), self.losses("alone")
        self.assertEqual(len(found), 2)
        for i, (a, b) in enumerate(zip(found, want, strict=True)):
            self.assertLessEqual(abs(a - b), (1e-4 if i == 0 else 1e-2) * b, f"step {i + 1}")
        self.assertEqual(self.losses("again"), found)
        self.assertTrue(self.tensors("run") == self.tensors("again"))
        r = self.ok("eval", self.tmp / "run/checkpoints/last.safetensors", "--data", self.data,
                    "--split", "val", "--json")
        self.assertGreater(r.events[-1]["pixel_acc"], 0)


if __name__ == "__main__":
    tapunit.main()
