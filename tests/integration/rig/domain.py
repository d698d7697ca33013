# SPDX-License-Identifier: Apache-2.0
"""The domain XML of a guest, with the metadata that OpenNebula writes at deployment."""
import hashlib
import os
import re
import time
import uuid
import zlib
from dataclasses import dataclass
from xml.sax.saxutils import escape, quoteattr

from . import guests, linux
from .layout import RigError
from .sandbox import BRIDGE

EMULATOR = "/usr/bin/qemu-system-x86_64"
NAMESPACE = "http://opennebula.org/xmlns/libvirt/1.0"
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,49}")
ONE_NAME = re.compile(r"one-([0-9]+)")
NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass
class Options:
    """What can be said about one guest; None: as its kind has it."""
    vm_name: str = None
    uname: str = "oneadmin"
    gname: str = None
    uid: int = None
    gid: int = None
    vcpus: int = None
    disks: int = None
    nics: int = None
    disc: bool = False           # the CD-ROM that OpenNebula gives a VM its context on
    mem: int = None              # MiB
    stats_period: int = None     # s; a boot sector never answers
    paused: bool = False
    uuid: str = None
    agent: str = None            # socket at which somebody stands in for the guest's agent, and listens already
    cmdline: str = ""            # more for a Linux guest's kernel: see linux.py

    def __post_init__(self):
        for field, low, high in (("vcpus", 1, 64), ("disks", 1, 16), ("nics", 0, 16), ("mem", 16, 4096),
                                 ("stats_period", 0, 3600)):
            value = getattr(self, field)
            if value is not None and not low <= value <= high:
                raise RigError(f"{field.replace('_', '-')} {value}: must be {low} to {high}")
        if self.uuid is not None:
            try:
                self.uuid = str(uuid.UUID(self.uuid))
            except ValueError as err:
                raise RigError(f"uuid {self.uuid}: {err}") from err


def check_name(name):
    if not NAME.fullmatch(name):
        raise RigError(f"{name!r}: not a name for a guest: letters, digits and _.+- only, at most 50")
    return name


def guest_uuid(name):
    """The same for the same name, always."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, "one-rig:" + name))


def cdata(text):
    """Any text that XML can carry, as CDATA; what CDATA can not carry stands between two of them."""
    bad = NOT_XML.search(text)
    if bad:
        raise RigError(f"{text[:40]!r}: XML can not carry the character {bad.group()!r}")
    body = text.replace("]]>", "]]]]><![CDATA[>").replace("\r", "]]>&#13;<![CDATA[")
    return f"<![CDATA[{body}]]>"


def _number(name):
    """A user or group id that is stable by name; 0 is oneadmin's."""
    return 0 if name == "oneadmin" else 2 + zlib.crc32(name.encode()) % 10000


def metadata(name, opts):
    match = ONE_NAME.fullmatch(name)
    vm_id = match.group(1) if match else "0"
    gname = opts.gname or ("oneadmin" if opts.uname == "oneadmin" else "users")
    uid = _number(opts.uname) if opts.uid is None else opts.uid
    gid = (1 if gname == "users" else _number(gname)) if opts.gid is None else opts.gid
    now = int(time.time())
    return f"""\
  <metadata>
    <one:vm xmlns:one="{NAMESPACE}">
      <one:system_datastore>{cdata(f"/var/lib/one//datastores/0/{vm_id}")}</one:system_datastore>
      <one:name>{cdata(vm_name(name, opts))}</one:name>
      <one:uname>{cdata(opts.uname)}</one:uname>
      <one:uid>{uid}</one:uid>
      <one:gname>{cdata(gname)}</one:gname>
      <one:gid>{gid}</one:gid>
      <one:opennebula_version>7.4.0</one:opennebula_version>
      <one:stime>{now - 5}</one:stime>
      <one:deployment_time>{now}</one:deployment_time>
      <one:pci_devices/>
    </one:vm>
  </metadata>
"""


def vm_name(name, opts):
    return name if opts.vm_name is None else opts.vm_name


def _title(name, opts):
    """OpenNebula's title is the VM's name; libvirt takes none that is empty or has more than one line."""
    title = vm_name(name, opts)
    return "" if not title.strip() or re.search("[\n\r]", title) else f"  <title>{escape(title)}</title>\n"


def _disk(path, index):
    boot = "\n      <boot order='1'/>" if index == 0 else ""
    return f"""\
    <disk type='file' device='disk'>
      <driver name='qemu' type='{'qcow2' if path.suffix == '.qcow2' else 'raw'}' cache='writeback'/>
      <source file={quoteattr(str(path))}/>
      <target dev='vd{chr(ord('a') + index)}' bus='virtio'/>{boot}
    </disk>
"""


CDROM = """\
    <disk type='file' device='cdrom'>
      <driver name='qemu' type='raw'/>
      <target dev='hda' bus='ide'/>
      <readonly/>
    </disk>
"""


def _disc(path):
    return CDROM.replace("<target", f"<source file={quoteattr(str(path))}/>\n      <target")


def tap(name, index):
    """OpenNebula's name for it, one-83-0; shortened where an interface's name may not be that long."""
    full = f"{name}-{index}"
    return full if len(full) <= 15 else f"t{hashlib.sha1(name.encode()).hexdigest()[:10]}-{index}"


def _nic(name, index, model):
    """Even ones are plain taps, odd ones are on the bridge. QEMU's NE2000 takes frames from the tap though
    no driver in the guest has set it up, so that received bytes can be counted."""
    mac = "02:00:" + ":".join(f"{b:02x}" for b in hashlib.sha1(name.encode()).digest()[:3]) + f":{index:02x}"
    if index % 2 == 0:
        head, dev = "<interface type='ethernet'>", f"<target dev='{tap(name, index)}' managed='yes'/>"
    else:
        head = f"<interface type='bridge'>\n      <source bridge='{BRIDGE}'/>"
        dev = f"<target dev='{tap(name, index)}'/>"
    return f"""\
    {head}
      <mac address='{mac}'/>
      {dev}
      <model type='{model}'/>
      <rom enabled='no'/>
    </interface>
"""


def _balloon(opts):
    if opts.stats_period is None:
        return "    <memballoon model='virtio'/>\n"
    return f"    <memballoon model='virtio'>\n      <stats period='{opts.stats_period}'/>\n    </memballoon>\n"


def _agent(kind, opts):
    """A Linux guest's channel is as OpenNebula has it. Else one whose host end is a client, like libvirt, which connects
    to the same socket: who listens there is the agent to libvirt, and hears nothing from QEMU."""
    if kind.linux:
        source = "<source mode='bind'/>"
    elif opts.agent is None:
        return ""
    else:
        source = f"<source mode='connect' path={quoteattr(str(opts.agent))}/>"
    return f"""\
    <channel type='unix'>
      {source}
      <target type='virtio' name='org.qemu.guest_agent.0'/>
    </channel>
"""


def console(layout, name):
    """The socket of a Linux guest's console; what the guest says there is also in its log."""
    return layout.dir / "run" / f"{name}.console"


def console_log(layout, name):
    return layout.supervisor_log.parent / f"{name}.console.log"


def _console(layout, name):
    return f"""\
    <serial type='unix'>
      <source mode='bind' path={quoteattr(str(console(layout, name)))}/>
      <log file={quoteattr(str(console_log(layout, name)))}/>
    </serial>
"""


def _boot(layout, kind, opts):
    if not kind.linux:
        return ""
    return f"""\
    <kernel>{escape(str(linux.kernel()))}</kernel>
    <initrd>{escape(str(linux.initramfs(layout)))}</initrd>
    <cmdline>{escape(f"console=ttyS0 quiet panic=-1 {opts.cmdline}".strip())}</cmdline>
"""


def have_kvm():
    try:
        os.close(os.open("/dev/kvm", os.O_RDWR | os.O_CLOEXEC))
        return True
    except OSError:
        return False


def _type(kind):
    return "kvm" if have_kvm() and (linux.can_accelerate() or not kind.linux) else "qemu"


def build(layout, kind_name, name, opts):
    """The XML of a guest; nothing is created."""
    check_name(name)
    if kind_name not in guests.KINDS:
        raise RigError(f"{kind_name!r}: no such kind of guest: {', '.join(guests.KINDS)}")
    kind = guests.KINDS[kind_name]
    disks, nics = opts.disks or kind.disks, kind.nics if opts.nics is None else opts.nics
    return f"""\
<domain type='{_type(kind)}'>
  <name>{name}</name>
  <uuid>{opts.uuid or guest_uuid(name)}</uuid>
{_title(name, opts)}{metadata(name, opts) if kind.metadata and ONE_NAME.fullmatch(name) else ''}\
  <memory unit='MiB'>{opts.mem or kind.mem}</memory>
  <currentMemory unit='MiB'>{opts.mem or kind.mem}</currentMemory>
  <vcpu placement='static'>{opts.vcpus or kind.vcpus}</vcpu>
  <os>
    <type arch='x86_64' machine='pc'>hvm</type>
{_boot(layout, kind, opts)}\
  </os>
  <features>
    <acpi/>
  </features>
  <clock offset='utc'/>
  <on_poweroff>destroy</on_poweroff>
  <on_reboot>restart</on_reboot>
  <on_crash>destroy</on_crash>
  <devices>
    <emulator>{EMULATOR}</emulator>
{''.join(_disk(guests.disk_path(layout, name, i, kind), i) for i in range(disks))}\
{_disc(guests.disc_path(layout)) if opts.disc else CDROM if kind.cdrom else ''}\
    <controller type='usb' model='none'/>
{''.join(_nic(name, i, 'virtio' if kind.linux else 'ne2k_pci') for i in range(nics))}\
{_console(layout, name) if kind.linux else ''}\
{_balloon(opts)}\
{_agent(kind, opts)}\
  </devices>
</domain>
"""
