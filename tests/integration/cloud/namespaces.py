# SPDX-License-Identifier: Apache-2.0
"""namespaces.py DIRECTORY NAME EMPTY BINDS   holds a machine of that name: its root is this machine's with a layer of its own
over it, so that programs there are the real ones and nothing that is written leaves it; its network has nobody yet. EMPTY:
directories of which nothing is seen. BINDS: SOURCE=TARGET. Lists are separated by colons.

Says "ready", and stays until standard input is closed; its descriptor 3 is the layer."""
import ctypes
import os
import socket
import sys

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWNET = 0x00020000, 0x04000000, 0x40000000
MS_BIND, MS_REC, MS_PRIVATE = 0x1000, 0x4000, 0x40000
NODES = ("null", "zero", "full", "random", "urandom", "tty")
libc = ctypes.CDLL(None, use_errno=True)


def check(result, what):
    if result:
        raise SystemExit(f"{what}: {os.strerror(ctypes.get_errno())} (a machine needs root and CAP_SYS_ADMIN; "
                         "a container must be privileged)")


def mount(source, target, kind=None, flags=0, data=None):
    words = [None if each is None else os.fsencode(each) for each in (source, target, kind, data)]
    check(libc.mount(*words[:3], ctypes.c_ulong(flags), words[3]), f"mount {source} on {target}")


def split(text):
    return [each for each in text.split(":") if each]


def main(directory, name, empty, binds):
    check(libc.unshare(CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWNET), "unshare")
    socket.sethostname(name)
    mount(None, "/", flags=MS_REC | MS_PRIVATE)
    mount("tmpfs", directory, "tmpfs", data="mode=0755,size=1g")
    layer, work, root = (f"{directory}/{name}" for name in ("layer", "work", "root"))
    for path in (layer, work, root):
        os.mkdir(path, 0o755)
    for path in split(empty):
        make_empty(layer, path)
    mount("overlay", root, "overlay", data=f"lowerdir=/,upperdir={layer},workdir={work}")
    for path in ("/proc", "/sys"):
        mount(path, root + path, flags=MS_BIND | MS_REC)
    make_devices(root + "/dev")
    for source, _, target in (bind.partition("=") for bind in split(binds)):
        os.makedirs(root + target, exist_ok=True)
        mount(source, root + target, flags=MS_BIND | MS_REC)
    os.dup2(os.open(layer, os.O_RDONLY | os.O_DIRECTORY), 3)
    os.chroot(root)
    os.chdir("/")
    print("ready", flush=True)
    while os.read(0, 4096):
        pass


def make_devices(dev):
    """A /dev with what programs need, and room for a log of its own."""
    mount("tmpfs", dev, "tmpfs", data="mode=0755,size=16m")
    for name in filter(lambda name: os.path.exists(f"/dev/{name}"), NODES):
        with open(f"{dev}/{name}", "wb"):
            pass
        mount(f"/dev/{name}", f"{dev}/{name}", flags=MS_BIND)
    for name in ("shm", "pts"):
        os.mkdir(f"{dev}/{name}")
    os.chmod(f"{dev}/shm", 0o1777)
    if os.path.ismount("/dev/pts"):
        mount("/dev/pts", f"{dev}/pts", flags=MS_BIND)
    for name, target in (("ptmx", "pts/ptmx"), ("fd", "/proc/self/fd"), ("stdin", "fd/0"), ("stdout", "fd/1"),
                         ("stderr", "fd/2")):
        os.symlink(target, f"{dev}/{name}")


def make_empty(layer, path):
    """An opaque directory: what is below on the machine itself is not seen. It has the machine's mode where it is there."""
    above = ""
    for part in path.strip("/").split("/"):
        above += "/" + part
        try:
            found = os.stat(above)
            mode, owner = found.st_mode & 0o7777, (found.st_uid, found.st_gid)
        except OSError:
            mode, owner = 0o755, (0, 0)
        if not os.path.isdir(layer + above):
            os.mkdir(layer + above)
            os.chmod(layer + above, mode)
            os.chown(layer + above, *owner)
    os.setxattr(layer + path, "trusted.overlay.opaque", b"y")


if __name__ == "__main__":
    main(*sys.argv[1:])
