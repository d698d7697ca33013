# SPDX-License-Identifier: Apache-2.0
"""Running other programs, in bounded time, and what a rig needs of the machine."""
import glob
import os
import subprocess

from .layout import RigError

PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
NEEDED = (                                             # path (a pattern), Debian's package
    ("/usr/sbin/libvirtd", "libvirt-daemon"),
    ("/usr/lib*/**/libvirt/connection-driver/libvirt_driver_qemu.so", "libvirt-daemon-driver-qemu"),
    ("/usr/bin/virsh", "libvirt-clients"),
    ("/usr/bin/qemu-system-x86_64", "qemu-system-x86"),
    ("/usr/bin/qemu-img", "qemu-utils"),
    ("/usr/share/seabios/bios-256k.bin", "seabios"),
    ("/usr/sbin/ip", "iproute2"),
)


def need_root():
    if os.geteuid() != 0:
        raise RigError("a rig needs root (namespaces, taps, /dev/kvm): run it as root")


def check_machine():
    """Complains about everything at once that is missing here."""
    need_root()
    missing = sorted({package for pattern, package in NEEDED if not _present(pattern)})
    if missing:
        raise RigError(f"missing Debian packages: apt-get install {' '.join(missing)}")
    if not os.path.exists("/dev/net/tun"):
        raise RigError("/dev/net/tun is missing: modprobe tun (or give it to the container)")


def _present(pattern):
    if "**" not in pattern:
        return os.path.exists(pattern)
    return any(glob.glob(pattern.replace("**/", part)) for part in ("", "*/"))


def run(args, timeout, check=True, env=None):
    """Runs a program to its end. Returns CompletedProcess with text; raises RigError if it fails (with
    check), can not be run, or is not done in time."""
    try:
        done = subprocess.run(args, env={"PATH": PATH, "LC_ALL": "C.UTF-8", **(env or {})}, timeout=timeout,
                              stdin=subprocess.DEVNULL, capture_output=True, check=False)
    except subprocess.TimeoutExpired as err:
        raise RigError(f"{_what(args)}: not done within {timeout:g} s") from err
    except OSError as err:
        raise RigError(f"{_what(args)}: {err.strerror}") from err
    done.stdout = done.stdout.decode("utf-8", "surrogateescape")
    done.stderr = done.stderr.decode("utf-8", "surrogateescape")
    if check and done.returncode:
        lines = [line.removeprefix("error: ") for line in done.stderr.strip().splitlines() if line.strip()]
        raise RigError(f"{_what(args)}: {': '.join(lines) or f'exit {done.returncode}'}")
    return done


def _what(args):
    words = [str(a) for a in args if not str(a).startswith(("-", "qemu+unix:"))]
    words[0] = os.path.basename(words[0])
    return " ".join(words[:4])
