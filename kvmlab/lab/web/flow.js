// A flow chart: questions that Python hands over, the way through them, and how it is drawn.

import { v } from "./patch.js";

/**
 * @typedef {{asks: string[], text: string[], yes: string, no: string, at: [number, number]}} Question
 * @typedef {{text: string[], says: string, exit: string | null, at: [number, number]}} End
 * @typedef {{first: string, questions: Record<string, Question>, ends: Record<string, End>,
 *   pinned: Record<string, boolean>, pinned_else: boolean}} Chart
 * @typedef {{lit: string[], maybe: string[], other: string[]}} Ways the way that is taken; the one that is taken if what
 *   no fact decides is otherwise; the one that would be taken if what the reader points at were otherwise
 */

const COLUMNS = 4;
const ROWS = 3;
const GAP = 36;
const DROP = 26;
const TALL = 46;
const LINE = 14;
/** How far before its end a line turns. */
const TURN = 9;
/** The last column holds ends only, which need a little more room. */
const WIDER = 1.25;
/** Narrower than this the chart runs from top to bottom. */
const NARROW = 430;

/**
 * Return the way through the chart: the names of the questions, then of the end.
 * @param {Chart} chart
 * @param {Record<string, boolean>} answers
 * @returns {string[]}
 */
export function walk(chart, answers) {
  const way = [chart.first];
  for (let at = chart.questions[chart.first]; at; at = chart.questions[way[way.length - 1]]) {
    way.push(at.asks.some((name) => answers[name]) ? at.yes : at.no);
  }
  return way;
}

/**
 * Draw the chart.
 * @param {Chart} chart
 * @param {number} width
 * @param {Ways} ways
 * @param {string} label
 */
export function drawFlow(chart, width, ways, label) {
  const place = places(chart, width);
  const edges = Object.entries(chart.questions).flatMap(([from, { yes, no }]) => [
    edge(place, from, yes, "yes", ways),
    edge(place, from, no, "no", ways),
  ]);
  const lines = [...edges].sort((a, b) => a.rank - b.rank).map((each) => each.line); // what is lit lies above
  const boxes = [...Object.entries(chart.questions), ...Object.entries(chart.ends)].map(([name, { text }]) => {
    const { left, y, w, h } = place(name);
    const state = ways.lit.includes(name) ? "lit" : ways.maybe.includes(name) ? "maybe" : ways.other.includes(name) ? "other" : "";
    const top = y - (text.length * LINE) / 2 + 11;
    const end = name in chart.ends;
    return v("g", { class: `box ${end ? "end" : "question"} ${end ? name : ""} ${state}` },
      v("rect", { x: left, y: y - h / 2, width: w, height: h, rx: end ? 16 : 4 }),
      ...text.map((line, i) => v("text", { x: left + w / 2, y: top + i * LINE, "text-anchor": "middle" }, line)),
      end ? v("title", {}, `${chart.ends[name].says}: ${chart.ends[name].exit ?? "no"} exit`) : null);
  });
  const height = place.height;
  return v("svg", { class: "flow", viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": label },
    ...lines, ...boxes, ...edges.map((each) => each.label));
}

/**
 * Where each box stands. In a narrow chart rows are columns.
 * @param {Chart} chart
 * @param {number} width
 */
function places(chart, width) {
  const turned = width < NARROW;
  const [columns, rows] = turned ? [ROWS, COLUMNS] : [COLUMNS, ROWS];
  const last = turned ? 1 : WIDER;
  const usual = (width - 4 - (columns - 1) * GAP) / (columns - 1 + last);
  /** @param {string} name */
  const place = (name) => {
    const [along, across] = (chart.questions[name] ?? chart.ends[name]).at;
    const [column, row] = turned ? [across, along] : [along, across];
    const left = 2 + column * (usual + GAP);
    const roomy = name in chart.ends && !turned;
    const w = usual * (roomy ? WIDER : 1);
    return { along, across, left, x: left + usual / 2, y: 2 + TALL / 2 + row * (TALL + DROP), w, h: TALL };
  };
  return Object.assign(place, { turned, height: rows * TALL + (rows - 1) * DROP + 4 });
}

/**
 * Draw the line from a question to what follows, and the answer beside it.
 * @param {ReturnType<typeof places>} place
 * @param {string} from
 * @param {string} to
 * @param {string} answer
 * @param {Ways} ways
 */
function edge(place, from, to, answer, ways) {
  const [a, b] = [place(from), place(to)];
  /** @param {string[]} way */
  const on = (way) => way.includes(from) && way[way.indexOf(from) + 1] === to;
  const state = on(ways.lit) ? "lit" : on(ways.maybe) ? "maybe" : on(ways.other) ? "other" : "";
  const onward = a.across === b.across;
  const sideways = onward !== place.turned;
  const start = sideways ? { x: a.left + a.w, y: a.y } : { x: a.x, y: a.y + a.h / 2 };
  const end = sideways ? { x: b.left, y: b.y } : { x: b.x, y: b.y - b.h / 2 };
  const bus = sideways ? `H ${end.x - TURN} V ${end.y}` : `V ${end.y - TURN} H ${end.x}`;
  const line = v("path", { class: `edge ${state}`, d: `M ${start.x} ${start.y} ${onward ? "" : bus} ${sideways ? `V ${end.y} H ${end.x - 5}` : `H ${end.x} V ${end.y - 5}`}` });
  const head = v("path", { class: `tip ${state}`, d: sideways ? `M ${end.x} ${end.y} l -7 -4 v 8 z` : `M ${end.x} ${end.y} l -4 -7 h 8 z` });
  const at = sideways ? { x: start.x + GAP / 2 - 2, y: start.y - 4, "text-anchor": "middle" } : { x: start.x + 4, y: start.y + 10, "text-anchor": "start" };
  return { rank: ["", "other", "maybe", "lit"].indexOf(state), line: v("g", {}, line, head), label: v("text", { class: `answer ${state}`, ...at }, answer) };
}
