#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""screenshots.py --build DIR [--dir DIR]   pictures of every view of the dashboard, light, dark and as wide as a phone.

Three VMs, 1,000 VMs as cards and as a table, one VM with a day behind it, and health with a sink that is down. The VMs are
made up (made_up.py), and go on while they are looked at; all that runs is private, and gone afterwards.
"""
import argparse
import base64
import contextlib
import pathlib
import random
import shutil
import sys
import tempfile
import threading
import time

sys.dont_write_bytecode = True
import web  # noqa: F401 (where the modules are)
import fleet
from browser import Browser, BrowserError
from made_up import Machine, collected, machines
from web import DESKTOP, PHONE
from databases import DatabaseError
from telemetryd import SECOND, Telemetryd

LOOKS = {"light": (DESKTOP, "light"), "dark": (DESKTOP, "dark"), "phone": (PHONE, "light")}
MINUTE, HOUR, DAY = 60, 3600, 86400
THREE = (Machine(79, "kvm1", "web", crowd=1), Machine(82, "kvm1", "postgres", crowd=2),
         Machine(83, "kvm2", "batch", balloon=True, crowd=9))
IN_DEPTH = Machine(84, "kvm2", "postgres", crowd=3, loss=2)
ALL_AT_ONCE = 2000  # lines of one request
VERSION = "0.1.0"
VIEWS = ("three", "thousand", "in_depth", "health")
COUNTED = "return document.querySelector('.count')?.textContent.startsWith(arguments[0])"


def happened(begin_s, end_s):
    """[(seconds since 1970, OpenNebula's state, of the life cycle, the states before, reason)] of a VM in that time."""
    off, migrated = begin_s + 9 * HOUR, end_s - 4 * HOUR
    on = off + 50 * MINUTE
    return [(off - 20, "ACTIVE", "SHUTDOWN_POWEROFF", "ACTIVE", "RUNNING", "poweroff"),
            (off, "POWEROFF", "LCM_INIT", "ACTIVE", "SHUTDOWN_POWEROFF", "poweroff"),
            (on - 15, "ACTIVE", "BOOT_POWEROFF", "POWEROFF", "LCM_INIT", "resume"),
            (on, "ACTIVE", "RUNNING", "ACTIVE", "BOOT_POWEROFF", "resume"),
            (migrated, "ACTIVE", "MIGRATE", "ACTIVE", "RUNNING", "live-migrate"),
            (migrated + 25, "ACTIVE", "RUNNING", "ACTIVE", "MIGRATE", "live-migrate")]


def event_line(vm_id, host, event):
    at, state, lcm, state_before, lcm_before, reason = event
    return (f'vm_events,VMID={vm_id},host={host},state={state},lcm_state={lcm} seq=1i,previous_state="{state_before}",'
            f'previous_lcm_state="{lcm_before}",reason="{reason}" {int(at * SECOND)}\n')


class Feed(threading.Thread):
    """Writes what text(seconds since 1970) says, again and again, until the end of the `with`."""

    def __init__(self, daemon, text, period=1.0):
        super().__init__(daemon=True)
        self.to, self.text, self.period, self.over = daemon, text, period, threading.Event()

    def __enter__(self):
        self.to.write(self.text(time.time()))
        self.start()

    def run(self):
        while not self.over.wait(self.period):
            with contextlib.suppress(OSError, DatabaseError):
                self.to.write(self.text(time.time()))

    def __exit__(self, *_):
        self.over.set()
        self.join()


class Gallery:
    def __init__(self, build, directory, scratch):
        self.build, self.directory, self.scratch = build, directory, scratch
        self.browser = Browser(scratch / "browser")

    @contextlib.contextmanager
    def daemon(self, name, **sections):
        daemon = Telemetryd(self.scratch / name, self.build / "serve" / "telemetryd", **sections)
        try:
            yield daemon
        finally:
            self.browser.open("about:blank")
            daemon.stop()

    @staticmethod
    def write(daemon, texts):
        """All of these lines, until they are in the history."""
        for i in range(0, len(texts), ALL_AT_ONCE):
            daemon.write("".join(texts[i:i + ALL_AT_ONCE]))
        while daemon.json("status")["history"]["queued"]:
            time.sleep(0.1)

    def past(self, daemon, all_of_them, begin, end, step):
        self.write(daemon, [one.totals(at) for at in range(int(begin), int(end), step) for one in all_of_them])

    def take(self, name, url, ready, *arguments, whole=False, settled=3):
        for look, (size, scheme) in LOOKS.items():
            self.browser.media(color_scheme=scheme)
            self.browser.size(*size)
            self.browser.open("about:blank")
            self.browser.open(url)
            self.browser.wait(ready, *arguments, seconds=60)
            time.sleep(settled)  # until sparklines and rates have come
            path = self.directory / f"{name}-{look}.png"
            path.write_bytes(self.picture(whole))
            print(path, flush=True)

    def picture(self, whole):
        """whole: also what is below the window's edge."""
        options = {}
        if whole:
            size = self.browser.cdp("Page.getLayoutMetrics")["cssContentSize"]
            options = {"captureBeyondViewport": True, "clip": {"x": 0, "y": 0, "width": size["width"], "height": size["height"],
                                                               "scale": 1}}
        return base64.b64decode(self.browser.cdp("Page.captureScreenshot", **options)["data"])

    def three(self):
        with self.daemon("three") as daemon:
            now = time.time()
            daemon.write("".join(one.info(now) for one in THREE))
            self.past(daemon, THREE, now - 5 * MINUTE, time.time(), 1)
            with Feed(daemon, lambda at: collected(THREE, at)):
                self.take("cards-3", f"{daemon.url}/", COUNTED, "3 VMs")

    def thousand(self):
        cloud = machines(1000)
        with self.daemon("thousand") as daemon:
            now = time.time()
            daemon.write("".join(one.info(now) for one in cloud))
            self.past(daemon, cloud, now - 4 * MINUTE, now, 10)
            with Feed(daemon, lambda at: collected(cloud, at), 2):
                for name, address in (("cards-1000", "#/?sort=attention&desc=1"), ("table-1000", "#/?layout=table&sort=cpu&desc=1")):
                    self.take(name, f"{daemon.url}/{address}", COUNTED, "1000 VMs", settled=6)

    def in_depth(self):
        with self.daemon("depth") as daemon:
            now = time.time()
            begin, events = now - DAY, happened(now - DAY, now)
            off, on = events[1][0], events[3][0]
            daemon.write(IN_DEPTH.info(now))
            for since, until in ((begin, off), (on, time.time())):
                self.past(daemon, [IN_DEPTH], since, until, 10)
            for event in events:
                daemon.write(event_line(IN_DEPTH.vm_id, IN_DEPTH.host, event))
            with Feed(daemon, lambda at: collected([IN_DEPTH], at, devices=True), 5):
                drawn = ("return document.querySelectorAll('.chart').length && "
                         "[...document.querySelectorAll('.chart .summary')].every((n) => n.textContent)")
                self.take("vm", f"{daemon.url}/#/vm/{IN_DEPTH.vm_id}?range=24h", drawn, whole=True)

    def health(self):
        """Probes of four hosts feed it, one sink takes all, the other has been down for half an hour."""
        hosts, spool = [f"kvm{i}" for i in range(1, 5)], self.scratch / "spool"
        cloud = [Machine(100 + i, hosts[i % len(hosts)]) for i in range(120)]

        def feed(at):
            draw, text = random.Random(int(at)), collected(cloud, at)
            for host in hosts:
                domains = sum(one.host == host for one in cloud)
                text += (f"host_totals,host={host} domains={domains}i,missing=0i,locked=0i,dropped_keys=0i,spool_batches=0i,spool_bytes=0i,"
                         f'collect_ms={draw.uniform(18, 40):.3f},version="{VERSION}" {int(at * SECOND)}\n')
            return text
        with self.daemon("archive") as archive:
            now = time.time()
            waiting = range(int(now) - 30 * MINUTE, int(now), 30)
            fleet.fill(spool, "reporting", ((at * SECOND, collected(cloud, at)) for at in waiting))
            with self.daemon("health", sink__reporting={"url": "http://127.0.0.1:1", "database": "one"},
                             sink__archive={"type": "telemetryd", "url": archive.url}, spool={"dir": spool},
                             forward={"program": self.build / "hooks" / "forward", "linger": 1}) as daemon, Feed(daemon, feed, 5):
                down = ("return document.querySelector('[data-health=Sinks] [data-status=error]') && "
                        "document.querySelector('[data-health=Sinks] [data-status=ok], [data-health=Sinks] [data-status=connected]')")
                self.take("health", f"{daemon.url}/#/health", down, whole=True, settled=8)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, default=pathlib.Path("build"))
    parser.add_argument("--dir", type=pathlib.Path, default=pathlib.Path("build/screenshots"))
    parser.add_argument("views", nargs="*", help=f"of {', '.join(VIEWS)}; all by default")
    args = parser.parse_args()
    args.dir.mkdir(parents=True, exist_ok=True)
    scratch, gallery = pathlib.Path(tempfile.mkdtemp(prefix="one-screenshots-")), None
    try:
        gallery = Gallery(args.build.resolve(), args.dir, scratch)
        for view in args.views or VIEWS:
            getattr(gallery, view)()
    except (BrowserError, DatabaseError, OSError) as error:
        print(f"screenshots: {error}", file=sys.stderr)
        return 1
    finally:
        if gallery:
            gallery.browser.stop()
        shutil.rmtree(scratch, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
