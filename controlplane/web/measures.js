// What the pages measure of a connection, in words, and what is good. The bounds are those of
// conversation: ITU-T G.114 calls 150 ms one way comfortable, and codecs conceal about one lost packet in fifty.

import { amount, bitrate, milliseconds, percent } from "./dom.js";
import { highIsGood, lowIsGood } from "./figures.js";

/** @typedef {import("./figures.js").Measure} Measure */

/** @type {Measure} */
const ROUND_TRIP = {
  key: "rttSeconds",
  label: "Round trip",
  means: "How long a packet takes to the server and back, measured by the connectivity checks of ICE.",
  good: "up to 100 ms. Above 300 ms people begin to talk over each other.",
  reading: milliseconds,
  grade: lowIsGood(0.1, 0.3),
};

/** @type {(means: string) => Measure} */
const loss = (means) => ({
  key: "lossFraction",
  label: "Loss",
  means,
  good: "below 1 %. Up to about 5 % is repaired by sending again and shows as short delays.",
  reading: percent,
  grade: lowIsGood(0.01, 0.05),
});

/** @type {(means: string) => Measure} */
const jitter = (means) => ({
  key: "jitterSeconds",
  label: "Jitter",
  means,
  good: "up to 30 ms. Wireless networks that are full show 100 ms and more.",
  reading: milliseconds,
  grade: lowIsGood(0.03, 0.08),
});

/** @type {Measure} */
const SIZE = {
  key: "size",
  label: "Resolution",
  means: "Width and height of the picture, in pixels, as it is now.",
  reading: (text) => [text, ""],
  isSteady: true,
};

/** @type {Measure} */
const CODEC = {
  key: "codec",
  label: "Codec",
  means: "How picture and sound are compressed. The server forwards what the publisher sends and never decodes it.",
  reading: (text) => [text, ""],
  isSteady: true,
};

/** @type {(means: string) => Measure} */
const frames = (means) => ({
  key: "fps",
  label: "Frame rate",
  means,
  good: "24 and more for people; a screen that does not change needs few.",
  reading: (value) => [String(Math.round(value)), "fps"],
  grade: highIsGood(23, 14),
});

/** @type {Measure[]} */
export const OF_VIEWERS = [
  {
    key: "bitrateBps",
    label: "Bitrate",
    means: "What arrives, picture and sound together, over the last second.",
    good: "what the publisher sends: 1 to 3 Mbit/s for HD.",
    reading: bitrate,
  },
  ROUND_TRIP,
  loss("Packets of the last second that did not arrive, not even when asked for again."),
  jitter("How unevenly packets arrive: the mean deviation from an even spacing (RFC 3550)."),
  frames("Pictures that were decoded in the last second."),
  {
    key: "freezesPerMinute",
    label: "Freezes",
    means: "Times in the last minute that the picture stood still for noticeably longer than its frame rate explains.",
    good: "none.",
    reading: (value) => [amount(value)[0], "/min"],
    grade: lowIsGood(0, 2),
  },
  {
    key: "bufferSeconds",
    label: "Buffer",
    means: "How long a packet waits here before it is played. The browser makes the buffer longer when packets arrive unevenly.",
    good: "up to 150 ms.",
    reading: milliseconds,
    grade: lowIsGood(0.15, 0.4),
  },
  SIZE,
  CODEC,
];

/** @type {Measure[]} */
export const OF_PUBLISHERS = [
  {
    key: "bitrateBps",
    label: "Bitrate",
    means: "What is sent, all tracks and all sizes together, over the last second.",
    good: "steady, and below what the link can take.",
    reading: bitrate,
  },
  {
    key: "availableBps",
    label: "Link can take",
    means: "What the browser thinks the way to the server carries, from the feedback of the server. It grows as more is sent.",
    good: "above the bitrate.",
    reading: bitrate,
  },
  ROUND_TRIP,
  loss("Packets that the server did not get, as its last receiver report says."),
  jitter("How unevenly packets reach the server, as its last receiver report says (RFC 3550)."),
  frames("Pictures that were encoded in the last second, of the largest size."),
  {
    key: "encodeSeconds",
    label: "Encode time",
    means: "Time that this machine takes to compress one picture, over the last second.",
    good: "up to 15 ms: at 30 frames per second there are 33.",
    reading: milliseconds,
    grade: lowIsGood(0.015, 0.03),
  },
  SIZE,
  CODEC,
];
