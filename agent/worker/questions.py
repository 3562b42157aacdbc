"""What a model is asked about a task beside building it: to read it, to settle doubts, to judge."""

from collections.abc import Mapping, Sequence

from agent.prompts import Prompts
from agent.quoting import fence, one_line
from agent.records import Check, Json, Review, Task
from agent.review import doubts
from agent.review.acceptance import AcceptanceTest, JudgeTest, Reading, Requirement
from agent.review.reading import key
from agent.workspace import Workspace

BRIEFS_CHARS, CHECKS_CHARS, OBJECTION_CHARS = 12_000, 8_000, 2_000
CHECK_CHARS = 600
MAX_EARLIER = 40  # requirements of earlier rounds that are listed


def unread(task: Task, earlier: Sequence[Requirement]) -> tuple[Check, ...]:
    """The prose checks that have no requirement yet."""
    have = {requirement.id for requirement in earlier}
    return tuple(check for check in task.checks if check.kind == "prose" and key(check) not in have)


def reading(
    prompts: Prompts,
    rounds: Sequence[Task],
    previews: Mapping[str, str],
    earlier: Sequence[Requirement] = (),
    *,
    checks_only: bool = False,
) -> list[Json]:
    """`rounds`: this one, then earlier ones, newest first. `earlier`: what was required before."""
    task, *before = rounds
    words = prompts.render(
        "reading.md.j2",
        briefs="\n\n".join(_briefs([*reversed(before), task])),
        checks=_listed(task.checks if not earlier else [check for check in task.checks if check.round == task.round]),
        checks_only=checks_only,
        previews=list(previews.values()),
        earlier="\n".join(f"{one.id}: {one_line(one.says or one.words, 160)}" for one in earlier[-MAX_EARLIER:]),
    )
    return [{"role": "user", "content": words}]


def settling(
    prompts: Prompts,
    rounds: Sequence[Task],
    tests: Sequence[AcceptanceTest],
    read: Reading,
    review: Review,
    workspace: Workspace,
    attachments: Mapping[str, bytes],
    changes: Mapping[str, str],
    objection: str = "",
) -> list[Json]:
    """One question for all doubts of a version, and for attachments that it changed unasked: name → difference."""
    words = prompts.render(
        "doubts.md.j2",
        briefs="\n\n".join(_briefs(rounds)),
        checks=_listed(rounds[0].checks),
        doubts=doubts.items(tests, read, review),
        changes=[{"name": name, "difference": difference} for name, difference in changes.items()],
        files=doubts.files_shown(workspace, tests, attachments),
        objection=fence("objection", objection, max_chars=OBJECTION_CHARS) if objection else "",
    )
    return [{"role": "user", "content": words}]


def judging(
    prompts: Prompts, rounds: Sequence[Task], tests: Sequence[AcceptanceTest], shown: Sequence[str], *, pictures: bool
) -> list[Json]:
    """What only a look at the page decides."""
    asked = [{"id": t.id, "question": t.test.question} for t in tests if isinstance(t.test, JudgeTest)]
    briefs = "\n\n".join(_briefs(rounds))
    words = prompts.render("judge.md.j2", briefs=briefs, questions=asked, exhibits=list(shown), pictures=pictures)
    return [{"role": "user", "content": words}]


def rehearse(prompts: Prompts, task: Task) -> None:
    """Raises ConfigError naming the prompt file that would fail a task."""
    reading(prompts, [task], {"a.csv": "a"})
    settling(prompts, [task], (), Reading(), Review(), Workspace(), {}, {})
    judging(prompts, [task], (), [], pictures=True)


def _briefs(rounds: Sequence[Task]) -> list[str]:
    share = BRIEFS_CHARS // max(1, len(rounds))
    return [fence(f"brief of round {task.round}", task.brief, max_chars=share) for task in rounds]


def _listed(checks: Sequence[Check]) -> str:
    lines = (f"{check.id}. {check.kind}: {' '.join(check.text.split())[:CHECK_CHARS]}" for check in checks)
    return fence("checks", "\n".join(lines) or "(none)", max_chars=CHECKS_CHARS)
