// The stage: host, guest and one timer's life on three lanes, played from left to right.

import { makeAxis } from "./axis.js";
import { h, s } from "./dom.js";
import { decisionLine } from "./predicate.js";
import { makePlayer } from "./player.js";
import { makeScene } from "./scene.js";
import { playerKey, playWhenSeen } from "./seen.js";
import { followTimer } from "./story.js";

/**
 * @typedef {import("./scene.js").Lane} Lane
 * @typedef {import("./scene.js").Scene} Scene
 * @typedef {import("./scene.js").ShownStep} ShownStep
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

/**
 * Build the stage.
 * @param {import("./panel.js").Panel} panel
 * @returns {import("./panel.js").View}
 */
export function stage(panel) {
  const { data } = panel.tools;
  const options = panel.spec.options ?? {};
  const picture = h("div", { class: "picture scroll", tabindex: 0, role: "group", "aria-label": "the stage" });
  const caption = h("p", { class: "step", "aria-live": "off" });
  const decision = h("div", { class: "decides" });
  let drawing = /** @type {ReturnType<typeof draw> | null} */ (null);
  let story = /** @type {import("./story.js").Story | null} */ (null);
  let zoom = 1;
  let toScale = false;

  const player = makePlayer(
    (position, settled) => {
      if (!drawing || !story) return;
      drawing.show(position);
      follow(picture, drawing.x(position));
      const step = drawing.scene.steps[Math.floor(position) - 1];
      caption.replaceChildren(...captionOf(step, Math.floor(position), drawing.scene.steps.length, story.summary));
      caption.setAttribute("aria-live", settled ? "polite" : "off");
    },
    (i) => (drawing ? drawing.weight(i) : 1),
  );
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
    drawing = draw(makeScene(story, data.story), story, width, toScale, (i) => player.seek(i + 1), data);
    picture.replaceChildren(drawing.element);
    player.reset(drawing.scene.steps.length + 1, keep);
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
      decision.replaceChildren(decisionLine(panel, settings, story.cpu !== data.story.housekeeping_cpu && Boolean(settings.nohz_full)));
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
 * @param {(step: number) => void} chosen
 * @param {import("./main.js").Data} data
 */
function draw(scene, story, width, toScale, chosen, data) {
  const left = width < NARROW ? 6 : HEADS;
  const axis = makeAxis(scene.times, left, width - 8, toScale);
  const points = [scene.start, ...scene.steps.map((step) => step.shown), scene.end].map(axis.at);
  const clip = s("rect", { x: 0, y: 0, width: 0, height: HEIGHT });
  const id = `kvmlab-clip-${(serial += 1)}`;
  const head = s("line", { class: "head", y1: 12, y2: BOTTOM + 4 });
  const name = s("text", { class: "function", y: BOTTOM + 20 });
  const flags = scene.flags.map((flag) => ({ flag, ...flagMark(flag, axis) }));
  const flights = scene.flights.map((flight) => ({ flight, ...flightMark(flight, axis) }));
  const dots = scene.steps.map((step, i) => dot(step, i, axis, chosen));
  const element = s(
    "svg", { viewBox: `0 0 ${width} ${HEIGHT}`, width, height: HEIGHT, role: "img", "aria-label": `One timer's life: ${story.summary}` },
    s("defs", {}, s("clipPath", { id }, clip)),
    ...laneHeads(story, left, width, data),
    s("g", { "clip-path": `url(#${id})` }, ...scene.spans.map((span) => spanMark(span, axis)), ...axis.gaps.flatMap((gap) => gapMark(gap, axis, left < HEADS ? NAMES : 0))),
    ...deadlineMark(story, axis),
    ...nextEventMark(story, scene, axis),
    ...flags.map(({ mark }) => mark),
    ...flights.flatMap(({ path, spark }) => [path, spark]),
    ...dots,
    head,
    name,
  );
  /** @param {number} position */
  const x = (position) => {
    const i = Math.min(Math.floor(position), points.length - 1);
    const next = points[Math.min(i + 1, points.length - 1)];
    return points[i] + (position - i) * (next - points[i]);
  };
  return {
    element,
    scene,
    x,
    /** @param {number} i */
    weight: (i) => Math.max(0.8, Math.min(3.2, (points[Math.min(i + 1, points.length - 1)] - points[i]) / 60)),
    /** @param {number} position */
    show(position) {
      const at = x(position);
      const time = axis.time(at);
      const current = Math.floor(position) - 1;
      clip.setAttribute("width", String(at));
      head.setAttribute("x1", String(at));
      head.setAttribute("x2", String(at));
      dots.forEach((each, i) => each.setAttribute("class", i === current ? "dot now" : i < current ? "dot past" : "dot"));
      for (const { flag, mark } of flags) mark.style.display = flag.armed <= time + 1 ? "" : "none";
      for (const { flag, mark } of flags) mark.setAttribute("class", flag.until <= time ? (flag.fired ? "flag fired" : "flag off") : "flag");
      for (const { flight, path, spark, fly } of flights) {
        path.style.display = flight.start <= time + 1 ? "" : "none";
        const share = (time - flight.start) / (flight.end - flight.start);
        spark.style.display = share >= 0 && share < 1 ? "" : "none";
        if (share >= 0 && share < 1) fly(share);
      }
      const step = scene.steps[current];
      name.textContent = step ? step.name : "";
      const room = (step?.name.length ?? 0) * LETTER;
      name.setAttribute("x", String(Math.min(Math.max(at - room / 2, left), width - 8 - room)));
    },
  };
}

let serial = 0;

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
  const lanes = LANES.map((lane) => s("rect", { class: "lane", x: left, y: topOf(lane), width: width - left - 8, height: LANE, rx: 4 }));
  if (left < HEADS) {
    return [...lanes, ...LANES.map((lane) => s("text", { class: "small", x: left + 4, y: topOf(lane) - 5 }, names[lane].join(" · ")))];
  }
  const frame = s("rect", { class: "host", x: 2, y: topOf("own") - 12, width: left - 12, height: BOTTOM - topOf("own") + 20, rx: 8 });
  const seat = s("path", { class: "seat", d: `M ${left - 36} ${topOf("guest") + LANE} V ${topOf("own")} m -5 -7 l 5 7 l 5 -7` });
  const boxes = LANES.flatMap((lane) => [
    s("rect", { class: `cpu ${lane}`, x: 10, y: topOf(lane) + 2, width: left - 28, height: LANE - 4, rx: 5 }),
    s("text", { x: 18, y: topOf(lane) + 20 }, names[lane][0]),
    s("text", { class: "small", x: 18, y: topOf(lane) + 36 }, names[lane][1]),
  ]);
  return [...lanes, frame, seat, ...boxes, s("text", { class: "small", x: 10, y: BOTTOM + 21 }, "host")];
}

/**
 * @param {import("./scene.js").Span} span
 * @param {import("./axis.js").Axis} axis
 */
function spanMark(span, axis) {
  const x = axis.at(span.from);
  const width = Math.max(axis.at(span.to) - x, 1.5);
  const inset = span.kind === "hrtimer" ? LANE - 14 : 6;
  const height = span.kind === "hrtimer" ? 12 : LANE - 12;
  const fits = span.text.length * LETTER + 8 < width && span.kind !== "hrtimer";
  const calm = span.kind === "guest";
  const broken = calm && axis.gaps.some((gap) => Math.abs((axis.at(gap.from) + axis.at(gap.to)) / 2 - x - 40) < 54);
  return s(
    "g", { class: `span ${span.kind}` },
    s("rect", { x, y: topOf(span.lane) + inset, width, height, rx: 2 }),
    fits && !broken ? s("text", { x: calm ? x + 6 : x + width / 2, y: middleOf(span.lane) + 4, "text-anchor": calm ? "start" : "middle" }, span.text) : null,
    s("title", {}, `${span.title} ${((span.to - span.from) / 1000).toFixed(2)} µs`),
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
    s("path", { class: "break", d: `M ${middle - 6} ${topOf("guest") + LANE - 4} l 4 -${LANE - 8} m 8 0 l -4 ${LANE - 8}` }),
    middle - 24 > taken ? s("text", { class: "gap", x: middle, y: topOf("guest") + LANE + 14, "text-anchor": "middle" }, text) : s("g"),
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
    s("line", { class: "deadline", x1: x, x2: x, y1: 18, y2: BOTTOM }),
    s("text", { class: "deadline", x: x - 4, y: 14, "text-anchor": "end" }, "deadline"),
  ];
}

/**
 * The housekeeping CPU's own next timer: it decides whether that CPU takes another one.
 * @param {import("./story.js").Story} story
 * @param {Scene} scene
 * @param {import("./axis.js").Axis} axis
 */
function nextEventMark(story, scene, axis) {
  const y = BOTTOM - 4;
  const later = story.next > scene.end;
  const x = later ? axis.at(scene.end) - 6 : axis.at(story.next);
  return [
    s("path", { class: "next", d: `M ${x - 6} ${y} h 12 l -6 -10 z` }, s("title", {}, "The CPU's own next timer.")),
    s("text", { class: "small", x: x - 10, y: y - 1, "text-anchor": "end" }, later ? "its next timer: later →" : "its next timer"),
  ];
}

/**
 * @param {import("./scene.js").Flag} flag
 * @param {import("./axis.js").Axis} axis
 */
function flagMark(flag, axis) {
  const from = axis.at(flag.armed);
  const x = axis.at(flag.at);
  const y = topOf(flag.lane) + 12;
  const room = flag.text.length * LETTER + 10;
  const mark = s(
    "g", { class: "flag" },
    s("line", { x1: from, x2: x, y1: y, y2: y }),
    s("line", { class: "pole", x1: x, x2: x, y1: y - 12, y2: y + 14 }),
    s("path", { d: `M ${x} ${y - 12} h -14 l 4 6 l -4 6 h 14 z` }),
    x - from > room + 20 ? s("text", { x: x - 20, y: y - 3, "text-anchor": "end" }, flag.text) : null,
    s("title", {}, flag.text),
  );
  return { mark };
}

/**
 * @param {import("./scene.js").Flight} flight
 * @param {import("./axis.js").Axis} axis
 */
function flightMark(flight, axis) {
  const [x1, x2] = [axis.at(flight.start), axis.at(flight.end)];
  const [y1, y2] = [middleOf(flight.from), middleOf(flight.to)];
  const bend = (x1 + x2) / 2;
  const path = s(
    "g", { class: `flight ${flight.kind}` },
    s("path", { d: `M ${x1} ${y1} C ${bend} ${y1} ${bend} ${y2} ${x2} ${y2}` }),
    flight.kind === "refused" ? s("path", { class: "cross", d: `M ${x2 - 5} ${y2 - 17} l 10 10 m 0 -10 l -10 10` }) : null,
    s("title", {}, flight.text),
  );
  const spark = s("circle", { class: `spark ${flight.kind}`, r: 6 });
  /** @param {number} t */
  const fly = (t) => {
    const bezier = (/** @type {number[]} */ p) => (1 - t) ** 3 * p[0] + 3 * (1 - t) ** 2 * t * p[1] + 3 * (1 - t) * t * t * p[2] + t ** 3 * p[3];
    spark.setAttribute("cx", String(bezier([x1, bend, bend, x2])));
    spark.setAttribute("cy", String(bezier([y1, y1, y2, y2])));
  };
  return { path, spark, fly };
}

/**
 * A step as a dot to click.
 * @param {ShownStep} step
 * @param {number} i
 * @param {import("./axis.js").Axis} axis
 * @param {(step: number) => void} chosen
 */
function dot(step, i, axis, chosen) {
  const lane = step.where === "the guest" ? "guest" : step.where === "the vCPU's pCPU" ? "own" : "housekeeping";
  return s(
    "circle", { class: "dot", cx: axis.at(step.shown), cy: topOf(lane) + LANE, r: 5, click: () => chosen(i) },
    s("title", {}, `${step.name}: ${step.sentence}`),
  );
}
