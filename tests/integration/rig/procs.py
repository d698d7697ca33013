# SPDX-License-Identifier: Apache-2.0
"""Processes: finding those of a rig, and signalling them by pidfd, never by name."""
import os
import select
import signal
import time

from .layout import RigError


def _mounts(pid):
    """The text of /proc/PID/mountinfo, "" for a process that is gone, dead or not ours to see."""
    try:
        with open(f"/proc/{pid}/mountinfo", encoding="utf-8", errors="replace") as f:
            return f.read()
    except OSError:
        return ""


def _link(path):
    try:
        return os.readlink(path)
    except OSError:
        return ""


def belongs(pid, mark):
    """Whether pid is a live process of the rig with this mark."""
    if _link(f"/proc/{pid}/ns/pid") != _link("/proc/self/ns/pid"):
        return False                               # a container's; it may have a rig at the same path
    return f" - tmpfs {mark} " in _mounts(pid)


def members(mark):
    """The pids of all live processes of the rig, oldest first. Processes of one namespace are asked once."""
    seen, found = {}, []
    for pid in sorted(int(e) for e in os.listdir("/proc") if e.isdigit()):
        ns = _link(f"/proc/{pid}/ns/mnt")
        if ns and ns not in seen:
            seen[ns] = belongs(pid, mark)
        if ns and seen[ns]:
            found.append(pid)
    return found


def cmdline(pid):
    """The process's arguments, [] if there is none."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as f:
            return f.read().decode(errors="replace").split("\0")[:-1]
    except OSError:
        return []


def state(pid):
    """The letter that /proc/PID/stat gives: R, S, D, T (stopped), Z …; "" if there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as f:
            return f.read().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return ""


class Handle:
    """A process of the rig, held by pidfd: what is signalled is what was looked at."""

    def __init__(self, pid, mark):
        self.pid, self.fd = pid, -1
        fd = os.pidfd_open(pid)
        if not belongs(pid, mark):
            os.close(fd)
            raise ProcessLookupError(f"{pid} is not the rig's")
        self.fd = fd

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.close(self.fd)

    def send(self, signum):
        signal.pidfd_send_signal(self.fd, signum)

    def wait(self, seconds):
        """Whether it has ended (a zombie has) within that time."""
        poll = select.poll()
        poll.register(self.fd, select.POLLIN)
        return bool(poll.poll(max(0, seconds) * 1000))


def send(pid, mark, *signals, wait=0.0):
    """Signals one process of the rig. True if it is gone, or goes within `wait` seconds."""
    try:
        with Handle(pid, mark) as process:
            for signum in signals:
                process.send(signum)
            return process.wait(wait)
    except ProcessLookupError:
        return True


def sweep(mark, seconds, spare=()):
    """Kills every process of the rig but those in spare, until none is left.

    libvirtd is the first to go where it is the oldest, so it starts no more guests meanwhile; what it
    had just started is met by the next round."""
    deadline = time.monotonic() + seconds
    while True:
        left = [pid for pid in members(mark) if pid not in spare]
        if not left:
            return
        if time.monotonic() > deadline:
            raise RigError(f"processes {left} do not end, though killed: see /proc/PID/stack, 'down' again")
        for pid in left:
            send(pid, mark, signal.SIGKILL)
        time.sleep(0.05)
