// The axis of the stage: order and ends are kept, quiet time is shortened, and the way back is exact.

import assert from "node:assert/strict";
import test from "node:test";

import { makeAxis } from "../../../kvmlab/lab/web/axis.js";

const TIMES = [-4000, 0, 60, 120, 780, 2_000_500, 2_001_380, 2_003_900];

test("times keep their order and fill the width", () => {
  const axis = makeAxis(TIMES, 100, 900, false);
  const places = TIMES.map(axis.at);
  assert.equal(places[0], 100);
  assert.ok(Math.abs(places[places.length - 1] - 900) < 1e-9);
  for (let i = 1; i < places.length; i += 1) assert.ok(places[i] > places[i - 1]);
});

test("a place is found again", () => {
  for (const toScale of [false, true]) {
    const axis = makeAxis(TIMES, 100, 900, toScale);
    for (const time of [-4000, 30, 1_000_000, 2_001_000, 2_003_900]) assert.ok(Math.abs(axis.time(axis.at(time)) - time) < 1e-3 + Math.abs(time) * 1e-9);
  }
});

test("two milliseconds of quiet do not hide an exit of less than one microsecond", () => {
  const axis = makeAxis(TIMES, 100, 900, false);
  assert.ok(axis.at(780) - axis.at(0) > 60);
  const toScale = makeAxis(TIMES, 100, 900, true);
  assert.ok(toScale.at(780) - toScale.at(0) < 1);
  assert.deepEqual(axis.gaps, [{ from: 780, to: 2_000_500 }]);
  assert.deepEqual(toScale.gaps, []);
});

test("what lies outside is drawn at the ends", () => {
  const axis = makeAxis(TIMES, 100, 900, false);
  assert.equal(axis.at(-1e9), 100);
  assert.ok(Math.abs(axis.at(1e12) - 900) < 1e-9);
});
