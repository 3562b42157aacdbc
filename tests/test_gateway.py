"""The gateway, through the real litellm over real HTTP on loopback, against a provider that plays a script."""

import asyncio
import json
import subprocess
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from agent.errors import ModelError, Permanent, Transient
from agent.llm.faults import Cause, Fault, cause
from agent.llm.gateway import Gateway
from agent.llm.model import Escalation, ModelRequest
from agent.llm.providers import PROVIDERS, WITH_DEFAULT, ModelChoice, prefix_of
from agent.records import Json, Reply, ToolCall, Usage
from tests.provider import Answer, calls, chat, completion, cut, fault, hang, provider, says, unmarked

ROOT = Path(__file__).parent.parent

CANARY = "sk-canary-0123456789"
HELLO: list[Json] = [{"role": "user", "content": "hello"}]
JSON_TYPE = {"Content-Type": "application/json"}


def tool(name: str, *arguments: str) -> Json:
    properties = {argument: {"type": "string"} for argument in arguments}
    schema = {"type": "object", "properties": properties, "required": list(arguments)}
    return {"type": "function", "function": {"name": name, "description": f"Runs {name}.", "parameters": schema}}


TOOLS = [tool("run_check"), tool("write_file", "path", "content")]


@dataclass
class Time:
    """A clock that only sleeping moves."""

    now: float = 0.0
    slept: list[float] = field(default_factory=list)

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture(scope="module", autouse=True)
def _litellm_is_loaded() -> None:
    asyncio.run(Gateway([]).warm_up())


def choice(url: str | None, name: str = "openai/test", **more: Any) -> ModelChoice:
    return ModelChoice(name=name, api_key=SecretStr(CANARY), base_url=url, **more)


def ask(
    *choices: ModelChoice,
    messages: Sequence[Json] = HELLO,
    timeout_s: float = 20,
    time: Time | None = None,
    tools: Sequence[Json] = (),
    **more: Any,
) -> Reply:
    time = time or Time()
    gateway = Gateway(choices, clock=time, sleep=time.sleep)
    return asyncio.run(gateway.complete(ModelRequest(messages, tools or TOOLS, timeout_s=timeout_s, **more)))


def test_a_call_with_tools_comes_back_as_calls() -> None:
    with provider([calls(("write_file", {"path": "a", "content": "é"}), ("run_check", {}))]) as server:
        reply = ask(choice(server.url))
    (request,) = server.requests
    assert request.path == "/v1/chat/completions"
    assert request.headers["authorization"] == f"Bearer {CANARY}"
    assert request.body == {"model": "test", "messages": HELLO, "tools": TOOLS}
    assert reply.calls == (
        ToolCall(id="call_0", name="write_file", arguments={"path": "a", "content": "é"}),
        ToolCall(id="call_1", name="run_check", arguments={}),
    )
    assert (reply.text, reply.finish_reason, reply.model) == ("", "tool_calls", "openai/test")


# -- what goes wrong ---------------------------------------------------------------------------------------------------

REFUSED_CALL = {"error": {"message": "Failed to call", "code": "tool_use_failed", "failed_generation": "<f=write_file"}}


@dataclass(frozen=True)
class Case:
    script: Sequence[Answer]
    outcome: type[ModelError] | str  # the error, or the text of the reply
    words: str = ""  # in the error's message
    slept: Sequence[float] = ()


FAULTS = {
    "rate limit with Retry-After": Case([fault(429, "slow", retry_after="7"), says("ok")], "ok", slept=[7]),
    "Retry-After beyond the time": Case([fault(429, "slow", retry_after="60")], Transient, "slow"),
    "Retry-After as a date": Case(
        [fault(429, "slow", retry_after="Fri, 31 Dec 1999 23:59:59 GMT"), says("ok")], "ok", slept=[1]
    ),
    "500 twice": Case([fault(500, "boom"), fault(500, "boom"), says("ok")], "ok", slept=[1, 2]),
    "529 to the end": Case([fault(529, "overloaded")] * 5, Transient, "overloaded", slept=[1, 2, 4, 8]),
    "502 from a proxy": Case([Answer(b"<html>bad gateway</html>", 502), says("ok")], "ok", slept=[1]),
    "a fault inside a 200": Case(
        [Answer(b'{"error": {"message": "x", "code": 503}}', headers=JSON_TYPE), says("ok")], "ok", slept=[1]
    ),
    "a cut connection": Case([cut(), says("ok")], "ok", slept=[1]),
    "no choices": Case([chat([]), says("ok")], "ok", slept=[1]),
    "never a choice": Case([chat([])] * 2, Permanent, "is no model: check LLM_MODEL and LLM_BASE_URL", slept=[1]),
    "HTML": Case([Answer(b"<html>Login</html>")] * 2, Permanent, "is no model: check LLM_MODEL and LLM", slept=[1]),
    "no JSON": Case([Answer(b"", headers=JSON_TYPE)] * 2, Permanent, "is no model", slept=[1]),
    "no UTF-8": Case([Answer(b'{"choices": "\xff"}', headers=JSON_TYPE)] * 2, Permanent, "is no model", slept=[1]),
    "a wrong key": Case([fault(401, f"Incorrect API key: {CANARY}")], Permanent, "refuses the key: check LLM_API_KEY"),
    "a key without the right": Case([fault(403, f"{CANARY} is abroad")], Permanent, r"\(\[secret\] is abroad\)"),
    "a spent quota": Case(
        [fault(429, "exceeded", code="insufficient_quota")], Permanent, "no credit left: top up the account"
    ),
    "a bill to pay": Case([fault(402, "pay first")], Permanent, "no credit left"),
    "no such model": Case(
        [fault(404, "gone", code="model_not_found")], Permanent, r"check LLM_MODEL and LLM_BASE_URL \(gone"
    ),
    "a bad request": Case([fault(400, "bad\nschema")], Permanent, r"set LLM_MODEL to another model \(bad schema\)"),
    "too long": Case([fault(400, "maximum context length is 8")], Permanent, "a model with a larger context"),
    "the model's own malformed call": Case(
        [Answer(json.dumps(REFUSED_CALL).encode(), 400, JSON_TYPE)],
        "openai/test made a malformed tool call: Failed to call <f=write_file",
    ),
    "a refusal": Case([completion({"content": None, "refusal": "I will not."})], "I will not."),
    "an empty answer": Case([says(None)], ""),
    "a lone surrogate": Case([says("x\ud800y")], "x\ufffdy"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_every_fault_has_its_outcome(name: str) -> None:
    case, time = FAULTS[name], Time()
    with provider(case.script) as server:
        if isinstance(case.outcome, str):
            assert ask(choice(server.url), time=time).text == case.outcome
        else:
            with pytest.raises(case.outcome, match=case.words) as raised:
                ask(choice(server.url), time=time)
            assert CANARY not in "".join(traceback.format_exception(raised.value))
            assert raised.value.__context__ is None
    assert time.slept == list(case.slept)
    assert len(server.requests) == len(case.script)


def test_a_provider_that_hangs_is_cut_at_the_deadline() -> None:
    with provider([hang()]) as server, pytest.raises(Transient, match=r"no answer within 0\.2 s"):
        ask(choice(server.url), timeout_s=0.2)


def test_an_unreachable_provider_is_a_passing_fault() -> None:
    with provider([]) as server:
        url = server.url
    with pytest.raises(Transient, match="cannot answer at the moment"):
        ask(choice(url), timeout_s=0.9)


def test_what_an_unusable_answer_cost_is_counted() -> None:
    with provider([chat([]), says("ok")]) as server:
        usage = ask(choice(server.url)).usage
    assert (usage.model_calls, usage.prompt_tokens, usage.completion_tokens) == (2, 200, 20)
    assert (usage.failed_calls, usage.by_model["openai/test"].failed_calls) == (1, 1)


def test_usage_is_put_down_to_each_model() -> None:
    with provider([fault(401, "no")]) as first, provider([says("ok")]) as second:
        usage = ask(choice(first.url, "openai/a"), choice(second.url, "openai/b")).usage
    assert {name: (one.model_calls, one.failed_calls) for name, one in usage.by_model.items()} == {
        "openai/a": (0, 1),
        "openai/b": (1, 0),
    }


def test_every_refused_request_is_counted() -> None:
    bad, no_tools = fault(400, "no effort with tools"), fault(400, "x does not support tools")
    with provider([bad, no_tools, fault(500, "boom"), says("ok")]) as server:
        usage = ask(choice(server.url), escalation=1).usage
    assert (usage.failed_calls, usage.model_calls, len(server.requests)) == (3, 1, 4)


def test_what_was_tried_in_vain_comes_with_the_error() -> None:
    with provider([chat([]), fault(401, "no")]) as first, pytest.raises(Permanent) as raised:
        ask(choice(first.url), ModelChoice(name="groq/keyless"))
    again = Permanent(*raised.value.args)
    spent = Usage.model_validate(again.spent)
    assert (spent.model_calls, spent.failed_calls, spent.prompt_tokens) == (1, 3, 100)
    assert {name: one.failed_calls for name, one in spent.by_model.items()} == {"openai/test": 2, "groq/keyless": 1}


def test_a_request_that_is_made_again_without_what_was_refused_has_no_more_time() -> None:
    time = Time()

    def slow_refusal(_: Json) -> Answer:
        time.now += 30
        return fault(400, "no effort with tools")

    with provider(slow_refusal) as server, pytest.raises(Transient):
        ask(choice(server.url), time=time, escalation=1)
    assert len(server.requests) == 1


CAUSES: dict[tuple[int | None, str], Cause] = {
    (401, "BadRequestError invalid_request_error"): "key",
    (402, ""): "quota",
    (403, ""): "forbidden",
    (404, ""): "name",
    (408, ""): "passing",
    (413, "Request too large"): "context",
    (429, "RateLimitError"): "passing",
    (429, "insufficient_quota"): "quota",
    (400, "Your credit balance is too low"): "quota",
    (400, "ContextWindowExceededError"): "context",
    (400, "failed_generation"): "mistake",
    (400, "LLM Provider NOT provided"): "name",
    (400, "x is not a valid model ID"): "name",
    (400, "UnsupportedParamsError"): "request",
    (422, ""): "request",
    (422, "Error converting to valid response block"): "unreadable",
    (200, "Unable to get json response"): "unreadable",
    (500, "Invalid response object Traceback (most recent call last)"): "unreadable",
    (500, "Missing credentials"): "no_key",
    (500, ""): "passing",
    (529, "overloaded_error"): "passing",
    (None, "ValueError"): "unreadable",
}


@pytest.mark.parametrize(("facts", "expected"), CAUSES.items(), ids=str)
def test_a_cause_is_told_by_status_first(facts: tuple[int | None, str], expected: Cause) -> None:
    assert cause(Fault(*facts)) == expected


@pytest.mark.parametrize("size", [10, 2_000_000])
def test_many_calls_and_a_huge_file_in_one_answer_are_all_read(size: int) -> None:
    wanted = [("write_file", {"path": f"{n}.js", "content": "x" * (size if n == 0 else 1)}) for n in range(10)]
    with provider([calls(*wanted)]) as server:
        reply = ask(choice(server.url))
    assert [(call.name, call.arguments) for call in reply.calls] == wanted
    assert len({call.id for call in reply.calls}) == 10


# -- a chain of models -------------------------------------------------------------------------------------------------


def test_the_next_model_answers_when_one_fails_for_good() -> None:
    with provider([fault(401, "no")]) as first, provider([says("ok")]) as second:
        reply = ask(choice(first.url, "openai/a"), choice(second.url, "openai/b"))
    assert (reply.text, reply.model) == ("ok", "openai/b")


def test_a_model_without_its_key_is_passed_over() -> None:
    with provider([says("ok")]) as server:
        assert ask(ModelChoice(name="groq/a"), choice(server.url, "openai/b")).model == "openai/b"


def test_a_short_fault_is_waited_out_before_another_model_is_asked() -> None:
    time = Time()
    with provider([fault(503, "busy"), says("ok")]) as first, provider([]) as second:
        assert ask(choice(first.url, "openai/a"), choice(second.url, "openai/b"), time=time).model == "openai/a"
    assert (time.slept, second.requests) == ([1], [])


def test_a_long_wait_goes_to_the_next_model() -> None:
    time = Time()
    with provider([fault(429, "slow", retry_after="15")]) as first, provider([says("ok")]) as second:
        assert ask(choice(first.url, "openai/a"), choice(second.url, "openai/b"), time=time).model == "openai/b"
    assert time.slept == []


def test_the_first_model_is_asked_again_when_the_others_are_dead() -> None:
    time = Time()
    with provider([fault(429, "slow", retry_after="15"), says("ok")]) as first, provider([fault(404, "")]) as second:
        assert ask(choice(first.url, "openai/a"), choice(second.url, "openai/b"), time=time).model == "openai/a"
    assert time.slept == [15]


def test_a_model_that_hangs_leaves_time_for_the_next_and_is_not_asked_again_before_it() -> None:
    with provider([hang()] * 9) as first, provider([fault(500, "boom"), says("ok")]) as second:
        assert ask(choice(first.url, "openai/a"), choice(second.url, "openai/b"), timeout_s=2).model == "openai/b"
    assert len(first.requests) == 1


def test_when_no_model_will_ever_answer_each_setting_is_named() -> None:
    fallback = {"name_variable": "LLM_FALLBACK_MODELS"}
    keyless = ModelChoice(name="groq/c", key_variable="GROQ_API_KEY")
    with (
        provider([fault(401, "no")]) as first,
        provider([fault(400, "odd")]) as second,
        pytest.raises(Permanent) as raised,
    ):
        ask(choice(first.url, "openai/a"), choice(second.url, "openai/b", **fallback), keyless)
    assert str(raised.value).split("; ") == [
        "openai/a refuses the key: check LLM_API_KEY",
        "openai/b refuses the request: set LLM_FALLBACK_MODELS to another model (odd)",
        "groq/c has no key: set GROQ_API_KEY",
    ]


# -- what is sent ------------------------------------------------------------------------------------------------------


def test_each_request_begins_with_the_one_before() -> None:
    truncated = calls(("write_file", '{"path": "a", "content": "<ht'), finish_reason="length")
    with provider([truncated, says("ok")]) as server:
        reply = ask(choice(server.url))
        result = {"role": "tool", "tool_call_id": reply.calls[0].id, "content": reply.calls[0].problem}
        ask(choice(server.url), messages=[*HELLO, reply.message, result])
    first, second = (request.body["messages"] for request in server.requests)
    assert second[: len(first)] == first
    stored = {"id": "call_0", "type": "function", "function": {"name": "write_file", "arguments": "{}"}}
    assert second[1:] == [{"role": "assistant", "tool_calls": [stored]}, result]


def test_reasoning_goes_back_to_the_model_that_reasoned() -> None:
    with provider([says("so", reasoning_content="hm"), says("ok")]) as server:
        reply = ask(choice(server.url))
        ask(choice(server.url), messages=[*HELLO, reply.message, *HELLO])
    assert server.requests[1].body["messages"][1] == {"role": "assistant", "content": "so", "reasoning_content": "hm"}


@pytest.mark.parametrize("name", ["openai/test", "anthropic/claude-x", "gemini/gemini-x", "ollama_chat/x", "mistral/x"])
def test_what_was_handed_in_stays_as_it_was(name: str) -> None:
    call = {"id": "c", "type": "function", "function": {"name": "run_check", "arguments": "{}"}}
    messages = [
        *HELLO,
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": ""},
    ]
    before = json.dumps([messages, TOOLS])
    with provider([fault(401, "no")]) as server, pytest.raises(Permanent, match="refuses the key"):
        ask(choice(server.url, name), messages=messages)
    assert len(server.requests) == 1
    assert json.dumps([messages, TOOLS]) == before


def test_calls_share_a_connection_whatever_time_each_has_left() -> None:
    async def converse(url: str) -> None:
        gateway = Gateway([choice(url)])
        for left_s in (20.0, 19.5, 3.0):
            await gateway.complete(ModelRequest(HELLO, TOOLS, timeout_s=left_s))

    with provider(lambda _: says("ok")) as server:
        asyncio.run(converse(server.url))
    assert len(server.requests) == 3
    assert len({request.port for request in server.requests}) == 1


def test_a_lone_surrogate_in_a_message_is_replaced() -> None:
    with provider([says("ok")]) as server:
        ask(choice(server.url), messages=[{"role": "user", "content": "x\ud800y"}])
    assert server.requests[0].body["messages"][0]["content"] == "x\ufffdy"


@pytest.mark.parametrize(
    ("name", "bound"),
    [
        ("openai/gpt-5-mini", {"max_completion_tokens": 32_000}),
        ("openai/gpt-4o", {"max_tokens": 16_384}),
        ("anthropic/claude-of-next-year", {"max_tokens": 32_000}),
        ("openai/unknown", {}),
        ("groq/openai/gpt-oss-120b", {}),
    ],
)
def test_an_answer_is_bounded_where_the_bound_is_known_to_be_allowed(name: str, bound: Json) -> None:
    with provider([fault(401, "no")]) as server, pytest.raises(Permanent):
        ask(choice(server.url, name))
    assert {key: value for key, value in server.requests[0].body.items() if key.startswith("max")} == bound


def test_a_local_server_needs_no_key() -> None:
    with provider([says("ok")]) as server:
        assert ask(ModelChoice(name="openai/local", base_url=server.url)).text == "ok"


@pytest.mark.parametrize("name", ["anthropic/claude-sonnet-4-5", "openrouter/anthropic/claude-sonnet-4.5"])
def test_a_claude_is_told_where_its_cache_may_end_and_nothing_else_changes(name: str) -> None:
    call_made = {"id": "c", "type": "function", "function": {"name": "run_check", "arguments": "{}"}}
    messages: list[Json] = [{"role": "system", "content": "S"}, *HELLO]
    turn: list[Json] = [
        {"role": "assistant", "tool_calls": [call_made]},
        {"role": "tool", "tool_call_id": "c", "content": "fine"},
    ]
    with provider([fault(401, "no")] * 2) as server:
        for asked in (messages, messages + turn):
            with pytest.raises(Permanent):
                ask(choice(server.url, name), messages=asked)
    first, second = (request.body for request in server.requests)
    assert json.dumps(first).count('"cache_control"') == 2
    assert json.dumps(second).count('"cache_control"') == 3
    assert json.dumps(second["messages"][-1]).count('"cache_control"') == 1
    first, second = unmarked(first), unmarked(second)
    assert second["messages"][: len(first["messages"])] == first["messages"]
    assert [first[key] for key in ("tools", *("system",) * ("system" in first))] == [
        second[key] for key in ("tools", *("system",) * ("system" in second))
    ]


def test_no_other_model_sees_a_cache_mark() -> None:
    with provider([says("ok")]) as server:
        ask(choice(server.url, "openai/claude-at-home"))
    assert "cache_control" not in json.dumps(server.requests[0].body)


def test_a_stuck_task_is_thought_about_harder_and_then_by_the_next_model() -> None:
    def asked(escalation: Escalation, script: Sequence[Answer]) -> tuple[str, list[object]]:
        with provider(script) as first, provider([says("ok")]) as second:
            chain = [choice(first.url, "openai/gpt-5-mini"), choice(second.url, "openai/gpt-5")]
            reply = asyncio.run(
                Gateway(chain).complete(ModelRequest(HELLO, TOOLS, timeout_s=20, escalation=escalation))
            )
            requests = [*first.requests, *second.requests]
        return reply.model, [request.body.get("reasoning_effort") for request in requests]

    assert asked(0, [says("ok")]) == ("openai/gpt-5-mini", [None])
    assert asked(1, [says("ok")]) == ("openai/gpt-5-mini", ["high"])
    assert asked(1, [fault(400, "no effort with tools"), says("ok")]) == ("openai/gpt-5-mini", ["high", None])
    assert asked(2, []) == ("openai/gpt-5", ["high"])


# -- what it costs -----------------------------------------------------------------------------------------------------


def test_a_known_price_is_counted_and_an_unknown_one_is_none() -> None:
    answer = completion({"content": "ok"}, prompt_tokens_details={"cached_tokens": 60})
    with provider([answer, answer, answer]) as server:
        known, unknown, unpriced = (
            ask(choice(server.url, name)).usage
            for name in ("openai/gpt-5-mini", "openai/unknown", "openrouter/openai/gpt-5-mini")
        )
    assert (known.prompt_tokens, known.completion_tokens, known.cached_tokens) == (100, 10, 60)
    assert known.cost_usd == pytest.approx(40 * 0.25e-6 + 60 * 0.025e-6 + 10 * 2e-6)
    assert unknown.cost_usd is None
    assert unpriced.cost_usd is None


# -- litellm -----------------------------------------------------------------------------------------------------------


def test_litellm_is_not_imported_before_it_is_needed() -> None:
    program = "import sys, agent.llm.choice, agent.llm.gateway, agent.llm.replay; print('litellm' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"


def test_the_prefixes_are_ones_that_litellm_knows() -> None:
    import litellm

    assert {str(getattr(name, "value", name)) for name in litellm.provider_list} >= PROVIDERS.keys()
    assert {prefix_of(one.default_model) for one in WITH_DEFAULT} <= PROVIDERS.keys()


def test_lines_logged_while_litellm_is_imported_neither_wait_for_it_nor_meet_its_filters() -> None:
    script = """
import asyncio, logging, threading
from agent.llm.gateway import Gateway
from agent.llm.choice import ModelChoice

logging.basicConfig(level=logging.INFO)
server = logging.getLogger("uvicorn.error")
done = threading.Event()

def chatter():
    while not done.wait(0.001):
        server.warning("a line")

threading.Thread(target=chatter, daemon=True).start()
asyncio.run(Gateway([ModelChoice(name="openai/x")]).warm_up())
done.set()
loggers = [logging.root, *(logging.getLogger(name) for name in logging.root.manager.loggerDict)]
found = [f for logger in loggers for place in (logger, *logger.handlers) for f in place.filters]
assert not [f for f in found if type(f).__module__.startswith("litellm")], found
server.warning("the last line")
"""
    ran = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stderr[-2000:]
    assert "the last line" in ran.stderr
