// A real viewer that is switched between the encodings of a simulcast camera.
//
// A machine that has too much to do freezes every picture, so a second viewer that stays where it is stands beside:
// what happens to it too is not the switches' doing.

import assert from "node:assert/strict";
import { test } from "node:test";

import { closePage, inboundVideo, openPage, pause, until } from "./chromium.mjs";

const SWITCHES = 50;
const LINES = { l: 180, m: 360, h: 720 };
/** Every way from one to another; it begins at the best. */
const WAY = ["l", "m", "h", "m", "l", "h"];
const ENCODINGS_MS_MAX = 30_000;
const SWITCH_MS_MAX = 5_000;
/** So that fifteen changes in ten seconds are not too many. */
const BETWEEN_MS = 700;
/** Of the frames that the still viewer decodes, the switched one has to decode this share. */
const SHARE_MIN = 0.85;
const CAMERA = "voice=0&start=1&prefer=maintain-resolution&codec=VP8&simulcast=1&resolution=720";

export function layerTests(world) {
  test(`a viewer is switched ${SWITCHES} times without a freeze`, { timeout: 240_000 }, async () => {
    const { url } = world.server;
    const open = (path, scripts = []) => openPage(world.browser, `${url}${path}`, { scripts });
    const pages = [await open(`/publish/layers?${CAMERA}`)];
    try {
      const rids = await until("three encodings flow", ENCODINGS_MS_MAX, () => flowingByHeight(url));
      pages.push(await open("/watch/layers", [noteSession]), await open("/watch/layers"));
      const [, switched, still] = pages;
      for (const viewer of [switched, still]) {
        await until("720 lines", ENCODINGS_MS_MAX, async () => (await inboundVideo(viewer))?.frameHeight === LINES.h);
      }
      const session = `${url}/api/sessions/${await switched.evaluate(() => window.sessionUrl.split("/").pop())}`;
      const before = await Promise.all([inboundVideo(switched), inboundVideo(still)]);
      const waits = [];
      for (let count = 0; count < SWITCHES; count += 1) {
        const name = WAY[count % WAY.length];
        const since = Date.now();
        await ask(session, { rid: rids[name] });
        await until(`${LINES[name]} lines`, SWITCH_MS_MAX, async () =>
          (await inboundVideo(switched)).frameHeight === LINES[name]);
        waits.push(Date.now() - since);
        await pause(BETWEEN_MS);
      }
      const after = await Promise.all([inboundVideo(switched), inboundVideo(still)]);
      const [mine, theirs] = after.map((now, at) => ({
        frames: now.framesDecoded - before[at].framesDecoded,
        freezes: now.freezeCount - before[at].freezeCount,
      }));
      const slowest = Math.max(...waits);
      console.log(
        `# ${SWITCHES} switches, the slowest in ${slowest} ms: ${mine.frames} frames and ${mine.freezes} freezes; ` +
          `without any: ${theirs.frames} frames and ${theirs.freezes} freezes`,
      );
      assert.ok(mine.freezes <= theirs.freezes, `${mine.freezes} freezes, ${theirs.freezes} without switches`);
      assert.ok(mine.frames >= SHARE_MIN * theirs.frames, `${mine.frames} frames, ${theirs.frames} without switches`);
    } finally {
      await Promise.all(pages.map(closePage));
    }
  });
}

/** The RIDs of the three encodings by `l`, `m` and `h`, once all flow in their sizes; else null. */
async function flowingByHeight(url) {
  const response = await fetch(`${url}/api/rooms/layers`);
  if (!response.ok) return null;
  const video = (await response.json()).tracks.find(({ kind }) => kind === "video");
  const found = Object.entries(LINES).map(([name, height]) => [
    name,
    video?.encodings.find((encoding) => encoding.flowing && encoding.height === height)?.rid,
  ]);
  return found.every(([, rid]) => rid) ? Object.fromEntries(found) : null;
}

async function ask(session, body) {
  const headers = { "Content-Type": "application/json" };
  const response = await fetch(session, { method: "PATCH", headers, body: JSON.stringify(body) });
  assert.equal(response.status, 200, await response.text());
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
