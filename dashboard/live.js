// SPDX-License-Identifier: Apache-2.0
// Keeps a fleet up to date: by the stream, or where that is not to be had, or where somebody wants to look more seldom,
// by asking.
import {ApiError, events, getJson} from "./api.js";

const VM_TELEMETRY = "api/telemetry/vm-telemetry";
const STREAM = "api/telemetry/stream";
const STREAM_MOST_MS = 2000;   // who looks more seldom than this is served better by asking
const STREAM_AGAIN_MS = 10000; // after it has failed
const RESYNC_MS = 60000;       // names and hosts may change without a new sample
const POLL_MOST_MS = 10000;    // what is answered from memory takes no longer

export class Live {
    /** onchange(): there is news. onstate(state, detail): connecting, live, polling, offline, token.
     * heardAt: when telemetryd last said anything, ms since 1970; null: never. */
    constructor(fleet, onchange, onstate) {
        Object.assign(this, {fleet, onchange, onstate, interval: 1000, abort: null, lastId: null, heardAt: null});
    }

    /** Begins, or begins anew: another interval, another token. */
    start(interval) {
        this.interval = interval;
        this.stop();
        this.abort = new AbortController();
        this.#run(this.abort.signal);
    }

    stop() {
        this.abort?.abort();
        this.abort = null;
    }

    async #run(signal) {
        let streamFailed = -Infinity;
        this.onstate("connecting");
        while (!signal.aborted) {
            const streams = this.interval <= STREAM_MOST_MS && performance.now() - streamFailed > STREAM_AGAIN_MS;
            try {
                await (streams ? this.#stream(signal) : this.#poll(signal));
            } catch (error) {
                if (signal.aborted)
                    return;
                if (error.status === 401) {
                    this.onstate("token", error.message);
                    return;
                }
                if (!(error instanceof ApiError))
                    console.error(error);
                if (!streams || error.silent) // else it may be that the stream does not get through
                    this.onstate("offline", error.message);
            }
            if (streams)
                streamFailed = performance.now();
            else
                await this.#wait(this.interval, signal);
        }
    }

    async #poll(signal) {
        await this.#fetchAll(signal);
        if (signal.aborted)
            return;
        this.onstate("polling");
        this.onchange();
    }

    async #fetchAll(signal) {
        try {
            const answer = await getJson(VM_TELEMETRY, {timeout: POLL_MOST_MS});
            if (!signal.aborted)
                this.fleet.replace(answer.vms, null, answer.timestamp);
        } catch (error) {
            if (error.status !== 503 || signal.aborted) // it answers, but sees nothing itself
                throw error;
            this.fleet.replace([], error.message);
        }
        this.heardAt = Date.now();
    }

    async #stream(signal) {
        let synced = performance.now();
        for await (const {id, event, data} of events(STREAM, this.lastId, signal, () => { this.heardAt = Date.now(); })) {
            this.lastId = id ?? this.lastId;
            this.#take(event, JSON.parse(data));
            this.onstate("live");
            this.onchange();
            if (performance.now() - synced > RESYNC_MS) {
                synced = performance.now();
                await this.#fetchAll(signal);
                this.onchange();
            }
        }
    }

    #take(event, data) {
        if (event === "snapshot")
            this.fleet.replace(data.vms, data.detail ?? null, data.timestamp);
        else if (event === "sample")
            this.fleet.merge(data.vms, data.timestamp);
        else if (event === "ended")
            this.fleet.end(data.vm_id);
    }

    #wait(ms, signal) {
        return new Promise((resolve) => {
            const timer = setTimeout(resolve, ms);
            signal.addEventListener("abort", () => { clearTimeout(timer); resolve(); }, {once: true});
        });
    }
}
