"""Help, manual pages, completion, suggestions and colours: what a user of shells expects."""

import fcntl
import os
import pty
import re
import shutil
import struct
import subprocess
import termios
import unittest
from pathlib import Path

import harness as h
import tapunit

BUILD = os.environ.get("CLFCN_BUILD_DIR")


def commands():
    """The names in the list of 'clfcn --help'."""
    text = h.run("--help").out
    return re.findall(r"^  (\w+)  +\w", text.split("Commands:")[1], re.M)


def options(command):
    """The long options that a command's help lists."""
    return re.findall(r"^  (?:-\w, )?(--[\w-]+)", h.run(command, "--help").out, re.M)


def on_terminal(*args, columns=80, env=None):
    """Run clfcn on a terminal of so many columns; its output and exit status."""
    pid, fd = pty.fork()
    if pid == 0:
        os.execvpe(h.CLFCN, [h.CLFCN, *args],
                   h.environment({"NO_COLOR": None, "TERM": "xterm", **(env or {})}))
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    out = b""
    while True:
        try:
            data = os.read(fd, 65536)
        except OSError:  # the other end is closed
            break
        if not data:
            break
        out += data
    os.close(fd)
    return out.decode().replace("\r\n", "\n"), os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


class Help(h.Case):
    def test_fits_80_columns(self):
        for name in commands():
            with self.subTest(command=name):
                for line in self.ok(name, "--help").out.splitlines():
                    self.assertLessEqual(len(line), 80, line)
        for line in self.ok("--help").out.splitlines():
            self.assertLessEqual(len(line), 80, line)

    def test_choices_are_said_once(self):
        train, predict = (" ".join(self.ok(c, "--help").out.split()) for c in ("train", "predict"))
        self.assertIn("the mean over each pixel [bilinear]", train)
        self.assertIn("loss function: bce, ce, dice, focal [bce]", train)
        self.assertIn("auto: if one has fewer than 8: auto, on, off [auto]", train)
        self.assertIn("overlapping pieces of that size [resize]", predict)

    def test_train_is_grouped(self):
        text = self.ok("train", "--help").out
        headings = re.findall(r"^(\w[\w ]*):$", text, re.M)
        self.assertEqual(headings[1:6],
                         ["Data", "Network", "Training", "Saving and watching", "Device and machine"])
        for heading in headings[1:]:
            block = text.split(f"\n{heading}:\n")[1].split("\n\n")[0]
            self.assertLessEqual(len(block.splitlines()), 40, f"{heading} fills a screen")
            self.assertIn("--", block)

    def test_takes_the_width_of_the_terminal(self):
        wide, _ = on_terminal("train", "--help", columns=200, env={"NO_COLOR": "1"})
        narrow, _ = on_terminal("train", "--help", columns=62, env={"NO_COLOR": "1"})
        self.assertGreater(max(map(len, wide.splitlines())), 80)
        self.assertLessEqual(max(map(len, wide.splitlines())), 100)
        self.assertLessEqual(max(map(len, narrow.splitlines())), 62)
        self.assertEqual(wide.split(), narrow.split())

    def test_a_heading_is_no_option(self):
        self.assert_one_error(h.run("train", "--"), h.USAGE, "--data")
        self.assert_one_error(h.run("train", "--Data"), h.USAGE, "did you mean --data")


class Manual(h.Case):
    def test_every_command_has_a_page_of_its_own(self):
        for name in commands():
            with self.subTest(command=name):
                page = self.ok("--man", name).out
                for heading in ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXIT STATUS", "FILES",
                                "ENVIRONMENT", "EXAMPLES", "SEE ALSO"]:
                    self.assertIn(f".SH {heading}\n", page,
                                  "see the table of host/cli/manual_text.c")
                self.assertIn(f"clfcn {name}".replace("-", "\\-"), page.split(".SH EXAMPLES")[1])

    def test_pages_name_every_option_and_default(self):
        for name in commands():
            page = self.ok("--man", name).out.replace("\\-", "-")
            for option in options(name):
                with self.subTest(command=name, option=option):
                    self.assertIn(f"\\fB{option}\\fR", page)
        page = self.ok("--man", "train").out
        for default in ["fcns", "160x160", "0.7"]:
            self.assertIn(f"Default: {default}.", page)
        for words in [".TP\n\\fB\\-\\-focal\\-gamma\\fR \\fIX\\fR\nfocal: exponent", "\nTrain the decoder"]:
            self.assertIn(words, page)

    def test_page_of_the_program_names_every_command(self):
        page = self.ok("--man").out
        for name in commands():
            self.assertIn(f".BR clfcn\\-{name} (1)", page)

    @unittest.skipUnless(shutil.which("mandoc"), "mandoc is not installed")
    def test_mandoc_finds_no_fault(self):
        for name in ["", *commands()]:
            with self.subTest(command=name):
                (self.tmp / "page.1").write_text(self.ok("--man", *name.split()).out)
                done = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", self.tmp / "page.1"],
                                      capture_output=True, text=True)
                self.assertEqual((done.returncode, done.stdout), (0, ""))

    @unittest.skipUnless(BUILD, "no build folder")
    def test_the_build_makes_all_of_them(self):
        made = {p.name for p in Path(BUILD, "host", "cli").glob("*.1")}
        if not made:
            self.skipTest("built for another machine")
        self.assertEqual(made, {"clfcn.1", *(f"clfcn-{name}.1" for name in commands())},
                         "see the list of pages in host/cli/meson.build")

    def test_of_no_such_command(self):
        self.assert_one_error(h.run("--man", "tarin"), h.USAGE, "tarin")


@unittest.skipUnless(shutil.which("bash"), "bash is not installed")
class Completion(h.Case):
    def complete(self, *words):
        """What bash offers for the last of the words."""
        script = self.tmp / "clfcn.bash"
        if not script.exists():
            script.write_text(self.ok("--completion", "bash").out)
        quoted = " ".join(f"'{w}'" for w in words)
        done = subprocess.run(
            ["bash", "--norc", "-uc",
             f"source {script}; COMP_WORDS=(clfcn {quoted}); COMP_CWORD={len(words)}; "
             "_clfcn; printf '%s\\n' ${COMPREPLY[@]+\"${COMPREPLY[@]}\"}"],
            cwd=self.tmp, capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return sorted(done.stdout.split("\n")[:-1]) if done.stdout.strip() else []

    def test_commands(self):
        self.assertEqual(self.complete("tr"), ["train"])
        self.assertEqual(self.complete(""), sorted([*commands(), "--help", "--version"]))

    def test_options_are_those_of_the_help(self):
        for name in commands():
            with self.subTest(command=name):
                self.assertEqual(self.complete(name, "--"), sorted(options(name)))
        self.assertEqual(self.complete("train", "--data", "demo", "--val-"), ["--val-fraction"])

    def test_choices(self):
        self.assertEqual(self.complete("train", "--arch", "fcn1"), ["fcn16s"])
        self.assertEqual(self.complete("train", "--arch", "=", "fcn1"), ["fcn16s"])
        self.assertEqual(self.complete("train", "--optimizer", "="), ["adam", "adamw", "sgd"])
        self.assertEqual(self.complete("eval", "--backbone", "vgg16"), ["vgg16"])
        self.assertIn("camvid", self.complete("data", "--format", ""))
        self.assertEqual(self.complete("bench", "--device", "g"), ["gpu"])

    def test_files_and_folders(self):
        (self.tmp / "my set").mkdir()
        (self.tmp / "my weights.pth").write_text("")
        self.assertEqual(self.complete("train", "--data", "my"), ["my set"])
        self.assertEqual(self.complete("train", "--data", "d"), ["demo"])
        self.assertEqual(self.complete("data", "d"), ["demo"])
        self.assertEqual(self.complete("data", "m"), ["my set", "my weights.pth"])
        self.assertEqual(self.complete("info", "d"), [])
        self.assertEqual(self.complete("train", "--init", "my"), ["my set", "my weights.pth"])
        self.assertEqual(self.complete("info", "my"), ["my set", "my weights.pth"])

    def test_nothing_where_nothing_is_known(self):
        (self.tmp / "1").write_text("")
        self.assertEqual(self.complete("train", "--epochs", "1"), [])
        self.assertEqual(self.complete("devices", ""), [])

    def test_of_another_shell(self):
        self.assert_one_error(h.run("--completion", "tcsh"), h.USAGE, "bash")


class Suggestions(h.Case):
    def test_commands_options_choices(self):
        self.assert_one_error(h.run("tarin"), h.USAGE, "did you mean 'train'")
        self.assert_one_error(h.run("train", "--epoch", "3"), h.USAGE, "did you mean --epochs")
        self.assert_one_error(h.run("train", "--arch", "FCN8"), h.USAGE, "did you mean fcn8s")
        self.assert_one_error(h.run("data", self.tmp, "--format", "vco"), h.USAGE,
                              "did you mean voc")

    def test_devices(self):
        name = self.ok("devices", "--json").events[0]["name"].strip()
        word = next((w for w in re.split(r"[\W_]+", name) if len(w) > 3 and w.isalpha()), None)
        if not word:
            self.skipTest(f"no word in the name of {name}")
        r = h.run("bench", "--device", f"{word[0]}q{word[1:]}", "--quiet")
        self.assert_one_error(r, h.NO_DEVICE, f"did you mean '{word}'", name)
        self.assert_one_error(h.run("bench", "--device", "cpuu", "--quiet"), h.NO_DEVICE,
                              "did you mean 'cpu'")

    def test_files_and_folders(self):
        h.make_dataset(self.tmp / "bag", count=2)
        (self.tmp / "vgg.pth").write_text("")
        (self.tmp / "runs" / "first").mkdir(parents=True)
        (self.tmp / "runs" / "first" / "best.safetensors").write_text("")
        last = "runs/second/checkpoints/last.safetensors"
        (self.tmp / last).parent.mkdir(parents=True)
        (self.tmp / last).write_text("")
        for line, words in [
                (["train", "--data", "bagg", "--quiet"], ["no such folder", "did you mean 'bag'"]),
                (["train", "--data=./Bag", "--quiet"], ["did you mean './bag'"]),
                (["train", "--data", "bag", "--init", "vgg.pht", "--quiet"],
                 ["did you mean 'vgg.pth'"]),
                (["info", "runs/frst/best.safetensors"],
                 ["did you mean 'runs/first/best.safetensors'"]),
                (["predict", "runs/second", "bag/images", "--out", "o"], [f"did you mean '{last}'"]),
                (["report", f"{self.tmp}/run/first"], [f"did you mean '{self.tmp}/runs/first'"])]:
            with self.subTest(line=line):
                self.assert_one_error(h.run(*line, cwd=self.tmp), h.BAD_INPUT, *words)

    def test_no_suggestion_without_likeness(self):
        (self.tmp / "vgg.pth").write_text("")
        for path in ["entirely-different", "vgg.pth/x", "/"]:
            with self.subTest(path=path):
                r = h.run("info", path, cwd=self.tmp)
                self.assertEqual(r.code, h.BAD_INPUT, str(r))
                self.assertNotIn("did you mean", r.err)


class Colors(h.Case):
    def test_on_a_terminal_errors_are_red_and_headings_bold(self):
        text, code = on_terminal("tarin")
        self.assertEqual(code, h.USAGE)
        self.assertIn("\033[1;31mclfcn:\033[0m unknown", text)
        self.assertIn("\033[1mUsage:\033[0m", on_terminal("train", "--help")[0])

    def test_none_where_they_are_not_welcome(self):
        for env in [{"NO_COLOR": "1"}, {"TERM": "dumb"}, {"TERM": ""}]:
            with self.subTest(env=env):
                self.assertNotIn("\033", on_terminal("tarin", env=env)[0])
                self.assertNotIn("\033", on_terminal("train", "--help", env=env)[0])

    def test_an_empty_no_color_counts_as_none(self):
        self.assertIn("\033[1;31m", on_terminal("tarin", env={"NO_COLOR": ""})[0])

    def test_none_in_a_pipe(self):
        r = h.run("train", "--help", env={"NO_COLOR": None, "TERM": "xterm"})
        self.assertNotIn("\033", r.out)
        self.assertNotIn("\033", h.run("tarin", env={"NO_COLOR": None, "TERM": "xterm"}).err)


if __name__ == "__main__":
    tapunit.main()
