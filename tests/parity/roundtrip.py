#!/usr/bin/python3
"""PyTorch's weights into clfcn, trained, and out again; and the network through OpenCV.

    roundtrip.py --clfcn build/host/cli/clfcn --data ../shared/bag [--steps 10] [--images 20] ...

A VGG under torchvision's names, saved by torch.save() in both of its formats, starts a training run
each on the data set: both must end with the same bits. The checkpoint is exported, loaded strictly
by the public model in PyTorch, and must give clfcn's logits to 1e-4; as an ONNX model, folded and
not, OpenCV's DNN module must give clfcn's masks at 99.9 % of pixels, at the pictures' own size.
Takes some minutes on two cores, so no suite runs it: tests/cli/test_export.py does the same on
small networks.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

try:
    import cv2
    import numpy as np
    import torch
    import torch.nn.functional as F
    from PIL import Image
except ImportError as e:
    print(f"{e}: install python3-torch, python3-opencv, python3-numpy and python3-pil")
    sys.exit(77)

sys.path.insert(0, str(Path(__file__).resolve().parent))
import formats as fm  # noqa: E402
from fcn_torch import ARCHS, FCN, VGG, VGGFeatures  # noqa: E402

KINDS = {"zip": {}, "stream": {"_use_new_zipfile_serialization": False}}
LOGITS, PIXELS = 1e-4, 0.999


def clfcn(options, *args):
    subprocess.run([options.clfcn, *map(str, args), "--quiet"], check=True,
                   stdout=subprocess.DEVNULL)


def train(options, init, out):
    """The checkpoint of a short run from the backbone in init."""
    clfcn(options, "train", "--data", options.data, "--arch", options.arch, "--backbone",
          options.backbone, "--size", options.size, "--batch", options.batch, "--lr", options.lr,
          "--val-fraction", 0, "--save-every", 0, "--max-steps", options.steps, "--init", init,
          "--out", out)
    return out / "checkpoints/last.safetensors"


def train_from_both(options, tmp):
    torch.manual_seed(7)
    backbone = VGGFeatures(options.backbone)
    for m in backbone.modules():
        if isinstance(m, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(m.weight, mode="fan_out")
    ends = []
    for kind, how in KINDS.items():
        file = tmp / f"{kind}.pth"
        torch.save(backbone.state_dict(), file, **how)
        ends.append(train(options, file, tmp / kind))
    first, second = (fm.read_safetensors(end) for end in ends)
    same = set(first) == set(second) and all(np.array_equal(first[n], second[n]) for n in first)
    return ends[0], same


def network_input(path, width, height):
    """float32 [1][3][height][width], resized as clfcn does."""
    rgb = np.asarray(Image.open(path).convert("RGB"))
    x = torch.from_numpy(rgb.astype(np.float32) / 255).permute(2, 0, 1)[None]
    x = F.interpolate(x, (height, width), mode="bilinear", align_corners=False)
    mean, std = (torch.tensor(v).float()[:, None, None] for v in (fm.MEAN, fm.STD))
    return (x - mean) / std


def mask_of(logits, mask):
    """The classes that logits [1][C][H][W] mean at the mask's size."""
    full = F.interpolate(torch.from_numpy(logits), mask.shape, mode="bilinear",
                         align_corners=False)
    return full[0].argmax(0).numpy()


def pytorch(path, options):
    """The public model with the state_dict in path, as a function from input to logits."""
    state = torch.load(path)
    model = FCN(options.arch, options.backbone, len(state["classifier.bias"])).eval()
    model.load_state_dict(state, strict=True)

    def logits(x):
        with torch.no_grad():
            return model(x).numpy()
    return logits


def opencv(path, _):
    net = cv2.dnn.readNetFromONNX(str(path))

    def logits(x):
        net.setInput(x.numpy())
        return net.forward("logits")
    return logits


EXPORTS = {"PyTorch": ("model.pth", [], pytorch), "ONNX": ("model.onnx", [], opencv),
           "ONNX folded": ("folded.onnx", ["--fold-batchnorm"], opencv)}


def agrees(name, logits_of, pictures, predicted, size):
    """Compare with what clfcn predicted; prints a line."""
    worst = largest = 0.0
    agree = pixels = 0
    counts = np.zeros(256, np.int64)
    for picture in pictures:
        want = np.load(predicted / f"{picture.stem}.npy")[None]
        mask = np.asarray(Image.open(predicted / f"{picture.stem}.png"))
        got = logits_of(network_input(picture, *size))
        worst = max(worst, float(np.abs(got - want).max()))
        largest = max(largest, float(np.abs(want).max()))
        agree += np.count_nonzero(mask_of(got, mask) == mask)
        pixels += mask.size
        counts += np.bincount(mask.ravel(), minlength=256)
    good = worst <= LOGITS and agree >= PIXELS * pixels
    print(f"{name:<12} {len(pictures)} images: logits differ by {worst:.1e} at most (largest "
          f"{largest:.2g}), masks agree at {100 * agree / pixels:.4f} % of pixels, "
          f"{100 * counts.max() / pixels:.0f} % of which are of one class"
          f"{'' if good else '  TOO LITTLE'}", flush=True)
    return good


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--clfcn", default=os.environ.get("CLFCN", "clfcn"))
    p.add_argument("--data", type=Path, default=os.environ.get("CLFCN_BAG"))
    p.add_argument("--arch", default="fcns", choices=ARCHS)
    p.add_argument("--backbone", default="vgg16", choices=VGG)
    p.add_argument("--size", default="160x160")
    p.add_argument("--batch", type=int, default=4)
    p.add_argument("--lr", type=float, default=0.01)
    p.add_argument("--steps", type=int, default=10)
    p.add_argument("--images", type=int, default=20)
    options = p.parse_args()
    if options.data is None:
        p.error("--data is missing: a folder with images/, masks/ and classes.txt")
    size = [int(side) for side in options.size.split("x")]
    pictures = sorted((options.data / "images").iterdir())[:options.images]

    with tempfile.TemporaryDirectory(prefix="clfcn-roundtrip-") as tmp:
        tmp = Path(tmp)
        ckpt, good = train_from_both(options, tmp)
        print(f"both formats of torch.save() end in {'the same' if good else 'OTHER'} weights "
              f"after {options.steps} steps", flush=True)
        clfcn(options, "predict", ckpt, *pictures, "--out", tmp / "out", "--logits")
        for name, (file, more, load) in EXPORTS.items():
            clfcn(options, "export", ckpt, tmp / file, *more)
            good &= agrees(name, load(tmp / file, options), pictures, tmp / "out", size)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
