// The decision: a flow chart lit by the facts, each revision's predicate, and all 32 inputs (unless told not); linked to one another.

import { h, write } from "./dom.js";
import { drawFlow, walk } from "./flow.js";
import { group, patch, v } from "./patch.js";
import { answer, hangsOn, indexOf, predicate } from "./predicate.js";

/**
 * @typedef {import("./predicate.js").PolicyData} PolicyData
 * @typedef {import("./world.js").Settings} Settings
 * @typedef {import("./patch.js").Shapes} Shapes
 * @typedef {{name: string, element: HTMLElement, radio: HTMLInputElement, said: HTMLElement, then: HTMLElement,
 *   cells: HTMLElement, holds: string, drawn: (cell: number, policy: PolicyData, hvTimer: boolean) => Shapes}} Row `holds`:
 *   which terms are shown as true; `drawn`: the shapes of its 32 answers
 */

const INPUTS = 32;
const BAND = 13;
const CELL_HEIGHT = 20;
/** What the controls take of the width, with the gap. */
const SIDE = 222;
const NARROW = 624;
const NAMES = 118;
const NO_POST = "hrtimer, not posted";

let serial = 0;

/**
 * Build the decision.
 * @param {import("./panel.js").Panel} panel
 * @returns {import("./panel.js").View}
 */
export function decision(panel) {
  const { facts, decision: chart } = panel.tools.data;
  const withTable = panel.spec.options?.table ?? true;
  const radios = `kvmlab-revision-${(serial += 1)}`;
  const flow = h("div", { class: "picture chart" });
  const bands = h("div", { class: "bands", tabindex: 0, role: "slider", "aria-label": "which of the 32 inputs", "aria-valuemin": 0, "aria-valuemax": INPUTS - 1, click: clicked });
  const names = h("div", { class: "names", "aria-hidden": "true" }, ...facts.map((fact) => h("span", {}, fact)));
  const hint = h("p", { class: "hint" });
  const table = h("div", { class: "truth", role: "group", "aria-label": withTable ? "the predicates and all 32 inputs" : "the predicates" });
  let rows = /** @type {Row[]} */ ([]);
  let settings = /** @type {Settings} */ ({});
  let pointed = /** @type {{name: string, term: number} | null} */ (null);
  let hinted = "";
  let cell = 0;
  const ground = kept((/** @type {number} */ size) => drawBands(facts, size));

  const chosen = () => (String(settings.revision) in panel.policies() ? String(settings.revision) : Object.keys(panel.policies())[0]);
  /** @param {MouseEvent} event in a column */
  function clicked(event) {
    const left = /** @type {Element} */ (event.currentTarget).getBoundingClientRect().left;
    choose(position(facts, Math.min(Math.max(Math.floor((event.clientX - left) / cell), 0), INPUTS - 1)));
  }
  /** @param {number} index */
  const choose = (index) => panel.moved(Object.fromEntries(facts.map((name, i) => [name, answer(index, i)])));

  /** @param {string} name */
  const answers = (name) => ({
    ...Object.fromEntries([...facts, "hv_timer"].map((fact) => [fact, Boolean(settings[fact])])),
    can_post: answer(panel.policies()[name].bits, indexOf(facts, settings)),
    pinned: chart.pinned[name] ?? chart.pinned_else,
    door: true,
  });

  /** What hangs on the term that the reader points at: true by index. */
  const hanging = () => (pointed && panel.policies()[pointed.name] ? hangsOn(panel.policies()[pointed.name], pointed.term) : []);

  /** Draw all that depends on where the reader points. */
  function redraw() {
    const width = Math.max(300, panel.width());
    const now = answers(chosen());
    const index = indexOf(facts, settings);
    const hangs = hanging();
    const turned = pointed?.name === chosen() && hangs[index] ? walk(chart, { ...now, can_post: !now.can_post }) : [];
    const ways = { lit: walk(chart, now), maybe: walk(chart, { ...now, door: false }), other: turned };
    patch(flow, [drawFlow(chart, width < NARROW ? width : width - SIDE, ways, sentence(panel, settings, chosen(), ways.lit))]);
    if (withTable) redrawTable(width, index, hangs);
  }

  /**
   * Draw the 32 inputs, and the answers to each.
   * @param {number} width
   * @param {number} index
   * @param {boolean[]} hangs
   */
  function redrawTable(width, index, hangs) {
    cell = Math.max(6, Math.min(14, Math.floor((width < NARROW ? width - NAMES : width - 430) / INPUTS)));
    const at = position(facts, index);
    const height = facts.length * BAND;
    const frame = v("path", { class: "frame", d: `M ${at * cell} ${height} V 0.5 h ${cell} V ${height}` });
    patch(bands, [v("svg", { width: INPUTS * cell, height, "aria-hidden": "true" }, group(ground(cell)), frame)]);
    for (const row of rows) {
      const policy = panel.policies()[row.name];
      const shapes = row.drawn(cell, policy, Boolean(settings.hv_timer));
      patch(row.cells, [drawCells(row.name, policy, shapes, facts, cell, index, Boolean(settings.hv_timer), pointed?.name === row.name ? hangs : [])]);
    }
    const hints = pointed ? `${pointed.name} ${pointed.term} ${index}` : "legend";
    if (hints !== hinted) hint.replaceChildren(...(pointed ? [pointedAt(panel.policies()[pointed.name], pointed, hangs, index)] : legend()));
    hinted = hints;
  }

  /** @param {{name: string, term: number} | null} at */
  function point(at) {
    pointed = at;
    redraw();
  }

  /** @param {string} name @returns {Row} */
  function makeRow(name) {
    const radio = h("input", { type: "radio", name: radios, "aria-label": `${name}: show its way`, change: () => panel.moved({ revision: name }) });
    const said = h("span", { class: "said" });
    const then = h("span", { class: "follows" });
    const cells = h("div", { class: "cells", click: clicked });
    const own = name === panel.policy?.name ? " (yours)" : "";
    const label = h("label", {}, radio, h("b", {}, name + own), then);
    const drawn = kept((/** @type {number} */ size, /** @type {PolicyData} */ policy, /** @type {boolean} */ hvTimer) => drawAnswers(policy, facts, size, hvTimer));
    return { name, radio, said, then, cells, drawn, holds: "", element: h("div", { class: "revision" }, label, said, withTable ? cells : null) };
  }

  /** @param {Row} row @param {PolicyData} policy @param {number} index */
  function sayTerms(row, policy, index) {
    const holds = policy.terms.map(({ text, bits }) => `${answer(bits, index)} ${text}`).join();
    if (holds === row.holds) return;
    row.holds = holds;
    const { name } = row;
    row.said.replaceChildren(predicate(policy, index, (term) => ({
      tabindex: 0, mouseenter: () => point({ name, term }), mouseleave: () => point(null), focus: () => point({ name, term }), blur: () => point(null),
    })));
  }

  return {
    world: "facts",
    first: [...facts, "hv_timer"],
    only: [...facts, "hv_timer"],
    body: [flow, table],
    update(given) {
      settings = given;
      const policies = panel.policies();
      if (Object.keys(policies).join() !== rows.map((row) => row.name).join()) {
        rows = Object.keys(policies).map(makeRow);
        table.replaceChildren(...(withTable ? [h("div", { class: "inputs" }, hint, names, bands)] : []), ...rows.map((row) => row.element));
        pointed = null;
      }
      const index = indexOf(facts, settings);
      for (const row of rows) {
        const { name, radio, then, element } = row;
        radio.checked = name === chosen();
        element.classList.toggle("chosen", radio.checked);
        sayTerms(row, policies[name], index);
        write(then, `→ ${follows(policies[name], index, Boolean(settings.hv_timer))}`);
      }
      bands.setAttribute("aria-valuenow", String(position(facts, index)));
      bands.setAttribute("aria-valuetext", inputText(facts, index));
      redraw();
      return sentence(panel, settings, chosen(), walk(chart, answers(chosen())));
    },
    resize: redraw,
    key(event) {
      const by = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 }[event.key];
      if (event.target !== bands || !by) return false;
      const next = (position(facts, indexOf(facts, panel.settings)) + by + INPUTS) % INPUTS;
      choose(position(facts, next));
      return true;
    },
    state: () => ({ way: walk(chart, answers(chosen())), pointed, hanging: hanging() }),
  };
}

/**
 * Where an input stands: the first fact halves the table, the next halves the halves. It is its own inverse.
 * @param {string[]} facts
 * @param {number} index
 */
const position = (facts, index) => facts.reduce((sum, _, i) => sum + (answer(index, i) ? 2 ** (facts.length - 1 - i) : 0), 0);

/**
 * Return an input in words.
 * @param {string[]} facts
 * @param {number} index
 */
const inputText = (facts, index) => facts.map((fact, i) => (answer(index, i) ? fact : `!${fact}`)).join(", ");

/**
 * What follows from a policy's answer.
 * @param {PolicyData} policy
 * @param {number} index
 * @param {boolean} hvTimer
 */
const follows = (policy, index, hvTimer) =>
  answer(policy.bits, index) ? "may be posted" : hvTimer && answer(policy.hv, index) ? "preemption timer" : NO_POST;

/**
 * Say where the way of a revision ends.
 * @param {import("./panel.js").Panel} panel
 * @param {Settings} settings
 * @param {string} name
 * @param {string[]} way
 */
function sentence(panel, settings, name, way) {
  const { decision: chart } = panel.tools.data;
  const end = chart.ends[way[way.length - 1]];
  const exit = end.exit ? `${/^[AEIOU]/.test(end.exit) ? "an" : "a"} ${end.exit} exit` : "no exit";
  const door = way.includes("door") ? " It stays local unless another timer comes first there." : "";
  return `${name}: ${end.says}; ${exit}.${door}`;
}

/** What the shapes of the cells mean. */
function legend() {
  /** @param {string} kind @param {string} text */
  const key = (kind, text) => {
    const mark = h("span", { "aria-hidden": "true" });
    patch(mark, [v("svg", { width: 12, height: 14 }, shape(kind, 0, 12, 14))]);
    return h("span", {}, mark, ` ${text}`);
  };
  return [key("posted", "may be posted"), key("hv", "preemption timer"), key("none", NO_POST), h("span", {}, "Point at a term; click a cell.")];
}

/**
 * Say what hangs on a term.
 * @param {PolicyData} policy
 * @param {{name: string, term: number}} pointed
 * @param {boolean[]} hangs
 * @param {number} index
 */
function pointedAt(policy, { name, term }, hangs, index) {
  const here = !hangs[index] ? "but not this one: another term is false" : `this one, too: it would be ${answer(policy.bits, index) ? "no" : "yes"}`;
  return h("span", {}, h("code", {}, policy.terms[term].text), ` decides ${hangs.filter(Boolean).length} of ${INPUTS} answers of ${name} (framed), ${here}.`);
}

/**
 * The shape of one answer.
 * @param {string} kind "posted", "hv" or "none"
 * @param {number} x
 * @param {number} size
 * @param {number} height
 */
function shape(kind, x, size, height) {
  const w = Math.max(size - 2, 3);
  if (kind === "posted") return v("rect", { class: "cell posted", x: x + 1, y: 1, width: w, height: height - 2 });
  if (kind === "hv") return v("rect", { class: "cell hv", x: x + 1, y: height / 2 + 1, width: w, height: height / 2 - 2 });
  return v("rect", { class: "cell none", x: x + 1, y: height - 4, width: w, height: 2 });
}

/**
 * Return a function that works out the shapes of some arguments; of the same ones as the last time it hands over the same.
 * @template {unknown[]} A
 * @param {(...given: A) => Shapes} draw
 * @returns {(...given: A) => Shapes}
 */
function kept(draw) {
  let last = /** @type {A | null} */ (null);
  let shapes = /** @type {Shapes} */ ([]);
  return (...given) => {
    if (!last?.every((each, i) => each === given[i])) shapes = draw(...given);
    last = given;
    return shapes;
  };
}

/**
 * Which fact is true in which column.
 * @param {string[]} facts
 * @param {number} cell
 * @returns {Shapes}
 */
function drawBands(facts, cell) {
  const bars = facts.flatMap((_, i) =>
    Array.from({ length: INPUTS }, (__, column) => column)
      .filter((column) => answer(position(facts, column), i))
      .map((column) => v("rect", { class: "band", x: column * cell, y: i * BAND + 2, width: cell, height: BAND - 4 })));
  return [v("rect", { class: "ground", width: INPUTS * cell, height: facts.length * BAND }), ...bars];
}

/**
 * Return the stretches that are true.
 * @param {boolean[]} list
 */
export function runs(list) {
  const found = /** @type {{from: number, to: number}[]} */ ([]);
  list.forEach((each, i) => {
    if (!each) return;
    if (i > 0 && list[i - 1]) found[found.length - 1].to = i + 1;
    else found.push({ from: i, to: i + 1 });
  });
  return found;
}

/**
 * All 32 answers of one revision.
 * @param {PolicyData} policy
 * @param {string[]} facts
 * @param {number} cell
 * @param {boolean} hvTimer
 * @returns {Shapes}
 */
function drawAnswers(policy, facts, cell, hvTimer) {
  const cells = Array.from({ length: INPUTS }, (_, column) => {
    const input = position(facts, column);
    const kind = answer(policy.bits, input) ? "posted" : hvTimer && answer(policy.hv, input) ? "hv" : "none";
    return v("g", {}, shape(kind, column * cell, cell, CELL_HEIGHT), v("title", {}, `${inputText(facts, input)}: ${follows(policy, input, hvTimer)}`));
  });
  return [v("rect", { class: "ground", width: INPUTS * cell, height: CELL_HEIGHT }), ...cells];
}

/**
 * The answers of one revision, those that hang on a term framed, and where the reader is.
 * @param {string} name
 * @param {PolicyData} policy
 * @param {Shapes} answers
 * @param {string[]} facts
 * @param {number} cell
 * @param {number} index
 * @param {boolean} hvTimer
 * @param {boolean[]} hangs
 */
function drawCells(name, policy, answers, facts, cell, index, hvTimer, hangs) {
  const at = position(facts, index);
  const rings = runs(Array.from({ length: INPUTS }, (_, column) => Boolean(hangs[position(facts, column)]))).map(({ from, to }) =>
    v("rect", { class: "ring", x: from * cell + 1, y: 1, width: (to - from) * cell - 2, height: CELL_HEIGHT - 2 }));
  const posting = Array.from({ length: INPUTS }, (_, i) => i).filter((i) => answer(policy.bits, i)).length;
  const label = `${name} may be posted for ${posting} of ${INPUTS} inputs; here: ${follows(policy, index, hvTimer)}`;
  return v("svg", { width: INPUTS * cell, height: CELL_HEIGHT, role: "img", "aria-label": label },
    group(answers), group(rings),
    v("path", { class: "frame", d: `M ${at * cell} 0 V ${CELL_HEIGHT} m ${cell} 0 V 0` }));
}
