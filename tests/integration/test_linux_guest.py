#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Guests that run Linux, with QEMU's own agent in them and a balloon driver that reports: what the probes make of what is
real there, beside what virsh and the guest itself say."""
import re
import time

from agent_case import AgentCase
from exec_case import ExecCase, record
from harness import Case, file_rig, main
from linux_guest import LinuxGuest
from rig.linux import ADDRESS, SYSTEM

STATS_PERIOD = 1
SLACK_KB = 16 << 10  # by which a guest's free memory may change while it is looked at
TOO_MUCH = 4096000      # bytes; as base64 they are more than the 4 MiB that libvirt has for an answer
ALL_ROUTERS = "33:33:00:00:00:02"  # whom Linux asks over IPv6 when it likes to, and a guest that is no router does not hear
TICK = 10 ** 7         # ns, in which the kernel tells CPU time
LOST = "QEMU guest agent is not connected"

OS_KEYS = ("OS_TYPE", "OS_ID", "OS_VERSION", "OS_MACHINE", "GUEST_IP_ADDRESSES")

GUESTAGENT = r"""
:enabled: true
:commands:
  :vm_qemu_ping: "one-$vm_id '{\"execute\":\"guest-ping\"}' --timeout 5"
  :guest_ip: "one-$vm_id '{\"execute\":\"guest-network-get-interfaces\"}' | sed -E 's/.*\"(192\\.0[^\"]*)\".*/{\"return\":\"\\1 of $vm_id\"}/'"
  :nothing_such: one-$vm_id '{"execute":"guest-nothing-such"}'
  :linux:
    :guest_kernel: one-$vm_id '{"execute":"guest-get-osinfo"}' | sed -E 's/"kernel-release"/"return"/; s/.*("return":"[^"]*").*/{\1}/'
  :here:
    :command: one-$vm_id '{"execute":"guest-ping"}'
    :os_ids: ['other', 'one-telemetry']
    :os_versions: ['1.0']
  :elsewhere:
    :command: one-$vm_id '{"execute":"guest-ping"}'
    :os_ids: ['One-Telemetry']
  :windows:
    :guest_windows: one-$vm_id '{"execute":"guest-ping"}'
"""


class LinuxCase(AgentCase):
    """One rig for all of them: its guests take longer to boot than most tests take. 91's balloon has no stats period; 92's
    agent is one that never starts."""
    fleet = [("linux", "one-90", {"stats_period": STATS_PERIOD, "disks": 2}), ("linux", "one-91", {}),
             ("linux", "one-92", {"cmdline": "agent=no"})]
    rig = None

    @classmethod
    def setUpClass(cls):
        Case.setUpClass.__func__(cls)
        if not LinuxCase.rig:
            LinuxCase.rig = file_rig(cls.fleet)
            LinuxCase.guests = {int(name.removeprefix("one-")): LinuxGuest(cls.rig, name) for _, name, _ in cls.fleet}
            for vm in (90, 91):
                assert cls.rig.has_agent(f"one-{vm}"), f"libvirt does not reach the agent of one-{vm}"

    def kill_agent(self, guest):
        """It stays away until the test is over."""
        guest.type("touch /run/agent-stays-away; killall qemu-ga")
        self.addCleanup(self.agent_is_there, guest.name)
        self.addCleanup(guest.type, "rm -f /run/agent-stays-away")
        self.wait_for(lambda: not self.rig.has_agent(guest.name), f"libvirt still reaches the agent of {guest.name}", 60)


class Agents(LinuxCase):
    """Asked what guestagent.conf lists."""

    def setUp(self):
        super().setUp()
        self.kvm = self.host()
        self.kvm.configure("mode = replace\n[guests]\ninterval = 1h")
        (self.kvm.tree.conf.parent / "guestagent.conf").write_text(GUESTAGENT)
        self.book = self.kvm.state / "guests-state-0.domstats"

    def cycle(self):
        """The records of one cycle, and the questions that it begins."""
        run = self.kvm.cycle()
        self.wait_for(lambda: not self.kvm.processes(), "the guests are still asked", 60)
        return self.assert_complete(run, vms=sorted(self.guests))

    def failures(self):
        """{vm: how often its agent was asked in vain}, as the probe has noted."""
        return {int(vm): int(number) for vm, number in re.findall(r"^vm (\d+) \d+ (\d+) ", self.book.read_text(), re.M)}

    def all_are_due(self):
        text = re.sub(r"^(vm \d+ \d+ \d+) \d+", r"\1 1", self.book.read_text(), flags=re.M)
        self.book.write_text(text)

    def assert_answered(self, record_, vm):
        kernel = self.guests[vm].run("uname -r").strip()
        self.assertEqual((record_["VM_QEMU_PING"], record_["GUEST_IP"], record_["GUEST_KERNEL"]),
                         ("{}", f"{ADDRESS} of {vm}", kernel), record_)
        self.assertRegex(record_["NOTHING_SUCH"], "^error: .*guest-nothing-such has not been found")
        self.assertNotIn("GUEST_WINDOWS", record_)
        self.assertEqual([record_.get(key) for key in OS_KEYS],
                         ["posix", *SYSTEM, self.guests[vm].run("uname -m").strip(), ADDRESS], record_)
        self.assertEqual((record_.get("HERE"), record_.get("ELSEWHERE")), ("{}", None), record_)

    def test_answers(self):
        """what the agents answer is in the next records: plain, through a filter, for Linux alone, an agent's error"""
        self.cycle()
        for _ in range(2):
            records = self.cycle()
            for vm in (90, 91):
                self.assert_answered(records[vm], vm)
            self.assertRegex(records[92]["VM_QEMU_PING"], f"^error: .*{LOST}")
        self.assertEqual(self.failures(), {90: 0, 91: 0, 92: 1})

    def test_ask_by_hand(self):
        """--ask-guests asks those that are due, and waits for their answers"""
        self.cycle()
        self.book.unlink()
        run = self.kvm.by_hand("--ask-guests", "kvm", "0", "kvm1")
        self.assertEqual((run.status, run.out, run.err), (0, "", ""), run)
        self.assertEqual(sorted(self.failures()), [90, 91, 92])
        self.assert_answered(self.cycle()[91], 91)

    def test_agent_hangs(self):
        """an agent hangs: an error for it, answers of the others, no more questions until it is due; then all is well"""
        guest = self.guests[91]
        guest.type("killall -STOP qemu-ga")
        self.addCleanup(self.agent_is_there, guest.name)
        self.addCleanup(guest.type, "killall -CONT qemu-ga")
        self.cycle()
        records, before = self.cycle(), self.book.stat()
        self.assert_answered(records[90], 90)
        self.assertRegex(records[91]["VM_QEMU_PING"], "^error: its agent does not answer")
        self.assertRegex(records[91]["GUEST_IP"], "^error: its agent does not answer")
        for _ in range(3):
            self.assert_answered(self.cycle()[90], 90)
        self.assertEqual((self.book.stat().st_mtime_ns, self.book.stat().st_ino), (before.st_mtime_ns, before.st_ino))
        self.assertEqual(self.failures(), {90: 0, 91: 1, 92: 1})
        self.all_are_due()
        self.cycle()
        self.assertEqual(self.failures(), {90: 0, 91: 2, 92: 2})
        guest.type("killall -CONT qemu-ga")
        self.agent_is_there(guest.name)
        self.all_are_due()
        self.cycle()
        self.assert_answered(self.cycle()[91], 91)
        self.assertEqual(self.failures(), {90: 0, 91: 0, 92: 3})

    def test_huge_answer(self):
        """an answer that is more than libvirt passes on is an error of that guest's, and no other's; the next is heard"""
        handle = self.guests[90].ask("guest-file-open", path="/dev/zero")
        self.addCleanup(self.guests[90].ask, "guest-file-close", handle=handle)
        read = f"""one-$vm_id '{{"execute":"guest-file-read","arguments":{{"handle":{handle},"count":{TOO_MUCH}}}}}'"""
        (self.kvm.tree.conf.parent / "guestagent.conf").write_text(
            GUESTAGENT.replace(":commands:\n", f":commands:\n  :huge: {read}\n"))
        self.cycle()
        records = self.cycle()
        self.assertRegex(records[90]["HUGE"], "^error: its answer does not get through libvirt")
        self.assertRegex(records[91]["HUGE"], f"^error: .*{handle}.* has not been found")
        for vm in (90, 91):
            self.assert_answered(records[vm], vm)
        self.assertEqual([text for level, text in self.kvm.syslog.take() if level <= 4], [])

    def test_agent_ends(self):
        """an agent that answered ends: its answers go, the error is there; started again, it answers"""
        guest = self.guests[91]
        self.cycle()
        self.assert_answered(self.cycle()[91], 91)
        self.kill_agent(guest)
        self.all_are_due()
        self.cycle()
        records = self.cycle()
        for key in ("VM_QEMU_PING", "GUEST_IP", "GUEST_KERNEL", "NOTHING_SUCH"):
            self.assertRegex(records[91][key], f"^error: .*{LOST}")
        self.assert_answered(records[90], 90)
        guest.type("rm /run/agent-stays-away")
        self.agent_is_there(guest.name)
        self.all_are_due()
        self.cycle()
        self.assert_answered(self.cycle()[91], 91)


class Figures(LinuxCase):
    """Memory, CPU, disks and NICs."""

    def dommemstat(self, vm):
        text = self.rig.virsh("dommemstat", f"one-{vm}")
        return {name: int(number) for name, number in re.findall(r"^(\S+) (\d+)$", text, re.M)}

    def figures(self, host, vm=90):
        return host.cycle("--format", "json").vms()[vm]

    def reported(self):
        """Waits for a report that the guest has begun after this call."""
        last = self.dommemstat(90)["last_update"]
        self.wait_for(lambda: self.dommemstat(90)["last_update"] > last + STATS_PERIOD,
                      "its balloon does not report", 60)

    def beside_virsh(self, host):
        """Our figures, and virsh's, which were the same before and after."""
        for _ in range(50):
            before, figures, after = self.dommemstat(90), self.figures(host), self.dommemstat(90)
            if before == after:
                return figures, after
        raise AssertionError(f"the guest's memory does not come to rest: {before}, {after}")

    def assert_as_virsh(self, figures, virsh):
        for ours, theirs in (("memunused", "unused"), ("memavailable", "available"), ("memusable", "usable"),
                             ("memdisk_cache", "disk_caches"), ("memswap_in", "swap_in"), ("memswap_out", "swap_out"),
                             ("memmajor_fault", "major_fault"), ("memminor_fault", "minor_fault"),
                             ("memactual", "actual"), ("memlast_update", "last_update"),
                             ("memhugetlb_pgalloc", "hugetlb_pgalloc"), ("memhugetlb_pgfail", "hugetlb_pgfail")):
            self.assertEqual(figures[ours], virsh[theirs], (ours, figures, virsh))

    def test_memory(self):
        """memory as the guest's balloon reports it: as virsh says, as /proc/meminfo and /proc/vmstat in the guest say"""
        guest, host = self.guests[90], self.host()
        for _ in range(2):  # the first time of all figures; then those that such a guest is asked for
            before, counted = guest.numbers("/proc/meminfo"), guest.numbers("/proc/vmstat")
            self.reported()
            figures, virsh = self.beside_virsh(host)
            count_after, after = guest.numbers("/proc/vmstat"), guest.numbers("/proc/meminfo")
            self.assert_as_virsh(figures, virsh)
            self.assertEqual(figures["memavailable"], before["MemTotal"])
            for ours, value in (("memunused", lambda info: info["MemFree"]), ("memusable", lambda info: info["MemAvailable"]),
                                ("memdisk_cache", lambda info: info["Cached"] + info["Buffers"])):
                low, high = sorted((value(before), value(after)))
                self.assertTrue(low - SLACK_KB <= figures[ours] <= high + SLACK_KB, (ours, figures, before, after))
            for ours, name in (("memmajor_fault", "pgmajfault"), ("memminor_fault", "pgfault")):
                self.assertTrue(counted[name] <= figures[ours] <= count_after[name], (ours, figures, counted, count_after))
            used = 100 * (figures["memavailable"] - figures["memusable"]) / figures["memavailable"]
            self.assertAlmostEqual(figures["memory_usage_percent"], used, 2)
            self.assertEqual((figures["memory_source"], figures["memory_max"]), ("guest", virsh["actual"]))

    def test_record(self):
        """OpenNebula's record has them too"""
        host = self.host()
        keys = host.cycle().records()[90]
        figures = self.beside_virsh(host)[0]
        self.assertEqual(keys["MEMORY_SOURCE"], "guest")
        self.assertEqual(keys["MEMORY_AVAILABLE"], str(figures["memavailable"]))
        self.assertAlmostEqual(float(keys["MEMORY_UNUSED"]), figures["memunused"], delta=SLACK_KB)
        self.assertAlmostEqual(float(keys["MEMORY_USABLE"]), figures["memusable"], delta=SLACK_KB)

    def test_swap(self):
        """a guest that swaps: KiB as its kernel has counted pages"""
        guest, host = self.guests[90], self.host()
        guest.run(SWAP)
        self.addCleanup(guest.run, "swapoff /dev/vdb")
        counted = guest.numbers("/proc/vmstat")
        self.reported()
        figures, virsh = self.beside_virsh(host)
        self.assert_as_virsh(figures, virsh)
        after = guest.numbers("/proc/vmstat")
        for ours, name in (("memswap_in", "pswpin"), ("memswap_out", "pswpout")):
            self.assertTrue(1024 <= 4 * counted[name] <= figures[ours] <= 4 * after[name], (ours, figures, counted, after))

    def test_balloon(self):
        """a balloon that is blown up: what the domain has left, and what the guest says of it"""
        guest, host = self.guests[90], self.host()
        whole = self.dommemstat(90)["actual"]
        self.addCleanup(self.wait_for, lambda: self.dommemstat(90)["actual"] == whole, "the balloon stays", 60)
        self.addCleanup(self.rig.virsh, "setmem", "one-90", str(whole), "--live")
        for _ in range(2):  # so that what is known of it from before could be taken for what is
            self.assertEqual(self.figures(host)["memory_used"], whole)
        self.rig.virsh("setmem", "one-90", str(whole - (24 << 10)), "--live")
        self.wait_for(lambda: self.dommemstat(90)["actual"] == whole - (24 << 10), "the balloon does not grow", 60)
        self.reported()
        figures, virsh = self.beside_virsh(host)
        self.assert_as_virsh(figures, virsh)
        self.assertEqual((figures["memory_used"], figures["memory_max"]), (whole - (24 << 10), whole))
        self.assertEqual(figures["memavailable"], guest.numbers("/proc/meminfo")["MemTotal"])
        self.assertEqual(figures["memory_source"], "guest")

    def test_explain(self):
        """--explain says that the guest's memory is libvirt's to tell, and what was computed of it"""
        host = self.host()
        self.figures(host)
        said = host.by_hand("--explain").out
        one, other = said.split("one-91\n")
        for key in ("unused", "available", "usable", "swap_in", "swap_out", "major_fault", "minor_fault", "disk_caches"):
            self.assertRegex(one, rf"\n  balloon\.{key} +\d+( KiB)? +(libvirt|QEMU's monitor)\b", said)
        self.assertRegex(one, r"\n  memory_usage_percent +[\d.]+ % +computed\n  memory_source +guest +computed\n")
        self.assertRegex(other, r"\n  memory_source +\w+ +computed\n")

    def test_cpu(self):
        """a loop in the guest: its vCPU is used, or wanted, all the time; CPU time is between what virsh said around it"""
        guest, host = self.guests[91], self.host()
        pid = guest.begin("sh", "-c", "while :; do :; done")
        self.addCleanup(guest.begin, "kill", str(pid))

        def cpu_time():
            return int(self.rig.domstats("one-91", args=("--cpu-total",))["one-91"]["cpu.time"])
        self.figures(host, 91)
        time.sleep(2)
        before = cpu_time()
        figures = self.figures(host, 91)
        self.assertTrue(before <= figures["cputime"] + TICK and figures["cputime"] <= cpu_time() + TICK, figures)
        vcpu = figures["vcpus"][0]
        self.assertGreater(vcpu["usage_percent"] + vcpu["steal_percent"], 80, figures)
        self.assertGreater(figures["cpu_core_percent"], vcpu["usage_percent"] - 5, figures)
        self.assertLess(figures["cpu_core_percent"], 150, figures)

    def test_block(self):
        """what the guest writes to its disk and reads there, past its cache: bytes and requests, as virsh has them too"""
        guest, host = self.guests[91], self.host()
        before = self.figures(host, 91)["disks"][0]
        guest.run("dd if=/dev/zero of=/dev/vda bs=64k count=32 oflag=direct conv=fsync; "
                  "dd if=/dev/vda of=/dev/null bs=32k count=48 iflag=direct")
        figures = self.figures(host, 91)
        disk, virsh = figures["disks"][0], self.rig.domstats("one-91", args=("--block",))["one-91"]
        grown = {name: disk[name] - before[name] for name in ("wr_bytes", "wr_reqs", "rd_bytes", "rd_req", "fl_reqs")}
        self.assertEqual((grown["wr_bytes"], grown["wr_reqs"]), (32 << 16, 32), figures)
        self.assertEqual((grown["rd_bytes"], grown["rd_req"]), (48 << 15, 48), figures)
        self.assertGreaterEqual(grown["fl_reqs"], 1)
        for ours, theirs in (("wr_bytes", "wr.bytes"), ("wr_reqs", "wr.reqs"), ("wr_ns", "wr.times"), ("rd_bytes", "rd.bytes"),
                             ("rd_req", "rd.reqs"), ("rd_ns", "rd.times"), ("fl_reqs", "fl.reqs"), ("fl_ns", "fl.times")):
            self.assertEqual(disk[ours], int(virsh[f"block.0.{theirs}"]), (ours, figures, virsh))

    def test_network(self):
        """what the guest sends and gets, as its own kernel has counted, and the right way round"""
        guest, host = self.guests[91], self.host()
        names = ("rx_bytes", "rx_packets", "tx_bytes", "tx_packets")

        def inside():
            return [int(line) for line in guest.run(f"cd /sys/class/net/eth0/statistics; cat {' '.join(names)}").split()]
        guest.run("ifconfig eth0 promisc")  # or its card keeps to itself what is not for it
        self.addCleanup(guest.run, "ifconfig eth0 -promisc")
        counted_before = inside()
        before = self.figures(host, 91)["nics"][0]
        inner_before = inside()
        guest.run("arp -s 192.0.2.1 02:00:00:00:00:01 -i eth0; ping -c 5 -i 0.1 -W 1 -s 1000 192.0.2.1; true")
        self.rig.frames("one-91", 40, 700)
        self.rig.frames("one-91", 1, 70, to=ALL_ROUTERS)
        self.wait_for(lambda: inside()[1] - inner_before[1] >= 41, "the guest does not get what is sent to it", 60)
        inner = inside()
        nic = self.figures(host, 91)["nics"][0]
        counted = inside()
        for i, name in enumerate(name.replace("_", "") for name in names):
            grown = nic[name] - before[name]
            self.assertTrue(inner[i] - inner_before[i] <= grown <= counted[i] - counted_before[i], (name, before, nic))
        self.assertGreaterEqual(nic["txbytes"] - before["txbytes"], 5 * 1042)
        self.assertGreaterEqual(nic["rxbytes"] - before["rxbytes"], 40 * 700)
        self.assertEqual(nic["mac"], guest.run("cat /sys/class/net/eth0/address").strip())


# 4 MiB where there is room for 2, and all of it read again.
SWAP = """
mkswap /dev/vdb && swapon /dev/vdb && mkdir -p /cg && mount -t cgroup2 none /cg && echo +memory >/cg/cgroup.subtree_control &&
mkdir /cg/tight && echo 2M >/cg/tight/memory.max &&
sh -c 'echo $$ >/cg/tight/cgroup.procs; dd if=/dev/urandom of=/run/big bs=64k count=64; cat /run/big' >/dev/null && rm /run/big
"""


class Executions(ExecCase, LinuxCase):
    """OpenNebula's commands in guests, begun as its driver does."""
    sanitized = True

    def pending(self, vm, path, *words, stdin=None):
        """The pid of a command that was begun, and noted."""
        pid = self.guests[vm].begin(path, *words, stdin=stdin)
        self.begin(vm, pid)
        return pid

    def has_ended(self, vm, pid):
        """Nobody but the probe may ask the agent: it tells only once."""
        self.wait_for(lambda: self.guests[vm].run(f"[ -e /proc/{pid}/exe ] && echo runs; true") == "", "it runs on", 60)

    def test_life_of_a_command(self):
        """a command runs, then ends: code, output and errors in one record to the byte, and its file goes; then silence"""
        self.guests[90].run("mkfifo /tmp/go")
        script = "read word; echo $word; cat /tmp/go; printf 'warning\\377' >&2; exit 7"
        pid = self.pending(90, "sh", "-c", script, stdin=b"hello\n")
        for _ in range(2):
            self.assert_said(self.cycle(), "")
            self.assertEqual(self.left(), ["one-90"])
        self.guests[90].run("echo total 0 >/tmp/go; rm /tmp/go")
        self.has_ended(90, pid)
        self.assert_said(self.cycle(), record(90, pid, 7, b"hello\ntotal 0\n", b"warning\xff"))
        self.assertEqual(self.left(), [])
        self.assert_said(self.cycle(), "")

    def test_several(self):
        """commands in two guests end, by a code and by a signal, and one says nothing: a record each, by VM"""
        killed = self.pending(91, "sh", "-c", "echo begun; kill -9 $$")
        silent = self.pending(90, "true")
        self.has_ended(91, killed)
        self.has_ended(90, silent)
        self.assert_said(self.cycle(), record(90, silent, 0) + record(91, killed, "", b"begun\n"))
        self.assertEqual(self.left(), [])

    def test_large_output(self):
        """more output than OpenNebula's message holds: cut, said, and the errors whole"""
        pid = self.pending(90, "sh", "-c", "dd if=/dev/urandom bs=1k count=300; echo short >&2")
        self.has_ended(90, pid)
        run = self.cycle()
        self.assertRegex(run.out, rf'\AVM = \[ ID="90", PID="{pid}", STATUS="DONE", RETURN_CODE="0", '
                                  r'STDOUT="[A-Za-z0-9+/]{40000,}", STDERR="[A-Za-z0-9+/]+={0,2}" \]\n\Z')
        self.assert_logged(run, r"one-90: its command's output was cut at \d+ bytes")
        self.assertEqual(self.left(), [])

    def test_huge_output(self):
        """more output than libvirt passes on is that command's trouble: said, with what mends it; the other's end is told"""
        pid, other = self.pending(90, "dd", "if=/dev/zero", "bs=1k", f"count={TOO_MUCH >> 10}"), self.pending(91, "true")
        self.has_ended(90, pid)
        self.has_ended(91, other)
        self.assert_said(self.cycle(), record(91, other, 0),
                         "one-90: .*more than 3 MB of output.*exec-cancel.*: its answer does not get through")
        self.assertEqual(self.left(), ["one-90"])
        self.assert_said(self.cycle(), "", "one-90: .*onevm exec-cancel ends it")
        self.assert_said(self.cycle(), "")

    def test_agent_ends(self):
        """the agent is gone, then there again but knows nothing of the command: said, with what mends it; the other is told"""
        pid = self.pending(91, "sleep", "1000")
        self.kill_agent(self.guests[91])
        other = self.pending(90, "true")
        self.has_ended(90, other)
        self.assert_said(self.cycle(), record(90, other, 0), rf"one-91: has a command under way .*{LOST}")
        self.assertEqual(self.left(), ["one-91"])
        self.guests[91].type("rm /run/agent-stays-away")
        self.agent_is_there("one-91")
        self.assert_said(self.cycle(), "",  # in the words of QEMU 7, of later ones
                         rf"one-91: .*; onevm exec-cancel ends it: .*(Invalid parameter 'pid'|PID {pid} does not exist)")
        self.assertEqual(self.left(), ["one-91"])


if __name__ == "__main__":
    raise SystemExit(main())
