#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The dashboard, in Chromium, while things change: VMs come and go, telemetryd dies and comes back, a token is wanted."""
import contextlib
import datetime
import re
import signal
import socket
import threading

import web  # noqa: F401 (where the modules are)
from web import CARD_FIGURES, WebCase
from databases import Server, find
from harness import main
from telemetryd import SECOND, now_ns, totals

FIGURE = "return document.querySelector(`[data-vm-id='${arguments[0]}'] [data-figure=${arguments[1]}]`)?.textContent"
IS = f"return (() => {{ {FIGURE} }}).apply(null, arguments) === arguments[2]"
STOP = "return [...document.querySelectorAll('.health button')].find((b) => b.textContent === 'Stop' && !b.disabled)"
COLOUR = "((css) => getComputedStyle(document.querySelector(css)).color)"
STALE = """(() => { const n = document.body.appendChild(document.createElement("p")); n.style.color = "var(--stale)";
    const colour = getComputedStyle(n).color; n.remove(); return colour; })()"""
# Its clock, for how long something takes, may be put ahead.
CLOCK = "window.ahead = 0; const now = performance.now.bind(performance); performance.now = () => now() + window.ahead;"
SHOWN_IDS = "[...document.querySelectorAll('[data-vm-id]')].map((n) => n.dataset.vmId).sort().join()"
FLEET_PATHS = ("/api/telemetry/vm-telemetry", "/api/telemetry/stream")  # what the list of VMs comes by
READ, WRITE = "reading-token-1", "writing-token-1"


def parse_time(iso):
    """Nanoseconds since 1970 of 2026-01-31T12:00:00.000Z."""
    return round(datetime.datetime.fromisoformat(iso).timestamp() * SECOND)


def usage(vm_id, percent):
    return totals(vm_id, now_ns(), cpu_usage_percent=f"{percent:.1f}", memory_usage_percent="50.0")


class Proxy(Server):
    """nginx with the location that docs/endpoint.md has, before a telemetryd."""
    ready_path = "/telemetry/healthz"

    def __init__(self, directory, daemon):
        self.location = re.search(r"```nginx\n(.*?)```", (web.ROOT / "docs" / "endpoint.md").read_text(), re.S)[1].replace(
            "http://127.0.0.1:4126/", f"{daemon.url}/")
        super().__init__(directory)

    def command(self):
        conf = self.directory / "nginx.conf"
        conf.write_text(f"""
daemon off; user root; pid {self.directory}/pid; error_log {self.directory}/error.log;
events {{ }}
http {{
  access_log off; client_body_temp_path {self.directory}/a; proxy_temp_path {self.directory}/b;
  fastcgi_temp_path {self.directory}/c; uwsgi_temp_path {self.directory}/d; scgi_temp_path {self.directory}/e;
  server {{ listen 127.0.0.1:{self.port}; {self.location} }}
}}
""")
        return [find("nginx"), "-c", str(conf), "-p", str(self.directory)]


class Prefixed:
    """As a browser has it: below a prefix."""

    def __init__(self, proxy):
        self.url = f"{proxy.url}/telemetry"


class Relay:
    """Between the browser and a telemetryd: nothing gets through until mend(), nor after cut(), which ends what goes through."""

    def __init__(self):
        self.to, self.pairs, self.is_cut, self.lock = None, [], True, threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"

    def __enter__(self):
        threading.Thread(target=self.accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.cut()
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                with self.lock:
                    try:
                        if self.is_cut:
                            raise ConnectionRefusedError
                        pair = client, socket.create_connection(("127.0.0.1", self.to))
                    except OSError:
                        client.close()
                        continue
                    self.pairs.append(pair)
                for source, sink in (pair, pair[::-1]):
                    threading.Thread(target=self.pass_on, args=(source, sink), daemon=True).start()

    @staticmethod
    def pass_on(source, sink):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def cut(self):
        with self.lock:
            self.is_cut = True
            for end in (end for pair in self.pairs for end in pair):
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
            self.pairs = []

    def mend(self, port):
        self.to, self.is_cut = port, False


class Life(WebCase):
    def banner(self):
        return "".join(self.texts("#banner:not([hidden])"))

    def says_old(self):
        """That no answer comes: at the window's top however far one scrolls, with the age, which goes on, and what to do;
        the figures are marked, by more than a colour."""
        browser = self.browser
        browser.size(1280, 300)
        browser.js("scrollTo(0, 9999)")
        self.assertGreater(browser.js("return scrollY"), 100)
        box = browser.js("const b = document.querySelector('#banner').getBoundingClientRect(); return [b.top, b.bottom]")
        self.assertTrue(box[0] >= 0 and box[1] <= 300, box)
        browser.js("const s = document.querySelector('.tops summary');"  # else below the banner, and so hidden
                   "scrollBy(0, s.getBoundingClientRect().top - 10); s.focus()")
        browser.wait("return document.activeElement.getBoundingClientRect().top >= document.querySelector('#banner')"
                     ".getBoundingClientRect().bottom")
        text = self.banner()
        self.assertRegex(text, r"^◆ No answer from telemetryd since .+; what is shown is \d+ s old\.")
        self.assertIn("systemctl status one-telemetryd", text)
        heard = browser.js("return document.querySelector('#banner time').title")
        self.assertLess(abs(now_ns() - parse_time(heard)), 60 * SECOND)
        browser.wait("return !document.querySelector('#banner').innerText.startsWith(arguments[0])", text, seconds=5)
        stale = browser.js(f"return {STALE}")
        for css in (".badge", ".card [data-figure=cpu]", ".lists .number"):
            self.assertEqual(browser.js(f"return {COLOUR}(arguments[0])", css), stale, css)
        self.assertEqual(browser.js("return getComputedStyle(document.querySelector('.card')).borderLeftStyle"), "dashed")
        browser.size(*web.DESKTOP)

    def test_behind_nginx(self):
        """dashboard: behind nginx, below a prefix, as docs/endpoint.md has it: cards, the stream, start and stop"""
        daemon = self.daemon(collector={"enabled": "yes", "uris": "test:///default"})
        daemon.write(usage(83, 10))
        proxy = Proxy(self.scratch / "nginx", daemon)
        self.cleanup(proxy.stop)
        browser = self.page(Prefixed(proxy))
        self.shows(1)
        daemon.write(usage(83, 11))
        browser.wait(IS, 83, "cpu", "11.0 %", seconds=5)
        self.assertEqual(self.texts("#connection"), ["● live"])
        self.page(Prefixed(proxy), "#/health")
        browser.wait(STOP)
        browser.js(f"(() => {{ {STOP} }})().click()")
        self.settles(lambda: not daemon.json("status")["running"], "it is not stopped")

    def test_vms_come_and_go(self):
        """dashboard: a VM that appears is there, one that ends is gone, a new figure takes the place of the old"""
        daemon = self.daemon()
        daemon.write(usage(83, 10))
        browser = self.page(daemon)
        self.shows(1)
        browser.wait(IS, 83, "cpu", "10.0 %")
        daemon.write(usage(83, 33) + usage(84, 20))
        self.shows(2, seconds=5)
        browser.wait(IS, 83, "cpu", "33.0 %", seconds=5)
        daemon.write(f'vm_events,VMID=83,host=kvm1,state=DONE,lcm_state=LCM_INIT name="x" {now_ns()}\n')
        self.assertEqual(list(self.shows(1, seconds=5)), [84])
        self.assertEqual(self.texts(".count"), ["1 VM"])

    def test_killed(self):
        """dashboard: telemetryd is killed: the page says so; it is started again: the page goes on by itself"""
        self.allowed = [r"ERR_(CONNECTION|INCOMPLETE|EMPTY|SOCKET|NETWORK)"]
        daemon = self.daemon()
        self.fill(daemon)
        browser = self.page(daemon)
        self.shows(5)
        daemon.kill()
        self.state("offline", seconds=10)
        self.assertEqual(self.texts("#connection"), ["◆ no answer, trying again"])
        self.assert_accessible()
        self.says_old()
        for address, shown in (("#/vm/83", ".vm"), ("#/health", ".health"), ("#/", ".fleet")):
            browser.js("location.hash = arguments[0]", address)
            browser.wait("return document.querySelector(arguments[0])", shown)
            self.assertRegex(self.banner(), "^◆ No answer from telemetryd since ", address)
        daemon.start()
        self.fill(daemon)
        self.state("live", seconds=30)
        self.assert_figures(self.shows(5), daemon.vms(), CARD_FIGURES)
        daemon.write(usage(83, 21))
        browser.wait(IS, 83, "cpu", "21.0 %", seconds=5)
        daemon.restart(signal.SIGTERM)
        daemon.write(usage(83, 22))
        browser.wait(IS, 83, "cpu", "22.0 %", seconds=30)

    def test_said_once(self):
        """dashboard: one VM: that telemetryd does not answer is one alarm, however often it is asked, and goes when it answers"""
        self.allowed = ["ERR_BLOCKED_BY_CLIENT"]
        daemon = self.daemon()
        daemon.write(usage(83, 10))
        browser = self.page(daemon, "#/vm/83")
        events, alarm = "document.querySelector('.events').textContent", "document.querySelector('.vm [role=alert]:not([hidden])')"
        browser.wait(f"return {events}.includes('appeared')")
        browser.cdp("Network.enable")
        browser.cdp("Network.setBlockedURLs", urls=["*/api/telemetry/vm-stats*", "*/api/telemetry/events*"])
        try:
            browser.wait(f"return {alarm}?.textContent === 'telemetryd does not answer' && {events}.includes('not known')")
            browser.js("window.changes = 0; new MutationObserver((all) => { window.changes += all.length; }).observe("
                       f"document.querySelector('.vm'), {{childList: true, subtree: true}}); window.alarm = {alarm};")
            self.take_network()
            asked = self.requested()
            browser.evaluate("new Promise((done) => setTimeout(done, 7000))")
            self.take_network()
            for path in ("/vm-stats/83", "/events?"):
                self.assertGreater(*(sum(path in url for url in urls) for urls in (self.requested(), asked)), path)
            self.assertTrue(browser.js(f"return window.alarm === {alarm}"))
            self.assertEqual(browser.js("return window.changes"), 0)
        finally:
            browser.cdp("Network.setBlockedURLs", urls=[])
        browser.wait(f"return !{alarm} && {events}.includes('appeared')")

    def test_renamed(self):
        """dashboard: a VM that gets another name without a sample has it within a minute, while the stream goes on"""
        daemon, browser = self.daemon(), self.browser
        script = browser.cdp("Page.addScriptToEvaluateOnNewDocument", source=CLOCK)["identifier"]
        self.addCleanup(browser.cdp, "Page.removeScriptToEvaluateOnNewDocument", identifier=script)
        daemon.write(usage(83, 10) + usage(84, 20))
        self.page(daemon)
        self.shows(2)
        news = usage(84, 21)
        daemon.write(f'{news}vm_info,VMID=83,host=kvm1,uuid=u-83 vm_name="renamed" {news.split()[-1]}\n')  # of one moment
        browser.wait(IS, 84, "cpu", "21.0 %")
        self.assertEqual(self.shown()[83]["title"], "one-83")
        browser.js("window.ahead = 61000")
        daemon.write(usage(84, 22))
        browser.wait("return document.querySelector('[data-vm-id=\"83\"] a').textContent === 'renamed'")
        self.assertEqual(self.texts("#connection"), ["● live"])

    def test_forgotten(self):
        """dashboard: one VM: a telemetryd that comes back and knows nothing of it yet: it is there again with its next figures"""
        self.allowed = ["ERR_", "404"]
        daemon = self.daemon(history={"enabled": "no"})
        daemon.write(usage(83, 10))
        browser = self.page(daemon, "#/vm/83")
        browser.wait("return document.querySelector('.identity').offsetHeight")
        browser.cdp("Network.enable")
        browser.cdp("Network.setBlockedURLs", urls=[f"*{path}*" for path in FLEET_PATHS])  # the list is still that of before
        try:
            daemon.restart()
            browser.wait("return document.querySelector('.vm .notice')", seconds=30)
            daemon.write(usage(83, 11))
        finally:
            browser.cdp("Network.setBlockedURLs", urls=[])
        browser.wait("return !document.querySelector('.vm .notice') && document.querySelector('.identity').offsetHeight", seconds=30)

    def test_resync(self):
        """dashboard: VMs that ended or came while the page was cut off: by asking or by the stream, of the same telemetryd or anew"""
        self.allowed = ["ERR_"]
        with Relay() as relay:
            for path in FLEET_PATHS:
                for restarts in (False, True):
                    with self.subTest(only=path, restarts=restarts):
                        self.back_after_a_cut(relay, path, restarts)
            self.assert_clean()
            self.browser.open("about:blank")

    def back_after_a_cut(self, relay, path, restarts):
        """By that path alone, after a while in which one VM ends, one comes, and one gets another name."""
        daemon, browser = self.daemon(), self.browser
        daemon.write(usage(83, 10) + usage(84, 20))
        browser.open("about:blank")
        relay.cut()  # a connection that is kept leads to the one before
        relay.mend(daemon.port)
        self.page(relay)
        self.shows(2)
        daemon.write(usage(83, 11))  # after it the stream goes on, where it is the same
        browser.wait(IS, 83, "cpu", "11.0 %")
        browser.cdp("Network.enable")
        browser.cdp("Network.setBlockedURLs", urls=[f"*{other}*" for other in FLEET_PATHS if other != path])
        try:
            browser.js("window.here = true")
            relay.cut()
            self.state("offline")
            self.assertEqual(sorted(self.shown()), [83, 84])
            if restarts:
                daemon.restart()
            daemon.write(f'vm_events,VMID=83,host=kvm1,state=DONE,lcm_state=LCM_INIT name="x" {now_ns()}\n' + usage(84, 21) +
                         usage(85, 30) + f'vm_info,VMID=84,host=kvm1,uuid=u-84 vm_name="renamed" {now_ns()}\n')
            relay.mend(daemon.port)
            self.state("polling" if path == FLEET_PATHS[0] else "live")
            browser.wait(f"return {SHOWN_IDS} === '84,85'", seconds=30)
            self.assert_figures(self.shown(), daemon.vms(), CARD_FIGURES)
            self.assertEqual(self.shown()[84]["title"], "renamed")
            self.assertTrue(browser.js("return window.here"), "without a reload")
        finally:
            browser.cdp("Network.setBlockedURLs", urls=[])

    def test_silent(self):
        """dashboard: telemetryd hangs: after 20 s without a word the page says so; it goes on: the page does too"""
        daemon = self.daemon()
        daemon.write(usage(83, 10))
        browser = self.page(daemon)
        self.shows(1)
        daemon.process.send_signal(signal.SIGSTOP)
        try:
            self.state("offline", seconds=35)
            self.says_old()
        finally:
            daemon.process.send_signal(signal.SIGCONT)
        browser.wait("return ['polling', 'live'].includes(document.body.dataset.state)")
        self.assertFalse(self.banner())
        self.assertNotEqual(browser.js(f"return {COLOUR}('.badge')"), browser.js(f"return {STALE}"))

    def test_polling(self):
        """dashboard: where the stream does not get through, it asks"""
        self.allowed = ["ERR_BLOCKED_BY_CLIENT"]
        daemon = self.daemon()
        daemon.write(usage(83, 10))
        self.browser.cdp("Network.enable")
        self.browser.cdp("Network.setBlockedURLs", urls=["*/api/telemetry/stream*"])
        try:
            browser = self.page(daemon, state="polling")
            browser.wait(IS, 83, "cpu", "10.0 %")
            daemon.write(usage(83, 11))
            browser.wait(IS, 83, "cpu", "11.0 %", seconds=5)
        finally:
            self.browser.cdp("Network.setBlockedURLs", urls=[])
        self.state("live", seconds=30)

    def test_pause_and_interval(self):
        """dashboard: paused, it stands still; a longer interval is asked for, and kept for the next time"""
        daemon = self.daemon()
        daemon.write(usage(83, 10))
        browser = self.page(daemon)
        browser.wait(IS, 83, "cpu", "10.0 %")
        self.assertEqual(browser.js("return document.querySelector('#interval').value"), "1000")
        browser.click("#pause")
        self.state("paused")
        self.assertEqual(browser.js("return document.querySelector('#pause').ariaPressed"), "true")
        daemon.write(usage(83, 12))
        browser.evaluate("new Promise((done) => setTimeout(done, 2500))")
        self.assertEqual(browser.js(FIGURE, 83, "cpu"), "10.0 %")
        browser.click("#pause")
        browser.wait(IS, 83, "cpu", "12.0 %", seconds=5)
        self.choose("#interval", "5000")
        self.state("polling")
        self.page(daemon, state="polling")
        self.assertEqual(browser.js("return document.querySelector('#interval').value"), "5000")
        browser.wait(IS, 83, "cpu", "12.0 %")
        daemon.write(usage(83, 13))
        browser.wait(IS, 83, "cpu", "13.0 %", seconds=12)
        self.take_network()
        self.choose("#interval", "1000")
        self.state("live")

    def test_addresses(self):
        """dashboard: an address that is none shows all VMs and says so; the view that is shown is marked in the menu"""
        daemon = self.daemon()
        daemon.write(usage(83, 10))
        browser = self.browser
        current = "return [...document.querySelectorAll('#views [aria-current=page]')].map((n) => n.textContent)"
        for wrong in ("#/vm/%zz", "#/vm/abc", "#/vm/", "#/vm/83/x", "#/nowhere", "#/health/x?range=1h", "#%"):
            self.page(daemon, wrong)
            self.shows(1)
            self.assertEqual(self.address(), "#/", wrong)
            self.assertEqual(self.texts("#said"), [f"There is no page {wrong}: these are all VMs."])
        self.assertEqual(browser.js(current), ["Fleet"])
        browser.js("location.hash = '#/health?what=ever'")
        browser.wait("return document.querySelector('.health')")
        self.assertEqual((browser.js(current), self.texts("#said:not([hidden])")), (["Health"], []))
        browser.js("location.hash = '#/vm/%zz'")
        self.shows(1)
        self.assertEqual(self.address(), "#/")
        for known in ("#/vm/one-83", "#/vm/83?range=nonsense"):
            browser.js("location.hash = arguments[0]", known)
            browser.wait("return document.querySelector('.vm h2')?.textContent.includes('83')")
            self.assertEqual((self.address(), browser.js(current)), (known, []))

    def test_documented(self):
        """dashboard: addresses and thresholds are those that docs/endpoint.md has"""
        text = (web.ROOT / "docs" / "endpoint.md").read_text()
        daemon = self.daemon()
        daemon.write(usage(83, 10))
        browser = self.page(daemon)
        addresses = re.findall(r"`(#/[^`]*)`", text)
        self.assertGreater(len(addresses), 5)
        for address in addresses:
            browser.js("location.hash = arguments[0]", address)
            browser.wait("return document.querySelector('main').childElementCount")
            self.assertEqual((self.address(), self.texts("#said:not([hidden])")), (address, []))
        marked = browser.evaluate("import('./dashboard/fleet.js').then(({FIGURES}) => Object.values(FIGURES).filter((f) => f.high)"
                                  ".map((f) => [f.label, f.high, f.critical]))")
        rows = re.findall(r"^\| ([A-Z][A-Za-z ]+)(?:,[^|]*)? \| (\d+)(?: %| ms|/s) \| (\d+)(?: %| ms|/s) \|$", text, re.M)
        self.assertEqual(rows, [tuple(map(str, one)) for one in marked])

    def test_keys_off(self):
        """dashboard: keys of a single character can be switched off, for good"""
        daemon = self.daemon()
        daemon.write(usage(83, 10))
        browser = self.page(daemon)
        self.shows(1)
        browser.keys("p")
        self.state("paused")
        browser.keys("p")
        self.state("live")
        browser.click("#keys")
        for _ in range(2):
            browser.js("document.activeElement.blur()")
            browser.keys("p", "t", "/")
            self.assertEqual(browser.js("return [document.body.dataset.state, document.activeElement.tagName]"), ["live", "BODY"])
            self.assertEqual(self.texts("[role=table]"), [])
            self.page(daemon)
            self.shows(1)
        browser.click("#keys")
        browser.js("document.activeElement.blur()")
        browser.keys("p")
        self.state("paused")

    def test_token(self):
        """dashboard: where a token is needed it asks for one, in words; a wrong one is no use, the right one is"""
        self.allowed = ["401", "403"]
        daemon = self.daemon(server={"read_token_file": self.secret(READ), "write_token_file": self.secret(WRITE)},
                             collector={"enabled": "yes", "uris": "test:///default"})
        daemon.token = WRITE
        daemon.write(usage(83, 10))
        browser = self.page(daemon, state="token")
        browser.wait("return document.querySelector('#token').open")
        self.assertIn("only to those that have its read or write token", self.texts("#token-why")[0])
        self.assertNotRegex(self.texts("#token-why")[0], "Bearer|none of this endpoint's")
        self.assert_accessible()
        browser.keys("Escape")
        browser.wait("return !document.querySelector('#token').open")
        self.assertEqual(self.texts(".notice h2"), ["A token is needed"])
        self.assert_accessible()
        browser.click(".notice button")
        browser.type("#token-text", "wrong")
        browser.keys("Enter")
        browser.wait("return document.body.dataset.state === 'token' && document.querySelector('#token').open")
        self.assertRegex(self.texts("#token-why")[0], "^The token that was given is none of this endpoint's")
        browser.type("#token-text", READ)
        browser.keys("Enter")
        self.state("live")
        self.shows(1)
        self.assertNotIn(READ, browser.js("return location.href + document.body.innerText"))
        self.page(daemon)
        self.shows(1)
        browser.js("location.hash = '#/health'")
        browser.wait(f"{STOP}?.click() ?? document.querySelector('#token').open")
        self.assertIn("write token", self.texts("#token-why")[0])
        browser.type("#token-text", WRITE)
        browser.keys("Enter")
        browser.wait("return !document.querySelector('#token').open")
        browser.wait(STOP)
        browser.js(f"{STOP}.click()")
        self.settles(lambda: not daemon.json("status")["running"], "it does not stop")
        kept = "return [sessionStorage, localStorage].map((of) => JSON.stringify(of).includes(arguments[0]))"
        self.assertEqual(browser.js(kept, WRITE), [True, False], "as long as the window is open")
        for token, keep, where in ((READ, True, [False, True]), (WRITE, False, [True, False])):
            browser.js("sessionStorage.clear(); localStorage.clear()")
            self.page(daemon, state="token")
            browser.wait("return document.querySelector('#token').open")
            if browser.js("return document.querySelector('#token-keep').checked") is not keep:
                browser.click("#token-keep")
            browser.type("#token-text", token)
            browser.keys("Enter")
            self.state("live")
            self.assertEqual(browser.js(kept, token), where)


if __name__ == "__main__":
    raise SystemExit(main())
