// The history: the one line of C that says who may post, on a time line. A bead is a version; what came and went is marked.

import { makeControl } from "./controls.js";
import { h, s } from "./dom.js";

/**
 * @typedef {{id: string, label: string, title: string, author: string, date: string, released: string, merged: boolean,
 *   revision: boolean, changes: string, why: string, function: string, terms: string[], posts: Record<string, boolean>,
 *   gains?: string, pays?: string, url: string}} Bead
 * @typedef {{text: string, mark: "came" | "went" | "stayed"}} Marked
 */

const MONTHS = ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"];
const FIRST_YEAR = 2015;
const RADIUS = 9;
const GAP = 26;
const EDGE = 16;
const BEAD_Y = 34;
const AXIS_Y = 66;
const HEIGHT = 86;
const YEAR_WIDTH = 44;
const SIGNS = { came: "+", went: "−", stayed: " " };
const SPOKEN = { came: "came: ", went: "went: ", stayed: "" };

/**
 * Build the history.
 * @param {import("./panel.js").Panel} panel
 * @returns {import("./panel.js").View}
 */
export function history(panel) {
  const options = /** @type {{beads: Bead[], at: string, against: string}} */ (panel.spec.options);
  const { beads } = options;
  const last = beads.length - 1;
  let at = Math.max(0, beads.findIndex(({ id }) => id === options.at));
  let against = options.against;
  const picture = h("div", { class: "picture", tabindex: 0, role: "slider", "aria-label": "version", "aria-valuemin": 0, "aria-valuemax": last });
  const line = h("div", { class: "line" });
  const about = h("div", { class: "about" });
  const back = h("button", { type: "button", click: () => choose(at - 1) }, "‹ earlier");
  const forth = h("button", { type: "button", click: () => choose(at + 1) }, "later ›");
  const compared = makeControl(
    { label: "changes since", kind: "buttons", values: ["version", "kernel"], texts: ["the version before", "the last merged version"], default: against, needs: [] },
    (value) => {
      against = String(value);
      panel.draw();
    },
  );
  compared.show(against);

  /** @param {number} i */
  function choose(i) {
    at = Math.min(Math.max(i, 0), last);
    panel.answer({ selected: beads[at].id });
    panel.draw();
  }

  function redraw() {
    const { element, places } = drawTimeLine(beads, at, Math.max(300, panel.width()));
    element.addEventListener("click", (event) => {
      const x = event.clientX - element.getBoundingClientRect().left;
      choose(places.reduce((best, place, i) => (Math.abs(place - x) < Math.abs(places[best] - x) ? i : best), 0));
    });
    picture.replaceChildren(element);
  }

  return {
    world: null,
    label: "history of the line that says who may post",
    first: [],
    body: [picture, h("div", { class: "toolbar" }, back, forth, compared.element), h("div", { class: "version" }, line, about)],
    update() {
      const bead = beads[at];
      redraw();
      const before = reference(beads, at, against);
      line.replaceChildren(...code(bead, before));
      about.replaceChildren(...told(bead));
      picture.setAttribute("aria-valuenow", String(at));
      picture.setAttribute("aria-valuetext", `${bead.label}, ${day(bead.date)}, ${bead.released}`);
      back.disabled = at === 0;
      forth.disabled = at === last;
      const moral = bead.gains && bead.pays;
      panel.say.classList.toggle("unseen", !moral); // the heading says the rest
      return moral ? `${bead.label}. Who gains: ${bead.gains} Who pays: ${bead.pays}` : `${bead.label}, ${day(bead.date)}.`;
    },
    resize: redraw,
    key(event) {
      const to = { ArrowRight: at + 1, ArrowUp: at + 1, ArrowLeft: at - 1, ArrowDown: at - 1, Home: 0, End: last }[event.key];
      if (event.target !== picture || to === undefined) return false;
      choose(to);
      return true;
    },
    answered(answer) {
      at = Math.max(0, beads.findIndex(({ id }) => id === answer.selected));
      panel.draw();
    },
    state: () => ({ selected: beads[at].id, against }),
  };
}

/**
 * Return what a version is compared with: the last one before it that had a line, or that was merged with one.
 * @param {Bead[]} beads
 * @param {number} at
 * @param {string} against
 * @returns {Bead | null}
 */
export function reference(beads, at, against) {
  const earlier = beads.slice(0, at).filter(({ terms, merged }) => terms.length > 0 && (merged || against === "version"));
  return earlier.length ? earlier[earlier.length - 1] : null;
}

/**
 * Return the terms of a line, each with what became of it; what went stands where it was.
 * @param {string[]} terms
 * @param {string[]} before
 * @returns {Marked[]}
 */
export function compare(terms, before) {
  const marked = /** @type {Marked[]} */ (terms.map((text) => ({ text, mark: before.includes(text) ? "stayed" : "came" })));
  before.forEach((text, i) => {
    if (terms.includes(text)) return;
    const follower = before.slice(i + 1).find((other) => terms.includes(other));
    const place = marked.findIndex((other) => other.text === follower);
    marked.splice(place < 0 ? marked.length : place, 0, { text, mark: "went" });
  });
  return marked;
}

/**
 * Return places that keep a distance, as near to where they should be as the order allows.
 * @param {number[]} wanted ascending
 * @param {number} gap
 * @param {number} low
 * @param {number} high
 * @returns {number[]}
 */
export function apart(wanted, gap, low, high) {
  const step = Math.min(gap, (high - low) / Math.max(1, wanted.length - 1));
  const groups = /** @type {{sum: number, from: number, count: number}[]} */ ([]);
  // Each group stands as a block around the mean of what its members want; blocks that would overlap become one.
  const start = (/** @type {{sum: number, from: number, count: number}} */ group) => {
    const middle = group.sum / group.count;
    return Math.min(Math.max(middle, low + group.from * step), high - (wanted.length - group.from - group.count) * step - (group.count - 1) * step);
  };
  wanted.forEach((place, i) => {
    groups.push({ sum: place, from: i, count: 1 });
    while (groups.length > 1) {
      const [a, b] = groups.slice(-2);
      if (start(a) + a.count * step <= start(b) + 1e-9) break;
      groups.splice(-2, 2, { sum: a.sum + b.sum - b.count * a.count * step, from: a.from, count: a.count + b.count });
    }
  });
  return groups.flatMap((group) => Array.from({ length: group.count }, (_, i) => start(group) + i * step));
}

/**
 * Return a date as a number of years.
 * @param {string} date with or without its day
 */
export function years(date) {
  const [year, month, day_ = 15] = date.split("-").map(Number);
  return year + (month - 1 + (day_ - 1) / 31) / 12;
}

/**
 * @param {string} date
 */
function day(date) {
  const [year, month, of] = date.split("-").map(Number);
  return `${of ? `${of} ` : ""}${MONTHS[month - 1]} ${year}`;
}

/**
 * Draw the time line.
 * @param {Bead[]} beads
 * @param {number} at
 * @param {number} width
 */
function drawTimeLine(beads, at, width) {
  const end = Math.floor(years(beads[beads.length - 1].date)) + 1;
  const scale = (width - 2 * EDGE) / (end - FIRST_YEAR);
  /** @param {number} year */
  const x = (year) => EDGE + (year - FIRST_YEAR) * scale;
  const wanted = beads.map(({ date }) => x(years(date)));
  const places = apart(wanted, GAP, EDGE, width - EDGE);
  const each = Math.ceil(YEAR_WIDTH / scale);
  const ticks = Array.from({ length: end - FIRST_YEAR + 1 }, (_, i) => FIRST_YEAR + i).flatMap((year, i) => [
    s("line", { class: "axis", x1: x(year), x2: x(year), y1: AXIS_Y, y2: AXIS_Y + 5 }),
    i % each === 0 ? s("text", { class: "tick", x: x(year), y: AXIS_Y + 18, "text-anchor": "middle" }, String(year)) : s("g", {}),
  ]);
  const drawn = beads.map((bead, i) => {
    const kind = `bead ${bead.merged ? "merged" : "draft"} ${i === at ? "now" : ""}`;
    return s("g", { class: kind },
      s("path", { class: "stem", d: `M ${places[i]} ${BEAD_Y + RADIUS} V ${BEAD_Y + 14} L ${wanted[i]} ${AXIS_Y - 6} V ${AXIS_Y}` }),
      i === at ? s("circle", { class: "halo", cx: places[i], cy: BEAD_Y, r: RADIUS + 4 }) : null,
      s("circle", { class: "body", cx: places[i], cy: BEAD_Y, r: RADIUS }),
      bead.revision ? s("text", { x: places[i], y: BEAD_Y + 4.5, "text-anchor": "middle" }, bead.label.replace(/\D/g, "")) : null,
      s("title", {}, `${bead.label}, ${day(bead.date)}, ${bead.released}`));
  });
  const element = s("svg", { viewBox: `0 0 ${width} ${HEIGHT}`, width, height: HEIGHT, "aria-hidden": "true" },
    s("rect", { class: "ground", width, height: HEIGHT }),
    s("line", { class: "axis", x1: x(FIRST_YEAR), x2: x(end), y1: AXIS_Y, y2: AXIS_Y }),
    s("text", { class: "small", x: EDGE - RADIUS, y: 12 }, legend(beads)), ...ticks, ...drawn);
  return { element, places };
}

/**
 * What the beads look like; nothing of what is not there.
 * @param {Bead[]} beads
 */
function legend(beads) {
  const revisions = beads.filter(({ revision }) => revision).map(({ label }) => label);
  return ["filled: merged", beads.some(({ merged }) => !merged) ? "dashed: never merged" : "", revisions.length ? revisions.map((name) => `${name.replace(/\D/g, "")}: ${name}`).join(", ") : ""].filter(Boolean).join(" · ");
}

/**
 * The function of a version, term by term.
 * @param {Bead} bead
 * @param {Bead | null} before
 * @returns {Node[]}
 */
function code(bead, before) {
  if (bead.terms.length === 0) {
    return [h("p", { class: "note" }, before?.merged ? "This one leaves the line alone." : "There is no such line in the kernel yet: nothing is posted."), h("p", {}, h("b", {}, "Why: "), bead.why)];
  }
  const marked = compare(bead.terms, before?.terms ?? []);
  const changed = marked.some(({ mark }) => mark !== "stayed");
  const terms = marked.map(({ text, mark }, i) => {
    const first = marked.findIndex((other) => other.mark !== "went") === i;
    const joint = first || (mark === "went" && i === 0) ? "return " : "    && ";
    return h("div", { class: `row ${mark}` }, h("span", { class: "sign", "aria-hidden": "true" }, SIGNS[mark]), h("span", { class: "unseen" }, SPOKEN[mark]), h("code", {}, h("span", { class: "joint" }, joint), h("span", { class: "text" }, text)));
  });
  const said = changed ? (before ? `+ came, − went, since ${day(before.date)}.` : "+ came: there was no such line before.") : `The same line as on ${day(/** @type {Bead} */ (before).date)}.`;
  return [h("p", { class: "function" }, h("code", {}, `${bead.function}(vcpu)`)), h("div", { class: "terms" }, ...terms), h("p", { class: "note" }, said)];
}

/**
 * Who wrote a version, what it changes, and whose timer it lets be posted.
 * @param {Bead} bead
 * @returns {Node[]}
 */
function told(bead) {
  const guests = Object.entries(bead.posts).map(([guest, posted]) =>
    h("li", { class: posted ? "posted" : "" }, h("span", { "aria-hidden": "true" }, posted ? "✓ " : "✗ "), h("span", { class: "unseen" }, posted ? "yes: " : "no: "), guest.replace(/^the /, "")));
  return [
    h("p", {}, h("b", {}, bead.label), ` · ${day(bead.date)} · ${bead.author} · ${bead.released} · `, h("a", { href: bead.url, target: "_blank", rel: "noopener", title: bead.title }, bead.merged ? "commit" : "mail")),
    h("p", {}, bead.changes),
    ...(bead.terms.length ? [h("ul", { class: "guests", "aria-label": "eligible for posting" }, h("li", { class: "asks", "aria-hidden": "true" }, "eligible:"), ...guests)] : []),
  ];
}
