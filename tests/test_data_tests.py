"""Acceptance tests of data: Python in the sandbox beside the site's files, and what stands in one file."""

import asyncio
import io
import json
import time
from collections.abc import Mapping

import openpyxl
import pytest

from agent.errors import NoSandbox
from agent.records import Json
from agent.review.acceptance import FileTest, PythonTest
from agent.review.data.files import run_file_test
from agent.review.data.python import run_python_tests
from agent.review.evidence import Outcome
from agent.sandbox.sandbox import Sandbox
from agent.workspace import Workspace
from tests.reviewer import html


def workbook() -> bytes:
    book = openpyxl.Workbook()
    for row in (["port", "boats"], ["Alder", 40], ["Birch", 2]):
        book.worksheets[0].append(row)
    book.create_sheet("More").append(["a"])
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


BOATS = b"port,boats\r\nAlder,40\r\nBirch,2\r\n"
SITE = {
    "index.html": html("<h1>Ferries</h1><b id='total'>42</b>").encode(),
    "boats.csv": BOATS.replace(b"Birch", b"Beech"),
    "german.csv": "Hafen;Boote\nMünster;4\n".encode("cp1252"),
    "marked.csv": "\ufeffport,boats\nAlder,4\n".encode(),
    "plan.json": b'{"when": "Tuesday", "ports": [{"name": "Alder"}]}',
    "boats.xlsx": workbook(),
    "data/deep.txt": b"deep",
    "json.py": b"raise SystemExit('not this one')",
    "helper.py": b"answer = 42\n",
}
ATTACHED = {"boats.csv": BOATS, "only.csv": b"a\n1\n"}
PYTHON: dict[str, tuple[str, str, str]] = {
    # name: code, verdict, what the evidence says
    "csv": ("check(sum(int(r['boats']) for r in rows('boats.csv')), 42)", "pass", ""),
    "as it was sent": ("check(rows('original/boats.csv')[1]['port'], 'Birch')", "pass", ""),
    "as the site has it": ("check(rows('boats.csv')[1]['port'], 'Beech')", "pass", ""),
    "what only was attached": ("check(rows('only.csv')[0]['a'], '1')", "pass", ""),
    "semicolons, Windows": ("check(rows('german.csv')[0]['Hafen'], 'Münster')", "pass", ""),
    "a byte order mark": ("check(rows('marked.csv')[0]['port'], 'Alder')", "pass", ""),
    "json": ("check(rows('plan.json')['ports'][0]['name'], 'Alder')", "pass", ""),
    "a workbook": ("check(rows('boats.xlsx')[0], {'port': 'Alder', 'boats': 40})", "pass", ""),
    "a sheet": ("check(rows('boats.xlsx', 'More'), [])", "pass", ""),
    "text": ("check(text('data/deep.txt'), 'deep')", "pass", ""),
    "line ends": ("assert '\\r' not in text('original/boats.csv')", "pass", ""),
    "the page": ("check(page().css_first('#total').text(), '42')", "pass", ""),
    "a module of the site": ("import helper; check(helper.answer, 42)", "pass", ""),
    "Python's own before the site's": ("import json, collections; check(json.loads('1'), 1)", "pass", ""),
    "nearly the same number": ("check(0.1 + 0.2, 0.3)", "pass", ""),
    "another number": ("check(number(page().css_first('#total').text()), 43, 'the total')", "fail", "the total: expected 43, found 42.0"),
    "another text": ("check('a', 'b')", "fail", "expected 'b', found 'a'"),
    "an assertion": ("assert 1 > 2, 'too few boats'", "fail", "too few boats"),
    "an assertion without words": ("assert 1 > 2", "fail", "an assertion does not hold"),
    "no file": ("text('none.csv')", "fail", "there is no none.csv"),
    "no column": ("rows('boats.csv')[0]['fee']", "fail", "KeyError: 'fee'"),
    "no element": ("page().css_first('#sum').text()", "fail", "AttributeError"),
    "no number": ("number('none')", "fail", "no number in 'none'"),
    "an end": ("import sys; sys.exit(0)", "fail", "SystemExit"),
    "no Python": ("check(1,", "unknown", "does not run: SyntaxError"),
    "an unknown name": ("chekc(1, 1)", "unknown", "does not run: NameError"),
    "an unknown package": ("import requests", "unknown", "does not run: ModuleNotFoundError"),
    "too deep": ("f = lambda: f()\nf()", "unknown", "does not run: RecursionError"),
}  # fmt: skip
NUMBERS = {
    "1,234": 1234, "1.234": 1.234, "1,234.5": 1234.5, "1.234,50 €": 1234.5, "12,5": 12.5, "1 234 567": 1234567,
    "1\u202f234,5": 1234.5, "1'234.50": 1234.5, "1.234.567": 1234567, "1,234,567": 1234567, "\u221212": -12, "-3.5 °C": -3.5,
    "Total: 42.": 42, "3 of 12": 3, "0,125": 0.125, "7": 7, "page 3, 12 lines": 3,
}  # fmt: skip


@pytest.fixture(scope="module")
def sandbox() -> Sandbox:
    box = Sandbox()
    try:
        asyncio.run(box.start())
    except NoSandbox as no:
        pytest.skip(str(no))
    return box


def run(sandbox: Sandbox, tests: Mapping[str, str], *, timeout_s: float = 60) -> dict[str, Outcome]:
    asked = {name: PythonTest(kind="python", code=code) for name, code in tests.items()}
    return asyncio.run(run_python_tests(sandbox, asked, SITE, ATTACHED, timeout_s=timeout_s))


def test_python_tests_compute_from_files_and_say_what_was_expected_and_what_was_found(sandbox: Sandbox) -> None:
    found = run(sandbox, {name: code for name, (code, _, _) in PYTHON.items()})
    wanted = {name: verdict for name, (_, verdict, _) in PYTHON.items()}
    assert {name: outcome.verdict for name, outcome in found.items()} == wanted
    assert {
        name: found[name].evidence for name, (_, _, words) in PYTHON.items() if words not in found[name].evidence
    } == {}


def test_a_number_is_read_whichever_way_it_is_written(sandbox: Sandbox) -> None:
    found = run(sandbox, {text: f"check(number({text!r}), {value})" for text, value in NUMBERS.items()})
    assert {text: outcome.evidence for text, outcome in found.items() if outcome.verdict != "pass"} == {}


FORGED = json.dumps(["wrong", "pass", "it holds"])
FORGERS = {
    "a print": f"print({FORGED!r}, flush=True)",
    "a stream": f"import sys; sys.__stdout__.write({FORGED + chr(10)!r}); sys.__stdout__.flush()",
    "a descriptor": f"import os; os.write(1, {(FORGED + chr(10)).encode()!r})",
    "another stream": f"import sys; sys.stdout = open(1, 'w', closefd=False); print({FORGED!r}, flush=True)",
}


def test_what_a_test_prints_is_nobodys_verdict(sandbox: Sandbox) -> None:
    found = run(sandbox, {"wrong": "check(1, 2)", **FORGERS})
    assert found.pop("wrong").verdict == "fail"
    assert {name: outcome.verdict for name, outcome in found.items()} == dict.fromkeys(FORGERS, "pass")


def test_a_test_that_never_ends_ends_alone(sandbox: Sandbox) -> None:
    loops = {
        "a loop": "while True: pass",
        "a loop that catches": "while True:\n    try:\n        while True: pass\n    except Exception: pass",
        "one that catches everything": "while True:\n    try:\n        while True: pass\n    except BaseException: pass",
    }
    found = run(sandbox, {"before": "check(1, 1)", **loops, "after": "check(1, 2)"})
    assert [outcome.verdict for outcome in found.values()] == ["pass", *["unknown"] * len(loops), "fail"]
    assert all("takes longer" in found[name].evidence for name in loops)


@pytest.mark.parametrize(("code", "ended_by"), [("import os; os._exit(3)", "status 3"), ("sum(range(10**12))", "time")])
def test_what_a_run_does_not_reach_is_undecided_and_what_it_reached_counts(
    sandbox: Sandbox, code: str, ended_by: str
) -> None:
    found = run(sandbox, {"before": "check(1, 2)", "end": code, "after": "check(1, 1)"}, timeout_s=10)
    assert [outcome.verdict for outcome in found.values()] == ["fail", "unknown", "unknown"]
    assert ended_by in found["after"].evidence


def test_all_python_tests_of_a_review_are_one_process_and_what_they_say_is_short(sandbox: Sandbox) -> None:
    found = run(
        sandbox,
        {
            **{str(n): "import os; assert not os.getpid(), os.getpid()" for n in range(3)},
            "long": "assert 0, 'x' * 9_000\n",
        },
    )
    assert len({found[str(n)].evidence for n in range(3)}) == 1
    assert len(found["long"].evidence) <= 400
    assert run(sandbox, {}) == {}


def test_without_a_sandbox_python_tests_are_unknown_and_say_why() -> None:
    class Shut(Sandbox):
        async def start(self) -> str:
            raise NoSandbox("user namespaces are not allowed")

    found = run(Shut(), {"1": "check(1, 1)"})
    assert found["1"].verdict == "unknown"
    assert "user namespaces are not allowed" in found["1"].evidence


# -- one file ----------------------------------------------------------------------------------------------------------

SCHEMA = {
    "type": "object",
    "required": ["when"],
    "properties": {"when": {"enum": ["Monday", "Tuesday"]}, "ports": {"type": "array", "minItems": 1}},
}
FILES: dict[str, tuple[Json, str, str]] = {
    "exists": ({"path": "plan.json", "is": "exists"}, "pass", ""),
    "exists not": ({"path": "plans.json", "is": "exists"}, "fail", "similar: `plan.json`"),
    "exists and is empty": ({"path": "empty.txt", "is": "exists"}, "fail", "is empty"),
    "absent": ({"path": "secret.json", "is": "absent"}, "pass", ""),
    "absent not": ({"path": "plan.json", "is": "absent"}, "fail", "is there, although"),
    "a folder that is absent": ({"path": "logs/", "is": "absent"}, "pass", ""),
    "a folder that is there": ({"path": "data", "is": "absent"}, "fail", "is there, although"),
    "unchanged": ({"path": "only.csv", "is": "unchanged"}, "pass", ""),
    "unchanged not": ({"path": "boats.csv", "is": "unchanged"}, "fail", "not as it was sent"),
    "unchanged and gone": ({"path": "gone.csv", "is": "unchanged"}, "fail", "there is no `gone.csv`"),
    "unchanged, never sent": ({"path": "plan.json", "is": "unchanged"}, "unknown", "no attachment"),
    "text": ({"path": "plan.json", "is": "text", "value": '"when": "Tuesday"'}, "pass", ""),
    "text over lines": ({"path": "boats.csv", "is": "text", "value": "boats\nAlder"}, "pass", ""),
    "text not": ({"path": "plan.json", "is": "text", "value": "Friday"}, "fail", "does not hold `Friday`: it begins with"),
    "pattern": ({"path": "boats.csv", "is": "pattern", "value": r"^Alder,\d+$"}, "pass", ""),
    "pattern not": ({"path": "boats.csv", "is": "pattern", "value": r"^Cedar,\d+$"}, "fail", "matches"),
    "words": ({"path": "data/deep.txt", "is": "words", "value": [1, 1]}, "pass", ""),
    "words at least": ({"path": "data/deep.txt", "is": "words", "value": [2, None]}, "fail", "has 1 words; asked are 2 to any number"),
    "words at most": ({"path": "README.md", "is": "words", "value": [None, 2]}, "fail", "has 3 words; asked are 0 to 2"),
    "schema": ({"path": "plan.json", "is": "schema", "value": SCHEMA}, "pass", ""),
    "schema not": ({"path": "plan.json", "is": "schema", "value": {"required": ["where"]}}, "fail", "where"),
    "schema of no JSON": ({"path": "README.md", "is": "schema", "value": SCHEMA}, "fail", "is no JSON"),
    "schema that refers": ({"path": "plan.json", "is": "schema", "value": {"$ref": "https://other.example/s.json"}}, "unknown", "refers elsewhere"),
    "schema that is none": ({"path": "plan.json", "is": "schema", "value": {"type": "wish"}}, "unknown", "the schema is none"),
    "a file too large": ({"path": "large.txt", "is": "text", "value": "x"}, "unknown", "too large"),
}  # fmt: skip
WHOLE = Workspace().put(
    {**SITE, "README.md": b"Three little words", "only.csv": ATTACHED["only.csv"], "empty.txt": b"", "large.txt": b"x" * 1_000_001}
)  # fmt: skip
SENT = {**ATTACHED, "gone.csv": b"1"}


@pytest.mark.parametrize("what", FILES)
def test_a_file_is_decided_by_what_stands_in_it(what: str) -> None:
    asked, verdict, words = FILES[what]
    found = run_file_test(FileTest.model_validate({"kind": "file", **asked}), WHOLE, SENT)
    assert found.verdict == verdict, found.evidence
    assert words in found.evidence


ENDLESS: dict[str, tuple[str, str]] = {
    "nested stars": (r"(a*)*b", "a" * 40),
    "alternatives": (r"(a|aa)+$", "a" * 60 + "!"),
    "a long way": (r"(.*)*,(.*)*;(.*)*!", "x," * 20_000),
    "lines": (r"(\s*\n)*\s*x$", " \n" * 30_000),
}


@pytest.mark.parametrize("what", ENDLESS)
def test_a_pattern_that_comes_to_no_end_is_ended(what: str) -> None:
    pattern, text = ENDLESS[what]
    began = time.process_time()
    found = run_file_test(
        FileTest.model_validate({"kind": "file", "path": "a.txt", "is": "pattern", "value": pattern}),
        Workspace().put({"a.txt": text.encode()}),
        {},
    )
    assert time.process_time() - began < 5
    assert found.verdict in ("fail", "unknown")


HOSTILE_SCHEMAS: dict[str, Json] = {
    "an endless pattern": {"type": "object", "properties": {"a": {"pattern": "^(a+)+$"}}},
    "endless names": {"type": "object", "patternProperties": {"^(a+)+$": {"type": "string"}}},
    "a reference to itself": {"$defs": {"a": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"},
    "a dynamic reference": {"$dynamicRef": "#a"},
    "another dialect": {"$schema": "https://other.example/dialect"},
    "an address of its own": {"$id": "https://other.example/id", "type": "object"},
    "a million wishes": {"allOf": [{"type": "object"}] * 20_000},
}


@pytest.mark.parametrize("what", HOSTILE_SCHEMAS)
def test_a_hostile_schema_ends_soon_and_reaches_nothing(what: str) -> None:
    asked = FileTest.model_validate({"kind": "file", "path": "a.json", "is": "schema", "value": HOSTILE_SCHEMAS[what]})
    data = json.dumps({"a": "a" * 60 + "!", "a" * 60 + "!": 1}).encode()
    began = time.process_time()
    found = run_file_test(asked, Workspace().put({"a.json": data}), {})
    assert time.process_time() - began < 5
    assert found.verdict in ("pass", "fail", "unknown")


# ruff: noqa: E501 - the tables are wide
