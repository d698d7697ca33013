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
            this.value, el("span", {class: "label"}, label, this.mark), this.rate, this.scale);
    }

    set({part, level, value, exact, rate, rateExact, scale, soft}) {
        const filled = part === null ? 0 : Math.min(Math.max(part, 0), 1) * 100;
        setAttr(this.arc, "stroke-dasharray", `${filled.toFixed(1)} 100`);
        setAttr(this.element, "data-level", level);
        setAttr(this.element, "data-soft", soft ? "" : null);
        setText(this.value, value);
        setAttr(this.value, "title", exact);
        setText(this.mark, MARKS[level] && ` ${MARKS[level]}`);
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

    set(state, standing, words) {
        const text = standing === "ok" ? state : state === "running" ? words : `${state}, ${words}`;
        setAttr(this.element, "data-standing", standing);
        const shape = standing === "ok" && state !== "running" ? "‖" : SHAPES[standing] ?? "●";
        setAttr(this.element, "data-state", state);
        setText(this.element, `${shape} ${text}`);
    }
}

/** CPU of the last minutes. Time runs evenly, 0 to 100 % upwards. */
export class Spark {
    constructor() {
        this.line = svg("polyline", {class: "line"});
        this.span = el("span", {class: "span"});
        this.element = el("div", {class: "spark"},
            svg("svg", {viewBox: "0 0 200 28", preserveAspectRatio: "none", "aria-hidden": "true"}, this.line), this.span);
    }

    set(trail) {
        const points = [];
        const first = trail[0]?.[0], last = trail.at(-1)?.[0];
        for (const [time, value] of trail) {
            const x = last > first ? (time - first) / (last - first) * 200 : 200;
            points.push(`${x.toFixed(1)},${(27 - Math.min(Math.max(value, 0), 100) * 0.26).toFixed(1)}`);
        }
        setAttr(this.line, "points", points.join(" "));
        const minutes = last > first ? (last - first) / 60000 : 0;
        setText(this.span, minutes >= 1 ? `CPU, ${Math.round(minutes)} min` : minutes > 0 ? `CPU, ${Math.round(minutes * 60)} s` : "");
    }
}
