"""The demo's evaluator: takes the call back, fetches the pages and clones the repository."""

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from tempfile import TemporaryDirectory
from urllib.parse import quote

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from agent.errors import AgentError
from agent.records import Json

GIT_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Site:
    """A published site as an outsider finds it."""

    pages: Mapping[str, bytes]  # path → what pages_url answered; the start page is ""
    files: Mapping[str, bytes]  # path → the file at the commit the call back named
    commits: tuple[str, ...]  # up to that commit, newest first


class Inbox:
    """Takes call backs; the first one with an expected nonce is its answer."""

    def __init__(self) -> None:
        self._expected: dict[str, asyncio.Future[Json]] = {}
        self.app = Starlette(routes=[Route("/notify", self._take, methods=["POST"])])

    def expect(self, nonce: str) -> asyncio.Future[Json]:
        return self._expected.setdefault(nonce, asyncio.get_running_loop().create_future())

    async def _take(self, request: Request) -> Response:
        call = await request.json()
        awaited = self._expected.get(call.get("nonce", ""))
        if awaited is None:
            return JSONResponse({"error": "no task with this nonce was sent"}, status_code=404)
        if not awaited.done():
            awaited.set_result(call)
        return JSONResponse({"status": "thank you"})


async def visit(call: Json) -> Site:
    """Clones the repository at the commit and fetches every file of it from the pages. Raises AgentError."""
    sha, repo_url, pages_url = (str(call.get(key)) for key in ("commit_sha", "repo_url", "pages_url"))
    if not re.fullmatch(r"[0-9a-f]{40}", sha):
        raise AgentError(f"the call back's commit_sha is {sha!r}, which is no full commit id")
    files, commits = await _clone(repo_url, sha)
    return Site(await _fetch(pages_url.rstrip("/"), ["", *files]), files, commits)


async def _fetch(pages_url: str, paths: Sequence[str]) -> dict[str, bytes]:
    """What is served at each path; what is not found is left out."""
    pages = {}
    try:
        async with httpx.AsyncClient(trust_env=False, follow_redirects=True, timeout=20) as http:
            for path in paths:
                answer = await http.get(f"{pages_url}/{quote(path)}")
                if answer.is_success:
                    pages[path] = answer.content
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise AgentError(f"{pages_url} cannot be fetched: {error}") from None
    return pages


async def _clone(repo_url: str, sha: str) -> tuple[dict[str, bytes], tuple[str, ...]]:
    with TemporaryDirectory(prefix="evaluator-", ignore_cleanup_errors=True) as folder:
        await _git("clone", "--quiet", "--bare", "--", repo_url, folder)
        clone = f"--git-dir={folder}"  # named, for a GIT_DIR of the environment would win over the working folder
        listed = await _git(clone, "ls-tree", "-r", "-z", "--name-only", sha)
        paths = [path.decode() for path in listed.split(b"\0") if path]
        files = {path: await _git(clone, "show", f"{sha}:{path}") for path in paths}
        return files, tuple((await _git(clone, "rev-list", sha)).decode().split())


async def _git(*arguments: str) -> bytes:
    """Standard output of the git on this machine. Raises AgentError."""
    try:
        process = await asyncio.create_subprocess_exec(
            *("git", "-c", "http.proxy=", "-c", "credential.helper=", *arguments),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
    except FileNotFoundError:
        raise AgentError("git is not on PATH: the demo's evaluator clones with it; install git") from None
    try:
        out, complaint = await asyncio.wait_for(process.communicate(), GIT_TIMEOUT_S)
    except TimeoutError:
        process.kill()
        raise AgentError(f"git {arguments[0]} did not end within {GIT_TIMEOUT_S:.0f} s") from None
    if process.returncode:
        raise AgentError(f"git {' '.join(arguments)} failed: {' '.join(complaint.decode(errors='replace').split())}")
    return out
