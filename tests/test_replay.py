"""A replayed model plays its file, and says that it does."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from agent.errors import ConfigError, Permanent
from agent.llm.model import ModelRequest
from agent.llm.replay import ReplayModel
from agent.records import Json, Reply

FILE = {
    "note": "for tests",
    "latency_s": 0.5,
    "conversations": [
        {
            "when": "ferries",
            "replies": [
                {
                    "text": "First.",
                    "calls": [{"name": "write_file", "arguments": {"path": "a"}}, {"name": "run_check"}],
                },
                {"text": "Done.", "latency_s": 2.0},
            ],
        },
        {"when": "trains", "replies": [{"text": "Trains."}]},
    ],
}


TOOLS: list[Json] = [{"type": "function", "function": {"name": "write_file"}}]  # what questions come without


class Sleeper:
    def __init__(self) -> None:
        self.slept: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.slept.append(seconds)


def recording(folder: Path, content: object = FILE) -> Path:
    path = folder / "demo.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def ask(model: ReplayModel, *messages: Json, timeout_s: float = 60) -> Reply:
    return asyncio.run(model.complete(ModelRequest(messages, TOOLS, timeout_s=timeout_s)))


def user(content: Any) -> Json:
    return {"role": "user", "content": content}


@pytest.fixture
def model(tmp_path: Path) -> ReplayModel:
    return ReplayModel(recording(tmp_path), sleep=Sleeper())


def test_the_turn_is_told_by_the_conversation(model: ReplayModel) -> None:
    messages = [{"role": "system", "content": "You build sites about ferries."}, user("A page on ferries")]
    first = ask(model, *messages)
    assert [(call.id, call.name, call.arguments) for call in first.calls] == [
        ("replay-0-0", "write_file", {"path": "a"}),
        ("replay-0-1", "run_check", {}),
    ]
    results = [{"role": "tool", "tool_call_id": call.id, "content": "ok"} for call in first.calls]
    second = ask(model, *messages, first.message, *results)
    assert (second.text, second.calls, second.finish_reason) == ("Done.", (), "stop")
    assert ask(model, *messages) == first


def test_its_message_is_what_a_provider_would_send(model: ReplayModel) -> None:
    message = ask(model, user("ferries")).message
    assert message["role"] == "assistant"
    assert message["tool_calls"][0] == {
        "id": "replay-0-0",
        "type": "function",
        "function": {"name": "write_file", "arguments": '{"path": "a"}'},
    }


def test_the_first_user_message_chooses_the_conversation(model: ReplayModel) -> None:
    parts = [{"type": "text", "text": "All about trains"}, {"type": "image_url", "image_url": {"url": "data:,"}}]
    assert ask(model, user(parts)).text == "Trains."


def test_it_is_never_taken_for_a_live_model(model: ReplayModel) -> None:
    reply = ask(model, user("ferries"))
    assert model.name == reply.model == "replay/demo.json"
    assert reply.usage.cost_usd == 0.0
    assert reply.usage.model_calls == 1
    assert reply.usage.completion_tokens > 0


@pytest.mark.parametrize(
    ("messages", "sentence"),
    [
        ([user("planes")], "holds no recorded answers for this task"),
        ([user("trains"), {"role": "assistant", "content": "Trains."}], "has only 1 recorded replies"),
        ([], "holds no recorded answers"),
    ],
)
def test_where_the_recording_ends_it_says_so(model: ReplayModel, messages: list[Json], sentence: str) -> None:
    with pytest.raises(Permanent, match=sentence):
        ask(model, *messages)


def test_it_waits_as_recorded_but_not_beyond_the_deadline(tmp_path: Path) -> None:
    sleeper = Sleeper()
    model = ReplayModel(recording(tmp_path), sleep=sleeper)
    ask(model, user("ferries"))
    ask(model, user("ferries"), timeout_s=0.25)
    ask(model, user("ferries"), {"role": "assistant", "content": "First."})
    assert sleeper.slept == [0.5, 0.25, 2.0]


@pytest.mark.parametrize(
    ("content", "place"),
    [
        ("{", "the file: Invalid JSON"),
        ({}, "conversations: Field required"),
        ({"conversations": [{"when": "x"}]}, "conversations.0.replies: Field required"),
    ],
)
def test_a_file_that_is_no_recording_is_a_sentence(tmp_path: Path, content: object, place: str) -> None:
    with pytest.raises(ConfigError, match=place):
        ReplayModel(recording(tmp_path, content))


def test_a_question_beside_the_building_has_conversations_of_its_own(tmp_path: Path) -> None:
    path = recording(tmp_path, {"conversations": [{"when": "ferries", "question": True, "replies": [{"text": "So."}]}]})
    model = ReplayModel(path, sleep=Sleeper())
    assert asyncio.run(model.complete(ModelRequest([user("ferries")], timeout_s=5))).text == "So."
    with pytest.raises(Permanent, match="no recorded answers"):
        ask(model, user("ferries"))
