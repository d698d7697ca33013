// SPDX-License-Identifier: Apache-2.0
// One VM in depth: what it is, its figures over time, its devices, what happened to it.
import {getJson, getText, url} from "./api.js";
import {Chart, CHARTS} from "./charts.js";
import {el, notice, setText, timeElement} from "./dom.js";
import * as format from "./format.js";
import {STANDINGS} from "./fleet.js";
import {Badge} from "./widgets.js";

const RANGES = {"15m": 900, "1h": 3600, "6h": 21600, "24h": 86400, "7d": 604800, "30d": 2592000};
const STANDARD_RANGE = "1h";
const POINTS = 600;
const EVENTS_MOST = 200;
const STATS_MS = 2000;

const TABLES = {
    disks: {title: "Disks", columns: [
        ["name", "Disk"], ["rd_bytes_per_sec", "Read", format.byteRate], ["wr_bytes_per_sec", "Write", format.byteRate],
        ["rd_req_per_sec", "Reads", format.perSecond], ["wr_reqs_per_sec", "Writes", format.perSecond],
        ["rd_latency_ms", "Read latency", format.milliseconds], ["wr_latency_ms", "Write latency", format.milliseconds],
        ["capacity", "Capacity", format.bytes], ["allocation", "Allocated", format.bytes], ["path", "Path"]]},
    nics: {title: "Network interfaces", columns: [
        ["name", "Interface"], ["mac", "MAC"], ["rxbytes_per_sec", "RX", format.byteRate], ["txbytes_per_sec", "TX", format.byteRate],
        ["rxpackets_per_sec", "RX packets", format.perSecond], ["txpackets_per_sec", "TX packets", format.perSecond],
        ["rxdrops", "RX dropped", format.count], ["txdrops", "TX dropped", format.count], ["rxerrors", "RX errors", format.count],
        ["txerrors", "TX errors", format.count]]},
    vcpus: {title: "vCPUs", columns: [
        ["vcpu", "vCPU"], ["usage_percent", "Used", format.percent], ["steal_percent", "Steal", format.percent],
        ["time", "Time run", (ns) => format.span(ns / 1e9)], ["delay", "Time waited", (ns) => format.span(ns / 1e9)]]},
};

const IDENTITY = [
    ["ID", (vm) => String(vm.vm_id)], ["Name", (vm) => vm.name], ["Host", (vm) => vm.host],
    ["Owner", (vm) => join(vm.metrics.uname, vm.metrics.uid)], ["Group", (vm) => join(vm.metrics.gname, vm.metrics.gid)],
    ["Template", (vm) => vm.metrics.template_id], ["Labels", (vm) => vm.metrics.labels], ["Locked", (vm) => vm.metrics.lock],
    ["Requested", (vm) => requested(vm.metrics)], ["UUID", (vm) => vm.uuid],
    ["vCPUs", (vm) => String(vm.metrics.cpus)], ["Memory", (vm) => `${format.kib(vm.metrics.memory_used)} of ${format.kib(vm.metrics.memory_max)}`],
    ["Memory figure", (vm) => vm.metrics.memory_source === "guest" ? "the guest's own" : "the balloon's: what it was given"],
    ["Seen since", (vm) => vm.first_seen], ["Source", (vm) => vm.source],
];
const TIMES = new Set(["Seen since"]);

function join(name, id) {
    return name ? `${name}${id ? ` (${id})` : ""}` : id;
}

/** OpenNebula's state of the life cycle says more than ACTIVE, and nothing of another state. */
function stateWord(state, lcm) {
    return state === "ACTIVE" && lcm ? lcm : state;
}

/** What was asked for in OpenNebula: its CPU is a share of the host, in cores; its memory in MiB. */
function requested({cpu_requested: cpu, memory_requested: memory}) {
    return [cpu && `${cpu} CPU`, memory && format.kib(1024 * memory)].filter(Boolean).join(" · ");
}

/** Browsers keep the clipboard from pages of plain HTTP, but for what is selected in them. */
async function copy(text) {
    if (navigator.clipboard) {
        await navigator.clipboard.writeText(text);
        return true;
    }
    const area = el("textarea", {class: "off", "aria-hidden": "true", tabindex: -1});
    area.value = text;
    document.body.append(area);
    area.select();
    const copied = document.execCommand("copy");
    area.remove();
    return copied;
}

/** {from, to} in seconds since 1970, and whether that moves on with the clock. */
function spanOf(query) {
    const from = Number(query.from), to = Number(query.to);
    if (from > 0 && to > from)
        return {from, to, moves: false};
    const now = Date.now() / 1000;
    return {from: now - (RANGES[query.range] ?? RANGES[STANDARD_RANGE]), to: now, moves: true};
}

export class VmView {
    constructor(app, query, id) {
        Object.assign(this, {app, query, id, timers: [], generation: 0});
        this.badge = new Badge();
        this.title = el("h2", {}, `VM ${id}`);
        this.identity = el("dl", {class: "identity"});
        this.message = el("div", {});
        this.copied = el("span", {role: "status"});
        this.tables = Object.fromEntries(Object.keys(TABLES).map((name) => [name, el("section", {class: "devices", "data-table": name})]));
        this.eventList = el("section", {class: "events"});
        this.element = el("div", {class: "vm"},
            el("nav", {class: "back"}, el("a", {href: app.fleetHref}, "← all VMs")),
            el("header", {}, this.title, this.badge.element), this.message, this.identity,
            el("p", {class: "actions"}, el("a", {href: url(`api/telemetry/vm-stats/${id}`)}, "JSON"),
                el("button", {type: "button", onclick: () => this.#copy()}, "Copy as line protocol"), this.copied),
            this.#makeRanges(), this.#makeCharts(), ...Object.values(this.tables), this.eventList);
        this.dark = matchMedia("(prefers-color-scheme: dark)");
        this.ondark = () => this.charts.forEach(({chart}) => chart.restyle());
        this.dark.addEventListener("change", this.ondark);
        requestAnimationFrame(() => this.setQuery(query)); // once it has a width
    }

    end() {
        this.generation++;
        this.dark.removeEventListener("change", this.ondark);
        for (const {chart} of this.charts)
            chart.end();
    }

    #makeRanges() {
        this.ranges = Object.keys(RANGES).map((range) => el("button", {type: "button", "data-range": range,
            onclick: () => this.app.setQuery({range})}, range));
        this.spanText = el("span", {class: "count"});
        return el("div", {class: "toolbar ranges", role: "group", "aria-label": "Time shown"}, ...this.ranges, this.spanText);
    }

    #makeCharts() {
        this.charts = CHARTS.map((spec) => {
            const host = el("div", {class: "plot"}), source = el("span", {class: "scale"}), empty = el("p", {class: "none"});
            const element = el("section", {class: "chart", "data-chart": spec.title}, el("h3", {}, spec.title, " ", source), host, empty);
            const summary = el("p", {class: "summary"});
            element.insertBefore(summary, host);
            return {spec, element, source, empty, summary, chart: new Chart(spec, host, (from, to) => this.#zoom(from, to))};
        });
        return el("div", {class: "charts"}, ...this.charts.map(({element}) => element));
    }

    #zoom(from, to) {
        this.app.setQuery({from: String(Math.floor(from)), to: String(Math.max(Math.ceil(to), Math.floor(from) + 2))});
    }

    setQuery(query) {
        this.query = query;
        this.generation++;
        const {moves} = spanOf(query);
        for (const button of this.ranges)
            button.setAttribute("aria-pressed", String(moves && button.dataset.range === (query.range ?? STANDARD_RANGE)));
        this.#keepUp(this.generation, () => this.#loadHistory(), () => Math.min(Math.max(this.length / POINTS * 1000, 5000), 60000));
        this.#keepUp(this.generation, () => this.#loadStats(), () => Math.max(this.app.interval, STATS_MS));
    }

    /** Again and again, as long as this is what is looked at. */
    async #keepUp(generation, load, pause) {
        for (let first = true; generation === this.generation; first = false) {
            if (first || (!this.app.paused && !document.hidden))
                await load();
            await new Promise((resolve) => setTimeout(resolve, pause()));
        }
    }

    async #loadHistory() {
        const generation = this.generation, {from, to, moves} = spanOf(this.query);
        this.length = to - from;
        const metrics = CHARTS.flatMap(({series}) => series.map(([name]) => name)).join(",");
        const step = this.length > 3600 ? `&step=${Math.ceil(this.length / POINTS)}s` : "";
        try {
            const [answer, happened] = await Promise.all([
                getJson(`api/telemetry/history/${this.id}?metric=${metrics}&from=${Math.floor(from)}&to=${Math.ceil(to)}${step}`),
                getJson(`api/telemetry/events?vm_id=${this.id}&from=${Math.floor(from)}&to=${Math.ceil(to)}&limit=${EVENTS_MOST}`)]);
            if (generation !== this.generation)
                return;
            setText(this.spanText, `${moves ? "the last " : ""}${format.span(this.length)}, ${answer.tier ?? answer.source}; drag to zoom`);
            for (const {chart, empty, summary} of this.charts) {
                chart.set(answer, happened.events, [from, to]);
                setText(summary, chart.summary());
                setText(empty, chart.isEmpty ? "nothing kept of this time" : "");
            }
            this.#showEvents(happened.events);
        } catch (error) {
            setText(this.spanText, `no history: ${error.message}`);
        }
    }

    async #loadStats() {
        const generation = this.generation;
        try {
            const vm = await getJson(`api/telemetry/vm-stats/${this.id}`);
            if (generation === this.generation)
                this.#show(vm);
        } catch (error) {
            if (generation !== this.generation)
                return;
            this.message.replaceChildren(error.status === 404
                ? notice("There is no such VM", error.message, el("a", {href: "#/"}, "All VMs"))
                : el("p", {class: "trouble", role: "alert"}, error.message));
        }
    }

    #show(vm) {
        const standing = vm.ended ? "ended" : vm.telemetry === "ok" && vm.metrics.locked ? "locked" : vm.telemetry;
        setText(this.title, vm.metrics.vm_name || vm.name);
        document.title = `${vm.metrics.vm_name || vm.name} – one-telemetry`;
        this.badge.set(vm.metrics.state, standing, standing === "ended" ? `ended ${format.clock(vm.ended)}` : STANDINGS[standing]);
        this.message.replaceChildren(...(standing === "ok" ? [] : [el("p", {class: "trouble"},
            `Figures are ${format.span(vm.sample_age_seconds)} old: ${standing === "ended" ? "the VM has ended" : STANDINGS[standing]}.`)]));
        this.identity.replaceChildren(...IDENTITY.flatMap(([label, get]) => {
            const value = get(vm);
            return value ? [el("div", {}, el("dt", {}, label), el("dd", {}, TIMES.has(label) ? timeElement(value, format.clock(value)) : value))] : [];
        }));
        for (const {spec, source} of this.charts)
            setText(source, spec.source ? (vm.metrics.memory_source === "guest" ? "guest's own" : "balloon") : "");
        for (const [name, spec] of Object.entries(TABLES))
            this.#showTable(this.tables[name], spec, vm[name]);
    }

    #showTable(section, {title, columns}, rows) {
        const cell = (row, [key, , text]) => {
            const value = row[key];
            return el("td", {class: text ? "number" : null, title: text ? format.exact(value, "") : value ?? null},
                text ? text(value ?? NaN) : String(value ?? format.UNKNOWN));
        };
        section.replaceChildren(el("h3", {}, title), rows.length === 0 ? el("p", {class: "none"}, "none known") : el("div", {class: "scroll", tabindex: 0, role: "region", "aria-label": title},
            el("table", {}, el("thead", {}, el("tr", {}, ...columns.map(([, label, text]) => el("th", {scope: "col", class: text ? "number" : null}, label)))),
                el("tbody", {}, ...rows.map((row) => el("tr", {}, ...columns.map((column) => cell(row, column))))))));
    }

    #showEvents(events) {
        const line = (event) => el("li", {}, timeElement(event.time, format.clock(event.time)), " ",
            el("strong", {}, stateWord(event.state, event.lcm_state)),
            ` ${[event.previous_state && `before: ${stateWord(event.previous_state, event.previous_lcm_state)}`, event.reason,
            event.host && `on ${event.host}`].filter(Boolean).join(", ")}`);
        this.eventList.replaceChildren(el("h3", {}, "Events"), events.length === 0
            ? el("p", {class: "none"}, "none in this time") : el("ul", {}, ...events.map(line)));
    }

    async #copy() {
        try {
            const text = await getText(`api/telemetry/vm-stats/${this.id}?format=line`);
            setText(this.copied, await copy(text) ? "copied" : "this browser lets no page copy");
        } catch (error) {
            setText(this.copied, `not copied: ${error.message}`);
        }
    }

    update() {}

    key(event) {
        if (event.key === "Escape")
            location.hash = this.app.fleetHref;
    }
}
