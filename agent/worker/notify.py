"""The notification of the evaluator: what is sent, one attempt to send it, and how long to wait for the next.

The engine makes a durable outbox of it.
"""

import asyncio
import json
from collections.abc import Callable
from typing import Literal

import httpx

from agent.errors import Blocked
from agent.events import emit
from agent.net import post_json
from agent.records import Attempt, Publication, Task
from agent.store import NotificationState
from agent.worker.parts import Parts

Outcome = Literal["delivered", "retry", "blocked", "dead"]

FAST_S = 600.0  # an evaluator waits ten minutes: until then it is asked at least once a minute
FAST_WAIT_S = 60.0
SLOW_WAIT_S = 3_600.0
GIVE_UP_S = 86_400.0


async def attempt(parts: Parts, task_id: str, chain: str, number: int, began_at: float) -> float | None:
    """Attempt `number` of a chain that began at `began_at`, recorded. Seconds until the next; None: the last one."""
    view = await asyncio.to_thread(parts.store.view, task_id)
    if view.notification is None:
        return None
    made, outcome = await deliver(parts.evaluators, view.task.evaluation_url, view.notification, clock=parts.clock)
    next_s = wait_s(number, parts.clock() - began_at) if outcome == "retry" else None
    state: NotificationState = "pending" if next_s is not None else "dead" if outcome == "retry" else outcome
    await asyncio.to_thread(parts.store.add_delivery, task_id, f"{chain}.{number}", made, state)
    emit("notify.attempt", attempt=number, status=made.status, outcome=outcome, wait_s=next_s)
    return next_s


async def deliver(
    http: httpx.AsyncClient, url: str, body: str, *, clock: Callable[[], float]
) -> tuple[Attempt, Outcome]:
    """One attempt. 4xx is retried too: an evaluator may record its task after our 200; only 410 ends it."""
    at = clock()
    try:
        status = await post_json(http, url, body)
    except Blocked as error:
        return Attempt(at=at, status=None, error=str(error)), "blocked"
    except httpx.HTTPError as error:
        failure = f"no answer from {httpx.URL(url).host}: {type(error).__name__}"  # more of the URL may be a token
        return Attempt(at=at, status=None, error=failure), "retry"
    if 200 <= status < 300:
        return Attempt(at=at, status=status, error=None), "delivered"
    failure = f"{httpx.URL(url).host} answered {status}"
    return Attempt(at=at, status=status, error=failure), "dead" if status == 410 else "retry"


def payload(task: Task, publication: Publication) -> str:
    """The notification's seven fields; the first four as received."""
    fields = {
        "email": task.email,
        "task": task.task,
        "round": task.round_received,
        "nonce": task.nonce,
        "repo_url": publication.repo_url,
        "commit_sha": publication.commit_sha,
        "pages_url": publication.pages_url,
    }
    return json.dumps(fields)


def wait_s(attempt: int, elapsed_s: float) -> float | None:
    """Seconds to wait after failed attempt `attempt` (1, 2, …), `elapsed_s` after the first; None: give up.

    1, 2, 4 … 60 s in the first ten minutes; then doubling to an hour until a day is over.
    """
    if elapsed_s >= GIVE_UP_S:
        return None
    if elapsed_s < FAST_S:
        return min(2.0 ** min(attempt - 1, 6), FAST_WAIT_S)
    return min(2 * FAST_WAIT_S + elapsed_s - FAST_S, SLOW_WAIT_S)  # twice the last wait, wherever the last one ended
