# SPDX-License-Identifier: Apache-2.0
"""A stand-in OpenNebula 7.4, strict where the real one is: front-end, hosts, VMs, their monitoring, hooks. As root every
machine is in namespaces of its own: programs are this machine's, paths are OpenNebula's, and nothing written leaves it.

    with Cloud(scratch / "cloud", hosts=("kvm1", "kvm2")) as cloud:   # front-end "one": /var/lib/one, /etc/one, onehook …
        cloud.add_vm(9, "kvm1")                                       # runs there, as if it always had
        before = cloud.front.changes()                                # {path: mode, owner, content} of what was written
        cloud.front.run("sh", ROOT / "install.sh", user="root", check=0)   # or user="oneadmin"; .stdout .stderr .returncode
        cloud.one("onehook", "list", "-x"); cloud.sync("--force")     # commands as oneadmin; every one has its exit status
        cloud.hosts["kvm1"].cycle()                                   # vm/monitor: probes run, one datagram, monitord
        cloud.vm(9).monitoring()["NETRX_BW"]; cloud.hosts["kvm1"].state()   # as `onevm show`, `onehost show`
        cloud.vm(9).do("poweroff"); cloud.hooks.wait(); cloud.executions("a-hook")   # [(status, stdout, stderr)]
        assert cloud.front.changes() == before

Hosts: hosts["kvm2"].down = True (ssh fails), .slow = seconds, .lacks("libvirt.so.0") (programs fail as the loader says it),
.is_other("aarch64") or .is_other(glibc="2.31"): what was brought there runs only if it is for that, `uname -m` and `getconf
GNU_LIBC_VERSION` say so, and foreign(program, "aarch64") makes one that runs there and not here. ssh, scp, rsync, systemctl
(it starts our unit) and sudo work on and between the machines, which know each other by name. A server of the test's is made
in `with cloud.front.network():`, a process by .run or .popen. cloud.oned(False): it does not answer. cloud.services.calls: what
systemctl was told. machine.log(): its syslog. path(), read(), write(): files of a machine from here. agent.begin(), .end():
the agent runs by itself. A host with a front-end's name is that machine. "a-hook" stands for a name that was registered.

The probe asks libvirt as etc/vmm/kvm/kvmrc says. Real guests: Cloud(…, kvmrc=KVMRC.format(rig.uri()), binds=[rig.dir]) and
add_vm(83) for the rig's one-83; every host then meets all guests, unless hosts={"kvm1": ["SOURCE=TARGET"], …} binds another
rig at the same place on each. Without, libvirt's test driver has the host's VMs, which has no figures of them: the probe
runs, and says nothing. The stock probe has those recorded of VMs 9, 10, 11, and for others those of 9.

Several front_ends=("one-1", "one-2", "one-3") are in HA: cloud.lead("one-2"), cloud.lead(None); hooks are registered once, and
run on the one that leads, which has the address cloud.floating, "one-floating". Cloud(plain=True) needs no root and no
namespaces: trees below a directory, DESTDIR and PATH in the environment; no network, units or missing libraries.

Files: names, template, markup, store, cli and one*.py with command.py are the commands, which the machines have a copy of,
caller.c is what stands in /usr/bin, and crew.py what it calls: an interpreter for each would be most of a test's time; machine, namespaces and layout are where they run; agent, monitord, hooks, lifecycle, units what goes on; core puts it together.
"""
from .core import KVMRC, Cloud, Host  # noqa: F401
from .foreign import foreign  # noqa: F401
from .machine import Machine  # noqa: F401
