"""The order of publishing, and what a publisher must offer."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Literal, Protocol, TypeVar

from agent.errors import HeadMoved, Objection, PublishError
from agent.events import emit
from agent.publish.git import Repositories
from agent.publish.workflows import publish_pages
from agent.records import Publication, Record, Step
from agent.workspace import unfit

LIVE_POLL_S = (0.1, 0.3, 0.5)  # waits between two looks at the site; the last one repeats
PUSHES = 3
LAST_LOOK_S = 1.0  # what a look may take that begins when there is no time left
FIX_S = 30.0  # a build that begins later is not served by the time of the call back

T = TypeVar("T")


class RepositoryRequest(Record):
    """The repository that a round asks for."""

    repo: str  # its name here, and elsewhere if it is free there
    description: str
    mark: str  # the same for all rounds of one task and no other: tells our repositories from a stranger's
    round: int
    known: Publication | None  # of the newest earlier round that was published


class Target(Record):
    """Where a round is published: a reserved repository and the address its pages will have."""

    repo: str  # its name here
    repo_url: str
    pages_url: str
    published: bool = False  # an earlier round was: Pages are on
    by_workflow: bool = False  # and a workflow of the site makes them


class WorkflowStatus(Record):
    """How the workflows of a commit fare on the host. Both empty: nothing runs and nothing is wrong."""

    pending: bool = False
    objection: str = ""  # what failed, in the host's words, where who wrote the files can fix it


class PublishResult(Record):
    """What came of publishing: `publication` is None when the host took nothing."""

    target: Target  # as it stands now
    publication: Publication | None
    objection: str = ""
    left_out: tuple[str, ...] = ()  # for each file that no commit can hold the reason


BuildFix = Literal["wait", "rebuild", "repeat"]  # nothing to be done · ask for a build · a new commit of the same files


class Publisher(Protocol):
    """One kind of host. Every action may be repeated after a crash with the same effect. Raises PublishError."""

    name: str
    reserve_s: float  # time the loop must leave for publishing here

    @property
    def builds(self) -> "Builds | None":
        """None where what is pushed is served as it is."""
        ...

    async def reserve(self, request: RepositoryRequest) -> Target:
        """The repository exists and is ours; what it holds already is here too, as the head of `main`."""
        ...

    async def push(self, target: Target, commit_sha: str) -> None:
        """The commit of the local repository is the head of the public one.

        Raises HeadMoved when somebody else committed there; their commit is the local head then. Raises Objection when
        the host refuses the content.
        """
        ...

    async def is_live(self, target: Target, commit_sha: str) -> bool:
        """Whether the bytes served are the bytes of this commit, right now."""
        ...

    async def ready(self) -> str | None:
        """None when tasks can be published, else the sentence that says what to fix."""
        ...


class Builds(Protocol):
    """The part of a host that makes pages from what is pushed, and runs the workflows of a site."""

    async def enable(self, target: Target, *, by_workflow: bool) -> str | None:
        """Pages are switched on, made from the branch or by a workflow; the address they really have.

        For a workflow it is asked before the push, which starts it. None: not before something was pushed.
        """
        ...

    async def status(self, target: Target, commit_sha: str) -> WorkflowStatus:
        """How the workflows that this commit started fare."""
        ...

    async def fix(self, target: Target, commit_sha: str, waited_s: float) -> BuildFix:
        """What would help a commit that is not live after so long."""
        ...

    async def rebuild(self, target: Target) -> None:
        """A new build of the head is asked for."""
        ...


class Commit(Record):
    """What to commit: `parent` and `at` are fixed beforehand, so that a repeated commit is the same commit."""

    message: str
    parent: str | None
    at: float  # Unix time, seconds


async def publish(
    target: Target,
    files: Mapping[str, bytes],
    commit: Commit,
    *,
    publisher: Publisher,
    repositories: Repositories,
    step: Step,
    live_until: float,
    clock: Callable[[], float],
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> PublishResult:
    """One commit, known and stored before it is pushed, and served before it is called live. Raises PublishError.

    Files that cannot stand in one commit with the others are left out.
    """
    faults = unfit(files)
    files = {path: data for path, data in files.items() if path not in faults}
    left_out = tuple(f"left out: {fault}" for fault in faults.values())
    by_workflow = publish_pages(files)

    async def enable_pages() -> str | None:
        if publisher.builds is None:
            return target.pages_url
        asked = publisher.builds.enable(target, by_workflow=by_workflow)
        return await in_time(asked, target.pages_url, live_until - clock())

    add = partial(repositories.commit, message=commit.message, at=commit.at, parent=commit.parent)
    sha: str = await step("commit", partial(asyncio.to_thread, add, target.repo, files))
    pages_url = await step("enable_pages", enable_pages) if by_workflow else None
    try:
        sha = await step("push", partial(_push, target, sha, files, commit, publisher, repositories))
    except Objection as refused:  # what the host did not take must not stand below the next commit
        await step("take_back", partial(asyncio.to_thread, repositories.reset, target.repo, commit.parent))
        return PublishResult(target=target, publication=None, objection=str(refused), left_out=left_out)
    pages_url = pages_url or await step("enable_pages", enable_pages)
    if pages_url is None:
        raise PublishError(f"Pages cannot be switched on for {target.repo_url}: see its settings")
    target = target.model_copy(update={"pages_url": pages_url, "published": True, "by_workflow": by_workflow})
    watch = Watch(target, publisher, repositories, live_until, clock, sleep)
    sha, live, objection = await step("wait_live", lambda: watch.until_live(sha))
    publication = Publication(repo_url=target.repo_url, commit_sha=sha, pages_url=pages_url, live=live)
    return PublishResult(target=target, publication=publication, objection=objection, left_out=left_out)


async def _push(
    target: Target,
    sha: str,
    files: Mapping[str, bytes],
    commit: Commit,
    publisher: Publisher,
    repositories: Repositories,
) -> str:
    """The sha that was pushed: another one than `sha` when a person's commit came between."""
    for _ in range(PUSHES):
        try:
            await publisher.push(target, sha)
        except HeadMoved:
            sha = await asyncio.to_thread(
                repositories.commit_on_top, target.repo, files, message=commit.message, at=commit.at
            )
        else:
            return sha
    raise PublishError(f"somebody else keeps committing to {target.repo_url}: send the task again later")


async def in_time(act: Awaitable[T], otherwise: T, left_s: float) -> T:
    """Its result, or `otherwise` when it takes longer: the call back does not wait for a slow host."""
    try:
        async with asyncio.timeout(max(LAST_LOOK_S, left_s)):
            return await act
    except TimeoutError:
        return otherwise


@dataclass(frozen=True)
class Watch:
    """Waits for a commit to be served and its workflows to end, and helps a host that forgot it: each fix once."""

    target: Target
    publisher: Publisher
    repositories: Repositories
    until: float
    clock: Callable[[], float]
    sleep: Callable[[float], Awaitable[None]]

    async def until_live(self, sha: str) -> tuple[str, bool, str]:
        """The commit to report, which a fix may have made new; whether it is live; what is wrong with its workflows."""
        head = await asyncio.to_thread(self.repositories.repeated, self.target.repo, sha)
        if head != sha:  # a killed process had begun this fix
            head = await self._push_repeated(sha, head)
        began_at, tried, looks, sha = self.clock(), {"repeat"} if head != sha else set[str](), 0, head
        status = WorkflowStatus()
        while True:
            if self.publisher.builds and not status.objection:
                status = await in_time(self.publisher.builds.status(self.target, sha), status, self._left_s())
            live = await in_time(self.publisher.is_live(self.target, sha), False, self._left_s())
            settled = not status.pending and (live or (status.objection and self.target.by_workflow))
            wait_s = LIVE_POLL_S[min(looks, len(LIVE_POLL_S) - 1)]
            if settled or self._left_s() <= wait_s:
                return sha, live, status.objection
            if not live and self.publisher.builds:
                sha = await self._fixed(self.publisher.builds, sha, self.clock() - began_at, tried)
            await self.sleep(wait_s)
            looks += 1

    async def _fixed(self, builds: Builds, sha: str, waited_s: float, tried: set[str]) -> str:
        """The commit to wait for. What is pushed is published: without a fix that fails it only takes longer."""
        try:
            fix = await in_time(builds.fix(self.target, sha, waited_s), "wait", self._left_s())
            if fix in tried or self._left_s() < FIX_S:
                return sha
            tried.add(fix)
            if fix == "rebuild":
                await builds.rebuild(self.target)
            if fix == "repeat":
                repeated = await asyncio.to_thread(self.repositories.repeat, self.target.repo, sha)
                return await self._push_repeated(sha, repeated)
        except PublishError as error:
            emit("publish.not_fixed", error=str(error))
        return sha

    async def _push_repeated(self, sha: str, repeated: str) -> str:
        """Somebody else's newer commit makes a new build by itself."""
        try:
            await self.publisher.push(self.target, repeated)
        except HeadMoved:
            return sha
        return repeated

    def _left_s(self) -> float:
        return self.until - self.clock()
