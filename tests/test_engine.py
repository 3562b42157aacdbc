"""The engine without its doors: what it does when a part of it is broken."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from agent.engine import Engine
from agent.llm.model import Escalation
from agent.records import FINAL_STATES, Json, Reply
from agent.store import TaskView
from tests.harness import accept, assembled, settings, task


class Broken:
    """A model with a fault that nobody thought of."""

    name = "broken"

    async def complete(
        self, messages: Sequence[Json], tools: Sequence[Json], *, timeout_s: float, escalation: Escalation = 0
    ) -> Reply:
        raise ZeroDivisionError("nobody thought of this")


async def run(data_dir: Path) -> tuple[TaskView, dict[str, bytes]]:
    configured = settings(data_dir, sites_port=0)
    async with assembled(configured) as parts:
        engine = Engine(
            replace(parts, model=Broken()), database=configured.database, executor_id="test", worker_tasks=1
        )
        await engine.launch()
        accepted = accept(parts, task("http://127.0.0.1:9/"), deadline_s=5)
        await engine.submit(accepted.id, 1)
        async with asyncio.timeout(20):
            while (view := parts.store.view(accepted.id)).state not in FINAL_STATES:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        await engine.close()
        assert view.publication
        return view, parts.repositories.files(accepted.repo, view.publication.commit_sha)


def test_a_fault_of_ours_is_named_and_an_honest_page_is_published_all_the_same(tmp_path: Path) -> None:
    view, files = asyncio.run(run(tmp_path))
    assert (view.state, view.stopped_by, view.error) == ("done", "fault", "internal error: ZeroDivisionError")
    assert b"did not finish" in files["index.html"]
    assert view.notification
