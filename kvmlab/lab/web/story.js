// One timer's life: the rules are run, their trace is told in Python's sentences.

import { given } from "./world.js";

/**
 * @typedef {import("./world.js").Settings} Settings
 * @typedef {{time: number, cpu: number, vcpu: number, code: number, arg: number}} TraceStep times from the guest's write
 * @typedef {{time: number, cpu: number, code: number, arg: number, where: string, name: string, sentence: string}} Step
 * @typedef {{sentences: string[], functions: Record<string, string[]>, codes: Record<string, number>, ranks: number[],
 *   exits: string[], fast: number, found: Record<string, number>, armed: Record<string, string>,
 *   fires: Record<string, string>, came: Record<string, string>, nothing: string,
 *   expiry_exits: Record<string, string>, deliveries: Record<string, string>,
 *   housekeeping_cpu: number, names: {own: string, housekeeping: string, other: string, guest: string}}} StoryData
 * @typedef {{kernel: string, steps: Step[], trace: TraceStep[], cpu: number, deadline: number, next: number,
 *   backend: string | null, firesOn: string | null, delivery: string | null, expiryExit: string | null,
 *   latency: number | null, summary: string}} Story
 */

/**
 * Follow one timer.
 * @param {import("./main.js").Tools} tools
 * @param {Settings} settings all of the world "timer"
 * @param {number | null} policy the bits of a reader's policy, which takes the place of the kernel's
 * @returns {Story}
 */
export function followTimer({ engine, data }, settings, policy = null) {
  const world = data.worlds.timer;
  const kernel = policy === null ? String(settings.kernel) : data.machinery;
  const tables = given(world, { ...settings, kernel });
  if (policy !== null) /** @type {Record<string, number>} */ (tables.kernel).policy = policy;
  engine.prepare(tables, world.constant);
  const deadline = Number(settings.deadline_ns);
  const next = Number(settings.housekeeping_next_event_ns);
  const start = engine.call("arm_one_timer", deadline, next);
  const backend = engine.column("vcpus", "hv_timer_in_use")(0) ? "hv" : engine.column("timers", "cpu")(0) >= 0 ? "hrtimer" : null;
  engine.call("follow_one_timer", data.story.found[String(settings.vcpu_at_expiry)], start, deadline);
  const cpu = engine.column("vcpus", "pcpu")(0);
  const trace = readTrace(engine, start);
  const steps = tell(data.story, kernel, trace, cpu);
  return { kernel: String(settings.kernel), steps, trace, cpu, deadline, next, ...outcome(engine, data.story, backend, steps, cpu) };
}

/**
 * Return the trace, its times counted from `start`.
 * @param {import("./engine.js").Engine} engine
 * @param {number} start
 * @param {number[]} [wanted] codes: only these steps; all unless told
 * @returns {TraceStep[]}
 */
export const readTrace = (engine, start, wanted) => [...traceSteps(engine, start, wanted)];

/**
 * Read the trace step by step, as far as it is asked for.
 * @param {import("./engine.js").Engine} engine
 * @param {number} start
 * @param {number[]} [wanted]
 * @returns {Generator<TraceStep, void>}
 */
export function* traceSteps(engine, start, wanted) {
  const [time, cpu, vcpu, code, arg] = ["time", "cpu", "vcpu", "code", "arg"].map((name) => engine.column("trace", name));
  const used = engine.column("loop", "trace_used")(0);
  const read = new Set(wanted);
  for (let i = 0; i < used; i += 1) {
    const kind = code(i);
    if (!wanted || read.has(kind)) yield { time: time(i) - start, cpu: cpu(i), vcpu: vcpu(i), code: kind, arg: arg(i) };
  }
}

/**
 * Return a time in us with two digits.
 * @param {number} ns
 */
export const inUs = (ns) => `${(ns / 1000).toFixed(2)} us`;

/**
 * Tell the trace up to the guest's handler.
 * @param {StoryData} story
 * @param {string} kernel
 * @param {TraceStep[]} trace
 * @param {number} own the vCPU's pCPU
 * @returns {Step[]}
 */
function tell(story, kernel, trace, own) {
  const { codes, names } = story;
  /** @param {number} cpu */
  const cpuName = (cpu) => (cpu === own ? names.own : cpu === story.housekeeping_cpu ? names.housekeeping : names.other);
  const inGuest = [codes.HANDLER, codes.GUEST_HALTS, codes.DEVICE];
  const steps = /** @type {Step[]} */ ([]);
  for (const { time, cpu, code, arg } of trace) {
    if (code === codes.DONE || (code === codes.HRTIMER_INTERRUPT && cpu !== own)) continue;
    const exit = code === codes.EXIT ? story.exits[arg & ~story.fast] + (arg & story.fast ? " (fast path)" : "") : "";
    const sentence = story.sentences[code].replace("{exit}", exit).replace("{cpu}", cpuName(arg)).replace("{ns}", inUs(arg));
    const where = inGuest.includes(code) ? names.guest : cpuName(cpu);
    steps.push({ time, cpu, code, arg, where, name: story.functions[kernel][code], sentence });
    if (code === codes.HANDLER) break;
  }
  return steps.sort((a, b) => a.time - b.time || story.ranks[a.code] - story.ranks[b.code]);
}

/**
 * Read off what happened.
 * @param {import("./engine.js").Engine} engine
 * @param {StoryData} story
 * @param {string | null} backend
 * @param {Step[]} steps
 * @param {number} own
 */
function outcome(engine, story, backend, steps, own) {
  const fired = engine.column("pcpus", "fired");
  const places = engine.column("places");
  const place = Array.from({ length: engine.length.places }, (_, i) => i).find((i) => places(i) > 0);
  const here = fired(own) > 0 || place === story.codes.PLACE_HV;
  const elsewhere = Array.from({ length: engine.length.pcpus }, (_, i) => i).some((i) => fired(i) > 0);
  const firesOn = here ? "own" : elsewhere ? "housekeeping" : null;
  const woken = steps.some((step) => step.code === story.codes.WAKE_UP);
  const expiryExit = place === undefined ? null : (story.expiry_exits[place] ?? null);
  const delivery = place === undefined ? null : (story.deliveries[place] ?? (woken ? "wake_up" : "vm_entry"));
  const latency = engine.column("vcpus", "lat_n")(0) > 0 ? engine.column("vcpus", "lat_max")(0) : null;
  const cost = expiryExit ? `a${"AEIOU".includes(expiryExit[0]) ? "n" : ""} ${expiryExit} exit` : "no exit";
  const gaveWay = backend === "hv" && (firesOn === "housekeeping" || delivery === "wake_up");
  const clauses = [story.armed[gaveWay ? "hv, then hrtimer" : String(backend)], firesOn && story.fires[firesOn], delivery && story.came[delivery]];
  const summary = delivery === null ? story.nothing : `${clauses.filter(Boolean).join(", ")}; the expiry costs ${cost}.`;
  return { backend, firesOn, delivery, expiryExit, latency, summary };
}
