// SPDX-License-Identifier: Apache-2.0
// The page: which view the address asks for, how often, and whether the endpoint is there.
import {hasToken, setToken} from "./api.js";
import {setAttr, setText, toggle} from "./dom.js";
import {Fleet} from "./fleet.js";
import * as format from "./format.js";
import {Live} from "./live.js";
import {FleetView} from "./view_fleet.js";
import {HealthView} from "./view_health.js";
import {VmView} from "./view_vm.js";

const STATES = {
    connecting: "◔ connecting", live: "● live", polling: "● polling", offline: "◆ no answer, trying again", token: "■ token needed",
    paused: "‖ paused",
};
const CONNECT_MOST_MS = 5000; // who connects and hears nothing for so long is told
const TOKEN_WHY = "This endpoint gives its figures only to those that have its read or write token. Whoever runs it can tell "
    + "you one: they are in the files that read_token_file and write_token_file of its configuration name.";
const INTERVAL_KEY = "one-telemetry-interval";
const KEYS_KEY = "one-telemetry-keys";

/** "#/vm/83?range=1h" → {path: ["vm", "83"], query: {range: "1h"}}. Names of views and IDs need no escapes: a path that has
 * some is none of ours. */
function readAddress() {
    const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
    return {path: path.split("/").filter(Boolean), query: Object.fromEntries(new URLSearchParams(query ?? ""))};
}

function isKnown([view, id, ...rest]) {
    if (view === "vm")
        return /^(one-)?\d+$/.test(id ?? "") && rest.length === 0;
    return view === undefined || (view === "health" && id === undefined);
}

class App {
    constructor() {
        this.main = document.querySelector("main");
        this.stateElement = document.querySelector("#connection");
        this.fleet = new Fleet();
        this.state = "connecting";
        this.stateAt = Date.now();
        this.paused = false;
        this.fleetHref = "#/";
        this.live = new Live(this.fleet, () => this.#news(), (state, detail) => this.#setState(state, detail));
        this.#prepareControls();
        addEventListener("hashchange", () => this.#route());
        addEventListener("keydown", (event) => this.#key(event));
        document.addEventListener("visibilitychange", () => this.#attend());
        this.#route();
        this.#attend();
        this.#tick();
        setInterval(() => this.#second(), 1000);
    }

    // --- controls ---

    #prepareControls() {
        this.intervalSelect = document.querySelector("#interval");
        this.intervalSelect.value = localStorage.getItem(INTERVAL_KEY) ?? "1000";
        if (!this.intervalSelect.value)
            this.intervalSelect.value = "1000";
        this.interval = Number(this.intervalSelect.value);
        this.intervalSelect.addEventListener("change", () => {
            this.interval = Number(this.intervalSelect.value);
            localStorage.setItem(INTERVAL_KEY, this.interval);
            this.live.start(this.interval);
        });
        this.pauseButton = document.querySelector("#pause");
        this.pauseButton.addEventListener("click", () => this.#pause(!this.paused));
        this.keysBox = document.querySelector("#keys");
        this.keysBox.checked = localStorage.getItem(KEYS_KEY) !== "off";
        this.keysBox.addEventListener("change", () => localStorage.setItem(KEYS_KEY, this.keysBox.checked ? "on" : "off"));
        document.querySelector("#banner button").addEventListener("click", () => this.askToken());
        this.dialog = document.querySelector("#token");
        this.dialog.addEventListener("close", () => this.#takeToken());
    }

    #pause(paused) {
        this.paused = paused;
        this.fleet.pause(paused);
        this.view.update();
        this.pauseButton.setAttribute("aria-pressed", String(paused));
        this.#showState();
        this.#render();
    }

    /** why: what it is for; without it, to see anything at all. */
    askToken(why = `${hasToken() ? "The token that was given is none of this endpoint's. " : ""}${TOKEN_WHY}`) {
        setText(document.querySelector("#token-why"), why);
        if (!this.dialog.open)
            this.dialog.showModal();
    }

    #takeToken() {
        const input = document.querySelector("#token-text"), keep = document.querySelector("#token-keep");
        if (this.dialog.returnValue === "use" && input.value) {
            setToken(input.value, keep.checked);
            this.live.start(this.interval);
        }
        input.value = "";
        this.dialog.returnValue = "";
    }

    /** Single characters can be switched off, for those whose speech or switch types what they don't mean. */
    #key(event) {
        if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, textarea, dialog"))
            return;
        if (event.key.length === 1 && !this.keysBox.checked)
            return;
        if (event.key === "p")
            this.#pause(!this.paused);
        else
            this.view.key(event);
    }

    // --- the address ---

    setQuery(query) {
        const [path] = location.hash.split("?");
        const text = new URLSearchParams(query).toString();
        history.replaceState(null, "", `${path || "#/"}${text && `?${text}`}`);
        this.#route();
    }

    #route() {
        const {path, query} = readAddress();
        const key = path.join("/");
        if (!isKnown(path)) {
            const asked = location.hash;
            history.replaceState(null, "", "#/");
            this.#route();
            this.#say(`There is no page ${asked.slice(0, 80)}: these are all VMs.`);
            return;
        }
        this.#say("");
        if (path.length === 0)
            this.fleetHref = location.hash || "#/";
        if (this.view && key === this.key) {
            this.view.setQuery(query);
            return;
        }
        this.view?.end();
        this.key = key;
        document.title = "one-telemetry";
        this.view = this.#make(path, query);
        this.main.replaceChildren(this.view.element);
        scrollTo(0, 0);
        for (const link of document.querySelectorAll("#views a"))
            setAttr(link, "aria-current", link.hash === `#/${path[0] ?? ""}` ? "page" : null);
        this.view.update();
    }

    #make([view, id], query) {
        if (view === "vm")
            return new VmView(this, query, id.replace("one-", ""));
        return view === "health" ? new HealthView(this) : new FleetView(this, query);
    }

    #say(text) {
        const said = document.querySelector("#said");
        setText(said, text);
        toggle(said, !text);
    }

    // --- news ---

    #setState(state, detail) {
        if (state === "token" && this.state !== "token")
            this.askToken(); // what it answered is written for programs
        if (state === this.state && detail === this.detail)
            return;
        this.state = state;
        this.stateAt = Date.now();
        this.detail = detail;
        this.#showState();
        if (state === "offline" || state === "token")
            this.#render();
    }

    /** Nothing comes any more: what is shown is of the past. */
    get #isCut() {
        return this.state === "offline" || this.state === "token" ||
            (this.state === "connecting" && Date.now() - Math.max(this.stateAt, this.live.heardAt ?? 0) > CONNECT_MOST_MS);
    }

    #showState() {
        const shown = this.#isCut ? (this.state === "token" ? "token" : "offline") : this.paused ? "paused" : this.state;
        document.body.dataset.state = shown;
        setText(this.stateElement, STATES[shown]);
        this.stateElement.title = shown === "offline" ? this.detail ?? "" : "";
        this.#showBanner(shown);
    }

    /** What is the matter, in every view and wherever it is scrolled to. */
    #showBanner(shown) {
        const banner = document.querySelector("#banner"), [what, since, age, todo, enter] = banner.children;
        const {heardAt} = this.live, iso = heardAt === null ? null : new Date(heardAt).toISOString();
        toggle(banner, !this.#isCut);
        if (banner.hidden) {
            setText(what, "");
            return;
        }
        setText(what, shown === "token" ? "■ A token is needed" : "◆ No answer from telemetryd");
        setText(since, iso ? `since ${format.clock(iso)};` : "");
        setAttr(since, "datetime", iso);
        setAttr(since, "title", iso);
        setText(age, iso ? `what is shown is ${format.span((Date.now() - heardAt) / 1000)} old.` : "");
        setText(todo, shown === "token" ? "" : "This page asks again until it answers. On its machine: systemctl status one-telemetryd");
        toggle(enter, shown !== "token");
    }

    /** Ages go on while nothing comes. */
    #second() {
        if (!this.#isCut || document.hidden)
            return;
        this.#showState();
        this.#render();
    }

    #news() {
        this.fresh = true;
        if (!this.rendered)
            this.#render();
    }

    /** Who is not looked at asks for nothing: a browser has six connections for all its pages of an endpoint, also for those
     * that it keeps for the way back. */
    #attend() {
        if (document.hidden)
            this.live.stop();
        else
            this.live.start(this.interval);
        this.#render();
    }

    /** Shows what is new once in an interval, however often it comes. */
    #tick() {
        setTimeout(() => {
            if (this.fresh)
                this.#render();
            this.#tick();
        }, this.interval);
    }

    #render() {
        if (this.paused || document.hidden)
            return;
        this.fresh = false;
        this.rendered = this.fleet.loaded;
        this.frame ??= requestAnimationFrame(() => {
            this.frame = undefined;
            performance.mark("one-telemetry-update");
            this.view.update();
        });
    }
}

new App();
