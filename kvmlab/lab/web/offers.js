// What became of each timer that was offered to a housekeeping CPU: read from the trace of a run.

/**
 * @typedef {import("./story.js").TraceStep} TraceStep
 * @typedef {{vcpu: number, time: number, deadline: number, moved: boolean, wanted: number, next: number,
 *   whose: number | null, inside: boolean}} Offer times in ns; deadline and next: from the arming on. next: when that CPU
 *   has its next timer interrupt; whose: the vCPU whose timer that is, null for another; inside: the CPU was inside one
 */

/**
 * Return the codes of the steps that are looked at.
 * @param {Record<string, number>} codes
 */
export const offerCodes = (codes) => [codes.START_SW_TIMER, codes.NOHZ_TARGET, codes.HRTIMER_START, codes.APIC_TIMER_FN, codes.HRTIMER_INTERRUPT];

/**
 * Return the offers of a trace, in order; those whose next interrupt the trace no longer holds are left out.
 * @param {TraceStep[]} trace
 * @param {Record<string, number>} codes
 * @returns {Offer[]}
 */
export function readOffers(trace, codes) {
  const offers = /** @type {Offer[]} */ ([]);
  const deadlines = new Map();
  const asked = new Map();
  for (const { time, cpu, vcpu, code, arg } of trace) {
    if (code === codes.START_SW_TIMER) deadlines.set(vcpu, arg);
    else if (code === codes.NOHZ_TARGET) asked.set(vcpu, arg);
    else if (code === codes.HRTIMER_START && asked.has(vcpu)) {
      const deadline = deadlines.get(vcpu) - time;
      offers.push({ vcpu, time, deadline, moved: arg !== cpu, wanted: asked.get(vcpu), next: NaN, whose: null, inside: false });
      asked.delete(vcpu);
    }
  }
  lookAhead(offers, interrupts(trace, codes));
  return offers.filter((offer) => !Number.isNaN(offer.next));
}

/**
 * @typedef {{from: number, to: number, cpu: number, whose: number | null}} Interrupt
 * @param {TraceStep[]} trace
 * @param {Record<string, number>} codes
 * @returns {Interrupt[]} in the order of their beginnings
 */
function interrupts(trace, codes) {
  const found = /** @type {Interrupt[]} */ ([]);
  let fired = /** @type {TraceStep[]} */ ([]);
  for (const step of trace) {
    if (step.code === codes.APIC_TIMER_FN) fired.push(step);
    else if (step.code === codes.HRTIMER_INTERRUPT) {
      const { time: from, cpu, arg } = step;
      const first = fired.find((each) => each.cpu === cpu && each.time >= from);
      found.push({ from, to: from + arg, cpu, whose: first ? first.vcpu : null });
      fired = fired.filter((each) => each.cpu !== cpu);
    }
  }
  return found.sort((a, b) => a.from - b.from);
}

/**
 * Fill in when the CPU that was asked has its next interrupt, and whether it is inside one.
 * @param {Offer[]} offers in the order of their times
 * @param {Interrupt[]} list in the order of their beginnings
 */
function lookAhead(offers, list) {
  const byCpu = new Map();
  for (const each of list) {
    if (!byCpu.has(each.cpu)) byCpu.set(each.cpu, []);
    byCpu.get(each.cpu).push(each);
  }
  const passed = new Map();
  for (const offer of offers) {
    const all = /** @type {Interrupt[]} */ (byCpu.get(offer.wanted) ?? []);
    let i = passed.get(offer.wanted) ?? 0;
    while (i < all.length && all[i].from < offer.time) i += 1;
    passed.set(offer.wanted, i);
    if (i < all.length) {
      offer.next = all[i].from - offer.time;
      offer.whose = all[i].whose;
    }
    offer.inside = i > 0 && offer.time < all[i - 1].to;
  }
}

/**
 * Return the share of those that moved, after each offer.
 * @param {Offer[]} offers
 */
export function sharesSoFar(offers) {
  let moved = 0;
  return offers.map((offer, i) => (moved += offer.moved ? 1 : 0) / (i + 1));
}
