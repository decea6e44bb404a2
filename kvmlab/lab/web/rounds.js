// The rounds of "you are KVM": each choice and each policy is followed by the model; the score is counted from that.

import { followTimer } from "./story.js";

/**
 * @typedef {import("./world.js").Settings} Settings
 * @typedef {{name: string, phrase: string, policy: string, settings: Settings}} Choice
 * @typedef {{guest: string, settings: Settings}} Case
 * @typedef {{who: string, by: number | null, exit: string | null, delivery: string | null, lost: number, late: number | null,
 *   housekeeping: number, summary: string, why: string}} Outcome `by`: the choice that has really fired it; times in ns;
 *   `why`: why not what was tried
 * @typedef {{case: Case, choices: Outcome[], policies: Outcome[]}} Round
 * @typedef {{who: string, exits: number, extra: number, housekeeping: number, paid: Record<string, number>}} Score
 */

/** Positions in the choices. */
const [HV, OWN, HOUSEKEEPING] = [0, 1, 2];

/**
 * Play one case by every choice and every policy.
 * @param {import("./main.js").Tools} tools
 * @param {Case} played
 * @param {Choice[]} choices
 * @param {Record<string, {bits: number}>} policies
 * @returns {Round}
 */
export function playRound(tools, played, choices, policies) {
  const { settings } = played;
  return {
    case: played,
    choices: choices.map((choice, i) => follow(tools, choice.name, { ...settings, ...choice.settings }, tools.data.policies[choice.policy].bits, i)),
    policies: Object.entries(policies).map(([name, { bits }]) => follow(tools, name, settings, bits)),
  };
}

/**
 * @param {import("./main.js").Tools} tools
 * @param {string} who
 * @param {Settings} settings
 * @param {number} bits
 * @param {number | null} tried the choice that was made
 * @returns {Outcome}
 */
function follow(tools, who, settings, bits, tried = null) {
  const { engine, data } = tools;
  const { codes, housekeeping_cpu: cpu } = data.story;
  const story = followTimer(tools, settings, bits);
  const by = story.steps.some((step) => step.code === codes.HV_EXPIRED) ? HV : story.firesOn === "housekeeping" ? HOUSEKEEPING : story.firesOn === "own" ? OWN : null;
  const refusal = tried === HV ? codes.HV_REFUSED : tried === HOUSEKEEPING ? codes.TARGET_REFUSED : null;
  const busy = story.cpu === cpu ? 0 : engine.column("pcpus", "timer_busy_ns")(cpu);
  return {
    who, by, exit: story.expiryExit, delivery: story.delivery, late: story.latency, housekeeping: busy, summary: story.summary,
    lost: engine.column("vcpus", "lost_ns")(0),
    why: story.steps.find((step) => step.code === refusal)?.sentence ?? "",
  };
}

/**
 * Return what a guest has lost beyond what the best choice would have cost it.
 * @param {Round} round
 * @param {Outcome} outcome
 */
export const extra = (round, outcome) => Math.max(0, outcome.lost - Math.min(...round.choices.map((each) => each.lost)));

/**
 * Count what some rounds have cost under each player.
 * @param {Round[]} rounds
 * @param {number[]} chosen by the reader, round by round
 * @param {string} you
 * @returns {Score[]} the reader first, then the policies
 */
export function scores(rounds, chosen, you) {
  const players = [you, ...(rounds[0]?.policies.map(({ who }) => who) ?? [])];
  return players.map((who, i) => {
    const outcomes = rounds.map((round, k) => (i === 0 ? round.choices[chosen[k]] : round.policies[i - 1]));
    const paid = /** @type {Record<string, number>} */ ({});
    outcomes.forEach((outcome, k) => {
      const { guest } = rounds[k].case;
      const more = extra(rounds[k], outcome);
      if (more > 0) paid[guest] = (paid[guest] ?? 0) + more;
    });
    return {
      who, paid,
      exits: outcomes.filter(({ exit }) => exit !== null).length,
      extra: Object.values(paid).reduce((sum, more) => sum + more, 0),
      housekeeping: outcomes.reduce((sum, outcome) => sum + outcome.housekeeping, 0),
    };
  });
}
