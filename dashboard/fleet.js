// SPDX-License-Identifier: Apache-2.0
// The VMs as they are now, what is worth saying of each, and who is to be looked at. Pure: no element of the page.
import * as format from "./format.js";
import {instead, standingOf} from "./standing.js";
import {Trail} from "./trail.js";

/** The sum of what is known of their parts, or the highest (join). held: see instead(). */
const OF_NOW = {
    cpu: {label: "CPU", parts: ["cpu_usage_percent"], text: format.percent, unit: "% of its vCPUs", high: 75, critical: 90},
    steal: {label: "Steal", parts: ["cpu_steal_percent"], text: format.percent, unit: "% of its vCPUs", high: 5, critical: 20},
    memory: {label: "Memory", parts: ["memory_usage_percent"], held: true, text: format.percent, unit: "%", high: 85, critical: 95},
    disk: {label: "Disk", parts: ["disk_read_per_sec", "disk_write_per_sec"], held: true, text: format.byteRate, unit: "bytes/s"},
    disk_read: {label: "Disk read", parts: ["disk_read_per_sec"], held: true, text: format.byteRate, unit: "bytes/s"},
    disk_write: {label: "Disk write", parts: ["disk_write_per_sec"], held: true, text: format.byteRate, unit: "bytes/s"},
    iops: {label: "IOPS", parts: ["disk_rd_req_per_sec", "disk_wr_reqs_per_sec"], held: true, text: format.perSecond,
           unit: "requests/s"},
    latency: {label: "Disk latency", parts: ["disk_rd_latency_ms", "disk_wr_latency_ms"], join: "max", held: true,
              text: format.milliseconds, unit: "ms", high: 20, critical: 50},
    rx: {label: "RX", parts: ["network_rx_per_sec"], text: format.byteRate, unit: "bytes/s"},
    tx: {label: "TX", parts: ["network_tx_per_sec"], text: format.byteRate, unit: "bytes/s"},
    drops: {label: "Drops", parts: ["net_rxdrops_per_sec", "net_txdrops_per_sec"], text: format.perSecond, unit: "packets/s",
            high: 1, critical: 100},
};

const RATES = {cpu: "cpu_rate", memory: "memory_rate", disk_read: "disk_read_rate", disk_write: "disk_write_rate",
               rx: "network_rx_rate", tx: "network_tx_rate"};

/** Figures by which VMs are shown, sorted and judged: those of now, and how fast they change, in degrees. */
export const FIGURES = {...OF_NOW, ...Object.fromEntries(Object.entries(RATES).map(([of, part]) => [`${of}_rate`,
    {label: `${OF_NOW[of].label}: rate`, parts: [part], held: OF_NOW[of].held, text: format.degrees, unit: "°"}]))};

const COLLATOR = new Intl.Collator(undefined, {numeric: true});
const JUDGED = Object.keys(FIGURES).filter((name) => FIGURES[name].high !== undefined);

/** Steps of the scale on which disk activity is shown, bytes per second. */
const SCALES = [1, 10, 100, 1024, 10240, 102400].map((mib) => mib * 1048576);

class Vm {
    constructor(data, time) {
        this.trail = new Trail(); // CPU in percent, by the endpoint's clock as history is
        this.trailAsked = false;
        this.set(data, time);
    }

    /** time: when its figures were taken, in ms since 1970. */
    set(data, time) {
        this.data = data;
        this.received = performance.now();
        this.standing = standingOf(data);
        const cpu = this.figure("cpu");
        if (cpu !== null)
            this.trail.push(time, cpu);
    }

    /** What was before this page was opened: [[ISO time, mean, …]] as history has it. */
    addPast(points) {
        this.trail.addPast(points.map(([time, mean]) => [Date.parse(time), mean]));
    }

    /** As it is now, whatever comes. */
    still() {
        const still = Object.assign(Object.create(Vm.prototype), this);
        still.trail = this.trail.copy();
        still.seen = performance.now();
        return still;
    }

    get id() { return this.data.vm_id; }
    get title() { return this.data.vm_name || this.data.name; }
    get age() { return this.data.sample_age_seconds + ((this.seen ?? performance.now()) - this.received) / 1000; }

    /** One member of the JSON; null: not known. */
    value(key) {
        const value = this.data[key];
        return value === undefined || this.data.missing.includes(key) ? null : value;
    }

    /** The word that takes the place of a figure, or null. */
    instead(name) {
        return instead(this.standing, FIGURES[name].held);
    }

    /** As it may be shown; null where a word takes its place, or it is not known. */
    figure(name) {
        const {parts, join} = FIGURES[name];
        if (this.instead(name) !== null)
            return null;
        let result = null;
        for (const part of parts) {
            const value = this.value(part);
            if (value !== null)
                result = result === null ? value : join === "max" ? Math.max(result, value) : result + value;
        }
        return result;
    }

    /** 0 ok, 1 high, 2 critical. Memory by the balloon is what a VM was given, so it is no fault that it is all. */
    level(name) {
        const {high, critical} = FIGURES[name];
        if (high === undefined || (name === "memory" && this.value("memory_source") !== "guest"))
            return 0;
        const value = this.figure(name);
        return value === null ? 0 : value >= critical ? 2 : value >= high ? 1 : 0;
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
        for (const name of JUDGED)
            sum += this.level(name) * 2;
        return sum;
    }
}

/** vms: what is to be seen, which stands still during a pause; known: what has come. */
export class Fleet {
    constructor() {
        this.vms = this.known = new Map();
        this.loaded = false;
        this.trouble = null; // why nothing can be seen at all
        this.members = 0; // counts who comes, goes, moves to another host, or gets another owner
    }

    pause(paused) {
        this.vms = paused ? new Map([...this.known].map(([id, vm]) => [id, vm.still()])) : this.known;
        this.members++;
    }

    /** All there are, as the endpoint had them at that time (ISO), when their figures were as old as they say. */
    replace(list, trouble = null, time = undefined) {
        this.trouble = trouble;
        const seen = new Set(list.map((data) => data.vm_id));
        for (const id of this.known.keys()) {
            if (!seen.has(id))
                this.end(id);
        }
        const at = Date.parse(time);
        this.#take(list, (data) => at - data.sample_age_seconds * 1000);
        this.loaded = true;
    }

    /** Those of a sample of that time. */
    merge(list, time) {
        const at = Date.parse(time);
        this.#take(list, () => at);
    }

    #take(list, timeOf) {
        if (list.length > 0)
            this.trouble = null;
        for (const data of list) {
            const vm = this.known.get(data.vm_id);
            if (vm) {
                this.members += vm.data.host !== data.host || vm.data.uname !== data.uname;
                vm.set(data, timeOf(data));
            } else {
                this.known.set(data.vm_id, new Vm(data, timeOf(data)));
                this.members++;
            }
        }
    }

    end(id) {
        if (this.known.delete(id))
            this.members++;
    }

    /** Of a text member of the JSON, sorted. */
    values(key) {
        const values = new Set();
        for (const vm of this.vms.values())
            values.add(vm.data[key] ?? "");
        values.delete("");
        return [...values].sort(COLLATOR.compare);
    }

    diskScale() {
        let most = 0;
        for (const vm of this.vms.values())
            most = Math.max(most, vm.figure("disk") ?? 0);
        return SCALES.find((scale) => scale >= most) ?? SCALES.at(-1);
    }

    /** Of each of these figures the n highest of those VMs, but for those at 0: [[{vm, value}]]. */
    tops(names, n, vms) {
        const tops = names.map(() => []);
        for (const vm of vms)
            names.forEach((name, i) => insert(tops[i], n, vm, vm.figure(name)));
        return tops;
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

function insert(top, n, vm, value) {
    if (value === null || value <= 0)
        return;
    let at = top.length;
    while (at > 0 && (value > top[at - 1].value || (value === top[at - 1].value && vm.id < top[at - 1].vm.id)))
        at--;
    if (at === n)
        return;
    top.splice(at, 0, {vm, value});
    if (top.length > n)
        top.pop();
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
        vcpus: (vm) => vm.value("cpu_count"),
        size: (vm) => vm.value("memory_max"),
    }[sort] ?? ((vm) => vm.id);
}

/** What is not known goes last, whichever way. */
function compare(a, b, order) {
    if (a === null || b === null)
        return (a === null) - (b === null);
    return order * (typeof a === "string" ? COLLATOR.compare(a, b) : a - b);
}
