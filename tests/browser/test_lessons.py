"""Every lesson runs from top to bottom in JupyterLab in a browser; screenshots stay behind to be looked at."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from tests.browser.keyboard import AT_REST, panel_in, state
from tests.places import NOTEBOOKS

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Request

    from tests.browser.server import Lab

pytestmark = pytest.mark.browser

LESSONS = sorted(NOTEBOOKS.glob("*.ipynb"))
SCREENSHOTS = Path(__file__).parent / "screenshots"
MINUTE = 60_000

OPEN = "path => { jupyterapp.commands.execute('docmanager:open', { path }); }"
IS_OPEN = "name => window.jupyterapp?.shell.currentWidget?.context?.path === name"
KERNEL_READY = "() => jupyterapp.shell.currentWidget.sessionContext.ready"
RUN_ALL = """() => {
    delete window.lesson;
    const done = ok => { window.lesson = { ok } };
    jupyterapp.commands.execute('notebook:run-all-cells').then(() => done(true), () => done(false));
}"""
CELLS = "() => [...jupyterapp.shell.currentWidget.content.model.cells].map(cell => cell.toJSON())"
SHUTDOWN = "() => jupyterapp.shell.currentWidget.sessionContext.shutdown()"
SCROLL = """top => {
    const scroller = jupyterapp.shell.currentWidget.content.node.querySelector('.jp-WindowedPanel-outer');
    scroller.scrollTo({ top, behavior: 'instant' });
    return [scroller.scrollTop, scroller.clientHeight, scroller.scrollHeight];
}"""


def open_notebook(page: Page, lab: Lab, name: str) -> None:
    """Load JupyterLab with this notebook alone, its kernel ready."""
    page.goto(lab.page(name))
    page.wait_for_function(IS_OPEN, arg=name)
    page.evaluate(KERNEL_READY)
    page.evaluate("() => jupyterapp.shell.collapseLeft()")


class Complaints(list[str]):
    """What went wrong in a page: its script errors, and whatever it wanted from another machine."""

    def __init__(self, page: Page) -> None:
        page.on("pageerror", lambda error: self.append(f"page error: {error.stack or error}"))
        page.on("request", self.check_address)

    def check_address(self, request: Request) -> None:
        url = urlsplit(request.url)
        if url.scheme in ("http", "https", "ws", "wss") and url.hostname != "127.0.0.1":
            self.append(f"asks another machine: {request.url}")


@pytest.fixture(scope="module")
def lab_page(browser: Browser, jupyterlab: Lab) -> Iterator[Page]:
    """JupyterLab, loaded once: that takes longer than most lessons.

    With no motion, each panel is drawn once, in its last state. How they play is seen in tests/browser/test_panels.py.
    """
    with browser.new_page(viewport={"width": 1280, "height": 3000}, reduced_motion="reduce") as page:
        page.set_default_timeout(MINUTE)
        page.goto(f"{jupyterlab.url}/lab?token={jupyterlab.token}")
        page.wait_for_function("window.jupyterapp")
        page.evaluate("() => jupyterapp.restored")
        page.evaluate("() => jupyterapp.shell.collapseLeft()")
        yield page


@pytest.fixture
def page(lab_page: Page, lesson: Path) -> Iterator[Page]:
    """The lesson, opened, with its kernel ready."""
    lab_page.evaluate(OPEN, lesson.name)
    lab_page.wait_for_function(IS_OPEN, arg=lesson.name)
    lab_page.evaluate(KERNEL_READY)
    yield lab_page
    lab_page.evaluate(SHUTDOWN)
    lab_page.evaluate("() => jupyterapp.shell.currentWidget.dispose()")  # closed, it would ask whether to save


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda path: path.stem)
def test_lesson_runs_without_error(lesson, page):
    complaints = Complaints(page)
    page.evaluate(RUN_ALL)
    page.wait_for_function("window.lesson", timeout=10 * MINUTE)
    page.wait_for_function("[...document.querySelectorAll('.kvmlab')].every(host => host.kvmlab?.drawn)")
    take_screenshots(page, lesson.stem)
    look_at_panels(page)
    cells = [cell for cell in page.evaluate(CELLS) if cell["cell_type"] == "code" and cell["source"]]
    assert [error for cell in cells for error in errors(cell)] == []
    assert [cell["source"] for cell in cells if cell["execution_count"] is None] == [], "cells that did not run"
    assert page.get_by_text("Error displaying widget").count() == 0
    assert complaints == []


def look_at_panels(page):
    """Every panel of the lesson is alive and says something; tests/browser/test_panels.py moves the controls."""
    sources = page.evaluate(
        "() => [...jupyterapp.shell.currentWidget.content.model.cells].map(c => c.sharedModel.source)"
    )
    silent = ("# Solution of", ".reveal(")  # these make a panel, and show none
    shown = [i for i, text in enumerate(sources) if "_panel(" in text and not any(each in text for each in silent)]
    for number in shown:
        _, error, sentence, _ = state(panel_in(page, number))
        assert error == "", sources[number]
        assert sentence.endswith("."), sources[number]


def errors(cell):
    """Errors a cell ended with, unless it is tagged `raises-exception`: then the error is the lesson."""
    if "raises-exception" in cell["metadata"].get("tags", ()):
        return []
    return [f"{out['ename']}: {out['evalue']}" for out in cell["outputs"] if out["output_type"] == "error"]


def take_screenshots(page, name):
    """Save the whole notebook, a screenful at a time, as screenshots/<name>-00.png and so on."""
    SCREENSHOTS.mkdir(exist_ok=True)
    for old in SCREENSHOTS.glob(f"{name}-*.png"):
        old.unlink()
    top = screenful = 0
    while True:
        at, height, total = page.evaluate(SCROLL, top)
        page.evaluate(AT_REST)  # cells are drawn as they scroll into view
        page.screenshot(path=SCREENSHOTS / f"{name}-{screenful:02}.png")
        if at + height >= total - 1:
            return
        top, screenful = at + 0.9 * height, screenful + 1
