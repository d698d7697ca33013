#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The dashboard's health view, in Chromium: what /diagnostic and /status know, and start and stop of the collector."""

import web  # noqa: F401 (where the modules are)
from web import WebCase, exact, milliseconds, size
from harness import args, main
from telemetryd import SECOND, host_totals, now_ns, totals

ROWS = """const heads = [...document.querySelectorAll(`[data-health="${arguments[0]}"] th`)].map((th) => th.textContent);
return [...document.querySelectorAll(`[data-health="${arguments[0]}"] tbody tr`)].map((row) => Object.fromEntries(
    [...row.cells].map((cell, i) => [heads[i], [cell.textContent, cell.firstChild?.title ?? ""]])));"""
FACTS = """return Object.fromEntries([...document.querySelectorAll(`[data-health="${arguments[0]}"] dl > div:not([hidden])`)]
    .map((one) => [one.firstChild.textContent, [one.lastChild.textContent, one.lastChild.firstChild?.title ?? ""]]));"""
MARKS = {"ok": "● ok", "error": "◆ error", "stopped": "○ stopped"}


def count(value):
    return [f"{value:,}", str(value)]


def span(seconds):
    seconds = int(seconds + 0.5)
    if seconds < 60:
        return f"{seconds} s"
    return f"{seconds // 60} min" + (f" {seconds % 60} s" if seconds % 60 else "")


def host_line(host, time_ns, **fields):
    more = "".join(f",{key}={value}" for key, value in fields.items())
    return host_totals(time_ns, host).replace(",missing=0i", f",missing=2i{more}")


class Health(WebCase):
    def rows(self, name):
        return self.browser.js(ROWS, name)

    def facts(self, name):
        return self.browser.js(FACTS, name)

    def open(self, daemon):
        browser = self.page(daemon, "#/health")
        browser.wait("return document.querySelector('[data-health=Sinks]')")
        return browser

    def told(self, daemon):
        """What diagnostic has, where the page shows that and nothing has changed since; else None. Ages apart."""
        told = daemon.json("diagnostic")
        self.settles(lambda: self.facts("telemetryd")["Its time"][1] > told["clock"]["now"], "it asks no more")
        counts = [{key: value for key, value in sink.items() if "seconds" not in key}
                  for answer in (told, daemon.json("diagnostic")) for sink in answer["forwarding"]["sinks"]]
        return told if counts[0] == counts[1] else None

    def assert_ago(self, shown, iso):
        """How long ago that was, about, and exactly when where the mouse rests."""
        self.assertEqual(shown[1], iso)
        self.assertRegex(shown[0], r"^(\d+ min )?\d+ (s|min) ago$")

    def test_hosts(self):
        """dashboard: health: each host's last sample, clock, spool and losses are as diagnostic has them"""
        daemon = self.daemon()
        for host, late_s in (("kvm1", 0), ("kvm2", 40), ("kvm3", -30)):
            for _ in range(2):
                time_ns = now_ns() - late_s * SECOND
                daemon.write(totals(int(host[3]), time_ns, host) + host_line(
                    host, time_ns, collect_ms=12.3456, locked="3i", dropped_keys="4i", spool_batches="1234i",
                    spool_bytes="7654321i", version='"9.8.7"'))
        browser = self.open(daemon)
        told = {host["host"]: host for host in daemon.json("diagnostic")["hosts"]}
        self.assertAlmostEqual(told["kvm2"]["clock_skew_seconds"], 40, delta=3)
        self.assertAlmostEqual(told["kvm3"]["clock_skew_seconds"], -30, delta=3)
        shown = {row["Host"][0]: row for row in self.rows("Hosts")}
        self.assertEqual(sorted(shown), sorted(told))
        for name, host in told.items():
            row, figures, skew = shown[name], host["figures"], host["clock_skew_seconds"]
            self.assertEqual(row["Status"][0], MARKS[host["status"]], name)
            self.assertEqual(row["Source"][0], host["source"])
            self.assertEqual(row["VMs"], count(host["vms"]))
            self.assert_ago(row["Last sample"], host["last_sample"])
            sign = "−" if skew < 0 else ""
            self.assertEqual(row["Clock skew"], [f"{sign}{web.fixed(abs(skew), 1)} s", exact(skew, "s")])
            self.assertEqual(row["Took"], [milliseconds(figures["collect_ms"]), exact(figures["collect_ms"], "ms")])
            for head, key in (("Locked", "locked"), ("Without figures", "missing"), ("Keys left out", "dropped_keys"),
                              ("Batches waiting", "spool_batches")):
                self.assertEqual(row[head], count(figures[key]), head)
            self.assertEqual(row["Bytes waiting"], [size(figures["spool_bytes"]), f"{figures['spool_bytes']} bytes"])
            self.assertEqual(row["Version"][0], "9.8.7")
            self.assertEqual(row["What is wrong"][0], f"{host['error']} – {host['advice']}" if host["error"] else "")
        self.assertIn("ahead of ours", shown["kvm3"]["What is wrong"][0])
        aligned = browser.js("return [...document.querySelectorAll('[data-health=Hosts] tbody tr:first-child td')]"
                             ".filter((n) => getComputedStyle(n).textAlign === 'right').length")
        self.assertEqual(aligned, 9)

    def test_sinks_and_feed(self):
        """dashboard: health: sinks with their queues, what came in, history and its tiers are as the JSON has them"""
        daemon = self.daemon(sink__down={"url": "http://127.0.0.1:1", "database": "one"},
                             spool={"dir": self.scratch / "spool"},
                             forward={"program": args.build / "hooks" / "forward", "linger": 1})
        self.fill(daemon)
        daemon.write("some_series value=1i\nnonsense\n", status=400)
        self.settles(lambda: daemon.json("diagnostic")["forwarding"]["sinks"][0]["failures"] > 0, "the sink is not down")
        self.settles(lambda: not daemon.json("status")["history"]["queued"], "not written")
        self.open(daemon)
        told, state = self.settles(lambda: self.told(daemon), "it goes on changing"), daemon.json("status")
        sink, row = told["forwarding"]["sinks"][0], self.rows("Sinks")[0]
        self.assertEqual((row["Sink"], row["Type"][0], row["Status"][0], row["Last success"][0]),
                         (["down", sink["url"]], sink["type"], "◆ error", "never"))
        self.assertGreater(sink["queued_batches"], 0)
        for head, key in (("Batches waiting", "queued_batches"), ("Lines sent", "sent_lines"), ("Lines refused", "rejected_lines"),
                          ("Batches dropped", "dropped_batches"), ("Batches damaged", "bad_batches"), ("Sent again", "retried")):
            self.assertEqual(row[head], count(sink[key]), head)
        self.assertEqual(row["Bytes waiting"], [size(sink["queued_bytes"]), f"{sink['queued_bytes']} bytes"])
        self.assertRegex(row["Oldest"][0], r"^\d+ s$")
        self.assertIn(sink["error"] or sink["last_error"], row["What is wrong"][0])
        spool, forwarder = told["spool"], told["forwarder"]
        self.assertEqual(self.facts("Sinks"), {"Spool": [MARKS[spool["status"]], ""], "Spool's place": [told["forwarding"]["spool"], ""],
                                               "Forwarder": [MARKS[forwarder["status"]], ""]})
        self.assertEqual(self.rows("libvirt")[0]["Took"][0], "–", "never asked")
        feed = self.facts("Feed")
        self.assert_ago(feed["Last sample"], told["feed"]["last_sample"])
        self.assertGreater(told["feed"]["foreign_lines"], 0)
        for label, key in (("Samples", "samples"), ("Samples of VMs", "vm_samples"), ("Events", "events"), ("Lines", "lines"),
                           ("Lines refused", "refused_lines"), ("Lines of other series", "foreign_lines"),
                           ("Lines passed on", "relayed_lines"), ("Late", "late"), ("Doubled", "doubled"), ("VMs refused", "refused_vms")):
            self.assertEqual(feed[label], count(told["feed"][key]), label)
        history = self.facts("History")
        self.assertGreater(told["history"]["written"], 0)
        for label, key in (("Written", "written"), ("Waiting", "queued"), ("Dropped", "dropped"), ("Not yet in a tier", "pending")):
            self.assertEqual(history[label], count(told["history"][key]), label)
        tiers = {row["Tier"][0]: row["Rows"] for row in self.rows("History")}
        self.assertEqual(tiers, {name: count(tier["rows"]) for name, tier in told["history"]["tiers"].items()})
        self.assertEqual(self.facts("telemetryd")["Version"][0], state["version"])
        for scheme in ("light", "dark"):
            self.browser.media(color_scheme=scheme)
            for shape in (web.DESKTOP, web.PHONE):
                self.browser.size(*shape)
                with self.subTest(scheme=scheme, size=shape):
                    self.assert_accessible()
                    self.assertLessEqual(self.browser.js("return document.documentElement.scrollWidth - innerWidth"), 0)

    def test_stays(self):
        """dashboard: health: focus, what is selected and how far one has scrolled stay while figures are renewed"""
        daemon = self.daemon(collector={"enabled": "yes", "uris": "test:///default", "interval": 1})
        self.fill(daemon)
        self.browser.size(700, 900)
        browser = self.open(daemon)
        browser.js("""const scroll = document.querySelector("[data-health=Hosts] .scroll");
            scroll.focus(); scroll.scrollLeft = 150;
            window.cell = document.querySelector("[data-health=Hosts] td"); getSelection().selectAllChildren(cell);""")
        last = "return document.querySelector('[data-health=libvirt] time').title"
        before, selected = browser.js(last), browser.js("return String(getSelection())")
        self.assertTrue(selected)
        for _ in range(2):
            browser.wait(f"{last} !== arguments[0]", before, seconds=15)
            before = browser.js(last)
        self.assertEqual(browser.js("""const scroll = document.querySelector("[data-health=Hosts] .scroll");
            return [document.activeElement === scroll, scroll.scrollLeft, cell.isConnected, String(getSelection())]"""),
                         [True, 150, True, selected])

    def test_start_and_stop(self):
        """dashboard: health: the collector is stopped and started by keyboard, and it says what came of it and what it sees"""
        daemon = self.daemon(collector={"enabled": "yes", "uris": "test:///default", "interval": 1})
        self.fill(daemon)
        browser = self.open(daemon)
        self.settles(lambda: self.rows("libvirt")[0]["Status"][0] == "● ok", "not asked")
        for button, running in (("Stop", False), ("Start", True)):
            browser.wait("window.button = [...document.querySelectorAll('.health button')].find((b) => b.textContent === "
                         "arguments[0]); return !button.disabled", button)
            browser.js("button.focus()")
            browser.keys("Enter")
            self.settles(lambda running=running: daemon.json("status")["running"] is running, button)
            browser.wait("return document.querySelector('[data-health=Collector] dd').textContent === arguments[0]",
                         "running" if running else "stopped")
            self.assertTrue(self.texts(".health [role=status]")[0])
            self.assertEqual(browser.js("return document.activeElement.textContent"), "Start" if button == "Stop" else "Stop")
            if running:
                continue
            row, told = self.rows("libvirt")[0], daemon.json("diagnostic")["libvirt"][0]
            self.assertEqual((row["Status"][0], row["What is wrong"][0]), ("○ stopped", ""))
            self.assertEqual((row["Left out"], row["Took"]), (count(1), [milliseconds(told["collect_ms"]), exact(told["collect_ms"], "ms")]))
            self.assert_ago(row["Last collection"], told["last_collection"])
            self.assertEqual((row["Collections"], row["Errors"]), (count(told["collections"]), count(told["errors"])))
            self.assertEqual(daemon.json("status")["vms_monitored"], 5, "those of probes too")
            self.assertEqual(self.facts("Collector")["VMs it sees"], count(0))


if __name__ == "__main__":
    raise SystemExit(main())
