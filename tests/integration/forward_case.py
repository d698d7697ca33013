# SPDX-License-Identifier: Apache-2.0
"""Tests of the forwarder against sinks: a test case that makes stand-ins, configurations and queues, and that asks
whether every point which was queued is stored once, or is counted as refused and then lies in bad/."""
import gzip

from forwarding import Forwarding, Sink, batches, points
from harness import Case, args
from standin import Standin

TOKEN = "s3cret-t0ken"
PLACES = {"influxdb1": {"db": "one"}, "influxdb2": {"org": "ops", "bucket": "one"}, "influxdb3": {"db": "one"},
          "telemetryd": {}}
SETTINGS = {"influxdb1": {"database": "one"}, "influxdb2": {"org": "ops", "bucket": "one"},
            "influxdb3": {"database": "one"}, "telemetryd": {}}
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
        self.assertEqual([(key, stored[key], want.get(key)) for key in wrong[:3]], [], "points that were not queued so")
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
