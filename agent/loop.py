"""The agent loop: turns until every check passes, a limit is met or nothing improves.

It knows no database, no HTTP and no engine: the model, the tools and the review come in as callables (`Hands`), and
whoever hands them over may make them durable.
"""

from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import inf
from typing import Protocol

from agent.errors import LimitReached, ModelError
from agent.llm.history import chars, shortened
from agent.llm.model import Escalation
from agent.records import Json, Reply, Review, StoppedBy, ToolCall, Usage
from agent.tools.toolbox import Batch
from agent.workspace import Workspace

STALLS_UNTIL_HINT = 2  # turns in a row that left as many failures as before
STALLS_UNTIL_STOP = 5  # the two turns before it are asked for with more reasoning, then of the next model
SILENCES_UNTIL_STOP = 3  # answers in a row without a tool call
MAX_CONVERSATION_CHARS = 160_000  # beyond it what earlier tool calls answered is left out, once


class Hands(Protocol):
    """What the loop works with."""

    def ask(self, messages: Sequence[Json], escalation: Escalation) -> Awaitable[Reply]:
        """The model's next turn. Raises LimitReached at the deadline, ModelError when no model answers."""

    def act(self, workspace: Workspace, calls: Sequence[ToolCall], misses: Mapping[str, int]) -> Awaitable[Batch]:
        """Runs every call and answers every call."""

    def review(self, workspace: Workspace) -> Awaitable[Review]: ...

    def report(self, review: Review, previous: Review | None) -> str:
        """What the model reads about a review; `previous` is None where there was no site before."""

    def words(self, name: str) -> str:
        """The prompt `name`: silent (an answer held no tool call) or stalled (nothing improves)."""


@dataclass(frozen=True)
class Limits:
    """What may be spent on one task; the deadline is kept by `Hands.ask`, which has a clock."""

    turns: int
    tokens: int
    usd: float | None = None

    def check(self, progress: "Progress") -> None:
        """Raises LimitReached before anything beyond a limit is spent."""
        spent = progress.usage
        if progress.turns >= self.turns:
            raise LimitReached("turns")
        if spent.prompt_tokens + spent.completion_tokens >= self.tokens:
            raise LimitReached("tokens")
        if self.usd is not None and (spent.cost_usd or 0.0) >= self.usd:
            raise LimitReached("usd")


@dataclass(frozen=True)
class Version:
    """A workspace and what the review found in it."""

    workspace: Workspace
    review: Review

    @property
    def is_site(self) -> bool:
        return "index.html" in self.workspace

    @property
    def score(self) -> tuple[int, ...]:
        """Greater is better; a site with faults is better than none, whatever an empty folder does not break."""
        return (self.is_site, *self.review.score)


@dataclass(frozen=True)
class Progress:
    """How far a task is. `best` is what will be published, `latest` what the model works on."""

    best: Version
    latest: Version
    usage: Usage = field(default_factory=Usage)
    turns: int = 0
    silences: int = 0
    stalls: int = 0
    misses: Mapping[str, int] | None = None
    sources: int = 0  # fetched so far: a review holds data against them
    models: tuple[str, ...] = ()
    stopped_by: StoppedBy | None = None
    error: str = ""


async def build(start: Workspace, prompt: Sequence[Json], hands: Hands, limits: Limits) -> Progress:
    """The best workspace reached from `start`. Each request begins with the one before it (see `room`)."""
    version = Version(start, await hands.review(start))
    progress = Progress(best=version, latest=version)
    messages, room = list(prompt), float(MAX_CONVERSATION_CHARS)
    while progress.stopped_by is None:
        try:
            limits.check(progress)
            reply = await hands.ask(messages, escalation(progress))
        except LimitReached as limit:
            return replace(progress, stopped_by=str(limit), error=limit.reason)  # type: ignore[arg-type]
        except ModelError as error:
            return replace(progress, stopped_by="model", error=str(error))
        messages.append(reply.message)
        progress, answers = await turn(counted(progress, reply), reply, hands)
        messages.extend(answers)
        room -= chars([reply.message, *answers])
        if room < 0:  # once: what comes after it is cached by the providers anew
            messages, room = shortened(messages), inf
    return progress


async def turn(progress: Progress, reply: Reply, hands: Hands) -> tuple[Progress, list[Json]]:
    """What one reply leads to: its tool calls are run, a change is reviewed, everything is answered."""
    if not reply.calls:
        return silent(progress), [{"role": "user", "content": hands.words("silent")}]
    batch = await hands.act(progress.latest.workspace, reply.calls, progress.misses or {})
    learned = batch.sources > progress.sources
    progress = replace(progress, silences=0, misses=batch.misses, sources=batch.sources)
    answers = [{"role": "tool", "tool_call_id": r.call_id, "content": r.text} for r in batch.results]
    notes = []
    if batch.workspace == progress.latest.workspace and not (learned and progress.latest.is_site):
        progress = progress if learned else stalled(progress)
    else:
        version = Version(batch.workspace, await hands.review(batch.workspace))
        notes.append(hands.report(version.review, progress.latest.review if progress.latest.is_site else None))
        progress = reviewed(progress, version)
    if progress.stalls == STALLS_UNTIL_HINT:
        notes.append(hands.words("stalled"))
    # In the last tool answer rather than a message of its own: some providers refuse a user message after tool answers.
    answers[-1]["content"] = "\n\n".join([answers[-1]["content"], *notes])
    return progress, answers


def escalation(progress: Progress) -> Escalation:
    """After the hint: more reasoning, then the next model."""
    return (0, 1, 2)[min(2, max(0, progress.stalls - STALLS_UNTIL_HINT))]


def counted(progress: Progress, reply: Reply) -> Progress:
    models = progress.models if reply.model in progress.models else (*progress.models, reply.model)
    return replace(progress, usage=progress.usage + reply.usage, turns=progress.turns + 1, models=models)


def silent(progress: Progress) -> Progress:
    silences = progress.silences + 1
    return replace(progress, silences=silences, stopped_by="silent" if silences >= SILENCES_UNTIL_STOP else None)


def stalled(progress: Progress) -> Progress:
    stalls = progress.stalls + 1
    return replace(progress, stalls=stalls, stopped_by="stalled" if stalls >= STALLS_UNTIL_STOP else None)


def reviewed(progress: Progress, version: Version) -> Progress:
    """Keeps the better version; code, not the model, decides that the work is done."""
    before, review = progress.latest, version.review
    best = version if version.score >= progress.best.score else progress.best
    progress = replace(progress, best=best, latest=version)
    if review.passed:
        return replace(progress, stopped_by="passed")
    if not before.is_site or len(review.failures) < len(before.review.failures):
        return replace(progress, stalls=0)
    if only_earlier_checks_fail(review):
        return replace(progress, stopped_by="stalled")
    return stalled(progress)


def only_earlier_checks_fail(review: Review) -> bool:
    """What is left was asked for by an earlier round only: the new brief may well have changed it on purpose."""
    return all(finding.origin == "earlier" for finding in review.failures)
