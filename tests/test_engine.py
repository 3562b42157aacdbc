"""The engine without its doors: what it does when a part of it is broken."""

import asyncio
import secrets
import sqlite3
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from pathlib import Path

from agent import net, service
from agent.engine import MAX_RECOVERIES, Engine
from agent.errors import Transient
from agent.intake import parse
from agent.llm.model import Escalation, Model
from agent.publish.git import Repositories
from agent.records import FINAL_STATES, Json, Profile, Reply
from agent.review.browser import Browser
from agent.review.live import LiveReview
from agent.review.sources import Recorded
from agent.store import Store, TaskView
from tests.harness import settings, task


class Broken:
    """A model with a fault that nobody thought of."""

    name = "broken"

    async def complete(
        self,
        messages: Sequence[Json],
        tools: Sequence[Json],
        *,
        timeout_s: float,
        escalation: Escalation = 0,
        profiles: Sequence[Profile] = (),
    ) -> Reply:
        raise ZeroDivisionError("nobody thought of this")


class Silent(Broken):
    """A model that does not answer, and tells when it was asked."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()

    async def complete(
        self,
        messages: Sequence[Json],
        tools: Sequence[Json],
        *,
        timeout_s: float,
        escalation: Escalation = 0,
        profiles: Sequence[Profile] = (),
    ) -> Reply:
        self.asked.set()
        await asyncio.sleep(timeout_s)
        raise Transient("no answer")


@asynccontextmanager
async def launched(data_dir: Path, model: Model) -> AsyncIterator[tuple[Engine, Store]]:
    configured = settings(data_dir, sites_port=0)
    store, repositories = Store(configured.database), Repositories(data_dir / "repositories")
    unseen = LiveReview(Browser("off"), Recorded({}))
    async with net.client(allow_private=True) as http:
        clients = service.Clients(http, http, http)
        parts = replace(service.assemble(configured, store, repositories, clients, unseen), model=model)
        engine = Engine(parts, database=configured.database, executor_id="test", worker_tasks=1)
        await engine.launch()
        yield engine, store
        await engine.close(grace_s=0)


async def send(engine: Engine, store: Store, *, deadline_s: float) -> str:
    accepted, attachments = parse(
        task("http://127.0.0.1:9/"),
        task_id=secrets.token_hex(16),
        received_at=time.time(),
        deadline_s=deadline_s,
        earlier=store.earlier_round,
    )
    store.add_task(accepted, attachments)
    await engine.submit(accepted.id, 1)
    return accepted.id


async def ended(store: Store, task_id: str) -> TaskView:
    async with asyncio.timeout(20):
        while (view := store.view(task_id)).state not in FINAL_STATES:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    return view


def test_a_fault_of_ours_is_named_and_an_honest_page_is_published_all_the_same(tmp_path: Path) -> None:
    async def act() -> TaskView:
        async with launched(tmp_path, Broken()) as (engine, store):
            return await ended(store, await send(engine, store, deadline_s=9))

    view = asyncio.run(act())
    assert (view.state, view.stopped_by, view.error) == ("done", "fault", "internal error: ZeroDivisionError")
    assert view.publication
    files = Repositories(tmp_path / "repositories").files(view.task.repo, view.publication.commit_sha)
    assert b"did not finish" in files["index.html"]
    assert view.notification


def test_a_task_that_was_interrupted_too_often_fails_and_says_what_to_do(tmp_path: Path) -> None:
    async def act() -> TaskView:
        model = Silent()
        async with launched(tmp_path, model) as (engine, store):
            task_id = await send(engine, store, deadline_s=600)
            await model.asked.wait()
        with closing(sqlite3.connect(tmp_path / "agent.sqlite")) as db, db:
            db.execute("UPDATE workflow_status SET recovery_attempts = ?", (MAX_RECOVERIES + 1,))
        async with launched(tmp_path, model) as (_, store):
            return await ended(store, task_id)

    view = asyncio.run(act())
    assert view.state == "failed"
    assert "send it again" in str(view.error)
