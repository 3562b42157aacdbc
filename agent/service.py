"""The composition root: settings in, a running service out."""

import asyncio
import json
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING, Any, Literal
from uuid import uuid4

import httpx
from filelock import FileLock, Timeout
from pydantic import SecretStr
from starlette.types import ASGIApp

from agent import events, net, telemetry
from agent.browser.chromium import Browser
from agent.browser.network import FETCH_S, Fetch, Fetcher
from agent.errors import BadRequest, ConfigError
from agent.intake import request as intake
from agent.llm.choice import NO_MODEL, all_models, open_model, open_review_model
from agent.loop import Limits
from agent.publish.git import Repositories
from agent.publish.github.api import GitHubApi
from agent.publish.github.publisher import GitHubPublisher
from agent.publish.local import LocalPublisher
from agent.publish.publisher import Publisher
from agent.publish.sites import sites_app
from agent.records import Record, Task
from agent.review.review import Reviewer
from agent.sandbox.sandbox import Sandbox
from agent.settings import Settings
from agent.store import Store
from agent.worker.parts import Parts
from agent.worker.prompt import check_prompts

if TYPE_CHECKING:
    from agent.worker.engine import Engine


class Accepted(Record):
    """The answer to a task that was taken."""

    status: Literal["accepted", "duplicate"]
    id: str


@dataclass(frozen=True)
class Clients:
    """Who may be reached, by what for."""

    evaluators: httpx.AsyncClient  # public addresses, and private ones where ALLOW_PRIVATE_CALLBACKS says so
    own: httpx.AsyncClient  # this service's own sites
    web: httpx.AsyncClient  # public addresses only: what briefs name and pages load


class Service:
    """Takes tasks and says how it is; the work itself is done by the engine."""

    def __init__(
        self,
        settings: Settings,
        parts: Parts,
        engine: "Engine",
        sites: ASGIApp,
        browser: Browser,
        admin_token: SecretStr,
    ) -> None:
        self.settings = settings
        self.admin_token = admin_token
        self.store = parts.store
        self.sites = sites
        self._parts = parts
        self._engine = engine
        self._browser = browser

    @property
    def browser(self) -> str:
        """How far pages are locked in when they are run, or why they are not."""
        return self._browser.status

    async def accept(self, body: bytes) -> Accepted:
        """Stores the task and queues it, once for each identity. Raises BadRequest; then nothing was stored."""
        request = _json_object(body)
        if not intake.authorized(request, self.settings.secret):
            raise BadRequest(403, "the secret is missing or wrong")
        task, attachments = await asyncio.to_thread(self._parse, request)
        if self._parts.model is None:
            raise BadRequest(503, NO_MODEL)
        if await asyncio.to_thread(self.store.count, "queued") >= self.settings.queue_limit:
            raise BadRequest(503, f"{self.settings.queue_limit} tasks are waiting already: send it again later")
        task_id, new = await asyncio.to_thread(self.store.add_task, task, attachments)
        if not new:
            await self._again(task_id)
            return Accepted(status="duplicate", id=task_id)
        await self._engine.submit(task_id, attempt=1)
        events.emit("task.accepted", task_id=task_id, round=task.round)
        return Accepted(status="accepted", id=task_id)

    async def not_ready(self) -> tuple[str, ...]:
        """Why tasks cannot be taken now; empty when they can."""
        model = None if self._parts.model else NO_MODEL
        database = await asyncio.to_thread(self.store.trouble)
        publisher = await self._parts.publisher.ready()
        return tuple(reason for reason in (model, database, publisher) if reason)

    def _parse(self, request: Mapping[str, Any]) -> tuple[Task, tuple[bytes, ...]]:
        return intake.parse(
            request,
            task_id=secrets.token_hex(16),
            received_at=time.time(),
            deadline_s=self.settings.task_deadline_s,
            earlier=self.store.earlier_round,
        )

    async def _again(self, task_id: str) -> None:
        """A duplicate: a done task is notified again, a failed one runs again while there is time."""
        view = await asyncio.to_thread(self.store.view, task_id)
        if view.state == "done":
            await self._engine.resend(task_id)
        elif view.state == "failed" and time.time() < self._parts.build_by(view.task):
            attempt = await asyncio.to_thread(self.store.run_again, task_id)
            await self._engine.submit(task_id, attempt or view.attempt)
        elif view.state in ("queued", "running"):
            await self._engine.submit(task_id, view.attempt)


@asynccontextmanager
async def running(settings: Settings, *, web: Callable[..., httpx.AsyncClient] = net.client) -> AsyncIterator[Service]:
    """A launched service; unfinished tasks of an earlier process go on at once. Raises ConfigError.

    `web` makes the client for what briefs name: tests bring an internet of their own.
    """
    events.configure(settings.secret_values)
    with locked(settings.data_dir), telemetry.exporting(settings.traces):
        store = await asyncio.to_thread(Store, settings.database)
        token = await asyncio.to_thread(kept_admin_token, settings, store)
        settings = settings.model_copy(update={"admin_token": token})
        events.configure(settings.secret_values)
        repositories = Repositories(settings.data_dir / "repositories")
        browser = Browser(settings.browser)
        async with (
            net.client(allow_private=settings.allow_private_callbacks) as http,
            net.client(allow_private=True) as loopback,
            web(timeout_s=FETCH_S, contact=settings.contact) as internet,
            aclosing(browser),
        ):
            clients, fetch = Clients(http, loopback, internet), Fetcher(internet, settings.data_dir / "cache")
            parts = assemble(settings, store, repositories, clients, browser, fetch)
            await asyncio.to_thread(check_prompts, settings.prompts_dir)
            from agent.worker.engine import Engine  # DBOS takes a while to import

            engine = Engine(
                parts,
                database=settings.database,
                executor_id=executor_id(settings.data_dir),
                worker_tasks=settings.worker_tasks,
            )
            await engine.launch()
            try:
                yield Service(settings, parts, engine, sites_app(repositories), browser, token)
            finally:
                await engine.close()
                store.close()


def assemble(
    settings: Settings,
    store: Store,
    repositories: Repositories,
    clients: Clients,
    browser: Browser,
    fetch: Fetch,
) -> Parts:
    """Every part of the service, wired; nothing is started."""
    sandbox = Sandbox(hidden=[settings.data_dir])
    return Parts(
        store=store,
        repositories=repositories,
        publisher=open_publisher(settings, repositories, clients.own),
        reviewer=Reviewer(
            browser, fetch, sandbox, owner=settings.github_owner or "owner", secrets=settings.secret_values
        ),
        sandbox=sandbox,
        model=open_model(settings),
        review_model=open_review_model(settings),
        capability_keys=[choice.capabilities_key for choice in all_models(settings)],
        limits=Limits(settings.task_max_turns, settings.task_max_tokens, settings.task_max_usd),
        prompts_dir=settings.prompts_dir,
        secrets=settings.secret_values,
        evaluators=clients.evaluators,
        web=clients.web,
    )


def open_publisher(settings: Settings, repositories: Repositories, http: httpx.AsyncClient) -> Publisher:
    """The publisher that PUBLISHER names."""
    if settings.publisher == "github" or (settings.publisher == "auto" and settings.github_token):
        if settings.github_token is None:
            raise ConfigError("PUBLISHER=github needs GITHUB_TOKEN: set it, or use PUBLISHER=local")
        api = GitHubApi(http, settings.github_api_url, settings.github_token.get_secret_value())
        return GitHubPublisher(api, repositories, owner=settings.github_owner)
    own_url = local_url(settings.host, settings.sites_port or settings.port)
    return LocalPublisher(repositories, http, sites_url=settings.sites_url, probe_url=own_url)


def local_url(host: str, port: int) -> str:
    """Where this machine reaches what listens on `host`, which may be all addresses."""
    name = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - read, never bound
    return f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"


def kept_admin_token(settings: Settings, store: Store) -> SecretStr:
    """ADMIN_TOKEN, else a random one, made once and kept where the tasks are: in DATA_DIR or in Postgres."""
    if settings.admin_token:
        return settings.admin_token
    new = secrets.token_urlsafe()
    if not settings.database.startswith("sqlite"):
        return SecretStr(store.keep("admin_token", new))
    path = settings.data_dir / "admin_token"
    if not path.exists():
        with NamedTemporaryFile("w", dir=settings.data_dir, delete=False) as file:  # readable for its owner alone
            file.write(new)
        Path(file.name).replace(path)
    return SecretStr(path.read_text())


@contextmanager
def locked(data_dir: Path) -> Iterator[None]:
    """This process alone works on `data_dir`: a second engine on one store would buy the same calls again."""
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        lock = FileLock(data_dir / "lock")
        lock.acquire(timeout=0)
    except Timeout:
        raise ConfigError(
            f"DATA_DIR {data_dir} is in use by another process: stop it or choose another DATA_DIR"
        ) from None
    except OSError as error:
        raise ConfigError(f"DATA_DIR {data_dir} cannot be used: {error.strerror}") from error
    try:
        yield
    finally:
        lock.release()


def executor_id(data_dir: Path) -> str:
    """Stable for this data folder, so that a restarted process takes up its own tasks and nobody else's."""
    path = data_dir / "executor"
    if not path.exists():
        path.write_text(uuid4().hex)
    return path.read_text()


def _json_object(body: bytes) -> Mapping[str, Any]:
    try:
        request = json.loads(body)
    except (ValueError, RecursionError):
        raise BadRequest(422, "the body is not JSON") from None
    if not isinstance(request, dict):
        raise BadRequest(422, "the body is not a JSON object")
    return request
