#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""one-telemetry doctor on a front-end and host of its own, with real guests, sinks and a telemetryd: what is right is said
to be so; each thing that is broken on purpose is found, with what mends it; nothing is changed; what hangs is given up."""
import json
import os
import pathlib
import pty
import re
import shutil
import signal
import subprocess
import time

from certificates import Authority
from doctor_case import HOOKS, Doctor, run_record
from harness import ROOT, RigCase, args, main
from standin import Behaviour
from telemetryd import Telemetryd


class Guests(RigCase, Doctor):
    """With real guests."""
    fleet = (("idle", "one-79", {}), ("disk", "one-82", {}), ("wild", "wild-1", {}))

    def test_well(self):
        """all is well: no error, the guests without balloon statistics as the one warning; nothing is changed on disk"""
        server = self.sink()
        place = self.place(self.uri(), f"[forward]\nlinger = 0\n[sink one]\nurl = {server.url}\ndatabase = one\n")
        endpoint = Telemetryd(place.dir / "telemetryd", args.build / "serve" / "telemetryd")
        self.addCleanup(endpoint.stop)
        endpoint.start()
        shutil.copy(endpoint.conf, place.etc / "telemetry.conf")
        place.let_cron_send()
        place.host.run(host="kvm1")  # makes state and spool
        self.wait_for(lambda: not list(place.spool.glob("one/*.gz")) and not place.forwarder_runs(),
                      "nothing is sent", 30)
        stored = len(server.store.points)
        self.assertGreater(stored, 0)
        before = place.picture()
        findings = place.findings()
        self.assertEqual([each for each in self.bad(findings) if each[1] != "clock"], [("warning", "balloon")], findings)
        for check, text in (("libvirt", "answers in .* 2 domains named one-.*, 1 other"), ("run", "2 records with .* keys"),
                            ("sinks", "one: influxdb1 at .* takes what we send"), ("telemetryd", "answers at"),
                            ("telemetryd", "finds nothing wrong"), ("hooks", "2 hooks are registered, each once"),
                            ("hosts", "kvm1 has version"), ("periods", "MONITOR_VM 30 s"), ("opennebula", "7.4.0")):
            found = [each for each in findings if each[:2] == ("ok", check) and re.search(text, each[3])]
            self.assertTrue(found, f"{check} {text}: {findings}")
        self.assert_found(findings, "warning", "balloon", "2 of 2 guests have no period for balloon statistics.*one-79, one-82",
                          r"virsh -c .* dommemstat one-79 --period 10 --live\n(.|\n)*stats period='10'")
        self.assertEqual({path: what for path, what in place.picture().items() if "telemetryd" not in path},
                         {path: what for path, what in before.items() if "telemetryd" not in path})
        self.assertEqual(len(server.store.points), stored)

    def test_page(self):
        """docs/opennebula.md shows what it says of three things that are broken (UPDATE_DOCS=1 writes it anew)"""
        server, token = self.sink("influxdb2", token="another-t0ken"), self.scratch / "page-token"
        token.write_text("s3cret-t0ken\n")
        token.chmod(0o600)
        place = self.place(self.uri(), f"[sink influx]\ntype = influxdb2\nurl = {server.url}\norg = ops\nbucket = one\n"
                                       f"token_file = {token}\n")
        shutil.copy(place.host.probe, place.host.probes / "telemetry.dpkg-old")
        place.host.forwarder.chmod(0o644)
        checks = [word for name in ("config", "secrets", "installed", "libvirt", "balloon", "spool", "queues", "sinks")
                  for word in ("--check", name)]
        said = place.start("--host", "--quiet", *checks).stdout
        for written, shown in ((str(place.root), ""), (server.url, "http://influx.example.net:8086"), ("sudo -u root", "sudo -u oneadmin"),
                               (self.uri(), "qemu:///system"), ("'qemu:///system'", "qemu:///system")):
            said = said.replace(written, shown)
        page = ROOT / "docs" / "opennebula.md"
        before, begin, rest = page.read_text().partition("<!-- doctor -->\n```\n")
        shown, end, after = rest.partition("```\n")
        if os.environ.get("UPDATE_DOCS"):
            page.write_text(before + begin + said + end + after)
            return
        self.assertEqual(said, shown)

    def test_frozen(self):
        """a frozen libvirtd, a sink and a host that hang: each is given up in time, all else is told"""
        server = self.sink()
        server.always = Behaviour(fault="hang")
        place = self.place(self.uri(), f"[sink one]\nurl = {server.url}\ndatabase = one\n")
        place.hosts({"kvm1": 2, "kvm2": 2})
        place.answer("kvm2", "sleep 60\n")
        self.rig.libvirtd("freeze")
        try:
            began = time.monotonic()
            findings = place.findings("--timeout", "4")
            self.assertLess(time.monotonic() - began, 30)
        finally:
            self.rig.libvirtd("thaw")
            self.settle()
        self.assert_found(findings, "error", "libvirt", "does not answer: not done within 4 s", "systemctl restart libvirtd")
        self.assert_found(findings, "error", "sinks", "one: .* has not answered within 3.2 s", place="host")
        self.assert_found(findings, "error", "hosts", "kvm2 is not reached by ssh: not done within", "ssh .*kvm2 true")
        self.assert_found(findings, "ok", "hosts", "kvm1 has version")
        self.assert_found(findings, "ok", "hooks", "each once")
        self.assert_found(findings, "error", "run", "the probe failed: not done within 3.2 s")

    def test_deep(self):
        """--deep runs the other probes of the directory too: their part of the message, one that fails"""
        place = self.place(self.uri())
        self.assert_found(place.findings("--check", "run"), "skipped", "run", "with the 1 other probe", "--deep")
        self.assertFalse(place.state.exists() or place.spool.exists())  # a host on which it has never run
        place.host.poll.write_text('#!/bin/sh\necho \'VM = [ ID="79", MONITOR="Q1BVPTEK" ]\'\n')
        self.assert_found(place.findings("--check", "run", "--deep"), "ok", "run", "message of 2 probes has")
        place.host.poll.write_text('#!/bin/sh\nhead -c 100000 /dev/urandom | base64 -w 0\n')
        self.assert_found(place.findings("--check", "run", "--deep"), "error", "run", "the limit is 65507: OpenNebula gets nothing",
                          "detail in")
        place.host.poll.write_text("#!/bin/sh\necho 'no such gem' >&2\nexit 1\n")
        self.assert_found(place.findings("--check", "run", "--deep"), "error", "run", "poll.rb failed.*exit status 1: no such gem")


class Broken(Doctor):
    """Things that are broken on purpose, on a libvirt without guests."""

    def test_tree(self):
        """probes, leftovers, modes: found with the command that mends it"""
        place = self.place()
        leftover = place.host.probes / "telemetry.dpkg-old"
        shutil.copy(place.host.probe, leftover)
        hidden = place.front.probes / ".poll.rb.swp"
        hidden.write_text("x")
        hidden.chmod(0o755)
        place.front.probe.chmod(0o644)
        place.host.poll.chmod(0o644)
        place.host.probes.chmod(0o777)
        status = place.host.root / "im/qemu-probes.d/vm/status"
        status.mkdir(parents=True, exist_ok=True)
        shutil.copy(place.host.probe, status / "telemetry")  # a probe in the place of OpenNebula's is nothing wrong
        shutil.copy(place.host.probe, status / "state.rb~")
        (status / "state.rb").write_text("#!/bin/sh\n")
        (status / "telemetry").chmod(0o757)
        qemu = place.host.root / "im/qemu-probes.d/vm/monitor/telemetry"
        qemu.write_bytes(qemu.read_bytes() + b"x")
        findings = place.findings("--check", "installed", "--check", "mode")
        self.assert_found(findings, "error", "installed", "telemetry.dpkg-old is executed by OpenNebula",
                          r"rm /var/lib/one/remotes/.*telemetry.dpkg-old\n.*onehost sync --force")
        self.assert_found(findings, "error", "installed", r"\.poll\.rb\.swp is executed")
        self.assert_found(findings, "error", "installed", r"vm/status/state\.rb~ is executed", place="host")
        self.assert_found(findings, "error", "installed", "vm/status/telemetry may be written by everybody", place="host")
        self.assertFalse([text for text in map(str, findings) if "state.rb " in text], findings)
        self.assert_found(findings, "error", "installed", "may not be executed", f"chmod 755 {place.front.probe}", "front-end")
        self.assert_found(findings, "error", "installed", "vm/monitor may be written by everybody", "chmod go-w .*vm/monitor", "host")
        self.assert_found(findings, "warning", "installed", "differ", "onehost sync --force", "host")
        self.assert_found(findings, "warning", "mode", "mode is beside, but .*poll.rb may not be executed", place="host")
        place.append("[probe]\nmode = leave\n")
        self.assert_found(place.findings("--check", "mode", "--front-end"), "warning", "mode", "mode is leave", "mode = beside")
        for conf in place.both("etc/im/kvm-probes.d/telemetry.conf"):
            conf.write_text(conf.read_text().replace("mode = leave", "mode = replace"))
        self.assert_found(place.findings("--check", "mode", "--front-end"), "warning", "mode",
                          "mode is replace.* kvm-probes.d.* is executed".replace(" kvm", ".*kvm"), "chmod a-x .*kvm-probes.d")

    def test_configuration(self):
        """a wrong line with its number, a file that others may write, two trees' files that differ, a secret for all"""
        place = self.place()
        secret = place.dir / "token"
        secret.write_text("s3cret-token\n")
        secret.chmod(0o644)
        place.append(f"[sink one]\nurl = http://127.0.0.1:9\ntype = influxdb3\ndatabase = one\ntoken_file = {secret}\n")
        place.front.conf.chmod(0o666)
        (place.host.root / "etc/im/qemu-probes.d/telemetry.conf").write_text("[probe]\ndeadlin = 5\n")
        findings = place.findings("--check", "config", "--check", "secrets")
        self.assert_found(findings, "error", "config", "may be written by everybody", "chmod go-w", "front-end")
        self.assert_found(findings, "warning", "config", "differ", "cp -p .*kvm-probes.d.* .*qemu-probes.d", "host")
        self.assert_found(findings, "error", "secrets", r"\[sink one\]: .*token", f"chmod 600 {secret}", "host")
        with open(place.host.conf, "a", encoding="utf-8") as conf:
            conf.write("deadlin = 5\n")
        lines = len(place.host.conf.read_text().splitlines())
        findings = place.findings("--host", "--check", "config", "--check", "sinks")
        self.assert_found(findings, "error", "config", rf"telemetry.conf:{lines}: .*deadlin", "sudoedit .*telemetry.conf")
        self.assert_found(findings, "skipped", "sinks", "which has an error")

    def test_sinks(self):
        """every kind of sink is asked without storing anything; refused, absent, a clock that is wrong"""
        token = self.scratch / "token"
        token.write_text("s3cret-t0ken\n")
        token.chmod(0o600)
        kinds = {"influxdb1": "database = one\n", "influxdb2": f"org = ops\nbucket = one\ntoken_file = {token}\n",
                 "telemetryd": ""}
        servers = {kind: self.sink(kind, **({"token": "s3cret-t0ken"} if "token" in keys else {}))
                   for kind, keys in kinds.items()}
        denied = self.sink("influxdb2", token="another-t0ken")
        clock = self.serve({"ahead": 30})
        text = "".join(f"[sink {kind}]\ntype = {kind}\nurl = {server.url}\n{kinds[kind]}" for kind, server in servers.items())
        text += f"[sink denied]\ntype = influxdb2\nurl = {denied.url}\n{kinds['influxdb2']}"
        text += "[sink absent]\nurl = http://127.0.0.1:9\ndatabase = one\n"
        text += f"[sink clock]\ntype = victoriametrics\nurl = {clock}\n"
        def page(request):
            request.rfile.read(int(request.headers["Content-Length"]))
            request.send_response(400)
            request.end_headers()
            request.wfile.write(b"<html>Bad Request</html>")
        text += f"[sink page]\nurl = {self.serve({'do_POST': page})}\ndatabase = one\n"
        health = self.serve({"do_GET": lambda self: (self.send_response(
            200 if (self.path, self.headers["Authorization"]) == ("/health", "Bearer s3cret-t0ken") else 401), self.end_headers())})
        for name, file in (("three", token), ("without", None)):
            text += f"[sink {name}]\ntype = influxdb3\nurl = {health}\ndatabase = one\n"
            text += f"token_file = {file}\n" if file else ""
        findings = self.place(conf=text).findings("--host", "--check", "sinks")
        self.assert_found(findings, "ok", "sinks", "^three: influxdb3 at .* takes what we send")
        self.assert_found(findings, "error", "sinks", "^without: influxdb3 at .* refuses us: 401")
        for kind, server in servers.items():
            self.assert_found(findings, "ok", "sinks", f"^{kind}: {kind} at .* takes what we send")
            self.assertEqual(server.store.points, {}, kind)
            self.assertEqual(len(server.requests), 1)
        self.assert_found(findings, "error", "sinks", "^denied: .* refuses us: 401", r"token_file, .* of \[sink denied\]")
        self.assert_found(findings, "error", "sinks", "^absent: .*Connection refused", "curl -v http://127.0.0.1:9")
        self.assert_found(findings, "warning", "sinks", "^page: .*: 400 Bad Request: <html>", "url, database or bucket")
        self.assert_found(findings, "warning", "sinks", "^clock: its clock is (29|30).*ahead of ours", "chronyc tracking")

    def test_queues(self):
        """a sink in trouble with its reason, a queue that nobody sends, a spool that is open to others, no forwarder"""
        place = self.place(conf="[sink one]\nurl = http://127.0.0.1:9\ndatabase = one\n"
                                "[sink two]\nurl = http://127.0.0.1:9\ndatabase = one\n")
        (place.spool / "one").mkdir(parents=True, mode=0o700)
        (place.spool / "two").mkdir(mode=0o700)
        place.spool.chmod(0o700)
        now = time.time_ns()
        (place.spool / "one" / "state").touch(0o600)
        (place.spool / "one" / "state").write_text(
            f"last_success_ns={now - 7200 * 10**9}\nfailures=7\nlast_error=401 Unauthorized\ntrouble=2\nend\n")
        (place.spool / "two" / f"{now - 3600 * 10**9:019d}-kvm1-1-0001.lp.gz").write_bytes(b"x")
        before = place.picture()
        findings = place.findings("--host", "--check", "queues", "--check", "spool")
        self.assert_found(findings, "error", "queues", "one: 7 attempts failed in a row.* 2 h: 401 Unauthorized", "forward .*--flush")
        self.assert_found(findings, "error", "queues", "two: 1 batch wait.*1 h old, and nobody sends it", "forward .*--flush")
        self.assert_found(findings, "ok", "spool", str(place.spool))
        self.assertEqual(place.picture(), before)
        shutil.rmtree(place.spool / "two")
        (place.spool / "two").touch()
        self.assert_found(place.findings("--host", "--check", "queues"), "error", "queues", "two: .*: Not a directory",
                          f"ls -la {place.spool} .* root's alone")
        place.spool.chmod(0o755)
        place.host.forwarder.unlink()
        findings = place.findings("--host", "--check", "spool")
        self.assert_found(findings, "error", "spool", "mode 0755: it has to be root's alone", f"chmod 700 {place.spool}")
        self.assert_found(findings, "error", "spool", "there is no forwarder", "onehost sync --force")

    def test_killed(self):
        """a check that dies says so, and no other is hurt; when the doctor is killed nothing of it goes on"""
        place = self.place()
        place.stub("onehost", "exec sleep 60\n")
        for kill_all in (False, True):
            with place.begin("--json", "--check", "hosts", "--check", "hooks") as doctor:
                self.wait_for(lambda: self.below(doctor.pid, "sleep"), "onehost is not called")
                sleeping = self.below(doctor.pid, "sleep")
                check = int(pathlib.Path(f"/proc/{sleeping[0]}/stat").read_text().rpartition(")")[2].split()[1])
                os.kill(doctor.pid if kill_all else check, signal.SIGKILL)
                out = doctor.communicate(timeout=20)[0]
            self.wait_for(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in sleeping), "onehost goes on", 5)
            if not kill_all:
                told = {each["check"]: each["text"] for each in json.loads(out)["findings"] if each["status"] == "error"}
                self.assertEqual(list(told), ["hosts"])
                self.assertRegex(told["hosts"], "onehost list -x does not answer: the check crashed with signal 9")

    def test_periods(self):
        """OpenNebula's period against deadline and stale_after"""
        place = self.place()
        (place.etc / "monitord.conf").write_text("PROBES_PERIOD = [ MONITOR_VM = 60 ]\nPROBES_PERIOD=[monitor_vm=\"5\"]\n")
        self.assert_found(place.findings("--check", "periods"), "warning", "periods", r"10 s \(deadline\).* 5 s", "deadline = 2.5")
        (place.etc / "monitord.conf").write_text("PROBES_PERIOD = [ MONITOR_VM = 60 ]\n")
        self.assert_found(place.findings("--check", "periods"), "warning", "periods", "stale after 90 s.* 60 s", "stale_after = 180s")
        (place.etc / "monitord.conf").write_text("PROBES_PERIOD = [ BEACON_HOST = 60 ]\n")
        self.assert_found(place.findings("--check", "periods"), "warning", "periods", "no MONITOR_VM")

    def test_hooks(self):
        """a hook that is missing, twice, of another command, whose last run failed; a program that may not be executed"""
        place = self.place()
        place.hooks(("running", "running"), {1: [run_record(3, 0), run_record(4, 1, "first\nno spool\n")], 2: []})
        (place.front.root / "hooks/telemetry/vm_event").chmod(0o644)
        findings = place.findings("--check", "hooks")
        self.assert_found(findings, "error", "hooks", "telemetry-done is not registered", "onehook create .*/one-telemetry/hooks/done.tmpl")
        self.assert_found(findings, "warning", "hooks", "telemetry-running is registered 2 times", "onehook delete 2")
        self.assert_found(findings, "error", "hooks", "1 of its last 2 runs .*the last one too: exit status 1: no spool",
                          "onehook retry 1 4")
        self.assert_found(findings, "error", "hooks", "vm_event, which may not be executed", "chmod 755")
        place.hooks(HOOKS, {1: [run_record(4, 1), run_record(5, 0, retry=True)]}, command="old/vm_event")
        findings = place.findings("--check", "hooks")
        self.assert_found(findings, "error", "hooks", "telemetry-done .*its command is another: old/vm_event",
                          r"onehook delete 2\n.*onehook create .*done.tmpl")
        self.assertFalse([each for each in findings if "runs failed" in each[3]])
        (place.bin / "onehook.list").write_text("<HOOK_POOL><!DOCTYPE x>")
        self.assert_found(place.findings("--check", "hooks"), "error", "hooks", "can't be read")
        place.stub("onehook", "echo 'connection refused' >&2; exit 1\n")
        self.assert_found(place.findings("--check", "hooks"), "error", "hooks", "exit status 1: connection refused", "opennebula")

    def test_hosts(self):
        """hosts without probe, of another version, with a clock that is wrong, not reached, in ERROR, disabled"""
        place = self.place()
        place.hosts({"well": 2, "empty": 2, "old": 2, "clock": 2, "away": 3, "off": 4, "library": 2})
        for host, text in (("well", None), ("empty", "date +%s.%N; echo no probe\n"), ("clock", None),
                           ("old", "date +%s.%N; echo 'vm_monitor (one-telemetry) 0.0.9'\n"),
                           ("away", "echo 'ssh: connect to host away port 22: No route to host' >&2; exit 255\n"),
                           ("library", "date +%s.%N; echo 'error while loading shared libraries: libvirt.so.0'\n")):
            place.answer(host, text, ahead=-90 if host == "clock" else 0)
        findings = place.findings("--check", "hosts")
        self.assert_found(findings, "ok", "hosts", "^well has version")
        self.assert_found(findings, "error", "hosts", "^empty has no probe of ours", "onehost sync --force empty")
        self.assert_found(findings, "warning", "hosts", "^old has version 0.0.9, the front-end", "onehost sync --force old")
        self.assert_found(findings, "error", "hosts", "^clock: its clock is 1 min .*behind ours", "chronyc")
        self.assert_found(findings, "error", "hosts", "^away is in state ERROR", "onehost forceupdate away")
        self.assert_found(findings, "error", "hosts", "^away is not reached by ssh: exit status 255: .*No route to host")
        self.assert_found(findings, "skipped", "hosts", "^off is disabled")
        self.assert_found(findings, "error", "hosts", "^library: the probe does not run there: .*libvirt.so.0", "ssh library ldd")

    def test_probe(self):
        """a probe that prints junk, fails, hangs, is of another version, or too old to be run without a trace"""
        place = self.place()
        for script, status, text, mend in (
                ("echo junk", "error", "is no record, which puts the host into ERROR: line 1", "telemetry --dry-run kvm 0"),
                ("echo 'no lib' >&2; exit 127", "error", "the probe failed: exit status 127: no lib", "telemetry --dry-run"),
                ("sleep 60", "error", "the probe failed: not done within 2.4 s", "telemetry --dry-run"),
                ("kill -SEGV $$", "error", "the probe failed: ended by signal 11", "telemetry --dry-run"),
                ("[ $1 != --version ] || { echo 'no build runs on this host' >&2; exit 1; }", "error", "does not run here: .*no build runs",
                 "--build"),
                ("[ $1 != --version ] || echo 'vm_monitor (one-telemetry) 0.0.9'", "warning", "has version 0.0.9, this program",
                 "onehost sync"),
                ("echo 'one-telemetry: Unknown option --dry-run; see --help' >&2", "warning", "older than this program", "onehost sync")):
            with self.subTest(script):
                place.host.probe.write_text(f"#!/bin/sh\n{script}\n")
                self.assert_found(place.findings("--host", "--check", "run", "--timeout", "3"), status, "run", text, mend)
        place.state.mkdir(mode=0o700)
        (place.state / "state-7.domstats").write_text("# one-telemetry domstats 1 realtime=1 boottime=1 cycle=0 tier=0 boot=b "
                                                      "host=kvm \\303\\251 1\n# end 0\n")
        place.host.probe.write_text("#!/bin/sh\necho junk\n")  # called as OpenNebula calls it
        self.assert_found(place.findings("--host", "--check", "run"), "error", "run", "is no record", "telemetry --dry-run kvm 7 'kvm é 1'")

    def test_resend(self):
        """nothing sends what the hook could not; telemetryd and the hooks share a spool"""
        sink = "[sink one]\nurl = http://127.0.0.1:9\ndatabase = one\n"
        place = self.place(conf=sink)
        self.assert_found(place.findings("--front-end", "--check", "resend"), "warning", "resend", "waits for the next one")
        self.assertFalse([each for each in place.findings("--front-end", "--check", "spool") if "share" in each[3]])
        place.let_cron_send()
        self.assert_found(place.findings("--front-end", "--check", "resend"), "ok", "resend", "cron starts")
        (place.etc / "telemetry.conf").write_text(f"[spool]\ndir = {place.spool}\n{sink}")
        self.assert_found(place.findings("--front-end", "--check", "spool"), "warning", "spool", "hooks and telemetryd share",
                          "dir = /var/lib/one-telemetry/spool")

    def test_libvirt(self):
        """no libvirt: which, why, and how to start it; the probe beside poll.rb has nothing to say"""
        self.assert_found(self.place().findings("--host", "--check", "run"), "ok", "run", "0 records with 0 keys")  # a first run, no VMs
        place = self.place("qemu:///system?socket=/nonexistent/sock")
        findings = place.findings("--host", "--check", "libvirt", "--check", "balloon", "--check", "run")
        self.assert_found(findings, "error", "libvirt", "/nonexistent/sock.*No such file", "systemctl enable --now libvirtd")
        self.assert_found(findings, "skipped", "balloon", "No such file")
        self.assert_found(findings, "error", "run", "the probe failed: exit status 1: .*/nonexistent/sock", "--dry-run kvm 0")

    def test_telemetryd(self):
        """a telemetryd that is set up and does not answer, one of another version, a stranger on its port"""
        place = self.place()
        if not pathlib.Path("/run/systemd/system").exists():
            nobody = place.findings("--check", "telemetryd", alone=True)  # at its standard port, where the demo's may be
            self.assert_found(nobody, "skipped", "telemetryd", "is not set up", "enable --now")
        (place.etc / "telemetry.conf").write_text("[server]\nport = 9\n")
        self.assert_found(place.findings("--check", "telemetryd"), "error", "telemetryd", "does not answer at http://127.0.0.1:9",
                          "journalctl")
        url = self.serve({"do_GET": lambda self: (self.send_response(200), self.end_headers(),
                                                  self.wfile.write(b'{"status":"ok","version":"0.0.1"}'))})
        (place.etc / "telemetry.conf").write_text(f"[server]\nport = {url.rpartition(':')[2]}\n")
        self.assert_found(place.findings("--check", "telemetryd"), "warning", "telemetryd", "that runs is 0.0.1, this is",
                          "systemctl restart one-telemetryd")

    def test_telemetryd_guarded(self):
        """a telemetryd with TLS and tokens is asked with the token of its configuration; what it complains of is repeated"""
        place, (cert, key) = self.place(), Authority(self.scratch / "ca").server()
        for name in ("read", "write"):
            (self.scratch / name).write_text(f"{name}-t0ken-of-ours\n")
            (self.scratch / name).chmod(0o600)
        endpoint = Telemetryd(place.dir / "telemetryd", args.build / "serve" / "telemetryd", "https",
                              server={"cert_file": cert, "key_file": key, "read_token_file": self.scratch / "read",
                                      "write_token_file": self.scratch / "write"},
                              collector={"enabled": "yes", "uris": "qemu:///system?socket=/nonexistent", "interval": "1"})
        self.addCleanup(endpoint.stop)
        endpoint.start()
        shutil.copy(endpoint.conf, place.etc / "telemetry.conf")
        self.wait_for(lambda: "nonexistent" in str(endpoint.json("diagnostic", token="read-t0ken-of-ours")["libvirt"]),
                      "no error")
        findings = place.findings("--check", "telemetryd", "--check", "secrets", "--front-end")
        self.assert_found(findings, "ok", "telemetryd", "answers at https://127.0.0.1:")
        self.assert_found(findings, "warning", "telemetryd", "it says of libvirt qemu:///system.*/nonexistent", "virsh -c URI list")
        self.assert_found(findings, "ok", "secrets", "^3 secrets can be read by root")
        (self.scratch / "read").write_text("an0ther-t0ken\n")
        self.assert_found(place.findings("--check", "telemetryd"), "warning", "telemetryd", "diagnostic can't be had", "read_token_file")

    def test_user(self):
        """called by another user than OpenNebula's, and with none of that name"""
        place = self.place()
        self.assert_found(place.findings("--check", "user", user="no-such-user"), "error", "user", "there is no user no-such-user")
        self.assert_found(place.findings("--check", "user", user="nobody"), "ok", "user", "each check is made as nobody")


class CommandLine(Doctor):
    """What a person sees."""

    def test_text(self):
        """a line each, below it the command; --quiet leaves out what is ok; a count; colours on a terminal alone"""
        place = self.place()
        place.front.probe.chmod(0o644)
        run = place.start("--front-end", "--check", "installed", "--check", "opennebula")
        self.assertEqual(run.returncode, 1, run)
        lines = run.stdout.splitlines()
        self.assertRegex(lines[0], r"^one-telemetry [0-9.]+ on .*: front-end$")
        self.assertEqual(lines[2], "ok       opennebula   OpenNebula 7.4.0")
        self.assertRegex(lines[3], r"^error    installed    .* may not be executed")
        self.assertRegex(lines[4], rf"^ {{22}}\$ sudo chmod 755 {place.front.probe}$")
        self.assertEqual(lines[-1], "1 ok, 0 warnings, 1 error")
        self.assertNotIn("\033", run.stdout)
        quiet = place.start("--front-end", "--check", "installed", "--check", "opennebula", "--quiet")
        self.assertEqual(quiet.stdout, "\n".join(lines[3:]) + "\n")
        self.assertEqual(place.start("--front-end", "--check", "opennebula", "--quiet").stdout, "")
        self.assertEqual(place.start("--check", "opennebula").returncode, 0)

    def test_colours(self):
        """on a terminal there are colours, unless NO_COLOR is set"""
        place = self.place()
        for env, coloured in (({}, True), ({"NO_COLOR": "1"}, False)):
            ours, theirs = pty.openpty()
            with place.begin("--check", "opennebula", env=env, stdout=theirs) as run:
                run.wait(20)
            os.close(theirs)
            said = os.read(ours, 4096).decode()
            os.close(ours)
            self.assertIn("OpenNebula 7.4.0", said)
            self.assertEqual("\033[32mok" in said, coloured, said)

    def test_usage(self):
        """wrong arguments: exit status 2, one line; --help, --list, version"""
        place = self.place()
        for options, error in ((["--nonsense"], "Unknown option"), (["now"], 'unexpected argument "now"'),
                               (["--check", "x"], 'no check "x"'), (["--timeout", "-1"], "--timeout"),
                               (["--root", str(self.scratch / "empty")], "neither a front-end .* nor a host")):
            run = place.start(*options)
            self.assertEqual((run.returncode, run.stdout), (2, ""), run)
            self.assertRegex(run.stderr, rf"\Aone-telemetry: .*{error}.*--help\n\Z")
        run = place.start("--help")
        self.assertEqual((run.returncode, run.stderr), (0, ""))
        self.assertIn("--deep", run.stdout)
        self.assertEqual(len(place.start("--list").stdout.splitlines()), 18)
        program = args.asan / "commands" / "one-telemetry"
        for words, status, out, err in ((["version"], 0, "one-telemetry 0", ""), (["--help"], 0, "doctor", ""),
                                        ([], 2, "", "Usage"), (["docter"], 2, "", 'no command "docter"')):
            run = subprocess.run([program, *words], capture_output=True, text=True, check=False, timeout=20)
            self.assertEqual(run.returncode, status, run)
            self.assertIn(out, run.stdout)
            self.assertIn(err, run.stderr)


if __name__ == "__main__":
    raise SystemExit(main())
