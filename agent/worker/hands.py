"""The loop's hands, made durable: what was bought, done or found once is not bought, done or found again."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from agent.llm.model import Escalation
from agent.loop import Version
from agent.records import NOTHING, Fetched, Json, Reply, Review, Step, Task, ToolCall, ToolResult, Usage
from agent.review.judge import Judged, applied, questions
from agent.review.probes import Compiled
from agent.review.report import report
from agent.store import Store
from agent.tools.registry import Batch
from agent.worker.model_calls import Buyer, Order
from agent.worker.reader import Assessor
from agent.worker.workshop import Job, Learnt, Workshop
from agent.workspace import Workspace

MAX_JUDGINGS = 2  # workspaces of one run that a judge is shown

Compiling = Callable[[], Awaitable[Compiled]]  # waits for what compiles the checks beside the loop


@dataclass
class DurableHands:
    """Each of them is one step of a run: attempt `attempt` of a task."""

    step: Step
    store: Store
    workshop: Workshop
    buyer: Buyer
    assessor: Assessor
    task: Task
    job: Job
    attempt: int
    compiling: Compiling | None = None  # None: there is nothing to wait for, or not any more
    compiled: Compiled = field(default_factory=Compiled)
    best: Version | None = None  # of those that were reviewed
    fetched: tuple[Fetched, ...] = ()  # in this run
    bought: Usage = NOTHING  # the turns so far
    spent: Usage = NOTHING  # beside the turns: for probes and judges
    asked: bool = False
    judged: dict[str, Judged] = field(default_factory=dict)  # by digest of the workspace

    async def ask(self, messages: Sequence[Json], escalation: Escalation) -> Reply:
        self.asked = True

        async def buy() -> str:
            schemas, profiles = await self.workshop.schemas(), self.job.profiles
            name, until = len(messages), self.workshop.build_by(self.task)
            order = Order(self.task.id, self.attempt, name, "build", messages, until, schemas, escalation, profiles)
            await self.buyer.buy(order)
            return order.key

        reply = Reply.model_validate(await asyncio.to_thread(self.store.answer, await self.step("model_call", buy)))
        self.bought += reply.usage
        return reply

    async def compile(self) -> None:
        """Waits for the probes, once; whatever became of them, the review goes on."""
        compiling, self.compiling = self.compiling, None
        if compiling:
            found = await compiling()
            self.compiled = found.model_copy(update={"probes": (*self.compiled.probes, *found.probes)})
            self.spent += found.usage

    @property
    def learnt(self) -> Learnt:
        return Learnt(self.compiled, self.fetched)

    def _left_s(self) -> float:
        return self.workshop.build_by(self.task) - self.buyer.clock()

    async def act(self, workspace: Workspace, calls: Sequence[ToolCall], misses: Mapping[str, int]) -> Batch:
        store, workshop = self.store, self.workshop

        async def run() -> Json:
            batch = await workshop.act(self.task, self.job, workspace, calls, misses, self.learnt, left_s=self._left_s)
            changed = {p: data for p, data in batch.workspace.items() if workspace.get(p) != data}
            await asyncio.to_thread(store.put_blobs, changed.values())
            names = [call.name for call in calls]
            await asyncio.to_thread(store.add_event, self.task.id, "tools", {"calls": names, "changed": list(changed)})
            fetched = [one.model_dump() for one in batch.fetched]
            for one in fetched[len(self.fetched) :]:
                await asyncio.to_thread(store.add_event, self.task.id, "fetched", one)
            results = [result.model_dump() for result in batch.results]
            return {
                "results": results,
                "files": batch.workspace.manifest,
                "misses": dict(batch.misses),
                "fetched": fetched,
            }

        done = await self.step("tool_batch", run)
        self.fetched = tuple(Fetched.model_validate(one) for one in done["fetched"])
        return Batch(
            results=tuple(ToolResult.model_validate(result) for result in done["results"]),
            workspace=await asyncio.to_thread(workshop.load, done["files"], workspace),
            misses=done["misses"],
            fetched=self.fetched,
        )

    async def review(self, workspace: Workspace) -> Review:
        store, workshop = self.store, self.workshop
        if self.asked:
            await self.compile()

        async def run() -> Json:
            attachments = await asyncio.to_thread(workshop.attachments, self.job)
            review = await workshop.review(self.task, self.job, attachments, workspace, self.learnt)
            if self._is_best(Version(workspace, review)):
                await asyncio.to_thread(store.update, self.task.id, findings=review.findings)
            counts = dict(Counter(str(finding.verdict) for finding in review.findings))
            await asyncio.to_thread(store.add_event, self.task.id, "review", counts)
            return review.model_dump(mode="json")

        version = Version(workspace, Review.model_validate(await self.step("review", run)))
        if self._is_best(version):
            self.best = version
        return version.review

    async def judge(self, workspace: Workspace, review: Review) -> Review:
        """Bought for MAX_JUDGINGS workspaces of a run; the same workspace gets the same verdicts."""
        asked, digest = questions(self.task.checks, review, self.compiled), workspace.digest
        if not asked or (digest not in self.judged and len(self.judged) >= MAX_JUDGINGS):
            return review

        async def run() -> Json:
            until = self.workshop.build_by(self.task)
            found = await self.assessor.judge(self.task, self.attempt, self.buyer, workspace, asked, until=until)
            if self.best and self.best.workspace == workspace:
                update = partial(self.store.update, findings=applied(review, found.opinions).findings)
                await asyncio.to_thread(update, self.task.id)
            return found.model_dump(mode="json")

        if digest not in self.judged:
            self.judged[digest] = Judged.model_validate(await self.step("judge", run))
            self.spent += self.judged[digest].usage
        judged = Version(workspace, applied(review, self.judged[digest].opinions))
        if self.best and self.best.workspace == workspace:
            self.best = judged
        return judged.review

    def _is_best(self, version: Version) -> bool:
        return self.best is None or version.score >= self.best.score

    def report(self, review: Review, previous: Review | None) -> str:
        return report(review, previous)

    def words(self, name: str) -> str:
        return self.job.words[name]
