// The anatomy: parts stand side by side to scale, and what has no effect is not asked for.

import assert from "node:assert/strict";
import test from "node:test";

import { key, partsOf } from "../../../kvmlab/lab/web/anatomy.js";

const COSTS = { out: 100, handling: 300, asleep: 0, wait: 0, in: 100, perf_ns: 300, lost_ns: 500, perf_us: 0, lost_us: 0, share: 0, longest_us: 1 };

/** @param {Partial<typeof COSTS>} some @param {number} reached */
const parts = (some, reached) => partsOf({ ...COSTS, ...some }, reached, 652);

test("parts are to scale, one after another, between two pieces of guest", () => {
  const all = parts({}, 500);
  assert.deepEqual(all.map(({ name }) => name), ["guest", "out", "handling", "in", "guest"]);
  all.slice(1).forEach(({ from }, i) => assert.equal(from, all[i].to));
  assert.deepEqual(all.map(({ from, to }) => to - from), [76, 100, 300, 100, 76]);
  assert.equal(parts({}, 1000)[2].to - parts({}, 1000)[2].from, 150);
});

test("a wait stands behind what perf counts, and the time asleep is cut short", () => {
  assert.deepEqual(parts({ wait: 50 }, 600).map(({ name }) => name), ["guest", "out", "handling", "wait", "in", "guest"]);
  const asleep = parts({ asleep: 200_000 }, 500);
  assert.deepEqual(asleep.map(({ name }) => name), ["guest", "out", "handling", "asleep", "in", "guest"]);
  assert.ok(asleep[3].to - asleep[3].from < 100);
  assert.equal(asleep[5].to, 652);
});

test("a setting without an effect counts as its default", () => {
  const needs = [{ any_of: /** @type {[string, string[]][]} */ ([["reason", ["HLT"]]]), why: "", revisions_only: false }];
  const world = /** @type {any} */ ({ controls: { reason: { default: "MSR", needs: [] }, asleep: { default: 0, needs } } });
  assert.equal(key(world, { reason: "HLT", asleep: 5 }), "HLT|5");
  assert.equal(key(world, { reason: "MSR", asleep: 5 }), "MSR|0");
});
