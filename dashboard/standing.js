// SPDX-License-Identifier: Apache-2.0
// What the figures of a VM are worth, and so what is said in place of them: text, colour, order, top lists and rates all ask
// here. Pure; for any view: `telemetry` and `locked` as the JSON has them.
import {UNKNOWN} from "./format.js";

/** What is said in place of figures. Telemetry's words, and locked. */
export const STANDINGS = {
    ok: "ok",
    warming_up: "warming up",
    stale: "stale",
    missing: "no data",
    locked: "locked",
};

/** What a job that holds a VM holds up: what is known of these is from before it. */
const HELD = /^(memory|disk|iops|latency)/;

export function standingOf(telemetry, locked) {
    return telemetry === "ok" && locked ? "locked" : telemetry;
}

/** The word that stands in place of this figure (a name in FIGURES), whatever its number; null: the number may be shown. */
export function instead(standing, figure) {
    if (standing === "stale" || standing === "missing" || (standing === "locked" && HELD.test(figure)))
        return STANDINGS[standing];
    return null;
}

/** The word for a number that is not known. */
export function unknownWord(standing) {
    return standing === "ok" || standing === "locked" ? UNKNOWN : STANDINGS[standing] ?? UNKNOWN;
}
