"""Probes: what prose checks come to that no rule of `prose` can decide, compiled once by a model and kept.

A model's answer is a stranger's text. A probe is small and typed; it only looks at files, or runs in the page without a
network; and one that would hold of an empty page is not believed.
"""

import json
import re
from collections.abc import Collection, Sequence
from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError, model_validator

from agent.llm.messages import json_object
from agent.records import NOTHING, Check, Record, Usage
from agent.review import prose

MAX_PROBES = 12  # of one call; what is left of so many checks stays undecided
MAX_WAIT_S = 16.0

_OF_THE_PAGE = re.compile(r"\b(?:document|window|location|localStorage|sessionStorage|getComputedStyle|fetch)\b")

Text = Annotated[str, StringConstraints(min_length=1, max_length=200)]


class _Probe(Record):
    model_config = ConfigDict(coerce_numbers_to_str=True)

    check: Text  # the id of the check it decides


class Step(Record):
    """What a visitor does first. Selectors are Playwright's, so that a button can be found by its words."""

    act: Literal["click", "fill", "reload"]
    selector: Annotated[str, StringConstraints(max_length=200)] = ""
    value: Annotated[str, StringConstraints(max_length=200)] = ""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.act != "reload" and not self.selector:
            raise ValueError(f"{self.act} needs a selector")
        return self


class JsProbe(_Probe):
    """The page is opened, the steps are done, then the expression must come true."""

    kind: Literal["js"]
    expression: Annotated[str, StringConstraints(min_length=1, max_length=1_000)]
    within_s: float = Field(5.0, ge=0, le=MAX_WAIT_S)
    query: Annotated[str, StringConstraints(max_length=300, pattern=r"^[^#\s]*$")] = ""  # of the page's address
    steps: Annotated[tuple[Step, ...], Field(max_length=8)] = ()

    @model_validator(mode="after")
    def _of_the_page(self) -> Self:
        if not _OF_THE_PAGE.search(self.expression):
            raise ValueError("the expression does not look at the page")
        return self


class FileProbe(_Probe):
    """What one file of the site holds, beyond being there."""

    kind: Literal["file"]
    path: Text
    contains: Annotated[tuple[Text, ...], Field(max_length=8)] = ()  # in upper or lower case
    fields: Annotated[tuple[Text, ...], Field(max_length=12)] = ()  # of a JSON file, dotted; none may be null
    min_words: int | None = Field(None, ge=1)
    max_words: int | None = Field(None, ge=1)

    @model_validator(mode="after")
    def _asks(self) -> Self:
        if not (self.contains or self.fields or self.min_words or self.max_words):
            raise ValueError("it asks nothing of the file")
        return self


class JudgeProbe(_Probe):
    """No probe decides it."""

    kind: Literal["judge"]
    why: Annotated[str, StringConstraints(max_length=300)] = ""


Probe = Annotated[JsProbe | FileProbe | JudgeProbe, Field(discriminator="kind")]
PROBE: TypeAdapter[Probe] = TypeAdapter(Probe)


class Compiled(Record):
    """The probes of a task, at most one a check."""

    probes: tuple[Probe, ...] = ()
    why: str = ""  # other checks that need one have none
    usage: Usage = NOTHING

    def of(self, check_id: str) -> Probe | None:
        return next((probe for probe in self.probes if probe.check == check_id), None)


def needed(checks: Sequence[Check], known: Collection[str] = ()) -> tuple[Check, ...]:
    """The checks that rules can never confirm and that have no probe yet; `known`: ids of those that have one."""
    open_ = (check for check in checks if check.kind == "prose" and check.id not in known)
    return tuple(check for check in open_ if not prose.decidable(check.text))[:MAX_PROBES]


def read(answer: str, checks: Sequence[Check]) -> tuple[Probe, ...]:
    """One probe a check; a check whose probe is missing or no probe is the judge's. Raises ValueError for no answer."""
    items = json_object(answer).get("probes")
    if not isinstance(items, list):
        raise ValueError("the answer holds no probes")
    given = {str(item.get("check")): item for item in reversed(items[: 2 * MAX_PROBES]) if isinstance(item, dict)}
    return tuple(_probe(check, given.get(check.id)) for check in checks)


def judges(check_id: str, why: str) -> JudgeProbe:
    return JudgeProbe(check=check_id, kind="judge", why=why[:300])


def _probe(check: Check, item: object) -> Probe:
    if item is None:
        return judges(check.id, "the model gave it no probe")
    try:
        return PROBE.validate_json(json.dumps(item))
    except ValidationError as error:
        first = error.errors()[0]
        return judges(check.id, f"its probe was refused: {'.'.join(map(str, first['loc']))}: {first['msg']}")
