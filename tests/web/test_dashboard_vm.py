#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The dashboard's view of one VM, in Chromium: its figures, its devices, its past."""
import web  # noqa: F401 (where the modules are)
from web import PHONE, STEP_S, WebCase, byte_rate, milliseconds, past, per_second, percent
from harness import main
from telemetryd import API, SECOND, now_ns

HOUR = 3600
# how many pixels of a chart have the colour of its first series
INKED = """const at = document.querySelector(`[data-chart="${arguments[0]}"] canvas`);
const probe = document.createElement("canvas").getContext("2d");
probe.fillStyle = getComputedStyle(document.documentElement).getPropertyValue("--series-1").trim();
probe.fillRect(0, 0, 1, 1);
const [r, g, b] = probe.getImageData(0, 0, 1, 1).data, {data} = at.getContext("2d").getImageData(0, 0, at.width, at.height);
let count = 0;
for (let i = 0; i < data.length; i += 4)
    count += data[i + 3] > 200 && Math.abs(data[i] - r) + Math.abs(data[i + 1] - g) + Math.abs(data[i + 2] - b) < 60;
return count;"""
CHARTS = {"CPU and steal": ("cpu_usage_percent", percent), "Memory": ("memory_usage_percent", percent),
          "Disk throughput": ("disk_rd_bytes_per_sec", byte_rate), "Disk requests": ("disk_rd_req_per_sec", per_second),
          "Disk latency": ("disk_rd_latency_ms", milliseconds), "Network": ("net_rxbytes_per_sec", byte_rate),
          "Packets dropped": ("net_rxdrops_per_sec", per_second)}


class VmView(WebCase):
    def with_past(self, seconds=HOUR):
        daemon, end = self.daemon(), now_ns() // SECOND
        daemon.write("".join(past(90, end, seconds)))
        self.settles(lambda: daemon.json("status")["history"]["written"] >= seconds // STEP_S, "not written")
        return daemon, end

    def drawn(self):
        self.browser.wait("return [...document.querySelectorAll('.chart .summary')].every((n) => n.textContent)")

    def test_figures(self):
        """dashboard: one VM: its name, devices and vCPUs are those of the JSON"""
        daemon = self.daemon()
        self.fill(daemon)
        browser = self.page(daemon, "#/vm/84")
        browser.wait("return document.querySelector('[data-table=disks] td')")
        vm = daemon.json("vm-stats/84")
        self.assertEqual(self.texts(".vm h2"), ["wide-load"])
        self.assertIn("wide-load", browser.js("return document.title"))
        facts = dict(zip(self.texts(".identity dt"), self.texts(".identity dd")))
        for label, value in (("ID", "84"), ("Name", "one-84"), ("Host", "kvm1"), ("Owner", "carol (4165)"), ("UUID", vm["uuid"]),
                             ("vCPUs", "4"), ("Memory", "32.0 MiB of 32.0 MiB")):
            self.assertEqual(facts[label], value)
        rows = browser.js("""return ["disks", "nics", "vcpus"].map((name) =>
            [...document.querySelectorAll(`[data-table=${name}] tbody tr`)].map((row) =>
                [...row.cells].map((cell) => [cell.textContent, cell.title])))""")
        disks, nics, vcpus = rows
        self.assertEqual([row[0][0] for row in disks], [disk["name"] for disk in vm["disks"]])
        self.assertEqual([row[1][0] for row in nics], [nic["mac"] for nic in vm["nics"]])
        self.assertEqual((len(disks), len(nics), len(vcpus)), (3, 2, 4))
        for row, nic in zip(nics, vm["nics"]):
            self.assertEqual((row[2][0], float(row[2][1])), (byte_rate(nic["rxbytes_per_sec"]), nic["rxbytes_per_sec"]))
        for row, disk in zip(disks, vm["disks"]):
            self.assertEqual(row[1][0], byte_rate(disk["rd_bytes_per_sec"]))
        for row, vcpu in zip(vcpus, vm["vcpus"]):
            self.assertEqual(row[1][0], percent(vcpu["usage_percent"]))
        self.assert_accessible()

    def test_told(self):
        """dashboard: one VM: what OpenNebula's hook tells of it, and its events in OpenNebula's words"""
        daemon, now = self.daemon(), now_ns()
        self.fill(daemon)
        daemon.write(f'vm_info,VMID=84,host=kvm1 vm_name="<i>new</i>",uname="dora",uid="5",gname="ops",gid="6",template_id="12",'
                     f'cpu_requested="0.5",memory_requested="768",lock="admin",labels="prod,db",info_source="opennebula" {now}\n'
                     f'vm_events,VMID=84,host=kvm1,state=POWEROFF,lcm_state=LCM_INIT seq=1i,previous_state="ACTIVE",'
                     f'previous_lcm_state="SHUTDOWN_POWEROFF",reason="poweroff" {now - 600 * SECOND}\n'
                     f'vm_events,VMID=84,host=kvm1,state=ACTIVE,lcm_state=RUNNING seq=1i,previous_state="ACTIVE",'
                     f'previous_lcm_state="BOOT" {now - 300 * SECOND}\n')
        browser = self.page(daemon, "#/vm/84?range=15m")
        browser.wait("return document.querySelectorAll('.events li').length >= 2")
        facts = dict(zip(self.texts(".identity dt"), self.texts(".identity dd")))
        for label, value in (("Owner", "dora (5)"), ("Group", "ops (6)"), ("Template", "12"), ("Labels", "prod,db"),
                             ("Locked", "admin"), ("Requested", "0.5 CPU · 768 MiB")):
            self.assertEqual(facts.get(label), value, facts)
        self.assertEqual(self.texts(".vm h2"), ["<i>new</i>"])
        events = self.texts(".events li")
        self.assertTrue(any("RUNNING before: BOOT, on kvm1" in each for each in events), events)
        self.assertTrue(any("POWEROFF before: SHUTDOWN_POWEROFF, poweroff, on kvm1" in each for each in events), events)
        self.assert_accessible()

    def test_charts(self):
        """dashboard: one VM: charts are drawn of what the history has"""
        self.allowed = ["willReadFrequently"]  # of what INKED does
        daemon, end = self.with_past()
        browser = self.page(daemon, f"#/vm/90?from={end - HOUR}&to={end}")
        self.drawn()
        for title, (metric, write) in CHARTS.items():
            points = daemon.json(f"history/90?metric={metric}&from={end - HOUR}&to={end}")["series"][0]["points"]
            self.assertGreater(len(points), 300)
            means = [point[1] for point in points]
            words = browser.js('return document.querySelector(`[data-chart="${arguments[0]}"] .summary`).textContent', title)
            self.assertIn(f"{write(means[-1])}, at most {write(max(means))}", words, title)
            self.assertGreater(browser.js(INKED, title), 300, title)
        for scheme, size in (("dark", (1280, 900)), ("dark", PHONE), ("light", PHONE)):
            browser.media(color_scheme=scheme)
            browser.size(*size)
            browser.wait("return new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(1))))")
            with self.subTest(scheme=scheme, size=size):
                self.assertGreater(browser.js(INKED, "CPU and steal"), 200, "drawn anew")
                self.assertLessEqual(browser.js("return document.documentElement.scrollWidth - innerWidth"), 0)
                self.assert_accessible()

    def test_zoom(self):
        """dashboard: one VM: a range chosen, or dragged in a chart, stands in the address, and Back to all VMs leads back"""
        daemon, end = self.with_past()
        browser = self.page(daemon, "#/?q=90")
        self.shows(1)
        browser.js("document.querySelector('.card a').click()")
        self.drawn()
        self.assertEqual(self.texts('[aria-pressed="true"]'), ["1h"])
        browser.click('[data-range="15m"]')
        self.assertEqual(self.address(), "#/vm/90?range=15m")
        self.assertEqual(self.texts('.ranges [aria-pressed="true"]'), ["15m"])
        browser.js("location.hash = arguments[0]", f"#/vm/90?from={end - HOUR}&to={end}")
        self.drawn()
        browser.drag('[data-chart="CPU and steal"] .u-over', (0.25, 0.5), (0.4, 0.5), (0.5, 0.5))
        browser.wait("return !location.hash.includes(arguments[0])", f"to={end}")
        query = dict(pair.split("=") for pair in self.address().partition("?")[2].split("&"))
        self.assertAlmostEqual(int(query["from"]), end - HOUR * 3 // 4, delta=30)
        self.assertAlmostEqual(int(query["to"]), end - HOUR // 2, delta=30)
        browser.wait("return document.querySelector('.ranges .count').textContent.startsWith('15 min')")
        browser.click(".back a")
        self.shows(1)
        self.assertEqual(self.address(), "#/?q=90")

    def test_copy(self):
        """dashboard: one VM: its figures can be copied as line protocol"""
        daemon = self.daemon()
        self.fill(daemon)
        browser = self.page(daemon, "#/vm/83")
        browser.cdp("Browser.grantPermissions", permissions=["clipboardReadWrite", "clipboardSanitizedWrite"], origin=daemon.url)
        browser.wait("return document.querySelector('[data-table=disks] td')")
        browser.click(".actions button")
        browser.wait("return document.querySelector('.actions [role=status]').textContent === 'copied'")
        copied = browser.evaluate("navigator.clipboard.readText()")
        self.assertEqual(copied, daemon.ask("GET", f"{API}/vm-stats/83?format=line")[2].decode())
        self.assertIn("vm_totals,VMID=83,", copied)
        # Where the page came by plain HTTP from elsewhere there is no clipboard for it.
        browser.evaluate("(window.saved = navigator.clipboard).writeText('other')")
        browser.evaluate("Object.defineProperty(navigator, 'clipboard', {value: undefined}) && "
                         "(document.querySelector('.actions [role=status]').textContent = '')")
        browser.click(".actions button")
        browser.wait("return document.querySelector('.actions [role=status]').textContent === 'copied'")
        self.assertEqual(browser.evaluate("window.saved.readText()"), copied)

    def test_none(self):
        """dashboard: one VM: that there is none, or that it has ended, is said"""
        self.allowed = ["404"]
        daemon = self.daemon()
        browser = self.page(daemon, "#/vm/4711")
        browser.wait("return document.querySelector('.notice h2')")
        self.assertEqual(self.texts(".notice h2"), ["There is no such VM"])
        self.assert_accessible()
        self.fill(daemon)
        browser = self.page(daemon, "#/vm/83")
        browser.wait("return document.querySelector('.badge').textContent === '● running'")
        daemon.write(f'vm_events,VMID=83,host=kvm1,state=DONE,lcm_state=LCM_INIT name="x" {now_ns()}\n')
        browser.wait("return document.querySelector('.badge').textContent.includes('ended')")
        browser.js("location.hash = '#/vm/83?range=15m'")
        browser.wait("return [...document.querySelectorAll('.events strong')].some((n) => n.textContent === 'DONE')")
        self.page(daemon, "#/nowhere/at/all")
        self.shows(4)


if __name__ == "__main__":
    raise SystemExit(main())
