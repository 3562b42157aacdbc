"""The durable engine: a task survives its process. The only module that knows DBOS.

Two workflows. `deliver` takes a task from the queue to a publication; `notify` is one delivery attempt of the call
back, which enqueues the next one. Everything that reads a clock, a disk or a network is a step: its result is stored,
and a process killed at any moment takes the task up again after the last stored step. Steps keep hashes, not contents:
blobs, model answers and the prompt lie in the store. No two steps of a workflow run at once.
"""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import uuid4

import httpx
import structlog
from dbos import (
    DBOS,
    DBOSClient,
    DBOSConfig,
    DBOSPortableJSONSerializer,
    EnqueueOptions,
    SetEnqueueOptions,
    SetWorkflowID,
)
from dbos import error as dbos_error

from agent import errors, loop, notify
from agent.errors import AgentError, LimitReached, Permanent
from agent.events import emit
from agent.llm.model import Escalation, Model
from agent.loop import Limits, Progress, Version
from agent.publish.git import Repositories
from agent.publish.publisher import Commit, Publisher, Site, Wish, publish
from agent.records import FINAL_STATES, Build, Json, Publication, Reply, Review, Task, ToolCall, ToolResult
from agent.review.report import report
from agent.store import NotificationState, Store
from agent.tools.toolbox import Batch
from agent.workshop import Job, Workshop
from agent.workspace import Workspace, sha256

PROTOCOL = "1"  # of the workflows: raise it when steps are added, removed or moved, so that old tasks are not misread
TASKS, NOTIFICATIONS = "tasks", "notifications"
POLL_S = 0.2
WATCH_S, LONGEST_WATCH_S, WATCH_LOOKS = 5.0, 300.0, 16  # looks at a site that was not live at the call back: 45 minutes
MAX_RECOVERIES = 10  # every restart counts, not only those a task caused
BEAT_S, LEASE_S = 5.0, 30.0  # a process that has not been heard of for so long is dead, and others take its tasks
GIVEN_UP = ("ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED")


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


class Engine:
    """Runs tasks from `launch` to `close`; one a process."""

    def __init__(self, parts: Parts, *, database: str, executor_id: str, worker_tasks: int) -> None:
        self._parts = parts
        self._executor_id = executor_id
        self._worker_tasks = worker_tasks
        self._watch: asyncio.Task[None] | None = None
        self._config: DBOSConfig = {
            "name": "agent",
            "system_database_url": database,
            "application_version": PROTOCOL,
            "executor_id": executor_id,
            "serializer": DBOSPortableJSONSerializer(),
            "max_executor_threads": 64,
            "notification_listener_polling_interval_sec": POLL_S,
            "log_level": "WARNING",
        }
        self._deliver: Any = None
        self._notify: Any = None
        self._watch_site: Any = None

    async def launch(self) -> None:
        """Takes up what an earlier process left, then new tasks."""
        DBOS.destroy(destroy_registry=True)
        DBOS(config=self._config)

        @DBOS.workflow(name="deliver", max_recovery_attempts=MAX_RECOVERIES)
        async def deliver(task_id: str, attempt: int) -> None:
            await self._run_delivery(task_id, attempt)

        @DBOS.workflow(name="notify", max_recovery_attempts=MAX_RECOVERIES)
        async def notify_once(task_id: str, chain: str, attempt: int, began_at: float) -> None:
            await self._run_notification(task_id, chain, attempt, began_at)

        @DBOS.workflow(name="watch", max_recovery_attempts=MAX_RECOVERIES)
        async def watch(task_id: str, attempt: int, look: int) -> None:
            await self._run_watch(task_id, attempt, look)

        self._deliver, self._notify, self._watch_site = deliver, notify_once, watch
        DBOS.launch()  # on this loop, which it adopts for the workflows: their HTTP clients belong to it
        for queue, running in ((TASKS, self._worker_tasks), (NOTIFICATIONS, 4 * self._worker_tasks)):
            await DBOS.register_queue_async(
                queue, worker_concurrency=running, polling_interval_sec=POLL_S, on_conflict="always_update"
            )
        for task_id, attempt in await asyncio.to_thread(self._parts.store.unfinished):
            await self._take_up(task_id, attempt)
        self._watch = asyncio.create_task(self._watch_over_others())

    async def close(self, grace_s: int = 3) -> None:
        """Lets running tasks go on for `grace_s`; what is not done by then is taken up at the next launch."""
        if self._watch:
            self._watch.cancel()
        await asyncio.to_thread(DBOS.destroy, workflow_completion_timeout_sec=grace_s, destroy_registry=True)

    async def submit(self, task_id: str, attempt: int) -> None:
        """Idempotent: one run for each attempt of a task."""
        with SetWorkflowID(f"{task_id}.{attempt}"):
            await DBOS.enqueue_workflow_async(TASKS, self._deliver, task_id, attempt)

    async def _take_up(self, task_id: str, attempt: int) -> None:
        """A task whose workflow has ended without it would wait for ever."""
        await self.submit(task_id, attempt)
        workflow = await DBOS.get_workflow_status_async(f"{task_id}.{attempt}")
        if workflow and workflow.status in GIVEN_UP:
            error = f"the engine gave this task up ({workflow.status}): send it again"
            await asyncio.to_thread(self._parts.store.update, task_id, state="failed", stage="failed", error=error)

    async def _watch_over_others(self) -> None:
        """Takes over the tasks of a process on the same database that has stopped saying that it lives."""
        store = self._parts.store
        while True:
            try:
                for dead in await asyncio.to_thread(store.beat, self._executor_id, lease_s=LEASE_S):
                    await self._take_over(dead)
            except Exception as error:  # noqa: BLE001 - a database that is away for a while must not end the watch
                emit("engine.watch_failed", error=f"{type(error).__name__}: {error}")
            await asyncio.sleep(BEAT_S)

    async def _take_over(self, dead: str) -> None:
        try:
            taken = await asyncio.to_thread(DBOS._recover_pending_workflows, [dead])
        except BaseException:
            await asyncio.to_thread(self._parts.store.tell_again, dead)
            raise
        emit("engine.took_over", worker=dead, workflows=len(taken))

    async def resend(self, task_id: str) -> None:
        """Begins a new chain of delivery attempts of the stored notification."""
        await self._enqueue_notification(task_id, f"{task_id}.{uuid4().hex[:8]}", 1, self._parts.clock())

    # -- deliver -----------------------------------------------------------------------------------------------------

    async def _run_delivery(self, task_id: str, attempt: int) -> None:
        """From the queue to a publication. Ends in the state done or failed, never in between."""
        structlog.contextvars.bind_contextvars(task_id=task_id)
        try:
            await self._deliver_task(task_id, attempt)
        except dbos_error.DBOSException:
            raise  # the engine's own control flow: cancelled, or taken over by another process
        except AgentError as error:
            await self._fail(task_id, str(error))
        except Exception as error:  # noqa: BLE001 - the boundary of a task: whatever happened, it ends and says so
            await self._fail(task_id, f"internal error: {type(error).__name__}: {error}")

    async def _deliver_task(self, task_id: str, attempt: int) -> None:
        parts, workshop = self._parts, self._parts.workshop
        await step("begin", partial(self._begin, task_id))
        task = await asyncio.to_thread(parts.store.task, task_id)
        site = Site.model_validate(await step("reserve", partial(self._reserve, task)))
        job = Job.model_validate(await step("prepare", partial(self._prepare, task, site)))
        progress = await self._build(task, job, attempt)
        files, build = await self._finish(task, job, site, progress)
        publication = await publish(
            site,
            files,
            Commit(message=f"{task.task}: round {task.round}", parent=job.base_sha, at=task.received_at),
            publisher=parts.publisher,
            repositories=parts.repositories,
            step=step,
            live_until=workshop.notify_by(task),
            clock=parts.clock,
        )
        done_at = await step("record", partial(self._record, task, build, publication))
        await self._enqueue_notification(task.id, f"{task.id}.{attempt}", 1, done_at)
        if not publication.live:
            await self._enqueue_watch(task.id, attempt, 1)

    async def _begin(self, task_id: str) -> None:
        """Waits for earlier rounds of the same site: two never run at once."""
        store, clock = self._parts.store, self._parts.clock
        task = await asyncio.to_thread(store.task, task_id)
        build_by = self._parts.workshop.build_by(task)
        while clock() < build_by and await asyncio.to_thread(store.is_behind, task):  # noqa: ASYNC110 - in the store
            await asyncio.sleep(POLL_S)
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
        while task.previous_id is not None:
            earlier = self._parts.store.view(task.previous_id)
            if earlier.publication:
                return earlier.publication
            task = earlier.task
        return None

    async def _prepare(self, task: Task, site: Site) -> Json:
        return (await self._parts.workshop.prepare(task, site)).model_dump(mode="json")

    async def _build(self, task: Task, job: Job, attempt: int) -> Progress:
        parts = self._parts
        await step("enter_build", partial(asyncio.to_thread, parts.store.update, task.id, stage="build"))
        start = await asyncio.to_thread(parts.workshop.load, job.files)
        prompt = await asyncio.to_thread(parts.workshop.messages, job)
        hands = DurableHands(parts, task, job, attempt)
        try:
            return await loop.build(start, prompt, hands, parts.limits)
        except dbos_error.DBOSException:
            raise
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

        build = Build.model_validate(await step("finish", finish))
        return await asyncio.to_thread(self._parts.workshop.load, build.files), build

    async def _record(self, task: Task, build: Build, publication: Publication) -> float:
        """When it was done: the call back is repeated from then on."""
        body = notify.payload(task, publication)
        update = partial(self._parts.store.update, task.id, state="done", stage="done")
        await asyncio.to_thread(update, publication=publication, notification=body)
        emit("task.done", commit_sha=publication.commit_sha, live=publication.live, stopped_by=build.stopped_by)
        return self._parts.clock()

    async def _fail(self, task_id: str, sentence: str) -> None:
        update = partial(self._parts.store.update, task_id, state="failed", stage="failed", error=sentence)
        await step("fail", partial(asyncio.to_thread, update))
        emit("task.failed", error=sentence)

    # -- watch: after a call back that could not say `live` -----------------------------------------------------------

    async def _enqueue_watch(self, task_id: str, attempt: int, look: int) -> None:
        wait_s = min(WATCH_S * 2 ** (look - 1), LONGEST_WATCH_S)
        with SetWorkflowID(f"watch.{task_id}.{attempt}.{look}"), SetEnqueueOptions(delay_seconds=wait_s):
            await DBOS.enqueue_workflow_async(NOTIFICATIONS, self._watch_site, task_id, attempt, look)

    async def _run_watch(self, task_id: str, attempt: int, look: int) -> None:
        structlog.contextvars.bind_contextvars(task_id=task_id)
        live = await step("look", partial(self._look, task_id))
        if not live and look < WATCH_LOOKS:
            await self._enqueue_watch(task_id, attempt, look + 1)

    async def _look(self, task_id: str) -> bool:
        """Whether the site is live by now; nothing is pushed any more."""
        store = self._parts.store
        view = await asyncio.to_thread(store.view, task_id)
        seen = view.publication
        if seen is None or seen.live:
            return True
        site = Site(repo=view.task.repo, repo_url=seen.repo_url, pages_url=seen.pages_url)
        live = await self._parts.publisher.is_live(site, seen.commit_sha)
        if live:
            await asyncio.to_thread(store.update, task_id, publication=seen.model_copy(update={"live": True}))
            emit("task.live", commit_sha=seen.commit_sha)
        return live

    # -- notify ------------------------------------------------------------------------------------------------------

    async def _enqueue_notification(
        self, task_id: str, chain: str, attempt: int, began_at: float, wait_s: float = 0
    ) -> None:
        with SetWorkflowID(f"notify.{chain}.{attempt}"), SetEnqueueOptions(delay_seconds=wait_s or None):
            await DBOS.enqueue_workflow_async(NOTIFICATIONS, self._notify, task_id, chain, attempt, began_at)

    async def _run_notification(self, task_id: str, chain: str, attempt: int, began_at: float) -> None:
        """One delivery attempt; the next one is a workflow of its own, so that waiting holds nothing."""
        structlog.contextvars.bind_contextvars(task_id=task_id)
        wait_s = await step("deliver", partial(self._deliver_notification, task_id, chain, attempt, began_at))
        if wait_s is not None:
            await self._enqueue_notification(task_id, chain, attempt + 1, began_at, wait_s)

    async def _deliver_notification(self, task_id: str, chain: str, attempt: int, began_at: float) -> float | None:
        store, clock = self._parts.store, self._parts.clock
        view = await asyncio.to_thread(store.view, task_id)
        if view.notification is None:
            return None
        made, outcome = await notify.deliver(self._parts.http, view.task.evaluation_url, view.notification, clock=clock)
        wait_s = notify.wait_s(attempt, clock() - began_at) if outcome == "retry" else None
        state: NotificationState = "pending" if wait_s is not None else "dead" if outcome == "retry" else outcome
        await asyncio.to_thread(store.add_delivery, task_id, f"{chain}.{attempt}", made, state)
        emit("notify.attempt", attempt=attempt, status=made.status, outcome=outcome, wait_s=wait_s)
        return wait_s


class DurableHands:
    """The loop's hands, each a step: what was bought, done or found once is not bought, done or found again."""

    def __init__(self, parts: Parts, task: Task, job: Job, attempt: int) -> None:
        self._parts = parts
        self._task = task
        self._job = job
        self._attempt = attempt
        self.best: Version | None = None  # of those that were reviewed

    async def ask(self, messages: Sequence[Json], escalation: Escalation) -> Reply:
        key = await step("model_call", partial(self._buy, messages, escalation))
        return Reply.model_validate(await asyncio.to_thread(self._parts.store.answer, key))

    async def _buy(self, messages: Sequence[Json], escalation: Escalation) -> str:
        """The answer's key. It is stored first thing: a crash before this step's end does not buy it twice."""
        store, model = self._parts.store, self._parts.model
        key = sha256(json.dumps([self._task.id, self._attempt, len(messages)]).encode())
        if await asyncio.to_thread(store.answer, key):
            return key
        left_s = self._parts.workshop.build_by(self._task) - self._parts.clock()
        if left_s <= 0:
            raise LimitReached("deadline")
        if model is None:
            raise Permanent("no model is configured: set LLM_MODEL and its key")
        try:
            schemas = self._parts.workshop.schemas
            reply = await model.complete(messages, schemas, timeout_s=left_s, escalation=escalation)
        except errors.Transient as fault:
            if self._parts.clock() >= self._parts.workshop.build_by(self._task) - 1:
                raise LimitReached("deadline", str(fault)) from None
            raise
        await asyncio.to_thread(store.put_answer, key, reply.model_dump(mode="json"))
        await asyncio.to_thread(store.add_usage, self._task.id, reply.usage)
        emit("model.reply", model=reply.model, calls=len(reply.calls), tokens=reply.usage.completion_tokens)
        return key

    async def act(self, workspace: Workspace, calls: Sequence[ToolCall], misses: Mapping[str, int]) -> Batch:
        store, workshop = self._parts.store, self._parts.workshop

        async def run() -> Json:
            batch = await workshop.act(self._task, self._job, workspace, calls, misses)
            changed = {p: data for p, data in batch.workspace.items() if workspace.get(p) != data}
            await asyncio.to_thread(store.put_blobs, changed.values())
            names = [call.name for call in calls]
            await asyncio.to_thread(store.add_event, self._task.id, "tools", {"calls": names, "changed": list(changed)})
            results = [result.model_dump() for result in batch.results]
            return {"results": results, "files": batch.workspace.manifest, "misses": dict(batch.misses)}

        done = await step("tool_batch", run)
        return Batch(
            results=tuple(ToolResult.model_validate(result) for result in done["results"]),
            workspace=await asyncio.to_thread(workshop.load, done["files"], workspace),
            misses=done["misses"],
        )

    async def review(self, workspace: Workspace) -> Review:
        store, workshop = self._parts.store, self._parts.workshop

        async def run() -> Json:
            attachments = await asyncio.to_thread(workshop.attachments, self._job)
            review = await workshop.review(self._task, attachments, workspace)
            if self._is_best(Version(workspace, review)):
                await asyncio.to_thread(store.update, self._task.id, findings=review.findings)
            counts = dict(Counter(str(finding.verdict) for finding in review.findings))
            await asyncio.to_thread(store.add_event, self._task.id, "review", counts)
            return review.model_dump(mode="json")

        version = Version(workspace, Review.model_validate(await step("review", run)))
        if self._is_best(version):
            self.best = version
        return version.review

    def _is_best(self, version: Version) -> bool:
        return self.best is None or version.score >= self.best.score

    def report(self, review: Review, previous: Review | None) -> str:
        return report(review, previous)

    def words(self, name: str) -> str:
        return self._job.words[name]


async def step(name: str, act: Callable[[], Awaitable[Any]]) -> Any:
    """The JSON result of `act`, run at most once to its end. Own errors come back as themselves, on a replay too."""

    async def guarded() -> Json:
        try:
            return {"value": await act()}
        except AgentError as error:
            return {"error": type(error).__name__, "args": list(error.args)}

    outcome = await DBOS.run_step_async({"name": name}, guarded)
    if "error" in outcome:
        raise getattr(errors, outcome["error"], AgentError)(*outcome["args"])
    return outcome["value"]


class Remote:
    """Resends and cancels from outside the serving process; nothing is launched here."""

    def __init__(self, store: Store, *, database: str) -> None:
        self._store = store
        self._client = DBOSClient(system_database_url=database, serializer=DBOSPortableJSONSerializer())

    def resend(self, task_id: str) -> None:
        """The serving process sends the stored notification again, now or when it starts. Raises KeyError."""
        if self._store.view(task_id).notification is None:
            raise AgentError(f"task {task_id} has no notification yet: it is sent when the site is published")
        chain = f"{task_id}.{uuid4().hex[:8]}"
        options: EnqueueOptions = {
            "workflow_name": "notify",
            "queue_name": NOTIFICATIONS,
            "workflow_id": f"notify.{chain}.1",
            "app_version": PROTOCOL,
        }
        self._client.enqueue(options, task_id, chain, 1, time.time())

    def cancel(self, task_id: str) -> bool:
        """Whether the task was unfinished; it stops before its next step. Raises KeyError."""
        view = self._store.view(task_id)
        if view.state in FINAL_STATES:
            return False
        self._client.cancel_workflow(f"{task_id}.{view.attempt}")
        return self._store.cancel(task_id)

    def close(self) -> None:
        self._client.destroy()
