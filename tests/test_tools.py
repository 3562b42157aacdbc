"""Every call of the model is answered with a text it can act on, and nothing but its own tool changes the workspace."""

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from agent.errors import ToolError
from agent.records import Fetched, Finding, Review, ToolCall, ToolResult
from agent.sandbox.sandbox import Run, Script
from agent.tools import registry
from agent.tools.registry import MAX_RESULT_CHARS, ToolContext
from agent.workspace import MAX_DATA_BYTES, MAX_FILE_BYTES, Workspace, sha256
from tests import files

NAMES = "convert_attachment edit_file fetch read_attachment read_file run_check run_python write_file"
MAX_SCHEMA_CHARS = 3_300  # about 850 tokens, paid in every model call

PAGE = "<!doctype html>\n<main>\n  <h1>Harbour</h1>\n  <p>one</p>\n  <p>two</p>\n</main>\n"


async def review(workspace: Workspace) -> Review:
    """Check 1 wants an index.html, check 2 is never decided."""
    found = "index.html" in workspace
    first = Finding(id="1", origin="check", text="has a page", verdict="pass" if found else "fail", evidence="looked")
    return Review(
        findings=(first, first.model_copy(update={"id": "2", "verdict": "unknown", "evidence": "no browser"}))
    )


def unbalanced(path: str, data: bytes) -> str | None:
    return "line 1: ( is never closed" if path.endswith(".js") and data.count(b"(") != data.count(b")") else None


async def nothing_runs(script: Script) -> Run:
    raise ToolError("nothing can be run here")


def context(files: Mapping[str, bytes | str] | None = None, **changes: Any) -> ToolContext:
    given = {path: data.encode() if isinstance(data, str) else data for path, data in (files or {}).items()}
    plain = ToolContext(
        workspace=Workspace().put(given),
        attachments={},
        failed_edits={},
        review=review,
        fetch=None,
        report=lambda review: f"{len(review.failures)} of {len(review.findings)} fail",
        broken=unbalanced,
        run_script=nothing_runs,
    )
    return replace(plain, **changes)


@dataclass(frozen=True)
class Batch:
    """One result a call, and what they left."""

    results: Sequence[ToolResult]
    left: ToolContext

    @property
    def workspace(self) -> Workspace:
        return self.left.workspace


def run(context: ToolContext, *calls: tuple[str, Mapping[str, Any]]) -> Batch:
    numbered = [ToolCall(id=f"call-{n}", name=name, arguments=dict(args)) for n, (name, args) in enumerate(calls)]
    return Batch(*asyncio.run(registry.run(context, numbered)))


def answer(context: ToolContext, name: str, /, **args: Any) -> str:
    return run(context, (name, args)).results[0].text


BOOK = files.xlsx(("Sheet", [["day", "n", "twice"], ["2024-01-31", 1.0, "=B2*2"], ["n/a", None, None]]))


# -- the contract of all tools -----------------------------------------------------------------------------------------


def test_the_tools_are_these_and_cost_no_more_than_this() -> None:
    schemas = registry.schemas()
    assert " ".join(schema["function"]["name"] for schema in schemas) == NAMES
    assert len(json.dumps(schemas)) <= MAX_SCHEMA_CHARS


@pytest.mark.parametrize("schema", registry.schemas(), ids=lambda schema: schema["function"]["name"])
def test_a_tool_describes_itself_in_words_that_every_provider_knows(schema: dict[str, Any]) -> None:
    function = schema["function"]
    name, parameters = function["name"], function["parameters"]
    tool = sys.modules[f"agent.tools.{name}"]
    assert schema == {"type": "function", "function": {**function}}
    assert set(function) == {"name", "description", "parameters"}
    assert 20 < len(function["description"]) < 200
    assert "\n" not in function["description"]
    assert list(parameters["properties"]) == list(tool.Args.model_fields)
    assert set(parameters.get("required", ())) == {n for n, f in tool.Args.model_fields.items() if f.is_required()}
    check_plain(parameters)


def check_plain(schema: dict[str, Any]) -> None:
    schema = {word: value for word, value in schema.items() if word != "description"}
    if schema["type"] == "object":
        assert set(schema) <= {"type", "properties", "required", "additionalProperties"}
        assert schema["additionalProperties"] is False
        assert set(schema.get("required", ())) <= set(schema["properties"])
        for inner in schema["properties"].values():
            check_plain(inner)
    elif schema["type"] == "array":
        assert set(schema) == {"type", "items"}
        check_plain(schema["items"])
    else:
        assert schema in ({"type": "string"}, {"type": "integer"}, {"type": "boolean"})


def test_schemas_are_the_same_bytes_in_every_process_and_sorted() -> None:
    code = "import json; from agent.tools.registry import schemas; print(json.dumps(schemas()))"
    root = Path(registry.__file__).parents[2]
    other = subprocess.run(
        [sys.executable, "-c", code],
        cwd=root,
        env={**os.environ, "PYTHONHASHSEED": "7"},
        capture_output=True,
        check=True,
    )
    assert other.stdout.decode().strip() == json.dumps(registry.schemas())
    names = [schema["function"]["name"] for schema in registry.schemas()]
    assert names == sorted(names)


# -- a turn ------------------------------------------------------------------------------------------------------------


def test_all_calls_of_a_turn_run_in_order_and_all_are_answered() -> None:
    batch = run(
        context(),
        ("write_file", {"path": "a.html", "content": PAGE}),
        ("no_such_tool", {}),
        ("edit_file", {"path": "a.html", "edits": [{"old": "one", "new": "1"}]}),
        ("read_file", {"path": "a.html", "start": 4, "count": 1}),
    )
    texts = [result.text for result in batch.results]
    assert [result.call_id for result in batch.results] == ["call-0", "call-1", "call-2", "call-3"]
    assert texts[0] == f"wrote a.html, {len(PAGE)} bytes"
    assert texts[1] == f"no_such_tool failed: there is no such tool; there are: {NAMES.replace(' ', ', ')}"
    assert texts[2] == f"edited a.html: 1 edits, {len(PAGE) - 2} bytes now"
    assert "\n  <p>1</p>\n" in texts[3]
    assert batch.workspace["a.html"].decode() == PAGE.replace("one", "1")


def test_a_call_with_a_problem_is_answered_and_not_run() -> None:
    call = ToolCall(id="x", name="write_file", arguments={"path": "a", "content": ""}, problem="the JSON ends early")
    batch = Batch(*asyncio.run(registry.run(context(), [call])))
    assert batch.results[0].text == "write_file failed: the JSON ends early"
    assert len(batch.workspace) == 0


@pytest.mark.parametrize(
    ("name", "args", "told"),
    [
        ("write_file", {}, "path: field required; content: field required; it takes: path, content"),
        ("write_file", {"path": "a", "content": 1}, "content: input should be a valid string"),
        ("write_file", {"path": "a", "content": "\ud800"}, "half of a character, a lone surrogate"),
        ("edit_file", {"path": "a", "edits": []}, "edits: list should have at least 1 item"),
        ("edit_file", {"path": "a", "edits": [{"old": "x"}]}, "edits.0.new: field required"),
        ("read_file", {"path": "a", "start": 0}, "start: input should be greater than or equal to 1"),
    ],
)
def test_wrong_arguments_are_named_in_one_sentence(name: str, args: dict[str, Any], told: str) -> None:
    text = answer(context(), name, **args)
    assert text.startswith(f"{name} failed: ")
    assert told in text
    assert "\n" not in text


EDIT = {"old": "one", "new": "1"}
ODD_EDITS = {
    "one edit without a list": EDIT,
    "JSON text": json.dumps([EDIT]),
    "JSON text of one edit": json.dumps(EDIT),
    "a list of JSON texts": [json.dumps(EDIT)],
    "an edit with a remark": [{**EDIT, "why": "it is shorter"}],
}


@pytest.mark.parametrize("name", ODD_EDITS)
def test_edits_are_read_in_whatever_form_loses_nothing(name: str) -> None:
    batch = run(context({"a.txt": "one"}), ("edit_file", {"path": "a.txt", "edits": ODD_EDITS[name]}))
    assert batch.workspace["a.txt"] == b"1"


def test_an_argument_too_many_is_told_and_the_call_is_run() -> None:
    batch = run(context(), ("write_file", {"path": "a", "content": "x", "overwrite": True, "mode": "w"}))
    assert batch.workspace["a"] == b"x"
    assert batch.results[0].text.splitlines()[1] == "(ignored: overwrite, mode; it takes: path, content)"


def test_an_object_is_written_as_its_json_and_lines_are_asked_for_as_text() -> None:
    for value in ({"a": [1, "é"]}, [{"a": 1}, {"a": 2}]):
        batch = run(context(), ("write_file", {"path": "data.json", "content": value}))
        assert json.loads(batch.workspace["data.json"]) == value
    assert "valid string" in answer(context(), "write_file", path="a.txt", content=["one line", "another"])


def test_one_item_may_stand_for_a_list_of_it() -> None:
    assert "failed" not in answer(context(), "run_check", ids="1")


def test_numbers_may_come_as_strings() -> None:
    assert "lines 2-2 of 2" in answer(context({"a": "1\n2\n"}), "read_file", path="a", start="2")


@pytest.mark.parametrize(
    "path", ["../x", "/etc/passwd", "LICENSE", ".git/config", "CNAME", ".github/workflows/ci.yml", ""]
)
@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("write_file", {"content": ""}),
        ("convert_attachment", {"name": "b.xlsx"}),
        ("fetch", {"url": "https://x.org/y"}),
    ],
)
def test_no_tool_writes_where_a_site_may_not(name: str, args: dict[str, Any], path: str) -> None:
    offered = context(attachments={"b.xlsx": BOOK}, fetch=answering(b"data"))
    batch = run(offered, (name, {**args, "path": path}))
    assert len(batch.workspace) == 0
    if path or name != "fetch":
        assert batch.results[0].text.startswith(f"{name} failed: ")


def test_a_workflow_is_written_only_where_brief_or_checks_ask_for_it() -> None:
    call = ("write_file", {"path": ".github/workflows/ci.yml", "content": "on: push\n"})
    assert len(run(context(), call).workspace) == 0
    assert list(run(context(workflows=True), call).workspace) == [".github/workflows/ci.yml"]


# -- edit_file ---------------------------------------------------------------------------------------------------------

EDITS: list[tuple[str, str, list[tuple[str, str]], str]] = [
    ("exact", "a b c", [("b", "x")], "a x c"),
    ("several", "a b c", [("c", "z"), ("a", "x")], "x b z"),
    ("on the running text", "a b", [("a", "c"), ("c b", "d")], "d"),
    ("deletion", "a\nb\nc\n", [("b\n", "")], "a\nc\n"),
    ("exact wins over loose", "  b\nb", [("  b", "x")], "x\nb"),
    ("trailing blanks of the file", "a  \nb\t\nc\n", [("a\nb\n", "x\n")], "x\nc\n"),
    ("trailing blanks of the edit", "a\nb\n", [("a  \nb", "x")], "x\n"),
    ("deeper in the file", "if x:\n    a\n      b\n", [("a\n  b", "c\n\n  d")], "if x:\n    c\n\n      d\n"),
    ("shallower in the file", "a\nb\n", [("    a\n    b", "    c\n    d")], "c\nd\n"),
    ("tabs for spaces", "\tx = 1\n", [("  x = 1\n", "  x = 2\n")], "\tx = 2\n"),
    ("no line end at the end", "a\nb", [("b\n", "c\n")], "a\nc\n"),
    ("CRLF file", "a\r\nb\r\nc\r\n", [("a\nb\n", "x\ny\n")], "x\r\ny\r\nc\r\n"),
    ("CRLF edit", "a\nb\n", [("a\r\nb", "x\r\ny")], "x\ny\n"),
    ("mixed ends stay mixed", "a\r\nb\nc\r\n", [("b", "x")], "a\r\nx\nc\r\n"),
    ("byte order mark", "\ufeffa\n", [("a", "b")], "\ufeffb\n"),
    ("no pattern, no escape", r"a.*(\1", [(r".*(\1", r"\g<0>")], r"a\g<0>"),
]


@pytest.mark.parametrize(("before", "edits", "after"), [case[1:] for case in EDITS], ids=[case[0] for case in EDITS])
def test_an_edit_replaces_the_one_place_it_fits(before: str, edits: list[tuple[str, str]], after: str) -> None:
    given = [{"old": old, "new": new} for old, new in edits]
    batch = run(context({"a.txt": before}), ("edit_file", {"path": "./a.txt", "edits": given}))
    assert batch.workspace["a.txt"].decode() == after
    assert batch.left.failed_edits == {}


@pytest.mark.parametrize(
    ("path", "edits", "told"),
    [
        ("a.html", [("one", "1"), ("three", "3")], "a.html is unchanged: edit 2 of 2: `old` does not occur"),
        ("a.html", [("<p>", "<b>")], "occurs more than once (lines 4, 5)"),
        ("a.html", [("p>\n<p", "")], "does not occur"),
        ("a.html", [("<h1>Harbour</h1>\n<p>one</p>\n  <p>two</p>", "")], "does not occur"),
        ("a.html", [("", "x")], "`old` is empty"),
        ("a.html", [("  \n ", "x")], "does not occur"),
        ("a.html", [("one", "one")], "the edits leave it as it is"),
        ("a.html", [("one", "eins"), ("eins", "one")], "the edits leave it as it is"),
        ("a.js", [(")", "")], "the edits would break it: line 1: ( is never closed"),
        ("overlap.txt", [("aa", "b")], "occurs more than once"),
    ],
)
def test_an_edit_that_does_not_fit_changes_nothing_and_counts_as_a_miss(
    path: str, edits: list[tuple[str, str]], told: str
) -> None:
    files = {"a.html": PAGE, "a.js": "f()", "overlap.txt": "aaa"}
    given = [{"old": old, "new": new} for old, new in edits]
    batch = run(context(files), ("edit_file", {"path": path, "edits": given}))
    assert told in batch.results[0].text
    assert batch.workspace == context(files).workspace
    assert batch.left.failed_edits == {path: 1}


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ({}, "there is no file 'a.js'; there are: "),
        ({"b.js": ""}, "there is no file 'a.js'; there are: b.js"),
        ({"a.js": b"\xff"}, "no UTF-8 text"),
        ({"a.js": "x" * MAX_FILE_BYTES}, "the limit is"),
    ],
)
def test_what_cannot_be_edited_at_all_is_no_miss(files: dict[str, bytes | str], told: str) -> None:
    first = {"old": "x" * MAX_FILE_BYTES, "new": "y" * (MAX_FILE_BYTES + 1)}
    batch = run(context(files), ("edit_file", {"path": "a.js", "edits": [first]}))
    assert told in batch.results[0].text
    assert batch.left.failed_edits == {}


def test_a_miss_shows_the_nearest_lines_with_their_numbers() -> None:
    lines = [f"const value{n} = compute({n});" for n in range(1, 60)]
    text = answer(context({"a.js": "\n".join(lines)}), "edit_file", path="a.js", edits=[NEAR])
    assert "37| const value37 = compute(37);\n38| const value38 = compute(38);" in text
    assert len(re.findall(r"^\d+\| ", text, re.MULTILINE)) <= 12
    assert text.endswith("--- end a.js ---")


NEAR = {"old": "const value37 = compute(73);\nconst value38 = compute(38)", "new": ""}


def test_after_two_failed_edits_on_a_file_its_whole_text_is_shown_for_a_rewrite() -> None:
    miss = ("edit_file", {"path": "a.html", "edits": [{"old": "<h1>Harbor</h1>", "new": ""}]})
    other = ("edit_file", {"path": "b.html", "edits": [{"old": "zzz", "new": ""}]})
    fit = ("edit_file", {"path": "a.html", "edits": [{"old": "one", "new": "1"}]})
    write = ("write_file", {"path": "a.html", "content": PAGE})
    files = {"a.html": PAGE, "b.html": PAGE}

    first = run(context(files), miss, other)
    assert "3|   <h1>Harbour</h1>" in first.results[0].text
    assert first.left.failed_edits == {"a.html": 1, "b.html": 1}
    second = run(context(files, failed_edits=first.left.failed_edits), miss, miss)
    for result in second.results:
        assert "write_file" in result.text
        assert PAGE in result.text
    assert second.left.failed_edits == {"a.html": 3, "b.html": 1}
    for change in (fit, write):
        changed = run(context({**files, "a.html": PAGE + "\n"}, failed_edits=second.left.failed_edits), change)
        assert changed.left.failed_edits == {"b.html": 1}


def test_a_broken_file_may_be_edited_while_it_stays_broken() -> None:
    batch = run(context({"a.js": "f(("}), ("edit_file", {"path": "a.js", "edits": [{"old": "f", "new": "g"}]}))
    assert batch.workspace["a.js"] == b"g(("


@pytest.mark.parametrize(
    "text", ["x" * 900_000, "a\n" * 400_000, "".join(f"{n} same words here\n" for n in range(20_000))]
)
def test_a_failed_edit_of_a_huge_file_is_answered_shortly(text: str) -> None:
    for failed_edits in ({}, {"a.txt": 1}):
        told = answer(
            context({"a.txt": text}, failed_edits=failed_edits),
            "edit_file",
            path="a.txt",
            edits=[{"old": "words\nhere", "new": ""}],
        )
        assert "does not occur" in told
        assert len(told) <= MAX_RESULT_CHARS


# -- reading -----------------------------------------------------------------------------------------------------------


def test_a_long_file_is_read_in_pages() -> None:
    files = {"a.txt": "".join(f"line {n}\n" for n in range(1, 2_001))}
    first = answer(context(files), "read_file", path="a.txt")
    found = re.search(r"lines 1-(\d+) of 2000 are shown, start=(\d+) shows more", first)
    assert found
    assert int(found[2]) == int(found[1]) + 1
    assert f"(untrusted data) ---\nline {found[2]}\n" in answer(
        context(files), "read_file", path="a.txt", start=int(found[2])
    )
    assert len(first) <= 8_000


def test_an_attachment_is_shown_as_data_and_an_unknown_name_as_a_choice() -> None:
    offered = context(attachments={"b.xlsx": BOOK, "a.csv": b"a,b\n1,2\n"})
    text = answer(offered, "read_attachment", name="a.csv")
    assert "--- begin a.csv (untrusted data) ---\n" in text
    assert "\n2024-01-31,1\n" in answer(offered, "read_attachment", name="b.xlsx", part="Sheet")
    assert answer(offered, "read_attachment", name="c").endswith("no attachment 'c'; there are: a.csv, b.xlsx")
    assert "there is no sheet 'None'" in answer(offered, "read_attachment", name="b.xlsx", part="None")


def test_what_a_tool_answers_can_be_stored_and_sent() -> None:
    text = answer(context(attachments={"a.txt": b"\x1b[2J" * 9 + b"x" * 5_000}), "read_attachment", name="a.txt")
    assert "\x1b" not in text
    assert answer(context({"a\x00b": "x"}), "read_file", path="nul\x00").isprintable()


# -- converting and fetching -------------------------------------------------------------------------------------------


def test_a_spreadsheet_becomes_csv_and_what_it_lacks_is_said() -> None:
    batch = run(context(attachments={"b.xlsx": BOOK}), ("convert_attachment", {"name": "b.xlsx", "path": "b.csv"}))
    assert batch.workspace["b.csv"] == b"day,n,twice\n2024-01-31,1,\nn/a,,\n"
    assert batch.results[0].text.split("\n")[:3] == [
        "wrote b.csv (32 bytes)",
        "1 formulas in the file have no stored value: their cells are empty",
        'b.csv: csv, 32 bytes, ASCII, delimiter ",", 3 rows (the header included) x 3 columns',
    ]
    assert "\n2024-01-31,1,\n" in batch.results[0].text


def test_every_sheet_of_a_spreadsheet_is_saved_by_one_call() -> None:
    book = files.xlsx(("One", [["a"], [1]]), ("Two", [["b"], [2]]))
    batch = run(
        context(attachments={"b.xlsx": book}), ("convert_attachment", {"name": "b.xlsx", "path": "d/{sheet}.csv"})
    )
    assert {path: batch.workspace[path] for path in batch.workspace} == {"d/One.csv": b"a\n1\n", "d/Two.csv": b"b\n2\n"}
    assert batch.results[0].text.startswith("wrote d/One.csv (4 bytes), d/Two.csv (4 bytes)\n")


def test_an_image_is_saved_at_the_width_asked_for() -> None:
    args = {"name": "a.png", "path": "small.webp", "width": 20}
    batch = run(context(attachments={"a.png": files.picture("PNG")}), ("convert_attachment", args))
    assert "small.webp: WebP image, 20 x 10 pixels" in batch.results[0].text


@pytest.mark.parametrize(
    ("args", "told"),
    [
        ({"name": "b.xlsx", "path": "b.png"}, "'b.xlsx' does not become 'b.png'; there are: xlsx to csv, xlsx to json"),
        ({"name": "a.csv", "path": "b"}, "'a.csv' does not become 'b'; there are: "),
        ({"name": "b.xlsx", "path": "b.csv", "part": "Two"}, "there is no sheet 'Two'; there are: 'Sheet'"),
        ({"name": "cut.xlsx", "path": "b.csv"}, "is damaged"),
        ({"name": "nowhere.xlsx", "path": "b.csv"}, "there is no attachment"),
    ],
)
def test_a_conversion_that_cannot_be_done_changes_nothing(args: dict[str, str], told: str) -> None:
    attachments = {"b.xlsx": BOOK, "a.csv": b"a\n", "cut.xlsx": BOOK[:1_000]}
    batch = run(context(attachments=attachments), ("convert_attachment", args))
    assert told in batch.results[0].text
    assert len(batch.workspace) == 0


def test_the_row_with_the_column_names_can_be_named() -> None:
    attachments = {"a.csv": b"By,Me\nDate,2024-05-01\n\nlake,n\nw,0\nx,1\ny,2\nz,3\n"}
    asked = {"name": "a.csv", "path": "b.json"}
    doubt, made = run(
        context(attachments=attachments), ("convert_attachment", asked), ("convert_attachment", {**asked, "header": 4})
    ).results
    assert (
        "which row names the columns: perhaps 1 (`By, Me`) or 4 (`lake, n`); give its number in `header`" in doubt.text
    )
    assert "wrote b.json" in made.text


def answering(data: bytes) -> Callable[[str], Awaitable[tuple[Fetched, bytes]]]:
    async def fetch(url: str) -> tuple[Fetched, bytes]:
        asked = Fetched(url=url, at=0)
        if not url.startswith("https://x.org/"):
            return asked.model_copy(update={"error": "evil.example may not be reached: it is none of x.org"}), b""
        return asked.model_copy(update={"status": 200, "size_bytes": len(data), "sha256": sha256(data)}), data

    return fetch


def test_fetched_bytes_are_saved_exactly_and_shown_as_data() -> None:
    data = b'{"rate": 1.10}\r\n\xc3\xa9\n'
    batch = run(
        context(fetch=answering(data)), ("fetch", {"url": "https://x.org/v1/rate?x=1", "path": "data/rate.json"})
    )
    assert batch.workspace["data/rate.json"] == data
    assert batch.results[0].text.startswith("saved data/rate.json, 19 bytes\n")
    assert "--- begin data/rate.json (untrusted data) ---" in batch.results[0].text


def test_without_a_path_a_fetch_only_shows() -> None:
    batch = run(context(fetch=answering(b"day,n\n1,2\n")), ("fetch", {"url": "https://x.org/d/rates.csv?key=1"}))
    assert batch.results[0].text.startswith("rates.csv: csv, 10 bytes")
    assert len(batch.workspace) == 0


def test_more_than_the_model_may_type_can_be_carried_over_by_code() -> None:
    batch = run(
        context(fetch=answering(b"x" * (MAX_FILE_BYTES + 1))), ("fetch", {"url": "https://x.org/", "path": "x"})
    )
    assert len(batch.workspace["x"]) == MAX_FILE_BYTES + 1


@pytest.mark.parametrize(
    ("fetch", "told"),
    [(None, "nothing may be fetched: neither brief nor checks name a host"), (answering(b""), "it is none of x.org")],
)
def test_a_fetch_that_is_not_allowed_is_answered(
    fetch: Callable[[str], Awaitable[tuple[Fetched, bytes]]] | None, told: str
) -> None:
    batch = run(context(fetch=fetch), ("fetch", {"url": "https://evil.example/", "path": "x"}))
    assert told in batch.results[0].text
    assert len(batch.workspace) == 0


def test_json_is_shown_with_the_rows_of_its_longest_list() -> None:
    rows = [{"fy": 2000 + n, "val": n * 1001, "note": "a,b" if n else None} for n in range(60)]
    data = json.dumps({"name": "Alder", "tags": ["x"], "units": {"shares": rows}}).encode()
    text = run(context(fetch=answering(data)), ("fetch", {"url": "https://x.org/v1/shares"})).results[0].text
    assert "shares: JSON, " in text
    assert "--- begin units.shares.csv (untrusted data) ---\nfy,val,note\n2000,0,\n" in text
    assert '2059,59059,"a,b"\n--- end units.shares.csv ---' in text


def test_a_fetch_that_brings_nothing_says_why_and_what_else_may_be_done() -> None:
    batch = run(context(fetch=answering(b"")), ("fetch", {"url": "https://evil.example/", "path": "x"}))
    assert batch.results[0].text.startswith("fetch failed: evil.example may not be reached: it is none of x.org. Try")
    assert "do not invent the data" in batch.results[0].text
    assert [(one.url, one.sha256, one.path) for one in batch.left.fetched] == [("https://evil.example/", "", "")]
    assert batch.left.fetched[0].error


def test_what_was_fetched_is_told_with_its_hash_and_its_place() -> None:
    calls = [("fetch", {"url": "https://x.org/a", "path": "a.csv"}), ("fetch", {"url": "https://x.org/b"})]
    batch = run(context(fetch=answering(b"a,b\n")), *calls)
    told = [(one.url, one.status, one.size_bytes, one.sha256, one.path) for one in batch.left.fetched]
    size, digest = 4, sha256(b"a,b\n")
    assert told == [("https://x.org/a", 200, size, digest, "a.csv"), ("https://x.org/b", 200, size, digest, "")]


@pytest.mark.parametrize("made", [{"size_bytes": 1}, {"error": "x.org answers 404"}, {"size_bytes": 41_000_000}])
def test_a_task_fetches_so_often_and_so_much_and_no_more(made: dict[str, Any]) -> None:
    before = (Fetched(url="https://x.org/", at=0, **made),) * (1 if made.get("size_bytes", 0) > 1 else 24)
    batch = run(context(fetch=answering(b"1"), fetched=before), ("fetch", {"url": "https://x.org/"}))
    assert "are all a task may make: use what is there" in batch.results[0].text
    assert batch.left.fetched == before


@pytest.mark.parametrize("path", ["LICENSE", "CNAME", "../x", ".github/workflows/x.yml"])
def test_a_path_that_is_refused_costs_no_fetch(path: str) -> None:
    batch = run(context(fetch=answering(b"1")), ("fetch", {"url": "https://x.org/", "path": path}))
    assert (batch.left.fetched, len(batch.workspace)) == ((), 0)
    assert batch.results[0].text.startswith("fetch failed: ")


def test_a_fetched_file_is_read_like_an_attachment() -> None:
    data = json.dumps([{"n": n} for n in range(3_000)]).encode()
    fetch = ("fetch", {"url": "https://x.org/a", "path": "a.json"})
    read = ("read_attachment", {"name": "a.json", "start": 2_999})
    assert '{"n": 2999}\n--- end a.json ---' in run(context(fetch=answering(data)), fetch, read).results[1].text


# -- run_python --------------------------------------------------------------------------------------------------------


def runner(**outcome: Any) -> tuple[Callable[[Script], Awaitable[Run]], list[Script]]:
    """What stands in for the jail: every run has this outcome. And what it was asked to run."""
    asked: list[Script] = []
    done = Run(**{"status": 0, "ended_by": "", "stdout": b"", "stderr": b"", "changed": {}, "left": (), **outcome})

    async def run_script(script: Script) -> Run:
        asked.append(script)
        return done

    return run_script, asked


def test_a_script_gets_the_site_and_the_attachments_and_its_wanted_files_are_kept() -> None:
    run_script, asked = runner(stdout=b"42\n", changed={"out/a.json": b"{}", "b.csv": b"", "tmp.txt": b"x"})
    site = {"calc.py": "print(42)", "data.csv": "site's own"}
    attachments = {"data.csv": b"as received", "LICENSE-old": b"read only"}
    args = {"path": "./calc.py", "args": [1, "x"], "stdin": "in", "files": ["out/*.json", "./b.csv", "never.txt"]}
    batch = run(context(site, attachments=attachments, run_script=run_script), ("run_python", args))
    assert asked[0].arguments == ("calc.py", "1", "x")
    assert asked[0].files == {"calc.py": b"print(42)", "data.csv": b"site's own", "LICENSE-old": b"read only"}
    assert asked[0].stdin == b"in"
    assert dict(batch.workspace) == {p: d.encode() for p, d in site.items()} | {"out/a.json": b"{}", "b.csv": b""}
    assert batch.results[0].text.splitlines() == [
        "the run ended with status 0",
        "kept: b.csv, 0 bytes; out/a.json, 2 bytes",
        "not kept, as `files` does not name them: tmp.txt, 1 bytes",
        "named in `files`, but not written: never.txt",
        "--- begin stdout (untrusted data) ---",
        "42",
        "",
        "--- end stdout ---",
    ]


def test_code_is_run_among_the_files_and_leaves_no_trace_of_itself() -> None:
    run_script, asked = runner(changed={"__code__.py": b"changed by itself"})
    batch = run(context({"a.csv": "1"}, run_script=run_script), ("run_python", {"code": "print('é')", "files": ["*"]}))
    assert asked[0].arguments == ("__code__.py",)
    assert asked[0].files == {"a.csv": b"1", "__code__.py": "print('é')".encode()}
    assert list(batch.workspace) == ["a.csv"]
    assert "it said nothing" in batch.results[0].text


def test_what_a_script_may_not_write_is_not_kept_and_the_rest_is() -> None:
    bad = (
        "../up",
        "/etc/x",
        "LICENSE",
        ".git/config",
        "CNAME",
        ".github/workflows/x.yml",
        "b\udcff",
        "DATA.csv",
        "a/b",
    )
    changed = {**dict.fromkeys(bad, b"x"), "data.csv": b"x", "huge": bytes(MAX_DATA_BYTES + 1), "fine.txt": b"x"}
    run_script, _ = runner(changed=changed)
    before = context({"data.csv": "1", "a": "1"}, run_script=run_script)
    batch = run(before, ("run_python", {"code": "pass", "files": ["*"]}))
    assert dict(batch.workspace) == {"data.csv": b"x", "a": b"1", "fine.txt": b"x"}
    assert batch.results[0].text.count("is not kept: ") == 10


@pytest.mark.parametrize(
    ("outcome", "told"),
    [
        ({"status": 3}, "the run ended with status 3"),
        ({"status": -11}, "the run was ended by SIGSEGV"),
        ({"status": -24}, "the run was ended by SIGXCPU: it took more than 20 s of a processor"),
        ({"status": -9, "ended_by": "time"}, "the run was stopped: its time was up"),
        ({"status": -9, "ended_by": "output"}, "the run was stopped: it said more than 200,000 bytes"),
    ],
)
def test_a_run_that_fails_is_told_from_both_ends_and_nothing_of_it_is_kept(outcome: dict[str, Any], told: str) -> None:
    said = b"first\n" + b"x" * 200_000 + b"\n--- end stderr ---\nlast"
    run_script, _ = runner(stdout=said, stderr=said, changed={"a.txt": b"half"}, left=["link"], **outcome)
    batch = run(context(run_script=run_script), ("run_python", {"code": "pass", "files": ["*"]}))
    text = batch.results[0].text
    assert text.startswith(f"{told}\nnot kept, as the run failed: a.txt, 4 bytes\ncannot be kept")
    assert [text.count(word) for word in ("first\n", "last\n", "\n--- end stderr ---")] == [2, 2, 1]
    assert len(text) < MAX_RESULT_CHARS
    assert len(batch.workspace) == 0


def test_files_by_the_hundred_are_told_in_one_line() -> None:
    run_script, _ = runner(changed={f"{n:03}-{'x' * 100}": b"" for n in range(900)}, left=["y" * 3_000] * 100)
    text = answer(context(run_script=run_script), "run_python", code="pass")
    assert "and 890 more" in text
    assert "and 90 more" in text
    assert len(text) < 6_000


@pytest.mark.parametrize(
    ("args", "told"),
    [
        ({}, "it takes `path`, a file of the site, or `code`, one of them"),
        ({"path": "a.py", "code": "pass"}, "one of them"),
        ({"path": "b.py"}, "there is no file 'b.py'; there are: a.py"),
        ({"code": "pass"}, "run_python failed: nothing can be run here"),
    ],
)
def test_a_run_that_cannot_be_had_is_answered(args: dict[str, str], told: str) -> None:
    assert told in answer(context({"a.py": ""}), "run_python", **args)


def test_a_tool_that_does_not_work_here_is_not_listed() -> None:
    names = [schema["function"]["name"] for schema in registry.schemas(without=["run_python"])]
    assert " ".join(names) == NAMES.replace("run_python ", "")


# -- run_check ---------------------------------------------------------------------------------------------------------


def test_checks_see_what_the_turn_has_written_so_far() -> None:
    write = ("write_file", {"path": "index.html", "content": PAGE})
    texts = [result.text for result in run(context(), ("run_check", {}), write, ("run_check", {})).results]
    assert (texts[0], texts[2]) == ("1 of 2 fail", "0 of 2 fail")


def test_checks_asked_for_by_id_come_with_verdict_and_evidence() -> None:
    text = answer(context(), "run_check", ids=[2, "2"])
    assert text.split("\n")[1:-1] == ["2 unknown: has a page | no browser"]
    assert answer(context(), "run_check", ids=["7"]) == "run_check failed: there is no check 7; there are: 1, 2"
