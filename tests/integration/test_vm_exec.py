#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""vm_exec as OpenNebula calls it: commands in real guests under a real libvirt, with stand-ins for the agents in them."""
import contextlib
import fcntl
import os
import re
import socket
import threading

from agent_case import StandInCase
from exec_case import DEADLINE, ExecCase, record
from harness import main
from opennebula import message_size

RELOCATIONS = 1500  # symbols that the loader may look up; libvirt has 18,000


class NothingPending(ExecCase):
    """The usual case, with somebody in libvirtd's place who counts who comes."""

    def setUp(self):
        self.socket = self.scratch / f"libvirt-{type(self).hosts}.sock"
        self.listener = socket.socket(socket.AF_UNIX)
        self.addCleanup(self.listener.close)
        self.listener.bind(str(self.socket))
        self.listener.listen(16)
        super().setUp()

    def uri(self):
        return f"qemu+unix:///system?socket={self.socket}"

    def visitors(self):
        """How many have connected since the last call."""
        found = 0
        self.listener.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                self.listener.accept()[0].close()
                found += 1
        return found

    def test_cost(self):
        """nothing pending: libvirt is neither loaded nor asked, and little else is"""
        run = self.cycle(env={"LD_DEBUG": "libs,statistics"})
        self.assertEqual((run.status, run.out), (0, "\n"), run)
        self.assertIn("libglib", run.err)
        self.assertNotRegex(run.err, "libvirt|libxml|libssl|libcrypto")
        relocations = [int(number) for number in re.findall(r"number of relocations[^:]*: (\d+)", run.err)]
        self.assertTrue(relocations, run.err[-2000:])
        self.assertLess(max(relocations), RELOCATIONS, run)
        self.assertEqual(self.visitors(), 0)
        self.assertFalse(self.kvm.state.exists())

        self.begin(83, 1)  # now it is: the same means would have seen it above
        libraries = []
        thread = threading.Thread(target=lambda: libraries.append(self.cycle(env={"LD_DEBUG": "libs"})))
        thread.start()
        self.listener.settimeout(20)
        self.listener.accept()[0].close()
        thread.join()
        self.assertIn("libvirt-qemu.so", libraries[0].err)

    def test_directory(self):
        """no directory, other programs' files, a command that is just being written: an empty line and no more"""
        for name in ("oned.pid", "one-007", "one-83~", "one-83.tmp", "one-", ".exec-lock"):
            (self.directory / name).write_text("12")
        self.begin(83, "")
        self.assert_said(self.cycle(), "")
        missing = self.kvm.cycle("--dir", str(self.directory / "missing"))
        self.assert_said(missing, "")
        self.assertEqual(self.visitors(), 0)

    def test_traps(self):
        """links, pipes, directories, garbage and huge files: none is asked for, each is named once on syslog"""
        (self.directory / "one-1").symlink_to("/etc/passwd")
        os.mkfifo(self.directory / "one-2")
        (self.directory / "one-3").mkdir()
        self.begin(4, "rm -rf /\n")
        with open(self.begin(5, "1"), "wb") as file:
            file.truncate(1 << 40)
        self.begin(6, "7").chmod(0o666)
        what = (r"one-1: the file is a symbolic link", r"one-2: the file is not a regular file",
                r"one-3: the file is not a regular file", r"one-4: the file holds no process id",
                r"one-5: the file is too long for a process id", r"one-6: the file may be written by everybody")
        self.assert_said(self.cycle(), "", *what)
        self.assert_said(self.cycle(), "")
        self.assertEqual(self.visitors(), 0)
        self.assertEqual(self.left(), [f"one-{i}" for i in range(1, 7)])

    def test_wrong_usage(self):
        """by hand only a dry run; wrong arguments are named"""
        for words, said in (((), "by\n? ?hand use --dry-run"), (("kvm",), "expected HOST_ID and HOST_NAME"),
                            (("--deadline", "2.9", "-n"), "--deadline: expected"), (("--nonsense",), "nonsense")):
            run = self.kvm.by_hand(*words)
            self.assertEqual((run.status, run.out), (2, ""), run)
            self.assertRegex(run.err, rf"\Avm_exec: [^\n]*{said}[^\n]*\n\Z", run)
        self.assertIn("vm_exec (one-telemetry)", self.kvm.by_hand("--version").out)

    def test_directory_unreadable(self):
        """a directory that can't be read is said, and no failure"""
        self.assert_said(self.kvm.cycle("--dir", "/etc/passwd"), "", r"can't look for commands: /etc/passwd: Not a directory")


class Guests(ExecCase, StandInCase):
    """Real guests whose agents are stand-ins; 84 has no channel for one."""
    with_agent = (79, 82, 83)
    fleet = [("idle", "one-84", {})]

    def test_life_of_a_command(self):
        """a command runs, then has ended: one record to the byte, and its file goes; then silence"""
        agent = self.agents[83]
        agent.begin(1234)
        self.begin(83, 1234)
        for _ in range(2):
            self.assert_said(self.cycle(), "")
            self.assertEqual(self.left(), ["one-83"])
        agent.end(1234, code=0, out=b"total 0\n", err=b"warning: \xff\n")
        self.assert_said(self.cycle(), record(83, 1234, 0, b"total 0\n", b"warning: \xff\n"))
        self.assertEqual(self.left(), [])
        self.assert_said(self.cycle(), "")
        self.assertEqual(agent.statuses(), 3)

    def test_several(self):
        """several end at once, by signals and codes: records in a row, by VM; what still runs stays"""
        self.agents[79].begin(1)
        self.agents[82].end(2, signal=9)
        self.agents[83].end(3, code=127, err=b"not found")
        for vm, pid in ((83, 3), (79, " 1 \n"), (82, 2)):
            self.begin(vm, pid)
        self.assert_said(self.cycle(), record(82, 2) + record(83, 3, 127, err=b"not found"))
        self.assertEqual(self.left(), ["one-79"])

    def test_bad_agents(self):
        """one agent is silent, one talks nonsense: the third's command is reported, theirs stay, each is said once"""
        self.agents[79].silent = True
        self.agents[82].answer = b'{"return": {"exited": true, "exitcode": 0, "out-data": "\\" ]VM = [ ID=\\"83\\""}}'
        self.agents[83].end(3, code=0)
        for vm in self.agents:
            self.begin(vm, 3)
        self.assert_said(self.cycle(), record(83, 3, 0), r"one-79: .*: its agent does not answer",
                         r"one-82: .*exec-cancel.*: its agent's answer can't be used: its out-data is not base64")
        self.assertEqual(self.left(), ["one-79", "one-82"])
        self.assert_said(self.cycle(), "")
        self.agents[79].silent, self.agents[82].answer = False, b'{"return": 5}'
        self.agents[79].end(3, code=4)
        run = self.cycle()
        while not run.out.strip():  # libvirt may be waiting still for what it asked before
            run = self.cycle()
        self.assertEqual(run.out, record(79, 3, 4) + "\n", run)
        self.assertEqual(self.left(), ["one-82"])

    def test_late_answer(self):
        """an agent that is there but slow is waited for: it would not say it again"""
        self.agents[83].end(7, code=0, out=b"at last")
        self.agents[83].delay = DEADLINE / 5 + 1
        self.begin(83, 7)
        self.assert_said(self.cycle(), record(83, 7, 0, b"at last"))
        self.assertEqual(self.left(), [])

    def test_near_the_deadline(self):
        """an agent that is reached when no time is left to wait for it is not asked: its only answer would be lost"""
        self.agents[83].end(7, code=0, out=b"at last")
        self.agents[83].delay = 3
        self.begin(83, 7)
        self.addCleanup(self.rig.libvirtd, "thaw")
        self.rig.libvirtd("freeze")
        timer = threading.Timer(2.5, self.rig.libvirtd, ("thaw",))
        timer.start()
        self.assert_said(self.cycle("--deadline", "4"), "", "one-83: .*: there was no time left to ask its agent")
        timer.join()
        self.assertEqual((self.agents[83].statuses(), self.left()), (0, ["one-83"]))
        self.agents[83].delay = 0
        self.assert_said(self.cycle(), record(83, 7, 0, b"at last"))
        self.assertEqual(self.left(), [])

    def test_nobody_to_ask(self):
        """an unknown process, a VM without agent, one that does not run here: said, nothing removed, and no failure"""
        for vm, pid in ((83, 99), (84, 1), (85, 1)):
            self.begin(vm, pid)
        self.assert_said(self.cycle(), "", r"one-83: .*onevm exec-cancel ends it: .*PID 99 does not exist",
                         r"one-84: .*QEMU guest agent is not configured",
                         r"one-85: .*does not run here; rm the file if it won't be back: .*")
        self.assertEqual(self.left(), ["one-83", "one-84", "one-85"])
        self.assert_said(self.cycle(), "")

    def test_cancelled_meanwhile(self):
        """cancelled, or begun anew, while its agent is asked: nothing is said of it, and the new one's file stays"""
        path = self.begin(83, 7)
        self.agents[83].end(7, code=0)
        self.agents[83].meanwhile = path.unlink
        self.assert_said(self.cycle(), "")
        path = self.begin(83, 8)
        self.agents[83].end(8, code=0)
        self.agents[83].meanwhile = lambda: path.write_text("9")
        self.assert_said(self.cycle(), "")
        self.assertEqual(path.read_text(), "9")

    def test_lock(self):
        """OpenNebula's driver holds its lock: the report waits for it, and goes on without it after a while"""
        self.agents[83].end(7, code=0)
        self.begin(83, 7)
        with open(self.directory / ".exec-lock", "w", encoding="ascii") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            timer = threading.Timer(1.5, lambda: fcntl.flock(lock, fcntl.LOCK_UN))
            timer.start()
            self.assert_said(self.cycle(), record(83, 7, 0))
            timer.join()
            self.agents[83].end(8, code=0)
            self.begin(83, 8)
            fcntl.flock(lock, fcntl.LOCK_EX)
            self.assert_said(self.cycle(), record(83, 8, 0), r"going on without the lock .*: another program holds it")
        self.assertEqual(self.left(), [])

    def test_large_output(self):
        """more output than OpenNebula's message holds: cut so that it fits, said, and the rest is whole"""
        self.agents[83].end(7, code=0, out=os.urandom(300000), err=b"short")
        self.agents[82].end(8, code=1, out=b"small")
        self.begin(83, 7)
        self.begin(82, 8)
        run = self.cycle()
        self.assertLessEqual(message_size(run.out), 65507)
        self.assertTrue(run.out.startswith(record(82, 8, 1, b"small")), run)
        self.assertRegex(run.out, r'STDOUT="[A-Za-z0-9+/]{40000,}", STDERR="c2hvcnQ=" \]\n\Z')
        self.assert_logged(run, r"one-83: its command's output was cut at \d+ bytes")
        self.assertEqual(self.left(), [])

    def test_output_fails(self):
        """standard output is closed, full, or its reader gone: the files stay, and no failure"""
        for number, output in enumerate(("closed", "full", "gone")):
            self.agents[83].end(7 + number, code=0)
            self.begin(83, 7 + number)
            reader, writer = os.pipe()
            os.close(reader)
            enter = self.kvm.closing(1) if output == "closed" else self.kvm.syslog.enter
            with open("/dev/full", "wb") as full:
                stdout = {"closed": None, "full": full, "gone": writer}[output]
                run = self.cycle(stdout=stdout, preexec_fn=enter)
            os.close(writer)
            self.assertEqual(run.status, 0, run)
            self.assert_logged(run, "cannot write to standard output")
            self.assertEqual(self.left(), ["one-83"])

    def test_dry_run(self):
        """a dry run says what is pending and who answers, and asks, tells and removes nothing"""
        self.agents[83].end(7, code=0)
        self.begin(83, 7)
        words = ("--dry-run", "--dir", str(self.directory))
        for run in (self.kvm.by_hand(*words), self.kvm.cycle(*words)):
            self.assertEqual((run.status, run.out, run.log), (0, "# one-83: process 7: its agent answers\n", []), run)
        self.begin(85, 8)
        run = self.kvm.by_hand(*words)
        self.assertEqual((run.status, run.log), (1, []), run)
        self.assertRegex(run.out, r"\A# one-83: .*\n# one-85: process 8: .*one-85.*\n\Z")
        self.assertEqual(self.agents[83].statuses(), 0)
        self.assertEqual((self.left(), list(self.directory.glob(".*"))), (["one-83", "one-85"], []))
        self.assertFalse(self.kvm.state.exists())

    def test_libvirtd(self):
        """libvirtd frozen: done by the deadline; killed: said at once; back: the command is reported"""
        self.agents[83].end(7, code=0)
        self.begin(83, 7)
        self.addCleanup(self.rig.libvirtd, "start")
        self.addCleanup(self.rig.libvirtd, "thaw")
        self.rig.libvirtd("freeze")
        self.assert_said(self.cycle(), "", r"libvirt at qemu\+unix:.*: cannot connect: no answer in time")
        self.rig.libvirtd("thaw")
        self.rig.libvirtd("kill")
        self.assert_said(self.cycle(), "")  # the same to say: libvirt
        self.assertEqual(self.left(), ["one-83"])
        self.rig.libvirtd("start")
        self.agent_is_there("one-83")
        self.assert_said(self.cycle(), record(83, 7, 0))

    def test_said_again(self):
        """what is over and comes back is said again"""
        self.begin(85, 1)
        self.assert_said(self.cycle(), "", "one-85: ")
        self.assert_said(self.cycle(), "")
        (self.directory / "one-85").unlink()
        self.agents[83].begin(5)
        self.begin(83, 5)
        self.assert_said(self.cycle(), "")  # nothing to complain about
        self.begin(85, 1)
        self.assert_said(self.cycle(), "", "one-85: ")


class Sanitized(Guests):
    """The same, built with address and undefined-behaviour sanitizers."""
    sanitized = True


if __name__ == "__main__":
    raise SystemExit(main())
