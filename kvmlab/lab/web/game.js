// You are KVM: see the facts, decide who fires the timer, see what that costs, and whom; at the end the score.

import { h } from "./dom.js";
import { drawCase, time } from "./gamescene.js";
import { extra, playRound, scores } from "./rounds.js";
import { defaults } from "./world.js";

/**
 * @typedef {import("./rounds.js").Outcome} Outcome
 * @typedef {import("./rounds.js").Round} Round
 * @typedef {{choices: import("./rounds.js").Choice[], cases: import("./rounds.js").Case[], draws: number[][]}} Options
 */

const YOU = "you";
/** @param {number} ns */
const us = (ns) => (ns / 1000).toFixed(2);

/**
 * Build the game.
 * @param {import("./panel.js").Panel} panel
 * @returns {import("./panel.js").View}
 */
export function game(panel) {
  const options = /** @type {Options} */ (panel.spec.options);
  let seed = NaN;
  let chosen = /** @type {number[]} */ ([]);
  let rounds = /** @type {Round[]} */ ([]);
  let at = 0;
  let policy = panel.policy;
  const head = h("p", { class: "question" });
  const picture = h("div", { class: "picture" });
  const facts = h("ul", { class: "facts", "aria-label": "the facts" });
  const buttons = options.choices.map(({ name }, i) => h("button", { type: "button", click: () => choose(i) }, h("kbd", {}, String(i + 1)), ` ${name}`));
  const choices = h("div", { class: "actions", role: "group", "aria-label": "who fires it?" }, ...buttons);
  const result = h("div", { class: "result" });
  const next = h("button", { type: "button", class: "play", click: go }, "next");
  const scene = h("div", { class: "scene" }, picture, facts);

  const decided = () => chosen.length > at;
  const over = () => at >= options.draws[seed].length;

  /** @param {number} i */
  function choose(i) {
    if (decided() || over()) return;
    chosen.push(i);
    panel.draw();
    next.focus({ preventScroll: true });
  }

  function go() {
    if (over()) return start();
    at += 1;
    if (over()) panel.answer({ seed, score: handed(scores(rounds, chosen, YOU)) });
    panel.draw();
    (over() ? next : buttons[0]).focus({ preventScroll: true });
  }

  function start() {
    [chosen, rounds, at] = [[], [], 0];
    panel.draw();
    buttons[0].focus({ preventScroll: true });
  }

  /** The round that is on, played by the model when it is first needed. */
  function current() {
    const { guest, settings } = options.cases[options.draws[seed][at]];
    const all = { ...defaults(panel.tools.data.worlds.timer), ...settings };
    rounds[at] ??= playRound(panel.tools, { guest, settings: all }, options.choices, panel.policies());
    return rounds[at];
  }

  function redraw() {
    if (over()) return;
    const { case: shown } = current();
    picture.replaceChildren(drawCase(shown, decided() ? current().choices[chosen[at]] : null, Math.max(300, Math.min(panel.width() - (panel.width() > 620 ? 216 : 0), 720))));
  }

  return {
    world: "game",
    first: ["seed"],
    body: [head, scene, choices, h("div", { class: "actions" }, next), result],
    update(settings) {
      if (settings.seed !== seed || panel.policy !== policy) [seed, policy, chosen, rounds, at] = [Number(settings.seed), panel.policy, [], [], 0];
      const ended = over();
      scene.hidden = ended;
      choices.hidden = ended || decided();
      next.hidden = !ended && !decided();
      next.textContent = ended ? "play again" : at + 1 === options.draws[seed].length ? "the score" : "next";
      if (ended) return end();
      const round = current();
      const question = `${round.case.guest} sets its timer, ${time(Number(round.case.settings.deadline_ns))} from now. Who fires it?`;
      head.textContent = `Round ${at + 1} of ${options.draws[seed].length}: ${decided() ? verdict(round, chosen[at], options) : question}`;
      facts.replaceChildren(...factsOf(round.case.settings, panel));
      redraw();
      result.replaceChildren(...(decided() ? [roundTable(round, chosen[at], options)] : []));
      return decided() ? said(round, chosen[at], options) : "You are KVM: decide who fires it.";
    },
    resize: redraw,
    key(event) {
      const i = ["1", "2", "3"].indexOf(event.key);
      if (i < 0 || event.ctrlKey || event.altKey || event.metaKey || event.target instanceof HTMLInputElement) return false;
      choose(i);
      return true;
    },
    state: () => ({ seed, at, chosen, rounds }),
  };

  function end() {
    const all = scores(rounds, chosen, YOU);
    head.textContent = `Seed ${seed}: the score of ${rounds.length} rounds`;
    result.replaceChildren(scoreTable(all));
    const [you, ...others] = all;
    const better = others.filter((other) => other.extra < you.extra).map(({ who }) => who);
    return `Your guests lost ${us(you.extra)} µs more than they had to. ${better.length ? `Better: ${better.join(", ")}.` : "No revision did better."}`;
  }
}

/**
 * The five facts, whether they hold, and the preemption timer.
 * @param {import("./world.js").Settings} settings
 * @param {import("./panel.js").Panel} panel
 */
function factsOf(settings, panel) {
  const known = { ...settings, housekeeping_cpu: settings.pcpu === "housekeeping" };
  const each = /** @type {[string, unknown][]} */ (panel.tools.data.facts.map((name) => [name, /** @type {any} */ (known)[name]]));
  return [...each, ["the CPU has a preemption timer", settings.hv_timer]].map(([name, holds]) =>
    h("li", { class: holds ? "true" : "false" }, h("span", { "aria-hidden": "true" }, holds ? "✓ " : "✗ "), h("code", {}, String(name)), h("span", { class: "hidden" }, holds ? ": yes" : ": no")));
}

/**
 * @param {Round} round
 * @param {number} choice
 * @param {Options} options
 */
function verdict(round, choice, options) {
  const more = extra(round, round.choices[choice]);
  if (more === 0) return `nothing would have cost ${round.case.guest} less`;
  const best = options.choices.filter((_, i) => extra(round, round.choices[i]) === 0).map(({ phrase }) => phrase);
  return `${round.case.guest} lost ${us(more)} µs more than with ${best.join(" or ")}`;
}

/**
 * @param {Round} round
 * @param {number} choice
 * @param {Options} options
 */
function said(round, choice, options) {
  const mine = round.choices[choice];
  const tried = mine.by !== choice && mine.why ? `${mine.why} ` : "";
  return `You: ${verdict(round, choice, options)}. ${tried}${mine.summary[0].toUpperCase()}${mine.summary.slice(1)}`;
}

/**
 * What happened under the reader's choice, and under each policy.
 * @param {Round} round
 * @param {number} choice
 * @param {Options} options
 */
function roundTable(round, choice, options) {
  const rows = [{ ...round.choices[choice], who: YOU }, ...together(round.policies)];
  const most = Math.max(...rows.map((each) => extra(round, each)), 1);
  return table(["", "fired by", "guest lost", "handler late", "house\u00ADkeeping CPU"], rows.map((each) => [
    each.who, `${each.by === null ? "nobody" : options.choices[each.by].name}: ${each.exit ? `${each.exit.replace("_", "_\u200B")} exit` : "no exit"}`, bar(each.lost, extra(round, each) / most),
    each.late === null ? "" : us(each.late), us(each.housekeeping)]), "times in µs");
}

/**
 * One row for all policies under which the same happened.
 * @param {Outcome[]} outcomes
 */
function together(outcomes) {
  const rows = /** @type {Outcome[]} */ ([]);
  for (const outcome of outcomes) {
    const same = rows.find((row) => ["by", "exit", "lost", "late", "housekeeping"].every((key) => /** @type {any} */ (row)[key] === /** @type {any} */ (outcome)[key]));
    if (same) same.who += `, ${outcome.who}`;
    else rows.push({ ...outcome });
  }
  return rows;
}

/** @param {import("./rounds.js").Score[]} all */
function scoreTable(all) {
  const most = Math.max(...all.map((each) => each.extra), 1);
  return table(["", "exits at expiry", "lost beyond the best choice", "house\u00ADkeeping CPU", "who paid"], all.map((each) => [
    each.who, String(each.exits), bar(each.extra, each.extra / most), us(each.housekeeping),
    Object.entries(each.paid).map(([guest, ns]) => `${guest} ${us(ns)}`).join(", ") || "nobody"]), "times in µs");
}

/**
 * A number with a bar under it.
 * @param {number} ns
 * @param {number} share
 */
const bar = (ns, share) => h("span", { class: "cell" }, us(ns), h("i", { style: `width: ${100 * share}%` }));

/**
 * @param {string[]} heads
 * @param {(string | Node)[][]} rows
 * @param {string} caption
 */
function table(heads, rows, caption) {
  return h("table", {}, h("caption", {}, caption),
    h("thead", {}, h("tr", {}, ...heads.map((text) => (text ? h("th", { scope: "col" }, text) : h("td", {}))))),
    h("tbody", {}, ...rows.map(([who, ...cells]) => h("tr", { class: who === YOU ? "you" : null }, h("th", { scope: "row" }, who), ...cells.map((cell) => h("td", {}, cell))))));
}

/**
 * The score as Python gets it.
 * @param {import("./rounds.js").Score[]} all
 */
const handed = (all) => Object.fromEntries(all.map(({ who, exits, extra: more, housekeeping, paid }) => [who, { exits, extra_ns: more, housekeeping_ns: housekeeping, paid }]));
