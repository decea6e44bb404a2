"""Controls and the screen of a panel: native HTML elements, so that a screen reader can name them and keys move them.

ipywidgets' own sliders have no accessible name, JupyterLab takes the arrow keys from its lists, and a picture in an
output area loses its alt text; hence these.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import anywidget
import traitlets

FONT = "font: 15px/1.4 system-ui, sans-serif; color: #1a1a1a"

SLIDER_JS = """
function render({ model, el }) {
  const label = document.createElement("label");
  const name = document.createElement("span");
  const input = document.createElement("input");
  const shown = document.createElement("output");
  input.type = "range";
  input.dataset.lmSuppressShortcuts = "true"; // or JupyterLab takes the arrow keys for itself
  input.min = 0;
  input.step = 1;
  label.append(name, input, shown);
  el.append(label);
  el.classList.add("kvmlab-slider");
  const show = () => {
    const options = model.get("texts");
    name.textContent = model.get("label");
    input.setAttribute("aria-label", model.get("label"));
    input.max = options.length - 1;
    input.value = model.get("index");
    shown.textContent = options[model.get("index")];
    input.setAttribute("aria-valuetext", options[model.get("index")]);
    input.disabled = model.get("disabled");
  };
  input.addEventListener("input", () => {
    model.set("index", Number(input.value));
    model.save_changes();
    show();
  });
  model.on("change", show);
  show();
}
export default { render };
"""

CONTROL_CSS = """
.kvmlab-slider label { display: grid; grid-template-columns: 1fr 9rem 5.5rem; gap: .6rem; align-items: center;
  font: 15px/1.4 system-ui, sans-serif; }
.kvmlab-slider input { width: 100%; accent-color: #0059a6; }
.kvmlab-slider output { font-variant-numeric: tabular-nums; }
.kvmlab-choice label { display: flex; gap: .6rem; align-items: center; font: 15px/1.4 system-ui, sans-serif; }
.kvmlab-choice select { font: inherit; padding: .1rem .3rem; }
"""

CHOICE_JS = """
function render({ model, el }) {
  const label = document.createElement("label");
  const name = document.createElement("span");
  const select = document.createElement("select");
  select.dataset.lmSuppressShortcuts = "true"; // or JupyterLab takes the arrow keys for itself
  label.append(name, select);
  el.append(label);
  el.classList.add("kvmlab-choice");
  const show = () => {
    name.textContent = model.get("label");
    select.replaceChildren(...model.get("texts").map((text) => new Option(text)));
    select.selectedIndex = model.get("index");
    select.disabled = model.get("disabled");
  };
  select.addEventListener("change", () => {
    model.set("index", select.selectedIndex);
    model.save_changes();
  });
  model.on("change:label change:texts change:disabled", show);
  model.on("change:index", () => { select.selectedIndex = model.get("index"); });
  show();
}
export default { render };
"""

SCREEN_JS = """
function render({ model, el }) {
  const picture = document.createElement("div");
  const status = document.createElement("p");
  const alarm = document.createElement("p");
  picture.className = "kvmlab-picture";
  picture.style.minHeight = model.get("height") + "px";
  status.setAttribute("role", "status");
  status.setAttribute("aria-live", "polite");
  alarm.setAttribute("role", "alert");
  el.classList.add("kvmlab-screen");
  el.append(picture, status, alarm);
  const image = document.createElement("img");
  const show = () => {
    const shown = model.get("shown");
    if (shown.source) {
      image.src = shown.source;
      image.alt = shown.alt;
      image.width = shown.width;
      image.height = shown.height;
      if (!image.isConnected) picture.replaceChildren(image);
    } else if (shown.html) {
      picture.innerHTML = shown.html;
    }
    if (shown.sentence !== undefined && status.textContent !== shown.sentence) status.textContent = shown.sentence;
    alarm.textContent = shown.error || "";
    el.dataset.serial = shown.serial;
  };
  model.on("change:shown", show);
  show();
}
export default { render };
"""

SCREEN_CSS = """
.kvmlab-screen { font: 15px/1.4 system-ui, sans-serif; }
.kvmlab-screen img, .kvmlab-screen svg { max-width: 100%; height: auto; background: white; }
.kvmlab-screen [role=status] { min-height: 2.8em; margin: .3rem 0 0; }
.kvmlab-screen [role=alert] { color: #a40000; font-weight: 600; margin: 0; }
.kvmlab-screen table { border-collapse: collapse; }
.kvmlab-screen th, .kvmlab-screen td { padding: .25rem .7rem; text-align: left; border-bottom: 1px solid #ccc; }
"""


class Control(anywidget.AnyWidget):
    """One of a list of values. `index` is its position, `value` what is chosen, `texts` what the reader sees."""

    label = traitlets.Unicode().tag(sync=True)
    texts = traitlets.List(traitlets.Unicode()).tag(sync=True)
    index = traitlets.Int(0).tag(sync=True)
    disabled = traitlets.Bool(False).tag(sync=True)

    def __init__(self, label: str, values: Sequence[Any], value: Any, text: Callable[[Any], str] = str) -> None:
        self.values = tuple(values)
        super().__init__(label=label, texts=[text(v) for v in self.values], index=self.values.index(value))

    @traitlets.validate("index")
    def _within(self, proposal: Any) -> int:
        index: int = proposal["value"]
        if not 0 <= index < len(self.values):
            raise traitlets.TraitError(f"index: {index} does not fit; allowed: 0 to {len(self.values) - 1}")
        return index

    @property
    def value(self) -> Any:
        """The chosen value; ValueError lists what is allowed."""
        return self.values[self.index]

    @value.setter
    def value(self, chosen: Any) -> None:
        if chosen not in self.values:
            raise ValueError(f"{self.label}: {chosen!r} does not fit; allowed: {', '.join(self.texts)}")
        self.index = self.values.index(chosen)


class Slider(Control):
    """A slider over the values."""

    _esm = SLIDER_JS
    _css = CONTROL_CSS


class Choice(Control):
    """A drop-down list of the values."""

    _esm = CHOICE_JS
    _css = CONTROL_CSS


class Screen(anywidget.AnyWidget):
    """Picture, live sentence and error of a panel, updated in place by one message.

    `shown`: source (an image's data URL), width, height, alt; or html; sentence; error; serial (counts the updates).
    """

    _esm = SCREEN_JS
    _css = SCREEN_CSS
    height = traitlets.Int(0).tag(sync=True)
    shown = traitlets.Dict().tag(sync=True)
