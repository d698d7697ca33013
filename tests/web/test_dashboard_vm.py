#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The dashboard's view of one VM, in Chromium: its figures, its devices, its past."""
import json
import re

import web  # also where the modules are
from web import PHONE, UNKNOWN, WebCase, byte_rate, milliseconds, per_second, percent, size
from harness import main
from telemetryd import API, SECOND, now_ns

# columns of the tables: the member of the JSON, and how it is written
COLUMNS = {
    "disks": [("name", str), ("rd_bytes_per_sec", byte_rate), ("wr_bytes_per_sec", byte_rate), ("rd_req_per_sec", per_second),
              ("wr_reqs_per_sec", per_second), ("rd_latency_ms", milliseconds), ("wr_latency_ms", milliseconds), ("capacity", size),
              ("allocation", size), ("physical", size), ("path", str)],
    "nics": [("name", str), ("mac", str), ("rxbytes_per_sec", byte_rate), ("txbytes_per_sec", byte_rate), ("rxpackets_per_sec", per_second),
             ("txpackets_per_sec", per_second), ("rxdrops", "{:,}".format), ("txdrops", "{:,}".format), ("rxerrors", "{:,}".format),
             ("txerrors", "{:,}".format)],
    "vcpus": [("vcpu", str), ("usage_percent", percent), ("steal_percent", percent), ("time", None), ("delay", None)],
}
SERIES = {"disks": ("vm_devices", "disk"), "nics": ("vm_devices", "nic"), "vcpus": ("vm_vcpus", None)}
ROWS = """return Object.fromEntries([...document.querySelectorAll("[data-table]")].map((table) => [table.dataset.table,
    [...table.querySelectorAll("tbody tr")].map((row) => [...row.cells].map((cell) => [cell.textContent, cell.firstChild.title]))]));"""


def devices(vm_id, time_ns, first=1):
    """Lines of a VM's disks, interfaces and vCPUs, each figure another number."""
    number, text = first, ""
    for table, (series, kind) in SERIES.items():
        for i in range(2):
            fields = []
            for key, write in COLUMNS[table]:
                if write is str:
                    continue
                number += 1
                key = {"time": "cputime"}.get(key, key)
                whole = key in ("capacity", "allocation", "physical", "delay", "cputime") or key.endswith(("drops", "errors"))
                fields.append(f"{key}={number * 1000003}i" if whole else f"{key}={number}.25")
            device = f"device=dev{i},devtype={kind}," if kind else f"vcpu={i},"
            more = {"disk": f",path=/var/disk{i}", "nic": f",mac=02:00:00:00:00:0{i}", None: ""}[kind]
            text += (f"{series},VMID={vm_id},{device}host=kvm1{more},name=one-{vm_id},uuid=u-{vm_id} "
                     f"{',' .join(fields)} {time_ns}\n")
    return text


def totals(vm_id, time_ns, more=""):
    return (f"vm_totals,VMID={vm_id},host=kvm1,name=one-{vm_id},uuid=u-{vm_id} state=1i,cpus=2i,cputime=1i,memory_max=4194304i,"
            f"memory_used=2097152i,cpu_usage_percent=12.5{more} {time_ns}\n")


class VmView(WebCase):
    def rows(self):
        return self.browser.js(ROWS)

    def facts(self):
        return dict(zip(self.texts(".identity dt"), self.texts(".identity dd")))

    def times(self, css):
        """{(time, what stands there where the mouse rests)} of that part."""
        return set(map(tuple, self.browser.js("return [...document.querySelectorAll(`${arguments[0]} time`)].map((n) => [n.dateTime, n.title])", css)))

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
        disks, nics, vcpus = (self.rows()[name] for name in ("disks", "nics", "vcpus"))
        self.assertEqual([row[0][0] for row in disks], [disk["name"] for disk in vm["disks"]])
        self.assertEqual([row[1][0] for row in nics], [nic["mac"] for nic in vm["nics"]])
        self.assertEqual((len(disks), len(nics), len(vcpus)), (3, 2, 4))
        self.assertEqual(disks[2][5], [UNKNOWN, "not known"], "no latency of what reads nothing")
        self.assertEqual(browser.js("return [...document.querySelectorAll('.identity dd > *')].map((n) => n.title)."
                                    "filter((t) => t.includes('KiB'))"), ["32768 KiB of 32768 KiB"])
        self.assert_accessible()

    def test_tables(self):
        """dashboard: one VM: each column of its disks, interfaces and vCPUs has its figure, all digits on hover"""
        daemon, now = self.daemon(), now_ns()
        daemon.write(totals(91, now) + devices(91, now))
        browser = self.page(daemon, "#/vm/91")
        browser.wait("return document.querySelector('[data-table=disks] td')")
        vm, rows = daemon.json("vm-stats/91"), self.rows()
        for table, columns in COLUMNS.items():
            self.assertEqual((len(rows[table]), len(vm[table])), (2, 2))
            for row, device in zip(rows[table], vm[table]):
                self.assertEqual(len(row), len(columns))
                for (text, title), (key, write) in zip(row, columns):
                    self.assertEqual(title, str(device[key]), f"{table} {key}")
                    if write:
                        self.assertEqual(text, write(device[key]), f"{table} {key}")
        self.assertEqual([row[3][0] for row in rows["vcpus"]], [f"{vcpu['time'] / 1e9:.0f} s" for vcpu in vm["vcpus"]])

    def test_stays(self):
        """dashboard: one VM: news leave the focus, what was scrolled and what was selected as they are"""
        daemon, now = self.daemon(), now_ns()
        daemon.write(totals(91, now) + devices(91, now))
        self.browser.size(*PHONE)
        browser = self.page(daemon, "#/vm/91")
        browser.wait("return document.querySelector('[data-table=disks] td')")
        browser.js("""const scroll = document.querySelector("[data-table=disks] .scroll"), range = document.createRange();
            scroll.focus({preventScroll: true});
            scroll.scrollLeft = 100;
            range.selectNodeContents(document.querySelector("[data-table=nics] td:nth-child(2)"));
            getSelection().removeAllRanges();
            getSelection().addRange(range);""")
        state = """const scroll = document.querySelector("[data-table=disks] .scroll");
            return [document.activeElement === scroll, scroll.scrollLeft, String(getSelection())]"""
        self.assertEqual(browser.js(state), [True, 100, "02:00:00:00:00:00"])
        for first in (1000, 2000):
            before = self.rows()["disks"][0][1]
            now = now_ns()
            daemon.write(totals(91, now) + devices(91, now, first))
            browser.wait("return document.querySelector('[data-table=disks] td:nth-child(2) > *').title !== arguments[0]", before[1])
            self.assertEqual(browser.js(state), [True, 100, "02:00:00:00:00:00"])

    def test_not_now(self):
        """dashboard: one VM: words stand in place of figures that are not known, stale, or held by a job"""
        daemon, now = self.daemon(), now_ns()
        daemon.write(totals(91, now - 600 * SECOND) + devices(91, now - 600 * SECOND))
        browser = self.page(daemon, "#/vm/91")
        browser.wait("return document.querySelector('[data-table=disks] td')")
        rows = self.rows()
        self.assertEqual({row[i][0] for row in rows["disks"] for i in range(1, 7)}, {"stale"})
        self.assertEqual({row[i][0] for row in rows["vcpus"] for i in (1, 2)}, {"stale"})
        self.assertRegex(rows["disks"][0][1][1], r"^last known: \d+\.25$")
        self.assertEqual(self.facts()["Memory"], "stale of 4.00 GiB")
        self.assertRegex(self.texts(".vm > .trouble")[0], r"^Figures are 10 min( \d+ s)? old: stale\.$")
        self.assertRegex(browser.js("return document.querySelector('.vm > .trouble:not([hidden])').title"), r"^6\d\d(\.\d+)? s$")
        now = now_ns()
        daemon.write(totals(91, now, ",locked=1i") + devices(91, now))
        browser.wait("return document.querySelector('[data-table=disks] td:nth-child(2)').textContent === 'locked'")
        vm, rows = daemon.json("vm-stats/91"), self.rows()
        self.assertEqual([row[1][0] for row in rows["vcpus"]], [percent(vcpu["usage_percent"]) for vcpu in vm["vcpus"]])
        self.assertEqual(self.facts()["Memory"], "locked of 4.00 GiB")
        self.assertEqual(self.texts(".vm > .trouble"), [], "a lock is no alarm")
        self.assert_accessible()
        daemon.write(f'vm_events,VMID=92,host=kvm1,state=ACTIVE,lcm_state=RUNNING vm_name="new" {now_ns()}\n')
        browser = self.page(daemon, "#/vm/92")
        browser.wait("return document.querySelector('.identity dd') && document.querySelector('.badge').textContent.includes('no data')")
        facts = self.facts()
        self.assertEqual((facts["vCPUs"], facts["Memory"], facts["Memory figure"]), (UNKNOWN, UNKNOWN, ""))
        self.assertEqual(self.texts(".vm > .trouble"), ["It runs, but no figures of it have come."])
        self.assertEqual(browser.js("return document.querySelector('[data-chart=Memory] .scale').textContent"), "")

    def test_no_history(self):
        """dashboard: without a history there are no charts but the events, and nothing asks for what is not there"""
        daemon, now = self.daemon(history={"enabled": "no"}), now_ns()
        daemon.write("".join(totals(i, now) for i in (91, 92, 93, 94)))
        daemon.write(f'vm_events,VMID=91,host=kvm1,state=ACTIVE,lcm_state=MIGRATE seq=1i,reason="user" {now - 60 * SECOND}\n')
        browser = self.page(daemon, "#/vm/91")
        browser.wait("return [...document.querySelectorAll('.events strong')].some((n) => n.textContent === 'MIGRATE')")
        browser.wait("return document.querySelector('.ranges .count').textContent.includes('no history is kept')")
        self.assertEqual(browser.js("return [...document.querySelectorAll('.chart')].filter((n) => !n.hidden).length"), 0)
        browser.js("location.hash = '#/'")
        self.shows(4)
        browser.evaluate("new Promise((done) => setTimeout(done, 1500))")
        self.take_network()
        self.assertEqual([url for url in self.requested() if "/history/" in url], [])

    def test_history_switched(self):
        """dashboard: one VM: a history that is switched on or off by another start of telemetryd brings or takes the charts"""
        self.allowed = [r"ERR_(CONNECTION|INCOMPLETE|EMPTY|SOCKET|NETWORK)", "404"]
        daemon = self.daemon(history={"enabled": "no"})
        daemon.write(totals(91, now_ns()))
        browser = self.page(daemon, "#/vm/91")
        for kept in (False, True, False):
            if daemon.sections["history"]["enabled"] != ("yes" if kept else "no"):
                daemon.sections["history"]["enabled"] = "yes" if kept else "no"
                daemon.restart()
                browser.wait("return document.querySelector('.vm .notice') && !document.querySelector('.identity').offsetHeight", seconds=60)
            daemon.write("".join(totals(91, now_ns() - age * SECOND) for age in (2, 1, 0)))
            browser.wait("""return [...document.querySelectorAll(".chart")].every((n) => Boolean(n.offsetHeight) === arguments[0]) &&
                document.querySelector(".ranges .count").textContent.includes("no history is kept") !== arguments[0]""", kept, seconds=60)
            if kept:
                browser.wait("return document.querySelector('.chart .summary').textContent.startsWith('CPU 12.5 %')", seconds=60)

    def test_json(self):
        """dashboard: one VM: the link to its JSON leads there, also where a token is needed"""
        daemon, now = self.daemon(), now_ns()
        daemon.write(totals(91, now))
        secret = self.scratch / "read-token"
        secret.write_text("so-secret\n")
        secret.chmod(0o600)
        guarded = self.daemon(server={"read_token_file": secret})
        guarded.token = "so-secret"
        guarded.write(totals(91, now))
        for asked in (daemon, guarded):
            browser = self.page(asked, "#/vm/91", state=None)
            if asked is guarded:
                self.allowed = ["401"]
                browser.wait("return document.querySelector('dialog').open")
                browser.type("#token-text", "so-secret")
                browser.keys("Enter")
            browser.wait("return document.querySelector('.identity dd')?.textContent === '91'")
            browser.click(".actions a")
            browser.wait("return document.contentType === 'application/json' && document.body.innerText.includes('}')")
            shown = json.loads(browser.js("return document.querySelector('pre').innerText"))
            self.assertEqual((shown["vm_id"], shown["metrics"]), (91, asked.json("vm-stats/91")["metrics"]))
            browser.js("history.back()")
            browser.wait("return document.querySelector('.identity dd')?.textContent === '91'")
            self.assert_clean()
            self.network = []

    def test_told(self):
        """dashboard: one VM: what OpenNebula's hook tells of it, and its events in OpenNebula's words"""
        daemon, now = self.daemon(), now_ns()
        self.fill(daemon)
        daemon.write(f'vm_info,VMID=84,host=kvm1 vm_name="<i>new</i>",uname="dora",uid="5",gname="ops",gid="6",template_id="12",'
                     f'cpu_requested="0.5",memory_requested="1900",lock="admin",labels="prod,db",info_source="opennebula" {now}\n'
                     f'vm_events,VMID=84,host=kvm1,state=POWEROFF,lcm_state=LCM_INIT seq=1i,previous_state="ACTIVE",'
                     f'previous_lcm_state="SHUTDOWN_POWEROFF",reason="poweroff" {now - 600 * SECOND}\n'
                     f'vm_events,VMID=84,host=kvm1,state=ACTIVE,lcm_state=RUNNING seq=1i,previous_state="ACTIVE",'
                     f'previous_lcm_state="BOOT" {now - 300 * SECOND}\n')
        browser = self.page(daemon, "#/vm/84?range=15m")
        browser.wait("return document.querySelectorAll('.events li').length >= 2")
        facts = dict(zip(self.texts(".identity dt"), self.texts(".identity dd")))
        for label, value in (("Owner", "dora (5)"), ("Group", "ops (6)"), ("Template", "12"), ("Labels", "prod,db"),
                             ("Locked", "admin"), ("Requested", "0.5 CPU · 1.86 GiB")):
            self.assertEqual(facts.get(label), value, facts)
        self.assertIn("0.5 CPU · 1900 MiB", browser.js("return [...document.querySelectorAll('.identity dd > *')].map((n) => n.title)"))
        self.assertEqual(self.texts(".vm h2"), ["<i>new</i>"])
        kept = {event["time"] for event in daemon.json("events?vm_id=84")["events"]}
        self.assertEqual(self.times(".events"), {(time, time) for time in kept})
        self.assertEqual(self.times(".identity"), {(daemon.json("vm-stats/84")["first_seen"],) * 2})
        events = self.texts(".events li")
        self.assertTrue(any("RUNNING before: BOOT, on kvm1" in each for each in events), events)
        self.assertTrue(any("POWEROFF before: SHUTDOWN_POWEROFF, poweroff, on kvm1" in each for each in events), events)
        self.assert_accessible()

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

    def test_addresses(self):
        """dashboard: one VM: each address that docs/opennebula.md gives for it leads to it"""
        daemon = self.daemon()
        self.fill(daemon)
        number, text = re.search(r"<!-- addresses of VM (\d+) -->\n```text\n(.*?)```", (web.ROOT / "docs" / "opennebula.md").read_text(),
                                 re.S).groups()
        addresses = ["#" + line.split("#")[1].replace(number, "84") for line in text.splitlines()]
        self.assertGreaterEqual(len(addresses), 3)
        for address in addresses:
            browser = self.page(daemon, address)
            browser.wait("return document.querySelector('.identity dd')")
            self.assertEqual((self.texts(".vm h2"), self.address()), (["wide-load"], address))
            chosen = re.search(r"range=(\w+)", address)
            pressed = browser.js("return document.querySelector('[data-range][aria-pressed=true]').dataset.range")
            self.assertEqual(pressed, chosen[1] if chosen else "1h", address)

    def test_none(self):
        """dashboard: one VM: that there is none is said, and asked once; there it is once it comes"""
        self.allowed = ["404"]
        daemon = self.daemon()
        browser = self.page(daemon, "#/vm/4711")
        browser.wait("return document.querySelector('.notice h2')")
        self.assertEqual(self.texts(".vm .notice p"), ["VM 4711 was never seen"])
        self.assertEqual(browser.js("return [...document.querySelectorAll('.vm > :not(.back, header)')]."
                                    "filter((n) => n.offsetHeight).map((n) => n.innerText.split('\\n')[0])"), ["There is no such VM"])
        self.assert_accessible()
        browser = self.page(daemon, "#/vm/83")
        browser.wait("return document.querySelector('.notice h2')")
        browser.evaluate("new Promise((done) => setTimeout(done, 5000))")
        self.take_network()
        self.assertEqual(len([url for url in self.requested() if "vm-stats/83" in url]), 1)
        self.fill(daemon)
        browser.wait("return document.querySelector('.badge').textContent === '● running' && !document.querySelector('.notice')")
        browser.wait("return !document.querySelector('[data-table=disks]').parentElement.hidden")

    def test_ended(self):
        """dashboard: one VM: that it has ended is said, as no alarm, and its events stay"""
        daemon = self.daemon()
        self.fill(daemon)
        browser = self.page(daemon, "#/vm/83")
        browser.wait("return document.querySelector('.badge').textContent === '● running'")
        daemon.write(f'vm_events,VMID=83,host=kvm1,state=DONE,lcm_state=LCM_INIT name="x" {now_ns()}\n')
        browser.wait("return document.querySelector('.badge').textContent.includes('ended')")
        self.assertEqual(browser.js("return document.querySelector('.vm .badge').title"), daemon.json("vm-stats/83")["ended"])
        self.assertEqual(self.texts(".trouble:not([hidden])"), [])
        self.assertRegex(self.texts(".hint")[0], r"^The VM has ended; figures are \d+ s old\.$")
        browser.js("location.hash = '#/vm/83?range=15m'")
        browser.wait("return [...document.querySelectorAll('.events strong')].some((n) => n.textContent === 'DONE')")
        self.page(daemon, "#/nowhere/at/all")
        self.shows(4)


if __name__ == "__main__":
    raise SystemExit(main())
