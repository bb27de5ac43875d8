// One WHIP or WHEP session that is kept up: offer, answer, connect, and again after a loss.
//
// What differs between publishing and playing is in the subclass: which media sections are offered.
// A session that was asked to stop, or that the server refused for good, is not tried again by itself.
// There is no trickle: the server is ICE-lite and learns our addresses from our checks.

import { Problem, Unreachable, authorization, request } from "./api.js";

const CONNECT_TIMEOUT_MS = 10_000;
/** "disconnected" often heals by itself; this long it may. */
const DISCONNECTED_MS_MAX = 4_000;
const BACKOFF_FIRST_MS = 500;
const BACKOFF_MS_MAX = 8_000;
/** A connection that held this long starts the back-off over. */
const STABLE_MS = 5_000;

/** ICE or DTLS did not get through although the server answered. `candidates` is where it listens. */
export class NoPath extends Error {
  /** @param {string[]} candidates */
  constructor(candidates) {
    super("The media connection could not be opened.");
    this.candidates = candidates;
  }
}

/** The connection was up and then lost. */
export class Lost extends Error {}

/**
 * Events: `change`, whenever `state` changes. States: `idle`, `connecting`, `waiting` (the server asks
 * to come back later), `connected`, `retrying` (see `error`, `tryAgainAt`), `failed` (see `error`).
 */
/** @typedef {"idle" | "connecting" | "waiting" | "connected" | "retrying" | "failed"} State */

export class Session extends EventTarget {
  /** @param {string} endpoint */
  constructor(endpoint) {
    super();
    this.endpoint = endpoint;
    /** @type {State} */
    this.state = "idle";
    /** @type {unknown} */
    this.error = null;
    /** When it is tried again, of `performance.now()`; 0 if it is not. */
    this.tryAgainAt = 0;
    /** @type {RTCPeerConnection | null} */
    this.connection = null;
    /** @type {string | null} */
    this.url = null;
    /** @type {(() => void) | null} Ends the pause. */
    this.wake = null;
    this.run = 0;
    addEventListener("pagehide", () => this.leave());
    addEventListener("online", () => this.wake?.());
  }

  /** Starts, and keeps going until `stop`. */
  async start() {
    const run = ++this.run;
    let tries = 0;
    while (run === this.run) {
      this.become("connecting");
      const startedAt = performance.now();
      const error = await this.attempt(run);
      if (run !== this.run) return;
      this.leave();
      if (!this.isWorthRetrying(error)) return this.become("failed", error);
      tries = error instanceof Lost && performance.now() - startedAt > STABLE_MS ? 1 : tries + 1;
      const asked = error instanceof Problem ? error.retryAfterSeconds : null;
      const waitMs = asked ? asked * 1000 : backoffMs(tries);
      this.become(this.isWaiting(error) ? "waiting" : "retrying", error, waitMs);
      await this.pause(waitMs);
    }
  }

  /** Does not wait for the next try any longer. */
  tryNow() {
    this.wake?.();
  }

  /** Ends the session, here and at the server. */
  stop() {
    this.run += 1;
    this.leave();
    this.wake?.();
    this.become("idle");
  }

  /** Frees the connection and tells the server, also while the page is going away. */
  leave() {
    if (this.url) {
      fetch(this.url, { method: "DELETE", keepalive: true, headers: authorization() }).catch(() => {});
      this.url = null;
    }
    this.connection?.close();
    this.connection = null;
  }

  /** Adds the media sections to a new connection. @param {RTCPeerConnection} _connection */
  prepare(_connection) {}

  /** Whether the answer means "not yet" rather than "no". @param {unknown} _error @returns {boolean} */
  isWaiting(_error) {
    return false;
  }

  /** Overload and broken networks pass; a refusal does not. @param {unknown} error */
  isWorthRetrying(error) {
    if (this.isWaiting(error) || error instanceof Lost || error instanceof Unreachable) return true;
    if (error instanceof NoPath) return true;
    return error instanceof Problem && (error.status === 429 || error.status >= 500);
  }

  /** @param {State} state @param {unknown} [error] @param {number} [retryInMs] */
  become(state, error = null, retryInMs = 0) {
    this.state = state;
    this.error = error;
    this.tryAgainAt = retryInMs > 0 ? performance.now() + retryInMs : 0;
    this.dispatchEvent(new Event("change"));
  }

  /** One connection from offer to end. Resolves with the reason of its end. @param {number} run @returns {Promise<unknown>} */
  async attempt(run) {
    try {
      const connection = new RTCPeerConnection({ bundlePolicy: "max-bundle" });
      this.connection = connection;
      this.prepare(connection);
      await connection.setLocalDescription();
      const offer = { type: "application/sdp", sdp: connection.localDescription?.sdp ?? "" };
      const response = await request(this.endpoint, {
        method: "POST",
        headers: { "Content-Type": offer.type, Accept: offer.type },
        body: offer.sdp,
      });
      const place = response.headers.get("Location");
      const url = place && new URL(place, response.url).href;
      if (run !== this.run) {
        if (url) fetch(url, { method: "DELETE", headers: authorization() }).catch(() => {});
        return new Lost("stopped");
      }
      this.url = url;
      const answer = await response.text();
      const end = untilEnd(connection, answer, () => this.become("connected"));
      await connection.setRemoteDescription({ type: "answer", sdp: answer });
      return await end;
    } catch (error) {
      return error;
    }
  }

  /** @param {number} ms @returns {Promise<void>} */
  pause(ms) {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}

/**
 * Watches a connection. Calls `onConnected` once; resolves with `NoPath` or `Lost`.
 * @param {RTCPeerConnection} connection
 * @param {string} answer
 * @param {() => void} onConnected
 */
function untilEnd(connection, answer, onConnected) {
  return new Promise((resolve) => {
    let wasConnected = false;
    let timer = setTimeout(() => resolve(new NoPath(candidatesOf(answer))), CONNECT_TIMEOUT_MS);
    const over = () => {
      clearTimeout(timer);
      resolve(wasConnected ? new Lost("The connection was lost.") : new NoPath(candidatesOf(answer)));
    };
    connection.addEventListener("connectionstatechange", () => {
      clearTimeout(timer);
      switch (connection.connectionState) {
        case "connected":
          if (!wasConnected) {
            wasConnected = true;
            onConnected();
            const transport = transportOf(connection);
            transport?.addEventListener("statechange", () => {
              if (transport.state === "closed" || transport.state === "failed") over();
            });
          }
          break;
        case "disconnected":
          timer = setTimeout(over, DISCONNECTED_MS_MAX);
          break;
        case "failed":
        case "closed":
          over();
          break;
        default:
          if (!wasConnected) timer = setTimeout(over, CONNECT_TIMEOUT_MS);
      }
    });
    connection.addEventListener("signalingstatechange", () => {
      if (connection.signalingState === "closed") over();
    });
  });
}

/** The server ends a session by closing DTLS, which not every browser shows as a connection state. @param {RTCPeerConnection} connection */
function transportOf(connection) {
  const [transceiver] = connection.getTransceivers();
  return transceiver?.sender.transport ?? transceiver?.receiver.transport;
}

/** The addresses in an answer, as `UDP 192.0.2.1:7000`. @param {string} sdp */
function candidatesOf(sdp) {
  const lines = sdp.match(/^a=candidate:.*$/gm) ?? [];
  return lines.map((line) => {
    const [, , protocol, , address, port] = line.split(" ");
    return `${protocol.toUpperCase()} ${address.includes(":") ? `[${address}]` : address}:${port}`;
  });
}

/** @param {number} tries */
function backoffMs(tries) {
  const ms = Math.min(BACKOFF_FIRST_MS * 2 ** (tries - 1), BACKOFF_MS_MAX);
  return ms * (0.8 + 0.4 * Math.random());
}
