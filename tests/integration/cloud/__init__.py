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
.is_other("aarch64") or .is_other(glibc="2.31") (what was brought there runs only if it is for that; `uname -m` and `getconf
GNU_LIBC_VERSION` say so; foreign(program, "aarch64") makes one that runs there and not here). ssh, scp, systemctl (it starts our unit) and rsync work between and on the machines, which
know each other by name: a server of the test's is made in `with cloud.front.network():`, and a process by cloud.front.run
or .popen. cloud.oned(False): it does not answer. cloud.services.calls: what systemctl was told. machine.log(): its syslog.
path() and read(), write(): files of a machine from here. agent.begin()/.end(): the agent runs by itself.

The probe asks libvirt as etc/vmm/kvm/kvmrc says: kvmrc=KVMRC.format(uri) and binds=["DIRECTORY"] or ["SOURCE=TARGET"] lead
to a rig's guests (hosts={"kvm1": [binds of that host], …}); without, libvirt's test driver has the host's VMs, by whose
figures the probe says nothing. VMs 9, 10, 11 have recorded figures from the stock probe, others those of 9.

Several front_ends=("one-1", "one-2", "one-3") are in HA: cloud.lead("one-2"), cloud.lead(None); hooks are registered once, and
run on the one that leads, which has the address cloud.floating, "one-floating". Cloud(plain=True) needs no root and no namespaces:
trees below a directory, DESTDIR and PATH in the environment; no network, units or missing libraries.

Files: names, template, markup, store, cli and one*.py with command.py are the commands, which the machines have a copy of;
machine, namespaces and layout are where they run; agent, monitord, hooks, lifecycle, units what goes on; core puts it together.
"""
from .core import KVMRC, Cloud, Host  # noqa: F401
from .foreign import foreign  # noqa: F401
from .machine import Machine  # noqa: F401
