#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The forwarder and real databases, in good and bad times: every point is there, once."""
import sys
import time

from databases import Influxd, VictoriaMetrics
from forward_case import FEW, Forward
from forwarding import Sink, batches, line, points
from harness import ROOT, main

sys.path.append(str(ROOT / "tests" / "bench"))
import fleet  # noqa: E402


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
        sent = points(texts)
        self.assertEqual(influx.points("one"), sent)
        want = {(f"{measurement}_{field}", at // 10**6) for (measurement, _, at), fields in sent.items()
                for field in fields}
        self.assertEqual({(name, at) for name, _, at in victoria.samples()}, want)
        told = [(each["sent_lines"], each["rejected_lines"], each["queued_batches"])
                for each in self.forwarding.status()["sinks"]]
        self.assertEqual(told, 2 * [(len(sent), 0, 0)])

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
        server = self.real(VictoriaMetrics, "ann", "sesame", flags=["-dedup.minScrapeInterval=1ms"])
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
        numbers = server.samples('{__name__="vm_totals_number"}')
        got = {(labels, at): values for (_, labels, at), values in numbers.items()}
        want = {((("db", "one"), *tags), at // 10**6): [fields["number"]]
                for (_, tags, at), fields in points(texts).items()}
        self.assertEqual(got, want)
        self.assertEqual(self.forwarding.status("one")["sent_lines"], len(want))



if __name__ == "__main__":
    raise SystemExit(main())
