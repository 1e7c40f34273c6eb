"""What the tests of the command line share: running clfcn, tiny data sets, PNG and safetensors.

Python's standard library only, so that the tests run wherever clfcn builds.
"""

import base64
import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import unittest
import zlib
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

CLFCN = os.environ.get("CLFCN", "clfcn")
HAVE_JPEG = os.environ.get("CLFCN_JPEG", "1") == "1"
# Under valgrind or a sanitizer everything takes longer.
TIMEOUT = float(os.environ.get("CLFCN_TEST_TIMEOUT", "600"))

OK, FAILED, USAGE, NO_DEVICE, BAD_INPUT, INTERRUPTED = 0, 1, 2, 3, 4, 130

# 64x32, RGB, baseline.
TINY_JPEG = base64.b64decode(
    "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDABQODxIPDRQSEBIXFRQYHjIhHhwcHj0sLiQySUBMS0dARkVQWnNiUFVtVkVG"
    "ZIhlbXd7gYKBTmCNl4x9lnN+gXz/2wBDARUXFx4aHjshITt8U0ZTfHx8fHx8fHx8fHx8fHx8fHx8fHx8fHx8fHx8fHx8"
    "fHx8fHx8fHx8fHx8fHx8fHx8fHz/wAARCAAgAEADASIAAhEBAxEB/8QAGAABAQEBAQAAAAAAAAAAAAAAAwQCBQb/xAAZ"
    "EAADAQEBAAAAAAAAAAAAAAAAAgNhAUH/xAAXAQEBAQEAAAAAAAAAAAAAAAADBAUG/8QAGhEAAwEAAwAAAAAAAAAAAAAA"
    "AAIDAQQRIv/aAAwDAQACEQMRAD8A8vOfnR1iMsRpz86JPldeWBWhOsTaxwsWOG1iPtCpKkixEWOFaxwRYh7QtSpIsRFi"
    "VrERYh7QsSpzljgixK1iIsTG2hxKVJpz86MscHWODTn50afK68sVrQmWIixK1iIsRtoVJUkWIixwrWOCLHA9oWJU/9k=")


# --- running ------------------------------------------------------------------------------------

class Result:
    def __init__(self, code, out, err, argv):
        self.code, self.out, self.err, self.argv = code, out, err, argv

    @property
    def events(self):
        """The JSON objects of stdout, one a line."""
        return [json.loads(line) for line in self.out.splitlines() if line.strip()]

    def of(self, event):
        return [e for e in self.events if e.get("event") == event]

    def __str__(self):
        return (f"$ {' '.join(map(str, self.argv))}\nexit {self.code}\n"
                f"--- stdout\n{self.out[-2000:]}\n--- stderr\n{self.err[-2000:]}")


def environment(extra=None):
    env = dict(os.environ)
    env.update({"LC_ALL": "C", "NO_COLOR": "1"})
    env.update(extra or {})
    return {k: v for k, v in env.items() if v is not None}


def run(*args, env=None, cwd=None, timeout=TIMEOUT):
    argv = [CLFCN, *map(str, args)]
    done = subprocess.run(argv, env=environment(env), cwd=cwd, timeout=timeout,
                          stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          errors="replace")
    return Result(done.returncode, done.stdout, done.stderr, argv)


def start(*args, env=None):
    """Start clfcn without waiting; its output goes nowhere."""
    return subprocess.Popen([CLFCN, *map(str, args)], env=environment(env),
                            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                            stderr=subprocess.DEVNULL)


def wait_for(condition, process, timeout=TIMEOUT):
    """Wait until condition() is true or the process ends; tells which."""
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        if condition():
            return True
        if process.poll() is not None:
            return condition()
        time.sleep(0.005)
    raise TimeoutError


class Case(unittest.TestCase):
    """A test with a folder of its own in self.tmp."""

    def setUp(self):
        self.tmp = Path(tempfile.mkdtemp(prefix="clfcn-test-"))
        self.addCleanup(shutil.rmtree, self.tmp, ignore_errors=True)

    def ok(self, *args, **kwargs):
        r = run(*args, **kwargs)
        self.assertEqual(r.code, OK, str(r))
        return r

    def assert_one_error(self, r, code, *words):
        """Exit code, and exactly one line on stderr that holds each of the words."""
        codes = code if isinstance(code, tuple) else (code,)
        self.assertIn(r.code, codes, str(r))
        lines = [line for line in r.err.splitlines() if line.strip()]
        self.assertEqual(len(lines), 1, f"want one line on stderr\n{r}")
        for word in words:
            self.assertIn(str(word).lower(), lines[0].lower(), str(r))

    def fails(self, code, words, *args, **kwargs):
        """Run with --quiet: what is then on stderr is the error alone."""
        r = run(*args, "--quiet", **kwargs)
        self.assert_one_error(r, code, *words)
        return r


# --- PNG ----------------------------------------------------------------------------------------

def _chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_bytes(width, height, rows, color_type=0, depth=8, palette=None):
    """rows: an iterable of bytes, one a row, as PNG stores them."""
    out = b"\x89PNG\r\n\x1a\n"
    out += _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, color_type, 0, 0, 0))
    if palette is not None:
        out += _chunk(b"PLTE", bytes(palette))
    out += _chunk(b"IDAT", zlib.compress(b"".join(b"\0" + bytes(r) for r in rows), 1))
    return out + _chunk(b"IEND", b"")


def read_png(path):
    """(width, height, color_type, samples) of an 8-bit or indexed PNG without interlace."""
    data = Path(path).read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n", path
    pos, idat = 8, b""
    while pos < len(data):
        n, kind = struct.unpack(">I4s", data[pos:pos + 8])
        body = data[pos + 8:pos + 8 + n]
        if kind == b"IHDR":
            width, height, depth, color, _, _, interlace = struct.unpack(">IIBBBBB", body)
            assert interlace == 0
        elif kind == b"IDAT":
            idat += body
        pos += 12 + n
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[color]
    row_bytes = (width * channels * depth + 7) // 8
    step = max(1, channels * depth // 8)
    raw, rows, above = zlib.decompress(idat), [], bytearray(row_bytes)
    for y in range(height):
        at = y * (row_bytes + 1)
        row = _unfilter(raw[at], bytearray(raw[at + 1:at + 1 + row_bytes]), above, step)
        rows.append(row)
        above = row
    if depth < 8:
        per = 8 // depth
        rows = [[(r[x // per] >> (8 - depth * (x % per + 1))) & ((1 << depth) - 1)
                 for x in range(width)] for r in rows]
    return width, height, color, [list(r) for r in rows]


def _unfilter(kind, row, above, step):
    for i, value in enumerate(row):
        left = row[i - step] if i >= step else 0
        up = above[i]
        corner = above[i - step] if i >= step else 0
        if kind == 1:
            value += left
        elif kind == 2:
            value += up
        elif kind == 3:
            value += (left + up) // 2
        elif kind == 4:
            p = left + up - corner
            value += min((left, up, corner), key=lambda q: abs(p - q))
        row[i] = value & 255
    return row


# --- data sets ----------------------------------------------------------------------------------

def picture(i, width, height):
    """A bright box on a dark, noisy ground, and its mask (255 in the box)."""
    state = (i * 2654435761 + 12345) & 0xFFFFFFFF
    x0, y0 = (7 * i) % (width // 2), (5 * i) % (height // 2)
    x1, y1 = x0 + width // 3 + i % 5, y0 + height // 3 + i % 3
    rgb, mask = [], []
    for y in range(height):
        row, labels = bytearray(), bytearray()
        for x in range(width):
            state = (state * 1664525 + 1013904223) & 0xFFFFFFFF
            noise = state >> 27
            inside = x0 <= x < x1 and y0 <= y < y1
            base = (200, 160, 40) if inside else (40, 60, 90)
            row += bytes(min(255, c + noise) for c in base)
            labels.append(255 if inside else 0)
        rgb.append(row)
        mask.append(labels)
    return rgb, mask


def write_image(path, i=0, width=32, height=32):
    Path(path).write_bytes(png_bytes(width, height, picture(i, width, height)[0], color_type=2))


def write_mask(path, i=0, width=32, height=32):
    Path(path).write_bytes(png_bytes(width, height, picture(i, width, height)[1]))


def make_dataset(folder, count=6, width=32, height=32, classes="ground 0-127\nbox 128-255\n"):
    """images/, masks/ and classes.txt of two classes under folder; returns it."""
    folder = Path(folder)
    (folder / "images").mkdir(parents=True)
    (folder / "masks").mkdir()
    (folder / "classes.txt").write_text(classes)
    for i in range(count):
        write_image(folder / "images" / f"p{i}.png", i, width, height)
        write_mask(folder / "masks" / f"p{i}.png", i, width, height)
    return folder


NET = ["--arch", "fcns", "--backbone", "vgg11", "--size", "32x32", "--batch", "2"]


def train_args(data, out, *more, net=NET):
    """A run small enough for a test: options in more override these."""
    options = {"--out": str(out), "--epochs": "1", "--val-fraction": "0"}
    if data is not None:
        options["--data"] = str(data)
    for i in range(0, len(net), 2):
        options[net[i]] = net[i + 1]
    flags, i, more = [], 0, list(map(str, more))
    while i < len(more):
        if i + 1 < len(more) and not more[i + 1].startswith("--"):
            options[more[i]] = more[i + 1]
            i += 2
        else:
            flags.append(more[i])
            i += 1
    return ["train", *(x for kv in options.items() for x in kv), *flags]


# --- safetensors and npy ------------------------------------------------------------------------

def read_safetensors(path):
    """(metadata, {name: (dtype, shape, bytes)}); checks that the data is dense."""
    data = Path(path).read_bytes()
    n = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + n])
    metadata = header.pop("__metadata__", {})
    tensors, end = {}, 0
    for name, t in sorted(header.items(), key=lambda kv: kv[1]["data_offsets"]):
        begin, stop = t["data_offsets"]
        assert begin == end, f"{path}: hole before {name}"
        end = stop
        tensors[name] = (t["dtype"], t["shape"], data[8 + n + begin:8 + n + stop])
    assert 8 + n + end == len(data), f"{path}: {len(data)} bytes, header says {8 + n + end}"
    return metadata, tensors


def read_npy(path):
    """(dtype, shape, bytes) of a .npy file in C order."""
    data = Path(path).read_bytes()
    assert data[:6] == b"\x93NUMPY", path
    n, at = (struct.unpack("<H", data[8:10])[0], 10) if data[6] == 1 else \
        (struct.unpack("<I", data[8:12])[0], 12)
    header = eval(data[at:at + n].decode(), {"__builtins__": {}}, {})  # a literal by definition
    assert not header["fortran_order"]
    return header["descr"], header["shape"], data[at + n:]


def log_events(run_folder):
    return [json.loads(line) for line in (Path(run_folder) / "log.jsonl").read_text().splitlines()]


def kill(process, sig=signal.SIGKILL):
    process.send_signal(sig)
    return process.wait(timeout=TIMEOUT)
