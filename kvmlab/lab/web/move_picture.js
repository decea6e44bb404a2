// The picture of a move: three pCPUs, the vCPU's token, the armed timer, and the field vcpu->cpu as a note that lags behind.

import { v } from "./patch.js";

/**
 * @typedef {import("./beats.js").Beat} Beat
 * @typedef {import("./beats.js").Role} Role
 * @typedef {Record<Role, {number: string, kind: string}>} Cpus
 */

const ROLES = /** @type {Role[]} */ (["from", "to", "other"]);
const BOX_Y = 4;
const BOX = 110;
const GAP = 12;
const NOTE_Y = 132;
const NOTE = 28;
const HEIGHT = 164;
const TOKEN = 20;
const ANSWER = 84;
/** In a box that is narrower the timer's name takes two lines. */
const TWO_LINES = 132;

/**
 * Draw a moment.
 * @param {Beat} beat the last one that has happened
 * @param {Beat | null} next towards which the token is on its way
 * @param {number} share how far
 * @param {Cpus} cpus
 * @param {number} width
 * @param {string} label
 */
export function drawMove(beat, next, share, cpus, width, label) {
  const size = (width - 2 * GAP) / 3;
  /** @param {Role} role */
  const left = (role) => ROLES.indexOf(role) * (size + GAP);
  /** @param {Role} role */
  const middle = (role) => left(role) + size / 2;
  const boxes = ROLES.map((role) => {
    const asked = beat.question && beat.field === role;
    return v("g", { class: `seat-cpu ${cpus[role].kind === "isolated" ? "isolated" : "housekeeping"} ${asked ? "asked" : ""}` },
      v("rect", { x: left(role) + 1, y: BOX_Y, width: size - 2, height: BOX, rx: 8 }),
      v("text", { class: "row", x: left(role) + 8, y: BOX_Y + 17 }, `pCPU ${cpus[role].number}`),
      v("text", { class: "small", x: left(role) + 8, y: BOX_Y + 32 }, size < 118 && cpus[role].kind !== "isolated" ? "housek." : cpus[role].kind));
  });
  const x = next ? middle(beat.at) + share * (middle(next.at) - middle(beat.at)) : middle(beat.at);
  const y = BOX_Y + BOX - TOKEN - 6 - (next && next.at !== beat.at ? 26 * Math.sin(Math.PI * share) : 0);
  const out = beat.exit !== null && !beat.posted;
  const token = v("g", { class: `token ${out ? "out" : ""}` }, v("circle", { cx: x, cy: y, r: TOKEN }), v("text", { x, y: y + 4, "text-anchor": "middle" }, "vCPU"));
  const stale = beat.field !== beat.at;
  const noteX = Math.min(Math.max(middle(beat.field), 84), width - 84);
  const note = v("g", { class: `field ${stale ? "stale" : ""}` },
    v("path", { class: "pointer", d: `M ${noteX} ${NOTE_Y} L ${middle(beat.field)} ${BOX_Y + BOX + 7}` }),
    v("path", { class: "tip", d: `M ${middle(beat.field)} ${BOX_Y + BOX + 1} l -5 8 h 10 z` }),
    v("rect", { x: noteX - 82, y: NOTE_Y, width: 164, height: NOTE, rx: 3 }),
    v("text", { class: "function", x: noteX, y: NOTE_Y + 19, "text-anchor": "middle" }, `vcpu->cpu = ${cpus[beat.field].number}${stale ? " (stale)" : ""}`));
  return v("svg", { viewBox: `0 0 ${width} ${HEIGHT}`, width, height: HEIGHT, role: "img", "aria-label": label },
    ...boxes, beat.timer ? timer(beat, left(beat.timer.at), size) : null, flight(beat, middle, x, y), note, token, beat.question ? asks(beat, noteX + 82, width) : null);
}

/**
 * The armed timer: a flag in the pCPU that fires it.
 * @param {Beat} beat
 * @param {number} left
 * @param {number} size
 */
function timer({ timer: armed, fires }, left, size) {
  const x = left + size - 17;
  const text = armed?.kind === "hv" ? "preemption timer" : fires ? "hrtimer fires" : "hrtimer";
  const lines = size < TWO_LINES ? text.split(/ (?=timer$)/) : [text];
  return v("g", { class: `flag ${fires ? "fired" : ""}` },
    v("line", { class: "pole", x1: x, x2: x, y1: BOX_Y + 8, y2: BOX_Y + 34 }), v("path", { d: `M ${x} ${BOX_Y + 8} h 12 l -4 6 l 4 6 h -12 z` }),
    ...lines.map((line, i) => v("text", { x: left + 8, y: BOX_Y + 47 + 13 * i }, line)));
}

/**
 * The posted interrupt, or the kick, from where the timer has fired.
 * @param {Beat} beat
 * @param {(role: Role) => number} middle
 * @param {number} x
 * @param {number} y
 */
function flight({ name, timer: armed }, middle, x, y) {
  if ((name !== "posted" && name !== "kicked") || !armed) return null;
  const from = middle(armed.at);
  const toward = from < x ? -1 : 1;
  return v("g", { class: `flight ${name === "posted" ? "post" : "kick"}` }, v("path", { d: `M ${from} ${BOX_Y + 56} Q ${(from + x) / 2} ${BOX_Y + 96} ${x + toward * (TOKEN + 4)} ${y}` }));
}

/**
 * The answer, beside the field that was read.
 * @param {Beat} beat
 * @param {number} x where the note ends
 * @param {number} width
 */
function asks({ question }, x, width) {
  const text = question?.says ? "eligible" : "not eligible";
  const middle = Math.min(x + 5 + ANSWER / 2, width - ANSWER / 2 - 1);
  return v("g", { class: `says ${question?.says ? "yes" : "no"}` }, v("rect", { x: middle - ANSWER / 2, y: NOTE_Y + 3, width: ANSWER, height: 22, rx: 11 }), v("text", { x: middle, y: NOTE_Y + 18, "text-anchor": "middle" }, text));
}
