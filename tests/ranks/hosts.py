"""Test hosts on one machine: network namespaces joined by a wire with latency (see wire.py).

    with Hosts(3, delay_ms=2) as hosts:
        subprocess.run(hosts.argv("node2", "hostname"))

All hosts see the same files, like a cluster with a shared file system, and the same processes.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

WIRE = Path(__file__).resolve().parent / "wire.py"


class Unavailable(Exception):
    """Why this machine allows no test hosts."""


class Hosts:
    """`count` hosts; delay_ms: from one to another, half a round trip."""

    def __init__(self, count, delay_ms=2.0, rate_mbit=0.0):
        self.delay_ms, self.rate_mbit = delay_ms, rate_mbit
        if shutil.which("nsenter") is None:
            raise Unavailable("no nsenter (package util-linux)")
        self.wire = subprocess.Popen(
            [sys.executable, str(WIRE), str(count), str(delay_ms), str(rate_mbit)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1,
            start_new_session=True)
        line = self.wire.stdout.readline()
        told = json.loads(line) if line else {"error": "the wire ended"}
        if "error" in told:
            self._end_wire()
            raise Unavailable(told["error"])
        self.table = {h["name"]: h for h in told["hosts"]}
        self.networks = {os.stat(f"/proc/{self.wire.pid}/fd/{h['net']}").st_ino
                         for h in told["hosts"]}
        self.folder = Path(tempfile.mkdtemp(prefix="clfcn-hosts-"))
        self.agent = self._write_agent()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    @property
    def names(self):
        return list(self.table)

    def argv(self, name, *argv):
        """The command that runs argv on a host, in this folder and environment."""
        host, files = self.table[name], f"/proc/{self.wire.pid}/fd"
        return ["nsenter", f"--net={files}/{host['net']}", f"--uts={files}/{host['uts']}", "--",
                *map(str, argv)]

    def _write_agent(self):
        """What mpirun runs in place of ssh: AGENT HOST WORD..., the words being for a shell."""
        script = self.folder / "agent"
        cases = "".join(f"{name}) exec {' '.join(self.argv(name, 'sh', '-c'))} \"$*\" ;;\n"
                        for name in self.names)
        script.write_text("#!/bin/sh\nhost=$1\nshift\ncase $host in\n" + cases +
                          "*) echo \"no such host: $host\" >&2; exit 255 ;;\nesac\n")
        script.chmod(0o755)
        return script

    def _ask(self, line):
        self.wire.stdin.write(line + "\n")
        return json.loads(self.wire.stdout.readline())

    def cut(self, name):
        """Lose all packets from and to a host from now on; nobody is told."""
        self._ask(f"cut {name}")

    def mend(self, name):
        self._ask(f"mend {name}")

    def traffic(self):
        """{name: bytes it has sent to other hosts, headers included}."""
        return self._ask("traffic")

    def processes(self):
        """{pid: command} of what runs on the hosts; to be asked after close() too."""
        found = {}
        for p in Path("/proc").iterdir():
            try:
                if p.name.isdigit() and os.stat(p / "ns/net").st_ino in self.networks:
                    found[int(p.name)] = (p / "comm").read_text().strip()
            except OSError:
                pass  # it has ended
        return found

    def _end_wire(self):
        self.wire.stdin.close()
        self.wire.wait(timeout=30)
        self.wire.stdout.close()

    def close(self):
        """Kill what runs on the hosts and remove them."""
        if self.wire.returncode is None:
            self._end_wire()
            shutil.rmtree(self.folder, ignore_errors=True)


def available():
    """None where test hosts can be made, else the reason why not."""
    try:
        Hosts(1).close()
    except Unavailable as e:
        return str(e)
    return None
