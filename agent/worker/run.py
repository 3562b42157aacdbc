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
from agent.errors import AgentError, PublishError
from agent.events import emit
from agent.llm.model import Escalation
from agent.loop import Batch, Progress, Version
from agent.prompts import TEMPLATES, Prompts
from agent.publish.publisher import Commit, Outcome, Site, Step, Wish, publish
from agent.quoting import one_line
from agent.records import (
    NOTHING,
    Build,
    Fetched,
    Json,
    Profile,
    Publication,
    Record,
    Reply,
    Review,
    Task,
    ToolCall,
    ToolResult,
)
from agent.review.judge import Judged, applied, questions
from agent.review.probes import Compiled, Probe
from agent.review.report import objection_finding, objection_note, report
from agent.review.repository import may_change, workflows_allowed
from agent.review.subject import Subject
from agent.review.syntax import broken
from agent.tools import registry
from agent.tools.registry import ToolContext
from agent.worker import context, notify
from agent.worker.model_calls import ModelCall, StoredModel
from agent.worker.parts import Parts
from agent.worker.prompt import first_messages, hints
from agent.worker.site_files import finished, foundation
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
    probes: tuple[Probe, ...] = ()  # of checks that were compiled before
    profiles: tuple[Profile, ...] = ()  # what was known of the models
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
        self._job: Job  # these four once it is prepared
        self._start: Workspace
        self._attachments: dict[str, bytes]
        self._progress: Progress  # as far as the loop has told
        self._checks_read = False
        self._compiled = Compiled()
        self._judged: dict[str, Judged] = {}  # by digest of the workspace
        self._fetched: tuple[Fetched, ...] = ()  # in this run
        self.spent = NOTHING  # on probes and judges; turns are in the progress

    async def deliver(self) -> tuple[Publication, float]:
        """The publication, and when its notification was stored. Raises AgentError when nothing can be published."""
        await self._step("begin", self._begin)
        telemetry.note({"task.round": self._task.round})
        site = Site.model_validate(await self._step("reserve", self._reserve))
        prompt = await self._prepare(site)
        with self._faults_stop_the_loop():
            begun = await loop.begin(self._start, prompt, self)
            self._progress = await loop.run(begun, self, self._parts.limits)
        build, objection, publication = await self._publish(site)
        done_at = await self._step("record", partial(self._record, build, publication, objection))
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

        wish = Wish(
            repo=task.repo,
            description=task.brief[:1_000],
            mark=sha256(json.dumps([task.email, task.task]).encode())[:16],
            round=task.round,
            known=await asyncio.to_thread(newest_publication),
        )
        return (await self._parts.publisher.reserve(wish)).model_dump(mode="json")

    async def _prepare(self, site: Site) -> list[Json]:
        """The first messages."""
        prepared = await self._step("prepare", partial(asyncio.to_thread, self._new_job, site))
        self._job = job = Job.model_validate(prepared)
        self._compiled = Compiled(probes=job.probes)
        self._start = await asyncio.to_thread(self._load, job.files)
        unreviewed = Version(self._start, Review())
        self._progress = Progress(best=unreviewed, latest=unreviewed)
        blobs = await asyncio.to_thread(self._parts.store.get_blobs, [job.prompt, *job.attachments.values()])
        self._attachments = {name: blobs[digest] for name, digest in job.attachments.items()}
        return list(json.loads(blobs[job.prompt]))

    def _new_job(self, site: Site) -> Json:
        """Reads what is there, renders the first prompt and stores both."""
        task, parts, store = self._task, self._parts, self._parts.store
        base_sha = parts.repositories.head(site.repo)
        old = parts.repositories.files(site.repo, base_sha) if base_sha else {}
        rounds = store.rounds(task)
        attachments = self._newest_attachments(rounds, old)
        start = foundation(task, attachments, old, self._templates)
        prompts, profiles = Prompts(parts.prompts_dir), store.profiles(parts.profile_keys)
        sees = any(profile.images for profile in profiles)
        prompt = json.dumps(first_messages(prompts, rounds, site, old, attachments, pictures=sees)).encode()
        store.put_blobs([prompt, *start.values(), *attachments.values()])
        job = Job(
            files=start.manifest,
            attachments={name: sha256(data) for name, data in attachments.items()},
            base_sha=base_sha,
            prompt=sha256(prompt),
            prompts_sha256=prompts.sha256,
            hints=hints(prompts),
            probes=parts.reader.known(task),
            profiles=profiles,
            fetched=tuple(one for earlier in rounds[1:] for one in store.fetched(earlier.id)),
        )
        store.update(task.id, stage="build")
        return job.model_dump(mode="json")

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
        """The checks are read during the first call, in the same step: what came of both is kept, whichever fails."""
        call = ModelCall(
            self._task.id,
            self._attempt,
            name=len(messages),
            stage="build",
            messages=messages,
            until=self._parts.build_by(self._task),
            escalation=escalation,
            profiles=self._job.profiles,
        )
        act = partial(self._call, call) if self._checks_read else partial(self._call_and_read, call)
        done = await self._step("model_call", act)
        if not self._checks_read:
            self._checks_read, compiled = True, Compiled.model_validate(done["compiled"])
            self.spent += compiled.usage
            self._compiled = compiled.model_copy(update={"probes": (*self._job.probes, *compiled.probes)})
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
        until = self._parts.build_by(self._task)
        reading = self._parts.reader.compile(self._task, self._attempt, self._model, self._job.probes, until=until)
        done, read = await asyncio.gather(self._call(call), reading, return_exceptions=True)
        if isinstance(done, BaseException):
            raise done
        if isinstance(read, BaseException):  # it costs the checks their probes, and nothing else
            read = Compiled(why=f"not compiled: {type(read).__name__}: {read}")
        return {**done, "compiled": read.model_dump(mode="json")}

    async def run_tools(
        self, workspace: Workspace, calls: Sequence[ToolCall], failed_edits: Mapping[str, int]
    ) -> Batch:
        parts, task = self._parts, self._task

        async def act() -> Json:
            results, after = await registry.run(self._tool_context(workspace, failed_edits), calls)
            changed = {p: data for p, data in after.workspace.items() if workspace.get(p) != data}
            await asyncio.to_thread(parts.store.put_blobs, changed.values())
            names = [call.name for call in calls]
            await asyncio.to_thread(parts.store.add_event, task.id, "tools", {"calls": names, "changed": list(changed)})
            fetched = [one.model_dump() for one in after.fetched]
            for one in fetched[len(self._fetched) :]:
                await asyncio.to_thread(parts.store.add_event, task.id, "fetched", one)
            return {
                "results": [result.model_dump() for result in results],
                "files": after.workspace.manifest,
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
            workflows=workflows_allowed(task),
            broken=broken,
            run_script=context.script_runner(parts.sandbox, lambda: parts.build_by(task) - parts.clock()),
            fixed=[name for name in self._attachments if not may_change(task, name)],
            fetched=self._fetched,
        )

    async def review(self, workspace: Workspace) -> Review:
        store, task_id = self._parts.store, self._task.id

        async def act() -> Json:
            review = await self._review_now(workspace)
            first = not self._progress.messages
            if first or self._progress.is_improved_by(Version(workspace, review)):
                await asyncio.to_thread(store.update, task_id, findings=review.findings)
            counts = dict(Counter(str(finding.verdict) for finding in review.findings))
            await asyncio.to_thread(store.add_event, task_id, "review", counts)
            return review.model_dump(mode="json")

        return Review.model_validate(await self._step("review", act))

    async def judge(self, workspace: Workspace, review: Review) -> Review:
        """For MAX_JUDGED workspaces of a run; the same workspace gets the same verdicts."""
        asked, digest = questions(self._task.checks, review, self._compiled), workspace.digest
        if not asked or (digest not in self._judged and len(self._judged) >= MAX_JUDGED):
            return review

        async def act() -> Json:
            until = self._parts.build_by(self._task)
            found = await self._parts.reader.judge(
                self._task, self._attempt, self._model, workspace, asked, until=until
            )
            if self._progress.best.workspace == workspace:
                judged = applied(review, found.opinions)
                await asyncio.to_thread(self._parts.store.update, self._task.id, findings=judged.findings)
            return found.model_dump(mode="json")

        if digest not in self._judged:
            self._judged[digest] = Judged.model_validate(await self._step("judge", act))
            self.spent += self._judged[digest].usage
        return applied(review, self._judged[digest].opinions)

    def report(self, review: Review, previous: Review | None) -> str:
        return report(review, previous)

    def hint(self, name: str) -> str:
        return self._job.hints[name]

    def keep(self, progress: Progress) -> None:
        self._progress = progress

    async def _review_now(self, workspace: Workspace) -> Review:
        fetched = (*self._job.fetched, *self._fetched)
        blobs = await asyncio.to_thread(self._parts.store.get_blobs, {one.sha256 for one in fetched if one.sha256})
        downloads: dict[str, bytes | None] = dict.fromkeys(one.url for one in fetched)
        downloads |= {one.url: blobs[one.sha256] for one in fetched if one.sha256}
        return await self._parts.review.review(
            Subject(
                task=self._task,
                workspace=workspace,
                attachments=self._attachments,
                downloads=downloads,
                compiled=self._compiled,
                patient=workspace != self._start,
            )
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

    async def _publish(self, site: Site) -> tuple[Build, str, Publication]:
        """What the host objects to goes back to the loop, and what it refuses to the end is left out."""
        parent = self._job.base_sha
        build, outcome = await self._commit(site, parent)
        for _ in range(MAX_FIXES):
            if not outcome.objection or not await self._fix(outcome.objection):
                break
            parent = outcome.publication.commit_sha if outcome.publication else parent
            build, outcome = await self._commit(outcome.site, parent)
        refused = named_in(outcome.objection, build.files)
        objection = outcome.objection
        if outcome.publication is None and refused:
            build, outcome = await self._commit(outcome.site, parent, refused)
        if outcome.publication is None:
            raise PublishError(one_line(objection, MAX_SENTENCE_CHARS))
        return build, outcome.objection, outcome.publication

    async def _commit(self, site: Site, parent: str | None, refused: Sequence[str] = ()) -> tuple[Build, Outcome]:
        task, parts = self._task, self._parts
        build = Build.model_validate(await self._step("finish", partial(self._finish, site, refused)))
        telemetry.note({"task.stopped_by": build.stopped_by, "task.turns": build.turns})
        suffix = ", fixed" if parent != self._job.base_sha else ""
        outcome = await publish(
            site,
            await asyncio.to_thread(self._load, build.files),
            Commit(message=f"{task.task}: round {task.round}{suffix}", parent=parent, at=task.received_at),
            publisher=parts.publisher,
            repositories=parts.repositories,
            step=self._step,
            live_until=parts.notify_by(task),
            clock=parts.clock,
        )
        return build, outcome

    async def _finish(self, site: Site, refused: Sequence[str]) -> Json:
        """What will be published is stored before anything is."""
        store = self._parts.store
        files, build = await self._completed(site, refused)
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

    async def _completed(self, site: Site, refused: Sequence[str]) -> tuple[Workspace, Build]:
        """The best workspace, completed by code and without refused files, and what is known about it."""
        progress = self._progress
        error = f"left out, as the host refuses it: {', '.join(refused)}" if refused else progress.error
        files = finished(
            self._task,
            self._attachments,
            progress.best.workspace,
            pages_url=site.pages_url,
            reason=error or f"the build stopped early ({progress.stopped_by})",
            templates=self._templates,
            secrets=self._parts.secrets,
            refused=refused,
        )
        unchanged = files == progress.best.workspace
        build = Build(
            files=files.manifest,
            review=progress.best.review if unchanged else await self._review_now(files),
            usage=progress.usage + self.spent,
            turns=progress.turns,
            stopped_by=progress.stopped_by or "passed",
            error=error,
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

    async def _record(self, build: Build, publication: Publication, objection: str) -> float:
        """When it was done: the notification is repeated from then on."""
        body = notify.payload(self._task, publication)
        update = partial(self._parts.store.update, self._task.id, state="done", stage="done")
        if objection:
            finding = objection_finding(objection)
            sentence = "; ".join(filter(None, [build.error, f"the host objects: {finding.evidence}"]))
            update = partial(update, findings=(*build.review.findings, finding), error=sentence)
        await asyncio.to_thread(update, publication=publication, notification=body)
        emit("task.done", commit_sha=publication.commit_sha, live=publication.live, stopped_by=build.stopped_by)
        return self._parts.clock()


def named_in(said: str, paths: Iterable[str]) -> list[str]:
    """The files that the host speaks of; not those that every site must have."""
    own = (path for path in paths if path not in ENGINE_FILES)
    return [path for path in own if re.search(rf"(?<![\w./-]){re.escape(path)}(?![\w/-])(?!\.\w)", said)]
