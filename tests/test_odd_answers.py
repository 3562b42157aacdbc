"""Answers as odd providers and models give them, over real HTTP: what loses nothing is taken, the rest has a reason."""

import asyncio
import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from agent.errors import Permanent
from agent.llm.faults import MIN_ANSWER_TOKENS, Fault, smaller_bound
from agent.llm.gateway import Gateway
from agent.llm.model import ModelRequest
from agent.records import Json, Reply
from tests.provider import Answer, call, calls, chat, completion, events, fault, provider, says
from tests.test_gateway import HELLO, JSON_TYPE, ask, choice, tool

PAGE = '<!doctype html>\n<title>A "quoted" page</title>\n<p>it\'s {"name": "x"} \\ </p>\n'
FILE = {"path": "index.html", "content": PAGE}
TOOLS = [tool("run_check", "ids"), tool("write_file", "path", "content")]


@pytest.fixture(scope="module", autouse=True)
def _litellm_is_loaded() -> None:
    asyncio.run(Gateway([]).warm_up())


def answered(*script: Answer, messages: Sequence[Json] = HELLO, **more: Any) -> Reply:
    """The reply to one request, which took exactly these answers."""
    with provider(script) as server:
        reply = ask(choice(server.url, **more), messages=messages, tools=TOOLS)
        assert len(server.requests) == len(script)
    return reply


# -- calls that stand in the text --------------------------------------------------------------------------------------

CALL = json.dumps({"name": "write_file", "arguments": FILE})
ARGUMENTS = json.dumps(FILE)
PARAMETERS = f"<parameter=path>\nindex.html\n</parameter>\n<parameter=content>\n{PAGE}\n</parameter>"
NAMED = f'<parameter name="path">index.html</parameter>\n<parameter name="content">{PAGE}</parameter>'
PYTHON = f"write_file(path='index.html', content={PAGE!r})"
BAR = "\uff5c"
IN_TEXT = {
    "tool_call tags": f"<tool_call>\n{CALL}\n</tool_call>",
    "a tag that is not closed": f"I write it now.\n<tool_call>\n{CALL}",
    "a bare object": CALL,
    "an object in a fence": f"```json\n{CALL}\n```",
    "a list of objects": f"[{CALL}]",
    "parameters for arguments": json.dumps({"name": "write_file", "parameters": FILE}),
    "arguments as text": json.dumps({"name": "write_file", "arguments": ARGUMENTS}),
    "as in a message": json.dumps({"tool_calls": [{"type": "function", "function": json.loads(CALL)}]}),
    "a Python dict": str(json.loads(CALL)),
    "Mistral's mark": f"[TOOL_CALLS][{CALL}]",
    "Mistral's newer mark": f"[TOOL_CALLS]write_file[ARGS]{ARGUMENTS}",
    "Llama's mark": f"<|python_tag|>{CALL}",
    "a function with an object": f"<function=write_file>{ARGUMENTS}</function>",
    "a function with parameters": f"<tool_call>\n<function=write_file>\n{PARAMETERS}\n</function>\n</tool_call>",
    "invoke": f'<function_calls>\n<invoke name="write_file">\n{NAMED}\n</invoke>\n</function_calls>',
    "invoke in a namespace": f'<x:function_calls><x:invoke name="write_file">{NAMED}</x:invoke></x:function_calls>',
    "keys and values": "<tool_call>write_file\n<arg_key>path</arg_key>\n<arg_value>index.html</arg_value>\n"
    f"<arg_key>content</arg_key>\n<arg_value>{PAGE}</arg_value>\n</tool_call>",
    "Kimi's marks": "<|tool_call_begin|>functions.write_file:0<|tool_call_argument_begin|>"
    f"{ARGUMENTS}<|tool_call_end|>",
    "DeepSeek's marks": f"<{BAR}tool_call_begin{BAR}>function<{BAR}tool_sep{BAR}>write_file\n```json\n{ARGUMENTS}\n```"
    f"<{BAR}tool_call_end{BAR}>",
    "tool_code": f"```tool_code\nprint(default_api.{PYTHON})\n```",
    "tool_code with a variable": f"```tool_code\npage = {PAGE!r}\nwrite_file('index.html', page)\n```",
    "a list in Python": f"[{PYTHON}]",
    "after thoughts": f'<think>perhaps {{"name": "run_check", "arguments": {{}}}}?</think>\n{CALL}',
}


@pytest.mark.parametrize("name", IN_TEXT)
def test_a_call_is_found_wherever_a_model_writes_it(name: str) -> None:
    reply = answered(says(IN_TEXT[name]))
    assert [(one.name, one.arguments, one.problem) for one in reply.calls] == [("write_file", FILE, "")]
    (sent,) = reply.message["tool_calls"]
    assert json.loads(sent["function"]["arguments"]) == FILE
    assert PAGE not in reply.message.get("content", "")  # it would be read twice in each turn that follows


@pytest.mark.parametrize("name", ["tool_call tags", "invoke", "a function with parameters", "a bare object"])
def test_many_calls_in_a_text_are_found_in_their_order(name: str) -> None:
    other = IN_TEXT[name].replace("index.html", "b.html")
    reply = answered(says(f"First this:\n{IN_TEXT[name]}\nthen that:\n{other}"))
    assert [one.arguments["path"] for one in reply.calls] == ["index.html", "b.html"]
    assert len({one.id for one in reply.calls}) == 2
    assert "First this:" in reply.message["content"]


def test_a_model_that_writes_its_calls_goes_on_being_asked_for_calls() -> None:
    with provider([says(CALL), call("run_check")]) as server:
        first = ask(choice(server.url), tools=TOOLS)
        result = {"role": "tool", "tool_call_id": first.calls[0].id, "content": "done"}
        ask(choice(server.url), messages=[*HELLO, first.message, result], tools=TOOLS)
    assert all("tools" in request.body for request in server.requests)
    assert server.requests[1].body["messages"][1:] == [
        {"role": "assistant", "tool_calls": first.message["tool_calls"]},
        result,
    ]


NO_CALLS = {
    "another name": json.dumps({"name": "Harbour", "arguments": {"path": "x"}}),
    "no arguments": json.dumps({"name": "write_file", "description": "writes a file"}),
    "a name in prose": "I shall call write_file(path, content) when I know more.",
    "code of a page": "```js\nconst a = {'name': 'run_check'};\n```",
    "Python for people": "```python\nprint(open('a').read())\n```",
}


@pytest.mark.parametrize("name", NO_CALLS)
def test_what_calls_no_tool_that_was_offered_stays_text(name: str) -> None:
    reply = answered(says(NO_CALLS[name]))
    assert (reply.calls, reply.message["content"]) == ((), NO_CALLS[name])


BROKEN = {
    "cut off": (CALL[:80], "length", "cut off, send fewer or smaller files"),
    "a parameter without its end": (f'<invoke name="write_file">{NAMED[:99]}', "length", "its last parameter is not"),
    "a call without its end": (f'<invoke name="write_file">{NAMED[:70]}', "length", "the call is not closed"),
    "no JSON": ('{"name": "write_file", "arguments": {"path": index.html}}', "stop", "arguments were no JSON"),
    "more than a literal": ("```tool_code\nwrite_file('a', open('b').read())\n```", "stop", "call the tool itself"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_call_in_the_text_that_cannot_be_read_is_answered_with_the_reason(name: str) -> None:
    text, finish_reason, reason = BROKEN[name]
    reply = answered(completion({"content": text}, finish_reason))
    assert [(one.name, one.arguments) for one in reply.calls] == [("write_file", {})]
    assert reason in reply.calls[0].problem


@pytest.mark.parametrize(
    "text",
    [
        '{"name": ' * 300_000,
        "<function=write_file>" * 100_000,
        "<tool_call>" * 200_000,
        "x" * 2_000_000 + "{",
        "write_file" * 200_000,
        "```tool_code\n" * 150_000,
        "```tool_code\nwrite_file(" + "-" * 500_000,
        '<invoke name="write_file">' + '<parameter name="a">' * 100_000,
    ],
    ids=lambda text: text[:20],
)
def test_a_hostile_text_is_read_in_no_time(text: str) -> None:
    began = time.process_time()
    answered(says(text))
    assert time.process_time() - began < 20


def test_a_call_in_the_old_field_is_a_call() -> None:
    legacy = completion(
        {"content": None, "function_call": {"name": "write_file", "arguments": ARGUMENTS}}, "function_call"
    )
    reply = answered(legacy)
    assert [(one.name, one.arguments) for one in reply.calls] == [("write_file", FILE)]
    assert "function_call" not in reply.message


@pytest.mark.parametrize(
    "name", ["functions.write_file", "default_api.write_file", "functions.write_file:0", "tools/write_file"]
)
def test_what_stands_before_a_tools_name_is_left_out(name: str) -> None:
    assert [one.name for one in answered(calls((name, FILE))).calls] == ["write_file"]


@pytest.mark.parametrize("text", [str(FILE), f"```json\n{ARGUMENTS}\n```", f"```\n{ARGUMENTS},\n```"[:-5] + "\n```"])
def test_arguments_as_python_or_in_a_fence_are_read(text: str) -> None:
    assert [(one.arguments, one.problem) for one in answered(calls(("write_file", text))).calls] == [(FILE, "")]


# -- thoughts ----------------------------------------------------------------------------------------------------------

MARKS = "<p>Models write &lt;think> and </think> marks.</p>\n"
THOUGHTFUL = {
    "no thoughts": "",
    "thoughts": "<think>What does </think> mean? FILE: no.js</think>\n",
    "thoughts that began in the prompt": "Let me see.\nFILE: no.js\n```\nx\n```\n</think>\n",
}


@pytest.mark.parametrize("name", THOUGHTFUL)
def test_a_file_may_hold_the_marks_of_thoughts(name: str) -> None:
    files = f"FILE: a.html\n````\n{MARKS}````\n\nFILE: README.md\n```\n# T\n```html\n{MARKS}```\n```\n"
    reply = answered(says(THOUGHTFUL[name] + files), tool_mode="text")
    assert [one.arguments for one in reply.calls] == [
        {"path": "a.html", "content": MARKS},
        {"path": "README.md", "content": f"# T\n```html\n{MARKS}```\n"},
    ]


# -- ids ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", [["", ""], ["call_0", "call_0"], ["call_1", "call"]])
def test_no_two_calls_of_a_conversation_share_an_id(given: list[str]) -> None:
    messages, seen = list(HELLO), []
    with provider([calls(("run_check", {}), ("run_check", {}), ids=given)] * 3) as server:
        for _ in range(3):
            reply = ask(choice(server.url), messages=messages, tools=TOOLS)
            seen += [one.id for one in reply.calls]
            messages += [reply.message, *({"role": "tool", "tool_call_id": i.id, "content": "ok"} for i in reply.calls)]
    assert len(set(seen)) == 6


# -- bounds of an answer -----------------------------------------------------------------------------------------------

BOUNDS = {
    "vLLM": (
        "'max_tokens' is too large: {0}. This model's maximum context length is 16384 tokens and your request has 3120 "
        "input tokens ({0} > 16384 - 3120).",
        13_264,
    ),
    "Anthropic's window": ("input length and `max_tokens` exceed context limit: 180000 + {0} > 200000", 20_000),
    "Anthropic's limit": ("max_tokens: {0} > 8192, which is the maximum for claude-3-5-sonnet-20241022", 8_192),
    "OpenAI": (
        "This model's maximum context length is 8192 tokens. However, you requested 35120 tokens (3120 in the messages,"
        " {0} in the completion).",
        5_072,
    ),
    "OpenAI's limit": ("max_tokens is too large: {0}. This model supports at most 16384 completion tokens", 16_384),
    "DeepSeek": ("Invalid max_tokens value, the valid range of max_tokens is [1, 8192]", 8_191),
    "Gemini": ("it has a maxOutputTokens value of {0} but the range is from 1 (inclusive) to 8193 (exclusive)", 8_192),
    "OpenRouter": (
        "requires more credits, or fewer max_tokens. You requested {0} tokens, but can only afford 5,120",
        5_120,
    ),
    "no figure": ("max_tokens is too large", None),
}


@pytest.mark.parametrize("name", BOUNDS)
def test_a_bound_that_is_too_large_is_made_to_fit(name: str) -> None:
    words, fits = BOUNDS[name]
    status = 402 if "afford" in words else 400
    with provider([fault(status, words.format(32_000)), says("ok")]) as server:
        assert ask(choice(server.url, "openai/claude-at-home")).text == "ok"
    assert [request.body.get("max_tokens") for request in server.requests] == [32_000, fits]


def test_a_bound_as_large_as_the_window_leaves_room_for_the_prompt() -> None:
    with provider([says("ok")]) as server:
        ask(choice(server.url, "deepinfra/Qwen/Qwen2.5-72B-Instruct"))
    assert server.requests[0].body["max_tokens"] == 16_384


def test_what_can_be_afforded_is_asked_for_where_no_bound_was_sent() -> None:
    with provider([fault(402, "You requested up to 65535 tokens, but can only afford 4000"), says("ok")]) as server:
        assert ask(choice(server.url)).text == "ok"
    assert [request.body.get("max_tokens") for request in server.requests] == [None, 4_000]


@pytest.mark.parametrize(
    ("status", "words", "reason"),
    [
        (402, "You requested up to 32000 tokens, but can only afford 80", "has no credit left"),
        (400, "maximum context length is 8192 tokens, but the messages have 9000", "a larger context"),
        (400, "max_tokens + input exceed the context: 32000 + 7900 > 8192", "refuses the request"),
    ],
)
def test_a_bound_that_leaves_too_little_is_not_tried(status: int, words: str, reason: str) -> None:
    with provider([fault(status, words)]) as server, pytest.raises(Permanent, match=reason):
        ask(choice(server.url, "openai/claude-at-home"))
    assert len(server.requests) == 1


def test_a_provider_that_never_takes_a_bound_is_asked_a_few_times_at_most() -> None:
    def refuses(body: Json) -> Answer:
        sent = body.get("max_tokens", 30_000)
        return fault(400, f"max_tokens: {sent} > {sent - 100}, the maximum")

    with provider(refuses) as server, pytest.raises(Permanent, match="refuses the request"):
        ask(choice(server.url, "openai/claude-at-home"))
    assert len(server.requests) < 9


def test_figures_of_a_rate_limit_are_no_bound() -> None:
    assert smaller_bound(Fault(429, "", "Limit 30000, used 3000, max_tokens 32000: try again in 2s"), 32_000) is None
    assert smaller_bound(Fault(400, "", f"max_tokens 32000 > {MIN_ANSWER_TOKENS - 1}"), 32_000) is None


# -- streams -----------------------------------------------------------------------------------------------------------


def deltas(*parts: Json, finish_reason: str = "stop") -> list[Json]:
    told = [{"index": 0, "delta": part, "finish_reason": None} for part in parts]
    return [
        *({"choices": [one]} for one in told),
        {"choices": [{"index": 0, "delta": {}, "finish_reason": finish_reason}]},
    ]


STREAM_TYPE = {"Content-Type": "text/event-stream"}
USAGE = {"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}}
WORDS = [*deltas({"role": "assistant", "content": "hel"}, {"content": "lo"}), USAGE]


def piece(text: str, **first: Any) -> Json:
    return {"tool_calls": [{"index": 0, "function": {"arguments": text, **first}, **({"id": ""} if first else {})}]}


CALLED = [
    *deltas(piece("", name="write_file"), piece(ARGUMENTS[:9]), piece(ARGUMENTS[9:]), finish_reason="tool_calls"),
    USAGE,
]
WHOLE = json.loads(says("hello").body)
UNASKED = {
    "a stream": events(*WORDS),
    "a stream that says it is JSON": events(*WORDS, content_type="application/json"),
    "a stream that does not say when it ends": events(*WORDS, done=False),
    "a stream with remarks": Answer(
        b": PROCESSING\n\n" + events(*WORDS).body, headers={"Content-Type": "text/event-stream"}
    ),
    "JSON and the end of a stream": Answer(json.dumps(WHOLE).encode() + b"\n\ndata: [DONE]\n\n", headers=JSON_TYPE),
    "one event that holds it all": events(WHOLE),
}


@pytest.mark.parametrize("name", UNASKED)
def test_an_answer_in_a_stream_that_nobody_asked_for_is_read(name: str) -> None:
    reply = answered(UNASKED[name])
    assert (reply.text, reply.usage.model_calls, reply.usage.failed_calls) == ("hello", 1, 0)
    assert reply.usage.prompt_tokens in (7, 100)


def test_calls_in_a_stream_are_read() -> None:
    reply = answered(events(*CALLED))
    assert [(one.name, one.arguments) for one in reply.calls] == [("write_file", FILE)]


ODD_STREAMS = {
    "another API's": events({"type": "message_start", "message": {"id": "m"}}),
    "no JSON": Answer(b"data: hel\n\ndata: lo\n\n", headers=STREAM_TYPE),
    "names of events only": Answer(b"event: ping\n\n", headers=STREAM_TYPE),
}


@pytest.mark.parametrize("name", ODD_STREAMS)
def test_a_stream_that_is_nobodys_is_one_request_and_one_sentence(name: str) -> None:
    words = "streams in a form that is not OpenAI's: check LLM_MODEL and LLM_BASE_URL"
    with provider([ODD_STREAMS[name]]) as server, pytest.raises(Permanent, match=words):
        ask(choice(server.url))
    assert len(server.requests) == 1


def test_a_fault_inside_a_stream_passes() -> None:
    assert answered(events({"error": {"message": "overloaded"}}), says("ok")).text == "ok"


STREAM_ONLY = {
    "DashScope": "This model only support stream mode, please enable the stream parameter to access the model.",
    "another gateway": "Non-streaming requests are not supported",
    "a third": "`stream` must be true",
}


async def twice(gateway: Gateway) -> list[Reply]:
    return [await gateway.complete(ModelRequest(HELLO, TOOLS, timeout_s=60)) for _ in range(2)]


@pytest.mark.parametrize("name", STREAM_ONLY)
def test_a_model_that_only_streams_is_asked_for_a_stream_from_then_on(name: str) -> None:
    def only_streams(body: Json) -> Answer:
        return events(*CALLED) if body.get("stream") else fault(400, STREAM_ONLY[name])

    with provider(only_streams) as server:
        first, again = asyncio.run(twice(Gateway([choice(server.url)])))
    assert [one.arguments for one in first.calls] == [one.arguments for one in again.calls] == [FILE]
    assert (first.usage.prompt_tokens, first.usage.failed_calls, again.usage.failed_calls) == (7, 1, 0)
    assert [request.body.get("stream", False) for request in server.requests] == [False, True, True]


def test_a_model_that_refuses_both_ways_is_asked_twice() -> None:
    refused = fault(400, "stream must be true")
    with provider([refused] * 2) as server, pytest.raises(Permanent, match="refuses the request, streamed or not"):
        ask(choice(server.url))
    assert len(server.requests) == 2


# -- nothing to go on with ---------------------------------------------------------------------------------------------


def gemini(reason: str, parts: Sequence[Json] = (), **more: Any) -> Answer:
    usage = {"promptTokenCount": 7, "candidatesTokenCount": 0, "totalTokenCount": 7}
    candidates = [{"finishReason": reason, "index": 0, "content": {"role": "model", "parts": list(parts)}}]
    body = {"candidates": candidates, "usageMetadata": usage, "modelVersion": "gemini-x", **more}
    return Answer(json.dumps(body).encode(), headers=JSON_TYPE)


def claude(reason: str, *content: Json) -> Answer:
    usage = {"input_tokens": 7, "output_tokens": 1}
    body = {"id": "m", "type": "message", "role": "assistant", "model": "c", "content": content, "usage": usage}
    return Answer(json.dumps({**body, "stop_reason": reason, "stop_sequence": None}).encode(), headers=JSON_TYPE)


THOUGHT = {"type": "thinking", "thinking": "hm", "signature": "c2ln"}
NOTHING: Mapping[str, tuple[str, Answer, str]] = {
    "nothing": ("openai/a", says(None), "no word and no call, finish_reason stop"),
    "blanks": ("openai/a", says("\n "), "no word and no call"),
    "reasoning only": ("openai/a", says(None, reasoning_content="hm"), "only reasoning, finish_reason stop"),
    "reasoning cut off": (
        "openai/a",
        completion({"content": "", "reasoning_content": "hm"}, "length"),
        "only reasoning, finish_reason length",
    ),
    "a filter": ("openai/a", completion({"content": "Sor"}, "content_filter"), "Sor, finish_reason content_filter"),
    "a refusal": ("openai/a", completion({"content": None, "refusal": "I will not."}), "it refuses: I will not."),
    "a filter behind a router": ("openrouter/a/b", completion({"content": ""}, "SAFETY"), "finish_reason SAFETY"),
    "Gemini's SAFETY": ("gemini/gemini-x", gemini("SAFETY"), "finish_reason content_filter"),
    "Gemini's PROHIBITED_CONTENT": ("gemini/gemini-x", gemini("PROHIBITED_CONTENT"), "finish_reason content_filter"),
    "Gemini's blocked prompt": (
        "gemini/gemini-x",
        gemini("STOP", candidates=[], promptFeedback={"blockReason": "PROHIBITED_CONTENT"}),
        "finish_reason content_filter",
    ),
    "Gemini's malformed call": ("gemini/gemini-x", gemini("MALFORMED_FUNCTION_CALL"), "MALFORMED_FUNCTION_CALL"),
    "Gemini's thoughts": ("gemini/gemini-x", gemini("MAX_TOKENS", [{"text": "hm", "thought": True}]), "only reasoning"),
    "Claude's refusal": ("anthropic/claude-x", claude("refusal"), "finish_reason content_filter"),
    "Claude's thoughts": ("anthropic/claude-x", claude("max_tokens", THOUGHT), "only reasoning, finish_reason length"),
}


@pytest.mark.parametrize("name", NOTHING)
def test_an_answer_with_nothing_in_it_goes_to_the_next_model_and_then_ends_with_its_reason(name: str) -> None:
    model, answer, reason = NOTHING[name]
    with provider([answer] * 2) as first, provider([says("ok")]) as second:
        reply = ask(choice(first.url, model), choice(second.url, "openai/b"))
        assert (reply.text, reply.model, reply.usage.failed_calls) == ("ok", "openai/b", 1)
        assert reply.usage.by_model[model].prompt_tokens > 0
        alone = ask(choice(first.url, model))  # nobody else is there: it gets another chance, once
    assert (alone.calls, alone.model, alone.usage.failed_calls, alone.usage.model_calls) == ((), model, 1, 1)
    with provider([answer]) as first, pytest.raises(Permanent) as raised:
        ask(choice(first.url, model), messages=[*HELLO, alone.message, *HELLO])
    assert "answered with nothing to go on with" in str(raised.value)
    assert reason in str(raised.value)


def test_a_call_that_gemini_refused_to_hand_over_is_asked_for_in_text_next() -> None:
    with provider(
        [gemini("MALFORMED_FUNCTION_CALL"), gemini("STOP", [{"text": f"FILE: a.html\n````\n{PAGE}````"}])]
    ) as server:
        one = choice(server.url, "gemini/gemini-x")
        failed = ask(one, tools=TOOLS)
        reply = ask(one, messages=[*HELLO, failed.message, *HELLO], tools=TOOLS)
    assert [one.arguments for one in reply.calls] == [{"path": "a.html", "content": PAGE}]
    assert ["tools" in request.body for request in server.requests] == [True, False]


def test_reasoning_that_left_no_room_is_asked_for_again_without_the_effort() -> None:
    thought = completion({"content": "", "reasoning_content": "hm"}, "length")
    with provider([thought, says("ok")]) as server:
        reply = ask(choice(server.url, "openai/gpt-5-mini"), escalation=1)
    assert (reply.text, reply.usage.failed_calls, reply.usage.model_calls) == ("ok", 1, 2)
    assert [request.body.get("reasoning_effort") for request in server.requests] == ["high", None]


def test_calls_are_run_whatever_ended_the_answer() -> None:
    assert answered(calls(("run_check", {}), finish_reason="content_filter")).calls


def test_a_router_whose_provider_died_is_asked_again() -> None:
    died = {"index": 0, "finish_reason": "error", "error": {"code": 502, "message": "died"}, "message": {"content": ""}}
    assert answered(chat([died]), says("ok")).text == "ok"
