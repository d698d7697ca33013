# SPDX-License-Identifier: Apache-2.0
"""What the probe says of recorded collections, for tests that want data without a hypervisor."""
import pathlib
import re
import subprocess

RECORDED = pathlib.Path(__file__).resolve().parent.parent / "golden" / "recorded"
FLEET = ("fleet-1.domstats", "fleet-2.domstats")  # the same five VMs, 4 seconds apart


def lines(probe, *recordings):
    """Line protocol of the last of these; rates against the one before. Paths, or names in golden/recorded."""
    return output(probe, "line", *recordings)


def output(probe, form, *recordings):
    command = [probe, "--format", form]
    for recording in recordings:
        command += ["--replay", RECORDED / recording]
    got = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    if got.returncode:
        raise RuntimeError(f"{command}: {got.returncode} {got.stderr}")
    return got.stdout


def at(text, time_ns):
    """The same points at another time."""
    return re.sub(r" \d+$", f" {time_ns}", text, flags=re.M)
