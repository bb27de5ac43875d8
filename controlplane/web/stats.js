// Reads getStats() into the few figures that people ask about. Rates are differences between two calls.

export class StatsMeter {
  #previous = new Map();

  /** Figures of a publishing connection: `{bitrateBps, rttSeconds, availableBps, encodings: [...]}`. */
  async readPublisher(connection) {
    const report = await this.#report(connection);
    const encodings = report.all("outbound-rtp").map((stream) => ({
      kind: stream.kind,
      mid: stream.mid,
      rid: stream.rid ?? "",
      codec: report.codec(stream),
      width: stream.frameWidth,
      height: stream.frameHeight,
      fps: stream.framesPerSecond,
      bitrateBps: report.rate(stream, "bytesSent") * 8,
      isActive: stream.active !== false,
      limitation: stream.qualityLimitationReason,
    }));
    const reports = report.all("remote-inbound-rtp");
    const lost = reports.map((remote) => remote.fractionLost).filter((fraction) => fraction !== undefined);
    return {
      bitrateBps: sum(encodings.map((encoding) => encoding.bitrateBps)),
      rttSeconds: report.rtt(),
      availableBps: report.pair()?.availableOutgoingBitrate,
      lossFraction: lost.length > 0 ? Math.max(...lost) : null,
      encodings,
    };
  }

  /** Figures of a playing connection: `{bitrateBps, rttSeconds, lossFraction, audio: [...], video: [...]}`. */
  async readViewer(connection) {
    const report = await this.#report(connection);
    const streams = report.all("inbound-rtp").map((stream) => ({
      kind: stream.kind,
      trackId: stream.trackIdentifier,
      codec: report.codec(stream),
      width: stream.frameWidth,
      height: stream.frameHeight,
      fps: stream.framesPerSecond,
      bitrateBps: report.rate(stream, "bytesReceived") * 8,
      framesDecoded: stream.framesDecoded ?? 0,
      isDecoding: report.delta(stream, "framesDecoded") > 0,
      freezes: stream.freezeCount ?? 0,
      lost: Math.max(0, report.delta(stream, "packetsLost")),
      received: report.delta(stream, "packetsReceived"),
      bufferSeconds:
        report.delta(stream, "jitterBufferDelay") / (report.delta(stream, "jitterBufferEmittedCount") || 1),
    }));
    const lost = sum(streams.map((stream) => stream.lost));
    const expected = lost + sum(streams.map((stream) => stream.received));
    return {
      bitrateBps: sum(streams.map((stream) => stream.bitrateBps)),
      rttSeconds: report.rtt(),
      lossFraction: expected > 0 ? lost / expected : null,
      audio: streams.filter((stream) => stream.kind === "audio"),
      video: streams.filter((stream) => stream.kind === "video"),
    };
  }

  async #report(connection) {
    const stats = await connection.getStats();
    const report = new Report(stats, this.#previous);
    this.#previous = new Map([...stats.entries()]);
    return report;
  }
}

class Report {
  constructor(stats, previous) {
    this.stats = stats;
    this.previous = previous;
  }

  all(type) {
    return [...this.stats.values()].filter((entry) => entry.type === type);
  }

  delta(entry, field) {
    const before = this.previous.get(entry.id)?.[field];
    return before === undefined ? 0 : (entry[field] ?? 0) - before;
  }

  rate(entry, field) {
    const seconds = (entry.timestamp - (this.previous.get(entry.id)?.timestamp ?? entry.timestamp)) / 1000;
    return seconds > 0 ? Math.max(0, this.delta(entry, field) / seconds) : 0;
  }

  codec(stream) {
    return this.stats.get(stream.codecId)?.mimeType?.split("/")[1] ?? "";
  }

  pair() {
    const [transport] = this.all("transport");
    const selected = transport && this.stats.get(transport.selectedCandidatePairId);
    return selected ?? this.all("candidate-pair").find((pair) => pair.nominated);
  }

  rtt() {
    const reported = this.all("remote-inbound-rtp").find((remote) => remote.roundTripTime > 0)?.roundTripTime;
    return this.pair()?.currentRoundTripTime ?? reported ?? null;
  }
}

function sum(numbers) {
  return numbers.reduce((total, number) => total + number, 0);
}
