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
  };
  select.addEventListener("change", () => {
    model.set("index", select.selectedIndex);
    model.save_changes();
  });
  model.on("change:label change:texts", show);
  model.on("change:index", () => { select.selectedIndex = model.get("index"); });
  show();
}
export default { render };
