"""A GitHub on loopback: the REST calls that publishing makes, real git over smart HTTP, and Pages with their delays.

Stateful, and as forgetful, slow and strict as it is told to be. `seen` lists every call with its answer.
"""

import asyncio
import base64
import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from a2wsgi import WSGIMiddleware
from dulwich.server import BackendRepo, DictBackend
from dulwich.web import GunzipFilter, HTTPGitApplication, LimitedInputFilter
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from agent.publish.git import Repositories
from agent.publish.sites import locate, media_type
from agent.records import Json

BUILD_ENDINGS = ("built", "queued", "errored", "cancelled")


@dataclass(frozen=True)
class Call:
    """One request and its answer; `kind` is rest, git or pages."""

    kind: str
    method: str
    path: str
    body: Any
    status: int
    answer: Any


@dataclass
class Switches:
    """How it behaves; may be changed while it runs."""

    mutation_s: float = 0.0
    read_s: float = 0.0
    build_s: float = 0.0
    builds: list[str] = field(default_factory=list)  # endings of the next builds, see BUILD_ENDINGS; then built
    faults: list[tuple[str, Response]] = field(default_factory=list)  # "POST /user/repos" → answered once, instead
    dropped: list[str] = field(default_factory=list)  # done, but the answer is lost
    stale_pages: int = 0  # so many page requests are answered as before the last build
    pages_refused: str = ""  # GitHub's words


@dataclass
class Build:
    commit: str
    ending: str
    at: float


@dataclass
class Repo:
    """What GitHub knows of a repository beside its git."""

    number: int
    owner: str
    name: str
    description: str
    pages: bool = False
    builds: list[Build] = field(default_factory=list)


class FakeGitHub:
    """An ASGI application: API under /api/v3, git under /OWNER/NAME(.git), pages under /pages/OWNER/NAME/."""

    def __init__(
        self, root: Path, *, token: str, login: str = "octo", orgs: tuple[str, ...] = (), base_url: str = ""
    ) -> None:
        self.base_url = base_url
        self.switches = Switches()
        self.seen: list[Call] = []
        self.repositories = Repositories(root)
        self.repos: dict[str, Repo] = {}
        self.token = token
        self._login = login
        self._orgs = orgs
        self.app = Starlette(
            routes=[
                Route("/pages/{owner}/{name}/{path:path}", self._page),
                Route("/{owner}/{name}/{service:path}", GitHost(self), methods=["GET", "POST"]),
                Route("/{rest:path}", self._nothing, methods=["GET", "POST", "PUT", "PATCH"]),
            ]
        )
        rest: list[tuple[str, str, Callable[..., tuple[int, Any]]]] = [
            ("GET", "/user", self._user),
            ("POST", "/user/repos", self._create),
            ("POST", "/orgs/{org}/repos", self._create),
            ("GET", "/users/{owner}/repos", self._list),
            ("GET", "/repos/{owner}/{name}", self._repo),
            ("GET", "/repos/{owner}/{name}/pages", self._pages),
            ("POST", "/repos/{owner}/{name}/pages", self._enable),
            ("POST", "/repos/{owner}/{name}/pages/builds", self._request_build),
            ("GET", "/repos/{owner}/{name}/pages/builds/latest", self._latest),
        ]
        for method, path, act in reversed(rest):
            self.app.router.routes.insert(0, Route(f"/api/v3{path}", partial(self._rest, act), methods=[method]))

    @property
    def api_url(self) -> str:
        return f"{self.base_url}/api/v3"

    def git(self, repo: Repo) -> str:
        return f"{repo.owner}.{repo.name}".lower()

    def find(self, owner: str, name: str) -> Repo | None:
        return self.repos.get(f"{owner}/{name.removesuffix('.git')}".lower())

    def add(self, owner: str, name: str, description: str = "") -> Repo:
        repo = self.repos[f"{owner}/{name}".lower()] = Repo(len(self.repos) + 1, owner, name, description)
        self.repositories.create(self.git(repo))
        return repo

    def build(self, repo: Repo) -> None:
        """A build of the head begins, if there is one and Pages are on."""
        head = self.repositories.head(self.git(repo))
        if repo.pages and head:
            ending = self.switches.builds.pop(0) if self.switches.builds else "built"
            repo.builds.append(Build(head, ending, time.monotonic()))

    def served_commit(self, repo: Repo) -> str | None:
        """Of the newest build that has ended well."""
        built = [b for b in repo.builds if self.state(b) == "built"]
        if len(built) > 1 and self.switches.stale_pages > 0:
            self.switches.stale_pages -= 1
            return built[-2].commit
        return built[-1].commit if built else None

    def state(self, build: Build) -> str:
        if build.ending == "built" and time.monotonic() - build.at < self.switches.build_s:
            return "building"
        return build.ending

    # -- REST --------------------------------------------------------------------------------------------------------

    async def _rest(self, act: Callable[..., tuple[int, Any]], request: Request) -> Response:
        switches, wanted = self.switches, f"{request.method} {request.url.path.removeprefix('/api/v3')}"
        raw = await request.body()
        body = json.loads(raw) if raw else {}
        await asyncio.sleep(switches.read_s if request.method == "GET" else switches.mutation_s)
        for fault in [f for f in switches.faults if f[0] == wanted][:1]:
            switches.faults.remove(fault)
            return self._noted(request, body, fault[1])
        if request.headers.get("authorization") != f"Bearer {self.token}":
            return self._noted(request, body, JSONResponse({"message": "Bad credentials"}, 401))
        status, answer = act(body, **request.path_params)
        if wanted in switches.dropped:
            switches.dropped.remove(wanted)
            status, answer = 502, {"message": "Server Error"}
        etag = f'"{hash(json.dumps(answer))}"'
        if request.headers.get("if-none-match") == etag:
            return self._noted(request, body, Response(status_code=304))
        headers = {"ETag": etag, "X-RateLimit-Remaining": "4999", "X-OAuth-Scopes": "repo"}
        return self._noted(request, body, JSONResponse(answer, status, headers))

    def _noted(self, request: Request, body: Any, response: Response) -> Response:
        answer = json.loads(bytes(response.body)) if response.body else None
        path = request.url.path.removeprefix("/api/v3")
        self.seen.append(Call("rest", request.method, path, body, response.status_code, answer))
        return response

    async def _nothing(self, request: Request) -> Response:
        return self._noted(request, None, JSONResponse({"message": "Not Found"}, 404))

    def _user(self, _body: Json) -> tuple[int, Any]:
        return 200, {**self._owner(self._login), **PRIVATE_USER}

    def _create(self, body: Json, org: str = "") -> tuple[int, Any]:
        owner = org or self._login
        if org and org not in self._orgs:
            return 403, {"message": "Resource not accessible by personal access token"}
        if len(body.get("description", "")) > 350 or "\n" in body.get("description", ""):
            return 422, {"message": "Validation Failed", "errors": [{"message": "description is too long"}]}
        if self.find(owner, body["name"]):
            fault = {"resource": "Repository", "code": "custom", "field": "name"}
            fault["message"] = "name already exists on this account"
            return 422, {"message": "Repository creation failed.", "documentation_url": "", "errors": [fault]}
        return 201, self._described(self.add(owner, body["name"], body.get("description", "")))

    def _list(self, _body: Json, owner: str) -> tuple[int, Any]:
        return 200, [self._described(r) for r in reversed(self.repos.values()) if r.owner == owner]

    def _repo(self, _body: Json, owner: str, name: str) -> tuple[int, Any]:
        repo = self.find(owner, name)
        return (200, self._described(repo)) if repo else (404, {"message": "Not Found"})

    def _pages(self, _body: Json, owner: str, name: str) -> tuple[int, Any]:
        repo = self.find(owner, name)
        if not repo or not repo.pages:
            return 404, {"message": "Not Found"}
        return 200, {
            "url": f"{self.api_url}/repos/{owner}/{name}/pages",
            "status": None,
            "cname": None,
            "custom_404": False,
            "html_url": f"{self.base_url}/pages/{repo.owner}/{repo.name}/",
            "build_type": "legacy",
            "source": {"branch": "main", "path": "/"},
            "public": True,
        }

    def _enable(self, _body: Json, owner: str, name: str) -> tuple[int, Any]:
        repo = self.find(owner, name)
        if not repo:
            return 404, {"message": "Not Found"}
        if self.switches.pages_refused:
            return 422, {"message": self.switches.pages_refused}
        if repo.pages:
            return 409, {"message": "GitHub Pages is already enabled."}
        if self.repositories.head(self.git(repo)) is None:
            return 422, {"message": "The main branch must exist before GitHub Pages can be built."}
        repo.pages = True
        self.build(repo)
        return 201, self._pages({}, owner, name)[1]

    def _request_build(self, _body: Json, owner: str, name: str) -> tuple[int, Any]:
        repo = self.find(owner, name)
        if not repo or not repo.pages:
            return 404, {"message": "Not Found"}
        self.build(repo)
        return 201, {"url": f"{self.api_url}/repos/{owner}/{name}/pages/builds/latest", "status": "queued"}

    def _latest(self, _body: Json, owner: str, name: str) -> tuple[int, Any]:
        repo = self.find(owner, name)
        if not repo or not repo.builds:
            return 404, {"message": "Not Found"}
        build = repo.builds[-1]
        return 200, {
            "url": f"{self.api_url}/repos/{owner}/{name}/pages/builds/{len(repo.builds)}",
            "status": self.state(build),
            "error": {"message": "Page build failed." if build.ending == "errored" else None},
            "pusher": self._owner(self._login),
            "commit": build.commit,
            "duration": 1000,
            "created_at": "2026-01-01T00:00:00Z",
            "updated_at": "2026-01-01T00:00:00Z",
        }

    # -- pages -------------------------------------------------------------------------------------------------------

    async def _page(self, request: Request) -> Response:
        await asyncio.sleep(self.switches.read_s)
        repo = self.find(request.path_params["owner"], request.path_params["name"])
        commit = self.served_commit(repo) if repo else None
        found = None
        if repo and commit:
            found = locate(self.repositories.tree(self.git(repo), commit), request.path_params["path"])
        self.seen.append(Call("pages", request.method, request.url.path, None, 200 if found else 404, None))
        if repo is None or commit is None or found is None:
            return Response("There isn't a GitHub Pages site here.", 404)
        return Response(self.repositories.read(self.git(repo), commit, found), media_type=media_type(found))

    # -- what things look like ---------------------------------------------------------------------------------------

    def _owner(self, login: str) -> Json:
        url = f"{self.api_url}/users/{login}"
        return {
            "login": login,
            "id": 1,
            "node_id": "U_1",
            "avatar_url": f"{self.base_url}/u/1",
            "gravatar_id": "",
            "url": url,
            "html_url": f"{self.base_url}/{login}",
            **{f"{name}_url": f"{url}/{name}" for name in USER_LINKS.split()},
            "type": "Organization" if login in self._orgs else "User",
            "site_admin": False,
        }

    def _described(self, repo: Repo) -> Json:
        url, web = f"{self.api_url}/repos/{repo.owner}/{repo.name}", f"{self.base_url}/{repo.owner}/{repo.name}"
        return {
            "id": repo.number,
            "node_id": f"R_{repo.number}",
            "name": repo.name,
            "full_name": f"{repo.owner}/{repo.name}",
            "owner": self._owner(repo.owner),
            "private": False,
            "html_url": web,
            "description": repo.description,
            "fork": False,
            "url": url,
            **{f"{name}_url": f"{url}/{name}" for name in REPO_LINKS.split()},
            **{name: f"{web}.git" for name in ("clone_url", "git_url", "ssh_url", "svn_url", "mirror_url")},
            **REPO_FACTS,
            "has_pages": repo.pages,
        }


class GitHost:
    """git's smart HTTP, fetch for all, push with the token."""

    def __init__(self, github: FakeGitHub) -> None:
        self._github = github
        self._wsgi = WSGIMiddleware(self._answer, workers=8, send_queue_size=0)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        github, service = self._github, request.path_params["service"]
        repo = github.find(request.path_params["owner"], request.path_params["name"])
        pushes = "receive-pack" in f"{service}{request.url.query}"
        await asyncio.sleep(github.switches.mutation_s if request.method == "POST" else github.switches.read_s)
        status = 404 if repo is None else 401 if pushes and not github_password(request, github) else 200
        github.seen.append(Call("git", request.method, request.url.path, None, status, None))
        if repo is None or status != 200:
            refusal = Response(status_code=status, headers={"WWW-Authenticate": 'Basic realm="GitHub"'})
            await refusal(scope, receive, send)
            return
        try:
            body = await request.body()
        except ClientDisconnect:
            return

        async def received() -> Message:
            return {"type": "http.request", "body": body, "more_body": False}

        headers = [h for h in scope["headers"] if h[0] not in (b"transfer-encoding", b"content-length")]
        headers.append((b"content-length", str(len(body)).encode()))
        await self._wsgi({**scope, "headers": headers, "state": {"repo": repo, "service": service}}, received, send)

    def _answer(self, environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        scope, github = environ["asgi.scope"], self._github
        repo, service = scope["state"]["repo"], scope["state"]["service"]
        environ["PATH_INFO"], environ["SCRIPT_NAME"] = f"/r/{service}", ""
        with github.repositories.open(github.git(repo)) as git:
            served: dict[str, BackendRepo] = {"/r": git}
            serving = HTTPGitApplication(DictBackend(served))
            before = github.repositories.head(github.git(repo))
            written: list[bytes] = []  # dulwich writes as it goes; here the build comes before the answer

            def start(*head: Any) -> Callable[[bytes], None]:
                start_response(*head)
                return written.append

            rest = list(GunzipFilter(LimitedInputFilter(serving))(environ, start))
        if github.repositories.head(github.git(repo)) != before:
            github.build(repo)
        yield from (*written, *rest)


def github_password(request: Request, github: FakeGitHub) -> bool:
    given = request.headers.get("authorization", "").removeprefix("Basic ")
    return base64.b64decode(given).decode().partition(":")[2] == github.token


USER_LINKS = """followers following gists starred subscriptions organizations repos events received_events"""
REPO_LINKS = """
archive assignees blobs branches collaborators comments commits compare contents contributors deployments downloads
events forks git_commits git_refs git_tags hooks issue_comment issue_events issues keys labels languages merges
milestones notifications pulls releases stargazers statuses subscribers subscription tags teams trees
"""
REPO_FACTS: Mapping[str, Any] = {
    "homepage": None,
    "language": None,
    **dict.fromkeys(
        ("forks_count", "stargazers_count", "watchers_count", "size", "open_issues_count", "network_count"), 0
    ),
    **dict.fromkeys(("forks", "open_issues", "watchers", "subscribers_count"), 0),
    **dict.fromkeys(("has_issues", "has_projects", "has_wiki", "has_downloads", "has_discussions"), True),
    "default_branch": "main",
    "archived": False,
    "disabled": False,
    "license": None,
    **dict.fromkeys(("pushed_at", "created_at", "updated_at"), "2026-01-01T00:00:00Z"),
}
PRIVATE_USER: Json = {
    **dict.fromkeys(("name", "company", "blog", "location", "email", "hireable", "bio")),
    **dict.fromkeys(("public_repos", "public_gists", "followers", "following", "private_gists"), 0),
    **dict.fromkeys(("total_private_repos", "owned_private_repos", "disk_usage", "collaborators"), 0),
    "two_factor_authentication": True,
    **dict.fromkeys(("created_at", "updated_at"), "2026-01-01T00:00:00Z"),
}
