// The publish page: sources, preview, going live, and what is being sent.
//
// The address may choose for the person: ?codec=H264&simulcast=0&resolution=360&prefer=maintain-framerate
// &voice=0&start=1 (go live at once).

import * as api from "./api.js";
import { Devices, OFF } from "./devices.js";
import { advise, adviseBrowser, adviseInsecure } from "./diagnose.js";
import { byId, count, element, setIcon, setText, showBadge, words, bitrate, size } from "./dom.js";
import { Figures } from "./figures.js";
import { useShortcuts } from "./keys.js";
import { showPublishLinks } from "./links.js";
import { OF_PUBLISHERS } from "./measures.js";
import { meter } from "./meter.js";
import { showNotice } from "./notice.js";
import { StatsMeter } from "./stats.js";
import { askForToken } from "./token.js";
import { SLOTS, WhipSession, canSend } from "./whip.js";

/** @typedef {import("./whip.js").Slot} Slot */

const STATS_MS = 1_000;
const CHOICES = ["resolution", "codec", "prefer"];
const SWITCHES = ["simulcast", "voice"];
/** What stands in the table for each slot. @type {Record<Slot, string>} */
const SLOT_NAMES = { microphone: "Microphone", camera: "Camera", screenSound: "Screen sound", screen: "Screen" };
/** After so long without a sound the page asks whether it is the right microphone. */
const SILENT_MS = 6_000;
/** Below this the meter shows nothing that somebody said. */
const SILENT_LEVEL = 0.12;

api.takeTokenFromAddress();
const room = api.roomOfPage();
const asked = new URL(location.href).searchParams;
const devices = new Devices();
const figures = new Figures(byId("numbers", HTMLElement), OF_PUBLISHERS);
const cameraList = byId("camera", HTMLSelectElement);
const microphoneList = byId("microphone", HTMLSelectElement);
const start = byId("start", HTMLButtonElement);
const mute = byId("mute", HTMLButtonElement);
const hide = byId("hide", HTMLButtonElement);
const share = byId("share", HTMLButtonElement);
/** @type {WhipSession | null} */
let session = null;
let stats = new StatsMeter();
/** @type {(() => void) | null} */
let stopMeter = null;
/** @type {import("./notice.js").Advice | null} */
let cameraProblem = null;
/** @type {import("./notice.js").Advice | null} */
let microphoneProblem = null;
/** The camera to come back to after "Camera off". */
let lastCamera = "";

prepare();

async function prepare() {
  document.title = `Publish to ${room} · Sluice`;
  setText(byId("room-name", HTMLElement), room);
  showPublishLinks(byId("links", HTMLElement), room);
  applyAddress();
  start.addEventListener("click", () => (session ? stop() : goLive()));
  share.addEventListener("click", toggleScreen);
  mute.addEventListener("click", toggleMute);
  hide.addEventListener("click", toggleCamera);
  cameraList.addEventListener("change", openCamera);
  byId("resolution", HTMLSelectElement).addEventListener("change", openCamera);
  byId("codec", HTMLSelectElement).addEventListener("change", showCodecHint);
  microphoneList.addEventListener("change", openMicrophone);
  byId("voice", HTMLInputElement).addEventListener("change", openMicrophone);
  share.disabled = !navigator.mediaDevices || !("getDisplayMedia" in navigator.mediaDevices);
  devices.addEventListener("change", (event) => showSource(/** @type {CustomEvent<Slot>} */ (event).detail));
  addEventListener("pageshow", (event) => event.persisted && location.reload());
  useShortcuts([
    { key: "g", does: "Go live, or stop", run: () => start.click() },
    { key: "m", does: "Mute the microphone, or unmute it", run: () => mute.click() },
    { key: "c", does: "Camera off, or on", run: () => hide.click() },
    { key: "s", does: "Share a screen, or stop sharing", run: () => share.click() },
  ]);
  cameraProblem = adviseBrowser() ?? adviseInsecure();
  const isUsable = !cameraProblem;
  showState();
  if (isUsable) {
    await openDevices();
    navigator.mediaDevices.addEventListener("devicechange", listDevices);
    if (asked.get("start") === "1") goLive();
  }
  setInterval(showStats, STATS_MS);
  showStats();
}

function applyAddress() {
  for (const option of byId("codec", HTMLSelectElement).options) {
    if (option.value === "auto" || canSend(option.value)) continue;
    option.disabled = true;
    option.textContent += " (not in this browser)";
  }
  for (const name of CHOICES) choose(byId(name, HTMLSelectElement), asked.get(name));
  for (const name of SWITCHES) {
    if (asked.has(name)) byId(name, HTMLInputElement).checked = asked.get(name) !== "0";
  }
  if (["codec", "prefer", "simulcast"].some((name) => asked.has(name))) byId("advanced", HTMLDetailsElement).open = true;
  showCodecHint();
}

/** @param {HTMLSelectElement} select @param {string | null} value */
function choose(select, value) {
  const option = [...select.options].find((candidate) => candidate.value === value);
  if (option && !option.disabled) select.value = option.value;
}

function showCodecHint() {
  const codec = byId("codec", HTMLSelectElement).value;
  const hints = /** @type {Record<string, string>} */ ({
    auto: "The browser's first choice, today VP8.",
    VP9: "Viewers whose browser lacks it are told so.",
    AV1: "Viewers whose browser lacks it are told so.",
  });
  setText(byId("codec-hint", HTMLElement), hints[codec] ?? "");
}

async function openDevices() {
  await openCamera();
  await openMicrophone();
  await listDevices();
}

async function openCamera() {
  try {
    await devices.openCamera(cameraList.value, byId("resolution", HTMLSelectElement).value);
    cameraProblem = null;
  } catch (error) {
    cameraProblem = advise(error);
  }
  showState();
}

async function openMicrophone() {
  try {
    await devices.openMicrophone(microphoneList.value, byId("voice", HTMLInputElement).checked);
    microphoneProblem = null;
  } catch (error) {
    microphoneProblem = advise(error);
  }
  showState();
}

async function toggleScreen() {
  if (devices.tracks.screen) return devices.closeScreen();
  try {
    await devices.openScreen();
  } catch (error) {
    // Closing the chooser is not a failure.
    if (!(error instanceof DOMException && error.name === "NotAllowedError")) cameraProblem = advise(error);
    showState();
  }
}

function toggleMute() {
  const track = devices.tracks.microphone;
  if (!track) return;
  track.enabled = !track.enabled;
  showMute();
}

function showMute() {
  const track = devices.tracks.microphone;
  const isMuted = Boolean(track) && !track?.enabled;
  mute.disabled = !track;
  mute.setAttribute("aria-pressed", String(isMuted));
  setIcon(mute, isMuted ? "mic-off" : "mic");
}

/** Off stops the camera, so that its light goes out. */
function toggleCamera() {
  if (cameraList.value === OFF) {
    cameraList.value = lastCamera;
    if (cameraList.value !== lastCamera) cameraList.selectedIndex = 0;
  } else {
    lastCamera = cameraList.value;
    cameraList.value = OFF;
  }
  openCamera();
}

async function listDevices() {
  const found = await devices.list();
  /** @type {[HTMLSelectElement, "camera" | "microphone"][]} */
  const lists = [[cameraList, "camera"], [microphoneList, "microphone"]];
  for (const [select, slot] of lists) {
    const chosen = select.value || devices.tracks[slot]?.getSettings().deviceId || "";
    const options = found[slot].map(({ id, label }) => new Option(label, id));
    if (options.length === 0) options.push(new Option(devices.tracks[slot] ? `Default ${slot}` : `No ${slot} found`, ""));
    select.replaceChildren(...options, new Option("Off", OFF));
    select.value = [...select.options].some((option) => option.value === chosen) ? chosen : select.options[0].value;
  }
  showState();
}

/** @param {Slot} slot */
function showSource(slot) {
  const track = devices.tracks[slot];
  session?.put(slot, track).catch((error) => showNotice(advise(error)));
  if (slot === "camera") byId("preview", HTMLVideoElement).srcObject = track && new MediaStream([track]);
  if (slot === "screen") {
    byId("screen-preview", HTMLVideoElement).srcObject = track && new MediaStream([track]);
    share.setAttribute("aria-pressed", String(Boolean(track)));
    arrange();
  }
  if (slot === "camera") arrange();
  if (slot === "microphone") showMicrophone(track);
  showState();
}

/** The screen is what people look at, so it takes the stage and the camera a corner of it. */
function arrange() {
  const { camera, screen } = devices.tracks;
  byId("screen-preview", HTMLVideoElement).hidden = !screen;
  byId("screen-preview", HTMLVideoElement).classList.toggle("tile", false);
  byId("preview", HTMLVideoElement).classList.toggle("tile", Boolean(screen));
  byId("preview", HTMLVideoElement).hidden = !camera;
}

/** @param {MediaStreamTrack | null} track */
function showMicrophone(track) {
  stopMeter?.();
  const bar = byId("level", HTMLElement);
  const place = byId("meter", HTMLElement);
  const hint = byId("meter-hint", HTMLElement);
  let heardAt = performance.now();
  let saidAt = 0;
  bar.style.clipPath = "inset(0 100% 0 0)";
  place.ariaValueNow = "0";
  setText(hint, "");
  stopMeter =
    track &&
    meter(track, (level) => {
      const now = performance.now();
      bar.style.clipPath = `inset(0 ${(100 - level * 100).toFixed(1)}% 0 0)`;
      if (level > SILENT_LEVEL || !track.enabled) heardAt = now;
      setText(hint, !track.enabled ? "Muted: nobody hears you." : now - heardAt > SILENT_MS ? "Nothing is heard. Speak, or choose another microphone." : "");
      if (now - saidAt < STATS_MS) return;
      saidAt = now;
      place.ariaValueNow = String(Math.round(level * 100));
    });
  showMute();
}

function goLive() {
  const settings = {
    codec: byId("codec", HTMLSelectElement).value,
    simulcast: byId("simulcast", HTMLInputElement).checked,
    lines: byId("resolution", HTMLSelectElement).value,
    prefer: /** @type {RTCDegradationPreference} */ (byId("prefer", HTMLSelectElement).value),
  };
  stats = new StatsMeter();
  figures.clear();
  session = new WhipSession(room, settings, devices.tracks);
  session.addEventListener("change", onSession);
  session.start();
}

function stop() {
  session?.stop();
  session = null;
  showState();
}

async function onSession() {
  showState();
  if (session?.state !== "failed") return;
  const { error } = session;
  session = null;
  showState();
  const isTokenNeeded = error instanceof api.Problem && error.status === 401;
  const action = isTokenNeeded ? { label: "Enter the token", run: enterToken } : { label: "Try again", run: goLive };
  showNotice(advise(error), { actions: [action] });
  showBadge("Failed", "bad");
  if (isTokenNeeded) await enterToken();
}

async function enterToken() {
  if (!(await askForToken(api.hasToken() ? "The token was wrong." : "This server lets those publish who have its token."))) return;
  showPublishLinks(byId("links", HTMLElement), room);
  goLive();
}

function showState() {
  const hasSource = Object.values(devices.tracks).some(Boolean);
  const isOn = session !== null;
  start.disabled = !isOn && !hasSource;
  setText(start, isOn ? "Stop" : "Go live");
  start.classList.toggle("danger", isOn);
  for (const id of ["codec", "prefer", "resolution"]) byId(id, HTMLSelectElement).disabled = isOn;
  byId("simulcast", HTMLInputElement).disabled = isOn;
  byId("locked", HTMLElement).hidden = !isOn;
  const isCameraOff = cameraList.value === OFF;
  hide.setAttribute("aria-pressed", String(isCameraOff));
  hide.disabled = !isCameraOff && !devices.tracks.camera;
  setIcon(hide, isCameraOff ? "camera-off" : "camera");
  setText(byId("stage-message", HTMLElement), devices.tracks.camera || devices.tracks.screen ? "" : stageMessage(hasSource));
  showProblem();
  const badges = /** @type {Record<string, [string, string]>} */ ({
    connecting: ["Connecting", "warn"],
    connected: ["Live", "live"],
    retrying: ["Reconnecting", "warn"],
  });
  showBadge(...(badges[session?.state ?? ""] ?? ["Not live", ""]));
  byId("stage", HTMLElement).dataset.state = session?.state ?? "";
}

function showProblem() {
  if (session?.error) {
    const running = session;
    const actions = session.tryAgainAt ? [{ label: "Try now", run: () => running.tryNow() }] : [];
    showNotice(advise(session.error), { tryAgainAt: session.tryAgainAt, actions });
  } else {
    const problem = cameraProblem ?? microphoneProblem;
    showNotice(problem, { actions: problem && navigator.mediaDevices ? [{ label: "Try again", run: openDevices }] : [] });
  }
}

/** @param {boolean} hasSource */
function stageMessage(hasSource) {
  if (cameraProblem) return cameraProblem.title;
  if (cameraList.value === OFF || hasSource) return "No camera and no screen: only sound is sent";
  return "Waiting for your camera";
}

async function showStats() {
  const connection = session?.connection;
  const isLive = session?.state === "connected" && Boolean(connection);
  byId("numbers", HTMLElement).hidden = !isLive;
  byId("numbers-empty", HTMLElement).hidden = isLive;
  if (!isLive || !connection) {
    byId("encodings", HTMLElement).hidden = true;
    for (const id of ["path", "viewers"]) setText(byId(id, HTMLElement), "");
    return;
  }
  const [read, live] = await Promise.all([stats.readPublisher(connection), api.room(room).catch(() => null)]);
  const sent = read.streams.filter((stream) => stream.bitrateBps > 0).sort(byPlace);
  const best = sent.find((stream) => stream.kind === "video");
  const codecs = [...new Set([best?.codec, ...sent.map((stream) => stream.codec)])].filter(Boolean);
  figures.show({ ...read, fps: best?.fps, encodeSeconds: best?.encodeSeconds, size: best ? size(best.width, best.height) : null, codec: codecs.join(", "), path: null, streams: null });
  setText(byId("path", HTMLElement), read.path);
  setText(byId("viewers", HTMLElement), live ? count(live.subscribers, "viewer", "viewers") : "");
  byId("encodings", HTMLElement).hidden = sent.length === 0;
  byId("encodings", HTMLElement).querySelector("tbody")?.replaceChildren(...sent.map(row));
}

/** @typedef {import("./stats.js").SentStream} SentStream */

/** As in the description, the largest picture of a camera first. @param {SentStream} one @param {SentStream} other */
function byPlace(one, other) {
  return Number(one.mid) - Number(other.mid) || (other.height ?? 0) - (one.height ?? 0);
}

/** @param {SentStream} stream */
function row(stream) {
  const isVideo = stream.kind === "video";
  const held = stream.limitation && stream.limitation !== "none" ? stream.limitation : "–";
  const slot = SLOT_NAMES[SLOTS[Number(stream.mid)]] ?? stream.kind;
  const name = stream.rid ? `${slot} ${stream.rid}` : slot;
  const cells = [
    stream.codec,
    isVideo ? size(stream.width, stream.height) : "–",
    isVideo ? String(Math.round(stream.fps ?? 0)) : "–",
    words(bitrate(stream.bitrateBps)),
    held,
  ];
  const head = element("th", { scope: "row", textContent: name });
  return element("tr", {}, head, ...cells.map((text) => element("td", { textContent: text })));
}
