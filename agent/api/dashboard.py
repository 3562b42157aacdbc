"""The dashboard: an overview for the operator, a page for whoever knows a task's id."""

import time

from fastapi import APIRouter, Depends
from fastapi.responses import HTMLResponse

from agent.api.access import NOT_THE_OPERATOR, SentByOperator, TheService, operator_only
from agent.api.openapi import OPERATOR, errors
from agent.api.pages import page
from agent.api.routes import UNKNOWN_TASK, find
from agent.api.schema import TaskStatus

NEWEST = 50
EVENTS = ("accepted", "stage", "tools", "review")  # those that change what the page of a task shows

router = APIRouter(tags=["dashboard"], default_response_class=HTMLResponse)


@router.get(
    "/",
    operation_id="show_dashboard",
    summary="The newest tasks",
    dependencies=[Depends(operator_only)],
    responses=errors(NOT_THE_OPERATOR),
    openapi_extra=OPERATOR,
)
def overview(service: TheService) -> HTMLResponse:
    tasks = [TaskStatus.of(view) for view in service.store.newest(NEWEST)]
    return page("overview.html.j2", now=time.time(), tasks=tasks)


@router.get(
    "/tasks/{task_id}/page",
    operation_id="show_task",
    summary="A task as a live page",
    responses=errors(UNKNOWN_TASK),
)
def task_page(task_id: str, service: TheService, by_operator: SentByOperator) -> HTMLResponse:
    """With ADMIN_TOKEN it also shows the brief and the attachments."""
    view = find(service.store, task_id)
    received = view.task if by_operator else None
    return page("task.html.j2", now=time.time(), task=TaskStatus.of(view), received=received, events=EVENTS)
