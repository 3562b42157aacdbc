"""Whatever a model or its provider does wrong, played against the whole service: the task ends well all the same.

`python -m benchmarks.faults` plays the same table one by one and prints what each took.
"""

import asyncio
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count

import httpx
import pytest

from agent.llm.gateway import Gateway
from tests.harness import Door, Evaluator, Json, evaluator, good_site, serving, settings, task
from tests.provider import Answer, call, calls, completion, cut, fault, hang, provider, says

GOOD = calls(*good_site())
WRONG = calls(*good_site()[:1])  # a whole page, without the README.md that every site must have
MODEL, FALLBACK = "openai/gpt-5-mini", "openai/gpt-5-nano"  # of known price
IN_TEXT = "\n".join(json.dumps({"name": name, "arguments": arguments}) for name, arguments in good_site())
HURRY_S = 12  # the deadline of those that wait for it


@dataclass(frozen=True)
class Case:
    """What is answered, request by request; the last answer for ever. And what must come of it."""

    answers: Sequence[Answer]
    stopped_by: str
    built: bool  # what the model wrote is published; else the plain page that says so
    failed_calls: int | None  # None: as many as there was time for
    waits: bool = False  # for the deadline
    fallback: bool = False  # a second model, which answers well, may be asked


CASES = {
    "nothing": Case([GOOD], "passed", True, 0),
    "429 with Retry-After": Case([fault(429, "slow", retry_after="1"), GOOD], "passed", True, 1),
    "500 twice": Case([fault(500, "boom")] * 2 + [GOOD], "passed", True, 2),
    "529 for ever": Case([fault(529, "overloaded")], "model|deadline", False, None, waits=True),
    "529 after a first page": Case([WRONG, fault(529, "overloaded")], "model|deadline", True, None, waits=True),
    "a timeout": Case([hang()], "deadline", False, None, waits=True),
    "a timeout, and a second model": Case([hang()], "passed", True, 1, fallback=True),
    "a connection cut in the middle": Case([cut(), GOOD], "passed", True, 1),
    "HTML instead of JSON": Case([Answer(b"<html>Log in</html>")], "model", False, 2),
    "a spent quota": Case([fault(429, "no", code="insufficient_quota")], "model", False, 1),
    "a spent quota, and a second model": Case(
        [fault(429, "no", code="insufficient_quota")], "passed", True, 1, fallback=True
    ),
    "invalid JSON arguments": Case([calls(("write_file", '{"path": "index.html", "con')), GOOD], "passed", True, 0),
    "an unknown tool": Case([call("launch_rocket", height=3), GOOD], "passed", True, 0),
    "ten calls in one answer": Case(
        [calls(*good_site(), *(("write_file", {"path": f"{n}.txt", "content": "x"}) for n in range(8)))],
        "passed", True, 0,
    ),
    "identical answers for ever": Case([WRONG], "stalled", True, 0),
    "prose for ever": Case([says("I would rather talk about the weather.")], "silent", False, 0),
    "filtered for ever": Case([completion({"content": None}, "content_filter")], "model", False, 2),
    "refused, and a second model": Case(
        [completion({"content": None, "refusal": "I will not."})], "passed", True, 1, fallback=True
    ),
    "calls in its text": Case([says(IN_TEXT)], "passed", True, 0),
    "a bound that is too large": Case([fault(400, "max_tokens: 32000 > 8192, the maximum"), GOOD], "passed", True, 1),
    "an answer of 2 MB": Case(
        [calls(*good_site(), ("write_file", {"path": "big.txt", "content": "x" * 2_000_000})), GOOD], "passed", True, 0
    ),
}  # fmt: skip


class Faulty:
    """Answers by the case that the task's brief names, and by how often that case was asked."""

    def __init__(self) -> None:
        self._asked = {name: count() for name in CASES}

    def __call__(self, body: Json) -> Answer:
        prompt = str(body["messages"][1]["content"])
        name = next(name for name in CASES if f"[{name}]" in prompt)
        if CASES[name].fallback and body["model"] == FALLBACK.rpartition("/")[2]:
            return GOOD
        answers = CASES[name].answers
        return answers[min(next(self._asked[name]), len(answers) - 1)]


def body_of(name: str, evaluation_url: str) -> Json:
    return task(evaluation_url, brief=f"[{name}] Publish a page titled Harbour with the total in #total.")


@dataclass(frozen=True)
class Ending:
    record: Json
    page: str
    calls: Sequence[Json]  # that the evaluator got


def ending(door: Door, grader: Evaluator, body: Json, task_id: str) -> Ending:
    door.finish(task_id)
    calls = grader.wait_for(body["nonce"])
    record = door.wait(task_id, lambda record: record["notification"]["state"] == "delivered")
    return Ending(record, httpx.get(record["publication"]["pages_url"], trust_env=False).text, calls)


@pytest.fixture(scope="module")
def endings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Ending]]:
    """All cases at once: most of them wait."""
    asyncio.run(Gateway([]).warm_up())  # which takes longer than these tasks have
    found: dict[str, Ending] = {}
    with provider(Faulty()) as server, evaluator() as grader:
        for hurried in (False, True):
            configured = settings(
                tmp_path_factory.mktemp("data"),
                llm_model=MODEL,
                llm_fallback_models=FALLBACK if hurried else "",
                llm_base_url=server.url,
                task_deadline_s=HURRY_S if hurried else 600,
                worker_tasks=len(CASES),
            )
            with serving(configured) as door:
                names = [name for name, case in CASES.items() if hurried == (case.waits or case.fallback)]
                bodies = {name: body_of(name, grader.url) for name in names}
                ids = {name: door.send_task(body)["id"] for name, body in bodies.items()}
                found |= {name: ending(door, grader, body, ids[name]) for name, body in bodies.items()}
        yield found


@pytest.mark.parametrize("name", CASES)
def test_whatever_goes_wrong_a_site_is_published_and_called_back_once_in_time(
    name: str, endings: dict[str, Ending]
) -> None:
    case, end = CASES[name], endings[name]
    record = end.record
    assert record["state"] == "done"
    assert record["notification"]["attempts"][0]["at"] < record["deadline_at"]
    assert record["stopped_by"] in case.stopped_by.split("|")
    assert ("did not finish" not in end.page) == case.built
    assert len(end.calls) == 1
    assert end.calls[0]["commit_sha"] == record["publication"]["commit_sha"]
    failed = record["usage"]["failed_calls"]
    assert failed == case.failed_calls if case.failed_calls is not None else failed > 0
    assert record["usage"]["cost_usd"] is not None
