// SPDX-License-Identifier: Apache-2.0
// What /diagnostic knows: who feeds the endpoint, where it sends, and what is wrong.
import {getJson, post} from "./api.js";
import {el, setText, toggle} from "./dom.js";
import * as format from "./format.js";
import {LiveFacts, LiveTable} from "./live_table.js";

const MARKS = {ok: "● ok", connected: "● connected", error: "◆ error", warning: "▲ warning", unknown: "○ unknown", stopped: "○ stopped"};

// --- values, see live_table.js ---

function status(value) {
    return value === undefined ? "" : {text: MARKS[value] ?? value, status: value};
}

/** How long ago by the endpoint's clock. */
function since(iso, now) {
    return iso ? {text: `${format.span((Date.parse(now) - Date.parse(iso)) / 1000)} ago`, time: iso} : "never";
}

function moment(iso) {
    return iso ? {text: format.clock(iso), time: iso} : "never";
}

function count(value) {
    return {text: format.count(value), title: Number.isFinite(value) ? String(value) : "not known"};
}

function bytes(value) {
    return {text: format.bytes(value), title: format.exact(value, "bytes")};
}

function milliseconds(value) {
    return {text: format.milliseconds(value), title: format.exact(value, "ms")};
}

function seconds(value, text = format.span(value)) {
    return {text, title: format.exact(value, "s")};
}

/** Signed, as a clock may be ahead. */
function skew(value) {
    return seconds(value, `${value < 0 ? "−" : ""}${Math.abs(value).toFixed(1)} s`);
}

/** What is wrong, and what to do about it; "" where nothing is. */
function trouble({error, advice}) {
    return [error, error && advice].filter(Boolean).join(" – ");
}

// --- tables ---

function text(label, get, about) {
    return {label, get, about};
}

function number(label, get, about) {
    return {label, get, about, kind: "number"};
}

const STATUS = text("Status", (part) => status(part.status));
const WRONG = {label: "What is wrong", kind: "wrong", get: trouble};

const CONNECTIONS = [
    text("Connection", ({uri}) => uri), STATUS, WRONG,
    number("VMs", ({vms}) => count(vms)), text("Last collection", (uri, {now}) => since(uri.last_collection, now)),
    number("Took", (uri) => uri.collections > 0 ? milliseconds(uri.collect_ms) : format.UNKNOWN), number("Collections", (uri) => count(uri.collections)),
    number("Errors", (uri) => count(uri.errors)),
    number("Left out", (uri) => count(uri.left_out), "domains whose name is not one-<ID>"),
];

const HOSTS = [
    text("Host", ({host}) => host), text("Source", ({source}) => source), STATUS, WRONG,
    number("VMs", ({vms}) => count(vms)), text("Last sample", (host, {now}) => since(host.last_sample, now)),
    number("Every", (host) => host.interval_seconds > 0 ? seconds(host.interval_seconds) : format.UNKNOWN),
    number("Clock skew", (host) => skew(host.clock_skew_seconds), "how old its figures are when they come; below 0: its clock is ahead of the endpoint's"),
    number("Took", ({figures}) => milliseconds(figures.collect_ms), "how long its collection took"),
    number("Locked", ({figures}) => count(figures.locked), "VMs held by a job"),
    number("Without figures", ({figures}) => count(figures.missing), "VMs that libvirt lists and no call gave figures for"),
    number("Keys left out", ({figures}) => count(figures.dropped_keys), "of the message to OpenNebula, to keep it in its limit"),
    number("Batches waiting", ({figures}) => count(figures.spool_batches), "in the host's own spool"),
    number("Bytes waiting", ({figures}) => bytes(figures.spool_bytes), "in the host's own spool"),
    text("Version", ({figures}) => figures.version ?? format.UNKNOWN),
];

const SINKS = [
    {label: "Sink", get: (sink) => ({text: sink.name, title: sink.url})}, text("Type", ({type}) => type), STATUS,
    {...WRONG, get: wrongOfSink},
    number("Batches waiting", (sink) => count(sink.queued_batches)), number("Bytes waiting", (sink) => bytes(sink.queued_bytes)),
    number("Oldest", (sink) => sink.oldest_age_seconds === null ? "nothing waits" : seconds(sink.oldest_age_seconds)),
    text("Last success", (sink) => sink.last_success === undefined ? "" : moment(sink.last_success)),
    number("Lines sent", (sink) => count(sink.sent_lines)), number("Lines refused", (sink) => count(sink.rejected_lines)),
    number("Sent again", (sink) => count(sink.retried), "requests that had to be made again"),
    number("Batches dropped", (sink) => count(sink.dropped_batches), "by the queue's limits"),
    number("Batches damaged", (sink) => count(sink.bad_batches)),
];

const TIERS = [
    text("Tier", ({name}) => name), number("Rows", ({rows}) => count(rows), "of the file"),
    text("Oldest", ({oldest, rows}) => oldest ? moment(oldest) : rows > 0 ? "not looked up yet" : "none"),
];

function wrongOfSink(sink) {
    if (!(sink.failures > 0))
        return trouble(sink);
    const next = sink.next_attempt_seconds === null ? "" : `, next attempt in ${format.span(sink.next_attempt_seconds)}`;
    return `${trouble(sink) || sink.last_error}, ${format.count(sink.failures)} failed in a row${next}`;
}

/** Sinks, and what waits for those that there are no more. */
function sinksOf({forwarding}) {
    const strange = (queue) => ({...queue, type: "", status: "warning",
        error: queue.dropped_at_age_seconds === null ? "not configured any more: what waits stays"
            : `not configured any more: what waits goes when it is ${format.span(queue.dropped_at_age_seconds)} old`});
    return [...(forwarding?.sinks ?? []), ...(forwarding?.not_configured ?? []).map(strange)];
}

// --- facts ---

const COLLECTOR = [
    ["State", ({state}) => state.running ? "running" : "stopped"], ["Since", ({state, now}) => since(state.started_at, now)],
    ["Collections", ({state}) => count(state.total_collections)], ["Errors", ({state}) => count(state.total_errors)],
    ["Last", ({state, now}) => since(state.last_collection_time, now)],
    ["VMs it sees", ({state, told}) => count(state.running ? told.libvirt.reduce((sum, {vms}) => sum + vms, 0) : 0)],
];

const SPOOL = [
    ["Spool", ({told}) => told.spool && status(told.spool.status)],
    ["Spool: what is wrong", ({told}) => told.spool && trouble(told.spool)],
    ["Spool's place", ({told}) => told.forwarding?.spool],
    ["Forwarder", ({told}) => told.forwarder && status(told.forwarder.status)],
    ["Forwarder: what is wrong", ({told}) => told.forwarder && trouble(told.forwarder)],
];

const FEED = [
    ["Last sample", ({told, now}) => since(told.feed.last_sample, now)],
    ...Object.entries({
        samples: "Samples", vm_samples: "Samples of VMs", events: "Events", lines: "Lines", refused_lines: "Lines refused",
        foreign_lines: "Lines of other series", relayed_lines: "Lines passed on", returned_lines: "Lines that came back",
        relay_failures: "Failures to pass on", late: "Late", doubled: "Doubled", refused_vms: "VMs refused",
    }).map(([key, label]) => [label, ({told}) => count(told.feed[key])]),
];

/** Of the history's status, where there is a history. */
function kept(get) {
    return ({told}) => told.history ? get(told.history) : undefined;
}

const HISTORY = [
    ["History", ({told}) => told.history ? status(told.history.status) : "off"], ["What is wrong", kept(trouble)],
    ["Size", kept((history) => bytes(history.bytes))], ["Written", kept((history) => count(history.written))],
    ["Waiting", kept((history) => count(history.queued))], ["Dropped", kept((history) => count(history.dropped))],
    ["Not yet in a tier", kept((history) => count(history.pending))],
    ["Damaged file set aside", kept((history) => history.set_aside)],
];

const SELF = [
    ["Version", ({state}) => state.version], ["Up since", ({state}) => moment(state.up_since)],
    ["Configuration", ({told}) => told.config.file ?? "none, all is by default"], ["State directory", ({told}) => told.config.state_dir],
    ["Clock", ({told}) => status(told.clock.status)], ["Its time", ({now}) => moment(now)],
    ["What is wrong", ({told}) => trouble(told.clock)],
    ["This page's clock", ({now, asked}) => skew((asked - Date.parse(now)) / 1000)],
];

export class HealthView {
    constructor(app) {
        this.app = app;
        this.startButton = el("button", {type: "button", onclick: () => this.#control("start")}, "Start");
        this.stopButton = el("button", {type: "button", onclick: () => this.#control("stop")}, "Stop");
        this.said = el("p", {role: "status"});
        this.trouble = el("p", {class: "trouble", role: "alert", hidden: true});
        this.#makeParts();
        this.collector.element.append(el("p", {class: "actions"}, this.startButton, this.stopButton), this.said);
        this.sinks.element.append(this.spool.list);
        this.history.element.append(this.tiers.scroll);
        this.parts = el("div", {class: "parts"}, el("p", {class: "loading"}, "Loading…"));
        this.element = el("div", {class: "health"}, el("h2", {}, "Health"), this.trouble, this.parts);
        this.#keepUp();
    }

    #makeParts() {
        this.collector = new LiveFacts("Collector", COLLECTOR, "Built-in collector");
        this.connections = new LiveTable("libvirt", CONNECTIONS, {key: ({uri}) => uri, none: "no connection is configured"});
        this.hosts = new LiveTable("Hosts", HOSTS, {key: ({host, source}) => `${host}\n${source}`, none: "no host has sent anything yet"});
        this.sinks = new LiveTable("Sinks", SINKS, {key: ({name}) => name, none: "none is configured: nothing is passed on"});
        this.spool = new LiveFacts("Spool", SPOOL);
        this.feed = new LiveFacts("Feed", FEED, "What came in");
        this.history = new LiveFacts("History", HISTORY);
        this.tiers = new LiveTable("Tiers", TIERS, {key: ({name}) => name, none: ""});
        this.self = new LiveFacts("telemetryd", SELF);
    }

    end() {
        this.ended = true;
        clearTimeout(this.timer);
    }

    setQuery() {}
    update() {}
    key() {}

    async #keepUp() {
        if (!this.shown || (!this.app.paused && !document.hidden))
            await this.#load();
        if (!this.ended)
            this.timer = setTimeout(() => this.#keepUp(), Math.max(this.app.interval, 2000));
    }

    async #load() {
        try {
            const [told, state] = await Promise.all([getJson("api/telemetry/diagnostic"), getJson("api/telemetry/status")]);
            if (!this.ended)
                this.#show({told, state, now: told.clock.now, asked: Date.now()});
            this.trouble.hidden = true;
        } catch (error) {
            setText(this.trouble, error.message);
            this.trouble.hidden = false;
        }
    }

    /** context: both answers, the endpoint's time and this page's. */
    #show(context) {
        const {told, state} = context;
        this.#enable(state.running);
        this.collector.set(context);
        this.connections.set(told.libvirt, context);
        this.hosts.set(told.hosts, context);
        this.sinks.set(sinksOf(told), context);
        this.spool.set(context);
        toggle(this.spool.list, !told.spool && !told.forwarder);
        this.feed.set(context);
        this.history.set(context);
        this.tiers.set(Object.entries(told.history?.tiers ?? {}).map(([name, tier]) => ({name, ...tier})), context);
        this.self.set(context);
        if (!this.shown)
            this.parts.replaceChildren(...[this.collector, this.connections, this.hosts, this.sinks, this.feed, this.history,
                                           this.self].map(({element}) => element));
        this.shown = true;
    }

    /** The button that is left takes the focus of the one that is not. */
    #enable(running) {
        const focused = document.activeElement;
        this.startButton.disabled = running;
        this.stopButton.disabled = !running;
        if (focused === this.startButton && running)
            this.stopButton.focus();
        else if (focused === this.stopButton && !running)
            this.startButton.focus();
    }

    async #control(what) {
        try {
            setText(this.said, (await post(`api/telemetry/${what}`)).message);
        } catch (error) {
            setText(this.said, error.message);
            if (error.status === 401 || error.status === 403)
                this.app.askToken(`To ${what} the collector the write token is needed.`);
        }
        this.#load();
    }
}
