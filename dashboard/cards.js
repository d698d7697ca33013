// SPDX-License-Identifier: Apache-2.0
// A VM as a card, and as a line of the table.
import {el, setAttr, setText} from "./dom.js";
import * as format from "./format.js";
import {FIGURES} from "./fleet.js";
import {STANDINGS, unknownWord} from "./standing.js";
import {Badge, Gauge, mark, Spark} from "./widgets.js";

const FLOWS = {rx: "RX", tx: "TX", disk_read: "Read", disk_write: "Write"};
const TOTALS = {rx: "network_rx_bytes", tx: "network_tx_bytes", disk_read: "disk_read_bytes", disk_write: "disk_write_bytes"};
const POINT_RATES = {cpu: "cpu_per_sec", memory: "memory_per_sec"};

/** The text of a figure, or the word that takes its place. */
function say(vm, name) {
    const value = vm.figure(name);
    if (value !== null)
        return {value, text: FIGURES[name].text(value), exact: format.exact(value, FIGURES[name].unit)};
    const word = vm.instead(name);
    if (word === STANDINGS.locked)
        return {value, text: word, exact: "A job holds the VM: what is known is from before it"};
    const text = word ?? unknownWord(vm.standing);
    return {value, text, exact: `not known: ${text}`};
}

/** How a figure changes: the angle, and a percentage's points. (What a flow's angle is of is the flow.) */
function changeOf(vm, name) {
    const angle = vm.figure(`${name}_rate`), points = POINT_RATES[name] ? vm.value(POINT_RATES[name]) : null;
    if (angle === null)
        return {angle: "", text: "", exact: null};
    const text = format.degrees(angle);
    return {angle: text, text: points === null ? text : `${text} · ${format.pointRate(points)}`,
            exact: points === null ? `${angle}°` : `${angle}°, ${points} points of percent per second`};
}

/** Where memory_usage_percent comes from, if it is known. */
function sourceOf(vm) {
    return vm.figure("memory") === null ? null : vm.value("memory_source");
}

function vcpusOf(vm) {
    const count = vm.value("cpu_count");
    return {text: count === null ? format.UNKNOWN : String(count), exact: count === null ? "vCPUs: not known" : `${count} vCPUs`};
}

function sizeOf(vm) {
    const kib = vm.value("memory_max");
    return kib === null ? {text: format.UNKNOWN, exact: "memory: not known"} : {text: format.kib(kib), exact: `${kib} KiB`};
}

function showBadge(badge, vm) {
    badge.set(vm.data.state, vm.standing, STANDINGS[vm.standing], vm.data.one_lcm_state);
}

/** Judged figures that have no gauge on a card. */
const WITHOUT_GAUGE = ["steal", "latency", "drops"];

/** At the foot of a card: how old its figures are, or what else wants attention, with the highest level of it. */
function remarkOf(vm) {
    if (vm.standing === "stale")
        return {text: `last figures ${format.span(vm.age)} old`, exact: format.exact(Number(vm.age.toFixed(3)), "s"), level: 0};
    const wrong = WITHOUT_GAUGE.map((name) => ({label: FIGURES[name].label, level: vm.level(name), ...say(vm, name)}))
        .filter(({level}) => level > 0);
    return {text: wrong.map(({label, level, text}) => `${mark(level)[0]} ${label} ${text}`).join(" · "),
            exact: wrong.map(({label, exact}) => `${label} ${exact}`).join(", ") || null,
            level: Math.max(0, ...wrong.map(({level}) => level))};
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
        showBadge(this.badge, vm);
        const vcpus = vcpusOf(vm), size = sizeOf(vm);
        setText(this.facts, [`${vcpus.text} vCPU`, size.text, data.host, data.uname].filter(Boolean).join(" · "));
        setAttr(this.facts, "title", `${vcpus.exact}, ${size.exact}, host ${data.host}, owner ${data.uname || "not known"}`);
        this.#showGauges(vm);
        this.#showFlows(vm);
        this.spark.set(vm.trail);
        const remark = remarkOf(vm);
        setText(this.age, remark.text);
        setAttr(this.age, "title", remark.exact);
        setAttr(this.age, "data-level", remark.level || null);
        this.context.wantTrail(vm);
    }

    #showGauges(vm) {
        const scale = this.context.diskScale;
        const source = sourceOf(vm);
        const scaleText = {cpu: "of 100 %", disk: `of ${format.byteRate(scale)}`,
                           memory: source === null ? "of 100 %" : `of 100 %, ${source}`};
        const changes = {cpu: changeOf(vm, "cpu"), memory: changeOf(vm, "memory"), disk: {text: "", exact: null}};
        for (const [name, gauge] of Object.entries(this.gauges)) {
            const {value, text, exact} = say(vm, name);
            const whole = name === "disk" ? scale : 100;
            gauge.set({part: value === null ? null : value / whole, level: value === null ? 0 : vm.level(name), exact,
                       value: name === "disk" && value !== null ? format.percent(100 * value / whole) : text,
                       rate: name === "disk" && value !== null ? text : changes[name].text, rateExact: changes[name].exact,
                       scale: scaleText[name], soft: name === "memory" && source !== "guest"});
        }
    }

    #showFlows(vm) {
        for (const [name, {value, angle}] of Object.entries(this.flows)) {
            const said = say(vm, name), total = vm.value(TOTALS[name]), change = changeOf(vm, name);
            setText(value, said.text);
            setAttr(value, "title", total === null || vm.instead(name) ? said.exact : `${said.exact}; ${total} bytes in all`);
            setText(angle, change.angle);
            setAttr(angle, "title", change.exact);
        }
    }
}

const figureColumn = (figure, label) => ({sort: figure, label: label ?? FIGURES[figure].label, figure, number: true});

/** Columns of the table: what each is sorted by, its head, its text. */
export const COLUMNS = [
    {sort: "name", label: "VM"},
    {sort: "id", label: "ID", say: (vm) => ({text: String(vm.id), exact: vm.data.name})},
    {sort: "state", label: "State"},
    {sort: "host", label: "Host", say: (vm) => ({text: vm.data.host, exact: vm.data.host})},
    {sort: "owner", label: "Owner", say: (vm) => ({text: vm.data.uname ?? "", exact: vm.data.uname})},
    {sort: "vcpus", label: "vCPUs", say: vcpusOf, number: true},
    {sort: "size", label: "Size", say: sizeOf, number: true},
    figureColumn("cpu"), figureColumn("steal"), figureColumn("memory"), figureColumn("disk_read"), figureColumn("disk_write"),
    figureColumn("iops"), figureColumn("latency", "Latency"), figureColumn("rx"), figureColumn("tx"), figureColumn("drops"),
];

/** Where not all of them have room: figures before what a VM is. */
const NARROW = ["name", "cpu", "memory", "state", "steal", "latency", "drops", "rx", "tx", "disk_read", "disk_write", "iops", "id",
                "host", "owner", "vcpus", "size"];

/** In the order in which they stand: where they have little room, what the table is sorted by comes next to the name. */
export function columnsFor(sort, narrow) {
    const sorted = sort.replace(/_rate$/, "");
    const order = narrow ? [...new Set(["name", ...(NARROW.includes(sorted) ? [sorted] : []), ...NARROW])] : [];
    return narrow ? order.map((name) => COLUMNS.find((column) => column.sort === name)) : COLUMNS;
}

/** A cell with a figure: its text, and below it how it changes, and of memory where it comes from. */
class FigureCell {
    constructor(figure) {
        this.figure = figure;
        this.value = el("span", {class: "value", "data-figure": figure});
        this.change = FIGURES[`${figure}_rate`] ? el("span", {class: "angle"}) : null;
        this.element = el("span", {role: "cell", class: "number", "data-column": figure}, this.value, this.change);
    }

    show(vm) {
        const {figure} = this, said = say(vm, figure), level = vm.level(figure);
        setText(this.value, level ? `${mark(level)[0]} ${said.text}` : said.text);
        setAttr(this.value, "title", level ? `${mark(level).slice(2)}: ${said.exact}` : said.exact);
        setAttr(this.value, "data-level", level || null);
        if (!this.change)
            return;
        const {angle, exact} = changeOf(vm, figure), source = figure === "memory" ? sourceOf(vm) : null;
        setText(this.change, [source, angle].filter(Boolean).join(" "));
        setAttr(this.change, "title", exact);
    }
}

class TextCell {
    constructor({sort, say: text, number}) {
        this.text = text;
        this.element = el("span", {role: "cell", class: number ? "number" : null, "data-column": sort});
    }

    show(vm) {
        const {text, exact} = this.text(vm);
        setText(this.element, text);
        setAttr(this.element, "title", exact);
    }
}

class NameCell {
    constructor() {
        this.link = el("a", {});
        this.element = el("span", {role: "rowheader", "data-column": "name"}, this.link);
    }

    show(vm) {
        setAttr(this.link, "href", hrefOf(vm));
        setText(this.link, vm.title);
        setAttr(this.link, "title", `${vm.title} (${vm.data.name})`);
    }
}

class StateCell {
    constructor() {
        this.badge = new Badge();
        this.element = el("span", {role: "cell", "data-column": "state"}, this.badge.element);
    }

    show(vm) {
        showBadge(this.badge, vm);
        setAttr(this.element, "title", this.badge.element.textContent);
    }
}

const CELLS = {name: NameCell, state: StateCell};

export class Line {
    constructor(columns) {
        this.cells = columns.map((column) => column.figure ? new FigureCell(column.figure) : new (CELLS[column.sort] ?? TextCell)(column));
        this.element = el("div", {class: "line", role: "row"}, ...this.cells.map(({element}) => element));
    }

    show(vm, index) {
        setAttr(this.element, "data-vm-id", vm.id);
        setAttr(this.element, "data-standing", vm.standing);
        setAttr(this.element, "aria-rowindex", index + 2);
        for (const cell of this.cells)
            cell.show(vm);
    }
}
