#!/usr/bin/python3
"""Compare clfcn with PyTorch: logits, gradients, losses, weights after ten steps.

    parity.py --clfcn build/clfcn [--arch A,..] [--backbone B,..] [--batch 2,4] [--size 96x64,..]
              [--extras] [--losses] [--quick] [--tap] [--cache DIR]

PyTorch in float64 is the reference; the distance of PyTorch's own float32 from it stands beside
clfcn's. Training is chaotic at rounding level (a ReLU or pooling decision flips), hence bounds
that widen from the first loss to the last.
"""

import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

try:
    import numpy as np
    import torch
except ImportError as e:
    print(f"1..0 # SKIP {e}: install python3-torch and python3-numpy")
    sys.exit(77 if "--tap" not in sys.argv else 0)

sys.path.insert(0, str(Path(__file__).resolve().parent))
import formats as fm  # noqa: E402
from fcn_torch import ARCHS, FCN, init_, loss_of, optimizer_of  # noqa: E402

STEPS = 10
GRADIENT_LR = 1000.0  # so that w0 - w1 resolves the gradient well above the weights' rounding
BOUND = {"logits": 1e-4, "gradient": 2e-2, "norm 1": 1e-3, "loss 1": 1e-5,
         "loss 2": 1e-3, "losses": 1e-2, "weights": 1e-3, "statistics 1": 1e-5, "statistics": 1e-2}


class Case:
    """One network, one training set-up."""

    def __init__(self, arch, backbone, batch, size, loss="bce", classes=3, optimizer="sgd",
                 lr=0.01, weight_decay=0.0, freeze=False, weights=None, gamma=2.0, clip=0.0,
                 ignored=False):
        self.arch, self.backbone, self.batch = arch, backbone, batch
        self.width, self.height = size
        self.loss, self.classes, self.optimizer = loss, classes, optimizer
        self.lr, self.weight_decay, self.freeze = lr, weight_decay, freeze
        self.weights, self.gamma, self.clip, self.ignored = weights, gamma, clip, ignored

    @property
    def name(self):
        name = f"{self.arch} {self.backbone} batch {self.batch} {self.width}x{self.height}"
        name += f" {self.loss} {self.classes} classes {self.optimizer}"
        if self.weight_decay:
            name += f" decay {self.weight_decay:g}"
        if self.weights:
            name += " weights " + ",".join(map(str, self.weights))
        if self.gamma != 2:
            name += f" gamma {self.gamma:g}"
        if self.clip:
            name += f" clip {self.clip:g}"
        if self.ignored:
            name += " ignored"
        return name + (" frozen" if self.freeze else "")

    @property
    def key(self):
        return hashlib.sha256((self.name + f"{self.lr} {STEPS}").encode()).hexdigest()[:16]


def make_data(case):
    """Coloured blobs with noise: STEPS * batch images, uint8, and their labels."""
    rng = np.random.default_rng(5)
    n, h, w = STEPS * case.batch, case.height, case.width
    labels = rng.integers(0, case.classes, (n, (h + 15) // 16, (w + 15) // 16), dtype=np.uint8)
    labels = labels.repeat(16, 1).repeat(16, 2)[:, :h, :w]
    palette = rng.integers(40, 216, (case.classes, 3))
    images = palette[labels] + rng.normal(0, 25, (n, h, w, 3))
    if case.ignored:
        labels[:, h // 4:h // 2, w // 3:] = 255
    return images.clip(0, 255).astype(np.uint8), labels


def make_model(case, images):
    """Freshly initialised, with running statistics of its own data in place of 0 and 1."""
    model = init_(FCN(case.arch, case.backbone, case.classes), seed=3).train()
    x = torch.from_numpy(fm.normalise(images[:case.batch])).float()
    with torch.no_grad():
        for _ in range(5):
            model(x)
    if case.freeze:
        for p in model.pretrained_net.parameters():
            p.requires_grad_(False)
    return model


def run_torch(case, model, images, labels, dtype):
    """Logits (inference mode), first gradients, losses and the final state, as float64 arrays."""
    start = {k: v.clone() for k, v in model.state_dict().items()}
    model = model.to(dtype)
    x = torch.from_numpy(fm.normalise(images)).to(dtype)
    y = torch.from_numpy(labels.astype(np.int64))
    model.eval()
    with torch.no_grad():
        logits = model(x[:case.batch]).double().numpy()
    model.train()
    opt = optimizer_of(case.optimizer, model, case.lr, weight_decay=case.weight_decay)
    losses, norms, grads, first = [], [], None, None
    for k in range(STEPS):
        batch = slice(k * case.batch, (k + 1) * case.batch)
        opt.zero_grad()
        loss = loss_of(case.loss, model(x[batch]), y[batch], weights=case.weights,
                       gamma=case.gamma)
        loss.backward()
        if case.clip:
            norms.append(torch.nn.utils.clip_grad_norm_(model.parameters(), case.clip).item())
        losses.append(loss.item())
        if grads is None:
            grads = {n: p.grad.double().numpy().copy() for n, p in model.named_parameters()
                     if p.grad is not None}
            first = {n: b.double().numpy().copy() for n, b in model.named_buffers()
                     if "running_" in n}
        opt.step()
    final = {k: v.double().numpy() for k, v in model.state_dict().items()}
    model.float().load_state_dict(start)
    return {"logits": logits, "grads": grads, "first": first, "losses": np.array(losses),
            "norms": np.array(norms), "final": final}


def cached(path, make):
    """make(), kept in an npz file if path is given (float32 is exact enough for the bounds)."""
    if path is None:
        return make()
    if not path.exists():
        r = make()
        flat = {"logits": r["logits"], "losses": r["losses"], "norms": r["norms"]}
        for part in ("grads", "first", "final"):
            flat.update({f"{part}/{k}": np.asarray(v, np.float32) for k, v in r[part].items()})
        path.parent.mkdir(parents=True, exist_ok=True)
        tmp = path.with_suffix(".tmp.npz")
        np.savez(tmp, **flat)
        tmp.rename(path)
    r = {"grads": {}, "first": {}, "final": {}}
    with np.load(path) as z:
        for k in z.files:
            part, _, name = k.partition("/")
            if name:
                r[part][name] = z[k].astype(np.float64)
            else:
                r[k] = z[k]
    return r


def clfcn(options, *args):
    argv = [options.clfcn, *map(str, args)]
    done = subprocess.run(argv, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(argv)}: exit {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def run_clfcn(options, case, folder, init, initial):
    """The same four things out of the real binary's files."""
    net = ["--arch", case.arch, "--backbone", case.backbone,
           "--size", f"{case.width}x{case.height}"]
    data = folder / "data"
    names = [f"{i:03d}" for i in range(case.batch)]
    clfcn(options, "predict", init, *(data / "images" / f"{n}.png" for n in names),
          "--classes", data / "classes.txt", *net, "--out", folder / "predicted", "--logits",
          "--quiet", *options.extra)
    logits = np.stack([np.load(folder / "predicted" / f"{n}.npy") for n in names])

    train = ["train", "--data", data, *net, "--batch", case.batch, "--loss", case.loss,
             "--init", init, "--val-fraction", 0, "--no-shuffle", "--augment", "none",
             "--epochs", 1, "--save-every", 0, "--json", *options.extra]
    train += ["--freeze-backbone"] if case.freeze else []
    train += ["--class-weights", ",".join(map(str, case.weights))] if case.weights else []
    train += ["--focal-gamma", case.gamma] if case.loss == "focal" else []
    train += ["--clip-grad", case.clip] if case.clip else []
    train += ["--ignore", 255] if case.ignored else []
    clfcn(options, *train, "--optimizer", "sgd", "--momentum", 0, "--lr", GRADIENT_LR,
          "--max-steps", 1, "--out", folder / "one")
    after = fm.read_safetensors(folder / "one/checkpoints/last.safetensors")
    grads = {n: (initial[n].astype(np.float64) - after[n]) / GRADIENT_LR for n in initial
             if not re.search(r"running_|num_batches", n)}

    out = clfcn(options, *train, "--optimizer", case.optimizer, "--momentum", 0.7, "--lr", case.lr,
                "--weight-decay", case.weight_decay, "--max-steps", STEPS, "--out",
                folder / "ten")
    losses = np.array([e["loss"] for e in fm.events(out, "step")])
    norms = np.array([e["grad_norm"] for e in fm.events(out, "step") if "grad_norm" in e])
    final = fm.read_safetensors(folder / "ten/checkpoints/last.safetensors")
    return {"logits": logits, "grads": grads, "first": after, "losses": losses, "norms": norms,
            "final": final}


def distance(a, b):
    """|a - b| / |b| over all elements"""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    return float(np.linalg.norm((a - b).ravel()) / max(np.linalg.norm(b.ravel()), 1e-300))


def whole(state, names):
    return np.concatenate([np.asarray(state[n], np.float64).ravel() for n in names])


def distances(got, f32, ref, part, names):
    """clfcn's and PyTorch float32's distance over all tensors of names together"""
    want = whole(ref[part], names)
    return distance(whole(got[part], names), want), distance(whole(f32[part], names), want)


def compare(case, ref, f32, got):
    """Rows (what, clfcn's distance, PyTorch float32's, bound), and notes."""
    if len(got["losses"]) != STEPS:
        raise RuntimeError(f"{len(got['losses'])} steps logged, want {STEPS}")
    rows = [("logits", distance(got["logits"], ref["logits"]),
             distance(f32["logits"], ref["logits"]), BOUND["logits"])]
    worst, at_bound = None, []
    for name, g in ref["grads"].items():
        d, d32 = distance(got["grads"][name], g), distance(f32["grads"][name], g)
        bound = max(BOUND["gradient"], 3 * d32)
        if worst is None or d / bound > worst[1] / worst[3]:
            worst = (f"gradient (worst of {len(ref['grads'])}: {name})", d, d32, bound)
        if d > bound:
            at_bound.append(f"{name} {d:.1e}")
    rows.append(worst)
    rel = np.abs(got["losses"] - ref["losses"]) / np.abs(ref["losses"])
    rel32 = np.abs(f32["losses"] - ref["losses"]) / np.abs(ref["losses"])
    rows.append(("loss of step 1", rel[0], rel32[0], BOUND["loss 1"]))
    rows.append(("loss of step 2", rel[1], rel32[1], BOUND["loss 2"]))
    rows.append((f"losses of {STEPS} steps", rel.max(), rel32.max(), BOUND["losses"]))
    if case.clip:
        if len(got["norms"]) != STEPS or not (ref["norms"] > case.clip).any():
            raise RuntimeError(f"norms {got['norms']}, want {ref['norms']}")
        rows.append(("gradient norm of step 1", distance(got["norms"][:1], ref["norms"][:1]),
                     distance(f32["norms"][:1], ref["norms"][:1]), BOUND["norm 1"]))
    params = [n for n in ref["final"] if not re.search(r"running_|num_batches", n)]
    stats = list(ref["first"])
    rows.append(("running statistics after step 1", *distances(got, f32, ref, "first", stats),
                 BOUND["statistics 1"]))
    d, d32 = distances(got, f32, ref, "final", params)
    # PyTorch's own float32 tells what can be asked for: Adam divides by the gradient's size, so a
    # weight whose gradient is rounding noise moves by lr either way; on small images a flipped
    # pooling decision weighs more.
    rows.append((f"weights after {STEPS} steps", d, d32, max(BOUND["weights"], 3 * d32)))
    d, d32 = distances(got, f32, ref, "final", stats)
    rows.append((f"running statistics after {STEPS} steps", d, d32,
                 max(BOUND["statistics"], 3 * d32)))
    counted = int(got["final"]["bn1.num_batches_tracked"])
    want = int(ref["final"]["bn1.num_batches_tracked"])
    rows.append(("num_batches_tracked", abs(counted - want), 0.0, 0.0))
    if case.freeze:
        frozen = [n for n in params if n.startswith("pretrained_net.")]
        rows.append(("frozen weights", *distances(got, f32, ref, "final", frozen), 0.0))
    worst_name = max(params, key=lambda n: distance(got["final"][n], ref["final"][n]))
    notes = [f"most changed tensor after {STEPS} steps: {worst_name} "
             f"{distance(got['final'][worst_name], ref['final'][worst_name]):.1e} (float32 "
             f"{distance(f32['final'][worst_name], ref['final'][worst_name]):.1e})"]
    if at_bound:
        notes.append("gradients beyond their bound: " + ", ".join(at_bound))
    return rows, notes


def check(options, case):
    """Run one case and print its table; True if every row is within its bound."""
    images, labels = make_data(case)
    model = make_model(case, images)
    initial = fm.state_dict_arrays(model)
    initial = {k: v.copy() for k, v in initial.items()}
    cache = options.cache
    path = lambda kind: cache / f"{case.key}-{kind}.npz" if cache else None  # noqa: E731
    ref = cached(path("f64"), lambda: run_torch(case, model, images, labels, torch.float64))
    f32 = cached(path("f32"), lambda: run_torch(case, model, images, labels, torch.float32))
    with tempfile.TemporaryDirectory(prefix="clfcn-parity-") as tmp:
        tmp = Path(tmp)
        init = tmp / "init.safetensors"
        fm.write_safetensors(init, initial)
        fm.write_dataset(tmp / "data", images, labels, case.classes)
        got = run_clfcn(options, case, tmp, init, initial)
    rows, notes = compare(case, ref, f32, got)
    mark = "# " if options.tap else ""
    print(f"{mark}{case.name}")
    print(f"{mark}  {'distance from PyTorch float64':58} {'clfcn':>9} {'torch f32':>9} {'bound':>9}")
    good = True
    for what, d, d32, bound in rows:
        fine = d <= bound  # false for NaN
        good &= fine
        print(f"{mark}  {what:58} {d:9.1e} {d32:9.1e} {bound:9.1e}{'' if fine else '  <-- FAILED'}")
    for note in notes:
        print(f"{mark}  {note}")
    if options.results:
        with open(options.results, "a") as f:
            f.write(json.dumps({"case": case.name, "rows": rows}) + "\n")
    return good


def parse_size(text):
    width, height = text.lower().split("x")
    return int(width), int(height)


def cases_of(options):
    if options.quick:
        return [Case("fcns", "vgg11", 2, (96, 64)),
                Case("fcn8s", "vgg11", 2, (64, 96), loss="ce", classes=5),
                Case("fcn16s", "vgg11", 2, (64, 64), optimizer="adam", lr=1e-4)]
    if options.losses:
        how = ("fcn32s", "vgg11", 2, (64, 64))
        more = {"weights": [0.4, 2.5, 1], "ignored": True}
        return [Case(*how, loss="bce", **more), Case(*how, loss="ce", clip=1, **more),
                Case(*how, loss="dice"), Case(*how, loss="dice", clip=0.05, **more),
                Case(*how, loss="focal", lr=0.003, **more),
                Case(*how, loss="focal", gamma=0.5, clip=0.5)]
    cases = [Case(a, b, n, s) for b in options.backbone for s in options.size
             for n in options.batch for a in options.arch]
    if options.extras:
        small = (64, 64)
        cases += [
            Case("fcns", "vgg11", 2, small, loss="ce", classes=5),
            Case("fcn32s", "vgg11", 3, small, loss="bce", classes=2),
            Case("fcn8s", "vgg13", 2, small),
            Case("fcns", "vgg19", 2, small),
            Case("fcns", "vgg11", 2, small, weight_decay=1e-3),
            Case("fcns", "vgg11", 2, small, optimizer="adam", lr=1e-4, weight_decay=1e-3),
            Case("fcns", "vgg11", 2, small, optimizer="adamw", lr=1e-4, weight_decay=1e-2),
            Case("fcns", "vgg11", 2, small, freeze=True),
        ]
    return cases


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words = lambda s: s.split(",")  # noqa: E731
    p.add_argument("--clfcn", default=os.environ.get("CLFCN", "clfcn"))
    p.add_argument("--arch", type=words, default=list(ARCHS))
    p.add_argument("--backbone", type=words, default=["vgg11", "vgg16"])
    p.add_argument("--batch", type=lambda s: list(map(int, s.split(","))), default=[2, 4])
    p.add_argument("--size", type=lambda s: list(map(parse_size, s.split(","))),
                   default=[(96, 64), (64, 96), (160, 160)])
    p.add_argument("--extras", action="store_true", help="also losses, optimisers, vgg13, vgg19")
    p.add_argument("--losses", action="store_true",
                   help="each loss with class weights, ignored pixels and clipping instead")
    p.add_argument("--quick", action="store_true", help="three small cases instead")
    p.add_argument("--tap", action="store_true", help="print TAP")
    p.add_argument("--cache", type=Path, help="folder that keeps PyTorch's results")
    p.add_argument("--results", help="append one JSON line a case to this file")
    p.add_argument("--device", help="passed on to clfcn")
    options = p.parse_args()
    options.extra = ["--device", options.device] if options.device else []

    torch.set_num_threads(os.cpu_count())
    cases, failed = cases_of(options), 0
    for number, case in enumerate(cases, 1):
        try:
            good = check(options, case)
        except (RuntimeError, OSError, KeyError, ValueError) as e:
            good = False
            print(f"# {case.name}: {type(e).__name__}: {e}".replace("\n", " "))
        failed += not good
        if options.tap:
            print(f"{'ok' if good else 'not ok'} {number} - {case.name}")
        sys.stdout.flush()
    if options.tap:
        print(f"1..{len(cases)}")
    else:
        print(f"{len(cases) - failed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
