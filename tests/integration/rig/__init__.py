# SPDX-License-Identifier: Apache-2.0
"""A private libvirtd with real, tiny KVM guests, and a way to stop all of it again.

A rig lives below one directory (DIR) and leaves nothing outside of it:

    DIR/one-rig                 marks the directory as a rig's, so that `down` may remove it
    DIR/lock                    one `up` or `down` at a time
    DIR/supervisor.pid          the supervisor (rig/supervisor.py)
    DIR/libvirtd.pid            its libvirtd
    DIR/run/libvirt/libvirt-sock, libvirt-sock-ro           the sockets to connect to
    DIR/run/libvirt/qemu/NAME.pid                           the QEMU process of a guest
    DIR/{etc,var/lib,var/cache,var/log}/libvirt             what libvirtd takes for its own
    DIR/log/supervisor.log, libvirtd.log; DIR/var/log/libvirt/qemu/NAME.log
    DIR/images/, DIR/xml/       the guests' disks and the XML they were created from
    DIR/ns/                     mount point of the mark that the rig's processes carry

The supervisor owns a mount and a network namespace, in which DIR's directories lie over /run/libvirt,
/etc/libvirt and so on. It starts libvirtd there and, as a subreaper, is the parent of every QEMU that
libvirtd daemonizes, so guests outlive a libvirtd that is stopped or killed. There is no pid namespace:
everybody sees the QEMU processes in /proc. Their taps are seen in /proc/PID/net/dev.

A process belongs to a rig if the rig's mark is among its mounts. That is asked of the kernel right
before a process is signalled, through a pidfd, so neither a lost or stale pid file nor a pid that was
given to somebody else can lead `down` astray, and a killed supervisor does not hinder it.

    core.py        Rig: what tests use            cli.py         the command line on top of it
    supervisor.py  the process that keeps a rig   sandbox.py     its namespaces and mounts
    layout.py      the paths, files and lock      procs.py       finding and stopping processes
    domain.py      the guests' domain XML         guests.py      boot sectors and disk images
    linux.py       a guest's Linux
    capture.py     running other programs, and what the machine must have
"""
from .core import Rig
from .layout import RigError

__all__ = ["Rig", "RigError"]
