#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Sinks in bad times: down, refusing, slow, lying, one of two. Whatever happens, every point that was queued is stored
once, or is counted as refused and then lies in bad/; and who asks is told what the trouble is."""
import email.utils
import gzip
import os
import socket
import time

from forward_case import FEW, PLACES, TOKEN, Forward
from forwarding import Sink, batches, line, points
from harness import main
from standin import FAULTS, Behaviour, Standin, gunzip, http_date

MINUTE = 60 * 10**9


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
                (401, True), (403, True), (404, True), (405, True), (301, True), (302, True), (408, False),
                (429, False), (500, False), (502, False), (503, False), (504, False), (599, False))):
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
        """one poison line among 5,000, a partial write of InfluxDB 1, 2 or 3: the others are stored"""
        for kind, detail, unnamed in (("influxdb1", "array", 1), ("influxdb2", "array", 1), ("influxdb3", "array", 0),
                                      ("influxdb3", "object", 0), ("influxdb3", "none", 0), ("telemetryd", "array", 1)):
            for where, count in ((2503, 100),) if detail == "array" and kind != "telemetryd" else ((0, 3), (149, 3)):
                with self.subTest(kind, detail=detail, where=where):
                    texts, _ = self.poisoned(where, count)
                    server, _ = self.begin(kind, texts, self.seeded(kind))
                    server.always = Behaviour(detail=detail)
                    run = self.run_well()
                    self.assert_stored(texts, server, rejected=1, unnamed=unnamed, resent=True)
                    self.assertRegex(run.log[0][1], "^sink one: 1 line refused for good.*: 4(00|22) .*(conflict|part)")
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
            for where, count in ((2503, 100), (149, 3)) if named else ((0, 20), (999, 20)):
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
        """a sink that refuses every line without a reason: nothing is thrown away, and --flush ends"""
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
        def deny():
            bad.start()
            bad.behave(Behaviour(401))
        for trouble in (bad.stop, deny, lambda: bad.behave(Behaviour(503))):
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



if __name__ == "__main__":
    raise SystemExit(main())
