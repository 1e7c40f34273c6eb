"""Running MPI jobs in tests: mpirun with what it needs on a test machine, and nothing left after.

    done = run(3, [CLFCN, "train", ...], per_rank=[Rank(env={...}), Rank(), Rank()])
    with start(3, [...], hosts=hosts) as job:
        os.kill(job.pid(1), signal.SIGKILL)
        done = job.wait(timeout=60)

Written for Open MPI, which is what Debian's and Ubuntu's packages of clfcn's tests install.
"""

import os
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path

MPIRUN = os.environ.get("CLFCN_MPIRUN", "mpirun")
TIMEOUT = float(os.environ.get("CLFCN_TEST_TIMEOUT", "240"))
# In the environment of every process of a job; what still has it after the job is left over.
MARK = "CLFCN_TEST_JOB"


@dataclass
class Rank:
    """What is particular to one rank. env comes on top of the job's, args behind its argv."""
    env: dict = field(default_factory=dict)
    args: list = field(default_factory=list)


@dataclass
class Result:
    code: int
    out: str
    err: str
    argv: list
    seconds: float
    left_over: list  # what outlived mpirun, and has been killed: its command lines

    def __str__(self):
        return (f"$ {' '.join(map(str, self.argv))}\nexit {self.code} after {self.seconds:.1f} s\n"
                f"--- stdout\n{self.out[-4000:]}\n--- stderr\n{self.err[-4000:]}\n"
                f"--- left over\n{self.left_over}")


def available():
    """None where mpirun is there and Open MPI's, else the reason why no job can be run."""
    if shutil.which(MPIRUN) is None:
        return f"no {MPIRUN} (package openmpi-bin)"
    told = subprocess.run([MPIRUN, "--version"], capture_output=True, text=True, timeout=60,
                          errors="replace").stdout
    return None if "Open MPI" in told else f"{MPIRUN} is not Open MPI's"


def options(hosts=None, bind="none"):
    """mpirun's options for all ranks. bind: as for --bind-to."""
    mca = {
        "btl": "self,vader,tcp",  # no search for fabrics that a test machine does not have
        "btl_base_warn_component_unused": "0",
        "btl_vader_single_copy_mechanism": "none",  # a container may forbid process_vm_readv
        "mpi_yield_when_idle": "1",  # on test hosts it does not see how few processors there are
    }
    if hosts is not None:
        mca.update({
            "plm_rsh_agent": str(hosts.agent),
            "oob_tcp_if_include": "10.77.0.0/24",
            "btl_tcp_if_include": "10.77.0.0/24",
        })
    return ["--oversubscribe", "--bind-to", bind,
            *(word for key, value in mca.items() for word in ("--mca", key, value))]


def placement(ranks, hosts):
    """The host of each rank: neighbours share a host, the first hosts have the most."""
    return [hosts.names[r * len(hosts.names) // ranks] for r in range(ranks)]


def command(ranks, argv, per_rank=None, hosts=None, bind="none"):
    """mpirun's command line. Ranks that differ, or have a host each, are parts joined by ':'."""
    head, argv = [MPIRUN, *options(hosts, bind)], [*map(str, argv)]
    if per_rank is None and hosts is None:
        return [*head, "-n", str(ranks), *argv]
    per_rank = per_rank or [Rank()] * ranks
    assert len(per_rank) == ranks
    where = placement(ranks, hosts) if hosts is not None else [None] * ranks
    parts = []
    for rank, host in zip(per_rank, where):
        # env starts argv in its own place, so that the process is still mpirun's child.
        setting = ["env", *(f"{k}={v}" for k, v in rank.env.items())] if rank.env else []
        parts += [":", "-n", "1", *(["--host", f"{host}:{ranks}"] if host else []),
                  *setting, *argv, *map(str, rank.args)]
    words = [*head, *parts[1:]]
    return hosts.argv(hosts.names[0], *words) if hosts is not None else words


class Job:
    """A job under way. Leaving the `with` block kills whatever is left of it."""

    def __init__(self, ranks, argv, env=None, per_rank=None, hosts=None, bind="none", cwd=None):
        self.ranks, self.mark = ranks, uuid.uuid4().hex
        self.argv = command(ranks, argv, per_rank, hosts, bind)
        # Sockets lie in it, and their names must be short. Files, since a full pipe would stop
        # the job while nobody reads.
        self.folder = Path(tempfile.mkdtemp(prefix="mpi-", dir="/tmp"))
        self.out_path, self.err_path = self.folder / "out", self.folder / "err"
        environment = {**os.environ, "LC_ALL": "C", "NO_COLOR": "1", **(env or {}),
                       MARK: self.mark, "TMPDIR": str(self.folder)}
        if os.geteuid() == 0:
            environment["OMPI_ALLOW_RUN_AS_ROOT"] = "1"
            environment["OMPI_ALLOW_RUN_AS_ROOT_CONFIRM"] = "1"
        self.began = time.monotonic()
        with open(self.out_path, "wb") as out, open(self.err_path, "wb") as err:
            # If the test itself is killed, mpirun ends the ranks.
            self.process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "TERM", *self.argv], cwd=cwd,
                env={k: v for k, v in environment.items() if v is not None},
                stdin=subprocess.DEVNULL, stdout=out, stderr=err, start_new_session=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def out(self):
        """What has come on stdout so far, of all ranks."""
        return self.out_path.read_text(errors="replace")

    def err(self):
        return self.err_path.read_text(errors="replace")

    def _members(self):
        """{pid: environment} of the job's processes that have not ended, mpirun among them."""
        found = {}
        for p in Path("/proc").iterdir():
            if not p.name.isdigit():
                continue
            try:
                env = dict(v.partition("=")[::2] for v in
                           (p / "environ").read_bytes().decode(errors="replace").split("\0"))
            except OSError:
                continue  # ended, or another user's
            if env.get(MARK) == self.mark:
                found[int(p.name)] = env
        return found

    def pids(self):
        """{rank: pid} of the ranks that run, not of processes that these have started."""
        ranks = {pid: int(env["OMPI_COMM_WORLD_RANK"]) for pid, env in self._members().items()
                 if "OMPI_COMM_WORLD_RANK" in env}
        return {rank: pid for pid, rank in ranks.items() if ranks.get(parent_of(pid)) != rank}

    def pid(self, rank, timeout=TIMEOUT):
        """The pid of a rank; waits until it has been started."""
        end = time.monotonic() + timeout
        while time.monotonic() < end and self.process.poll() is None:
            found = self.pids().get(rank)
            if found is not None:
                return found
            time.sleep(0.02)
        raise TimeoutError(f"rank {rank} was not started\n{self.err()}")

    def wait_for(self, condition, timeout=TIMEOUT):
        """Wait until condition() is true or the job has ended; tells which."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            if condition():
                return True
            if self.process.poll() is not None:
                return bool(condition())
            time.sleep(0.02)
        raise TimeoutError(f"{self.out()}\n{self.err()}")

    def signal(self, number):
        """Send a signal to mpirun alone."""
        self.process.send_signal(number)

    def wait(self, timeout=TIMEOUT):
        """Wait for mpirun's end, then kill what outlived it. TimeoutError: all is killed."""
        try:
            code = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            out, err = self.out(), self.err()
            self.close()
            raise TimeoutError(f"{self.argv}\n--- stdout\n{out}\n--- stderr\n{err}") from None
        seconds = time.monotonic() - self.began
        time.sleep(0.1)  # mpirun does not wait for a host's daemon to be quite gone
        return Result(code, self.out(), self.err(), self.argv, seconds, self._kill_rest())

    def _kill_rest(self):
        """Kill the processes of the job; their command lines. None starts another meanwhile."""
        killed = {}
        for _ in range(100):
            members = self._members()
            if not members:
                break
            for pid in members:
                try:
                    line = Path(f"/proc/{pid}/cmdline").read_bytes()
                    killed[pid] = line.replace(b"\0", b" ").decode(errors="replace").strip()
                    os.kill(pid, signal.SIGKILL)
                except OSError:
                    pass  # it has ended
            self.process.poll()
            time.sleep(0.02)
        return list(killed.values())

    def close(self):
        self._kill_rest()
        self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


def parent_of(pid):
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return None


def start(ranks, argv, **settings):
    """Start argv in each rank; settings as of Job()."""
    return Job(ranks, argv, **settings)


def run(ranks, argv, timeout=TIMEOUT, **settings):
    with Job(ranks, argv, **settings) as job:
        return job.wait(timeout)
