"""Every bad input is refused with the right exit code and one line that names file and reason."""

import os
import random
import shutil
import struct
import subprocess
import unittest
from pathlib import Path

import harness as h
import tapunit


class Bad(h.Case):
    def setUp(self):
        super().setUp()
        self.data = h.make_dataset(self.tmp / "d", count=4)
        self.run_dir = self.tmp / "run"

    def train_fails(self, code, words, *more):
        return self.fails(code, words, *h.train_args(self.data, self.run_dir, *more))


class DataSet(Bad):
    def test_missing_folder(self):
        self.fails(h.BAD_INPUT, [self.tmp / "nowhere"],
                   *h.train_args(self.tmp / "nowhere", self.run_dir))

    def test_missing_images(self):
        shutil.rmtree(self.data / "images")
        self.train_fails(h.BAD_INPUT, [self.data / "images"])

    def test_missing_masks(self):
        shutil.rmtree(self.data / "masks")
        self.train_fails(h.BAD_INPUT, [self.data / "masks"])

    def test_missing_classes(self):
        (self.data / "classes.txt").unlink()
        self.train_fails(h.BAD_INPUT, [self.data / "classes.txt"])

    def test_folder_that_is_a_file(self):
        shutil.rmtree(self.data / "images")
        (self.data / "images").write_text("no folder")
        self.train_fails(h.BAD_INPUT, [self.data / "images"])

    @unittest.skipIf(os.geteuid() == 0, "root may read everything")
    def test_unreadable_folder(self):
        (self.data / "images").chmod(0)
        self.addCleanup((self.data / "images").chmod, 0o755)
        self.train_fails(h.BAD_INPUT, [self.data / "images", "permission"])

    @unittest.skipIf(os.geteuid() == 0, "root may read everything")
    def test_unreadable_image(self):
        (self.data / "images/p1.png").chmod(0)
        self.train_fails(h.BAD_INPUT, ["p1.png", "permission"])

    def test_image_without_mask(self):
        (self.data / "masks/p2.png").unlink()
        self.train_fails(h.BAD_INPUT, ["p2.png", "mask"])

    def test_mask_without_image(self):
        (self.data / "images/p2.png").unlink()
        self.train_fails(h.BAD_INPUT, ["p2.png", "image"])

    def test_sizes_that_differ(self):
        h.write_mask(self.data / "masks/p1.png", 1, 32, 40)
        self.train_fails(h.BAD_INPUT, ["p1.png", "32x32", "32x40"])

    def test_empty_set(self):
        for folder in ("images", "masks"):
            for p in (self.data / folder).iterdir():
                p.unlink()
        self.train_fails(h.BAD_INPUT, [self.data / "images"])

    def test_fewer_images_than_a_batch(self):
        self.train_fails((h.USAGE, h.BAD_INPUT), ["4", "--batch"], "--batch", 5)

    def test_validation_split_leaves_less_than_a_batch(self):
        self.train_fails((h.USAGE, h.BAD_INPUT), ["--batch"], "--batch", 4, "--val-fraction", 0.25)

    def test_size_not_a_multiple_of_32(self):
        self.train_fails(h.USAGE, ["--size", "100", "96 or 128"], "--size", "100x64")

    def test_value_outside_the_classes(self):
        (self.data / "classes.txt").write_text("ground 0-100\nbox 200-254\n")
        self.train_fails(h.BAD_INPUT, ["masks/p", "255"])

    def test_colour_outside_the_classes(self):
        (self.data / "classes.txt").write_text("a 0,0,0\nb 1,2,3\n")
        for p in (self.data / "masks").iterdir():
            p.write_bytes(h.png_bytes(32, 32, [bytes((0, 0, 9) * 32)] * 32, color_type=2))
        self.train_fails(h.BAD_INPUT, ["masks/p", "0,0,9"])

    def test_bad_classes_files(self):
        for text, word in [("", "class"), ("# nothing\n", "class"), ("a\n", "classes.txt:1"),
                           ("a 0\na 1\n", "classes.txt:2"), ("a 0-10\nb 5\n", "classes.txt:2"),
                           ("a zero\n", "zero"), ("a 10-5\n", "classes.txt:1"),
                           ("a 0\nb 1-99999\n", "classes.txt:2"), ("ignore 3\n", "class")]:
            with self.subTest(text=text):
                (self.data / "classes.txt").write_text(text)
                self.train_fails(h.BAD_INPUT, ["classes.txt", word])

    def test_one_class_only(self):
        (self.data / "classes.txt").write_text("all 0-255\n")
        self.train_fails(h.BAD_INPUT, ["classes.txt", "one class"])

    def test_masks_that_show_one_class_only(self):
        blank = h.png_bytes(32, 32, [bytes(32)] * 32)
        for p in (self.data / "masks").iterdir():
            p.write_bytes(blank)
        r = self.ok(*h.train_args(self.data, self.run_dir, "--val", self.data), "--json")
        self.assertLessEqual(r.of("epoch")[0]["mean_iou"], 1)


class Images(Bad):
    def spoil(self, change, folder="images"):
        path = self.data / folder / "p1.png"
        path.write_bytes(change(path.read_bytes()))
        return path

    def test_truncated_png(self):
        whole = (self.data / "images/p1.png").read_bytes()
        for n in (0, 1, 7, 8, 20, 40, len(whole) // 2, len(whole) - 20):
            with self.subTest(bytes=n):
                (self.data / "images/p1.png").write_bytes(whole[:n])
                self.train_fails(h.BAD_INPUT, ["images/p1.png"])
                shutil.rmtree(self.run_dir, ignore_errors=True)

    def test_corrupt_png(self):
        def flip(data):
            middle = len(data) // 2
            return data[:middle] + bytes(b ^ 0x5A for b in data[middle:middle + 8]) + \
                data[middle + 8:]
        self.spoil(flip)
        self.train_fails(h.BAD_INPUT, ["images/p1.png"])

    def test_corrupt_mask(self):
        self.spoil(lambda data: data[:-30], "masks")
        self.train_fails(h.BAD_INPUT, ["masks/p1.png"])

    def test_not_an_image(self):
        self.spoil(lambda data: b"GIF89a, or so it says" * 20)
        self.train_fails(h.BAD_INPUT, ["images/p1.png"])

    def test_png_of_100000_by_100000_pixels(self):
        def huge(data):
            header = struct.pack(">IIBBBBB", 100000, 100000, 8, 2, 0, 0, 0)
            return data[:8] + h._chunk(b"IHDR", header) + data[33:]
        self.spoil(huge)
        self.train_fails(h.BAD_INPUT, ["images/p1.png", "100000"])

    @unittest.skipUnless(h.HAVE_JPEG, "built without JPEG")
    def test_truncated_and_corrupt_jpeg(self):
        self.data = h.make_dataset(self.tmp / "j", count=4, width=64)
        path = self.data / "images/p1.jpg"
        (self.data / "images/p1.png").unlink()
        n = len(h.TINY_JPEG)
        corrupt = h.TINY_JPEG[:170] + b"\xff\x01" * 20 + h.TINY_JPEG[210:]
        for bad in (h.TINY_JPEG[:3], h.TINY_JPEG[:150], h.TINY_JPEG[:n - 60], corrupt):
            with self.subTest(bytes=len(bad)):
                path.write_bytes(bad)
                self.train_fails(h.BAD_INPUT, ["images/p1.jpg"])
                shutil.rmtree(self.run_dir, ignore_errors=True)

    def test_predict_on_a_bad_file(self):
        self.ok(*h.train_args(self.data, self.run_dir, "--max-steps", 0), "--quiet")
        path = self.spoil(lambda data: data[:60])
        self.fails(h.BAD_INPUT, ["p1.png"], "predict",
                   self.run_dir / "checkpoints/last.safetensors", path, "--out", self.tmp / "out")

    def test_predict_on_nothing(self):
        self.ok(*h.train_args(self.data, self.run_dir, "--max-steps", 0), "--quiet")
        self.fails(h.BAD_INPUT, ["none.png"], "predict",
                   self.run_dir / "checkpoints/last.safetensors", self.tmp / "none.png",
                   "--out", self.tmp / "out")


class Checkpoints(Bad):
    def setUp(self):
        super().setUp()
        self.ok(*h.train_args(self.data, self.run_dir, "--max-steps", 0, "--arch", "fcn32s"),
                "--quiet")
        self.last = self.run_dir / "checkpoints/last.safetensors"

    def eval_fails(self, words, *more):
        return self.fails(h.BAD_INPUT, words, "eval", self.last, "--data", self.data, *more)

    def test_missing(self):
        self.last.unlink()
        self.eval_fails(["last.safetensors"])

    def test_truncated_at_any_byte(self):
        size = self.last.stat().st_size
        with open(self.last, "rb") as f:
            header = struct.unpack("<Q", f.read(8))[0] + 8
        rng = random.Random(1)
        cuts = [0, 1, 7, 8, 9, header // 2, header - 1, header, header + 1, size // 2, size - 1,
                *(rng.randrange(size) for _ in range(4)), *(rng.randrange(header) for _ in range(4))]
        for n in sorted(set(cuts), reverse=True):
            with self.subTest(bytes=n):
                os.truncate(self.last, n)
                self.eval_fails(["last.safetensors"])

    def test_resume_from_a_truncated_one(self):
        os.truncate(self.last, self.last.stat().st_size - 1)
        self.fails(h.BAD_INPUT, ["last.safetensors"], "train", "--resume", self.run_dir)

    def test_init_from_a_truncated_one(self):
        os.truncate(self.last, self.last.stat().st_size // 2)
        self.fails(h.BAD_INPUT, ["last.safetensors"],
                   *h.train_args(self.data, self.tmp / "r2", "--init", self.last))

    def test_damaged_header(self):
        data = bytearray(self.last.read_bytes())
        rng = random.Random(2)
        n = struct.unpack("<Q", data[:8])[0]
        for i in range(6):
            with self.subTest(round=i):
                bad = bytearray(data)
                bad[8 + rng.randrange(n // 2)] = 0
                self.last.write_bytes(bad)
                self.eval_fails(["last.safetensors"])
        for length in (0, 2, 1 << 40, (1 << 64) - 1):
            with self.subTest(header_length=length):
                self.last.write_bytes(struct.pack("<Q", length) + data[8:])
                self.eval_fails(["last.safetensors"])

    def test_not_a_checkpoint(self):
        self.last.write_text("weights, honestly\n" * 100)
        self.eval_fails(["last.safetensors"])

    def test_wrong_architecture_for_init(self):
        self.fails(h.BAD_INPUT, ["last.safetensors"],
                   *h.train_args(self.data, self.tmp / "r2", "--init", self.last, "--backbone",
                                 "vgg13"))

    def test_wrong_architecture_for_eval(self):
        r = h.run("eval", self.last, "--data", self.data, "--backbone", "vgg13", "--quiet")
        self.assert_one_error(r, (h.USAGE, h.BAD_INPUT), "vgg13")

    def test_other_classes_than_trained(self):
        other = h.make_dataset(self.tmp / "o", count=2,
                               classes="a 0-100\nb 101-200\nc 201-255\n")
        r = h.run("eval", self.last, "--data", other, "--quiet")
        self.assert_one_error(r, (h.USAGE, h.BAD_INPUT), "class")


class Running(Bad):
    def test_nan_loss(self):
        r = self.train_fails(h.FAILED, ["loss", "--lr"], "--lr", "1e30", "--epochs", 4)
        self.assertRegex(r.err, r"step \d+")

    def test_device_out_of_memory(self):
        r = h.run(*h.train_args("demo", self.run_dir, "--size", "512x512", "--batch", 64),
                  "--quiet", env={"POCL_MEMORY_LIMIT": "1"})
        self.assert_one_error(r, h.FAILED, "--batch")
        self.assertRegex(r.err, r"[GM]i?B", "says how much was needed")

    def test_no_device(self):
        empty = self.tmp / "icd"
        empty.mkdir()
        r = h.run(*h.train_args(self.data, self.run_dir), "--quiet",
                  env={"OCL_ICD_VENDORS": str(empty)})
        self.assert_one_error(r, h.NO_DEVICE, "pocl-opencl-icd")

    def test_broken_icd_beside_a_good_one(self):
        icd = self.tmp / "icd"
        icd.mkdir()
        good = Path("/etc/OpenCL/vendors/pocl.icd")
        if not good.exists():
            self.skipTest("PoCL is not installed")
        shutil.copy(good, icd / "good.icd")
        (icd / "bad.icd").write_text("libno-such-opencl.so.9\n")
        r = self.ok("devices", "--json", env={"OCL_ICD_VENDORS": str(icd)})
        self.assertGreaterEqual(len(r.events), 1)

    def test_output_folder_that_cannot_be_made(self):
        (self.tmp / "file").write_text("")
        r = h.run(*h.train_args(self.data, self.tmp / "file/run"), "--quiet")
        self.assert_one_error(r, (h.FAILED, h.BAD_INPUT), self.tmp / "file")


class FullDisk(Bad):
    """On a tmpfs that holds one checkpoint but not two."""

    def setUp(self):
        super().setUp()
        self.disk = self.tmp / "disk"
        self.disk.mkdir()

    def mount(self, size):
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "clfcn-test",
                               str(self.disk)], capture_output=True)
        if done.returncode != 0:
            self.skipTest("cannot mount a tmpfs here")
        self.addCleanup(subprocess.run, ["umount", str(self.disk)], capture_output=True)

    def test_previous_checkpoint_survives(self):
        probe = self.tmp / "probe"
        self.ok(*h.train_args(self.data, probe, "--max-steps", 0, "--arch", "fcn32s"), "--quiet")
        last = probe / "checkpoints/last.safetensors"
        whole = sum(p.stat().st_size for p in probe.rglob("*") if p.is_file())
        self.mount(whole + last.stat().st_size // 2)
        run = self.disk / "run"
        self.ok(*h.train_args(self.data, run, "--max-steps", 0, "--arch", "fcn32s"), "--quiet")
        before = (run / "checkpoints/last.safetensors").read_bytes()
        self.fails(h.FAILED, ["safetensors", "space"], "train", "--resume", run,
                   "--max-steps", -1)
        self.assertEqual((run / "checkpoints/last.safetensors").read_bytes(), before)
        self.assertEqual([p.name for p in (run / "checkpoints").iterdir()], ["last.safetensors"])
        # With room again the run goes on.
        moved = self.tmp / "moved"
        shutil.copytree(run, moved)
        self.ok("train", "--resume", moved, "--max-steps", -1, "--quiet")

    def test_no_room_at_all(self):
        self.mount("64k")
        self.fails(h.FAILED, ["space"], *h.train_args(self.data, self.disk / "run"))


if __name__ == "__main__":
    tapunit.main()
