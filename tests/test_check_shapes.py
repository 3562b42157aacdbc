"""Checks in the form of other tools, run in a real page: true on the page they describe, false on another."""

from collections.abc import Iterator
from typing import Any

import pytest

from agent.intake.checks import read_checks
from tests.reviewer import Chromium, html, running_chromium, task

GOOD = html(
    '<h1>Lake  Mjosa</h1><p id="depth">453</p><input id="unit" value="metres"><ul><li>a</li><li>b</li><li>c</li></ul>'
    '<a id="more" href="more.html" data-testid="more">Read more</a><p id="rate">0.50</p>'
    "<script>const answer = () => 42;</script>"
)
OTHER = html(
    '<h1>Lake Femund</h1><p id="depth">4530</p><input id="unit" value="feet"><ul><li>a</li><li>b</li></ul>'
    '<b id="gone">x</b>'
    "<script>const answer = () => 41; // Read more, Lake Mjosa</script>"
)
SENT: list[Any] = [
    {"selector": "#depth", "expected": "453"},
    {"selector": "#depth", "text": "453"},
    {"selector": "#depth", "expected": 453},
    {"selector": "#rate", "equals": 0.5},
    {"selector": "#unit", "value": "metres"},
    {"selector": "h1", "contains": "Mjosa"},
    {"selector": "li", "count": 3},
    {"selector": "li", "min": 3},
    {"selector": "#gone", "exists": False},
    {"selector": "#gone", "expected": False},
    {"selector": "#more", "expected": True},
    {"selector": "#more", "attribute": "href", "expected": "more.html"},
    {"type": "count", "selector": "li", "value": 3},
    {"type": "contains", "selector": "h1", "value": "Mjosa"},
    {"xpath": "//h1", "expected": "Lake Mjosa"},
    {"xpath": "//li", "count": 3},
    {"type": "xpath", "value": "//a[@id='more']"},
    {"js": "answer()", "expected": 42},
    {"js": "answer", "expected": "42"},
    "//a[contains(., 'more')]",
    "xpath=//li[3]",
    "js: $x('//li[3]')",
    'js: $x("//li").length === 3',
    "$$('a')",
    "js: document.querySelectorAll('a')",
    "text=read more",
    'text="Lake Mjosa"',
    "text=/mjo.a/i",
    "h1:has-text('mjosa')",
    {"selector": "a:text-is('Read more')"},
    {"selector": "data-testid=more"},
    {"selector": "css=#more"},
]


@pytest.fixture(scope="module")
def verdicts() -> Iterator[list[list[str]]]:
    """Of every check on both pages."""
    checks, skipped = read_checks(SENT, 1)
    assert (len(checks), skipped) == (len(SENT), ())
    asked = task(*((check.kind, check.text) for check in checks), brief="A page")
    with running_chromium() as chromium:
        yield [_verdicts(chromium, asked, page) for page in (GOOD, OTHER)]


def _verdicts(chromium: Chromium, asked: Any, page: str) -> list[str]:
    found = chromium.review(asked, page, {"more.html": b"<!doctype html><title>x</title>"})
    return [finding.verdict for finding in found.findings if finding.origin == "check"]


@pytest.mark.parametrize("at", range(len(SENT)), ids=[str(sent) for sent in SENT])
def test_a_check_of_another_tool_holds_on_its_page_alone(verdicts: list[list[str]], at: int) -> None:
    assert [found[at] for found in verdicts] == ["pass", "fail"]
