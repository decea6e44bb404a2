// The other end of a panel in Python: it is never shown, only tells the panel with its key that a kernel is there.

export default {
  /** @param {{model: import("./panel.js").Model}} context */
  initialize({ model }) {
    const all = /** @type {any} */ (globalThis);
    all.kvmlabBridges ??= new Map();
    all.kvmlabBridges.set(model.get("key"), model);
    dispatchEvent(new CustomEvent("kvmlab-bridge", { detail: model.get("key") }));
  },
};
