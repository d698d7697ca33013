// SPDX-License-Identifier: Apache-2.0
// An answer of /history as a chart draws it. Pure.

const AROUND = 3;   // distances to each side by which it is judged what is usual there
const GAP = 3;      // so many times as far as usual is a gap

function median(values) {
    const sorted = [...values].sort((a, b) => a - b);
    return sorted[Math.floor((sorted.length - 1) / 2)];
}

/** Times in seconds, one more where nothing is known for three of the distances that are usual around there: samples come
 * every second or every few minutes, and that may change. step: at least this is usual. */
function withGaps(times, step) {
    const distances = times.slice(1).map((time, i) => time - times[i]);
    return times.flatMap((time, i) => {
        const usual = i < distances.length ? Math.max(step, median(distances.slice(Math.max(i - AROUND, 0), i + AROUND + 1))) : 0;
        return distances[i] > GAP * usual ? [time, time + usual] : [time];
    });
}

/** {times: seconds since 1970, series: [{mean, low, high}]} of these metrics: for each time a value or null, as some have
 * no point there (a disk that reads nothing has no latency), and all of them where a gap is. */
export function columnsOf(answer, names) {
    const points = names.map((name) => new Map((answer.series.find(({metric, field}) => metric === name || field === name)?.points ?? [])
        .map(([time, ...values]) => [Date.parse(time) / 1000, values])));
    const known = [...new Set(points.flatMap((of) => [...of.keys()]))].sort((a, b) => a - b);
    const times = withGaps(known, answer.step_seconds);
    const column = (of, i) => times.map((time) => of.get(time)?.[i] ?? null);
    return {times, series: points.map((of) => ({mean: column(of, 0), low: column(of, 1), high: column(of, 2)}))};
}

/** The last value of a series, and the highest that any sample had; null where there is none. */
export function extremes({mean, high}) {
    const last = mean.findLast((value) => value !== null);
    return last === undefined ? null : {last, most: high.reduce((most, value) => Math.max(most, value ?? most), -Infinity)};
}

/** Indexes of values that have no neighbour: no line goes through them. */
export function isolated(values) {
    return values.flatMap((value, i) => value !== null && (values[i - 1] ?? null) === null && (values[i + 1] ?? null) === null ? [i] : []);
}

/** [[first, last]]: where values stand without a null between them. */
export function runs(values) {
    const found = [];
    values.forEach((value, i) => {
        if (value === null)
            return;
        if (i > 0 && values[i - 1] !== null)
            found.at(-1)[1] = i;
        else
            found.push([i, i]);
    });
    return found;
}
