// The lab: the counts with every control, presets with their names, and a state to copy, to paste and to link to.

import { counts } from "./counts.js";
import { choose, h, write } from "./dom.js";
import { readState, stateText } from "./state.js";

/**
 * @typedef {import("./world.js").Settings} Settings
 * @typedef {import("./state.js").Controls} Controls
 * @typedef {{name: string | null, changed: boolean}} Preset
 */

const HASH = "#lab:";
const COPIED_MS = 1600;
/** The address follows once the controls have rested this long: browsers take their time, and refuse many changes. */
const RESTED_MS = 200;

/**
 * Return which preset some settings are.
 * @param {Record<string, Settings>} presets what differs from the defaults
 * @param {Controls} controls
 * @param {Settings} settings
 * @param {string | null} last the preset that was chosen last; null: the settings were read from a state
 * @returns {Preset} `changed`: they have been moved away from it
 */
export function presetOf(presets, controls, settings, last) {
  const now = stateText(controls, settings);
  /** @param {string} name */
  const is = (name) => stateText(controls, wholePreset(presets, controls, name)) === now;
  if (last !== null && is(last)) return { name: last, changed: false };
  const name = Object.keys(presets).find(is);
  return name === undefined ? { name: last, changed: true } : { name, changed: false };
}

/**
 * Return all settings of a preset.
 * @param {Record<string, Settings>} presets
 * @param {Controls} controls
 * @param {string} name
 * @returns {Settings}
 */
export function wholePreset(presets, controls, name) {
  return { ...Object.fromEntries(Object.entries(controls).map(([control, spec]) => [control, spec.default])), ...presets[name] };
}

/**
 * Build the lab.
 * @param {import("./panel.js").Panel} panel
 * @returns {import("./panel.js").View}
 */
export function lab(panel) {
  const { presets, groups } = /** @type {{presets: Record<string, Settings>, groups: [string, string[]][]}} */ (panel.spec.options);
  const { controls } = panel.tools.data.worlds.host;
  const inner = counts(panel);
  let last = /** @type {string | null} */ (Object.keys(presets)[0]);
  const bar = presetBar(presets, (name) => {
    last = name;
    panel.moved(wholePreset(presets, controls, name));
  });
  const state = stateField((text) => {
    const settings = readState(controls, text);
    last = null;
    panel.moved(settings);
  });
  if (onPage()) followAddress(state);
  let moving = 0;
  /** @param {string} text */
  const address = (text) => {
    clearTimeout(moving);
    moving = window.setTimeout(() => history.replaceState(history.state, "", HASH + text.replaceAll(" ", "+")), RESTED_MS);
  };

  return {
    ...inner,
    groups,
    body: [h("div", { class: "toolbar" }, bar.element, state.element), ...inner.body],
    update(settings, first) {
      const preset = presetOf(presets, controls, settings, last);
      last = preset.name;
      bar.show(preset);
      const text = stateText(controls, settings);
      state.show(text);
      if (!first && onPage()) address(text);
      return inner.update(settings, first);
    },
  };
}

/** Whether the panel stands on a page of its own: not in a notebook, and in no frame of somebody else. */
const onPage = () => document.getElementById("jupyter-config-data") === null && window.top === window;

/**
 * Take the state from the page's address, now and whenever it changes.
 * @param {ReturnType<typeof stateField>} state
 */
function followAddress(state) {
  const read = () => {
    if (location.hash.startsWith(HASH)) state.read(decode(location.hash.slice(HASH.length)).replaceAll("+", " "));
  };
  queueMicrotask(read); // the panel is not built yet
  addEventListener("hashchange", read);
}

/** @param {string} text */
function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/**
 * The choice of a preset. Once something has been moved, what is shown is an entry of its own, so that the preset can be
 * chosen once more.
 * @param {Record<string, Settings>} presets
 * @param {(name: string) => void} chosen
 */
function presetBar(presets, chosen) {
  const names = Object.keys(presets);
  const moved = h("option", { value: "", hidden: true, disabled: true });
  const select = h("select", { "aria-label": "preset", change: () => chosen(select.value) }, moved, ...names.map((name) => h("option", { value: name }, name)));
  const reset = h("button", { type: "button", click: () => chosen(back) }, "reset");
  let back = names[0];
  return {
    element: h("span", { class: "preset" }, h("span", { class: "name", "aria-hidden": "true" }, "preset"), select, reset),
    /** @param {Preset} preset */
    show({ name, changed }) {
      back = name ?? names[0];
      write(moved, name === null ? "your own settings" : `${name} (changed)`);
      choose(select, changed ? "" : back);
      reset.disabled = !changed;
      const title = `set all controls as in "${back}"`;
      if (reset.title !== title) reset.title = title;
    },
  };
}

/**
 * The state: shown, copied, pasted.
 * @param {(text: string) => void} restore throws what is wrong with a text
 */
function stateField(restore) {
  let shown = "";
  const error = h("p", { class: "error", role: "alert", id: `kvmlab-state-${(serial += 1)}` });
  const input = h("input", {
    type: "text", class: "state", "aria-label": "state: copy it, or paste one and press Enter", "aria-describedby": error.id, spellcheck: "false", autocomplete: "off",
    change: () => field.read(input.value), focus: () => input.select(),
  });
  input.addEventListener("keydown", (event) => {
    if (event.key === "Escape") field.show(shown);
    if (event.key === "Enter") field.read(input.value); // JupyterLab keeps the change that would follow from the browser
  });
  const copy = h("button", { type: "button", click: async () => {
    input.value = shown;
    copy.textContent = (await copied(shown, input)) ? "copied" : "press Ctrl+C";
    setTimeout(() => { copy.textContent = "copy"; }, COPIED_MS);
  } }, "copy");
  copy.setAttribute("aria-live", "polite");
  const field = {
    element: h("span", { class: "shared" }, h("span", { class: "name", "aria-hidden": "true" }, "state"), input, copy, error),
    /** @param {string} text */
    show(text) {
      shown = text;
      input.value = text;
      write(error, "");
      input.removeAttribute("aria-invalid");
    },
    /** @param {string} text */
    read(text) {
      try {
        restore(text);
      } catch (reason) {
        input.value = text;
        error.textContent = reason instanceof Error ? reason.message : String(reason);
        input.setAttribute("aria-invalid", "true");
      }
    },
  };
  return field;
}

let serial = 0;

/**
 * Put text into the clipboard; where that is not allowed, select it for the reader.
 * @param {string} text
 * @param {HTMLInputElement} input
 * @returns {Promise<boolean>}
 */
async function copied(text, input) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    input.select();
    return document.execCommand("copy");
  }
}
