"""Weights that PyTorch saved, in both of its formats: import, info and --init."""

import os
import resource
import struct
import subprocess
import unittest
import zipfile
from collections import OrderedDict

import harness as h
import tapunit

try:
    import numpy as np
    import torch
except ImportError:
    torch = None

DTYPES = {"F32": "<f4", "I64": "<i8"}
HAVE_ZIP = os.environ.get("CLFCN_ZIP", "1") == "1"
STREAM = {"_use_new_zipfile_serialization": False}
KINDS = {"zip": {}, "stream": STREAM} if HAVE_ZIP else {"stream": STREAM}
VGG11 = [(0, 3, 64), (3, 64, 128), (6, 128, 256), (8, 256, 256), (11, 256, 512),
         (13, 512, 512), (16, 512, 512), (18, 512, 512)]


def random_tensor(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) * 0.05


def vgg(prefix="features."):
    """The state_dict of torchvision's vgg11, which needs no torchvision."""
    state = OrderedDict()
    for i, a, b in VGG11:
        state[f"{prefix}{i}.weight"] = random_tensor(i, b, a, 3, 3)
        state[f"{prefix}{i}.bias"] = random_tensor(100 + i, b)
    return state


def fcn(classes=2):
    state = vgg("pretrained_net.features.")
    channels = [512, 512, 256, 128, 64, 32]
    for i in range(1, 6):
        a, b = channels[i - 1], channels[i]
        state[f"deconv{i}.weight"] = random_tensor(200 + i, a, b, 3, 3)
        state[f"deconv{i}.bias"] = random_tensor(300 + i, b)
        for k, name in enumerate(("weight", "bias", "running_mean", "running_var")):
            state[f"bn{i}.{name}"] = random_tensor(400 + 10 * i + k, b).abs() + 0.1
        state[f"bn{i}.num_batches_tracked"] = torch.tensor(1000)
    state["classifier.weight"] = random_tensor(500, classes, 32, 1, 1)
    state["classifier.bias"] = random_tensor(501, classes)
    return state


def arrays(path):
    """{name: array} of what clfcn wrote."""
    return {name: np.frombuffer(data, DTYPES[kind]).reshape(shape)
            for name, (kind, shape, data) in h.read_safetensors(path)[1].items()}


class Weights(h.Case):
    def setUp(self):
        super().setUp()
        if torch is None:
            self.skipTest("no PyTorch here (python3-torch)")
        self.file = self.tmp / "weights.pth"
        self.out = self.tmp / "out.safetensors"

    def check_imported(self, saved, want, kinds=KINDS, **options):
        """Whatever torch.save() makes of saved, import gives the tensors of want."""
        for kind, how in kinds.items():
            with self.subTest(kind=kind):
                torch.save(saved, self.file, **how, **options)
                self.ok("import", self.file, self.out, "--quiet")
                got = arrays(self.out)
                self.assertEqual(set(got), set(want))
                for name, tensor in want.items():
                    value = tensor.detach()
                    value = value if value.dtype == torch.int64 else value.float()
                    np.testing.assert_array_equal(got[name], value.numpy(), err_msg=name)

    def import_fails(self, words, *more):
        r = self.fails(h.BAD_INPUT, [self.file, *words], "import", self.file, self.out, *more)
        self.assertFalse(self.out.exists())
        return r


class Import(Weights):
    def test_whole_network(self):
        self.check_imported(fcn(), fcn())

    def test_torchvision_backbone_without_its_classifier(self):
        state = vgg()
        state["classifier.0.weight"] = random_tensor(1, 10, 20)
        state["classifier.0.bias"] = random_tensor(2, 10)
        self.check_imported(state, vgg("pretrained_net.features."))

    def test_torchvision_itself(self):
        try:
            import torchvision
        except (ImportError, RuntimeError) as e:
            self.skipTest(f"no torchvision here: {e}")
        model = torchvision.models.vgg13(weights=None, num_classes=3)
        want = {f"pretrained_net.{k}": v for k, v in model.state_dict().items()
                if k.startswith("features.")}
        self.check_imported(model.state_dict(), want)

    def test_data_parallel_prefix(self):
        self.check_imported(OrderedDict(("module." + k, v) for k, v in fcn().items()), fcn())

    def test_nested_state_dicts(self):
        for key in ("state_dict", "model", "model_state_dict"):
            with self.subTest(key=key):
                self.check_imported({"epoch": 3, "best": torch.tensor(0.5), "lr": 1e-3,
                                     "history": [1, (2.5, None)], key: vgg()},
                                    vgg("pretrained_net.features."))

    def test_parameters_and_plain_dicts(self):
        self.check_imported({k: torch.nn.Parameter(v) for k, v in vgg().items()},
                            vgg("pretrained_net.features."))

    def test_other_number_formats(self):
        for dtype in (torch.float16, torch.bfloat16, torch.float64):
            with self.subTest(dtype=dtype):
                state = {k: v.to(dtype) for k, v in vgg().items()}
                self.check_imported(state, {"pretrained_net." + k: v for k, v in state.items()})

    def test_newer_pickle_protocol(self):
        self.check_imported(vgg(), vgg("pretrained_net.features."), pickle_protocol=4)

    def test_views(self):
        state = vgg()
        whole = random_tensor(9, 2 * 64 + 5)
        state["features.0.bias"] = whole[5:69]
        state["features.3.bias"] = whole[5:133]  # overlaps the first
        state["features.6.bias"] = torch.ones(1).expand(256)
        state["features.8.bias"] = random_tensor(10, 512)[::2]
        state["features.3.weight"] = random_tensor(11, 3, 3, 64, 128).permute(3, 2, 0, 1)
        state["features.8.weight"] = random_tensor(12, 256, 256, 3, 3).transpose(0, 1)
        self.check_imported(state, {"pretrained_net." + k: v for k, v in state.items()})

    def test_channels_last(self):
        state = vgg()
        state["features.8.weight"] = state["features.8.weight"].to(
            memory_format=torch.channels_last)
        self.check_imported(state, vgg("pretrained_net.features."))

    @unittest.skipUnless(HAVE_ZIP, "this build has no libzip")
    def test_compressed_archive(self):
        torch.save(vgg(), self.tmp / "stored.pth")
        with zipfile.ZipFile(self.tmp / "stored.pth") as a, \
                zipfile.ZipFile(self.file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as b:
            for name in a.namelist():
                b.writestr(name, a.read(name))
        self.ok("import", self.file, self.out)
        want = vgg()["features.0.weight"].numpy()
        np.testing.assert_array_equal(arrays(self.out)["pretrained_net.features.0.weight"], want)


class WithoutPyTorch(h.Case):
    def test_a_clfcn_checkpoint_comes_out_as_it_is(self):
        data = h.make_dataset(self.tmp / "d", count=4)
        self.ok(*h.train_args(data, self.tmp / "run", "--max-steps", 0))
        out = self.tmp / "out.safetensors"
        last = self.tmp / "run/checkpoints/last.safetensors"
        r = self.ok("import", last, out, "--json")
        self.assertEqual((r.events[0]["backbone"], r.events[0]["classes"]), ("vgg11", 2))
        want = {n: t for n, t in h.read_safetensors(last)[1].items() if n[:6] != "optim."}
        self.assertEqual(h.read_safetensors(out)[1], want)

    def test_missing_file(self):
        self.fails(h.BAD_INPUT, ["nowhere.pth", "no such file"], "import",
                   self.tmp / "nowhere.pth", self.tmp / "out.safetensors")

    def test_output_must_be_safetensors(self):
        self.fails(h.USAGE, ["out.pth", "safetensors"], "import", self.tmp / "in.pth",
                   self.tmp / "out.pth")

    def test_partial_needs_weights(self):
        data = h.make_dataset(self.tmp / "d", count=4)
        self.fails(h.USAGE, ["--partial", "--init"],
                   *h.train_args(data, self.tmp / "run", "--partial"))


class Mismatch(Weights):
    def test_what_does_not_match_is_listed(self):
        state = fcn()
        del state["bn3.bias"]
        state["extra.weight"] = torch.ones(3)
        state["deconv2.bias"] = torch.ones(7)
        state["bn1.weight"] = torch.ones(512, dtype=torch.int32)
        state["bn2.weight"] = torch.ones(256, dtype=torch.complex64)
        for how in KINDS.values():
            torch.save(state, self.file, **how)
            words = ["'bn3.bias' is missing", "'extra.weight' is unknown",
                     "'deconv2.bias' has shape [7] where the network has [256]",
                     "'bn1.weight' holds no floating-point",
                     "'bn2.weight' holds no floating-point", "--partial"]
            self.import_fails(words)
        r = self.ok("import", self.file, self.out, "--partial")
        for word in words[:-1]:
            self.assertIn(word, r.err)
        self.assertEqual(set(state) - set(arrays(self.out)),
                         {"extra.weight", "deconv2.bias", "bn1.weight", "bn2.weight"})

    def test_long_lists_are_cut(self):
        torch.save({f"layer{i}.weight": torch.ones(1) for i in range(100)}, self.file, **STREAM)
        self.import_fails(["and", "more"])
        self.import_fails(["nothing"], "--partial")

    def test_same_tensor_twice(self):
        state = vgg()
        state["module.features.0.bias"] = state["features.0.bias"]
        torch.save(state, self.file, **STREAM)
        self.import_fails(["'features.0.bias' and 'module.features.0.bias' are the same"])


class Danger:
    """Would run a command if it were unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


class Refused(Weights):
    def test_whole_module(self):
        for kind, how in KINDS.items():
            with self.subTest(kind=kind):
                torch.save(torch.nn.Sequential(torch.nn.Linear(2, 3)), self.file, **how)
                self.import_fails(["torch.nn.modules.container.Sequential",
                                   "torch.save(model.state_dict()"])

    def test_code_is_not_run(self):
        for kind, how in KINDS.items():
            with self.subTest(kind=kind):
                torch.save({"state_dict": vgg(), "x": Danger(self.tmp / "ran")}, self.file, **how)
                self.import_fails([f"{os.system.__module__}.system"])
                self.assertFalse((self.tmp / "ran").exists())

    @unittest.skipUnless(HAVE_ZIP, "this build has no libzip")
    def test_torchscript(self):
        torch.jit.script(torch.nn.Linear(2, 3)).save(str(self.file))
        self.import_fails(["torch.save(model.state_dict()"])

    def test_plain_pickle(self):
        import pickle
        self.file.write_bytes(pickle.dumps({"a": 1}))
        self.import_fails(["none of torch.save()"])

    def test_no_weights_at_all(self):
        self.file.write_bytes(b"\xff\xd8\xff\xe0\0\x10JFIF")
        self.import_fails(["not a safetensors file, nor one of torch.save()"])

    def test_no_tensors(self):
        torch.save([torch.ones(3)], self.file, **STREAM)
        self.import_fails(["no tensors by name"])

    def test_sparse_tensor(self):
        torch.save({"a": torch.eye(3).to_sparse()}, self.file, **STREAM)
        self.import_fails(["_rebuild_sparse_tensor"])

    def test_truncated(self):
        for kind, how in KINDS.items():
            torch.save(vgg(), self.tmp / "whole.pth", **how)
            whole = (self.tmp / "whole.pth").read_bytes()
            for n in (3, 20, 200, 3000, len(whole) // 2, len(whole) - 1):
                with self.subTest(kind=kind, bytes=n):
                    self.file.write_bytes(whole[:n])
                    self.import_fails([])

    @unittest.skipUnless(HAVE_ZIP, "this build has no libzip")
    def test_flipped_bit_in_an_archive(self):
        torch.save(vgg(), self.file)
        data = bytearray(self.file.read_bytes())
        data[len(data) // 2] ^= 1
        self.file.write_bytes(data)
        self.import_fails(["damaged zip archive"])

    @unittest.skipUnless(HAVE_ZIP, "this build has no libzip")
    def test_storage_smaller_than_claimed(self):
        torch.save(vgg(), self.tmp / "stored.pth")
        with zipfile.ZipFile(self.tmp / "stored.pth") as a, zipfile.ZipFile(self.file, "w") as b:
            for name in a.namelist():
                b.writestr(name, a.read(name)[:100 if name.endswith("/data/0") else None])
        self.import_fails(["data/0", "100 bytes of 6912"])

    @unittest.skipUnless(HAVE_ZIP, "this build has no libzip")
    def test_entry_that_unpacks_to_more_than_is_needed(self):
        """A compressed entry is unpacked only as far as its tensors reach."""
        torch.save(vgg(), self.tmp / "stored.pth")
        with zipfile.ZipFile(self.tmp / "stored.pth") as a, \
                zipfile.ZipFile(self.file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as b:
            for name in a.namelist():
                b.writestr(name, bytes(1 << 28) if name.endswith("/data/0") else a.read(name))
        limit = (resource.RLIMIT_AS, (200 << 20, 200 << 20))
        argv = [h.CLFCN, "import", str(self.file), str(self.out)]
        done = subprocess.run(argv, preexec_fn=lambda: resource.setrlimit(*limit),
                              env=h.environment(), capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertFalse(arrays(self.out)["pretrained_net.features.0.weight"].any())

    @unittest.skipUnless(HAVE_ZIP, "this build has no libzip")
    def test_archive_of_something_else(self):
        with zipfile.ZipFile(self.file, "w") as z:
            z.writestr("a/b.txt", "hello")
        self.import_fails(["no data.pkl"])

    def test_storage_longer_than_claimed(self):
        torch.save({"features.0.bias": torch.ones(64)}, self.file, **STREAM)
        data = self.file.read_bytes()
        at = data.rindex(struct.pack("<q", 64))
        self.file.write_bytes(data[:at] + struct.pack("<q", 1 << 60) + data[at + 8:])
        self.import_fails([str(1 << 60)])


class Use(Weights):
    def test_info_lists_tensors(self):
        for kind, how in KINDS.items():
            with self.subTest(kind=kind):
                torch.save(fcn(3), self.file, **how)
                got = self.ok("info", self.file, "--json").events[0]
                self.assertIsNone(got["network"])
                self.assertEqual([(t["name"], t["shape"]) for t in got["tensors"]],
                                 [(k, list(v.shape)) for k, v in fcn(3).items()])

    def test_train_starts_from_it(self):
        data = h.make_dataset(self.tmp / "d", count=4)
        state = OrderedDict(("module." + k, v) for k, v in fcn(2).items())
        torch.save(state, self.file, **next(iter(KINDS.values())))
        self.ok(*h.train_args(data, self.tmp / "run", "--max-steps", 0, "--init", self.file))
        got = arrays(self.tmp / "run/checkpoints/last.safetensors")
        for name, value in fcn(2).items():
            np.testing.assert_array_equal(got[name], value.numpy(), err_msg=name)

    def test_eval_and_predict_take_it_too(self):
        data = h.make_dataset(self.tmp / "d", count=2)
        how = next(iter(KINDS.values()))
        torch.save(OrderedDict(("module." + k, v) for k, v in fcn(2).items()), self.file, **how)
        self.ok("import", self.file, self.out)
        of_torch, of_clfcn = (
            self.ok("eval", path, "--data", data, "--json", "--arch", "fcns", "--backbone",
                    "vgg11", "--size", "32x32", "--classes", data / "classes.txt").events
            for path in (self.file, self.out))
        self.assertEqual(of_torch[0]["confusion"], of_clfcn[0]["confusion"])

    def test_train_with_another_number_of_classes_needs_partial(self):
        data = h.make_dataset(self.tmp / "d", count=4)
        torch.save(fcn(5), self.file, **STREAM)
        args = h.train_args(data, self.tmp / "run", "--max-steps", 0, "--init", self.file)
        self.fails(h.BAD_INPUT, ["classifier.weight", "[5, 32, 1, 1]", "--partial"], *args)
        r = self.ok(*h.train_args(data, self.tmp / "again", "--max-steps", 0, "--init", self.file,
                                  "--partial"))
        self.assertIn("classifier.bias", r.err)
        got = arrays(self.tmp / "again/checkpoints/last.safetensors")
        self.assertEqual(got["classifier.weight"].shape, (2, 32, 1, 1))
        np.testing.assert_array_equal(got["deconv5.bias"], fcn()["deconv5.bias"].numpy())

    def start_fails(self, words, *args):
        self.fails(h.BAD_INPUT, words, *h.train_args(
            "demo", self.tmp / "run", "--max-steps", 0, "--init", self.file, *args))

    def test_weights_of_another_backbone_say_which(self):
        torch.save(vgg(), self.file, **STREAM)
        self.start_fails(["holds weights for vgg11", "--backbone vgg11"], "--backbone", "vgg13")
        state = vgg()
        del state["features.18.bias"]
        torch.save(state, self.file, **STREAM)
        self.start_fails(["does not match", "--partial"], "--backbone", "vgg13")

    def test_numbers_that_are_none_are_refused(self):
        for value in (float("nan"), float("inf")):
            state = vgg()
            state["features.3.bias"][5] = value
            torch.save(state, self.file, **STREAM)
            self.start_fails([f"'features.3.bias' holds {value} at element 5"], "--partial")


if __name__ == "__main__":
    tapunit.main()
