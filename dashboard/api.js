// SPDX-License-Identifier: Apache-2.0
// What is asked of telemetryd. Paths are relative to the page, so that it may sit behind a proxy's prefix.

const BASE = new URL(".", document.baseURI);
const TOKEN_KEY = "one-telemetry-token";
const TIMEOUT_MS = 20000;
const HISTORY_KEPT_MS = 10000; // how long that is taken to be as it was
const SILENCE_MS = 20000; // the stream says something every 15 s

/** What the endpoint answered, or that it did not: status 0. */
export class ApiError extends Error {
    constructor(status, detail) {
        super(detail);
        this.status = status;
    }
}

export function url(path) {
    return new URL(path, BASE).href;
}

export function setToken(token, keep) {
    sessionStorage.removeItem(TOKEN_KEY);
    localStorage.removeItem(TOKEN_KEY);
    if (token)
        (keep ? localStorage : sessionStorage).setItem(TOKEN_KEY, token);
}

function getToken() {
    return sessionStorage.getItem(TOKEN_KEY) ?? localStorage.getItem(TOKEN_KEY);
}

export function hasToken() {
    return Boolean(getToken());
}

function headers() {
    const token = getToken();
    return token ? {Authorization: `Bearer ${token}`} : {};
}

async function refusal(response) {
    try {
        return (await response.json()).detail ?? response.statusText;
    } catch {
        return response.statusText;
    }
}

async function ask(path, options) {
    let response;
    try {
        response = await fetch(url(path), options);
    } catch (error) {
        throw options.signal.aborted ? error : new ApiError(0, "telemetryd does not answer");
    }
    if (!response.ok)
        throw new ApiError(response.status, await refusal(response));
    return response;
}

async function request(path, {method = "GET", timeout = TIMEOUT_MS} = {}) {
    const signal = AbortSignal.timeout(timeout);
    try {
        return await ask(path, {method, headers: headers(), signal});
    } catch (error) {
        throw error instanceof ApiError ? error : new ApiError(0, "telemetryd does not answer in time");
    }
}

/** options: timeout in ms. */
export async function getJson(path, options) {
    return (await request(path, options)).json();
}

export async function getText(path) {
    return (await request(path)).text();
}

let historyKept = null; // {answer: a promise, until}

async function askHistoryKept() {
    if ((await getJson("api/telemetry/status")).history)
        return true;
    const {config} = await getJson("api/telemetry/config");
    return Boolean(config.options.history.influx.value); // a database has it
}

/** Whether there is any history to ask for: [history] enabled or influx. Asked now and then, as it may be switched on or off. */
export async function isHistoryKept() {
    if (!historyKept || performance.now() > historyKept.until)
        historyKept = {answer: askHistoryKept(), until: performance.now() + HISTORY_KEPT_MS};
    const asked = historyKept;
    try {
        return await asked.answer;
    } catch (error) {
        asked.until = -Infinity;
        throw error;
    }
}

/** The history of a VM: query as docs/endpoint.md has it. */
export async function getHistory(id, query) {
    return getJson(`api/telemetry/history/${id}?${query}`);
}

export async function post(path) {
    return (await request(path, {method: "POST"})).json();
}

function parseEvent(text) {
    const event = {id: null, event: "message", data: ""};
    for (const line of text.split("\n")) {
        const colon = line.indexOf(":");
        if (colon > 0)
            event[line.slice(0, colon)] = line.slice(colon + 1).trimStart();
    }
    return event;
}

/** Events as they come, {id, event, data}; onheard() whenever anything has come. EventSource can't send a token, so the
 * stream is read by hand. Ends when the connection does; throws ApiError where there is none, or when it has gone silent:
 * `silent` is true where it has said something before. */
export async function* events(path, lastEventId, signal, onheard) {
    const silence = new AbortController();
    let heard = false;
    const extra = lastEventId ? {"Last-Event-ID": lastEventId} : {};
    let timer = setTimeout(() => silence.abort(), SILENCE_MS);
    try {
        const response = await ask(path, {headers: {...headers(), ...extra}, cache: "no-store",
                                          signal: AbortSignal.any([signal, silence.signal])});
        const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
        let parts = [], last = "";
        for (;;) {
            const {value, done} = await reader.read();
            if (done)
                return;
            clearTimeout(timer);
            timer = setTimeout(() => silence.abort(), SILENCE_MS);
            heard = true;
            onheard();
            parts.push(value);
            if (!(last + value).includes("\n\n")) {
                last = value.slice(-1);
                continue;
            }
            const texts = parts.join("").split("\n\n");
            parts = [texts.pop()];
            last = parts[0].slice(-1);
            for (const text of texts) {
                if (!text.startsWith(":"))
                    yield parseEvent(text);
            }
        }
    } catch (error) {
        if (error instanceof ApiError || signal.aborted)
            throw error;
        const silent = heard && silence.signal.aborted;
        throw Object.assign(new ApiError(0, silent ? "telemetryd has gone silent" : "the stream has broken off"), {silent});
    } finally {
        clearTimeout(timer);
        silence.abort(); // also where whoever reads has left
    }
}
