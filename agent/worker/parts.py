"""What every run of a task works with, and how the time of a task is divided."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx

from agent.llm.model import Model
from agent.loop import Limits
from agent.publish.git import Repositories
from agent.publish.publisher import Publisher
from agent.records import Task
from agent.review.review import Reviewer
from agent.sandbox.sandbox import Sandbox
from agent.store import Store

NOTIFY_MARGIN_S = 20.0  # the notification leaves this long before the deadline
SHORTEST_SHARE = 1 / 6  # of a deadline under two minutes, each margin takes no more than this


@dataclass(frozen=True)
class Parts:
    """Shared by all runs; what belongs to one task is in its records and in the store."""

    store: Store
    repositories: Repositories
    publisher: Publisher
    reviewer: Reviewer
    sandbox: Sandbox
    model: Model | None
    review_model: Model | None  # reads tasks and judges
    capability_keys: Sequence[str]  # of the models that may be asked
    limits: Limits
    prompts_dir: Path
    secrets: Sequence[str]  # values that no file may hold
    evaluators: httpx.AsyncClient  # for notifications
    web: httpx.AsyncClient  # for what briefs name
    clock: Callable[[], float] = time.time

    def notify_by(self, task: Task) -> float:
        """Unix time by which the notification leaves, whether the site is live or not."""
        return task.deadline_at - min(NOTIFY_MARGIN_S, _seconds(task) * SHORTEST_SHARE)

    def build_by(self, task: Task) -> float:
        """Unix time by which the loop ends, so that publishing has its share."""
        return self.notify_by(task) - min(self.publisher.reserve_s, _seconds(task) * SHORTEST_SHARE)


def _seconds(task: Task) -> float:
    return task.deadline_at - task.received_at
