// A move, beat by beat, read from the trace: where the vCPU is, what its field says, who asks about which pCPU.

import { answer, indexOf } from "./predicate.js";

/**
 * @typedef {import("./story.js").TraceStep} TraceStep
 * @typedef {"from" | "to" | "other"} Role of a pCPU: where the vCPU was, where it goes, or a third one
 * @typedef {{index: number, says: boolean, seen: boolean | null}} Question index: of the facts that are asked about;
 *   says: the policy's answer; seen: what the trace shows that the kernel took for the answer, null where nothing hangs on it
 * @typedef {{name: string, time: number, at: Role, field: Role, timer: {kind: "hv" | "hrtimer", at: Role} | null,
 *   question: Question | null, fires: boolean, exit: string | null, posted: boolean}} Beat
 * @typedef {{beats: Record<string, string>, functions: Record<string, string>,
 *   ends: Record<string, {says: string, exit: string | null}>, kinds: string[], from: Record<string, number>,
 *   to: Record<string, number>, asks: string[], until_ns: number}} MoveData
 * @typedef {{bits: number, facts: string[], known: Record<string, unknown>, housekeeping: Record<"from" | "to", boolean>}} Asked
 *   the policy, and what is true of the vCPU but for its pCPU
 */

/**
 * Read the beats of a move.
 * @param {TraceStep[]} trace steps of the one vCPU
 * @param {Record<string, number>} codes
 * @param {{from: number, to: number}} cpus
 * @param {Asked | null} asked null before there was a policy
 * @param {boolean} mwait MWAIT does not exit
 * @returns {Beat[]}
 */
export function readBeats(trace, codes, cpus, asked, mwait) {
  const roleOf = (/** @type {number} */ cpu) => /** @type {Role} */ (cpu === cpus.from ? "from" : cpu === cpus.to ? "to" : "other");
  const now = { at: /** @type {Role} */ ("from"), field: /** @type {Role} */ ("from"), timer: /** @type {Beat["timer"]} */ (null) };
  const beats = /** @type {Beat[]} */ ([]);
  /** @param {string} name @param {number} time @param {Partial<Beat>} [more] */
  const beat = (name, time, more = {}) => beats.push({ name, time, ...now, question: null, fires: false, exit: null, posted: false, ...more });
  /** @param {boolean | null} seen @returns {Question | null} */
  const ask = (seen) => {
    if (!asked) return null;
    const index = indexOf(asked.facts, { ...asked.known, housekeeping_cpu: asked.housekeeping[/** @type {"from"} */ (now.field)] });
    return { index, says: answer(asked.bits, index), seen };
  };
  const loadAt = trace.findIndex(({ code }) => code === codes.LOAD);
  const moved = trace[loadAt];
  const entered = trace.findIndex(({ code }, i) => i > loadAt && code === codes.ENTRY);
  beat("start", 0);
  for (const [i, { time, cpu, code, arg }] of trace.entries()) {
    const moving = loadAt >= 0 && i > loadAt && i < entered;
    if (code === codes.START_APIC_TIMER) beat("arm", time);
    else if (code === codes.HV_REFUSED && !moving) {
      if (mwait) beat("mwait_arm", time);
      else if (asked) beat("ask_arm", time, { question: ask(true) });
    } else if (code === codes.START_HV_TIMER && !moving) {
      if (asked) beat("ask_arm", time, { question: ask(false) });
      now.timer = { kind: "hv", at: now.at };
      beat("hv", time);
    } else if (code === codes.HRTIMER_START && !moving) {
      now.timer = { kind: "hrtimer", at: roleOf(arg) };
      beat("hrtimer", time);
    } else if (code === codes.LOAD) {
      now.at = roleOf(cpu);
      beat("load", time);
      const again = trace.slice(i + 1, entered).find((step) => step.code === codes.START_HV_TIMER || step.code === codes.HV_REFUSED);
      if (now.timer?.kind !== "hv") beat("no_load", time);
      else if (asked) beat("ask_load", time, { question: ask(again ? again.code === codes.HV_REFUSED : null) });
      if (now.timer?.kind === "hv" && again?.code === codes.START_HV_TIMER) {
        now.timer = { kind: "hv", at: now.at };
        beat("hv_again", time);
      }
      now.field = now.at;
      beat("write", time);
      migrate(time);
    } else if (i === entered && moved) beat("enter", time);
    else if (code === codes.HV_EXPIRED) beat("hv_fires", time, { fires: true, exit: exitBefore(i) });
    else if (code === codes.APIC_TIMER_FN) {
      const own = roleOf(cpu) === now.at;
      const posted = trace.slice(i).some((step) => step.code === codes.EXPIRED_POSTED);
      beat("hrtimer_fires", time, { fires: true, exit: own ? exitBefore(i) : null });
      if (asked) beat("ask_expiry", time, { fires: true, question: ask(own ? null : posted), exit: own ? exitBefore(i) : null });
      beat(posted ? "posted" : own ? "out" : "kicked", time, { fires: true, posted, exit: posted ? null : exitBefore(i) });
    } else if (code === codes.HANDLER) {
      now.timer = null;
      beat("handler", time, { exit: beats[beats.length - 1].exit });
      break;
    }
  }
  return beats;

  /**
   * The request to bring the hrtimer along is served before the vCPU enters its guest.
   * @param {number} time
   */
  function migrate(time) {
    const queued = now.timer?.kind === "hrtimer";
    const start = trace.slice(loadAt, entered).find((step) => step.code === codes.HRTIMER_START);
    beat(asked ? "ask_migrate" : "migrate", time, { question: ask(queued ? !start : null) });
    if (!queued) return void beat("none", time);
    if (start) now.timer = { kind: "hrtimer", at: roleOf(start.arg) };
    beat(start ? "along" : "stays", time);
  }

  /**
   * The reason of the exit that is under way; null where the vCPU is in its guest.
   * @param {number} i
   */
  function exitBefore(i) {
    const last = trace.slice(0, i + 1).reverse().find(({ code }) => code === codes.EXIT || code === codes.ENTRY);
    const next = trace.slice(i).find(({ code }) => code === codes.EXIT || code === codes.HANDLER);
    const exit = last?.code === codes.EXIT ? last : next?.code === codes.EXIT ? next : null;
    return exit === null ? null : String(exit.arg);
  }
}
