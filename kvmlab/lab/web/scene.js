// What is to be seen of one timer's life: spans on lanes, flags, and what flies between lanes. Times in ns.

/**
 * @typedef {import("./story.js").Story} Story
 * @typedef {import("./story.js").StoryData} StoryData
 * @typedef {"guest" | "own" | "housekeeping"} Lane
 * @typedef {{lane: Lane, from: number, to: number, kind: string, text: string, title: string}} Span
 * @typedef {{lane: Lane, armed: number, until: number, at: number, fired: boolean, text: string}} Flag
 * @typedef {{kind: "queue" | "refused" | "post" | "kick" | "wake", from: Lane, to: Lane, start: number, end: number, text: string}} Flight
 * @typedef {import("./story.js").Step & {shown: number}} ShownStep
 * @typedef {{start: number, end: number, times: number[], steps: ShownStep[], spans: Span[], flags: Flag[],
 *   flights: Flight[]}} Scene
 */

const LEAD_NS = 4000;
const TAIL_NS = 2500;
/** Steps of one instant are drawn this far apart. */
const APART_NS = 60;

/**
 * Return the scene of a story.
 * @param {Story} story
 * @param {StoryData} data
 * @returns {Scene}
 */
export function makeScene(story, data) {
  const { codes } = data;
  const steps = spread(story.steps);
  const last = steps.length ? steps[steps.length - 1].shown : 0;
  const end = Math.max(last, story.deadline) + TAIL_NS;
  const start = -LEAD_NS;
  /** @param {number} cpu @returns {Lane} */
  const laneOf = (cpu) => (cpu === story.cpu ? "own" : "housekeeping");
  const flags = makeFlags(steps, codes, laneOf);
  const times = [start, end, ...steps.map((step) => step.shown), ...flags.map((flag) => flag.at)];
  if (story.deadline > 0) times.push(story.deadline);
  if (story.next <= end) times.push(story.next);
  const spans = [...guestSpans(steps, data, start, end), ...ownSpans(steps, data, end), ...timerSpans(story, data, laneOf, end)];
  return { start, end, times, steps, spans, flags, flights: makeFlights(steps, codes, laneOf) };
}

/**
 * Draw steps of one instant a little apart, in their order.
 * @param {import("./story.js").Step[]} steps
 * @returns {ShownStep[]}
 */
function spread(steps) {
  let before = -Infinity;
  return steps.map((step) => {
    before = Math.max(step.time, before + APART_NS);
    return { ...step, shown: before };
  });
}

/**
 * Return the name of the exit that a kvm_exit step reports, and its text.
 * @param {ShownStep} step
 * @param {StoryData} data
 */
function exitOf({ arg }, { exits, fast }) {
  const kind = exits[arg & ~fast];
  return { kind, text: kind + (arg & fast ? " (fast path)" : "") };
}

/**
 * The guest's calm bar, and the holes in it.
 * @param {ShownStep[]} steps
 * @param {StoryData} data
 * @param {number} start
 * @param {number} end
 * @returns {Span[]}
 */
function guestSpans(steps, data, start, end) {
  const { codes } = data;
  const spans = /** @type {Span[]} */ ([]);
  let since = start;
  let hole = /** @type {{kind: string, text: string} | null} */ (null);
  /** @param {number} to */
  const close = (to) => {
    const title = hole ? `The vCPU is out of the guest: ${hole.text}.` : "The guest runs.";
    if (to > since) spans.push({ lane: "guest", from: since, to, kind: hole ? "hole" : "guest", text: hole?.text ?? "guest runs", title });
    since = to;
  };
  for (const step of steps) {
    if (step.code === codes.EXIT) {
      close(step.shown);
      hole = exitOf(step, data);
    } else if (step.code === codes.ENTRY) {
      close(step.shown);
      hole = null;
    }
  }
  close(end);
  return spans;
}

/**
 * What the vCPU's pCPU does while the vCPU is out of the guest.
 * @param {ShownStep[]} steps
 * @param {StoryData} data
 * @param {number} end
 * @returns {Span[]}
 */
function ownSpans(steps, data, end) {
  const { codes } = data;
  const spans = /** @type {Span[]} */ ([]);
  let open = /** @type {{from: number, kind: string, text: string, title: string} | null} */ (null);
  /** @param {number} to @param {typeof open} then */
  const turn = (to, then) => {
    if (open && to > open.from) spans.push({ lane: "own", to, ...open });
    open = then;
  };
  for (const step of steps) {
    const { code, shown: from } = step;
    if (code === codes.EXIT) {
      const { kind, text } = exitOf(step, data);
      turn(from, { from, kind, text, title: `The host handles the exit ${text}.` });
    } else if (code === codes.SCHED_OUT) turn(from, { from, kind: "other", text: "another task", title: step.sentence });
    else if (code === codes.WAKE_UP) turn(from, { from, kind: "other", text: "waking up", title: "The vCPU thread wakes up." });
    else if (code === codes.BLOCK || code === codes.ENTRY) turn(from, null);
  }
  turn(end, null);
  return spans;
}

/**
 * Interrupts of host timers, on both pCPUs.
 * @param {Story} story
 * @param {StoryData} data
 * @param {(cpu: number) => Lane} laneOf
 * @param {number} end
 * @returns {Span[]}
 */
function timerSpans(story, { codes }, laneOf, end) {
  return story.trace
    .filter(({ code, arg, time }) => code === codes.HRTIMER_INTERRUPT && arg > 0 && time < end)
    .map(({ time, cpu, arg }) => ({
      lane: laneOf(cpu), from: time, to: time + arg, kind: "hrtimer", text: "hrtimer_interrupt",
      title: `The CPU's event timer has fired: host timers that are due are run (${(arg / 1000).toFixed(2)} us).`,
    }));
}

/**
 * The armed timer: a flag where it is to fire.
 * @param {ShownStep[]} steps
 * @param {Record<string, number>} codes
 * @param {(cpu: number) => Lane} laneOf
 * @returns {Flag[]}
 */
function makeFlags(steps, codes, laneOf) {
  const flags = /** @type {Flag[]} */ ([]);
  let open = /** @type {{lane: Lane, armed: number, text: string} | null} */ (null);
  /** @param {number} until @param {number} at @param {boolean} fired */
  const close = (until, at, fired) => {
    if (open) flags.push({ ...open, until, at: Math.max(at, open.armed), fired });
    open = null;
  };
  for (const { time, shown, code, arg } of steps) {
    if (code === codes.START_HV_TIMER) open = { lane: "own", armed: shown, text: "preemption timer" };
    else if (code === codes.HRTIMER_START) {
      open = { lane: laneOf(arg), armed: shown, text: laneOf(arg) === "own" ? "local hrtimer" : "remote hrtimer" };
    } else if (code === codes.HV_EXPIRED) close(shown, time, true);
    else if (code === codes.APIC_TIMER_FN) close(shown, time - arg, true);
    else if (code === codes.CANCEL_HV_TIMER || code === codes.HRTIMER_CANCEL) close(shown, time, false);
  }
  return flags;
}

/**
 * What flies from lane to lane.
 * @param {ShownStep[]} steps
 * @param {Record<string, number>} codes
 * @param {(cpu: number) => Lane} laneOf
 * @returns {Flight[]}
 */
function makeFlights(steps, codes, laneOf) {
  /** @param {number} i @param {number[]} wanted */
  const next = (i, ...wanted) => steps.slice(i + 1).find((step) => wanted.includes(step.code))?.shown;
  return steps.flatMap(({ code, cpu, arg, shown }, i) => {
    /** @param {Flight["kind"]} kind @param {Lane} from @param {Lane} to @param {number | undefined} end @param {string} text @returns {Flight[]} */
    const fly = (kind, from, to, end, text) => [{ kind, from, to, start: shown, end: end ?? shown + APART_NS, text }];
    if (code === codes.HRTIMER_START && laneOf(arg) !== "own") return fly("queue", "own", "housekeeping", undefined, "queued");
    if (code === codes.TARGET_REFUSED) return fly("refused", "own", "housekeeping", undefined, "refused");
    if (code === codes.EXPIRED_POSTED) return fly("post", laneOf(cpu), "guest", next(i, codes.HANDLER), "posted interrupt");
    if (code === codes.KICK && laneOf(cpu) !== "own") return fly("kick", laneOf(cpu), "own", next(i, codes.EXIT), "kick (IPI)");
    return [];
  });
}
