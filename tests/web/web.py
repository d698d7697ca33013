# SPDX-License-Identifier: Apache-2.0
"""What the dashboard's tests share: a browser that looks at a telemetryd of theirs, what the page shows, and how it should
show a figure."""
import decimal
import json
import math
import pathlib
import re
import sys

sys.dont_write_bytecode = True
ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(ROOT / "tests" / "integration"), str(ROOT / "tests" / "bench")]
from browser import Browser  # noqa: E402
from replayed import FLEET, at, lines  # noqa: E402
from telemetryd import SECOND, EndpointCase, now_ns  # noqa: E402

AXE = ROOT / "third_party" / "axe-core" / "axe.min.js"
WATCH = """window.violations = [];
addEventListener("securitypolicyviolation", (e) =>
    violations.push(`${e.violatedDirective}: ${e.blockedURI} ${e.sourceFile}:${e.lineNumber}`));"""
UNKNOWN = "–"
MINUS = "\u2212"
UNITS = ("B", "KiB", "MiB", "GiB", "TiB")
STEP_S = 10
PHONE = (390, 844)
DESKTOP = (1280, 900)


def fixed(value, digits):
    """As JavaScript's toFixed."""
    return str(decimal.Decimal(value).quantize(decimal.Decimal(1).scaleb(-digits), decimal.ROUND_HALF_UP))


def exact(value, unit):
    """All digits that JavaScript writes of it."""
    return f"{format(decimal.Decimal(repr(value)), 'f').removesuffix('.0')} {unit}"


def percent(value):
    return f"{fixed(value, 1)} %"


def size(value):
    """A number of bytes as people read it: three digits or so."""
    def digits(number):
        return 0 if number >= 100 else 1 if number >= 10 else 2
    unit = 0
    while float(fixed(value, digits(value))) >= 1024:
        value, unit = value / 1024, unit + 1
    return f"{fixed(value, digits(value) if unit else 0)} {UNITS[unit]}"


def byte_rate(value):
    return f"{size(value)}/s"


def per_second(value):
    return f"{int(fixed(value, 0)):,}/s" if value >= 1000 else f"{fixed(value, 0 if value >= 100 else 1)}/s"


def signed(value, digits, unit):
    """With its sign, but for what is rounded to 0."""
    text = fixed(abs(value), digits)
    return f"{'' if not float(text) else '+' if value > 0 else MINUS}{text}{unit}"


def degrees(value):
    return signed(value, 1, "°")


def point_rate(value):
    return signed(value, 1 if abs(value) >= 9.995 else 2, " %/s")


def milliseconds(value):
    return f"{fixed(value, 0 if value >= 100 else 1 if value >= 10 else 2)} ms"


# ---- VMs with a past ------------------------------------------------------------------------------------------------


def sample(vm_id, second, begin, uuid):
    """Figures that go up and down."""
    wave = 0.5 + 0.35 * math.sin((second - begin) / 300) + 0.15 * math.sin(vm_id + (second - begin) / 4000)
    fields = ",".join(f"{name}={value:.3f}" for name, value in (
        ("cpu_usage_percent", 5 + 80 * wave), ("cpu_steal_percent", 2 * wave), ("memory_usage_percent", 40 + 20 * wave),
        ("disk_rd_bytes_per_sec", 5e6 * wave), ("disk_wr_bytes_per_sec", 3e6 * (1 - wave)), ("disk_rd_req_per_sec", 300 * wave),
        ("disk_wr_reqs_per_sec", 100 * wave), ("disk_rd_latency_ms", 1 + wave), ("disk_wr_latency_ms", 3 * wave),
        ("net_rxbytes_per_sec", 8e5 * wave), ("net_txbytes_per_sec", 4e5 * wave), ("net_rxdrops_per_sec", 3 * wave),
        ("net_txdrops_per_sec", 1 - wave)))
    return (f"vm_totals,VMID={vm_id},host=kvm1,name=one-{vm_id},uuid={uuid} state=1i,cpus=2i,cputime={int(second - begin)}i,"
            f"memory_max=4194304i,{fields} {int(second) * SECOND}\n")


def past(vm_id, end, seconds, uuid=None):
    """Samples of that time before `end`, in seconds since 1970."""
    return [sample(vm_id, second, end - seconds, uuid or f"u-{vm_id}") for second in range(int(end) - seconds, int(end), STEP_S)]


# ---- figures --------------------------------------------------------------------------------------------------------

# figure: members of the JSON, how they become one, how it is written
CARD_FIGURES = {
    "cpu": (["cpu_usage_percent"], percent), "memory": (["memory_usage_percent"], percent),
    "rx": (["network_rx_per_sec"], byte_rate), "tx": (["network_tx_per_sec"], byte_rate),
    "disk_read": (["disk_read_per_sec"], byte_rate), "disk_write": (["disk_write_per_sec"], byte_rate),
}
TABLE_FIGURES = {
    **CARD_FIGURES, "steal": (["cpu_steal_percent"], percent),
    "iops": (["disk_rd_req_per_sec", "disk_wr_reqs_per_sec"], per_second),
    "latency": (["disk_rd_latency_ms", "disk_wr_latency_ms"], milliseconds),
    "drops": (["net_rxdrops_per_sec", "net_txdrops_per_sec"], per_second),
}


def expected(vm, figure, figures):
    """(value, text) of a figure by the JSON; (None, "–") where it is not known."""
    parts, write = figures[figure]
    known = [vm[part] for part in parts if part in vm and part not in vm["missing"]]
    if not known:
        return None, UNKNOWN
    value = max(known) if figure == "latency" else sum(known)
    return value, write(value)


SHOWN = """const shown = {};
for (const item of document.querySelectorAll("[data-vm-id]")) {
    if (item.hidden) continue;
    const figures = {};
    for (const node of item.querySelectorAll("[data-figure]"))
        figures[node.dataset.figure] = [node.textContent, node.title];
    shown[item.dataset.vmId] = {title: item.querySelector("a").textContent, standing: item.dataset.standing,
                                badge: item.querySelector(".badge").textContent, text: item.innerText, figures};
}
return shown;"""


class WebCase(EndpointCase):
    """Tests with a browser. After each the page is asked what it has to complain of: errors of the console, violations of
    its Content-Security-Policy, requests to anybody but its telemetryd."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.browser = Browser(cls.scratch / "browser")
        cls.cleanup(cls.browser.stop)
        cls.browser.cdp("Page.addScriptToEvaluateOnNewDocument", source=WATCH)

    def setUp(self):
        super().setUp()
        self.allowed = []  # patterns of what the console may say in this test
        self.network = []
        self.browser.open("about:blank")
        self.browser.media()
        self.browser.size(*DESKTOP)
        self.browser.heard("browser")
        self.browser.heard("performance")

    def tearDown(self):
        self.assert_clean()
        self.browser.open("about:blank")  # before its telemetryd ends
        super().tearDown()

    def page(self, daemon, address="", state="live"):
        """Opens it, and waits until it is in this state."""
        self.daemon_url = daemon.url
        self.browser.open("about:blank")
        self.browser.open(f"{daemon.url}/{address}")
        if state:
            self.state(state)
        return self.browser

    def state(self, wanted, seconds=30):
        self.browser.wait("return document.body?.dataset.state === arguments[0]", wanted, seconds=seconds)

    def address(self):
        return self.browser.js("return location.hash")

    def texts(self, css):
        return self.browser.js("return [...document.querySelectorAll(arguments[0])].map((n) => n.innerText)", css)

    def shown(self):
        """{VM's ID: what stands there of it} of cards or lines."""
        return {int(vm_id): seen for vm_id, seen in self.browser.js(SHOWN).items()}

    def shows(self, count, seconds=30):
        self.browser.wait('return [...document.querySelectorAll("[data-vm-id]")].filter((n) => !n.hidden).length === '
                          'arguments[0]', count, seconds=seconds)
        return self.shown()

    def ids(self):
        """From top to bottom."""
        return self.browser.js("""return [...document.querySelectorAll("[data-vm-id]")].filter((n) => !n.hidden)
            .map((n) => [n.getBoundingClientRect(), Number(n.dataset.vmId)])
            .sort(([a], [b]) => a.y - b.y || a.x - b.x).map(([, id]) => id)""")

    def tops(self, name):
        """[(VM's ID, text)] of a top list."""
        return [(int(one[1]), one[2]) for one in (text.split("\n") for text in self.texts(f'[data-top="{name}"] li:not(.none)'))]

    def choose(self, css, value):
        """Of a select, as a person would."""
        self.browser.js('const s = document.querySelector(arguments[0]); s.value = arguments[1];'
                        's.dispatchEvent(new Event("change", {bubbles: true}));', css, value)

    def fill(self, daemon, time_ns=None, change=lambda text: text):
        """Five recorded VMs."""
        daemon.write(change(at(lines(self.probe(), *FLEET), time_ns or now_ns())))

    # ---- what is always wrong -----------------------------------------------------------------------------

    def assert_clean(self):
        self.assertEqual(self.browser.js("return window.violations ?? []"), [], "Content-Security-Policy")
        complaints = [entry["message"] for entry in self.browser.heard("browser")
                      if entry["level"] in ("SEVERE", "WARNING") and
                      not any(re.search(pattern, entry["message"]) for pattern in self.allowed)]
        self.assertEqual(complaints, [], "console")
        self.take_network()
        foreign = {url for url in self.requested() if not url.startswith((self.daemon_url + "/", f"blob:{self.daemon_url}/", "about:", "data:"))}
        self.assertEqual(foreign, set(), "requests to others")

    def take_network(self):
        self.network += [(method, params) for method, params in self.browser.events() if method.startswith("Network.")]

    def requested(self):
        return [params["request"]["url"] for method, params in self.network if method == "Network.requestWillBeSent"]

    def assert_accessible(self):
        """axe-core finds nothing that is serious or worse."""
        self.browser.evaluate(AXE.read_text() + ";0")
        found = json.loads(self.browser.evaluate(
            "axe.run(document, {resultTypes: ['violations']}).then((r) => JSON.stringify(r.violations))"))
        bad = [f"{one['impact']} {one['id']}: {one['help']}: " + "; ".join(
            f"{node['html'][:160]} ({node['failureSummary'][:300]})" for node in one["nodes"][:3])
               for one in found if one["impact"] in ("serious", "critical")]
        self.assertEqual(bad, [])

    def assert_figures(self, shown, vms, figures):
        """What is shown of these VMs is what the JSON has: all digits where the mouse rests, rounded in the text."""
        self.assertEqual(sorted(shown), sorted(vms))
        for vm_id, vm in vms.items():
            for figure in figures:
                value, text = expected(vm, figure, figures)
                seen, title = shown[vm_id]["figures"][figure]
                self.assertEqual(re.sub("^[▲◆] ", "", seen), text, f"{vm_id} {figure}: {vm}")
                if value is not None:
                    number = re.search(r"-?[\d.]+(e-?\d+)?", title)
                    self.assertAlmostEqual(float(number[0]), value, 9, f"{vm_id} {figure}: {title}")
