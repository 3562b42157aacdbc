"""What the routes promise evaluators, operators and whoever knows the id of a task."""

import asyncio
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
from base64 import b64encode
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import Request
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr
from starlette.types import Message

from agent.api.app import App, create_app, dashboard_url, http_app
from agent.api.body import read_body
from agent.api.servers import listen, served
from agent.errors import BadRequest, ConfigError
from agent.events import configure
from agent.records import Usage
from agent.service import kept_admin_token
from agent.settings import Settings
from agent.store import Store
from tests.harness import PATIENCE_S
from tests.postgres import PostgresServer
from tests.routes import (
    EMAIL,
    NONCE,
    OPERATOR,
    PUBLICATION,
    SCREENSHOT,
    TASK_ID,
    TOKEN,
    StandIn,
    add_finished,
    ask,
    client,
    refused,
    stand_in,
    task,
)

ROOT = Path(__file__).parent.parent
LIMIT_BYTES = 1_000


@pytest.fixture
def service(tmp_path: Path) -> StandIn:
    return stand_in(tmp_path)


# -- taking tasks ------------------------------------------------------------------------------------------------------


def test_a_task_is_answered_with_the_address_of_its_progress(service: StandIn) -> None:
    answer = ask(service, "/handle_task", method="POST", body=b'{"task": "harbour"}')
    assert answer.status_code == 200
    assert answer.json() == {"status": "accepted", "id": TASK_ID, "status_url": f"/tasks/{TASK_ID}"}
    assert service.bodies == [b'{"task": "harbour"}']


@pytest.mark.parametrize(("status", "retry_after"), [(403, None), (422, None), (503, "30")], ids=str)
def test_a_refusal_is_a_real_status_and_one_sentence_of_json(
    service: StandIn, status: int, retry_after: str | None
) -> None:
    service.refusal = refused(status, "the secret is missing or wrong")
    answer = ask(service, "/handle_task", method="POST", body=b"{}")
    assert answer.status_code == status
    assert answer.json() == {"error": "the secret is missing or wrong"}
    assert answer.headers.get("retry-after") == retry_after


@pytest.mark.parametrize("size_bytes", [0, 1, LIMIT_BYTES])
def test_a_body_up_to_the_limit_arrives_whole(service: StandIn, size_bytes: int) -> None:
    assert ask(service, "/handle_task", method="POST", body=b"x" * size_bytes).status_code == 200
    assert service.bodies == [b"x" * size_bytes]


ANNOUNCED = b"POST /handle_task HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 99000000\r\n\r\n{"
CHUNKED = b"POST /handle_task HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize("request_head", [ANNOUNCED, CHUNKED], ids=["announced", "chunked"])
def test_a_body_over_the_limit_is_refused_without_reading_the_rest(service: StandIn, request_head: bytes) -> None:
    """The request never ends: only an answer that does not wait for its end can come."""
    chunk = b"258\r\n" + b"x" * 600 + b"\r\n"

    async def answer() -> bytes:
        async with open_port(service) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(request_head + (chunk * 2 if request_head == CHUNKED else b""))
            async with asyncio.timeout(5):
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write_eof()
                return head + await reader.read()  # to its end: the connection is closed

    head, _, body = asyncio.run(answer()).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 413 ")
    assert b"content-type: application/json" in head
    assert json.loads(body) == {"error": "the body is over the limit of 1000 bytes: send less"}
    assert service.bodies == []


def test_a_client_that_sends_a_long_body_reads_the_refusal(service: StandIn) -> None:
    async def post(body: Any) -> httpx.Response:
        async with open_port(service) as port, httpx.AsyncClient(trust_env=False) as http:
            return await http.post(f"http://127.0.0.1:{port}/handle_task", content=body)

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(64):
            yield b"x" * 65_536

    assert asyncio.run(post(b"x" * 4_000_000)).status_code == 413
    assert asyncio.run(post(chunks())).status_code == 413
    assert service.bodies == []


def test_a_body_that_does_not_arrive_is_given_up() -> None:
    async def receive() -> Message:
        await asyncio.Event().wait()
        raise AssertionError

    request = Request({"type": "http", "method": "POST", "headers": []}, receive)
    with pytest.raises(BadRequest, match=r"did not arrive within 0\.01 s") as refusal:
        asyncio.run(read_body(request, LIMIT_BYTES, timeout_s=0.01))
    assert refusal.value.status == 408


def test_a_body_that_breaks_off_is_not_taken() -> None:
    async def receive() -> Message:
        return {"type": "http.disconnect"}

    request = Request({"type": "http", "method": "POST", "headers": []}, receive)
    with pytest.raises(BadRequest, match="closed before the end"):
        asyncio.run(read_body(request, LIMIT_BYTES))


def test_a_fault_repeats_nothing_of_the_request_neither_to_the_sender_nor_in_the_log(
    service: StandIn, capfd: pytest.CaptureFixture[str]
) -> None:
    configure([], as_json=True)  # whatever another test has made of the log
    service.refusal = ValueError("input was 'canary-of-the-body'")
    answer = ask(service, "/handle_task", method="POST", body=b'{"brief": "canary-of-the-body"}')
    written = "".join(capfd.readouterr())
    assert answer.status_code == 500
    assert set(answer.json()) == {"error"}
    assert "canary" not in answer.text + written
    assert "ValueError" in written
    assert "routes.py:" in written


@pytest.mark.parametrize(
    ("method", "path", "status", "sentence"),
    [
        ("GET", "/canary-path", 404, "there is nothing at this address"),
        ("POST", "/", 405, "this address answers GET only"),
        ("GET", "/handle_task", 405, "this address answers POST only"),
        ("GET", "/tasks/canary-id", 404, "there is no task with this id"),
        ("GET", "/tasks/canary-id/events", 404, "there is no task with this id"),
        ("GET", "/tasks/canary-id/page", 404, "there is no task with this id"),
        ("GET", "/tasks", 404, "there is nothing at this address"),
    ],
)
def test_what_is_not_there_is_said_in_json(
    service: StandIn, method: str, path: str, status: int, sentence: str
) -> None:
    answer = ask(service, path, method=method)
    assert (answer.status_code, answer.json()) == (status, {"error": sentence})


# -- the record of a task ----------------------------------------------------------------------------------------------


def test_the_record_lists_every_check_before_the_first_review(service: StandIn) -> None:
    service.store.add_task(task(), [])
    record = ask(service, f"/tasks/{TASK_ID}").json()
    unknown = {"verdict": "unknown", "evidence": "not reviewed yet"}
    assert record["checks"] == [{"id": "1", "text": "#total", **unknown}, {"id": "2", "text": "It is plain", **unknown}]
    assert (record["state"], record["stage"], record["publication"]) == ("queued", "queued", None)
    assert record["notification"] == {"state": "pending", "attempts": []}


def test_the_record_of_a_finished_task_has_the_fields_of_the_contract_in_their_order(service: StandIn) -> None:
    add_finished(service.store, task())
    answer = ask(service, f"/tasks/{TASK_ID}")
    expected = {
        "id": TASK_ID,
        "task": "harbour",
        "round": 1,
        "state": "done",
        "stage": "done",
        "received_at": 40.0,
        "deadline_at": 640.0,
        "checks": [
            {"id": "1", "text": "#total", "verdict": "fail", "evidence": "no element matches"},
            {"id": "2", "text": "It is plain", "verdict": "unknown", "evidence": "not reviewed yet"},
            {"id": "rule:license", "text": "LICENSE is MIT", "verdict": "pass", "evidence": "as written"},
        ],
        "skipped": [{"what": "attachments[1]", "why": "its url is null"}],
        "fetched": [],
        "publication": PUBLICATION.model_dump(),
        "notification": {"state": "pending", "attempts": [{"at": 60.0, "status": 502, "error": "HTTP 502"}]},
        "usage": {
            "model_calls": 2,
            "prompt_tokens": 1_200,
            "completion_tokens": 34,
            "cached_tokens": 1_000,
            "cost_usd": 0.0125,
            "failed_calls": 0,
            "by_model": {},
            "by_stage": {},
            "seconds": {"queued": 0.0, "build": 0.0},
        },
        "browser": "sandbox, network namespace",
        "sandbox": "own root, no network",
        "screenshots": [f"/tasks/{TASK_ID}/screenshots/phone.png"],
        "stopped_by": "passed",
        "error": None,
    }
    assert answer.json() == expected
    assert list(answer.json()) == list(expected)


@pytest.mark.parametrize("path", ["", "/events", "/page"])
def test_the_id_of_a_task_opens_its_pages_from_anywhere_but_tells_no_person(service: StandIn, path: str) -> None:
    add_finished(service.store, task())
    answer = ask(service, f"/tasks/{TASK_ID}{path}", peer="203.0.113.7", headers={"Host": "agent.example"})
    assert answer.status_code == 200
    for private in (EMAIL, NONCE, "canary-secret", "canary.example", "canary-brief"):
        assert private not in answer.text


# -- events ------------------------------------------------------------------------------------------------------------


def sent(text: str) -> list[tuple[int, str, Any]]:
    """(id, event, data) of each event of a stream."""
    events = []
    for block in text.replace("\r\n", "\n").split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.split("\n") if line and not line.startswith(":"))
        if fields:
            events.append((int(fields["id"]), fields["event"], json.loads(fields["data"])))
    return events


@pytest.mark.parametrize(
    ("last_event_id", "names"),
    [
        (None, ["accepted", "stage", "stage"]),
        ("1", ["stage", "stage"]),
        ("2", ["stage"]),
        ("", ["accepted", "stage", "stage"]),
        ("garbage", ["accepted", "stage", "stage"]),
        ("-1", ["accepted", "stage", "stage"]),
        ("9" * 40, ["accepted", "stage", "stage"]),
    ],
)
def test_events_go_on_after_the_last_one_that_was_seen(
    service: StandIn, last_event_id: str | None, names: list[str]
) -> None:
    add_finished(service.store, task())
    headers = {} if last_event_id is None else {"Last-Event-ID": last_event_id}
    answer = ask(service, f"/tasks/{TASK_ID}/events", headers=headers)
    assert answer.headers["content-type"].startswith("text/event-stream")
    events = sent(answer.text)
    assert [name for _, name, _ in events] == names
    assert events[-1] == (3, "stage", {"at": 100.0, "stage": "done"})


def test_a_reader_who_has_seen_the_end_is_told_not_to_connect_again(service: StandIn) -> None:
    add_finished(service.store, task())
    answer = ask(service, f"/tasks/{TASK_ID}/events", headers={"Last-Event-ID": "3"})
    assert (answer.status_code, answer.content) == (204, b"")


def test_events_arrive_while_the_task_runs_and_the_stream_ends_with_it(service: StandIn) -> None:
    service.store.add_task(task(), [])
    at_each_event = {"accepted": {"stage": "build"}, "stage": {"state": "done", "stage": "done"}}

    async def follow() -> list[str]:
        names = []
        async with (
            open_port(service) as port,
            httpx.AsyncClient(trust_env=False, timeout=PATIENCE_S) as http,
            http.stream("GET", f"http://127.0.0.1:{port}/tasks/{TASK_ID}/events") as answer,
        ):
            async for line in answer.aiter_lines():
                if line.startswith("event: "):
                    names.append(line.removeprefix("event: "))
                    service.store.update(TASK_ID, **at_each_event[names[-1]])
        return names

    assert asyncio.run(follow()) == ["accepted", "stage", "stage"]


# -- health and figures ------------------------------------------------------------------------------------------------


def test_a_screenshot_needs_the_id_of_its_task_alone_and_has_a_name(service: StandIn) -> None:
    add_finished(service.store, task())
    answer = ask(service, f"/tasks/{TASK_ID}/screenshots/phone.png")
    assert (answer.status_code, answer.content) == (200, SCREENSHOT)
    assert answer.headers["content-type"] == "image/png"
    assert ask(service, f"/tasks/{TASK_ID}/screenshots/tablet.png").status_code == 404
    assert ask(service, f"/tasks/{'0' * 32}/screenshots/phone.png").status_code == 404


def test_health_says_alive_and_ready_apart(service: StandIn) -> None:
    assert ask(service, "/healthz").json() == {"status": "ok"}
    assert ask(service, "/readyz").json() == {"status": "ready", "browser": "off"}
    service.reasons = ("set LLM_MODEL and its key",)
    assert ask(service, "/healthz").status_code == 200
    answer = ask(service, "/readyz")
    assert answer.status_code == 503
    assert answer.json() == {"status": "not ready", "reasons": ["set LLM_MODEL and its key"]}


def test_metrics_are_counted_over_all_tasks(service: StandIn) -> None:
    for number in ("a", "b"):
        add_finished(service.store, task(number * 32))
    service.store.add_task(task("c" * 32), [])
    service.store.update("c" * 32, usage=Usage(model_calls=1, prompt_tokens=5, cost_usd=None))
    answer = ask(service, "/metrics", headers=OPERATOR)
    figures = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert figures[("agent_tasks", "done")] == 2
    assert figures[("agent_tasks", "queued")] == 1
    assert figures[("agent_tasks", "failed")] == 0
    assert figures[("agent_notifications", "pending")] == 3
    assert figures[("agent_model_calls_total",)] == 5
    assert figures[("agent_tokens_total", "prompt")] == 2_405
    assert figures[("agent_tokens_total", "completion")] == 68
    assert figures[("agent_cost_usd_total",)] == pytest.approx(0.025)
    assert figures[("agent_unpriced_tasks",)] == 1


# -- access ------------------------------------------------------------------------------------------------------------

LOCAL = "127.0.0.1"
REMOTE = "203.0.113.7"
BASIC = OPERATOR["Authorization"].encode()
BEARER = f"Bearer {TOKEN}".encode()


@pytest.mark.parametrize("path", ["/", "/metrics"])
@pytest.mark.parametrize(
    ("peer", "headers", "status"),
    [
        (LOCAL, {b"Authorization": BASIC}, 200),
        (REMOTE, {b"Authorization": BASIC}, 200),
        (REMOTE, {b"Authorization": BEARER}, 200),
        (REMOTE, {b"Authorization": BEARER.replace(b"Bearer", b"bearer"), b"Host": b"agent.example"}, 200),
        (LOCAL, {b"Authorization": BEARER, b"X-Forwarded-For": b"198.51.100.1"}, 200),
        (LOCAL, {b"Authorization": BASIC, b"Sec-Fetch-Site": b"none"}, 200),
        (LOCAL, {b"Authorization": BASIC, b"Sec-Fetch-Site": b"same-origin"}, 200),
        (LOCAL, {b"Authorization": BASIC, b"Sec-Fetch-Site": b"same-site"}, 403),
        (REMOTE, {b"Authorization": BEARER, b"Sec-Fetch-Site": b"cross-site"}, 403),
        (LOCAL, {}, 401),
        (LOCAL, {b"Host": b"localhost:8000"}, 401),
        (REMOTE, {}, 401),
        (REMOTE, {b"Authorization": b"Bearer wrong"}, 401),
        (REMOTE, {b"Authorization": b"Bearer "}, 401),
        (REMOTE, {b"Authorization": b"Basic " + b64encode(f"{TOKEN}:".encode())}, 401),
        (REMOTE, {b"Authorization": b"Basic not base64"}, 401),
        (REMOTE, {b"Authorization": b"Digest " + TOKEN.encode()}, 401),
        (REMOTE, {b"Cookie": BEARER}, 401),
    ],
)
def test_the_token_alone_opens_what_shows_more_than_one_task(
    service: StandIn, path: str, peer: str, headers: dict[bytes, bytes], status: int
) -> None:
    async def request() -> httpx.Response:
        async with client(service, peer=peer) as http:
            return await http.get(path, headers=list(headers.items()))

    answer = asyncio.run(request())
    assert answer.status_code == status
    assert answer.headers.get("www-authenticate", "").startswith("Basic ") == (status == 401)
    assert "set-cookie" not in answer.headers


def test_a_token_that_is_not_set_is_made_once_and_kept_for_its_owner_alone(tmp_path: Path) -> None:
    service = stand_in(tmp_path)
    token = kept_admin_token(service.settings, service.store).get_secret_value()
    assert len(token) > 40
    assert kept_admin_token(service.settings, service.store).get_secret_value() == token
    assert stat.S_IMODE((tmp_path / "admin_token").stat().st_mode) == 0o600
    own = service.settings.model_copy(update={"admin_token": SecretStr("own-token")})
    assert kept_admin_token(own, service.store).get_secret_value() == "own-token"


def test_processes_on_one_postgres_share_a_token(tmp_path: Path, postgres_server: PostgresServer) -> None:
    url = postgres_server.new_database()
    tokens = set()
    for name in ("one", "two"):
        settings = Settings(secret=SecretStr("canary-secret"), data_dir=tmp_path / name, database_url=SecretStr(url))
        with closing(Store(settings.database)) as store:
            tokens.add(kept_admin_token(settings, store).get_secret_value())
    assert len(tokens) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("host", "shown"), [("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "127.0.0.1")])  # noqa: S104
def test_the_address_of_the_dashboard_opens_it_but_names_no_token_that_was_set(
    tmp_path: Path, host: str, shown: str
) -> None:
    with closing(listen(LOCAL, 0, "PORT")) as sock:
        port, token = sock.getsockname()[1], SecretStr("a-token")
        settings = stand_in(tmp_path, host=host).settings
        assert dashboard_url(settings, token, sock) == f"http://admin:a-token@{shown}:{port}/"
        chosen = settings.model_copy(update={"admin_token": token})
        assert dashboard_url(chosen, token, sock) == f"http://{shown}:{port}/ (the password is ADMIN_TOKEN)"


# -- one port, two names -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sites_url", "host", "for_sites"),
    [
        ("http://localhost:8001", "localhost:8001", True),
        ("http://localhost:8001", "LocalHost:8001", True),
        ("http://localhost:8001", "localhost:8000", False),
        ("http://localhost:8001", "127.0.0.1:8001", False),
        ("http://localhost:8001", "localhost", False),
        ("http://localhost:8000", "localhost:8000", True),
        ("https://sites.example", "sites.example", True),
        ("https://sites.example", "sites.example:443", True),
        ("https://sites.example", "sites.example:10000", True),
        ("https://sites.example:443", "sites.example", True),
        ("https://sites.example", "api.example", False),
        ("https://sites.example", "sites.example.api.example", False),
        ("https://sites.example", "", False),
        ("http://[::1]:8001", "[::1]:8001", True),
    ],
)
def test_a_request_for_the_host_of_the_sites_never_reaches_the_api(
    tmp_path: Path, sites_url: str, host: str, for_sites: bool
) -> None:
    service = stand_in(tmp_path, sites_url=sites_url)
    answer = ask(service, "/handle_task", method="POST", headers={"Host": host}, body=b"{}")
    assert (answer.text == "a site") == for_sites
    assert len(service.bodies) == (not for_sites)


# -- the life of the app -----------------------------------------------------------------------------------------------


@asynccontextmanager
async def open_port(service: StandIn) -> AsyncIterator[int]:
    """The API on a real port."""
    with closing(listen(LOCAL, 0, "PORT")) as sock:
        async with served(http_app(service), sock):
            yield sock.getsockname()[1]


def free_port() -> int:
    with socket.create_server((LOCAL, 0)) as sock:
        return int(sock.getsockname()[1])


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server((LOCAL, 0)) as sock:
        yield sock.getsockname()[1]


@asynccontextmanager
async def never(_: Settings) -> AsyncIterator[StandIn]:
    raise AssertionError("the service must not start")
    yield


def first_words(app: App) -> list[Message]:
    """What the app answers to the start of its lifespan."""
    answers: list[Message] = []

    async def receive() -> Message:
        return {"type": "lifespan.startup"}

    async def send(message: Message) -> None:
        answers.append(message)

    asyncio.run(app({"type": "lifespan"}, receive, send))
    return answers


def test_a_missing_secret_is_one_sentence_at_the_start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("SECRET", raising=False)
    monkeypatch.chdir(tmp_path)
    (failed,) = first_words(create_app(start=never))
    assert failed["type"] == "lifespan.startup.failed"
    assert failed["message"].startswith("SECRET is not set")
    assert "\n" not in failed["message"]


def test_a_taken_sites_port_is_one_sentence_before_the_service_starts(tmp_path: Path, taken_port: int) -> None:
    settings = stand_in(tmp_path, sites_port=taken_port).settings
    (failed,) = first_words(create_app(settings, never))
    assert failed["type"] == "lifespan.startup.failed"
    assert failed["message"] == (
        f"SITES_PORT: port {taken_port} on 127.0.0.1 cannot be opened, address already in use; set another one"
    )


def test_an_unknown_host_is_a_sentence_too() -> None:
    with pytest.raises(ConfigError, match=r"PORT: port 0 on no\.such\.invalid cannot be opened"):
        listen("no.such.invalid", 0, "PORT")


def test_the_sites_have_a_port_of_their_own_that_closes_with_the_app_and_takes_no_signals(tmp_path: Path) -> None:
    port, handler = free_port(), signal.getsignal(signal.SIGTERM)
    service = stand_in(tmp_path, sites_port=port)

    @asynccontextmanager
    async def start(_: Settings) -> AsyncIterator[StandIn]:
        yield service

    async def life() -> str:
        async with create_app(service.settings, start).open(), httpx.AsyncClient(trust_env=False) as http:
            text = (await http.get(f"http://127.0.0.1:{port}/")).text
            assert signal.getsignal(signal.SIGTERM) == handler
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(LOCAL, port)
        return text

    assert asyncio.run(life()) == "a site"


@contextmanager
def killed_after(process: subprocess.Popen[str], timeout_s: float) -> Iterator[None]:
    """What should have ended by itself fails its test instead of hanging it."""
    timer = threading.Timer(timeout_s, process.kill)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


SERVED = """
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import uvicorn

from agent.events import configure
from agent.api.app import create_app, serve
from tests.routes import stand_in

configure([], as_json=True)
service = stand_in(Path(sys.argv[1]), port=0, sites_port=int(sys.argv[2]))

@asynccontextmanager
async def start(settings):
    try:
        yield service
    finally:
        print("closed", flush=True)

"""
OWN = "serve(service.settings, start)"
UVICORN = "uvicorn.run(create_app(service.settings, start), port=0)"


@pytest.mark.parametrize(
    ("server", "listening", "number", "status"),
    [
        (OWN, "http.listening", signal.SIGTERM, 0),
        (OWN, "http.listening", signal.SIGINT, 0),
        (UVICORN, "running on", signal.SIGTERM, -signal.SIGTERM),
    ],
)
def test_a_signal_closes_the_service_before_the_process_ends(
    tmp_path: Path, server: str, listening: str, number: signal.Signals, status: int
) -> None:
    command = [sys.executable, "-c", SERVED + server, str(tmp_path), str(free_port())]
    pipe = subprocess.PIPE
    with (
        subprocess.Popen(command, cwd=ROOT, stdout=pipe, stderr=pipe, text=True) as process,
        killed_after(process, PATIENCE_S),
    ):
        assert process.stderr
        assert any(listening in line for line in process.stderr)
        process.send_signal(number)
        out, err = process.communicate()
    assert (out.splitlines()[-1], process.returncode) == ("closed", status)
    assert ("admin:" in out) == (server == OWN)
    assert "Traceback" not in err


def test_uvicorn_without_a_secret_ends_with_the_sentence_and_no_traceback(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "uvicorn", "main:app", "--app-dir", str(ROOT), "--port", "0"]
    environment = {name: value for name, value in os.environ.items() if name != "SECRET"}
    run = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert run.returncode != 0
    assert "SECRET is not set" in run.stderr
    assert "Traceback" not in run.stderr
