#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Sinks in bad times: down, refusing, slow, lying, locked. Whatever happens, every point that was queued is stored once,
or is counted as refused and then lies in bad/; and who asks is told what the trouble is."""
import email.utils
import gzip
import http.client
import http.server
import json
import os
import re
import select
import signal
import socket
import socketserver
import sys
import threading
import time

from certificates import Authority
from databases import Influxd, VictoriaMetrics
from forwarding import Forwarding, Sink, batches, line, points
from harness import ROOT, Case, args, main
from standin import FAULTS, Behaviour, Standin, gunzip, http_date

sys.path.append(str(ROOT / "tests" / "bench"))
import fleet  # noqa: E402

TOKEN = "s3cret-t0ken"
PLACES = {"influxdb1": {"db": "one"}, "influxdb2": {"org": "ops", "bucket": "one"}, "influxdb3": {"db": "one"},
          "telemetryd": {}}
SETTINGS = {"influxdb1": {"database": "one"}, "influxdb2": {"org": "ops", "bucket": "one"},
            "influxdb3": {"database": "one"}, "telemetryd": {}}
MINUTE = 60 * 10**9
FEW = 3  # batches, where their number means nothing


class Forward(Case):
    """Tests of the forwarder."""

    def setUp(self):
        self.forwarding = self.new_forwarding()

    def new_forwarding(self, **options):
        type(self).hosts += 1
        made = Forwarding(self.scratch / f"f{self.hosts}",
                          (args.asan if self.sanitized else args.build) / "hooks" / "forward", **options)
        self.addCleanup(made.close)
        return made

    def secret(self, text, mode=0o600):
        type(self).hosts += 1
        path = self.scratch / f"secret-{self.hosts}"
        path.write_text(text + "\n")
        path.chmod(mode)
        return path

    def server(self, kind, **options):
        if kind != "influxdb1" and "token" not in options:
            options["token"] = TOKEN
        server = Standin(kind, PLACES[kind], **options)
        self.addCleanup(server.close)
        return server

    def sink(self, kind, server, name="one", **options):
        settings = {"type": kind, **SETTINGS[kind], "timeout": "10", **options}
        if kind != "influxdb1" and "token_file" not in settings:
            settings["token_file"] = self.secret(TOKEN)
        return Sink(name, server.url, **settings)

    def begin(self, kind="influxdb1", texts=None, server=None, **settings):
        """A server of that kind, and what waits for it. Returns (server, texts)."""
        server = server or self.server(kind)
        self.forwarding = self.new_forwarding()
        self.forwarding.configure(self.sink(kind, server, **settings))
        texts = batches(FEW) if texts is None else texts
        self.forwarding.queue(texts)
        return server, texts

    def hurry(self, sink="one"):
        """The time of the next attempt has come."""
        self.forwarding.edit_ledger(sink, retry_at_ns=0)

    # ---- what is asked of them --------------------------------------------------------------------------

    def run_well(self, *options, **more):
        run = self.forwarding.run(*(options or ["--once"]), **more)
        self.assertEqual((run.status, run.out), (0, ""), run)
        return run

    def assert_points(self, texts, stored, sink="one", rejected=0, unnamed=0, forwarding=None):
        """All points are stored, as they were queued, but for `rejected`: these are counted, and all but `unnamed` of
        them, of which the sink does not say which they are, lie in bad/. Nothing waits."""
        forwarding = forwarding or self.forwarding
        want = points(texts)
        lost = {key: fields for key, fields in want.items() if key not in stored}
        self.assertEqual(len(lost), rejected, "points that are not stored")
        wrong = [key for key, fields in stored.items() if want.get(key) != fields]
        self.assertEqual(wrong, [], "points that nobody queued, or of other values")
        self.assertEqual(forwarding.waiting(sink), [])
        status = forwarding.status(sink)
        told = {key: status[key] for key in ("sent_lines", "rejected_lines", "dropped_batches", "queued_batches",
                                             "bad_batches", "failures")}
        self.assertEqual(told, {"sent_lines": len(want) - rejected, "rejected_lines": rejected, "dropped_batches": 0,
                                "queued_batches": 0, "bad_batches": 0, "failures": 0})
        kept = points([forwarding.bad(sink)])
        self.assertEqual(len(kept), rejected - unnamed, "lines in bad/")
        self.assertEqual({key: lost.get(key) for key in kept}, kept)

    def assert_stored(self, texts, server, sink="one", resent=False, **more):
        """The same of a stand-in, which was treated as it should be. resent: a point may have come twice."""
        self.assertEqual((server.complaints, server.store.overwritten), ([], 0))
        if not resent:
            self.assertEqual(server.store.duplicates, 0)
        self.assert_points(texts, server.store.points, sink, **more)

    def assert_kept(self, texts, sink="one", error=None, denied=None):
        """Nothing of it has left the queue, and --status says why."""
        waiting = [gzip.decompress((self.forwarding.spool / sink / name).read_bytes()).decode()
                   for name in self.forwarding.waiting(sink)]
        self.assertEqual(waiting, texts)
        status = self.forwarding.status(sink)
        self.assertEqual((status["exit"], status["queued_batches"]), (3, len(texts)), status)
        self.assertGreater(status["failures"], 0)
        if error is not None:
            self.assertRegex(status["last_error"], error)
            self.assertRegex(self.forwarding.run("--status").out, r"IN TROUBLE(.|\n)*last error .* ago: .*" + error)
        if denied is not None:
            self.assertEqual((status["next_attempt_seconds"] or 0) > 20, denied, status)

    def run_until_sent(self, *options, sink="one"):
        """A forwarder that would linger is told to end when nothing waits."""
        process = self.forwarding.start(*options)
        self.wait_for(lambda: not self.forwarding.waiting(sink) or process.poll() is not None, "nothing is sent", 40)
        process.terminate()
        run = self.forwarding.finish(process, 10)
        self.assertEqual((run.status, run.out), (0, ""), run)
        return run

    def wait_for(self, condition, complaint, seconds=20):
        deadline = time.monotonic() + seconds
        while not condition():
            self.assertLess(time.monotonic(), deadline, complaint)
            time.sleep(0.02)


class Answers(Forward):
    """Stand-ins, the sanitized forwarder."""
    sanitized = True

    def test_connection(self):
        """sinks of every type, gzip'd and plain: many requests, one connection, the batches' own bytes"""
        for kind in PLACES:
            for packed in ("yes", "no"):
                with self.subTest(kind, gzip=packed):
                    server, texts = self.begin(kind, batches(10), lines=100, gzip=packed)
                    self.assertEqual(self.run_well().log, [])
                    self.assert_stored(texts, server)
                    self.assertEqual((server.connections, len(server.requests)), (1, 5))
                    encodings = {request.headers.get("Content-Encoding") for request in server.requests}
                    self.assertEqual(encodings, {"gzip" if packed == "yes" else None})
                    self.assertEqual("".join(request.plain.decode() for request in server.requests), "".join(texts))

    def test_statuses(self):
        """every bad status: all is kept and told, tried seldom where a person has to help, and then it flows"""
        kinds = list(PLACES)
        for i, (status, denied) in enumerate((
                (401, True), (403, True), (404, True), (405, True), (301, True), (302, True), (408, False), (429, False),
                (500, False), (502, False), (503, False), (504, False), (599, False))):
            kind = kinds[i % len(kinds)]
            with self.subTest(kind, status=status):
                server, texts = self.begin(kind)
                server.behave(Behaviour(status, message="for this reason"))
                run = self.run_well()
                self.assertEqual(len(server.requests), 1)
                self.assertEqual([level for level, _ in run.log], [3 if denied else 4], run)
                self.assertRegex(run.log[0][1], f"^sink one does not take data: {status}.*: for this reason; 3 batches "
                                                "wait, next attempt in ")
                self.assert_kept(texts, error=f"{status}.*: for this reason", denied=denied)
                if denied:
                    self.run_well()
                    self.assertEqual(len(server.requests), 1)
                self.hurry()
                self.run_well()
                self.assert_stored(texts, server)

    def test_down(self):
        """nobody listens: kept and told; there again, it flows, and the next attempts are each later than the last"""
        server, texts = self.begin()
        server.stop()
        waits = []
        for _ in range(4):
            self.run_well()
            ledger = self.forwarding.ledger("one")
            waits.append((ledger["retry_at_ns"] - ledger["last_error_ns"]) / 1e9)
            self.hurry()
        for wait, longest in zip(waits, (1, 2, 4, 8)):
            self.assertTrue(longest / 2 <= wait <= longest, waits)
        self.assert_kept(texts, error="cannot connect to 127.0.0.1:[0-9]+: Connection refused")
        server.start()
        self.run_well()
        self.assert_stored(texts, server)
        text = self.forwarding.run("--status")
        self.assertEqual(text.status, 0)
        self.assertRegex(text.out, r"well, nothing waits(.|\n)*last error .*Connection refused")

    def test_nowhere(self):
        """a name that nobody knows, a port that is filtered: told as such"""
        silent = socket.socket()
        silent.bind(("127.0.0.1", 0))
        silent.listen(0)
        self.addCleanup(silent.close)
        fillers = [socket.socket() for _ in range(4)]
        for each in fillers:  # the kernel takes no more connections
            self.addCleanup(each.close)
            each.setblocking(False)
            each.connect_ex(silent.getsockname())
        for url, error in (("http://nowhere.invalid:1", "cannot find the host of nowhere.invalid:1"),
                           (f"http://127.0.0.1:{silent.getsockname()[1]}", "no answer in time from 127.0.0.1:")):
            with self.subTest(url):
                self.forwarding = self.new_forwarding()
                self.forwarding.configure(Sink("one", url, database="one", connect_timeout="0.3", timeout="20"))
                texts = batches(FEW)
                self.forwarding.queue(texts)
                self.run_well()
                self.assert_kept(texts, error=error, denied=False)

    def test_faults(self):
        """answers that hang, end early, are reset, of wrong length, or no HTTP: sent again, stored once"""
        for i, fault in enumerate(FAULTS):
            kind = list(PLACES)[i % len(PLACES)]
            with self.subTest(fault, kind=kind):
                server, texts = self.begin(kind, timeout="0.5")
                server.behave(Behaviour(fault=fault, body=b'{"an": "answer"}\n', status=200, store=True))
                self.run_well()
                if fault == "short":  # one byte more than announced is no reason to doubt the answer
                    self.forwarding.run("--flush", "--timeout", "10")
                else:
                    self.assert_kept(texts, error="answer|no HTTP", denied=False)
                    self.assertEqual(self.forwarding.run("--flush", "--timeout", "10").status, 0)
                self.assert_stored(texts, server, resent=True)

    def test_faults_on_the_way(self):
        """one fault after the other between good answers: every point once"""
        server, texts = self.begin("influxdb2", batches(40, 10), lines=10, timeout="1")
        for fault in ("cut", "close", "reset", "close_unread", "garbage"):
            server.behave(Behaviour(), Behaviour(), Behaviour(fault=fault), Behaviour(503))
        for _ in range(10):
            self.hurry()
            self.run_well()
        self.assert_stored(texts, server, resent=True)

    def test_slow(self):
        """a slow sink, still in time: waited for"""
        server, texts = self.begin(timeout="10")
        server.behave(Behaviour(delay=1.2))
        self.assertEqual(self.run_well().log, [])
        self.assert_stored(texts, server)
        self.assertEqual(len(server.requests), 1)

    def test_retry_after(self):
        """Retry-After, in seconds or as a date: not a request before, by whatever process"""
        for kind, status, dated in (("influxdb2", 429, False), ("influxdb3", 503, True), ("influxdb1", 503, False)):
            with self.subTest(kind, dated=dated):
                times, wait = [], http_date(3) if dated else 2

                def answer(_, times=times, status=status, wait=wait):
                    times.append(time.time())
                    return Behaviour(status, retry_after=wait) if len(times) == 1 else None
                server, texts = self.begin(kind)
                server.always = answer
                self.run_well()
                for _ in range(3):
                    self.run_well()
                self.assertEqual(len(times), 1)
                self.assert_kept(texts, error=f"{status} ")
                self.run_until_sent("--linger", "10")
                self.assert_stored(texts, server)
                earliest = email.utils.parsedate_to_datetime(wait).timestamp() if dated else times[0] + wait
                self.assertGreaterEqual(times[1], earliest)

    def test_clock_set_back(self):
        """clock set back: what was to be later is due at once where nobody waits that long; else it is honoured"""
        for minutes, due in ((3 * 24 * 60, True), (30, False)):
            with self.subTest(minutes=minutes):
                server, texts = self.begin()
                later = time.time_ns() + minutes * MINUTE
                self.forwarding.edit_ledger("one", retry_at_ns=later, last_error_ns=later - MINUTE, failures=3,
                                            last_success_ns=later - MINUTE, last_error="503", counted_ns=later)
                status = self.forwarding.status("one")
                self.assertEqual(status["next_attempt_seconds"] is None, due, status)
                self.assertRegex(self.forwarding.run("--status").out,
                                 "next attempt is due, when the probe runs" if due else
                                 "next attempt when the probe runs, not before (29|30) min")
                self.run_well("--linger", "0.2")
                self.assertEqual(len(server.requests), due)
                self.assertEqual(self.forwarding.run("--flush").status, 0)
                self.assert_stored(texts, server)

    def test_too_large(self):
        """413, by bytes or by lines: sent in smaller pieces; a line that alone is too large is set aside"""
        for kind in PLACES:
            with self.subTest(kind):
                server, texts = self.begin(kind, server=self.server(kind, max_lines=70), texts=batches(4, 150))
                self.run_well()
                self.assert_stored(texts, server)
                server, texts = self.begin(kind, server=self.server(kind, max_bytes=2000), texts=batches(4, 150))
                self.run_well()
                self.assert_stored(texts, server)
        noise = os.urandom(3000).hex()
        texts = batches(4, 40) + [f'vm_info,host=kvm1 note="{noise}" 1700000000000000001\n']
        server, texts = self.begin(server=self.server("influxdb1", max_bytes=2000), texts=texts)
        self.run_well()
        self.assert_stored(texts, server, rejected=1)
        self.assertIn(noise, self.forwarding.bad("one"))

    # ---- lines that are refused -------------------------------------------------------------------------

    def poisoned(self, where, count=100):
        """So many batches of 50 lines, and one line whose field has another type than those have."""
        texts = batches(count)
        poison = line(10**6, 1_699_000_000 * 10**9).replace("number=1000000i", "number=1.5")
        lines = texts[where // 50].splitlines(keepends=True)
        lines.insert(where % 50, poison)
        texts[where // 50] = "".join(lines)
        return texts, poison

    def seeded(self, kind, **options):
        """A server that knows the types already, by the points of two lines that come again."""
        server = self.server(kind, **options)
        server.store.types[("vm_totals", "number")] = int
        return server

    def test_poison_partial(self):
        """one poison line among 5,000, a partial write of InfluxDB 1, 2 or 3: the others are stored, it is counted"""
        for kind, detail, unnamed in (("influxdb1", "array", 1), ("influxdb2", "array", 1), ("influxdb3", "array", 0),
                                      ("influxdb3", "object", 0), ("influxdb3", "none", 0), ("telemetryd", "array", 1)):
            for where, count in ((2503, 100), (149, 3)) if detail == "array" else ((0, 3), (149, 3)):
                with self.subTest(kind, detail=detail, where=where):
                    texts, _ = self.poisoned(where, count)
                    server, _ = self.begin(kind, texts, self.seeded(kind))
                    server.always = Behaviour(detail=detail)
                    run = self.run_well()
                    self.assert_stored(texts, server, rejected=1, unnamed=unnamed, resent=True)
                    self.assertRegex(run.log[0][1], "^sink one: 1 line refused for good.*: 4(00|22) .*(conflict|partial)")
                    self.assertEqual(len(run.log), 1, run)
                    self.assertLess(len(server.requests), 40)

    def test_poison_refused(self):
        """one poison line among 5,000, for which InfluxDB 2 refuses them all: found by its number, or by halves"""
        class Choosy(Standin):
            """Takes lines with this word for malformed."""
            named = True

            def read_lines(self, request, behaviour):
                texts = enumerate(gunzip(request.body).split(b"\n"), 1)
                behaviour.refuse = tuple(number for number, text in texts if b"number=1.5" in text)
                if behaviour.refuse and not self.named:
                    behaviour.status, behaviour.message = 400, "no"
                return super().read_lines(request, behaviour)
        for named in (True, False):
            for where, count in ((2503, 100), (149, 3) if named else (0, 3)):
                with self.subTest(named=named, where=where):
                    texts, poison = self.poisoned(where, count)
                    server = Choosy("influxdb2", PLACES["influxdb2"], token=TOKEN)
                    server.named = named
                    self.addCleanup(server.close)
                    self.begin("influxdb2", texts, server)
                    self.run_well()
                    self.assert_stored(texts, server, rejected=1)
                    self.assertEqual(self.forwarding.bad("one"), poison)
                    self.assertLess(len(server.requests), 10 if named else 40)

    def test_poison_failing(self):
        """one poison line to which an old InfluxDB 2 says 500: found, even after a long outage"""
        texts, poison = self.poisoned(70, 3)
        server, _ = self.begin("influxdb2", texts, self.seeded("influxdb2", old=True))
        self.forwarding.edit_ledger("one", failures=30)
        self.run_until_sent("--linger", "5")
        self.assert_stored(texts, server, rejected=1)
        self.assertEqual(self.forwarding.bad("one"), poison)

    def test_all_refused(self):
        """a sink that refuses every line without a reason: nothing is thrown away, and --flush does not wait for ever"""
        for kind, status in (("influxdb1", 400), ("influxdb2", 422), ("influxdb3", 400), ("telemetryd", 413)):
            with self.subTest(kind, status=status):
                server, texts = self.begin(kind)
                server.always = Behaviour(status, message="no", body=b"no\n")
                self.run_well()
                self.assert_kept(texts, error=f"{status} .*no", denied=True)
                run = self.forwarding.run("--flush", timeout=20)
                self.assertEqual(run.status, 1, run)
                self.assertRegex(run.err, rf"one: 3 batches wait, .*; {status} .*no")
                self.assert_kept(texts, denied=True)
                server.always = None
                self.assertEqual(self.forwarding.run("--flush").status, 0)
                self.assert_stored(texts, server)

    def test_malformed(self):
        """lines of a batch that are no line protocol, a damaged batch: kept in bad/ and counted, the others stored"""
        texts = batches(FEW)
        mixed = texts[1].splitlines(keepends=True)
        broken = ["vm_totals,host=kvm1 cpu=\n", "\n", "vm_totals cpu=1.0 soon\n", "\x00\x01 x=1i 5\n", "no end"]
        for i, each in enumerate(broken[:-1]):
            mixed.insert(10 * i, each)
        server, _ = self.begin(texts=[texts[0], "".join(mixed) + broken[-1], texts[2]])
        packed = gzip.compress(batches(1, first=10**6)[0].encode())
        damaged = [packed[:-20], b"no gzip", b"", packed + b"x"]
        self.forwarding.queue(damaged)
        run = self.run_well()
        self.assertEqual(server.store.points, points(texts))
        self.assertEqual(server.complaints, [])
        status = self.forwarding.status("one")
        kept = [path for path in (self.forwarding.spool / "bad").iterdir()]
        self.assertEqual(sorted(path.read_bytes() for path in kept if path.read_bytes() in damaged), sorted(damaged))
        lines = [path for path in kept if path.read_bytes() not in damaged]
        self.assertEqual(len(lines), 1)
        text = gzip.decompress(lines[0].read_bytes()).decode()
        self.assertEqual(status["rejected_lines"], text.count("\n"))
        for each in broken:
            self.assertIn(each.strip("\n"), text)
        self.assertEqual((status["bad_batches"], status["exit"]), (len(damaged), 0), run)

    # ---- two sinks ----------------------------------------------------------------------------------------

    def two(self, kind="influxdb3", **broken):
        """A sink "good" and one, "broken"."""
        good, bad = self.server("influxdb1"), self.server(kind)
        self.forwarding.configure(self.sink(kind, bad, "broken", **broken), self.sink("influxdb1", good, "good"))
        texts = batches(60)
        self.forwarding.queue(texts)
        return good, bad, texts

    def test_one_hangs(self):
        """two sinks of which one hangs: the other has everything meanwhile"""
        good, bad, texts = self.two(timeout="60", lines=500)
        bad.behave(Behaviour(fault="hang", store=False))
        process = self.forwarding.start("--once")
        self.wait_for(lambda: not self.forwarding.waiting("good") and bad.requests, "the good sink was held up")
        self.forwarding.queue(more := batches(FEW, first=10**5))
        self.wait_for(lambda: not self.forwarding.waiting("good") or process.poll() is not None, "held up later")
        self.assertIsNone(process.poll())
        told = self.forwarding.status()
        self.assertEqual((told["running"], len(self.forwarding.waiting("broken"))), (True, 63), told)
        bad.stop()
        run = self.forwarding.finish(process)
        self.assertEqual(run.status, 0, run)
        self.assert_stored(texts + more, good, "good")
        bad.start()
        self.assertEqual(self.forwarding.run("--flush").status, 0)
        self.assert_stored(texts + more, bad, "broken")

    def test_one_down(self):
        """two sinks of which one is down or denies: the other has everything, each its own status"""
        good, bad, texts = self.two()
        for trouble in (bad.stop, lambda: (bad.start(), bad.behave(Behaviour(401))), lambda: bad.behave(Behaviour(503))):
            trouble()
            self.hurry("broken")
            self.forwarding.queue(more := batches(FEW, first=len(texts) * 1000))
            texts += more
            self.run_well()
            self.assert_stored(texts, good, "good")
            told = {each["name"]: each["failures"] for each in self.forwarding.status()["sinks"]}
            self.assertEqual((told["good"], told["broken"] > 0), (0, True))
        self.hurry("broken")
        self.run_well()
        self.assert_stored(texts, bad, "broken")


class Locked(Forward):
    """Secrets, certificates, proxies; the sanitized forwarder."""
    sanitized = True

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.authority = Authority(cls.scratch / "authority")
        cls.other = Authority(cls.scratch / "other", "another authority")

    def test_secret_files(self):
        """tokens and passwords: files that are missing, open to others, links, empty; told, all kept; mended, it flows"""
        def missing(path):
            path.rename(self.scratch / "away")
            return lambda: (self.scratch / "away").rename(path)

        def link(path):
            path.rename(self.scratch / "behind")
            path.symlink_to(self.scratch / "behind")
            return lambda: (path.unlink(), (self.scratch / "behind").rename(path))

        def readable(path):
            path.chmod(0o644)
            return lambda: path.chmod(0o600)

        def foreign(path):
            os.chown(path, 65534, 65534)
            return lambda: os.chown(path, 0, 0)

        def empty(path):
            text = path.read_text()
            path.write_text("")
            return lambda: path.write_text(text)
        for kind, damage, error in (
                ("influxdb2", readable, "may read it.* 0?644|0?644"), ("influxdb3", missing, "No such file"),
                ("influxdb1", readable, "0?644"), ("influxdb2", link, "symbolic link"),
                ("influxdb1", foreign, "belongs to user 65534"), ("telemetryd", empty, "is empty")):
            with self.subTest(kind, damage=damage.__name__):
                path = self.secret(TOKEN)
                options = {"user": "ann", "password": TOKEN} if kind == "influxdb1" else {}
                settings = {"user": "ann", "password_file": path} if options else {"token_file": path}
                server, texts = self.begin(kind, server=self.server(kind, **options), **settings)
                mend = damage(path)
                run = self.run_well()
                self.assertEqual([level for level, _ in run.log], [3], run)
                self.assertRegex(run.log[0][1], rf"\[sink one\].*{re.escape(str(path))}.*({error})")
                self.assertEqual(server.requests, [])
                self.assert_kept(texts, error=rf"{re.escape(str(path))}.*({error})", denied=True)
                flush = self.forwarding.run("--flush", timeout=20)
                self.assertEqual(flush.status, 1, flush)
                self.assertIn(str(path), flush.err)
                self.assertNotIn(TOKEN, run.err + flush.err + str(run.log) + str(self.forwarding.ledger("one")))
                mend()
                self.assertEqual(self.forwarding.run("--flush").status, 0)
                self.assert_stored(texts, server)

    def test_wrong_secret(self):
        """a wrong token, which the sink repeats: told without it; the right one in the file, it flows"""
        path = self.secret("wr0ng-token-here")
        server, texts = self.begin("influxdb2", token_file=path)
        server.behave(Behaviour(401, message="token wr0ng-token-here is unknown"))
        server.credentials = {"Token wr0ng-token-here"}
        run = self.run_well()
        self.assert_kept(texts, error="401 .*token [*]+ is unknown", denied=True)
        self.assertNotIn("wr0ng", run.err + str(run.log) + str(self.forwarding.ledger("one")))
        server.credentials = {f"Token {TOKEN}"}
        path.write_text(TOKEN + "\n")
        self.assertEqual(self.forwarding.run("--flush").status, 0)
        self.assert_stored(texts, server)

    def secure(self, kind="influxdb3", url=None, **settings):
        """A server with a certificate; (server, texts) with what waits for it."""
        server = self.server(kind, authority=self.authority, client_authority=settings.pop("client_authority", None))
        sink = self.sink(kind, server, **settings)
        if url:
            sink.options["url"] = url(server)
        self.forwarding = self.new_forwarding()
        self.forwarding.configure(sink)
        self.forwarding.queue(texts := batches(FEW))
        return server, texts

    def again(self, server, texts, **settings):
        """Mended, all flows."""
        self.forwarding.configure(self.sink("influxdb3", server, **settings))
        run = self.forwarding.run("--flush")
        self.assertEqual(run.status, 0, run)
        self.assert_stored(texts, server)

    def test_tls(self):
        """TLS: the authority's own server is trusted, another's is not, nor is one of another name; verify = no"""
        good = {"ca_file": self.authority.file}
        server, texts = self.secure(**good)
        self.run_well()
        self.assert_stored(texts, server)
        self.assertEqual(server.connections, 1)
        for name, wrong in (("another authority", {"ca_file": self.other.file}), ("the system's", {})):
            with self.subTest(name):
                server, texts = self.secure(**wrong)
                self.run_well()
                self.assert_kept(texts, error="no trust in the certificate of 127.0.0.1:", denied=True)
                self.assertEqual(server.requests, [])
                self.again(server, texts, **good)
        with self.subTest("name"):
            server, texts = self.secure(url=lambda server: f"https://127.0.0.2:{server.port}", **good)
            self.run_well()
            self.assert_kept(texts)
            self.assertEqual(server.requests, [])
        server, texts = self.secure(verify="no", ca_file=self.other.file)
        self.run_well()
        self.assert_stored(texts, server)

    def test_client_certificate(self):
        """TLS: a server that wants our certificate: none, another authority's, one that expired, a key open to others"""
        def certificate(authority, name):
            cert, key = authority.client(name)
            return {"ca_file": self.authority.file, "cert_file": cert, "key_file": key}
        good = certificate(self.authority, "good")
        server, texts = self.secure(client_authority=self.authority, **good)
        self.run_well()
        self.assert_stored(texts, server)
        expired = certificate(self.authority, "expired")
        self.authority.expire(expired["cert_file"])
        for name, settings in (("none", {"ca_file": self.authority.file}), ("expired", expired),
                               ("other", certificate(self.other, "other"))):
            with self.subTest(name):
                server, texts = self.secure(client_authority=self.authority, **settings)
                self.run_well()
                self.assert_kept(texts, error="no TLS with 127.0.0.1:.*(alert|expired|unknown|required)", denied=True)
                self.assertEqual(server.requests, [])
                self.again(server, texts, **good)
        server, texts = self.secure(client_authority=self.authority, **good)
        good["key_file"].chmod(0o644)
        self.run_well()
        self.assert_kept(texts, error=re.escape(str(good["key_file"])) + ".*0?644", denied=True)
        good["key_file"].chmod(0o600)
        self.again(server, texts, **good)

    def proxy(self):
        server = Proxy(("127.0.0.1", 0), ProxyHandler)
        server.asked = []
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        self.addCleanup(lambda: (server.shutdown(), server.server_close(), thread.join()))
        return server

    def test_proxy(self):
        """a proxy, asked for http and tunnelled for https; the environment's is ignored; one that is gone is told"""
        proxy = self.proxy()
        url = f"http://127.0.0.1:{proxy.server_address[1]}"
        server, texts = self.begin(proxy=url)
        self.run_well()
        self.assert_stored(texts, server)
        self.assertEqual({verb for verb, _ in proxy.asked}, {"POST"})
        server, texts = self.secure(ca_file=self.authority.file, proxy=url)
        self.run_well()
        self.assert_stored(texts, server)
        self.assertEqual(proxy.asked[-1], ("CONNECT", f"127.0.0.1:{server.port}"))
        before = len(proxy.asked)
        environment = {name: url for name in ("http_proxy", "https_proxy", "all_proxy", "HTTPS_PROXY", "ALL_PROXY")}
        server, texts = self.begin()
        self.run_well(env=environment)
        self.assert_stored(texts, server)
        self.assertEqual(len(proxy.asked), before)
        with socket.socket() as nobody:
            nobody.bind(("127.0.0.1", 0))
            server, texts = self.begin(proxy=f"http://127.0.0.1:{nobody.getsockname()[1]}", connect_timeout="2")
            self.run_well()
            self.assert_kept(texts, error="by way of the proxy|proxy", denied=False)
        self.assertEqual(server.requests, [])


class Proxy(socketserver.ThreadingTCPServer):
    daemon_threads, allow_reuse_address, block_on_close = True, True, False


class ProxyHandler(http.server.BaseHTTPRequestHandler):
    """Just what a proxy needs: requests with a whole URL, and tunnels."""
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_POST(self):
        self.server.asked.append(("POST", self.path))
        place, _, path = self.path.removeprefix("http://").partition("/")
        connection = http.client.HTTPConnection(place, timeout=20)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        headers = {key: value for key, value in self.headers.items() if not key.startswith("Proxy-")}
        connection.request("POST", f"/{path}", body, headers)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        self.send_response(answer.status)
        if answer.status != 204:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def do_CONNECT(self):
        self.server.asked.append(("CONNECT", self.path))
        host, _, port = self.path.partition(":")
        with socket.create_connection((host, int(port)), 20) as other:
            self.send_response(200)
            self.end_headers()
            ends = {self.connection: other, other: self.connection}
            while True:
                for end in select.select(list(ends), [], [], 20)[0]:
                    data = end.recv(65536)
                    if not data:
                        self.close_connection = True
                        return
                    ends[end].sendall(data)


class CommandLine(Forward):
    """What a person calls; the sanitized forwarder."""
    sanitized = True

    def test_usage(self):
        """wrong arguments and configurations: exit status 2, one line that says what is wrong"""
        conf = self.forwarding.conf
        for options, error in (
                (["--nonsense"], "Unknown option --nonsense; see --help"),
                (["now"], 'unexpected argument "now"; see --help'),
                (["--once", "--flush"], "--once, --flush, --status and --dry-run do not go together"),
                (["--status", "--dry-run"], "do not go together"),
                (["--json"], "--json goes with --status"), (["--flush", "--json"], "--json goes with --status"),
                (["--timeout", "3"], "--timeout .*goes with --flush"),
                (["--flush", "--timeout", "-1"], "--timeout takes a number of seconds"),
                (["--flush", "--timeout", "soon"], "soon.*see --help"),
                (["--once", "--linger", "3"], "--linger goes with none of"), (["--linger", "soon"], "--linger.*soon"),
                (["--linger", "-1"], "--linger.*-1"), (["--linger", "3601"], "--linger.*3600"),
                (["--config", "/nonexistent/x.conf"], "/nonexistent/x.conf: No such file"), (["--config"], "see --help")):
            with self.subTest(options):
                run = self.forwarding.run(*options)
                self.assertEqual((run.status, run.out), (2, ""), run)
                self.assertRegex(run.err, rf"\Aforward: .*{error}.*\n\Z")
        for text, error in (("[sink one]\ndatabase = x\n", r"\[sink one\] url: a sink needs one"),
                            ("[sink one]\nurl = ftp://x\n", r"\[sink one\] url"),
                            ("[sink one]\nurl = http://x\ntype = influxdb9\n", "type"),
                            ("[sink bad]\nurl = http://x\n", "bad"), ("nonsense\n", "nonsense|line 1")):
            for options in (["--status"], ["--once"], ["--flush"], []):
                with self.subTest(text, options=options):
                    conf.write_text(f"[spool]\ndir = {self.forwarding.spool}\n{text}")
                    run = self.forwarding.run(*options)
                    self.assertEqual((run.status, run.out), (2, ""), run)
                    self.assertRegex(run.err, rf"\Aforward: .*({error}).*\n\Z")

    def test_help(self):
        """--help and --version"""
        run = self.forwarding.run("--help")
        self.assertEqual((run.status, run.err), (0, ""), run)
        for word in ("--once", "--linger", "--flush", "--timeout", "--status", "--json", "--dry-run", "Exit status"):
            self.assertIn(word, run.out)
        self.assertLessEqual(max(map(len, run.out.splitlines())), 160)
        run = self.forwarding.run("--version")
        self.assertEqual((run.status, run.err), (0, ""), run)
        self.assertRegex(run.out, r"\Aforward \(one-telemetry\) [0-9.]+\n\Z")

    def test_nothing_there(self):
        """no sink configured, no spool yet, an empty one: said, exit status 0"""
        for sinks in ([], [Sink("one", "http://127.0.0.1:9", database="one")]):
            for made in (False, True):
                self.forwarding = self.new_forwarding()
                self.forwarding.configure(*sinks)
                if made:
                    self.forwarding.queue([])
                for options in (["--once"], ["--flush"], ["--status"], ["--status", "--json"], ["--dry-run"]):
                    with self.subTest(options, sinks=len(sinks), spool=made):
                        run = self.forwarding.run(*options)
                        self.assertEqual((run.status, run.log), (0, []), run)
                        said = run.out + run.err
                        if options == ["--status"] and made:
                            self.assertIn("No sink is configured" if not sinks else "well, nothing waits", said)
                        elif options == ["--once"]:
                            self.assertEqual(said, "")
                        elif options == ["--flush"] and made:
                            self.assertEqual(said, "one: all sent\n" if sinks
                                             else "No sink is configured: nothing is sent.\n")
                        elif not made and "--json" not in options:
                            self.assertIn(f"There is no spool {self.forwarding.spool}: nothing was queued yet", said)
                        if sinks and "--status" in options:
                            self.assert_zeros(run.out, "--json" in options, made)
                self.assertEqual(self.forwarding.spool.exists(), made)
        self.forwarding.spool.chmod(0o755)
        for options in (["--once"], ["--flush"], ["--status"]):
            run = self.forwarding.run(*options)
            self.assertEqual((run.status, run.out), (1, ""), run)
            self.assertIn(str(self.forwarding.spool), run.err)

    def assert_zeros(self, said, as_json, made):
        """A sink is shown before anything was queued for it, with nothing but zeros."""
        if not as_json:
            self.assertRegex(said, "one  influxdb1 at http://127.0.0.1:9\n  state +well, nothing waits\n"
                                   "  queued +0 batches, 0 B ")
            return
        told = json.loads(said)
        self.assertEqual((told["spool"], told["running"], told["not_configured"]),
                         (str(self.forwarding.spool) if made else None, False, []))
        self.assertEqual([sink["name"] for sink in told["sinks"]], ["one"])
        for key, value in told["sinks"][0].items():
            if key.endswith(("_batches", "_bytes", "_lines")) or key in ("failures", "retried"):
                self.assertEqual(value, 0, key)
            elif key not in ("name", "type", "url", "last_error"):
                self.assertIsNone(value, key)

    def test_dry_run(self):
        """--dry-run: says what would go where, sends nothing, changes nothing"""
        server, texts = self.begin(texts=batches(7, 1000), lines=2000)
        self.forwarding.queue([b"no gzip"])
        before = self.forwarding.waiting("one")
        run = self.forwarding.run("--dry-run")
        self.assertEqual((run.status, run.err, run.log), (0, "", []), run)
        self.assertRegex(run.out, rf"\Aone: 8 batches, 7000 lines, .*iB, in about 4 requests, to {server.url}/write\?db=one"
                                  r"&precision=ns\none: 1 of them .*damaged and would be set aside\n\Z")
        self.assertEqual((server.connections, self.forwarding.waiting("one")), (0, before))
        self.assertEqual(self.forwarding.ledger("one"), {})

    def test_linger(self):
        """--linger: waits for more, and for an attempt that is due meanwhile, over the same connection; ends when told"""
        server, texts = self.begin()
        server.behave(Behaviour(503))
        process = self.forwarding.start("--linger", "30")
        self.wait_for(lambda: not self.forwarding.waiting("one"), "not tried again")
        self.forwarding.queue(more := batches(FEW, first=10**5))
        self.wait_for(lambda: not self.forwarding.waiting("one"), "what came later is not sent")
        second = self.forwarding.run("--once")
        self.assertEqual((second.status, second.out, second.err), (0, "", ""))
        self.assertIsNone(process.poll())
        process.send_signal(signal.SIGTERM)
        run = self.forwarding.finish(process, 10)
        self.assertEqual(run.status, 0, run)
        log = second.log + run.log  # what was said first was read with the other's
        self.assertEqual([level for level, _ in log], [4, 6], log)
        self.assertRegex(log[1][1], "^sink one takes data again after [0-9]+ s; 3 batches wait")
        self.assert_stored(texts + more, server)
        self.assertEqual(server.connections, 1)

    def test_flush(self):
        """--flush: attempts at once, shows what keeps it, ends by --timeout or a signal; waits for another forwarder"""
        server, texts = self.begin()
        server.stop()
        self.run_well()
        for end in ("timeout", "signal"):
            process = self.forwarding.start("--flush", *(["--timeout", "1"] if end == "timeout" else []))
            if end == "signal":
                self.wait_for(lambda: self.forwarding.status()["running"], "it does not start")
                process.send_signal(signal.SIGINT)
            run = self.forwarding.finish(process, 20)
            self.assertEqual((run.status, run.out), (1, ""), run)
            self.assertRegex(run.err, r"one: 3 batches wait, .*cannot connect to .*: Connection refused\n")
            self.assertEqual("gave up after 1 s (--timeout)\n" in run.err, end == "timeout", run)
            self.assert_kept(texts)
        server.start()
        server.behave(Behaviour(delay=1))
        first = self.forwarding.start("--flush")
        self.wait_for(lambda: server.requests, "nothing is sent")
        second = self.forwarding.run("--flush")
        self.assertEqual(second.status, 0, second)
        self.assertRegex(second.err, r"\Aanother forwarder is at work; waiting for it\n(.*\n)*one: all sent\n\Z")
        run = self.forwarding.finish(first)
        self.assertEqual(run.status, 0, run)
        self.assertRegex(run.err, r"one: all sent\n\Z")
        self.assert_stored(texts, server)

    def test_flush_gives_up_waiting(self):
        """--flush --timeout beside a forwarder that is stuck: says so"""
        server, texts = self.begin(timeout="60")
        server.behave(Behaviour(fault="hang"))
        first = self.forwarding.start("--once")
        self.wait_for(lambda: server.requests, "nothing is sent")
        run = self.forwarding.run("--flush", "--timeout", "1")
        self.assertEqual(run.status, 1, run)
        self.assertIn("gave up: the other forwarder is still at work\n", run.err)
        first.terminate()  # with a request under way
        self.assertEqual(self.forwarding.finish(first, 20).status, 0)
        self.assertEqual(self.forwarding.run("--flush").status, 0)
        self.assert_stored(texts, server, resent=True)


class Databases(Forward):
    """Real databases, the forwarder as it is built."""

    def test_probe_lines(self):
        """what the probe writes of a host, for InfluxDB and VictoriaMetrics at once: every point, every field"""
        text = fleet.lines(self.probe(), 12, self.scratch)
        begin = time.time_ns() // 10**9 * 10**9 - 10 * 10**9
        texts = [each for _, each in fleet.batches(text, 10, begin, 10**9)]
        influx, victoria = self.real(Influxd), self.real(VictoriaMetrics)
        influx.create("one")
        self.forwarding.configure(Sink("one", influx.url, database="one"),
                                  Sink("two", victoria.url, type="victoriametrics", database="one"))
        self.forwarding.queue(texts, begin=begin)
        self.assertEqual(self.run_well().log, [])
        self.assert_in(influx, texts)
        want = {(f"{measurement}_{field}", at // 10**6) for (measurement, _, at), fields in points(texts).items()
                for field in fields}
        self.assertEqual({(name, at) for name, _, at in victoria.samples()}, want)
        self.assertEqual(self.forwarding.status("two")["sent_lines"], self.forwarding.status("one")["sent_lines"])

    def real(self, cls, *arguments, **options):
        type(self).hosts += 1
        server = cls(self.scratch / f"db{self.hosts}", *arguments, **options)
        self.addCleanup(server.kill)
        return server

    def influx(self, texts, *arguments, create=True, settings=None, **options):
        server = self.real(Influxd, *arguments, **options)
        if create:
            server.create("one")
        self.forwarding.configure(Sink("one", server.url, database="one", timeout="5", **(settings or {})))
        self.forwarding.queue(texts)
        return server

    def assert_in(self, server, texts, **more):
        self.assert_points(texts, server.points("one"), **more)

    def test_thousand_cycles(self):
        """a database down for 1,000 cycles, and back: everything is there"""
        server = self.influx([])
        server.stop()
        texts = batches(1000, 8)
        for i in range(0, 1000, 20):
            self.forwarding.queue(texts[i:i + 20], begin=time.time_ns() - (1000 - i) * 10**9)
            self.hurry() if i % 100 == 0 else None
            self.run_well()
        status = self.forwarding.status("one")
        self.assertEqual((status["queued_batches"], status["exit"]), (1000, 3))
        self.assertGreater(status["failures"], 5)
        server.start()
        run = self.forwarding.run("--flush")
        self.assertEqual(run.status, 0, run)
        self.assert_in(server, texts)
        self.assertLess(self.forwarding.ledger("one")["retried"], 20)

    def test_killed_and_frozen(self):
        """InfluxDB frozen, thawed, killed under way and started again: every point once"""
        texts = batches(20)
        server = self.influx(texts, settings={"lines": "100"})
        server.freeze()
        self.forwarding.configure(Sink("one", server.url, database="one", timeout="0.5", lines="100"))
        try:
            self.run_well()
            self.assert_kept(texts, error="no answer in time from 127.0.0.1:", denied=False)
        finally:
            server.thaw()
        process = self.forwarding.start("--flush", "--timeout", "60")
        self.wait_for(lambda: len(self.forwarding.waiting("one")) < 18 or process.poll() is not None, "nothing is sent")
        server.kill()
        more = batches(20, first=10**5)
        self.forwarding.queue(more)
        server.start()
        run = self.forwarding.finish(process)
        self.assertEqual(run.status, 0, run)
        self.assertEqual(self.forwarding.run("--flush").status, 0)
        self.assert_in(server, texts + more)

    def test_denied(self):
        """InfluxDB without the database, then with; with a wrong password, then the right one"""
        texts = batches(FEW)
        path = self.secret("wrong")
        server = self.influx(texts, "ann", "sesame", create=False, settings={"user": "ann", "password_file": path})
        self.run_well()
        self.assert_kept(texts, error="401 Unauthorized: authorization failed", denied=True)
        path.write_text("sesame\n")
        self.assertEqual(self.forwarding.run("--flush", timeout=20).status, 1)
        self.assert_kept(texts, error='404 Not Found: database not found: "one"', denied=True)
        server.create("one")
        self.assertEqual(self.forwarding.run("--flush").status, 0)
        self.assert_in(server, texts)

    def test_influx_limits(self):
        """InfluxDB's max-body-size, a type conflict among 5,000 lines, malformed lines: the others are stored"""
        texts = batches(100)
        server = self.influx([], http={"max-body-size": 20000})
        server.request("POST", "/write?db=one", line(5, 1_700_000_000 * 10**9, "other").replace("5i", "5.5").encode())
        poison = "other,host=kvm1 number=5i 1700000000000000001\n"
        broken = "vm_totals,host=kvm1 cpu= 1\n"
        sent = [texts[0] + broken] + texts[1:70] + [texts[70] + poison] + texts[71:]
        self.forwarding.queue(sent)
        run = self.run_well()
        stored = {key: fields for key, fields in server.points("one").items() if key[0] != "other"}
        self.assertEqual(stored, points(texts), run)
        self.assertEqual(self.forwarding.waiting("one"), [])
        status = self.forwarding.status("one")
        self.assertEqual((status["rejected_lines"], status["sent_lines"], status["exit"]), (2, 5000, 0), status)
        self.assertIn(broken, self.forwarding.bad("one"))
        self.assertIn("conflict", status["last_error"])

    def test_victoriametrics(self):
        """VictoriaMetrics down, frozen, killed, with a wrong password: every point once"""
        path = self.secret("wrong")
        server = self.real(VictoriaMetrics, "ann", "sesame")
        sink = Sink("one", server.url, type="victoriametrics", database="one", user="ann", password_file=path,
                    timeout="2")
        self.forwarding.configure(sink)
        self.forwarding.queue(texts := batches(10))
        self.run_well()
        self.assert_kept(texts, error="401 ", denied=True)
        path.write_text("sesame\n")
        server.freeze()
        try:
            self.assertEqual(self.forwarding.run("--flush", "--timeout", "3").status, 1)
            self.assert_kept(texts, error="no answer in time", denied=False)
        finally:
            server.thaw()
        server.kill()
        self.hurry()
        self.run_well()
        self.assert_kept(texts, error="Connection refused", denied=False)
        server.start()
        self.assertEqual(self.forwarding.run("--flush").status, 0)
        got = {(labels, at): value for (name, labels, at), value in server.samples('{__name__="vm_totals_number"}').items()}
        want = {((("db", "one"), *tags), at // 10**6): fields["number"]
                for (_, tags, at), fields in points(texts).items()}
        self.assertEqual(got, want)
        self.assertEqual(self.forwarding.status("one")["sent_lines"], len(want))


if __name__ == "__main__":
    raise SystemExit(main())
