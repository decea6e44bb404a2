// A picture as data, and an element brought to it: only what differs is touched, so only that is laid out and painted.

const SVG = "http://www.w3.org/2000/svg";

/**
 * @typedef {Record<string, string | number | null | undefined>} Attributes null and undefined are left out
 * @typedef {{tag: string, attributes: Attributes, children: (Shape | string | null)[]}} Shape null: nothing, which holds
 *   the place of what may come there, so that those behind it stay the same elements. A shape that is handed over once
 *   more, the very same object, is not looked into
 * @typedef {(Shape | string | null)[]} Shapes
 */

/** What each element has been brought to. */
const drawn = /** @type {WeakMap<Element, Shapes>} */ (new WeakMap());

/**
 * Describe an SVG element.
 * @param {string} tag
 * @param {Attributes} [attributes]
 * @param {...(Shape | string | null)} children
 * @returns {Shape}
 */
export const v = (tag, attributes = {}, ...children) => ({ tag, attributes, children });

/**
 * Describe a group.
 * @param {Shapes} children
 * @returns {Shape}
 */
export const group = (children) => ({ tag: "g", attributes: {}, children });

/**
 * Bring what is in an element to some shapes. Nobody else may change it.
 * @param {Element} parent
 * @param {Shapes} shapes
 */
export function patch(parent, shapes) {
  const was = drawn.get(parent) ?? [];
  if (was === shapes) return;
  drawn.set(parent, shapes);
  let node = parent.firstChild;
  for (let i = 0; i < Math.max(was.length, shapes.length); i += 1) {
    const [old, now] = [was[i] ?? null, shapes[i] ?? null];
    const here = old === null ? null : node;
    if (here) node = here.nextSibling;
    if (here && now !== null && alike(old, now)) change(here, old, now);
    else {
      if (now !== null) parent.insertBefore(make(now), here ?? node);
      here?.remove();
    }
  }
}

/**
 * Whether one can be made of the other.
 * @param {Shape | string | null} old
 * @param {Shape | string} now
 */
const alike = (old, now) => (typeof old === "string" || old === null ? typeof now === "string" : typeof now !== "string" && old.tag === now.tag);

/**
 * @param {Node} node
 * @param {Shape | string | null} old
 * @param {Shape | string} now
 */
function change(node, old, now) {
  if (now === old) return;
  if (typeof now === "string") {
    /** @type {Text} */ (node).data = now;
    return;
  }
  const element = /** @type {Element} */ (node);
  const { attributes } = /** @type {Shape} */ (old);
  for (const name in now.attributes) if (now.attributes[name] !== attributes[name]) put(element, name, now.attributes[name]);
  for (const name in attributes) if (!(name in now.attributes)) element.removeAttribute(name);
  patch(element, now.children);
}

/**
 * @param {Element} element
 * @param {string} name
 * @param {string | number | null | undefined} value
 */
function put(element, name, value) {
  if (value === null || value === undefined) element.removeAttribute(name);
  else element.setAttribute(name, String(value));
}

/**
 * @param {Shape | string} shape
 * @returns {Node}
 */
function make(shape) {
  if (typeof shape === "string") return document.createTextNode(shape);
  const element = document.createElementNS(SVG, shape.tag);
  for (const name in shape.attributes) {
    const value = shape.attributes[name];
    if (value !== null && value !== undefined) element.setAttribute(name, String(value));
  }
  drawn.set(element, shape.children);
  for (const child of shape.children) if (child !== null) element.append(make(child));
  return element;
}
