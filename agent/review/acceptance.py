"""Acceptance tests: what a reader makes of the task before any site exists, small, typed and validated.

They come from a model that read a stranger's text, so each kind can do no more than look: a page without a network,
Python in the sandbox, files that are there already, a question to a judge.
"""

import re
from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, StringConstraints, TypeAdapter, field_validator, model_validator

from agent.records import Record
from agent.workspace import INDEX

MAX_STEPS = 12
MAX_WAIT_S = 16.0
WAIT_S = 3.0
SIZE = re.compile(r"(\d{2,4})x(\d{2,4})")

Short = Annotated[str, StringConstraints(max_length=400)]
Act = Literal["click", "fill", "select", "check", "uncheck", "press", "reload", "resize", "offline", "online"]
_BARE: frozenset[str] = frozenset({"reload", "offline", "online"})


class Step(Record):
    """What a visitor does. In JSON a list: `["fill", "#name", "Ada"]`, `["resize", "390x800"]`, `["reload"]`."""

    act: Act
    selector: Short = ""  # Playwright's, so that a button can be found by its words
    value: Short = ""  # the text, the option, the key; of resize the width and height in pixels

    @model_validator(mode="before")
    @classmethod
    def _from_list(cls, value: Any) -> Any:
        if not isinstance(value, list) or not value:
            return value
        act, *words = ("" if part is None else str(part) for part in value)
        if act == "resize":
            return {"act": act, "value": words[0] if words else ""}
        return {"act": act, "selector": words[0] if words else "", "value": words[1] if len(words) > 1 else ""}

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.act == "resize" and not SIZE.fullmatch(self.value):
            raise ValueError("resize needs a size such as 390x800")
        if self.act not in (*_BARE, "resize") and not self.selector:
            raise ValueError(f"{self.act} needs a selector")
        if self.act in ("press", "select") and not self.value:
            raise ValueError(f"{self.act} needs a selector and a {'key' if self.act == 'press' else 'value'}")
        return self


class PageTest(Record):
    """The page is opened, the steps are done, then the expression must come true; a text it gives says why not."""

    model_config = ConfigDict(extra="ignore")

    kind: Literal["page"]
    expect: Annotated[str, StringConstraints(min_length=1, max_length=3_000)]
    steps: Annotated[tuple[Step, ...], Field(max_length=MAX_STEPS)] = ()
    page: Short = INDEX
    query: Annotated[str, StringConstraints(max_length=400, pattern=r"^[^#\s]*$")] = ""
    serve: dict[str, Annotated[str, StringConstraints(max_length=8_000)]] = Field(default_factory=dict, max_length=4)
    within_s: float = Field(WAIT_S, ge=0, le=MAX_WAIT_S)

    @field_validator("query", mode="after")
    @classmethod
    def _without_mark(cls, query: str) -> str:
        return query.removeprefix("?")


class PythonTest(Record):
    """A script beside the site's files and the attachments; it fails by an assertion that says what was found."""

    model_config = ConfigDict(extra="ignore")

    kind: Literal["python"]
    code: Annotated[str, StringConstraints(min_length=1, max_length=4_000)]


class FileTest(Record):
    """What one file of the repository is, by what `asks` says; `value` is its measure."""

    model_config = ConfigDict(extra="ignore", populate_by_name=True)

    kind: Literal["file"]
    path: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    asks: Literal["exists", "absent", "unchanged", "text", "pattern", "words", "schema", "copy", "selection"] = Field(
        alias="is"
    )
    value: Any = None  # text, pattern: a string · words: [least, most] · schema: JSON Schema · copy: the source's name

    @model_validator(mode="after")
    def _measured(self) -> Self:
        needs = {"text": str, "pattern": str, "copy": str, "selection": str, "words": list, "schema": dict}.get(
            self.asks
        )
        if needs and not isinstance(self.value, needs):
            raise ValueError(f"{self.asks} needs a {needs.__name__} as its value")
        if self.asks == "pattern":
            try:
                re.compile(self.value)
            except re.error as error:
                raise ValueError(f"the pattern is none: {error}") from None
        if self.asks == "words" and not _bounds(self.value):
            raise ValueError("words needs [least, most]; either may be null")
        return self


def _bounds(value: list[Any]) -> bool:
    """Two whole numbers in order, or one and a null."""
    given = [n for n in value if n is not None]
    return (
        len(value) == 2 and given != [] and all(isinstance(n, int) and n >= 0 for n in given) and given == sorted(given)
    )


class JudgeTest(Record):
    """Meaning or taste: a model looks at the finished page."""

    model_config = ConfigDict(extra="ignore")

    kind: Literal["judge"]
    question: Annotated[str, StringConstraints(min_length=1, max_length=600)]


Test = Annotated[PageTest | PythonTest | FileTest | JudgeTest, Field(discriminator="kind")]
TEST: TypeAdapter[Test] = TypeAdapter(Test)

# open: has not failed yet, or nobody was asked · confirmed: a second look said that the site was wrong
# guess: it fails and nobody could be asked any more · dropped: it was refused before use · withdrawn: it was wrong
Standing = Literal["open", "confirmed", "guess", "dropped", "withdrawn"]


class AcceptanceTest(Record):
    """A test and how far it is trusted."""

    id: str  # of its requirement, a slash and a number
    test: Test
    standing: Standing = "open"
    why: str = ""  # of what was dropped or withdrawn; of a confirmed failure what the writer should do
    fixed: bool = False  # it was worded anew once

    @property
    def in_use(self) -> bool:
        return self.standing not in ("dropped", "withdrawn")


class Requirement(Record):
    """One thing that brief or check demands."""

    id: str  # check:ROUND.NUMBER of a prose check, need:ROUND.NUMBER of the brief
    round: int
    words: str  # of brief or check
    says: str  # what must be seen, in one plain sentence
    tests: tuple[AcceptanceTest, ...] = ()


class Reading(Record):
    """What a model made of a task before any site existed."""

    requirements: tuple[Requirement, ...] = ()
    may_change: tuple[str, ...] = ()  # attachments that the task wants changed
    replaces: tuple[str, ...] = ()  # requirements of earlier rounds that this round's brief replaces
    dropped: tuple[str, ...] = ()  # what was not taken, each with its reason
    why_not: str = ""  # why nobody read the task, if so

    def tests(self) -> tuple[AcceptanceTest, ...]:
        """Those in use, in order."""
        return tuple(test for requirement in self.requirements for test in requirement.tests if test.in_use)

    def with_tests(self, changed: dict[str, AcceptanceTest]) -> "Reading":
        """The same with other versions of some tests, by id."""
        requirements = tuple(
            requirement.model_copy(update={"tests": tuple(changed.get(test.id, test) for test in requirement.tests)})
            for requirement in self.requirements
        )
        return self.model_copy(update={"requirements": requirements})
