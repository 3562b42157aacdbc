"""What axe finds in a running page, at serious level or worse. Advice: it fails no site and costs no turn.

axe takes about 0.3 s of a page: it looks at pages that fail anyway, and once at the one that is published.
"""

from functools import cache
from importlib import resources

from agent.browser.chromium import Tab
from agent.errors import PageFault
from agent.quoting import quote
from agent.records import Finding

RULE = "accessibility"
MAX_SHOWN = 4

_AUDIT = """() => axe.run(document, {resultTypes: ["violations"], iframes: false, runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]})
  .then((found) => found.violations.filter((one) => ["serious", "critical"].includes(one.impact)).slice(0, 20)
    .map((one) => [String(one.help), String(one.nodes[0].target[0]), one.nodes.length]))"""  # noqa: E501


async def accessibility(tab: Tab) -> Finding | None:
    """A finding that passes or stays undecided; None where the page does not answer. Raises Gone."""
    try:
        await tab.evaluate(_axe())
        found = await tab.evaluate(_AUDIT)
        advice = [
            f"{quote(what)} at {quote(where)}" + (f" and {n - 1} more" if n > 1 else "") for what, where, n in found
        ]
    except (PageFault, TypeError, ValueError):  # a page may put anything in axe's place
        return None
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
def _axe() -> str:
    """The script, as its package brings it."""
    import axe_playwright_python

    return (resources.files(axe_playwright_python) / "axe.min.js").read_text()
