// Where a time stands on the stage. Exits take microseconds and deadlines milliseconds, so quiet time is shortened.

/** A gap of this many ns is drawn about twice as wide as one of nothing. */
const GRAIN_NS = 200;
const LEAST = 12;
const PER_DOUBLING = 20;

/**
 * @typedef {{at: (time: number) => number, time: (x: number) => number, gaps: {from: number, to: number}[]}} Axis
 */

/**
 * Return the axis through some times.
 * @param {number[]} times the first and the last are the ends
 * @param {number} left
 * @param {number} right
 * @param {boolean} toScale
 * @returns {Axis} `gaps`: the stretches of time that are drawn shorter than they are
 */
export function makeAxis(times, left, right, toScale) {
  const marks = [...new Set(times)].sort((a, b) => a - b);
  const widths = marks.slice(1).map((time, i) => width(time - marks[i], toScale));
  const scale = (right - left) / widths.reduce((sum, each) => sum + each, 0);
  const places = [left];
  for (const each of widths) places.push(places[places.length - 1] + each * scale);
  const last = marks.length - 1;
  /** @param {number[]} list @param {number} value */
  const segment = (list, value) => {
    let [low, high] = [0, last - 1];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (value > list[middle + 1]) low = middle + 1;
      else high = middle;
    }
    return low;
  };
  /** @param {number[]} from @param {number[]} to @param {number} value */
  const map = (from, to, value) => {
    const i = segment(from, Math.min(Math.max(value, from[0]), from[last]));
    const share = (Math.min(Math.max(value, from[0]), from[last]) - from[i]) / (from[i + 1] - from[i]);
    return to[i] + share * (to[i + 1] - to[i]);
  };
  const gaps = toScale ? [] : marks.slice(1).flatMap((to, i) => (to - marks[i] >= 50 * 1000 ? [{ from: marks[i], to }] : []));
  return { at: (time) => map(marks, places, time), time: (x) => map(places, marks, x), gaps };
}

/**
 * @param {number} gap ns
 * @param {boolean} toScale
 */
function width(gap, toScale) {
  return toScale ? gap : LEAST + PER_DOUBLING * Math.log2(1 + gap / GRAIN_NS);
}
