# SPDX-License-Identifier: Apache-2.0
"""Hosts of another kind than this machine, and programs for them."""
import os
import pathlib
import subprocess

MACHINES = {"x86_64": 62, "aarch64": 183, "ppc64le": 21}  # ELF's numbers
PLACE = "/usr/lib/one-other-host.so"
AT = 18  # where the number is in a file


def foreign(program, name):
    """The program as one for that architecture: this machine refuses it, a host of that kind starts it (not from its own
    place: what it finds by its own path it does not find there)."""
    data = bytearray(pathlib.Path(program).read_bytes())
    if data[:4] != b"\x7fELF":
        raise ValueError(f"{program} is no program")
    data[AT:AT + 2] = MACHINES[name].to_bytes(2, "little")
    return bytes(data)


def make_foreign(machine, scratch, name=None, glibc=None):
    """name: the architecture. glibc: as "2.31", what its C library is."""
    ours = os.uname().machine
    name = name or ours
    built = pathlib.Path(scratch) / f"other-{machine.name}.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-D_GNU_SOURCE", f"-DMACHINE={MACHINES[name]}", f"-DOURS={MACHINES[ours]}",
                    f'-DNAME="{name}"', f"-DGLIBC={glibc.split('.')[1] if glibc else 0}", "-o", built,
                    pathlib.Path(__file__).with_name("other_host.c"), "-ldl"], check=True, timeout=60)
    machine.path("/run/one-native").mkdir(exist_ok=True)
    machine.path("/run/one-native").chmod(0o1777)
    machine.write(PLACE, built.read_bytes(), 0o755, "root")
    machine.write("/etc/ld.so.preload", PLACE + "\n", 0o644, "root")
