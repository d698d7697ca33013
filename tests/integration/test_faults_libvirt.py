#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A libvirtd that is absent, killed, restarted or does not answer, between cycles and in the middle of one."""
import time

from harness import RigCase, main

DEADLINE = 4
LATE = DEADLINE + 5  # seconds; when the probe's guard ends it
REPLACE = "mode = replace"
VMS = (79, 82)
CANNOT_CONNECT = r"libvirt at qemu\+unix:.*: cannot connect: "


class Libvirtd(RigCase):
    fleet = (("idle", "one-79", {}), ("disk", "one-82", {}))

    def setUp(self):
        self.opennebula = self.host(conf=f"deadline = {DEADLINE}")
        self.instead = self.host(conf=f"deadline = {DEADLINE}\n{REPLACE}")
        self.addCleanup(self.mend)

    def mend(self):
        """libvirtd runs and answers for all guests."""
        if self.rig.libvirtd_pid():
            self.rig.libvirtd("thaw")
        for name in ("one-79", "one-82"):
            self.rig.thaw(name)
        self.rig.libvirtd("start")
        self.settle()

    def assert_unavailable(self, reason):
        """beside: nothing is said to OpenNebula, a line to syslog. replace: it fails, with one line for each."""
        run = self.opennebula.cycle()
        self.assert_silent(run)
        self.assert_logged(run, reason)
        self.assertLess(run.seconds, LATE, run)
        run = self.instead.cycle()
        self.assert_silent(run, status=1)
        self.assertRegex(run.err, rf"\Aone-telemetry: {reason}[^\n]*\n\Z", run)
        self.assert_logged(run, reason)
        self.assertLess(run.seconds, LATE, run)

    def assert_works(self):
        """All is well, in both modes; rates come back with the second cycle at the latest."""
        for host in (self.opennebula, self.instead):
            self.assert_complete(host.cycle(), vms=VMS)
        time.sleep(0.5)
        for host in (self.opennebula, self.instead):
            run = host.cycle()
            self.assert_complete(run, rates=True, vms=VMS)
            self.assert_logged(run)

    def test_absent(self):
        """libvirtd stopped: silence beside, failure instead; started again: rates across the gap"""
        self.assert_works()
        self.rig.libvirtd("stop")
        self.assert_unavailable(CANNOT_CONNECT)
        self.assert_unavailable(CANNOT_CONNECT)
        self.rig.libvirtd("start")
        self.settle()
        self.assert_complete(self.opennebula.cycle(), rates=True, vms=VMS)
        self.assert_works()

    def test_killed(self):
        """libvirtd killed between two cycles"""
        self.rig.libvirtd("kill")
        self.assert_unavailable(CANNOT_CONNECT)
        self.rig.libvirtd("start")
        self.settle()
        self.assert_works()

    def test_restarted(self):
        """libvirtd restarted between two cycles: rates as if nothing had been"""
        self.assert_works()
        self.rig.libvirtd("stop")
        self.rig.libvirtd("start")
        self.settle()
        self.assert_complete(self.opennebula.cycle(), rates=True, vms=VMS)

    def test_killed_in_a_collection(self):
        """libvirtd killed while it is asked, over and over: no crash, and what is printed is whole"""
        for pause, host in ((0, self.opennebula), (0.5, self.instead), (1.1, self.opennebula), (1.3, self.instead)):
            with self.subTest(pause=pause):
                self.rig.freeze("one-82")
                begin = time.monotonic()
                process = host.start()
                host.collecting(process)
                time.sleep(pause)
                self.assertIsNone(process.poll(), "it ended before libvirtd was killed")
                self.rig.libvirtd("kill")
                run = host.finish(process, begin)
                self.assertLess(run.seconds, LATE, run)
                if host is self.opennebula:
                    self.assertEqual(run.status, 0, run)
                self.assertEqual(bool(run.out), run.status == 0 and not run.err, run)
                if run.out:
                    self.assertEqual(sorted(run.records()), list(VMS), run)
                for level, text in run.log:
                    self.assertNotIn("ended by signal", text, run)
                self.assertEqual(host.processes(), [])
                self.mend()
        self.assert_works()

    def test_frozen(self):
        """libvirtd that does not answer: an end by the deadline, silence beside, failure instead; then it answers"""
        self.assert_works()
        self.rig.libvirtd("freeze")
        self.assert_unavailable(rf"libvirt at .* gave no list of domains within {DEADLINE}.0 s")
        self.assertEqual(self.opennebula.processes() + self.instead.processes(), [])
        self.rig.libvirtd("thaw")
        self.settle()
        self.assert_complete(self.opennebula.cycle(), rates=True, vms=VMS)
        self.assert_works()

    def test_frozen_in_a_collection(self):
        """libvirtd that stops answering while it is asked: an end by the deadline, and what is printed is whole"""
        with self.frozen("one-82"):
            begin = time.monotonic()
            process = self.opennebula.start()
            self.opennebula.collecting(process)
            time.sleep(0.8)
            self.rig.libvirtd("freeze")
            run = self.opennebula.finish(process, begin)
            self.rig.libvirtd("thaw")
            self.assertEqual(run.status, 0, run)
            self.assertLess(run.seconds, LATE, run)
            if run.out:
                self.assert_complete(run, locked=[82], vms=VMS)
            else:  # it was so slow that libvirtd was frozen before the first answer
                self.assert_logged(run, "gave no (statistics|list of domains) within")
        self.assert_works()

    def test_restarted_with_a_frozen_guest(self):
        """libvirtd restarted while a guest does not answer: the others are complete"""
        with self.frozen("one-82"):
            self.rig.libvirtd("kill")
            self.rig.libvirtd("start")
            self.settle("one-79")
            for _ in range(2):
                run = self.opennebula.cycle()
                self.assertLess(run.seconds, LATE, run)
                self.assert_complete(run, locked=[82], vms=VMS)
        self.assert_works()


if __name__ == "__main__":
    raise SystemExit(main())
