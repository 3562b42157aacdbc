"""The loop's hands, made durable: what was bought, done or found once is not bought, done or found again."""

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from agent import telemetry
from agent.errors import LimitReached, Permanent, Transient
from agent.events import emit
from agent.llm.choice import NO_MODEL
from agent.llm.model import Escalation, Model
from agent.loop import Version
from agent.publish.publisher import Step
from agent.records import Json, Reply, Review, Task, ToolCall, ToolResult
from agent.review.report import report
from agent.store import Store
from agent.tools.toolbox import Batch
from agent.workshop import Job, Workshop
from agent.workspace import Workspace, sha256


@dataclass
class DurableHands:
    """Each of them is one step of a run: attempt `attempt` of a task."""

    step: Step
    store: Store
    workshop: Workshop
    model: Model | None
    clock: Callable[[], float]
    task: Task
    job: Job
    attempt: int
    best: Version | None = None  # of those that were reviewed

    async def ask(self, messages: Sequence[Json], escalation: Escalation) -> Reply:
        key = await self.step("model_call", partial(self._buy, messages, escalation))
        return Reply.model_validate(await asyncio.to_thread(self.store.answer, key))

    async def _buy(self, messages: Sequence[Json], escalation: Escalation) -> str:
        """The answer's key. It is stored first thing: a crash before this step's end does not buy it twice."""
        store, model = self.store, self.model
        key = sha256(json.dumps([self.task.id, self.attempt, len(messages)]).encode())
        if await asyncio.to_thread(store.answer, key):
            return key
        left_s = self.workshop.build_by(self.task) - self.clock()
        if left_s <= 0:
            raise LimitReached("deadline")
        if model is None:
            raise Permanent(NO_MODEL)
        try:
            schemas = self.workshop.schemas
            with telemetry.model_call(model.name):
                reply = await model.complete(messages, schemas, timeout_s=left_s, escalation=escalation)
                telemetry.answered(reply)
        except Transient as fault:
            if self.clock() >= self.workshop.build_by(self.task) - 1:
                raise LimitReached("deadline", str(fault)) from None
            raise
        await asyncio.to_thread(store.put_answer, key, reply.model_dump(mode="json"))
        await asyncio.to_thread(store.add_usage, self.task.id, reply.usage)
        emit("model.reply", model=reply.model, calls=len(reply.calls), tokens=reply.usage.completion_tokens)
        return key

    async def act(self, workspace: Workspace, calls: Sequence[ToolCall], misses: Mapping[str, int]) -> Batch:
        store, workshop = self.store, self.workshop

        async def run() -> Json:
            batch = await workshop.act(self.task, self.job, workspace, calls, misses)
            changed = {p: data for p, data in batch.workspace.items() if workspace.get(p) != data}
            await asyncio.to_thread(store.put_blobs, changed.values())
            names = [call.name for call in calls]
            await asyncio.to_thread(store.add_event, self.task.id, "tools", {"calls": names, "changed": list(changed)})
            results = [result.model_dump() for result in batch.results]
            return {"results": results, "files": batch.workspace.manifest, "misses": dict(batch.misses)}

        done = await self.step("tool_batch", run)
        return Batch(
            results=tuple(ToolResult.model_validate(result) for result in done["results"]),
            workspace=await asyncio.to_thread(workshop.load, done["files"], workspace),
            misses=done["misses"],
        )

    async def review(self, workspace: Workspace) -> Review:
        store, workshop = self.store, self.workshop

        async def run() -> Json:
            attachments = await asyncio.to_thread(workshop.attachments, self.job)
            review = await workshop.review(self.task, self.job, attachments, workspace)
            if self._is_best(Version(workspace, review)):
                await asyncio.to_thread(store.update, self.task.id, findings=review.findings)
            counts = dict(Counter(str(finding.verdict) for finding in review.findings))
            await asyncio.to_thread(store.add_event, self.task.id, "review", counts)
            return review.model_dump(mode="json")

        version = Version(workspace, Review.model_validate(await self.step("review", run)))
        if self._is_best(version):
            self.best = version
        return version.review

    def _is_best(self, version: Version) -> bool:
        return self.best is None or version.score >= self.best.score

    def report(self, review: Review, previous: Review | None) -> str:
        return report(review, previous)

    def words(self, name: str) -> str:
        return self.job.words[name]
