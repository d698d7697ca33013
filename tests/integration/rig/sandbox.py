# SPDX-License-Identifier: Apache-2.0
"""The namespaces of a rig: unshared by the supervisor, inherited by libvirtd and the guests."""
import contextlib
import ctypes
import grp
import os
import pwd
import socket

from .capture import run
from .layout import RigError

CLONE_NEWNS, CLONE_NEWNET = 0x00020000, 0x40000000
MS_BIND, MS_REC, MS_PRIVATE = 0x1000, 0x4000, 0x40000
MNT_DETACH = 2
PR_SET_CHILD_SUBREAPER = 36
BRIDGE = "onebr0"
ACCOUNTS = (("libvirt-qemu", 64055), ("oneadmin", 9869))  # Debian's and OpenNebula's, users and groups

libc = ctypes.CDLL(None, use_errno=True)


def _check(result, what):
    if result != 0:
        err = ctypes.get_errno()
        raise RigError(f"{what}: {os.strerror(err)} (a rig needs root and CAP_SYS_ADMIN; "
                       "a container must be privileged)")


def _mount(source, target, fstype=None, flags=0, data=None):
    def enc(text):
        return None if text is None else os.fsencode(text)
    _check(libc.mount(enc(source), enc(target), enc(fstype), ctypes.c_ulong(flags), enc(data)),
           f"mount {source} on {target}")


def become_subreaper():
    """From now on every orphan below this process becomes its child."""
    _check(libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), "prctl(PR_SET_CHILD_SUBREAPER)")


def enter(layout):
    """Moves this process into new mount and network namespaces and fits them out."""
    _check(libc.unshare(CLONE_NEWNS | CLONE_NEWNET), "unshare")
    _mount(None, "/", flags=MS_REC | MS_PRIVATE)
    _mount(layout.mark, layout.ns, "tmpfs", data="mode=0755,size=4m")
    _fresh_sysfs()
    for ours, target in layout.binds():
        _cover(layout, target)
        _mount(ours, target, flags=MS_BIND)
    _account(layout)
    _network()


def _fresh_sysfs():
    """A sysfs that shows this network namespace. Without the cgroups below the old one libvirtd does not
    touch the machine's."""
    libc.umount2(b"/sys", MNT_DETACH)
    _mount("sysfs", "/sys", "sysfs")


def _cover(layout, target):
    """Makes sure that target exists, in this mount namespace only.

    Where it is missing, the nearest directory above that exists is covered with a copy of itself, made of
    bind mounts on our tmpfs, in which it can be created."""
    if target.is_dir():
        return
    above = next(p for p in target.parents if p.is_dir())
    copy = layout.ns / str(above).strip("/").replace("/", "-")
    copy.mkdir(mode=0o755)
    for entry in os.scandir(above):
        _copy_entry(entry, copy / entry.name)
    target_in_copy = copy / target.relative_to(above)
    target_in_copy.mkdir(parents=True)
    _mount(copy, above, flags=MS_BIND | MS_REC)


def _copy_entry(entry, to):
    if entry.is_symlink():
        to.symlink_to(os.readlink(entry.path))
        return
    with contextlib.suppress(FileNotFoundError):        # it was there a moment ago
        if entry.is_dir():
            to.mkdir()
        else:
            to.touch()
        try:
            _mount(entry.path, to, flags=MS_BIND | MS_REC)
        except RigError:
            if os.path.lexists(entry.path):
                raise


def _account(layout):
    """libvirtd looks up the user and group it was built for, though its configuration names others, and does
    not start without them; and the user of who connects, which is oneadmin where OpenNebula calls. The packages
    that make them need not be installed, so here they exist."""
    for look_up, path, line in ((pwd.getpwnam, "/etc/passwd", "{0}:x:{1}:{1}::/nonexistent:/usr/sbin/nologin"),
                                (grp.getgrnam, "/etc/group", "{0}:x:{1}:")):
        missing = [account for account in ACCOUNTS if not _is_known(look_up, account)]
        if missing:
            copy = layout.ns / os.path.basename(path)
            with open(path, encoding="utf-8", errors="surrogateescape") as f:
                text = f.read()
            copy.write_text(text.rstrip("\n") + "\n" + "".join(line.format(*account) + "\n" for account in missing),
                            encoding="utf-8", errors="surrogateescape")
            _mount(copy, path, flags=MS_BIND)


def _is_known(look_up, account):
    try:
        return bool(look_up(account[0]))
    except KeyError:
        return False


def _network():
    for line in ("link set lo up", f"link add {BRIDGE} type bridge", f"link set {BRIDGE} up"):
        run(["ip", *line.split()], 20)


def packet_socket(pid, interface):
    """A raw socket on an interface in the network namespace of process pid. The caller stays where it is."""
    here = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        there = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            _check(libc.setns(there, CLONE_NEWNET), "setns")
        finally:
            os.close(there)
        try:
            sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
            sock.bind((interface, 0))
            return sock
        finally:
            _check(libc.setns(here, CLONE_NEWNET), "setns back")
    finally:
        os.close(here)
