// Plays a list of steps: a position from 0 (before the first) to their number, moved by buttons, keys and time.

import { h, s } from "./dom.js";

const SPEEDS = [0.25, 0.5, 1, 2, 4];
const STEP_MS = 550;

/**
 * @typedef {{element: HTMLElement, reset: (steps: number, where: "start" | "here" | "end") => void, play: () => void, pause: () => void,
 *   seek: (position: number) => void, end: () => void, position: number, playing: boolean}} Player `reset` and `end` are
 *   not said aloud: what the panel says of its settings is. `where`: at the start, as far as now, or at the end; what
 *   plays goes on
 */

const PLAY = "M 3 1 L 13 7 L 3 13 Z";
const PAUSE = "M 3 1 h 3.5 v 12 h -3.5 z M 9 1 h 3.5 v 12 h -3.5 z";
const BACK = "M 2 1 h 2.5 v 12 h -2.5 z M 13 1 v 12 l -8 -6 z";
const FORTH = "M 10 1 h 2.5 v 12 h -2.5 z M 1.5 1 v 12 l 8 -6 z";

/** @param {SVGPathElement} path */
const picture = (path) => s("svg", { class: "icon", width: 14, height: 14, viewBox: "0 0 14 14", "aria-hidden": "true" }, path);

/**
 * Make a player.
 * @param {(position: number, settled: boolean) => void} show draws a position; `settled`: the reader has gone there
 * @param {(i: number) => number} weight how long step i takes to be reached, 1 for an ordinary one
 * @returns {Player}
 */
export function makePlayer(show, weight) {
  let steps = 0;
  let speed = 1;
  let frame = 0;
  let then = 0;
  const icon = s("path", { d: PLAY });
  const play = h("button", { type: "button", class: "play", "aria-label": "play", click: () => (player.playing ? player.pause() : player.play()) }, picture(icon));
  const back = h("button", { type: "button", "aria-label": "one step back", click: () => step(-1) }, picture(s("path", { d: BACK })));
  const forth = h("button", { type: "button", "aria-label": "one step on", click: () => step(1) }, picture(s("path", { d: FORTH })));
  const scrub = h("input", { type: "range", min: 0, step: 1, "aria-label": "step", class: "scrub", input: () => player.seek(Number(scrub.value)) });
  const pace = h("select", { "aria-label": "speed", change: () => (speed = Number(pace.value)) },
    ...SPEEDS.map((each) => h("option", { value: each, selected: each === 1 }, `${each}×`)));

  /** @param {number} position @param {boolean} settled */
  function put(position, settled) {
    player.position = position;
    scrub.value = String(Math.floor(position));
    scrub.setAttribute("aria-valuetext", `step ${Math.floor(position)} of ${steps}`);
    show(position, settled);
  }

  /** @param {number} by */
  function step(by) {
    const from = by > 0 ? Math.floor(player.position) : Math.ceil(player.position);
    player.seek(from + by);
  }

  /** @param {number} now */
  function tick(now) {
    if (!player.playing) return;
    if (!play.isConnected) return player.pause();
    const elapsed = Math.min(Math.max(now - then, 0), 100); // a frame may bear a time before the press
    then = now;
    const next = player.position + (elapsed * speed) / (STEP_MS * weight(Math.floor(player.position)));
    put(Math.min(next, steps), next >= steps);
    if (next >= steps) player.pause();
    else frame = requestAnimationFrame(tick);
  }

  const player = {
    element: h("div", { class: "player", role: "group", "aria-label": "player" }, back, play, forth, scrub, pace),
    position: 0,
    playing: false,
    /** @param {number} count @param {"start" | "here" | "end"} where */
    reset(count, where) {
      const share = steps > 0 ? player.position / steps : 0;
      steps = count;
      scrub.max = String(count);
      if (where === "start") put(0, false);
      else if (player.playing) put(share * count, false);
      else put(where === "end" ? count : Math.round(share * count), false);
    },
    play() {
      if (player.playing) return;
      if (player.position >= steps) put(0, false);
      player.playing = true;
      icon.setAttribute("d", PAUSE);
      play.setAttribute("aria-label", "pause");
      then = performance.now();
      frame = requestAnimationFrame(tick);
    },
    pause() {
      if (!player.playing) return;
      player.playing = false;
      cancelAnimationFrame(frame);
      icon.setAttribute("d", PLAY);
      play.setAttribute("aria-label", "play");
      put(player.position, true);
    },
    end() {
      if (!player.playing) put(steps, false);
    },
    /** @param {number} position */
    seek(position) {
      player.pause();
      put(Math.min(Math.max(position, 0), steps), true);
    },
  };
  return player;
}
