// The notice at the head of a page: what is wrong, what to check, what can be done, and when it is tried again.

import { byId, element, setText } from "./dom.js";

/** @typedef {{title: string, detail?: string, checks?: string[], isBad?: boolean}} Advice */
/** @typedef {{label: string, run: () => void}} Action */

const TICK_MS = 250;

let shown = "";
let retryAt = 0;
/** @type {ReturnType<typeof setInterval> | undefined} */
let ticking;

/**
 * Shows `advice`, or hides the notice with null. `tryAgainAt` (`performance.now()`) makes a countdown, which
 * is not read aloud.
 * @param {Advice | null} advice
 * @param {{actions?: Action[], tryAgainAt?: number}} [more]
 */
export function showNotice(advice, { actions = [], tryAgainAt = 0 } = {}) {
  const notice = byId("notice", HTMLElement);
  retryAt = advice ? tryAgainAt : 0;
  countDown();
  const wanted = JSON.stringify([advice, actions.map((action) => action.label), retryAt > 0]);
  if (wanted === shown) return;
  shown = wanted;
  if (!advice) {
    notice.hidden = true;
    notice.replaceChildren();
    return;
  }
  notice.classList.toggle("bad", advice.isBad ?? true);
  notice.hidden = false;
  const said = element("div", { role: "alert" });
  notice.replaceChildren(said, ...footer(actions));
  // A region is read aloud when it changes, not when it comes.
  said.append(
    element("h2", { textContent: advice.title }),
    ...(advice.detail ? [element("p", { textContent: advice.detail })] : []),
    ...(advice.checks?.length ? [list(advice.checks)] : []),
  );
  countDown();
}

/** @param {string[]} checks */
function list(checks) {
  return element("ul", {}, ...checks.map((check) => element("li", { textContent: check })));
}

/** @param {Action[]} actions */
function footer(actions) {
  if (actions.length === 0 && retryAt === 0) return [];
  const buttons = actions.map(({ label, run }) => {
    const button = element("button", { type: "button", textContent: label });
    button.addEventListener("click", run);
    return button;
  });
  return [element("div", { className: "row" }, ...buttons, element("span", { className: "countdown" }))];
}

function countDown() {
  clearInterval(ticking);
  if (retryAt === 0) return;
  const tick = () => {
    const place = document.querySelector("#notice .countdown");
    const seconds = Math.ceil((retryAt - performance.now()) / 1000);
    if (place) setText(place, seconds > 0 ? `Trying again in ${seconds} s` : "Trying again now");
  };
  ticking = setInterval(tick, TICK_MS);
  tick();
}
