// The decision: the way through the flow chart, and what hangs on a term.

import assert from "node:assert/strict";
import test from "node:test";

import { runs } from "../../../kvmlab/lab/web/decision.js";
import { walk } from "../../../kvmlab/lab/web/flow.js";
import { answer, hangsOn } from "../../../kvmlab/lab/web/predicate.js";

/** @param {string[]} asks @param {string} yes @param {string} no */
const question = (asks, yes, no) => ({ asks, text: [], yes, no, at: [0, 0] });
const CHART = /** @type {any} */ ({ first: "a", questions: { a: question(["x", "y"], "end", "b"), b: question(["z"], "other", "end") }, ends: { end: {}, other: {} } });

test("a way goes by yes if any fact of a question holds", () => {
  assert.deepEqual(walk(CHART, { x: false, y: true, z: false }), ["a", "end"]);
  assert.deepEqual(walk(CHART, { x: false, y: false, z: true }), ["a", "b", "other"]);
  assert.deepEqual(walk(CHART, { x: false, y: false, z: false }), ["a", "b", "end"]);
});

/** The answers of a function of the five bits of an index. @param {(i: number) => boolean} holds */
const bits = (holds) => Array.from({ length: 32 }, (_, i) => (holds(i) ? 2 ** i : 0)).reduce((sum, bit) => sum + bit, 0);

test("on a term hang the inputs whose answer changes with it", () => {
  const terms = /** @type {((i: number) => boolean)[]} */ ([(i) => (i & 1) > 0, (i) => (i & 2) > 0, (i) => (i & 24) > 0]);
  const policy = { bits: bits((i) => terms.every((term) => term(i))), hv: 0, terms: terms.map((term) => ({ text: "", bits: bits(term) })) };
  terms.forEach((_, flipped) => {
    const hangs = hangsOn(policy, flipped);
    hangs.forEach((hang, i) => {
      const otherwise = terms.every((term, k) => (k === flipped ? !term(i) : term(i)));
      assert.equal(hang, otherwise !== answer(policy.bits, i), `term ${flipped}, input ${i}`);
    });
  });
});

test("on the only term of a policy hangs everything", () => {
  assert.ok(hangsOn({ bits: 0, hv: 0, terms: [{ text: "false", bits: 0 }] }, 0).every(Boolean));
});

test("stretches that are true are found at both ends and alone", () => {
  assert.deepEqual(runs([true, true, false, true]), [{ from: 0, to: 2 }, { from: 3, to: 4 }]);
  assert.deepEqual(runs([false, false]), []);
});
