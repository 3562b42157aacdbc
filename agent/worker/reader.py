"""Where a model helps the review: prose checks compiled into probes, and the judge of what no probe decides.

Both get text of strangers, fenced, and no tools. A bad answer costs a verdict, and the loop two turns at most.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from pydantic import ValidationError

from agent.errors import AgentError, Gone, LimitReached, ModelError, NoBrowser, PageFault
from agent.prompts import Prompts
from agent.quoting import fence
from agent.records import NOTHING, Check, Json, Task, Usage
from agent.review import judge, probes
from agent.review.judge import Judged
from agent.review.live import LiveReview
from agent.review.probes import PROBE, Compiled, Probe
from agent.store import Store
from agent.worker.model_calls import ModelCall, StoredModel
from agent.workspace import Workspace, sha256

COMPILE_S = 45.0  # the first turn waits for it
JUDGE_S = 60.0
BRIEF_CHARS, CHECKS_CHARS = 4_000, 6_000


class Reader:
    """Stateless: the replies it gets and what comes of them are in the store."""

    def __init__(self, store: Store, review: LiveReview, *, prompts_dir: Path) -> None:
        self._store = store
        self._review = review
        self._prompts_dir = prompts_dir

    def known(self, task: Task) -> tuple[Probe, ...]:
        """The probes of this round and earlier ones of the same site, as its checks are numbered now."""
        stored = self._store.probes(task.repo)
        found = []
        for check in task.checks:
            if check.kind == "prose" and (probe := stored.get(_key(check))):
                with suppress(ValidationError):  # of an older form: the check is compiled anew
                    found.append(PROBE.validate_python({**probe, "check": check.id}))
        return tuple(found)

    async def compile(
        self, task: Task, attempt: int, model: StoredModel, known: Sequence[Probe], *, until: float
    ) -> Compiled:
        """Probes for the checks that have none in `known`, kept for this round and later ones; no checks, no call.

        A replay must be given the same `known`, whatever has been kept since.
        """
        checks = probes.needed(task.checks, {probe.check for probe in known})
        if not checks:
            return Compiled()
        briefs = [earlier.brief for earlier in await asyncio.to_thread(self._store.rounds, task)]
        messages = compile_messages(Prompts(self._prompts_dir), briefs, checks)
        try:
            await self._review.start()
            until = _share(model.clock(), until, COMPILE_S)
            reply = await model.complete(ModelCall(task.id, attempt, "compile", "compile", messages, until))
        except (NoBrowser, Gone, ModelError, LimitReached) as error:
            return Compiled(why=f"not compiled: {_reason(error)}", usage=_spent(error))
        try:
            made = await self._review.believed(probes.read(reply.text, checks))
        except (ValueError, NoBrowser, Gone) as error:
            return Compiled(why=f"not compiled: {error}", usage=reply.usage)
        kept = {_key(c): p.model_dump(mode="json") for c, p in zip(checks, made, strict=True)}
        await asyncio.to_thread(self._store.put_probes, task.repo, kept)
        return Compiled(probes=made, usage=reply.usage)

    async def judge(
        self,
        task: Task,
        attempt: int,
        model: StoredModel,
        workspace: Workspace,
        asked: Sequence[Check],
        *,
        until: float,
    ) -> Judged:
        """One opinion a check, on the page as it runs here and the files that the checks name."""
        try:
            shown = await self._review.exhibits(task, workspace, asked)
            messages = judge_messages(Prompts(self._prompts_dir), task.brief, asked, shown)
            until = _share(model.clock(), until, JUDGE_S)
            reply = await model.complete(
                ModelCall(task.id, attempt, f"judge {workspace.digest}", "judge", messages, until)
            )
        except (NoBrowser, Gone, PageFault, ModelError, LimitReached) as error:
            return Judged(opinions=judge.undecided(asked, _reason(error)), usage=_spent(error))
        try:
            opinions = judge.read(reply.text, asked, shown)
        except ValueError as error:
            opinions = judge.undecided(asked, str(error))
        return Judged(opinions=opinions, usage=reply.usage)


def compile_messages(prompts: Prompts, briefs: Sequence[str], checks: Sequence[Check]) -> list[Json]:
    brief = fence("brief", "\n\n".join(briefs), max_chars=BRIEF_CHARS)
    return [{"role": "user", "content": prompts.render("probes.md.j2", brief=brief, checks=_listed(checks))}]


def judge_messages(prompts: Prompts, brief: str, checks: Sequence[Check], shown: Sequence[str]) -> list[Json]:
    brief = fence("brief", brief, max_chars=BRIEF_CHARS)
    words = prompts.render("judge.md.j2", brief=brief, checks=_listed(checks), exhibits=shown)
    return [{"role": "user", "content": words}]


def check_prompts(prompts: Prompts, checks: Sequence[Check]) -> None:
    """Raises ConfigError naming the prompt file that would fail a task."""
    compile_messages(prompts, ["a"], checks)
    judge_messages(prompts, "a", checks, ["a"])


def _share(now: float, until: float, most_s: float) -> float:
    """At most half of what is left: the site needs the rest."""
    return now + min((until - now) / 2, most_s)


def _listed(checks: Sequence[Check]) -> str:
    lines = (f"{check.id}. {' '.join(check.text.split())[:400]}" for check in checks)
    return fence("checks", "\n".join(lines), max_chars=CHECKS_CHARS)


def _key(check: Check) -> str:
    """The same in every round of a site."""
    return sha256(f"{check.round}\n{check.text}".encode())


def _reason(error: AgentError) -> str:
    return f"the limit of {error} is reached" if isinstance(error, LimitReached) else str(error)


def _spent(error: AgentError) -> Usage:
    """What requests without a usable answer took."""
    return Usage.model_validate(error.spent) if isinstance(error, ModelError | LimitReached) else NOTHING
