#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What comes out of the probe when its output, its configuration or its own collection is in trouble, and with 1,000
VMs. libvirt's test driver stands for the hypervisor, or a socket on which nobody answers."""
import fcntl
import os
import re
import signal
import socket
import struct
import termios
import time

from harness import Case, main
from opennebula import DATAGRAM, message_size

REPLACE = "mode = replace"
MANY = 1000
PIPE_BYTES = 65536      # that a pipe holds
SOME = "<node>" + "".join(f"""
  <domain type='test'>
    <name>{name}</name><uuid>5e8c0000-0000-4000-8000-{number:012}</uuid>
    <metadata><one:vm xmlns:one="http://opennebula.org/xmlns/libvirt/1.0"><one:name>vm of {name}</one:name></one:vm>
    </metadata>
    <memory>8192</memory><vcpu>1</vcpu><os><type>hvm</type></os>
  </domain>""" for number, name in enumerate(("{0}", "wild", "one-007", "one-", "xone-5", "one-5x"))) + "\n</node>\n"
DOMAIN = ("<domain type='test'><name>one-{0}</name><uuid>5e8c0000-0000-4000-8000-{0:012}</uuid><memory>8192</memory>"
          "<vcpu>1</vcpu><os><type>hvm</type></os></domain>")


class TestDriver(Case):
    """With libvirt's test driver: it knows names and states of any number of domains, and no figures."""

    def node(self, name):
        """URI of a hypervisor with this domain, and some that are not OpenNebula's."""
        return self.write_node(name, SOME.format(name))

    def many(self):
        """URI of a hypervisor with one-1 to one-1000."""
        return self.write_node("many", f"<node>{''.join(DOMAIN.format(i) for i in range(1, MANY + 1))}</node>")

    def write_node(self, name, text):
        path = self.scratch / f"{name}.xml"
        path.write_text(text)
        return f"test://{path}"

    def names(self, run):
        self.assertEqual(run.status, 0, run)
        return sorted(run.vms())

    def in_both_modes(self, uri):
        """Hosts in the modes beside and replace, and the exit status that each has for a failure."""
        return (("beside", self.host(uri), 0), ("replace", self.host(uri, REPLACE), 1))

    def with_state(self, host, count):
        """Makes OpenNebula hold keys of the VMs that have become unknown, so that there are records (deletions)."""
        host.cycle()
        text, changed = re.subn(r"(?m)^  domain\.ran=1$", "  domain.ran=1\n  domain.sent-keys=CPU_USAGE NETRX_BW",
                                host.state_file.read_text())
        self.assertEqual(changed, count)
        host.state_file.write_text(text)

    # ---- 1,000 VMs --------------------------------------------------------------------------------------

    def test_thousand(self):
        """1,000 domains: all of them in every form, and one message that keeps its limit"""
        host = self.host(self.many())
        self.assertEqual(self.names(host.cycle("--format", "json")), list(range(1, MANY + 1)))
        self.with_state(host, MANY)
        state = host.state_file.read_bytes()
        lines = host.cycle("--format", "line")
        self.assertEqual(lines.out.count("\nvm_totals,VMID="), MANY - 1, lines)
        host.state_file.write_bytes(state)
        run = host.cycle()
        self.assertEqual((run.status, run.err), (0, ""), run)
        self.assertEqual(sorted(run.records()), list(range(1, MANY + 1)))
        self.assertEqual(run.records()[MANY], {"DEPLOY_ID": run.records()[MANY]["DEPLOY_ID"], "CPU_USAGE": None,
                                               "NETRX_BW": None})
        self.assertLess(message_size(run.out), DATAGRAM)

    def test_thousand_that_do_not_fit(self):
        """1,000 domains and a small limit: what fits, each VM in its turn, said on syslog"""
        host = self.host(self.many(), "message_limit = 8192\nmessage_reserve = 0")
        self.with_state(host, MANY)
        seen = set()
        for cycle in range(20):
            run = host.cycle()
            self.assertEqual(run.status, 0, run)
            self.assertLess(message_size(run.out), 8192)
            self.assertTrue(run.records())
            seen |= set(run.records())
            if len(seen) == MANY:
                return
        self.assertEqual(len(seen), MANY, "VMs of which nothing was ever sent")

    # ---- standard output ----------------------------------------------------------------------------------

    def test_reader_gone(self):
        """standard output a pipe that nobody reads: no death by SIGPIPE; exit 0 beside, else a failure"""
        for name, host, status in self.in_both_modes(self.node("one-1")):
            with self.subTest(name):
                self.with_state(host, 1)
                reading, writing = os.pipe()
                os.close(reading)
                run = host.cycle(stdout=writing)
                os.close(writing)
                self.assertEqual(run.status, status, run)
                self.assert_logged(run, "cannot write to standard output: Broken pipe")

    def test_reader_goes(self):
        """standard output a pipe whose reader goes in the middle"""
        for name, host, status in self.in_both_modes(self.many()):
            with self.subTest(name):
                process = host.start("--format", "json")
                self.assertTrue(process.stdout.read(5))
                process.stdout.close()
                process.stdout = None
                run = host.finish(process)
                self.assertEqual(run.status, status, run)
                self.assert_logged(run, "cannot write to standard output: Broken pipe")

    def test_ended_in_mid_write(self):
        """ended while its reader dawdles: a failure in both modes, since half a record is worse than none"""
        for name, host, _ in self.in_both_modes(self.many()):
            with self.subTest(name):
                process = host.start("--format", "json")
                end = time.monotonic() + 30
                while struct.unpack("i", fcntl.ioctl(process.stdout, termios.FIONREAD, bytes(4)))[0] < PIPE_BYTES:
                    self.assertLess(time.monotonic(), end, "the pipe does not get full")
                    time.sleep(0.05)
                process.send_signal(signal.SIGALRM)
                process.wait(10)
                run = host.finish(process)
                self.assertEqual((run.status, len(run.out)), (1, PIPE_BYTES), run.err)
                self.assert_logged(run, "not done in time")

    def test_closed(self):
        """standard descriptors closed, any of them: exit 0 beside; replace and by hand: a failure without stdout"""
        for closed in ((1,), (0, 1), (1, 2), (0, 1, 2), (2,), (0,)):
            for name, host, status in self.in_both_modes(self.node("one-1")):
                with self.subTest(name, closed=closed):
                    self.with_state(host, 1)
                    run = host.cycle(preexec_fn=host.closing(*closed))
                    self.assertEqual(run.status, status if 1 in closed else 0, run)
                    said = "one-telemetry: cannot write to standard output: Bad file descriptor\n"
                    self.assertEqual(run.err, said if 1 in closed and 2 not in closed else "", run)
                    self.assertEqual(len(run.out) > 0, 1 not in closed, run)
                    run = host.by_hand("--format", "json", preexec_fn=host.closing(*closed))
                    self.assertEqual(run.status, 1 if 1 in closed else 0, run)

    def test_full_device(self):
        """standard output on a full disk"""
        for name, host, status in self.in_both_modes(self.node("one-1")):
            with self.subTest(name), open("/dev/full", "wb") as full:
                self.with_state(host, 1)
                run = host.cycle(stdout=full)
                self.assertEqual(run.status, status, run)
                self.assert_logged(run, "cannot write to standard output: No space left on device")

    # ---- configuration ------------------------------------------------------------------------------------

    def test_which_domains(self):
        """only domains named one-<number>, whole match, and OpenNebula's metadata of them"""
        host = self.host(self.node("one-7"))
        self.assertEqual(self.names(host.cycle("--format", "json")), [7])
        self.assertEqual(host.cycle("--format", "json").vms()[7]["vm_name"], "vm of one-7")

    def test_uri(self):
        """URI: of OpenNebula's kvmrc; before that of telemetry.conf; before that of --uri"""
        host = self.host(self.node("one-1"))
        for run in (host.cycle("--format", "json"), host.by_hand("--format", "json")):
            self.assertEqual(self.names(run), [1])
        host.configure(f"uri = {self.node('one-2')}")
        for run in (host.cycle("--format", "json"), host.by_hand("--format", "json")):
            self.assertEqual(self.names(run), [2])
        self.assertEqual(self.names(host.cycle("--format", "json", "--uri", self.node("one-3"))), [3])

    def test_conf_by_environment(self):
        """ONE_TELEMETRY_CONF names the configuration; --config is before it; one that is named must be there"""
        host = self.host(self.node("one-1"))
        conf = {}
        for number in (2, 3):
            conf[number] = str(host.dir / f"{number}.conf")
            with open(conf[number], "w") as out:
                out.write(f"[probe]\nstate_dir = {host.state}\nuri = {self.node(f'one-{number}')}\n")
        env = {"ONE_TELEMETRY_CONF": conf[2]}
        self.assertEqual(self.names(host.cycle("--format", "json", env=env)), [2])
        self.assertEqual(self.names(host.by_hand("--format", "json", env=env)), [2])
        self.assertEqual(self.names(host.by_hand("--format", "json", "--config", conf[3], env=env)), [3])
        run = host.cycle(env={"ONE_TELEMETRY_CONF": "/nonexistent.conf"})
        self.assert_silent(run)
        self.assert_logged(run, "^/nonexistent.conf: ")
        host.tree.conf.unlink()
        self.assertEqual(self.names(host.by_hand("--format", "json", "--state-dir", str(host.state))), [1])

    def test_malformed(self):
        """malformed configuration: one line with file, line, key and what was expected"""
        host = self.host(self.node("one-1"))
        good = host.tree.conf.read_text()
        for text, line, words in (("deadline = soon", 3, ("[probe] deadline", "soon", "expected", "0.5 to 60")),
                                  ("deadline = 99", 3, ("[probe] deadline", "99", "expected", "0.5 to 60")),
                                  ("\n# one\nmode = besides", 5, ("[probe] mode", "besides", "expected", "replace")),
                                  ("workers = 2.5", 3, ("[probe] workers", "2.5", "expected", "1 to 5")),
                                  ("colour = red", 3, ("[probe] colour", "unknown key")),
                                  ("[prob]\nmode = beside", 3, ("[prob]", "unknown section", "[probe]")),
                                  ("no assignment", 3, ("no assignment", "[section] nor key = value"))):
            with self.subTest(text):
                host.tree.conf.write_text(f"{good.rstrip()}\n{text}\n")
                self.check_malformed(host, line, words)

    def check_malformed(self, host, line, words):
        run = host.by_hand()
        self.assertEqual((run.status, run.out), (2, ""), run)
        self.assertTrue(run.err.startswith(f"vm_monitor: {host.tree.conf}:{line}: "), run)
        self.assertEqual(run.err.count("\n"), 1, run)
        for word in words:
            self.assertIn(word.lower(), run.err.lower(), run)
        said = run.err.removeprefix("vm_monitor: ").strip()
        run = host.cycle()
        self.assert_silent(run)
        self.assert_logged(run, re.escape(said))

    def test_malformed_in_mode_replace(self):
        """malformed configuration that says replace: the probe fails, so that it is noticed"""
        for text in (f"{REPLACE}\ndeadline = soon", f"deadline = soon\n{REPLACE}"):
            with self.subTest(text):
                run = self.host(self.node("one-1"), text).cycle()
                self.assertNotEqual(run.status, 0, run)
                self.assertEqual(run.out, "", run)
                self.assertRegex(run.err, r"\Aone-telemetry: [^\n]*deadline[^\n]*\n\Z", run)
                self.assert_logged(run, "deadline")


class Silence(Case):
    """With a hypervisor on which nobody answers, so that the collection can be met at work."""

    def setUp(self):
        path = self.scratch / "silent"
        path.unlink(missing_ok=True)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen(16)
        self.addCleanup(self.listener.close)
        self.silent = f"qemu+unix:///system?socket={path}"

    def in_both_modes(self, deadline):
        conf = f"deadline = {deadline}\n"
        return (("beside", self.host(self.silent, conf), 0), ("replace", self.host(self.silent, conf + REPLACE), 1))

    def assert_failed(self, run, status, reason):
        """beside: nothing but a line on syslog; replace: one clear line on standard error too."""
        self.assert_silent(run, status)
        self.assertRegex(run.err, rf"\Aone-telemetry: {reason}[^\n]*\n\Z", run)
        self.assert_logged(run, reason)

    def test_no_answer(self):
        """a hypervisor that never answers: an end by the deadline, and no process that holds standard output"""
        for name, host, status in self.in_both_modes(deadline=1):
            with self.subTest(name):
                run = host.cycle()
                self.assert_failed(run, status, "libvirt at .* gave no list of domains within 1.0 s")
                self.assertLess(run.seconds, 1 + 5, run)
                self.assertEqual(host.processes(), [])

    def test_crash(self):
        """a crash of the collection: nothing is printed, syslog says so; exit 0 beside, else a failure"""
        for signum, text in ((signal.SIGSEGV, "crashed with SIGSEGV"), (signal.SIGBUS, "crashed with SIGBUS"),
                             (signal.SIGABRT, "aborted")):
            for name, host, status in self.in_both_modes(deadline=30):
                with self.subTest(name, signal=signum.name):
                    process = host.start()
                    os.kill(host.collecting(process), signum)
                    run = host.finish(process)
                    self.assert_failed(run, status, f"{text}; nothing is sent in this cycle")
                    self.assertLess(run.seconds, 20, run)
                    self.assertEqual(host.processes(), [])

    def test_hang(self):
        """a run that hangs past its limit, its alarm set off early: it is ended"""
        for name, host, status in self.in_both_modes(deadline=30):
            with self.subTest(name):
                process = host.start()
                os.kill(host.collecting(process), signal.SIGALRM)
                run = host.finish(process)
                self.assert_failed(run, status, "not done in time; nothing is sent in this cycle")
                self.assertEqual(host.processes(), [])

    def test_by_hand(self):
        """by hand, a hypervisor that never answers or is not there: exit 1, one line"""
        host = self.host(self.silent)
        run = host.by_hand("--deadline", "1")
        self.assertEqual((run.status, run.out, run.log), (1, "", []), run)
        self.assertRegex(run.err, r"\A(.*first run\n)?vm_monitor: libvirt at .* within 1.0 s\n\Z", run)
        self.listener.close()
        run = host.by_hand()
        self.assertEqual((run.status, run.out, run.log), (1, "", []), run)
        self.assertRegex(run.err, r"\A(.*first run\n)?vm_monitor: libvirt at .*: cannot connect: [^\n]*\n\Z", run)


if __name__ == "__main__":
    raise SystemExit(main())
