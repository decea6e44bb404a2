// Settings become tables by patches alone, as Python has worked them out.

import assert from "node:assert/strict";
import test from "node:test";

import { percentile } from "../../../kvmlab/lab/web/figures.js";
import { answer, indexOf } from "../../../kvmlab/lab/web/predicate.js";
import { defaults, given } from "../../../kvmlab/lab/web/world.js";

/** @param {string} name @param {any[]} values */
const control = (name, values) => ({ label: name, kind: "slider", values, texts: values.map(String), default: values[0], needs: [] });
const WORLD = /** @type {any} */ ({
  controls: { hz: control("hz", [100, 250]), vcpus: control("vcpus", [1, 2]), on: control("on", [false, true]) },
  base: { host: { hz: 100, seed: 7 }, guests: [{ vcpus: 1 }], pools: [1] },
  patches: { hz: [{}, { host: { hz: 250 } }] },
  joint: ["vcpus", "on"],
  joint_patches: { "1|False": {}, "2|False": { guests: [{ vcpus: 2 }], pools: [1, 2] }, "1|True": { pools: [0] }, "2|True": {} },
  arguments: [],
});

test("a patch changes its fields and nothing else", () => {
  assert.deepEqual(given(WORLD, { hz: 250, vcpus: 2, on: false }), { host: { hz: 250, seed: 7 }, guests: [{ vcpus: 2 }], pools: [1, 2] });
  assert.deepEqual(given(WORLD, defaults(WORLD)), WORLD.base);
  assert.deepEqual(given(WORLD, { hz: 100, vcpus: 1, on: true }).pools, [0]);
});

test("the base is not changed", () => {
  /** @type {any} */ (given(WORLD, { hz: 250, vcpus: 2, on: false }).host).hz = 1;
  assert.equal(WORLD.base.host.hz, 100);
});

test("facts are packed as Python packs them", () => {
  assert.equal(indexOf(["a", "b", "c"], { a: true, b: false, c: true }), 5);
  assert.ok(answer(2 ** 31, 31));
  assert.ok(!answer(2 ** 31, 30));
});

test("a percentile is the middle of its bin, and never above the largest value", () => {
  const lows = Int32Array.from([0, 10, 20, 40]);
  assert.equal(percentile([0, 99, 1], 100, 0.5, 30, lows), 14.5);
  assert.equal(percentile([0, 99, 1], 100, 0.999, 22, lows), 22);
  assert.ok(Number.isNaN(percentile([0, 0, 0], 0, 0.5, 0, lows)));
});
