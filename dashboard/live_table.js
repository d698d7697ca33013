// SPDX-License-Identifier: Apache-2.0
// Tables and lists of facts that are made once: later only the texts that differ are changed, so focus, selection and how
// far somebody has scrolled stay as they are.
// A value is a text, or {text, title, time, status}: time in ISO 8601, which is the title too.
import {el, setAttr, setText, toggle} from "./dom.js";
import * as format from "./format.js";

/** Shows a value as the only child of `parent`. */
class Value {
    constructor(parent) {
        this.parent = parent;
    }

    set(value) {
        const {text, title, time, status} = typeof value === "object" && value !== null ? value : {text: value ?? format.UNKNOWN};
        const tag = time ? "time" : "span";
        if (this.inner?.localName !== tag) {
            this.inner = el(tag, {});
            this.parent.replaceChildren(this.inner);
        }
        setText(this.inner, text);
        setAttr(this.inner, "datetime", time);
        setAttr(this.inner, "title", time ?? title);
        setAttr(this.inner, "data-status", status);
        setAttr(this.inner, "class", status ? "status" : null);
    }
}

/** columns: {label, about (on hover), kind (class of its cells: "number" is aligned), get(row, context)}. key(row, index) tells
 * rows apart. What is said instead where there are no rows: `none`. */
export class LiveTable {
    constructor(title, columns, {key, none, attributes = {"data-health": title}}) {
        Object.assign(this, {columns, key, rows: new Map()});
        this.body = el("tbody", {});
        this.scroll = el("div", {class: "scroll", tabindex: 0, role: "region", "aria-label": title, hidden: true},
            el("table", {}, el("thead", {}, el("tr", {}, ...columns.map(({label, about, kind}) => el("th", {scope: "col", class: kind, title: about}, label)))),
               this.body));
        this.none = el("p", {class: "none"}, none);
        this.element = el("section", {class: "devices", ...attributes}, el("h3", {}, title), this.scroll, this.none);
    }

    set(list, context) {
        const keys = list.map((row, i) => this.key(row, i)), kept = new Set(keys);
        for (const [key, {element}] of this.rows) {
            if (!kept.has(key)) {
                element.remove();
                this.rows.delete(key);
            }
        }
        list.forEach((row, i) => {
            const {element, values} = this.#row(keys[i]);
            if (this.body.children[i] !== element)
                this.body.insertBefore(element, this.body.children[i] ?? null);
            this.columns.forEach(({get}, column) => values[column].set(get(row, context)));
        });
        toggle(this.scroll, list.length === 0);
        toggle(this.none, list.length > 0);
    }

    #row(key) {
        let row = this.rows.get(key);
        if (!row) {
            const cells = this.columns.map(({kind}) => el("td", {class: kind}));
            row = {element: el("tr", {}, ...cells), values: cells.map((cell) => new Value(cell))};
            this.rows.set(key, row);
        }
        return row;
    }
}

/** facts: [label, get(context)]; where get gives nothing, or an empty text, the fact is left out. */
export class LiveFacts {
    constructor(name, facts, title = name) {
        this.facts = facts.map(([label, get]) => {
            const cell = el("dd", {});
            return {get, value: new Value(cell), element: el("div", {hidden: true}, el("dt", {}, label), cell)};
        });
        this.list = el("dl", {class: "identity"}, ...this.facts.map(({element}) => element));
        this.element = el("section", {class: "devices", "data-health": name}, el("h3", {}, title), this.list);
    }

    set(context) {
        for (const {get, value, element} of this.facts) {
            const got = get(context) ?? "";
            toggle(element, got === "");
            if (got !== "")
                value.set(got);
        }
    }
}
