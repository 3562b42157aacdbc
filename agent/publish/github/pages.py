"""GitHub Pages of one repository: switched on, made from the branch or by a workflow, built, and what helps a build."""

from agent.errors import PublishError
from agent.publish.github.api import GitHubApi, api_path, sentence
from agent.publish.publisher import Remedy, Site
from agent.records import Json

SOURCE: Json = {"branch": "main", "path": "/"}
FROM_BRANCH: Json = {"build_type": "legacy", "source": SOURCE}
BY_WORKFLOW: Json = {"build_type": "workflow"}
STUCK_S = 150.0  # builds take 20 to 90 s; a cancelled one never ends
TROUBLE = "Pages cannot be switched on for {}: {}; a private repository, the owner's plan or policy may forbid it"


class Pages:
    """Every method may be repeated with the same effect. Raises PublishError."""

    def __init__(self, api: GitHubApi) -> None:
        self._api = api

    async def ensure(self, site: Site, *, by_workflow: bool) -> str | None:
        """The address of the pages; None when a branch must exist first, which one that GitHub builds from needs."""
        if site.published and site.by_workflow == by_workflow:
            return site.pages_url
        wanted = BY_WORKFLOW if by_workflow else FROM_BRANCH
        if site.published:
            await self._change(site, wanted)
            return site.pages_url
        return await self._switch_on(site, wanted)

    async def rebuild(self, site: Site) -> None:
        """A build of the branch's head is asked for."""
        asked = await self._api.change("POST", f"{_pages(site)}/builds", also=(404, 409, 422))
        if asked.status == 404:  # somebody switched Pages off
            await self._switch_on(site, FROM_BRANCH)

    async def build_status(self, site: Site, commit_sha: str) -> str:
        """GitHub's word for the build of this commit; none: there is no such build."""
        latest = await self._api.poll(f"{_pages(site)}/builds/latest", also=(404,))
        build = latest.body if latest.status == 200 else {}
        return str(build.get("status")) if build.get("commit") == commit_sha else "none"

    async def _switch_on(self, site: Site, wanted: Json) -> str | None:
        made = await self._api.change("POST", _pages(site), wanted, also=(409, 422))
        if made.status == 422 and wanted == BY_WORKFLOW and "branch must exist" in made.message.lower():
            return None
        if made.status == 422:
            raise PublishError(TROUBLE.format(site.repo_url, sentence(made, "POST", _pages(site))))
        if made.status == 201:
            return str(made.body.get("html_url") or site.pages_url)
        there = (await self._api.get(_pages(site), also=(404,))).body or {}
        if _differs(there, wanted):
            await self._change(site, wanted)
        return str(there.get("html_url") or site.pages_url)

    async def _change(self, site: Site, wanted: Json) -> None:
        """A new source by itself starts no build."""
        await self._api.change("PUT", _pages(site), wanted)
        if wanted == FROM_BRANCH:
            await self.rebuild(site)


def diagnosis(status: str, waited_s: float) -> Remedy:
    """What a build in this state after so long asks for. A cancelled or lost one never runs again for its commit."""
    if status in ("none", "errored"):
        return "rebuild" if waited_s < STUCK_S else "repeat"
    return "repeat" if status == "cancelled" or waited_s >= STUCK_S else "wait"


def _differs(there: Json, wanted: Json) -> bool:
    """Older servers tell no build type."""
    built = there.get("build_type") or "legacy"
    return built != wanted["build_type"] or (wanted == FROM_BRANCH and there.get("source") not in (None, SOURCE))


def _pages(site: Site) -> str:
    return f"{api_path(site.repo_url)}/pages"
