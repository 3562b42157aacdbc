"""From a stored task to a publication, step by step. It knows no engine: the step function that it is given may.

Everything that reads a clock, a disk or a network is a step, and what lies between the steps gives the same again
whenever it is replayed.
"""

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import httpx

from agent import loop, notify, telemetry
from agent.events import emit
from agent.hands import DurableHands
from agent.llm.model import Model
from agent.loop import Limits, Progress, Version
from agent.publish.git import Repositories
from agent.publish.publisher import Commit, Publisher, Site, Step, Wish, publish
from agent.records import Build, Json, Publication, Review, Task
from agent.store import Store
from agent.workshop import Job, Workshop
from agent.workspace import Workspace, sha256

BUSY_POLL_S = 0.2  # between two looks whether the earlier round has ended


@dataclass(frozen=True)
class Parts:
    """What the workflows work with."""

    store: Store
    repositories: Repositories
    publisher: Publisher
    workshop: Workshop
    model: Model | None
    http: httpx.AsyncClient  # guarded, for the call back
    limits: Limits
    clock: Callable[[], float] = time.time


class Delivery:
    """One run of one task; `step` runs an action at most once to its end and keeps its JSON."""

    def __init__(self, parts: Parts, step: Step) -> None:
        self._parts = parts
        self._step = step

    async def deliver(self, task_id: str, attempt: int) -> tuple[Publication, float]:
        """The publication, and when its notification was stored. Raises AgentError when nothing can be published."""
        parts, workshop = self._parts, self._parts.workshop
        await self._step("begin", partial(self._begin, task_id))
        task = await asyncio.to_thread(parts.store.task, task_id)
        telemetry.note({"task.round": task.round})
        site = Site.model_validate(await self._step("reserve", partial(self._reserve, task)))
        job = Job.model_validate(await self._step("prepare", partial(self._prepare, task, site)))
        progress = await self._build(task, job, attempt)
        files, build = await self._finish(task, job, site, progress)
        telemetry.note({"task.stopped_by": build.stopped_by, "task.turns": build.turns})
        publication = await publish(
            site,
            files,
            Commit(message=f"{task.task}: round {task.round}", parent=job.base_sha, at=task.received_at),
            publisher=parts.publisher,
            repositories=parts.repositories,
            step=self._step,
            live_until=workshop.notify_by(task),
            clock=parts.clock,
        )
        done_at = await self._step("record", partial(self._record, task, build, publication))
        return publication, done_at

    async def _begin(self, task_id: str) -> None:
        """Waits for earlier rounds of the same site: two never run at once."""
        store, clock = self._parts.store, self._parts.clock
        task = await asyncio.to_thread(store.task, task_id)
        build_by = self._parts.workshop.build_by(task)
        while clock() < build_by and await asyncio.to_thread(store.is_behind, task):  # noqa: ASYNC110 - in the store
            await asyncio.sleep(BUSY_POLL_S)
        await asyncio.to_thread(store.update, task_id, state="running", stage="prepare")
        emit("task.begin", round=task.round, repo=task.repo)

    async def _reserve(self, task: Task) -> Json:
        wish = Wish(
            repo=task.repo,
            description=task.brief[:1_000],
            mark=sha256(json.dumps([task.email, task.task]).encode())[:16],
            round=task.round,
            known=await asyncio.to_thread(self._known, task),
        )
        return (await self._parts.publisher.reserve(wish)).model_dump(mode="json")

    def _known(self, task: Task) -> Publication | None:
        """Where the newest earlier round was published."""
        earlier = (self._parts.store.view(known.id).publication for known in self._parts.store.rounds(task)[1:])
        return next(filter(None, earlier), None)

    async def _prepare(self, task: Task, site: Site) -> Json:
        return (await self._parts.workshop.prepare(task, site)).model_dump(mode="json")

    async def _build(self, task: Task, job: Job, attempt: int) -> Progress:
        parts = self._parts
        await self._step("enter_build", partial(asyncio.to_thread, parts.store.update, task.id, stage="build"))
        start = await asyncio.to_thread(parts.workshop.load, job.files)
        prompt = await asyncio.to_thread(parts.workshop.messages, job)
        hands = DurableHands(
            self._step, parts.store, parts.workshop, parts.model, parts.clock, task=task, job=job, attempt=attempt
        )
        try:
            return await loop.build(start, prompt, hands, parts.limits)
        except Exception as error:  # noqa: BLE001 - a fault of ours is no reason to publish nothing
            emit("build.fault", error=f"{type(error).__name__}: {error}")
            best = hands.best or Version(start, Review())
            return Progress(best, best, stopped_by="fault", error=f"internal error: {type(error).__name__}")

    async def _finish(self, task: Task, job: Job, site: Site, progress: Progress) -> tuple[Workspace, Build]:
        """What will be published is stored before anything is."""
        store = self._parts.store

        async def finish() -> Json:
            whole, build = await self._parts.workshop.finish(task, job, site, progress)
            details = {
                "models": build.models,
                "turns": build.turns,
                "prompts_sha256": build.prompts_sha256,
                "browser": build.review.browser,
                "screenshots": build.screenshots,
            }
            await asyncio.to_thread(store.put_blobs, whole.values())
            await asyncio.to_thread(
                store.update,
                task.id,
                stage="publish",
                findings=build.review.findings,
                usage=build.usage,
                details=details,
                stopped_by=build.stopped_by,
                error=build.error or None,
            )
            emit("build.done", stopped_by=build.stopped_by, turns=build.turns, failed=len(build.review.failures))
            return build.model_dump(mode="json")

        build = Build.model_validate(await self._step("finish", finish))
        return await asyncio.to_thread(self._parts.workshop.load, build.files), build

    async def _record(self, task: Task, build: Build, publication: Publication) -> float:
        """When it was done: the call back is repeated from then on."""
        body = notify.payload(task, publication)
        update = partial(self._parts.store.update, task.id, state="done", stage="done")
        await asyncio.to_thread(update, publication=publication, notification=body)
        emit("task.done", commit_sha=publication.commit_sha, live=publication.live, stopped_by=build.stopped_by)
        return self._parts.clock()
