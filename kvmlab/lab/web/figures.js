// From the tables of a run to what is drawn: rates, percentiles, shares.

import { given } from "./world.js";

/**
 * @typedef {{reason: string, rate: number}} Exit per vCPU per second
 * @typedef {{name: string, duration: number, exits: Exit[], total: number, p50: number, p99: number, max: number,
 *   bins: number[], latencies: number, taken: number, gap: number, places: number[],
 *   load: {cpu: number, share: number, queue: number}[]}} Figures times in ns, shares from 0 to 1
 */

/**
 * Simulate one world under some policies. One that answers as another before it, wherever that one was asked, is not
 * simulated once more: the same answers make the same run.
 * @param {import("./main.js").Tools} tools
 * @param {import("./world.js").Settings} settings
 * @param {Record<string, {bits: number}>} policies
 * @param {import("./world.js").WorldData} [world]
 * @returns {Figures[]}
 */
export function simulateEach({ engine, data, binLows }, settings, policies, world = data.worlds.host) {
  const tables = given(world, settings);
  let duration = 0;
  const known = /** @type {{bits: number, asked: number, figures: Figures}[]} */ ([]);
  return Object.entries(policies).map(([name, { bits }]) => {
    const same = known.find((was) => ((was.bits ^ bits) & was.asked) === 0);
    if (same) return { ...same.figures, name };
    /** @type {Record<string, number>} */ (tables.kernel).policy = bits;
    engine.prepare(tables, world.constant);
    if (duration === 0) duration = engine.call("affordable_ns", data.budget.events, data.budget.longest_ns);
    const reached = engine.call("run", duration);
    const figures = figuresOf(engine, name, reached, data.names, binLows);
    known.push({ bits, asked: engine.column("loop", "asked")(0), figures });
    return figures;
  });
}

/**
 * @param {import("./engine.js").Engine} engine
 * @param {string} name
 * @param {number} duration ns
 * @param {import("./main.js").Data["names"]} names
 * @param {Int32Array} lows
 * @returns {Figures}
 */
function figuresOf(engine, name, duration, names, lows) {
  const vcpus = engine.length.vcpus;
  const each = Array.from({ length: vcpus }, (_, v) => v);
  const seconds = Math.max(1, duration) / 1e9;
  const count = engine.column("exits", "count");
  const exits = names.exits.map((reason, i) => ({
    reason, rate: each.reduce((sum, v) => sum + count(v * names.exits.length + i), 0) / vcpus / seconds,
  }));
  const bins = sumBins(engine, vcpus);
  const latencies = bins.reduce((sum, n) => sum + n, 0);
  const largest = Math.max(...each.map(engine.column("vcpus", "lat_max")));
  const gap = engine.column("vcpus", "gap_max");
  /** @param {string} rule @param {number} entry */
  const until = (rule, entry) => engine.call(rule, entry, duration);
  const places = engine.column("places");
  const expiries = names.places.map((_, i) => each.reduce((sum, v) => sum + places(v * names.places.length + i), 0));
  const fired = Math.max(1, expiries.reduce((sum, n) => sum + n, 0));
  const queue = engine.column("pcpus", "queue_max");
  const housekeeping = engine.column("housekeeping");
  return {
    name, duration, exits, latencies, bins,
    total: exits.reduce((sum, exit) => sum + exit.rate, 0),
    p50: percentile(bins, latencies, 0.5, largest, lows),
    p99: percentile(bins, latencies, 0.99, largest, lows),
    max: latencies ? largest : NaN,
    taken: each.reduce((sum, v) => sum + until("lost_until", v) / Math.max(1, duration - until("idle_until", v)), 0) / vcpus,
    gap: Math.max(...each.map(gap)),
    places: expiries.map((n) => n / fired),
    load: Array.from({ length: engine.length.housekeeping }, (_, i) => housekeeping(i)).map((cpu) => ({
      cpu, share: until("timer_busy_until", cpu) / Math.max(1, duration), queue: queue(cpu),
    })),
  };
}

/**
 * Sum the histograms of all vCPUs. No bin holds 2**31 latencies here, so that the low half of a word is enough.
 * @param {import("./engine.js").Engine} engine
 * @param {number} vcpus
 * @returns {number[]}
 */
function sumBins(engine, vcpus) {
  const words = new Int32Array(engine.memory.buffer, engine.address.histogram, 2 * engine.length.histogram);
  const size = engine.length.histogram / vcpus;
  const bins = new Array(size).fill(0);
  for (let i = 0; i < engine.length.histogram; i += 1) if (words[2 * i] !== 0) bins[i % size] += words[2 * i];
  return bins;
}

/**
 * Return the middle of the bin that holds a share of the latencies; NaN without any.
 * @param {number[]} bins
 * @param {number} total
 * @param {number} share
 * @param {number} largest
 * @param {Int32Array} lows the lower edge of each bin, as far as 32 bits reach
 */
export function percentile(bins, total, share, largest, lows) {
  if (total === 0) return NaN;
  let sum = 0;
  const i = bins.findIndex((n) => (sum += n) >= Math.max(1, share * total));
  return Math.min((lows[i] + lows[i + 1] - 1) / 2, largest);
}
