// Turns a failure into a sentence and a list of what to check.

import { Problem, Unreachable } from "./api.js";
import { Lost, NoPath } from "./session.js";

/** `{title, detail, checks, isBad}` for anything that a session or a device can fail with. */
export function advise(error) {
  if (error instanceof Unreachable) return unreachable();
  if (error instanceof NoPath) return noPath(error.candidates);
  if (error instanceof Problem) return refused(error);
  if (error instanceof Lost) {
    return {
      title: "Connection lost",
      detail: "Trying again by itself.",
      checks: ["Is this device still online?", "Was the server restarted?"],
      isBad: false,
    };
  }
  return device(error) ?? { title: "Something went wrong", detail: `${error.name}: ${error.message}`, checks: [] };
}

/** What a session's own problem, told by the server after it was accepted, means. */
export function adviseSession(problem) {
  return { title: problem.title || "The server cannot send this to you", detail: problem.detail, checks: codecChecks(problem) };
}

/** Why there is no camera here at all, or null. */
export function adviseInsecure() {
  if (navigator.mediaDevices?.getUserMedia) return null;
  return {
    title: "The camera needs HTTPS",
    detail: "Browsers open cameras and microphones only on https:// pages and on localhost.",
    checks: [
      `This page came from ${location.origin}.`,
      "Start the server with SLUICE_TLS=self-signed, or put it behind a proxy that speaks HTTPS.",
    ],
  };
}

function unreachable() {
  return {
    title: "Server not reachable",
    detail: `No answer from ${location.origin}.`,
    checks: ["Is the server running?", "Is this device online, and on the right network or VPN?"],
  };
}

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

function refused(problem) {
  const titles = {
    401: "Access token needed",
    403: "Not allowed",
    404: "Not found",
    409: "The room is taken",
    429: "Too many requests",
    503: "The server is full or restarting",
  };
  const checks = {
    401: ["Ask whoever runs the server for a token.", "A token may have run out."],
    403: ["This token is not good for this room, or not for publishing."],
    409: ["Somebody publishes into this room already. Choose another room, or wait until they leave."],
    503: ["Trying again by itself."],
  };
  return {
    title: titles[problem.status] ?? problem.title ?? "The server refused",
    detail: problem.detail,
    checks: checks[problem.status] ?? codecChecks(problem),
  };
}

function codecChecks(problem) {
  if (!/codec/i.test(`${problem.code} ${problem.detail}`)) return [];
  return ["Choose another codec on the publish page: VP8 and H.264 play almost everywhere.", "Try another browser."];
}

function device(error) {
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
        detail: "No camera or microphone that fits was found.",
        checks: ["Is it plugged in?", "Choose another one in the list."],
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
