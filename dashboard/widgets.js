// SPDX-License-Identifier: Apache-2.0
// Half-ring gauges, sparklines, badges.
import {el, setAttr, setText, svg} from "./dom.js";

const ARC = "M 8 48 A 42 42 0 0 1 92 48";
const SHAPES = {ok: "●", warming_up: "◔", stale: "◌", missing: "○", locked: "■", ended: "✕"};
const MARKS = ["", "▲ high", "◆ critical"];

/** A half ring from 0 to 100 % of a scale. set({part, level, value, exact, rate, scale}): part 0 to 1, or null where
 * there is no number; value and rate are texts; soft: it is no fault to be full. */
export class Gauge {
    constructor(name, label) {
        this.arc = svg("path", {d: ARC, class: "arc", pathLength: 100, "stroke-dasharray": "0 100"});
        this.value = el("span", {class: "value", "data-figure": name});
        this.mark = el("span", {class: "mark"});
        this.rate = el("span", {class: "rate"});
        this.scale = el("span", {class: "scale"});
        this.element = el("div", {class: "gauge"},
            svg("svg", {viewBox: "0 0 100 54", "aria-hidden": "true"}, svg("path", {d: ARC, class: "track"}), this.arc),
            this.value, el("span", {class: "label"}, label), this.mark, this.rate, this.scale);
    }

    set({part, level, value, exact, rate, rateExact, scale, soft}) {
        const filled = part === null ? 0 : Math.min(Math.max(part, 0), 1) * 100;
        setAttr(this.arc, "stroke-dasharray", `${filled.toFixed(1)} 100`);
        setAttr(this.element, "data-level", level);
        setAttr(this.element, "data-soft", soft ? "" : null);
        setText(this.value, value);
        setAttr(this.value, "title", exact);
        setText(this.mark, MARKS[level]);
        setText(this.rate, rate);
        setAttr(this.rate, "title", rateExact);
        setText(this.scale, scale);
    }
}

/** The mark of a level, for tables. */
export function mark(level) {
    return MARKS[level];
}

/** What a VM does and what its figures are worth, in a shape and in words. */
export class Badge {
    constructor() {
        this.element = el("span", {class: "badge"});
    }

    /** lcm: OpenNebula's state of its life cycle, which is said where it adds something. */
    set(state, standing, words, lcm) {
        const known = standing === "ok" ? state : state === "running" ? words : `${state}, ${words}`;
        const text = !lcm || lcm === "RUNNING" || lcm === "LCM_INIT" ? known : `${known} · ${lcm}`;
        setAttr(this.element, "data-standing", standing);
        const shape = standing === "ok" && state !== "running" ? "‖" : SHAPES[standing] ?? "●";
        setAttr(this.element, "data-state", state);
        setText(this.element, `${shape} ${text}`);
    }
}

const WIDTH = 2000, HEIGHT = 280, MARGIN = 10; // of a sparkline, in units of its own

/** CPU of the last minutes. Time runs evenly, 0 to 100 % upwards. */
export class Spark {
    constructor() {
        this.line = svg("polyline", {class: "line"});
        this.span = el("span", {class: "span"});
        this.element = el("div", {class: "spark"},
            svg("svg", {viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true"}, this.line), this.span);
    }

    set(trail) {
        const n = trail.length, first = n && trail.time(0), last = n && trail.time(n - 1);
        const scale = last > first ? WIDTH / (last - first) : 0;
        let points = "";
        for (let i = 0; i < n; i++) {
            const x = Math.round((trail.time(i) - first) * scale), value = Math.min(Math.max(trail.value(i), 0), 100);
            points += `${x},${Math.round(HEIGHT - MARGIN - value / 100 * (HEIGHT - 2 * MARGIN))} `;
        }
        setAttr(this.line, "points", points);
        const minutes = (last - first) / 60000;
        setText(this.span, minutes >= 1 ? `CPU, ${Math.round(minutes)} min` : minutes > 0 ? `CPU, ${Math.round(minutes * 60)} s` : "");
    }
}
