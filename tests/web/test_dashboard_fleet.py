#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The dashboard's first view, in Chromium: VMs as cards and as a table."""
import dashboard  # noqa: F401 (where the modules are)
from dashboard import CARD_FIGURES, TABLE_FIGURES, WebCase, byte_rate, percent
from harness import main


class FleetView(WebCase):
    def test_cards(self):
        """dashboard: cards show what the JSON has; nothing is out of place in the browser's console"""
        daemon = self.daemon()
        self.fill(daemon)
        self.page(daemon)
        shown = self.shows(5)
        vms = daemon.vms()
        self.assert_figures(shown, vms, CARD_FIGURES)
        most = max(vm["disk_read_per_sec"] + vm["disk_write_per_sec"] for vm in vms.values())
        self.assertLess(most, 2**20)
        for vm_id, vm in vms.items():
            disk = vm["disk_read_per_sec"] + vm["disk_write_per_sec"]
            self.assertEqual(shown[vm_id]["title"], vm["vm_name"])
            self.assertEqual(shown[vm_id]["figures"]["disk"][0], percent(100 * disk / 2**20), vm_id)
            for text in (byte_rate(disk), f"{vm['name']} · ID {vm_id}", f"{vm['cpu_count']} vCPU · 32.0 MiB · kvm1 · {vm['uname']}"):
                self.assertIn(text, shown[vm_id]["text"])
        self.assertEqual(shown[83]["badge"], "● running")
        self.assertEqual(shown[85]["badge"], "● paused")

    def test_table(self):
        """dashboard: the table shows what the JSON has, and says how it is sorted"""
        daemon = self.daemon()
        self.fill(daemon)
        self.page(daemon, "#/?layout=table&sort=cpu&desc=1")
        self.assert_figures(self.shows(5), daemon.vms(), TABLE_FIGURES)
        self.assertEqual(self.texts('[aria-sort="descending"]'), ["CPU"])


if __name__ == "__main__":
    raise SystemExit(main())
