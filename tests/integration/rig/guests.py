# SPDX-License-Identifier: Apache-2.0
"""The guests' software: boot sectors of a few bytes each, and the disk images that hold them; linux.py has the one that is
more."""
from dataclasses import dataclass

from .capture import run

DISK_BYTES = 8 << 20
DISC_BYTES = 384 << 10  # about what OpenNebula's contexts have


def _sector(listing, data=b""):
    """A boot sector from a listing of hex bytes, with the assembly after ';', and data at 0x7d00."""
    code = b"".join(bytes.fromhex(line.partition(";")[0]) for line in listing.strip().splitlines())
    assert len(code) <= 0x100 and len(data) <= 0xfe
    return code.ljust(0x100, b"\0") + data.ljust(0xfe, b"\0") + b"\x55\xaa"


# Sleeps for ever: no CPU at all.
IDLE = _sector("""
    fa                      ;       cli
    f4                      ; 7c01  hlt
    eb fd                   ;       jmp   7c01
""")

# Spins for ever: one vCPU at 100 %.
BUSY = _sector("""
    fa                      ;       cli
    eb fe                   ; 7c01  jmp   7c01
""")

# Reads 4 × 4 KiB and writes 1 KiB between sectors 2048 and 4095, then sleeps until the next tick of the
# timer (18.2 a second): about 73 reads and 18 writes a second, four figures that can not be mistaken
# for each other.
DISK = _sector("""
    fa                      ;       cli
    31 c0                   ;       xor   ax, ax
    8e d8                   ;       mov   ds, ax
    8e c0                   ;       mov   es, ax
    8e d0                   ;       mov   ss, ax
    bc 00 7c                ;       mov   sp, 7c00
    88 16 00 7d             ;       mov   [drive], dl       ; the BIOS tells what it booted from
    fb                      ;       sti
    c6 06 01 7d 04          ; 7c11  mov   byte [left], 4
    c7 06 12 7d 08 00       ; 7c16  mov   word [sectors], 8
    be 10 7d                ;       mov   si, packet
    8a 16 00 7d             ;       mov   dl, [drive]
    b4 42                   ;       mov   ah, 42            ; extended read
    cd 13                   ;       int   13
    fe 0e 01 7d             ;       dec   byte [left]
    75 e9                   ;       jnz   7c16
    c7 06 12 7d 02 00       ;       mov   word [sectors], 2
    be 10 7d                ;       mov   si, packet
    8a 16 00 7d             ;       mov   dl, [drive]
    b8 00 43                ;       mov   ax, 4300          ; extended write
    cd 13                   ;       int   13
    a1 18 7d                ;       mov   ax, [lba]
    05 08 00                ;       add   ax, 8
    25 ff 07                ;       and   ax, 07ff
    0d 00 08                ;       or    ax, 0800
    a3 18 7d                ;       mov   [lba], ax
    f4                      ;       hlt                     ; until the next tick
    eb c0                   ;       jmp   7c11
""", bytes.fromhex("""
    00                              00 0000000000000000000000000000
    1000 0800 0080 0000             0008000000000000
"""))
# 7d00 drive, 7d01 left;  7d10 packet: its size, 7d12 sectors, buffer 0000:8000, 7d18 lba

# Sends a frame of 600 zero bytes through its first NIC, an NE2000 on PCI, at every tick: 18 a second.
NET = _sector("""
    fa                      ;       cli
    31 c0                   ;       xor   ax, ax
    8e d8                   ;       mov   ds, ax
    8e d0                   ;       mov   ss, ax
    bc 00 7c                ;       mov   sp, 7c00
    fb                      ;       sti
    b8 02 b1                ;       mov   ax, b102          ; PCI BIOS: find
    b9 29 80                ;       mov   cx, 8029          ; device
    ba ec 10                ;       mov   dx, 10ec          ; vendor
    31 f6                   ;       xor   si, si            ; the first one
    cd 1a                   ;       int   1a
    72 29                   ;       jc    7c43
    b8 09 b1                ;       mov   ax, b109          ; PCI BIOS: read a word
    bf 10 00                ;       mov   di, 10            ; base address 0
    cd 1a                   ;       int   1a
    83 e1 fc                ;       and   cx, fffc
    89 cd                   ;       mov   bp, cx
    89 ea                   ; 7c27  mov   dx, bp            ; command
    b0 22                   ;       mov   al, 22            ; start, no DMA
    ee                      ;       out   dx, al
    83 c2 04                ;       add   dx, 4             ; transmit page
    b0 40                   ;       mov   al, 40
    ee                      ;       out   dx, al
    42                      ;       inc   dx                ; byte count, low
    b8 58 02                ;       mov   ax, 600.
    ee                      ;       out   dx, al
    42                      ;       inc   dx                ; byte count, high
    88 e0                   ;       mov   al, ah
    ee                      ;       out   dx, al
    89 ea                   ;       mov   dx, bp
    b0 26                   ;       mov   al, 26            ; transmit
    ee                      ;       out   dx, al
    f4                      ;       hlt                     ; until the next tick
    eb e4                   ;       jmp   7c27
    f4                      ; 7c43  hlt                     ; no such NIC
    eb fd                   ;       jmp   7c43
""")

# Opens the port of its first virtio-serial controller, as a guest does whose agent is at work, then sleeps: the control
# queue of an old ("legacy") virtio device at 0001:0000 gets three messages. libvirt talks to no agent before that. What
# comes through the port is never read.
AGENT = _sector("""
    fa                      ;       cli
    31 c0                   ;       xor   ax, ax
    8e d8                   ;       mov   ds, ax
    8e d0                   ;       mov   ss, ax
    bc 00 7c                ;       mov   sp, 7c00
    fc                      ;       cld
    b8 02 b1                ;       mov   ax, b102          ; PCI BIOS: find
    b9 03 10                ;       mov   cx, 1003          ; device: virtio console
    ba f4 1a                ;       mov   dx, 1af4          ; vendor
    31 f6                   ;       xor   si, si            ; the first one
    cd 1a                   ;       int   1a
    72 65                   ;       jc    7c7f
    b8 0c b1                ;       mov   ax, b10c          ; PCI BIOS: write a word
    bf 04 00                ;       mov   di, 4             ; command
    b9 07 00                ;       mov   cx, 7             ; ports, memory, bus master
    cd 1a                   ;       int   1a
    b8 09 b1                ;       mov   ax, b109          ; PCI BIOS: read a word
    bf 10 00                ;       mov   di, 10            ; base address 0
    cd 1a                   ;       int   1a
    83 e1 fc                ;       and   cx, fffc
    89 cd                   ;       mov   bp, cx
    b8 00 10                ;       mov   ax, 1000
    8e c0                   ;       mov   es, ax
    be 00 7d                ;       mov   si, descriptors
    31 ff                   ;       xor   di, di
    b9 30 00                ;       mov   cx, 48.
    f3 a4                   ;       rep movsb
    be 48 7d                ;       mov   si, available
    bf 00 02                ;       mov   di, 200           ; behind 32 descriptors
    b9 0a 00                ;       mov   cx, 10.
    f3 a4                   ;       rep movsb
    8d 56 12                ;       lea   dx, [bp+12]       ; status
    b0 00                   ;       mov   al, 0             ; reset
    ee                      ;       out   dx, al
    b0 03                   ;       mov   al, 3             ; seen, driver
    ee                      ;       out   dx, al
    8d 56 04                ;       lea   dx, [bp+4]        ; features
    66 b8 02 00 00 00       ;       mov   eax, 2            ; several ports
    66 ef                   ;       out   dx, eax
    8d 56 0e                ;       lea   dx, [bp+0e]       ; which queue
    b8 03 00                ;       mov   ax, 3             ; control, to the device
    ef                      ;       out   dx, ax
    8d 56 08                ;       lea   dx, [bp+8]        ; its page
    66 b8 10 00 00 00       ;       mov   eax, 10
    66 ef                   ;       out   dx, eax
    8d 56 12                ;       lea   dx, [bp+12]       ; status
    b0 07                   ;       mov   al, 7             ; ready
    ee                      ;       out   dx, al
    8d 56 10                ;       lea   dx, [bp+10]       ; notify
    b8 03 00                ;       mov   ax, 3
    ef                      ;       out   dx, ax
    f4                      ; 7c7f  hlt
    eb fd                   ;       jmp   7c7f
""", bytes.fromhex("""
    307d000000000000 08000000 0000 0000
    387d000000000000 08000000 0000 0000
    407d000000000000 08000000 0000 0000
    00000000 0000 0100
    01000000 0300 0100
    01000000 0600 0100
    0000 0300 0000 0100 0200
"""))
# 7d00 descriptors: address, length, flags, next;  7d30 messages: port, event (device ready, port ready, port open), yes;
# 7d48 available: flags, how many, which


@dataclass(frozen=True)
class Kind:
    """What a kind of guest runs, and what it has unless options say otherwise."""
    sector: bytes               # empty: nothing is on its disk
    help: str
    vcpus: int = 1
    disks: int = 1
    nics: int = 1
    cdrom: bool = False
    chain: bool = False         # the first disk is a qcow2 over a raw backing file
    metadata: bool = True
    mem: int = 32               # MiB
    linux: bool = False


KINDS = {
    "idle": Kind(IDLE, "sleeps"),
    "busy": Kind(BUSY, "spins: 100 % of one vCPU"),
    "disk": Kind(DISK, "reads its disk about 73 times (4 KiB) and writes it 18 times (1 KiB) a second"),
    "net": Kind(NET, "sends 18 frames of 600 bytes a second through its first NIC"),
    "agent": Kind(AGENT, "sleeps, with the port open that an agent would answer at (needs --agent)"),
    "wide": Kind(IDLE, "sleeps; 4 vCPUs, 2 disks (vda with a backing chain), 2 NICs, an empty CD-ROM drive",
                 vcpus=4, disks=2, nics=2, cdrom=True, chain=True),
    "wild": Kind(IDLE, "sleeps; without OpenNebula's metadata", metadata=False),
    "linux": Kind(b"", "Linux, with QEMU's guest agent, virtio devices, and a console", mem=160, linux=True),
}


def disk_path(layout, name, index, kind):
    return layout.images / f"{name}-{index}.{'qcow2' if kind.chain and index == 0 else 'raw'}"


def disc_path(layout):
    """All guests have the same."""
    return layout.images / "context.iso"


def make_disks(layout, name, kind, disks):
    """Makes the guest's disk images anew. The first one boots."""
    for index in range(disks):
        path = disk_path(layout, name, index, kind)
        if path.suffix == ".qcow2":
            base = layout.images / f"{name}-{index}.base"
            _write_raw(base, kind.sector)
            path.unlink(missing_ok=True)
            run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", str(base), "-F", "raw", str(path)], 60)
        else:
            _write_raw(path, kind.sector if index == 0 else b"")


def make_disc(layout):
    path = disc_path(layout)
    if not path.exists():
        path.write_bytes(b"\0" * DISC_BYTES)


def remove_disks(layout, name):
    for path in layout.images.glob(f"{name}-*"):
        if path.stem.rpartition("-")[0] == name:
            path.unlink(missing_ok=True)


def _write_raw(path, sector):
    with open(path, "wb") as image:
        image.write(sector)
        image.truncate(DISK_BYTES)
