// The porter: one housekeeping CPU fires everyone's timers; a queue fills up, each post is a spark to its vCPU.

import { h, renew } from "./dom.js";
import { simulateEach } from "./figures.js";
import { patch } from "./patch.js";
import { makePlayer } from "./player.js";
import { drawPorter, porterLegend, reasonsOf } from "./porter_picture.js";
import { playerKey, playWhenSeen } from "./seen.js";
import { queueOf, readServices, serviceCodes } from "./services.js";
import { traceSteps } from "./story.js";

/**
 * @typedef {import("./figures.js").Figures} Figures
 * @typedef {import("./services.js").Service} Service
 * @typedef {{figures: Figures, services: Service[], holes: import("./services.js").Hole[],
 *   interrupts: import("./services.js").Interrupt[], queue: {time: number, depth: number}[], hot: number, others: number[],
 *   place: number, vcpus: number, from: number, to: number}} Crowd hot: the housekeeping CPU that has most to do; place: the number of
 *   the place "posted"; from, to: what is played
 */

/** So many timers of each vCPU are played. */
const TICKS = 2;
const LEAD_NS = 3000;
const TAIL_NS = 3000;
/** A play takes about as long as so many ordinary steps. */
const STEPS = 20;

/**
 * Build the porter.
 * @param {import("./panel.js").Panel} panel
 * @returns {import("./panel.js").View}
 */
export function porter(panel) {
  const { data } = panel.tools;
  const picture = h("div", { class: "picture", tabindex: 0, role: "group", "aria-label": "the porter" });
  const numbers = h("dl", { class: "numbers" });
  const legend = h("p", { class: "legend" });
  const caption = h("p", { class: "step", "aria-live": "off" });
  let crowd = /** @type {Crowd | null} */ (null);
  let drawing = /** @type {ReturnType<typeof drawPorter> | null} */ (null);
  let deepest = 4;
  let explained = "";

  const player = makePlayer(
    (position, settled) => {
      if (!drawing || !crowd) return;
      patch(picture, [drawing(position)]);
      caption.setAttribute("aria-live", settled ? "polite" : "off");
      renew(caption, captionOf(crowd, Math.floor(position), data.story));
    },
    () => STEPS / Math.max(1, crowd?.services.length ?? 1),
  );

  /** @param {Crowd} shown */
  function explain(shown) {
    const seen = reasonsOf(shown);
    const reasons = data.reasons.filter((reason) => seen.includes(reason));
    const exits = shown.services.some(({ how }) => how !== "posted");
    const now = `${reasons} ${exits}`;
    if (now !== explained) legend.replaceChildren(...porterLegend(reasons, exits));
    explained = now;
  }

  function redraw() {
    if (!crowd) return;
    deepest = Math.max(deepest, ...crowd.queue.map(({ depth }) => depth));
    drawing = drawPorter(crowd, deepest, Math.max(300, panel.width()), sentence(crowd));
    explain(crowd);
  }

  return {
    world: "porter",
    first: ["vcpus", "ticks", "tick_hz", "housekeeping_cpus", "kernel"],
    body: [numbers, picture, legend, player.element, caption],
    update(settings, first) {
      const was = crowd;
      crowd = simulateCrowd(panel, settings);
      redraw();
      renew(numbers, tiles(crowd, was));
      player.reset(crowd.services.length + 1, first ? "start" : "end");
      if (first) playWhenSeen(panel, picture, player);
      return sentence(crowd);
    },
    resize() {
      redraw();
      player.reset((crowd?.services.length ?? 0) + 1, "here");
    },
    key: (event) => event.target === picture && playerKey(event, player),
    state: () => ({ ...crowd, position: player.position }),
  };
}

/**
 * Simulate the crowd; keep of its trace what is played.
 * @param {import("./panel.js").Panel} panel
 * @param {import("./world.js").Settings} settings
 * @returns {Crowd}
 */
function simulateCrowd(panel, settings) {
  const { engine, data } = panel.tools;
  const kernel = String(settings.kernel);
  const own = panel.policyFor(kernel);
  const bits = own ?? data.policies[panel.policyName(kernel)].bits;
  const tables = own === null ? settings : { ...settings, kernel: data.machinery };
  const [figures] = simulateEach(panel.tools, tables, { [kernel]: { bits } }, data.worlds.porter);
  const vcpus = engine.length.vcpus;
  const timers = TICKS * vcpus;
  const trace = traceSteps(engine, 0, serviceCodes(data.story.codes));
  const { services, holes, interrupts, booted } = readServices(trace, data.story, { vcpus, timers });
  const played = services.filter(({ due }) => due > booted).slice(0, timers);
  const from = Math.min(...played.map(({ due }) => due)) - LEAD_NS;
  const to = Math.max(...played.map(({ landed }) => landed)) + TAIL_NS;
  const hot = figures.load.reduce((most, cpu) => (cpu.share > most.share ? cpu : most), figures.load[0]).cpu;
  return {
    figures, vcpus, hot, from, to,
    place: Number(Object.keys(data.story.deliveries).find((number) => data.story.deliveries[number] === "posted")),
    services: played,
    holes: holes.filter((hole) => hole.to > from && hole.from < to),
    interrupts: interrupts.filter((each) => each.to > from && each.from < to),
    queue: queueOf(played, hot),
    others: figures.load.map(({ cpu }) => cpu).filter((cpu) => cpu !== hot),
  };
}

/** @param {number} ns */
const us = (ns) => (Number.isNaN(ns) ? "none" : `${(ns / 1000).toFixed(ns < 1e5 ? 1 : 0)} µs`);
/** @param {number} share */
const percent = (share) => `${(100 * share).toFixed(share > 0 && share < 0.1 ? 1 : 0)} %`;

/**
 * The numbers of the whole run, by name.
 * @param {Crowd} crowd
 * @returns {[string, string][]}
 */
function figuresOf({ figures, hot, place }) {
  const load = /** @type {Figures["load"][0]} */ (figures.load.find(({ cpu }) => cpu === hot));
  return [
    [`of pCPU ${hot}'s time`, percent(load.share)],
    ["most at once", String(load.queue)],
    ["p99 latency", us(figures.p99)],
    ["posted", percent(figures.places[place])],
  ];
}

/**
 * The numbers, and what they were before.
 * @param {Crowd} crowd
 * @param {Crowd | null} was
 */
function tiles(crowd, was) {
  const before = was ? figuresOf(was) : [];
  return figuresOf(crowd).map(([name, value], i) => {
    const then = before[i]?.[1];
    return h("div", {}, h("dt", {}, name), h("dd", {}, then && then !== value ? h("span", { class: "was" }, h("span", { class: "unseen" }, "was "), `${then.split(" ")[0]} → `) : null, h("b", {}, value)));
  });
}

/** @param {Crowd} crowd */
function sentence(crowd) {
  const [load, queue, late, posted] = figuresOf(crowd).map(([, value]) => value);
  return `${crowd.vcpus} vCPUs' timers take ${load} of the time of pCPU ${crowd.hot}; at most ${queue} timers are run in one interrupt; 99 of 100 timer interrupts are at most ${late} late; ${posted} are posted.`;
}

/**
 * Tell what happened to one timer.
 * @param {Crowd} crowd
 * @param {number} position
 * @param {import("./story.js").StoryData} story
 * @returns {Node[]}
 */
function captionOf({ services, queue }, position, story) {
  if (position === 0) return [h("span", {}, `${TICKS} timers of each vCPU are about to expire. Step on, or play.`)];
  const service = services[position - 1];
  if (!service) return [h("span", {}, "The numbers at the top are those of the whole run.")];
  const there = service.how === "posted" || service.how === "kicked";
  const waiting = queue.filter(({ time }) => time <= service.landed).pop()?.depth ?? 0;
  const text = `${story.fires[there ? "housekeeping" : "own"]}, ${story.came[service.how === "posted" ? "posted" : "vm_entry"]}; it comes ${us(service.late)} after the deadline. ${there ? `Still waiting: ${waiting}.` : ""}`;
  return [h("span", { class: "when" }, `${position}/${services.length} · timer of vCPU ${service.vcpu} · `), h("span", {}, text)];
}
