// What the status page computes from two answers of `/api/status`, without a browser.

import assert from "node:assert/strict";
import { test } from "node:test";

import { script } from "./web.mjs";

const { grownBy, isContinued, quantile, ratesOf, ratesOfAll, whole } = await script("rates.js");

test("rates are differences by the clock of the server", () => {
  const before = status(10, [shard({ packets_received: 100, packets_sent: 1_000, trains_sent: 100, packets_forwarded: 500 }, 1e9)]);
  const after = status(12, [shard({ packets_received: 300, packets_sent: 5_000, trains_sent: 600, packets_forwarded: 1_500 }, 1.5e9)]);
  const rates = ratesOf(before, after, 0);
  assert.equal(rates.inPerSecond, 100);
  assert.equal(rates.outPerSecond, 2_000);
  assert.equal(rates.train, 8);
  assert.equal(rates.load, 0.25);
  assert.equal(rates.cpuPerPacket, 0.5 / 1_000);
});

test("a quiet server has no cost per packet rather than an infinite one", () => {
  const rates = ratesOf(status(1, [shard({}, 5)]), status(2, [shard({}, 5)]), 0);
  assert.equal(rates.cpuPerPacket, null);
  assert.equal(rates.train, null);
});

test("the load of all shards is that of the busiest, everything else is their sum", () => {
  const before = status(0, [shard({}, 0), shard({}, 0)]);
  const after = status(1, [shard({ packets_sent: 3 }, 0.9e9), shard({ packets_sent: 4 }, 0.1e9)]);
  assert.equal(ratesOfAll(before, after).load, 0.9);
  assert.equal(ratesOfAll(before, after).outPerSecond, 7);
  assert.deepEqual(whole(after).trains, [0, 2]);
});

test("a server that was started again is not compared with itself", () => {
  assert.equal(isContinued(status(50, [shard({}, 0)]), status(51, [shard({}, 0)])), true);
  assert.equal(isContinued(status(50, [shard({}, 0)]), status(3, [shard({}, 0)])), false);
  assert.equal(isContinued(status(50, [shard({}, 0)]), status(51, [shard({}, 0), shard({}, 0)])), false);
});

test("a quantile lies within its bucket", () => {
  const bounds = [10, 20, 40];
  assert.equal(quantile([0, 0, 0], bounds, 0.5), null);
  assert.equal(quantile([0, 10, 0], bounds, 0.5), 15);
  assert.equal(quantile([90, 0, 10], bounds, 0.9), 10);
  assert.equal(quantile([90, 0, 10], bounds, 0.99), 38);
  assert.deepEqual(grownBy([1, 5], [4, 5]), [3, 0]);
});

function status(uptime_seconds, shards) {
  return { uptime_seconds, shards };
}

function shard(totals, cpu_ns_total) {
  return { totals, cpu_ns_total, drops: {}, trains: [0, 1], latency_counts: [0] };
}
