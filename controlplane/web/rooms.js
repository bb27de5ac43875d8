// The front page: names a room to open, and shows the live ones.

import * as api from "./api.js";
import { copyButton } from "./copy.js";
import { advise } from "./diagnose.js";
import { bitrate, byId, count, element, setText, size, words } from "./dom.js";
import { useShortcuts } from "./keys.js";
import { watchUrl } from "./links.js";
import { showNotice } from "./notice.js";
import { poll } from "./poll.js";
import { askForToken } from "./token.js";

/** @typedef {import("./api.js").RoomView} Room */

const POLL_MS = 1_000;
/** @type {Map<string, HTMLLIElement>} */
const shown = new Map();
let hasAskedForToken = false;

api.takeTokenFromAddress();
const name = byId("room", HTMLInputElement);
byId("open", HTMLFormElement).addEventListener("submit", (event) => {
  event.preventDefault();
  const page = event.submitter instanceof HTMLButtonElement ? event.submitter.value : "watch";
  if (name.value.trim()) location.assign(`/${page}/${encodeURIComponent(name.value.trim())}`);
});
useShortcuts([{ key: "/", does: "Name a room", run: () => name.focus() }]);
const asking = poll({ everyMs: POLL_MS, ask: api.rooms, onAnswer: show, onError: showTrouble });

/** @param {unknown} error @param {number} tryAgainAt */
async function showTrouble(error, tryAgainAt) {
  setText(byId("totals", HTMLElement), "");
  byId("empty", HTMLElement).hidden = true;
  const isTokenNeeded = error instanceof api.Problem && error.status === 401;
  if (!isTokenNeeded) {
    showNotice(advise(error), { tryAgainAt, actions: [{ label: "Try now", run: () => asking.now() }] });
    return;
  }
  showNotice(advise(error), { actions: [{ label: "Enter the token", run: enterToken }] });
  if (!hasAskedForToken) await enterToken();
}

async function enterToken() {
  hasAskedForToken = true;
  if (await askForToken(api.hasToken() ? "The token was wrong." : "This server shows its rooms to those who have its token.")) {
    hasAskedForToken = false;
    asking.now();
  }
}

/** @param {Room[]} rooms */
function show(rooms) {
  showNotice(null);
  const sorted = [...rooms].sort((a, b) => Number(isLive(b)) - Number(isLive(a)) || a.name.localeCompare(b.name));
  const names = new Set(sorted.map((room) => room.name));
  for (const [gone, item] of shown) {
    if (!names.has(gone)) {
      item.remove();
      shown.delete(gone);
    }
  }
  const list = byId("rooms", HTMLUListElement);
  sorted.forEach((room, index) => {
    const item = shown.get(room.name) ?? makeItem(room.name);
    fill(item, room);
    // Moving a node loses its focus, so a node that is in place stays.
    if (list.children[index] !== item) list.insertBefore(item, list.children[index] ?? null);
  });
  byId("empty", HTMLElement).hidden = sorted.length > 0;
  const viewers = sorted.reduce((total, room) => total + room.subscribers, 0);
  const totals = sorted.length > 0 ? `${count(sorted.length, "room", "rooms")}, ${count(viewers, "viewer", "viewers")}` : "";
  setText(byId("totals", HTMLElement), totals);
}

/** @param {string} room */
function makeItem(room) {
  const path = encodeURIComponent(room);
  const item = element(
    "li",
    { className: "card room" },
    element("div", { className: "name" }, element("h3", { textContent: room }), element("span", { className: "badge" })),
    element("p", { className: "quiet people" }),
    element("ul", { className: "tracks" }),
    element("ul", { className: "problems" }),
    element(
      "div",
      { className: "row" },
      element("a", { className: "button primary", href: `/watch/${path}`, textContent: "Watch", ariaLabel: `Watch ${room}` }),
      element("a", { className: "button", href: `/publish/${path}`, textContent: "Publish", ariaLabel: `Publish to ${room}` }),
      copyButton(watchUrl(room), `Copy link to watch ${room}`, undefined, "Link"),
    ),
  );
  shown.set(room, item);
  return item;
}

/** @param {HTMLElement} item @param {Room} room */
function fill(item, room) {
  const badge = part(item, ".badge");
  setText(badge, isLive(room) ? "Live" : room.publisher ? "Connecting" : "Waiting");
  badge.dataset.tone = isLive(room) ? "live" : "";
  const publisher = isLive(room) ? "1 publisher" : "no publisher";
  setText(part(item, ".people"), `${publisher}, ${count(room.subscribers, "viewer", "viewers")}, shard ${room.shard}`);
  fillList(part(item, ".tracks"), room.tracks.filter((track) => track.bitrate_bps > 0).map(describe));
  fillList(part(item, ".problems"), room.problems.map((problem) => problem.detail));
}

/** @param {HTMLElement} item @param {string} selector */
function part(item, selector) {
  return /** @type {HTMLElement} */ (item.querySelector(selector));
}

/** @param {HTMLElement} list @param {string[]} lines */
function fillList(list, lines) {
  if (list.dataset.lines === lines.join("\n")) return;
  list.dataset.lines = lines.join("\n");
  list.hidden = lines.length === 0;
  list.replaceChildren(...lines.map((line) => element("li", { textContent: line })));
}

/** @param {import("./api.js").TrackView} track */
function describe(track) {
  const flowing = track.encodings.filter((encoding) => encoding.flowing);
  const [best] = [...flowing].sort((one, other) => (other.height ?? 0) - (one.height ?? 0));
  const parts = [track.kind === "audio" ? "Sound" : "Picture", track.codec ?? "", words(bitrate(track.bitrate_bps))];
  if (best?.height) parts.push(size(best.width, best.height));
  if (flowing.length > 1) parts.push(`${flowing.length} sizes`);
  return parts.filter(Boolean).join(" · ");
}

/** @param {Room} room */
function isLive(room) {
  return Boolean(room.publisher?.connected);
}
