// Reads getStats() into the few figures that people ask about. Rates are differences between two calls.

/** What browsers report differs; a field that is missing is undefined. @typedef {Record<string, any>} Entry */

/** As people write them. @type {Record<string, string>} */
const CODEC_NAMES = { opus: "Opus", H264: "H.264", H265: "H.265", red: "RED" };

/** Freezes are counted over the last so many readings, one a second. */
const FREEZE_READINGS = 60;

/**
 * @typedef {{kind: string, mid: string, rid: string, codec: string, width?: number, height?: number, fps?: number,
 *   bitrateBps: number, limitation?: string, encodeSeconds: number | null}} SentStream
 * @typedef {{kind: string, trackId: string, codec: string, width?: number, height?: number, fps?: number,
 *   bitrateBps: number, framesDecoded: number, isDecoding: boolean, bufferSeconds: number, jitterSeconds?: number}} ReceivedStream
 */

export class StatsMeter {
  /** @type {Map<string, Entry>} */
  #previous = new Map();
  /** @type {number[]} */
  #freezes = [];

  /** Figures of a publishing connection. @param {RTCPeerConnection} connection */
  async readPublisher(connection) {
    const report = await this.#report(connection);
    /** @type {SentStream[]} */
    const streams = report.all("outbound-rtp").map((stream) => ({
      kind: stream.kind,
      mid: stream.mid ?? "",
      rid: stream.rid ?? "",
      codec: report.codec(stream),
      width: stream.frameWidth,
      height: stream.frameHeight,
      fps: stream.framesPerSecond,
      bitrateBps: report.rate(stream, "bytesSent") * 8,
      limitation: stream.qualityLimitationReason,
      encodeSeconds: report.ratio(stream, "totalEncodeTime", "framesEncoded"),
    }));
    const remotes = report.all("remote-inbound-rtp");
    return {
      bitrateBps: sum(streams.map((stream) => stream.bitrateBps)),
      rttSeconds: report.rtt(),
      availableBps: report.pair()?.availableOutgoingBitrate ?? null,
      lossFraction: highest(remotes.map((remote) => remote.fractionLost)),
      jitterSeconds: highest(remotes.map((remote) => remote.jitter)),
      path: report.path(),
      streams,
    };
  }

  /** Figures of a playing connection. @param {RTCPeerConnection} connection */
  async readViewer(connection) {
    const report = await this.#report(connection);
    const entries = report.all("inbound-rtp");
    /** @type {ReceivedStream[]} */
    const streams = entries.map((stream) => ({
      kind: stream.kind,
      trackId: stream.trackIdentifier,
      codec: report.codec(stream),
      width: stream.frameWidth,
      height: stream.frameHeight,
      fps: stream.framesPerSecond,
      bitrateBps: report.rate(stream, "bytesReceived") * 8,
      framesDecoded: stream.framesDecoded ?? 0,
      isDecoding: report.delta(stream, "framesDecoded") > 0,
      bufferSeconds: report.ratio(stream, "jitterBufferDelay", "jitterBufferEmittedCount") ?? 0,
      jitterSeconds: stream.jitter,
    }));
    const lost = sum(entries.map((stream) => Math.max(0, report.delta(stream, "packetsLost"))));
    const expected = lost + sum(entries.map((stream) => report.delta(stream, "packetsReceived")));
    this.#freezes.push(sum(entries.map((stream) => report.delta(stream, "freezeCount"))));
    if (this.#freezes.length > FREEZE_READINGS) this.#freezes.shift();
    return {
      bitrateBps: sum(streams.map((stream) => stream.bitrateBps)),
      rttSeconds: report.rtt(),
      lossFraction: expected > 0 ? lost / expected : null,
      freezesPerMinute: sum(this.#freezes),
      path: report.path(),
      audio: streams.filter((stream) => stream.kind === "audio"),
      video: streams.filter((stream) => stream.kind === "video"),
    };
  }

  /** @param {RTCPeerConnection} connection */
  async #report(connection) {
    const stats = await connection.getStats();
    /** @type {Map<string, Entry>} */
    const entries = new Map();
    stats.forEach((entry, id) => entries.set(id, entry));
    const report = new Report(entries, this.#previous);
    this.#previous = entries;
    return report;
  }
}

class Report {
  /** @param {Map<string, Entry>} stats @param {Map<string, Entry>} previous */
  constructor(stats, previous) {
    this.stats = stats;
    this.previous = previous;
  }

  /** @param {string} type */
  all(type) {
    return [...this.stats.values()].filter((entry) => entry.type === type);
  }

  /** @param {Entry} entry @param {string} field @returns {number} */
  delta(entry, field) {
    const before = this.previous.get(entry.id)?.[field];
    return before === undefined ? 0 : (entry[field] ?? 0) - before;
  }

  /** @param {Entry} entry @param {string} field */
  rate(entry, field) {
    const seconds = (entry.timestamp - (this.previous.get(entry.id)?.timestamp ?? entry.timestamp)) / 1000;
    return seconds > 0 ? Math.max(0, this.delta(entry, field) / seconds) : 0;
  }

  /** How much of `field` for each of `each`, since the last reading. @param {Entry} entry @param {string} field @param {string} each */
  ratio(entry, field, each) {
    const count = this.delta(entry, each);
    return count > 0 ? this.delta(entry, field) / count : null;
  }

  /** @param {Entry} stream @returns {string} */
  codec(stream) {
    const name = this.stats.get(stream.codecId)?.mimeType?.split("/")[1] ?? "";
    return CODEC_NAMES[name] ?? name;
  }

  pair() {
    const [transport] = this.all("transport");
    const selected = transport && this.stats.get(transport.selectedCandidatePairId);
    return selected ?? this.all("candidate-pair").find((pair) => pair.nominated);
  }

  /** The way that packets take, such as `UDP, IPv4, host to 192.0.2.1:7000`; empty if the browser does not tell. */
  path() {
    const pair = this.pair();
    const local = this.stats.get(pair?.localCandidateId);
    const remote = this.stats.get(pair?.remoteCandidateId);
    if (!remote) return "";
    const address = remote.address ?? remote.ip ?? "";
    const isV6 = address.includes(":");
    const protocol = (remote.protocol ?? "udp").toUpperCase();
    const kind = local?.candidateType ? `${local.candidateType} ` : "";
    return `${protocol}${address ? (isV6 ? ", IPv6" : ", IPv4") : ""}, ${kind}to ${isV6 ? `[${address}]` : address}:${remote.port}`;
  }

  /** @returns {number | null} */
  rtt() {
    const reported = this.all("remote-inbound-rtp").find((remote) => remote.roundTripTime > 0)?.roundTripTime;
    return this.pair()?.currentRoundTripTime ?? reported ?? null;
  }
}

/** @param {number[]} numbers */
function sum(numbers) {
  return numbers.reduce((total, number) => total + number, 0);
}

/** @param {(number | undefined)[]} numbers */
function highest(numbers) {
  const known = numbers.filter((number) => number !== undefined);
  return known.length > 0 ? Math.max(...known) : null;
}
