"""What a page's requests are answered with: the site's own files, a few hosts fetched for it, refusals for the rest."""

import asyncio
import contextlib
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from urllib.parse import quote as encoded
from urllib.parse import unquote, urlsplit

import httpx

from agent import net
from agent.browser.chromium import Answer, Request
from agent.errors import Blocked
from agent.net import Resource
from agent.publish.media_types import media_type
from agent.publish.routing import Served, serve
from agent.quoting import nearest, quote
from agent.workspace import sha256

# Hosts that a page may use although neither brief nor checks name them.
LIBRARY_HOSTS = frozenset(
    {
        "ajax.googleapis.com", "cdn.jsdelivr.net", "cdn.plot.ly", "cdn.tailwindcss.com",
        "cdnjs.cloudflare.com", "code.jquery.com", "d3js.org", "esm.sh", "fonts.googleapis.com", "fonts.gstatic.com",
        "maxcdn.bootstrapcdn.com", "stackpath.bootstrapcdn.com", "tessdata.projectnaptha.com", "unpkg.com",
    }
)  # fmt: skip
CDN_HOSTS = LIBRARY_HOSTS | {"api.github.com"}
MAX_RESOURCE_BYTES = 10_000_000
FETCH_S = 8.0
CACHE_S = 86_400.0
MAX_CACHED = 2_000  # files
MAX_CACHED_BYTES = 1_000_000_000
PROBE_URL = "https://probe.example/sample"  # what `?url=` is given
LIBRARIES = ("script", "stylesheet", "font")
OUTSIDE = Served(404)  # another site of the same owner, of which nothing is known
_PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108000000003a7e9b550000000a49444154789c63f80f00010101"
    "00b138f6140000000049454e44ae426082"
)

Fetch = Callable[[str, frozenset[str]], Awaitable[Resource]]  # URL, hosts it may lead to; raises Blocked, HTTPError


class Sources:
    """Answers one tab and remembers what went wrong."""

    def __init__(self, base_url: str, files: Mapping[str, bytes], hosts: frozenset[str], fetch: Fetch) -> None:
        self.base_url = base_url  # https://OWNER.github.io/REPO/
        self.read: set[str] = set()  # own files that the page asked for
        self.missing: dict[str, str] = {}  # address on the own host → what would fix it
        self.failed: dict[str, str] = {}  # address elsewhere → what its host said
        self.refused: dict[str, str] = {}  # host → what was asked of it
        self.unreached: dict[str, str] = {}  # host → why it gave no answer: no fault of the page
        self.probed = False  # the page asked for PROBE_URL, of its host or through another
        self._origin = urlsplit(base_url)._replace(path="").geturl()
        self._files = files
        self._hosts = hosts | CDN_HOSTS
        self._fetch = fetch

    async def answer(self, request: Request) -> Answer | None:
        url = request.url.split("#")[0]
        if url.split("?")[0].startswith(f"{self._origin}/"):
            return self._own(url)
        self.probed = self.probed or "probe.example" in url
        if url.startswith(PROBE_URL):
            return _probe(url)
        host = urlsplit(url).hostname or ""
        if not url.startswith("https://") or request.method not in ("GET", "HEAD") or host not in self._hosts:
            self.refused.setdefault(host or url[:80], f"{request.method} {request.kind}")
            return None
        return await self._elsewhere(request, url, host)

    def _own(self, url: str) -> Answer:
        """What GitHub Pages answer, for the site and for what lies around it."""
        address, mark, query = url.partition("?")
        if f"{address}/" == self.base_url:
            return Answer(301, {"location": f"{self.base_url}{mark}{query}"}, b"")
        inside = address.startswith(self.base_url)
        path = unquote(address[len(self.base_url) :])
        served = serve(self._files, path) if inside else OUTSIDE
        if served.status == 301:
            return Answer(301, {"location": f"{self.base_url}{encoded(served.folder)}{mark}{query}"}, b"")
        if served.status == 200 and served.file:
            self.read.add(served.file)
        elif not address.endswith("/favicon.ico"):
            self.missing[unquote(address[len(self._origin) :])] = (
                f"there is no such file; {nearest(path, self._files)}"
                if inside
                else f"that is outside the site, which lies under {quote(urlsplit(self.base_url).path)}: "
                "use a relative address"
            )
        if served.file is None:
            return Answer(404, {"content-type": media_type("404.html")}, b"not found")
        headers = {"content-type": media_type(served.file), "access-control-allow-origin": "*"}
        return Answer(served.status, headers, self._files[served.file])

    async def _elsewhere(self, request: Request, url: str, host: str) -> Answer | None:
        try:
            resource = await self._fetch(url, self._hosts)
        except httpx.HTTPStatusError as error:
            self.failed[url] = str(error.response.status_code)
            allowed = error.response.headers.get("Access-Control-Allow-Origin", "")
            nothing = Resource(b"", allow_origin=allowed)
            return Answer(error.response.status_code, _headers(nothing, self._origin), b"")
        except (Blocked, httpx.HTTPError, OSError) as error:
            self.unreached[host] = str(error) or type(error).__name__
            return None
        return Answer(200, _headers(resource, self._origin), b"" if request.method == "HEAD" else resource.body)


class Fetcher:
    """Fetches through the guarded client; what a CDN served is kept for a day, the newest `max_cached_bytes`."""

    def __init__(self, http: httpx.AsyncClient, folder: Path, *, max_cached_bytes: int = MAX_CACHED_BYTES) -> None:
        self._http = http
        self._folder = folder
        self._max_cached_bytes = max_cached_bytes

    async def __call__(self, url: str, hosts: frozenset[str]) -> Resource:
        """Raises Blocked, httpx.HTTPError."""
        keep = urlsplit(url).hostname in LIBRARY_HOSTS
        kept = self._folder / sha256(url.encode())
        if keep and (found := await asyncio.to_thread(_cached, kept)):
            return found
        found = await net.get(self._http, url, max_bytes=MAX_RESOURCE_BYTES, allowed_hosts=hosts)
        if keep:
            await asyncio.to_thread(_keep, kept, found, self._max_cached_bytes)
        return found


def _headers(resource: Resource, origin: str) -> dict[str, str]:
    """Playwright opens what is not shut: a host that does not let our origin in must name another one."""
    allowed = resource.allow_origin in ("*", origin)
    return {
        "content-type": resource.media_type or "application/octet-stream",
        "access-control-allow-origin": resource.allow_origin if allowed else "https://another.invalid",
    }


def _probe(url: str) -> Answer:
    picture = url.endswith(".png")
    headers = {"content-type": "image/png" if picture else "text/plain", "access-control-allow-origin": "*"}
    return Answer(200, headers, _PIXEL if picture else b"# Probe\n\nA sample.\n")


def _cached(path: Path) -> Resource | None:
    with contextlib.suppress(OSError, ValueError, KeyError):
        if time.time() - path.stat().st_mtime < CACHE_S:
            head, _, body = path.read_bytes().partition(b"\n")
            return Resource(body, **json.loads(head))
    return None


def _keep(path: Path, resource: Resource, max_bytes: int) -> None:
    """A full disk costs a fetch, no more."""
    head = json.dumps({"media_type": resource.media_type, "allow_origin": resource.allow_origin}).encode()
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        part.write_bytes(head + b"\n" + resource.body)
        part.replace(path)
        left_bytes = max_bytes
        for number, kept in enumerate(
            sorted(path.parent.iterdir(), key=lambda kept: kept.stat().st_mtime, reverse=True), start=1
        ):
            left_bytes -= kept.stat().st_size
            if left_bytes < 0 or number > MAX_CACHED:
                kept.unlink(missing_ok=True)
