#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The real databases that other tests write to: what is written is read back, over a kill and a restart too."""
from databases import DatabaseError, Influxd, VictoriaMetrics
from harness import Case, main

SECOND = 1700000000 * 10**9


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
        want = {(name, labels, SECOND // 10**6): value
                for name, value in (("m_i", 9007199254740991), ("m_f", 2.5), ("m_s", 0))}
        self.assertEqual(self.server.samples(), want)
        self.server.stop()
        self.server.start()
        self.assertEqual(self.server.samples('{a="1"}'), want)

    def test_settings(self):
        """VictoriaMetrics: with a user it wants the password; flags are passed on"""
        server = VictoriaMetrics(self.scratch / "other", "ann", "sesame", ["-maxInsertRequestSize=100"])
        self.addCleanup(server.kill)
        self.assertEqual(server.request("POST", "/write", b"m f=1i\n")[0], 204)
        self.assertEqual(server.request("POST", "/write", b"m f=1i\n", {"Authorization": "Basic YTpi"})[0], 401)


if __name__ == "__main__":
    raise SystemExit(main())
