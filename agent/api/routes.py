"""The routes for evaluators and programs: tasks in, their progress out. Every error is JSON and one sentence."""

import json
from collections.abc import AsyncIterator

import anyio
from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.concurrency import run_in_threadpool

from agent.api.access import NOT_THE_OPERATOR, TheService, operator_only
from agent.api.body import read_body
from agent.api.metrics import CONTENT_TYPE, exposition
from agent.api.openapi import OPERATOR, errors, task_body
from agent.api.schema import Health, NotReady, Ready, TaskAccepted, TaskStatus
from agent.errors import BadRequest
from agent.records import FINAL_STATES
from agent.store import Event, Store, TaskView

POLL_S = 0.25  # how old a streamed event may be
PING_S = 15  # proxies close a silent connection after 30 to 60 s
NO_TASK = "there is no task with this id"
NO_SCREENSHOT = "there is no screenshot of this name"
UNKNOWN_TASK = {404: ("No task has this id.", NO_TASK)}
REFUSALS = {
    403: ("The secret is missing, no string or wrong.", "the secret is missing or wrong"),
    408: ("The body arrives too slowly.", "the body did not arrive within 60 s"),
    413: ("The body is larger than MAX_BODY_BYTES.", "the body is over the limit of 25000000 bytes: send less"),
    422: ("The body is no JSON object, or a required field is missing or odd.", "brief is missing"),
    503: (
        "No model is configured, or QUEUE_LIMIT tasks are waiting: send it again after `Retry-After` seconds.",
        "1000 tasks are waiting already: send it again later",
    ),
}

router = APIRouter()


# -- tasks -------------------------------------------------------------------------------------------------------------


@router.post(
    "/handle_task",
    tags=["tasks"],
    operation_id="send_task",
    summary="Send a task",
    responses=errors(REFUSALS),
    openapi_extra=task_body(),
)
async def handle_task(request: Request, service: TheService) -> TaskAccepted:
    """The task is stored and queued before this answers; nothing is stored when it is refused."""
    body = await read_body(request, service.settings.max_body_bytes)
    accepted = await service.accept(body)
    return TaskAccepted(status=accepted.status, id=accepted.id, status_url=f"/tasks/{accepted.id}")


@router.get(
    "/tasks/{task_id}",
    tags=["tasks"],
    operation_id="get_task",
    summary="The status of a task",
    responses=errors(UNKNOWN_TASK),
)
def task(task_id: str, service: TheService) -> TaskStatus:
    return TaskStatus.of(find(service.store, task_id))


@router.get(
    "/tasks/{task_id}/screenshots/{name}",
    tags=["tasks"],
    operation_id="get_screenshot",
    summary="A picture of the published page",
    response_class=Response,
    responses={
        200: {"content": {"image/png": {}}},
        **errors({404: ("No such task, or no such picture of it.", NO_SCREENSHOT)}),
    },
)
def screenshot(task_id: str, name: str, service: TheService) -> Response:
    """What a stored picture shows never changes."""
    digest = find(service.store, task_id).details.get("screenshots", {}).get(name)
    if digest is None:
        raise BadRequest(404, NO_SCREENSHOT)
    return Response(service.store.get_blobs([digest])[digest], media_type="image/png")


@router.get(
    "/tasks/{task_id}/events",
    tags=["tasks"],
    operation_id="follow_task",
    summary="The progress of a task as server-sent events",
    response_class=Response,
    responses={
        200: {"content": {"text/event-stream": {}}},
        204: {"description": "The task has ended, and all its events were seen: do not connect again."},
        **errors(UNKNOWN_TASK),
    },
)
async def events(task_id: str, request: Request, service: TheService) -> Response:
    """Resumes after `Last-Event-ID`; ends with the task."""
    after = _sequence_number(request.headers.get("last-event-id", ""))
    ended, news = await run_in_threadpool(_news, service.store, task_id, after)
    if ended and not news:
        return Response(status_code=204)
    closing = anyio.Event()
    return EventSourceResponse(
        _follow(service.store, task_id, after, closing),
        ping=PING_S,
        shutdown_event=closing,
        shutdown_grace_period=4 * POLL_S,
    )


async def _follow(store: Store, task_id: str, after: int, closing: anyio.Event) -> AsyncIterator[ServerSentEvent]:
    ended = False
    while not ended and not closing.is_set():
        ended, news = await run_in_threadpool(_news, store, task_id, after)
        for event in news:
            after = event.seq
            data = json.dumps({"at": event.at, **event.data})
            yield ServerSentEvent(data, event=event.name, id=str(event.seq))
        if not ended:
            await anyio.sleep(POLL_S)


def _news(store: Store, task_id: str, after: int) -> tuple[bool, list[Event]]:
    """The state is read before the events: what was written before the end is never missed."""
    ended = find(store, task_id).state in FINAL_STATES
    return ended, store.events_after(task_id, after)


def _sequence_number(header: str) -> int:
    """0, the start, when the header is no number of ours."""
    return int(header) if header.isascii() and header.isdecimal() and len(header) < 19 else 0


def find(store: Store, task_id: str) -> TaskView:
    """Raises BadRequest 404."""
    try:
        return store.view(task_id)
    except KeyError:
        raise BadRequest(404, NO_TASK) from None


# -- health and figures ------------------------------------------------------------------------------------------------


@router.head("/healthz", include_in_schema=False)
@router.get("/healthz", tags=["operation"], operation_id="get_health", summary="Whether the process answers")
async def healthz() -> Health:
    return Health()


@router.head("/readyz", include_in_schema=False, response_model=None)
@router.get(
    "/readyz",
    tags=["operation"],
    operation_id="get_readiness",
    summary="Whether tasks are accepted",
    response_model=Ready,
    responses={503: {"model": NotReady, "description": "No task is accepted."}},
)
async def readyz(service: TheService) -> Ready | JSONResponse:
    reasons = await service.not_ready()
    if reasons:
        return JSONResponse(NotReady(reasons=reasons).model_dump(), status_code=503)
    return Ready(browser=service.browser)


@router.get(
    "/metrics",
    tags=["operation"],
    operation_id="get_metrics",
    summary="Figures for Prometheus",
    response_class=PlainTextResponse,
    dependencies=[Depends(operator_only)],
    responses=errors(NOT_THE_OPERATOR),
    openapi_extra=OPERATOR,
)
def metrics(service: TheService) -> Response:
    return Response(exposition(service.store), media_type=CONTENT_TYPE)
