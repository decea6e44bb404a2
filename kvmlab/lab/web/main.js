// Finds the places of panels in a page, loads the engine once, and fills them.

import { anatomy } from "./anatomy.js";
import { counts } from "./counts.js";
import { decision } from "./decision.js";
import { door } from "./door.js";
import { Engine, unpackNumbers } from "./engine.js";
import { game } from "./game.js";
import { history } from "./history.js";
import { lab } from "./lab.js";
import { move } from "./move.js";
import { Panel } from "./panel.js";
import { porter } from "./porter.js";
import { predict } from "./predict.js";
import { stage } from "./stage.js";

/**
 * @typedef {{layout: import("./engine.js").Layout, module: string, constant: Record<string, string>, bin_lows: string,
 *   worlds: Record<string, import("./world.js").WorldData>, story: import("./story.js").StoryData,
 *   names: {exits: string[], places: string[]}, reasons: string[], facts: string[], kernels: Record<string, string>,
 *   machinery: string, budget: {events: number, longest_ns: number},
 *   policies: Record<string, import("./predicate.js").PolicyData>, decision: import("./flow.js").Chart,
 *   anatomy: import("./anatomy.js").AnatomyData, move: import("./beats.js").MoveData, door: {until_ns: number, shown: number, arms: number}, css: string, binMiddles: number[]}} Data
 * @typedef {{engine: Engine, data: Data, css: string, binLows: Int32Array,
 *   views: Record<string, (panel: Panel) => import("./panel.js").View>}} Tools
 */

const VIEWS = { stage, counts, decision, door, porter, lab, predict, game, history, anatomy, move };
const PLACE = ".kvmlab[data-panel]";

let loading = /** @type {Promise<Tools> | null} */ (null);

/**
 * Load the engine, once.
 * @param {Data} data
 * @returns {Promise<Tools>}
 */
function load(data) {
  loading ??= (async () => {
    const [engine, binLows] = await Promise.all([Engine.load(data), unpackNumbers(data.bin_lows)]);
    data.binMiddles = Array.from(binLows, (low, i) => (i + 1 < binLows.length ? (low + binLows[i + 1] - 1) / 2 : low));
    return { engine, data, css: data.css, binLows, views: VIEWS };
  })();
  return loading;
}

/**
 * Fill every place of a panel that is empty.
 * @param {Data} data
 * @param {ParentNode} [root]
 */
export async function mount(data, root = document) {
  const tools = await load(data);
  for (const host of root.querySelectorAll(PLACE)) fill(/** @type {HTMLElement} */ (host), tools);
}

/**
 * @param {HTMLElement} host
 * @param {Tools} tools
 */
function fill(host, tools) {
  if (host.shadowRoot) return;
  try {
    const panel = new Panel(host, JSON.parse(host.dataset.panel ?? "{}"), tools);
    /** @type {any} */ (host).kvmlab = panel;
    const models = bridges();
    const key = panel.spec.key ?? "";
    const model = models.get(key);
    if (model) panel.connect(model);
    else addEventListener("kvmlab-bridge", (event) => {
      const found = /** @type {CustomEvent} */ (event).detail === key ? models.get(key) : null;
      if (found && !panel.model) panel.connect(found);
    });
  } catch (error) {
    host.append(Object.assign(document.createElement("p"), { textContent: `The panel could not be shown: ${error}` }));
  }
}

/**
 * The widgets' models of Python's panels, by key: a kernel that is there has put them here.
 * @returns {Map<string, import("./panel.js").Model>}
 */
function bridges() {
  const all = /** @type {any} */ (globalThis);
  all.kvmlabBridges ??= new Map();
  return all.kvmlabBridges;
}
