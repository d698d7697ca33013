#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""screenshots.py --build DIR [--dir DIR]   pictures of every view of the dashboard, light, dark and as wide as a phone.

Three VMs, 1,000 VMs as cards and as a table, one VM with a day behind it, and health with a sink that is down. The figures are
recorded or made up; all that runs is private, and gone afterwards.
"""
import argparse
import base64
import pathlib
import re
import shutil
import sys
import tempfile
import time

sys.dont_write_bytecode = True
import web  # noqa: F401 (where the modules are)
import fleet
from browser import Browser, BrowserError
from web import DESKTOP, PHONE, past
from databases import DatabaseError
from replayed import FLEET, at, lines
from telemetryd import SECOND, Telemetryd, now_ns

LOOKS = {"light": (DESKTOP, "light"), "dark": (DESKTOP, "dark"), "phone": (PHONE, "light")}
DAY = 86400
IN_DEPTH = 84
COUNTED = "return document.querySelector('.count')?.textContent.startsWith(arguments[0])"


class Gallery:
    def __init__(self, build, directory, scratch):
        self.build, self.directory, self.scratch = build, directory, scratch
        self.browser = Browser(scratch / "browser")

    def daemon(self, name, **sections):
        return Telemetryd(self.scratch / name, self.build / "serve" / "telemetryd", **sections)

    @staticmethod
    def written(daemon):
        """Waits until all of it is in the history."""
        while daemon.json("status")["history"]["queued"]:
            time.sleep(0.1)

    def recorded(self):
        return at(lines(self.build / "probes" / "vm_monitor", *FLEET), now_ns())

    def take(self, name, url, ready, *arguments, whole=False, prepare=lambda: None):
        for look, (size, scheme) in LOOKS.items():
            self.browser.media(color_scheme=scheme)
            self.browser.size(*size)
            self.browser.open("about:blank")
            prepare()
            self.browser.open(url)
            self.browser.wait(ready, *arguments, seconds=30)
            time.sleep(1)  # until gauges have moved to their place
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
        daemon = self.daemon("three")
        try:
            end = now_ns() // SECOND
            text = self.recorded()
            for vm_id in (79, 82, 83):
                daemon.write("".join(past(vm_id, end, 180, re.search(rf"VMID={vm_id},.*uuid=([^, ]+)", text)[1])))
            self.written(daemon)
            some = "".join(re.findall(r"^\w+,VMID=(?:79|82|83),.*\n", text, re.M))
            self.take("cards-3", f"{daemon.url}/", COUNTED, "3 VMs", prepare=lambda: daemon.write(at(some, now_ns())))
        finally:
            daemon.stop()

    def thousand(self):
        daemon = self.daemon("thousand")
        text = fleet.lines(self.build / "probes" / "vm_monitor", 1000, self.scratch)
        try:
            for name, address in (("cards-1000", ""), ("table-1000", "#/?layout=table&sort=cpu&desc=1")):
                self.take(name, f"{daemon.url}/{address}", COUNTED, "1000 VMs", prepare=lambda: daemon.write(at(text, now_ns())))
        finally:
            daemon.stop()

    def in_depth(self):
        daemon = self.daemon("depth")
        try:
            text = self.recorded()
            points = past(IN_DEPTH, now_ns() // SECOND, DAY, re.search(rf"VMID={IN_DEPTH},.*uuid=([^, ]+)", text)[1])
            for i in range(0, len(points), 1000):
                daemon.write("".join(points[i:i + 1000]))
            self.written(daemon)
            drawn = "return [...document.querySelectorAll('.chart .summary')].every((n) => n.textContent)"
            self.take("vm", f"{daemon.url}/#/vm/{IN_DEPTH}?range=24h", f"{drawn} && document.querySelectorAll('.chart').length",
                      whole=True, prepare=lambda: daemon.write(self.recorded()))
        finally:
            daemon.stop()

    def health(self):
        daemon = self.daemon("health", sink__reporting={"url": "http://127.0.0.1:1", "database": "one"},
                             spool={"dir": self.scratch / "spool"},
                             forward={"program": self.build / "hooks" / "forward", "linger": 1},
                             collector={"enabled": "yes", "uris": "test:///default"})
        try:
            daemon.write(self.recorded())
            down = "return document.querySelector('[data-health=Sinks] [data-status=error]')"
            self.take("health", f"{daemon.url}/#/health", down, whole=True)
        finally:
            daemon.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, default=pathlib.Path("build"))
    parser.add_argument("--dir", type=pathlib.Path, default=pathlib.Path("build/screenshots"))
    args = parser.parse_args()
    args.dir.mkdir(parents=True, exist_ok=True)
    scratch, gallery = pathlib.Path(tempfile.mkdtemp(prefix="one-screenshots-")), None
    try:
        gallery = Gallery(args.build.resolve(), args.dir, scratch)
        for view in (gallery.three, gallery.thousand, gallery.in_depth, gallery.health):
            view()
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
