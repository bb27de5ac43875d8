// The publish page: sources, preview, going live, and what is being sent.
//
// The address may choose for the person: ?codec=H264&simulcast=0&resolution=360&prefer=maintain-framerate
// &voice=0&start=1 (go live at once).

import * as api from "./api.js";
import { Devices, OFF, meter } from "./devices.js";
import { advise, adviseInsecure } from "./diagnose.js";
import { bitrate, byId, count, element, milliseconds, showBadge, showNotice, showNumbers, size } from "./dom.js";
import { StatsMeter } from "./stats.js";
import { WhipSession, canSend } from "./whip.js";

const STATS_MS = 1_000;
const CHOICES = ["resolution", "codec", "prefer"];
const SWITCHES = ["simulcast", "voice"];

api.takeTokenFromAddress();
const room = api.roomOfPage();
const asked = new URL(location.href).searchParams;
const devices = new Devices();
let session = null;
let stats = new StatsMeter();
let stopMeter = null;
let deviceProblem = null;

prepare();

async function prepare() {
  document.title = `Publish to ${room} · Sluice`;
  byId("room-name").textContent = room;
  byId("watch-link").href = `/watch/${encodeURIComponent(room)}`;
  for (const option of byId("codec").options) {
    if (option.value !== "auto" && !canSend(option.value)) option.disabled = true;
  }
  for (const name of CHOICES) choose(byId(name), asked.get(name));
  for (const name of SWITCHES) if (asked.has(name)) byId(name).checked = asked.get(name) !== "0";
  byId("start").addEventListener("click", () => (session ? stop() : start()));
  byId("share").addEventListener("click", toggleScreen);
  byId("mute").addEventListener("click", toggleMute);
  byId("camera").addEventListener("change", openCamera);
  byId("resolution").addEventListener("change", openCamera);
  byId("microphone").addEventListener("change", openMicrophone);
  byId("voice").addEventListener("change", openMicrophone);
  byId("share").disabled = !navigator.mediaDevices?.getDisplayMedia;
  devices.addEventListener("change", (event) => showSource(event.detail));
  addEventListener("pageshow", (event) => event.persisted && location.reload());
  deviceProblem = adviseInsecure();
  showState();
  if (!deviceProblem) {
    await openCamera();
    await openMicrophone();
    await listDevices();
    navigator.mediaDevices.addEventListener("devicechange", listDevices);
    if (asked.get("start") === "1") start();
  }
  setInterval(showStats, STATS_MS);
  showStats();
}

function choose(select, value) {
  const option = [...select.options].find((candidate) => candidate.value === value);
  if (option && !option.disabled) select.value = value;
}

async function open(action) {
  try {
    await action();
    deviceProblem = null;
  } catch (error) {
    deviceProblem = advise(error);
  }
  showState();
}

function openCamera() {
  return open(() => devices.openCamera(byId("camera").value, byId("resolution").value));
}

function openMicrophone() {
  const before = deviceProblem;
  return open(() => devices.openMicrophone(byId("microphone").value, byId("voice").checked)).then(() => {
    deviceProblem ??= before;
    showState();
  });
}

async function toggleScreen() {
  if (devices.tracks.screen) return devices.closeScreen();
  try {
    await devices.openScreen();
  } catch (error) {
    // Closing the chooser is not a failure.
    if (error.name !== "NotAllowedError") deviceProblem = advise(error);
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
  byId("mute").disabled = !track;
  byId("mute").setAttribute("aria-pressed", String(Boolean(track) && !track.enabled));
  byId("mute").textContent = track && !track.enabled ? "Unmute" : "Mute";
}

async function listDevices() {
  const found = await devices.list();
  for (const slot of ["camera", "microphone"]) {
    const select = byId(slot);
    const chosen = select.value || devices.tracks[slot]?.getSettings().deviceId || "";
    const options = found[slot].map(({ id, label }) => new Option(label, id));
    select.replaceChildren(...options, new Option("Off", OFF));
    if (found[slot].length === 0) select.prepend(new Option(`Default ${slot}`, ""));
    select.value = [...select.options].some((option) => option.value === chosen) ? chosen : select.options[0].value;
  }
}

function showSource(slot) {
  const track = devices.tracks[slot];
  session?.put(slot, track).catch((error) => showNotice(advise(error)));
  if (slot === "camera") byId("preview").srcObject = track && new MediaStream([track]);
  if (slot === "screen") {
    byId("screen-preview").srcObject = track && new MediaStream([track]);
    byId("screen-preview").hidden = !track;
    byId("share").textContent = track ? "Stop sharing" : "Share screen";
    byId("share").setAttribute("aria-pressed", String(Boolean(track)));
  }
  if (slot === "microphone") {
    stopMeter?.();
    byId("level").style.transform = "scaleX(0)";
    stopMeter = track && meter(track, (level) => (byId("level").style.transform = `scaleX(${level})`));
    showMute();
  }
  showState();
}

function start() {
  const settings = {
    codec: byId("codec").value,
    simulcast: byId("simulcast").checked,
    lines: byId("resolution").value,
    prefer: byId("prefer").value,
  };
  stats = new StatsMeter();
  session = new WhipSession(room, settings, devices.tracks);
  session.addEventListener("change", () => onSession());
  session.start();
}

function stop() {
  session.stop();
  session = null;
  showState();
}

async function onSession() {
  showState();
  if (session?.state !== "failed") return;
  const { error } = session;
  if (error instanceof api.Problem && error.status === 401 && (await api.askForToken(error.detail))) return start();
  session = null;
  showNotice(advise(error));
}

function showState() {
  const hasSource = Object.values(devices.tracks).some(Boolean);
  const isOn = session !== null && session.state !== "failed";
  byId("start").disabled = !isOn && !hasSource;
  byId("start").textContent = isOn ? "Stop" : "Go live";
  byId("start").classList.toggle("danger", isOn);
  for (const id of ["codec", "prefer", "simulcast", "resolution"]) byId(id).disabled = isOn;
  byId("stage-message").textContent = devices.tracks.camera || devices.tracks.screen ? "" : stageMessage();
  showNotice(session?.error ? advise(session.error) : deviceProblem);
  const badges = {
    connecting: ["Connecting", "warn"],
    connected: ["Live", "live"],
    retrying: ["Reconnecting", "warn"],
    failed: ["Failed", "bad"],
  };
  showBadge(...(badges[session?.state] ?? ["Not live"]));
}

function stageMessage() {
  return deviceProblem ? deviceProblem.title : "No camera and no screen: only sound will be sent";
}

async function showStats() {
  const connection = session?.connection;
  if (session?.state !== "connected" || !connection) {
    showNumbers(byId("numbers"), [["Bitrate", "–"], ["Round trip", "–"], ["Link can take", "–"], ["Loss", "–"]]);
    byId("encodings").hidden = true;
    return;
  }
  const [figures, live] = await Promise.all([stats.readPublisher(connection), api.room(room).catch(() => null)]);
  const sent = figures.encodings.filter((encoding) => encoding.bitrateBps > 0).sort(byPlace);
  showNumbers(byId("numbers"), [
    ["Bitrate", bitrate(figures.bitrateBps)],
    ["Round trip", milliseconds(figures.rttSeconds)],
    ["Link can take", bitrate(figures.availableBps)],
    ["Loss", figures.lossFraction === null ? "–" : `${(figures.lossFraction * 100).toFixed(1)} %`],
    ["Watching", live ? count(live.subscribers, "viewer", "viewers") : "–"],
  ]);
  byId("encodings").hidden = sent.length === 0;
  byId("encodings").tBodies[0].replaceChildren(...sent.map(row));
}

/** As in the description, the largest picture of a camera first. */
function byPlace(one, other) {
  return Number(one.mid) - Number(other.mid) || (other.height ?? 0) - (one.height ?? 0);
}

function row(encoding) {
  const cells = [
    `${encoding.codec || encoding.kind}${encoding.rid ? ` ${encoding.rid}` : ""}`,
    encoding.kind === "video" ? size(encoding.width, encoding.height) : "–",
    encoding.kind === "video" ? String(Math.round(encoding.fps ?? 0)) : "–",
    String(Math.round(encoding.bitrateBps / 1000)),
    encoding.limitation && encoding.limitation !== "none" ? encoding.limitation : "–",
  ];
  return element("tr", {}, ...cells.map((text) => element("td", { textContent: text })));
}
