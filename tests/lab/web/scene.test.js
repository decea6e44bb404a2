// From steps to what is drawn: exits become holes, an armed timer a flag, a post something that flies.

import assert from "node:assert/strict";
import test from "node:test";

import { makeScene } from "../../../kvmlab/lab/web/scene.js";

const NAMES = ["EXIT", "ENTRY", "HRTIMER_START", "HRTIMER_CANCEL", "APIC_TIMER_FN", "HV_EXPIRED", "START_HV_TIMER", "CANCEL_HV_TIMER", "EXPIRED_POSTED",
  "KICK", "HANDLER", "BLOCK", "WAKE_UP", "SCHED_OUT", "TARGET_REFUSED", "HRTIMER_INTERRUPT", "START_APIC_TIMER"];
const codes = Object.fromEntries(NAMES.map((name, i) => [name, i]));
const DATA = /** @type {any} */ ({ codes, exits: ["EXTERNAL_INTERRUPT", "HLT", "MSR_WRITE"], fast: 256 });

/**
 * @param {[number, string, number?, number?][]} steps time, name, arg, cpu
 * @param {number} deadline
 */
function sceneOf(steps, deadline = 1000_000) {
  const told = steps.map(([time, name, arg = 0, cpu = 1]) => ({ time, code: codes[name], arg, cpu, where: "", name, sentence: "" }));
  return makeScene(/** @type {any} */ ({ steps: told, trace: [], cpu: 1, deadline, next: 1e12, summary: "" }), DATA);
}

test("an exit is a hole in the guest's bar, and work for its pCPU", () => {
  const { spans } = sceneOf([[0, "EXIT", 2 + 256], [780, "ENTRY"]]);
  assert.deepEqual(spans.filter((span) => span.lane === "guest").map((span) => span.kind), ["guest", "hole", "guest"]);
  const [own] = spans.filter((span) => span.lane === "own");
  assert.deepEqual([own.kind, own.text, own.from, own.to], ["MSR_WRITE", "MSR_WRITE (fast path)", 0, 780]);
});

test("a vCPU that blocks is out of the guest, but its pCPU is free until it wakes up", () => {
  const { spans } = sceneOf([[0, "EXIT", 1], [1000, "BLOCK"], [500_000, "WAKE_UP"], [507_000, "ENTRY"]]);
  const own = spans.filter((span) => span.lane === "own").map(({ kind, from, to }) => [kind, from, to]);
  assert.deepEqual(own, [["HLT", 0, 1000], ["other", 500_000, 507_000]]);
  const hole = spans.find((span) => span.kind === "hole");
  assert.deepEqual([hole?.from, hole?.to], [0, 507_000]);
});

test("the flag stands on the CPU that is to fire, until it fires or is taken away", () => {
  const far = sceneOf([[0, "HRTIMER_START", 0], [900_000, "APIC_TIMER_FN", 1500, 0]]).flags;
  assert.deepEqual(far, [{ lane: "housekeeping", armed: 0, text: "remote hrtimer", until: 900_000, at: 898_500, fired: true }]);
  const taken = sceneOf([[0, "START_HV_TIMER"], [700, "CANCEL_HV_TIMER"], [760, "HRTIMER_START", 1]]).flags;
  assert.deepEqual(taken.map(({ text, fired, until }) => [text, fired, until]), [["preemption timer", false, 700]]);
});

test("steps of one instant are drawn apart, in their order", () => {
  const { steps } = sceneOf([[0, "EXIT", 2], [0, "START_APIC_TIMER"], [0, "HRTIMER_START", 0], [50, "ENTRY"]]);
  const shown = steps.map((step) => step.shown);
  assert.deepEqual(shown, [0, 60, 120, 180]);
  assert.deepEqual(steps.map((step) => step.time), [0, 0, 0, 50]);
});

test("a post flies from the housekeeping CPU to the guest's handler, a kick to the vCPU's exit", () => {
  const { flights } = sceneOf([[900, "EXPIRED_POSTED", 1, 0], [1700, "HANDLER"]]);
  assert.deepEqual(flights, [{ kind: "post", from: "housekeeping", to: "guest", start: 900, end: 1700, text: "posted interrupt" }]);
  const kicked = sceneOf([[900, "KICK", 1, 0], [2000, "EXIT", 0]]).flights;
  assert.deepEqual([kicked[0].kind, kicked[0].end], ["kick", 2000]);
  assert.equal(sceneOf([[900, "KICK", 1, 1]]).flights.length, 0, "nothing flies to where it is");
});
