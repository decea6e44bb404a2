// Where a guess is made: numbers that are dragged, stepped or typed, or one of several choices. Each shows the truth too.

import { h } from "./dom.js";
import { refusal } from "./refusal.js";
import { grown, makeScale } from "./scale.js";
import { compared, digits } from "./verdict.js";

/**
 * @typedef {import("./verdict.js").Guess} Guess
 * @typedef {{id: string, question: string, unit: string, low: number, high: number, scale: string, step?: number,
 *   bars?: string[], choices?: string[], right_within: number, spot_on_within: number, slack: number, factor: number}} Asked
 * @typedef {{element: HTMLElement, guess: () => Guess | null, show: (guess: Guess) => void,
 *   tell: (actual: Guess) => void}} Field `guess` is null until it is whole; `tell` ends the guessing
 * @typedef {{changed: () => void, done: () => void, refused: (why: string) => void}} Ears
 */

const KEYS = /** @type {Record<string, number>} */ ({ ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, PageUp: 10, PageDown: -10 });
const DIGITS = 4;
/** The name of a number that stands alone. */
const ALONE = "";

let serial = 0;

/**
 * @param {Asked} asked
 * @param {Ears} ears
 * @returns {Field}
 */
export const makeField = (asked, ears) => (asked.choices ? choiceField(asked, asked.choices, ears) : numberField(asked, ears));

/**
 * Numbers on one scale: a bar each, or on a log scale a point.
 * @param {Asked} asked
 * @param {Ears} ears
 * @returns {Field}
 */
function numberField(asked, ears) {
  const names = asked.bars ?? [ALONE];
  const rows = names.map((name) => numberRow(name, asked, ears));
  const ticks = h("div", { class: "ticks", "aria-hidden": "true" });
  const element = h("div", { class: asked.bars ? "guesses" : "guesses alone" }, ...rows.map((row) => row.element), h("div", { class: "guess axis" }, h("span"), ticks));
  /** @param {import("./scale.js").Scale} scale */
  const draw = (scale) => {
    ticks.replaceChildren(...scale.ticks().map((tick) => h("span", { style: `left: ${100 * scale.share(tick)}%` }, digits(tick, DIGITS))));
    for (const row of rows) row.draw(scale);
  };
  draw(makeScale(asked));
  return {
    element,
    guess() {
      const values = rows.map((row) => row.value());
      if (values.includes(null)) return null;
      return asked.bars ? Object.fromEntries(names.map((name, i) => [name, /** @type {number} */ (values[i])])) : values[0];
    },
    show(guess) {
      rows.forEach((row, i) => row.set(typeof guess === "object" ? guess[names[i]] : Number(guess)));
    },
    tell(actual) {
      const each = names.map((name) => (typeof actual === "object" ? actual[name] : Number(actual)));
      rows.forEach((row, i) => row.tell(each[i]));
      draw(grown(asked, each));
    },
  };
}

/**
 * Put a label at its share of the width; it stays inside.
 * @param {HTMLElement} element
 * @param {number} share
 */
function place(element, share) {
  element.style.left = `${100 * share}%`;
  element.style.transform = `translateX(${-100 * share}%)`;
}

/**
 * One number.
 * @param {string} name
 * @param {Asked} asked
 * @param {Ears} ears
 */
function numberRow(name, asked, ears) {
  let scale = makeScale(asked);
  let value = /** @type {number | null} */ (null);
  let actual = /** @type {number | null} */ (null);
  const label = name || "your guess";
  const fill = h("div", { class: "fill" });
  const grip = h("div", { class: `grip ${asked.scale}`, role: "slider", tabindex: 0, "aria-label": `${label}${asked.unit ? `, ${asked.unit}` : ""}`, "aria-valuemin": asked.low, "aria-valuemax": asked.high });
  const mine = h("span", { class: "mine", "aria-hidden": "true" });
  const truth = h("div", { class: "truth" });
  const is = h("span", { class: "is" });
  const track = h("div", { class: "track" }, h("div", { class: "groove" }), fill, truth, grip, mine, is);
  const typed = h("input", { type: "text", inputmode: "decimal", "aria-label": `${label}, typed`, autocomplete: "off", placeholder: "type", change: () => read(typed.value), keydown: enter });
  const element = h("div", { class: "guess" }, h("span", { class: "name" }, name), track, h("label", { class: "typed" }, typed, h("span", {}, asked.unit)));

  /** @param {KeyboardEvent} event JupyterLab keeps the change that would follow from the browser */
  function enter(event) {
    if (event.key === "Enter") read(typed.value);
  }
  /** @param {number} number */
  const move = (number) => {
    if (actual !== null) return;
    set(number);
    ears.changed();
  };
  /** @param {number | null} number */
  function set(number) {
    value = number;
    draw(scale);
  }
  /** @param {string} text */
  function read(text) {
    const number = Number(text.replaceAll(",", ""));
    if (text.trim() !== "" && number >= asked.low && number <= asked.high) return move(number);
    draw(scale);
    ears.refused(refusal("guess", text, `a number from ${digits(asked.low, DIGITS)} to ${digits(asked.high, DIGITS)} ${asked.unit}`.trim()).message);
  }
  /** @param {import("./scale.js").Scale} now */
  function draw(now) {
    scale = now;
    const text = value === null ? "" : `${digits(value, DIGITS)} ${asked.unit}`.trim();
    const share = value === null ? 0 : scale.share(value);
    track.classList.toggle("unmade", value === null);
    fill.style.width = asked.scale === "log" ? "0" : `${100 * share}%`;
    grip.style.left = `${100 * share}%`;
    grip.setAttribute("aria-valuenow", String(value ?? scale.low));
    grip.setAttribute("aria-valuetext", text || "no guess yet");
    mine.textContent = text || (actual === null ? "drag, or press an arrow key" : "no guess");
    place(mine, share);
    typed.value = value === null ? "" : String(value);
    if (actual === null) return;
    const distance = value === null ? "" : `: ${compared(value, actual, asked).text}`;
    is.textContent = `${digits(actual, DIGITS)} ${asked.unit}`.trim() + distance;
    place(is, scale.share(actual));
    truth.style.left = `${100 * scale.share(actual)}%`;
  }

  /** @param {PointerEvent} event */
  const drag = (event) => {
    const { left, width } = track.getBoundingClientRect();
    move(scale.value(Math.min(Math.max((event.clientX - left) / width, 0), 1)));
  };
  track.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || actual !== null) return;
    event.preventDefault();
    grip.focus({ preventScroll: true });
    track.setPointerCapture(event.pointerId);
    drag(event);
  });
  track.addEventListener("pointermove", (event) => {
    if (track.hasPointerCapture(event.pointerId)) drag(event);
  });
  grip.addEventListener("keydown", (event) => {
    if (event.key === "Enter") ears.done();
    else if (event.key === "Home") move(scale.low);
    else if (event.key === "End") move(scale.high);
    else if (event.key in KEYS) move(scale.move(value, KEYS[event.key]));
    else return;
    event.preventDefault();
  });
  return {
    element,
    draw,
    set,
    value: () => value,
    /** @param {number} what */
    tell(what) {
      actual = what;
      track.classList.add("told");
      grip.setAttribute("aria-disabled", "true");
      typed.disabled = true;
    },
  };
}

/**
 * One of several.
 * @param {Asked} asked
 * @param {string[]} choices
 * @param {Ears} ears
 * @returns {Field}
 */
function choiceField(asked, choices, ears) {
  const name = `kvmlab-guess-${(serial += 1)}`;
  const inputs = choices.map((value) => h("input", { type: "radio", name, value, change: ears.changed }));
  const marks = choices.map(() => h("span", { class: "mark" }));
  const labels = choices.map((choice, i) => h("label", {}, inputs[i], h("span", {}, choice), marks[i]));
  const guess = () => inputs.find((input) => input.checked)?.value ?? null;
  const element = h("div", { class: "choices", role: "radiogroup", "aria-label": asked.question }, ...labels);
  element.addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    ears.done();
    event.preventDefault();
  });
  return {
    element,
    guess,
    show(chosen) {
      for (const input of inputs) input.checked = input.value === chosen;
    },
    tell(actual) {
      inputs.forEach((input, i) => {
        input.disabled = true;
        const [is, mine] = [choices[i] === actual, input.checked];
        labels[i].classList.toggle("right", is);
        labels[i].classList.toggle("wrong", mine && !is);
        marks[i].textContent = is ? (mine ? " ✓ so it is, as you said" : " ✓ so it is") : mine ? " ✗ your guess" : "";
      });
    },
  };
}
