# SPDX-License-Identifier: Apache-2.0
"""Rig: starts, asks, disturbs and stops a private libvirtd and its guests."""
import concurrent.futures
import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time

from . import domain, guests, linux, procs, sandbox
from .capture import check_machine, need_root, run
from .layout import Layout, RigError, read_pid, tail

FLEET = (
    ("idle", "one-79", {"vm_name": "web-front", "uname": "alice"}),
    ("disk", "one-82", {"vm_name": "postgres-main", "uname": "bob"}),
    ("busy", "one-83", {"vm_name": "batch-worker", "uname": "oneadmin"}),
)
MORE = (
    ("wide", "one-84", {"vm_name": "wide-load", "uname": "carol"}),
    ("wild", "scratchpad", {}),
)
SUPERVISOR = "rig.supervisor"    # the module, and so one of its arguments
START_SECONDS = 60              # for libvirtd to answer; the first time it probes QEMU
STOP_SECONDS = 20
LOCK_SECONDS = 30
VIRSH_SECONDS = 60
POLL_SECONDS = 0.5
RUNNING, PAUSED = 1, 3           # states, as libvirt numbers them


class Rig:
    """One rig. Every method returns in bounded time and raises RigError, one line, when it can not do its job.

    with Rig(directory) as rig: starts nothing by itself, but takes everything down at the end."""

    def __init__(self, directory=None, log=None):
        self.layout = Layout(directory or os.environ.get("ONE_RIG") or "/tmp/one-rig")
        self.dir = self.layout.dir
        self._log = log or (lambda text: None)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.down()

    # ---- up and down ------------------------------------------------------------------------------

    def up(self, fleet=None, everything=False, count=0, base=5000, timeout=None, **options):
        """Starts what is missing of supervisor, libvirtd and guests, and waits until the guests do their work.

        fleet: [(kind, name, options)], by default FLEET, or none of it where count is given; everything
        adds FLEET and MORE; count adds idle guests one-<base+1> and on, with these options."""
        check_machine()
        wanted = self._fleet(fleet, everything, count, base, options)
        self.layout.claim()
        with self.layout.locked(LOCK_SECONDS):
            fresh = self.supervisor_pid() is None
            try:
                if fresh:
                    self._start_supervisor()
                self._ensure_libvirtd()
                self._start_fleet(wanted, timeout or START_SECONDS + 6 * len(wanted))
            except BaseException:
                if fresh:
                    self._stop()                    # and leaves the logs
                raise

    def down(self, keep=False):
        """Stops everything by pid and removes the directory, unless keep. Safe to repeat, and at any time."""
        need_root()
        if not self.layout.marker.exists():
            self._stop()                            # somebody may have removed the directory only
            return
        with self.layout.locked(LOCK_SECONDS):
            self._stop()
            if not keep:
                self.layout.remove()

    @staticmethod
    def _fleet(fleet, everything, count, base, options):
        wanted = list(fleet or ())
        if everything:
            wanted += FLEET + MORE
        elif fleet is None and not count:
            wanted += FLEET
        bench = {"vm_name": "bench", **options}
        wanted += [("idle", f"one-{base + i}", bench) for i in range(1, (count or 0) + 1)]
        return [(kind, domain.check_name(name), domain.Options(**opts)) for kind, name, opts in wanted]

    def _start_supervisor(self):
        """Starts the supervisor, after removing what one that was killed has left."""
        self._stop()
        self.layout.build()
        package = os.path.dirname(os.path.abspath(__file__))
        command = [sys.executable, "-B", "-m", SUPERVISOR, str(self.dir)]
        with subprocess.Popen(command, cwd=os.path.dirname(package), stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True) as child:
            fd = child.stdout.fileno()
            ready = select.select([fd], [], [], START_SECONDS)[0]
            said = os.read(fd, 4096).decode(errors="replace").strip() if ready else f"silent for {START_SECONDS} s"
            child.kill()
            if said != "ok":
                log = self.layout.supervisor_log
                raise RigError(f"supervisor: {(said or tail(log) or 'ended').splitlines()[-1]} (log: {log})")
        self._log(f"supervisor runs, pid {self.supervisor_pid()}")

    def _ensure_libvirtd(self):
        """Starts libvirtd if it is not there, and waits until it answers."""
        pid = self.libvirtd_pid()
        if pid and procs.state(pid) == "T":
            raise RigError(f"libvirtd (pid {pid}) is frozen: 'rig.py libvirtd thaw' first")
        if pid is None:
            self._signal(self.supervisor_pid(), "the supervisor", signal.SIGUSR1)
            self._await(self.libvirtd_pid, 5, "libvirtd did not start", self.layout.supervisor_log)
        problem, log = "", self.layout.libvirtd_log
        deadline = time.monotonic() + START_SECONDS
        while self.libvirtd_pid() is not None and time.monotonic() < deadline:
            try:
                self.virsh("uri", timeout=10)
                return
            except RigError as err:
                problem = str(err)
            time.sleep(0.1)
        raise RigError(f"libvirtd does not answer, or ended: {problem}; {tail(log)} (log: {log})")

    def _stop(self):
        """Ends the supervisor, which ends the rest; then whatever should be left, it or others."""
        for pid in procs.members(self.layout.mark):
            if SUPERVISOR in procs.cmdline(pid):
                procs.send(pid, self.layout.mark, signal.SIGTERM, signal.SIGCONT, wait=STOP_SECONDS)
        procs.sweep(self.layout.mark, STOP_SECONDS)

    # ---- guests -----------------------------------------------------------------------------------

    def xml(self, kind, name, **options):
        """The domain XML that start() would use."""
        return domain.build(self.layout, kind, name, domain.Options(**options))

    def start(self, kind, name, wait=True, timeout=60, **options):
        """Starts one guest; options as in domain.Options. Waits until it does what its kind does."""
        opts = domain.Options(**options)
        if name in self.active():
            raise RigError(f"{name}: runs already")
        self._create(kind, name, opts)
        if wait:
            self.wait_working({name: kind}, timeout)

    def _create(self, kind, name, opts):
        text = domain.build(self.layout, kind, name, opts)
        spec = guests.KINDS[kind]
        guests.make_disks(self.layout, name, spec, opts.disks or spec.disks)
        if opts.disc:
            guests.make_disc(self.layout)
        path = self.layout.xml / f"{name}.xml"
        path.write_text(text, encoding="utf-8")
        log = self.layout.qemu_logs / f"{name}.log"
        try:
            self.virsh("create", str(path), *(["--paused"] if opts.paused else []), timeout=120)
        except RigError as err:
            raise RigError(f"{name}: {err} (logs: {log}, {self.layout.libvirtd_log})") from err

    def _start_fleet(self, wanted, timeout):
        """Creates what does not run yet, in a few streams side by side, and waits for all of it to work."""
        active = self.active()
        missing = [guest for guest in wanted if guest[1] not in active]
        done, lock = [], threading.Lock()

        def create(guest):
            self._create(*guest)
            with lock:
                done.append(guest[1])
                if len(missing) <= 5 or len(done) % 5 == 0 or len(done) == len(missing):
                    self._log(f"{len(done)} of {len(missing)} guests created ({guest[1]})")

        with concurrent.futures.ThreadPoolExecutor(max(2, min(4, os.cpu_count() or 1))) as pool:
            jobs = [pool.submit(create, guest) for guest in missing]
            try:
                for job in jobs:
                    job.result()
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
        self.wait_working({name: kind for kind, name, _ in wanted}, timeout)

    def destroy(self, *names):
        """Destroys guests. One that is frozen is thawed first: libvirt would wait 10 s for it otherwise."""
        for name in names:
            domain.check_name(name)
            with contextlib.suppress(RigError):
                self.thaw(name)
            self.virsh("destroy", name)
            guests.remove_disks(self.layout, name)
            (self.layout.xml / f"{name}.xml").unlink(missing_ok=True)

    def active(self, timeout=VIRSH_SECONDS):
        """The names of the domains that libvirtd knows."""
        return set(self.virsh("list", "--all", "--name", timeout=timeout).split())

    def pid(self, name):
        """The pid of the guest's QEMU."""
        pid = self._guest_pid(domain.check_name(name))
        if pid is None:
            raise RigError(f"{name}: does not run in {self.dir}")
        return pid

    def _guest_pid(self, name):
        pid = read_pid(self.layout.qemu_pids / f"{name}.pid")
        if pid and procs.belongs(pid, self.layout.mark):
            if any(arg.startswith(f"guest={name},") for arg in procs.cmdline(pid)):
                return pid
        return None

    def freeze(self, name):
        """Stops the guest's QEMU process (SIGSTOP): it does not answer libvirt any more."""
        self._signal(self.pid(name), name, signal.SIGSTOP, becomes="T")

    def thaw(self, name):
        self._signal(self.pid(name), name, signal.SIGCONT)

    def frames(self, name, count=100, size=1000, nic=0, to="ff:ff:ff:ff:ff:ff"):
        """Sends the guest frames through its tap, to everybody unless told otherwise: its received bytes and packets grow by
        just that."""
        if not 60 <= size <= 1514:
            raise RigError(f"size {size}: must be 60 to 1514")
        interface = domain.tap(name, nic)
        frame = (bytes.fromhex(to.replace(":", "")) + b"\x02\x00\x00\x00\x00\x01" + b"\x88\xb5").ljust(size, b"\0")
        try:
            with contextlib.closing(sandbox.packet_socket(self.pid(name), interface)) as sock:
                for sent in range(count):
                    sock.send(frame)
                    if sent % 100 == 99:
                        time.sleep(0.02)            # a tap's queue holds 1000
        except OSError as err:
            raise RigError(f"{name}: {interface}: {err.strerror}") from err

    # ---- asking -----------------------------------------------------------------------------------

    def uri(self, rw=False):
        return self.layout.uri(rw)

    def virsh(self, *args, rw=True, timeout=VIRSH_SECONDS):
        """Runs virsh against the rig; returns what it prints."""
        try:
            return run(["virsh", "-q", "-c", self.uri(rw), *args], timeout).stdout
        except RigError as err:
            if self.libvirtd_pid() is None:
                log = self.layout.libvirtd_log
                raise RigError(f"{self.dir}: libvirtd does not run: 'rig.py up' first (log: {log})") from err
            raise

    def ask_agent(self, name, execute, **arguments):
        """What the guest's agent returns of a command, asked as OpenNebula's driver asks it."""
        command = json.dumps({"execute": execute, **({"arguments": arguments} if arguments else {})})
        return json.loads(self.virsh("qemu-agent-command", name, command))["return"]

    def has_agent(self, name):
        """Whether libvirt reaches an agent in the guest."""
        try:
            return self.ask_agent(name, "guest-ping") == {}
        except RigError:
            return False

    def domstats(self, *names, args=(), timeout=VIRSH_SECONDS):
        """{name: {key: text}} of the guests, of all if none is named. Does not wait for a guest's job, but
        for its monitor: a frozen guest holds it up to the timeout, unless args keep to --state, --interface."""
        found, current = {}, None
        for line in self.virsh("domstats", "--raw", "--nowait", *args, *names, timeout=timeout).splitlines():
            if line.startswith("Domain: '"):
                current = found.setdefault(line[len("Domain: '"):-1], {})
            elif "=" in line and current is not None:
                key, _, value = line.strip().partition("=")
                current[key] = value
        return found

    def wait(self, name, state, timeout=30):
        """Waits until virsh domstate says so; "gone": libvirtd does not know it any more."""
        deadline = time.monotonic() + timeout
        while True:
            now, limit = "gone", max(1.0, deadline - time.monotonic())
            if name in self.active(limit):
                with contextlib.suppress(RigError):
                    now = self.virsh("domstate", name, timeout=limit).strip()
            if now == state:
                return
            if time.monotonic() > deadline:
                raise RigError(f"{name}: still {now}, not {state}, after {timeout:g} s")
            time.sleep(0.2)

    def wait_working(self, kinds, timeout=60):
        """Waits until guests, {name: kind}, do their work: the busy one spins, the disk one reads and writes,
        the Linux one says so, the others have booted and sleep. Paused ones need not."""
        left, before, deadline = dict(kinds), {}, time.monotonic() + timeout
        while left:
            now = self._sample(left)
            for name in [n for n in left if self._is_at_work(n, left[n], before.get(n), now[n])]:
                del left[name]
            before = now
            if left and time.monotonic() > deadline:
                name, kind = next(iter(left.items()))
                raise RigError(f"{', '.join(left)}: not at work after {timeout:g} s; {name} ({kind}): "
                               f"{_figures(now[name][1])} (log: {self.layout.qemu_logs / name}.log)")
            if left:
                time.sleep(POLL_SECONDS)

    def _is_at_work(self, name, kind, before, now):
        if guests.KINDS[kind].linux and int(now[1].get("state.state", 0)) == RUNNING:
            return linux.READY in tail(domain.console_log(self.layout, name), 100)
        return _works(kind, before, now)

    def _sample(self, names):
        """{name: (time, figures)}; complains about a guest that has gone."""
        for name in names:
            if procs.state(self._guest_pid(name)) == "T":
                raise RigError(f"{name}: is frozen: 'rig.py cont-guest {name}' first")
        stats = {}
        with contextlib.suppress(RigError):             # one that has gone makes the whole call fail
            stats = self.domstats(*names, args=("--state", "--cpu-total", "--block", "--interface"))
        now = time.monotonic()
        for name in names:
            if name not in stats:
                log = self.layout.qemu_logs / f"{name}.log"
                raise RigError(f"{name}: is gone or does not answer: {tail(log)} (log: {log})")
        return {name: (now, stats[name]) for name in names}

    def supervisor_pid(self):
        """The supervisor's pid, or None."""
        return self._ours(self.layout.supervisor_pid, SUPERVISOR)

    def libvirtd_pid(self):
        """libvirtd's pid, or None."""
        return self._ours(self.layout.libvirtd_pid, "/usr/sbin/libvirtd")

    def _ours(self, path, argument):
        """The pid in a file, if it is a process of this rig with that argument."""
        pid = read_pid(path)
        if pid and procs.belongs(pid, self.layout.mark) and argument in procs.cmdline(pid):
            return pid
        return None

    def status(self):
        """What runs, without asking libvirtd, which may be frozen: {"up", "supervisor", "libvirtd", "guests", …}."""
        guest_pids = {}
        for path in sorted(self.layout.qemu_pids.glob("*.pid")):
            pid = self._guest_pid(path.stem)
            if pid:
                guest_pids[path.stem] = {"pid": pid, "frozen": procs.state(pid) == "T"}
        supervisor, libvirtd = self.supervisor_pid(), self.libvirtd_pid()
        return {"dir": str(self.dir), "uri": self.uri(), "up": bool(supervisor and libvirtd), "supervisor": supervisor,
                "libvirtd": libvirtd, "libvirtd_frozen": bool(libvirtd) and procs.state(libvirtd) == "T",
                "guests": guest_pids}

    # ---- libvirtd ---------------------------------------------------------------------------------

    def libvirtd(self, action):
        """stop (SIGTERM, waits), kill (SIGKILL), start (in the same namespaces), freeze, thaw. Guests run on."""
        pid = self.libvirtd_pid()
        if action == "start":
            if self.supervisor_pid() is None:
                raise RigError(f"{self.dir}: not up: 'rig.py up' first")
            self._ensure_libvirtd()
        elif action in ("stop", "kill"):
            signals = (signal.SIGTERM, signal.SIGCONT) if action == "stop" else (signal.SIGKILL,)
            if pid and not procs.send(pid, self.layout.mark, *signals, wait=STOP_SECONDS):
                raise RigError(f"libvirtd (pid {pid}) does not end within {STOP_SECONDS} s: 'rig.py libvirtd kill'")
        elif action == "freeze":
            self._signal(pid, "libvirtd", signal.SIGSTOP, becomes="T")
        elif action == "thaw":
            self._signal(pid, "libvirtd", signal.SIGCONT)
        else:
            raise RigError(f"libvirtd {action}: no such action")

    def _signal(self, pid, what, signum, becomes=None):
        """Sends a signal to a process of the rig, and waits for the state that it leads to."""
        if pid is None or (procs.send(pid, self.layout.mark, signum) and becomes):
            raise RigError(f"{what} does not run in {self.dir}")
        if becomes:
            self._await(lambda: procs.state(pid) == becomes, 5, f"{what} (pid {pid}) does not get into state {becomes}")

    @staticmethod
    def _await(condition, seconds, complaint, log=None):
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                raise RigError(complaint + (f": {tail(log)} (log: {log})" if log else ""))
            time.sleep(0.02)


def _figures(stats):
    keys = ("state.state", "cpu.time", "block.0.rd.reqs", "block.0.wr.reqs", "net.0.tx.pkts")
    return ", ".join(f"{key} {stats.get(key, 'absent')}" for key in keys)


def _works(kind, before, now):
    """Whether a guest does what its kind does, by two samples of its figures."""
    def number(sample, key):
        return int(sample[1].get(key, 0))
    if number(now, "state.state") == PAUSED:
        return True
    if before is None or number(now, "state.state") != RUNNING or number(before, "block.0.rd.reqs") < 1:
        return False                                    # its boot sector has not been read yet
    if kind == "disk":
        return all(number(now, key) > number(before, key) for key in ("block.0.rd.reqs", "block.0.wr.reqs"))
    if kind == "net":
        return number(now, "net.0.tx.pkts") > number(before, "net.0.tx.pkts")
    usage = (number(now, "cpu.time") - number(before, "cpu.time")) / 1e9 / (now[0] - before[0])
    return usage > 0.2 if kind == "busy" else usage < 0.2
