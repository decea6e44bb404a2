// Elements, in one line each.

const SVG = "http://www.w3.org/2000/svg";

/**
 * @typedef {Record<string, string | number | boolean | null | undefined | ((event: any) => void)>} Attributes
 * @typedef {(Node | string | null | undefined)[]} Children
 */

/**
 * @template {Element} E
 * @param {E} element
 * @param {Attributes} attributes a function listens to the event of its name; null, undefined and false are left out
 * @param {Children} children
 * @returns {E}
 */
function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, String(value));
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/**
 * Make an HTML element.
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} tag
 * @param {Attributes} [attributes]
 * @param {...(Node | string | null | undefined)} children
 * @returns {HTMLElementTagNameMap[T]}
 */
export const h = (tag, attributes = {}, ...children) => fill(document.createElement(tag), attributes, children);

/**
 * Make an SVG element.
 * @template {keyof SVGElementTagNameMap} T
 * @param {T} tag
 * @param {Attributes} [attributes]
 * @param {...(Node | string | null | undefined)} children
 * @returns {SVGElementTagNameMap[T]}
 */
export const s = (tag, attributes = {}, ...children) =>
  fill(/** @type {SVGElementTagNameMap[T]} */ (document.createElementNS(SVG, tag)), attributes, children);

/**
 * Choose an option, unless it is that already: a choice is drawn again each time.
 * @param {HTMLSelectElement} select
 * @param {string} value
 */
export function choose(select, value) {
  if (select.value !== value) select.value = value;
}

/**
 * Bring what is in an element to some nodes: one that is as it was stays, so that only what differs is laid out again.
 * @param {Element} element
 * @param {(Node | string)[]} nodes
 */
export function renew(element, nodes) {
  nodes.forEach((given, i) => {
    const node = typeof given === "string" ? document.createTextNode(given) : given;
    const here = element.childNodes[i];
    if (!here) element.append(node);
    else if (!here.isEqualNode(node)) here.replaceWith(node);
  });
  while (element.childNodes.length > nodes.length) element.lastChild?.remove();
}

/**
 * Set an element's text, unless it is that already: what is written is laid out again.
 * @param {Element} element
 * @param {string} text
 */
export function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
