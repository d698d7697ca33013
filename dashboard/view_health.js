// SPDX-License-Identifier: Apache-2.0
// What /diagnostic knows: who feeds the endpoint, where it sends, and what is wrong.
import {getJson, post} from "./api.js";
import {el, setText, timeElement} from "./dom.js";
import * as format from "./format.js";

const MARKS = {ok: "● ok", connected: "● connected", error: "◆ error", warning: "▲ warning", unknown: "○ unknown", stopped: "○ stopped"};

function status(value) {
    return el("span", {class: "status", "data-status": value}, MARKS[value] ?? value);
}

/** The time, and how long ago that was by the endpoint's clock. */
function since(iso, now) {
    return iso ? timeElement(iso, `${format.span((Date.parse(now) - Date.parse(iso)) / 1000)} ago`) : "never";
}

function facts(...rows) {
    return el("dl", {class: "identity"}, ...rows.filter(Boolean).map(([label, value]) =>
        el("div", {}, el("dt", {}, label), el("dd", {}, ...(Array.isArray(value) ? value : [value ?? format.UNKNOWN])))));
}

function table(title, heads, rows, none) {
    const scroll = () => el("div", {class: "scroll", tabindex: 0, role: "region", "aria-label": title}, el("table", {},
        el("thead", {}, el("tr", {}, ...heads.map((head) => el("th", {scope: "col"}, head)))),
        el("tbody", {}, ...rows.map((row) => el("tr", {}, ...row.map((cell) => el("td", {}, cell ?? format.UNKNOWN)))))));
    return el("section", {class: "devices", "data-health": title}, el("h3", {}, title), rows.length ? scroll() : el("p", {class: "none"}, none));
}

/** Domains that run there and are not ours to tell of. */
function leftOut(n) {
    return n > 0 ? el("span", {title: "domains whose name is not one-<ID>"}, format.count(n)) : "0";
}

/** What is wrong, and what to do about it. */
function trouble(part) {
    return [part.error, part.advice].filter(Boolean).join(" – ") || "";
}

export class HealthView {
    constructor(app) {
        this.app = app;
        this.startButton = el("button", {type: "button", onclick: () => this.#control("start")}, "Start");
        this.stopButton = el("button", {type: "button", onclick: () => this.#control("stop")}, "Stop");
        this.said = el("p", {role: "status"});
        this.trouble = el("p", {class: "trouble", role: "alert", hidden: true});
        this.collector = el("div", {});
        this.parts = el("div", {class: "parts"}, el("p", {class: "loading"}, "Loading…"));
        this.element = el("div", {class: "health"}, el("h2", {}, "Health"), this.trouble,
            el("section", {class: "devices", "data-health": "Collector"}, el("h3", {}, "Built-in collector"), this.collector,
                el("p", {class: "actions"}, this.startButton, this.stopButton), this.said), this.parts);
        this.#keepUp();
    }

    end() {
        this.ended = true;
        clearTimeout(this.timer);
    }

    setQuery() {}
    update() {}
    key() {}

    async #keepUp() {
        if (!this.app.paused && !document.hidden)
            await this.#load();
        if (!this.ended)
            this.timer = setTimeout(() => this.#keepUp(), Math.max(this.app.interval, 2000));
    }

    async #load() {
        try {
            const [diagnostic, state] = await Promise.all([getJson("api/telemetry/diagnostic"), getJson("api/telemetry/status")]);
            if (!this.ended)
                this.#show(diagnostic, state);
            this.trouble.hidden = true;
        } catch (error) {
            setText(this.trouble, error.message);
            this.trouble.hidden = false;
        }
    }

    #show(diagnostic, state) {
        const now = diagnostic.clock.now;
        this.startButton.disabled = state.running;
        this.stopButton.disabled = !state.running;
        this.collector.replaceChildren(facts(
            ["State", state.running ? "running" : "stopped"], ["Since", since(state.started_at, now)],
            ["Collections", format.count(state.total_collections)], ["Errors", format.count(state.total_errors)],
            ["Last", since(state.last_collection_time, now)], ["VMs", format.count(state.vms_monitored)]));
        this.parts.replaceChildren(
            table("libvirt", ["Connection", "Status", "VMs", "Last collection", "Took", "Errors", "Left out", "What is wrong"], diagnostic.libvirt.map((uri) =>
                [uri.uri, status(uri.status), format.count(uri.vms), since(uri.last_collection, now), format.milliseconds(uri.collect_ms),
                 format.count(uri.errors), leftOut(uri.left_out), trouble(uri)]), "no connection is configured"),
            table("Hosts", ["Host", "Source", "Status", "VMs", "Last sample", "Every", "Clock skew", "What is wrong"], diagnostic.hosts.map((host) =>
                [host.host, host.source, status(host.status), format.count(host.vms), since(host.last_sample, now),
                 format.span(host.interval_seconds), `${host.clock_skew_seconds.toFixed(1)} s`, trouble(host)]), "no host has sent anything yet"),
            this.#sinks(diagnostic), this.#feed(diagnostic, now), this.#history(diagnostic, state, now));
    }

    #sinks({forwarding, spool, forwarder}) {
        const rows = (forwarding?.sinks ?? []).map((sink) => [
            sink.name, sink.type, status(sink.status ?? (sink.failures > 0 ? "error" : "ok")), format.count(sink.queued_batches),
            format.bytes(sink.queued_bytes), sink.oldest_age_seconds === null ? "nothing waits" : format.span(sink.oldest_age_seconds),
            sink.last_success ? timeElement(sink.last_success, format.clock(sink.last_success)) : "never",
            format.count(sink.rejected_lines), sink.failures > 0 ? `${trouble(sink) || sink.last_error}${sink.next_attempt_seconds === null
                ? "" : `, next attempt in ${format.span(sink.next_attempt_seconds)}`}` : trouble(sink)]);
        const sinks = table("Sinks", ["Sink", "Type", "Status", "Batches waiting", "Bytes waiting", "Oldest", "Last success", "Lines refused", "What is wrong"],
                            rows, "none is configured: nothing is passed on");
        if (spool)
            sinks.append(facts(["Spool", [status(spool.status), ` ${forwarding?.spool ?? ""}`]], spool.error && ["What is wrong", trouble(spool)],
                ["Forwarder", [status(forwarder.status)]], forwarder.error && ["What is wrong", trouble(forwarder)]));
        return sinks;
    }

    #feed({feed}, now) {
        return el("section", {class: "devices", "data-health": "Feed"}, el("h3", {}, "What came in"), facts(
            ["Last sample", since(feed.last_sample, now)], ["Samples", format.count(feed.samples)], ["Lines", format.count(feed.lines)],
            ["Lines refused", format.count(feed.refused_lines)], ["Lines passed on", format.count(feed.relayed_lines)], ["Lines that came back", format.count(feed.returned_lines)],
            ["Failures to pass on", format.count(feed.relay_failures)], ["VMs refused", format.count(feed.refused_vms)]));
    }

    #history({history, clock}, state, now) {
        return el("section", {class: "devices", "data-health": "History"}, el("h3", {}, "History and clock"), facts(
            ["History", history ? [status(history.status)] : "off"], history?.error && ["What is wrong", trouble(history)],
            history && ["Bytes", format.bytes(history.bytes)], history && ["Waiting", format.count(history.queued)], history && ["Dropped", format.count(history.dropped)],
            history?.set_aside && ["Damaged file set aside", history.set_aside],
            ["Clock", [status(clock.status), " ", timeElement(clock.now, format.clock(clock.now)), ` ${trouble(clock)}`]],
            ["This page's clock", `${((Date.now() - Date.parse(clock.now)) / 1000).toFixed(1)} s off`],
            ["Version", state.version], ["Up since", since(state.up_since, now)]));
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
