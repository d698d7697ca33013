# SPDX-License-Identifier: Apache-2.0
"""A host with vm_exec on it, and OpenNebula's side of it: the files that its driver leaves, the records of its own probe."""
import base64

from harness import Case, args
from host import Host

DEADLINE = 10
LATE = DEADLINE + 5 + 5  # seconds; when the probe's guard ends it


def record(vm, pid, code="", out=b"", err=b""):
    """What OpenNebula's own probe prints."""
    out, err = (base64.b64encode(text).decode() for text in (out, err))
    return f'VM = [ ID="{vm}", PID="{pid}", STATUS="DONE", RETURN_CODE="{code}", STDOUT="{out}", STDERR="{err}" ]'


class ExecCase(Case):
    """A host with the probe where exec.rb would be, and a directory as /var/run/one."""

    @classmethod
    def probe(cls):
        return (args.asan if cls.sanitized else args.build) / "probes" / "vm_exec"

    def setUp(self):
        super().setUp()
        type(self).hosts += 1
        self.directory = self.scratch / f"run-{self.hosts}"
        self.directory.mkdir()
        self.reports = self.scratch / f"reports-{self.hosts}"
        self.reports.mkdir()
        env = {"ASAN_OPTIONS": f"detect_leaks=1:exitcode=99:log_path={self.reports}/report",
               "LSAN_OPTIONS": f"suppressions={self.suppressions()}:print_suppressions=0",
               "UBSAN_OPTIONS": f"print_stacktrace=1:log_path={self.reports}/report"}
        self.kvm = Host(self.scratch / f"host-{self.hosts}", self.probe(), self.uri(), env=env if self.sanitized else None,
                        period="execution", programs="vm_exec")
        self.addCleanup(self.kvm.close)

    def suppressions(self):
        """libvirt's SSH transport brings in OpenSSL, which keeps a block per thread and lets go of it late."""
        path = self.scratch / "suppressions"
        path.write_text("leak:libcrypto.so\n")
        return path

    def cycle(self, *options, **start):
        run = self.kvm.cycle("--dir", str(self.directory), "--deadline", str(DEADLINE), *options, **start)
        self.assertEqual("".join(path.read_text(errors="replace") for path in self.reports.iterdir()), "", run)
        self.assertLess(run.seconds, LATE, run)
        return run

    def begin(self, vm, content):
        """As OpenNebula's driver notes a command that it has begun."""
        path = self.directory / f"one-{vm}"
        path.write_text(str(content))
        return path

    def assert_said(self, run, out, *patterns, status=0):
        self.assertEqual((run.status, run.out), (status, out + "\n"), run)
        self.assertEqual(run.err, "", run)
        self.assert_logged(run, *patterns)

    def left(self):
        return sorted(path.name for path in self.directory.iterdir() if path.name.startswith("one-"))
