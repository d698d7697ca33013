#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""dashboard.py [--minutes N] [--seconds N] --build DIR   what the dashboard costs whoever looks at it.

1,000 VMs, a sample of each every second, whose figures all differ from those before, and three minutes of each VM's CPU behind
them. By Chromium's own trace: the work of the page's main thread from one update to the
next, all of it: reading the stream, the page's code, layout, painting. Then, without the trace, the heap of the page over N
minutes, garbage collected before each look. Exit status 1 when a figure is worse than what the project promises.
"""
import argparse
import pathlib
import re
import shutil
import statistics
import sys
import tempfile
import time

sys.dont_write_bytecode = True
HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "integration"), str(HERE.parent / "web")]
import promises  # noqa: E402
from browser import Browser  # noqa: E402
from databases import DatabaseError  # noqa: E402
from endpoint import Feeder, hosts_of  # noqa: E402
from telemetryd import SECOND, Telemetryd, now_ns  # noqa: E402
from walk import Walk, lively  # noqa: E402

VMS = 1000
UPDATE = "one-telemetry-update"  # what app.js marks each with
TRACE = "disabled-by-default-devtools.timeline,blink.user_timing"
TASK = "RunTask"
WARM_SECONDS = 10  # until sparklines have begun, and code is compiled
LOOK_SECONDS = 30
FIRST_MINUTE = 4  # the page keeps three minutes of each VM's CPU: until then its heap has to grow
WINDOW_MINUTES = 2  # whose median is taken: one look in three meets an update, whose text is a tenth of the heap
PAST_SECONDS = 180
PAST_AT_ONCE = 30  # of these seconds, in one request
MOVES_AT_LEAST = 0.5  # of the figures shown, from one update to the next: some are 0 and stay so
SHOWN = """return Object.fromEntries([...document.querySelectorAll("[data-vm-id]:not([hidden]) [data-figure]")].map((n) =>
    [n.closest("[data-vm-id]").dataset.vmId + n.dataset.figure, n.title]))"""
VIEWS = {"cards": "", "table": "#/?layout=table&sort=cpu&desc=1"}
LIMITS = (  # figure, at most
    ("main thread, ms per update of 1,000 VMs, cards", 50.0),
    ("main thread, ms per update of 1,000 VMs, table", 50.0),
    (f"heap, last {WINDOW_MINUTES} minutes / from minute {FIRST_MINUTE} to {FIRST_MINUTE + WINDOW_MINUTES}", 1.10),
)


class MovingFeeder(Feeder):
    """Each collection is another step of the walk."""

    def __init__(self, daemon, texts, period):
        super().__init__(daemon, texts, period)
        self.walks = {text: Walk(lively(text.decode())) for _, text in texts}

    def collection(self, stamp, text):
        return super().collection(stamp, self.walks[text].step().encode())


def fill_past(daemon, text):
    """CPU of the last minutes, which sparklines begin with."""
    names = re.findall(r"^(vm_totals,\S+)", text, re.M)
    end = now_ns() - SECOND
    for begin in range(PAST_SECONDS, 0, -PAST_AT_ONCE):
        daemon.write("".join(f"{name} state=1i,cpu_usage_percent={(i * 37 + second * (i % 7)) % 101}.5 {end - second * SECOND}\n"
                             for second in range(begin, begin - PAST_AT_ONCE, -1) for i, name in enumerate(names)), "/write")


def assert_moves(browser):
    """What stands still costs nothing: figures on the page have to be others after an update."""
    before = browser.js(SHOWN)
    time.sleep(2.5)
    after = browser.js(SHOWN)
    both = before.keys() & after.keys()
    moved = sum(before[figure] != after[figure] for figure in both)
    if not both or moved < MOVES_AT_LEAST * len(both):
        raise DatabaseError(f"{moved} of {len(both)} figures shown have changed")


def show(browser, url):
    browser.open("about:blank")
    browser.open(url)
    browser.wait("return document.body?.dataset.state === 'live' && document.querySelector('.count').textContent.startsWith("
                 "arguments[0])", str(VMS), seconds=60)


def work(events, seconds):
    """[ms of the main thread's work between two updates], of the last so many seconds of a trace."""
    traced = sorted((params for method, params in events if method == "Tracing.dataCollected"), key=lambda e: e.get("ts", 0))
    marks = [event for event in traced if event["name"] == UPDATE]
    if len(marks) < 3:
        raise DatabaseError(f"{len(marks)} updates in a trace of {len(traced)} events")
    thread = (marks[-1]["pid"], marks[-1]["tid"])
    tasks = [(event["ts"], event.get("dur", 0)) for event in traced
             if event["name"] == TASK and event["ph"] == "X" and (event["pid"], event["tid"]) == thread]
    if not tasks:
        raise DatabaseError(f"no {TASK} of the page's main thread in the trace")
    times = [event["ts"] for event in marks if event["ts"] >= marks[-1]["ts"] - seconds * 1e6]
    return [sum(took for at, took in tasks if begin <= at < end) / 1000 for begin, end in zip(times, times[1:])]


def updates(args, daemon, scratch):
    """Median work of each view, in ms. A browser for each: the driver hands the trace out once, when it is first asked."""
    medians = []
    for view, address in VIEWS.items():
        browser = Browser(scratch / f"traced-{view}", trace=TRACE)
        try:
            show(browser, f"{daemon.url}/{address}")
            time.sleep(WARM_SECONDS + args.seconds)
            each = work(browser.events(), args.seconds)
            assert_moves(browser)
        finally:
            browser.stop()
        medians.append(statistics.median(each))
        print(f"  {view}: {len(each)} updates, ms of the main thread: median {medians[-1]:.1f}, most {max(each):.1f}, "
              f"least {min(each):.1f}", flush=True)
    return medians


def heap(browser):
    """Bytes in use once garbage is gone."""
    browser.cdp("HeapProfiler.collectGarbage")
    metrics = {one["name"]: one["value"] for one in browser.cdp("Performance.getMetrics")["metrics"]}
    return metrics["JSHeapUsedSize"], metrics["Nodes"]


def memory(args, daemon, scratch):
    """The heap at the end against that after the first minutes, when the page has all that it keeps."""
    browser, looks = Browser(scratch / "watched"), []
    try:
        browser.cdp("Performance.enable")
        show(browser, daemon.url)
        began, minutes = time.monotonic(), 0
        while minutes < args.minutes:
            time.sleep(LOOK_SECONDS)
            browser.events()  # so that the driver does not gather them
            minutes = (time.monotonic() - began) / 60
            used, nodes = heap(browser)
            print(f"  after {minutes:4.1f} min: heap {used / 2**20:.2f} MiB, {nodes:.0f} nodes", flush=True)
            looks.append((minutes, used))
    finally:
        browser.stop()
    begin = min(FIRST_MINUTE, args.minutes / 2)
    first = [used for minutes, used in looks if begin <= minutes <= begin + WINDOW_MINUTES]
    last = [used for minutes, used in looks if minutes >= looks[-1][0] - WINDOW_MINUTES]
    return statistics.median(last) / statistics.median(first)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, required=True)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seconds", type=float, default=30)
    args = parser.parse_args()
    args.build = args.build.resolve()
    scratch, daemon = pathlib.Path(tempfile.mkdtemp(prefix="one-dashboard-bench-")), None
    try:
        daemon = Telemetryd(scratch / "d", args.build / "serve" / "telemetryd")
        texts = hosts_of(args.build / "probes" / "vm_monitor", scratch, 1, VMS)
        fill_past(daemon, texts[0][1].decode())
        with MovingFeeder(daemon, texts, 1.0) as feeder:
            values = [*updates(args, daemon, scratch), memory(args, daemon, scratch)]
        print(f"  {feeder.sent} collections of {VMS} VMs, {feeder.late} late")
    finally:
        if daemon:
            daemon.stop()
        shutil.rmtree(scratch, ignore_errors=True)
    return 1 if promises.report(LIMITS, values) else 0


if __name__ == "__main__":
    sys.exit(main())
