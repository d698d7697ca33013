#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What was: history and events from SQLite, over kill -9 and damage, and from a real InfluxDB 1; and the stream of what
is."""
import contextlib
import http.server
import json
import re
import signal
import socket
import sqlite3
import subprocess
import threading
import time

from databases import Influxd
from harness import main
from telemetryd import SECOND, EndpointCase, Events, now_ns, totals

MINUTE = 60 * SECOND


def usage(vm_id, time_ns, percent, host="kvm1"):
    return (f"vm_totals,VMID={vm_id},host={host},name=one-{vm_id},uuid=u-{vm_id} state=1i,cputime=1i,"
            f"cpu_usage_percent={percent:.1f},memory_usage_percent=5.0,net_rxbytes_per_sec=7.5 {time_ns}\n")


class History(EndpointCase):
    def points(self, daemon, query):
        return daemon.json(f"history/83?{query}")["series"][0]["points"]

    def filled(self, hours=5, step_s=10, **sections):
        """A VM with so many hours behind it, the percentage being the minute of the hour."""
        daemon = self.daemon(**sections)
        end = now_ns() // (15 * MINUTE) * 15 * MINUTE
        begin = end - hours * 3600 * SECOND
        text = []
        for at in range(begin, end, step_s * SECOND):
            text.append(usage(83, at, at // MINUTE % 60))
            if len(text) == 2000:
                daemon.write("".join(text))
                text = []
        daemon.write("".join(text))
        count = (end - begin) // (step_s * SECOND)
        self.settles(lambda: daemon.json("status")["history"]["written"] >= count, "not written")
        return daemon, begin, end

    def test_tiers_and_steps(self):
        """history: samples, minutes and quarters of an hour; steps; by min, mean and max"""
        daemon, begin, end = self.filled()
        status = daemon.json("status")["history"]
        self.assertEqual(status["pending"] + status["tiers"]["raw"]["rows"], 1800, status)
        got = daemon.json(f"history/83?metric=cpu_usage_percent&from={(end - 30 * MINUTE) // SECOND}&to={end // SECOND}")
        series = got["series"][0]
        self.assertEqual((got["tier"], got["source"], series["metric"], series["unit"]), ("raw", "sqlite", "cpu_usage_percent", "%"))
        self.assertEqual(len(series["points"]), 180)
        got = daemon.json(f"history/83?to={(begin + 2 * 60 * MINUTE) // SECOND}&step=5m")
        self.assertEqual(len(got["series"][0]["points"]), 12, "an hour, where there is no from")
        got = daemon.json(f"history/83?from={begin // SECOND}&to={end // SECOND}&step=5m")
        points = got["series"][0]["points"]
        self.assertEqual((len(points), got["step_seconds"]), (60, 300.0))
        for stamp, mean, low, high in points:
            self.assertTrue(low <= mean <= high and high - low == 4.0, (stamp, mean, low, high))
            minute = int(stamp[14:16])
            self.assertEqual((minute % 5, low, round(mean, 6)), (0, minute, minute + 2.0), stamp)
        got = daemon.json(f"history/83?from={begin // SECOND}&to={end // SECOND}&step=15m")
        self.assertEqual((got["tier"], len(got["series"][0]["points"])), ("15m", 20))
        got = daemon.json("history/one-83?metric=cpu_usage_percent,network_rx_bytes,memory_usage_percent&from=-30m")
        self.assertEqual([one["metric"] for one in got["series"]],
                         ["cpu_usage_percent", "network_rx_per_sec", "memory_usage_percent"])
        self.assertEqual({point[1] for point in got["series"][1]["points"]}, {7.5})
        self.assertLessEqual(len(self.points(daemon, f"from={begin // SECOND}")), 1001)

    def test_kill(self):
        """history: kill -9 loses nothing that was flushed; a restart knows the VMs and goes on"""
        daemon, begin, end = self.filled(hours=1)
        query = f"from={begin // SECOND}&to={end // SECOND}&step=1m"
        before = self.points(daemon, query)
        self.assertEqual(len(before), 60)
        for _ in range(3):
            daemon.restart(signal.SIGKILL)
            self.assertEqual(self.points(daemon, query), before)
        self.assertEqual(daemon.json("monitored-vms")["count"], 1)
        daemon.write(usage(83, end, 50))
        self.settles(lambda: len(self.points(daemon, f"from={begin // SECOND}&step=1m")) >= 61, "not written")

    def test_damage(self):
        """history: a damaged file is set aside, loudly, and a new one begun; what is, is served"""
        for how in ("no database", "cut", "holes", "other tables"):
            daemon, begin, end = self.filled(hours=1)
            daemon.stop()
            file = daemon.state / "history.sqlite"
            for more in ("-wal", "-shm"):
                with contextlib.suppress(FileNotFoundError):
                    file.with_name(file.name + more).unlink()
            data = bytearray(file.read_bytes())
            if how == "no database":
                data[:] = b"this is no database" * 1000
            elif how == "cut":
                del data[4096 * 2 + 100:]
            elif how == "holes":
                for at in range(4096, len(data), 4096):
                    data[at:at + 512] = b"\xa5" * 512
            file.write_bytes(data)
            if how == "other tables":
                file.write_bytes(b"")
                with contextlib.closing(sqlite3.connect(file)) as db:
                    db.execute("CREATE TABLE raw(something_else)")
                    db.commit()
            daemon.start()
            with contextlib.suppress(Exception):
                self.points(daemon, f"from={begin // SECOND}")
            daemon.write(usage(83, now_ns(), 42))
            self.settles(lambda: [p[1] for p in self.points(daemon, "from=-5m")][-1:] == [42.0], f"{how}: not written")
            aside = list(daemon.state.glob("history.sqlite.*"))
            self.assertTrue([path for path in aside if "damaged" in path.name], f"{how}: {aside}")
            self.assertRegex(daemon.log_text(), "is damaged.*a new one is begun", how)
            self.assertIn("damaged", daemon.json("status")["history"]["set_aside"], how)

    def test_wrong_parameters(self):
        """history: wrong parameters are told what was expected; nothing of them reaches a database"""
        daemon = self.daemon()
        daemon.write(usage(83, now_ns(), 5))
        for query, word in (("metric=bogus", "metric"), ("metric=cputime)%20FROM%20x--", "metric"), ("metric=state", "metric"),
                            ("from=yesterday", "from"), ("to=2026-13-45T00:00:00Z", "to"), ("from=2026-11-26T08:00:00", "from"),
                            ("from=now&to=-1h", "before"), ("step=0", "step"), ("step=-5m", "step"), ("step=5y", "step"),
                            ("source=mysql", "source"), ("source=influx", "database"),
                            ("metric=" + ",".join(["cpu_usage_percent"] * 40), "at most")):
            status = 404 if query == "source=influx" else 400
            got = daemon.json(f"history/83?{query}", status=status)
            self.assertIn(word, got["detail"], query)
        for vm in ("83'%20OR%20'1'='1", "x", "one-", "-1", "99999999999"):
            self.assertIn("is no VM", daemon.json(f"history/{vm}", status=400)["detail"])
        self.assertEqual(daemon.json("history/84", status=404)["error"], "not_found")
        for query, word in (("vm_id=x", "no VM"), ("limit=0", "limit"), ("limit=99999999", "limit"), ("from=x", "from")):
            self.assertIn(word, daemon.json(f"events?{query}", status=400)["detail"])

    @staticmethod
    def rows(daemon, tier, vm_id):
        with contextlib.closing(sqlite3.connect(f"file:{daemon.state / 'history.sqlite'}?mode=ro", uri=True)) as db:
            return db.execute(f"SELECT count(*) FROM {tier} WHERE vm_id = ?", (vm_id,)).fetchone()[0]

    def test_retention(self):
        """history: what is older than its tier keeps goes, and the file stays within its size: the oldest goes first"""
        daemon, _, end = self.filled(hours=5, history={"keep_raw": "1h", "max_size": "1M"})
        for i in range(20):  # so much that the first VM's samples leave the journal, and all has room
            daemon.write("".join(usage(vm, end + i * SECOND, i) for vm in range(1000, 1500)))
        self.settles(lambda: self.rows(daemon, "quarters", 83) == 20, "it is not in the tiers")
        self.assertLessEqual(self.rows(daemon, "raw", 83), 360)  # of 1800
        self.assertGreater(self.rows(daemon, "raw", 83), 0)
        self.assertGreater(self.rows(daemon, "minutes", 83), 60)  # which are kept for longer
        written = daemon.json("status")["history"]["written"]
        for vm in range(2000, 2200):
            daemon.write("".join(usage(vm, at, vm % 7) for at in range(end - 3600 * SECOND, end, 20 * SECOND)))
        written += 200 * 180

        def status():
            return daemon.json("status")["history"]

        def on_disk():
            """Its log (-wal) grows with what is being trimmed, until that is in the file."""
            return sum(path.stat().st_size for path in daemon.state.glob("history.sqlite*") if path.suffix != ".sqlite-shm")
        self.settles(lambda: status()["written"] >= written and status()["bytes"] <= 1 << 20 and on_disk() <= 1 << 20,
                     "it does not get within its size", 60)
        raw = self.settles(lambda: (tier := status()["tiers"]["raw"])["oldest"] and tier, "no oldest")
        self.assertTrue(0 < raw["rows"] < written, raw)
        self.assertGreater(raw["oldest"], time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(end // SECOND - 3600)))
        newest = daemon.json(f"history/2199?from={(end - 300 * SECOND) // SECOND}&to={end // SECOND}")["series"][0]["points"]
        self.assertEqual({point[1] for point in newest}, {2199 % 7}, "the newest stays")

    def test_full_disk(self):
        """history: on a full disk /healthz is 503 and says why, what is now is served all the same; 200 with room again"""
        place = self.scratch / "full"
        place.mkdir(mode=0o700)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m,mode=0700", "tmpfs", place], check=True)
        self.addCleanup(subprocess.run, ["umount", "-l", place], check=False)
        daemon = self.daemon(server={"state_dir": place})
        daemon.write(usage(83, now_ns(), 1))
        self.settles(lambda: daemon.json("status")["history"]["written"], "not written")
        self.assertEqual(daemon.json("/healthz")["status"], "ok")
        filler = place / "filler"
        with open(filler, "wb", buffering=0) as out, contextlib.suppress(OSError):
            while True:
                out.write(bytes(512))
        for i in range(10):  # more than has room in the pages that the file has already
            daemon.write("".join(usage(vm, now_ns(), i) for vm in range(1000, 1500)))
        self.settles(lambda: daemon.ask("GET", "/healthz")[0] == 503, "its health is said to be good")
        answer = daemon.json("/healthz", status=503)
        self.assertEqual(answer["error"], "unavailable")
        self.assertRegex(answer["detail"], "the history is not written: .*full")
        told = daemon.json("diagnostic")["history"]
        self.assertEqual((told["status"], told["error"] in answer["detail"]), ("error", True))
        self.assertEqual(len(daemon.vms()), 501)
        filler.unlink()
        self.settles(lambda: daemon.ask("GET", "/healthz")[0] == 200, "its health stays bad", 60)
        self.settles(lambda: self.points(daemon, "from=-5m")[-1:], "not written")
        self.assertEqual(daemon.json("diagnostic")["history"]["error"], None)
        got = daemon.json("history/1499?from=-5m")["series"][0]["points"]
        self.assertEqual([point[1] for point in got], list(range(10)), "what waited meanwhile")

    def test_events(self):
        """history: events newest first, of one VM or all, by time, and over a restart"""
        daemon = self.daemon()
        begin = now_ns() - 100 * SECOND
        for i in range(5):
            daemon.write(f'vm_events,VMID={80 + i % 2},state=ACTIVE,lcm_state={i} name="n{i}" {begin + i * SECOND}\n')
        def told(query=""):
            return [e["vm_name"] for e in daemon.json(f"events{query}")["events"] if e["source"] == "opennebula"]
        self.settles(lambda: len(told()) == 5, "not written")
        self.assertEqual(told(), ["n4", "n3", "n2", "n1", "n0"])
        self.assertEqual(told("?vm_id=one-81"), ["n3", "n1"])
        self.assertEqual(told("?limit=2"), ["n4", "n3"])
        self.assertEqual(told(f"?from={begin // SECOND + 3}"), ["n4", "n3"])
        daemon.restart(signal.SIGKILL)
        self.assertEqual(told(), ["n4", "n3", "n2", "n1", "n0"])
        daemon.write(f'vm_events,VMID=80,state=ACTIVE,lcm_state=0 name="n0" {begin}\n')
        time.sleep(0.3)
        self.assertEqual(len(told()), 5)  # the same once more

    def test_influx(self):
        """history: from a real InfluxDB 1, the number bound as a parameter; it is away: 502, and the rest goes on"""
        influx = Influxd(self.scratch / "influxd", user="admin", password="pa'ss\"w")
        self.cleanup(influx.kill)
        influx.create("one")
        begin = now_ns() // MINUTE * MINUTE - 60 * MINUTE
        text = "".join(usage(vm, begin + i * 30 * SECOND, vm + i % 2) for i in range(120) for vm in (83, 84))
        influx.request("POST", "/write?db=one&precision=ns", text.encode())
        daemon = self.daemon(sink__db={"type": "influxdb1", "url": influx.url, "database": "one", "user": "admin",
                                       "password_file": self.secret("pa'ss\"w")},
                             history={"influx": "db"}, spool={"dir": self.scratch / "spool-influx"},
                             forward={"program": "/bin/true"})
        got = daemon.json(f"history/83?metric=cpu_usage_percent,net_rxbytes&from={begin // SECOND}&step=1m")
        self.assertEqual((got["source"], got["step_seconds"]), ("influx", 60.0))
        points = got["series"][0]["points"]
        self.assertEqual(len(points), 60)
        part = f"history/83?metric=cpu_usage_percent&from={begin // SECOND + 600}&to={begin // SECOND + 1200}&step=1m"
        self.assertEqual(daemon.json(part)["series"][0]["points"], points[10:20])  # times are bound, to the second
        self.assertEqual({tuple(point[1:]) for point in points}, {(83.5, 83.0, 84.0)})
        self.assertEqual({point[1] for point in got["series"][1]["points"]}, {7.5})
        self.assertEqual(daemon.json("history/99?from=-2h")["series"][0]["points"], [])
        self.assertEqual(daemon.json("history/83?from=-2h&source=sqlite", status=404)["error"], "not_found")
        influx.kill()
        got = daemon.json("history/83?from=-2h", status=502)
        self.assertIn("sink db: cannot connect", got["detail"])
        self.assertEqual(daemon.vms(), {})


    def test_influx3(self):
        """history: from InfluxDB 3, as far as its stand-in is strict: path, token, parameters, statement"""
        seen = []

        class Standin(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status, answer = judge(self.path, self.headers, body)
                data = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_):
                pass

        def judge(path, headers, body):
            try:
                asked = json.loads(body)
            except ValueError:
                return 400, {"error": "no JSON"}
            seen.append(asked)
            if path != "/api/v3/query_sql" or headers["Content-Type"] != "application/json":
                return 404, {"error": "not found"}
            if headers["Authorization"] != "Bearer the-v3-token":
                return 401, {"error": "unauthorized"}
            if set(asked) != {"db", "q", "params", "format"} or asked["db"] != "one" or asked["format"] != "json":
                return 400, {"error": "wrong members"}
            names = set(re.findall(r"\$(\w+)", asked["q"]))
            if names != set(asked["params"]) or not re.fullmatch(r"SELECT date_bin\(.*\) AS t(, \w+\(\"\w+\"\) AS [abc]\d+)+ "
                                                                 r"FROM vm_totals WHERE .* GROUP BY t ORDER BY t", asked["q"]):
                return 400, {"error": "unbound parameter or unknown statement"}
            return 200, [{"t": "2026-11-26T08:00:00", "a0": 1.5, "b0": 1.0, "c0": 2.0}]

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Standin)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.shutdown)
        token = self.secret("the-v3-token")
        daemon = self.daemon(sink__db={"type": "influxdb3", "url": f"http://127.0.0.1:{server.server_port}", "database": "one",
                                       "token_file": token},
                             history={"influx": "db"}, spool={"dir": self.scratch / "spool-influx3"},
                             forward={"program": "/bin/true"})
        got = daemon.json("history/83?from=-2h&step=1m")
        self.assertEqual((got["source"], got["series"][0]["points"]), ("influx", [["2026-11-26T08:00:00.000Z", 1.5, 1.0, 2.0]]))
        self.assertEqual((seen[-1]["params"]["vm"], set(seen[-1]["params"])), ("83", {"vm", "from", "to"}))
        self.assertNotRegex(seen[-1]["q"], "20[0-9][0-9]-")  # the times are bound as well
        self.assertNotIn("83", seen[-1]["q"].split("WHERE")[0])
        token.write_text("another-token\n")
        got = daemon.json("history/83?from=-2h", status=502)
        self.assertIn("401", got["detail"])
        self.assertNotIn("another-token", got["detail"])


class Stream(EndpointCase):
    def test_heartbeat(self):
        """stream: while nothing happens comments come, so that a dead connection is noticed"""
        daemon = self.daemon()
        with Events(daemon) as events:
            events.next()
            line = events.answer.readline()
            while line == b"\n":
                line = events.answer.readline()
            self.assertTrue(line.startswith(b":"), line)

    def test_each_sample(self):
        """stream: first all there is, then one event for each sample, as vm-telemetry has it"""
        daemon = self.daemon()
        daemon.write(totals(83, now_ns()))
        with Events(daemon) as events:
            self.assertEqual(events.answer.headers["Content-Type"].split(";")[0], "text/event-stream")
            _, event, data = events.next()
            self.assertEqual((event, data["count"], data["vms"][0]["vm_id"]), ("snapshot", 1, 83))
            for i in range(5):
                daemon.write(totals(83, now_ns(), cpu_s=2 + i) + totals(84, now_ns(), cpu_s=i, host="other"))
                seen = [events.until("sample")[2] for _ in range(2)]
                self.assertEqual([one["host"] for one in seen], ["kvm1", "other"])
                self.assertEqual(seen[0]["vms"][0]["cputime"], (2 + i) * SECOND)
            self.assertEqual(set(seen[0]["vms"][0]), set(daemon.vms()[83]))

    def test_resume(self):
        """stream: who comes back with Last-Event-ID gets what was missed; after too much, or a restart, all anew"""
        daemon = self.daemon()
        with Events(daemon) as events:
            events.next()
            daemon.write(totals(83, now_ns(), cpu_s=1))
            last = events.until("sample")[0]
        for i in range(3):
            daemon.write(totals(83, now_ns(), cpu_s=2 + i))
        with Events(daemon, last) as events:
            seen = [events.until("sample")[2]["vms"][0]["cputime"] for _ in range(3)]
            self.assertEqual(seen, [2 * SECOND, 3 * SECOND, 4 * SECOND])
        for wrong in ("x", "00000000-1", last + "9", "-1", "%00"):
            with Events(daemon, wrong) as events:
                self.assertEqual(events.next()[1], "snapshot", wrong)
        with Events(daemon, last) as events:
            events.next()
            daemon.restart(signal.SIGTERM)
            with contextlib.suppress(OSError):
                while events.next():
                    pass
        with Events(daemon, last) as events:
            self.assertEqual(events.next()[1], "snapshot")

    def test_many_clients(self):
        """stream: many clients, some of whom read nothing; the others get every sample; more than the limit get 503"""
        daemon = self.daemon(server={"streams": 40, "send_timeout": 3})
        with contextlib.ExitStack() as stack:
            good = [stack.enter_context(Events(daemon)) for _ in range(30)]
            for _ in range(10):
                lazy = stack.enter_context(socket.create_connection(("127.0.0.1", daemon.port)))
                lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                lazy.sendall(b"GET /api/telemetry/stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
            for events in good:
                self.assertEqual(events.next()[1], "snapshot")
            self.settles(lambda: daemon.ask("GET", "/api/telemetry/stream", timeout=2)[0] == 503
                         if self.is_full(daemon) else False, "no limit")
            for i in range(20):
                stamp = now_ns()
                daemon.write("".join(totals(vm, stamp, cpu_s=i) for vm in range(1, 101)))
            for events in good:
                for i in range(20):
                    self.assertEqual(events.until("sample")[2]["vms"][99]["cputime"], i * SECOND)
        self.assertEqual(len(daemon.vms()), 100)

    @staticmethod
    def is_full(daemon):
        try:
            with contextlib.closing(daemon.connect(2)) as connection:
                connection.request("GET", "/api/telemetry/stream")
                return connection.getresponse().status == 503
        except OSError:
            return False


if __name__ == "__main__":
    raise SystemExit(main())
