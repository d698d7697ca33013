# SPDX-License-Identifier: Apache-2.0
"""The agent of a host: runs the probes of a directory and sends what they say, as OpenNebula's does."""
import base64
import dataclasses
import os
import pathlib
import socket
import subprocess
import threading
import time
import zlib

from .layout import PERIODS
from .machine import ONEADMIN

CONFIGURATION = pathlib.Path(__file__).resolve().parents[2] / "golden" / "recorded" / "monitor-configuration.xml"
TOP = "/var/tmp/one"
MESSAGES = {"vm/monitor": "MONITOR_VM", "vm/snapshot": "MONITOR_VM", "vm/status": "STATE_VM", "host/system": "SYSTEM_HOST",
            "host/monitor": "MONITOR_HOST", "host/beacon": "BEACON_HOST"}
RETRIES = (1, 1, 1, 2, 4, 8, 8, 16, 32, 64)  # seconds, after messages that could not be sent


@dataclasses.dataclass
class Cycle:
    """What one round through a directory came to."""
    ran: list          # of each probe: its name, exit status, output, errors
    status: int = 0    # -1: one of them failed, and the output of all is discarded
    text: str = ""     # what is said, or which failed
    sent: int = None   # bytes of the datagram; None: nothing was sent, or it was too large
    fault: str = None  # why it could not be sent


class Agent:
    def __init__(self, host):
        self.host = host
        self.stop, self.threads = threading.Event(), []

    def probes(self, directory, tree="kvm"):
        """Names of what is run there: every regular file that oneadmin may execute, whatever it is called, in their order."""
        path = self.host.machine.path(f"{TOP}/im/{tree}-probes.d/{directory}")
        found = [entry.name for entry in os.scandir(path) if entry.is_file() and _may_execute(entry.stat())]
        return sorted(found)

    def run(self, directory, tree="kvm", timeout=60):
        """All of them, one after another. timeout: of the test's patience; OpenNebula has none."""
        cycle = Cycle([])
        xml = CONFIGURATION.read_bytes().replace(b"<HOST_ID>0<", f"<HOST_ID>{self.host.id}<".encode())
        for name in self.probes(directory, tree):
            path = f"{self.host.machine.prefix}{TOP}/im/{tree}.d/../{tree}-probes.d/{directory}/{name}"
            got = self._run_one(path, tree, xml, timeout)
            out, err = (text.decode("utf-8", "surrogateescape") for text in (got.stdout, got.stderr))
            cycle.ran.append((name, got.returncode, out, err))
            if got.returncode:
                cycle.status, cycle.text = -1, f"Error executing {name}: {err}"
                return cycle
            cycle.text += out
        return cycle

    def _run_one(self, path, tree, xml, timeout):
        front = self.host.cloud.front.address
        env = {"HOME": "/var/lib/one", "LANG": "C", "PATH": "/usr/local/bin:/usr/bin:/bin:/usr/games",
               "SSH_CLIENT": f"{front} 40000 22"}
        return self.host.machine.run(path, tree, str(self.host.id), self.host.name, user="oneadmin", clear=True, env=env,
                                     cwd=f"{TOP}/im/{tree}.d", input=xml, text=False, errors=None, timeout=timeout)

    def cycle(self, directory="vm/monitor", tree="kvm", timeout=60):
        """One round, and its message sent and taken by monitord. Returns the Cycle."""
        cycle = self.run(directory, tree, timeout)
        text = cycle.text.strip()
        if not text:
            return cycle
        data = message(MESSAGES[directory], cycle.status == 0, self.host.id, text)
        before = self.host.cloud.monitord.datagrams
        try:
            with self.host.machine.network(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                cycle.sent = sender.sendto(data, (self.host.cloud.monitord_address(), self.host.cloud.monitord.port))
        except OSError as error:
            cycle.fault = str(error)
            return cycle
        if self.host.cloud.leader:  # else nobody listens
            self.host.cloud.monitord.wait(before + 1)
        return cycle

    def start(self, tree="kvm"):
        """What happens when OpenNebula begins to monitor a host: every directory once, and if a probe fails the host is in
        error. Returns the Cycles by directory."""
        cycles = {}
        for directory in ("host/system", "host/monitor", "vm/status", "vm/monitor", "vm/snapshot"):
            cycles[directory] = self.run(directory, tree)
            if cycles[directory].status:
                self.host.cloud.monitord.note(f"Start monitor failed for host {self.host.id}: {cycles[directory].text}")
                self.host.cloud.monitord.fail(self.host.id, cycles[directory].text)
                return cycles
        now = int(time.time())
        for directory in ("vm/monitor", "host/monitor", "host/system", "vm/status"):
            self.host.cloud.monitord.message(MESSAGES[directory], "SUCCESS", self.host.id, now, cycles[directory].text)
        if self.host.state() == "INIT":
            self.host.cloud.monitord.recover(self.host.id)
        return cycles

    # ---- by itself -------------------------------------------------------------------------------------

    def begin(self, **periods):
        """From now on the directories are run again and again: a thread each. periods: seconds, as vm_monitor=1."""
        for directory, period in PERIODS.items():
            period = periods.get(directory.replace("/", "_"), period)
            thread = threading.Thread(target=self._loop, args=(directory, period), daemon=True)
            self.threads.append(thread)
            thread.start()

    def _loop(self, directory, period):
        failures = 0
        while not self.stop.is_set():
            began = time.monotonic()
            try:
                cycle = self.cycle(directory)
            except (OSError, subprocess.SubprocessError, TimeoutError) as error:
                self.host.cloud.monitord.note(f"the stand-in's agent of {self.host.name}: {error}")
                cycle = Cycle([], fault=str(error))
            pause = RETRIES[min(failures, len(RETRIES) - 1)] if cycle.fault else max(0, period - (time.monotonic() - began))
            failures = failures + 1 if cycle.fault else 0
            self.stop.wait(pause)

    def end(self):
        self.stop.set()
        for thread in self.threads:
            thread.join(70)
        self.threads, self.stop = [], threading.Event()


def _may_execute(found):
    if os.geteuid() or found.st_uid == ONEADMIN:
        return bool(found.st_mode & 0o100)
    return bool(found.st_mode & (0o010 if found.st_gid == ONEADMIN else 0o001))


def message(kind, success, host, text):
    payload = base64.b64encode(zlib.compress(text.encode("utf-8", "surrogateescape"), 9))
    return f"{kind} {'SUCCESS' if success else 'FAILURE'} {host} {int(time.time())} ".encode() + payload
