"""clfcn train in several ranks: the results of one, one writer, failures, other numbers of ranks."""

import json
import math
import os
import re
import resource
import shutil
import signal
import struct
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import rig  # noqa: E402
import mpirun  # noqa: E402
import tapunit  # noqa: E402
import harness as h  # noqa: E402

FAULT_LAYER = os.environ.get("CLFCN_FAULT_LAYER", "")
STEPS = 10
# vgg11, 8 images a batch: what two cores do in moments.
TRAIN = ["train", "--data", "demo", "--backbone", "vgg11", "--size", "64x64", "--batch", "6",
         "--seed", "3", "--augment", "flip"]


def setUpModule():
    rig.need_mpi()


def train(ranks, *args, **settings):
    return mpirun.run(ranks, [h.CLFCN, *TRAIN, *args], **settings)


def losses(folder):
    return [e["loss"] for e in h.log_events(folder) if e["event"] == "step"]


def tensors(folder):
    return h.read_safetensors(Path(folder) / "checkpoints" / "last.safetensors")[1]


def state(folder):
    metadata = h.read_safetensors(Path(folder) / "checkpoints" / "last.safetensors")[0]
    return json.loads(metadata["clfcn"])["state"]


class Ranks(rig.Case, h.Case):
    def out(self, name):
        return str(Path(self.tmp) / name)

    def alone(self, name, *args):
        done = h.run(*TRAIN, "--out", self.out(name), *args)
        self.assertEqual(done.code, 0, str(done))
        return self.out(name)

    def together(self, ranks, name, *args, **settings):
        done = train(ranks, "--out", self.out(name), *args, **settings)
        self.assertEqual(done.code, 0, str(done))
        self.assertEqual(done.left_over, [], str(done))
        return self.out(name)

    def small_set(self, count=24):
        folder = self.tmp / "data"
        if not folder.exists():
            self.ok("data", "demo", "--write", folder, "--count", count)
        return folder

    def evaluated(self, folder, checkpoint, data):
        """What one process finds on the part for validation."""
        r = self.ok("eval", Path(folder) / "checkpoints" / f"{checkpoint}.safetensors",
                    "--data", data, "--split", "val", "--json")
        return r.events[-1]

    def assert_same_losses(self, got, want):
        self.assertEqual(len(got), len(want))
        for i, (a, b) in enumerate(zip(got, want)):
            self.assertLessEqual(abs(a - b), (1e-5 if i == 0 else 1e-2) * abs(b),
                                 f"step {i + 1}: {got} {want}")

    def assert_same_bits(self, a, b):
        a, b = tensors(a), tensors(b)
        self.assertEqual(sorted(a), sorted(b))
        for name, tensor in a.items():
            self.assertTrue(tensor == b[name], name)


class Results(Ranks):
    def test_losses_are_those_of_one_process(self):
        limit = ["--max-steps", STEPS, "--val-fraction", "0"]
        want = losses(self.alone("one", *limit))
        self.assertEqual(len(want), STEPS)
        for ranks in (2, 4):
            got = losses(self.together(ranks, f"ranks{ranks}", "--sync-bn", "on", *limit))
            self.assert_same_losses(got, want)

    def test_one_rank_is_one_process(self):
        limit = ["--max-steps", "3", "--val-fraction", "0"]
        alone, job = self.alone("alone", *limit), self.together(1, "job", *limit)
        self.assertEqual(losses(alone), losses(job))
        self.assert_same_bits(alone, job)

    def test_the_same_bits_every_time(self):
        for name in ("first", "second"):
            self.together(2, name, "--max-steps", "6", "--balance", "equal")
        self.assert_same_bits(self.out("first"), self.out("second"))

    def test_evaluation_is_that_of_one_process(self):
        data = self.small_set()
        folder = self.together(3, "run", "--data", data, "--epochs", "1", "--val-fraction", "0.3",
                               "--sync-bn", "on", "--balance", "3:1:2")
        epoch = [e for e in h.log_events(folder) if e["event"] == "epoch"][0]
        alone = self.evaluated(folder, "last", data)
        self.assertEqual(alone["images"], 7)  # of 24
        # Counts of pixels, whoever counts them, by weights that are the same bits.
        for name in ("pixel_acc", "mean_acc", "mean_iou", "fw_iou"):
            self.assertAlmostEqual(epoch[name], alone[name], delta=1e-6)
        self.assertGreater(epoch["pixel_acc"], 0)

    def test_statistics_of_each_rank_alone(self):
        """Without synchronised batch norm each rank's running statistics differ: saved is their
        mean, and it is what the epoch's evaluation used."""
        data = self.small_set()
        folder = self.together(3, "run", "--data", data, "--epochs", "1", "--val-fraction", "0.3",
                               "--sync-bn", "off")
        epoch = [e for e in h.log_events(folder) if e["event"] == "epoch"][0]
        found = 0
        for name, (_, _, data_bytes) in tensors(folder).items():
            if "running_" in name:
                values = struct.unpack(f"<{len(data_bytes) // 4}f", data_bytes)
                self.assertTrue(all(map(math.isfinite, values)), name)
                self.assertTrue("mean" in name or min(values) > 0, name)
                found += 1
        self.assertGreater(found, 0)
        for which in ("last", "best"):
            alone = self.evaluated(folder, which, data)
            self.assertAlmostEqual(epoch["pixel_acc"], alone["pixel_acc"], delta=1e-6)
            self.assertAlmostEqual(epoch["mean_iou"], alone["mean_iou"], delta=1e-6)

    def test_gradients_travel_as_halves(self):
        limit = ["--data", self.small_set(), "--epochs", "4", "--val-fraction", "0", "--lr", "0.1"]
        folder = self.together(2, "half", "--exchange", "fp16", *limit)
        self.assertEqual(h.log_events(folder)[0]["exchange"], "fp16")
        found = losses(folder)
        self.assertLess(sum(found[-4:]), 0.9 * sum(found[:4]))
        full = losses(self.together(2, "full", "--max-steps", "4", *limit))
        self.assertEqual(full[0], found[0])
        self.assertNotEqual(full, found[:4])
        self.assert_same_losses(found[:4], full)

    def test_class_weights_are_those_of_one_process(self):
        limit = ["--data", self.small_set(), "--class-weights", "auto", "--max-steps", "2",
                 "--val-fraction", "0"]
        alone = self.alone("alone", *limit)
        job = self.together(3, "job", "--sync-bn", "on", *limit)
        weights = [state(folder)["class-weights"] for folder in (alone, job)]
        self.assertEqual(len(weights[0]), 5)
        self.assertEqual(*weights)
        self.assert_same_losses(losses(job), losses(alone))

    def test_shares_of_a_batch(self):
        folder = self.together(3, "run", "--balance", "1:3:2", "--max-steps", "2")
        start = h.log_events(folder)[0]
        self.assertEqual([r["batch"] for r in start["ranks"]], [1, 3, 2])
        self.assertEqual([r["rank"] for r in start["ranks"]], [0, 1, 2])


class OneWriter(Ranks):
    def test_timeline_and_dashboard(self):
        timeline = self.tmp / "timeline.json"
        with_page = ["--dashboard=0"] if os.environ.get("CLFCN_DASHBOARD") == "1" else []
        done = train(2, "--out", self.out("run"), "--data", self.small_set(), "--max-steps", "2",
                     "--profile", timeline, *with_page)
        self.assertEqual(done.code, 0, str(done))
        self.assertEqual(done.err.count("dashboard: "), len(with_page), done.err)
        events = json.loads(timeline.read_text())["traceEvents"]
        self.assertEqual(len([e for e in events if e.get("name") == "step"
                              and e.get("ph") == "X"]), 2)
        # Nothing else was written by anybody.
        self.assertEqual({p.name for p in self.tmp.iterdir()}, {"data", "run", "timeline.json"})

    def test_log_and_screen(self):
        done = train(3, "--out", self.out("run"), "--epochs", "1", "--json")
        self.assertEqual(done.code, 0, str(done))
        printed = rig.objects(done.out)
        logged = h.log_events(self.out("run"))
        self.assertEqual(printed, logged)
        self.assertEqual([e["event"] for e in logged].count("start"), 1)
        start = logged[0]
        self.assertEqual(len(start["ranks"]), 3)
        self.assertTrue(all(r["host"] and r["device"] for r in start["ranks"]))
        epoch = [e for e in logged if e["event"] == "epoch"][0]
        for r in epoch["ranks"]:
            self.assertGreater(r["images_per_s"], 0)
            self.assertGreaterEqual(r["wait_s"], 0)
            self.assertGreater(r["exchange_s"], 0)
            self.assertLessEqual(r["exchange_hidden"], 1)
        # Each sends and receives 2 (K-1)/K of the gradients in a step; the rest is little.
        elements = sum(math.prod(shape) for name, (_, shape, _) in tensors(self.out("run")).items()
                       if not name.startswith("optim.") and "running_" not in name)
        steps = sum(e["event"] == "step" for e in logged)
        exchanged = sum(r["bytes"] for r in epoch["ranks"]) / 3
        self.assertAlmostEqual(exchanged / (4 * 2 / 3 * 4 * elements * steps), 1, delta=0.1)

    def test_progress_tells_of_each_rank(self):
        done = train(2, "--out", self.out("run"), "--epochs", "1")
        self.assertEqual(done.code, 0, str(done))
        self.assertRegex(done.err, r"img/s \([0-9.]+\+[0-9.]+, waiting [0-9]+\+[0-9]+ %\)")
        self.assertEqual(done.err.count("run: "), 1, done.err)
        self.assertEqual(done.out.count("done: "), 1, done.out)


def logged(folder, kind):
    """The log's events of a kind so far; [] before there is a log."""
    path = Path(folder) / "log.jsonl"
    return [e for e in rig.objects(path.read_text()) if e["event"] == kind] if path.exists() else []


class Pauses(Ranks):
    def waits(self, job):
        """All ranks do: no step ends for a while, and none is waited for in vain."""
        self.assertTrue(job.wait_for(lambda: logged(self.out("run"), "pause")), job.err())
        done = len(logged(self.out("run"), "step"))
        time.sleep(1.5)
        self.assertEqual(len(logged(self.out("run"), "step")), done)
        return done

    def goes_on(self, job, done):
        self.assertTrue(job.wait_for(lambda: len(logged(self.out("run"), "step")) > done + 2))
        os.kill(job.pid(1), signal.SIGINT)
        ended = job.wait(timeout=60)
        self.assertEqual(ended.code, 130, str(ended))
        self.assertEqual(len(logged(self.out("run"), "resume")), 1)

    def test_from_the_page(self):
        if os.environ.get("CLFCN_DASHBOARD") != "1":
            self.skipTest("built without libmicrohttpd")
        def post(url, action):
            ask = urllib.request.Request(f"{url}{action}", b"", {"X-Clfcn-Control": "1"})
            self.assertEqual(urllib.request.urlopen(ask, timeout=30).status, 200)
        with mpirun.start(2, [h.CLFCN, *TRAIN, "--out", self.out("run"),
                              "--dashboard=0"]) as job:
            page = re.compile(r"^dashboard: (\S+)$", re.M)
            self.assertTrue(job.wait_for(lambda: page.search(job.err()) and
                                         logged(self.out("run"), "step")), job.err())
            url = page.search(job.err())[1]
            post(url, "pause")
            done = self.waits(job)
            post(url, "resume")
            self.goes_on(job, done)

    def test_one_hot_machine_stops_all(self):
        zone = self.tmp / "sys/class/thermal/thermal_zone0"
        zone.mkdir(parents=True)
        (zone / "temp").write_text("95000\n")
        (self.tmp / "cool/class/thermal/thermal_zone0").mkdir(parents=True)
        (self.tmp / "cool/class/thermal/thermal_zone0/temp").write_text("40000\n")
        with mpirun.start(2, [h.CLFCN, *TRAIN, "--out", self.out("run"), "--max-temp", "80"],
                          per_rank=[mpirun.Rank(env={"CLFCN_SYSFS": self.tmp / "cool"}),
                                    mpirun.Rank(env={"CLFCN_SYSFS": self.tmp / "sys"})]) as job:
            done = self.waits(job)
            self.assertEqual(logged(self.out("run"), "pause")[0]["reason"], "temperature")
            (zone / "temp").write_text("50000\n")
            self.goes_on(job, done)


class GoingOn(Ranks):
    def test_resume_is_bit_exact_with_as_many(self):
        self.together(2, "whole", "--max-steps", "6", "--balance", "equal", "--save-steps", "3")
        self.together(2, "parts", "--max-steps", "3", "--balance", "equal", "--save-steps", "3")
        done = mpirun.run(2, [h.CLFCN, "train", "--resume", self.out("parts"), "--max-steps", "6"])
        self.assertEqual(done.code, 0, str(done))
        self.assert_same_bits(self.out("whole"), self.out("parts"))

    def test_shares_stay(self):
        self.together(3, "run", "--balance", "1:3:2", "--max-steps", "2")
        done = mpirun.run(3, [h.CLFCN, "train", "--resume", self.out("run"), "--max-steps", "3"])
        self.assertEqual(done.code, 0, str(done))
        starts = [e for e in h.log_events(self.out("run"))
                  if "ranks" in e and e["event"] != "epoch"]
        self.assertEqual([[r["batch"] for r in e["ranks"]] for e in starts], [[1, 3, 2]] * 2)

    def test_resume_with_other_numbers(self):
        limit = ["--val-fraction", "0", "--save-steps", "3"]
        want = losses(self.alone("one", "--max-steps", "9", *limit))
        self.together(2, "run", "--max-steps", "3", "--sync-bn", "on", *limit)
        for ranks, until in ((3, 6), (1, 9)):
            done = mpirun.run(ranks, [h.CLFCN, "train", "--resume", self.out("run"),
                                      "--max-steps", until])
            self.assertEqual(done.code, 0, str(done))
        steps = [e["step"] for e in h.log_events(self.out("run")) if e["event"] == "step"]
        self.assertEqual(steps, list(range(1, 10)))
        self.assert_same_losses(losses(self.out("run")), want)


class Wrong(Ranks):
    """A rank whose device computes wrongly, or a training that ends in no numbers."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        # Of its own: what a spoiled kernel leaves would be held against the device. Kernels are
        # certified first, where nothing is spoiled.
        cls.cache = tempfile.mkdtemp(prefix="clfcn-wrong-")
        cls.addClassCleanup(shutil.rmtree, cls.cache, ignore_errors=True)
        done = cls.start("right-run", [mpirun.Rank(), mpirun.Rank()], "--max-steps", "1")
        assert done.code == 0, done

    @classmethod
    def start(cls, name, per_rank, *args):
        return train(2, "--out", Path(cls.cache) / name, "--balance", "equal", "--val-fraction",
                     "0", "--save-steps", "2", "--max-steps", "6", *args,
                     env={"CLFCN_CACHE_DIR": cls.cache}, per_rank=per_rank)

    def out(self, name):
        return str(Path(self.cache) / name)

    def wrong(self, fault, name, *args):
        """What is said at the end. fault: of rank 1, as the layer takes it, or None."""
        stamp = self.tmp / "stamp"
        faulty = {"OPENCL_LAYERS": FAULT_LAYER, "CLFCN_FAULT": f"p {fault}",
                  "CLFCN_FAULT_STAMP": str(stamp)} if fault else {}
        done = self.start(name, [mpirun.Rank(), mpirun.Rank(env=faulty)], *args)
        if fault and not stamp.exists():
            self.skipTest("this OpenCL loader knows no layers")
        self.assertEqual(done.code, h.FAILED, str(done))
        self.assertEqual(done.left_over, [], str(done))
        lines = [text for text in done.err.splitlines() if text.startswith("clfcn: train: ")]
        self.assertEqual(len(lines), 1, done.err)
        return lines[0]

    def traced(self, name, cause):
        event = logged(self.out(name), "not-finite")[0]
        self.assertEqual(event["cause"], cause)
        return event

    def test_a_learning_rate_that_is_too_high(self):
        line = self.wrong(None, "too-high", "--lr", "1e30")
        self.assertIn("the first is layer 'conv", line)
        self.assertIn("lower --lr (now 1e+30)", line)
        self.assertIn("of rank ", line)
        e = self.traced("too-high", "too large")
        self.assertEqual((e["found_in_step"], e["pass"], e["repeated_from"]), (2, "forward", 0))

    def test_a_device_that_makes_no_numbers(self):
        for fault, layer, which, tensor in [
                ("pool_forward 0 1 1 nan", "pool1", "forward", "output"),
                ("bn_grad_finish 0 1 3 nan", "bn5", "backward", "weight gradient"),
                ("sgd 0 0 0 nan", "conv1_1", "update", "pretrained_net.features.0.weight")]:
            with self.subTest(fault=fault):
                name = fault.split()[0]
                line = self.wrong(fault, name)
                self.assertIn(f"the first is layer '{layer}', {which}: {tensor}", line)
                self.assertRegex(line, r"of rank 1 \(.+\).* the device computes wrongly")
                e = self.traced(name, "device")
                self.assertEqual((e["rank"], e["found_in_step"]), (1, 1))

    def test_one_that_does_so_once(self):
        line = self.wrong("pool_forward 18 1 1 nan", "once")
        self.assertIn("computed wrongly once", line)
        self.assertEqual(self.traced("once", "not repeated")["repeated_from"], 2)

    def test_what_verifying_finds(self):
        line = self.wrong("pool_forward 0 1 0 10", "verified", "--verify-every", "1", "--max-steps",
                          "60")
        self.assertRegex(line, r"rank 1 \(.+\).*'pool\d', forward.*float64")


class Failures(Ranks):
    def begun(self, job, name, steps=3):
        """Wait until the run has done some steps."""
        path = Path(self.out(name)) / "log.jsonl"
        return job.wait_for(lambda: path.exists() and
                            path.read_text().count('"event":"step"') >= steps)

    def kill(self, rank):
        argv = [h.CLFCN, *TRAIN, "--out", self.out("run"), "--save-steps", "2"]
        with mpirun.start(3, argv) as job:
            self.assertTrue(self.begun(job, "run"), job.err())
            os.kill(job.pid(rank), signal.SIGKILL)
            killed = time.monotonic()
            done = job.wait(timeout=60)
        self.assertLess(time.monotonic() - killed, 15)
        self.assertNotEqual(done.code, 0)
        self.assertEqual(done.left_over, [], str(done))
        line = [text for text in done.err.splitlines() if text.startswith("clfcn: train: ")]
        self.assertEqual(len(line), 1, done.err)
        self.assertRegex(line[0], rf"rank {rank} \(.+\) died")
        self.assertIn("--resume", line[0])
        until = len(losses(self.out("run"))) + 4
        again = mpirun.run(2, [h.CLFCN, "train", "--resume", self.out("run"),
                               "--max-steps", until])
        self.assertEqual(again.code, 0, str(again))
        steps = [e["step"] for e in h.log_events(self.out("run")) if e["event"] == "step"]
        self.assertEqual(steps, list(range(1, until + 1)))

    def test_a_rank_dies(self):
        self.kill(1)

    def test_the_writing_rank_dies(self):
        self.kill(0)

    def test_an_interrupt_saves(self):
        argv = [h.CLFCN, *TRAIN, "--out", self.out("run")]
        with mpirun.start(2, argv) as job:
            self.assertTrue(self.begun(job, "run"), job.err())
            os.kill(job.pid(1), signal.SIGINT)
            done = job.wait(timeout=60)
        self.assertEqual(done.code, 130, str(done))
        events = h.log_events(self.out("run"))
        self.assertEqual(events[-1]["event"], "end")
        self.assertEqual(events[-1]["reason"], "interrupted")
        self.assertEqual(done.err.count("interrupted: state saved"), 1, done.err)

    def test_the_writing_rank_cannot_write(self):
        argv = ["sh", "-c", 'trap "" XFSZ; exec "$0" "$@"', h.CLFCN, *TRAIN, "--out",
                self.out("run"), "--save-steps", "4"]
        with mpirun.start(2, argv) as job:
            self.assertTrue(self.begun(job, "run"), job.err())
            resource.prlimit(job.pid(0), resource.RLIMIT_FSIZE, (1 << 20, resource.RLIM_INFINITY))
            done = job.wait(timeout=60)
        self.assertEqual(done.code, h.FAILED, str(done))
        self.assertEqual(done.left_over, [], str(done))
        lines = [text for text in done.err.splitlines() if text.startswith("clfcn: train: ")]
        self.assertEqual(len(lines), 1, done.err)
        self.assertIn("File too large", lines[0])
        self.assertEqual([p.name for p in (Path(self.out("run")) / "checkpoints").iterdir()],
                         ["last.safetensors"])
        saved = state(self.out("run"))["step"]
        again = mpirun.run(2, [h.CLFCN, "train", "--resume", self.out("run"), "--max-steps",
                               saved + 2])
        self.assertEqual(again.code, 0, str(again))

    def test_a_broken_picture(self):
        broken = sorted((self.small_set() / "images").iterdir())[7]
        broken.write_bytes(broken.read_bytes()[:200])
        done = train(3, "--out", self.out("run"), "--data", self.small_set(), "--epochs", "1",
                     "--val-fraction", "0", "--balance", "equal")
        self.assertEqual(done.code, h.BAD_INPUT, str(done))
        lines = [text for text in done.err.splitlines() if text.startswith("clfcn: train: ")]
        self.assertEqual(len(lines), 1, done.err)
        self.assertIn(broken.name, lines[0])

    def test_wrong_usage_is_said_once(self):
        for args, code, text in (
                (["--batch", "2"], h.USAGE, "3 ranks"),
                (["--balance", "1:2"], h.USAGE, "--balance 1:2"),
                (["--data", "/nowhere"], h.BAD_INPUT, "/nowhere"),
                (["--max-restarts", "1"], h.USAGE, "--max-restarts"),
                (["--no-such-option"], h.USAGE, "no-such-option")):
            with self.subTest(args=args):
                done = train(3, "--out", self.out("run"), *args)
                self.assertEqual(done.code, code, str(done))
                lines = [t for t in done.err.splitlines() if t.startswith("clfcn: train: ")]
                self.assertEqual(len(lines), 1, done.err)
                self.assertIn(text, lines[0])
                self.assertFalse((Path(self.out("run")) / "log.jsonl").exists())

    def test_ranks_with_other_options(self):
        before = self.together(2, "before", "--max-steps", "1")
        for options, text in (
                ("--batch 4", "--batch 4, rank 0 6"),
                ("--lr 0.5", "--lr 0.5, rank 0 0.01"),
                ("--data /nowhere", "/nowhere"),
                (f"--resume {before}", "--resume: rank 1 "),
                (f"--out {before}", "--out: rank 1 "),
                ("--help", "--help: rank 1 ")):
            with self.subTest(options=options):
                argv = ["sh", "-c", 'exec "$0" "$@" $MORE', h.CLFCN, *TRAIN, "--out",
                        self.out("run")]
                done = mpirun.run(2, argv, per_rank=[mpirun.Rank(env={"MORE": ""}),
                                                     mpirun.Rank(env={"MORE": options})])
                code = h.BAD_INPUT if "--data" in options else h.USAGE
                self.assertEqual(done.code, code, str(done))
                lines = [t for t in done.err.splitlines() if t.startswith("clfcn: train: ")]
                self.assertEqual(len(lines), 1, done.err)
                self.assertIn(text, lines[0])
                self.assertFalse(Path(self.out("run")).exists())

    def test_what_each_rank_may_have_of_its_own(self):
        argv = ["sh", "-c", 'exec "$0" "$@" $MORE', h.CLFCN, *TRAIN, "--out", self.out("run"),
                "--max-steps", "2"]
        done = mpirun.run(2, argv, per_rank=[
            mpirun.Rank(env={"MORE": "--workers 1"}),
            mpirun.Rank(env={"MORE": "--gemm native --cache-mem 1M --verbose"})])
        self.assertEqual(done.code, 0, str(done))
        self.assertEqual(len(losses(self.out("run"))), 2)


if __name__ == "__main__":
    tapunit.main()
