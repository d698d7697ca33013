#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Guests that do not answer, and guests that come, go and change between two cycles."""
import threading
import time

from harness import RATES, RigCase, main
from rig.core import FLEET, MORE

DEADLINE = 4           # seconds, in these tests' configuration
LATE = DEADLINE + 5    # the probe's own limit on top: when the guard ends it
NEXT_CYCLE_MS = 2000   # the most that the cycle after the one that met a stuck guest may take
APART = 0.5            # seconds, between cycles that shall give rates
VMS = (79, 82, 83, 84)


class Guests(RigCase):
    fleet = FLEET + MORE

    def setUp(self):
        self.opennebula = self.host(conf=f"deadline = {DEADLINE}")

    def two_cycles(self):
        """Until there are rates of all guests."""
        self.assert_complete(self.opennebula.cycle(), rates=False)
        time.sleep(APART)
        self.assert_complete(self.opennebula.cycle(), rates=True)
        time.sleep(APART)

    def assert_sane(self, records):
        """No figure is negative, or more than these guests can possibly do."""
        for vm, keys in records.items():
            for key, value in keys.items():
                if value is None or key in ("DEPLOY_ID", "MEMORY_SOURCE"):
                    continue
                most = 500 if key in ("CPU", "CPU_USAGE", "CPU_STEAL") else 1e8 if key.endswith("_BW") else 1e13
                self.assertTrue(0 <= float(value) <= most, f"VM {vm}: {key}={value}")

    # ---- guests that do not answer --------------------------------------------------------------------

    def meets_frozen(self, *locked):
        """A cycle that is the first to meet these frozen guests, and the one after it."""
        first = self.opennebula.cycle()
        self.assertLess(first.seconds, LATE, first)
        self.assert_complete(first, locked=locked, vms=VMS)
        self.assert_logged(first, *[f"one-{vm} is held by a job or its QEMU does not answer" for vm in locked])
        second = self.opennebula.cycle("--format", "json")
        self.assertEqual((second.status, second.log), (0, []), second)
        figures = second.json()["host_figures"]
        self.assertLess(figures["collect_ms"], NEXT_CYCLE_MS, second)
        self.assertEqual(figures["locked"], len(locked), second)
        for vm, keys in second.vms().items():
            self.assertEqual((keys["locked"], "disk_rd_req" in keys), (1, False) if vm in locked else (0, True), keys)
        return first

    def recovers(self):
        self.assert_complete(self.opennebula.cycle(), vms=VMS)
        time.sleep(APART)
        self.assert_sane(self.assert_complete(self.opennebula.cycle(), rates=True, vms=VMS))

    def test_one(self):
        """a frozen guest: all others are complete by the deadline, it is marked, the next cycle is quick"""
        self.two_cycles()
        with self.frozen("one-82"):
            first = self.meets_frozen(82)
            records = first.records()
            for vm in set(VMS) - {82}:
                self.assertTrue(all(records[vm].get(key) is not None for key in RATES), records[vm])
            stuck = records[82]
            self.assertTrue(all(stuck.get(key) is not None for key in ("CPU", "NETRX", "NETTX_BW")), stuck)
            self.assertIsNone(stuck["DISKRDBYTES_BW"], "a key that became unknown is deleted")
        self.recovers()

    def test_two(self):
        """two guests frozen, as many as there are workers: all others are complete"""
        with self.frozen("one-79", "one-82"):
            self.meets_frozen(79, 82)
        self.recovers()

    def test_single_worker(self):
        """a guest frozen and one worker only: all others are complete"""
        self.opennebula.configure(f"deadline = {DEADLINE}\nworkers = 1")
        with self.frozen("one-79"):
            self.meets_frozen(79)
        self.recovers()

    def test_all(self):
        """every guest frozen: all are listed, marked, and the probe ends in time"""
        names = [f"one-{vm}" for vm in VMS]
        with self.frozen(*names):
            run = self.opennebula.cycle()
            self.assertLess(run.seconds, LATE, run)
            self.assert_complete(run, locked=VMS, vms=VMS)
        self.recovers()

    def test_in_mid_cycle(self):
        """a guest that freezes while it is asked: all others are complete"""
        for pause in (0, 0.02, 0.05):
            begin = time.monotonic()
            process = self.opennebula.start()
            time.sleep(pause)
            with self.frozen("one-82"):
                run = self.opennebula.finish(process, begin)
                self.assertLess(run.seconds, LATE, run)
                locked = [82] if run.records()[82].get("LOCKED") else []
                self.assert_complete(run, locked=locked, vms=VMS)
        self.recovers()

    def test_closed_output(self):
        """a frozen guest, and standard output closed: the records do not go into the connection left open"""
        with self.frozen("one-82"):
            run = self.opennebula.by_hand(preexec_fn=self.opennebula.closing(1))
            self.assertEqual(run.status, 1, run)
            self.assertRegex(run.err, r"(?m)^vm_monitor: cannot write to standard output: Bad file descriptor$")
        self.recovers()

    # ---- guests that come, go and change --------------------------------------------------------------

    def start(self, name, **options):
        """A guest that is just booting: there are figures of it at once."""
        self.rig.start("disk", name, wait=False, **options)
        self.addCleanup(self.end, name)

    def end(self, name):
        if name in self.rig.active():
            self.rig.destroy(name)

    def cycle(self, *with_rates, without=()):
        """A cycle with just these VMs besides the fleet; what concerns the fleet is as ever. Returns the records."""
        time.sleep(APART)
        records = self.assert_complete(self.opennebula.cycle(), vms=(*VMS, *with_rates, *without))
        self.assert_sane(records)
        for vm, keys in records.items():
            have = [key for key in RATES if keys.get(key) is not None]
            self.assertEqual(have, [] if vm in without else list(RATES), f"VM {vm}: {keys}")
        return records

    def test_started_and_ended(self):
        """a guest started, and one ended, between two cycles"""
        self.two_cycles()
        self.start("one-90", vm_name="newcomer")
        self.cycle(without=[90])
        self.cycle(90)
        self.rig.destroy("one-90")
        self.cycle()

    def test_started_again(self):
        """a guest destroyed and started again between two cycles: no rate, no huge figure"""
        self.start("one-90")
        self.two_cycles()
        before = self.cycle(90)[90]
        self.rig.destroy("one-90")
        self.start("one-90")
        after = self.cycle(without=[90])[90]
        self.assertEqual(after["DEPLOY_ID"], before["DEPLOY_ID"])
        deleted = [key for key in RATES if key.endswith("_BW") and key not in after]
        self.assertFalse(deleted, f"rates that became unknown are deleted: {after}")
        self.cycle(90)

    def test_started_again_and_ahead(self):
        """a guest started again whose counters are above those of its former run: no rate all the same"""
        self.start("one-90", paused=True)
        self.two_cycles()
        before = int(self.cycle(90)[90]["CPU_TIME"])
        self.rig.destroy("one-90")
        self.start("one-90")
        self.wait_for(lambda: int(self.rig.domstats("one-90", args=["--cpu-total"])["one-90"]["cpu.time"]) > before,
                      "it does not get to run", 60)
        self.assertGreater(int(self.cycle(without=[90])[90]["CPU_TIME"]), before)

    def test_renamed(self):
        """a guest under another name, with the same uuid, between two cycles"""
        self.start("one-90")
        self.two_cycles()
        before = self.cycle(90)[90]
        self.rig.destroy("one-90")
        self.start("one-91", uuid=before["DEPLOY_ID"], vm_name="renamed")
        self.assertEqual(self.cycle(without=[91])[91]["DEPLOY_ID"], before["DEPLOY_ID"])
        self.cycle(91)
        self.assertEqual(self.opennebula.cycle("--format", "json").vms()[91]["vm_name"], "renamed")

    def test_paused(self):
        """a guest paused by a user: listed, paused, with its last counters and no use of the CPU"""
        self.two_cycles()
        self.rig.virsh("suspend", "one-83")
        try:
            self.cycle()
            time.sleep(1)
            records = self.cycle()
            self.assertLess(float(records[83]["CPU"]), 20, records[83])
            vm = self.opennebula.cycle("--format", "json").vms()[83]
            self.assertEqual((vm["state"], vm["locked"]), ("paused", 0), vm)
        finally:
            self.rig.virsh("resume", "one-83")
        time.sleep(1)
        self.cycle()
        self.assertEqual(self.opennebula.cycle("--format", "json").vms()[83]["state"], "running")

    def test_starting_up(self):
        """a guest that is asked while it comes up: silent until it runs"""
        self.addCleanup(self.end, "one-90")
        starting = threading.Thread(target=self.rig.start, args=("disk", "one-90"), kwargs={"wait": False})
        starting.start()
        seen = []
        while starting.is_alive() or not seen:
            run = self.opennebula.cycle("--format", "json")
            self.assertEqual(run.status, 0, run)
            seen += [vm for number, vm in run.vms().items() if number == 90]
        starting.join(60)
        self.assertEqual((seen[0]["state"], seen[0]["locked"]), ("running", 0), seen[0])

    def test_started_paused(self):
        """a guest that a user started paused: listed, paused"""
        self.two_cycles()
        self.start("one-90", paused=True)
        self.assertEqual(self.opennebula.cycle("--format", "json").vms()[90]["state"], "paused")
        self.cycle(90)
        self.rig.virsh("resume", "one-90")
        self.cycle(90)


if __name__ == "__main__":
    raise SystemExit(main())
