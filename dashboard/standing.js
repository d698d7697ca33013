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

/** One of STANDINGS, or ended. ended: when that was, if it has. */
export function standingOf({telemetry, locked, ended}) {
    return ended ? "ended" : telemetry === "ok" && locked ? "locked" : telemetry;
}

/** The word that stands in place of a figure of now, whatever its number; null: the number may be shown. held: a job that holds
 * the VM holds it up too, what is known of it is from before. */
export function instead(standing, held) {
    if (standing === "ended")
        return standing;
    return standing === "stale" || standing === "missing" || (standing === "locked" && held) ? STANDINGS[standing] : null;
}

/** The word for a number that is not known. */
export function unknownWord(standing) {
    return standing === "ok" || standing === "locked" ? UNKNOWN : STANDINGS[standing] ?? UNKNOWN;
}
