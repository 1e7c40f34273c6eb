#!/usr/bin/python3
"""Write tests/net/golden.json: a few SGD steps of each head in PyTorch float64.

The file holds no weights. Every number that goes in comes from splitmix64, so that the C test
makes the same: element i (from 0, in the tensor's own order) of the tensor called NAME is made of
the (i+1)-th output z of the generator seeded with the FNV-1a-64 hash of NAME:

    unit(NAME, i) = (z >> 40) / 2^24                         in [0, 1), exact in float32
    value         = (float)(offset + scale * (2 * unit - 1)) computed in double

    pretrained_net.features.*.weight    offset 0, scale sqrt(6 / (Cout * 9))
    pretrained_net.features.*.bias      offset 0, scale 0.1
    deconv*.weight, deconv*.bias        offset 0, scale 1 / sqrt(Cout * 9)
    classifier.weight, classifier.bias  offset 0, scale 1 / sqrt(32)
    bn*.weight, bn*.running_var         offset 1, scale 0.25
    bn*.bias, bn*.running_mean          offset 0, scale 0.25
    bn*.num_batches_tracked             0
    images.K (step K from 0), [3][N][H][W]           offset 0, scale 2
    labels.K, [N][H/8][W/8], a label for 8x8 pixels  floor(unit * classes); with `ignore`,
                                                     CLFCN_IGNORE (255) where unit < 0.1

What is written for a tensor t: its norm |t|, and the sum of s_i * t_i, where s_i is +1 if
unit("sign", i) >= 0.5, else -1. An error e of t changes that sum by about |e|, wherever it sits.
"""

import argparse
import json
import re
import sys
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent))
from fcn_torch import ARCHS, FCN, loss_of, optimizer_of  # noqa: E402

WIDTH, HEIGHT, BATCH, CLASSES, STEPS = 64, 32, 2, 3, 4
LR, MOMENTUM = 0.01, 0.7
U64 = np.uint64


def fnv1a(name):
    h = 0xCBF29CE484222325
    for byte in name.encode():
        h = ((h ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return h


def unit(name, count):
    with np.errstate(over="ignore"):
        z = U64(fnv1a(name)) + np.arange(1, count + 1, dtype=U64) * U64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> U64(30))) * U64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> U64(27))) * U64(0x94D049BB133111EB)
        z = z ^ (z >> U64(31))
    return (z >> U64(40)).astype(np.float64) / 2 ** 24


def values(name, shape, offset, scale):
    u = unit(name, int(np.prod(shape)))
    return (offset + scale * (2 * u - 1)).astype(np.float32).reshape(shape)


def parameter(name, shape, out_channels):
    if name.endswith("num_batches_tracked"):
        return np.zeros((), np.int64)
    if name.startswith("bn"):
        one = name.endswith((".weight", ".running_var"))
        return values(name, shape, 1.0 if one else 0.0, 0.25)
    if name.startswith("classifier"):
        return values(name, shape, 0.0, 1 / np.sqrt(32.0))
    if name.startswith("deconv"):
        return values(name, shape, 0.0, 1 / np.sqrt(out_channels * 9.0))
    if name.endswith("bias"):
        return values(name, shape, 0.0, 0.1)
    return values(name, shape, 0.0, np.sqrt(6 / (out_channels * 9.0)))


def make_model(arch, backbone):
    model = FCN(arch, backbone, CLASSES)
    state = model.state_dict()
    for name, t in state.items():
        bias = name.rsplit(".", 1)[0] + ".bias"
        channels = state[bias].shape[0] if bias in state else 0
        state[name] = torch.from_numpy(parameter(name, tuple(t.shape), channels))
    model.load_state_dict(state)
    return model


def batch(step, ignore):
    images = values(f"images.{step}", (3, BATCH, HEIGHT, WIDTH), 0.0, 2.0)
    blocks = (BATCH, HEIGHT // 8, WIDTH // 8)
    u = unit(f"labels.{step}", int(np.prod(blocks))).reshape(blocks)
    labels = np.floor(u * CLASSES).astype(np.int64)
    if ignore:
        labels[u < 0.1] = 255
    return images.transpose(1, 0, 2, 3), labels.repeat(8, 1).repeat(8, 2)


def digest(t):
    t = np.asarray(t, np.float64).ravel()
    sign = np.where(unit("sign", t.size) >= 0.5, 1.0, -1.0)
    return [float(f"{np.linalg.norm(t):.9g}"), float(f"{(sign * t).sum():.9g}")]


def run(arch, backbone, loss_kind, ignore, dtype):
    model = make_model(arch, backbone).to(dtype)
    out = {"arch": arch, "backbone": backbone, "loss": loss_kind, "ignore": ignore}
    model.eval()
    with torch.no_grad():
        logits = model(torch.from_numpy(batch(0, ignore)[0].copy()).to(dtype))
    out["logits"] = digest(logits.numpy().transpose(1, 0, 2, 3))
    model.train()
    opt = optimizer_of("sgd", model, LR, MOMENTUM)
    losses = []
    for step in range(STEPS):
        images, labels = batch(step, ignore)
        opt.zero_grad()
        loss = loss_of(loss_kind, model(torch.from_numpy(images.copy()).to(dtype)),
                       torch.from_numpy(labels))
        loss.backward()
        losses.append(float(f"{loss.item():.12g}"))
        if step == 0:
            out["gradients"] = {n: digest(p.grad.numpy()) for n, p in model.named_parameters()}
        opt.step()
    out["losses"] = losses
    out["weights"] = {n: digest(v.numpy()) for n, v in model.state_dict().items()
                      if n.startswith(("classifier", "bn", "deconv1.weight"))
                      and "num_batches" not in n}
    return out


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--out", type=Path,
                   default=Path(__file__).resolve().parents[1] / "net/golden.json")
    p.add_argument("--float32", action="store_true", help="how far PyTorch's float32 is off")
    options = p.parse_args()
    kinds = [(a, "vgg11", "bce", False) for a in ARCHS] + [("fcn8s", "vgg11", "ce", True)]
    cases = [run(*k, torch.float64) for k in kinds]
    if options.float32:
        for kind, ref in zip(kinds, cases):
            f32 = run(*kind, torch.float32)
            err = {n: max(abs(a - b) for a, b in zip(g, f32["gradients"][n])) / g[0]
                   for n, g in ref["gradients"].items()}
            worst = max(err, key=err.get)
            werr = max(max(abs(a - b) for a, b in zip(g, f32["weights"][n])) / g[0]
                       for n, g in ref["weights"].items())
            rel = [abs(a - b) / a for a, b in zip(ref["losses"], f32["losses"])]
            print(kind, "gradient", worst, f"{err[worst]:.1e}", "losses",
                  [f"{r:.1e}" for r in rel], f"weights {werr:.1e}")
        return
    head = {"width": WIDTH, "height": HEIGHT, "batch": BATCH, "classes": CLASSES,
            "steps": STEPS, "lr": LR, "momentum": MOMENTUM}
    text = json.dumps({**head, "cases": cases}, indent=1)
    one_line = re.sub(r"\[\s+([^\[\]{}]*?)\s+\]",
                      lambda m: "[" + re.sub(r"\s+", " ", m.group(1)) + "]", text)
    options.out.write_text(one_line + "\n")
    print(f"{options.out}: {options.out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
