# SPDX-License-Identifier: Apache-2.0
"""Chromium without a window, told what to do over WebDriver: Debian's packages chromium and chromium-driver, and the
few requests of the protocol that the tests need. Driver and browser end with the process that started them."""
import base64
import contextlib
import http.client
import json
import os
import pathlib
import signal
import time

from databases import Server, find

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
KEYS = {"Escape": "\ue00c", "Tab": "\ue004", "Enter": "\ue007", "Shift": "\ue008", "Down": "\ue015", "Left": "\ue012",
        "Right": "\ue014", "Up": "\ue013", "PageUp": "\ue00e", "PageDown": "\ue00f", "End": "\ue010", "Home": "\ue011"}
FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--lang=en-US",
         "--force-device-scale-factor=1", "--disable-background-networking", "--disable-component-update", "--disable-sync",
         "--hide-scrollbars", "--no-proxy-server")


class BrowserError(Exception):
    """The browser or its driver refuses something."""


class Browser(Server):
    """One window. trace: categories of Chromium's own trace that the log "performance" is to have as well."""

    def __init__(self, directory, trace=None):
        self.session, self.browser, self.trace = None, None, trace
        super().__init__(directory)

    def command(self):
        return [find("chromedriver"), f"--port={self.port}"]

    def _is_ready(self):
        with contextlib.suppress(OSError, http.client.HTTPException, BrowserError):
            return self._call("GET", "/status", timeout=2)["ready"]
        return False

    def start(self):
        super().start()
        profile = pathlib.Path(self.directory) / "profile"
        options = {"binary": find("chromium"), "args": [*FLAGS, f"--user-data-dir={profile}", "--window-size=1280,900"]}
        if self.trace:
            options["perfLoggingPrefs"] = {"traceCategories": self.trace, "enableNetwork": True, "enablePage": False}
        asked = {"browserName": "chrome", "goog:chromeOptions": options,
                 "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"}}
        got = self._call("POST", "/session", {"capabilities": {"alwaysMatch": asked}}, timeout=120)
        self.session, self.browser = f"/session/{got['sessionId']}", got["capabilities"].get("goog:processID")

    def _end(self, number):
        """The browser first: the driver, killed, would leave it behind."""
        if self.session and self.is_running():
            with contextlib.suppress(OSError, http.client.HTTPException, BrowserError):
                self._call("DELETE", self.session, timeout=20)
        self.session = None
        super()._end(number)
        if self.browser:
            with contextlib.suppress(OSError):
                if b"chromium" in pathlib.Path(f"/proc/{self.browser}/cmdline").read_bytes():
                    os.kill(self.browser, signal.SIGKILL)
        self.browser = None

    def _call(self, method, path, body=None, timeout=60):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            text = None if body is None else json.dumps(body)
            connection.request(method, path, text, {"Content-Type": "application/json"} if text else {})
            value = json.loads(connection.getresponse().read())["value"]
        finally:
            connection.close()
        if isinstance(value, dict) and "error" in value:
            raise BrowserError(f"{method} {path} {str(body)[:300]}: {value['error']}: {value['message'][:1500]}")
        return value

    # ---- what one asks it ------------------------------------------------------------------------------

    def ask(self, method, path, body=None):
        return self._call(method, self.session + path, body)

    def cdp(self, command, **parameters):
        """A command of the DevTools protocol."""
        return self.ask("POST", "/goog/cdp/execute", {"cmd": command, "params": parameters})

    def open(self, url):
        self.ask("POST", "/url", {"url": url})

    def js(self, script, *arguments):
        """What `return …` in it gives."""
        return self.ask("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def evaluate(self, expression):
        """The value of an expression, awaited, whatever the page's Content-Security-Policy says."""
        got = self.cdp("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in got:
            raise BrowserError(f"{expression[:200]}: {got['exceptionDetails']}")
        return got["result"].get("value")

    def element(self, css):
        return self.ask("POST", "/element", {"using": "css selector", "value": css})[ELEMENT]

    def click(self, css):
        self.ask("POST", f"/element/{self.element(css)}/click", {})

    def type(self, css, text):
        self.ask("POST", f"/element/{self.element(css)}/value", {"text": text})

    def keys(self, *keys):
        """Pressed where the focus is. Names as in KEYS, or characters."""
        codes = [KEYS.get(key, key) for key in keys]
        actions = [{"type": kind, "value": code} for code in codes for kind in ("keyDown", "keyUp")]
        self.ask("POST", "/actions", {"actions": [{"type": "key", "id": "keyboard", "actions": actions}]})

    def drag(self, css, *points):
        """From the first to the last of these points of an element: (x, y) as parts of its width and height."""
        moves = [{"type": "pointerMove", "duration": 50, **self._at(css, x, y)} for x, y in points]
        actions = [moves[0], {"type": "pointerDown", "button": 0}, *moves[1:], {"type": "pointerUp", "button": 0}]
        self.ask("POST", "/actions", {"actions": [{"type": "pointer", "id": "mouse", "actions": actions}]})

    def _at(self, css, x, y):
        """Where that part of an element's width and height is in the window, once it is in sight."""
        box = self.js("const b = document.querySelector(arguments[0]); b.scrollIntoView({block: 'center'});"
                      "const r = b.getBoundingClientRect(); return [r.x, r.y, r.width, r.height]", css)
        return {"x": round(box[0] + x * box[2]), "y": round(box[1] + y * box[3])}

    def hover(self, css, x, y):
        """The mouse comes to rest on that part of an element's width and height."""
        self.ask("POST", "/actions", {"actions": [{"type": "pointer", "id": "mouse", "actions": [
            {"type": "pointerMove", "duration": 20, **self._at(css, x, y)}]}]})

    def swipe(self, css, *points):
        """As drag, by a finger."""
        for kind, (x, y) in zip(("touchStart", *["touchMove"] * (len(points) - 1)), points):
            self.cdp("Input.dispatchTouchEvent", type=kind, touchPoints=[self._at(css, x, y)])
        self.cdp("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])

    def screenshot(self, path):
        pathlib.Path(path).write_bytes(base64.b64decode(self.ask("GET", "/screenshot")))

    def heard(self, kind):
        """What has come since the last time: "browser" (the console), "performance" (events of the DevTools protocol)."""
        return self.ask("POST", "/se/log", {"type": kind})

    def events(self):
        """[(method, parameters)] of the DevTools protocol since the last time."""
        messages = [json.loads(entry["message"])["message"] for entry in self.heard("performance")]
        return [(message["method"], message["params"]) for message in messages]

    # ---- how the page is to be seen ----------------------------------------------------------------------

    def size(self, width, height):
        self.cdp("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 500)

    def media(self, **features):
        """color_scheme="dark", reduced_motion="reduce"; none: as usual."""
        self.cdp("Emulation.setEmulatedMedia", features=[
            {"name": f"prefers-{name.replace('_', '-')}", "value": value} for name, value in features.items()])

    def wait(self, script, *arguments, seconds=20):
        """Until what the script returns is true; returns it."""
        deadline = time.monotonic() + seconds
        while not (got := self.js(script, *arguments)):
            if time.monotonic() > deadline:
                shown = self.js("return [location.href, document.body.dataset.state, document.body.innerText.slice(0, 1500)]")
                raise BrowserError(f"not so after {seconds} s: {script} {arguments}; the page: {shown}")
            time.sleep(0.05)
        return got
