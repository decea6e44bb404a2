// A vCPU moves: which pCPU does each question of the kernel ask about? Played beat by beat; what happens is the model's.

import { readBeats } from "./beats.js";
import { h, renew } from "./dom.js";
import { drawMove } from "./move_picture.js";
import { patch } from "./patch.js";
import { makePlayer } from "./player.js";
import { predicate } from "./predicate.js";
import { playerKey, playWhenSeen } from "./seen.js";
import { inUs, readTrace } from "./story.js";
import { given } from "./world.js";

/**
 * @typedef {import("./beats.js").Beat} Beat
 * @typedef {import("./beats.js").Role} Role
 * @typedef {import("./world.js").Settings} Settings
 * @typedef {{beats: Beat[], cpus: import("./move_picture.js").Cpus, says: string, exit: string | null, late: number}} Moved
 */

/** A beat takes so much longer than an ordinary step of a player: there is a sentence to read. */
const SLOW = 3;

/**
 * Build the move.
 * @param {import("./panel.js").Panel} panel
 * @returns {import("./panel.js").View}
 */
export function move(panel) {
  const { data } = panel.tools;
  const { kinds } = data.move;
  const { controls: specs } = data.worlds.move;
  const policies = /** @type {string[]} */ (panel.spec.options?.policies ?? specs.revision.values);
  // A control that has an effect under policies only that are not offered would give those away.
  const matters = (/** @type {string} */ name) => specs[name].needs.every(({ any_of }) => any_of.some(([, values]) => values.some((value) => policies.includes(String(value)))));
  const controls = ["revision", "mwait_in_guest", "hlt_in_guest"].filter(matters);
  const picture = h("div", { class: "picture", tabindex: 0, role: "group", "aria-label": "the move" });
  const caption = h("p", { class: "step", "aria-live": "off" });
  const asked = h("p", { class: "asked" });
  const grid = h("table", { class: "moves" });
  const played = /** @type {Map<string, Moved>} */ (new Map());
  let now = /** @type {Moved | null} */ (null);
  let settings = /** @type {Settings} */ ({});

  /** The table beside the picture takes its share of the panel's width; it is asked for once, not with every frame. */
  let room = 0;
  const width = () => (room ||= picture.clientWidth) || panel.width();

  const player = makePlayer(
    (position, settled) => {
      if (!now) return;
      const i = Math.min(Math.floor(position), now.beats.length - 1);
      patch(picture, [drawMove(now.beats[i], now.beats[i + 1] ?? null, position - i, now.cpus, Math.max(300, width()), said(now))]);
      caption.setAttribute("aria-live", settled ? "polite" : "off");
      renew(caption, told(now, i, data.move));
      renew(asked, questionOf(panel, settings, now.beats[i]));
      if (position >= now.beats.length - 1 && !played.has(keyOf(settings))) {
        played.set(keyOf(settings), now);
        drawGrid();
        panel.say.textContent = sentence(now);
      }
    },
    () => SLOW,
  );

  /** @param {Moved} moved */
  const said = (moved) => (played.has(keyOf(settings)) ? sentence(moved) : `${journey(moved)}: step on, or play, to see who fires the timer.`);

  function drawGrid() {
    const head = h("tr", {}, h("td", {}), ...kinds.map((kind) => h("th", { scope: "col" }, `to ${kind}`)));
    const rows = kinds.map((from) => h("tr", {}, h("th", { scope: "row" }, `from ${from}`), ...kinds.map((to) => {
      const here = { ...settings, from_cpu: from, to_cpu: to };
      const known = played.get(keyOf(here));
      const chosen = settings.from_cpu === from && settings.to_cpu === to;
      const text = known ? (known.exit ? `✗ ${shortOf(known.exit)}` : "✓ no exit") : "?";
      return h("td", {}, h("button", { type: "button", class: known ? (known.exit ? "exit" : "calm") : "", "aria-pressed": chosen ? "true" : "false", "aria-label": `from ${from} to ${to}: ${known ? (known.exit ?? "no exit") : "not played yet"}`, click: () => panel.moved({ from_cpu: from, to_cpu: to }) }, text));
    })));
    const focused = [...grid.querySelectorAll("button")].indexOf(/** @type {any} */ (panel.host.shadowRoot?.activeElement));
    renew(grid, [h("caption", {}, "The vCPU moves. The expiry costs:"), head, ...rows]);
    grid.querySelectorAll("button")[focused]?.focus();
  }

  return {
    world: "move",
    first: controls,
    only: controls,
    body: [h("div", { class: "top" }, picture, grid), player.element, caption, asked],
    update(chosen, first) {
      settings = chosen;
      now = simulateMove(panel, settings);
      drawGrid();
      const still = matchMedia("(prefers-reduced-motion: reduce)").matches || panel.still;
      player.reset(now.beats.length - 1, still && !first ? "end" : "start");
      if (first) playWhenSeen(panel, picture, player);
      else if (!still) player.play();
      return said(now);
    },
    resize() {
      room = 0;
      player.reset((now?.beats.length ?? 1) - 1, "here");
    },
    key: (event) => event.target === picture && playerKey(event, player),
    state: () => ({ ...now, position: player.position, figures: now && { exit: now.exit, late: now.late, questions: now.beats.flatMap(({ name, question }) => (question ? [{ name, ...question }] : [])) } }),
  };
}

/** @param {Settings} settings */
const keyOf = (settings) => JSON.stringify(Object.entries(settings).sort());

/** @param {string} exit */
const shortOf = (exit) => exit.toLowerCase().replace("_", " ");

/**
 * Simulate a move, and read its beats.
 * @param {import("./panel.js").Panel} panel
 * @param {Settings} settings
 * @returns {Moved}
 */
function simulateMove({ tools: { engine, data } }, settings) {
  const world = data.worlds.move;
  const { from, to, asks, ends, until_ns } = data.move;
  engine.prepare(given(world, settings), world.constant);
  engine.call("run", until_ns);
  const kinds = { from: String(settings.from_cpu), to: String(settings.to_cpu) };
  const numbers = { from: from[kinds.from], to: to[kinds.to] };
  const revision = String(settings.revision);
  const policy = asks.includes(revision)
    ? {
        bits: data.policies[revision].bits, facts: data.facts,
        known: { pi_inject_timer: true, apicv_active: true, mwait_in_guest: settings.mwait_in_guest, hlt_in_guest: settings.hlt_in_guest },
        housekeeping: { from: kinds.from !== "isolated", to: kinds.to !== "isolated" },
      }
    : null;
  const trace = readTrace(engine, 0).filter(({ vcpu }) => vcpu === 0);
  const beats = readBeats(trace, data.story.codes, numbers, policy, Boolean(settings.mwait_in_guest)).map((beat) => ({
    ...beat, exit: beat.exit === null ? null : data.story.exits[Number(beat.exit) & ~data.story.fast],
  }));
  const places = engine.column("places");
  const place = Array.from({ length: engine.length.places }, (_, i) => i).find((i) => places(i) > 0);
  const end = ends[String(place)];
  return {
    beats, says: end.says, exit: end.exit, late: engine.column("vcpus", "lat_max")(0),
    cpus: { from: { number: String(numbers.from), kind: kinds.from }, to: { number: String(numbers.to), kind: kinds.to }, other: { number: "0", kind: "housekeeping" } },
  };
}

/** @param {string | null} exit */
const cost = (exit) => (exit ? `${/^[AEIOU]/.test(exit) ? "an" : "a"} ${exit} exit` : "no exit");

/** @param {Moved} moved */
const journey = ({ cpus }) => `From pCPU ${cpus.from.number} (${cpus.from.kind}) to pCPU ${cpus.to.number} (${cpus.to.kind})`;

/** @param {Moved} moved */
function sentence(moved) {
  const { says, exit, late } = moved;
  return `${journey(moved)}: ${says}; ${cost(exit)}. The guest's handler starts ${inUs(late)} after the deadline.`;
}

/**
 * Tell one beat.
 * @param {Moved} moved
 * @param {number} i
 * @param {import("./beats.js").MoveData} data
 * @returns {Node[]}
 */
function told({ beats, cpus, exit }, i, data) {
  const beat = beats[i];
  /** @param {Role | undefined} role */
  const name = (role) => (role ? `pCPU ${cpus[role].number} (${cpus[role].kind})` : "");
  const text = data.beats[beat.name].replace("{from}", name("from")).replace("{to}", name("to")).replace("{timer}", name(beat.timer?.at)).replace("{cost}", cost(exit));
  const where = data.functions[beat.name];
  return [h("span", { class: "when" }, `${i}/${beats.length - 1} · ${(beat.time / 1e6).toFixed(3)} ms · `), where ? h("code", {}, where) : null, h("span", {}, `${where ? " · " : ""}${text}`)].filter((node) => node !== null);
}

/**
 * What a beat asks: which pCPU the line reads, and what the policy answers.
 * @param {import("./panel.js").Panel} panel
 * @param {Settings} settings
 * @param {Beat} beat
 * @returns {(Node | string)[]}
 */
function questionOf(panel, settings, { question, field, at }) {
  if (!question) return [];
  const revision = String(settings.revision);
  const about = field === at ? "The pCPU that the vCPU is on" : "The pCPU that the vCPU has left";
  return [
    h("b", {}, "Which pCPU does this line read? "), `${about}. ${revision}: `, predicate(panel.tools.data.policies[revision], question.index), ` → ${question.says ? "eligible" : "not eligible"}`,
  ];
}
