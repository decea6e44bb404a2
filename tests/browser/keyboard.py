"""Move the controls of a panel by keyboard, as a reader without a mouse does, and see what the panel answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

SETTLED = """async screen => {
    const serial = () => screen.dataset.serial;
    for (let before = null; before !== serial();) {
        before = serial();
        await new Promise(resolve => setTimeout(resolve, 250));
    }
    const text = role => screen.querySelector(`[role=${role}]`).textContent;
    return [serial(), text('alert'), text('status')];
}"""

MOVED = """async (screen, before) => {
    const give_up = performance.now() + 20000;
    while (Number(screen.dataset.serial) <= before && performance.now() < give_up)
        await new Promise(resolve => setTimeout(resolve, 10));
    const text = role => screen.querySelector(`[role=${role}]`).textContent;
    return [Number(screen.dataset.serial), text('alert'), text('status')];
}"""
BACK = {
    "Space": "Space",
    "ArrowUp": "ArrowDown",
    "ArrowDown": "ArrowUp",
    "ArrowLeft": "ArrowRight",
    "ArrowRight": "ArrowLeft",
}


def panel_of(page: Page, number: int):
    """Return the panel in the notebook's code cell of that number, scrolled into view and drawn."""
    cell = page.locator(f".jp-Notebook-cell[data-windowed-list-index='{number}']")
    page.evaluate("n => jupyterapp.shell.currentWidget.content.scrollToItem(n, 'start')", number)
    cell.locator(".kvmlab-screen").wait_for()
    return cell


def state(panel):
    """Return the screen when it has come to rest: serial, error, sentence."""
    return panel.locator(".kvmlab-screen").evaluate(SETTLED)


def moved(panel, serial):
    """Return the screen after the next update: serial, error, sentence."""
    return panel.locator(".kvmlab-screen").evaluate(MOVED, serial)


def picture(panel):
    """Return what the panel shows."""
    return panel.locator(".kvmlab-picture").evaluate("p => p.querySelector('img')?.src ?? p.innerHTML")


def press(page, control):
    """Move one control by keyboard: a slider by an arrow, a switch by the space bar, a choice by an arrow."""
    control.focus()
    key = "Space" if control.get_attribute("type") == "checkbox" else move_key(control)
    page.keyboard.press(key)
    return key


def move_key(control):
    """Return an arrow key that has somewhere to go."""
    at_end = "c => c.value === c.max || c.selectedIndex === c.length - 1"
    if control.evaluate("c => c.tagName") == "SELECT":
        return "ArrowUp" if control.evaluate("c => c.selectedIndex === c.length - 1") else "ArrowDown"
    return "ArrowLeft" if control.evaluate(at_end) else "ArrowRight"


def sweep(page: Page, panel: Locator) -> int:
    """Move every control of a panel by keyboard, and put it back; return how many different pictures there were."""
    controls = panel.locator("input[type=range], input[type=checkbox], select")
    pictures = {picture(panel)}
    serial = int(state(panel)[0])
    for i in range(controls.count()):
        key = press(page, controls.nth(i))
        after, error, sentence = moved(panel, serial)
        label = controls.nth(i).evaluate("c => c.ariaLabel ?? c.labels[0]?.textContent")
        assert after > serial, f"{label} did not reach the panel"
        assert error == "", label
        assert sentence.endswith("."), label
        pictures.add(picture(panel))
        page.keyboard.press(BACK[key])
        serial = moved(panel, after)[0]
        assert serial > after, f"{label} did not go back"
    return len(pictures)
