# SPDX-License-Identifier: Apache-2.0
"""Services of the machines: what systemctl is told is done, as far as our units need it: users, state directories,
notification, reload. What keeps a service in (ProtectSystem and the like) is not."""
import contextlib
import os
import shlex
import signal
import socket
import subprocess
import time

from .machine import ONEADMIN

PLACES = ("/etc/systemd/system", "/run/systemd/system", "/usr/local/lib/systemd/system", "/lib/systemd/system",
          "/usr/lib/systemd/system")
START_SECONDS = 30
CHANGES = ("start", "stop", "restart", "try-restart", "reload", "enable", "disable", "daemon-reload", "reset-failed",
           "reload-or-restart", "mask", "unmask")


class _Unit:
    def __init__(self, machine, name, path):
        self.machine, self.name, self.path = machine, name, path
        self.process = self.log = None
        self.waits = False  # a timer that was started
        self.settings = {}
        self.read()

    def read(self):
        """Its settings: {NAME: [value]}; an empty one forgets those before."""
        self.settings, section = {}, ""
        for line in self.machine.read(self.path).replace("\\\n", " ").splitlines():
            line = line.strip()
            if line.startswith("["):
                section = line
            elif "=" in line and line[0] not in "#;":
                name, _, value = line.partition("=")
                self.settings.setdefault(f"{section}{name.strip()}", []).append(value.strip())

    def get(self, name, default=""):
        return (self.settings.get(f"[Service]{name}") or [default])[-1]

    def is_active(self):
        return self.waits or self.process is not None and self.process.poll() is None


def _links(machine, name):
    """What enables a unit. The links lead to where only the machine's own programs find something."""
    found = [wants / name for wants in machine.path("/etc/systemd/system").glob("*.wants")]
    return [link for link in found if link.is_symlink()]


class Units:
    def __init__(self, cloud):
        self.cloud, self.units = cloud, {}
        self.calls = []  # (machine's name, words), in their order

    def close(self):
        for unit in self.units.values():
            self.stop(unit)

    def serve(self, request, pid, uid):
        machine = self._caller(pid)
        words = request["words"]
        self.calls.append((machine.name, words))
        if not words:
            return {"status": 1, "say": "systemctl: too few arguments"}
        verb, names = words[0], [name if "." in name else f"{name}.service" for name in words[1:]]
        if verb in CHANGES and uid:
            return {"status": 1, "say": f"Failed to {verb} {' '.join(words[1:])}: Interactive authentication required."}
        if verb == "daemon-reload":
            for unit in self.units.values():
                with contextlib.suppress(OSError):
                    unit.read()
            return {"status": 0}
        if verb == "is-system-running":
            return {"status": 0, "out": "running"}
        answers = [self._one(machine, verb, name, request) for name in names]
        return {"status": max((each[0] for each in answers), default=0),
                "out": "\n".join(each[1] for each in answers if each[1]),
                "say": "\n".join(each[2] for each in answers if each[2])}

    def _caller(self, pid):
        space = os.readlink(f"/proc/{pid}/ns/mnt")
        return next(machine for machine in self.cloud.every_machine() if os.readlink(f"/proc/{machine.pid}/ns/mnt") == space)

    def unit(self, machine, name):
        """A unit that is there; None otherwise."""
        for place in PLACES:
            path = f"{place}/{name}"
            if machine.path(path).is_file() and not machine.path(path).is_symlink():
                key = machine.name, name
                if key not in self.units or self.units[key].path != path:
                    self.units[key] = _Unit(machine, name, path)
                return self.units[key]
        unit = self.units.get((machine.name, name))
        return unit if unit and unit.is_active() else None

    def _one(self, machine, verb, name, request):
        """(status, output, errors)"""
        unit = self.unit(machine, name)
        quiet = request["quiet"]
        if verb == "is-active":
            active = bool(unit and unit.is_active())
            return (0 if active else 3), "" if quiet else ("active" if active else "inactive"), ""
        if verb == "is-enabled":
            enabled = bool(_links(machine, name))
            word = "enabled" if enabled else "disabled"
            says = "" if unit else f"Failed to get unit file state for {name}: No such file or directory"
            return (0 if enabled else 1), "" if quiet or not unit else word, says
        if verb == "disable":
            return self._disable(machine, unit, name, request["now"])
        if verb in ("reset-failed", "mask", "unmask"):
            return 0, "", ""
        if verb == "try-restart" and not (unit and unit.is_active()):
            return 0, "", ""
        if not unit:
            return (4 if verb in ("status", "show") else 5), "", f"Unit {name} could not be found." if verb == "status" else (
                f"Failed to {verb} {name}: Unit {name} not found.")
        return self._do(machine, unit, verb, request)

    def _do(self, machine, unit, verb, request):
        if verb == "enable":
            for target in unit.settings.get("[Install]WantedBy", []):
                link = machine.path(f"/etc/systemd/system/{target}.wants/{unit.name}")
                link.parent.mkdir(exist_ok=True, parents=True)
                link.unlink(missing_ok=True)
                link.symlink_to(unit.path)
            return self.start(unit) if request["now"] else (0, "", "")
        if verb == "start":
            return self.start(unit)
        if verb == "stop":
            self.stop(unit)
        elif verb in ("restart", "try-restart", "reload-or-restart"):
            self.stop(unit)
            return self.start(unit)
        elif verb == "reload":
            return self._reload(unit)
        elif verb == "status":
            word = "active (running)" if unit.is_active() else "inactive (dead)"
            return (0 if unit.is_active() else 3), f"{unit.name}\n   Active: {word}", ""
        elif verb == "show":
            return 0, self._show(unit, request), ""
        elif verb == "cat":
            return 0, machine.read(unit.path), ""
        return 0, "", ""

    @staticmethod
    def _show(unit, request):
        values = {"ActiveState": "active" if unit.is_active() else "inactive", "LoadState": "loaded", "FragmentPath": unit.path,
                  "MainPID": str(unit.process.pid) if unit.is_active() and unit.process else "0", "User": unit.get("User")}
        names = request["property"].split(",") if request["property"] else list(values)
        return "\n".join(values.get(name, "") if request["value"] else f"{name}={values.get(name, '')}" for name in names)

    def _disable(self, machine, unit, name, now):
        for link in _links(machine, name):
            link.unlink()
        if now and unit:
            self.stop(unit)
        return (0, "", "") if unit else (1, "", f"Failed to disable unit: Unit file {name} does not exist.")

    def start(self, unit):
        if unit.is_active():
            return 0, "", ""
        if unit.name.endswith(".timer"):
            unit.waits = True
            return 0, "", ""
        machine, user = unit.machine, unit.get("User", "root")
        if user not in ("root", "oneadmin"):
            user = "nobody"
        env = self._environment(unit, user)
        unit.log = self.cloud.directory / f"{machine.name}-{unit.name}.log"
        notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        path = f"/run/notify-{unit.name}"
        machine.path(path).unlink(missing_ok=True)
        notify.bind(str(machine.path(path)))
        os.chmod(machine.path(path), 0o777)
        with notify, open(unit.log, "ab") as log:
            words = shlex.split(self._command(unit))
            unit.process = machine.popen(*words, user=user, env={"NOTIFY_SOCKET": path, **env}, cwd="/",
                                         stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
            if unit.get("Type") == "notify" and not self._ready(unit, notify):
                return 1, "", (f"Job for {unit.name} failed because the control process exited with error code.\n"
                               f"See \"systemctl status {unit.name}\" and \"journalctl -xeu {unit.name}\" for details.")
        return 0, "", ""

    def elapse(self, machine, name):
        """What systemd does whenever a timer's time has come, to its end: the exit status of its service."""
        timer = self.unit(machine, name)
        if not (timer and timer.waits):
            raise ValueError(f"{name} does not wait for anything")
        unit = self.unit(machine, name.replace(".timer", ".service"))
        self.start(unit)
        return unit.process.wait(START_SECONDS)

    @staticmethod
    def _command(unit):
        return unit.get("ExecStart").lstrip("-+!@")

    @staticmethod
    def _ready(unit, notify):
        deadline = time.monotonic() + START_SECONDS
        notify.settimeout(0.05)
        while unit.process.poll() is None and time.monotonic() < deadline:
            with contextlib.suppress(TimeoutError):
                if b"READY=1" in notify.recv(4096).splitlines():
                    return True
        return False

    @staticmethod
    def _environment(unit, user):
        env = {"JOURNAL_STREAM": "1:1"}
        for name, top in (("State", "/var/lib"), ("Runtime", "/run"), ("Cache", "/var/cache"), ("Logs", "/var/log")):
            if directory := unit.get(f"{name}Directory"):
                path = unit.machine.path(f"{top}/{directory}")
                path.mkdir(parents=True, exist_ok=True)
                path.chmod(int(unit.get(f"{name}DirectoryMode", "0755"), 8))
                owner = {"root": 0, "oneadmin": ONEADMIN}.get(user, 65534)
                os.chown(path, owner, owner)
                env[f"{name.upper()}_DIRECTORY"] = f"{top}/{directory}"
        for line in unit.settings.get("[Service]Environment", []):
            env |= dict(pair.partition("=")[::2] for pair in shlex.split(line))
        return env

    @staticmethod
    def _reload(unit):
        if not unit.is_active():
            return 1, "", f"{unit.name} is not active, cannot reload."
        unit.process.send_signal(signal.SIGHUP)
        return 0, "", ""

    @staticmethod
    def stop(unit):
        if unit.waits:
            unit.waits = False
        elif unit.is_active():
            unit.process.terminate()
            try:
                unit.process.wait(20)
            except subprocess.TimeoutExpired:
                unit.process.kill()
                unit.process.wait(10)
