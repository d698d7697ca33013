// SPDX-License-Identifier: Apache-2.0
// The VMs as they are now, what is worth saying of each, and who is to be looked at. Pure: no element of the page.
import * as format from "./format.js";

const TRAIL = 180; // values that a sparkline goes back

/** Figures by which VMs are shown, sorted and judged. get: null where a part is not known. */
export const FIGURES = {
    cpu: {label: "CPU", parts: ["cpu_usage_percent"], text: format.percent, unit: "% of its vCPUs", high: 75, critical: 90},
    steal: {label: "Steal", parts: ["cpu_steal_percent"], text: format.percent, unit: "% of its vCPUs", high: 5, critical: 20},
    memory: {label: "Memory", parts: ["memory_usage_percent"], text: format.percent, unit: "%", high: 85, critical: 95},
    disk: {label: "Disk", parts: ["disk_read_per_sec", "disk_write_per_sec"], text: format.byteRate, unit: "bytes/s"},
    disk_read: {label: "Disk read", parts: ["disk_read_per_sec"], text: format.byteRate, unit: "bytes/s"},
    disk_write: {label: "Disk write", parts: ["disk_write_per_sec"], text: format.byteRate, unit: "bytes/s"},
    iops: {label: "IOPS", parts: ["disk_rd_req_per_sec", "disk_wr_reqs_per_sec"], text: format.perSecond, unit: "requests/s"},
    latency: {label: "Disk latency", parts: ["disk_rd_latency_ms", "disk_wr_latency_ms"], join: "max", text: format.milliseconds,
              unit: "ms", high: 20, critical: 50},
    rx: {label: "RX", parts: ["network_rx_per_sec"], text: format.byteRate, unit: "bytes/s"},
    tx: {label: "TX", parts: ["network_tx_per_sec"], text: format.byteRate, unit: "bytes/s"},
    drops: {label: "Drops", parts: ["net_rxdrops_per_sec", "net_txdrops_per_sec"], text: format.perSecond, unit: "packets/s",
            high: 1, critical: 100},
};

/** What is said in place of figures. Telemetry's words, and locked. */
export const STANDINGS = {
    ok: "ok",
    warming_up: "warming up",
    stale: "stale",
    missing: "no data",
    locked: "locked",
};

/** Steps of the scale on which disk activity is shown, bytes per second. */
const SCALES = [1, 10, 100, 1024, 10240, 102400].map((mib) => mib * 1048576);

export class Vm {
    constructor(data) {
        this.trail = [];     // [time in ms, CPU in percent]
        this.trailAsked = false;
        this.set(data);
    }

    set(data) {
        this.data = data;
        this.received = performance.now();
        this.standing = data.telemetry === "ok" && data.locked ? "locked" : data.telemetry;
        const cpu = this.standing === "stale" ? null : this.value("cpu_usage_percent");
        if (cpu !== null)
            this.trail.push([Date.now() - data.sample_age_seconds * 1000, cpu]);
        if (this.trail.length > TRAIL)
            this.trail.splice(0, this.trail.length - TRAIL);
    }

    /** What was before this page was opened: [[ISO time, mean, …]]. */
    addPast(points) {
        const first = this.trail[0]?.[0] ?? Infinity;
        const past = points.map(([time, mean]) => [Date.parse(time), mean]).filter(([time]) => time < first - 500);
        this.trail = [...past, ...this.trail].slice(-TRAIL);
    }

    get id() { return this.data.vm_id; }
    get title() { return this.data.vm_name || this.data.name; }
    get age() { return this.data.sample_age_seconds + (performance.now() - this.received) / 1000; }

    /** One member of the JSON; null: not known. */
    value(key) {
        const value = this.data[key];
        return value === undefined || this.data.missing.includes(key) ? null : value;
    }

    figure(name) {
        const {parts, join} = FIGURES[name];
        const known = parts.map((part) => this.value(part)).filter((value) => value !== null);
        if (known.length === 0)
            return null;
        return join === "max" ? Math.max(...known) : known.reduce((sum, value) => sum + value, 0);
    }

    /** 0 ok, 1 high, 2 critical. Memory by the balloon is what a VM was given, so it is no fault that it is all. */
    level(name) {
        const {high, critical} = FIGURES[name], value = this.figure(name);
        if (value === null || high === undefined || (name === "memory" && this.data.memory_source !== "guest"))
            return 0;
        return value >= critical ? 2 : value >= high ? 1 : 0;
    }

    /** Each word is found in its names or owner, or is its ID. */
    matches(words) {
        if (words.length === 0)
            return true;
        const {name, vm_name, uuid, host, uname, gname} = this.data;
        const text = [name, vm_name, uuid, host, uname, gname].join("\n").toLowerCase();
        return words.every((word) => text.includes(word) || String(this.id) === word);
    }

    /** The higher the more it wants to be looked at. */
    attention() {
        let sum = {ok: 0, locked: 1, warming_up: 0, stale: 3, missing: 2}[this.standing];
        for (const name of Object.keys(FIGURES))
            sum += this.level(name) * 2;
        return sum;
    }
}

export class Fleet {
    constructor() {
        this.vms = new Map();
        this.loaded = false;
        this.trouble = null; // why nothing can be seen at all
        this.members = 0; // counts who comes and goes
    }

    replace(list, trouble = null) {
        this.trouble = trouble;
        const seen = new Set(list.map((data) => data.vm_id));
        for (const id of this.vms.keys()) {
            if (!seen.has(id))
                this.end(id);
        }
        this.merge(list);
        this.loaded = true;
    }

    merge(list) {
        if (list.length > 0)
            this.trouble = null;
        for (const data of list) {
            const vm = this.vms.get(data.vm_id);
            if (vm) {
                vm.set(data);
            } else {
                this.vms.set(data.vm_id, new Vm(data));
                this.members++;
            }
        }
    }

    end(id) {
        if (this.vms.delete(id))
            this.members++;
    }

    /** Of a text member of the JSON, sorted. */
    values(key) {
        const values = new Set();
        for (const vm of this.vms.values())
            values.add(vm.data[key] ?? "");
        values.delete("");
        return [...values].sort((a, b) => a.localeCompare(b, undefined, {numeric: true}));
    }

    diskScale() {
        let most = 0;
        for (const vm of this.vms.values())
            most = Math.max(most, vm.figure("disk") ?? 0);
        return SCALES.find((scale) => scale >= most) ?? SCALES.at(-1);
    }

    /** The worst by a figure, but for those that are at 0. */
    top(name, n) {
        const list = [];
        for (const vm of this.vms.values()) {
            const value = vm.standing === "stale" ? null : vm.figure(name);
            if (value > 0)
                list.push({vm, value});
        }
        return list.sort((a, b) => b.value - a.value || a.vm.id - b.vm.id).slice(0, n);
    }

    /** {q, host, owner, state} and {sort, desc} of a view. */
    select({q = "", host = "", owner = "", state = "", sort = "id", desc = false}) {
        const words = q.toLowerCase().split(/\s+/).filter(Boolean);
        const wanted = (vm) => (!host || vm.data.host === host) && (!owner || vm.data.uname === owner) &&
            (!state || is(vm, state)) && vm.matches(words);
        const list = [...this.vms.values()].filter(wanted);
        const order = desc ? -1 : 1, key = sortKey(sort);
        const keyed = list.map((vm) => ({vm, key: key(vm)}));
        keyed.sort((a, b) => compare(a.key, b.key, order) || a.vm.id - b.vm.id);
        return keyed.map(({vm}) => vm);
    }
}

function is(vm, state) {
    return state === "attention" ? vm.attention() > 0 : vm.standing === state || vm.data.state === state;
}

function sortKey(sort) {
    if (FIGURES[sort])
        return (vm) => vm.figure(sort);
    return {
        id: (vm) => vm.id,
        name: (vm) => vm.title.toLowerCase(),
        attention: (vm) => vm.attention(),
        host: (vm) => vm.data.host,
        owner: (vm) => vm.data.uname ?? "",
        state: (vm) => vm.data.state,
        vcpus: (vm) => vm.data.cpu_count,
        size: (vm) => vm.data.memory_max,
        age: (vm) => vm.age,
    }[sort] ?? ((vm) => vm.id);
}

/** What is not known goes last, whichever way. */
function compare(a, b, order) {
    if (a === null || b === null)
        return (a === null) - (b === null);
    return order * (typeof a === "string" ? a.localeCompare(b, undefined, {numeric: true}) : a - b);
}
