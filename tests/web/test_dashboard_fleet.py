#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The dashboard's first view, in Chromium: VMs as cards and as a table, keyboard, names of all kinds."""
import re

import web  # noqa: F401 (where the modules are)
import fleet
from browser import KEYS
from web import CARD_FIGURES, PHONE, TABLE_FIGURES, WebCase, byte_rate, degrees, exact, expected, fixed, past, percent, point_rate
from harness import main
from replayed import at
from telemetryd import SECOND, now_ns, totals

MARKUP = "<img src=x onerror=alert(1)><script>document.title='taken'</script>"
HEBREW = "\u05e9\u05e8\u05ea \u202etxt.exe\u202c \u0645\u062f\u064a\u0646\u0629"
LONG = "very-long-" * 20
STICKS_OUT = """return [...document.querySelectorAll("[data-vm-id]:not([hidden]) :is(.title, span, p)")].filter((n) =>
    n.getBoundingClientRect().right > n.closest("[data-vm-id]").getBoundingClientRect().right + 1).map((n) => n.outerHTML)"""
TEXT = "return document.querySelector(`[data-vm-id='${arguments[0]}'] ${arguments[1]}`).textContent"
TITLE = TEXT.replace("textContent", "title")
STYLE = "return getComputedStyle(document.querySelector(`[data-vm-id='${arguments[0]}'] ${arguments[1]}`)).getPropertyValue(arguments[2])"
POINTS = """(id) => (document.querySelector(`[data-vm-id="${id}"] .spark .line`)?.getAttribute("points") ?? "").trim().split(" ")
    .filter(Boolean).map((pair) => pair.split(",").map(Number))"""
FOCUSED = "return Number(document.activeElement.closest('[data-vm-id]')?.dataset.vmId)"
IN_SIGHT = """const {top, bottom} = document.activeElement.getBoundingClientRect();
const head = document.querySelector(".line.head")?.getBoundingClientRect().bottom ?? 0; return top >= head - 1 && bottom <= innerHeight"""
# figures and words wider than their room; those of a card that are over another
CUT = """const cards = [...document.querySelectorAll(".card")];
const room = document.createRange();
return cards.flatMap((card) => [...card.querySelectorAll(".flows dd, .flows dt, .gauge .value, .gauge .mark, .gauge .label, .gauge .rate, .gauge .scale")])
    .filter((n) => n.textContent).filter((n) => { room.selectNodeContents(n); const text = room.getBoundingClientRect(), own = n.getBoundingClientRect();
        return text.left < own.left - 1 || text.right > own.right + 1 || text.bottom > own.bottom + 3; })
    .map((n) => `${n.className} ${n.dataset.figure}: ${n.textContent}`)"""
FIRST_VIEW_BYTES = 200 * 1000


def info(vm_id, time_ns, name, uname="alice"):
    quoted = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'vm_info,VMID={vm_id},host=kvm1,uuid=u-{vm_id} vm_name="{quoted}",uname="{uname}",uid="1" {time_ns}\n'


class FleetView(WebCase):
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
        for vm_id in (79, 83):
            for figure in TABLE_FIGURES:
                self.assertEqual([self.browser.js(STYLE, vm_id, f"[data-figure={figure}]", style) for style in (
                    "text-align", "font-variant-numeric")], ["right", "tabular-nums"], figure)

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
        now = now_ns()
        daemon.write("".join(totals(vm_id, now, disk_rd_latency_ms=f"{read}", disk_wr_latency_ms=f"{written}", net_rxdrops_per_sec=f"{rx}",
                                    net_txdrops_per_sec=f"{tx}") for vm_id, read, written, rx, tx in (
            (91, 3.25, 23.4567, 0.25, 0.125), (92, 55.4321, 8.5, 12.3456, 100.25), (93, 1.5, 0.75, 1.625, 0.0))))
        self.shows(8)
        vms = daemon.vms()
        for name, unit, remarked in (("latency", "ms", (91, 92)), ("drops", "packets/s", (92, 93))):
            want = sorted(((vm_id, *expected(vm, name, TABLE_FIGURES)) for vm_id, vm in vms.items() if vm_id > 90), key=lambda one: -one[1])
            self.browser.wait("return document.querySelectorAll(`[data-top=${arguments[0]}] li`).length >= 3", name)
            self.assertEqual([(vm_id, re.sub("^[▲◆] ", "", text)) for vm_id, text in self.tops(name) if vm_id > 90],
                             [(vm_id, text) for vm_id, _, text in want])
            titles = self.browser.js("return [...document.querySelectorAll(`[data-top=${arguments[0]}] .number`)].map((n) => n.title)", name)
            self.assertLessEqual({exact(value, unit) for _, value, _ in want}, set(titles))
            for vm_id, value, _ in want:
                self.assertEqual(exact(value, unit) in self.browser.js(TITLE, vm_id, ".age"), vm_id in remarked, f"{vm_id} {name}")

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
            if not address:
                self.assertRegex(self.browser.js(TEXT, 84, ".age"), r"^last figures 10 min( \d+ s)? old$")
                self.assertRegex(self.browser.js(TITLE, 84, ".age"), r"^6\d\d(\.\d{1,3})? s$")
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

    def test_gauges(self):
        """dashboard: arcs, levels in words, scales, angles and rates of a card are those of the JSON; so are the exact values"""
        daemon, now = self.daemon(), now_ns()
        for age, grown in ((1, 0), (0, 1)):
            daemon.write("".join(totals(
                vm_id, now - age * SECOND, cpu_s=5 + grown, cpu_usage_percent=f"{cpu + grown * 1.25}", memory_source=f'"{source}"',
                memory_usage_percent=f"{memory - grown * 0.5}", disk_rd_bytes=f"{10**9 + grown}i", net_txbytes="7777777i",
                disk_rd_bytes_per_sec=f"{4e5 + grown * 3e5}", disk_wr_bytes_per_sec="100000.0", cpu_steal_percent="6.54321",
                net_rxbytes_per_sec=f"{3e6 - grown * 2e6}", net_txbytes_per_sec="1234.5")
                for vm_id, cpu, memory, source in ((83, 40, 70.0, "guest"), (84, 80, 90.25, "guest"), (85, 95.5, 99.0, "balloon"))))
        self.page(daemon)
        shown, vms = self.shows(3), daemon.vms()
        words = ["", "▲ high", "◆ critical"]
        for vm_id, (levels, soft) in {83: ("000", None), 84: ("110", None), 85: ("200", "")}.items():
            vm, disk = vms[vm_id], vms[vm_id]["disk_read_per_sec"] + vms[vm_id]["disk_write_per_sec"]
            source = vm["memory_source"]
            self.assertEqual(self.levels(vm_id), dict(zip(("cpu", "memory", "disk"), levels)))
            self.assertEqual(self.gauges(vm_id, ".mark"), dict(zip(("cpu", "memory", "disk"), (words[int(n)] for n in levels))))
            self.assertEqual(self.scales(vm_id), {"cpu": "of 100 %", "memory": f"of 100 %, {source}", "disk": "of 1.00 MiB/s"})
            self.assertEqual(self.rates(vm_id), {
                **{name: f"{degrees(vm[f'{name}_rate'])} · {point_rate(vm[f'{name}_per_sec'])}" for name in ("cpu", "memory")},
                "disk": byte_rate(disk)})
            self.assertEqual(self.soft(vm_id), soft)
            self.assertEqual(self.browser.js(TEXT, vm_id, ".age[data-level='1']"), "▲ Steal 6.5 %")
            self.assertEqual(self.browser.js(TITLE, vm_id, ".age"), f"Steal {exact(vm['cpu_steal_percent'], '% of its vCPUs')}")
            for name, part in (("cpu", vm["cpu_usage_percent"]), ("memory", vm["memory_usage_percent"]), ("disk", 100 * disk / 2**20)):
                self.assertEqual(self.arc(vm_id, name), f"{fixed(part, 1)} 100")
            for name in ("cpu", "memory"):
                self.assertEqual(self.numbers(vm_id, f".gauge:has([data-figure={name}]) .rate"),
                                 [vm[f"{name}_rate"], vm[f"{name}_per_sec"]])
            for figure, key in (("rx", "network_rx"), ("tx", "network_tx"), ("disk_read", "disk_read"), ("disk_write", "disk_write")):
                angle = f"[data-figure={figure}] + .angle"
                self.assertEqual(self.browser.js(TEXT, vm_id, angle), degrees(vm[f"{key}_rate"]) if f"{key}_rate" not in vm["missing"] else "")
                self.assertEqual(self.numbers(vm_id, angle), [vm[f"{key}_rate"]] if f"{key}_rate" not in vm["missing"] else [])
            self.assertIn(f"; {vm['disk_read_bytes']} bytes in all", shown[vm_id]["figures"]["disk_read"][1])
            self.assertIn(f"; {vm['network_tx_bytes']} bytes in all", shown[vm_id]["figures"]["tx"][1])
        colours = [self.browser.js(STYLE, vm_id, f".gauge:has([data-figure={name}]) .arc", "stroke")
                   for vm_id, name in ((83, "cpu"), (84, "cpu"), (85, "cpu"), (85, "memory"))]
        self.assertEqual(len(set(colours)), 4, f"ok, high, critical, and full without fault: {colours}")
        self.assertGreater(abs(vms[83]["cpu_rate"]), 30)
        self.assertLess(vms[83]["memory_rate"], -15)
        for vm_id in vms:
            self.assertEqual(self.browser.js(TITLE, vm_id, ".facts"), "2 vCPUs, 1024 KiB, host kvm1, owner not known")
        self.page(daemon, "#/?layout=table")
        self.shows(3)
        for vm_id, vm in vms.items():
            for column, key, before in (("cpu", "cpu", ""), ("memory", "memory", f"{vm['memory_source']} "), ("rx", "network_rx", ""),
                                        ("disk_read", "disk_read", "")):
                angle = f"[data-column={column}] .angle"
                self.assertEqual(self.browser.js(TEXT, vm_id, angle), before + degrees(vm[f"{key}_rate"]))
                self.assertEqual(self.numbers(vm_id, angle), [vm[f"{key}_rate"], *([vm[f"{key}_per_sec"]] if before or key == "cpu" else [])])
        self.assertEqual(self.browser.js(TITLE, 84, "[data-figure=memory]"), "high: 89.75 %")
        self.assertEqual([self.browser.js(TEXT, vm_id, "[data-figure=cpu]")[0] for vm_id in vms], ["4", "▲", "◆"])
        self.assertEqual(len({self.browser.js(STYLE, vm_id, "[data-figure=cpu]", "color") for vm_id in vms}), 3)

    def test_sparkline(self):
        """dashboard: a sparkline begins with what is kept, without waiting for a sample; each sample is in it once"""
        daemon, end = self.daemon(), now_ns() // SECOND
        daemon.write("".join(past(90, end, 120)))
        self.settles(lambda: daemon.json("status")["history"]["written"] >= 12, "not written")
        browser = self.page(daemon)
        self.shows(1)
        browser.wait(f"return ({POINTS})(90).length > 2")
        kept = daemon.json("history/90?metric=cpu_usage_percent&from=-3m")["series"][0]["points"]
        drawn = browser.js(f"return ({POINTS})(90)")
        self.assertEqual(len(drawn), len(kept))
        first, last = [int(re.sub(r"\D", "", time[11:19])) for time in (kept[0][0], kept[-1][0])]
        self.assertGreater(last, first)
        for i, ((x, y), (_, mean, *_)) in enumerate(zip(drawn, kept)):
            self.assertAlmostEqual(x, 2000 * i / (len(kept) - 1), delta=20)
            self.assertAlmostEqual(y, 270 - 2.6 * mean, delta=1)
        self.assertEqual(self.texts(".spark .span"), ["CPU, 2 min"])
        self.allowed = ["ERR_BLOCKED_BY_CLIENT"]
        browser.cdp("Network.enable")
        browser.cdp("Network.setBlockedURLs", urls=["*/api/telemetry/stream*"])
        try:
            self.page(daemon, state="polling")
            browser.wait(f"return ({POINTS})(90).length > 2")
            browser.evaluate("new Promise((done) => setTimeout(done, 3500))")
            self.assertEqual(len(browser.js(f"return ({POINTS})(90)")), len(kept), "the same sample is asked for over and over")
        finally:
            browser.cdp("Network.setBlockedURLs", urls=[])

    def test_without_history(self):
        """dashboard: where no history is kept none is asked for"""
        daemon = self.daemon(history={"enabled": "no"})
        self.fill(daemon)
        self.page(daemon)
        self.shows(5)
        self.browser.evaluate("new Promise((done) => setTimeout(done, 1500))")
        self.take_network()
        self.assertEqual([url for url in self.requested() if "/history/" in url], [])

    def thousand(self):
        """A telemetryd with 1,000 VMs, and what makes each of them differ: that CPU."""
        daemon, text = self.daemon(), fleet.lines(self.probe(), 1000, self.scratch)

        def feed(cpu):
            daemon.write(at(re.sub(r"(VMID=(\d+),.*cpu_usage_percent=)[\d.]+", lambda m: f"{m[1]}{cpu(int(m[2])):.3f}", text), now_ns()))
        feed(lambda vm_id: vm_id * 37 % 1000 / 10)
        return daemon, feed

    def test_tab_order(self):
        """dashboard: of 1,000 VMs Tab goes from one to the next, back too and after they changed places; arrows, Home, End, pages"""
        daemon, feed = self.thousand()
        for address in ("#/?sort=cpu&desc=1", "#/?sort=cpu&desc=1&layout=table"):
            browser = self.page(daemon, address)
            browser.wait("return document.querySelector('.count').textContent === '1000 VMs'")
            order = [vm_id for _, vm_id in sorted((-(vm_id * 37 % 1000), vm_id) for vm_id in range(1000, 2000))]
            browser.js("document.querySelector('[data-vm-id] a').focus()")
            gone = [browser.js(FOCUSED)]
            for _ in range(40):
                browser.keys("Tab")
                gone.append(browser.js(FOCUSED))
            self.assertEqual(gone, order[:41])
            for _ in range(3):
                self.shift_tab()
            self.assertEqual(browser.js(FOCUSED), order[37])
            for key, index in (("End", 999), ("Home", 0), ("Down", None), ("PageDown", None), ("End", 999), ("Up", None)):
                browser.keys(key)
                settled = browser.evaluate(f"new Promise((done) => setTimeout(() => done((() => {{ {FOCUSED} }})()), 100))")
                at_index = order.index(settled)
                if index is not None:
                    self.assertEqual(at_index, index, key)
                elif key == "Down":
                    self.assertIn(at_index, (1, 3))
                elif key == "PageDown":
                    self.assertGreater(at_index, 5)
                else:
                    self.assertIn(at_index, (998, 996))
                self.assertTrue(browser.js(IN_SIGHT), key)
            browser.keys("Home")
            browser.wait(f"return (() => {{ {FOCUSED} }})() === arguments[0]", order[0])
            focused = browser.js(FOCUSED)
            feed(lambda vm_id: (vm_id * 37 + 3) % 1000 / 10 if vm_id == focused else (vm_id * 91 + 11) % 1000 / 10)
            browser.wait("return [...document.querySelectorAll('[data-vm-id]')].some((n) => Number(n.dataset.vmId) === arguments[0])",
                         next(vm_id for vm_id in range(1000, 2000) if (vm_id * 91 + 11) % 1000 == 999), seconds=20)
            self.assertEqual(browser.js(FOCUSED), focused, "the focus stays with its VM")
            self.assertEqual(browser.js("return [...document.querySelectorAll('[data-vm-id]')].map((n) => Number(n.dataset.vmId))"),
                             self.ids(), "the order that Tab goes by is what one sees")
            feed(lambda vm_id: vm_id * 37 % 1000 / 10)

    def shift_tab(self):
        self.browser.ask("POST", "/actions", {"actions": [{"type": "key", "id": "keyboard", "actions": [
            {"type": kind, "value": KEYS[key]} for kind, key in (("keyDown", "Shift"), ("keyDown", "Tab"), ("keyUp", "Tab"),
                                                                 ("keyUp", "Shift"))]}]})

    def test_table_in_sight(self):
        """dashboard: the table's head, names and scrollbar stay in sight; where there is little room figures come first"""
        daemon, _ = self.thousand()
        box = "const b = (css) => document.querySelector(css).getBoundingClientRect(); const list = b('.list.table');"
        for width, wanted in ((1280, ("cpu", "steal", "memory", "disk_read", "disk_write", "iops", "latency", "rx", "tx", "drops")),
                              (PHONE[0], ("drops",))):
            self.browser.size(width, 800)
            browser = self.page(daemon, "#/?layout=table&sort=drops&desc=1")
            browser.wait("return document.querySelectorAll('[data-vm-id]').length > 5")
            seen = browser.js(box + """return [...document.querySelectorAll(".head [data-column]")].filter((n) =>
                n.getBoundingClientRect().right <= list.right && n.getBoundingClientRect().left >= list.left).map((n) => n.dataset.column)""")
            self.assertLessEqual({"name", *wanted}, set(seen))
            self.assertEqual(seen[:2], ["name", "drops"])
            browser.js("scrollTo(0, 1e6); document.querySelector('.list').scrollTo(400, 9000)")
            browser.wait(f"{box} return b('.head').top >= 0 && document.querySelector('.list').scrollTop > 8000")
            browser.wait(f"{box} return list.bottom <= innerHeight && Math.abs(b('.head').top - list.top) < 3 && "
                         "Math.abs(b('.body [data-column=name]').left - list.left) < 3")
            self.assertGreater(len(self.shown()), 10)
            self.assertLess(browser.js("return document.documentElement.scrollHeight"), 2500)
        self.browser.size(2560, 900)
        browser.wait("return document.querySelector('.head').children[1].dataset.column === 'id'")

    def test_pause_holds(self):
        """dashboard: paused, the figures stand still, also those that scrolling brings and after a search"""
        daemon, feed = self.thousand()
        for address in ("", "#/?layout=table"):
            feed(lambda vm_id: 10.0)
            browser = self.page(daemon, address)
            browser.wait("return document.querySelectorAll('[data-vm-id]').length > 5")
            browser.wait("return document.querySelector('[data-figure=cpu]').textContent === '10.0 %'")
            browser.click("#pause")
            feed(lambda vm_id: 20.0)
            browser.evaluate("new Promise((done) => setTimeout(done, 1500))")
            for scroll in (10, 3000):
                browser.js("for (const n of [document.documentElement, document.querySelector('.list')]) n.scrollTop = arguments[0]", scroll)
                browser.evaluate("new Promise((done) => setTimeout(done, 200))")
                self.assertEqual({seen["figures"]["cpu"][0] for seen in self.shown().values()}, {"10.0 %"})
            browser.type('[type="search"]', "one-1777")
            self.assertEqual(self.shows(1)[1777]["figures"]["cpu"][0], "10.0 %")
            browser.click("#pause")
            browser.wait("return document.querySelector('[data-figure=cpu]').textContent === '20.0 %'", seconds=5)

    def test_room(self):
        """dashboard: from 320 to 3840 pixels no figure is cut off or lies over another; on a wall all of the width is used"""
        daemon, now = self.daemon(), now_ns()
        for age in (1, 0):
            daemon.write("".join(totals(vm_id, now - age * SECOND, cpu_usage_percent=f"{99.9 - 80 * age}", memory_usage_percent=f"{99.9 - 60 * age}",
                                        memory_source='"guest"', **{f"{name}_per_sec": f"{1023 * 1024 - age * 9e5}" for name in (
                                            "disk_rd_bytes", "disk_wr_bytes", "net_rxbytes", "net_txbytes")}) +
                                 info(vm_id, now, "postgres-main") for vm_id in range(100, 112)))
        for width in (320, 360, 381, 390, 775, 1150, 1280, 1920, 3840):
            self.browser.size(width, 900)
            self.page(daemon)
            self.browser.wait("return document.querySelectorAll('[data-vm-id]').length > 1")
            self.assertEqual(self.browser.js(CUT), [], width)
            self.assertLessEqual(self.browser.js("return document.documentElement.scrollWidth - innerWidth"), 0)
        self.assertGreater(self.browser.js("return document.querySelector('.list').clientWidth"), 3700)
        self.assertGreater(self.browser.js("return parseFloat(getComputedStyle(document.querySelector('.card .value')).fontSize)"), 20)
        self.browser.size(1280, 900)
        self.page(daemon)
        self.browser.wait("return document.querySelectorAll('.lists a').length > 4")
        self.assertEqual(self.browser.js("return [...document.querySelectorAll('.lists a')].filter((n) => n.scrollWidth > n.clientWidth + 1)"
                                         ".map((n) => n.textContent)"), [])
        self.assertGreater(self.browser.js("return document.querySelector('.lists').lastChild.getBoundingClientRect().right"), 1240)

    def test_life_cycle(self):
        """dashboard: OpenNebula's state of a VM's life cycle is said where it is not just RUNNING"""
        daemon, now = self.daemon(), now_ns()
        daemon.write("".join(totals(vm_id, now, cpu_usage_percent="7.5") for vm_id in (83, 84)) +
                     f'vm_events,VMID=83,host=kvm1,state=ACTIVE,lcm_state=MIGRATE name="a" {now}\n'
                     f'vm_events,VMID=84,host=kvm1,state=ACTIVE,lcm_state=RUNNING name="b" {now}\n')
        for address in ("", "#/?layout=table"):
            self.page(daemon, address)
            shown = self.shows(2)
            self.assertEqual(daemon.vms()[83]["one_lcm_state"], "MIGRATE")
            self.assertRegex(shown[83]["badge"], r"^\S [^·]+ · MIGRATE$")
            self.assertNotIn("RUNNING", shown[84]["badge"])
        for vm_id, badge in ((83, "● running · MIGRATE"), (84, "● running")):
            daemon.write(totals(vm_id, now_ns(), cpu_usage_percent="7.5"))
            self.page(daemon, f"#/vm/{vm_id}")
            self.browser.wait("return document.querySelector('.badge').textContent === arguments[0]", badge)

    def test_pace(self):
        """dashboard: however often samples come, the page is drawn once in an interval, and not where nothing comes"""
        daemon = self.daemon()
        self.fill(daemon)
        browser = self.page(daemon)
        self.shows(5)
        browser.js("performance.clearMarks()")
        for i in range(25):
            daemon.write(totals(83, now_ns(), cpu_usage_percent=f"{i}.5"))
            browser.evaluate("new Promise((done) => setTimeout(done, 120))")
        count = browser.js("return performance.getEntriesByName('one-telemetry-update').length")
        self.assertIn(count, range(2, 6))
        browser.evaluate("new Promise((done) => setTimeout(done, 1500))")
        browser.js("performance.clearMarks()")
        browser.evaluate("new Promise((done) => setTimeout(done, 2500))")
        self.assertEqual(browser.js("return performance.getEntriesByName('one-telemetry-update').length"), 0, "nothing has come")

    # ---- of what is shown ---------------------------------------------------------------------------------

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

    def soft(self, vm_id):
        """Whether memory's gauge is one that may be full."""
        return self.browser.js("""return document.querySelector(`[data-vm-id="${arguments[0]}"] .gauge:has([data-figure=memory])`)
            .getAttribute("data-soft")""", vm_id)

    def arc(self, vm_id, name):
        return self.browser.js("""return document.querySelector(`[data-vm-id="${arguments[0]}"] .gauge:has([data-figure=${arguments[1]}]) .arc`)
            .getAttribute("stroke-dasharray")""", vm_id, name)

    def numbers(self, vm_id, css):
        """Those in a title."""
        return [float(number) for number in re.findall(r"-?\d[\d.]*(?:e-?\d+)?", self.browser.js(TITLE, vm_id, css))]

    def cell(self, vm_id, column):
        """[text, title] in the table."""
        return self.browser.js("""const n = document.querySelector(`[data-vm-id="${arguments[0]}"] [data-column="${arguments[1]}"]`);
            return [n.textContent, n.title]""", vm_id, column)

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
