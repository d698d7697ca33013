# SPDX-License-Identifier: Apache-2.0
"""The Linux of a guest that has one: Debian's kernel, and an initramfs that is made here, of busybox and QEMU's own guest
agent. tests/install-deps.sh has put their packages' files below UNPACKED.

The guest has the disks and NICs that its domain has (vda …, eth0 …: 192.0.2.2 is eth0's address), a system of the name
SYSTEM, and a shell at its console, where it says READY once all is there. Of the kernel's command line, /init takes

    agent=no        no guest agent is started
"""
import glob
import pathlib
import re
import stat
import threading

from .capture import run
from .layout import RigError

UNPACKED = pathlib.Path("/usr/local/lib/one-telemetry")
ADDRESS = "192.0.2.2"
SYSTEM = ("one-telemetry", "1.0")  # ID and VERSION_ID of its os-release
READY = "init: ready"
MODULES = (  # in the order in which they need each other
    "virtio_ring", "virtio", "virtio_pci_legacy_dev", "virtio_pci_modern_dev", "virtio_pci", "virtio_balloon", "failover",
    "net_failover", "virtio_net", "virtio_console", "virtio_blk")
_LOCK = threading.Lock()
INIT = f"""\
#!/bin/busybox sh
# The agent is started again as often as it ends, unless /run/agent-stays-away is there.
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
mount -t tmpfs tmpfs /run
for module in {' '.join(MODULES)}; do insmod /modules/$module.ko || echo "init: no $module"; done
ip link set lo up
for nic in /sys/class/net/eth*; do ip link set ${{nic##*/}} up; done
ip address add {ADDRESS}/24 dev eth0 2>/dev/null
port=
for each in /sys/class/virtio-ports/*; do
  [ "$(cat $each/name 2>/dev/null)" != org.qemu.guest_agent.0 ] || port=/dev/${{each##*/}}
done
if [ -n "$port" ] && [ "$agent" != no ]; then
  while :; do
    [ -e /run/agent-stays-away ] || qemu-ga -m virtio-serial -p $port -t /run
    sleep 0.2
  done &
  until ls -l /proc/$(pidof qemu-ga)/fd 2>/dev/null | grep -q $port; do sleep 0.1; done
fi
echo "{READY}"
while :; do setsid cttyhack sh; done
"""
DIRECTORIES = ("bin", "dev", "etc", "lib", "lib64", "modules", "proc", "run", "sys", "tmp")


def kernel():
    """The kernel's file."""
    return _one("linux-image-cloud-amd64/boot/vmlinuz-*")


def can_accelerate():
    """A kernel like Debian's needs a KVM that has the processor's help; one that does without (PVM, in some virtual
    machines) is good for a boot sector only, and emulation for either."""
    with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
        return re.search(r"^flags\s*:.* (vmx|svm)\b", file.read(), re.M) is not None


def initramfs(layout):
    """Its file, which the first guest of a rig makes."""
    path = layout.images / "initramfs"
    with _LOCK:
        if not path.exists():
            path.write_bytes(_make_initramfs())
    return path


def _make_initramfs():
    files = {"init": INIT.encode(), "bin/busybox": _one("busybox-static/bin/busybox").read_bytes(),
             "etc/os-release": "ID={}\nVERSION_ID={}\n".format(*SYSTEM).encode()}
    agent = _one("qemu-guest-agent/usr/sbin/qemu-ga")
    files["bin/qemu-ga"] = agent.read_bytes()
    files.update({library.lstrip("/"): pathlib.Path(library).read_bytes() for library in _libraries(agent)})
    for module in MODULES:
        found = _one(f"linux-image-cloud-amd64/lib/modules/*/kernel/**/{module}.ko")
        files[f"modules/{module}.ko"] = found.read_bytes()
    return _archive(files)


def _one(pattern):
    found = sorted(glob.glob(str(UNPACKED / pattern), recursive=True))
    if not found:
        raise RigError(f"{UNPACKED / pattern}: no such file: 'make deps' puts it there")
    return pathlib.Path(found[-1])


def _libraries(program):
    """The libraries that a program is linked with, and the loader, under the names that it looks for."""
    said = run(["ldd", str(program)], 20).stdout
    if "not found" in said:
        raise RigError(f"{program}: a library is missing: {' '.join(re.findall(r'(.*) => not found', said)).strip()}")
    return re.findall(r"(/\S+) \(0x", said)


def _archive(files):
    """A cpio archive ("newc", as the kernel reads it) of programs and what they need, {path: content}."""
    parents = {str(parent) for path in files for parent in pathlib.PurePath(path).parents} - {"."}
    entries = [(path, stat.S_IFDIR | 0o755, b"") for path in sorted(parents | set(DIRECTORIES))]
    entries += [(path, stat.S_IFREG | 0o755, content) for path, content in files.items()]
    entries.append(("TRAILER!!!", 0, b""))
    return b"".join(_entry(number, *entry) for number, entry in enumerate(entries, 1))


def _entry(number, path, mode, content):
    name = path.encode() + b"\0"
    fields = (number, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name), 0)
    head = b"070701" + b"".join(b"%08X" % field for field in fields) + name
    return head + bytes(-len(head) % 4) + content + bytes(-len(content) % 4)
