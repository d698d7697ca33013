#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""telemetryd's own life: configuration, start, readiness, reload, end; what Prometheus makes of it; and a build with
ThreadSanitizer under load."""
import concurrent.futures
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import threading
import time

from databases import DatabaseError, find
from harness import ROOT, args, main
from replayed import FLEET, at, lines
from telemetryd import API, EndpointCase, Events, Telemetryd, now_ns, totals


def run(program, *words, env=None):
    return subprocess.run([program, *map(str, words)], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=60, env={**os.environ, **(env or {})}, check=False)


class Life(EndpointCase):
    @property
    def program(self):
        return args.build / "serve" / "telemetryd"

    def conf(self, text):
        type(self).hosts += 1
        path = self.scratch / f"conf-{self.hosts}"
        path.write_text(text)
        return path

    def no_certificate(self):
        return f"[server]\ncert_file = {self.secret('garbage')}\nkey_file = {self.secret('garbage')}\n"

    def test_check_config(self):
        """life: --check-config says what is right, or where and what is wrong"""
        good = self.conf("[server]\nport = 4300\n[collector]\nenabled = yes\n[sink a]\nurl = http://x:1\ndatabase = d\n"
                         f"[forward]\nprogram = {args.build / 'hooks' / 'forward'}\n")
        got = run(self.program, "--config", good, "--check-config")
        self.assertEqual((got.returncode, got.stderr), (0, ""))
        said = got.stdout
        self.assertRegex(got.stdout, rf"^{good}: fine\. Listens on 127\.0\.0\.1 port 4300, no token needed; .*1 sink to relay")
        alone = self.conf(good.read_text().replace("hooks/forward", "hooks/none"))
        got = run(self.program, "--config", alone, "--check-config")
        self.assertEqual((got.returncode, got.stdout), (0, said.replace(str(good), str(alone))))
        self.assertRegex(got.stderr, r"not sent: there is no forwarder .*hooks/none; .* named by program in \[forward\]")
        for text, words in (("[server]\nprot = 1\n", r"conf-\d+:2: \[server\] prot = 1: unknown key"),
                            ("[server]\nport = 99999\n", r"conf-\d+:2: \[server\] port = 99999: expected a whole number"),
                            ("[server]\nlisten = 0.0.0.0\n", "read_token_file and write_token_file are needed"),
                            (self.no_certificate(), "expected a certificate in PEM format and the key"),
                            ("[server]\nread_token_file = /nowhere\n", r"\[server\] read_token_file: .*/nowhere"),
                            ("[server]\nport = 4300\n[sink a]\ntype = telemetryd\nurl = http://localhost:4300/\n",
                             r"\[sink a\] url = http://localhost:4300/: this telemetryd itself listens there"),
                            ("[sink a]\nurl = ftp://x\n", r"\[sink a\]"), ("[collector]\ninterval = 0.5\n", "seconds from 1")):
            got = run(self.program, "--config", self.conf(text), "--check-config")
            self.assertEqual((got.returncode, got.stdout), (2, ""), text)
            self.assertRegex(got.stderr, f"telemetryd: .*{words}", text)
            self.assertEqual(run(self.program, "--config", self.conf(text)).returncode, 2, text)
        twice = run(self.program, "--config", self.conf("[server]\nlisten = 0.0.0.0\n[sink a]\nurl = ftp://x\n"), "--check-config")
        self.assertRegex(twice.stderr, r"(?s)\[sink a\].*\n.*write_token_file are needed", "each problem")
        self.assertEqual(run(self.program, "--config", "/nowhere/at/all").returncode, 2)
        self.assertEqual(run(self.program, "--bogus").returncode, 2)
        self.assertEqual(run(self.program, "word").returncode, 2)
        self.assertIn("telemetryd (one-telemetry)", run(self.program, "--version").stdout)
        dumped = run(self.program, "--config", good, "--dump-config").stdout
        self.assertIn("port = 4300", dumped)
        self.assertEqual(run(self.program, "--config", self.conf(dumped), "--check-config").returncode, 0)

    def test_no_forwarder(self):
        """life: at the start and at each reload the log says when nothing would be sent to the sinks; it runs all the same"""
        daemon = self.daemon(sink__a={"type": "telemetryd", "url": "http://127.0.0.1:9"}, forward={"program": "/none"},
                             spool={"dir": self.scratch / "spool-none"})
        self.assertEqual(daemon.log_text().count("there is no forwarder /none"), 1, daemon.log_text())
        daemon.sections["forward"]["program"] = "/bin/true"
        self.assertNotIn("there is no forwarder", daemon.reload())
        daemon.sections["forward"]["program"] = "/none"
        self.assertIn("there is no forwarder /none", daemon.reload())

    def test_one_at_a_time(self):
        """life: a second one for the same directory, or the same port, is refused, and says why"""
        daemon = self.daemon()
        got = run(self.program, "--config", daemon.conf, "--port", "1")
        self.assertEqual(got.returncode, 1)
        self.assertIn("another telemetryd works here", got.stderr)
        got = run(self.program, "--config", daemon.conf, "--state-dir", self.scratch / "other")
        self.assertEqual(got.returncode, 1)
        self.assertRegex(got.stderr, rf"127\.0\.0\.1.*{daemon.port}.*in use")
        self.assertEqual(daemon.vms(), {})

    def test_notify(self):
        """life: it tells systemd when it is ready, reloads and stops, and feeds the watchdog"""
        path = self.scratch / "notify"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
            heard.bind(str(path))
            heard.settimeout(30)
            conf = self.conf(f"[server]\nport = {self.free_port()}\nstate_dir = {self.scratch / 'notified'}\n")
            process = subprocess.Popen([self.program, "--config", conf], stderr=subprocess.PIPE, text=True,
                                       env={**os.environ, "NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "5000000"})
            self.cleanup(process.kill)
            def until(word):
                while word not in (got := heard.recv(1000).decode()):
                    pass
                return got
            self.assertRegex(until("READY=1"), r"STATUS=listens on 127\.0\.0\.1 port")
            until("WATCHDOG=1")
            process.send_signal(signal.SIGHUP)
            self.assertRegex(until("RELOADING=1"), r"MONOTONIC_USEC=\d+")
            until("READY=1")
            process.send_signal(signal.SIGTERM)
            until("STOPPING=1")
            _, err = process.communicate(timeout=30)
            self.assertEqual(process.returncode, 0, err)

    @staticmethod
    def free_port():
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return probe.getsockname()[1]

    def test_reload(self):
        """life: SIGHUP: what is right takes effect, what is wrong leaves all as it was; nothing known is lost"""
        daemon = self.daemon()
        daemon.write(totals(83, now_ns()))
        daemon.sections["telemetry"] = {"degrees_bytes": "2M", "stale_after": "3s"}
        daemon.sections["collector"] = {"interval": 1}
        daemon.reload()
        self.settles(lambda: daemon.vms()[83]["telemetry"] == "stale", "not stale")
        daemon.sections["server"]["write_token_file"] = self.secret("writing-token-1")
        log = daemon.reload()
        self.assertIn("read again", log)
        self.assertEqual(daemon.ask("POST", "/write", totals(84, now_ns()))[0], 401)
        daemon.token = "writing-token-1"
        daemon.write(totals(84, now_ns()))
        self.assertEqual(sorted(daemon.vms()), [83, 84])
        good = daemon.conf.read_text()
        for wrong, word in (("[server]\nport = x\n", "port"), ("[nothing]\n", "nothing"), ("[server]\nlisten = 0.0.0.0\n", "needed"),
                            (self.no_certificate(), "certificate")):
            before = len(daemon.log_text())
            daemon.conf.write_text(wrong)
            daemon.process.send_signal(signal.SIGHUP)
            self.settles(lambda: "the one before stays in effect" in daemon.log_text()[before:], "not told")
            self.assertIn(word, daemon.log_text()[before:])
            self.assertEqual(sorted(daemon.vms()), [83, 84])
        daemon.conf.write_text(good)

    def test_start_and_stop_at_once(self):
        """life: many who start and stop it at the same time are all answered, and what is noted down is how it ended"""
        daemon = self.daemon(collector={"uris": "test:///default", "interval": 3600},
                             telemetry={"stale_after": "3h"}, server={"workers": 8})
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            for _ in range(40):
                words = ("start", "stop") * 4
                got = list(pool.map(lambda word: daemon.ask("POST", f"{API}/{word}", "")[0], words))
                self.assertEqual(set(got), {200})
                noted = (daemon.state / "collector").read_text()
                self.assertEqual(noted, "running\n" if daemon.json("status")["running"] else "stopped\n")

    def test_blind(self):
        """life: where libvirt never answers and nobody else feeds, 503 and why, not "no VMs"; until something is known"""
        daemon = self.daemon(collector={"uris": "qemu+unix:///system?socket=/nonexistent", "interval": 1, "enabled": "yes"})
        lists = [f"{API}/vm-telemetry", f"{API}/live-vms"]
        self.settles(lambda: daemon.ask("GET", lists[0])[0] == 503, "an empty list")
        for path in lists:
            status, headers, body = daemon.ask("GET", path)
            self.assertEqual((status, headers["Retry-After"]), (503, "5"), path)
            answer = json.loads(body)
            self.assertEqual(answer["error"], "unavailable")
            self.assertRegex(answer["detail"], "no libvirt connection answers: .*/nonexistent")
        self.assertEqual(daemon.json("monitored-vms")["count"], 0)
        with Events(daemon) as events:
            first = events.next()
            self.assertEqual((first[1], first[2]["vms"], first[2]["error"]), ("snapshot", [], "unavailable"))
            daemon.write(totals(83, now_ns()))
            self.assertEqual(events.until("sample")[2]["vms"][0]["vm_id"], 83)
        self.assertEqual(sorted(daemon.vms()), [83])
        daemon.write(f'vm_events,VMID=83,state=DONE,lcm_state=0 name="x" {now_ns()}\n')
        self.settles(lambda: daemon.vms() == {}, "probes that feed know of none: that is an answer")

    def test_blind_until_stopped(self):
        """life: with the collector stopped nobody claims to look, so the list is what is known: empty"""
        daemon = self.daemon(collector={"uris": "qemu+unix:///system?socket=/nonexistent", "interval": 1})
        self.assertEqual(daemon.vms(), {})
        daemon.post("start")
        self.settles(lambda: daemon.ask("GET", f"{API}/vm-telemetry")[0] == 503, "an empty list")
        daemon.post("stop")
        self.assertEqual(daemon.vms(), {})

    def test_stopped_is_not_ok(self):
        """life: a collector that does not run is told as stopped, with what to do; and so are its hosts, when they are old"""
        daemon = self.daemon(collector={"uris": "test:///default", "interval": 1, "host": "kvm1"},
                             telemetry={"stale_after": "3s"})
        def verdict():
            told = daemon.json("diagnostic")
            return told["libvirt"][0]["status"], told["kvm"]["status"]
        self.assertEqual(verdict(), ("stopped", "stopped"))
        one = daemon.json("status")["libvirt"][0]
        self.assertEqual((one["last_collection"], one["error"]), (None, None))
        self.assertIn("POST /api/telemetry/start", one["advice"])
        daemon.post("start")
        self.settles(lambda: verdict() == ("ok", "connected"), "not collected")
        one = daemon.json("diagnostic")["libvirt"][0]
        self.assertEqual((one["vms"], one["left_out"]), (0, 1), "its only domain is called test")
        self.assertEqual(daemon.json("diagnostic")["hosts"][0]["status"], "ok")
        daemon.post("stop")
        self.assertEqual(verdict(), ("stopped", "stopped"))
        daemon.write(totals(84, now_ns(), host="kvm2"))
        old = self.settles(lambda: (hosts := daemon.json("diagnostic")["hosts"])[1:] and
                           [one["status"] for one in hosts] == ["error", "error"] and hosts, "not old")
        self.assertEqual([(one["host"], one["source"]) for one in old], [("kvm1", "libvirt"), ("kvm2", "probes")])
        self.assertIn("POST /api/telemetry/start", old[0]["advice"])
        self.assertNotIn("forward --status", old[0]["advice"])
        self.assertIn("forward --status", old[1]["advice"])
        self.assertNotIn("libvirt", old[1]["advice"])

    def test_users_are_hidden(self):
        """life: no answer shows the user or password of a connection"""
        uris = "qemu+tcp://me:pa@ssword@127.0.0.1:1/system,qemu+tcp://me:pass/word@127.0.0.1:1/system"
        daemon = self.daemon(collector={"uris": uris, "interval": 1, "enabled": "yes"})
        self.settles(lambda: daemon.json("status")["total_errors"] >= 2, "it does not fail")
        for path in ("status", "config", "diagnostic", "vm-telemetry"):
            text = daemon.ask("GET", f"{API}/{path}")[2].decode()
            self.assertNotRegex(text, r"me:|pa@|ssword|pass/|\\\\1", path)
            self.assertIn("qemu+tcp://***@127.0.0.1:1/system", text)

    def test_end(self):
        """life: SIGTERM: requests under way are answered, streams end, what was taken is in the history"""
        daemon = self.daemon()
        daemon.write(totals(83, now_ns(), cpu_s=1))
        daemon.write(totals(83, now_ns(), cpu_s=1))
        with Events(daemon) as events, contextlib.closing(daemon.connect()) as slow:
            events.next()
            text = totals(84, now_ns()).encode()
            slow.putrequest("POST", "/write?precision=ns")
            slow.putheader("Content-Length", str(len(text)))
            slow.endheaders()
            slow.send(text[:10])
            time.sleep(0.2)
            daemon.process.send_signal(signal.SIGTERM)
            time.sleep(0.3)
            slow.send(text[10:])
            self.assertEqual(slow.getresponse().status, 204)
            with contextlib.suppress(OSError):
                while events.next():
                    pass
        self.assertEqual(daemon.process.wait(30), 0)
        daemon.start()
        self.assertEqual(sorted(daemon.vms()), [83, 84])

    def test_metrics(self):
        """life: promtool accepts /metrics, of none, three and many VMs; stale ones have no figures there"""
        daemon = self.daemon(telemetry={"stale_after": "3s"}, collector={"interval": 1})
        promtool = find("promtool")
        def check(label, there=lambda text: True):
            # A rendering that is costly may be the one before, for a moment.
            body = self.settles(lambda: next((body for _, _, body in [daemon.ask("GET", "/metrics")] if there(body.decode())), None), label)
            got = subprocess.run([promtool, "check", "metrics"], input=body, capture_output=True, timeout=60, check=False)
            self.assertEqual((got.returncode, got.stderr, got.stdout), (0, b"", b""), label)
            return body.decode()
        self.assertIn("one_telemetryd_info", check("none"))
        probe = args.build / "probes" / "vm_monitor"
        daemon.write(at(lines(probe, *FLEET), now_ns()))
        text = check("fleet", lambda text: re.search(r'one_vm_cpu_usage_ratio\{vm_id="\d+"', text))
        self.assertRegex(text, r'one_nic_receive_bytes_total\{')
        odd = 'a\\"b\\\\ <script> \\u202e'
        daemon.write(f'vm_info,VMID=7 vm_name="{odd}" {now_ns()}\n' + "".join(totals(vm, now_ns()) for vm in range(1000, 2000)))
        check("many", lambda text: len(re.findall(r"^one_vm_telemetry\{", text, re.M)) == len(daemon.vms()))
        self.settles(lambda: {vm["telemetry"] for vm in daemon.vms().values()} <= {"stale", "missing"}, "not stale")
        text = check("stale", lambda text: not re.search(r"(?m)^one_vm_cpu_seconds_total\{", text))
        self.assertRegex(text, r'(?m)^one_vm_telemetry\{.*telemetry="stale"\} 1')


class Threads(EndpointCase):
    SECONDS = 12

    def test_thread_sanitizer(self):
        """life: under ThreadSanitizer, with writers, readers, streams, reloads, start and stop at once: no race"""
        made = subprocess.run(["make", "-j2", "SANITIZE=thread", "build/thread/serve/telemetryd"], cwd=ROOT, capture_output=True,
                              text=True, timeout=600, check=False)
        self.assertEqual(made.returncode, 0, made.stderr[-2000:])
        Instrumented = type("Instrumented", (Telemetryd,), {"environment": {
            "G_SLICE": "always-malloc", "TSAN_OPTIONS": f"suppressions={ROOT / 'tests/tsan/suppressions'}"}})
        daemon = Instrumented(self.scratch / "tsan", ROOT / "build/thread/serve/telemetryd",
                            collector={"uris": "test:///default", "interval": 1})
        self.addCleanup(self.end, daemon)
        stop = threading.Event()

        def loop(work):
            count = 0
            while not stop.is_set():
                with contextlib.suppress(OSError, DatabaseError, ValueError):
                    work()
                    count += 1
            return count

        def stream():
            with Events(daemon, timeout=2) as events:
                for _ in range(20):
                    events.next()

        def control():
            daemon.post("start")
            daemon.post("stop")
            time.sleep(0.1)

        def reload():
            daemon.process.send_signal(signal.SIGHUP)
            time.sleep(0.5)

        def read():
            for path in ("vm-telemetry", "live-vms", "monitored-vms", "vm-stats/5", "status", "diagnostic", "config", "events",
                         "history/5?from=-1h"):
                daemon.ask("GET", f"{API}/{path}")
            daemon.ask("GET", "/metrics", headers={"Accept-Encoding": "gzip"})

        def write():
            daemon.write("".join(totals(vm, now_ns()) for vm in range(1, 200)))
            daemon.write(f'vm_events,VMID=5,state=ACTIVE,lcm_state=3 name="x" {now_ns()}\n')

        with concurrent.futures.ThreadPoolExecutor(10) as pool:
            jobs = [pool.submit(loop, work) for work in (write, write, read, read, stream, stream, control, reload)]
            time.sleep(self.SECONDS)
            stop.set()
            counts = [job.result(60) for job in jobs]
        self.assertTrue(all(counts), counts)
        daemon.stop()
        before, warning, behind = daemon.log_text().partition("WARNING: ThreadSanitizer")
        self.assertEqual(warning, "", before[-500:] + warning + behind[:9000])
        self.assertEqual(daemon.process.returncode, 0, daemon.log_text()[-3000:])


if __name__ == "__main__":
    raise SystemExit(main())
