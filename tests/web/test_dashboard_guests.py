#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The dashboard, in Chromium, of real guests: telemetryd's own collector asks a libvirtd."""
import web  # noqa: F401 (where the modules are)
from web import CARD_FIGURES, TABLE_FIGURES, WebCase
from harness import RigCase, main

IDLE, DISK, BUSY = 79, 82, 83


class Guests(WebCase, RigCase):
    def collecting(self):
        daemon = self.daemon(collector={"enabled": "yes", "uris": self.rig.uri(), "interval": 1, "host": "kvm1"})
        self.rig.frames("one-79", count=20)
        self.settles(lambda: len(daemon.vms()) == 3 and all(
            vm["telemetry"] == "ok" and not vm["missing"] for vm in daemon.vms().values()), "not all ok")
        return daemon

    def standings(self):
        return {vm_id: seen["standing"] for vm_id, seen in self.shown().items()}

    def test_equals_json(self):
        """dashboard: three guests: cards, table and one VM show what the JSON has"""
        daemon = self.collecting()
        browser = self.page(daemon)
        self.shows(3)
        figure = f"document.querySelector('[data-vm-id=\"{BUSY}\"] [data-figure=cpu]').title"
        before = browser.js(f"return {figure}")
        browser.wait(f"return {figure} !== arguments[0]", before, seconds=10)  # it lives
        daemon.post("stop")  # so that both have the same sample
        browser.evaluate("new Promise((done) => setTimeout(done, 2500))")
        vms = daemon.vms()
        shown = self.shown()
        self.assert_figures(shown, vms, CARD_FIGURES)
        self.assertEqual({vm_id: seen["title"] for vm_id, seen in shown.items()},
                         {IDLE: "web-front", DISK: "postgres-main", BUSY: "batch-worker"})
        self.assertGreater(vms[BUSY]["cpu_usage_percent"], vms[IDLE]["cpu_usage_percent"])
        self.assertGreater(vms[DISK]["disk_read_per_sec"], 0)
        browser.keys("t")
        browser.wait("return document.querySelector('[role=table]')")
        self.assert_figures(self.shows(3), daemon.vms(), TABLE_FIGURES)
        self.assert_accessible()
        browser.js("location.hash = arguments[0]", f"#/vm/{DISK}")
        browser.wait("return document.querySelector('[data-table=disks] td')")
        vm = daemon.json(f"vm-stats/{DISK}")
        reads = browser.js("return [...document.querySelectorAll('[data-table=disks] td:nth-child(2)')]"
                           ".map((n) => Number(n.firstChild.title))")
        self.assertEqual(reads, [disk["rd_bytes_per_sec"] for disk in vm["disks"]])
        self.assert_accessible()

    def test_libvirt_down(self):
        """dashboard: libvirtd is killed: words in place of numbers, health names the cause as the JSON does; and back"""
        daemon = self.collecting()
        browser = self.page(daemon)
        self.shows(3)
        self.rig.libvirtd("kill")
        try:
            self.settles(lambda: set(self.standings().values()) == {"stale"}, "not shown as stale")
            self.assertEqual(self.shown()[BUSY]["figures"]["cpu"][0], "stale")
            self.assert_accessible()
            browser.js("location.hash = '#/health'")
            browser.wait("return document.querySelector('[data-health=libvirt] td .status')?.dataset.status === 'error'")
            told = daemon.json("diagnostic")["libvirt"][0]
            row = self.texts("[data-health=libvirt] td")
            self.assertEqual(row[0], told["uri"])
            self.assertEqual(self.texts("[data-health=libvirt] td.wrong"), [f"{told['error']} – {told['advice']}"])
            self.assert_accessible()
        finally:
            self.rig.libvirtd("start")
            self.settle()
        browser.js("location.hash = '#/'")
        self.settles(lambda: self.standings() == {IDLE: "ok", DISK: "ok", BUSY: "ok"}, "not ok again")

    def test_a_guest_more(self):
        """dashboard: a guest that starts appears by itself, and one that is destroyed goes"""
        daemon = self.collecting()
        self.page(daemon)
        self.shows(3)
        self.rig.start("idle", "one-90", vm_name="newcomer")
        try:
            shown = self.shows(4, seconds=15)
            self.assertEqual(shown[90]["title"], "newcomer")
            self.settles(lambda: self.standings()[90] == "ok", "not ok")
        finally:
            self.rig.destroy("one-90")
        self.assertEqual(sorted(self.shows(3, seconds=15)), [IDLE, DISK, BUSY])


if __name__ == "__main__":
    raise SystemExit(main())
