// What a panel offers: all values of a control, or some of them.

import assert from "node:assert/strict";
import test from "node:test";

import { offered, pick } from "../../../kvmlab/lab/web/panel.js";

const KERNEL = /** @type {any} */ ({ label: "kernel", kind: "choice", values: ["a", "b", "c", "d", "e"], texts: ["A", "B", "C", "D", "E"], default: "b", needs: [] });

test("a control offers all its values unless some are named", () => {
  assert.equal(offered(KERNEL), KERNEL);
  assert.deepEqual(offered(KERNEL, ["d", "b", "a", "c"]), { ...KERNEL, values: ["d", "b", "a", "c"], texts: ["D", "B", "A", "C"] });
});

test("a few values stand side by side", () => {
  assert.equal(offered(KERNEL, ["a", "c"]).kind, "buttons");
});

test("things are picked by name, in the order of the names", () => {
  assert.deepEqual(Object.keys(pick({ x: 1, y: 2, z: 3 }, ["z", "x"])), ["z", "x"]);
  assert.deepEqual(pick({ x: 1 }), { x: 1 });
});
