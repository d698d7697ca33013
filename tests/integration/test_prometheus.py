#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What we write for Prometheus: a strict reader, promtool and a real Prometheus take it. No guests and no root needed."""
import functools
import http.server
import json
import pathlib
import subprocess
import tempfile
import threading
import time

import exposition
import replayed
from databases import Prometheus, find
from harness import Case, main

GOOD = '# HELP a_total one\n# TYPE a_total counter\na_total{x="1",y="\\\\ \\" \\n"} 1\na_total{x="2"} 1.5e+300\n'
BAD = {  # what is put in the place of what in GOOD, and what the reader says of it
    "no HELP": ("# HELP a_total one\n", "", "HELP of a new family"),
    "no TYPE": ("# TYPE a_total counter\n", "", "outside its family"),
    "no series": (GOOD[GOOD.index("a_total{"):], "", "has no series"),
    "no series of the family before": ("# HELP", "# HELP b two\n# TYPE b gauge\n# HELP", "has no series"),
    "a TYPE of another": ("TYPE a_total", "TYPE b_total", "HELP of a new family"),
    "an unknown TYPE": ("counter", "count", "HELP of a new family"),
    "a gauge called _total": ("counter", "gauge", "_total"),
    "a counter not called _total": ("a_total", "a", "_total"),
    "a comment": ("# TYPE", "# text\n# TYPE", "HELP of a new family"),
    "a line in HELP": ("one", "o\\ne", None),
    "a wrong escape in HELP": ("one", "o\\e", "HELP of a new family"),
    "an empty line": ('a_total{x="2"}', '\na_total{x="2"}', "no series"),
    "twice the same": ('x="2"', 'y="\\\\ \\" \\n",x="1"', "second time"),
    "a family again": ('a_total{x="2"}', '# HELP b two\n# TYPE b gauge\nb 1\na_total{x="2"}', "outside its family"),
    "a head again": ('a_total{x="2"}', '# HELP b two\n# TYPE b gauge\nb 1\n# HELP a_total one\n', "second time"),
    "a label twice": ('y=', 'x=', "there twice"),
    "an empty label": ('x="2"', 'x=""', "a label expected"),
    "no label": ('{x="2"}', "{}", "outside its family|no series"),
    "a comma at the end": ('x="2"', 'x="2",', "a label expected"),
    "a quote in a label": ('x="2"', 'x="""', "a label expected"),
    "a backslash in a label": ('x="2"', 'x="\\"', "a label expected"),
    "a wrong escape in a label": ('x="2"', 'x="\\t"', "a label expected"),
    "a time stamp": ("} 1\n", "} 1 1795356180000\n", "no series|no finite number"),
    "two blanks": ("} 1\n", "}  1\n", "no series|no finite number"),
    "NaN": ("} 1\n", "} NaN\n", "no finite number"),
    "infinity": ("} 1\n", "} +Inf\n", "no finite number"),
    "a number too large": ("e+300", "e+309", "no finite number"),
    "a sign": ("} 1\n", "} -1.0\n", "below zero"),
    "an open end": ("300\n", "300", "does not end"),
}
RECORDINGS = [("fleet-1.domstats",), replayed.FLEET, (*replayed.FLEET, "locked.domstats"), ("one-kvm-a.txt",),
              ("one-kvm-a.txt", "one-kvm-b.txt"), ("virsh-fleet.txt",), ("virsh-backing.txt",), ("virsh-locked.txt",),
              ("locked.domstats", "unlocked.domstats"), ("fleet-1.domstats", "arriving.domstats")]
READY_SECONDS = 60


def promtool(text):
    """(exit status, what it has to say)"""
    got = subprocess.run([find("promtool"), "check", "metrics"], input=text.encode(), capture_output=True, timeout=60)
    return got.returncode, (got.stdout + got.stderr).decode()


class Format(Case):
    def test_reader(self):
        """the strict reader refuses what it should, each in its words"""
        read = exposition.read(GOOD)["a_total"].series
        self.assertEqual(read, {frozenset({("x", "1"), ("y", '\\ " \n')}): 1, frozenset({("x", "2")}): 1.5e300})
        for name, (part, other, said) in BAD.items():
            text = GOOD.replace(part, other)
            self.assertNotEqual(text, GOOD, name)
            with self.subTest(name):
                if said is None:
                    exposition.read(text)
                else:
                    self.assertRaisesRegex(ValueError, said, exposition.read, text)

    def test_promtool(self):
        """promtool and the reader take what is written of every recording, and promtool refuses a bad name"""
        for recordings in RECORDINGS:
            with self.subTest(recordings):
                text = replayed.output(self.probe(), "prometheus", *recordings)
                self.assertGreater(len(exposition.read(text)), 20)
                self.assertEqual(promtool(text), (0, ""))
        status, said = promtool(text.replace("one_vm_nics", "one_vm_nicsCount_ms"))
        self.assertNotEqual(status, 0)
        self.assertIn("one_vm_nicsCount_ms", said)

    def test_as_json(self):
        """figures are those of the JSON form in base units: seconds, bytes, ratios"""
        text, other = (replayed.output(self.probe(), form, *replayed.FLEET) for form in ("prometheus", "json"))
        families, sample = exposition.read(text), json.loads(other)
        self.assertEqual(exposition.value(families, "one_host_domains", host=sample["host"]), sample["count"])
        for vm in sample["vms"]:
            labels = {"vm_id": str(vm["vm_id"]), "host": vm["host"]}
            value = functools.partial(exposition.value, families, **labels)
            self.assertEqual(value("one_vm_cpu_seconds_total"), vm["cputime"] / 1e9)
            self.assertEqual(value("one_vm_memory_host_bytes"), vm["memory_host"] * 1024)
            self.assertEqual(value("one_vm_network_receive_bytes_total"), vm["network_rx_bytes"])
            self.assertAlmostEqual(value("one_vm_cpu_usage_ratio"), vm["cpu_usage_percent"] / 100)
            for disk in vm["disks"]:
                self.assertEqual(value("one_disk_read_bytes_total", device=disk["name"]), disk.get("rd_bytes"))
            for nic in vm["nics"]:
                texts = {label: nic[label] for label in ("mac", "bridge") if label in nic}
                self.assertEqual(value("one_nic_info", device=nic["name"], **texts), 1)


class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = self.server.text.encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Scraped(Case):
    """A real Prometheus reads the recorded fleet."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.page = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
        cls.page.text = replayed.output(cls.probe(), "prometheus", *replayed.FLEET)
        cls.cleanup(cls.page.server_close)
        cls.cleanup(cls.page.shutdown)
        threading.Thread(target=cls.page.serve_forever, daemon=True).start()
        cls.prometheus = Prometheus(pathlib.Path(tempfile.mkdtemp(dir=cls.scratch)), cls.page.server_address[1])
        cls.cleanup(cls.prometheus.stop)
        deadline = time.monotonic() + READY_SECONDS
        while not cls.prometheus.query("scrape_samples_scraped > 0 or up == 0") and time.monotonic() < deadline:
            time.sleep(0.1)

    def test_every_series(self):
        """Prometheus has every series that was written, with its value"""
        families = exposition.read(self.page.text)
        self.assertEqual([value for _, value in self.prometheus.query("up")], [1])
        have = {}
        for labels, value in self.prometheus.query('{__name__=~"one_.*"}'):
            name = labels["__name__"]
            own = frozenset((key, text) for key, text in labels.items() if key not in ("__name__", "job", "instance"))
            have[name, own] = value
        want = {(name, key): float(value) for name, family in families.items() for key, value in family.series.items()}
        self.assertEqual(have, want)

    def test_joined(self):
        """one_vm_info is joined on vm_id and host, as the manual says"""
        found = self.prometheus.query("one_vm_cpu_core_ratio * on (vm_id, host) group_left (vm_name, uname) one_vm_info")
        self.assertEqual({labels["vm_name"] for labels, _ in found},
                         {"web-front", "postgres-main", "batch-worker", "wide-load", "paused one"})
        busy = [value for labels, value in found if labels["vm_name"] == "batch-worker"]
        self.assertEqual(len(busy), 1)
        self.assertGreater(busy[0], 0.5)
        self.assertEqual({labels["host"] for labels, _ in found}, {"kvm1"})


if __name__ == "__main__":
    raise SystemExit(main())
