"""A Chromium without a network, and its tabs. The only module that knows Playwright; it knows nothing of tasks.

Every request of a page is answered by a function of ours. Chromium's own network is cut off a second time, by flags
always and by an empty network namespace where the kernel allows one: interception alone lets WebRTC, WebSocket and
speculative loads through.
"""

import asyncio
import json
import os
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urljoin

from pydantic import TypeAdapter, ValidationError

from agent.errors import Gone, NoBrowser, PageFault

if TYPE_CHECKING:
    from playwright import async_api as playwright

NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--host-resolver-rules=MAP * ~NOTFOUND",
    "--proxy-server=127.0.0.1:9",
    "--proxy-bypass-list=<-loopback>",
    "--force-webrtc-ip-handling-policy=disable_non_proxied_udp",
    "--disable-gpu",
    "--js-flags=--max-old-space-size=512",  # megabytes: a page that needs more is ended
)
LAUNCH_S = 20.0
CLOSE_S = 5.0
OPTION_POLL_S = 0.1
STEP_S = 2.0  # until what is clicked or filled is there
RECYCLE_AFTER = 200  # tabs: a long-lived browser grows
MAX_REQUESTS = 300  # of one tab
MAX_NOTES = 40  # errors, console lines and such that a tab keeps
MAX_NOTE_CHARS = 600
NO_ANSWER = "no answer within"  # how the fault of a page that hangs begins
DESKTOP, PHONE = (1280, 800), (390, 844)
WORLD = "observer"  # where our own functions run: they see the page's document and none of its JavaScript
# What such a function gets: the document's own view of itself, because an element that is called `body` or
# `querySelectorAll` stands in the place of what it is named after.
PAGE = """{
  all: (selector) => [...Document.prototype.querySelectorAll.call(document, selector)],
  get: (name) => Object.getOwnPropertyDescriptor(Document.prototype, name).get.call(document),
}"""

T = TypeVar("T")


@dataclass(frozen=True)
class Request:
    method: str
    url: str
    kind: str  # document, script, stylesheet, image, fetch, websocket, …
    origin: str  # of the page that asks; empty for a navigation
    top: bool = False  # the page itself is to be replaced, not a frame in it


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes


Respond = Callable[[Request], Awaitable[Answer | None]]  # None: refused, as if there were no network


@dataclass(frozen=True)
class Level:
    """How far a page is locked in."""

    name: str
    sandbox: bool
    namespace: bool


LEVELS = (
    Level("sandbox, network namespace", sandbox=True, namespace=True),
    Level("sandbox, network off by flags", sandbox=True, namespace=False),
    Level("no sandbox, network namespace", sandbox=False, namespace=True),
    Level("no sandbox, network off by flags", sandbox=False, namespace=False),
)


@dataclass
class _Process:
    """One running Chromium, its driver and its folder."""

    browser: "playwright.Browser"
    ends: AsyncExitStack
    opened: int = 0
    active: int = 0

    @property
    def worn(self) -> bool:
        return self.opened >= RECYCLE_AFTER or not self.browser.is_connected()


class Browser:
    """One Chromium a process: launched when first needed, again after a crash, anew after RECYCLE_AFTER tabs."""

    def __init__(self, choice: str = "auto", *, tabs_at_once: int | None = None) -> None:
        self.choice = choice
        self._places = asyncio.Semaphore(tabs_at_once or 2 * (os.cpu_count() or 2))
        self._launching = asyncio.Lock()
        self._process: _Process | None = None
        self._level: Level | None = None
        self._trouble = "off: BROWSER=off" if choice == "off" else ""

    @property
    def status(self) -> str:
        """The level reached, or why there is none."""
        return self._trouble or (self._level.name if self._level else "not started yet")

    async def start(self) -> str:
        """The level reached. Raises NoBrowser."""
        await self._running()
        return self.status

    @asynccontextmanager
    async def tab(self, respond: Respond) -> AsyncIterator["Tab"]:
        """An empty page in a context of its own. Raises NoBrowser, Gone."""
        async with self._places:
            process = await self._running()
            process.opened += 1
            process.active += 1
            try:
                async with _tab(process.browser, respond) as tab:
                    yield tab
            finally:
                process.active -= 1
                if process is not self._process and not process.active:
                    await process.ends.aclose()

    async def aclose(self) -> None:
        process, self._process = self._process, None
        if process:
            await process.ends.aclose()

    async def _running(self) -> _Process:
        async with self._launching:
            if self._process and self._process.worn:
                old, self._process = self._process, None
                if not old.active:
                    await old.ends.aclose()
            if self._process is None:
                self._process = await self._launch()
            return self._process

    async def _launch(self) -> _Process:
        """The strictest level that this machine allows; found once, then kept."""
        if self._trouble:
            raise NoBrowser(self._trouble)
        reasons = []
        for level in (self._level,) if self._level else LEVELS:
            if level.namespace and not shutil.which("unshare"):
                continue
            try:
                process = await _launched(self.choice, level)
            except NoBrowser as error:
                self._trouble = f"none: {error}"
                raise
            except Gone as error:
                reasons.append(str(error))
            else:
                self._level = level
                return process
        if self._level is None:
            self._trouble = f"none: Chromium does not start ({reasons[0]}): set BROWSER to one that does, or to off"
        raise NoBrowser(self._trouble or f"Chromium does not start again ({reasons[0]})")


class Tab:
    """One page. What it did wrong is collected while it runs; every wait here has an end."""

    def __init__(self, page: "playwright.Page") -> None:
        self._page = page
        self.frame = page.main_frame
        self.offline = False
        self._devtools: playwright.CDPSession | None = None
        self.step_s = STEP_S
        self.errors: list[str] = []  # uncaught exceptions, each with its stack
        self.console: list[str] = []  # what the browser and the page call errors
        self.oddities: Counter[str] = Counter()  # popups, dialogs, WebSockets
        page.on("pageerror", lambda error: _note(self.errors, error.stack or str(error)))
        page.on("console", self._on_console)
        page.on("crash", lambda _: _note(self.errors, "the page crashed: it used too much memory"))

    async def go(self, url: str, *, parsed_s: float = 8.0, loaded_s: float = 5.0) -> None:
        """Parsed for certain, loaded if it loads in time. Raises PageFault, Gone."""
        await self._do(self._page.goto(url, wait_until="domcontentloaded", timeout=parsed_s * 1000), parsed_s + 1)
        await self._settle(loaded_s)

    async def reload(self) -> None:
        """Raises PageFault, Gone."""
        await self._do(self._page.reload(wait_until="domcontentloaded", timeout=8000), 9)
        await self._settle(5)

    async def click(self, selector: str) -> None:
        """The first visible one that matches, as a person would. Raises PageFault, Gone."""
        await self._do((await self._first(selector)).click(timeout=self.step_s * 1000), self.step_s + 1)

    async def fill(self, selector: str, value: str) -> None:
        """Types into a field; of a list it chooses the option. Raises PageFault, Gone."""
        found = await self._first(selector)
        if await self._do(found.evaluate("(e) => e.tagName", timeout=self.step_s * 1000), self.step_s + 1) == "SELECT":
            await self.select(selector, value)
        else:
            await self._do(found.fill(value, timeout=self.step_s * 1000), self.step_s + 1)

    async def select(self, selector: str, option: str) -> None:
        """Chooses an option by its value or its words. Raises PageFault, Gone."""
        found = await self._first(selector)
        by_words = """(list, wanted) => list.tagName !== "SELECT" ? 0
          : [...list.options].find((o) => o.value === wanted)?.value
          ?? [...list.options].find((o) => o.label.trim().toLowerCase() === wanted.trim().toLowerCase())?.value"""
        until = time.monotonic() + self.step_s  # an option may come with the page's data
        while not isinstance(
            value := await self._do(found.evaluate(by_words, option, timeout=self.step_s * 1000), 3), str
        ):
            if value == 0:
                raise PageFault("Element is not a <select>")
            if time.monotonic() > until:
                raise PageFault(f"there is no option {option!r}")
            await asyncio.sleep(OPTION_POLL_S)
        await self._do(found.select_option(value, timeout=self.step_s * 1000), self.step_s + 1)

    async def tick(self, selector: str, *, on: bool) -> None:
        """Raises PageFault, Gone."""
        await self._do((await self._first(selector)).set_checked(on, timeout=self.step_s * 1000), self.step_s + 1)

    async def press(self, selector: str, key: str) -> None:
        """A key in an element, such as Enter. Raises PageFault, Gone."""
        await self._do((await self._first(selector)).press(key, timeout=self.step_s * 1000), self.step_s + 1)

    async def resize(self, width: int, height: int) -> None:
        """Raises PageFault, Gone."""
        await self._do(self._page.set_viewport_size({"width": width, "height": height}), 3)

    async def go_offline(self, offline: bool) -> None:
        """Without a network, or with one: both are pretended, for there is none. Raises PageFault, Gone."""
        self.offline = offline
        speed = {"latency": 0, "downloadThroughput": 1e9, "uploadThroughput": 1e9}  # without it nothing is pretended
        await self._do(self._send("Network.emulateNetworkConditions", {"offline": offline, **speed}), 3)

    async def _first(self, selector: str) -> "playwright.Locator":
        """The first visible element, or the first one at all where none is visible. Raises PageFault, Gone."""
        found = self._page.locator(selector)
        visible = found.filter(visible=True)
        return visible.first if await self._do(visible.count(), 2) else found.first

    async def evaluate(self, source: str, argument: Any = None, *, timeout_s: float = 3.0) -> Any:
        """The value of the source, exactly as Playwright's users get it. Raises PageFault, Gone."""
        return await self._do(self._page.evaluate(source, argument), timeout_s)

    async def observe(self, shape: TypeAdapter[T], source: str, argument: Any = None, *, timeout_s: float = 3.0) -> T:
        """What `(page, argument) => …` gives where the page's own JavaScript reaches nothing. Raises PageFault, Gone.

        Elements may still stand in the place of properties (`<input name="id">` in a form): hence the shape.
        """
        value = await self._do(self._observed(f"(argument) => ({source})({PAGE}, argument)", argument), timeout_s)
        try:
            return shape.validate_python(value, strict=True)
        except ValidationError as error:
            raise PageFault(f"the page has something else for {error.errors()[0]['loc']}") from None

    async def _observed(self, function: str, argument: Any) -> Any:
        frame = (await self._send("Page.getFrameTree"))["frameTree"]["frame"]["id"]
        world = await self._send("Page.createIsolatedWorld", {"frameId": frame, "worldName": WORLD})
        call = {
            "functionDeclaration": function,
            "executionContextId": world["executionContextId"],
            "arguments": [{"value": argument}],
            "returnByValue": True,
            "awaitPromise": True,
        }
        answer = await self._send("Runtime.callFunctionOn", call)
        if fault := answer.get("exceptionDetails"):
            raise PageFault(str(fault.get("exception", {}).get("description", fault["text"]))[:MAX_NOTE_CHARS])
        return answer["result"].get("value")

    async def _send(self, method: str, parameters: dict[str, Any] | None = None) -> dict[str, Any]:
        if self._devtools is None:
            self._devtools = await self._page.context.new_cdp_session(self._page)
        return await self._devtools.send(method, parameters)

    async def snapshot(self) -> str:
        """What a screen reader finds. Raises PageFault, Gone."""
        return str(await self._do(self._page.locator("body").aria_snapshot(timeout=2000), 3))

    async def screenshot(self, size: tuple[int, int]) -> bytes:
        """A PNG of what this window shows first. Raises PageFault, Gone."""
        await self.resize(*size)
        return bytes(await self._do(self._page.screenshot(animations="disabled", timeout=5000), 6))

    async def _settle(self, timeout_s: float) -> None:
        """A request that hangs must not hold up the verdict."""
        with suppress(PageFault):
            await self._do(self._page.wait_for_load_state("load", timeout=timeout_s * 1000), timeout_s + 1)

    async def _do(self, action: Awaitable[Any], timeout_s: float) -> Any:
        try:
            return await asyncio.wait_for(action, timeout_s)
        except (PageFault, Gone):
            raise
        except TimeoutError:
            raise PageFault(f"{NO_ANSWER} {timeout_s:g} s: an endless loop or an unkept promise") from None
        except Exception as error:
            message = _words(error)
            if not (browser := self._page.context.browser) or not browser.is_connected():
                raise Gone(message) from error
            raise PageFault(message[:MAX_NOTE_CHARS]) from error

    def _on_console(self, message: "playwright.ConsoleMessage") -> None:
        if message.type == "error":
            _note(self.console, message.text)


def _words(error: Exception) -> str:
    from playwright.async_api import Error

    if isinstance(error, Error):
        return error.message.removeprefix("Page.evaluate: ").split("\nCall log:")[0]
    return f"a value that cannot be read: {type(error).__name__}: {error}"


def find(choice: str) -> str | None:
    """The Chromium to use: the one named, else of the system, else Playwright's own (None). Raises NoBrowser."""
    if choice != "auto":
        path = shutil.which(choice)
        if path is None:
            raise NoBrowser(f"BROWSER={choice} is no program: name the path of a Chromium, or say auto or off")
        return path
    return next((path for name in NAMES if (path := shutil.which(name))), None)


async def _launched(choice: str, level: Level) -> _Process:
    """Raises NoBrowser when there is none, Gone when it does not start at this level."""
    from playwright.async_api import Error, async_playwright

    async with AsyncExitStack() as ends:
        driver = await ends.enter_async_context(async_playwright())
        binary = find(choice) or _own(driver)
        home = Path(ends.enter_context(tempfile.TemporaryDirectory(prefix="browser-", ignore_cleanup_errors=True)))
        try:
            browser = await driver.chromium.launch(
                executable_path=_namespaced(binary, home) if level.namespace else binary,
                chromium_sandbox=level.sandbox,
                args=list(FLAGS),
                env={"PATH": os.defpath, "HOME": str(home), "LANG": "C.UTF-8"},
                handle_sigint=False,
                handle_sigterm=False,
                handle_sighup=False,
                timeout=LAUNCH_S * 1000,
            )
        except Error as error:
            raise Gone(error.message.splitlines()[0]) from error
        ends.push_async_callback(_closed, browser)
        return _Process(browser, ends.pop_all())


def _own(driver: "playwright.Playwright") -> str:
    path = driver.chromium.executable_path
    shells = sorted(Path(path).parents[2].glob("chromium_headless_shell-*/*/*headless*shell*"))
    for candidate in (*map(str, reversed(shells)), path):
        if os.access(candidate, os.X_OK) and Path(candidate).is_file():
            return candidate
    raise NoBrowser("there is no Chromium: install the package chromium-headless-shell, or run playwright install")


def _namespaced(binary: str, home: Path) -> str:
    """A launcher that leaves the browser without any network interface. Playwright speaks to it over a pipe."""
    who = "--map-user=65534 --map-group=65534" if os.geteuid() == 0 else "--map-current-user"
    launcher = home / "chromium"
    launcher.write_text(f'#!/bin/sh\nexec unshare --user {who} --net -- "{binary}" "$@"\n')
    launcher.chmod(0o700)
    return str(launcher)


@asynccontextmanager
async def _tab(browser: "playwright.Browser", respond: Respond) -> AsyncIterator[Tab]:
    from playwright.async_api import Error

    try:
        context = await browser.new_context(
            viewport={"width": DESKTOP[0], "height": DESKTOP[1]},
            locale="en-US",
            timezone_id="UTC",
            service_workers="block",
            accept_downloads=False,
        )
    except Error as error:
        raise Gone(error.message) from error
    try:
        answers = _Answers(respond)
        await context.route("**/*", answers.route)
        await context.route_web_socket("**/*", answers.web_socket)
        page = await context.new_page()
        tab = answers.tab = Tab(page)
        await tab.go_offline(False)
        context.on("page", tab_closer(tab))
        yield tab
    except Error as error:
        raise Gone(error.message) from error
    finally:
        with suppress(Error, TimeoutError):
            await asyncio.wait_for(context.close(), CLOSE_S)


def tab_closer(tab: Tab) -> Callable[["playwright.Page"], Awaitable[None]]:
    """Popups are counted and closed."""

    async def close(popup: "playwright.Page") -> None:
        from playwright.async_api import Error

        tab.oddities["popup"] += 1
        with suppress(Error):
            await popup.close()

    return close


@dataclass
class _Answers:
    """Hands a tab's requests to `respond`, up to MAX_REQUESTS."""

    respond: Respond
    tab: Tab | None = None
    count: int = field(default=0)

    async def route(self, route: "playwright.Route") -> None:
        from playwright.async_api import Error

        self.count += 1
        request = route.request
        origin, top = request.headers.get("origin", ""), self._is_top(request)
        asked = Request(request.method, request.url, request.resource_type, origin, top)
        offline = self.tab is not None and self.tab.offline
        answer = None if offline or self.count > MAX_REQUESTS else await self._answer(asked)
        with suppress(Error):  # the page may be gone by now
            if answer is None:
                await route.abort("blockedbyclient")
            else:
                await route.fulfill(status=answer.status, headers=dict(answer.headers), body=answer.body)

    async def _answer(self, asked: Request) -> Answer | None:
        """Playwright hands over no request that a redirect makes, so it is followed here: a document by a page that
        leads on, since relative addresses in it count from where it stands."""
        answer = await self.respond(asked)
        if answer is None or answer.status != 301:
            return answer
        there = urljoin(asked.url, answer.headers["location"])
        if asked.kind != "document":
            return await self.respond(replace(asked, url=there))
        leads_on = f"<!doctype html><script>location.replace({json.dumps(there)} + location.hash)</script>"
        return Answer(200, {"content-type": "text/html"}, leads_on.encode())

    def _is_top(self, request: "playwright.Request") -> bool:
        from playwright.async_api import Error

        try:
            return bool(self.tab and request.is_navigation_request() and request.frame == self.tab.frame)
        except Error:  # of a page that is not there yet: a popup
            return False

    async def web_socket(self, socket: "playwright.WebSocketRoute") -> None:
        self.count += 1
        await self.respond(Request("GET", socket.url, "websocket", ""))
        await socket.close()


async def _closed(browser: "playwright.Browser") -> None:
    with suppress(Exception):  # a browser that died already is closed
        await asyncio.wait_for(browser.close(), CLOSE_S)


def _note(notes: list[str], text: str) -> None:
    if len(notes) < MAX_NOTES:
        notes.append(text[:MAX_NOTE_CHARS])
