"""The judge: a model's word on meaning and taste. It counts only with a quote of what it was shown, or of a picture.

What it is shown comes from strangers, and so does its answer.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from itertools import islice
from typing import Annotated

from pydantic import ConfigDict, StringConstraints, ValidationError

from agent.files.previews import preview
from agent.llm.messages import json_object
from agent.quoting import fence, one_line, quote
from agent.records import Record, Review, TestResult, Verdict
from agent.review.acceptance import AcceptanceTest, JudgeTest, Reading
from agent.workspace import Workspace

MIN_QUOTE_CHARS = 6
SEEN_CHARS, README_CHARS, FILE_CHARS = 4_000, 4_000, 3_000
MAX_FILES = 6  # that the questions name, beside README.md
MAX_QUESTIONS = 12
README = "README.md"
PICTURE = "picture"  # what is quoted when a picture shows it


class _Said(Record):
    """One verdict as the model words it."""

    model_config = ConfigDict(extra="ignore", coerce_numbers_to_str=True)

    test: str
    verdict: Verdict
    quote: Annotated[str, StringConstraints(max_length=1_000)] = ""
    why: Annotated[str, StringConstraints(max_length=1_000)] = ""


def questions(reading: Reading, review: Review) -> tuple[AcceptanceTest, ...]:
    """The tests that wait for a judge."""
    judged = {result.id for result in review.results}
    waiting = (t for t in reading.tests() if isinstance(t.test, JudgeTest) and t.id not in judged)
    return tuple(waiting)[:MAX_QUESTIONS]


def exhibits(
    workspace: Workspace,
    tests: Sequence[AcceptanceTest],
    seen: Sequence[tuple[str, str]],
    attachments: Mapping[str, bytes],
) -> list[str]:
    """What the judge is shown, each fenced and bounded: the page as it runs, README.md, what attachments hold, and
    files that the questions name."""
    asked = " ".join(test.test.question for test in tests if isinstance(test.test, JudgeTest))
    named = {path: workspace[path] for path in workspace if path in asked and path != README}
    shown = [fence(name, text, max_chars=SEEN_CHARS) for name, text in seen]
    if README in workspace:
        shown.append(fence(README, workspace.text(README), max_chars=README_CHARS))
    files = dict(islice({**named, **attachments}.items(), MAX_FILES))
    return [*shown, *(preview(name, data, max_chars=FILE_CHARS) for name, data in files.items())]


def read(
    answer: str, tests: Sequence[AcceptanceTest], shown: Collection[str], *, pictures: bool
) -> tuple[TestResult, ...]:
    """One result a test; what no quote proves stays undecided. Raises ValueError for no answer."""
    listed = json_object(answer).get("verdicts")
    if not isinstance(listed, list):
        raise ValueError("the answer holds no verdicts")
    said = {one.test: one for one in reversed(list(filter(None, map(_said, listed[: 2 * len(tests)]))))}
    bodies = [_spaced("\n".join(exhibit.splitlines()[1:-1])) for exhibit in shown]
    return tuple(_result(test.id, said, bodies, pictures) for test in tests)


def undecided(tests: Sequence[AcceptanceTest], why: str) -> tuple[TestResult, ...]:
    return tuple(
        TestResult(id=test.id, verdict="unknown", evidence=f"not judged: {one_line(why, 200)}") for test in tests
    )


def _said(item: object) -> _Said | None:
    try:
        return _Said.model_validate_json(json.dumps(item))
    except ValidationError:
        return None


def _result(test_id: str, given: Mapping[str, _Said], bodies: Sequence[str], pictures: bool) -> TestResult:
    said = given.get(test_id)
    if said is None:
        return TestResult(id=test_id, verdict="unknown", evidence="the judge gave no verdict on it")
    why = quote(said.why, 200)
    if said.verdict == "unknown":
        return TestResult(id=test_id, verdict="unknown", evidence=f"the judge could not tell: {why}")
    proof = _spaced(said.quote)
    proved = len(proof) >= MIN_QUOTE_CHARS and any(proof in body for body in bodies)
    if not proved and not (pictures and proof.lower() == PICTURE):
        evidence = f"void: the judge said {said.verdict}, but what it quotes was not shown to it: {quote(said.quote)}"
        return TestResult(id=test_id, verdict="unknown", evidence=evidence)
    evidence = f"a judge, quoting {quote(said.quote, 120)}: {why}"
    return TestResult(id=test_id, verdict=said.verdict, evidence=evidence)


def _spaced(text: str) -> str:
    return " ".join(text.split())
