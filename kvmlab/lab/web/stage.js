// The stage: host, guest and one timer's life on three lanes, played from left to right.

import { makeAxis } from "./axis.js";
import { h, renew } from "./dom.js";
import { group, patch, v } from "./patch.js";
import { decisionLine } from "./predicate.js";
import { makePlayer } from "./player.js";
import { makeScene } from "./scene.js";
import { playerKey, playWhenSeen } from "./seen.js";
import { followTimer } from "./story.js";

/**
 * @typedef {import("./scene.js").Lane} Lane
 * @typedef {import("./scene.js").Scene} Scene
 * @typedef {import("./scene.js").ShownStep} ShownStep
 * @typedef {import("./patch.js").Shape} Shape
 */

const FIRST = ["kernel", "pi_inject_timer", "apicv_active", "mwait_in_guest", "hlt_in_guest", "pcpu"];
const HEADS = 128;
const NARROW = 520;
/** Room that a lane's name takes above the lane of a narrow stage. */
const NAMES = 120;
const TOP = 34;
const LANE = 46;
const BETWEEN = 22;
const LANES = /** @type {Lane[]} */ (["guest", "own", "housekeeping"]);
/** @param {Lane} lane */
const topOf = (lane) => TOP + LANES.indexOf(lane) * (LANE + BETWEEN);
/** @param {Lane} lane */
const middleOf = (lane) => topOf(lane) + LANE / 2;
const BOTTOM = topOf("housekeeping") + LANE;
const HEIGHT = BOTTOM + 26;
const LETTER = 7.2;
/** No other panel's root is this one. */
const CLIP = "played";

/**
 * Build the stage.
 * @param {import("./panel.js").Panel} panel
 * @returns {import("./panel.js").View}
 */
export function stage(panel) {
  const { data } = panel.tools;
  const options = panel.spec.options ?? {};
  const picture = h("div", { class: "picture scroll", tabindex: 0, role: "group", "aria-label": "the stage", click: chosen });
  const caption = h("p", { class: "step", "aria-live": "off" });
  const decision = h("div", { class: "decides" });
  let drawing = /** @type {ReturnType<typeof draw> | null} */ (null);
  let story = /** @type {import("./story.js").Story | null} */ (null);
  let zoom = 1;
  let toScale = false;

  const player = makePlayer(
    (position, settled) => {
      if (!drawing || !story) return;
      patch(picture, [drawing.at(position)]);
      if (zoom > 1) follow(picture, drawing.x(position));
      const step = drawing.scene.steps[Math.floor(position) - 1];
      caption.setAttribute("aria-live", settled ? "polite" : "off");
      renew(caption, captionOf(step, Math.floor(position), drawing.scene.steps.length, story.summary));
    },
    (i) => (drawing ? drawing.weight(i) : 1),
  );
  /** @param {MouseEvent} event */
  function chosen(event) {
    const step = /** @type {Element} */ (event.target).closest("[data-step]");
    if (step) player.seek(Number(step.getAttribute("data-step")));
  }
  /** @param {number} factor */
  const zoomBy = (factor) => {
    zoom = Math.min(Math.max(zoom * factor, 1), 64);
    redraw(true);
  };
  const scale = h("input", { type: "checkbox", change: () => { toScale = scale.checked; redraw(true); } });
  player.element.append(
    h("button", { type: "button", "aria-label": "zoom out", click: () => zoomBy(0.5) }, "−"),
    h("button", { type: "button", "aria-label": "zoom in", click: () => zoomBy(2) }, "+"),
    h("label", { class: "switch" }, scale, h("span", {}, "to scale")),
  );

  /** @param {boolean} keep */
  function redraw(keep) {
    if (!story) return;
    const width = Math.max(300, panel.width()) * zoom;
    drawing = draw(makeScene(story, data.story), story, width, toScale, data);
    player.reset(drawing.scene.steps.length + 1, keep ? "here" : "start");
  }

  return {
    world: "timer",
    first: options.first ?? FIRST,
    only: options.controls,
    body: [picture, player.element, caption, decision],
    update(settings, first) {
      const kernel = String(settings.kernel);
      story = followTimer(panel.tools, settings, panel.policyFor(kernel));
      redraw(!first);
      if (first) playWhenSeen(panel, picture, player);
      const line = decisionLine(panel, settings, story.cpu !== data.story.housekeeping_cpu && Boolean(settings.nohz_full));
      renew(decision, [line]);
      return `${panel.kernelName(kernel)}: ${story.summary}`;
    },
    resize: () => redraw(true),
    key(event) {
      return event.target === picture && playerKey(event, player);
    },
    state: () => ({ story, position: player.position }),
  };
}

/**
 * Scroll a zoomed picture so that x is seen.
 * @param {HTMLElement} picture
 * @param {number} x
 */
function follow(picture, x) {
  const { scrollLeft, clientWidth, scrollWidth } = picture;
  if (scrollWidth <= clientWidth + 1) return;
  if (x < scrollLeft + 40 || x > scrollLeft + clientWidth - 60) picture.scrollLeft = x - clientWidth / 2;
}

/**
 * @param {ShownStep | undefined} step
 * @param {number} position
 * @param {number} count
 * @param {string} summary
 * @returns {Node[]}
 */
function captionOf(step, position, count, summary) {
  if (position === 0) return [h("span", {}, "The guest runs. It is about to write its timer.")];
  if (!step) return [h("b", {}, "In the end: "), h("span", {}, summary)];
  return [
    h("span", { class: "when" }, `${position}/${count} · ${(step.time / 1000).toFixed(2)} µs · ${step.where} `),
    h("code", {}, step.name),
    h("span", {}, ` ${step.sentence}`),
  ];
}

/**
 * Draw a scene; what is shown of it depends on the position.
 * @param {Scene} scene
 * @param {import("./story.js").Story} story
 * @param {number} width
 * @param {boolean} toScale
 * @param {import("./main.js").Data} data
 */
function draw(scene, story, width, toScale, data) {
  const left = width < NARROW ? 6 : HEADS;
  const axis = makeAxis(scene.times, left, width - 8, toScale);
  const points = [scene.start, ...scene.steps.map((step) => step.shown), scene.end].map(axis.at);
  const machine = group(laneHeads(story, left, width, data));
  const breaks = axis.gaps.map((gap) => (axis.at(gap.from) + axis.at(gap.to)) / 2);
  const deadline = story.deadline === 0 ? [] : [axis.at(story.deadline)];
  const crossed = { guest: [...breaks, ...deadline], own: deadline, housekeeping: deadline };
  const past = v("g", { "clip-path": `url(#${CLIP})` },
    ...scene.spans.map((span) => spanMark(span, axis, crossed[span.lane])), ...axis.gaps.flatMap((gap) => gapMark(gap, axis, left < HEADS ? NAMES : 0)));
  const ahead = group([...deadlineMark(story, axis), ...nextEventMark(story, scene, axis, data.story.housekeeping_cpu)]);
  const flights = scene.flights.map((flight) => flightMark(flight, axis));
  /** @param {number} position */
  const x = (position) => {
    const i = Math.min(Math.floor(position), points.length - 1);
    const next = points[Math.min(i + 1, points.length - 1)];
    return points[i] + (position - i) * (next - points[i]);
  };
  return {
    scene,
    x,
    /** @param {number} i */
    weight: (i) => Math.max(0.8, Math.min(3.2, (points[Math.min(i + 1, points.length - 1)] - points[i]) / 60)),
    /** @param {number} position */
    at(position) {
      const at = x(position);
      const time = axis.time(at);
      const current = Math.floor(position) - 1;
      const name = scene.steps[current]?.name ?? "";
      const room = name.length * LETTER;
      return v("svg", { viewBox: `0 0 ${width} ${HEIGHT}`, width, height: HEIGHT, role: "img", "aria-label": `One timer's life: ${story.summary}` },
        v("defs", {}, v("clipPath", { id: CLIP }, v("rect", { x: 0, y: 0, width: at, height: HEIGHT }))),
        machine, past, ahead,
        group(scene.flags.map((flag) => (flag.armed <= time + 1 ? flagMark(flag, axis, flag.until > time ? "" : flag.fired ? "fired" : "off") : null))),
        group(flights.flatMap((mark) => mark(time))),
        group(scene.steps.map((step, i) => dot(step, i, axis, i === current ? "now" : i < current ? "past" : ""))),
        v("line", { class: "head", x1: at, x2: at, y1: 12, y2: BOTTOM + 4 }),
        v("text", { class: "function", x: Math.min(Math.max(at - room / 2, left), width - 8 - room), y: BOTTOM + 20 }, name));
    },
  };
}

/**
 * The machine at the left: the guest on its pCPU, the housekeeping CPU, the host around both.
 * @param {import("./story.js").Story} story
 * @param {number} left
 * @param {number} width
 * @param {import("./main.js").Data} data
 */
function laneHeads(story, left, width, data) {
  const onHousekeeping = story.cpu === data.story.housekeeping_cpu;
  const other = onHousekeeping ? 1 - story.cpu : data.story.housekeeping_cpu;
  const names = {
    guest: ["guest", "vCPU 0"],
    own: [`pCPU ${story.cpu}`, onHousekeeping ? "housekeeping" : "isolated"],
    housekeeping: [`pCPU ${other}`, onHousekeeping ? "isolated, idle" : "housekeeping"],
  };
  const lanes = LANES.map((lane) => v("rect", { class: "lane", x: left, y: topOf(lane), width: width - left - 8, height: LANE, rx: 4 }));
  if (left < HEADS) {
    return [...lanes, ...LANES.map((lane) => v("text", { class: "small", x: left + 4, y: topOf(lane) - 5 }, names[lane].join(" · ")))];
  }
  const frame = v("rect", { class: "host", x: 2, y: topOf("own") - 12, width: left - 12, height: BOTTOM - topOf("own") + 20, rx: 8 });
  const seat = v("path", { class: "seat", d: `M ${left - 36} ${topOf("guest") + LANE} V ${topOf("own")} m -5 -7 l 5 7 l 5 -7` });
  const boxes = LANES.flatMap((lane) => [
    v("rect", { class: `cpu ${lane}`, x: 10, y: topOf(lane) + 2, width: left - 28, height: LANE - 4, rx: 5 }),
    v("text", { x: 18, y: topOf(lane) + 20 }, names[lane][0]),
    v("text", { class: "small", x: 18, y: topOf(lane) + 36 }, names[lane][1]),
  ]);
  return [...lanes, frame, seat, ...boxes, v("text", { class: "small", x: 10, y: BOTTOM + 21 }, "host")];
}

/**
 * @param {import("./scene.js").Span} span
 * @param {import("./axis.js").Axis} axis
 * @param {number[]} crossed where something is drawn across the lanes: its name keeps away from there
 */
function spanMark(span, axis, crossed) {
  const x = axis.at(span.from);
  const width = Math.max(axis.at(span.to) - x, 1.5);
  const inset = span.kind === "hrtimer" ? LANE - 14 : 6;
  const height = span.kind === "hrtimer" ? 12 : LANE - 12;
  const room = span.text.length * LETTER + 8;
  const [early, middle, late] = [x + room / 2, x + width / 2, x + width - room / 2];
  const places = span.kind === "guest" ? [early, middle, late] : [middle, early, late];
  const place = places.find((at) => crossed.every((cross) => Math.abs(cross - at) > room / 2 + 2)) ?? (span.lane === "guest" ? null : middle);
  return v(
    "g", { class: `span ${span.kind}` },
    v("rect", { x, y: topOf(span.lane) + inset, width, height, rx: 2 }),
    room < width && span.kind !== "hrtimer" && place !== null ? v("text", { x: place, y: middleOf(span.lane) + 4, "text-anchor": "middle" }, span.text) : null,
    v("title", {}, `${span.title} ${((span.to - span.from) / 1000).toFixed(2)} µs`),
  );
}

/**
 * @param {{from: number, to: number}} gap
 * @param {import("./axis.js").Axis} axis
 * @param {number} taken up to here the line is taken by a lane's name
 */
function gapMark(gap, axis, taken) {
  const middle = (axis.at(gap.from) + axis.at(gap.to)) / 2;
  const ns = gap.to - gap.from;
  const text = ns >= 1e9 ? `${(ns / 1e9).toPrecision(3)} s` : ns >= 1e6 ? `${(ns / 1e6).toPrecision(3)} ms` : `${Math.round(ns / 1000)} µs`;
  return [
    v("path", { class: "break", d: `M ${middle - 6} ${topOf("guest") + LANE - 4} l 4 -${LANE - 8} m 8 0 l -4 ${LANE - 8}` }),
    middle - 24 > taken ? v("text", { class: "gap", x: middle, y: topOf("guest") + LANE + 14, "text-anchor": "middle" }, text) : v("g"),
  ];
}

/**
 * @param {import("./story.js").Story} story
 * @param {import("./axis.js").Axis} axis
 */
function deadlineMark(story, axis) {
  if (story.deadline === 0) return [];
  const x = axis.at(story.deadline);
  return [
    v("line", { class: "deadline", x1: x, x2: x, y1: 18, y2: BOTTOM }),
    v("text", { class: "deadline", x: x - 4, y: 14, "text-anchor": "end" }, "deadline"),
  ];
}

/**
 * The housekeeping CPU's own next timer: it decides whether that CPU takes another one.
 * @param {import("./story.js").Story} story
 * @param {Scene} scene
 * @param {import("./axis.js").Axis} axis
 * @param {number} cpu the housekeeping CPU
 */
function nextEventMark(story, scene, axis, cpu) {
  if (story.cpu === cpu) return []; // it is the vCPU's own: its interrupt is seen in that lane
  const y = BOTTOM - 4;
  const later = story.next > scene.end;
  const x = later ? axis.at(scene.end) - 6 : axis.at(story.next);
  return [
    v("path", { class: "next", d: `M ${x - 6} ${y} h 12 l -6 -10 z` }, v("title", {}, "The CPU's own next timer.")),
    v("text", { class: "small haloed", x: x - 10, y: y - 1, "text-anchor": "end" }, later ? "its next timer: later →" : "its next timer"),
  ];
}

/**
 * @param {import("./scene.js").Flag} flag
 * @param {import("./axis.js").Axis} axis
 * @param {string} kind "fired", "off", or nothing while the timer is armed
 */
function flagMark(flag, axis, kind) {
  const from = axis.at(flag.armed);
  const x = axis.at(flag.at);
  const y = topOf(flag.lane) + 12;
  const room = flag.text.length * LETTER + 10;
  return v(
    "g", { class: `flag ${kind}` },
    v("line", { x1: from, x2: x, y1: y, y2: y }),
    v("line", { class: "pole", x1: x, x2: x, y1: y - 12, y2: y + 14 }),
    v("path", { d: `M ${x} ${y - 12} h -14 l 4 6 l -4 6 h 14 z` }),
    x - from > room + 20 ? v("text", { x: x - 20, y: y - 3, "text-anchor": "end" }, flag.text) : null,
    v("title", {}, flag.text),
  );
}

/**
 * Return a function that draws a flight at a time: the way, and the spark on it.
 * @param {import("./scene.js").Flight} flight
 * @param {import("./axis.js").Axis} axis
 */
function flightMark(flight, axis) {
  const [x1, x2] = [axis.at(flight.start), axis.at(flight.end)];
  const [y1, y2] = [middleOf(flight.from), middleOf(flight.to)];
  const bend = (x1 + x2) / 2;
  const way = v(
    "g", { class: `flight ${flight.kind}` },
    v("path", { d: `M ${x1} ${y1} C ${bend} ${y1} ${bend} ${y2} ${x2} ${y2}` }),
    flight.kind === "refused" ? v("path", { class: "cross", d: `M ${x2 - 5} ${y2 - 17} l 10 10 m 0 -10 l -10 10` }) : null,
    v("title", {}, flight.text),
  );
  /** @param {number[]} p @param {number} u */
  const bezier = (p, u) => (1 - u) ** 3 * p[0] + 3 * (1 - u) ** 2 * u * p[1] + 3 * (1 - u) * u * u * p[2] + u ** 3 * p[3];
  /** @param {number} time @returns {(Shape | null)[]} */
  return (time) => {
    const share = (time - flight.start) / (flight.end - flight.start);
    const flies = share >= 0 && share < 1;
    return [
      flight.start <= time + 1 ? way : null,
      flies ? v("circle", { class: `spark ${flight.kind}`, r: 6, cx: bezier([x1, bend, bend, x2], share), cy: bezier([y1, y1, y2, y2], share) }) : null,
    ];
  };
}

/**
 * A step as a dot to click.
 * @param {ShownStep} step
 * @param {number} i
 * @param {import("./axis.js").Axis} axis
 * @param {string} kind "past", "now", or nothing for what is to come
 */
function dot(step, i, axis, kind) {
  const lane = step.where === "the guest" ? "guest" : step.where === "the vCPU's pCPU" ? "own" : "housekeeping";
  return v(
    "circle", { class: `dot ${kind}`, cx: axis.at(step.shown), cy: topOf(lane) + LANE, r: 5, "data-step": i + 1 },
    v("title", {}, `${step.name}: ${step.sentence}`),
  );
}
