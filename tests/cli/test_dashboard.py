"""The live page: what it tells, who may see and control it, and that nobody can hold up a run."""

import http.client
import json
import os
import re
import socket
import subprocess
import threading
import time
import unittest

import harness as h
import tapunit

HAVE = os.environ.get("CLFCN_DASHBOARD", "1") == "1"
ENDLESS = ["--epochs", "100000"]
CONTROL = {"X-Clfcn-Control": "1"}


class Stream:
    """The server-sent events of one client."""

    def __init__(self, connection, path="/events", headers=None):
        self.connection = connection
        connection.request("GET", path, headers=headers or {})
        self.reply = connection.getresponse()
        self.latest = {}

    def next(self):
        """(name, data) of the next event; None at the end."""
        name, data = None, []
        while True:
            line = self.reply.readline().decode()
            if not line:
                return None
            line = line.rstrip("\n")
            if line.startswith("event: "):
                name = line[7:]
            elif line.startswith("data: "):
                data.append(line[6:])
            elif not line and name:
                self.latest[name] = "\n".join(data)
                return name, self.latest[name]

    def until(self, name, condition=lambda data: True, limit=2000):
        """The data of the first event of that name that meets the condition; None at the end."""
        for _ in range(limit):
            event = self.next()
            if event is None:
                return None
            if event[0] == name and condition(event[1]):
                return event[1]
        raise AssertionError(f"no such {name}; last: {self.latest.get(name)}")

    def until_state(self, state):
        got = self.until("state", lambda data: json.loads(data)["state"] == state)
        return got and json.loads(got)

    def close(self):
        self.connection.close()


@unittest.skipUnless(HAVE, "built without libmicrohttpd")
class Case(h.Case):
    def setUp(self):
        super().setUp()
        self.run_dir = self.tmp / "run"
        self.process = None
        self.addCleanup(self.end)

    def end(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def begin(self, *more):
        """Start a run of a tiny net with a dashboard; returns once it is served."""
        data = h.make_dataset(self.tmp / "data", count=8)
        argv = h.train_args(data, self.run_dir, "--dashboard=0", *more)
        self.err = self.tmp / "stderr"
        with open(self.err, "wb") as err:
            self.process = subprocess.Popen(
                [h.CLFCN, *argv], env=h.environment(), stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL, stderr=err)
        found = []

        def served():
            found[:] = re.findall(r"^dashboard: (http://([^/]+)/\S*)$", self.err.read_text(), re.M)
            return found
        self.assertTrue(h.wait_for(served, self.process), self.err.read_text())
        self.url, self.where = found[0]
        self.token = self.url.partition("token=")[2]

    def connect(self):
        connection = http.client.HTTPConnection(self.where, timeout=h.TIMEOUT)
        self.addCleanup(connection.close)
        return connection

    def ask(self, method, path, headers=None, body=None):
        """(status, headers, body) of a request of its own connection."""
        connection = self.connect()
        connection.request(method, path, body=body, headers=headers or {})
        reply = connection.getresponse()
        result = reply.status, reply.headers, reply.read()
        connection.close()
        return result

    def status(self, method, path, headers=None, body=None):
        return self.ask(method, path, headers, body)[0]

    def stream(self):
        return Stream(self.connect())

    def wait_exit(self):
        return self.process.wait(timeout=h.TIMEOUT)

    def steps(self):
        log = self.run_dir / "log.jsonl"
        return log.read_text().count('"event":"step"') if log.exists() else 0

    def wait_steps(self, more=1):
        wanted = self.steps() + more
        self.assertTrue(h.wait_for(lambda: self.steps() >= wanted, self.process))

    def logged(self, kind):
        return [e for e in h.log_events(self.run_dir) if e["event"] == kind]


class Page(Case):
    def test_tells_the_run_to_its_end(self):
        self.begin("--epochs", "3")
        stream = self.stream()
        self.assertEqual(stream.reply.status, 200)
        self.assertEqual(stream.reply.headers["Content-Type"], "text/event-stream")
        self.assertEqual(stream.until_state("ended")["text"], "Finished")
        while stream.next():
            pass
        self.assertIn("12 of 12 steps", stream.latest["now"])
        self.assertIn("<h1>run</h1>", stream.latest["head"])
        self.assertIn("Training loss", stream.latest["summary"])
        self.assertIn("Loss of an epoch", stream.latest["charts"])
        self.assertEqual(stream.latest["charts"].count("<svg"), 3)
        self.assertIn("samples/epoch-0003-", stream.latest["results"])
        self.assertEqual(self.wait_exit(), h.OK, self.err.read_text())

    def test_tells_why_a_run_failed(self):
        self.begin("--lr", "1e38", "--loss", "ce", *ENDLESS)
        self.assertIn("not finite", self.stream().until_state("failed")["text"])
        self.assertEqual(self.wait_exit(), h.FAILED)

    def test_page_loads_nothing_from_elsewhere(self):
        self.begin(*ENDLESS)
        status, headers, body = self.ask("GET", "/")
        self.assertEqual(status, 200)
        self.assertIn("default-src 'none'", headers["Content-Security-Policy"])
        self.assertIn("frame-ancestors 'none'", headers["Content-Security-Policy"])
        self.assertEqual(headers["X-Content-Type-Options"], "nosniff")
        self.assertNotIn("Set-Cookie", headers)
        self.assertNotIn(b"http:", body)
        self.assertNotIn(b"https:", body)
        self.assertEqual(re.findall(rb'src="([^"]*)"', body), [b"dashboard.js"])
        status, headers, body = self.ask("GET", "/dashboard.js")
        self.assertEqual((status, headers["Content-Type"]),
                         (200, "text/javascript; charset=utf-8"))
        self.assertIn(b"EventSource", body)
        self.assertEqual(self.status("GET", "/nothing"), 404)
        self.assertEqual(self.status("DELETE", "/"), 405)
        self.assertEqual(self.status("HEAD", "/"), 200)

    def test_samples_and_no_other_files(self):
        self.begin(*ENDLESS)
        page = self.stream().until("results", lambda data: "samples/" in data)
        name = re.search(r'src="(samples/[^"]+)"', page)[1]
        status, headers, body = self.ask("GET", "/" + name)
        self.assertEqual((status, headers["Content-Type"]), (200, "image/png"))
        self.assertEqual(body[:4], b"\x89PNG")
        (self.tmp / "run/picture.png").write_bytes(body)
        for path in ("/samples/../picture.png", "/samples/..%2Fpicture.png", "/picture.png",
                     "/samples/", "/samples/none.png", "/../etc/passwd"):
            self.assertEqual(self.status("GET", path), 404, path)

    def test_a_page_may_show_samples_of_before(self):
        self.begin(*ENDLESS)
        stream = self.stream()
        later = re.compile(r'src="(samples/epoch-(?!0001-)[^"]+)"')  # the first stay on the page
        name = later.search(stream.until("results", later.search))[1]
        stream.until("results", lambda data: name not in data)
        self.assertEqual(self.status("GET", "/" + name), 200)

    def test_a_second_look_begins_with_everything(self):
        self.begin(*ENDLESS)
        self.wait_steps(3)
        for _ in range(2):
            stream = self.stream()
            seen = set()
            while seen < {"state", "head", "now", "charts"}:
                seen.add(stream.next()[0])
            stream.close()


class Control(Case):
    def test_pause_resume_stop(self):
        self.begin(*ENDLESS)
        stream = self.stream()
        self.wait_steps(2)
        self.assertEqual(self.status("POST", "/pause", CONTROL), 200)
        self.assertEqual(stream.until_state("paused")["text"], "Paused")
        at = self.steps()
        time.sleep(1)
        self.assertEqual(self.steps(), at)
        pause = self.logged("pause")[0]
        self.assertEqual((pause["reason"], pause["step"]), ("request", at))
        self.assertEqual(self.logged("checkpoint")[-1]["step"], at)
        self.assertEqual(self.status("POST", "/resume", CONTROL), 200)
        self.assertFalse(stream.until_state("training")["pause"])
        self.wait_steps(2)
        self.assertGreater(self.logged("resume")[0]["seconds"], 0.9)
        self.assertEqual(self.status("POST", "/stop", CONTROL), 200)
        self.assertEqual(stream.until_state("ended")["text"], "Stopped; its state is saved")
        self.assertEqual(self.wait_exit(), h.INTERRUPTED)
        self.assertEqual(self.logged("end")[0]["reason"], "interrupted")
        steps = self.steps()
        self.ok("train", "--resume", self.run_dir, "--max-steps", steps + 1)
        self.assertEqual(self.steps(), steps + 1)

    def test_stop_while_paused(self):
        self.begin(*ENDLESS)
        self.wait_steps()
        self.status("POST", "/pause", CONTROL)
        self.assertIsNotNone(self.stream().until_state("paused"))
        self.status("POST", "/stop", CONTROL)
        self.assertEqual(self.wait_exit(), h.INTERRUPTED)

    def test_controls_are_for_the_own_page(self):
        self.begin(*ENDLESS)
        own = {"Origin": f"http://{self.where}", **CONTROL}
        for headers in ({}, {"Origin": f"http://{self.where}"},
                        {"Origin": "http://evil.example", **CONTROL},
                        {"Origin": "null", **CONTROL},
                        {"Origin": f"https://{self.where}", **CONTROL}):
            self.assertEqual(self.status("POST", "/pause", headers), 403, headers)
        self.assertEqual(self.status("GET", "/pause", own), 404)
        self.assertEqual(self.status("POST", "/nothing", own), 404)
        self.assertEqual(self.status("OPTIONS", "/pause", own), 405)
        self.wait_steps(3)
        self.assertEqual(self.logged("pause"), [])
        self.assertEqual(self.status("POST", "/pause", own, body="x" * 100000), 200)
        self.assertIsNotNone(self.stream().until_state("paused"))


class Access(Case):
    def test_foreign_names_are_refused(self):
        self.begin(*ENDLESS)
        port = self.where.rpartition(":")[2]
        for host in ("evil.example", f"evil.example:{port}", "127.0.0.1", "localhost:1",
                     f"127.0.0.1:{port}.evil.example"):
            for method, path in (("GET", "/"), ("GET", "/events"), ("POST", "/stop")):
                self.assertEqual(self.status(method, path, {"Host": host, **CONTROL}), 403, host)
        self.assertEqual(self.status("GET", "/", {"Host": f"LocalHost:{port}"}), 200)

    def test_other_addresses_need_the_token(self):
        self.begin(*ENDLESS, "--dashboard-host", "127.0.0.2")
        self.assertTrue(self.where.startswith("127.0.0.2:"))
        self.assertRegex(self.token, "^[0-9a-f]{32}$")
        wrong = "0" * 32
        for method, path in (("GET", "/"), ("GET", "/dashboard.js"), ("GET", "/events"),
                             ("GET", "/nothing"), ("POST", "/stop")):
            for query in ("", "?token=", f"?token={wrong}", f"?token={self.token[:-1]}",
                          f"?token={self.token}0"):
                status, _, body = self.ask(method, path + query, CONTROL)
                self.assertEqual(status, 403, path + query)
                self.assertNotIn(self.token.encode(), body)
        status, headers, body = self.ask("GET", f"/?token={self.token}")
        self.assertEqual(status, 200)
        self.assertNotIn(self.token.encode(), body)
        cookie = headers["Set-Cookie"]
        self.assertIn("HttpOnly", cookie)
        self.assertIn("SameSite=Strict", cookie)
        with_cookie = {"Cookie": cookie.partition(";")[0], **CONTROL}
        self.assertEqual(self.status("GET", "/", with_cookie), 200)
        self.assertEqual(self.status("GET", "/", {"Cookie": cookie.partition("=")[0] + "=x"}), 403)
        stream = Stream(self.connect(), headers=with_cookie)
        self.assertIsNotNone(stream.until("head"))
        self.assertEqual(self.status("POST", "/stop", with_cookie), 200)
        self.assertEqual(self.wait_exit(), h.INTERRUPTED)

    def test_all_addresses(self):
        self.begin(*ENDLESS, "--dashboard-host", "0.0.0.0")
        self.where = "127.0.0.1:" + self.where.rpartition(":")[2]
        self.assertEqual(self.status("GET", "/"), 403)
        self.assertEqual(self.status("GET", f"/?token={self.token}"), 200)


class Load(Case):
    def test_stuck_clients_hold_nobody_up(self):
        self.begin(*ENDLESS)
        host, _, port = self.where.rpartition(":")
        request = f"GET /events HTTP/1.1\r\nHost: {self.where}\r\n".encode()
        for i in range(34):
            s = socket.socket()
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
            s.connect((host, int(port)))
            s.sendall(request + (b"\r\n" if i < 30 else b""))  # the last never end their request
            self.addCleanup(s.close)
        time.sleep(1)
        self.wait_steps(10)
        self.assertEqual(self.status("GET", "/"), 200)
        self.assertEqual(self.status("GET", "/events"), 503)
        begin = time.monotonic()
        self.assertEqual(self.status("POST", "/stop", CONTROL), 200)
        self.assertEqual(self.wait_exit(), h.INTERRUPTED)
        self.assertLess(time.monotonic() - begin, 60)

    def open(self, count, first=b""):
        """Sockets connected to the page, which have each sent that much."""
        host, _, port = self.where.rpartition(":")
        sockets = []
        for _ in range(count):
            s = socket.socket()
            self.addCleanup(s.close)
            s.settimeout(h.TIMEOUT)
            s.connect((host, int(port)))
            try:
                s.sendall(first)
            except OSError:
                pass  # it has been thrown out already
            sockets.append(s)
        return sockets

    def test_a_flood_keeps_nobody_out(self):
        self.begin(*ENDLESS)
        stream = self.stream()
        stream.until("head")
        flood = self.open(200) + self.open(200, b"GET / HTTP/1.1\r\nHost: ")
        self.wait_steps(5)
        for _ in range(5):
            self.assertEqual(self.status("GET", "/"), 200)
        self.assertIsNotNone(stream.until("now"))  # who watches is left alone
        self.assertEqual(len(flood), 400)
        self.assertEqual(self.status("POST", "/stop", CONTROL), 200)
        self.assertEqual(self.wait_exit(), h.INTERRUPTED)

    def test_a_trickle_is_cut_off(self):
        self.begin(*ENDLESS)
        slow = self.open(1, b"GET / HTTP/1.1\r\n")[0]
        slow.setblocking(False)

        def cut_off():
            try:
                slow.sendall(b"X")  # so that it never is idle
                return slow.recv(1) == b""
            except BlockingIOError:
                return False
            except OSError:
                return True
        self.assertTrue(h.wait_for(cut_off, self.process))
        self.assertEqual(self.status("GET", "/"), 200)

    def test_clients_that_leave_make_room(self):
        self.begin(*ENDLESS)
        served, end = 0, time.monotonic() + h.TIMEOUT
        while served < 60:
            self.assertLess(time.monotonic(), end)
            stream = self.stream()
            if stream.reply.status == 200:
                served += 1
            else:
                self.assertEqual(stream.reply.status, 503)
                time.sleep(0.5)
            stream.close()

    def test_costs_little(self):
        self.begin(*ENDLESS, "-v")
        stream = self.stream()
        reader = threading.Thread(target=lambda: [e for e in iter(stream.next, None)])
        reader.start()
        time.sleep(5)
        self.status("POST", "/stop", CONTROL)
        self.assertEqual(self.wait_exit(), h.INTERRUPTED)
        reader.join()
        share = float(re.search(r"dashboard: .* ([\d.]+) % of", self.err.read_text())[1])
        print(f"# the dashboard took {share} % of the time")
        # Valgrind and sanitizers slow it down, not the kernels.
        self.assertLess(share, 1 if "CLFCN_TEST_TIMEOUT" not in os.environ else 20)


class Hostile(Case):
    def raw(self, request, wait=True):
        """(status, body) of what comes back for those bytes, if that is waited for."""
        host, _, port = self.where.rpartition(":")
        with socket.create_connection((host, int(port)), timeout=h.TIMEOUT) as s:
            answer = b""
            try:
                s.sendall(request)
                while wait and (part := s.recv(65536)):
                    answer += part
            except OSError:
                pass  # it was cut off
        head, _, body = answer.partition(b"\r\n\r\n")
        return (int(head.split()[1]) if head else None), body

    def get(self, path, method="GET", headers=b""):
        return self.raw(f"{method} {path} HTTP/1.1\r\nHost: {self.where}\r\n".encode()
                        + headers + b"Connection: close\r\n\r\n")

    def test_requests_of_every_kind(self):
        self.begin(*ENDLESS)
        self.stream().until("results", lambda data: "samples/" in data)
        samples = self.run_dir / "samples"
        (self.run_dir / "secret.png").write_text("secret")
        os.mkfifo(samples / "pipe.png")
        (samples / "folder.png").mkdir()
        (samples / "text.txt").write_text("secret")
        bad = (400, 404)
        for path in ("/samples/../secret.png", "/samples/%2e%2e/secret.png",
                     "/samples/..%2fsecret.png", "/samples/%2e%2e%2f%2e%2e%2fetc%2fpasswd",
                     "/samples/..%5csecret.png", "/samples/%00", "/samples/.%00.png",
                     "/samples//secret.png", "/samples/x%2f..%2f..%2fsecret.png",
                     "//etc/passwd", "/../../../../etc/passwd", "/%2e%2e/secret.png",
                     "/samples/pipe.png", "/samples/folder.png", "/samples/text.txt",
                     "/samples/%ff%fe.png", "/samples/" + "a" * 300 + ".png", "*",
                     "http://evil.example/samples/x.png"):
            with self.subTest(path=path[:60]):
                status, body = self.get(path)
                self.assertIn(status, bad)
                self.assertNotIn(b"secret", body.replace(b"secret.png", b""))
                self.assertNotIn(b"root:", body)
        for method in ("PUT", "DELETE", "TRACE", "PATCH", "CONNECT", "OPTIONS", "get", "FOO"):
            with self.subTest(method=method):
                self.assertIn(self.get("/", method)[0], (400, 405))
        own = b"X-Clfcn-Control: 1\r\n"
        for name, request in {
                "an address of 100 kB": b"GET /" + b"a" * 100000 + b" HTTP/1.1\r\n\r\n",
                "a header of 100 kB": b"GET / HTTP/1.1\r\nX: " + b"a" * 100000 + b"\r\n\r\n",
                "10000 headers": b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 10000 + b"\r\n",
                "no host": b"POST /stop HTTP/1.1\r\n" + own + b"\r\n",
                "no host, HTTP/1.0": b"POST /stop HTTP/1.0\r\n" + own + b"\r\n",
                "a body that does not come": b"POST /stop HTTP/1.1\r\nHost: "
                + self.where.encode() + b"\r\n" + own + b"Content-Length: 999999999999\r\n\r\n"
                + b"x" * 1000000,
                "a negative length": b"POST /stop HTTP/1.1\r\nHost: " + self.where.encode()
                + b"\r\n" + own + b"Content-Length: -1\r\n\r\n",
                "no HTTP": bytes(range(256)) * 100,
                "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"}.items():
            with self.subTest(request=name):
                status, _ = self.raw(request, wait=name != "a body that does not come")
                self.assertNotEqual(status, 200)
        # None of these stopped it, and it answers as before.
        self.assertEqual(self.status("GET", "/"), 200)
        self.wait_steps(2)


class Report(h.Case):
    """The same page as a file, of runs that did not come to their end."""

    def page(self, out):
        self.ok("report", self.tmp / "run", "--out", out)
        return out.read_text()

    def test_no_step(self):
        data = h.make_dataset(self.tmp / "data", count=4)
        self.ok(*h.train_args(data, self.tmp / "run", "--max-steps", "0"))
        page = self.page(self.tmp / "page.html")
        self.assertIn("Finished: it was to take no more steps", page)
        self.assertIn("No epoch is complete yet", page)
        self.assertNotIn("<svg", page)

    def test_while_it_runs_and_once_it_is_killed(self):
        data, run = h.make_dataset(self.tmp / "data", count=4), self.tmp / "run"
        process = h.start(*h.train_args(data, run, *ENDLESS))
        self.addCleanup(process.kill)
        log = run / "log.jsonl"
        self.assertTrue(h.wait_for(lambda: log.exists() and log.read_text().count('"step"') > 9,
                                   process))
        page = self.page(self.tmp / "page.html")
        self.assertIn("unless it was killed", page)
        self.assertIn("<svg", page)
        self.assertIn("data:image/png;base64,", page)
        h.kill(process)
        with open(log, "a") as f:
            f.write('{"event":"step","loss":1e9')
        page = self.page(self.tmp / "page.html")
        self.assertNotIn("1e9", page)
        steps = log.read_text().count('"event":"step","epoch"')
        self.assertIn(f", {steps} steps", page)


class Options(h.Case):
    def setUp(self):
        super().setUp()
        self.data = h.make_dataset(self.tmp / "data", count=4)

    def args(self, *more):
        return [*h.train_args(self.data, self.tmp / "run", "--max-steps", "0"), *more]

    @unittest.skipUnless(HAVE, "built without libmicrohttpd")
    def test_a_port_that_is_taken(self):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            s.listen()
            port = s.getsockname()[1]
            self.fails(h.FAILED, [str(port), "in use", "--dashboard=0"],
                       *self.args(f"--dashboard={port}"))
        self.assertFalse((self.tmp / "run").exists())

    @unittest.skipUnless(HAVE, "built without libmicrohttpd")
    def test_ports(self):
        for more in (["--dashboard=0"], ["--dashboard", "0"]):
            r = self.ok(*self.args(*more, "--out", self.tmp / more[0]))
            self.assertRegex(r.err, r"(?m)^dashboard: http://127\.0\.0\.1:\d+/$")
        # Without a value it is 8097, which somebody may have.
        for more in (["--dashboard"], ["--dashboard", "--quiet"]):
            r = h.run(*self.args("--out", self.tmp / f"usual{len(more)}", *more))
            self.assertIn(r.code, (h.OK, h.FAILED), str(r))
            self.assertIn("8097", r.err)
        self.fails(h.USAGE, ["65535"], *self.args("--dashboard=70000"))
        self.fails(h.USAGE, ["65535"], *self.args("--dashboard=-1"))

    def test_wrong_usage(self):
        self.fails(h.USAGE, ["--dashboard", "whole number"], *self.args("--dashboard=x"))
        self.fails(h.USAGE, ["--dashboard", "empty"], *self.args("--dashboard="))
        self.fails(h.USAGE, ["--dashboard-host", "both"],
                   *self.args("--dashboard-host", "127.0.0.2"))

    @unittest.skipUnless(HAVE, "built without libmicrohttpd")
    def test_an_address_that_is_none(self):
        self.fails(h.FAILED, ["--dashboard", "203.0.113.1"],
                   *self.args("--dashboard=0", "--dashboard-host", "203.0.113.1"))

    @unittest.skipIf(HAVE, "built with libmicrohttpd")
    def test_built_without_it(self):
        self.fails(h.USAGE, ["libmicrohttpd", "build again"], *self.args("--dashboard=0"))


if __name__ == "__main__":
    tapunit.main()
