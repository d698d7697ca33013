#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""README's first command, but for the installing: the demo ends with the guests' rates as InfluxDB has them and with
telemetryd's answer, and can be run again and stopped."""
import json
import os
import pathlib
import re
import subprocess
import sys

from harness import Case, args, main

DEMO = pathlib.Path(__file__).with_name("demo.py")
ROW = re.compile(r"^  (one-\d+) +([\d.]+) +([\d.]+) +([\d.]+)$", re.M)


def processes_in(directory):
    """Commands of processes that work in the directory, or are told of it."""
    found = []
    for each in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            told = (each / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if str(directory) in told or str(directory) in os.readlink(each / "cwd"):
                found.append(told)
        except OSError:
            continue
    return found


class Demo(Case):
    def run_demo(self, *words):
        got = subprocess.run([sys.executable, DEMO, *words, "--dir", self.directory], capture_output=True, text=True,
                             timeout=300)
        self.assertEqual(got.returncode, 0, got.stdout[-3000:] + got.stderr[-3000:])
        return got.stdout

    def check_answer(self, said):
        """It ends with what curl got, whole and within five seconds: CPU, disk and network figures of the three guests."""
        took = re.search(r"All there is to know of the guests (\d+\.\d) s after its start:", said)
        self.assertLessEqual(float(took[1]), 5.0)
        ends = re.search(r"^  (curl -sS http://\S+ \| python3 -m json\.tool)\n\n(\{.*\})\n\Z", said, re.M | re.S)
        command, answer = ends.groups()
        answer = json.loads(answer)
        again = subprocess.run(["sh", "-c", command], capture_output=True, timeout=30, check=True).stdout
        self.assertEqual([sorted(vm) for vm in json.loads(again)["vms"]], [sorted(vm) for vm in answer["vms"]])
        vms = {vm["name"]: vm for vm in answer["vms"]}
        self.assertEqual((answer["count"], sorted(vms)), (3, ["one-79", "one-82", "one-83"]))
        self.assertGreater(vms["one-83"]["cpu_usage_percent"], 5)
        self.assertGreater(vms["one-82"]["disk_read_per_sec"], 0)
        for vm in vms.values():
            self.assertEqual(vm["telemetry"], "ok")
            self.assertTrue(vm["cputime"] and vm["disk_read_bytes"] and vm["network_rx_bytes"], vm)

    def test_twice(self):
        """make demo, again, and make demo-stop: figures of the three guests, of InfluxDB and telemetryd; nothing is left"""
        self.directory = self.scratch / "demo"
        self.cleanup(subprocess.run, [sys.executable, DEMO, "--stop", "--dir", self.directory], capture_output=True)
        for _ in range(2):
            said = self.run_demo("--build", args.build)
            rates = {name: tuple(map(float, values)) for name, *values in ROW.findall(said)}
            self.assertEqual(sorted(rates), ["one-79", "one-82", "one-83"], said[-3000:])
            self.assertGreater(rates["one-83"][0], 5, rates)      # keeps a core busy, as far as it gets one
            self.assertGreater(rates["one-82"][1], 10000, rates)  # reads its disk, and writes it
            self.assertGreater(rates["one-82"][2], 1000, rates)
            self.assertEqual(rates["one-79"][1:], (0, 0), rates)
            self.check_answer(said)
        self.assertTrue(processes_in(self.directory))
        self.run_demo("--stop")
        self.assertEqual(processes_in(self.directory), [])
        self.assertFalse(self.directory.exists())


if __name__ == "__main__":
    raise SystemExit(main())
