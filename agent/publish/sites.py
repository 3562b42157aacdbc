"""The sites' own host: published pages straight from git objects, as a project page would serve them, and a read-only
smart-HTTP door for `git clone`. No path of a request ever becomes a path of the disk.

    /<repo>/…            the head of main
    /<repo>/@<sha>/…     one commit of it, for ever the same
    /<repo>.git          what git fetches from
"""

import re
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache, partial
from typing import Any
from urllib.parse import quote

from a2wsgi import WSGIMiddleware
from dulwich.server import BackendRepo, DictBackend
from dulwich.web import GunzipFilter, HTTPGitApplication, LimitedInputFilter
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agent.errors import UnknownCommit
from agent.events import emit
from agent.publish.git import Repositories
from agent.publish.media_types import media_type
from agent.publish.routing import serve

ADDRESS = re.compile(r"([^/]+)(?:/@([0-9a-f]{40}))?(?:/(.*))?", re.DOTALL)  # repository, commit, path
RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
FRESH = "no-cache"  # may be kept, must be asked for again: a new round is seen at once
FOR_EVER = "public, max-age=31536000, immutable"
CACHED_TREES = 256
MAX_NEGOTIATION_BYTES = 1_000_000  # what a client has and wants, 50 bytes a commit
GIT_THREADS = 4
# By default dulwich takes pushes.
FETCH_ONLY: dict[bytes, Any] = {b"git-receive-pack": None, b"git-upload-archive": None}

Trees = Callable[[str, str], Mapping[str, str]]  # repo, sha → path → blob id


def sites_app(repositories: Repositories) -> ASGIApp:
    """For a server of its own, or called with requests whose Host is that of the sites."""
    # A commit never changes, so neither does a tree once found; what is not found is not kept.
    trees: Trees = lru_cache(CACHED_TREES)(repositories.tree)
    door = GitDoor(repositories)
    app = Starlette(
        routes=[
            Route("/{repo}.git/info/refs", door, methods=["GET"]),
            Route("/{repo}.git/git-upload-pack", door, methods=["POST"]),
            Route("/{repo}.git/git-receive-pack", refuse_push, methods=["POST"]),
            Route("/{repo}.git", partial(describe, repositories), methods=["GET"]),
            Route("/{address:path}", partial(show, repositories, trees), methods=["GET"]),
        ]
    )
    app.router.redirect_slashes = False
    return app


# -- pages ---------------------------------------------------------------------------------------------------------


def show(repositories: Repositories, trees: Trees, request: Request) -> Response:
    """One file of one site. Starlette runs it in a thread."""
    address = ADDRESS.fullmatch(request.path_params["address"])
    if not address or not repositories.exists(address[1]):
        raise _nothing()
    repo, preview, path = address.groups()
    if path is None:
        return _with_slash(request)
    try:
        tree = trees(repo, preview or repositories.head(repo) or "")
    except UnknownCommit:
        raise _nothing() from None
    found, read = serve(tree, path), partial(repositories.blob, repo)
    if found.status == 301:
        return _with_slash(request)
    if found.file is None:
        raise _nothing()
    if found.status == 404:
        return Response(read(tree[found.file]), 404, _headers(found.file, FRESH))
    return _file(request, tree[found.file], read, _headers(found.file, FOR_EVER if preview else FRESH))


def _headers(path: str, cache_control: str) -> dict[str, str]:
    return {
        "Content-Type": media_type(path),
        "Cache-Control": cache_control,
        "X-Content-Type-Options": "nosniff",
        "Access-Control-Allow-Origin": "*",
    }


def _file(request: Request, blob_id: str, read: Callable[[str], bytes], headers: Mapping[str, str]) -> Response:
    """All of it, a part of it, or the word that the client has it already."""
    etag = f'"{blob_id}"'
    headers = {**headers, "ETag": etag, "Accept-Ranges": "bytes"}
    known = request.headers.get("if-none-match", "").split(",")
    if any(tag.strip().removeprefix("W/") in (etag, "*") for tag in known):
        return Response(status_code=304, headers=headers)
    data = read(blob_id)
    wanted = RANGE.fullmatch(request.headers.get("range", ""))
    if not wanted or not any(wanted.groups()) or request.headers.get("if-range", etag) != etag:
        return Response(data, 200, headers)
    first, last = _span(wanted, len(data))
    if first > last:
        return Response(b"", 416, {**headers, "Content-Range": f"bytes */{len(data)}"})
    headers = {**headers, "Content-Range": f"bytes {first}-{last}/{len(data)}"}
    return Response(data[first : last + 1], 206, headers)


def _span(wanted: re.Match[str], size: int) -> tuple[int, int]:
    """First and last byte, both inclusive; first > last when none of them exists."""
    first, last = wanted.groups()
    if not first:
        return max(0, size - int(last)), size - 1
    return int(first), min(int(last), size - 1) if last else size - 1


def _with_slash(request: Request) -> Response:
    query = request.scope["query_string"].decode("latin-1")
    location = f"{quote(request.scope['path'], safe='/@')}/{'?' if query else ''}{query}"
    return Response(status_code=301, headers={"Location": location, "Cache-Control": FRESH})


def _nothing() -> HTTPException:
    return HTTPException(404, "There is nothing at this address.\n", {"Cache-Control": FRESH})


# -- git -----------------------------------------------------------------------------------------------------------


def describe(repositories: Repositories, request: Request) -> Response:
    """For a person who opens the address that is meant for git."""
    repo = request.path_params["repo"]
    if not repositories.exists(repo):
        raise _nothing()
    commits = "\n".join(repositories.history(repo))
    return PlainTextResponse(f"A git repository: clone it from this address. Its commits, newest first:\n{commits}\n")


class GitDoor:
    """git's own protocol, fetching only.

    No thread waits for a client: it begins when the request is complete, and the queue of its answer has no bound.
    """

    def __init__(self, repositories: Repositories) -> None:
        self._repositories = repositories
        self._wsgi = WSGIMiddleware(self._answer, workers=GIT_THREADS, send_queue_size=0)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        if not self._repositories.exists(request.path_params["repo"]):
            raise _nothing()
        if request.method != "POST" and request.query_params.get("service") != "git-upload-pack":
            return await refuse_push(request)(scope, receive, send)
        try:
            body = await _bounded_body(request)

            async def received() -> Message:
                return {"type": "http.request", "body": body, "more_body": False}

            await self._wsgi({**scope, "query_string": b"service=git-upload-pack"}, received, send)
        except HTTPException:
            raise
        except Exception as error:  # noqa: BLE001 - dulwich trips over hostile requests in many ways
            emit("git.failed", repo=request.path_params["repo"], error=repr(error))

    def _answer(self, environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        repo = environ["asgi.scope"]["path_params"]["repo"]
        environ.pop("HTTP_TRANSFER_ENCODING", None)  # the server has put the chunks together
        with self._repositories.open(repo) as git:
            served: dict[str, BackendRepo] = {f"/{repo}.git": git}
            fetching = HTTPGitApplication(DictBackend(served), handlers=FETCH_ONLY)
            unzipped = GunzipFilter(LimitedInputFilter(fetching, MAX_NEGOTIATION_BYTES))
            yield from unzipped(environ, start_response)


def refuse_push(request: Request) -> Response:
    return PlainTextResponse("This repository is read-only: clone it.\n", 403)


async def _bounded_body(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_NEGOTIATION_BYTES:
            raise HTTPException(413, f"A fetch may send {MAX_NEGOTIATION_BYTES} bytes: clone instead.\n")
    return bytes(body)
