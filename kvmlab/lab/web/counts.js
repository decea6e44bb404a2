// Counts and jitter: one row per revision, one column per question. Axes only grow; a ghost shows the state before.

import { h } from "./dom.js";
import { simulateEach } from "./figures.js";
import { patch, v } from "./patch.js";

/**
 * @typedef {import("./figures.js").Figures} Figures
 * @typedef {import("./patch.js").Shapes} Shapes
 * @typedef {{x: number, width: number}} Box
 * @typedef {{title: string, short?: string, unit: string, weight: number, draw: (figures: Figures, box: Box, y: number, limit: number) => Shapes,
 *   value: (figures: Figures) => number, least: number, axis?: (box: Box) => Shapes}} Column
 */

const ROW = 40;
const BAR = 20;
const HEAD = 46;
/** What the rows' names take at least, and at most so many letters of them. */
const HEADS = 74;
const NAME = 10;
const BOLD = 7.8;
const NARROW = 560;
const LETTER = 7.2;
/** Names of reasons are in capitals. */
const CAPITAL = 8;
const LOWEST_US = 0.1;
const HIGHEST_US = 1000;
/** A narrower log scale has every second label. */
const DECADES = 160;

const whole = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });
/** @param {number} value */
const number = (value) => (Number.isNaN(value) ? "none" : value >= 10 ? whole.format(Math.round(value)) : value === 0 ? "0" : value.toPrecision(2));
/** @param {number} ns */
const us = (ns) => (Number.isNaN(ns) ? "none" : ns >= 1e5 ? (ns / 1000).toFixed(0) : ns >= 1e4 ? (ns / 1000).toFixed(1) : (ns / 1000).toFixed(2));

/**
 * Build the chart.
 * @param {import("./panel.js").Panel} panel
 * @returns {import("./panel.js").View}
 */
export function counts(panel) {
  const { data } = panel.tools;
  const options = panel.spec.options ?? {};
  const names = /** @type {string[]} */ (options.columns ?? ["exits", "latency", "taken"]);
  const columns = names.map((name) => COLUMNS(data)[name]);
  const withReasons = names.includes("exits");
  const limits = columns.map((column) => column.least);
  const picture = h("div", { class: "picture" });
  const legend = h("p", { class: "legend" });
  let shown = /** @type {Figures[]} */ ([]);
  let before = /** @type {Figures[]} */ ([]);
  let explained = "";

  function showReasons() {
    const reasons = reasonsOf(data, shown);
    if (reasons.join() === explained) return;
    explained = reasons.join();
    const marks = names.includes("latency") ? [h("span", {}, "in the latency, strokes: median and p99; dotted: maximum")] : [];
    legend.replaceChildren(...reasons.map((reason) => h("span", {}, h("i", { class: `key ${reason}` }), reason)), ...marks);
  }

  function redraw() {
    columns.forEach((column, i) => {
      limits[i] = Math.max(limits[i], nice(1.02 * Math.max(...shown.map(column.value).filter((value) => !Number.isNaN(value)), 0)));
    });
    patch(picture, [chart(columns, limits, shown, before, Math.max(300, panel.width()))]);
    if (withReasons) showReasons();
  }

  return {
    world: "host",
    first: options.first ?? ["tick_hz", "vcpus", "hlt_in_guest"],
    only: options.controls,
    body: [picture, legend],
    update(settings) {
      const last = shown;
      shown = simulateEach(panel.tools, settings, panel.policies());
      before = last.length === shown.length ? last : [];
      redraw();
      return say(shown, before, names.includes("latency"));
    },
    resize: redraw,
    state: () => ({ figures: shown }),
  };
}

/**
 * Say what has changed, and what is.
 * @param {Figures[]} shown
 * @param {Figures[]} before
 * @param {boolean} latency is shown, too
 */
function say(shown, before, latency) {
  const parts = shown.map((now, i) => {
    const was = before[i];
    const moved = was && number(was.total) !== number(now.total);
    return `${now.name} ${moved ? `from ${number(was.total)} to ` : ""}${number(now.total)}`;
  });
  const late = shown.map((now) => `${now.name} ${us(now.p99)}`);
  const p99 = latency ? ` How late 99 of 100 timer interrupts are at most (p99), in µs: ${late.join(", ")}.` : "";
  return `VM exits per vCPU per second: ${parts.join(", ")}.${p99} Simulated for ${(shown[0].duration / 1e9).toPrecision(2)} s.`;
}

/**
 * Return the next round number that is not below a value.
 * @param {number} value
 */
function nice(value) {
  if (value <= 0) return 0;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10].map((step) => step * power).find((step) => step >= value * (1 - 1e-12)) ?? value;
}

/**
 * @param {Column[]} columns
 * @param {number[]} limits
 * @param {Figures[]} shown
 * @param {Figures[]} before
 * @param {number} width
 */
function chart(columns, limits, shown, before, width) {
  const stacked = width < NARROW;
  const heads = Math.max(HEADS, 12 + BOLD * Math.min(NAME, Math.max(...shown.map(({ name }) => name.length))));
  const room = width - heads - 6;
  const sum = columns.reduce((total, column) => total + column.weight, 0);
  const tall = HEAD + shown.length * ROW + 8;
  let x = heads;
  const parts = columns.map((column, i) => {
    const box = stacked ? { x: heads, width: room - 10 } : { x, width: (room * column.weight) / sum - 16 };
    x += (room * column.weight) / sum;
    const y = stacked ? i * tall : 0;
    const rows = shown.flatMap((figures, row) => [
      ...(stacked || i === 0 ? [rowHead(figures.name, heads - 8, y + HEAD + row * ROW)] : []),
      ghost(column, before[row], figures, box, y + HEAD + row * ROW, limits[i]),
      ...column.draw(figures, box, y + HEAD + row * ROW, limits[i]),
    ]);
    return v("g", {}, ...columnHead(column, box, y, limits[i], shown.length), ...rows);
  });
  const height = stacked ? tall * columns.length : tall;
  const alt = `${columns.map((column) => column.title).join("; ")}. ${say(shown, [], columns.some((column) => column.axis))}`;
  return v("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": alt }, ...parts);
}

/**
 * @param {string} name
 * @param {number} x where it ends
 * @param {number} y
 */
function rowHead(name, x, y) {
  const short = name.length > NAME ? `${name.slice(0, NAME - 1)}…` : name;
  return v("text", { class: "row", x, y: y + BAR / 2 + 9, "text-anchor": "end" }, short, v("title", {}, name));
}

/**
 * @param {Column} column
 * @param {Box} box
 * @param {number} y
 * @param {number} limit
 * @param {number} rows
 */
function columnHead(column, box, y, limit, rows) {
  const end = y + HEAD + rows * ROW;
  const axis = column.axis ? column.axis({ ...box }) : [0, 0.5, 1].map((share) => mark(box.x + share * box.width, number(share * limit), share));
  return [
    v("text", { class: "title", x: box.x, y: y + 14 }, column.short && column.title.length * 8 > box.width ? column.short : column.title),
    v("text", { class: "small", x: box.x + box.width, y: y + 14, "text-anchor": "end" }, column.unit.length * 6 + column.title.length * 8 < box.width ? column.unit : ""),
    v("line", { class: "axis", x1: box.x, x2: box.x, y1: y + HEAD - 6, y2: end }),
    v("g", { transform: `translate(0 ${y + HEAD - 10})` }, ...axis),
  ];
}

/**
 * @param {number} x
 * @param {string} text
 * @param {number} share 0 to 1: where on the axis
 */
function mark(x, text, share) {
  return v("text", { class: "tick", x, y: 0, "text-anchor": share === 0 ? "start" : share === 1 ? "end" : "middle" }, text);
}

/**
 * Where the bar ended before.
 * @param {Column} column
 * @param {Figures | undefined} was
 * @param {Figures} now
 * @param {Box} box
 * @param {number} y
 * @param {number} limit
 */
function ghost(column, was, now, box, y, limit) {
  if (!was || column.axis || Math.abs(column.value(was) - column.value(now)) < limit / 400) return null;
  const width = (column.value(was) / limit) * box.width;
  return v("rect", { class: "ghost", x: box.x, y: y + 4, width: Math.max(width, 1), height: BAR + 8 });
}

/**
 * A plain bar with its value.
 * @param {(figures: Figures) => number} value
 * @param {(value: number) => string} text
 * @returns {Column["draw"]}
 */
const bar = (value, text) => (figures, box, y, limit) => {
  const length = (value(figures) / limit) * box.width;
  return [
    v("rect", { class: `bar ${figures.name}`, x: box.x, y: y + 8, width: Math.max(0, length), height: BAR }),
    label(text(value(figures)), box, length, y),
  ];
};

/**
 * Whether a value at the end of its bar stands inside: where there is no room outside, but in the bar.
 * @param {string} text
 * @param {Box} box
 * @param {number} length
 */
const isInside = (text, box, length) => length + roomOf(text) > box.width && length >= roomOf(text);
/** @param {string} text */
const roomOf = (text) => text.length * LETTER + 8;

/**
 * A value at the end of its bar.
 * @param {string} text
 * @param {Box} box
 * @param {number} length
 * @param {number} y
 * @param {string} [kind]
 */
function label(text, box, length, y, kind = "") {
  const inside = isInside(text, box, length);
  return v("text", { class: inside ? `value inside ${kind}` : "value", x: box.x + length + (inside ? -6 : 5), y: y + 23, "text-anchor": inside ? "end" : "start" }, text);
}

/**
 * Every column by its name.
 * @param {import("./main.js").Data} data
 * @returns {Record<string, Column>}
 */
const COLUMNS = (data) => ({
  exits: {
    title: "VM exits", unit: "per vCPU per second", weight: 5, least: 1, value: (figures) => figures.total,
    draw: (figures, box, y, limit) => stack(figures, box, y, limit, data),
  },
  latency: {
    title: "latency of the timer", short: "latency", unit: "µs, log scale", weight: 4, least: 1, value: (figures) => figures.p99 / 1000,
    axis: (box) => (box.width < DECADES ? [0.1, 10, 1000] : [0.1, 1, 10, 100, 1000]).map((value, i, all) => mark(logX(value, box), String(value), i / (all.length - 1))),
    draw: (figures, box, y) => ridge(figures, box, y, data),
  },
  taken: {
    title: "time lost", unit: "per mille", weight: 2.2, least: 1, value: (figures) => 1000 * figures.taken,
    draw: bar((figures) => 1000 * figures.taken, (value) => `${number(value)} ‰`),
  },
  gap: {
    title: "longest gap", short: "gap", unit: "µs", weight: 2.2, least: 1, value: (figures) => figures.gap / 1000,
    draw: bar((figures) => figures.gap / 1000, (value) => `${number(value)} µs`),
  },
  places: {
    title: "who fired", unit: "share of expiries, %", weight: 5, least: 100, value: () => 0,
    draw: (figures, box, y) => shares(figures, box, y, data),
  },
  load: {
    title: "busiest housekeeping CPU", short: "busiest CPU", unit: "% of its time on guests' timers", weight: 3.4, least: 1,
    value: (figures) => 100 * busiest(figures).share,
    draw: bar((figures) => 100 * busiest(figures).share, (value) => `${number(value)} %`),
  },
});

/** @param {Figures} figures */
const busiest = (figures) => figures.load.reduce((most, cpu) => (cpu.share > most.share ? cpu : most), { cpu: -1, share: 0, queue: 0 });

/**
 * Exits by reason, end to end.
 * @param {Figures} figures
 * @param {Box} box
 * @param {number} y
 * @param {number} limit
 * @param {import("./main.js").Data} data
 */
function stack(figures, box, y, limit, data) {
  const total = number(figures.total);
  const length = (figures.total / limit) * box.width;
  const free = box.x + length - (isInside(total, box, length) ? roomOf(total) : 0); // for the names of reasons
  let x = box.x;
  const parts = data.reasons.flatMap((reason) => {
    const rate = figures.exits.find((exit) => exit.reason === reason)?.rate ?? 0;
    const width = (rate / limit) * box.width;
    if (width < 0.3) return [null];
    const segment = v("g", { class: `span ${reason}` },
      v("rect", { x, y: y + 8, width, height: BAR }),
      Math.min(width, free - x) > reason.length * CAPITAL + 6 ? v("text", { x: x + Math.min(width, free - x) / 2, y: y + 22, "text-anchor": "middle" }, reason) : null,
      v("title", {}, `${reason}: ${number(rate)} per vCPU per second`));
    x += width;
    return [segment];
  });
  return [...parts, label(total, box, length, y, "total")];
}

/**
 * The reasons that occur.
 * @param {import("./main.js").Data} data
 * @param {Figures[]} shown
 */
const reasonsOf = (data, shown) =>
  data.reasons.filter((reason) => shown.some((figures) => figures.exits.some((exit) => exit.reason === reason && exit.rate > 0)));

/**
 * @param {number} value us
 * @param {Box} box
 */
function logX(value, box) {
  const share = Math.log(Math.max(value, LOWEST_US) / LOWEST_US) / Math.log(HIGHEST_US / LOWEST_US);
  return box.x + Math.min(share, 1) * box.width;
}

/**
 * The distribution of latencies, with its middle, its 99th percentile and its maximum.
 * @param {Figures} figures
 * @param {Box} box
 * @param {number} y
 * @param {import("./main.js").Data} data
 */
function ridge(figures, box, y, data) {
  if (figures.latencies === 0) return [v("text", { class: "value", x: box.x + 4, y: y + 23 }, "no timer interrupt")];
  const cells = Math.max(20, Math.floor(box.width / 5));
  const heights = new Array(cells + 1).fill(0);
  figures.bins.forEach((n, i) => {
    if (n > 0) heights[Math.floor(((logX(data.binMiddles[i] / 1000, box) - box.x) / box.width) * cells)] += n;
  });
  const top = Math.max(...heights);
  const floor = y + 32;
  const hills = heights.map((n, i) => (n > 0 ? `M ${box.x + (i / cells) * box.width} ${floor} v ${-1 - 25 * Math.sqrt(n / top)} h ${box.width / cells} V ${floor} Z` : "")).join(" ");
  /** @param {number} ns @param {string} name */
  const point = (ns, name) => {
    const x = logX(ns / 1000, box);
    return v("g", { class: `mark ${name}` }, v("line", { x1: x, x2: x, y1: floor - (name === "max" ? 8 : 20), y2: floor + 3 }), v("title", {}, `${name}: ${us(ns)} µs`));
  };
  const text = `p99 ${us(figures.p99)}`;
  const x = logX(figures.p99 / 1000, box);
  const left = x + 8 + text.length * LETTER > box.x + box.width;
  return [
    v("path", { class: `hill ${figures.name}`, d: hills }),
    point(figures.p50, "p50"), point(figures.p99, "p99"), point(figures.max, "max"),
    v("text", { class: "value", x: x + (left ? -6 : 6), y: y + 15, "text-anchor": left ? "end" : "start" }, text),
  ];
}

/**
 * Who fired, as shares end to end.
 * @param {Figures} figures
 * @param {Box} box
 * @param {number} y
 * @param {import("./main.js").Data} data
 */
function shares(figures, box, y, data) {
  let x = box.x;
  return figures.places.flatMap((share, i) => {
    const width = share * box.width;
    if (width < 0.3) return [null];
    const text = `${data.names.places[i]} ${Math.round(100 * share)} %`;
    const segment = v("g", { class: `place place${i}` },
      v("rect", { x, y: y + 8, width, height: BAR }),
      width > text.length * LETTER + 6 ? v("text", { x: x + width / 2, y: y + 22, "text-anchor": "middle" }, text) : null,
      v("title", {}, text));
    x += width;
    return [segment];
  });
}
