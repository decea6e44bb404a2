// Predict: a guess is made by drawing; then what is true appears over it. The truth is not here before: Python sends it
// once there is a guess, or, without a kernel, it is taken from the output of the cell that reveals it.

import { h } from "./dom.js";
import { makeField } from "./guess.js";
import { unveil } from "./veil.js";
import { compared, digits } from "./verdict.js";

/**
 * @typedef {import("./verdict.js").Guess} Guess
 * @typedef {{actual: Guess, origin: string}} Told
 */

/**
 * Build a prediction.
 * @param {import("./panel.js").Panel} panel
 * @returns {import("./panel.js").View}
 */
export function predict(panel) {
  const asked = /** @type {import("./guess.js").Asked} */ (panel.spec.options);
  let phase = /** @type {"open" | "made" | "skipped"} */ ("open");
  let told = /** @type {Told | null} */ (null);
  const field = makeField(asked, { changed, done: make, refused: (why) => (panel.alert.textContent = why) });
  const commit = h("button", { type: "button", class: "play", click: make }, "This is my guess");
  const skip = h("button", { type: "button", click: () => settle("skipped", { skipped: true }) }, "show me without a guess");

  function changed() {
    if (phase === "made") panel.answer(null);
    phase = "open";
    panel.draw();
  }

  function make() {
    const guess = field.guess();
    if (guess !== null && !told) settle("made", { guess });
  }

  /**
   * @param {"made" | "skipped"} how
   * @param {unknown} answer
   */
  function settle(how, answer) {
    phase = how;
    panel.element.focus({ preventScroll: true }); // the button is done; keys shall find the panel still
    panel.answer(answer);
    const found = panel.model ? null : truthOnPage(asked.id);
    if (found) tell(found);
    else panel.draw();
  }

  /** @param {Told} message */
  function tell(message) {
    if (phase === "open") return; // said before anything was asked
    told = message;
    field.tell(message.actual);
    if (phase === "made") note(asked, /** @type {Guess} */ (field.guess()), message);
    panel.draw();
  }

  return {
    world: null,
    label: `prediction ${asked.id}`,
    first: [],
    body: [h("p", { class: "question" }, asked.question), field.element, h("div", { class: "actions" }, commit, skip)],
    update() {
      commit.disabled = told !== null || phase !== "open" || field.guess() === null;
      skip.disabled = told !== null || phase !== "open";
      return told ? verdict(asked, phase === "made" ? field.guess() : null, told) : advice(asked, phase, field.guess());
    },
    told: tell,
    answered(answer) {
      phase = answer.skipped ? "skipped" : "made";
      if (answer.guess !== undefined) field.show(answer.guess);
      panel.draw();
    },
    state: () => ({ phase, guess: field.guess(), told }),
  };
}

/**
 * Take what is true from the output of the cell that reveals it; null where there is none.
 * @param {string} id
 * @returns {Told | null}
 */
function truthOnPage(id) {
  const places = /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll(".kvmlab-truth"));
  const last = [...places].filter((place) => place.dataset.of === id).pop();
  return last ? /** @type {Told} */ (unveil(id, last.dataset.veiled ?? "")) : null;
}

/**
 * @param {import("./guess.js").Asked} asked
 * @param {Guess} guess
 */
function shown(asked, guess) {
  if (typeof guess === "object") return Object.entries(guess).map(([name, value]) => `${name} ${digits(value, 4)}`).join(", ") + ` ${asked.unit}`;
  return typeof guess === "number" ? `${digits(guess, 4)} ${asked.unit}`.trim() : `"${guess}"`;
}

/**
 * @param {import("./guess.js").Asked} asked
 * @param {string} phase
 * @param {Guess | null} guess
 */
function advice(asked, phase, guess) {
  if (phase !== "open") return "Noted. Go on: the cell that reveals it shows here what is true.";
  if (guess !== null) return "You can still change it. What is true appears once you have said that this is your guess.";
  if (asked.choices) return "Choose one.";
  return asked.bars ? "Drag every bar, press arrow keys on it, or type a number." : "Drag, press arrow keys, or type a number.";
}

/**
 * @param {import("./guess.js").Asked} asked
 * @param {Guess | null} guess
 * @param {Told} told
 */
function verdict(asked, guess, { actual, origin }) {
  const is = `It is ${shown(asked, actual)} (${origin})`;
  if (guess === null) return `${is}; you made no prediction.`;
  const all = [...record().values()];
  const score = all.length > 1 ? ` Right so far: ${all.filter(Boolean).length} of ${all.length}.` : "";
  const yours = asked.bars ? "your guesses" : `you predicted ${shown(asked, guess)}`;
  return `${is}; ${yours}: ${compared(guess, actual, asked).text}.${score}`;
}

/**
 * The predictions of this page that were revealed: whether the first guess at each was right.
 * @returns {Map<string, boolean>}
 */
function record() {
  const all = /** @type {any} */ (globalThis);
  all.kvmlabRecord ??= new Map();
  return all.kvmlabRecord;
}

/**
 * @param {import("./guess.js").Asked} asked
 * @param {Guess} guess
 * @param {Told} told
 */
function note(asked, guess, { actual }) {
  const all = record();
  if (!all.has(asked.id)) all.set(asked.id, compared(guess, actual, asked).right);
}
