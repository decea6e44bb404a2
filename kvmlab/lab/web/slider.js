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
