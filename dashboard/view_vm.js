// SPDX-License-Identifier: Apache-2.0
// One VM in depth: what it is, its figures over time, its devices, what happened to it.
import {getHistory, getJson, getText, hasToken, isHistoryKept, url} from "./api.js";
import {Chart, CHARTS} from "./charts.js";
import {deviceTable, IDENTITY, memorySource, TABLES} from "./devices.js";
import {el, notice, setAttr, setText, timeElement, toggle} from "./dom.js";
import * as format from "./format.js";
import {LiveFacts} from "./live_table.js";
import {STANDINGS, standingOf} from "./standing.js";
import {canMove, fixed, MOVES, RANGES, spanOf} from "./timespan.js";
import {Badge} from "./widgets.js";

const POINTS = 600;
const EVENTS_MOST = 200;
const STATS_MS = 2000;
const HISTORY_MS = [5000, 60000]; // a point more seldom than that changes no picture
const MOVE_LABELS = {earlier: "← Earlier", later: "Later →", closer: "+ Zoom in", wider: "− Zoom out"};
/** The history keeps the figure only: of a line's older points nobody knows. */
const MEMORY_SOURCES = {
    guest: "now the guest's own; of earlier points the balloon's is possible",
    balloon: "now the balloon's, what it was given; of earlier points the guest's own is possible",
};

/** OpenNebula's state of the life cycle says more than ACTIVE, and nothing of another state. */
function stateWord(state, lcm) {
    return state === "ACTIVE" && lcm ? lcm : state;
}

/** What is said of an event besides its state. */
function circumstances({previous_state: state, previous_lcm_state: lcm, reason, host}) {
    return [state && `before: ${stateWord(state, lcm)}`, reason, host && `on ${host}`].filter(Boolean).join(", ");
}

function describe(event) {
    return `${format.bothClocks(event.time)} ${stateWord(event.state, event.lcm_state)} ${circumstances(event)}`;
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

export class VmView {
    constructor(app, query, id) {
        Object.assign(this, {app, query, id, generation: 0});
        this.badge = new Badge();
        this.title = el("h2", {}, `VM ${id}`);
        this.none = el("div", {});
        this.trouble = el("p", {class: "trouble", role: "alert", hidden: true}); // why nothing newer is known
        this.age = el("p", {class: "trouble", hidden: true});
        this.identity = new LiveFacts("Identity", IDENTITY);
        this.said = el("span", {role: "status"});
        this.tables = Object.keys(TABLES).map((name) => ({name, table: deviceTable(name)}));
        this.now = el("div", {hidden: true}, this.identity.list, this.#makeActions());
        this.devices = el("div", {hidden: true}, ...this.tables.map(({table}) => table.element));
        this.past = el("div", {}, this.#makeRanges(), this.#makeCharts());
        this.eventList = el("section", {class: "events"});
        this.element = el("div", {class: "vm"},
            el("nav", {class: "back"}, el("a", {href: app.fleetHref}, "← all VMs")),
            el("header", {}, this.title, this.badge.element), el("div", {}, this.none, this.trouble), this.age, this.now, this.past, this.devices, this.eventList);
        this.dark = matchMedia("(prefers-color-scheme: dark)");
        this.ondark = () => this.charts.forEach(({chart}) => chart.restyle());
        this.dark.addEventListener("change", this.ondark);
        requestAnimationFrame(() => this.generation === 0 && this.setQuery(this.query)); // once it has a width
    }

    end() {
        this.generation = Infinity;
        this.dark.removeEventListener("change", this.ondark);
        for (const {chart} of this.charts)
            chart.end();
    }

    // --- what the page consists of ---

    #makeActions() {
        const href = url(`api/telemetry/vm-stats/${this.id}`);
        return el("p", {class: "actions"}, el("a", {href, onclick: (event) => this.#openJson(event)}, "JSON"),
            el("button", {type: "button", onclick: () => this.#copy()}, "Copy as line protocol"), this.said);
    }

    #makeRanges() {
        this.ranges = Object.keys(RANGES).map((range) => el("button", {type: "button", "data-range": range,
            onclick: () => this.#go({range})}, range));
        this.moves = Object.keys(MOVES).map((move) => el("button", {type: "button", "data-move": move,
            onclick: () => this.#move(move)}, MOVE_LABELS[move]));
        this.spanText = el("span", {class: "count"});
        return el("div", {class: "toolbar ranges", role: "group", "aria-label": "Time shown"}, ...this.ranges, ...this.moves, this.spanText);
    }

    #makeCharts() {
        const asked = {onzoom: (from, to) => this.#go(fixed(from, to)), describe};
        this.charts = CHARTS.map((spec) => {
            const host = el("div", {class: "plot", tabindex: 0, role: "group",
                "aria-label": `${spec.title} over time. Left and right move the crosshair, plus and minus zoom.`,
                onkeydown: (event) => this.#chartKey(event)});
            const source = el("span", {class: "scale"}), empty = el("p", {class: "none"}), summary = el("p", {class: "summary"});
            const element = el("section", {class: "chart", "data-chart": spec.title}, el("h3", {}, spec.title, " ", source), summary, host, empty);
            return {spec, element, source, empty, summary, chart: new Chart(spec, host, asked)};
        });
        return el("div", {class: "charts"}, ...this.charts.map(({element}) => element));
    }

    // --- which time is looked at ---

    /** Goes there, so that the browser's Back leads back. */
    #go(query) {
        location.hash = `${location.hash.split("?")[0]}?${new URLSearchParams(query)}`;
    }

    #move(name) {
        if (canMove(name, this.query))
            this.#go(MOVES[name](this.query));
    }

    #chartKey(event) {
        const move = {"+": "closer", "-": "wider"}[event.key];
        if (!move || event.ctrlKey || event.metaKey || event.altKey)
            return;
        this.#move(move);
        event.preventDefault();
    }

    setQuery(query) {
        this.query = query;
        this.generation++;
        this.#showSpan();
        this.unknown = false;
        this.#keepUp(this.generation, () => this.#loadPast(), () => Math.min(Math.max(this.length / POINTS * 1000, HISTORY_MS[0]), HISTORY_MS[1]));
        this.#keepUp(this.generation, () => this.#loadStats(), () => Math.max(this.app.interval, STATS_MS));
    }

    #showSpan() {
        const {from, to, range} = spanOf(this.query);
        this.length = to - from;
        for (const button of this.ranges)
            button.setAttribute("aria-pressed", String(button.dataset.range === range));
        for (const button of this.moves)
            button.setAttribute("aria-disabled", String(!canMove(button.dataset.move, this.query)));
    }

    /** Again and again, as long as this is what is looked at and the VM is known. */
    async #keepUp(generation, load, pause) {
        for (let first = true; generation === this.generation && !this.unknown; first = false) {
            if (first || (!this.app.paused && !document.hidden))
                await load();
            await new Promise((resolve) => setTimeout(resolve, pause()));
        }
    }

    // --- its past ---

    async #loadPast() {
        const generation = this.generation, {from, to} = spanOf(this.query);
        const time = `from=${Math.floor(from)}&to=${Math.ceil(to)}`;
        await Promise.all([this.#loadEvents(generation, time), this.#loadHistory(generation, time, [from, to])]);
    }

    async #loadEvents(generation, time) {
        try {
            const {events} = await getJson(`api/telemetry/events?vm_id=${this.id}&${time}&limit=${EVENTS_MOST}`);
            if (generation === this.generation)
                this.#showEvents(events);
        } catch (error) {
            if (generation === this.generation)
                this.#fillEvents(error.message, () => el("p", {class: "trouble"}, `not known: ${error.message}`));
        }
    }

    async #loadHistory(generation, time, span) {
        const metrics = CHARTS.flatMap(({series}) => series.map(([name]) => name)).join(",");
        const step = this.length > 3600 ? `&step=${Math.ceil(this.length / POINTS)}s` : "";
        try {
            const kept = await isHistoryKept();
            const answer = kept && await getHistory(this.id, `metric=${metrics}&${time}${step}`);
            if (generation !== this.generation)
                return;
            this.#showKept(kept);
            if (kept)
                this.#showHistory(answer, span);
        } catch (error) {
            if (generation === this.generation)
                this.#saySpan(`no history: ${error.message}`);
        }
    }

    /** Without a history there is no chart; of which time events are listed is still to be chosen. */
    #showKept(kept) {
        for (const {element} of this.charts)
            toggle(element, !kept);
        if (!kept)
            this.#saySpan("no history is kept ([history] enabled = no): there are no charts");
    }

    /** until: a time in it. */
    #saySpan(text, until = null) {
        setText(this.spanText, text);
        setAttr(this.spanText, "title", until);
    }

    #showHistory(answer, span) {
        const {range} = spanOf(this.query), step = answer.step_seconds;
        const points = step > 0 ? `, a point every ${format.span(step)}: mean, lowest and highest` : "";
        const until = range ? null : new Date(span[1] * 1000).toISOString();
        this.#saySpan(`${range ? "the last " : ""}${format.span(this.length)}${until ? ` until ${format.clock(until)}` : ""}, `
            + `${answer.tier ?? answer.source}${points}; drag to zoom`, until);
        for (const {spec, chart, empty, summary} of this.charts) {
            chart.set(answer, span);
            setText(summary, chart.summary());
            setAttr(summary, "title", chart.summary((value) => format.exact(value, spec.unit)) || null);
            setText(empty, chart.isEmpty ? "nothing kept of this time" : "");
        }
    }

    #showEvents(events) {
        const line = (event) => el("li", {}, timeElement(event.time, format.clock(event.time)), " ",
            el("strong", {}, stateWord(event.state, event.lcm_state)), ` ${circumstances(event)}`);
        this.#fillEvents(JSON.stringify(events), () => {
            for (const {chart} of this.charts)
                chart.setEvents(events);
            return events.length === 0 ? el("p", {class: "none"}, "none in this time") : el("ul", {}, ...events.map(line));
        });
    }

    /** Anew where it is something else that is to be said: somebody may have selected some of it. */
    #fillEvents(what, make) {
        if (what === this.shownEvents)
            return;
        this.shownEvents = what;
        this.eventList.replaceChildren(el("h3", {}, "Events"), make());
    }

    // --- how it is now ---

    async #loadStats() {
        const generation = this.generation;
        try {
            const vm = await getJson(`api/telemetry/vm-stats/${this.id}`);
            if (generation === this.generation)
                this.#show(vm);
        } catch (error) {
            if (generation !== this.generation)
                return;
            if (error.status === 404)
                this.#showUnknown(error.message);
            else
                this.#showTrouble(error.message);
        }
    }

    #showTrouble(text) {
        setText(this.trouble, text);
        toggle(this.trouble, !text);
    }

    #showUnknown(why) {
        this.unknown = true;
        this.#showTrouble("");
        this.none.replaceChildren(notice("There is no such VM", why, el("a", {href: this.app.fleetHref}, "All VMs")));
        this.unknownSince = performance.now();
        for (const part of [this.age, this.now, this.past, this.devices, this.eventList])
            part.hidden = true;
    }

    #show(vm) {
        const standing = standingOf({...vm, locked: vm.metrics.locked});
        const name = vm.metrics.vm_name || vm.name;
        setText(this.title, name);
        document.title = `${name} – one-telemetry`;
        this.badge.set(vm.metrics.state, standing, standing === "ended" ? `ended ${format.clock(vm.ended)}` : STANDINGS[standing],
                       vm.one_lcm_state);
        setAttr(this.badge.element, "title", vm.ended);
        this.none.replaceChildren();
        this.#showTrouble("");
        this.#showAge(vm, standing);
        for (const part of [this.now, this.past, this.devices, this.eventList])
            toggle(part, false);
        this.identity.set({...vm, standing});
        for (const {spec, source} of this.charts)
            setText(source, spec.source ? MEMORY_SOURCES[memorySource(vm)] ?? "" : "");
        for (const {name: table, table: shown} of this.tables)
            shown.set(vm[table], standing);
    }

    /** What the figures are worth, where they are not just those of now. That it has ended is no alarm. */
    #showAge(vm, standing) {
        const age = `Figures are ${format.span(vm.sample_age_seconds)} old`;
        setText(this.age, {
            ok: "", warming_up: "The first sample since it began to run: rates come with the next.",
            locked: "A job holds the VM: what is known of its disks and memory is from before it.",
            stale: `${age}: stale.`, missing: "It runs, but no figures of it have come.",
            ended: `The VM has ended${vm.timestamp ? `; ${age.toLowerCase()}` : ""}.`,
        }[standing] ?? standing);
        const saysAge = standing === "stale" || (standing === "ended" && vm.timestamp);
        setAttr(this.age, "title", saysAge ? format.exact(vm.sample_age_seconds, "s") : null);
        this.age.className = standing === "stale" || standing === "missing" ? "trouble" : "hint";
        toggle(this.age, standing === "ok");
    }

    // --- what one may take along ---

    /** The browser sends no token along when it follows a link, so the answer is fetched, and shown as that would be. */
    async #openJson(event) {
        if (!hasToken() || event.ctrlKey || event.metaKey || event.shiftKey)
            return;
        event.preventDefault();
        try {
            const text = await getText(`api/telemetry/vm-stats/${this.id}`);
            location.assign(URL.createObjectURL(new Blob([text], {type: "application/json"})));
        } catch (error) {
            setText(this.said, `not fetched: ${error.message}`);
        }
    }

    async #copy() {
        try {
            const text = await getText(`api/telemetry/vm-stats/${this.id}?format=line`);
            setText(this.said, await copy(text) ? "copied" : "this browser lets no page copy");
        } catch (error) {
            setText(this.said, `not copied: ${error.message}`);
        }
    }

    /** News of the fleet: perhaps there is something now of a VM that was not known. */
    update() {
        if (this.unknown && this.app.fleet.vms.get(Number(this.id))?.received > this.unknownSince)
            this.setQuery(this.query);
    }

    key(event) {
        if (event.key === "Escape")
            location.hash = this.app.fleetHref;
    }
}
