// Records the captures in tests/captures from real browsers, see the README there.
//
//     node record.mjs              all of them
//     node record.mjs NAME...      only these
//     node record.mjs offers       the offers of our own pages in Firefox, dataplane/tests/fixtures

import { spawn } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

import { openPage, startBrowser, until } from "./chromium.mjs";
import { hostAddress, startFirefox } from "./firefox.mjs";
import { startServer } from "./server.mjs";

const WORKSPACE = fileURLToPath(new URL("../..", import.meta.url));
const CAPTURES = join(WORKSPACE, "tests/captures");
const RECORDER = process.env.CAPTURE_BIN ?? join(WORKSPACE, "target/debug/examples/capture");

/** Layers need a size that has room for them, and bitrate, which takes a while. */
const LARGE = { width: 1280, height: 720, bitrate: 900_000, warmUpMs: 5_000 };
const SMALL = { width: 320, height: 180, bitrate: 250_000 };
const RIDS = [
  { rid: "h", maxBitrate: 700_000 },
  { rid: "m", scaleResolutionDownBy: 2, maxBitrate: 300_000 },
  { rid: "l", scaleResolutionDownBy: 4, maxBitrate: 150_000 },
];

// `more` asks for the header extensions that a page has to ask for (dependency descriptor and others);
// without it the offer is what every page makes. With layers it has the descriptor anyway, and VP8 then says
// nothing of them itself: `without` takes an extension out.
const VP9 = { codec: "video/VP9", profile: "profile-id=0" };
const VIDEO = {
  vp8: { codec: "video/VP8", ...SMALL, packets: 60 },
  vp8_l1t3: { codec: "video/VP8", ...SMALL, mode: "L1T3", without: "dependency-descriptor", packets: 60 },
  vp8_l1t3_descriptor: { codec: "video/VP8", ...SMALL, mode: "L1T3", more: true, packets: 60 },
  vp8_simulcast: { codec: "video/VP8", ...LARGE, rids: RIDS, mode: "L1T3", packets: 120 },
  vp9: { ...VP9, ...SMALL, packets: 60 },
  vp9_l1t3: { ...VP9, ...SMALL, mode: "L1T3", more: true, packets: 60 },
  vp9_l3t3: { ...VP9, ...LARGE, mode: "L3T3", packets: 100 },
  vp9_l3t3_key: { ...VP9, ...LARGE, mode: "L3T3_KEY", more: true, packets: 100 },
  av1: { codec: "video/AV1", ...SMALL, packets: 60 },
  av1_l1t3: { codec: "video/AV1", ...SMALL, mode: "L1T3", more: true, packets: 60 },
  av1_l3t3_key: { codec: "video/AV1", ...LARGE, mode: "L3T3_KEY", more: true, packets: 100 },
  h264_mode0: { codec: "video/H264", profile: "packetization-mode=0", ...SMALL, packets: 60 },
  h264_mode1: { codec: "video/H264", profile: "packetization-mode=1", ...SMALL, packets: 60 },
  h264_l1t2: { codec: "video/H264", profile: "packetization-mode=1", ...SMALL, mode: "L1T2", more: true, packets: 60 },
  h265: { codec: "video/H265", ...SMALL, packets: 60 },
};
const AUDIO = {
  opus: { codec: "audio/opus", more: true, packets: 60 },
  opus_red: { codec: "audio/opus", red: true, packets: 80 },
  opus_dtx: { codec: "audio/opus", dtx: true, packets: 120, warmUpMs: 1_000 },
};
const FIREFOX_HAS = ["vp8", "vp8_simulcast", "vp9", "av1", "h264_mode0", "h264_mode1", "opus"];

const plans = new Map();
for (const [name, plan] of Object.entries({ ...VIDEO, ...AUDIO })) plans.set(`chromium_${name}`, plan);
for (const name of FIREFOX_HAS) plans.set(`firefox_${name}`, { ...VIDEO, ...AUDIO }[name]);

const wanted = process.argv.length > 2 ? process.argv.slice(2) : [...plans.keys()];
if (wanted[0] === "offers") {
  await recordOffers();
  process.exit();
}
for (const name of wanted) {
  if (!plans.has(name)) throw new Error(`no capture ${name}; there are ${[...plans.keys()].join(", ")}`);
  try {
    console.log(`${name}: ${await record(name, plans.get(name))}`);
  } catch (error) {
    console.log(`${name}: not recorded, ${error.message.split("\n")[0]}`);
  }
}

/** Records one capture. Resolves with what the recorder says of it. */
async function record(name, plan) {
  const recorder = startRecorder(name, plan);
  const browser = name.startsWith("firefox_") ? await startFirefox() : await startBrowser();
  try {
    const endpoint = await recorder.line();
    const url = new URL("/", endpoint).href;
    const page = name.startsWith("firefox_") ? await browser.openPage(url) : await openPage(browser.browser, url);
    const offer = await page.evaluate(offerMedia, plan);
    const response = await fetch(endpoint, { method: "POST", headers: { "content-type": "application/sdp" }, body: offer });
    const answer = await response.text();
    if (!response.ok) throw new Error(answer);
    await page.evaluate(acceptAnswer, answer);
    return await recorder.line();
  } finally {
    await browser.close();
    recorder.stop();
  }
}

function startRecorder(name, plan) {
  const child = spawn(RECORDER, [
    "--out", join(CAPTURES, `${name}.rtpdump`),
    "--packets", String(plan.packets),
    "--warm-up-ms", String(plan.warmUpMs ?? 0),
    "--listen", name.startsWith("firefox_") ? hostAddress() : "127.0.0.1",
  ], { stdio: ["ignore", "pipe", "inherit"] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const line = async () => {
    const { value, done } = await lines.next();
    if (done) throw new Error("the recorder ended");
    return value;
  };
  return { line, stop: () => child.kill() };
}

/** Writes what Firefox offers when our pages publish and watch. */
async function recordOffers() {
  const server = await startServer({ SLUICE_RTC_LISTEN: hostAddress() });
  const firefox = await startFirefox();
  const keepOffers = () => {
    const original = window.fetch;
    window.fetch = (url, options) => {
      if (options?.method === "POST") window.offer = options.body;
      return original(url, options);
    };
  };
  try {
    for (const [name, path] of [["publish", "publish/offers?start=1"], ["watch", "watch/offers"]]) {
      const page = await firefox.openPage(`${server.url}/${path}`, { scripts: [keepOffers] });
      const offer = await until("an offer", 10_000, () => page.evaluate(() => window.offer));
      await writeFile(join(WORKSPACE, `dataplane/tests/fixtures/firefox_${name}.sdp`), offer);
    }
  } finally {
    await firefox.close();
    await server.stop();
  }
}

/** Runs in the page: offers one track as `plan` says. Resolves with the offer, all candidates in it. */
async function offerMedia(plan) {
  const kind = plan.codec.split("/")[0];
  const { codecs } = RTCRtpSender.getCapabilities(kind);
  const named = codecs.filter((it) => it.mimeType.toLowerCase() === plan.codec.toLowerCase());
  // Firefox names no VP9 profile: it has one.
  const says = (it, what) => (it.sdpFmtpLine ?? "").includes(what);
  const media = named.filter((it) => {
    if (!plan.profile) return true;
    const [parameter] = plan.profile.split("=");
    return says(it, plan.profile) || (parameter === "profile-id" && !says(it, parameter));
  });
  if (media.length === 0) {
    throw new Error(`no ${plan.codec} ${plan.profile ?? ""} here, only ${[...new Set(codecs.map((it) => it.mimeType))]}`);
  }
  const beside = codecs.filter((it) => /\/rtx$/i.test(it.mimeType) || (plan.red && /\/red$/i.test(it.mimeType)));
  const preferred = plan.red ? [...beside, ...media] : [media[0], ...beside];

  const connection = (window.connection = new RTCPeerConnection());
  const track = kind === "video" ? await camera() : await microphone();
  const encodings = (plan.rids ?? [{ maxBitrate: plan.bitrate }]).map((encoding) => ({
    ...encoding,
    ...(plan.mode ? { scalabilityMode: plan.mode } : {}),
  }));
  const sendEncodings = kind === "video" ? encodings : [];
  const transceiver = connection.addTransceiver(track, { direction: "sendonly", sendEncodings });
  transceiver.setCodecPreferences(preferred);
  if (transceiver.getHeaderExtensionsToNegotiate) {
    const wanted = /dependency-descriptor|video-layers-allocation|abs-capture-time|playout-delay/;
    const known = transceiver.getHeaderExtensionsToNegotiate();
    const direction = (it) => {
      if (plan.without && it.uri.includes(plan.without)) return "stopped";
      return plan.more && wanted.test(it.uri) ? "sendrecv" : it.direction;
    };
    transceiver.setHeaderExtensionsToNegotiate(known.map((it) => ({ ...it, direction: direction(it) })));
  }
  const offer = await connection.createOffer();
  if (plan.dtx) offer.sdp = offer.sdp.replace("useinbandfec=1", "useinbandfec=1;usedtx=1");
  await connection.setLocalDescription(offer);
  if (connection.iceGatheringState !== "complete") {
    await new Promise((resolve) => {
      connection.onicegatheringstatechange = () => connection.iceGatheringState === "complete" && resolve();
    });
  }
  return connection.localDescription.sdp;

  async function camera() {
    const { width, height, hint } = plan;
    const stream = await navigator.mediaDevices.getUserMedia({ video: { width, height } });
    const [track] = stream.getVideoTracks();
    if (hint) track.contentHint = hint;
    return track;
  }

  /** With DTX: half a second of tone, one and a half of silence. */
  async function microphone() {
    const stream = await navigator.mediaDevices.getUserMedia({ audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false } });
    if (!plan.dtx) return stream.getAudioTracks()[0];
    const context = new AudioContext();
    const gain = new GainNode(context, { gain: 0 });
    const destination = context.createMediaStreamDestination();
    context.createMediaStreamSource(stream).connect(gain).connect(destination);
    for (let second = 0; second < 60; second += 2) {
      gain.gain.setValueAtTime(1, context.currentTime + second);
      gain.gain.setValueAtTime(0, context.currentTime + second + 0.5);
    }
    return destination.stream.getAudioTracks()[0];
  }
}

/** Runs in the page. */
async function acceptAnswer(sdp) {
  await window.connection.setRemoteDescription({ type: "answer", sdp });
}
