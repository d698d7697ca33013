#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""telemetryd and real guests: by its own collector, and by the probe and forwarder as OpenNebula runs them."""
import json
import os
import re
import signal
import subprocess
import time

from databases import Influxd
from forwarding import Sink
from harness import ROOT, RigCase, args, main
from rig.core import FLEET
from telemetryd import EndpointCase, Events

IDLE, DISK, BUSY = 79, 82, 83
INTERVAL = 1
SLACK = 3  # seconds that a busy machine may take longer
STATES = {"1": "running", "3": "paused"}
# of vm-telemetry and what virsh calls it
SAME = {"cpu_count": "vcpu.current", "memory_max": "balloon.maximum", "memory_used": "balloon.current"}
GROWING = {"cputime": "cpu.time", "disk_read_bytes": "block.0.rd.bytes", "disk_write_bytes": "block.0.wr.bytes",
           "network_rx_bytes": "net.0.rx.bytes", "network_tx_bytes": "net.0.tx.bytes"}
RATES = ("cpu_rate", "memory_rate", "disk_read_rate", "disk_write_rate", "network_rx_rate", "network_tx_rate")

STEPS = re.compile(r"^telemetryd &.*\n(?:(?!```|\.Ed).*\n)+", re.M)  # in a page, pasted into a shell
# The rig's libvirtd is the machine's, and nothing else is: no other endpoint, no configuration, no state.
ALONE = """ip link set lo up; mount -t tmpfs none /run; mkdir /run/libvirt; mount --bind "$0/run/libvirt" /run/libvirt
mount -t tmpfs none /var/tmp; [ ! -d /etc/one ] || mount -t tmpfs none /etc/one; exec bash"""


class Guests(EndpointCase, RigCase):
    """Each test's guests are as it found them at its end."""

    def collecting(self, **sections):
        return self.daemon(collector={"enabled": "yes", "uris": self.rig.uri(), "interval": INTERVAL, "host": "kvm1"},
                           **sections)

    def all_ok(self, daemon, vms=(IDLE, DISK, BUSY), unknown=()):
        """All of them, once all is known of each but these figures."""
        def ok():
            found = daemon.vms()
            return sorted(found) == sorted(vms) and found if all(
                vm["telemetry"] == "ok" and not set(vm["missing"]) - set(unknown) for vm in found.values()) else None
        return self.settles(ok, f"not all ok: {daemon.log_text()}")

    def test_equals_virsh(self):
        """endpoint: vm-telemetry of three guests equals what virsh says"""
        daemon = self.collecting()
        self.rig.frames("one-79", count=20)
        self.all_ok(daemon)
        before = self.rig.domstats()
        count = daemon.json("status")["total_collections"]

        def is_new():
            """Read since: what needs QEMU's monitor, with the disk guest's counters, every monitor_interval."""
            found = daemon.vms()
            new = found[DISK]["disk_read_bytes"] >= int(before["one-82"]["block.0.rd.bytes"])
            return found if new and daemon.json("status")["total_collections"] >= count + 2 else None
        seen = self.settles(is_new, "no new sample", 60)
        after = self.rig.domstats()
        for vm_id, vm in seen.items():
            name = f"one-{vm_id}"
            self.assertEqual(vm["name"], name)
            self.assertEqual(vm["uuid"], self.rig.virsh("domuuid", name).strip())
            self.assertEqual(vm["id"], int(self.rig.virsh("domid", name)))
            self.assertEqual(vm["state"], STATES[after[name]["state.state"]])
            for key, virsh in SAME.items():
                self.assertEqual(vm[key], int(after[name][virsh]), f"{name} {key}")
            for key, virsh in GROWING.items():
                low, high = int(before[name][virsh]), int(after[name][virsh])
                self.assertTrue(low <= vm[key] <= high, f"{name} {key}: {low} {vm[key]} {high}")
            self.assertEqual(vm["missing"], [], name)
        self.assertGreater(seen[BUSY]["cpu_usage_percent"], 20)
        self.assertGreater(seen[DISK]["disk_read_per_sec"], 0)
        self.assertGreater(seen[DISK]["disk_write_bytes"], 0)
        self.assertGreaterEqual(seen[IDLE]["network_rx_bytes"], 20 * 1000)
        self.assertGreater(seen[DISK]["disk_read_rate"], 0)
        for vm in seen.values():
            self.assertTrue(all(-90 <= vm[key] <= 90 for key in RATES), vm)
        self.assertEqual(seen[IDLE]["vm_name"], "web-front")
        self.assert_described(daemon)

    def test_first_steps(self):
        """endpoint: what README, docs/endpoint.md and telemetryd.8 have one paste for a beginning shows the guests"""
        pages = {name: STEPS.findall((ROOT / name).read_text().replace("\\e\n", "\\\n"))
                 for name in ("README.md", "docs/endpoint.md", "share/man/telemetryd.8")}
        for name, steps in pages.items():
            self.assertEqual(len(steps), 1, name)
            environment = {**os.environ, "PATH": f"{args.build.resolve() / 'serve'}:{os.environ['PATH']}"}
            environment.pop("ONE_TELEMETRY_CONF", None)
            got = subprocess.run(["unshare", "-n", "-m", "sh", "-ec", ALONE, self.rig.dir], env=environment, text=True,
                                 input=f"{steps[0]}\nkill %1; wait %1\n", capture_output=True, timeout=60, check=False)
            self.assertEqual(got.returncode, 0, f"{name}: {got.stderr}")
            started, answer = (json.loads(each) for each in got.stdout.strip().replace("}{", "}\n{").splitlines())
            self.assertEqual(started["status"], "started")
            self.assertEqual({vm["vm_id"]: vm["telemetry"] for vm in answer["vms"]},
                             {IDLE: "ok", DISK: "ok", BUSY: "ok"}, f"{name}: {got.stderr}")

    def test_libvirtd_dies(self):
        """endpoint: libvirtd is killed: VMs stay listed as stale, also after gone_after; started: fresh in two intervals"""
        daemon = self.collecting(telemetry={"stale_after": "3s", "gone_after": "10s"})
        before = self.all_ok(daemon)
        self.rig.libvirtd("kill")
        try:
            self.settles(lambda: all(vm["telemetry"] == "stale" for vm in daemon.vms().values()), "not stale")
            stale = daemon.vms()
            self.assertEqual(sorted(stale), sorted(before))
            self.assertGreaterEqual(stale[BUSY]["cputime"], before[BUSY]["cputime"])  # the last known figures
            self.assertEqual(daemon.json("live-vms")["count"], 3)
            told = daemon.json("diagnostic")
            self.assertEqual(told["kvm"]["status"], "error")
            self.assertIn("onnect", told["kvm"]["error"])
            self.assertEqual(told["libvirt"][0]["status"], "error")
            self.assertIn("virsh", told["libvirt"][0]["advice"])
            self.assertEqual(told["hosts"][0]["status"], "error")
            self.assertIn("virsh", told["hosts"][0]["advice"])
            self.assertGreater(daemon.json("status")["total_errors"], 0)
            self.assert_described(daemon)
            with Events(daemon) as events:
                self.assertEqual({vm["telemetry"] for vm in events.until("snapshot")[2]["vms"]}, {"stale"})
            time.sleep(13)
            self.assertEqual({vm_id: vm["telemetry"] for vm_id, vm in daemon.vms().items()}, dict.fromkeys(before, "stale"))
            self.assertNotIn("ended", [event["state"] for event in daemon.json("events")["events"]])
        finally:
            self.rig.libvirtd("start")
        # that returned when virsh was answered for the first time
        self.settles(lambda: all(vm["telemetry"] == "ok" and vm["sample_age_seconds"] <= 2 * INTERVAL
                                 for vm in daemon.vms().values()), "not fresh within two intervals", 2 * INTERVAL + SLACK)
        self.all_ok(daemon)
        self.assertEqual(daemon.json("diagnostic")["kvm"]["status"], "connected")

    def test_libvirtd_freezes(self):
        """endpoint: libvirtd is frozen: other requests are answered, VMs are stale; thawed: fresh again"""
        daemon = self.daemon(collector={"enabled": "yes", "uris": self.rig.uri(), "interval": INTERVAL, "deadline": 2})
        self.all_ok(daemon)
        self.rig.libvirtd("freeze")
        try:
            self.settles(lambda: all(vm["telemetry"] == "stale" for vm in daemon.vms().values()), "not stale")
            self.assertEqual(daemon.json("live-vms")["count"], 3)
        finally:
            self.rig.libvirtd("thaw")
        self.all_ok(daemon)

    def test_guest_is_locked(self):
        """endpoint: a guest that does not answer is locked and has its last figures; the others go on"""
        daemon = self.daemon(collector={"enabled": "yes", "uris": self.rig.uri(), "interval": INTERVAL, "deadline": 2})
        before = self.all_ok(daemon)
        with self.frozen("one-82"):
            locked = self.settles(lambda: (vm := daemon.vms()[DISK])["locked"] and vm, "not locked", 60)
            self.assertGreaterEqual(locked["disk_read_bytes"], before[DISK]["disk_read_bytes"])
            self.assertNotIn("disk_read_bytes", locked["missing"])
            self.assertIn("disk_read_per_sec", locked["missing"])
            self.assertEqual(daemon.vms()[BUSY]["locked"], 0)
            self.assert_described(daemon)
        self.settles(lambda: not daemon.vms()[DISK]["locked"], "still locked", 60)

    def test_guest_ends(self):
        """endpoint: a guest that ends leaves live-vms, stays in monitored-vms, and is back when it starts"""
        daemon = self.collecting()
        self.all_ok(daemon)
        with Events(daemon) as events:
            events.until("sample")
            self.rig.destroy("one-79")
            try:
                self.assertEqual(events.until("ended")[2]["vm_id"], IDLE)
                live = daemon.json("live-vms")
                self.assertEqual([vm["vm_id"] for vm in live["vms"]], [DISK, BUSY])
                self.assertEqual(live["source"], "libvirt")
                monitored = {vm["vm_id"]: vm for vm in daemon.json("monitored-vms")["vms"]}
                self.assertEqual(sorted(monitored), [IDLE, DISK, BUSY])
                self.assertFalse(monitored[IDLE]["live"])
                self.assertEqual(daemon.json("vm-stats/one-79")["metrics"]["cpus"], 1)
                self.settles(lambda: [e["state"] for e in daemon.json(f"events?vm_id={IDLE}")["events"]][:1] == ["ended"],
                             "no event")
            finally:
                self.rig.start("idle", "one-79", **dict((name, more) for _, name, more in FLEET)["one-79"])
        self.all_ok(daemon)

    def test_started_and_stopped(self):
        """endpoint: the collector is started and stopped through the API, and that is kept over a restart and kill -9"""
        daemon = self.daemon(collector={"uris": self.rig.uri(), "interval": INTERVAL})
        self.assertEqual(daemon.vms(), {})
        self.assertFalse(daemon.json("status")["running"])
        self.assertEqual(daemon.post("stop")["status"], "not_running")
        started = daemon.post("start")
        self.assertEqual((started["status"], started["details"]["running"]), ("started", True))
        self.assertEqual(daemon.post("start")["status"], "already_running")
        self.all_ok(daemon)
        self.settles(lambda: daemon.json("history/83?metric=cpu_usage_percent&from=-5m")["series"][0]["points"],
                     "no history")
        points = daemon.json("history/83?metric=cpu_usage_percent&from=-5m")["series"][0]["points"]
        daemon.restart(signal.SIGKILL)
        self.assertTrue(daemon.json("status")["running"])
        self.all_ok(daemon)
        again = daemon.json("history/83?metric=cpu_usage_percent&from=-5m")["series"][0]["points"]
        self.assertEqual(again[:len(points)], points)
        self.assertEqual(daemon.post("stop")["status"], "stopped")
        daemon.restart(signal.SIGKILL)
        self.assertFalse(daemon.json("status")["running"])
        known = daemon.vms()  # from before: what runs is listed, figures are to come
        self.assertEqual(sorted(known), [IDLE, DISK, BUSY])
        self.assertEqual({vm["telemetry"] for vm in known.values()}, {"missing"})
        self.assertEqual(daemon.json("monitored-vms")["count"], 3)

    def test_collector_to_sinks(self):
        """endpoint: what the collector sees goes to our own sinks, as the probe's lines do: every series, each point once"""
        influx = Influxd(self.scratch / "influxd")
        self.cleanup(influx.kill)
        influx.create("one")
        daemon = self.collecting(sink__influx={"type": "influxdb1", "url": influx.url, "database": "one"},
                                 spool={"dir": self.scratch / "spool-collector"},
                                 forward={"program": args.build / "hooks" / "forward", "linger": 1})
        self.all_ok(daemon)

        def count(what, series):
            got = influx.query(f"SELECT count({what}) FROM {series} WHERE host='kvm1'", "one")
            return got[0]["values"][0][1] if got else 0
        self.settles(lambda: count("cputime", "vm_totals") >= 9, "vm_totals did not come", 60)
        for what, series in (("rxbytes", "vm_devices"), ("cputime", "vm_vcpus"), ("vm_name", "vm_info"), ("domains", "host_totals")):
            self.assertGreater(count(what, series), 0, series)
        daemon.post("stop")
        self.settles(lambda: daemon.json("status")["forwarding"]["sinks"][0]["queued_batches"] == 0, "something waits", 60)
        collections = daemon.json("status")["total_collections"]
        self.assertEqual(count("cputime", "vm_totals"), 3 * collections)

    def test_probe_and_forwarder(self):
        """endpoint: fed by the probe and its forwarder the same figures come; with the collector nothing is double"""
        daemon = self.daemon(collector={"uris": self.rig.uri(), "interval": INTERVAL, "host": "kvm1"})
        host = self.host()
        forwarder = host.tree.root / "hooks" / "telemetry" / "forward"
        forwarder.parent.mkdir(parents=True)
        forwarder.write_bytes((args.build / "hooks" / "forward").read_bytes())
        forwarder.chmod(0o755)
        host.configure(f"[spool]\ndir = {host.dir / 'spool'}\n[forward]\nlinger = 0\n" +
                       Sink("td", daemon.url, type="telemetryd").text())
        self.assert_complete(host.cycle())
        first = self.settles(lambda: len(daemon.vms()) == 3 and daemon.vms(), "nothing came")
        self.assertEqual({vm["telemetry"] for vm in first.values()}, {"warming_up"})
        before = self.rig.domstats()
        self.settles(lambda: self.rig.domstats()["one-83"]["cpu.time"] != before["one-83"]["cpu.time"], "no work")
        self.assert_complete(host.cycle(), rates=True)
        found = self.all_ok(daemon, unknown=("id", "cpu_rate", "cpu_per_sec"))
        after = self.rig.domstats()
        self.assertEqual({vm["source"] for vm in found.values()}, {"probes"})
        self.assertEqual(daemon.json("live-vms")["source"], "probes")
        for vm_id, vm in found.items():
            for key, virsh in GROWING.items():
                low, high = int(before[f"one-{vm_id}"][virsh]), int(after[f"one-{vm_id}"][virsh])
                self.assertTrue(low <= vm[key] <= high, f"{vm_id} {key}: {low} {vm[key]} {high}")
        self.assertEqual(found[IDLE]["vm_name"], "web-front")
        self.assertEqual(daemon.json("status")["feed"]["refused_lines"], 0)
        daemon.post("start")
        self.settles(lambda: {vm["source"] for vm in daemon.vms().values()} == {"libvirt"}, "the collector does not speak")
        doubled = daemon.json("status")["feed"]["doubled"]
        self.assert_complete(host.cycle())
        self.settles(lambda: daemon.json("status")["feed"]["doubled"] >= doubled + 3, "the probe was not heard")
        self.assertEqual(sorted(daemon.vms()), [IDLE, DISK, BUSY])
        self.assertEqual({vm["source"] for vm in daemon.vms().values()}, {"libvirt"})


if __name__ == "__main__":
    raise SystemExit(main())
