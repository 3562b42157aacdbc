"""The service with every part embedded, and an evaluator that waits for its call: all on this machine."""

import asyncio
import secrets
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import httpx
from rich.console import Console

from agent import events
from agent.api.app import create_app, dashboard_url
from agent.api.schema import TaskStatus
from agent.api.servers import listen, served
from agent.cli import client
from agent.cli.demo.evaluator import Inbox
from agent.cli.show import follow
from agent.records import Json
from agent.settings import Settings
from agent.testing.github import FakeGitHub

HOST = "127.0.0.1"
CALL_BACK_S = 30.0  # how long after the end of the work a call back may still come
PICTURES_S = 8.0


@dataclass(frozen=True)
class DemoHarness:
    """A running service and a running evaluator."""

    console: Console
    http: httpx.AsyncClient
    inbox: Inbox
    settings: Settings
    api_url: str
    dashboard_url: str
    evaluation_url: str

    async def deliver(self, task: Json, label: str) -> tuple[TaskStatus, Json]:
        """Sends a task, shows its progress and waits for its call back: empty when none came. Raises AgentError."""
        addressed = task | {"secret": self.settings.secret.get_secret_value(), "evaluation_url": self.evaluation_url}
        expected = self.inbox.expect(addressed["nonce"])
        _, status_url = await client.send_task(self.http, f"{self.api_url}/handle_task", addressed)
        task_id = status_url.rpartition("/")[2]
        status = await follow(partial(self.get_status, task_id), self.console, label)
        try:
            return status, await asyncio.wait_for(expected, CALL_BACK_S if status.state == "done" else 0)
        except TimeoutError:
            return status, {}

    async def get_status(self, task_id: str) -> TaskStatus:
        """The status now. Raises AgentError."""
        return await client.get_status(self.http, f"{self.api_url}/tasks/{task_id}")

    async def pictures(self, status: TaskStatus) -> tuple[str, ...]:
        """Addresses of the screenshots. They are taken after the call back."""
        until = time.monotonic() + (0 if status.browser.startswith("nothing") else PICTURES_S)
        while not status.screenshots and time.monotonic() < until:
            await asyncio.sleep(0.2)
            status = await self.get_status(status.id)
        return tuple(f"{self.api_url}{path}" for path in status.screenshots)


@asynccontextmanager
async def demo_harness(
    console: Console, data_dir: Path, *, port: int, model: Json, github: bool = False
) -> AsyncIterator[DemoHarness]:
    """Port 0 takes a free one; `model` overrides settings of the model; `github`: a GitHub of its own publishes.

    Raises ConfigError.
    """
    with (
        closing(listen(HOST, port, "PORT")) as api,
        closing(listen(HOST, 0, "PORT")) as evaluator,
        closing(listen(HOST, 0, "PORT")) as host,
    ):
        fake = FakeGitHub(data_dir / "github", token=secrets.token_urlsafe(), base_url=_address(host))
        chosen = {"publisher": "github", "github_token": fake.token, "github_api_url": fake.api_url} if github else {}
        settings = embedded(data_dir, port=api.getsockname()[1], changes=model | chosen)
        app, inbox = create_app(settings), Inbox()
        async with (
            app.open() as service,
            served(app, api),
            served(inbox.app, evaluator),
            served(fake.app, host),
            client.open_client() as http,
        ):
            events.configure(service.settings.secret_values, quiet=True)  # the progress is shown, not logged
            yield DemoHarness(
                console=console,
                http=http,
                inbox=inbox,
                settings=settings,
                api_url=_address(api),
                dashboard_url=dashboard_url(settings, service.admin_token, api),
                evaluation_url=f"{_address(evaluator)}/notify",
            )


def embedded(data_dir: Path, *, port: int, changes: Json) -> Settings:
    """Nothing leaves this machine, except what a live model is asked."""
    with closing(listen(HOST, 0, "SITES_PORT")) as free:
        sites_port = free.getsockname()[1]
    own: Json = {
        "secret": secrets.token_urlsafe(),
        "host": HOST,
        "port": port,
        "sites_port": sites_port,
        "sites_url": f"http://localhost:{sites_port}",
        "data_dir": data_dir,
        "database_url": None,
        "publisher": "local",
        "github_token": None,
        "github_owner": None,
        "admin_token": None,
        "allow_private_callbacks": True,
    }
    return Settings.load(**(own | changes))


def _address(sock: socket.socket) -> str:
    return f"http://{HOST}:{sock.getsockname()[1]}"
