#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The state hook: what it takes, queues and says; documents that mean no good; the same event told twice; and what
becomes of events at an endpoint."""
import base64
import fcntl
import gzip
import os
import re
import resource
import shutil
import statistics
import subprocess
import time
import unittest

from forwarding import Sink
from harness import ROOT, args, main
from hooks import RECORDED, HookTree, document, uuid_of
from standin import Standin
from telemetryd import EndpointCase, host_totals, now_ns

DOWN = Sink("down", "http://127.0.0.1:9", database="d")  # so that what is queued stays
XML = RECORDED / "vm-hook.xml"
MEMORY = 100 << 20  # bytes of address space that a bad document may make it take: less than with 50 MB in it
ON_WORDS = {"PROLOG", "RUNNING", "SHUTDOWN", "STOP", "DONE", "UNKNOWN"}
CUSTOM = {("POWEROFF", "LCM_INIT"), ("SUSPENDED", "LCM_INIT"), ("UNDEPLOYED", "LCM_INIT"), ("CLONING_FAILURE", "LCM_INIT"),
          ("ACTIVE", "MIGRATE"), ("ACTIVE", "SAVE_MIGRATE"), ("ACTIVE", "BOOT_FAILURE"), ("ACTIVE", "PROLOG_FAILURE"),
          ("ACTIVE", "EPILOG_FAILURE")}  # of those that OpenNebula 7.4 was seen to take


def laughs():
    entities = "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10}">' for i in range(1, 10))
    return f'<!DOCTYPE VM [<!ENTITY l0 "ha">{entities}]><VM><ID>9</ID><NAME>&l9;</NAME><STATE>3</STATE><LCM_STATE>3</LCM_STATE></VM>'


def encoded(text):
    return base64.b64encode(text if isinstance(text, bytes) else text.encode())


def vm(**texts):
    """A small document: VM(ID=9, …)."""
    inner = "".join(f"<{name}>{text}</{name}>" for name, text in {"ID": 9, "NAME": "web", "STATE": 3, "LCM_STATE": 3, **texts}.items()
                    if text is not None)
    return encoded(f"<VM>{inner}</VM>")


BAD = {  # what comes on standard input, and what is said of it
    "nothing": (b"", "no document came: the hook's template needs ARGUMENTS = \"\\$TEMPLATE\" and ARGUMENTS_STDIN"),
    "blanks": (b"\n \n", "no document came"),
    "not base64": (b"VM 9 is running!", "neither XML nor base64: what can't be in it stands at byte"),
    "binary": (bytes(range(256)), "neither XML nor base64"),
    "cut base64": (encoded(XML.read_bytes())[:-3], "neither XML nor base64: it is cut off"),
    "cut XML": (encoded(XML.read_bytes()[:-100]), "no XML that is taken: line \\d+: "),
    "cut between": (encoded(XML.read_bytes())[:4000], "no XML that is taken: line \\d+: "),
    "not XML": (encoded("hello"), "no XML that is taken: line 1: "),
    "50 MB of base64": (b"QUFB" * (50 << 18), "too large: more than"),
    "50 MB of XML": (b"<VM>" + b" " * (50 << 20), "too large: more than"),
    "17 MB of XML, encoded": (encoded(b"<VM>" + b" " * (17 << 20)), "too large: (it has )?more than"),
    "billion laughs": (encoded(laughs()), "it has a DOCTYPE, which is never taken"),
    "an external entity": (encoded('<!DOCTYPE VM [<!ENTITY x SYSTEM "file:///etc/passwd">]><VM><ID>9</ID><NAME>&x;</NAME>'
                                   "<STATE>3</STATE><LCM_STATE>3</LCM_STATE></VM>"), "it has a DOCTYPE"),
    "a DTD elsewhere": (b'<!DOCTYPE VM SYSTEM "http://127.0.0.1:9/x"><VM/>', "it has a DOCTYPE"),
    "deep": (encoded("<VM>" + "<a>" * 100000), "no XML that is taken"),
    "an API hook's": (encoded("<CALL_INFO><RESULT>1</RESULT></CALL_INFO>"), "API hook \\(<CALL_INFO>\\): vm_event is a state hook"),
    "a host": (encoded("<HOST><ID>0</ID></HOST>"), "is a <HOST>, not a <VM>"),
    "no ID": (vm(ID=None), "has no <ID>"),
    "negative ID": (vm(ID=-9), '<ID> is "-9": expected a number from 0 to 2147483647'),
    "too large an ID": (vm(ID=2**31), '<ID> is "2147483648"'),
    "an ID that is none": (vm(ID="nine"), '<ID> is "nine"'),
    "no state": (vm(STATE=None), "has no <STATE>"),
    "a state in words": (vm(STATE="ACTIVE"), '<STATE> is "ACTIVE": expected a number'),
    "a negative state": (vm(LCM_STATE=-1), '<LCM_STATE> is "-1"'),
}


class Taking(EndpointCase):
    """What the hook takes and says. The sink is down: what is queued stays."""
    sanitized = True

    def tree(self, *sinks, build=None, **options):
        type(self).hosts += 1
        return HookTree(self.scratch / f"tree-{self.hosts}", build or args.asan, *(sinks or (DOWN,)), **options)

    def test_ways_to_give_it(self):
        """vm_event: a document on standard input or as the argument, base64 or XML, is the same; one line tells of it"""
        tree, plain = self.tree(), XML.read_bytes()
        recorded = (RECORDED / "vm-hook-stdin.b64").read_bytes()
        broken = b"\n".join(recorded[i:i + 76] for i in range(0, len(recorded), 76)) + b"\n"
        lines = set()
        for given, words in ((recorded, ()), (broken, ()), (plain, ()), (b"junk", (recorded,)), (b"", (plain,)), (b"", ("--", recorded))):
            told = tree.give(given, "--dry-run", *words)
            self.assertEqual((told.status, told.err), (0, ""), told)
            lines.add(told.out)
        self.assertEqual(len(lines), 1)
        self.assertEqual(re.findall("^vm_[a-z]+,VMID=9,host=localhost", lines.pop(), re.M),
                         ["vm_info,VMID=9,host=localhost", "vm_events,VMID=9,host=localhost"])
        self.assertFalse(tree.spool.exists() or tree.state.exists(), "a dry run makes nothing")
        told = tree.give(recorded)
        self.assertEqual((told.status, told.out, told.err),
                         (0, "VM 9 lab-idle: ACTIVE/RUNNING on localhost, queued for 1 sink\n", ""))
        self.assertEqual(len([name for name in tree.waiting("down") if name.endswith(".gz")]), 1)
        for name in ("w\xe9b \u4e09".encode(), b"w\xe9b"):  # also one that is no UTF-8
            xml = plain.replace(b"<NAME>lab-idle", b"<NAME>" + name, 1)
            given, word = tree.give(xml, "--dry-run"), tree.give(b"", "--dry-run", xml)
            self.assertEqual((word.status, word.err, word.out), (0, "", given.out), word)
            self.assertRegex(word.out, 'vm_name="w.b')

    def test_cost(self):
        """vm_event: an event costs less than 50 ms of CPU"""
        tree, spent = self.tree(build=args.build), []
        given = (RECORDED / "vm-hook-stdin.b64").read_bytes()
        for _ in range(20):
            process = tree.start()
            process.stdin.write(given)
            process.stdin.close()
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            self.assertEqual((process.returncode, process.stderr.read()), (0, b""))
            spent.append(usage.ru_utime + usage.ru_stime)
            process.stdout.close()
            process.stderr.close()
        self.assertLess(statistics.median(spent), 0.050, spent)

    def test_bad_documents(self):
        """vm_event: whatever comes that is no document of a VM ends with status 3, one line, and nothing queued"""
        tree = self.tree(build=args.build)
        for name, (given, said) in BAD.items():
            with self.subTest(name):
                told = tree.give(given, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY)))
                self.assertEqual((told.status, told.out), (3, ""), told)
                self.assertRegex(told.err, f"^vm_event: [^\n]*{said}[^\n]*\n$")
        self.assertFalse(tree.spool.exists() or tree.state.exists())
        sanitized = self.tree()
        for name, (given, _) in BAD.items():
            with self.subTest(f"{name}, sanitized"):
                self.assertEqual(sanitized.give(given).status, 3)

    def test_strange_documents(self):
        """vm_event: states this version does not know, control characters and a VM without a host are taken"""
        tree = self.tree()
        for given, said in (
                (vm(STATE=99, LCM_STATE=0), "VM 9 web: 99, queued for 1 sink; its state's number is not known to this version\n"),
                (vm(LCM_STATE=250), "VM 9 web: ACTIVE/250, queued for 1 sink; its state's number is not known to this version\n"),
                (vm(NAME="a\x1b[31m\x07\x7fb"), "VM 9 a [31m \\x7Fb: ACTIVE/RUNNING, queued for 1 sink\n"),
                (vm(NAME="<![CDATA[two\nlines \\ \"q\"]]>"), "VM 9 two\\nlines \\ \"q\": ACTIVE/RUNNING, queued for 1 sink\n"),
                (vm(NAME=None), "VM 9: ACTIVE/RUNNING, queued for 1 sink\n"),
                (vm(ID=0, STATE=6, LCM_STATE=0), "VM 0 web: DONE, queued for 1 sink\n")):
            told = tree.give(given)
            self.assertEqual((told.status, told.out, told.err), (0, said, ""))
        lines = tree.give(vm(NAME="a\x1b[31m\nb,c=d \"e\"\\", UNAME="x" * 10000), "--dry-run").out
        self.assertEqual(len(lines.splitlines()), 2, lines)
        self.assertIn('vm_name="a [31m b,c=d \\"e\\"\\\\"', lines)

    def test_usage_and_configuration(self):
        """vm_event: wrong options or configuration are status 2, no sink is none; nothing is lost silently"""
        tree = self.tree()
        for words in (("--nonsense",), ("a", "b"), ("--config", "/nowhere/telemetry.conf")):
            told = tree.give(b"", *words)
            self.assertEqual((told.status, told.out), (2, ""), told)
            self.assertRegex(told.err, r"^vm_event: [^\n]+\n$")
        self.assertRegex(tree.give(b"", "--help").out, "Exit status: 0 done, 1 it could not be queued")
        self.assertRegex(tree.give(b"", "--version").out, r"^vm_event \(one-telemetry\) \d+\.\d+\.\d+\n$")
        tree.configure(more="[sink x]\nurl = ftp://x\n")
        told = tree.tell(document(9, "POWEROFF"))
        self.assertEqual(told.status, 2, told)
        self.assertRegex(told.err, f"^vm_event: {tree.conf}: .*\\[sink x\\] url: expected http:// or https:// in front")
        tree.configure()
        told = tree.tell(document(9, "POWEROFF"))
        self.assertEqual((told.status, told.err), (0, ""), told)
        self.assertEqual(told.out, f"VM 9 web-9: POWEROFF on kvm1, goes nowhere: no sink is configured in {tree.conf}\n")
        tree.configure(DOWN)
        (tree.hook.parent / "forward").unlink()
        told = tree.tell(document(9, "POWEROFF"))
        self.assertEqual((told.status, told.out), (2, ""), told)
        self.assertRegex(told.err, "^vm_event: VM 9 web-9: POWEROFF on kvm1: what is queued for the sinks is not sent: there is no forwarder")

    def test_full_and_retried(self):
        """vm_event: what can't be queued is status 1; told again it is queued"""
        tree = self.tree(build=args.build)
        text = document(9, "UNKNOWN")
        tree.spool.write_text("no directory")
        told = tree.tell(text)
        self.assertEqual((told.status, told.out), (1, ""), told)
        self.assertRegex(told.err, f"^vm_event: VM 9 web-9: ACTIVE/UNKNOWN on kvm1: not queued: {tree.spool}[^\n]*\n$")
        tree.spool.unlink()
        told = tree.tell(text)
        self.assertEqual((told.status, told.err), (0, ""), told)

    def test_closed_descriptors(self):
        """vm_event: with its standard descriptors closed no file of ours gets what it says"""
        tree = self.tree()
        for closed, status, err in ((">&-", 1, "vm_event: cannot write to standard output: Bad file descriptor\n"), (">&- 2>&-", 1, "")):
            got = subprocess.run(["sh", "-c", f'exec "$0" {closed}', str(tree.hook)], input=vm(), capture_output=True, timeout=60,
                                 check=False)
            self.assertEqual((got.returncode, got.stdout, got.stderr.decode()), (status, b"", err))
        got = subprocess.run(["sh", "-c", 'exec "$0" <&-', str(tree.hook)], capture_output=True, timeout=60, check=False)
        self.assertEqual((got.returncode, got.stdout), (3, b""), got)
        self.assertRegex(got.stderr, b"no document came")
        names = [name for name in tree.waiting("down") if name.endswith(".gz")]
        self.assertEqual(len(names), 2)
        for name in names:
            lines = gzip.decompress((tree.spool / "down" / name).read_bytes()).decode().splitlines()
            self.assertEqual([line.split(",")[0] for line in lines], ["vm_info", "vm_events"])
        self.assertRegex((tree.state / "events" / "9").read_text(), r"\A[0-9a-f]{64} \d+ 0\n\Z")

    @unittest.skipUnless(os.geteuid() == 0, "needs root: a mount namespace")
    def test_which_configuration(self):
        """vm_event: the hosts' configuration goes before the front-end's, unless that has no sink"""
        tree = self.tree()
        etc = self.scratch / "etc"
        shutil.copytree("/etc", etc, symlinks=True, ignore=shutil.ignore_patterns("one"))
        (etc / "one").mkdir()
        (etc / "one" / "telemetry.conf").write_text(tree.conf.read_text().replace("[sink down]", "[sink front]"))
        script = f'mount --bind "{etc}" /etc && exec "$0"'
        for conf, queues in ((tree.conf.read_text(), ["down"]), ("[log]\n", ["down", "front"])):
            tree.conf.write_text(conf)
            got = subprocess.run(["unshare", "-m", "sh", "-ec", script, str(tree.hook)], input=vm(), capture_output=True,
                                 timeout=60, check=False)
            self.assertEqual((got.returncode, got.stderr), (0, b""), got)
            self.assertEqual([name for name in ("down", "front") if tree.waiting(name)], queues)


class Twice(EndpointCase):
    """The same event told again is one point."""

    def tree(self, *sinks):
        type(self).hosts += 1
        return HookTree(self.scratch / f"tree-{self.hosts}", args.build, *sinks)

    def points(self, server, want):
        """The vm_events that have come, when there are as many as wanted and no more come."""
        def events():
            return sorted((dict(tags)["lcm_state"], at) for (name, tags, at) in list(server.store.points) if name == "vm_events")
        self.settles(lambda: len(events()) >= want, "no events")
        time.sleep(0.3)
        self.assertEqual(len(events()), want, events())
        return events()

    def server(self):
        server = Standin("influxdb1", {"db": "telemetry"})
        self.addCleanup(server.close)
        return server, Sink("one", server.url, database="telemetry")

    def test_side_by_side(self):
        """vm_event: eight hooks of one event that has no stamp, side by side, are one point; when it comes again, another"""
        server, sink = self.server()
        tree = self.tree(sink)
        text = document(9, "UNKNOWN")
        for round in range(2):
            given = [tree.start() for _ in range(8)]
            for process in given:
                told = tree.finish(process, encoded(text))
                self.assertEqual((told.status, told.err), (0, ""), told)
            self.assertEqual([state for state, _ in self.points(server, 1 + 2 * round)].count("UNKNOWN"), 1 + round)
            tree.tell(document(9, "BACK"))
            self.points(server, 2 + 2 * round)
        self.assertTrue((tree.state / "events" / "9").exists())
        tree.tell(document(9, "DONE", ended=time.time()))
        self.assertEqual(os.listdir(tree.state / "events"), [])

    def test_waits_for_the_other(self):
        """vm_event: while another hook notes an event of the VM it is waited for, but not for long"""
        server, sink = self.server()
        tree = self.tree(sink)
        tree.tell(document(9, "UNKNOWN"))
        with open(tree.state / "events" / "9", "rb") as kept:
            fcntl.flock(kept, fcntl.LOCK_EX)
            waiting = tree.start()
            waiting.stdin.write(encoded(document(9, "BACK")))
            waiting.stdin.close()
            waiting.stdin = None
            time.sleep(0.5)
            self.assertIsNone(waiting.poll())
            other = tree.tell(document(10, "BACK"))  # another VM's
            self.assertEqual((other.status, other.err), (0, ""), other)
            told = tree.finish(waiting, None)
        self.assertEqual((told.status, told.out), (0, "VM 9 web-9: ACTIVE/RUNNING on kvm1, queued for 1 sink\n"), told)
        self.assertRegex(told.err, "^vm_event: .*/events/9: Device or resource busy; told again, this event would be another one\n$")
        self.points(server, 3)

    def test_retried_later(self):
        """vm_event: an event with a stamp is one point whenever it is told; without one for an hour; not of the future"""
        server, sink = self.server()
        tree = self.tree(sink)
        stamp = int(time.time()) - 86400
        kept = tree.state / "events" / "9"
        for _ in range(2):
            tree.tell(document(9, "POWEROFF", ended=stamp))
        self.assertEqual(self.points(server, 1), [("LCM_INIT", stamp * 10**9)])
        tree.tell(document(9, "SHUTDOWN_POWEROFF", stamp + 10))
        self.points(server, 2)
        checksum, moment, latest = kept.read_text().split()
        for moved, same in ((-3500, True), (-3700, False), (10, False)):  # s; the last is of a clock that was set back since
            known, before = {at for _, at in self.points(server, len(server.store.points) // 2)}, now_ns()
            moment = int(moment) + moved * 10**9
            kept.write_text(f"{checksum} {moment} {latest}\n")
            told = tree.tell(document(9, "SHUTDOWN_POWEROFF", stamp + 10))
            self.assertEqual((told.status, told.err), (0, ""))
            at, = {at for _, at in self.points(server, len(known) + 1)} - known
            self.assertTrue(at == moment if same else before <= at <= now_ns(), f"{moved}: {at}")
            moment = kept.read_text().split()[1]
        kept.write_text("half a li")
        self.assertEqual(tree.tell(document(9, "SHUTDOWN_POWEROFF", stamp + 10)).status, 0)
        before = now_ns()
        tree.tell(document(10, "POWEROFF", ended=stamp + 2 * 86400))
        told = [at for (_, at) in self.points(server, 7) if at > before - 10**9]
        self.assertTrue(told and all(at < now_ns() for at in told), told)

    def test_old_one_without_a_time(self):
        """vm_event: an old document that does not say when it was is not taken for news when it is tried again"""
        server, sink = self.server()
        tree = self.tree(sink)
        began = int(time.time()) - 1000
        back = document(9, "BACK", began)
        tree.tell(document(9, "UNKNOWN", began))
        tree.tell(document(9, "POWEROFF", began, began + 500))
        told = tree.tell(back)
        self.assertEqual((told.status, told.err), (0, ""), told)
        self.assertEqual(told.out, "VM 9 web-9: ACTIVE/RUNNING on kvm1, is not queued: a later document of the VM was told "
                                   "since, and this one does not say when it was\n")
        tree.tell(document(9, "POWEROFF", began, began + 500))  # which says so
        self.points(server, 2)
        tree.tell(document(9, "RESUMED", began + 600))
        tree.tell(document(9, "UNKNOWN", began + 600))
        self.points(server, 4)
        kept = tree.state / "events" / "9"
        kept.write_text(" ".join([*kept.read_text().split()[:2], str(int(time.time()) + 5000)]) + "\n")  # a clock that was ahead
        self.assertNotIn("not queued", tree.tell(document(9, "BACK", began + 600)).out)

    def test_state_that_cannot_be_kept(self):
        """vm_event: where the moment of an event can't be kept it is queued all the same, and that is said"""
        tree = self.tree(DOWN)
        tree.state.write_text("no directory")
        told = tree.tell(document(9, "UNKNOWN"))
        self.assertEqual((told.status, told.out), (0, "VM 9 web-9: ACTIVE/UNKNOWN on kvm1, queued for 1 sink\n"), told)
        self.assertRegex(told.err, f"^vm_event: {tree.state}[^\n]*; told again, this event would be another one\n$")


class Endpoint(EndpointCase):
    """What becomes of events at a telemetryd, by way of spool and forwarder."""
    sanitized = True

    def setUp(self):
        self.endpoint = self.daemon()
        type(self).hosts += 1
        self.tree = HookTree(self.scratch / f"tree-{self.hosts}", args.build,
                             Sink("endpoint", self.endpoint.url, type="telemetryd"))

    def probe(self, vm_id, at=None, name="old", uuid=None):
        """A collection of kvm1, as a probe sends it, with the names that the VM had when it was deployed."""
        at = now_ns() if at is None else at
        tags = f"VMID={vm_id},host=kvm1,uuid={uuid or uuid_of(vm_id)}"
        self.endpoint.write(f"vm_totals,{tags},name=one-{vm_id} state=1i,cputime={at - 10**18}i,memory_max=1024i {at}\n"
                            f'vm_info,{tags} vm_name="{name}",uname="bob",gname="bobs",uid="7" {at}\n' + host_totals(at))

    def tell(self, *what, **more):
        told = self.tree.tell(document(*what, **more))
        self.assertEqual((told.status, told.err), (0, ""), told)

    def live(self):
        return {each["vm_id"]: each for each in self.endpoint.json("live-vms")["vms"]}

    def metrics(self, vm_id):
        return self.endpoint.json(f"vm-stats/{vm_id}")["metrics"]

    def test_life(self):
        """vm_event: PROLOG lists nobody, RUNNING does, POWEROFF and DONE end at once, a resumed VM comes back"""
        began = int(time.time()) - 60
        self.tell(9, "PROLOG", began)
        self.settles(lambda: self.endpoint.json("events?vm_id=9")["count"] == 1, "no event")
        self.assertEqual(self.live(), {})
        self.tell(9, "RUNNING", began + 2)
        vm = self.settles(lambda: self.live().get(9), "it is not listed")
        self.assertEqual((vm["vm_name"], vm["uname"], vm["gname"], vm["uuid"], vm["host"], vm["telemetry"], vm["one_lcm_state"]),
                         ("web-9", "alice", "users", uuid_of(9), "kvm1", "missing", "RUNNING"))
        ended = int(time.time())
        self.probe(9, ended * 10**9 + 100)  # in the very second in which it ends
        self.tell(9, "SHUTDOWN_POWEROFF", began + 2)
        self.tell(9, "POWEROFF", began + 2, ended)
        self.settles(lambda: 9 not in self.live(), "it is still listed")
        self.probe(9, ended * 10**9 + 200)
        self.assertEqual(self.live(), {})
        self.tell(9, "RESUMED", ended + 1)
        vm = self.settles(lambda: self.live().get(9), "it is not listed again")
        self.assertEqual(vm["one_lcm_state"], "RUNNING")
        self.probe(9, (ended + 2) * 10**9)
        self.tell(9, "DONE", ended + 1, ended + 3)
        self.settles(lambda: 9 not in self.live(), "it is still listed")
        monitored = [each for each in self.endpoint.json("monitored-vms")["vms"] if each["vm_id"] == 9]
        self.assertEqual([each["live"] for each in monitored], [False])
        told = [each for each in self.endpoint.json("events?vm_id=9")["events"] if each["source"] == "opennebula"]
        self.assertEqual(sorted(each["lcm_state"] if each["state"] == "ACTIVE" else each["state"] for each in told),
                         ["DONE", "POWEROFF", "PROLOG", "RUNNING", "RUNNING", "SHUTDOWN_POWEROFF"])

    def test_names(self):
        """vm_event: a renamed, chowned, locked or relabelled VM is so at once, stays so over probes and a restart, and is freed again"""
        self.probe(83)
        self.assertEqual(self.live()[83]["vm_name"], "old")
        self.tell(83, "BACK", changes={"LOCK/LOCKED": 1, "USER_TEMPLATE/LABELS": "prod,<b>", "TEMPLATE/TEMPLATE_ID": 3})
        wanted = {"vm_name": "web-83", "uname": "alice", "uid": "2", "gname": "users", "gid": "100", "lock": "use",
                  "labels": "prod,<b>", "template_id": "3", "cpu_requested": "0.1", "vcpu_requested": "1",
                  "memory_requested": "32", "info_source": "opennebula"}
        def has(texts):
            got = self.metrics(83)
            return {key: got.get(key) for key in texts} == texts
        self.settles(lambda: self.metrics(83)["vm_name"] == "web-83", "not told")
        self.assertEqual({key: self.metrics(83).get(key) for key in wanted}, wanted)
        self.assertRegex(self.metrics(83)["host_history"], r"^0 kvm1 .*\.\.$")
        for _ in range(2):
            self.probe(83)
            self.assertTrue(has(wanted), self.metrics(83))
            time.sleep(0.01)
        self.endpoint.restart()
        self.assertTrue(has(wanted), self.metrics(83))
        self.probe(83)
        self.assertTrue(has(wanted), self.metrics(83))
        self.tell(83, "UNKNOWN", changes={"NAME": "renamed", "UNAME": "carol"})
        freed = {"vm_name": "renamed", "uname": "carol", "lock": "", "labels": "", "template_id": ""}
        self.settles(lambda: has(freed), "not told again")
        self.assertEqual(self.live()[83]["one_lcm_state"], "UNKNOWN")
        self.assert_described(self.endpoint)

    def test_old_word(self):
        """vm_event: a document that is told again after others, and after a restart, changes nothing"""
        began = int(time.time()) - 100
        self.tell(9, "RUNNING", began, changes={"NAME": "old"})
        self.tell(9, "POWEROFF", began, began + 20, changes={"NAME": "old"})
        self.tell(9, "RESUMED", began + 40)
        self.settles(lambda: self.live().get(9, {}).get("vm_name") == "web-9", "not told")
        for _ in range(2):
            self.tell(9, "PROLOG", began - 5, changes={"NAME": "ancient"})
            self.settles(lambda: self.endpoint.json("events?vm_id=9")["count"] >= 4, "it did not come")
            self.tell(9, "POWEROFF", began, began + 20, changes={"NAME": "ancient"})
            self.tell(10, "RUNNING", now_ns() // 10**9)
            self.settles(lambda: 10 in self.live(), "what comes behind it did not come")
            vm = self.live()[9]
            self.assertEqual((vm["vm_name"], vm["one_lcm_state"]), ("web-9", "RUNNING"))
            self.endpoint.restart()


class Templates(EndpointCase):

    def test_templates(self):
        """hooks/templates: each has just what OpenNebula 7.4 takes, calls the hook as it is installed, and has a name of its own"""
        seen = {}
        for path in sorted((ROOT / "hooks" / "templates").iterdir()):
            lines = path.read_text().splitlines()
            pairs = [re.fullmatch(r'([A-Z_]+) *= "([^"]*)"', line) for line in lines]
            self.assertTrue(all(pairs), path)
            keys = dict(pair.groups() for pair in pairs)
            self.assertEqual(len(keys), len(lines), path)
            on = keys.pop("ON")
            state = keys.pop("STATE", None), keys.pop("LCM_STATE", None)
            self.assertTrue(state in CUSTOM if on == "CUSTOM" else on in ON_WORDS and state == (None, None), path)
            self.assertEqual(keys, {"NAME": f"telemetry-{path.stem}", "TYPE": "state", "RESOURCE": "VM",
                                    "COMMAND": "telemetry/vm_event", "ARGUMENTS": "$TEMPLATE", "ARGUMENTS_STDIN": "YES",
                                    "REMOTE": "NO", "TIMEOUT": "30"}, path)
            self.assertNotIn((on, state), seen, path)
            seen[on, state] = path
        self.assertEqual({on for on, _ in seen} - {"CUSTOM"}, ON_WORDS)
        self.assertEqual({state for on, state in seen if on == "CUSTOM"}, CUSTOM)


if __name__ == "__main__":
    raise SystemExit(main())
