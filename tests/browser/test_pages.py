"""The exported pages, opened from disk with no network: alive, readable in both themes, on a phone and on paper."""

from __future__ import annotations

from functools import partial

import pytest

from tests.browser.accessibility import violations
from tools import editions
from tools.pages.catalogue import catalogue

pytestmark = pytest.mark.browser

PAGES = ["index", *(entry.name for entry in catalogue().entries)]
SETTLED = "() => [...document.querySelectorAll('.kvmlab')].every(host => host.kvmlab || host.children.length > 1)"
DEAD = """() => [...document.querySelectorAll('.kvmlab')]
    .filter((host) => !host.shadowRoot || !host.kvmlab?.drawn || host.kvmlab.alert.textContent)
    .map((host) => host.textContent + host.kvmlab?.alert.textContent)"""
BROKEN = "() => [...document.images].filter(i => !i.complete || !i.naturalWidth).map(i => i.alt)"
CUT = """() => [...document.querySelectorAll("main *")]
    .filter((each) => each.getBoundingClientRect().right > innerWidth + 1 && !each.closest(".scroll, .kvmlab"))
    .map((each) => each.outerHTML.slice(0, 120))"""
VIEW = """async host => {
    while (host.kvmlab.waiting) await new Promise(requestAnimationFrame);
    return host.shadowRoot.querySelector('.view').innerHTML;
}"""
CLOSED = """() => [...document.querySelectorAll("main details")]
    .filter((each) => !each.lastElementChild.checkVisibility({ contentVisibilityAuto: true }))
    .map((each) => each.textContent.slice(0, 80))"""
UNWRAPPED = "() => [...document.querySelectorAll('pre')].filter(e => getComputedStyle(e).whiteSpace !== 'pre-wrap')"
THEMES = "[...document.querySelectorAll('.kvmlab')].map((host) => host.kvmlab.element.dataset.theme)"
BEHIND = "getComputedStyle(document.body).backgroundColor"
PAPER = {"light": "rgb(255, 255, 255)", "dark": "rgb(18, 20, 23)"}
BY_COLOUR = ["color-contrast", "link-in-text-block"]
"""The rules of axe that one theme can break and the other keep. They take most of its time."""
FIRST = catalogue().lessons[0].name
ALIKE = [[".dataframe"], [".highlight"]]
"""Half of what there is to look at, in the same colours on every page: looked at on the first."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("html")
    assert len(list(editions.html(folder))) == len(PAGES)
    return folder


@pytest.fixture(scope="module")
def tab(browser):
    """A tab without a network; what goes wrong in it is in `complaints`."""
    with browser.new_context(offline=True, reduced_motion="reduce", viewport={"width": 1280, "height": 800}) as context:
        page = context.new_page()
        page.complaints = []
        page.on("pageerror", lambda error: page.complaints.append(f"page error: {error}"))
        page.on("console", lambda message: page.complaints.append(f"console: {message.text}"))
        page.on("request", lambda asked: asked.url.startswith(("file:", "data:")) or page.complaints.append(asked.url))
        yield page


@pytest.fixture(scope="module", params=PAGES)
def page(tab, folder, request):
    """Each page in turn, opened once for all tests, its panels drawn."""
    tab.complaints.clear()
    tab.goto((folder / f"{request.param}.html").as_uri())
    tab.wait_for_function(SETTLED)
    return tab


def test_it_is_whole_and_its_panels_are_alive(page):
    assert page.evaluate(DEAD) == []
    assert page.evaluate(BROKEN) == []
    assert page.complaints == []


def test_axe_finds_nothing(page):
    """All rules in one theme; what one theme can break and the other keep in both, but for the notebooks in deeper/."""
    deeper = "/deeper/" in page.url
    page.emulate_media(color_scheme="dark" if deeper else "light")
    try:
        context = None if FIRST in page.url else {"exclude": ALIKE}
        assert violations(page, context) == []
        if not deeper:
            page.emulate_media(color_scheme="dark")
            page.wait_for_function(f"{THEMES}.every((theme) => theme === 'dark')")
            assert page.evaluate(BEHIND) == PAPER["dark"]
            assert violations(page, context, BY_COLOUR) == []
    finally:
        page.emulate_media(color_scheme="light")


def test_a_key_and_the_mouse_change_each_picture(page):
    for panel in page.locator(".kvmlab").all():
        controls = [each for each in panel.locator(".controls :is(input, select)").all() if each.is_visible()]
        if controls:
            assert any(changes(panel, partial(by_keyboard, page, each)) for each in controls)
            clicked = [each for each in controls if each.get_attribute("type") in ("checkbox", "radio")]
            assert any(changes(panel, each.click) for each in clicked) or not clicked
    assert page.evaluate(DEAD) == []
    assert page.complaints == []


def changes(panel, act):
    """Return whether something that a reader does changes the panel's picture."""
    before = panel.evaluate(VIEW)
    act()
    return panel.evaluate(VIEW) != before


def by_keyboard(page, control):
    """Move a control: a switch by the space bar, anything else by an arrow, back if it is at its end."""
    control.focus()
    value = "c => [c.value, c.checked].join()"
    before = control.evaluate(value)
    for key in ["Space"] if control.get_attribute("type") == "checkbox" else ["ArrowDown", "ArrowUp"]:
        page.keyboard.press(key)
        if control.evaluate(value) != before:
            return


def test_it_fits_a_phone(page):
    page.set_viewport_size({"width": 390, "height": 800})
    try:
        # What observes sizes has spoken after two frames.
        page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        assert page.evaluate(CUT) == []
        for box in page.locator(".scroll").all():
            if box.is_visible() and box.evaluate("each => each.scrollWidth > each.clientWidth + 1"):
                assert box.get_attribute("tabindex") == "0"
                assert len(box.get_attribute("aria-label")) > len("Table: ")
    finally:
        page.set_viewport_size({"width": 1280, "height": 800})


def test_it_prints_whole(page):
    page.emulate_media(media="print", color_scheme="dark")
    try:
        assert page.evaluate(BEHIND) == PAPER["light"]
        assert page.evaluate(CLOSED) == []
        assert page.evaluate(UNWRAPPED) == []
        for panel in page.locator(".kvmlab").all():
            assert panel.locator(".view").is_visible()
            assert not panel.locator(".controls").is_visible()
        assert not page.locator("header").is_visible()
    finally:
        page.emulate_media(media="screen", color_scheme="light")


def test_panels_are_light_on_paper_whatever_the_theme(tab, folder):
    tab.goto((folder / "index.html").as_uri())
    tab.wait_for_function(SETTLED)
    tab.emulate_media(color_scheme="dark")
    tab.wait_for_function(f"{THEMES}.every((theme) => theme === 'dark')")
    # Panels follow in a microtask of the page's own listener, so before a second one is called.
    tab.evaluate(f"() => addEventListener('beforeprint', () => (window.seen = {THEMES}))")
    try:
        assert len(tab.pdf(format="A4")) > 10_000
        assert tab.evaluate("window.seen") == ["light"]
        tab.wait_for_function(f"{THEMES}.every((theme) => theme === 'dark')")
    finally:
        tab.emulate_media(color_scheme="light")


def test_hints_and_solutions_unfold(tab, folder):
    tab.goto((folder / f"{catalogue().lessons[0].name}.html").as_uri())
    for summary in ("Hint", "Solution"):
        folded = tab.locator("details", has=tab.get_by_text(summary, exact=True)).first
        inner = folded.locator(":scope > :last-child")
        assert not inner.is_visible()
        folded.locator("summary").press("Enter")
        assert inner.is_visible()


def test_one_page_leads_to_the_next_and_the_index_to_all(tab, folder):
    tab.goto((folder / "index.html").as_uri())
    listed = tab.eval_on_selector_all(".index a", "all => all.map((each) => each.href)")
    assert listed == [(folder / f"{entry.name}.html").as_uri() for entry in catalogue().entries]
    first, *others = [folder / f"{entry.name}.html" for entry in catalogue().lessons]
    tab.goto(first.as_uri())
    for path in others:
        tab.locator(f'main a[href="{path.name}"]').first.click()
        tab.wait_for_url(path.as_uri())
    tab.locator("header .home").click()
    tab.wait_for_url((folder / "index.html").as_uri())
