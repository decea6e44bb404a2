// The picture of the door: two CPUs, the wall between them with its opening, and below a dot for each timer so far.

import { v } from "./patch.js";

/**
 * @typedef {import("./offers.js").Offer} Offer
 * @typedef {import("./patch.js").Shape} Shape
 */

const NARROW = 520;
const HEADS = 134;
const HEADS_NARROW = 90;
const TOP = 20;
const LANE = 38;
const WALL = 24;
const UPPER = TOP;
const LOWER = TOP + LANE + WALL;
const AXIS = LOWER + LANE;
const DOTS = AXIS + 24;
const DOTS_HIGH = 96;
const HEIGHT = DOTS + DOTS_HIGH + 6;
const GAP = 14;
const RADIUS = 3;
const LETTER = 7;

/**
 * Return a function that draws the door at a position: which offer is under way, and how far it is.
 * @param {import("./door.js").DoorRun} run
 * @param {number} horizon ns
 * @param {number} width
 * @param {string} label
 */
export function drawDoor(run, horizon, width, label) {
  const { offers } = run;
  const left = width < NARROW ? HEADS_NARROW : HEADS;
  const shareWidth = Math.max(80, Math.min(180, width * 0.2));
  const right = width - shareWidth - GAP - 4;
  /** @param {number} ns */
  const x = (ns) => left + (Math.min(ns, horizon) / horizon) * (right - left);
  /** @param {number} i */
  const row = (i) => DOTS + 4 + (i / Math.max(1, offers.length - 1)) * (DOTS_HIGH - 8);
  const share = shareColumn(run, right + GAP, width - 4, row);
  const still = [...heads(left, right, width < NARROW), ...axisMarks(horizon, x, left, right), ...deadlineMarks(x(offers[0]?.deadline ?? 0), left), ...share.still];
  /** @param {boolean} moved @param {number} done */
  const dots = (moved, done) => offers.flatMap((offer, i) => (offer.moved === moved && i < done ? [circle(x(offer.next), row(i))] : [])).join("");
  /** @param {number} position */
  return (position) => {
    const under = position % 1 !== 0;
    const i = under ? Math.floor(position) : position - 1;
    const done = Math.floor(position);
    return v("svg", { viewBox: `0 0 ${width} ${HEIGHT}`, width, height: HEIGHT, role: "img", "aria-label": `The door. ${label}` },
      ...still,
      v("path", { class: "offered moved", d: dots(true, done) }),
      v("path", { class: "offered stays", d: dots(false, done) }),
      ...share.sofar(done),
      ...scene(x, left, right, offers[Math.max(i, 0)], i < 0 ? 0 : under ? position % 1 : 1));
  };
}

/**
 * @param {number} x
 * @param {number} y
 */
const circle = (x, y) => `M ${(x - RADIUS).toFixed(1)} ${y.toFixed(1)} a ${RADIUS} ${RADIUS} 0 1 0 ${2 * RADIUS} 0 a ${RADIUS} ${RADIUS} 0 1 0 ${-2 * RADIUS} 0`;

/**
 * @param {number} left
 * @param {number} right
 * @param {boolean} narrow
 */
function heads(left, right, narrow) {
  const names = /** @type {[string[], number][]} */ ([[["housekeeping", "CPU"], UPPER], [["isolated", "pCPU"], LOWER]]);
  const lanes = names.map(([, y]) => v("rect", { class: "lane", x: left, y, width: right - left, height: LANE, rx: 4 }));
  const kind = narrow ? "small" : "";
  const texts = names.flatMap(([lines, y]) => lines.map((line, i) => v("text", { class: kind, x: 2, y: y + 16 + i * 16 }, line)));
  const below = ["a dot a timer:", "● moves", "○ stays"].map((line, i) => v("text", { class: "small", x: 2, y: DOTS + 14 + 16 * i }, line));
  return [...lanes, ...texts, ...below, v("rect", { class: "lane", x: left, y: DOTS - 2, width: right - left, height: DOTS_HIGH + 4, rx: 4 })];
}

/**
 * The deadline of the offered timer: always at the same place.
 * @param {number} x
 * @param {number} left
 */
function deadlineMarks(x, left) {
  const room = x - left > 16;
  return [
    v("line", { class: "deadline", x1: x, x2: x, y1: UPPER, y2: AXIS }),
    v("line", { class: "deadline", x1: x, x2: x, y1: DOTS - 2, y2: DOTS + DOTS_HIGH + 2 }),
    v("text", { class: "deadline", x: x + (room ? -5 : 5), y: AXIS - 5, "text-anchor": room ? "end" : "start" }, "D"),
  ];
}

/**
 * @param {number} horizon
 * @param {(ns: number) => number} x
 * @param {number} left
 * @param {number} right
 */
function axisMarks(horizon, x, left, right) {
  const power = 10 ** Math.floor(Math.log10(horizon / 2));
  const step = ([1, 2, 5].find((each) => horizon / (each * power) <= ((right - left) / 52)) ?? 10) * power;
  const count = Math.floor(horizon / step);
  return Array.from({ length: count + 1 }, (_, i) => {
    const at = x(i * step);
    const text = i === 0 ? "now" : `${Number(((i * step) / 1e6).toPrecision(6))} ms`;
    return v("g", {}, v("line", { class: "axis", x1: at, x2: at, y1: AXIS, y2: AXIS + 4 }),
      v("text", { class: "tick", x: at, y: AXIS + 16, "text-anchor": i === 0 ? "start" : at > right - 24 ? "end" : "middle" }, text));
  });
}

/**
 * The offer under way: the flag that rises, the wall and its opening, the next timer behind it.
 * @param {(ns: number) => number} x
 * @param {number} left
 * @param {number} right
 * @param {Offer | undefined} offer
 * @param {number} phase 0 to 1
 * @returns {(Shape | null)[]}
 */
function scene(x, left, right, offer, phase) {
  if (!offer) return [];
  const wallY = UPPER + LANE + WALL / 2;
  const opening = !offer.moved && offer.next < offer.deadline ? right : x(offer.next);
  const at = x(offer.next);
  const whose = offer.whose === null ? "its next timer" : `vCPU ${offer.whose}'s timer`;
  const room = whose.length * LETTER;
  const home = LOWER + LANE / 2;
  const up = Math.min(Math.max((phase - 0.2) / 0.5, 0), 1);
  const back = Math.min(Math.max((phase - 0.75) / 0.25, 0), 1);
  const goal = offer.moved ? UPPER + LANE / 2 + 2 : wallY + 15;
  const y = home + (goal - home) * (offer.moved ? up : up - back);
  const said = phase < 0.7 ? "" : offer.moved ? "taken" : "refused";
  const deadline = x(offer.deadline);
  const beside = opening > deadline && opening < deadline + 80 ? opening + 18 : deadline + 14; // clear of the leaf
  const roomy = beside + 64 < right;
  return [
    v("line", { class: "wall", x1: left, x2: opening, y1: wallY, y2: wallY }),
    opening < right - 1 ? v("line", { class: "leaf", x1: opening, y1: wallY, x2: Math.min(opening + 14, right), y2: wallY - 14 }) : null,
    v("g", { class: "event", transform: `translate(${at} 0)` }, v("path", { d: `M -6 ${UPPER + LANE - 2} h 12 l -6 -11 z` }), v("line", { y1: UPPER - 3, y2: wallY })),
    v("text", { class: "next", y: 14, x: Math.min(Math.max(at - room / 2, left), right - room) }, whose),
    v("g", { class: `offer ${said}`, transform: `translate(${deadline} ${y})` }, v("line", { y1: -14, y2: 14 }), v("path", { d: "M 0 -14 h 16 l -4 6 l 4 6 h -16 z" })),
    said === "refused" ? v("path", { class: "cross", d: "M -6 -6 l 12 12 m 0 -12 l -12 12", transform: `translate(${deadline} ${wallY})` }) : null,
    v("text", { class: `verdict ${said}`, x: roomy ? beside : deadline - 14, y: wallY + 4, "text-anchor": roomy ? "start" : "end" }, said),
  ];
}

/**
 * The share of those that moved so far, from the first offer at the top to the last; dashed, that of the whole run.
 * @param {import("./door.js").DoorRun} run
 * @param {number} left
 * @param {number} right
 * @param {(i: number) => number} row
 */
function shareColumn({ shares, share, timers }, left, right, row) {
  /** @param {number} value */
  const x = (value) => left + value * (right - left);
  const points = shares.map((value, i) => `${i === 0 ? "M" : "L"} ${x(value).toFixed(1)} ${row(i).toFixed(1)}`);
  const whole = Number.isNaN(share) ? 0 : share;
  return {
    still: [
      v("text", { class: "title", x: left, y: 13 }, "moved"),
      v("text", { class: "small", x: left, y: UPPER + 44 }, "so far"),
      v("text", { class: "value", x: left, y: LOWER + 14 }, `${(100 * whole).toFixed(1)} %`),
      v("text", { class: "small", x: left, y: LOWER + 30 }, `of all ${timers}`),
      v("rect", { class: "lane", x: left, y: DOTS - 2, width: right - left, height: DOTS_HIGH + 4, rx: 4 }),
      v("text", { class: "tick", x: left, y: AXIS + 16 }, "0"),
      v("text", { class: "tick", x: right, y: AXIS + 16, "text-anchor": "end" }, "100 %"),
      v("line", { class: "whole", x1: x(whole), x2: x(whole), y1: DOTS - 2, y2: DOTS + DOTS_HIGH + 2 }),
    ],
    /** @param {number} done @returns {(Shape | null)[]} */
    sofar: (done) => [
      v("text", { class: "big", x: left, y: UPPER + 26 }, done > 0 ? `${Math.round(100 * shares[done - 1])} %` : "–"),
      v("path", { class: "sofar", d: points.slice(0, done).join(" ") }),
      done > 0 ? v("circle", { class: "sofar", r: 4, cx: x(shares[done - 1]), cy: row(done - 1) }) : null,
    ],
  };
}
