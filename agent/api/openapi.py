"""The description of the API: `/openapi.json` for programs, `/docs` for people, from the same document."""

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import APIRouter, Request
from fastapi.openapi.utils import get_openapi
from fastapi.responses import HTMLResponse
from starlette.routing import BaseRoute

from agent.api.errors import ERROR_HEADERS
from agent.api.pages import page
from agent.api.schema import Problem
from agent.intake.request import TaskRequest
from agent.records import Json

VERSION = "0.1.0"
DESCRIPTION = (
    "POST a brief, get a live, verified site and a call back. The id that a POST answers opens everything about its "
    "task; the dashboard, the metrics and what a task asked for need ADMIN_TOKEN."
)
SECURITY_SCHEMES: Json = {
    "basic": {"type": "http", "scheme": "basic", "description": "Any user name, ADMIN_TOKEN as the password."},
    "bearer": {"type": "http", "scheme": "bearer", "description": "ADMIN_TOKEN."},
}
OPERATOR: Json = {"security": [{"basic": []}, {"bearer": []}]}
OTHER_ERRORS = "Every other error has the same form: 404 and 405 for what does not exist here, 500 for a fault of ours."

TASK_ID = "8d0c6a1f4b7e42d9a35cfe0192b7d846"
TASK_EXAMPLE: Json = {
    "email": "you@example.com",
    "secret": "the secret of the service",
    "task": "ferry-totals",
    "round": 1,
    "nonce": "4f1c-a",
    "brief": "Show the total number of passengers in ferries.csv in #total, and the routes in a table #routes.",
    "checks": [
        "README.md explains how to use the page",
        {"selector": "#total"},
        "js: document.querySelectorAll('#routes tbody tr').length === 2",
    ],
    "evaluation_url": "https://example.com/notify",
    "attachments": [
        {
            "name": "ferries.csv",
            "url": "data:text/csv;base64,cm91dGUscGFzc2VuZ2VycwpOb3J0aCw5MTIwClNvdXRoLDIyMTAK",
        }
    ],
}
TASK_FIELDS = {
    "email": "Whose task it is.",
    "secret": "The SECRET of the service.",
    "task": "The name of the task; rounds with the same e-mail and task name change the same site.",
    "round": "1 or greater, as an integer or its string.",
    "nonce": "Identifies the request: the same e-mail, task, round and nonce are the same task.",
    "brief": "What to build, in words.",
    "evaluation_url": "Where the call back goes: http or https, no user info. `evaluation.url` is read too.",
    "checks": "A list of sentences, `js:` expressions, `{js}` or `{selector}`; `skipped` lists what cannot be used.",
    "attachments": "A list of `{name, url}` with a data URI each; `skipped` lists what cannot be used.",
}
_ACCEPTED: Json = {"status": "accepted", "id": TASK_ID, "status_url": f"/tasks/{TASK_ID}"}
STATUS_EXAMPLE: Json = {
    "id": TASK_ID,
    "task": "ferry-totals",
    "round": 1,
    "state": "done",
    "stage": "done",
    "received_at": 1780000000.0,
    "deadline_at": 1780000600.0,
    "checks": [{"id": "2", "text": "#total", "verdict": "pass", "evidence": "<p id='total'> matches"}],
    "skipped": [{"what": "attachments[1]", "why": "its url is null"}],
    "fetched": [],
    "publication": {
        "repo_url": "http://localhost:8001/ferry-totals-3fa9c1.git",
        "commit_sha": "0c5b0a1f2f9c1d6f4f6a6e0d7c1b2a3948576e5d",
        "pages_url": "http://localhost:8001/ferry-totals-3fa9c1/",
        "live": True,
    },
    "notification": {"state": "delivered", "attempts": [{"at": 1780000042.0, "status": 200, "error": None}]},
    "usage": {
        "model_calls": 2,
        "prompt_tokens": 6200,
        "completion_tokens": 2100,
        "cached_tokens": 2048,
        "cost_usd": 0.0058,
        "failed_calls": 0,
        "by_model": {},
        "by_stage": {},
        "seconds": {"queued": 0.1, "build": 38.2, "publish": 1.4, "notify": 0.2},
    },
    "browser": "sandbox, network namespace",
    "sandbox": "own root, no network",
    "screenshots": [f"/tasks/{TASK_ID}/screenshots/desktop.png"],
    "stopped_by": "passed",
    "error": None,
}

EXAMPLES = {"send_task": _ACCEPTED, "get_task": STATUS_EXAMPLE}  # by operation: FastAPI would drop what is null in them


def errors(described: Mapping[int, tuple[str, str]]) -> dict[int | str, Json]:
    """`responses` of a route: for each status what it means, and a sentence that it may answer."""
    answers: dict[int | str, Json] = {
        status: _problem(meaning, sentence, status) for status, (meaning, sentence) in described.items()
    }
    return {**answers, "default": {"description": OTHER_ERRORS}}  # without it FastAPI adds a 422 of its own form


def task_body() -> Json:
    """The body of a POST, described by the model that reads it."""
    schema = TaskRequest.model_json_schema()
    for name, description in TASK_FIELDS.items():
        schema["properties"][name] |= {"description": description}
    schema["properties"]["secret"].pop("default")
    schema["required"].append("secret")
    content = {"application/json": {"schema": schema, "example": TASK_EXAMPLE}}
    return {"requestBody": {"required": True, "content": content}}


def _problem(description: str, sentence: str, status: int = 0) -> Json:
    headers = {name: {"schema": {"type": "string"}} for name in ERROR_HEADERS.get(status, {})}
    content = {"schema": {"$ref": "#/components/schemas/Problem"}, "example": {"error": sentence}}
    answer: Json = {"description": description, "content": {"application/json": content}}
    return answer | ({"headers": headers} if headers else {})


router = APIRouter(tags=["description"])


@router.get("/openapi.json", operation_id="get_openapi", summary="This description")
def openapi(request: Request) -> dict[str, Any]:
    return document(request.app.routes)


@router.get("/docs", operation_id="show_docs", summary="This description as a page", response_class=HTMLResponse)
def docs(request: Request) -> HTMLResponse:
    return page("docs.html.j2", api=document(request.app.routes))


def document(routes: Sequence[BaseRoute]) -> Json:
    """The OpenAPI document of these routes."""
    api = get_openapi(title="llm-devops-engine", version=VERSION, description=DESCRIPTION, routes=routes)
    components = api["components"]
    components["schemas"] = {"Problem": Problem.model_json_schema(), **components["schemas"]}
    components["securitySchemes"] = SECURITY_SCHEMES
    for operation in (operation for path in api["paths"].values() for operation in path.values()):
        if example := EXAMPLES.get(operation["operationId"]):
            operation["responses"]["200"]["content"]["application/json"]["example"] = example
        operation["responses"]["default"] = _problem(OTHER_ERRORS, "there is nothing at this address")
    return api
