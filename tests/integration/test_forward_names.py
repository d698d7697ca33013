#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Sinks that are given by name, in a network of the test's own, with name servers that are silent, answer, or change their
mind. A name that nobody answers for delays no other sink, and no end."""
import os
import pathlib
import socket
import struct
import subprocess
import threading
import time

from forwarding import Forwarding, Sink, batches, points
from harness import Case, args, main
from rig import sandbox
from standin import Standin

SERVERS = ("127.0.0.53", "127.0.0.54")  # two of them, asked twice for five seconds each
SOON = 6  # seconds: much more than anything takes, much less than the twenty that the system's resolver hangs
TYPE_A, TYPE_AAAA = 1, 28
CONF = pathlib.Path("/etc/resolv.conf")


class NameServer:
    """Answers on every address for the names it has, or not at all. addresses: {name: [IPv4]}; asked: [(name, type)]."""

    def __init__(self):
        self.reset()
        for address in SERVERS:
            each = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            each.bind((address, 53))
            threading.Thread(target=self._serve, args=(each,), daemon=True).start()

    def reset(self):
        self.addresses, self.asked, self.silent = {}, [], True

    def _serve(self, each):
        while True:
            query, client = each.recvfrom(4096)
            if not self.silent:
                each.sendto(self._answer(query), client)

    def _answer(self, query):
        at, labels = 12, []
        while query[at]:
            labels.append(query[at + 1:at + 1 + query[at]].decode())
            at += 1 + query[at]
        name, kind = ".".join(labels), struct.unpack_from(">H", query, at + 1)[0]
        self.asked.append((name, kind))
        found = self.addresses.get(name, []) if kind == TYPE_A else []
        head = query[:2] + struct.pack(">HHHHH", 0x8180 | (0 if name in self.addresses else 3), 1, len(found), 0, 0)
        records = b"".join(struct.pack(">HHHIH", 0xC00C, TYPE_A, 1, 60, 4) + socket.inet_aton(each) for each in found)
        return head + query[12:at + 5] + records


class Names(Case):
    sanitized = True

    @classmethod
    def setUpClass(cls):
        """The tests, with their servers, move into a network where there is nothing but the loopback."""
        super().setUpClass()
        if sandbox.libc.unshare(sandbox.CLONE_NEWNET):
            raise OSError("a network of its own needs root and CAP_SYS_ADMIN")
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        cls.names = NameServer()

    def setUp(self):
        type(self).hosts += 1
        self.dir = self.scratch / str(self.hosts)
        self.forwarding = Forwarding(self.dir, (args.asan if self.sanitized else args.build) / "hooks" / "forward")
        self.addCleanup(self.forwarding.close)
        self.names.reset()
        self.conf = self.dir / "resolv.conf"
        self.conf.write_text("".join(f"nameserver {each}\n" for each in SERVERS))

    def enter(self):
        self.forwarding.syslog.enter()
        source, target = os.fsencode(self.conf), os.fsencode(CONF.resolve())
        if sandbox.libc.mount(source, target, None, sandbox.ctypes.c_ulong(sandbox.MS_BIND), None):
            raise OSError("cannot mount over resolv.conf")

    def start(self, *options):
        return self.forwarding.start(*options, preexec_fn=self.enter)

    def run_forwarder(self, *options):
        return self.forwarding.finish(self.start(*options))

    def standin(self):
        server = Standin("influxdb1", {"db": "one"})
        self.addCleanup(server.close)
        return server

    def sink(self, name, host, port, **options):
        return Sink(name, f"http://{host}:{port}", database="one", connect_timeout="1", timeout="5", **options)

    def lost_and_good(self, count=2):
        """Two sinks; of one of them nobody tells where it is. (server of the other, what both have to get)"""
        server = self.standin()
        self.forwarding.configure(self.sink("lost", "lost.example", server.port),
                                  self.sink("good", "127.0.0.1", server.port))
        self.forwarding.queue(texts := batches(count))
        return server, texts

    def assert_stored(self, server, texts):
        self.assertEqual((server.store.points == points(texts), server.store.overwritten, server.complaints),
                         (True, 0, []))

    def test_others_go_on(self):
        """no name server answers: the other sink gets its data at once, again and again, and the forwarder ends in time"""
        server, texts = self.lost_and_good()
        process = self.start("--linger", "12")
        for round_ in range(1, 5):
            self.wait_for(lambda: len(server.store.points) == len(points(texts)),
                          f"round {round_}: nothing comes", SOON)
            time.sleep(1)
            more = batches(1, first=1000 * round_)
            self.forwarding.queue(more, ["good"])
            texts += more
        self.wait_for(lambda: not self.forwarding.waiting("good"), "the last round: nothing comes", SOON)
        run = self.forwarding.finish(process, 12 + SOON)
        self.assertEqual(run.status, 0, run)
        self.assert_stored(server, texts)
        self.assertEqual(len(self.forwarding.waiting("lost")), 2)
        status = self.forwarding.status("lost")
        self.assertEqual(status["last_error"], f"cannot find the host of lost.example:{server.port}: "
                                               "no name server has answered in time")
        self.assertGreater(status["failures"], 1)

    def test_ends(self):
        """no name server answers: SIGTERM, --once and --flush --timeout end it in time"""
        for options, patience, status in ((["--linger", "60"], None, 0), (["--once"], 1, 0),
                                          (["--flush", "--timeout", "3"], 3, 1)):
            with self.subTest(options):
                self.lost_and_good()
                process = self.start(*options)
                self.wait_for(lambda: not self.forwarding.waiting("good"), "nothing is sent", SOON)
                if patience is None:
                    process.terminate()
                run = self.forwarding.finish(process, (patience or 0) + SOON)
                self.assertEqual(run.status, status, run)

    def test_found_at_last(self):
        """the name server answers again: the data is stored; the name is looked up once, not for each request"""
        server, texts = self.lost_and_good(40)
        self.forwarding.sinks[0].options["lines"] = 100
        self.forwarding.configure(*self.forwarding.sinks)
        process = self.start("--linger", "60")
        self.wait_for(lambda: self.forwarding.ledger("lost").get("failures"), "no failure", SOON)
        self.names.addresses = {"lost.example": ["127.0.0.9", "127.0.0.1"]}
        self.names.silent = False
        self.wait_for(lambda: not self.forwarding.waiting("lost"), "nothing is sent", 40)
        process.terminate()
        self.assertEqual(self.forwarding.finish(process, SOON).status, 0)
        self.assert_stored(server, texts)
        self.names.asked.clear()
        self.forwarding.queue(batches(40, first=9000), ["lost"])
        self.assertEqual(self.run_forwarder("--once").status, 0)
        self.assertEqual(self.forwarding.waiting("lost"), [])
        self.assertEqual(sorted(self.names.asked), [("lost.example", TYPE_A), ("lost.example", TYPE_AAAA)])

    def test_unknown(self):
        """the name server knows no such host: told as such"""
        self.names.silent = False
        server, _ = self.lost_and_good()
        self.assertEqual(self.run_forwarder("--once").status, 0)
        self.assertEqual(self.forwarding.status("lost")["last_error"],
                         f"cannot find the host of lost.example:{server.port}: Name or service not known")

    def test_local_names(self):
        """names of /etc/hosts: no name server is needed"""
        server = self.standin()
        self.forwarding.configure(self.sink("one", "localhost", server.port))
        self.forwarding.queue(texts := batches(3))
        self.assertEqual(self.run_forwarder("--once").status, 0)
        self.assert_stored(server, texts)

    def test_proxy(self):
        """a proxy by name, without a port: its name alone is looked up, and only by us"""
        self.names.addresses, self.names.silent = {"proxy.example": ["127.0.0.1"]}, False
        proxy = socket.create_server(("127.0.0.1", 1080))
        self.addCleanup(proxy.close)
        self.forwarding.configure(self.sink("one", "lost.example", 8086, proxy="http://proxy.example"))
        self.forwarding.queue(batches(1))
        process = self.start("--once")
        connection, _ = proxy.accept()
        with connection:
            self.assertTrue(connection.recv(65536).startswith(b"POST http://lost.example:8086/write?"))
            connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
            self.assertEqual(self.forwarding.finish(process, SOON).status, 0)
        self.assertEqual(self.forwarding.waiting("one"), [])
        self.assertEqual(sorted(self.names.asked), [("proxy.example", TYPE_A), ("proxy.example", TYPE_AAAA)])


if __name__ == "__main__":
    raise SystemExit(main())
