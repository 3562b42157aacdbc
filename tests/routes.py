"""The routes without an engine behind them: a stand-in for the service over a real store."""

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
from pydantic import SecretStr
from starlette.responses import PlainTextResponse

from agent.api.app import http_app
from agent.errors import BadRequest
from agent.records import Attempt, Check, Finding, Publication, Skipped, Task, Usage
from agent.service import Accepted, Service
from agent.settings import Settings
from agent.store import Store
from agent.workspace import sha256

TASK_ID = "5a" * 16
EMAIL = "ferry@canary.example"
NONCE = "canary-nonce"
TOKEN = "canary-täglich:7"
OPERATOR = {"Authorization": "Basic " + b64encode(f"anyone:{TOKEN}".encode()).decode()}
ATTEMPT = Attempt(at=60.0, status=502, error="HTTP 502")
FINDINGS = (
    Finding(id="1", origin="check", text="#total", verdict="fail", evidence="no element matches"),
    Finding(id="license", origin="rule", text="LICENSE is MIT", verdict="pass", evidence="as written"),
)
PUBLICATION = Publication(
    repo_url="http://localhost:8001/harbour-5a5a5a.git",
    commit_sha="c0" * 20,
    pages_url="http://localhost:8001/harbour-5a5a5a/",
    live=True,
)


class StandIn(Service):
    """Keeps the bodies it was given; raises `refusal` instead when there is one."""

    def __init__(self, settings: Settings, store: Store) -> None:
        self.settings = settings
        self.store = store
        self.sites = PlainTextResponse("a site")
        self.admin_token = settings.admin_token or SecretStr(TOKEN)
        self.reasons: tuple[str, ...] = ()
        self.refusal: Exception | None = None
        self.bodies: list[bytes] = []

    @property
    def browser(self) -> str:
        return "off"

    async def accept(self, body: bytes) -> Accepted:
        if self.refusal:
            raise self.refusal
        self.bodies.append(body)
        return Accepted(status="accepted", id=TASK_ID)

    async def not_ready(self) -> tuple[str, ...]:
        return self.reasons


def stand_in(folder: Path, **changes: Any) -> StandIn:
    values = {"sites_url": "http://sites.test:8001", "max_body_bytes": 1_000, "sites_port": 0, **changes}
    configured = Settings(secret=SecretStr("canary-secret"), data_dir=folder, **values)
    return StandIn(configured, Store(f"sqlite:///{folder}/agent.sqlite", clock=lambda: 100.0))


@asynccontextmanager
async def client(service: StandIn, *, peer: str = "127.0.0.1") -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(http_app(service), client=(peer, 4711))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as http:
        yield http


def ask(
    service: StandIn,
    path: str,
    *,
    method: str = "GET",
    peer: str = "127.0.0.1",
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
) -> httpx.Response:
    """One request from `peer`."""

    async def request() -> httpx.Response:
        async with client(service, peer=peer) as http:
            return await http.request(method, path, headers=headers, content=body)

    return asyncio.run(request())


def refused(status: int, sentence: str) -> BadRequest:
    return BadRequest(status, sentence)


def task(task_id: str = TASK_ID, **changes: Any) -> Task:
    values: dict[str, Any] = {
        "id": task_id,
        "email": EMAIL,
        "task": "harbour",
        "round": 1,
        "round_received": 1,
        "nonce": f"{NONCE}-{task_id}",
        "brief": "canary-brief",
        "checks": (
            Check(id="1", kind="selector", text="#total", round=1),
            Check(id="2", kind="prose", text="It is plain", round=1),
        ),
        "attachments": (),
        "skipped": (Skipped(what="attachments[1]", why="its url is null"),),
        "evaluation_url": "https://canary.example/notify",
        "repo": "harbour-5a5a5a",
        "previous_id": None,
        "received_at": 40.0,
        "deadline_at": 640.0,
    }
    return Task(**{**values, **changes})


SCREENSHOT = b"\x89PNG of a harbour"


def add_finished(store: Store, done: Task) -> None:
    """A task that was built, reviewed and published; its one call back failed."""
    store.add_task(done, [])
    store.update(done.id, state="running", stage="build")
    usage = Usage(model_calls=2, prompt_tokens=1_200, completion_tokens=34, cached_tokens=1_000, cost_usd=0.0125)
    store.put_blobs([SCREENSHOT])
    details = {
        "browser": "sandbox, network namespace",
        "sandbox": "own root, no network",
        "screenshots": {"phone.png": sha256(SCREENSHOT)},
    }
    store.update(done.id, findings=FINDINGS, usage=usage, details=details, stopped_by="passed")
    store.update(done.id, state="done", stage="done", publication=PUBLICATION, notification="{}")
    store.add_delivery(done.id, f"{done.id}.1", ATTEMPT, "pending")
