// Media from a real browser through the server to real browsers.
//
// Lip sync is measured by `estimatedPlayoutTimestamp`: for each stream, the sender's NTP time of what is
// played at the moment of the report, which the browser derives from the sender reports that the server
// rewrote. Their difference is how far picture and sound are apart in the sender's time. A server that
// sends no usable reports leaves the field out, and the test fails.

import assert from "node:assert/strict";
import { test } from "node:test";

import { TONE_HZ, closePage, inbound, inboundVideo, noiseCamera, openPage, pause, pixels, sound, stats, until } from "./chromium.mjs";
import { backends } from "./server.mjs";

const FIRST_PICTURE_MS_MAX = 10_000;
const LATE_PICTURE_MS_MAX = 2_000;
const LIP_SYNC_MS_MAX = 60;
/** Two sender reports of each stream; browsers send one of video a second and of audio every five. */
const PLAYOUT_TIMES_MS_MAX = 15_000;
const RAMP_BPS_MIN = 1_500_000;
/** One pause of a busy machine is congestion to the browser's estimator, from which it climbs by 8 % a second. */
const RAMP_MS_MAX = 40_000;
/** Of the frames that were sent, this share has to be seen, but for those between the two readings. */
const SHARE_SEEN_MIN = 0.8;
const FRAMES_UNDER_WAY = 5;
const STEADY = "voice=0&start=1&prefer=maintain-resolution";
const SMALL = `${STEADY}&resolution=360&simulcast=0`;

export function mediaTests(world) {
  const publish = (room, query, options, server = world.server) =>
    openPage(world.browser, `${server.url}/publish/${room}?${query}`, options);
  const watch = (room, options, server = world.server) => openPage(world.browser, `${server.url}/watch/${room}`, options);

  for (const [codec, which, where] of [["VP8", "server", ""], ["H264", "server", ""], ["VP8", "onMmsg", ", by mmsg"]]) {
    test(`camera and tone reach two viewers in ${codec}${where}`, { timeout: 60_000 }, async () => {
      const [room, server] = [`media-${codec.toLowerCase()}`, world[which]];
      const pages = [await publish(room, `${SMALL}&codec=${codec}`, {}, server)];
      pages.push(await watch(room, {}, server), await watch(room, {}, server));
      try {
        for (const viewer of pages.slice(1)) await assertWatches(viewer, codec, pages[0]);
        await assertGcm(pages[0]);
        const moving = await backends(server);
        assert.ok(moving.length > 0 && moving.every((backend) => backend === server.backend), `${moving}`);
        console.log(`# ${codec} was moved by ${server.backend}`);
      } finally {
        await Promise.all(pages.map(closePage));
      }
    });
  }

  test("picture and sound stay together", { timeout: 60_000 }, async () => {
    const pages = [await publish("lips", `${SMALL}&codec=VP8`), await watch("lips")];
    try {
      await untilPicture(pages[1]);
      await until("both streams have playout times", PLAYOUT_TIMES_MS_MAX, async () => (await skewOf(pages[1])) !== null);
      // The browser moves the two together over some seconds.
      await pause(5_000);
      const skews = [];
      for (let round = 0; round < 20; round += 1) {
        skews.push(await skewOf(pages[1]));
        await pause(200);
      }
      const skew = median(skews.filter((reading) => reading !== null));
      console.log(`# lip sync: median ${skew.toFixed(1)} ms of ${skews.length} readings`);
      assert.ok(Math.abs(skew) <= LIP_SYNC_MS_MAX, `${skew} ms apart`);
    } finally {
      await Promise.all(pages.map(closePage));
    }
  });

  test("viewers of a simulcast camera get its best encoding", { timeout: 90_000 }, async () => {
    const pages = [await publish("simulcast", `${STEADY}&codec=VP8&simulcast=1&resolution=720`)];
    try {
      await until("three encodings flow", 30_000, async () => (await flowingEncodings(pages[0])).length === 3);
      pages.push(await watch("simulcast"));
      const height = 720;
      await until(`a picture of ${height} lines`, 20_000, async () => (await inboundVideo(pages[1]))?.frameHeight === height);
    } finally {
      await Promise.all(pages.map(closePage));
    }
  });

  test("the publisher's bitrate ramps up", { timeout: 60_000 }, async () => {
    const query = `${STEADY}&codec=VP8&simulcast=0&resolution=720`;
    const pages = [await publish("ramp", query, { scripts: [noiseCamera] }), await watch("ramp")];
    try {
      await untilPicture(pages[1]);
      let best = 0;
      await until(`${RAMP_BPS_MIN} bit/s arrive`, RAMP_MS_MAX, async () => {
        best = Math.max(best, await receivedBps(pages[1]));
        return best >= RAMP_BPS_MIN;
      }).catch((error) => assert.fail(`${error.message}; best was ${Math.round(best)} bit/s`));
      console.log(`# ramp: ${Math.round(best)} bit/s`);
    } finally {
      await Promise.all(pages.map(closePage));
    }
  });

  test("the picture goes on when the publisher comes back", { timeout: 90_000 }, async () => {
    let publisher = await publish("restart", `${SMALL}&codec=VP8`);
    const viewer = await watch("restart");
    try {
      const first = await untilPicture(viewer);
      await closePage(publisher);
      await until("the page says that the publisher left", 15_000, async () =>
        (await viewer.locator("#stage").getAttribute("data-state")) === "left");
      const before = (await inboundVideo(viewer)).framesDecoded;
      assert.ok(before >= first.framesDecoded);
      publisher = await publish("restart", `${SMALL}&codec=VP8`);
      await until("frames grow again", 15_000, async () => (await inboundVideo(viewer)).framesDecoded > before + 20);
      assert.equal(await viewer.evaluate(() => window.connections.length), 1, "the viewer connected again");
      await until("the page says live", 5_000, async () =>
        (await viewer.locator("#stage").getAttribute("data-state")) === "live");
    } finally {
      await Promise.all([publisher, viewer].map(closePage));
    }
  });

  test("a late joiner sees a picture within two seconds", { timeout: 60_000 }, async () => {
    const pages = [await publish("late", `${SMALL}&codec=VP8`), await watch("late")];
    try {
      await untilPicture(pages[1]);
      await pause(3_000);
      pages.push(await watch("late", { scripts: [noteFirstPicture] }));
      const ms = await until("a first picture", FIRST_PICTURE_MS_MAX, () => pages[2].evaluate(() => window.firstPictureMs));
      console.log(`# late joiner: ${Math.round(ms)} ms from opening the page to the first picture`);
      assert.ok(ms <= LATE_PICTURE_MS_MAX, `${ms} ms`);
    } finally {
      await Promise.all(pages.map(closePage));
    }
  });

  test("a viewer without the publisher's codec is told its name", { timeout: 60_000 }, async () => {
    const pages = [await publish("codec", `${SMALL}&codec=VP8`), await watch("codec")];
    try {
      await untilPicture(pages[1]);
      pages.push(await watch("codec", { scripts: [offerOnlyH264] }));
      await pages[2].locator("#notice").waitFor({ state: "visible", timeout: 15_000 });
      assert.match(await pages[2].locator("#notice").innerText(), /VP8/);
    } finally {
      await Promise.all(pages.map(closePage));
    }
  });
}

async function assertWatches(viewer, codec, publisher) {
  const first = await untilPicture(viewer);
  assert.match(first.codec, new RegExp(`/${codec}$`, "i"));
  await until("640 x 360", 10_000, async () => {
    const { frameWidth, frameHeight } = await inboundVideo(viewer);
    return frameWidth === 640 && frameHeight === 360;
  });
  const dots = await pixels(viewer);
  // Held against what was sent, because a busy machine encodes fewer frames and that is not the server's fault.
  const before = await Promise.all([framesSent(publisher), framesDecoded(viewer)]);
  await pause(2_000);
  const after = await Promise.all([framesSent(publisher), framesDecoded(viewer)]);
  const [sent, seen] = after.map((count, index) => count - before[index]);
  assert.ok(sent > 0 && seen >= SHARE_SEEN_MIN * sent - FRAMES_UNDER_WAY, `${seen} frames seen of ${sent} sent in 2 s`);
  const moved = (await pixels(viewer)).filter((dot, index) => Math.abs(dot - dots[index]) > 8).length;
  assert.ok(moved > 0, "the picture stands still");
  assert.ok(Math.max(...dots) - Math.min(...dots) > 60, "the picture is of one colour");
  const { hz, db } = await sound(viewer);
  assert.ok(Math.abs(hz - TONE_HZ) <= 25, `heard ${hz} Hz`);
  assert.ok(db > -60, `heard only ${db} dB`);
  await assertGcm(viewer);
  assert.deepEqual(viewer.errors, []);
}

async function framesSent(page) {
  const streams = (await stats(page)).filter((entry) => entry.type === "outbound-rtp" && entry.kind === "video");
  return streams.reduce((sum, stream) => sum + stream.framesSent, 0);
}

async function framesDecoded(viewer) {
  return (await inboundVideo(viewer)).framesDecoded;
}

async function assertGcm(page) {
  const transport = (await stats(page)).find((entry) => entry.type === "transport");
  assert.match(transport?.srtpCipher ?? "none", /AES_(128|256)_GCM/);
}

/** How far the picture is ahead of the sound, ms, or null while the browser does not know. */
async function skewOf(viewer) {
  const report = await stats(viewer);
  const picture = inbound(report, "video", "framesDecoded")?.estimatedPlayoutTimestamp;
  const tone = inbound(report, "audio", "packetsReceived")?.estimatedPlayoutTimestamp;
  return picture && tone ? picture - tone : null;
}

function untilPicture(viewer) {
  return until("a picture", FIRST_PICTURE_MS_MAX, async () => {
    const video = await inboundVideo(viewer);
    return video?.framesDecoded > 5 && video;
  });
}

async function flowingEncodings(page) {
  const streams = (await stats(page)).filter((entry) => entry.type === "outbound-rtp" && entry.kind === "video");
  return streams.filter((stream) => stream.rid && stream.framesPerSecond > 0);
}

async function receivedBps(viewer) {
  const before = await inboundVideo(viewer);
  await pause(1_000);
  const after = await inboundVideo(viewer);
  return ((after.bytesReceived - before.bytesReceived) * 8_000) / (after.timestamp - before.timestamp);
}

function median(numbers) {
  const sorted = [...numbers].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)];
}

/** Runs in the page: when the first picture was shown, counted from the opening of the page. */
function noteFirstPicture() {
  addEventListener("DOMContentLoaded", () => {
    document.getElementById("main-video").requestVideoFrameCallback((now) => {
      window.firstPictureMs = now - window.openedAt;
    });
  });
}

/** Runs in the page: a browser that plays H.264 and nothing else. */
function offerOnlyH264() {
  const original = RTCPeerConnection.prototype.addTransceiver;
  RTCPeerConnection.prototype.addTransceiver = function (kind, init) {
    const transceiver = original.call(this, kind, init);
    if (kind === "video") {
      const { codecs } = RTCRtpReceiver.getCapabilities("video");
      transceiver.setCodecPreferences(codecs.filter((codec) => codec.mimeType === "video/H264"));
    }
    return transceiver;
  };
}
