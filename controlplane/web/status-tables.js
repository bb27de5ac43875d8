// The tables of the status page. Rows stay in place as their figures change, so that they can be read.

import { amount, byId, duration, element, percent, setText, words } from "./dom.js";
import { reasonOf } from "./drops.js";
import { grownBy, quantile, ratesOf, whole } from "./rates.js";

/** @typedef {import("./rates.js").Status} Status */

const STATES = { running: ["Running", "live"], stalled: ["Hangs", "bad"], ended: ["Ended", "bad"] };
/** Latency of a shard is taken over so many readings. */
const LATENCY_READINGS = 5;

/** @param {Status[]} readings oldest first */
export function showShards(readings) {
  const status = readings[readings.length - 1];
  const before = readings.at(-2);
  const early = readings[Math.max(0, readings.length - 1 - LATENCY_READINGS)];
  const rows = status.shards.map((shard, index) => {
    const rates = before ? ratesOf(before, status, index) : null;
    const counts = grownBy(early.shards[index].latency_counts, shard.latency_counts);
    const at = (/** @type {number} */ q) => {
      const ns = quantile(counts, status.latency_bounds_ns, q);
      return words(duration(ns === null ? null : ns / 1e9));
    };
    return [
      String(shard.id),
      STATES[shard.state][0],
      words(percent(rates?.load)),
      words(amount(shard.transports)),
      `${words(amount(rates?.inPerSecond))}/s`,
      `${words(amount(rates?.outPerSecond))}/s`,
      words(duration(rates?.cpuPerPacket)),
      words(amount(rates?.train)),
      at(0.5),
      at(0.99),
      `${words(amount(rates?.dropsPerSecond))}/s`,
      words(amount(shard.stalls_total)),
      shard.backend,
      ports(shard),
    ];
  });
  fill(byId("shards", HTMLTableElement), rows);
  const body = byId("shards", HTMLTableElement).tBodies[0];
  status.shards.forEach((shard, index) => (body.rows[index].cells[1].dataset.tone = STATES[shard.state][1]));
}

/** @param {Status} status @param {Status | null} before */
export function showDrops(status, before) {
  const now = whole(status).drops;
  const then = before ? whole(before).drops : now;
  const seconds = before ? status.uptime_seconds - before.uptime_seconds : 1;
  const names = Object.keys(now).filter((name) => now[name] > 0);
  const rows = names
    .sort((one, other) => now[other] - now[one] || one.localeCompare(other))
    .map((name) => {
      const { means, isNormal } = reasonOf(name);
      const perSecond = (now[name] - (then[name] ?? 0)) / seconds;
      /** @type {Cell[]} */
      const cells = [[name.replaceAll("_", " "), isNormal ? `Normal. ${means}` : means], words(amount(perSecond)), words(amount(now[name]))];
      return cells;
    });
  byId("drops-empty", HTMLElement).hidden = rows.length > 0;
  byId("drops-region", HTMLElement).hidden = rows.length === 0;
  fill(byId("drops", HTMLTableElement), rows);
}

/** @param {Status} status */
export function showMachine(status) {
  const sockets = status.shards.flatMap((shard) => shard.sockets);
  const least = (/** @type {number[]} */ sizes) => (sizes.length > 0 ? `${(Math.min(...sizes) / 1024 / 1024).toFixed(1)} MiB` : "–");
  const overflow = whole(status).totals.receive_overflow ?? 0;
  facts(byId("machine", HTMLElement), [
    ["CPUs that may be used", words(amount(status.cpus))],
    ["Backend", [...new Set(status.shards.map((shard) => shard.backend))].join(", ")],
    ["Receive buffer, a socket", least(sockets.map((socket) => socket.receive_buffer_bytes))],
    ["Send buffer, a socket", least(sockets.map((socket) => socket.send_buffer_bytes))],
    ["Lost in full receive buffers", words(amount(overflow))],
    ["Panics", words(amount(whole(status).totals.panics ?? 0))],
  ]);
}

/** @param {Status} status */
export function showInterfaces(status) {
  const yesNo = (/** @type {boolean | null} */ fact) => (fact === null ? "not known" : fact ? "yes" : "no");
  const rows = status.interfaces.map((one) => [
    one.name,
    one.is_up ? "up" : "down",
    one.addresses.join(", ") || "none",
    one.is_loopback ? "–" : yesNo(one.udp_segmentation),
    one.is_loopback ? "–" : yesNo(one.tx_checksum),
  ]);
  fill(byId("interfaces", HTMLTableElement), rows);
}

/** @param {Status} status */
export function showWarnings(status) {
  const list = byId("warnings", HTMLElement);
  list.hidden = status.warnings.length === 0;
  if (list.children.length === status.warnings.length) return;
  list.replaceChildren(
    ...status.warnings.map(({ check, found, remedy }) => {
      const mended = remedy ? [" Remedy: ", element("code", { textContent: remedy })] : [];
      return element("li", {}, element("strong", { textContent: `${check}:` }), ` ${found}.`, ...mended);
    }),
  );
}

/** @param {import("./rates.js").Shard} shard */
function ports(shard) {
  return [...new Set(shard.sockets.map(({ address }) => address.slice(address.lastIndexOf(":") + 1)))].join(", ");
}

/** A text, or a text with what explains it below. @typedef {string | [string, string]} Cell */

/** @param {HTMLTableElement} table @param {Cell[][]} rows */
function fill(table, rows) {
  const body = table.tBodies[0];
  while (body.rows.length > rows.length) body.deleteRow(-1);
  while (body.rows.length < rows.length) {
    const [, ...rest] = rows[0];
    body.append(element("tr", {}, element("th", { scope: "row" }), ...rest.map(() => element("td"))));
  }
  rows.forEach((cells, index) => cells.forEach((cell, place) => fillCell(body.rows[index].cells[place], cell)));
}

/** @param {HTMLElement} place @param {Cell} cell */
function fillCell(place, cell) {
  if (typeof cell === "string") return setText(place, cell);
  if (place.children.length !== 2) place.replaceChildren(element("span"), element("small"));
  cell.forEach((text, index) => setText(place.children[index], text));
}

/** @param {HTMLElement} list @param {[string, string][]} pairs */
function facts(list, pairs) {
  if (list.children.length !== pairs.length) {
    list.replaceChildren(...pairs.map(([name]) => element("div", {}, element("dt", { textContent: name }), element("dd"))));
  }
  pairs.forEach(([, text], index) => setText(list.children[index].children[1], text));
}
