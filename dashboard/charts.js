// SPDX-License-Identifier: Apache-2.0
// Charts of one VM over time, by uPlot (dashboard/uPlot.iife.min.js, a classic script). All of a page share the crosshair.
import * as format from "./format.js";

const AXIS_HEIGHT = 170;
const BINARY_STEPS = Array.from({length: 50}, (_, i) => 2 ** i); // round ones, in bytes
const COLOURS = ["--series-1", "--series-2"];

/** What is drawn. range: fixed; binary: bytes; source: where the figure comes from is said beside the title. */
export const CHARTS = [
    {title: "CPU and steal", text: format.percent, range: [0, 100],
     series: [["cpu_usage_percent", "CPU"], ["cpu_steal_percent", "steal"]]},
    {title: "Memory", text: format.percent, range: [0, 100], source: true, series: [["memory_usage_percent", "used"]]},
    {title: "Disk throughput", text: format.byteRate, binary: true, series: [["disk_rd_bytes_per_sec", "read"], ["disk_wr_bytes_per_sec", "write"]]},
    {title: "Disk requests", text: format.perSecond, series: [["disk_rd_req_per_sec", "read"], ["disk_wr_reqs_per_sec", "write"]]},
    {title: "Disk latency", text: format.milliseconds, series: [["disk_rd_latency_ms", "read"], ["disk_wr_latency_ms", "write"]]},
    {title: "Network", text: format.byteRate, binary: true, series: [["net_rxbytes_per_sec", "RX"], ["net_txbytes_per_sec", "TX"]]},
    {title: "Packets dropped", text: format.perSecond, series: [["net_rxdrops_per_sec", "RX"], ["net_txdrops_per_sec", "TX"]]},
];

function colour(name) {
    return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

/** The series of an answer of /history as uPlot has them: times in seconds, and a value or null for each of them. Where
 * there is nothing for three steps the line is broken. */
export function columnsOf(answer, names) {
    const found = names.map((name) => answer.series.find(({metric, field}) => metric === name || field === name)?.points ?? []);
    const times = new Set();
    for (const points of found) {
        for (const [time] of points)
            times.add(Date.parse(time) / 1000);
    }
    const gap = Math.max(answer.step_seconds * 3, 1);
    const sorted = [...times].sort((a, b) => a - b), x = [];
    for (const time of sorted) {
        if (x.length > 0 && answer.step_seconds > 0 && time - x.at(-1) > gap)
            x.push(x.at(-1) + answer.step_seconds);
        x.push(time);
    }
    return [x, ...found.map((points) => {
        const at = new Map(points.map(([time, mean]) => [Date.parse(time) / 1000, mean]));
        return x.map((time) => at.get(time) ?? null);
    })];
}

/** Lines where something happened to the VM. */
function eventMarks(chart) {
    return {
        hooks: {
            draw: [(plot) => {
                const {ctx, bbox} = plot;
                ctx.save();
                ctx.strokeStyle = colour("--event");
                ctx.setLineDash([4, 4]);
                for (const {time} of chart.events) {
                    const x = Math.round(plot.valToPos(Date.parse(time) / 1000, "x", true));
                    if (x < bbox.left || x > bbox.left + bbox.width)
                        continue;
                    ctx.beginPath();
                    ctx.moveTo(x, bbox.top);
                    ctx.lineTo(x, bbox.top + bbox.height);
                    ctx.stroke();
                }
                ctx.restore();
            }],
        },
    };
}

export class Chart {
    /** onzoom(from, to): seconds since 1970. */
    constructor(spec, host, onzoom) {
        Object.assign(this, {spec, host, onzoom, events: [], span: null});
        this.resize = new ResizeObserver(() => this.plot?.setSize({width: host.clientWidth, height: AXIS_HEIGHT}));
        this.resize.observe(host);
    }

    end() {
        this.resize.disconnect();
        this.plot?.destroy();
        this.plot = null;
    }

    set(answer, events, span) {
        const data = columnsOf(answer, this.spec.series.map(([name]) => name));
        this.events = events;
        this.span = span;
        this.plot ??= this.#make();
        this.plot.setData(data, false);
        this.plot.setScale("x", {min: span[0], max: span[1]});
        this.isEmpty = data[0].length === 0;
    }

    /** The same in words, for those who don't see the lines. */
    summary() {
        const {data} = this.plot;
        return this.spec.series.flatMap(([, label], i) => {
            const known = data[i + 1].filter((value) => value !== null);
            return known.length ? [`${label} ${this.spec.text(known.at(-1))}, at most ${this.spec.text(Math.max(...known))}`] : [];
        }).join(" · ");
    }

    /** As the colours of the page are now. */
    restyle() {
        const {data} = this.plot ?? {};
        if (!data)
            return;
        this.plot.destroy();
        this.plot = this.#make();
        this.plot.setData(data, false);
        this.plot.setScale("x", {min: this.span[0], max: this.span[1]});
    }

    #make() {
        const {spec} = this, axis = {stroke: colour("--text-dim"), grid: {stroke: colour("--line"), width: 1}, ticks: {stroke: colour("--line")}};
        const [low, high] = spec.range ?? [0, null];
        return new uPlot({
            width: this.host.clientWidth, height: AXIS_HEIGHT,
            cursor: {sync: {key: "vm"}, drag: {x: true, y: false, setScale: false}, points: {size: 6}},
            legend: {live: true},
            scales: {x: {time: true}, y: {range: (_plot, _min, max) => [low, high ?? Math.max(max * 1.1, 1)]}},
            axes: [axis, {...axis, size: 84, incrs: spec.binary ? BINARY_STEPS : undefined, values: (_plot, ticks) => ticks.map((tick) => spec.text(tick))}],
            series: [{value: (_plot, time) => time === null ? format.UNKNOWN : format.clock(new Date(time * 1000).toISOString())},
                     ...spec.series.map(([, label], i) => ({
                         label, stroke: colour(COLOURS[i]), width: 1.5, dash: i ? [5, 3] : undefined, spanGaps: false,
                         points: {show: false}, value: (_plot, value) => spec.text(value ?? NaN)}))],
            plugins: [eventMarks(this)],
            hooks: {setSelect: [(plot) => {
                const {left, width} = plot.select;
                if (width > 5)
                    this.onzoom(plot.posToVal(left, "x"), plot.posToVal(left + width, "x"));
                plot.setSelect({left: 0, width: 0, top: 0, height: 0}, false);
            }]},
        }, [[], ...spec.series.map(() => [])], this.host);
    }
}
