#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Stands in for OpenNebula's forecaster, im/lib/python/prediction.sh: takes the same arguments, reads the same files, is as
silent where it can't, and prints what it makes of a VM in the same form. Where the real one has a model, it says what the
last rows are. It is stricter: tables, arguments and its surroundings have to be what poll.rb would give it.

Files beside it: `calls`, a line for each run; `says`, if there is one, is what it prints instead; `hangs`, if there is
one, and it waits. A run that finds another under way, or something that should not be, leaves a line in `complaints`."""
import fcntl
import os
import pathlib
import re
import sqlite3
import sys
import time

PLACE = pathlib.Path(__file__).resolve().parent
CONF = PLACE.parents[2] / "etc" / "im" / "kvm-probes.d" / "forecast.conf"
GAUGES, COUNTERS = ("cpu", "memory"), ("netrx", "nettx", "diskrdbytes", "diskwrbytes", "diskrdiops", "diskwriops")
TABLE = "CREATE TABLE {} (TIMESTAMP INTEGER PRIMARY KEY, VALUE REAL NOT NULL)"


def complain(text):
    with (PLACE / "complaints").open("a") as file:
        file.write(f"{text}\n")


def arguments():
    """The VM's id, and the directory of the files."""
    words = sys.argv[1:]
    if len(words) != 2 or words[0] != "--entity":
        complain(f"arguments: {words}")
        sys.exit("usage: --entity type,id,uuid,db_dir")
    kind, vm, uuid, place = words[1].split(",")
    if kind != "virtualmachine" or not vm.isdigit() or not re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", uuid):
        complain(f"entity: {words[1]}")
    return int(vm), uuid, pathlib.Path(place)


def look_around():
    if os.environ.get("OMP_NUM_THREADS") != "1" or os.environ.get("LC_ALL") != "C" or os.nice(0) < 10:
        complain(f"environment: nice {os.nice(0)}, {dict(os.environ)}")
    open_files = {os.readlink(f"/proc/self/fd/{fd}") for fd in range(3, 100) if os.path.exists(f"/proc/self/fd/{fd}")}
    if open_files:
        complain(f"open: {open_files}")


def switched_on(horizon):
    """As its configuration says of VMs; a file that is missing is an error, as it is for the real one."""
    part = CONF.read_text().split("virtualmachine:")[1]
    found = re.search(rf"^  {horizon}:\n    enabled: (\w+)", part, re.M)
    return not found or found[1] == "true"


def forecasts(vm, place):
    path = place / f"{vm}.db"
    db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    tables = {name: sql for name, sql in db.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table'")}
    for name, sql in tables.items():
        if not re.fullmatch(rf"virtualmachine_{vm}_({'|'.join(GAUGES + COUNTERS)})_monitoring", name) or \
                sql != TABLE.format(name):
            complain(f"table {name}: {sql}")
    for metric in GAUGES + COUNTERS:
        try:
            rows = db.execute(f"SELECT TIMESTAMP, VALUE FROM virtualmachine_{vm}_{metric}_monitoring "
                              "ORDER BY TIMESTAMP DESC LIMIT 2").fetchall()
            if metric in GAUGES:
                yield metric.upper(), rows[0][1]
            else:
                (at, value), (before, earlier) = rows
                yield f"{metric.upper()}_BW", (value - earlier) / (at - before)
        except Exception as error:  # as the real one does: this metric is left out
            print(f"Error: {error} ({type(error).__name__})", file=sys.stderr)


def main():
    vm, uuid, place = arguments()
    look_around()
    with (PLACE / "calls").open("a") as calls:
        calls.write(f"{vm} {uuid} {os.getpid()}\n")
    with (PLACE / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            complain("two at a time")
        if (PLACE / "hangs").exists():
            time.sleep(1000)
        if (PLACE / "says").exists():
            sys.stdout.write((PLACE / "says").read_text())
            return
        try:
            near, far = switched_on("forecast"), switched_on("forecast_far")
        except Exception as error:
            print(f"Error: {error} ({type(error).__name__})", file=sys.stderr)
            return
        for key, value in forecasts(vm, place):
            if near:
                print(f'{key}_FORECAST="{round(value, 2)}"')
                if key.endswith("_BW"):
                    print(f'{key}="{round(value, 2)}"')
            if far:
                print(f'{key}_FORECAST_FAR="{round(value, 2)}"')


if __name__ == "__main__":
    main()
