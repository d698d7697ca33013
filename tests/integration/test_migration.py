#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A guest that moves from one host to another: a recording, and a real live migration between two rigs. It exists on
both hosts for a while; the one where it runs speaks for it."""
import contextlib
import subprocess
import time

from harness import ROOT, RigCase, RigError, main

VM, NAME = 90, "one-90"
LIMIT = 60      # seconds that a migration may take
HOLD = 1.5      # seconds for which the destination's QEMU is held up, so that there is time to look …
LOOKS = 5       # … at least so often
COUNTERS = ("cputime", "disk_rd_req", "disk_read_bytes", "disk_wr_reqs", "disk_write_bytes", "network_rx_bytes")


class Migration(RigCase):
    fleet = (("disk", NAME, {"vm_name": "traveller"}),)

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.other = cls.new_rig("other", (("idle", "one-91", {}),))

    def look(self, host):
        """The guest as this host's probe tells of it, None if it does not."""
        run = host.cycle("--format", "json", host=host.name)
        self.assertEqual((run.status, run.err), (0, ""), run)
        return run.vms().get(VM)

    @contextlib.contextmanager
    def migration(self, source, destination):
        socket = self.scratch / "migration.sock"
        command = ["virsh", "-c", source.uri(True), "migrate", "--live", "--unsafe", "--bandwidth", "1",
                   "--migrateuri", f"unix://{socket}", NAME, destination.uri(True)]
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                              text=True) as process:
            try:
                yield process
                self.assertEqual(process.wait(LIMIT), 0, process.stderr.read())
            finally:
                process.kill()

    def hold_up(self, process, rig):
        """Stops the arriving QEMU as soon as there is one, so that there is time to look."""
        end = time.monotonic() + LIMIT
        while process.poll() is None:
            self.assertLess(time.monotonic(), end, "the migration does not begin")
            with contextlib.suppress(RigError):            # not there yet
                rig.freeze(NAME)
                return
            time.sleep(0.002)
        self.fail("the migration was over before the arriving QEMU could be held up")

    def watch(self, process, rig, here, there):
        """Looks at both hosts in turn until the migration is over, of which the first part is held up.
        Returns [(host, guest or None)] in the order of looking."""
        self.hold_up(process, rig)
        seen, held, until, end = [], True, time.monotonic() + HOLD, time.monotonic() + LIMIT
        while process.poll() is None:
            self.assertLess(time.monotonic(), end, "the migration does not end")
            seen += [(there, self.look(there)), (here, self.look(here))]
            if held and time.monotonic() > until and len(seen) > 2 * LOOKS:
                rig.thaw(NAME)
                held = False
        return seen + [(there, self.look(there)), (here, self.look(here))]

    def test_recorded(self):
        """a guest that arrives, recorded: its new host says nothing of it"""
        recording = ROOT / "tests" / "golden" / "recorded" / "arriving.domstats"
        run = self.host().by_hand("--replay", str(recording), "--format", "json")
        self.assertEqual((run.status, run.err), (0, ""), run)
        self.assertIn("\nDomain: 'one-82'\n", recording.read_text())
        self.assertEqual(sorted(run.vms()), [79, 83, 84, 85])

    def test_live(self):
        """a live migration: never two answers, no counter falls, the new host is silent until the guest runs there"""
        here, there = self.host(self.rig.uri()), self.host(self.other.uri())
        here.name, there.name = "kvm1", "kvm2"
        for _ in range(2):
            self.assertEqual(self.look(here)["state"], "running")
            self.assertIsNone(self.look(there))
            time.sleep(0.3)
        with self.migration(self.rig, self.other) as process:
            seen = self.watch(process, self.other, here, there)

        source = [guest for host, guest in seen if host is here]
        destination = [guest for host, guest in seen if host is there]
        self.check_source(source)
        self.check_destination(destination)
        arrived = False
        for host, guest in seen:
            arrived = arrived or (host is there and guest is not None)
            if arrived and host is here and guest:
                self.assertEqual(guest["state"], "paused", "it runs on both hosts")
        self.settles(there)
        self.assertIsNone(self.look(here))

    def check_source(self, source):
        """Listed until it has left, then no more. A counter is absent at most (libvirtd's own calls lock the guest for
        moments), and never lower than before."""
        self.assertIsNone(source[-1])
        left = source.index(None)
        self.assertGreaterEqual(left, LOOKS, "it was gone before there was time to look")
        self.assertFalse(any(source[left:]), "it came back")
        self.assertLess(sum(guest["locked"] for guest in source[:left]), left / 2)
        for key in COUNTERS:
            values = [guest[key] for guest in source[:left] if key in guest]
            self.assertEqual(values, sorted(values), f"{key} fell")
        for guest in source[:left]:
            self.assertLess(guest.get("disk_rd_req_per_sec", 0), 1000, guest)

    def check_destination(self, destination):
        """Nothing until it runs, then all its figures."""
        self.assertIsNone(destination[0])
        arrived = next((i for i, guest in enumerate(destination) if guest), None)
        self.assertIsNotNone(arrived, "it never arrived")
        self.assertGreaterEqual(arrived, LOOKS, "it arrived before there was time to look")
        for guest in destination[arrived:]:
            self.assertIsNotNone(guest, "it was there and is silent again")
            self.assertEqual(guest["state"], "running", guest)
        first = destination[arrived]
        self.assertEqual(first["vm_name"], "traveller")
        self.assertFalse([key for key in first if key.endswith("_per_sec")], first)

    def settles(self, host):
        """Rates on the new host, of the guest's usual size (73 reads a second)."""
        self.assertIsNotNone(self.look(host))
        time.sleep(1)
        guest = self.look(host)
        self.assertTrue(5 < guest["disk_rd_req_per_sec"] < 500, guest)


if __name__ == "__main__":
    raise SystemExit(main())
