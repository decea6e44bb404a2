// The controls of a panel: native elements, each with a name, moved by keyboard, mouse and touch.

import { choose, h, write } from "./dom.js";

/**
 * @typedef {import("./world.js").ControlSpec} ControlSpec
 * @typedef {import("./world.js").Value} Value
 * @typedef {{element: HTMLElement, show: (value: Value) => void, enable: (reason: string | null) => void}} Control
 */

let serial = 0;

/**
 * Make a control.
 * @param {ControlSpec} spec
 * @param {(value: Value) => void} moved called with the value that the reader has chosen
 * @returns {Control}
 */
export function makeControl(spec, moved) {
  const make = { slider: makeSlider, switch: makeSwitch, choice: makeChoice, buttons: makeButtons }[spec.kind];
  if (!make) throw new Error(`control: there is no kind ${spec.kind}`);
  return make(spec, moved);
}

/**
 * Return the function that greys a control out, and says why.
 * @param {HTMLElement} element
 * @param {(HTMLInputElement | HTMLSelectElement)[]} inputs
 */
function enabler(element, inputs) {
  const why = h("span", { class: "why", id: `kvmlab-why-${(serial += 1)}` });
  element.append(why);
  let known = /** @type {string | null} */ (null);
  /** @param {string | null} reason */
  return (reason) => {
    if (reason === known) return;
    known = reason;
    element.classList.toggle("idle", reason !== null);
    element.title = reason ?? "";
    why.textContent = reason ?? "";
    for (const input of inputs) {
      if (reason === null) input.removeAttribute("aria-describedby");
      else input.setAttribute("aria-describedby", why.id);
    }
  };
}

/**
 * @param {ControlSpec} spec
 * @param {(value: Value) => void} moved
 * @returns {Control}
 */
function makeSlider(spec, moved) {
  const text = h("output", {});
  const input = h("input", { type: "range", min: 0, max: spec.values.length - 1, step: 1, "aria-label": spec.label });
  /** @param {number} i */
  const say = (i) => {
    write(text, spec.texts[i]);
    if (input.ariaValueText !== spec.texts[i]) input.setAttribute("aria-valuetext", spec.texts[i]);
  };
  input.addEventListener("input", () => {
    say(Number(input.value));
    moved(spec.values[Number(input.value)]);
  });
  const element = h("div", { class: "control slider" }, h("span", { class: "name", "aria-hidden": "true" }, spec.label), text, input);
  return {
    element,
    show(value) {
      const i = spec.values.indexOf(value);
      if (input.value !== String(i)) input.value = String(i);
      say(i);
    },
    enable: enabler(element, [input]),
  };
}

/**
 * @param {ControlSpec} spec
 * @param {(value: Value) => void} moved
 * @returns {Control}
 */
function makeSwitch(spec, moved) {
  const input = h("input", { type: "checkbox", change: () => moved(input.checked) });
  const element = h("label", { class: "control switch" }, input, h("span", {}, spec.label));
  return {
    element,
    show(value) {
      input.checked = Boolean(value);
    },
    enable: enabler(element, [input]),
  };
}

/**
 * @param {ControlSpec} spec
 * @param {(value: Value) => void} moved
 * @returns {Control}
 */
function makeChoice(spec, moved) {
  const options = spec.texts.map((text, i) => h("option", { value: i }, text));
  const select = h("select", { change: () => moved(spec.values[Number(select.value)]) }, ...options);
  const element = h("label", { class: "control choice" }, h("span", { class: "name" }, spec.label), select);
  return {
    element,
    show(value) {
      choose(select, String(spec.values.indexOf(value)));
    },
    enable: enabler(element, [select]),
  };
}

/**
 * @param {ControlSpec} spec
 * @param {(value: Value) => void} moved
 * @returns {Control}
 */
function makeButtons(spec, moved) {
  const name = `kvmlab-${(serial += 1)}`;
  const inputs = spec.values.map((value) => h("input", { type: "radio", name, change: () => moved(value) }));
  const labels = inputs.map((input, i) => h("label", {}, input, h("span", {}, spec.texts[i])));
  const buttons = h("span", { class: "buttons" }, ...labels);
  const element = h("div", { class: "control radios", role: "radiogroup", "aria-label": spec.label }, h("span", { class: "name" }, spec.label), buttons);
  return {
    element,
    show(value) {
      inputs.forEach((input, i) => {
        input.checked = spec.values[i] === value;
      });
    },
    enable: enabler(element, inputs),
  };
}
