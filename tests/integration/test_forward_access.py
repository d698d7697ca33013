#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What lets the forwarder in, or keeps it out: secrets, certificates, proxies. Who asks is told what is wrong, without
the secret; everything is kept, and flows when it is mended."""
import http.client
import http.server
import os
import re
import select
import socket
import socketserver
import threading

from certificates import Authority
from forward_case import FEW, TOKEN, Forward
from forwarding import batches
from harness import main
from standin import Behaviour


class Locked(Forward):
    """Secrets, certificates, proxies; the sanitized forwarder."""
    sanitized = True

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.authority = Authority(cls.scratch / "authority")
        cls.other = Authority(cls.scratch / "other", "another authority")

    def test_secret_files(self):
        """tokens and passwords: files missing, open to others, links, empty: told, all kept; mended, it flows"""
        def missing(path):
            path.rename(self.scratch / "away")
            return lambda: (self.scratch / "away").rename(path)

        def link(path):
            path.rename(self.scratch / "behind")
            path.symlink_to(self.scratch / "behind")
            return lambda: (path.unlink(), (self.scratch / "behind").rename(path))

        def readable(path):
            path.chmod(0o644)
            return lambda: path.chmod(0o600)

        def foreign(path):
            os.chown(path, 65534, 65534)
            return lambda: os.chown(path, 0, 0)

        def empty(path):
            text = path.read_text()
            path.write_text("")
            return lambda: path.write_text(text)
        for kind, damage, error in (
                ("influxdb2", readable, "may read it.* 0?644|0?644"), ("influxdb3", missing, "No such file"),
                ("influxdb1", readable, "0?644"), ("influxdb2", link, "symbolic link"),
                ("influxdb1", foreign, "belongs to user 65534"), ("telemetryd", empty, "is empty")):
            with self.subTest(kind, damage=damage.__name__):
                path = self.secret(TOKEN)
                options = {"user": "ann", "password": TOKEN} if kind == "influxdb1" else {}
                settings = {"user": "ann", "password_file": path} if options else {"token_file": path}
                server, texts = self.begin(kind, server=self.server(kind, **options), **settings)
                mend = damage(path)
                run = self.run_well()
                self.assertEqual([level for level, _ in run.log], [3], run)
                self.assertRegex(run.log[0][1], rf"\[sink one\].*{re.escape(str(path))}.*({error})")
                self.assertEqual(server.requests, [])
                self.assert_kept(texts, error=rf"{re.escape(str(path))}.*({error})", denied=True)
                flush = self.forwarding.run("--flush", timeout=20)
                self.assertEqual(flush.status, 1, flush)
                self.assertIn(str(path), flush.err)
                self.assertNotIn(TOKEN, run.err + flush.err + str(run.log) + str(self.forwarding.ledger("one")))
                mend()
                self.assertEqual(self.forwarding.run("--flush").status, 0)
                self.assert_stored(texts, server)

    def test_wrong_secret(self):
        """a wrong token, which the sink repeats: told without it; the right one in the file, it flows"""
        path = self.secret("wr0ng-token-here")
        server, texts = self.begin("influxdb2", token_file=path)
        server.behave(Behaviour(401, message="token wr0ng-token-here is unknown"))
        server.credentials = {"Token wr0ng-token-here"}
        run = self.run_well()
        self.assert_kept(texts, error="401 .*token [*]+ is unknown", denied=True)
        self.assertNotIn("wr0ng", run.err + str(run.log) + str(self.forwarding.ledger("one")))
        server.credentials = {f"Token {TOKEN}"}
        path.write_text(TOKEN + "\n")
        self.assertEqual(self.forwarding.run("--flush").status, 0)
        self.assert_stored(texts, server)

    def secure(self, kind="influxdb3", url=None, **settings):
        """A server with a certificate; (server, texts) with what waits for it."""
        server = self.server(kind, authority=self.authority, client_authority=settings.pop("client_authority", None))
        sink = self.sink(kind, server, **settings)
        if url:
            sink.options["url"] = url(server)
        self.forwarding = self.new_forwarding()
        self.forwarding.configure(sink)
        self.forwarding.queue(texts := batches(FEW))
        return server, texts

    def again(self, server, texts, **settings):
        """Mended, all flows."""
        self.forwarding.configure(self.sink("influxdb3", server, **settings))
        run = self.forwarding.run("--flush")
        self.assertEqual(run.status, 0, run)
        self.assert_stored(texts, server)

    def test_tls(self):
        """TLS: the authority's own server is trusted, another's is not, nor is one of another name; verify = no"""
        good = {"ca_file": self.authority.file}
        server, texts = self.secure(**good)
        self.run_well()
        self.assert_stored(texts, server)
        self.assertEqual(server.connections, 1)
        for name, wrong in (("another authority", {"ca_file": self.other.file}), ("the system's", {})):
            with self.subTest(name):
                server, texts = self.secure(**wrong)
                self.run_well()
                self.assert_kept(texts, error="no trust in the certificate of 127.0.0.1:", denied=True)
                self.assertEqual(server.requests, [])
                self.again(server, texts, **good)
        with self.subTest("name"):
            server, texts = self.secure(url=lambda server: f"https://127.0.0.2:{server.port}", **good)
            self.run_well()
            self.assert_kept(texts)
            self.assertEqual(server.requests, [])
        server, texts = self.secure(verify="no", ca_file=self.other.file)
        self.run_well()
        self.assert_stored(texts, server)

    def test_client_certificate(self):
        """TLS: a server that wants a certificate of us: none, another authority's, expired, its key open to others"""
        def certificate(authority, name):
            cert, key = authority.client(name)
            return {"ca_file": self.authority.file, "cert_file": cert, "key_file": key}
        good = certificate(self.authority, "good")
        server, texts = self.secure(client_authority=self.authority, **good)
        self.run_well()
        self.assert_stored(texts, server)
        expired = certificate(self.authority, "expired")
        self.authority.expire(expired["cert_file"])
        for name, settings in (("none", {"ca_file": self.authority.file}), ("expired", expired),
                               ("other", certificate(self.other, "other"))):
            with self.subTest(name):
                server, texts = self.secure(client_authority=self.authority, **settings)
                self.run_well()
                self.assert_kept(texts, error="no TLS with 127.0.0.1:.*(alert|expired|unknown|required)", denied=True)
                self.assertEqual(server.requests, [])
                self.again(server, texts, **good)
        server, texts = self.secure(client_authority=self.authority, **good)
        good["key_file"].chmod(0o644)
        self.run_well()
        self.assert_kept(texts, error=re.escape(str(good["key_file"])) + ".*0?644", denied=True)
        good["key_file"].chmod(0o600)
        self.again(server, texts, **good)

    def proxy(self):
        server = Proxy(("127.0.0.1", 0), ProxyHandler)
        server.asked = []
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        self.addCleanup(lambda: (server.shutdown(), server.server_close(), thread.join()))
        return server

    def test_proxy(self):
        """a proxy, asked for http and tunnelled for https; the environment's is ignored; one that is gone is told"""
        proxy = self.proxy()
        url = f"http://127.0.0.1:{proxy.server_address[1]}"
        server, texts = self.begin(proxy=url)
        self.run_well()
        self.assert_stored(texts, server)
        self.assertEqual({verb for verb, _ in proxy.asked}, {"POST"})
        server, texts = self.secure(ca_file=self.authority.file, proxy=url)
        self.run_well()
        self.assert_stored(texts, server)
        self.assertEqual(proxy.asked[-1], ("CONNECT", f"127.0.0.1:{server.port}"))
        before = len(proxy.asked)
        environment = {name: url for name in ("http_proxy", "https_proxy", "all_proxy", "HTTPS_PROXY", "ALL_PROXY")}
        server, texts = self.begin()
        self.run_well(env=environment)
        self.assert_stored(texts, server)
        self.assertEqual(len(proxy.asked), before)
        with socket.socket() as nobody:
            nobody.bind(("127.0.0.1", 0))
            server, texts = self.begin(proxy=f"http://127.0.0.1:{nobody.getsockname()[1]}", connect_timeout="2")
            self.run_well()
            self.assert_kept(texts, error="by way of the proxy|proxy", denied=False)
        self.assertEqual(server.requests, [])


class Proxy(socketserver.ThreadingTCPServer):
    daemon_threads, allow_reuse_address, block_on_close = True, True, False


class ProxyHandler(http.server.BaseHTTPRequestHandler):
    """Just what a proxy needs: requests with a whole URL, and tunnels."""
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_POST(self):
        self.server.asked.append(("POST", self.path))
        place, _, path = self.path.removeprefix("http://").partition("/")
        connection = http.client.HTTPConnection(place, timeout=20)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        headers = {key: value for key, value in self.headers.items() if not key.startswith("Proxy-")}
        connection.request("POST", f"/{path}", body, headers)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        self.send_response(answer.status)
        if answer.status != 204:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def do_CONNECT(self):
        self.server.asked.append(("CONNECT", self.path))
        host, _, port = self.path.partition(":")
        with socket.create_connection((host, int(port)), 20) as other:
            self.send_response(200)
            self.end_headers()
            ends = {self.connection: other, other: self.connection}
            while True:
                for end in select.select(list(ends), [], [], 20)[0]:
                    data = end.recv(65536)
                    if not data:
                        self.close_connection = True
                        return
                    ends[end].sendall(data)



if __name__ == "__main__":
    raise SystemExit(main())
