"""Models without tool calls: what they write becomes calls, and what calls came to becomes words."""

import json
from collections.abc import Sequence
from itertools import pairwise

import pytest

from agent.llm import text_protocol
from agent.llm.messages import read_reply
from agent.llm.providers import ModelChoice
from agent.records import Json, Reply, Usage
from agent.tools import registry
from tests.provider import Answer, call, calls, fault, provider, says
from tests.test_gateway import ask, choice

PAGE = '<!doctype html>\n<title>A "quoted" &amp; plain page</title>\n'
ANSWER = f"""Here it is.

FILE: index.html
````
{PAGE}````

EDIT: js/app.js
````
<<<<<<< SEARCH
one
=======
two
>>>>>>> REPLACE
<<<<<<< SEARCH
three
=======
>>>>>>> REPLACE
````

CALL: read_attachment
````
{{"name": "data.csv"}}
````
"""


def read(text: str, finish_reason: str = "stop") -> Reply:
    return text_protocol.read(read_reply({"content": text}, finish_reason, Usage(), "openai/test"), 3)


def test_one_answer_holds_files_edits_and_calls() -> None:
    edits = [{"old": "one\n", "new": "two\n"}, {"old": "three\n", "new": ""}]
    assert [(c.id, c.name, c.arguments) for c in read(ANSWER).calls] == [
        ("text_3_0", "write_file", {"path": "index.html", "content": PAGE}),
        ("text_3_1", "edit_file", {"path": "js/app.js", "edits": edits}),
        ("text_3_2", "read_attachment", {"name": "data.csv"}),
    ]


FILES: dict[str, tuple[str, dict[str, str]]] = {
    "three backticks": ("FILE: a.js\n```js\nx\n```", {"a.js": "x\n"}),
    "a decorated name": ("### `css/a.css`:\n```css\nx\n```", {"css/a.css": "x\n"}),
    "a bold header": ("**FILE: a b.txt**\n```\nx\n```", {"a b.txt": "x\n"}),
    "a name behind the backticks": ("```html index.html\nx\n```", {"index.html": "x\n"}),
    "a name after a colon": ("```html:sub/index.html\nx\n```", {"sub/index.html": "x\n"}),
    "a lone page": (f"Sure!\n```html\n{PAGE}```", {"index.html": PAGE}),
    "fences in a README": (
        "FILE: README.md\n```markdown\n# T\n```sh\nls\n```\nend\n```\nBye.",
        {"README.md": "# T\n```sh\nls\n```\nend\n"},
    ),
    "backticks inside four": ("FILE: README.md\n````\n```\nls\n```\n````", {"README.md": "```\nls\n```\n"}),
    "thoughts": ("<think>\nFILE: no.js\n```\nx\n```\n</think>\nFILE: a.js\n```\ny\n```", {"a.js": "y\n"}),
    "Windows line ends": ("FILE: a.js\r\n```\r\nx\r\n```\r\n", {"a.js": "x\n"}),
    "a shell line in prose": ("Run it:\n```sh\nls\n```", {}),
    "prose": ("I cannot do that.", {}),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_found_however_it_is_named(name: str) -> None:
    text, files = FILES[name]
    assert {c.arguments["path"]: c.arguments["content"] for c in read(text).calls} == files


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("FILE: a.js\n````\nx", "no closing fence; finish_reason length: the answer was cut off"),
        ("EDIT: a.js\n````\nx\n````", "an EDIT block holds"),
        ("CALL: run_check\n````\n{ids: 1}\n````", "arguments were no JSON"),
    ],
)
def test_a_broken_block_is_a_call_with_its_problem(text: str, problem: str) -> None:
    (found,) = read(text, "length").calls
    assert problem in found.problem
    assert found.arguments == {}


def test_two_megabytes_are_read() -> None:
    (found,) = read("FILE: a.js\n````\n" + "x = '`';\n" * 250_000 + "````").calls
    assert len(found.arguments["content"]) == 2_250_000


# -- through the gateway -----------------------------------------------------------------------------------------------

TASK: list[Json] = [{"role": "system", "content": "S"}, {"role": "user", "content": "U"}]
REFUSALS = {
    "ollama": fault(400, "registry.example/library/x does not support tools"),
    "openrouter": fault(404, "No endpoints found that support tool use"),
    "vllm": fault(400, '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set'),
    "llama.cpp": fault(500, "tools param requires --jinja flag"),
}


def converse(script: Sequence[Answer], turns: int, one: ModelChoice | None = None) -> tuple[list[Json], list[Reply]]:
    """What was sent, and the replies: every call is answered with `done`, an answer without one is nudged."""
    messages, replies = list(TASK), []
    with provider(script) as server:
        for _ in range(turns):
            chosen = (one or choice(None)).model_copy(update={"base_url": server.url})
            replies.append(reply := ask(chosen, messages=messages))
            results = [{"role": "tool", "tool_call_id": c.id, "content": "done"} for c in reply.calls]
            messages += [reply.message, *(results or [{"role": "user", "content": "nudge"}])]
        return [request.body for request in server.requests], replies


def grows(requests: Sequence[Json]) -> bool:
    sent = [request["messages"] for request in requests]
    return all(later[: len(earlier)] == earlier for earlier, later in pairwise(sent))


def test_a_whole_run_in_text_only_grows() -> None:
    text = choice(None, tool_mode="text")
    requests, replies = converse([says(ANSWER), says("hm"), says(ANSWER)], 3, text)
    assert grows(requests)
    assert all("tools" not in request for request in requests)
    first, second = requests[0]["messages"], requests[1]["messages"]
    assert "How to answer here" in first[1]["content"]
    assert [*first, {"role": "assistant", "content": ANSWER}] == second[:3]
    assert second[3]["content"].startswith("RESULT of write_file index.html:\ndone\n\nRESULT of edit_file js/app.js")
    assert [len(reply.calls) for reply in replies] == [3, 0, 3]
    assert len({c.id for reply in replies for c in reply.calls}) == 6


@pytest.mark.parametrize("name", REFUSALS)
def test_a_model_that_refuses_tools_is_asked_in_text_at_once(name: str) -> None:
    requests, (first, _) = converse([REFUSALS[name], says(ANSWER), says(ANSWER)], 2)
    assert ["tools" in request for request in requests] == [True, False, False]
    assert len(first.calls) == 3
    assert grows(requests[1:])


def test_fenced_files_are_taken_as_they_come_and_asked_for_from_then_on() -> None:
    requests, replies = converse([says(ANSWER), says(ANSWER)], 2)
    assert ["tools" in request for request in requests] == [True, False]
    assert [len(reply.calls) for reply in replies] == [3, 3]
    assert grows(requests)


def test_prose_twice_is_a_model_that_cannot_call() -> None:
    requests, replies = converse([says("I would write a page."), says("Here you go."), says(ANSWER)], 3)
    assert ["tools" in request for request in requests] == [True, True, False]
    assert grows(requests)
    assert len(replies[-1].calls) == 3


def test_a_refused_call_of_its_own_is_followed_by_text() -> None:
    refused = fault(400, "Failed to call a function", code="tool_use_failed")
    requests, (first, second) = converse([refused, says(ANSWER)], 2)
    assert ["tools" in request for request in requests] == [True, False]
    assert (first.usage.failed_calls, len(second.calls)) == (1, 3)


def test_native_stays_native() -> None:
    native = choice(None, tool_mode="native")
    requests, replies = converse([says(ANSWER), says("hm"), says("hm"), call("run_check")], 4, native)
    assert all("tools" in request for request in requests)
    assert [len(reply.calls) for reply in replies] == [0, 0, 0, 1]


def test_a_model_that_calls_is_never_asked_in_text() -> None:
    requests, _ = converse([call("run_check"), says("hm"), call("run_check"), says("hm")], 4)
    assert all("tools" in request for request in requests)


@pytest.mark.parametrize("modes", [("text", "native"), ("native", "text")])
def test_the_next_model_reads_the_conversation_in_its_own_way(modes: tuple[str, str]) -> None:
    page = {"path": "index.html", "content": PAGE}
    first = says(f"FILE: index.html\n````\n{PAGE}````") if modes[0] == "text" else calls(("write_file", page))
    with provider([first]) as one, provider([says("ok")]) as other:
        reply = ask(choice(one.url, "openai/a", tool_mode=modes[0]), messages=TASK)
        result = {"role": "tool", "tool_call_id": reply.calls[0].id, "content": "done"}
        ask(choice(other.url, "openai/b", tool_mode=modes[1]), messages=[*TASK, reply.message, result])
    turn, answer = other.requests[0].body["messages"][2:]
    if modes[1] == "native":
        assert json.loads(turn["tool_calls"][0]["function"]["arguments"]) == page
        assert answer == {"role": "tool", "tool_call_id": turn["tool_calls"][0]["id"], "content": "done"}
    else:
        assert turn == {"role": "assistant", "content": f"FILE: index.html\n````\n{PAGE.rstrip()}\n````"}
        assert answer["content"].startswith("RESULT of write_file index.html:\ndone")


def test_every_tool_stands_in_the_instructions() -> None:
    with provider([says(ANSWER)]) as server:
        ask(choice(server.url, tool_mode="text"), messages=TASK)
    words = server.requests[0].body["messages"][1]["content"]
    assert "- run_check(): Runs run_check." in words
    assert {"write_file", "edit_file"} <= {name for name in registry.tools() if f"({name})" in words}
