"""What the loop works with: a step that is replayed gives the same again and reaches nobody."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import aclosing, closing
from pathlib import Path
from typing import Any

from agent.browser.chromium import Browser
from agent.browser.network import Recorded
from agent.prompts import PROMPTS
from agent.publish.git import Repositories
from agent.publish.publisher import Site
from agent.records import ToolCall
from agent.review.live import LiveReview
from agent.sandbox.sandbox import Sandbox
from agent.store import Store
from agent.worker.hands import DurableHands
from agent.worker.model_calls import Buyer
from agent.worker.reader import Assessor
from agent.worker.workshop import Workshop
from agent.workspace import Workspace, sha256
from tests.harness import Internet
from tests.routes import TASK_ID, task

URL = "https://open.example/boats.json"
DATA = b'[{"boats": 1234}]'
BRIEF = f"Fetch {URL} and save its boats in data.json."
CALLS = (
    ToolCall(id="1", name="fetch", arguments={"url": URL, "path": "boats.json"}),
    ToolCall(id="2", name="fetch", arguments={"url": "https://open.example/none"}),
    ToolCall(id="3", name="write_file", arguments={"path": "data.json", "content": '{"boats": 4321}'}),
)
SITE = Site(repo="harbour-5a5a5a", repo_url="https://o.example/h.git", pages_url="https://o.example/h/")


class Journal:
    """Keeps the JSON of each step; a second walk through it runs nothing."""

    def __init__(self) -> None:
        self.kept: list[str] = []
        self.at = 0

    async def step(self, _name: str, act: Callable[[], Awaitable[Any]]) -> Any:
        if self.at == len(self.kept):
            self.kept.append(json.dumps(await act()))
        self.at += 1
        return json.loads(self.kept[self.at - 1])


def test_a_replayed_fetch_reaches_nobody_and_the_review_still_knows_what_it_brought(tmp_path: Path) -> None:
    asked, internet, journal = task(brief=BRIEF, checks=()), Internet({URL: DATA}), Journal()

    async def twice(store: Store) -> list[Any]:
        async with internet.client() as web, aclosing(Browser("off")) as browser:
            review = LiveReview(browser, Recorded({}))
            workshop = Workshop(
                store,
                Repositories(tmp_path / "repositories"),
                web,
                prompts_dir=PROMPTS,
                review=review,
                sandbox=Sandbox(),
                secrets=(),
                reserve_s=10,
            )
            job = await workshop.prepare(asked, SITE)
            walks = []
            for _ in range(2):
                journal.at = 0
                buyer, assessor = Buyer(store, None, lambda: 50.0), Assessor(store, review, prompts_dir=PROMPTS)
                hands = DurableHands(journal.step, store, workshop, buyer, assessor, asked, job, attempt=1)
                batch = await hands.act(Workspace(), CALLS, {})
                walks.append((batch, await hands.review(batch.workspace), hands.fetched))
            return walks

    with closing(Store(f"sqlite:///{tmp_path}/agent.sqlite")) as store:
        store.add_task(asked, [])
        first, second = asyncio.run(twice(store))
        recorded = store.view(TASK_ID).fetched
        assert store.get_blobs([sha256(DATA)]) == {sha256(DATA): DATA}
    assert first == second
    assert internet.asked == [URL, "https://open.example/none"]
    assert recorded == first[2] == first[0].fetched
    assert [(one.status, one.sha256, one.path, one.error) for one in recorded] == [
        (200, sha256(DATA), "boats.json", None),
        (404, "", "", "open.example answers 404"),
    ]
    found = next(finding for finding in first[1].findings if finding.id == "provenance")
    assert (found.verdict, "`boats` 4321 stands nowhere" in found.evidence) == ("fail", True)
