// The picture of the porter: its queue, its lane, the other housekeeping CPUs, and a thin row for each vCPU.

import { makeAxis } from "./axis.js";
import { h } from "./dom.js";
import { group, v } from "./patch.js";

/**
 * @typedef {import("./porter.js").Crowd} Crowd
 * @typedef {import("./services.js").Service} Service
 * @typedef {import("./patch.js").Shape} Shape
 * @typedef {{at: (time: number) => number, time: (x: number) => number, gaps: {from: number, to: number}[]}} Axis
 */

const NARROW = 520;
const HEADS = 138;
const HEADS_NARROW = 92;
const TOP = 4;
const QUEUE = 38;
const LANE = 18;
const OTHER = 9;
const ROWS_HIGH = 120;
const TALLEST = 18;
const RULER = 18;

/** No other panel's root is this one. */
const CLIP = "played";

/**
 * Return a function that draws the crowd at a position.
 * @param {Crowd} crowd
 * @param {number} deepest the axis of the queue reaches up to here
 * @param {number} width
 * @param {string} label
 */
export function drawPorter(crowd, deepest, width, label) {
  const narrow = width < NARROW;
  const left = narrow ? HEADS_NARROW : HEADS;
  const axis = makeAxis(timesOf(crowd), left, width - 6, false);
  const lane = TOP + QUEUE + 2;
  const first = lane + LANE + 4 + (crowd.others.length > 0 ? Math.max(crowd.others.length * OTHER, 14) : 0) + 8;
  const tall = Math.min(TALLEST, ROWS_HIGH / crowd.vcpus);
  const bottom = first + tall * crowd.vcpus;
  const height = bottom + RULER;
  /** @param {number} vcpu */
  const row = (vcpu) => first + tall * (vcpu + 0.5);
  const flights = crowd.services.filter(({ how }) => how === "posted" || how === "kicked").map((service) => flight(service, axis, lane + LANE, row));
  const frame = group([...heads(crowd, { lane, first, bottom }, left, width, deepest), ...ruler(axis, crowd, bottom, left, width)]);
  const past = v("g", { "clip-path": `url(#${CLIP})` },
    queueShape(crowd, axis, deepest),
    ...interruptMarks(crowd, axis, lane),
    boxes("service", crowd.services.filter(({ cpu }) => cpu === crowd.hot), ({ start, end }) => [axis.at(start), lane + 2, Math.max(axis.at(end) - axis.at(start), 1.5), LANE - 4]),
    boxes("calm", Array.from({ length: crowd.vcpus }, (_, vcpu) => vcpu), (vcpu) => [left, row(vcpu) - tall / 2 + 0.5, width - 6 - left, Math.max(tall - 1, 1.5)]),
    ...reasonsOf(crowd).map((reason) => boxes(`hole ${reason}`, crowd.holes.filter((hole) => hole.reason === reason),
      ({ vcpu, from, to }) => [axis.at(from), row(vcpu) - tall / 2, Math.max(axis.at(to) - axis.at(from), 1.5), tall])),
    ...["posted", "kicked"].map((kind) => v("path", { class: `post ${kind}`, d: flights.filter(({ how }) => how === kind).map(({ d }) => d).join(" ") })),
    ...landings(crowd, axis, row, tall));
  const points = [crowd.from, ...crowd.services.map(({ landed }) => landed), crowd.to].map(axis.at);
  /** @param {number} position */
  return (position) => {
    const i = Math.min(Math.floor(position), points.length - 1);
    const at = points[i] + (position - i) * (points[Math.min(i + 1, points.length - 1)] - points[i]);
    return v("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": `The porter. ${label}` },
      v("defs", {}, v("clipPath", { id: CLIP }, v("rect", { x: 0, y: 0, width: at + 1, height }))),
      frame, past,
      group(position < crowd.services.length ? flights.flatMap(({ fly }) => fly(at)) : []),
      v("line", { class: "head", x1: at, x2: at, y1: TOP, y2: bottom + 4 }));
  };
}

/**
 * The times that the axis goes through.
 * @param {Crowd} crowd
 */
function timesOf({ services, holes, from, to }) {
  const all = [...services.flatMap(({ due, start, end, landed }) => [due, start, end, landed]), ...holes.flatMap((hole) => [hole.from, hole.to])];
  return [from, to, ...all.filter((time) => time > from && time < to)];
}

/**
 * @param {Crowd} crowd
 * @param {{lane: number, first: number, bottom: number}} y
 * @param {number} left
 * @param {number} width
 * @param {number} deepest
 */
function heads(crowd, { lane, first, bottom }, left, width, deepest) {
  const narrow = left < HEADS;
  const right = width - 6;
  /** @param {number} at @param {string} text @param {string} [kind] */
  const name = (at, text, kind = "") => v("text", { class: narrow ? "small" : kind, x: 2, y: at }, text);
  const total = crowd.services.length;
  /** @param {number[]} cpus */
  const fired = (cpus) => `${crowd.services.filter((service) => cpus.includes(service.cpu)).length}${narrow ? "/" : " of "}${total}`;
  const y = lane + LANE + 4;
  const others = /** @type {Shape[]} */ (crowd.others.map((_, i) => v("rect", { class: "lane", x: left, y: y + i * OTHER, width: right - left, height: OTHER - 2 })));
  const [next, last] = [crowd.others[0], crowd.others[crowd.others.length - 1]];
  const called = crowd.others.length === 1 ? `pCPU ${next}` : `pCPUs ${next} to ${last}`;
  if (crowd.others.length > 0) others.push(name(y + 11 + ((crowd.others.length - 1) * OTHER) / 4, `${narrow ? "others" : called}: ${fired(crowd.others)}`, "small"));
  return [
    name(TOP + 12, narrow ? "due timers" : "timers that are due", "small"),
    v("text", { class: "tick", x: left - 4, y: TOP + 27, "text-anchor": "end" }, String(deepest)),
    v("line", { class: "axis", x1: left, x2: left, y1: TOP, y2: TOP + QUEUE }),
    v("line", { class: "axis", x1: left, x2: right, y1: TOP + QUEUE, y2: TOP + QUEUE }),
    v("rect", { class: "lane", x: left, y: lane, width: right - left, height: LANE, rx: 3 }),
    name(lane + 13, `pCPU ${crowd.hot}: ${fired([crowd.hot])}`, "row"),
    ...others,
    name(first + 12, crowd.vcpus === 1 ? "vCPU 0" : `vCPUs 0 to ${crowd.vcpus - 1}`),
    ...(bottom - first > 60 && !narrow ? [name(first + 29, "each alone on", "small"), name(first + 44, "its pCPU", "small")] : []),
    v("rect", { class: "lane", x: left, y: first - 1, width: right - left, height: bottom - first + 2 }),
  ];
}

/**
 * How many timers are due on the porter, over time.
 * @param {Crowd} crowd
 * @param {Axis} axis
 * @param {number} deepest
 */
function queueShape({ queue, from, to }, axis, deepest) {
  const floor = TOP + QUEUE;
  /** @param {number} depth */
  const y = (depth) => floor - (depth / deepest) * (QUEUE - 2);
  const steps = queue.map(({ time, depth }) => `H ${axis.at(time)} V ${y(depth)}`).join(" ");
  return v("path", { class: "queue", d: `M ${axis.at(from)} ${floor} ${steps} H ${axis.at(to)} V ${floor} Z` });
}

/**
 * Many rectangles as one element.
 * @template T
 * @param {string} kind
 * @param {T[]} items
 * @param {(item: T) => [number, number, number, number]} box x, y, width, height
 */
function boxes(kind, items, box) {
  const d = items.map((item) => {
    const [x, y, w, tall] = box(item);
    return `M ${x.toFixed(1)} ${y.toFixed(1)} h ${w.toFixed(1)} v ${tall.toFixed(1)} h ${(-w).toFixed(1)} z`;
  });
  return v("path", { class: kind, d: d.join("") });
}

/**
 * The timer interrupts of the housekeeping CPUs.
 * @param {Crowd} crowd
 * @param {Axis} axis
 * @param {number} lane
 */
function interruptMarks({ interrupts, hot, others }, axis, lane) {
  /** @param {number} wanted @param {number} y @param {number} tall */
  const of = (wanted, y, tall) => boxes("irq", interrupts.filter(({ cpu }) => cpu === wanted), ({ from, to }) => [axis.at(from), y, Math.max(axis.at(to) - axis.at(from), 0.5), tall]);
  return [of(hot, lane + 2, LANE - 4), ...others.map((cpu, i) => of(cpu, lane + LANE + 5 + i * OTHER, OTHER - 4))];
}

/**
 * The reasons of the exits that are seen.
 * @param {Crowd} crowd
 */
export const reasonsOf = ({ holes }) => [...new Set(holes.map(({ reason }) => reason))];

/**
 * What flies from the porter to a vCPU.
 * @param {Service} service
 * @param {Axis} axis
 * @param {number} from
 * @param {(vcpu: number) => number} row
 */
function flight({ end, landed, vcpu, how }, axis, from, row) {
  const [x1, x2, y2] = [axis.at(end), axis.at(landed), row(vcpu)];
  return {
    how,
    d: `M ${x1} ${from} L ${x2} ${y2}`,
    /** @param {number} at where the time is @returns {Shape[]} the spark, if it is on its way */
    fly(at) {
      const share = (at - x1) / Math.max(x2 - x1, 1);
      if (share < 0 || share >= 1) return [];
      return [v("circle", { class: `spark ${how === "posted" ? "post" : "kick"}`, r: 5, cx: at, cy: from + share * (y2 - from) })];
    },
  };
}

/**
 * Where guests' handlers begin: dots if the interrupt was posted, else squares.
 * @param {Crowd} crowd
 * @param {Axis} axis
 * @param {(vcpu: number) => number} row
 * @param {number} tall
 */
function landings({ services }, axis, row, tall) {
  const r = Math.min(4, Math.max(2.2, tall / 2 - 0.5));
  const posted = services.filter(({ how }) => how === "posted");
  const dots = posted.map(({ landed, vcpu }) => `M ${axis.at(landed) - r} ${row(vcpu)} a ${r} ${r} 0 1 0 ${2 * r} 0 a ${r} ${r} 0 1 0 ${-2 * r} 0`);
  return [
    v("path", { class: "landed posted", d: dots.join(" ") }),
    boxes("landed", services.filter(({ how }) => how !== "posted"), ({ landed, vcpu }) => [axis.at(landed) - r, row(vcpu) - r, 2 * r, 2 * r]),
  ];
}

/**
 * How much time the quiet stretches take, where there is room to say it.
 * @param {Axis} axis
 * @param {Crowd} crowd
 * @param {number} bottom
 * @param {number} left
 * @param {number} width
 */
function ruler(axis, { from, to }, bottom, left, width) {
  const gaps = axis.gaps.flatMap((gap) => {
    const [x1, x2] = [axis.at(gap.from), axis.at(gap.to)];
    const ns = gap.to - gap.from;
    const text = ns >= 1e6 ? `${(ns / 1e6).toPrecision(3)} ms` : `${Math.round(ns / 1000)} µs`;
    if (x2 - x1 < text.length * 7 + 4) return [];
    return [v("path", { class: "span-of-time", d: `M ${x1 + 1} ${bottom + 3} v 4 H ${x2 - 1} v -4` }), v("text", { class: "gap", x: (x1 + x2) / 2, y: bottom + 17, "text-anchor": "middle" }, text)];
  });
  const all = `${((to - from) / 1e6).toPrecision(3)} ms in all`;
  return gaps.length > 0 ? gaps : [v("text", { class: "gap", x: (left + width) / 2, y: bottom + 14, "text-anchor": "middle" }, `${all}; quiet time is shortened`)];
}

/**
 * The legend under the picture.
 * @param {string[]} reasons those of the exits that are seen
 * @param {boolean} exits some timer interrupts come after an exit
 */
export function porterLegend(reasons, exits) {
  return [
    h("span", {}, h("i", { class: "key round" }), "posted"),
    ...(exits ? [h("span", {}, h("i", { class: "key square" }), "not posted")] : []),
    ...reasons.map((reason) => h("span", {}, h("i", { class: `key ${reason}` }), reason)),
  ];
}
