// SPDX-License-Identifier: Apache-2.0
// All VMs: cards or a table, search, filters, order, and who is at the top.
import {getHistory, isHistoryKept} from "./api.js";
import {Card, COLUMNS, Line} from "./cards.js";
import {el, notice, setAttr, setText, toggle} from "./dom.js";
import {FIGURES, STANDINGS} from "./fleet.js";
import {mark} from "./widgets.js";
import {Windowed} from "./windowed.js";

const TOPS = ["cpu", "steal", "latency", "drops"];
const TOP_N = 5;
const RESORT_MS = 5000;  // order by live figures moves no faster than one can read
const TRAILS_AT_ONCE = 3;
const TRAIL_FROM = "-3m";
const SORTS = {id: "ID", name: "name", attention: "attention", host: "host", owner: "owner", state: "state",
               ...Object.fromEntries(Object.entries(FIGURES).map(([name, {label}]) => [name, label]))};
const DESCENDING = new Set(["attention", ...Object.keys(FIGURES)]);
const LIBVIRT_STATES = ["running", "blocked", "paused", "shutdown", "shutoff", "crashed", "suspended"];

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
        this.#apply();
    }

    end() {
        this.windowed?.end();
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
        this.direction = el("button", {type: "button", onclick: () => this.#sortBy(this.query.sort ?? "id", !this.query.desc)});
        this.layoutButton = el("button", {type: "button", "aria-keyshortcuts": "t",
                                          onclick: () => this.#ask({layout: this.query.layout ? "" : "table"})});
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
        this.head = el("div", {role: "row", class: "line head", "aria-rowindex": 1}, ...COLUMNS.map((column) => {
            const cell = el("span", {role: "columnheader", class: column.number ? "number" : null},
                el("button", {type: "button", onclick: () => this.#sortBy(column.sort, this.query.sort === column.sort
                    ? !this.query.desc : DESCENDING.has(column.sort))}, column.label));
            cell.setAttribute("data-sort", column.sort);
            return cell;
        }));
        this.list = el("div", {class: "list"});
        this.nothing = el("div", {});
        return el("div", {}, this.list, this.nothing);
    }

    /** The toolbar and the list as the address has them. */
    #apply() {
        const {q = "", sort = "id", desc, layout} = this.query;
        if (this.search.value !== q)
            this.search.value = q;
        this.sort.value = sort;
        this.state.value = this.query.state ?? "";
        setText(this.direction, desc ? "↓ highest first" : "↑ lowest first");
        setText(this.layoutButton, layout === "table" ? "Cards" : "Table");
        for (const cell of this.head.children)
            setAttr(cell, "aria-sort", cell.dataset.sort === sort ? (desc ? "descending" : "ascending") : null);
        if (this.layout !== (layout ?? "cards"))
            this.#build(layout ?? "cards");
        this.sortedAt = -Infinity;
        this.#fillChoices();
    }

    #build(layout) {
        this.windowed?.end();
        this.layout = layout;
        this.body = el("div", {class: "body"});
        if (layout === "table") {
            this.body.setAttribute("role", "rowgroup");
            this.list.replaceChildren(this.head, this.body);
        } else {
            this.list.replaceChildren(this.body);
        }
        setAttr(this.list, "class", `list ${layout}`);
        setAttr(this.list, "role", layout === "table" ? "table" : null);
        setAttr(this.list, "aria-label", layout === "table" ? "Virtual machines" : null);
        setAttr(this.list, "tabindex", layout === "table" ? 0 : null); // it scrolls sideways where it is narrow
        if (layout !== "table") {
            this.body.setAttribute("role", "list");
            this.body.setAttribute("aria-label", "Virtual machines");
        }
        const cards = {make: () => new Card(this.context), width: 330, height: 270, gap: 14};
        const lines = {make: () => new Line(this.context), width: 0, height: 34, gap: 0};
        this.windowed = new Windowed(this.body, {key: (vm) => vm.id, ...(layout === "table" ? lines : cards)});
    }

    // --- what is there ---

    #fillChoices() {
        if (this.choicesOf === this.fleet.members)
            return;
        this.choicesOf = this.fleet.members;
        for (const [select, key, name] of [[this.host, "host", "host"], [this.owner, "uname", "owner"]]) {
            const chosen = this.query[name] ?? "";
            const values = new Set([...this.fleet.values(key), ...(chosen ? [chosen] : [])]);
            select.replaceChildren(option("", "all"), ...[...values].map((value) => option(value, value)));
        }
    }

    update() {
        this.#fillChoices();
        this.host.value = this.query.host ?? "";
        this.owner.value = this.query.owner ?? "";
        const now = performance.now();
        if (now - this.sortedAt > RESORT_MS || this.members !== this.fleet.members) {
            this.sortedAt = now;
            this.members = this.fleet.members;
            this.selected = this.fleet.select({...this.query, desc: Boolean(this.query.desc)});
        }
        this.context.diskScale = this.fleet.diskScale();
        setAttr(this.list, "aria-rowcount", this.layout === "table" ? this.selected.length + 1 : null);
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
        for (const {name, list} of this.tops) {
            const top = this.fleet.top(name, TOP_N);
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
        setAttr(number, "title", `${value} ${FIGURES[name].unit}`);
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
            if (await isHistoryKept()) {
                const {series} = await getHistory(vm.id, `metric=cpu_usage_percent&from=${TRAIL_FROM}`);
                vm.addPast(series[0]?.points ?? []);
            }
        } catch (error) {
            console.debug(`no history of VM ${vm.id}: ${error.message}`); // it begins with now
            this.wanted.clear(); // nor is there one of the others, or only after a while
        }
        this.trails--;
        this.#nextTrail();
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
