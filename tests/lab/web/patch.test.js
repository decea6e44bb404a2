// An element is brought to what some shapes describe, whatever was there before; what fits stays.

import assert from "node:assert/strict";
import test from "node:test";

import { group, patch, v } from "../../../kvmlab/lab/web/patch.js";

/** As much of the browser's tree as patching needs; it counts what is written. */
let written = 0;

class Leaf {
  /** @param {string} data */
  constructor(data) {
    this.text = data;
    this.parent = /** @type {Branch | null} */ (null);
  }
  set data(/** @type {string} */ data) {
    written += 1;
    this.text = data;
  }
  get nextSibling() {
    const siblings = this.parent?.children ?? [];
    return siblings[siblings.indexOf(this) + 1] ?? null;
  }
  remove() {
    if (this.parent) this.parent.children = this.parent.children.filter((each) => each !== this);
    this.parent = null;
  }
  toString() {
    return this.text;
  }
}

class Branch extends Leaf {
  /** @param {string} tag */
  constructor(tag) {
    super(tag);
    this.attributes = /** @type {Record<string, string>} */ ({});
    this.children = /** @type {Leaf[]} */ ([]);
  }
  get firstChild() {
    return this.children[0] ?? null;
  }
  /** @param {Leaf} child @param {Leaf | null} before */
  insertBefore(child, before) {
    written += 1;
    child.parent = this;
    this.children.splice(before ? this.children.indexOf(before) : this.children.length, 0, child);
  }
  /** @param {...Leaf} children */
  append(...children) {
    for (const child of children) this.insertBefore(child, null);
  }
  /** @param {string} name @param {string} value */
  setAttribute(name, value) {
    written += 1;
    this.attributes[name] = value;
  }
  /** @param {string} name */
  removeAttribute(name) {
    delete this.attributes[name];
  }
  toString() {
    const attributes = Object.entries(this.attributes).sort().map(([name, value]) => ` ${name}="${value}"`).join("");
    return `<${this.text}${attributes}>${this.children.join("")}</${this.text}>`;
  }
}

/** @type {any} */ (globalThis).document = {
  createElementNS: (/** @type {string} */ _, /** @type {string} */ tag) => new Branch(tag),
  createTextNode: (/** @type {string} */ text) => new Leaf(text),
};

/** @param {import("../../../kvmlab/lab/web/patch.js").Shapes} shapes */
function fresh(shapes) {
  const root = /** @type {any} */ (new Branch("root"));
  patch(root, shapes);
  return root;
}

/** @param {number} seed */
function drawer(seed) {
  let x = seed;
  /** @param {number} n */
  return (n) => {
    x = (x * 1103515245 + 12345) % 2147483648;
    return Math.floor((x / 2147483648) * n);
  };
}

/** @param {(n: number) => number} draw @param {number} depth @returns {import("../../../kvmlab/lab/web/patch.js").Shapes} */
function some(draw, depth) {
  return Array.from({ length: draw(5) }, () => {
    const kind = draw(6);
    if (kind === 0) return null;
    if (kind === 1 || depth === 0) return `text ${draw(3)}`;
    return v(["g", "rect", "path"][draw(3)], { class: ["a", "b", null][draw(3)], ...(draw(2) ? { x: draw(3) } : {}) }, ...some(draw, depth - 1));
  });
}

test("whatever was there, what is described is there", () => {
  const draw = drawer(7);
  for (let i = 0; i < 300; i += 1) {
    const root = fresh([]);
    for (let step = 0; step < 4; step += 1) {
      const shapes = some(draw, 3);
      patch(root, shapes);
      assert.equal(String(root), String(fresh(shapes)));
    }
  }
});

test("what differs is written, and nothing else", () => {
  /** @param {number} x @param {boolean} ghost */
  const chart = (x, ghost) => [v("svg", {}, v("rect", { x, y: 1 }), ghost ? v("rect", { class: "ghost" }) : null, v("text", {}, "name"))];
  const root = fresh(chart(1, false));
  const text = root.children[0].children[1];
  written = 0;
  patch(root, chart(1, false));
  assert.equal(written, 0);
  patch(root, chart(2, false));
  assert.equal(written, 1);
  patch(root, chart(2, true));
  assert.equal(root.children[0].children[2], text, "the same element as before");
});

test("the very same shapes are not looked into", () => {
  const shapes = [v("path", { d: "M 0 0" })];
  const root = fresh([group(shapes)]);
  shapes[0].attributes.d = "changed behind its back";
  patch(root, [group(shapes)]);
  assert.ok(String(root).includes("M 0 0"));
});
