#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The Grafana dashboard: every name in it is one of our series, every figure has its unit, every query runs on a real
InfluxDB and finds what was recorded. No guests and no root needed."""
import json
import re
import subprocess
import time

from databases import Influxd
from harness import ROOT, Case, args, main
from influxql import Query, Tag, Value
import line_protocol
import replayed

DASHBOARD = ROOT / "share" / "grafana" / "one-telemetry.json"
GRAFANA_OWN = {"timeFilter", "__auto_interval_interval"}
UNITS = {  # of `describe series` and what queries make of them: what a panel may call them
    "": {"none"}, "0 or 1": {"none"}, "count": {"none", "short"}, "%": {"percent"}, "s": {"s"}, "ms": {"ms"},
    "ns": {"ns"}, "bytes": {"bytes"}, "bytes/s": {"Bps"}, "KiB": {"kbytes"}, "KiB/s": {"KiBs"},
    "per s": {"iops", "pps", "cps"}}
UNBOUNDED_PERCENT = {"cpu_core_percent"}  # 200 is two cores
# The guest's report of its memory, which the recorded guests do not give.
GUEST_MEMORY = """  balloon.available=30000
  balloon.unused=9000
  balloon.usable=12000
  balloon.disk_caches=4000
  balloon.swap_in={swap}
  balloon.swap_out={swap}
"""
# What only a live collection has, with its sinks. {n}: counters go on.
LIVE = """host_totals,host=kvm1 collect_ms=12.5,missing=0i 0
host_totals,host=kvm1,sink=influx queued_batches=2i,queued_bytes=2048i,oldest_age_seconds=60i,sent_lines={n}00i,\
retried_requests={n}i,rejected_lines={n}i,dropped_batches={n}i,dropped_bytes={n}0i,last_success_age_seconds=9i 0
"""
# Columns without a value, as there were no flushes to take time.
EMPTY = {("Disk latency", "flush")}
VM = "82"  # of the recorded: reads and writes its disk


def series(build):
    """{measurement: {name: Value or Tag}} of `describe series`."""
    found = {}
    text = subprocess.run([build / "tools" / "describe", "series"], check=True, capture_output=True, text=True).stdout
    for line in text.splitlines():
        measurement, what, name, kind, unit = line.split("\t")
        found.setdefault(measurement, {})[name] = Tag(name) if what == "tag" else Value(kind, unit)
    return found


def walk(value):
    """Every object of the document."""
    if isinstance(value, dict):
        yield value
    for child in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from walk(child)


class DashboardCase(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.board = json.loads(DASHBOARD.read_text())
        cls.series = series(args.build)
        cls.variables = {variable["name"]: variable for variable in cls.board["templating"]["list"]}
        cls.panels = [panel for panel in cls.board["panels"] if panel["type"] != "row"]

    def each_query(self, check):
        """check(panel, target, the query as read) for all, a subtest each."""
        for panel in self.panels:
            for target in panel["targets"]:
                with self.subTest(f"{panel['title']} {target['refId']}"):
                    check(panel, target, Query(target["query"], self.series))


class Names(DashboardCase):
    def test_series(self):
        """describe series names every tag and field that the probe writes, with its kind."""
        kinds = {int: {"counter", "gauge"}, float: {"real"}, str: {"text"}}
        points = line_protocol.read(replayed.lines(self.probe(), *replayed.FLEET))
        points += [line_protocol.read_line(line) for line in LIVE.format(n=1).splitlines()]
        for point in points:
            known = self.series[point.measurement]
            for tag in point.tags:
                self.assertIsInstance(known.get(tag), Tag, f"{point.measurement} {tag}")
            for field, value in point.fields.items():
                self.assertIn(known[field].kind, kinds[type(value)], f"{point.measurement} {field}")

    def test_queries(self):
        """every query names series that exist, differences counters and averages the rest, within the time shown"""
        def check(_, target, query):
            self.assertTrue(query.time_bound)
            self.assertTrue(query.columns)
            for tag in re.findall(r"\$tag_(\w+)", target.get("alias", "")):
                self.assertIn(tag, query.tags)
        self.each_query(check)

    def test_absent_stays_absent(self):
        """a point per interval where there is a graph, and none is made up"""
        def check(panel, target, query):
            drawn = panel["type"] in ("timeseries", "state-timeline")
            self.assertEqual((query.interval, query.fill), ("$interval", "null") if drawn else (None, None))
            is_table = panel["type"] in ("table", "bargauge") or self.picked(panel)
            self.assertEqual(target["resultFormat"], "table" if is_table else "time_series")
            self.assertLessEqual(set(re.findall(r"fill\((\w+)\)", target["query"])), {"null", "none"})
            self.assertFalse(panel["fieldConfig"]["defaults"].get("custom", {}).get("spanNulls", False))
        self.each_query(check)

    def picked(self, panel):
        """Of a table the column that alone is shown; "" is any number."""
        return panel["options"].get("reduceOptions", {}).get("fields", "").strip("/^$")

    def test_picked(self):
        """where one column of a table is shown, the query has it; a time is shown as an age"""
        def check(panel, _, query):
            field = self.picked(panel)
            self.assertIn(field, {"", "Time", *query.columns, *query.tags})
            self.assertEqual(field == "Time", panel["fieldConfig"]["defaults"]["unit"] == "dateTimeFromNow")
        self.each_query(check)

    def test_units(self):
        """every figure is shown in its unit, and a percentage on a scale to 100 is one that ends there"""
        def check(panel, target, query):
            defaults = panel["fieldConfig"]["defaults"]
            units = {each["matcher"]["options"]: each["properties"] for each in panel["fieldConfig"]["overrides"]}
            for name, value in query.columns.items():
                if isinstance(value, Tag) or self.picked(panel) == "Time":
                    continue
                shown = next((p["value"] for p in units.get(name, []) if p["id"] == "unit"), defaults["unit"])
                self.assertIn(shown, UNITS[value.unit], f"{name}: {value}")
            if defaults.get("max") == 100:
                self.assertEqual(defaults["unit"], "percent")
                self.assertFalse([name for name in UNBOUNDED_PERCENT if name in target["query"]])
        self.each_query(check)

    def test_overrides(self):
        """every override and order in a table is of a column it has"""
        for panel in self.panels:
            columns = {"Time"}
            for target in panel["targets"]:
                query = Query(target["query"], self.series)
                columns |= set(query.columns) | set(query.tags)
            named = [each["matcher"]["options"] for each in panel["fieldConfig"]["overrides"]]
            named += [each["displayName"] for each in panel["options"].get("sortBy", [])]
            self.assertLessEqual(set(named), columns, panel["title"])


class Document(DashboardCase):
    def test_layout(self):
        """panels have ids of their own, say what they show, and do not overlap"""
        taken = {}
        for panel in self.board["panels"]:
            place = panel["gridPos"]
            self.assertLessEqual(place["x"] + place["w"], 24, panel["title"])
            for x in range(place["x"], place["x"] + place["w"]):
                for y in range(place["y"], place["y"] + place["h"]):
                    self.assertIsNone(taken.setdefault((x, y), None), f"{panel['title']} lies on {taken[x, y]}")
                    taken[x, y] = panel["title"]
        ids = [panel["id"] for panel in self.board["panels"]]
        self.assertEqual(len(ids), len(set(ids)))
        for panel in self.panels:
            self.assertTrue(panel["title"] and panel["description"].endswith("."), panel)

    def test_datasource(self):
        """the data source is asked for at import, and none is named anywhere"""
        (wanted,) = self.board["__inputs"]
        self.assertEqual((wanted["type"], wanted["pluginId"]), ("datasource", "influxdb"))
        named = [each["datasource"] for each in walk(self.board) if "datasource" in each]
        self.assertEqual(set(named), {"${" + wanted["name"] + "}"})
        queries = [each for each in walk(self.board) if each.get("rawQuery") or each.get("type") == "query"]
        self.assertFalse([each for each in queries if "datasource" not in each])

    def test_importable(self):
        """an import makes a new dashboard, and the plugins it needs are named"""
        self.assertIsNone(self.board.get("id"))
        self.assertRegex(self.board["uid"], r"^[a-z0-9-]{1,40}$")
        required = [each["id"] for each in self.board["__requires"] if each["type"] == "datasource"]
        self.assertEqual(required, ["influxdb"])

    def test_variables(self):
        """every variable that is used is defined, and every one defined is used"""
        used = set()
        for each in walk({key: value for key, value in self.board.items() if key != "__inputs"}):
            for key in ("query", "title", "url"):
                text = re.sub(r"\$\{__[^}]*\}|\$tag_\w+|\$col\b", "", str(each.get(key, "")))
                used |= set(re.findall(r"\$\{?(\w+)", text))
        self.assertEqual(used - GRAFANA_OWN, set(self.variables))

    def test_vm_variable(self):
        """the VM is chosen by the name shown, and its OpenNebula id is the value"""
        pattern = self.variables["vm"]["regex"].strip("/").replace("(?<", "(?P<")  # Python's way of writing it
        found = re.match(pattern, "one-83")
        self.assertEqual((found["text"], found["value"]), ("one-83", "83"))


class OnInfluxDB(DashboardCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.db = Influxd(cls.scratch / "influxdb")
        cls.cleanup(cls.db.stop)
        cls.db.create("telemetry")
        recordings = [cls.with_guest_memory(name, swap) for name, swap in zip(replayed.FLEET, (0, 800))]
        now = time.time_ns()
        for n, used in enumerate((recordings[:1], recordings, recordings, recordings)):
            lines = replayed.lines(cls.probe(), *used) + LIVE.format(n=n)
            lines = replayed.at(lines, now - (4 - n) * 60 * 10**9)
            written = cls.db.request("POST", "/write?db=telemetry", lines.encode())
            assert written[0] == 204, written

    @classmethod
    def with_guest_memory(cls, name, swap):
        text = (replayed.RECORDED / name).read_text()
        head, domain, tail = text.partition(f"Domain: 'one-{VM}'\n")
        path = cls.scratch / name
        path.write_text(head + domain + GUEST_MEMORY.format(swap=swap) + tail)
        return path

    def ask(self, query):
        """As Grafana puts in the variables."""
        for variable, value in (("$timeFilter", "time >= now() - 10m"), ("$interval", "1m"), ("$host", "(kvm1|kvm2)"),
                                ("$vm", VM), ("$top", "10")):
            query = re.sub(re.escape(variable) + r"\b", lambda _, value=value: value, query)
        self.assertNotRegex(query, r"\$\w")
        return self.db.query(query, "telemetry")

    def test_panels(self):
        """every query runs, and every column of it has a value"""
        def check(panel, target, query):
            found = self.ask(target["query"])
            self.assertTrue(found, target["query"])
            seen = set()
            for each in found:
                self.assertEqual(set(each.get("tags", {})), set(query.tags))
                self.assertEqual(each["columns"], ["time", *query.columns])
                for row in each["values"]:
                    seen |= {name for name, value in zip(each["columns"], row) if value is not None}
            empty = {name for title, name in EMPTY if title == panel["title"]}
            self.assertEqual(set(query.columns) - seen - {"time"}, empty, target["query"])
        self.each_query(check)

    def test_variables(self):
        """the variables' queries give hosts, VMs and the VM's name"""
        found = {}
        for name, variable in self.variables.items():
            if variable["type"] == "query":
                found[name] = [row[1] for each in self.ask(variable["query"]) for row in each["values"]]
        self.assertEqual(found, {"host": ["kvm1"], "vm": ["one-79", "one-82", "one-83", "one-84", "one-85"],
                                 "vm_name": ["postgres-main"]})

    def test_figures(self):
        """sums, top lists and rates are right"""
        by_title = {(panel["title"], panel["type"]): panel["targets"][0]["query"] for panel in self.panels}
        first = {key: self.ask(query)[0]["values"] for key, query in by_title.items()}
        self.assertEqual(first["VMs", "stat"][0][1], 5)
        self.assertEqual(first["Hosts", "stat"][0][1], 1)
        self.assertEqual([row[2] for row in first["Most CPU", "bargauge"]][:2], ["one-83", "one-82"])
        each = self.ask('SELECT last("memory_host") FROM "vm_totals" GROUP BY "VMID"')
        used = [row[1] for vm in each for row in vm["values"]]
        self.assertEqual(first["Host memory taken", "stat"][0][1], sum(used))
        drawn = [row[1] for row in first["Host memory taken", "timeseries"] if row[1] is not None]
        self.assertEqual(set(drawn), {sum(used)})


if __name__ == "__main__":
    raise SystemExit(main())
