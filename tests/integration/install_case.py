# SPDX-License-Identifier: Apache-2.0
"""Tests of install.sh: a cloud without anything of ours, builds to install, and what is asked of both afterwards."""
import os
import re
import shutil
import unittest

from cloud import Cloud, foreign
from harness import ROOT, Case, args
from standin import Standin

REMOTES = "/var/lib/one/remotes"
PROBES = [f"{REMOTES}/im/{tree}-probes.d/vm/monitor" for tree in ("kvm", "qemu")]
CONFS = [f"{REMOTES}/etc/im/{tree}-probes.d/telemetry.conf" for tree in ("kvm", "qemu")]
STATE = "/var/lib/one/one-telemetry"
TOKEN = "s3cret-t0ken"
GOES_ON = (r"/var/tmp/one_db|/var/log|/run|/var/lib/one-telemetry/|/var/lib/one/remotes/\.update|"
           r"/etc/systemd/system/[^/]*\.wants$")

# The real probe, of VMs that libvirt's test driver knows, with figures that it does not have: those are replayed. It does
# not stand in the tree itself, so it is told where things are.
PROBE = """#!/bin/sh
real={real}
[ "$1" != --version ] || exec "$real" --version
root=$(cd "${{0%/*}}/../../../.." && pwd)
conf=$root/etc/im/kvm-probes.d/telemetry.conf
mkdir -p /tmp/replay && chmod 700 /tmp/replay
sed -n "s/.*<name>\\(one-[0-9]*\\)<.*/\\1/p" /var/tmp/one_db/node.xml | sed "s/<.*//" | while read -r name; do
  printf "Domain: '%s'\\n state.state=1\\n cpu.time=%s\\n vcpu.current=1\\n" "$name" "$(date +%s%N)"
  printf " balloon.current=32768\\n balloon.maximum=32768\\n"
done >/tmp/replay/$$
"$real" --config "$conf" --replay /tmp/replay/$$ "$@"
if grep -q "^.sink " "$conf"; then
  "$real" --config "$conf" --uri test:///var/tmp/one_db/node.xml "$@" >/dev/null </dev/null
  "$root/{forward}" --config "$conf" --once </dev/null >/dev/null 2>&1
fi
rm -f /tmp/replay/$$
# {mark}
"""


@unittest.skipUnless(os.geteuid() == 0, "needs root: machines in namespaces of their own")
class Installing(Case):
    hosts_of_cloud = ("kvm1",)

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.scratch.chmod(0o755)

    vms = {7: "kvm1", 8: "kvm2", 9: "kvm3"}
    options = {}  # of the cloud
    program = ROOT / "install.sh"

    def setUp(self):
        self.cloud = self.new_cloud()
        self.front = self.cloud.front
        self.mine = self.build("mine")

    def new_cloud(self):
        type(self).hosts += 1
        cloud = Cloud(self.scratch / f"cloud-{self.hosts}", hosts=self.hosts_of_cloud, binds=[ROOT, args.build, self.scratch],
                      **self.options)
        self.addCleanup(cloud.close)
        for number, name in self.vms.items():
            if name in self.hosts_of_cloud:
                cloud.add_vm(number, name)
        cloud.front.path("/run/systemd/system").mkdir(parents=True, exist_ok=True)
        return cloud

    def build(self, name, mark="", machine=None, chosen=False):
        """A directory as --build takes it. machine: for which it says to be; chosen: it is one of several."""
        directory = self.scratch / f"{self._testMethodName}-{self.hosts}" / name
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        forward = f"hooks/telemetry/builds/{name}/forward" if chosen else "hooks/telemetry/forward"
        real = directory.with_name(f"{name}-real")
        (directory / "vm_monitor").write_text(PROBE.format(real=real, forward=forward, mark=mark))
        for program, to in (("probes/vm_monitor", real), ("hooks/forward", directory / "forward"),
                            ("hooks/vm_event", directory / "vm_event"), ("serve/telemetryd", directory / "telemetryd"),
                            ("commands/one-telemetry", directory / "one-telemetry"),
                            *((f"probes/{name}", directory / name) for name in ("vm_status", "vm_exec"))):
            to.unlink(missing_ok=True)  # the old one may run
            shutil.copy(args.build / program, to)
            if machine not in (None, os.uname().machine):
                to.write_bytes(foreign(args.build / program, machine))
        if machine:
            (directory / "machine").write_text(machine + "\n")
        for path in directory.iterdir():
            path.chmod(0o755)
        return directory

    def monitor(self, *hosts):
        """The hosts' agents run from now on, more often than OpenNebula's."""
        for name in hosts or self.hosts_of_cloud:
            self.cloud.hosts[name].agent.begin(vm_monitor=0.5, host_monitor=60, host_system=60, host_beacon=60, vm_status=60)

    def sink(self):
        """An InfluxDB 2 that the hosts reach, and its options; its token is another user's file."""
        with self.front.network():
            sink = Standin("influxdb2", {"org": "ops", "bucket": "one"}, token=TOKEN, address=self.front.address)
        self.addCleanup(sink.close)
        token = self.scratch / f"token-{self._testMethodName}"
        token.write_text(TOKEN + "\n")
        return sink, ["--influx-url", sink.url, "--influx-type", "influxdb2", "--influx-org", "ops", "--influx-bucket", "one",
                      "--token-file", token]

    # ---- running it -------------------------------------------------------------------------------------

    def install(self, *words, user="root", status=0, builds=None, env=None):
        """One run; its standard output. status: which it must have, or one of which; None: any."""
        for build in builds or [self.mine]:
            words = ["--build", build, *words]
        if "--uninstall" in words:
            words = [word for word in words if word != "--build" and word not in (builds or [self.mine])]
        if not any("--wait" == word for word in words):
            words = [*words, "--wait", "60"]
        run = self.front.run(self.program, *words, user=user, timeout=90,
                             env={"ONE_TELEMETRY_PAUSE": "0.1", **(env or {})})
        wanted = status if isinstance(status, tuple) else (status,)
        if status is not None and run.returncode not in wanted:
            self.fail(f"exit status {run.returncode}, not {status}\n{run.stdout}\n{run.stderr}")
        self.err, self.status = run.stderr, run.returncode
        return run.stdout

    def actions(self, text):
        """What it did, or would have done, without the difference."""
        found = re.findall(r"^  (?:would )?((?:make|install|update|remove|register|sync|take|give|start|restart|tell|put|stop) .*)$",
                           text, re.M)
        return [re.sub(r"^start telemetryd.*", "start telemetryd", line) for line in found]

    def spoil_hooks(self):
        """One that somebody changed, and that is there twice; and one that is not ours."""
        with self.cloud.store.change() as state:
            done = next(hook for hook in state["hooks"].values() if hook["NAME"] == "telemetry-done")
            for number, name in ((97, "mine"), (98, done["NAME"])):
                state["hooks"][str(number)] = {**done, "ID": number, "NAME": name}
            done["TEMPLATE"]["TIMEOUT"] = "5"

    # ---- looking ----------------------------------------------------------------------------------------

    def pictures(self):
        """What differs on each machine from a fresh one, but for what goes on there anyhow."""
        def quiet(changes):
            return {path: text for path, text in changes.items() if not re.match(GOES_ON, path)}
        machines = {"front": self.front, **{name: host.machine for name, host in self.cloud.hosts.items()}}
        return {name: quiet(machine.changes()) for name, machine in machines.items()}

    def assert_same(self, before, after=None):
        after = self.pictures() if after is None else after
        for name, paths in before.items():
            different = {path: (paths.get(path), after[name].get(path)) for path in set(paths) | set(after[name])
                         if paths.get(path) != after[name].get(path)}
            self.assertEqual(different, {}, f"on {name}")

    def mode(self, path, machine=None):
        found = (machine or self.front).path(path).stat()
        return f"{found.st_mode & 0o7777:o} {found.st_uid}:{found.st_gid}"

    def keys(self, vm):
        return {key for key in self.cloud.vm(vm).monitoring() if key in ("CPU_TIME", "MEMORY_USAGE", "MEMORY_SOURCE")}

    def hooks(self):
        return sorted(hook["NAME"] for hook in self.cloud.store.read()["hooks"].values())

    def runnable(self):
        """Programs in the directories that OpenNebula runs, of the front-end's tree."""
        return {name for probes in PROBES for name in os.listdir(self.front.path(probes))
                if os.access(self.front.path(probes) / name, os.X_OK)}


def templates():
    return sorted(f"telemetry-{path.stem}" for path in (ROOT / "hooks" / "templates").glob("*.tmpl"))
