"""The durable engine: a task survives its process. The only module that knows DBOS.

Four workflows. `deliver` takes a task from the queue to a publication; `notify` is one attempt at the notification and
`watch` one look at a site that was not live by then, and each of these two enqueues the next one; `screenshots` shows
people what was published. Everything that reads a clock, a disk or a network is a step: its result is stored, and the
workflow of a killed process goes on after its last stored step. Steps keep hashes, not contents: blobs, replies and
prompts are in the store. No two steps of a workflow run at once, nor two rounds of one repository.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection
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
from agent.errors import AgentError
from agent.events import emit
from agent.records import FINAL_STATES, Json
from agent.store import Store
from agent.worker import followup, notify
from agent.worker.parts import Parts
from agent.worker.run import TaskRun

PROTOCOL = "3"  # of the workflows: raise it when steps are added, removed or moved, so that old tasks are not misread
TASKS, NOTIFICATIONS = "tasks", "notifications"
POLL_S = 0.2
WATCH_S, LONGEST_WATCH_S, WATCH_LOOKS = 2.0, 300.0, 16  # looks at a site not live when it was notified of: 48 minutes
MAX_RECOVERIES = 10  # every restart counts, not only those a task caused
BEAT_S, LEASE_S = 5.0, 30.0  # a process that has not been heard of for so long is dead, and others take its tasks
DEAD = ("ERROR", "MAX_RECOVERY_ATTEMPTS_EXCEEDED")

Workflow = Callable[..., Awaitable[None]]


class Engine:
    """Runs tasks from `launch` to `close`; one a process."""

    def __init__(self, parts: Parts, *, database: str, executor_id: str, worker_tasks: int) -> None:
        self._parts = parts
        self._executor_id = executor_id
        self._worker_tasks = worker_tasks
        self._supervisor: asyncio.Task[None] | None = None
        self._workflows: dict[str, Any] = {}
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

    async def launch(self) -> None:
        """Recovers the unfinished workflows of an earlier process, then accepts new tasks."""
        DBOS.destroy(destroy_registry=True)
        DBOS(config=self._config)
        for name, run in (
            ("deliver", self._deliver),
            ("notify", self._notify),
            ("watch", self._watch),
            ("screenshots", self._screenshots),
        ):
            self._workflows[name] = workflow(name, run)
        DBOS.launch()  # on this loop, which it adopts for the workflows: their HTTP clients belong to it
        # A round that waits for the one before holds no place: one of each repository is let out of the queue. Which of
        # the repositories that wait comes next is left to chance.
        await self._register(TASKS, self._worker_tasks, of_one_key=1)
        await self._register(NOTIFICATIONS, 4 * self._worker_tasks)
        for task_id, attempt in await asyncio.to_thread(self._parts.store.unfinished):
            await self.submit(task_id, attempt)
            await self._fail_given_up(task_id, attempt, (*DEAD, "CANCELLED"))
        self._supervisor = asyncio.create_task(self._supervise())

    async def _register(self, queue: str, running: int, of_one_key: int | None = None) -> None:
        await DBOS.register_queue_async(
            queue,
            worker_concurrency=running,
            partition_concurrency=of_one_key,
            polling_interval_sec=POLL_S,
            on_conflict="always_update",
        )

    async def close(self, grace_s: int = 3) -> None:
        """Lets running tasks go on for `grace_s`; what is not done by then is recovered at the next launch."""
        if self._supervisor:
            self._supervisor.cancel()
        await asyncio.to_thread(DBOS.destroy, workflow_completion_timeout_sec=grace_s, destroy_registry=True)

    async def submit(self, task_id: str, attempt: int) -> None:
        """Idempotent: one run for each attempt of a task."""
        task = await asyncio.to_thread(self._parts.store.task, task_id)
        # The engine's own order is by the second.
        number = await asyncio.to_thread(self._parts.store.number, task)
        in_line = SetEnqueueOptions(queue_partition_key=task.repo, priority=number)
        with SetWorkflowID(f"{task_id}.{attempt}"), in_line:
            await DBOS.enqueue_workflow_async(TASKS, self._workflows["deliver"], task_id, attempt)

    async def resend(self, task_id: str) -> None:
        """Begins a new chain of delivery attempts of the stored notification."""
        await self._enqueue_notification(task_id, f"{task_id}.{uuid4().hex[:8]}", 1, self._parts.clock())

    # -- supervision -------------------------------------------------------------------------------------------------

    async def _supervise(self) -> None:
        """Recovers the tasks of dead processes on the same database; fails those that were interrupted too often."""
        store = self._parts.store
        while True:
            try:
                for dead in await asyncio.to_thread(store.beat, self._executor_id, lease_s=LEASE_S):
                    await self._recover(dead)
                for task_id, attempt in await asyncio.to_thread(store.unfinished, "running"):
                    await self._fail_given_up(task_id, attempt, DEAD)
            except Exception as error:  # noqa: BLE001 - a database that is away for a while must not end the supervision
                emit("engine.supervision_failed", error=f"{type(error).__name__}: {error}")
            await asyncio.sleep(BEAT_S)

    async def _recover(self, dead: str) -> None:
        try:
            recovered = await asyncio.to_thread(DBOS._recover_pending_workflows, [dead])
        except BaseException:
            await asyncio.to_thread(self._parts.store.tell_again, dead)
            raise
        emit("engine.recovered", worker=dead, workflows=len(recovered))

    async def _fail_given_up(self, task_id: str, attempt: int, statuses: Collection[str]) -> None:
        """A task whose workflow has ended without it would wait for ever."""
        ended = await DBOS.get_workflow_status_async(f"{task_id}.{attempt}")
        if ended and ended.status in statuses:
            error = f"the engine gave this task up ({ended.status}): send it again"
            await asyncio.to_thread(self._parts.store.update, task_id, state="failed", stage="failed", error=error)

    # -- the workflows -----------------------------------------------------------------------------------------------

    async def _deliver(self, task_id: str, attempt: int) -> None:
        """From the queue to a publication. Ends in the state done or failed, never in between."""
        try:
            with telemetry.task_run(task_id, attempt):
                task = await asyncio.to_thread(self._parts.store.task, task_id)
                publication, done_at = await TaskRun(self._parts, step, task, attempt).deliver()
            first = ("notify", f"{task_id}.{attempt}.1", task_id, f"{task_id}.{attempt}", 1, done_at)
            for name, suffix, *arguments in (first, ("screenshots", f"{task_id}.{attempt}", task_id)):
                with SetWorkflowID(f"{name}.{suffix}"):  # at once: a queue is looked at now and then only
                    await DBOS.start_workflow_async(self._workflows[name], *arguments)
            if not publication.live:
                await self._enqueue_look(task_id, attempt, 1)
        except dbos_error.DBOSException:
            raise  # from enqueueing: cancelled, or recovered by another process
        except AgentError as error:
            await self._fail(task_id, str(error))
        except Exception as error:  # noqa: BLE001 - the boundary of a task: whatever happened, it ends and says so
            await self._fail(task_id, f"internal error: {type(error).__name__}: {error}")

    async def _fail(self, task_id: str, sentence: str) -> None:
        update = partial(self._parts.store.update, task_id, state="failed", stage="failed", error=sentence)
        await step("fail", partial(asyncio.to_thread, update))
        emit("task.failed", error=sentence)

    async def _notify(self, task_id: str, chain: str, attempt: int, began_at: float) -> None:
        """One delivery attempt; the next one is a workflow of its own, so that waiting holds nothing."""
        deliver = partial(notify.attempt, self._parts, task_id, chain, attempt, began_at)
        wait_s = await step("deliver", deliver)
        if wait_s is not None:
            await self._enqueue_notification(task_id, chain, attempt + 1, began_at, wait_s)

    async def _enqueue_notification(
        self, task_id: str, chain: str, attempt: int, began_at: float, wait_s: float = 0
    ) -> None:
        with SetWorkflowID(f"notify.{chain}.{attempt}"), SetEnqueueOptions(delay_seconds=wait_s or None):
            send = self._workflows["notify"]
            await DBOS.enqueue_workflow_async(NOTIFICATIONS, send, task_id, chain, attempt, began_at)

    async def _watch(self, task_id: str, attempt: int, look: int) -> None:
        """After a notification that could not say `live`."""
        live = await step("look", partial(followup.is_live_by_now, self._parts, task_id, first=look == 1))
        if not live and look < WATCH_LOOKS:
            await self._enqueue_look(task_id, attempt, look + 1)

    async def _enqueue_look(self, task_id: str, attempt: int, look: int) -> None:
        wait_s = min(WATCH_S * 2 ** (look - 1), LONGEST_WATCH_S)
        with SetWorkflowID(f"watch.{task_id}.{attempt}.{look}"), SetEnqueueOptions(delay_seconds=wait_s):
            await DBOS.enqueue_workflow_async(NOTIFICATIONS, self._workflows["watch"], task_id, attempt, look)

    async def _screenshots(self, task_id: str) -> None:
        """After the notification has left: they may take seconds, and nothing depends on them."""
        await step("screenshots", partial(followup.take_screenshots, self._parts, task_id))


class Interrupted(BaseException):
    """The engine's own control flow, as no `except Exception` between a step and its workflow may hold it up."""

    def __init__(self, control: dbos_error.DBOSException) -> None:
        super().__init__(control)
        self.control = control


def workflow(name: str, run: Workflow) -> Any:
    """Registers `run` as a workflow: its events name the task, and the engine gets its own errors back."""

    @DBOS.workflow(name=name, max_recovery_attempts=MAX_RECOVERIES)
    async def registered(task_id: str, *arguments: Any) -> None:
        structlog.contextvars.bind_contextvars(task_id=task_id)
        try:
            await run(task_id, *arguments)
        except Interrupted as interrupted:
            raise interrupted.control from None

    return registered


async def step(name: str, act: Callable[[], Awaitable[Any]]) -> Any:
    """The JSON result of `act`, run at most once to its end. Own errors come back as themselves, on a replay too."""

    async def stored() -> Json:
        try:
            return {"value": await act()}
        except AgentError as error:
            return errors.as_json(error)

    try:
        outcome = await DBOS.run_step_async({"name": name}, stored)
    except dbos_error.DBOSException as control:
        raise Interrupted(control) from control
    if "error" in outcome:
        raise errors.from_json(outcome)
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
