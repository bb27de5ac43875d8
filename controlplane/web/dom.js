// Small pieces of page: elements, icons, the badge, and units in words.

/**
 * The element of the page with this id, which has to be of this type.
 * @template {Element} T
 * @param {string} id
 * @param {new () => T} type
 * @returns {T}
 */
export function byId(id, type) {
  const found = document.getElementById(id);
  if (!(found instanceof type)) throw new Error(`the page has no ${type.name} #${id}`);
  return found;
}

/**
 * Makes an element with properties and children.
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} name
 * @param {Partial<HTMLElementTagNameMap[K]>} [properties]
 * @param {...(Node | string)} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

const SVG = "http://www.w3.org/2000/svg";

/**
 * Makes an SVG element with attributes and children.
 * @template {keyof SVGElementTagNameMap} K
 * @param {K} name
 * @param {Record<string, string | number>} [attributes]
 * @param {...(Node | string)} children
 * @returns {SVGElementTagNameMap[K]}
 */
export function svg(name, attributes = {}, ...children) {
  const made = document.createElementNS(SVG, name);
  for (const [attribute, value] of Object.entries(attributes)) made.setAttribute(attribute, String(value));
  made.append(...children);
  return made;
}

/** @param {string} name a symbol of icons.svg */
export function icon(name) {
  const use = svg("use", { href: `/assets/icons.svg#${name}` });
  return svg("svg", { class: "icon", "aria-hidden": "true" }, use);
}

/**
 * Changes the icon that `button` begins with.
 * @param {HTMLElement} button
 * @param {string} name
 */
export function setIcon(button, name) {
  const href = `/assets/icons.svg#${name}`;
  const use = button.querySelector("use");
  if (use && use.getAttribute("href") !== href) use.setAttribute("href", href);
}

/**
 * Sets a text where it differs, so that nothing is read aloud twice.
 * @param {Node} node
 * @param {string} text
 */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/**
 * @param {string} text
 * @param {string} [tone] `live`, `warn`, `bad` or none
 */
export function showBadge(text, tone = "") {
  const badge = byId("badge", HTMLElement);
  setText(badge, text);
  badge.dataset.tone = tone;
}

/** A key or a pointer that is meant for a field, a dialog or nothing of ours. @param {Event} event */
export function isForField(event) {
  return event.target instanceof Element && event.target.closest("input:not([type=checkbox]), textarea, select, dialog") !== null;
}

/** @typedef {[value: string, unit: string]} Reading a number for people and its unit */

/** @type {Reading} */
export const NOTHING = ["–", ""];

/** @param {Reading} reading */
export function words([value, unit]) {
  return unit ? `${value} ${unit}` : value;
}

/** @param {number | null | undefined} bps @returns {Reading} */
export function bitrate(bps) {
  if (bps === null || bps === undefined || !Number.isFinite(bps)) return NOTHING;
  if (bps >= 1e9) return [(bps / 1e9).toFixed(2), "Gbit/s"];
  return bps >= 1e6 ? [(bps / 1e6).toFixed(bps >= 1e8 ? 0 : 2), "Mbit/s"] : [String(Math.round(bps / 1000)), "kbit/s"];
}

/** A time from nanoseconds to seconds, with three digits. @param {number | null | undefined} seconds @returns {Reading} */
export function duration(seconds) {
  if (seconds === null || seconds === undefined || !Number.isFinite(seconds)) return NOTHING;
  if (seconds === 0) return ["0", "ms"];
  if (seconds < 1e-6) return [digits(seconds * 1e9), "ns"];
  if (seconds < 1e-3) return [digits(seconds * 1e6), "µs"];
  if (seconds < 1) return [digits(seconds * 1e3), "ms"];
  return [digits(seconds), "s"];
}

/** @param {number | null | undefined} seconds @returns {Reading} */
export function milliseconds(seconds) {
  if (seconds === null || seconds === undefined || !Number.isFinite(seconds)) return NOTHING;
  return [seconds < 0.01 ? (seconds * 1000).toFixed(1) : String(Math.round(seconds * 1000)), "ms"];
}

/** @param {number | null | undefined} fraction @returns {Reading} */
export function percent(fraction) {
  if (fraction === null || fraction === undefined || !Number.isFinite(fraction)) return NOTHING;
  return [fraction * 100 < 10 ? (fraction * 100).toFixed(1) : String(Math.round(fraction * 100)), "%"];
}

/** A count or a rate, with thousands marked. @param {number | null | undefined} number @returns {Reading} */
export function amount(number) {
  if (number === null || number === undefined || !Number.isFinite(number)) return NOTHING;
  return [number < 10 && !Number.isInteger(number) ? number.toFixed(1) : Math.round(number).toLocaleString("en"), ""];
}

/** @param {number | null | undefined} width @param {number | null | undefined} height */
export function size(width, height) {
  return width && height ? `${width} × ${height}` : "–";
}

/** @param {number} number @param {string} one @param {string} many */
export function count(number, one, many) {
  return `${number.toLocaleString("en")} ${number === 1 ? one : many}`;
}

/** `2 d 3 h`, `4 min 5 s`: the two largest units. @param {number} seconds */
export function span(seconds) {
  const whole = Math.floor(seconds);
  const parts = [
    [Math.floor(whole / 86_400), "d"],
    [Math.floor(whole / 3_600) % 24, "h"],
    [Math.floor(whole / 60) % 60, "min"],
    [whole % 60, "s"],
  ];
  const first = Math.max(0, Math.min(2, parts.findIndex(([value]) => Number(value) > 0)));
  const start = parts.every(([value]) => value === 0) ? 3 : whole < 60 ? 3 : first;
  return parts.slice(start, start + 2).map(([value, unit]) => `${value} ${unit}`).join(" ");
}

/** @param {number} value */
function digits(value) {
  return value >= 100 ? String(Math.round(value)) : value >= 10 ? value.toFixed(1) : value.toFixed(2);
}
