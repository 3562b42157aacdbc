"""The agent loop: turns until nothing fails, a limit is met or nothing improves.

It knows no database, no HTTP and no engine: the model, the tools and the review come in as callables (`Steps`), and
the caller may make them durable.
"""

from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import inf
from typing import Any, Protocol

from agent.errors import LimitReached, ModelError
from agent.llm.messages import chars, shortened
from agent.llm.model import Escalation
from agent.records import Fetched, Finding, Json, Reply, Review, StoppedBy, ToolCall, ToolResult, Usage
from agent.workspace import INDEX, Workspace

STALLS_UNTIL_HINT = 2  # turns in a row that left as many failures as before
STALLS_UNTIL_STOP = 5  # the two turns before it are asked for with more reasoning, then of the next model
SILENCES_UNTIL_STOP = 3  # answers in a row without a tool call
TURNS_FOR = {"certain": inf, "confirmed": 2, "guess": 1}  # how often a failure is told before it is left
READING = frozenset({"fetch", "read_attachment", "read_file", "run_check"})  # tools that change nothing
MAX_CONVERSATION_CHARS = 160_000  # beyond it what earlier tool calls answered is left out, once


@dataclass(frozen=True)
class Batch:
    """What the tool calls of one turn came to, in their order."""

    results: tuple[ToolResult, ...]
    workspace: Workspace
    failed_edits: Mapping[str, int]  # path → edits that failed since the file last changed
    fetched: tuple[Fetched, ...] = ()  # before this turn and in it

    @property
    def sources(self) -> int:
        """How many fetches have brought something."""
        return sum(not one.error for one in self.fetched)


class Steps(Protocol):
    """What the loop works with."""

    def call_model(self, messages: Sequence[Json], escalation: Escalation) -> Awaitable[Reply]:
        """The model's next turn. Raises LimitReached at the deadline, ModelError when no model answers."""

    def run_tools(
        self, workspace: Workspace, calls: Sequence[ToolCall], failed_edits: Mapping[str, int]
    ) -> Awaitable[Batch]:
        """Runs every call and answers every call."""

    def review(self, workspace: Workspace) -> Awaitable["Version"]:
        """With doubts settled, and attachments put back that must not change."""

    def judge(self, version: "Version") -> Awaitable["Version"]:
        """With a judge's word on what nothing else decides, where there is such a thing."""

    def hear(self, version: "Version", objection: str) -> Awaitable["Version"]:
        """With what remains of inferred failures after the writer's objection to them."""

    @property
    def spent(self) -> Usage:
        """What reviews took of models so far."""

    def report(self, review: Review, previous: Review | None) -> str:
        """What the model reads about a review; `previous` is None where there was no site before."""

    def hint(self, name: str) -> str:
        """The prompt `name`: silent (an answer held no tool call) or stalled (nothing improves)."""

    def keep(self, progress: "Progress") -> None:
        """Told after every reply and every review: what is left should the loop break."""


@dataclass(frozen=True)
class Limits:
    """What may be spent on one task; the deadline is kept by `Steps.call_model`, which has a clock."""

    turns: int
    tokens: int
    usd: float | None = None

    def check(self, progress: "Progress", spent: Usage) -> None:
        """Raises LimitReached before anything beyond a limit is spent."""
        if progress.turns >= self.turns:
            raise LimitReached("turns")
        self.check_spending(spent)

    def check_spending(self, spent: Usage) -> None:
        """Raises LimitReached: tokens or usd."""
        if spent.prompt_tokens + spent.completion_tokens >= self.tokens:
            raise LimitReached("tokens")
        if self.usd is not None and spent.known_usd >= self.usd:
            raise LimitReached("usd")


@dataclass(frozen=True)
class Version:
    """A workspace and what the review found in it."""

    workspace: Workspace
    review: Review

    @property
    def is_site(self) -> bool:
        return INDEX in self.workspace

    @property
    def score(self) -> tuple[int, ...]:
        """Greater is better; a site with faults is better than none, whatever an empty folder does not break."""
        return (self.is_site and not self.review.is_broken, *self.review.score)

    def faulted(self, finding: Finding) -> "Version":
        """With something else that fails."""
        found = (*self.review.findings, finding)
        return replace(self, review=self.review.model_copy(update={"findings": found}))


@dataclass(frozen=True)
class Progress:
    """How far a task is. `best` is what will be published, `latest` what the model works on."""

    best: Version
    latest: Version
    messages: tuple[Json, ...] = ()  # what the next request holds
    room: float = MAX_CONVERSATION_CHARS  # what the conversation may still grow by
    usage: Usage = field(default_factory=Usage)
    turns: int = 0
    silences: int = 0
    stalls: int = 0
    settled_for: int = 0  # failures that were published already: who answers an objection need do no better
    failed_edits: Mapping[str, int] = field(default_factory=dict)
    sources: int = 0  # fetched so far
    told: Mapping[str, int] = field(default_factory=dict)  # id of what failed → how often the model was told
    has_objected: bool = False
    models: tuple[str, ...] = ()
    stopped_by: StoppedBy | None = None
    error: str = ""

    def is_improved_by(self, version: Version) -> bool:
        """Whether it is at least as good as the best so far: of two alike the newer one."""
        return version.score >= self.best.score


async def begin(workspace: Workspace, prompt: Sequence[Json], steps: Steps) -> Progress:
    """Where the loop starts from."""
    version = await steps.review(workspace)
    return Progress(best=version, latest=version, messages=tuple(prompt))


async def run(progress: Progress, steps: Steps, limits: Limits) -> Progress:
    """The best workspace reached from here. Each request begins with the one before it (see `said`)."""
    steps.keep(progress)
    while progress.stopped_by is None:
        try:
            limits.check(progress, progress.usage + steps.spent)
            reply = await steps.call_model(progress.messages, escalation(progress))
        except LimitReached as limit:
            progress = stopped(progress, str(limit), limit.reason, limit.spent)
            break
        except ModelError as error:
            progress = stopped(progress, "model", str(error), error.spent)
            break
        steps.keep(progress := counted(progress, reply))
        if reply.calls:
            batch = await steps.run_tools(progress.latest.workspace, reply.calls, progress.failed_edits)
            reads = all(call.name in READING for call in reply.calls)
            progress, answers = await answered(progress, batch, steps, limits, reads=reads)
        elif may_object(progress):
            progress, answers = await heard(progress, reply.text, steps)
        else:
            progress, answers = silent(progress), [{"role": "user", "content": steps.hint("silent")}]
        steps.keep(progress := said(progress, [reply.message, *answers]))
    if progress.stopped_by in ("stalled", "turns", "silent") and progress.best.is_site:
        # What fell short is judged too: people read the verdicts.
        progress = replace(progress, best=await judged(progress.best, progress, steps, limits))
    return progress


def said(progress: Progress, more: Sequence[Json]) -> Progress:
    """The conversation goes on. Once, when it is too long, old answers are cut: providers cache it anew then."""
    messages, room = (*progress.messages, *more), progress.room - chars(more)
    if room < 0:
        messages, room = tuple(shortened(messages)), inf
    return replace(progress, messages=messages, room=room)


def objected(progress: Progress, finding: Finding, note: str) -> Progress:
    """Where to go on from when the best version is not taken elsewhere: no review can see what `finding` says.

    The note ends the last message, which no request has held yet.
    """
    *before, last = progress.messages
    return replace(
        progress,
        best=progress.best.faulted(finding),
        latest=progress.latest.faulted(finding),
        messages=(*before, {**last, "content": f"{last['content']}\n\n{note}"}),
        settled_for=len(progress.best.review.failures),
        silences=0,
        stalls=0,
        stopped_by=None,
        error="",
    )


async def answered(
    progress: Progress, batch: Batch, steps: Steps, limits: Limits, *, reads: bool
) -> tuple[Progress, list[Json]]:
    """What the tool calls of a turn lead to: a change is reviewed, everything is answered; reading is no stall."""
    progress = replace(progress, silences=0, failed_edits=batch.failed_edits, sources=batch.sources)
    answers = [{"role": "tool", "tool_call_id": r.call_id, "content": r.text} for r in batch.results]
    notes = []
    if batch.workspace == progress.latest.workspace:
        progress = progress if reads else stalled(progress)
    else:
        version = await steps.review(batch.workspace)
        steps.keep(reviewed(progress, version))
        if not version.review.told:
            version = await judged(version, progress, steps, limits)
        notes.append(steps.report(version.review, progress.latest.review if progress.latest.is_site else None))
        progress = reviewed(progress, version)
    if progress.stalls == STALLS_UNTIL_HINT:
        notes.append(steps.hint("stalled"))
    # In the last tool answer rather than a message of its own: some providers refuse a user message after tool answers.
    answers[-1]["content"] = "\n\n".join([answers[-1]["content"], *notes])
    return progress, answers


def may_object(progress: Progress) -> bool:
    """Once, when the model was told of inferred failures."""
    return not progress.has_objected and any(f.standing != "certain" for f in progress.latest.review.told)


async def heard(progress: Progress, words: str, steps: Steps) -> tuple[Progress, list[Json]]:
    """An answer without a call, after such a report: whoever made the tests says what remains of them."""
    version = await steps.hear(progress.latest, words)
    before = progress.latest.review
    progress = reviewed(replace(progress, has_objected=True, stalls=0), version)
    return progress, [{"role": "user", "content": steps.report(version.review, before)}]


async def judged(version: Version, progress: Progress, steps: Steps, limits: Limits) -> Version:
    """A judge is asked for what is left, as long as there is something to spend: it may find a failure yet."""
    try:
        limits.check_spending(progress.usage + steps.spent)
    except LimitReached:
        return version
    return await steps.judge(version)


def escalation(progress: Progress) -> Escalation:
    """After the hint: more reasoning, then the next model."""
    return (0, 1, 2)[min(2, max(0, progress.stalls - STALLS_UNTIL_HINT))]


def counted(progress: Progress, reply: Reply) -> Progress:
    models = progress.models if reply.model in progress.models else (*progress.models, reply.model)
    return replace(progress, usage=progress.usage + reply.usage, turns=progress.turns + 1, models=models)


def stopped(progress: Progress, stopped_by: str, error: str, spent: Mapping[str, Any]) -> Progress:
    """The end of what nobody could answer any more; what was tried until then counts too."""
    usage = progress.usage + Usage.model_validate(spent)
    return replace(progress, usage=usage, stopped_by=stopped_by, error=error)  # type: ignore[arg-type]


def silent(progress: Progress) -> Progress:
    silences = progress.silences + 1
    return replace(progress, silences=silences, stopped_by="silent" if silences >= SILENCES_UNTIL_STOP else None)


def stalled(progress: Progress) -> Progress:
    stalls = progress.stalls + 1
    return replace(progress, stalls=stalls, stopped_by="stalled" if stalls >= STALLS_UNTIL_STOP else None)


def reviewed(progress: Progress, version: Version) -> Progress:
    """Keeps the better version; code, not the model, decides that the work is done."""
    before, review = progress.latest, version.review
    best = version if progress.is_improved_by(version) else progress.best
    told = {f.id: progress.told.get(f.id, 0) + 1 for f in review.told}
    progress = replace(progress, best=best, latest=version, told={**progress.told, **told})
    if not review.told:
        return replace(progress, stopped_by="passed")
    worth_a_turn = [f for f in review.told if told[f.id] <= TURNS_FOR[f.standing]]
    no_better = 0 < len(review.failures) <= progress.settled_for
    if no_better or not worth_a_turn:
        return replace(progress, stopped_by="stalled")
    if not before.is_site or len(review.told) < len(before.review.told):
        return replace(progress, stalls=0)
    return replace(progress, stopped_by="stalled") if only_earlier_checks_fail(review) else stalled(progress)


def only_earlier_checks_fail(review: Review) -> bool:
    """What is left was asked for by an earlier round only: the new brief may well have changed it on purpose."""
    return all(finding.earlier for finding in review.told)
