// SPDX-License-Identifier: Apache-2.0
// What is known of one VM, and of its disks, interfaces and vCPUs. Made once, then only texts change: who has selected one
// of them, scrolled or gone there by keyboard stays where he is.
import {el, setAttr, setText, toggle} from "./dom.js";
import * as format from "./format.js";
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

export class DeviceTable {
    constructor(name, {title, columns, held}) {
        Object.assign(this, {columns, held, rows: []});
        this.none = el("p", {class: "none"}, "none known");
        this.body = el("tbody", {});
        const heads = columns.map(({label, text}) => el("th", {scope: "col", class: text ? "number" : null}, label));
        this.scroll = el("div", {class: "scroll", tabindex: 0, role: "region", "aria-label": title, hidden: true},
            el("table", {}, el("thead", {}, el("tr", {}, ...heads)), this.body));
        this.element = el("section", {class: "devices", "data-table": name}, el("h3", {}, title), this.none, this.scroll);
    }

    set(devices, standing) {
        toggle(this.none, devices.length > 0);
        toggle(this.scroll, devices.length === 0);
        while (this.rows.length < devices.length) {
            const cells = this.columns.map(({text}) => el("td", {class: text ? "number" : null})), row = el("tr", {}, ...cells);
            this.rows.push({row, cells});
            this.body.append(row);
        }
        for (const {row} of this.rows.splice(devices.length))
            row.remove();
        const word = instead(standing, this.held);
        devices.forEach((device, i) => this.columns.forEach((column, k) => this.#showCell(this.rows[i].cells[k], device, column, word)));
    }

    #showCell(cell, device, {key, text, live: isLive}, word) {
        const value = device[key], exact = text ? format.exact(value, "") : value;
        setText(cell, isLive && word ? word : text ? text(value ?? NaN) : String(value ?? format.UNKNOWN));
        setAttr(cell, "title", isLive && word ? `last known: ${exact}` : exact);
    }
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
    return [cpu && `${cpu} CPU`, memory && format.kib(1024 * memory)].filter(Boolean).join(" · ");
}

function memory(vm, standing) {
    const used = known(vm, "memory_used"), most = known(vm, "memory_max"), word = used !== null && instead(standing, true);
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

function told(text, title = null) {
    return {text, title};
}

const IDENTITY = {
    "ID": (vm) => told(String(vm.vm_id)), "Name": (vm) => told(vm.name), "Host": (vm) => told(vm.host),
    "Owner": ({metrics}) => told(join(metrics.uname, metrics.uid)), "Group": ({metrics}) => told(join(metrics.gname, metrics.gid)),
    "Template": ({metrics}) => told(metrics.template_id), "Labels": ({metrics}) => told(metrics.labels), "Locked": ({metrics}) => told(metrics.lock),
    "Requested": ({metrics}) => told(requested(metrics)), "UUID": (vm) => told(vm.uuid),
    "vCPUs": (vm) => told(String(known(vm, "cpus") ?? format.UNKNOWN), known(vm, "cpus") === null ? "not known" : null),
    "Memory": memory, "Memory figure": (vm) => told(SOURCES[memorySource(vm)]),
    "Seen since": (vm) => told(format.clock(vm.first_seen), vm.first_seen), "Source": (vm) => told(vm.source),
};

export class Identity {
    constructor() {
        this.element = el("dl", {class: "identity"});
        this.entries = Object.entries(IDENTITY).map(([label, get]) => {
            const value = label === "Seen since" ? el("time", {}) : el("span", {});
            const entry = el("div", {hidden: true}, el("dt", {}, label), el("dd", {}, value));
            this.element.append(entry);
            return {get, value, entry};
        });
    }

    set(vm, standing) {
        for (const {get, value, entry} of this.entries) {
            const {text, title} = get(vm, standing);
            toggle(entry, !text);
            setText(value, text ?? "");
            setAttr(value, "title", title);
            if (value.tagName === "TIME")
                setAttr(value, "datetime", title);
        }
    }
}
