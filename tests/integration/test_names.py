#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""VMs and owners with names that would break a careless writer: real guests, all forms of output."""
import re

import exposition
import line_protocol
from harness import RigCase, main

NAMES = {  # VM: its name, its owner
    60: ('a "quoted" \'name\'', 'o"wner'),
    61: ("back\\slash\\", "\\"),
    62: ("two\nlines\r\nand\ttab", "own\ner"),
    63: ("bracket ] end ] VM = [ ID=\"1\" ]", "]"),
    64: ("größe \u4e2d\u6587 \U0001f600 \u202e\u200b", "Ren\u00e9e"),
    65: ("x" * 300, "\u00e9" * 300),
    66: ("a,b=c d", "comma,equals= space"),
    67: ("<script>alert(1)</script> &amp; ]]>", "${HOME} `id` $(id)"),
    68: (" ", "  spaces  "),
}


class Names(RigCase):
    # Paused, so that nobody need wait until all of them have booted.
    fleet = [("idle", f"one-{vm}", {"vm_name": name, "uname": owner, "paused": True})
             for vm, (name, owner) in NAMES.items()]

    def test_json(self):
        """names with quotes, backslash, newline, ], non-ASCII, 300 characters: as they are in JSON"""
        host = self.host()
        for run in (host.cycle("--format", "json"), host.by_hand("--format", "json")):
            self.assertEqual((run.status, run.json()["count"]), (0, len(NAMES)), run)
            for vm, figures in run.vms().items():
                self.assertEqual((figures["vm_name"], figures["uname"]), NAMES[vm])

    def test_line_protocol(self):
        """the same names in line protocol: each point one line, read back as they are, newlines made spaces"""
        run = self.host().cycle("--format", "line")
        self.assertEqual(run.status, 0, run)
        points = line_protocol.read(run.out)
        infos = {int(point.tags["VMID"]): point.fields for point in points if point.measurement == "vm_info"}
        self.assertEqual(sorted(infos), sorted(NAMES))
        for vm, fields in infos.items():
            for have, want in zip((fields["vm_name"], fields["uname"]), NAMES[vm]):
                self.assertEqual(have, re.sub(r"[\x00-\x1f]", " ", want))
        self.assertEqual(sum(point.measurement == "vm_totals" for point in points), len(NAMES))

    def test_prometheus(self):
        """the same names in Prometheus's text format: labels read back as they are, but control characters"""
        run = self.host().cycle("--format", "prometheus")
        self.assertEqual(run.status, 0, run)
        infos = [dict(series) for series in exposition.read(run.out)["one_vm_info"].series]
        self.assertEqual({int(info["vm_id"]): (info["vm_name"], info["uname"]) for info in infos},
                         {vm: tuple(re.sub(r"[\x00-\x09\x0b-\x1f]", " ", name) for name in names)
                          for vm, names in NAMES.items()})

    def test_records(self):
        """the same names: OpenNebula's records stay well-formed, one of each VM"""
        host = self.host()
        self.assert_complete(host.cycle(), vms=NAMES)
        self.assert_complete(host.cycle(), vms=NAMES)

    def test_state(self):
        """the same names, kept from one run to the next"""
        host = self.host()
        host.cycle()
        text = host.state_file.read_text(encoding="utf-8")
        self.assertEqual(text.count("\nDomain: '"), len(NAMES))
        run = host.by_hand("--replay", str(host.state_file), "--format", "json")
        for vm, figures in run.vms().items():
            self.assertEqual((figures["vm_name"], figures["uname"]), NAMES[vm])


if __name__ == "__main__":
    raise SystemExit(main())
