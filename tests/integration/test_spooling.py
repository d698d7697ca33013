#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the probe does after OpenNebula has its records: its lines on the spool, one queue a sink, and a forwarder that is
started and goes on by itself. Whatever is wrong there, the records come all the same and the state is kept."""
import contextlib
import fcntl
import gzip
import json
import os
import random
import signal
import subprocess
import time

import line_protocol
from harness import Case, RigCase, args, main
from standin import Standin

APART = 0.3  # seconds between two cycles that shall give rates
NOBODY = 65534
MANY = 100  # VMs, so that spooling takes long enough to be killed in
KILLS = 40
SHORTEST = 0.002  # seconds that the probe goes on for when its output is there, at the least
SINKS = """
[spool]
dir = {spool}
[forward]
program = {forwarder}
[sink one]
url = http://127.0.0.1:9
database = one
[sink two]
type = victoriametrics
url = http://127.0.0.1:9
"""
FORWARDER = """#!/usr/bin/env python3
import json, os, pathlib, signal, sys, time
fds = {}
for fd in range(256):
    try:
        fds[fd] = os.readlink(f"/proc/self/fd/{fd}")
    except OSError:
        pass
out = pathlib.Path(__file__).with_name(f"started-{os.getpid()}.json")
text = json.dumps({"fds": fds, "words": sys.argv[1:], "pid": os.getpid(), "session": os.getsid(0), "cwd": os.getcwd(),
                   "ignored": [n for n in range(1, 65) if n not in (9, 19, 32, 33) and
                               signal.getsignal(n) == signal.SIG_IGN], "blocked": len(signal.pthread_sigmask(0, []))})
out.with_suffix(".new").write_text(text)
out.with_suffix(".new").rename(out)
time.sleep(30)
"""
DOMAIN = ("<domain type='test'><name>one-{0}</name><uuid>5e8c0000-0000-4000-8000-{0:012}</uuid><memory>8192</memory>"
          "<vcpu>1</vcpu><os><type>hvm</type></os></domain>")


class Spooled:
    """A host with two sinks, and its spool."""

    def __init__(self, case, uri=None, forwarder="/bin/true", conf=SINKS):
        self.host = case.host(uri)
        self.path = self.host.dir / "spool"
        self.host.configure(conf.format(spool=self.path, forwarder=forwarder))

    def batches(self, sink="one"):
        """The text of every batch that waits, oldest first."""
        return [gzip.decompress(path.read_bytes()).decode() for path in sorted((self.path / sink).glob("*.lp.gz"))]


def series(points):
    """{(measurement, tags): {field: type}}"""
    return {(point.measurement, *point.tags.items()): {key: type(value) for key, value in point.fields.items()}
            for point in points}


class Figures(RigCase):
    fleet = (("idle", "one-79", {}), ("disk", "one-82", {}))

    def test_lines(self):
        """each sink gets one batch a cycle: the lines of --format line, but vm_info only when it is due"""
        spooled = Spooled(self)
        host = spooled.host
        for _ in range(2):
            self.assert_complete(host.cycle(), vms=(79, 82))
            time.sleep(APART)
        first, second = (line_protocol.read(text) for text in spooled.batches())
        self.assertEqual(spooled.batches("two"), spooled.batches("one"))
        shown = series(line_protocol.read(host.cycle("--format", "line").out))
        info = {key for key in shown if key[0] == "vm_info"}
        self.assertEqual(len(info), 2)
        self.assertEqual({key: fields for key, fields in shown.items() if key not in info}, series(second))
        self.assertEqual({key: shown[key] for key in info},
                         {key: fields for key, fields in series(first).items() if key[0] == "vm_info"})
        self.assertEqual(set(series(first)), set(shown))
        totals = [point for point in second if point.measurement == "host_totals"]
        self.assertEqual([point.tags.get("sink") for point in totals], [None, "one", "two"])
        self.assertEqual([totals[0].fields[key] for key in ("spool_batches", "domains")], [2, 2])
        self.assertEqual([point.fields["queued_batches"] for point in totals[1:]], [1, 1])
        self.assertIn("collect_ms", totals[0].fields)
        self.assertEqual({path.stat().st_nlink for path in (spooled.path / "one").glob("*.lp.gz")}, {2})
        self.assertEqual(len(spooled.batches()), 2)
        self.assertEqual([figures["name"] for figures in host.cycle("--format", "json").json()["sinks"]], ["one", "two"])


class WithoutGuests(Case):
    """libvirt's test driver stands for the hypervisor."""

    def uri(self):
        path = self.scratch / "some.xml"
        path.write_text(f"<node>{''.join(DOMAIN.format(i) for i in range(1, 4))}</node>")
        return f"test://{path}"

    def many(self):
        path = self.scratch / "many.xml"
        path.write_text(f"<node>{''.join(DOMAIN.format(i) for i in range(1, MANY + 1))}</node>")
        return f"test://{path}"

    def forwarder(self, spooled):
        """A forwarder that says what it was given, in the host's directory."""
        path = spooled.host.dir / "forward"
        path.write_text(FORWARDER)
        path.chmod(0o755)
        return path

    def started(self, host, seconds=20):
        """What the forwarders of this host were given; at least one. They are ended with the test."""
        self.wait_for(lambda: list(host.dir.glob("started-*.json")), "no forwarder was started", seconds)
        found = [json.loads(path.read_text()) for path in host.dir.glob("started-*.json")]
        for each in found:
            self.addCleanup(self.end, each["pid"])
        return found

    def end(self, pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

    def assert_fine(self, run, *patterns):
        """OpenNebula's call went well, the state was kept, and just this was logged."""
        self.assertEqual((run.status, run.err), (0, ""), run)
        self.assert_logged(run, *patterns)

    def vms_of(self, text):
        return {int(point.tags["VMID"]) for point in line_protocol.read(text) if point.measurement == "vm_totals"}

    # ---- what is queued, and when -------------------------------------------------------------------------

    def test_no_sink(self):
        """no sink, or none that is enabled: nothing is made, nothing is started"""
        conf = "\n[spool]\ndir = {spool}\n[forward]\nprogram = {forwarder}\n"
        for name, more in (("none", ""), ("disabled", "[sink one]\nenabled = no\nurl = http://x:1\ndatabase = d\n")):
            with self.subTest(name):
                spooled = Spooled(self, conf=conf + more, forwarder="/nonexistent")
                self.assert_fine(spooled.host.cycle())
                self.assertFalse(spooled.path.exists())
                run = spooled.host.by_hand("--spool")
                self.assertIn("no sink is configured", run.err)
                self.assertFalse(spooled.path.exists())

    def test_by_hand(self):
        """runs by hand, replays and other formats queue nothing; --spool does"""
        spooled = Spooled(self)
        host = spooled.host
        recording = host.dir / "recording"
        host.by_hand("--record", recording)
        for run in (host.by_hand(), host.by_hand("--format", "line"), host.cycle("--format", "json"),
                    host.cycle("--replay", recording), host.cycle("--format", "line", "--replay", recording)):
            self.assertEqual(run.status, 0, run)
            self.assertFalse(spooled.path.exists(), run)
        self.assertEqual(host.by_hand("--spool").status, 0)
        self.assertEqual([self.vms_of(text) for text in spooled.batches()], [{1, 2, 3}])
        self.assertEqual(host.by_hand("--spool", "--format", "json").status, 0)
        self.assertEqual(len(spooled.batches()), 2)
        for wrong in (["--spool", "--replay", recording], ["--dry-run", "--spool"], ["--dry-run", "--record", recording]):
            refused = host.by_hand(*wrong)
            self.assertEqual(refused.status, 2, refused)

    def test_dry_run(self):
        """--dry-run with OpenNebula's arguments leaves no trace: no state, no spool, no word on syslog"""
        spooled = Spooled(self)
        host = spooled.host
        dry = host.cycle("--dry-run")
        self.assertEqual((dry.status, dry.log), (0, []), dry)
        self.assertFalse(spooled.path.exists() or host.state.exists())
        self.assert_fine(host.cycle())
        before = host.state_file.read_bytes()
        time.sleep(APART)
        dry = host.cycle("--dry-run")
        self.assertEqual(host.state_file.read_bytes(), before)
        self.assertEqual(len(spooled.batches()), 1)
        self.assertEqual((dry.status, dry.log), (0, []), dry)

    def test_output_gone(self):
        """nobody reads the records: the sinks get their lines all the same"""
        spooled = Spooled(self)
        reading, writing = os.pipe()
        os.close(reading)
        spooled.host.cycle()
        text = spooled.host.state_file.read_text().replace("  domain.ran=1\n", "  domain.ran=1\n  domain.sent-keys=CPU\n")
        spooled.host.state_file.write_text(text)
        self.assert_logged(spooled.host.cycle(stdout=writing), "cannot write to standard output: Broken pipe")
        os.close(writing)
        self.assertEqual(len(spooled.batches()), 2)

    # ---- the forwarder --------------------------------------------------------------------------------------

    def test_forwarder(self):
        """the forwarder is started on its own: nothing is inherited, and the probe's output ends without it"""
        spooled = Spooled(self)
        host = spooled.host
        host.configure(SINKS.format(spool=spooled.path, forwarder=self.forwarder(spooled)))
        reading, writing = os.pipe()
        run = host.cycle(pass_fds=[writing])  # ends with the end of output and messages
        os.close(writing)
        self.assert_fine(run)
        given, = self.started(host)
        self.assertEqual(given["fds"], {str(fd): "/dev/null" for fd in range(3)})
        self.assertEqual((given["session"], given["cwd"]), (given["pid"], "/"))
        # Python itself ignores SIGPIPE and SIGXFSZ.
        self.assertEqual((given["ignored"], given["blocked"]), ([signal.SIGPIPE, signal.SIGXFSZ], 0))
        self.assertEqual(given["words"], ["--config", str(host.tree.conf)])
        self.assertTrue(os.path.exists(f"/proc/{given['pid']}"), "it was still at work when the probe had ended")
        os.set_blocking(reading, False)
        self.assertEqual(os.read(reading, 1), b"", "nobody holds the other end")
        os.close(reading)

    def test_forwarder_of_the_tree(self):
        """without a setting the forwarder is hooks/telemetry/forward of the tree"""
        spooled = Spooled(self, conf=SINKS.replace("program = {forwarder}", ""))
        host = spooled.host
        self.assert_fine(host.cycle(), "not sent: there is no forwarder .*/remotes/hooks/telemetry/forward$")
        self.assert_fine(host.cycle())  # said once
        path = host.tree.root / "hooks" / "telemetry" / "forward"
        path.parent.mkdir(parents=True)
        path.write_text(f"#!/bin/sh\necho started > {host.dir}/sign\n")
        path.chmod(0o755)
        run = host.cycle()
        self.assert_fine(run)
        self.assertIn("the sinks get what is collected again", [text for _, text in run.log][-1])
        self.wait_for((host.dir / "sign").exists, "not started")
        self.assertEqual(len(spooled.batches()), 3)

    def test_forwarder_at_work(self):
        """while a forwarder holds the lock none is started"""
        spooled = Spooled(self)
        host = spooled.host
        host.configure(SINKS.format(spool=spooled.path, forwarder=self.forwarder(spooled)))
        spooled.path.mkdir(mode=0o700)
        holder = subprocess.Popen(["flock", spooled.path / "lock", "sleep", "60"], start_new_session=True)
        self.addCleanup(holder.wait)
        self.addCleanup(os.killpg, holder.pid, signal.SIGKILL)
        self.wait_for(lambda: subprocess.run(["flock", "-n", spooled.path / "lock", "true"], check=False).returncode,
                      "flock", 10)
        self.assert_fine(host.cycle())
        time.sleep(1)
        self.assertEqual(list(host.dir.glob("started-*")), [])
        self.assertEqual(len(spooled.batches()), 1)

    def test_no_program(self):
        """a forwarder that cannot run costs one line in the log, and no record"""
        spooled = Spooled(self)
        bad = spooled.host.dir / "bad"
        bad.write_text("#!/nonexistent/interpreter\n")
        bad.chmod(0o755)
        spooled.host.configure(SINKS.format(spool=spooled.path, forwarder=bad))
        self.assert_fine(spooled.host.cycle(), f"not sent: cannot start {bad}: No such file or directory$")
        self.assertEqual(len(spooled.batches()), 1)

    # ---- what can be wrong ------------------------------------------------------------------------------------

    def troubled(self, spooled, pattern, after=None):
        """The trouble is told once; the state is kept, as rates need; then it is over."""
        host = spooled.host
        for cycle in range(3):
            before = host.state_file.read_bytes() if host.state_file.exists() else b""
            run = host.cycle()
            self.assert_fine(run, *([pattern] if cycle == 0 else []))
            self.assertNotEqual(host.state_file.read_bytes(), before)
        if after:
            after()
            run = host.cycle()
            self.assert_fine(run)
            self.assertIn("the sinks get what is collected again", run.log[-1][1])
            self.assertTrue(spooled.batches())

    def test_wrong_settings(self):
        """wrong settings of a sink cost OpenNebula nothing"""
        spooled = Spooled(self, conf=SINKS.replace("database = one\n", ""))
        self.troubled(spooled, r"^nothing is queued for the sinks: .*\[sink one\].*database", lambda:
                      spooled.host.configure(SINKS.format(spool=spooled.path, forwarder="/bin/true")))

    def test_link(self):
        """spool replaced by a link: not followed"""
        spooled = Spooled(self)
        elsewhere = spooled.host.dir / "elsewhere"
        elsewhere.mkdir(mode=0o700)
        spooled.path.symlink_to(elsewhere)
        self.troubled(spooled, "nothing is queued for the sinks: .*/spool: is a symbolic link", spooled.path.unlink)
        self.assertEqual(list(elsewhere.iterdir()), [])

    def test_other_user(self):
        """spool of another user"""
        spooled = Spooled(self)
        spooled.path.mkdir(mode=0o700)
        os.chown(spooled.path, NOBODY, NOBODY)
        self.troubled(spooled, f"nothing is queued for the sinks: .*/spool: belongs to user {NOBODY}",
                      lambda: os.chown(spooled.path, 0, 0))

    def test_sink_is_a_link(self):
        """a sink's queue replaced by a link: no sink gets anything, and nothing is written through it"""
        spooled = Spooled(self)
        spooled.host.cycle()
        moved = spooled.path / "two"
        moved.rename(spooled.host.dir / "elsewhere")
        moved.symlink_to(spooled.host.dir / "elsewhere")
        self.troubled(spooled, "nothing is queued for the sinks: .*/two: is a symbolic link", moved.unlink)
        self.assertEqual(len(spooled.batches()), 2)
        self.assertEqual(len(list((spooled.host.dir / "elsewhere").glob("*.lp.gz"))), 1)

    def mount(self, path, options):
        path.mkdir(mode=0o700)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"mode=0700,{options}", "tmpfs", path], check=True)
        stack = contextlib.ExitStack()
        stack.callback(subprocess.run, ["umount", "-l", path], check=False)
        self.addCleanup(stack.close)

    def test_full(self):
        """spool on a full disk: nothing half-written is left"""
        spooled = Spooled(self)
        self.mount(spooled.path, "size=64k")
        filler = spooled.path / "filler"
        with open(filler, "wb", buffering=0) as out, contextlib.suppress(OSError):
            while True:
                out.write(bytes(512))
        self.troubled(spooled, "nothing is queued for the sinks: .*No space left on device", filler.unlink)
        self.assertEqual(list((spooled.path / "tmp").iterdir()), [])

    def test_full_of_batches(self):
        """spool that fills its disk: the oldest batches make room for the newest, and are counted"""
        spooled = Spooled(self)
        self.mount(spooled.path, "size=64k")
        seen = []
        for _ in range(40):
            run = spooled.host.cycle()
            self.assertEqual((run.status, run.err), (0, ""), run)
            newest = spooled.batches()[-1]
            self.assertNotIn(newest, seen)
            seen.append(newest)
            self.assertEqual(self.vms_of(newest), {1, 2, 3})
            if any("dropped, the oldest: the disk is full" in text for _, text in run.log):
                break
        self.assertLess(len(spooled.batches()), len(seen))
        self.assertGreater(int(self.ledger(spooled)["dropped_batches"]), 0)

    def ledger(self, spooled, sink="one"):
        lines = (spooled.path / sink / "state").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines if "=" in line)

    def test_read_only(self):
        """spool on a file system that is read-only"""
        spooled = Spooled(self)
        self.mount(spooled.path, "size=1m")
        subprocess.run(["mount", "-o", "remount,ro", spooled.path], check=True)
        self.troubled(spooled, "nothing is queued for the sinks: .*Read-only file system", lambda:
                      subprocess.run(["mount", "-o", "remount,rw", spooled.path], check=True))

    def test_late_after_output(self):
        """out of time after the records are out: exit status 0 in both modes, so that OpenNebula keeps them"""
        for mode in ("beside", "replace"):
            with self.subTest(mode):
                spooled = Spooled(self)
                host = spooled.host
                host.configure(f"mode = {mode}\n" + SINKS.format(spool=spooled.path, forwarder="/bin/true"))
                for sink in ("", "one"):
                    (spooled.path / sink).mkdir(mode=0o700)
                with open(spooled.path / "one" / "state.lock", "w") as lock:  # the probe waits for it for a while
                    os.chmod(lock.name, 0o600)
                    fcntl.flock(lock, fcntl.LOCK_EX)
                    process = host.start()
                    self.wait_for(lambda: list((spooled.path / "one").glob("*.lp.gz")), "nothing was queued")
                    process.send_signal(signal.SIGALRM)  # as if its time were up
                    run = host.finish(process)
                self.assertEqual(run.status, 0, run)
                self.assert_logged(run, "not done in time; OpenNebula has its records, but .*kept or queued")

    # ---- killed ------------------------------------------------------------------------------------------------

    def test_killed(self):
        """killed at any moment: every queue holds whole batches only, and the next run goes on"""
        spooled = Spooled(self, self.many())
        host = spooled.host
        host.cycle()
        state = host.state_file.read_text()
        # Keys to be deleted, so that there are records: spooling begins when they are out.
        state = state.replace("  domain.ran=1\n", "  domain.ran=1\n  domain.sent-keys=CPU\n")
        moments = random.Random(4)
        cut_short, goes_on = 0, 0.03
        for _ in range(KILLS):
            host.state_file.write_text(state)
            process = host.start()
            os.read(process.stdout.fileno(), 1)
            begin = time.monotonic()
            time.sleep(moments.uniform(0, goes_on))
            process.kill()
            killed = host.finish(process).status == -signal.SIGKILL
            cut_short += killed
            # As long as it goes on here, now: longer when it was in time, shorter when it was too late.
            goes_on = goes_on * 1.1 if killed else max(SHORTEST, min(goes_on, time.monotonic() - begin) * 0.7)
        self.assertGreater(cut_short, KILLS // 8)
        for sink in ("one", "two"):
            for text in spooled.batches(sink):
                self.assertEqual(self.vms_of(text), set(range(1, MANY + 1)))
        count = len(spooled.batches())
        self.assert_fine(host.cycle())
        self.assertEqual(len(spooled.batches()), count + 1)
        self.assert_all_sent(spooled)

    def assert_all_sent(self, spooled):
        """What waits for sink one arrives, each point once."""
        server = Standin("influxdb1", {"db": "one"})
        self.addCleanup(server.close)
        lines = sum(text.count("\n") for text in spooled.batches())
        conf = self.scratch / "sending.conf"
        conf.write_text(f"[spool]\ndir = {spooled.path}\n[sink one]\nurl = {server.url}\ndatabase = one\n")
        got = subprocess.run([args.build / "hooks" / "forward", "--config", conf, "--once"], capture_output=True, text=True,
                             timeout=60)
        self.assertEqual((got.returncode, server.complaints), (0, []), got.stderr)
        self.assertEqual((len(server.store.points), spooled.batches()), (lines, []))


if __name__ == "__main__":
    raise SystemExit(main())
