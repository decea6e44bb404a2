// The door: what became of each offer is read from the trace, whatever the rules were.

import assert from "node:assert/strict";
import test from "node:test";

import { reach } from "../../../kvmlab/lab/web/door.js";
import { readOffers, sharesSoFar } from "../../../kvmlab/lab/web/offers.js";

const CODES = { START_SW_TIMER: 1, NOHZ_TARGET: 2, TARGET_REFUSED: 3, HRTIMER_START: 4, APIC_TIMER_FN: 5, HRTIMER_INTERRUPT: 6 };

/** @param {number} time @param {number} cpu @param {number} vcpu @param {keyof typeof CODES} code @param {number} arg */
const step = (time, cpu, vcpu, code, arg) => ({ time, cpu, vcpu, code: CODES[code], arg });

/** @param {number} time @param {number} vcpu @param {number} deadline @param {boolean} moves */
const armed = (time, vcpu, deadline, moves) => [
  step(time, vcpu + 1, vcpu, "START_SW_TIMER", deadline),
  step(time, vcpu + 1, vcpu, "NOHZ_TARGET", 0),
  ...(moves ? [] : [step(time, vcpu + 1, vcpu, "TARGET_REFUSED", 0)]),
  step(time, vcpu + 1, vcpu, "HRTIMER_START", moves ? 0 : vcpu + 1),
];

test("an offer is taken or refused as the trace says, not as a rule would have it", () => {
  const trace = [...armed(100, 0, 600, true), ...armed(200, 1, 900, false), step(1000, 0, -1, "HRTIMER_INTERRUPT", 10)];
  const [first, second] = readOffers(trace, CODES);
  assert.deepEqual([first.moved, first.deadline, first.next, first.vcpu], [true, 500, 900, 0]);
  assert.deepEqual([second.moved, second.deadline, second.next, second.vcpu], [false, 700, 800, 1]);
});

test("the next interrupt is that of the CPU that was asked, and is told whose timer it runs", () => {
  const trace = [
    ...armed(100, 0, 600, true),
    step(300, 2, -1, "HRTIMER_INTERRUPT", 5),
    step(510, 0, 1, "APIC_TIMER_FN", 12),
    step(500, 0, -1, "HRTIMER_INTERRUPT", 40),
    ...armed(520, 1, 900, false),
    step(700, 0, -1, "HRTIMER_INTERRUPT", 5),
  ];
  const [first, second] = readOffers(trace, CODES);
  assert.deepEqual([first.next, first.whose, first.inside], [400, 1, false]);
  assert.deepEqual([second.next, second.whose, second.inside], [180, null, true]);
});

test("an offer whose next interrupt is not in the trace is left out", () => {
  assert.deepEqual(readOffers(armed(100, 0, 600, true), CODES), []);
  assert.deepEqual(readOffers([], CODES), []);
});

test("timers that are offered to nobody are no offers", () => {
  assert.deepEqual(readOffers([step(5, 1, 0, "START_SW_TIMER", 9), step(5, 1, 0, "HRTIMER_START", 1), step(9, 0, -1, "HRTIMER_INTERRUPT", 1)], CODES), []);
});

test("the share so far counts those that moved", () => {
  const offer = { vcpu: 0, time: 0, deadline: 1, wanted: 0, next: 1, whose: null, inside: false };
  const offers = [true, false, false, true].map((moved) => ({ ...offer, moved }));
  assert.deepEqual(sharesSoFar(offers), [1, 1 / 2, 1 / 3, 1 / 2]);
});

test("the axis grows, and shrinks only if little of it is used", () => {
  assert.equal(reach(0, 4e6), 5e6);
  assert.equal(reach(5e6, 3e6), 5e6);
  assert.equal(reach(5e6, 1e7), 1.2e7);
  assert.equal(reach(1.2e7, 1e6), 1.2e6);
});
