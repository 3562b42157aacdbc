"""The engine without its doors: what it does when a part of it is broken."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from agent.errors import Transient
from agent.llm.model import Model, ModelRequest
from agent.publish.git import Repositories
from agent.records import FINAL_STATES, Reply
from agent.store import Store, TaskView
from agent.worker.parts import Parts
from tests.harness import PATIENCE_S, accept, assembled, settings, task

if TYPE_CHECKING:
    from agent.worker.engine import Engine


class Broken(Model):
    """A model with a fault that nobody thought of."""

    name = "broken"

    async def complete(self, request: ModelRequest) -> Reply:
        raise ZeroDivisionError("nobody thought of this")


class Silent(Model):
    """A model that does not answer, and tells when it was asked."""

    name = "silent"

    def __init__(self) -> None:
        self.asked = asyncio.Event()

    async def complete(self, request: ModelRequest) -> Reply:
        self.asked.set()
        await asyncio.sleep(request.timeout_s)
        raise Transient("no answer")


@asynccontextmanager
async def launched(data_dir: Path, model: Model) -> AsyncIterator[tuple[Engine, Parts]]:
    from agent.worker.engine import Engine

    configured = settings(data_dir, sites_port=0)
    async with assembled(configured) as made:
        parts = replace(made, model=model)
        engine = Engine(parts, database=configured.database, executor_id="test", worker_tasks=1)
        await engine.launch()
        yield engine, parts
        await engine.close(grace_s=0)


async def send(engine: Engine, parts: Parts, *, deadline_s: float) -> str:
    accepted = accept(parts, task("http://127.0.0.1:9/"), deadline_s=deadline_s)
    await engine.submit(accepted.id, 1)
    return accepted.id


async def ended(store: Store, task_id: str) -> TaskView:
    async with asyncio.timeout(PATIENCE_S):
        while (view := store.view(task_id)).state not in FINAL_STATES:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    return view


def test_a_fault_of_ours_is_named_and_an_honest_page_is_published_all_the_same(tmp_path: Path) -> None:
    async def act() -> TaskView:
        async with launched(tmp_path, Broken()) as (engine, parts):
            return await ended(parts.store, await send(engine, parts, deadline_s=9))

    view = asyncio.run(act())
    assert (view.state, view.stopped_by, view.error) == ("done", "fault", "internal error: ZeroDivisionError")
    assert view.publication
    files = Repositories(tmp_path / "repositories").files(view.task.repo, view.publication.commit_sha)
    assert b"did not finish" in files["index.html"]
    assert view.notification


def test_a_task_that_was_interrupted_too_often_fails_and_says_what_to_do(tmp_path: Path) -> None:
    from agent.worker.engine import MAX_RECOVERIES

    async def act() -> TaskView:
        model = Silent()
        async with launched(tmp_path, model) as (engine, parts):
            task_id = await send(engine, parts, deadline_s=600)
            await asyncio.wait_for(model.asked.wait(), PATIENCE_S)
        with closing(sqlite3.connect(tmp_path / "agent.sqlite")) as db, db:
            db.execute("UPDATE workflow_status SET recovery_attempts = ?", (MAX_RECOVERIES + 1,))
        async with launched(tmp_path, model) as (_, parts):
            return await ended(parts.store, task_id)

    view = asyncio.run(act())
    assert view.state == "failed"
    assert "send it again" in str(view.error)
