"""The engine without its doors: what it does when a part of it is broken."""

import asyncio
import secrets
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from agent import net, service
from agent.engine import Engine
from agent.intake import parse
from agent.llm.model import Escalation
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


async def run(data_dir: Path) -> tuple[TaskView, dict[str, bytes]]:
    configured = settings(data_dir, sites_port=0)
    store, repositories = Store(configured.database), Repositories(data_dir / "repositories")
    unseen = LiveReview(Browser("off"), Recorded({}))
    async with net.client(allow_private=True) as http:
        parts = replace(
            service.assemble(configured, store, repositories, service.Clients(http, http, http), unseen), model=Broken()
        )
        engine = Engine(parts, database=configured.database, executor_id="test", worker_tasks=1)
        await engine.launch()
        accepted, attachments = parse(
            task("http://127.0.0.1:9/"),
            task_id=secrets.token_hex(16),
            received_at=time.time(),
            deadline_s=5,
            earlier=store.earlier_round,
        )
        store.add_task(accepted, attachments)
        await engine.submit(accepted.id, 1)
        async with asyncio.timeout(20):
            while (view := store.view(accepted.id)).state not in FINAL_STATES:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        await engine.close()
    assert view.publication
    return view, repositories.files(accepted.repo, view.publication.commit_sha)


def test_a_fault_of_ours_is_named_and_an_honest_page_is_published_all_the_same(tmp_path: Path) -> None:
    view, files = asyncio.run(run(tmp_path))
    assert (view.state, view.stopped_by, view.error) == ("done", "fault", "internal error: ZeroDivisionError")
    assert b"did not finish" in files["index.html"]
    assert view.notification
