"""The judge: a model's word on checks that nothing else decides. It counts only with a quote of what it was shown.

It turns unknown into pass or fail, nothing else; what it is shown comes from strangers, and so does its answer.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Annotated

from pydantic import ConfigDict, StringConstraints, ValidationError

from agent.llm.messages import json_object
from agent.quoting import fence, one_line, quote
from agent.records import NOTHING, Check, Finding, Record, Review, Usage, Verdict
from agent.review.probes import Compiled, JudgeProbe
from agent.review.wording import file_names
from agent.workspace import Workspace

MIN_QUOTE_CHARS = 6
SNAPSHOT_CHARS, TEXT_CHARS, README_CHARS, FILE_CHARS = 4_000, 4_000, 4_000, 3_000
MAX_FILES = 6  # that the checks name, beside README.md
README = "README.md"


class Opinion(Record):
    """The verdict on one check."""

    check: str
    verdict: Verdict
    evidence: str


class Judged(Record):
    """What one call came to."""

    opinions: tuple[Opinion, ...] = ()
    usage: Usage = NOTHING


class _Said(Record):
    """One verdict as the model words it."""

    model_config = ConfigDict(extra="ignore", coerce_numbers_to_str=True)

    check: str
    verdict: Verdict
    quote: Annotated[str, StringConstraints(max_length=1_000)] = ""
    why: Annotated[str, StringConstraints(max_length=1_000)] = ""


def questions(checks: Sequence[Check], review: Review, compiled: Compiled) -> tuple[Check, ...]:
    """The checks that wait for a judge."""
    waiting = {f.id for f in review.findings if f.origin != "rule" and f.verdict == "unknown"}
    return tuple(c for c in checks if c.id in waiting and isinstance(compiled.of(c.id), JudgeProbe))


def exhibits(workspace: Workspace, asked: Sequence[Check], snapshot: str, text: str) -> list[str]:
    """What the judge is shown, each fenced and bounded: the page as it runs, README.md, files that the checks name."""
    files = (name for check in asked for name in file_names(check.text) if name in workspace and name != README)
    shown = [
        fence("what a screen reader finds", snapshot, max_chars=SNAPSHOT_CHARS),
        fence("visible text", text, max_chars=TEXT_CHARS),
    ]
    if README in workspace:
        shown.append(fence(README, workspace.text(README), max_chars=README_CHARS))
    named = list(dict.fromkeys(files))[:MAX_FILES]
    return [*shown, *(fence(name, workspace.text(name), max_chars=FILE_CHARS) for name in named)]


def read(answer: str, asked: Sequence[Check], shown: Collection[str]) -> tuple[Opinion, ...]:
    """One opinion a check; what is not proved by a quote stays unknown. Raises ValueError for no answer."""
    items = json_object(answer).get("verdicts")
    if not isinstance(items, list):
        raise ValueError("the answer holds no verdicts")
    said = {one.check: one for one in reversed(list(filter(None, map(_said, items[: 2 * len(asked)]))))}
    bodies = [_spaced("\n".join(exhibit.splitlines()[1:-1])) for exhibit in shown]
    return tuple(_opinion(check.id, said.get(check.id), bodies) for check in asked)


def undecided(asked: Sequence[Check], why: str) -> tuple[Opinion, ...]:
    return tuple(
        Opinion(check=check.id, verdict="unknown", evidence=f"not judged: {one_line(why, 200)}") for check in asked
    )


def applied(review: Review, opinions: Sequence[Opinion]) -> Review:
    """The review with what the judge could tell: only what was unknown changes."""
    by_id: Mapping[str, Opinion] = {opinion.check: opinion for opinion in opinions}
    return review.model_copy(update={"findings": tuple(_settled(f, by_id.get(f.id)) for f in review.findings)})


def _settled(finding: Finding, opinion: Opinion | None) -> Finding:
    if opinion is None or finding.origin == "rule" or finding.verdict != "unknown":
        return finding
    return finding.model_copy(update={"verdict": opinion.verdict, "evidence": opinion.evidence, "guess": True})


def _said(item: object) -> _Said | None:
    try:
        return _Said.model_validate_json(json.dumps(item))
    except ValidationError:
        return None


def _opinion(check_id: str, said: _Said | None, bodies: Sequence[str]) -> Opinion:
    if said is None:
        return Opinion(check=check_id, verdict="unknown", evidence="the judge gave no verdict on it")
    why = quote(said.why, 200)
    if said.verdict == "unknown":
        return Opinion(check=check_id, verdict="unknown", evidence=f"the judge could not tell: {why}")
    proof = _spaced(said.quote)
    if len(proof) < MIN_QUOTE_CHARS or not any(proof in body for body in bodies):
        evidence = f"void: the judge said {said.verdict}, but what it quotes was not shown to it: {quote(said.quote)}"
        return Opinion(check=check_id, verdict="unknown", evidence=evidence)
    return Opinion(check=check_id, verdict=said.verdict, evidence=f"a judge, quoting {quote(said.quote, 120)}: {why}")


def _spaced(text: str) -> str:
    return " ".join(text.split())
