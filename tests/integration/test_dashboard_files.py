#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The dashboard's files as a browser gets them, and that the build knows each of them."""
import gzip
import hashlib
import html.parser
import json
import re
import subprocess

from harness import ROOT, main
from telemetryd import EndpointCase

TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
FOLDERS = ("dashboard", "third_party/uplot")
FILES = sorted(path for folder in FOLDERS for path in (ROOT / folder).iterdir()
               if not path.name.startswith(".") and not path.name.endswith("~"))
POLICY = {"default-src": "'none'", "script-src": "'self'", "style-src": "'self'", "img-src": "'self'", "connect-src": "'self'",
          "base-uri": "'none'", "form-action": "'none'", "frame-ancestors": "'none'",
          "require-trusted-types-for": "'script'", "trusted-types": "'none'"}
IMPORT = re.compile(r"^(?:import|(?:import|export)\b[^;'\"()]*\bfrom)\s+['\"]([^'\"]+)['\"]", re.M)
TARGETS = {("/" if path.name == "index.html" else f"/dashboard/{path.name}"): path for path in FILES}


class Page(html.parser.HTMLParser):
    """What it refers to, and what its policy forbids."""

    def __init__(self, text):
        super().__init__()
        self.references, self.forbidden, self.title, self.inside = [], [], "", None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.inside = tag
        self.references += [attrs[name] for name in ("src", "href") if attrs.get(name)]
        if tag in ("style", "base") or (tag == "script" and "src" not in attrs):
            self.forbidden.append(tag)
        self.forbidden += [name for name in attrs if name == "style" or name.startswith("on")]

    def handle_endtag(self, tag):
        self.inside = None

    def handle_data(self, data):
        self.title += data if self.inside == "title" else ""


class Files(EndpointCase):
    def test_all(self):
        """dashboard: every file of its folders, byte for byte, with its type; ETag, 304, gzip, HEAD"""
        daemon = self.daemon()
        self.assertIn("/", TARGETS)
        for target, path in TARGETS.items():
            content = path.read_bytes()
            status, headers, body = daemon.ask("GET", target)
            self.assertEqual((status, body), (200, content), target)
            self.assertEqual(headers["Content-Type"], TYPES.get(path.suffix, "text/plain") + "; charset=utf-8", target)
            self.assertEqual(headers["X-Content-Type-Options"], "nosniff", target)
            self.assertEqual(headers["Cache-Control"], "no-cache", target)
            self.assertEqual(headers["ETag"], f'"{hashlib.sha1(content).hexdigest()}"', target)
            self.assertIn("Accept-Encoding", headers.get_all("Vary"), target)
            status, again, body = daemon.ask("GET", target, headers={"If-None-Match": headers["ETag"]})
            self.assertEqual((status, body, again["ETag"]), (304, b"", headers["ETag"]), target)
            status, head, body = daemon.ask("HEAD", target)
            self.assertEqual((status, body, head["Content-Length"]), (200, b"", str(len(content))), target)
            status, packed, body = daemon.ask("GET", target, headers={"Accept-Encoding": "gzip"})
            if packed["Content-Encoding"]:
                self.assertLess(len(body), len(content), target)
                body = gzip.decompress(body)
            self.assertEqual((status, body), (200, content), target)
            self.assertEqual(packed["Content-Encoding"], "gzip" if len(content) > 4096 else packed["Content-Encoding"], target)

    def test_page(self):
        """dashboard: the page has a strict policy of its own, keeps it, and refers but to files that are there"""
        daemon = self.daemon()
        for method, more in (("GET", {}), ("HEAD", {}), ("GET", {"If-None-Match": "*"})):
            _, headers, _ = daemon.ask(method, "/", headers=more)
            policy = dict(part.strip().split(" ", 1) for part in headers["Content-Security-Policy"].split(";"))
            self.assertEqual((policy, headers["Referrer-Policy"]), (POLICY, "no-referrer"))
        _, headers, _ = daemon.ask("GET", "/dashboard/uPlot.min.css")
        self.assertEqual(headers["Content-Security-Policy"], "default-src 'none'; frame-ancestors 'none'")
        page = Page(daemon.ask("GET", "/")[2].decode())
        self.assertIn("one-telemetry", page.title)
        self.assertEqual(page.forbidden, [])
        for reference in page.references:
            if reference.startswith(("https://", "#")):
                continue  # a link that somebody may follow
            self.assertRegex(reference, r"^(dashboard|api)/", "not relative: it is lost behind a reverse proxy's prefix")
            self.assertEqual(daemon.ask("GET", f"/{reference.partition('#')[0]}")[0], 200, reference)
        for path in (path for path in FILES if path.suffix == ".js" and path.parent.name == "dashboard"):
            for module in IMPORT.findall(path.read_text()):
                self.assertRegex(module, r"^\./[^/]+$", path.name)
                self.assertEqual(daemon.ask("GET", f"/dashboard/{module[2:]}")[0], 200, f"{path.name}: {module}")

    def test_tricks(self):
        """dashboard: what is no file of its is 404 or 400 as JSON, also by detours; other methods are 405"""
        daemon = self.daemon()
        for path, status in (("/dashboard", 404), ("/dashboard/", 400), ("/dashboard/nothing.js", 404),
                             ("/dashboard/index.html", 404), ("/index.html", 404), ("/style.css", 404),
                             ("/dashboard/../metrics", 400), ("/dashboard/%2e%2e/metrics", 400),
                             ("/dashboard/%2e%2e%2fmetrics", 400), ("/dashboard/..%5cmetrics", 400), ("/dashboard/.", 400),
                             ("/dashboard/uPlot.min.css/", 400), ("/dashboard/uPlot.min.css/x", 404),
                             ("/dashboard/uPlot.min.css%00", 400), ("/dashboard/UPLOT.MIN.CSS", 404),
                             ("/dashboard//uPlot.min.css", 400), ("//dashboard/uPlot.min.css", 400),
                             ("/dashboard/%2fetc%2fpasswd", 400), ("/dashboard/uplot/uPlot.min.css", 404),
                             ("/dashboard/uPlot.min.css?x=1", 400), ("/dashboard/uPlot%2emin.css", 200)):
            got, headers, body = daemon.ask("GET", path)
            self.assertEqual(got, status, f"{path}: {body[:200]}")
            if status != 200:
                self.assertEqual(set(json.loads(body)), {"error", "detail"}, path)
                self.assertEqual(headers["Cache-Control"], "no-store", path)
        for path in ("/", "/dashboard/uPlot.min.css"):
            for method in ("POST", "PUT", "DELETE"):
                status, headers, _ = daemon.ask(method, path, b"x")
                self.assertEqual((status, headers["Allow"]), (405, "GET, HEAD, OPTIONS"), f"{method} {path}")

    def test_access(self):
        """dashboard: open where tokens are needed, also with a wrong one; not for a name that is not this machine's"""
        guarded = self.daemon(server={"read_token_file": self.secret("reading-token-1"),
                                      "write_token_file": self.secret("writing-token-1")})
        for token in (None, "wrong-token-1"):
            for path in ("/", "/dashboard/uPlot.min.css"):
                self.assertEqual(guarded.ask("GET", path, token=token)[0], 200, path)
            self.assertEqual(guarded.ask("GET", "/api/telemetry/vm-telemetry", token=token)[0], 401)
        local = self.daemon()
        for path in ("/", "/dashboard/uPlot.min.css"):
            self.assertEqual(local.ask("GET", path, headers={"Host": "rebound.example.net"})[0], 421, path)


class Build(EndpointCase):
    def make(self, *files):
        return subprocess.run(["sh", ROOT / "tools/assets.sh", *files], capture_output=True, text=True, timeout=60)

    def test_refuses(self):
        """dashboard: the build fails at a file that it can't serve, and says why"""
        for name, content, complaint in (("x.exe", "x", "no type is known"), ("a b.js", "x", "a name may hold but letters"),
                                         ("x.js", "", "is empty"), ("uPlot.min.css", "x", "in another folder already")):
            path = self.scratch / name
            path.write_text(content)
            got = self.make(ROOT / "third_party/uplot/uPlot.min.css", path)
            self.assertEqual(got.returncode, 1, name)
            self.assertIn(complaint, got.stderr)
            self.assertIn(str(path), got.stderr)
        got = self.make(*FILES)
        self.assertEqual((got.returncode, got.stderr), (0, ""))
        self.assertIn(f"n_assets = {len(FILES)};", got.stdout)


if __name__ == "__main__":
    raise SystemExit(main())
