"""GitHub Pages of one repository: switched on, made from the branch or by a workflow, built, and asked for."""

from urllib.parse import urlsplit

import httpx

from agent.errors import Blocked, PublishError
from agent.publish.github.api import MAX_REDIRECTS, Answer, GitHubApi, api_path, sentence
from agent.publish.publisher import Target
from agent.records import Json

SOURCE: Json = {"branch": "main", "path": "/"}
FROM_BRANCH: Json = {"build_type": "legacy", "source": SOURCE}
BY_WORKFLOW: Json = {"build_type": "workflow"}
DOMAINS_FOR_S = 30.0  # how long the answer holds where an owner's pages may lie
TROUBLE = "Pages cannot be switched on for {}: {}; a private repository, the owner's plan or policy may forbid it"


class Pages:
    """Every method may be repeated with the same effect. Raises PublishError."""

    def __init__(self, api: GitHubApi) -> None:
        self._api = api
        self._domains: dict[str, tuple[float, frozenset[str]]] = {}

    async def ensure(self, target: Target, *, by_workflow: bool) -> str | None:
        """The address of the pages; None when a branch must exist first, which one that GitHub builds from needs.

        An earlier round is no proof that Pages are on as they were, nor where: their owner may have changed it.
        """
        wanted = BY_WORKFLOW if by_workflow else FROM_BRANCH
        there = await self._api.get(_pages(target), also=(404,)) if target.published else None
        if there is None or there.status == 404:
            made = await self._api.change("POST", _pages(target), wanted, also=(409, 422))
            if made.status == 422 and wanted == BY_WORKFLOW and "branch must exist" in made.message.lower():
                return None
            if made.status == 422:
                raise PublishError(TROUBLE.format(target.repo_url, sentence(made, "POST", _pages(target))))
            if made.status != 409:
                return _address(made, target)
            there = await self._api.get(_pages(target))
        if _differs(there.object, wanted):
            await self._api.change("PUT", _pages(target), wanted)
            if wanted == FROM_BRANCH:  # a new source by itself starts no build
                await self.rebuild(target)
        return _address(there, target)

    async def rebuild(self, target: Target) -> None:
        """A build of the branch's head is asked for."""
        asked = await self._api.change("POST", f"{_pages(target)}/builds", also=(404, 409, 422))
        if asked.status == 404:  # somebody switched Pages off
            await self._api.change("POST", _pages(target), FROM_BRANCH, also=(409,))

    async def build_status(self, target: Target, commit_sha: str) -> str:
        """GitHub's word for the build of this commit; none: there is no such build."""
        latest = await self._api.poll(f"{_pages(target)}/builds/latest", also=(404,))
        build = latest.object if latest.status == 200 else {}
        return str(build.get("status")) if build.get("commit") == commit_sha else "none"

    async def served(self, target: Target, url: str) -> bytes | None:
        """What the site serves at this address; None for a missing page, or no answer.

        A redirect is followed to the owner's own domain, which stands before all pages of one owner.
        """
        for _ in range(MAX_REDIRECTS + 1):
            try:
                headers = {"Cache-Control": "no-cache", "Accept-Encoding": "identity"}
                answer = await self._api.http.get(url, headers=headers)
            except (httpx.HTTPError, Blocked):
                return None
            if answer.next_request is None:
                return answer.content if answer.status_code == 200 else None
            url = str(answer.next_request.url)
            if urlsplit(url).hostname not in await self._own_domains(target):
                return None
        return None

    async def _own_domains(self, target: Target) -> frozenset[str]:
        """The hosts that the Pages settings name: the repository's own, and those of the owner's site."""
        now = self._api.clock()
        known_at, known = self._domains.get(target.repo_url, (0.0, frozenset()))
        if now - known_at < DOMAINS_FOR_S:
            return known
        owner = api_path(target.repo_url).split("/")[2]
        names = {urlsplit(target.pages_url).hostname}
        for path in (_pages(target), f"/repos/{owner}/{owner.lower()}.github.io/pages"):
            settings = await self._api.poll(path, also=(403, 404))
            if settings.status == 200:
                names |= {urlsplit(str(settings.object.get("html_url"))).hostname, settings.object.get("cname")}
        domains = frozenset(filter(None, names))
        self._domains[target.repo_url] = (now, domains)
        return domains


def _address(settings: Answer, target: Target) -> str:
    return str(settings.object.get("html_url") or target.pages_url)


def _differs(there: Json, wanted: Json) -> bool:
    """Older servers tell no build type."""
    built = there.get("build_type") or "legacy"
    return built != wanted["build_type"] or (wanted == FROM_BRANCH and there.get("source") not in (None, SOURCE))


def _pages(target: Target) -> str:
    return f"{api_path(target.repo_url)}/pages"
