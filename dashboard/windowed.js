// SPDX-License-Identifier: Apache-2.0
// Shows a list of any length by the few elements that can be seen: those of the rows in the window and of one beside
// them. An element stays with its item, so focus and selection do; elements stand in the order of their items, so that Tab goes
// from one to the next. Positions are looked up when something scrolls or changes its size, and not when figures change.

/** options: make() → {element, show(item, index, total)}, key(item), width (of the narrowest item; 0: the whole line),
 * height (a function of the item's width), gap, all in rem; scroller: the element that scrolls, else the page does. */
export class Windowed {
    constructor(container, options) {
        Object.assign(this, {container, ...options});
        this.items = [];
        this.shown = new Map(); // by key
        this.spare = [];
        this.room = 0;
        this.columns = 1;
        this.onscroll = () => this.#schedule();
        this.onkey = (event) => this.#key(event);
        for (const scrolled of [window, this.scroller])
            scrolled?.addEventListener("scroll", this.onscroll, {passive: true});
        container.addEventListener("keydown", this.onkey);
        container.addEventListener("focusin", () => this.#layout()); // the next Tab may come before the next frame
        this.observer = new ResizeObserver(() => this.#schedule());
        for (const element of [container, document.body, ...(this.scroller ? [this.scroller] : [])])
            this.observer.observe(element);
    }

    end() {
        for (const scrolled of [window, this.scroller])
            scrolled?.removeEventListener("scroll", this.onscroll);
        this.observer.disconnect();
    }

    set(items) {
        this.items = items;
        if (this.room === 0)
            this.#measure();
        this.#layout();
    }

    /** Shows one item anew, if it is in sight. */
    refresh(key) {
        const cell = this.shown.get(key);
        cell?.show(cell.item, cell.index, this.items.length);
    }

    #schedule() {
        this.frame ??= requestAnimationFrame(() => {
            this.frame = undefined;
            this.#measure();
            this.#layout();
        });
    }

    #measure() {
        const {width, top} = this.container.getBoundingClientRect();
        const view = this.scroller?.getBoundingClientRect() ?? {top: 0, bottom: innerHeight};
        const rem = parseFloat(getComputedStyle(document.documentElement).fontSize);
        this.room = width;
        this.above = Math.max(view.top, 0) - top; // how much of the list is scrolled away
        this.view = Math.max(Math.min(view.bottom, innerHeight) - Math.max(view.top, 0), 0);
        this.space = this.gap * rem;
        this.columns = this.width ? Math.max(1, Math.floor((width + this.space) / (this.width * rem + this.space))) : 1;
        this.each = (width - this.space * (this.columns - 1)) / this.columns;
        this.narrow = this.height(this.each / rem) !== this.height(Infinity);
        this.step = Math.round(this.height(this.each / rem) * rem) + this.space;
    }

    #layout() {
        if (this.room === 0)
            return;
        const rows = Math.ceil(this.items.length / this.columns), height = `${Math.max(rows * this.step - this.space, 0)}px`;
        if (this.container.style.height !== height)
            this.container.style.height = height;
        const first = Math.max(Math.floor(this.above / this.step) - 1, 0);
        const last = Math.min(Math.ceil((this.above + this.view) / this.step) + 1, rows);
        const indexes = new Set();
        for (let i = first * this.columns; i < Math.min(last * this.columns, this.items.length); i++)
            indexes.add(i);
        const focused = this.#focused();
        if (focused < 0)
            this.#show([...indexes]);
        else // it stays, wherever it is, and so do those that Tab leads to
            this.#show([...indexes.add(focused).add(Math.max(focused - 1, 0)).add(Math.min(focused + 1, this.items.length - 1))]
                .sort((a, b) => a - b));
    }

    /** The index of the item that has the focus, or -1. */
    #focused() {
        const active = document.activeElement;
        if (!this.container.contains(active))
            return -1;
        for (const [key, {element}] of this.shown) {
            if (element.contains(active))
                return this.items.findIndex((item) => this.key(item) === key);
        }
        return -1;
    }

    #show(indexes) {
        const wanted = new Set(indexes.map((i) => this.key(this.items[i])));
        for (const [key, cell] of this.shown) {
            if (!wanted.has(key)) {
                this.shown.delete(key);
                cell.element.remove();
                this.spare.push(cell);
            }
        }
        this.#order(indexes.map((i) => this.#place(i)));
    }

    #place(index) {
        const item = this.items[index], key = this.key(item), cell = this.shown.get(key) ?? this.spare.pop() ?? this.make();
        this.shown.set(key, cell);
        Object.assign(cell, {item, index});
        const {each, step, space, columns} = this;
        const at = `translate(${(index % columns) * (each + space)}px, ${Math.floor(index / columns) * step}px)`;
        if (cell.at !== at || cell.each !== each || cell.step !== step) {
            Object.assign(cell, {at, each, step});
            cell.element.style.transform = at;
            cell.element.style.width = `${each}px`;
            cell.element.style.height = `${step - space}px`;
            cell.element.toggleAttribute("data-narrow", this.narrow);
        }
        cell.show(item, index, this.items.length);
        return cell.element;
    }

    /** As the items are. What has the focus would lose it by being moved, so the others are moved around it. */
    #order(elements) {
        const fixed = elements.findIndex((element) => element.contains(document.activeElement));
        let next = fixed < 0 ? this.container.firstChild : elements[fixed].nextSibling;
        for (const element of elements.slice(fixed + 1)) {
            if (element === next)
                next = next.nextSibling;
            else
                this.container.insertBefore(element, next);
        }
        let after = elements[fixed];
        for (const element of elements.slice(0, Math.max(fixed, 0)).reverse()) {
            if (element !== after.previousSibling)
                this.container.insertBefore(element, after);
            after = element;
        }
    }

    // --- the keyboard: from item to item ---

    #key(event) {
        const index = this.#focused();
        if (index < 0 || event.ctrlKey || event.metaKey || event.altKey || event.shiftKey)
            return;
        const {columns} = this, most = this.items.length - 1, page = Math.max(Math.floor(this.view / this.step) - 1, 1) * columns;
        const to = {ArrowDown: index + columns, ArrowUp: index - columns, PageDown: Math.min(index + page, most),
                    PageUp: Math.max(index - page, 0), Home: 0, End: most,
                    ...(this.width ? {ArrowRight: index + 1, ArrowLeft: index - 1} : {})}[event.key];
        if (to === undefined)
            return;
        event.preventDefault();
        if (to >= 0 && to <= most)
            this.#focus(to);
    }

    #focus(index) {
        const key = this.key(this.items[index]);
        if (!this.shown.has(key))
            this.container.insertBefore(this.#place(index), index > this.#focused() ? null : this.container.firstChild);
        const {element} = this.shown.get(key);
        element.scrollIntoView({block: "nearest"});
        element.querySelector("a").focus({preventScroll: true});
    }
}
