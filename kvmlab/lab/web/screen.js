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
