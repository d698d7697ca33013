#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The dashboard's first view, in Chromium: VMs as cards and as a table, search, order, keyboard, names of all kinds."""
import re

import web  # noqa: F401 (where the modules are)
import fleet
from web import CARD_FIGURES, PHONE, TABLE_FIGURES, WebCase, byte_rate, percent
from harness import main
from replayed import at
from telemetryd import SECOND, now_ns, totals

MARKUP = "<img src=x onerror=alert(1)><script>document.title='taken'</script>"
HEBREW = "\u05e9\u05e8\u05ea \u202etxt.exe\u202c \u0645\u062f\u064a\u0646\u0629"
LONG = "very-long-" * 20
STICKS_OUT = """return [...document.querySelectorAll("[data-vm-id]:not([hidden]) :is(.title, span, p)")].filter((n) =>
    n.getBoundingClientRect().right > n.closest("[data-vm-id]").getBoundingClientRect().right + 1).map((n) => n.outerHTML)"""
FIRST_VIEW_BYTES = 200 * 1000


def info(vm_id, time_ns, name, uname="alice"):
    quoted = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'vm_info,VMID={vm_id},host=kvm1,uuid=u-{vm_id} vm_name="{quoted}",uname="{uname}",uid="1" {time_ns}\n'


class FleetView(WebCase):
    def ids(self):
        """From top to bottom."""
        return self.browser.js("""return [...document.querySelectorAll("[data-vm-id]")].filter((n) => !n.hidden)
            .map((n) => [n.getBoundingClientRect(), Number(n.dataset.vmId)])
            .sort(([a], [b]) => a.y - b.y || a.x - b.x).map(([, id]) => id)""")

    def test_cards(self):
        """dashboard: cards show what the JSON has; nothing is out of place in the browser's console"""
        daemon = self.daemon()
        self.fill(daemon)
        self.page(daemon)
        shown = self.shows(5)
        vms = daemon.vms()
        self.assert_figures(shown, vms, CARD_FIGURES)
        most = max(vm["disk_read_per_sec"] + vm["disk_write_per_sec"] for vm in vms.values())
        self.assertLess(most, 2**20)
        for vm_id, vm in vms.items():
            disk = vm["disk_read_per_sec"] + vm["disk_write_per_sec"]
            self.assertEqual(shown[vm_id]["title"], vm["vm_name"])
            self.assertEqual(shown[vm_id]["figures"]["disk"][0], percent(100 * disk / 2**20), vm_id)
            for text in (byte_rate(disk), f"{vm['name']} · ID {vm_id}",
                         f"{vm['cpu_count']} vCPU · 32.0 MiB · kvm1 · {vm['uname']}"):
                self.assertIn(text, shown[vm_id]["text"])
        self.assertEqual(shown[83]["badge"], "● running")
        self.assertEqual(shown[85]["badge"], "‖ paused")

    def test_table(self):
        """dashboard: the table shows what the JSON has, and says how it is sorted"""
        daemon = self.daemon()
        self.fill(daemon)
        self.page(daemon, "#/?layout=table&sort=cpu&desc=1")
        self.assert_figures(self.shows(5), daemon.vms(), TABLE_FIGURES)
        self.assertEqual(self.texts('[aria-sort="descending"]'), ["CPU"])

    def test_top_lists(self):
        """dashboard: the top lists name who is highest by the JSON"""
        daemon = self.daemon()
        self.fill(daemon)
        self.page(daemon)
        self.shows(5)
        vms = daemon.vms().values()
        for name, key in (("cpu", "cpu_usage_percent"), ("steal", "cpu_steal_percent")):
            want = sorted((vm for vm in vms if vm[key] > 0), key=lambda vm: -vm[key])[:5]
            self.assertGreater(len(want), 1)
            texts = [text.split("\n") for text in self.texts(f'[data-top="{name}"] li')]
            self.assertEqual([(one[0], re.sub("^[▲◆] ", "", one[-1])) for one in texts],
                             [(vm["vm_name"], percent(vm[key])) for vm in want])
        self.assertEqual(self.texts('[data-top="drops"] li'), ["none above 0"])

    def test_search(self):
        """dashboard: search, filters, order and layout stand in the address, and the address gives the same view"""
        daemon = self.daemon()
        self.fill(daemon)
        browser = self.page(daemon)
        self.shows(5)
        browser.type('[type="search"]', "PAUSED")
        self.shows(1)
        self.assertEqual((self.ids(), self.address()), ([85], "#/?q=PAUSED"))
        self.assertEqual(self.texts(".count"), ["1 of 5 VMs"])
        cases = (("q=83", [83]), ("q=one-8+worker", [83]), ("owner=oneadmin", [83, 85]), ("state=paused", [85]),
                 ("sort=name", [83, 85, 82, 79, 84]), ("sort=cpu&desc=1", [83, 82, 84, 79, 85]),
                 ("q=one&owner=oneadmin&sort=id&desc=1&layout=table", [85, 83]), ("state=attention", [83]))
        for query, want in cases:
            self.page(daemon, f"#/?{query}")
            self.shows(len(want))
            self.assertEqual(self.ids(), want, query)
        self.page(daemon, "#/?q=nobody")
        browser.wait("return document.querySelector('.notice h2')")
        self.assertEqual(self.texts(".notice h2"), ["No VM is like that"])
        browser.click(".notice button")
        self.shows(5)
        self.choose(".toolbar label:nth-of-type(3) select", "bob")
        self.shows(1)
        self.assertEqual((self.ids(), self.address()), ([82], "#/?owner=bob"))
        self.choose(".toolbar label:nth-of-type(3) select", "")
        self.choose(".toolbar label:nth-of-type(5) select", "memory")
        self.assertEqual(self.address(), "#/?sort=memory&desc=1")
        self.assertEqual(self.ids(), sorted(self.ids()), "all the same: by ID")

    def test_keyboard(self):
        """dashboard: / searches, t changes the layout, p pauses, Tab reaches cards, Enter opens one, Esc comes back"""
        daemon = self.daemon()
        self.fill(daemon)
        browser = self.page(daemon)
        self.shows(5)
        browser.keys("Tab")
        self.assertEqual(browser.js("return document.activeElement.className"), "skip")
        browser.js("document.activeElement.blur()")
        browser.keys("/")
        browser.keys("o", "n", "e", "-", "8", "3")
        self.shows(1)
        self.assertEqual(self.address(), "#/?q=one-83", "the p and t of a word typed are no keys")
        browser.js("document.activeElement.blur()")
        browser.keys("t")
        browser.wait("return document.querySelector('[role=table]')")
        self.assertEqual(self.address(), "#/?q=one-83&layout=table")
        browser.keys("p")
        self.state("paused")
        browser.keys("p")
        self.state("live")
        browser.keys("t")
        browser.js("document.querySelector('.toolbar button:last-of-type').focus()")
        for _ in range(40):
            browser.keys("Tab")
            if browser.js("return document.activeElement.matches('.card a')"):
                break
        browser.keys("Enter")
        browser.wait("return location.hash === '#/vm/83' && document.querySelector('.vm')")
        browser.keys("Escape")
        browser.wait("return location.hash === '#/?q=one-83'")
        self.shows(1)

    def test_names(self):
        """dashboard: markup, right-to-left text and 200 characters as names are text, and take no more room than theirs"""
        daemon, now = self.daemon(), now_ns()
        names = {83: MARKUP, 84: HEBREW, 85: LONG, 86: "a" * 200}
        daemon.write("".join(totals(vm_id, now) + info(vm_id, now, name, uname=MARKUP) for vm_id, name in names.items()))
        for address in ("", "#/?layout=table"):
            self.page(daemon, address)
            shown = self.shows(4)
            self.assertEqual({vm_id: seen["title"] for vm_id, seen in shown.items()}, names)
            self.assertEqual(self.browser.js("return document.querySelectorAll('main img, main script').length"), 0)
            self.assertEqual(self.browser.js("return document.title"), "one-telemetry")
            self.assertLessEqual(self.browser.js("return document.documentElement.scrollWidth - innerWidth"), 0)
            self.assertEqual(self.browser.js(STICKS_OUT), [])
            self.assert_accessible()
        for vm_id, name in names.items():
            self.page(daemon, f"#/vm/{vm_id}")
            self.browser.wait("return document.querySelector('h2').textContent === arguments[0]", name)
            self.assertLessEqual(self.browser.js("return document.documentElement.scrollWidth - innerWidth"), 0, name)

    def test_words(self):
        """dashboard: words in place of numbers where a VM warms up, is locked, stale or without figures"""
        daemon, now = self.daemon(), now_ns()
        daemon.write(totals(83, now) + totals(84, now - 600 * 10**9) +
                     totals(85, now - 5 * 10**9, locked="1i", cpu_usage_percent="7.5", memory_usage_percent="50.0") +
                     f'vm_events,VMID=86,host=kvm1,state=ACTIVE,lcm_state=RUNNING name="new" {now}\n')
        want = {83: ("warming_up", "warming up"), 84: ("stale", "stale"), 85: ("locked", "locked"), 86: ("missing", "no data")}
        for address in ("", "#/?layout=table"):
            self.page(daemon, address)
            shown = self.shows(4)
            for vm_id, (standing, words) in want.items():
                self.assertEqual(shown[vm_id]["standing"], standing)
                self.assertIn(words, shown[vm_id]["badge"])
            for vm_id, figure in ((83, "cpu"), (83, "rx"), (84, "cpu"), (84, "memory"), (84, "disk_read"), (85, "disk_read"),
                                  (85, "memory"), (86, "cpu"), (86, "memory"), (86, "tx")):
                text, title = shown[vm_id]["figures"][figure]
                self.assertEqual(text, want[vm_id][1], f"{vm_id} {figure}")
                self.assertNotRegex(title, r"\d")
            self.assertEqual(shown[85]["figures"]["cpu"][0], "7.5 %")
            self.assertEqual(self.texts(".count"), ["4 VMs, 1 warming up, 1 stale, 1 no data, 1 locked"])
            self.assert_accessible()

    def test_withheld(self):
        """dashboard: a figure that is not shown counts nowhere: order, attention, top lists, rates, thresholds"""
        daemon, now = self.daemon(), now_ns()
        high = {"cpu_usage_percent": "99.0", "memory_usage_percent": "99.0", "memory_source": '"guest"', "cpu_steal_percent": "50.0",
                "disk_rd_latency_ms": "70.0", "net_rxdrops_per_sec": "500.0"}
        daemon.write(totals(90, now - 600 * SECOND, **high))
        daemon.write(totals(91, now - SECOND, locked="1i", **{**high, "memory_usage_percent": "80.0"}) + totals(91, now, locked="1i", **high))
        daemon.write(totals(92, now, cpu_usage_percent="10.0", disk_rd_latency_ms="3.0"))
        daemon.write(f'vm_events,VMID=93,host=kvm1,state=ACTIVE,lcm_state=RUNNING name="new" {now}\n')
        self.assertEqual(daemon.vms()[90]["cpu_usage_percent"], 99.0)
        self.assertIn("cpu_count", daemon.vms()[93]["missing"])
        self.page(daemon, "#/?sort=cpu&desc=1")
        shown = self.shows(4)
        self.assertEqual(self.ids(), [91, 92, 90, 93])
        self.assertEqual(self.tops("cpu"), [(91, "◆ 99.0 %"), (92, "10.0 %")])
        self.assertEqual(self.tops("latency"), [(92, "3.00 ms")])
        self.assertEqual(self.tops("steal"), [(91, "◆ 50.0 %")])
        self.assertEqual(self.rates(91)["memory"], "")
        self.assertEqual(self.levels(90), {"cpu": "0", "memory": "0", "disk": "0"})
        self.assertEqual(self.levels(91), {"cpu": "2", "memory": "0", "disk": "0"})
        self.assertIn("– vCPU · – · kvm1", shown[93]["text"])
        self.assertEqual(self.scales(93)["memory"], "of 100 %")
        self.assertNotIn("0 vCPU", shown[93]["text"])
        self.page(daemon, "#/?sort=attention&desc=1&layout=table")
        self.shows(4)
        self.assertEqual(self.ids(), [91, 90, 93, 92])
        self.assertEqual(self.cell(93, "vcpus") + self.cell(93, "size"), ["–", "vCPUs: not known", "–", "memory: not known"])
        self.assertEqual(self.cell(92, "vcpus") + self.cell(92, "size"), ["2", "2 vCPUs", "1.00 MiB", "1024 KiB"])

    # ---- of what is shown ---------------------------------------------------------------------------------

    def tops(self, name):
        """[(VM's ID, text)] of a top list."""
        return [(int(one[1]), one[2]) for one in (text.split("\n") for text in self.texts(f'[data-top="{name}"] li:not(.none)'))]

    def gauges(self, vm_id, css):
        """{figure: text} of that part of the gauges of a card."""
        return self.browser.js("""return Object.fromEntries([...document.querySelectorAll(
            `[data-vm-id="${arguments[0]}"] .gauge`)].map((n) => [n.querySelector("[data-figure]").dataset.figure,
                arguments[1] ? n.querySelector(arguments[1]).textContent : n.dataset.level]))""", vm_id, css)

    def levels(self, vm_id):
        return self.gauges(vm_id, None)

    def rates(self, vm_id):
        return self.gauges(vm_id, ".rate")

    def scales(self, vm_id):
        return self.gauges(vm_id, ".scale")

    def cell(self, vm_id, column):
        """[text, title] in the table."""
        return self.browser.js("""const n = document.querySelector(`[data-vm-id="${arguments[0]}"] [data-column="${arguments[1]}"]`);
            return [n.textContent, n.title]""", vm_id, column)

    def test_empty(self):
        """dashboard: without VMs it says so, and what would bring some"""
        daemon = self.daemon()
        self.page(daemon)
        self.browser.wait("return document.querySelector('.notice')")
        self.assertEqual(self.texts(".notice h2"), ["No VMs found"])
        self.assert_accessible()
        self.fill(daemon)
        self.shows(5)
        self.assertEqual(self.texts(".notice"), [])

    def test_first_view(self):
        """dashboard: the first view of three VMs costs less than 200 KB, all of it from the same place"""
        daemon = self.daemon()
        self.fill(daemon, change=lambda text: "".join(re.findall(r"^\w+,VMID=(?:79|82|83),.*\n", text, re.M)))
        self.page(daemon)
        self.shows(3)
        self.browser.js("return document.fonts.ready.then(() => 1)")
        self.take_network()
        size = {}
        for method, params in self.network:
            if method == "Network.dataReceived":  # the stream has no end
                size[params["requestId"]] = size.get(params["requestId"], 0) + params["encodedDataLength"]
            elif method == "Network.responseReceived":
                size[params["requestId"]] = size.get(params["requestId"], 0) + params["response"]["encodedDataLength"]
        for method, params in self.network:
            if method == "Network.loadingFinished":
                size[params["requestId"]] = params["encodedDataLength"]
        self.assertGreater(len(size), 12, "requests")
        self.assertGreater(sum(size.values()), 50 * 1000)
        self.assertLess(sum(size.values()), FIRST_VIEW_BYTES)

    def test_many(self):
        """dashboard: of 1,000 VMs it shows those that are in sight, and all of them can be reached"""
        daemon = self.daemon()
        daemon.write(at(fleet.lines(self.probe(), 1000, self.scratch), now_ns()))
        for address, figures in (("", CARD_FIGURES), ("#/?layout=table", TABLE_FIGURES)):
            browser = self.page(daemon, address)
            browser.wait("return document.querySelector('.count').textContent === '1000 VMs'")
            vms, seen = daemon.vms(), set()
            for part in (0, 0.25, 0.5, 0.75, 1):
                browser.js("""for (const n of [document.documentElement, document.querySelector(".list")])
                    n.scrollTop = n.scrollHeight * arguments[0]""", part)
                browser.wait("return new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(1))))")
                shown = self.shown()
                self.assertLess(len(shown), 100)
                self.assert_figures(shown, {vm_id: vms[vm_id] for vm_id in shown}, figures)
                seen |= set(shown)
            self.assertLessEqual({1000, 1999}, seen)
            browser.type('[type="search"]', "one-1777")
            self.shows(1)
            self.assertEqual(self.ids(), [1777])
        self.page(daemon)
        self.browser.wait("return document.querySelector('.count').textContent === '1000 VMs'")
        self.assert_accessible()

    def test_comings_and_goings(self):
        """dashboard: left and come back to over and over, it is there at once: pages kept for the way back hold no connection"""
        daemon = self.daemon()
        self.fill(daemon)
        for _ in range(4):
            for address in ("", "#/vm/83", "#/health"):
                self.page(daemon, address, state=None)
                self.state("live", seconds=5)

    def test_looks(self):
        """dashboard: in the dark, on a phone and for those who want no motion it is whole, and axe-core finds nothing serious"""
        daemon = self.daemon()
        self.fill(daemon)
        background = []
        for scheme in ("light", "dark"):
            for width in ((1280, 900), PHONE):
                self.browser.media(color_scheme=scheme, reduced_motion="reduce")
                self.browser.size(*width)
                for address in ("", "#/?layout=table"):
                    self.page(daemon, address)
                    self.browser.wait("return document.querySelector('[data-vm-id]')")
                    with self.subTest(scheme=scheme, width=width, address=address):
                        self.assert_accessible()
                        self.assertLessEqual(self.browser.js("return document.documentElement.scrollWidth - innerWidth"), 0)
            background.append(self.browser.js("return getComputedStyle(document.body).backgroundColor"))
        self.assertNotEqual(*background)
        moving = ("return [...document.querySelectorAll('*')].filter((n) => "
                  "parseFloat(getComputedStyle(n).transitionDuration)).length")
        self.page(daemon)
        self.browser.wait("return document.querySelector('.gauge .arc')")
        for wish in ("reduce", "no-preference"):  # of the second nothing is asked, but each frame of 30 gauges costs
            self.browser.media(reduced_motion=wish)
            self.assertEqual(self.browser.js(moving), 0, wish)


if __name__ == "__main__":
    raise SystemExit(main())
