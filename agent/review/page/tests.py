"""Acceptance tests of the page, each in a tab away from the evaluator's own checks; those that only look share one."""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from itertools import groupby

from pydantic import TypeAdapter

from agent.browser.chromium import NO_ANSWER, STEP_S, Tab
from agent.errors import Gone, PageFault
from agent.quoting import quote
from agent.records import Verdict
from agent.review.acceptance import Act, PageTest, Step
from agent.review.evidence import Outcome
from agent.review.page.checks import OWN_FAULT, POLL_S, acts, truthy
from agent.review.page.visit import Visit
from agent.workspace import INDEX

MAX_SHOWN_CHARS = 300
# By any page: each is what Playwright says of an element of another kind, a key, a selector.
_IMPOSSIBLE = re.compile(r"is not an? <|Not a checkbox|Unknown key|Unexpected token|Input of type")
_ID = re.compile(r"#([A-Za-z][\w-]*)|getElementById\(\s*[\"']([^\"']+)")
SEEN_CHARS = 200
TESTS_AT_ONCE = 4
# What the page holds where the test looked: ids that its expression names, or else the beginning of its text.
_HELD = TypeAdapter(list[list[str | None]])
_HOLD = """(page, ids) => {
  const body = page.get("body");
  const held = (e) => e && String(e.value || e.innerText || "").slice(0, 1000);
  return ids.length
    ? ids.map((id) => [id, held(Document.prototype.getElementById.call(document, id))])
    : [["", body ? body.innerText.slice(0, 1000) : ""]];
}"""

Open = Callable[[PageTest, float], AbstractAsyncContextManager[tuple[Tab, Visit]]]  # a new tab; data late by seconds


class Page:
    """Runs page tests; what is done is in `outcomes` at any time, so that a limit costs only what is unfinished."""

    def __init__(self, open_tab: Open, *, step_s: float = STEP_S) -> None:
        """`step_s`: how long an element is waited for."""
        self.outcomes: dict[str, Outcome] = {}
        self.read_data: set[str] = set()  # ids of tests whose page asked for data files of the site
        self._open = open_tab
        self._step_s = step_s
        self._places = asyncio.Semaphore(TESTS_AT_ONCE)

    async def run(self, tests: Mapping[str, PageTest], *, first: Collection[str] = (), late_s: float = 0.0) -> None:
        """One outcome a test, by id; `first` are begun first. Raises NoBrowser."""
        groups = sorted(_groups(tests), key=lambda group: not any(test_id in first for test_id in group))
        await asyncio.gather(*(self._group(group, tests, late_s) for group in groups))
        stuck = [test_id for test_id in tests if self.outcomes[test_id].evidence.startswith(NO_ANSWER)]
        for test_id in stuck:  # once more, alone: another page may have kept the machine busy
            await self._group([test_id], tests, late_s)

    async def _group(self, ids: Sequence[str], tests: Mapping[str, PageTest], late_s: float) -> None:
        async with self._places:
            try:
                async with self._open(tests[ids[0]], late_s) as (tab, visit):
                    await self._look(tab, visit, ids, tests, late_s)
            except (Gone, PageFault) as fault:
                for test_id in ids:
                    self.outcomes.setdefault(test_id, Outcome("unknown", f"{fault}"))

    async def _look(
        self, tab: Tab, visit: Visit, ids: Sequence[str], tests: Mapping[str, PageTest], late_s: float
    ) -> None:
        first = tests[ids[0]]
        base = visit.base_url + ("" if first.page == INDEX else first.page)
        address = base + (f"?{first.query}" if first.query else "")
        tab.step_s = self._step_s
        await (tab.go(address, loaded_s=0.0) if late_s else tab.go(address))
        broken = await follow(tab, first.steps)
        if broken:
            self.outcomes[ids[0]] = visit.excused(broken)
        else:
            found = await asyncio.gather(*(_settled(tab, tests[test_id]) for test_id in ids))
            self.outcomes |= {test_id: visit.excused(outcome) for test_id, outcome in zip(ids, found, strict=True)}
        if visit.data_asked:
            self.read_data.update(ids)


def _groups(tests: Mapping[str, PageTest]) -> list[list[str]]:
    """Tests that only look at the same page share a tab."""
    alone = [[test_id] for test_id, test in tests.items() if _acts(test)]
    looking = sorted((test_id for test_id, test in tests.items() if not _acts(test)), key=lambda i: _opened(tests[i]))
    return [*alone, *(list(group) for _, group in groupby(looking, key=lambda i: _opened(tests[i])))]


def _acts(test: PageTest) -> bool:
    return bool(test.steps) or acts(test.expect)


def _opened(test: PageTest) -> tuple[str, str, str]:
    return test.page, test.query, repr(sorted(test.serve.items()))


async def follow(tab: Tab, steps: Sequence[Step]) -> Outcome | None:
    """What was not possible on the way. A step that no page could allow tells nothing of this one."""
    for step in steps:
        try:
            await _take(tab, step)
        except PageFault as fault:
            first = str(fault).splitlines()[0]
            verdict: Verdict = "unknown" if OWN_FAULT.search(first) or _IMPOSSIBLE.search(first) else "fail"
            return Outcome(verdict, f"{said(step)} was not possible: {quote(first, 160)}")
    return None


async def _take(tab: Tab, step: Step) -> None:
    on, value = step.selector, step.value
    acts: dict[Act, Callable[[], Awaitable[None]]] = {
        "click": lambda: tab.click(on),
        "fill": lambda: tab.fill(on, value),
        "select": lambda: tab.select(on, value),
        "check": lambda: tab.tick(on, on=True),
        "uncheck": lambda: tab.tick(on, on=False),
        "press": lambda: tab.press(on, value),
        "reload": tab.reload,
        "resize": lambda: tab.resize(*map(int, value.split("x"))),
        "offline": lambda: tab.go_offline(True),
        "online": lambda: tab.go_offline(False),
    }
    await acts[step.act]()


def said(step: Step) -> str:
    """A step in words."""
    return step.act + "".join(f" {quote(word)}" for word in (step.selector, step.value) if word)


async def _settled(tab: Tab, test: PageTest) -> Outcome:
    """True at last, or why not."""
    until = time.monotonic() + test.within_s
    while True:
        try:
            value, fault = await tab.evaluate(test.expect, timeout_s=max(until - time.monotonic(), 2.0)), ""
        except PageFault as error:
            value, fault = None, str(error)
        if not fault and truthy(value) and not isinstance(value, str):
            return Outcome("pass", "it holds")
        if OWN_FAULT.search(fault):
            return Outcome("unknown", f"the test itself does not run: {quote(fault.splitlines()[0], 120)}")
        if fault.startswith(NO_ANSWER):
            return Outcome("unknown", fault)
        if time.monotonic() + POLL_S >= until:
            return Outcome("fail", await _why(tab, test, value, fault))
        await asyncio.sleep(POLL_S)


async def _why(tab: Tab, test: PageTest, value: object, fault: str) -> str:
    """What the test says itself, and what stands where it looked."""
    if isinstance(value, str) and value:
        told = quote(value, MAX_SHOWN_CHARS)
    else:
        told = f"threw {quote(fault.splitlines()[0], 160)}" if fault else "it does not hold"
    try:
        seen = await tab.observe(_HELD, _HOLD, _ids(test)[:4], timeout_s=1.0)
        holds = [
            f"{f'#{name}' if name else 'the page'} "
            + ("is missing" if text is None else f"holds {quote(text, SEEN_CHARS)}")
            for name, text in seen
        ]
    except PageFault:
        holds = []
    after = f" after {', '.join(map(said, test.steps))}" if test.steps else ""
    at = f" at {quote('?' + test.query)}" if test.query else ""
    return f"{told}{at}{after}" + (f"; {'; '.join(holds)}" if holds else "")


def _ids(test: PageTest) -> list[str]:
    """Ids that the test names, in order."""
    text = " ".join([test.expect, *(step.selector for step in test.steps)])
    return list(dict.fromkeys(one or other for one, other in _ID.findall(text)))
