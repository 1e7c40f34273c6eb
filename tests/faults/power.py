#!/usr/bin/python3
"""Let the power go at every moment of a short training, and list what clfcn does wrong.

    power.py BUILD [--every N] [--seed S] [--jobs N] [--all]

A training is recorded (disk.c), one that is resumed as well; from the records are made, for each
N-th operation on a file, the folders that a disk may hold if the power goes then: with what was
synced and no more, with new names but not what was in the files, with the files but not their
names, torn in many ways, and with everything. Each must be whole, and go on to the same bits; of
those that differ in nothing that --resume reads or removes, only the first goes on, but with --all.
Exit status 1 if there is anything to complain of. It takes a quarter of an hour, --all an hour.
"""

import argparse
import concurrent.futures
import os
import random
import shutil
import sys
from pathlib import Path

WAYS = ("least", "names", "contents", "torn", "most")


class Disk:
    """What lay on a disk, and what a running system saw, at one line of a journal after another.

    Files are known by inode: (source, bytes), source being a file of the journal's folder. Folders
    hold names on the disk, and what was done to names since.
    """

    def __init__(self, top, journal):
        """top: the folder that is watched. Made before the recording."""
        self.top, self.journal = top, journal
        self.seen, self.synced = {}, {}
        self.names, self.since = {top: {}}, {top: []}
        for path in sorted(top.rglob("*")):
            if path.is_dir():
                self.names[path], self.since[path] = {}, []
                self.names[path.parent][path.name] = None
            else:
                st = path.stat()
                inode = str(st.st_ino)
                os.link(path, journal / inode)
                self.seen[inode] = self.synced[inode] = (inode, st.st_size)
                self.names[path.parent][path.name] = inode

    def change(self, path, *change):
        path = Path(path)
        self.since[path.parent].append((path.name, *change))

    def apply(self, line):
        """One line of the journal. True unless it changes nothing."""
        kind, *words = line.split(" ")
        if kind == "size":
            self.seen[words[0]] = (words[0], int(words[1]))
        elif kind == "create":
            self.seen[words[0]], self.synced[words[0]] = (words[0], 0), (words[0], 0)
            self.change(words[1], "is", words[0])
        elif kind == "mkdir":
            self.names[Path(words[0])], self.since[Path(words[0])] = {}, []
            self.change(words[0], "is", None)
        elif kind == "rename":
            self.change(words[0], "becomes", Path(words[1]).name)
        elif kind == "unlink":
            self.change(words[0], "goes")
        elif kind == "truncate":
            self.synced[words[0]] = (words[2], self.synced[words[0]][1])
            self.seen[words[0]] = (words[0], int(words[1]))
        elif kind == "sync":
            self.synced[words[0]] = (self.seen[words[0]][0], int(words[1]))
        elif kind == "syncdir":
            path = Path(words[0])
            self.names[path] = self.names_after(path, len(self.since[path]))
            self.since[path] = []
        else:
            raise ValueError(line)

    def names_after(self, folder, changes):
        """A folder's names with so many of the changes since it was synced."""
        names = dict(self.names[folder])
        for name, what, *to in self.since[folder][:changes]:
            if what == "is":
                names[name] = to[0]
            elif what == "becomes":
                names[to[0]] = names.pop(name)
            else:
                names.pop(name)
        return names

    def contents(self, inode, way, rng):
        """(source, bytes, zeros behind them) of a file."""
        seen, synced = self.seen[inode], self.synced[inode]
        if way in ("least", "names"):
            return (*synced, 0)
        if way in ("contents", "most"):
            return (*seen, 0)
        if seen[0] != synced[0]:  # it was cut
            return (*rng.choice((seen, synced)), 0)
        size = rng.choice((synced[1], seen[1], rng.randint(min(synced[1], seen[1]), seen[1])))
        if rng.random() < 0.5:
            return (seen[0], size, 0)
        return (seen[0], min(synced[1], size), max(0, size - synced[1]))

    def picture(self, way, rng):
        """{path: None of a folder, else contents()}: what the disk may hold now."""
        found, folders = {}, [self.top]
        while folders:
            folder = folders.pop()
            changes = len(self.since[folder])
            changes = {"least": 0, "contents": 0, "torn": rng.randint(0, changes)}.get(way, changes)
            for name, inode in sorted(self.names_after(folder, changes).items()):
                path = folder / name
                found[path] = None if inode is None else self.contents(inode, way, rng)
                if inode is None:
                    folders.append(path)
        return found

    def make(self, picture, to):
        """Make the files of a picture() in place of those below top in another folder."""
        to.mkdir()
        for path, what in sorted(picture.items()):
            place = to / path.relative_to(self.top)
            if what is None:
                place.mkdir()
                continue
            source, size, zeros = self.journal / what[0], what[1], what[2]
            whole = size == source.stat().st_size and zeros == 0
            if whole and path.suffix == ".safetensors":
                os.link(source, place)  # large, and no one writes into it
            else:
                with open(source, "rb") as f:
                    place.write_bytes(f.read(size) + bytes(zeros))


class Record:
    """A training of bed, a new one or one that goes on from begun, as it was recorded."""

    def __init__(self, bed, name, begun=None):
        self.bed = bed
        self.top, self.folder = bed.root / name, bed.root / f"{name}.journal"
        self.top.mkdir()
        if begun:
            shutil.copytree(begun, self.top / "run", copy_function=os.link)
            log = self.top / "run" / "log.jsonl"
            text = log.read_bytes()
            log.unlink()  # the only file that is written in place
            log.write_bytes(text)
        self.base = bed.root / f"{name}.base"
        self.base.mkdir()
        self.disk = Disk(self.top, self.base)
        done = bed.finish(bed.start(self.top / "run", resume=bool(begun), journal=self.folder))
        if done.returncode != 0:
            raise RuntimeError(done.stderr)
        for path in self.base.iterdir():
            if not (self.folder / path.name).exists():
                path.rename(self.folder / path.name)
        self.disk.journal = self.folder
        self.lines = (self.folder / "journal").read_text().splitlines()

    def promised(self, end):
        """The inode of the last checkpoint that was on the disk for good after so many lines."""
        inodes, named, sure = {}, None, None
        for line in self.lines[:end]:
            kind, *words = line.split(" ")
            if kind == "create":
                inodes[words[1]] = words[0]
            elif kind == "rename" and words[1].endswith("/last.safetensors"):
                named = inodes[words[0]]
            elif kind == "syncdir" and words[0].endswith("/checkpoints"):
                sure = named
        return sure

    @staticmethod
    def start_of(picture):
        """What a start depends on of a picture(): the checkpoint, whether there is a configuration,
        whether the log has zeros at its end, and in which folders temporary files are left."""
        by_name = {path.name: what for path, what in picture.items()}
        left = {path.parent for path in picture if path.name.endswith(".tmp")}
        log = by_name.get("log.jsonl")
        return (by_name.get("last.safetensors"), "config.json" in by_name,
                log and (log[0], log[2] > 0), tuple(sorted(left)))

    def pictures(self, every, seed):
        """(name, picture, promised()) of all different states of the disk, ways by turns if not
        every line is looked at."""
        rng, had, turn = random.Random(seed), set(), 0
        for i, line in enumerate(self.lines):
            self.disk.apply(line)
            if (i + 1) % every and i + 1 != len(self.lines):
                continue
            for way in WAYS if every == 1 else (WAYS[turn % len(WAYS)],):
                picture = self.disk.picture(way, rng)
                key = tuple(sorted((str(p), w) for p, w in picture.items() if w) )
                if key not in had:
                    had.add(key)
                    what = line.replace(str(self.top) + "/", "")
                    yield f"{self.top.name} {i} ({what}), {way}", picture, self.promised(i + 1)
            turn += 1

    def check(self, number, case, go_on=True):
        name, picture, promised = case
        place = self.bed.root / f"{self.top.name}-{number}"
        self.disk.make(picture, place)
        run = place / "run"
        try:
            found = self.bed.judge(run)
            last = run / "checkpoints" / "last.safetensors"
            if promised and not last.exists():
                found.append("no last checkpoint, where there had been one")
            elif promised:
                least = self.bed.state_of(self.folder / promised)["step"]
                if not found and self.bed.state_of(last)["step"] < least:
                    found.append(f"the last checkpoint is older than step {least}")
            if go_on:
                found += self.bed.end(run, random.Random(number))
            return [f"{name}: {text}" for text in found]
        finally:
            shutil.rmtree(place)


def parse():
    p = argparse.ArgumentParser(description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("build", type=Path, help="the build folder")
    p.add_argument("--every", type=int, default=1, metavar="N")
    p.add_argument("--seed", type=int, default=1, metavar="S")
    p.add_argument("--jobs", type=int, default=os.cpu_count(), metavar="N")
    p.add_argument("--all", action="store_true", help="let each state go on")
    return p.parse_args()


def sweep(bed, every, seed, jobs, say=print, go_on=False):
    """(states, those that went on, complaints). go_on: let all do."""
    new = Record(bed, "new")
    cases = [(new, c) for c in new.pictures(every, seed)]
    # On from the middle of the run: with a line of the log and a checkpoint of the future.
    middle = next(i for i, line in enumerate(new.lines)
                  if line.endswith("/epoch-0001.safetensors"))
    begun = bed.root / "begun"
    disk = Disk(bed.root / "nothing", bed.root)
    disk.top, disk.journal = new.top, new.folder
    disk.names, disk.since = {new.top: {}}, {new.top: []}
    for line in new.lines[:middle + 1]:
        disk.apply(line)
    disk.make(disk.picture("most", random.Random(seed)), begun)
    resumed = Record(bed, "resumed", begun / "run")
    cases += [(resumed, c) for c in resumed.pictures(every, seed + 1)]
    first, complaints = {}, []
    for n, (record, case) in enumerate(cases):
        first.setdefault((record.top, record.start_of(case[1])), n)
    goes = set(range(len(cases)) if go_on else first.values())
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        for found in pool.map(lambda n: cases[n][0].check(n, cases[n][1], n in goes),
                              range(len(cases))):
            for text in found:
                complaints.append(text)
                say(text)
    return len(cases), len(goes), complaints


def main():
    o = parse()
    build = o.build.resolve()
    os.environ.update({
        "CLFCN": str(build / "host/cli/clfcn"),
        "CLFCN_PROBE": str(build / "host/cli/clfcn-probe"),
        "CLFCN_DISK_LIB": str(build / "tests/faults/disk.so"),
    })
    import runs
    with runs.Bed(runs.fast_folder()) as bed:
        states, went, complaints = sweep(bed, o.every, o.seed, o.jobs,
                                         lambda text: print(text, flush=True), o.all)
    print(f"{states} states of a disk, {went} of them gone on with, {len(complaints)} complaints")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
