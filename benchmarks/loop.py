"""This project's loop on the deterministic endpoint of an agent-loop benchmark: a driver with `build` and `task`.

It is found by the harness through PYTHONPATH, as is that harness's own `common.py`, and asks for parallel tool calls:

    PYTHONPATH=.:benchmarks python HARNESS/drivers/harness.py loop run TASKS CONCURRENT TURNS WARM
"""

import os
from collections.abc import Mapping, Sequence

from common import BASE, SCHEMAS, SYSTEM, Workspace, user  # type: ignore[import-not-found]  # of the harness
from pydantic import SecretStr

from agent import loop, workspace
from agent.events import configure
from agent.llm.gateway import Gateway
from agent.llm.model import Escalation, ModelRequest
from agent.llm.providers import ModelChoice
from agent.loop import Batch, Limits, Progress, Version
from agent.records import Finding, Json, Reply, Review, ToolCall, ToolResult, Usage

ASYNC = True
PROTO = os.environ.get("PROTO", "batch")  # noqa: TID251
LIMITS = Limits(turns=10_000, tokens=10**12)
gateway = Gateway([ModelChoice(name="openai/mock", api_key=SecretStr("key"), base_url=BASE, tool_mode="native")])


def build() -> None:
    configure((), quiet=True)


class Steps:
    """The harness's three tools in memory; its second check is the one that passes."""

    spent = Usage()

    def __init__(self, turns: int) -> None:
        self._tools = Workspace()
        self._turns = turns
        self._reviews = 0

    async def call_model(self, messages: Sequence[Json], escalation: Escalation) -> Reply:
        return await gateway.complete(ModelRequest(messages, SCHEMAS, timeout_s=600))

    async def run_tools(
        self, held: workspace.Workspace, calls: Sequence[ToolCall], failed_edits: Mapping[str, int]
    ) -> Batch:
        results = [
            ToolResult(call_id=call.id, text=getattr(self._tools, call.name)(**call.arguments)) for call in calls
        ]
        changed = held.put({path: text.encode() for path, text in self._tools.files.items()})
        # A revision each turn, so that a long script is no stall.
        return Batch(tuple(results), changed.put({"turn": str(self._reviews).encode()}), failed_edits)

    async def review(self, held: workspace.Workspace) -> Version:
        left = max(0, (2 if PROTO == "batch" else self._turns) - self._reviews)
        self._reviews += 1
        fault = {"origin": "check", "text": "#total-sales", "verdict": "fail", "evidence": "expected 1234.56"}
        found = tuple(Finding.model_validate({"id": str(n), **fault}) for n in range(left))
        return Version(held, Review(findings=found))

    async def judge(self, version: Version) -> Version:
        return version

    async def hear(self, version: Version, objection: str) -> Version:
        return version

    def report(self, review: Review, previous: Review | None) -> str:
        return f"{len(review.failures)} fail"

    def hint(self, name: str) -> str:
        return name

    def keep(self, progress: Progress) -> None:
        """This loop does not break."""


async def task(conv: str, turns: int) -> str:
    # The script's last turn closes a conversation that this loop ends by itself: one more makes as many model calls.
    prompt = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": user(conv, turns + 1, proto=PROTO)}]
    steps = Steps(turns)
    progress = await loop.run(await loop.begin(workspace.Workspace(), prompt, steps), steps, LIMITS)
    return str(progress.stopped_by)
