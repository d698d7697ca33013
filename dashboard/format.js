// SPDX-License-Identifier: Apache-2.0
// Numbers as people read them. Pure.

const BYTE_UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
export const UNKNOWN = "–";

function digits(value) {
    return value >= 100 ? 0 : value >= 10 ? 1 : 2;
}

/** 1536 → "1.50 KiB" */
export function bytes(value) {
    if (!Number.isFinite(value))
        return UNKNOWN;
    let size = Math.abs(value), unit = 0;
    while (unit < BYTE_UNITS.length - 1 && Number(size.toFixed(digits(size))) >= 1024) {
        size /= 1024;
        unit++;
    }
    return `${value < 0 ? "−" : ""}${size.toFixed(unit === 0 ? 0 : digits(size))} ${BYTE_UNITS[unit]}`;
}

export function kib(value) {
    return bytes(value * 1024);
}

export function byteRate(value) {
    return Number.isFinite(value) ? `${bytes(value)}/s` : UNKNOWN;
}

function signed(value, text) {
    return `${value < 0 ? "−" : value > 0 ? "+" : ""}${text}`;
}

export function percent(value) {
    return Number.isFinite(value) ? `${value.toFixed(1)} %` : UNKNOWN;
}

/** Of -90 to 90. */
export function degrees(value) {
    return Number.isFinite(value) ? signed(Number(value.toFixed(1)), `${Math.abs(value).toFixed(1)}°`) : UNKNOWN;
}

/** Points of percent per second. */
export function pointRate(value) {
    const places = Math.abs(value) >= 9.995 ? 1 : 2;
    return Number.isFinite(value) ? signed(Number(value.toFixed(places)), `${Math.abs(value).toFixed(places)} %/s`) : UNKNOWN;
}

export function perSecond(value) {
    if (!Number.isFinite(value))
        return UNKNOWN;
    return `${value >= 1000 ? Math.round(value).toLocaleString("en") : value.toFixed(value >= 100 ? 0 : 1)}/s`;
}

export function milliseconds(value) {
    return Number.isFinite(value) ? `${value.toFixed(value >= 100 ? 0 : value >= 10 ? 1 : 2)} ms` : UNKNOWN;
}

export function count(value) {
    return Number.isFinite(value) ? value.toLocaleString("en") : UNKNOWN;
}

/** 75 → "1 min 15 s" */
export function span(seconds) {
    if (!Number.isFinite(seconds))
        return UNKNOWN;
    const s = Math.max(Math.round(seconds), 0);
    if (s < 60)
        return `${s} s`;
    if (s < 3600)
        return `${Math.floor(s / 60)} min${s % 60 ? ` ${s % 60} s` : ""}`;
    if (s < 86400)
        return `${Math.floor(s / 3600)} h ${Math.floor(s / 60) % 60} min`;
    return `${Math.floor(s / 86400)} d ${Math.floor(s / 3600) % 24} h`;
}

/** In the viewer's zone. */
export function clock(iso) {
    const date = new Date(iso);
    return Number.isNaN(date.getTime()) ? UNKNOWN : date.toLocaleString(undefined, {
        year: "numeric", month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit"});
}

/** In the viewer's zone and in UTC, where no mouse can rest on it. */
export function bothClocks(iso) {
    return `${clock(iso)} (${iso.slice(0, 19).replace("T", " ")} UTC)`;
}

/** What stands beside a figure when the mouse rests on it: all its digits. */
export function exact(value, unit) {
    return Number.isFinite(value) ? `${value} ${unit}`.trim() : "not known";
}
