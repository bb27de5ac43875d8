// Chromium with a fake camera and a 600 Hz microphone, and what can be measured in its pages.

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { chromium } from "playwright-core";

export const TONE_HZ = 600;
const SAMPLE_RATE_HZ = 48_000;
const TONE_SECONDS = 2;

/** Starts the browser. Resolves with `{browser, close()}`. */
export async function startBrowser() {
  const folder = await mkdtemp(join(tmpdir(), "sluice-tone-"));
  const tone = join(folder, "tone.wav");
  await writeFile(tone, toneFile());
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: [
      "--headless",
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
      "--use-fake-device-for-media-stream",
      "--use-fake-ui-for-media-stream",
      `--use-file-for-fake-audio-capture=${tone}`,
      "--allow-loopback-in-peer-connection",
      "--autoplay-policy=no-user-gesture-required",
    ],
  });
  const close = async () => {
    await browser.close();
    await rm(folder, { recursive: true, force: true });
  };
  return { browser, close };
}

/** Opens `url` in a page of its own whose connections are listed in `window.connections`. */
export async function openPage(browser, url, { viewport = { width: 1280, height: 800 }, scripts = [] } = {}) {
  const context = await browser.newContext({ viewport, ignoreHTTPSErrors: true });
  const page = await context.newPage();
  page.errors = [];
  page.on("pageerror", (error) => page.errors.push(String(error)));
  page.on("console", (message) => message.type() === "error" && page.errors.push(message.text()));
  await page.addInitScript(listConnections);
  for (const script of scripts) await page.addInitScript(script);
  await page.goto(url, { waitUntil: "domcontentloaded" });
  return page;
}

/** Leaves as a person does, so that the page says goodbye to the server, and closes. May be repeated. */
export async function closePage(page) {
  if (page.isClosed()) return;
  await page.goto("about:blank");
  // Closing the context cuts off even a request that is meant to outlive its page.
  await pause(500);
  await page.context().close();
}

/** Closes a page that has no session to say goodbye to. */
export async function dropPage(page) {
  if (!page.isClosed()) await page.context().close();
}

/** Resolves with the first truthy value of `probe()`; rejects, saying `what`, after `ms`. */
export async function until(what, ms, probe) {
  const deadline = Date.now() + ms;
  let last;
  do {
    last = await probe();
    if (last) return last;
    await pause(200);
  } while (Date.now() < deadline);
  throw new Error(`not within ${ms} ms: ${what}`);
}

export function pause(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** The stats of the newest connection of a page, as an array. */
export function stats(page) {
  return page.evaluate(async () => {
    const connection = window.connections.at(-1);
    return connection ? [...(await connection.getStats()).values()] : [];
  });
}

/** The inbound video stream that decoded most, with the name of its codec; null before there is one. */
export async function inboundVideo(page) {
  return inbound(await stats(page), "video", "framesDecoded");
}

export function inbound(report, kind, field) {
  const streams = report.filter((entry) => entry.type === "inbound-rtp" && entry.kind === kind);
  const [best] = streams.sort((a, b) => (b[field] ?? 0) - (a[field] ?? 0));
  if (!best) return null;
  const codec = report.find((entry) => entry.id === best.codecId)?.mimeType ?? "";
  return { ...best, codec };
}

/** The main picture of a watch page in 8 x 8 grey dots. */
export function pixels(page) {
  return page.evaluate(() => {
    const canvas = document.createElement("canvas");
    canvas.width = 8;
    canvas.height = 8;
    const context = canvas.getContext("2d");
    context.drawImage(document.getElementById("main-video"), 0, 0, 8, 8);
    const { data } = context.getImageData(0, 0, 8, 8);
    return Array.from({ length: 64 }, (_, dot) => data[dot * 4] + data[dot * 4 + 1] + data[dot * 4 + 2]);
  });
}

/** The loudest frequency in Hz and the level in dB of what a watch page plays. */
export function sound(page) {
  return page.evaluate(async () => {
    const context = new AudioContext();
    await context.resume();
    const analyser = new AnalyserNode(context, { fftSize: 4096 });
    const [track] = document.getElementById("main-video").srcObject.getAudioTracks();
    context.createMediaStreamSource(new MediaStream([track])).connect(analyser);
    await new Promise((resolve) => setTimeout(resolve, 1000));
    const bins = new Float32Array(analyser.frequencyBinCount);
    analyser.getFloatFrequencyData(bins);
    const peak = bins.indexOf(Math.max(...bins));
    const result = { hz: (peak * context.sampleRate) / analyser.fftSize, db: bins[peak] };
    await context.close();
    return result;
  });
}

/** Replaces the camera by moving noise, which a codec cannot make small. Runs in the page. */
export function noiseCamera() {
  const original = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
  navigator.mediaDevices.getUserMedia = async (constraints) => {
    if (!constraints.video) return original(constraints);
    const small = new OffscreenCanvas(320, 180);
    const brush = small.getContext("2d");
    const image = brush.createImageData(320, 180);
    const canvas = Object.assign(document.createElement("canvas"), { width: 1280, height: 720 });
    const context = canvas.getContext("2d");
    setInterval(() => {
      for (let at = 0; at < image.data.length; at += 4) {
        const grey = 64 + 128 * Math.random();
        image.data.set([grey, grey, grey, 255], at);
      }
      brush.putImageData(image, 0, 0);
      context.drawImage(small, 0, 0, 1280, 720);
    }, 50);
    return canvas.captureStream(20);
  };
}

/** Keeps the connections of a page in `window.connections`. Runs in the page. */
export function listConnections() {
  window.connections = [];
  window.openedAt = performance.now();
  const Original = window.RTCPeerConnection;
  window.RTCPeerConnection = class extends Original {
    constructor(...parameters) {
      super(...parameters);
      window.connections.push(this);
    }
  };
}

/** A WAV file, mono, 16 bit, that loops without a click: a whole number of periods. */
function toneFile() {
  const count = SAMPLE_RATE_HZ * TONE_SECONDS;
  const file = Buffer.alloc(44 + count * 2);
  file.write("RIFF", 0);
  file.writeUInt32LE(36 + count * 2, 4);
  file.write("WAVEfmt ", 8);
  file.writeUInt32LE(16, 16);
  file.writeUInt16LE(1, 20);
  file.writeUInt16LE(1, 22);
  file.writeUInt32LE(SAMPLE_RATE_HZ, 24);
  file.writeUInt32LE(SAMPLE_RATE_HZ * 2, 28);
  file.writeUInt16LE(2, 32);
  file.writeUInt16LE(16, 34);
  file.write("data", 36);
  file.writeUInt32LE(count * 2, 40);
  for (let index = 0; index < count; index += 1) {
    const sample = Math.sin((2 * Math.PI * TONE_HZ * index) / SAMPLE_RATE_HZ) * 0.4 * 32_767;
    file.writeInt16LE(Math.round(sample), 44 + index * 2);
  }
  return file;
}
