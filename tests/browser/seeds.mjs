// Cuts seeds for the fuzz targets out of the captures: node seeds.mjs. They are named after their capture.

import { mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const WORKSPACE = fileURLToPath(new URL("../..", import.meta.url));
const CAPTURES = join(WORKSPACE, "tests/captures");
const CORPUS = join(WORKSPACE, "fuzz/corpus");
const FILE_HEADER_BYTES = 16;
const RECORD_HEADER_BYTES = 8;
/** Parsers read no further into a payload. */
const PAYLOAD_BYTES_MAX = 96;
/** Of each target and capture. */
const SEEDS_MAX = 3;
const DESCRIPTORS = 12;

for (const file of readdirSync(CAPTURES).filter((name) => name.endsWith(".rtpdump"))) {
  const name = file.replace(".rtpdump", "").replaceAll("_", "-");
  const sdp = readFileSync(join(CAPTURES, file.replace("rtpdump", "sdp")), "utf8");
  const codecs = new Map([...sdp.matchAll(/^a=rtpmap:(\d+) (\w+)\//gm)].map(([, number, codec]) => [Number(number), codec.toLowerCase()]));
  const id = (uri) => Number(sdp.match(new RegExp(`^a=extmap:(\\d+)\\S* \\S*${uri}\\S*`, "m"))?.[1] ?? 0);
  const packets = read(readFileSync(join(CAPTURES, file))).map(parts);
  for (const codec of ["vp8", "vp9", "av1", "h264", "red"]) {
    const payloads = packets.filter((packet) => codecs.get(packet.type) === codec && !packet.isPadded);
    // Redundant blocks are whole or they are refused.
    const end = codec === "red" ? undefined : PAYLOAD_BYTES_MAX;
    write(codec, name, unlike(payloads.map(({ payload }) => payload.subarray(0, end)), codec === "red" ? 4 : 1));
  }
  write("rtp", name, packets.slice(0, 2).map(({ bytes, payload }) => bytes.subarray(0, bytes.length - payload.length + 4)));
  write("extension", name, unlike(packets.map(({ block }) => block), 1));
  write("layers_allocation", name, unlike(values(packets, id("video-layers-allocation")), 1));
  const descriptors = values(packets, id("dependency-descriptor")).slice(0, DESCRIPTORS);
  if (descriptors.length > 0) {
    write("dependency_descriptor", name, [Buffer.concat(descriptors.map((it) => Buffer.concat([Buffer.of(it.length), it])))]);
  }
}

function write(target, name, seeds) {
  mkdirSync(join(CORPUS, target), { recursive: true });
  for (const [at, seed] of seeds.filter((it) => it.length > 0).slice(0, SEEDS_MAX).entries()) {
    writeFileSync(join(CORPUS, target, `${name}-${at}`), seed);
  }
}

/** The first of those that begin with the same `count` bytes. */
function unlike(seeds, count) {
  const seen = new Map();
  for (const seed of seeds) {
    const key = seed.subarray(0, count).toString("hex");
    if (!seen.has(key)) seen.set(key, seed);
  }
  return [...seen.values()];
}

function values(packets, id) {
  return packets.flatMap(({ elements }) => elements.filter((element) => element.id === id).map((element) => element.value));
}

function read(file) {
  const packets = [];
  let at = file.indexOf("\n") + 1 + FILE_HEADER_BYTES;
  while (at < file.length) {
    const end = at + file.readUInt16BE(at);
    packets.push(file.subarray(at + RECORD_HEADER_BYTES, end));
    at = end;
  }
  return packets;
}

/** A packet of a browser: it has an extension and no CSRC. */
function parts(bytes) {
  const isTwoByte = bytes.readUInt16BE(12) !== 0xbede;
  const start = 16 + 4 * bytes.readUInt16BE(14);
  const block = bytes.subarray(16, start);
  const elements = [];
  for (let at = 0; at < block.length; ) {
    const first = block[at];
    if (first === 0) {
      at += 1;
      continue;
    }
    const [id, length, header] = isTwoByte ? [first, block[at + 1], 2] : [first >> 4, (first & 15) + 1, 1];
    elements.push({ id, value: block.subarray(at + header, at + header + length) });
    at += header + length;
  }
  return { bytes, block, elements, payload: bytes.subarray(start), type: bytes[1] & 0x7f, isPadded: (bytes[0] & 0x20) !== 0 };
}
