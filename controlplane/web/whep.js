// Plays by WHEP: two audio and two video sections, so that a screen may join the camera later.
//
// The session belongs to the room and not to its publisher: when the publisher goes and comes back,
// the same tracks flow again and nothing has to be done here.

import { Problem } from "./api.js";
import { Session } from "./session.js";

/** Slots in the order of the offer: what a publisher fills first comes first. */
/** @type {("audio" | "video")[]} */
const SECTIONS = ["audio", "video", "audio", "video"];

/** @typedef {{audio: MediaStreamTrack[], video: MediaStreamTrack[]}} Tracks */

export class WhepSession extends Session {
  /**
   * `onTracks` gets the tracks of each new connection.
   * @param {string} room
   * @param {(tracks: Tracks) => void} onTracks
   */
  constructor(room, onTracks) {
    super(new URL(`/whep/${encodeURIComponent(room)}`, location.href).href);
    this.onTracks = onTracks;
  }

  /** @override @param {RTCPeerConnection} connection */
  prepare(connection) {
    /** @type {Tracks} */
    const tracks = { audio: [], video: [] };
    for (const kind of SECTIONS) {
      const transceiver = connection.addTransceiver(kind, { direction: "recvonly" });
      if (kind === "video") takeLayers(transceiver);
      tracks[kind].push(transceiver.receiver.track);
    }
    this.onTracks(tracks);
  }

  /** A server may be set to refuse a viewer while nobody publishes. @override @param {unknown} error */
  isWaiting(error) {
    return error instanceof Problem && error.status === 409;
  }
}

/**
 * Offers the dependency descriptor, which Chromium keeps to itself unless it is asked: without it no layers of AV1 can
 * be told apart. Other browsers leave it as it is.
 *
 * @param {RTCRtpTransceiver & {
 *   getHeaderExtensionsToNegotiate?: () => {uri: string, direction: string}[],
 *   setHeaderExtensionsToNegotiate?: (extensions: {uri: string, direction: string}[]) => void,
 * }} transceiver
 */
function takeLayers(transceiver) {
  const extensions = transceiver.getHeaderExtensionsToNegotiate?.() ?? [];
  for (const extension of extensions) {
    if (extension.uri.includes("dependency-descriptor")) extension.direction = "sendrecv";
  }
  if (extensions.length > 0) transceiver.setHeaderExtensionsToNegotiate?.(extensions);
}
