"""GitHub's REST API over plain httpx: its limits are kept, passing faults are retried, the rest becomes a sentence.

The token is a header and goes to the API's own origin only.
"""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import httpx

from agent.errors import AgentError, Blocked, Objection, PublishError
from agent.records import Json

VERSION = "2022-11-28"
MUTATION_SPACING_S = 1.0  # GitHub's advice for a token that makes many changes …
UNSPACED_MUTATIONS = 8  # … which those of four tasks are not
RETRIES_S = (1.0, 2.0, 4.0, 8.0, 16.0)
LONGEST_WAIT_S = 120.0  # for a limit to pass; a task has ten minutes
SECONDARY_LIMIT_S = 60.0  # GitHub's advice where it names no time
MAX_REDIRECTS = 3
DOWNLOAD_S = 20.0
MAX_ANSWER_CHARS = 300
# What GitHub says about a push whose files hold a secret, or one file that is too large.
FIXABLE = ("push protection", "cannot contain secrets", "secrets detected", "gh009", "gh001", "file size limit")

NO_GITHUB = "GITHUB_API_URL does not lead to GitHub's API ({}): name https://api.github.com or https://HOST/api/v3"

Sleep = Callable[[float], Awaitable[None]]


@dataclass(frozen=True)
class Answer:
    """Status and JSON of an answer that the caller asked to see."""

    status: int
    body: Any
    headers: Mapping[str, str]

    @property
    def message(self) -> str:
        """GitHub's own words about what is wrong."""
        if not isinstance(self.body, dict):
            return ""
        faults = self.body.get("errors")
        details = [str(e.get("message") or e.get("code", "")) if isinstance(e, dict) else str(e) for e in faults or ()]
        return "; ".join(filter(None, [str(self.body.get("message", "")), *details]))[:MAX_ANSWER_CHARS]

    @property
    def object(self) -> Json:
        """The body of an answer that describes one thing. Raises PublishError for anything else."""
        if not isinstance(self.body, dict):
            raise PublishError(NO_GITHUB.format("an answer is no JSON object"))
        return self.body

    @property
    def list(self) -> Sequence[Any]:
        """The body of an answer that lists things. Raises PublishError for anything else."""
        if not isinstance(self.body, list):
            raise PublishError(NO_GITHUB.format("an answer is no JSON list"))
        return self.body


def text(described: Any, key: str) -> str:
    """What GitHub always tells of a thing. Raises PublishError where it does not."""
    if not isinstance(described, dict) or not isinstance(described.get(key), str):
        raise PublishError(NO_GITHUB.format(f"an answer has no {key}"))
    return str(described[key])


@dataclass
class GitHubApi:
    """One token at one API; all its changes go one after the other."""

    http: httpx.AsyncClient
    url: str
    token: str
    clock: Callable[[], float] = time.time
    sleep: Sleep = asyncio.sleep
    _changing: asyncio.Lock = field(default_factory=asyncio.Lock)
    _spaced_until: float = 0.0
    _etags: dict[str, tuple[str, Answer]] = field(default_factory=dict)

    async def get(self, path: str, *, also: tuple[int, ...] = ()) -> Answer:
        """A 2xx, or one of the statuses of `also`. Raises PublishError; a 404 of a repository only when it stays, since
        one that was just made is not known everywhere at once."""
        return await self._retried("GET", path, None, also)

    async def poll(self, path: str, *, also: tuple[int, ...] = ()) -> Answer:
        """Like `get` for what is asked again and again: an answer that has not changed costs no quota."""
        etag, known = self._etags.get(path, ("", None))
        answer = await self._retried("GET", path, None, (*also, 304), {"If-None-Match": etag} if etag else {})
        if answer.status == 304 and known:
            return known
        if "etag" in answer.headers:
            self._etags[path] = (answer.headers["etag"], answer)
        return answer

    async def change(self, method: str, path: str, body: Json | None = None, *, also: tuple[int, ...] = ()) -> Answer:
        """A mutating call, one a second after the first few. The caller must be content to have it made twice."""
        async with self._changing:
            now = self.clock()
            self._spaced_until = max(self._spaced_until, now) + MUTATION_SPACING_S
            await self.sleep(max(0.0, self._spaced_until - now - UNSPACED_MUTATIONS * MUTATION_SPACING_S))
            return await self._retried(method, path, body, also)

    async def tail(self, path: str, *, max_bytes: int) -> bytes:
        """The end of a file that the API leads to by redirects, without the token; empty if there is none."""
        url, headers = f"{self.url}{path}", {"Authorization": f"Bearer {self.token}", "X-GitHub-Api-Version": VERSION}
        try:
            async with asyncio.timeout(DOWNLOAD_S):
                for _ in range(MAX_REDIRECTS + 1):
                    async with self.http.stream("GET", url, headers=headers) as response:
                        if response.next_request is None:
                            return await _end(response, max_bytes) if response.status_code == 200 else b""
                        url, headers = str(response.next_request.url), {}
        except (httpx.HTTPError, Blocked, TimeoutError):
            pass  # what it would have told is told without it
        return b""

    async def _retried(
        self, method: str, path: str, body: Json | None, also: tuple[int, ...], headers: Mapping[str, str] | None = None
    ) -> Answer:
        for wait_s in (*RETRIES_S, None):
            try:
                answer = await self._sent(method, path, body, headers or {})
            except httpx.HTTPError as error:
                trouble = f"no answer ({type(error).__name__})"
            else:
                asked_s = limit_s(answer.status, answer.headers, answer.message, self.clock())
                fresh = answer.status == 404 and path.startswith("/repos/") and wait_s is not None
                if answer.status < 300 or answer.status in also:
                    return answer
                if asked_s is None and answer.status < 500 and not fresh:
                    raise PublishError(sentence(answer, method, path))
                trouble = f"{answer.status} {answer.message}"
                wait_s = longer(wait_s, asked_s, trouble)
            if wait_s is not None:
                await self.sleep(wait_s)
        raise PublishError(f"GitHub did not take {method} {path}: {trouble}; send the task again later")

    async def _sent(self, method: str, path: str, body: Json | None, headers: Mapping[str, str]) -> Answer:
        """One exchange; a renamed repository is followed."""
        url = path if path.startswith("http") else f"{self.url}{path}"
        for _ in range(MAX_REDIRECTS + 1):
            response = await self._exchange(
                method,
                url,
                content=json.dumps(body) if body is not None else None,
                headers={
                    "Accept": "application/vnd.github+json",
                    "Authorization": f"Bearer {self.token}",
                    "X-GitHub-Api-Version": VERSION,
                    **({"Content-Type": "application/json"} if body is not None else {}),
                    **headers,
                },
            )
            following = response.next_request
            if response.status_code not in (301, 302, 307, 308) or following is None:
                break
            url = str(following.url)
            if urlsplit(url)[:2] != urlsplit(self.url)[:2]:
                raise PublishError(f"GITHUB_API_URL: {self.url} redirects to another host: name that one")
        answer = Answer(response.status_code, _json(response), response.headers)
        if response.is_success and response.content and answer.body is None:
            raise PublishError(NO_GITHUB.format(f"{method} {path} is answered with no JSON"))
        return answer

    async def _exchange(self, method: str, url: str, **options: Any) -> httpx.Response:
        try:
            return await self.http.request(method, url, **options)
        except Blocked as error:
            raise PublishError(NO_GITHUB.format(error)) from None


def api_path(repo_url: str) -> str:
    """The API's path of a repository."""
    return f"/repos{urlsplit(repo_url).path}"


def sentence(answer: Answer, method: str, path: str) -> str:
    """What is wrong and who can fix it."""
    said = f"GitHub says {answer.message!r}" if answer.message else f"GitHub answered {answer.status}"
    lower = answer.message.lower()
    if answer.status == 401:
        return "GITHUB_TOKEN is wrong or has expired (401): make a new one and set it"
    if "verified" in lower and "mail" in lower:
        return f"the token's user has no verified e-mail ({said}): verify it at github.com/settings/emails"
    if answer.status in (403, 404):
        needed = answer.headers.get("x-accepted-github-permissions") or answer.headers.get("x-accepted-oauth-scopes")
        rights = needed or "Administration, Contents and Pages (write) on all repositories"
        return f"GITHUB_TOKEN may not {method} {path} ({answer.status}, {said}): give it {rights}"
    return f"GitHub refuses {method} {path} ({answer.status}): {said}"


def refusal(said: str) -> AgentError:
    """What a refused push means: something to fix in the files, or in the token."""
    lower, line = said.lower(), " ".join(said.split())[:MAX_ANSWER_CHARS]
    if "workflow" in lower and ("scope" in lower or "permission" in lower):
        return PublishError(
            f"GITHUB_TOKEN may not push workflow files ({line}): give it the scope workflow, or Workflows (write)"
        )
    if any(sign in lower for sign in FIXABLE):
        return Objection(f"GitHub refuses this push:\n{said}")
    return PublishError(f"GitHub refuses this push ({line}): lift the owner's rule that forbids it to the token's user")


async def _end(response: httpx.Response, max_bytes: int) -> bytes:
    kept = bytearray()
    async for chunk in response.aiter_bytes():
        kept = (kept + chunk)[-max_bytes:]
    return bytes(kept)


def longer(wait_s: float | None, asked_s: float | None, trouble: str) -> float | None:
    """The wait before the next try, as long as a limit asks. Raises PublishError for one that no task can afford."""
    if asked_s is None or wait_s is None:
        return wait_s
    if asked_s > LONGEST_WAIT_S:
        raise PublishError(f"GitHub's rate limit is used up for {asked_s / 60:.0f} minutes ({trouble}): send it later")
    return max(wait_s, asked_s)


def limit_s(status: int, headers: Mapping[str, str], said: str, now: float) -> float | None:
    """How long a rate limit asks to wait; None when it is none. The time is GitHub's own, where the answer tells it."""
    if status not in (403, 429, 503):
        return None
    now = _unix(headers.get("date", "")) or now
    retry_after = headers.get("retry-after", "")
    if retry_after.isdigit():
        return float(retry_after)
    if retry_at := _unix(retry_after):
        return max(1.0, retry_at - now)
    if status == 503:
        return None
    reset = headers.get("x-ratelimit-reset", "")
    if headers.get("x-ratelimit-remaining") == "0" and reset.isdigit():
        return max(1.0, float(reset) - now + 1)
    return SECONDARY_LIMIT_S if status == 429 or "rate limit" in said.lower() else None


def _unix(date: str) -> float | None:
    try:
        return parsedate_to_datetime(date).timestamp()
    except ValueError:
        return None


def _json(response: httpx.Response) -> Any:
    try:
        return response.json() if response.content else None
    except ValueError:
        return None
