#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The state probe with real guests: what becomes of them, a libvirtd that is absent, killed or does not answer, and a
guest that moves to another host."""
import time

import test_migration
from harness import RigCase, main
from status_case import SYNC, TIMES, StatusCase, report

DEADLINE = 4
LATE = DEADLINE + 8 + 2  # seconds; the probe's guard ends it, and some more for a busy machine
RUN, OFF, SLEEP = "RUNNING", "POWEROFF", "SUSPENDED"


class Guests(StatusCase, RigCase):
    fleet = (("idle", "one-79", {}), ("idle", "one-82", {}), ("wild", "web", {}))

    def setUp(self):
        self.host_ = self.status_host(self.rig.uri(), f"deadline = {DEADLINE}")
        self.addCleanup(self.mend)

    def mend(self):
        if self.rig.libvirtd_pid():
            self.rig.libvirtd("thaw")
        for name in ("one-79", "one-82"):
            if name in self.rig.active():
                self.rig.thaw(name)
        self.rig.libvirtd("start")
        self.settle()

    def first(self):
        self.assert_told(self.host_.cycle(), (79, RUN), (82, RUN), (-1, RUN), full=True)

    def test_life(self):
        """suspended, resumed, destroyed behind OpenNebula's back, made anew"""
        self.first()
        self.rig.virsh("suspend", "one-79")
        self.assert_told(self.host_.cycle(), (79, SLEEP))
        self.assert_told(self.host_.cycle())
        self.rig.virsh("resume", "one-79")
        self.assert_told(self.host_.cycle(), (79, RUN))
        self.rig.destroy("one-82")
        for missing in range(1, TIMES + 1):
            self.assert_told(self.host_.cycle())
            self.assertEqual(self.host_.database.rows(), {79: (RUN, 0), 82: (RUN, missing)})
        self.assert_told(self.host_.cycle(), (82, OFF))
        self.assert_told(self.host_.cycle())
        self.rig.start("idle", "one-82")
        self.assert_told(self.host_.cycle(), (82, RUN))

    def test_frozen_guest(self):
        """a guest whose QEMU does not answer runs, as far as anybody can say, and holds nothing up"""
        with self.frozen("one-82"):
            self.first()
            self.assert_told(self.host_.cycle())

    def assert_unavailable(self, reason):
        """Asked more often than a VM may be missing, with a full report due."""
        self.host_.database.age(SYNC + 1)
        before = self.host_.database.content()
        for _ in range(TIMES + 2 if "connect" in reason else 2):
            run = self.host_.cycle()
            self.assert_failed(run, reason)
            self.assertLess(run.seconds, LATE, run)
        self.assertEqual(self.host_.database.content(), before)
        self.assertEqual(self.host_.processes(), [])

    def test_absent(self):
        """libvirtd stopped, killed, started again: failures in between, and no VM is powered off"""
        self.first()
        for action in ("stop", "kill"):
            self.rig.libvirtd(action)
            self.assert_unavailable(r"libvirt at qemu\+unix:.*: cannot connect: ")
            self.rig.libvirtd("start")
            self.settle()
            self.first()
            self.assert_told(self.host_.cycle())

    def test_frozen(self):
        """libvirtd that does not answer: a failure by the deadline"""
        self.first()
        self.rig.libvirtd("freeze")
        self.assert_unavailable(rf"libvirt at .* gave no states within {DEADLINE}.0 s")
        self.rig.libvirtd("thaw")
        self.settle()
        self.first()

    def test_killed_meanwhile(self):
        """libvirtd killed at any moment of a run: a whole report or a failure"""
        self.first()
        for pause in (0, 0.02, 0.05, 0.1, 0.2):
            self.host_.database.age(SYNC + 1)
            process = self.host_.start()
            time.sleep(pause)
            self.rig.libvirtd("kill")
            run = self.host_.finish(process)
            if run.status == 0:
                self.assertEqual(sorted(report(run.out)[1]), [(-1, RUN), (79, RUN), (82, RUN)], run)
            else:
                self.assert_failed(run, "libvirt at ")
            self.rig.libvirtd("start")
            self.settle()


class GuestsSanitized(Guests):
    sanitized = True


class Arrival(StatusCase, RigCase):
    """A guest that moves: OpenNebula disregards what a host says of a VM that it has on another."""
    fleet = (("disk", test_migration.NAME, {}),)

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.other = cls.new_rig("other", (("idle", "one-91", {}),))

    def test_live(self):
        """a live migration: running on both hosts meanwhile, then gone from the first after six misses"""
        here, there = self.status_host(self.rig.uri()), self.status_host(self.other.uri())
        vm, move = test_migration.VM, test_migration.Migration
        self.assert_told(here.cycle(), (vm, RUN), full=True)
        self.assert_told(there.cycle(), (91, RUN), full=True)
        told = {vm: []}
        with move.migration(self, self.rig, self.other) as process:
            move.hold_up(self, process, self.other)
            for _ in range(3):
                told[vm] += report(there.cycle().out)[1]
                self.assert_told(here.cycle())
            self.other.thaw(test_migration.NAME)
            while process.poll() is None:
                told[vm] += report(there.cycle().out)[1]
        told[vm] += report(there.cycle().out)[1]
        self.assertEqual(told[vm], [(vm, RUN)])
        for _ in range(TIMES):
            self.assert_told(here.cycle())
        self.assert_told(here.cycle(), (vm, OFF))
        self.assert_told(there.cycle())


if __name__ == "__main__":
    raise SystemExit(main())
