#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What writers send to telemetryd: the paths of InfluxDB 1, 2 and 3, what is refused of it, what becomes of it here and at
our own sinks, and VMs that several speak for."""
import contextlib
import gzip
import json
import pathlib
import signal
import socket
import subprocess
import sys
import threading
import time

from databases import Influxd, free_port
from forwarding import batches
from harness import args, main
from replayed import FLEET, at, lines
from telemetryd import API, SECOND, EndpointCase, Events, host_totals, now_ns, totals

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "bench"))
import fleet  # noqa: E402

UNITS = {"ns": 1, "u": 10**3, "us": 10**3, "ms": 10**6, "s": SECOND, "nanosecond": 1, "microsecond": 10**3,
         "millisecond": 10**6, "second": SECOND}
PATHS = (("/write", ("ns", "u", "us", "ms", "s")), ("/api/v2/write?org=o&bucket=b", ("ns", "us", "ms", "s")),
         ("/api/v3/write_lp?db=d", ("nanosecond", "microsecond", "millisecond", "second", "auto", "ns", "us", "ms", "s")))


class Passage:
    """Another address of a server on this machine, as a proxy's is."""

    def __init__(self):
        self.to = None
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                near = self.socket.accept()[0]
            except OSError:
                return
            try:
                far = socket.create_connection(("127.0.0.1", self.to))
            except OSError:  # it is not there any more
                near.close()
                continue
            for pair in ((near, far), (far, near)):
                threading.Thread(target=self.copy, args=pair, daemon=True).start()

    @staticmethod
    def copy(source, target):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)


class Feeding(EndpointCase):

    def test_paths_and_precisions(self):
        """feeding: all paths of InfluxDB take lines, packed or not, in each of their precisions"""
        daemon = self.daemon()
        vm_id = 0
        for path, precisions in PATHS:
            for precision in precisions:
                for packed in (False, True):
                    vm_id += 1
                    stamp = now_ns() // UNITS.get(precision, SECOND)
                    join = "&" if "?" in path else "?"
                    daemon.write(totals(vm_id, stamp), f"{path}{join}precision={precision}", packed=packed)
                    vm = daemon.vms()[vm_id]
                    self.assertLess(vm["sample_age_seconds"], 60, f"{path} {precision}")
                    self.assertEqual(vm["telemetry"], "warming_up")
            for wrong in ("days", "NS", ""):
                if wrong:
                    got = daemon.write(totals(1, 1), f"{path}{'&' if '?' in path else '?'}precision={wrong}", status=400)
                    self.assertIn("precision", got["detail"])
        daemon.write(totals(900, now_ns()), "/write")
        for precision, unit in (("n", 1), ("m", 60 * SECOND), ("h", 3600 * SECOND)):
            daemon.write(totals(901, now_ns() // unit), f"/write?precision={precision}")
            self.assertLess(daemon.vms()[901]["sample_age_seconds"], unit // SECOND + 60, precision)

    def stats(self, daemon, vm_id):
        """Of a VM, without what is the endpoint's own word: how old its figures are, when it first heard of it."""
        got = daemon.json(f"vm-stats/{vm_id}")
        return {name: got[name] for name in ("vm_id", "name", "uuid", "host", "metrics", "timestamp", "nics", "disks", "vcpus",
                                             "missing")}

    def test_stats_as_lines(self):
        """feeding: vm-stats as lines, written to another endpoint, is the same vm-stats there"""
        one, other = self.daemon(), self.daemon()
        now, probe = now_ns(), args.build / "probes" / "vm_monitor"
        one.write(at(lines(probe, *FLEET), now))
        for ago, cpu_s in ((10, 3), (0, 4.5)):  # whose rates are made here
            one.write(totals(9000, now - ago * SECOND, cpu_s=cpu_s, host="kvm\\ 9\\,x") +
                      f'vm_info,VMID=9000,host=kvm\\ 9\\,x,uuid=u-9000 vm_name="a \\"b\\" \\\\ c, d=é" {now}\n')
        seen = set()
        self.assertGreater(len(one.vms()), 5)
        for vm_id in one.vms():
            status, headers, text = one.ask("GET", f"{API}/vm-stats/{vm_id}?format=line")
            self.assertEqual((status, headers["Content-Type"]), (200, "text/plain; charset=utf-8"))
            self.assertEqual({line.split(b" ")[-1] for line in text.splitlines()}, {str(now).encode()}, text)
            seen |= {line.partition(b",")[0] for line in text.splitlines()}
            other.write(text)
            self.assertEqual(self.stats(other, vm_id), self.stats(one, vm_id))
        self.assertEqual(seen, {b"vm_totals", b"vm_devices", b"vm_vcpus", b"vm_info"})
        self.assertEqual(self.stats(other, 9000)["host"], "kvm 9,x")
        metrics = self.stats(other, 9000)["metrics"]
        self.assertEqual(metrics["vm_name"], 'a "b" \\ c, d=é')
        self.assertIn("cpu_usage_percent", metrics)
        self.assertEqual(one.json("vm-stats/9000?format=json")["metrics"], metrics)
        one.write(f'vm_events,VMID=9001,host=a,state=ACTIVE,lcm_state=RUNNING name="x" {now}\n')
        for path, status, said in (("9001?format=line", 200, b""), ("9002?format=line", 404, b"was never seen"),
                                   ("9000?format=xml", 400, b"expected json or line"), ("9000?format=", 400, b"expected json"),
                                   ("x?format=line", 400, b"is no VM")):
            got, _, body = one.ask("GET", f"{API}/vm-stats/{path}")
            self.assertEqual(got, status, path)
            self.assertTrue(said in body if said else body == b"", f"{path}: {body}")

    def test_what_is_refused(self):
        """feeding: what is good of a body is taken, what is not is named; damaged and too large bodies are refused"""
        daemon = self.daemon(server={"max_body": "64K", "max_lines_size": "128K"})
        for path, precision in (("/write", "ns"), ("/api/v2/write?org=o&bucket=b", "ns"), ("/api/v3/write_lp?db=d", "nanosecond")):
            text = totals(1, now_ns()) + "no line protocol\n" + totals(2, now_ns()) + "vm_totals,VMID=3 x= 5\n"
            got = daemon.write(text, f"{path}{'&' if '?' in path else '?'}precision={precision}", status=400)
            self.assertEqual(sorted(daemon.vms()), [1, 2])
            self.assertEqual([line["line_number"] for line in got["data"]], [2, 4], got)
            self.assertIn("partial write", got["error"])
            self.assertIn("2 of 4 lines", got["detail"])
        whole = gzip.compress(totals(1, now_ns()).encode())
        bad = {"cut": (whole[:-5], 400), "junk behind": (whole + b"junk", 400), "no gzip": (b"text", 400),
               "a bomb": (gzip.compress(b"x" * (1 << 24)), 413), "too large": (b"x" * (1 << 17), 413)}
        for name, (body, status) in bad.items():
            headers = {} if name == "too large" else {"Content-Encoding": "gzip"}
            got, _, answer = daemon.ask("POST", "/write", body, headers)
            self.assertEqual(got, status, f"{name}: {answer[:300]}")
            self.assertEqual(sorted(json.loads(answer))[:2], ["detail", "error"], name)
        got, _, answer = daemon.ask("POST", "/write", whole, {"Content-Encoding": "zstd"})
        self.assertEqual(got, 415, answer)
        daemon.write("", "/write")
        daemon.write(whole + gzip.compress(totals(4, now_ns()).encode()), headers={"Content-Encoding": "gzip"})
        self.assertIn(4, daemon.vms())
        self.assertEqual(daemon.json("status")["feed"]["refused_lines"], 6)

    def test_curl(self):
        """feeding: counters alone, by curl, give percentages and rates with the second sample"""
        daemon = self.daemon()
        begin = now_ns() - 10 * SECOND
        for i in range(2):
            text = totals(83, begin + i * 10 * SECOND, cpu_s=5 + 5 * i, net_rxbytes=f"{1000 + 5000 * i}i")
            subprocess.run(["curl", "-sS", "--fail", "--data-binary", text, f"{daemon.url}/write?precision=ns"],
                           check=True, timeout=30)
        vm = daemon.vms()[83]
        self.assertEqual(vm["telemetry"], "ok")
        self.assertAlmostEqual(vm["cpu_usage_percent"], 25.0, 2)  # 5 s of 10, of two vCPUs
        self.assertAlmostEqual(vm["memory_usage_percent"], 50.0, 2)
        self.assertAlmostEqual(vm["network_rx_per_sec"], 500.0, 2)

    def test_ended_and_events(self):
        """feeding: VMs end by two collections without them, and by OpenNebula's word; events give them their names"""
        daemon = self.daemon()
        begin = now_ns() - 200 * SECOND
        daemon.write(totals(1, begin) + totals(2, begin) + host_totals(begin))
        for i, live in ((1, [1, 2]), (2, [1])):
            stamp = begin + i * 30 * SECOND
            daemon.write(totals(1, stamp) + host_totals(stamp))
            self.assertEqual(sorted(daemon.vms()), live)
        daemon.write(f'vm_events,VMID=7,host=kvm1,state=ACTIVE,lcm_state=RUNNING name="db",owner="eve" {now_ns()}\n')
        vm = daemon.vms()[7]
        self.assertEqual((vm["telemetry"], vm["state"], vm["vm_name"], vm["uname"]), ("missing", "running", "db", "eve"))
        self.assertIn("cpu_usage_percent", vm["missing"])
        with Events(daemon) as events:
            events.until("snapshot")
            daemon.write(f'vm_events,VMID=7,host=kvm1,state=8,lcm_state=0 name="db",owner="eve" {now_ns()}\n')
            self.assertEqual(events.until("ended")[2]["vm_id"], 7)
        self.assertNotIn(7, daemon.vms())
        told = self.settles(lambda: [e for e in daemon.json("events?vm_id=7")["events"] if e["state"] == "POWEROFF"], "no event")
        self.assertEqual((told[0]["owner"], told[0]["source"]), ("eve", "opennebula"))
        self.assertEqual({vm["vm_id"]: vm["live"] for vm in daemon.json("monitored-vms")["vms"]},
                         {1: True, 2: False, 7: False})

    def test_migration(self):
        """feeding: a VM that is seen from two hosts is one; where it runs is believed"""
        daemon = self.daemon()
        stamp = now_ns()
        daemon.write(totals(83, stamp, host="a", cpu_s=5))
        daemon.write(totals(83, stamp + SECOND, host="b", cpu_s=0, state=3))
        self.assertEqual(daemon.vms()[83]["host"], "a")
        daemon.write(totals(83, stamp + 2 * SECOND, host="b", cpu_s=1))
        daemon.write(totals(83, stamp + 3 * SECOND, host="a", cpu_s=6, state=3))
        vms = daemon.vms()
        self.assertEqual((list(vms), vms[83]["host"]), ([83], "b"))
        moved = self.settles(lambda: [e for e in daemon.json("events?vm_id=83")["events"] if e["state"] == "moved"], "no event")
        self.assertEqual(moved[0]["reason"], "from a to b")

    def test_foreign_lines(self):
        """feeding: other series are no error, and are no VMs"""
        daemon = self.daemon()
        daemon.write(f"cpu,host=h usage_idle=1 {now_ns()}\nvm_totals,host=h cputime=1i {now_ns()}\n")
        self.assertEqual(daemon.vms(), {})
        self.assertEqual(daemon.json("status")["feed"]["foreign_lines"], 2)


class Relaying(EndpointCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.influx = Influxd(cls.scratch / "influxd")
        cls.cleanup(cls.influx.kill)

    def relay(self, database, url=None, program=None, **sections):
        self.influx.create(database)
        return self.daemon(sink__influx={"type": "influxdb1", "url": url or self.influx.url, "database": database},
                           forward={"program": program or args.build / "hooks" / "forward", "linger": 1},
                           spool={"dir": self.scratch / f"spool-{database}"}, **sections)

    def count(self, database):
        got = self.influx.query("SELECT count(cputime) FROM vm_totals", database)
        return got[0]["values"][0][1] if got else 0

    def test_each_point_once(self):
        """relaying: what comes in goes to our own sinks, each point once, bad lines left out, times as they were"""
        daemon = self.relay("once")
        begin = now_ns() - 3600 * SECOND
        for i in range(50):
            stamp = begin + i * SECOND
            text = "".join(totals(vm, stamp // 10**6) for vm in range(1, 21))
            daemon.write(text, "/write?precision=ms", packed=i % 2 == 0)
        daemon.write("bad line\n" + totals(99, begin) + f"cpu,host=x usage=1 {begin}\n", status=400)
        self.settles(lambda: self.count("once") == 50 * 20 + 1, f"{self.count('once')} points arrived", 60)
        got = self.influx.query("SELECT cputime FROM vm_totals WHERE VMID='7'", "once")[0]["values"]
        self.assertEqual(got[3][0], (begin // 10**6 + 3 * 1000) * 10**6)
        self.assertEqual(self.influx.query("SELECT count(usage) FROM cpu", "once")[0]["values"][0][1], 1)
        self.assertEqual(daemon.json("status")["feed"]["relayed_lines"], 1002)

    def test_outage(self):
        """relaying: while our sink is down lines wait, status says so, and they arrive when it is back"""
        port = free_port()
        self.influx.create("outage")
        daemon = self.relay("outage", url=f"http://127.0.0.1:{port}")
        for i in range(5):
            daemon.write(totals(83, now_ns() + i))
        waits = self.settles(lambda: (s := daemon.json("status")["forwarding"]["sinks"][0])["failures"] and s, "no trouble told")
        self.assertGreater(waits["queued_batches"], 0)
        self.assertEqual((waits["status"], waits["error"]), ("error", waits["last_error"]))
        self.assertIn("onnect", waits["error"])
        told = daemon.json("diagnostic")
        self.assertEqual(told["influx"]["status"], "error")
        self.assertEqual((told["spool"]["status"], told["forwarder"]["status"]), ("ok", "ok"))
        self.assertEqual(daemon.vms()[83]["telemetry"] in ("ok", "warming_up"), True)
        daemon.sections["sink influx"]["url"] = self.influx.url
        daemon.reload()
        subprocess.run([args.build / "hooks" / "forward", "--config", daemon.conf, "--flush", "--timeout", "60"],
                       check=True, timeout=90, capture_output=True)
        self.assertEqual(self.count("outage"), 5)

    def test_outage_ends(self):
        """relaying: our sink comes back: what waits arrives by itself, nobody writes, reloads or runs anything"""
        influx = Influxd(self.scratch / "influxd-away")
        self.addCleanup(influx.kill)
        influx.create("away")
        daemon = self.relay("away", url=influx.url)
        daemon.write(totals(83, now_ns()))
        self.settles(lambda: daemon.json("status")["forwarding"]["sinks"][0]["sent_lines"] == 1, "the first did not arrive")
        influx.stop()
        for _ in range(5):
            daemon.write(totals(83, now_ns()))
        self.settles(lambda: (told := daemon.json("status")["forwarding"])["sinks"][0]["failures"] and not told["running"],
                     "the forwarder does not end", 60)
        influx.start()
        self.settles(lambda: influx.query("SELECT count(cputime) FROM vm_totals", "away")[0]["values"][0][1] == 6,
                     f"it stays where it is: {daemon.json('status')['forwarding']}", 90)
        told = daemon.json("diagnostic")
        self.assertEqual(told["influx"], {"status": "connected", "error": None})
        self.assertEqual([told["forwarding"]["sinks"][0][key] for key in ("status", "error")], ["ok", None])

    def test_no_forwarder(self):
        """relaying: a forwarder that can't be started is told, and nothing is "connected" before a sink took something"""
        self.assertIsNone(self.daemon().json("diagnostic")["forwarder"])  # without a sink there is nothing to tell
        daemon = self.relay("unsent", program="/nonexistent/forward")
        told = self.settles(lambda: (t := daemon.json("diagnostic"))["forwarder"]["status"] == "error" and t, "not told")
        self.assertIn("/nonexistent/forward", told["forwarder"]["error"])
        self.assertIn("[forward] program", told["forwarder"]["advice"])
        self.assertEqual(told["influx"], {"status": "error", "error": told["forwarder"]["error"]})
        self.assertEqual(daemon.json("status")["forwarder"], told["forwarder"])
        daemon.sections["forward"] = {"program": "/bin/true"}
        daemon.reload()
        daemon.write(totals(83, now_ns()))
        time.sleep(1.5)  # it is started once more
        told = daemon.json("diagnostic")
        self.assertEqual((told["forwarder"], told["spool"]), ({"status": "ok", "error": None},) * 2)
        self.assertEqual(told["influx"], {"status": "unknown", "error": None})
        daemon.sections["forward"] = {"program": args.build / "hooks" / "forward", "linger": 1}
        daemon.reload()
        self.settles(lambda: daemon.json("diagnostic")["influx"]["status"] == "connected", "not sent")

    def test_kill(self):
        """relaying: what was taken (204) arrives, though telemetryd is killed at once"""
        daemon = self.relay("killed")
        begin, taken = now_ns(), 0
        for i in range(3):
            for j in range(20):
                daemon.write(totals(83, begin + i * SECOND + j))
                taken += 1
            daemon.restart(signal.SIGKILL)
        self.settles(lambda: self.count("killed") == taken, f"{self.count('killed')} of {taken} arrived", 60)

    def test_unwritable_spool(self):
        """relaying: where lines can't be queued the writer is told to keep them (503), and nothing else suffers"""
        daemon = self.relay("unwritable")
        daemon.write(totals(83, now_ns()))
        spool = self.scratch / "spool-unwritable"
        aside = spool.with_name("aside")
        self.settles(lambda: self.count("unwritable") == 1, "the first did not arrive")
        time.sleep(1.5)
        spool.rename(aside)
        spool.symlink_to(aside)
        got, headers, body = daemon.ask("POST", "/write?precision=ns", totals(84, now_ns()))
        self.assertEqual(got, 503, body)
        self.assertIn("Retry-After", headers)
        self.assertIn("sinks", json.loads(body)["detail"])
        self.assertIn(84, daemon.vms())  # it is shown all the same
        told = daemon.json("diagnostic")
        self.assertEqual((told["spool"]["status"], told["influx"]["status"]), ("error", "error"))
        self.assertIn(str(spool), told["spool"]["error"])
        spool.unlink()
        aside.rename(spool)
        daemon.write(totals(84, now_ns()))
        self.assertEqual(daemon.json("status")["spool"], {"status": "ok", "error": None})

    def ring(self, n, kind="telemetryd"):
        """So many telemetryds, each with the next as its sink."""
        passages = [Passage() for _ in range(n)]
        daemons = []
        for i, passage in enumerate(passages):
            self.addCleanup(passage.socket.close)
            sink = {"type": kind, "url": passages[(i + 1) % n].url, **({"database": "x"} if kind == "influxdb1" else {})}
            daemons.append(self.daemon(sink__next=sink, forward={"program": args.build / "hooks" / "forward", "linger": 0},
                                       spool={"dir": self.scratch / f"ring-{n}-{kind}-{i}"}))
            passage.to = daemons[i].port
        return daemons

    def test_rings(self):
        """relaying: telemetryds that lead back to the first, of whatever kind their sinks: each takes a line, and ends it"""
        for n, kind in ((1, "telemetryd"), (2, "telemetryd"), (3, "influxdb1"), (8, "telemetryd")):
            daemons = self.ring(n, kind)
            feeds = lambda: [daemon.json("status")["feed"] for daemon in daemons]  # noqa: B023, E731
            writes = 3
            for _ in range(writes):
                daemons[0].write(totals(83, now_ns()), packed=True)
            last = n if n <= 6 else 6  # a chain has no more, whether it comes back or not
            self.settles(lambda: feeds()[last % n]["returned_lines"] == writes, f"{n}: {feeds()}")
            time.sleep(2)
            expected = [writes * (i == 0) + writes * (n <= 6 or 0 < i <= 6) for i in range(n)]
            self.assertEqual([feed["lines"] for feed in feeds()], expected)
            self.assertEqual([feed["relayed_lines"] for feed in feeds()], [writes * (i < last) for i in range(n)])
            self.assertEqual(daemons[last % n].log_text().count("are not passed on again"), 1)
            for daemon in daemons:
                self.end(daemon)

    def test_forwarder_to_endpoint(self):
        """relaying: a forwarder with telemetryd as its sink, which relays: the last point arrives"""
        daemon = self.relay("chain")
        conf = self.scratch / "chain.conf"
        spool = self.scratch / "chain-spool"
        conf.write_text(f"[spool]\ndir = {spool}\n[forward]\nlinger = 0\n[sink td]\ntype = telemetryd\nurl = {daemon.url}\n")
        texts = batches(20)
        fleet.fill(spool, "td", [(now_ns() + i, text) for i, text in enumerate(texts)])
        done = subprocess.run([args.build / "hooks" / "forward", "--config", conf, "--flush", "--timeout", "60"],
                              timeout=90, capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        lines = sum(text.count("\n") for text in texts)
        self.assertEqual(daemon.json("status")["feed"]["lines"], lines)
        self.settles(lambda: daemon.json("status")["forwarding"]["sinks"][0]["sent_lines"] >= lines, "not all relayed", 60)


if __name__ == "__main__":
    raise SystemExit(main())
