#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""grafana.py   prints share/grafana/one-telemetry.json, the Grafana dashboard of our series (docs/influxdb.md).

A panel is one call in the lists at the end: its queries, its unit, what it says. Rules that a test holds to: every name
of a series stands in double quotes; stored rates are averaged, counters only differenced; what is absent stays absent
(fill(null), fill(none) in a subquery).

For Grafana 8.0 to 11: schema version 30, and the data source as text, which all of them take and newer ones convert.
"""
import json

DATASOURCE = "${DS_INFLUXDB}"
SCHEMA_VERSION = 30

HOSTS = '"host" =~ /^$host$/'
SINKS = HOSTS + ' AND "sink" =~ /./'
SINK_TAGS = ("host", "sink")
THE_VM = "\"VMID\" = '$vm'"
DISKS = THE_VM + " AND \"devtype\" = 'disk'"
NICS = THE_VM + " AND \"devtype\" = 'nic'"
WIDTH = 24  # of Grafana's grid
# "Now" of a figure without a course: a VM that has ended, or moved away, is not in it for long.
NOW = "5m"
NOW_WITH_INFO = "15m"  # vm_info comes every ten minutes at least
STATES = {1: ("running", "green"), 2: ("blocked", "yellow"), 3: ("paused", "yellow"), 4: ("shutting down", "orange"),
          5: ("shut off", "red"), 6: ("crashed", "red"), 7: ("suspended", "blue")}
LOCKED = {0: ("no", "green"), 1: ("locked", "orange")}
WARN_STEAL = [(None, "green"), (5, "orange"), (20, "red")]
WARN_USE = [(None, "green"), (75, "orange"), (90, "red")]
WARN_ANY = [(None, "green"), (1, "orange")]


# ---- queries ----------------------------------------------------------------------------------------------------

def columns(function, fields):
    """fields: {field: name of the column}, or a list of fields that keep their names."""
    named = fields if isinstance(fields, dict) else {field: field for field in fields}
    return ", ".join(f'{function}("{field}") AS "{name}"' for field, name in named.items())


def course(measurement, fields, where, by=(), function="mean"):
    """Over time, a series per column and set of tags."""
    return expression(measurement, columns(function, fields), where, by)


def expression(measurement, selected, where, by=()):
    tags = "".join(f', "{tag}"' for tag in by)
    return (f'SELECT {selected} FROM "{measurement}" WHERE {where} AND $timeFilter '
            f'GROUP BY time($interval){tags} fill(null)')


def summed(measurement, field, by="host", name=None, function="mean"):
    """Over time, the sum over all VMs (or hosts) of a group."""
    each = "VMID" if measurement.startswith("vm_") else "host"
    tags = ", ".join(f'"{tag}"' for tag in dict.fromkeys([each, by]))
    inner = (f'SELECT {function}("{field}") AS "each" FROM "{measurement}" WHERE {HOSTS} AND $timeFilter '
             f'GROUP BY time($interval), {tags} fill(none)')
    return (f'SELECT sum("each") AS "{name or field}" FROM ({inner}) WHERE $timeFilter '
            f'GROUP BY time($interval), "{by}" fill(null)')


def now_of_all(measurement, field, function="sum"):
    """One figure: the sum (or number) of the last values."""
    each = '"VMID"' if measurement.startswith("vm_") else '"host"'
    inner = f'SELECT last("{field}") AS "each" FROM "{measurement}" WHERE {HOSTS} AND $timeFilter GROUP BY {each}'
    return f'SELECT {function}("each") AS "{field}" FROM ({inner}) WHERE $timeFilter'


def top(selected):
    """The VMs with the most, averaged over the time that is shown."""
    inner = f'SELECT {selected} AS "each" FROM "vm_totals" WHERE {HOSTS} AND $timeFilter GROUP BY "VMID", "name"'
    return f'SELECT top("each", $top) AS "value", "name" FROM ({inner}) WHERE $timeFilter'


def latest(measurement, fields, where, by=()):
    tags = ", ".join(f'"{tag}"' for tag in by)
    grouped = f" GROUP BY {tags}" if tags else ""
    return f'SELECT {columns("last", fields)} FROM "{measurement}" WHERE {where} AND $timeFilter{grouped}'


# ---- panels -----------------------------------------------------------------------------------------------------

def thresholds(steps):
    return {"mode": "absolute", "steps": [{"value": value, "color": color} for value, color in steps]}


def mappings(texts):
    return [{"type": "value", "options": {str(value): {"text": text, "color": color, "index": index}
                                          for index, (value, (text, color)) in enumerate(texts.items())}}]


def panel(kind, title, description, size, queries, unit, form="time_series", alias=None, **more):
    """size: (width, height). more: of fieldConfig.defaults, and options, overrides, transformations."""
    targets = [{"refId": chr(ord("A") + i), "datasource": DATASOURCE, "rawQuery": True, "query": query,
                "resultFormat": form, **({"alias": alias} if alias else {})} for i, query in enumerate(queries)]
    options, overrides = more.pop("options", {}), more.pop("overrides", [])
    optional = {"transformations": more.pop("transformations", None), "timeFrom": more.pop("time_from", None)}
    defaults = {"unit": unit, "color": {"mode": "palette-classic"}, "thresholds": thresholds([(None, "green")]), **more}
    return {"type": kind, "title": title, "description": description, "datasource": DATASOURCE, "size": size,
            "fieldConfig": {"defaults": defaults, "overrides": overrides}, "options": options, "targets": targets,
            **{key: value for key, value in optional.items() if value}}


def graph(title, description, queries, unit, alias="$col", width=12, stack=False, **more):
    custom = {"drawStyle": "line", "lineWidth": 1, "fillOpacity": 20 if stack else 5, "showPoints": "auto",
              "spanNulls": False, "stacking": {"mode": "normal" if stack else "none", "group": "A"}}
    options = {"legend": {"displayMode": "table", "placement": "bottom", "showLegend": True,
                          "calcs": ["mean", "max", "lastNotNull"]}, "tooltip": {"mode": "multi"}}
    return panel("timeseries", title, description, (width, 8), queries, unit, alias=alias, custom=custom,
                 options=options, min=0, **more)


def percent_graph(title, description, queries, alias="$col", **more):
    return graph(title, description, queries, "percent", alias, max=100, **more)


def stat(title, description, query, unit="none", steps=None, width=3, field="", time_from=NOW, **more):
    """field: of a query's tags, time and texts the one that is shown; else its number."""
    options = {"reduceOptions": {"values": False, "calcs": ["lastNotNull"], "fields": f"/^{field}$/" if field else ""},
               "colorMode": "value", "graphMode": "none", "justifyMode": "auto", "orientation": "auto",
               "textMode": "auto"}
    return panel("stat", title, description, (width, 4), [query], unit, form="table" if field else "time_series",
                 options=options, time_from=time_from, noValue="no data", color={"mode": "thresholds"},
                 thresholds=thresholds(steps or [(None, "text")]), **more)


def bars(title, description, selected, unit, steps=None, **more):
    options = {"reduceOptions": {"values": True, "calcs": [], "fields": "/^value$/"}, "orientation": "horizontal",
               "displayMode": "basic", "showUnfilled": True}
    description += " Averaged over the time that is shown."
    return panel("bargauge", title, description, (8, 9), [top(selected)], unit, form="table", options=options,
                 noValue="no data", min=0, color={"mode": "thresholds"},
                 thresholds=thresholds(steps or [(None, "blue")]), **more)


def column(name, **properties):
    return {"matcher": {"id": "byName", "options": name},
            "properties": [{"id": key, "value": value} for key, value in properties.items()]}


def table(title, description, queries, overrides, order, width=12, height=8, keep_time=False, time_from=None):
    """Several queries are joined by the tags that they have in common. order: the column; -name: the largest first."""
    without_time = {"id": "filterFieldsByName", "options": {"exclude": {"pattern": "^[Tt]ime$"}}}
    transformations = [] if keep_time else [without_time]
    transformations += [{"id": "merge", "options": {}}] if len(queries) > 1 else []
    options = {"showHeader": True, "sortBy": [{"displayName": order.lstrip("-"), "desc": order.startswith("-")}]}
    return panel("table", title, description, (width, height), queries, "none", form="table", options=options,
                 overrides=overrides, transformations=transformations, time_from=time_from, noValue="",
                 color={"mode": "thresholds"}, custom={"align": "auto", "filterable": True})


TO_VM = {"links": [{"title": "This VM in depth",
                    "url": "/d/${__dashboard.uid}/?var-vm=${__data.fields.VMID}&${__url_time_range}"}]}
AGO = {"unit": "dateTimeFromNow"}  # of a time

FLEET = [
    stat("Hosts", "Hosts that have sent a sample lately.", now_of_all("host_totals", "domains", "count"), width=4),
    stat("VMs", "VMs of these hosts, by the last sample of each.", now_of_all("host_totals", "domains"), width=4),
    stat("Locked VMs",
         "VMs held by a job (migration, backup, a QEMU that does not answer): figures that need its monitor are "
         "absent.", now_of_all("host_totals", "locked"), steps=WARN_ANY, width=4),
    stat("Missing VMs", "VMs that libvirt lists and gives no figure for.",
         now_of_all("host_totals", "missing"), steps=WARN_ANY, width=4),
    stat("CPU used", "By all VMs, in percent of one core: 200 is two cores kept busy.",
         now_of_all("vm_totals", "cpu_core_percent"), "percent", width=4),
    stat("Host memory taken", "By all VMs, swap included: what the QEMU processes take of their hosts.",
         now_of_all("vm_totals", "memory_host"), "kbytes", width=4),
    bars("Most CPU", "Percent of one core: 200 is two cores kept busy.", 'mean("cpu_core_percent")', "percent"),
    bars("Most steal", "Share of the time in which a vCPU wanted to run and its host had no core for it.",
         'mean("cpu_steal_percent")', "percent", WARN_STEAL, max=100),
    bars("Most host memory", "What the QEMU process takes of its host, swap included.", 'mean("memory_host")',
         "kbytes"),
    bars("Most disk throughput", "Bytes read and written per second.",
         'mean("disk_rd_bytes_per_sec") + mean("disk_wr_bytes_per_sec")', "Bps"),
    bars("Most disk requests", "Reads and writes per second.",
         'mean("disk_rd_req_per_sec") + mean("disk_wr_reqs_per_sec")', "iops"),
    bars("Most network", "Bytes received and sent per second.",
         'mean("net_rxbytes_per_sec") + mean("net_txbytes_per_sec")', "Bps"),
    table("VMs", "The last figures of each VM; one that has just moved stands under both hosts for a while. An empty "
          "cell: not known. A click on the VMID shows that VM in depth.",
          [latest("vm_totals", {
              "state": "state", "locked": "locked", "cpus": "vCPUs", "cpu_usage_percent": "CPU",
              "cpu_steal_percent": "steal", "memory_usage_percent": "memory", "memory_source": "memory of",
              "memory_host": "host memory", "disk_rd_bytes_per_sec": "read", "disk_wr_bytes_per_sec": "written",
              "net_rxbytes_per_sec": "received", "net_txbytes_per_sec": "sent"}, HOSTS, ("VMID", "host")),
           latest("vm_info", {"vm_name": "VM name", "uname": "owner"}, HOSTS, ("VMID", "host"))],
          [column("VMID", **TO_VM), column("state", mappings=mappings(STATES)),
           column("locked", mappings=mappings(LOCKED)),
           column("CPU", unit="percent", decimals=1),
           column("steal", unit="percent", decimals=1, thresholds=thresholds(WARN_STEAL)),
           column("memory", unit="percent", decimals=1), column("host memory", unit="kbytes"),
           column("read", unit="Bps"), column("written", unit="Bps"), column("received", unit="Bps"),
           column("sent", unit="Bps")],
          "-CPU", width=24, height=12, time_from=NOW_WITH_INFO),
    table("VMs by last sample",
          "When each VM was last heard of, the silent ones first: ended, migrated away, or no longer collected.",
          [latest("vm_totals", {"state": "state"}, HOSTS, ("VMID", "name", "host"))],
          [column("VMID", **TO_VM), column("Time", **AGO), column("state", mappings=mappings(STATES))],
          "Time", width=24, keep_time=True),
]

VM = [
    stat("State", "As libvirt says it.", latest("vm_totals", {"state": "state"}, THE_VM), mappings=mappings(STATES)),
    stat("Host", "Where it runs.", latest("vm_totals", {"state": "state"}, THE_VM, ("host",)), field="host"),
    stat("Owner", "At deployment.", latest("vm_info", {"uname": "owner"}, THE_VM), field="owner",
         time_from=NOW_WITH_INFO),
    stat("Last sample", "When it was last heard of.", latest("vm_totals", {"state": "state"}, THE_VM), field="Time",
         time_from=None, **AGO),
    stat("vCPUs", "Plugged in now.", latest("vm_totals", {"cpus": "vCPUs"}, THE_VM)),
    stat("CPU", "Percent of all its vCPUs.", latest("vm_totals", {"cpu_usage_percent": "CPU"}, THE_VM), "percent",
         WARN_USE),
    stat("Steal", "Share of the time in which a vCPU wanted to run and its host had no core for it.",
         latest("vm_totals", {"cpu_steal_percent": "steal"}, THE_VM), "percent", WARN_STEAL),
    stat("Memory", "By the guest's own report where its balloon gives one, else the balloon's share of its maximum.",
         latest("vm_totals", {"memory_usage_percent": "memory"}, THE_VM), "percent", WARN_USE),
    percent_graph("CPU", "Use of all its vCPUs, and steal: the share of the time in which a vCPU wanted to run and its "
                  "host had no core for it.",
                  [course("vm_totals", {"cpu_usage_percent": "used", "cpu_steal_percent": "steal"}, THE_VM)]),
    percent_graph("CPU per vCPU", "Use of each vCPU.",
                  [course("vm_vcpus", {"usage_percent": "used"}, THE_VM, ["vcpu"])], "vCPU $tag_vcpu"),
    percent_graph("Steal per vCPU", "Share of the time in which the vCPU wanted to run and its host had no core for "
                  "it.",
                  [course("vm_vcpus", {"steal_percent": "steal"}, THE_VM, ["vcpu"])], "vCPU $tag_vcpu"),
    percent_graph("I/O wait per vCPU", "Share of the time in which the vCPU waited for I/O on the host: the change of "
                  "a counter of nanoseconds.",
                  [expression("vm_vcpus", 'non_negative_derivative(last("wait"), 1s) / 10000000 AS "wait"', THE_VM,
                              ["vcpu"])], "vCPU $tag_vcpu"),
    graph("Memory: guest", "As the guest reports it. Empty without a balloon stats period.",
          [course("vm_totals", {"memavailable": "in all", "memusable": "usable without swapping", "memunused": "unused",
                                "memdisk_cache": "caches"}, THE_VM)], "kbytes"),
    graph("Memory: balloon and host", "What the guest may have at most and has now, and what its QEMU process takes of "
          "the host.",
          [course("vm_totals", {"memory_max": "maximum", "memactual": "balloon", "memrss": "resident on the host",
                                "memswapped": "swapped out by the host"}, THE_VM)], "kbytes"),
    percent_graph("Memory use", "By the guest's own report where its balloon gives one, else the balloon's share of "
                  "its maximum.", [course("vm_totals", {"memory_usage_percent": "used"}, THE_VM)]),
    graph("Guest swap", "Read from and written to the guest's own swap. Empty without a balloon stats period.",
          [course("vm_totals", {"memswap_in_per_sec": "in", "memswap_out_per_sec": "out"}, THE_VM)], "KiBs"),
    graph("Disk latency", "Mean time per read, write and flush of each disk; nothing where there was no request.",
          [course("vm_devices", {"rd_latency_ms": "read", "wr_latency_ms": "write", "fl_latency_ms": "flush"}, DISKS,
                  ["device"])], "ms", "$tag_device $col"),
    graph("Disk requests", "Reads, writes and flushes per second of each disk.",
          [course("vm_devices", {"rd_req_per_sec": "read", "wr_reqs_per_sec": "write", "fl_reqs_per_sec": "flush"},
                  DISKS, ["device"])], "iops", "$tag_device $col"),
    graph("Disk throughput", "Bytes read and written per second of each disk.",
          [course("vm_devices", {"rd_bytes_per_sec": "read", "wr_bytes_per_sec": "written"}, DISKS, ["device"])],
          "Bps", "$tag_device $col"),
    graph("Disk sizes", "What the guest sees, the highest offset written, and what the image takes on the host.",
          [course("vm_devices", ["capacity", "allocation", "physical"], DISKS, ["device"], "last")],
          "bytes", "$tag_device $col"),
    graph("Network throughput", "Bytes per second of each interface, as the guest sees it.",
          [course("vm_devices", {"rxbytes_per_sec": "received", "txbytes_per_sec": "sent"}, NICS, ["device"])],
          "Bps", "$tag_device $col"),
    graph("Network packets", "Packets per second of each interface, as the guest sees it.",
          [course("vm_devices", {"rxpackets_per_sec": "received", "txpackets_per_sec": "sent"}, NICS, ["device"])],
          "pps", "$tag_device $col"),
    graph("Network drops and errors", "Packets per second of each interface that did not get through.",
          [course("vm_devices", {"rxdrops_per_sec": "dropped to the guest", "txdrops_per_sec": "dropped from the guest",
                                 "rxerrors_per_sec": "receive errors", "txerrors_per_sec": "send errors"}, NICS,
                  ["device"])], "pps", "$tag_device $col"),
    panel("state-timeline", "State and jobs", "States over time; locked: held by a job (migration, backup), so figures "
          "that need QEMU's monitor are absent meanwhile.", (12, 8),
          [course("vm_totals", ["state"], THE_VM, function="last"),
           course("vm_totals", ["locked"], THE_VM, function="last")],
          "none", alias="$col", options={"showValue": "auto", "mergeValues": True, "rowHeight": 0.8},
          mappings=mappings(STATES), color={"mode": "thresholds"},
          overrides=[column("locked", mappings=mappings(LOCKED))]),
]

HOST = [
    table("Hosts", "How many VMs each host said it has, and when, silent hosts first.",
          [latest("host_totals", {"domains": "VMs"}, HOSTS, ("host",))],
          [column("Time", **AGO), column("VMs", unit="none")], "Time", keep_time=True),
    graph("VMs", "VMs that OpenNebula runs on each host.",
          [course("host_totals", {"domains": "VMs"}, HOSTS, ["host"], "last")], "none", "$tag_host"),
    graph("Locked and missing", "VMs held by a job, and VMs that libvirt lists and gives no figure for.",
          [course("host_totals", ["locked", "missing"], HOSTS, ["host"], "max")], "none", "$tag_host $col"),
    graph("CPU", "By all VMs of a host, in percent of one core.",
          [summed("vm_totals", "cpu_core_percent")], "percent", "$tag_host", stack=True),
    percent_graph("Steal", "Mean over the VMs of a host: its cores are overcommitted where this stays up.",
                  [course("vm_totals", {"cpu_steal_percent": "steal"}, HOSTS, ["host"])], "$tag_host"),
    graph("Host memory taken", "By the QEMU processes of a host, swap included.",
          [summed("vm_totals", "memory_host")], "kbytes", "$tag_host", stack=True),
    graph("Disk throughput", "Of all VMs of a host.",
          [summed("vm_totals", "disk_rd_bytes_per_sec", name="read"),
           summed("vm_totals", "disk_wr_bytes_per_sec", name="written")], "Bps", "$tag_host $col"),
    graph("Disk requests", "Of all VMs of a host.",
          [summed("vm_totals", "disk_rd_req_per_sec", name="read"),
           summed("vm_totals", "disk_wr_reqs_per_sec", name="written")], "iops", "$tag_host $col"),
    graph("Network throughput", "Of all VMs of a host, as the guests see it.",
          [summed("vm_totals", "net_rxbytes_per_sec", name="received"),
           summed("vm_totals", "net_txbytes_per_sec", name="sent")], "Bps", "$tag_host $col"),
    graph("Network drops", "Of all VMs of a host.",
          [summed("vm_totals", "net_rxdrops_per_sec", name="to guests"),
           summed("vm_totals", "net_txdrops_per_sec", name="from guests")], "pps", "$tag_host $col"),
]

HEALTH = [
    graph("Collection", "Time from the first call to libvirt to the last answer. It rises with VMs that do not answer; "
          "the deadline cuts it off.",
          [course("host_totals", {"collect_ms": "collection"}, HOSTS, ["host"], "max")], "ms", "$tag_host"),
    graph("OpenNebula's message", "Our part of the monitoring message, compressed. OpenNebula loses a message above "
          "65,507 bytes; keys are left out before.",
          [course("host_totals", {"message_bytes": "message"}, HOSTS, ["host"], "max")], "bytes", "$tag_host"),
    graph("Keys that did not fit", "Keys left out of OpenNebula's message to keep it in its limit. The series here are "
          "complete all the same.",
          [course("host_totals", {"dropped_keys": "left out"}, HOSTS, ["host"], "max")], "none", "$tag_host"),
    table("Sinks", "What waits for each database, and since when; how long ago it last stored something. Empty: not "
          "known, or never.",
          [latest("host_totals", {"queued_batches": "batches", "queued_bytes": "bytes", "oldest_age_seconds": "oldest",
                                  "last_success_age_seconds": "last success"}, SINKS, SINK_TAGS)],
          [column("batches", unit="none"), column("bytes", unit="bytes"), column("oldest", unit="s"),
           column("last success", unit="s")], "-oldest", time_from=NOW_WITH_INFO),
    graph("Queues", "Compressed bytes that wait on the hosts for each sink. A queue that grows: the database is away, "
          "or too slow.",
          [course("host_totals", {"queued_bytes": "waiting"}, SINKS, SINK_TAGS, "max")], "bytes",
          "$tag_host $tag_sink"),
    graph("Oldest that waits", "Age of the oldest batch for each sink; max_age of the configuration drops it.",
          [course("host_totals", {"oldest_age_seconds": "age"}, SINKS, SINK_TAGS, "max")], "s", "$tag_host $tag_sink"),
    graph("Last success", "How long ago each sink last stored something.",
          [course("host_totals", {"last_success_age_seconds": "ago"}, SINKS, SINK_TAGS, "max")], "s",
          "$tag_host $tag_sink"),
    graph("Lines stored", "Lines per second that each sink has stored: the change of a counter.",
          [expression("host_totals", 'non_negative_derivative(last("sent_lines"), 1s) AS "stored"', SINKS, SINK_TAGS)],
          "cps", "$tag_host $tag_sink"),
    graph("Retried, refused, dropped", "In each interval: requests made again, lines refused for good (kept in bad/), "
          "batches dropped by the queue's limits.",
          [expression("host_totals", 'non_negative_difference(last("retried_requests")) AS "requests retried", '
                      'non_negative_difference(last("rejected_lines")) AS "lines refused", '
                      'non_negative_difference(last("dropped_batches")) AS "batches dropped"', SINKS, SINK_TAGS)],
          "none", "$tag_host $tag_sink $col"),
    graph("Bytes dropped", "Compressed bytes in each interval that the queue's limits have cost: data that is lost.",
          [expression("host_totals", 'non_negative_difference(last("dropped_bytes")) AS "dropped"', SINKS, SINK_TAGS)],
          "bytes", "$tag_host $tag_sink"),
    table("Versions", "The probe's version on each host.",
          [latest("host_totals", {"version": "version"}, HOSTS, ("host",))], [column("Time", **AGO)], "version",
          keep_time=True),
]

ROWS = [("Fleet", FLEET), ("VM $vm: $vm_name", VM), ("Hosts", HOST), ("Our own health", HEALTH)]


# ---- the dashboard ----------------------------------------------------------------------------------------------

def laid_out(rows):
    """Panels from left to right, a new line where the next does not fit; numbered."""
    placed, x, y, tallest = [], 0, 0, 0

    def put(what, width, height):
        nonlocal x, y, tallest
        if x + width > WIDTH:
            x, y, tallest = 0, y + tallest, 0
        place = {"id": len(placed) + 1, **what, "gridPos": {"x": x, "y": y, "w": width, "h": height}}
        x, tallest = x + width, max(tallest, height)
        placed.append(place)

    for title, panels in rows:
        x = WIDTH  # a row begins a line
        put({"type": "row", "title": title, "collapsed": False, "panels": []}, WIDTH, 1)
        for each in panels:
            what = dict(each)
            put(what, *what.pop("size"))
    return placed


def query_variable(name, label, query, regex="", hide=0, **more):
    return {"type": "query", "name": name, "label": label, "datasource": DATASOURCE, "query": query,
            "definition": query, "regex": regex, "refresh": 2, "sort": 3, "hide": hide, "multi": False,
            "includeAll": False, "options": [], "current": {}, **more}


def choice_variable(kind, name, label, words, current, **more):
    options = [{"text": word, "value": word, "selected": word == current["value"]} for word in words]
    return {"type": kind, "name": name, "label": label, "query": ",".join(words), "options": options,
            "current": current, "hide": 0, **more}


VARIABLES = [
    query_variable("host", "Host", 'SHOW TAG VALUES FROM "host_totals" WITH KEY = "host"', multi=True, includeAll=True,
                   allValue=".*", current={"text": "All", "value": "$__all"}),
    # libvirt's name is shown ("one-83"), OpenNebula's id is the value
    query_variable("vm", "VM", f'SHOW TAG VALUES FROM "vm_totals" WITH KEY = "name" WHERE {HOSTS}',
                   regex="/^(?<text>one-(?<value>[0-9]+))$/"),
    query_variable("vm_name", "VM name", f'SELECT last("vm_name") AS "vm_name" FROM "vm_info" WHERE {THE_VM}', hide=2,
                   sort=0),
    # A collection comes every 30 to 60 seconds: with less there were holes between the points.
    choice_variable("interval", "interval", "Interval", ["1m", "2m", "5m", "15m", "1h", "6h", "1d"],
                    {"text": "auto", "value": "$__auto_interval_interval"}, auto=True, auto_min="1m", auto_count=200,
                    refresh=2),
    choice_variable("custom", "top", "Top", ["5", "10", "20", "50"], {"text": "10", "value": "10"}, multi=False,
                    includeAll=False),
]


def dashboard():
    return {
        "__inputs": [{"name": "DS_INFLUXDB", "label": "InfluxDB", "type": "datasource", "pluginId": "influxdb",
                      "pluginName": "InfluxDB",
                      "description": "The database of one-telemetry, as an InfluxDB data source (InfluxQL)"}],
        "__requires": [{"type": "grafana", "id": "grafana", "name": "Grafana", "version": "8.0.0"},
                       {"type": "datasource", "id": "influxdb", "name": "InfluxDB", "version": "1.0.0"}],
        "uid": "one-telemetry", "title": "one-telemetry: OpenNebula VMs",
        "tags": ["one-telemetry", "opennebula", "kvm"],
        "description": "KVM guests of an OpenNebula cloud, their hosts, and the collection itself",
        "schemaVersion": SCHEMA_VERSION, "version": 1, "editable": True, "graphTooltip": 1, "timezone": "",
        "refresh": "1m",
        "time": {"from": "now-3h", "to": "now"}, "annotations": {"list": []}, "links": [],
        "templating": {"list": VARIABLES}, "panels": laid_out(ROWS),
    }


if __name__ == "__main__":
    print(json.dumps(dashboard(), indent=2, ensure_ascii=False))
