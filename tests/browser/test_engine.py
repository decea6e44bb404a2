"""The module of the rules in Chromium: the same bytes, run by the browser, leave the same tables."""

from __future__ import annotations

import pytest

from kvmlab.lab.panels.front_end import joined
from tests.engine.elsewhere import RUN, compare, drawn, request

pytestmark = pytest.mark.browser


def test_chromium_leaves_the_same_tables(browser):
    scenarios = drawn(40)
    page = browser.new_page()
    run = f"async (asked) => {{ {joined('engine')}\nconst {{ Engine }} = engine_js;\n{RUN}\nreturn results; }}"
    compare(scenarios, page.evaluate(run, request(scenarios)))
