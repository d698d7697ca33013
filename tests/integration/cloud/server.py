# SPDX-License-Identifier: Apache-2.0
"""Answers the commands that have to leave their machine: ssh, the copying of the tree, what the hook manager and monitord
are asked. It listens on a socket of the cloud's directory, in the test's process, which may enter every machine."""
import array
import contextlib
import json
import os
import pathlib
import socket
import struct
import threading

from .machine import python


class Server:
    def __init__(self, cloud):
        self.cloud = cloud
        path = pathlib.Path(cloud.state) / "socket"
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.bind(str(path))
        path.chmod(0o666)
        self.socket.listen(64)
        self.thread = threading.Thread(target=self._accept, daemon=True)
        self.thread.start()

    def close(self):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.thread.join(5)
        self.socket.close()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.socket.accept()
                threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection):
        with connection:
            text, ancillary, _, _ = connection.recvmsg(1 << 20, socket.CMSG_SPACE(12))
            descriptors = array.array("i")
            for _, kind, data in ancillary:
                if kind == socket.SCM_RIGHTS:
                    descriptors.frombytes(data[:len(data) - len(data) % 4])
            pid, uid, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
            try:
                answer = self._serve(json.loads(text), pid, uid, list(descriptors))
            except Exception as error:  # of the stand-in itself: the command shall say it, not hang
                answer = {"error": f"the stand-in: {type(error).__name__}: {error}"}
            for descriptor in descriptors:
                os.close(descriptor)
            with contextlib.suppress(OSError):
                connection.sendall(json.dumps(answer).encode() + b"\n")

    def _serve(self, request, pid, uid, descriptors):
        operation = request["op"]
        if operation in ("ssh", "receive"):
            return self._remote(request, uid, descriptors)
        if operation == "retry":
            self.cloud.hooks.retry(request["hook"], request["execution"])
        elif operation == "forceupdate":
            self.cloud.monitord.recover(request["host"])
        elif operation == "service":
            return self.cloud.services.serve(request, pid, uid)
        return {"status": 0}

    def _remote(self, request, uid, descriptors):
        host = self.cloud.machines.get(request["host"])
        name = request["host"]
        if not host:
            return {"status": 255, "say": f"ssh: Could not resolve hostname {name}: Name or service not known"}
        if host.slow and self.cloud.stopping.wait(host.slow):
            return {"status": 255, "say": "Connection closed"}
        if host.down:
            return {"status": 255, "say": f"ssh: connect to host {name} port 22: No route to host"}
        user = request.get("user") or ""
        if uid != self.cloud.oneadmin or user not in ("", "oneadmin"):
            return {"status": 255, "say": f"{user or 'root'}@{name}: Permission denied (publickey)."}
        words = ["bash", "-c", request["command"]] if request["op"] == "ssh" else [
            python(), "-IS", f"{host.machine.state}/lib/command.py", host.machine.state, host.machine.prefix, "one-receive",
            request["target"], *["--keep"] * request["keep"]]
        stdin, stdout, stderr = descriptors
        env = {"SSH_CLIENT": f"{self.cloud.front.address} 40000 22"}
        with host.machine.popen(*words, user="oneadmin", env=env, stdin=stdin, stdout=stdout, stderr=stderr) as process:
            status = process.wait()
        return {"status": 255 if status < 0 else status}
