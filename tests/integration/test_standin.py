#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The stand-in for databases: it takes what is right, refuses what the real ones refuse and what we must never send,
and fails as it is told."""
import base64
import email.utils
import gzip
import http.client
import json
import re
import socket
import ssl
import time
import urllib.parse

import line_protocol
from certificates import Authority
from databases import Influxd
from harness import Case, main
from standin import Behaviour, Standin, gunzip, http_date

SECOND = 1700000000 * 10**9
GOOD = f"m,a=1 f=1i {SECOND}\n"
AGENT = "one-telemetry/0.1.0"
BASIC = "Basic " + base64.b64encode(b"ann:pa:ss").decode()

KINDS = {  # a good target, and the Authorization of it
    "influxdb1": ("/write?db=one&precision=ns", BASIC),
    "influxdb2": ("/api/v2/write?org=my%20org&bucket=b&precision=ns", "Token t0ken"),
    "influxdb3": ("/api/v3/write_lp?db=one&precision=nanosecond&accept_partial=true", "Bearer t0ken"),
    "telemetryd": ("/write?precision=ns", "Bearer t0ken"),
}
PLACES = {"influxdb1": {"db": "one"}, "influxdb2": {"org": "my org", "bucket": "b"}, "influxdb3": {"db": "one"},
          "telemetryd": {}}


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"{self.status} {self.body[:300]!r}"


class StandinCase(Case):
    def standin(self, kind, **options):
        who = {"user": "ann", "password": "pa:ss"} if kind == "influxdb1" else {"token": "t0ken"}
        made = Standin(kind, PLACES[kind], **{**who, **options})
        self.addCleanup(made.close)
        return made

    def connect(self, server, timeout=10, **options):
        if server.tls:
            made = http.client.HTTPSConnection("127.0.0.1", server.port, timeout=timeout, **options)
        else:
            made = http.client.HTTPConnection("127.0.0.1", server.port, timeout=timeout)
        self.addCleanup(made.close)
        return made

    def post(self, server, kind, body=GOOD, target=None, method="POST", connection=None, **headers):
        """Header names with _ for -; None leaves one out."""
        data = body.encode() if isinstance(body, str) else body
        good_target, authorization = KINDS[kind]
        wanted = {"Authorization": authorization, "Content-Type": "text/plain; charset=utf-8", "User-Agent": AGENT,
                  "Content-Length": str(len(data)), **{name.replace("_", "-"): text for name, text in headers.items()}}
        used = connection or self.connect(server)
        used.putrequest(method, target or good_target, skip_accept_encoding=True)
        for name, text in wanted.items():
            if text is not None:
                used.putheader(name, text)
        used.endheaders(data)
        got = used.getresponse()
        answer = Answer(got.status, got.headers, got.read())
        if connection is None:
            used.close()
        return answer


class Requests(StandinCase):
    def test_good(self):
        """stand-in: each kind takes its own good requests, plain and gzip'd in several members, over one connection"""
        two = f"m,a=2 f=2i {SECOND}\n"
        for kind in KINDS:
            server = self.standin(kind)
            connection = self.connect(server)
            self.assertEqual(self.post(server, kind, connection=connection).status, 204, kind)
            members = gzip.compress(GOOD.encode()) + gzip.compress(two.encode())
            again = self.post(server, kind, members, connection=connection, Content_Encoding="gzip")
            self.assertEqual(again.status, 204, f"{kind}: {again}")
            self.assertEqual(server.store.points, {("m", (("a", "1"),), SECOND): {"f": 1},
                                                   ("m", (("a", "2"),), SECOND): {"f": 2}})
            self.assertEqual((len(server.requests), server.connections, server.complaints), (2, 1, []))
            self.assertEqual((server.store.duplicates, server.store.overwritten), (1, 0))
            self.assertEqual(server.requests[1].plain, (GOOD + two).encode())

    def test_targets(self):
        """stand-in: paths and parameters that are not just right are refused"""
        rows = [
            ("influxdb1", "/write", 400), ("influxdb1", "/write?db=one", 400),
            ("influxdb1", "/write?db=one&precision=n", 400), ("influxdb1", "/write?db=one&precision=nanosecond", 400),
            ("influxdb1", "/write?db=one&precision=ns&rp=x", 400), ("influxdb1", "/write?db=one&precision=ns&", 400),
            ("influxdb1", "/write?db=one&db=one&precision=ns", 400), ("influxdb1", "/write?db=&precision=ns", 404),
            ("influxdb1", "/write?db=other&precision=ns", 404), ("influxdb1", "/write?db=o+e&precision=ns", 400),
            ("influxdb1", "/write?u=ann&p=x&db=one&precision=ns", 400),
            ("influxdb1", "//write?db=one&precision=ns", 404),
            ("influxdb1", KINDS["influxdb2"][0], 404), ("influxdb1", "/write/?db=one&precision=ns", 404),
            ("influxdb2", "/api/v2/write?bucket=b&precision=ns", 400),
            ("influxdb2", "/api/v2/write?org=my+org&bucket=b&precision=ns", 400),
            ("influxdb2", "/api/v2/write?org=my%20org&bucket=c&precision=ns", 404),
            ("influxdb2", "/api/v2/write?org=other&bucket=b&precision=ns", 404),
            ("influxdb2", KINDS["influxdb1"][0], 404),
            ("influxdb3", "/api/v3/write_lp?db=one&precision=ns&accept_partial=true", 400),
            ("influxdb3", "/api/v3/write_lp?db=one&precision=nanosecond", 400),
            ("influxdb3", "/api/v3/write_lp?db=one&precision=nanosecond&accept_partial=false", 400),
            ("telemetryd", "/write?db=one&precision=ns", 400), ("telemetryd", "/write", 400),
        ]
        for kind, target, status in rows:
            with self.subTest(target=target, kind=kind):
                server = self.standin(kind)
                self.assertEqual(self.post(server, kind, target=target).status, status)
                self.assertEqual(server.store.points, {})
                self.assertEqual(len(server.complaints), 0 if status == 404 else 1)

    def test_headers(self):
        """stand-in: methods and headers that are not just right are refused"""
        rows = [
            ({"method": "PUT"}, 405), ({"method": "GET"}, 405), ({"Content_Type": None}, 415),
            ({"Content_Type": "application/json"}, 415), ({"Content_Encoding": "deflate"}, 415),
            ({"Content_Encoding": "identity"}, 415), ({"Content_Length": None}, 411),
            ({"Transfer_Encoding": "chunked"}, 411), ({"Expect": "100-continue"}, 417), ({"User_Agent": "curl/8"}, 400),
            ({"Content_Length": "+5"}, 411),
        ]
        for headers, status in rows:
            with self.subTest(headers=headers):
                server = self.standin("influxdb3")
                self.assertEqual(self.post(server, "influxdb3", **headers).status, status)
                self.assertEqual((server.store.points, len(server.complaints)), ({}, 1))

    def test_authorization(self):
        """stand-in: credentials of another scheme, wrong, missing or not wanted are refused"""
        rows = [
            ("influxdb1", None), ("influxdb1", "Basic YTpi"), ("influxdb1", "basic " + BASIC[6:]),
            ("influxdb1", "Bearer t0ken"), ("influxdb2", None), ("influxdb2", "Bearer t0ken"),
            ("influxdb2", "Token other"), ("influxdb2", "token t0ken"), ("influxdb3", "Token t0ken"),
            ("influxdb3", "Bearer  t0ken"), ("telemetryd", "Token t0ken"),
        ]
        for kind, authorization in rows:
            server = self.standin(kind)
            got = self.post(server, kind, Authorization=authorization)
            self.assertEqual((got.status, server.store.points), (401, {}), f"{kind} {authorization}: {got}")
        server = self.standin("influxdb3", token=None)
        self.assertEqual(self.post(server, "influxdb3").status, 400)
        self.assertEqual(self.post(server, "influxdb3", Authorization=None).status, 204)

    def test_bodies(self):
        """stand-in: bodies that are no text, no gzip, or not whole are refused"""
        good = gzip.compress(GOOD.encode())
        rows = [(b"", {}), (GOOD[:-1].encode(), {}), (b"\xff" + GOOD.encode(), {}), (good, {}),
                (GOOD.encode(), {"Content_Encoding": "gzip"}), (good[:-4], {"Content_Encoding": "gzip"}),
                (good + good[:-8], {"Content_Encoding": "gzip"}), (good + b"x", {"Content_Encoding": "gzip"}),
                (good[:-8] + b"abcd" + good[-4:], {"Content_Encoding": "gzip"}), (b"", {"Content_Encoding": "gzip"})]
        for body, headers in rows:
            server = self.standin("influxdb1")
            got = self.post(server, "influxdb1", body, **headers)
            self.assertEqual((got.status, server.store.points, len(server.complaints)), (400, {}, 1), f"{body}: {got}")

    def test_limits(self):
        """stand-in: a body above the limit of bytes or lines is refused with 413, however large"""
        server = self.standin("influxdb1", max_bytes=100, max_lines=2)
        self.assertEqual(self.post(server, "influxdb1", GOOD * 2).status, 204)
        self.assertEqual(self.post(server, "influxdb1", GOOD * 3).status, 413)
        self.assertEqual(self.post(server, "influxdb1", GOOD * 5).status, 413)
        self.assertEqual(self.post(server, "influxdb1", GOOD * 50000).status, 413)
        packed = self.post(server, "influxdb1", gzip.compress((GOOD * 3).encode()), Content_Encoding="gzip")
        self.assertEqual(packed.status, 413)
        self.assertEqual(server.complaints, [])

    def test_members(self):
        """stand-in: gzip members in a row are one text"""
        texts = [b"", b"a\n", b"b" * 100000]
        self.assertEqual(gunzip(b"".join(map(gzip.compress, texts))), b"".join(texts))


class Lines(StandinCase):
    def test_line_protocol(self):
        """reader of line protocol: takes what is right, refuses everything else"""
        point = line_protocol.read_line(r'm\ x,a\,b=c\=d,e=1 f=-2i,g="x \"\\ y",h=1.0e+20,i=true,j=0.5 7')
        self.assertEqual((point.measurement, point.tags, point.time), ("m x", {"a,b": "c=d", "e": "1"}, 7))
        self.assertEqual(point.fields, {"f": -2, "g": 'x "\\ y', "h": 1e20, "i": True, "j": 0.5})
        for text in (
                "", "m", "m f=1i", "m f=1i ", "m f=1i x", "m f=1i 1.0", "m f=1i -1", "m f=1i 1 ", " m f=1i 1",
                "m  f=1i 1", "m f=1i  1", "m,f=1i 1", "m,a= f=1i 1", "m,a f=1i 1", "m,=1 f=1i 1", "m,a=1,a=1 f=1i 1",
                "m,b=1,a=1 f=1i 1", "m,a=1\\ f=1i 1", "m f=1 1", "m f=1u 1", "m f=01.5.5 1", "m f=.5 1", "m f=5. 1",
                "m f=NaN 1", "m f=inf 1", "m f=1e999 1", "m f=1.0e999 1", "m f=t 1", "m f=x 1", "m f= 1", "m f 1",
                'm f="x 1', 'm f="x"y 1', 'm f="\\n" 1', "m f=1i,f=2i 1", "m f=1i, 1", "m f=1i g=2i 1", "#m f=1i 1",
                "_m f=1i 1", "m f=9223372036854775808i 1", "m f=1i 9223372036854775808", "m,f=1 f=1i 1",
                'm f="a\tb" 1', "m,a=x\x00y f=1i 1", f'm f="{"x" * 65537}" 1', "m f=1i 1\r", "m f=1i 1\n"):
            with self.assertRaises(ValueError, msg=text):
                line_protocol.read_line(text)

    bad = GOOD + "bad\n" + f"m,a=3 f=3i {SECOND}\n"
    conflict = GOOD + f"m f=1.5 {SECOND}\n" + f'm f="x" {SECOND + 1}\n' + f"m,a=3 f=3i {SECOND}\n"
    stored = {("m", (("a", "1"),), SECOND): {"f": 1}, ("m", (("a", "3"),), SECOND): {"f": 3}}

    def test_influxdb1(self):
        """stand-in for InfluxDB 1: partial writes and refusals in the words of the real one"""
        real = Influxd(self.scratch / "influxd")
        self.addCleanup(real.kill)
        texts = [GOOD, "bad\n", "bad\nbad\n", self.conflict, GOOD + f"m f=1.5 {SECOND}\nbad\n", GOOD + "bad\nbad\n",
                 f"n,a=1 f=1.5 {SECOND}\n", f"x f=1.5 {SECOND}\nx f=1i {SECOND + 1}\nx f=2i {SECOND + 2}\n"]
        real.create("one")
        server = self.standin("influxdb1")
        for text in texts:
            status, _, body = real.request("POST", "/write?db=one&precision=ns", text.encode())
            got = self.post(server, "influxdb1", text)
            self.assertEqual((got.status, self.error_of(got.body)), (status, self.error_of(body)), text)
            for name in ("X-Influxdb-Error", "Content-Type"):
                self.assertTrue(name in got.headers or not body, text)
        self.assertEqual(server.store.points, real.points("one"))
        got = self.post(server, "influxdb1", target="/write?db=other&precision=ns")
        status, _, body = real.request("POST", "/write?db=other&precision=ns", GOOD.encode())
        self.assertEqual((got.status, got.body), (status, body))

    @staticmethod
    def error_of(body):
        """Why a line is none each says in its own words."""
        error = json.loads(body)["error"] if body else ""
        return re.sub(r"(unable to parse 'bad'): .*?(?=\n| dropped=|$)", r"\1", error)

    def test_influxdb2(self):
        """stand-in for InfluxDB 2: a bad line refuses the whole body and is named; conflicts leave the rest stored"""
        server = self.standin("influxdb2")
        got = self.post(server, "influxdb2", self.bad)
        self.assertEqual((got.status, got.json()["code"], got.json()["line"]), (400, "invalid", 2))
        self.assertEqual(server.store.points, {})
        got = self.post(server, "influxdb2", self.conflict)
        self.assertEqual((got.status, got.json()["code"]), (422, "unprocessable entity"))
        self.assertRegex(got.json()["message"], r'input field "f" on measurement "m" is type float, .* dropped=2$')
        self.assertEqual(server.store.points, self.stored)

    def test_old_influxdb2(self):
        """stand-in for an older InfluxDB 2: a conflict is a 500 and nothing is stored"""
        server = self.standin("influxdb2", old=True)
        self.post(server, "influxdb2", GOOD)
        got = self.post(server, "influxdb2", self.conflict)
        self.assertEqual((got.status, got.json()["code"]), (500, "internal error"))
        self.assertEqual(list(server.store.points), [("m", (("a", "1"),), SECOND)])

    def test_influxdb3(self):
        """stand-in for InfluxDB 3: refused lines are named, as an array, as an object, or not at all"""
        for detail, data in (("array", [2, 3]), ("object", 2), ("none", None)):
            server = self.standin("influxdb3")
            server.behave(Behaviour(detail=detail))
            got = self.post(server, "influxdb3", self.conflict)
            said = got.json()
            self.assertEqual((got.status, said["error"]), (400, "partial write of line protocol occurred"))
            self.assertEqual(server.store.points, self.stored)
            if detail == "array":
                self.assertEqual([entry["line_number"] for entry in said["data"]], data)
                self.assertEqual(said["data"][0]["original_line"], f"m f=1.5 {SECOND}")
            elif detail == "object":
                self.assertEqual(said["data"]["line_number"], data)
            else:
                self.assertNotIn("data", said)


class Faults(StandinCase):
    def test_statuses(self):
        """stand-in: told to, it answers with any status, Retry-After in both forms, stores nothing or all the same"""
        server = self.standin("influxdb2")
        server.behave(*(Behaviour(status) for status in (401, 403, 404, 413, 422, 429, 500, 502, 503, 504)))
        server.behave(Behaviour(429, retry_after=7), Behaviour(503, retry_after=http_date(90), body=b"<html>"),
                      Behaviour(503, store=True))
        for status in (401, 403, 404, 413, 422, 429, 500, 502, 503, 504):
            self.assertEqual(self.post(server, "influxdb2").status, status)
        self.assertEqual(self.post(server, "influxdb2").headers["Retry-After"], "7")
        got = self.post(server, "influxdb2")
        wait = email.utils.parsedate_to_datetime(got.headers["Retry-After"]).timestamp() - time.time()
        self.assertTrue(30 < wait < 91, wait)
        self.assertEqual((got.body, server.store.points), (b"<html>", {}))
        self.assertEqual(self.post(server, "influxdb2").status, 503)
        self.assertEqual(len(server.store.points), 1)
        self.assertEqual(self.post(server, "influxdb2").status, 204)

    def test_network(self):
        """stand-in: it hangs, cuts, resets, closes, and lies about lengths; what it stores is seen"""
        rows = [  # how: the status, or False: not stored
            ("hang", None, TimeoutError, 1), ("hang", False, TimeoutError, 0), ("hang_within", 503, TimeoutError, 0),
            ("close", None, http.client.RemoteDisconnected, 1), ("close", False, http.client.RemoteDisconnected, 0),
            ("close_unread", None, (ConnectionError, http.client.RemoteDisconnected), 0),
            ("cut", 503, (http.client.HTTPException, ValueError), 0), ("reset", 503, ConnectionResetError, 0),
            ("long", 503, http.client.IncompleteRead, 0), ("garbage", None, http.client.BadStatusLine, 1),
        ]
        for fault, how, error, stored in rows:
            with self.subTest(fault=fault, how=how):
                server = self.standin("influxdb3")
                server.behave(Behaviour(how or None, store=False, fault=fault) if how is False
                              else Behaviour(how, fault=fault))
                connection = self.connect(server, timeout=0.5)
                try:
                    got = self.post(server, "influxdb3", connection=connection)
                    self.assertIn(fault, ("cut", "reset"), got)
                    self.assertNotEqual(got.headers["Content-Type"], "application/json")
                except error:
                    pass
                self.assertEqual(len(server.store.points), stored)
                self.assertEqual(self.post(server, "influxdb3").status, 204)
                server.close()

    def test_short(self):
        """stand-in: an answer that is longer than it says"""
        server = self.standin("influxdb3")
        server.behave(Behaviour(fault="short"))
        with socket.create_connection(("127.0.0.1", server.port), 5) as raw:
            target, authorization = KINDS["influxdb3"]
            head = [f"POST {target} HTTP/1.1", "Host: h", f"Authorization: {authorization}", f"User-Agent: {AGENT}",
                    "Content-Type: text/plain; charset=utf-8", f"Content-Length: {len(GOOD)}"]
            raw.sendall(("\r\n".join(head) + "\r\n\r\n" + GOOD).encode())
            answer = b""
            while got := raw.recv(4096):
                answer += got
        self.assertEqual(answer, b"HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\nok\n")

    def test_refused_lines(self):
        """stand-in: told to, it refuses good lines by their numbers; that is no complaint of ours"""
        server = self.standin("influxdb3")
        server.always = lambda request: Behaviour(refuse=(1,))
        got = self.post(server, "influxdb3", GOOD + f"m,a=3 f=3i {SECOND}\n")
        self.assertEqual((got.status, [entry["line_number"] for entry in got.json()["data"]]), (400, [1]))
        self.assertEqual((list(server.store.points), server.complaints), ([("m", (("a", "3"),), SECOND)], []))

    def test_slow(self):
        """stand-in: slow, it answers others meanwhile"""
        server = self.standin("influxdb3")
        server.behave(Behaviour(delay=30))
        slow = self.connect(server, timeout=0.3)
        with self.assertRaises(TimeoutError):
            self.post(server, "influxdb3", connection=slow)
        self.assertEqual(self.post(server, "influxdb3").status, 204)

    def test_restart(self):
        """stand-in: stopped it refuses connections, started again it has its port and its points"""
        server = self.standin("influxdb3")
        connection = self.connect(server)
        self.post(server, "influxdb3", connection=connection)
        port = server.port
        server.stop()
        with self.assertRaises((OSError, http.client.HTTPException)):
            self.post(server, "influxdb3", connection=connection)
        with self.assertRaises(ConnectionRefusedError):
            self.post(server, "influxdb3")
        server.start()
        self.assertEqual((server.port, self.post(server, "influxdb3").status), (port, 204))
        self.assertEqual((server.store.duplicates, server.connections), (1, 2))

    def test_tls(self):
        """stand-in: TLS with an authority of its own, and with clients' certificates"""
        authority, other = Authority(self.scratch / "ca"), Authority(self.scratch / "other", "other")
        server = self.standin("influxdb3", authority=authority, client_authority=authority)
        mine, strangers = authority.client(), other.client()

        def connect(ca, certificate=None):
            context = ssl.create_default_context(cafile=ca.file)
            if certificate:
                context.load_cert_chain(*certificate)
            return self.connect(server, context=context)

        self.assertEqual(self.post(server, "influxdb3", connection=connect(authority, mine)).status, 204)
        for ca, certificate in ((other, mine), (authority, None), (authority, strangers)):
            with self.assertRaises((ssl.SSLError, ConnectionError)):
                self.post(server, "influxdb3", connection=connect(ca, certificate))
        server.wait_for(lambda: server.handshakes_failed == 3)
        self.assertEqual(len(server.requests), 1)
        self.assertTrue(server.url.startswith("https://"), urllib.parse.urlsplit(server.url))
        wrong = self.standin("influxdb3", authority=authority, certificate=authority.server("DNS:other.invalid"))
        with self.assertRaises(ssl.SSLCertVerificationError):
            self.post(wrong, "influxdb3", connection=self.connect(
                wrong, context=ssl.create_default_context(cafile=authority.file)))


if __name__ == "__main__":
    raise SystemExit(main())
