// A guess lands where it was dropped, keys always move it, and the axis only grows.

import assert from "node:assert/strict";
import test from "node:test";

import { grown, makeScale, nice } from "../../../kvmlab/lab/web/scale.js";

const LINEAR = { low: 0, high: 5000, scale: "linear" };
const LOG = { low: 0.1, high: 1000, scale: "log" };
const SCALES = [LINEAR, LOG, { low: -3, high: 7, scale: "linear" }, { low: 1, high: 16, scale: "linear", step: 1 }, { low: 30, high: 45, scale: "log" }];

test("a value stands where it was dropped", () => {
  for (const options of SCALES) {
    const scale = makeScale(options);
    for (let i = 0; i <= 200; i += 1) assert.ok(Math.abs(scale.share(scale.value(i / 200)) - i / 200) < 0.08, `${JSON.stringify(options)} ${i}`);
    assert.equal(scale.value(0), options.low);
    assert.equal(scale.value(1), options.high);
  }
});

test("a key moves a value by a step, up to the ends", () => {
  for (const options of SCALES) {
    const scale = makeScale(options);
    let value = options.low;
    for (let i = 0; value < options.high; i += 1) {
      const next = scale.move(value, 1);
      assert.ok(next > value && i < 400, `${JSON.stringify(options)} ${value}`);
      value = next;
    }
    for (let i = 0; value > options.low; i += 1) {
      const next = scale.move(value, -1);
      assert.ok(next < value && i < 400, `${JSON.stringify(options)} ${value}`);
      value = next;
    }
    assert.equal(scale.move(options.high, 1), options.high);
    assert.ok(scale.move(null, 1) > options.low && scale.move(null, 1) < options.high);
  }
});

test("a step is a round number", () => {
  assert.equal(makeScale(LINEAR).value(0.30007), 1500);
  assert.equal(makeScale({ low: 1, high: 16, scale: "linear", step: 1 }).value(0.5), 9);
  assert.equal(makeScale(LOG).value(0.5), 10);
  assert.equal(makeScale(LOG).move(10, 1), 11);
  assert.deepEqual([0.03, 1, 7, 20, 21].map(nice), [0.05, 1, 10, 20, 50]);
});

test("the axis grows with what is true, and never shrinks", () => {
  assert.deepEqual([grown(LINEAR, [70]).low, grown(LINEAR, [70]).high], [0, 5000]);
  assert.equal(grown(LINEAR, [5100]).high, 6000);
  assert.equal(grown(LINEAR, [-10]).low, -1000);
  assert.equal(grown(LOG, [0.004]).low, 0.001);
  assert.equal(grown(LOG, [1001]).high, 10000);
  assert.equal(grown(LOG, [0]).low, 0.1);
});

test("ticks are few, round, and on the axis", () => {
  for (const options of [...SCALES, { low: 0.001, high: 1e9, scale: "log" }]) {
    const scale = makeScale(options);
    const ticks = scale.ticks();
    assert.ok(ticks.length <= 8, String(ticks));
    assert.ok(ticks.every((tick) => tick >= options.low && tick <= options.high), String(ticks));
  }
  assert.deepEqual(makeScale(LINEAR).ticks(), [0, 1000, 2000, 3000, 4000, 5000]);
  assert.deepEqual(makeScale(LOG).ticks(), [0.1, 1, 10, 100, 1000]);
});
