// What a page does beside its panels.

// A box that scrolls sideways gets a name and a stop for the Tab key, as long as it does.
const boxes = new ResizeObserver((changes) => {
  for (const { target } of changes) {
    const scrolls = target.scrollWidth > target.clientWidth + 1;
    for (const [name, value] of [["tabindex", "0"], ["role", "group"], ["aria-label", target.dataset.name]]) {
      if (scrolls) target.setAttribute(name, value);
      else target.removeAttribute(name);
    }
  }
});
for (const box of document.querySelectorAll(".scroll")) boxes.observe(box);

// Paper is white: panels follow what lies behind them.
addEventListener("beforeprint", () => (document.body.dataset.theme = "light"));
addEventListener("afterprint", () => delete document.body.dataset.theme);
