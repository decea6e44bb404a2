"""Move the controls of a panel as a reader does, by keyboard or by mouse, and see what the panel answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

CONTROLS = ".controls :is(input, select)"
STATE = """async host => {
    while (host.kvmlab.waiting) await new Promise(requestAnimationFrame);
    const { alert, say, settings } = host.kvmlab;
    return [Number(host.dataset.serial), alert.textContent, say.textContent, JSON.stringify(settings)];
}"""
PICTURE = """host => [...host.shadowRoot.querySelectorAll('.picture, .asked, .moves')]
    .map(picture => picture.innerHTML).join('')"""
AT_REST = """async () => {
    const scroller = jupyterapp.shell.currentWidget.content.node.querySelector('.jp-WindowedPanel-outer');
    const picture = (host) => host.shadowRoot?.querySelector('svg')?.getBoundingClientRect();
    const seen = () => JSON.stringify([
        innerWidth, scroller.scrollTop, scroller.scrollHeight, scroller.querySelectorAll('*').length,
        [...scroller.querySelectorAll('.kvmlab')].map(picture),
    ]);
    for (let before = seen(), same = 0; same < 5;) {
        await new Promise(requestAnimationFrame);
        await new Promise((done) => requestIdleCallback(done, { timeout: 1000 }));
        const now = seen();
        same = now === before ? same + 1 : 0;
        before = now;
    }
}"""
"""Waits until nothing of the notebook has moved, grown or come for five frames, with nothing left to do in them."""
END = "c => c.tagName === 'SELECT' ? c.selectedIndex === c.length - 1 : Number(c.value) >= Number(c.max)"
NAME = "c => c.ariaLabel || c.labels?.[0]?.textContent || c.textContent"


def cell(number: int) -> str:
    """Return the CSS selector of the notebook's cell of that number."""
    return f".jp-Notebook-cell[data-windowed-list-index='{number}']"


def panel_in(page: Page, number: int) -> Locator:
    """Return the panel in the notebook's code cell of that number, scrolled into view and drawn."""
    page.evaluate("n => jupyterapp.shell.currentWidget.content.scrollToItem(n, 'start')", number)
    panel = page.locator(cell(number)).locator(".kvmlab").first
    panel.wait_for()
    page.wait_for_function("host => host.kvmlab?.drawn", arg=panel.element_handle())
    return panel


def state(panel: Locator) -> list:
    """Return the panel's number of drawings, its error, its sentence, and its settings as JSON, all moves drawn."""
    return panel.evaluate(STATE)


def press(page: Page, control: Locator) -> None:
    """Move one control by keyboard: a slider, a list or a group of buttons by an arrow, a switch by the space bar."""
    control.focus()
    kind = control.get_attribute("type")
    if kind == "checkbox":
        page.keyboard.press("Space")
    elif kind == "radio":
        page.keyboard.press("ArrowDown")
    else:
        page.keyboard.press(
            "ArrowUp" if control.evaluate(END) == (control.evaluate("c => c.tagName") == "SELECT") else "ArrowDown"
        )


def picture(page: Page, panel: Locator) -> str:
    """Return what a panel draws, of a play the end: at its beginning different settings look the same."""
    scrub = panel.locator(".player .scrub")
    if scrub.count():
        scrub.focus()
        page.keyboard.press("End")
    return panel.evaluate(PICTURE)


def sweep(page: Page, panel: Locator) -> int:
    """Move every control of a panel by keyboard; return how many different pictures there were."""
    for closed in panel.locator("details:not([open]) > summary").all():
        closed.click()
    pictures = {picture(page, panel)}
    for control in panel.locator(CONTROLS).all():
        serial, _, _, before = state(panel)
        press(page, control)
        after, error, sentence, settings = state(panel)
        label = control.evaluate(NAME)
        assert label.strip(), control.evaluate("c => c.outerHTML")
        assert after > serial, f"{label} did not reach the panel"
        assert settings != before, f"{label} did not move"
        assert error == "", label
        assert sentence.endswith("."), label
        pictures.add(picture(page, panel))
    return len(pictures)
