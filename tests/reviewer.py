"""Reviews in a real Chromium, for the tests of many files: one browser a file, on a loop of its own."""

import asyncio
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from agent.review.live import LiveReview
from agent.review.subject import Subject

from agent.browser.chromium import Browser
from agent.browser.network import Recorded
from agent.errors import NoBrowser
from agent.records import Attachment, Check, Finding, Review, Task
from agent.workspace import Workspace
from tests.doubles import Recorded
from tests.pages import BRIEF, CSV, INTERNET


def task(*checks: tuple[str, str], brief: str = BRIEF) -> Task:
    return Task(
        id="5a" * 16,
        email="a@b",
        task="t",
        round=1,
        round_received=1,
        nonce="n",
        brief=brief,
        checks=tuple(Check(id=str(n), kind=kind, text=text, round=1) for n, (kind, text) in enumerate(checks, 1)),
        attachments=(Attachment(name="ferries.csv", sha256="0" * 64, size_bytes=len(CSV), media_type="text/csv"),),
        skipped=(),
        evaluation_url="https://evaluator.example/",
        repo="ferries-abc123",
        previous_id=None,
        received_at=0,
        deadline_at=600,
    )


class Reviewer:
    """One browser, on a loop of its own."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()
        self.browser = Browser(tabs_at_once=10)

    def do(self, action: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(action, self.loop).result(120)

    def review(self, asked: Task, page: str, *, time_s: float = 60, **files: bytes) -> Review:
        return self.do(self.reviewing(asked, page, time_s=time_s, **files))  # type: ignore[no-any-return]

    async def reviewing(self, asked: Task, page: str, *, time_s: float = 60, **files: bytes) -> Review:
        live = LiveReview(self.browser, Recorded(INTERNET), time_s=time_s)
        site = {name.replace("__", "."): data for name, data in files.items()}
        workspace = Workspace().put({"index.html": page.encode(), "ferries.csv": CSV} | site)
        return await live.review(Subject(asked, workspace, {"ferries.csv": CSV}))


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
def reviewing_browser() -> Iterator[Reviewer]:
    reviewer = Reviewer()
    with browser_needed():
        reviewer.do(reviewer.browser.start())
    yield reviewer
    reviewer.do(reviewer.browser.aclose())
    reviewer.loop.call_soon_threadsafe(reviewer.loop.stop)


RAN = ("errors", "requests", "images", "links", "empty", "buttons", "computed", "parameter")


def failing(found: Review) -> dict[str, str]:
    """What the browser failed; README and licence are no part of these pages."""
    return {f.id: f.evidence for f in found.failures if f.origin != "rule" or f.id in RAN}


def finding(found: Review, name: str) -> Finding:
    return next(f for f in found.findings if f.id == name)


def html(body: str, head: str = "") -> str:
    return f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Page</title>{head}</head><body><main>{body}</main></body></html>'


# ruff: noqa: E501 - the pages are markup
