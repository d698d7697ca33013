// SPDX-License-Identifier: Apache-2.0
// The page: which view the address asks for, how often, and whether the endpoint is there.
import {setToken} from "./api.js";
import {setText} from "./dom.js";
import {Fleet} from "./fleet.js";
import {Live} from "./live.js";
import {FleetView} from "./view_fleet.js";
import {HealthView} from "./view_health.js";
import {VmView} from "./view_vm.js";

const STATES = {
    connecting: "◔ connecting", live: "● live", polling: "● polling", offline: "◆ no answer, trying again", token: "■ token needed",
    paused: "‖ paused",
};
const INTERVAL_KEY = "one-telemetry-interval";

/** "#/vm/83?range=1h" → {path: ["vm", "83"], query: {range: "1h"}} */
function readAddress() {
    const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
    return {path: path.split("/").filter(Boolean).map(decodeURIComponent), query: Object.fromEntries(new URLSearchParams(query ?? ""))};
}

class App {
    constructor() {
        this.main = document.querySelector("main");
        this.stateElement = document.querySelector("#connection");
        this.fleet = new Fleet();
        this.state = "connecting";
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

    askToken(why) {
        setText(document.querySelector("#token-why"), why ?? "This endpoint gives its figures only to those that have its token.");
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

    #key(event) {
        if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, textarea, dialog"))
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
            link.toggleAttribute("aria-current", link.hash === `#/${path[0] ?? ""}`);
        this.view.update();
    }

    #make([view, id], query) {
        if (view === "vm" && /^(one-)?\d+$/.test(id ?? ""))
            return new VmView(this, query, id.replace("one-", ""));
        return view === "health" ? new HealthView(this) : new FleetView(this, query);
    }

    // --- news ---

    #setState(state, detail) {
        if (state === "token" && this.state !== "token")
            this.askToken(detail);
        if (state === this.state && detail === this.detail)
            return;
        this.state = state;
        this.detail = detail;
        this.#showState();
        if (state === "offline" || state === "token")
            this.#render();
    }

    #showState() {
        const shown = this.paused ? "paused" : this.state;
        document.body.dataset.state = shown;
        setText(this.stateElement, STATES[shown]);
        this.stateElement.title = this.detail ?? "";
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
