"""The GitHub on loopback, listening in a thread of its own."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn

from agent.testing.github import FakeGitHub
from tests.harness import free_port

TOKEN = "canary-github-token"


@contextmanager
def listening(app: Any, port: int) -> Iterator[None]:
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(10)


@contextmanager
def github(root: Path) -> Iterator[FakeGitHub]:
    """It may be made anew while it listens: `fake.__init__(…)`."""
    port = free_port()
    fake = FakeGitHub(root, token=TOKEN, base_url=f"http://127.0.0.1:{port}")

    async def current(scope: Any, receive: Any, send: Any) -> None:
        await fake.app(scope, receive, send)

    with listening(current, port):
        yield fake
