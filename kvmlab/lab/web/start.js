// The script of a page. It unpacks the front end and what Python hands over, and brings the page's panels to life.
// The rules are WebAssembly: whoever forbids a page to make code of text forbids them as well, so nothing is lost by it.

const [CODE, DATA] = ["the front end, packed", "the data, packed"];

/**
 * Undo base64 and zlib.
 * @param {string} text
 * @returns {Promise<string>}
 */
async function unpack(text) {
  const packed = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  return new Response(new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"))).text();
}

/** What stands in a panel's place where no script runs: hidden at once, and shown again if something goes wrong. */
const stills = /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll(".kvmlab[data-panel] > .still"));
for (const still of stills) still.hidden = true;
try {
  const [code, data] = await Promise.all([unpack(CODE), unpack(DATA)]);
  await new Function("data", `"use strict";\n${code}\nreturn main_js.mount(data);\n//# sourceURL=kvmlab.js`)(JSON.parse(data));
} catch (error) {
  for (const still of stills) still.hidden = false;
  throw error;
}

export {};
