#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""In poll.rb's place: OpenNebula's forecaster, its files and its runs, and what guests' agents answer; of real guests."""
import contextlib
import os
import pathlib
import re
import shutil
import signal
import sqlite3
import time

from agent_case import AgentCase, StandInCase
from harness import ROOT, Case, RigCase, main

TABLES = ("cpu", "memory", "netrx", "nettx", "diskrdbytes", "diskwrbytes", "diskrdiops", "diskwriops")
LIMIT = 25  # seconds, of asking all guests

# What poll.rb of OpenNebula 7.4 has sent of a VM, where Python could forecast.
STOCK = """CPU MEMORY NETRX NETTX DISKRDBYTES DISKWRBYTES DISKRDIOPS DISKWRIOPS VM_QEMU_PING CPU_FORECAST MEMORY_FORECAST
NETRX_BW_FORECAST NETRX_BW NETTX_BW_FORECAST NETTX_BW DISKRDBYTES_BW_FORECAST DISKRDBYTES_BW DISKWRBYTES_BW_FORECAST
DISKWRBYTES_BW DISKRDIOPS_BW_FORECAST DISKRDIOPS_BW DISKWRIOPS_BW_FORECAST DISKWRIOPS_BW""".split()


class Page(Case):
    def test_keys(self):
        """docs/parity.md has a row for each key that poll.rb sends, and says of none that it is not sent which is"""
        page = (ROOT / "docs" / "parity.md").read_text()
        rows = [line.split(" | ") for line in page.split("<!-- keys -->")[1].split("\n\n")[0].splitlines()[3:]]
        told = {key: row for row in rows for key in re.findall(r"`([A-Z_]+)`", row[0])}
        self.assertEqual([key for key in STOCK if key not in told], [])
        ours = set(re.findall(r"`([A-Z0-9_]+)` \(\d\)", (ROOT / "docs" / "metrics.md").read_text()))
        self.assertEqual(len(rows), len([row for row in rows if len(row) == 4]), rows)
        for key, row in told.items():
            if key in ours:
                self.assertNotIn("not sent", row[2], key)

    def test_tables(self):
        """docs/parity.md names the tables that the forecaster's files have"""
        page = (ROOT / "docs" / "parity.md").read_text()
        table = (ROOT / "src" / "model" / "forecast.def").read_text()
        self.assertEqual(re.findall(r"`(\w+)`", re.search(r"\| names \| (.*)", page)[1]),
                         re.findall(r'^FORECAST\("(\w+)"', table, re.M))


class AsideCase(RigCase):
    """Hosts whose probe, in poll.rb's place, has a process of its own do what takes time. host.said: what either told
    syslog; that process may be done before the probe's end is seen, and its lines are then among the probe's."""
    fleet = [("disk", "one-83", {}), ("idle", "one-84", {})]
    vms = (83, 84)
    aside_seconds = 60

    def host(self, *arguments, **options):
        made = super().host(*arguments, **options)
        made.said = []
        return made

    def begin(self, host):
        """A cycle's records; what it does aside is under way."""
        run = host.cycle()
        host.said += run.log
        return self.assert_complete(run, vms=self.vms)

    def settled(self, host):
        """No process of the probe is at work any more."""
        self.wait_for(lambda: not host.processes(), "what it does aside is not done", self.aside_seconds)
        host.said += host.syslog.take()

    def cycle(self, host):
        """A cycle's records; what it does aside is done too."""
        records = self.begin(host)
        self.settled(host)
        return records

    def warnings(self, host):
        return [text for level, text in host.said if level <= 4]


class FilesCase(AsideCase):
    """The forecaster's files, below the host's own directory."""

    def replacing(self, files="yes", mode="replace", more=""):
        host = self.host()
        host.db, host.moment = host.dir / "one_db", 0
        self.configure(host, files, mode, more)
        return host

    def configure(self, host, files="yes", mode="replace", more=""):
        host.configure(f"mode = {mode}\n[forecast]\nfiles = {files}\ndir = {host.db}\n{more}")

    def begin(self, host):
        """In a second of its own: a table has one row for each."""
        time.sleep(max(0.0, host.moment + 1.1 - time.monotonic()))
        try:
            return super().begin(host)
        finally:
            host.moment = time.monotonic()

    def ask(self, host, vm, query, *values):
        """Rows of a VM's file, which is opened as the forecaster opens it."""
        with contextlib.closing(sqlite3.connect(f"file:{host.db}/{vm}.db?mode=ro", uri=True)) as db:
            return db.execute(query, values).fetchall()

    def rows(self, host, vm, table):
        return self.ask(host, vm, f"SELECT TIMESTAMP, VALUE FROM virtualmachine_{vm}_{table}_monitoring "
                                  "ORDER BY TIMESTAMP")


class Forecaster(FilesCase):
    """What is in the files, and when there are any."""

    def test_values(self):
        """each VM's figures are in its file, under the time they were taken and as its record has them"""
        host, began = self.replacing(), int(time.time())
        runs = []
        for _ in range(2):
            runs.append(self.cycle(host))
        for vm in (83, 84):
            for table in TABLES:
                rows, told = self.rows(host, vm, table), [run[vm].get(table.upper()) for run in runs]
                told = [float(value) for value in told if value is not None]
                self.assertEqual([value for _, value in rows], told, f"{vm} {table}")
                self.assertTrue(all(began <= at <= time.time() for at, _ in rows), rows)
            self.assertEqual(len(self.rows(host, vm, "memory")), 2)
            self.assertEqual(len(self.rows(host, vm, "cpu")), 1, "no CPU % without a sample before")
        self.assertEqual(sorted(os.listdir(host.db)), ["83.db", "84.db"], "no journal stays")

    def test_only_where_it_is_wanted(self):
        """beside poll.rb, which does it itself, with files = no, by hand, and without a forecaster: nothing is made"""
        for options in ({"mode": "beside"}, {"files": "no"}, {"files": "auto"}):
            host = self.replacing(**options)
            self.cycle(host)
            self.assertFalse(host.db.exists(), options)
        host = self.replacing()
        host.by_hand()
        host.cycle("--dry-run")
        self.settled(host)
        self.assertFalse(host.db.exists())

    def test_retention(self):
        """new tables keep as many weeks as forecast.conf says; one that can't be read is told the log, once"""
        host = self.replacing()
        conf = host.tree.conf.parent / "forecast.conf"
        conf.write_text("virtualmachine:\n  db_retention: 3 # weeks\n")
        self.cycle(host)
        self.assertIn("-21 days", self.trigger(host, 83))
        conf.write_text("virtualmachine:\n  db_retention: [3]\n")
        for _ in range(3):
            (host.db / "83.db").unlink()
            self.cycle(host)
        said = self.warnings(host)
        self.assertEqual(len(said), 1, said)
        self.assertRegex(said[0], "forecaster lacks figures: .*forecast.conf: line 2: db_retention is a list: expected weeks.*"
                                  "new files keep 4 weeks")
        self.assertIn("-28 days", self.trigger(host, 83))

    def trigger(self, host, vm):
        """SQL of the trigger that keeps a table short."""
        return self.ask(host, vm, "SELECT sql FROM sqlite_master WHERE name = ?",
                        f"delete_old_records_virtualmachine_{vm}_memory_monitoring")[0][0]

    def test_locked_file(self):
        """a file that another program holds: the record is out at once, the others are written, the log has a line"""
        host = self.replacing()
        self.cycle(host)
        holder = sqlite3.connect(host.db / "83.db", isolation_level=None)
        holder.execute("BEGIN EXCLUSIVE")
        self.cycle(host)
        holder.execute("ROLLBACK")
        holder.close()
        self.assertEqual((len(self.rows(host, 83, "memory")), len(self.rows(host, 84, "memory"))), (1, 2))
        said = self.warnings(host)
        self.assertEqual(len(said), 1, said)
        self.assertRegex(said[0], "1 of 2 VMs: .*83.db: SQLite: database is locked")
        host.said.clear()
        self.cycle(host)
        self.assertRegex(str(host.said), "lacks figures: all is well again")
        self.assertEqual(len(self.rows(host, 83, "memory")), 2)

    def test_no_directory(self):
        """where the directory is another's, or a link: records as ever, and a line in the log"""
        host = self.replacing()
        elsewhere = pathlib.Path(host.dir / "elsewhere")
        elsewhere.mkdir()
        host.db.symlink_to(elsewhere)
        self.cycle(host)
        self.assertRegex(str(host.said), "one_db: is no directory")
        self.assertEqual(os.listdir(elsewhere), [])

    def test_forecaster_in_the_tree(self):
        """auto: with OpenNebula's forecaster in the tree it is Python's libraries that decide"""
        host = self.replacing("auto")
        place = host.tree.root / "im" / "lib" / "python"
        place.mkdir(parents=True)
        (place / "prediction.sh").write_text("#!/bin/sh\n")
        self.cycle(host)
        self.assertEqual(host.db.exists(), can_forecast(), host.db)


class Forecasts(FilesCase):
    """Runs of the forecaster, whose place forecaster.py takes."""

    def replacing(self, conf=True, **settings):
        host = super().replacing(**settings)
        host.place = host.tree.root / "im" / "lib" / "python"
        host.place.mkdir(parents=True)
        shutil.copy(ROOT / "tests" / "integration" / "forecaster.py", host.place / "prediction.sh")
        (host.place / "prediction.sh").chmod(0o755)
        if conf:
            (host.tree.conf.parent / "forecast.conf").write_text(FORECAST_CONF)
        return host

    def settled(self, host):
        super().settled(host)
        complaints = host.place / "complaints"
        self.assertFalse(complaints.exists() and complaints.read_text())

    def calls(self, host):
        """VMs that it was run for, and pids."""
        path = host.place / "calls"
        lines = [line.split() for line in path.read_text().splitlines()] if path.exists() else []
        path.unlink(missing_ok=True)
        return [(int(vm), int(pid)) for vm, _, pid in lines]

    def forecasts(self, record):
        return {key: value for key, value in record.items() if "_FORECAST" in key}

    def again(self, host):
        """As if five minutes had passed."""
        (host.state / "forecasts-state-0.domstats").unlink()

    def test_records(self):
        """the next cycle's records have what was forecast of each VM from the files; it is not run in each cycle"""
        host = self.replacing()
        first = self.cycle(host)
        self.assertEqual([self.forecasts(first[vm]) for vm in (83, 84)], [{}, {}])
        self.assertEqual([vm for vm, _ in self.calls(host)], [83, 84])
        second = self.cycle(host)
        for vm in (83, 84):
            self.assertEqual({key: float(value) for key, value in self.forecasts(second[vm]).items()},
                             {"MEMORY_FORECAST": float(first[vm]["MEMORY"])}, "one row tells of no rate")
        self.assertEqual(self.calls(host), [], "it is not due")
        self.again(host)
        self.cycle(host)
        self.assertEqual(len(self.calls(host)), 2)
        said = self.cycle(host)
        for vm in (83, 84):
            told = self.forecasts(said[vm])
            self.assertEqual(sorted(told), sorted(key for key in STOCK if key.endswith("_FORECAST")), vm)
            self.assertTrue(all(re.fullmatch(r"\d+\.\d+", value) for value in told.values()), told)
        self.assertGreater(float(said[83]["DISKWRBYTES_BW_FORECAST"]), 0)
        host.by_hand()
        self.assertIn("CPU_FORECAST", host.cycle("--dry-run").records()[83])

    def test_switched_off(self):
        """beside poll.rb, with files or run = no, off in forecast.conf, without that file or a forecaster: never run"""
        off = FORECAST_CONF.replace("enabled: true", "enabled: false")
        for options, conf in (({"mode": "beside"}, FORECAST_CONF), ({"files": "no"}, FORECAST_CONF),
                              ({"more": "run = no"}, FORECAST_CONF), ({}, off), ({"conf": False}, None)):
            host = self.replacing(**options)
            if conf:
                (host.tree.conf.parent / "forecast.conf").write_text(conf)
            for _ in range(2):
                self.assertEqual(self.forecasts(self.cycle(host)[83]), {})
            self.assertEqual(self.calls(host), [], (options, conf))
        host = self.replacing()
        (host.place / "prediction.sh").unlink()
        self.cycle(host)
        self.assertTrue((host.db / "83.db").exists())
        self.assertEqual(self.warnings(host), [])

    def test_switched_off_later(self):
        """what OpenNebula has been told is deleted"""
        host = self.replacing()
        self.cycle(host)
        self.assertIn("MEMORY_FORECAST", self.cycle(host)[83])
        self.configure(host, more="run = no")
        self.assertIsNone(self.cycle(host)[83]["MEMORY_FORECAST"])

    def test_hangs(self):
        """one that hangs holds up neither records nor files, and is ended; the next one has its turn"""
        host = self.replacing()
        (host.place / "hangs").touch()
        for count in (1, 2, 3):
            self.begin(host)
            self.wait_for(lambda want=count: self.count(host, 84) == want, "the files are not kept meanwhile", 30)
        (vm, pid), = self.calls(host)  # one at a time, cycle after cycle
        self.assertEqual(vm, 83)
        (host.place / "hangs").unlink()
        os.kill(pid, signal.SIGKILL)
        self.settled(host)
        self.assertEqual([vm for vm, _ in self.calls(host)], [84])
        said = self.warnings(host)
        self.assertEqual(len(said), 1, said)
        self.assertRegex(said[0], "forecaster fails: VM 83: ended by signal 9")
        record = self.cycle(host)
        self.assertEqual((self.forecasts(record[83]), "MEMORY_FORECAST" in record[84]), ({}, True))

    def count(self, host, vm):
        try:
            return len(self.rows(host, vm, "memory"))
        except sqlite3.OperationalError:
            return 0

    def test_nonsense(self):
        """whatever it prints: the records are sound, and the log has one line"""
        host = self.replacing()
        self.cycle(host)
        self.calls(host)
        for nonsense in ('STATE="3"\nCPU_FORECAST="1\n', 'VM = [ ID="83" ]\n', "x" * 100000,
                         'CPU_FORECAST="1"\nCPU_FORECAST="2"\n', '\N{SNOWMAN}\0'):
            (host.place / "says").write_text(nonsense)
            self.again(host)
            self.cycle(host)
            self.assertEqual(len(self.calls(host)), 2)
            self.assertIsNone(self.forecasts(self.cycle(host)[83]).get("CPU_FORECAST"))
        said = self.warnings(host)
        self.assertEqual(len(said), 1, said)
        self.assertRegex(said[0], r'forecaster fails: VM 83: line 2 is "CPU_FORECAST=.*expected KEY="NUMBER"')
        (host.place / "says").write_text('CPU_FORECAST="1.5"\nDEPLOY_ID="7"\nSTATE="3"\nVM_QEMU_PING="1"\n')
        self.again(host)
        self.cycle(host)
        record = self.cycle(host)[83]
        self.assertEqual(self.forecasts(record)["CPU_FORECAST"], "1.5")
        self.assertEqual(("VM_QEMU_PING" in record, record["DEPLOY_ID"] == "7"), (False, False))
        self.assertRegex(str(host.said), "forecaster fails: all is well again")
        self.assertEqual(self.warnings(host), said)


FORECAST_CONF = """host:
  db_retention: 4 # Number of weeks
virtualmachine:
  db_retention: 2 # Number of weeks
  forecast:
    enabled: true
    period: 5 # Number of minutes
  forecast_far:
    enabled: false
    period: 2880 # Number of minutes
"""


class AgentsCase(AsideCase, AgentCase):
    """Hosts where guests' agents are asked."""
    aside_seconds = LIMIT + 15

    def replacing(self, conf):
        host = self.host()
        host.configure("mode = replace\n[guests]\ninterval = 10s")
        (host.tree.conf.parent / "guestagent.conf").write_text(conf)
        return host


class Agents(AgentsCase):
    """Guests without an agent, on a real libvirt."""

    def test_no_agent(self):
        """guests without agent: the error is their key's value from the next cycle on, and they are asked once"""
        host = self.replacing(CONF.format("true"))
        self.assertIsNone(self.cycle(host)[83].get("VM_QEMU_PING"))
        book = host.state / "guests-state-0.domstats"
        said = self.cycle(host)
        for vm in (83, 84):
            self.assertRegex(said[vm]["VM_QEMU_PING"], "^error: .*agent is not configured")
        before = book.stat()
        for _ in range(3):
            self.assertIn("VM_QEMU_PING", self.cycle(host)[83])
        self.assertEqual((book.stat().st_mtime_ns, book.stat().st_ino), (before.st_mtime_ns, before.st_ino),
                         "nobody was asked again")
        host.configure("mode = replace\n[guests]\nask = no")
        self.assertIsNone(self.cycle(host)[83]["VM_QEMU_PING"], "deleted")

    def test_not_enabled(self):
        """guestagent.conf as it comes, none, beside poll.rb: nobody is asked and nothing is sent"""
        for conf, mode in ((CONF.format("false"), "replace"), ("", "replace"), (CONF.format("true"), "beside")):
            host = self.replacing(conf)
            host.configure(f"mode = {mode}")
            for _ in range(2):
                self.assertNotIn("VM_QEMU_PING", self.cycle(host)[83])
            self.assertFalse((host.state / "guests-state-0.domstats").exists(), conf)

    def test_wrong_file(self):
        """a command that is wrong is told the log once, with its line; the others are asked"""
        host = self.replacing(CONF.format("true") + "  :bad: two-$vm_id '{}'\n")
        for _ in range(3):
            for book in host.state.glob("guests-*"):
                book.unlink()
            self.cycle(host)
        said = self.warnings(host)
        self.assertEqual(len(said), 1, said)
        self.assertRegex(said[0], "guests' agents: guestagent.conf: line 4: bad: it does not begin with one-")

    def test_unreadable_file(self):
        """a file that can't be read at all is told the log once, with its line, and nothing is sent"""
        host = self.replacing(CONF.format("true") + "  :bad: {a: 1}\n")
        for _ in range(3):
            self.assertNotIn("VM_QEMU_PING", self.cycle(host)[83])
        said = self.warnings(host)
        self.assertEqual(len(said), 1, said)
        self.assertRegex(said[0], "guests' agents: .*/guestagent.conf: line 4: lists in lists, {…}")

    def test_by_hand(self):
        """--ask-guests: without a sample, and beside other options, it says what is missing"""
        host = self.replacing(CONF.format("true"))
        run = host.by_hand("--ask-guests")
        self.assertEqual(run.status, 1, run)
        self.assertRegex(run.err, "no guest is asked: .*no previous sample")
        self.assertEqual(host.by_hand("--ask-guests", "--format", "json").status, 2)


class AnsweringAgents(AgentsCase, StandInCase):
    """Guests whose agents are stand-ins, under a real libvirt."""
    with_agent = vms = (79, 80, 82, 83)
    fleet = ()

    def setUp(self):
        super().setUp()
        for vm, agent in self.agents.items():
            agent.answers = {"guest-network-get-interfaces": INTERFACES, "guest-get-host-name": {"host-name": f"h{vm}"},
                             "guest-get-timezone": {"zone": "CET", "offset": 3600}}

    def entries(self, host):
        """{VM: (failures in a row, when it is asked again)} as the probe keeps it."""
        text = (host.state / "guests-state-0.domstats").read_text()
        return {int(vm): (int(failures), int(due))
                for vm, failures, due in re.findall(r"^vm (\d+) \d+ (\d+) (\d+) ", text, re.M)}

    def test_hangs_on_a_command(self):
        """agents that answer but hang on a command: they have that error and are left alone, the others all answers"""
        host = self.replacing(CONF.format("true") + COMMANDS)
        self.agents[82].hangs.add("guest-get-host-name")
        self.agents[80].hangs.add("guest-get-timezone")
        self.cycle(host)  # over within its limit, or it fails
        entries, said = self.entries(host), self.cycle(host)
        for vm in (79, 83):
            self.assertEqual([said[vm].get(key) for key in ("VM_QEMU_PING", "INTERFACES", "HOST", "TIME")],
                             ["{}", "lo, eth0", f"h{vm}", "CET"], said[vm])
        self.assertEqual((said[82]["INTERFACES"], said[80]["HOST"]), ("lo, eth0", "h80"))
        for vm, key in ((82, "HOST"), (82, "TIME"), (80, "TIME")):
            self.assertRegex(said[vm][key], "^error: ")
        self.assertEqual(self.agents[82].asked, ["guest-get-osinfo", "guest-network-get-interfaces", "guest-ping",
                                                 "guest-network-get-interfaces", "guest-get-host-name"])
        self.assertEqual([entries[vm][0] for vm in self.vms], [0, 1, 1, 0])
        self.assertGreater(entries[82][1], entries[83][1] + 15)

    def test_filters(self):
        """what guests run and their addresses, without being listed; commands with filters for those alone that match"""
        systems = {79: {"id": "ubuntu", "version-id": "24.04", "machine": "x86_64", "kernel-release": "6.8"},
                   80: {"id": "ubuntu", "version-id": "23.10", "machine": "x86_64", "kernel-release": "6.5"},
                   83: {"id": "mswindows", "version-id": "10", "machine": "x86_64", "kernel-release": "19045"}}
        for vm, system in systems.items():
            self.agents[vm].answers["guest-get-osinfo"] = system
        self.agents[79].answers["guest-network-get-interfaces"] = [INTERFACES[0], {
            **INTERFACES[1], "ip-addresses": [{"ip-address-type": "ipv6", "ip-address": "2001:db8::4f", "prefix": 64},
                                              *INTERFACES[1]["ip-addresses"]]}]
        del self.agents[82].answers["guest-network-get-interfaces"]
        host = self.replacing(CONF.format("true") + FILTERED)
        self.cycle(host)
        said = self.cycle(host)
        keys = ("OS_TYPE", "OS_ID", "OS_VERSION", "OS_MACHINE", "GUEST_IP_ADDRESSES", "VM_QEMU_PING", "HOST", "TIME")
        self.assertEqual({vm: [said[vm].get(key) for key in keys] for vm in self.vms}, {
            79: ["posix", "ubuntu", "24.04", "x86_64", "2001:db8::4f,192.168.150.83", "{}", "h79", None],
            80: ["posix", "ubuntu", "23.10", "x86_64", "192.168.150.83", "{}", None, None],
            82: [None, None, None, None, None, "{}", None, None],  # its agent has neither command
            83: ["mswindows", "mswindows", "10", "x86_64", "192.168.150.83", "{}", None, "CET"]}, said)
        self.assertEqual([entry[0] for entry in self.entries(host).values()], [0] * 4)

    def test_addresses(self):
        """the commands for addresses of newer guestagent.conf, with jq: their keys; without jq: the error says so"""
        host = self.replacing(CONF.format("true") + ADDRESSES)
        self.cycle(host)
        said = self.cycle(host)[83]
        self.assertEqual((said["VM_IP_ADDRESS"], said["VM_IP_ADDRESS_LIST"]),
                         ("192.168.150.83", "127.0.0.1, ::1, 192.168.150.83, fe80::ff:fe96:53"), said)
        host = self.replacing(CONF.format("true") + ADDRESSES.replace("jq ", "jq-is-missing "))
        self.cycle(host)
        said = self.cycle(host)[83]
        self.assertEqual(said["VM_QEMU_PING"], "{}")
        for key in ("VM_IP_ADDRESS", "VM_IP_ADDRESS_LIST"):
            self.assertRegex(said[key], r"^error: .* behind the \| has failed: exit status 127; .*jq-is-missing: not found")


COMMANDS = """  :interfaces: one-$vm_id '{"execute":"guest-network-get-interfaces"}' | jq '{return:[.return[].name]}'
  :host: one-$vm_id '{"execute":"guest-get-host-name"}' --timeout 5 | jq '{return:.return."host-name"}'
  :time: one-$vm_id '{"execute":"guest-get-timezone"}' --timeout 5 | jq '{return:.return.zone}'
"""

# As OpenNebula's documentation has them.
FILTERED = """  :host:
    :command: 'one-$vm_id ''{"execute":"guest-get-host-name"}'' --timeout 5 | jq ''{return:.return."host-name"}'''
    :os_ids: ['ubuntu']
    :os_versions: ['24.04', '22.04']
  :time:
    :command: one-$vm_id '{"execute":"guest-get-timezone"}' | jq '{return:.return.zone}'
    :os_types:
    - mswindows
"""

# The form that OpenNebula's file has them in: folded, with the shell's part on a line of its own.
ADDRESSES = """  # one that others reach it at
  :vm_ip_address:       >
                        one-$vm_id '{"execute":"guest-network-get-interfaces"}' --timeout 5 |
                        jq '{"return": [.return[]."ip-addresses"[] | select(."ip-address-type" == "ipv4" and
                        (."ip-address" | startswith("127.") | not))."ip-address"][0]}'
  # all
  :vm_ip_address_list:  >
                        one-$vm_id '{"execute":"guest-network-get-interfaces"}' --timeout 5 |
                        jq '{"return": [.return[]."ip-addresses"[]."ip-address"]}'
"""

# As QEMU's agent answers in Linux, shortened.
INTERFACES = [
    {"name": "lo", "hardware-address": "00:00:00:00:00:00",
     "ip-addresses": [{"ip-address-type": "ipv4", "ip-address": "127.0.0.1", "prefix": 8},
                      {"ip-address-type": "ipv6", "ip-address": "::1", "prefix": 128}],
     "statistics": {"rx-bytes": 6664, "rx-packets": 84, "rx-errs": 0, "rx-dropped": 0,
                    "tx-bytes": 6664, "tx-packets": 84, "tx-errs": 0, "tx-dropped": 0}},
    {"name": "eth0", "hardware-address": "02:00:00:96:00:53",
     "ip-addresses": [{"ip-address-type": "ipv4", "ip-address": "192.168.150.83", "prefix": 24},
                      {"ip-address-type": "ipv6", "ip-address": "fe80::ff:fe96:53", "prefix": 64}],
     "statistics": {"rx-bytes": 91250, "rx-packets": 873, "rx-errs": 0, "rx-dropped": 0,
                    "tx-bytes": 70022, "tx-packets": 612, "tx-errs": 0, "tx-dropped": 0}}]

CONF = """:enabled: {}
:commands:
  :vm_qemu_ping: "one-$vm_id '{{\\"execute\\":\\"guest-ping\\"}}' --timeout 5"
"""


def can_forecast():
    """What the probe looks for."""
    places = ("usr/lib/python3*/dist-packages", "usr/lib/python3*/site-packages", "usr/lib64/python3*/site-packages",
              "usr/local/lib/python3*/*-packages", "var/lib/one/.local/lib/python3*/site-packages")
    return all(any(list(pathlib.Path("/").glob(f"{place}/{name}")) for place in places) for name in ("numpy", "scipy"))


if __name__ == "__main__":
    raise SystemExit(main())
