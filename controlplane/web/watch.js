// The watch page: the room's picture, its second picture when one flows, sound, and live figures.
//
// Two clocks: the session says whether we are connected; a poll each second says whether frames come,
// whether somebody publishes, and whether the server has something against us. Nothing here restarts
// when the publisher does: the same tracks flow again.

import * as api from "./api.js";
import { advise, adviseBrowser, adviseSession } from "./diagnose.js";
import { byId, count, setIcon, setText, showBadge, size } from "./dom.js";
import { Figures } from "./figures.js";
import { useShortcuts } from "./keys.js";
import { showWatchLinks } from "./links.js";
import { OF_VIEWERS } from "./measures.js";
import { showNotice } from "./notice.js";
import { StatsMeter } from "./stats.js";
import { askForToken } from "./token.js";
import { WhepSession } from "./whep.js";

/** @typedef {import("./api.js").RoomView} Room */
/** @typedef {"waiting" | "live" | "left" | "still" | "connecting" | "retrying" | "failed"} Shown */
/** @typedef {Awaited<ReturnType<StatsMeter["readViewer"]>>} ViewerFigures */

const POLL_MS = 1_000;
/** A picture that has not moved for this many polls does not flow. */
const STILL_POLLS_MAX = 3;

const VOLUME_STEP = 5;

/** Badge, its tone, and what stands over the picture. @type {Record<Shown, [string, string, string]>} */
const STATES = {
  connecting: ["Connecting", "warn", "Connecting"],
  waiting: ["Waiting", "", "Waiting for the publisher. The picture comes by itself."],
  live: ["Live", "live", ""],
  left: ["Publisher left", "warn", "The publisher left. The picture goes on by itself when they come back."],
  still: ["Live", "warn", "Waiting for the picture."],
  retrying: ["Reconnecting", "warn", "Not connected. It is tried again by itself."],
  failed: ["Failed", "bad", "Not connected"],
};

api.takeTokenFromAddress();
const room = api.roomOfPage();
const mainVideo = byId("main-video", HTMLVideoElement);
const secondVideo = byId("second-video", HTMLVideoElement);
const secondAudio = byId("second-audio", HTMLAudioElement);
const second = byId("second", HTMLButtonElement);
const sound = byId("sound", HTMLButtonElement);
const volume = byId("volume", HTMLInputElement);
const full = byId("full", HTMLButtonElement);
const pip = byId("pip", HTMLButtonElement);
const figures = new Figures(byId("numbers", HTMLElement), OF_VIEWERS);

/** @type {WhepSession | null} */
let session = null;
let stats = new StatsMeter();
/** @type {import("./whep.js").Tracks} */
let tracks = { audio: [], video: [] };
let stillPolls = [Infinity, Infinity];
/** @type {WeakSet<MediaStreamTrack>} */
const flowing = new WeakSet();
let hadPicture = false;
let isSwapped = false;
let isSilenced = false;

prepare();

function prepare() {
  document.title = `Watch ${room} · Sluice`;
  setText(byId("room-name", HTMLElement), room);
  showWatchLinks(byId("links", HTMLElement), room);
  sound.addEventListener("click", () => setSound(mainVideo.muted));
  volume.addEventListener("input", () => setVolume(Number(volume.value)));
  byId("unmute", HTMLButtonElement).addEventListener("click", () => setSound(true));
  full.addEventListener("click", toggleFull);
  document.addEventListener("fullscreenchange", () => full.classList.toggle("on", document.fullscreenElement !== null));
  pip.hidden = !document.pictureInPictureEnabled;
  pip.addEventListener("click", togglePip);
  byId("swap", HTMLButtonElement).addEventListener("click", swap);
  second.addEventListener("click", swap);
  useShortcuts([
    { key: "m", does: "Mute the sound, or unmute it", run: () => setSound(mainVideo.muted) },
    { key: "arrowup", does: "Louder", run: () => setVolume(Number(volume.value) + VOLUME_STEP) },
    { key: "arrowdown", does: "Quieter", run: () => setVolume(Number(volume.value) - VOLUME_STEP) },
    { key: "f", does: "Full screen, and back", run: toggleFull },
    { key: "p", does: "Mini player, and back", run: togglePip },
    { key: "s", does: "Swap the two pictures", run: swap },
  ]);
  addEventListener("pageshow", (event) => event.persisted && location.reload());
  const problem = adviseBrowser();
  if (problem) {
    showBadge("Failed", "bad");
    return showNotice(problem);
  }
  start();
  poll();
}

function start() {
  session?.stop();
  stats = new StatsMeter();
  session = new WhepSession(room, take);
  session.addEventListener("change", onSession);
  session.start();
}

/** Puts the tracks of a new connection into the page, each as soon as something flows. @param {import("./whep.js").Tracks} fresh */
function take(fresh) {
  tracks = fresh;
  stats = new StatsMeter();
  stillPolls = [Infinity, Infinity];
  for (const track of [...fresh.audio, ...fresh.video]) {
    track.addEventListener("unmute", () => {
      flowing.add(track);
      arrange();
    });
  }
  arrange();
}

/** A screen is what people look at, so the second picture takes the stage unless swapped. */
function arrange() {
  const isFlowing = stillPolls.map((polls) => polls < STILL_POLLS_MAX);
  const hasBoth = isFlowing[0] && isFlowing[1];
  const isSecondOnStage = hasBoth ? !isSwapped : isFlowing[1];
  const [onStage, onTile] = isSecondOnStage ? [1, 0] : [0, 1];
  attach(mainVideo, [tracks.video[onStage], tracks.audio[0]]);
  attach(secondVideo, [tracks.video[onTile]]);
  attach(secondAudio, [tracks.audio[1]]);
  second.hidden = !hasBoth;
  byId("swap", HTMLButtonElement).hidden = !hasBoth;
  secondVideo.muted = true;
}

/** A player that is given a silent track keeps the page loading, so it gets what has flowed. @param {HTMLMediaElement} player @param {MediaStreamTrack[]} wanted */
function attach(player, wanted) {
  const present = wanted.filter((track) => flowing.has(track));
  const stream = player.srcObject instanceof MediaStream ? player.srcObject : null;
  const current = stream?.getTracks() ?? [];
  const isKept = current.every((track) => present.includes(track));
  if (isKept && present.length === current.length) return;
  if (isKept && stream && current.length > 0) {
    for (const track of present) stream.addTrack(track);
  } else {
    player.srcObject = present.length > 0 ? new MediaStream(present) : null;
  }
  if (present.length > 0) play(player);
}

/** Plays; where the browser forbids sound before a click, plays silently and offers the click. @param {HTMLMediaElement} player */
async function play(player) {
  try {
    await player.play();
  } catch (error) {
    if (!(error instanceof DOMException && error.name === "NotAllowedError") || player.muted) return;
    isSilenced = true;
    showSound(false);
    player.play().catch(() => {});
  }
}

/** @param {boolean} isOn */
function setSound(isOn) {
  isSilenced = false;
  showSound(isOn);
  for (const player of [mainVideo, secondAudio]) player.play().catch(() => {});
}

/** @param {boolean} isOn */
function showSound(isOn) {
  mainVideo.muted = !isOn;
  secondAudio.muted = !isOn;
  byId("unmute", HTMLButtonElement).hidden = !isSilenced;
  sound.setAttribute("aria-pressed", String(!isOn));
  setIcon(sound, isOn ? "sound" : "sound-off");
}

/** @param {number} wanted in percent */
function setVolume(wanted) {
  const level = Math.min(100, Math.max(0, wanted));
  volume.value = String(level);
  mainVideo.volume = level / 100;
  secondAudio.volume = level / 100;
  if (mainVideo.muted && level > 0) setSound(true);
}

function swap() {
  isSwapped = !isSwapped;
  arrange();
}

function toggleFull() {
  /** A phone shows the film in full, not the page. @type {HTMLVideoElement & {webkitEnterFullscreen?: () => void}} */
  const phone = mainVideo;
  const stage = byId("stage", HTMLElement);
  if (document.fullscreenElement) document.exitFullscreen();
  else if ("requestFullscreen" in stage) stage.requestFullscreen().catch(() => {});
  else phone.webkitEnterFullscreen?.();
}

function togglePip() {
  if (document.pictureInPictureElement) document.exitPictureInPicture();
  else mainVideo.requestPictureInPicture?.().catch(() => {});
}

/** @param {Event} event */
async function onSession(event) {
  if (!session || event.target !== session) return;
  show(null, null);
  const { error } = session;
  if (session.state === "failed" && error instanceof api.Problem && error.status === 401) await enterToken();
}

async function enterToken() {
  if (!(await askForToken(api.hasToken() ? "The token was wrong." : "This server lets those watch who have its token."))) return;
  showWatchLinks(byId("links", HTMLElement), room);
  start();
}

async function poll() {
  const [read, live, own] = await Promise.all([readFigures(), readRoom(), readSession()]);
  show(live, own);
  showFigures(read);
  setText(byId("viewers", HTMLElement), live ? count(live.subscribers, "viewer", "viewers") : "");
  setTimeout(poll, POLL_MS);
}

async function readFigures() {
  if (session?.state !== "connected" || !session.connection) return null;
  const read = await stats.readViewer(session.connection).catch(() => null);
  if (!read) return null;
  tracks.video.forEach((track, index) => {
    const stream = read.video.find((candidate) => candidate.trackId === track.id);
    stillPolls[index] = stream?.isDecoding ? 0 : stillPolls[index] + 1;
  });
  hadPicture ||= read.video.some((stream) => stream.framesDecoded > 0);
  arrange();
  return read;
}

/** Only while connected: the room of somebody who is not let in may not exist. */
async function readRoom() {
  if (session?.state !== "connected") return null;
  return api.room(room).catch(() => null);
}

async function readSession() {
  if (session?.state !== "connected" || !session.url) return null;
  return api.session(session.url).catch(() => null);
}

/**
 * What the person sees of the state, from `session`, the room and our own session at the server.
 * @param {Room | null} live
 * @param {import("./api.js").SessionView | null} own
 */
function show(live, own) {
  if (!session) return;
  const state = stateOf(session, live);
  byId("stage", HTMLElement).dataset.state = state;
  const [badge, tone, message] = STATES[state];
  showBadge(badge, tone);
  const problem = own?.problem;
  setText(byId("stage-message", HTMLElement), problem && state !== "live" ? problem.detail : message);
  if (problem) showNotice(adviseSession(problem));
  else if (session.state === "connected" || session.state === "waiting") showNotice(null);
  else if (session.error) showTrouble(session);
  else if (session.state !== "connecting") showNotice(null);
}

/** @param {WhepSession} running */
function showTrouble({ error, tryAgainAt, state }) {
  const isTokenNeeded = error instanceof api.Problem && error.status === 401;
  const actions = [];
  if (isTokenNeeded) actions.push({ label: "Enter the token", run: enterToken });
  else if (state === "failed") actions.push({ label: "Try again", run: start });
  else actions.push({ label: "Try now", run: () => session?.tryNow() });
  showNotice(advise(error), { tryAgainAt, actions });
}

/** @param {WhepSession} session @param {Room | null} live @returns {Shown} */
function stateOf(session, live) {
  if (session.state !== "connected") return session.state === "idle" ? "connecting" : session.state;
  const hasLeft = live && !live.publisher?.connected;
  // With nobody there, the first still second is enough.
  if (stillPolls.some((polls) => polls < (hasLeft ? 1 : STILL_POLLS_MAX))) return "live";
  if (live?.publisher?.connected) return hasSoundOnly(live) ? "live" : hadPicture ? "still" : "waiting";
  return hadPicture ? "left" : "waiting";
}

/** @param {Room} live */
function hasSoundOnly(live) {
  return !live.tracks.some((track) => track.kind === "video" && track.bitrate_bps > 0) &&
    live.tracks.some((track) => track.kind === "audio" && track.bitrate_bps > 0);
}

/** @param {ViewerFigures | null} read */
function showFigures(read) {
  const moving = (read?.video ?? []).filter((stream) => stream.bitrateBps > 0);
  const [picture] = moving.sort((one, other) => (other.height ?? 0) - (one.height ?? 0));
  const voice = read?.audio.find((stream) => stream.bitrateBps > 0);
  const isFlowing = Boolean(read && (picture || voice || hadPicture));
  byId("numbers", HTMLElement).hidden = !isFlowing;
  byId("numbers-empty", HTMLElement).hidden = isFlowing;
  setText(byId("path", HTMLElement), read?.path ?? "");
  if (!read || !isFlowing) return;
  const main = picture ?? voice;
  // A screen that stands still has few frames, and that is well.
  const isScreen = picture !== undefined && picture.trackId === tracks.video[1]?.id;
  figures.show({
    bitrateBps: read.bitrateBps,
    rttSeconds: read.rttSeconds,
    lossFraction: read.lossFraction,
    jitterSeconds: main?.jitterSeconds,
    fps: picture?.fps,
    freezesPerMinute: picture ? read.freezesPerMinute : null,
    bufferSeconds: main?.bufferSeconds,
    size: picture?.width ? size(picture.width, picture.height) : null,
    codec: [picture?.codec, voice?.codec].filter(Boolean).join(", "),
  }, isScreen ? ["fps"] : []);
}
