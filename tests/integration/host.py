# SPDX-License-Identifier: Apache-2.0
"""A KVM host as OpenNebula sees it: the tree with the probe in it, a state directory, and a syslog that can be read."""
import contextlib
import json
import os
import pathlib
import re
import select
import socket
import subprocess
import threading
import time

from opennebula import Tree, decode
from rig import sandbox

MESSAGE = r"<(\d+)>\w{{3}} [ \d]\d \d\d:\d\d:\d\d one-telemetry\[\d+\]: (?:{}): (.*)"
NODES = ("null", "zero", "urandom")  # all of /dev that the probe has
RUN_SECONDS = 60


class Syslog:
    """Reads what is sent to /dev/log by processes that were started with enter() as preexec_fn: they see a /dev of
    their own, so the machine's log is left alone, and need not exist."""

    def __init__(self, directory, program="vm_monitor"):
        self.message = re.compile(MESSAGE.format(program), re.S)
        self.dev = pathlib.Path(directory)
        self.dev.mkdir()
        for node in NODES:
            (self.dev / node).touch()
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self.socket.bind(str(self.dev / "log"))
        self.stop, self.wake = socket.socketpair()
        self.lock, self.lines = threading.Lock(), []
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def enter(self):
        _check(sandbox.libc.unshare(sandbox.CLONE_NEWNS))
        _mount(None, "/", sandbox.MS_REC | sandbox.MS_PRIVATE)
        for node in NODES:
            _mount(f"/dev/{node}", self.dev / node, sandbox.MS_BIND)
        _mount(self.dev, "/dev", sandbox.MS_BIND | sandbox.MS_REC)

    def _read(self):
        while True:
            ready = select.select([self.socket, self.stop], [], [])[0]
            if self.socket in ready:
                with self.lock:
                    self._take_all()
            elif ready:
                return

    def _take_all(self):
        with contextlib.suppress(BlockingIOError):
            while True:
                self.lines.append(self.socket.recv(65536, socket.MSG_DONTWAIT).decode("utf-8", "surrogateescape"))

    def take(self):
        """[(level, text)] since the last call, of processes that have ended."""
        with self.lock:
            self._take_all()
            lines, self.lines = self.lines, []
        messages = []
        for line in lines:
            found = self.message.fullmatch(line.rstrip("\n\0"))
            messages.append((int(found[1]) & 7, found[2]) if found else (0, f"not a message of ours: {line}"))
        return messages

    def close(self):
        self.wake.send(b"x")
        self.thread.join(10)
        for each in (self.socket, self.stop, self.wake):
            each.close()


def _check(result):
    if result:
        raise OSError("a private /dev for the probe needs root and CAP_SYS_ADMIN")


def _mount(source, target, flags):
    source = None if source is None else os.fsencode(source)
    _check(sandbox.libc.mount(source, os.fsencode(target), None, sandbox.ctypes.c_ulong(flags), None))


class Run:
    """What one run of the probe came to."""

    def __init__(self, status, out, err, log, seconds):
        self.status, self.out, self.err, self.log, self.seconds = status, out, err, log, seconds

    def __str__(self):
        try:
            out = "".join(f"\n  {vm}: {keys}" for vm, keys in self.records().items())
        except ValueError:
            out = self.out if len(self.out) < 1500 else f"{self.out[:1500]}… ({len(self.out)} characters)"
        log = "".join(f"\n  {level} {text[:300]}" for level, text in self.log)
        return (f"exit status {self.status} after {self.seconds:.1f} s\n"
                f"out: {out}\nerr: {self.err[:3000]}\nsyslog: {log}")

    def records(self):
        return decode(self.out)

    def json(self):
        return json.loads(self.out)

    def vms(self):
        """Of --format json: {id: figures}."""
        found = {vm["vm_id"]: vm for vm in self.json()["vms"]}
        assert len(found) == len(self.json()["vms"]) == self.json()["count"], self.out
        return found


class Host:
    """Calls the probe as OpenNebula does (cycle), or as a person (by_hand)."""

    def __init__(self, directory, probe, uri, conf="", env=None, period="monitor", programs="vm_monitor|vm_status|forward"):
        self.dir = pathlib.Path(directory)
        self.dir.mkdir()
        self.state = self.dir / "state"
        self.state_file = self.state / "state-0.domstats"
        self.env = env or {}
        self.tree = Tree(self.dir / "remotes", probe, uri, period=period)
        self.configure(conf)
        self.syslog = Syslog(self.dir / "dev", programs)

    def close(self):
        self.syslog.close()

    def configure(self, conf=""):
        """conf: lines of section [probe]."""
        self.tree.conf.write_text(f"[probe]\nstate_dir = {self.state}\n{conf}\n")

    def start(self, *options, host="kvm1", env=None, **popen):
        """Begins a cycle: OpenNebula's arguments behind ours. finish() ends it."""
        popen = {"preexec_fn": self.syslog.enter, **popen}
        return self.tree.start(0, host, {**self.env, **(env or {})}, options, **popen)

    def finish(self, process, begin=None, timeout=RUN_SECONDS):
        begin = begin or time.monotonic()
        try:
            out, err = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate(timeout=10)
            raise
        return Run(process.returncode, out or "", err or "", self.syslog.take(), time.monotonic() - begin)

    def cycle(self, *options, timeout=RUN_SECONDS, **start):
        """One run as OpenNebula calls it."""
        begin = time.monotonic()
        return self.finish(self.start(*options, **start), begin, timeout)

    def by_hand(self, *options, timeout=RUN_SECONDS, env=None, **popen):
        """One run as a person calls it; kvmrc and configuration are the tree's."""
        begin = time.monotonic()
        popen = {"stdout": subprocess.PIPE, "preexec_fn": self.syslog.enter, **popen}
        process = subprocess.Popen([self.tree.probe, *options], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                   text=True, errors="surrogateescape", env={**os.environ, **self.env, **(env or {})},
                                   **popen)
        return self.finish(process, begin, timeout)

    def closing(self, *descriptors):
        """A preexec_fn that closes standard descriptors."""
        def prepare():
            self.syslog.enter()
            for number in descriptors:
                os.close(number)
        return prepare

    def processes(self):
        """The pids of all processes that run this host's probe."""
        found = []
        for pid in sorted(int(entry) for entry in os.listdir("/proc") if entry.isdigit()):
            with contextlib.suppress(OSError):
                if os.readlink(f"/proc/{pid}/exe").removesuffix(" (deleted)") == str(self.tree.probe):
                    found.append(pid)
        return found

    def collecting(self, process, seconds=10):
        """The pid of that probe, as soon as its collection is under way: it has begun to use threads."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                if len(os.listdir(f"/proc/{process.pid}/task")) > 1:
                    return process.pid
            time.sleep(0.01)
        raise AssertionError(f"no collection was started within {seconds} s")
