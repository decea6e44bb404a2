// The lab's preset is named as long as it is true; a state comes back as it was written; dead controls say why.

import assert from "node:assert/strict";
import test from "node:test";

import { presetOf, wholePreset } from "../../../kvmlab/lab/web/lab.js";
import { idle } from "../../../kvmlab/lab/web/panel.js";
import { readState, stateText } from "../../../kvmlab/lab/web/state.js";

/** @param {any[]} values */
const control = (values) => ({ label: "", kind: "choice", values, texts: values.map(String), default: values[0], needs: [] });
const CONTROLS = /** @type {any} */ ({ vcpus: control([4, 1, 7]), hlt: control([false, true]), guest: control(["works all the time", "halts"]) });
const PRESETS = { dedicated: { hlt: true }, small: { vcpus: 1 } };
const DEFAULTS = wholePreset({ none: {} }, CONTROLS, "none");

test("a preset is named until something is moved, and again when it is moved back", () => {
  assert.deepEqual(presetOf(PRESETS, CONTROLS, { ...DEFAULTS, hlt: true }, "dedicated"), { name: "dedicated", changed: false });
  assert.deepEqual(presetOf(PRESETS, CONTROLS, { ...DEFAULTS, hlt: true, vcpus: 7 }, "dedicated"), { name: "dedicated", changed: true });
  assert.deepEqual(presetOf(PRESETS, CONTROLS, { ...DEFAULTS, vcpus: 1 }, "dedicated"), { name: "small", changed: false });
});

test("settings from a state have a preset's name only if they are that preset", () => {
  assert.deepEqual(presetOf(PRESETS, CONTROLS, { ...DEFAULTS, vcpus: 7 }, null), { name: null, changed: true });
  assert.deepEqual(presetOf(PRESETS, CONTROLS, { ...DEFAULTS, hlt: true }, null), { name: "dedicated", changed: false });
});

test("a state is short, readable and complete", () => {
  const settings = { vcpus: 7, hlt: true, guest: "halts" };
  assert.equal(stateText(CONTROLS, settings), "vcpus=7 hlt=1 guest=halts");
  assert.deepEqual(readState(CONTROLS, " vcpus=7  hlt=1\nguest=halts "), settings);
  assert.deepEqual(readState(CONTROLS, "guest=works_all_the_time"), DEFAULTS);
  assert.throws(() => readState(CONTROLS, "hlt=2"), { message: 'state: hlt: "2" is not allowed; it must be one of 0, 1' });
  assert.throws(() => readState(CONTROLS, "toString=2"), /control: "toString" is not allowed; it must be one of vcpus, hlt, guest/);
});

test("a control says why it has no effect, unless one of several conditions is met", () => {
  const needs = [
    { any_of: /** @type {any} */ ([["hlt", [true]], ["vcpus", [1]]]), why: "for everybody", revisions_only: false },
    { any_of: /** @type {any} */ ([["guest", ["halts"]]]), why: "for revisions", revisions_only: true },
  ];
  const spec = { ...CONTROLS.vcpus, needs };
  assert.equal(idle(spec, { hlt: false, vcpus: 4, guest: "halts" }, false), "for everybody");
  assert.equal(idle(spec, { hlt: false, vcpus: 1, guest: "halts" }, false), null);
  assert.equal(idle(spec, { hlt: true, vcpus: 4, guest: "works all the time" }, false), "for revisions");
  assert.equal(idle(spec, { hlt: true, vcpus: 4, guest: "works all the time" }, true), null);
  assert.equal(idle({ ...spec, needs: [{ any_of: [], why: "never", revisions_only: false }] }, DEFAULTS, true), "never");
});
