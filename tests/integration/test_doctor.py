#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""one-telemetry doctor on a front-end and host of its own, with real guests, sinks and a telemetryd: what is right is said
to be so; each thing that is broken on purpose is found, with what mends it; nothing is changed; what hangs is given up."""
import base64
import hashlib
import http.server
import json
import os
import pathlib
import re
import shutil
import subprocess
import threading
import time

from harness import ROOT, Case, RigCase, args, main
from opennebula import Tree
from standin import Behaviour, Standin
from telemetryd import Telemetryd

HOOKS = ("running", "done")
RUN_SECONDS = 60
SANITIZERS = {"ASAN_OPTIONS": "detect_leaks=1:exitcode=99:abort_on_error=0", "UBSAN_OPTIONS": "print_stacktrace=1"}
MONITORD = """# periods
PROBES_PERIOD = [
    BEACON_HOST    = 30,   # MONITOR_VM = 1
    MONITOR_VM     = 30
]
"""
# What onehook, onehost and ssh answer stands in files beside them.
STUBS = {"onehook": 'case $1 in list) cat "$0.list" ;; show) cat "$0.show.$3" ;; *) exit 1 ;; esac\n',
         "onehost": 'cat "$0.list"\n',
         "ssh": 'for word in "$@"; do [ "$before" = -- ] && host=$word; before=$word; done\n. "$0.$host"\n',
         "systemctl": 'exit 0\n'}


class Clock(http.server.BaseHTTPRequestHandler):
    """A sink that takes everything, by a clock of its own."""
    ahead = 0

    def do_POST(self):  # pylint: disable=invalid-name
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(204)
        self.end_headers()

    def date_time_string(self, timestamp=None):
        return super().date_time_string(time.time() + self.ahead)

    def log_message(self, *_):  # pylint: disable=arguments-differ
        pass


def run_record(number, code, stderr="", retry=False, age=60):
    return (f"<HOOK_EXECUTION_RECORD><HOOK_ID>1</HOOK_ID><EXECUTION_ID>{number}</EXECUTION_ID>"
            f"<TIMESTAMP>{int(time.time()) - age}</TIMESTAMP>{'<RETRY>yes</RETRY>' if retry else ''}<EXECUTION_RESULT>"
            f"<STDERR>{base64.encodebytes(stderr.encode()).decode()}</STDERR><CODE>{code}</CODE></EXECUTION_RESULT>"
            "</HOOK_EXECUTION_RECORD>")


class Place:
    """A front-end and a host below a directory, with the commands of OpenNebula's that the doctor calls."""

    def __init__(self, directory, uri, conf=""):
        self.dir = pathlib.Path(directory)
        self.root, self.bin, self.etc = self.dir / "root", self.dir / "bin", self.dir / "root/etc/one"
        self.spool, self.state = self.dir / "spool", self.dir / "state"
        conf = f"[probe]\nstate_dir = {self.state}\n[spool]\ndir = {self.spool}\n{conf}"
        self.trees = [self.tree(self.root / path, uri, conf) for path in ("var/lib/one/remotes", "var/tmp/one")]
        self.front, self.host = self.trees
        self.bin.mkdir()
        self.etc.mkdir(parents=True)
        (self.etc / "monitord.conf").write_text(MONITORD)
        (self.front.root / "VERSION").write_text("7.4.0\n")
        for name, text in STUBS.items():
            self.stub(name, text)
        self.hooks()
        self.hosts({"kvm1": 2})
        self.answer("kvm1")

    @staticmethod
    def tree(path, uri, conf):
        made = Tree(path, args.build / "probes" / "vm_monitor", uri, conf, forwarder=args.build / "hooks" / "forward")
        shutil.copy(args.build / "hooks" / "vm_event", made.root / "hooks" / "telemetry" / "vm_event")
        made.poll = made.probes / "poll.rb"
        made.poll.write_text("#!/bin/sh\nexit 0\n")
        made.poll.chmod(0o755)
        for copied in ("im", "etc/im"):
            shutil.copytree(made.root / copied / "kvm-probes.d", made.root / copied / "qemu-probes.d")
        return made

    def stub(self, name, text):
        (self.bin / name).write_text("#!/bin/sh\n" + text)
        (self.bin / name).chmod(0o755)

    def hooks(self, names=HOOKS, runs=None, command="telemetry/vm_event"):
        """What is registered; runs: {number: records}."""
        (self.bin / "onehook.list").write_text("<HOOK_POOL>" + "".join(
            f"<HOOK><ID>{number}</ID><NAME>telemetry-{name}</NAME><TYPE>state</TYPE><TEMPLATE><COMMAND>{command}"
            "</COMMAND><RESOURCE>VM</RESOURCE><ARGUMENTS>$TEMPLATE</ARGUMENTS><ARGUMENTS_STDIN>YES</ARGUMENTS_STDIN>"
            "</TEMPLATE></HOOK>" for number, name in enumerate(names, 1)) + "</HOOK_POOL>")
        for number in range(1, len(names) + 1):
            log = "".join((runs or {}).get(number, [run_record(0, 0)]))
            (self.bin / f"onehook.show.{number}").write_text(f"<HOOK><ID>{number}</ID><HOOKLOG>{log}</HOOKLOG></HOOK>")
        templates = self.front.root / "hooks" / "telemetry" / "templates"
        templates.mkdir(exist_ok=True)
        for name in HOOKS:
            (templates / f"{name}.tmpl").write_text(f'NAME = telemetry-{name}\nTYPE = state\n# COMMAND = "no"\n'
                                                    'COMMAND = "telemetry/vm_event"\n')

    def hosts(self, states):
        (self.bin / "onehost.list").write_text("<HOST_POOL>" + "".join(
            f"<HOST><ID>{number}</ID><NAME>{name}</NAME><STATE>{state}</STATE><IM_MAD>kvm</IM_MAD></HOST>"
            for number, (name, state) in enumerate(states.items())) + "</HOST_POOL>")

    def answer(self, host, text=None, ahead=0):
        """Of a host that is asked by ssh."""
        version = subprocess.run([self.host.probe, "--version"], capture_output=True, text=True, check=True).stdout
        text = text or f"echo $(( $(date +%s) + {ahead} )).500000000; echo '{version.strip()}'\n"
        (self.bin / f"ssh.{host}").write_text(text)

    def both(self, path):
        return [tree.root / path for tree in self.trees]

    def append(self, text):
        for tree in self.trees:
            for kind in ("kvm", "qemu"):
                with open(tree.root / f"etc/im/{kind}-probes.d/telemetry.conf", "a", encoding="utf-8") as conf:
                    conf.write(text)

    def start(self, *options, env=None, user="root"):
        program = args.asan / "commands" / "one-telemetry"
        environment = {"PATH": f"{self.bin}:{os.environ['PATH']}", "HOME": str(self.dir), **SANITIZERS, **(env or {})}
        return subprocess.run([program, "doctor", "--root", self.root, "--user", user, *options], env=environment,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=RUN_SECONDS, check=False)

    def findings(self, *options, **more):
        """[(status, check, place, text, mend)]"""
        run = self.start("--json", *options, **more)
        if run.stderr or run.returncode not in (0, 1):
            raise AssertionError(f"{run.returncode}: {run.stderr}\n{run.stdout}")
        told = json.loads(run.stdout)
        found = [(each["status"], each["check"], each["place"], each["text"], each["mend"] or "")
                 for each in told["findings"]]
        errors = sum(each[0] == "error" for each in found)
        assert (told["errors"], run.returncode) == (errors, 1 if errors else 0), told
        return found

    def forwarder_runs(self):
        run = subprocess.run([self.host.forwarder, "--status", "--json"], capture_output=True, text=True, check=True)
        return json.loads(run.stdout)["running"]

    def picture(self):
        """All that is there: {path: (mode, owner, time, content)}"""
        return {str(path): (os.lstat(path).st_mode, os.lstat(path).st_uid, os.lstat(path).st_mtime_ns,
                            hashlib.sha1(path.read_bytes()).hexdigest() if path.is_file() else None)
                for path in sorted(self.dir.rglob("*"))}


class Doctor(Case):
    """Assertions."""

    def place(self, uri="test:///default", conf=""):
        type(self).hosts += 1
        return Place(self.scratch / f"p{self.hosts}", uri, conf)

    def assert_found(self, findings, status, check, text, mend="", place=None):
        """Just one such finding; its mend matches too. Returns it."""
        found = [each for each in findings if each[0] == status and each[1] == check and place in (None, each[2]) and
                 re.search(text, each[3])]
        listed = "\n".join(map(str, findings))
        self.assertEqual(len(found), 1, f"{status} {check} {text}\n{listed}")
        self.assertRegex(found[0][4], mend or "^")
        return found[0]

    def bad(self, findings):
        return sorted({(status, check) for status, check, *_ in findings if status in ("warning", "error")})

    def sink(self, kind="influxdb1", **options):
        places = {"influxdb1": {"db": "one"}, "influxdb2": {"org": "ops", "bucket": "one"}, "telemetryd": {}}
        server = Standin(kind, places[kind], **options)
        self.addCleanup(server.close)
        return server


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
        place.host.run(host="kvm1")  # makes state and spool
        self.wait_for(lambda: not list(place.spool.glob("one/*.gz")) and not place.forwarder_runs(), 30, "nothing is sent")
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
        self.assert_found(findings, "warning", "balloon", "2 of 2 guests say nothing of their memory.*one-79, one-82",
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
            findings = place.findings("--timeout", "3")
            self.assertLess(time.monotonic() - began, 30)
        finally:
            self.rig.libvirtd("thaw")
            self.settle()
        self.assert_found(findings, "error", "libvirt", "does not answer: not done within 3 s", "systemctl restart libvirtd")
        self.assert_found(findings, "error", "sinks", "one: .* has not answered within 2.4 s", place="host")
        self.assert_found(findings, "error", "hosts", "kvm2 is not reached by ssh: not done within", "ssh .*kvm2 true")
        self.assert_found(findings, "ok", "hosts", "kvm1 has version")
        self.assert_found(findings, "ok", "hooks", "each once")
        self.assert_found(findings, "error", "run", "the probe failed: not done within 2.4 s|nothing to say")

    def test_deep(self):
        """--deep runs the other probes of the directory too: their part of the message, one that fails"""
        place = self.place(self.uri())
        self.assert_found(place.findings("--check", "run"), "skipped", "run", "with the 1 other probe", "--deep")
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
        qemu = place.host.root / "im/qemu-probes.d/vm/monitor/telemetry"
        qemu.write_bytes(qemu.read_bytes() + b"x")
        findings = place.findings("--check", "installed", "--check", "mode")
        self.assert_found(findings, "error", "installed", "telemetry.dpkg-old is executed by OpenNebula",
                          r"rm /var/lib/one/remotes/.*telemetry.dpkg-old\n.*onehost sync --force")
        self.assert_found(findings, "error", "installed", r"\.poll\.rb\.swp is executed")
        self.assert_found(findings, "error", "installed", "may not be executed", f"chmod 755 {place.front.probe}", "front-end")
        self.assert_found(findings, "warning", "installed", "differ", "onehost sync --force", "host")
        self.assert_found(findings, "warning", "mode", "mode is beside, but .*poll.rb may not be executed", place="host")
        place.append("[probe]\nmode = replace\n")
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
        clock = http.server.ThreadingHTTPServer(("127.0.0.1", 0), type("Ahead", (Clock,), {"ahead": 30}))
        threading.Thread(target=clock.serve_forever, daemon=True).start()
        self.addCleanup(clock.server_close)
        self.addCleanup(clock.shutdown)
        text = "".join(f"[sink {kind}]\ntype = {kind}\nurl = {server.url}\n{kinds[kind]}" for kind, server in servers.items())
        text += f"[sink denied]\ntype = influxdb2\nurl = {denied.url}\n{kinds['influxdb2']}"
        text += "[sink absent]\nurl = http://127.0.0.1:9\ndatabase = one\n"
        text += f"[sink clock]\ntype = victoriametrics\nurl = http://127.0.0.1:{clock.server_port}\n"
        findings = self.place(conf=text).findings("--host", "--check", "sinks")
        for kind, server in servers.items():
            self.assert_found(findings, "ok", "sinks", f"^{kind}: {kind} at .* takes what we send")
            self.assertEqual(server.store.points, {}, kind)
            self.assertEqual(len(server.requests), 1)
        self.assert_found(findings, "error", "sinks", "^denied: .* refuses us: 401", r"token_file, .* of \[sink denied\]")
        self.assert_found(findings, "error", "sinks", "^absent: .*Connection refused", "curl -v http://127.0.0.1:9")
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
        place.spool.chmod(0o755)
        place.host.forwarder.unlink()
        findings = place.findings("--host", "--check", "spool")
        self.assert_found(findings, "error", "spool", "mode 0755: it has to be root's alone", f"chmod 700 {place.spool}")
        self.assert_found(findings, "error", "spool", "there is no forwarder", "onehost sync --force")

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
        self.assert_found(findings, "error", "hooks", "telemetry-done is not registered", "onehook create .*/templates/done.tmpl")
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

    def test_libvirt(self):
        """no libvirt: which, why, and how to start it; the probe beside poll.rb has nothing to say"""
        place = self.place("qemu:///system?socket=/nonexistent/sock")
        findings = place.findings("--host", "--check", "libvirt", "--check", "balloon", "--check", "run")
        self.assert_found(findings, "error", "libvirt", "/nonexistent/sock.*No such file", "systemctl enable --now libvirtd")
        self.assert_found(findings, "skipped", "balloon", "No such file")
        self.assert_found(findings, "error", "run", "nothing to say: .*/nonexistent/sock", "--dry-run kvm 0")

    def test_telemetryd(self):
        """a telemetryd that is set up and does not answer, one of another version, a stranger on its port"""
        place = self.place()
        if not pathlib.Path("/run/systemd/system").exists():
            self.assert_found(place.findings("--check", "telemetryd"), "skipped", "telemetryd", "is not set up", "enable --now")
        (place.etc / "telemetry.conf").write_text("[server]\nport = 9\n")
        self.assert_found(place.findings("--check", "telemetryd"), "error", "telemetryd", "does not answer at http://127.0.0.1:9",
                          "journalctl")
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), type("Other", (Clock,), {"do_GET": lambda self: (
            self.send_response(200), self.end_headers(), self.wfile.write(b'{"status":"ok","version":"0.0.1"}'))}))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        (place.etc / "telemetry.conf").write_text(f"[server]\nport = {server.server_port}\n")
        self.assert_found(place.findings("--check", "telemetryd"), "warning", "telemetryd", "that runs is 0.0.1, this is",
                          "systemctl restart one-telemetryd")

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
        self.assertEqual(len(place.start("--list").stdout.splitlines()), 17)
        program = args.asan / "commands" / "one-telemetry"
        for words, status, out, err in ((["version"], 0, "one-telemetry 0", ""), (["--help"], 0, "doctor", ""),
                                        ([], 2, "", "Usage"), (["docter"], 2, "", 'no command "docter"')):
            run = subprocess.run([program, *words], capture_output=True, text=True, check=False, timeout=20)
            self.assertEqual(run.returncode, status, run)
            self.assertIn(out, run.stdout)
            self.assertIn(err, run.stderr)


if __name__ == "__main__":
    raise SystemExit(main())
