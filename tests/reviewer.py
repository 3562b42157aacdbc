"""Reviews for the tests of many files: what they are of, and one Chromium a file, on a loop of its own."""

import asyncio
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

import pytest

from agent.browser.chromium import Browser
from agent.browser.network import Fetch
from agent.errors import NoBrowser
from agent.net import Resource
from agent.records import Attachment, Check, Finding, Json, Review, Task
from agent.review.acceptance import TEST, AcceptanceTest, Reading, Requirement
from agent.review.evidence import Outcome
from agent.review.review import Reviewer, Subject
from agent.sandbox.sandbox import Sandbox
from agent.workspace import Workspace
from tests.doubles import Recorded
from tests.pages import INTERNET

Outcomes = dict[str, Outcome]
NOTHING: Mapping[str, bytes] = MappingProxyType({})


def check(text: str, kind: str = "prose", *, id_: str = "1", round_: int = 1) -> Check:
    return Check.model_validate({"id": id_, "kind": kind, "text": text, "round": round_})


def task(
    *checks: tuple[str, str] | Check, brief: str = "A page.", round_: int = 1, attached: Mapping[str, bytes] = NOTHING
) -> Task:
    """`checks`: kind and text, numbered; or checks of any round as they are."""
    numbered = (
        given if isinstance(given, Check) else check(given[1], given[0], id_=str(n))
        for n, given in enumerate(checks, 1)
    )
    return Task(
        id="5a" * 16,
        email="a@b",
        task="t",
        round=round_,
        round_received=round_,
        nonce="n",
        brief=brief,
        checks=tuple(numbered),
        attachments=tuple(
            Attachment(name=name, sha256="0" * 64, size_bytes=len(data), media_type="text/csv")
            for name, data in attached.items()
        ),
        skipped=(),
        evaluation_url="https://evaluator.example/",
        repo="ferries-abc123",
        previous_id=None,
        received_at=0,
        deadline_at=600,
    )


def acceptance(id_: str, test: Json, **more: Any) -> AcceptanceTest:
    return AcceptanceTest(id=id_, test=TEST.validate_python(test), **more)


def page_test(expect: str, *steps: list[str], **more: Any) -> Json:
    return {"kind": "page", "expect": expect, "steps": list(steps), **more}


def reading(*tests: AcceptanceTest, **more: Any) -> Reading:
    """Requirements by the ids of the tests: what stands before the slash."""
    owners = dict.fromkeys(test.id.rpartition("/")[0] for test in tests)
    return Reading(
        requirements=tuple(
            Requirement(
                id=owner,
                round=int(owner.partition(":")[2].partition(".")[0]),
                words=f"words of {owner}",
                says=f"what {owner} says",
                tests=tuple(test for test in tests if test.id.rpartition("/")[0] == owner),
            )
            for owner in owners
        ),
        **more,
    )


def site(page: str, files: Mapping[str, bytes] = NOTHING) -> Workspace:
    return Workspace().put({"index.html": page.encode(), **files})


class Chromium:
    """One browser and one sandbox, on a loop of their own."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()
        self.browser = Browser(tabs_at_once=10)
        self.sandbox = Sandbox()

    def do(self, action: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(action, self.loop).result(180)

    def reviewer(
        self, *, internet: Mapping[str, Resource] = INTERNET, fetch: Fetch | None = None, **more: Any
    ) -> Reviewer:
        return Reviewer(self.browser, fetch or Recorded(internet), self.sandbox, **({"time_s": 60} | more))

    def review(self, asked: Task, page: str, files: Mapping[str, bytes] = NOTHING, **more: Any) -> Review:
        return self.do(self.reviewing(asked, page, files, **more))  # type: ignore[no-any-return]

    def reviews(self, asked: Task, pages: Mapping[str, str], **more: Any) -> dict[str, Review]:
        """Of many pages at once, by their names."""

        async def all_of_them() -> list[Review]:
            return list(await asyncio.gather(*(self.reviewing(asked, page, **more) for page in pages.values())))

        return dict(zip(pages, self.do(all_of_them()), strict=True))

    async def reviewing(
        self,
        asked: Task,
        page: str,
        files: Mapping[str, bytes] = NOTHING,
        *,
        read: Reading | None = None,
        **more: Any,
    ) -> Review:
        subject = Subject(asked, site(page, files), {}, read or Reading())
        return await self.reviewer(**more).review(subject)

    def run(self, tests: Mapping[str, Json], page: str, files: Mapping[str, bytes] = NOTHING, **more: Any) -> Outcomes:
        """The outcome of each page test, by its name."""
        return self.do(self.running(tests, page, files, **more))  # type: ignore[no-any-return]

    async def running(
        self,
        tests: Mapping[str, Json],
        page: str,
        files: Mapping[str, bytes] = NOTHING,
        *,
        brief: str = "A page.",
        late: bool = False,
        **more: Any,
    ) -> Outcomes:
        subject = Subject(task(brief=brief), site(page, files), {})
        given = [acceptance(name, test) for name, test in tests.items()]
        return await self.reviewer(**more).run(subject, given, late=late)


@contextmanager
def browser_needed() -> Iterator[None]:
    """The tests are skipped where there is no Chromium, unless it is required."""
    try:
        yield
    except NoBrowser as error:
        if "REQUIRE_BROWSER" in os.environ:
            pytest.fail(str(error))
        pytest.skip(str(error))


@contextmanager
def running_chromium() -> Iterator[Chromium]:
    chromium = Chromium()
    with browser_needed():
        chromium.do(chromium.browser.start())
    yield chromium
    chromium.do(chromium.browser.aclose())
    chromium.loop.call_soon_threadsafe(chromium.loop.stop)


RAN = ("errors", "requests", "links", "leaves")


def failing(found: Review) -> dict[str, str]:
    """What the browser failed; README and licence are no part of these pages."""
    return {f.id: f.evidence for f in found.failures if f.origin != "rule" or f.id in RAN}


def finding(found: Review, name: str) -> Finding:
    return next(f for f in found.findings if f.id == name)


def verdicts(found: Review) -> list[str]:
    """Of the evaluator's checks, in their order."""
    return [f.verdict for f in found.findings if f.origin == "check"]


def html(body: str, head: str = "") -> str:
    return f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Page</title>{head}</head><body><main>{body}</main></body></html>'


# ruff: noqa: E501 - the pages are markup
