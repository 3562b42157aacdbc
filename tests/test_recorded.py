"""Traffic of providers: the gateway understands every answer, or refuses it for the right reason.

`tests/data/llm` holds exchanges in the providers' own shapes, in words of ours. Recorded traffic of real providers is
no part of this repository; where it lies beside it, it is played too.
"""

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import SecretStr

from agent.llm.gateway import Gateway
from agent.llm.model import ModelRequest
from agent.llm.providers import ModelChoice
from agent.records import Json, Reply
from tests.test_gateway import Time, tool

OWN = Path(__file__).parent / "data" / "llm"
RECORDED = Path(__file__).parents[2] / "shared" / "recorded" / "llm"
HOSTS = {
    "api.anthropic.com": "anthropic",
    "api.openai.com": "openai",
    "api.groq.com": "groq",
    "openrouter.ai": "openrouter",
    "generativelanguage.googleapis.com": "gemini",
    "api.mistral.ai": "mistral",
    "api.deepseek.com": "deepseek",
    "api.cohere.com": "cohere_chat",
    "api.x.ai": "xai",
}


def model_of(request: Json) -> str:
    """litellm's name of the model that was asked."""
    host, path = re.fullmatch(r"https://([^/]+)/([^?]*).*", request["uri"]).groups()  # type: ignore[union-attr]
    named = re.search(r"models/([^:]+):", path)
    return f"{HOSTS[host]}/{named[1] if named else json.loads(request['body'])['model']}"


def is_streamed(request: Json) -> bool:
    return "stream" in request["uri"].lower() or json.loads(request["body"]).get("stream", False)


def replay(cassette: Path, turns: int, name: str) -> list[Reply]:
    """As many turns as were recorded; each call is answered."""
    choice = ModelChoice(name=name, api_key=SecretStr("sk-none-at-all"), tool_mode="native")
    time = Time()

    async def converse() -> list[Reply]:
        gateway = Gateway([choice], clock=time, sleep=time.sleep)
        messages: list[Json] = [{"role": "user", "content": "Use the tool."}]
        replies = []
        for _ in range(turns):
            replies.append(
                reply := await gateway.complete(ModelRequest(messages, [tool("any_tool", "value")], timeout_s=30))
            )
            results = [{"role": "tool", "tool_call_id": call.id, "content": "1"} for call in reply.calls]
            messages += [reply.message, *(results or [{"role": "user", "content": "Go on."}])]
        return replies

    import vcr

    recorder = vcr.VCR(record_mode="none", match_on=["method", "path"])
    with recorder.use_cassette(str(cassette), allow_playback_repeats=turns == 1):
        return asyncio.run(converse())


@pytest.fixture(scope="module", autouse=True)
def _litellm_is_loaded() -> None:
    asyncio.run(Gateway([]).warm_up())


CASSETTES = [*sorted(OWN.glob("*.yaml")), *sorted(RECORDED.glob("*.yaml"))]


@pytest.mark.parametrize("cassette", CASSETTES, ids=lambda path: path.stem)
def test_every_answer_is_understood_or_refused_for_its_reason(cassette: Path) -> None:
    exchanges: list[Any] = yaml.safe_load(cassette.read_text())["interactions"]
    requests = [one["request"] for one in exchanges]
    if ":stream" in requests[0]["uri"]:
        pytest.skip("the gateway never asks at this address")
    replies = replay(cassette, 1 if is_streamed(requests[0]) else len(exchanges), model_of(requests[0]))
    for one, reply in zip(exchanges, replies, strict=False):
        if one["response"]["status"]["code"] == 200:
            assert reply.usage.prompt_tokens > 0
            assert reply.calls or reply.text
            assert all(call.name and not call.problem for call in reply.calls)
        else:
            assert (reply.finish_reason, reply.usage.failed_calls) == ("tool_use_failed", 1)
            assert "malformed tool call" in reply.text


LOOPS = {
    "openai_tool_loop": "openai/gpt-5-mini",
    "anthropic_tool_loop": "anthropic/claude-sonnet-4-5",
    "gemini_tool_loop": "gemini/gemini-2.5-flash",
    "groq_tool_loop": "groq/openai/gpt-oss-120b",
}


@pytest.mark.parametrize("name", LOOPS)
def test_a_tool_loop_is_the_same_with_every_provider(name: str) -> None:
    first, second = replay(OWN / f"{name}.yaml", 2, LOOPS[name])
    calls = [(call.name, call.arguments, call.problem) for call in first.calls]
    assert calls == [("tide_table", {"harbour": "Husum"}, "")]
    assert (second.calls, second.text) == ((), "High tide in Husum is at 11:40, low tide at 17:55.")
    assert second.usage.prompt_tokens > first.usage.prompt_tokens > 0


def test_a_stream_of_openais_is_its_call() -> None:
    (reply,) = replay(OWN / "openai_stream.yaml", 1, "openai/gpt-4o-mini")
    assert [(call.name, call.arguments) for call in reply.calls] == [("tide_table", {"harbour": "Husum"})]
    assert (reply.usage.prompt_tokens, reply.usage.completion_tokens) == (61, 15)
