// From two answers of `/api/status` to what happened in between. Pure: knows no page.
//
// The server tells totals since its start and when it read them, so every viewer of the status page
// computes for itself, and none disturbs another.

/** @typedef {Record<string, number>} Totals */
/**
 * @typedef {object} Shard
 * @property {number} id
 * @property {"running" | "stalled" | "ended"} state
 * @property {string} backend
 * @property {{address: string, receive_buffer_bytes: number, send_buffer_bytes: number}[]} sockets
 * @property {number} transports
 * @property {number} tracks
 * @property {number} turn_ms
 * @property {number} stalls_total
 * @property {number} cpu_ns_total
 * @property {Totals} totals
 * @property {Totals} drops
 * @property {number[]} trains
 * @property {number[]} latency_counts
 */
/**
 * @typedef {object} Status
 * @property {string} version
 * @property {number} uptime_seconds
 * @property {string | null} not_ready
 * @property {number} rooms
 * @property {number} publishers
 * @property {number} subscribers
 * @property {number} cpus
 * @property {{name: string, addresses: string[], is_loopback: boolean, is_up: boolean, udp_segmentation: boolean | null, tx_checksum: boolean | null}[]} interfaces
 * @property {{check: string, verdict: string, found: string, wanted?: string, remedy?: string}[]} warnings
 * @property {number[]} latency_bounds_ns
 * @property {Shard[]} shards
 */
/**
 * What happened between two readings; null where nothing happened that could be measured.
 * @typedef {object} Rates
 * @property {number} inPerSecond datagrams
 * @property {number} outPerSecond datagrams
 * @property {number} inBps
 * @property {number} forwardedBps
 * @property {number} load of one CPU
 * @property {number | null} cpuPerPacket seconds, for each forwarded packet
 * @property {number | null} train mean datagrams of a send
 * @property {number} dropsPerSecond
 */

/** Whether `after` is of the same run of the server. @param {Status} before @param {Status} after */
export function isContinued(before, after) {
  return after.uptime_seconds > before.uptime_seconds && after.shards.length === before.shards.length;
}

/** @param {Status} before @param {Status} after @param {number} index of the shard @returns {Rates} */
export function ratesOf(before, after, index) {
  return rates(before.shards[index], after.shards[index], after.uptime_seconds - before.uptime_seconds);
}

/** Of all shards together; the load is that of the busiest. @param {Status} before @param {Status} after @returns {Rates} */
export function ratesOfAll(before, after) {
  const seconds = after.uptime_seconds - before.uptime_seconds;
  const all = rates(whole(before), whole(after), seconds);
  const loads = after.shards.map((_, index) => ratesOf(before, after, index).load);
  return { ...all, load: Math.max(0, ...loads) };
}

/** All shards as if they were one. @param {Status} status @returns {Pick<Shard, "totals" | "drops" | "cpu_ns_total" | "trains" | "latency_counts">} */
export function whole(status) {
  return {
    totals: sumOfRecords(status.shards.map((shard) => shard.totals)),
    drops: sumOfRecords(status.shards.map((shard) => shard.drops)),
    cpu_ns_total: status.shards.reduce((total, shard) => total + shard.cpu_ns_total, 0),
    trains: sumOfLists(status.shards.map((shard) => shard.trains)),
    latency_counts: sumOfLists(status.shards.map((shard) => shard.latency_counts)),
  };
}

/**
 * @param {Pick<Shard, "totals" | "drops" | "cpu_ns_total">} before
 * @param {Pick<Shard, "totals" | "drops" | "cpu_ns_total">} after
 * @param {number} seconds
 * @returns {Rates}
 */
function rates(before, after, seconds) {
  const grown = (/** @type {string} */ name) => Math.max(0, (after.totals[name] ?? 0) - (before.totals[name] ?? 0));
  const cpuSeconds = Math.max(0, after.cpu_ns_total - before.cpu_ns_total) / 1e9;
  const forwarded = grown("packets_forwarded");
  const trains = grown("trains_sent");
  return {
    inPerSecond: grown("packets_received") / seconds,
    outPerSecond: grown("packets_sent") / seconds,
    inBps: (grown("received_bytes") * 8) / seconds,
    forwardedBps: (grown("forwarded_bytes") * 8) / seconds,
    load: cpuSeconds / seconds,
    cpuPerPacket: forwarded > 0 ? cpuSeconds / forwarded : null,
    train: trains > 0 ? grown("packets_sent") / trains : null,
    dropsPerSecond: (total(after.drops) - total(before.drops)) / seconds,
  };
}

/** What came to `after` since `before`, place by place. @param {number[]} before @param {number[]} after */
export function grownBy(before, after) {
  return after.map((count, index) => Math.max(0, count - (before[index] ?? 0)));
}

/**
 * The value that the fraction `q` of what was counted does not exceed, or null if nothing was counted. Within a
 * bucket it is taken to be spread evenly.
 * @param {number[]} counts
 * @param {number[]} bounds upper, ascending
 * @param {number} q
 */
export function quantile(counts, bounds, q) {
  const all = counts.reduce((sum, count) => sum + count, 0);
  if (all === 0) return null;
  let below = 0;
  for (let index = 0; index < counts.length; index += 1) {
    if (below + counts[index] >= all * q && counts[index] > 0) {
      const lowest = index === 0 ? 0 : bounds[index - 1];
      return lowest + ((bounds[index] - lowest) * (all * q - below)) / counts[index];
    }
    below += counts[index];
  }
  return bounds[bounds.length - 1];
}

/** @param {Totals} totals */
function total(totals) {
  return Object.values(totals).reduce((sum, count) => sum + count, 0);
}

/** @param {Totals[]} records @returns {Totals} */
function sumOfRecords(records) {
  /** @type {Totals} */
  const sums = {};
  for (const record of records) {
    for (const [name, count] of Object.entries(record)) sums[name] = (sums[name] ?? 0) + count;
  }
  return sums;
}

/** @param {number[][]} lists */
function sumOfLists(lists) {
  const [first, ...rest] = lists;
  return rest.reduce((sums, list) => sums.map((sum, index) => sum + (list[index] ?? 0)), first ?? []);
}
