// The anatomy of an exit: way out, handling, way in; what perf's clock sees, what the guest loses, and a second of them.

import { h, renew } from "./dom.js";
import { reach } from "./door.js";
import { idle } from "./panel.js";
import { patch, v } from "./patch.js";

/**
 * @typedef {import("./world.js").Settings} Settings
 * @typedef {{out: number, handling: number, asleep: number, wait: number, in: number, perf_ns: number, lost_ns: number,
 *   perf_us: number, lost_us: number, share: number, longest_us: number}} Costs
 * @typedef {{figures: Record<string, Costs>, status: Record<string, string>, steps: Record<string, string>}} AnatomyData
 * @typedef {"guest" | "out" | "handling" | "asleep" | "wait" | "in"} PartName
 * @typedef {{name: PartName, ns: number, from: number, to: number}} Part places in pixels
 */

const NAMES = { guest: "guest", out: "way out", handling: "handling by KVM", asleep: "asleep", wait: "wait for the deadline", in: "way in" };
/** What a cost rests on, where one word would mislead. */
const RESTS = /** @type {Record<string, string>} */ ({ memory: "from memory" });
const GUEST = 76;
const ASLEEP = 84;
const BAR_Y = 44;
const BAR = 34;
const LETTER = 7.2;
const ROW_Y = 136;
const ROW = 13;
const NAME = 112;
const VALUE = 96;
const HEIGHT = 176;

/**
 * Build the anatomy.
 * @param {import("./panel.js").Panel} panel
 * @returns {import("./panel.js").View}
 */
export function anatomy(panel) {
  const data = panel.tools.data.anatomy;
  const picture = h("div", { class: "picture" });
  const numbers = h("dl", { class: "numbers" });
  const legend = h("p", { class: "legend" });
  let now = /** @type {Costs | null} */ (null);
  let was = /** @type {Costs | null} */ (null);
  let reason = "";
  let [exitReach, gapReach] = [0, 0];

  function redraw() {
    if (!now) return;
    patch(picture, [draw(now, exitReach, gapReach, Math.max(300, panel.width()), `one exit, ${reason}`)]);
  }

  return {
    world: "exits",
    only: panel.spec.options?.controls,
    first: Object.keys(panel.tools.data.worlds.exits.controls),
    body: [numbers, picture, legend],
    update(settings) {
      was = now;
      reason = String(settings.reason);
      now = data.figures[key(panel.tools.data.worlds.exits, settings)];
      exitReach = reach(exitReach, now.lost_ns);
      gapReach = reach(gapReach, 1000 * now.longest_us);
      redraw();
      renew(numbers, tiles(now, was));
      renew(legend, keys(now, data, reason));
      return sentence(reason, Number(settings.exits_per_s), now);
    },
    resize: redraw,
    state: () => ({ figures: now }),
  };
}

/**
 * Return the name of some settings in the figures: what has no effect is at its default.
 * @param {import("./world.js").WorldData} world
 * @param {Settings} settings
 */
export function key(world, settings) {
  return Object.entries(world.controls)
    .map(([name, control]) => (idle(control, settings, false) === null ? settings[name] : control.default))
    .join("|");
}

/**
 * Return where the parts of an exit stand; the time asleep is drawn shorter than it is.
 * @param {Costs} costs
 * @param {number} reached how many ns the axis has room for
 * @param {number} width
 * @returns {Part[]}
 */
export function partsOf(costs, reached, width) {
  const room = width - 2 * GUEST - (costs.asleep > 0 ? ASLEEP : 0);
  const exit = /** @type {PartName[]} */ (["out", "handling", "asleep", "wait", "in"]).map((name) => {
    const ns = costs[/** @type {"out"} */ (name)];
    return { name, ns, size: name === "asleep" ? (ns > 0 ? ASLEEP : 0) : (ns / reached) * room };
  });
  const parts = /** @type {Part[]} */ ([{ name: "guest", ns: 0, from: 0, to: GUEST }]);
  for (const { name, ns, size } of exit) {
    const from = parts[parts.length - 1].to;
    if (size > 0) parts.push({ name, ns, from, to: from + size });
  }
  return [...parts, { name: "guest", ns: 0, from: parts[parts.length - 1].to, to: width }];
}

/** @param {number} ns */
const time = (ns) => (ns >= 1e5 ? `${Math.round(ns / 1e3).toLocaleString("en")} µs` : ns >= 1e4 ? `${(ns / 1e3).toFixed(1)} µs` : `${Math.round(ns).toLocaleString("en")} ns`);
/** @param {number} us */
const micro = (us) => us >= 1e4 ? `${(us / 1e3).toFixed(us >= 1e5 ? 0 : 1)} ms` : `${us >= 100 ? Math.round(us).toLocaleString("en") : us.toFixed(us >= 10 ? 1 : 2)} µs`;
/** @param {number} share */
const percent = (share) => `${Number((100 * share).toPrecision(2))} %`;

/**
 * Draw the exit, and below it the longest of a second beside the average one.
 * @param {Costs} costs
 * @param {number} exitReach
 * @param {number} gapReach
 * @param {number} width
 * @param {string} label
 */
function draw(costs, exitReach, gapReach, width, label) {
  const parts = partsOf(costs, exitReach, width);
  const bars = parts.map(({ name, ns, from, to }) => {
    const text = [name === "guest" ? "guest" : `${NAMES[name]} ${time(ns)}`, NAMES[name], name === "handling" ? "KVM" : name].find((each) => each.length * LETTER < to - from - 4);
    return v("g", { class: `part ${name}` }, v("rect", { x: from, y: BAR_Y, width: to - from, height: BAR }), text ? v("text", { x: (from + to) / 2, y: BAR_Y + BAR / 2 + 4, "text-anchor": "middle" }, text) : null, v("title", {}, `${NAMES[name]}${ns ? `: ${time(ns)}` : ""}`));
  });
  const inside = parts.filter(({ name }) => name === "handling" || name === "asleep");
  const [from, to] = [inside[0].from, inside[inside.length - 1].to];
  const [start, end] = [parts[1].from, parts[parts.length - 1].from];
  const asleep = parts.find(({ name }) => name === "asleep");
  const right = width - end < 70 && to > width - 120;
  const marks = [
    bracket(from, to, BAR_Y - 6, -7, "perf"),
    v("text", { class: "function", x: from - 4, y: BAR_Y - 10, "text-anchor": "end" }, "kvm_exit"),
    v("text", { class: "function", x: right ? width : to + 4, y: BAR_Y - 10, "text-anchor": right ? "end" : "start" }, "kvm_entry"),
    middle(`perf's clock: ${time(costs.perf_ns)}`, (from + to) / 2, BAR_Y - 24, width, "perf"),
    ...(asleep ? [bracket(start, asleep.from, BAR_Y + BAR + 6, 7, "lost"), bracket(asleep.to, end, BAR_Y + BAR + 6, 7, "lost")] : [bracket(start, end, BAR_Y + BAR + 6, 7, "lost")]),
    middle(`the guest loses ${time(costs.lost_ns)}${asleep ? " (asleep, it loses nothing)" : ""}`, (start + end) / 2, BAR_Y + BAR + 29, width, "lost"),
  ];
  const scale = (width - NAME - VALUE) / gapReach;
  const rows = [{ name: "average exit", ns: costs.lost_ns, text: micro(costs.lost_ns / 1000) }, { name: "longest", ns: 1000 * costs.longest_us, text: micro(costs.longest_us) }].map(({ name, ns, text }, i) => {
    const y = ROW_Y + i * (ROW + 7);
    const size = Math.max(1.5, ns * scale);
    return v("g", { class: "gap" }, v("text", { x: 0, y: y + 11 }, name), v("rect", { x: NAME, y, width: size, height: ROW }), v("text", { class: "value", x: NAME + size + 5, y: y + 11 }, text));
  });
  return v("svg", { viewBox: `0 0 ${width} ${HEIGHT}`, width, height: HEIGHT, role: "img", "aria-label": label },
    v("defs", {}, v("pattern", { id: "kvmlab-asleep", width: 7, height: 7, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" }, v("rect", { class: "weave", width: 3, height: 7 }))),
    ...bars, ...marks, v("text", { class: "small", x: 0, y: ROW_Y - 7 }, "In a second, on a scale of its own:"), ...rows);
}

/**
 * @param {number} from
 * @param {number} to
 * @param {number} y
 * @param {number} depth
 * @param {string} kind
 */
const bracket = (from, to, y, depth, kind) => v("path", { class: `bracket ${kind}`, d: `M ${from + 0.5} ${y} v ${depth} H ${to - 0.5} v ${-depth}` });

/**
 * A text around a place, kept inside the picture.
 * @param {string} text
 * @param {number} x
 * @param {number} y
 * @param {number} width
 * @param {string} kind
 */
function middle(text, x, y, width, kind) {
  const half = (text.length * LETTER) / 2;
  return v("text", { class: `row ${kind}`, x: Math.min(Math.max(x, half), width - half), y, "text-anchor": "middle" }, text);
}

/** @param {Costs} costs @returns {[string, string][]} */
const figuresOf = (costs) => [
  ["perf's time in 1 s", micro(costs.perf_us)],
  ["guest loses in 1 s", micro(costs.lost_us)],
  ["of its time", percent(costs.share)],
  ["longest gap", micro(costs.longest_us)],
];

/**
 * The numbers of a second, and what they were before.
 * @param {Costs} now
 * @param {Costs | null} was
 */
function tiles(now, was) {
  const before = was ? figuresOf(was) : [];
  return figuresOf(now).map(([name, value], i) => {
    const then = before[i]?.[1];
    return h("div", {}, h("dt", {}, name), h("dd", {}, h("b", {}, value), then && then !== value ? h("span", { class: "was" }, ` was ${then}`) : null));
  });
}

/**
 * The parts with their times, and what each number rests on.
 * @param {Costs} costs
 * @param {AnatomyData} data
 * @param {string} reason
 */
function keys(costs, { status, steps }, reason) {
  const rests = { out: status.exit_transition, handling: status[steps[reason]], in: status.entry_transition };
  return /** @type {PartName[]} */ (["out", "handling", "asleep", "wait", "in"])
    .filter((name) => costs[/** @type {"out"} */ (name)] > 0)
    .map((name) => h("span", {}, h("span", { class: `key part-${name}` }), `${NAMES[name]} ${time(costs[/** @type {"out"} */ (name)])}`, name in rests ? h("span", { class: "rests" }, ` (${RESTS[rests[/** @type {"out"} */ (name)]] ?? rests[/** @type {"out"} */ (name)]})`) : " (set here)"));
}

/**
 * @param {string} reason
 * @param {number} rate
 * @param {Costs} costs
 */
function sentence(reason, rate, costs) {
  return `${rate.toLocaleString("en")} ${reason} exits per second: perf counts ${micro(costs.perf_us)}, the guest loses ${micro(costs.lost_us)}, ${percent(costs.share)} of its time. The longest gap in a second is about ${micro(costs.longest_us)}.`;
}
