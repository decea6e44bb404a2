// A move: its beats are read from the trace, and each question is about the pCPU that the field names at that moment.

import assert from "node:assert/strict";
import test from "node:test";

import { readBeats } from "../../../kvmlab/lab/web/beats.js";

const NAMES = ["EXIT", "ENTRY", "START_APIC_TIMER", "START_HV_TIMER", "HV_REFUSED", "HRTIMER_START", "LOAD", "MIGRATE", "HV_EXPIRED", "APIC_TIMER_FN", "EXPIRED_POSTED", "EXPIRED_PENDING", "HANDLER"];
const CODES = Object.fromEntries(NAMES.map((name, i) => [name, i]));
const FACTS = ["pi_inject_timer", "apicv_active", "housekeeping_cpu", "mwait_in_guest", "hlt_in_guest"];
/** Eligible on isolated pCPUs: pi_inject_timer and apicv_active, and not housekeeping_cpu. */
const ISOLATED_ONLY = Array.from({ length: 32 }, (_, i) => ((i & 7) === 3 ? 2 ** i : 0)).reduce((a, b) => a + b);
const CPUS = { from: 2, to: 5 };

/** @param {[string, number, number?][]} steps name, pCPU, argument */
const trace = (steps) => steps.map(([name, cpu, arg = 0], i) => ({ time: 10 * i, cpu, vcpu: 0, code: CODES[name], arg }));

/** @param {boolean} from @param {boolean} to are they housekeeping CPUs? */
const asked = (from, to) => ({ bits: ISOLATED_ONLY, facts: FACTS, known: { pi_inject_timer: true, apicv_active: true }, housekeeping: { from, to } });

const ARMED_HV = /** @type {[string, number, number?][]} */ ([["ENTRY", 2], ["EXIT", 2, 2], ["START_APIC_TIMER", 2], ["START_HV_TIMER", 2], ["ENTRY", 2], ["EXIT", 2, 0], ["LOAD", 5, 2]]);

test("from a housekeeping CPU the restart asks about the pCPU that was left, the request about the new one", () => {
  const beats = readBeats(trace([...ARMED_HV, ["START_HV_TIMER", 5], ["ENTRY", 5], ["EXIT", 5, 4], ["HV_EXPIRED", 5], ["ENTRY", 5], ["HANDLER", 5]]), CODES, CPUS, asked(true, false), false);
  assert.deepEqual(beats.map(({ name }) => name), ["start", "arm", "ask_arm", "hv", "load", "ask_load", "hv_again", "write", "ask_migrate", "none", "enter", "hv_fires", "handler"]);
  const at = Object.fromEntries(beats.map((beat) => [beat.name, beat]));
  assert.deepEqual([at.ask_load.at, at.ask_load.field, at.ask_load.question?.says, at.ask_load.question?.seen], ["to", "from", false, false]);
  assert.deepEqual([at.ask_migrate.field, at.ask_migrate.question?.says, at.ask_migrate.question?.seen], ["to", true, null]);
  assert.deepEqual([at.hv.timer?.at, at.hv_again.timer?.at, at.handler.timer], ["from", "to", null]);
  assert.deepEqual([at.hv_fires.exit, at.handler.exit], ["4", "4"]);
});

test("what the trace shows for an answer is kept apart from what the policy says", () => {
  const beats = readBeats(trace([["START_APIC_TIMER", 2], ["HV_REFUSED", 2], ["HRTIMER_START", 2, 2], ["ENTRY", 2], ["LOAD", 5, 2], ["ENTRY", 5]]), CODES, CPUS, asked(true, false), false);
  const question = beats.find(({ name }) => name === "ask_arm")?.question;
  assert.deepEqual([question?.says, question?.seen], [false, true]);
});

test("an hrtimer that is not eligible comes along, one that is stays, and is posted from there", () => {
  const start = /** @type {[string, number, number?][]} */ ([["START_APIC_TIMER", 2], ["HV_REFUSED", 2], ["HRTIMER_START", 2, 0], ["ENTRY", 2], ["EXIT", 2, 0], ["LOAD", 5, 2]]);
  const along = readBeats(trace([...start, ["MIGRATE", 5], ["HRTIMER_START", 5, 5], ["ENTRY", 5], ["EXIT", 5, 0], ["APIC_TIMER_FN", 5], ["EXPIRED_PENDING", 5], ["ENTRY", 5], ["HANDLER", 5]]), CODES, CPUS, asked(false, true), false);
  assert.deepEqual(along.slice(-8).map(({ name }) => name), ["write", "ask_migrate", "along", "enter", "hrtimer_fires", "ask_expiry", "out", "handler"]);
  assert.equal(along.find(({ name }) => name === "along")?.timer?.at, "to");
  assert.equal(along[along.length - 1].exit, "0");
  const stays = readBeats(trace([...start, ["ENTRY", 5], ["APIC_TIMER_FN", 0], ["EXPIRED_POSTED", 0], ["HANDLER", 5]]), CODES, CPUS, asked(false, false), false);
  assert.deepEqual(stays.slice(-7).map(({ name }) => name), ["ask_migrate", "stays", "enter", "hrtimer_fires", "ask_expiry", "posted", "handler"]);
  assert.deepEqual([stays[stays.length - 2].timer?.at, stays[stays.length - 1].exit], ["other", null]);
});

test("without a policy nobody asks, and where MWAIT does not exit it is not asked at arming", () => {
  const steps = trace([...ARMED_HV, ["START_HV_TIMER", 5], ["ENTRY", 5]]);
  assert.ok(readBeats(steps, CODES, CPUS, null, false).every(({ question }) => question === null));
  const mwait = trace([["START_APIC_TIMER", 2], ["HV_REFUSED", 2], ["HRTIMER_START", 2, 2], ["ENTRY", 2]]);
  assert.deepEqual(readBeats(mwait, CODES, CPUS, asked(true, false), true).map(({ name }) => name), ["start", "arm", "mwait_arm", "hrtimer"]);
});
