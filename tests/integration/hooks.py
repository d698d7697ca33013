# SPDX-License-Identifier: Apache-2.0
"""OpenNebula's state hook for the tests: the tree it stands in, documents of VMs, and how the hook manager calls it.

    tree = HookTree(case.scratch / "x", args.build, Sink("endpoint", daemon.url, type="telemetryd"))
    run = tree.tell(document(9, "POWEROFF", ended=time.time()))
    assert run.status == 0, run
"""
import base64
import os
import pathlib
import re
import shutil
import subprocess
import xml.etree.ElementTree

from forwarding import SANITIZERS

RECORDED = pathlib.Path(__file__).resolve().parent.parent / "golden" / "recorded"
STATES = {  # (STATE, LCM_STATE, PREV_LCM_STATE it mostly comes from)
    "PENDING": (1, 0, 0), "PROLOG": (3, 1, 0), "RUNNING": (3, 3, 2), "RESUMED": (3, 3, 20), "UNKNOWN": (3, 16, 3),
    "BACK": (3, 3, 16), "SUSPENDED": (5, 0, 6), "POWEROFF": (8, 0, 18), "SHUTDOWN_POWEROFF": (3, 18, 3), "DONE": (6, 0, 11),
}


def document(vm_id, state, began=0, ended=0, changes=None, host="kvm1"):
    """The XML of a VM in that state, after one that OpenNebula 7.4 gave. began, ended: seconds, of the running.
    changes: {path below VM: text, or None to take it out}."""
    root = xml.etree.ElementTree.parse(RECORDED / "vm-hook.xml").getroot()
    number, lcm_state, previous = STATES[state]
    record = "HISTORY_RECORDS/HISTORY"
    edits = {"ID": vm_id, "NAME": f"web-{vm_id}", "UNAME": "alice", "UID": 2, "GNAME": "users", "GID": 100,
             "STATE": number, "LCM_STATE": lcm_state, "PREV_LCM_STATE": previous, "TEMPLATE/OS/UUID": uuid_of(vm_id),
             "DEPLOY_ID": uuid_of(vm_id), f"{record}/HOSTNAME": host, f"{record}/STIME": int(began),
             f"{record}/PSTIME": int(began), f"{record}/RSTIME": int(began), f"{record}/RETIME": int(ended),
             "ETIME": int(ended) if state == "DONE" else 0, **(changes or {})}
    for path, text in edits.items():
        parent = root
        *above, name = path.split("/")
        for each in above:
            found = parent.find(each)
            parent = found if found is not None else xml.etree.ElementTree.SubElement(parent, each)
        element = parent.find(name)
        if text is None:
            if element is not None:
                parent.remove(element)
            continue
        element = element if element is not None else xml.etree.ElementTree.SubElement(parent, name)
        element.text = str(text)
    return xml.etree.ElementTree.tostring(root, encoding="unicode")


def uuid_of(vm_id):
    return f"00000000-0000-4000-8000-{vm_id:012d}"


class Told:
    def __init__(self, status, out, err):
        self.status, self.out, self.err = status, out, err

    def __str__(self):
        return f"exit status {self.status}\nout: {self.out[:3000]}\nerr: {self.err[:3000]}"


class HookTree:
    """A remotes tree on a front-end with the hook and the forwarder in it, a spool and a state directory beside it."""

    def __init__(self, directory, build, *sinks, more=""):
        self.dir = pathlib.Path(directory)
        self.root, self.spool, self.state = self.dir / "remotes", self.dir / "spool", self.dir / "state"
        self.hook = self.root / "hooks" / "telemetry" / "vm_event"
        self.hook.parent.mkdir(parents=True)
        self.dir.chmod(0o700)
        for program in ("vm_event", "forward"):
            shutil.copy(build / "hooks" / program, self.hook.parent / program)
        self.conf = self.root / "etc" / "im" / "kvm-probes.d" / "telemetry.conf"
        self.conf.parent.mkdir(parents=True)
        self.configure(*sinks, more=more)

    def configure(self, *sinks, more=""):
        self.conf.write_text(f"[spool]\ndir = {self.spool}\n[probe]\nstate_dir = {self.state}\n[forward]\nlinger = 0\n"
                             + "".join(sink.text() for sink in sinks) + more)

    def start(self, *words, **options):
        """Popen of the hook as the hook manager starts it, in the directory of oneadmin's."""
        environment = {"PATH": "/usr/bin:/bin", "HOME": str(self.dir), "LANG": "C", **SANITIZERS}
        return subprocess.Popen([self.hook, *words], cwd=self.dir, env=environment, stdin=subprocess.PIPE,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)

    @staticmethod
    def finish(process, given, timeout=60):
        out, err = process.communicate(given, timeout=timeout)
        told = Told(process.returncode, out.decode(errors="surrogateescape"), err.decode(errors="surrogateescape"))
        if re.search("Sanitizer|runtime error", told.err):
            raise AssertionError(told)
        return told

    def give(self, given, *words, **options):
        """given: the bytes on standard input."""
        return self.finish(self.start(*words, **options), given)

    def tell(self, text, *words, **options):
        """The document as a state hook gets it: base64 on one line, without a newline."""
        return self.give(base64.b64encode(text.encode()), *words, **options)

    def waiting(self, sink):
        queue = self.spool / sink
        return sorted(os.listdir(queue)) if queue.is_dir() else []
