"""What a model can do: asked, kept, told, and used by the tasks that follow."""

import asyncio
import json
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from agent.cli.probe import copy_profiles
from agent.llm.capabilities import HARD_FILES, LEFT, READY, RIGHT, Probe
from agent.llm.choice import choose_models
from agent.llm.gateway import Gateway
from agent.llm.providers import ModelChoice, informed
from agent.llm.text_protocol import is_due
from agent.prompts import PROMPTS, Prompts
from agent.records import Capabilities, Json
from agent.settings import Settings
from agent.store import CAPABILITIES_VERSION, Store
from agent.store import profiles as profiles_table
from agent.tools import registry
from tests.harness import PAGE, README, attachment, evaluator, good_site, serving, settings, task
from tests.provider import Answer, calls, chat, completion, cut, fault, provider, says
from tests.test_gateway import CANARY, Time, choice
from tests.test_sight import image_file

Answers = Callable[[Json], Answer]


def capable(body: Json) -> Answer:
    """A model that can do everything."""
    asked = json.dumps(body["messages"])
    wanted = next((path for path, text in HARD_FILES.items() if json.dumps(text)[1:-1] in asked), "")
    if "image_url" in asked:
        return says(f"{LEFT.title()}, {RIGHT}.")
    if wanted and body.get("tools"):
        return calls(("write_file", {"path": wanted, "content": HARD_FILES[wanted]}))
    if wanted:
        return says(f"FILE: {wanted}\n````\n{HARD_FILES[wanted]}\n````")
    if body.get("tools"):
        return calls(*(("write_file", {"path": f"{name}.txt", "content": name}) for name in ("alpha", "beta")))
    thought = {"reasoning_tokens": 7 if body.get("reasoning_effort") else 0}
    details: Any = {"prompt_tokens_details": {"cached_tokens": 0}, "completion_tokens_details": thought}
    return completion({"content": "ready"}, **details)


def poor(body: Json) -> Answer:
    """A model that can do nothing but talk, and whose provider says so."""
    if "image_url" in json.dumps(body["messages"]):
        return fault(404, "No endpoints found that support image input")
    return fault(400, "x does not support reasoning") if body.get("reasoning_effort") else says("I am ready.")


def broken(body: Json) -> Answer:
    """A model whose calls are cut in the middle."""
    return calls(("write_file", '{"path": "a.html", "content": "<p class=')) if body.get("tools") else capable(body)


def probed(answers: Answers) -> tuple[Probe, list[Json], Time]:
    with provider(answers) as server:
        one, now = choice(server.url), Time()
        probe = Probe(
            Gateway([one]),
            Capabilities(key=one.capabilities_key, made_at=0),
            schemas=registry.schemas(),
            prompts=Prompts(PROMPTS),
            sleep=now.sleep,
        )
        asyncio.run(probe.run())
    return probe, [request.body for request in server.requests], now


def verdicts(probe: Probe) -> dict[str, str]:
    return {line.what: line.verdict for line in probe.lines}


def test_a_model_that_can_do_everything_is_known_for_it_after_a_few_answers() -> None:
    probe, requests, _ = probed(capable)
    known = probe.capabilities
    assert (known.tools, known.parallel, known.images, known.cache) == (True,) * 4
    assert (known.usage.model_calls, known.usage.cost_usd) == (len(requests), None)
    assert len(requests) == 8
    assert {what: v for what, v in verdicts(probe).items() if v != "pass"} == {"price": "unknown"}


def test_a_model_that_can_only_talk_is_known_for_that() -> None:
    probe, _, _ = probed(poor)
    known = probe.capabilities
    assert (known.tools, known.parallel, known.images) == (False, None, False)
    assert verdicts(probe) == {
        "reachable": "pass",
        **dict.fromkeys(("tools", "text protocol", "images", "reasoning setting", "cache fields"), "fail"),
        "speed": "pass",
        "price": "unknown",
    }


def test_a_provider_that_refuses_a_tools_schema_is_asked_in_text() -> None:
    probe, _, _ = probed(lambda body: fault(400, "invalid schema") if body.get("tools") else capable(body))
    assert (probe.capabilities.tools, verdicts(probe)["text protocol"]) == (False, "pass")
    assert "invalid schema" in next(line.found for line in probe.lines if line.what == "tools")


def test_broken_arguments_are_counted() -> None:
    probe, _, _ = probed(broken)
    assert (probe.capabilities.tools, probe.capabilities.parallel) == (True, False)
    assert "3 of 3 calls unreadable" in next(line.found for line in probe.lines if line.what == "broken JSON")
    assert verdicts(probe)["broken JSON"] == "fail"


ODD = {
    "an overloaded provider": fault(529, "overloaded", retry_after="2"),
    "a cut connection": cut(),
    "no choices": chat([]),
    "HTML": Answer(b"<html>"),
    "a spent quota": fault(429, "no", code="insufficient_quota"),
}


@pytest.mark.parametrize("name", ODD)
def test_a_question_that_fails_is_a_line_and_leaves_the_answer_open(name: str) -> None:
    probe, _, now = probed(lambda body: capable(body) if READY in json.dumps(body) else ODD[name])
    known = probe.capabilities
    assert (known.tools, known.images) == (None, None)
    assert verdicts(probe)["tools"] == "unknown"
    assert known.usage.failed_calls >= 3
    assert set(now.slept) <= {1.0, 2.0}


def test_a_passing_fault_is_waited_out_once() -> None:
    answers = iter([fault(503, "busy"), says("ready")])
    probe, _, now = probed(lambda body: next(answers, None) or capable(body))
    assert (probe.capabilities.tools, now.slept) == (True, [1.0])


def test_a_refused_question_asks_nothing_more() -> None:
    probe, requests, _ = probed(lambda _: fault(401, f"Incorrect key {CANARY}"))
    assert verdicts(probe) == {"reachable": "fail"}
    assert len(requests) == 1
    assert not probe.reached


# -- what is kept ------------------------------------------------------------------------------------------------------


def test_capabilities_belong_to_one_model_at_one_address() -> None:
    here, there = choice("http://a.example/v1"), choice("http://b.example/v1")
    known = Capabilities(key=here.capabilities_key, made_at=0, images=True)
    assert informed(here, [known]).sees_images
    assert not informed(there, [known]).sees_images
    assert not informed(choice("http://a.example/v1", "openai/other"), [known]).sees_images


def test_what_is_known_is_lent_to_a_data_dir_of_its_own(tmp_path: Path) -> None:
    here = settings(tmp_path / "here")
    here.data_dir.mkdir()
    (one,) = choose_models(here)
    known_to(here, test={"tools": False})
    copy_profiles(here, tmp_path / "there")
    with closing(Store(settings(tmp_path / "there").database)) as store:
        assert [known.tools for known in store.capabilities([one.capabilities_key])] == [False]


def test_capabilities_of_another_version_count_as_none(tmp_path: Path) -> None:
    with closing(Store(f"sqlite:///{tmp_path}/a.sqlite")) as store:
        old, new = Capabilities(key="a", made_at=0), Capabilities(key="b", made_at=1)
        for known in (old, new, new.model_copy(update={"tools": True})):
            store.put_capabilities(known)
        with store._engine.begin() as db:
            db.execute(
                profiles_table.update().where(profiles_table.c.key == "a").values(version=CAPABILITIES_VERSION - 1)
            )
        assert store.capabilities(["b", "a", "c"]) == (new.model_copy(update={"tools": True}),)


@pytest.mark.parametrize(
    ("mode", "tools", "due"),
    [
        ("auto", None, False),
        ("auto", True, False),
        ("auto", False, True),
        ("native", False, False),
        ("text", True, True),
    ],
)
def test_a_model_known_not_to_call_is_asked_in_text_from_its_first_turn(
    mode: Any, tools: bool | None, due: bool
) -> None:
    one = ModelChoice(name="openai/a", tool_mode=mode)
    known = informed(one, [Capabilities(key=one.capabilities_key, made_at=0, tools=tools)])
    assert is_due([{"role": "user", "content": "hi"}], known) is due


# -- the tasks that follow ---------------------------------------------------------------------------------------------


def known_to(configured: Settings, **known: Json) -> None:
    """Capabilities in the store, as a probe leaves them; by the model's last word."""
    with closing(Store(configured.database)) as store:
        for one in choose_models(configured):
            told = known[one.name.rpartition("/")[2]]
            store.put_capabilities(Capabilities(key=one.capabilities_key, made_at=time.time(), **told))


def test_pictures_go_to_the_model_that_sees_and_words_to_the_one_that_does_not(tmp_path: Path) -> None:
    dies = iter([calls(("write_file", {"path": "index.html", "content": PAGE.format(title="Port")})), fault(401, "no")])

    def answers(body: Json) -> Answer:
        if body["model"] == "seeing":
            return next(dies)
        page = PAGE.format(title="Harbour")
        return says(f"FILE: index.html\n````\n{page}````\n\nFILE: README.md\n````\n{README}````")

    with provider(answers) as server, evaluator() as grader:
        configured = settings(
            tmp_path, llm_model="openai/seeing", llm_fallback_models="openai/blind", llm_base_url=server.url
        )
        known_to(configured, seeing={"tools": True, "images": True}, blind={"tools": False, "images": False})
        images = [attachment(f"{n}.png", image_file("PNG", (9 + n, 9)), "image/png") for n in range(5)]
        with serving(configured) as door:
            record = door.finish(door.send_task(task(grader.url, attachments=images))["id"])
    assert (record["state"], record["stopped_by"]) == ("done", "passed")
    first, second, last = (request.body for request in server.requests)
    assert second["messages"][: len(first["messages"])] == first["messages"]
    parts = first["messages"][1]["content"]
    assert [part["type"] for part in parts] == ["text", "image_url"] * 4 + ["text"]
    assert [part["text"] for part in parts[:8:2]] == [f"{n}.png:" for n in range(4)]
    assert "4.png: PNG image, 13 x 9 pixels" in parts[-1]["text"]
    assert (last["model"], last.get("tools")) == ("blind", None)
    assert isinstance(last["messages"][1]["content"], str)
    assert last["messages"][1]["content"].startswith(parts[-1]["text"].rstrip())
    assert record["usage"]["by_model"]["openai/seeing"]["failed_calls"] == 1


def test_without_capabilities_an_image_is_its_type_and_size(tmp_path: Path) -> None:
    with provider(lambda _: calls(*good_site())) as server, evaluator() as grader:
        image = attachment("a.png", image_file("PNG"), "image/png")
        with serving(settings(tmp_path, llm_base_url=server.url)) as door:
            door.finish(door.send_task(task(grader.url, attachments=[image]))["id"])
    prompt = server.requests[0].body["messages"][1]["content"]
    assert "a.png: PNG image, 64 x 48 pixels" in prompt
    assert "base64" not in prompt
