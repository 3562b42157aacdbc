"""From a stored task to a publication, step by step. It knows no engine: the step function that it is given may.

Everything that reads a clock, a disk or a network is a step, and what lies between the steps gives the same again
whenever it is replayed.
"""

import asyncio
import json
import re
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import httpx

from agent import loop, telemetry
from agent.errors import AgentError, PublishError
from agent.events import emit
from agent.llm.model import Model
from agent.loop import Limits, Progress, Version
from agent.publish.git import Repositories
from agent.publish.publisher import Commit, Publisher, PublishResult, RepositoryRequest, Target, publish
from agent.quoting import one_line
from agent.records import Build, Json, Publication, Review, Step, Task
from agent.review.probes import Compiled
from agent.review.report import objection_finding, objection_note
from agent.store import Store
from agent.worker import notify
from agent.worker.hands import DurableHands
from agent.worker.model_calls import Buyer
from agent.worker.reader import Assessor
from agent.worker.workshop import Job, Workshop
from agent.workspace import ENGINE_FILES, Workspace, sha256

Beside = Callable[[str, int], Awaitable[Callable[[], Awaitable[Json]]]]  # task id, attempt

MENDINGS = 2  # of what the host objects to, in one task
MAX_SENTENCE_CHARS = 600


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
    assessor: Assessor
    clock: Callable[[], float] = time.time


class Delivery:
    """One run of one task; `step` runs an action at most once to its end and keeps its JSON.

    `beside` starts `compile` of a run beside its `deliver`, once, and gives what waits for its JSON.
    """

    def __init__(self, parts: Parts, step: Step, beside: Beside) -> None:
        self._parts = parts
        self._step = step
        self._beside = beside
        self._buyer = Buyer(parts.store, parts.model, parts.clock)

    async def deliver(self, task_id: str, attempt: int) -> tuple[Publication, float]:
        """The publication, and when its notification was stored. Raises AgentError when nothing can be published."""
        parts = self._parts
        await self._step("begin", partial(self._begin, task_id))
        task = await asyncio.to_thread(parts.store.task, task_id)
        telemetry.note({"task.round": task.round})
        target = Target.model_validate(await self._step("reserve", partial(self._reserve, task)))
        job = Job.model_validate(await self._step("prepare", partial(self._prepare, task, target)))
        hands = await self._hands(task, job, attempt)
        progress = await self._build(hands)
        build, outcome, publication = await self._published(hands, target, progress)
        done_at = await self._step("record", partial(self._record, task, build, publication, outcome))
        return publication, done_at

    async def compile(self, task_id: str, attempt: int) -> Json:
        """The probes of the task's checks; a fault is a reason in it and no error of the task."""
        parts = self._parts

        async def compile_() -> Json:
            task = await asyncio.to_thread(parts.store.task, task_id)
            compiled = await parts.assessor.compile(task, attempt, self._buyer, until=parts.workshop.build_by(task))
            return compiled.model_dump(mode="json")

        found: Json = await self._step("compile", compile_)
        return found

    async def _begin(self, task_id: str) -> None:
        store = self._parts.store
        task = await asyncio.to_thread(store.task, task_id)
        await asyncio.to_thread(store.update, task_id, state="running", stage="prepare")
        emit("task.begin", round=task.round, repo=task.repo)

    async def _reserve(self, task: Task) -> Json:
        request = RepositoryRequest(
            repo=task.repo,
            description=task.brief[:1_000],
            mark=sha256(json.dumps([task.email, task.task]).encode())[:16],
            round=task.round,
            known=await asyncio.to_thread(self._known, task),
        )
        return (await self._parts.publisher.reserve(request)).model_dump(mode="json")

    def _known(self, task: Task) -> Publication | None:
        """Where the newest earlier round was published."""
        earlier = (self._parts.store.view(known.id).publication for known in self._parts.store.rounds(task)[1:])
        return next(filter(None, earlier), None)

    async def _prepare(self, task: Task, target: Target) -> Json:
        return (await self._parts.workshop.prepare(task, target)).model_dump(mode="json")

    async def _hands(self, task: Task, job: Job, attempt: int) -> DurableHands:
        """What compiles the checks is at work from here on, beside all that follows."""
        parts = self._parts
        waiting = await self._beside(task.id, attempt) if job.compile else None
        return DurableHands(
            self._step,
            parts.store,
            parts.workshop,
            self._buyer,
            parts.assessor,
            task=task,
            job=job,
            attempt=attempt,
            compiling=partial(_compiled, waiting) if waiting else None,
            compiled=Compiled(probes=job.probes),
        )

    async def _build(self, hands: DurableHands) -> Progress:
        parts, job = self._parts, hands.job
        await self._step("enter_build", partial(asyncio.to_thread, parts.store.update, hands.task.id, stage="build"))
        start = await asyncio.to_thread(parts.workshop.load, job.files)
        prompt = await asyncio.to_thread(parts.workshop.messages, job)
        begun = Progress(Version(start, Review()), Version(start, Review()))
        progress = await self._guarded(loop.build(start, prompt, hands, parts.limits), hands, begun)
        await hands.compile()  # what was started beside the loop ends with it, and is counted
        return progress

    async def _guarded(self, looping: Awaitable[Progress], hands: DurableHands, begun: Progress) -> Progress:
        try:
            return await looping
        except Exception as error:  # noqa: BLE001 - a fault of ours is no reason to publish nothing
            emit("build.fault", error=f"{type(error).__name__}: {error}")
            best, fault = hands.best or begun.best, f"internal error: {type(error).__name__}"
            return replace(begun, best=best, latest=best, usage=hands.bought, stopped_by="fault", error=fault)

    async def _published(
        self, hands: DurableHands, target: Target, progress: Progress
    ) -> tuple[Build, PublishResult, Publication]:
        """What the host objects to goes back to the loop, and what it refuses to the end is left out."""
        base = hands.job.base_sha
        build, outcome = await self._publish(hands, target, progress, base)
        for _ in range(MENDINGS):
            mended = await self._mended(hands, progress, outcome.objection) if outcome.objection else None
            if mended is None:
                break
            progress, base = mended, outcome.publication.commit_sha if outcome.publication else base
            build, outcome = await self._publish(hands, outcome.target, progress, base)
        refusal = outcome.objection
        refused = named_in(refusal, build.files)
        if outcome.publication is None and refused:
            progress = replace(progress, error=f"left out, as the host refuses it: {', '.join(refused)}")
            build, outcome = await self._publish(hands, outcome.target, progress, base, refused)
        if outcome.publication is None:
            raise PublishError(one_line(refusal, MAX_SENTENCE_CHARS))
        return build, outcome, outcome.publication

    async def _publish(
        self, hands: DurableHands, target: Target, progress: Progress, base: str | None, refused: Sequence[str] = ()
    ) -> tuple[Build, PublishResult]:
        parts, task, mended = self._parts, hands.task, ", mended" if base != hands.job.base_sha else ""
        files, build = await self._finish(hands, target, progress, refused)
        outcome = await publish(
            target,
            files,
            Commit(message=f"{task.task}: round {task.round}{mended}", parent=base, at=task.received_at),
            publisher=parts.publisher,
            repositories=parts.repositories,
            step=self._step,
            live_until=parts.workshop.notify_by(task),
            clock=parts.clock,
        )
        return build, outcome

    async def _mended(self, hands: DurableHands, progress: Progress, said: str) -> Progress | None:
        """The loop goes on from where it was; None when no other site came of it."""
        if not progress.messages:
            return None
        await self._step("objection", partial(self._note, hands.task, said))
        begun = loop.objected(progress, objection_finding(said), objection_note(said))
        mended = await self._guarded(loop.go_on(begun, hands, self._parts.limits), hands, begun)
        return mended if mended.best.workspace != progress.best.workspace else None

    async def _note(self, task: Task, said: str) -> None:
        finding = objection_finding(said)
        await asyncio.to_thread(self._parts.store.update, task.id, stage="build")
        await asyncio.to_thread(self._parts.store.add_event, task.id, "objection", {"evidence": finding.evidence})
        emit("publish.objection", evidence=finding.evidence)

    async def _finish(
        self, hands: DurableHands, target: Target, progress: Progress, refused: Sequence[str]
    ) -> tuple[Workspace, Build]:
        """What will be published is stored before anything is."""
        store, task = self._parts.store, hands.task
        progress = replace(progress, usage=progress.usage + hands.spent)

        async def finish() -> Json:
            whole, build = await self._parts.workshop.finish(task, hands.job, target, progress, hands.learnt, refused)
            details = {
                "models": build.models,
                "turns": build.turns,
                "prompts_sha256": build.prompts_sha256,
                "browser": build.review.browser,
                "sandbox": self._parts.workshop.sandbox,
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
        telemetry.note({"task.stopped_by": build.stopped_by, "task.turns": build.turns})
        return await asyncio.to_thread(self._parts.workshop.load, build.files), build

    async def _record(self, task: Task, build: Build, publication: Publication, outcome: PublishResult) -> float:
        """When it was done: the call back is repeated from then on."""
        body = notify.payload(task, publication)
        update = partial(self._parts.store.update, task.id, state="done", stage="done")
        errors = [build.error, *outcome.left_out]
        if outcome.objection:
            finding = objection_finding(outcome.objection)
            errors.append(f"the host objects: {finding.evidence}")
            update = partial(update, findings=(*build.review.findings, finding))
        await asyncio.to_thread(
            update, publication=publication, notification=body, error="; ".join(filter(None, errors)) or None
        )
        emit("task.done", commit_sha=publication.commit_sha, live=publication.live, stopped_by=build.stopped_by)
        return self._parts.clock()


def named_in(said: str, paths: Iterable[str]) -> list[str]:
    """The files that the host speaks of; not those that every site must have."""
    own = (path for path in paths if path not in ENGINE_FILES)
    return [path for path in own if re.search(rf"(?<![\w./-]){re.escape(path)}(?![\w/-])(?!\.\w)", said)]


async def _compiled(waiting: Callable[[], Awaitable[Json]]) -> Compiled:
    try:
        return Compiled.model_validate(await waiting())
    except AgentError as error:
        return Compiled(why=f"not compiled: {error}")
