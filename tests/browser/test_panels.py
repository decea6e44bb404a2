"""Every panel in JupyterLab in a browser: each control moved by keyboard, the picture changed, axe content."""

from __future__ import annotations

import nbformat
import pytest

from tests.browser.keyboard import panel_of, press, state, sweep
from tests.browser.test_lessons import MINUTE, RUN_ALL, SCREENSHOTS, SHUTDOWN, Complaints, open_notebook

pytestmark = pytest.mark.browser

PANELS = ("policy", "timer", "exits", "jitter", "housekeeping", "compare", "lab")


@pytest.fixture(scope="module")
def gallery(browser, jupyterlab):
    """A page with all panels, run; the notebook is made here."""
    cells = [nbformat.v4.new_code_cell("from kvmlab import panels")]
    cells += [nbformat.v4.new_code_cell(f"panels.{name}_panel()", id=f"{name}-panel") for name in PANELS]
    cells.append(nbformat.v4.new_code_cell(BROKEN))
    notebook = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": KERNEL})
    nbformat.write(notebook, jupyterlab.root / "gallery.ipynb")
    with browser.new_page(viewport={"width": 1400, "height": 1000}) as page:
        page.set_default_timeout(MINUTE)
        page.complaints = Complaints(page)
        open_notebook(page, jupyterlab, "gallery.ipynb")
        page.evaluate(RUN_ALL)
        page.wait_for_function("window.lesson", timeout=3 * MINUTE)
        yield page
        page.evaluate(SHUTDOWN)


KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}
BROKEN = """
broken = panels.policy_panel()
def fail(**settings):
    raise RuntimeError("broken on purpose")
broken.draw = fail
broken
"""


@pytest.mark.parametrize(("number", "name"), [*enumerate(PANELS, start=1)])
def test_every_control_moves_by_keyboard(gallery, number, name):
    panel = panel_of(gallery, number)
    SCREENSHOTS.mkdir(exist_ok=True)
    panel.screenshot(path=SCREENSHOTS / f"panel-{name}.png")
    controls = panel.locator("input[type=range], input[type=checkbox], select").count()
    assert controls >= 6
    assert sweep(gallery, panel) > controls / 3
    assert gallery.complaints == []


@pytest.mark.parametrize(("number", "name"), [*enumerate(PANELS, start=1)])
def test_every_control_and_picture_has_a_name(gallery, number, name):
    panel = panel_of(gallery, number)
    for control in panel.locator("input, select, button").all():
        role = control.evaluate("c => c.ariaLabel || c.labels?.[0]?.textContent || c.textContent")
        assert role.strip(), control.evaluate("c => c.outerHTML")
    for image in panel.locator(".kvmlab-picture img").all():
        assert len(image.get_attribute("alt")) > 40
    for drawing in panel.locator(".kvmlab-picture svg").all():
        assert len(drawing.get_attribute("aria-label")) > 40


@pytest.mark.parametrize(("number", "name"), [*enumerate(PANELS, start=1)])
def test_axe_finds_nothing_serious_in_what_we_render(gallery, number, name):
    from axe_playwright_python.sync_playwright import Axe

    panel_of(gallery, number)
    scope = f".jp-Notebook-cell[data-windowed-list-index='{number}'] .jp-OutputArea-output"
    found = Axe().run(gallery, context={"include": [[scope]]}).response["violations"]
    assert [(rule["id"], rule["nodes"][0]["html"][:200]) for rule in found if rule["impact"] in SERIOUS] == []


SERIOUS = ("serious", "critical")


def test_a_callback_that_raises_is_shown_to_the_reader(gallery):
    panel = panel_of(gallery, len(PANELS) + 1)
    press(gallery, panel.locator("input[type=checkbox]").first)
    assert state(panel)[1] == "RuntimeError: broken on purpose"


def test_held_keys_leave_no_backlog(gallery):
    panel = panel_of(gallery, PANELS.index("exits") + 1)
    slider = panel.locator("input[type=range]").first
    slider.focus()
    before = int(state(panel)[0])
    for _ in range(60):
        gallery.keyboard.press("ArrowRight" if slider.evaluate("c => Number(c.value) < Number(c.max)") else "ArrowLeft")
    gallery.wait_for_timeout(400)
    at_once = int(panel.locator(".kvmlab-screen").evaluate("s => Number(s.dataset.serial)"))
    assert int(state(panel)[0]) == at_once, "pictures still came after the last key"
    assert at_once > before
