#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What install.sh says of itself is so: that figures and points arrive is said only of those that this run has brought, and
what is taken out is gone everywhere."""
import time

from harness import main
from install_case import Installing

SHORT = ["--no-telemetryd", "--no-hooks"]


class Verified(Installing):
    """On one host."""

    def silence(self, name):
        """A build whose probe runs, and says nothing."""
        build = self.build(name)
        real = build.with_name(f"{name}-real")
        (build / "vm_monitor").write_text(f'#!/bin/sh\n[ "$1" != --version ] || exec "{real}" --version\n')
        return build

    def test_silent_probe(self):
        """an upgrade to a probe that says nothing ends with status 3, again too, though OpenNebula has keys from before"""
        self.monitor()
        self.assertIn("OpenNebula has our figures of VM 7\n", self.install(*SHORT))
        silent = self.silence("mine")
        for _ in range(2):
            text = self.install(*SHORT, "--wait", "2", builds=[silent], status=3, env={"ONE_TELEMETRY_PAUSE": "0.3"})
            self.assertTrue(self.keys(7))
            self.assertRegex(text, r"\nFAILED  host kvm1: no new figures of our probe in OpenNebula after 2 s")
            self.assertNotIn("has our figures", text)
        text = self.install(*SHORT, builds=[self.build("mine", mark="mended")])
        self.assertIn("ok      host kvm1: OpenNebula has our figures of VM 7\n", text)

    def test_dead_sink(self):
        """a sink that the host can't reach is told of, with its error, though it has stored something before"""
        self.monitor()
        sink, options = self.sink()
        self.assertIn("every sink has stored something (influx)\n", self.install(*SHORT, *options))
        options[1] = f"http://{self.front.address}:9"
        text = self.install(*SHORT, *options, "--no-sink-check", "--wait", "2", status=3)
        self.assertRegex(text, r"\nFAILED  host kvm1: sink influx has stored nothing since: .*[Cc]onnect")
        options[1] = sink.url
        self.assertIn("every sink has stored something (influx)\n", self.install(*SHORT, *options))


class TakenOut(Installing):
    """From two hosts, one of which got the tree by a sync of somebody else's."""
    hosts_of_cloud = ("kvm1", "kvm2")

    def wait_for_keys(self, vm):
        deadline = time.monotonic() + 20
        while not self.keys(vm) and time.monotonic() < deadline:
            time.sleep(0.1)
        self.assertTrue(self.keys(vm))

    def test_other_sync(self):
        """a host that install.sh has not synced itself is found and cleaned too, and keys are gone though agents are slow"""
        before = self.pictures()
        for host in self.hosts_of_cloud:
            self.cloud.hosts[host].agent.begin(vm_monitor=4, host_monitor=60, host_system=60, host_beacon=60, vm_status=60)
        self.install(*SHORT, "--hosts", "kvm1")
        self.cloud.sync("--force", "kvm2")
        self.wait_for_keys(8)
        plan = self.actions(self.install("--uninstall", "--purge", "--dry-run"))
        text = self.install("--uninstall", "--purge")
        self.assertEqual(self.actions(text), plan)
        self.assertEqual((self.keys(7), self.keys(8)), (set(), set()))
        self.assert_same(before)

    def test_stays(self):
        """a host that OpenNebula does not sync keeps our files, which is said, with what OpenNebula said; --purge later"""
        before = self.pictures()
        self.install(*SHORT, "--wait", "0", status=3)
        self.cloud.one("onehost", "offline", "kvm2")
        text = self.install("--uninstall", "--wait", "0", status=3)
        self.assertRegex(text, r"FAILED  host kvm2: still has our files after onehost sync: No hosts are going to be updated")
        self.cloud.one("onehost", "enable", "kvm2")
        self.install("--uninstall", "--purge")
        self.assert_same(before)


if __name__ == "__main__":
    raise SystemExit(main())
