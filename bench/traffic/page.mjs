// Runs in the page of record.mjs: two connections, and an encoded transform between encoder and packetizer.

/** Sends one track as `plan` says. What leaves is noted in `window.notes` from then on. */
export async function connect(plan) {
  const kind = plan.codec.split("/")[0];
  const sending = new RTCPeerConnection();
  const receiving = new RTCPeerConnection();
  sending.onicecandidate = ({ candidate }) => candidate && receiving.addIceCandidate(plain(candidate));
  receiving.onicecandidate = ({ candidate }) => candidate && sending.addIceCandidate(plain(candidate));

  const constraints = kind === "video"
    ? { video: { width: 1280, height: 720, frameRate: 30 } }
    : { audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false } };
  const [track] = (await navigator.mediaDevices.getUserMedia(constraints)).getTracks();
  const sendEncodings = plan.encodings.map(({ rid, height, bitrate }) => ({
    ...(plan.encodings.length > 1 ? { rid } : {}),
    maxBitrate: bitrate,
    scaleResolutionDownBy: 720 / height,
    scalabilityMode: plan.mode,
    maxFramerate: 30,
  }));
  const transceiver = sending.addTransceiver(track, { direction: "sendonly", sendEncodings });
  transceiver.setCodecPreferences(codecsOf(kind));
  await writeDown(transceiver.sender);
  if (kind === "video") {
    const parameters = transceiver.sender.getParameters();
    parameters.degradationPreference = "maintain-framerate-and-resolution";
    await transceiver.sender.setParameters(parameters);
    window.askForKeyframes = async () => {
      const { encodings, ...now } = transceiver.sender.getParameters();
      await transceiver.sender.setParameters({ ...now, encodings }, { encodingOptions: encodings.map(() => ({ keyFrame: true })) });
    };
  }
  await negotiate();

  function codecsOf(kind) {
    const { codecs } = RTCRtpSender.getCapabilities(kind);
    const isWanted = (it) => it.mimeType.toLowerCase() === plan.codec.toLowerCase() &&
      (plan.profile ?? "").split(";").every((what) => (it.sdpFmtpLine ?? "").includes(what));
    return [codecs.find(isWanted), ...codecs.filter((it) => /\/rtx$/i.test(it.mimeType))];
  }

  /** A connection that receives knows one stream per section: each RID becomes a section of its own. */
  async function negotiate() {
    const offer = await sending.createOffer();
    await sending.setLocalDescription(offer);
    const rids = plan.encodings.length > 1 ? plan.encodings.map(({ rid }) => rid) : [];
    await receiving.setRemoteDescription({ type: "offer", sdp: rids.length > 0 ? split(offer.sdp, rids) : offer.sdp });
    const answer = await receiving.createAnswer();
    await receiving.setLocalDescription(answer);
    const sdp = rids.length > 0 ? join(answer.sdp, rids, offer.sdp) : answer.sdp;
    // The estimate starts where it would be after half a minute.
    await sending.setRemoteDescription({ type: "answer", sdp: startHigh(sdp) });
  }

  function split(sdp, rids) {
    const [session, section] = cut(sdp);
    const mid = /^a=mid:(.*)$/m.exec(section)[1].trim();
    const own = section
      .split("\r\n")
      .filter((line) => !/^a=(rid|simulcast|msid|ssrc)/.test(line) && !line.endsWith(":sdes:mid") && !line.endsWith("repaired-rtp-stream-id"))
      .map((line) => line.replace("sdes:rtp-stream-id", "sdes:mid"))
      .join("\r\n");
    const sections = rids.map((rid) => own.replace(`a=mid:${mid}`, `a=mid:${rid}\r\na=msid:all ${rid}`));
    return session.replace(`BUNDLE ${mid}`, `BUNDLE ${rids.join(" ")}`) + sections.join("");
  }

  function join(sdp, rids, offer) {
    const [session, section] = cut(sdp);
    const mid = /^a=mid:(.*)$/m.exec(offer)[1].trim();
    const ridId = /^a=extmap:(\d+) \S*sdes:rtp-stream-id/m.exec(offer)[1];
    const midId = /^a=extmap:(\d+) \S*sdes:mid/m.exec(offer)[1];
    const own = section
      .replace(/a=mid:\S+/, `a=mid:${mid}`)
      .replace(`a=extmap:${ridId} urn:ietf:params:rtp-hdrext:sdes:mid`,
        `a=extmap:${midId} urn:ietf:params:rtp-hdrext:sdes:mid\r\na=extmap:${ridId} urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id`);
    const simulcast = [...rids.map((rid) => `a=rid:${rid} recv`), `a=simulcast:recv ${rids.join(";")}`].join("\r\n");
    return `${session.replace(`BUNDLE ${rids.join(" ")}`, `BUNDLE ${mid}`)}${own}${simulcast}\r\n`;
  }

  function cut(sdp) {
    const [session, ...sections] = sdp.split(/(?=^m=)/m);
    return [session, sections[0]];
  }

  function startHigh(sdp) {
    const type = /^m=video \d+ \S+ (\d+)/m.exec(sdp)?.[1];
    if (!type) return sdp;
    const rate = "x-google-start-bitrate=4000";
    const line = new RegExp(`^a=fmtp:${type} .*$`, "m");
    if (line.test(sdp)) return sdp.replace(line, (it) => `${it.trim()};${rate}`);
    const map = new RegExp(`^a=rtpmap:${type} .*$`, "m");
    return sdp.replace(map, (it) => `${it.trim()}\r\na=fmtp:${type} ${rate}`);
  }

  /** A section of the other side may have another name: one transport carries all. */
  function plain(candidate) {
    return { candidate: candidate.candidate, sdpMLineIndex: 0 };
  }

  async function writeDown(sender) {
    window.notes = [];
    const worker = new Worker(URL.createObjectURL(new Blob([`(${inWorker})()`], { type: "text/javascript" })));
    worker.onmessage = ({ data }) => window.notes.push(data);
    sender.transform = new RTCRtpScriptTransform(worker, { kind, isH264: plan.codec === "video/H264" });
  }

  function inWorker() {
    self.onrtctransform = ({ transformer: { readable, writable, options } }) => {
      readable.pipeThrough(new TransformStream({ transform })).pipeTo(writable);
      function transform(frame, controller) {
        const data = new Uint8Array(frame.data);
        const meta = frame.getMetadata();
        const note = { size: data.length, timestamp: meta.rtpTimestamp ?? frame.timestamp };
        if (options.kind === "audio") {
          Object.assign(note, { toc: data[0], level: meta.audioLevel });
        } else {
          Object.assign(note, { isKey: frame.type === "key", temporal: meta.temporalIndex ?? 0, height: meta.height });
          if (options.isH264 && note.isKey) note.sets = parameterSets(data);
        }
        self.postMessage(note);
        controller.enqueue(frame);
      }
      /** SPS and PPS of a frame in Annex B form, as hexadecimal words. */
      function parameterSets(data) {
        const hex = [...data.subarray(0, 200)].map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
        const units = hex.split(/ ?(?:00 )?00 00 01 /).map((unit) => unit.replaceAll(" ", ""));
        return units.filter((unit) => /^[26][78]/.test(unit)).join(" ");
      }
    };
  }
}
