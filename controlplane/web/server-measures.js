// What the status page shows of a server, in words, and what is good.

import { NOTHING, amount, bitrate, duration, percent } from "./dom.js";
import { lowIsGood } from "./figures.js";

/** @param {number | null} value @returns {import("./dom.js").Reading} */
const perSecond = (value) => (value === null ? NOTHING : [amount(value)[0], "/s"]);

/** @type {import("./figures.js").Measure[]} */
export const OF_SERVERS = [
  {
    key: "load",
    label: "Busiest shard",
    means: "CPU time of the busiest shard's thread, as a share of one core. A room lives on one shard, so one busy shard is enough to hurt.",
    good: "below 60 %. Above 85 % latency grows; then packets are lost.",
    reading: percent,
    grade: lowIsGood(0.6, 0.85),
  },
  {
    key: "outPerSecond",
    label: "Packets out",
    means: "Datagrams that were handed to the kernel, those of repairs and reports included.",
    reading: perSecond,
  },
  {
    key: "inPerSecond",
    label: "Packets in",
    means: "Datagrams that arrived, whatever became of them.",
    reading: perSecond,
  },
  {
    key: "forwardedBps",
    label: "Forwarded",
    means: "Media to viewers, as bytes of UDP payload. The network carries about 5 % more in headers.",
    reading: bitrate,
  },
  {
    key: "cpuPerPacket",
    label: "CPU per packet",
    means: "CPU time of all shards for each packet that was forwarded to a viewer: receiving, deciding, sealing, sending.",
    good: "a few µs, and less the more is sent: with few packets the thread wakes for each of them.",
    reading: duration,
  },
  {
    key: "train",
    label: "Train length",
    means: "Mean number of datagrams that leave in one send. A send costs the kernel about the same however many it carries.",
    good: "longer. It grows by itself with the bitrate of pictures; sound alone makes trains of 1.",
    reading: amount,
  },
  {
    key: "p50",
    label: "Latency, p50",
    means: "From the moment that the kernel received a packet to the end of the send that carried it, for half of the packets, over 5 s.",
    good: "below 0.5 ms.",
    reading: duration,
    grade: lowIsGood(0.000_5, 0.005),
  },
  {
    key: "p99",
    label: "Latency, p99",
    means: "The same, for 99 of 100 packets.",
    good: "below 3 ms: nobody sees that. From 20 ms on, calls feel it.",
    reading: duration,
    grade: lowIsGood(0.003, 0.02),
  },
  {
    key: "dropsPerSecond",
    label: "Drops",
    means: "Packets that ended here, for whatever reason. Simulcast drops the sizes that nobody gets, which is healthy: the table below tells the reasons apart.",
    reading: perSecond,
  },
  {
    key: "sessions",
    label: "Sessions",
    means: "Publishers and viewers, those that are still connecting included.",
    reading: amount,
  },
  { key: "rooms", label: "Rooms", means: "Rooms with somebody in them, or left less than SLUICE_ROOM_LINGER_SECONDS ago.", reading: amount },
];
