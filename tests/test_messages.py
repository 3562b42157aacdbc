"""What a model wrote is read as far as that loses nothing, and can be sent again to any model."""

import json
import time

import pytest

from agent.llm.messages import BrokenArguments, outgoing, read_arguments, read_reply
from agent.llm.providers import ModelChoice
from agent.records import Json, Reply, Usage

READABLE = {
    "an object": ('{"path": "a"}', {"path": "a"}),
    "nothing": ("", {}),
    "null": (None, {}),
    "an object that was never text": ({"path": "a"}, {"path": "a"}),
    "a raw line break in a string": ('{"content": "a\nb\tc"}', {"content": "a\nb\tc"}),
    "a comma before the closing brace": ('{"edits": [1, 2,], }', {"edits": [1, 2]}),
    "such a comma inside a string stays": ('{"content": "f({a,}, \\"b,]\\")",}', {"content": 'f({a,}, "b,]")'}),
    "encoded twice": (json.dumps('{"path": "a"}'), {"path": "a"}),
    "a lone surrogate": ('{"content": "x\\ud800"}', {"content": "x\ufffd"}),
    "a surrogate pair": ('{"content": "\\ud83d\\ude00"}', {"content": "😀"}),
}

BROKEN = {
    "cut in a string": ('{"path": "index.html", "content": "<html><bo', "no JSON"),
    "cut after a value": ('{"path": "index.html",', "no JSON"),
    "two objects": ('{"path": "a"}{"path": "b"}', "Extra data"),
    "a list": ("[1]", "JSON list, not an object"),
    "words": ("write the file", "no JSON"),
    "not a number": ('{"a": NaN}', "NaN"),
    "a backslash too few": ('{"content": "\\d+"}', "escape"),
    "nested without end": ("[" * 100_000, "nested too deep"),
}


@pytest.mark.parametrize("name", READABLE)
def test_arguments_are_mended_where_nothing_is_lost(name: str) -> None:
    raw, expected = READABLE[name]
    arguments, text = read_arguments(raw)
    assert arguments == json.loads(text) == expected
    text.encode()


@pytest.mark.parametrize("name", BROKEN)
def test_broken_arguments_are_refused_with_the_reason(name: str) -> None:
    raw, reason = BROKEN[name]
    with pytest.raises(BrokenArguments, match=reason):
        read_arguments(raw)


def test_good_arguments_stay_byte_for_byte() -> None:
    text = '{"b":1,  "a": "\\u00e9"}'
    assert read_arguments(text)[1] == text


def test_a_hostile_text_costs_linear_time() -> None:
    began = time.process_time()
    with pytest.raises(BrokenArguments):
        read_arguments('{"content": "' + '\\"' * 500_000)
    assert time.process_time() - began < 2


def wire_call(arguments: object = "{}", *, name: str | None = "write_file", call_id: str | None = "call_1") -> Json:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def read(message: Json, finish_reason: str = "stop") -> Reply:
    return read_reply(message, finish_reason, Usage(), "openai/test")


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ({"content": "hello"}, "hello"),
        ({"content": [{"type": "text", "text": "hel"}, {"type": "text", "text": "lo"}]}, "hello"),
        ({"content": None, "refusal": "no"}, "no"),
        ({"content": None, "provider_specific_fields": {"refusal": "no"}}, "no"),
        ({"content": None}, ""),
    ],
)
def test_words_are_found_wherever_they_stand(message: Json, text: str) -> None:
    reply = read(message)
    assert reply.text == text
    assert reply.message["content"]  # providers refuse a turn that says nothing


def test_calls_are_run_whatever_the_finish_reason_says() -> None:
    assert [call.name for call in read({"tool_calls": [wire_call()]}, "stop").calls] == ["write_file"]


def test_truncated_arguments_are_answered_not_run() -> None:
    reply = read({"tool_calls": [wire_call('{"path": "a", "content": "<ht')]}, "length")
    assert reply.calls[0].arguments == {}
    assert "cut off, send fewer or smaller files" in reply.calls[0].problem
    assert reply.message["tool_calls"][0]["function"]["arguments"] == "{}"


def test_a_call_without_a_name_gets_one_that_can_be_sent_again() -> None:
    reply = read({"tool_calls": [wire_call(name=None), wire_call(name="write_file<|channel|>", call_id="call_2")]})
    assert [call.problem for call in reply.calls] == ["the call names no tool", ""]
    sent = [call["function"]["name"] for call in reply.message["tool_calls"]]
    assert sent == [call.name for call in reply.calls] == ["unnamed", "write_file"]


def test_no_two_calls_share_an_id() -> None:
    ids = ["call_1", "call_1", None, "call_1", None]
    reply = read({"tool_calls": [wire_call(call_id=call_id) for call_id in ids]})
    given = [call.id for call in reply.calls]
    assert len(set(given)) == len(ids)
    assert given == [call["id"] for call in reply.message["tool_calls"]]


REASONING = {
    "reasoning_content": "hm",
    "thinking_blocks": [{"type": "thinking", "thinking": "hm", "signature": "c2ln"}],
}
SIGNED_CALL = {**wire_call(call_id="call_1__thought__c2ln"), "provider_specific_fields": {"thought_signature": "c2ln"}}
GEMINI = "gemini/gemini-2.5-flash"


def conversation(writer: str) -> list[Json]:
    message = read_reply({"content": "so", **REASONING, "tool_calls": [SIGNED_CALL]}, "stop", Usage(), writer).message
    result = {"role": "tool", "tool_call_id": "call_1__thought__c2ln", "content": "ok"}
    return [{"role": "user", "content": "hi"}, message, result]


def test_a_model_gets_its_own_turns_back_whole() -> None:
    _, turn, result = outgoing(conversation(GEMINI), ModelChoice(name=GEMINI))
    assert turn == {"role": "assistant", "content": "so", **REASONING, "tool_calls": [SIGNED_CALL]}
    assert result["tool_call_id"] == "call_1__thought__c2ln"


@pytest.mark.parametrize("reader", ["openai/gpt-5-mini", "anthropic/claude-sonnet-4-5", "mistral/mistral-large-latest"])
def test_a_model_gets_the_turns_of_others_plain(reader: str) -> None:
    _, turn, result = outgoing(conversation(GEMINI), ModelChoice(name=reader))
    (call,) = turn.pop("tool_calls")
    assert turn == {"role": "assistant", "content": "so"}
    assert call == wire_call(call_id=result["tool_call_id"])
    assert len(call["id"]) == 9
    assert call["id"].isalnum()


@pytest.mark.parametrize(
    "choice",
    [
        ModelChoice(name="groq/openai/gpt-oss-120b"),
        ModelChoice(name="openai/gpt-oss", base_url="https://api.groq.com/openai/v1"),
    ],
    ids=str,
)
def test_strict_providers_get_no_reasoning_back_not_even_their_own(choice: ModelChoice) -> None:
    _, turn, _ = outgoing(conversation(choice.name), choice)
    assert turn.keys() == {"role", "content", "tool_calls"}
    assert turn["tool_calls"] == [wire_call(call_id="call_1__thought__c2ln")]


def test_the_conversation_itself_stays_as_it_was() -> None:
    messages = conversation(GEMINI)
    before = json.dumps(messages)
    outgoing(messages, ModelChoice(name="openai/gpt-5-mini"))
    assert json.dumps(messages) == before
