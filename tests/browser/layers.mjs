// A real viewer that is switched between the encodings of a simulcast camera, or the spatial layers of one stream.
//
// A machine that has too much to do freezes every picture, so a second viewer that stays where it is stands beside:
// what happens to it too is not the switches' doing.

import assert from "node:assert/strict";
import { test } from "node:test";

import { closePage, inboundVideo, openPage, pause, until } from "./chromium.mjs";

const CASES = [
  { name: "encodings of VP8", query: "codec=VP8&simulcast=1", switches: 50 },
  { name: "layers of VP9, L3T3", query: "codec=VP9&simulcast=0", mode: "L3T3", switches: 12 },
  { name: "layers of VP9, L3T3_KEY", query: "codec=VP9&simulcast=0", mode: "L3T3_KEY", switches: 12 },
  // Chromium makes two layers of so few lines; more are too much for a machine that measures itself.
  { name: "layers of AV1, L2T3_KEY", query: "codec=AV1&simulcast=0", mode: "L2T3_KEY", switches: 12, top: 360, way: "mh" },
];
/** The lines of each by those of the best. */
const LINES = { l: (top) => top / 4, m: (top) => top / 2, h: (top) => top };
/** Every way from one to another; it begins at the best. */
const WAY = "lmhmlh";
const SPATIAL = { l: { max_spatial_layer: 0 }, m: { max_spatial_layer: 1 }, h: {} };
const SPATIAL_OF_TWO = { m: { max_spatial_layer: 0 }, h: {} };
const ENCODINGS_MS_MAX = 30_000;
const SWITCH_MS_MAX = 5_000;
/** So that fifteen changes in ten seconds are not too many. */
const BETWEEN_MS = 700;
/** Of the frames that the still viewer decodes, the switched one has to decode this share. */
const SHARE_MIN = 0.85;
const FREEZES_BY_CHANCE = 1;
const CAMERA = "voice=0&start=1&prefer=maintain-resolution";

export function layerTests(world) {
  for (const { name, query, mode = "", switches, top = 720, way = WAY } of CASES) {
    test(`a viewer is switched ${switches} times between ${name} without a freeze`, { timeout: 240_000 }, async () => {
      const { url } = world.server;
      const room = `layers-${name.replace(/\W/g, "")}`.toLowerCase();
      const open = (path, scripts = []) => openPage(world.browser, `${url}${path}`, { scripts });
      const choose = { content: `(${chooseMode})(${JSON.stringify(mode)})` };
      const pages = [await open(`/publish/${room}?${CAMERA}&resolution=${top}&${query}`, mode ? [choose] : [])];
      try {
        const layers = way === WAY ? SPATIAL : SPATIAL_OF_TWO;
        const wishes = mode ? layers : await until("three encodings flow", ENCODINGS_MS_MAX, () => byHeight(url, room, top));
        pages.push(await open(`/watch/${room}`, [noteSession]), await open(`/watch/${room}`));
        await assertSwitches(url, pages.slice(1), wishes, { switches, top, way });
      } finally {
        await Promise.all(pages.map(closePage));
      }
    });
  }
}

async function assertSwitches(url, [switched, still], wishes, { switches, top, way }) {
  for (const viewer of [switched, still]) {
    await until(`${top} lines`, ENCODINGS_MS_MAX, async () => (await inboundVideo(viewer))?.frameHeight === top);
  }
  const session = `${url}/api/sessions/${await switched.evaluate(() => window.sessionUrl.split("/").pop())}`;
  const before = await Promise.all([inboundVideo(switched), inboundVideo(still)]);
  const waits = [];
  for (let count = 0; count < switches; count += 1) {
    const name = way[count % way.length];
    const since = Date.now();
    await ask(session, wishes[name]);
    const lines = LINES[name](top);
    await until(`${lines} lines`, SWITCH_MS_MAX, async () => (await inboundVideo(switched)).frameHeight === lines);
    waits.push(Date.now() - since);
    await pause(BETWEEN_MS);
  }
  const after = await Promise.all([inboundVideo(switched), inboundVideo(still)]);
  const [mine, theirs] = after.map((now, at) => ({
    frames: now.framesDecoded - before[at].framesDecoded,
    freezes: now.freezeCount - before[at].freezeCount,
  }));
  console.log(
    `# ${switches} switches, the slowest in ${Math.max(...waits)} ms: ${mine.frames} frames and ${mine.freezes} freezes; ` +
      `without any: ${theirs.frames} frames and ${theirs.freezes} freezes`,
  );
  // The two decode different things: by chance one of them may be held up by the machine, and not the other.
  assert.ok(mine.freezes <= theirs.freezes + FREEZES_BY_CHANCE, `${mine.freezes} freezes, ${theirs.freezes} without switches`);
  assert.ok(mine.frames >= SHARE_MIN * theirs.frames, `${mine.frames} frames, ${theirs.frames} without switches`);
}

/** What to ask for to get each of the three encodings, once all flow in their sizes; else null. */
async function byHeight(url, room, top) {
  const response = await fetch(`${url}/api/rooms/${room}`);
  if (!response.ok) return null;
  const video = (await response.json()).tracks.find(({ kind }) => kind === "video");
  const found = Object.entries(LINES).map(([name, lines]) => [
    name,
    video?.encodings.find((encoding) => encoding.flowing && encoding.height === lines(top))?.rid,
  ]);
  return found.every(([, rid]) => rid) ? Object.fromEntries(found.map(([name, rid]) => [name, { rid }])) : null;
}

async function ask(session, body) {
  const headers = { "Content-Type": "application/json" };
  const response = await fetch(session, { method: "PATCH", headers, body: JSON.stringify(body) });
  assert.equal(response.status, 200, await response.text());
}

/** Runs in the page: one scalability mode for all video. */
function chooseMode(mode) {
  const add = RTCPeerConnection.prototype.addTransceiver;
  RTCPeerConnection.prototype.addTransceiver = function (kind, init) {
    for (const encoding of init?.sendEncodings ?? []) encoding.scalabilityMode = mode;
    return add.call(this, kind, init);
  };
}

/** Runs in the page: remembers the session that it is given. */
function noteSession() {
  const ask = window.fetch.bind(window);
  window.fetch = async (...request) => {
    const response = await ask(...request);
    window.sessionUrl = response.headers.get("location") ?? window.sessionUrl;
    return response;
  };
}
