"""--augment, --resize and the preview: taken, kept with the run, repeated bit for bit."""

import json
import random
import unittest

import harness as h
import tapunit

try:
    import cv2
    import numpy
except ImportError:
    cv2 = None

ALL = "flip,vflip,scale=0.5-2,crop,rotate=30,brightness=0.5,contrast=0.5,saturation=0.5,noise=0.1"
NET = ["--arch", "fcn32s", "--backbone", "vgg11", "--size", "32x32", "--batch", "2"]


def weights(run):
    return h.read_safetensors(run / "checkpoints/last.safetensors")[1]


def losses(run):
    return [e["loss"] for e in h.log_events(run) if e["event"] == "step"]


class Augment(h.Case):
    def setUp(self):
        super().setUp()
        # Larger than the network and of another shape: decoded pictures are made smaller.
        self.data = h.make_dataset(self.tmp / "d", count=5, width=97, height=83)

    def args(self, out, *more):
        return [*h.train_args(self.data, self.tmp / out, "--epochs", 4, *more, net=NET), "--quiet"]

    def test_everything_on_trains_and_is_kept_with_the_run(self):
        self.ok(*self.args("run", "--augment", "noise=.1,crop,flip,saturation=0.5,vflip,rotate=3e1,"
                           "contrast=0.5,scale=0.5-2.0,brightness=0.5", "--max-steps", 2))
        config = json.loads((self.tmp / "run/config.json").read_text())
        self.assertEqual(config["augment"], ALL)
        self.assertEqual(config["resize"], "bilinear")
        metadata = h.read_safetensors(self.tmp / "run/checkpoints/last.safetensors")[0]
        self.assertIn(ALL, "".join(metadata.values()))

    def test_parts_of_a_run_are_the_run(self):
        """Whatever the number of workers and the room in the cache, too."""
        self.ok(*self.args("straight", "--augment", ALL, "--resize", "area", "--workers", 1))
        self.ok(*self.args("parts", "--augment", ALL, "--resize", "area", "--workers", 4,
                           "--cache-mem", 0, "--max-steps", 3))
        self.ok("train", "--resume", self.tmp / "parts", "--max-steps", 4, "--quiet")
        self.ok("train", "--resume", self.tmp / "parts", "--max-steps", "-1", "--workers", 2,
                "--cache-mem", "30K", "--quiet")
        self.assertEqual(len(losses(self.tmp / "straight")), 8)
        self.assertEqual(losses(self.tmp / "straight"), losses(self.tmp / "parts"))
        self.assertEqual(weights(self.tmp / "straight"), weights(self.tmp / "parts"))

    def test_each_change_matters(self):
        first = {}
        for name in ["none", "flip", "vflip", "scale=0.5-2", "scale=0.5-2,crop", "rotate",
                     "brightness", "contrast", "saturation", "noise", "standard"]:
            out = name.replace("=", "").replace(",", "")
            self.ok(*self.args(out, "--augment", name, "--max-steps", 1, "--seed", 3))
            first.setdefault(losses(self.tmp / out)[0], []).append(name)
        self.assertEqual([names for names in first.values() if len(names) > 1], [])

    def test_bad_lists(self):
        for value, words in [("rotat=3", ["did you mean 'rotate'"]), ("flip,flip", ["twice"]),
                             ("rotate=200", ["rotate=200", "180"]), ("scale=2-1", ["scale=2-1"]),
                             ("crop", ["crop", "scale"]), ("flip=1", ["no amount"]),
                             ("none,flip", ["alone"]), ("", ["empty"]), ("flip,", ["''"]),
                             ("noise=1.5", ["at most 1"]), ("scale=half", ["scale=half"])]:
            with self.subTest(value=value):
                r = h.run(*self.args("bad", f"--augment={value}"))
                self.assert_one_error(r, h.USAGE, "--augment", *words)
        self.assertFalse((self.tmp / "bad").exists())

    def test_not_with_resume(self):
        self.fails(h.USAGE, ["--augment"], "train", "--resume", self.tmp, "--augment", "flip")
        self.fails(h.USAGE, ["--resize"], "train", "--resume", self.tmp, "--resize", "area")


class Resize(h.Case):
    def setUp(self):
        super().setUp()
        self.data = h.make_dataset(self.tmp / "d", count=4, width=97, height=83)

    def train(self, out, resize):
        self.ok(*h.train_args(self.data, self.tmp / out, "--resize", resize, "--max-steps", 2),
                "--quiet")
        return self.tmp / out / "checkpoints/last.safetensors"

    def loss(self, checkpoint, *more):
        r = self.ok("eval", checkpoint, "--data", self.data, "--quiet", *more)
        return [line for line in r.out.splitlines() if line.startswith("loss")]

    def logits(self, checkpoint, *more):
        out = self.tmp / "masks"
        self.ok("predict", checkpoint, self.data / "images", "--out", out, "--logits", "--quiet",
                *more)
        return [h.read_npy(out / f"p{i}.npy") for i in range(4)]

    def test_eval_and_predict_do_as_the_training_did(self):
        area, bilinear = self.train("a", "area"), self.train("b", "bilinear")
        self.assertNotEqual(losses(self.tmp / "a"), losses(self.tmp / "b"))
        for checkpoint, same, other in [(area, "area", "bilinear"), (bilinear, "bilinear", "area")]:
            as_is = self.logits(checkpoint)
            self.assertEqual(as_is, self.logits(checkpoint, "--resize", same))
            self.assertNotEqual(as_is, self.logits(checkpoint, "--resize", other))
            self.assertEqual(self.loss(checkpoint), self.loss(checkpoint, "--resize", same))
            self.assertNotEqual(self.loss(checkpoint), self.loss(checkpoint, "--resize", other))

    def test_a_picture_of_the_networks_size_is_not_touched(self):
        self.data = h.make_dataset(self.tmp / "same", count=4, width=32, height=32)
        checkpoint = self.train("c", "area")
        self.assertEqual(self.logits(checkpoint, "--resize", "area"),
                         self.logits(checkpoint, "--resize", "bilinear"))

    def test_unknown(self):
        checkpoint = self.train("d2", "area")
        self.fails(h.USAGE, ["--resize", "cubic", "bilinear", "area"], "train", "--data", self.data,
                   "--out", self.tmp / "no", "--resize", "cubic")
        self.fails(h.USAGE, ["--resize", "cubic", "bilinear or area"], "eval", checkpoint,
                   "--data", self.data, "--resize", "cubic")
        self.fails(h.USAGE, ["--resize", "cubic", "bilinear or area"], "predict", checkpoint,
                   self.data / "images", "--out", self.tmp / "no", "--resize", "cubic")


class Preview(h.Case):
    LEFT, TOP, SIDE = 8, 44, 160  # of the picture without augmentation, in preview.c

    def preview(self, name, *more):
        path = self.tmp / name
        return path, self.ok("data", self.data, "--preview", path, "--json", *more).events[0]

    def setUp(self):
        super().setUp()
        self.data = h.make_dataset(self.tmp / "d", count=3, width=97, height=83)

    def test_seeds(self):
        a, said = self.preview("a.png", "--augment", "flip,noise", "--seed", "4")
        self.assertEqual(said, {"preview": str(a), "pictures": 3, "augment": "flip,noise=0.02"})
        b, _ = self.preview("b.png", "--augment", "flip,noise", "--seed", "4")
        c, _ = self.preview("c.png", "--augment", "flip,noise", "--seed", "5")
        d, said = self.preview("d.png", "--samples", "1")
        self.assertEqual(a.read_bytes(), b.read_bytes())
        self.assertNotEqual(a.read_bytes(), c.read_bytes())
        self.assertEqual(said["pictures"], 1)
        self.assertIn("scale=0.75-1.5", said["augment"])  # the standard mixture
        self.assertEqual(h.read_png(a)[0], h.read_png(d)[0])

    def test_wrong_use(self):
        out = self.tmp / "no.png"
        for words, more in [(["--augment goes with --preview"], ["--augment", "flip"]),
                            (["--seed goes with --preview"], ["--seed", "1"]),
                            (["--count goes with --write"], ["--preview", out, "--count", "1"]),
                            (["--sheet"], ["--preview", out, "--sheet", out]),
                            (["--samples 0"], ["--preview", out, "--samples", "0"]),
                            (["--samples 51"], ["--preview", out, "--samples", "51"]),
                            (["--size", "32"], ["--preview", out, "--size", "100x96"]),
                            (["--augment", "twice"], ["--preview", out, "--augment", "crop,crop"])]:
            with self.subTest(words=words):
                self.fails(h.USAGE, words, "data", self.data, *more)
        self.fails(h.USAGE, ["--preview"], "data", "demo", "--write", self.tmp / "w",
                   "--preview", out)
        self.assertFalse(out.exists())

    def test_broken_picture(self):
        (self.data / "images/p1.png").write_bytes(b"\x89PNG\r\n\x1a\nno")
        self.fails(h.BAD_INPUT, ["p1.png"], "data", self.data, "--preview", self.tmp / "x.png")

    @unittest.skipUnless(cv2, "python3-opencv is not installed")
    def test_area_is_that_of_opencv(self):
        """The picture as the network gets it is on the sheet, dot for dot."""
        side = self.SIDE
        for width, height in [(413, 371), (640, 480), (161, 1000), (320, 320)]:
            rng = random.Random(width)
            rows = [rng.randbytes(3 * width) for _ in range(height)]
            mask = [bytes(width)] * height
            (self.data / "images/p0.png").write_bytes(
                h.png_bytes(width, height, rows, color_type=2))
            (self.data / "masks/p0.png").write_bytes(h.png_bytes(width, height, mask))
            path, _ = self.preview("area.png", "--samples", "1", "--resize", "area")
            sheet = cv2.imread(str(path))[:, :, ::-1].astype(int)
            found = sheet[self.TOP:self.TOP + side, self.LEFT:self.LEFT + side]
            source = numpy.frombuffer(b"".join(rows), numpy.uint8).reshape(height, width, 3)
            want = cv2.resize(source.astype(numpy.float32), (side, side),
                              interpolation=cv2.INTER_AREA)
            self.assertLess(abs(found - want).max(), 0.51, f"{width}x{height}")


if __name__ == "__main__":
    tapunit.main()
