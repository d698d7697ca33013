#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a person calls: forward --once, --linger, --flush, --status, --dry-run, and wrongly."""
import json
import signal

from forward_case import FEW, Forward
from forwarding import Sink, batches
from harness import main
from standin import Behaviour


class CommandLine(Forward):
    """What a person calls; the sanitized forwarder."""
    sanitized = True

    def test_usage(self):
        """wrong arguments and configurations: exit status 2, one line that says what is wrong"""
        conf = self.forwarding.conf
        for options, error in (
                (["--nonsense"], "Unknown option --nonsense; see --help"),
                (["now"], 'unexpected argument "now"; see --help'),
                (["--once", "--flush"], "--once, --flush, --status, --check and --dry-run do not go together"),
                (["--status", "--dry-run"], "do not go together"),
                (["--json"], "--json goes with --status"), (["--flush", "--json"], "--json goes with --status"),
                (["--timeout", "3"], "--timeout .*goes with --flush"),
                (["--flush", "--timeout", "-1"], "--timeout takes a number of seconds"),
                (["--flush", "--timeout", "soon"], "soon.*see --help"),
                (["--once", "--linger", "3"], "--linger goes with none of"), (["--linger", "soon"], "--linger.*soon"),
                (["--linger", "-1"], "--linger.*-1"), (["--linger", "3601"], "--linger.*3600"),
                (["--config", "/nonexistent/x.conf"], "/nonexistent/x.conf: No such file"),
                (["--config"], "see --help")):
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
            elif key == "status":
                self.assertEqual(value, "ok")
            elif key not in ("name", "type", "url", "last_error"):
                self.assertIsNone(value, key)

    def test_check(self):
        """--check: one line for each sink, whether it would let us write; nothing is stored, and the spool is as it was"""
        good = {kind: self.server(kind) for kind in ("influxdb1", "influxdb2", "influxdb3", "telemetryd")}
        gone = self.server("influxdb1")
        sinks = [self.sink(kind, server, name=kind) for kind, server in good.items()]
        wrong = self.secret("another")
        self.forwarding.configure(
            *sinks, self.sink("influxdb2", good["influxdb2"], name="denied", token_file=wrong),
            self.sink("influxdb2", good["influxdb2"], name="unread", token_file=self.secret("t", mode=0o644)),
            self.sink("influxdb1", good["influxdb1"], name="missing", database="other"),
            self.sink("influxdb1", gone, name="gone"))
        gone.stop()
        self.forwarding.queue(batches(1))
        run = self.forwarding.run("--check")
        self.assertEqual((run.status, run.err), (3, ""), run)
        lines = run.out.splitlines()
        for line, kind in zip(lines, good):
            self.assertEqual(line, f"{kind}  {kind} at {good[kind].url}: ok")
            self.assertEqual(good[kind].store.points, {})
        self.assertEqual(good["influxdb3"].requests, [], "a database that is written to would be made")
        for line, error in zip(lines[4:], ("denied .*: 401.*; look at token_file", "unread .*others may read.*chmod 600",
                                           "missing .*: 404.*; look at url and database", "gone .*; does it run")):
            self.assertRegex(line, error)
        self.assertEqual(len(self.forwarding.waiting("influxdb1")), 1)
        self.forwarding.configure(*sinks)
        run = self.forwarding.run("--check")
        self.assertEqual((run.status, len(run.out.splitlines())), (0, 4), run)
        self.forwarding.configure()
        run = self.forwarding.run("--check")
        self.assertEqual((run.status, run.out), (0, "No sink is configured: there is nothing to check.\n"), run)

    def test_dry_run(self):
        """--dry-run: says what would go where, sends nothing, changes nothing"""
        server, texts = self.begin(texts=batches(7, 1000), lines=2000)
        self.forwarding.queue([b"no gzip"])
        before = self.forwarding.waiting("one")
        run = self.forwarding.run("--dry-run")
        self.assertEqual((run.status, run.err, run.log), (0, "", []), run)
        self.assertRegex(run.out, r"\Aone: 8 batches, 7000 lines, .*iB, in about 4 requests, to "
                                  rf"{server.url}/write\?db=one&precision=ns\none: 1 of them .*damaged and would be set.*\n\Z")
        self.assertEqual((server.connections, self.forwarding.waiting("one")), (0, before))
        self.assertEqual(self.forwarding.ledger("one"), {})

    def test_linger(self):
        """--linger: waits for more, and for an attempt that is due meanwhile, on one connection; ends when told"""
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



if __name__ == "__main__":
    raise SystemExit(main())
