"""train, eval and predict on tiny nets: files, events, options, bits."""

import json
import math
import struct
import unittest
from pathlib import Path

import harness as h
import tapunit

STEP_FIELDS = {"event", "epoch", "step", "loss", "lr", "ms"}
EPOCH_FIELDS = {"event", "epoch", "train_loss", "val_loss", "pixel_acc", "mean_acc", "mean_iou",
                "fw_iou", "iou", "seconds"}
EVAL_FIELDS = {"pixel_acc", "mean_acc", "mean_iou", "fw_iou", "iou", "confusion", "images"}


def tensors(path):
    return h.read_safetensors(path)[1]


def write_safetensors(path, entries):
    """entries: {name: (dtype, shape, bytes)}"""
    header, at = {}, 0
    for name, (dtype, shape, data) in entries.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + len(data)]}
        at += len(data)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        for _, _, data in entries.values():
            f.write(data)


class Run(h.Case):
    """What a run leaves behind and says."""

    def test_run_folder_and_events(self):
        data = h.make_dataset(self.tmp / "d", count=7)
        run = self.tmp / "run"
        r = self.ok(*h.train_args(data, run, "--epochs", 3, "--save-every", 2,
                                  "--val-fraction", 0.3), "--json")
        for name in ["config.json", "log.jsonl", "checkpoints/last.safetensors",
                     "checkpoints/best.safetensors", "checkpoints/epoch-0002.safetensors"]:
            self.assertTrue((run / name).is_file(), name)
        self.assertFalse((run / "checkpoints/epoch-0001.safetensors").exists())
        self.assertGreaterEqual(len(list((run / "samples").iterdir())), 3)
        self.assertEqual([p for p in run.rglob("*") if "tmp" in p.name], [])

        config = json.loads((run / "config.json").read_text())
        self.assertEqual(config["arch"], "fcns")

        start = r.of("start")
        self.assertEqual(len(start), 1)
        self.assertLessEqual({"device", "driver"}, set(start[0]))
        # 7 images, 2 for validation: 5 train, 2 batches of 2, the rest is dropped.
        steps = r.of("step")
        self.assertEqual([s["step"] for s in steps], [1, 2, 3, 4, 5, 6])
        self.assertEqual([s["epoch"] for s in steps], [0, 0, 1, 1, 2, 2])
        for s in steps:
            self.assertLessEqual(STEP_FIELDS, set(s))
            self.assertTrue(math.isfinite(s["loss"]))
            self.assertEqual(s["lr"], 0.01)
        epochs = r.of("epoch")
        self.assertEqual([e["epoch"] for e in epochs], [0, 1, 2])
        for e in epochs:
            self.assertLessEqual(EPOCH_FIELDS, set(e))
            self.assertEqual(len(e["iou"]), 2)
            for key in ("pixel_acc", "mean_acc", "mean_iou", "fw_iou"):
                self.assertTrue(0 <= e[key] <= 1, e)
        losses = [s["loss"] for s in steps]
        self.assertAlmostEqual(epochs[0]["train_loss"], sum(losses[:2]) / 2, places=5)
        paths = {Path(e["path"]).name for e in r.of("checkpoint")}
        self.assertLessEqual({"last.safetensors", "epoch-0002.safetensors"}, paths)
        self.assertEqual(h.log_events(run), r.events)

    def test_quiet_says_nothing(self):
        data = h.make_dataset(self.tmp / "d", count=2)
        r = self.ok(*h.train_args(data, self.tmp / "run"), "--quiet")
        self.assertEqual((r.out, r.err), ("", ""))

    def test_plain_lines_when_not_a_terminal(self):
        data = h.make_dataset(self.tmp / "d", count=4)
        r = self.ok(*h.train_args(data, self.tmp / "run", "--val", data))
        self.assertNotIn("\r", r.out + r.err)
        self.assertNotIn("\x1b", r.out + r.err)
        self.assertIn("box", r.out + r.err)  # the per-class table

    def test_learns(self):
        data = h.make_dataset(self.tmp / "d", count=8)
        r = self.ok(*h.train_args(data, self.tmp / "run", "--epochs", 8, "--optimizer", "adam",
                                  "--lr", "0.001", "--save-every", 0), "--json")
        losses = [e["train_loss"] for e in r.of("epoch")]
        self.assertLess(losses[-1], 0.6 * losses[0], losses)

    def test_existing_run_is_not_overwritten(self):
        data = h.make_dataset(self.tmp / "d", count=2)
        run = self.tmp / "run"
        self.ok(*h.train_args(data, run, "--max-steps", 0), "--quiet")
        r = h.run(*h.train_args(data, run), "--quiet")
        self.assert_one_error(r, (h.USAGE, h.BAD_INPUT), str(run), "--resume")

    def test_rgb_masks_and_ignore(self):
        data = h.make_dataset(self.tmp / "d", count=2, classes="red 255,0,0\nblue 0,0,255\n"
                                                               "ignore 0,255,0\n")
        rows = [bytes((255, 0, 0) * 10 + (0, 0, 255) * 12 + (0, 255, 0) * 10)] * 32
        for p in (data / "masks").iterdir():
            p.write_bytes(h.png_bytes(32, 32, rows, color_type=2))
        self.ok(*h.train_args(data, self.tmp / "run"), "--quiet")
        r = self.ok("eval", self.tmp / "run/checkpoints/last.safetensors", "--data", data, "--json")
        self.assertEqual(sum(map(sum, r.events[0]["confusion"])), 2 * 32 * 22)

    def test_demo_set(self):
        r = self.ok(*h.train_args("demo", self.tmp / "run", "--max-steps", 2,
                                  "--val-fraction", "0.02"), "--json")
        self.assertEqual(len(r.of("step")), 2)

    @unittest.skipUnless(h.HAVE_JPEG, "built without JPEG")
    def test_jpeg_images(self):
        data = h.make_dataset(self.tmp / "d", count=2, width=64)
        for p in list((data / "images").iterdir()):
            p.with_suffix(".jpg").write_bytes(h.TINY_JPEG)
            p.unlink()
        self.ok(*h.train_args(data, self.tmp / "run"), "--quiet")


class Options(h.Case):
    def setUp(self):
        super().setUp()
        self.data = h.make_dataset(self.tmp / "d", count=4)

    def train(self, name, *more):
        self.ok(*h.train_args(self.data, self.tmp / name, *more), "--quiet")
        return tensors(self.tmp / name / "checkpoints/last.safetensors")

    def test_same_seed_same_bits(self):
        more = ["--epochs", 2, "--augment", "flip", "--val-fraction", "0.25"]
        a = self.train("a", *more)
        b = self.train("b", *more)
        c = self.train("c", *more, "--seed", 1)
        self.assertEqual(a, b)
        self.assertNotEqual(a, c)

    def test_momentum_is_in_the_checkpoint(self):
        names = set(self.train("a"))
        self.assertTrue(any(n.startswith("optim.") for n in names))
        self.assertIn("pretrained_net.features.0.weight", names)
        self.assertIn("bn5.num_batches_tracked", names)
        self.assertIn("classifier.bias", names)

    def test_freeze_backbone(self):
        before = self.train("a", "--max-steps", 0)
        after = self.train("b", "--freeze-backbone")
        for name, value in before.items():
            if name.startswith("pretrained_net."):
                self.assertEqual(value, after[name], name)
        self.assertNotEqual(before["deconv1.weight"], after["deconv1.weight"])

    def test_init_from_a_checkpoint(self):
        first = self.train("a")
        again = self.train("b", "--init", self.tmp / "a/checkpoints/last.safetensors",
                           "--max-steps", 0)
        for name, value in first.items():
            if not name.startswith("optim."):
                self.assertEqual(value, again[name], name)

    def test_init_from_a_bare_vgg(self):
        first = self.train("a", "--max-steps", 0, "--seed", 7)
        vgg = {n.removeprefix("pretrained_net."): t for n, t in first.items()
               if n.startswith("pretrained_net.")}
        write_safetensors(self.tmp / "vgg.safetensors", vgg)
        fresh = self.train("b", "--max-steps", 0)
        again = self.train("c", "--max-steps", 0, "--init", self.tmp / "vgg.safetensors")
        for name in first:
            if name.startswith("pretrained_net."):
                self.assertEqual(first[name], again[name], name)
            elif not name.startswith("optim."):
                self.assertEqual(fresh[name], again[name], name)

    def test_every_loss_and_optimizer(self):
        for loss, optimizer in [("bce", "adam"), ("ce", "sgd"), ("ce", "adamw")]:
            with self.subTest(loss=loss, optimizer=optimizer):
                r = self.ok(*h.train_args(self.data, self.tmp / (loss + optimizer), "--epochs", 2,
                                          "--loss", loss, "--optimizer", optimizer,
                                          "--lr", "0.001", "--weight-decay", "0.0001"), "--json")
                self.assertEqual(len(r.of("step")), 4)

    def test_every_arch(self):
        for arch in ("fcn32s", "fcn16s", "fcn8s"):
            with self.subTest(arch=arch):
                self.train(arch, "--arch", arch, "--max-steps", 1)

    def test_non_square_sizes(self):
        for size in ("64x32", "32x96"):
            with self.subTest(size=size):
                self.train(size, "--size", size, "--max-steps", 1)

    def test_lr_policies(self):
        def rates(*more):
            out = self.tmp / "-".join(map(str, more))
            r = self.ok(*h.train_args(self.data, out, "--epochs", 3, "--lr", "0.02", *more,
                                      "--arch", "fcn32s"), "--json")
            return [s["lr"] for s in r.of("step")]
        cosine = rates("--lr-policy", "cosine")
        for k, lr in enumerate(cosine):
            self.assertAlmostEqual(lr, 0.02 * (1 + math.cos(math.pi * k / 6)) / 2, places=7)
        poly = rates("--lr-policy", "poly")
        self.assertEqual(poly, sorted(poly, reverse=True))
        self.assertAlmostEqual(poly[0], 0.02, places=7)

    def test_validation_folder(self):
        val = h.make_dataset(self.tmp / "v", count=3)
        r = self.ok(*h.train_args(self.data, self.tmp / "r", "--val", val), "--json")
        self.assertEqual(len(r.of("step")), 2)
        self.assertIsNotNone(r.of("epoch")[0]["mean_iou"])

    def test_separate_folders(self):
        r = self.ok(*h.train_args(None, self.tmp / "r", "--images",
                                  self.data / "images", "--masks", self.data / "masks",
                                  "--classes", self.data / "classes.txt"), "--json")
        self.assertEqual(len(r.of("step")), 2)


class EvalPredict(h.Case):
    @classmethod
    def setUpClass(cls):
        cls.keep = h.Case()
        cls.keep.setUp()
        cls.data = h.make_dataset(cls.keep.tmp / "d", count=5, width=50, height=37)
        cls.dir = cls.keep.tmp / "run"
        cls.result = h.run(*h.train_args(cls.data, cls.dir, "--epochs", 2), "--val",
                           str(cls.data), "--json")
        cls.last = cls.dir / "checkpoints/last.safetensors"

    @classmethod
    def tearDownClass(cls):
        cls.keep.doCleanups()

    def setUp(self):
        super().setUp()
        self.assertEqual(self.result.code, h.OK, str(self.result))

    def test_eval_equals_the_epochs_metrics(self):
        r = self.ok("eval", self.last, "--data", self.data, "--json")
        found = r.events[0]
        self.assertLessEqual(EVAL_FIELDS, set(found))
        self.assertEqual(found["images"], 5)
        self.assertEqual(list(found["iou"]), ["ground", "box"])
        self.assertEqual(sum(map(sum, found["confusion"])), 5 * 50 * 37)
        epoch = self.result.of("epoch")[-1]
        for key in ("pixel_acc", "mean_acc", "mean_iou", "fw_iou"):
            self.assertAlmostEqual(found[key], epoch[key], places=9)

    def test_metrics_follow_from_the_confusion_matrix(self):
        found = self.ok("eval", self.last, "--data", self.data, "--json").events[0]
        m = found["confusion"]
        total = sum(map(sum, m))
        iou = [m[c][c] / (sum(m[c]) + sum(row[c] for row in m) - m[c][c]) for c in range(2)]
        self.assertAlmostEqual(found["pixel_acc"], (m[0][0] + m[1][1]) / total, places=9)
        self.assertAlmostEqual(found["mean_iou"], sum(iou) / 2, places=9)
        self.assertAlmostEqual(found["iou"]["box"], iou[1], places=9)
        self.assertAlmostEqual(found["fw_iou"],
                               sum(sum(m[c]) / total * iou[c] for c in range(2)), places=9)

    def test_eval_does_not_depend_on_the_batch(self):
        a = self.ok("eval", self.last, "--data", self.data, "--json", "--batch", 1).events[0]
        b = self.ok("eval", self.last, "--data", self.data, "--json", "--batch", 4).events[0]
        self.assertEqual(a["images"], b["images"])
        self.assertAlmostEqual(a["mean_iou"], b["mean_iou"], places=3)

    def test_eval_text_has_a_class_table(self):
        out = self.ok("eval", self.last, "--data", self.data).out
        for word in ("ground", "box"):
            self.assertIn(word, out)
        empty = h.make_dataset(self.tmp / "empty", count=1, classes="ground 0-255\nbox 256\n")
        row = self.ok("eval", self.last, "--data", empty).out.splitlines()[-1].split()
        self.assertEqual((row[0], row[2], row[3]), ("box", "-", "0.00"))

    def test_bare_weights_with_options(self):
        bare = self.tmp / "weights.safetensors"
        write_safetensors(bare, {n: t for n, t in tensors(self.last).items()
                                 if not n.startswith("optim.")})
        want = self.ok("eval", self.last, "--data", self.data, "--json").events[0]
        found = self.ok("eval", bare, "--data", self.data, "--json", "--arch", "fcns", "--backbone",
                        "vgg11", "--size", "32x32", "--classes",
                        self.data / "classes.txt").events[0]
        self.assertEqual(found["confusion"], want["confusion"])
        r = h.run("eval", bare, "--data", self.data, "--quiet")
        self.assert_one_error(r, (h.USAGE, h.BAD_INPUT), "--arch")

    def test_predict_writes_mask_overlay_and_logits(self):
        out = self.tmp / "out"
        self.ok("predict", self.last, self.data / "images", "--out", out, "--overlay", "--logits",
                "--quiet")
        for i in range(5):
            width, height, color, rows = h.read_png(out / f"p{i}.png")
            self.assertEqual((width, height, color), (50, 37, 3))
            self.assertLessEqual({v for row in rows for v in row}, {0, 1})
            width, height, color, _ = h.read_png(out / f"p{i}.overlay.png")
            self.assertEqual((width, height, color), (50, 37, 2))
            dtype, shape, raw = h.read_npy(out / f"p{i}.npy")
            self.assertEqual((dtype, tuple(shape), len(raw)), ("<f4", (2, 32, 32), 2 * 32 * 32 * 4))
            self.assertTrue(all(math.isfinite(v) for v in struct.unpack("<2048f", raw)))

    def test_predicted_masks_give_evals_confusion(self):
        out = self.tmp / "out"
        self.ok("predict", self.last, self.data / "images", "--out", out, "--quiet")
        m = [[0, 0], [0, 0]]
        for i in range(5):
            truth = h.picture(i, 50, 37)[1]
            predicted = h.read_png(out / f"p{i}.png")[3]
            for t_row, p_row in zip(truth, predicted):
                for t, p in zip(t_row, p_row):
                    m[t >= 128][p] += 1
        found = self.ok("eval", self.last, "--data", self.data, "--json").events[0]
        self.assertEqual(found["confusion"], m)

    def test_predict_single_files(self):
        out = self.tmp / "out"
        self.ok("predict", self.last, self.data / "images/p0.png", self.data / "images/p3.png",
                "--out", out, "--quiet")
        self.assertEqual(sorted(p.name for p in out.iterdir()), ["p0.png", "p3.png"])

    def test_report(self):
        self.ok("report", self.dir, "--quiet")
        page = (self.dir / "report.html").read_text()
        self.assertIn("<svg", page)
        self.assertNotIn("http://", page.replace("http://www.w3.org", ""))
        self.assertNotIn("<script src", page)


if __name__ == "__main__":
    tapunit.main()
