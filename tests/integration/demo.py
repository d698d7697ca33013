#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""demo.py --build DIR | --stop [--dir DIR]   starts three real KVM guests and an InfluxDB, runs the probe as OpenNebula would, shows
its records, asks the database for what the probe's forwarder has sent it, then starts telemetryd and shows its answer.

Repeatable: guests, database and endpoint that run already are kept. --stop stops them and removes what the demo made.
"""
import argparse
import contextlib
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import time

sys.dont_write_bytecode = True
from databases import DatabaseError, Influxd  # noqa: E402
from rig import Rig, RigError  # noqa: E402
from opennebula import Tree, decode, message_size  # noqa: E402
from telemetryd import Telemetryd  # noqa: E402

DIRECTORY = "/tmp/one-telemetry-demo"
CYCLES = 3
SECONDS = 5  # between two cycles: a rate needs two
DATABASE = "opennebula"
STANDARD_PORT = 4126
ANSWER_SECONDS = 5  # within which telemetryd, just started, has all there is to know of the guests
PATIENCE = 25       # for which a machine that is slower is waited for, and told that it is
FORMATTER = ("python3", "-m", "json.tool")
QUERY = ('SELECT last(cpu_usage_percent) AS "CPU %", last(disk_rd_bytes_per_sec) AS "disk read B/s", '
         'last(disk_wr_bytes_per_sec) AS "disk written B/s" FROM vm_totals GROUP BY "name"')


class Staying:
    """A server that goes on running, so that a person can look around, and is found again by a file."""
    stays = True

    def leave_note(self, directory):
        note = pathlib.Path(directory) / f"{self.program_name}.json"
        note.write_text(json.dumps({"pid": self.process.pid, "port": self.port}))

    @classmethod
    def running(cls, directory):
        """The one that runs, or None."""
        try:
            note = json.loads((pathlib.Path(directory) / f"{cls.program_name}.json").read_text())
            exe = os.readlink(f"/proc/{note['pid']}/exe")
        except (OSError, ValueError):
            return None
        found = object.__new__(cls)
        found.port, found.pid, found.user, found.token, found.scheme = note["port"], note["pid"], None, None, "http"
        return found if os.path.basename(exe).split(" ")[0] == cls.program_name else None

    @classmethod
    def end(cls, directory):
        found = cls.running(directory)
        if not found:
            return
        os.kill(found.pid, signal.SIGTERM)
        for _ in range(100):
            if not cls.running(directory):
                return
            time.sleep(0.1)
        os.kill(found.pid, signal.SIGKILL)


class DemoInfluxd(Staying, Influxd):
    program_name = "influxd"

    def __init__(self, directory):
        super().__init__(pathlib.Path(directory) / "influxdb")
        self.leave_note(directory)
        self.create(DATABASE)


class DemoTelemetryd(Staying, Telemetryd):
    """On the port that it usually has, where that is free."""
    program_name = "telemetryd"

    def __init__(self, directory, program, **sections):
        own = pathlib.Path(directory) / "telemetryd"
        own.mkdir(exist_ok=True)
        copy = own / "telemetryd"
        shutil.copy(program, copy)
        super().__init__(own, copy, **sections)
        self.leave_note(directory)

    def start(self):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", STANDARD_PORT)) != 0:
                self.port = STANDARD_PORT
        super().start()


def rows(vms):
    """[(label, {vm: text})] of what a person wants to know first, then all other keys."""
    first = ["CPU", "CPU_STEAL", "MEMORY", "NETRX_BW", "NETTX_BW", "DISKRDBYTES_BW", "DISKWRBYTES_BW", "DISKRDIOPS_BW",
             "DISKWRIOPS_BW", "DISKRD_LATENCY", "DISKWR_LATENCY"]
    keys = list(dict.fromkeys(first + [key for values in vms.values() for key in values if key != "DEPLOY_ID"]))
    return [(key, {vm: values.get(key) or "-" for vm, values in vms.items()}) for key in keys]


def table(vms):
    names = {vm: f"one-{vm}" for vm in vms}
    lines = [f"  {'':22}" + "".join(f"{names[vm]:>18}" for vm in vms)]
    for label, values in rows(vms):
        lines.append(f"  {label:22}" + "".join(f"{values[vm][:17]:>18}" for vm in vms))
    return "\n".join(lines)


def run_probe(tree):
    """CYCLES cycles; the last one's output."""
    for cycle in range(CYCLES):
        got = tree.run()
        if got.returncode or not got.stdout:
            raise RigError(f"the probe failed, exit status {got.returncode}: {got.stderr or 'no output, see syslog'}")
        if cycle + 1 < CYCLES:
            time.sleep(SECONDS)
    return got.stdout


def show_records(text):
    vms = decode(text)
    print(text)
    print(f"These {len(vms)} records, {message_size(text)} bytes as OpenNebula sends them, decoded:\n")
    print(table(vms))
    print("\nCPU: % of one core; MEMORY: KiB; *_BW: per second; *_LATENCY: ms.\n")
    return len(vms)


def forward(tree, *words):
    """Runs the forwarder, its words on standard output."""
    sys.stdout.flush()
    got = subprocess.run([tree.forwarder, *words], stderr=subprocess.STDOUT, check=False)
    if got.returncode:
        raise RigError(f"forward {' '.join(words)}: exit status {got.returncode}")


def show_query(influx, guests):
    series = sorted(influx.query(QUERY, DATABASE), key=lambda one: one["tags"]["name"])
    if len(series) != guests:
        raise RigError(f"the database knows {len(series)} guests, not {guests}")
    print(f"\n  curl -G '{influx.url}/query?db={DATABASE}&pretty=true' --data-urlencode \\\n    'q={QUERY}'\n")
    print(f"  {'name':12}" + "".join(f"{column:>18}" for column in series[0]["columns"][1:]))
    for one in series:
        values = ("-" if value is None else f"{value:.2f}" for value in one["values"][0][1:])
        print(f"  {one['tags']['name']:12}" + "".join(f"{value:>18}" for value in values))


def keep_traffic(rig, names):
    """Some frames for each guest, so that there is something to count."""
    for name in names:
        with contextlib.suppress(RigError):
            rig.frames(name, count=20, size=500)


def is_answer(vms, guests):
    """All guests have figures; of CPU, disk and network there are rates too, where something happens."""
    return len(vms) == guests and all(vm["telemetry"] == "ok" for vm in vms) and all(
        vm[key] > 0 for vm in vms for key in ("cputime", "disk_read_bytes", "network_rx_bytes")) and all(
            any(vm[key] > 0 for vm in vms) for key in ("cpu_usage_percent", "disk_read_per_sec", "network_rx_per_sec"))


def show_endpoint(rig, build, guests):
    """Starts telemetryd with its own collector, and shows what it answers. Its state: a new one each time."""
    DemoTelemetryd.end(rig.dir)
    shutil.rmtree(pathlib.Path(rig.dir) / "telemetryd", ignore_errors=True)
    keep_traffic(rig, ("one-79", "one-82", "one-83"))
    began = time.monotonic()
    daemon = DemoTelemetryd(rig.dir, build / "serve/telemetryd",
                            collector={"enabled": "yes", "uris": rig.uri(), "interval": 1, "host": "kvm1"})
    url = f"{daemon.url}/api/telemetry/vm-telemetry"
    got = b'{"vms": []}'
    while not is_answer(json.loads(got)["vms"], guests):
        if time.monotonic() - began > ANSWER_SECONDS + PATIENCE:
            raise RigError(f"telemetryd does not know the guests: {got} {daemon.log_text()}")
        keep_traffic(rig, ("one-79", "one-83"))
        time.sleep(0.2)
        got = subprocess.run(["curl", "-sS", "--fail", url], capture_output=True, timeout=30, check=True).stdout
    took = time.monotonic() - began
    late = f"\nTHAT IS TOO LATE: it should be {ANSWER_SECONDS} s at most." if took > ANSWER_SECONDS else ""
    print(f"\nThe endpoint, with its own collector ({daemon.url}/metrics, /api/openapi.json: what else there is).\n"
          f"All there is to know of the guests {took:.1f} s after its start:{late}\n\n"
          f"  curl -sS {url} | {' '.join(FORMATTER)}\n", flush=True)
    subprocess.run(FORMATTER, input=got, timeout=30, check=True)


def show(rig, build):
    programs = {name: build / name for name in ("probes/vm_monitor", "hooks/forward", "serve/telemetryd")}
    for program in programs.values():
        if not program.is_file():
            raise RigError(f"{program}: there is no such program; build it with: make")
    rig.up()
    influx = DemoInfluxd.running(rig.dir) or DemoInfluxd(rig.dir)
    print(f"  InfluxDB runs at {influx.url}")
    conf = (f"[probe]\nstate_dir = {rig.dir}/state\n[spool]\ndir = {rig.dir}/spool\n[forward]\nlinger = 0\n"
            f"[sink demo]\ntype = influxdb1\nurl = {influx.url}\ndatabase = {DATABASE}\n")
    tree = Tree(pathlib.Path(rig.dir) / "remotes", programs["probes/vm_monitor"], rig.uri(), conf,
                forwarder=programs["hooks/forward"])
    print(f"\none-79 idles, one-82 reads and writes its disk, one-83 keeps a core busy.\n"
          f"The probe, called as OpenNebula calls it, {CYCLES} times, {SECONDS} s apart (rates need two samples):\n\n"
          f"  {tree.probe} kvm 0 localhost\n", flush=True)
    guests = show_records(run_probe(tree))
    print(f"Each run also queued its lines for InfluxDB and started the forwarder. Let it finish, and ask it:\n\n"
          f"  {tree.forwarder} --flush --timeout 60\n  {tree.forwarder} --status\n", flush=True)
    forward(tree, "--flush", "--timeout", "60")
    forward(tree, "--status")
    print("\nThe guests' CPU and disk rates, as InfluxDB now has them:")
    show_query(influx, guests)
    print(f"\nGuests, database and endpoint go on running; see also\n"
          f"  {tree.probe} --uri '{rig.uri()}' --format json\nStop them with: make demo-stop")
    show_endpoint(rig, build, guests)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--build", type=pathlib.Path, help="where the programs were built, build")
    what.add_argument("--stop", action="store_true", help="stop guests, database and endpoint and remove everything")
    parser.add_argument("--dir", default=DIRECTORY, help=f"where everything is kept (default: {DIRECTORY})")
    args = parser.parse_args()
    rig = Rig(args.dir, log=lambda text: print(f"  {text}", flush=True))
    try:
        if args.stop:
            DemoTelemetryd.end(rig.dir)
            DemoInfluxd.end(rig.dir)
            rig.down()
            print("the demo's guests, database and endpoint are stopped, its files removed")
        else:
            show(rig, args.build.resolve())
    except (RigError, DatabaseError, OSError, ValueError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
