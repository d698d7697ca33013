# SPDX-License-Identifier: Apache-2.0
"""Real databases for the tests: Debian's InfluxDB 1, VictoriaMetrics and Prometheus, private: ports of the loopback,
data in a directory of the test's, nothing reported or scraped. They need no systemd and end with the process that
started them.
"""
import base64
import ctypes
import http.client
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import time
import urllib.parse

PLACES = ("/usr/local/bin", "/usr/bin", "/usr/sbin", "/usr/local/lib/one-telemetry/prometheus/usr/bin")
READY_SECONDS = 60
STOP_SECONDS = 20
STARTS = 5  # until a port is found that nobody else takes meanwhile
PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


class DatabaseError(Exception):
    """A server does not start, or refuses what a test needs."""


def find(program):
    """Where it is; Debian's packages put it where a PATH without sbin would not find it."""
    found = shutil.which(program, path=":".join((os.environ.get("PATH", ""), *PLACES)))
    if not found:
        raise DatabaseError(f"{program} is not installed: tests/install-deps.sh installs it")
    return found


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """A server process on a port of the loopback. It keeps its port when it is started again."""
    ready_path, ready_status = "/health", 200
    stays = False  # when the process that started it ends
    environment = {}

    def __init__(self, directory, user=None, password=None):
        self.directory = pathlib.Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.user, self.password = user, password
        self.log = self.directory / "log"
        self.process = None
        self.port = None
        for attempt in range(STARTS):
            self.port = free_port()
            try:
                self.start()
                return
            except DatabaseError:
                self.kill()
                if attempt == STARTS - 1 or "address already in use" not in self.log_text():
                    raise
                self.log.unlink()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def command(self):
        raise NotImplementedError

    def log_text(self):
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    # ---- its life ---------------------------------------------------------------------------------------

    def start(self):
        """Starts it, with the data it had, and waits until it answers."""
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            cwd=self.directory, start_new_session=True,
                                            env={"PATH": "/usr/bin:/bin", "HOME": str(self.directory), "TZ": "UTC",
                                                 **self.environment},
                                            preexec_fn=None if self.stays else _end_with_parent)
        deadline = time.monotonic() + READY_SECONDS
        while not self._is_ready():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise DatabaseError(f"{type(self).__name__} does not start: {self.log_text()[-2000:]}")
            time.sleep(0.05)

    def _is_ready(self):
        try:
            return self.request("GET", self.ready_path, timeout=2)[0] == self.ready_status
        except (OSError, http.client.HTTPException):
            return False

    def is_running(self):
        return self.process is not None and self.process.poll() is None

    def stop(self):
        """Ends it as an administrator would, with what it holds written; a stuck one is killed."""
        self._end(signal.SIGTERM)

    def kill(self):
        """As kill -9."""
        self._end(signal.SIGKILL)

    def _end(self, number):
        if not self.is_running():
            return
        self.process.send_signal(number)
        self.process.send_signal(signal.SIGCONT)
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def freeze(self):
        """It takes connections, as the kernel does so for it, and says nothing."""
        self.process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.process.pid, os.WSTOPPED | os.WNOWAIT)  # all its threads

    def thaw(self):
        self.process.send_signal(signal.SIGCONT)

    # ---- what one asks it ------------------------------------------------------------------------------

    def request(self, method, path, body=None, headers=None, timeout=30):
        """(status, headers, body) of a request with this server's credentials, unless `headers` has others."""
        headers = dict(headers or {})
        if self.user is not None and "Authorization" not in headers:
            pair = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
            headers["Authorization"] = f"Basic {pair}"
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            connection.close()

    def fetch(self, path, method="GET", **parameters):
        """The body of a good answer."""
        status, _, body = self.request(method, f"{path}?{urllib.parse.urlencode(parameters)}")
        if status // 100 != 2:
            raise DatabaseError(f"{path} {parameters}: {status} {body[:500]!r}")
        return body


def _end_with_parent():
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


class Influxd(Server):
    """InfluxDB 1. With a user: it wants authentication, and this is its administrator. http, data: settings of those
    sections of its configuration, as {"max-body-size": 1000}."""
    ready_path, ready_status = "/ping", 204

    def __init__(self, directory, user=None, password=None, http=None, data=None):
        self.http, self.data = http or {}, data or {}
        super().__init__(directory, user, password)
        if user is not None:
            self.query(f"CREATE USER {_name(user)} WITH PASSWORD {_text(password)} WITH ALL PRIVILEGES")

    def command(self):
        config = self.directory / "influxdb.conf"
        config.write_text(self._config())
        return [find("influxd"), "run", "-config", str(config)]

    def _config(self):
        home = self.directory
        sections = {
            "meta": {"dir": str(home / "meta")},
            "data": {"dir": str(home / "data"), "wal-dir": str(home / "wal"), "query-log-enabled": False, **self.data},
            "monitor": {"store-enabled": False},
            "subscriber": {"enabled": False},
            "continuous_queries": {"enabled": False},
            "retention": {"enabled": False},
            "http": {"bind-address": f"127.0.0.1:{self.port}", "auth-enabled": self.user is not None,
                     "log-enabled": False, **self.http},
        }
        lines = ["reporting-enabled = false", 'bind-address = "127.0.0.1:0"']
        for name, settings in sections.items():
            lines.append(f"[{name}]")
            lines += [f"{key} = {json.dumps(value)}" for key, value in settings.items()]
        return "\n".join(lines) + "\n"

    def query(self, text, database=""):
        """The series of an InfluxQL statement's answer."""
        results = json.loads(self.fetch("/query", "POST", q=text, db=database, epoch="ns"))["results"]
        errors = [result["error"] for result in results if "error" in result]
        if errors:
            raise DatabaseError(f"{text}: {errors}")
        return [series for result in results for series in result.get("series", [])]

    def create(self, database):
        self.query(f"CREATE DATABASE {_name(database)}")

    def drop(self, database):
        self.query(f"DROP DATABASE {_name(database)}")

    def measurements(self, database):
        return [row[0] for series in self.query("SHOW MEASUREMENTS", database) for row in series["values"]]

    def field_types(self, database):
        """{measurement: {field: "float", "integer", "string" or "boolean"}}"""
        return {series["name"]: dict(series["values"]) for series in self.query("SHOW FIELD KEYS", database)}

    def points(self, database, measurement=None):
        """{(measurement, ((tag, value), ...), time): {field: value}}; values of the types that the fields have."""
        types = self.field_types(database)
        found = {}
        for name in self.measurements(database) if measurement is None else [measurement]:
            for series in self.query(f"SELECT * FROM {_name(name)} GROUP BY *", database):
                tags = tuple(sorted((key, value) for key, value in series.get("tags", {}).items() if value != ""))
                columns = series["columns"]
                for row in series["values"]:
                    fields = {key: float(value) if types[name].get(key) == "float" else value
                              for key, value in zip(columns[1:], row[1:]) if value is not None}
                    found[name, tags, row[0]] = fields
        return found


class VictoriaMetrics(Server):
    """VictoriaMetrics, one node. flags: further ones, as ["-maxInsertRequestSize=1000"]."""

    def __init__(self, directory, user=None, password=None, flags=()):
        self.flags = list(flags)
        super().__init__(directory, user, password)

    def command(self):
        return [find("victoria-metrics"), f"-httpListenAddr=127.0.0.1:{self.port}",
                f"-storageDataPath={self.directory / 'data'}", "-retentionPeriod=100y", "-loggerLevel=WARN",
                *([f"-httpAuth.username={self.user}", f"-httpAuth.password={self.password}"] if self.user else []),
                *self.flags]

    def samples(self, match='{__name__!=""}'):
        """{(metric, ((label, value), ...), time in ms): [value]}; several values of what was written more than once,
        unless flags has -dedup.minScrapeInterval=1ms. A field is the metric MEASUREMENT_FIELD, a database the label db;
        a text is 0."""
        self.fetch("/internal/force_flush")
        found = {}
        end = int(time.time()) + 3600  # its own now is up to a second old
        for line in self.fetch("/api/v1/export", **{"match[]": match, "start": "0", "end": end}).splitlines():
            series = json.loads(line)
            labels = dict(series["metric"])
            name = labels.pop("__name__")
            for value, at in zip(series["values"], series["timestamps"]):
                found.setdefault((name, tuple(sorted(labels.items())), at), []).append(value)
        return found


class Prometheus(Server):
    """Prometheus, which reads `target`, a port of the loopback, every second."""
    ready_path = "/-/ready"

    def __init__(self, directory, target):
        self.target = target
        super().__init__(directory)

    def command(self):
        config = self.directory / "prometheus.yml"
        job = {"job_name": "one", "static_configs": [{"targets": [f"127.0.0.1:{self.target}"]}]}
        config.write_text(json.dumps({"global": {"scrape_interval": "1s"}, "scrape_configs": [job]}))
        return [find("prometheus"), f"--config.file={config}", f"--storage.tsdb.path={self.directory / 'data'}",
                f"--web.listen-address=127.0.0.1:{self.port}", "--log.level=warn"]

    def query(self, expression):
        """[(labels, value)] of an instant vector."""
        result = json.loads(self.fetch("/api/v1/query", query=expression))["data"]["result"]
        return [(series["metric"], float(series["value"][1])) for series in result]


def _name(text):
    """An identifier in InfluxQL."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _text(text):
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
