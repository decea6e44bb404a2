// A scale to guess on: where a value stands, which value stands where, and how far a key moves it.

const STEPS = 100;
const FINE = 20;
const DIGITS = 2;

/**
 * @typedef {{low: number, high: number, share: (value: number) => number, value: (share: number) => number,
 *   move: (value: number | null, keys: number) => number, clamp: (value: number) => number,
 *   ticks: () => number[]}} Scale shares from 0 to 1
 */

/**
 * Make a scale.
 * @param {{low: number, high: number, scale: string, step?: number}} options
 * @returns {Scale}
 */
export const makeScale = (options) => (options.scale === "log" ? logScale(options) : linearScale(options));

/**
 * Return the scale that has room for some values as well.
 * @param {{low: number, high: number, scale: string, step?: number}} options
 * @param {number[]} values
 */
export function grown(options, values) {
  const least = Math.min(options.low, ...values);
  const most = Math.max(options.high, ...values);
  if (options.scale === "log") {
    const low = least < options.low && least > 0 ? 10 ** Math.floor(Math.log10(least)) : options.low;
    return makeScale({ ...options, low, high: most > options.high ? 10 ** Math.ceil(Math.log10(most)) : options.high });
  }
  const unit = nice((most - least) / 10);
  const low = least < options.low ? Math.floor(least / unit) * unit : options.low;
  return makeScale({ ...options, low, high: most > options.high ? Math.ceil(most / unit) * unit : options.high });
}

/**
 * Return the round number (1, 2 or 5 times a power of 10) that is not below a value.
 * @param {number} value
 */
export function nice(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return tidy(([1, 2, 5].find((step) => step * power >= value * (1 - 1e-9)) ?? 10) * power);
}

/**
 * Return a number without what floating point has left at its end.
 * @param {number} value
 */
const tidy = (value) => Number(value.toPrecision(12));

/**
 * @param {number} low
 * @param {number} high
 */
const clamper = (low, high) => (/** @type {number} */ value) => Math.min(Math.max(value, low), high);

/**
 * @param {{low: number, high: number, step?: number}} options
 * @returns {Scale}
 */
function linearScale({ low, high, step = nice((high - low) / STEPS) }) {
  const clamp = clamper(low, high);
  /** @param {number} value */
  const snap = (value) => clamp(tidy(low + Math.round((value - low) / step) * step));
  const apart = nice((high - low) / 5);
  return {
    low, high, clamp,
    share: (value) => (clamp(value) - low) / (high - low),
    value: (share) => snap(low + share * (high - low)),
    move: (value, keys) => (value === null ? snap((low + high) / 2) : snap(value + keys * step)),
    ticks: () => Array.from({ length: Math.floor((high - low) / apart + 1e-9) + 1 }, (_, i) => tidy((Math.ceil(low / apart - 1e-9) + i) * apart)).filter((tick) => tick <= high),
  };
}

/**
 * @param {{low: number, high: number}} options
 * @returns {Scale}
 */
function logScale({ low, high }) {
  const clamp = clamper(low, high);
  const length = Math.log(high / low);
  /** @param {number} value */
  const snap = (value) => clamp(Number(value.toPrecision(DIGITS)));
  return {
    low, high, clamp,
    share: (value) => Math.log(clamp(value) / low) / length,
    value: (share) => snap(low * Math.exp(share * length)),
    move(value, keys) {
      if (value === null) return snap(low * Math.exp(length / 2));
      const next = snap(value * 10 ** (keys / FINE));
      const least = 10 ** (Math.floor(Math.log10(value)) - DIGITS + 1); // the last of the digits moves in any case
      return next === value ? snap(value + Math.sign(keys) * least) : next;
    },
    ticks() {
      const first = Math.ceil(Math.log10(low) - 1e-9);
      const last = Math.floor(Math.log10(high) + 1e-9);
      const decades = Array.from({ length: last - first + 1 }, (_, i) => tidy(10 ** (first + i)));
      const each = Math.ceil(decades.length / 7);
      return decades.filter((_, i) => i % each === 0);
    },
  };
}
