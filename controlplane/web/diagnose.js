// Turns a failure into a sentence and a list of what to check.

import { Problem, Unreachable, hasToken } from "./api.js";
import { Lost, NoPath } from "./session.js";

/** @typedef {import("./notice.js").Advice} Advice */

/** For anything that a session or a device can fail with. @param {unknown} error @returns {Advice} */
export function advise(error) {
  if (error instanceof Unreachable) return unreachable();
  if (error instanceof NoPath) return noPath(error.candidates);
  if (error instanceof Problem) return refused(error);
  if (error instanceof Lost) {
    return {
      title: "Connection lost",
      detail: "It is tried again by itself.",
      checks: ["Is this device still online?", "Was the server restarted?"],
      isBad: false,
    };
  }
  if (!(error instanceof Error)) return { title: "Something went wrong", detail: String(error) };
  return ofDevice(error) ?? { title: "Something went wrong", detail: `${error.name}: ${error.message}` };
}

/** What a session's own problem, told by the server after it was accepted, means. @param {import("./api.js").ProblemView} problem @returns {Advice} */
export function adviseSession(problem) {
  return { title: problem.title || "The server cannot send this to you", detail: sentence(problem.detail), checks: codecChecks(problem) };
}

/** Why there is no camera here at all, or null. @returns {Advice | null} */
export function adviseInsecure() {
  if (window.isSecureContext && navigator.mediaDevices) return null;
  return {
    title: "The camera needs HTTPS",
    detail: "Browsers open cameras and microphones only on https:// pages and on localhost.",
    checks: [
      `This page came from ${location.origin}.`,
      "Start the server with SLUICE_TLS=self-signed, or put it behind a proxy that speaks HTTPS.",
    ],
  };
}

/** Why this browser can neither send nor receive, or null. @returns {Advice | null} */
export function adviseBrowser() {
  if ("RTCPeerConnection" in window) return null;
  return {
    title: "This browser has no WebRTC",
    detail: "Neither sending nor watching is possible here.",
    checks: ["Was it switched off, by a setting or an extension?", "Use a current Firefox, Chrome, Edge or Safari."],
  };
}

/** @returns {Advice} */
function unreachable() {
  return {
    title: "Server not reachable",
    detail: `No answer from ${location.origin}.`,
    checks: ["Is the server running?", "Is this device online, and on the right network or VPN?"],
  };
}

/** @param {string[]} candidates @returns {Advice} */
function noPath(candidates) {
  return {
    title: "No media connection",
    detail: "The server answered, but no packet came back over UDP.",
    checks: [
      candidates.length > 0
        ? `Can this device reach ${candidates.join(", ")}? A firewall may block UDP.`
        : "The server named no address to send to: check SLUICE_RTC_LISTEN.",
      "Is one of these addresses one that you can reach from here? If not, set SLUICE_RTC_ANNOUNCED on the server.",
      "Guest and company networks often block UDP: try another network.",
    ],
  };
}

/** What each `code` of a problem means here: title and checks. @type {Record<string, {title: string, checks: string[]}>} */
const CODES = {
  publisher_present: {
    title: "The room is taken",
    checks: ["Somebody publishes into this room already. Choose another room, or wait until they leave."],
  },
  room_full: { title: "The room is full", checks: ["You get in as soon as somebody leaves.", "SLUICE_SUBSCRIBERS_PER_ROOM_MAX says how many a room takes."] },
  server_full: { title: "The server is full", checks: ["You get in as soon as somebody leaves.", "SLUICE_PUBLISHERS_MAX and SLUICE_SUBSCRIBERS_MAX say how many it takes."] },
  shutting_down: { title: "The server is stopping", checks: ["It is tried again until the server is back."] },
  overloaded: { title: "The server is overloaded", checks: ["Its status page shows which shard."] },
  shard_down: { title: "A part of the server has ended", checks: ["Whoever runs the server has to start it again."] },
  rate_limited: { title: "Too many requests", checks: ["Are there many people behind your address? SLUICE_RATE_LIMIT_PER_SECOND is the limit."] },
  too_many_pending: { title: "Too many connections at once", checks: ["Others behind your address are still connecting."] },
  status_private: { title: "The status is not public", checks: [] },
};

/** @param {Problem} problem @returns {Advice} */
function refused(problem) {
  if (problem.status === 401) {
    return {
      title: hasToken() ? "Wrong access token" : "Access token needed",
      detail: hasToken() ? "The token of this tab is not that of the server." : "This server is for those who have its token.",
      checks: ["Ask whoever runs the server for the token: it is a part of SLUICE_AUTH."],
    };
  }
  const known = CODES[problem.code];
  if (known) return { title: known.title, detail: sentence(problem.detail), checks: known.checks };
  return { title: problem.title || "The server refused", detail: sentence(problem.detail), checks: codecChecks(problem) };
}

/** What the server writes as a part of one, as a sentence. @param {string} text */
function sentence(text) {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}${/[.!?]$/.test(text) ? "" : "."}`;
}

/** @param {{code: string, detail: string}} problem */
function codecChecks(problem) {
  if (!/codec/i.test(`${problem.code} ${problem.detail}`)) return [];
  return ["Choose another codec on the publish page: VP8 and H.264 play almost everywhere.", "Try another browser."];
}

/** @param {Error} error @returns {Advice | null} */
function ofDevice(error) {
  switch (error.name) {
    case "NotAllowedError":
    case "SecurityError":
      return {
        title: "Permission denied",
        detail: "The browser does not let this page use the camera, microphone or screen.",
        checks: [
          "Allow camera and microphone: press the icon left of the address, then reload.",
          "Does the operating system let this browser use them?",
        ],
      };
    case "NotFoundError":
    case "OverconstrainedError":
      return {
        title: "No such device",
        detail: "No camera or microphone that fits was found. You can still share a screen.",
        checks: ["Is it plugged in and switched on?", "Choose another one in the list."],
      };
    case "NotReadableError":
    case "AbortError":
      return {
        title: "Device is busy",
        detail: "The camera or microphone could not be opened.",
        checks: ["Is another program using it? Close that program and choose the device again."],
      };
    default:
      return null;
  }
}
