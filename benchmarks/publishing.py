"""How long a task takes from the model's last answer to the call back, beside the sum that cannot be avoided.

    python -m benchmarks.publishing

GitHub is one on loopback with the delays of the real one; everything else is the service as it runs, browser included.
"""

import asyncio
import secrets
import sqlite3
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager, closing
from dataclasses import dataclass, field, replace
from pathlib import Path

from agent import net, service
from agent.api.servers import listen, served
from agent.browser.chromium import Browser
from agent.cli.demo.evaluator import Inbox
from agent.cli.demo.harness import HOST, embedded
from agent.events import configure
from agent.intake.request import parse
from agent.llm.model import Model, ModelRequest
from agent.publish.git import Repositories
from agent.publish.sites import sites_app
from agent.records import Reply, ToolCall, Usage
from agent.store import Store
from agent.testing.github import FakeGitHub
from agent.worker.engine import Engine
from tests.doubles import Recorded

MUTATION_S, READ_S, BUILD_S = 0.4, 0.15, 20.0
AT_ONCE = 4
PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title></head><body><main><h1>{title}</h1><p id="total">42</p></main></body></html>"""
README = "# Harbour\n\n" + "\n\n".join(
    f"## {name}\n{'A page that shows how many ferries left the harbour last month. ' * 6}"
    for name in ("Summary", "Setup", "Usage", "How the code works", "License: MIT")
)


@dataclass
class Author(Model):
    """A model that writes a good site at once, and when it last did so for each task."""

    name: str = "author"
    answered_at: dict[str, float] = field(default_factory=dict)

    async def complete(self, request: ModelRequest) -> Reply:
        title = str(request.messages[1]["content"]).partition("titled ")[2].split()[0]
        files = {"index.html": PAGE.format(title=title), "README.md": README}
        calls = tuple(
            ToolCall(id=path, name="write_file", arguments={"path": path, "content": text})
            for path, text in files.items()
        )
        self.answered_at[title] = time.perf_counter()
        usage = Usage(model_calls=1)
        return Reply(message={}, text="", calls=calls, finish_reason="tool_calls", usage=usage, model=self.name)


@dataclass
class Bench:
    """A launched engine without its door, the evaluator that it calls, and the model that it asks."""

    engine: Engine
    store: Store
    author: Author
    inbox: Inbox
    evaluation_url: str
    database: Path

    async def seconds(self, name: str, round_: int) -> tuple[float, dict[str, float]]:
        """From the model's last answer to the call back of one task, and what its steps took."""
        title = f"{name}{round_}"
        request = {
            **{"email": "a@example.com", "task": name, "round": round_, "nonce": title},
            **{"brief": f"A page titled {title} with #total.", "checks": [{"selector": "#total"}]},
            "evaluation_url": self.evaluation_url,
        }
        task, _ = parse(
            request,
            task_id=secrets.token_hex(16),
            received_at=time.time(),
            deadline_s=600,
            earlier=self.store.earlier_round,
        )
        self.store.add_task(task, [])
        called = self.inbox.expect(title)
        await self.engine.submit(task.id, 1)
        await called
        return time.perf_counter() - self.author.answered_at[title], self._steps(task.id)

    def _steps(self, task_id: str) -> dict[str, float]:
        with closing(sqlite3.connect(f"file:{self.database}?mode=ro", uri=True)) as db:
            rows = db.execute(
                "SELECT function_name, completed_at_epoch_ms - started_at_epoch_ms FROM operation_outputs "
                "WHERE workflow_uuid = ? ORDER BY function_id",
                (f"{task_id}.1",),
            )
            return {name: (ms or 0) / 1_000 for name, ms in rows}


@asynccontextmanager
async def bench(folder: Path, *, github: bool) -> AsyncIterator[Bench]:
    with closing(listen(HOST, 0, "PORT")) as evaluator, closing(listen(HOST, 0, "PORT")) as host:
        fake = FakeGitHub(folder / "github", token="token", base_url=f"http://{HOST}:{host.getsockname()[1]}")  # noqa: S106 - of the stand-in
        fake.switches.mutation_s, fake.switches.read_s, fake.switches.build_s = MUTATION_S, READ_S, BUILD_S
        chosen = {"publisher": "github", "github_token": fake.token, "github_api_url": fake.api_url} if github else {}
        settings = embedded(folder, port=0, changes={"llm_model": "openai/none", "llm_api_key": "unused", **chosen})
        store, repositories = Store(settings.database), Repositories(folder / "repositories")
        browser, author, inbox = Browser(settings.browser), Author(), Inbox()
        async with net.client(allow_private=True) as http, aclosing(browser):
            clients = service.Clients(http, http, http)
            parts = replace(
                service.assemble(settings, store, repositories, clients, browser, Recorded({})), model=author
            )
            engine = Engine(parts, database=settings.database, executor_id="bench", worker_tasks=AT_ONCE)
            with closing(listen(HOST, settings.sites_port, "SITES_PORT")) as sites:
                async with (
                    served(fake.app, host),
                    served(inbox.app, evaluator),
                    served(sites_app(repositories), sites),
                ):
                    await engine.launch()
                    url = f"http://{HOST}:{evaluator.getsockname()[1]}/notify"
                    yield Bench(engine, store, author, inbox, url, folder / "agent.sqlite")
                    await engine.close()


def unavoidable_s(round_: int, *, github: bool) -> float:
    """Calls that cannot begin before the one before has ended."""
    if not github:
        return 0.0
    push = READ_S + MUTATION_S  # the refs that are there, then the pack
    pages = MUTATION_S if round_ == 1 else 0.0
    proof = READ_S + READ_S  # the files at addresses of their own, then the bare address
    return push + pages + BUILD_S + proof


def told(label: str, seconds: float, steps: dict[str, float], floor_s: float) -> None:
    ratio = f", {seconds / floor_s:.3f} times {floor_s:.2f} s" if floor_s else ""
    print(f"{label}: {seconds:.2f} s{ratio}")
    print("   " + " · ".join(f"{name} {took:.2f}" for name, took in steps.items()))


async def main() -> None:
    configure((), quiet=True)
    for github in (True, False):
        kind = "github" if github else "local"
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            async with bench(Path(folder), github=github) as running:
                await running.seconds("warm", 1)
                for round_ in (1, 2):
                    seconds, steps = await running.seconds("alone", round_)
                    told(f"{kind}, round {round_}", seconds, steps, unavoidable_s(round_, github=github))
                together = await asyncio.gather(*(running.seconds(f"beside-{n}-", 1) for n in range(AT_ONCE)))
                seconds, steps = max(together, key=lambda result: result[0])
                told(f"{kind}, the slowest of {AT_ONCE} at once", seconds, steps, unavoidable_s(1, github=github))


if __name__ == "__main__":
    asyncio.run(main())
