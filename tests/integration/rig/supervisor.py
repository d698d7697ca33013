# SPDX-License-Identifier: Apache-2.0
"""The process that keeps a rig: it owns the namespaces, is libvirtd's parent and the guests' reaper.

Started by core.py as  python3 -m rig.supervisor DIR  with a pipe as standard output, on which it says
"ok" once libvirtd has been started, or what went wrong. Then it listens to signals:
    SIGTERM, SIGINT   kill every process of the rig, and end
    SIGUSR1           start libvirtd if there is none (after `libvirtd stop` or `kill`)
"""
import os
import signal
import sys
import time

from . import procs, sandbox
from .capture import PATH
from .layout import Layout, RigError

LIBVIRTD = "/usr/sbin/libvirtd"
SIGNALS = {signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGCHLD}
SWEEP_SECONDS = 15


def log(text):
    print(time.strftime("%Y-%m-%dT%H:%M:%S"), text, file=sys.stderr, flush=True)


def _reopen(path, *fds):
    """Points the descriptors at a file, which is appended to."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
    for target in fds:
        os.dup2(fd, target)
    os.close(fd)


def _detach(layout):
    """Own session, no longer the caller's child, standard descriptors to the log. Returns the pipe."""
    if os.fork():
        os._exit(0)
    os.setsid()
    if os.fork():
        os._exit(0)
    os.chdir("/")
    os.umask(0o022)
    report = os.dup(1)
    _reopen(os.devnull, 0)
    _reopen(layout.supervisor_log, 1, 2)
    return report


def start_libvirtd(layout):
    """Starts libvirtd as our child, with nothing of our signals, and without the machine's D-Bus: it shall
    not talk to systemd-machined or polkit about guests that are none of the machine's business."""
    env = {"PATH": PATH, "LC_ALL": "C.UTF-8", "HOME": str(layout.dir),
           "DBUS_SYSTEM_BUS_ADDRESS": "unix:path=/nonexistent"}
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    actions = [(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
               (os.POSIX_SPAWN_OPEN, 1, str(layout.libvirtd_log), flags, 0o644),
               (os.POSIX_SPAWN_DUP2, 1, 2)]
    pid = os.posix_spawn(LIBVIRTD, [LIBVIRTD, "--pid-file", str(layout.dir / "run/libvirtd.pid")], env,
                         file_actions=actions, setsid=True, setsigmask=[])
    _write_pid(layout.libvirtd_pid, pid)
    log(f"libvirtd started, pid {pid}")
    return pid


def _reap(libvirtd):
    """Collects whatever has ended. Returns libvirtd's pid, None if it was among them."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return libvirtd
        if pid == 0:
            return libvirtd
        log(f"{'libvirtd' if pid == libvirtd else 'process'} {pid} ended: {os.waitstatus_to_exitcode(status)}")
        if pid == libvirtd:
            libvirtd = None


def _reap_all(seconds):
    """Collects what was killed, so that nothing is left to an init that may take its time."""
    deadline = time.monotonic() + seconds
    try:
        while time.monotonic() < deadline:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                time.sleep(0.01)
    except ChildProcessError:
        pass


def _serve(layout, libvirtd):
    """Waits for signals until it is told to end."""
    while True:
        got = signal.sigtimedwait(SIGNALS, 1.0)
        libvirtd = _reap(libvirtd)
        number = got.si_signo if got else 0
        if number in (signal.SIGTERM, signal.SIGINT):
            return
        if number == signal.SIGUSR1 and libvirtd is None:
            libvirtd = start_libvirtd(layout)


def _write_pid(path, pid):
    temporary = path.with_suffix(".new")
    temporary.write_text(f"{pid}\n")
    temporary.rename(path)


def run(layout, report):
    sandbox.become_subreaper()
    sandbox.enter(layout)
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    _write_pid(layout.supervisor_pid, os.getpid())
    libvirtd = start_libvirtd(layout)
    os.write(report, b"ok\n")
    os.close(report)
    _serve(layout, libvirtd)
    log("ending")
    procs.sweep(layout.mark, SWEEP_SECONDS, spare=(os.getpid(),))
    _reap_all(5)
    log("ended")


def main():
    layout = Layout(sys.argv[1])
    report = _detach(layout)
    try:
        run(layout, report)
    except (RigError, OSError) as err:
        log(f"error: {err}")
        try:
            os.write(report, f"{err}\n".encode())
        except OSError:
            pass                                       # past the start nobody listens
        sys.exit(1)


if __name__ == "__main__":
    main()
