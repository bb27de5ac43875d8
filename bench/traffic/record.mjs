// Records how large the frames are that Chromium's encoders make, as WebRTC drives them: the files in
// bench/src/traffic/recorded. docs/BENCHMARKING.md says what the generator makes of them.
//
//     (cd tests/browser && npm ci --ignore-scripts)     # the driver of the browser; ffmpeg is needed beside it
//     node bench/traffic/record.mjs                     # all of them, in three minutes
//     node bench/traffic/record.mjs NAME...             # only these
//
// The picture is made by ffmpeg: a fine texture that sways, a second one before it that moves and gestures, and the
// noise of a sensor. The voice is synthetic speech over a quiet room. Each runs from one connection of a page to
// another one; an encoded transform on the sending side writes the sizes down.

import { execFileSync } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { connect } from "./page.mjs";

const WORKSPACE = fileURLToPath(new URL("../..", import.meta.url));
const RECORDED = join(WORKSPACE, "bench/src/traffic/recorded");
const { chromium } = createRequire(join(WORKSPACE, "tests/browser/package.json"))("playwright-core");

/** Until the rate control of the encoder has settled. */
const WARM_UP_MS = 10_000;
/** Frames between two keyframes that were asked for. */
const STEADY_MS = 33_000;
/** Keyframes asked for after that, so that there is a choice, and how long each is followed. */
const KEYFRAMES = 8;
const KEYFRAME_INTERVAL_MS = 1_800;
/** Frames kept after a keyframe: by then the encoder has saved what the keyframe cost. */
const FOLLOWING = 32;
/** Frames kept of what runs steadily. */
const STEADY_FRAMES = 900;
/** Temporal layers by mode. */
const PATTERNS = { L1T1: [0], L1T3: [0, 2, 1, 2] };
/** Frames after which they repeat, with the ways up into them. */
const PATTERN = 8;
/** Of the RTP clock, between two frames. */
const TICKS = 3_000;
/** Packets kept of a voice. */
const VOICE_PACKETS = 1_500;

const F = { rid: "f", height: 720, bitrate: 2_000_000 };
const H = { rid: "h", height: 360, bitrate: 500_000 };
const Q = { rid: "q", height: 180, bitrate: 150_000 };
const PLANS = {
  vp8: { codec: "video/VP8", mode: "L1T1", encodings: [F] },
  vp8_t3: { codec: "video/VP8", mode: "L1T3", encodings: [Q, H, F] },
  h264: { codec: "video/H264", profile: "packetization-mode=1;profile-level-id=42e01f", mode: "L1T1", encodings: [F] },
  opus: { codec: "audio/opus", encodings: [] },
};

const VOICE = `Good morning everybody, and thank you for coming. Let us begin with the numbers of last week. The release went out
 on Tuesday, a day late, because one of the tests failed on the older machines. We found the reason in the afternoon, and it
 was a small one. I would like to hear from each of you what is next, and whether anything is in your way. If not, we can be
 short today. Are there any questions so far? No? Then let us go on.`;

const wanted = process.argv.length > 2 ? process.argv.slice(2) : Object.keys(PLANS);
for (const name of wanted) {
  if (!PLANS[name]) throw new Error(`no recording ${name}; there are ${Object.keys(PLANS).join(", ")}`);
}
const folder = await mkdtemp(join(tmpdir(), "sluice-traffic-"));
const server = createServer((_, response) => response.setHeader("content-type", "text/html").end("<!doctype html>"));
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
try {
  const [picture, voice] = [join(folder, "picture.y4m"), join(folder, "voice.wav")];
  if (wanted.some((name) => name !== "opus")) makePicture(picture);
  if (wanted.includes("opus")) makeVoice(voice);
  for (const name of wanted) {
    const { version, frames } = await record(PLANS[name], picture, voice);
    for (const [file, text] of name === "opus" ? [voiceFile(version, frames)] : videoFiles(name, version, frames)) {
      await writeFile(join(RECORDED, file), text);
      console.log(`${file}: ${text.split("\n", 1)[0]}`);
    }
  }
} finally {
  server.close();
  await rm(folder, { recursive: true, force: true });
}

/** 20 s of 720p at 30 frames/s that may be repeated without a seam. */
function makePicture(path) {
  const texture = (seed, size) =>
    `nullsrc=s=${size}:d=1:r=1,geq=lum='40+170*random(${seed})':cb='108+40*random(${seed + 1})':cr='108+40*random(${seed + 2})'`;
  const still = (seed, size, to, file) =>
    ffmpeg("-f", "lavfi", "-i", texture(seed, size), "-vf", `scale=${to}:flags=bicubic`, "-frames:v", "1", join(folder, file));
  still(1, "120x70", "1440:840", "back.png");
  still(5, "36x48", "360:480", "front.png");
  const turn = "2*PI*t/20";
  const gesture = `max(0,sin(${turn}))*60`;
  ffmpeg("-loop", "1", "-framerate", "30", "-i", join(folder, "back.png"), "-loop", "1", "-framerate", "30", "-i",
    join(folder, "front.png"), "-filter_complex", [
      `[0]crop=1280:720:x='80+6*sin(3*${turn})+3*sin(11*${turn})':y='60+5*sin(5*${turn})'[back]`,
      `[back][1]overlay=x='460+90*sin(2*${turn})+${gesture}*sin(16*${turn})':y='140+20*sin(7*${turn})+${gesture}*sin(22*${turn})'[both]`,
      "[both]noise=alls=5:allf=t,format=yuv420p",
    ].join(";"), "-t", "20", path);
}

function makeVoice(path) {
  const text = VOICE.replaceAll("\n", "").replaceAll(",", "\\,").replaceAll("'", "");
  ffmpeg("-f", "lavfi", "-i", `flite=text='${text}':voice=slt`, "-f", "lavfi", "-i", "anoisesrc=color=pink:amplitude=0.004",
    "-filter_complex", "[0]aresample=48000[voice];[voice][1]amix=duration=first:normalize=0", "-ar", "48000", "-ac", "1", path);
}

function ffmpeg(...args) {
  execFileSync("ffmpeg", ["-hide_banner", "-loglevel", "error", "-y", ...args], { stdio: "inherit" });
}

/** Resolves with the version of the browser and all frames that left while `plan` ran. */
async function record(plan, picture, voice) {
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: [
      "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
      "--disable-component-update", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream",
      `--use-file-for-fake-video-capture=${picture}`, `--use-file-for-fake-audio-capture=${voice}`,
      "--allow-loopback-in-peer-connection", "--autoplay-policy=no-user-gesture-required",
    ],
  });
  try {
    const page = await browser.newPage();
    page.on("pageerror", (error) => console.error(`in the page: ${error}`));
    await page.goto(`http://127.0.0.1:${server.address().port}/`);
    await page.evaluate(connect, plan);
    await page.waitForTimeout(WARM_UP_MS);
    const start = await page.evaluate(() => window.notes.length);
    await page.waitForTimeout(STEADY_MS);
    if (plan.encodings.length > 0) {
      for (let count = 0; count < KEYFRAMES; count += 1) {
        await page.evaluate(() => window.askForKeyframes());
        await page.waitForTimeout(KEYFRAME_INTERVAL_MS);
      }
    }
    const frames = await page.evaluate((from) => window.notes.slice(from), start);
    return { version: browser.version(), frames };
  } finally {
    await browser.close();
  }
}

/** One file per encoding: what runs steadily, then each keyframe and what follows it. */
function videoFiles(name, version, frames) {
  const { codec, mode, encodings } = PLANS[name];
  return encodings.map(({ rid, height, bitrate }) => {
    const pattern = PATTERNS[mode];
    const { steady, episodes } = cut(inSlots(frames.filter((frame) => frame.height === height), pattern), pattern);
    const kbps = (all) => (all.reduce((sum, frame) => sum + frame.size, 0) * 8) / ((all.length / 30) * 1000);
    const dropped = steady.filter((frame) => frame.size === 0).length;
    const head = `# ${codec} ${mode} of Chromium ${version}, ${height} lines, maxBitrate ${bitrate / 1000} kbit/s: ` +
      `${steady.length} frames at 30 frames/s (${kbps(steady).toFixed(0)} kbit/s, ${dropped} dropped), ` +
      `then ${episodes.length} keyframes asked for, each with what followed. Made by bench/traffic/record.mjs.`;
    const sets = episodes[0][0].sets ? [`# parameter sets: ${episodes[0][0].sets}`] : [];
    const kind = (frame) => (frame.size === 0 ? "drop" : frame.isKey ? "key" : "delta");
    const lines = [...steady, ...episodes.flat()].map((frame) => `${kind(frame)},${frame.temporal},${frame.size}`);
    const file = encodings.length > 1 ? `${name}_${rid}.csv` : `${name}.csv`;
    return [file, [head, ...sets, "kind,temporal,bytes", ...lines, ""].join("\n")];
  });
}

/** One entry per thirtieth of a second, of size 0 where the encoder dropped the frame. Pictures that the camera lost are left out. */
function inSlots(frames, pattern) {
  const slots = [];
  let place = 0;
  for (const [at, frame] of frames.entries()) {
    const ticks = at === 0 ? TICKS : (frame.timestamp - frames[at - 1].timestamp) >>> 0;
    let missing = Math.round(ticks / TICKS) - 1;
    // A frame that the encoder dropped keeps its place among the layers, and one that it never saw has none.
    if (missing > 0 && !frame.isKey && !fits(frames, at, pattern, place + missing)) missing = 0;
    for (; missing > 0; missing -= 1, place += 1) slots.push({ size: 0, temporal: 0 });
    slots.push(frame);
    // Layer 2 stands at two places, any other at one.
    place = frame.temporal < 2 ? pattern.indexOf(frame.temporal) + 1 : place + 1;
  }
  return slots;
}

/** Whether the frames from `at` on have the layers of the pattern from `place` on, up to the next gap. */
function fits(frames, at, pattern, place) {
  for (let ahead = 0; ahead < pattern.length; ahead += 1) {
    const [before, frame] = [frames[at + ahead - 1], frames[at + ahead]];
    if (!frame || frame.isKey) return true;
    if (ahead > 0 && Math.round(((frame.timestamp - before.timestamp) >>> 0) / TICKS) !== 1) return true;
    if (frame.temporal !== pattern[(place + ahead) % pattern.length]) return false;
  }
  return true;
}

/** What ran before the first keyframe, from one base frame to another, and what followed each keyframe. */
function cut(slots, pattern) {
  const places = slots.flatMap((frame, at) => (frame.isKey ? [at] : []));
  const episodes = places
    .map((place) => slots.slice(place, place + FOLLOWING))
    .filter((all) => all.length === FOLLOWING && !all.slice(1).some((frame) => frame.isKey) && isRegular(all, pattern));
  if (episodes.length < 2) throw new Error(`keyframes only at ${places} of ${slots.length} frames`);
  const first = slots.findIndex((frame) => frame.size > 0 && frame.temporal === 0);
  const steady = slots.slice(first, Math.min(places[0], first + STEADY_FRAMES));
  if (!isRegular(steady, pattern)) throw new Error("layers are out of their places: was the machine busy? Record again");
  return { steady: steady.slice(0, steady.length - (steady.length % PATTERN)), episodes };
}

/** Whether every layer is in its place. */
function isRegular(slots, pattern) {
  return slots.every(({ size, temporal }, at) => size === 0 || temporal === pattern[at % pattern.length]);
}

function voiceFile(version, frames) {
  const kept = frames.slice(0, VOICE_PACKETS);
  const mean = (kept.reduce((sum, frame) => sum + frame.size, 0) * 8) / (kept.length * 20);
  const head = `# audio/opus of Chromium ${version}, synthetic speech: ${kept.length} packets of 20 ms (${mean.toFixed(1)} kbit/s). ` +
    "Made by bench/traffic/record.mjs.";
  // As the header extension says it (RFC 6464): dB below the loudest, 127 is silence.
  const level = (frame) => Math.min(127, Math.round(-20 * Math.log10(frame.level || 1e-7)));
  const lines = kept.map((frame) => `${frame.toc},${level(frame)},${frame.size}`);
  return ["opus.csv", [head, "toc,level,bytes", ...lines, ""].join("\n")];
}
