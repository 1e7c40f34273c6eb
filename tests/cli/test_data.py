"""Data sets as they come: examined by `clfcn data`, and trained on, in every format."""

import harness as h
import tapunit

SIDE = 32


def png_indices(path, values, palette):
    """An indexed PNG of one value a row."""
    rows = [bytes([values[y * len(values) // SIDE]]) * SIDE for y in range(SIDE)]
    path.write_bytes(h.png_bytes(SIDE, SIDE, rows, color_type=3, palette=palette))


def png_gray(path, values):
    rows = [bytes([values[y * len(values) // SIDE]]) * SIDE for y in range(SIDE)]
    path.write_bytes(h.png_bytes(SIDE, SIDE, rows))


def png_colors(path, colors):
    rows = [bytes(colors[y * len(colors) // SIDE]) * SIDE for y in range(SIDE)]
    path.write_bytes(h.png_bytes(SIDE, SIDE, rows, color_type=2))


def make_voc(folder):
    for part in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (folder / part).mkdir(parents=True)
    palette = [c for i in range(256) for c in (i, i // 2, 255 - i)]
    for i in range(5):
        h.write_image(folder / f"JPEGImages/2007_{i}.png", i)
        png_indices(folder / f"SegmentationClass/2007_{i}.png", [0, 1, 15, 255], palette)
    h.write_image(folder / "JPEGImages/unlabelled.png", 9)
    lists = folder / "ImageSets/Segmentation"
    (lists / "train.txt").write_bytes(b"2007_0\r\n2007_1\r\n2007_2\r\n")
    (lists / "val.txt").write_bytes(b"2007_3\r\n2007_4\r\n")
    return folder


def make_camvid(folder):
    for part, count in (("train", 3), ("val", 2)):
        (folder / part).mkdir(parents=True)
        (folder / f"{part}_labels").mkdir()
        for i in range(count):
            h.write_image(folder / part / f"{part} {i}.png", i + 3 * (part == "val"))
            png_colors(folder / f"{part}_labels" / f"{part} {i}_L.png",
                       [(64, 128, 64), (128, 128, 128), (0, 0, 0)])
    (folder / "class_dict.csv").write_text(
        "name,r,g,b\nAnimal,64,128,64\nSign Symbol,128,128,128\nVoid,0,0,0\n")
    return folder


def make_cityscapes(folder):
    for part, count in (("train", 3), ("val", 2)):
        image_dir = folder / "leftImg8bit" / part / "bonn"
        mask_dir = folder / "gtFine" / part / "bonn"
        image_dir.mkdir(parents=True)
        mask_dir.mkdir(parents=True)
        for i in range(count):
            h.write_image(image_dir / f"bonn_{i}_leftImg8bit.png", i + 3 * (part == "val"))
            png_gray(mask_dir / f"bonn_{i}_gtFine_labelIds.png", [7, 33, 0, 26])
            (mask_dir / f"bonn_{i}_gtFine_polygons.json").write_text("{}")
    return folder


def make_list(folder):
    h.make_dataset(folder, count=5)
    lines = [f"images/p{i}.png\tmasks/p{i}.png\t{'train' if i < 3 else 'val'}" for i in range(5)]
    (folder / "list.txt").write_text("\n".join(lines) + "\n")
    return folder / "list.txt"


FORMATS = {"voc": make_voc, "camvid": make_camvid, "cityscapes": make_cityscapes,
           "list": make_list}


class Formats(h.Case):
    def setUp(self):
        super().setUp()
        self.data = self.tmp / "d"

    def test_examined_and_trained(self):
        for name, make in FORMATS.items():
            with self.subTest(format=name):
                data = make(self.tmp / name)
                found = self.ok("data", data, "--json").events[0]
                self.assertEqual(found["format"], name)
                self.assertEqual(found["images"], 5)
                self.assertEqual(found["split"], {"train": 3, "val": 2})
                self.assertEqual(found["broken"], 0)
                self.assertEqual(found["unknown_values"], [])
                self.assertAlmostEqual(sum(found["classes"].values()) + found["ignored"], 1)
                self.assertIn(f"format  {name}: ", self.ok("data", data).out)

                args = h.train_args(data, self.tmp / f"run-{name}", "--batch", 1,
                                    "--max-steps", 2, "--loss", "ce")
                at = args.index("--val-fraction")
                start = self.ok(*args[:at], *args[at + 2:], "--json").of("start")[0]
                self.assertEqual(start["data_format"], name)
                self.assertEqual(start["split"], "own")
                self.assertEqual((start["train_images"], start["val_images"]), (3, 2))

    def test_shares(self):
        found = self.ok("data", make_voc(self.data), "--json").events[0]
        self.assertAlmostEqual(found["ignored"], 0.25)
        self.assertAlmostEqual(found["classes"]["person"], 0.25)
        self.assertEqual(found["classes"]["bus"], 0)

    def test_val_fraction_goes_before_the_own_split(self):
        args = h.train_args(make_voc(self.data), self.tmp / "run", "--val-fraction", "0.2",
                            "--max-steps", 0)
        start = self.ok(*args, "--json").of("start")[0]
        self.assertEqual(start["split"], "fraction")
        self.assertEqual((start["train_images"], start["val_images"]), (4, 1))

    def test_start_line_and_eval_follow_the_split(self):
        args = h.train_args(make_voc(self.data), self.tmp / "run", "--max-steps", 0)
        at = args.index("--val-fraction")
        r = self.ok(*args[:at], *args[at + 2:])
        self.assertIn("data: voc (JPEGImages/ and SegmentationClass/), 5 pictures, the set's own "
                      "train and val, 21 classes", r.err)
        last = self.tmp / "run/checkpoints/last.safetensors"
        for split, images in (("train", 3), ("val", 2), ("all", 5)):
            r = self.ok("eval", last, "--data", self.data, "--split", split, "--json")
            self.assertEqual(r.events[0]["images"], images)

    def test_resume_keeps_format_and_split(self):
        data = make_list(self.data)
        args = h.train_args(None, self.tmp / "run", "--list", data, "--max-steps", 1, "--batch", 1)
        at = args.index("--val-fraction")
        self.ok(*args[:at], *args[at + 2:])
        start = self.ok("train", "--resume", self.tmp / "run", "--max-steps", 2,
                        "--json").of("start")[0]
        self.assertEqual((start["data_format"], start["split"]), ("list", "own"))

    def test_forced_format(self):
        make_voc(self.data)
        self.fails(h.BAD_INPUT, ["no picture"], "data", self.data, "--format", "cityscapes")
        self.fails(h.USAGE, ["coco", "voc"], "data", self.data, "--format", "coco")
        self.fails(h.USAGE, ["--list", "--data"],
                   *h.train_args(self.data, self.tmp / "run", "--list", "x.txt"))
        self.fails(h.USAGE, ["--format", "--data"], "train", "--out", self.tmp / "run",
                   "--images", "a", "--masks", "b", "--classes", "c", "--format", "plain")
        self.fails(h.USAGE, ["--write", "--sheet"], "data", "demo", "--write", self.tmp / "w",
                   "--sheet", "s.png")
        r = self.ok("data", self.data, "--format", "voc", "--json")
        self.assertEqual(r.events[0]["why"], "as told")


class Findings(h.Case):
    def setUp(self):
        super().setUp()
        self.data = h.make_dataset(self.tmp / "d", count=5)

    def test_nothing_recognised(self):
        (self.tmp / "empty").mkdir()
        self.fails(h.BAD_INPUT, ["empty", "voc", "camvid", "cityscapes"], "data",
                   self.tmp / "empty")

    def test_values_of_no_class(self):
        (self.data / "classes.txt").write_text("ground 0\nother 1\n")
        r = h.run("data", self.data, "--json")
        self.assert_one_error(r, h.BAD_INPUT, "masks/p0.png", "4 more masks", "255", "classes.txt")
        found = r.events[0]
        self.assertEqual([v["value"] for v in found["unknown_values"]], ["255"])
        self.assertGreater(found["unknown"], 0.05)
        self.assertIn("value of no class", h.run("data", self.data).out)

    def test_broken_files(self):
        (self.data / "images/p1.png").write_text("no picture")
        h.write_mask(self.data / "masks/p2.png", 2, 32, 40)
        r = h.run("data", self.data, "--json")
        self.assertEqual(r.code, h.BAD_INPUT)
        self.assertEqual(len(r.err.splitlines()), 2, str(r))
        self.assertEqual(r.events[0]["broken"], 2)
        self.assertIn("32x40", r.events[0]["broken_files"][1]["reason"])

    def test_16_bit_colour_mask_is_refused(self):
        rows = [bytes((0, 0, 0, 1, 0, 2)) * 32] * 32
        (self.data / "masks/p3.png").write_bytes(h.png_bytes(32, 32, rows, 2, 16))
        self.assert_one_error(h.run("data", self.data), h.BAD_INPUT, "masks/p3.png", "16 bits")

    def test_duplicates_across_the_split(self):
        data = make_voc(self.tmp / "v")
        copy = (data / "JPEGImages/2007_1.png").read_bytes()
        (data / "JPEGImages/2007_4.png").write_bytes(copy)
        r = self.ok("data", data)
        self.assertIn("1 picture is there twice, 1 of them both for training and for validation",
                      r.out)
        twins = self.ok("data", data, "--json").events[0]["twins"]
        self.assertEqual(len(twins), 1)
        self.assertTrue(twins[0]["across"])
        self.assertIn("2007_4.png", twins[0]["b"])

    def test_sheet(self):
        sheet = self.tmp / "a sheet.png"
        self.ok("data", self.data, "--sheet", sheet)
        width, height, color, _ = h.read_png(sheet)
        self.assertEqual(color, 2)
        self.assertGreater(width, 600)
        self.assertGreater(height, 300)
        self.fails((h.FAILED, h.BAD_INPUT), ["nowhere/s.png"], "data", self.data, "--sheet",
                   self.tmp / "nowhere/s.png")

    def test_list_that_leads_outside(self):
        (self.data / "list.txt").write_text("../../../etc/passwd\tmasks/p0.png\n")
        self.fails(h.BAD_INPUT, ["list.txt:1", "leads out"], "data", self.data / "list.txt")


if __name__ == "__main__":
    tapunit.main()
