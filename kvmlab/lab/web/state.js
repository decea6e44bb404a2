// The state of a lab as text that can be read, sent and pasted; `panels/state.py` reads and writes the same.

import { refusal } from "./refusal.js";

const ALL_DEFAULTS = "defaults";

/**
 * @typedef {import("./world.js").Settings} Settings
 * @typedef {import("./world.js").Value} Value
 * @typedef {Record<string, import("./world.js").ControlSpec>} Controls
 */

/**
 * Return a value as a state has it: 1 or 0 for a switch, no blank in a name.
 * @param {Value} value
 */
const textOf = (value) => (typeof value === "boolean" ? String(Number(value)) : String(value).replaceAll(" ", "_"));

/**
 * Return settings as text that `readState` reads: those that differ from the defaults, or "defaults".
 * @param {Controls} controls
 * @param {Settings} settings all of them
 */
export function stateText(controls, settings) {
  const changed = Object.entries(controls).filter(([name, control]) => settings[name] !== control.default);
  return changed.map(([name]) => `${name}=${textOf(settings[name])}`).join(" ") || ALL_DEFAULTS;
}

/**
 * Return all settings that a state stands for; an error names what is not allowed, and what is.
 * @param {Controls} controls
 * @param {string} text
 * @returns {Settings}
 */
export function readState(controls, text) {
  const parts = text.split(/[ \t\r\n]+/).filter((part) => part !== "");
  if (parts.length === 0) throw refusal("state", text, `name=value, such as vcpus=7, or ${ALL_DEFAULTS}`);
  const changed = /** @type {Settings} */ ({});
  for (const part of parts.length === 1 && parts[0] === ALL_DEFAULTS ? [] : parts) {
    const sign = part.indexOf("=");
    if (sign < 0) throw refusal("state", part, "name=value, such as vcpus=7");
    const name = part.slice(0, sign);
    if (!Object.hasOwn(controls, name)) throw refusal("state: control", name, `one of ${Object.keys(controls).join(", ")}`);
    if (Object.hasOwn(changed, name)) throw refusal("state", part, `the only value of ${name}`);
    changed[name] = valueOf(controls, name, part.slice(sign + 1));
  }
  return { ...Object.fromEntries(Object.entries(controls).map(([name, control]) => [name, control.default])), ...changed };
}

/**
 * @param {Controls} controls
 * @param {string} name
 * @param {string} text
 */
function valueOf(controls, name, text) {
  const { values } = controls[name];
  const i = values.findIndex((value) => textOf(value) === text);
  if (i < 0) throw refusal(`state: ${name}`, text, `one of ${values.map(textOf).join(", ")}`);
  return values[i];
}
