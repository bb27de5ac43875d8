// The status page: what the server measures of itself, each second, with its course since the page was opened.

import * as api from "./api.js";
import { BarChart, LineChart } from "./chart.js";
import { advise } from "./diagnose.js";
import { amount, byId, count, duration, setText, showBadge, span, words } from "./dom.js";
import { Figures } from "./figures.js";
import { useShortcuts } from "./keys.js";
import { showNotice } from "./notice.js";
import { poll } from "./poll.js";
import { grownBy, isContinued, quantile, ratesOfAll, whole } from "./rates.js";
import { Series } from "./series.js";
import { OF_SERVERS } from "./server-measures.js";
import { showDrops, showInterfaces, showMachine, showShards, showWarnings } from "./status-tables.js";
import { askForToken } from "./token.js";

/** @typedef {import("./rates.js").Status} Status */

const POLL_MS = 1_000;
/** Two minutes. */
const SAMPLES_MAX = 120;
/** A spread over fewer readings jumps about. */
const SPREAD_READINGS = 10;
const QUANTILE_READINGS = 5;
/** An answer that is older than this is no longer "now". */
const STALE_MS = 3_500;
/** The classes of train lengths: the first and the last of each. */
const TRAIN_CLASSES = [[1, 1], [2, 3], [4, 7], [8, 15], [16, 31], [32, 64]];

const figures = new Figures(byId("now", HTMLElement), OF_SERVERS);
const pauseButton = byId("pause", HTMLButtonElement);
const rate = (/** @type {number} */ value) => words(amount(value));
const seconds = (/** @type {number} */ value) => words(duration(value));
const packetChart = new LineChart(byId("packets-chart", HTMLElement), { name: "Packets per second", lengthMax: SAMPLES_MAX, span: "2 min ago", least: 4, words: rate });
const latencyChart = new LineChart(byId("latency-chart", HTMLElement), { name: "Forwarding latency", lengthMax: SAMPLES_MAX, span: "2 min ago", least: 0.001, words: seconds });
const trainChart = new BarChart(byId("trains-chart", HTMLElement), { name: "Share of packets by train length", empty: "Nothing was sent in the last 10 s." });
const spreadChart = new BarChart(byId("spread-chart", HTMLElement), { name: "Share of packets by latency", empty: "Nothing was forwarded in the last 10 s." });
const series = { in: new Series(SAMPLES_MAX), out: new Series(SAMPLES_MAX), p50: new Series(SAMPLES_MAX), p99: new Series(SAMPLES_MAX) };
/** The newest readings, oldest first. @type {Status[]} */
let readings = [];
let answeredAt = 0;
let isPaused = false;
let isAnswering = false;

api.takeTokenFromAddress();
pauseButton.addEventListener("click", togglePause);
useShortcuts([{ key: "p", does: "Pause, or go on", run: togglePause }]);
const asking = poll({ everyMs: POLL_MS, ask: api.status, onAnswer: take, onError: showTrouble });
setInterval(showAge, 500);
addEventListener("resize", drawCharts);

function togglePause() {
  isPaused = !isPaused;
  pauseButton.setAttribute("aria-pressed", String(isPaused));
  asking.pause(isPaused);
  showAge();
}

/** @param {unknown} error @param {number} tryAgainAt */
async function showTrouble(error, tryAgainAt) {
  isAnswering = false;
  showAge();
  const isTokenNeeded = error instanceof api.Problem && error.status === 401;
  const isRefused = error instanceof api.Problem && error.status === 403;
  if (isTokenNeeded) {
    showNotice(advise(error), { actions: [{ label: "Enter the token", run: enterToken }] });
    asking.pause(true);
    await enterToken();
  } else if (isRefused) {
    asking.pause(true);
    showNotice(advise(error));
  } else {
    showNotice(advise(error), { tryAgainAt, actions: [{ label: "Try now", run: () => asking.now() }] });
  }
}

async function enterToken() {
  if (await askForToken(api.hasToken() ? "The token was wrong." : "This server shows its status to those who have its token.")) asking.pause(false);
}

/** @param {Status} status */
function take(status) {
  isAnswering = true;
  answeredAt = performance.now();
  showNotice(null);
  const last = readings.at(-1);
  if (last && !isContinued(last, status)) forget();
  readings.push(status);
  if (readings.length > SPREAD_READINGS + 1) readings.shift();
  byId("board", HTMLElement).hidden = false;
  showFigures(status, readings.at(-2) ?? null);
  showWarnings(status);
  showShards(readings);
  showDrops(status, readings.at(-2) ?? null);
  showMachine(status);
  showInterfaces(status);
  drawCharts();
  showAge();
}

/** Another run of the server begins at zero, so nothing that was seen before can be compared. */
function forget() {
  readings = [];
  figures.clear();
  for (const one of Object.values(series)) one.clear();
}

/** @param {Status} status @param {Status | null} before */
function showFigures(status, before) {
  const rates = before && ratesOfAll(before, status);
  const counts = latencyCounts(QUANTILE_READINGS);
  const at = (/** @type {number} */ q) => {
    const ns = counts && quantile(counts, status.latency_bounds_ns, q);
    return ns === null ? null : ns / 1e9;
  };
  const [p50, p99] = [at(0.5), at(0.99)];
  series.in.push(rates?.inPerSecond);
  series.out.push(rates?.outPerSecond);
  series.p50.push(p50);
  series.p99.push(p99);
  figures.show({
    load: rates?.load,
    inPerSecond: rates?.inPerSecond,
    outPerSecond: rates?.outPerSecond,
    forwardedBps: rates?.forwardedBps,
    cpuPerPacket: rates?.cpuPerPacket,
    train: rates?.train,
    p50,
    p99,
    dropsPerSecond: rates?.dropsPerSecond,
    sessions: status.publishers + status.subscribers,
    rooms: status.rooms,
  });
  const shards = count(status.shards.length, "shard", "shards");
  setText(byId("about", HTMLElement), `Sluice ${status.version}, ${shards}, up ${span(status.uptime_seconds)}`);
}

/** How the packets of the last readings are spread over the buckets of latency. @param {number} length */
function latencyCounts(length) {
  const [first, last] = ends(length);
  return first && last ? grownBy(whole(first).latency_counts, whole(last).latency_counts) : null;
}

/** @param {number} length @returns {(Status | undefined)[]} */
function ends(length) {
  if (readings.length < 2) return [];
  return [readings[Math.max(0, readings.length - 1 - length)], readings.at(-1)];
}

function drawCharts() {
  if (byId("board", HTMLElement).hidden) return;
  packetChart.draw([
    { label: "in", tone: "one", values: series.in.values },
    { label: "out", tone: "two", values: series.out.values },
  ]);
  latencyChart.draw([
    { label: "p50", tone: "one", values: series.p50.values },
    { label: "p99", tone: "two", values: series.p99.values },
  ]);
  drawTrains();
  drawSpread();
}

function drawTrains() {
  const [first, last] = ends(SPREAD_READINGS);
  const trains = first && last ? grownBy(whole(first).trains, whole(last).trains) : [];
  const packets = TRAIN_CLASSES.map(([from, to]) =>
    trains.reduce((sum, sends, length) => (length >= from && length <= to ? sum + sends * length : sum), 0),
  );
  const all = packets.reduce((sum, value) => sum + value, 0);
  const label = (/** @type {number[]} */ [from, to]) => (from === to ? `${from}` : `${from}–${to}`);
  trainChart.draw(TRAIN_CLASSES.map((ends, index) => ({ label: label(ends), value: packets[index], text: share(packets[index], all) })));
}

/** One bar for each doubling, from the shortest to the longest that was seen. */
function drawSpread() {
  const counts = latencyCounts(SPREAD_READINGS) ?? [];
  const bounds = readings.at(-1)?.latency_bounds_ns ?? [];
  /** @type {Map<number, number>} */
  const octaves = new Map();
  counts.forEach((value, index) => {
    const octave = Math.ceil(Math.log2(bounds[index] / bounds[0]) - 1e-6);
    octaves.set(octave, (octaves.get(octave) ?? 0) + value);
  });
  const seen = [...octaves].filter(([, value]) => value > 0).map(([octave]) => octave);
  const all = counts.reduce((sum, value) => sum + value, 0);
  const from = Math.min(...seen);
  const length = seen.length > 0 ? Math.max(...seen) - from + 1 : 0;
  spreadChart.draw(
    Array.from({ length }, (_, index) => {
      const value = octaves.get(from + index) ?? 0;
      return { label: `${shortDuration((bounds[0] * 2 ** (from + index)) / 1e9)}`, value, text: share(value, all) };
    }),
  );
}

/** @param {number} value in seconds */
function shortDuration(value) {
  const units = /** @type {[number, string][]} */ ([[1, "s"], [1e-3, "ms"], [1e-6, "µs"]]);
  const [size, unit] = units.find(([size]) => value >= size * 0.999) ?? units[2];
  return `${Math.round(value / size)} ${unit}`;
}

/** @param {number} part @param {number} all */
function share(part, all) {
  const percents = (part / all) * 100;
  return percents > 0 && percents < 1 ? "< 1 %" : `${Math.round(percents)} %`;
}

function showAge() {
  const age = performance.now() - answeredAt;
  const isFresh = isAnswering && age < STALE_MS;
  byId("board", HTMLElement).classList.toggle("stale", !isFresh && !isPaused && answeredAt > 0);
  if (isPaused) showBadge("Paused", "");
  else if (isFresh) showBadge(...health());
  else if (answeredAt > 0) showBadge(isAnswering ? "Stale" : "Disconnected", "bad");
  else if (!byId("notice", HTMLElement).hidden) showBadge("Not connected", "bad");
  const text = answeredAt === 0 || isFresh ? "" : `Figures are ${span(age / 1000)} old`;
  setText(byId("age", HTMLElement), text);
}

/** @returns {[string, string]} */
function health() {
  const status = readings.at(-1);
  if (status?.not_ready) return [`Not ready: ${status.not_ready}`, "bad"];
  return ["Live", "live"];
}
