// Figures that explain themselves: a number with its course, whether it is good, and, when asked, what is
// measured and what would be good.

import { Sparkline } from "./chart.js";
import { NOTHING, element, setText } from "./dom.js";
import { Series } from "./series.js";

const SPARK_SAMPLES = 60;

/** @typedef {"good" | "fair" | "poor" | null} Grade */
/** @typedef {number | string | null | undefined} Value */
/**
 * @typedef {object} Measure
 * @property {string} key which value it shows
 * @property {string} label
 * @property {string} means what is measured
 * @property {string} [good] what is good
 * @property {(value: any) => import("./dom.js").Reading} reading
 * @property {(value: number) => Grade} [grade]
 * @property {boolean} [isSteady] a figure without a course worth drawing
 */

/** A list of figures. */
export class Figures {
  /** @type {{measure: Measure, tile: HTMLElement, value: HTMLElement, unit: HTMLElement, grade: HTMLElement, spark: Sparkline | null, series: Series}[]} */
  #tiles;

  /** @param {HTMLElement} list a `<dl>` @param {Measure[]} measures */
  constructor(list, measures) {
    this.#tiles = measures.map((measure) => makeTile(list.id, measure));
    list.replaceChildren(...this.#tiles.map(({ tile }) => tile));
  }

  /** @param {Record<string, Value>} values @param {string[]} [ungraded] keys of what is neither good nor bad this time */
  show(values, ungraded = []) {
    for (const { measure, tile, value, unit, grade, spark, series } of this.#tiles) {
      const given = values[measure.key];
      const isThere = given !== null && given !== undefined && given !== "";
      const [number, name] = isThere ? measure.reading(given) : NOTHING;
      setText(value, number);
      setText(unit, name);
      const isGraded = isThere && !ungraded.includes(measure.key);
      const verdict = isGraded && typeof given === "number" ? (measure.grade?.(given) ?? null) : null;
      tile.dataset.grade = verdict ?? "";
      setText(grade, verdict ?? "");
      series.push(typeof given === "number" ? given : null);
      spark?.draw(series.values);
    }
  }

  /** Forgets the courses. */
  clear() {
    for (const { series } of this.#tiles) series.clear();
  }
}

/** @param {string} owner @param {Measure} measure */
function makeTile(owner, measure) {
  const id = `${owner}-${measure.key}`;
  const about = element("button", { type: "button", className: "about", textContent: "?", ariaLabel: `About: ${measure.label}`, ariaExpanded: "false" });
  about.setAttribute("aria-controls", id);
  const explanation = element("dd", { id, className: "explanation", hidden: true }, element("p", { textContent: measure.means }));
  if (measure.good) explanation.append(element("p", {}, element("strong", { textContent: "Good: " }), measure.good));
  const value = element("span", { className: "value", textContent: "–" });
  const unit = element("span", { className: "unit" });
  const grade = element("span", { className: "grade" });
  const spark = measure.isSteady ? null : new Sparkline(SPARK_SAMPLES);
  const shown = element("dd", { className: "reading" }, element("span", { className: "number" }, value, " ", unit), grade);
  const course = element("dd", { className: "course", ariaHidden: "true" }, ...(spark ? [spark.node] : []));
  const tile = element("div", { className: "figure" }, element("dt", {}, element("span", { textContent: measure.label }), about), shown, course, explanation);
  about.addEventListener("click", () => {
    explanation.hidden = !explanation.hidden;
    about.ariaExpanded = String(!explanation.hidden);
    tile.classList.toggle("open", !explanation.hidden);
  });
  return { measure, tile, value, unit, grade, spark, series: new Series(SPARK_SAMPLES) };
}

/**
 * A grade by two bounds, the lower the better.
 * @param {number} goodMax
 * @param {number} fairMax
 * @returns {(value: number) => Grade}
 */
export function lowIsGood(goodMax, fairMax) {
  return (value) => (value <= goodMax ? "good" : value <= fairMax ? "fair" : "poor");
}

/**
 * A grade by two bounds, the higher the better.
 * @param {number} goodMin
 * @param {number} fairMin
 * @returns {(value: number) => Grade}
 */
export function highIsGood(goodMin, fairMin) {
  return (value) => (value >= goodMin ? "good" : value >= fairMin ? "fair" : "poor");
}
