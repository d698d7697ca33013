#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The API as HTTP: every route is as openapi.json says, tokens, other sites' pages, conditional requests, TLS, and
clients that mean no good."""
import concurrent.futures
import contextlib
import gzip
import json
import re
import resource
import socket
import sys
import time

from certificates import Authority
from databases import DatabaseError, free_port
from described import Description
from harness import ROOT, args, main
from replayed import FLEET, at, lines
from telemetryd import API, EndpointCase, now_ns, receive, statuses, totals

sys.path.insert(0, str(ROOT / "tests" / "bench"))
import fleet  # noqa: E402

READ, WRITE = "reading-token-1", "writing-token-1"
ROUTE = re.compile(r'^ROUTE\((\w+), "(\w+)", "([^"]+)", (\w+), (\w+), "([^"]*)"', re.M)
ROUTES = ROUTE.findall((ROOT / "src/serve/routes.def").read_text())
KEYS = {  # that an answer has
    "vm-telemetry": {"count", "timestamp", "vms"}, "live-vms": {"count", "source", "vms"},
    "monitored-vms": {"count", "source", "last_collection", "vms"}, "vms": {"count", "source", "last_collection", "vms"},
    "vm-stats/83": {"vm_id", "metrics"}, "config": {"config"}, "events": {"count", "events"},
    "status": {"running", "started_at", "total_collections", "total_errors", "last_collection_time", "vms_monitored",
               "total_metrics_written", "influx_queue_size"},
    "diagnostic": {"status", "config", "kvm", "influx", "collector", "libvirt", "hosts", "history", "clock"},
    "history/83": {"vm_id", "source", "tier", "step_seconds", "from", "to", "series"},
}
# of each VM of vm-telemetry, in the report's words
VM_KEYS = {"id", "vm_id", "name", "vm_name", "uuid", "host", "state", "cpu_count", "memory_max", "memory_used", "cputime",
           "cpu_usage_percent", "memory_usage_percent", "disk_read_bytes", "disk_write_bytes", "network_rx_bytes",
           "network_tx_bytes", "cpu_rate", "memory_rate", "disk_read_rate", "disk_write_rate", "network_rx_rate",
           "network_tx_rate", "cpu_per_sec", "memory_per_sec", "disk_read_per_sec", "disk_write_per_sec",
           "network_rx_per_sec", "network_tx_per_sec", "telemetry", "sample_age_seconds", "memory_source", "missing"}


def real(path):
    return path.replace("{vm_id}", "83").replace("{file}", "uPlot.min.css")


class Http(EndpointCase):
    def with_tokens(self, **server):
        daemon = self.daemon(server={"read_token_file": self.secret(READ), "write_token_file": self.secret(WRITE), **server})
        daemon.token = WRITE
        return daemon

    def begin(self, method, path, daemon, headers=None):
        """(status, headers, the first bytes): also of an answer that does not end."""
        connection = daemon.connect()
        try:
            connection.request(method, path, headers=headers or {})
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read1(200)
        finally:
            connection.close()

    def test_openapi(self):
        """http: every route is in openapi.json, and answers as that says"""
        daemon = self.daemon()
        daemon.write(totals(83, now_ns()))
        described = daemon.json("/api/openapi.json")
        self.assertEqual(described, json.loads((ROOT / "share/openapi.json").read_text()))
        self.assertEqual({(path, method.upper()) for path, methods in described["paths"].items() for method in methods},
                         {(path, method) for _, method, path, *_ in ROUTES})
        for name, method, path, _, where, parameters in ROUTES:
            operation = described["paths"][path][method.lower()]
            good = min(operation["responses"])
            status, headers, body = self.begin(method, real(path), daemon)
            self.assertEqual(str(status), good, f"{name}: {body}")
            types = list(operation["responses"][good].get("content", {}))
            self.assertIn(headers["Content-Type"], types + ["text/css; charset=utf-8"] * ("*/*" in types) or [None], name)
            named = [one["name"] for one in operation["parameters"] if one["in"] == "query"]
            self.assertEqual(named, parameters.split(), name)
            self.assertEqual(headers["X-Content-Type-Options"], "nosniff", name)
            self.assertIn("default-src 'none'", headers["Content-Security-Policy"], name)
            self.check_wrong(daemon, method, real(path), where)
        for path, keys in KEYS.items():
            self.assertLessEqual(keys, set(daemon.json(path)), path)
        self.assertLessEqual(VM_KEYS, set(daemon.json("vm-telemetry")["vms"][0]))

    def test_described(self):
        """http: openapi.json describes every member of every answer, and its type; of little, of much, with a sink"""
        probe = args.build / "probes" / "vm_monitor"
        daemon = self.daemon(collector={"uris": "test:///default"})
        description = Description(daemon.json("/api/openapi.json"))
        daemon.write(totals(83, now_ns()))
        self.assert_described(daemon)
        daemon.write(at(lines(probe, *FLEET), now_ns()))
        daemon.write(f'vm_events,VMID=83,host=a,state=ACTIVE,lcm_state=RUNNING name="x",owner="eve",previous_state="PENDING",'
                     f'reason="why" {now_ns()}\nvm_events,VMID=84,state=DONE name="y" {now_ns()}\n{totals(83, now_ns(), cpu_s=3)}')
        self.settles(lambda: len(daemon.json("events")["events"]) > 2 and daemon.json("status")["history"]["written"], "no history")
        daemon.sections["sink a"] = {"type": "influxdb1", "url": f"http://127.0.0.1:{free_port()}", "database": "d"}
        spool = self.scratch / "spool-described"
        fleet.fill(spool, "gone", [(now_ns(), "x y=1 1\n")])
        daemon.sections["spool"] = {"dir": spool}
        daemon.sections["forward"] = {"program": "/bin/true"}
        daemon.reload()
        daemon.write(totals(83, now_ns(), cpu_s=4))
        answers = self.assert_described(daemon)
        self.assertEqual([one["name"] for one in answers[f"{API}/status"]["forwarding"]["not_configured"]], ["gone"])
        for what in ("start", "stop"):
            schema = description.answer("POST", f"{API}/{what}", 200)
            self.assertEqual(description.problems(daemon.post(what), schema, what), [])
        vms = answers[f"{API}/vm-telemetry"]["vms"]
        self.assertEqual(description.unseen(vms, "Vm") - {"locked"}, set())
        self.assertEqual(description.unseen(answers[f"{API}/monitored-vms"]["vms"], "MonitoredVm"), set())
        self.assertEqual(description.unseen([answers[f"{API}/status"]], "Status"), set())
        self.assertEqual(description.unseen(answers[f"{API}/status"]["forwarding"]["sinks"], "SinkStatus"), set())

    def test_errors_are_described(self):
        """http: each status that a route answers with is described, and its members"""
        daemon = self.with_tokens(max_body="64K")
        description = Description(daemon.json("/api/openapi.json"))
        long, stats = b"x" * (1 << 17), f"{API}/vm-stats/{{vm_id}}"
        seen = set()
        for method, path, target, status, body, headers, token in (
                ("GET", stats, "/84", 404, None, {}, READ), ("GET", stats, "/x", 400, None, {}, READ),
                ("GET", stats, "/83", 401, None, {}, None), ("POST", "/write", "", 403, b"", {}, READ),
                ("POST", "/write", "", 413, long, {}, WRITE), ("POST", "/write", "", 400, b"no lines", {}, WRITE),
                ("POST", "/api/v2/write", "", 400, b"no lines", {}, WRITE),
                ("POST", "/api/v3/write_lp", "", 400, b"no lines", {}, WRITE),
                ("POST", "/write", "", 415, b"x", {"Content-Encoding": "br"}, WRITE),
                ("POST", "/write", "", 400, b"x", {"Content-Encoding": "gzip"}, WRITE),
                ("GET", f"{API}/history/{{vm_id}}", "/84", 404, None, {}, READ),
                ("GET", f"{API}/history/{{vm_id}}", "/84?step=x", 400, None, {}, READ),
                ("GET", f"{API}/events", "?limit=x", 400, None, {}, READ)):
            got, _, answer = daemon.ask(method, path.replace("/{vm_id}", "") + target, body, headers, token=token)
            self.assertEqual(got, status, f"{path}{target}: {answer[:300]}")
            told = json.loads(answer)
            self.assertLessEqual({"error", "detail"}, set(told))
            self.assertEqual(description.problems(told, description.answer(method, path, status), f"{path} {status}"), [])
            seen |= set(told)
        self.assertEqual(seen, {"error", "detail", "data", "code", "message", "line"})
        for path, methods in description.paths.items():  # and what may come of any
            for operation in methods.values():
                self.assertIn("default", operation["responses"], path)

    def check_wrong(self, daemon, method, path, where):
        """Of each route: other methods, unknown parameters, HEAD, OPTIONS."""
        allowed = "GET, HEAD, OPTIONS" if method == "GET" else "POST, OPTIONS"
        for other in ("GET", "POST", "PUT", "DELETE", "PATCH"):
            if other == method:
                continue
            status, headers, body = daemon.ask(other, path)
            self.assertEqual((status, headers["Allow"]), (405, allowed), f"{other} {path}")
            self.assertEqual(set(json.loads(body)), {"error", "detail"})
        status, _, body = daemon.ask(method, f"{path}?bogus=1")
        self.assertEqual(status, 400, path)
        self.assertIn("bogus", json.loads(body)["detail"])
        status, headers, _ = daemon.ask("OPTIONS", path)
        self.assertEqual((status // 100, headers["Allow"]), (2, allowed), path)
        if method == "GET" and where != "STREAM":
            status, headers, body = daemon.ask("HEAD", path)
            self.assertEqual((status // 100, body), (2, b""), path)

    def test_paths(self):
        """http: what is no path of ours is 404 or 400, as JSON; tricks lead nowhere"""
        daemon = self.daemon()
        for path, status in (("/nothing", 404), ("/api/telemetry", 404), (f"{API}/vm-telemetry/", 400),
                             (f"{API}/vm-stats/", 400), (f"{API}/vm-stats/83/x", 404), (f"{API}/vm-stats/x", 400),
                             (f"{API}/vm-stats/83%27%20OR%201=1", 400), (f"{API}/vm-stats/12345", 404),
                             (f"{API}/history/83;DROP", 400), (f"{API}/../vm-telemetry", 400),
                             (f"{API}/%2e%2e/vm-telemetry", 400), (f"{API}/%2fvm-telemetry", 400), ("//metrics", 400),
                             ("/metrics%00", 400), ("/metrics%zz", 400), ("/metri%63s", 200), (f"{API}/vm%2Dtelemetry", 200)):
            got, headers, body = daemon.ask("GET", path)
            self.assertEqual(got, status, f"{path}: {body[:200]}")
            if status != 200:
                self.assertEqual(set(json.loads(body)), {"error", "detail"}, path)

    def test_conditional(self):
        """http: ETag and 304, gzip, Cache-Control; a write changes what is read"""
        daemon = self.daemon()
        daemon.write("".join(totals(vm, now_ns()) for vm in range(1, 50)))
        for path in (f"{API}/vm-telemetry", f"{API}/live-vms", f"{API}/monitored-vms", "/metrics"):
            status, headers, plain = daemon.ask("GET", path)
            tag = headers["ETag"]
            self.assertEqual(headers["Cache-Control"], "no-cache")
            for match in (tag, f'"x", {tag}', "*", tag.replace("W/", "")):
                status, again, body = daemon.ask("GET", path, headers={"If-None-Match": match})
                self.assertEqual((status, body, again["ETag"]), (304, b"", tag), f"{path} {match}")
            status, headers, packed = daemon.ask("GET", path, headers={"Accept-Encoding": "gzip"})
            self.assertEqual(headers["Content-Encoding"], "gzip")
            self.assertEqual(gzip.decompress(packed)[:20], plain[:20])
            status, headers, _ = daemon.ask("GET", path, headers={"Accept-Encoding": "gzip;q=0"})
            self.assertIsNone(headers["Content-Encoding"])
            daemon.write(totals(1, now_ns()))
            status, headers, body = daemon.ask("GET", path, headers={"If-None-Match": tag})
            self.assertEqual(status, 200, path)
            self.assertNotEqual(headers["ETag"], tag)
        self.assertEqual(daemon.ask("GET", f"{API}/status")[1]["Cache-Control"], "no-store")

    def test_tokens(self):
        """http: every route without a token, with a wrong one, with that for reading, with that for writing"""
        daemon = self.with_tokens()
        daemon.write(totals(83, now_ns()))
        for name, method, path, access, _, _ in ROUTES:
            for token, got in ((None, 401), ("wrong-token-1", 401), (READ, 403 if access == "WRITE" else 0), (WRITE, 0)):
                for scheme in ("Bearer", "Token"):
                    headers = {"Authorization": f"{scheme} {token}"} if token else {}
                    status, answer, body = self.begin(method, real(path), daemon, headers)
                    want = 0 if access == "OPEN" else got
                    self.assertTrue(status // 100 == 2 if want == 0 else status == want, f"{name} {token}: {status} {body}")
                    if status == 401:
                        self.assertIn("Bearer", answer["WWW-Authenticate"])
                        self.assertEqual(json.loads(body)["error"], "unauthorized")
        status, _, _ = daemon.ask("POST", "/write", totals(1, now_ns()), token=READ)
        self.assertEqual(status, 403)
        self.assertEqual(sorted(daemon.vms()), [83])
        pair = {"Authorization": "Basic dGVsZWdyYWY6d3JpdGluZy10b2tlbi0x"}  # telegraf:writing-token-1
        self.assertEqual(daemon.ask("POST", "/write", totals(2, now_ns()), pair, token=None)[0], 204)

    def test_refuses_to_listen(self):
        """http: it does not listen where others reach it without both tokens, unless told so; and says what to do"""
        for server in ({"listen": "0.0.0.0"}, {"listen": "::"}, {"listen": "0.0.0.0", "read_token_file": self.secret(READ)}):
            with self.assertRaises(DatabaseError) as refused:
                self.daemon(server=server)
            self.assertIn("read_token_file and write_token_file are needed", str(refused.exception))

    def test_other_sites(self):
        """http: pages of other sites: only the listed may read, none may change anything"""
        daemon = self.daemon(server={"origins": "https://sunstone.example.net"})
        for origin, allowed in (("https://sunstone.example.net", True), ("https://evil.example.net", False), ("null", False)):
            status, headers, _ = daemon.ask("GET", f"{API}/vm-telemetry", headers={"Origin": origin})
            self.assertEqual((status, headers["Access-Control-Allow-Origin"]), (200, origin if allowed else None))
            status, headers, _ = daemon.ask("OPTIONS", f"{API}/vm-telemetry", headers={
                "Origin": origin, "Access-Control-Request-Method": "GET"})
            self.assertEqual(headers["Access-Control-Allow-Origin"], origin if allowed else None)
            if not allowed:
                status, _, body = daemon.ask("POST", f"{API}/start", headers={"Origin": origin})
                self.assertEqual(status, 403, body)
        self.assertFalse(daemon.json("status")["running"])
        status, _, body = daemon.ask("GET", f"{API}/vm-telemetry", headers={"Host": "rebound.example.net"})
        self.assertEqual(status, 421, body)

    def test_config_is_masked(self):
        """http: /config has no secrets"""
        daemon = self.with_tokens()
        daemon.sections["collector"] = {"uris": "qemu+ssh://user:pass@kvm9/system"}
        daemon.reload()
        _, _, body = daemon.ask("GET", f"{API}/config")
        for secret in (READ, WRITE, "user:pass"):
            self.assertNotIn(secret.encode(), body)
        self.assertIn(b"***@kvm9", body)
        options = json.loads(body)["config"]["options"]
        self.assertRegex(options["server"]["port"]["origin"], r"telemetry\.conf:\d+")
        self.assertEqual(options["history"]["enabled"], {"value": "yes", "origin": "default"})

    def test_tls(self):
        """http: with a certificate it speaks TLS, and nothing else"""
        authority = Authority(self.scratch / "ca")
        cert, key = authority.server()
        daemon = self.daemon(scheme="https", server={"cert_file": cert, "key_file": key})
        daemon.write(totals(83, now_ns()))
        self.assertEqual(list(daemon.vms()), [83])
        self.assertEqual(statuses(daemon.raw(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")), [])


class Abuse(EndpointCase):
    """In the sanitized build. After each, it still answers and has not grown."""
    sanitized = True
    GROWTH_KB = 120 * 1024  # the sanitizer keeps what was freed for a while

    def setUp(self):
        self.server = self.daemon(server={"request_timeout": 2, "idle_timeout": 3, "send_timeout": 3, "max_body": "1M",
                                          "connections": 12000, "connections_per_address": 300})
        self.server.write(totals(83, now_ns()))
        self.before, self.growth_kb = self.server.memory_kb("VmRSS"), self.GROWTH_KB
        self.server.forget_peak()

    def tearDown(self):
        self.assertEqual(list(self.server.vms()), [83])
        self.assertLess(self.server.memory_kb() - self.before, self.growth_kb)  # at its peak

    def test_smuggling(self):
        """abuse: two lengths, or a length and chunks: refused, and what is hidden behind is never a request"""
        hidden = b"POST /api/telemetry/start HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n"
        heads = (b"Content-Length: 4\r\nContent-Length: %d", b"Content-Length: %d\r\nContent-Length: 4",
                 b"Content-Length: 4\r\nContent-Length: 4%.0d", b"Content-Length: %d\r\nTransfer-Encoding: chunked",
                 b"Transfer-Encoding: chunked\r\nContent-Length: %d", b"Transfer-Encoding: identity%.0d",
                 b"Content-Length: +4%.0d", b"Content-Length: 4, 4%.0d", b"Transfer-Encoding: gzip, chunked%.0d")
        for head in heads:
            for method in (b"POST /write", b"GET /healthz"):
                data = method + b" HTTP/1.1\r\nHost: localhost\r\n" + head % (4 + len(hidden)) + b"\r\n\r\n0\r\n\r" + hidden
                got = statuses(self.server.raw(data, timeout=5))
                self.assertTrue(all(status in (400, 501) for status in got), f"{head}: {got}")
        self.assertFalse(self.server.json("status")["running"])

    def test_garbage(self):
        """abuse: garbage, long heads, odd versions"""
        for data in (b"\0" * 1000, b"\xff" * 5000, b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\r\n" * 5000,
                     b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 100000 + b"\r\n\r\n",
                     b"GET /" + b"a" * 100000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
                     b"GET /healthz HTTP/1.1\r\n" + b"X: y\r\n" * 20000 + b"\r\n",
                     b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"):
            got = statuses(self.server.raw(data, timeout=6))
            self.assertTrue(all(status >= 400 for status in got), f"{data[:40]}: {got}")

    def test_pipelining(self):
        """abuse: many requests in one piece are answered one by one"""
        data = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n" * 500
        got = statuses(self.server.raw(data + b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"))
        self.assertEqual(got, [200] * 501)

    def test_unread_answers(self):
        """abuse: requests without end in one connection, whose answers nobody takes, do not pile up"""
        self.server.write("".join(totals(vm, now_ns(), host="other") for vm in range(1000, 2000)))
        data, sent = b"GET /api/telemetry/vm-telemetry HTTP/1.1\r\nHost: localhost\r\n\r\n" * 100, 0
        with socket.create_connection(("127.0.0.1", self.server.port), timeout=1) as sock:
            with contextlib.suppress(OSError):
                while sent < 1 << 28:
                    sent += sock.send(data)
            self.assertLess(sent, 1 << 28)  # it reads no more
            self.assertEqual(self.server.json("vm-telemetry")["count"], 1001)
        self.server.write("".join(f"vm_events,VMID={vm},state=DONE x=\"\" {now_ns()}\n" for vm in range(1000, 2000)))
        self.settles(lambda: list(self.server.vms()) == [83], "not ended")

    def drip(self, pieces, seconds=30):
        """How long a client holds out that sends a byte now and then."""
        began = time.monotonic()
        with socket.create_connection(("127.0.0.1", self.server.port), timeout=0.2) as sock:
            for piece in pieces:
                if time.monotonic() - began > seconds:
                    break
                try:
                    sock.sendall(piece)
                    if sock.recv(1000) == b"":
                        break
                except TimeoutError:
                    continue
                except OSError:
                    break
        return time.monotonic() - began

    def test_slow_clients(self):
        """abuse: heads and bodies that come a byte at a time, and idle connections, are given up; others are served"""
        head = [b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: "] + [b"a"] * 1000
        body = [b"POST /write HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n"] + [b"#"] * 1000
        idle = [b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"] + [b""] * 1000
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            clients = [pool.submit(self.drip, pieces) for pieces in (head, body, idle, [b""] * 1000)]
            while not all(client.done() for client in clients):
                self.assertEqual(self.server.json("vm-telemetry")["count"], 1)
                time.sleep(0.2)
        for client in clients:
            self.assertLess(client.result(), 15)

    def test_slow_readers(self):
        """abuse: a client that does not take its answer is given up"""
        self.server.write("".join(totals(vm, now_ns()) for vm in range(1000, 3000)))
        self.before = self.server.memory_kb("VmRSS")
        with contextlib.ExitStack() as stack:
            socks = []
            for _ in range(20):
                sock = stack.enter_context(socket.socket())
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                sock.connect(("127.0.0.1", self.server.port))
                sock.sendall(b"GET /api/telemetry/vm-telemetry HTTP/1.1\r\nHost: localhost\r\n\r\n")
                socks.append(sock)
            time.sleep(8)
            for sock in socks:
                sock.settimeout(5)
                self.assertLess(len(receive(sock)), 2_000_000)
        self.server.write("".join(f"vm_events,VMID={vm},state=DONE x=\"\" {now_ns()}\n" for vm in range(1000, 3000)))
        self.settles(lambda: list(self.server.vms()) == [83], "not ended")

    def test_large_body(self):
        """abuse: a body of 1 GB, announced or in chunks, costs nothing"""
        head = b"POST /write HTTP/1.1\r\nHost: localhost\r\n"
        size, piece = 1 << 30, b"#" * (1 << 16)
        got = statuses(self.server.raw(head + b"Content-Length: %d\r\n\r\n" % size))
        self.assertEqual(got, [413])
        for announced in (True, False):
            with socket.create_connection(("127.0.0.1", self.server.port), timeout=20) as sock:
                sock.sendall(head + (b"Content-Length: %d\r\n\r\n" % size if announced else b"Transfer-Encoding: chunked\r\n\r\n"))
                sent = 0
                with contextlib.suppress(OSError):
                    while sent < size:
                        sock.sendall(piece if announced else b"%x\r\n%s\r\n" % (len(piece), piece))
                        sent += len(piece)
                got = statuses(receive(sock))
                self.assertIn(got, ([413], []))
                self.assertLess(sent, size)

    def test_many_connections(self):
        """abuse: 10,000 connections from many addresses; a good client is answered meanwhile"""
        self.growth_kb = 700 * 1024  # what 10,000 have, and the sanitizer with each piece of it
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 20000), hard))
        held, refused = [], 0
        try:
            for i in range(10000):
                sock = socket.socket()
                sock.settimeout(5)
                try:
                    sock.bind((f"127.1.{i % 200}.{i % 100 + 1}", 0))
                    sock.connect(("127.0.0.1", self.server.port))
                    held.append(sock)
                except OSError:
                    refused += 1
                    sock.close()
                if i % 500 == 0:
                    self.assertEqual(self.server.json("vm-telemetry")["count"], 1)
            self.assertEqual(self.server.json("vm-telemetry")["count"], 1)
            self.assertEqual(refused, 0)
            self.settles(lambda: self.server.descriptors() > 10000, f"but {self.server.descriptors()} descriptors")
            self.assertEqual(self.server.json("vm-telemetry")["count"], 1)
        finally:
            for sock in held:
                sock.close()
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        self.settles(lambda: self.server.descriptors() < 1000, "they are not given back")

    def test_one_address(self):
        """abuse: one address gets its share of connections, and no more; others are served"""
        with contextlib.ExitStack() as stack:
            socks = []
            for _ in range(600):
                sock = stack.enter_context(socket.socket())
                sock.bind(("127.0.0.9", 0))
                sock.settimeout(0.5)
                with contextlib.suppress(OSError):
                    sock.connect(("127.0.0.1", self.server.port))
                    socks.append(sock)
            served = 0
            time.sleep(1)  # until all were taken, or not
            for sock in socks:
                with contextlib.suppress(OSError):
                    sock.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                    served += b"200" in sock.recv(100)
            self.assertLessEqual(served, 300 + 16)  # so many may be on their way at a time
            self.assertGreater(served, 100)
            self.assertEqual(self.server.json("vm-telemetry")["count"], 1)


if __name__ == "__main__":
    raise SystemExit(main())
