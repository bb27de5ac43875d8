// Talks HTTP to the server: the access token, problem details (RFC 9457), and what the server tells of itself.
//
// A token comes from `?token=` once, is kept for this tab only and leaves the address bar, so that a
// copied link does not carry it. Without one, the person is asked when the server answers 401.

const TOKEN_KEY = "sluice-token";
/** A server that is silent for so long is gone. */
const ANSWER_MS_MAX = 8_000;

/** @typedef {{code?: string, title?: string, detail?: string}} ProblemBody */

/** An answer that was not a success, in the words of the server. */
export class Problem extends Error {
  /** @param {number} status @param {ProblemBody} body @param {number | null} retryAfterSeconds */
  constructor(status, body, retryAfterSeconds) {
    super(body.detail || body.title || `The server answered ${status}.`);
    this.status = status;
    this.code = body.code || "";
    this.title = body.title || "";
    this.detail = this.message;
    this.retryAfterSeconds = retryAfterSeconds;
  }
}

/** The server could not be reached at all. */
export class Unreachable extends Error {}

export function takeTokenFromAddress() {
  const url = new URL(location.href);
  const token = url.searchParams.get("token");
  if (token === null) return;
  setToken(token);
  url.searchParams.delete("token");
  history.replaceState(null, "", url);
}

/** @param {string} token */
export function setToken(token) {
  if (token) sessionStorage.setItem(TOKEN_KEY, token);
  else sessionStorage.removeItem(TOKEN_KEY);
}

export function hasToken() {
  return sessionStorage.getItem(TOKEN_KEY) !== null;
}

/** @returns {Record<string, string>} */
export function authorization() {
  const token = sessionStorage.getItem(TOKEN_KEY);
  return token ? { Authorization: `Bearer ${token}` } : {};
}

/** The room that the address of this page names. */
export function roomOfPage() {
  return decodeURIComponent(location.pathname.split("/")[2] ?? "");
}

/**
 * One request. Resolves with the response if it is a success; rejects with Problem or Unreachable.
 * @param {string} url
 * @param {RequestInit} [options]
 */
export async function request(url, options = {}) {
  let response;
  try {
    response = await fetch(url, {
      cache: "no-store",
      signal: AbortSignal.timeout(ANSWER_MS_MAX),
      ...options,
      headers: { ...authorization(), ...options.headers },
    });
  } catch (cause) {
    throw new Unreachable("The server could not be reached.", { cause });
  }
  if (response.ok) return response;
  throw await problemOf(response);
}

/** @typedef {{rid: string | null, flowing: boolean, bitrate_bps: number, width: number | null, height: number | null}} EncodingView */
/** @typedef {{kind: string, codec: string | null, bitrate_bps: number, encodings: EncodingView[]}} TrackView */
/** @typedef {{code: string, title: string, detail: string}} ProblemView */
/**
 * @typedef {{name: string, shard: number, publisher: {connected: boolean} | null, subscribers: number,
 *   tracks: TrackView[], problems: ProblemView[]}} RoomView
 */
/** @typedef {{state?: string, problem?: ProblemView}} SessionView */
/** @typedef {import("./rates.js").Status} Status */

/** @returns {Promise<RoomView[]>} */
export async function rooms() {
  return (await (await request("/api/rooms")).json()).rooms;
}

/** The live state of one room, or null if nobody is in it. @param {string} name @returns {Promise<RoomView | null>} */
export async function room(name) {
  try {
    return await (await request(`/api/rooms/${encodeURIComponent(name)}`)).json();
  } catch (error) {
    if (error instanceof Problem && error.status === 404) return null;
    throw error;
  }
}

/** State of the session behind a WHIP or WHEP session URL. @param {string} sessionUrl @returns {Promise<SessionView>} */
export async function session(sessionUrl) {
  const id = new URL(sessionUrl).pathname.split("/").filter(Boolean).pop() ?? "";
  const response = await request(`/api/sessions/${encodeURIComponent(id)}`);
  return response.status === 204 ? {} : response.json();
}

/** What the server measures of itself. @returns {Promise<Status>} */
export async function status() {
  return (await request("/api/status")).json();
}

/** @param {Response} response */
async function problemOf(response) {
  const seconds = Number(response.headers.get("Retry-After"));
  const retryAfterSeconds = seconds > 0 ? seconds : null;
  const text = await response.text().catch(() => "");
  try {
    return new Problem(response.status, JSON.parse(text), retryAfterSeconds);
  } catch {
    return new Problem(response.status, { title: response.statusText, detail: text.slice(0, 300) }, retryAfterSeconds);
  }
}
