# SPDX-License-Identifier: Apache-2.0
"""telemetryd for the tests: a private one, on a port of the loopback, with a state directory of its own; what one asks
of it; and points to feed it with."""
import contextlib
import gzip
import http.client
import json
import os
import pathlib
import re
import signal
import socket
import ssl
import time

from databases import DatabaseError, Server
from described import Description
from harness import Case, args

API = "/api/telemetry"
SECOND = 10**9


class Telemetryd(Server):
    """sections: {"server": {"key": value}, "sink x": …} of its configuration."""
    ready_path, ready_status = "/healthz", 200

    def __init__(self, directory, program, scheme="http", **sections):
        self.program, self.scheme = program, scheme
        self.sections = {"server": {}, **{name.replace("__", " "): keys for name, keys in sections.items()}}
        self.token = None
        super().__init__(directory)

    @property
    def url(self):
        return f"{self.scheme}://127.0.0.1:{self.port}"

    @property
    def conf(self):
        return self.directory / "telemetry.conf"

    @property
    def state(self):
        return self.directory / "state"

    def configure(self):
        """Writes the configuration that `sections` is."""
        own = {"port": self.port, "state_dir": self.state, **self.sections["server"]}
        text = ""
        for name, keys in {**self.sections, "server": own}.items():
            text += f"[{name}]\n" + "".join(f"{key} = {value}\n" for key, value in keys.items())
        self.conf.write_text(text)

    def command(self):
        self.configure()
        return [str(self.program), "--config", str(self.conf)]

    def _is_ready(self):
        try:
            return self.ask("GET", "/healthz", token=None, timeout=2)[0] == 200
        except (OSError, http.client.HTTPException):
            return False

    def restart(self, how=signal.SIGTERM):
        self._end(how)
        self.start()

    def reload(self):
        """Its log since, when it has read its configuration again."""
        before = len(self.log_text())
        self.configure()
        self.process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + 30
        while not re.search(r"in effect", self.log_text()[before:]):
            if time.monotonic() > deadline:
                raise DatabaseError(f"no reload: {self.log_text()[before:]}")
            time.sleep(0.05)
        return self.log_text()[before:]

    def memory_kb(self, what="VmHWM"):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(rf"^{what}:\s+(\d+) kB", status, re.M)[1])

    def forget_peak(self):
        """VmHWM begins anew."""
        pathlib.Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    # ---- what one asks it ------------------------------------------------------------------------------

    def connect(self, timeout=30, source=None):
        if self.scheme == "http":
            return http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout, source_address=source)
        context = ssl._create_unverified_context()
        return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=timeout, context=context)

    def ask(self, method, path, body=None, headers=None, token="own", timeout=30):
        """(status, headers, body)"""
        headers = dict(headers or {})
        token = self.token if token == "own" else token
        if token:
            headers["Authorization"] = f"Bearer {token}"
        connection = self.connect(timeout)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            connection.close()

    def json(self, path, status=200, **options):
        got, _, body = self.ask("GET", path if path.startswith("/") else f"{API}/{path}", **options)
        if got != status:
            raise DatabaseError(f"{path}: {got} {body[:500]!r}, not {status}")
        return json.loads(body)

    def post(self, path, status=200):
        got, _, body = self.ask("POST", f"{API}/{path}", body=b"")
        if got != status:
            raise DatabaseError(f"POST {path}: {got} {body[:500]!r}, not {status}")
        return json.loads(body)

    def vms(self):
        """{vm_id: VM} of vm-telemetry."""
        answer = self.json("vm-telemetry")
        found = {vm["vm_id"]: vm for vm in answer["vms"]}
        if len(found) != answer["count"] or len(answer["vms"]) != answer["count"]:
            raise DatabaseError(f"count is wrong, or a VM is there twice: {answer}")
        return found

    def write(self, text, path="/write?precision=ns", status=204, packed=False, **options):
        body = text.encode() if isinstance(text, str) else text
        headers = options.pop("headers", {})
        if packed:
            body, headers = gzip.compress(body), {**headers, "Content-Encoding": "gzip"}
        got, _, answer = self.ask("POST", path, body, headers, **options)
        if got != status:
            raise DatabaseError(f"{path}: {got} {answer[:500]!r}, not {status}")
        return json.loads(answer) if answer else None

    def raw(self, data, timeout=10, half_close=False):
        """What comes back for these bytes until it closes, or says nothing for so long."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=timeout) as sock:
            with contextlib.suppress(OSError):
                sock.sendall(data)
                if half_close:
                    sock.shutdown(socket.SHUT_WR)
            return receive(sock)


def receive(sock):
    got = b""
    with contextlib.suppress(OSError):
        while True:
            piece = sock.recv(65536)
            if not piece:
                break
            got += piece
    return got


def statuses(data):
    """The statuses of the answers in it."""
    return [int(status) for status in re.findall(rb"^HTTP/1\.1 (\d{3}) ", data, re.M)]


class Events:
    """A client of /stream. Iterates over (id, event, data)."""

    def __init__(self, server, last=None, timeout=30, rcvbuf=None):
        headers = {"Last-Event-ID": last} if last else {}
        if server.token:
            headers["Authorization"] = f"Bearer {server.token}"
        self.connection = server.connect(timeout)
        if rcvbuf:
            self.connection.connect()
            self.connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
        self.connection.request("GET", f"{API}/stream", headers=headers)
        self.answer = self.connection.getresponse()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.connection.close()

    def next(self):
        """(id, event, data); None: the stream is over."""
        fields = {}
        while True:
            line = self.answer.readline()
            if not line:
                return None
            line = line.decode().rstrip("\n")
            if line.startswith(":"):
                continue
            if line:
                key, _, value = line.partition(": ")
                fields[key] = value
            elif fields:
                return fields.get("id"), fields["event"], json.loads(fields["data"])

    def until(self, event, most=200):
        """The first with that name."""
        for _ in range(most):
            got = self.next()
            if got is None:
                break
            if got[1] == event:
                return got
        raise DatabaseError(f"no {event} came")


# ---- points ------------------------------------------------------------------------------------------------


def totals(vm_id, time_ns, host="kvm1", cpu_s=1.0, state=1, **fields):
    """A VM as curl would write it: counters alone."""
    more = "".join(f",{key}={value}" for key, value in fields.items())
    return (f"vm_totals,VMID={vm_id},host={host},name=one-{vm_id},uuid=u-{vm_id} state={state}i,cpus=2i,"
            f"cputime={int(cpu_s * SECOND)}i,memactual=512i,memory_max=1024i{more} {time_ns}\n")


def host_totals(time_ns, host="kvm1", domains=1):
    """What closes a collection."""
    return f"host_totals,host={host} domains={domains}i,missing=0i {time_ns}\n"


def now_ns():
    return time.time_ns()


class EndpointCase(Case):
    """Tests with a telemetryd."""

    def daemon(self, build=None, scheme="http", **sections):
        type(self).hosts += 1
        build = build or (args.asan if self.sanitized else args.build)
        made = Telemetryd(self.scratch / f"d{self.hosts}", build / "serve" / "telemetryd", scheme, **sections)
        self.addCleanup(self.end, made)
        return made

    def end(self, daemon):
        """It has to end well, whatever was done to it."""
        if not daemon.is_running():
            return
        daemon.stop()
        log = daemon.log_text()
        self.assertEqual(daemon.process.returncode, 0, log[-3000:])
        self.assertNotRegex(log, "ERROR: .*Sanitizer|runtime error|WARNING: ThreadSanitizer", log[-3000:])

    def assert_described(self, daemon):
        """All that it answers is as its own openapi.json says, member by member. Returns {path: answer}."""
        description, answers = Description(daemon.json("/api/openapi.json")), {}
        for path, methods in description.paths.items():
            schema = description.answer("GET", path, min(methods["get"]["responses"])) if "get" in methods else None
            if schema is None or schema.get("type") in ("string", "object"):
                continue  # no JSON of ours
            answers[path] = daemon.json(path.replace("{vm_id}", "83"))
            self.assertEqual(description.problems(answers[path], schema, path), [])
        self.assertGreater(len(answers), 10)
        return answers

    def secret(self, text, mode=0o600):
        type(self).hosts += 1
        path = self.scratch / f"secret-{self.hosts}"
        path.write_text(text + "\n")
        path.chmod(mode)
        return path

    def settles(self, condition, complaint, seconds=30):
        """Waits until it is true, and returns what it gave."""
        deadline = time.monotonic() + seconds
        while True:
            got = condition()
            if got:
                return got
            self.assertLess(time.monotonic(), deadline, complaint)
            time.sleep(0.05)


def environment(**more):
    return {**os.environ, **more}
