# SPDX-License-Identifier: Apache-2.0
"""What the tests of the state probe share: a host with it in OpenNebula's tree, its database, a reader of its reports,
and OpenNebula's own probe, as far as its statements go."""
import contextlib
import pathlib
import re
import sqlite3
import time

from harness import Case, args
from host import Host
from opennebula import CONFIGURATION

RECORD = re.compile(r'^VM = \[ ID="(-?\d+)", DEPLOY_ID="([0-9a-f-]{36})", STATE="([A-Z]+)" \]$')
FULL = ["SYNC_STATE=yes", "MISSING_STATE=POWEROFF"]
TIMES = 5  # as OpenNebula ships :times_missing:
SYNC = 180
THERE = "there"
TEST_NS = "http://libvirt.org/schemas/domain/test/1.0"
RUNSTATE = {"RUNNING": 1, "FAILURE": 6, "SUSPENDED": 7}  # of libvirt's test driver


def uuid(number):
    return f"11111111-0000-4000-8000-{number:012d}"


def report(text):
    """(whether it is a full one, [(id, state)], {id: deploy id}) of what the probe printed; strict."""
    lines = text.splitlines()
    full = lines[:2] == FULL
    found = [RECORD.match(line) for line in lines[2 * full:]]
    if not all(found) or (text and not text.endswith("\n")):
        raise ValueError(f"not a report: {text[:500]}")
    return full, [(int(each[1]), each[3]) for each in found], {int(each[1]): each[2] for each in found}


def told_by_uuid(text):
    """(whether it is a full one, [(id, state)]) of what the probe printed; of domains of other names as StockProbe's."""
    full = report(text)[0]
    records = [RECORD.match(line) for line in text.splitlines()[2 * full:]]
    return full, [(int(id_), state) if int(id_) >= 0 else (uuid_, state if state == "POWEROFF" else THERE)
                  for id_, uuid_, state in (record.groups() for record in records)]


class Database:
    """status_kvm_0.db of a tree."""

    def __init__(self, path):
        self.path = pathlib.Path(path)

    @contextlib.contextmanager
    def open(self):
        with contextlib.closing(sqlite3.connect(self.path, isolation_level=None)) as db:
            yield db

    def ask(self, sql, *values):
        with self.open() as db:
            return db.execute(sql, values).fetchall()

    def rows(self):
        """{id: (state, missing)} of VMs."""
        return {id_: (state, missing) for id_, state, missing in self.ask("SELECT id, state, missing FROM states WHERE id >= 0")}

    def others(self):
        """{uuid: missing} of domains of other names."""
        return dict(self.ask("SELECT uuid, missing FROM states WHERE id = -1"))

    def content(self):
        return self.path.read_bytes() if self.path.exists() else None

    def age(self, seconds):
        """As if the last full report had been so long ago."""
        self.ask("REPLACE INTO settings VALUES ('LAST_SYNC', ?)", int(time.time()) - seconds)


class StockProbe:
    """What OpenNebula's own probe does with that file, read from its source; each statement is a transaction there. It
    takes its domains from the test: [(id, uuid, state)]. Of domains of other names, whose id is -1, it knows no state, and
    tells that with each run: what comes back is [(id, state)], of these [(uuid, THERE or POWEROFF)],
    THERE with full reports and of new ones."""

    def __init__(self, database, times=TIMES, sync=SYNC):
        self.database, self.times, self.sync = database, times, sync

    def run(self, domains):
        now, told = int(time.time()), []
        with self.database.open() as db:
            db.execute("CREATE TABLE IF NOT EXISTS states(uuid VARCHAR(128) PRIMARY KEY, id INTEGER, name VARCHAR(128), "
                       "deploy_id VARCHAR(128), timestamp INTEGER, missing INTEGER, state VARCHAR(128), hyperv VARCHAR(128))")
            db.execute("CREATE TABLE IF NOT EXISTS settings(key VARCHAR(128) PRIMARY KEY, value VARCHAR(128))")
            db.execute("DELETE FROM states WHERE timestamp < ?", (now - 720 * 60,))
            found = db.execute("SELECT value FROM settings WHERE key = 'LAST_SYNC'").fetchone()
            full = found is None or now > int(found[0]) + self.sync
            if full:
                db.execute(f"REPLACE INTO settings VALUES ('LAST_SYNC', {now})")
            for id_, uuid_, state in domains:
                where, which = ("WHERE id = ? OR uuid = ?", (str(id_), uuid_)) if id_ >= 0 else ("WHERE uuid = ?", (uuid_,))
                state = state if id_ >= 0 else ""
                row = db.execute(f"SELECT * FROM states {where}", which).fetchone()
                if row is None:
                    db.execute("INSERT INTO states VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                               (uuid_, id_, f"one-{id_}", uuid_, now, 0, state, "kvm"))
                else:
                    db.execute(f"UPDATE states SET state = ?, missing = 0, timestamp = ?, uuid = ?, deploy_id = ? {where}",
                               (state, now, uuid_, uuid_, *which))
                if id_ < 0:
                    told += [(uuid_, THERE)] if full or row is None else []
                elif full or row is None or row[6] != state:
                    told.append((id_, state))
            seen = {uuid_ for _, uuid_, _ in domains}
            for row in db.execute("SELECT * FROM states").fetchall():
                if row[0] in seen:
                    continue
                who = row[1] if row[1] >= 0 else row[0]
                if row[5] >= self.times:
                    told.append((who, "POWEROFF"))
                    db.execute("DELETE FROM states WHERE uuid = ?", (row[0],))
                else:
                    if full:
                        told.append((who, row[6] if row[1] >= 0 else THERE))
                    db.execute("UPDATE states SET timestamp = ?, missing = ? WHERE uuid = ?", (now, row[5] + 1, row[0]))
        return full, told


class StatusCase(Case):
    """Hosts whose libvirt is its test driver, with the domains that a test says."""

    @classmethod
    def probe(cls):
        return (args.asan if cls.sanitized else args.build) / "probes" / "vm_status"

    def status_host(self, uri=None, conf="", probe_db=f":obsolete: 720\n:times_missing: {TIMES}\n"):
        host = self.host(uri, conf, period="status")
        host.database = Database(host.tree.root / "im" / "status_kvm_0.db")
        host.probe_db = host.tree.root / "etc" / "im" / "kvm-probes.d" / "probe_db.conf"
        if probe_db is not None:
            host.probe_db.write_text(probe_db)
        return host

    def host(self, uri=None, conf="", **options):
        """As Case's; the test driver's file is the host's own, host.domains."""
        type(self).hosts += 1
        directory = self.scratch / f"host-{self.hosts}"
        made = Host(directory, self.probe(), uri or f"test://{directory}/node.xml", conf, **options)
        made.node = directory / "node.xml"
        self.addCleanup(made.close)
        self.domains(made)
        return made

    @staticmethod
    def domains(host, *domains):
        """What libvirt has from now on: (id or name, state[, uuid's number])."""
        text = ""
        for name, state, *number in domains:
            number = number[0] if number else name
            name = f"one-{name}" if isinstance(name, int) else name
            text += (f"<domain type='test' xmlns:test='{TEST_NS}'><name>{name}</name><uuid>{uuid(number)}</uuid>"
                     "<memory unit='KiB'>8192</memory><vcpu>1</vcpu><os><type>hvm</type></os>"
                     f"<test:runstate>{RUNSTATE[state]}</test:runstate></domain>")
        host.node.write_text(f"<node>{text}</node>")

    @staticmethod
    def sync(host, text):
        """SYNC_STATE_VM from now on."""
        xml = CONFIGURATION.read_text().replace("<SYNC_STATE_VM><![CDATA[180]]>", f"<SYNC_STATE_VM><![CDATA[{text}]]>")
        host.tree.configuration = host.dir / "configuration.xml"
        host.tree.configuration.write_text(xml)

    def assert_told(self, run, *told, full=False, log=()):
        """Just this, exit status 0, and of warnings just these."""
        self.assertEqual((run.status, run.err), (0, ""), run)
        got_full, got, _ = report(run.out)
        self.assertEqual((got_full, sorted(got)), (full, sorted(told)), run)
        self.assert_logged(run, *log)

    def assert_failed(self, run, reason, status=1):
        """Nothing for OpenNebula but one line that says why; the same for the log."""
        self.assertEqual((run.status, run.out), (status, ""), run)
        self.assertRegex(run.err, rf"\Aone-telemetry: {reason}[^\n]*\n\Z", run)
        self.assert_logged(run, reason)
