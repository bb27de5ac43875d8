// The front page: names a room to open, and shows the live ones.

import * as api from "./api.js";
import { advise } from "./diagnose.js";
import { bitrate, byId, count, element, size } from "./dom.js";

const POLL_MS = 1_000;
const shown = new Map();
let hasAskedForToken = false;

api.takeTokenFromAddress();
byId("open").addEventListener("submit", (event) => {
  event.preventDefault();
  const name = byId("room").value.trim();
  if (name) location.assign(`/${event.submitter?.value ?? "watch"}/${encodeURIComponent(name)}`);
});
poll();

async function poll() {
  try {
    show(await api.rooms());
    byId("trouble").hidden = true;
  } catch (error) {
    await showTrouble(error);
  }
  setTimeout(poll, document.hidden ? POLL_MS * 5 : POLL_MS);
}

async function showTrouble(error) {
  const advice = advise(error);
  byId("trouble").hidden = false;
  byId("trouble").textContent = `${advice.title}. ${advice.detail}`;
  byId("totals").textContent = "";
  if (error.status === 401 && !hasAskedForToken) {
    hasAskedForToken = true;
    hasAskedForToken = await api.askForToken("The room list of this server is not public.");
  }
}

function show(rooms) {
  const sorted = [...rooms].sort((a, b) => isLive(b) - isLive(a) || a.name.localeCompare(b.name));
  const names = new Set(sorted.map((room) => room.name));
  for (const [name, item] of shown) {
    if (!names.has(name)) {
      item.remove();
      shown.delete(name);
    }
  }
  const list = byId("rooms");
  sorted.forEach((room, index) => {
    const item = shown.get(room.name) ?? makeItem(room.name);
    fill(item, room);
    // Moving a node loses its focus, so a node that is in place stays.
    if (list.children[index] !== item) list.insertBefore(item, list.children[index] ?? null);
  });
  byId("empty").hidden = sorted.length > 0;
  const viewers = sorted.reduce((total, room) => total + room.subscribers, 0);
  byId("totals").textContent = `${count(sorted.length, "room", "rooms")}, ${count(viewers, "viewer", "viewers")}`;
}

function makeItem(name) {
  const path = encodeURIComponent(name);
  const item = element(
    "li",
    { className: "card" },
    element("div", { className: "name" }, element("span", { textContent: name }), element("span", { className: "badge" })),
    element("p", { className: "quiet people" }),
    element("ul", { className: "tracks" }),
    element(
      "div",
      { className: "row" },
      element("a", { className: "button primary", href: `/watch/${path}`, textContent: "Watch", ariaLabel: `Watch ${name}` }),
      element("a", { className: "button", href: `/publish/${path}`, textContent: "Publish", ariaLabel: `Publish to ${name}` }),
    ),
  );
  shown.set(name, item);
  return item;
}

function fill(item, room) {
  const badge = item.querySelector(".badge");
  setText(badge, isLive(room) ? "Live" : "Waiting");
  badge.dataset.tone = isLive(room) ? "live" : "";
  const publisher = isLive(room) ? "1 publisher" : "no publisher";
  setText(item.querySelector(".people"), `${publisher}, ${count(room.subscribers, "viewer", "viewers")}`);
  const tracks = item.querySelector(".tracks");
  const lines = room.tracks.filter((track) => track.bitrate_bps > 0).map(describe);
  if (tracks.dataset.lines === lines.join("\n")) return;
  tracks.dataset.lines = lines.join("\n");
  tracks.replaceChildren(...lines.map((line) => element("li", { textContent: line })));
}

function describe(track) {
  const flowing = (track.encodings ?? []).filter((encoding) => encoding.flowing);
  const best = flowing.reduce((top, next) => ((next.height ?? 0) > (top?.height ?? 0) ? next : top), null);
  const parts = [track.kind, track.codec, bitrate(track.bitrate_bps)];
  if (best?.height) parts.push(size(best.width, best.height));
  if (flowing.length > 1) parts.push(`${flowing.length} encodings`);
  return parts.join(" · ");
}

function isLive(room) {
  return Boolean(room.publisher?.connected);
}

function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}
