#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Who serves which figure on live guests: /proc, libvirt, or the sample before; what is plugged in is seen at once; a
guest whose /proc can't be read is served by libvirt with the same figures; telemetryd at one second asks QEMU's
monitors now and then."""
import os
import re
import time

import figures
import line_protocol
from databases import Influxd
from explained import explained
from harness import RigCase, args, main
from rig import sandbox
from rig.core import FLEET, MORE
from telemetryd import EndpointCase

IDLE, DISK, BUSY, WIDE = 79, 82, 83, 84
VMS = (IDLE, DISK, BUSY, WIDE)
NOBODY = 65534
MONITOR = 3             # seconds between two readings of the disks, in the test at one second


class Sources(RigCase):
    fleet = FLEET + MORE

    def explain(self, host, **options):
        run = host.by_hand("--explain", **options)
        self.assertEqual(run.status, 0, run)
        return explained(run.out)

    # ---- --explain ------------------------------------------------------------------------------------

    def test_explain(self):
        """--explain of the wide guest: the first cycle, the next, and with libvirt alone"""
        host = self.host()
        first = self.explain(host)
        self.assertEqual(sorted(first), [f"one-{vm}" for vm in VMS])
        wide = first["one-84"]
        served = {figure: served for figure, (_, served, _) in wide.items()}
        for figure, want in (("state.state", "libvirt, bulk call"), ("vcpu.current", "libvirt, bulk call"),
                             ("net.0.rx.bytes", "libvirt, bulk call"), ("net.1.name", "libvirt, bulk call"),
                             ("cpu.time", "/proc"), ("balloon.rss", "/proc"), ("vcpu.0.time", "/proc"),
                             ("vcpu.3.delay", "/proc"), ("block.0.rd.reqs", "libvirt, bulk call"),
                             ("block.1.capacity", "libvirt, bulk call"), ("one.name", "domain's XML"),
                             ("memory_used", "computed")):
            self.assertEqual(served.get(figure), want, f"{figure}: {wide}")
        time.sleep(0.5)  # rates are of readings that are not too close
        second = self.explain(host)
        served = {figure: served for figure, (_, served, _) in second["one-84"].items()}
        for figure, want in (("state.state", "libvirt, bulk call"), ("vcpu.current", "kept"), ("cpu.time", "/proc"),
                             ("net.0.rx.bytes", "/proc"), ("net.1.name", "/proc"), ("net.count", "kept"),
                             ("block.1.rd.reqs", "libvirt, bulk call"), ("block.1.path", "kept"),
                             ("one.name", "domain's XML"), ("cpu_usage_percent", "computed")):
            self.assertEqual(served.get(figure), want, f"{figure}: {second['one-84']}")
        self.assertEqual(second["one-82"]["block.0.rd.reqs"][1], "libvirt, this disk", second["one-82"])
        self.assertEqual(set(first["one-84"]) - set(second["one-84"]), set())
        for figure in ("vcpu.current", "block.1.path", "block.1.name"):
            self.assertEqual(second["one-84"][figure][0], wide[figure][0])
        kept = {figure for vm in second.values() for figure, (_, served, _) in vm.items() if served == "kept"}
        self.assertFalse([figure for figure in kept if figure.endswith((".reqs", ".bytes"))], kept)
        host.configure("sources = libvirt")
        alone = {served for vm in self.explain(host).values() for figure, (_, served, _) in vm.items()
                 if figure != "proc.swap"}
        self.assertEqual(alone, {"libvirt, bulk call", "domain's XML", "computed"})

    def test_explain_refuses(self):
        """--explain with a format, or as OpenNebula calls: a usage error, and no record"""
        host = self.host()
        for status, run in ((2, host.by_hand("--explain", "--format", "json")), (0, host.cycle("--explain"))):
            self.assertEqual((run.status, run.out), (status, ""), run)
            self.assertIn("--explain goes neither with --format", run.err)

    # ---- what changes ---------------------------------------------------------------------------------

    def json_cycle(self, host):
        run = host.cycle("--format", "json")
        self.assertEqual((run.status, run.err), (0, ""), run)
        return run.vms()[WIDE]

    def test_hotplug(self):
        """a disk and a NIC plugged in, a disc put in and taken out: seen in the next cycle, and from then on"""
        host = self.host()
        for _ in range(2):
            before = self.json_cycle(host)
        virsh, name = self.rig.virsh, f"one-{WIDE}"
        image, disc = self.scratch / "plugged.raw", self.scratch / "disc.iso"
        image.write_bytes(b"\0" * (4 << 20))
        disc.write_bytes(b"\0" * (1 << 20))
        interface = self.scratch / "nic.xml"
        interface.write_text("<interface type='ethernet'><mac address='02:00:00:00:00:77'/>"
                             "<target dev='one-84-9' managed='yes'/><model type='ne2k_pci'/><rom enabled='no'/></interface>")

        def disk(vm, target):
            found = [each for each in vm["disks"] if each["name"] == target]
            return found[0] if found else None
        self.assertIsNone(disk(before, "vdc"))
        self.assertEqual(before["disk_count"], 3)
        virsh("attach-disk", name, str(image), "vdc", "--targetbus", "virtio")
        for _ in range(2):
            vm = self.json_cycle(host)
            have = disk(vm, "vdc")
            self.assertEqual((have["path"], have["capacity"], vm["disk_count"]), (str(image), 4 << 20, 4), have)
            self.assertIn("rd_req", have)
        virsh("attach-device", name, str(interface))
        for _ in range(2):
            vm = self.json_cycle(host)
            nic = vm["nics"][-1]
            self.assertEqual((nic["name"], nic["mac"], vm["nic_count"]), ("one-84-9", "02:00:00:00:00:77", 3))
        virsh("change-media", name, "hda", str(disc), "--insert", "--live")
        for _ in range(2):
            self.assertEqual(disk(self.json_cycle(host), "hda")["path"], str(disc))
        virsh("change-media", name, "hda", "--eject", "--live", "--force")
        for _ in range(2):
            have = disk(self.json_cycle(host), "hda")
            self.assertFalse({"path", "capacity", "physical"} & set(have), have)

    def test_idle_disc(self):
        """a CD-ROM with a disc: asked about until it is idle, then with the slow figures; the totals have it"""
        host, name = self.host(), "one-91"
        self.rig.start("idle", name, disc=True)
        try:
            self.read_disc(name, 5)
            cycles = [self.explain(host)[name] for _ in range(3)]
            virsh = self.rig.domstats(name, args=["--block"])[name]
            asked = [{row[-1]: cycle[f"{row}.rd.reqs"] for row in ("block.0", "block.1")} for cycle in cycles]
            self.assertEqual([{row: served for row, (_, served, _) in cycle.items()} for cycle in asked],
                             [dict.fromkeys("01", "libvirt, bulk call")] * 2 +
                             [{"0": "libvirt, this disk", "1": "kept"}])
            self.assertEqual([cycle["1"][0] for cycle in asked], [virsh["block.1.rd.reqs"]] * 3, virsh)
            self.assertGreaterEqual(int(virsh["block.1.rd.reqs"]), 5)
            self.assertGreater(asked[2]["1"][2], asked[2]["0"][2])  # its age says so
            total = sum(int(virsh[f"block.{i}.rd.bytes"]) for i in range(2))
            self.assertEqual(int(cycles[2]["disk_rd_bytes"][0].split()[0]), total, cycles[2])
            self.read_disc(name, 40)
            self.assertEqual(self.explain(host)[name]["block.1.rd.reqs"][:2], (virsh["block.1.rd.reqs"], "kept"))
            fields = [point.fields for point in line_protocol.read(host.by_hand("--format", "line").out)
                      if (point.measurement, point.tags.get("VMID"), point.tags.get("device")) == ("vm_devices", "91", "hda")]
            self.assertEqual([("rd_req" in each, "rd_req_per_sec" in each, "capacity" in each) for each in fields],
                             [(False, False, True)], fields)
            host.configure("slow_interval = 10")
            looks = []
            self.wait_for(lambda: looks.append(self.explain(host)[name]["block.1.rd.reqs"]) or time.sleep(0.3) or
                          looks[-1][1] != "kept", "it is never looked at again", 30)
            self.assertEqual((int(looks[-1][0]), looks[-1][1]),
                             (int(virsh["block.1.rd.reqs"]) + 40, "libvirt, bulk call"))
        finally:
            self.rig.destroy(name)

    def read_disc(self, name, times):
        """Reads as the guest does, which is a boot sector, from its CD-ROM."""
        for _ in range(times):
            self.rig.virsh("qemu-monitor-command", name, "--hmp", "qemu-io -d ide0-0-0 \"aio_read 0 512\"")

    def test_memory(self):
        """setmem: what the guest has now is seen in the next cycle as libvirt has it"""
        host = self.host()
        for _ in range(2):
            self.json_cycle(host)
        name = f"one-{IDLE}"
        self.rig.virsh("setmem", name, "24M", "--live")  # a boot sector's balloon does not move: libvirt says what is
        run = host.cycle("--format", "json")
        want = int(self.rig.domstats(name, args=["--balloon"])[name]["balloon.current"])
        self.assertEqual(run.vms()[IDLE]["memactual"], want)

    def test_vcpus(self):
        """a vCPU plugged in has its times in the next cycle and from then on, as virsh counts them"""
        host, name, path = self.host(), "one-95", self.scratch / "one-95.xml"
        self.rig.start("busy", name, wait=False)
        self.addCleanup(self.rig.destroy, name)
        xml = self.rig.virsh("dumpxml", name)
        path.write_text(re.sub(r"<vcpu placement='static'>1<", "<vcpu placement='static' current='1'>2<", xml))
        self.rig.virsh("destroy", name)
        self.rig.virsh("create", str(path))
        for _ in range(2):
            self.assertEqual(self.vcpus(host), [0])
        self.rig.virsh("setvcpus", name, "2", "--live")
        for _ in range(3):
            self.assertEqual(self.vcpus(host), [0, 1])

    def vcpus(self, host):
        vm = host.cycle("--format", "json").vms()[95]
        self.assertEqual(vm["cpu_count"], len(vm["vcpus"]), vm)
        self.assertEqual(vm["cpu_count"], int(self.rig.domstats("one-95", args=["--vcpu"])["one-95"]["vcpu.current"]))
        for vcpu in vm["vcpus"]:
            self.assertIn("time", vcpu)
            self.assertIn("delay", vcpu)
        return [vcpu["vcpu"] for vcpu in vm["vcpus"]]

    # ---- /proc that can't be read -----------------------------------------------------------------------

    def hiding(self, host, *names):
        """A preexec_fn: as Host's, and /proc shows nothing of these guests' processes."""
        pids = [self.rig.pid(name) for name in names]
        empty = self.scratch / "empty"
        empty.mkdir(exist_ok=True)

        def prepare():
            host.syslog.enter()
            for pid in pids:
                if sandbox.libc.mount(os.fsencode(str(empty)), b"/proc/%d" % pid, None,
                                      sandbox.ctypes.c_ulong(sandbox.MS_BIND), None):
                    raise OSError(f"/proc/{pid} can't be covered")
        return prepare

    def test_hidden_process(self):
        """a guest whose process /proc does not show is served by libvirt, the others by /proc: with the same figures"""
        host = self.host()
        for cycle in range(3):
            before = figures.from_domstats(self.rig.virsh("domstats", "--raw", rw=False))
            table = self.explain(host, preexec_fn=self.hiding(host, f"one-{BUSY}"))
            after = figures.from_domstats(self.rig.virsh("domstats", "--raw", rw=False))
            for vm in VMS:
                want = "libvirt, bulk call" if vm == BUSY else "/proc"
                for figure in ("cpu.time", "vcpu.0.time", "vcpu.0.delay", "balloon.rss"):
                    self.assertEqual(table[f"one-{vm}"][figure][1], want, f"cycle {cycle}, VM {vm}: {figure}")
                low, high = before[vm, "cpu.time"], after[vm, "cpu.time"]
                value = int(table[f"one-{vm}"]["cpu.time"][0].split()[0])
                self.assertTrue(low <= value <= high, f"VM {vm}: {low} {value} {high}")
            read = [{figure for figure, (_, served, _) in table[f"one-{vm}"].items() if served != "computed"}
                    for vm in (BUSY, DISK)]
            self.assertEqual(*read)
        seen = self.explain(host)[f"one-{BUSY}"]["cpu.time"]
        self.assertEqual(seen[1], "libvirt, bulk call")  # that it was not found is remembered

    def test_other_user(self):
        """another user than the guests' processes are of, as OpenNebula's is: every figure is served as root's is"""
        host, state = self.host(), self.scratch / "others-state"

        def nobody():
            host.syslog.enter()
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
        state.mkdir()
        os.chown(state, NOBODY, NOBODY)
        for path in (host.tree.root, *host.tree.root.rglob("*"), *state.parents):
            if path.is_relative_to(self.scratch):
                path.chmod(path.stat().st_mode | (0o755 if path.is_dir() else 0o644))

        def served(**options):
            run = host.by_hand("--explain", "--state-dir", str(state if options else self.scratch / "roots-state"), **options)
            self.assertEqual(run.status, 0, run)
            return {vm: {figure: by for figure, (_, by, _) in figures_.items() if not figure.endswith("_percent")}
                    for vm, figures_ in explained(run.out).items()}
        for _ in range(2):
            table = served(preexec_fn=nobody)
            self.assertEqual(table, served())
            self.assertEqual((table["one-84"]["cpu.time"], table["one-84"]["vcpu.3.delay"]), ("/proc", "/proc"))
        self.assertEqual(table["one-84"]["net.0.rx.bytes"], "/proc")

    def test_all_hidden(self):
        """where /proc shows no guest's process libvirt serves all, and every record is complete"""
        host, names = self.host(), [f"one-{vm}" for vm in VMS]
        for rates in (False, None):
            self.assert_complete(host.cycle(preexec_fn=self.hiding(host, *names)), rates=rates, vms=VMS)


class Fast(EndpointCase, RigCase):
    """telemetryd's collector at one second."""
    fleet = FLEET

    def collecting(self, **sections):
        return self.daemon(collector={"enabled": "yes", "uris": self.rig.uri(), "interval": 1, "host": "kvm1",
                                      "monitor_interval": MONITOR}, **sections)

    def samples(self, daemon, readings):
        """The disk guest's samples until so many readings of its disk are among them."""
        seen = []

        def enough():
            if DISK not in daemon.vms():
                return False
            vm = daemon.json(f"vm-stats/{DISK}")["metrics"]
            if "disk_rd_req" in vm and (not seen or vm["cputime"] != seen[-1]["cputime"]):
                seen.append(vm)
            return len({vm["disk_rd_req"] for vm in seen}) >= readings
        self.settles(enough, f"the disk's counters do not move: {daemon.log_text()}", 120)
        return seen

    def test_rates(self):
        """at one second: the CPU's rates each second, the disks' by readings three seconds apart and right, kept in between"""
        daemon = self.collecting()
        seen = self.samples(daemon, 6)
        readings = [vm for before, vm in zip([{}, *seen], seen) if vm["disk_rd_req"] != before.get("disk_rd_req")]
        self.assertGreater(len(seen), len(readings), "CPU times come oftener than disks' counters")
        for first, second in zip(readings[1:], readings[2:]):  # the very first may have been before there were rates
            requests, rate = second["disk_rd_req"] - first["disk_rd_req"], second["disk_rd_req_per_sec"]
            self.assertGreater(requests, 0)
            seconds = requests / rate  # over which it was taken
            self.assertGreater(seconds, MONITOR - 1, f"{requests} requests, {rate} a second")
            self.assertAlmostEqual(second["disk_rd_bytes_per_sec"] / rate, 4096, delta=5)
        for before, vm in zip(seen, seen[1:]):
            if vm["disk_rd_req"] == before["disk_rd_req"]:  # the same reading
                for key in ("disk_rd_req_per_sec", "disk_rd_bytes_per_sec", "disk_rd_latency_ms"):
                    self.assertEqual(vm.get(key), before.get(key), key)
        for _ in range(2 * MONITOR):
            before = daemon.json("status")["total_collections"]
            self.settles(lambda: daemon.json("status")["total_collections"] > before, "no new sample", 60)
            self.assertEqual(daemon.vms()[DISK]["missing"], [])

    def test_relayed_lines(self):
        """at one second: what is relayed has the disks' figures of each reading once, and CPU times of each sample"""
        influx = Influxd(self.scratch / "influxd")
        self.cleanup(influx.kill)
        influx.create("one")
        daemon = self.collecting(sink__influx={"type": "influxdb1", "url": influx.url, "database": "one"},
                                 spool={"dir": self.scratch / "spool-fast"},
                                 forward={"program": args.build / "hooks" / "forward", "linger": 1})
        self.samples(daemon, 5)
        daemon.post("stop")
        self.settles(lambda: daemon.json("status")["forwarding"]["sinks"][0]["queued_batches"] == 0, "something waits", 60)
        for fields, series, tag in (("disk_rd_req", "vm_totals", ""), ("rd_req", "vm_devices", " AND device='vda'")):
            got = influx.query(f"SELECT {fields} FROM {series} WHERE VMID='{DISK}'{tag}", "one")[0]["values"]
            counters = [value for _, value in got if value is not None]
            self.assertGreaterEqual(len(counters), 4, got)
            self.assertEqual(len(set(counters)), len(counters), f"{fields}: held and written again: {counters}")
        got = influx.query(f"SELECT cputime, disk_rd_req, disk_rd_req_per_sec FROM vm_totals WHERE VMID='{DISK}'", "one")
        rows = [row[1:] for row in got[0]["values"]]
        self.assertTrue(all(cputime is not None for cputime, _, _ in rows), rows)
        self.assertTrue(any(requests is None for _, requests, _ in rows), rows)
        self.assertFalse([row for row in rows if row[1] is None and row[2] is not None], "a held rate was written")


if __name__ == "__main__":
    raise SystemExit(main())
