"""The description of the API is complete and true: every route, every error, and what is answered fits its schema."""

import asyncio
import time
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import jsonschema_rs
import pytest
from starlette.types import Message

from agent.api import dashboard, openapi, routes
from agent.api.app import http_app
from agent.api.openapi import TASK_EXAMPLE
from agent.api.schema import TaskStatus
from agent.intake.request import parse
from tests.routes import OPERATOR, TASK_ID, TOKEN, StandIn, add_finished, ask, refused, stand_in, task
from tests.test_dashboard import Outline

ROOT = Path(__file__).parent.parent
Json = dict[str, Any]


@pytest.fixture
def service(tmp_path: Path) -> StandIn:
    return stand_in(tmp_path)


@pytest.fixture
def api(service: StandIn) -> Json:
    return dict(ask(service, "/openapi.json").json())


def operations(api: Json) -> dict[tuple[str, str], Json]:
    return {(method.upper(), path): one for path, methods in api["paths"].items() for method, one in methods.items()}


def validate(api: Json, schema: Json, value: object) -> None:
    """Raises when the value does not fit."""
    jsonschema_rs.validator_for({**schema, "components": api["components"]}).validate(value)


def answered(api: Json, answer: httpx.Response, operation: Json) -> None:
    """The answer is one that the operation documents."""
    documented = operation["responses"].get(str(answer.status_code)) or operation["responses"]["default"]
    media_type = answer.headers.get("content-type", "").partition(";")[0]
    assert media_type in documented.get("content", {"": {}})
    if media_type == "application/json":
        validate(api, documented["content"][media_type]["schema"], answer.json())


def test_every_route_is_described_once_under_a_name_of_its_own(api: Json) -> None:
    described = operations(api)
    known = [route for router in (routes.router, dashboard.router, openapi.router) for route in router.routes]
    paths = {(method, route.path) for route in known for method in route.methods}  # type: ignore[attr-defined]
    assert described.keys() == {one for one in paths if one[0] != "HEAD"}
    names = [operation["operationId"] for operation in described.values()]
    assert len(names) == len(set(names))
    assert all(operation["summary"] and operation["tags"] for operation in described.values())
    assert api["openapi"].startswith("3.1")


def test_every_example_fits_its_schema(api: Json) -> None:
    bodies = [operation["requestBody"] for operation in operations(api).values() if "requestBody" in operation]
    answers = [answer for operation in operations(api).values() for answer in operation["responses"].values()]
    contents = [body for one in (*bodies, *answers) for body in one.get("content", {}).values() if "example" in body]
    assert len(contents) > 20
    for body in contents:
        validate(api, body["schema"], body["example"])


def test_the_example_of_a_task_is_a_task() -> None:
    body = {key: value for key, value in TASK_EXAMPLE.items() if key != "secret"}
    found, attachments = parse(body, task_id="1", received_at=time.time(), deadline_s=600, earlier=lambda *_: None)
    assert (found.skipped, len(found.checks), len(attachments)) == ((), 3, 1)


@pytest.mark.parametrize("missing", ["email", "task", "round", "nonce", "brief", "evaluation_url", "secret"])
def test_the_schema_of_a_task_demands_what_is_required(api: Json, missing: str) -> None:
    schema = api["paths"]["/handle_task"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    validate(api, schema, TASK_EXAMPLE | {"round": "2", "unknown": 1, "checks": None})
    with pytest.raises(jsonschema_rs.ValidationError):
        validate(api, schema, {key: value for key, value in TASK_EXAMPLE.items() if key != missing})


Act = Callable[[StandIn], httpx.Response]


def slow(service: StandIn) -> httpx.Response:
    """A body whose time has run out."""
    sent: list[Message] = []

    async def receive() -> Message:
        raise TimeoutError

    async def send(message: Message) -> None:
        sent.append(message)

    async def request() -> None:
        scope = {"type": "http", "method": "POST", "path": "/handle_task", "headers": [], "query_string": b""}
        await http_app(service)(scope, receive, send)

    asyncio.run(request())
    return httpx.Response(sent[0]["status"], headers=sent[0]["headers"], content=sent[1]["body"])


def refusing(status: int) -> Act:
    def act(service: StandIn) -> httpx.Response:
        service.refusal = refused(status, "a sentence")
        return ask(service, "/handle_task", method="POST", body=b"{}")

    return act


def not_ready(service: StandIn) -> httpx.Response:
    service.reasons = ("set LLM_MODEL",)
    return ask(service, "/readyz")


def get(path: str, **headers: str) -> Act:
    return lambda service: ask(service, path, headers=headers)


FOREIGN = {"Sec-Fetch-Site": "cross-site"}
CASES: dict[tuple[str, int], Act] = {
    ("send_task", 200): lambda service: ask(service, "/handle_task", method="POST", body=b"{}"),
    ("send_task", 403): refusing(403),
    ("send_task", 408): slow,
    ("send_task", 413): lambda service: ask(service, "/handle_task", method="POST", body=b"x" * 2_000),
    ("send_task", 422): refusing(422),
    ("send_task", 503): refusing(503),
    ("get_task", 200): get(f"/tasks/{TASK_ID}"),
    ("get_task", 404): get("/tasks/x"),
    ("get_screenshot", 200): get(f"/tasks/{TASK_ID}/screenshots/phone.png"),
    ("get_screenshot", 404): get(f"/tasks/{TASK_ID}/screenshots/x"),
    ("follow_task", 200): get(f"/tasks/{TASK_ID}/events"),
    ("follow_task", 204): get(f"/tasks/{TASK_ID}/events", **{"Last-Event-ID": "99"}),
    ("follow_task", 404): get("/tasks/x/events"),
    ("get_health", 200): get("/healthz"),
    ("get_readiness", 200): get("/readyz"),
    ("get_readiness", 503): not_ready,
    ("get_metrics", 200): get("/metrics", **OPERATOR),
    ("get_metrics", 401): get("/metrics"),
    ("get_metrics", 403): get("/metrics", **OPERATOR, **FOREIGN),
    ("show_dashboard", 200): get("/", **OPERATOR),
    ("show_dashboard", 401): get("/"),
    ("show_dashboard", 403): get("/", **OPERATOR, **FOREIGN),
    ("show_task", 200): get(f"/tasks/{TASK_ID}/page"),
    ("show_task", 404): get("/tasks/x/page"),
    ("get_openapi", 200): get("/openapi.json"),
    ("show_docs", 200): get("/docs"),
}


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[0]} {case[1]}")
def test_what_is_answered_fits_what_is_described(service: StandIn, api: Json, case: tuple[str, int]) -> None:
    add_finished(service.store, task())
    answer = CASES[case](service)
    (operation,) = (one for one in operations(api).values() if one["operationId"] == case[0])
    assert answer.status_code == case[1]
    answered(api, answer, operation)
    documented = operation["responses"][str(case[1])].get("headers", {})
    assert set(documented) <= {name.title() for name in answer.headers} | {"WWW-Authenticate"}


def test_every_described_answer_was_tried(api: Json) -> None:
    described = {
        (operation["operationId"], int(status))
        for operation in operations(api).values()
        for status in operation["responses"]
        if status != "default"
    }
    assert described == CASES.keys()


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/nowhere"), ("DELETE", "/handle_task"), ("POST", "/handle_task")]
)
def test_every_other_error_has_the_form_of_the_default(service: StandIn, api: Json, method: str, path: str) -> None:
    service.refusal = ValueError("a fault of ours")
    answer = ask(service, path, method=method, body=b"{}")
    assert answer.status_code in (404, 405, 500)
    answered(api, answer, {"responses": {"default": api["paths"]["/"]["get"]["responses"]["default"]}})


def test_a_client_reads_the_status_of_a_newer_service(service: StandIn) -> None:
    add_finished(service.store, task())
    status = ask(service, f"/tasks/{TASK_ID}").json()
    newer = status | {"outcome": "passed", "usage": status["usage"] | {"seats": 3}}
    assert TaskStatus.model_validate(newer).model_dump(mode="json") == status


@pytest.mark.parametrize("path", ["/openapi.json", "/docs"])
def test_the_description_holds_no_secret(service: StandIn, path: str) -> None:
    add_finished(service.store, task())
    text = ask(service, path).text
    assert not [secret for secret in ("canary-secret", TOKEN, "canary") if secret in text]


def test_the_page_loads_and_runs_nothing(service: StandIn, api: Json) -> None:
    answer = ask(service, "/docs")
    outline = Outline(answer.text)
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert answer.headers["content-security-policy"].startswith("default-src 'none'; ")
    assert not {"script", "link", "img", "iframe"} & {tag for tag, _ in outline.elements}
    assert outline.values("src") == []
    assert set(outline.values("id")) >= {operation["operationId"] for operation in operations(api).values()}
    assert {link for link in outline.values("href") if str(link).startswith("#")} <= {
        f"#{i}" for i in outline.values("id")
    }
    for path in api["paths"]:
        assert path in answer.text


def test_the_version_is_that_of_the_project(api: Json) -> None:
    assert api["info"]["version"] == tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
