"""What axe finds in a running page, at serious level or worse. Advice: it fails no site and costs no turn.

axe takes about 0.3 s of a page: it looks at pages that fail anyway, and once at the one that is published.
"""

from functools import cache
from importlib import resources

from pydantic import TypeAdapter
from typing_extensions import TypedDict

from agent.browser.chromium import Tab
from agent.errors import PageFault
from agent.quoting import quote
from agent.records import Finding

RULE = "accessibility"
MAX_SHOWN = 4


class _Violation(TypedDict):
    what: str
    where: str
    count: int


_VIOLATIONS = TypeAdapter(list[_Violation])
_AUDIT = """(page) => {
  AXE;
  return axe.run(document, {
    resultTypes: ["violations"], iframes: false, runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"],
  }).then((found) => found.violations
    .filter((one) => ["serious", "critical"].includes(one.impact)).slice(0, 20)
    .map((one) => ({what: one.help, where: String(one.nodes[0].target[0]), count: one.nodes.length})));
}"""


async def accessibility(tab: Tab) -> Finding | None:
    """A finding that passes or stays undecided; None where the page does not answer. Raises Gone."""
    try:
        found = await tab.observe(_VIOLATIONS, _audit())
    except PageFault:
        return None
    advice = [
        f"{quote(one['what'])} at {quote(one['where'])}" + (f" and {one['count'] - 1} more" * (one["count"] > 1))
        for one in found
    ]
    shown = "; ".join(
        [*advice[:MAX_SHOWN], *([f"and {len(advice) - MAX_SHOWN} more"] if len(advice) > MAX_SHOWN else [])]
    )
    return Finding(
        id=RULE,
        origin="rule",
        text="Nobody is shut out, by what axe finds at serious level or worse (advice).",
        verdict="unknown" if advice else "pass",
        evidence=shown or "no fault found",
    )


@cache
def _audit() -> str:
    """With the script of axe, as its package brings it."""
    import axe_playwright_python

    return _AUDIT.replace("AXE", (resources.files(axe_playwright_python) / "axe.min.js").read_text(), 1)
