#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The forwarder as a process among others: killed, stopped, several at once, on a spool that is full, read-only,
damaged or not ours. In the end every point that was queued is stored, once by its key, but for those that were counted as
dropped."""
import contextlib
import fcntl
import gzip
import json
import os
import pathlib
import pwd
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from databases import Influxd, free_port
from forwarding import MILLISECOND, SECOND, Forwarding, Sink, batches, points
from harness import Case, args, main
from standin import Behaviour, Standin

SEED = int(os.environ.get("SEED") or random.SystemRandom().randrange(10**6))
KILLS = 20
ROUNDS = 40  # of probes that meet an ending forwarder
RACE_SECONDS = 0.06  # from one to the other, at most
PEAK_MB = 30  # what a forwarder may take at most, whatever waits
MANY, LARGE = 300_000, 4 * 2**20  # batches; bytes of one, expanded
NOBODY = 65534
DOMAIN = ("<domain type='test'><name>one-{0}</name><uuid>5e8c0000-0000-4000-8000-{0:012}</uuid><memory>8192</memory>"
          "<vcpu>1</vcpu><os><type>hvm</type></os></domain>")
PEAK = ("import resource, subprocess, sys; status = subprocess.run(sys.argv[1:], check=False).returncode; "
        "print(status, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)")


class ForwardCase(Case):
    """Tests with a spool, servers and forwarders. texts: what was queued, a batch each."""

    def setUp(self):
        self.dir = self.scratch / self.id().rpartition(".")[2]
        self.forwarding = Forwarding(self.dir, self.forwarder())
        self.addCleanup(self.forwarding.close)
        self.spool = self.forwarding.spool
        self.texts = []
        self.random = random.Random(f"{SEED} {self.id()}")

    @staticmethod
    def forwarder():
        return args.build / "hooks" / "forward"

    def standin(self, kind="influxdb1", **options):
        places = {"influxdb1": {"db": "one"}, "influxdb2": {"org": "one", "bucket": "telemetry"}}[kind]
        server = Standin(kind, places, **options)
        self.addCleanup(server.close)
        return server

    def configure(self, *sinks, linger="0"):
        self.forwarding.configure(*sinks, linger=linger)

    def down(self, name="one", **options):
        """A sink where nobody listens."""
        return Sink(name, f"http://127.0.0.1:{free_port()}", database="one", **options)

    def queue(self, count, lines=20, noise=0, **queue):
        """Queues that many batches more, with so many bytes each that nothing compresses."""
        texts = batches(count, lines, first=sum(text.count("\n") for text in self.texts))
        if noise:
            texts = [text.replace('state="', f'state="{os.urandom(noise // 2).hex()}', 1) for text in texts]
        self.forwarding.queue(texts, **queue)
        self.texts += texts

    def waiting(self, sink="one"):
        return self.forwarding.waiting(sink)

    def ledger(self, sink="one"):
        return self.forwarding.ledger(sink)

    def status(self, sink="one"):
        return self.forwarding.status(sink)

    def forward(self, *options, status=0):
        """One run to its end: what it said."""
        return self.said(self.forwarding.run(*options), status)

    def said(self, run, status=0):
        """On syslog or standard error: [text]."""
        self.assertEqual(run.status, status, run)
        return [text for _, text in run.log] + [line.removeprefix("forward: ") for line in run.err.splitlines()]

    def assert_said(self, said, *patterns):
        """Each pattern is in one of the lines at least."""
        for pattern in patterns:
            self.assertRegex("\n".join(said), pattern)

    def assert_stored(self, server, texts=None):
        """Just the points of these batches (all by default) were stored, none with another value, and nobody broke the
        rules."""
        want = points(self.texts if texts is None else texts)
        self.assertEqual(sorted(set(want) ^ set(server.store.points))[:5], [], "points lost, or made up")
        self.assertTrue(server.store.points == want, "points of other values")
        self.assertEqual((server.store.overwritten, server.complaints), (0, []))

    def mount(self, path, options):
        """A small file system, for this test."""
        path.mkdir(mode=0o700, exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"mode=0700,{options}", "tmpfs", path], check=True)
        self.unmounted(path)

    def unmounted(self, path):
        """In the end."""
        stack = contextlib.ExitStack()
        stack.callback(subprocess.run, ["umount", "-l", path], check=False, stderr=subprocess.DEVNULL)
        self.addCleanup(stack.close)

    @staticmethod
    def fill_up(path):
        """Not a byte is left on that file system."""
        with open(path / "filler", "wb", buffering=0) as out, contextlib.suppress(OSError):
            while True:
                out.write(bytes(512))
        return path / "filler"

    def idle(self):
        """Nobody holds the forwarder's lock."""
        with open(self.spool / "lock", "rb") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
        return True

    def prober(self, uri="test:///default"):
        """A host whose probe queues for these sinks and starts the forwarder."""
        host = self.host(uri)
        conf = self.forwarding.conf.read_text()
        host.configure(conf.replace("[forward]\n", f"[forward]\nprogram = {self.forwarder()}\n"))
        return host


class Killed(ForwardCase):
    def kill_at_random(self, seconds):
        """Forwarders one after the other, each killed after 0 to `seconds`, which follows what the machine can do. How
        many were, with some of it sent."""
        hit = 0
        for _ in range(KILLS):
            if len(self.waiting()) < 100:
                self.queue(200)
            before = len(self.waiting())
            process = self.forwarding.start("--flush")
            time.sleep(self.random.uniform(0, seconds))
            process.kill()
            process.communicate()
            sent = before - len(self.waiting())
            hit += process.returncode == -signal.SIGKILL and 0 < sent < before
            seconds *= 1.3 if sent == 0 else 0.7 if sent == before else 1
        print(f"seed {SEED}: {hit} of {KILLS} killed with some sent", file=sys.stderr)
        return hit

    def assert_tidy(self):
        """Nothing but the ledger, and what the killed had begun to write of it, is left of a queue."""
        left = {path.name.partition(".tmp-")[0] for path in (self.spool / "one").iterdir()}
        self.assertLessEqual(left, {"state", "state.lock"})

    def test_influxdb(self):
        """killed -9 twenty times while it drains to InfluxDB: every point is there, once"""
        server = Influxd(self.dir / "influxd")
        self.cleanup(server.kill)
        server.create("one")
        self.configure(Sink("one", server.url, database="one", lines=20))
        self.queue(400)
        self.assertGreater(self.kill_at_random(0.12), KILLS // 4, f"seed {SEED}")
        self.forward("--flush")
        self.assertTrue(server.points("one") == points(self.texts), "points lost, changed or made up")
        self.assert_tidy()
        self.assertLessEqual(self.ledger()["sent_lines"], 20 * len(self.texts))

    def behave(self, _):
        """503, 400 or 413, with all stored or nothing; an answer that is none; or as it should be."""
        kind = self.random.choices([None, 503, 400, 413, "fault"], [80, 2, 8, 8, 2])[0]
        if kind == "fault":
            return Behaviour(fault=self.random.choice(["cut", "close", "reset", "close_unread"]))
        return Behaviour(kind, store=self.random.choice([True, False])) if kind else Behaviour(delay=0.002)

    def test_standin(self):
        """killed -9 twenty times while an InfluxDB 2 fails at random: every point is stored, or kept in bad/"""
        server = self.standin("influxdb2", token="t0ken")
        token = self.dir / "token"
        token.touch(mode=0o600)
        token.write_text("t0ken\n")
        server.always = self.behave
        self.configure(Sink("one", server.url, type="influxdb2", org="one", bucket="telemetry", token_file=token,
                            lines=40))
        self.queue(400)
        self.assertGreater(self.kill_at_random(0.25), KILLS // 4, f"seed {SEED}")
        server.always = None
        self.forward("--flush")
        self.assert_tidy()
        want, bad = points(self.texts), self.forwarding.bad("one")
        kept = points(["".join(sorted(set(bad.splitlines(keepends=True))))]) if bad else {}
        self.assertEqual(sorted(set(want) - set(server.store.points) - set(kept))[:5], [], f"lost; seed {SEED}")
        self.assertEqual({key: want.get(key) for key in server.store.points}, server.store.points)
        self.assertEqual({key: want.get(key) for key in kept}, kept)
        # One that was refused, and stored after a kill before that was counted, is in both places.
        self.assertLessEqual(len(set(kept) - set(server.store.points)), self.ledger()["rejected_lines"])
        self.assertEqual((server.complaints, self.ledger()["dropped_batches"]), ([], 0))


class Several(ForwardCase):
    def at_once(self, number):
        server = self.standin()
        server.always = Behaviour(delay=0.01)
        self.configure(Sink("one", server.url, database="one", lines=100))
        self.queue(150)
        processes = [self.forwarding.start() for _ in range(number)]
        self.queue(20)
        for process in processes:
            self.assertEqual(self.said(self.forwarding.finish(process)), [])
        self.forward()  # what was added when they had ended
        self.assert_stored(server)
        self.assertEqual(server.store.duplicates, 0)
        self.assertEqual((self.ledger()["sent_lines"], self.waiting()), (170 * 20, []))

    def test_two(self):
        """two forwarders at once: one works, each point is sent once"""
        self.at_once(2)

    def test_five(self):
        """five forwarders at once: one works, each point is sent once"""
        self.at_once(5)

    def test_flush_waits(self):
        """a flush waits for the one at work, and says so"""
        server = self.standin()
        server.behave(Behaviour(delay=0.5))
        self.configure(Sink("one", server.url, database="one"))
        self.queue(3)
        first = self.forwarding.start()
        server.wait_for_requests(1)
        self.assert_said(self.forward("--flush"), "another forwarder is at work")
        self.assertEqual(self.said(self.forwarding.finish(first)), [])
        self.assert_stored(server)

    def test_stopped(self):
        """SIGTERM in the middle of a request: it ends soon, its counts are saved, the next one goes on"""
        server = self.standin()
        server.behave(Behaviour(), Behaviour(delay=30), Behaviour(delay=30))
        self.configure(Sink("one", server.url, database="one", lines=20))
        self.queue(6)
        for requests, number in ((2, signal.SIGTERM), (3, signal.SIGINT)):
            process = self.forwarding.start()
            server.wait_for_requests(requests)
            begin = time.monotonic()
            process.send_signal(number)
            self.assertEqual(self.said(self.forwarding.finish(process)), [])
            self.assertLess(time.monotonic() - begin, 5)
            self.assertEqual((self.ledger()["sent_lines"], len(self.waiting())), (20, 5))
        self.forward()
        self.assertEqual(self.ledger()["sent_lines"], 120)
        self.assert_stored(server)

    # ---- a batch at the last moment ---------------------------------------------------------------------

    def race(self, server, *more):
        """Each round two probes add; the second one while the forwarder of the first is about to end. Then nobody does
        anything, and the queue is empty soon."""
        self.configure(Sink("one", server.url, database="one"), *more)
        domains = self.dir / "domains.xml"
        domains.write_text(f"<node>{''.join(DOMAIN.format(i) for i in range(1, 4))}</node>")
        hosts = [self.prober(f"test://{domains}") for _ in range(2)]
        for turn in range(ROUNDS):
            first = hosts[0].start(host="kvm1")
            time.sleep(self.random.uniform(0, RACE_SECONDS))
            second = hosts[1].start(host="kvm2")
            for host, process in zip(hosts, (first, second)):
                run = host.finish(process)
                self.assertEqual(run.status, 0, run)
            self.wait_for(lambda: not self.waiting(), f"seed {SEED}, round {turn}: left lying: {self.waiting()}", 10)
        self.wait_for(self.idle, "a forwarder does not end")
        totals = [key for key in server.store.points if key[0] == "host_totals" and "sink" not in dict(key[1])]
        self.assertEqual(len(totals), 2 * ROUNDS)
        self.assertEqual(server.complaints, [])

    def test_at_the_end(self):
        """a batch that is added behind the forwarder's last look is sent by it, whether another sink is down or not"""
        for others in ([], [self.down("two")]):
            with self.subTest(f"{len(others)} down"):
                server = self.standin()
                server.behave(Behaviour(delay=1))
                self.configure(Sink("one", server.url, database="one"), *others)
                self.texts = []
                self.queue(1)
                process = self.forwarding.start()
                server.wait_for_requests(1)
                time.sleep(0.2)  # the other one is down, and that is noted
                last = others[0].name if others else "one"
                with open(self.spool / last / "state.lock", "wb") as lock:
                    fcntl.flock(lock, fcntl.LOCK_EX)  # it closes its books, after it has looked at the queues
                    self.wait_for(lambda: not self.waiting(), "nothing is sent")
                    time.sleep(0.3)
                    self.queue(1, sinks=["one"])
                    self.assertFalse(self.idle(), "nobody would start another")
                self.said(self.forwarding.finish(process))
                self.assertEqual(self.waiting(), [])
                self.assert_stored(server)

    def test_last_moment(self):
        """a batch that is added when a forwarder is about to end is sent by one or the other, many times over"""
        self.race(self.standin())

    def test_last_moment_with_trouble(self):
        """the same while another sink is down"""
        self.race(self.standin(), self.down("two"))


class Trouble(ForwardCase):
    """Nearly every attempt is another process's."""

    def attempt(self, **ledger):
        """A run of which the time has come."""
        self.forwarding.edit_ledger("one", retry_at_ns=0, **ledger)
        run = self.forwarding.run("--once")
        self.assertEqual(run.status, 0, run)
        return [text for _, text in run.log]

    def test_told_once(self):
        """trouble is told when it begins, becomes another, lasts for ten minutes, and is over, and by one process each"""
        server = self.standin()
        server.stop()
        self.configure(Sink("one", server.url, database="one"))
        self.queue(3)
        said = [text for _ in range(3) for text in self.attempt()]
        self.assertEqual(len(said), 1, said)
        self.assert_said(said, "^sink one does not take data: cannot connect to .*; 3 batches wait, next attempt in ")
        told = self.ledger()["trouble_told_ns"]
        said = self.attempt(trouble_told_ns=told - 601 * SECOND, trouble_since_ns=told - 3600 * SECOND)
        self.assertRegex("\n".join(said), "^sink one does not take data for 1 h: cannot connect to ")
        self.assertEqual(self.attempt(), [])
        server.start()
        server.behave(*[Behaviour(401)] * 2)
        said = self.attempt() + self.attempt()
        self.assertRegex("\n".join(said), "^sink one does not take data: 401 ")
        self.assertEqual(len(said), 1)
        said = self.attempt() + self.attempt()
        self.assertEqual(len(said), 1, said)
        self.assert_said(said, "^sink one takes data again after 1 h")
        self.assert_stored(server)

    def test_old_ledger(self):
        """a ledger as it was written before these fields were: back-off and counts go on, the trouble is told"""
        self.configure(self.down())
        self.queue(1)
        (self.spool / "one" / "state").write_text("failures=7\nsent_lines=12\nlast_error=refused\nend\n")
        (self.spool / "one" / "state").chmod(0o600)
        self.assert_said(self.forward("--once"), "^sink one does not take data: cannot connect")
        self.assertEqual((self.ledger()["failures"], self.ledger()["sent_lines"]), (8, 12))

    def test_flush_after_outage(self):
        """--flush after a long outage does not wait for minutes between its attempts, and says when the next one is"""
        server = self.standin()
        server.stop()
        self.configure(Sink("one", server.url, database="one"))
        self.queue(3)
        self.forward("--once")
        self.forwarding.edit_ledger("one", failures=30, retry_at_ns=time.time_ns() + 250 * SECOND)
        process = self.forwarding.start("--flush", "--timeout", "60")
        self.wait_for(lambda: self.ledger()["failures"] > 33, "it is not tried again", 40)
        server.start()
        run = self.forwarding.finish(process)
        self.assertEqual(run.status, 0, run)
        self.assertRegex(run.err, "one: 3 batches wait, [^|]*: Connection refused; next attempt in [1-5] s\n")
        self.assertRegex(run.err, r"one: all sent\n\Z")
        self.assert_stored(server)


class Spools(ForwardCase):
    """What can be wrong with a spool, met by the forwarder."""

    def served(self, count=5, names=("one",), **options):
        """A server with that many sinks, and a queue of batches."""
        server = self.standin()
        self.configure(*(Sink(name, server.url, database="one", **options) for name in names))
        self.queue(count)
        return server

    def test_full(self):
        """spool on a full disk: what waits is sent once and leaves, though no counts can be saved"""
        server = self.standin()
        self.configure(Sink("one", server.url, database="one"), self.down("two"))
        self.mount(self.spool, "size=256k")
        self.queue(5)
        filler = self.fill_up(self.spool)
        self.assert_said(self.forward(), "sink one: cannot save its counts: .*No space left on device",
                         "sink two: cannot save its counts: .*No space left on device",
                         "sink two does not take data: ")
        for _ in range(3):
            self.forward()
        self.assertEqual((self.waiting("one"), len(server.requests)), ([], 1))
        self.assert_stored(server)
        self.assertEqual(len(self.waiting("two")), 5)
        filler.unlink()
        self.forward()
        self.assertEqual(self.ledger("two")["failures"], 1)

    def test_full_of_files(self):
        """a disk without a file left: damaged batches, and lines that are none, do not hold the good ones up"""
        server = self.standin()
        self.configure(Sink("one", server.url, database="one"), self.down("two"))
        self.mount(self.spool, "size=1m,nr_inodes=24")
        self.forward()  # makes the lock
        self.forwarding.queue([b"no gzip"])
        self.queue(5)
        self.forwarding.queue(["no line\n"])
        with contextlib.suppress(OSError):
            for i in range(30):
                (self.spool / f"filler-{i}").touch()
        said = self.forward() + self.forward()
        self.assertEqual(self.waiting("one"), [], said)
        self.assert_stored(server)
        self.assert_said(said, "damaged gzip", "cannot keep the refused lines")

    def test_producer_full(self):
        """producers on a full disk: the oldest makes room and is counted, the newest are stored at last"""
        server = self.standin()
        server.stop()
        self.configure(Sink("one", server.url, database="one"))
        self.mount(self.spool, "size=96k")
        host = self.prober()
        for _ in range(40):
            run = host.cycle()
            self.assertEqual((run.status, run.err), (0, ""), run)
        self.wait_for(self.idle, "a forwarder does not end")
        waiting, figures = self.waiting(), self.status()
        self.assertGreater(figures["dropped_batches"], 5)
        self.assertEqual(figures["dropped_batches"] + len(waiting), 40)
        server.start()
        self.forward("--flush")
        self.assertEqual(self.waiting(), [])
        self.assertEqual({key[2] for key in server.store.points}, {int(name[:19]) for name in waiting})

    def test_read_only(self):
        """spool on a read-only file system: nothing is sent, as it could not be removed; the reason is said"""
        self.mount(self.spool, "size=1m")
        server = self.served()
        subprocess.run(["mount", "-o", "remount,ro", self.spool], check=True)
        self.assert_said(self.forward(status=1), "/lock: Read-only file system")
        self.assertEqual(server.requests, [])
        subprocess.run(["mount", "-o", "remount,rw", self.spool], check=True)
        self.forward()
        self.assert_stored(server)

    def test_queue_read_only(self):
        """a queue that nothing can be removed from: sent once a run and no more; the others go on"""
        server = self.served(names=("one", "two"), lines=20)
        path = self.spool / "two"
        subprocess.run(["mount", "--bind", path, path], check=True)
        self.unmounted(path)
        subprocess.run(["mount", "-o", "remount,bind,ro", path], check=True)
        self.assert_said(self.forward(), "sink two: its queue can't be read: .*/two/.*Read-only file system")
        self.assertEqual((self.waiting("one"), len(self.waiting("two"))), ([], 5))
        self.assertEqual(len(server.requests), 5 + 1)
        subprocess.run(["umount", "-l", path], check=True)
        self.forward()
        self.assert_stored(server)
        self.assertEqual(self.waiting("two"), [])

    def spoil(self, kind, path):
        """What is wrong with it, as the message has it, and how to mend it."""
        moved = self.dir / "moved"
        if kind == "link":
            path.rename(moved)
            path.symlink_to(moved)
            return "is a symbolic link", lambda: (path.unlink(), moved.rename(path))
        if kind == "another's":
            os.chown(path, NOBODY, NOBODY)
            return f"belongs to user {NOBODY}", lambda: os.chown(path, 0, 0)
        path.chmod(0o770)
        return "open to others|[Oo]thers may", lambda: path.chmod(0o700)

    def test_not_ours(self):
        """spool, or a queue, that is a link, another's or open to its group: refused with the reason; others go on"""
        server = self.served(names=("one", "two"))
        for kind in ("link", "another's", "group"):
            for path in (self.spool, self.spool / "two"):
                with self.subTest(f"{kind}: {path.name}"):
                    top = path == self.spool
                    self.queue(1)
                    waiting = len(self.waiting("two"))
                    reason, mend = self.spoil(kind, path)
                    try:
                        self.assert_said(self.forward(status=1 if top else 0), f"/{path.name}: .*({reason})")
                        self.assert_said(self.forward("--status", status=1), f"/{path.name}: .*({reason})")
                        self.assert_said(self.forward("--flush", status=1), f"/{path.name}: .*({reason})")
                    finally:
                        mend()
                    self.assertEqual((len(self.waiting("two")), bool(self.waiting("one"))), (waiting, top))
        self.forward()
        self.assert_stored(server)

    def test_damaged(self):
        """a batch that is cut, garbage or empty goes to bad/ and is reported; what is no file is left alone"""
        server = self.served(8)
        queue, names = self.spool / "one", self.waiting()
        whole = (queue / names[0]).read_bytes()
        spoilt = {0: whole[:-9], 3: b"PK\3\4" + whole, 5: b"", 6: whole + b"and more"}
        for i, data in spoilt.items():
            (queue / names[i]).write_bytes(data)
        at = f"{time.time_ns():019d}"
        (queue / f"{at}-kvm1-1-0000.lp.gz").mkdir()
        os.mkfifo(queue / f"{at}-kvm1-1-0001.lp.gz")
        (queue / f"{at}-kvm1-1-0002.lp.gz").symlink_to(self.forwarding.conf)
        (queue / "a note").write_text("m f=1i 1\n")
        self.assert_said(self.forward(), *(f"batch {names[i]} is set aside in bad/: damaged gzip" for i in spoilt))
        bad = sorted(path.name for path in (self.spool / "bad").iterdir())
        self.assertEqual(bad, [f"one-{names[i]}" for i in spoilt])
        self.assertEqual([self.status()[key] for key in ("bad_batches", "queued_batches")], [4, 0])
        self.assert_stored(server, [text for i, text in enumerate(self.texts) if i not in spoilt])
        self.assertEqual(len(self.waiting()), 3)
        self.assertTrue((queue / "a note").exists())
        self.assertEqual(self.forward(), [])
        self.assertEqual(len(server.requests), 1)

    def test_leftovers(self):
        """leftovers in tmp/ are cleaned when they are old and nobody's"""
        self.served()
        tmp = self.spool / "tmp"
        for name in ("4711-0", "young", "held"):
            (tmp / name).write_bytes(b"half a bat")
        for name in ("4711-0", "held"):
            os.utime(tmp / name, (0, time.time() - 7200))
        with open(tmp / "held", "rb") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            self.forward()
            self.assertEqual(sorted(path.name for path in tmp.iterdir()), ["held", "young"])
        self.forward()
        self.assertEqual(sorted(path.name for path in tmp.iterdir()), ["young"])


class Places(ForwardCase):
    """The forwarder called by hand: by another user, or for the default spool, which is by user."""

    def setUp(self):
        super().setUp()
        self.open = pathlib.Path(tempfile.mkdtemp())  # that anybody may enter, and a program there that anybody may run
        self.addCleanup(shutil.rmtree, self.open)
        self.open.chmod(0o755)
        self.program = shutil.copy(self.forwarder(), self.open / "forward")
        self.conf = self.open / "telemetry.conf"
        self.conf.touch()
        self.tmp = self.open / "var-tmp"
        self.tmp.mkdir()
        self.tmp.chmod(0o1777)

    def by(self, user, *options, status=0):
        """A run by a user who has a /var/tmp that is this test's: (standard output, standard error)."""
        run = subprocess.run(["unshare", "-m", "sh", "-ec", 'mount --bind "$0" /var/tmp; cd /; exec setpriv "$@"', self.tmp,
                              f"--reuid={user}", f"--regid={user}", "--clear-groups", self.program, "--config", self.conf,
                              *options], env=self.forwarding.env, capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(run.returncode, status, run)
        return run.stdout, run.stderr

    def test_may_not_look(self):
        """a spool in a directory that is closed to the caller: an error, and not \"nothing was queued\""""
        closed = self.open / "closed"
        closed.mkdir(mode=0o700)
        self.conf.write_text(f"[spool]\ndir = {closed}/spool\n")
        for options in (["--status"], ["--status", "--json"], ["--dry-run"], ["--flush"], ["--once"]):
            for path, reason in ((closed, "Permission denied"), (self.conf, "Not a directory")):
                with self.subTest(options, reason=reason):
                    self.conf.write_text(f"[spool]\ndir = {path}/spool\n")
                    out, err = self.by(NOBODY, *options, status=1)
                    self.assertEqual((out, err), ("", f"forward: {path}/spool: {reason}\n"))

    def test_others(self):
        """the default spool of another user than the probe's: names the user, and who has one"""
        (self.tmp / "one-telemetry-7").mkdir()  # root's, whatever its name says
        (self.tmp / "one-telemetry-8" / "spool").mkdir(parents=True)
        os.chown(self.tmp / "one-telemetry-8", 8, 8)
        (self.tmp / "one-telemetry-9").symlink_to(self.tmp / "one-telemetry-8")
        (self.tmp / "one-telemetry-10").mkdir()  # without a spool
        os.chown(self.tmp / "one-telemetry-10", 10, 10)
        (self.tmp / "one-telemetry-x").mkdir()
        here = "There is no spool /var/tmp/one-telemetry-0/spool, which would be that of user root: nothing was queued yet.\n"
        there = (f"User {pwd.getpwuid(8).pw_name} has /var/tmp/one-telemetry-8/spool; "
                 f"to see it: sudo -u {pwd.getpwuid(8).pw_name} {self.program} --status\n")
        out, err = self.by(0, "--status")
        self.assertEqual((out.startswith(here + there + "\n"), out.count("User"), err), (True, 1, ""), out)
        out, err = self.by(0, "--status", "--json")
        self.assertEqual((json.loads(out)["spool"], err), (None, here + there))
        for options in (["--dry-run"], ["--flush"]):
            self.assertTrue(self.by(0, *options)[0].startswith(here + there))
        self.assertEqual(self.by(0, "--once"), ("", ""))

    def test_link(self):
        """a link in the place of the default spool's parent: not followed"""
        spool = self.open / "elsewhere" / "spool"
        spool.mkdir(mode=0o700, parents=True)
        (self.tmp / "one-telemetry-0").symlink_to(spool.parent)
        for options in (["--status"], ["--dry-run"], ["--flush"], ["--once"], []):
            out, err = self.by(0, *options, status=1)
            self.assertEqual(out, "")
            self.assertRegex(err, "^forward: /var/tmp/one-telemetry-0: is a symbolic link")
        self.assertEqual(list(spool.iterdir()), [])
        (self.tmp / "one-telemetry-0").unlink()
        spool.parent.chmod(0o700)
        spool.parent.rename(self.tmp / "one-telemetry-0")
        self.assertIn("No sink is configured", self.by(0, "--status")[0])


class Limits(ForwardCase):
    def test_size(self):
        """max_size of a sink that is down: the oldest are dropped and counted, the newest stored when it is back"""
        server = self.standin()
        server.stop()
        self.configure(Sink("one", server.url, database="one", max_size=65536))
        self.queue(40, noise=8000)
        names = self.waiting()
        sizes = [(self.spool / "one" / name).stat().st_size for name in names]
        keep = max(n for n in range(41) if sum(sizes[40 - n:]) <= 65536)
        dropped = (40 - keep, sum(sizes[:40 - keep]))
        self.assert_said(self.forward(), rf"sink one: {dropped[0]} batches \({dropped[1]} bytes\) dropped, the oldest")
        self.assertEqual(self.waiting(), names[-keep:])
        figures = self.status()
        self.assertEqual((figures["dropped_batches"], figures["dropped_bytes"]), dropped)
        self.assertEqual(figures["queued_batches"], keep)
        server.start()
        self.forward("--flush")
        self.assert_stored(server, self.texts[-keep:])
        self.assertEqual(self.status()["dropped_batches"], dropped[0])

    def test_age(self):
        """max_age of a sink that is down: what is too old is dropped and counted, the rest stored when it is back"""
        server = self.standin()
        server.stop()
        self.configure(Sink("one", server.url, database="one", max_age="10m"), self.down("two"))
        self.queue(10, begin=time.time_ns() - 900 * SECOND)
        self.queue(7)
        self.assert_said(self.forward(), r"sink one: 10 batches .* dropped, the oldest")
        self.assertEqual(len(self.waiting()), 7)
        self.assertEqual([self.status(name)["dropped_batches"] for name in ("one", "two")], [10, 0])
        server.start()
        self.forward("--flush", "--timeout", "2", status=1)  # the other one is still down
        self.assert_stored(server, self.texts[10:])
        self.assertEqual(len(self.waiting("two")), 17)

    def test_producer(self):
        """a producer drops what is above the limits too, counted and logged, where no forwarder comes to it"""
        self.configure(self.down(max_size=65536))
        self.queue(20, noise=8000)
        names = self.waiting()
        self.lock()
        run = self.prober().cycle()
        self.assertEqual(run.status, 0, run)
        self.assert_said([text for _, text in run.log], r"sink one: (1 batch|\d+ batches) .* dropped, the oldest: above its limits")
        waiting = self.waiting()
        self.assertLess(len(waiting), 20)
        self.assertEqual(waiting[:-1], names[-(len(waiting) - 1):])
        self.assertEqual(self.status()["dropped_batches"], 21 - len(waiting))

    def lock(self):
        """As if a forwarder were at work, that does nothing."""
        lock = open(self.spool / "lock", "wb")
        self.addCleanup(lock.close)
        fcntl.flock(lock, fcntl.LOCK_EX)

    def test_sink_removed(self):
        """a sink that was taken out of the configuration: its queue waits, is not sent, and goes when it is old"""
        server = self.standin()
        one, two = (Sink(name, server.url, database="one") for name in ("one", "two"))
        self.configure(one, two)
        self.queue(4, begin=time.time_ns() - 150 * SECOND)
        self.queue(3)
        self.configure(one)
        self.forward()
        self.assert_stored(server)
        self.assertEqual((len(self.waiting("two")), server.store.duplicates), (7, 0))
        self.assert_strange("7 d", 7 * 86400)
        self.configure()
        self.assert_strange("kept as long as no sink is configured", None)
        one.options["max_age"] = "60"
        self.configure(one)
        self.assert_said(self.forward(), "sink two is no longer configured: old batches dropped: 4")
        for name in self.waiting("two"):
            (self.spool / "two" / name).unlink()
        self.forward()
        self.assertTrue((self.spool / "two").exists(), "somebody may be about to add to it")
        os.utime(self.spool / "two", (0, time.time() - 7200))
        self.forward()
        self.assertEqual([(self.spool / name).exists() for name in ("one", "two")], [True, False])

    def forward_small(self, *options, status=0):
        """One run, that takes no more memory than it may: what it said."""
        got = subprocess.run([sys.executable, "-ISc", PEAK, *self.forwarding.command(*options)], text=True, check=True,
                             stdin=subprocess.DEVNULL, capture_output=True, timeout=120,
                             preexec_fn=self.forwarding.syslog.enter)
        ended, peak = map(int, got.stdout.split())
        print(f"peak {peak / 1024:.1f} MB", file=sys.stderr)
        self.assertEqual(ended, status, got.stderr)
        self.assertLess(peak / 1024, PEAK_MB)
        return [text for _, text in self.forwarding.syslog.take()]

    def assert_strange(self, end, age):
        """Seven batches of sink two, which is not configured, are told of wherever one looks."""
        queue = r"7 batches, [0-9.]+ KiB, the oldest 2 min( \d+ s)? old \(.*" + end + r"\)"
        run = self.forwarding.run("--status")
        self.assertEqual(run.status, 0, run)
        self.assertRegex(run.out, rf"\ntwo  not configured: nothing of it is sent\n  queued +{queue}\n  to send it")
        told, = self.forwarding.status()["not_configured"]
        self.assertEqual((told["name"], told["queued_batches"], told["dropped_at_age_seconds"]), ("two", 7, age))
        self.assertTrue(told["queued_bytes"] > 0 and 140 < told["oldest_age_seconds"] < 400, told)
        brief = rf"(?m)^two: 7 batches, [0-9.]+ KiB, not sent: no such sink is configured; .*{end}$"
        self.assertRegex(self.forwarding.run("--dry-run").out, brief)
        run = self.forwarding.run("--flush")
        self.assertEqual(run.status, 0, run)
        self.assertRegex(run.err, brief)

    def test_memory(self):
        """ten thousand batches: the forwarder takes less than 30 MB, and sends each once"""
        server = Influxd(self.dir / "influxd")
        self.cleanup(server.kill)
        server.create("one")
        self.configure(Sink("one", server.url, database="one"))
        self.mount(self.spool, "size=200m")  # in memory: what is measured is not the disk
        self.queue(10_000, lines=3)
        self.forward_small()
        stored = sum(row[1] for series in server.query('SELECT count("number") FROM "vm_totals"', "one")
                     for row in series["values"])
        self.assertEqual((stored, self.ledger()["sent_lines"], self.waiting()), (30_000, 30_000, []))

    def link_many(self, text, count):
        """Queues one batch under that many names, a millisecond apart up to now."""
        self.queue(0)
        queue, now = self.spool / "one", time.time_ns()
        names = [f"{now - i * MILLISECOND:019d}-kvm1-1-0000.lp.gz" for i in range(count)]
        (queue / names[0]).touch(mode=0o600)
        (queue / names[0]).write_bytes(gzip.compress(text.encode()))
        for name in names[1:]:
            os.link(queue / names[0], queue / name)

    def test_memory_many(self):
        """300,000 batches: the forwarder takes less than 30 MB where it sends some, drops most, and counts them all"""
        server = self.standin()
        server.always = lambda request: Behaviour(503) if len(server.requests) > 3 else None
        self.mount(self.spool, "size=200m,nr_inodes=1m")
        self.configure(Sink("one", server.url, database="one"))
        self.link_many(text := batches(1, 1)[0], MANY)
        self.forward_small("--once")
        sent = self.ledger()["sent_batches"]
        self.assertGreater(sent, 1000)
        self.assertEqual(self.status()["queued_batches"], MANY - sent)
        self.configure(Sink("one", server.url, database="one", max_size=65536))
        self.forward_small("--once")
        figures, keep = self.status(), 65536 // len(gzip.compress(text.encode()))
        self.assertEqual((len(self.waiting()), figures["queued_batches"]), (keep, keep))
        self.assertEqual(figures["dropped_batches"], MANY - sent - keep)

    def test_memory_large(self):
        """batches of 4 MiB of text and more: sent, or set aside with the reason, in less than 30 MB"""
        server = self.standin()
        self.configure(Sink("one", server.url, database="one"))
        text = batches(1, 40_000)[0]
        largest = text[:text.rindex("\n", 0, LARGE) + 1]
        self.texts = [largest, *batches(30, 100, first=50_000)]
        self.forwarding.queue([largest, text * 6, os.urandom(6 * LARGE), *self.texts[1:]])
        said = self.forward_small("--once")
        self.assert_stored(server)
        self.assertEqual([self.status()[key] for key in ("bad_batches", "queued_batches")], [2, 0])
        self.assert_said(said, "set aside in bad/: gzip of more than 4194304 bytes",
                         "set aside in bad/: .*: larger than [0-9]+ bytes")


if __name__ == "__main__":
    print(f"SEED={SEED}", file=sys.stderr)
    raise SystemExit(main())
