// The small scene of a round: who sits where, when the timers are due, and, once it was decided, what happened.

import { s } from "./dom.js";

/**
 * @typedef {import("./rounds.js").Case} Case
 * @typedef {import("./rounds.js").Outcome} Outcome
 */

const HEIGHT = 154;
const TOP = 8;
const BOX = 86;
const LINE = 122;
const LETTER = 7.4;
const HOUSEKEEPING = 2;
/** What the guest does before the expiry, and what becomes of it without an exit, by where the expiry finds it. */
const DOING = /** @type {Record<string, [string, string]>} */ ({
  guest: ["runs", "runs on"], blocked: ["sleeps (it has halted)", "is woken"], preempted: ["preempted, waits", "pending"], host: ["is in the host", "pending"],
});

/**
 * @param {number} ns
 */
export const time = (ns) => (ns >= 1e6 ? `${ns / 1e6} ms` : `${ns / 1e3} µs`);

/**
 * Draw a round.
 * @param {Case} round
 * @param {Outcome | null} outcome null until the reader has decided
 * @param {number} width
 */
export function drawCase({ guest, settings }, outcome, width) {
  const own = settings.pcpu === "housekeeping";
  const names = own ? ["pCPU 0 · housekeeping", "pCPU 1 · isolated, idle"] : ["pCPU 1 · isolated", "pCPU 0 · housekeeping"];
  const half = Math.min(300, width / 2 - (width < 420 ? 12 : 24));
  const far = width - half - 2;
  const parts = [
    ...cpu(2, half, names[0], own),
    ...cpu(far, half, names[1], !own),
    own ? null : s("text", { class: "small", x: far + 10, y: TOP + 20 }, `its next timer: ${time(Number(settings.housekeeping_next_event_ns))}`),
    ...seat(guest, String(settings.vcpu_at_expiry), half, outcome),
    ...(outcome ? fired(outcome, half, far, own) : []),
    ...timeline(Number(settings.deadline_ns), Number(settings.housekeeping_next_event_ns), width),
  ];
  const label = `${guest} on ${names[0]}; deadline in ${time(Number(settings.deadline_ns))}, the housekeeping CPU's next timer in ${time(Number(settings.housekeeping_next_event_ns))}${outcome ? `. ${outcome.summary}` : ""}`;
  return s("svg", { viewBox: `0 0 ${width} ${HEIGHT}`, width, height: HEIGHT, role: "img", "aria-label": label }, ...parts);
}

/**
 * @param {number} x
 * @param {number} width
 * @param {string} name
 * @param {boolean} housekeeping
 */
function cpu(x, width, name, housekeeping) {
  return [
    s("rect", { class: housekeeping ? "cpu housekeeping" : "cpu", x, y: TOP, width, height: BOX, rx: 8 }),
    s("text", { class: "small", x: x + 10, y: TOP + BOX - 10 }, name),
  ];
}

/**
 * The guest on its pCPU, and what it notices of the expiry.
 * @param {string} guest
 * @param {string} found
 * @param {number} width
 * @param {Outcome | null} outcome
 */
function seat(guest, found, width, outcome) {
  const [before, after] = DOING[found];
  const [y, height] = [TOP + 8, 48];
  const exit = outcome?.exit ?? null;
  const box = s("rect", { class: `seat-of ${found}${exit ? " torn" : ""}`, x: 10, y, width: width - 16, height, rx: 6 });
  const said = exit ? (width > 190 ? "exit: " : "") + exit : (outcome ? `${outcome.delivery === "posted" ? "posted" : after}, no exit` : before);
  return [box, s("text", { x: 18, y: y + 19 }, guest), s("text", { class: exit ? "small exit" : "small", x: 18, y: y + 38 }, said)];
}

/**
 * The flag where the timer has fired, and what flies to the guest.
 * @param {Outcome} outcome
 * @param {number} half
 * @param {number} far
 * @param {boolean} own the vCPU runs on a housekeeping CPU
 */
function fired({ by, delivery, exit }, half, far, own) {
  const there = by === HOUSEKEEPING && !own;
  const x = (there ? far : 2) + half - 6;
  const flag = s("path", { class: "fired-flag", d: `M ${x} ${TOP + BOX - 4} v -20 h -9 l 3 4 l -3 4 h 9` });
  if (!there) return [flag];
  const kind = delivery === "posted" ? "post" : exit ? "kick" : "wake";
  const from = far + 4;
  const to = half - 4;
  return [
    flag,
    s("g", { class: `flight ${kind}` }, s("path", { d: `M ${from} ${TOP + 32} H ${to} m 8 -5 l -8 5 l 8 5` })),
    far - half > kind.length * LETTER + 4 ? s("text", { class: "small", x: (far + half) / 2 + 2, y: TOP + 24, "text-anchor": "middle" }, kind) : null,
  ].filter((part) => part !== null);
}

/**
 * From now to the deadline, and the housekeeping CPU's own next timer.
 * @param {number} deadline
 * @param {number} next
 * @param {number} width
 */
function timeline(deadline, next, width) {
  const last = Math.max(deadline, next) * 1.25;
  /** @param {number} ns */
  const at = (ns) => 14 + (ns / last) * (width - 28);
  /** @param {number} x @param {string} text */
  const anchor = (x, text) => (x + (text.length * LETTER) / 2 > width ? "end" : x < (text.length * LETTER) / 2 ? "start" : "middle");
  const texts = [`deadline, ${time(deadline)}`, `housekeeping CPU's next timer, ${time(next)}`];
  return [
    s("line", { class: "axis", x1: 8, x2: width - 8, y1: LINE, y2: LINE }),
    s("line", { class: "deadline", x1: at(deadline), x2: at(deadline), y1: LINE - 10, y2: LINE + 10 }),
    s("text", { class: "deadline", x: at(deadline), y: LINE - 14, "text-anchor": anchor(at(deadline), texts[0]) }, texts[0]),
    s("path", { class: "next", d: `M ${at(next) - 6} ${LINE + 13} h 12 l -6 -10 z` }),
    s("text", { class: "small", x: at(next), y: LINE + 26, "text-anchor": anchor(at(next), texts[1]) }, texts[1]),
  ];
}
