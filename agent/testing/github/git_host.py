"""git's smart HTTP for the GitHub on loopback, with what GitHub looks at before it takes a push."""

import asyncio
import base64
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

from a2wsgi import WSGIMiddleware
from dulwich.objects import ObjectID
from dulwich.protocol import SIDE_BAND_CHANNEL_PROGRESS
from dulwich.refs import Ref
from dulwich.server import BackendRepo, DictBackend, ReceivePackHandler
from dulwich.web import GunzipFilter, HTTPGitApplication, LimitedInputFilter
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from agent.testing.github.repositories import Repositories
from agent.testing.github.state import Call, Repo, Switches
from agent.testing.github.workflows import FOLDER

DECLINED = b"push declined due to repository rule violations"
PROTECTED = """\
error: GH013: Repository rule violations found for refs/heads/main.

- GITHUB PUSH PROTECTION
  Resolve the following violations before pushing again

  - Push cannot contain secrets

   -- Access Token --
    locations:
      - commit: {commit}
        path: {path}:1

    To push, remove secret from commit(s).
"""
NO_SCOPE = "refusing to allow a Personal Access Token to create or update workflow `{path}` without `workflow` scope"


class Host(Protocol):
    """What git needs of the GitHub it belongs to."""

    switches: Switches
    seen: list[Call]
    repositories: Repositories
    base_url: str
    token: str

    def find(self, owner: str, name: str) -> Repo | None: ...

    def moved(self, owner: str, name: str) -> Repo | None: ...

    def git(self, repo: Repo) -> str: ...

    def pushed(self, repo: Repo) -> None: ...


class GitHost:
    """Fetch for all, push with the token."""

    def __init__(self, github: Host) -> None:
        self._github = github
        self._wsgi = WSGIMiddleware(self._answer, workers=8, send_queue_size=0)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        github, service = self._github, request.path_params["service"]
        owner, name = request.path_params["owner"], request.path_params["name"]
        await asyncio.sleep(github.switches.mutation_s if request.method == "POST" else github.switches.read_s)
        repo, moved = github.find(owner, name), github.moved(owner, name)
        status = 301 if moved else 404 if repo is None else self._may(request, service)
        fault = github.switches.fault(f"{request.method} {request.url.path}")
        status = fault.status_code if fault else status
        github.seen.append(Call("git", request.method, request.url.path, None, status, None))
        if fault:
            await fault(scope, receive, send)
            return
        if repo is None or status != 200:
            told = {"WWW-Authenticate": 'Basic realm="GitHub"'}
            if moved:
                told = {"Location": f"{github.base_url}/{owner}/{moved.name}.git/{service}?{request.url.query}"}
            await Response(status_code=status, headers=told)(scope, receive, send)
            return
        body = await request.body()

        async def received() -> Message:
            return {"type": "http.request", "body": body, "more_body": False}

        headers = [h for h in scope["headers"] if h[0] not in (b"transfer-encoding", b"content-length")]
        headers.append((b"content-length", str(len(body)).encode()))
        await self._wsgi({**scope, "headers": headers, "state": {"repo": repo, "service": service}}, received, send)

    def _may(self, request: Request, service: str) -> int:
        if "receive-pack" not in f"{service}{request.url.query}":
            return 200
        given = request.headers.get("authorization", "").removeprefix("Basic ")
        return 200 if base64.b64decode(given).decode().partition(":")[2] == self._github.token else 401

    def _answer(self, environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        scope, github = environ["asgi.scope"], self._github
        repo, service = scope["state"]["repo"], scope["state"]["service"]
        environ["PATH_INFO"], environ["SCRIPT_NAME"] = f"/r/{service}", ""
        with github.repositories.open(github.git(repo)) as git:
            served: dict[str, BackendRepo] = {"/r": git}
            handlers: Any = {b"git-receive-pack": receiver(github.switches)}
            serving = HTTPGitApplication(DictBackend(served), handlers=handlers)
            before = github.repositories.head(github.git(repo))
            written: list[bytes] = []  # dulwich writes as it goes; here the build comes before the answer

            def start(*head: Any) -> Callable[[bytes], None]:
                start_response(*head)
                return written.append

            rest = list(GunzipFilter(LimitedInputFilter(serving))(environ, start))
        if github.repositories.head(github.git(repo)) != before:
            github.pushed(repo)
        yield from (*written, *rest)


def receiver(switches: Switches) -> type[ReceivePackHandler]:
    """Takes a push as the switches have it."""

    class Receiver(ReceivePackHandler):
        def _on_update(self, ref_name: Ref, old_sha: ObjectID, new_sha: ObjectID) -> bytes | None:
            files = _files(self.repo, new_sha)
            if not switches.may_push_workflows:
                for path, _ in files:
                    if path.startswith(FOLDER):
                        return NO_SCOPE.format(path=path).encode()
            for path, data in files:
                if any(secret in data for secret in switches.secrets):
                    said = PROTECTED.format(commit=new_sha.decode(), path=path).encode()
                    self.proto.write_sideband(SIDE_BAND_CHANNEL_PROGRESS, said)
                    return DECLINED
            return None

    return Receiver


def _files(git: Any, sha: ObjectID) -> Sequence[tuple[str, bytes]]:
    store = git.object_store
    entries = store.iter_tree_contents(store[sha].tree)
    return [(entry.path.decode(), store[entry.sha].as_raw_string()) for entry in entries]
