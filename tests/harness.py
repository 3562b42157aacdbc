"""The whole service behind its public door, and the evaluator that calls it: real HTTP on loopback, nothing patched.

`assembled` is the service without door and engine, `Journal` an engine that is killed where a test wants it.
`agent.service` is imported where it is started: it brings DBOS, and collecting tests does without.
"""

import base64
import json
import os
import secrets
import socket
import subprocess
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import uvicorn

from agent import errors, net
from agent.api.app import create_app
from agent.browser.chromium import Browser
from agent.errors import AgentError
from agent.intake.request import parse
from agent.publish.git import Repositories
from agent.records import Task
from agent.settings import Settings
from agent.store import Store
from agent.worker.parts import Parts
from agent.worker.run import TaskRun
from tests.doubles import Recorded

Json = dict[str, Any]

PATIENCE_S = (
    120  # until a wait is given up: long enough for a busy machine, since nobody waits for it where all is well
)
SECRET = "canary-secret-4711"
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title></head>
<body><main><h1>{title}</h1><p id="total">42</p></main></body></html>
"""
README = """# Harbour

## Summary
A page that shows how many ferries left the harbour. It is a small static site without any build step, made to be read.

## Setup
Clone the repository and open the page in a browser; nothing has to be installed, since the page needs no server at all.

## Usage
Open the page. The total stands below the heading, and it is the number of ferries that left the harbour last month, as
counted by the harbour office and written into the page when it was made. Reload the page to see the newest figures.

## How the code works
There is one file, index.html, with one heading and one paragraph. The paragraph carries the id total, so that a script
can find it; there is no script in the page. Styles come from the browser alone, and so the page is light and dark as
the reader's own settings ask for. Every word of it is static: the simplest thing that can work for a single number.

## License
MIT, see LICENSE.
"""
_numbers = count(1)
_ports = count(20_000 + os.getpid() % 100 * 100)  # test processes run side by side


def task(evaluation_url: str, **changes: Any) -> Json:
    """A request whose checks the static review decides; each one has a task name and a nonce of its own."""
    number = next(_numbers)
    return {
        "email": "ferry@example.com",
        "secret": SECRET,
        "task": f"harbour-{number}",
        "round": 1,
        "nonce": f"nonce-{number}",
        "brief": "Publish a page about ferries titled Harbour with the total in #total.",
        "checks": [{"js": "document.title === 'Harbour'"}, {"selector": "#total"}],
        "evaluation_url": evaluation_url,
        "attachments": [],
        **changes,
    }


def attachment(name: str, data: bytes, media_type: str = "text/csv") -> Json:
    return {"name": name, "url": f"data:{media_type};base64,{base64.b64encode(data).decode()}"}


def good_site(title: str = "Harbour") -> tuple[tuple[str, Json], ...]:
    """The tool calls of an answer that passes the review."""
    page = {"path": "index.html", "content": PAGE.format(title=title)}
    return ("write_file", page), ("write_file", {"path": "README.md", "content": README})


def replayed(folder: Path, *titles: str, silent_from: int | None = None) -> str:
    """The LLM_MODEL that answers with a site of these titles, one a turn; then with an error."""
    return playing(folder, *map(good_site, titles), silent_from=silent_from)


def playing(folder: Path, *turns: Sequence[tuple[str, Json]], silent_from: int | None = None) -> str:
    """The LLM_MODEL that makes these calls, turn by turn; from turn `silent_from` on it says nothing for an hour.

    A process reads them when it starts: written again, they count from its next start on.
    """
    silent = len(turns) if silent_from is None else silent_from
    replies = [
        {"calls": [{"name": n, "arguments": a} for n, a in calls], "latency_s": 0 if turn < silent else 3_600}
        for turn, calls in enumerate(turns)
    ]
    recording = {"conversations": [{"when": "Harbour", "replies": replies}]}
    (folder / "recording.json").write_text(json.dumps(recording))
    return f"replay/{folder / 'recording.json'}"


def free_port() -> int:
    """Nobody's port, from below those that the system gives away: what it gave another test would be taken later."""
    for port in _ports:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return port
    raise AssertionError("no port is free")


class Internet:
    """Serves what it was given, 404 for the rest; `asked` is what was asked of it."""

    def __init__(self, resources: Mapping[str, bytes]) -> None:
        self.asked: list[str] = []
        self._resources = resources

    def client(self, **_: Any) -> httpx.AsyncClient:
        return httpx.AsyncClient(transport=httpx.MockTransport(self._answer), trust_env=False)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(str(request.url))
        found = self._resources.get(str(request.url))
        return httpx.Response(404) if found is None else httpx.Response(200, stream=httpx.ByteStream(found))


class Gate:
    """Holds what passes it until it is opened, and tells when something arrived."""

    def __init__(self) -> None:
        self.arrived = threading.Event()
        self._open = threading.Event()

    def wait(self) -> None:
        self.arrived.set()
        assert self._open.wait(PATIENCE_S), "nobody opened this gate"

    @property
    def is_open(self) -> bool:
        return self._open.is_set()

    def open(self) -> None:
        self._open.set()

    def shut(self) -> None:
        """As it was before anything arrived."""
        self.arrived.clear()
        self._open.clear()

    def await_arrival(self) -> None:
        assert self.arrived.wait(PATIENCE_S), "nothing arrived at this point"


@dataclass
class Evaluator:
    """Takes call backs; answers the statuses it is told to, then 200."""

    url: str = ""
    statuses: list[int] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    arrived: threading.Condition = field(default_factory=threading.Condition)
    hold: "Gate | None" = None  # kept waiting before the answer

    def calls(self, nonce: str) -> list[Json]:
        return [call for call in map(json.loads, self.bodies) if call.get("nonce") == nonce]

    def wait_for(self, nonce: str, times: int = 1, timeout_s: float = PATIENCE_S) -> list[Json]:
        with self.arrived:
            assert self.arrived.wait_for(lambda: len(self.calls(nonce)) >= times, timeout_s), "no call back came"
        return self.calls(nonce)


@contextmanager
def evaluator() -> Iterator[Evaluator]:
    state = Evaluator()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status = state.statuses.pop(0) if state.statuses else 200
            with state.arrived:
                state.bodies.append(body)
                state.arrived.notify_all()
            if state.hold:
                state.hold.wait()
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_args: object) -> None:
            """A test's output is not a server's log."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{server.server_port}/notify"
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()


class Door(httpx.Client):
    """A client of the running service."""

    def send_task(self, body: Mapping[str, Any]) -> Json:
        answer = self.post("/handle_task", json=body)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def record(self, task_id: str) -> Json:
        return dict(self.get(f"/tasks/{task_id}").raise_for_status().json())

    def wait(self, task_id: str, reached: Callable[[Json], bool], timeout_s: float = PATIENCE_S) -> Json:
        """The record as soon as `reached` holds of it."""
        until = time.monotonic() + timeout_s
        while not reached(record := self.record(task_id)):
            assert time.monotonic() < until, f"not reached in {timeout_s} s: {json.dumps(record, indent=1)}"
            time.sleep(0.05)
        return record

    def finish(self, task_id: str) -> Json:
        return self.wait(task_id, lambda record: record["state"] in ("done", "failed", "cancelled"))


def settings(data_dir: Path, **changes: Any) -> Settings:
    """Everything embedded, on free ports, whatever the environment of the test run says."""
    port, sites_port = free_port(), free_port()
    values: Json = {
        "secret": SECRET,
        "data_dir": data_dir,
        "port": port,
        "sites_port": sites_port,
        "sites_url": f"http://localhost:{sites_port}",
        "allow_private_callbacks": True,
        "llm_model": "openai/test",
        "llm_api_key": "canary-model-key",
        "llm_base_url": "http://127.0.0.1:1/v1",
        "publisher": "local",
        "browser": "off",
        "database_url": None,
        "otel_exporter_otlp_endpoint": None,
        "otel_traces_exporter": None,
    }
    return Settings(**{**values, **changes})


@asynccontextmanager
async def assembled(configured: Settings, internet: "Internet | None" = None) -> AsyncIterator[Parts]:
    """Every part of the service; nothing is started, and pages are only read."""
    from agent import service

    store, repositories = Store(configured.database), Repositories(configured.data_dir / "repositories")
    open_web = internet.client if internet else partial(net.client, allow_private=True)
    async with net.client(allow_private=True) as http, open_web() as web:
        clients = service.Clients(http, http, web)
        yield service.assemble(configured, store, repositories, clients, Browser("off"), Recorded({}))
    store.close()


def accept(parts: Parts, body: Json, deadline_s: float = 600) -> Task:
    """Takes a task as the door does, and queues it nowhere."""
    now = time.time()
    task, attachments = parse(
        body,
        task_id=secrets.token_hex(16),
        received_at=now,
        deadline_s=deadline_s,
        earlier=parts.store.earlier_round,
    )
    parts.store.add_task(task, attachments)
    return task


class Killed(BaseException):
    """The process is gone."""


class Journal:
    """The steps of one run of a task, as an engine keeps them; `run` dies before the step where it is told to."""

    def __init__(self) -> None:
        self._kept: list[tuple[str, str]] = []

    async def run(self, parts: Parts, task: Task, *, until: str, times: int = 1) -> None:
        """From the beginning: what is kept is not done again. It ends before step `until` is begun the nth time."""
        passed, seen = count(), count(1)

        async def step(name: str, act: Callable[[], Awaitable[Any]]) -> Any:
            if name == until and next(seen) == times:
                raise Killed
            at = next(passed)
            if at == len(self._kept):
                try:
                    outcome = {"value": await act()}
                except AgentError as error:
                    outcome = errors.as_json(error)
                self._kept.append((name, json.dumps(outcome)))
            kept, outcome = self._kept[at][0], json.loads(self._kept[at][1])
            assert kept == name, "a replay takes other steps than the run before it"
            if "error" in outcome:
                raise errors.from_json(outcome)
            return outcome["value"]

        with suppress(Killed):
            await TaskRun(parts, step, task, 1).deliver()


def traces(folder: Path, *texts: str) -> list[str]:
    """Files below the folder that hold one of the texts, read by another process.

    SQLite's locks on a file are lost when the process that holds them opens and closes that file by itself.
    """
    wanted = [part for text in texts for part in ("-e", text)]
    found = subprocess.run(["grep", "-rlaF", *wanted, str(folder)], capture_output=True, text=True)
    assert found.returncode in (0, 1), found.stderr
    return found.stdout.splitlines()


def await_start(server: uvicorn.Server, thread: threading.Thread) -> None:
    until = time.monotonic() + PATIENCE_S
    while not server.started:
        assert thread.is_alive(), "the server did not start"
        assert time.monotonic() < until, "the server started for too long"
        time.sleep(0.01)


@contextmanager
def listening(app: Any, port: int) -> Iterator[None]:
    """Another server on loopback, in a thread of its own; it ends without the answers that it still owes."""
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    await_start(server, thread)
    try:
        yield
    finally:
        server.should_exit = server.force_exit = True
        thread.join(PATIENCE_S)


@contextmanager
def serving(configured: Settings, internet: "Internet | None" = None) -> Iterator[Door]:
    """The service, up and open. One a process at a time: the engine is global to it."""
    from agent.service import running

    start = partial(running, web=internet.client) if internet else running
    server = uvicorn.Server(
        uvicorn.Config(create_app(configured, start), host="127.0.0.1", port=configured.port, log_level="warning")
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        with Door(base_url=f"http://127.0.0.1:{configured.port}", trust_env=False, timeout=PATIENCE_S) as door:
            await_start(server, thread)
            yield door
    finally:
        server.should_exit = True
        thread.join(PATIENCE_S)
