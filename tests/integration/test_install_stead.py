#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""install.sh on a stand-in of OpenNebula: the state probe and the execution probe in the place of OpenNebula's own."""
from harness import ROOT, main
from install_case import REMOTES, Installing

SHORT = ["--no-telemetryd", "--no-hooks"]
TREE = "/var/tmp/one"
STOCK = {"status": "state.rb", "execution": "exec.rb"}
WORDS = ["--replace-status", "--replace-execution"]


class Stead(Installing):
    """On one host."""

    def ours(self, directory, tree="kvm"):
        return f"{REMOTES}/im/{tree}-probes.d/vm/{directory}/telemetry"

    def bits(self):
        """Modes of OpenNebula's own, in both trees and on the host."""
        host = self.cloud.hosts["kvm1"].machine
        return {self.mode(f"{REMOTES}/im/{tree}-probes.d/vm/{directory}/{name}")[:3]
                for tree in ("kvm", "qemu") for directory, name in STOCK.items()} | {
                    self.mode(f"{TREE}/im/kvm-probes.d/vm/{directory}/{name}", host)[:3] for directory, name in STOCK.items()}

    def ran(self):
        host = self.cloud.hosts["kvm1"]
        return {directory: [name for name, *_ in host.cycle(f"vm/{directory}").ran] for directory in STOCK}

    def test_life(self):
        """in the place of state.rb and exec.rb, which stay beside them; again: nothing changes; given back; out"""
        self.monitor()
        before = self.pictures()
        self.install(*SHORT)
        self.assertEqual(self.ran(), {"status": ["state.rb"], "execution": ["exec.rb"]})
        plan = self.actions(self.install(*SHORT, *WORDS, "--dry-run"))
        self.assertEqual(self.bits(), {"755"})
        text = self.install(*SHORT, *WORDS)
        self.assertEqual(self.actions(text), plan)
        self.assertIn("ok      host kvm1: the state probe tells of 1 VMs\n", text)
        self.assertEqual(self.bits(), {"644"})
        self.assertEqual(self.ran(), {"status": ["telemetry"], "execution": ["telemetry"]})
        self.assertEqual(self.cloud.vm(7).state()[0], "ACTIVE")
        self.assertEqual(self.actions(self.install(*SHORT)), [])  # it stays so
        self.install(*SHORT, "--beside", "--replace-execution")
        self.assertEqual(self.ran(), {"status": ["state.rb"], "execution": ["telemetry"]})
        self.install(*SHORT, *WORDS)
        self.install("--uninstall", "--purge")
        self.assert_same(before)
        self.assertEqual(self.ran(), {"status": ["state.rb"], "execution": ["exec.rb"]})

    def test_killed(self):
        """killed at any of its moments: one of the state probes does the work, of the others never both; the next run ends it"""
        self.monitor()
        self.install(*SHORT)
        self.install(*SHORT, *WORDS, "--dry-run")
        for kill_at in range(1, 60):
            self.install(*SHORT, *WORDS, env={"ONE_TELEMETRY_KILL_AT": str(kill_at)}, status=None)
            run = {directory: [self.front.path(path).exists() and self.mode(path).startswith("755") for path in
                               (f"{REMOTES}/im/kvm-probes.d/vm/{directory}/{name}", self.ours(directory))]
                   for directory, name in STOCK.items()}
            self.assertTrue(any(run["status"]), (kill_at, run))
            self.assertFalse(all(run["execution"]), (kill_at, run))
            if self.status == 0:
                break
            self.assertEqual(self.status, -9, kill_at)
        self.assertEqual((self.status, self.bits()), (0, {"644"}))

    def test_fewer_builds(self):
        """from several builds to one, killed at any moment: what stands in the place of OpenNebula's probes can be started"""
        other = self.build("other", machine="aarch64")
        self.install(*SHORT, *WORDS, "--wait", "1", builds=[self.mine, other], status=(0, 3))
        self.assertEqual(self.front.read(self.ours("status")), (ROOT / "probes" / "chooser.sh").read_text())
        for kill_at in range(1, 60):
            self.install(*SHORT, "--wait", "1", env={"ONE_TELEMETRY_KILL_AT": str(kill_at)}, status=None)
            for tree in ("kvm", "qemu"):
                for directory in STOCK:
                    run = self.front.run(self.ours(directory, tree), "--version", user="oneadmin")
                    self.assertEqual(run.returncode, 0, (kill_at, tree, run))
            if self.status in (0, 3):
                break
            self.assertEqual(self.status, -9, kill_at)
        self.assertFalse(self.front.path(f"{REMOTES}/hooks/telemetry/builds").exists())

    def test_cannot_run(self):
        """a host on which the state probe can't run is left as it was, with a word on what it will miss"""
        self.monitor()
        before = self.pictures()["kvm1"]
        (self.mine / "vm_status").write_text("#!/bin/sh\n[ \"$(hostname)\" != kvm1 ] || { echo 'no libsqlite3' >&2; exit 127; }\n"
                                             "echo 'vm_status (one-telemetry) 0.1.0'\n")
        text = self.install(*SHORT, *WORDS, status=(1, 3))
        self.assertIn("LEFT    host kvm1 can't run the probe: vm_status: no libsqlite3", text)
        self.assert_same({"kvm1": before}, {"kvm1": self.pictures()["kvm1"]})


if __name__ == "__main__":
    raise SystemExit(main())
