// A policy's predicate, term by term: which terms hold for some facts.

import { h } from "./dom.js";

/** Of these nobody needs to be told whether they hold. */
const CONSTANTS = ["false", "true"];

/**
 * @typedef {{bits: number, hv: number, terms: {text: string, bits: number}[]}} PolicyData each with its answers to all
 *   32 inputs; hv: whether the preemption timer, if there is one, may be used
 */

/**
 * Return the position of some facts in a policy's answers; `order`: the names of the facts.
 * @param {string[]} order
 * @param {Record<string, unknown>} facts
 */
export const indexOf = (order, facts) => order.reduce((sum, name, i) => sum + (facts[name] ? 2 ** i : 0), 0);

/**
 * @param {number} bits
 * @param {number} index
 */
export const answer = (bits, index) => Math.floor(bits / 2 ** index) % 2 === 1;

/**
 * Return the inputs whose answer changes if one term does: those for which all other terms hold.
 * @param {PolicyData} policy
 * @param {number} term
 * @returns {boolean[]} by index
 */
export const hangsOn = (policy, term) =>
  Array.from({ length: 32 }, (_, index) => policy.terms.every(({ bits }, i) => i === term || answer(bits, index)));

/**
 * Return the predicate with its terms marked.
 * @param {PolicyData} policy
 * @param {number} index of the facts
 * @param {(term: number) => import("./dom.js").Attributes} [more] what each term has besides
 * @returns {HTMLElement}
 */
export function predicate(policy, index, more = () => ({})) {
  const parts = policy.terms.flatMap(({ text, bits }, i) => {
    const holds = answer(bits, index);
    const term = CONSTANTS.includes(text) ? h("code", {}, text) : h("span", { class: holds ? "term true" : "term false", ...more(i) }, h("span", { "aria-label": holds ? "true:" : "false:" }, holds ? "✓ " : "✗ "), h("code", {}, text));
    return i === 0 ? [term] : [h("code", {}, " && "), term];
  });
  return h("span", { class: "predicate" }, ...parts);
}

/**
 * Return the line under the stage: what the kernel asks, and the answer.
 * @param {import("./panel.js").Panel} panel
 * @param {import("./world.js").Settings} settings
 * @param {boolean} isolated the vCPU's pCPU is no housekeeping CPU for timers
 */
export function decisionLine(panel, settings, isolated) {
  const { policies, facts } = panel.tools.data;
  const name = panel.policyName(String(settings.kernel));
  const policy = panel.policies()[name] ?? policies[name];
  const index = indexOf(facts, { ...settings, housekeeping_cpu: !isolated });
  const said = answer(policy.bits, index) ? "may be posted" : "may not be posted";
  return h("p", {}, h("b", {}, `${name}: `), predicate(policy, index), h("span", {}, ` → ${said}`));
}
