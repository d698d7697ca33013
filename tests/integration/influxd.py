# SPDX-License-Identifier: Apache-2.0
"""A private InfluxDB 1: own directory, own ports on loopback, ended by its process."""
import json
import pathlib
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request

START_SECONDS = 60
CONFIG = """reporting-disabled = true
bind-address = "127.0.0.1:{rpc}"
[meta]
  dir = "{dir}/meta"
[data]
  dir = "{dir}/data"
  wal-dir = "{dir}/wal"
  query-log-enabled = false
[monitor]
  store-enabled = false
[http]
  bind-address = "127.0.0.1:{port}"
  log-enabled = false
  auth-enabled = {auth}
"""


class QueryError(Exception):
    """What InfluxDB says is wrong with a query."""


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


class Influxd:
    def __init__(self, directory, auth=False):
        self.dir = pathlib.Path(directory)
        self.dir.mkdir(parents=True)
        self.port, rpc = free_ports(2)
        self.url = f"http://127.0.0.1:{self.port}"
        conf = self.dir / "influxdb.conf"
        conf.write_text(CONFIG.format(dir=self.dir, port=self.port, rpc=rpc, auth=str(auth).lower()))
        self.log = open(self.dir / "log", "wb")
        self.process = subprocess.Popen(["influxd", "-config", conf], stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        self._await_start()

    def _await_start(self):
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                with urllib.request.urlopen(f"{self.url}/ping", timeout=5):
                    return
            except OSError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    self.stop()
                    raise RuntimeError("influxd does not start: " + (self.dir / "log").read_text(errors="replace")[-2000:]) from None
                time.sleep(0.1)

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.log.close()

    def write(self, database, lines):
        """lines: line protocol with times in nanoseconds. All of it must be taken."""
        request = urllib.request.Request(f"{self.url}/write?db={database}", data=lines.encode(), method="POST")
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                assert answer.status == 204, answer.status
        except urllib.error.HTTPError as error:
            raise QueryError(f"write: {error.code} {error.read().decode(errors='replace')}") from None

    def query(self, database, text):
        """[[series of one statement]], each {name, tags, columns, values}; times in nanoseconds."""
        data = urllib.parse.urlencode({"db": database, "q": text, "epoch": "ns"}).encode()
        try:
            with urllib.request.urlopen(f"{self.url}/query", data, timeout=60) as answer:
                results = json.load(answer)["results"]
        except urllib.error.HTTPError as error:
            raise QueryError(f"{error.read().decode(errors='replace').strip()}: {text}") from None
        for result in results:
            if "error" in result:
                raise QueryError(f"{result['error']}: {text}")
        return [result.get("series", []) for result in results]
