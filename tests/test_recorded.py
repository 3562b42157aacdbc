"""Recorded traffic of real providers: the gateway understands every answer, or refuses it for the right reason."""

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import SecretStr

from agent.errors import Permanent
from agent.llm.gateway import Gateway
from agent.llm.model import ModelRequest
from agent.llm.providers import ModelChoice
from agent.records import Json, Reply
from tests.test_gateway import RECORDED, Time, tool

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
CASSETTES = sorted(RECORDED.glob("*.yaml")) if RECORDED.exists() else []


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


@pytest.mark.skipif(not CASSETTES, reason="recorded traffic is not part of this repository")
@pytest.mark.parametrize("cassette", CASSETTES, ids=lambda path: path.stem)
def test_every_recorded_answer_is_understood_or_refused_for_its_reason(cassette: Path) -> None:
    recorded: list[Any] = yaml.safe_load(cassette.read_text())["interactions"]
    requests = [one["request"] for one in recorded]
    if is_streamed(requests[0]):  # the gateway asks for whole answers: a stream is none
        if ":stream" not in requests[0]["uri"]:
            with pytest.raises(Permanent, match="is no model: check LLM_MODEL"):
                replay(cassette, 1, model_of(requests[0]))
        return
    replies = replay(cassette, len(recorded), model_of(requests[0]))
    for one, reply in zip(recorded, replies, strict=True):
        if one["response"]["status"]["code"] == 200:
            assert reply.usage.prompt_tokens > 0
            assert reply.calls or reply.text
            assert all(call.name and not call.problem for call in reply.calls)
        else:
            assert (reply.finish_reason, reply.usage.failed_calls) == ("tool_use_failed", 1)
