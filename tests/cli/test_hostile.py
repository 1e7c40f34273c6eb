"""Files made to harm: each is refused in one line, or read, within memory and without waiting."""

import io
import json
import os
import resource
import shutil
import struct
import subprocess
import unittest
import zipfile
import zlib

import harness as h
import tapunit

MEMORY = 1 << 30  # of addresses; the runs below are of commands that need no device
HUGE = 1 << 40
ESCAPE = "\x1b]0;gotcha\x07\x1b[2J"


def limited(*args):
    """Run clfcn with little memory, and no time to wait for what never comes."""
    argv = [h.CLFCN, *map(str, args)]
    done = subprocess.run(
        argv, env=h.environment(), stdin=subprocess.DEVNULL, capture_output=True,
        timeout=h.TIMEOUT,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY)))
    return h.Result(done.returncode, done.stdout.decode("utf-8", "surrogateescape"),
                    done.stderr.decode("utf-8", "surrogateescape"), argv)


class Case(h.Case):
    def refused(self, words, *args):
        r = limited(*args, "--quiet")
        self.assert_one_error(r, h.BAD_INPUT, *words)
        self.assertFalse([c for c in r.err.rstrip("\n") if c < " " or c == "\x7f"], repr(r.err))
        return r


# --- weights ------------------------------------------------------------------------------------

def safetensors(header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def tensor(shape, begin, end, dtype="F32"):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def archive(entries, lie=None):
    """A zip archive; lie: the size that its headers give for data.pkl."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as z:
        for name, content in entries.items():
            with z.open(name, "w") as f:
                for part in content:
                    f.write(part)
    data = bytearray(out.getvalue())
    if lie is not None:
        at = data.index(b"PK\1\2")
        data[at + 24:at + 28] = struct.pack("<I", lie)
        data[22:26] = struct.pack("<I", lie)
    return bytes(data)


def pickled_tensor(count, dims):
    """A state_dict of one tensor of floats that claims so many."""
    def text(s):
        return b"X" + struct.pack("<I", len(s)) + s.encode()

    def number(n):
        return b"\x8a\x08" + struct.pack("<q", n)
    return (b"\x80\x02}" + text("w") + b"ctorch._utils\n_rebuild_tensor_v2\n((" + text("storage")
            + b"ctorch\nFloatStorage\n" + text("0") + text("cpu") + number(count) + b"tQK\0("
            + b"".join(map(number, dims)) + b"t(" + number(1) * len(dims)
            + b"t\x89ccollections\nOrderedDict\n)RtRs.")


ZEROS = [bytes(1 << 20)] * 300

WEIGHTS = {
    "data that overlap": (["overlaps"], lambda: safetensors(
        {"a": tensor([4], 0, 16), "b": tensor([4], 8, 24)}, bytes(24))),
    "data past the end": (["truncated"], lambda: safetensors({"a": tensor([4], 16, 32)}, bytes(16))),
    "offsets beyond 2^63": (["too big integer"], lambda: safetensors(
        b'{"a":{"dtype":"F32","shape":[4],"data_offsets":[9223372036854775800,9223372036854775816]}}')),
    "offsets backwards": (["data_offsets"], lambda: safetensors({"a": tensor([4], 16, 0)}, bytes(16))),
    "a shape of 2^64 elements": (["shape"], lambda: safetensors(
        {"a": tensor([1 << 32, 1 << 32], 0, 0)})),
    "a shape whose bytes overflow": (["shape"], lambda: safetensors(
        {"a": tensor([(1 << 62) + 4], 0, 16)}, bytes(16))),
    "a negative side": (["size"], lambda: safetensors({"a": tensor([-1, -4], 0, 16)}, bytes(16))),
    "100 dimensions": (["shape"], lambda: safetensors({"a": tensor([1] * 100, 0, 4)}, bytes(4))),
    "a name twice": (["duplicate"], lambda: safetensors(b'{"a":{},"a":{}}')),
    "a name that terminals obey": (["name"], lambda: safetensors({ESCAPE: tensor([4], 0, 16)},
                                                                 bytes(16))),
    "JSON 100,000 deep": (["depth"], lambda: safetensors(b"[" * 100000)),
    "a header of 2^63 bytes": (["header"], lambda: struct.pack("<Q", 1 << 63) + b"{}" * 8),
    "a header of 5 MiB": (["header"], lambda: safetensors(b" " * (5 << 20))),
    "4 MiB of empty objects": (["dtype"], lambda: safetensors(
        b'{"a":[' + b"{}," * 1390000 + b"{}]}")),
    "an archive that unfolds to 300 MB": (["too large"], lambda: archive(
        {"a/data.pkl": ZEROS})),
    "an archive that lies about it": (["pickle"], lambda: archive({"a/data.pkl": ZEROS}, 1000)),
    "numbers that the archive has not": (["bytes of"], lambda: archive(
        {"a/data.pkl": [pickled_tensor(1 << 40, [1 << 40])], "a/data/0": [bytes(16)]})),
    "a shape of 2^80 in a pickle": (["w"], lambda: archive(
        {"a/data.pkl": [pickled_tensor(4, [1 << 40, 1 << 40])], "a/data/0": [bytes(16)]})),
    "a pickle that calls a program": (["system"], lambda: archive(
        {"a/data.pkl": [b"cos\nsystem\n(X\2\0\0\0idtR."]})),
    "a pickle 1,000,000 deep": (["pickle"], lambda: archive({"a/data.pkl": [b"\x80\x02" + b"]" * 1000000]})),
    "lists of lists of lists": (["pickle"], lambda: archive({"a/data.pkl": [
        b"\x80\x02]q\0" + b"".join(b"](" + b"h" + bytes([i]) * 1 + (b"h" + bytes([i])) * 200 + b"eq"
                                   + bytes([i + 1]) for i in range(100)) + b"."]})),
}


class Weights(Case):
    def test_files(self):
        for name, (words, make) in WEIGHTS.items():
            with self.subTest(name):
                path = self.tmp / "weights.bin"
                path.write_bytes(make())
                self.refused(["weights.bin", *words], "info", path)

    def test_a_file_of_a_terabyte_costs_nothing(self):
        path = self.tmp / "huge.safetensors"
        path.write_bytes(safetensors({"a": tensor([HUGE // 4], 0, HUGE)}))
        os.truncate(path, path.stat().st_size + HUGE)
        r = limited("info", path)
        self.assertEqual(r.code, h.OK, str(r))
        self.assertIn(str(HUGE // 4), r.out)


class Names(Case):
    """What stands where a file should."""

    def places(self):
        pipe, loop, folder = (self.tmp / n for n in ("pipe", "loop", "folder"))
        os.mkfifo(pipe)
        loop.symlink_to(loop)
        folder.mkdir()
        return [pipe, loop, folder, "/dev/zero", "/dev/null", self.tmp / "none"]

    def test_in_the_place_of_weights(self):
        for place in self.places():
            with self.subTest(place=place):
                self.refused([place], "export", place, "--out", self.tmp / "out.pth")

    def test_in_the_place_of_a_run(self):
        places = self.places()
        for name in ("config.json", "log.jsonl"):
            for place in places:
                run = self.tmp / "run"
                shutil.rmtree(run, ignore_errors=True)
                run.mkdir()
                (run / "config.json").write_text("{}")
                (run / "log.jsonl").write_text("")
                (run / name).unlink()
                (run / name).symlink_to(place)
                with self.subTest(name=name, place=place):
                    self.refused([run], "report", run)

    def test_in_the_place_of_results(self):
        for place in self.places()[1:]:  # of a pipe that is named, users may want to read
            with self.subTest(place=place):
                self.refused([place], "compare", place)

    def test_names_that_terminals_obey(self):
        folder = self.tmp / (ESCAPE + "\n2")
        (folder / "images").mkdir(parents=True)
        for args in (["info", folder / "x.safetensors"], ["report", folder],
                     ["compare", folder / "x.json"], ["data", folder]):
            with self.subTest(args[0]):
                self.refused(["gotcha"], *args)


# --- pictures -----------------------------------------------------------------------------------

def png(width, height, extra=b"", rows=None, kind=0, depth=8):
    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    data = zlib.compress(bytes((width + 1) * height)) if rows is None else rows
    return (b"\x89PNG\r\n\x1a\n" + h._chunk(b"IHDR", header) + extra + h._chunk(b"IDAT", data)
            + h._chunk(b"IEND", b""))


def bomb():
    """300 MB of zeros, compressed."""
    z = zlib.compressobj(9)
    return b"".join(map(z.compress, ZEROS)) + z.flush()


def jpeg_of(width, height, progressive):
    at = h.TINY_JPEG.index(b"\xff\xc0")
    data = bytearray(h.TINY_JPEG)
    data[at + 1] = 0xc2 if progressive else 0xc0
    data[at + 5:at + 9] = struct.pack(">HH", height, width)
    return bytes(data)


PICTURES = {
    "sides of 2^31-1": ("2147483647", lambda: png((1 << 31) - 1, (1 << 31) - 1, rows=b"")),
    "sides of 2^32-1": ("size", lambda: png((1 << 32) - 1, 1, rows=b"")),
    "more pixels than may be": ("limit", lambda: png(30000, 30000, rows=b"")),
    "no pixels": ("size", lambda: png(0, 0, rows=b"")),
    "pixels that are not there": ("damaged", lambda: png(8000, 8000, rows=zlib.compress(b"\0"))),
    "rows that unfold to 300 MB": (None, lambda: png(32, 32, rows=bomb())),
    "a text that unfolds to 300 MB": (None, lambda: png(
        32, 32, h._chunk(b"zTXt", b"a\0\0" + bomb()))),
    "a profile that unfolds to 300 MB": (None, lambda: png(
        32, 32, h._chunk(b"iCCP", b"a\0\0" + bomb()))),
    "ten thousand texts": (None, lambda: png(32, 32, h._chunk(b"tEXt", b"a\0b") * 10000)),
}
JPEGS = {
    "a JPEG of 65,500 pixels a side": ("limit", lambda: jpeg_of(65500, 65500, False)),
    "a progressive JPEG of 268 megapixels": ("", lambda: jpeg_of(32768, 8192, True)),
}


class Pictures(Case):
    def test_files(self):
        """None: it is read, and what is too much passed over, or refused."""
        data = h.make_dataset(self.tmp / "d", count=2)
        cases = {**PICTURES, **(JPEGS if h.HAVE_JPEG else {})}
        for name, (word, make) in cases.items():
            with self.subTest(name):
                (data / "images/p1.png").write_bytes(make())
                r = limited("data", data, "--json")
                self.assertIn(r.code, (h.OK, h.BAD_INPUT), str(r))
                broken = r.events[0]["broken_files"]
                if word is not None:
                    self.assertEqual(len(broken), 1)
                    self.assertIn("p1.png", broken[0]["image"])
                    self.assertIn(word, broken[0]["reason"])

    def test_links_in_circles(self):
        data = h.make_dataset(self.tmp / "d", count=2)
        for folder in ("images", "masks"):
            (data / folder / "loop.png").symlink_to("loop.png")
            (data / folder / "up").symlink_to("..")
            os.mkfifo(data / folder / "pipe.png")
        r = limited("data", data, "--json")
        self.assertEqual(r.code, h.OK, str(r))
        self.assertEqual(r.events[0]["images"], 2)

    def test_twins_with_names_that_terminals_obey(self):
        data = h.make_dataset(self.tmp / "d", count=1)
        for folder in ("images", "masks"):
            for name in ("p0", "p1"):
                if (data / folder / f"{name}.png").exists():
                    for i in range(2):
                        shutil.copy(data / folder / f"{name}.png",
                                    data / folder / f"{ESCAPE}{i}.png")
        r = limited("data", data)
        self.assertEqual(r.code, h.OK, str(r))
        self.assertIn("there twice", r.out)
        self.assertNotIn("\x1b", r.out + r.err)


# --- runs and results ---------------------------------------------------------------------------

class Runs(Case):
    def make(self, config, log):
        run = self.tmp / "run"
        shutil.rmtree(run, ignore_errors=True)
        run.mkdir()
        (run / "config.json").write_bytes(config)
        (run / "log.jsonl").write_bytes(log)
        return run

    def test_configurations(self):
        for name, config in {"100,000 deep": b"[" * 100000, "no object": b"[]",
                             "2 MB": b"{" + b" " * (2 << 20) + b"}", "no JSON": b"\xff\xfe"}.items():
            with self.subTest(name):
                self.refused(["config.json"], "report", self.make(config, b""))

    def test_lines_of_the_log_are_passed_over(self):
        step = b'{"event":"step","epoch":0,"step":1,"loss":0.5,"lr":0.1,"ms":1}\n'
        run = self.make(b"{}", step + b"x" * (300 << 20) + b"\n" + b"[" * 100000 + b"\n"
                        + b"\0\xff\n" + b'{"event":7}\n[]\n' + step)
        r = limited("info", run, "--json")
        self.assertEqual(r.code, h.OK, str(r))
        self.assertEqual(r.events[0]["step"], 2)

    def test_markup_stays_text(self):
        evil = "<script>alert(1)</script>"
        config = {"classes-text": f"{evil} 0\nb 1\n", "arch": evil, "data": ESCAPE + evil}
        log = [{"event": "start", "device": ESCAPE + evil, "driver": evil},
               {"event": "epoch", "epoch": 0, "train_loss": 1, "mean_iou": 0.5, "iou": [0.5, 0.5]},
               {"event": "end", "reason": evil, "error": evil}]
        run = self.make(json.dumps(config).encode(), "\n".join(map(json.dumps, log)).encode() + b"\n")
        self.assertEqual(limited("report", run).code, h.OK)
        page = (run / "report.html").read_text()
        self.assertIn("&lt;script&gt;", page)
        self.assertNotIn("<script>alert", page)
        r = limited("info", run)
        self.assertEqual(r.code, h.OK, str(r))
        self.assertNotIn("\x1b", r.out)

    def test_results(self):
        path = self.tmp / "results.json"
        for name, text in {"100,000 deep": b"[" * 100000, "no JSON": b"\0" * 100}.items():
            with self.subTest(name):
                path.write_bytes(text)
                self.refused([path], "compare", path)
        path.write_bytes(b"[" + b"{}," * 1390000 + b"{}]")  # 400 MB of memory
        self.refused([path], "compare", path)
        with open(path, "wb") as f:
            f.truncate(HUGE)
        self.refused([path, "longer"], "compare", path)


if __name__ == "__main__":
    tapunit.main()
