#!/usr/bin/python3
"""Train clfcn and PyTorch side by side on a folder of photographs; print both learning curves.

    bag_curve.py --clfcn build/clfcn --data ../shared/bag [--epochs 5] [--size 160x160] ...

Same split, same settings, same initial weights (clfcn writes them, PyTorch loads them). The order of
the images within an epoch differs, unless --no-shuffle lets both take them as their names sort: then
only rounding tells the two apart. Mean IoU is over the validation images at each mask's own
resolution, as both sides count it.
"""

import argparse
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

try:
    import numpy as np
    import torch
    import torch.nn.functional as F
    from PIL import Image
except ImportError as e:
    print(f"{e}: install python3-torch, python3-numpy and python3-pil")
    sys.exit(77)

sys.path.insert(0, str(Path(__file__).resolve().parent))
import formats as fm  # noqa: E402
from fcn_torch import FCN, loss_of, optimizer_of  # noqa: E402


def natural(name):
    """Sort key: numbers in names by their value, as clfcn sorts."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]


def split(data, fraction, seed, limit):
    """(names for training, names for validation) of the files in data/images"""
    stems = sorted(p.name for p in (data / "images").iterdir())
    random.Random(seed).shuffle(stems)
    stems = stems[:limit]
    count = max(1, round(fraction * len(stems)))
    return sorted(stems[count:], key=natural), sorted(stems[:count], key=natural)


def link(data, folder, names):
    """A data set of the named files as symbolic links."""
    for sub in ("images", "masks"):
        (folder / sub).mkdir(parents=True)
        for name in names:
            (folder / sub / name).symlink_to((data / sub / name).resolve())
    (folder / "classes.txt").symlink_to((data / "classes.txt").resolve())
    return folder


def read_classes(path):
    """256 labels, and the classes' names; gray ranges only."""
    table, names = np.full(256, 255, np.uint8), []
    for line in path.read_text().splitlines():
        words = line.split("#")[0].split()
        if len(words) >= 2:
            low, _, high = words[1].partition("-")
            table[int(low):int(high or low) + 1] = len(names)
            names.append(words[0])
    return table, names


def load(folder, names, table, width, height):
    """Network inputs [n][3][H][W] float32, labels at network size, labels at their own size"""
    inputs, labels, full = [], [], []
    for name in names:
        rgb = np.asarray(Image.open(folder / "images" / name).convert("RGB"))
        mask = table[np.asarray(Image.open(folder / "masks" / name).convert("L"))]
        x = torch.from_numpy(rgb.astype(np.float32) / 255).permute(2, 0, 1)[None]
        x = F.interpolate(x, (height, width), mode="bilinear", align_corners=False)[0]
        inputs.append((x - torch.tensor(fm.MEAN).float()[:, None, None]) /
                      torch.tensor(fm.STD).float()[:, None, None])
        rows = ((np.arange(height) + 0.5) * mask.shape[0] / height).astype(int)
        columns = ((np.arange(width) + 0.5) * mask.shape[1] / width).astype(int)
        labels.append(torch.from_numpy(mask[rows][:, columns].astype(np.int64)))
        full.append(mask)
    return torch.stack(inputs), torch.stack(labels), full


def mean_iou(model, inputs, truths, classes):
    counts = np.zeros((classes, classes), np.int64)
    model.eval()
    with torch.no_grad():
        for x, truth in zip(inputs, truths):
            logits = F.interpolate(model(x[None]), truth.shape, mode="bilinear",
                                   align_corners=False)
            predicted = logits[0].argmax(0).numpy()
            valid = truth != 255
            counts += np.bincount(truth[valid].astype(np.int64) * classes + predicted[valid],
                                  minlength=classes ** 2).reshape(classes, classes)
    union = counts.sum(0) + counts.sum(1) - counts.diagonal()
    return float(np.mean((counts.diagonal() / np.maximum(union, 1))[union > 0]))


def one_class_iou(truths, classes):
    """Mean IoU of the best constant prediction: what learning has to beat."""
    counts = sum(np.bincount(t[t != 255], minlength=classes) for t in truths)
    return float(counts.max() / counts.sum() / np.count_nonzero(counts))


def run_torch(options, model, train, val, truths, classes):
    """Yields (training loss, mean IoU, seconds of training) of each epoch."""
    inputs, labels = train
    opt = optimizer_of("sgd", model, options.lr, options.momentum)
    order = torch.Generator().manual_seed(options.seed)
    for _ in range(options.epochs):
        model.train()
        begin, losses = time.monotonic(), []
        perm = torch.arange(len(inputs)) if options.no_shuffle else \
            torch.randperm(len(inputs), generator=order)
        for k in range(len(inputs) // options.batch):
            pick = perm[k * options.batch:(k + 1) * options.batch]
            opt.zero_grad()
            loss = loss_of(options.loss, model(inputs[pick]), labels[pick])
            loss.backward()
            opt.step()
            losses.append(loss.item())
        seconds = time.monotonic() - begin
        yield float(np.mean(losses)), mean_iou(model, val, truths, classes), seconds


def run_clfcn(options, folder, *more):
    argv = [options.clfcn, "train", "--data", folder / "train", "--val", folder / "val",
            "--arch", options.arch, "--backbone", options.backbone, "--size", options.size,
            "--batch", options.batch, "--loss", options.loss, "--lr", options.lr,
            "--momentum", options.momentum, "--seed", options.seed, "--augment", "none",
            "--save-every", 0, "--json", *(["--no-shuffle"] if options.no_shuffle else []), *more]
    return subprocess.run(list(map(str, argv)), check=True, text=True,
                          stdout=subprocess.PIPE).stdout


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--clfcn", default=os.environ.get("CLFCN", "clfcn"))
    p.add_argument("--data", type=Path, default=os.environ.get("CLFCN_BAG"))
    p.add_argument("--epochs", type=int, default=5)
    p.add_argument("--arch", default="fcns")
    p.add_argument("--backbone", default="vgg16")
    p.add_argument("--size", default="160x160")
    p.add_argument("--batch", type=int, default=4)
    p.add_argument("--loss", default="bce")
    p.add_argument("--lr", type=float, default=0.01)
    p.add_argument("--momentum", type=float, default=0.7)
    p.add_argument("--val-fraction", type=float, default=0.1)
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--no-shuffle", action="store_true", help="the same order of images on both sides")
    p.add_argument("--limit", type=int, help="use only so many images")
    options = p.parse_args()
    if options.data is None:
        p.error("--data is missing")
    width, height = map(int, options.size.split("x"))
    torch.set_num_threads(os.cpu_count())
    table, names = read_classes(options.data / "classes.txt")

    with tempfile.TemporaryDirectory(prefix="clfcn-curve-") as tmp:
        tmp = Path(tmp)
        train_names, val_names = split(options.data, options.val_fraction, options.seed,
                                       options.limit)
        link(options.data, tmp / "train", train_names)
        link(options.data, tmp / "val", val_names)
        inputs, labels, _ = load(options.data, train_names, table, width, height)
        val, _, truths = load(options.data, val_names, table, width, height)
        print(f"{len(train_names)} training images, {len(val_names)} validation images; "
              f"one class everywhere: mean IoU {one_class_iou(truths, len(names)):.3f}", flush=True)

        run_clfcn(options, tmp, "--max-steps", 0, "--out", tmp / "init")
        weights = fm.read_safetensors(tmp / "init/checkpoints/last.safetensors")
        out = run_clfcn(options, tmp, "--epochs", options.epochs, "--out", tmp / "run")
        ours = fm.events(out, "epoch")

        model = FCN(options.arch, options.backbone, len(names))
        model.load_state_dict({k: torch.from_numpy(weights[k].copy())
                               for k in model.state_dict()})
        print(f"{'':6} {'clfcn':>27}   {'PyTorch float32':>27}")
        print(f"{'epoch':6} {'loss':>8} {'mean IoU':>9} {'seconds':>8}   "
              f"{'loss':>8} {'mean IoU':>9} {'seconds':>8}")
        theirs = run_torch(options, model, (inputs, labels), val, truths, len(names))
        for e, (loss, iou, seconds) in zip(ours, theirs):
            print(f"{e['epoch'] + 1:<6} {e['train_loss']:8.4f} {e['mean_iou']:9.3f} "
                  f"{e['seconds']:8.1f}   {loss:8.4f} {iou:9.3f} {seconds:8.1f}", flush=True)


if __name__ == "__main__":
    main()
