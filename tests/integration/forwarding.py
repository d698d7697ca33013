# SPDX-License-Identifier: Apache-2.0
"""A spool with its configuration, and the forwarder run on it, for tests that count points: all lines that are queued
here have keys of their own, so what a sink has afterwards can be compared with what it should have.

    forwarding = Forwarding(case.scratch / "x", args.build / "hooks" / "forward")
    forwarding.configure(Sink("one", server.url, database="telemetry"))
    texts = batches(10, lines=50)
    forwarding.queue(texts)
    run = forwarding.run("--once")
    assert points(texts) == server.store.points
"""
import contextlib
import gzip
import json
import os
import pathlib
import re
import signal
import subprocess
import time

import line_protocol
from host import Syslog

SECOND, MILLISECOND = 10**9, 10**6
RUN_SECONDS = 60
HOST = "kvm1"
REPORTS = "Sanitizer|runtime error"
SANITIZERS = {"ASAN_OPTIONS": "detect_leaks=1:exitcode=99:abort_on_error=0", "UBSAN_OPTIONS": "print_stacktrace=1"}


class Sink:
    """A section [sink NAME]; options as the configuration has them, e.g. timeout="1"."""

    def __init__(self, name, url, **options):
        self.name, self.options = name, {"url": url, **options}

    def text(self):
        return f"[sink {self.name}]\n" + "".join(f"{key} = {value}\n" for key, value in self.options.items())


class Run:
    """What one run of the forwarder came to. log: [(level, text)] of syslog."""

    def __init__(self, status, out, err, log, seconds):
        self.status, self.out, self.err, self.log, self.seconds = status, out, err, log, seconds

    def __str__(self):
        log = "".join(f"\n  {level} {text[:400]}" for level, text in self.log)
        return (f"exit status {self.status} after {self.seconds:.1f} s\nout: {self.out[:3000]}\n"
                f"err: {self.err[:3000]}\nsyslog: {log}")


class Forwarding:
    """env: what the forwarder has besides PATH and HOME."""

    def __init__(self, directory, program, env=None):
        self.dir, self.program = pathlib.Path(directory), program
        self.dir.mkdir(mode=0o700, parents=True)
        self.spool, self.conf = self.dir / "spool", self.dir / "telemetry.conf"
        self.env = {"PATH": "/usr/bin:/bin", "HOME": str(self.dir), "TZ": "UTC", **SANITIZERS, **(env or {})}
        self.sinks, self.added = [], 0
        self.processes = []
        self.syslog = Syslog(self.dir / "dev", "forward")
        self.configure()

    def close(self):
        """Ends what was started and not finished."""
        for process in self.processes:
            if process.poll() is None:
                process.kill()
                process.communicate()
        self.syslog.close()

    def configure(self, *sinks, linger="0", more=""):
        """more: sections as they are written."""
        self.sinks = list(sinks)
        sections = "".join(sink.text() for sink in sinks)
        self.conf.write_text(f"[spool]\ndir = {self.spool}\n[forward]\nlinger = {linger}\n{sections}{more}")

    # ---- the spool -------------------------------------------------------------------------------------

    def queue(self, texts, sinks=None, begin=None):
        """A batch of each text (a gzip'd one is taken as it is) for every sink, or for those named, one a second up to
        now; `begin`: the first one's time."""
        texts = list(texts)
        begin = time.time_ns() - len(texts) * SECOND if begin is None else begin
        names = sinks if sinks is not None else [sink.name for sink in self.sinks]
        for directory in (self.spool, self.spool / "tmp", *(self.spool / name for name in names)):
            directory.mkdir(mode=0o700, exist_ok=True)
        for i, text in enumerate(texts):
            self.added += 1
            data = text if isinstance(text, bytes) else gzip.compress(text.encode(), 1)
            name = f"{begin + i * SECOND:019d}-{HOST}-{os.getpid()}-{self.added:04d}.lp.gz"
            temporary = self.spool / "tmp" / name
            temporary.touch(mode=0o600)
            temporary.write_bytes(data)
            for sink in names:
                os.link(temporary, self.spool / sink / name)
            temporary.unlink()

    def waiting(self, sink):
        """The names of the batches that wait."""
        return sorted(path.name for path in (self.spool / sink).glob("*.lp.gz"))

    def bad(self, sink):
        """The text of what lies in bad/ of this sink."""
        return "".join(gzip.decompress(path.read_bytes()).decode("utf-8", "surrogateescape")
                       for path in sorted((self.spool / "bad").glob(f"{sink}-*")))

    def ledger(self, sink):
        """{key: value}, numbers as such; {} where there is none yet."""
        with contextlib.suppress(FileNotFoundError):
            lines = (self.spool / sink / "state").read_text().splitlines()
            pairs = (each.split("=", 1) for each in lines if "=" in each)
            return {key: int(value) if re.fullmatch("[0-9]+", value) else value for key, value in pairs}
        return {}

    def edit_ledger(self, sink, **values):
        """Sets keys of the ledger, as another time or another process would have left them."""
        ledger = {**self.ledger(sink), **values}
        path = self.spool / sink / "state"
        path.touch(mode=0o600)
        path.write_text("".join(f"{key}={value}\n" for key, value in ledger.items()) + "end\n")

    # ---- the forwarder ---------------------------------------------------------------------------------

    def command(self, *options):
        return [self.program, "--config", self.conf, *options]

    def start(self, *options, env=None, **popen):
        """Begins a run; finish() ends it."""
        popen = {"preexec_fn": self.syslog.enter, **popen}
        process = subprocess.Popen(self.command(*options), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True, errors="surrogateescape",
                                   env={**self.env, **(env or {})}, **popen)
        process.began = time.monotonic()
        self.processes.append(process)
        return process

    def finish(self, process, timeout=RUN_SECONDS):
        try:
            out, err = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGABRT)
            out, err = process.communicate(timeout=10)
            raise AssertionError(f"no end after {timeout} s\nout: {out}\nerr: {err}\n{self.syslog.take()}") from None
        if re.search(REPORTS, err):
            raise AssertionError(err)
        return Run(process.returncode, out, err, self.syslog.take(), time.monotonic() - process.began)

    def run(self, *options, timeout=RUN_SECONDS, **start):
        return self.finish(self.start(*options, **start), timeout)

    def status(self, sink=None):
        """What --status --json says; of one sink where one is named. The status `exit` goes with it."""
        run = self.run("--status", "--json")
        if run.err or run.status not in (0, 3):
            raise AssertionError(run)
        told = json.loads(run.out)
        if sink is None:
            return {**told, "exit": run.status}
        return {**next(each for each in told["sinks"] if each["name"] == sink), "exit": run.status}


# ---- batches -------------------------------------------------------------------------------------------

def line(number, time_ns, measurement="vm_totals"):
    """One as the probe's are, of a key and values of its own."""
    return (f'{measurement},host={HOST},vm=one-{number % 97},vmid={number % 97} cpu={number}.5,number={number}i,'
            f'on={"true" if number % 2 else "false"},state="running {number}" {time_ns}\n')


def batches(count, lines=50, first=0, measurement="vm_totals"):
    """Texts with `lines` lines each; all lines of all texts differ in their keys. first: number of the first line, so
    that two calls need have nothing in common. They are a millisecond apart, the finest that VictoriaMetrics keeps."""
    base = 1_700_000_000 * SECOND
    return ["".join(line(number, base + number * MILLISECOND, measurement) for number in range(start, start + lines))
            for start in range(first, first + count * lines, lines)]


def points(texts):
    """{(measurement, ((tag, value), ...), time): {field: value}}, as Store.points and Influxd.points."""
    found = {}
    for text in texts:
        for each in text.splitlines():
            point = line_protocol.read_line(each)
            key = point.measurement, tuple(point.tags.items()), point.time
            if key in found:
                raise ValueError(f"two points of one key: {each}")
            found[key] = point.fields
    return found
