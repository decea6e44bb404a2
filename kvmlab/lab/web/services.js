// Who fired which timer, how long it waited, and when its vCPU saw it: read from the trace of a run.

/**
 * @typedef {import("./story.js").TraceStep} TraceStep
 * @typedef {import("./story.js").StoryData} StoryData
 * @typedef {{vcpu: number, cpu: number, due: number, start: number, end: number, landed: number, late: number,
 *   how: "posted" | "kicked" | "own" | "hv"}} Service due: the time that the host's timer was set for; start, end: its
 *   callback; landed: the guest's handler, `late` ns after the deadline
 * @typedef {{vcpu: number, from: number, to: number, reason: string}} Hole an exit
 * @typedef {{cpu: number, from: number, to: number}} Interrupt
 * @typedef {{services: Service[], holes: Hole[], interrupts: Interrupt[], booted: number}} Served booted: when every vCPU
 *   has been in its guest
 */

/**
 * Return the codes of the steps that are looked at.
 * @param {Record<string, number>} codes
 */
export const serviceCodes = (codes) => [
  codes.ENTRY, codes.EXIT, codes.APIC_TIMER_FN, codes.HV_EXPIRED, codes.EXPIRED_POSTED, codes.KICK, codes.HANDLER, codes.HRTIMER_INTERRUPT,
];

/** A trace is in order, but for the steps of one interrupt, which takes less than this. */
const ORDER_NS = 1e6;

/**
 * Read a trace.
 * @param {Iterable<TraceStep>} trace
 * @param {StoryData} story
 * @param {{vcpus: number, timers: number}} [enough] how far: until so many vCPUs have booted, and then so many timers
 *   have come that were due after that; to its end unless told
 * @returns {Served}
 */
export function readServices(trace, { codes, exits, fast }, enough = { vcpus: 0, timers: Infinity }) {
  const services = /** @type {Service[]} */ ([]);
  const holes = /** @type {Hole[]} */ ([]);
  const interrupts = /** @type {Interrupt[]} */ ([]);
  const home = new Map();
  const open = new Map();
  const left = new Map();
  let booted = 0;
  let missing = enough.timers;
  let end = Infinity;
  /** @param {number} vcpu @param {Partial<Service>} what */
  const note = (vcpu, what) => open.has(vcpu) && Object.assign(open.get(vcpu), what);
  for (const { time, cpu, vcpu, code, arg } of trace) {
    if (time > end) break;
    if (code === codes.ENTRY) {
      if (!home.has(vcpu)) booted = time;
      home.set(vcpu, cpu);
      if (left.has(vcpu)) holes.push({ ...left.get(vcpu), to: time });
      left.delete(vcpu);
    } else if (code === codes.EXIT) left.set(vcpu, { vcpu, from: time, reason: exits[arg & ~fast] });
    else if (code === codes.APIC_TIMER_FN) {
      const how = cpu === home.get(vcpu) ? "own" : "kicked";
      open.set(vcpu, { vcpu, cpu, due: time - arg, start: time, end: time, how });
    } else if (code === codes.HV_EXPIRED) open.set(vcpu, { vcpu, cpu, due: time, start: time, end: time, how: "hv" });
    else if (code === codes.EXPIRED_POSTED) note(vcpu, { end: time, how: "posted" });
    else if (code === codes.KICK) note(vcpu, { end: time });
    else if (code === codes.HANDLER && open.has(vcpu)) {
      const service = { ...open.get(vcpu), landed: time, late: arg };
      services.push(service);
      open.delete(vcpu);
      if (home.size >= enough.vcpus && service.due > booted) missing -= 1;
      if (missing === 0) end = Math.min(end, time + ORDER_NS);
    } else if (code === codes.HRTIMER_INTERRUPT && arg > 0) interrupts.push({ cpu, from: time, to: time + arg });
  }
  return { services: services.sort((a, b) => a.landed - b.landed), holes, interrupts, booted };
}

/**
 * Return how many timers wait or are served on a CPU, after each change.
 * @param {Service[]} services
 * @param {number} cpu
 * @returns {{time: number, depth: number}[]}
 */
export function queueOf(services, cpu) {
  const changes = services
    .filter((service) => service.cpu === cpu && (service.how === "posted" || service.how === "kicked"))
    .flatMap(({ due, end }) => [{ time: due, by: 1 }, { time: end, by: -1 }])
    .sort((a, b) => a.time - b.time || b.by - a.by);
  let depth = 0;
  const steps = /** @type {{time: number, depth: number}[]} */ ([]);
  for (const { time, by } of changes) {
    depth += by;
    if (steps.length && steps[steps.length - 1].time === time) steps[steps.length - 1].depth = depth;
    else steps.push({ time, depth });
  }
  return steps;
}
