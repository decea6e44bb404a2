// The picture of the door: two CPUs, the wall between them with its opening, and below a dot for each timer so far.

import { s } from "./dom.js";

/**
 * @typedef {import("./offers.js").Offer} Offer
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

let serial = 0;

/**
 * Draw the door; what is shown of it depends on the position: which offer is under way, and how far it is.
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
  const clip = s("rect", { x: 0, y: DOTS - 6, width, height: 0 });
  const id = `kvmlab-dots-${(serial += 1)}`;
  const now = scene(x, left, right);
  const marks = offers.map((offer, i) => s("circle", { class: `offered ${offer.moved ? "moved" : "stays"}`, cx: x(offer.next), cy: row(i), r: RADIUS }));
  const share = shareColumn(run, right + GAP, width - 4, row);
  const deadline = offers[0]?.deadline ?? 0;
  const element = s("svg", { viewBox: `0 0 ${width} ${HEIGHT}`, width, height: HEIGHT, role: "img", "aria-label": `The door. ${label}` },
    s("defs", {}, s("clipPath", { id }, clip)),
    ...heads(left, right, width < NARROW),
    ...axisMarks(horizon, x, left, right),
    ...deadlineMarks(x(deadline), left),
    ...share.still,
    ...marks,
    s("g", { "clip-path": `url(#${id})` }, share.line),
    share.point, ...now.marks,
  );
  return {
    element,
    /** @param {number} position */
    show(position) {
      const under = position % 1 !== 0;
      const i = under ? Math.floor(position) : position - 1;
      const done = Math.floor(position);
      clip.setAttribute("height", String(done > 0 ? row(done - 1) - DOTS + 6 : 0));
      marks.forEach((mark, k) => (mark.style.display = k < done ? "" : "none"));
      share.show(done);
      now.show(offers[Math.max(i, 0)], i < 0 ? 0 : under ? position % 1 : 1);
    },
  };
}

/**
 * @param {number} left
 * @param {number} right
 * @param {boolean} narrow
 */
function heads(left, right, narrow) {
  const names = /** @type {[string[], number][]} */ ([[["housekeeping", "CPU"], UPPER], [["isolated", "pCPU"], LOWER]]);
  const lanes = names.map(([, y]) => s("rect", { class: "lane", x: left, y, width: right - left, height: LANE, rx: 4 }));
  const kind = narrow ? "small" : "";
  const texts = names.flatMap(([lines, y]) => lines.map((line, i) => s("text", { class: kind, x: 2, y: y + 16 + i * 16 }, line)));
  const below = ["a dot a timer:", "● moves", "○ stays"].map((line, i) => s("text", { class: "small", x: 2, y: DOTS + 14 + 16 * i }, line));
  return [...lanes, ...texts, ...below, s("rect", { class: "lane", x: left, y: DOTS - 2, width: right - left, height: DOTS_HIGH + 4, rx: 4 })];
}

/**
 * The deadline of the offered timer: always at the same place.
 * @param {number} x
 * @param {number} left
 */
function deadlineMarks(x, left) {
  const room = x - left > 16;
  return [
    s("line", { class: "deadline", x1: x, x2: x, y1: UPPER, y2: AXIS }),
    s("line", { class: "deadline", x1: x, x2: x, y1: DOTS - 2, y2: DOTS + DOTS_HIGH + 2 }),
    s("text", { class: "deadline", x: x + (room ? -5 : 5), y: AXIS - 5, "text-anchor": room ? "end" : "start" }, "D"),
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
    return s("g", {}, s("line", { class: "axis", x1: at, x2: at, y1: AXIS, y2: AXIS + 4 }),
      s("text", { class: "tick", x: at, y: AXIS + 16, "text-anchor": i === 0 ? "start" : at > right - 24 ? "end" : "middle" }, text));
  });
}

/**
 * The offer under way: the flag that rises, the wall and its opening, the next event behind it.
 * @param {(ns: number) => number} x
 * @param {number} left
 * @param {number} right
 */
function scene(x, left, right) {
  const wallY = UPPER + LANE + WALL / 2;
  const wall = s("line", { class: "wall", y1: wallY, y2: wallY });
  const leaf = s("line", { class: "leaf" });
  const event = s("g", { class: "event" }, s("path", { d: `M -6 ${UPPER + LANE - 2} h 12 l -6 -11 z` }), s("line", { y1: UPPER - 3, y2: wallY }));
  const eventText = s("text", { class: "next", y: 14 });
  const flag = s("g", { class: "offer" }, s("line", { y1: -14, y2: 14 }), s("path", { d: "M 0 -14 h 16 l -4 6 l 4 6 h -16 z" }));
  const cross = s("path", { class: "cross", d: "M -6 -6 l 12 12 m 0 -12 l -12 12" });
  const verdict = s("text", { class: "verdict", y: wallY + 4 });
  return {
    marks: [wall, leaf, event, eventText, flag, cross, verdict],
    /** @param {Offer | undefined} offer @param {number} phase 0 to 1 */
    show(offer, phase) {
      if (!offer) return;
      const opening = !offer.moved && offer.next < offer.deadline ? right : x(offer.next);
      wall.setAttribute("x1", String(left));
      wall.setAttribute("x2", String(opening));
      put(leaf, { x1: opening, y1: wallY, x2: Math.min(opening + 14, right), y2: wallY - 14 });
      leaf.style.display = opening < right - 1 ? "" : "none";
      const at = x(offer.next);
      event.setAttribute("transform", `translate(${at} 0)`);
      eventText.textContent = offer.whose === null ? "its next event" : `vCPU ${offer.whose}'s timer`;
      const room = eventText.textContent.length * LETTER;
      put(eventText, { x: Math.min(Math.max(at - room / 2, left), right - room) });
      const home = LOWER + LANE / 2;
      const up = Math.min(Math.max((phase - 0.2) / 0.5, 0), 1);
      const back = Math.min(Math.max((phase - 0.75) / 0.25, 0), 1);
      const goal = offer.moved ? UPPER + LANE / 2 + 2 : wallY + 15;
      const y = home + (goal - home) * (offer.moved ? up : up - back);
      put(flag, { transform: `translate(${x(offer.deadline)} ${y})`, class: `offer ${phase < 0.7 ? "" : offer.moved ? "taken" : "refused"}` });
      cross.style.display = !offer.moved && phase >= 0.7 ? "" : "none";
      cross.setAttribute("transform", `translate(${x(offer.deadline)} ${wallY})`);
      verdict.textContent = phase < 0.7 ? "" : offer.moved ? "taken" : "refused";
      const roomy = x(offer.deadline) + 78 < right;
      put(verdict, { x: x(offer.deadline) + (roomy ? 14 : -14), "text-anchor": roomy ? "start" : "end", class: `verdict ${offer.moved ? "taken" : "refused"}` });
    },
  };
}

/**
 * @param {Element} element
 * @param {Record<string, string | number>} attributes
 */
function put(element, attributes) {
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
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
  const points = shares.map((value, i) => `${i === 0 ? "M" : "L"} ${x(value)} ${row(i)}`).join(" ");
  const point = s("circle", { class: "sofar", r: 4 });
  const number = s("text", { class: "big", x: left, y: UPPER + 26 });
  const whole = Number.isNaN(share) ? 0 : share;
  return {
    point,
    line: s("path", { class: "sofar", d: points }),
    still: [
      s("text", { class: "title", x: left, y: 13 }, "moved"),
      number,
      s("text", { class: "small", x: left, y: UPPER + 44 }, "so far"),
      s("text", { class: "value", x: left, y: LOWER + 14 }, `${(100 * whole).toFixed(1)} %`),
      s("text", { class: "small", x: left, y: LOWER + 30 }, `of all ${timers}`),
      s("rect", { class: "lane", x: left, y: DOTS - 2, width: right - left, height: DOTS_HIGH + 4, rx: 4 }),
      s("text", { class: "tick", x: left, y: AXIS + 16 }, "0"),
      s("text", { class: "tick", x: right, y: AXIS + 16, "text-anchor": "end" }, "100 %"),
      s("line", { class: "whole", x1: x(whole), x2: x(whole), y1: DOTS - 2, y2: DOTS + DOTS_HIGH + 2 }),
    ],
    /** @param {number} done */
    show(done) {
      point.style.display = done > 0 ? "" : "none";
      number.textContent = done > 0 ? `${Math.round(100 * shares[done - 1])} %` : "–";
      if (done > 0) put(point, { cx: x(shares[done - 1]), cy: row(done - 1) });
    },
  };
}
