# SPDX-License-Identifier: Apache-2.0
"""A made-up cloud for pictures: VMs of several kinds, whose figures at any moment go on from those of the moment before, so
that what is in the history and what comes now are one line. Totals are the sums of the devices."""
import dataclasses
import functools
import hashlib
import math
import random
import time

SECOND = 10**9
MIB = 1048576
DAY = 86400
START_S = time.time() - 9 * DAY  # since when all of them run
OWNERS = ("alice", "bob", "carol", "dora", "erik", "oneadmin")
REQUEST_BYTES, PACKET_BYTES = 24000, 900
# kind: vCPUs, GiB, mean CPU, how much that moves, MiB/s read, written, received, sent
KINDS = {"web": (2, 4, 24, 14, 0.15, 0.4, 2.4, 7.5), "postgres": (8, 32, 38, 20, 20, 12, 3.1, 4.4),
         "batch": (4, 8, 62, 26, 6, 9, 1.2, 0.8), "redis": (2, 16, 12, 6, 0, 0.6, 5.2, 6.1),
         "runner": (4, 8, 30, 32, 4, 11, 1.6, 0.5), "mail": (1, 2, 7, 4, 0.2, 0.7, 0.3, 0.4),
         "kafka": (4, 16, 33, 10, 9, 30, 14, 17), "build": (8, 16, 52, 40, 8, 21, 0.9, 0.3),
         "ldap": (1, 2, 4, 2, 0.05, 0.1, 0.1, 0.2), "haproxy": (2, 2, 19, 9, 0, 0.05, 21, 22)}


def noise(seed, time_s, period):
    """-1 to 1, a smooth curve through a random value every `period` seconds."""
    place = time_s / period
    whole = math.floor(place)
    part = place - whole
    part *= part * (3 - 2 * part)

    def at(i):
        digest = hashlib.blake2b(f"{seed}/{i}".encode(), digest_size=4).digest()
        return int.from_bytes(digest, "big") / 2**31 - 1
    return at(whole) * (1 - part) + at(whole + 1) * part


@dataclasses.dataclass
class Machine:
    vm_id: int
    host: str = ""
    kind: str = ""
    balloon: bool = False  # its memory is told by the balloon alone
    loss: float = 0.0      # packets dropped per second, about
    crowd: float = 0.0     # how much it waits for a CPU, in percent, about
    slow: float = 1.0      # how slow its disks are

    def __post_init__(self):
        draw = random.Random(self.vm_id)
        self.kind = self.kind or draw.choice(list(KINDS))
        self.host = self.host or f"kvm{self.vm_id % 24 + 1}"
        self.owner = draw.choice(OWNERS)
        self.memory = draw.uniform(35, 80)
        self.size = draw.uniform(0.5, 1.5)  # of its load, beside others of its kind
        self.uuid = f"{self.vm_id:08x}-0f3c-4b5e-9d1a-{draw.getrandbits(48):012x}"

    # ---- how it is at a moment -------------------------------------------------------------------------

    def load(self, time_s):
        """0 to 1: less at night, more at a sudden, and a little uneasy."""
        _, _, mean, moves, *_ = KINDS[self.kind]
        seed = self.vm_id
        day = 0.5 + 0.5 * math.sin((time_s % DAY) / DAY * 2 * math.pi - math.pi * 2 / 3)
        burst = max(noise(seed, time_s, 1700) - 0.55, 0) * 2
        uneasy = 0.5 * noise(seed + 1, time_s, 90) + 0.25 * noise(seed + 2, time_s, 11) + burst
        percent = mean * self.size * (0.6 + 0.6 * day) + moves * uneasy
        return (max(percent, 0.4) if percent < 60 else 100 - 40 * math.exp((60 - percent) / 25)) / 100  # never quite all

    def figures(self, time_s):
        """{field: value} of vm_totals but the counters."""
        *_, read, write, rx, tx = KINDS[self.kind]
        load, seed = self.load(time_s), self.vm_id * 7
        rate = lambda mib, n: mib * MIB * self.size * load * 2.2 * (1 + 0.5 * noise(seed + n, time_s, 17))  # noqa: E731
        disk_rd, disk_wr, net_rx, net_tx = (rate(mib, n) for n, mib in enumerate((read, write, rx, tx)))
        lossy = self.loss * max(0, 0.5 + noise(seed + 5, time_s, 60))
        memory = 100.0 if self.balloon else min(self.memory + 9 * load + 3 * noise(seed + 6, time_s, 900), 97)
        latency = {"disk_rd_latency_ms": (0.4 + 5 * load * load) * self.slow if disk_rd else None,
                   "disk_wr_latency_ms": (0.9 + 7 * load * load) * self.slow if disk_wr else None}
        return {"cpu_usage_percent": 100 * load, "cpu_steal_percent": self.crowd * load * (1 + 0.5 * noise(seed + 7, time_s, 40)),
                "memory_usage_percent": memory, "disk_rd_bytes_per_sec": disk_rd, "disk_wr_bytes_per_sec": disk_wr,
                "disk_rd_req_per_sec": disk_rd / REQUEST_BYTES, "disk_wr_reqs_per_sec": disk_wr / REQUEST_BYTES,
                **{name: value for name, value in latency.items() if value is not None}, "net_rxbytes_per_sec": net_rx,
                "net_txbytes_per_sec": net_tx, "net_rxpackets_per_sec": net_rx / PACKET_BYTES,
                "net_txpackets_per_sec": net_tx / PACKET_BYTES, "net_rxdrops_per_sec": lossy, "net_txdrops_per_sec": 0.0}

    # ---- as line protocol --------------------------------------------------------------------------------

    @functools.cached_property
    def _usual(self):
        """A counter that goes down would be another run of it, so all grow as if the figures were always these."""
        return {**self.figures(START_S), "net_rxdrops_per_sec": self.loss / 2}

    @staticmethod
    def _counters(time_s, rates):
        return {name.removesuffix("_per_sec"): int(rate * (time_s - START_S)) for name, rate in rates.items() if name.endswith("_per_sec")}

    def _line(self, series, tags, fields, time_s):
        def text(value):
            return f"{value:.3f}" if isinstance(value, float) else f'"{value}"' if isinstance(value, str) else f"{value}i"
        tags = {"VMID": self.vm_id, "host": self.host, "name": f"one-{self.vm_id}", "uuid": self.uuid, **tags}
        tags = ",".join(f"{name}={value}" for name, value in sorted(tags.items()))
        return f"{series},{tags} {','.join(f'{name}={text(value)}' for name, value in fields.items())} {int(time_s * SECOND)}\n"

    def totals(self, time_s):
        vcpus, gib, *_ = KINDS[self.kind]
        figures, most = self.figures(time_s), gib * MIB
        known = {"state": 1, "cpus": vcpus, "cputime": int(self._usual["cpu_usage_percent"] * vcpus * 1e7 * (time_s - START_S)),
                 "memactual": most, "memory_max": most, "memory_used": most, "memory_source": "balloon" if self.balloon else "guest"}
        return self._line("vm_totals", {}, {**known, **self._counters(time_s, self._usual), **figures}, time_s)

    def info(self, time_s):
        told = {"vm_name": f"{self.kind}-{self.vm_id}", "uname": self.owner, "uid": str(OWNERS.index(self.owner)),
                "gname": "users", "gid": "1", "template_id": str(self.vm_id % 40), "labels": "production", "cpu_requested": "2",
                "memory_requested": str(KINDS[self.kind][1] * 1024), "info_source": "opennebula"}
        return self._line("vm_info", {}, told, time_s)

    def devices(self, time_s):
        """Lines of its disks, interfaces and vCPUs: shares of the totals."""
        figures, text = self.figures(time_s), ""
        for kind, prefix, shares in (("disk", "disk_", (0.8, 0.2)), ("nic", "net_", (0.7, 0.3))):
            for i, share in enumerate(shares):
                own, usual = ({name.removeprefix(prefix): value if "latency" in name else value * share
                               for name, value in of.items() if name.startswith(prefix)} for of in (figures, self._usual))
                fields = {**self._counters(time_s, usual), **own}
                if kind == "disk":
                    size = (200, 40)[i] * 1024 * MIB
                    tags = {"device": "vd" + "ab"[i], "path": f"/var/lib/one/datastores/100/{self.vm_id}/disk.{i}"}
                    fields.update(capacity=size, allocation=int(size * 0.43), physical=int(size * 0.44))
                else:
                    tags = {"device": f"one-{self.vm_id}-{i}", "mac": f"02:00:0a:00:{self.vm_id % 256:02x}:{i:02x}"}
                    fields.update(rxerrors=0, txerrors=0)
                text += self._line("vm_devices", {**tags, "devtype": kind}, fields, time_s)
        return text + self._vcpus(time_s, figures)

    def _vcpus(self, time_s, figures):
        text, up = "", time_s - START_S
        for i in range(KINDS[self.kind][0]):
            differs = 0.3 * noise(self.vm_id * 11 + i // 2, time_s, 30)
            uneven = 1 + differs if i % 2 == 0 else 1 - differs  # in pairs, so that the mean is that of the VM
            fields = {"state": 1, "cputime": int(self._usual["cpu_usage_percent"] * up * (1e7 + i * 4e5)),
                      "delay": int(up * (2e6 + i * 1e5) * (1 + self.crowd)),
                      "usage_percent": min(figures["cpu_usage_percent"] * uneven, 100.0),
                      "steal_percent": figures["cpu_steal_percent"] * uneven}
            text += self._line("vm_vcpus", {"vcpu": i}, fields, time_s)
        return text


def machines(count, first=1000):
    """So many: some lose packets, some wait for a CPU that others have, some have slow disks, some don't tell their memory."""
    draw = random.Random(first)
    return [Machine(first + i, balloon=draw.random() < 0.3, loss=draw.uniform(1, 180) if draw.random() < 0.02 else 0.0,
                    crowd=draw.uniform(4, 30) if draw.random() < 0.06 else draw.uniform(0, 1.5),
                    slow=draw.uniform(5, 12) if draw.random() < 0.04 else draw.uniform(0.6, 1.6)) for i in range(count)]


def collected(all_of_them, time_s, devices=False):
    """What the probes of all hosts send of a moment."""
    return "".join(one.totals(time_s) + (one.devices(time_s) if devices else "") for one in all_of_them)
