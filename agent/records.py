"""The records that flow through the service: frozen, typed, plain JSON when stored. No I/O.

TaskRequest → Task → Workspace → Reply → Batch → Review → Build → Publication → Notification.
(`TaskRequest` lives in `intake`, the one module that sees the secret; `Workspace` in `workspace`, `Batch` in `loop`.)
"""

from collections.abc import Awaitable, Callable
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Json = dict[str, Any]
Step = Callable[[str, Callable[[], Awaitable[Any]]], Awaitable[Any]]  # runs an action once, by name, and keeps its JSON
Verdict = Literal["pass", "fail", "unknown"]
Stage = Literal["build", "reading", "doubts", "judge"]  # what a model is asked for
State = Literal["queued", "running", "done", "failed", "cancelled"]
FINAL_STATES: frozenset[State] = frozenset({"done", "failed", "cancelled"})


class Record(BaseModel):
    """Immutable; `model_dump(mode="json")` and `model_validate` are exact inverses."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Skipped(Record):
    """A part of the request that was not used, and why."""

    what: str
    why: str


class Check(Record):
    """One acceptance check, as the evaluator wrote it."""

    id: str  # "1", "2", … in the order received; "r1.2" for check 2 of an earlier round
    kind: Literal["js", "selector", "prose"]
    text: str  # js: the expression without its prefix; selector: CSS; prose: the sentence
    round: int


class Attachment(Record):
    """A decoded attachment; its bytes are the blob `sha256`."""

    name: str  # base name, safe as a path at the root of the site
    sha256: str
    size_bytes: int
    media_type: str
    published: bool = True  # False for LICENSE*, CNAME, .nojekyll and .git*: readable, never in the site


class Task(Record):
    """One accepted request without its secret: all that anything inside ever sees."""

    id: str  # 128 random bits, hex
    email: str
    task: str
    round: int
    round_received: int | str  # as sent: goes back in the notification with the same JSON type
    nonce: str
    brief: str
    checks: tuple[Check, ...]  # of this round, then those of earlier rounds (see `Check.id`)
    attachments: tuple[Attachment, ...]  # of this round
    skipped: tuple[Skipped, ...]
    evaluation_url: str
    repo: str  # name of the site's repository, shared by all rounds of one site
    previous_id: str | None  # the newest earlier round of the same site
    received_at: float  # Unix time, seconds
    deadline_at: float  # Unix time, seconds


class Usage(Record):
    """What model calls consumed. `cost_usd` is None as soon as one call's price is unknown."""

    model_calls: int = 0
    failed_calls: int = 0  # requests that gave nothing usable; those that were charged all the same are model_calls too
    prompt_tokens: int = 0  # includes cached_tokens
    completion_tokens: int = 0
    cached_tokens: int = 0
    cost_usd: float | None = 0.0
    by_model: dict[str, "Usage"] = Field(default_factory=dict)
    by_stage: dict[str, "Usage"] = Field(default_factory=dict)

    def of(self, model: str) -> "Usage":
        """The same, put down to one model."""
        return self.model_copy(update={"by_model": {model: self}})

    def during(self, stage: Stage) -> "Usage":
        """The same, put down to one stage."""
        return self.model_copy(update={"by_stage": {stage: self.model_copy(update={"by_model": {}})}})

    @property
    def known_usd(self) -> float:
        """What the models of known price cost: one of unknown price hides them in `cost_usd`."""
        if self.cost_usd is not None:
            return self.cost_usd
        return sum(usage.known_usd for usage in self.by_model.values())

    def __add__(self, other: "Usage") -> "Usage":
        known = self.cost_usd is not None and other.cost_usd is not None
        return Usage(
            model_calls=self.model_calls + other.model_calls,
            failed_calls=self.failed_calls + other.failed_calls,
            prompt_tokens=self.prompt_tokens + other.prompt_tokens,
            completion_tokens=self.completion_tokens + other.completion_tokens,
            cached_tokens=self.cached_tokens + other.cached_tokens,
            cost_usd=(self.cost_usd or 0.0) + (other.cost_usd or 0.0) if known else None,
            by_model=_added(self.by_model, other.by_model),
            by_stage=_added(self.by_stage, other.by_stage),
        )


NOTHING = Usage()


def _added(one: dict[str, Usage], other: dict[str, Usage]) -> dict[str, Usage]:
    return {name: one.get(name, NOTHING) + other.get(name, NOTHING) for name in one | other}


class Capabilities(Record):
    """What a probe found a model able to do. None: it could not be told."""

    key: str  # the model and a hash of its address: see `ModelChoice.capabilities_key`
    made_at: float  # Unix time, seconds
    tools: bool | None = None  # native tool calls
    parallel: bool | None = None  # several of them in one answer
    images: bool | None = None
    cache: bool | None = None  # its usage tells how much was read from a cache
    answer_s: float | None = None  # to a one-word answer
    tokens_per_s: float | None = None  # of its longest answer, the wait for its beginning included
    usage: Usage = NOTHING  # what the probe took; a cost of None: the price is unknown


class ToolCall(Record):
    """One call the model asked for. `problem` is set when its arguments were no JSON object."""

    id: str
    name: str
    arguments: Json
    problem: str = ""


class Reply(Record):
    """One model answer. `message` is what goes back verbatim in the next request, arguments always valid JSON."""

    message: Json
    text: str
    calls: tuple[ToolCall, ...]
    finish_reason: str
    usage: Usage
    model: str  # who answered


class ToolResult(Record):
    """The answer to one tool call."""

    call_id: str
    text: str


class Fetched(Record):
    """One address that the model asked for. What it served is the blob `sha256`; a refusal or a fault has none."""

    url: str
    at: float  # Unix time, seconds
    status: int | None = None  # None: no HTTP answer
    size_bytes: int = 0
    sha256: str = ""
    path: str = ""  # where it was saved in the site; "": only looked at
    error: str | None = None


# certain: by the evaluator's own expression, or wrong on any site · confirmed: an acceptance test fails, and a second
# look said that the site is wrong · doubt: one fails, nobody was asked yet · guess: nobody can be asked any more.
# A doubt and a guess are undecided, and told; they rank nothing.
Standing = Literal["certain", "confirmed", "doubt", "guess"]


class Finding(Record):
    """The verdict on one check, on one requirement of the brief (need), or on one rule that every site must keep."""

    id: str
    origin: Literal["check", "need", "rule"]
    text: str
    verdict: Verdict
    evidence: str  # what was observed; for a failure also what would fix it
    earlier: bool = False  # it was asked for in an earlier round
    standing: Standing = "certain"


class TestResult(Record):
    """What came of one acceptance test."""

    id: str
    verdict: Verdict
    evidence: str
    guess: bool = False  # it fails, but perhaps only because of where the page was run


class Review(Record):
    """All findings on one workspace: the evaluator's checks, then requirements, then rules."""

    findings: tuple[Finding, ...] = ()
    results: tuple[TestResult, ...] = ()  # of the acceptance tests behind them
    browser: str = ""  # how far the page was locked in when it was run, or why nothing was run
    snapshot: str = ""  # what a screen reader finds in the page, when a check of its content failed

    @property
    def failures(self) -> tuple[Finding, ...]:
        return tuple(f for f in self.findings if f.verdict == "fail")

    @property
    def told(self) -> tuple[Finding, ...]:
        """What the writer of the site is told: failures, then guesses."""
        return (*self.failures, *(f for f in self.findings if f.standing == "guess" and f.verdict == "unknown"))

    @property
    def doubts(self) -> tuple[Finding, ...]:
        return tuple(f for f in self.findings if f.standing == "doubt")

    @property
    def passed(self) -> bool:
        """Nothing fails; `unknown` is not a failure."""
        return not self.failures

    @property
    def is_broken(self) -> bool:
        """It is no page, does not parse, or holds a key: no site yet, whatever else it does."""
        return any(f.origin == "rule" and f.id in ("index", "javascript", "secrets") for f in self.failures)

    @property
    def score(self) -> tuple[int, ...]:
        """Greater is better: fewest failing checks, then requirements, each of this round first, then rules."""
        kinds = (("check", False), ("check", True), ("need", False), ("need", True), ("rule", False))
        return tuple(-sum((f.origin, f.earlier) == kind for f in self.failures) for kind in kinds)


StoppedBy = Literal["passed", "stalled", "turns", "tokens", "usd", "deadline", "model", "silent", "fault"]


class Build(Record):
    """The best workspace of a task: `files` maps path to blob sha256."""

    files: dict[str, str]
    review: Review
    usage: Usage
    turns: int
    stopped_by: StoppedBy
    error: str = ""  # why the model could not go on, when stopped_by is model
    models: tuple[str, ...] = ()  # who answered, in order of first use
    prompts_sha256: str = ""  # of the prompt files that were used


class Publication(Record):
    """Where the site is. `live` says that the bytes served were the bytes committed."""

    repo_url: str
    commit_sha: str  # 40 hex digits
    pages_url: str
    live: bool


class Attempt(Record):
    """One delivery attempt of the notification."""

    at: float
    status: int | None  # None: no HTTP answer
    error: str | None
