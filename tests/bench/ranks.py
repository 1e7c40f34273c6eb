#!/usr/bin/python3
"""Measure how training scales over ranks on this machine's processors, beside what is planned.

    ranks.py BUILD [--ranks 2,4] [--rounds 3] [--json FILE]

Prints a table as Markdown. For each number of ranks K, in alternating rounds:

    strong   K ranks with a batch, against one process on all processors with the same batch
    share    the same K ranks against one rank alone on its part of the processors
    weak     K ranks with K batches, against one rank alone on its part with one batch

and for the first K that the processors are enough for, the gradients as fp16 numbers, and ranks on
test hosts (tests/ranks/hosts.py) whose links have a latency and a rate. More ranks than processors
share these, against one process on all of them; and as devices of their own each gets less than
its part of a processor (tests/ranks/quota.py), against one rank alone on as much:

    slow strong, slow share, slow weak

`clfcn plan --ranks` is asked about each that has its own part of the processors, with the measured
step of a rank alone and the measured link between ranks. For devices of the type CPU; needs Open
MPI. Exit status 1 if a row could not be measured.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "ranks"))

import machine  # noqa: E402
import mpirun  # noqa: E402
from hosts import Hosts, Unavailable  # noqa: E402
from quota import Quotas  # noqa: E402
from quota import Unavailable as NoQuota  # noqa: E402
from ranks_table import Row, Side, link_of, markdown, sample  # noqa: E402
from runner import note, positive, run  # noqa: E402
from table import NotMeasured  # noqa: E402

PING_BYTES = 4 << 20  # a bucket of gradients
JOB_SECONDS = 300
# Test hosts share the processors, which no rank there knows: each is kept to its part from without.
CONFINED = ["sh", "-c", 'echo $$ >"${RANK_QUOTA:-/dev/null}" && exec taskset -c "$RANK_CPUS" "$@"',
            "rank"]
# What ranks with a quota leave of the processors for everything else.
SPARE = 0.2


def several(text):
    ranks = sorted({int(word) for word in text.split(",")})
    if ranks[0] < 2:
        raise argparse.ArgumentTypeError("numbers from 2 on, such as 2,4")
    return ranks


def parse():
    p = argparse.ArgumentParser(description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("build", type=Path, help="the build folder")
    p.add_argument("--ranks", type=several, default=[2, 4], metavar="K,K", help="default 2,4")
    p.add_argument("--rounds", type=positive, default=3, help="default 3")
    p.add_argument("--steps", type=positive, default=6,
                   help="timed in each training, behind as many that are not; default 6")
    p.add_argument("--limit", type=positive, default=1500, metavar="SECONDS",
                   help="begin no training after so long; default 1500")
    p.add_argument("--arch", default="fcns")
    p.add_argument("--backbone", default="vgg16")
    p.add_argument("--size", default="160x160")
    p.add_argument("--batch", type=positive, default=4, help="default 4")
    p.add_argument("--delay-ms", type=float, default=2.0,
                   help="between test hosts, one way; default 2")
    p.add_argument("--rate-mbit", type=float, default=1000.0,
                   help="of a test host's link; default 1000, 0: as fast as it goes")
    p.add_argument("--no-hosts", action="store_true", help="leave the test hosts out")
    p.add_argument("--device", default="cpu")
    p.add_argument("--json", metavar="FILE", help="the same as JSON, too")
    o = p.parse_args()
    if o.batch < o.ranks[-1]:
        p.error(f"--batch {o.batch}: fewer images than ranks")
    return o


@dataclass
class Job:
    """A training."""
    side: Side
    ranks: int = 1
    among: int = 0      # each rank is kept to its part of the processors, shared among so many
                        # ranks; 0: as clfcn shares them out
    part: float = None  # of a processor that each rank gets; None: all of it
    exchange: str = "fp32"
    hosts: object = None

    def where(self):
        """What decides how fast its ranks talk to each other."""
        return self.ranks, self.hosts is not None, self.part


class Bench:
    def __init__(self, options):
        self.o = options
        self.clfcn = options.build / "host/cli/clfcn"
        self.cpus = sorted(os.sched_getaffinity(0))
        self.device = self.chosen_device()
        self.jobs, self.rows, self.left_out = [], [], []
        self.plans = []  # (row, job of ranks, job of a rank alone)

    def chosen_device(self):
        out, _, _ = run([self.clfcn, "devices", "--device", self.o.device, "--json", "--quiet"])
        chosen = [d for d in map(json.loads, out.splitlines()) if d["chosen"]]
        if not chosen or chosen[0]["type"] != "cpu":
            raise NotMeasured(f"--device {self.o.device} is no CPU")
        return chosen[0]

    def network(self, batch):
        o = self.o
        return ["--arch", o.arch, "--backbone", o.backbone, "--size", o.size, "--batch", batch,
                "--device", self.device["index"]]

    # --- what is measured ---

    def seats(self, ranks):
        """The processors of each rank; several ranks have one together where there are fewer."""
        n, each = len(self.cpus), max(1, len(self.cpus) // ranks)
        return [[self.cpus[(r * each + i) % n] for i in range(each)] for r in range(ranks)]

    def add_job(self, title, images, **how):
        for job in self.jobs:
            if job.side.title == title:
                return job
        job = Job(Side(title, images), **how)
        self.jobs.append(job)
        return job

    def add_row(self, kind, job, other, ideal, alone=None, remark=""):
        """alone: what the plan goes by."""
        row = Row(job.side, other.side, ideal, kind, note=remark)
        self.rows.append(row)
        if alone is not None:
            self.plans.append((row, job, alone))

    def alone(self, images, ranks, part=None):
        what = amount(len(self.seats(ranks)[0]), part)
        return self.add_job(f"1 rank alone on {what}, batch {images}", images, among=ranks,
                            part=part)

    def add_ranks(self, k):
        batch = self.o.batch
        crowded = k > len(self.cpus)
        whole = self.add_job(f"1 process on {count(len(self.cpus), 'processor')}, batch {batch}",
                             batch)
        job = self.add_job(f"{k} ranks, batch {batch}", batch, ranks=k)
        if crowded:
            self.add_row("strong", job, whole, 1.0,
                         remark=f"{k} ranks share {count(len(self.cpus), 'processor')}")
            self.add_slow_ranks(k)
            return
        alone, one = self.alone(-(-batch // k), k), self.alone(batch, k)
        self.add_row("strong", job, whole, 1.0, alone)
        self.add_row("share", job, alone, k)
        weak = self.add_job(f"{k} ranks, batch {k * batch}", k * batch, ranks=k)
        self.add_row("weak", weak, one, k, one)

    def add_slow_ranks(self, k):
        """More than there are processors, each with its own part of one."""
        batch, part = self.o.batch, (1 - SPARE) * len(self.cpus) / k
        try:
            Quotas(1, part).close()
        except NoQuota as e:
            self.left_out.append(f"{k} ranks with a part of a processor each: {e}")
            return
        alone, one = self.alone(-(-batch // k), k, part), self.alone(batch, k, part)
        where = f"{k} ranks on {amount(1, part)} each, batch"
        job = self.add_job(f"{where} {batch}", batch, ranks=k, among=k, part=part)
        weak = self.add_job(f"{where} {k * batch}", k * batch, ranks=k, among=k, part=part)
        self.add_row("slow strong", job, one, k, alone)
        self.add_row("slow share", job, alone, k)
        self.add_row("slow weak", weak, one, k, one)

    def add_exchanges(self, k, hosts):
        batch = self.o.batch
        alone = self.alone(-(-batch // k), k)
        fp32 = self.add_job(f"{k} ranks, batch {batch}", batch, ranks=k)
        fp16 = self.add_job(f"{k} ranks, batch {batch}, fp16", batch, ranks=k, exchange="fp16")
        self.add_row("fp16", fp16, fp32, 1.0, alone)
        if hosts is not None:
            rate = f", {self.o.rate_mbit:g} Mbit/s" if self.o.rate_mbit else ""
            where = f"{k} test hosts, {self.o.delay_ms:g} ms{rate}, batch {batch}"
            far = self.add_job(where, batch, ranks=k, among=k, hosts=hosts)
            far16 = self.add_job(f"{where}, fp16", batch, ranks=k, among=k, hosts=hosts,
                                 exchange="fp16")
            self.add_row("hosts", far, fp32, 1.0, alone)
            self.add_row("hosts fp16", far16, far, 1.0, alone)

    # --- measuring ---

    def launch(self, argv, job, timeout):
        """Run it under mpirun; a rank alone too, which then takes just its processors."""
        if not job.among:
            return mpirun.run(job.ranks, argv, timeout=timeout, hosts=job.hosts)
        with Quotas(job.ranks if job.part else 0, job.part or 1) as quotas:
            per_rank = [mpirun.Rank(env={"RANK_CPUS": joined(seat),
                                         "RANK_QUOTA": quotas.entry(r) if job.part else ""})
                        for r, seat in enumerate(self.seats(job.among)[:job.ranks])]
            return mpirun.run(job.ranks, [*CONFINED, *argv], timeout=timeout, per_rank=per_rank,
                              hosts=job.hosts)

    def train(self, job, data, folder):
        argv = [self.clfcn, "train", *self.network(job.side.images), "--data", data, "--out",
                folder, "--val-fraction", 0, "--epochs", 2, "--save-every", 0, "--exchange",
                job.exchange, "--balance", "equal", "--quiet"]
        if job.ranks == 1 and not job.among:
            run(argv)
        else:
            done = self.launch(argv, job, JOB_SECONDS)
            if done.code != 0:
                said = [line for line in done.err.splitlines() if line.startswith("clfcn")]
                raise NotMeasured(f"mpirun: status {done.code}: {(said or ['no message'])[-1]}")
        log = (Path(folder) / "log.jsonl").read_text().splitlines()
        return sample([json.loads(line) for line in log])

    def data(self, job, tmp):
        """A set of as many pictures as an epoch takes."""
        pictures = self.o.steps * job.side.images
        folder = Path(tmp) / f"demo-{pictures}"
        if not folder.exists():
            run([self.clfcn, "data", "demo", "--write", folder, "--count", pictures, "--quiet"])
        return folder

    def measure(self, job, tmp):
        try:
            with tempfile.TemporaryDirectory(dir=tmp) as out:
                job.side.samples.append(self.train(job, self.data(job, tmp), f"{out}/run"))
        except (NotMeasured, TimeoutError) as e:
            job.side.problem = str(e).splitlines()[0]
            note(f"{job.side.title}: {job.side.problem}")

    def rounds(self):
        """Whatever has no sample when the time is up shows as not measured."""
        end = time.monotonic() + self.o.limit
        with tempfile.TemporaryDirectory() as tmp:
            for i in range(self.o.rounds):
                for job in self.jobs:
                    if time.monotonic() > end:
                        self.left_out.append(f"the rest from {job.side.title} in round {i + 1} "
                                             "on, by --limit")
                        return
                    if not job.side.problem:
                        note(f"round {i + 1}/{self.o.rounds}: {job.side.title}")
                        self.measure(job, tmp)

    # --- planning ---

    def link(self, job):
        """Bytes a second and seconds of a message; of the slowest link from the first rank."""
        done = self.launch([self.o.build / "tests/ranks/ping", 50, PING_BYTES], job, 60)
        told = [json.loads(line) for line in done.out.splitlines() if line.startswith("{")]
        links = [link_of(t["round_trip_ms"], t["mbyte_s"], PING_BYTES) for t in told
                 if t["rank"] > 0]
        if done.code != 0 or not links:
            raise NotMeasured(f"ping: status {done.code}")
        return min(rate for rate, _ in links), max(latency for _, latency in links)

    def plan(self, job, alone, link):
        """Milliseconds of a step, from those of a rank alone."""
        ms = statistics.median(alone.side.ms())
        rate, latency = link
        out, _, _ = run(["taskset", "-c", joined(self.seats(alone.among)[0]), self.clfcn, "plan",
                         *self.network(alone.side.images), "--ranks", job.ranks, "--scaling",
                         "weak", "--exchange", job.exchange, "--step-ms", f"{ms:.3f}",
                         "--bandwidth", f"{rate / 1e6:.3f}MB/s", "--latency",
                         f"{1e6 * latency:.3f}us", "--json", "--quiet"])
        rows = json.loads(out)["ranks"]["weak"]["rows"]
        return next(r["step_ms"] for r in rows if r["ranks"] == job.ranks)

    def ask_plans(self):
        links = {}
        for row, job, alone in self.plans:
            try:
                if not alone.side.samples:
                    raise NotMeasured(f"{alone.side.title}: {alone.side.problem}")
                if job.where() not in links:
                    links[job.where()] = self.link(job)
                row.plan_ms = self.plan(job, alone, links[job.where()])
            except (NotMeasured, TimeoutError, KeyError) as e:
                self.left_out.append(f"plan of {row.side.title}: {str(e).splitlines()[0]}")
        return {f"link of {k} {'test hosts' if far else 'ranks'}"
                f"{f' on {amount(1, part)} each' if part else ''}":
                f"{rate / 1e6:.0f} MB/s, {1e6 * latency:.0f} us a message (tests/ranks/ping)"
                for (k, far, part), (rate, latency) in links.items()}

    def describe(self):
        o = self.o
        compiler, _ = machine.build_of(self.clfcn)
        return {
            "job": f"{o.arch} on {o.backbone}, {o.size}, BCE, SGD; {count(o.rounds, 'round')}, "
                   f"median of {count(o.steps, 'step')} in each",
            "machine": f"{machine.cpu_model()}, {count(len(self.cpus), 'processor')}, "
                       f"{machine.memory_gb():.0f} GB, {machine.system()}, "
                       f"load {os.getloadavg()[0]:.1f} at first",
            "device": f"{self.device['name']} ({self.device['platform']}, driver "
                      f"{self.device['driver']})",
            "clfcn": machine.first_line(self.clfcn, "--version"),
            "compiler": compiler,
            "MPI": machine.first_line(mpirun.MPIRUN, "--version"),
        }

    def run(self, hosts):
        for k in self.o.ranks:
            self.add_ranks(k)
        fitting = [k for k in self.o.ranks if k <= len(self.cpus)]
        if fitting:
            self.add_exchanges(fitting[0], hosts)
        about = self.describe()
        self.rounds()
        about.update(self.ask_plans())
        return about


def count(n, what):
    return f"{n} {what}" + ("" if n == 1 else "s")


def amount(cpus, part):
    """So many processors, or the part of one."""
    return f"{100 * part:g} % of a processor" if part else count(cpus, "processor")


def joined(cpus):
    return ",".join(map(str, cpus))


def open_hosts(options, bench):
    """Test hosts for the first number of ranks that have a processor each; None without."""
    fitting = [k for k in options.ranks if k <= len(bench.cpus)]
    if options.no_hosts or not fitting:
        return None
    try:
        return Hosts(fitting[0], options.delay_ms, options.rate_mbit)
    except Unavailable as e:
        bench.left_out.append(f"test hosts: {e}")
        return None


def main():
    options = parse()
    try:
        if mpirun.available() is not None:
            raise NotMeasured(mpirun.available())
        bench = Bench(options)
    except NotMeasured as e:
        sys.exit(f"ranks.py: {e}")
    hosts = open_hosts(options, bench)
    try:
        about = bench.run(hosts)
    finally:
        if hosts is not None:
            hosts.close()
    print(markdown(about, bench.rows, bench.left_out))
    if options.json:
        Path(options.json).write_text(json.dumps(
            {"machine": about, "rows": [r.as_json() for r in bench.rows],
             "left_out": bench.left_out}, indent=1) + "\n")
    sys.exit(any(r.problem() for r in bench.rows))


if __name__ == "__main__":
    main()
