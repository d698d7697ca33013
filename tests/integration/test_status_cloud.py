#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The state probe in the place of OpenNebula's own, on the stand-in OpenNebula: what becomes of the VMs there."""
import re

from cloud_case import TREE, CloudCase
from harness import args, main
from status_case import SYNC, TIMES, Database

STATUS = f"{TREE}/im/kvm-probes.d/vm/status"
NODE = "/var/tmp/one_db/node.xml"  # what libvirt's test driver has


class StatusCloud(CloudCase):
    kvm_hosts = ("kvm1",)

    def setUp(self):
        self.host = self.cloud.hosts["kvm1"]
        self.vms = {vm: self.cloud.add_vm(vm) for vm in (31, 32, 33)}
        for vm in self.vms.values():
            self.addCleanup(vm.to, "DONE")
        self.host.machine.write(f"{STATUS}/telemetry", (args.build / "probes" / "vm_status").read_bytes(), 0o755)
        self.host.path(f"{STATUS}/state.rb").chmod(0o644)  # so that it is not run
        self.addCleanup(self.host.path(f"{STATUS}/state.rb").chmod, 0o755)
        self.addCleanup(self.host.path(f"{STATUS}/telemetry").unlink)
        self.database = self.host.path(f"{TREE}/im/status_kvm_{self.host.id}.db")
        self.addCleanup(self.database.unlink, missing_ok=True)

    def states(self):
        return [vm.state()[0] for vm in self.vms.values()]

    def age(self):
        """A full report is due. In a copy: SQLite does not find its way to another machine's files."""
        copy = Database(self.scratch / "copy.db")
        copy.path.write_bytes(self.database.read_bytes())
        copy.age(SYNC + 1)
        self.database.write_bytes(copy.path.read_bytes())

    def cycle(self, status=0):
        cycle = self.host.cycle("vm/status")
        self.assertEqual(cycle.status, status, cycle)
        self.assertEqual([name for name, *_ in cycle.ran], ["telemetry"])
        return cycle

    def lose(self, vm):
        """Its domain is gone, behind OpenNebula's back."""
        node = self.host.path(NODE)
        node.write_text(re.sub(rf"<domain type='test'><name>one-{vm}</name>.*?</domain>", "", node.read_text()))

    def test_lost(self):
        """a VM that is lost is powered off after six cycles, also when a full report comes in between; the others run"""
        self.assertIn("SYNC_STATE=yes", self.cycle().text)
        self.lose(31)
        for missing in range(TIMES):
            if missing == 2:
                self.age()
            self.cycle()
            self.assertEqual(self.states(), ["ACTIVE"] * 3)
        self.cycle()
        self.assertEqual(self.states(), ["POWEROFF", "ACTIVE", "ACTIVE"])

    def test_libvirt_away(self):
        """while libvirt can't be asked nothing is powered off, though a full report is due; monitord has the reason"""
        self.cycle()
        node = self.host.path(NODE)
        text = node.read_text()
        for broken in ("", "<node><domain>"):
            self.age()
            node.write_text(broken)
            for _ in range(TIMES + 2):
                self.cycle(status=-1)
            self.assertRegex(self.cloud.monitord.log[-1],
                             r"\AFailed to monitor VM for host 0: Error executing telemetry: one-telemetry: libvirt at ")
        self.assertEqual(self.states(), ["ACTIVE"] * 3)
        node.write_text(text)
        self.assertIn("SYNC_STATE=yes", self.cycle().text)
        self.assertEqual(self.states(), ["ACTIVE"] * 3)

    def test_start(self):
        """when OpenNebula begins to monitor the host: all VMs; with libvirt away the host is in error, and recovers"""
        self.host.agent.start()
        self.assertEqual(self.states(), ["ACTIVE"] * 3)
        node = self.host.path(NODE)
        text = node.read_text()
        node.write_text("")
        self.assertEqual(self.host.agent.start()["vm/status"].status, -1)
        self.assertEqual(self.host.state(), "ERROR")
        node.write_text(text)
        self.host.agent.start()
        self.host.cycle("host/system")
        self.assertEqual([vm.state() for vm in self.vms.values()], [("ACTIVE", "RUNNING")] * 3)


if __name__ == "__main__":
    raise SystemExit(main())
