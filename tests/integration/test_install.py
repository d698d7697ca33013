#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""make install and make uninstall, into a directory: what is put there, what of it systemd runs, and what is left. No
guests; root for the unit's start alone."""
import os
import pwd
import re
import shutil
import socket
import subprocess
import unittest

from harness import ROOT, Case, args, main

REMOTES = "var/lib/one/remotes"
UNITS = "usr/local/lib/systemd/system"
UNIT = f"{UNITS}/one-telemetryd.service"
TIMER = f"{UNITS}/one-telemetry-forward.timer"
# A machine of its own kind, as one is behind make install: the standard port is free, /etc/one is empty or not there.
ALONE = 'ip link set lo up; [ ! -d /etc/one ] || mount -t tmpfs none /etc/one; cd /; exec setpriv --reuid "$0" --clear-groups "$@"'


class Install(Case):
    def make(self, target):
        run = subprocess.run(["make", "-s", "-o", "all", target, f"BUILD={args.build}", f"DESTDIR={self.dest}"], cwd=ROOT,
                             env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual((run.returncode, run.stderr), (0, ""), run)
        return run.stdout

    def found(self):
        return {str(path.relative_to(self.dest)) for path in self.dest.glob("**/*") if not path.is_dir()}

    def test_both(self):
        """every program, page and document is there; afterwards none, but a configuration that was edited"""
        self.dest = self.scratch / "root"
        self.make("install")
        confs = {f"{REMOTES}/etc/im/{tree}-probes.d/telemetry.conf" for tree in ("kvm", "qemu")}
        programs = {*(f"{REMOTES}/hooks/telemetry/{hook}" for hook in ("forward", "vm_event", "vm_status", "vm_exec")),
                    *(f"{REMOTES}/im/{tree}-probes.d/vm/monitor/telemetry" for tree in ("kvm", "qemu"))}
        pages = {f"usr/local/share/man/man{path.suffix[1:]}/{path.name}" for path in (ROOT / "share" / "man").iterdir()}
        docs = {f"usr/local/share/doc/one-telemetry/{path.name}" for path in (ROOT / "docs").glob("*.md")}
        programs |= {"usr/local/sbin/telemetryd", "usr/local/bin/one-telemetry", f"{REMOTES}/hooks/telemetry/one-telemetry"}
        dashboard = {"usr/local/share/one-telemetry/grafana/one-telemetry.json", "usr/local/share/one-telemetry/openapi.json",
                     *(f"{UNITS}/{path.name}" for path in (ROOT / "share" / "systemd").iterdir()),
                     *(f"usr/local/share/one-telemetry/hooks/{path.name}" for path in (ROOT / "hooks" / "templates").iterdir())}
        data = "usr/local/share/one-telemetry"
        programs |= {f"{data}/install.sh", f"{data}/install/chooser.sh", "usr/local/sbin/one-telemetry-install"}
        installer = {f"{data}/telemetry.conf", *(f"{data}/systemd/{path.name}" for path in (ROOT / "share" / "systemd").iterdir()),
                     *(f"{data}/install/{path.name}" for path in (ROOT / "share" / "install").iterdir())}
        self.assertEqual(self.found(), confs | programs | pages | docs | dashboard | installer)
        self.assertTrue(all(os.access(self.dest / path, os.X_OK) for path in programs))
        for path in pages:
            for named in re.findall(r"share/doc/one-telemetry/\S+\.md", (self.dest / path).read_text()):
                self.assertIn(f"usr/local/{named}", docs)
        edited = f"{REMOTES}/etc/im/kvm-probes.d/telemetry.conf"
        with open(self.dest / edited, "a", encoding="utf-8") as conf:
            conf.write("[log]\n")
        self.make("install")  # once more
        self.assertTrue((self.dest / edited).read_text().endswith("[log]\n"))
        said = self.make("uninstall")
        self.assertEqual(self.found(), {edited})
        self.assertEqual(said, f"kept, as it is not the sample: {self.dest / edited}\n")
        for gone in ("hooks/telemetry", "usr/local/share/one-telemetry", "usr/local/share/doc/one-telemetry"):
            self.assertFalse((self.dest / REMOTES / gone).exists() or (self.dest / gone).exists(), gone)
        self.assertEqual(self.make("uninstall"), said)

    def installed_unit(self):
        """Its text; the words of its ExecStart, the program as it is found in the directory."""
        self.dest = self.scratch / f"root-{self._testMethodName}"
        self.make("install")
        text = (self.dest / UNIT).read_text()
        program, *words = re.search(r"^ExecStart=(.*)$", text, re.M)[1].split()
        return text, [f"{self.dest}{program}", *words]

    @unittest.skipUnless(os.geteuid() == 0, "needs root: namespaces of its own")
    def test_unit_starts(self):
        """make install, then systemctl start: the unit's command listens, with no configuration file, as another user"""
        text, words = self.installed_unit()
        self.assertIn("Type=notify", text)
        user = pwd.getpwnam("nobody").pw_uid
        self.scratch.chmod(0o711)
        for above in self.scratch.parents:
            if above.stat().st_mode & 0o001 == 0:
                self.skipTest(f"{above} is closed to other users")
        state = self.scratch / "state"
        state.mkdir(0o700)
        os.chown(state, user, -1)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.bind(str(self.scratch / "notify"))
            os.chmod(self.scratch / "notify", 0o777)
            notify.settimeout(30)
            log = open(self.scratch / "unit.log", "w+", encoding="utf-8")
            self.addCleanup(log.close)
            run = subprocess.Popen(["unshare", "-n", "-m", "sh", "-ec", ALONE, str(user), *words], stderr=log, env={
                "PATH": os.environ["PATH"], "NOTIFY_SOCKET": str(self.scratch / "notify"), "STATE_DIRECTORY": str(state),
                "JOURNAL_STREAM": "1:1"})
            try:
                said = notify.recv(4096).decode()
                self.assertIn("READY=1\nSTATUS=listens on 127.0.0.1 port 4126", said)
                got = subprocess.run(["nsenter", "-t", str(run.pid), "-n", "curl", "-sS", "--fail", "-X", "POST",
                                      "http://127.0.0.1:4126/api/telemetry/start"], capture_output=True, text=True,
                                     timeout=30, check=False)
                self.assertEqual(got.returncode, 0, got.stderr)
            except TimeoutError:
                log.seek(0)
                self.fail(f"it is not ready; exit status {run.poll()}: {log.read()}")
            finally:
                run.terminate()
                run.wait(30)
        self.assertEqual(run.returncode, 0)

    @unittest.skipUnless(shutil.which("systemd-analyze"), "there is no systemd-analyze")
    def test_unit_is_right(self):
        """the units as they are installed have nothing that systemd does not know, and their programs are there"""
        self.installed_unit()
        (self.dest / "bin").mkdir()
        shutil.copy("/bin/kill", self.dest / "bin")  # for ExecReload
        got = subprocess.run(["systemd-analyze", f"--root={self.dest}", "verify", "--recursive-errors=no", "--man=no",
                              f"/{UNIT}", f"/{TIMER}"], capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual((got.returncode, got.stdout + got.stderr), (0, ""))


if __name__ == "__main__":
    raise SystemExit(main())
