"""`js:` and selector checks on the running page: the source unchanged, JavaScript's truth, polled, looked at again."""

import asyncio
import json
import re
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from pydantic import TypeAdapter
from typing_extensions import TypedDict

from agent.browser.chromium import Tab
from agent.errors import PageFault
from agent.quoting import nearest, quote
from agent.records import Check
from agent.review.evidence import Outcome

POLL_S = 0.1
PATIENCE_S = 5.0
MAX_PATIENCE_S = 16.0
HOPELESS_S = 1.0
AGAIN_AFTER_S = 0.15
LATE_S = 1.0

_WITHIN = re.compile(r"\bwithin\s+(\d{1,3})\s*(?:s|sec|secs|seconds?)\b", re.I)
_ACTS = re.compile(
    r"\.(?:click|submit|requestSubmit|dispatchEvent|reload|setItem|removeItem|clear)\s*\(|\.value\s*=[^=]"
)
_STORAGE = re.compile(r"\b(?:local|session)Storage\b")
_LOOKUP = re.compile(r"(querySelector|querySelectorAll|getElementById)\(\s*([\"'`])([^\n]{1,300}?)\2\s*\)")
OWN_FAULT = re.compile(r"is not a valid selector|^SyntaxError: (?!.*JSON)")


class _Found(TypedDict):
    """What a selector of a check finds."""

    count: int
    text: str  # of the first one


class _Near(TypedDict):
    ids: list[str]
    title: str
    found: list[_Found]  # one a selector


_NEAR = TypeAdapter(_Near)
_LOOK = """(page, selectors) => ({
  ids: page.all("[id]").slice(0, 300).map((e) => Element.prototype.getAttribute.call(e, "id")),
  title: page.get("title"),
  found: selectors.map((selector) => {
    const all = page.all(selector), one = all[0];
    const text = one ? one.value || one.textContent || one.src || one.href : "";
    return {count: all.length, text: String(text || "").trim().slice(0, 300)};
  }),
})"""


async def run_looking(
    tab: Tab, checks: Sequence[Check], patience: Mapping[str, float], found: dict[str, Outcome]
) -> None:
    """Puts one outcome, by its id, for each check that only looks into `found`; they share their waits.

    `patience`: id → seconds until it must hold. Raises PageFault, Gone.
    """
    looking = [check for check in checks if not acts(check.text)]
    await asyncio.gather(*(_settle(tab, check, patience[check.id], found) for check in looking))
    await asyncio.sleep(AGAIN_AFTER_S if any(outcome.verdict == "pass" for outcome in found.values()) else 0)
    found |= await _again(tab, [c for c in looking if found[c.id].verdict == "pass"], found, "a moment later")
    stored = [c for c in looking if _STORAGE.search(c.text) and found[c.id].verdict == "pass"]
    if stored:
        await tab.reload()
        found |= await _after_reload(tab, stored, found)


async def run_acting(
    tab: Tab, checks: Sequence[Check], patience: Mapping[str, float], found: dict[str, Outcome]
) -> None:
    """The same for those that change the page, in order. Raises Gone."""
    for check in checks:
        if acts(check.text):
            await _settle(tab, check, patience[check.id], found)


def acts(source: str) -> bool:
    """Whether it changes the page rather than looks at it."""
    return bool(_ACTS.search(source))


def patience(brief: str, checks: Sequence[Check], hopeless: Collection[str]) -> dict[str, float]:
    """Id → seconds. `hopeless`: ids of those that are not waited for long."""
    return {check.id: HOPELESS_S if check.id in hopeless else patience_s(brief, check) for check in checks}


def patience_s(brief: str, check: Check) -> float:
    """How long a check may take to become true."""
    named = [float(n) for text in (brief, check.text) for n in _WITHIN.findall(text)]
    return min(max(named, default=PATIENCE_S), MAX_PATIENCE_S)


def truthy(value: Any) -> bool:
    """JavaScript's truth of a value that Playwright brought over: [] and {} are true, NaN is not."""
    if isinstance(value, bool | int | float):
        return value != 0 and value == value
    return value is not None and value != ""


def source(check: Check) -> str:
    if check.kind == "selector":
        return f"document.querySelector({json.dumps(check.text)}) !== null"
    return check.text


async def _settle(tab: Tab, check: Check, patience: float, found: dict[str, Outcome]) -> None:
    found[check.id] = await _settled(tab, check, patience)


async def _settled(tab: Tab, check: Check, patience: float) -> Outcome:
    began = time.monotonic()
    while True:
        left_s = patience - (time.monotonic() - began)
        try:
            value, fault = await tab.evaluate(source(check), timeout_s=max(left_s, 1.0)), ""
        except PageFault as error:
            value, fault = None, str(error)
        took_s = time.monotonic() - began
        if not fault and truthy(value):
            late = f", after {took_s:.1f} s only" if took_s > LATE_S else ""
            return Outcome("pass", f"gave {_shown(value)}{late}")
        if OWN_FAULT.search(fault):
            return Outcome("unknown", f"the check itself does not run: {quote(fault.splitlines()[0], 120)}")
        if took_s + POLL_S >= patience:
            return Outcome("fail", f"{_said(value, fault)} for {took_s:.0f} s; {await _nearest(tab, check)}")
        await asyncio.sleep(POLL_S)


async def _again(tab: Tab, checks: Sequence[Check], before: dict[str, Outcome], when: str) -> dict[str, Outcome]:
    """Those that do not hold any more."""
    lost = {}
    for check in checks:
        try:
            value, fault = await tab.evaluate(source(check)), ""
        except PageFault as error:
            value, fault = None, str(error)
        if fault or not truthy(value):
            lost[check.id] = Outcome("fail", f"{before[check.id].evidence}, but {when} {_said(value, fault)}")
    return lost


async def _after_reload(tab: Tab, checks: Sequence[Check], before: dict[str, Outcome]) -> dict[str, Outcome]:
    outcomes = await asyncio.gather(*(_settled(tab, check, PATIENCE_S) for check in checks))
    return {
        check.id: Outcome("fail", f"{before[check.id].evidence}, but after a reload it {outcome.evidence}")
        for check, outcome in zip(checks, outcomes, strict=True)
        if outcome.verdict == "fail"
    }


def _said(value: Any, fault: str) -> str:
    return f"threw {quote(fault.splitlines()[0], 160)}" if fault else f"gave {_shown(value)}"


def _shown(value: Any) -> str:
    try:
        return quote(json.dumps(value, ensure_ascii=False, default=str))
    except (ValueError, RecursionError):
        return quote(str(type(value).__name__))


async def _nearest(tab: Tab, check: Check) -> str:
    """What stands where the check looks: the texts it found, or ids like the one it misses."""
    lookups = [("", "", check.text)] if check.kind == "selector" else _LOOKUP.findall(check.text)
    selectors = [f"[id='{what}']" if by == "getElementById" else what for by, _, what in lookups][:4]
    try:
        seen = await tab.observe(_NEAR, _LOOK, selectors, timeout_s=1.0)
    except PageFault as fault:
        return f"the page answers no more ({quote(str(fault).splitlines()[0])})"
    parts = []
    for selector, found in zip(selectors, seen["found"], strict=True):
        if count := found["count"]:
            parts.append(f"{quote(selector)} holds {quote(found['text'])}" + (f" ({count} of them)" * (count > 1)))
        else:
            parts.append(f"nothing matches {quote(selector)}: {nearest(selector.strip('#[]'), seen['ids'])}")
    return "; ".join(parts) or f"the title is {quote(seen['title'])}"
