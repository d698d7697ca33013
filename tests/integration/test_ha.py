#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Several front-ends (docs/opennebula.md, in whose configurations this runs): two of them, a floating address, a host that
feeds both, a desk that looks, each a network namespace of the test's own; and the same installed on the front-ends of a
stand-in OpenNebula, whose hooks it runs. No guests."""
import base64
import http.client
import re
import socket
import subprocess
import time

from cloud_case import REMOTES, CloudCase
from forwarding import Forwarding
from harness import ROOT, args, main
from network import Network
from replayed import FLEET, at, lines
from telemetryd import API, SECOND, EndpointCase, Events, Telemetryd, now_ns, totals

PAGE = (ROOT / "docs" / "opennebula.md").read_text()
FRONT_ENDS = {"fe1": "10.77.0.11", "fe2": "10.77.0.12"}
FLOATING, HOST, DESK, PORT = "10.77.0.100", "10.77.0.21", "10.77.0.31", 4126
ON_HOST, WITH_EVENTS, ON_OTHER = {79, 82, 83, 84, 85}, 9, 900  # VMs: of the recordings, of the documents, made up
CYCLE_S, SOON_S = 0.25, 20
TOKENS = {"read": "token-to-look", "write": "token-to-feed", "telemetryd": "token-to-feed"}
RECORDED = ROOT / "tests" / "golden" / "recorded"
# what a test changes of the page's configurations: where things are, and no waiting
ALSO = """connect_timeout = 0.5
timeout = 2
"""
PLACES = """
[spool]
dir = {spool}
[forward]
program = {forward}
linger = 0.5
"""


def block(mark, kind="ini"):
    """What the page has behind that mark."""
    return re.search(rf"<!-- {mark} -->\n```{kind}\n(.*?)```", PAGE, re.S)[1]


class Seen:
    """A telemetryd at an address, asked from the desk."""
    ask, json, vms = Telemetryd.ask, Telemetryd.json, Telemetryd.vms
    desk, address, token = None, None, None

    @classmethod
    def at(cls, desk, address):
        """desk: what has connect() as a Machine has."""
        made = cls()
        made.desk, made.address, made.token = desk, address, TOKENS["read"]
        return made

    def connect(self, timeout=30, source=None):
        connection = http.client.HTTPConnection(self.address, PORT, timeout=timeout)
        connection.sock = self.desk.connect(self.address, PORT, timeout)
        return connection

    def times(self, vm_id):
        """Those of the samples in its history."""
        told = self.json(f"history/{vm_id}?metric=memory_usage_percent&from=-5m")
        assert told["tier"] == "raw", told
        return [point[0] for point in told["series"][0]["points"]]

    def events(self, vm_id):
        """OpenNebula's."""
        told = self.json(f"events?vm_id={vm_id}")["events"]
        return sorted((event["time"], event["state"], event["lcm_state"]) for event in told if event["source"] == "opennebula")


def secrets(directory):
    """The page's files of tokens, beside a configuration in that directory."""
    (directory / "secrets").mkdir(parents=True)
    for name, token in TOKENS.items():
        path = directory / "secrets" / f"{name}.token"
        path.touch(mode=0o600)
        path.write_text(token)


def without_tls():
    """The page's section for telemetryd."""
    return re.sub(r"^(cert|key)_file.*\n", "", block("telemetryd"), flags=re.M)


def sinks(text):
    """The page's sinks, at the addresses of this network."""
    for name, address in FRONT_ENDS.items():
        text = text.replace(f"https://{name}.example.net:", f"http://{address}:")
    return re.sub(r"^(token_file = .*\n)", rf"\1{ALSO}", text, flags=re.M)


class FrontEnd(Seen, Telemetryd):
    """A telemetryd, and a vm_event for when it leads."""

    def __init__(self, case, name):
        self.address, self.desk = FRONT_ENDS[name], case.desk
        self.machine = case.network.machine(self.address)
        home = case.home / name
        secrets(home)
        super().__init__(home, args.build / "serve" / "telemetryd")
        self.token = TOKENS["read"]
        self.hooks = home / "remotes.conf"
        self.spool = home / "spool"
        self.hooks.write_text(sinks(block("hosts and hooks")) + f"[probe]\nstate_dir = {home / 'hook'}\n" +
                              PLACES.format(spool=self.spool, forward=args.build / "hooks" / "forward"))

    def configure(self):
        self.conf.write_text(f"{without_tls()}state_dir = {self.state}\n")

    def command(self):
        return self.machine.inside(super().command())

    def run(self, command, text=""):
        got = subprocess.run(self.machine.inside(command), input=text, capture_output=True, text=True, timeout=30)
        if got.returncode:
            raise AssertionError(got)
        return got.stdout

    def event(self, name):
        """What onehem does on the leader for this recorded document, as if it was of now."""
        document = (RECORDED / name).read_text()
        stamps = [int(stamp) for stamp in re.findall(r"\b1795\d{6}\b", document)]
        later = int(time.time()) - max(stamps)
        document = re.sub(r"\b1795\d{6}\b", lambda found: str(int(found[0]) + later), document)
        self.run([args.build / "hooks" / "vm_event", "--config", self.hooks], base64.b64encode(document.encode()).decode())

    def forward_once(self):
        """The page's line for cron."""
        command = block("cron", "text").split()[6:]
        self.run([args.build / "hooks" / command[0].split("/")[-1], "--config", self.hooks, *command[1:]])

    def waiting(self, sink):
        return len(list((self.spool / sink).glob("*.lp.gz")))


class Host(Forwarding):
    """Its probe sees what was recorded, at another time each cycle."""

    def __init__(self, case, machine, name, conf, text):
        self.machine, self.text, self.times = machine, text, []
        super().__init__(case.home / name, args.build / "hooks" / "forward")
        secrets(self.dir)
        self.conf.write_text(conf + PLACES.format(spool=self.spool, forward=self.program))
        self.names = re.findall(r"^\[sink (.*)\]", conf, re.M)
        case.addCleanup(self.close)

    def command(self, *options):
        return self.machine.inside(super().command(*options))

    def cycle(self, count=1):
        """So many, and each time a forwarder begins, unless one is at work."""
        for _ in range(count):
            now = now_ns()
            self.times.append(now)
            self.queue([at(self.text, now)], self.names, begin=now)
            self.start()
            time.sleep(CYCLE_S)


class SeveralFrontEnds(EndpointCase):
    def setUp(self):
        super().setUp()
        self.home = self.scratch / self._testMethodName
        self.network = Network()
        self.addCleanup(self.network.close)
        self.desk = self.network.machine(DESK)
        self.fe1, self.fe2 = (self.front_end(name) for name in FRONT_ENDS)
        self.fe1.machine.take(FLOATING)
        self.floating = Seen.at(self.desk, FLOATING)
        self.machine = self.network.machine(HOST)
        self.host = Host(self, self.machine, "host", sinks(block("hosts and hooks")), lines(self.probe(), *FLEET))

    def front_end(self, name):
        made = FrontEnd(self, name)
        self.addCleanup(self.end, made)
        return made

    def has_all(self, *front_ends):
        """Each has every cycle of the host in its history of a VM, once, and no other."""
        for front_end in front_ends:
            self.settles(lambda: self.host.run("--once") and len(front_end.times(83)) >= len(self.host.times),  # noqa: B023
                         f"{front_end.address}: not all of {len(self.host.times)} cycles", SOON_S)
            self.assertEqual(len(front_end.times(83)), len(self.host.times), front_end.address)
        self.assertEqual(self.fe1.times(83), self.fe2.times(83))

    def live(self, seen):
        """Whether that one's figures of the host's VMs are of the last cycle."""
        vms, now = seen.vms(), time.time()
        oldest = now - self.host.times[-1] / SECOND + CYCLE_S / 2
        return ON_HOST <= set(vms) and all(vm["telemetry"] == "ok" and vm["sample_age_seconds"] < oldest
                                           for vm_id, vm in vms.items() if vm_id in ON_HOST)

    def assert_live(self, *those):
        for seen in those:
            self.settles(lambda: self.live(seen), f"{seen.address}: {seen.vms()}", SOON_S)  # noqa: B023

    def test_killed(self):
        """several front-ends: one is killed: the other shows all at the floating address, and the first gets what it missed"""
        other = Host(self, self.machine, "other", f"[sink floating]\ntype = telemetryd\nurl = http://{FLOATING}:{PORT}\n"
                     f"token_file = secrets/telemetryd.token\n{ALSO}", totals(ON_OTHER, 0, host="kvm9"))
        self.host.cycle(4)
        other.cycle(2)
        self.fe1.event("vm-hook.xml")
        self.assert_live(self.fe1, self.fe2, self.floating)
        for each in (self.fe1, self.fe2):
            self.settles(lambda: each.events(WITH_EVENTS), f"{each.address}: no event", SOON_S)  # noqa: B023
            self.assertEqual(each.vms()[WITH_EVENTS]["vm_name"], "lab-idle")
        self.settles(lambda: ON_OTHER in self.floating.vms(), "not fed", SOON_S)
        tag = self.floating.ask("GET", f"{API}/vm-telemetry")[1]["ETag"]
        with Events(self.floating) as events:
            last = events.until("snapshot")[0]

        self.fe1.kill()
        self.fe2.machine.take(FLOATING)
        status, headers, _ = self.floating.ask("GET", f"{API}/vm-telemetry", headers={"If-None-Match": tag})
        self.assertEqual(status, 200)
        self.assertNotEqual(headers["ETag"], tag)
        with Events(self.floating, last) as events:
            _, kind, told = events.next()  # of the other host nothing
            self.assertEqual((kind, {vm["vm_id"] for vm in told["vms"]}), ("snapshot", ON_HOST | {WITH_EVENTS}))
        self.assertEqual(self.floating.times(83), self.fe2.times(83))
        self.assertEqual(self.floating.ask("GET", "/")[0], 200)
        self.host.cycle(4)
        self.assert_live(self.floating)
        self.fe2.event("vm-hook-poweroff.xml")
        self.settles(lambda: WITH_EVENTS not in self.floating.vms(), "its end is not known", SOON_S)
        self.settles(lambda: not self.host.waiting("fe2"), "fe2 waits too", SOON_S)
        self.assertGreaterEqual(len(self.host.waiting("fe1")), 4)
        self.assertGreater(self.host.status("fe1")["failures"], 0)
        self.settles(lambda: self.fe2.machine.processes() == [self.fe2.process.pid], "its forwarder does not end", SOON_S)

        self.fe1.start()
        self.assertIn(WITH_EVENTS, self.fe1.vms())
        self.host.cycle(2)
        self.has_all(self.fe1, self.fe2)
        self.assert_live(self.fe1, self.fe2, self.floating)
        self.assertEqual(self.fe2.waiting("fe1"), 1)
        self.settles(lambda: self.fe2.forward_once() or not self.fe2.waiting("fe1"), "the event does not go", SOON_S)
        self.assertNotIn(WITH_EVENTS, self.fe1.vms())
        self.assertEqual([state for _, state, _ in self.fe1.events(WITH_EVENTS)], ["ACTIVE", "POWEROFF"])
        self.assertEqual(self.fe1.events(WITH_EVENTS), self.fe2.events(WITH_EVENTS))

    def test_cut(self):
        """several front-ends: one hears and says nothing more: the other is fed as before; afterwards both have the same"""
        self.host.cycle(3)
        self.assert_live(self.fe1, self.fe2)
        self.fe1.machine.cut()
        self.fe2.machine.take(FLOATING)
        for _ in range(3):
            self.host.cycle(2)
            self.assert_live(self.floating)
        self.settles(lambda: self.host.status("fe1")["failures"], "not told", SOON_S)
        self.fe1.machine.drop(FLOATING)  # as OpenNebula does on a follower
        self.fe1.machine.mend()
        self.host.cycle(2)
        self.has_all(self.fe1, self.fe2)
        self.assert_live(self.fe1, self.fe2, self.floating)


class Installed(CloudCase):
    """The page followed to the letter, on two front-ends in HA."""
    kvm_hosts, front_ends = ("kvm1",), ("one-1", "one-2")
    settles = EndpointCase.settles

    def connect(self, address, port, timeout):
        """From a host, as Machine.connect."""
        with self.cloud.hosts["kvm1"].machine.network():
            return socket.create_connection((address, port), timeout)

    def install(self, front):
        subprocess.run(["make", "-s", "-o", "all", "install", f"BUILD={args.build}", f"DESTDIR={front.path('/')}"], cwd=ROOT,
                       check=True, capture_output=True, timeout=60)
        tree = f"{REMOTES}/etc/im/kvm-probes.d"
        sinks_here = re.sub(r"https://fe(\d).example.net", r"http://one-\1", block("hosts and hooks"))
        front.write(f"{tree}/telemetry.conf", sinks_here + "[forward]\nlinger = 1\n")
        front.write("/etc/one/telemetry.conf", without_tls())
        for directory in (tree, "/etc/one"):
            for name, token in TOKENS.items():
                front.write(f"{directory}/secrets/{name}.token", token, 0o600)
        front.run("systemctl", "enable", "--now", "one-telemetryd", check=0)

    def test_events(self):
        """several front-ends: hooks registered once, vm_event on the leader alone, every telemetryd has the events, once"""
        fronts = self.cloud.fronts
        for front in fronts.values():
            self.install(front)
        for template in sorted((ROOT / "hooks" / "templates").iterdir()):
            self.one("onehook", "create", input=template.read_text())
        self.cloud.sync("--force")
        seen = {name: Seen.at(self, front.address) for name, front in fronts.items()}
        floating = Seen.at(self, self.cloud.floating)
        vm = self.cloud.add_vm(WITH_EVENTS)

        vm.do("poweroff")
        self.cloud.hooks.wait()
        for each in seen.values():
            self.settles(lambda: each.events(WITH_EVENTS), "no event came", SOON_S)  # noqa: B023
        fronts["one-1"].run("systemctl", "stop", "one-telemetryd", check=0)
        self.cloud.lead("one-2")
        time.sleep(1.1)  # OpenNebula's times are whole seconds
        vm.do("resume")
        self.cloud.hooks.wait()
        self.settles(lambda: WITH_EVENTS in floating.vms(), "it does not run", SOON_S)
        waiting = {name: len(list(front.path("/var/tmp").glob("one-telemetry-*/spool/fe1/*.lp.gz")))
                   for name, front in fronts.items()}
        self.assertEqual((waiting["one-1"], waiting["one-2"] > 0), (0, True), waiting)
        time.sleep(2)  # the forwarder has ended
        fronts["one-1"].run("systemctl", "start", "one-telemetryd", check=0)
        cron = block("cron", "text").split()
        self.settles(lambda: fronts["one-2"].run(*cron[6:], user=cron[5], check=0) and WITH_EVENTS in seen["one-1"].vms(),
                     "the event does not go", SOON_S)
        events = seen["one-1"].events(WITH_EVENTS)
        self.assertEqual(events, seen["one-2"].events(WITH_EVENTS))
        self.assertEqual(len(events), len(set(events)))
        self.assertEqual(events[-1][1:], ("ACTIVE", "RUNNING"), events)
        ran = [run for name in ("poweroff", "running") for run in self.cloud.executions(f"telemetry-{name}")]
        self.assertEqual([(status, "queued for 2 sinks" in said) for status, said, _ in ran], [(0, True)] * 2, ran)


if __name__ == "__main__":
    raise SystemExit(main())
