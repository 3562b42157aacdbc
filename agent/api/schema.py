"""What the API answers, typed once: the routes, the dashboard, `show` and the OpenAPI document share these records."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from agent.records import (
    FINAL_STATES,
    Attempt,
    Check,
    Fetched,
    Finding,
    Publication,
    Skipped,
    State,
    Usage,
    Verdict,
)
from agent.store import NotificationState, TaskView

NOT_REVIEWED = "not reviewed yet"


class Answer(BaseModel):
    """Fields that a newer service adds do not break an older client."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Problem(Answer):
    """Every error: one sentence that repeats nothing of the request."""

    error: str = Field(description="What is wrong, and what to do instead.")


class TaskAccepted(Answer):
    """The task is stored. A duplicate is a task that had been sent before; it runs once."""

    status: Literal["accepted", "duplicate"]
    id: str = Field(description="32 hex digits, known to the sender alone: whoever has it may read the task.")
    status_url: str = Field(description="The path of the task's status.")


class Health(Answer):
    """The process answers."""

    status: Literal["ok"] = "ok"


class Ready(Answer):
    """Tasks are accepted."""

    status: Literal["ready"] = "ready"
    browser: str = Field(description="How pages are isolated when they run, or why they are not run.")


class NotReady(Answer):
    """No task is accepted."""

    status: Literal["not ready"] = "not ready"
    reasons: tuple[str, ...] = Field(description="One sentence each: what is wrong and which setting fixes it.")


class CheckStatus(Answer):
    """One check, or one rule that every site must keep."""

    id: str = Field(
        description="`1`, `2`, … in the order received; `r1.2`: check 2 of round 1; `rule:NAME`: a rule of ours."
    )
    text: str
    verdict: Verdict = Field(description="`unknown` is no failure: nothing could decide it.")
    evidence: str = Field(description="What was observed; for a failure also what would fix it.")


class NotificationStatus(Answer):
    """The call back."""

    state: NotificationState = Field(
        description="`blocked`: a private address that may not be called; `dead`: given up after 24 hours."
    )
    attempts: tuple[Attempt, ...]


class Spent(Answer):
    """What model calls consumed."""

    model_calls: int
    prompt_tokens: int = Field(description="Includes `cached_tokens`.")
    completion_tokens: int
    cached_tokens: int
    cost_usd: float | None = Field(description="US dollars; null as soon as the price of one call is unknown.")
    failed_calls: int = Field(description="Requests that gave no usable answer.")


class UsageStatus(Spent):
    """What the whole task consumed."""

    by_model: dict[str, Spent]
    by_stage: dict[str, Spent]
    seconds: dict[str, float] = Field(description="Seconds by stage, up to now in the one that is running.")


class TaskStatus(Answer):
    """All that whoever knows a task's id may read: no e-mail, no nonce, no brief, no secret. Times are Unix seconds."""

    id: str
    task: str
    round: int
    state: State
    stage: str = Field(description="What is being done, such as `build`, `publish` or `notify`; then the final state.")
    received_at: float
    deadline_at: float
    checks: tuple[CheckStatus, ...]
    skipped: tuple[Skipped, ...]
    fetched: tuple[Fetched, ...]
    publication: Publication | None
    notification: NotificationStatus
    usage: UsageStatus
    browser: str = Field(description="How the page was isolated when it ran, or why it did not run.")
    sandbox: str = Field(description="How scripts were isolated, or why none could run.")
    screenshots: tuple[str, ...] = Field(description="Paths of PNG files of the published page.")
    stopped_by: str | None = Field(description="Why the model was asked no more; `passed`: no check failed.")
    error: str | None

    @classmethod
    def of(cls, view: TaskView) -> "TaskStatus":
        task, usage = view.task, view.usage
        return cls(
            id=task.id,
            task=task.task,
            round=task.round,
            state=view.state,
            stage=view.stage,
            received_at=task.received_at,
            deadline_at=task.deadline_at,
            checks=_checks(task.checks, view.findings),
            skipped=task.skipped,
            fetched=view.fetched,
            publication=view.publication,
            notification=NotificationStatus(state=view.notification_state, attempts=view.attempts),
            usage=UsageStatus(
                **_spent(usage).model_dump(),
                by_model={name: _spent(part) for name, part in usage.by_model.items()},
                by_stage={name: _spent(part) for name, part in usage.by_stage.items()},
                seconds=view.seconds,
            ),
            browser=view.details.get("browser", ""),
            sandbox=view.details.get("sandbox", ""),
            screenshots=tuple(f"/tasks/{task.id}/screenshots/{name}" for name in view.details.get("screenshots", {})),
            stopped_by=view.stopped_by,
            error=view.error,
        )

    @property
    def ended(self) -> bool:
        return self.state in FINAL_STATES

    @property
    def settled(self) -> bool:
        """Ended, and a call back that is due was attempted at least once."""
        notified = self.notification.attempts or self.notification.state != "pending"
        return self.ended and (self.state != "done" or bool(notified))

    @property
    def passed(self) -> bool:
        """Published, and no check failed."""
        return self.state == "done" and self.publication is not None and not self.count("fail")

    def count(self, verdict: Verdict) -> int:
        return sum(check.verdict == verdict for check in self.checks)


def _spent(usage: Usage) -> Spent:
    return Spent.model_validate(usage.model_dump(exclude={"by_model", "by_stage"}))


def _checks(checks: tuple[Check, ...], findings: tuple[Finding, ...]) -> tuple[CheckStatus, ...]:
    """Every check of the task, reviewed or not, then the rules that every site must keep."""
    reviewed = {finding.id: finding for finding in findings if finding.origin != "rule"}
    lines = []
    for check in checks:
        found = reviewed.get(check.id)
        verdict, evidence = (found.verdict, found.evidence) if found else ("unknown", NOT_REVIEWED)
        lines.append(CheckStatus(id=check.id, text=check.text, verdict=verdict, evidence=evidence))
    for rule in (finding for finding in findings if finding.origin == "rule"):
        fields = rule.model_dump(include={"text", "verdict", "evidence"})
        lines.append(CheckStatus(id=f"rule:{rule.id}", **fields))
    return tuple(lines)
