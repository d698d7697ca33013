// SPDX-License-Identifier: Apache-2.0
// Shows a list of any length by the few elements that can be seen: those of the rows in the window and of one beside
// them. An element stays with its item, so focus and selection do.

/** options: make() → {element, show(item, index, total)}, key(item), width (of the narrowest item; 0: the whole line), height, gap. */
export class Windowed {
    constructor(container, options) {
        Object.assign(this, {container, ...options});
        this.items = [];
        this.shown = new Map();
        this.spare = [];
        this.columns = 1;
        this.onscroll = () => this.#schedule();
        addEventListener("scroll", this.onscroll, {passive: true});
        this.observer = new ResizeObserver(() => this.#schedule());
        this.observer.observe(container);
    }

    end() {
        removeEventListener("scroll", this.onscroll);
        this.observer.disconnect();
    }

    set(items) {
        this.items = items;
        this.layout();
    }

    #schedule() {
        this.frame ??= requestAnimationFrame(() => {
            this.frame = undefined;
            this.layout();
        });
    }

    layout() {
        const {width: room, top} = this.container.getBoundingClientRect();
        if (room === 0)
            return;
        const step = this.height + this.gap;
        this.columns = this.width ? Math.max(1, Math.floor((room + this.gap) / (this.width + this.gap))) : 1;
        const rows = Math.ceil(this.items.length / this.columns);
        this.container.style.height = `${Math.max(rows * step - this.gap, 0)}px`;
        const first = Math.max(Math.floor(-top / step) - 1, 0);
        const last = Math.min(Math.ceil((innerHeight - top) / step) + 1, rows);
        this.#show(first * this.columns, Math.min(last * this.columns, this.items.length), room, step);
    }

    #show(from, to, room, step) {
        const wanted = new Set();
        for (let i = from; i < to; i++)
            wanted.add(this.key(this.items[i]));
        this.#keepFocused(wanted);
        for (const [key, cell] of this.shown) {
            if (!wanted.has(key)) {
                this.shown.delete(key);
                cell.element.hidden = true;
                this.spare.push(cell);
            }
        }
        const width = (room - this.gap * (this.columns - 1)) / this.columns;
        for (let i = from; i < to; i++)
            this.#place(i, width, step);
    }

    /** Whatever has the focus stays, as long as its item is there. */
    #keepFocused(wanted) {
        for (const [key, cell] of this.shown) {
            if (!wanted.has(key) && cell.element.contains(document.activeElement) && this.items.some((item) => this.key(item) === key))
                wanted.add(key);
        }
    }

    #place(index, width, step) {
        const item = this.items[index], key = this.key(item);
        let cell = this.shown.get(key);
        if (!cell) {
            cell = this.spare.pop() ?? this.make();
            if (!cell.element.isConnected)
                this.container.append(cell.element);
            cell.element.hidden = false;
            this.shown.set(key, cell);
        }
        const at = `translate(${(index % this.columns) * (width + this.gap)}px, ${Math.floor(index / this.columns) * step}px)`;
        if (cell.at !== at || cell.width !== width) {
            cell.at = at;
            cell.width = width;
            cell.element.style.transform = at;
            cell.element.style.width = `${width}px`;
        }
        cell.show(item, index, this.items.length);
    }
}
