// The door: each armed timer is offered to the housekeeping CPU. It is taken if another event comes first there.

import { drawDoor } from "./doorway.js";
import { h, renew } from "./dom.js";
import { offerCodes, readOffers, sharesSoFar } from "./offers.js";
import { patch } from "./patch.js";
import { makePlayer } from "./player.js";
import { playerKey, playWhenSeen } from "./seen.js";
import { readTrace } from "./story.js";
import { given } from "./world.js";

/**
 * @typedef {import("./offers.js").Offer} Offer
 * @typedef {{offers: Offer[], shares: number[], share: number, timers: number}} DoorRun share: of the whole run
 */

/** The first offers are shown slowly, the later ones only build up the share. */
const SLOW = 4;
const SLOW_WEIGHT = 3;
const MIDDLE = 14;
const FAST_WEIGHT = 0.22;

/**
 * Build the door.
 * @param {import("./panel.js").Panel} panel
 * @returns {import("./panel.js").View}
 */
export function door(panel) {
  const { data } = panel.tools;
  const picture = h("div", { class: "picture", tabindex: 0, role: "group", "aria-label": "the door" });
  const caption = h("p", { class: "step", "aria-live": "off" });
  let run = /** @type {DoorRun | null} */ (null);
  let drawing = /** @type {ReturnType<typeof drawDoor> | null} */ (null);
  let horizon = 0;

  const player = makePlayer(
    (at, settled) => {
      if (!drawing || !run) return;
      patch(picture, [drawing(at)]);
      const done = at % 1 === 0 ? at - 1 : Math.floor(at);
      caption.setAttribute("aria-live", settled ? "polite" : "off");
      renew(caption, captionOf(run, done, data.story));
    },
    (i) => (i < SLOW ? SLOW_WEIGHT : i < MIDDLE ? 1 : FAST_WEIGHT),
  );

  function redraw() {
    if (!run) return;
    drawing = drawDoor(run, horizon, Math.max(300, panel.width()), sentence(run));
  }

  return {
    world: "door",
    first: ["deadline_us", "period_us", "vcpus"],
    only: panel.spec.options?.controls,
    body: [picture, player.element, caption],
    update(settings, first) {
      run = simulateDoor(panel.tools, settings);
      horizon = reach(horizon, 1000 * Math.max(Number(settings.deadline_us), Number(settings.period_us)));
      redraw();
      player.reset(run.offers.length, first ? "start" : "end");
      if (first) playWhenSeen(panel, picture, player);
      return sentence(run);
    },
    resize() {
      redraw();
      player.reset(run?.offers.length ?? 0, "here");
    },
    key: (event) => event.target === picture && playerKey(event, player),
    state: () => ({ ...run, position: player.position }),
  };
}

/**
 * Simulate the door, and read what became of each offer.
 * @param {import("./main.js").Tools} tools
 * @param {import("./world.js").Settings} settings
 * @returns {DoorRun}
 */
function simulateDoor({ engine, data }, settings) {
  const world = data.worlds.door;
  engine.prepare(given(world, settings), world.constant);
  engine.call("run", data.door.until_ns);
  const offers = readOffers(readTrace(engine, 0, offerCodes(data.story.codes)), data.story.codes).slice(0, data.door.shown);
  const [fired, housekeeping] = [engine.column("pcpus", "fired"), engine.column("pcpus", "housekeeping")];
  const cpus = Array.from({ length: engine.length.pcpus }, (_, cpu) => cpu);
  const timers = cpus.reduce((sum, cpu) => sum + fired(cpu), 0);
  const there = cpus.reduce((sum, cpu) => sum + (housekeeping(cpu) ? fired(cpu) : 0), 0);
  return { offers, shares: sharesSoFar(offers), share: timers > 0 ? there / timers : NaN, timers };
}

/** @param {number} share */
const percent = (share) => `${(100 * share).toFixed(share > 0.1 ? 0 : 1)} %`;

/** @param {DoorRun} run */
function sentence({ offers, share, timers }) {
  const moved = offers.filter((offer) => offer.moved).length;
  return `Of the first ${offers.length} timers, ${moved} move to the housekeeping CPU and ${offers.length - moved} stay. In the whole run ${percent(share)} of ${timers} fire there.`;
}

/** @param {number} ns */
const inMs = (ns) => `${(ns / 1e6).toFixed(2)} ms`;

/**
 * Tell what became of one offer.
 * @param {DoorRun} run
 * @param {number} i
 * @param {import("./story.js").StoryData} story
 * @returns {Node[]}
 */
function captionOf({ offers }, i, { sentences, codes, names }) {
  if (i < 0) return [h("span", {}, "Each timer that is armed is offered to the housekeeping CPU. Step on, or play.")];
  const { vcpu, next, whose, moved, inside } = offers[i];
  const event = whose === null ? "its next timer there" : `vCPU ${whose}'s timer comes first there`;
  const when = inside ? "that CPU is inside its timer interrupt." : `${event}: in ${inMs(next)}.`;
  const said = sentences[moved ? codes.HRTIMER_START : codes.TARGET_REFUSED].replace("{cpu}", names.housekeeping);
  return [
    h("span", { class: "when" }, `${i + 1}/${offers.length} · vCPU ${vcpu} · `),
    h("span", {}, `${when} ${said}`),
  ];
}

/**
 * Return how far the axis reaches, in ns: it grows, and shrinks only if little of it would be used.
 * @param {number} before
 * @param {number} farthest
 */
export function reach(before, farthest) {
  const needed = 1.12 * farthest;
  if (needed <= before && needed > before / 4) return before;
  const power = 10 ** Math.floor(Math.log10(needed));
  return ([1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8].find((step) => step * power >= needed) ?? 10) * power;
}
