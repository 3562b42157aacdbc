"""The corpus: good sites by two hands and single slips, each with the reading of its task that a model once gave.

`tests/data/corpus/TASK/` holds `good-1/`, `good-2/`, `slips.json` and `reading.json`; six of the tasks lie beside them
in `tasks/`, the others where the recorded requests lie. A reading belongs to the prompt it was given for: after a
change of prompts, previews or questions it must be read anew.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import httpx

from agent.browser.chromium import Browser
from agent.files.previews import brief_previews
from agent.intake.request import parse
from agent.net import Resource
from agent.prompts import PROMPTS, TEMPLATES, Prompts
from agent.records import Json, Review, Task
from agent.review import doubts, reading
from agent.review.acceptance import Reading, Requirement
from agent.review.review import Reviewer, Subject, weighed
from agent.sandbox.sandbox import Sandbox
from agent.worker import questions
from agent.workspace import Workspace, is_published, sha256

CORPUS = Path(__file__).parent / "data" / "corpus"
REQUESTS = (CORPUS / "tasks", Path(__file__).parents[2] / "shared" / "tasks")
LIBRARIES = Path(__file__).parent / "data" / "libraries"


@dataclass(frozen=True)
class Slip:
    """One thing that is wrong with an otherwise good site."""

    name: str
    kind: str  # behaviour, data, exactness, files, earlier
    base: str
    broken: str  # whose sentence forbids it
    why: str
    edits: tuple[Mapping[str, str], ...] = ()
    write: Mapping[str, str] | None = None
    delete: tuple[str, ...] = ()


@dataclass(frozen=True)
class Case:
    """A task with its rounds, newest first, and its attachments of all rounds."""

    name: str
    rounds: tuple[Task, ...]
    attachments: Mapping[str, bytes]
    earlier: tuple[Requirement, ...]

    @property
    def folder(self) -> Path:
        return CORPUS / self.name

    def prompt(self) -> str:
        """What the reader is asked."""
        messages = questions.reading(Prompts(PROMPTS), self.rounds, brief_previews(self.attachments), self.earlier)
        return str(messages[0]["content"])

    def reading(self) -> Reading:
        """As it was recorded. Raises ValueError when the prompt is another one now."""
        recorded = json.loads((self.folder / "reading.json").read_text())
        if recorded["prompt_sha256"] != sha256(self.prompt().encode()):
            raise ValueError(f"{self.name}: the prompt of its reading has changed: it must be read anew")
        task, wanted = self.rounds[0], questions.unread(self.rounds[0], self.earlier)
        read = reading.read(recorded["answer"], task, wanted, [one.brief for one in self.rounds], self.attachments)
        return reading.merged(read, self.earlier)

    def good(self, name: str) -> Workspace:
        folder = self.folder / name
        own = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        licence = Prompts(TEMPLATES).render("site/LICENSE.j2", year="2026", holder="The authors of this site").encode()
        attached = {name: data for name, data in self.attachments.items() if is_published(name)}
        return Workspace().put({"LICENSE": licence, ".nojekyll": b"", **attached, **own})

    def goods(self) -> Iterator[str]:
        yield from sorted(path.name for path in self.folder.glob("good-*"))

    def slips(self) -> list[Slip]:
        return [Slip(**_plain(slip)) for slip in json.loads((self.folder / "slips.json").read_text())]

    def slipped(self, slip: Slip) -> Workspace:
        site = self.good(slip.base)
        for edit in slip.edits:
            text = site[edit["path"]].decode()
            assert text.count(edit["old"]) == 1, f"{self.name}, {slip.name}: not once in {edit['path']}"
            site = site.put({edit["path"]: text.replace(edit["old"], edit["new"]).encode()})
        site = site.put({path: text.encode() for path, text in (slip.write or {}).items()})
        return site.drop(*slip.delete)

    def subject(self, site: Workspace, read: Reading) -> Subject:
        return Subject(self.rounds[0], site, self.attachments, read)


@cache
def cases() -> tuple[Case, ...]:
    """Those whose requests lie here."""
    names = sorted(path.parent.name for path in CORPUS.glob("*/reading.json") if (path.parent / "slips.json").exists())
    return tuple(case for name in names if (case := case_of(name)))


@cache
def case_of(name: str) -> Case | None:
    found = request(name)
    if found is None:
        return None
    first = next((other for other in _all_requests() if _is_first_round_of(other, name)), None)
    if found["round"] == 1 or first is None:
        task, attachments = _task(found)
        return Case(name, (task,), attachments, ())
    before = case_of(first)
    assert before
    task, attachments = _task(found, before.rounds[0])
    earlier = before.reading().requirements if (before.folder / "reading.json").exists() else ()
    return Case(name, (task, *before.rounds), {**before.attachments, **attachments}, earlier)


def request(name: str) -> Json | None:
    found = (folder / f"{name}.json" for folder in REQUESTS)
    return next((dict(json.loads(path.read_text())) for path in found if path.exists()), None)


def _all_requests() -> list[str]:
    return sorted(path.stem for folder in REQUESTS for path in folder.glob("*.json"))


def _is_first_round_of(other: str, name: str) -> bool:
    one, found = request(other), request(name)
    return bool(one and found and one["round"] == 1 and "_pair" in found and one.get("_pair") == found["_pair"])


def _task(body: Json, earlier: Task | None = None) -> tuple[Task, dict[str, bytes]]:
    sent = {key: value for key, value in body.items() if not key.startswith("_")}
    task, data = parse(sent, task_id="0" * 32, received_at=0.0, deadline_s=600, earlier=lambda *_: earlier)
    return task, dict(zip([attachment.name for attachment in task.attachments], data, strict=True))


def _plain(slip: Json) -> dict[str, Any]:
    written = slip.get("write") or {}
    if isinstance(written, list):
        written = {item["path"]: item.get("text", item.get("content", "")) for item in written}
    return {
        **{key: slip[key] for key in ("name", "kind", "base", "broken", "why")},
        "edits": tuple(slip.get("edits", ())),
        "write": written,
        "delete": tuple(slip.get("delete", ())),
    }


# -- the reader's second look, as it was recorded ----------------------------------------------------------------------


def doubt_prompt(case: Case, site: Workspace, read: Reading, review: Review) -> str:
    """What the reader is asked about the tests that fail; empty when there is nothing to ask."""
    tests = doubts.doubtful(read, review)
    changes = doubts.changed(site, case.attachments, read)
    if not tests and not changes:
        return ""
    messages = questions.settling(Prompts(PROMPTS), case.rounds, tests, read, review, site, case.attachments, changes)
    return str(messages[0]["content"])


def settled(case: Case, read: Reading, review: Review, answer: str) -> Review:
    """The review after this answer; a fixed test counts as withdrawn here, since it is not run again."""
    tests = doubts.doubtful(read, review)
    answers = doubts.read(answer, [test.id for test in tests])
    changed = {test.id: doubts.settled(test, answers.get(test.id)) for test in tests}
    changed = {
        test_id: test.model_copy(update={"standing": "withdrawn"}) if test.fixed else test
        for test_id, test in changed.items()
    }
    return weighed(review, case.rounds[0], read.with_tests(changed))


# -- the world outside -------------------------------------------------------------------------------------------------


async def libraries(url: str, _hosts: frozenset[str]) -> Resource:
    """Doubles of the libraries that these sites load; any other host gives no answer."""
    address = url.lower()
    if address.endswith(".css") or ".css?" in address:
        name = "bootstrap.css" if "bootstrap" in address else ""
        return Resource((LIBRARIES / name).read_bytes() if name else b"", "text/css", "*")
    for name in ("marked", "highlight", "qrcode"):
        if name in address:
            return Resource((LIBRARIES / f"{name}.js").read_bytes(), "text/javascript", "*")
    if "bootstrap" in address:
        return Resource(b"", "text/javascript", "*")
    raise httpx.ConnectError("there is no such host here")


def reviewer(browser: Browser, sandbox: Sandbox) -> Reviewer:
    return Reviewer(browser, libraries, sandbox)
