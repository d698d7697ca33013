// SPDX-License-Identifier: Apache-2.0
// All VMs: cards or a table, search, filters, order, and who is at the top.
import {getHistory, isHistoryKept} from "./api.js";
import {Card, columnsFor, COLUMNS, Line} from "./cards.js";
import {el, notice, setAttr, setText, toggle} from "./dom.js";
import {FIGURES} from "./fleet.js";
import * as format from "./format.js";
import {STANDINGS} from "./standing.js";
import {mark} from "./widgets.js";
import {Windowed} from "./windowed.js";

const TOPS = ["cpu", "steal", "latency", "drops"];
const TOP_N = 5;
const RESORT_MS = 5000;  // order by live figures moves no faster than one can read
const TRAILS_AT_ONCE = 3;
const TRAIL_FROM = "-3m";
const SORTS = {attention: "Attention", ...Object.fromEntries(COLUMNS.map(({sort, label}) => [sort, label])),
               ...Object.fromEntries(Object.entries(FIGURES).map(([name, {label}]) => [name, label]))};
const DESCENDING = new Set(["attention", ...COLUMNS.filter(({number}) => number).map(({sort}) => sort), ...Object.keys(FIGURES)]);
const LIBVIRT_STATES = ["running", "blocked", "paused", "shutdown", "shutoff", "crashed", "suspended"];
const STATES = new Set(["attention", ...Object.keys(STANDINGS), ...LIBVIRT_STATES]);
const NARROW = "(max-width: 109rem)"; // the table has not room for all its columns
// in rem
const CARD = {width: 24, gap: 0.93, height: (width) => width < 24 ? 23.4 : 18.8};
const LINE = {width: 0, gap: 0, height: () => 2.6};

function option(value, text) {
    return el("option", {value}, text);
}

function field(label, control) {
    return el("label", {class: "field"}, el("span", {}, label), control);
}

export class FleetView {
    constructor(app, query) {
        this.app = app;
        this.fleet = app.fleet;
        this.query = query;
        this.sortedAt = -Infinity;
        this.trails = 0;
        this.wanted = new Set();
        this.context = {diskScale: 1, wantTrail: (vm) => this.#wantTrail(vm)};
        this.element = el("div", {class: "fleet"}, this.#makeToolbar(), this.#makeTops(), this.#makeList());
        this.narrow = matchMedia(NARROW);
        this.onnarrow = () => { this.#build(); this.update(); };
        this.narrow.addEventListener("change", this.onnarrow);
        this.#apply();
    }

    end() {
        clearTimeout(this.resort);
        this.narrow.removeEventListener("change", this.onnarrow);
        this.windowed.end();
        this.ended = true;
    }

    // --- what is asked for, which the address says ---

    setQuery(query) {
        this.query = query;
        this.#apply();
        this.update();
    }

    #ask(changes) {
        const query = {...this.query, ...changes};
        for (const name of Object.keys(query)) {
            if (!query[name])
                delete query[name];
        }
        this.app.setQuery(query);
    }

    #sortBy(sort, desc) {
        this.#ask({sort: sort === "id" && !desc ? "" : sort, desc: desc ? "1" : ""});
    }

    #makeToolbar() {
        this.search = el("input", {type: "search", placeholder: "name, host, owner, uuid, ID", "aria-keyshortcuts": "/",
                                   oninput: () => this.#ask({q: this.search.value})});
        this.host = el("select", {onchange: () => this.#ask({host: this.host.value})});
        this.owner = el("select", {onchange: () => this.#ask({owner: this.owner.value})});
        this.state = el("select", {onchange: () => this.#ask({state: this.state.value})},
            option("", "all"), option("attention", "wants attention"),
            el("optgroup", {label: "figures"}, ...Object.entries(STANDINGS).map(([value, text]) => option(value, text))),
            el("optgroup", {label: "state"}, ...LIBVIRT_STATES.map((state) => option(state, state))));
        this.sort = el("select", {onchange: () => this.#sortBy(this.sort.value, DESCENDING.has(this.sort.value))},
            ...Object.entries(SORTS).map(([value, text]) => option(value, text)));
        this.direction = el("button", {type: "button", onclick: () => this.#sortBy(this.asked.sort, !this.asked.desc)});
        this.layoutButton = el("button", {type: "button", "aria-keyshortcuts": "t",
                                          onclick: () => this.#ask({layout: this.asked.layout ? "" : "table"})});
        this.count = el("p", {class: "count", role: "status"});
        return el("form", {class: "toolbar", role: "search", onsubmit: (event) => event.preventDefault()},
            field("Search", this.search), field("Host", this.host), field("Owner", this.owner), field("State", this.state),
            field("Sort", this.sort), this.direction, this.layoutButton, this.count);
    }

    #makeTops() {
        this.tops = TOPS.map((name) => {
            const list = el("ol", {"data-top": name});
            return {name, list, element: el("section", {}, el("h3", {}, FIGURES[name].label), list)};
        });
        return el("details", {class: "tops", open: innerWidth > 700}, el("summary", {}, "Top lists"),
                  el("div", {class: "lists"}, ...this.tops.map(({element}) => element)));
    }

    #makeList() {
        this.heads = new Map(COLUMNS.map(({sort, label, number}) => [sort, el("span",
            {role: "columnheader", class: number ? "number" : null, "data-sort": sort, "data-column": sort},
            el("button", {type: "button", onclick: () => this.#sortBy(sort, this.asked.sort === sort
                ? !this.asked.desc : DESCENDING.has(sort))}, label))]));
        this.head = el("div", {role: "row", class: "line head", "aria-rowindex": 1});
        this.list = el("div", {class: "list"});
        this.list.addEventListener("scroll", () => this.list.toggleAttribute("data-sideways", this.list.scrollLeft > 0), {passive: true});
        this.nothing = el("div", {});
        return el("div", {}, this.list, this.nothing);
    }

    /** The toolbar and the list as the address has them: what it asks for that is not to be had is as if not asked. */
    #apply() {
        const {q = "", host = "", owner = "", state, sort, desc, layout} = this.query;
        this.asked = {q, host, owner, state: STATES.has(state) ? state : "", sort: Object.hasOwn(SORTS, sort ?? "") ? sort : "id",
                      desc: Boolean(desc) && Object.hasOwn(SORTS, sort ?? "id"), layout: layout === "table" ? layout : ""};
        if (this.search.value !== q)
            this.search.value = q;
        this.sort.value = this.asked.sort;
        this.state.value = this.asked.state;
        setText(this.direction, this.asked.desc ? "↓ highest first" : "↑ lowest first");
        setText(this.layoutButton, this.asked.layout === "table" ? "Cards" : "Table");
        for (const [name, cell] of this.heads)
            setAttr(cell, "aria-sort", name === this.asked.sort ? (this.asked.desc ? "descending" : "ascending") : null);
        this.#build();
        this.sortedAt = -Infinity;
        this.#fillChoices();
    }

    /** Anew, where another layout or other columns are to be seen. */
    #build() {
        const table = this.asked.layout === "table", columns = table ? columnsFor(this.asked.sort, this.narrow.matches) : [];
        const layout = table ? columns.map(({sort}) => sort).join() : "cards";
        if (layout === this.layout)
            return;
        this.layout = layout;
        this.windowed?.end();
        this.body = el("div", {class: "body", role: table ? "rowgroup" : "list", "aria-label": table ? null : "Virtual machines"});
        setAttr(this.list, "class", `list ${table ? "table" : "cards"}`);
        setAttr(this.list, "role", table ? "table" : null);
        setAttr(this.list, "aria-label", table ? "Virtual machines" : null);
        setAttr(this.list, "tabindex", table ? 0 : null); // it scrolls
        const focused = document.activeElement;
        this.head.replaceChildren(...columns.map(({sort}) => this.heads.get(sort)));
        this.list.replaceChildren(...(table ? [this.head] : []), this.body);
        this.windowed = new Windowed(this.body, {key: (vm) => vm.id, ...(table
            ? {make: () => new Line(columns), scroller: this.list, ...LINE} : {make: () => new Card(this.context), ...CARD})});
        if (this.head.contains(focused))
            focused.focus();
    }

    // --- what is there ---

    #fillChoices() {
        if (this.choicesOf === this.fleet.members)
            return;
        this.choicesOf = this.fleet.members;
        for (const [select, key, name] of [[this.host, "host", "host"], [this.owner, "uname", "owner"]]) {
            const chosen = this.asked[name];
            const values = new Set([...this.fleet.values(key), ...(chosen ? [chosen] : [])]);
            select.replaceChildren(option("", "all"), ...[...values].map((value) => option(value, value)));
        }
    }

    update() {
        this.#fillChoices();
        this.host.value = this.asked.host;
        this.owner.value = this.asked.owner;
        const now = performance.now();
        if (now - this.sortedAt > RESORT_MS || this.members !== this.fleet.members) {
            this.sortedAt = now;
            clearTimeout(this.resort);
            this.resort = undefined;
            this.members = this.fleet.members;
            this.selected = this.fleet.select(this.asked);
        }
        if (this.sortedAt !== now) // and if nothing else comes: what has come now may stand at another place
            this.resort ??= setTimeout(() => this.app.paused || this.update(), this.sortedAt + RESORT_MS + 100 - now);
        this.context.diskScale = this.fleet.diskScale();
        setAttr(this.list, "aria-rowcount", this.asked.layout === "table" ? this.selected.length + 1 : null);
        this.windowed.set(this.selected);
        this.#showCount();
        this.#showTops();
        this.#showNothing();
    }

    #showCount() {
        const all = this.fleet.vms.size, n = this.selected.length;
        const found = {};
        for (const vm of this.selected)
            found[vm.standing] = (found[vm.standing] ?? 0) + 1;
        const counts = Object.entries(STANDINGS).filter(([standing]) => standing !== "ok" && found[standing])
            .map(([standing, text]) => `, ${found[standing]} ${text}`).join("");
        setText(this.count, this.fleet.loaded ? `${n === all ? n : `${n} of ${all}`} VM${all === 1 ? "" : "s"}${counts}` : "");
    }

    #showTops() {
        const tops = this.fleet.tops(TOPS, TOP_N, this.selected);
        for (const [i, {name, list}] of this.tops.entries()) {
            const top = tops[i];
            while (list.children.length > Math.max(top.length, 1))
                list.lastChild.remove();
            if (top.length === 0) {
                const none = list.querySelector(".none") ?? el("li", {class: "none"});
                setText(none, this.fleet.loaded ? "none above 0" : "");
                list.replaceChildren(none);
                continue;
            }
            list.querySelector(".none")?.remove();
            top.forEach(({vm, value}, i) => this.#showTop(list, i, name, vm, value));
        }
    }

    #showTop(list, i, name, vm, value) {
        let item = list.children[i];
        if (!item) {
            item = el("li", {}, el("a", {}), el("span", {class: "which"}), el("span", {class: "number"}));
            list.append(item);
        }
        const [link, which, number] = item.children, level = vm.level(name);
        setAttr(link, "href", `#/vm/${vm.id}`);
        setText(link, vm.title);
        setAttr(link, "title", `${vm.title} (${vm.data.name} on ${vm.data.host})`);
        setText(which, String(vm.id));
        setText(number, `${level ? `${mark(level)[0]} ` : ""}${FIGURES[name].text(value)}`);
        setAttr(number, "title", format.exact(value, FIGURES[name].unit));
        setAttr(number, "data-level", level || null);
    }

    #showNothing() {
        const what = this.selected.length > 0 ? "" : !this.fleet.loaded ? this.app.state : this.fleet.vms.size > 0 ? "filtered" : this.fleet.trouble ?? "none";
        if (what === this.shownNothing)
            return;
        this.shownNothing = what;
        toggle(this.nothing, !what);
        this.nothing.replaceChildren(...(what ? [this.#sayNothing(what)] : []));
    }

    #sayNothing(what) {
        if (what === "none")
            return notice("No VMs found", "Nothing that runs has been heard of. Start the built-in collector, or let the hosts' probes "
                + "send what they see to this endpoint; only domains named one-<ID> are taken.",
                el("a", {href: "#/health"}, "Health: what feeds this endpoint"));
        if (what === "filtered")
            return notice("No VM is like that", "Search and filters leave none of the VMs.",
                el("button", {type: "button", onclick: () => this.#ask({q: "", host: "", owner: "", state: ""})}, "Show all"));
        if (what === "offline")
            return notice("telemetryd does not answer", "This page asks again until it does. On its machine: systemctl status one-telemetryd");
        if (what === "token")
            return notice("A token is needed", "This endpoint gives its figures only to those that have its read or write token.",
                el("button", {type: "button", onclick: () => this.app.askToken()}, "Enter the token"));
        if (what === this.fleet.trouble)
            return notice("Nothing can be seen", what, el("a", {href: "#/health"}, "Health: what feeds this endpoint"));
        return el("p", {class: "loading"}, "Loading VMs…");
    }

    // --- sparklines begin with what was before the page was opened ---

    #wantTrail(vm) {
        if (vm.trailAsked || this.app.state === "token")
            return;
        vm.trailAsked = true;
        this.wanted.add(vm);
        this.#nextTrail();
    }

    async #nextTrail() {
        if (this.trails >= TRAILS_AT_ONCE || this.wanted.size === 0 || this.ended)
            return;
        const [vm] = this.wanted;
        this.wanted.delete(vm);
        this.trails++;
        try {
            if (await isHistoryKept())
                await this.#addTrail(vm);
        } catch (error) {
            console.debug(`no history of VM ${vm.id}: ${error.message}`); // it begins with now
            this.wanted.clear(); // nor is there one of the others, or only after a while
        }
        this.trails--;
        this.#nextTrail();
    }

    async #addTrail(vm) {
        const {series} = await getHistory(vm.id, `metric=cpu_usage_percent&from=${TRAIL_FROM}`);
        if (this.ended)
            return;
        vm.addPast(series[0]?.points ?? []);
        this.windowed.refresh(vm.id);
    }

    key(event) {
        if (event.key === "/") {
            this.search.focus();
            event.preventDefault();
        } else if (event.key === "t") {
            this.layoutButton.click();
        }
    }
}
