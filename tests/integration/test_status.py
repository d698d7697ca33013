#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The state probe in OpenNebula's tree, with libvirt's test driver: what it tells run after run, taking turns with
OpenNebula's own probe, and everything that can be wrong: none of it may power a VM off."""
import fcntl
import os
import random
import resource
import subprocess
import threading
import time

from harness import main
from status_case import FULL, SYNC, TIMES, StatusCase, StockProbe, report, told_by_uuid, uuid

RUN, OFF, BAD, SLEEP = "RUNNING", "POWEROFF", "FAILURE", "SUSPENDED"
MANY = 200  # VMs whose report is longer than the shortest pipe holds


class Status(StatusCase):
    sanitized = True

    def test_told(self):
        """first all, then changes alone, a VM that is gone after six misses, and all again after 180 s"""
        host = self.status_host()
        self.domains(host, (7, RUN), (8, RUN), ("web", RUN, 99))
        self.assert_told(host.cycle(), (7, RUN), (8, RUN), (-1, RUN), full=True)
        self.assert_told(host.cycle())
        self.domains(host, (7, SLEEP), (8, RUN), (9, BAD), ("web", BAD, 99))
        self.assert_told(host.cycle(), (7, SLEEP), (9, BAD))
        self.domains(host, (7, SLEEP), (9, BAD), ("web", BAD, 99))
        for missing in range(1, TIMES + 1):
            self.assert_told(host.cycle())
            self.assertEqual(host.database.rows()[8], (RUN, missing))
        self.assert_told(host.cycle(), (8, OFF))
        self.assertEqual(host.database.rows(), {7: (SLEEP, 0), 9: (BAD, 0)})
        host.database.age(SYNC - 10)
        self.assert_told(host.cycle())
        host.database.age(SYNC + 1)
        self.domains(host, (7, RUN), ("web", SLEEP, 99))
        self.assert_told(host.cycle(), (7, RUN), (9, BAD), (-1, SLEEP), full=True)
        self.assert_told(host.cycle())

    def test_deploy_ids(self):
        """a record has the domain's uuid, also of a VM that is gone"""
        host = self.status_host(probe_db=":times_missing: 0\n")
        self.domains(host, (7, RUN, 70))
        self.assertEqual(report(host.cycle().out)[2], {7: uuid(70)})
        self.domains(host)
        self.assertEqual(report(host.cycle().out)[1:], ([(7, OFF)], {7: uuid(70)}))

    def test_settings(self):
        """SYNC_STATE_VM and probe_db.conf count; without the file a VM is gone after the fourth miss"""
        host = self.status_host(probe_db=None)
        self.sync(host, "1000")
        self.domains(host, (7, RUN))
        host.cycle()
        host.database.age(900)
        self.domains(host)
        for _ in range(3):
            self.assert_told(host.cycle())
        self.assert_told(host.cycle(), (7, OFF))
        host.database.age(1001)
        self.assert_told(host.cycle(), full=True)
        elsewhere = host.dir / "elsewhere"
        elsewhere.mkdir()
        host.probe_db.write_text(f":base_path: '{elsewhere}/'\n")
        self.assert_told(host.cycle(), full=True)
        self.assertTrue((elsewhere / "status_kvm_0.db").exists())

    def test_turns(self):
        """ours and OpenNebula's own take turns on one database: each goes on where the other stopped"""
        host = self.status_host()
        stock, alone = StockProbe(host.database), self.status_host()
        dice = random.Random(7)
        reference = StockProbe(alone.database)  # what would be told had nobody changed places
        is_ = {vm: RUN for vm in (*range(6), "web", "mail")}
        numbers = {vm: number for number, vm in enumerate(is_)}
        for turn in range(80):
            for vm in is_:
                if dice.random() < 0.3:
                    is_[vm] = dice.choice((RUN, RUN, SLEEP, BAD, None, None, None))
            there = [(vm, state) for vm, state in is_.items() if state]
            if turn and dice.random() < 0.1:
                host.database.age(SYNC + 1)
                alone.database.age(SYNC + 1)
            stock_turn = [(vm if isinstance(vm, int) else -1, uuid(numbers[vm]), state) for vm, state in there]
            want_full, want = reference.run(stock_turn)
            if dice.random() < 0.5:
                got_full, got = stock.run(stock_turn)
            else:
                self.domains(host, *((vm, state, numbers[vm]) for vm, state in there))
                got_full, got = told_by_uuid(host.cycle().out)
            self.assertEqual((got_full, sorted(got, key=str)), (want_full, sorted(want, key=str)), f"turn {turn}: {there}")
            self.assertEqual(host.database.rows(), alone.database.rows(), f"turn {turn}")
            self.assertEqual(host.database.others(), alone.database.others(), f"turn {turn}")

    def test_imported(self):
        """a domain of another name, as of an imported VM, away when a full report is due: named, and off after six misses"""
        host = self.status_host()
        self.domains(host, ("web", SLEEP, 99))
        self.assert_told(host.cycle(), (-1, SLEEP), full=True)
        self.domains(host)
        host.database.age(SYNC + 1)
        self.assert_told(host.cycle(), (-1, SLEEP), full=True)
        self.domains(host, ("web", RUN, 99))
        self.assert_told(host.cycle())
        self.domains(host)
        for missing in range(TIMES):
            self.assert_told(host.cycle())
            self.assertEqual(host.database.others(), {uuid(99): missing + 1})
        self.assertEqual(told_by_uuid(host.cycle().out), (False, [(uuid(99), OFF)]))
        self.assertEqual(host.database.others(), {})

    def test_old(self):
        """rows that were not written for 12 hours are forgotten, and no VM is powered off for it"""
        host = self.status_host()
        self.domains(host, (7, RUN), (8, RUN))
        host.cycle()
        host.database.ask("UPDATE states SET timestamp = timestamp - 43205")
        self.domains(host, (7, RUN))
        self.assert_told(host.cycle(), (7, RUN))
        self.assertEqual(host.database.rows(), {7: (RUN, 0)})

    # ---- libvirt ---------------------------------------------------------------------------------------

    def test_no_libvirt(self):
        """libvirt that can't be asked: a failure, and the database is as it was, however long it lasts"""
        host = self.status_host()
        self.domains(host, (7, RUN))
        host.cycle()
        host.database.age(SYNC + 1)
        before, node = host.database.content(), host.node.read_text()
        host.node.write_text("<node><domain>")
        for _ in range(TIMES + 3):
            self.assert_failed(host.cycle(), "libvirt at test:///.*: cannot connect: ")
        self.assertEqual(host.database.content(), before)
        host.node.write_text(node)
        self.assert_told(host.cycle(), (7, RUN), full=True)

    def test_no_libvirt_at_first(self):
        """no database is made where libvirt can't be asked"""
        host = self.status_host("qemu+unix:///system?socket=/nonexistent/socket")
        self.assert_failed(host.cycle(), r"libvirt at qemu\+unix:.*: cannot connect: ")
        self.assertIsNone(host.database.content())

    def test_wrong_libvirt(self):
        """settings that may lead to another libvirt are a failure: a kvmrc that needs a shell, a telemetry.conf with an error"""
        host = self.status_host()
        self.domains(host, (7, RUN))
        host.cycle()
        before, kvmrc = host.database.content(), host.tree.kvmrc.read_text()
        host.tree.kvmrc.write_text("LIBVIRT_URI=qemu+ssh://$PEER/system\n")
        self.assert_failed(host.cycle(), ".*/kvmrc: LIBVIRT_URI is not written as a plain value; write ", status=2)
        host.configure("uri = test:///default")  # which goes before it
        self.assert_told(host.cycle(), (-1, RUN))  # that libvirt's own
        host.tree.kvmrc.write_text(kvmrc)
        host.configure("urj = test:///default")
        self.assert_failed(host.cycle(), r".*telemetry.conf:3: \[probe\] urj", status=2)
        host.configure()
        self.assertEqual(host.database.ask("SELECT missing FROM states WHERE id = 7"), [(1,)])
        self.assertNotEqual(host.database.content(), before)
        self.assert_told(host.cycle())

    # ---- the database ----------------------------------------------------------------------------------

    def test_locked(self):
        """a database that another program holds: a failure after some seconds, or a wait that ends well"""
        host = self.status_host()
        self.domains(host, (7, RUN))
        host.cycle()
        self.domains(host, (7, SLEEP))
        with host.database.open() as db:
            db.execute("BEGIN IMMEDIATE")
            self.assert_failed(host.cycle(), ".*status_kvm_0.db: another program holds it locked")
            process = host.start()
            time.sleep(0.5)
            db.execute("ROLLBACK")
            self.assert_told(host.finish(process), (7, SLEEP))

    def test_damaged(self):
        """a damaged database is kept aside and begun anew, with a full report; then all is as always"""
        host = self.status_host()
        self.domains(host, (7, RUN))
        aside = host.database.path.with_name("status_kvm_0.db.damaged")
        for damage in ("this is no database. " * 30, None):
            host.cycle()
            if damage:
                host.database.path.write_text(damage)
            else:
                host.database.ask("DROP TABLE states")
                host.database.ask("CREATE TABLE states(uuid, id, name)")
            broken = host.database.content()
            self.assert_told(host.cycle(), (7, RUN), full=True, log=[".*: (file is not a database|.*no such column).*; it is "
                                                                      "kept as .*status_kvm_0.db.damaged, and begun anew"])
            self.assertEqual(aside.read_bytes(), broken)
            self.assert_told(host.cycle())
        dry = host.cycle("--dry-run")
        self.assertEqual((dry.status, dry.out), (0, ""), dry)

    def test_no_place(self):
        """a database that can't be made: a failure"""
        host = self.status_host()
        self.domains(host, (7, RUN))
        host.database.path.mkdir()
        self.assert_failed(host.cycle(), ".*status_kvm_0.db: unable to open database file")
        host.database.path.rmdir()
        host.probe_db.write_text(":base_path: /nonexistent\n")
        self.assert_failed(host.cycle(), "/nonexistent/status_kvm_0.db: unable to open database file")

    def test_read_only(self):
        """a database that may not be written: a failure, though nothing would have to be"""
        host = self.status_host()
        self.domains(host, (7, RUN))
        host.cycle()
        for path in (host.tree.root, host.tree.root / "im", host.database.path):
            path.chmod(path.stat().st_mode | 0o755)

        def nobody():
            host.syslog.enter()
            os.setgid(65534)
            os.setuid(65534)
        self.scratch.chmod(0o755)
        host.dir.chmod(0o755)
        (host.syslog.dev / "log").chmod(0o666)
        run = host.cycle(preexec_fn=nobody)
        self.assert_failed(run, ".*status_kvm_0.db: it can't be written")

    def test_full_disk(self):
        """a full disk: a failure, nothing printed or kept; the news is told when there is room"""
        host = self.status_host()
        self.domains(host, (7, RUN))
        host.cycle()
        before = host.database.content()
        self.domains(host, (7, SLEEP))

        def no_room():
            host.syslog.enter()
            resource.setrlimit(resource.RLIMIT_FSIZE, (512, 512))
        self.assert_failed(host.cycle(preexec_fn=no_room), ".*status_kvm_0.db: (disk I/O error|database or disk is full)")
        self.assertEqual(host.database.content(), before)
        self.assert_told(host.cycle(), (7, SLEEP))

    # ---- the report's way ------------------------------------------------------------------------------

    def test_nobody_reads(self):
        """a reader that is gone: a failure, and the same is told again"""
        host = self.status_host()
        self.domains(host, (7, RUN))
        reading, writing = os.pipe()
        os.close(reading)
        with os.fdopen(writing) as stdout:
            run = host.cycle(stdout=stdout)
        self.assert_failed(run, "cannot write to standard output: Broken pipe")
        self.assertEqual(host.database.ask("SELECT count(*) FROM sqlite_master"), [(0,)])
        self.assert_told(host.cycle(), (7, RUN), full=True)
        self.domains(host, (7, SLEEP))
        self.assertEqual(host.cycle(preexec_fn=host.closing(1)).status, 1)
        self.assert_told(host.cycle(), (7, SLEEP))

    def test_killed(self):
        """killed with half of its report printed: nothing is kept, and all of it is told again"""
        host = self.status_host()
        self.domains(host, *((vm, RUN) for vm in range(MANY)))
        reading, writing = os.pipe()
        fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
        with os.fdopen(reading) as report_, os.fdopen(writing) as stdout:
            process = host.start(stdout=stdout)
            self.addCleanup(process.stderr.close)
            half = report_.read(1000)  # the rest waits for us
            self.assertEqual(half.splitlines()[:2], FULL)
            self.assertIsNone(process.poll(), "it has ended before it was killed")
            process.kill()
            process.wait(10)
        run = host.cycle()
        self.assert_told(run, *((vm, RUN) for vm in range(MANY)), full=True)
        self.assert_told(host.cycle())

    def test_side_by_side(self):
        """two at once: one after the other, and only one of them tells"""
        host = self.status_host()
        self.domains(host, (7, RUN))
        host.cycle()
        self.domains(host, (7, SLEEP))
        runs = []
        threads = [threading.Thread(target=lambda: runs.append(host.start().communicate(timeout=60)[0])) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(sorted(map(len, runs))[:3], [0, 0, 0], runs)
        self.assertEqual(report("".join(runs))[1], [(7, SLEEP)])

    # ---- standard input, arguments, settings -----------------------------------------------------------

    def test_configuration(self):
        """without a configuration that can be read, full reports come every 180 s, and each time it is said why"""
        host = self.status_host()
        self.domains(host, (7, RUN))
        cut = host.dir / "cut.xml"
        cut.write_bytes(host.tree.configuration.read_bytes()[:-50])
        for give, why in ((lambda: open(os.devnull, "rb"), "OpenNebula's configuration is missing"),
                          (lambda: open(cut, "rb"), "OpenNebula's configuration on standard input can't be read: line 1")):
            host.database.path.unlink(missing_ok=True)
            with give() as stdin:
                self.assert_told(host.cycle(stdin=stdin), (7, RUN), full=True, log=[f"{why}.*; a full report is made every 180 s"])
            host.database.age(SYNC - 10)
            with give() as stdin:
                self.assert_told(host.cycle(stdin=stdin))
        for wrong in ("-5", "0", "soon"):
            self.sync(host, wrong)
            host.database.age(SYNC - 10)
            self.assert_told(host.cycle())
            host.database.age(SYNC + 1)
            self.assert_told(host.cycle(), (7, RUN), full=True, log=[f'PROBES_PERIOD/SYNC_STATE_VM is "{wrong}": expected'])
        host.database.age(SYNC + 1)
        self.assert_told(host.cycle(preexec_fn=host.closing(0)), (7, RUN), full=True, log=["OpenNebula's configuration is"])

    def test_silent_input(self):
        """a standard input that stays open does not hold it up"""
        host = self.status_host()
        self.domains(host, (7, RUN))
        reading, writing = os.pipe()
        with os.fdopen(reading) as stdin, os.fdopen(writing, "w"):
            run = host.cycle(stdin=stdin)
        self.assert_told(run, (7, RUN), full=True, log=["OpenNebula's configuration is missing"])

    def test_probe_db(self):
        """what can't be read in probe_db.conf is said with full reports, and OpenNebula's own figures count"""
        host = self.status_host(probe_db=":times_missing: often\n")
        self.domains(host, (7, RUN))
        self.assert_told(host.cycle(), (7, RUN), full=True,
                         log=['.*/probe_db.conf: line 1: ":times_missing: often": expected .*; taken as 5'])
        self.domains(host)
        for _ in range(5):
            self.assert_told(host.cycle())
        self.assert_told(host.cycle(), (7, OFF))

    def test_stock_beside(self):
        """while OpenNebula's own can still be executed beside it, it leaves the work to that"""
        host = self.status_host()
        self.domains(host, (7, RUN))
        stock = host.tree.probes / "state.rb"
        stock.write_text("#!/bin/sh\n")
        stock.chmod(0o755)
        self.assert_told(host.cycle(), log=["state.rb is in the same directory and can be executed"])
        self.assertIsNone(host.database.content())
        self.assertEqual(report(host.cycle("--dry-run").out)[:2], (True, [(7, RUN)]))
        stock.chmod(0o644)
        self.assert_told(host.cycle(), (7, RUN), full=True)

    def test_by_hand(self):
        """by hand: all states without a trace, what would be told with --dry-run, and settings with --dump-config"""
        host = self.status_host()
        self.domains(host, (7, RUN), ("web", SLEEP, 99))
        run = host.by_hand()
        self.assertEqual((run.status, run.err, run.log), (0, "", []), run)
        full, told, _ = report(run.out)  # in libvirt's order, which is any
        self.assertEqual((full, sorted(told)), (True, [(-1, SLEEP), (7, RUN)]), run)
        self.assertIsNone(host.database.content())
        host.cycle()
        self.domains(host, (7, BAD))
        before = host.database.content()
        for _ in range(2):
            run = host.cycle("--dry-run")
            self.assertEqual((run.status, run.err, run.log), (0, "", []), run)
            self.assertEqual(report(run.out)[:2], (False, [(7, BAD)]), run)
        self.assertEqual(host.database.content(), before)
        run = host.cycle("--dump-config")
        self.assertIn(f"libvirt at test://{host.node}, what was told before in {host.database.path};", run.out, run)
        self.assertIn("missing more than 5 times, a row is believed for 720 min", run.out, run)
        other = host.dir / "other.db"
        self.assertEqual(report(host.cycle("--database", str(other)).out)[:2], (True, [(7, BAD)]))
        self.assertTrue(other.exists())

    def test_wrong_usage(self):
        """wrong usage: status 2, and what to do"""
        host = self.status_host()
        for words, says in ((["0"], "expected HOST_ID and HOST_NAME as the last two"),
                            (["kvm", "../0", "h"], "expected HOST_ID, a number, as the last argument but one"),
                            (["--database", "x"], "--database goes with HOST_ID and HOST_NAME"),
                            (["--deadline", "soon"], "--deadline"), (["--nonsense"], "--nonsense"),
                            (["--config", "/nonexistent"], "/nonexistent")):
            run = host.by_hand(*words)
            self.assertEqual((run.status, run.out), (2, ""), run)
            self.assertIn(says, run.err, run)
            self.assertEqual(run.err.count("\n"), 1, run)
        loose = subprocess.run([self.probe(), "--uri", "test:///default", "kvm", "0", "h"], stdin=subprocess.DEVNULL,
                               capture_output=True, text=True, check=False)
        self.assertEqual(loose.returncode, 2)
        self.assertIn("stands in no tree of OpenNebula's, so --database is needed", loose.stderr)

    def test_help(self):
        """--help and --version"""
        host = self.status_host()
        run = host.by_hand("--version")
        self.assertRegex(run.out, r"\Avm_status \(one-telemetry\) [0-9.]+\n\Z")
        run = host.by_hand("--help")
        self.assertIn("in the place of state.rb", run.out)
        self.assertIsNone(host.database.content())


if __name__ == "__main__":
    raise SystemExit(main())
