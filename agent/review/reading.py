"""The reading of a task: a model's answer becomes requirements, each held to the words it claims to come from."""

import json
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from agent.llm.messages import json_object
from agent.quoting import one_line, quote
from agent.records import Check, Task
from agent.review.acceptance import TEST, AcceptanceTest, FileTest, Reading, Requirement
from agent.workspace import ENGINE_FILES, INDEX, WORKFLOWS

MAX_OF_BRIEF = 16
MAX_OF_CHECKS = 40
MAX_TESTS = 3  # of one requirement
MAX_FILES = 30
MAX_WHY_CHARS = 200
README = "README.md"
WRITTEN_ANYWAY = frozenset({INDEX, README, *ENGINE_FILES})

_CHECK = re.compile(r"(?:check\s*)?#?\s*(r?\d+(?:\.\d+)?)", re.I)


def read(answer: str, task: Task, checks: Sequence[Check], briefs: Sequence[str], attached: Iterable[str]) -> Reading:
    """`checks`: those that a requirement is wanted for. Raises ValueError when nothing of the answer can be used."""
    said = _object(answer)
    source = Source([*briefs, *(check.text for check in task.checks)])
    dropped: list[str] = []
    requirements = [
        *_requirements(said.get("requirements"), task, checks, source, dropped),
        *_file_requirement(said, task, source, dropped),
    ]
    if not requirements and not isinstance(said.get("requirements"), list):
        raise ValueError("the answer holds no requirements")
    names = list(attached)
    return Reading(
        requirements=tuple(requirements),
        may_change=tuple(_granted(said.get("may_change"), names, source, dropped)),
        replaces=tuple(_replaced(said.get("requirements"))),
        dropped=tuple(dropped),
    )


def key(check: Check) -> str:
    """What a check's requirement is called in every round of a site."""
    return f"check:{check.round}.{check.id.rpartition('.')[2]}"


def wants_workflow(task: Task, reading: Reading) -> bool:
    """Whether brief or checks name a workflow file, or a requirement in their words asks for one."""
    texts = (task.brief, *(check.text for check in task.checks))
    asked = (t.test for t in reading.tests() if isinstance(t.test, FileTest) and t.test.asks != "absent")
    return any(WORKFLOWS in text for text in texts) or any(test.path.startswith(WORKFLOWS) for test in asked)


class Source:
    """The words of brief and checks, without what people copy differently: case, spaces, quotes, dashes, markup."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._text = " " + " ".join(map(_folded, texts)) + " "

    def __contains__(self, words: str) -> bool:
        folded = _folded(words)
        return bool(folded) and folded in self._text


def _folded(text: str) -> str:
    """Letters, digits and what file names are made of; what has no width is not there."""
    seen = (c for c in unicodedata.normalize("NFKC", text).casefold() if unicodedata.category(c) != "Cf")
    kept = (c if c.isalnum() or c in "./" or unicodedata.category(c)[0] == "M" else " " for c in seen)
    return " ".join("".join(kept).split()).strip(" ./")


def _object(answer: str) -> dict[str, Any]:
    """The JSON object of the answer; of one that was cut off, the requirements that are complete."""
    try:
        return json_object(answer)
    except ValueError:
        start = answer.find('"requirements"')
        if start < 0 or (at := answer.find("[", start)) < 0:
            raise
    return {"requirements": list(_complete(answer, at + 1))}


def _complete(text: str, at: int) -> Iterable[Any]:
    decoder = json.JSONDecoder()
    while (at := text.find("{", at)) >= 0:
        try:
            item, at = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            return
        yield item


def _requirements(
    items: Any, task: Task, checks: Sequence[Check], source: Source, dropped: list[str]
) -> Iterable[Requirement]:
    """One a check, in the checks' order, then those of the brief."""
    wanted = {check.id: check for check in checks[:MAX_OF_CHECKS]}
    of_checks: dict[str, list[dict[str, Any]]] = {}
    of_brief: list[dict[str, Any]] = []
    for item in items if isinstance(items, list) else []:
        if not isinstance(item, dict):
            dropped.append(f"no requirement: {quote(str(item))}")
            continue
        named = _CHECK.fullmatch(str(item.get("from", "")).strip())
        if named and named[1] in wanted:
            of_checks.setdefault(named[1], []).append(item)
        elif str(item.get("words", "")) in source:
            of_brief.append(item)
        else:
            dropped.append(f"{quote(str(item.get('says', '')))}: neither brief nor checks say so")
    for check_id, check in wanted.items():
        if said := of_checks.get(check_id):
            yield _requirement(key(check), check.round, check.text, said, dropped)
    for number, item in enumerate(of_brief[:MAX_OF_BRIEF], 1):
        yield _requirement(f"need:{task.round}.{number}", task.round, str(item["words"]), [item], dropped)
    dropped += [f"{quote(str(item.get('says', '')))}: too many" for item in of_brief[MAX_OF_BRIEF:]]


def _requirement(
    requirement_id: str, round_: int, words: str, items: Sequence[Mapping[str, Any]], dropped: list[str]
) -> Requirement:
    tests: list[AcceptanceTest] = []
    for item in items:
        listed = item.get("tests")
        for said in listed if isinstance(listed, list) else [listed]:
            try:
                test = TEST.validate_json(json.dumps(said))
            except (ValidationError, ValueError) as error:
                dropped.append(f"a test of {requirement_id}: {reason(error)}")
                continue
            tests.append(AcceptanceTest(id=f"{requirement_id}/{len(tests) + 1}", test=test))
    dropped += [f"{test.id}: too many" for test in tests[MAX_TESTS:]]
    return Requirement(
        id=requirement_id,
        round=round_,
        words=one_line(words, 400),
        says=one_line(str(items[0].get("says", "")), 300),
        tests=tuple(tests[:MAX_TESTS]),
    )


def _file_requirement(said: Mapping[str, Any], task: Task, source: Source, dropped: list[str]) -> Iterable[Requirement]:
    """The files that are wanted and those that are not, as one requirement."""
    tests: list[AcceptanceTest] = []
    for key, asks in ("files", "exists"), ("not_files", "absent"):
        listed = said.get(key)
        for path in listed[:MAX_FILES] if isinstance(listed, list) else []:
            if not isinstance(path, str) or not path or len(path) > MAX_WHY_CHARS or path in WRITTEN_ANYWAY:
                continue
            if path not in source:
                dropped.append(f"{quote(path)} as a file: neither brief nor checks name it")
                continue
            test = FileTest.model_validate({"kind": "file", "path": path.removeprefix("./"), "is": asks})
            tests.append(AcceptanceTest(id=f"need:{task.round}.files/{len(tests) + 1}", test=test))
    if tests:
        says = "The files that the task wants are there, and none that it does not want."
        words = one_line(task.brief, 120)
        yield Requirement(id=f"need:{task.round}.files", round=task.round, words=words, says=says, tests=tuple(tests))


def _granted(items: Any, names: Sequence[str], source: Source, dropped: list[str]) -> Iterable[str]:
    """Attachments that words of brief or checks let change: `"name"`, or `["name", "words"]`."""
    for item in items if isinstance(items, list) else []:
        name, words = (item[0], item[1]) if isinstance(item, list) and len(item) == 2 else (item, item)
        if name in names and isinstance(words, str) and words in source:
            yield name
        else:
            dropped.append(f"a change of {quote(str(name))}: neither brief nor checks ask for it")


def _replaced(items: Any) -> Iterable[str]:
    for item in items if isinstance(items, list) else []:
        if isinstance(item, dict) and isinstance(item.get("replaces"), list):
            yield from (str(other) for other in item["replaces"][:MAX_OF_BRIEF])


def reason(error: Exception) -> str:
    """Why a test was not taken, in one line."""
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return one_line(f"{'.'.join(map(str, first['loc']))}: {first['msg']}", MAX_WHY_CHARS)
    return one_line(str(error), MAX_WHY_CHARS)


def merged(new: Reading, earlier: Sequence[Requirement]) -> Reading:
    """With the requirements of earlier rounds that this round's brief does not replace."""
    replaced = {*new.replaces, *(requirement.id for requirement in new.requirements)}
    kept = (requirement for requirement in earlier if requirement.id not in replaced)
    return new.model_copy(update={"requirements": (*new.requirements, *kept)})
