"""A GitHub on loopback: the REST calls that publishing makes, real git over smart HTTP, and Pages with their delays.

Stateful, and as forgetful, slow and strict as it is told to be. `seen` lists every call with its answer.
"""

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from agent.records import Json
from agent.testing.github.actions import Actions
from agent.testing.github.git_host import GitHost
from agent.testing.github.pages import addresses, media_type
from agent.testing.github.repositories import Repositories
from agent.testing.github.shapes import PRIVATE_USER, owner_of, repository_of
from agent.testing.github.state import Build, Call, Repo, Switches


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
        self._moved: dict[str, Repo] = {}
        self._actions = Actions(self)
        self.app = Starlette(
            routes=[
                Route("/logs/{owner}/{name}/{job}", self._actions.log),
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
            ("PUT", "/repos/{owner}/{name}/pages", self._change_pages),
            ("PUT", "/repos/{owner}/{name}/topics", self._put_topics),
            ("GET", "/orgs/{org}", self._org),
            ("GET", "/repos/{owner}/{name}/actions/runs", self._actions.get_runs),
            ("GET", "/repos/{owner}/{name}/actions/runs/{run}/jobs", self._actions.get_jobs),
            ("GET", "/repos/{owner}/{name}/actions/jobs/{job}/logs", self._actions.get_logs),
            ("POST", "/repos/{owner}/{name}/pages/builds", self._request_build),
            ("GET", "/repos/{owner}/{name}/pages/builds/latest", self._latest),
        ]
        for method, path, act in reversed(rest):
            self.app.router.routes.insert(0, Route(f"/api/v3{path}", partial(self._rest, act), methods=[method]))

    @property
    def api_url(self) -> str:
        return f"{self.base_url}/api/v3"

    @property
    def _pages_host(self) -> str:
        return self.switches.domain if self.switches.named_domain and self.switches.domain else self.base_url

    def git(self, repo: Repo) -> str:
        """The key of its git repository."""
        return f"{repo.owner}.{repo.name}".lower()

    def find(self, owner: str, name: str) -> Repo | None:
        return self.repos.get(f"{owner}/{name.removesuffix('.git')}".lower())

    def add(self, owner: str, name: str, description: str = "") -> Repo:
        repo = self.repos[f"{owner}/{name}".lower()] = Repo(len(self.repos) + 1, owner, name, description)
        self.repositories.create(self.git(repo))
        return repo

    def rename(self, repo: Repo, name: str) -> None:
        """The old name leads to the new one, but the old pages are gone."""
        old = f"{repo.owner}/{repo.name}".lower()
        self.repos[f"{repo.owner}/{name}".lower()] = self._moved[old] = self.repos.pop(old)
        key = self.git(repo)
        repo.name = name
        self.repositories.rename(key, self.git(repo))

    def moved(self, owner: str, name: str) -> Repo | None:
        return self._moved.get(f"{owner}/{name.removesuffix('.git')}".lower())

    def pushed(self, repo: Repo) -> None:
        """What a new head begins."""
        self.build(repo)
        self._actions.start(repo)

    def build(self, repo: Repo) -> None:
        """A build of the head begins, if there is one and Pages are made from it."""
        head = self.repositories.head(self.git(repo))
        if repo.pages == "legacy" and head:
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
        if fault := switches.fault(wanted):
            return self._noted(request, body, fault)
        if request.headers.get("authorization") != f"Bearer {self.token}":
            return self._noted(request, body, JSONResponse({"message": "Bad credentials"}, 401))
        return self._noted(request, body, self._answered(act, request, body, wanted))

    def _answered(self, act: Callable[..., tuple[int, Any]], request: Request, body: Json, wanted: str) -> Response:
        switches = self.switches
        repo = self.moved(request.path_params.get("owner", ""), request.path_params.get("name", ""))
        if repo:
            old = f"/{request.path_params['owner']}/{request.path_params['name']}"
            place = str(request.url).replace(old, f"/{repo.owner}/{repo.name}", 1)
            return RedirectResponse(place, 301 if request.method == "GET" else 307)
        status, answer = act(body or dict(request.query_params), **request.path_params)
        if wanted in switches.dropped:
            switches.dropped.remove(wanted)
            status, answer = 502, {"message": "Server Error"}
        if wanted in switches.cut:
            switches.cut.remove(wanted)
            return Response(headers={"Content-Length": "1"})  # and no such byte: the connection ends
        if status in (204, 302):
            return RedirectResponse(answer, 302) if answer else Response(status_code=status)
        etag = f'"{hash(json.dumps(answer))}"'
        if request.headers.get("if-none-match") == etag:
            return Response(status_code=304)
        headers = {"ETag": etag, "X-RateLimit-Remaining": "4999", "X-OAuth-Scopes": switches.scopes}
        return JSONResponse(answer, status, headers)

    def _noted(self, request: Request, body: Any, response: Response) -> Response:
        is_json = response.headers.get("content-type") == "application/json"
        answer = json.loads(bytes(response.body)) if response.body and is_json else None
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
            "html_url": f"{self._pages_host}/pages/{repo.owner}/{repo.name}/",
            "build_type": repo.pages,
            "source": {"branch": "main", "path": "/"},
            "public": True,
        }

    def _enable(self, body: Json, owner: str, name: str) -> tuple[int, Any]:
        repo = self.find(owner, name)
        if not repo:
            return 404, {"message": "Not Found"}
        if self.switches.pages_refused:
            return 422, {"message": self.switches.pages_refused}
        if repo.pages:
            return 409, {"message": "GitHub Pages is already enabled."}
        built = body.get("build_type", "legacy")
        empty = self.repositories.head(self.git(repo)) is None
        if empty and (built == "legacy" or self.switches.branch_first):
            return 422, {"message": "The main branch must exist before GitHub Pages can be built."}
        repo.pages = built
        self.build(repo)
        return 201, self._pages({}, owner, name)[1]

    def _change_pages(self, body: Json, owner: str, name: str) -> tuple[int, Any]:
        """A new source by itself starts no build."""
        repo = self.find(owner, name)
        if not repo or not repo.pages:
            return 404, {"message": "Not Found"}
        repo.pages = body.get("build_type", repo.pages)
        return 204, None

    def _put_topics(self, body: Json, owner: str, name: str) -> tuple[int, Any]:
        repo = self.find(owner, name)
        if not repo:
            return 404, {"message": "Not Found"}
        repo.topics = body["names"]
        return 200, {"names": body["names"]}

    def _org(self, _body: Json, org: str) -> tuple[int, Any]:
        if org not in self._orgs:
            return 404, {"message": "Not Found"}
        return 200, {"login": org, **self.switches.org_policy}

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
        """As GitHub does: a folder is led to its slash, a missing page shows the site's own 404.html."""
        await asyncio.sleep(self.switches.read_s)
        repo = self.find(request.path_params["owner"], request.path_params["name"])
        response = self._elsewhere(request) or self._shown(self._served(repo) if repo else {}, request)
        self.seen.append(Call("pages", request.method, request.url.path, None, response.status_code, None))
        return response

    def _elsewhere(self, request: Request) -> Response | None:
        domain = self.switches.domain
        if not domain or request.headers["host"] == urlsplit(domain).netloc:
            return None
        query = f"?{request.url.query}" if request.url.query else ""
        return RedirectResponse(f"{domain}{request.url.path}{query}", 301)

    def _shown(self, files: Mapping[str, bytes], request: Request) -> Response:
        status, found = addresses(files).get(request.path_params["path"], (404, "404.html"))
        if status == 301:
            return RedirectResponse(f"{quote(request.url.path)}/", 301)
        if found not in files:
            return Response("There isn't a GitHub Pages site here.", 404)
        return Response(files[found], status, media_type=media_type(found))

    def _served(self, repo: Repo) -> Mapping[str, bytes]:
        run = self._actions.published(repo) if repo.pages == "workflow" else None
        commit = run.commit if run else self.served_commit(repo)
        if commit is None:
            return {}
        files = self.repositories.files(self.git(repo), commit)
        if run is None:
            return files
        uploads = files if self.switches.uploads is None else self.switches.uploads
        return {path: data for path, data in files.items() if path in uploads} | dict(self.switches.made)

    def _owner(self, login: str) -> Json:
        return owner_of(login, self.base_url, "Organization" if login in self._orgs else "User")

    def _described(self, repo: Repo) -> Json:
        return repository_of(repo, self.base_url, self._owner(repo.owner))
