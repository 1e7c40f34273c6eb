"""Event files for TensorBoard: records, messages, steps, of train, --resume and report."""

import os
import struct
import time
import unittest
from pathlib import Path

import harness as h
import tapunit

HAVE = os.environ.get("CLFCN_TENSORBOARD", "1") == "1"
START = 1  # SessionLog.SessionStatus
SCALARS = {"train_loss", "val_loss", "pixel_acc", "mean_acc", "mean_iou", "fw_iou", "images_per_s"}


# --- the format, as TensorFlow describes it ------------------------------------------------------

def crc_table():
    table = []
    for i in range(256):
        for _ in range(8):
            i = i >> 1 ^ (0x82F63B78 if i & 1 else 0)
        table.append(i)
    return table


TABLE = crc_table()


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ TABLE[(crc ^ byte) & 255]
    return crc ^ 0xFFFFFFFF


def masked(data):
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def records(path):
    """The records of a TFRecord file; its checksums have to be right."""
    data, at, out = Path(path).read_bytes(), 0, []
    while at < len(data):
        head = data[at:at + 8]
        n, crc = struct.unpack("<QI", data[at:at + 12])
        assert crc == masked(head), f"{path}: length at {at}"
        body = data[at + 12:at + 12 + n]
        assert len(body) == n, f"{path}: cut off at {at}"
        assert struct.unpack("<I", data[at + 12 + n:at + 16 + n])[0] == masked(body), path
        out.append(body)
        at += 16 + n
    return out


def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, at


def message(data):
    """{field number: [values]} of a protobuf message, values as they lie on the wire."""
    fields, at = {}, 0
    while at < len(data):
        key, at = varint(data, at)
        number, kind = key >> 3, key & 7
        if kind == 0:
            value, at = varint(data, at)
        else:
            n, at = {1: (8, at), 5: (4, at)}.get(kind) or varint(data, at)
            value, at = data[at:at + n], at + n
            assert len(value) == n
        fields.setdefault(number, []).append(value)
    return fields


class Events:
    """What an event file says, by the field numbers of event.proto and summary.proto."""

    def __init__(self, path):
        self.version, self.times, self.starts = None, [], []
        self.scalars, self.images = {}, {}  # tag: [(step, value)]
        for record in records(path):
            event = message(record)
            self.times.append(struct.unpack("<d", event[1][0])[0])
            step = event.get(2, [0])[0]
            if 3 in event:
                self.version = event[3][0].decode()
            if 7 in event:
                assert message(event[7][0])[1] == [START]
                self.starts.append(step)
            for value in message(event[5][0])[1] if 5 in event else []:
                self.take(step, message(value))

    def take(self, step, value):
        tag = value[1][0].decode()
        if 2 in value:
            number = struct.unpack("<f", value[2][0])[0]
            self.scalars.setdefault(tag, []).append((step, number))
        else:
            self.images.setdefault(tag, []).append((step, message(value[4][0])))


def event_files(folder):
    return sorted(Path(folder).glob("*tfevents*"))


@unittest.skipUnless(HAVE, "built without protobuf-c")
class TensorBoard(h.Case):
    EPOCHS, STEPS = 2, 2  # of four pictures in batches of two

    def setUp(self):
        super().setUp()
        self.data = h.make_dataset(self.tmp / "d", count=6)
        self.run_folder, self.events = self.tmp / "run", self.tmp / "new" / "events"

    def train(self, *more):
        return self.ok(*h.train_args(self.data, self.run_folder, "--val-fraction", "0.34",
                                     "--epochs", self.EPOCHS, *more), "--quiet")

    def check(self, events, first=1):
        """Events hold what the log has from a step on; steps and values agree."""
        log = h.log_events(self.run_folder)
        steps = [e for e in log if e["event"] == "step" and e["step"] >= first]
        epochs = [e for e in log if e["event"] == "epoch" and e["step"] >= first]
        self.assertEqual(events.version, "brain.Event:2")
        for key in ("loss", "lr"):
            self.assert_close(events.scalars[key], [(e["step"], e[key]) for e in steps])
        for key in SCALARS:
            self.assert_close(events.scalars[key], [(e["step"], e[key]) for e in epochs])
        for c, name in enumerate(["ground", "box"]):
            self.assert_close(events.scalars[f"iou/{name}"],
                              [(e["step"], e["iou"][c]) for e in epochs])
        self.assertEqual(set(events.scalars),
                         SCALARS | {"loss", "lr", "iou/ground", "iou/box"})
        self.check_pictures(events, epochs)

    def check_pictures(self, events, epochs):
        for e in epochs:
            files = list((self.run_folder / "samples").glob(f"epoch-{e['epoch'] + 1:04d}-*.png"))
            self.assertGreater(len(files), 0)
            for file in files:
                name = file.stem.split("-", 2)[2]
                image = dict(events.images[f"samples/{name}"])[e["step"]]
                width, height, _, _ = h.read_png(file)
                self.assertEqual((image[2], image[1], image[3]), ([width], [height], [3]))
                self.assertEqual(image[4], [file.read_bytes()])

    def assert_close(self, got, want):
        self.assertEqual([s for s, _ in got], [s for s, _ in want])
        for (_, a), (_, b) in zip(got, want):
            self.assertAlmostEqual(a, b, delta=1e-6 * max(1, abs(b)))

    def test_checksum(self):
        self.assertEqual(crc32c(b"123456789"), 0xE3069283)

    def test_train(self):
        before = time.time()
        self.train("--tensorboard", self.events)
        file, = event_files(self.events)
        self.assertRegex(file.name, r"^events\.out\.tfevents\.\d{10}\.")
        events = Events(file)
        self.check(events)
        self.assertEqual(events.starts, [1])
        self.assertEqual(events.times, sorted(events.times))
        self.assertTrue(before - 1 <= events.times[0] <= events.times[-1] <= time.time() + 1)

    def test_training_is_the_same_with_and_without(self):
        self.train("--tensorboard", self.events)
        losses = [e["loss"] for e in h.log_events(self.run_folder) if e["event"] == "step"]
        self.run_folder = self.tmp / "other"
        self.train()
        self.assertEqual(
            losses, [e["loss"] for e in h.log_events(self.run_folder) if e["event"] == "step"])

    def test_resume_goes_on_in_a_new_file(self):
        self.train("--tensorboard", self.events, "--max-steps", 3)
        self.ok("train", "--resume", self.run_folder, "--max-steps", -1, "--tensorboard",
                self.events, "--quiet")
        files = [Events(f) for f in event_files(self.events)]
        self.assertEqual(sorted(e.starts[0] for e in files), [1, 4])
        later = next(e for e in files if e.starts == [4])
        self.assertEqual([s for s, _ in later.scalars["loss"]], [4])
        self.check(later, first=4)

    def test_visible_while_it_runs(self):
        """After the first epoch its scalars can be read."""
        process = h.start(*h.train_args(self.data, self.run_folder, "--epochs", 500,
                                        "--tensorboard", self.events))
        try:
            def seen():
                files = event_files(self.events)
                try:
                    return files and "train_loss" in Events(files[0]).scalars
                except (AssertionError, struct.error):  # in the middle of a write
                    return False
            self.assertTrue(h.wait_for(seen, process))
        finally:
            h.kill(process)

    def test_report(self):
        self.train()
        self.ok("report", self.run_folder, "--tensorboard", self.events)
        file, = event_files(self.events)
        events = Events(file)
        self.check(events)
        self.assertEqual(events.times, sorted(events.times))
        self.assertLess(abs(events.times[-1] - time.time()), 120)
        first = file.read_bytes()
        self.ok("report", self.run_folder, "--tensorboard", self.events)
        self.assertEqual([f.read_bytes() for f in event_files(self.events)], [first])

    def test_report_of_a_damaged_log(self):
        self.train()
        log = self.run_folder / "log.jsonl"
        log.write_text('[1]\n{"event":5}\n{"event":"epoch"}\n{"event":"step","step":"x","ms":[]}\n'
                       + '{"event":"epoch","iou":[null,"x",0.5],"val_loss":null}\n'
                       + log.read_text() + '{"event":"st')
        (self.run_folder / "samples" / "epoch-0001-short.png").write_text("no picture")
        self.ok("report", self.run_folder, "--tensorboard", self.events)
        events = Events(event_files(self.events)[0])
        self.assertIn(1, [step for step, _ in events.scalars["loss"]])
        self.assertNotIn("samples/short", events.images)

    def test_what_cannot_be_written_is_one_line_before_anything_starts(self):
        (self.tmp / "file").write_text("")
        line = h.train_args(self.data, self.run_folder, "--tensorboard", self.tmp / "file" / "x")
        self.fails((h.FAILED, h.BAD_INPUT), [str(self.tmp / "file")], *line)
        self.assertFalse(self.run_folder.exists())
        if os.getuid() != 0:
            closed = self.tmp / "closed"
            closed.mkdir(mode=0o500)
            line[-1] = str(closed)
            self.fails(h.FAILED, [str(closed), "permission"], *line)

    def test_a_refused_training_leaves_no_file(self):
        line = h.train_args(self.data, self.run_folder, "--max-steps", 1)
        self.ok(*line)
        self.fails(h.USAGE, [str(self.run_folder)], *line, "--tensorboard", self.events)
        self.assertEqual(event_files(self.events), [])


@unittest.skipIf(HAVE, "built with protobuf-c")
class Without(h.Case):
    def test_says_what_to_install(self):
        data = h.make_dataset(self.tmp / "d", count=2)
        self.fails(h.USAGE, ["protobuf-c"],
                   *h.train_args(data, self.tmp / "run", "--tensorboard", self.tmp / "t"))


if __name__ == "__main__":
    tapunit.main()
