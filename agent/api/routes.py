"""The doors for evaluators and programs: tasks in, their progress out. Every error is JSON and one sentence."""

import json
from collections.abc import AsyncIterator
from typing import Protocol

import anyio
from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.concurrency import run_in_threadpool
from starlette.types import ASGIApp

from agent.api.access import Operator
from agent.api.body import read_body
from agent.api.metrics import CONTENT_TYPE, exposition
from agent.errors import BadRequest
from agent.records import FINAL_STATES, Check, Finding, Json, Usage
from agent.settings import Settings
from agent.store import Event, Store, TaskView

POLL_S = 0.25  # how old a streamed event may be
PING_S = 15  # proxies close a silent connection after 30 to 60 s
NOT_REVIEWED = "not reviewed yet"


class Accepted(Protocol):
    """The answer to a task that was taken."""

    @property
    def status(self) -> str: ...  # accepted or duplicate

    @property
    def id(self) -> str: ...


class Service(Protocol):
    """What the doors need of the service behind them."""

    @property
    def settings(self) -> Settings: ...

    @property
    def store(self) -> Store: ...

    @property
    def sites(self) -> ASGIApp: ...

    @property
    def browser(self) -> str:
        """How far pages are locked in when they are run, or why they are not."""
        ...

    async def accept(self, body: bytes) -> Accepted:
        """The task is stored and queued. Raises BadRequest."""
        ...

    async def not_ready(self) -> tuple[str, ...]:
        """Why tasks cannot be taken; empty: they can."""
        ...


class Api:
    """The routes of one service."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._store = service.store

    def routes(self, operator: Operator) -> APIRouter:
        router = APIRouter()
        router.add_api_route("/handle_task", self.handle_task, methods=["POST"])
        router.add_api_route("/tasks/{task_id}", self.task)
        router.add_api_route("/tasks/{task_id}/events", self.events)
        router.add_api_route("/tasks/{task_id}/screenshots/{name}", self.screenshot)
        router.add_api_route("/healthz", self.healthz, methods=["GET", "HEAD"])
        router.add_api_route("/readyz", self.readyz, methods=["GET", "HEAD"])
        router.add_api_route("/metrics", self.metrics, dependencies=[Depends(operator)])
        return router

    async def handle_task(self, request: Request) -> JSONResponse:
        body = await read_body(request, self._service.settings.max_body_bytes)
        accepted = await self._service.accept(body)
        return JSONResponse({"status": accepted.status, "id": accepted.id, "status_url": f"/tasks/{accepted.id}"})

    def task(self, task_id: str) -> JSONResponse:
        return JSONResponse(describe(find(self._store, task_id)))

    def screenshot(self, task_id: str, name: str) -> Response:
        """A picture of the published version; what a stored one shows never changes."""
        digest = find(self._store, task_id).details.get("screenshots", {}).get(name)
        if digest is None:
            raise BadRequest(404, "there is no screenshot of this name")
        return Response(self._store.get_blobs([digest])[digest], media_type="image/png")

    async def events(self, task_id: str, request: Request) -> Response:
        """Ends with the task. Nothing left to send is 204: the standard's word for "do not connect again"."""
        after = _sequence_number(request.headers.get("last-event-id", ""))
        ended, news = await run_in_threadpool(self._news, task_id, after)
        if ended and not news:
            return Response(status_code=204)
        closing = anyio.Event()
        return EventSourceResponse(
            self._follow(task_id, after, closing), ping=PING_S, shutdown_event=closing, shutdown_grace_period=4 * POLL_S
        )

    async def healthz(self) -> JSONResponse:
        return JSONResponse({"status": "ok"})

    async def readyz(self) -> JSONResponse:
        reasons = await self._service.not_ready()
        if reasons:
            return JSONResponse({"status": "not ready", "reasons": list(reasons)}, status_code=503)
        return JSONResponse({"status": "ready", "browser": self._service.browser})

    def metrics(self) -> Response:
        return Response(exposition(self._store), media_type=CONTENT_TYPE)

    async def _follow(self, task_id: str, after: int, closing: anyio.Event) -> AsyncIterator[ServerSentEvent]:
        ended = False
        while not ended and not closing.is_set():
            ended, news = await run_in_threadpool(self._news, task_id, after)
            for event in news:
                after = event.seq
                data = json.dumps({"at": event.at, **event.data})
                yield ServerSentEvent(data, event=event.name, id=str(event.seq))
            if not ended:
                await anyio.sleep(POLL_S)

    def _news(self, task_id: str, after: int) -> tuple[bool, list[Event]]:
        """The state is read before the events: what was written before the end is never missed."""
        ended = find(self._store, task_id).state in FINAL_STATES
        return ended, self._store.events_after(task_id, after)


def find(store: Store, task_id: str) -> TaskView:
    """Raises BadRequest 404."""
    try:
        return store.view(task_id)
    except KeyError:
        raise BadRequest(404, "there is no task with this id") from None


def describe(view: TaskView) -> Json:
    """All that may be told about a task to whoever knows its id: no e-mail, no nonce. Times are Unix seconds."""
    task, usage = view.task, view.usage
    return {
        "id": task.id,
        "task": task.task,
        "round": task.round,
        "state": view.state,
        "stage": view.stage,
        "received_at": task.received_at,
        "deadline_at": task.deadline_at,
        "checks": _checks(task.checks, view.findings),
        "skipped": [skipped.model_dump() for skipped in task.skipped],
        "fetched": [fetched.model_dump() for fetched in view.fetched],
        "publication": view.publication.model_dump() if view.publication else None,
        "notification": {
            "state": view.notification_state,
            "attempts": [attempt.model_dump() for attempt in view.attempts],
        },
        "usage": {
            "model_calls": usage.model_calls,
            "prompt_tokens": usage.prompt_tokens,
            "completion_tokens": usage.completion_tokens,
            "cached_tokens": usage.cached_tokens,
            "cost_usd": usage.cost_usd,
            "failed_calls": usage.failed_calls,
            "by_model": _parts(usage.by_model),
            "by_stage": _parts(usage.by_stage),
            "seconds": view.seconds,
        },
        "browser": view.details.get("browser", ""),
        "sandbox": view.details.get("sandbox", ""),
        "screenshots": [f"/tasks/{task.id}/screenshots/{name}" for name in view.details.get("screenshots", {})],
        "stopped_by": view.stopped_by,
        "error": view.error,
    }


def _parts(usage: dict[str, Usage]) -> Json:
    return {name: spent.model_dump(exclude={"by_model", "by_stage"}) for name, spent in usage.items()}


def _checks(checks: tuple[Check, ...], findings: tuple[Finding, ...]) -> list[Json]:
    """Every check of the task, reviewed or not, then the rules that every site must keep."""
    reviewed = {finding.id: finding for finding in findings if finding.origin != "rule"}
    lines = []
    for check in checks:
        finding = reviewed.get(check.id)
        verdict, evidence = (finding.verdict, finding.evidence) if finding else ("unknown", NOT_REVIEWED)
        lines.append({"id": check.id, "text": check.text, "verdict": verdict, "evidence": evidence})
    for rule in (finding for finding in findings if finding.origin == "rule"):
        lines.append({"id": f"rule:{rule.id}", **rule.model_dump(include={"text", "verdict", "evidence"})})
    return lines


def _sequence_number(header: str) -> int:
    """0, the start, when the header is no number of ours."""
    return int(header) if header.isascii() and header.isdecimal() and len(header) < 19 else 0
