# SPDX-License-Identifier: Apache-2.0
"""Where everything of a rig lies, its configuration files, and its lock."""
import contextlib
import fcntl
import os
import shutil
import time
import uuid
from pathlib import Path
from urllib.parse import quote

BOUND = ("run", "etc", "var/lib", "var/cache", "var/log")    # each has a directory libvirt
MARKER = "one-rig"
MAX_DIR = 107 - len("/run/libvirt/libvirt-sock-ro")          # what sun_path has room for

# host_uuid: to each other two rigs are two hosts, so guests can be migrated between them.
LIBVIRTD_CONF = """\
auth_unix_ro = "none"
auth_unix_rw = "none"
unix_sock_group = "root"
unix_sock_ro_perms = "0777"
unix_sock_rw_perms = "0777"
unix_sock_dir = "/run/libvirt"
host_uuid = "{host_uuid}"
log_level = 3
log_outputs = "3:stderr"
"""

# user: /dev/kvm may be open to root only, and then libvirt would probe QEMU anew on every call.
# cgroup_controllers, namespaces, hugetlbfs_mount: leave the machine's cgroups, /dev and huge pages alone.
QEMU_CONF = """\
user = "root"
group = "root"
dynamic_ownership = 0
remember_owner = 0
security_driver = "none"
cgroup_controllers = []
namespaces = []
hugetlbfs_mount = []
stdio_handler = "file"
"""


class RigError(Exception):
    """What went wrong, where, and how to mend it, in one line."""


class Layout:
    """The paths below one rig's directory."""

    def __init__(self, directory):
        self.dir = Path(os.path.realpath(directory))
        if len(os.fsencode(self.dir)) > MAX_DIR:
            raise RigError(f"{self.dir}: too long a path for a socket below it (at most {MAX_DIR} bytes): "
                           "choose a shorter one with --dir")
        self.marker = self.dir / MARKER
        self.lock_file = self.dir / "lock"
        self.supervisor_pid = self.dir / "supervisor.pid"
        self.libvirtd_pid = self.dir / "libvirtd.pid"
        self.sockets = self.dir / "run/libvirt"
        self.qemu_pids = self.dir / "run/libvirt/qemu"
        self.qemu_logs = self.dir / "var/log/libvirt/qemu"
        self.supervisor_log = self.dir / "log/supervisor.log"
        self.libvirtd_log = self.dir / "log/libvirtd.log"
        self.images = self.dir / "images"
        self.xml = self.dir / "xml"
        self.ns = self.dir / "ns"
        self.mark = "one-rig:" + quote(str(self.dir))       # the source of the tmpfs on ns

    def binds(self):
        """Pairs (our directory, the path which it covers in the rig's mount namespace)."""
        return [(self.dir / part / "libvirt", Path("/") / part / "libvirt") for part in BOUND]

    def uri(self, rw):
        sock = self.sockets / ("libvirt-sock" if rw else "libvirt-sock-ro")
        return "qemu+unix:///system?socket=" + quote(str(sock))

    def claim(self):
        """Makes DIR ours, or refuses one that is somebody else's or is in use for something else."""
        for _, target in self.binds():
            if target == self.dir or target in self.dir.parents:
                raise RigError(f"{self.dir}: a rig can not live below {target}: choose another --dir")
        try:
            self.dir.mkdir(mode=0o755, parents=True, exist_ok=True)
            entries = set(os.listdir(self.dir)) - {MARKER, self.lock_file.name}
        except OSError as err:
            raise RigError(f"{self.dir}: {err.strerror}: choose another --dir") from err
        if self.dir.stat().st_uid != os.geteuid():
            raise RigError(f"{self.dir}: belongs to another user: choose another --dir")
        if not self.marker.exists():
            if entries:
                raise RigError(f"{self.dir}: neither empty nor a rig's directory: choose another --dir")
            self.marker.write_text("A rig's directory; 'rig.py down' removes it.\n")

    def build(self):
        """Makes the tree and the configuration; what an earlier run left of its state is removed."""
        for old in ("run", "log", "var/log"):
            shutil.rmtree(self.dir / old, ignore_errors=True)
        for ours, _ in self.binds():
            ours.mkdir(parents=True, exist_ok=True)
        for path in (self.images, self.xml, self.ns, self.supervisor_log.parent):
            path.mkdir(exist_ok=True)
        (self.dir / "etc/libvirt/libvirtd.conf").write_text(
            LIBVIRTD_CONF.format(host_uuid=uuid.uuid5(uuid.NAMESPACE_URL, self.mark)))
        (self.dir / "etc/libvirt/qemu.conf").write_text(QEMU_CONF)

    def remove(self):
        """Removes DIR if it is a rig's. Only when no process of the rig is left."""
        if self.marker.exists():
            for path in self.dir.iterdir():        # the marker last: an interrupted removal can be repeated
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path, ignore_errors=True)
                elif path != self.marker:
                    path.unlink(missing_ok=True)
            self.marker.unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                self.dir.rmdir()

    @contextlib.contextmanager
    def locked(self, seconds):
        """Holds DIR/lock; DIR exists. The file may be removed, with DIR, by who holds it."""
        fd = self._take_lock(time.monotonic() + seconds)
        try:
            yield
        finally:
            os.close(fd)

    def _take_lock(self, deadline):
        while True:
            try:
                fd = os.open(self.lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            except OSError as err:
                raise RigError(f"{self.lock_file}: {err.strerror}") from err
            with contextlib.suppress(OSError):
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                with contextlib.suppress(FileNotFoundError):
                    if os.path.samestat(os.fstat(fd), os.stat(self.lock_file)):
                        os.truncate(fd, 0)
                        os.write(fd, b"%d\n" % os.getpid())
                        return fd
            holder = os.pread(fd, 20, 0).decode(errors="replace").strip()
            os.close(fd)
            if time.monotonic() > deadline:
                raise RigError(f"{self.dir}: another rig command (pid {holder}) is at work on it: wait for it")
            time.sleep(0.1)


def read_pid(path):
    """The number in a pid file, or None."""
    try:
        return int(path.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return None


def tail(path, lines=2):
    """The last lines of a log, as one line."""
    try:
        return " / ".join(path.read_text(errors="replace").strip().splitlines()[-lines:])
    except OSError:
        return ""
