"""The order of publishing, and what a publisher must offer."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeVar

from agent.errors import PublishError
from agent.publish.git import HeadMoved, Repositories
from agent.records import Publication, Record

Step = Callable[[str, Callable[[], Awaitable[Any]]], Awaitable[Any]]  # runs an action once, by name, and keeps its JSON

LIVE_POLL_S = (0.1, 0.3, 0.5)  # waits between two looks at the site; the last one repeats
PUSHES = 3
LAST_LOOK_S = 1.0  # what a look may take that begins when there is no time left
REMEDY_S = 30.0  # a build that begins later is not served by the time of the call back

T = TypeVar("T")


class Wish(Record):
    """The repository that a round wants."""

    repo: str  # its name here, and elsewhere if it is free there
    description: str
    mark: str  # the same for all rounds of one task and no other: tells our repositories from a stranger's
    round: int
    known: Publication | None  # of the newest earlier round that was published


class Site(Record):
    """A reserved repository and the address its pages will have."""

    repo: str  # its name here
    repo_url: str
    pages_url: str
    published: bool = False  # an earlier round was: Pages are on


Remedy = Literal["wait", "rebuild", "repeat"]  # nothing to be done · ask for a build · a new commit of the same files


class Publisher(Protocol):
    """One target. Every action may be repeated after a crash with the same effect. Raises PublishError."""

    name: str
    reserve_s: float  # time the loop must leave for publishing here

    async def reserve(self, wish: Wish) -> Site:
        """The repository exists and is ours; what it holds already is here too, as the head of `main`."""
        ...

    async def push(self, site: Site, commit_sha: str) -> None:
        """The commit of the local repository is the head of the public one.

        Raises HeadMoved when somebody else committed there; their commit is the local head then.
        """
        ...

    async def enable_pages(self, site: Site) -> str:
        """Pages are switched on for the pushed branch; the address they really have."""
        ...

    async def is_live(self, site: Site, commit_sha: str) -> bool:
        """Whether the bytes served are the bytes of this commit, right now."""
        ...

    async def remedy(self, site: Site, commit_sha: str, waited_s: float) -> Remedy:
        """What would help a commit that is not live after so long."""
        ...

    async def rebuild(self, site: Site) -> None:
        """A new build of the head is asked for."""
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
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> Publication:
    """One commit, known and stored before it is pushed, and served before it is called live. Raises PublishError."""

    async def commit_files() -> str:
        return await asyncio.to_thread(
            repositories.commit, site.repo, files, message=commit.message, at=commit.at, parent=commit.parent
        )

    async def push() -> str:
        """The sha that was pushed: another one than `sha` when a person's commit came between."""
        pushed: str = sha
        for _ in range(PUSHES):
            try:
                await publisher.push(site, pushed)
            except HeadMoved:
                pushed = await asyncio.to_thread(
                    repositories.commit_on_top, site.repo, files, message=commit.message, at=commit.at
                )
            else:
                return pushed
        raise PublishError(f"somebody else keeps committing to {site.repo_url}: send the task again later")

    sha: str = await step("commit", commit_files)

    async def enable_pages() -> str:
        return await in_time(publisher.enable_pages(site), site.pages_url, live_until - clock())

    sha = await step("push", push)
    site = site.model_copy(update={"pages_url": await step("enable_pages", enable_pages)})
    watch = Watch(site, publisher, repositories, live_until, clock, sleep)
    sha, live = await step("wait_live", lambda: watch.until_live(sha))
    return Publication(repo_url=site.repo_url, commit_sha=sha, pages_url=site.pages_url, live=live)


async def in_time(act: Awaitable[T], otherwise: T, left_s: float) -> T:
    """Its result, or `otherwise` when it takes longer: the call back does not wait for a slow host."""
    try:
        async with asyncio.timeout(max(LAST_LOOK_S, left_s)):
            return await act
    except TimeoutError:
        return otherwise


@dataclass(frozen=True)
class Watch:
    """Waits for a commit to be served, and helps a host that forgot it: each remedy once."""

    site: Site
    publisher: Publisher
    repositories: Repositories
    until: float
    clock: Callable[[], float]
    sleep: Callable[[float], Awaitable[None]]

    async def until_live(self, sha: str) -> tuple[str, bool]:
        """The commit to report, which a remedy may have made new, and whether it is live."""
        head = await asyncio.to_thread(self.repositories.repeated, self.site.repo, sha)
        if head != sha:  # a killed process had begun this remedy
            head = await self._push_repeated(sha, head)
        began_at, tried, looks, sha = self.clock(), {"repeat"} if head != sha else set[str](), 0, head
        while not await in_time(self.publisher.is_live(self.site, sha), False, self._left_s()):
            waited_s = self.clock() - began_at
            remedy = await in_time(self.publisher.remedy(self.site, sha, waited_s), "wait", self._left_s())
            if remedy not in tried and self._left_s() >= REMEDY_S:
                tried.add(remedy)
                sha = await self._help(sha, remedy)
            wait_s = LIVE_POLL_S[min(looks, len(LIVE_POLL_S) - 1)]
            if self._left_s() <= wait_s:
                return sha, False
            await self.sleep(wait_s)
            looks += 1
        return sha, True

    def _left_s(self) -> float:
        return self.until - self.clock()

    async def _help(self, sha: str, remedy: Remedy) -> str:
        if remedy == "rebuild":
            await self.publisher.rebuild(self.site)
        if remedy == "repeat":
            sha = await self._push_repeated(sha, await asyncio.to_thread(self.repositories.repeat, self.site.repo, sha))
        return sha

    async def _push_repeated(self, sha: str, repeated: str) -> str:
        """Somebody else's newer commit makes a new build by itself."""
        try:
            await self.publisher.push(self.site, repeated)
        except HeadMoved:
            return sha
        return repeated
