"""A doubt: an acceptance test fails on a site for the first time. Its reader is asked once, test or site wrong.

One question for all doubts of a version; what is asked and what comes back are strangers' texts.
"""

import difflib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Literal

from pydantic import ConfigDict, StringConstraints, ValidationError

from agent.llm.messages import json_object
from agent.quoting import fence, one_line
from agent.records import Record, Review
from agent.review.acceptance import TEST, AcceptanceTest, Reading, Test
from agent.workspace import INDEX, Workspace

MAX_DOUBTS = 12  # in one question; the others wait
FILE_CHARS = 7_000  # of one file that is shown
FILES_CHARS = 16_000  # of all of them
DIFFERENCE_CHARS = 2_000
CHANGE = "change:"  # before the name of an attachment that was changed


class Answer(Record):
    """What the reader says of one doubt."""

    model_config = ConfigDict(extra="ignore", coerce_numbers_to_str=True)

    test: str
    wrong: Literal["test", "site"]
    say: Annotated[str, StringConstraints(max_length=1_000)] = ""  # to whoever makes the site
    fix: Test | None = None  # the test, worded anew


def doubtful(reading: Reading, review: Review) -> tuple[AcceptanceTest, ...]:
    """The tests that fail and that nobody was asked about."""
    failing = {result.id for result in review.results if result.verdict == "fail" and not result.guess}
    return tuple(test for test in reading.tests() if test.id in failing and test.standing == "open")[:MAX_DOUBTS]


def objected(reading: Reading, review: Review) -> tuple[AcceptanceTest, ...]:
    """The tests behind what the writer was told, whoever confirmed them."""
    failing = {result.id for result in review.results if result.verdict == "fail"}
    return tuple(test for test in reading.tests() if test.id in failing)[:MAX_DOUBTS]


def items(tests: Sequence[AcceptanceTest], reading: Reading, review: Review) -> list[dict[str, str]]:
    """What the question tells of each: the requirement, the test and what it found."""
    results = {result.id: result for result in review.results}
    owners = {test.id: requirement for requirement in reading.requirements for test in requirement.tests}
    return [
        {
            "id": test.id,
            "words": one_line(owners[test.id].words, 300),
            "says": one_line(owners[test.id].says, 300),
            "test": test.test.model_dump_json(exclude_defaults=True, by_alias=True),
            "evidence": results[test.id].evidence,
        }
        for test in tests
    ]


def files_shown(workspace: Workspace, tests: Sequence[AcceptanceTest], attachments: Mapping[str, bytes]) -> list[str]:
    """The part of the site concerned, fenced: the page, what it is made of, and files that the tests name."""
    named = " ".join(test.test.model_dump_json() for test in tests)
    own = [path for path in workspace if path not in attachments or workspace[path] != attachments[path]]
    code = [path for path in own if path.endswith((".html", ".js", ".mjs", ".css"))]
    wanted = [INDEX, *(path for path in own if path in named), *code]
    left, shown = FILES_CHARS, []
    for path in dict.fromkeys(wanted):
        text = _text(workspace, path)
        if text and left > 0:
            shown.append(fence(path, text, max_chars=min(FILE_CHARS, left)))
            left -= len(shown[-1])
    return shown


def _text(workspace: Workspace, path: str) -> str:
    data = workspace.get(path, b"")
    return "" if b"\0" in data[:4_000] else data.decode("utf-8", "replace")


def changed(workspace: Workspace, attachments: Mapping[str, bytes], reading: Reading) -> dict[str, str]:
    """Attachments that the site changed and that the task does not list as open to change, each with the difference.

    Markup, styles, scripts and README.md that were attached are the site's own to change.
    """
    kept = {*reading.may_change, "README.md"}
    found = {}
    for name, data in attachments.items():
        if name in kept or name.lower().endswith((".html", ".htm", ".css", ".js", ".mjs")):
            continue
        if name in workspace and workspace[name] != data:
            found[name] = fence(f"difference of {name}", _difference(data, workspace[name]), max_chars=DIFFERENCE_CHARS)
    return found


def _difference(before: bytes, after: bytes) -> str:
    if b"\0" in before[:4_000] or b"\0" in after[:4_000]:
        return f"{len(before)} bytes became {len(after)} other ones"
    old, new = (data.decode("utf-8", "replace").splitlines()[:2_000] for data in (before, after))
    return "\n".join(difflib.unified_diff(old, new, "as sent", "as it is", lineterm="", n=1))


def read(answer: str, asked: Iterable[str]) -> dict[str, Answer]:
    """By what was asked: a test's id, or `change:NAME`. Raises ValueError when there is no answer in it."""
    listed = json_object(answer).get("answers")
    if not isinstance(listed, list):
        raise ValueError("the answer holds no answers")
    wanted = set(asked)
    found = {}
    for item in listed[: 2 * len(wanted)]:
        said = _answer(item)
        if said and said.test in wanted:
            found[said.test] = said
    if not found:
        raise ValueError("the answer names no test that was asked about")
    return found


def _answer(item: object) -> Answer | None:
    """Without its fix where that is no test: then the test is withdrawn."""
    if not isinstance(item, dict):
        return None
    try:
        fix = TEST.validate_json(json.dumps(item["fix"])) if item.get("fix") else None
    except ValidationError:
        fix = None
    try:
        return Answer.model_validate({**item, "fix": fix})
    except ValidationError:
        return None


def settled(test: AcceptanceTest, answer: Answer | None) -> AcceptanceTest:
    """What becomes of a doubted test. Without an answer it is withdrawn: it may cost nobody a turn."""
    if answer is None:
        return test.model_copy(
            update={"standing": "withdrawn", "why": "it failed, and nobody could say that it is right"}
        )
    if answer.wrong == "site":
        return test.model_copy(update={"standing": "confirmed", "why": one_line(answer.say, 300)})
    if answer.fix is not None and not test.fixed:
        return test.model_copy(update={"test": answer.fix, "fixed": True})
    why = one_line(answer.say, 300) or "its reader says that it is wrong"
    return test.model_copy(update={"standing": "withdrawn", "why": why})


def given_up(test: AcceptanceTest) -> AcceptanceTest:
    """It fails and nobody can be asked any more: told for one turn, never ranked."""
    return test.model_copy(update={"standing": "guess"})
