"""The durable engine: a task survives its process. The only module that knows DBOS.

Five workflows. `deliver` takes a task from the queue to a publication; `compile`, its child, runs beside it; `notify`
is one attempt at the call back and `watch` one look at a site that was not live by then, and each of these two enqueues
the next one; `pictures` shows people what was published. Everything that reads a clock, a disk or a network is a step:
its result is stored, and a killed process takes the task up again after the last stored step. Steps keep hashes, not
contents: blobs, answers and prompts lie in the store. No two steps of a workflow run at once, nor two rounds of one
repository.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any
from uuid import uuid4

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

from agent import errors, telemetry
from agent.errors import AgentError, PublishError
from agent.events import emit
from agent.publish.publisher import Target
from agent.publish.workflows import publish_pages
from agent.records import FINAL_STATES, Json
from agent.review.probes import Compiled
from agent.store import NotificationState, Store
from agent.worker import notify
from agent.worker.delivery import Delivery, Parts

PROTOCOL = "2"  # of the workflows: raise it when steps are added, removed or moved, so that old tasks are not misread
TASKS, NOTIFICATIONS = "tasks", "notifications"
POLL_S = 0.2
WATCH_S, LONGEST_WATCH_S, WATCH_LOOKS = 2.0, 300.0, 16  # looks at a site that was not live at the call back: 48 minutes
MAX_RECOVERIES = 10  # every restart counts, not only those a task caused
BEAT_S, LEASE_S = 5.0, 30.0  # a process that has not been heard of for so long is dead, and others take its tasks
CHILD_GIVEN_UP = (
    dbos_error.DBOSAwaitedWorkflowCancelledError,
    dbos_error.DBOSAwaitedWorkflowMaxRecoveryAttemptsExceeded,
)
DEAD = ("ERROR", "MAX_RECOVERY_ATTEMPTS_EXCEEDED")


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
        self._compile: Any = None
        self._notify: Any = None
        self._watch_site: Any = None
        self._take_pictures: Any = None

    async def launch(self) -> None:
        """Takes up what an earlier process left, then new tasks."""
        DBOS.destroy(destroy_registry=True)
        DBOS(config=self._config)

        @DBOS.workflow(name="deliver", max_recovery_attempts=MAX_RECOVERIES)
        async def deliver(task_id: str, attempt: int) -> None:
            with controlled():
                await self._run_delivery(task_id, attempt)

        @DBOS.workflow(name="compile", max_recovery_attempts=MAX_RECOVERIES)
        async def compile_checks(task_id: str, attempt: int) -> Json:
            with controlled():
                return await self._run_compile(task_id, attempt)

        @DBOS.workflow(name="notify", max_recovery_attempts=MAX_RECOVERIES)
        async def notify_once(task_id: str, chain: str, attempt: int, began_at: float) -> None:
            with controlled():
                await self._run_notification(task_id, chain, attempt, began_at)

        @DBOS.workflow(name="watch", max_recovery_attempts=MAX_RECOVERIES)
        async def watch(task_id: str, attempt: int, look: int) -> None:
            with controlled():
                await self._run_watch(task_id, attempt, look)

        @DBOS.workflow(name="pictures", max_recovery_attempts=MAX_RECOVERIES)
        async def pictures(task_id: str) -> None:
            with controlled():
                await self._run_pictures(task_id)

        self._deliver, self._compile, self._notify = deliver, compile_checks, notify_once
        self._watch_site, self._take_pictures = watch, pictures
        DBOS.launch()  # on this loop, which it adopts for the workflows: their HTTP clients belong to it
        # A round that waits for the one before holds no place: one of each repository is let out of the queue. Which of
        # the repositories that wait comes next is left to chance.
        await self._register(TASKS, self._worker_tasks, of_one_key=1)
        await self._register(NOTIFICATIONS, 4 * self._worker_tasks)
        for task_id, attempt in await asyncio.to_thread(self._parts.store.unfinished):
            await self._take_up(task_id, attempt)
        self._watch = asyncio.create_task(self._watch_over_all())

    async def _register(self, queue: str, running: int, of_one_key: int | None = None) -> None:
        await DBOS.register_queue_async(
            queue,
            worker_concurrency=running,
            partition_concurrency=of_one_key,
            polling_interval_sec=POLL_S,
            on_conflict="always_update",
        )

    async def close(self, grace_s: int = 3) -> None:
        """Lets running tasks go on for `grace_s`; what is not done by then is taken up at the next launch."""
        if self._watch:
            self._watch.cancel()
        await asyncio.to_thread(DBOS.destroy, workflow_completion_timeout_sec=grace_s, destroy_registry=True)

    async def submit(self, task_id: str, attempt: int) -> None:
        """Idempotent: one run for each attempt of a task."""
        task = await asyncio.to_thread(self._parts.store.task, task_id)
        # The engine's own order is by the second.
        number = await asyncio.to_thread(self._parts.store.number, task)
        in_line = SetEnqueueOptions(queue_partition_key=task.repo, priority=number)
        with SetWorkflowID(f"{task_id}.{attempt}"), in_line:
            await DBOS.enqueue_workflow_async(TASKS, self._deliver, task_id, attempt)

    async def _take_up(self, task_id: str, attempt: int) -> None:
        await self.submit(task_id, attempt)
        await self._end(task_id, attempt, (*DEAD, "CANCELLED"))

    async def _end(self, task_id: str, attempt: int, statuses: Collection[str]) -> None:
        """A task whose workflow has ended without it would wait for ever."""
        workflow = await DBOS.get_workflow_status_async(f"{task_id}.{attempt}")
        if workflow and workflow.status in statuses:
            error = f"the engine gave this task up ({workflow.status}): send it again"
            await asyncio.to_thread(self._parts.store.update, task_id, state="failed", stage="failed", error=error)

    async def _watch_over_all(self) -> None:
        """Takes over the tasks of a process on the same database that has stopped saying that it lives, and ends those
        that were interrupted too often."""
        store = self._parts.store
        while True:
            try:
                for dead in await asyncio.to_thread(store.beat, self._executor_id, lease_s=LEASE_S):
                    await self._take_over(dead)
                for task_id, attempt in await asyncio.to_thread(store.unfinished, "running"):
                    await self._end(task_id, attempt, DEAD)
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
            with telemetry.task_run(task_id, attempt):
                publication, done_at = await Delivery(self._parts, step, self._beside).deliver(task_id, attempt)
            await self._begin(
                f"notify.{task_id}.{attempt}.1", self._notify, task_id, f"{task_id}.{attempt}", 1, done_at
            )
            await self._begin(f"pictures.{task_id}.{attempt}", self._take_pictures, task_id)
            if not publication.live:
                await self._enqueue_watch(task_id, attempt, 1)
        except dbos_error.DBOSException:
            raise  # from enqueueing: cancelled, or taken over by another process
        except AgentError as error:
            await self._fail(task_id, str(error))
        except Exception as error:  # noqa: BLE001 - the boundary of a task: whatever happened, it ends and says so
            await self._fail(task_id, f"internal error: {type(error).__name__}: {error}")

    async def _begin(self, workflow_id: str, workflow: Any, *arguments: object) -> None:
        """At once: a queue is looked at now and then only. Nobody waits for its end."""
        with SetWorkflowID(workflow_id):
            await DBOS.start_workflow_async(workflow, *arguments)

    async def _fail(self, task_id: str, sentence: str) -> None:
        update = partial(self._parts.store.update, task_id, state="failed", stage="failed", error=sentence)
        await step("fail", partial(asyncio.to_thread, update))
        emit("task.failed", error=sentence)

    # -- compile: a child of deliver --------------------------------------------------------------------------------

    async def _beside(self, task_id: str, attempt: int) -> Callable[[], Awaitable[Json]]:
        """Starts the child; what is returned waits for its result, and raises AgentError when it has none."""

        async def wait() -> Json:
            try:
                with interruptible():
                    return dict(await child.get_result(polling_interval_sec=POLL_S))
            except Interrupted as interrupted:
                if isinstance(interrupted.control, CHILD_GIVEN_UP):
                    raise AgentError("the engine gave it up") from None
                raise

        with interruptible(), SetWorkflowID(f"compile.{task_id}.{attempt}"):
            child = await DBOS.start_workflow_async(self._compile, task_id, attempt)
        return wait

    async def _run_compile(self, task_id: str, attempt: int) -> Json:
        structlog.contextvars.bind_contextvars(task_id=task_id)
        try:
            with telemetry.trace_of(task_id):
                return await Delivery(self._parts, step, self._beside).compile(task_id, attempt)
        except Exception as error:  # noqa: BLE001 - the boundary of a child: its task goes on without it
            return Compiled(why=f"not compiled: {type(error).__name__}: {error}").model_dump(mode="json")

    # -- pictures ----------------------------------------------------------------------------------------------------

    async def _run_pictures(self, task_id: str) -> None:
        """After the call back has left: they may take seconds, and nothing depends on them."""
        structlog.contextvars.bind_contextvars(task_id=task_id)
        await step("pictures", partial(self._parts.workshop.take_pictures, task_id))

    # -- watch: after a call back that could not say `live` -----------------------------------------------------------

    async def _enqueue_watch(self, task_id: str, attempt: int, look: int) -> None:
        wait_s = min(WATCH_S * 2 ** (look - 1), LONGEST_WATCH_S)
        with SetWorkflowID(f"watch.{task_id}.{attempt}.{look}"), SetEnqueueOptions(delay_seconds=wait_s):
            await DBOS.enqueue_workflow_async(NOTIFICATIONS, self._watch_site, task_id, attempt, look)

    async def _run_watch(self, task_id: str, attempt: int, look: int) -> None:
        structlog.contextvars.bind_contextvars(task_id=task_id)
        live = await step("look", partial(self._look, task_id, look))
        if not live and look < WATCH_LOOKS:
            await self._enqueue_watch(task_id, attempt, look + 1)

    async def _look(self, task_id: str, look: int) -> bool:
        """Whether the site is live by now. A build is asked for, once; nothing is pushed any more."""
        store = self._parts.store
        view = await asyncio.to_thread(store.view, task_id)
        seen = view.publication
        if seen is None or seen.live:
            return True
        files = await asyncio.to_thread(self._parts.repositories.files, view.task.repo, seen.commit_sha)
        target = Target(
            repo=view.task.repo,
            repo_url=seen.repo_url,
            pages_url=seen.pages_url,
            published=True,
            by_workflow=publish_pages(files),
        )
        live: bool = await self._parts.publisher.is_live(target, seen.commit_sha)
        if live:
            await asyncio.to_thread(store.update, task_id, publication=seen.model_copy(update={"live": True}))
            emit("task.live", commit_sha=seen.commit_sha)
        elif look == 1 and not target.by_workflow and self._parts.publisher.builds:
            with suppress(PublishError):  # it was a help, not a promise
                await self._parts.publisher.builds.rebuild(target)
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


class Interrupted(BaseException):
    """The engine's own control flow, as no `except Exception` between a step and its workflow may hold it up."""

    def __init__(self, control: dbos_error.DBOSException) -> None:
        super().__init__(control)
        self.control = control


@contextmanager
def controlled() -> Iterator[None]:
    """Around a workflow: the engine gets its own errors back."""
    try:
        yield
    except Interrupted as interrupted:
        raise interrupted.control from None


@contextmanager
def interruptible() -> Iterator[None]:
    """Around a call of the engine: what it says of its own passes every `except Exception` on the way out."""
    try:
        yield
    except dbos_error.DBOSException as control:
        raise Interrupted(control) from control


async def step(name: str, act: Callable[[], Awaitable[Any]]) -> Any:
    """The JSON result of `act`, run at most once to its end. Own errors come back as themselves, on a replay too."""

    async def guarded() -> Json:
        try:
            return {"value": await act()}
        except AgentError as error:
            return {"error": type(error).__name__, "args": list(error.args)}

    with interruptible():
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
