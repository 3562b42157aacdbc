"""What the pages promise: nothing a task says is ever more than text, and nobody is named."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from html.parser import HTMLParser
from pathlib import Path

import pytest
from playwright import async_api as playwright
from pydantic import SecretStr

from agent.api.app import http_app
from agent.api.pages import duration, is_web_address
from agent.api.servers import listen, served
from agent.browser.chromium import NoBrowser, find
from agent.records import Attachment, Attempt, Check, Fetched, Finding, Skipped
from tests.reviewer import browser_needed
from tests.routes import EMAIL, NONCE, OPERATOR, PUBLICATION, TASK_ID, StandIn, add_finished, ask, stand_in, task

HOSTILE = """</title><script>alert("1")</script><img src=x onerror='alert(2)'>"""
PAGE = f"/tasks/{TASK_ID}/page"
VOID = {"meta", "link", "br", "img", "input"}


@pytest.fixture
def service(tmp_path: Path) -> StandIn:
    return stand_in(tmp_path)


def add_hostile(service: StandIn) -> None:
    """A task whose every text attacks the page."""
    check = Check(id="1", kind="prose", text=HOSTILE, round=1)
    service.store.add_task(task(task=HOSTILE, checks=(check,), skipped=(Skipped(what=HOSTILE, why=HOSTILE),)), [])
    finding = Finding(id="1", origin="check", text=HOSTILE, verdict="fail", evidence=HOSTILE)
    links = {"repo_url": "javascript:alert(3)", "pages_url": 'https://x.example/"onclick="alert(4)'}
    publication = PUBLICATION.model_copy(update=links)
    fetched = Fetched(url=HOSTILE, at=1.0, path=HOSTILE, error=HOSTILE)
    service.store.add_event(TASK_ID, "fetched", fetched.model_dump())
    service.store.update(TASK_ID, state="failed", findings=(finding,), error=HOSTILE, publication=publication)
    service.store.add_delivery(TASK_ID, "1", Attempt(at=1.0, status=None, error=HOSTILE), "dead")


class Outline(HTMLParser):
    """Every element and its attributes; an element that is not closed where it was opened is an error."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"<{tag}> has an attribute twice"
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def values(self, attribute: str) -> list[str | None]:
        return [attributes[attribute] for _, attributes in self.elements if attribute in attributes]


@pytest.mark.parametrize("path", ["/", PAGE])
def test_a_hostile_task_stays_text(service: StandIn, path: str) -> None:
    add_hostile(service)
    answer = ask(service, path, headers=OPERATOR)
    outline = Outline(answer.text)
    assert [tag for tag, _ in outline.elements].count("script") == 1
    assert "img" not in [tag for tag, _ in outline.elements]
    assert not any(name.startswith("on") for _, attributes in outline.elements for name in attributes)
    assert not any(str(link).startswith("javascript:") for link in outline.values("href"))
    assert "&lt;script&gt;" in answer.text


@pytest.mark.parametrize("finished", [True, False])
@pytest.mark.parametrize("path", ["/", PAGE])
def test_a_page_is_well_formed_and_loads_nothing_from_elsewhere(service: StandIn, path: str, finished: bool) -> None:
    if finished:
        add_finished(service.store, task())
    else:
        service.store.add_task(task(checks=(), skipped=()), [])
    answer = ask(service, path, headers=OPERATOR)
    assert answer.status_code == 200
    assert answer.text.startswith("<!doctype html>\n<html")
    outline = Outline(answer.text)
    assert all(str(source).startswith(f"/tasks/{TASK_ID}/screenshots/") for source in outline.values("src"))
    assert [tag for tag, _ in outline.elements].count("h1") == 1
    ids = outline.values("id")
    assert len(ids) == len(set(ids))
    assert set(outline.values("aria-labelledby")) <= set(ids)


@pytest.mark.parametrize("path", ["/", PAGE])
def test_only_what_carries_the_nonce_of_this_answer_may_run(service: StandIn, path: str) -> None:
    add_finished(service.store, task())
    nonces = set()
    for _ in range(2):
        answer = ask(service, path, headers=OPERATOR)
        policy = answer.headers["content-security-policy"]
        (nonce,) = set(re.findall(r"'nonce-([^']{16,})'", policy))
        nonces.add(nonce)
        for tag, attributes in Outline(answer.text).elements:
            assert "style" not in attributes
            assert tag not in ("script", "style") or attributes == {"nonce": nonce}
        assert policy.startswith("default-src 'none'; ")
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
    assert len(nonces) == 2


@pytest.mark.parametrize("path", ["/", PAGE, f"/tasks/{TASK_ID}", f"/tasks/{TASK_ID}/events", "/nowhere"])
def test_every_answer_is_kept_out_of_caches_frames_and_referrers(service: StandIn, path: str) -> None:
    add_finished(service.store, task())
    headers = ask(service, path, headers=OPERATOR).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == "no-store"
    assert "frame-ancestors 'none'" in headers["content-security-policy"]


def test_the_overview_shows_the_newest_fifty_tasks_and_names_nobody(service: StandIn) -> None:
    for number in range(51):
        service.store.add_task(task(f"{number:032x}", task=f"harbour-{number}", received_at=float(number)), [])
    text = ask(service, "/", headers=OPERATOR).text
    shown = re.findall(r">harbour-(\d+)<", text)
    assert shown == [str(number) for number in range(50, 0, -1)]
    assert EMAIL not in text
    assert NONCE not in text


def test_the_overview_says_how_a_task_stands(service: StandIn) -> None:
    add_finished(service.store, task())
    text = ask(service, "/", headers=OPERATOR).text
    for shown in ("1 passed", "1 failed", "1 unknown", "1,234", "$0.0125", PUBLICATION.pages_url, PUBLICATION.repo_url):
        assert shown in text


def test_the_page_of_a_task_follows_its_events_until_it_ends(service: StandIn) -> None:
    service.store.add_task(task(), [])
    assert "new EventSource(" in ask(service, PAGE).text
    service.store.update(TASK_ID, state="done", stage="done")
    assert "new EventSource(" not in ask(service, PAGE).text


def test_the_page_of_a_task_shows_what_was_asked_to_the_operator_alone(service: StandIn) -> None:
    data = Attachment(name="ferries.csv", sha256="0" * 64, size_bytes=1_234, media_type="text/csv")
    service.store.add_task(task(attachments=(data,)), [])
    shown = ask(service, PAGE, headers=OPERATOR).text
    for private in ("canary-brief", "ferries.csv", "1,234", "text/csv"):
        assert private in shown
    for headers in ({}, {"Authorization": "Bearer wrong"}, OPERATOR | {"Sec-Fetch-Site": "cross-site"}):
        answer = ask(service, PAGE, headers=headers)
        assert answer.status_code == 200
        assert "canary-brief" not in answer.text
        assert "ferries.csv" not in answer.text


def test_live_pages_work_when_they_were_opened_by_an_address_with_the_token(tmp_path: Path) -> None:
    """Chromium refuses to fetch a relative address on such a page."""

    async def watch() -> None:
        service = stand_in(tmp_path, admin_token=SecretStr("a-token"))
        service.store.add_task(task(), [])
        async with serving(service) as port, chromium() as browser:
            address = f"http://admin:a-token@127.0.0.1:{port}"
            context = await browser.new_context()
            overview, page = await context.new_page(), await context.new_page()
            await overview.goto(f"{address}/")
            await page.goto(f"{address}{PAGE}")
            add_finished(service.store, task("1" * 32, task="another harbour"))
            service.store.update(TASK_ID, state="running", stage="publish")
            await overview.get_by_text("another harbour").wait_for()
            await page.get_by_text("in stage publish").wait_for()
            await page.get_by_text("canary-brief").wait_for()
            await overview.get_by_text("another harbour").click()
            await overview.get_by_text("canary-brief").wait_for()
            assert "a-token" not in overview.url

    with browser_needed():
        asyncio.run(watch())


@asynccontextmanager
async def chromium() -> AsyncIterator[playwright.Browser]:
    """One with a network, as people have it. Raises NoBrowser."""
    async with playwright.async_playwright() as driver:
        try:
            browser = await driver.chromium.launch(executable_path=find("auto"))
        except playwright.Error as error:
            raise NoBrowser(error.message) from None
        yield browser
        await browser.close()


@asynccontextmanager
async def serving(service: StandIn) -> AsyncIterator[int]:
    with closing(listen("127.0.0.1", 0, "PORT")) as sock:
        async with served(http_app(service), sock):
            yield sock.getsockname()[1]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-3, "0 s"), (0, "0 s"), (59, "59 s"), (60, "1 min"), (3_599, "59 min"), (7_200, "2 h"), (200_000, "2 d")],
)
def test_a_duration_is_told_in_its_largest_unit(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("url", "is_link"),
    [
        ("https://a.example/", True),
        ("HTTP://a.example/", True),
        ("javascript:alert(1)", False),
        (" javascript:alert(1)", False),
        ("data:text/html,x", False),
        ("//a.example", False),
        ("http://[", False),
    ],
)
def test_only_web_addresses_become_links(url: str, is_link: bool) -> None:
    assert is_web_address(url) is is_link
