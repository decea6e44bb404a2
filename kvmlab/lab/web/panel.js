// What every panel is: controls, a view, a live sentence, an error; and the bridge to Python where there is a kernel.
// The bridge keeps three things the same on both sides: settings, the reader's policy, and what the reader answers. And
// Python can tell a view something (`told`), such as the truth after a guess.
//
// Moves may come faster than frames: the first of a frame is drawn at once, of those that follow only the last, in the
// next frame. Nothing that is drawn may ask the browser where something stands: it would have to lay out the page
// before the picture is whole, and once more after that. So the width is kept.

import { makeControl } from "./controls.js";
import { h, write } from "./dom.js";
import { defaults } from "./world.js";

/**
 * @typedef {import("./world.js").Settings} Settings
 * @typedef {import("./world.js").Value} Value
 * @typedef {{name: string} & import("./predicate.js").PolicyData} OwnPolicy
 * @typedef {{panel: string, settings?: Settings, options?: Record<string, any>, policy?: OwnPolicy | null, key?: string,
 *   still?: boolean}} Spec
 * @typedef {{world: string | null, label?: string, first: string[], only?: string[], groups?: [string, string[]][], body: Node[],
 *   update: (settings: Settings, first: boolean) => string, resize?: () => void,
 *   key?: (event: KeyboardEvent) => boolean, state?: () => unknown, told?: (message: any) => void,
 *   answered?: (answer: any) => void}} View `groups`: titles and names of the controls that are not first; `answered`
 *   takes what the reader had answered before the panel was shown once more
 * @typedef {{get: (name: string) => any, set: (name: string, value: any) => void, save_changes: () => void,
 *   on: (event: string, callback: () => void) => void}} Model
 */

/** Of a panel without controls. */
const NO_WORLD = /** @type {import("./world.js").WorldData} */ ({ controls: {}, base: {}, patches: {}, joint: [], joint_patches: {}, arguments: [], constant: {} });

/** Python is told at most this often while a control is dragged: each time JupyterLab draws its kernel's state. */
const TELL_MS = 100;
/** The picture comes first. */
const PAINT_MS = 20;

/** One panel in a page. */
export class Panel {
  /**
   * @param {HTMLElement} host the element that the panel fills
   * @param {Spec} spec
   * @param {import("./main.js").Tools} tools
   */
  constructor(host, spec, tools) {
    this.host = host;
    this.spec = spec;
    this.tools = tools;
    this.still = Boolean(spec.still);
    this.policy = spec.policy ?? null;
    this.model = /** @type {Model | null} */ (null);
    this.given = /** @type {unknown} */ (null);
    this.drawn = false;
    this.room = 0;
    this.frame = 0;
    this.waiting = false;
    this.pending = 0;
    this.sent = -Infinity;
    this.say = h("p", { class: "say", role: "status" });
    this.alert = h("p", { class: "error", role: "alert" });
    const make = tools.views[spec.panel];
    if (!make) throw new Error(`panel: there is no ${spec.panel}`);
    this.view = make(this);
    const world = this.view.world === null ? NO_WORLD : tools.data.worlds[this.view.world];
    this.world = world;
    this.names = (this.view.only ?? Object.keys(world.controls)).filter((name) => name in world.controls);
    this.settings = { ...defaults(world), ...spec.settings };
    this.controls = Object.fromEntries(this.names.map((name) => [name, this.control(name)]));
    this.element = this.build();
    this.watchTheme();
    this.watchWidth();
    this.set(this.settings, false);
  }

  /** @param {string} name */
  control(name) {
    const { kernels, policies, reasons } = this.spec.options ?? {};
    const spec = offered(this.world.controls[name], { kernel: kernels, revision: policies, reason: reasons }[name]);
    const own = name === "kernel" && this.policy;
    const full = own ? { ...spec, values: [...spec.values, this.policy?.name ?? ""], texts: [...spec.texts, `${this.policy?.name} (yours)`] } : spec;
    return makeControl(full, (value) => this.moved({ [name]: value }));
  }

  /** @returns {HTMLElement} */
  build() {
    const first = this.view.first.filter((name) => this.names.includes(name));
    const more = this.names.filter((name) => !first.includes(name));
    const rest = more.length ? h("details", {}, h("summary", {}, "more"), ...this.grouped(more)) : null;
    const side = this.names.length ? h("div", { class: "controls" }, ...first.map((name) => this.controls[name].element), this.view.groups ? null : rest) : null;
    if (this.view.groups) rest?.classList.add("groups");
    const element = h(
      "div", { role: "group", tabindex: -1, class: `panel ${this.spec.panel}`, "aria-label": this.view.label ?? `panel: ${this.spec.panel}` },
      h("div", { class: "view" }, ...this.view.body), side, this.say, this.alert, this.view.groups ? rest : null,
    );
    element.addEventListener("keydown", (event) => {
      if (runsCell(event)) return handOver(this.host, event);
      if (this.view.key?.(event)) event.preventDefault();
    });
    element.addEventListener("focusout", () => this.flush());
    const root = this.host.shadowRoot ?? this.host.attachShadow({ mode: "open" });
    const style = h("style", {}, this.tools.css);
    root.replaceChildren(style, element);
    return element;
  }

  /**
   * Return controls, under the titles of their groups where the view has groups.
   * @param {string[]} names
   * @returns {Node[]}
   */
  grouped(names) {
    if (!this.view.groups) return names.map((name) => this.controls[name].element);
    const groups = this.view.groups.map(([title, members]) => {
      const own = members.filter((name) => names.includes(name)).map((name) => this.controls[name].element);
      return h("fieldset", {}, h("legend", {}, title), ...own);
    });
    return [h("div", { class: "grouped" }, ...groups)];
  }

  /** Width in pixels that a picture has. */
  width() {
    this.room ||= /** @type {HTMLElement | null} */ (this.element?.querySelector(".view"))?.clientWidth ?? 0;
    return this.room || 640;
  }

  /** Follow the theme of the page: what is behind the panel decides. */
  watchTheme() {
    const look = () => this.element.setAttribute("data-theme", isDark(this.host) ? "dark" : "light");
    look();
    new MutationObserver(look).observe(document.body, { attributes: true, attributeFilter: ["class", "data-jp-theme-name", "data-jp-theme-light", "data-theme"] });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", look);
  }

  /** Draw again when there is more or less room; where there is none, nothing is seen. */
  watchWidth() {
    const view = /** @type {HTMLElement} */ (this.element.querySelector(".view"));
    new ResizeObserver(() => {
      const now = view.clientWidth;
      if (now === 0 || now === this.room) return;
      this.room = now;
      if (this.drawn) this.view.resize?.();
    }).observe(view);
  }

  /**
   * Follow a control that the reader has moved: draw at once, unless this frame has been drawn; tell Python.
   * @param {Settings} some
   */
  moved(some) {
    this.settings = { ...this.settings, ...some };
    if (this.frame) this.waiting = true;
    else this.drawFrame();
    this.tell();
  }

  /** Draw, and not again before the next frame; then what has been moved meanwhile. */
  drawFrame() {
    this.set({}, false);
    this.frame = requestAnimationFrame(() => {
      this.frame = 0;
      if (this.waiting) this.drawFrame();
    });
  }

  /**
   * Show some settings, at once.
   * @param {Settings} some
   * @param {boolean} tell Python as well
   */
  set(some, tell) {
    this.waiting = false;
    this.settings = { ...this.settings, ...some };
    for (const name of this.names) {
      this.controls[name].show(this.settings[name]);
      this.controls[name].enable(idle(this.world.controls[name], this.settings, this.policy !== null));
    }
    this.draw();
    if (tell) this.tell();
  }

  /** Draw; what goes wrong is shown to the reader, and the picture is dimmed. */
  draw() {
    try {
      write(this.say, this.view.update(this.settings, !this.drawn));
      write(this.alert, "");
      this.drawn = true;
    } catch (error) {
      this.alert.textContent = error instanceof Error ? error.message : String(error);
    }
    this.element.classList.toggle("stale", this.alert.textContent !== "");
    this.host.dataset.serial = String(Number(this.host.dataset.serial ?? 0) + 1);
  }

  /** Tell Python what the controls say, once this picture is painted; while they are dragged, from time to time. */
  tell() {
    if (!this.model || this.pending) return;
    const wait = Math.max(PAINT_MS, this.sent + TELL_MS - performance.now());
    this.pending = window.setTimeout(() => this.flush(), wait);
  }

  /** Tell Python now what it has not been told yet: the reader may run a cell next. */
  flush() {
    if (!this.pending) return;
    clearTimeout(this.pending);
    this.pending = 0;
    this.sent = performance.now();
    this.send({ settings: this.settings });
  }

  /**
   * Hand Python what the reader has answered; null takes it back.
   * @param {unknown} answer
   */
  answer(answer) {
    this.given = answer;
    this.send({ answer });
  }

  /** @param {Record<string, unknown>} state of the bridge */
  send(state) {
    if (!this.model) return;
    try {
      for (const [name, value] of Object.entries(state)) this.model.set(name, value);
      this.model.save_changes();
    } catch {
      this.model = null; // the kernel is gone; the panel lives on
    }
  }

  /**
   * Connect with Python: from now on its settings and policy are followed.
   * @param {Model} model
   */
  connect(model) {
    this.model = model;
    if (JSON.stringify(model.get("policy")) !== JSON.stringify(this.policy)) this.follow(model.get("policy"));
    if (this.drawn && Number(this.host.dataset.serial) > 1) this.tell();
    else this.set(model.get("settings"), false);
    if (this.given !== null) this.send({ answer: this.given });
    else if (model.get("answer")) this.view.answered?.((this.given = model.get("answer")));
    if (model.get("told")) this.view.told?.(model.get("told"));
    model.on("change:told", () => this.view.told?.(model.get("told")));
    model.on("change:settings", () => {
      if (!this.pending && JSON.stringify(model.get("settings")) !== JSON.stringify(this.settings)) this.set(model.get("settings"), false);
    });
    model.on("change:policy", () => this.follow(model.get("policy")));
  }

  /**
   * Take another policy of the reader's.
   * @param {OwnPolicy | null} policy
   */
  follow(policy) {
    const was = this.policy?.name;
    this.policy = policy;
    if (this.controls.kernel) {
      const { element } = this.controls.kernel;
      this.controls.kernel = this.control("kernel");
      element.replaceWith(this.controls.kernel.element);
    }
    const gone = was !== undefined && this.settings.kernel === was;
    this.set(gone ? { kernel: policy?.name ?? this.world.controls.kernel.default } : {}, false);
  }

  /** The policies that the panel shows, by name. */
  policies() {
    const policies = pick(this.tools.data.policies, this.spec.options?.policies);
    return this.policy ? { ...policies, [this.policy.name]: this.policy } : policies;
  }

  /** @param {string} kernel */
  policyFor(kernel) {
    return this.policy && kernel === this.policy.name ? this.policy.bits : null;
  }

  /** @param {string} kernel */
  policyName(kernel) {
    return this.tools.data.kernels[kernel] ?? kernel;
  }

  /** @param {string} kernel */
  kernelName(kernel) {
    return kernel in this.tools.data.kernels ? kernel : `${kernel} (yours)`;
  }
}

/**
 * Whether a key runs a cell in a notebook: no control has a use for it.
 * @param {KeyboardEvent} event
 */
const runsCell = (event) => event.key === "Enter" && (event.shiftKey || event.ctrlKey || event.altKey || event.metaKey);

/**
 * Hand a key over to the notebook that the panel stands in, which keeps its hands off the keys of panels.
 * @param {HTMLElement} host
 * @param {KeyboardEvent} event
 */
function handOver(host, event) {
  const notebook = /** @type {HTMLElement | null} */ (host.closest(".jp-Notebook"));
  if (!notebook) return;
  event.preventDefault();
  event.stopPropagation();
  notebook.focus();
  const { key, code, keyCode, shiftKey, ctrlKey, altKey, metaKey } = event;
  notebook.dispatchEvent(new KeyboardEvent("keydown", { key, code, keyCode, shiftKey, ctrlKey, altKey, metaKey, bubbles: true }));
}

/** So many values stand side by side as buttons. */
const BUTTONS = 3;

/**
 * Return a control that offers some of its values only; all unless told.
 * @param {import("./world.js").ControlSpec} spec
 * @param {string[]} [names]
 * @returns {import("./world.js").ControlSpec}
 */
export function offered(spec, names) {
  if (!names) return spec;
  const texts = names.map((name) => spec.texts[spec.values.indexOf(name)]);
  return { ...spec, kind: names.length <= BUTTONS ? "buttons" : spec.kind, values: names, texts };
}

/**
 * Return those of some things that are named; all unless told.
 * @template T
 * @param {Record<string, T>} all
 * @param {string[]} [names]
 * @returns {Record<string, T>}
 */
export function pick(all, names) {
  return names ? Object.fromEntries(names.map((name) => [name, all[name]])) : all;
}

/**
 * Return why a control has no effect now; null if it has one.
 * @param {import("./world.js").ControlSpec} control
 * @param {Settings} settings
 * @param {boolean} own the reader's own policy is shown, which may ask for what no revision asks for
 */
export function idle({ needs }, settings, own) {
  const missing = needs.find((need) => !(own && need.revisions_only) && !need.any_of.some(([name, values]) => values.includes(settings[name])));
  return missing ? missing.why : null;
}

/**
 * Return true if what lies behind an element is dark.
 * @param {Element} element
 */
function isDark(element) {
  for (let node = /** @type {Element | null} */ (element); node; node = node.parentElement) {
    const colour = getComputedStyle(node).backgroundColor.match(/[\d.]+/g)?.map(Number);
    if (colour && (colour.length < 4 || colour[3] > 0.5)) return 0.3 * colour[0] + 0.6 * colour[1] + 0.1 * colour[2] < 110;
  }
  return matchMedia("(prefers-color-scheme: dark)").matches && getComputedStyle(document.documentElement).colorScheme.includes("dark");
}
