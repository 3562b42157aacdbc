"""The publisher for GitHub Pages: git pushes the commit, four REST calls do the rest, and the bytes served decide.

A repository is ours when its description ends in the mark of the task, or when it is where the store says that an
earlier round was published. Any other one of the same name is left alone, and the name gets a number.

Pages that a workflow makes are live when its run for this commit has succeeded and the site answers: what it publishes
is its own, so the bytes are compared only where it publishes the repository as it is.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

from agent.errors import HeadMoved, NoAccess, PublishError, Rejected, Unreachable
from agent.publish.git import Repositories
from agent.publish.github.actions import Actions
from agent.publish.github.api import (
    MAX_ANSWER_CHARS,
    RETRIES_S,
    GitHubApi,
    limit_s,
    longer,
    refusal,
    sentence,
    text,
)
from agent.publish.github.builds import GitHubBuilds
from agent.publish.github.pages import Pages
from agent.publish.publisher import Builds, RepositoryRequest, Target
from agent.publish.remote import Remote
from agent.publish.workflows import publish_pages
from agent.workspace import WORKFLOWS

MAX_DESCRIPTION_CHARS = 350
MAX_NAMES = 20
TOPICS = ("github-pages", "llm-devops-engine")
ORG_POLICIES = {
    "members_can_create_public_repositories": "public repositories",
    "members_can_create_public_pages": "public Pages",
}
READY_FOR_S = 300.0  # how long a good word about the token holds

T = TypeVar("T")


@dataclass(frozen=True)
class Found:
    """A repository as the API describes it."""

    name: str
    url: str
    description: str

    @classmethod
    def read(cls, body: Any) -> "Found":
        """Raises PublishError."""
        return cls(text(body, "name"), text(body, "html_url"), str(body.get("description") or ""))

    def bears(self, mark: str) -> bool:
        return self.description.endswith(f"[{mark}]")


class GitHubPublisher:
    """`owner` is a user or an organisation, None the user of the token."""

    name = "github"
    reserve_s = 120.0

    def __init__(self, api: GitHubApi, repositories: Repositories, *, owner: str | None) -> None:
        self._api = api
        self._repositories = repositories
        self._owner = owner
        self._login: str | None = None
        self._ready_until = 0.0
        self._actions = Actions(api, repositories)
        self._pages = Pages(api)
        self.builds: Builds | None = GitHubBuilds(api, self._actions, self._pages)

    # -- the protocol ------------------------------------------------------------------------------------------------

    async def reserve(self, request: RepositoryRequest) -> Target:
        """Round 1 makes the repository, later rounds find it: by the store, else by its mark."""
        found, fresh = await self._earlier(request), False
        if found is None:
            found, fresh = await self._made(request)
        await asyncio.to_thread(self._repositories.create, request.repo)
        url = found.url if fresh else await self._catch_up(request, found.url)
        known = request.known if request.known and request.known.repo_url == url else None
        return Target(
            repo=request.repo,
            repo_url=url,
            pages_url=known.pages_url if known else self._pages_url(await self._owner_name(), url.rpartition("/")[2]),
            published=known is not None,
            by_workflow=known is not None and await asyncio.to_thread(self._made_by_workflow, request.repo),
        )

    async def push(self, target: Target, commit_sha: str) -> None:
        remote = self._remote(target.repo_url)
        try:
            await self._retried(partial(remote.push, target.repo, commit_sha))
        except HeadMoved:
            await self._retried(partial(remote.fetch, target.repo))
            raise
        except Rejected as error:
            raise refusal(str(error)) from None

    async def is_live(self, target: Target, commit_sha: str) -> bool:
        """Every file that this commit changed and index.html, at addresses of its own; at last the bare address, so
        that no old page is kept by a cache on the way."""
        found, served = await self._actions.of(target, commit_sha), partial(self._pages.served, target)
        version = f"?v={commit_sha[:12]}"
        if found.makers and not found.published:
            return False
        if not all(workflow.publishes_everything for workflow in found.makers):
            return await served(f"{target.pages_url}{version}") is not None
        wanted = await asyncio.to_thread(self._proof, target.repo, commit_sha)
        for files in (dict(list(wanted.items())[:1]), wanted):  # while there is no build, one look is enough
            urls = [f"{target.pages_url}{quote(path)}{version}" for path in files]
            if await asyncio.gather(*map(served, urls)) != list(files.values()):
                return False
        return await served(target.pages_url) == wanted["index.html"] if "index.html" in wanted else True

    async def ready(self) -> str | None:
        """Asks GitHub now and then, and at once while something is wrong."""
        if self._api.clock() < self._ready_until:
            return None
        try:
            await self.examine()
        except PublishError as error:
            return str(error)
        self._ready_until = self._api.clock() + READY_FOR_S
        return None

    async def examine(self) -> str:
        """Who the token is and what it may do, in words. Raises PublishError with what to do."""
        answer = await self._api.get("/user")
        login, scopes = text(answer.body, "login"), answer.headers.get("x-oauth-scopes", "")
        granted = {scope.strip() for scope in scopes.split(",")} - {""}
        if granted and not granted & {"repo", "public_repo"}:
            raise PublishError(f"GITHUB_TOKEN has the scopes {scopes}: it needs repo (or public_repo)")
        left = answer.headers.get("x-ratelimit-remaining", "unknown")
        self._login, owner = login, self._owner or login
        powers = f"scopes {scopes}" if granted else "fine-grained: its rights show at the first use"
        if granted and "workflow" not in granted:
            powers += "; briefs that ask for a workflow need the scope workflow too"
        pages = await self._pages_prospect(owner)
        return f"as {login} for {owner}, {powers}; {pages}; requests left this hour: {left}"

    async def _pages_prospect(self, owner: str) -> str:
        """What can be known of Pages before there is a repository."""
        if owner.lower() == (self._login or "").lower():
            return "Pages come with every public repository of a user"
        found = await self._api.get(f"/orgs/{owner}", also=(404,))
        if found.status == 404:
            raise PublishError(f"GITHUB_OWNER: the token sees no organisation {owner}: name one, or the token's user")
        shut = [what for key, what in ORG_POLICIES.items() if found.object.get(key) is False]
        return f"members of {owner} may not make {' or '.join(shut)}" if shut else f"{owner} does not forbid Pages"

    # -- finding and making ------------------------------------------------------------------------------------------

    async def _owner_name(self) -> str:
        if self._login is None:
            self._login = text((await self._api.get("/user")).body, "login")
        return self._owner or self._login

    async def _earlier(self, request: RepositoryRequest) -> Found | None:
        """The repository of an earlier round."""
        if request.known and self._is_ours(request.known.repo_url):
            return Found(request.known.repo_url.rpartition("/")[2], request.known.repo_url, "")
        return await self._marked(request.mark, await self._owner_name()) if request.round > 1 else None

    async def _marked(self, mark: str, owner: str) -> Found | None:
        """The newest repository with this mark; only a machine without memory has to ask."""
        for page in count(1):
            listed = await self._api.get(f"/users/{owner}/repos?sort=created&per_page=100&page={page}", also=(404,))
            repositories = [Found.read(body) for body in listed.list] if listed.status == 200 else []
            for found in repositories:
                if found.bears(mark):
                    return found
            if len(repositories) < 100:
                return None
        return None

    async def _made(self, request: RepositoryRequest) -> tuple[Found, bool]:
        """A repository of our own, and whether it was made just now; a stranger's name gets a number."""
        owner = await self._owner_name()
        place = "/user/repos" if owner.lower() == (self._login or "").lower() else f"/orgs/{owner}/repos"
        for number in range(1, MAX_NAMES):
            name = request.repo if number == 1 else f"{request.repo}-{number}"
            body = {
                "name": name,
                "description": _description(request),
                "homepage": self._pages_url(owner, name),
                "private": False,
                "auto_init": False,
                "has_wiki": False,
                "has_projects": False,
            }
            made = await self._api.change("POST", place, body, also=(422,))
            if made.status != 422:
                found = Found.read(made.body)
                topics = f"/repos/{owner}/{found.name}/topics"
                await self._api.change("PUT", topics, {"names": list(TOPICS)}, also=(403, 404, 422))
                return found, True
            if "already exists" not in made.message:
                raise PublishError(sentence(made, "POST", place))
            there = await self._api.get(f"/repos/{owner}/{name}", also=(404,))
            if there.status == 200 and Found.read(there.body).bears(request.mark):
                return Found.read(there.body), False
        raise PublishError(f"{MAX_NAMES} names like {request.repo} are taken at {owner}: rename or remove some")

    async def _catch_up(self, request: RepositoryRequest, url: str) -> str:
        """What is there is here: an earlier round, or a person's edit. A round 1 that nobody saw begins anew.

        Where the repository was found: it may have been renamed.
        """
        remote = self._remote(url)
        head = await self._retried(remote.head)
        if head is None and request.round == 1:
            await asyncio.to_thread(self._repositories.reset, request.repo, None)
        if head is not None and head != await asyncio.to_thread(self._repositories.head, request.repo):
            await self._retried(partial(remote.fetch, request.repo))
        return remote.url.removesuffix(".git")

    # -- helpers -----------------------------------------------------------------------------------------------------

    def _remote(self, url: str) -> Remote:
        return Remote(self._repositories, f"{url.removesuffix('.git')}.git", token=self._api.token)

    async def _retried(self, act: Callable[[], Awaitable[T]]) -> T:
        """git over a connection that may fail, at a host that may limit it or not know a new repository everywhere yet.

        What was done is not done twice, since each act looks first.
        """
        for wait_s in (*RETRIES_S, None):
            try:
                return await act()
            except NoAccess as error:
                asked_s = limit_s(error.status, error.headers, error.said, self._api.clock())
                if asked_s is None and (error.status != 404 or wait_s is None):
                    raise PublishError(f"{error}: give GITHUB_TOKEN Contents (write) on all repositories") from None
                trouble = f"{error.status} {error.said[:MAX_ANSWER_CHARS]}"
                wait_s = longer(wait_s, asked_s, trouble)
            except Unreachable as error:
                trouble = str(error)
            if wait_s is not None:
                await self._api.sleep(wait_s)
        raise PublishError(f"GitHub's git does not answer ({trouble}): send the task again later")

    def _made_by_workflow(self, repo: str) -> bool:
        head = self._repositories.head(repo)
        return head is not None and publish_pages(self._repositories.files(repo, head, under=WORKFLOWS))

    def _proof(self, repo: str, sha: str) -> dict[str, bytes]:
        changed = self._repositories.changes(repo, sha)
        visible = {path: data for path, data in changed.items() if not re.search(r"(^|/)[._]", path)}
        index = self._repositories.read(repo, sha, "index.html")
        return visible | ({"index.html": index} if index is not None else {})

    def _is_ours(self, repo_url: str) -> bool:
        """Whether an address of the store is on this GitHub: an earlier round may have been published elsewhere."""
        api = urlsplit(self._api.url).hostname
        return urlsplit(repo_url).hostname in (api, "github.com" if api == "api.github.com" else api)

    def _pages_url(self, owner: str, name: str) -> str:
        """Where pages usually are; GitHub's own word, which comes with Pages, is what is reported."""
        api = urlsplit(self._api.url)
        if api.hostname == "api.github.com":
            root = f"{owner.lower()}.github.io"
            return f"https://{root}/" if name.lower() == root else f"https://{root}/{name}/"
        return f"{api.scheme}://{api.netloc}/pages/{owner}/{name}/"


def _description(request: RepositoryRequest) -> str:
    """One line, which ends in the mark."""
    mark = f" [{request.mark}]"
    line = " ".join("".join(c if c.isprintable() else " " for c in request.description).split())
    return f"{line[: MAX_DESCRIPTION_CHARS - len(mark)].strip()}{mark}"
