# SPDX-License-Identifier: Apache-2.0
"""The cloud: front-ends, hosts, VMs, and what runs between them."""
import base64
import contextlib
import os
import pathlib
import re
import shutil
import subprocess
import threading

from . import layout, lifecycle
from .agent import Agent
from .foreign import make_foreign
from .hooks import HookManager
from .machine import MOUNT, ONEADMIN, Directory, Machine, python
from .monitord import Monitord
from .names import HOST_STATES, number
from .server import Server
from .store import Store, take_id
from .units import Units

NETWORK = "10.66.0"
FLOATING = f"{NETWORK}.10"
ROOT = pathlib.Path(__file__).resolve().parents[3]
TEST_DRIVER = "test:///var/tmp/one_db/node.xml"
KVMRC = "export LANG=C\nLIBVIRT_URI={}\n"
HIDDEN_FROM = "/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/lib64", "/usr/lib64", "/usr/lib"


class Peer:
    """A front-end, as far as ssh goes there."""

    def __init__(self, machine):
        self.machine, self.down, self.slow = machine, False, 0


class Host:
    """A KVM host. down, slow (seconds): what ssh meets; slow and down may be set at any time."""

    def __init__(self, cloud, name, host, machine):
        self.cloud, self.name, self.id, self.machine = cloud, name, host, machine
        self.down, self.slow = False, 0
        self.architecture = os.uname().machine
        self.agent = Agent(self)

    def path(self, path="/var/tmp/one"):
        return self.machine.path(path)

    def run(self, *words, **options):
        return self.machine.run(*words, **options)

    def cycle(self, directory="vm/monitor", **options):
        return self.agent.cycle(directory, **options)

    def state(self):
        """The name of its state: MONITORED is "on"."""
        return HOST_STATES[self.cloud.store.read()["hosts"][str(self.id)]["STATE"]]

    def lacks(self, *libraries):
        """From now on these shared libraries are not there: programs that need them fail to start, as the loader says it."""
        for library in libraries:
            found = [path for top in HIDDEN_FROM for path in self.machine.path(top).glob(f"{library}*")]
            if not found:
                raise ValueError(f"{library} is not there anyhow")
            for path in found:
                path.unlink(missing_ok=True)

    def is_other(self, architecture=None, glibc=None):
        """From now on it has this architecture ("aarch64") or this C library ("2.31"): what was brought there runs only if it
        is for that one, and the host says so of itself."""
        make_foreign(self.machine, self.cloud.directory, architecture, glibc)
        self.architecture = architecture or self.architecture
        with self.cloud.store.change() as state:
            state["hosts"][str(self.id)]["TEMPLATE"]["ARCH"] = self.architecture
        self.cloud.record_hosts()

    def record(self, state):
        """What the stock probes will say of the VMs that run here, and libvirt's test driver."""
        vms = {int(vm): kept["XML"] for vm, kept in state["vms"].items()
               if kept["HOST"] == self.id and kept["ON_HOST"] and kept["STATE"] == 3}
        database = self.machine.path("/var/tmp/one_db")
        texts = {"poll.out": "".join(_poll(vm) for vm in sorted(vms)), "node.xml": _node(vms),
                 "state.out": "".join(f'VM = [ ID="{vm}", DEPLOY_ID="{_uuid(text)}", STATE="RUNNING" ]\n'
                                      for vm, text in sorted(vms.items())),
                 "system.out": f'HYPERVISOR=kvm\nHOSTNAME="{self.name}"\nARCH="{self.architecture}"\nTOTALCPU=400\n'
                               "TOTALMEMORY=8388608\n",
                 "usage.out": "USEDMEMORY=1048576\nFREEMEMORY=7340032\nUSEDCPU=4\nFREECPU=396\n"}
        for name, text in texts.items():
            new = database / f".{name}"
            new.write_text(text)
            self.machine.own(new)
            os.replace(new, database / name)


def _uuid(text):
    return re.search("<DEPLOY_ID>(.*)</DEPLOY_ID>", text)[1]


def _poll(vm):
    """The recorded line of a VM; one that was not recorded has another's figures."""
    lines = (lifecycle.RECORDED / "stock-poll.out").read_text().splitlines()
    for line in lines:
        if line.startswith(f'VM = [ ID="{vm}",'):
            return line + "\n"
    deploy = _uuid(lifecycle.document(vm, "x"))
    return re.sub('ID="[0-9]+", DEPLOY_ID="[^"]*"', f'ID="{vm}", DEPLOY_ID="{deploy}"', lines[0]) + "\n"


def _node(vms):
    domains = "".join(f"<domain type='test'><name>one-{vm}</name><uuid>{_uuid(text)}</uuid><memory unit='KiB'>32768</memory>"
                      "<vcpu>1</vcpu><os><type>hvm</type></os></domain>" for vm, text in sorted(vms.items()))
    return f"<node>{domains}</node>\n"


class Cloud:
    def __init__(self, directory, hosts=("kvm1",), front_ends=("one",), kvmrc=KVMRC.format(TEST_DRIVER), plain=False, binds=()):
        """directory: where it is made, which must not be there. hosts: names, or {name: what is bound there beside binds}.
        binds: directories, or SOURCE=TARGET. plain: without namespaces, for who is not root."""
        self.directory = pathlib.Path(directory)
        self.directory.mkdir(mode=0o755)
        self.state = self.directory / "cloud"
        self.state.mkdir(mode=0o755)
        self.plain, self.stopping = plain, threading.Event()
        self.oneadmin = ONEADMIN if os.geteuid() == 0 else os.geteuid()
        self.fronts, self.hosts, self.machines = {}, {}, {}
        self.floating = None  # the address that the leader of several front-ends has
        self._stack = contextlib.ExitStack()
        try:
            self._build(hosts, front_ends, kvmrc, binds)
        except BaseException:
            self.close()
            raise

    def _build(self, hosts, front_ends, kvmrc, binds):
        self.store = Store(self.state)
        self.store.create()
        layout.copy_library(self.state)
        self.wire = None if self.plain else self._machine("wire")
        if self.wire:
            self._ip(self.wire, "link add br0 type bridge", "link set br0 up", "link set lo up")
        for name in front_ends:
            self.fronts[name] = self._machine(name, binds=[ROOT, *binds])
            self.machines[name] = Peer(self.fronts[name])
            layout.front_end(self.fronts[name], kvmrc)
            if not self.plain:
                self._crew(self.fronts[name])
        for name in hosts:
            self._add_host(name, [*binds, *(hosts[name] if isinstance(hosts, dict) else ())])
        if len(front_ends) > 1:
            self._make_zone()
        self._name_all()
        self.hooks = HookManager(self)
        self._stack.callback(self.hooks.close)
        self.monitord = Monitord(self, self.leader, 0 if self.plain else 4124)
        self._stack.callback(lambda: self.monitord.close())
        self.services = Units(self)
        self._stack.callback(self.services.close)
        server = Server(self)
        self._stack.callback(server.close)
        self.record_hosts()
        self.sync("--force")

    def close(self):
        self.stopping.set()
        for host in self.hosts.values():
            host.agent.end()
        self._stack.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # ---- its machines ----------------------------------------------------------------------------------

    def _machine(self, name, **options):
        kind = Directory if self.plain else Machine
        made = kind(self.directory / name, name, self.state, **options)
        self._stack.callback(made.close)
        if not self.plain and name != "wire":
            self._connect(made)
        return made

    def _crew(self, machine):
        """Runs the commands of a front-end, until the machine is closed."""
        crew = machine.popen(python(), "-IS", f"{MOUNT}/lib/crew.py", MOUNT, f"{MOUNT}/crew-{machine.name}",
                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        self._stack.callback(crew.__exit__, None, None, None)
        self._stack.callback(crew.terminate)
        if crew.stdout.readline() != b"ready\n":
            raise RuntimeError(f"no crew on {machine.name}: see the message above")

    def _connect(self, machine):
        number_ = len(self.fronts) + len(self.hosts) + 1
        machine.address = f"{NETWORK}.{number_ + 10}"
        self._ip(self.wire, f"link add m{number_} type veth peer name eth0 netns {machine.pid}",
                 f"link set m{number_} master br0 up")
        self._ip(machine, "link set lo up", f"address add {machine.address}/24 dev eth0", "link set eth0 up")

    @staticmethod
    def _ip(machine, *lines):
        subprocess.run(["/usr/bin/nsenter", "-t", str(machine.pid), "-n", "ip", "-batch", "-"], input="\n".join(lines) + "\n",
                       text=True, check=True, timeout=20)

    def _add_host(self, name, binds):
        with self.store.change() as state:
            made = take_id(state, "hosts")
            state["hosts"][str(made)] = {"ID": made, "NAME": name, "STATE": number(HOST_STATES, "MONITORED"),
                                         "TEMPLATE": {"ARCH": os.uname().machine, "HYPERVISOR": "kvm", "VERSION": "7.4.0"}}
        machine = self.fronts.get(name) or self._machine(name, binds=binds)
        layout.host(machine)
        self.hosts[name] = self.machines[name] = Host(self, name, made, machine)

    def _name_all(self):
        """Each machine knows the others by name."""
        lines = ["127.0.0.1 localhost", *(f"{machine.address} {machine.name}" for machine in self.every_machine())]
        if self.floating:
            lines.append(f"{self.floating} one-floating")
        for machine in self.every_machine():
            if not self.plain:
                machine.write("/etc/hosts", "\n".join(lines) + "\n", user="root")

    def every_machine(self):
        return [*self.fronts.values(), *(host.machine for host in self.hosts.values() if host.name not in self.fronts)]

    @property
    def front(self):
        """The front-end; of several the one that leads, or the first while none does."""
        return self.leader or next(iter(self.fronts.values()))

    @property
    def leader(self):
        state = self.store.read()
        if not state["servers"]:
            return next(iter(self.fronts.values()))
        return next((self.fronts[each["NAME"]] for each in state["servers"] if each["ID"] == state["leader"]), None)

    def monitord_address(self):
        return "127.0.0.1" if self.plain else self.front.address

    def _make_zone(self):
        with self.store.change() as state:
            state["servers"] = [{"ID": at, "NAME": name, "ENDPOINT": f"http://{machine.address}:2633/RPC2"}
                                for at, (name, machine) in enumerate(self.fronts.items())]
            state["leader"] = 0
        if not self.plain:
            self.floating = FLOATING
            self._ip(self.leader, f"address add {FLOATING}/24 dev eth0")

    def lead(self, name):
        """From now on that front-end leads, with the floating address, monitord and the hooks; None: none does."""
        old = self.leader
        with self.store.change() as state:
            state["leader"] = next((each["ID"] for each in state["servers"] if each["NAME"] == name), None)
        if self.leader is old:
            return
        if old:
            self.monitord.close()
            if self.floating:
                self._ip(old, f"address del {FLOATING}/24 dev eth0")
        if self.leader:
            if self.floating:
                self._ip(self.leader, f"address add {FLOATING}/24 dev eth0")
            self.monitord = Monitord(self, self.leader, 0 if self.plain else 4124)
        for machine in [] if self.plain else self.every_machine():
            self._ip(machine, "neighbour flush dev eth0")

    # ---- what a test asks of it ------------------------------------------------------------------------

    def one(self, *words, user="oneadmin", check=0, **options):
        """A command on the front-end: its output. check: the status it must have; None: any, then CompletedProcess."""
        got = self.front.run(*words, user=user, check=check, **options)
        return got if check is None else got.stdout

    def sync(self, *words):
        return self.one("onehost", "sync", *words)

    def oned(self, answers):
        """Whether oned answers the commands."""
        with self.store.change() as state:
            state["oned"] = answers

    def add_vm(self, vm, host=None, name=None, state="RUNNING", owner="oneadmin"):
        """A VM that is there already: no hook is told of how it came there."""
        host = host or next(iter(self.hosts))
        with self.store.change() as known:
            known["vms"][str(vm)] = {"XML": lifecycle.document(vm, name or f"vm-{vm}", owner), "STATE": 0, "LCM_STATE": 0,
                                     "HOST": self.hosts[host].id, "ON_HOST": False, "MONITORING": {}, "LAST_POLL": 0}
        made = self.vm(vm)
        made.to("PENDING", fire=False)
        if state != "PENDING":
            made.do("deploy", host=host, fire=False)
        for path in lifecycle.PATHS.values():
            if state == path[-1] and state != "RUNNING":
                for each in path:
                    made.to(each, fire=False)
        return made

    def vm(self, vm):
        return lifecycle.VM(self, vm)

    def record_hosts(self):
        state = self.store.read()
        for host in self.hosts.values():
            host.record(state)

    def executions(self, hook):
        """Of a hook, by name: [(exit status, output, errors)], oldest first."""
        for known in self.store.read()["hooks"].values():
            if known["NAME"] == hook:
                return [(run["CODE"], *(base64.b64decode(run[name]).decode(errors="replace") for name in ("STDOUT", "STDERR")))
                        for run in known["LOG"]]
        raise KeyError(hook)
