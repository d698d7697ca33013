#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""All the way: real guests, the probe called as OpenNebula does, the forwarder that it starts, real databases. What
is queried back equals what was collected, each measurement, tag, field, type and value; nobody does anything in between."""
import contextlib
import fcntl
import gzip
import math
import os
import shutil
import signal
import time

import line_protocol
from databases import Influxd, VictoriaMetrics, free_port
from forwarding import Sink
from harness import RigCase, args, main
from rig.core import FLEET, MORE

NET = 85
VMS = (79, 82, 83, 84, NET)
APART = 0.4  # seconds between two cycles
ARRIVAL_SECONDS = 30  # within which everything arrives, on a busy machine too
TYPES = {int: "integer", float: "float", str: "string", bool: "boolean"}
KEPT = "kept"  # a sink where nobody listens: what was queued can be read in its queue


class Chain:
    """A host whose probe queues for sinks, and the forwarder that it starts."""

    def __init__(self, case, *sinks, linger="0"):
        self.case, self.host = case, case.host()
        self.spool = self.host.dir / "spool"
        self.program = self.host.tree.root / "hooks" / "telemetry" / "forward"
        self.program.parent.mkdir(parents=True)
        shutil.copy(args.build / "hooks" / "forward", self.program)
        kept = Sink(KEPT, f"http://127.0.0.1:{free_port()}", database="none")
        self.host.configure(f"[spool]\ndir = {self.spool}\n[forward]\nlinger = {linger}\n" +
                            "".join(sink.text() for sink in (*sinks, kept)))
        self.sinks = [sink.name for sink in sinks]
        self.recordings, self.log = [], []
        case.addCleanup(self.end)

    def cycle(self):
        """One of OpenNebula's; its records are complete."""
        recording = self.host.dir / f"recording-{len(self.recordings)}"
        run = self.host.cycle("--record", recording)
        self.recordings.append(recording)
        self.log += run.log
        self.case.assertEqual(run.err, "", run)
        self.case.assert_complete(run, vms=VMS)
        return run

    # ---- the spool --------------------------------------------------------------------------------------

    def waiting(self, sink):
        return sorted((self.spool / sink).glob("*.lp.gz"))

    def batches(self):
        """The points of every batch that was queued, oldest first."""
        return [line_protocol.read(gzip.decompress(path.read_bytes()).decode()) for path in self.waiting(KEPT)]

    def points(self):
        """Of all batches: as Influxd.points has them."""
        return {(point.measurement, tuple(point.tags.items()), point.time): point.fields
                for points in self.batches() for point in points}

    def arrive(self, *sinks):
        """Waits until nothing waits for these sinks (all that are up by default), and no forwarder is at work."""
        self.case.wait_for(lambda: not any(self.waiting(sink) for sink in sinks or self.sinks),
                           f"still waiting; log: {self.log + self.host.syslog.take()}", ARRIVAL_SECONDS)
        self.case.wait_for(self.is_idle, "a forwarder does not end", ARRIVAL_SECONDS)

    def is_idle(self):
        with open(self.spool / "lock", "rb") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
        return True

    # ---- the forwarder ------------------------------------------------------------------------------------

    def forwarders(self):
        """The pids of this host's."""
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError):
                if os.readlink(f"/proc/{pid}/exe") == str(self.program):
                    found.append(int(pid))
        return found

    def end(self):
        for pid in self.forwarders():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


class Guests(RigCase):
    fleet = (*FLEET, *MORE, ("net", f"one-{NET}", {"vm_name": 'a "name", with \\ and = signs', "uname": "zoë"}))

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.influxd = Influxd(cls.scratch / "influxd")
        cls.cleanup(cls.influxd.kill)
        cls.victoria = VictoriaMetrics(cls.scratch / "victoria")
        cls.cleanup(cls.victoria.kill)

    def chain(self, **options):
        """To both databases, in a database of the test's own."""
        self.database = self.id().rpartition(".")[2]
        self.influxd.create(self.database)
        return Chain(self, Sink("influx", self.influxd.url, database=self.database),
                     Sink("victoria", self.victoria.url, type="victoriametrics", database=self.database), **options)

    # ---- what is stored -------------------------------------------------------------------------------------

    def assert_in_influxdb(self, points):
        """Just these are there, with the types that were sent."""
        stored = self.influxd.points(self.database)
        self.assertEqual(sorted(set(points) ^ set(stored))[:5], [], "points lost, or made up")
        for key, fields in points.items():
            self.assertEqual(stored[key], fields, key)
            self.assertEqual({name: type(value) for name, value in stored[key].items()},
                             {name: type(value) for name, value in fields.items()}, key)
        types = {}
        for (measurement, _, _), fields in points.items():
            types.setdefault(measurement, {}).update({name: TYPES[type(value)] for name, value in fields.items()})
        self.assertEqual(self.influxd.field_types(self.database), types)

    @staticmethod
    def number(value):
        """What VictoriaMetrics makes of it: a text is 0, but for one that is a number."""
        with contextlib.suppress(ValueError):
            return float(value)
        return 0.0

    def assert_in_victoriametrics(self, points):
        """The same, as it has them: floats, at milliseconds."""
        want = {}
        for (measurement, tags, at), fields in points.items():
            labels = tuple(sorted((*tags, ("db", self.database))))
            for name, value in fields.items():
                want[f"{measurement}_{name}", labels, at // 10**6] = self.number(value)
        stored = self.victoria.samples(f'{{db="{self.database}"}}')
        self.assertEqual((sorted(set(want) - set(stored))[:3], sorted(set(stored) - set(want))[:3]), ([], []),
                         "samples lost, or made up")
        for key, value in want.items():
            for got in stored[key]:
                self.assertTrue(math.isclose(got, value, rel_tol=1e-12), f"{key}: {got} instead of {value}")

    def assert_as_collected(self, chain):
        """What was queued of the guests is what the probe makes of the same collections by hand."""
        for i, batch in enumerate(chain.batches()):
            replayed = [word for path in chain.recordings[max(i - 1, 0):i + 1] for word in ("--replay", path)]
            run = chain.host.by_hand(*replayed, "--format", "line")
            self.assertEqual(run.status, 0, run)
            shown = {(point.measurement, *point.tags.items()): point for point in line_protocol.read(run.out)}
            queued = {(point.measurement, *point.tags.items()): point for point in batch}
            for key in set(shown) | set(queued):
                if key[0] == "host_totals":
                    continue
                if key[0] == "vm_info" and key not in queued:
                    self.assertGreater(i, 0, key)
                    continue
                self.assertEqual(queued.get(key), shown.get(key), f"cycle {i}")

    def test_points(self):
        """guests of all kinds, some cycles: each point is in InfluxDB and in VictoriaMetrics as it was collected"""
        chain = self.chain()
        for _ in range(3):
            chain.cycle()
            time.sleep(APART)
        chain.arrive()
        lines = sum(map(len, chain.batches()))
        chain.cycle()
        chain.arrive()
        points = chain.points()
        self.assert_in_influxdb(points)
        self.assert_in_victoriametrics(points)
        self.assert_as_collected(chain)
        batches = chain.batches()
        self.assertEqual(len(batches), 4)
        for batch in batches:
            self.assertEqual({int(point.tags["VMID"]) for point in batch if point.measurement == "vm_totals"}, set(VMS))
            self.assertEqual({point.measurement for point in batch} - {"vm_info"},
                             {"vm_totals", "vm_devices", "vm_vcpus", "host_totals"})
        self.check_info(batches)
        self.check_host(batches, lines)
        self.assert_log(chain)

    def check_info(self, batches):
        """The guests' names once, and again when their ten minutes are over."""
        info = [{int(point.tags["VMID"]): point.fields for point in batch if point.measurement == "vm_info"}
                for batch in batches]
        self.assertEqual(set(info[0]), set(VMS))
        self.assertEqual((info[0][NET]["vm_name"], info[0][NET]["uname"]), ('a "name", with \\ and = signs', "zoë"))
        for vm in VMS:
            self.assertLessEqual(sum(vm in later for later in info[1:]), 1, vm)
        self.assertLess(sum(map(len, info[1:])), len(VMS) * 2)

    def check_host(self, batches, lines):
        """Our own work: the host's sums, and a point of each sink with what was sent before."""
        for batch in batches:
            totals = {point.tags.get("sink"): point.fields for point in batch if point.measurement == "host_totals"}
            self.assertEqual(list(totals), [None, "influx", "victoria", KEPT])
            self.assertEqual(totals[None]["domains"], len(VMS))
        for sink in ("influx", "victoria"):
            self.assertEqual([totals[sink][key] for key in ("sent_lines", "queued_batches", "rejected_lines",
                                                            "dropped_batches")], [lines, 0, 0, 0])
        self.assertEqual(totals[KEPT]["sent_lines"], 0)
        self.assertEqual((totals[KEPT]["queued_batches"], totals[None]["spool_batches"]), (3, 3))
        self.assertGreater(totals[KEPT]["retried_requests"], 0)

    def assert_log(self, chain):
        """Nothing to complain of but the sink where nobody listens."""
        log = [text for level, text in chain.log + chain.host.syslog.take() if level <= 4]
        known = (f"sink {KEPT} does not take data", "no previous sample")
        self.assertEqual([text for text in log if not any(words in text for words in known)], [])

    # ---- the forwarder and the probe --------------------------------------------------------------------------

    def test_frozen(self):
        """a database that does not answer: OpenNebula has its records all the same; the data arrives when it does"""
        chain = self.chain()
        self.influxd.freeze()
        try:
            for _ in range(2):
                run = chain.cycle()
                self.assertLess(run.seconds, 15)
                time.sleep(APART)
            self.wait_for(lambda: not chain.waiting("victoria"), "one sink holds the other up", ARRIVAL_SECONDS)
            pid, = chain.forwarders()
            self.assertEqual(os.getsid(pid), pid)
            self.assertEqual([os.readlink(f"/proc/{pid}/fd/{fd}") for fd in range(3)], ["/dev/null"] * 3)
            self.assertEqual(len(chain.waiting("influx")), 2)
        finally:
            self.influxd.thaw()
        chain.arrive()
        self.assert_in_influxdb(chain.points())
        self.assert_in_victoriametrics(chain.points())
        self.assert_log(chain)

    def cycle_until(self, chain, condition):
        """Cycles, a second apart: more is not done for the sinks to get their data."""
        deadline = time.monotonic() + ARRIVAL_SECONDS
        while True:
            self.assertLess(time.monotonic(), deadline, chain.host.syslog.take())
            chain.cycle()
            until = time.monotonic() + 1
            while time.monotonic() < until:
                if condition():
                    return
                time.sleep(0.05)

    def test_down_and_back(self):
        """a database that is down for some cycles: the other gets its data, and it gets all when it is back"""
        chain = self.chain()
        chain.cycle()
        chain.arrive()
        self.influxd.kill()
        try:
            for _ in range(3):
                time.sleep(APART)
                chain.cycle()
            chain.arrive("victoria")
            self.assert_in_victoriametrics(chain.points())
            self.assertEqual(len(chain.waiting("influx")), 3)
        finally:
            self.influxd.start()
        self.cycle_until(chain, lambda: not chain.waiting("influx"))
        chain.arrive()
        self.assert_in_influxdb(chain.points())
        self.assert_in_victoriametrics(chain.points())
        sinks = {point.tags["sink"]: point.fields for batch in chain.batches() for point in batch
                 if point.measurement == "host_totals" and "sink" in point.tags}
        self.assertGreater(sinks["influx"]["retried_requests"], 0)
        self.assertEqual([sinks["influx"][key] for key in ("dropped_batches", "rejected_lines")], [0, 0])
        log = [text for level, text in chain.log + chain.host.syslog.take()]
        self.assertTrue(any("sink influx does not take data: " in text for text in log), log)


if __name__ == "__main__":
    raise SystemExit(main())
