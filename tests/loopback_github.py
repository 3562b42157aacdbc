"""The GitHub on loopback, listening in a thread of its own."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from starlette.responses import PlainTextResponse

from agent.testing.github import FakeGitHub
from tests.harness import Gate, free_port, listening

TOKEN = "canary-github-token"


def pages_workflow(folder: str, run: str = "") -> str:
    """A workflow that publishes `folder` by Pages, after the command `run`."""
    step = f"      - run: {run}\n" if run else ""
    return f"""\
on: push
permissions: {{pages: write, id-token: write}}
jobs:
  publish:
    runs-on: ubuntu-latest
    environment: github-pages
    steps:
      - uses: actions/checkout@v4
{step}      - uses: actions/upload-pages-artifact@v3
        with: {{path: {folder}}}
      - uses: actions/deploy-pages@v4
"""


@contextmanager
def github(root: Path, lost_pushes: Gate | None = None) -> Iterator[FakeGitHub]:
    """It may be made anew while it listens: `fake.__init__(…)`.

    Pushes get no answer until the gate is open, and those that came before then are lost.
    """
    port = free_port()
    fake = FakeGitHub(root, token=TOKEN, base_url=f"http://127.0.0.1:{port}")

    async def current(scope: Any, receive: Any, send: Any) -> None:
        if lost_pushes and not lost_pushes.is_open and scope["path"].endswith("/git-receive-pack"):
            await asyncio.to_thread(lost_pushes.wait)
            await PlainTextResponse("lost", 503)(scope, receive, send)
        else:
            await fake.app(scope, receive, send)

    with listening(current, port):
        yield fake
