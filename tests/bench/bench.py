#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""bench.py [--guests N] [--runs N] --build DIR   what the probe costs, beside virsh and beside libvirt alone.

Starts N idle KVM guests, then runs the candidates in turn, RUNS times each, and prints medians and ratios: only those
mean something on a machine that others use too. wall: of the whole process; client: its CPU time; libvirtd, QEMU: theirs
meanwhile; peak: resident memory. Exit status 1 when a ratio is worse than what the project promises.
"""
import argparse
import pathlib
import statistics
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "integration"))
import promises  # noqa: E402
from opennebula import Tree, message_size  # noqa: E402
from rig import Rig, RigError  # noqa: E402

GROUPS = "--state --cpu-total --balloon --vcpu --interface --block".split()
SPOOLING = ("[probe]\nstate_dir = {0}/state-spooling\n[spool]\ndir = {0}/spool\n[forward]\nprogram = /bin/true\n"
            "[sink one]\nurl = http://127.0.0.1:9\ndatabase = one\n")  # nobody takes the batches away
COLUMNS = ("wall", "client", "libvirtd", "QEMU", "peak")
LIMITS = (  # figure, at most
    ("wall of the probe / virsh", 1.05),
    ("client CPU of the probe / virsh", 0.90),
    ("own share: client CPU of the probe above libvirt alone, ms", 5.0),
    ("peak memory of the probe, MB", 25.0),
    ("client CPU of spooling for a sink, ms", 3.0),
)


def cpu_ms(pid):
    """CPU time of all threads of a process, in ms."""
    total = 0
    for task in pathlib.Path(f"/proc/{pid}/task").glob("*/schedstat"):
        try:
            total += int(task.read_text().split()[0])
        except OSError:
            pass
    return total / 1e6


def measure(build, command, libvirtd, guests):
    before = cpu_ms(libvirtd), sum(map(cpu_ms, guests))
    got = subprocess.run([build / "tests" / "bench" / "measured", *command], capture_output=True, text=True, timeout=300,
                         check=True)
    wall, client, peak, status = map(float, got.stdout.split())
    if status:
        raise RigError(f"{' '.join(map(str, command))}: exit status {status:.0f}: {got.stderr[:500]}")
    return wall, client, cpu_ms(libvirtd) - before[0], sum(map(cpu_ms, guests)) - before[1], peak / 1024


def candidates(build, tree, spooling, uri):
    only = str(build / "tests" / "bench" / "libvirt_only")
    return {
        "connect": [only, "connect", uri],
        "stats": [only, "stats", uri],
        "virsh": ["virsh", "-q", "-c", uri, "domstats", "--nowait", *GROUPS],
        "probe": [str(tree.probe), "kvm", "0", "localhost"],
        "probe with a sink": [str(spooling.probe), "kvm", "0", "localhost"],
        "probe --format line": [str(tree.probe), "--format", "line"],
    }


def bench(rig, args):
    uri = rig.uri()
    scratch = pathlib.Path(rig.dir)
    tree = Tree(scratch / "remotes", args.build / "probes" / "vm_monitor", uri, f"[probe]\nstate_dir = {scratch}/state\n")
    spooling = Tree(scratch / "remotes-spooling", args.build / "probes" / "vm_monitor", uri, SPOOLING.format(scratch))
    guests = [rig.pid(f"one-{5000 + i}") for i in range(1, args.guests + 1)]
    runs = {name: [] for name in candidates(args.build, tree, spooling, uri)}
    for turn in range(args.runs + 1):
        for name, command in candidates(args.build, tree, spooling, uri).items():
            got = measure(args.build, command, rig.libvirtd_pid(), guests)
            if turn:  # the first turn warms up
                runs[name].append(got)
        print(f"\r  turn {turn} of {args.runs}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    records = tree.run().stdout
    return {name: [statistics.median(column) for column in zip(*rows)] for name, rows in runs.items()}, records


def report(medians, records, args):
    print(f"\n{args.guests} guests, medians of {args.runs} runs in turn; ms, peak in MB\n")
    print(f"{'':24}" + "".join(f"{column:>10}" for column in COLUMNS))
    for name, row in medians.items():
        print(f"{name:24}" + "".join(f"{value:10.1f}" for value in row))
    probe, sink, virsh, stats, connect = (medians[name] for name in
                                          ("probe", "probe with a sink", "virsh", "stats", "connect"))
    values = (probe[0] / virsh[0], probe[1] / virsh[1], probe[1] - stats[1], probe[4], sink[1] - probe[1])
    print()
    worse = promises.report(LIMITS, values)
    print(f"{'client CPU of the probe above connect and close alone, ms':62}{probe[1] - connect[1]:8.2f}")
    print(f"{'message of all records, bytes':62}{message_size(records):8d}")
    return worse


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, default=pathlib.Path("build"))
    parser.add_argument("--guests", type=int, default=50)
    parser.add_argument("--runs", type=int, default=21)
    parser.add_argument("--keep", action="store_true", help="leave the guests running for the next bench")
    args = parser.parse_args()
    args.build = args.build.resolve()
    rig = Rig("/tmp/one-telemetry-bench", log=lambda text: print(f"  {text}", file=sys.stderr, flush=True))
    try:
        rig.up(count=args.guests)
        worse = report(*bench(rig, args), args)
    except (RigError, OSError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    finally:
        if not args.keep:
            rig.down()
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main())
