"""safetensors, PNG and log files for the parity scripts: numpy and the standard library."""

import json
import struct
import zlib
from pathlib import Path

import numpy as np

DTYPES = {"F32": np.float32, "F64": np.float64, "I64": np.int64, "F16": np.float16}
MEAN = np.array([0.485, 0.456, 0.406])
STD = np.array([0.229, 0.224, 0.225])


def write_safetensors(path, tensors):
    """tensors: {name: float32 or int64 array}"""
    header, at, blobs = {}, 0, []
    for name, value in tensors.items():
        kind = "I64" if value.dtype == np.int64 else "F32"
        # ascontiguousarray would turn a scalar into [1].
        blob = np.asarray(value, DTYPES[kind], order="C").tobytes()
        header[name] = {"dtype": kind, "shape": list(value.shape),
                        "data_offsets": [at, at + len(blob)]}
        at += len(blob)
        blobs.append(blob)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        f.writelines(blobs)


def read_safetensors(path):
    """{name: array} of a safetensors file."""
    data = Path(path).read_bytes()
    n = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + n])
    header.pop("__metadata__", None)
    out = {}
    for name, t in header.items():
        begin, end = t["data_offsets"]
        out[name] = np.frombuffer(data, DTYPES[t["dtype"]], offset=8 + n + begin,
                                  count=(end - begin) // np.dtype(DTYPES[t["dtype"]]).itemsize
                                  ).reshape(t["shape"])
    return out


def state_dict_arrays(model):
    return {k: v.detach().cpu().numpy() for k, v in model.state_dict().items()}


def _chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def write_png(path, pixels):
    """pixels: uint8 [H][W] (gray) or [H][W][3] (RGB)"""
    height, width = pixels.shape[:2]
    color = 2 if pixels.ndim == 3 else 0
    rows = np.zeros((height, 1 + pixels[0].size), np.uint8)
    rows[:, 1:] = pixels.reshape(height, -1)
    Path(path).write_bytes(
        b"\x89PNG\r\n\x1a\n" +
        _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, color, 0, 0, 0)) +
        _chunk(b"IDAT", zlib.compress(rows.tobytes(), 1)) + _chunk(b"IEND", b""))


def normalise(images):
    """uint8 [N][H][W][3] -> float64 [N][3][H][W], as clfcn feeds the network"""
    return ((images / 255.0 - MEAN) / STD).transpose(0, 3, 1, 2)


def write_dataset(folder, images, labels, classes):
    """images/NNN.png, masks/NNN.png (gray = class) and classes.txt, in the order of the arrays."""
    folder = Path(folder)
    for sub in ("images", "masks"):
        (folder / sub).mkdir(parents=True, exist_ok=True)
    for i, (image, mask) in enumerate(zip(images, labels)):
        write_png(folder / "images" / f"{i:03d}.png", image)
        write_png(folder / "masks" / f"{i:03d}.png", mask)
    (folder / "classes.txt").write_text("".join(f"class{c} {c}\n" for c in range(classes)))
    return folder


def events(text, kind):
    return [e for e in map(json.loads, text.splitlines()) if e.get("event") == kind]
