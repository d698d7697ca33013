// SPDX-License-Identifier: Apache-2.0
// Elements, made without any HTML text: a VM may be called <script>.

const SVG = "http://www.w3.org/2000/svg";

function fill(node, props, children) {
    for (const [name, value] of Object.entries(props ?? {})) {
        if (value === undefined || value === null || value === false)
            continue;
        if (name.startsWith("on"))
            node.addEventListener(name.slice(2), value);
        else
            node.setAttribute(name, value === true ? "" : value);
    }
    node.append(...children.filter((child) => child !== null && child !== undefined));
    return node;
}

/** An element with attributes (`onclick` and the like: listeners) and children (elements or text). */
export function el(tag, props, ...children) {
    return fill(document.createElement(tag), props, children);
}

export function svg(tag, props, ...children) {
    return fill(document.createElementNS(SVG, tag), props, children);
}

/** Sets what differs only: a text that stays the same costs no layout. Another text in the same node costs less than another
 * node. */
export function setText(node, text) {
    const only = node.firstChild;
    if (only?.nodeType === Node.TEXT_NODE && only === node.lastChild) {
        if (only.data !== text)
            only.data = text;
    } else if (node.textContent !== text) {
        node.textContent = text;
    }
}

export function setAttr(node, name, value) {
    if (value === null || value === undefined || value === false)
        node.removeAttribute(name);
    else if (node.getAttribute(name) !== String(value))
        node.setAttribute(name, value);
}

export function toggle(node, hidden) {
    if (node.hidden !== hidden)
        node.hidden = hidden;
}

/** A time as the viewer's clock has it, in UTC on hover. */
export function timeElement(iso, text) {
    return el("time", {datetime: iso, title: iso}, text);
}

/** Where a view has nothing to show: what is the matter, and what to do. */
export function notice(title, detail, ...more) {
    return el("section", {class: "notice"}, el("h2", {}, title), el("p", {}, detail), ...more);
}
