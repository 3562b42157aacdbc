"""The order of publishing, and what a publisher must offer."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from agent.publish.git import Repositories
from agent.records import Publication, Record

Step = Callable[[str, Callable[[], Awaitable[Any]]], Awaitable[Any]]  # runs an action once, by name, and keeps its JSON

LIVE_POLL_S = (0.1, 0.3, 1.0, 2.0)  # waits between two looks at the site; the last one repeats


class Site(Record):
    """A reserved repository and the address its pages will have."""

    repo: str
    repo_url: str
    pages_url: str


class Publisher(Protocol):
    """One target. Every action may be repeated after a crash with the same effect. Raises PublishError, Transient."""

    name: str
    reserve_s: float  # time the loop must leave for publishing here

    async def reserve(self, repo: str, description: str) -> Site:
        """The repository exists and is ours."""
        ...

    async def push(self, site: Site, commit_sha: str) -> None:
        """The commit of the local repository is the head of the public one."""
        ...

    async def enable_pages(self, site: Site) -> None:
        """Pages are switched on for the pushed branch."""
        ...

    async def is_live(self, site: Site, commit_sha: str) -> bool:
        """Whether the bytes served are the bytes of this commit, right now."""
        ...

    async def ready(self) -> str | None:
        """None when tasks can be published, else the sentence that says what to mend."""
        ...


class Commit(Record):
    """What to commit: `parent` and `at` are fixed beforehand, so that a repeated commit is the same commit."""

    message: str
    parent: str | None
    at: float  # Unix time, seconds


async def publish(
    site: Site,
    files: Mapping[str, bytes],
    commit: Commit,
    *,
    publisher: Publisher,
    repositories: Repositories,
    step: Step,
    live_until: float,
    clock: Callable[[], float],
) -> Publication:
    """One commit, known and stored before it is pushed, and served before it is called live. Raises PublishError."""

    async def commit_files() -> str:
        return await asyncio.to_thread(
            repositories.commit, site.repo, files, message=commit.message, at=commit.at, parent=commit.parent
        )

    async def wait_until_live() -> bool:
        looks = 0
        while not await publisher.is_live(site, sha):
            wait_s = LIVE_POLL_S[min(looks, len(LIVE_POLL_S) - 1)]
            if clock() + wait_s >= live_until:
                return False
            await asyncio.sleep(wait_s)
            looks += 1
        return True

    sha = await step("commit", commit_files)
    await step("push", lambda: publisher.push(site, sha))
    await step("enable_pages", lambda: publisher.enable_pages(site))
    live = await step("wait_live", wait_until_live)
    return Publication(repo_url=site.repo_url, commit_sha=sha, pages_url=site.pages_url, live=live)
