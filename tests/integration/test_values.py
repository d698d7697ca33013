#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every figure against what virsh says of the same guests: the probe is called between two readings of virsh, so each
of its counters lies between theirs, and each of its rates between bounds that follow from four such readings."""
import json
import time
from xml.etree import ElementTree

import figures
import line_protocol
from harness import RigCase, main
from rig.core import FLEET, MORE
from rig.domain import NAMESPACE

IDLE, DISK, BUSY, WIDE, NET = 79, 82, 83, 84, 85
VMS = (IDLE, DISK, BUSY, WIDE, NET)
INTERVAL = 4            # seconds between the two cycles that rates are taken of
HALF_MILLI = 0.0005     # figures are rounded to three decimals
TICKS_NS = 20_000_000   # libvirt has a vCPU's time in user and system mode in steps of 10 ms each, the kernel all of it
# lines of [probe], and how many cycles went before: everything by libvirt; the first cycle; the next, in which libvirt is
# asked for little, and the rest comes from /proc and from the cycle before
WAYS = (("sources = libvirt", 0), ("", 0), ("", 1))
SIZES = (".allocation", ".physical")
RSS_SLACK = 2048        # KiB by which a QEMU's memory may go up and down again between two readings
GROUPS = ("--state", "--cpu-total", "--balloon", "--vcpu", "--interface", "--block")
RATES = {               # OpenNebula's key: what of libvirt's it is the change of, and what one of these makes
    "CPU": ("cpu.time", 100 / 1e9), "NETRX_BW": ("sum net.rx.bytes", 1), "NETTX_BW": ("sum net.tx.bytes", 1),
    "DISKRDBYTES_BW": ("sum block.rd.bytes", 1), "DISKWRBYTES_BW": ("sum block.wr.bytes", 1),
    "DISKRDIOPS_BW": ("sum block.rd.reqs", 1), "DISKWRIOPS_BW": ("sum block.wr.reqs", 1)}


class Reading:
    """What virsh says, and between which times it read that."""

    def __init__(self, rig):
        self.begin = time.monotonic()
        self.text = rig.virsh("domstats", "--raw", *GROUPS, rw=False)
        self.end = time.monotonic()
        self.figures = figures.from_domstats(self.text)


class Values(RigCase):
    fleet = (*FLEET, *MORE, ("net", f"one-{NET}", {"vm_name": "chatty", "uname": "dave", "uid": 7, "gname": "web"}))

    # ---- figures ------------------------------------------------------------------------------------------

    def compare(self, before, have, after, only=None):
        """Each figure that virsh has before and after is there, with a value that can be."""
        count = 0
        for (vm, key), low in before.figures.items():
            high = after.figures.get((vm, key))
            if not figures.is_ours(key) or not isinstance(low, int) or high is None or (only and key not in only):
                continue
            if figures.is_gauge(key):
                slack = RSS_SLACK if key == "balloon.rss" else 0
                low, high = min(low, high) - slack, max(low, high) + slack
            elif key.startswith("vcpu[") and key.endswith("].time"):
                high += TICKS_NS
            self.assertIn((vm, key), have)
            self.assertTrue(low <= have[vm, key] <= high, f"VM {vm} {key}: {have[vm, key]}, virsh {low} … {high}")
            count += 1
        self.assertEqual({vm for vm, _ in have}, set(VMS))
        return count

    def between(self, *options, read, way=WAYS[0]):
        """The probe's figures, and how many of them were compared with virsh's."""
        conf, cycles = way
        host, first = self.host(conf=conf), Reading(self.rig)
        for _ in range(cycles):
            host.cycle()
        before = Reading(self.rig)
        for key, size in first.figures.items():  # is kept from the first cycle, while a guest's image grows
            if cycles and key[1].endswith(SIZES) and key in before.figures:
                before.figures[key] = min(size, before.figures[key])
        run = host.cycle(*options)
        after = Reading(self.rig)
        self.assertEqual((run.status, run.err), (0, ""), run)
        have = read(run)
        return have, before, after, run

    def each_way(self, *options, read):
        for way in WAYS:
            with self.subTest(way=way):
                have, before, after, run = self.between(*options, read=read, way=way)
                self.assertGreater(self.compare(before, have, after), 250)
                yield have, before, run

    def test_json(self):
        """every figure of --format json is what virsh says, whoever serves it"""
        for _ in self.each_way("--format", "json", read=lambda run: figures.from_json(run.json())):
            pass

    def test_line_protocol(self):
        """every figure of --format line is what virsh says, and every line is line protocol"""
        for _, _, run in self.each_way("--format", "line", read=lambda run: figures.from_points(line_protocol.read(run.out))):
            for point in line_protocol.read(run.out):
                self.assertEqual(point.tags["host"], "kvm1")
                self.assertLess(abs(point.time / 1e9 - time.time()), 60)

    def test_domstats(self):
        """every figure of --format domstats is what virsh says, texts too; /proc and libvirt serve the same ones"""
        kinds = []
        for have, before, _ in self.each_way("--format", "domstats", read=lambda run: figures.from_domstats(run.out)):
            paths = {key: value for key, value in before.figures.items() if key[1].endswith(".path")}
            self.assertEqual(len(paths), 6)
            self.assertEqual({key: have.get(key) for key in paths}, paths)
            kinds.append({key for key in have if not key[1].startswith("domain.")})
        self.assertEqual(kinds[0], kinds[1])
        self.assertEqual(kinds[0], kinds[2])

    def test_records(self):
        """every counter of OpenNebula's records is what virsh says, and MEMORY is what the host gives"""
        have, before, after, run = self.between(read=lambda run: figures.from_records(run.records()))
        self.assertEqual(self.compare(before, have, after, figures.in_records()), len(figures.in_records()) * len(VMS))
        for keys in run.records().values():
            self.assertEqual(int(keys["MEMORY"]), int(keys["MEMORY_RSS"]) + int(keys["MEMORY_SWAPPED"]))
            self.assertEqual((keys["MEMORY_USAGE"], keys["MEMORY_SOURCE"]), ("100.00", "balloon"))

    def test_forms_agree(self):
        """one recorded sample: the same figures in every form"""
        host, recording = self.host(), self.scratch / "agree.domstats"
        host.by_hand("--record", str(recording))
        forms = {}
        for form in ("one", "line", "json", "domstats"):
            run = host.by_hand("--replay", str(recording), "--format", form)
            self.assertEqual((run.status, run.err), (0, ""), run)
            forms[form] = run
        want = figures.from_json(forms["json"].json())
        self.assertEqual(figures.from_points(line_protocol.read(forms["line"].out)), want)
        raw = figures.from_domstats(forms["domstats"].out)
        self.assertEqual({key: raw.get(key) for key in want}, want)
        records = figures.from_records(forms["one"].records())
        self.assertEqual(records, {key: want[key] for key in records})

    # ---- what things are called -----------------------------------------------------------------------------

    def test_identity(self):
        """id, uuid, name, state, owner and the rest of OpenNebula's metadata"""
        run = self.host().cycle("--format", "json")
        for number, vm in run.vms().items():
            name = f"one-{number}"
            xml = ElementTree.fromstring(self.rig.virsh("dumpxml", name, rw=False))
            self.assertEqual((vm["name"], vm["host"], vm["state"]), (name, "kvm1", "running"))
            self.assertEqual(vm["uuid"], self.rig.virsh("domuuid", name).strip())
            self.assertEqual(str(vm["id"]), self.rig.virsh("domid", name).strip())
            for key, element in (("vm_name", "name"), *((each, each) for each in (
                    "uname", "uid", "gname", "gid", "opennebula_version", "stime", "deployment_time"))):
                self.assertEqual(vm[key], xml.findtext(f"metadata/{{{NAMESPACE}}}vm/{{{NAMESPACE}}}{element}"), key)
        self.assertEqual([run.vms()[vm]["vm_name"] for vm in VMS],
                         ["web-front", "postgres-main", "batch-worker", "wide-load", "chatty"])
        vm = run.vms()[NET]
        self.assertEqual((vm["uname"], vm["uid"], vm["gname"]), ("dave", "7", "web"))

    def test_devices(self):
        """names of vCPUs, NICs with MAC and bridge, disks with path, as virsh lists them"""
        for number, vm in self.host().cycle("--format", "json").vms().items():
            name = f"one-{number}"
            nics = [line.split() for line in self.rig.virsh("domiflist", name).strip().splitlines()]
            self.assertEqual([(nic["name"], nic["mac"], nic.get("bridge")) for nic in vm["nics"]],
                             [(nic[0], nic[4], nic[2] if nic[1] == "bridge" else None) for nic in nics])
            disks = [line.split() for line in self.rig.virsh("domblklist", name).strip().splitlines()]
            self.assertEqual(sorted([disk["name"], disk.get("path", "-")] for disk in vm["disks"]), sorted(disks))
            self.assertEqual([vcpu["vcpu"] for vcpu in vm["vcpus"]], list(range(4 if number == WIDE else 1)))

    def test_empty_drive(self):
        """a CD-ROM drive without a disc: its name and counters, no path and no capacity"""
        drive = [disk for disk in self.host().cycle("--format", "json").vms()[WIDE]["disks"] if disk["name"] == "hda"]
        self.assertEqual(len(drive), 1)
        self.assertEqual(drive[0].get("rd_req", 0), 0)
        self.assertFalse({"path", "capacity", "physical"} & set(drive[0]), drive)

    def test_wild_guest(self):
        """a guest that is not OpenNebula's is nowhere"""
        uuid = self.rig.virsh("domuuid", "scratchpad").strip()
        host = self.host()
        texts = [host.cycle("--format", form).out for form in ("one", "line", "json", "domstats")]
        for text in (*texts, host.state_file.read_text()):
            self.assertIn("f8ad27f8-5769-57ac-a897-9be149dfa8cf", text)
            self.assertNotIn("scratchpad", text)
            self.assertNotIn(uuid, text)

    # ---- rates ----------------------------------------------------------------------------------------------

    def two_cycles(self, interval=INTERVAL):
        """[reading, cycle, reading, pause, reading, cycle, reading]: the readings and the last run's records; and the
        same as JSON, with what was recorded, of a second host."""
        host, other, recording = self.host(), self.host(), self.scratch / f"cycles-{self.id()}.domstats"
        readings = []
        for cycle in range(2):
            readings.append(Reading(self.rig))
            run = host.cycle()
            readings.append(Reading(self.rig))
            document = other.by_hand("--format", "json", "--record", str(recording)).out
            if cycle == 0:
                self.assert_complete(run, rates=False, vms=VMS)
                time.sleep(interval)
        return readings, self.assert_complete(run, rates=True, vms=VMS), json.loads(document), recording.read_text()

    def bounds(self, readings, vm, key, unit):
        """Between which values the change per second of a counter must be."""
        first, second, third, fourth = (reading.figures[vm, key] for reading in readings)
        longest = readings[3].end - readings[0].begin
        shortest = readings[2].begin - readings[1].end
        return unit * (third - second) / longest, unit * (fourth - first) / shortest

    def test_rates(self):
        """rates of CPU, network and disk: of busy, idle, disk, wide and network guests, as virsh saw them change"""
        readings, records, document, recording = self.two_cycles()
        for vm in VMS:
            for name, (key, unit) in RATES.items():
                low, high = self.bounds(readings, vm, key, unit)
                self.assertTrue(low - 0.01 <= float(records[vm][name]) <= high + 0.01,
                                f"VM {vm} {name}: {records[vm][name]}, by virsh {low:.2f} … {high:.2f}")
        self.check_sizes(records)
        self.check_against_recording(document, recording)

    def check_sizes(self, records):
        """What each kind of guest does, roughly: a core is shared here, so used and wanted CPU count together."""
        figure = {vm: {key: float(keys[key]) for key in (*RATES, "CPU_STEAL")} for vm, keys in records.items()}
        self.assertGreaterEqual(figure[BUSY]["CPU"] + figure[BUSY]["CPU_STEAL"], 80, records[BUSY])
        self.assertLessEqual(figure[BUSY]["CPU"], 130, records[BUSY])
        for vm in (IDLE, WIDE):
            self.assertLess(figure[vm]["CPU"], 15, records[vm])
            self.assertEqual(figure[vm]["DISKRDIOPS_BW"], 0)
        self.assertAlmostEqual(figure[DISK]["DISKRDBYTES_BW"] / figure[DISK]["DISKRDIOPS_BW"], 4096, delta=5)
        self.assertAlmostEqual(figure[DISK]["DISKWRBYTES_BW"] / figure[DISK]["DISKWRIOPS_BW"], 1024, delta=5)
        self.assertGreater(figure[DISK]["DISKRDIOPS_BW"], 10)
        self.assertGreater(figure[NET]["NETTX_BW"], 600)
        self.assertEqual(figure[BUSY]["NETTX_BW"], 0)

    def check_against_recording(self, document, recording):
        """Rates, percentages and latencies are exactly what the recorded counters of both cycles make."""
        parts = recording.split("# one-telemetry domstats 1 ")[1:]
        before, now = (figures.from_domstats(part) for part in parts[-2:])
        checked = 0
        for vm in document["vms"]:
            number = vm["vm_id"]
            spans = {group: self.seconds(before, now, number, group) for group in ("-net", "-kernel", "-disk")}
            for seconds in spans.values():
                self.assertTrue(INTERVAL <= seconds < 10 * INTERVAL, spans)
            seconds = spans["-kernel"]

            def change(key, number=number):
                return now[number, key] - before[number, key]
            want = {"cpu_core_percent": change("cpu.time") / seconds / 1e7,
                    "cpu_usage_percent": min(100, change("cpu.time") / seconds / 1e7 / vm["cpu_count"]),
                    "cpu_steal_percent": min(100, sum(change(f"vcpu[{i}].delay") for i in range(vm["cpu_count"]))
                                             / seconds / 1e7 / vm["cpu_count"])}
            for short, prefix in (("rd", "disk_rd"), ("wr", "disk_wr"), ("fl", "disk_fl")):
                requests, ns = change(f"sum block.{short}.reqs"), change(f"sum block.{short}.times")
                want[f"{prefix}_latency_ms"] = ns / requests / 1e6 if requests else None
            for key, text in (("net.rx.bytes", "network_rx"), ("net.tx.bytes", "network_tx"),
                              ("net.rx.pkts", "net_rxpackets"), ("net.tx.pkts", "net_txpackets"),
                              ("block.rd.bytes", "disk_read"), ("block.wr.bytes", "disk_write"),
                              ("block.rd.reqs", "disk_rd_req"), ("block.wr.reqs", "disk_wr_reqs")):
                want[f"{text}_per_sec"] = change(f"sum {key}") / spans["-disk" if key.startswith("block") else "-net"]
            for key, value in want.items():
                self.check_number(f"VM {number} {key}", vm.get(key), value)
                checked += value is not None
            for disk in vm["disks"]:
                reads = change(f"block[{disk['name']}].rd.reqs")
                self.check_number(f"VM {number} {disk['name']}", disk.get("rd_req_per_sec"), reads / spans["-disk"])
            for vcpu in vm["vcpus"]:
                usage = min(100, change(f"vcpu[{vcpu['vcpu']}].time") / seconds / 1e7)
                self.check_number(f"VM {number} vCPU {vcpu['vcpu']}", vcpu.get("usage_percent"), usage)
        self.assertGreaterEqual(checked, 11 * len(VMS))

    def seconds(self, before, now, number, group):
        """Between the two readings of a group of figures, each by its own time."""
        first, second = (sample.get((number, f"domain.boottime{group}"), sample[number, "domain.boottime"])
                         for sample in (before, now))
        return (second - first) / 1e9

    def check_number(self, what, have, want):
        if want is None:
            self.assertIsNone(have, what)
        else:
            self.assertIsNotNone(have, what)
            self.assertLessEqual(abs(have - want), HALF_MILLI + 1e-6 * abs(want), f"{what}: {have}, not {want}")

    def test_frames(self):
        """frames sent to a guest: its received bytes and packets grow by just these, on this NIC"""
        host, count, size = self.host(), 50, 1000
        before = host.cycle("--format", "json").vms()[WIDE]
        self.rig.frames("one-84", count, size, nic=1)
        after = host.cycle("--format", "json").vms()[WIDE]
        moved = {key: after[key] - before[key] for key in ("network_rx_bytes", "net_rxpackets", "network_tx_bytes")}
        self.assertTrue(count * size <= moved["network_rx_bytes"] < count * size + 2000, moved)
        self.assertTrue(count <= moved["net_rxpackets"] < count + 20, moved)
        self.assertEqual(moved["network_tx_bytes"], 0)
        by_nic = [new["rxbytes"] - old["rxbytes"] for old, new in zip(before["nics"], after["nics"])]
        self.assertLess(by_nic[0], 1000, by_nic)
        self.assertGreaterEqual(by_nic[1], count * size, by_nic)


if __name__ == "__main__":
    raise SystemExit(main())
