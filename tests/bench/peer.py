#!/usr/bin/python3
"""What clfcn is compared with, in a process of its own: one JSON object on stdout.

    peer.py net '{"arch": "fcns", "backbone": "vgg16", ...}'   PyTorch's step and inference
    peer.py gemm '{"shapes": [[64, 102400, 576]], ...}'         OpenBLAS, or cuBLAS on a GPU
    peer.py versions '{}'

Both sides time the same: a training step goes from the batch in host memory to its loss in
host memory, inference from the batch to the logits, both in host memory.
"""

import ctypes
import json
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "parity"))

WARM_UP = 3


def times_of(what, count, warm_up=WARM_UP):
    """Milliseconds of each of count calls, after some that do not count."""
    times = []
    for i in range(warm_up + count):
        start = time.perf_counter()
        what()
        if i >= warm_up:
            times.append(1e3 * (time.perf_counter() - start))
    return times


def allow_tf32(allowed):
    import torch

    torch.backends.cuda.matmul.allow_tf32 = allowed
    torch.backends.cudnn.allow_tf32 = allowed
    torch.backends.cudnn.benchmark = True


def net(spec):
    """PyTorch as it comes: oneDNN on a CPU, cuDNN with its own choice of algorithms on a GPU."""
    import torch
    from fcn_torch import FCN, init_, loss_of, optimizer_of

    cuda = spec["cuda"]
    device = torch.device("cuda" if cuda else "cpu")
    if cuda:
        allow_tf32(spec["tf32"])
    else:
        torch.set_num_threads(spec["threads"])
    width, height = map(int, spec["size"].split("x"))
    model = init_(FCN(spec["arch"], spec["backbone"], spec["classes"]), 0).to(device)
    images = torch.randn(spec["batch"], 3, height, width)
    labels = torch.randint(spec["classes"], (spec["batch"], height, width))
    if cuda:
        images, labels = images.pin_memory(), labels.pin_memory()
    optimizer = optimizer_of("sgd", model, lr=0.01)

    def step():
        optimizer.zero_grad()
        logits = model(images.to(device, non_blocking=True))
        loss = loss_of("bce", logits, labels.to(device, non_blocking=True))
        loss.backward()
        optimizer.step()
        loss.item()
        if cuda:
            torch.cuda.synchronize()

    def infer():
        with torch.no_grad():
            model(images.to(device, non_blocking=True)).cpu()

    train = times_of(step, spec["steps"])
    model.eval()
    return {"train_step_ms": statistics.median(train),
            "infer_ms": statistics.median(times_of(infer, spec["steps"]))}


def gemm_cpu(spec):
    import numpy as np

    rng = np.random.default_rng(0)
    result = []
    for m, n, k in spec["shapes"]:
        a = rng.random((m, k), np.float32)
        b = rng.random((k, n), np.float32)
        c = np.empty((m, n), np.float32)
        result.append(times_of(lambda: np.matmul(a, b, out=c), spec["reps"], 1))
    return {"ms": result, "library": blas_in_use()}


def gemm_cuda(spec):
    import torch

    allow_tf32(False)
    result = []
    for m, n, k in spec["shapes"]:
        a, b = torch.rand(m, k, device="cuda"), torch.rand(k, n, device="cuda")

        def product():
            torch.mm(a, b)
            torch.cuda.synchronize()

        result.append(times_of(product, spec["reps"]))
    return {"ms": result, "library": f"cuBLAS of PyTorch {torch.__version__}, TF32 off"}


def blas_in_use():
    """The library that this process has loaded, by what it says of itself or by its path."""
    with open("/proc/self/maps") as maps:
        paths = {line.split()[-1] for line in maps if "blas" in line}
    for path in sorted(paths, key=lambda p: "openblas" not in p):
        library = ctypes.CDLL(path)
        for name in ("openblas_get_config", "openblas_get_config64_",
                     "scipy_openblas_get_config", "scipy_openblas_get_config64_"):
            try:
                get_config = getattr(library, name)
            except AttributeError:
                continue
            get_config.restype = ctypes.c_char_p
            return get_config().decode().strip()
        return path
    return "NumPy without a BLAS"


def versions(_):
    import torch

    found = {"pytorch": torch.__version__, "cuda": torch.cuda.is_available()}
    if found["cuda"]:
        found["pytorch"] += (f", CUDA {torch.version.cuda}, cuDNN "
                             f"{torch.backends.cudnn.version()}")
        found["gpu"] = torch.cuda.get_device_name()
    else:
        found["pytorch"] += ", oneDNN" if torch.backends.mkldnn.is_available() else ""
    return found


def main():
    spec = json.loads(sys.argv[2])
    what = {"net": net, "versions": versions,
            "gemm": gemm_cuda if spec.get("cuda") else gemm_cpu}
    print(json.dumps(what[sys.argv[1]](spec)))


if __name__ == "__main__":
    main()
