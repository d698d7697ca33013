#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""NICs that come and go on a live guest, whose Linux lets them: /proc's counters of the devices on the host are filed
under the NICs that are there, and a device that counts the other way round is left to libvirt."""
import re
import time

import figures
from explained import explained
from harness import RigCase, main
from linux_guest import LinuxGuest
from rig.sandbox import BRIDGE
from telemetryd import EndpointCase

VM, NAME = 94, "one-94"
FIRST = f"{NAME}-0"            # the NIC that it has from the start, a tap
FRAME = 700                    # bytes
NIC = """<interface type='{kind}'>{source}<mac address='{mac}'/>{target}<model type='virtio'/><rom enabled='no'/></interface>"""


def tap(device, mac):
    """A NIC's XML, as of OpenNebula's."""
    return NIC.format(kind="bridge", source=f"<source bridge='{BRIDGE}'/>", mac=mac, target=f"<target dev='{device}'/>")


def macvtap(mac):
    return NIC.format(kind="direct", source=f"<source dev='{BRIDGE}' mode='bridge'/>", mac=mac, target="")


class NicCase(RigCase):
    fleet = [("linux", NAME, {})]

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.guest = LinuxGuest(cls.rig, NAME)
        assert cls.rig.has_agent(NAME), f"libvirt does not reach the agent of {NAME}"

    def tearDown(self):
        for device, mac in self.devices():
            if device != FIRST:
                self.unplug(mac)
        super().tearDown()

    def interfaces(self):
        """[device, type, source, model, MAC] of each, as libvirt has them."""
        return [line.split() for line in self.rig.virsh("domiflist", NAME).strip().splitlines()]

    def devices(self):
        return [(words[0], words[4]) for words in self.interfaces()]

    def plug(self, xml):
        """Its device, once the guest has it as well and has set it up."""
        before, path = set(self.devices()), self.scratch / "nic.xml"
        path.write_text(xml)
        self.rig.virsh("attach-device", NAME, str(path))
        (device, mac), = set(self.devices()) - before
        self.wait_for(lambda: self.inside(mac), f"the guest has no {mac}", 30)
        self.guest.run(f"ip link set {self.inside(mac)} up")
        return device

    def inside(self, mac):
        """The guest's name of it; "": it has none such."""
        return self.guest.run(f"grep -l {mac} /sys/class/net/*/address | cut -d / -f 5; true").strip()

    def unplug(self, mac):
        """Waits until the guest has let it go."""
        kind, = (words[1] for words in self.interfaces() if words[4] == mac)
        self.rig.virsh("detach-interface", NAME, "--type", kind, "--mac", mac)
        self.wait_for(lambda: mac not in [have for _, have in self.devices()], f"{mac} stays plugged in", 60)

    def send(self, mac, count):
        """Frames of the guest's, through this NIC."""
        self.guest.run(f"arp -i {self.inside(mac)} -s 192.0.2.77 02:00:00:00:00:01; "
                       f"ip address add 192.0.2.76/32 dev {self.inside(mac)}; ip route replace 192.0.2.77 dev {self.inside(mac)}; "
                       f"ping -c {count} -i 0.05 -W 1 -s 1000 192.0.2.77; true")


class Probe(NicCase):
    """From cycle to cycle."""

    def cycle(self, host):
        """{device: its row}, all of the host's NICs; what libvirt counted around the cycle bounds each counter."""
        before = figures.from_domstats(self.rig.virsh("domstats", "--raw", rw=False))
        run = host.by_hand("--format", "json")
        after = figures.from_domstats(self.rig.virsh("domstats", "--raw", rw=False))
        self.assertEqual(run.status, 0, run)
        vm = run.vms()[VM]
        self.assertEqual([(nic["name"], nic["mac"]) for nic in vm["nics"]], self.devices())
        self.assertEqual(vm["nic_count"], len(vm["nics"]))
        for nic in vm["nics"]:
            for theirs, ours, _ in figures.rows(figures.NIC):
                low, high = (each[VM, f"net[{nic['name']}].{theirs}"] for each in (before, after))
                self.assertTrue(low <= nic[ours] <= high, f"{nic['name']} {ours}: {nic[ours]}, virsh {low} … {high}")
        return {nic["name"]: nic for nic in vm["nics"]}

    def served(self, host):
        """{device: who has served its counters} of one more cycle."""
        run = host.by_hand("--explain")
        self.assertEqual(run.status, 0, run)
        table = explained(run.out)[NAME]
        return {value: table[figure.replace("name", "rx.bytes")][1] for figure, (value, _, _) in table.items()
                if re.fullmatch(r"net\.\d+\.name", figure)}

    def test_unplugged(self):
        """a NIC is unplugged: gone in the next cycle, the others' counters and rates go on; from then on by /proc"""
        host, mac = self.host(), "02:00:00:00:94:01"
        device = self.plug(tap("one-94-1", mac))
        for _ in range(2):
            before = self.cycle(host)
        self.assertEqual(sorted(before), [FIRST, device])
        self.assertEqual(self.served(host), dict.fromkeys((FIRST, device), "/proc"))
        self.unplug(mac)
        time.sleep(0.5)  # rates are of readings that are not too close
        after = self.cycle(host)
        self.assertEqual(sorted(after), [FIRST])
        self.assertGreaterEqual(after[FIRST]["rxbytes_per_sec"], 0)
        self.assertEqual(self.served(host), {FIRST: "/proc"})

    def test_other_under_the_name(self):
        """a NIC is unplugged, another plugged in under the name of its device: its MAC and counters, and no rate of the two"""
        host, old, new = self.host(), "02:00:00:00:94:02", "02:00:00:00:94:03"
        device = self.plug(tap("one-94-1", old))
        self.rig.frames(NAME, 20, FRAME, nic=1)
        for _ in range(2):
            before = self.cycle(host)
        self.unplug(old)
        self.assertEqual(self.plug(tap("one-94-1", new)), device)
        self.rig.frames(NAME, 60, FRAME, nic=1)
        time.sleep(0.5)
        after = self.cycle(host)
        self.assertEqual((before[device]["mac"], after[device]["mac"]), (old, new))
        self.assertGreaterEqual(after[device]["rxbytes"], 60 * FRAME)
        self.assertNotIn("rxbytes_per_sec", after[device])
        self.assertIn("rxbytes_per_sec", after[FIRST])
        self.rig.frames(NAME, 10, FRAME, nic=1)
        time.sleep(0.5)
        self.assertGreater(self.cycle(host)[device]["rxbytes_per_sec"], 0)
        self.assertEqual(self.served(host), dict.fromkeys((FIRST, device), "/proc"))

    def test_macvtap(self):
        """a NIC that is a macvtap, which counts the other way round: libvirt serves all of the guest's, the right way"""
        host, mac = self.host(), "02:00:00:00:94:04"
        device = self.plug(macvtap(mac))
        for _ in range(2):
            before = self.cycle(host)
        self.send(mac, 5)
        after = self.cycle(host)
        self.assertGreaterEqual(after[device]["txbytes"] - before[device]["txbytes"], 5 * 1042)
        self.assertLess(after[device]["rxbytes"] - before[device]["rxbytes"], 5 * 1042)
        self.assertEqual(self.served(host), dict.fromkeys((FIRST, device), "libvirt, bulk call"))
        self.unplug(mac)
        self.cycle(host)
        self.assertEqual(self.served(host), {FIRST: "/proc"})


class Fast(EndpointCase, NicCase):
    """At one second, of which many have no question to QEMU's monitor."""

    def nics(self, daemon):
        return {nic["name"]: nic for nic in daemon.json(f"vm-stats/{VM}")["nics"]}

    def test_between_readings(self):
        """at one second: a NIC plugged in and one unplugged between two readings of the monitors are seen before the next"""
        daemon = self.daemon(collector={"enabled": "yes", "uris": self.rig.uri(), "interval": 1, "host": "kvm1",
                                        "monitor_interval": 600})
        self.settles(lambda: VM in daemon.vms() and "rxbytes_per_sec" in self.nics(daemon)[FIRST], "no rates", 60)
        mac = "02:00:00:00:94:05"
        device = self.plug(tap("one-94-1", mac))
        self.rig.frames(NAME, 30, FRAME, nic=1)
        self.settles(lambda: self.nics(daemon).get(device, {}).get("rxbytes", 0) >= 30 * FRAME, "it is not seen", 30)
        self.settles(lambda: "rxbytes_per_sec" in self.nics(daemon)[device], "it has no rates", 30)
        self.assertIn("rxbytes_per_sec", self.nics(daemon)[FIRST])
        self.unplug(mac)
        mac = "02:00:00:00:94:06"  # between two samples, or within a few of them
        self.assertEqual(self.plug(tap("one-94-1", mac)), device)
        self.settles(lambda: self.nics(daemon).get(device, {}).get("mac") == mac, "it is taken for the other", 30)
        self.unplug(mac)
        self.settles(lambda: list(self.nics(daemon)) == [FIRST], "it is seen still", 30)
        before = self.nics(daemon)[FIRST]["rxbytes"]
        self.rig.frames(NAME, 10, FRAME)
        self.settles(lambda: self.nics(daemon)[FIRST]["rxbytes"] >= before + 10 * FRAME, "its counters stand still", 30)


if __name__ == "__main__":
    raise SystemExit(main())
