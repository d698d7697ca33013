# SPDX-License-Identifier: Apache-2.0
"""monitord: takes the agents' datagrams, and keeps what they say of the VMs."""
import base64
import binascii
import contextlib
import socket
import threading
import time
import zlib

from . import template
from .names import HOST_STATES, number

PORT = 4124
TYPES = ("MONITOR_VM", "MONITOR_HOST", "SYSTEM_HOST", "STATE_VM", "BEACON_HOST")
ERROR, MONITORED = number(HOST_STATES, "ERROR"), number(HOST_STATES, "MONITORED")


class Monitord:
    def __init__(self, cloud, machine, port=PORT):
        self.cloud, self.machine = cloud, machine
        self.log, self.datagrams, self.stamps = [], 0, {}
        self.news = threading.Condition()
        with machine.network():
            self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self.socket.bind(("0.0.0.0" if port else "127.0.0.1", port))
        self.port = self.socket.getsockname()[1]
        self.thread = threading.Thread(target=self._listen, daemon=True)
        self.thread.start()

    def close(self):
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.thread.join(5)
        self.socket.close()

    def wait(self, datagrams, seconds=10):
        """Until that many have come since the start, and are dealt with."""
        with self.news:
            if not self.news.wait_for(lambda: self.datagrams >= datagrams, seconds):
                raise TimeoutError(f"{self.datagrams} datagrams of {datagrams} after {seconds} s")

    def _listen(self):
        while True:
            try:
                data = self.socket.recv(65536)
            except OSError:
                return
            if not data:
                return
            try:
                self.take(data)
            except Exception as error:  # a test shall see it, and the next datagram is another
                self.note(f"the stand-in: {type(error).__name__}: {error}")
            with self.news:
                self.datagrams += 1
                self.news.notify_all()

    def note(self, text):
        self.log.append(text)
        with contextlib.suppress(OSError), open(self.machine.path("/var/log/one/monitor.log"), "a", encoding="utf-8") as file:
            file.write(f"{time.ctime()} [Z0][MDP]: {text}\n")

    def take(self, data):
        """One message: TYPE STATUS HOST TIME PAYLOAD, the payload compressed and in base64."""
        words = data.decode("ascii", "replace").split()
        try:
            kind, status, host, stamp, payload = words
            text = zlib.decompress(base64.b64decode(payload, validate=True)).decode("utf-8", "surrogateescape")
            host, stamp = int(host), int(stamp)
        except (ValueError, binascii.Error, zlib.error):
            self.note(f"Received UNDEFINED msg: {data[:60]!r}")
            return
        if kind in TYPES:
            self.message(kind, status, host, stamp, text)

    def message(self, kind, status, host, stamp, text):
        """What take() does, of a message that is unpacked: the agent's start brings its first ones another way."""
        vms = kind in ("MONITOR_VM", "STATE_VM")
        if status != "SUCCESS":
            self.note(f"Failed to monitor {'VM for ' if vms else ''}host {host}: {text}")
            if not vms:
                self.fail(host, text)
            return
        if stamp < self.stamps.get((kind, host), 0):
            return
        self.stamps[kind, host] = stamp
        try:
            pairs = template.parse(text)
        except template.SyntaxFault as fault:
            self.note(f"Error parsing {'VM ' if vms else ''}monitoring template for host {host}\nMessage: {text}\n"
                      f"Error: {fault}")
            self.fail(host, "Error parsing monitor information")
            return
        getattr(self, f"_{kind.lower()}")(host, stamp, pairs)

    def _monitor_vm(self, host, stamp, pairs):
        vms = {}
        for record in (value for name, value in pairs if name == "VM" and isinstance(value, dict)):
            if not record.get("ID", "").lstrip("-").isdigit():
                continue
            keys = self._keys(record)
            if keys is not None and int(record["ID"]) >= 0:
                template.merge(vms.setdefault(int(record["ID"]), _Kept()), keys)
        with self.cloud.store.change() as state:
            for number_, keys in vms.items():
                vm = state["vms"].get(str(number_))
                if vm:
                    deleted = [(name, {}) for name in keys.deleted]
                    template.merge(vm["MONITORING"], deleted + [(name, value) for name in keys for value in keys[name]])
                    vm["MONITORING"] |= {"ID": [str(number_)], "TIMESTAMP": [str(stamp)]}
                    vm["LAST_POLL"] = stamp

    def _keys(self, record):
        """Of a record; None where it is not to be used."""
        try:
            plain = base64.b64decode(record.get("MONITOR", ""), validate=True).decode("utf-8", "surrogateescape")
            return template.parse(plain)
        except (ValueError, binascii.Error) as fault:  # SyntaxFault is one
            self.note(f"Error parsing VM monitor attribute: {record.get('MONITOR', '')[:200]}, error: {fault}")
            return None

    def _system_host(self, host, _, pairs):
        with self.cloud.store.change() as state:
            state["hosts"][str(host)]["TEMPLATE"] |= {name: value for name, value in pairs if isinstance(value, str)}
        self.recover(host)

    def _monitor_host(self, host, _, pairs):
        with self.cloud.store.change() as state:
            state["hosts"][str(host)]["MONITORING"] = {name: value for name, value in pairs if isinstance(value, str)}

    def _beacon_host(self, host, stamp, pairs):
        """That it lives, which nobody asks here."""

    def _state_vm(self, host, _, pairs):
        """What the state probe says: a VM's state, and that the list is complete."""
        values = dict(pairs)
        said = {int(value["ID"]): value.get("STATE", "") for name, value in pairs
                if name == "VM" and isinstance(value, dict) and value.get("ID", "").isdigit()}
        state = self.cloud.store.read()
        there = [int(vm) for vm, kept in state["vms"].items() if kept["HOST"] == host and kept["ON_HOST"]]
        if values.get("SYNC_STATE", "").lower() == "yes":
            said |= {vm: values.get("MISSING_STATE", "POWEROFF") for vm in there if vm not in said}
        for vm in said.keys() & set(there):
            self.cloud.vm(vm).seen(said[vm].upper())

    # ---- the host itself -------------------------------------------------------------------------------

    def fail(self, host, why):
        """Into ERROR, its VMs into UNKNOWN."""
        with self.cloud.store.change() as state:
            known = state["hosts"][str(host)]
            known["PREV_STATE"], known["STATE"] = known["STATE"], ERROR
            known["TEMPLATE"]["ERROR"] = why
        self._move_vms(host, "RUNNING", "UNKNOWN")

    def recover(self, host):
        with self.cloud.store.change() as state:
            known = state["hosts"][str(host)]
            if known["STATE"] in (ERROR, number(HOST_STATES, "INIT")):
                known["PREV_STATE"], known["STATE"] = known["STATE"], MONITORED
            known["TEMPLATE"].pop("ERROR", None)
        self._move_vms(host, "UNKNOWN", "RUNNING")

    def _move_vms(self, host, old, new):
        for vm, kept in self.cloud.store.read()["vms"].items():
            if kept["HOST"] == host and self.cloud.vm(int(vm)).state() == ("ACTIVE", old):
                self.cloud.vm(int(vm)).to(new)


class _Kept(dict):
    """Keys of one VM in one message, and which of them it deletes."""

    def __init__(self):
        super().__init__()
        self.deleted = set()

    def __delitem__(self, name):
        self.deleted.add(name)
        super().__delitem__(name)
