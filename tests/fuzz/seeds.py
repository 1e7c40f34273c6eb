"""What fuzzing begins with: `seeds.py TARGET DIR` fills DIR with small inputs.

Handwritten ones always; more by PIL and PyTorch where they are installed.
"""

import io
import json
import struct
import sys
import zipfile
import zlib
from pathlib import Path


# --- pickles ---

def text(s):
    return b"X" + struct.pack("<I", len(s)) + s.encode()


def storage(kind, key, count):
    """A persistent id, protocol 2."""
    return (b"(" + text("storage") + f"ctorch\n{kind}\n".encode() + text(key) + text("cpu")
            + b"J" + struct.pack("<i", count) + b"tQ")


def numbers(*values):
    return b"(" + b"".join(b"J" + struct.pack("<i", v) for v in values) + b"t"


def tensor(kind, key, count, dims, strides, offset=0):
    return (b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage(kind, key, count)
            + b"J" + struct.pack("<i", offset) + numbers(*dims) + numbers(*strides)
            + b"\x89ccollections\nOrderedDict\n)RtR")


def state_dict(tensors):
    body = b"".join(text(name) + value for name, value in tensors.items())
    return b"\x80\x02ccollections\nOrderedDict\n)R(" + body + b"u."


TENSORS = {
    "features.0.bias": tensor("FloatStorage", "0", 4, [4], [1]),
    "classifier.weight": tensor("HalfStorage", "1", 8, [2, 3, 1, 1], [1, 2, 1, 1], 1),
    "bn1.num_batches_tracked": tensor("LongStorage", "2", 1, [], []),
}
SIZES = {"0": (4, 16), "1": (8, 16), "2": (1, 8)}  # key: elements, bytes


def pickles():
    whole = state_dict(TENSORS)
    yield whole
    yield b"\x80\x02}" + text("state_dict") + whole[2:-1] + b"s."
    yield (b"\x80\x02}q\x00(X\x01\x00\x00\x00a]q\x01(K\x05M\x01\x02J\xfe\xff\xff\xff\x8a\x01\xff"
           b"\x8a\x00\x88NeX\x01\x00\x00\x00b(G?\xf0\x00\x00\x00\x00\x00\x00h\x01t\x8c\x01c)\x85u.")
    yield b"\x80\x02ccollections\nOrderedDict\n]]" + text("a") + b"a" + TENSORS[
        "features.0.bias"] + b"aa\x85R."
    yield b"\x80\x04\x95\x05\x00\x00\x00\x00\x00\x00\x00\x8c\x01a\x940]\x94h\x00a."


def stream():
    """The older kind of file."""
    magic = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."
    about = b"\x80\x02}(" + text("little_endian") + b"\x88u."
    legacy = state_dict({k: v.replace(b"tQ", b"NtQ") for k, v in TENSORS.items()})
    keys = b"\x80\x02](" + b"".join(text(k) for k in SIZES) + b"e."
    data = b"".join(struct.pack("<Q", n) + bytes(size) for n, size in SIZES.values())
    return magic + b"\x80\x02M\xe9\x03." + about + legacy + keys + data


def archive(method):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as z:
        z.writestr("a/data.pkl", state_dict(TENSORS))
        z.writestr("a/byteorder", "little")
        for key, (_, size) in SIZES.items():
            z.writestr(f"a/data/{key}", bytes(size))
    return out.getvalue()


def safetensors():
    header = json.dumps({
        "__metadata__": {"format": "pt", "clfcn": "{}"},
        "features.0.bias": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]},
        "classifier.weight": {"dtype": "BF16", "shape": [2, 3, 1, 1], "data_offsets": [16, 28]},
        "bn1.num_batches_tracked": {"dtype": "I64", "shape": [], "data_offsets": [28, 36]},
    }).encode()
    return struct.pack("<Q", len(header)) + header + bytes(36)


def torch_files():
    try:
        import torch
    except ImportError:
        return
    values = torch.arange(6.0)
    shared = {"a": values[:4].reshape(2, 2).t(), "b": values[2:], "c": values.half(),
              "d": torch.nn.Parameter(values.bfloat16()), "e": torch.tensor(3)}
    for old in (False, True):
        out = io.BytesIO()
        torch.save({"state_dict": shared, "epoch": 3}, out,
                   _use_new_zipfile_serialization=not old)
        yield out.getvalue()


def weights():
    yield from (safetensors(), stream(), archive(zipfile.ZIP_STORED),
                archive(zipfile.ZIP_DEFLATED))
    yield from torch_files()


def zip_pickles():
    for flag in (b"\x00", b"\x01"):
        for pickle in pickles():
            yield flag + pickle


# --- pictures ---

def chunk(name, data):
    return (struct.pack(">I", len(data)) + name + data
            + struct.pack(">I", zlib.crc32(name + data)))


def png(depth, kind, channels, extra=b"", interlace=0, side=5):
    """Rows of ascending bytes, with every filter; interlaced, as many rows as the passes."""
    def row(width, y):
        return bytes([y % 5]) + bytes(i * 37 % 256 for i in range((width * channels * depth + 7) // 8))

    if interlace:  # Adam7: width and height of each pass of a picture of 5x5
        passes = [(1, 1), (1, 1), (2, 1), (1, 2), (3, 1), (2, 3), (5, 2)]
        rows = b"".join(row(w, y) for w, h in passes for y in range(h))
    else:
        rows = b"".join(row(side, y) for y in range(side))
    header = struct.pack(">IIBBBBB", side, side, depth, kind, 0, 0, interlace)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra
            + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def pngs():
    palette = chunk(b"PLTE", bytes(range(48)))
    for interlace in (0, 1):
        for depth in (1, 2, 4, 8, 16):
            yield png(depth, 0, 1, interlace=interlace)
        yield png(4, 3, 1, palette + chunk(b"tRNS", b"\x00\x80"), interlace)
        yield png(8, 2, 3, interlace=interlace)
        yield png(16, 6, 4, interlace=interlace)
    yield png(8, 0, 1, chunk(b"tEXt", b"a\0b") + chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(9))))


# A gray picture of 8x8 pixels, baseline, whose two Huffman tables have one code each.
JPEG = bytes.fromhex(
    "ffd8 ffdb004300" + "10" * 64 + "ffc0000b08 0008 0008 01011100"
    + "ffc400140001" + "00" * 16 + "ffc400141001" + "00" * 16
    + "ffda0008010100003f00 3f ffd9")


def jpegs():
    yield JPEG
    try:
        from PIL import Image
    except ImportError:
        return
    rgb = Image.frombytes("RGB", (17, 13), bytes(i * 73 % 256 for i in range(17 * 13 * 3)))
    for mode in ("L", "RGB", "CMYK"):
        for options in ({}, {"progressive": True}, {"subsampling": 0, "quality": 30}):
            out = io.BytesIO()
            rgb.convert(mode).save(out, "JPEG", **options)
            yield out.getvalue()


# --- text ---

def classes():
    yield b"background 0\nroad 1,2 #804080\ncar 100-120\nsky 70,130,180 # blue\nignore 255\n"
    yield b"\xef\xbb\xbf# comment\r\na 0-127\r\nb\t128 , 129 300-65535\r\n"
    yield "größe 1 2 3\nb 1,1,1 #ffffff # x\n".encode()


def lists():
    for body in (b"images/1.png\tmasks/1.png\tval\nimages/2.png\tmasks/2.png\n", b"1\n2.png\nimages/3.png\n",
                 b"./images/../images/1.png\tmasks/1.png\ttrain\n"):
        yield b"\x00" + body
    yield b"\x01" + b"# names\n1\r\n2\n\n3\n"
    for body in (b"64 128 64\tAnimal\n192 0 128 Archway\n0 0 0 Void\n",
                 b"name,r,g,b\nAnimal,64,128,64\n\"Bicycle lane\",192,0,128\n",
                 b"# label:color_rgb:parts:actions\nbackground:0,0,0::\ncar:1,2,3::\n"):
        yield b"\x02" + body


CONFIG = {
    "data": "demo", "format": None, "images": None, "masks": None, "classes": None, "val": None,
    "val-fraction": 0.1, "own-split": True, "arch": "fcn32s", "backbone": "vgg11",
    "size": "32x32", "batch": 1, "epochs": 50, "max-steps": 0, "loss": "bce", "optimizer": "sgd",
    "lr": 0.01, "momentum": 0.7, "weight-decay": 0.0, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8,
    "lr-policy": "constant", "lr-step": 30, "lr-gamma": 0.1, "lr-power": 0.9, "seed": 0,
    "init": None, "partial": False, "freeze-backbone": False, "augment": "none",
    "no-shuffle": False, "save-every": 5, "save-steps": 0, "gemm": "auto", "workers": 0,
    "cache-mem": 536870912, "workspace": 0, "mem": 0}

STATE = {"epoch": 1, "epoch-step": 2, "step": 3, "epoch-loss-sum": 0.5, "epoch-seconds": 1.0,
         "epoch-wait": 0.0, "best-mean-iou": None, "best-train-loss": 1.5, "best-epoch": 0,
         "data-hash": "3c859d3804738e8d", "log-bytes": 482}

SPREAD = {"lowest_ms": 99, "highest_ms": 103, "relative": 0.02, "drift": 1.01, "noisy": False}

QUESTION = {
    "device": "Fast (P, 1.0)", "net": {"arch": "fcns", "backbone": "vgg16", "width": 160,
                                       "height": 128, "batch": 4, "classes": 2},
    "options": {"loss": "bce", "optimizer": "sgd", "gemm": "auto", "workspace_bytes": 0,
                "steps": 10},
    "hardware": {"name": "Fast", "platform": "P", "driver": "1.0"},
    "system": {"clfcn": "0.1", "date": "2026-01-01T00:00:00Z", "os": "Linux", "cpu": None,
               "cpus": 2}}

ANSWER = {
    "train_step_ms": 100.0, "infer_ms": 20.0, "first_step_s": 1.5, "device_bytes": 1048576,
    "train_spread": SPREAD, "infer_spread": {**SPREAD, "drift": None}, "noisy": False,
    "before": {"gflops": 200}, "after": {"gflops": 201}, "correct": True,
    "checks": {"passes": 1, "wrong": 0, "worst_error": 1e-6, "worst_at": "conv1 forward",
               "bound": 1e-4, "training_repeats": True, "inference_repeats": True,
               "inference_error": 0.0},
    "peak": {"gflops": 190, "gbps": 20, "cache_gbps": 60, "launch_us": 5}, "tuned": False,
    "layers": [{"name": "conv1", "kind": "conv2d", "forward_ms": 1, "backward_ms": None,
                "passes": [{"pass": "forward", "algorithm": "winograd4", "ms": 1, "gflops": 360,
                            "of_peak": 1.8, "flop": 360e6, "own_flop": 90e6, "bytes": 3e6,
                            "error": 1e-6, "correct": True}]}]}

LOG = [{"event": "start", "device": "d", "driver": "1"},
       {"event": "step", "epoch": 0, "step": 1, "loss": 0.7, "lr": 0.01, "ms": 5.0},
       {"event": "epoch", "epoch": 0, "train_loss": 0.7, "val_loss": 0.6, "mean_iou": 0.5,
        "iou": [0.4, None], "seconds": 1.0}]


def dump(value):
    return json.dumps(value, separators=(",", ":")).encode()


def checkpoints():
    whole = {"version": 1, "program": "0.1.0", "classes": "a 0\nb 1\n", "config": CONFIG,
             "state": STATE, "tuning": {}}
    yield dump(whole)
    yield dump({**whole, "state": {**STATE, "class-weights": [0.5, 1.5]},
                "ranks": {"shares": [1, 1], "tunings": [{}, {}]}})


def benches():
    yield dump({**QUESTION, **ANSWER})
    yield dump({**QUESTION, "error": "no memory"}) + b"\n" + dump(
        {**QUESTION, **ANSWER, "train_step_ms": None, "left_out": ["training step: too slow"]})


def histories():
    yield b"\n".join(map(dump, [{**CONFIG, "classes-text": "a 0\nb 1\n"}, *LOG])) + b"\n"
    yield b"\n".join(map(dump, [{**CONFIG, "classes-text": "<hostile> 0\nb 1\n"}, {
        **LOG[0], "ranks": [{"device": "<hostile>", "host": "h", "share": 1}]}, *LOG[1:],
        {"event": "pause", "reason": "battery"}, {"event": "resume", "seconds": 1},
        {"event": "end", "reason": "<hostile>", "error": "<hostile>"}, 0]))


# --- files in the cache folder ---

def tunings():
    choice = {"pass": 0, "gemm": "auto", "in": 3, "out": 64, "kernel": 3, "n": 4, "h": 160,
              "w": 160, "transposed": False, "algorithm": "winograd4", "ms": 1.5, "error": 1e-6}
    finding = {"subject": "conv1", "pass": "forward", "tests": 2, "error": 1e-6, "bound": 1e-4,
               "correct": True, "ms": 1.0, "at": "64x64", "why": ""}
    tuning = {"peak gflops": 200.0, "first look": False, "choices": [choice, {**choice, "pass": 1}]}
    findings = {"findings": [finding, {**finding, "error": -1.0, "correct": False, "why": "wrong"}]}
    for format in range(5):
        yield bytes([2 + 4 * format]) + dump(tuning)
        yield bytes([3 + 4 * format]) + dump(findings)
    yield b"\x00" + dump({**tuning, "format": 1, "date": "", "measured on": {}, "sum": "0"})
    yield b"\x01" + dump({**findings, "format": 1, "date": "", "measured on": {}, "sum": "0"})


def caches():
    key = b"source 1\noptions -D A\n"
    for how in b"\x00", b"\x02":
        yield (how + b"clfcnK1\0" + struct.pack("<QQQ", len(key), 7, 0) + key + b"program")
    yield b"\x01library x\nfile \n/bin/sh\nnone\n\n"
    yield b"\x03/none\nnone\n\n"
    yield b"\x07/none\nnone\n\nsum 0123456789abcdef\n"
    yield b"\x03/none\nnone\nit offers nothing\n"


# --- options ---

def options():
    for text in ("none", "standard", "flip,vflip,scale=0.5-2,crop,rotate=10",
                 "standard,brightness=0.2,contrast=0.2,saturation=0.2"):
        yield b"\x01" + text.encode()
    for text in ("auto", "equal", "2:1:1", "1.5:2e3:1"):
        yield b"\x00" + text.encode()


# --- the live page ---

def requests():
    host = b"Host: 127.0.0.1:8097\r\n"
    own = host + b"Origin: http://127.0.0.1:8097\r\nX-Clfcn-Control: 1\r\n"
    for line, headers in ((b"GET /", host), (b"HEAD /dashboard.js", host), (b"GET /events", host),
                          (b"GET /samples/a.png", host), (b"GET /samples/%2e%2e/secret.png", host),
                          (b"GET /", b"Host: evil.example\r\n"), (b"POST /pause", own),
                          (b"POST /stop", own + b"Content-Length: 3\r\n\r\nabc"),
                          (b"OPTIONS /pause", own)):
        yield b"\x00" + line + b" HTTP/1.1\r\n" + headers + b"\r\n"
    token = b"0123456789abcdef0123456789abcdef"
    yield b"\x01GET /?token=" + token + b" HTTP/1.1\r\n" + host + b"\r\n"
    yield b"\x01POST /pause HTTP/1.1\r\n" + own + b"Cookie: clfcn-8097=" + token + b"\r\n\r\n"


TARGETS = {"bench": benches, "cache": caches, "checkpoint": checkpoints, "classes": classes,
           "history": histories, "http": requests, "jpeg": jpegs, "lists": lists,
           "options": options, "pickle": pickles, "png": pngs, "tuning": tunings,
           "weights": weights, "zip": zip_pickles}


def main():
    target, folder = sys.argv[1], Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    for i, seed in enumerate(TARGETS[target]()):
        (folder / f"seed-{i:02}").write_bytes(seed)


if __name__ == "__main__":
    main()
