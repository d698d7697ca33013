# SPDX-License-Identifier: Apache-2.0
"""Domain statistics as virsh prints them, and the same figures out of every form the probe writes, under the same keys:
{(vm, key): value}, where key is libvirt's with the device's name for its number: net[one-83-0].rx.bytes.

The tables are written by hand on purpose: they say which name each figure must have, not which it has."""
import re

VM = """                   JSON                 line protocol
state.state                state_code           state
state.reason               state_reason         state_reason
vcpu.current               cpu_count            cpus
vcpu.maximum               cpu_count_max        cpus_max
cpu.time                   cputime              cputime
cpu.user                   timeusr              timeusr
cpu.system                 timesys              timesys
balloon.current            memactual            memactual
balloon.current            memory_used          memory_used
balloon.maximum            memory_max           memory_max
balloon.rss                memrss               memrss
balloon.last-update        memlast_update       memlast_update
net.count                  nic_count            nics
block.count                disk_count           disks
"""
VCPU = """
state                      state                state
time                       time                 cputime
wait                       wait                 wait
delay                      delay                delay
"""
NIC = """
rx.bytes                   rxbytes              rxbytes
rx.pkts                    rxpackets            rxpackets
rx.errs                    rxerrors             rxerrors
rx.drop                    rxdrops              rxdrops
tx.bytes                   txbytes              txbytes
tx.pkts                    txpackets            txpackets
tx.errs                    txerrors             txerrors
tx.drop                    txdrops              txdrops
"""
DISK = """
rd.reqs                    rd_req               rd_req
rd.bytes                   rd_bytes             rd_bytes
rd.times                   rd_ns                rd_ns
wr.reqs                    wr_reqs              wr_reqs
wr.bytes                   wr_bytes             wr_bytes
wr.times                   wr_ns                wr_ns
fl.reqs                    fl_reqs              fl_reqs
fl.times                   fl_ns                fl_ns
capacity                   capacity             capacity
allocation                 allocation           allocation
physical                   physical             physical
"""
# Sums over a VM's devices: of libvirt's key, in JSON, in line protocol, in OpenNebula's record.
SUMS = """
net.rx.bytes               network_rx_bytes     net_rxbytes     NETRX
net.rx.pkts                net_rxpackets        net_rxpackets   NETRX_PACKETS
net.rx.errs                net_rxerrors         net_rxerrors    NETRX_ERRORS
net.rx.drop                net_rxdrops          net_rxdrops     NETRX_DROPS
net.tx.bytes               network_tx_bytes     net_txbytes     NETTX
net.tx.pkts                net_txpackets        net_txpackets   NETTX_PACKETS
net.tx.errs                net_txerrors         net_txerrors    NETTX_ERRORS
net.tx.drop                net_txdrops          net_txdrops     NETTX_DROPS
block.rd.reqs              disk_rd_req          disk_rd_req     DISKRDIOPS
block.rd.bytes             disk_read_bytes      disk_rd_bytes   DISKRDBYTES
block.rd.times             disk_rd_ns           disk_rd_ns      -
block.wr.reqs              disk_wr_reqs         disk_wr_reqs    DISKWRIOPS
block.wr.bytes             disk_write_bytes     disk_wr_bytes   DISKWRBYTES
block.wr.times             disk_wr_ns           disk_wr_ns      -
block.fl.reqs              disk_fl_reqs         disk_fl_reqs    DISKFLIOPS
block.fl.times             disk_fl_ns           disk_fl_ns      -
"""
RECORD = {"cpu.time": "CPU_TIME", "cpu.user": "CPU_TIME_USER", "cpu.system": "CPU_TIME_SYSTEM",
          "balloon.rss": "MEMORY_RSS"}
DEVICES = {"vcpu": VCPU, "net": NIC, "block": DISK}
GAUGES = {"state.state", "state.reason", "state", "balloon.rss", "allocation", "physical", "balloon.last-update"}


def rows(table):
    return [line.split() for line in table.strip().splitlines() if "JSON" not in line]


def with_sums(figures):
    """Adds the sums over devices that have the figure."""
    for key, *_ in rows(SUMS):
        device, _, suffix = key.partition(".")
        pattern = re.compile(rf"{device}\[.*\]\.{re.escape(suffix)}")
        for vm in {vm for vm, _ in figures}:
            parts = [value for (other, name), value in figures.items() if other == vm and pattern.fullmatch(name)]
            if parts:
                figures[vm, f"sum {key}"] = sum(parts)
    return figures


def from_domstats(text):
    """Of virsh domstats --raw, and of the probe's domstats form. Texts are there too, but for names."""
    found, vm, names = {}, None, {}
    for line in text.splitlines():
        key, equals, value = line.strip().partition("=")
        start = re.fullmatch(r"Domain: 'one-(\d+)'", line)
        if line.startswith("Domain:"):
            vm, names = start and int(start[1]), {}
        elif vm is not None and equals:
            device = re.match(r"(net|block|vcpu)\.(\d+)\.(.*)", key)
            if device and device[3] == "name":
                names[device[1], device[2]] = value
                continue
            if device:
                key = f"{device[1]}[{names.get((device[1], device[2]), device[2])}].{device[3]}"
            found[vm, key] = int(value) if value.isdigit() else value
    return with_sums(found)


def from_json(document):
    """Of --format json; sums are the probe's own."""
    found = {}

    def put(vm, prefix, table, members, column=1):
        for row in rows(table):
            if row[column] in members:
                found[vm, prefix + row[0]] = members[row[column]]
    for vm in document["vms"]:
        number = vm["vm_id"]
        put(number, "", VM, vm)
        put(number, "sum ", SUMS, vm)
        for kind, name, members in [*(("vcpu", "vcpu", each) for each in vm["vcpus"]),
                                    *(("net", "name", each) for each in vm["nics"]),
                                    *(("block", "name", each) for each in vm["disks"])]:
            put(number, f"{kind}[{members[name]}].", DEVICES[kind], members)
    return found


def from_points(points):
    """Of --format line, read by line_protocol."""
    found = {}
    for point in points:
        if point.measurement == "vm_totals":
            tables = (("", VM), ("sum ", SUMS))
        elif point.measurement == "vm_vcpus":
            tables = ((f"vcpu[{point.tags['vcpu']}].", VCPU),)
        elif point.measurement == "vm_devices":
            kind = {"nic": "net", "disk": "block"}[point.tags["devtype"]]
            tables = ((f"{kind}[{point.tags['device']}].", DEVICES[kind]),)
        else:
            continue
        for prefix, table in tables:
            for row in rows(table):
                if row[2] in point.fields:
                    found[int(point.tags["VMID"]), prefix + row[0]] = point.fields[row[2]]
    return found


def from_records(records):
    """Of OpenNebula's records, decoded."""
    return {(vm, key): int(keys[name]) for vm, keys in records.items() for key, name in in_records().items()
            if keys.get(name) is not None}


def in_records():
    """{key: OpenNebula's key} of what has one."""
    return {**RECORD, **{f"sum {row[0]}": row[3] for row in rows(SUMS) if row[3] != "-"}}


def is_ours(key):
    """Whether a key of virsh is one that the probe must report."""
    device = re.fullmatch(r"(net|block|vcpu)\[.*?\]\.(.*)", key)
    table = DEVICES[device[1]] if device else SUMS if key.startswith("sum ") else VM
    name = device[2] if device else key.removeprefix("sum ")
    return any(row[0] == name for row in rows(table))


def is_gauge(key):
    return key.rpartition("].")[2] in GAUGES
