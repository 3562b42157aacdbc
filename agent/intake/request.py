"""A request becomes a task, and the secret ends here. Pure: no clock, no database, no network.

Strict in what the notification and the repository depend on, lenient in the rest: a check or an attachment that cannot
be used is listed in `Task.skipped`.
"""

import hashlib
import hmac
import json
import re
import unicodedata
from collections.abc import Callable, Mapping
from typing import Annotated, Any
from urllib.parse import urlsplit

import httpx
from pydantic import (
    AfterValidator,
    AliasChoices,
    AliasPath,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    StringConstraints,
    ValidationError,
)

from agent.errors import BadRequest
from agent.intake.attachments import read_attachments
from agent.intake.checks import clean_text, read_checks
from agent.records import Check, Record, Task

MAX_IDENTITY_CHARS = 1_000
MAX_BRIEF_CHARS = 200_000
MAX_URL_CHARS = 4_000
MAX_SLUG_CHARS = 80


def _clean(value: Any) -> Any:
    return clean_text(value) if isinstance(value, str) else value


def _round(value: Any) -> Any:
    if not isinstance(value, int | str) or not re.fullmatch(r"[1-9][0-9]{0,5}", str(value)):
        raise ValueError
    return value


def _web_address(url: str) -> str:
    url = url.strip()
    parts = urlsplit(url)  # `port` raises ValueError as well
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0 or "@" in parts.netloc:
        raise ValueError
    if re.search(r"[\x00-\x20\x7f\\]", url):
        raise ValueError
    try:
        httpx.URL(url).host  # noqa: B018 - a name that no host can have raises ValueError when it is read
    except httpx.InvalidURL:
        raise ValueError from None
    return url


NOT_BLANK = r"^[^\x00]*[^\x00\s][^\x00]*$"

Identity = Annotated[str, StringConstraints(max_length=MAX_IDENTITY_CHARS, pattern=NOT_BLANK)]  # kept as received
Brief = Annotated[str, BeforeValidator(_clean), StringConstraints(max_length=MAX_BRIEF_CHARS, pattern=r"\S")]
Round = Annotated[int | str, BeforeValidator(_round)]
WebAddress = Annotated[str, StringConstraints(max_length=MAX_URL_CHARS), AfterValidator(_web_address)]

RULES = {
    "round": "an integer from 1 to 999999, or its string",
    "brief": f"a text of 1 to {MAX_BRIEF_CHARS} characters",
    "evaluation_url": "an http(s) address with a host and without user info",
}
IDENTITY_RULE = f"a readable text of 1 to {MAX_IDENTITY_CHARS} characters"


class TaskRequest(Record):
    """What an evaluator POSTs, with the secret; nothing behind this module sees it."""

    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True, loc_by_alias=False)

    email: Identity
    secret: SecretStr = SecretStr("")  # compared by `authorized`
    task: Identity
    round: Round
    nonce: Identity
    brief: Brief
    evaluation_url: WebAddress = Field(
        validation_alias=AliasChoices("evaluation_url", "evaluation.url", AliasPath("evaluation", "url"))
    )
    checks: Any = Field(None, validation_alias=AliasChoices("checks", "texts"))
    attachments: Any = None


def authorized(body: Mapping[str, Any], secret: SecretStr) -> bool:
    """Whether the body carries the secret; takes the same time however much of it is right."""
    given = body.get("secret")
    if not isinstance(given, str):
        return False
    return hmac.compare_digest(
        given.encode("utf-8", "surrogatepass"), secret.get_secret_value().encode("utf-8", "surrogatepass")
    )


def parse(
    body: Mapping[str, Any],
    *,
    task_id: str,
    received_at: float,
    deadline_s: float,
    earlier: Callable[[str, str, int], Task | None],
) -> tuple[Task, tuple[bytes, ...]]:
    """The task, and the bytes of its attachments in the order of `Task.attachments`. Raises BadRequest.

    `earlier(email, task, round)` is the task whose site this round changes, if any. A private evaluation_url is taken
    too: the site is worth building, and `notify` finds its call back blocked.
    """
    request = _validated(body)
    round_number = int(request.round)
    before = earlier(request.email, request.task, round_number)
    checks, unused = read_checks(request.checks, round_number)
    found = read_attachments(request.attachments)
    task = Task(
        id=task_id,
        email=request.email,
        task=request.task,
        round=round_number,
        round_received=request.round,
        nonce=request.nonce,
        brief=request.brief,
        checks=checks + _still_held(before, checks),
        attachments=tuple(attachment for attachment, _ in found.files.values()),
        skipped=(*unused, *found.skipped),
        evaluation_url=request.evaluation_url,
        repo=before.repo if before else repo_name(request.email, request.task, request.nonce),
        previous_id=before.id if before else None,
        received_at=received_at,
        deadline_at=received_at + deadline_s,
    )
    return task, tuple(data for _, data in found.files.values())


def repo_name(email: str, task: str, nonce: str) -> str:
    """A legal repository name, the same for the same three: slug of the task, "-", 6 hex digits."""
    ascii_text = "".join(c for c in unicodedata.normalize("NFKD", task) if not unicodedata.combining(c)).lower()
    slug = re.sub(r"[^a-z0-9._-]+", "-", ascii_text)
    slug = re.sub(r"([._-])[._-]+", r"\1", slug).strip("._-")[:MAX_SLUG_CHARS].strip("._-")
    digest = hashlib.sha256(json.dumps([email, task, nonce]).encode()).hexdigest()
    return f"{slug or 'task'}-{digest[:6]}"


def _validated(body: Mapping[str, Any]) -> TaskRequest:
    try:
        return TaskRequest.model_validate(dict(body))
    except ValidationError as error:
        faults = {str(e["loc"][0]): e["type"] for e in error.errors(include_input=False, include_url=False)}
        raise BadRequest(422, "; ".join(_complaint(field, kind) for field, kind in faults.items())) from None


def _complaint(field: str, kind: str) -> str:
    return f"{field} is missing" if kind == "missing" else f"{field} must be {RULES.get(field, IDENTITY_RULE)}"


def _still_held(before: Task | None, checks: tuple[Check, ...]) -> tuple[Check, ...]:
    """The checks of earlier rounds, but those that this round repeats."""
    texts = {check.text for check in checks}
    kept = [check for check in before.checks if check.text not in texts] if before else []
    return tuple(
        check if check.id.startswith("r") else check.model_copy(update={"id": f"r{check.round}.{check.id}"})
        for check in kept
    )
