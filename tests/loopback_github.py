"""The GitHub on loopback, listening in a thread of its own."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from agent.testing.github import FakeGitHub
from tests.harness import free_port, listening

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
def github(root: Path) -> Iterator[FakeGitHub]:
    """It may be made anew while it listens: `fake.__init__(…)`."""
    port = free_port()
    fake = FakeGitHub(root, token=TOKEN, base_url=f"http://127.0.0.1:{port}")

    async def current(scope: Any, receive: Any, send: Any) -> None:
        await fake.app(scope, receive, send)

    with listening(current, port):
        yield fake
