// SPDX-License-Identifier: Apache-2.0
// A VM as a card, and as a line of the table.
import {el, setAttr, setText} from "./dom.js";
import * as format from "./format.js";
import {FIGURES, STANDINGS} from "./fleet.js";
import {Badge, Gauge, mark, Spark} from "./widgets.js";

const WORDLESS = new Set(["ok", "locked"]); // of a locked VM what is known may be shown

const FLOWS = {rx: "RX", tx: "TX", disk_read: "Read", disk_write: "Write"};
const TOTALS = {rx: "network_rx_bytes", tx: "network_tx_bytes", disk_read: "disk_read_bytes", disk_write: "disk_write_bytes"};

/** What is said where a number would be. */
function instead(vm) {
    return vm.standing === "ok" ? format.UNKNOWN : STANDINGS[vm.standing];
}

/** The text of a figure, or why there is none. */
function say(vm, name) {
    const value = vm.figure(name);
    if (vm.standing === "stale" || vm.standing === "missing" || value === null)
        return {value: null, text: instead(vm), exact: `not known: ${instead(vm)}`};
    if (vm.standing === "locked" && (name === "memory" || name.startsWith("disk") || name === "iops" || name === "latency"))
        return {value: null, text: "locked", exact: "A job holds the VM: what is known is from before it"};
    return {value, text: FIGURES[name].text(value), exact: format.exact(value, FIGURES[name].unit)};
}

function changeOf(vm, degreesKey, rateKey) {
    const angle = vm.value(degreesKey), rate = vm.value(rateKey);
    if (!WORDLESS.has(vm.standing) || angle === null || rate === null)
        return {text: "", exact: null};
    return {text: `${format.degrees(angle)} · ${format.pointRate(rate)}`,
            exact: `${angle}°, ${rate} points of percent per second`};
}

function hrefOf(vm) {
    return `#/vm/${vm.id}`;
}

export class Card {
    constructor(context) {
        this.context = context;
        this.link = el("a", {class: "title"});
        this.name = el("span", {class: "name"});
        this.badge = new Badge();
        this.facts = el("p", {class: "facts"});
        this.gauges = {cpu: new Gauge("cpu", "CPU"), memory: new Gauge("memory", "Memory"), disk: new Gauge("disk", "Disk")};
        this.flows = {};
        const flows = el("dl", {class: "flows"});
        for (const name of Object.keys(FLOWS)) {
            const value = el("dd", {"data-figure": name}), angle = el("dd", {class: "angle"});
            this.flows[name] = {value, angle};
            flows.append(el("div", {}, el("dt", {}, FLOWS[name]), value, angle));
        }
        this.spark = new Spark();
        this.age = el("span", {class: "age"});
        this.element = el("article", {class: "card", role: "listitem"},
            el("header", {}, this.link, this.badge.element, this.name), this.facts,
            el("div", {class: "gauges"}, ...Object.values(this.gauges).map((gauge) => gauge.element)),
            flows, this.spark.element, this.age);
    }

    show(vm, index, total) {
        const {data} = vm;
        setAttr(this.element, "data-vm-id", vm.id);
        setAttr(this.element, "data-standing", vm.standing);
        setAttr(this.element, "aria-setsize", total);
        setAttr(this.element, "aria-posinset", index + 1);
        setAttr(this.link, "href", hrefOf(vm));
        setText(this.link, vm.title);
        setAttr(this.link, "title", vm.title);
        setText(this.name, `${data.name} · ID ${vm.id}`);
        this.badge.set(data.state, vm.standing, STANDINGS[vm.standing]);
        setText(this.facts, [`${data.cpu_count} vCPU`, format.kib(data.memory_max), data.host, data.uname].filter(Boolean).join(" · "));
        setAttr(this.facts, "title", `host ${data.host}, owner ${data.uname ?? "not known"}`);
        this.#showGauges(vm);
        this.#showFlows(vm);
        this.spark.set(vm.trail);
        setText(this.age, vm.standing === "stale" ? `last figures ${format.span(vm.age)} old` : "");
        this.context.wantTrail(vm);
    }

    #showGauges(vm) {
        const scale = this.context.diskScale;
        const scaleText = {cpu: "of 100 %", disk: `of ${format.byteRate(scale)}`,
                           memory: vm.data.memory_source === "guest" ? "of 100 %, guest's own" : "of 100 %, balloon"};
        const changes = {cpu: changeOf(vm, "cpu_rate", "cpu_per_sec"),
                         memory: changeOf(vm, "memory_rate", "memory_per_sec"), disk: {text: "", exact: null}};
        for (const [name, gauge] of Object.entries(this.gauges)) {
            const {value, text, exact} = say(vm, name);
            const whole = name === "disk" ? scale : 100;
            gauge.set({part: value === null ? null : value / whole, level: value === null ? 0 : vm.level(name), exact,
                       value: name === "disk" && value !== null ? format.percent(100 * value / whole) : text,
                       rate: name === "disk" && value !== null ? text : changes[name].text, rateExact: changes[name].exact,
                       scale: scaleText[name], soft: name === "memory" && vm.data.memory_source !== "guest"});
        }
    }

    #showFlows(vm) {
        const angles = {rx: "network_rx_rate", tx: "network_tx_rate", disk_read: "disk_read_rate", disk_write: "disk_write_rate"};
        for (const [name, {value, angle}] of Object.entries(this.flows)) {
            const said = say(vm, name);
            const total = vm.value(TOTALS[name]);
            setText(value, said.text);
            setAttr(value, "title", total === null ? said.exact : `${said.exact}; ${format.bytes(total)} in all`);
            setText(angle, said.value === null ? "" : format.degrees(vm.value(angles[name])));
        }
    }
}

/** Columns of the table: what each is sorted by, its head, its text. */
export const COLUMNS = [
    {sort: "name", label: "VM"},
    {sort: "id", label: "ID"},
    {sort: "state", label: "State"},
    {sort: "host", label: "Host", text: (vm) => vm.data.host},
    {sort: "owner", label: "Owner", text: (vm) => vm.data.uname ?? ""},
    {sort: "vcpus", label: "vCPUs", text: (vm) => String(vm.data.cpu_count), number: true},
    {sort: "size", label: "Size", text: (vm) => format.kib(vm.data.memory_max), number: true},
    ...["cpu", "steal", "memory", "disk_read", "disk_write", "iops", "latency", "rx", "tx", "drops"].map(
        (figure) => ({sort: figure, label: FIGURES[figure].label, figure, number: true})),
];

export class Line {
    constructor(context) {
        this.context = context;
        this.link = el("a", {});
        this.badge = new Badge();
        this.cells = COLUMNS.map(({figure, number}) => el("span", {role: "cell", class: number ? "number" : null, "data-figure": figure}));
        this.cells[0].append(this.link);
        this.cells[2].append(this.badge.element);
        this.element = el("div", {class: "line", role: "row"}, ...this.cells);
    }

    show(vm, index) {
        setAttr(this.element, "data-vm-id", vm.id);
        setAttr(this.element, "data-standing", vm.standing);
        setAttr(this.element, "aria-rowindex", index + 2);
        setAttr(this.link, "href", hrefOf(vm));
        setText(this.link, vm.title);
        setAttr(this.link, "title", `${vm.title} (${vm.data.name})`);
        setText(this.cells[1], String(vm.id));
        this.badge.set(vm.data.state, vm.standing, STANDINGS[vm.standing]);
        COLUMNS.forEach((column, i) => this.#showCell(vm, column, this.cells[i]));
    }

    #showCell(vm, {text, figure}, cell) {
        if (text)
            setText(cell, text(vm));
        if (!figure)
            return;
        const said = say(vm, figure), level = said.value === null ? 0 : vm.level(figure);
        setText(cell, level ? `${mark(level)[0]} ${said.text}` : said.text);
        setAttr(cell, "title", level ? `${mark(level).slice(2)}: ${said.exact}` : said.exact);
        setAttr(cell, "data-level", level || null);
    }
}
