// The history: what came and went between two versions, which one is compared with, and where the beads stand.

import assert from "node:assert/strict";
import test from "node:test";

import { apart, compare, reference, years } from "../../../kvmlab/lab/web/history.js";

/** @param {string[]} now @param {string[]} before */
const marks = (now, before) => compare(now, before).map(({ text, mark }) => `${{ came: "+", went: "-", stayed: " " }[mark]}${text}`);

test("a term that is new came, one that is missing went, and it stands where it was", () => {
  assert.deepEqual(marks(["a", "b", "c"], ["a", "b"]), [" a", " b", "+c"]);
  assert.deepEqual(marks(["a", "b"], ["a", "x", "b"]), [" a", "-x", " b"]);
  assert.deepEqual(marks(["a", "m", "b"], ["a", "b", "h"]), [" a", "+m", " b", "-h"]);
  assert.deepEqual(marks(["a"], ["x", "y"]), ["+a", "-x", "-y"]);
  assert.deepEqual(marks([], ["x", "y"]), ["-x", "-y"]);
  assert.deepEqual(marks(["a", "b"], []), ["+a", "+b"]);
});

test("an order that differs is no change", () => {
  assert.deepEqual(marks(["b", "a"], ["a", "b"]), [" b", " a"]);
});

test("a version is compared with the one before that has a line, or with the last merged version", () => {
  /** @param {string} id @param {boolean} merged @param {string[]} terms */
  const bead = (id, merged, terms) => /** @type {any} */ ({ id, merged, terms });
  const beads = [bead("old", true, []), bead("draft", false, ["a"]), bead("other", true, []), bead("one", true, ["a"]), bead("two", false, ["b"]), bead("three", true, ["c"])];
  /** @param {string} against */
  const ids = (against) => beads.map((_, i) => reference(beads, i, against)?.id ?? null);
  assert.deepEqual(ids("version"), [null, null, "draft", "draft", "one", "two"]);
  assert.deepEqual(ids("kernel"), [null, null, null, null, "one", "one"]);
});

test("beads keep their distance and their order, and stay on the line", () => {
  assert.deepEqual(apart([10, 50, 90], 20, 0, 100), [10, 50, 90]);
  assert.deepEqual(apart([50, 50, 50], 20, 0, 100), [30, 50, 70]);
  assert.deepEqual(apart([0, 0, 95, 100], 20, 0, 100), [0, 20, 80, 100]);
  assert.deepEqual(apart([1, 2, 3, 4, 5], 40, 0, 100), [0, 25, 50, 75, 100]);
  for (let seed = 1; seed < 200; seed += 1) {
    const wanted = Array.from({ length: 12 }, (_, i) => (seed * 7919 * (i + 1)) % 400).sort((a, b) => a - b);
    const places = apart(wanted, 26, 10, 390);
    places.forEach((place, i) => {
      assert.ok(place >= 10 - 1e-6 && place <= 390 + 1e-6, `${wanted}: ${places}`);
      if (i > 0) assert.ok(place - places[i - 1] >= 26 - 1e-6, `${wanted}: ${places}`);
    });
  }
});

test("a month without a day is its middle", () => {
  assert.ok(years("2016-04-01") < years("2016-04") && years("2016-04") < years("2016-04-30"));
  assert.equal(Math.floor(years("2021-12-31")), 2021);
});
