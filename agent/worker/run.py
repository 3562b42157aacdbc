"""One run of one task: begin, reserve, prepare, build, publish, record.

It knows no engine: `step`, which it is given, runs an action and keeps what came of it. Everything that reads a clock,
a disk or a network is a step, and what lies between the steps gives the same again whenever it is replayed.
"""

import asyncio
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

from agent import errors, loop, telemetry
from agent.errors import AgentError, LimitReached, PublishError
from agent.events import emit
from agent.llm.model import Escalation
from agent.loop import Batch, Progress, Version
from agent.prompts import TEMPLATES, Prompts
from agent.publish.publisher import Commit, PublishResult, RepositoryRequest, Target, publish
from agent.quoting import one_line
from agent.records import (
    NOTHING,
    Build,
    Capabilities,
    Fetched,
    Json,
    Publication,
    Record,
    Reply,
    Review,
    Step,
    Task,
    ToolCall,
    ToolResult,
)
from agent.review import doubts, judge
from agent.review.acceptance import Reading, Requirement
from agent.review.doubts import doubtful
from agent.review.reading import wants_workflow
from agent.review.report import objection_finding, objection_note, report
from agent.review.review import Subject, weighed
from agent.review.static.syntax import broken
from agent.tools import registry
from agent.tools.registry import ToolContext
from agent.worker import context, notify
from agent.worker.model_calls import ModelCall, StoredModel
from agent.worker.parts import Parts
from agent.worker.prompt import first_messages, hints
from agent.worker.reader import Read, Reader, Settled
from agent.worker.site_files import finished, foundation, with_footer
from agent.workspace import ENGINE_FILES, Workspace, sha256

MAX_FIXES = 2  # of what the host objects to, in one run
MAX_JUDGED = 2  # workspaces of one run that a judge is shown
MAX_SENTENCE_CHARS = 600


class Job(Record):
    """What a run starts from, fixed once: a replay sees the same prompt, whatever was edited since."""

    files: dict[str, str]  # the first workspace: path → blob
    attachments: dict[str, str]  # of all rounds, as they are for this one: name → blob
    base_sha: str | None  # the commit this round is built on
    prompt: str  # blob: the first messages as JSON
    prompts_sha256: str  # of the prompt files
    hints: dict[str, str]
    requirements: tuple[Requirement, ...] = ()  # of earlier rounds
    reading: Reading | None = None  # of this round, where an earlier run of it was read
    capabilities: tuple[Capabilities, ...] = ()  # what was known of the models
    fetched: tuple[Fetched, ...] = ()  # in earlier rounds


class TaskRun:
    """Attempt `attempt` at a task, and what the loop works with in it (`loop.Steps`).

    Every action is a step: what was bought, done or found once is not bought, done or found again.
    """

    def __init__(self, parts: Parts, step: Step, task: Task, attempt: int) -> None:
        self._parts = parts
        self._step = step
        self._task = task
        self._attempt = attempt
        self._model = StoredModel(parts.store, parts.model, parts.clock)
        self._templates = Prompts(TEMPLATES)
        self._target: Target  # once it is reserved
        self._job: Job  # these once it is prepared
        self._start: Workspace
        self._attachments: dict[str, bytes]
        self._progress: Progress  # as far as the loop has told
        self._rounds: list[Task]
        self._reading = Reading()  # of the task, its tests as they stand
        self._task_read = False
        self._asked: frozenset[str] = frozenset()  # one call settles doubts, one changes of a site that does not load
        self._wanted: frozenset[str] = frozenset()  # attachments whose change the reader upheld
        self._judgings = 0
        self._failed: frozenset[str] = frozenset()  # tests that failed last time
        self._notes: tuple[str, ...] = ()  # on the last version, for the writer
        self._fetched: tuple[Fetched, ...] = ()  # in this run
        self.spent = NOTHING  # on the reader; turns are in the progress

    async def deliver(self) -> tuple[Publication, float]:
        """The publication, and when its notification was stored. Raises AgentError when nothing can be published."""
        await self._step("begin", self._begin)
        telemetry.note({"task.round": self._task.round})
        target = self._target = Target.model_validate(await self._step("reserve", self._reserve))
        prompt = await self._prepare(target)
        with self._faults_stop_the_loop():
            begun = await loop.begin(self._start, prompt, self)
            self._progress = await loop.run(begun, self, self._parts.limits)
        build, result, publication = await self._publish(target)
        done_at = await self._step("record", partial(self._record, build, publication, result))
        return publication, done_at

    # -- before the loop ---------------------------------------------------------------------------------------------

    async def _begin(self) -> None:
        await asyncio.to_thread(self._parts.store.update, self._task.id, state="running", stage="prepare")
        emit("task.begin", round=self._task.round, repo=self._task.repo)

    async def _reserve(self) -> Json:
        task, store = self._task, self._parts.store

        def newest_publication() -> Publication | None:
            earlier = (store.view(known.id).publication for known in store.rounds(task)[1:])
            return next(filter(None, earlier), None)

        request = RepositoryRequest(
            repo=task.repo,
            description=task.brief[:1_000],
            mark=sha256(json.dumps([task.email, task.task]).encode())[:16],
            round=task.round,
            known=await asyncio.to_thread(newest_publication),
        )
        return (await self._parts.publisher.reserve(request)).model_dump(mode="json")

    async def _prepare(self, target: Target) -> list[Json]:
        """The first messages."""
        prepared = await self._step("prepare", partial(asyncio.to_thread, self._new_job, target))
        self._job = job = Job.model_validate(prepared)
        self._reading = job.reading or Reading(requirements=job.requirements)
        self._task_read = job.reading is not None
        self._rounds = await asyncio.to_thread(self._parts.store.rounds, self._task)
        self._start = await asyncio.to_thread(self._load, job.files)
        unreviewed = Version(self._start, Review())
        self._progress = Progress(best=unreviewed, latest=unreviewed)
        blobs = await asyncio.to_thread(self._parts.store.get_blobs, [job.prompt, *job.attachments.values()])
        self._attachments = {name: blobs[digest] for name, digest in job.attachments.items()}
        return list(json.loads(blobs[job.prompt]))

    def _new_job(self, target: Target) -> Json:
        """Reads what is there, renders the first prompt and stores both."""
        task, parts, store = self._task, self._parts, self._parts.store
        base_sha = parts.repositories.head(target.repo)
        old = parts.repositories.files(target.repo, base_sha) if base_sha else {}
        rounds = store.rounds(task)
        attachments = self._newest_attachments(rounds, old)
        start = foundation(task, attachments, old, self._templates)
        prompts, capabilities = Prompts(parts.prompts_dir), store.capabilities(parts.capability_keys)
        sees = any(known.images for known in capabilities)
        prompt = json.dumps(first_messages(prompts, rounds, target, old, attachments, pictures=sees)).encode()
        store.put_blobs([prompt, *start.values(), *attachments.values()])
        job = Job(
            files=start.manifest,
            attachments={name: sha256(data) for name, data in attachments.items()},
            base_sha=base_sha,
            prompt=sha256(prompt),
            prompts_sha256=prompts.sha256,
            hints=hints(prompts),
            requirements=self._earlier_requirements(rounds[1:]),
            reading=self._stored_reading(task),
            capabilities=capabilities,
            fetched=tuple(one for earlier in rounds[1:] for one in store.fetched(earlier.id)),
        )
        store.update(task.id, stage="build")
        return job.model_dump(mode="json")

    def _earlier_requirements(self, rounds: Sequence[Task]) -> tuple[Requirement, ...]:
        """What the newest earlier round that was read required, with its tests as they stood at its end."""
        read = (self._stored_reading(task) for task in rounds)
        return next((reading.requirements for reading in read if reading), ())

    def _stored_reading(self, task: Task) -> Reading | None:
        """None, too, where nobody could read the task: then it is tried again."""
        stored = self._parts.store.reading(task.id)
        reading = Reading.model_validate(stored) if stored else None
        return reading if reading and not reading.why_not else None

    def _newest_attachments(self, rounds: Sequence[Task], site: Mapping[str, bytes]) -> dict[str, bytes]:
        """This round's as received; an earlier round's as its site holds it, for that round may have changed it."""
        hashes = {a.name: a.sha256 for task in reversed(rounds) for a in task.attachments}
        blobs = self._parts.store.get_blobs(hashes.values())
        own = {a.name for a in rounds[0].attachments}
        return {name: blobs[h] if name in own else site.get(name, blobs[h]) for name, h in hashes.items()}

    def _load(self, files: Mapping[str, str], known: Workspace | None = None) -> Workspace:
        """The files of a manifest; bytes that `known` holds are not read again."""
        have = {sha256(data): data for data in known.values()} if known else {}
        have |= self._parts.store.get_blobs(set(files.values()) - have.keys())
        return Workspace().put({path: have[digest] for path, digest in files.items()})

    # -- what the loop works with ------------------------------------------------------------------------------------

    async def call_model(self, messages: Sequence[Json], escalation: Escalation) -> Reply:
        """The task is read during the first call, in the same step: what came of both is kept, whichever fails."""
        call = ModelCall(
            self._task.id,
            self._attempt,
            name=len(messages),
            stage="build",
            messages=messages,
            until=self._parts.build_by(self._task),
            escalation=escalation,
            capabilities=self._job.capabilities,
        )
        act = partial(self._call, call) if self._task_read else partial(self._call_and_read, call)
        done = await self._step("model_call", act)
        if not self._task_read:
            self._task_read, read = True, Read.model_validate(done["read"])
            self.spent += read.usage
            self._reading = read.reading
        if done["error"]:
            raise errors.from_json(done["error"])
        return Reply.model_validate(await asyncio.to_thread(self._parts.store.answer, call.key))

    async def _call(self, call: ModelCall) -> Json:
        """An error is a value here: what is found in the same step is kept all the same."""
        try:
            await self._model.complete(replace(call, tools=await context.schemas(self._parts.sandbox)))
        except AgentError as error:
            return {"error": errors.as_json(error)}
        return {"error": None}

    async def _call_and_read(self, call: ModelCall) -> Json:
        reading = self._reader().read(self._rounds, self._attachments, self._job.requirements)
        done, read = await asyncio.gather(self._call(call), reading, return_exceptions=True)
        if isinstance(done, BaseException):
            raise done
        if isinstance(read, BaseException):  # it costs the task its tests, and nothing else
            emit("reading.fault", error=f"{type(read).__name__}: {read}")
            why_not = f"nobody read the task: {type(read).__name__}"
            read = Read(reading=Reading(requirements=self._job.requirements, why_not=why_not))
        await asyncio.to_thread(self._parts.store.put_reading, self._task, read.reading.model_dump(mode="json"))
        return {**done, "read": read.model_dump(mode="json")}

    def _reader(self) -> Reader:
        parts = self._parts
        return Reader(
            model=StoredModel(parts.store, parts.review_model, parts.clock),
            fallback=self._model,
            reviewer=parts.reviewer,
            prompts_dir=parts.prompts_dir,
            attempt=self._attempt,
            until=parts.build_by(self._task),
            sees=bool(parts.review_model and parts.review_model.sees_images(self._job.capabilities)),
        )

    async def run_tools(
        self, workspace: Workspace, calls: Sequence[ToolCall], failed_edits: Mapping[str, int]
    ) -> Batch:
        parts, task = self._parts, self._task

        async def act() -> Json:
            results, after = await registry.run(self._tool_context(workspace, failed_edits), calls)
            files = with_footer(after.workspace, self._templates, self._target.pages_url, self._target.repo_url)
            changed = {p: data for p, data in files.items() if workspace.get(p) != data}
            await asyncio.to_thread(parts.store.put_blobs, changed.values())
            names = [call.name for call in calls]
            await asyncio.to_thread(parts.store.add_event, task.id, "tools", {"calls": names, "changed": list(changed)})
            fetched = [one.model_dump() for one in after.fetched]
            for one in fetched[len(self._fetched) :]:
                await asyncio.to_thread(parts.store.add_event, task.id, "fetched", one)
            return {
                "results": [result.model_dump() for result in results],
                "files": files.manifest,
                "failed_edits": dict(after.failed_edits),
                "fetched": fetched,
            }

        done = await self._step("tool_batch", act)
        self._fetched = tuple(map(Fetched.model_validate, done["fetched"]))
        return Batch(
            results=tuple(map(ToolResult.model_validate, done["results"])),
            workspace=await asyncio.to_thread(self._load, done["files"], workspace),
            failed_edits=done["failed_edits"],
            fetched=self._fetched,
        )

    def _tool_context(self, workspace: Workspace, failed_edits: Mapping[str, int]) -> ToolContext:
        parts, task = self._parts, self._task
        return ToolContext(
            workspace=workspace,
            attachments=self._attachments,
            failed_edits=failed_edits,
            review=self._review_now,
            report=lambda review: report(review, None),
            fetch=context.fetcher(task, parts.web, parts.store, parts.clock),
            workflows=wants_workflow(task, self._reading),
            broken=broken,
            run_script=context.script_runner(parts.sandbox, lambda: parts.build_by(task) - parts.clock()),
            fetched=self._fetched,
        )

    async def review(self, workspace: Workspace) -> Version:
        """Doubts are put to the reader before they cost a turn: once a run, when there is a site that loads."""

        async def act() -> Json:
            review = await self._review_now(workspace)
            settled = await self._settle(self._subject(workspace), review)
            await self._show(Version(workspace, settled.review))
            counts = dict(Counter(str(finding.verdict) for finding in settled.review.findings))
            await asyncio.to_thread(self._parts.store.add_event, self._task.id, "review", counts)
            return settled.model_dump(mode="json")

        return await self._settled(workspace, Settled.model_validate(await self._step("review", act)))

    async def judge(self, version: Version) -> Version:
        """For MAX_JUDGED versions of a run; what the judge fails is a doubt like any other."""
        if not judge.questions(self._reading, version.review) or self._judgings >= MAX_JUDGED:
            return version
        self._judgings += 1

        async def act() -> Json:
            subject = self._subject(version.workspace)
            review, usage = await self._reader().judge(self._rounds, subject, version.review)
            settled = await self._settle(subject, review)
            await self._show(Version(version.workspace, settled.review))
            return settled.model_copy(update={"usage": settled.usage + usage}).model_dump(mode="json")

        return await self._settled(version.workspace, Settled.model_validate(await self._step("judge", act)))

    async def hear(self, version: Version, objection: str) -> Version:
        """The writer says that inferred tests are wrong: their reader hears it, once a run."""

        async def act() -> Json:
            subject = self._subject(version.workspace)
            tests = doubts.objected(self._reading, version.review)
            settled = await self._reader().settle(
                self._rounds, subject, version.review, tests, "objection", objection=objection
            )
            await self._show(Version(version.workspace, settled.review))
            return settled.model_dump(mode="json")

        return await self._settled(version.workspace, Settled.model_validate(await self._step("objection", act)))

    async def _settle(self, subject: Subject, review: Review) -> Settled:
        """What nobody can be asked about is a guess."""
        read = subject.reading
        loads = not review.is_broken and not any(f.origin == "rule" and f.id == "errors" for f in review.failures)
        doubted = doubtful(read, review) if loads else ()
        changed = doubts.changed(subject.workspace, subject.attachments, read).keys() - self._wanted
        if not (doubted or changed) or not subject.patient:
            return Settled(review=review)
        name = "doubts" if loads else "changes"
        if name in self._asked or not self._may_spend():
            guesses = {test.id: doubts.given_up(test) for test in doubted}
            guessed = weighed(review, subject.task, read.with_tests(guesses))
            return Settled(review=guessed, tests=guesses, left_changed=tuple(changed))
        settled = await self._reader().settle(self._rounds, subject, review, doubted, name)
        if settled.put_back:
            restored = self._put_back(subject.workspace, settled.put_back)
            again = await self._review_now(restored, read.with_tests(settled.tests))
            settled = settled.model_copy(update={"review": again})
        return settled.model_copy(update={"asked": name})

    async def _settled(self, workspace: Workspace, settled: Settled) -> Version:
        self._asked |= {settled.asked}
        self._wanted |= {*settled.wanted}
        self._reading = self._reading.with_tests(settled.tests)
        self._failed = frozenset(result.id for result in settled.review.results if result.verdict == "fail")
        self._notes = _notes(settled)
        self.spent += settled.usage
        if settled.tests:
            stored = self._reading.model_dump(mode="json")
            await asyncio.to_thread(self._parts.store.put_reading, self._task, stored)
        return Version(self._put_back(workspace, settled.put_back), settled.review)

    def _put_back(self, workspace: Workspace, names: Sequence[str]) -> Workspace:
        return workspace.put({name: self._attachments[name] for name in names})

    def _may_spend(self) -> bool:
        try:
            self._parts.limits.check_spending(self._progress.usage + self.spent)
        except LimitReached:
            return False
        return True

    async def _show(self, version: Version) -> None:
        """The record of a running task tells of the best version so far."""
        if not self._progress.messages or self._progress.is_improved_by(version):
            await asyncio.to_thread(self._parts.store.update, self._task.id, findings=version.review.findings)

    def report(self, review: Review, previous: Review | None) -> str:
        return report(review, previous, self._notes)

    def hint(self, name: str) -> str:
        return self._job.hints[name]

    def keep(self, progress: Progress) -> None:
        self._progress = progress

    async def _review_now(self, workspace: Workspace, reading: Reading | None = None) -> Review:
        return await self._parts.reviewer.review(self._subject(workspace, reading))

    def _subject(self, workspace: Workspace, reading: Reading | None = None) -> Subject:
        return Subject(
            task=self._task,
            workspace=workspace,
            attachments=self._attachments,
            reading=reading or self._reading,
            first=self._failed,
            patient=workspace != self._start,
        )

    @contextmanager
    def _faults_stop_the_loop(self) -> Iterator[None]:
        """A fault of ours is no reason to publish nothing: what was best until then is published."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - see above
            emit("build.fault", error=f"{type(error).__name__}: {error}")
            sentence = f"internal error: {type(error).__name__}"
            self._progress = replace(self._progress, stopped_by="fault", error=sentence)

    # -- after the loop ----------------------------------------------------------------------------------------------

    async def _publish(self, target: Target) -> tuple[Build, PublishResult, Publication]:
        """What the host objects to goes back to the loop, and what it refuses to the end is left out."""
        parent = self._job.base_sha
        build, outcome = await self._commit(target, parent)
        for _ in range(MAX_FIXES):
            if not outcome.objection or not await self._fix(outcome.objection):
                break
            parent = outcome.publication.commit_sha if outcome.publication else parent
            build, outcome = await self._commit(outcome.target, parent)
        refused = named_in(outcome.objection, build.files)
        objection = outcome.objection
        if outcome.publication is None and refused:
            build, outcome = await self._commit(outcome.target, parent, refused)
        if outcome.publication is None:
            raise PublishError(one_line(objection, MAX_SENTENCE_CHARS))
        return build, outcome, outcome.publication

    async def _commit(
        self, target: Target, parent: str | None, refused: Sequence[str] = ()
    ) -> tuple[Build, PublishResult]:
        task, parts = self._task, self._parts
        build = Build.model_validate(await self._step("finish", partial(self._finish, target, refused)))
        telemetry.note({"task.stopped_by": build.stopped_by, "task.turns": build.turns})
        suffix = ", fixed" if parent != self._job.base_sha else ""
        outcome = await publish(
            target,
            await asyncio.to_thread(self._load, build.files),
            Commit(message=f"{task.task}: round {task.round}{suffix}", parent=parent, at=task.received_at),
            publisher=parts.publisher,
            repositories=parts.repositories,
            step=self._step,
            live_until=parts.notify_by(task),
            clock=parts.clock,
        )
        return build, outcome

    async def _finish(self, target: Target, refused: Sequence[str]) -> Json:
        """What will be published is stored before anything is."""
        store = self._parts.store
        files, build = await self._completed(target, refused)
        details = {
            "models": build.models,
            "turns": build.turns,
            "prompts_sha256": build.prompts_sha256,
            "browser": build.review.browser,
            "sandbox": self._parts.sandbox.status,
        }
        await asyncio.to_thread(store.put_blobs, files.values())
        await asyncio.to_thread(
            store.update,
            self._task.id,
            stage="publish",
            findings=build.review.findings,
            usage=build.usage,
            details=details,
            stopped_by=build.stopped_by,
            error=build.error or None,
        )
        emit("build.done", stopped_by=build.stopped_by, turns=build.turns, failed=len(build.review.failures))
        return build.model_dump(mode="json")

    async def _completed(self, target: Target, refused: Sequence[str]) -> tuple[Workspace, Build]:
        """The best workspace, completed by code and without refused files, and what is known about it."""
        progress = self._progress
        error = f"left out, as the host refuses it: {', '.join(refused)}" if refused else progress.error
        files = finished(
            self._task,
            self._attachments,
            progress.best.workspace,
            pages_url=target.pages_url,
            reason=error or f"the build stopped early ({progress.stopped_by})",
            templates=self._templates,
            secrets=self._parts.secrets,
            refused=refused,
        )
        changed = [n for n in doubts.changed(files, self._attachments, self._reading) if n not in self._wanted]
        left = _notes(Settled(review=progress.best.review, left_changed=tuple(changed)))
        unchanged = files == progress.best.workspace
        build = Build(
            files=files.manifest,
            review=progress.best.review if unchanged else await self._review_now(files),
            usage=progress.usage + self.spent,
            turns=progress.turns,
            stopped_by=progress.stopped_by or "passed",
            error="; ".join(filter(None, (error, *left))),
            models=progress.models,
            prompts_sha256=self._job.prompts_sha256,
        )
        return files, build

    async def _fix(self, said: str) -> bool:
        """The loop goes on from where it was; False when no other site came of it."""
        before, finding = self._progress, objection_finding(said)
        if before.stopped_by == "fault":
            return False

        async def act() -> None:
            await asyncio.to_thread(self._parts.store.update, self._task.id, stage="build")
            event = {"evidence": finding.evidence}
            await asyncio.to_thread(self._parts.store.add_event, self._task.id, "objection", event)
            emit("publish.objection", **event)

        await self._step("objection", act)
        with self._faults_stop_the_loop():
            begun = loop.objected(before, finding, objection_note(said))
            self._progress = await loop.run(begun, self, self._parts.limits)
        if self._progress.best.workspace != before.best.workspace:
            return True
        self._progress = replace(before, usage=self._progress.usage)
        return False

    async def _record(self, build: Build, publication: Publication, result: PublishResult) -> float:
        """When it was done: the notification is repeated from then on."""
        body = notify.payload(self._task, publication)
        update = partial(self._parts.store.update, self._task.id, state="done", stage="done")
        said = [build.error, *result.left_out]
        if result.objection:
            finding = objection_finding(result.objection)
            said.append(f"the host objects: {finding.evidence}")
            update = partial(update, findings=(*build.review.findings, finding))
        error = "; ".join(filter(None, said)) or None
        await asyncio.to_thread(update, publication=publication, notification=body, error=error)
        emit("task.done", commit_sha=publication.commit_sha, live=publication.live, stopped_by=build.stopped_by)
        return self._parts.clock()


def _notes(settled: Settled) -> tuple[str, ...]:
    """What code did, or left, of attachments that were changed."""
    back, left = map(", ".join, (settled.put_back, settled.left_changed))
    return (
        *([f"{back}: back as it was sent, for the task does not want it changed"] if back else []),
        *([f"{left}: changed, although no sentence asks for it; undo that if it is not meant"] if left else []),
    )


def named_in(said: str, paths: Iterable[str]) -> list[str]:
    """The files that the host speaks of; not those that every site must have."""
    own = (path for path in paths if path not in ENGINE_FILES)
    return [path for path in own if re.search(rf"(?<![\w./-]){re.escape(path)}(?![\w/-])(?!\.\w)", said)]
