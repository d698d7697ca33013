// SPDX-License-Identifier: Apache-2.0
// What is known of one VM, and of its disks, interfaces and vCPUs.
import * as format from "./format.js";
import {LiveTable} from "./live_table.js";
import {instead} from "./standing.js";

/** A column of figures of now. Where these are not of now a word stands there instead. */
function live(key, label, text) {
    return {key, label, text, live: true};
}

function figure(key, label, text) {
    return {key, label, text};
}

function nanoseconds(ns) {
    return format.span(ns / 1e9);
}

/** held: see instead(). */
export const TABLES = {
    disks: {title: "Disks", held: true, columns: [
        {key: "name", label: "Disk"},
        live("rd_bytes_per_sec", "Read", format.byteRate), live("wr_bytes_per_sec", "Write", format.byteRate),
        live("rd_req_per_sec", "Reads", format.perSecond), live("wr_reqs_per_sec", "Writes", format.perSecond),
        live("rd_latency_ms", "Read latency", format.milliseconds), live("wr_latency_ms", "Write latency", format.milliseconds),
        figure("capacity", "Capacity", format.bytes), figure("allocation", "Allocated", format.bytes),
        figure("physical", "On the host", format.bytes), {key: "path", label: "Path"}]},
    nics: {title: "Network interfaces", columns: [
        {key: "name", label: "Interface"}, {key: "mac", label: "MAC"},
        live("rxbytes_per_sec", "RX", format.byteRate), live("txbytes_per_sec", "TX", format.byteRate),
        live("rxpackets_per_sec", "RX packets", format.perSecond), live("txpackets_per_sec", "TX packets", format.perSecond),
        figure("rxdrops", "RX dropped", format.count), figure("txdrops", "TX dropped", format.count),
        figure("rxerrors", "RX errors", format.count), figure("txerrors", "TX errors", format.count)]},
    vcpus: {title: "vCPUs", columns: [
        {key: "vcpu", label: "vCPU"},
        live("usage_percent", "Used", format.percent), live("steal_percent", "Steal", format.percent),
        figure("time", "Time run", nanoseconds), figure("delay", "Time waited", nanoseconds)]},
};

function valueOf(device, {key, text, live: isLive}, word) {
    const value = device[key], exact = text ? format.exact(value, "") : value;
    if (isLive && word)
        return {text: word, title: `last known: ${exact}`};
    return {text: text ? text(value ?? NaN) : String(value ?? format.UNKNOWN), title: exact};
}

/** One of TABLES, shown in the context of what the VM's figures are worth. Devices need not have names that differ. */
export function deviceTable(name) {
    const {title, columns, held} = TABLES[name];
    return new LiveTable(title, columns.map((column) => ({
        label: column.label, kind: column.text ? "number" : null,
        get: (device, standing) => valueOf(device, column, instead(standing, held)),
    })), {key: (_device, i) => i, none: "none known", attributes: {"data-table": name}});
}

// --- what it is ---

function known(vm, key) {
    return vm.missing.includes(key) ? null : vm.metrics[key] ?? null;
}

function join(name, id) {
    return name ? `${name}${id ? ` (${id})` : ""}` : id;
}

/** What was asked for in OpenNebula: its CPU is a share of the host, in cores; its memory in MiB. */
function requested({cpu_requested: cpu, memory_requested: memory}) {
    const all = (mebibytes) => [cpu && `${cpu} CPU`, mebibytes].filter(Boolean).join(" · ");
    return cpu || memory ? {text: all(memory && format.kib(1024 * memory)), title: all(memory && `${memory} MiB`)} : "";
}

function memory(vm) {
    const used = known(vm, "memory_used"), most = known(vm, "memory_max"), word = used !== null && instead(vm.standing, true);
    if (used === null && most === null)
        return {text: format.UNKNOWN, title: "not known"};
    return {text: `${word || format.kib(used ?? NaN)} of ${format.kib(most ?? NaN)}`,
            title: `${word ? "last known: " : ""}${format.exact(used, "KiB")} of ${format.exact(most, "KiB")}`};
}

/** Where the memory figure comes from; null: there is none. */
export function memorySource(vm) {
    return known(vm, "memory_source");
}

const SOURCES = {guest: "the guest's own", balloon: "the balloon's: what it was given"};

/** Facts of {...vm, standing}, see live_table.js. */
export const IDENTITY = [
    ["ID", ({vm_id}) => String(vm_id)], ["Name", ({name}) => name], ["Host", ({host}) => host],
    ["Owner", ({metrics}) => join(metrics.uname, metrics.uid)], ["Group", ({metrics}) => join(metrics.gname, metrics.gid)],
    ["Template", ({metrics}) => metrics.template_id], ["Labels", ({metrics}) => metrics.labels], ["Locked", ({metrics}) => metrics.lock],
    ["Requested", ({metrics}) => requested(metrics)], ["UUID", ({uuid}) => uuid],
    ["vCPUs", (vm) => {
        const count = known(vm, "cpus");
        return count === null ? {text: format.UNKNOWN, title: "not known"} : String(count);
    }],
    ["Memory", memory], ["Memory figure", (vm) => SOURCES[memorySource(vm)]],
    ["Seen since", ({first_seen: time}) => ({text: format.clock(time), time})], ["Source", ({source}) => source],
];
