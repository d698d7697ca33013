# SPDX-License-Identifier: Apache-2.0
"""Made-up hosts of any size, from the recorded fleet: collections in the probe's text form, and batches of the line
protocol that the probe makes of them."""
import gzip
import pathlib
import re
import subprocess

RECORDED = pathlib.Path(__file__).resolve().parent.parent / "golden" / "recorded"


def collection(cycle, vms):
    """The text of collection 1 or 2 of a host with that many VMs, each like one of the recorded."""
    text = (RECORDED / f"fleet-{cycle}.domstats").read_text()
    header, *records = re.split(r"^(?=Domain: )", text, flags=re.M)
    records[-1] = re.sub(r"^# end .*\n", "", records[-1], flags=re.M)
    made = []
    for i in range(vms):
        record = re.sub(r"one-\d+", f"one-{1000 + i}", records[i % len(records)])
        made.append(re.sub(r"domain\.uuid=.*", f"domain.uuid=00000000-0000-4000-8000-{i:012x}", record))
    return f"{header}{''.join(made)}# end {vms}\n"


def lines(probe, vms, directory):
    """What the probe says of such a host in line protocol, rates included."""
    arguments = [str(probe)]
    for cycle in (1, 2):
        path = pathlib.Path(directory) / f"collection-{cycle}"
        path.write_text(collection(cycle, vms))
        arguments += ["--replay", str(path)]
    return subprocess.run(arguments + ["--format", "line"], capture_output=True, text=True, check=True, timeout=60).stdout


def batches(text, count, begin_ns, step_ns=30_000_000_000):
    """The same lines at `count` times; yields (time, text)."""
    stamp = text.rsplit(None, 1)[1]
    for i in range(count):
        time_ns = begin_ns + i * step_ns
        yield time_ns, text.replace(f" {stamp}\n", f" {time_ns}\n")


def fill(spool, sink, texts, level=1):
    """Puts the batches into the queue of a sink, as a producer leaves them."""
    queue = pathlib.Path(spool) / sink
    for directory in (pathlib.Path(spool), queue, pathlib.Path(spool) / "tmp"):
        directory.mkdir(mode=0o700, exist_ok=True, parents=True)
    for time_ns, text in texts:
        path = queue / f"{time_ns:019d}-kvm1-1-0.lp.gz"
        path.write_bytes(gzip.compress(text.encode(), level))
        path.chmod(0o600)
