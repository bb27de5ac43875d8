// The watch page: the room's picture, its second picture when one flows, sound, and live figures.
//
// Two clocks: the session says whether we are connected; a poll each second says whether frames come,
// whether somebody publishes, and whether the server has something against us. Nothing here restarts
// when the publisher does: the same tracks flow again.

import * as api from "./api.js";
import { advise, adviseSession } from "./diagnose.js";
import { bitrate, byId, count, milliseconds, showBadge, showNotice, showNumbers, size } from "./dom.js";
import { StatsMeter } from "./stats.js";
import { WhepSession } from "./whep.js";

const POLL_MS = 1_000;
/** A picture that has not moved for this many polls does not flow. */
const STILL_POLLS_MAX = 3;

api.takeTokenFromAddress();
const room = api.roomOfPage();
const mainVideo = byId("main-video");
const secondVideo = byId("second-video");
const secondAudio = byId("second-audio");

let session = null;
let stats = new StatsMeter();
let tracks = { audio: [], video: [] };
let stillPolls = [Infinity, Infinity];
let hadPicture = false;
let isSwapped = false;
let isSilenced = false;

prepare();

function prepare() {
  document.title = `Watch ${room} · Sluice`;
  byId("room-name").textContent = room;
  byId("sound").addEventListener("click", () => setSound(mainVideo.muted));
  byId("unmute").addEventListener("click", () => setSound(true));
  byId("full").addEventListener("click", toggleFull);
  byId("retry").addEventListener("click", start);
  byId("swap").addEventListener("click", swap);
  secondVideo.addEventListener("click", swap);
  secondVideo.addEventListener("keydown", (event) => {
    if (event.key === "Enter" || event.key === " ") swap(event);
  });
  document.addEventListener("keydown", shortcut);
  addEventListener("pageshow", (event) => event.persisted && location.reload());
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

/** Puts the tracks of a new connection into the page. */
function take(fresh) {
  tracks = fresh;
  stats = new StatsMeter();
  stillPolls = [Infinity, Infinity];
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
  secondVideo.hidden = !hasBoth;
  byId("swap").hidden = !hasBoth;
  secondVideo.muted = true;
}

function attach(player, wanted) {
  const present = wanted.filter(Boolean);
  const current = player.srcObject?.getTracks() ?? [];
  if (present.length === current.length && present.every((track) => current.includes(track))) return;
  player.srcObject = new MediaStream(present);
  play(player);
}

/** Plays; where the browser forbids sound before a click, plays silently and offers the click. */
async function play(player) {
  try {
    await player.play();
  } catch (error) {
    if (error.name !== "NotAllowedError" || player.muted) return;
    isSilenced = true;
    showSound(false);
    player.play().catch(() => {});
  }
}

function setSound(isOn) {
  isSilenced = false;
  showSound(isOn);
  for (const player of [mainVideo, secondAudio]) player.play().catch(() => {});
}

function showSound(isOn) {
  mainVideo.muted = !isOn;
  secondAudio.muted = !isOn;
  byId("unmute").hidden = !isSilenced;
  byId("sound").setAttribute("aria-pressed", String(isOn));
  byId("sound").textContent = isOn ? "Sound on" : "Sound off";
}

function swap(event) {
  event?.preventDefault();
  isSwapped = !isSwapped;
  arrange();
}

function toggleFull() {
  if (document.fullscreenElement) document.exitFullscreen();
  else if (byId("stage").requestFullscreen) byId("stage").requestFullscreen().catch(() => {});
  else mainVideo.webkitEnterFullscreen?.();
}

function shortcut(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, dialog")) return;
  if (event.key === "f") toggleFull();
  if (event.key === "m") setSound(mainVideo.muted);
}

async function onSession(event) {
  if (event.target !== session) return;
  show(null, null);
  const { error } = session;
  if (session.state !== "failed" || !(error instanceof api.Problem) || error.status !== 401) return;
  if (await api.askForToken(error.detail)) start();
}

async function poll() {
  const [figures, live, own] = await Promise.all([readFigures(), readRoom(), readSession()]);
  show(live, own);
  showFigures(figures);
  byId("viewers").textContent = live ? count(live.subscribers, "viewer", "viewers") : "";
  setTimeout(poll, POLL_MS);
}

async function readFigures() {
  if (session.state !== "connected") return null;
  const figures = await stats.readViewer(session.connection).catch(() => null);
  if (!figures) return null;
  tracks.video.forEach((track, index) => {
    const stream = figures.video.find((candidate) => candidate.trackId === track.id);
    stillPolls[index] = stream?.isDecoding ? 0 : stillPolls[index] + 1;
  });
  hadPicture ||= stillPolls.includes(0);
  arrange();
  return figures;
}

function readRoom() {
  return api.room(room).catch(() => null);
}

async function readSession() {
  if (session.state !== "connected" || !session.url) return null;
  return api.session(session.url).catch(() => null);
}

/** What the person sees of the state, from `session`, the room and our own session at the server. */
function show(live, own) {
  const state = stateOf(live);
  byId("stage").dataset.state = state;
  const [badge, tone, message] = STATES[state];
  showBadge(badge, tone);
  const problem = own?.problem;
  byId("stage-message").textContent = problem && state !== "live" ? problem.detail : message;
  byId("retry").hidden = state !== "failed";
  if (problem) showNotice(adviseSession(problem));
  else if (session.state === "connected" || session.state === "waiting") showNotice(null);
  else if (session.error) showNotice(advise(session.error));
}

const STATES = {
  connecting: ["Connecting", "warn", "Connecting"],
  waiting: ["Waiting", "", "Waiting for the publisher. The picture comes by itself."],
  live: ["Live", "live", ""],
  left: ["Publisher left", "warn", "The publisher left. The picture goes on by itself when they come back."],
  still: ["Live", "warn", "Waiting for the picture."],
  retrying: ["Reconnecting", "warn", "Connection lost. Trying again."],
  failed: ["Failed", "bad", "Not connected"],
};

function stateOf(live) {
  if (session.state !== "connected") return session.state === "idle" ? "connecting" : session.state;
  if (stillPolls.some((polls) => polls < STILL_POLLS_MAX)) return "live";
  if (live?.publisher?.connected) return hasSoundOnly(live) ? "live" : hadPicture ? "still" : "waiting";
  return hadPicture ? "left" : "waiting";
}

function hasSoundOnly(live) {
  return !live.tracks.some((track) => track.kind === "video" && track.bitrate_bps > 0) &&
    live.tracks.some((track) => track.kind === "audio" && track.bitrate_bps > 0);
}

function showFigures(figures) {
  const flowing = figures?.video.filter((stream) => stream.bitrateBps > 0) ?? [];
  const picture = flowing.reduce((top, next) => ((next.height ?? 0) > (top?.height ?? 0) ? next : top), null);
  const sound = figures?.audio.find((stream) => stream.bitrateBps > 0);
  const codecs = [picture?.codec, sound?.codec].filter(Boolean).join(", ");
  showNumbers(byId("numbers"), [
    ["Bitrate", bitrate(figures?.bitrateBps)],
    ["Round trip", milliseconds(figures?.rttSeconds)],
    ["Resolution", size(picture?.width, picture?.height)],
    ["Frames per second", picture ? String(Math.round(picture.fps ?? 0)) : "–"],
    ["Loss", figures?.lossFraction == null ? "–" : `${(figures.lossFraction * 100).toFixed(1)} %`],
    ["Codecs", codecs || "–"],
    ["Buffer", picture ? milliseconds(picture.bufferSeconds) : "–"],
    ["Freezes", picture ? String(picture.freezes) : "–"],
  ]);
}
