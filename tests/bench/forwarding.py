#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""forwarding.py [--batches N] [--vms N] [--runs N] --build DIR   what forwarding costs, beside curl.

Fills a spool with N batches of a host with that many VMs and lets the forwarder drain it to a private InfluxDB; in turn
curl sends the same lines to it in bodies of 5,000 lines over one connection. Prints medians and ratios: only those mean
something on a machine that others use too. Exit status 1 when one is worse than what the project promises.
"""
import argparse
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "integration"))
import clocks  # noqa: E402
import fleet  # noqa: E402
import promises  # noqa: E402
from databases import DatabaseError, Influxd  # noqa: E402

BODY_LINES = 5000
LONGER = 3  # times the backlog, once, for the peak memory
LIMITS = (  # figure, at most
    ("draining the backlog / curl --data-binary, wall", 1.20),
    ("peak memory of the forwarder, MB", 30.0),
    ("peak memory of the forwarder, three times the backlog, MB", 30.0),
)


class Bench:
    def __init__(self, args, scratch):
        self.args, self.scratch = args, scratch
        self.influx = Influxd(scratch / "influx")
        self.lines = fleet.lines(args.build / "probes" / "vm_monitor", args.vms, scratch)
        self.begin_ns = time.time_ns() - LONGER * args.batches * 30_000_000_000
        self.databases = 0

    def measure(self, command):
        """wall ms, client CPU ms, peak MB"""
        cost = clocks.measured(self.args.build, command, timeout=600)
        return cost.wall, cost.client, cost.peak

    def new_database(self):
        self.databases += 1
        name = f"bench{self.databases}"
        self.influx.create(name)
        return name

    def forward(self, batches):
        database, spool = self.new_database(), self.scratch / f"spool-{self.databases}"
        conf = self.scratch / "telemetry.conf"
        conf.write_text(f"[spool]\ndir = {spool}\n[forward]\nlinger = 0\n"
                        f"[sink influx]\nurl = {self.influx.url}\ndatabase = {database}\nmax_age = 365d\n")
        fleet.fill(spool, "influx", fleet.batches(self.lines, batches, self.begin_ns))
        got = self.measure([self.args.build / "hooks" / "forward", "--config", conf, "--once"])
        shutil.rmtree(spool)
        self.check(database, batches)
        return got

    def curl(self, bodies):
        database = self.new_database()
        command = ["curl", "--silent", "--show-error", "--fail"]
        for i, body in enumerate(bodies):
            command += (["--next", "--silent", "--show-error", "--fail"] if i else []) + [
                "--data-binary", f"@{body}", f"{self.influx.url}/write?db={database}&precision=ns"]
        got = self.measure(command)
        self.check(database, self.args.batches)
        return got

    def bodies(self):
        lines = [line for _, text in fleet.batches(self.lines, self.args.batches, self.begin_ns)
                 for line in text.splitlines(keepends=True)]
        for i in range(0, len(lines), BODY_LINES):
            path = self.scratch / f"body-{i // BODY_LINES}"
            path.write_text("".join(lines[i:i + BODY_LINES]))
            yield path

    def check(self, database, batches):
        """All VMs' points are there, once; the database goes."""
        want = self.args.vms * batches
        got = sum(row[1] for series in self.influx.query("SELECT count(state) FROM vm_totals", database)
                  for row in series["values"])
        if got != want:
            raise DatabaseError(f"{got} points stored, not {want}")
        self.influx.drop(database)

    def run(self):
        bodies, runs = list(self.bodies()), {"forward": [], "curl": []}
        for turn in range(self.args.runs + 1):
            got = {"forward": self.forward(self.args.batches), "curl": self.curl(bodies)}
            if turn:  # the first turn warms up
                for name, row in got.items():
                    runs[name].append(row)
            print(f"\r  turn {turn} of {self.args.runs}", end="", file=sys.stderr, flush=True)
        long = self.forward(LONGER * self.args.batches)
        print(file=sys.stderr)
        return {name: [statistics.median(column) for column in zip(*rows)] for name, rows in runs.items()}, long

    def encoding(self):
        got = subprocess.run([str(self.args.build / "tests" / "bench" / "encode_lines"), "2",
                              str(self.scratch / "collection-1"), str(self.scratch / "collection-2")],
                             capture_output=True, text=True, check=True, timeout=60)
        return got.stdout.split()


def report(bench, args):
    medians, long = bench.run()
    medians[f"forward, {LONGER * args.batches} batches, once"] = long
    print(f"\nbacklog of {args.batches} batches of {args.vms} VMs, {bench.lines.count(chr(10)) * args.batches} lines, "
          f"medians of {args.runs} runs in turn\n")
    print(f"{'':34}{'wall, ms':>12}{'client, ms':>12}{'peak, MB':>12}")
    for name, row in medians.items():
        print(f"{name:34}" + "".join(f"{value:12.1f}" for value in row))
    forward, curl = medians["forward"], medians["curl"]
    print()
    worse = promises.report(LIMITS, (forward[0] / curl[0], forward[2], long[2]))
    rate, size, ratio = bench.encoding()
    print(f"{'encoding, lines a second':62}{int(rate):8d}   of {float(size):.0f} bytes")
    print(f"{'encoding / gzip -1 of the same text, CPU':62}{float(ratio):8.2f}")
    return worse


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, default=pathlib.Path("build"))
    parser.add_argument("--batches", type=int, default=1000)
    parser.add_argument("--vms", type=int, default=50)
    parser.add_argument("--runs", type=int, default=5)
    args = parser.parse_args()
    args.build = args.build.resolve()
    scratch = pathlib.Path(tempfile.mkdtemp(prefix="one-bench-"))
    bench = None
    try:
        bench = Bench(args, scratch)
        return 1 if report(bench, args) else 0
    except (DatabaseError, OSError, subprocess.SubprocessError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    finally:
        if bench:
            bench.influx.stop()
        shutil.rmtree(scratch, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
