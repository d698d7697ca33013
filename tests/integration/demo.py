#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""demo.py --probe FILE | --stop   starts three real KVM guests, runs the probe as OpenNebula would, and shows its records.

Repeatable: guests that run already are kept. --stop stops them and removes what the demo made.
"""
import argparse
import pathlib
import sys
import time

sys.dont_write_bytecode = True
from rig import Rig, RigError  # noqa: E402
from opennebula import Tree, decode, message_size  # noqa: E402

DIRECTORY = "/tmp/one-telemetry-demo"
SECONDS = 5  # between the two cycles that a rate needs


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


def show(rig, probe):
    if not probe.is_file():
        raise RigError(f"{probe}: there is no such probe; build it with: make")
    rig.up()
    conf = f"[probe]\nstate_dir = {rig.dir}/state\n"
    tree = Tree(pathlib.Path(rig.dir) / "remotes", probe, rig.uri(), conf)
    print(f"\none-79 idles, one-82 reads and writes its disk, one-83 keeps a core busy.\n"
          f"The probe, called as OpenNebula calls it, twice, {SECONDS} s apart (rates need two samples):\n\n"
          f"  {tree.probe} kvm 0 localhost\n", flush=True)
    for cycle in range(2):
        got = tree.run()
        if got.returncode or not got.stdout:
            raise RigError(f"the probe failed, exit status {got.returncode}: {got.stderr or 'no output, see syslog'}")
        if cycle == 0:
            time.sleep(SECONDS)
    vms = decode(got.stdout)
    print(got.stdout)
    print(f"These {len(vms)} records, {message_size(got.stdout)} bytes as OpenNebula sends them, decoded:\n")
    print(table(vms))
    print(f"\nCPU: % of one core; MEMORY: KiB; *_BW: per second; *_LATENCY: ms. The guests go on running; try\n"
          f"  {tree.probe} --uri '{rig.uri()}' --format json\nand stop them with: make demo-stop")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--probe", type=pathlib.Path, help="the compiled probe, build/probes/vm_monitor")
    what.add_argument("--stop", action="store_true", help="stop the guests and remove everything")
    args = parser.parse_args()
    rig = Rig(DIRECTORY, log=lambda text: print(f"  {text}", flush=True))
    try:
        if args.stop:
            rig.down()
            print("the demo's guests are stopped, its files removed")
        else:
            show(rig, args.probe)
    except (RigError, OSError, ValueError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
