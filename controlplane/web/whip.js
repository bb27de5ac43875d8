// Publishes by WHIP (RFC 9725): four send slots, negotiated once.
//
// The slots are microphone, camera, screen sound and screen, in that order. Each may stay empty and be
// filled or emptied at any time with `put`, without a new offer.

import { Session } from "./session.js";

/** @typedef {"microphone" | "camera" | "screenSound" | "screen"} Slot */
/** @typedef {{codec: string, simulcast: boolean, lines: string, prefer: RTCDegradationPreference}} Settings */

/** Slots in the order of the offer. @type {Slot[]} */
export const SLOTS = ["microphone", "camera", "screenSound", "screen"];

/** Three sizes of one picture, smallest first. */
const SIMULCAST = [
  { rid: "q", scaleResolutionDownBy: 4, share: 0.06 },
  { rid: "h", scaleResolutionDownBy: 2, share: 0.25 },
  { rid: "f", scaleResolutionDownBy: 1, share: 1 },
];

/** What the largest size may take, bit/s, by the lines of the picture. @type {Record<string, number>} */
const BITRATE_MAX_BPS = { 360: 900_000, 720: 2_500_000, 1080: 4_500_000 };

/** The names of RTCRtpSender's codecs that carry no picture of their own. */
const COMPANIONS = new Set(["video/rtx", "video/red", "video/ulpfec", "video/flexfec-03"]);

/** Whether this browser can send `codec` ("VP8", "H264", ...). @param {string} codec */
export function canSend(codec) {
  return videoCapabilities().some((capability) => capability.mimeType.toUpperCase() === `VIDEO/${codec}`);
}

export class WhipSession extends Session {
  /** @param {string} room @param {Settings} settings @param {Record<Slot, MediaStreamTrack | null>} tracks */
  constructor(room, settings, tracks) {
    super(new URL(`/whip/${encodeURIComponent(room)}`, location.href).href);
    this.settings = settings;
    this.tracks = { ...tracks };
    /** @type {Partial<Record<Slot, RTCRtpSender>>} */
    this.senders = {};
  }

  /** Fills a slot, or empties it with null. @param {Slot} slot @param {MediaStreamTrack | null} track */
  async put(slot, track) {
    this.tracks[slot] = track;
    await this.senders[slot]?.replaceTrack(track);
  }

  /** @override @param {RTCPeerConnection} connection */
  prepare(connection) {
    const person = new MediaStream();
    const screen = new MediaStream();
    for (const slot of SLOTS) {
      const isVideo = slot === "camera" || slot === "screen";
      const streams = [slot.startsWith("screen") ? screen : person];
      /** @type {RTCRtpTransceiverInit} */
      const init = { direction: "sendonly", streams };
      if (isVideo) init.sendEncodings = this.encodings(slot);
      const transceiver = connection.addTransceiver(this.tracks[slot] ?? (isVideo ? "video" : "audio"), init);
      if (isVideo) this.prefer(transceiver, slot);
      this.senders[slot] = transceiver.sender;
    }
  }

  /** @param {Slot} slot @returns {RTCRtpEncodingParameters[]} */
  encodings(slot) {
    const { codec, simulcast, lines } = this.settings;
    const maxBitrate = BITRATE_MAX_BPS[lines] ?? BITRATE_MAX_BPS[720];
    if (slot === "screen" || !simulcast) return [{ maxBitrate }];
    return SIMULCAST.map(({ rid, scaleResolutionDownBy, share }) => {
      /** @type {RTCRtpEncodingParameters & {scalabilityMode?: string}} */
      const encoding = { rid, scaleResolutionDownBy, maxBitrate: Math.round(maxBitrate * share) };
      // Without a mode of their own, browsers send VP9 and AV1 as one SVC stream instead of three.
      if (codec === "VP9" || codec === "AV1") encoding.scalabilityMode = "L1T3";
      return encoding;
    });
  }

  /** @param {RTCRtpTransceiver} transceiver @param {Slot} slot */
  prefer(transceiver, slot) {
    const { codec, prefer } = this.settings;
    if (codec !== "auto") {
      const all = videoCapabilities();
      const wanted = all.filter(({ mimeType }) => mimeType.toUpperCase() === `VIDEO/${codec}`);
      const companions = all.filter(({ mimeType }) => COMPANIONS.has(mimeType.toLowerCase()));
      if (wanted.length > 0) transceiver.setCodecPreferences([...wanted, ...companions]);
    }
    const parameters = transceiver.sender.getParameters();
    parameters.degradationPreference = slot === "screen" ? "maintain-resolution" : prefer;
    // A browser that does not know the wish keeps its default.
    transceiver.sender.setParameters(parameters).catch(() => {});
  }
}

function videoCapabilities() {
  return globalThis.RTCRtpSender?.getCapabilities?.("video")?.codecs ?? [];
}
