// Charts of our own, in SVG: a sparkline, lines over time, and bars. They know numbers and nothing of
// their meaning. A chart is drawn at the size that it has, so that its letters keep theirs.

import { element, setText, svg } from "./dom.js";

const SPARK_WIDTH = 100;
const SPARK_HEIGHT = 28;
const LINES_HEIGHT = 180;
const BARS_HEIGHT = 170;
const LEFT = 58;
const RIGHT = 10;
const TOP = 10;
const BOTTOM = 24;
const TICKS = 4;
/** Labels of bars that come closer than this run into each other, and numbers on bars that are narrower. */
const LABEL_WIDTH = 46;
const VALUE_WIDTH = 34;

/** The course of one figure, without axes. Decoration: the figure beside it says the same. */
export class Sparkline {
  /** @param {number} lengthMax how many values its width holds */
  constructor(lengthMax) {
    this.lengthMax = lengthMax;
    this.line = svg("path", { class: "spark-line" });
    this.area = svg("path", { class: "spark-area" });
    const viewBox = `0 0 ${SPARK_WIDTH} ${SPARK_HEIGHT}`;
    this.node = svg("svg", { class: "spark", viewBox, preserveAspectRatio: "none", "aria-hidden": "true" }, this.area, this.line);
  }

  /** @param {(number | null)[]} values */
  draw(values) {
    const highest = Math.max(...values.map((value) => value ?? 0), 0) || 1;
    const step = SPARK_WIDTH / (this.lengthMax - 1);
    const first = SPARK_WIDTH - (values.length - 1) * step;
    const points = values.map((value, index) => [first + index * step, value === null ? null : y(value)]);
    function y(/** @type {number} */ value) {
      return SPARK_HEIGHT - 2 - (value / highest) * (SPARK_HEIGHT - 4);
    }
    this.line.setAttribute("d", path(points));
    this.area.setAttribute("d", values.includes(null) || points.length < 2 ? "" : `${path(points)}V${SPARK_HEIGHT}H${first}Z`);
  }
}

/**
 * Lines over time, the newest value at the right.
 * @typedef {{label: string, tone: string, values: (number | null)[]}} Line
 */
export class LineChart {
  /**
   * @param {HTMLElement} host
   * `least` is what the scale reaches at the least.
   * @param {{name: string, lengthMax: number, span: string, least: number, words: (value: number) => string}} plan
   */
  constructor(host, plan) {
    this.host = host;
    this.plan = plan;
    this.legend = element("ul", { className: "legend" });
    this.node = svg("svg", { class: "chart", role: "img" });
    host.replaceChildren(this.legend, this.node);
  }

  /** @param {Line[]} lines */
  draw(lines) {
    const { name, lengthMax, span, least, words } = this.plan;
    const width = Math.max(200, this.host.clientWidth);
    const ceiling = niceCeiling(Math.max(...lines.flatMap((line) => line.values.map((value) => value ?? 0)), least));
    const inner = { width: width - LEFT - RIGHT, height: LINES_HEIGHT - TOP - BOTTOM };
    const y = (/** @type {number} */ value) => TOP + inner.height * (1 - value / ceiling);
    const parts = [];
    for (let tick = 0; tick <= TICKS; tick += 1) {
      const value = (ceiling * tick) / TICKS;
      parts.push(svg("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: y(value), y2: y(value) }));
      // A scale has round numbers, and no need for their last digits.
      parts.push(svg("text", { x: LEFT - 8, y: y(value) + 4, "text-anchor": "end" }, words(value).replace(/\.0+(?=\s|$)/, "")));
    }
    parts.push(svg("text", { x: LEFT, y: LINES_HEIGHT - 5 }, span));
    parts.push(svg("text", { x: width - RIGHT, y: LINES_HEIGHT - 5, "text-anchor": "end" }, "now"));
    for (const { tone, values } of lines) {
      const step = inner.width / (lengthMax - 1);
      const first = width - RIGHT - (values.length - 1) * step;
      const points = values.map((value, index) => [first + index * step, value === null ? null : y(value)]);
      parts.push(svg("path", { class: `line ${tone}`, d: path(points) }));
    }
    this.node.setAttribute("viewBox", `0 0 ${width} ${LINES_HEIGHT}`);
    this.node.replaceChildren(...parts);
    const now = lines.map(({ label, values }) => `${label} ${said(values.at(-1), words)}`);
    this.node.setAttribute("aria-label", `${name}: now ${now.join(", ")}; the scale ends at ${words(ceiling)}`);
    this.#showLegend(lines);
  }

  /** @param {Line[]} lines */
  #showLegend(lines) {
    if (this.legend.children.length !== lines.length) {
      this.legend.replaceChildren(
        ...lines.map(({ label, tone }) => element("li", { className: tone }, element("span", { textContent: label }), " ", element("strong"))),
      );
    }
    lines.forEach(({ values }, index) => {
      const value = this.legend.children[index].querySelector("strong");
      if (value) setText(value, said(values.at(-1), this.plan.words));
    });
  }
}

/** Bars beside each other. @typedef {{label: string, value: number, text: string}} Bar */
export class BarChart {
  /** @param {HTMLElement} host @param {{name: string, empty: string}} plan */
  constructor(host, plan) {
    this.host = host;
    this.plan = plan;
    this.empty = element("p", { className: "quiet none", textContent: plan.empty });
    this.node = svg("svg", { class: "chart", role: "img" });
    host.replaceChildren(this.empty, this.node);
  }

  /** @param {Bar[]} bars */
  draw(bars) {
    const highest = Math.max(...bars.map((bar) => bar.value), 0);
    this.empty.hidden = highest > 0;
    this.node.toggleAttribute("hidden", highest === 0);
    if (highest === 0) return;
    const width = Math.max(200, this.host.clientWidth);
    const place = width / bars.length;
    const every = Math.ceil(LABEL_WIDTH / place);
    const room = BARS_HEIGHT - BOTTOM - TOP - 14;
    /** @type {SVGElement[]} */
    const parts = bars.flatMap(({ label, value, text }, index) => {
      const height = (value / highest) * room;
      const x = index * place + place * 0.12;
      const top = BARS_HEIGHT - BOTTOM - height;
      const middle = index * place + place / 2;
      return [
        svg("rect", { class: "bar-fill", x, y: top, width: place * 0.76, height: Math.max(height, value > 0 ? 1.5 : 0), rx: 3 }),
        ...(index % every === 0 ? [svg("text", { x: middle, y: BARS_HEIGHT - 6, "text-anchor": "middle" }, label)] : []),
        ...(value > 0 && place > VALUE_WIDTH ? [svg("text", { class: "value", x: middle, y: top - 5, "text-anchor": "middle" }, text)] : []),
      ];
    });
    parts.push(svg("line", { class: "axis", x1: 0, x2: width, y1: BARS_HEIGHT - BOTTOM, y2: BARS_HEIGHT - BOTTOM }));
    this.node.setAttribute("viewBox", `0 0 ${width} ${BARS_HEIGHT}`);
    this.node.replaceChildren(...parts);
    const spoken = bars.filter((bar) => bar.value > 0).map((bar) => `${bar.label}: ${bar.text}`);
    this.node.setAttribute("aria-label", `${this.plan.name}: ${spoken.join(", ")}`);
  }
}

/** @param {number | null | undefined} value @param {(value: number) => string} words */
function said(value, words) {
  return value === null || value === undefined ? "–" : words(value);
}

/** A path through the points; a missing one makes a gap. @param {(number | null)[][]} points */
function path(points) {
  let isDrawing = false;
  let d = "";
  for (const [x, y] of points) {
    if (x === null || y === null) {
      isDrawing = false;
      continue;
    }
    d += `${isDrawing ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`;
    isDrawing = true;
  }
  return d;
}

/** The next number from `value` on that divides well. @param {number} value */
function niceCeiling(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  const step = [1, 2, 4, 6, 8, 10].find((factor) => factor * power >= value * 0.999) ?? 10;
  return step * power;
}
