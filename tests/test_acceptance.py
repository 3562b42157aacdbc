"""Acceptance tests are small and typed: what a model words is one of a few forms, or it is refused with a reason."""

import json
from typing import Any

import pytest
from pydantic import ValidationError

from agent.records import Json
from agent.review.acceptance import MAX_STEPS, TEST, AcceptanceTest, PageTest, Step
from agent.review.reading import reason
from tests.reviewer import acceptance, reading

PAGE: Json = {"kind": "page", "expect": "document.title"}
PYTHON: Json = {"kind": "python", "code": "check(1, 1)"}
FILE: Json = {"kind": "file", "path": "plan.json", "is": "exists"}
JUDGE: Json = {"kind": "judge", "question": "Does it sound friendly?"}


def read(test: object) -> Any:
    """As an answer is read: from JSON."""
    return TEST.validate_json(json.dumps(test))


TAKEN: dict[str, Json] = {
    "a look": PAGE,
    "every step": PAGE
    | {
        "steps": [
            ["click", "#a"],
            ["fill", "#a", "milk"],
            ["select", "#a", "two"],
            ["check", "#a"],
            ["uncheck", "#a"],
            ["press", "#a", "Enter"],
            ["reload"],
            ["resize", "390x800"],
            ["offline"],
            ["online"],
        ]
    },
    "another page": PAGE | {"page": "about.html", "query": "url=https://probe.example/sample.md", "within_s": 9},
    "other data": PAGE | {"serve": {"data.csv": "a,b\n1,2", "https://api.example/x": "{}"}},
    "an address elsewhere": PAGE | {"serve": {"https://api.example/x?y=1": "[]"}},
    "a script": PYTHON,
    "a file": FILE,
    "no file": FILE | {"is": "absent"},
    "the same file": FILE | {"is": "unchanged"},
    "a text": FILE | {"is": "text", "value": "Tuesday"},
    "a pattern": FILE | {"is": "pattern", "value": "^T.*y$"},
    "words": FILE | {"is": "words", "value": [3, 8]},
    "words at least": FILE | {"is": "words", "value": [3, None]},
    "words at most": FILE | {"is": "words", "value": [None, 8]},
    "a schema": FILE | {"is": "schema", "value": {"type": "object"}},
    "a copy": FILE | {"is": "copy", "value": "plan.csv"},
    "a selection": FILE | {"is": "selection", "value": "plan.csv"},
    "a question": JUDGE,
    "more than is asked": PAGE | {"comment": "so that it shows"},
}


@pytest.mark.parametrize("what", TAKEN)
def test_a_test_is_taken_and_comes_back_from_the_store_as_it_was(what: str) -> None:
    test = read(TAKEN[what])
    kept = AcceptanceTest(id="need:1.1/1", test=test)
    assert AcceptanceTest.model_validate(json.loads(kept.model_dump_json())) == kept
    shown = test.model_dump_json(exclude_defaults=True, by_alias=True)
    assert TEST.validate_json(shown) == test, "what the reader is shown of its test reads as the same test"


REFUSED: dict[str, tuple[object, str]] = {
    "another kind": (PAGE | {"kind": "shell"}, "kind"),
    "no kind": ({"expect": "1"}, "kind"),
    "no object": ("document.title", ""),
    "nothing": (None, ""),
    "no expression": (PAGE | {"expect": ""}, "expect"),
    "an endless expression": (PAGE | {"expect": "x" * 3_001}, "expect"),
    "an expression that is no text": (PAGE | {"expect": True}, "expect"),
    "too many steps": (PAGE | {"steps": [["reload"]] * (MAX_STEPS + 1)}, "steps"),
    "another step": (PAGE | {"steps": [["evaluate", "x"]]}, "act"),
    "a step of nothing": (PAGE | {"steps": [[]]}, "steps"),
    "a click on nothing": (PAGE | {"steps": [["click"]]}, "click needs a selector"),
    "a fill of nothing": (PAGE | {"steps": [["fill"]]}, "fill needs a selector"),
    "a size in words": (PAGE | {"steps": [["resize", "small"]]}, "such as 390x800"),
    "an endless wait": (PAGE | {"within_s": 60}, "within_s"),
    "a wait before the start": (PAGE | {"within_s": -1}, "within_s"),
    "a wait that is no number": (PAGE | {"within_s": float("nan")}, "within_s"),
    "a query with a fragment": (PAGE | {"query": "a#b"}, "query"),
    "a query with a blank": (PAGE | {"query": "a b"}, "query"),
    "too much that is served": (PAGE | {"serve": {f"{n}.csv": "a" for n in range(5)}}, "serve"),
    "something else than text that is served": (PAGE | {"serve": {"a.csv": ["a"]}}, "serve"),
    "a large file that is served": (PAGE | {"serve": {"a.csv": "a" * 8_001}}, "serve"),
    "no code": (PYTHON | {"code": ""}, "code"),
    "an endless script": (PYTHON | {"code": "x" * 4_001}, "code"),
    "no path": (FILE | {"path": ""}, "path"),
    "another question of a file": (FILE | {"is": "pretty"}, "is"),
    "no question of a file": ({"kind": "file", "path": "a"}, "is"),
    "a text that is none": (FILE | {"is": "text", "value": 7}, "text needs a str"),
    "a text without a value": (FILE | {"is": "text"}, "text needs a str"),
    "a broken pattern": (FILE | {"is": "pattern", "value": "("}, "the pattern is none"),
    "a count of words": (FILE | {"is": "words", "value": 300}, "words needs a list"),
    "one bound of words": (FILE | {"is": "words", "value": [3]}, "either may be null"),
    "no bound of words": (FILE | {"is": "words", "value": [None, None]}, "either may be null"),
    "bounds in the wrong order": (FILE | {"is": "words", "value": [8, 3]}, "either may be null"),
    "a press of no key": (PAGE | {"steps": [["press", "Enter"]]}, "a selector and a key"),
    "a choice of nothing": (PAGE | {"steps": [["select", "#a"]]}, "a selector and a value"),
    "bounds in words": (FILE | {"is": "words", "value": ["3", "8"]}, "either may be null"),
    "a schema as text": (FILE | {"is": "schema", "value": "object"}, "schema needs a dict"),
    "a copy of nothing": (FILE | {"is": "copy"}, "copy needs a str"),
    "a selection of nothing": (FILE | {"is": "selection"}, "selection needs a str"),
    "no question": (JUDGE | {"question": ""}, "question"),
    "an endless question": (JUDGE | {"question": "x" * 601}, "question"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_no_test_is_refused_with_a_reason_in_one_line(what: str) -> None:
    test, why = REFUSED[what]
    with pytest.raises(ValidationError) as refused:
        read(test)
    told = reason(refused.value)
    assert why in told
    assert len(told.splitlines()) == 1
    assert len(told) <= 200


STEPS: list[tuple[list[Any], Step]] = [
    (["fill", "#a", 7], Step(act="fill", selector="#a", value="7")),
    (["fill", "#a", ""], Step(act="fill", selector="#a", value="")),
    (["fill", "#a"], Step(act="fill", selector="#a", value="")),
    (["fill", "#a", None], Step(act="fill", selector="#a", value="")),
    (["press", "#a", "Enter", "twice"], Step(act="press", selector="#a", value="Enter")),
    (["reload", "now"], Step(act="reload", selector="now")),
    (["resize", "390x800"], Step(act="resize", value="390x800")),
]


@pytest.mark.parametrize(("given", "step"), STEPS)
def test_a_step_is_a_list_of_words_and_one_too_many_harms_nothing(given: list[Any], step: Step) -> None:
    (read_as,) = read(PAGE | {"steps": [given]}).steps
    assert read_as == step


def test_a_query_is_read_with_its_mark_or_without() -> None:
    assert [read(PAGE | {"query": query}).query for query in ("a=1", "?a=1", "")] == ["a=1", "a=1", ""]


def test_a_reading_gives_the_tests_in_use_and_takes_other_versions_of_them() -> None:
    one = acceptance("need:1.1/1", PAGE)
    two = acceptance("need:1.1/2", PAGE, standing="dropped", why="it holds of an empty site")
    three = acceptance("check:1.1/1", FILE, standing="withdrawn", why="the test was wrong")
    four = acceptance("check:1.1/2", FILE, standing="confirmed")
    whole = reading(one, two, three, four)
    assert [test.id for test in whole.tests()] == ["need:1.1/1", "check:1.1/2"]
    fixed = one.model_copy(update={"test": PageTest(kind="page", expect="1 > 0"), "fixed": True})
    changed = whole.with_tests({fixed.id: fixed})
    assert changed.tests()[0].test == fixed.test
    assert changed.requirements[1] == whole.requirements[1]
