"""clfcn export: what PyTorch, safetensors' readers, ONNX's checker and OpenCV make of it."""

import atexit
import functools
import inspect
import json
import os
import shutil
import struct
import sys
import tempfile
import unittest
import zipfile
from pathlib import Path

import harness as h
import tapunit

try:
    import numpy as np
except ImportError:
    np = None
try:
    import torch
except ImportError:
    torch = None
try:
    import onnx
    import onnx.shape_inference
except ImportError:
    onnx = None
try:
    import cv2
except ImportError:
    cv2 = None

HAVE_ZIP = os.environ.get("CLFCN_ZIP", "1") == "1"
HAVE_ONNX = os.environ.get("CLFCN_ONNX", "1") == "1"
ARCHS = ("fcn32s", "fcn16s", "fcn8s", "fcns")
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
IMAGES = 3


def needs(condition, reason):
    return unittest.skipUnless(condition, reason)


needs_zip = needs(HAVE_ZIP, "this build has no libzip")
needs_onnx_build = needs(HAVE_ONNX, "this build has no protobuf-c")
needs_torch = needs(torch and np, "no PyTorch here (python3-torch)")
needs_onnx = needs(onnx, "no ONNX here (python3-onnx)")
needs_opencv = needs(cv2 and np, "no OpenCV here (python3-opencv)")


def model_of(arch, state):
    """The public FCN model with these weights, which must be all and no others."""
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "parity"))
    from fcn_torch import FCN
    model = FCN(arch, "vgg11", len(state["classifier.bias"]))
    model.load_state_dict(state, strict=True)
    return model.eval()


def inputs_of(data):
    """float32 [N][3][H][W]: the pictures as a network wants them."""
    pictures = [h.read_png(p)[3] for p in sorted((data / "images").iterdir())]
    x = np.array(pictures, np.float32).reshape(len(pictures), 32, 32, 3) / np.float32(255)
    x = (x - np.array(MEAN, np.float32)) / np.array(STD, np.float32)
    return np.ascontiguousarray(x.transpose(0, 3, 1, 2))


def opencv_logits(path, x):
    net = cv2.dnn.readNetFromONNX(str(path))
    net.setInput(x)
    return net.forward("logits")


def floats(path):
    """{name: array} of a safetensors file's float32 tensors, writable."""
    return {name: np.frombuffer(data, "<f4").reshape(shape).copy()
            for name, (kind, shape, data) in h.read_safetensors(path)[1].items()
            if kind == "F32" and not name.startswith("optim.")}


def write_safetensors(path, arrays):
    header, at = {}, 0
    for name, a in arrays.items():
        header[name] = {"dtype": "F32", "shape": list(a.shape),
                        "data_offsets": [at, at + a.nbytes]}
        at += a.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        for a in arrays.values():
            f.write(a.tobytes())


@functools.cache
def data_set():
    """A folder of pictures, and beside it room for runs, until the tests end."""
    folder = Path(tempfile.mkdtemp(prefix="clfcn-test-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return h.make_dataset(folder / "data", count=IMAGES)


@functools.cache
def trained(arch):
    """The checkpoint of a head after two steps."""
    run = data_set().parent / arch
    done = h.run(*h.train_args(data_set(), run, "--max-steps", 2, "--epochs", 2, "--arch", arch))
    assert done.code == h.OK, str(done)
    return run / "checkpoints/last.safetensors"


class Trained(h.Case):
    def setUp(self):
        super().setUp()
        self.data = data_set()

    def predict(self, ckpt, *more):
        """(logits, masks) of the pictures: float32 [N][C][H][W], lists of rows."""
        out = self.tmp / "predicted"
        self.ok("predict", ckpt, self.data / "images", "--out", out, "--logits", *more)
        logits = []
        for i in range(IMAGES):
            kind, shape, data = h.read_npy(out / f"p{i}.npy")
            self.assertEqual(kind, "<f4")
            logits.append(np.frombuffer(data, kind).reshape(shape))
        masks = [h.read_png(out / f"p{i}.png")[3] for i in range(IMAGES)]
        return np.stack(logits), np.array(masks)

    def export(self, ckpt, name, *more):
        out = self.tmp / name
        r = self.ok("export", ckpt, out, "--json", *more)
        self.assertEqual(r.events[0]["path"], str(out))
        self.assertEqual(r.events[0]["bytes"], out.stat().st_size)
        return out, r.events[0]

    def same_tensors(self, got):
        """Those of the checkpoint; assertEqual() of so many bytes would take minutes to fail."""
        want = {n: t for n, t in h.read_safetensors(trained("fcns"))[1].items()
                if not n.startswith("optim.")}
        self.assertEqual(list(got), list(want))
        for name, tensor in want.items():
            self.assertTrue(got[name] == tensor, name)


@needs_zip
class Torch(Trained):
    @needs_torch
    def test_every_head_loads_strictly_and_gives_the_same_logits(self):
        x = torch.from_numpy(inputs_of(self.data))
        for arch in ARCHS:
            with self.subTest(arch=arch):
                out, said = self.export(trained(arch), f"{arch}.pth")
                state = torch.load(out)
                self.assertEqual((said["format"], said["tensors"]), ("torch", len(state)))
                model = model_of(arch, state)
                want = model.state_dict()
                self.assertEqual([(k, v.shape, v.dtype) for k, v in state.items()],
                                 [(k, v.shape, v.dtype) for k, v in want.items()])
                self.assertEqual(state["bn3.num_batches_tracked"], 2)
                with torch.no_grad():
                    got = model(x).numpy()
                logits = self.predict(trained(arch))[0]
                np.testing.assert_allclose(got, logits, atol=1e-4, rtol=0)
                self.assertGreater(np.abs(logits).max(), 1e-2)

    @needs_torch
    def test_needs_no_code(self):
        if "weights_only" not in inspect.signature(torch.load).parameters:
            self.skipTest("this PyTorch has no weights_only")
        out, _ = self.export(trained("fcns"), "w.pth")
        plain, careful = torch.load(out), torch.load(out, weights_only=True)
        self.assertEqual(list(plain), list(careful))
        for name in plain:
            self.assertTrue(torch.equal(plain[name], careful[name]), name)

    def test_comes_back_as_it_went(self):
        out, _ = self.export(trained("fcns"), "w.pt")
        back = self.tmp / "back.safetensors"
        self.ok("import", out, back)
        self.same_tensors(h.read_safetensors(back)[1])
        again, _ = self.export(out, "again.pt")
        self.assertTrue(out.read_bytes() == again.read_bytes())

    def test_archive_can_be_mapped(self):
        """Entries are stored as they are, at multiples of 64 bytes, as torch.save() does."""
        out, _ = self.export(trained("fcns"), "w.pth")
        raw = out.read_bytes()
        with zipfile.ZipFile(out) as z:
            self.assertIsNone(z.testzip())
            names = z.namelist()
            for entry in z.infolist():
                at = entry.header_offset
                name, extra = struct.unpack("<HH", raw[at + 26:at + 30])
                self.assertEqual((at + 30 + name + extra) % 64, 0, entry.filename)
                self.assertEqual(entry.compress_type, zipfile.ZIP_STORED)
            self.assertEqual(z.read("archive/byteorder"), b"little")
        self.assertEqual((names[0], names[-1]), ("archive/data.pkl", "archive/version"))

    @needs_torch
    def test_fewer_bits_round_as_pytorch_does(self):
        state = torch.load(self.export(trained("fcns"), "w.pth")[0])
        for name, dtype in (("f16", torch.float16), ("bf16", torch.bfloat16)):
            got = torch.load(self.export(trained("fcns"), "n.pth", "--dtype", name)[0])
            for key, value in state.items():
                want = value.to(dtype) if value.is_floating_point() else value
                self.assertEqual(got[key].dtype, want.dtype)
                self.assertTrue(torch.equal(got[key], want), key)
            model_of("fcns", got)

    def test_a_damaged_archive_is_named(self):
        out, _ = self.export(trained("fcns"), "w.pth")
        data = bytearray(out.read_bytes())
        data[len(data) // 2] ^= 1
        out.write_bytes(data)
        for name in ("new.pth", "new.safetensors", *["new.onnx"] * HAVE_ONNX):
            net = [*h.NET[:6], "--classes", self.data / "classes.txt"] * name.endswith("onnx")
            self.fails(h.BAD_INPUT, ["w.pth", "damaged zip archive"], "export", out,
                       self.tmp / name, *net)
            self.assertFalse((self.tmp / name).exists())

    @needs_torch
    def test_old_files_get_their_counters(self):
        """PyTorch before 0.4.1 saved no num_batches_tracked, which strict loading wants."""
        state = torch.load(self.export(trained("fcns"), "w.pth")[0])
        old = {k: v for k, v in state.items() if not k.endswith("num_batches_tracked")}
        torch.save(old, self.tmp / "old.pth")
        got = torch.load(self.export(self.tmp / "old.pth", "new.pth")[0])
        self.assertEqual(list(got), list(state))
        self.assertEqual(got["bn5.num_batches_tracked"], 0)


class Safetensors(Trained):
    def test_parameters_alone(self):
        out, said = self.export(trained("fcns"), "w.safetensors")
        metadata, tensors = h.read_safetensors(out)
        self.assertEqual(metadata, {"format": "pt"})
        self.same_tensors(tensors)
        self.assertEqual((said["format"], said["tensors"]), ("safetensors", len(tensors)))

    def test_eval_takes_it(self):
        out, _ = self.export(trained("fcns"), "w.safetensors")
        of = [self.ok("eval", *args, "--data", self.data, "--json").events[0]["confusion"]
              for args in ((trained("fcns"),),
                           (out, *h.NET[:6], "--classes", self.data / "classes.txt"))]
        self.assertEqual(*of)

    @needs(np, "no NumPy here (python3-numpy)")
    def test_fewer_bits(self):
        want = floats(trained("fcns"))
        out, _ = self.export(trained("fcns"), "w.safetensors", "--dtype", "f16")
        for name, (kind, shape, data) in h.read_safetensors(out)[1].items():
            if not name.endswith("tracked"):
                self.assertEqual((kind, shape), ("F16", list(want[name].shape)))
                np.testing.assert_array_equal(np.frombuffer(data, "<f2").reshape(shape),
                                              want[name].astype("<f2"))
        self.ok("eval", out, "--data", self.data, *h.NET[:6], "--classes",
                self.data / "classes.txt")


@needs_onnx_build
class Onnx(Trained):
    def test_has_a_tensor_for_each_parameter(self):
        said = self.export(trained("fcns"), "w.onnx")[1]
        self.assertEqual((said["format"], said["tensors"]), ("onnx", 48))

    @needs_onnx
    def test_checker_takes_every_head(self):
        for arch in ARCHS:
            for more in ((), ("--fold-batchnorm",), ("--any-size",)):
                with self.subTest(arch=arch, more=more):
                    out, said = self.export(trained(arch), "w.onnx", *more)
                    model = onnx.load(out)
                    onnx.checker.check_model(model, full_check=True)
                    self.assertEqual([(o.domain, o.version) for o in model.opset_import],
                                     [("", 13)])
                    graph = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
                    sides = ["H", "W"] if "--any-size" in more else [32, 32]
                    self.assertEqual(self.shape(graph.input[0]), ["image", "N", 3, *sides])
                    if "--any-size" not in more:
                        self.assertEqual(self.shape(graph.output[0]), ["logits", "N", 2, *sides])
                    ops = [n.op_type for n in graph.node]
                    norms = 0 if "--fold-batchnorm" in more else 5
                    self.assertEqual(ops.count("BatchNormalization"), norms)
                    self.assertEqual(len(graph.initializer), said["tensors"])

    @staticmethod
    def shape(value):
        dims = value.type.tensor_type.shape.dim
        return [value.name, *(d.dim_param or d.dim_value for d in dims)]

    @needs_onnx
    def test_says_what_it_is(self):
        model = onnx.load(self.export(trained("fcns"), "w.onnx")[0])
        said = {p.key: p.value for p in model.metadata_props}
        self.assertEqual(said, {"classes": '["ground","box"]', "channels": "RGB",
                                "range": "[0,1]", "mean": "[0.485,0.456,0.406]",
                                "std": "[0.229,0.224,0.225]", "size": "32x32"})
        self.assertEqual(model.producer_name, "clfcn")

    @needs_onnx
    @needs(np, "no NumPy here (python3-numpy)")
    def test_initialisers_are_the_parameters(self):
        import onnx.numpy_helper
        model = onnx.load(self.export(trained("fcns"), "w.onnx")[0])
        want = floats(trained("fcns"))
        got = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}
        self.assertEqual(set(got), set(want))
        for name in want:
            np.testing.assert_array_equal(got[name], want[name])

    @needs_opencv
    def test_opencv_sees_the_same(self):
        x = inputs_of(self.data)
        for arch in ARCHS:
            logits, masks = self.predict(trained(arch))
            for more in ((), ("--fold-batchnorm",), ("--fold-batchnorm", "--any-size")):
                out, _ = self.export(trained(arch), "w.onnx", *more)
                for batch in (1, 3):
                    with self.subTest(arch=arch, more=more, batch=batch):
                        got = opencv_logits(out, x[:batch])
                        np.testing.assert_allclose(got, logits[:batch], atol=1e-4, rtol=0)
                        same = np.mean(got.argmax(1) == masks[:batch])
                        self.assertGreaterEqual(same, 0.999)

    @needs_opencv
    def test_any_size(self):
        out, _ = self.export(trained("fcns"), "w.onnx", "--any-size")
        x = np.concatenate(list(inputs_of(self.data)[:2]), axis=2)[None]  # 32x64
        self.assertEqual(opencv_logits(out, x).shape, (1, 2, 32, 64))
        sized, _ = self.export(trained("fcns"), "s.onnx", "--size", "64x32")
        np.testing.assert_array_equal(opencv_logits(out, x), opencv_logits(sized, x))

    def awkward(self, arch):
        """Bare weights whose batch norms have statistics that matter, and scales of both signs."""
        rng = np.random.default_rng(3)
        state = floats(trained(arch))
        for name in [n for n in state if n.startswith("bn")]:
            n = len(state[name])
            state[name] = {"weight": rng.normal(0, 1, n), "bias": rng.normal(0, 1, n),
                           "running_mean": rng.normal(0, 0.2, n),
                           "running_var": rng.uniform(0.05, 2, n)}[name.split(".")[1]]
        state["bn2.weight"] = np.abs(state["bn2.weight"]) + 0.1
        path = self.tmp / f"{arch}.safetensors"
        write_safetensors(path, {n: t.astype("<f4") for n, t in state.items()})
        return path

    @needs_opencv
    def test_folding_is_exact_whatever_the_norms(self):
        x = inputs_of(self.data)
        for arch in ARCHS:
            with self.subTest(arch=arch):
                path = self.awkward(arch)
                net = ["--arch", arch, *h.NET[2:6], "--classes", self.data / "classes.txt"]
                logits, masks = self.predict(path, *net)
                scale = np.abs(logits).max()
                for more in ((), ("--fold-batchnorm",)):
                    out, _ = self.export(path, "w.onnx", *net, *more)
                    got = opencv_logits(out, x)
                    np.testing.assert_allclose(got, logits, atol=1e-5 * scale, rtol=0)
                    self.assertGreaterEqual(np.mean(got.argmax(1) == masks), 0.999)

    @needs_onnx
    @needs(np, "no NumPy here (python3-numpy)")
    def test_what_folding_leaves(self):
        want = {"fcn32s": {"bn1.scale", "bn1.shift", "bn2.shift", "bn3.scale", "bn3.shift",
                           "bn4.scale", "bn4.shift"}}
        want["fcns"] = want["fcn16s"] = want["fcn32s"]
        want["fcn8s"] = want["fcn32s"] | {"bn2.scale"}  # behind the sum with x3
        for arch in ARCHS:
            net = ["--arch", arch, *h.NET[2:6], "--classes", self.data / "classes.txt"]
            out, _ = self.export(self.awkward(arch), "w.onnx", "--fold-batchnorm", *net)
            left = {t.name for t in onnx.load(out).graph.initializer if t.name[:2] == "bn"}
            self.assertEqual(left, want[arch], arch)


class Refused(h.Case):
    def setUp(self):
        super().setUp()
        self.file = self.tmp / "weights.safetensors"
        self.out = self.tmp / "out.pth"

    def usage(self, words, *args):
        self.fails(h.USAGE, words, "export", self.file, *args)
        self.assertFalse(self.out.exists())

    def test_where_to(self):
        self.usage(["--out"])
        self.usage(["twice", "--out"], self.out, "--out", self.tmp / "other.pth")

    def test_which_format(self):
        self.usage(["--format", "weights.bin"], self.tmp / "weights.bin")
        self.usage(["--format", "tensorflow"], self.out, "--format", "tensorflow")

    def test_options_of_other_formats(self):
        self.usage(["--fold-batchnorm", "torch"], self.out, "--fold-batchnorm")
        self.usage(["--size", "safetensors"], self.out, "--format", "safetensors",
                   "--size", "32x32")
        self.usage(["--dtype", "onnx"], self.out, "--format", "onnx", "--dtype", "f16")

    def test_missing_input(self):
        self.fails(h.BAD_INPUT, ["weights.safetensors", "no such file"], "export", self.file,
                   self.out)

    @needs(np, "no NumPy here (python3-numpy)")
    def test_what_is_no_fcn(self):
        write_safetensors(self.file, {"features.0.weight": np.zeros((64, 3, 5, 5), "<f4")})
        for name in ("out.safetensors", *["out.pth"] * HAVE_ZIP):
            self.fails(h.BAD_INPUT, ["features.0.weight", "[64, 3, 5, 5]"], "export", self.file,
                       self.tmp / name)
            self.assertFalse((self.tmp / name).exists())

    @needs(np, "no NumPy here (python3-numpy)")
    def test_bare_weights_do_not_describe_a_network(self):
        write_safetensors(self.file, {"classifier.weight": np.zeros((2, 32, 1, 1), "<f4")})
        self.fails(h.USAGE, ["--arch", "--backbone", "--size", "--classes"], "export", self.file,
                   self.tmp / "out.onnx")

    @needs(not HAVE_ZIP, "this build has libzip")
    def test_build_without_libzip(self):
        data = h.make_dataset(self.tmp / "d", count=2)
        self.ok(*h.train_args(data, self.tmp / "run", "--max-steps", 0))
        self.fails(h.USAGE, ["libzip", "--format safetensors"], "export",
                   self.tmp / "run/checkpoints/last.safetensors", self.out)

    @needs(not HAVE_ONNX, "this build has protobuf-c")
    def test_build_without_protobuf(self):
        data = h.make_dataset(self.tmp / "d", count=2)
        self.ok(*h.train_args(data, self.tmp / "run", "--max-steps", 0))
        self.fails(h.USAGE, ["protobuf-c"], "export",
                   self.tmp / "run/checkpoints/last.safetensors", self.tmp / "out.onnx")

    def test_an_earlier_file_survives(self):
        data = h.make_dataset(self.tmp / "d", count=2)
        self.ok(*h.train_args(data, self.tmp / "run", "--max-steps", 0))
        ckpt = self.tmp / "run/checkpoints/last.safetensors"
        self.file.write_bytes(ckpt.read_bytes()[:-1000])
        out = self.tmp / "out.safetensors"
        out.write_text("precious")
        self.fails(h.BAD_INPUT, ["truncated"], "export", self.file, out)
        self.assertEqual(out.read_text(), "precious")
        self.assertEqual({p.name for p in self.tmp.iterdir()},
                         {"d", "run", out.name, self.file.name})

    def test_a_folder_that_is_not_there(self):
        data = h.make_dataset(self.tmp / "d", count=2)
        self.ok(*h.train_args(data, self.tmp / "run", "--max-steps", 0))
        for name in ("w.safetensors", *["w.pth"] * HAVE_ZIP, *["w.onnx"] * HAVE_ONNX):
            self.fails(h.FAILED, ["nowhere", "no such file"], "export",
                       self.tmp / "run/checkpoints/last.safetensors", self.tmp / "nowhere" / name)


if __name__ == "__main__":
    tapunit.main()
