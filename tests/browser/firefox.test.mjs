// Firefox publishes and watches, with itself and with Chromium: the promises that hold for any browser, in
// few words. What the pages do in detail is tested with Chromium.

import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { after, before, test } from "node:test";

import { closePage, inbound, inboundVideo, openPage, pause, startBrowser, stats, until } from "./chromium.mjs";
import { hostAddress, startFirefox } from "./firefox.mjs";
import { ARTIFACTS, startServer } from "./server.mjs";

const SMALL = "voice=0&start=1&resolution=360&simulcast=0";
const FIRST_PICTURE_MS_MAX = 15_000;
const WATCHED_MS = 3_000;
const FRAMES_MIN = 20;
/** A busy machine lets a picture wait now and then. */
const FROZEN_SECONDS_MAX = 0.5;

let server;
let firefox;

before(async () => {
  mkdirSync(ARTIFACTS, { recursive: true });
  server = await startServer({ SLUICE_RTC_LISTEN: hostAddress() });
  firefox = await startFirefox();
});

after(async () => {
  await firefox?.close();
  await server?.stop();
});

/** Resolves when media leaves: Firefox opens no camera in a page that another one has covered. */
async function publish(open, room, query) {
  const page = await open(`${server.url}/publish/${room}?${query}`);
  await until("media leaves", FIRST_PICTURE_MS_MAX, async () => (await sent(page)).length > 0);
  return page;
}

async function sent(page) {
  const streams = (await stats(page)).filter((entry) => entry.type === "outbound-rtp" && entry.kind === "video");
  return streams.filter((stream) => stream.framesSent > 0);
}

const watch = (open, room) => open(`${server.url}/watch/${room}`);

for (const codec of ["VP8", "VP9", "AV1"]) {
  test(`Firefox watches what Firefox publishes in ${codec}`, { timeout: 60_000 }, async () => {
    const room = `firefox-${codec.toLowerCase()}`;
    const pages = [await publish(firefox.openPage, room, `${SMALL}&codec=${codec}`)];
    try {
      pages.push(await watch(firefox.openPage, room));
      await assertPlays(pages[1], codec);
    } finally {
      await Promise.all(pages.map(leave));
    }
  });
}

test("Firefox publishes three encodings, and a viewer gets the largest", { timeout: 60_000 }, async () => {
  const pages = [await publish(firefox.openPage, "firefox-simulcast", "start=1&resolution=720&codec=VP8")];
  try {
    pages.push(await watch(firefox.openPage, "firefox-simulcast"));
    await until("720 lines", 30_000, async () => (await inboundVideo(pages[1]))?.frameHeight === 720);
    assert.deepEqual((await sent(pages[0])).map((stream) => stream.rid).sort(), ["f", "h", "q"]);
  } finally {
    await Promise.all(pages.map(leave));
  }
});

test("Chromium and Firefox watch each other", { timeout: 90_000 }, async () => {
  const chromium = await startBrowser();
  const open = (url) => openPage(chromium.browser, url);
  const pages = [];
  try {
    pages.push(await publish(open, "from-chromium", `${SMALL}&codec=VP9`));
    pages.push(await publish(firefox.openPage, "from-firefox", `${SMALL}&codec=VP8`));
    const viewers = [await watch(firefox.openPage, "from-chromium"), await watch(open, "from-firefox")];
    pages.push(...viewers);
    await assertPlays(viewers[0], "VP9");
    await assertPlays(viewers[1], "VP8");
  } finally {
    await Promise.all(pages.map(leave));
    await chromium.close();
  }
});

/** The picture moves without a freeze, in the codec that was meant, and there is sound. */
async function assertPlays(viewer, codec) {
  await until("a picture", FIRST_PICTURE_MS_MAX, async () => (await inboundVideo(viewer))?.framesDecoded > 5);
  const before = await seen(viewer);
  assert.match(before.video.codec, new RegExp(`/${codec}$`, "i"));
  await pause(WATCHED_MS);
  const now = await seen(viewer);
  const frames = now.video.framesDecoded - before.video.framesDecoded;
  assert.ok(frames >= FRAMES_MIN, `only ${frames} frames in ${WATCHED_MS} ms`);
  const frozen = now.video.totalFreezesDuration - before.video.totalFreezesDuration;
  assert.ok(frozen <= FROZEN_SECONDS_MAX, `the picture stood still for ${frozen} s of ${WATCHED_MS} ms`);
  assert.ok(now.audio.totalAudioEnergy > before.audio.totalAudioEnergy, "there is no sound");
}

async function seen(viewer) {
  const report = await stats(viewer);
  return { video: inbound(report, "video", "framesDecoded"), audio: inbound(report, "audio", "packetsReceived") };
}

/** Pages of both browsers: those of Firefox have no context of their own. */
async function leave(page) {
  if (page.context) return closePage(page);
  await page.goto("about:blank");
  await page.close();
}
