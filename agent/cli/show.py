"""A task on a terminal: one line while it runs, or the whole record. Every word of it is hostile text."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import nullcontext
from datetime import UTC, datetime

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from agent.api.schema import CheckStatus, NotificationStatus, Spent, TaskStatus
from agent.records import Fetched, State, Verdict

MARKS: dict[Verdict, tuple[str, str]] = {"pass": ("✓", "green"), "fail": ("✗", "red"), "unknown": ("?", "yellow")}
STATE_STYLES: dict[State, str] = {"done": "green", "failed": "red", "cancelled": "yellow"}
POLL_S = 0.15


def record(status: TaskStatus, *, now: float) -> RenderableType:
    """Everything known about a task."""
    parts: list[RenderableType] = [_facts(status, now)]
    if status.checks:
        parts += [Text(), check_table(status.checks)]
    parts += [Text.assemble(("fetched  ", "dim"), _fetched(one)) for one in status.fetched]
    parts += [Text.assemble(("skipped  ", "yellow"), f"{plain(s.what)}: {plain(s.why)}") for s in status.skipped]
    return Group(*parts)


def check_table(checks: Iterable[CheckStatus]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold", expand=True)
    for heading, ratio in (("", None), ("id", None), ("check", 2), ("evidence", 3)):
        table.add_column(heading, ratio=ratio, overflow="fold")
    for check in checks:
        table.add_row(mark(check.verdict), *(Text(plain(word)) for word in (check.id, check.text, check.evidence)))
    return table


async def follow(get_status: Callable[[], Awaitable[TaskStatus]], console: Console, label: str) -> TaskStatus:
    """Shows a task until it is settled: a live block on a terminal, a line a change elsewhere."""
    began, last, spinner = time.monotonic(), "", Spinner("dots")
    with Live(console=console, transient=True) if console.is_terminal else nullcontext() as live:
        while not (status := await get_status()).settled:
            timed = f"{label}  {time.monotonic() - began:5.1f} s  {line(status)}"
            if live:
                spinner.update(text=Text(timed))
                live.update(Group(spinner, _brief_checks(status)))
            elif line(status) != last:
                console.print(Text(timed), soft_wrap=True)
                last = line(status)
            await asyncio.sleep(POLL_S)
    console.print(Text(f"{label}  {time.monotonic() - began:5.1f} s  {line(status)}"), soft_wrap=True)
    console.print(Text(f"{' ' * len(label)}  {_stages(status)}", style="dim"), soft_wrap=True)
    return status


def line(status: TaskStatus) -> str:
    """The progress of a task, without the time."""
    words = [status.stage if not status.ended else status.state]
    if status.checks:
        words.append(f"{status.count('pass')} of {len(status.checks)} checks pass")
        if status.usage.model_calls and not status.ended:
            words += [f"check {c.id} fails: {c.evidence[:160]}" for c in status.checks if c.verdict == "fail"][:1]
    return plain(" · ".join((*words, _consumption(status.usage), *filter(None, [status.error]))))


def mark(verdict: Verdict) -> Text:
    return Text(*MARKS[verdict])


def plain(text: object) -> str:
    """One line without control, direction or other invisible characters."""
    return "".join(c if c.isprintable() else " " for c in str(text))


def span(seconds: float) -> str:
    """A length of time for people: 42 s, 3 min, 5 h, 2 days."""
    for size, unit in ((86_400, "days"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"


def _utc(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)


def _facts(status: TaskStatus, now: float) -> Table:
    table = Table.grid(padding=(0, 2))
    for name, value in _named_facts(status, now):
        table.add_row(Text(name, style="dim"), value if isinstance(value, Text) else Text(plain(value)))
    return table


def _named_facts(status: TaskStatus, now: float) -> Iterator[tuple[str, str | Text]]:
    received, deadline = status.received_at, status.deadline_at
    yield "task", f"{status.task}, round {status.round}"
    yield "id", status.id
    stage = "" if status.ended else f", {plain(status.stage)}"
    yield "state", Text(status.state + stage, style=STATE_STYLES.get(status.state, ""))
    yield "received", f"{_utc(received):%Y-%m-%d %H:%M:%S %Z}, {span(now - received)} ago"
    yield "deadline", f"in {span(deadline - now)}" if deadline > now else f"{span(now - deadline)} ago"
    if status.publication:
        yield "pages", status.publication.pages_url
        yield "repository", status.publication.repo_url
        yield "commit", f"{status.publication.commit_sha} ({'live' if status.publication.live else 'not seen live'})"
    yield "call back", _notification(status.notification)
    yield "usage", _consumption(status.usage) + ", " + _cost(status.usage.cost_usd)
    stages = status.usage.by_stage if len(status.usage.by_stage) > 1 else {}
    for name, spent in (*status.usage.by_model.items(), *stages.items()):
        yield "", f"{name}: {_consumption(spent)}, {_cost(spent.cost_usd)}"
    if status.usage.failed_calls:
        yield "failed calls", f"{status.usage.failed_calls}, retried or passed on"
    yield "stages", _stages(status)
    yield from ((what, found) for what, found in (("browser", status.browser), ("sandbox", status.sandbox)) if found)
    if status.screenshots:
        yield "pictures", ", ".join(status.screenshots)
    if status.stopped_by:
        yield "stopped by", status.stopped_by
    if status.error:
        yield "error", Text(plain(status.error), style="red")


def _notification(notification: NotificationStatus) -> str:
    attempts = (f"{_utc(a.at):%H:%M:%S} {a.status or ''} {a.error or ''}".strip() for a in notification.attempts)
    return ", ".join((notification.state, *attempts))


def _fetched(one: Fetched) -> str:
    came = one.error or f"{one.status}, {one.size_bytes:,} bytes, sha256 {one.sha256[:12]}…"
    return plain(f"{_utc(one.at):%H:%M:%S} {one.url}: {came}{f', saved as {one.path}' if one.path else ''}")


def _consumption(usage: Spent) -> str:
    calls = f"{usage.model_calls} model call{'s' if usage.model_calls != 1 else ''}"
    return f"{calls} · {usage.prompt_tokens + usage.completion_tokens:,} tokens"


def _cost(cost_usd: float | None) -> str:
    return "cost unknown" if cost_usd is None else f"${cost_usd:.4f}"


def _stages(status: TaskStatus) -> str:
    return plain(" → ".join(f"{stage} {seconds:.1f} s" for stage, seconds in status.usage.seconds.items()))


def _brief_checks(status: TaskStatus) -> Table:
    checks = Table.grid(padding=(0, 1))
    for check in status.checks:
        checks.add_row(mark(check.verdict), Text(plain(check.text), no_wrap=True, overflow="ellipsis", style="dim"))
    return checks
