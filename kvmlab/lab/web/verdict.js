// How far off a guess is, in the words of `lab/exercises/values.py`, which says the same where there is a kernel.

/**
 * @typedef {number | string | Record<string, number>} Guess
 * @typedef {{right_within: number, spot_on_within: number, slack?: number, factor?: number}} Tolerances shares of what is
 *   true; `slack`, `factor`: how far off a number may be in any case, as a difference and as a ratio
 */

/**
 * Return a number with n digits, or all before the point if they are more.
 * @param {number} value
 * @param {number} n
 */
export function digits(value, n) {
  if (Math.abs(value) < 10 ** (n - 1)) return String(Number(value.toPrecision(n)));
  const up = Math.round(value);
  const even = up - value === 0.5 && up % 2 !== 0 ? up - 1 : up;
  return even.toLocaleString("en-US");
}

/**
 * Return whether a guess is right, and how far off it is.
 * @param {Guess} guess
 * @param {Guess} actual
 * @param {Tolerances} tolerances
 * @returns {{right: boolean, text: string}}
 */
export function compared(guess, actual, tolerances) {
  if (typeof guess === "object" && typeof actual === "object") {
    const each = Object.entries(actual).map(([name, value]) => ({ name, ...compared(guess[name], value, tolerances) }));
    return { right: each.every(({ right }) => right), text: each.map(({ name, text }) => `${name} ${text}`).join(", ") };
  }
  if (typeof guess !== "number" || typeof actual !== "number") {
    return { right: guess === actual, text: guess === actual ? "right" : "not the same" };
  }
  const right = close(guess, actual, tolerances.right_within) || near(guess, actual, tolerances);
  return { right, text: howFar(guess, actual, tolerances) };
}

/**
 * @param {number} value
 * @param {number} target
 * @param {number} tolerance
 */
const close = (value, target, tolerance) => Math.abs(value - target) <= tolerance * (Math.abs(target) || 1) + 1e-12;

/**
 * @param {number} guess
 * @param {number} actual
 * @param {Tolerances} tolerances
 */
const near = (guess, actual, { slack = 0, factor = 1 }) =>
  Math.abs(guess - actual) <= slack || (guess > 0 && actual > 0 && Math.max(guess / actual, actual / guess) <= factor);

/**
 * @param {number} guess
 * @param {number} actual
 * @param {Tolerances} tolerances
 */
function howFar(guess, actual, tolerances) {
  if (guess === actual) return "right";
  for (const tolerance of [tolerances.spot_on_within, tolerances.right_within])
    if (close(guess, actual, tolerance)) return `right, within ${(100 * tolerance).toFixed(0)} %`;
  const said = `${amountOf(guess, actual, tolerances)} too ${guess > actual ? "high" : "low"}`;
  return near(guess, actual, tolerances) ? `right, ${said} on this scale` : said;
}

/**
 * @param {number} guess
 * @param {number} actual
 * @param {Tolerances} tolerances with `slack` the words are of differences
 */
function amountOf(guess, actual, { slack }) {
  if (slack || !(guess > 0 && actual > 0)) return digits(Math.abs(guess - actual), 3);
  const ratio = Math.max(guess / actual, actual / guess);
  return ratio < 2 ? `${((100 * Math.abs(guess - actual)) / actual).toFixed(0)} %` : `a factor of ${digits(ratio, 3)}`;
}
