"""What a provider has read once stands where it stood: over turns, faults, rounds, kills and in text."""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path

import httpx
import pytest

from tests.harness import Journal, Json, accept, assembled, attachment, good_site, settings, task
from tests.provider import Provider, calls, chat, prompt, provider, says

WRONG = good_site("Wrong")[:1]  # without a README.md: that much is seen without a browser
WRONG_IN_WORDS, RIGHT_IN_WORDS = (
    "\n\n".join(f"FILE: {given['path']}\n````\n{given['content']}````" for _, given in site)
    for site in (WRONG, good_site())
)
UNREADABLE = ("write_file", '{"path": "index.html", "content": "<ht')


def built(data_dir: Path, llm: Provider, *bodies: Json, kills: Sequence[int] = (), **changes: object) -> None:
    """Each task up to its commit; the process is killed before each of these model calls."""

    async def build() -> None:
        async with assembled(settings(data_dir, llm_base_url=llm.url, **changes)) as parts:
            for body in bodies:
                accepted, journal = accept(parts, body), Journal()
                for turn in kills:
                    await journal.run(parts, accepted, until="model_call", times=turn)
                await journal.run(parts, accepted, until="push")
                parts.store.update(accepted.id, state="done")
                assert parts.store.view(accepted.id).stopped_by == "passed"

    asyncio.run(build())


def turns(llm: Provider) -> list[int]:
    """How many messages each request had."""
    return [len(request.body["messages"]) for request in llm.requests]


def test_a_whole_run_only_grows_at_its_end_through_faults_and_kills(tmp_path: Path) -> None:
    script = [
        says("Let me think about it."),
        calls(UNREADABLE, finish_reason="length"),
        chat([]),
        calls(*WRONG, ("no_tool", {})),
        calls(("edit_file", {"path": "index.html", "edits": [{"old": "nowhere", "new": "x"}]}), ("run_check", {})),
        calls(*good_site()),
    ]
    with provider(script) as llm:
        built(tmp_path, llm, task("http://127.0.0.1:9/"), kills=(2, 3, 5))
    assert turns(llm) == [2, 4, 6, 6, 9, 12]
    assert [request.body["messages"][-1]["role"] for request in llm.requests[2:]] == ["tool"] * 4


def test_a_whole_run_in_text_only_grows_at_its_end(tmp_path: Path) -> None:
    with provider([says("Hm."), says(WRONG_IN_WORDS), says(RIGHT_IN_WORDS)]) as llm:
        built(tmp_path, llm, task("http://127.0.0.1:9/"), kills=(3,), llm_tool_mode="text")
    assert turns(llm) == [2, 4, 6]
    assert not any("tools" in request.body for request in llm.requests)


def test_instructions_and_tools_are_the_same_for_every_task_and_round(tmp_path: Path) -> None:
    first = task("http://127.0.0.1:9/")
    again = {
        **first,
        "round": 2,
        "nonce": "another",
        "brief": "Show a 7 in #ships.",
        "checks": [{"selector": "#ships"}],
    }
    other = task("http://127.0.0.1:9/", attachments=[attachment("a.csv", b"a,b\n1,2\n")])
    ships = {"path": "index.html", "edits": [{"old": "</main>", "new": '<p id="ships">7</p></main>'}]}
    answers = [calls(*good_site()), calls(("edit_file", ships)), calls(*good_site())]
    with provider(answers) as llm:
        built(tmp_path, llm, first, again, other)
    assert len({tuple(prompt(request.body)[:2]) for request in llm.requests}) == 1
    assert len({prompt(request.body)[2] for request in llm.requests}) == 3


def test_a_conversation_grown_too_long_moves_once(tmp_path: Path) -> None:
    long = attachment("long.txt", b"A line of a long text.\n" * 1_000, "text/plain")
    reading = calls(*[("read_attachment", {"name": "long.txt"})] * 11)
    fixed = ("edit_file", {"path": "index.html", "edits": [{"old": "Wrong", "new": "Harbour"}]})
    with provider([reading, calls(*WRONG), reading, calls(fixed), calls(*good_site())], moves=1) as llm:
        built(tmp_path, llm, task("http://127.0.0.1:9/", attachments=[long]))
    assert [json.dumps(request.body).count("is left out") for request in llm.requests] == [0, 0, 0, 11, 11]


def test_a_beginning_that_moves_is_seen() -> None:
    def send(llm: Provider, *contents: str) -> None:
        messages = [{"role": "user", "content": content} for content in contents]
        httpx.post(f"{llm.url}/chat/completions", json={"model": "m", "messages": messages}, trust_env=False)

    def conversation(*second: str) -> None:
        with provider(lambda _: says("ok")) as llm:
            send(llm, "a", "b")
            send(llm, *second)

    conversation("a", "b", "c")
    conversation("another", "b")
    for moved in (("a", "B", "c"), ("a",)):
        with pytest.raises(AssertionError, match="does not begin with the one before it"):
            conversation(*moved)
