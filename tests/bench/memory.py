# SPDX-License-Identifier: Apache-2.0
"""What a daemon holds in memory while clients ask for everything that is large, each by itself over and over."""
import http.client
import os
import pathlib
import re
import threading
import time

from background import Background

LOOK_S = 0.02
MB = 1 << 20


class Peak(Background):
    """The largest sum, at one time, of what is the process's own and what it holds in files in memory: resident pages of
    its heap, its stacks and its program (RssAnon and RssFile), and the pages of each /memfd: that it has open, once,
    whether they are mapped too (RssShmem, which is not added) or not (then no figure of the process has them). Looked at
    each 20 ms: shorter peaks may be missed."""

    def __init__(self, pid):
        super().__init__()
        self.proc = pathlib.Path(f"/proc/{pid}")
        self.sum, self.own, self.files = 0, 0, 0  # bytes: the largest sum, and the parts of it
        self.looks = 0

    def _of_process(self):
        status = (self.proc / "status").read_text()
        return sum(int(kb) for kb in re.findall(r"^Rss(?:Anon|File):\s+(\d+) kB", status, re.M)) * 1024

    def _of_files(self):
        files = {}
        for entry in os.scandir(self.proc / "fd"):
            try:
                if os.readlink(entry.path).startswith("/memfd:"):
                    status = os.stat(entry.path)
                    files[status.st_ino] = status.st_blocks * 512
            except FileNotFoundError:
                pass  # closed meanwhile
        return sum(files.values())

    def run(self):
        while not self.stop.wait(LOOK_S):
            own, files = self._of_process(), self._of_files()
            self.looks += 1
            if own + files > self.sum:
                self.sum, self.own, self.files = own + files, own, files

    def __str__(self):
        return (f"peak {self.sum / MB:.0f} MB: {self.own / MB:.0f} its own (RssAnon + RssFile) and "
                f"{self.files / MB:.0f} in memfds ({self.looks} looks)")


class Clients:
    """One client for each (path, takes gzip, seconds in between), and one that reads the stream."""

    def __init__(self, daemon, api):
        self.daemon = daemon
        self.asks = [(f"{api}/vm-telemetry", True, 1), (f"{api}/vm-telemetry", False, 1), (f"{api}/live-vms", True, 1),
                     ("/metrics", True, 1), ("/metrics", False, 5)]
        self.stream = f"{api}/stream"
        self.stop, self.answers, self.bytes, self.events = threading.Event(), 0, 0, 0
        self.broken = []
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self._ask, args=ask, daemon=True) for ask in self.asks]
        self.threads.append(threading.Thread(target=self._read_stream, daemon=True))

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        for thread in self.threads:
            thread.join()

    def _ask(self, path, gzip, pause):
        connection = self.daemon.connect()
        while not self.stop.is_set():
            begun = time.monotonic()
            connection.request("GET", path, headers={"Accept-Encoding": "gzip"} if gzip else {})
            answer = connection.getresponse()
            length = len(answer.read())
            with self.lock:
                self.answers += 1
                self.bytes += length
                if answer.status != 200:
                    self.broken.append(f"{path}: {answer.status}")
            self.stop.wait(max(begun + pause - time.monotonic(), 0))
        connection.close()

    def _read_stream(self):
        connection = self.daemon.connect()
        connection.request("GET", self.stream)
        answer = connection.getresponse()
        try:
            while not self.stop.is_set():
                self.events += answer.readline().startswith(b"event:")
        except (OSError, http.client.HTTPException) as error:
            self.broken.append(f"the stream: {error}")
        connection.close()

    def __str__(self):
        return f"{self.answers} large answers, {self.bytes / 1e6:.0f} MB, and {self.events} events to those who ask each second"
