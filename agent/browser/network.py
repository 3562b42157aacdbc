"""What a page's requests are answered with: the site's own files, a few hosts fetched for it, refusals for the rest."""

import asyncio
import contextlib
import json
import mimetypes
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

import httpx

from agent import net
from agent.browser.chromium import Answer, Request
from agent.errors import Blocked
from agent.net import Resource
from agent.quoting import nearest, quote
from agent.workspace import INDEX, sha256

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
PROBE_URL = "https://probe.example/sample"  # what `?url=` is given
LIBRARIES = ("script", "stylesheet", "font")
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
        self.missing: dict[str, str] = {}  # address on the own host → what would mend it
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
        """As GitHub Pages does: folders have an index, pages need no ending, outside the site there is nothing."""
        address = url.split("?")[0]
        inside = address.startswith(self.base_url)
        path = unquote(address[len(self.base_url) :])
        found = next((p for p in (path, f"{path}{INDEX}", f"{path}/{INDEX}", f"{path}.html") if p in self._files), None)
        if inside and found is not None:
            self.read.add(found)
            return Answer(200, {"content-type": media_type(found)}, self._files[found])
        if not address.endswith("/favicon.ico"):
            self.missing[unquote(address[len(self._origin) :])] = (
                f"there is no such file; {nearest(path, self._files)}"
                if inside
                else f"that is outside the site, which lies under {quote(urlsplit(self.base_url).path)}: "
                "use a relative address"
            )
        return Answer(404, {"content-type": "text/html"}, b"not found")

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
    """Fetches through the guarded client; what a CDN served is kept on disk for a day."""

    def __init__(self, http: httpx.AsyncClient, folder: Path) -> None:
        self._http = http
        self._folder = folder

    async def __call__(self, url: str, hosts: frozenset[str]) -> Resource:
        """Raises Blocked, httpx.HTTPError."""
        keep = urlsplit(url).hostname in LIBRARY_HOSTS
        kept = self._folder / sha256(url.encode())
        if keep and (found := await asyncio.to_thread(_cached, kept)):
            return found
        found = await net.get(self._http, url, max_bytes=MAX_RESOURCE_BYTES, allowed_hosts=hosts)
        if keep:
            await asyncio.to_thread(_keep, kept, found)
        return found


def media_type(path: str) -> str:
    guessed = mimetypes.guess_type(path)[0] or "application/octet-stream"
    text = guessed.startswith("text/") or guessed.endswith(("javascript", "json", "xml"))
    return f"{guessed}; charset=utf-8" if text else guessed


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


def _keep(path: Path, resource: Resource) -> None:
    """A full disk costs a fetch, no more."""
    head = json.dumps({"media_type": resource.media_type, "allow_origin": resource.allow_origin}).encode()
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        for old in sorted(path.parent.iterdir(), key=lambda kept: kept.stat().st_mtime)[: -MAX_CACHED + 1]:
            old.unlink()
        part = path.with_suffix(".part")
        part.write_bytes(head + b"\n" + resource.body)
        part.replace(path)


@dataclass(frozen=True)
class Recorded:
    """URL → bytes: the internet of a test."""

    resources: Mapping[str, Resource]

    async def __call__(self, url: str, _hosts: frozenset[str]) -> Resource:
        if url in self.resources:
            return self.resources[url]
        request, headers = httpx.Request("GET", url), {"Access-Control-Allow-Origin": "*"}
        raise httpx.HTTPStatusError(
            "not recorded", request=request, response=httpx.Response(404, headers=headers, request=request)
        )
