# SPDX-License-Identifier: Apache-2.0
"""Machines of a network of the test's own, for tests of several hosts: network namespaces on one bridge. Nothing of it is
seen outside: the bridge too is in a namespace, and all ends with the processes that hold them.

    with Network() as network:
        front_end = network.machine("10.77.0.11")
        subprocess.Popen(front_end.inside(["telemetryd", …]))     # the pid is the program's own
        front_end.connect("10.77.0.12", 4126)                     # a socket of that machine, for this process
        front_end.cut()
"""
import contextlib
import ctypes
import os
import signal
import socket
import struct
import subprocess
import time

from databases import _end_with_parent
from rig import sandbox

BITS = 24
INTERFACE = "eth0"
TOOL_SECONDS = 20
ETHERTYPE_IP, ETHERTYPE_ARP = 0x0800, 0x0806


class NetworkError(Exception):
    """A namespace can't be made or fitted out."""


def _run(command):
    got = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=TOOL_SECONDS)
    if got.returncode:
        raise NetworkError(f"{' '.join(command)}: {got.stderr.strip()} (a network needs root and CAP_SYS_ADMIN)")


class Space:
    """A network namespace, held by a process."""

    def __init__(self):
        self.holder = subprocess.Popen(["unshare", "-n", "sleep", "infinity"], stdin=subprocess.DEVNULL,
                                       preexec_fn=_end_with_parent)
        self.pid = self.holder.pid
        try:
            self._wait()
            self.ip("link set lo up")
        except BaseException:
            self.close()
            raise

    def _wait(self):
        deadline = time.monotonic() + TOOL_SECONDS
        while self._is_ours() or os.readlink(f"/proc/{self.pid}/exe").endswith("/unshare"):
            if self.holder.poll() is not None or time.monotonic() > deadline:
                raise NetworkError("unshare -n: no namespace came (it needs root and CAP_SYS_ADMIN)")
            time.sleep(0.005)

    def _is_ours(self):
        return os.readlink(f"/proc/{self.pid}/ns/net") == os.readlink("/proc/self/ns/net")

    def inside(self, command):
        """That command, run in it."""
        return ["nsenter", "-t", str(self.pid), "-n", "--", *(str(word) for word in command)]

    def ip(self, words):
        _run(self.inside(["ip", *words.split()]))

    @contextlib.contextmanager
    def entered(self):
        """This thread is in it meanwhile: sockets that it makes are, for good."""
        with open("/proc/thread-self/ns/net", "rb") as here, open(f"/proc/{self.pid}/ns/net", "rb") as there:
            _set(there)
            try:
                yield
            finally:
                _set(here)

    def processes(self):
        """The pids of all processes in it but its holder."""
        this, found = os.readlink(f"/proc/{self.pid}/ns/net"), []
        for pid in (int(entry) for entry in os.listdir("/proc") if entry.isdigit()):
            with contextlib.suppress(OSError):
                if pid != self.pid and os.readlink(f"/proc/{pid}/ns/net") == this:
                    found.append(pid)
        return found

    def close(self):
        """Ends what still runs in it (forwarders stay a while), and it."""
        if self.holder.poll() is None and not self._is_ours():
            for pid in self.processes():
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
        self.holder.kill()
        self.holder.wait()


def _set(namespace):
    if sandbox.libc.setns(namespace.fileno(), sandbox.CLONE_NEWNET):
        raise NetworkError(f"setns: {os.strerror(ctypes.get_errno())}")


class Machine(Space):
    """A namespace with an interface on the bridge."""

    def __init__(self, network, address):
        super().__init__()
        self.network, self.address = network, address
        self.port = f"port{self.pid}"  # of the bridge
        try:
            network.bridge.ip(f"link add {self.port} type veth peer name {INTERFACE} netns {self.pid}")
            network.bridge.ip(f"link set {self.port} master br0 up")
            self.ip(f"link set {INTERFACE} up")
            self.take(address)
        except BaseException:
            self.close()
            raise

    def take(self, address):
        """It has this address, too, from now on, and the others hear so (as of arping -U): who had it before is forgotten."""
        self.ip(f"address add {address}/{BITS} dev {INTERFACE}")
        sock = sandbox.packet_socket(self.pid, INTERFACE)
        with sock:
            mac, four = sock.getsockname()[4], socket.inet_aton(address)
            sock.send(struct.pack("!6s6sH", b"\xff" * 6, mac, ETHERTYPE_ARP) +
                      struct.pack("!HHBBH6s4s6s4s", 1, ETHERTYPE_IP, 6, 4, 1, mac, four, b"\0" * 6, four))

    def drop(self, address):
        self.ip(f"address del {address}/{BITS} dev {INTERFACE}")

    def cut(self):
        """As when its cable is pulled: whoever asks it hears nothing."""
        self.network.bridge.ip(f"link set {self.port} nomaster")

    def mend(self):
        self.network.bridge.ip(f"link set {self.port} master br0")

    def connect(self, address, port, timeout=30):
        """A socket of this machine, connected."""
        with self.entered():
            sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            sock.settimeout(timeout)
            sock.connect((address, port))
        except BaseException:
            sock.close()
            raise
        return sock


class Network(contextlib.ExitStack):
    def __init__(self):
        super().__init__()
        self.bridge = Space()
        self.callback(self.bridge.close)
        try:
            self.bridge.ip("link add br0 type bridge")
            self.bridge.ip("link set br0 up")
        except BaseException:
            self.close()
            raise

    def machine(self, address):
        made = Machine(self, address)
        self.callback(made.close)
        return made
