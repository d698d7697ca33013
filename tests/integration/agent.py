# SPDX-License-Identifier: Apache-2.0
"""Stands in for the QEMU agent in a guest: libvirt connects to its socket, as to the host's end of the guest's channel
(rig/domain.py). What it answers is what QEMU's own agent does of guest-sync, guest-ping and guest-exec-status, and what
it is told to, unless it is told to behave badly."""
import base64
import contextlib
import json
import pathlib
import socket
import threading
import time


class Agent:
    """with Agent(path) as agent: agent.begin(12); agent.end(12, code=0, out=b"done\\n")"""

    def __init__(self, path):
        self.path = pathlib.Path(path)
        self.lock = threading.Lock()
        self.processes, self.asked = {}, []  # {pid: its status}; the commands that came, libvirt's guest-sync left out
        self.reset()
        self.stop = False
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(self.path))
        self.listener.listen(16)
        self.connections = []
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def reset(self):
        """Behaves well, and knows of no process."""
        with self.lock:
            self.processes, self.asked = {}, []
            self.answers = {}      # to other commands: {name: what stands under "return"}
            self.hangs = set()     # on commands of these names: comes to nothing else, as long as they are here
            self.silent = False    # says nothing at all
            self.answer = None     # bytes in the place of a status
            self.delay = 0         # seconds before a status
            self.meanwhile = None  # called before a status is given

    def close(self):
        self.stop = True
        for each in (self.listener, *self.connections):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def begin(self, pid):
        with self.lock:
            self.processes[pid] = {"exited": False}

    def end(self, pid, code=None, signal=None, out=b"", err=b""):
        """As guest-exec-status tells of it, once."""
        status = {"exited": True}
        for name, value in (("exitcode", code), ("signal", signal)):
            if value is not None:
                status[name] = value
        for name, value in (("out-data", out), ("err-data", err)):
            if value:
                status[name] = base64.b64encode(value).decode()
        with self.lock:
            self.processes[pid] = status

    def statuses(self):
        """How many were asked for."""
        with self.lock:
            return sum(command == "guest-exec-status" for command in self.asked)

    def _accept(self):
        with contextlib.suppress(OSError):
            while not self.stop:
                connection = self.listener.accept()[0]
                self.connections.append(connection)
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        with contextlib.suppress(OSError, ValueError), connection.makefile("rb") as lines:
            for line in lines:
                answer = self._answer(json.loads(line.lstrip(b"\xff")))
                if answer is not None:
                    connection.sendall(answer + b"\n")

    def _answer(self, request):
        name, arguments = request["execute"], request.get("arguments", {})
        with self.lock:
            if self.silent:
                return None
            if name == "guest-sync":
                return json.dumps({"return": arguments["id"]}).encode()
            self.asked.append(name)
            delay, meanwhile = self.delay, self.meanwhile
        while name in self.hangs and not self.stop:
            time.sleep(0.05)
        with self.lock:
            if name in self.answers or name == "guest-ping":
                return json.dumps({"return": self.answers.get(name, {})}).encode()
        if name != "guest-exec-status":
            return _error("CommandNotFound", f"The command {name} has not been found")
        if meanwhile:
            meanwhile()
        time.sleep(delay)
        with self.lock:
            return self.answer if self.answer is not None else self._status(arguments["pid"])

    def _status(self, pid):
        status = self.processes.get(pid)
        if status is None:
            return _error("GenericError", f"PID {pid} does not exist")
        if status["exited"]:
            del self.processes[pid]
        return json.dumps({"return": status}).encode()


def _error(kind, text):
    return json.dumps({"error": {"class": kind, "desc": text}}).encode()
