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
from typing import TypeVar
from urllib.parse import quote, urlsplit

import httpx

from agent.errors import HeadMoved, NoAccess, PublishError, Rejected, Unreachable
from agent.events import emit
from agent.publish.git import Repositories
from agent.publish.github.actions import Actions
from agent.publish.github.api import RETRIES_S, GitHubApi, refusal, sentence
from agent.publish.github.pages import Pages, diagnosis
from agent.publish.publisher import Remedy, Runs, Site, Wish
from agent.publish.remote import Remote
from agent.publish.workflows import publish_pages
from agent.records import Json
from agent.workspace import WORKFLOWS

MAX_DESCRIPTION_CHARS = 350
MAX_NAMES = 20
TOPICS = ("github-pages", "llm-devops-engine")
ORG_POLICIES = {
    "members_can_create_public_repositories": "public repositories",
    "members_can_create_public_pages": "public Pages",
}
NO_BUILD_S = 20.0  # a build is listed after a second or two
DIAGNOSE_EVERY_S = 10.0
UNSERVED_S = 30.0  # a page that is not there so long after a run that succeeded was not published by it
READY_FOR_S = 300.0  # how long a good word about the token holds

T = TypeVar("T")


@dataclass(frozen=True)
class Found:
    """A repository as the API describes it."""

    name: str
    url: str
    description: str

    @classmethod
    def read(cls, body: Json) -> "Found":
        return cls(str(body["name"]), str(body["html_url"]), str(body.get("description") or ""))

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
        self._diagnosed_at: dict[str, float] = {}
        self._actions = Actions(api, repositories)
        self._pages = Pages(api)
        self._published_at: dict[str, float] = {}

    # -- the protocol ------------------------------------------------------------------------------------------------

    async def reserve(self, wish: Wish) -> Site:
        """Round 1 makes the repository, later rounds find it: by the store, else by its mark."""
        found, fresh = await self._earlier(wish), False
        if found is None:
            found, fresh = await self._made(wish)
        await asyncio.to_thread(self._repositories.create, wish.repo)
        url = found.url if fresh else await self._catch_up(wish, found.url)
        known = wish.known if wish.known and wish.known.repo_url == url else None
        return Site(
            repo=wish.repo,
            repo_url=url,
            pages_url=known.pages_url if known else self._pages_url(await self._owner_name(), url.rpartition("/")[2]),
            published=known is not None,
            by_workflow=known is not None and await asyncio.to_thread(self._made_by_workflow, wish.repo),
        )

    async def push(self, site: Site, commit_sha: str) -> None:
        remote = self._remote(site.repo_url)
        try:
            await self._patiently(partial(remote.push, site.repo, commit_sha))
        except HeadMoved:
            await self._patiently(partial(remote.fetch, site.repo))
            raise
        except Rejected as error:
            raise refusal(str(error)) from None

    async def enable_pages(self, site: Site, *, by_workflow: bool) -> str | None:
        return await self._pages.ensure(site, by_workflow=by_workflow)

    async def runs(self, site: Site, commit_sha: str) -> Runs:
        found = await self._actions.of(site, commit_sha)
        if found.failed:
            return Runs(objection=await self._actions.story(site, found.failed))
        unserved = await self._unserved(site, commit_sha) if found.published else ""
        return Runs(pending=found.pending, objection=unserved)

    async def is_live(self, site: Site, commit_sha: str) -> bool:
        """Every file that this commit changed and index.html, at addresses of its own; at last the bare address, so
        that no old page is kept by a cache on the way."""
        found = await self._actions.of(site, commit_sha)
        if found.makers and not found.published:
            return False
        if not all(workflow.publishes_everything for workflow in found.makers):
            return await self._served(f"{site.pages_url}?v={commit_sha[:12]}") is not None
        wanted = await asyncio.to_thread(self._proof, site.repo, commit_sha)
        for files in (dict(list(wanted.items())[:1]), wanted):  # while there is no build, one look is enough
            urls = [f"{site.pages_url}{quote(path)}?v={commit_sha[:12]}" for path in files]
            if await asyncio.gather(*map(self._served, urls)) != list(files.values()):
                return False
        return await self._served(site.pages_url) == wanted["index.html"] if "index.html" in wanted else True

    async def remedy(self, site: Site, commit_sha: str, waited_s: float) -> Remedy:
        """Asks for the state of the build, seldom; it is a hint only."""
        now = self._api.clock()
        if waited_s < NO_BUILD_S or now - self._diagnosed_at.get(commit_sha, 0.0) < DIAGNOSE_EVERY_S:
            return "wait"
        self._diagnosed_at[commit_sha] = now
        found = await self._actions.of(site, commit_sha)
        if found.makers:
            return found.remedy(waited_s)
        status = await self._pages.build_status(site, commit_sha)
        emit("pages.slow", repo=site.repo_url, status=status, waited_s=round(waited_s, 1))
        return diagnosis(status, waited_s)

    async def rebuild(self, site: Site) -> None:
        await self._pages.rebuild(site)

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
        """Who the token is and what it may do, in words. Raises PublishError with the remedy."""
        answer = await self._api.get("/user")
        login, scopes = str(answer.body["login"]), answer.headers.get("x-oauth-scopes", "")
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
        shut = [what for key, what in ORG_POLICIES.items() if found.body.get(key) is False]
        return f"members of {owner} may not make {' or '.join(shut)}" if shut else f"{owner} does not forbid Pages"

    # -- finding and making ------------------------------------------------------------------------------------------

    async def _owner_name(self) -> str:
        if self._login is None:
            self._login = str((await self._api.get("/user")).body["login"])
        return self._owner or self._login

    async def _earlier(self, wish: Wish) -> Found | None:
        """The repository of an earlier round."""
        if wish.known and self._is_ours(wish.known.repo_url):
            return Found(wish.known.repo_url.rpartition("/")[2], wish.known.repo_url, "")
        return await self._marked(wish.mark, await self._owner_name()) if wish.round > 1 else None

    async def _marked(self, mark: str, owner: str) -> Found | None:
        """The newest repository with this mark; only a machine without memory has to ask."""
        for page in count(1):
            listed = await self._api.get(f"/users/{owner}/repos?sort=created&per_page=100&page={page}", also=(404,))
            repositories = [Found.read(body) for body in listed.body] if listed.status == 200 else []
            for found in repositories:
                if found.bears(mark):
                    return found
            if len(repositories) < 100:
                return None
        return None

    async def _made(self, wish: Wish) -> tuple[Found, bool]:
        """A repository of our own, and whether it was made just now; a stranger's name gets a number."""
        owner = await self._owner_name()
        place = "/user/repos" if owner.lower() == (self._login or "").lower() else f"/orgs/{owner}/repos"
        for number in range(1, MAX_NAMES):
            name = wish.repo if number == 1 else f"{wish.repo}-{number}"
            body = {
                "name": name,
                "description": _description(wish),
                "homepage": self._pages_url(owner, name),
                "private": False,
                "auto_init": False,
                "has_wiki": False,
                "has_projects": False,
            }
            made = await self._api.change("POST", place, body, also=(422,))
            if made.status == 201:
                found = Found.read(made.body)
                topics = f"/repos/{owner}/{found.name}/topics"
                await self._api.change("PUT", topics, {"names": list(TOPICS)}, also=(403, 404, 422))
                return found, True
            if "already exists" not in made.message:
                raise PublishError(sentence(made, "POST", place))
            there = await self._api.get(f"/repos/{owner}/{name}", also=(404,))
            if there.status == 200 and Found.read(there.body).bears(wish.mark):
                return Found.read(there.body), False
        raise PublishError(f"{MAX_NAMES} names like {wish.repo} are taken at {owner}: rename or remove some")

    async def _catch_up(self, wish: Wish, url: str) -> str:
        """What is there is here: an earlier round, or a person's edit. A round 1 that nobody saw begins anew.

        Where the repository was found: it may have been renamed.
        """
        remote = self._remote(url)
        head = await self._patiently(remote.head)
        if head is None and wish.round == 1:
            await asyncio.to_thread(self._repositories.reset, wish.repo, None)
        if head is not None and head != await asyncio.to_thread(self._repositories.head, wish.repo):
            await self._patiently(partial(remote.fetch, wish.repo))
        return remote.url.removesuffix(".git")

    # -- helpers -----------------------------------------------------------------------------------------------------

    def _remote(self, url: str) -> Remote:
        return Remote(self._repositories, f"{url.removesuffix('.git')}.git", token=self._api.token)

    async def _patiently(self, act: Callable[[], Awaitable[T]]) -> T:
        """git over a connection that may fail: what was done is not done twice, since each act looks first."""
        for wait_s in (*RETRIES_S, None):
            try:
                return await act()
            except NoAccess as error:
                raise PublishError(f"{error}: give GITHUB_TOKEN Contents (write) on all repositories") from None
            except Unreachable as error:
                if wait_s is None:
                    raise PublishError(f"GitHub's git does not answer ({error}): send the task again later") from None
                await self._api.sleep(wait_s)
        raise AssertionError

    def _made_by_workflow(self, repo: str) -> bool:
        head = self._repositories.head(repo)
        return head is not None and publish_pages(self._repositories.files(repo, head, under=WORKFLOWS))

    async def _unserved(self, site: Site, sha: str) -> str:
        """What to mend when the run has made the pages and yet there is none."""
        since = self._published_at.setdefault(sha, self._api.clock())
        if self._api.clock() - since < UNSERVED_S or await self._served(f"{site.pages_url}?v={sha[:12]}") is not None:
            return ""
        return (
            f"The workflow succeeded, but {site.pages_url} shows no page: the folder that it uploads holds no "
            "index.html. Copy index.html and the files it needs into that folder."
        )

    def _proof(self, repo: str, sha: str) -> dict[str, bytes]:
        changed = self._repositories.changes(repo, sha)
        visible = {path: data for path, data in changed.items() if not re.search(r"(^|/)[._]", path)}
        index = self._repositories.read(repo, sha, "index.html")
        return visible | ({"index.html": index} if index is not None else {})

    async def _served(self, url: str) -> bytes | None:
        try:
            answer = await self._api.http.get(url, headers={"Cache-Control": "no-cache", "Accept-Encoding": "identity"})
        except httpx.HTTPError:
            return None
        return answer.content if answer.status_code == 200 else None

    def _is_ours(self, repo_url: str) -> bool:
        """Whether an address of the store is on this GitHub: an earlier round may have been published elsewhere."""
        return urlsplit(repo_url).hostname in (_web_host(self._api.url), urlsplit(self._api.url).hostname)

    def _pages_url(self, owner: str, name: str) -> str:
        """Where pages usually are; GitHub's own word, which comes with Pages, is what is reported."""
        api = urlsplit(self._api.url)
        if api.hostname == "api.github.com":
            root = f"{owner.lower()}.github.io"
            return f"https://{root}/" if name.lower() == root else f"https://{root}/{name}/"
        return f"{api.scheme}://{api.netloc}/pages/{owner}/{name}/"


def _description(wish: Wish) -> str:
    """One line, which ends in the mark."""
    mark = f" [{wish.mark}]"
    line = " ".join("".join(c if c.isprintable() else " " for c in wish.description).split())
    return f"{line[: MAX_DESCRIPTION_CHARS - len(mark)].strip()}{mark}"


def _web_host(api_url: str) -> str:
    host = urlsplit(api_url).hostname or ""
    return "github.com" if host == "api.github.com" else host
