"""What GitHub makes of a pushed commit, by its own build or by the site's workflows, and what helps where it stalls.

A status of GitHub's is a hint only: the bytes that are served decide.
"""

from agent.events import emit
from agent.publish.github.actions import Actions
from agent.publish.github.api import GitHubApi
from agent.publish.github.pages import Pages
from agent.publish.publisher import BuildFix, Target, WorkflowStatus

NO_BUILD_S = 20.0  # a build is listed after a second or two
DIAGNOSE_EVERY_S = 10.0
STUCK_S = 150.0  # builds take 20 to 90 s; a cancelled one never ends
UNSERVED_S = 30.0  # a page that is not there so long after a run that succeeded was not published by it


class GitHubBuilds:
    """Keeps in mind what was asked when, for one process."""

    def __init__(self, api: GitHubApi, actions: Actions, pages: Pages) -> None:
        self._api = api
        self._actions = actions
        self._pages = pages
        self._diagnosed_at: dict[str, float] = {}
        self._published_at: dict[str, float] = {}

    async def enable(self, target: Target, *, by_workflow: bool) -> str | None:
        return await self._pages.ensure(target, by_workflow=by_workflow)

    async def status(self, target: Target, commit_sha: str) -> WorkflowStatus:
        found = await self._actions.of(target, commit_sha)
        if found.failed:
            return WorkflowStatus(objection=await self._actions.story(target, found.failed))
        unserved = await self._unserved(target, commit_sha) if found.published else ""
        return WorkflowStatus(pending=found.pending, objection=unserved)

    async def fix(self, target: Target, commit_sha: str, waited_s: float) -> BuildFix:
        """Asks for the state of the build, seldom."""
        now = self._api.clock()
        if waited_s < NO_BUILD_S or now - self._diagnosed_at.get(commit_sha, 0.0) < DIAGNOSE_EVERY_S:
            return "wait"
        self._diagnosed_at[commit_sha] = now
        found = await self._actions.of(target, commit_sha)
        if found.makers:
            return found.fix(waited_s)
        status = await self._pages.build_status(target, commit_sha)
        emit("pages.slow", repo=target.repo_url, status=status, waited_s=round(waited_s, 1))
        return fix_of(status, waited_s)

    async def rebuild(self, target: Target) -> None:
        await self._pages.rebuild(target)

    async def _unserved(self, target: Target, sha: str) -> str:
        """What to fix when the run has made the pages and yet there is none."""
        since = self._published_at.setdefault(sha, self._api.clock())
        index = f"{target.pages_url}?v={sha[:12]}"
        if self._api.clock() - since < UNSERVED_S or await self._pages.served(target, index) is not None:
            return ""
        return (
            f"The workflow succeeded, but {target.pages_url} shows no page: the folder that it uploads holds no "
            "index.html. Copy index.html and the files it needs into that folder."
        )


def fix_of(status: str, waited_s: float) -> BuildFix:
    """What a build in this state after so long asks for. A cancelled or lost one never runs again for its commit."""
    if status in ("none", "errored"):
        return "rebuild" if waited_s < STUCK_S else "repeat"
    return "repeat" if status == "cancelled" or waited_s >= STUCK_S else "wait"
