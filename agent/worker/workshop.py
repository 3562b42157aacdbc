"""What one task is worked on with: its first prompt, its tools, its review and its share of the time."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import httpx

from agent import net
from agent.errors import ToolError
from agent.files.images import picture_uri
from agent.files.previews import previews
from agent.llm.sight import shown
from agent.loop import Progress
from agent.prompts import TEMPLATES, Prompts
from agent.publish.git import Repositories
from agent.publish.publisher import Site
from agent.quoting import fence, label
from agent.records import Build, Check, Fetched, Finding, Json, Profile, Record, Review, Task, ToolCall
from agent.review.live import LiveReview
from agent.review.probes import Compiled, Probe, needed
from agent.review.report import report
from agent.review.repository import may_change, workflows_allowed
from agent.review.syntax import broken
from agent.sandbox.sandbox import NoSandbox, Run, Sandbox, Script
from agent.store import Store
from agent.tools import registry
from agent.tools.registry import Batch, Desk
from agent.worker import reader as assessor
from agent.worker.site_files import finished, foundation
from agent.workspace import ENGINE_FILES, MAX_DATA_BYTES, Workspace, is_published, sha256

CALL_BACK_MARGIN_S = 20.0  # the call back leaves this long before the deadline
SHORTEST_SHARE = 1 / 6  # of a deadline under two minutes, each margin takes no more than this
PREVIEW_CHARS = 6_000  # of all attachments together: 2,000 tokens of prose, 4,000 of digits
MAX_PICTURES = 4  # images among the attachments that are shown to a model that sees; the others are described
SHOWN_FILE_CHARS = 24_000  # a larger file of an earlier round is named, not shown
MAX_URL_CHARS = 2_000  # of an address, as far as the record tells it
WORDS = ("silent", "stalled")
REHEARSED = Task(
    **dict.fromkeys(("id", "email", "task", "nonce", "brief", "repo"), "a"),
    round=1,
    round_received=1,
    checks=(Check(id="1", kind="prose", text="a", round=1),),
    attachments=(),
    skipped=(),
    evaluation_url="https://e.example/",
    previous_id=None,
    received_at=0,
    deadline_at=600,
)


class Job(Record):
    """What a task starts from, fixed once: a replay sees the same prompt, whatever was edited since."""

    files: dict[str, str]  # the first workspace: path → blob
    attachments: dict[str, str]  # of all rounds, as they stand for this one: name → blob
    base_sha: str | None  # the commit this round is built on
    prompt: str  # blob: the first messages as JSON
    prompts_sha256: str  # of the prompt files
    words: dict[str, str]
    probes: tuple[Probe, ...] = ()  # of checks that were compiled before
    compile: bool = False  # other checks need one
    profiles: tuple[Profile, ...] = ()  # what was known of the models
    fetched: tuple[Fetched, ...] = ()  # in earlier rounds


@dataclass(frozen=True)
class Learnt:
    """What a run has found out so far, beside its files."""

    compiled: Compiled
    fetched: tuple[Fetched, ...] = ()


class Workshop:
    """Stateless: everything about a task comes from its records and the store."""

    def __init__(
        self,
        store: Store,
        repositories: Repositories,
        http: httpx.AsyncClient,
        *,
        prompts_dir: Path,
        review: LiveReview,
        sandbox: Sandbox,
        secrets: Sequence[str],
        reserve_s: float,
        models: Sequence[str] = (),
    ) -> None:
        """`models`: the keys of the profiles of those that may be asked."""
        self._store = store
        self._repositories = repositories
        self._http = http
        self._prompts_dir = prompts_dir
        self._review = review
        self._sandbox = sandbox
        self._secrets = secrets
        self._reserve_s = reserve_s
        self._models = models
        self._templates = Prompts(TEMPLATES)

    @property
    def sandbox(self) -> str:
        """How far scripts are locked in, or why none is run."""
        return self._sandbox.status

    # -- time --------------------------------------------------------------------------------------------------------

    def notify_by(self, task: Task) -> float:
        """Unix time by which the call back leaves, live or not."""
        return task.deadline_at - min(CALL_BACK_MARGIN_S, _seconds(task) * SHORTEST_SHARE)

    def build_by(self, task: Task) -> float:
        """Unix time by which the loop ends, so that publishing has its share."""
        return self.notify_by(task) - min(self._reserve_s, _seconds(task) * SHORTEST_SHARE)

    # -- before any task ---------------------------------------------------------------------------------------------

    def rehearse(self) -> None:
        """Raises ConfigError naming the prompt file that would fail a task."""
        rounds = [REHEARSED.model_copy(update={"round": 2}), REHEARSED]
        site = Site(repo="a", repo_url="https://o.example/a.git", pages_url="https://o.example/a/")
        prompts = Prompts(self._prompts_dir)
        _messages(prompts, rounds, site, {"index.html": b"a"}, {"b.txt": b"b"})
        _words(prompts)
        assessor.rehearse(prompts, REHEARSED.checks)

    # -- before the loop ---------------------------------------------------------------------------------------------

    async def prepare(self, task: Task, site: Site) -> Job:
        """Reads what is there, renders the first prompt and stores both."""
        return await asyncio.to_thread(self._prepare, task, site)

    def _prepare(self, task: Task, site: Site) -> Job:
        base_sha = self._repositories.head(site.repo)
        old = self._repositories.files(site.repo, base_sha) if base_sha else {}
        rounds = self._store.rounds(task)
        attachments = self._attachments(rounds, old)
        start = foundation(task, attachments, old, self._templates)
        prompts = Prompts(self._prompts_dir)
        profiles = self._store.profiles(self._models)
        messages = _messages(prompts, rounds, site, old, attachments)
        if any(profile.images for profile in profiles):
            messages = _with_pictures(messages, attachments)
        prompt = json.dumps(messages).encode()
        self._store.put_blobs([prompt, *start.values(), *attachments.values()])
        probes = assessor.known(self._store, task)
        return Job(
            files=start.manifest,
            attachments={name: sha256(data) for name, data in attachments.items()},
            base_sha=base_sha,
            prompt=sha256(prompt),
            prompts_sha256=prompts.sha256,
            words=_words(prompts),
            probes=probes,
            compile=bool(needed(task.checks, {probe.check for probe in probes})),
            profiles=profiles,
            fetched=tuple(f for earlier in rounds[1:] for f in self._store.fetched(earlier.id)),
        )

    def _attachments(self, rounds: Sequence[Task], site: Mapping[str, bytes]) -> dict[str, bytes]:
        """This round's as received; an earlier round's as its site holds it, for that round may have changed it."""
        hashes = {a.name: a.sha256 for task in reversed(rounds) for a in task.attachments}
        blobs = self._store.get_blobs(hashes.values())
        own = {a.name for a in rounds[0].attachments}
        return {name: blobs[h] if name in own else site.get(name, blobs[h]) for name, h in hashes.items()}

    # -- in the loop -------------------------------------------------------------------------------------------------

    def load(self, files: Mapping[str, str], known: Workspace | None = None) -> Workspace:
        """The workspace of a manifest; bytes that `known` holds are not read again."""
        have = {sha256(data): data for data in known.values()} if known else {}
        have |= self._store.get_blobs(set(files.values()) - have.keys())
        return Workspace().put({path: have[digest] for path, digest in files.items()})

    def messages(self, job: Job) -> list[Json]:
        return list(json.loads(self._store.get_blobs([job.prompt])[job.prompt]))

    def attachments(self, job: Job) -> dict[str, bytes]:
        blobs = self._store.get_blobs(job.attachments.values())
        return {name: blobs[digest] for name, digest in job.attachments.items()}

    async def schemas(self) -> list[Json]:
        """The tools that work here: the same for the life of the process, so that every request begins alike."""
        try:
            await self._sandbox.start()
        except NoSandbox:
            return registry.schemas(without=("run_python",))
        return registry.schemas()

    async def act(
        self,
        task: Task,
        job: Job,
        workspace: Workspace,
        calls: Sequence[ToolCall],
        misses: Mapping[str, int],
        learnt: Learnt,
        *,
        left_s: Callable[[], float],
    ) -> Batch:
        """Runs one turn's tool calls. `left_s`: how long the task may still be worked on."""
        attachments = await asyncio.to_thread(self.attachments, job)

        async def review_now(workspace: Workspace) -> Review:
            return await self.review(task, job, attachments, workspace, learnt)

        desk = Desk(
            task=task,
            workspace=workspace,
            attachments=attachments,
            misses=misses,
            review=review_now,
            report=lambda review: report(review, None),
            fetch=self._fetcher(task),
            workflows=workflows_allowed(task),
            broken=broken,
            run_script=self._runner(left_s),
            fixed=[name for name in attachments if not may_change(task, name)],
            fetched=learnt.fetched,
        )
        return await registry.run(desk, calls)

    def _fetcher(self, task: Task) -> Callable[[str], Awaitable[tuple[Fetched, bytes]]] | None:
        """Reaches the hosts that brief or checks name: what an attachment or the model names opens nothing."""
        hosts = net.hosts_in(" ".join([task.brief, *(check.text for check in task.checks)]))

        async def fetch(url: str) -> tuple[Fetched, bytes]:
            asked = Fetched(url=url[:MAX_URL_CHARS], at=time.time())
            try:
                found = await net.get(self._http, url, max_bytes=MAX_DATA_BYTES, allowed_hosts=hosts)
            except (net.Blocked, httpx.HTTPError) as error:
                status = error.response.status_code if isinstance(error, httpx.HTTPStatusError) else None
                return asked.model_copy(update={"status": status, "error": net.trouble(error)}), b""
            await asyncio.to_thread(self._store.put_blobs, [found.body])
            served = {"status": found.status, "size_bytes": len(found.body), "sha256": sha256(found.body)}
            return asked.model_copy(update=served), found.body

        return fetch if hosts else None

    def _runner(self, left_s: Callable[[], float]) -> Callable[[Script], Awaitable[Run]]:
        """Runs scripts as long as there is time for them."""

        async def run_script(script: Script) -> Run:
            if (timeout_s := left_s()) <= 0:
                raise ToolError("there is no time left to run anything")
            try:
                return await self._sandbox.run(script, timeout_s=timeout_s)
            except NoSandbox as error:
                raise ToolError(str(error)) from error

        return run_script

    async def review(
        self, task: Task, job: Job, attachments: Mapping[str, bytes], workspace: Workspace, learnt: Learnt
    ) -> Review:
        """The site as the round before left it was not made for these checks: it is not waited for."""
        patient = workspace.manifest != job.files
        downloads = await asyncio.to_thread(self._downloads, (*job.fetched, *learnt.fetched))
        return await self._review.review(
            task, workspace, attachments, compiled=learnt.compiled, downloads=downloads, patient=patient
        )

    def _downloads(self, fetched: Sequence[Fetched]) -> dict[str, bytes | None]:
        """What each address served; None: it was asked and did not."""
        blobs = self._store.get_blobs({one.sha256 for one in fetched if one.sha256})
        tried: dict[str, bytes | None] = dict.fromkeys(one.url for one in fetched)
        return tried | {one.url: blobs[one.sha256] for one in fetched if one.sha256}

    # -- after the loop ----------------------------------------------------------------------------------------------

    async def finish(
        self,
        task: Task,
        job: Job,
        site: Site,
        progress: Progress,
        learnt: Learnt,
        refused: Collection[str] = (),
    ) -> tuple[Workspace, Build]:
        """The best workspace, completed by code and without refused files, and what is known about it."""
        attachments = await asyncio.to_thread(self.attachments, job)
        whole = finished(
            task,
            attachments,
            progress.best.workspace,
            pages_url=site.pages_url,
            reason=progress.error or f"the build stopped early ({progress.stopped_by})",
            templates=self._templates,
            secrets=self._secrets,
            refused=refused,
        )
        best = progress.best
        unchanged = whole == best.workspace
        build = Build(
            files=whole.manifest,
            review=best.review if unchanged else await self.review(task, job, attachments, whole, learnt),
            usage=progress.usage,
            turns=progress.turns,
            stopped_by=progress.stopped_by or "passed",
            error=progress.error,
            models=progress.models,
            prompts_sha256=job.prompts_sha256,
        )
        return whole, build

    # -- after the call back -----------------------------------------------------------------------------------------

    async def take_pictures(self, task_id: str) -> None:
        """Keeps pictures of the published page with the task, for people, and what axe advises on it."""
        view = await asyncio.to_thread(self._store.view, task_id)
        if view.publication is None:
            return
        published = await asyncio.to_thread(self._repositories.files, view.task.repo, view.publication.commit_sha)
        portrait = await self._review.portrait(view.task, Workspace().put(published))
        await asyncio.to_thread(self._store.put_blobs, portrait.screenshots.values())
        details = view.details | {"screenshots": {name: sha256(shot) for name, shot in portrait.screenshots.items()}}
        findings = _with_advice(view.findings, portrait.accessibility)
        await asyncio.to_thread(self._store.update, task_id, details=details, findings=findings)


def _with_advice(findings: Sequence[Finding], advice: Finding | None) -> tuple[Finding, ...]:
    """The published page's own, in the place of an earlier look."""
    others = (f for f in findings if not advice or (f.id, f.origin) != (advice.id, advice.origin))
    return (*others, *filter(None, [advice]))


def _seconds(task: Task) -> float:
    return task.deadline_at - task.received_at


def _messages(
    prompts: Prompts, rounds: Sequence[Task], site: Site, files: Mapping[str, bytes], attachments: Mapping[str, bytes]
) -> list[Json]:
    """How every conversation begins."""
    variables = _task_variables(rounds, site, files, attachments)
    return [
        {"role": "system", "content": prompts.render("system.md.j2")},
        {"role": "user", "content": prompts.render("task.md.j2", **variables)},
    ]


def _with_pictures(messages: Sequence[Json], attachments: Mapping[str, bytes]) -> list[Json]:
    """The first images among the attachments, before the words of the task."""
    *before, task = messages
    pictures = ((label(name), picture_uri(data)) for name, data in attachments.items())
    seen = dict(islice(((name, uri) for name, uri in pictures if uri), MAX_PICTURES))
    return [*before, {**task, "content": shown(task["content"], seen)}]


def _words(prompts: Prompts) -> dict[str, str]:
    return {name: prompts.render(f"{name}.md.j2") for name in WORDS}


def _task_variables(
    rounds: Sequence[Task], site: Site, files: Mapping[str, bytes], attachments: Mapping[str, bytes]
) -> dict[str, object]:
    """What `task.md.j2` may use; checks stand last and verbatim, so that they are read last."""
    task, *earlier = rounds
    shown = previews(attachments, max_chars=PREVIEW_CHARS)
    return {
        "task": task.task,
        "round": task.round,
        "brief": task.brief,
        "earlier_briefs": earlier,
        "pages_url": site.pages_url,
        "repo_url": site.repo_url,
        "attachments": [
            {"name": label(name), "published": is_published(name), "preview": shown[name]} for name in attachments
        ],
        "files": [
            {"path": label(path), "size_bytes": len(data), "text": _shown(path, data)}
            for path, data in sorted(files.items())
            if path not in ENGINE_FILES and path not in attachments
        ],
        "workflows": workflows_allowed(task),
        "checks": [check for check in task.checks if check.round == task.round],
        "unread_checks": sum(part.what.startswith("checks") for part in task.skipped),
        "earlier_checks": [check for check in task.checks if check.round < task.round],
    }


def _shown(path: str, data: bytes) -> str | None:
    """A text file's text behind a fence, unless it is too long for a prompt."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return None
    return fence(path, text, max_chars=2 * SHOWN_FILE_CHARS) if len(text) <= SHOWN_FILE_CHARS else None
