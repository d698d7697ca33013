#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How one finds a VM in the dashboard's first view, in Chromium: search, filters, order, and what is said where there is none."""
import re

import web  # also where the modules are
from web import TABLE_FIGURES, WebCase, expected
from harness import main
from telemetryd import SECOND, now_ns, totals

SELECT = ".toolbar label:nth-of-type({}) select"
HOST, OWNER, STATE, SORT = map(SELECT.format, range(2, 6))
CHOICES = "return [...document.querySelector(arguments[0]).options].map((n) => n.value)"
RATES = {"cpu": "cpu", "memory": "memory", "disk_read": "disk_read", "disk_write": "disk_write", "rx": "network_rx", "tx": "network_tx"}
# What an API call of the page waits for.
GATE = """const real = window.fetch; window.gate = new Promise((open) => { window.open_gate = open; });
window.fetch = async (...asked) => { await window.gate; return real(...asked); };"""
# figure: how it goes from VM to VM; each in an order of its own
MOST = {"cpu_usage_percent": 90, "cpu_steal_percent": 30, "memory_usage_percent": 80, "disk_rd_bytes_per_sec": 5e6,
        "disk_wr_bytes_per_sec": 7e6, "disk_rd_req_per_sec": 300, "disk_wr_reqs_per_sec": 200, "disk_rd_latency_ms": 70,
        "disk_wr_latency_ms": 60, "net_rxbytes_per_sec": 3e6, "net_txbytes_per_sec": 2e6, "net_rxdrops_per_sec": 9,
        "net_txdrops_per_sec": 5}
HOSTS, OWNERS, NAMES = ("kvm10", "kvm2", "kvm1"), ("bob", "alice", "carol"), ("web10", "db1", "Web2", "app", "zoo", "mail", "Lab")
VMS = range(200, 207)


def made(vm_id, time_ns, age, host=None):
    """A VM unlike all others; age: of its sample, in samples."""
    fields = {name: f"{most * ((vm_id * (1 + 5 * i % 10) + 3 * i + age * (vm_id % (i + 2))) % 11 + 1) / 12:.3f}"
              for i, (name, most) in enumerate(MOST.items()) if vm_id != 203 or "latency" not in name}
    host, text = host or HOSTS[vm_id % 3], totals(vm_id, time_ns, memory_source='"guest"', **fields)
    text = text.replace("host=kvm1", f"host={host}").replace("cpus=2i", f"cpus={vm_id * 3 % 7 + 1}i").replace(
        "memory_max=1024i", f"memory_max={1024 * (vm_id * 5 % 11 + 1)}i").replace("state=1i", f"state={3 if vm_id == 205 else 1}i")
    return text + (f'vm_info,VMID={vm_id},host={host},uuid=u-{vm_id} vm_name="{NAMES[vm_id % 7]}",uname="{OWNERS[vm_id % 3]}",uid="1" '
                   f"{time_ns}\n")


def natural(text):
    """As people sort: numbers by their value, whatever the case."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", text.lower())]


def sort_key(sort, vm):
    """None: not known."""
    if sort.endswith("_rate"):
        return vm[name] if (name := f"{RATES[sort.removesuffix('_rate')]}_rate") not in vm["missing"] else None
    if sort in TABLE_FIGURES:
        return expected(vm, sort, TABLE_FIGURES)[0]
    return {"id": lambda: vm["vm_id"], "name": lambda: natural(vm["vm_name"]), "host": lambda: natural(vm["host"]),
            "owner": lambda: natural(vm["uname"]), "state": lambda: vm["state"], "vcpus": lambda: vm["cpu_count"],
            "size": lambda: vm["memory_max"], "disk": lambda: vm["disk_read_per_sec"] + vm["disk_write_per_sec"]}[sort]()


def in_order(vms, sort, desc):
    keys = {vm_id: sort_key(sort, vm) for vm_id, vm in vms.items()}
    known = sorted((vm_id for vm_id in vms if keys[vm_id] is not None), key=lambda vm_id: keys[vm_id], reverse=desc)
    ids = []
    for vm_id in known:  # what is alike goes by ID, whichever way
        alike = sorted(other for other in known if keys[other] == keys[vm_id])
        ids += alike if alike[0] not in ids else []
    return ids + sorted(vm_id for vm_id in vms if keys[vm_id] is None)


class Find(WebCase):
    def made_up(self):
        daemon, now = self.daemon(), now_ns()
        for age in (1, 0):
            daemon.write("".join(made(vm_id, now - age * SECOND, age) for vm_id in VMS))
        return daemon

    def test_sorts(self):
        """dashboard: by each figure, and all else that docs/endpoint.md names, up and down, the order is that of the JSON"""
        daemon = self.made_up()
        browser = self.page(daemon)
        self.shows(len(VMS))
        vms, sorts = daemon.vms(), browser.js(CHOICES, SORT)
        documented = re.search(r"`sort`: (.*?) \|", (web.ROOT / "docs" / "endpoint.md").read_text())[1]
        self.assertEqual(sorted(re.findall(r"`(\w+)`", documented)),
                         sorted([sort for sort in sorts if not sort.endswith("_rate")] + ["cpu_rate"]))
        self.assertEqual([sort for sort in sorts if sort.endswith("_rate")], [f"{name}_rate" for name in RATES])
        orders = set()
        for sort in sorts:
            if sort == "attention":
                continue  # test_withheld
            for desc in (False, True):
                want = in_order(vms, sort, desc)
                orders.add(tuple(want))
                browser.js("location.hash = arguments[0]", f"#/?sort={sort}{'&desc=1' if desc else ''}")
                browser.wait("return document.querySelector(arguments[0]).value === arguments[1] && "
                             "document.querySelector('.toolbar button').textContent.startsWith(arguments[2])", SORT, sort, "↓" if desc else "↑")
                self.assertEqual(self.ids(), want, f"{sort} {desc}")
        self.assertGreater(len(orders), 30, "each figure has an order of its own")

    def test_filters(self):
        """dashboard: by host, owner, state and words of them: those that the JSON has; a VM that moves is found on its new host"""
        daemon = self.made_up()
        daemon.write(made(206, now_ns() - 600 * SECOND, 0).replace("VMID=206", "VMID=207").replace("206", "207"))
        browser = self.page(daemon)
        self.shows(8)
        vms = daemon.vms()
        self.assertEqual(browser.js(CHOICES, HOST), ["", "kvm1", "kvm2", "kvm10"])
        self.assertEqual(browser.js(CHOICES, OWNER), ["", "alice", "bob", "carol"])

        def those(wanted):
            return sorted(vm_id for vm_id, vm in vms.items() if wanted(vm))
        for css, key, name, value, want in (
                (HOST, "host", "host", "kvm2", those(lambda vm: vm["host"] == "kvm2")),
                (OWNER, "uname", "owner", "carol", those(lambda vm: vm["uname"] == "carol")),
                (STATE, "state", "state", "paused", [205]), (STATE, "telemetry", "state", "stale", [207])):
            self.assertEqual(those(lambda vm, key=key, value=value: vm[key] == value), want)
            self.assertGreater(len(want), 0)
            self.choose(css, value)
            self.shows(len(want))
            self.assertEqual((self.ids(), self.address()), (want, f"#/?{name}={value}"))
            self.choose(css, "")
            self.shows(8)
        for words, wanted in (("KVM2+alice", lambda vm: (vm["host"], vm["uname"]) == ("kvm2", "alice")), ("u-203", lambda vm: vm["vm_id"] == 203),
                              ("carol", lambda vm: vm["uname"] == "carol"), ("204", lambda vm: vm["vm_id"] == 204)):
            want = those(wanted)
            self.assertGreater(len(want), 0, words)
            self.page(daemon, f"#/?q={words}")
            self.shows(len(want))
            self.assertEqual(self.ids(), want, words)
        self.page(daemon)
        self.shows(8)
        daemon.write(made(200, now_ns(), 0, host="kvm3"))
        browser.wait(f"return (() => {{ {CHOICES} }}).apply(null, arguments).includes('kvm3')", HOST)
        self.choose(HOST, "kvm3")
        self.shows(1)
        self.assertEqual(self.ids(), [200])

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

    def test_query(self):
        """dashboard: each column and each rate of change sorts; what an address asks for that is not to be had is left out"""
        daemon = self.daemon()
        self.fill(daemon)
        browser = self.page(daemon, "#/?layout=table")
        self.shows(5)
        select = ".toolbar label:nth-of-type(5) select"
        columns = browser.js("return [...document.querySelectorAll('.head [data-sort]')].map((n) => n.dataset.sort)")
        self.assertEqual(len(columns), 17)
        for column in columns:
            browser.js("document.querySelector(`.head [data-sort=${arguments[0]}] button`).click()", column)
            self.assertEqual(browser.js("return document.querySelector(arguments[0]).value", select), column)
            self.assertEqual(browser.js("return document.querySelector('[aria-sort]').dataset.sort"), column)
        now = now_ns()
        for age, grown in ((1, 0), (0, 1)):
            daemon.write("".join(totals(vm_id, now - age * SECOND, cpu_usage_percent=f"{50 + grown * change:.1f}")
                                 for vm_id, change in ((101, 3), (102, -5), (103, 9))))
        self.page(daemon, "#/?q=one-10&sort=cpu_rate&desc=1")
        self.shows(3)
        self.assertEqual(self.ids(), [103, 101, 102])
        self.page(daemon, "#/?sort=constructor&desc=1&layout=foo&state=nonsense")
        self.shows(8)
        self.assertEqual(self.ids(), sorted(self.ids()))
        self.assertEqual(browser.js("return [...document.querySelectorAll('.toolbar select')].map((n) => n.value)"), ["", "", "", "id"])
        self.assertEqual(self.texts(".toolbar button"), ["↑ lowest first", "Table"])

    def test_tops_filtered(self):
        """dashboard: the top lists are of those VMs that search and filters leave"""
        daemon = self.daemon()
        self.fill(daemon)
        self.page(daemon, "#/?owner=bob")
        self.shows(1)
        self.assertEqual([vm_id for vm_id, _ in self.tops("cpu")], [82])

    # ---- where there is none ------------------------------------------------------------------------------

    def test_loading(self):
        """dashboard: what has not come yet is said to be loading, of all VMs and of health, and not to be none"""
        daemon, browser = self.daemon(), self.browser
        daemon.write(totals(83, now_ns()))
        script = browser.cdp("Page.addScriptToEvaluateOnNewDocument", source=GATE)["identifier"]
        self.addCleanup(browser.cdp, "Page.removeScriptToEvaluateOnNewDocument", identifier=script)
        for address, said, shown in (("", "Loading VMs…", "[data-vm-id]"), ("#/health", "Loading…", "[data-health=Sinks]")):
            self.page(daemon, address, state="connecting")
            browser.wait("return document.querySelector('.loading')")
            self.assertEqual((self.texts(".loading"), self.texts(".notice"), self.texts(".count:not(:empty)")), ([said], [], []))
            self.assert_accessible()
            browser.js("window.open_gate()")
            browser.wait("return document.querySelector(arguments[0]) && !document.querySelector('.loading')", shown)

    def test_blind(self):
        """dashboard: where telemetryd sees nothing itself it is no empty list: what is the matter, and where to look"""
        self.allowed = ["503"]
        daemon = self.daemon(collector={"uris": "qemu+unix:///system?socket=/nonexistent", "interval": 1, "enabled": "yes"})
        self.settles(lambda: daemon.ask("GET", "/api/telemetry/vm-telemetry")[0] == 503, "not blind")
        why = daemon.json("vm-telemetry", status=503)["detail"]
        for state in ("live", "polling"):
            browser = self.page(daemon, state=state)
            browser.wait("return document.querySelector('.notice')")
            self.choose("#interval", "5000")  # for the next time
            self.assertEqual((self.texts(".notice h2"), self.texts(".notice > p")), (["Nothing can be seen"], [why]))
            self.assert_accessible()
        browser.click(".notice a")
        browser.wait("return document.querySelector('[data-health=libvirt] .status')?.dataset.status === 'error'")
        browser.js("history.back()")
        daemon.write(totals(83, now_ns()))
        self.shows(1)
        self.assertEqual(self.texts(".notice"), [])

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


if __name__ == "__main__":
    raise SystemExit(main())
