// What every panel is: controls, a view, a live sentence, an error; and the bridge to Python where there is a kernel.

import { makeControl } from "./controls.js";
import { h } from "./dom.js";
import { defaults } from "./world.js";

/**
 * @typedef {import("./world.js").Settings} Settings
 * @typedef {import("./world.js").Value} Value
 * @typedef {{name: string, bits: number, terms: {text: string, bits: number}[]}} OwnPolicy
 * @typedef {{panel: string, settings?: Settings, options?: Record<string, any>, policy?: OwnPolicy | null, key?: string,
 *   still?: boolean}} Spec
 * @typedef {{world: string, first: string[], only?: string[], body: Node[],
 *   update: (settings: Settings, first: boolean) => string, resize?: () => void,
 *   key?: (event: KeyboardEvent) => boolean, state?: () => unknown}} View
 * @typedef {{get: (name: string) => any, set: (name: string, value: any) => void, save_changes: () => void,
 *   on: (event: string, callback: () => void) => void}} Model
 */

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
    this.drawn = false;
    this.pending = 0;
    this.say = h("p", { class: "say", role: "status" });
    this.alert = h("p", { class: "error", role: "alert" });
    const make = tools.views[spec.panel];
    if (!make) throw new Error(`panel: there is no ${spec.panel}`);
    this.view = make(this);
    const world = tools.data.worlds[this.view.world];
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
    const spec = this.world.controls[name];
    const own = name === "kernel" && this.policy;
    const full = own ? { ...spec, values: [...spec.values, this.policy?.name ?? ""], texts: [...spec.texts, `${this.policy?.name} (yours)`] } : spec;
    return makeControl(full, (value) => this.moved({ [name]: value }));
  }

  /** @returns {HTMLElement} */
  build() {
    const first = this.view.first.filter((name) => this.names.includes(name));
    const more = this.names.filter((name) => !first.includes(name));
    const side = h(
      "div", { class: "controls" }, ...first.map((name) => this.controls[name].element),
      more.length ? h("details", {}, h("summary", {}, "more"), ...more.map((name) => this.controls[name].element)) : null,
    );
    const element = h(
      "div", { class: `panel ${this.spec.panel}`, role: "group", "aria-label": `panel: ${this.spec.panel}` },
      h("div", { class: "view" }, ...this.view.body), side, this.say, this.alert,
    );
    element.addEventListener("keydown", (event) => {
      if (this.view.key?.(event)) event.preventDefault();
    });
    const root = this.host.shadowRoot ?? this.host.attachShadow({ mode: "open" });
    const style = h("style", {}, this.tools.css);
    root.replaceChildren(style, element);
    return element;
  }

  /** Width in pixels that a picture has. */
  width() {
    return /** @type {HTMLElement} */ (this.element?.querySelector(".view"))?.clientWidth || 640;
  }

  /** Follow the theme of the page: what is behind the panel decides. */
  watchTheme() {
    const look = () => this.element.setAttribute("data-theme", isDark(this.host) ? "dark" : "light");
    look();
    new MutationObserver(look).observe(document.body, { attributes: true, attributeFilter: ["class", "data-jp-theme-name", "data-jp-theme-light", "data-theme"] });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", look);
  }

  /** Draw again when there is more or less room. */
  watchWidth() {
    let known = 0;
    new ResizeObserver(() => {
      const now = this.width();
      if (now === known) return;
      const first = known === 0;
      known = now;
      if (!first || this.drawn) this.view.resize?.();
    }).observe(/** @type {HTMLElement} */ (this.element.querySelector(".view")));
  }

  /**
   * Follow a control that the reader has moved: draw at once, tell Python.
   * @param {Settings} some
   */
  moved(some) {
    this.set(some, true);
  }

  /**
   * Show some settings.
   * @param {Settings} some
   * @param {boolean} tell Python as well
   */
  set(some, tell) {
    this.settings = { ...this.settings, ...some };
    for (const name of this.names) {
      this.controls[name].show(this.settings[name]);
      const { needs } = this.world.controls[name];
      this.controls[name].enable(needs && !needs[1].includes(this.settings[needs[0]]) ? needs[2] : null);
    }
    this.draw();
    if (tell) this.tell();
  }

  /** Draw; what goes wrong is shown to the reader, and the picture is dimmed. */
  draw() {
    try {
      this.say.textContent = this.view.update(this.settings, !this.drawn);
      this.alert.textContent = "";
      this.drawn = true;
    } catch (error) {
      this.alert.textContent = error instanceof Error ? error.message : String(error);
    }
    this.element.classList.toggle("stale", this.alert.textContent !== "");
    this.host.dataset.serial = String(Number(this.host.dataset.serial ?? 0) + 1);
  }

  /** Tell Python what the controls say, once a frame at most. */
  tell() {
    if (!this.model || this.pending) return;
    this.pending = requestAnimationFrame(() => {
      this.pending = 0;
      try {
        this.model?.set("settings", this.settings);
        this.model?.save_changes();
      } catch {
        this.model = null; // the kernel is gone; the panel lives on
      }
    });
  }

  /**
   * Connect with Python: from now on its settings and policy are followed.
   * @param {Model} model
   */
  connect(model) {
    this.model = model;
    if (this.drawn && Number(this.host.dataset.serial) > 1) this.tell();
    else this.set(model.get("settings"), false);
    model.on("change:settings", () => {
      if (!this.pending && JSON.stringify(model.get("settings")) !== JSON.stringify(this.settings)) this.set(model.get("settings"), false);
    });
    model.on("change:policy", () => {
      this.policy = model.get("policy");
      this.draw();
    });
  }

  /** The policies that the panel shows, by name. */
  policies() {
    const { policies } = this.tools.data;
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
