// SPDX-License-Identifier: Apache-2.0
// The last values of one figure with their times. Of 1,000 VMs there are 180,000: numbers in arrays of numbers, not objects, which
// garbage collection would have to walk through. Pure.

const MOST = 180;
const SAME_MS = 500; // nobody samples faster: what comes nearer is the same sample, told again

export class Trail {
    constructor() {
        this.times = new Float64Array(MOST); // ms since 1970
        this.values = new Float32Array(MOST);
        this.start = 0;
        this.length = 0;
    }

    time(i) { return this.times[(this.start + i) % MOST]; }
    value(i) { return this.values[(this.start + i) % MOST]; }

    push(time, value) {
        if (!(time > 0) || (this.length > 0 && time < this.time(this.length - 1) + SAME_MS))
            return;
        this.#add(time, value);
    }

    #add(time, value) {
        const at = (this.start + this.length) % MOST;
        this.times[at] = time;
        this.values[at] = value;
        if (this.length < MOST)
            this.length++;
        else
            this.start = (this.start + 1) % MOST;
    }

    /** What was before its first value: [[time, value]], oldest first. */
    addPast(past) {
        const own = this.points();
        const first = own[0]?.[0] ?? Infinity;
        this.start = this.length = 0;
        for (const [time, value] of [...past.filter(([time]) => time < first - SAME_MS), ...own])
            this.#add(time, value);
    }

    points() {
        return Array.from({length: this.length}, (_, i) => [this.time(i), this.value(i)]);
    }

    copy() {
        const copy = new Trail();
        copy.times.set(this.times);
        copy.values.set(this.values);
        return Object.assign(copy, {start: this.start, length: this.length});
    }
}
