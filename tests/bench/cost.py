#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""cost.py [--guests N ...] [--runs N] [--windows N] [--disc] --build DIR   what monitoring costs a host, ours and others'.

Starts N idle KVM guests, then runs all candidates in turn against the same guests: programs RUNS times, and what goes on
by itself (telemetryd's collector, collectd) WINDOWS times for some seconds. Prints medians, and ratios to the one bulk call
to libvirt of the same run: only those mean something on a machine that others use too. CPU is of the client, libvirtd and
all QEMU together. Then our own part, without libvirt. Exit status 1 when something is worse than what the project promises
for 50 guests.
"""
import argparse
import pathlib
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "integration"))
import clocks  # noqa: E402
import peers  # noqa: E402
import promises  # noqa: E402
from clocks import Cost  # noqa: E402
from databases import DatabaseError  # noqa: E402
from opennebula import CONFIGURATION, Tree, message_size  # noqa: E402
from own_part import ENDPOINT, MODES, SIZES, OwnPart  # noqa: E402
from rig import Rig, RigError  # noqa: E402
from telemetryd import Telemetryd  # noqa: E402

GROUPS = "--state --cpu-total --balloon --vcpu --interface --block".split()
SPOOLING = ("[spool]\ndir = {0}/spool\n[forward]\nprogram = /bin/true\n"
            "[sink one]\nurl = http://127.0.0.1:9\ndatabase = one\n")  # nobody takes the batches away
OURS = {"state probe": ("vm_status", "status"), "execution probe": ("vm_exec", "execution")}
COLLECTORS = {  # row: interval and monitor_interval, s
    "collector, a second of 1 s / 10 s": (1, 10),
    "collector, a fast sample": (1, 3600),
    "collector, a full sample": (1, 1),
}
MIXED, FAST, FULL = COLLECTORS
ALONE = "probe, workers = 1"
WINDOW_S = 10  # whole monitor_intervals and intervals of collectd
GUEST_MB = 60
PROMISED_AT = 50
BULK_MS = 5.5  # CPU for each VM of the bulk call, without the start of a program, when the promises were made
DAY_S = 86400
PERIODS_S = {"probe": 30, "state probe": 5, "execution probe": 5}  # OpenNebula's
SLOW_S = 300  # slow_interval: as often a guest costs what it costs in the bulk call
NOT_NOW_S = 86400  # so that samples are measured without these readings; their share is added
STOCK_CPU_S = {30: 5.563 / 50, 5: (4.305 + 4.3) / 50}  # of a VM among 50: poll.rb; state.rb and exec.rb


class Bench:
    """Everything that is measured, and against which guests."""

    def __init__(self, rig, build, count):
        self.rig, self.build, self.count, self.uri = rig, build, count, rig.uri()
        self.scratch = pathlib.Path(rig.dir) / f"cost-{count}"
        shutil.rmtree(self.scratch, ignore_errors=True)
        self.scratch.mkdir()
        guests = [rig.pid(f"one-{5000 + i}") for i in range(1, count + 1)]
        self.watch = clocks.Watch(rig.libvirtd_pid(), guests)
        self.programs = self._programs()
        self.servers, self.exporter, self.daemons = [], None, {}
        self.rows = {}  # name: [Cost]

    # ---- candidates ---------------------------------------------------------------------------------------

    def _tree(self, name, conf=""):
        return Tree(self.scratch / name, self.build / "probes" / "vm_monitor", self.uri,
                    f"[probe]\nstate_dir = {self.scratch}/{name}-state\nslow_interval = {NOT_NOW_S}\n{conf}")

    def _programs(self):
        only, trees = str(self.build / "tests" / "bench" / "libvirt_only"), {
            "probe": self._tree("probe"), "probe, sources = libvirt": self._tree("libvirt", "sources = libvirt\n"),
            ALONE: self._tree("alone", "workers = 1\n"),
            "probe with a sink": self._tree("sink", SPOOLING.format(self.scratch))}
        self.tree = trees["probe"]
        made = {"connect": [only, "connect", self.uri], "the bulk call": [only, "stats", self.uri],
                "virsh domstats": ["virsh", "-q", "-c", self.uri, "domstats", "--nowait", *GROUPS],
                **{name: [str(tree.probe), "kvm", "0", "localhost"] for name, tree in trees.items()}}
        for name, (program, directory) in OURS.items():
            if (self.build / "probes" / program).exists():
                made[name] = self._beside(program, directory)
            else:
                print(f"  {name}: no {program} in this build, its row is left out", file=sys.stderr)
        return made

    def _beside(self, program, directory):
        """Another probe in the tree."""
        place = self.tree.probes.parent / directory / "telemetry"
        place.parent.mkdir()
        shutil.copy(self.build / "probes" / program, place)
        pending = self.scratch / "run-one"  # stands for /var/run/one: no command is pending
        pending.mkdir(exist_ok=True)
        return [str(place), *(["--dir", str(pending)] if program == "vm_exec" else []), "kvm", "0", "localhost"]

    def start(self):
        self.servers.append(peers.Exporter(self.scratch / "exporter", self.uri))
        for i, (interval, monitors) in enumerate(COLLECTORS.values()):
            self.servers.append(Telemetryd(
                self.scratch / f"telemetryd-{i}", self.build / "serve" / "telemetryd",
                collector={"uris": self.uri, "interval": interval, "monitor_interval": monitors,
                           "slow_interval": NOT_NOW_S}))
        self.exporter, self.daemons = self.servers[0], dict(zip(COLLECTORS, self.servers[1:]))

    def stop(self):
        for server in self.servers:
            server.stop()

    # ---- measuring ----------------------------------------------------------------------------------------

    def turn(self, counts, windows):
        """Every candidate once, those that go on by themselves with `windows`."""
        for name, command in self.programs.items():
            self._add(name, counts, clocks.measured(self.build, command, self.watch, CONFIGURATION))
        self._add("libvirt-exporter, a scrape", counts, self._scrape())
        if windows:
            for name in COLLECTORS:
                self._add(name, counts, self._collector(self.daemons[name]))
            self._add("collectd's virt, a reading", counts, self._collectd())
            self._add("nobody asks, a second", counts, self._window(None, WINDOW_S))

    def _add(self, name, counts, cost):
        if counts:
            self.rows.setdefault(name, []).append(cost)

    def _scrape(self):
        before, begin = clocks.cpu_ms(self.exporter.process.pid), time.monotonic()
        self.watch.look()
        self.exporter.scrape(self.count)
        wall = 1e3 * (time.monotonic() - begin)
        return Cost(wall, clocks.cpu_ms(self.exporter.process.pid) - before, *self.watch.look())

    def _window(self, pid, parts):
        """WINDOW_S divided by so many; or what `parts` returns then."""
        before = clocks.cpu_ms(pid) if pid else 0.0
        self.watch.look()
        time.sleep(WINDOW_S)
        client = clocks.cpu_ms(pid) - before if pid else 0.0
        took = client, *self.watch.look()
        parts = parts() if callable(parts) else parts
        return Cost(0.0, *(part / parts for part in took))

    def _collections(self, daemon):
        uri = daemon.json("diagnostic")["libvirt"][0]
        if uri["errors"] or (uri["collections"] and uri["vms"] != self.count):
            raise DatabaseError(f"the collector does not see {self.count} guests: {uri}")
        return uri["collections"], uri["collect_ms"]

    def _collector(self, daemon):
        """A sample."""
        daemon.post("start")
        deadline, before = time.monotonic() + 60, self._collections(daemon)[0]
        first = before
        while before < first + 2:  # the first one asks for everything
            if time.monotonic() > deadline:
                raise DatabaseError(f"nothing is collected: {daemon.log_text()[-500:]}")
            time.sleep(0.05)
            before = self._collections(daemon)[0]
        time.sleep(0.4)
        cost = self._window(daemon.process.pid, lambda: self._collections(daemon)[0] - before)
        cost.wall, cost.peak = self._collections(daemon)[1], daemon.memory_kb() / 1024
        daemon.post("stop")
        return cost

    def _collectd(self):
        collectd = peers.Collectd(self.scratch / "collectd", self.uri)
        try:
            time.sleep(1.5 * peers.INTERVAL_S)  # between its second reading and the third
            return self._window(collectd.process.pid, WINDOW_S // peers.INTERVAL_S)
        finally:
            collectd.stop()

    def run(self, runs, windows):
        self.turn(False, False)  # warms up
        for i in range(runs):
            self.turn(True, (i + 1) * windows // runs > i * windows // runs)
            print(f"\r  turn {i + 1} of {runs}", end="", file=sys.stderr, flush=True)
        print(file=sys.stderr)
        return Table(self.count, self.rows, message_size(self.tree.run().stdout))


class Table:
    """Medians."""

    def __init__(self, count, rows, message):
        self.count, self.message, self.costs = count, message, rows
        self.rows = {name: Cost(*(statistics.median(getattr(cost, part) for cost in costs)
                                  for part in ("wall", "client", "libvirtd", "qemu", "peak"))) for name, costs in rows.items()}
        self.cpu = {name: statistics.median(cost.cpu for cost in costs) for name, costs in rows.items()}
        self.runs = {name: len(costs) for name, costs in rows.items()}

    @property
    def bulk_ms(self):
        """CPU of the bulk call alone, without the start of a program."""
        return self.cpu["the bulk call"] - self.cpu["connect"]

    def more_client_ms(self, name, than):
        """Client CPU above another's: of the two of each turn, since the machine's moods last for several."""
        return statistics.median(one.client - other.client for one, other in zip(self.costs[name], self.costs[than]))

    def sample_ms(self, name, period_s):
        """CPU of a sample and its share of the slow readings."""
        return self.cpu[name] + self.bulk_ms * period_s / SLOW_S

    def print(self):
        print(f"\n{self.count} guests; medians, ms; peak in MB\n")
        print(f"{'':36}{'runs':>6}{'wall':>9}{'client':>9}{'libvirtd':>9}{'QEMU':>9}{'all CPU':>9}{'per VM':>9}{'peak':>7}")
        for name, row in self.rows.items():
            print(f"{name:36}{self.runs[name]:6}" + "".join(
                f"{value:9.1f}" if value else f"{'-':>9}" for value in (row.wall, row.client, row.libvirtd, row.qemu)) +
                f"{self.cpu[name]:9.1f}{self.cpu[name] / self.count:9.3f}" + (f"{row.peak:7.1f}" if row.peak else f"{'-':>7}"))

    def promises(self):
        rows, cpu = self.rows, self.cpu
        probe, virsh, stats = (rows[name] for name in ("probe", "virsh domstats", "the bulk call"))
        yield "full sample, the probe: all CPU / the bulk call", 2.0 / BULK_MS, cpu["probe"] / self.bulk_ms
        yield "full sample, the collector: all CPU / the bulk call", 2.0 / BULK_MS, cpu[FULL] / self.bulk_ms
        yield "fast sample, the collector: all CPU / the bulk call", 0.2 / BULK_MS, cpu[FAST] / self.bulk_ms
        yield "wall of the probe / of the bulk call", 0.5, probe.wall / stats.wall
        if "state probe" in cpu:
            yield "state probe: all CPU / connect alone", 40 / 19, cpu["state probe"] / cpu["connect"]
        if "execution probe" in cpu:
            yield "execution probe: all CPU, ms", 5.0, rows["execution probe"].client
        yield "wall of the probe / virsh", 1.05, probe.wall / virsh.wall
        same_call = rows["probe, sources = libvirt"]  # what virsh and the bulk call ask for
        yield "client CPU of the probe, sources = libvirt / virsh", 0.90, same_call.client / virsh.client
        yield ("own share: client CPU of the same above the bulk call's, ms", 5.0,
               self.more_client_ms("probe, sources = libvirt", "the bulk call"))
        yield "peak memory of the probe, MB", 25.0, probe.peak
        yield "client CPU of spooling for a sink, ms", 3.0, self.more_client_ms("probe with a sink", "probe")

    def print_more(self):
        probe, collector = self.sample_ms("probe", 30), self.sample_ms(FULL, 10)
        print(f"{'full sample, the probe, with its share of slow readings':62}{probe / self.bulk_ms:8.2f}")
        print(f"{'full sample, the collector, with its share of slow readings':62}{collector / self.bulk_ms:8.2f}")
        print(f"{'message of all records, bytes':62}{self.message:8d}")
        print(f"\nms of CPU for each VM, in all{'here':>41}{f'if the bulk call took {BULK_MS}':>32}\n")
        for what, ms in (("the probe's sample", self.cpu["probe"]), ("with its share of slow readings", probe),
                         ("the collector's full sample", self.cpu[FULL]), ("with its share of slow readings", collector),
                         ("the collector's fast sample", self.cpu[FAST])):
            print(f"{what:62}{ms / self.count:8.2f}{ms / self.bulk_ms * BULK_MS:32.2f}")

    def print_day(self):
        """CPU seconds a day for each VM."""
        def day(ms, period_s):
            return ms / 1e3 / self.count * DAY_S / period_s

        ours = {"probe": self.sample_ms("probe", 30), **{name: self.cpu[name] for name in OURS if name in self.cpu}}
        lines = [(f"our {name}, every {PERIODS_S[name]} s", day(ms, PERIODS_S[name])) for name, ms in ours.items()]
        lines.append(("  together", sum(value for _, value in lines)))
        lines += [
            ("our collector, every second, monitors every 10 s", day(self.cpu[MIXED], 1)),
            ("a program with the bulk call, every 30 s", day(self.cpu["the bulk call"], 30)),
            ("virsh domstats, every 30 s", day(self.cpu["virsh domstats"], 30)),
            ("prometheus-libvirt-exporter, every 15 s", day(self.cpu["libvirt-exporter, a scrape"], 15)),
            ("collectd's virt, every 10 s", day(self.cpu["collectd's virt, a reading"], peers.DEFAULT_S)),
            ("stock poll.rb, state.rb, exec.rb, as measured before with 50", sum(s * DAY_S / p for p, s in STOCK_CPU_S.items())),
        ]
        print(f"\na day at default periods, {self.count} guests: CPU seconds for each VM\n")
        for what, value in lines:
            print(f"{what:62}{value:8.1f}")


def own_promises(own):
    most = SIZES[-1]
    for mode in MODES:  # and the state's text is not one: a cycle does not read libvirt's answer as text
        yield f"own part of {most} domains, {mode}: ms of CPU", 30.0, own.cpu_ms[mode, most]
    for what in (*MODES, ENDPOINT):
        yield f"instructions for a domain, {most} / {SIZES[0]}, {what}", 1.2, own.growth(what)


def check(found):
    found = list(found)
    print()
    return promises.report([(what, limit) for what, limit, _ in found], [value for *_, value in found])


def has_room(count, before):
    text = pathlib.Path("/proc/meminfo").read_text()
    free_mb = int(text[text.index("MemAvailable:"):].split()[1]) // 1024
    if (count - before) * GUEST_MB + 1024 <= free_mb:
        return True
    print(f"\n{count} guests: left out, they take more than the {free_mb} MB that are free")
    return False


def bench(rig, args):
    worse, before = 0, 0
    sizes = sorted(args.guests)
    promised = PROMISED_AT if PROMISED_AT in sizes else sizes[-1]
    for count in sizes:
        if not has_room(count, before):
            continue
        rig.up(count=count, disc=args.disc)
        before, made = count, Bench(rig, args.build, count)
        try:
            made.start()
            table = made.run(args.runs, args.windows)
        finally:
            made.stop()
        table.print()
        if count == promised:
            worse += check(table.promises())
            table.print_more()
        table.print_day()
    if not args.keep:
        rig.down()  # our own part needs none of them
    with tempfile.TemporaryDirectory() as scratch:
        own = OwnPart(args.build, scratch)
    own.print()
    return worse + check(own_promises(own))


def terminated(signum, _):
    raise SystemExit(128 + signum)  # so that the guests are stopped


def main():
    signal.signal(signal.SIGTERM, terminated)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, default=pathlib.Path("build"))
    parser.add_argument("--guests", type=int, nargs="+", default=[10, 50, 100])
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--windows", type=int, default=4)
    parser.add_argument("--disc", action="store_true", help="guests with a CD-ROM, as contexts are on; the promises are "
                        "of guests without")
    parser.add_argument("--keep", action="store_true", help="leave the guests running for the next bench")
    args = parser.parse_args()
    args.build = args.build.resolve()
    rig = Rig("/tmp/one-telemetry-bench", log=lambda text: print(f"  {text}", file=sys.stderr, flush=True))
    try:
        worse = bench(rig, args)
    except (RigError, DatabaseError, OSError, subprocess.SubprocessError) as error:
        print(f"cost: {error}", file=sys.stderr)
        return 2
    finally:
        if not args.keep:
            rig.down()
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main())
