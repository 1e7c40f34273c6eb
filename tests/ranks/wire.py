"""Test hosts and the network between them, for as long as this process lives.

    wire.py COUNT DELAY RATE

makes COUNT hosts, node1, node2, ...: a network and a UTS namespace each, with the address
10.77.0.N on its only interface besides loopback. That is a TUN device whose other end is held
here: a packet is read, kept for DELAY milliseconds and given to the host it is addressed to. So
no module of the kernel is needed for the latency (netem is often not there), and no interface,
bridge or name exists outside of the hosts. RATE: Mbit/s of each host's link and direction; 0 for
as fast as it goes.

Writes a JSON object that tells how to enter the hosts (hosts.py does), or {"error": REASON}. Then
answers each line of stdin with one of stdout: `cut NAME` (the host can no longer be reached, and
nobody is told), `mend NAME`, `traffic` (bytes that each host has sent). At the end of stdin,
also if the test was killed, it kills what runs on the hosts, and with it they are gone.
"""

import collections
import ctypes
import errno
import fcntl
import json
import os
import select
import signal
import socket
import struct
import sys
import time
from pathlib import Path

CLONE_NEWUTS, CLONE_NEWNET = 0x04000000, 0x40000000
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
SIOCSIFFLAGS, SIOCSIFADDR, SIOCSIFNETMASK, SIOCSIFMTU = 0x8914, 0x8916, 0x891C, 0x8922
IFF_UP_RUNNING = 0x41
MTU = 65000  # the fewer packets, the less of the processor goes to this process
BURST = 32  # packets taken from one host before the others are looked at

libc = ctypes.CDLL(None, use_errno=True)


class Host:
    def __init__(self, number):
        """Leaves this process in the namespaces of the new host."""
        self.name = f"node{number}"
        self.address = f"10.77.0.{number}"
        if libc.unshare(CLONE_NEWNET | CLONE_NEWUTS) != 0:
            code = ctypes.get_errno()
            raise OSError(code, f"new network namespace: {os.strerror(code)}")
        socket.sethostname(self.name)
        # An open file keeps a namespace although no process is in it.
        self.net = os.open("/proc/self/ns/net", os.O_RDONLY)
        self.uts = os.open("/proc/self/ns/uts", os.O_RDONLY)
        self.tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(self.tun, TUNSETIFF, struct.pack("16sH22x", b"eth0", IFF_TUN | IFF_NO_PI))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            self._ask(s, SIOCSIFFLAGS, "lo", struct.pack("H", IFF_UP_RUNNING))
            self._ask(s, SIOCSIFADDR, "eth0", self._inet(self.address))
            self._ask(s, SIOCSIFNETMASK, "eth0", self._inet("255.255.255.0"))
            self._ask(s, SIOCSIFMTU, "eth0", struct.pack("i", MTU))
            self._ask(s, SIOCSIFFLAGS, "eth0", struct.pack("H", IFF_UP_RUNNING))
        self.cut = False
        self.sent = 0
        self.out_free = self.in_free = 0.0  # when its link has passed on what it was given
        self.coming = collections.deque()  # (when, packet), in the order of when

    @staticmethod
    def _inet(address):
        return struct.pack("=HH4s", socket.AF_INET, 0, socket.inet_aton(address))

    @staticmethod
    def _ask(s, request, interface, value):
        fcntl.ioctl(s, request, struct.pack("16s24s", interface.encode(), value))

    def describe(self):
        return {"name": self.name, "address": self.address, "net": self.net, "uts": self.uts}


class Wire:
    def __init__(self, count, delay_ms, rate_mbit):
        self.hosts = [Host(n + 1) for n in range(count)]
        self.by_address = {socket.inet_aton(h.address): h for h in self.hosts}
        self.delay = delay_ms / 1e3
        self.seconds_a_byte = 8e-6 / rate_mbit if rate_mbit > 0 else 0.0

    def take(self, host):
        for _ in range(BURST):
            try:
                packet = os.read(host.tun, MTU + 100)
            except BlockingIOError:
                return
            to = self.by_address.get(packet[16:20]) if packet[0] >> 4 == 4 else None
            if to is None or host.cut or to.cut:
                continue
            host.sent += len(packet)
            took = len(packet) * self.seconds_a_byte
            host.out_free = max(time.monotonic(), host.out_free) + took
            to.in_free = max(host.out_free, to.in_free + took)
            to.coming.append((to.in_free + self.delay, packet))

    def deliver(self):
        """Hand over what is due; seconds until there is more to do, None: until asked."""
        wait = None
        for host in self.hosts:
            while host.coming and host.coming[0][0] <= time.monotonic():
                _, packet = host.coming.popleft()
                try:
                    if not host.cut:
                        os.write(host.tun, packet)
                except OSError as e:
                    if e.errno not in (errno.EIO, errno.EAGAIN):  # the interface is down
                        raise
            if host.coming:
                left = max(0.0, host.coming[0][0] - time.monotonic())
                wait = left if wait is None else min(wait, left)
        return wait

    def answer(self, line):
        word, _, name = line.partition(" ")
        if word == "traffic":
            return {h.name: h.sent for h in self.hosts}
        host = next(h for h in self.hosts if h.name == name)
        host.cut = {"cut": True, "mend": False}[word]
        return {}

    def run(self, stdin):
        by_fd = {h.tun: h for h in self.hosts}
        while True:
            ready, _, _ = select.select([stdin, *by_fd], [], [], self.deliver())
            for fd in ready:
                if fd != stdin:
                    self.take(by_fd[fd])
            if stdin in ready:
                lines = os.read(stdin, 4096).decode()
                if not lines:
                    return
                for line in lines.splitlines():
                    print(json.dumps(self.answer(line)), flush=True)

    def switch_off(self):
        """Kill what runs on the hosts. It may start more meanwhile, so look again."""
        nets = {os.fstat(h.net).st_ino for h in self.hosts}
        for _ in range(50):
            found = [pid for pid in processes() if net_of(pid) in nets]
            for pid in found:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            if not found:
                return
            time.sleep(0.02)


def processes():
    return [int(p.name) for p in Path("/proc").iterdir()
            if p.name.isdigit() and int(p.name) != os.getpid()]


def net_of(pid):
    """The inode of a process's network namespace; None for a zombie or one that has ended."""
    try:
        return os.stat(f"/proc/{pid}/ns/net").st_ino
    except OSError:
        return None


def main():
    count, delay_ms, rate_mbit = int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])
    # Whoever sends a signal to all of a terminal means the test: its end ends this.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    home = os.open("/proc/self/ns/net", os.O_RDONLY)
    try:
        wire = Wire(count, delay_ms, rate_mbit)
    except OSError as e:
        print(json.dumps({"error": str(e)}), flush=True)
        return
    libc.setns(home, CLONE_NEWNET)
    print(json.dumps({"hosts": [h.describe() for h in wire.hosts]}), flush=True)
    try:
        wire.run(sys.stdin.fileno())
    finally:
        wire.switch_off()


if __name__ == "__main__":
    main()
