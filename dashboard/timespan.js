// SPDX-License-Identifier: Apache-2.0
// Which time the charts show: the last so and so much, which moves on with the clock, or from … to. Pure.

export const RANGES = {"15m": 900, "1h": 3600, "6h": 21600, "24h": 86400, "7d": 604800, "30d": 2592000};
const STANDARD_RANGE = "1h";
const SHORTEST = 10;         // seconds
const LONGEST = 90 * 86400;  // the history keeps no more by default

function rangeOf(query) {
    return RANGES[query.range] ? query.range : STANDARD_RANGE;
}

/** {from, to} in seconds since 1970, and the name of the range where that moves on with the clock, else null. */
export function spanOf(query, now = Date.now() / 1000) {
    const from = Number(query.from), to = Number(query.to);
    if (from > 0 && to > from)
        return {from, to, range: null};
    const range = rangeOf(query);
    return {from: now - RANGES[range], to: now, range};
}

/** A query for that time, in whole seconds and not of the future. */
export function fixed(from, to, now = Date.now() / 1000) {
    const late = Math.max(to - now, 0), start = Math.floor(from - late);
    return {from: String(start), to: String(Math.max(Math.ceil(to - late), start + 2))};
}

/** Around the middle, by this factor. The last so and so much stays that, as long as there is one more such range. */
function zoom(query, factor, now) {
    const {from, to, range} = spanOf(query, now), names = Object.keys(RANGES);
    const next = range && names[names.indexOf(range) + (factor > 1 ? 1 : -1)];
    if (next)
        return {range: next};
    const length = Math.min(Math.max((to - from) * factor, SHORTEST), LONGEST), middle = (from + to) / 2;
    return range ? fixed(to - length, to, now) : fixed(middle - length / 2, middle + length / 2, now);
}

function shift(query, part, now) {
    const {from, to} = spanOf(query, now), by = (to - from) * part;
    return fixed(from + by, to + by, now);
}

/** What a button or a key of that name leads to: a query. */
export const MOVES = {
    earlier: (query, now) => shift(query, -0.5, now),
    later: (query, now) => shift(query, 0.5, now),
    closer: (query, now) => zoom(query, 0.5, now),
    wider: (query, now) => zoom(query, 2, now),
};

/** Whether that leads anywhere. */
export function canMove(name, query, now = Date.now() / 1000) {
    const {from, to, range} = spanOf(query, now);
    return {earlier: true, later: to < now - 1 && !range, closer: to - from > SHORTEST, wider: to - from < LONGEST}[name];
}
