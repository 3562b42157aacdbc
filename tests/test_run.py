"""One run of a task: a step that is replayed gives the same again and reaches nobody."""

import asyncio
from pathlib import Path

from agent.store import TaskView
from agent.workspace import sha256
from tests.harness import Internet, Journal, accept, assembled, settings, task
from tests.provider import Provider, calls, fault, provider

URL = "https://open.example/boats.json"
DATA = b'[{"boats": 1234}]'
CALLS = (
    ("fetch", {"url": URL, "path": "boats.json"}),
    ("fetch", {"url": "https://open.example/none"}),
    ("write_file", {"path": "data.json", "content": '{"boats": 4321}'}),
)


def walked(data_dir: Path, llm: Provider, internet: Internet, **body: object) -> list[TaskView]:
    """The record of one task after each of two walks to the end of its loop; the second one is a replay."""

    async def twice() -> list[TaskView]:
        async with assembled(settings(data_dir, llm_base_url=llm.url), internet) as parts:
            accepted, journal, views = accept(parts, task("http://127.0.0.1:9/", **body)), Journal(), []
            for _ in range(2):
                await journal.run(parts, accepted, until="commit")
                views.append(parts.store.view(accepted.id))
            assert parts.store.get_blobs([sha256(DATA)] if internet.asked else [])
            return views

    return asyncio.run(twice())


def test_a_replayed_fetch_reaches_nobody_and_the_record_still_knows_what_it_brought(tmp_path: Path) -> None:
    internet, brief = Internet({URL: DATA}), f"Fetch {URL} and save its boats in data.json."
    with provider([calls(*CALLS), fault(401, "no more")]) as llm:
        first, second = walked(tmp_path, llm, internet, brief=brief, checks=[])
        assert len(llm.requests) == 2
    assert internet.asked == [URL, "https://open.example/none"]
    assert (first.findings, first.fetched, first.usage) == (second.findings, second.fetched, second.usage)
    assert [(one.status, one.sha256, one.path, one.error) for one in second.fetched] == [
        (200, sha256(DATA), "boats.json", None),
        (404, "", "", "open.example answers 404"),
    ]
