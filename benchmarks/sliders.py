"""From key press to picture, for every panel and for the usual way, in one run of JupyterLab in Chromium.

The usual way is a new matplotlib figure in each `interactive_output` call. A key press is sent when the last picture
has come; the time ends with the frame in which the browser paints the new one. Prints median and 95th percentile in ms.
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

PANELS = ("policy", "timer", "exits", "jitter", "housekeeping", "compare", "lab")
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
WATCH = """cell => {
    const output = cell.querySelector('.jp-OutputArea-output');
    window.painted = null;
    const shown = () => requestAnimationFrame(() => { window.painted = performance.now(); });
    new MutationObserver(changes => {
        for (const change of changes)
            for (const node of change.addedNodes)
                if (node.querySelectorAll) node.querySelectorAll('img').forEach(i => i.decode().then(shown, shown));
        const image = output.querySelector('.kvmlab-picture img');
        if (image) image.decode().then(shown, shown); else if (output.querySelector('.kvmlab-picture')) shown();
    }).observe(output, { subtree: true, childList: true, attributes: true, attributeFilter: ['src', 'data-serial'] });
    document.addEventListener('keydown', event => {
        window.pressed = performance.now();
        window.painted = null;
    }, true);
}"""


def cell_at(page: Page, number: int) -> Locator:
    """The code cell of that number, scrolled into view."""
    page.evaluate("n => jupyterapp.shell.currentWidget.content.scrollToItem(n, 'start')", number)
    return page.locator(f".jp-Notebook-cell[data-windowed-list-index='{number}']")


def measure(page: Page, number: int, presses: int) -> list[float]:
    """Times in ms from key press to painted picture, the control going to and fro."""
    cell = cell_at(page, number)
    control = cell.locator("input[type=range], .noUi-handle, input[type=checkbox]").first
    control.wait_for()
    page.wait_for_timeout(1500)
    cell.evaluate(WATCH)
    control.focus()
    switch = control.get_attribute("type") == "checkbox"
    times = []
    for i in range(presses + 3):
        page.keyboard.press("Space" if switch else "ArrowRight" if i % 2 == 0 else "ArrowLeft")
        page.wait_for_function("() => window.painted !== null", timeout=10_000)
        page.wait_for_timeout(120)  # the last change of one press, and nothing of it in the next
        times.append(page.evaluate("() => window.painted - window.pressed"))
    return times[3:]


START = """async () => {
    const widget = jupyterapp.shell.currentWidget;
    widget.content.node.querySelectorAll('.kvmlab-picture').forEach(picture => picture.remove());
    const start = performance.now();
    await widget.sessionContext.session.kernel.restart();
    await jupyterapp.commands.execute('notebook:run-all-cells');
    for (;;) {
        const image = widget.content.node.querySelector('.kvmlab-picture img');
        if (image) { await image.decode(); return performance.now() - start; }
        await new Promise(requestAnimationFrame);
    }
}"""


def first_panel(page: Page) -> list[float]:
    """Times in s from a kernel's start to the first panel's picture, with all imports."""
    return [page.evaluate(START) / 1e3 for _ in range(5)]


def open_cells(page: Page, lab: Lab, name: str, cells: list[str]) -> None:
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
    cells = ["from kvmlab import panels", *(f"panels.{name}_panel()" for name in PANELS), USUAL]
    with tempfile.TemporaryDirectory() as home, running_lab(Path(home)) as lab, sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
        browser = playwright.chromium.launch(executable_path=options.chromium, args=arguments)
        page = browser.new_page(viewport={"width": 1400, "height": 1000})
        open_cells(page, lab, "first.ipynb", ["from kvmlab import panels\npanels.exits_panel()"])
        times = first_panel(page)
        print(
            f"from a kernel's start to the first panel: median {statistics.median(times):.1f} s, max {max(times):.1f} s"
        )
        open_cells(page, lab, "sliders.ipynb", cells)
        page.evaluate(RUN_ALL)
        page.wait_for_function("window.lesson", timeout=120_000)
        print(f"{'panel':<16}{'median ms':>10}{'p95 ms':>10}")
        for number, name in enumerate((*PANELS, "the usual way"), start=1):
            times = measure(page, number, options.presses)
            p95 = statistics.quantiles(times, n=20)[-1]
            print(f"{name:<16}{statistics.median(times):>10.0f}{p95:>10.0f}", flush=True)
        browser.close()


if __name__ == "__main__":
    main()
