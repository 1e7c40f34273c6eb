"""predict: pictures of any size, whole and in tiles, what it writes and where."""

import array
import math
import signal
import tempfile
from pathlib import Path

import harness as h
import tapunit
from test_train import write_safetensors

SIZES = {"dot": (1, 1), "odd": (31, 33), "wide": (500, 20), "net": (32, 32), "large": (100, 70)}


def floats(path):
    """(shape, values) of a .npy file."""
    dtype, shape, raw = h.read_npy(path)
    assert dtype == "<f4", dtype
    values = array.array("f", raw)
    return tuple(shape), values


def mask_of(path):
    """All class numbers of a mask in one list."""
    return [v for row in h.read_png(path)[3] for v in row]


def names_in(folder):
    return sorted(str(p.relative_to(folder)) for p in Path(folder).rglob("*") if p.is_file())


class Predict(h.Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.shared = tempfile.TemporaryDirectory(prefix="clfcn-predict-")
        top = Path(cls.shared.name)
        data = h.make_dataset(top / "data", classes="ground 0-127 #102030\nbox/1 128-255 #f0e0d0\n")
        run = h.run(*h.train_args(data, top / "run", "--max-steps", 2), "--quiet")
        assert run.code == h.OK, str(run)
        cls.ck = top / "run/checkpoints/last.safetensors"
        cls.pictures = top / "pictures"
        cls.pictures.mkdir()
        for i, (name, (width, height)) in enumerate(SIZES.items()):
            rows = [bytes((x * 3 + y * 5 + c * 40 + (x * y + i) % 90) % 256
                          for x in range(width) for c in range(3)) for y in range(height)]
            (cls.pictures / f"{name}.png").write_bytes(
                h.png_bytes(width, height, rows, color_type=2))

    @classmethod
    def tearDownClass(cls):
        cls.shared.cleanup()
        super().tearDownClass()

    def predict(self, *args, out="out", pictures=None, **kwargs):
        folder = self.tmp / out
        r = self.ok("predict", self.ck, *(pictures or [self.pictures]), "--out", folder, *args,
                    **kwargs)
        return folder, r

    def check_probs(self, folder, name, width, height, equals_mask=True):
        shape, p = floats(folder / f"{name}.probs.npy")
        self.assertEqual(shape, (2, height, width))
        mask = mask_of(folder / f"{name}.png")
        n = width * height
        for i in range(n):
            self.assertAlmostEqual(p[i] + p[n + i], 1, places=5)
            self.assertGreaterEqual(p[mask[i] * n + i], p[(1 - mask[i]) * n + i])
            if equals_mask:
                self.assertEqual(mask[i], 1 if p[n + i] > p[i] else 0)
        return p

    def test_every_size_in_both_modes(self):
        for mode in ([], ["--mode", "tiles"], ["--mode", "tiles", "--flip", "--scale", 0.6],
                     ["--mode", "tiles", "--overlap", 0, "--scale", 1.7], ["--flip"]):
            with self.subTest(mode=mode):
                out, _ = self.predict("--quiet", "--probs", "--overlay", *mode,
                                      out="-".join(map(str, ["out", *mode])))
                for name, (width, height) in SIZES.items():
                    w, ht, color, _ = h.read_png(out / f"{name}.png")
                    self.assertEqual((w, ht, color), (width, height, 3))
                    w, ht, color, _ = h.read_png(out / f"{name}.overlay.png")
                    self.assertEqual((w, ht, color), (width, height, 2))
                    self.check_probs(out, name, width, height)

    def test_palette_is_the_classes_colours(self):
        try:
            from PIL import Image
        except ImportError:
            self.skipTest("Pillow is not installed")
        out, _ = self.predict("--quiet", pictures=[self.pictures / "large.png"])
        with Image.open(out / "large.png") as im:
            self.assertEqual((im.mode, im.size), ("P", (100, 70)))
            self.assertEqual(im.getpalette()[:6], [0x10, 0x20, 0x30, 0xf0, 0xe0, 0xd0])

    def test_one_tile_is_the_resized_picture(self):
        picture = [self.pictures / "net.png"]
        whole, _ = self.predict("--probs", "--quiet", pictures=picture)
        tile, _ = self.predict("--probs", "--quiet", "--mode", "tiles", out="t", pictures=picture)
        for name in ("net.png", "net.probs.npy"):
            self.assertEqual((whole / name).read_bytes(), (tile / name).read_bytes())

    def test_flip_is_the_mean_of_two(self):
        """Of the picture's size, where mirroring before and after resizing is the same."""
        for mode in ("resize", "tiles"):
            width, height = SIZES["large"] if mode == "tiles" else SIZES["net"]
            name = "large" if mode == "tiles" else "net"
            rows = h.read_png(self.pictures / f"{name}.png")[3]
            mirrored = self.tmp / "mirrored.png"
            mirrored.write_bytes(h.png_bytes(width, height, [
                bytes(v for x in reversed(range(width)) for v in row[3 * x:3 * x + 3])
                for row in rows], color_type=2))
            both = [self.pictures / f"{name}.png", mirrored]
            # Tiles that lie alike from both sides: 100 = 32 + 4 * 17.
            more = ["--mode", mode, *(["--overlap", 15] if mode == "tiles" else [])]
            one, _ = self.predict("--probs", "--quiet", *more, out="one" + mode, pictures=both)
            two, _ = self.predict("--probs", "--quiet", "--flip", *more, out="two" + mode,
                                  pictures=both[:1])
            a = floats(one / f"{name}.probs.npy")[1]
            b = floats(one / "mirrored.probs.npy")[1]
            mean = self.check_probs(two, name, width, height)
            for i, v in enumerate(mean):
                x = i % width
                self.assertAlmostEqual(v, (a[i] + b[i - x + width - 1 - x]) / 2, places=5)
            self.assertGreater(max(abs(v - w) for v, w in zip(mean, a)), 1e-5)

    def test_bce_gives_sigmoids_and_ce_softmax(self):
        picture = [self.pictures / "net.png"]
        out, _ = self.predict("--probs", "--logits", "--quiet", pictures=picture)
        x, p = floats(out / "net.npy")[1], floats(out / "net.probs.npy")[1]
        s = [1 / (1 + math.exp(-v)) for v in x]
        for i in range(1024):
            self.assertAlmostEqual(p[i], s[i] / (s[i] + s[1024 + i]), places=5)
        self.ok("predict", *self.bare("ground 0\nbox 1\n"), *picture, "--out", self.tmp / "ce",
                "--probs", "--loss", "ce", "--quiet")
        p = floats(self.tmp / "ce/net.probs.npy")[1]
        for i in range(1024):
            self.assertAlmostEqual(p[i], 1 / (1 + math.exp(x[1024 + i] - x[i])), places=5)
        self.fails(h.BAD_INPUT, ["--loss", "bce"], "predict", self.ck, *picture, "--out", self.tmp,
                   "--loss", "ce")

    def bare(self, classes):
        """The weights alone, and the options that describe them."""
        weights, names = self.tmp / "bare.safetensors", self.tmp / "classes.txt"
        write_safetensors(weights, {n: t for n, t in h.read_safetensors(self.ck)[1].items()
                                    if not n.startswith("optim.")})
        names.write_text(classes)
        return [weights, "--arch", "fcns", "--backbone", "vgg11", "--size", "32x32", "--classes",
                names]

    def test_map_names_are_safe_and_differ(self):
        out = self.tmp / "out"
        self.ok("predict", *self.bare("../Box 0\n.._bOX 1\n"), self.pictures / "dot.png", "--out",
                out, "--prob-maps", "--quiet")
        self.assertEqual(names_in(out), ["dot.png", "dot.probs.___Box.png",
                                         "dot.probs.___bOX-1.png"])

    def test_probability_maps(self):
        out, _ = self.predict("--prob-maps", "--probs", "--quiet",
                              pictures=[self.pictures / "odd.png"])
        p = floats(out / "odd.probs.npy")[1]
        for c, name in enumerate(("ground", "box_1")):
            width, height, color, rows = h.read_png(out / f"odd.probs.{name}.png")
            self.assertEqual((width, height, color), (31, 33, 0))
            values = [v for row in rows for v in row]
            for i, v in enumerate(values):
                self.assertAlmostEqual(v / 255, p[c * 31 * 33 + i], delta=0.51 / 255)

    def test_overlay_and_legend(self):
        picture = [self.pictures / "large.png"]
        out, _ = self.predict("--overlay", "--alpha", 1, "--quiet", pictures=picture)
        rows = h.read_png(out / "large.overlay.png")[3]
        colors = {tuple(row[3 * x:3 * x + 3]) for row in rows for x in range(100)}
        self.assertLessEqual(colors, {(0x10, 0x20, 0x30), (0xf0, 0xe0, 0xd0)})
        named, _ = self.predict("--overlay", "--alpha", 1, "--legend", "--quiet", out="legend",
                                pictures=picture)
        width, height, _, below = h.read_png(named / "large.overlay.png")
        self.assertEqual(width, 100)
        self.assertGreater(height, 70)
        self.assertEqual(below[:70], rows)
        in_legend = {tuple(row[3 * x:3 * x + 3]) for row in below[70:] for x in range(100)}
        self.assertLessEqual(colors, in_legend)
        self.assertIn((32, 32, 32), in_legend)  # the names
        tiny, _ = self.predict("--overlay", "--legend", "--quiet", out="tiny",
                               pictures=[self.pictures / "dot.png"])
        self.assertGreater(h.read_png(tiny / "dot.overlay.png")[0], 40)  # room for a name

    def test_folders_keep_their_places(self):
        top = self.tmp / "top"
        for name in ("a/x", "b/x", "b/deep/y", "z"):
            (top / name).parent.mkdir(parents=True, exist_ok=True)
            h.write_image(top / f"{name}.png")
        (top / "b/loop").symlink_to(top)
        out = top / "out"
        self.ok("predict", self.ck, top, "--out", out, "--quiet")
        self.assertEqual(names_in(out), ["z.png"])
        for _ in range(2):  # what the first run wrote is no picture of the second
            r = self.ok("predict", self.ck, top, "--out", out, "--recursive", "--json")
            self.assertEqual(names_in(out), ["a/x.png", "b/deep/y.png", "b/x.png", "z.png"])
            self.assertEqual(len(r.events), 4)
        self.fails(h.BAD_INPUT, ["a/x.png", "b/x.png", "--recursive"], "predict", self.ck,
                   top / "a", top / "b", "--out", self.tmp / "other")
        self.assertFalse((self.tmp / "other").exists())
        (self.tmp / "outer/inner").mkdir(parents=True)
        h.write_image(self.tmp / "outer/inner/p.png")
        self.fails(h.BAD_INPUT, ["no picture", "--recursive"], "predict", self.ck,
                   self.tmp / "outer", "--out", self.tmp / "other")

    def test_results_that_would_meet(self):
        pair = self.tmp / "pair"
        pair.mkdir()
        h.write_image(pair / "x.png")
        h.write_image(pair / "x.overlay.png")
        self.ok("predict", self.ck, pair, "--out", self.tmp / "out", "--quiet")
        self.fails(h.BAD_INPUT, ["x.overlay.png"], "predict", self.ck, pair, "--out",
                   self.tmp / "other", "--overlay")
        self.fails(h.BAD_INPUT, ["replaced"], "predict", self.ck, pair, "--out", pair)

    def test_broken_pictures_among_good_ones(self):
        many = self.tmp / "many"
        many.mkdir()
        for i in range(30):
            h.write_image(many / f"p{i}.png", i, 40, 30)
        for i in (0, 7, 8, 29):
            (many / f"p{i}.png").write_bytes((many / f"p{i}.png").read_bytes()[:-30])
        (many / "p9.jpg").write_bytes((many / "p9.png").read_bytes())  # a PNG all the same
        (many / "p9.png").unlink()
        for mode in ("resize", "tiles"):
            out = self.tmp / mode
            r = h.run("predict", self.ck, many, "--out", out, "--json", "--mode", mode)
            self.assertEqual(r.code, h.BAD_INPUT, str(r))
            lines = [line for line in r.err.splitlines() if line]
            self.assertEqual(len(lines), 4, str(r))
            for line, i in zip(lines, (0, 7, 8, 29)):
                self.assertIn(f"p{i}.png", line)
            good = [i for i in range(30) if i not in (0, 7, 8, 29)]
            self.assertEqual([Path(e["mask"]).name for e in r.events],
                             [f"p{i}.png" for i in good])
            self.assertEqual(names_in(out), sorted(f"p{i}.png" for i in good))
            for e in r.events:
                self.assertEqual((e["width"], e["height"]), (40, 30))
                self.assertAlmostEqual(sum(e["classes"].values()), 1, places=6)
                share = mask_of(e["mask"]).count(1) / 1200
                self.assertAlmostEqual(e["classes"]["box/1"], share, places=6)

    def test_alpha_gray_and_16_bit_are_read_as_rgb(self):
        levels = [[(7 * x + 11 * y) % 256 for x in range(20)] for y in range(20)]
        kinds = {
            "rgb": ([bytes(v for v in row for _ in range(3)) for row in levels], 2, 8),
            "gray": ([bytes(row) for row in levels], 0, 8),
            "alpha": ([bytes(w for v in row for w in (v, v, v, v ^ 99)) for row in levels], 6, 8),
            "deep": ([bytes(v for v in row for _ in range(6)) for row in levels], 2, 16),
        }
        folder = self.tmp / "kinds"
        folder.mkdir()
        for name, (rows, color, depth) in kinds.items():
            (folder / f"{name}.png").write_bytes(
                h.png_bytes(20, 20, rows, color_type=color, depth=depth))
        out, _ = self.predict("--logits", "--quiet", pictures=[folder])
        want = floats(out / "rgb.npy")[1]
        for name in kinds:
            got = floats(out / f"{name}.npy")[1]
            self.assertLess(max(abs(a - b) for a, b in zip(got, want)), 1e-4, name)

    def test_results_that_cannot_be_written(self):
        blocked = self.tmp / "file"
        blocked.write_text("")
        self.fails(h.FAILED, ["file"], "predict", self.ck, self.pictures, "--out", blocked)
        (self.tmp / "out/net.probs.npy").mkdir(parents=True)
        self.fails(h.FAILED, ["net.probs.npy"], "predict", self.ck, self.pictures, "--out",
                   self.tmp / "out", "--probs")

    def test_interrupted(self):
        many = self.tmp / "many"
        many.mkdir()
        for i in range(60):
            h.write_image(many / f"p{i}.png", i, 200, 150)
        out = self.tmp / "out"
        p = h.start("predict", self.ck, many, "--out", out, "--mode", "tiles", "--probs")
        self.assertTrue(h.wait_for(lambda: (out / "p1.png").exists(), p))
        self.assertEqual(h.kill(p, signal.SIGINT), h.INTERRUPTED)
        left = names_in(out)
        self.assertLess(len(left), 120)
        for name in left:
            self.assertRegex(name, r"^p\d+(\.png|\.probs\.npy)$")
            if name.endswith(".png"):
                self.assertEqual(h.read_png(out / name)[:2], (200, 150))

    def test_options_that_do_not_fit(self):
        for words, args in ((["--overlap", "tiles"], ["--overlap", 4]),
                            (["--scale", "tiles"], ["--scale", 1]),
                            (["--overlap", "32"], ["--mode", "tiles", "--overlap", 32]),
                            (["--overlap"], ["--mode", "tiles", "--overlap", -1]),
                            (["--scale"], ["--mode", "tiles", "--scale", 0]),
                            (["--scale"], ["--mode", "tiles", "--scale", 1000]),
                            (["--logits"], ["--mode", "tiles", "--logits"]),
                            (["--legend", "--overlay"], ["--legend"]),
                            (["--alpha", "--overlay"], ["--alpha", 0.3]),
                            (["--alpha"], ["--overlay", "--alpha", 2]),
                            (["--mode", "tiles"], ["--mode", "tile"])):
            with self.subTest(args=args):
                self.fails(h.USAGE, words, "predict", self.ck, self.pictures, "--out", self.tmp,
                           *args)


if __name__ == "__main__":
    tapunit.main()
