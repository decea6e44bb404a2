"""From key press to painted frame, for every panel and for the usual way, in one run of JupyterLab in Chromium.

The usual way is a new matplotlib figure in each `interactive_output` call. A bare slider, which writes a number beside
itself, shows what this machine's browser takes for any change at all. A key press is sent when the last picture
has come; the time ends with the frame in which the browser paints the new one. Dragging sends 60 moves a second for two
seconds. Prints, per panel, median and 95th percentile of a key press in ms, pictures per second while dragging, and how
long after the last move the last picture came; and how long after the start of a cell's run its panel was alive.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path

import nbformat
from playwright.sync_api import Locator, Page, sync_playwright

from tests.browser.server import Lab, running_lab
from tests.browser.test_lessons import RUN_ALL, open_notebook
from tests.browser.test_panels import PANELS, POLICY

USUAL = """
import ipywidgets, matplotlib.pyplot as plt
import kvmlab as kl
%matplotlib inline
host, work = kl.Host(pcpus=5, isolated=range(1, 5)), kl.Workload
def usual(tick_hz):
    guest = kl.Guest(vcpus=4, workload=work(tick_hz=tick_hz))
    table = kl.compare(kl.Scenario(host, guest, duration_s=0.5), ["before", "rev1", "rev2", "rev3"])
    table[["MSR_WRITE", "PREEMPTION_TIMER", "EXTERNAL_INTERRUPT"]].plot.barh(figsize=(10, 5.2))
    plt.show()
slider = ipywidgets.IntSlider(1000, 250, 2000, 50)
ipywidgets.VBox([slider, ipywidgets.interactive_output(usual, {"tick_hz": slider})])
"""
HELD_MS = 50
"""As long as a hand holds a key. A switch is drawn pressed meanwhile, and turns when its key is let go."""
BARE = '''
from IPython.display import HTML
HTML("""<div class="kvmlab">
<span class="controls"><input type="range" data-lm-suppress-shortcuts="true"></span><output></output>
</div><script>
for (const input of document.querySelectorAll(".kvmlab > .controls > input")) input.addEventListener("input", () => {
    const host = input.closest(".kvmlab");
    host.querySelector("output").textContent = input.value;
    host.dataset.serial = input.value;
});
</script>""")
'''
WATCH = """cell => {
    const host = cell.querySelector('.kvmlab');
    window.painted = null;
    window.pictures = [];
    // A message that is sent in a frame's callback arrives when that frame has been painted.
    const shown = () => requestAnimationFrame(() => {
        const { port1, port2 } = new MessageChannel();
        port1.onmessage = () => {
            window.painted = performance.now();
            window.pictures.push(window.painted);
        };
        port2.postMessage(0);
    });
    const observer = new MutationObserver(changes => {
        if (host) return shown();
        for (const change of changes)
            for (const node of change.addedNodes)
                if (node.querySelectorAll) node.querySelectorAll('img').forEach(i => i.decode().then(shown, shown));
    });
    observer.observe(host ?? cell, { subtree: !host, childList: !host, attributes: Boolean(host) });
    // A switch turns when its key is let go.
    const pressed = (event) => {
        if ((event.key === ' ') !== (event.type === 'keyup')) return;
        window.pressed = performance.now();
        window.painted = null;
    };
    document.addEventListener('keydown', pressed, true);
    document.addEventListener('keyup', pressed, true);
}"""
ALIVE = """async number => {
    const { content } = jupyterapp.shell.currentWidget;
    content.activeCellIndex = number;
    const start = performance.now();
    jupyterapp.commands.execute('notebook:run-cell');
    const cell = content.widgets[number].node;
    for (;;) {
        if (cell.querySelector('.kvmlab')?.kvmlab?.drawn) return performance.now() - start;
        await new Promise(requestAnimationFrame);
    }
}"""


def cell_at(page: Page, number: int) -> Locator:
    """The code cell of that number, scrolled into view."""
    page.evaluate("n => jupyterapp.shell.currentWidget.content.scrollToItem(n, 'start')", number)
    return page.locator(f".jp-Notebook-cell[data-windowed-list-index='{number}']")


def moving(cell: Locator) -> Locator:
    """The control to move: a slider where there is one."""
    cell.locator(".controls, .noUi-handle").first.wait_for()
    for closed in cell.locator(".controls details:not([open]) > summary").all():
        closed.click()
    slider = cell.locator(".controls input[type=range], .noUi-handle").first
    return slider if slider.count() else cell.locator(".controls input[type=checkbox]").first


def press(page: Page, control: Locator, presses: int) -> list[float]:
    """Times in ms from key press to painted picture, the control going to and fro."""
    control.focus()
    switch = control.get_attribute("type") == "checkbox"
    times = []
    for i in range(presses + 5):
        page.keyboard.press("Space" if switch else "ArrowLeft" if i % 2 == 0 else "ArrowRight", delay=HELD_MS)
        page.wait_for_function("() => window.painted !== null", timeout=10_000)
        page.wait_for_timeout(60)
        times.append(page.evaluate("() => window.painted - window.pressed"))
    return times[5:]


DRAG = """async input => {
    pictures.length = 0;
    let moves = 0;
    let last = 0;
    await new Promise((done) => {
        const start = performance.now();
        const timer = setInterval(() => {
            for (; moves < 120 && performance.now() - start >= (moves * 1000) / 60; moves += 1) {
                input.value = Math.round(Number(input.max) * Math.abs(((moves % 60) / 30) - 1));
                last = performance.now();
                input.dispatchEvent(new Event('input', { bubbles: true }));
            }
            if (moves === 120) { clearInterval(timer); done(); }
        }, 1);
    });
    await new Promise((done) => setTimeout(done, 300));
    const frames = pictures.filter((time, i) => i === 0 || time - pictures[i - 1] > 2);
    return [frames.length / 2, pictures.at(-1) - last];
}"""


def drag(control: Locator) -> tuple[float, float]:
    """Pictures per second while a slider gets 60 moves a second for 2 s, and from the last move to the last picture."""
    if control.get_attribute("type") != "range":
        return float("nan"), float("nan")
    rate, late = control.evaluate(DRAG)
    return rate, late


def write_notebook(page: Page, lab: Lab, name: str, cells: list[str]) -> None:
    """Write a notebook and open it."""
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(cell) for cell in cells], metadata={"kernelspec": kernel}
    )
    nbformat.write(notebook, lab.root / name)
    open_notebook(page, lab, name)


def main() -> None:
    """Run the measurement and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--chromium", default="/usr/bin/chromium", help="path of the browser")
    parser.add_argument("--presses", type=int, default=40, help="key presses a panel")
    options = parser.parse_args()
    cells = [f"from kvmlab import panels\n{POLICY}", *(f"panels.{call}" for call in PANELS.values()), USUAL, BARE]
    with tempfile.TemporaryDirectory() as home, running_lab(Path(home)) as lab, sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
        browser = playwright.chromium.launch(executable_path=options.chromium, args=arguments)
        page = browser.new_page(viewport={"width": 1400, "height": 1000}, reduced_motion="reduce")
        write_notebook(page, lab, "sliders.ipynb", cells)
        page.evaluate(RUN_ALL)
        page.wait_for_function("window.lesson", timeout=120_000)
        alive = [page.evaluate(ALIVE, 1) for _ in range(5)]
        print(
            f"from a cell's start to a living panel: median {statistics.median(alive):.0f} ms, max {max(alive):.0f} ms"
        )
        print(f"{'panel':<16}{'median ms':>10}{'p95 ms':>10}{'pictures/s':>12}{'last after ms':>15}")
        for number, name in enumerate((*PANELS, "the usual way", "a bare slider"), start=1):
            cell = cell_at(page, number)
            control = moving(cell)
            control.wait_for()
            page.wait_for_timeout(1000)
            cell.evaluate(WATCH)
            times = press(page, control, options.presses)
            p95 = statistics.quantiles(times, n=20)[-1]
            rate, late = drag(control)
            print(f"{name:<16}{statistics.median(times):>10.1f}{p95:>10.1f}{rate:>12.0f}{late:>15.0f}", flush=True)
        browser.close()


if __name__ == "__main__":
    main()
