"""One visit of a page: what its requests are answered with, and what could not be answered from here."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from urllib.parse import unquote, urlsplit

from agent.browser.chromium import Answer, Request
from agent.browser.network import Sources
from agent.publish.media_types import media_type
from agent.quoting import quote
from agent.review.evidence import Outcome

BY_SCRIPT = ("fetch", "xhr")
NEEDED = (*BY_SCRIPT, "script", "stylesheet")  # a page may well fail without these


@dataclass
class Visit:
    """Answers one tab. `served` stands in for addresses elsewhere; data files of the site come `late_s` later."""

    sources: Sources
    hosts: frozenset[str]  # that the page may ask, so that it is no fault of its own when they do not answer
    served: Mapping[str, bytes] = field(default_factory=dict)
    late_s: float = 0.0
    data_asked: bool = False  # a script asked for a file of the site
    unreached: set[str] = field(default_factory=set)  # hosts that the task allows and that gave no answer
    left: dict[str, str] = field(default_factory=dict)  # host that nobody named → where the page went by itself
    refused: set[str] = field(default_factory=set)  # hosts that a script asked and that nobody named

    @property
    def base_url(self) -> str:
        return self.sources.base_url

    async def answer(self, request: Request) -> Answer | None:
        url = request.url.split("#")[0]
        stand_in = self.served.get(url, self.served.get(url.split("?")[0]))
        if stand_in is not None and request.method in ("GET", "HEAD", "OPTIONS"):
            headers = {"content-type": _kind(url, stand_in), "access-control-allow-origin": "*"}
            return Answer(200, {**headers, "access-control-allow-headers": "*"}, stand_in)
        if request.kind in BY_SCRIPT and url.startswith(self.base_url):
            self.data_asked = True
            await asyncio.sleep(self.late_s)
        host = urlsplit(url).hostname or ""
        if request.top and host not in (urlsplit(self.base_url).hostname, *self.hosts):
            self.left.setdefault(host, url)
        answer = await self.sources.answer(request)
        if answer is None and request.kind in NEEDED and url.startswith("https://"):
            known = host in self.hosts and request.method in ("GET", "HEAD")
            if known:
                self.unreached.add(host)
            elif request.kind in BY_SCRIPT:
                self.refused.add(host)
        return answer

    def excused(self, outcome: Outcome) -> Outcome:
        """A failure says nothing where the page could not fetch, from here, what the task itself lets it fetch."""
        if outcome.verdict != "fail" or not (self.unreached or self.refused):
            return outcome
        hosts = ", ".join(map(quote, sorted(self.unreached or self.refused)[:4]))
        if self.unreached:
            return Outcome("unknown", f"{outcome.evidence}; but {hosts} could not be reached from here")
        return replace(outcome, evidence=f"{outcome.evidence}; {hosts} is not reached from here", guess=True)


def own_files(served: Mapping[str, str]) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """What a test serves instead: files of the site by path, and addresses elsewhere."""
    addresses = {url: text.encode() for url, text in served.items() if url.startswith("https://")}
    files = {path.removeprefix("./"): text.encode() for path, text in served.items() if path not in addresses}
    return files, addresses


def _kind(url: str, body: bytes) -> str:
    if body.lstrip()[:1] in (b"{", b"["):
        return "application/json"
    return media_type(unquote(urlsplit(url).path))
