// Every codec from Chromium to Chromium: what is decoded, and how.

import assert from "node:assert/strict";
import { test } from "node:test";

import { closePage, inbound, inboundVideo, openPage, pause, stats, until } from "./chromium.mjs";

const SMALL = "voice=0&start=1&prefer=maintain-resolution&resolution=360&simulcast=0";
const FIRST_PICTURE_MS_MAX = 20_000;
const WATCHED_MS = 3_000;
const FRAMES_MIN = 25;
const ROUNDS_MAX = 4;
/** Sound has 50 packets a second; a quarter of the time there is a tone, and else silence. */
const PACKETS_WITH_DTX_MAX = 100;

const CASES = [
  { codec: "VP9", fmtp: /profile-id=0/ },
  { codec: "VP9", fmtp: /profile-id=0/, mode: "L3T3_KEY", query: SMALL.replace("360", "720"), lines: 720 },
  { codec: "AV1", fmtp: /profile=0/ },
  { codec: "H264", fmtp: /packetization-mode=1/ },
  { codec: "H264", fmtp: /packetization-mode=0/, parameter: "packetization-mode=0" },
];

export function codecTests(world) {
  const open = (path, scripts) => openPage(world.browser, `${world.server.url}${path}`, { scripts });

  for (const { codec, fmtp, mode = "", parameter = "", query = SMALL, lines = 360 } of CASES) {
    test(`${[codec, mode, parameter].filter(Boolean).join(" ")} is decoded without a freeze`, { timeout: 60_000 }, async () => {
      const room = `codec-${codec}${mode}${parameter.replace(/\W/g, "")}`.toLowerCase();
      const choose = `(${chooseCodec})(${JSON.stringify({ mode, parameter })})`;
      const pages = [await open(`/publish/${room}?${query}&codec=${codec}`, [{ content: choose }])];
      try {
        pages.push(await open(`/watch/${room}`, []));
        await assertDecodes(pages[1], codec, fmtp, lines);
      } finally {
        await Promise.all(pages.map(closePage));
      }
    });
  }

  test("Opus with redundancy and silence is heard", { timeout: 60_000 }, async () => {
    const pages = [await open(`/publish/codec-opus?${SMALL}&codec=VP8`, [halfSilentRedundantSound])];
    try {
      pages.push(await open("/watch/codec-opus", []));
      await until("sound", FIRST_PICTURE_MS_MAX, async () => (await sound(pages[1]))?.packetsReceived > 50);
      const before = await sound(pages[1]);
      await pause(WATCHED_MS);
      const now = await sound(pages[1]);
      // Statistics name the codec inside of redundant audio; what is sent is the first format of the answer.
      assert.match(await firstAudioFormat(pages[0]), /^red\//i);
      assert.match(now.codec, /\/(opus|red)$/i);
      const packets = now.packetsReceived - before.packetsReceived;
      assert.ok(packets <= PACKETS_WITH_DTX_MAX, `${packets} packets in ${WATCHED_MS} ms: silence was sent too`);
      assert.ok(now.totalAudioEnergy > before.totalAudioEnergy, "there is no tone");
      assert.equal(now.packetsLost, before.packetsLost);
    } finally {
      await Promise.all(pages.map(closePage));
    }
  });
}

async function assertDecodes(viewer, codec, fmtp, lines) {
  await until(`${lines} lines of ${codec}`, FIRST_PICTURE_MS_MAX, async () => {
    const video = await inboundVideo(viewer);
    return video?.framesDecoded > 5 && video.frameHeight === lines;
  });
  const report = await stats(viewer);
  const format = report.find((entry) => entry.id === inbound(report, "video", "framesDecoded").codecId);
  assert.equal(format.mimeType, `video/${codec}`);
  assert.match(format.sdpFmtpLine ?? "", fmtp);
  // What a busy machine does to a picture passes; what a codec does to it does not.
  const rounds = [];
  do {
    const before = await inboundVideo(viewer);
    await pause(WATCHED_MS);
    const now = await inboundVideo(viewer);
    const frames = now.framesDecoded - before.framesDecoded;
    const frozen = now.totalFreezesDuration - before.totalFreezesDuration;
    rounds.push(`${frames} frames, ${frozen} s frozen, ${now.frameHeight} lines`);
    if (frames >= FRAMES_MIN && frozen === 0 && now.frameHeight === lines) return;
  } while (rounds.length < ROUNDS_MAX);
  assert.fail(`no ${WATCHED_MS} ms without a freeze: ${rounds.join("; ")}`);
}

async function sound(viewer) {
  return inbound(await stats(viewer), "audio", "packetsReceived");
}

function firstAudioFormat(publisher) {
  return publisher.evaluate(() => {
    const { sdp } = window.connections.at(-1).remoteDescription;
    const [, number] = sdp.match(/^m=audio \d+ \S+ (\d+)/m);
    return sdp.match(new RegExp(`^a=rtpmap:${number} (.*)`, "m"))[1];
  });
}

/** Runs in the page: one scalability mode for all video, and only the formats with one parameter. */
function chooseCodec({ mode, parameter }) {
  const add = RTCPeerConnection.prototype.addTransceiver;
  RTCPeerConnection.prototype.addTransceiver = function (kind, init) {
    if (mode && init?.sendEncodings) {
      for (const encoding of init.sendEncodings) encoding.scalabilityMode = mode;
    }
    return add.call(this, kind, init);
  };
  const prefer = RTCRtpTransceiver.prototype.setCodecPreferences;
  RTCRtpTransceiver.prototype.setCodecPreferences = function (codecs) {
    const fits = (codec) => /\/rtx$/i.test(codec.mimeType) || (codec.sdpFmtpLine ?? "").includes(parameter);
    return prefer.call(this, codecs.filter(fits));
  };
}

/** Runs in the page: sound with redundancy first, half a second of tone in two, and silence not sent. */
function halfSilentRedundantSound() {
  const open = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
  navigator.mediaDevices.getUserMedia = async (constraints) => {
    const stream = await open(constraints);
    const [track] = stream.getAudioTracks();
    if (!track) return stream;
    const context = new AudioContext();
    const gain = new GainNode(context, { gain: 0 });
    const destination = context.createMediaStreamDestination();
    context.createMediaStreamSource(new MediaStream([track])).connect(gain).connect(destination);
    for (let second = 0; second < 60; second += 2) {
      gain.gain.setValueAtTime(1, context.currentTime + second);
      gain.gain.setValueAtTime(0, context.currentTime + second + 0.5);
    }
    return new MediaStream([...destination.stream.getAudioTracks(), ...stream.getVideoTracks()]);
  };
  const add = RTCPeerConnection.prototype.addTransceiver;
  RTCPeerConnection.prototype.addTransceiver = function (kind, init) {
    const transceiver = add.call(this, kind, init);
    if (transceiver.receiver.track.kind === "audio") {
      const { codecs } = RTCRtpSender.getCapabilities("audio");
      const wanted = ["audio/red", "audio/opus"];
      transceiver.setCodecPreferences(wanted.map((name) => codecs.find((codec) => codec.mimeType === name)));
    }
    return transceiver;
  };
  // Silence is left out where the receiver says so (RFC 7587, section 7).
  const accept = RTCPeerConnection.prototype.setRemoteDescription;
  RTCPeerConnection.prototype.setRemoteDescription = function ({ type, sdp }) {
    return accept.call(this, { type, sdp: sdp.replace(/useinbandfec=1(?!.*usedtx)/g, "useinbandfec=1;usedtx=1") });
  };
}
