# SPDX-License-Identifier: Apache-2.0
"""OpenNebula's side of a probe: the tree it is installed in, how it is called, and what becomes of its output."""
import base64
import os
import pathlib
import re
import shutil
import subprocess
import zlib

DATAGRAM = 65507  # bytes of payload that one UDP datagram carries
CONFIGURATION = pathlib.Path(__file__).resolve().parent.parent / "golden" / "recorded" / "monitor-configuration.xml"
RECORD = re.compile(r'^VM = \[ ID="(\d+)", DEPLOY_ID="([^"]*)", MONITOR="([A-Za-z0-9+/=]*)" \]$')
LINE = re.compile(r'^([A-Z0-9_]+)=(?:"((?:[^"\\]|\\.)*)"|\[\])$')


class Tree:
    """A remotes tree as OpenNebula puts it onto a host, below DIRECTORY, with the probe and maybe the forwarder in it.
    period: the directory below vm that the probe is in."""

    def __init__(self, directory, probe, uri, conf="", name="telemetry", forwarder=None, period="monitor"):
        self.root = pathlib.Path(directory)
        self.configuration = CONFIGURATION
        self.probes = self.root / "im" / "kvm-probes.d" / "vm" / period
        self.probes.mkdir(parents=True, exist_ok=True)
        (self.root / "im" / "kvm.d").mkdir(exist_ok=True)
        self.probe = self.probes / name
        shutil.copy(probe, self.probe)
        self.forwarder = self.root / "hooks" / "telemetry" / "forward"
        if forwarder:
            self.forwarder.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(forwarder, self.forwarder)
        self.kvmrc = self.root / "etc" / "vmm" / "kvm" / "kvmrc"
        self.conf = self.root / "etc" / "im" / "kvm-probes.d" / "telemetry.conf"
        for path, text in ((self.kvmrc, f"export LANG=C\nLIBVIRT_URI={uri}\n"), (self.conf, conf)):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    def start(self, host_id=0, host="localhost", env=None, words=(), **options):
        """Begins a cycle, called as OpenNebula's agent does: arguments (words: before them), working directory,
        environment, XML on stdin. Returns Popen."""
        environment = {"HOME": "/var/lib/one", "LANG": "C", "PATH": os.environ["PATH"], **(env or {})}
        path = self.root / "im" / "kvm.d" / ".." / "kvm-probes.d" / "vm" / self.probes.name / self.probe.name
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **options}
        with open(self.configuration, "rb") as xml:
            return subprocess.Popen([path, *words, "kvm", str(host_id), host], env=environment,
                                    cwd=self.root / "im" / "kvm.d", **{"stdin": xml, **options})

    def run(self, host_id=0, host="localhost", timeout=60, env=None, **options):
        """One cycle, to its end. Returns CompletedProcess."""
        with self.start(host_id, host, env, **options) as process:
            try:
                out, err = process.communicate(timeout=timeout)
            except BaseException:
                process.kill()
                raise
            return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def decode(text):
    """The records of a probe's output as {id: {key: value}}; a deleted key has the value None. Strict: what OpenNebula
    might choke on raises ValueError."""
    vms = {}
    for line in text.splitlines():
        match = RECORD.match(line)
        if not match:
            raise ValueError(f"not a record: {line[:100]}")
        keys = {"DEPLOY_ID": match[2]}
        for pair in base64.b64decode(match[3], validate=True).decode("utf-8").splitlines():
            found = LINE.match(pair)
            if not found or found[1] in keys:
                raise ValueError(f"VM {match[1]}: bad or second line {pair[:100]}")
            keys[found[1]] = None if found[2] is None else re.sub(r"\\(.)", r"\1", found[2])
        if int(match[1]) in vms:
            raise ValueError(f"VM {match[1]} twice")
        vms[int(match[1])] = keys
    return vms


def message_size(text):
    """Bytes of the datagram that OpenNebula's agent would make of this."""
    return len(base64.b64encode(zlib.compress(text.encode(), 9))) + len("MONITOR_VM SUCCESS 0 1795353430 ")
