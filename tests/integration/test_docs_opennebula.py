#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""docs/opennebula.md is true as far as this tree knows: the keys it names are those that the probe sends, its commands do
what it says. (tests/web opens the addresses it gives.) No guests."""
import re
import subprocess

from harness import ROOT, Case, main
import opennebula
import replayed

PAGE = ROOT / "docs" / "opennebula.md"
METRIC = re.compile(r'\bONE\("([A-Z0-9_]+)", (\d), (\w+)\)')
TABLE = re.compile(r"<!-- graphs -->\n(?:\|.*\n){2}((?:\|.*\n)+)")
KEY = re.compile(r"`([A-Z][A-Z0-9_]*)`")
COMMANDS = re.compile(r"<!-- tested -->\n```sh\n(.*?)```", re.S)
ADDRESSES = re.compile(r"<!-- addresses of VM (?P<id>\d+) -->\n```text\n(?P<text>.*?)```", re.S)
# onevm, as far as the page's commands ask it: two VMs; what is appended is kept
ONEVM = r"""#!/bin/sh
case $1 in
list) [ "$*" = "list --list ID --csv --no-header" ] && printf '7\n42\n' ;;
update) [ "$4" = --append ] && cat "$3" >"$(dirname "$0")/vm-$2" ;;
*) exit 1 ;;
esac
"""


class Sunstone(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.page = PAGE.read_text()
        cls.tiers = {key: int(tier) for key, tier, form in METRIC.findall((ROOT / "src/model/metrics.def").read_text())
                     if form != "FLAG"}

    def records(self, detail):
        conf = self.scratch / "telemetry.conf"
        conf.write_text(f"[probe]\ndetail = {detail}\n")
        command = [self.probe(), "--config", conf]
        for recording in replayed.FLEET:
            command += ["--replay", replayed.RECORDED / recording]
        got = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
        self.assertEqual((got.returncode, got.stderr), (0, ""))
        return opennebula.decode(got.stdout)

    def test_graphs(self):
        """the keys of Sunstone's graphs are those of tiers 0 and 1, all of them, and detail = 1 sends them"""
        named = set(KEY.findall(TABLE.search(self.page)[1]))
        self.assertEqual(named, {key for key, tier in self.tiers.items() if tier <= 1})
        rates = {key for key in named if self.tiers[key] == 1}
        self.assertTrue(all(key.endswith("_BW") for key in rates), rates)
        for detail, there in ((1, named), (0, named - rates)):
            for vm, keys in self.records(detail).items():
                sent = {key for key, value in keys.items() if value is not None and key in self.tiers}
                self.assertEqual(sent, there, f"VM {vm}, detail = {detail}")

    def test_keys(self):
        """every key that is named anywhere on the page is one of ours, or said to be OpenNebula's own"""
        foreign = {"STATE", "DISK_SIZE", "SNAPSHOT_SIZE", "VM_MONITORING_EXPIRATION_TIME", "LINK", "CONTEXT"}
        self.assertEqual(set(KEY.findall(self.page)) - set(self.tiers) - foreign, set())

    def test_sections(self):
        """its configurations are such that the programs take, and the limits that it names are those of the table"""
        sections, conf = re.findall(r"```ini\n(.*?)```", self.page, re.S), self.scratch / "sections.conf"
        self.assertGreaterEqual(len(sections), 2)
        dumped = ""
        for each in sections:
            conf.write_text(each)
            got = subprocess.run([self.probe(), "--config", conf, "--dump-config"], capture_output=True, text=True, timeout=30)
            self.assertEqual(got.returncode, 0, got.stderr)
            dumped += got.stdout
        for option, said in (("max_size = 512M", "`max_size`, 512 MiB"), ("max_age = 7d", "`max_age`, 7 days")):
            self.assertIn(option, dumped)
            self.assertIn(said, self.page)

    def test_link(self):
        """the commands give every VM the address that the page says is its"""
        onevm = self.scratch / "onevm"
        onevm.write_text(ONEVM)
        onevm.chmod(0o755)
        given = ADDRESSES.search(self.page)
        commands = COMMANDS.findall(self.page)
        self.assertEqual(len(commands), 1)
        got = subprocess.run(["sh", "-euc", commands[0]], env={"PATH": f"{self.scratch}:/usr/bin:/bin"}, timeout=30,
                             stdin=subprocess.DEVNULL, capture_output=True, text=True)
        self.assertEqual((got.returncode, got.stdout, got.stderr), (0, "", ""))
        for vm in ("7", "42"):
            first = given["text"].split()[0].replace(given["id"], vm)
            self.assertEqual((self.scratch / f"vm-{vm}").read_text(), f'LINK = "{first}"\n')


if __name__ == "__main__":
    raise SystemExit(main())
