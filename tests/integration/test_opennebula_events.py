#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The stand-in OpenNebula (cloud/) runs probes, takes their message, and runs hooks as the real one does. Root, for
namespaces."""
import base64
import os
import re
import subprocess
import time

from cloud import lifecycle, markup, template
from cloud_case import PROBES, REMOTES, TREE, CloudCase
from harness import ROOT, args, main
from opennebula import decode

RECORDED = ROOT / "tests" / "golden" / "recorded"
FLEET = ("fleet-1.domstats", "fleet-2.domstats")
SCRIPT = """#!/bin/sh
cd /var/tmp/one_db
exec {0}/vm_monitor --config empty.conf --format one --replay {1} --replay {2} "$@"
"""


# A server that says the name of its machine, and who asks it at the floating address.
NAMING = """import socket
server = socket.create_server(("", 7000))
print(flush=True)
connection, _ = server.accept()
connection.sendall(socket.gethostname().encode() + b"\\n")
"""
ASKING = """import socket
try:
    print(socket.create_connection(("one-floating", 7000), 1).recv(99).decode(), end="")
except OSError:
    pass
"""


def record(vm, text):
    return f'VM = [ ID="{vm}", DEPLOY_ID="x", MONITOR="{base64.b64encode(text.encode()).decode()}" ]'


def keys_of(text, vm):
    """Of a VM's record."""
    record_, = (value for name, value in template.parse(text) if name == "VM" and value["ID"] == str(vm))
    return dict(template.parse(base64.b64decode(record_["MONITOR"]).decode()))


def printing(*lines, status=0):
    return "#!/bin/sh\ncat <<'END'\n" + "\n".join(lines) + f"\nEND\nexit {status}\n"


class Monitoring(CloudCase):
    kvm_hosts = ("kvm1",)

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.host, cls.monitord = cls.cloud.hosts["kvm1"], cls.cloud.monitord
        for vm in (9, 10, 11):
            cls.cloud.add_vm(vm)

    def setUp(self):
        self.monitord.log.clear()
        self.monitord.stamps.clear()
        with self.cloud.store.change() as state:
            for vm in state["vms"].values():
                vm["MONITORING"], vm["LAST_POLL"] = {}, 0

    def tearDown(self):
        for path in self.host.path(PROBES).iterdir():
            if path.is_dir():
                path.rmdir()
            elif path.name != "poll.rb":
                path.unlink()
        self.one("onehost", "forceupdate", "kvm1")

    def probe(self, name, text, mode=0o755, user="oneadmin"):
        self.host.machine.write(f"{PROBES}/{name}", text, mode, user)

    def monitoring(self, vm=9):
        return self.cloud.vm(vm).monitoring()

    def test_stock(self):
        """the stock probe's recorded output gives what a real `onevm show` had of it, in its form"""
        self.assertIsNone(self.host.cycle().fault)
        want = markup.parse((lifecycle.RECORDED / "onevm-show.xml").read_text()).find("MONITORING")
        got = markup.parse(self.one("onevm", "show", "-x", "10"))
        names = {each.tag for each in want} - {"DISK_SIZE"}  # which another probe says
        self.assertEqual({each.tag for each in got.find("MONITORING")}, names)
        self.assertEqual(got.findtext("MONITORING/DISKRDBYTES"), "592384")
        self.assertEqual(got.findtext("LAST_POLL"), got.findtext("MONITORING/TIMESTAMP"))

    def test_merged(self):
        """our probe's records are merged with the stock probe's: the later file's keys count, the others stay"""
        machine = self.host.machine
        machine.write(f"{TREE}/vm_monitor", (args.build / "probes" / "vm_monitor").read_bytes(), 0o755)
        machine.write("/var/tmp/one_db/empty.conf", "")
        for name in FLEET:
            machine.write(f"/var/tmp/one_db/{name}", (RECORDED / name).read_bytes())
        self.probe("telemetry", SCRIPT.format(TREE, *FLEET))
        ours = decode(self.host.run(f"{PROBES}/telemetry", "kvm", "0", "kvm1", user="oneadmin", check=0).stdout)
        for vm in ours:
            self.cloud.add_vm(vm)
            self.addCleanup(self.cloud.vm(vm).to, "DONE")
        cycle = self.host.cycle()
        self.assertEqual([name for name, *_ in cycle.ran], ["poll.rb", "telemetry"])
        self.assertGreater(len(ours), 3)
        for vm, keys in ours.items():
            stock = keys_of(cycle.ran[0][2], vm)
            want = {name: value for name, value in {**stock, **keys}.items() if value is not None and name != "DEPLOY_ID"}
            got = self.monitoring(vm)
            self.assertEqual({name: got.get(name) for name in want}, want)
            self.assertEqual(got.keys() - want.keys(), {"ID", "TIMESTAMP"})
            self.assertNotEqual(got["MEMORY"], stock["MEMORY"])

    def test_called(self):
        """a probe is called with OpenNebula's arguments, directory, environment and document"""
        self.probe("z", '#!/bin/sh\necho "# $0|$*|$(pwd)|$(id -un)|$(env | sort | tr "\\n" " ")|$(cat)"\n')
        words = self.host.cycle().ran[-1][2].split("|")
        self.assertEqual(words[:4], [f"# {TREE}/im/kvm.d/../kvm-probes.d/vm/monitor/z", "kvm 0 kvm1", f"{TREE}/im/kvm.d",
                                     "oneadmin"])
        self.assertEqual({word.partition("=")[0] for word in words[4].split()} - {"10.66.0.11", "40000", "22"},
                         {"HOME", "LANG", "PATH", "PWD", "SSH_CLIENT"})
        self.assertRegex(words[5], r"^<MONITOR_CONFIGURATION>.*<HOST_ID>0</HOST_ID></MONITOR_CONFIGURATION>")

    def test_which(self):
        """every executable file is run, in the order of names, whatever it is called; a directory or plain file is not"""
        for name in (".hidden", "x~", "x.dpkg-old", "B", "a"):
            self.probe(name, printing(f"# {name}"))
        self.probe("plain", printing("junk"), 0o644)
        self.probe("roots", printing("junk"), 0o700, user="root")
        self.host.path(f"{PROBES}/d").mkdir()
        self.assertEqual([name for name, *_ in self.host.cycle().ran], [".hidden", "B", "a", "poll.rb", "x.dpkg-old", "x~"])

    def test_failed(self):
        """a probe that fails takes the whole directory's output with it; at the agent's start it puts the host into ERROR"""
        self.probe("z", printing(record(9, 'NETRX="1"'), status=1))
        cycle = self.host.cycle()
        self.assertEqual((cycle.status, self.monitoring()), (-1, {}))
        self.assertIn("Failed to monitor VM for host 0: Error executing z", self.monitord.log[0])
        self.assertEqual(self.host.state(), "MONITORED")
        self.host.agent.start()
        self.assertEqual(self.host.state(), "ERROR")
        self.host.path(f"{PROBES}/z").unlink()
        self.host.agent.start()
        self.assertEqual((self.host.state(), self.monitoring()["NETRX"]), ("MONITORED", "110"))

    def test_junk(self):
        """one junk line puts the host into ERROR and its VMs into UNKNOWN, until forceupdate; blanks and comments pass"""
        self.probe("z", printing("", "# a comment", "  ", record(9, 'NETRX="1"\n# why\n')))
        self.host.cycle()
        self.assertEqual((self.host.state(), self.monitoring()["NETRX"]), ("MONITORED", "1"))
        self.probe("z", printing(record(9, 'NETRX="2"'), "junk"))
        self.assertEqual(self.host.cycle().status, 0)
        self.assertEqual((self.host.state(), self.cloud.vm(9).state()), ("ERROR", ("ACTIVE", "UNKNOWN")))
        self.assertEqual(self.monitoring()["NETRX"], "1")
        self.assertIn("err", self.one("onehost", "list", "--csv", "--no-header", "-l", "STAT"))
        self.assertIn("Error parsing monitor", self.one("onehost", "show", "-x", "kvm1"))
        self.probe("z", printing(record(9, 'NETRX="3"')))
        self.host.cycle()
        self.assertEqual((self.host.state(), self.monitoring()["NETRX"]), ("ERROR", "3"))
        self.refused("onehost", "forceupdate", user="root", says="as root")
        self.one("onehost", "forceupdate")
        self.assertEqual((self.host.state(), self.cloud.vm(9).state()), ("MONITORED", ("ACTIVE", "RUNNING")))
        self.probe("z", printing("junk"))
        self.host.cycle()
        self.host.cycle("host/system")
        self.assertEqual(self.host.state(), "MONITORED")

    def test_too_large(self):
        """a message that is too large is not sent, nobody is told, and it is tried again after 1, 1, 1, 2 … seconds"""
        self.probe("z", "#!/bin/sh\necho run >> /var/tmp/runs\necho \"# $(head -c 60000 /dev/urandom | base64 -w0)\"\n")
        cycle, before = self.host.cycle(), self.monitord.datagrams
        self.assertEqual((cycle.sent, cycle.status), (None, 0))
        self.assertIn("too long", cycle.fault)
        self.assertEqual((self.monitoring(), self.monitord.log), ({}, []))
        self.host.path("/var/tmp/runs").unlink()
        self.host.agent.begin(vm_monitor=600, vm_status=600)
        time.sleep(1.5)
        self.host.agent.end()
        self.assertEqual(self.host.path("/var/tmp/runs").read_text(), "run\nrun\n")
        self.assertGreater(self.monitord.datagrams, before, "the other directories' messages have come")
        self.probe("z", "#!/bin/sh\necho \"# $(head -c 45000 /dev/urandom | base64 -w0)\"\n")
        self.assertGreater(self.host.cycle().sent, 58000)
        self.assertEqual(self.monitoring()["NETRX"], "110")

    def test_sticky(self):
        """a key that is not sent again stays, an empty one is empty, [] deletes it; the stamp is always new"""
        self.host.path(f"{PROBES}/poll.rb").chmod(0o644)
        self.addCleanup(self.host.path(f"{PROBES}/poll.rb").chmod, 0o755)
        steps = ((('A="1"\nB="2"\nC="3"',), {"A": "1", "B": "2", "C": "3"}), (('A="4"\nB=""\nC=[]',), {"A": "4", "B": ""}),
                 (('a="5"\nd=[x="1",Y="2"]\nd=[X="3"]',), {"A": "5", "B": "", "D": [{"X": "1", "Y": "2"}, {"X": "3"}]}),
                 (('A="6"\nE="1"', 'E="2"\nA=[]'), {"B": "", "D": [{"X": "1", "Y": "2"}, {"X": "3"}], "E": "2"}),
                 (('F-G="1"\nB="7"',), {"B": "", "D": [{"X": "1", "Y": "2"}, {"X": "3"}], "E": "2"}),
                 (("D=[]", 'H="<&]]>\\"\\\\"'), {"B": "", "E": "2", "H": '<&]]>"\\'}))
        for number, (records, want) in enumerate(steps):
            for at in range(2):
                self.probe(f"z{at}", printing(*(record(9, text) for text in records[at:at + 1])))
            before = self.monitoring().get("TIMESTAMP")
            self.host.cycle()
            got = self.monitoring()
            stamp = got.pop("TIMESTAMP")
            self.assertEqual(got, {"ID": "9", **want}, f"step {number}")
            self.assertGreaterEqual(stamp, before or "0")
        self.assertEqual(len(self.monitord.log), 1, self.monitord.log)
        self.assertIn("Error parsing VM monitor attribute", self.monitord.log[0])
        shown = markup.parse(self.one("onevm", "show", "-x", "9")).find("MONITORING")
        self.assertEqual((shown.findtext("H"), shown.findtext("E")), ('<&]]>"\\', "2"))

    def test_status(self):
        """the status probe's list: a VM that is said to be off, or is missing from a complete one, is powered off"""
        status = f"{TREE}/im/kvm-probes.d/vm/status"
        vms = [self.cloud.add_vm(vm) for vm in (31, 32, 33)]
        for vm in vms:
            self.addCleanup(vm.to, "DONE")
        self.addCleanup(self.host.path(f"{status}/z").unlink)
        self.host.machine.write(f"{status}/z", printing('VM = [ ID="31", DEPLOY_ID="x", STATE="POWEROFF" ]'), 0o755)
        self.host.cycle("vm/status")
        self.assertEqual([vm.state()[0] for vm in vms], ["POWEROFF", "ACTIVE", "ACTIVE"])
        self.host.path("/var/tmp/one_db/state.out").write_text("")
        self.host.machine.write(f"{status}/z", printing(
            "SYNC_STATE=yes", "MISSING_STATE=POWEROFF", *(f'VM = [ ID="{vm}", STATE="RUNNING" ]' for vm in (9, 10, 11, 33))), 0o755)
        self.host.cycle("vm/status")
        self.assertEqual([vm.state()[0] for vm in vms], ["POWEROFF", "POWEROFF", "ACTIVE"])
        self.assertEqual(self.cloud.vm(9).state(), ("ACTIVE", "RUNNING"))

    def test_unknown(self):
        """records of VMs that OpenNebula does not know, old messages, and what is no message do nothing"""
        self.probe("z", printing(record(4711, 'A="1"'), record(-1, 'A="1"'), 'OTHER="x"', "VM = [ ID=x ]"))
        self.host.cycle()
        self.assertEqual(self.monitoring()["NETRX"], "110")
        self.monitord.message("MONITOR_VM", "SUCCESS", 0, int(time.time()) - 60, record(9, 'NETRX="1"'))
        self.monitord.take(b"MONITOR_VM SUCCESS 0 1 not-base64")
        self.assertEqual(self.monitoring()["NETRX"], "110")
        self.assertIn("UNDEFINED", self.monitord.log[-1])


class Hooks(CloudCase):
    kvm_hosts = ("localhost-1", "kvm2")

    def tearDown(self):
        with self.cloud.store.change() as state:
            state["hooks"] = {}

    def test_life(self):
        """a VM's documents on its way are those that were recorded, with the same states and stamps"""
        self.cloud.add_vm(9, name="lab-idle", state="PENDING")
        vm, begin = self.cloud.vm(9), 1795353000
        way = (("PROLOG", 364), ("BOOT", 368), ("RUNNING", 368), ("SHUTDOWN_POWEROFF", 1585), ("POWEROFF", 1587),
               ("BOOT_POWEROFF", 1597), ("RUNNING", 1597), ("SAVE_SUSPEND", 2989), ("SUSPENDED", 2990), ("BOOT_SUSPENDED", 2992),
               ("RUNNING", 2992), ("SHUTDOWN_POWEROFF", 2995), ("POWEROFF", 2996), ("BOOT_POWEROFF", 2998), ("RUNNING", 2998),
               ("SHUTDOWN", 3058), ("EPILOG", 3060), ("DONE", 3062))
        seen = {}
        for name, seconds in way:
            vm.to(name, now=begin + seconds)
            seen.setdefault(name, vm.document())
            seen[f"last {name}"] = vm.document()
        for name, file in (("RUNNING", "vm-hook.xml"), ("last POWEROFF", "vm-hook-poweroff.xml"),
                           ("DONE", "vm-hook-done.xml")):
            self.assertEqual(self._plain(seen[name]), self._plain((lifecycle.RECORDED / file).read_text()), name)

    @staticmethod
    def _plain(text):
        """Without the host's name, requests' numbers, and when the VM was made."""
        return re.sub(r"(?m)<(HOSTNAME|REQUEST_ID)>[^<]*<|^  <(STIME)>[0-9]+<", r"<\1\2><", text).rstrip("\n")

    def test_run(self):
        """hooks of the state are run, as oneadmin in /var/lib/one, with the document; how they end is kept"""
        self.hook("in", 'base64 -d > /tmp/doc; echo "$#|$(id -un)|$(pwd)|$(tail -c1 /tmp/doc)"; echo no >&2; exit 3')
        self.hook("word", 'echo "$#|$2"; echo "$1" | base64 -d | grep -c "<VM>"', ARGUMENTS="$TEMPLATE more", ARGUMENTS_STDIN="NO")
        self.hook("off", "exit 0", on="CUSTOM", STATE="POWEROFF", LCM_STATE="LCM_INIT")
        self.hook("none", None)
        self.hook("remote", "hostname", REMOTE="YES")
        self.cloud.sync("--force")
        vm = self.cloud.add_vm(10, "kvm2", state="POWEROFF")
        vm.do("resume")
        self.cloud.hooks.wait()
        runs = {name: self.cloud.executions(name) for name in ("in", "word", "off", "none", "remote")}
        self.assertEqual(runs["in"], [(3, "0|oneadmin|/var/lib/one|>\n", "no\n")])
        self.assertEqual(self.cloud.front.read("/tmp/doc"), vm.document())
        self.assertIn("<MONITORING/>", vm.document())
        self.assertEqual(runs["word"], [(0, "2|more\n1\n", "")])
        self.assertEqual((runs["off"], runs["none"][0][0], runs["remote"]), ([], 127, [(0, "kvm2\n", "")]))
        shown = markup.parse(self.one("onehook", "show", "-x", "in")).find("HOOKLOG/HOOK_EXECUTION_RECORD/EXECUTION_RESULT")
        self.assertEqual((shown.findtext("CODE"), base64.b64decode(shown.findtext("STDERR"))), ("3", b"no\n"))
        self.assertIn("EXIT CODE         : 3", self.one("onehook", "show", "in", "-e", "0"))
        self.assertIn("ERROR", self.one("onehook", "log", "--error"))
        self.one("onehook", "retry", "in", "0")
        self.cloud.hooks.wait()
        self.assertEqual(len(self.cloud.executions("in")), 2)
        self.assertIn("<RETRY>yes</RETRY>", self.one("onehook", "show", "-x", "in"))
        self.refused("onehook", "retry", "in", "7", says="Arguments not found")

    def test_side_by_side(self):
        """ten hooks run at a time, the others wait; twenty executions are kept"""
        manager = self.cloud.hooks
        manager.most_at_a_time = 0
        begun, go = self.cloud.front.path("/tmp/begun"), self.cloud.front.path("/tmp/go")
        begun.mkdir()
        begun.chmod(0o777)
        for number in range(2):
            self.hook(f"h{number}", ": > /tmp/begun/$$; while [ ! -e /tmp/go ]; do sleep 0.05; done")
        vms = [self.cloud.add_vm(vm, state="POWEROFF") for vm in range(20, 26)]
        for vm in vms:
            vm.do("resume")
        self.wait_for(lambda: len(os.listdir(begun)) >= 10, "ten hooks do not run at a time", 60)
        self.assertEqual(len([each for each in manager.waiting if not each.running()]), 2)
        go.touch()
        manager.wait()
        self.assertEqual(manager.most_at_a_time, 10)
        self.assertEqual([len(self.cloud.executions(f"h{number}")) for number in range(2)], [6, 6])
        with self.cloud.store.change() as state:
            hook = next(iter(state["hooks"].values()))
            hook["LOG"], hook["RUNS"] = hook["LOG"] * 4, 24
        vms[0].do("poweroff")
        vms[0].do("resume")
        self.cloud.hooks.wait()
        self.assertEqual(len(self.cloud.executions("h0")), 20)

    def test_timeout(self):
        """a hook that takes too long is told to end, with all it started; a child that keeps the output is not waited for"""
        self.hook("late", "sleep 60 & echo $! > /tmp/child; wait", TIMEOUT="1")
        self.hook("leaves", "sleep 60 & echo $! > /tmp/left; echo out")
        begin = time.monotonic()
        self.cloud.add_vm(11, state="POWEROFF").do("resume")
        self.cloud.hooks.wait()
        self.assertLess(time.monotonic() - begin, 30)
        (status, _, said), = self.cloud.executions("late")
        self.assertEqual((status, said), (255, f"Timeout executing {REMOTES}/hooks/t/late"))
        child = self.cloud.front.read("/tmp/child").strip()
        self.assertNotIn("sleep", self.cloud.front.run("cat", f"/proc/{child}/cmdline").stdout)
        self.assertEqual(self.cloud.executions("leaves"), [(0, "out\n", "")])
        self.cloud.front.run("kill", self.cloud.front.read("/tmp/left").strip(), check=0)

    def test_migration(self):
        """a VM that moves has a record of each host, and is the new one's"""
        self.hook("moves", "true", on="CUSTOM", STATE="ACTIVE", LCM_STATE="MIGRATE")
        vm = self.cloud.add_vm(30, "localhost-1")
        vm.do("migrate", host="kvm2")
        self.cloud.hooks.wait()
        self.assertEqual(len(self.cloud.executions("moves")), 1)
        records = markup.parse(vm.document()).findall("HISTORY_RECORDS/HISTORY")
        self.assertEqual([each.findtext("HOSTNAME") for each in records], ["localhost-1", "kvm2"])
        self.assertNotEqual(records[0].findtext("ETIME"), "0")
        self.assertIn('ID="30"', self.cloud.hosts["kvm2"].cycle().text)


class FrontEnds(CloudCase):
    kvm_hosts, front_ends = ("kvm1",), ("one-1", "one-2", "one-3")

    def leader(self):
        servers = markup.parse(self.cloud.fronts["one-3"].run("onezone", "show", "-x", "0", user="oneadmin").stdout)
        return [each.findtext("NAME") for each in servers.findall("SERVER_POOL/SERVER") if each.findtext("STATE") == "3"]

    def test_leader(self):
        """hooks are registered once and run where it leads, which has the floating address; without one nothing is written"""
        fronts, host = self.cloud.fronts, self.cloud.hosts["kvm1"]
        self.hook("where", "hostname")
        for front in fronts.values():
            front.write(f"{REMOTES}/hooks/t/where", "#!/bin/sh\nhostname\n", 0o755)
            self.assertIn("where", front.run("onehook", "list", user="oneadmin", check=0).stdout)
        vm = self.cloud.add_vm(9, state="POWEROFF")
        asked = {}
        for name in ("one-1", "one-2", None, "one-3"):
            self.cloud.lead(name)
            self.assertEqual(self.leader(), [name] if name else [])
            vm.do("resume")
            vm.do("poweroff")
            self.cloud.hooks.wait()
            asked[name] = self.asks(host)
            host.cycle()
            if name is None:
                self.refused("onehook", "delete", "where", says="[one.hook.delete] Cannot process request, no leader found")
            elif name != "one-3":
                vm.to("RUNNING", fire=False)
                self.assertGreater(host.cycle().sent, 0)
                vm.to("POWEROFF", fire=False)
        self.assertEqual([out for _, out, _ in self.cloud.executions("where")], ["one-1\n", "one-2\n", "one-3\n"])
        self.assertEqual(asked, {"one-1": "one-1\n", "one-2": "one-2\n", None: "", "one-3": "one-3\n"})

    def asks(self, host):
        """Which machine has the floating address, as the host finds it."""
        servers = [front.popen("python3", "-IS", "-c", NAMING, stdout=subprocess.PIPE) for front in self.cloud.fronts.values()]
        try:
            for server in servers:
                server.stdout.readline()
            return host.run("python3", "-IS", "-c", ASKING).stdout
        finally:
            for server in servers:
                server.kill()
                server.wait()
                server.stdout.close()


if __name__ == "__main__":
    raise SystemExit(main())
