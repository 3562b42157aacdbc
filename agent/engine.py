"""The durable engine: a task survives its process. The only module that knows DBOS.

Three workflows. `deliver` takes a task from the queue to a publication; `notify` is one attempt at the call back and
`watch` one look at a site that was not live by then, and each enqueues the next one. Everything that reads a clock, a
disk or a network is a step: its result is stored, and a process killed at any moment takes the task up again after the
last stored step. Steps keep hashes, not contents: blobs, answers and prompts lie in the store. No two steps of a
workflow run at once.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
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

from agent import errors, notify, telemetry
from agent.delivery import Delivery, Parts
from agent.errors import AgentError
from agent.events import emit
from agent.publish.publisher import Site
from agent.records import FINAL_STATES, Json
from agent.store import NotificationState, Store

PROTOCOL = "1"  # of the workflows: raise it when steps are added, removed or moved, so that old tasks are not misread
TASKS, NOTIFICATIONS = "tasks", "notifications"
POLL_S = 0.2
WATCH_S, LONGEST_WATCH_S, WATCH_LOOKS = 5.0, 300.0, 16  # looks at a site that was not live at the call back: 45 minutes
MAX_RECOVERIES = 10  # every restart counts, not only those a task caused
BEAT_S, LEASE_S = 5.0, 30.0  # a process that has not been heard of for so long is dead, and others take its tasks
GIVEN_UP = ("ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED")


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
            with controlled():
                await self._run_delivery(task_id, attempt)

        @DBOS.workflow(name="notify", max_recovery_attempts=MAX_RECOVERIES)
        async def notify_once(task_id: str, chain: str, attempt: int, began_at: float) -> None:
            with controlled():
                await self._run_notification(task_id, chain, attempt, began_at)

        @DBOS.workflow(name="watch", max_recovery_attempts=MAX_RECOVERIES)
        async def watch(task_id: str, attempt: int, look: int) -> None:
            with controlled():
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
            with telemetry.task_run(task_id, attempt):
                publication, done_at = await Delivery(self._parts, step).deliver(task_id, attempt)
            await self._enqueue_notification(task_id, f"{task_id}.{attempt}", 1, done_at)
            if not publication.live:
                await self._enqueue_watch(task_id, attempt, 1)
        except dbos_error.DBOSException:
            raise  # from enqueueing: cancelled, or taken over by another process
        except AgentError as error:
            await self._fail(task_id, str(error))
        except Exception as error:  # noqa: BLE001 - the boundary of a task: whatever happened, it ends and says so
            await self._fail(task_id, f"internal error: {type(error).__name__}: {error}")

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
        live: bool = await self._parts.publisher.is_live(site, seen.commit_sha)
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


async def step(name: str, act: Callable[[], Awaitable[Any]]) -> Any:
    """The JSON result of `act`, run at most once to its end. Own errors come back as themselves, on a replay too."""

    async def guarded() -> Json:
        try:
            return {"value": await act()}
        except AgentError as error:
            return {"error": type(error).__name__, "args": list(error.args)}

    try:
        outcome = await DBOS.run_step_async({"name": name}, guarded)
    except dbos_error.DBOSException as control:
        raise Interrupted(control) from control
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
