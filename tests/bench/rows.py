"""The rows of the goals' table: what is measured for each, and what it must reach."""

import functools
import statistics
import tempfile
from pathlib import Path

from runner import run
from table import NotMeasured, Row

BATCHES = (1, 2, 4, 8, 16)
SIDES = (160, 320, 640)


@functools.cache
def net_rounds(runner):
    """clfcn and PyTorch in turn on the whole job; shared by three rows."""
    results = runner.alternate("training and inference", {
        "clfcn": runner.bench, "PyTorch": lambda: runner.torch(cuda=runner.gpu)})
    return results["clfcn"], results["PyTorch"]


def against_torch(runner, figure, unit, key, must, aim):
    ours, theirs = net_rounds(runner)
    threads = "cuDNN, TF32 off" if runner.gpu else f"{runner.cores} threads"
    return [Row(f"{figure}, batch {runner.options.batch}", unit, [r[key] for r in ours],
                f"PyTorch, {threads}:", [r[key] for r in theirs], must=must, aim=aim)]


def step(runner):
    return against_torch(runner, "training step", "ms", "train_step_ms", 2.5, 4)


def infer(runner):
    return against_torch(runner, "inference", "ms", "infer_ms", 3, 5)


def memory(runner):
    return against_torch(runner, "peak memory of the process", "MB", "peak_mb", 1, 2)


def gemm(runner):
    """clfcn's own product against OpenBLAS (cuBLAS on a GPU) and CLBlast as shipped, and what
    clfcn's parameters make of CLBlast."""
    layers = runner.gemm("native", reps=1)
    shapes = [[r["m"], r["n"], r["k"]] for r in layers]
    results = runner.alternate("GEMM", {
        "native": lambda: medians(runner.gemm("native")),
        "blas": lambda: runner.peer("gemm", shapes=shapes, reps=runner.options.steps,
                                    cuda=runner.gpu),
        "shipped": lambda: medians(runner.gemm("shipped", reps=2)),  # slow, and no goal
        "clblast": lambda: medians(runner.gemm("clblast"))})
    library = results["blas"][0]["library"]
    results["blas"] = [list(map(statistics.median, r["ms"])) for r in results["blas"]]
    name = "cuBLAS" if runner.gpu else "OpenBLAS"
    if name.lower() not in library.lower():
        raise NotMeasured(f"the BLAS here is no {name}: {library}")

    def speeds(side, chosen):
        """GF/s over the chosen shapes together, round by round."""
        flop = sum(2e-6 * m * n * k for m, n, k in (shapes[i] for i in chosen))
        return [flop / sum(ms[i] for i in chosen) for ms in results[side]]

    def row(figure, ours, other, theirs, chosen, must=None, aim=None):
        return Row(f"GEMM {figure}", "GF/s", speeds(ours, chosen), other,
                   speeds(theirs, chosen), True, must, aim)

    titles = [f"{r['layer']} {r['m']}×{r['n']}×{r['k']}, native" for r in layers]
    goals = (None, None) if runner.gpu else (0.9, 1.2)
    every = range(len(shapes))
    shipped = "CLBlast as shipped:"
    return ([row(t, "native", f"{name}:", "blas", [i], *goals) for i, t in enumerate(titles)]
            + [row(t, "native", shipped, "shipped", [i]) for i, t in enumerate(titles)]
            + [row("all of these, CLBlast with clfcn's parameters", "clblast", shipped,
                   "shipped", every)])


def medians(layers):
    return [statistics.median(r["ms"]) for r in layers]


def growth(runner):
    """Time per image (or per pixel) of a larger job over that of the smallest one."""
    batches, sides = BATCHES, SIDES
    if runner.options.quick:
        batches, sides = (1, 2), (32, 64)
    jobs = [(b, sides[0]) for b in batches] + [(1, s) for s in sides[1:]]
    results = runner.alternate("step time growth", {
        f"batch {b}, side {s}": lambda b=b, s=s: runner.bench(b, f"{s}x{s}", steps=3)
        for b, s in jobs})

    def relative(batch, side, work):
        base = results[f"batch 1, side {sides[0]}"]
        return [r["train_step_ms"] / work / one["train_step_ms"]
                for r, one in zip(results[f"batch {batch}, side {side}"], base)]

    rows = [Row(f"step time per image, batch {b} over batch 1", "", relative(b, sides[0], b),
                must=1) for b in batches[1:]]
    rows += [Row(f"step time per pixel, side {s} over side {sides[0]}, batch 1", "",
                 relative(1, s, (s / sides[0]) ** 2), must=1) for s in sides[1:]]
    return rows


def start(runner, what):
    """Seconds to the first step from empty caches, and with what that left in them: clfcn's
    own, PoCL's and NVIDIA's."""
    with tempfile.TemporaryDirectory() as tmp:
        folders = {"CLFCN_CACHE_DIR": f"{tmp}/clfcn", "POCL_CACHE_DIR": f"{tmp}/pocl",
                   "CUDA_CACHE_PATH": f"{tmp}/cuda"}
        for folder in folders.values():
            Path(folder).mkdir()
        return {state: first_step(runner, what, tmp, folders) for state in ("cold", "warm")}


@functools.cache
def starts(runner):
    """Shared by two rows."""
    return runner.alternate("first step", {
        what: lambda what=what: start(runner, what) for what in ("bench", "train")})


def first_step(runner, what, tmp, env):
    """Seconds: as clfcn bench counts, from opening the device on; or by this process's clock
    from starting clfcn train to the line that it prints after its first step."""
    if what == "bench":
        return runner.bench(steps=1, env=env)["first_step_s"]
    with tempfile.TemporaryDirectory(dir=tmp) as out:
        events = runner.train("demo", Path(out) / "run", "--max-steps", 1, env=env)
    return next(e["after_s"] for e in events if e["event"] == "step")


def start_rows(runner, state, title, must, aim):
    return [Row(f"first step, {title}, {how}", "s", [r[state] for r in starts(runner)[what]],
                must=must, aim=aim)
            for what, how in (("bench", "from opening the device on"),
                              ("train", "from starting the process on"))]


def cold(runner):
    return start_rows(runner, "cold", "empty caches", 20, 8)


def warm(runner):
    return start_rows(runner, "warm", "warm caches", 1, 0.3)


def data(runner):
    """Share of an epoch's steps that the device waits for the next batch; an epoch a round."""
    o = runner.options
    with tempfile.TemporaryDirectory() as tmp:
        folder, name = o.data, "the demo set as files"
        if folder is None:
            folder = Path(tmp) / "demo"
            run([o.clfcn, "data", "demo", "--write", folder, "--count", 10 * o.batch,
                 "--quiet"])
        else:
            name = Path(folder).name
        events = runner.train(folder, Path(tmp) / "run", "--epochs", min(o.rounds, 3),
                              "--save-every", 0)
    epochs = [e for e in events if e["event"] == "epoch"]
    if not epochs:
        raise NotMeasured("the training had no epoch")
    waits = [100 * e["wait_s"] / (e["seconds"] - e["val_seconds"]) for e in epochs]
    return [Row(f"device waiting for data, {name}", "%", waits, must=1)]


def cuda(runner):
    """clfcn on the GPU against PyTorch with CUDA on the same one."""
    if not runner.gpu:
        raise NotMeasured("the device is no GPU")
    rows = []
    for batch in (4, 32):
        results = runner.alternate(f"GPU, batch {batch}", {
            "clfcn": lambda: runner.bench(batch=batch),
            "TF32 off": lambda: runner.torch(batch, cuda=True),
            "TF32 on": lambda: runner.torch(batch, cuda=True, tf32=True)})
        for figure, key in (("training step", "train_step_ms"), ("inference", "infer_ms")):
            for mode, goals in (("TF32 off", (0.5, 1)), ("TF32 on", (None, None))):
                rows.append(Row(f"{figure}, batch {batch}", "ms",
                                [r[key] for r in results["clfcn"]],
                                f"PyTorch, cuDNN, {mode}:",
                                [r[key] for r in results[mode]], False, *goals))
    return rows


ROWS = {"step": step, "infer": infer, "gemm": gemm, "growth": growth, "memory": memory,
        "cold": cold, "warm": warm, "data": data, "cuda": cuda}
# What is asked of a CPU, and of a GPU.
CPU_ROWS = [name for name in ROWS if name != "cuda"]
GPU_ROWS = ["cuda", "gemm", "growth", "cold", "warm", "data"]
