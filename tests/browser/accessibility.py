"""What axe finds in a page."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from axe_playwright_python.base import AXE_SCRIPT

if TYPE_CHECKING:
    from playwright.sync_api import Page

RUN = """async ([context, rules]) => {
    const options = { resultTypes: ["violations"], ...(rules && { runOnly: { type: "rule", values: rules } }) };
    return (await axe.run(context ?? document, options)).violations;
}"""
"""Without `resultTypes` it also words all that is in order, which takes longer than looking at it."""


def violations(
    page: Page, context: dict[str, list[list[str]]] | None = None, rules: Iterable[str] | None = None
) -> list[tuple[str, str, list[str]]]:
    """Return (impact, rule, the first elements) of what axe finds in what `context` includes, or does not exclude."""
    if not page.evaluate("() => 'axe' in window"):
        page.evaluate(AXE_SCRIPT)
    found = page.evaluate(RUN, [context, rules and [*rules]])
    return [(rule["impact"], rule["id"], [node["html"][:200] for node in rule["nodes"][:5]]) for rule in found]
