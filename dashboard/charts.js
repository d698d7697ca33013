// SPDX-License-Identifier: Apache-2.0
// Charts of one VM over time, by uPlot (dashboard/uPlot.iife.min.js, a classic script). All of a page share the crosshair.
import {el, setText} from "./dom.js";
import * as format from "./format.js";
import {columnsOf, extremes, isolated, runs} from "./series.js";

const HEIGHT = 170;   // pixels; this and all other sizes where the page's text is as large as usual
const USUAL_TEXT = 15;
const BINARY_STEPS = Array.from({length: 50}, (_, i) => 2 ** i); // round ones, in bytes
const COLOURS = ["--series-1", "--series-2"];
const NEAR = 8;       // pixels from the mark of an event at which its name is shown
const DRAGGED = 5;    // pixels that make a drag of a click
const DAY = 86400;

/** What is drawn. range: fixed; binary: bytes; source: where the figure comes from is said beside the title. */
export const CHARTS = [
    {title: "CPU and steal", text: format.percent, unit: "%", range: [0, 100],
     series: [["cpu_usage_percent", "CPU"], ["cpu_steal_percent", "steal"]]},
    {title: "Memory", text: format.percent, unit: "%", range: [0, 100], source: true, series: [["memory_usage_percent", "used"]]},
    {title: "Disk throughput", text: format.byteRate, unit: "bytes/s", binary: true,
     series: [["disk_rd_bytes_per_sec", "read"], ["disk_wr_bytes_per_sec", "write"]]},
    {title: "Disk requests", text: format.perSecond, unit: "requests/s",
     series: [["disk_rd_req_per_sec", "read"], ["disk_wr_reqs_per_sec", "write"]]},
    {title: "Disk latency", text: format.milliseconds, unit: "ms",
     series: [["disk_rd_latency_ms", "read"], ["disk_wr_latency_ms", "write"]]},
    {title: "Network", text: format.byteRate, unit: "bytes/s", binary: true,
     series: [["net_rxbytes_per_sec", "RX"], ["net_txbytes_per_sec", "TX"]]},
    {title: "Packets dropped", text: format.perSecond, unit: "packets/s",
     series: [["net_rxdrops_per_sec", "RX"], ["net_txdrops_per_sec", "TX"]]},
];

function colour(name) {
    return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

/** How much larger the page's text is than usual: a wall screen has it so. */
function textScale() {
    return parseFloat(getComputedStyle(document.documentElement).fontSize) / USUAL_TEXT;
}

/** Times along the axis as the viewer's language has them; the day below the first of each day. */
function axisTimes(ticks, step) {
    const hour = {hour: "numeric", minute: "2-digit", ...(step < 60 ? {second: "2-digit"} : {})};
    const clock = new Intl.DateTimeFormat(undefined, hour), day = new Intl.DateTimeFormat(undefined, {month: "short", day: "numeric"});
    const days = ticks.map((tick) => day.format(tick * 1000));
    if (step >= DAY)
        return days;
    return ticks.map((tick, i) => `${clock.format(tick * 1000)}${days[i] === days[i - 1] ? "" : `\n${days[i]}`}`);
}

/** Where the crosshair stands. */
function crosshairTime(time) {
    return time === null ? format.UNKNOWN : format.bothClocks(new Date(time * 1000).toISOString());
}

/** From the lowest to the highest of what a point stands for. */
function drawBand(plot, times, {low, high}, fill) {
    const {ctx} = plot;
    ctx.fillStyle = ctx.strokeStyle = fill;
    const at = (i, values) => [plot.valToPos(times[i], "x", true), plot.valToPos(values[i], "y", true)];
    for (const [first, last] of runs(high)) {
        ctx.beginPath();
        for (let i = first; i <= last; i++)
            ctx.lineTo(...at(i, high));
        for (let i = last; i >= first; i--)
            ctx.lineTo(...at(i, low));
        ctx.closePath();
        ctx.fill();
        ctx.stroke();
    }
}

function clipped(plot, draw) {
    const {ctx, bbox} = plot;
    ctx.save();
    ctx.beginPath();
    ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
    ctx.clip();
    draw(ctx, bbox);
    ctx.restore();
}

export class Chart {
    /** onzoom(from, to): seconds since 1970. describe(event): what is said of an event when the crosshair is at its mark. */
    constructor(spec, host, {onzoom, describe}) {
        Object.assign(this, {spec, host, onzoom, describe, events: [], span: null, columns: null});
        this.name = el("div", {class: "event-name", hidden: true});
        this.resize = new ResizeObserver(() => this.#resized());
        this.resize.observe(host);
        host.addEventListener("keydown", (event) => this.#key(event));
    }

    end() {
        this.resize.disconnect();
        this.plot?.destroy();
        this.plot = null;
    }

    set(answer, span) {
        this.columns = columnsOf(answer, this.spec.series.map(([name]) => name));
        this.span = span;
        this.plot ??= this.#make();
        this.#fill();
    }

    setEvents(events) {
        this.events = events;
        this.plot?.redraw(false);
    }

    get isEmpty() {
        return this.columns.times.length === 0;
    }

    /** The same in words, for those who don't see the lines; write(number): how numbers are written. */
    summary(write = this.spec.text) {
        return this.spec.series.flatMap(([, label], i) => {
            const known = extremes(this.columns.series[i]);
            return known ? [`${label} ${write(known.last)}, at most ${write(known.most)}`] : [];
        }).join(" · ");
    }

    /** As the colours of the page are now. */
    restyle() {
        if (!this.plot)
            return;
        this.plot.destroy();
        this.plot = this.#make();
        this.#fill();
    }

    #resized() {
        if (this.scale === textScale())
            this.plot?.setSize({width: this.host.clientWidth, height: HEIGHT * this.scale});
        else
            this.restyle();
    }

    #fill() {
        const {times, series} = this.columns;
        this.plot.setData([times, ...series.map(({mean}) => mean)], false);
        this.plot.setScale("x", {min: this.span[0], max: this.span[1]});
    }

    #make() {
        const {spec} = this, line = colour("--line"), scale = this.scale = textScale();
        const font = `${Math.round(12 * scale)}px system-ui, sans-serif`; // uPlot takes no fraction
        const axis = {stroke: colour("--text-dim"), grid: {stroke: line, width: 1}, ticks: {stroke: line}, font};
        const plot = new uPlot({
            width: this.host.clientWidth, height: HEIGHT * scale,
            cursor: {sync: {key: "vm"}, drag: {x: true, y: false, setScale: false}, points: {size: 6}},
            legend: {live: true},
            scales: {x: {time: true}, y: {range: () => this.#yRange()}},
            axes: [{...axis, size: 50 * scale, space: 76 * scale, values: (_plot, ticks, _axis, _space, step) => axisTimes(ticks, step)},
                   {...axis, size: 84 * scale, space: 30 * scale, incrs: spec.binary ? BINARY_STEPS : undefined,
                    values: (_plot, ticks) => ticks.map((tick) => spec.text(tick))}],
            series: [{value: (_plot, time) => crosshairTime(time)}, ...spec.series.map(([, label], i) => this.#series(label, i))],
            hooks: {drawAxes: [(on) => this.#drawBands(on)], draw: [(on) => this.#drawEvents(on)],
                    setCursor: [(on) => this.#nameEvent(on)], setSelect: [(on) => this.#select(on)]},
        }, [[], ...spec.series.map(() => [])], this.host);
        plot.over.append(this.name);
        this.#touch(plot);
        return plot;
    }

    #series(label, i) {
        return {label, stroke: colour(COLOURS[i]), width: 1.5 * this.scale, dash: i ? [5, 3] : undefined, spanGaps: false,
                points: {show: false, size: 4 * this.scale, fill: colour(COLOURS[i]), filter: (plot) => isolated(plot.data[i + 1])},
                value: (_plot, value, _index, at) => this.#legend(i, value, at)};
    }

    /** The mean where the crosshair is, and between what its samples were. */
    #legend(i, value, at) {
        const {text} = this.spec, {low, high} = this.columns?.series[i] ?? {};
        if (value === null || value === undefined)
            return format.UNKNOWN;
        return high[at] > low[at] ? `${text(value)} (${text(low[at])} to ${text(high[at])})` : text(value);
    }

    #yRange() {
        const [low, high] = this.spec.range ?? [0, null];
        const most = Math.max(...(this.columns?.series ?? []).map((one) => extremes(one)?.most ?? 0));
        return [low, high ?? Math.max(most * 1.1, 1)];
    }

    #drawBands(plot) {
        if (this.columns) {
            clipped(plot, (ctx) => {
                ctx.globalAlpha = 0.25;
                this.columns.series.forEach((one, i) => drawBand(plot, this.columns.times, one, colour(COLOURS[i])));
            });
        }
    }

    /** Lines where something happened to the VM. */
    #drawEvents(plot) {
        clipped(plot, (ctx, bbox) => {
            ctx.strokeStyle = colour("--event");
            ctx.lineWidth = 2 * devicePixelRatio;
            ctx.setLineDash([4, 4]);
            for (const {time} of this.events) {
                const x = Math.round(plot.valToPos(Date.parse(time) / 1000, "x", true));
                ctx.beginPath();
                ctx.moveTo(x, bbox.top);
                ctx.lineTo(x, bbox.top + bbox.height);
                ctx.stroke();
            }
        });
    }

    #nameEvent(plot) {
        const left = plot.cursor.left ?? -1, distance = ({time}) => Math.abs(plot.valToPos(Date.parse(time) / 1000, "x") - left);
        const near = left < 0 ? [] : this.events.filter((event) => distance(event) <= NEAR).sort((a, b) => distance(a) - distance(b));
        this.name.hidden = near.length === 0;
        if (near.length === 0)
            return;
        setText(this.name, near.map(this.describe).join(" · "));
        const right = left > plot.over.clientWidth / 2;
        this.name.style.left = right ? "auto" : `${left + NEAR}px`;
        this.name.style.right = right ? `${plot.over.clientWidth - left + NEAR}px` : "auto";
    }

    // --- what is asked for by mouse, finger and keys ---

    #select(plot) {
        const {left, width} = plot.select;
        plot.setSelect({left: 0, width: 0, top: 0, height: 0}, false);
        if (width > DRAGGED)
            this.onzoom(plot.posToVal(left, "x"), plot.posToVal(left + width, "x"));
    }

    /** A finger does what the mouse does; uPlot knows the mouse only. Up and down the page scrolls (style.css). */
    #touch(plot) {
        const {over} = plot;
        let start = null;
        const place = ({clientX}) => Math.min(Math.max(clientX - over.getBoundingClientRect().left, 0), over.clientWidth);
        const show = (x) => {
            plot.setCursor({left: x, top: over.clientHeight / 2}, true, true);
            plot.setSelect({left: Math.min(start, x), width: Math.abs(x - start), top: 0, height: over.clientHeight}, false);
        };
        over.addEventListener("pointerdown", (event) => {
            if (event.pointerType === "mouse" || !event.isPrimary)
                return;
            over.setPointerCapture(event.pointerId);
            start = place(event);
            show(start);
        });
        over.addEventListener("pointermove", (event) => start === null || show(place(event)));
        over.addEventListener("pointerup", () => {
            if (start !== null)
                this.#select(plot);
            start = null;
        });
        over.addEventListener("pointercancel", () => {
            start = null;
            plot.setSelect({left: 0, width: 0, top: 0, height: 0}, false);
        });
    }

    /** Left and right move the crosshair from point to point, of all charts. */
    #key(event) {
        const step = {ArrowLeft: -1, ArrowRight: 1}[event.key], {times} = this.columns ?? {};
        if (!step || !times?.length || event.ctrlKey || event.altKey || event.metaKey)
            return;
        const now = this.plot.cursor.idx ?? (step < 0 ? times.length : -1);
        const next = Math.min(Math.max(now + step, 0), times.length - 1);
        this.plot.setCursor({left: this.plot.valToPos(times[next], "x"), top: this.plot.over.clientHeight / 2}, true, true);
        event.preventDefault();
    }
}
