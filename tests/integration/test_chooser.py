#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""probes/chooser.sh, what stands in the probe's place where hosts are of several kinds: which build it starts, how, and
what it does where none runs. No guests, no root."""
import os
import shutil
import subprocess

from harness import ROOT, Case, main

RUNS = '#!/bin/sh\n[ "$1" = --version ] && { echo 1; exit 0; }\necho "$0: $*: $(cat)" | sed "s|.*/builds/||"\n'
FAILS = '#!/bin/sh\n[ "$1" = --version ] && { echo 1; exit 0; }\necho no libvirt >&2\nexit 1\n'
CANNOT = "#!/bin/sh\necho error while loading shared libraries >&2\nexit 127\n"  # as the loader, before it reads anything


class Chooser(Case):
    def tree(self, builds, machine=None):
        """builds: {name: script}. machine: what they are for."""
        type(self).hosts += 1
        root = self.scratch / f"tree {self.hosts}"
        self.probe = root / "im/kvm-probes.d/vm/monitor/telemetry"
        self.forward = root / "hooks/telemetry/forward"
        self.stead = {name: self.probe.parents[1] / name / "telemetry" for name in ("status", "execution")}
        for path in (self.probe, self.forward, *self.stead.values()):
            path.parent.mkdir(parents=True)
            shutil.copy(ROOT / "probes" / "chooser.sh", path)
            path.chmod(0o755)
        (root / "im/kvm.d").mkdir()
        for name, text in builds.items():
            build = self.forward.parent / "builds" / name
            build.mkdir(parents=True)
            for program in ("vm_monitor", "forward", "vm_status", "vm_exec"):
                (build / program).write_text(text)
                (build / program).chmod(0o755)
            (build / "machine").write_text((machine or os.uname().machine) + "\n")
        tools = root / "bin"
        tools.mkdir()
        (tools / "logger").write_text(f'#!/bin/sh\nprintf "%s\\n" "$*" >>"{root}/log"\n')
        (tools / "logger").chmod(0o755)
        self.log = root / "log"

    def run_it(self, program, *words):
        """From where OpenNebula calls it."""
        run = subprocess.run([program, *words], cwd=self.probe.parents[3] / "kvm.d",
                             env={"PATH": f"{self.forward.parents[2]}/bin:{os.environ['PATH']}"}, input="<xml>",
                             capture_output=True, text=True, timeout=30, check=False)
        return run.returncode, run.stdout, run.stderr

    def test_starts(self):
        """the first build that runs here, with arguments and standard input; one that can't is passed over"""
        self.tree({"a": CANNOT, "b": RUNS, "c": RUNS})
        status, out, _ = self.run_it(self.probe, "kvm", "0", "a host")
        self.assertEqual((status, out), (0, "b/vm_monitor: kvm 0 a host: <xml>\n"))
        status, out, _ = self.run_it(self.forward, "--status")
        self.assertEqual((status, out), (0, "b/forward: --status: <xml>\n"))
        for directory, program in (("status", "vm_status"), ("execution", "vm_exec")):
            for path in (self.stead[directory], f"../kvm-probes.d/vm/monitor/../{directory}/telemetry"):
                self.assertEqual(self.run_it(path, "kvm", "0", "host")[:2], (0, f"b/{program}: kvm 0 host: <xml>\n"))

    def test_fails(self):
        """a build that runs and fails has failed: its status is passed on, and no other is tried"""
        self.tree({"a": FAILS, "b": RUNS})
        self.assertEqual(self.run_it(self.probe, "kvm", "0", "host"), (1, "", "no libvirt\n"))

    def test_none(self):
        """none runs here: called by OpenNebula a line on syslog, nothing printed, success; by hand it says so"""
        for builds, machine in (({}, None), ({"a": CANNOT, "b": CANNOT}, None), ({"a": RUNS}, "pdp11")):
            self.tree(builds, machine)
            status, out, _ = self.run_it(self.probe, "kvm", "0", "host")
            self.assertEqual((status, out), (0, ""))
            self.assertRegex(self.log.read_text(), rf"\A-t one-telemetry .* no build of vm_monitor .*{os.uname().machine}.*\n\Z")
            for words in ((self.probe, "--version"), (self.forward, "--status"), (self.forward,)):
                status, out, err = self.run_it(*words)
                self.assertEqual((status, out), (1, ""))
                self.assertRegex(err, r"one-telemetry: no build of (vm_monitor|forward) .*--build\)\n\Z")

    def test_none_in_their_place(self):
        """none runs in OpenNebula's probes' place: the state probe fails with one line, the execution probe says it on syslog"""
        self.tree({"a": CANNOT})
        status, out, err = self.run_it(self.stead["status"], "kvm", "0", "host")
        self.assertEqual((status, out), (1, ""))
        self.assertRegex(err.splitlines()[-1], r"\Aone-telemetry: no build of vm_status .*--build\)\Z")
        self.assertFalse(self.log.exists())
        self.assertEqual(self.run_it(self.stead["execution"], "kvm", "0", "host")[:2], (0, ""))
        self.assertRegex(self.log.read_text(), r"\A-t one-telemetry .* no build of vm_exec .*\n\Z")


if __name__ == "__main__":
    raise SystemExit(main())
