// A panel shows the revisions that the course has come to, and no kernel with another.

import assert from "node:assert/strict";
import test from "node:test";

import { Panel } from "../../../kvmlab/lab/web/panel.js";

/** @param {string[] | undefined} shown @returns {any} */
const panel = (shown) =>
  Object.assign(Object.create(Panel.prototype), {
    spec: { options: shown ? { policies: shown } : {} },
    tools: { data: { policies: { before: 0, rev1: 1, rev3: 3 }, kernels: { "v5.2": "before", "v5.13": "rev1", "v5.18": "rev3" } } },
    policy: { name: "mine" },
  });
const KERNELS = { values: ["v5.2", "v5.13", "v5.18"], texts: ["old", "newer", "new"] };

test("only some revisions, and the reader's own", () => {
  assert.deepEqual(Object.keys(panel(["before", "rev1"]).policies()), ["before", "rev1", "mine"]);
  assert.deepEqual(Object.keys(panel(undefined).policies()), ["before", "rev1", "rev3", "mine"]);
});

test("no kernel with another revision", () => {
  assert.deepEqual(panel(["before", "rev1"]).someKernels(KERNELS), { values: ["v5.2", "v5.13"], texts: ["old", "newer"] });
  assert.deepEqual(panel(undefined).someKernels(KERNELS), KERNELS);
});
