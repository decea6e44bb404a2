"""The module of the rules in Chromium: the same bytes, run by the browser, leave the same tables."""

from __future__ import annotations

import pytest

from tests.engine.elsewhere import RUN_RULES, compare, drawn, request

pytestmark = pytest.mark.browser


def test_chromium_leaves_the_same_tables(browser):
    scenarios = drawn(40)
    page = browser.new_page()
    compare(scenarios, page.evaluate(RUN_RULES.read_text(encoding="utf-8"), request(scenarios)))
