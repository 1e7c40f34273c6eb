"""Help, wrong usage, devices: what needs no training."""

import json
import unittest

import harness as h
import tapunit

COMMANDS = ["devices", "train", "eval", "predict", "tune", "diverge", "import", "report"]


class Usage(h.Case):
    def test_no_command_is_wrong_usage(self):
        r = h.run()
        self.assertEqual(r.code, h.USAGE, str(r))
        self.assert_one_error(r, h.USAGE, "--help")

    def test_help_lists_the_commands(self):
        r = self.ok("--help")
        for name in COMMANDS:
            self.assertIn(name, r.out)
        self.assertEqual(r.err, "")

    def test_version(self):
        r = self.ok("--version")
        self.assertRegex(r.out, r"\d+\.\d+\.\d+")

    def test_unknown_command(self):
        r = h.run("tarin")
        self.assert_one_error(r, h.USAGE, "tarin")

    def test_every_command_has_help_with_its_options(self):
        for name in COMMANDS:
            with self.subTest(command=name):
                r = self.ok(name, "--help")
                self.assertIn("--", r.out)

    def test_train_help_shows_options_and_defaults(self):
        r = self.ok("train", "--help")
        for option in ["data", "images", "masks", "classes", "arch", "backbone", "size", "batch",
                       "epochs", "max-steps", "loss", "optimizer", "lr", "momentum",
                       "weight-decay", "lr-policy", "val-fraction", "val", "seed", "init",
                       "freeze-backbone", "augment", "resize", "no-shuffle", "save-every", "out",
                       "resume", "gemm", "profile", "device", "json", "quiet"]:
            self.assertRegex(r.out, rf"--{option}\b")
        for default in ["fcns", "vgg16", "160x160", "0.01", "0.7"]:
            self.assertIn(default, r.out)

    def test_unknown_option(self):
        for name in COMMANDS:
            with self.subTest(command=name):
                r = h.run(name, "--no-such-option")
                self.assert_one_error(r, h.USAGE, "--no-such-option")

    def test_option_without_its_value(self):
        self.assert_one_error(h.run("train", "--epochs"), h.USAGE, "--epochs")

    def test_values_that_are_none(self):
        for option, value in [("--epochs", "many"), ("--batch", "0"), ("--batch", "-1"),
                              ("--batch", "2x"), ("--lr", "fast"), ("--lr", "nan"),
                              ("--size", "32"), ("--size", "32x"), ("--size", "axb"),
                              ("--size", "0x0"), ("--val-fraction", "1"),
                              ("--val-fraction", "-0.1"), ("--momentum", "-1"),
                              ("--arch", "fcn7s"), ("--backbone", "resnet"), ("--loss", "mse"),
                              ("--optimizer", "lion"), ("--lr-policy", "up"),
                              ("--augment", "magic"), ("--gemm", "cublas"), ("--seed", "x")]:
            with self.subTest(option=option, value=value):
                data = h.make_dataset(self.tmp / f"{option}{value}".replace("/", "_"), count=2)
                r = h.run(*h.train_args(data, self.tmp / "run", option, value), "--quiet")
                self.assert_one_error(r, h.USAGE, option)

    def test_enumerations_list_what_there_is(self):
        r = h.run("train", "--data", "demo", "--out", self.tmp / "r", "--arch", "unet", "--quiet")
        self.assert_one_error(r, h.USAGE, "unet", "fcn32s", "fcn16s", "fcn8s", "fcns")

    def test_train_without_data(self):
        self.assert_one_error(h.run("train", "--out", self.tmp / "r", "--quiet"), h.USAGE, "--data")

    def test_key_equals_value(self):
        data = h.make_dataset(self.tmp / "d", count=2)
        self.ok("train", f"--data={data}", f"--out={self.tmp / 'run'}", "--max-steps=0",
                "--val-fraction=0", "--arch=fcn32s", "--backbone=vgg11", "--size=32x32",
                "--batch=2", "--quiet")

    def test_eval_and_predict_need_their_arguments(self):
        for args in (["eval"], ["predict"]):
            with self.subTest(args=args):
                self.assertEqual(h.run(*args).code, h.USAGE)


class Devices(h.Case):
    FIELDS = {"name", "vendor", "driver", "version", "compute_units"}

    def test_json_lists_what_matters(self):
        r = self.ok("devices", "--json")
        self.assertGreaterEqual(len(r.events), 1)
        for device in r.events:
            self.assertLessEqual(self.FIELDS, set(device), device)

    def test_text_names_the_same_devices(self):
        devices = self.ok("devices", "--json").events
        text = self.ok("devices").out
        for device in devices:
            self.assertIn(device["name"].strip(), text)

    def test_no_device(self):
        r = h.run("devices", env={"OCL_ICD_VENDORS": str(self.tmp)})
        self.assertEqual(r.code, h.NO_DEVICE, str(r))
        self.assertIn("pocl-opencl-icd", r.err)

    def test_device_by_number_and_by_name(self):
        data = h.make_dataset(self.tmp / "d", count=2)
        name = self.ok("devices", "--json").events[0]["name"].strip()
        for i, spec in enumerate(["auto", "0", name.lower()]):
            with self.subTest(spec=spec):
                r = self.ok(*h.train_args(data, self.tmp / f"r{i}", "--max-steps", 0,
                                          "--device", spec), "--json")
                self.assertEqual(r.of("start")[0]["device"].strip().split(" (")[0], name)

    def test_device_that_is_not_there(self):
        data = h.make_dataset(self.tmp / "d", count=2)
        for spec in ["99", "voodoo-3dfx"]:
            with self.subTest(spec=spec):
                self.fails(h.NO_DEVICE, [spec],
                           *h.train_args(data, self.tmp / "r", "--device", spec))

    def test_a_list_is_for_ranks(self):
        data = h.make_dataset(self.tmp / "d", count=2)
        for spec in ["0,1", "cpu,cpu"]:
            with self.subTest(spec=spec):
                self.fails(h.USAGE, [spec, "names 2 devices", "mpirun"],
                           *h.train_args(data, self.tmp / "r", "--device", spec))

    def test_sees_every_device_of_a_platform(self):
        r = self.ok("devices", "--json", env={"POCL_DEVICES": "pthread basic"})
        pocl = [d for d in r.events if "Portable" in json.dumps(d)]
        if not pocl:
            raise unittest.SkipTest("PoCL is not installed")
        self.assertEqual(len(pocl), 2, str(r))


if __name__ == "__main__":
    tapunit.main()
