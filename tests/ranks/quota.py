"""Slow processors for tests: part of one for each of several processes and their children.

    with Quotas(4, 0.4) as quotas:           # four of 40 % of a processor each
        subprocess.run(["sh", "-c", f"echo $$ >{quotas.entry(0)} && exec program"])

By the bandwidth control of Linux's control groups (version 1 and 2), for which one has to be root.
A process that has used up its part waits for the rest of PERIOD_US.
"""

import os
import time
from pathlib import Path

PERIOD_US = 5000
LEAST_US = 1000  # the kernel's own least quota
V2 = Path("/sys/fs/cgroup")


class Unavailable(Exception):
    """No quotas on this machine; the reason is the text."""


def _home():
    """(folder that groups are made in, version)."""
    for line in Path("/proc/mounts").read_text().splitlines():
        _, where, kind, options = line.split()[:4]
        if kind == "cgroup" and "cpu" in options.split(","):
            return Path(where), 1
    control = V2 / "cgroup.subtree_control"
    if not control.exists():
        raise Unavailable("no control groups")
    if "cpu" not in control.read_text().split():
        control.write_text("+cpu")
    return V2, 2


class Quotas:
    def __init__(self, count, part):
        self.groups = []
        quota = round(part * PERIOD_US)
        if quota < LEAST_US:
            raise Unavailable(f"{part:g} of a processor is too little")
        try:
            home, version = _home()
            for i in range(count):
                group = home / f"clfcn-test-{os.getpid()}-{i}"
                group.mkdir()
                self.groups.append(group)
                if version == 1:
                    (group / "cpu.cfs_period_us").write_text(str(PERIOD_US))
                    (group / "cpu.cfs_quota_us").write_text(str(quota))
                else:
                    (group / "cpu.max").write_text(f"{quota} {PERIOD_US}")
        except OSError as e:
            self.close()
            raise Unavailable(f"control groups: {e}") from e

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def entry(self, i):
        """The file into which a process writes its number to be held to the i-th."""
        return self.groups[i] / "cgroup.procs"

    def close(self):
        """When what ran in the groups has ended, which may take the kernel a moment to see."""
        until = time.monotonic() + 5
        while self.groups:
            try:
                self.groups[-1].rmdir()
            except FileNotFoundError:
                pass
            except OSError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.05)
                continue
            self.groups.pop()
