# SPDX-License-Identifier: Apache-2.0
"""install.sh interrupted at every moment, on the stand-in cloud.

One run stops at each of its moments, and what is there then is kept: that is what a run leaves which is killed there. From
each of these another run is started, which has to come to where the first was with its next action, to the last file; from
there on that is shown already. And from each of them --uninstall has to leave what was there before."""
import collections
import contextlib
import os
import re
import shutil
import signal
import stat
import subprocess

from harness import ROOT
from install_case import CONFS, STATE, Installing

ACTION = re.compile(r"^  (?!kept)(\S.*)$", re.M)
NEW = ".one-telemetry.new"
TOPS = {"front": ("/var/lib/one", "/etc/one", "/etc/systemd/system", "/usr/local", "/var/lib/one-telemetry"),
        "host": ("/var/tmp/one",)}
KEEPS = "/var/lib/one-telemetry"
RUNNING = f"{STATE}|/var/tmp/one-telemetry-|{KEEPS}"  # notes of what is installed; what programs keep
TOKENS = re.compile("/(endpoint|write|read).token$")  # made at random by a run that finds none
HOOKS = ("done", "running")
State = collections.namedtuple("State", "action kept picture")


class Run:
    """install.sh, which stops at each moment (ONE_TELEMETRY_KILL_AT=each) until go(); killed at the end of its block."""

    def __init__(self, front, output, words, user):
        self.output = output
        with open(output, "wb") as out:
            self.process = front.popen(*words, user=user, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                       env={"ONE_TELEMETRY_KILL_AT": "each", "ONE_TELEMETRY_PAUSE": "0.1"})

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.returncode is None:
            self.process.kill()
            self.process.wait()

    def stops(self):
        """Waits. False: it has ended, and status is how."""
        _, status = os.waitpid(self.process.pid, os.WUNTRACED)
        if os.WIFSTOPPED(status):
            return True
        self.process.returncode = os.waitstatus_to_exitcode(status)
        return False

    def go(self):
        self.process.send_signal(signal.SIGCONT)

    @property
    def status(self):
        return self.process.returncode

    def text(self):
        return self.output.read_text()

    def action(self):
        """What it says that it does."""
        return ACTION.findall(self.text())[-1]


class Kept:
    """A cloud as it is now: files of the front-end and of hosts, what OpenNebula knows, which units run."""
    contents = {}  # of files, by what tells them apart: over all that are kept

    def __init__(self, cloud):
        self.cloud = cloud
        machines = [(cloud.front, TOPS["front"]), *((host.machine, TOPS["host"]) for host in cloud.hosts.values())]
        self.trees = [(machine, tops, self._look(machine, tops)) for machine, tops in machines]
        self.known = cloud.store.read()
        self.running = {key for key, unit in cloud.services.units.items() if unit.is_active()}

    def _look(self, machine, tops):
        """{path: (mode, uid, gid, content or target)} of what was written there since the machine was made."""
        found = {}
        for path in machine.changes(*tops):
            real = machine.path(path)
            if os.path.lexists(real):
                now = os.lstat(real)
                found[path] = now.st_mode, now.st_uid, now.st_gid, self._content(real, now)
        return found

    def _content(self, real, now):
        if stat.S_ISLNK(now.st_mode):
            return os.readlink(real)
        if not stat.S_ISREG(now.st_mode):
            return None
        key = now.st_dev, now.st_ino, now.st_mtime_ns, now.st_ctime_ns, now.st_size
        if key not in self.contents:
            self.contents[key] = real.read_bytes()
        return self.contents[key]

    def is_same(self, other):
        """Whether whatever begins here finds what it finds there. What programs write as they go on is left out."""
        def found(kept):
            trees = [{path: what for path, what in tree.items() if not path.startswith(KEEPS)} for _, _, tree in kept.trees]
            keys = {vm: set(known["MONITORING"]) for vm, known in kept.known["vms"].items()}
            return trees, keys, kept.known["hooks"], kept.running
        return found(self) == found(other)

    def bring_back(self):
        services = self.cloud.services
        for key, unit in services.units.items():
            if unit.is_active() and key not in self.running:
                services.stop(unit)
        for machine, tops, kept in self.trees:
            now = self._look(machine, tops)
            for path in sorted(set(now) - set(kept), reverse=True):
                real = machine.path(path)
                real.rmdir() if stat.S_ISDIR(now[path][0]) else real.unlink()
            for path in sorted(path for path in kept if kept[path] != now.get(path)):
                _place(machine.path(path), *kept[path])
        with self.cloud.store.change() as known:
            known.clear()
            known.update(self.known)
        for key in self.running:
            unit = services.units[key]
            unit.read()  # which it could not while its file was gone
            services.start(unit)


def _place(real, mode, uid, gid, content):
    new = real if stat.S_ISDIR(mode) else real.with_name(real.name + ".kept")
    if stat.S_ISDIR(mode):
        real.mkdir(exist_ok=True)
    elif stat.S_ISLNK(mode):
        new.symlink_to(content)
    else:
        new.write_bytes(content)
    os.chown(new, uid, gid, follow_symlinks=False)
    if not stat.S_ISLNK(mode):
        new.chmod(stat.S_IMODE(mode))
    if new != real:
        os.replace(new, real)


class Interrupted(Installing):
    """With hooks, a sink and a running VM."""

    def setUp(self):
        super().setUp()
        self.host = self.cloud.hosts["kvm1"]
        self.program = self.with_few_hooks()
        _, self.with_sink = self.sink()
        self.with_endpoint = [*self.with_sink, "--endpoint", f"http://{self.front.address}:4126"]
        self.fresh = self.picture()
        for name in ("vm_event", "one-telemetry"):  # which nobody calls here; small, as they are copied often
            (self.mine / name).write_text(f"#!/bin/sh\necho {name}\n")

    def whole(self, *words):
        """All is installed, and OpenNebula has figures."""
        self.monitor()
        self.install(*self.with_endpoint, *words)
        self.host.agent.end()

    def edit(self):
        """One of the configurations is somebody's now."""
        text = self.front.read(CONFS[0]).replace("#detail = 5", "detail = 3")
        self.front.write(CONFS[0], text, 0o640)

    def with_few_hooks(self):
        """install.sh with what it installs, but for all hooks except two: each more would be the same once more."""
        top = self.scratch / f"{self._testMethodName}-tree"
        for name in ("install.sh", "share/install", "share/systemd", "share/telemetry.conf", "probes/chooser.sh",
                     *(f"hooks/templates/{name}.tmpl" for name in HOOKS)):
            (top / name).parent.mkdir(parents=True, exist_ok=True)
            (shutil.copytree if (ROOT / name).is_dir() else shutil.copy)(ROOT / name, top / name)
        return top / "install.sh"

    def picture(self):
        """What an interruption must not spoil: every file on each machine, hooks, units, and that all know the same token."""
        found = {name: {path: text.rpartition(" ")[0] if TOKENS.search(path) else text for path, text in paths.items()
                        if not re.match(RUNNING, path)} for name, paths in self.pictures().items()}
        tokens = {self.front.read(path) for path in found["front"] if path.endswith(("/endpoint.token", "/write.token"))}
        units = {name: "active" for (_, name), unit in self.cloud.services.units.items() if unit.is_active()}
        return {**found, "OpenNebula": collections.Counter(self.hooks()), "units": units, "tokens": {"different": len(tokens) > 1}}

    @contextlib.contextmanager
    def at(self, state, waits=True):
        """As it was then; and OpenNebula monitors, where a run may wait for that."""
        state.kept.bring_back()
        if waits and (state.action.startswith("sync ") or self.keys(7)):
            self.monitor()
        try:
            yield
        finally:
            self.host.agent.end()

    def stepping(self, words, user="root", build=None):
        build = [] if "--uninstall" in words else ["--build", build or self.mine]
        return Run(self.front, self.scratch / "said", [self.program, *build, *words, "--wait", "60"], user)

    def states(self, words, **how):
        """Of a run to its end: what is there at each moment, and in the end; once where nothing has changed since the last,
        as where what is noted is noted already. OpenNebula monitors all the while."""
        found, before = [], self.picture()
        self.monitor()
        with self.stepping(words, **how) as run:
            while run.stops():
                self.check_monitoring()
                state = State(run.action(), Kept(self.cloud), self.picture())
                if not found or state.action != found[-1].action or not state.kept.is_same(found[-1].kept):
                    found.append(state)
                run.go()
        self.assertEqual(run.status, 0, run.text())
        self.host.agent.end()
        after = self.picture()
        self.check_whole(found, before, after)
        return found, after

    def check_monitoring(self):
        """Whatever OpenNebula runs now gives figures of the VM, or nothing."""
        self.assertLessEqual(self.runnable(), {"poll.rb", "telemetry"})
        cycle = self.host.cycle()
        self.assertEqual([(name, status) for name, status, *_ in cycle.ran if status], [], cycle)
        self.assertRegex(cycle.text, 'VM *= *\\[ *ID="?7"?,')

    def check_whole(self, states, before, after):
        """Each file is as it was, or as it will be; what is not whole stands where OpenNebula runs nothing."""
        for state in states:
            for name, paths in state.picture.items():
                for path, text in paths.items():
                    if path.endswith(NEW):
                        self.assertNotRegex(path, "/remotes/im/", state.action)
                    elif not path.endswith("/telemetry.conf") and not str(text).startswith("directory"):
                        self.assertIn(text, (before[name].get(path), after[name].get(path)), f"{path} on {name}: {state.action}")

    def resumed_at_each(self, states, after, words, **how):
        """A second run from each state comes to where the first one began its next action; from the last ones to its end. What a
        host has may be of later already: the second run syncs it first."""
        firsts = {}
        for state in states:
            firsts.setdefault(state.action, state.picture)
        actions = list(firsts)
        for number, state in enumerate(states, 1):
            wanted = {action: firsts[action] for action in actions[actions.index(state.action) + 1:]}
            with self.subTest(moment=number, action=state.action), self.at(state, not wanted or "--uninstall" in words):
                there, now = self.resume(wanted, words, **how) or (after, self.picture())
                self.assert_same(*({**picture, "kvm1": {
                    path: text for path, text in picture["kvm1"].items() if now["kvm1"].get(path) != after["kvm1"].get(path)}}
                                   for picture in (there, now)))

    def resume(self, wanted, words, **how):
        """The picture that is wanted, and the one there is, where the run begins one of these actions; None: it has ended."""
        with self.stepping(words, **how) as run:
            while run.stops():
                if run.action() in wanted:
                    return wanted[run.action()], self.picture()
                run.go()
        self.assertIn(run.status, (0, 3), run.text())
        return None

    def taken_out_at_each(self, states, user="root"):
        for number, state in enumerate(states, 1):
            with self.subTest(moment=number, action=state.action), self.at(state):
                self.install("--uninstall", "--purge", user=user)
                self.assert_same(self.fresh, self.picture())
                self.assertFalse(self.front.path(STATE).exists())
                self.assertEqual(self.keys(7), set())
