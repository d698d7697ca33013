# SPDX-License-Identifier: Apache-2.0
"""A Linux guest of a rig, seen from inside: through QEMU's own agent in it, as OpenNebula's driver talks to it, and at its
console, which is there without an agent too."""
import base64
import re
import socket
import time

from rig import RigError, domain

ANSWER_SECONDS = 60


class LinuxGuest:
    """guest = LinuxGuest(rig, "one-83"); guest.run("cat /proc/meminfo")"""

    def __init__(self, rig, name):
        self.rig, self.name = rig, name

    def ask(self, execute, **arguments):
        """What the agent returns of a command."""
        return self.rig.ask_agent(self.name, execute, **arguments)

    def begin(self, path, *words, stdin=None):
        """The pid of a command, begun as OpenNebula's driver does."""
        data = {} if stdin is None else {"input-data": base64.b64encode(stdin).decode()}
        return self.ask("guest-exec", **{"path": path, "arg": list(words), "capture-output": True, **data})["pid"]

    def run(self, script):
        """What a shell's script says, which must succeed."""
        pid = self.begin("sh", "-c", script)
        deadline = time.monotonic() + ANSWER_SECONDS
        while not (status := self.ask("guest-exec-status", pid=pid))["exited"]:
            if time.monotonic() > deadline:
                raise RigError(f"{self.name}: {script}: runs on after {ANSWER_SECONDS} s")
            time.sleep(0.05)
        out, err = (base64.b64decode(status.get(name, "")).decode() for name in ("out-data", "err-data"))
        if status.get("exitcode") != 0:
            raise RigError(f"{self.name}: {script}: {status}: {err}")
        return out

    def numbers(self, path):
        """{name: number} of a file as /proc/meminfo and /proc/vmstat are."""
        return {name: int(number) for name, number in re.findall(r"^(\w+):? +(\d+)", self.run(f"cat {path}"), re.M)}

    def type(self, line):
        """A line for the shell at the console. Returns once it has been executed."""
        deadline = time.monotonic() + ANSWER_SECONDS
        with socket.socket(socket.AF_UNIX) as console:
            console.settimeout(ANSWER_SECONDS)
            console.connect(str(domain.console(self.rig.layout, self.name)))
            console.sendall(f"{line}; echo do''ne\n".encode())
            said = b""
            while b"done" not in said:
                said += console.recv(4096)
                if time.monotonic() > deadline:
                    raise RigError(f"{self.name}: {line}: its console says {said[-300:]!r}")
