#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The real databases that other tests write to: what is written is read back, over a kill and a restart too."""
import base64
import gzip
import json

from databases import DatabaseError, Influxd, VictoriaMetrics
from harness import Case, main

SECOND = 1700000000 * 10**9


GZIP = {"Content-Encoding": "gzip"}
PARSE = "unable to parse 'bad': missing fields"
CONFLICT = 'field type conflict: input field "f" on measurement "m" is type float, already exists as type integer'
VM_READ = "; cannot read influx line protocol data: cannot read a block of data in "


def member(text):
    return gzip.compress(text.encode())


def line(tag, value="1i"):
    return f"m,t={tag} f={value} {SECOND}\n"


CUT = member(line("cut"))[:-8]  # without a member's end
WRONG = CUT + b"abcd" + member(line("cut"))[-4:]  # with a wrong checksum

# What a write is answered, on which answer.c and the drain rest: body, headers, InfluxDB's status and error,
# VictoriaMetrics' status and what its error has in it, tags of the points that InfluxDB then has.
ANSWERS = [
    ("good", line("a"), {}, 204, None, 204, None, "a"),
    ("the same again", line("a"), {}, 204, None, 204, None, "a"),
    ("a bad line", line("b") + "bad\n" + line("c"), {}, 400, f"partial write: {PARSE} dropped=0", 204, None, "bc"),
    ("two bad lines", line("b") + "bad\nbad\n", {}, 400, f"partial write: {PARSE}\n{PARSE} dropped=0", 204, None, "b"),
    ("only bad lines", "bad\nbad\n", {}, 400, f"{PARSE}\n{PARSE}", 204, None, ""),
    ("a conflict", line("d", "1.5") + line("e"), {}, 400, f"partial write: {CONFLICT} dropped=1", 204, None, "e"),
    ("two conflicts", line("d", "1.5") + line("g", '"x"') + line("e"), {}, 400,
     f"partial write: {CONFLICT} dropped=2", 204, None, "e"),
    ("a conflict and a bad line, of which it says nothing", line("d", "1.5") + "bad\n" + line("h"), {}, 400,
     f"partial write: {CONFLICT} dropped=1", 204, None, "h"),
    ("nothing", "", {}, 204, None, 204, None, ""),
    ("gzip", member(line("i")), GZIP, 204, None, 204, None, "i"),
    ("gzip, three members", member(line("j")) + member(line("k")) + member(line("l")), GZIP, 204, None, 204,
     None, "jkl"),
    ("gzip without its end", CUT, GZIP, 400, "unexpected EOF", 400, VM_READ, ""),
    ("the second member without its end", member(line("n")) + CUT, GZIP, 400, "unexpected EOF", 400, VM_READ, ""),
    ("a wrong checksum", WRONG, GZIP, 400, "gzip: invalid checksum", 400, VM_READ, ""),
    ("gzip with something behind", member(line("o")) + b"junk", GZIP, 400, "unexpected EOF", 400, VM_READ, ""),
    ("plain text, said to be gzip", line("p"), GZIP, 400, "gzip: invalid header", 400, "gzip: invalid header", ""),
    ("nothing, said to be gzip", "", GZIP, 400, "EOF", 400, "data: EOF", ""),
]


class OfInfluxd(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.server = Influxd(cls.scratch / "influxd")
        cls.cleanup(cls.server.kill)

    def write(self, database, text):
        return self.server.request("POST", f"/write?db={database}&precision=ns", text.encode())[0]

    def test_points(self):
        """influxd: points are read back with their tags, times and the types of their fields"""
        self.server.create("types")
        lines = f'm,b=2,a=1\\ x i=9007199254740993i,f=3.0,s="t \\"q\\"",t=true {SECOND + 1}\nm i=1i {SECOND}\n'
        self.assertEqual(self.write("types", lines), 204)
        points = self.server.points("types")
        self.assertEqual(points, {
            ("m", (("a", "1 x"), ("b", "2")), SECOND + 1): {"i": 9007199254740993, "f": 3.0, "s": 't "q"', "t": True},
            ("m", (), SECOND): {"i": 1}})
        self.assertIs(type(points["m", (("a", "1 x"), ("b", "2")), SECOND + 1]["f"]), float)
        self.assertEqual(self.server.field_types("types"),
                         {"m": {"i": "integer", "f": "float", "s": "string", "t": "boolean"}})

    def test_errors(self):
        """influxd: what a test asks in vain is an error, not an empty answer"""
        with self.assertRaises(DatabaseError):
            self.server.query("SELECT nonsense")
        with self.assertRaises(DatabaseError):
            self.server.query('SELECT * FROM "m"', "no such database")

    def test_answers(self):
        """influxd: what it answers to good, bad and damaged writes, word for word, and what it then has"""
        for label, body, headers, status, error, _, _, tags in ANSWERS:
            with self.subTest(label):
                self.server.create("answers")
                self.write("answers", f"m,t=first f=1i {SECOND}\n")  # the field's type
                data = body if isinstance(body, bytes) else body.encode()
                got = self.server.request("POST", "/write?db=answers&precision=ns", data, headers)
                want = b"" if error is None else json.dumps({"error": error}, separators=(",", ":")).encode() + b"\n"
                self.assertEqual((got[0], got[2]), (status, want))
                self.assertEqual(got[1]["X-Influxdb-Error"], error and error.replace("\n", " "))
                have = {key[1][0][1] for key in self.server.points("answers")} - {"first"}
                self.assertEqual(have, set(tags))
                self.server.drop("answers")

    def test_refusals(self):
        """influxd: what it answers where database, policy, path, password or size are wrong"""
        server = Influxd(self.scratch / "refusals", "ann", "pw", http={"max-body-size": 1000})
        self.addCleanup(server.kill)
        server.create("one")
        server.query("CREATE USER bob WITH PASSWORD 'pw'")
        bob = {"Authorization": "Basic " + base64.b64encode(b"bob:pw").decode()}
        nobody = {"Authorization": "Basic " + base64.b64encode(b"bob:px").decode()}
        rows = [
            ("/write?db=other", "m f=1i\n", {}, 404, '{"error":"database not found: \\"other\\""}\n'),
            ("/write?precision=ns", "m f=1i\n", {}, 400, '{"error":"database is required"}\n'),
            ("/write?db=one&rp=other", "m f=1i\n", {}, 500, '{"error":"retention policy not found: other"}\n'),
            ("/api/v2/write?bucket=one", "m f=1i\n", {}, 404, "404 page not found\n"),
            ("/write?db=one", "m f=1i\n", nobody, 401, '{"error":"authorization failed"}\n'),
            ("/write?db=one", "m f=1i\n", {"Authorization": "Token x"}, 401,
             '{"error":"unable to parse authentication credentials"}\n'),
            ("/write?db=one", "m f=1i\n", bob, 403,
             '{"error":"\\"bob\\" user is not authorized to write to database \\"one\\""}\n'),
            ("/write?db=one", "m f=1i\n" * 200, {}, 413, '{"error":"Request Entity Too Large"}\n'),
            ("/write?db=one", member("m f=1i\n" * 2000), GZIP, 204, ""),  # its limit is of what is sent
        ]
        for path, body, headers, status, want in rows:
            data = body if isinstance(body, bytes) else body.encode()
            got = server.request("POST", path, data, headers)
            self.assertEqual((got[0], got[2].decode()), (status, want), path)

    def test_conflict_in_a_fresh_shard(self):
        """influxd: a conflict within a body that begins a shard refuses it whole; sent again it is a partial write"""
        self.server.create("fresh")
        body = f"x f=1.5 {SECOND}\nx f=2i {SECOND + 1}\n".encode()
        answers = [self.server.request("POST", "/write?db=fresh&precision=ns", body) for _ in range(2)]
        self.assertEqual([(status, json.loads(text)["error"].split(":")[0]) for status, _, text in answers],
                         [(400, "field type conflict"), (400, "partial write")])

    def test_restart(self):
        """influxd: killed and started again it has the same port and all that it took"""
        self.server.create("restart")
        self.write("restart", f"m f=1i {SECOND}\n")
        url = self.server.url
        self.server.kill()
        self.assertFalse(self.server.is_running())
        with self.assertRaises(OSError):
            self.server.request("GET", "/ping")
        self.server.start()
        self.assertEqual(self.server.url, url)
        self.assertEqual(self.server.points("restart"), {("m", (), SECOND): {"f": 1}})

    def test_freeze(self):
        """influxd: frozen it takes connections and does not answer; thawed it does"""
        self.server.freeze()
        try:
            with self.assertRaises(TimeoutError):
                self.server.request("GET", "/ping", timeout=0.3)
        finally:
            self.server.thaw()
        self.assertEqual(self.server.request("GET", "/ping")[0], 204)

    def test_settings(self):
        """influxd: with a user it wants the password; its limits can be set"""
        server = Influxd(self.scratch / "other", "ann", "it's \"se\\cret\"", http={"max-body-size": 100})
        self.addCleanup(server.kill)
        server.create("one")
        self.assertEqual(server.request("POST", "/write?db=one", b"m f=1i\n")[0], 204)
        self.assertEqual(server.request("POST", "/write?db=one", b"m f=1i\n", {"Authorization": "Basic YTpi"})[0], 401)
        self.assertEqual(server.request("POST", "/write?db=one", b"m f=1i\n" * 20)[0], 413)
        server.stop()
        self.assertFalse(server.is_running())


class OfVictoriaMetrics(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.server = VictoriaMetrics(cls.scratch / "vm")
        cls.cleanup(cls.server.kill)

    def test_samples(self):
        """VictoriaMetrics: what is written is read back, after a restart too; texts as 0"""
        lines = f'm,a=1 i=9007199254740991i,f=2.5,s="x" {SECOND}\n'
        self.assertEqual(self.server.request("POST", "/write?db=one&precision=ns", lines.encode())[0], 204)
        labels = (("a", "1"), ("db", "one"))
        want = {(name, labels, SECOND // 10**6): [value]
                for name, value in (("m_i", 9007199254740991), ("m_f", 2.5), ("m_s", 0))}
        self.assertEqual(self.server.samples('{db="one"}'), want)
        self.server.stop()
        self.server.start()
        self.assertEqual(self.server.samples('{a="1"}'), want)

    def test_answers(self):
        """VictoriaMetrics: what it answers to good, bad and damaged writes; a duplicate stands there twice"""
        for label, body, headers, _, _, status, error, _ in ANSWERS:
            data = body if isinstance(body, bytes) else body.encode()
            got = self.server.request("POST", "/write?db=answers&precision=ns", data, headers)
            self.assertEqual(got[0], status, label)
            self.assertIn((error or "").encode(), got[2], label)
        samples = {key[1][1][1]: values for key, values in self.server.samples('{db="answers"}').items()}
        self.assertEqual(samples["a"], [1, 1])
        self.assertEqual(samples["cut"], [1, 1, 1])  # it refuses damaged gzip, and has taken what was before the damage
        self.assertEqual((samples["c"], samples["d"], samples["g"]), ([1], [1.5, 1.5, 1.5], [0]))

    def test_settings(self):
        """VictoriaMetrics: with a user it wants the password; flags are passed on"""
        server = VictoriaMetrics(self.scratch / "other", "ann", "sesame", ["-maxInsertRequestSize=100"])
        self.addCleanup(server.kill)
        self.assertEqual(server.request("POST", "/write", b"m f=1i\n")[0], 204)
        self.assertEqual(server.request("POST", "/write", b"m f=1i\n", {"Authorization": "Basic YTpi"})[0], 401)


if __name__ == "__main__":
    raise SystemExit(main())
