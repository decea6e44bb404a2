"""The exported pages in a browser that has no network: nothing is missing, and one page leads to the next."""

from __future__ import annotations

import pytest

from tools import editions

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("html")
    return [editions.page(lesson, folder) for lesson in editions.LESSONS]


def test_pages_teach_with_no_network(browser, pages):
    with browser.new_context(offline=True) as context:
        page = context.new_page()
        complaints = []
        page.on("pageerror", lambda error: complaints.append(f"page error: {error}"))
        page.on("requestfailed", lambda request: complaints.append(f"asks for {request.url}"))
        for path in pages:
            page.goto(path.as_uri())
            broken = "() => [...document.images].filter(i => !i.complete || !i.naturalWidth).map(i => i.alt)"
            assert page.evaluate(broken) == []
            solution = page.locator("details", has=page.get_by_text("Solution", exact=True)).first
            assert not solution.locator("pre").is_visible()
            solution.locator("summary").click()
            assert solution.locator("pre").is_visible()
        assert complaints == []


def test_one_page_leads_to_the_next(browser, pages):
    with browser.new_context(offline=True) as context:
        page = context.new_page()
        page.goto(pages[0].as_uri())
        for path in pages[1:]:
            page.locator(f'a[href="{path.name}"]').first.click()
            page.wait_for_url(path.as_uri())
