// The porter: who fired which timer, and how many waited, is read from the trace.

import assert from "node:assert/strict";
import test from "node:test";

import { queueOf, readServices } from "../../../kvmlab/lab/web/services.js";

const CODES = { EXIT: 0, ENTRY: 1, APIC_TIMER_FN: 2, HV_EXPIRED: 3, EXPIRED_POSTED: 4, KICK: 5, HANDLER: 6, HRTIMER_INTERRUPT: 7 };
const STORY = /** @type {any} */ ({ codes: CODES, exits: ["EXTERNAL_INTERRUPT", "MSR_WRITE"], fast: 256 });

/** @param {number} time @param {number} cpu @param {number} vcpu @param {keyof typeof CODES} code @param {number} arg */
const step = (time, cpu, vcpu, code, arg = 0) => ({ time, cpu, vcpu, code: CODES[code], arg });
const BOOTED = [step(1, 1, 0, "ENTRY"), step(5, 2, 1, "ENTRY")];

test("a posted timer, a kicked one, one on its own pCPU and a preemption timer are told apart", () => {
  const trace = [
    ...BOOTED,
    step(110, 0, 0, "APIC_TIMER_FN", 10), step(120, 0, 0, "EXPIRED_POSTED"), step(130, 1, 0, "HANDLER", 25),
    step(210, 0, 1, "APIC_TIMER_FN", 5), step(215, 0, 1, "KICK"), step(240, 2, 1, "HANDLER", 30),
    step(300, 1, 0, "APIC_TIMER_FN", 0), step(330, 1, 0, "HANDLER", 31),
    step(400, 2, 1, "HV_EXPIRED", 0), step(420, 2, 1, "HANDLER", 9),
  ];
  const { services, booted } = readServices(trace, STORY);
  assert.equal(booted, 5);
  assert.deepEqual(services.map(({ how }) => how), ["posted", "kicked", "own", "hv"]);
  assert.deepEqual(services[0], { vcpu: 0, cpu: 0, due: 100, start: 110, end: 120, landed: 130, late: 25, how: "posted" });
  assert.deepEqual([services[1].due, services[1].end], [205, 215]);
});

test("an exit lasts until the vCPU enters again, and has its reason, fast or not", () => {
  const trace = [...BOOTED, step(50, 1, 0, "EXIT", 256 + 1), step(60, 2, 1, "EXIT", 0), step(70, 1, 0, "ENTRY"), step(95, 2, 1, "ENTRY")];
  assert.deepEqual(readServices(trace, STORY).holes, [
    { vcpu: 0, from: 50, reason: "MSR_WRITE", to: 70 },
    { vcpu: 1, from: 60, reason: "EXTERNAL_INTERRUPT", to: 95 },
  ]);
});

test("a device's handler is no timer's", () => {
  assert.deepEqual(readServices([...BOOTED, step(9, 1, 0, "HANDLER", 3)], STORY).services, []);
});

/** @param {number} due @param {number} end @param {number} cpu @param {"posted" | "own"} how */
const service = (due, end, cpu = 0, how = "posted") => ({ vcpu: 0, cpu, due, start: due, end, landed: end + 1, late: 0, how: /** @type {any} */ (how) });

test("the queue grows by all that are due, and shrinks by each that is served", () => {
  const queue = queueOf([service(100, 110), service(100, 120), service(100, 130), service(125, 140), service(100, 115, 1), service(100, 116, 0, "own")], 0);
  assert.deepEqual(queue, [
    { time: 100, depth: 3 }, { time: 110, depth: 2 }, { time: 120, depth: 1 }, { time: 125, depth: 2 }, { time: 130, depth: 1 }, { time: 140, depth: 0 },
  ]);
});

test("a trace is read until enough timers have come that were due after the last vCPU had booted", () => {
  /** @param {number} at @param {number} vcpu */
  const timer = (at, vcpu) => [step(at, 0, vcpu, "APIC_TIMER_FN", 1), step(at + 2, 0, vcpu, "EXPIRED_POSTED"), step(at + 4, vcpu + 1, vcpu, "HANDLER", 5)];
  const trace = [step(1, 1, 0, "ENTRY"), ...timer(10, 0), step(50, 2, 1, "ENTRY"), ...timer(100, 0), ...timer(110, 1), ...timer(120, 0), ...timer(3e6, 1), step(9, 9, 9, "ENTRY")];
  const landed = (/** @type {number} */ timers) => readServices(trace, STORY, { vcpus: 2, timers }).services.map((each) => each.landed);
  assert.deepEqual(landed(2), [14, 104, 114, 124], "what one interrupt may have written out of order comes along");
  assert.deepEqual(landed(9), [14, 104, 114, 124, 3e6 + 4]);
  assert.equal(readServices(trace, STORY, { vcpus: 2, timers: 2 }).booted, 50);
});
