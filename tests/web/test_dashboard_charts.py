#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The charts of one VM, in Chromium: what is drawn of its past, and how one goes about in it."""
import datetime
import re

import web  # noqa: F401 (where the modules are)
from web import PHONE, STEP_S, WebCase, byte_rate, exact, milliseconds, past, per_second, percent, sample
from harness import args, main
from telemetryd import SECOND, Telemetryd, now_ns

HOUR, DAY = 3600, 86400
OFFERED = ("15m", "1h", "6h", "24h", "7d", "30d")
# How many pixels of a chart have the colour of that name, between two moments (parts of its width) and two heights.
INKED = """const [title, name, left, right, top, bottom] = arguments, chart = document.querySelector(`[data-chart="${title}"]`);
const at = chart.querySelector("canvas"), over = chart.querySelector(".u-over").getBoundingClientRect(), box = at.getBoundingClientRect();
const probe = document.createElement("canvas").getContext("2d"), scale = at.width / box.width;
probe.fillStyle = getComputedStyle(document.documentElement).getPropertyValue(name).trim();
probe.fillRect(0, 0, 1, 1);
const [r, g, b] = probe.getImageData(0, 0, 1, 1).data, pixels = at.getContext("2d").getImageData(
    (over.x - box.x + left * over.width) * scale, (over.y - box.y + top * over.height) * scale,
    Math.max((right - left) * over.width * scale, 1), Math.max((bottom - top) * over.height * scale, 1)).data;
let full = 0, faint = 0;
for (let i = 0; i < pixels.length; i += 4) {
    const near = pixels[i + 3] > 30 && Math.abs(pixels[i] - r) + Math.abs(pixels[i + 1] - g) + Math.abs(pixels[i + 2] - b) < 60;
    full += near && pixels[i + 3] > 200;
    faint += near && pixels[i + 3] <= 200;
}
return [full, faint];"""
# What is written onto a canvas from now on.
LISTEN = """window.written = [];
const write = CanvasRenderingContext2D.prototype.fillText;
CanvasRenderingContext2D.prototype.fillText = function (text, ...more) {
    window.written.push(text);
    return write.call(this, text, ...more);
};"""
# chart: {line: metric}, how it is written, the unit of all its digits
CHARTS = {"CPU and steal": ({"CPU": "cpu_usage_percent", "steal": "cpu_steal_percent"}, percent, "%"),
          "Memory": ({"used": "memory_usage_percent"}, percent, "%"),
          "Disk throughput": ({"read": "disk_rd_bytes_per_sec", "write": "disk_wr_bytes_per_sec"}, byte_rate, "bytes/s"),
          "Disk requests": ({"read": "disk_rd_req_per_sec", "write": "disk_wr_reqs_per_sec"}, per_second, "requests/s"),
          "Disk latency": ({"read": "disk_rd_latency_ms", "write": "disk_wr_latency_ms"}, milliseconds, "ms"),
          "Network": ({"RX": "net_rxbytes_per_sec", "TX": "net_txbytes_per_sec"}, byte_rate, "bytes/s"),
          "Packets dropped": ({"RX": "net_rxdrops_per_sec", "TX": "net_txdrops_per_sec"}, per_second, "packets/s")}


def with_cpu(line, value):
    return re.sub(r"cpu_usage_percent=[\d.]+", f"cpu_usage_percent={value:.1f}", line)


def event(time_s, lcm_state, previous):
    return (f'vm_events,VMID=90,host=kvm1,state=ACTIVE,lcm_state={lcm_state} seq=1i,previous_state="ACTIVE",'
            f'previous_lcm_state="{previous}",reason="user" {int(time_s) * SECOND}\n')


class Charts(WebCase):
    """VM 90 has an hour behind it in a telemetryd of all tests: the history is written only every few seconds."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.shared, cls.now = Telemetryd(cls.scratch / "shared", args.build / "serve" / "telemetryd"), now_ns() // SECOND
        cls.cleanup(cls.shared.stop)
        cls.shared.write("".join(past(90, cls.now, HOUR)))

    def setUp(self):
        super().setUp()
        self.allowed = ["willReadFrequently"]  # of what INKED does

    def written(self, daemon, samples):
        self.settles(lambda: daemon.json("status")["history"]["written"] >= samples, "not written")

    def with_samples(self, texts):
        daemon, texts = self.daemon(), list(texts)
        for i in range(0, len(texts), 1000):
            daemon.write("".join(texts[i:i + 1000]))
        self.written(daemon, len(texts))
        return daemon

    def with_past(self):
        self.written(self.shared, HOUR // STEP_S)
        return self.shared, self.now

    def drawn(self):
        self.browser.wait("return [...document.querySelectorAll('.chart .summary')].every((n) => n.textContent)")

    def painted(self):
        self.browser.wait("return new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(1))))")

    def ink(self, title, name="--series-1", across=(0, 1), down=(0, 1)):
        """(full, faint) pixels of that colour."""
        return self.browser.js(INKED, title, name, *across, *down)

    def summary(self, title, part="textContent"):
        return self.browser.js('return document.querySelector(`[data-chart="${arguments[0]}"] .summary`)[arguments[1]]', title, part)

    def legend(self, title):
        return self.browser.js('return [...document.querySelectorAll(`[data-chart="${arguments[0]}"] .u-value`)].map((n) => '
                               'n.textContent)', title)

    def hover(self, title, x):
        self.browser.hover(f'[data-chart="{title}"] .u-over', x, 0.5)

    def query(self):
        return dict(pair.split("=") for pair in self.address().partition("?")[2].split("&"))

    # ---- what is drawn ------------------------------------------------------------------------------------

    def test_charts(self):
        """dashboard: charts: they are drawn of what the history has"""
        daemon, end = self.with_past()
        browser = self.page(daemon, f"#/vm/90?from={end - HOUR}&to={end}")
        self.drawn()
        for title, (lines, write, unit) in CHARTS.items():
            said, digits = [], []
            for i, (line, metric) in enumerate(lines.items(), 1):
                points = daemon.json(f"history/90?metric={metric}&from={end - HOUR}&to={end}")["series"][0]["points"]
                self.assertGreater(len(points), 300)
                last, most = points[-1][1], max(point[1] for point in points)
                said.append(f"{line} {write(last)}, at most {write(most)}")
                digits.append(f"{line} {exact(last, unit)}, at most {exact(most, unit)}")
                self.assertGreater(self.ink(title, f"--series-{i}")[0], 200 if i > 1 else 300, f"{title}: {line}")
            self.assertEqual(self.summary(title), " · ".join(said))
            self.assertEqual(self.summary(title, "title"), " · ".join(digits))
        for scheme, size in (("dark", (1280, 900)), ("dark", PHONE), ("light", PHONE)):
            browser.media(color_scheme=scheme)
            browser.size(*size)
            self.painted()
            with self.subTest(scheme=scheme, size=size):
                self.assertGreater(self.ink("CPU and steal")[0], 200, "drawn anew")
                self.assertLessEqual(browser.js("return document.documentElement.scrollWidth - innerWidth"), 0)
                self.assert_accessible()

    def test_long(self):
        """dashboard: charts: of 24 hours, 7 and 30 days they say what the history has of these"""
        now = now_ns() // SECOND
        seconds = [*range(now - 29 * DAY, now - DAY, 2 * HOUR), *range(now - DAY, now, 600)]
        daemon = self.with_samples([sample(90, second, now - 29 * DAY, "u-90") for second in seconds])
        browser = self.page(daemon)
        for range_, days in (("24h", 1), ("7d", 7), ("30d", 30)):
            browser.js("location.hash = arguments[0]", f"#/vm/90?range={range_}")
            browser.wait("return document.querySelector('.ranges .count')?.textContent.startsWith(arguments[0])", f"the last {days} d 0 h")
            self.take_network()
            asked = [url for url in self.requested() if "/history/90?metric=cpu_usage_percent," in url][-1]
            query = dict(pair.split("=") for pair in asked.partition("?")[2].split("&"))
            self.assertAlmostEqual(int(query["to"]) - int(query["from"]), days * DAY, delta=3)
            points = daemon.json("history/90?" + asked.partition("?")[2])["series"][0]["points"]
            self.assertGreater(len(points), 100)
            self.assertEqual(self.summary("CPU and steal").split(" · ")[0],
                             f"CPU {percent(points[-1][1])}, at most {percent(max(point[3] for point in points))}")
            self.assertGreater(self.ink("CPU and steal")[0], 300)

    def test_wall(self):
        """dashboard: charts: they grow with the text of a wall screen, and are drawn anew for it"""
        daemon, end = self.with_past()
        self.page(daemon, f"#/vm/90?from={end - HOUR}&to={end}")
        self.drawn()
        height = "return document.querySelector('.u-over').clientHeight"
        usual = self.browser.js(height)
        self.browser.size(3840, 2160)
        self.browser.wait(f"{height} > 1.4 * arguments[0]", usual)
        self.painted()
        self.assertGreater(self.ink("CPU and steal")[0], 300)

    def test_peaks(self):
        """dashboard: charts: where a point stands for several samples, the highest of these is told and drawn"""
        end = now_ns() // SECOND // HOUR * HOUR
        at = lambda i: end - 3 * HOUR + i * STEP_S  # noqa: E731
        peaks = [200, 560, 920]
        daemon = self.with_samples(with_cpu(sample(90, at(i), end, "u-90"), 100 if i in peaks else 5) for i in range(3 * HOUR // STEP_S))
        span = f"from={end - 3 * HOUR}&to={end}"
        answer = daemon.json(f"history/90?metric=cpu_usage_percent&{span}&step=120s")
        points = answer["series"][0]["points"]
        self.assertLess(max(point[1] for point in points), 50, "the means hide it")
        self.assertEqual(max(point[3] for point in points), 100)
        self.page(daemon, f"#/vm/90?from={end - 3 * HOUR}&to={end}")
        self.drawn()
        self.assertRegex(self.summary("CPU and steal"), r"^CPU 5\.0 %, at most 100\.0 %")
        self.painted()
        moment = peaks[1] / (3 * HOUR / STEP_S)
        near = (moment - 0.01, moment + 0.01)
        self.assertGreater(self.ink("CPU and steal", across=near, down=(0.05, 0.15))[1], 3, "the peak as a band")
        self.assertEqual(self.ink("CPU and steal", across=(moment + 0.05, moment + 0.15), down=(0.05, 0.3)), [0, 0])
        self.hover("CPU and steal", moment)
        self.browser.wait("return document.querySelector('.u-value:nth-child(2)') !== null")
        self.assertRegex(self.legend("CPU and steal")[1], r"^\d+\.\d % \(5\.0 % to 100\.0 %\)$")

    def test_gaps(self):
        """dashboard: charts: where nothing was kept no line is drawn, of raw samples neither, however often they come"""
        end = now_ns() // SECOND
        begin = end - HOUR
        often, seldom = range(0, 1200, 2), [*range(2400, 3000, 2), *range(3000, HOUR, 60)]
        seconds = [*often, 1800, *seldom]
        daemon = self.with_samples(with_cpu(sample(90, begin + second, begin, "u-90"), 20) for second in seconds)
        self.assertEqual(daemon.json(f"history/90?metric=cpu_usage_percent&from={begin}&to={end}")["step_seconds"], 0)
        self.page(daemon, f"#/vm/90?from={begin}&to={end}")
        self.drawn()
        self.painted()

        def line(first, last):
            return self.ink("CPU and steal", across=(first / HOUR, last / HOUR), down=(0.7, 0.9))[0]
        self.assertGreater(line(100, 1100), 50)
        self.assertEqual((line(1230, 1770), line(1830, 2370)), (0, 0), "an outage")
        self.assertGreater(line(1770, 1830), 2, "a sample that stands alone")
        self.assertGreater(line(3080, 3100), 1, "sampled every minute is no gap")

    def test_events(self):
        """dashboard: charts: what happened to the VM is marked where it did, and named at the crosshair"""
        daemon, end = self.with_past()
        moments = (0.25, 0.7)
        daemon.write(event(end - HOUR * 0.75, "MIGRATE", "RUNNING") + event(end - HOUR * 0.3, "RUNNING", "MIGRATE"))
        self.page(daemon, f"#/vm/90?from={end - HOUR}&to={end}")
        self.drawn()
        self.browser.wait("return [...document.querySelectorAll('.events strong')].some((n) => n.textContent === 'MIGRATE')")
        self.painted()
        for title in CHARTS:
            for moment in moments:
                self.assertGreater(self.ink(title, "--event", (moment - 0.01, moment + 0.01))[0], 20, f"{title}: {moment}")
            self.assertEqual(self.ink(title, "--event", (0.35, 0.6))[0], 0, title)
        there = f"{datetime.datetime.fromtimestamp(int(end - HOUR * 0.75), datetime.UTC):%Y-%m-%d %H:%M:%S}"
        name = "return [...document.querySelectorAll('.event-name')].map((n) => n.hidden ? '' : n.textContent)"
        self.hover("Memory", moments[0])
        for text in self.browser.js(name):
            self.assertRegex(text, r" MIGRATE before: RUNNING, user, on kvm1$")
            self.assertIn(f"({there} UTC) MIGRATE", text)
        self.hover("Memory", moments[1])
        self.assertIn("RUNNING before: MIGRATE", self.browser.js(name)[0])
        self.assert_accessible()
        self.hover("Memory", 0.5)
        self.assertEqual(set(self.browser.js(name)), {""})

    def test_crosshair(self):
        """dashboard: charts: all have the crosshair where one has it, by mouse and by keys, its time in the viewer's zone and in UTC"""
        daemon, end = self.with_past()
        points = daemon.json(f"history/90?metric=cpu_usage_percent&from={end - HOUR}&to={end}")["series"][0]["points"]
        self.browser.cdp("Emulation.setTimezoneOverride", timezoneId="Asia/Kolkata")
        self.browser.cdp("Emulation.setLocaleOverride", locale="de-DE")
        self.addCleanup(self.browser.cdp, "Emulation.setTimezoneOverride", timezoneId="")
        self.addCleanup(self.browser.cdp, "Emulation.setLocaleOverride")
        script = self.browser.cdp("Page.addScriptToEvaluateOnNewDocument", source=LISTEN)["identifier"]
        self.addCleanup(self.browser.cdp, "Page.removeScriptToEvaluateOnNewDocument", identifier=script)
        browser = self.page(daemon, f"#/vm/90?from={end - HOUR}&to={end}")
        self.drawn()
        self.hover("Network", 0.5)
        times = {self.legend(title)[0] for title in CHARTS}
        self.assertEqual(len(times), 1, "one crosshair")
        shown = re.fullmatch(r"(\d+)\. \w+\.? 2\d{3}, ([\d:]+) \((\S+) (\S+) UTC\)", times.pop())
        at = next(point for point in points if point[0].startswith(f"{shown[3]}T{shown[4]}"))
        hours, minutes, seconds = map(int, shown[4].split(":"))
        there = (hours * 60 + minutes + 330) % 1440
        self.assertEqual(shown[2], f"{there // 60:02d}:{there % 60:02d}:{seconds:02d}")
        self.assertEqual(self.legend("CPU and steal")[1], percent(at[1]))
        ticks = [text for text in browser.js("return window.written") if re.fullmatch(r"\d{1,2}:\d\d", text)]
        self.assertGreater(len(ticks), 4)
        self.assertTrue(all(tick.endswith(("0", "5")) for tick in ticks), ticks)
        self.assertTrue(re.search(r"\d+\. \w+", " ".join(browser.js("return window.written"))), "the day, as in German")
        self.assertFalse(re.search(r"[ap]m\b", " ".join(browser.js("return window.written"))), "no US clock")
        browser.hover(".vm h2", 0.5, 0.5)
        browser.js("document.querySelector('[data-chart=Memory] .plot').focus()")
        for key, index in (("Left", -1), ("Left", -2), ("Left", -3), ("Right", -2)):
            browser.keys(key)
            there = points[index][0]
            for title in CHARTS:
                self.assertIn(f"({there[:10]} {there[11:19]} UTC)", self.legend(title)[0], f"{title} {key}")

    def test_source(self):
        """dashboard: charts: which memory is drawn is said, and that its past may be the other"""
        daemon, _ = self.with_past()
        browser = self.page(daemon, "#/vm/90")
        said = 'return document.querySelector("[data-chart=Memory] .scale").textContent'
        self.drawn()
        self.assertEqual(browser.js(said), "")  # nobody told
        for source, now, past_ in (("guest", "now the guest's own", "the balloon's"), ("balloon", "now the balloon's", "the guest's own")):
            end = now_ns() // SECOND
            daemon.write(sample(90, end, end - 10, "u-90").replace(" state=", f' memory_source="{source}",state='))
            browser.wait(f"{said}.startsWith(arguments[0])", now)
            self.assertIn(f"earlier points {past_} is possible", browser.js(said))

    # ---- going about in it --------------------------------------------------------------------------------

    def test_zoom(self):
        """dashboard: charts: a range chosen, or dragged in a chart, stands in the address, and Back to all VMs leads back"""
        daemon, end = self.with_past()
        browser = self.page(daemon, "#/?q=90")
        self.shows(1)
        browser.js("document.querySelector('.card a').click()")
        self.drawn()
        self.assertEqual(self.texts('[aria-pressed="true"]'), ["1h"])
        browser.click('[data-range="15m"]')
        self.assertEqual(self.address(), "#/vm/90?range=15m")
        browser.wait("return document.querySelector('.ranges [aria-pressed=true]').textContent === '15m'")
        browser.js("location.hash = arguments[0]", f"#/vm/90?from={end - HOUR}&to={end}")
        self.drawn()
        browser.drag('[data-chart="CPU and steal"] .u-over', (0.25, 0.5), (0.4, 0.5), (0.5, 0.5))
        browser.wait("return !location.hash.includes(arguments[0])", f"to={end}")
        query = self.query()
        self.assertAlmostEqual(int(query["from"]), end - HOUR * 3 // 4, delta=30)
        self.assertAlmostEqual(int(query["to"]), end - HOUR // 2, delta=30)
        browser.wait("return document.querySelector('.ranges .count').textContent.match(/^15 min.* until /)")
        until = datetime.datetime.fromtimestamp(int(query["to"]), datetime.UTC)
        self.assertEqual(browser.js("return document.querySelector('.ranges .count').title"), f"{until:%Y-%m-%dT%H:%M:%S}.000Z")
        browser.click(".back a")
        self.shows(1)
        self.assertEqual(self.address(), "#/?q=90")

    def test_moves(self):
        """dashboard: charts: buttons, keys and a finger zoom as the mouse does, and the browser's Back leads back"""
        daemon, end = self.with_past()
        begin = end - HOUR
        browser = self.page(daemon, f"#/vm/90?from={begin}&to={end}")
        self.drawn()

        def leads(what, minutes, act, *arguments):
            before = self.address()
            act(*arguments)
            browser.wait("return location.hash !== arguments[0]", before)
            for name, wanted in zip(("from", "to"), minutes):
                self.assertAlmostEqual((int(self.query()[name]) - begin) / 60, wanted, delta=0.5, msg=f"{what}: {name}")
        for move, minutes in (("closer", [15, 45]), ("closer", [22.5, 37.5]), ("earlier", [15, 30]), ("later", [22.5, 37.5]),
                              ("wider", [15, 45])):
            leads(move, minutes, browser.click, f"[data-move={move}]")
        browser.js("document.querySelector('[data-chart=Memory] .plot').focus()")
        leads("+", [22.5, 37.5], browser.keys, "+")
        leads("-", [15, 45], browser.keys, "-")
        for minutes in ([22.5, 37.5], [15, 45], [22.5, 37.5]):
            leads("back", minutes, browser.js, "history.back()")
        browser.wait("return document.querySelector('.ranges .count').textContent.startsWith('15 min')")
        leads("anew", [0, 60], browser.js, "location.hash = arguments[0]", f"#/vm/90?from={begin}&to={end}")
        browser.wait("return document.querySelector('.ranges .count').textContent.startsWith('1 h')")
        browser.cdp("Emulation.setTouchEmulationEnabled", enabled=True)
        self.addCleanup(browser.cdp, "Emulation.setTouchEmulationEnabled", enabled=False)
        leads("finger", [15, 30], browser.swipe, '[data-chart="Network"] .u-over', (0.25, 0.5), (0.4, 0.5), (0.5, 0.5))

    def test_ranges(self):
        """dashboard: charts: of the last so and so much the next such range is wider, and what is of the future is not offered"""
        daemon, _ = self.with_past()
        browser = self.page(daemon, "#/vm/90?range=15m")
        self.drawn()
        off = "return [...document.querySelectorAll('[data-move][aria-disabled=true]')].map((n) => n.dataset.move)"
        pressed = "return document.querySelector('[data-range][aria-pressed=true]')?.dataset.range"
        self.assertEqual(browser.js(off), ["later"])
        for wanted in OFFERED[1:]:
            browser.click("[data-move=wider]")
            browser.wait(f"{pressed} === arguments[0]", wanted)
        browser.click("[data-move=closer]")
        browser.wait(f"{pressed} === arguments[0]", OFFERED[-2])
        browser.click("[data-move=earlier]")
        browser.wait(f"{pressed} === undefined")
        self.assertEqual(browser.js(off), [])
        browser.click("[data-move=later]")
        browser.wait("return document.querySelector('[data-move=later]').ariaDisabled === 'true'")
        length = int(self.query()["to"]) - int(self.query()["from"])
        self.assertAlmostEqual(length, 7 * 86400, delta=3)
        now = now_ns() // SECOND
        browser.js("location.hash = arguments[0]", f"#/vm/90?from={now - 8 * 86400}&to={now - 86400}")
        browser.wait("return document.querySelector('[data-move=later]').ariaDisabled === 'false'")
        browser.click("[data-move=later]")
        browser.wait("return document.querySelector('[data-move=later]').ariaDisabled === 'true'")
        for name, wanted in (("from", now - 7 * 86400), ("to", now)):
            self.assertAlmostEqual(int(self.query()[name]), wanted, delta=10, msg=name)


if __name__ == "__main__":
    raise SystemExit(main())
