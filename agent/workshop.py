"""What one task is worked on with: its first prompt, its tools, its review and its share of the time."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

import httpx

from agent import net
from agent.errors import ToolError
from agent.loop import Progress
from agent.previews import preview
from agent.prompts import TEMPLATES, Prompts
from agent.publish.git import Repositories
from agent.publish.publisher import Site
from agent.records import Build, Check, Json, Record, Review, Task, ToolCall
from agent.review.live import LiveReview
from agent.review.report import report
from agent.review.repository import workflows_allowed
from agent.review.syntax import broken
from agent.skeleton import finished, foundation
from agent.store import Store
from agent.tools import toolbox
from agent.tools.toolbox import Batch, Desk
from agent.workspace import ENGINE_FILES, MAX_DATA_BYTES, Workspace, is_published, sha256

CALL_BACK_MARGIN_S = 20.0  # the call back leaves this long before the deadline
SHORTEST_SHARE = 1 / 6  # of a deadline under two minutes, each margin takes no more than this
PREVIEW_CHARS = 6_000  # of all attachments together, shared evenly
SHOWN_FILE_CHARS = 24_000  # a larger file of an earlier round is named, not shown
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
        secrets: Sequence[str],
        reserve_s: float,
    ) -> None:
        self._store = store
        self._repositories = repositories
        self._http = http
        self._prompts_dir = prompts_dir
        self._review = review
        self._secrets = secrets
        self._reserve_s = reserve_s
        self._templates = Prompts(TEMPLATES)
        self.schemas = toolbox.schemas()

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
        prompt = json.dumps(_messages(prompts, rounds, site, old, attachments)).encode()
        self._store.put_blobs([prompt, *start.values(), *attachments.values()])
        return Job(
            files=start.manifest,
            attachments={name: sha256(data) for name, data in attachments.items()},
            base_sha=base_sha,
            prompt=sha256(prompt),
            prompts_sha256=prompts.sha256,
            words=_words(prompts),
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

    async def act(
        self, task: Task, job: Job, workspace: Workspace, calls: Sequence[ToolCall], misses: Mapping[str, int]
    ) -> Batch:
        """Runs one turn's tool calls."""
        attachments = await asyncio.to_thread(self.attachments, job)

        async def review_now(workspace: Workspace) -> Review:
            return await self.review(task, job, attachments, workspace)

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
        )
        return await toolbox.run(desk, calls)

    def _fetcher(self, task: Task) -> Callable[[str], Awaitable[bytes]] | None:
        """Reaches the hosts that brief or checks name: what an attachment or the model names opens nothing."""
        hosts = net.hosts_in(" ".join([task.brief, *(check.text for check in task.checks)]))

        async def fetch(url: str) -> bytes:
            try:
                return await net.get_bytes(self._http, url, max_bytes=MAX_DATA_BYTES, allowed_hosts=hosts)
            except (net.Blocked, httpx.HTTPError) as error:
                raise ToolError(str(error) or type(error).__name__) from error

        return fetch if hosts else None

    async def review(self, task: Task, job: Job, attachments: Mapping[str, bytes], workspace: Workspace) -> Review:
        """The site as the round before left it was not made for these checks: it is not waited for."""
        patient = workspace.manifest != job.files
        return await self._review.review(task, workspace, attachments, patient=patient)

    # -- after the loop ----------------------------------------------------------------------------------------------

    async def finish(self, task: Task, job: Job, site: Site, progress: Progress) -> tuple[Workspace, Build]:
        """The best workspace, completed by code, and what is known about it."""
        attachments = await asyncio.to_thread(self.attachments, job)
        whole = finished(
            task,
            attachments,
            progress.best.workspace,
            pages_url=site.pages_url,
            reason=progress.error or f"the build stopped early ({progress.stopped_by})",
            templates=self._templates,
            secrets=self._secrets,
        )
        best = progress.best
        build = Build(
            files=whole.manifest,
            review=best.review if whole == best.workspace else await self.review(task, job, attachments, whole),
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
        """Keeps pictures of the published page with the task, for people."""
        view = await asyncio.to_thread(self._store.view, task_id)
        if view.publication is None:
            return
        published = await asyncio.to_thread(self._repositories.files, view.task.repo, view.publication.commit_sha)
        shots = await self._review.screenshots(view.task, Workspace().put(published))
        await asyncio.to_thread(self._store.put_blobs, shots.values())
        details = view.details | {"screenshots": {name: sha256(shot) for name, shot in shots.items()}}
        await asyncio.to_thread(self._store.update, task_id, details=details)


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


def _words(prompts: Prompts) -> dict[str, str]:
    return {name: prompts.render(f"{name}.md.j2") for name in WORDS}


def _task_variables(
    rounds: Sequence[Task], site: Site, files: Mapping[str, bytes], attachments: Mapping[str, bytes]
) -> dict[str, object]:
    """What `task.md.j2` may use; checks stand last and verbatim, so that they are read last."""
    task, *earlier = rounds
    share = PREVIEW_CHARS // max(1, len(attachments))
    return {
        "task": task.task,
        "round": task.round,
        "brief": task.brief,
        "earlier_briefs": earlier,
        "pages_url": site.pages_url,
        "repo_url": site.repo_url,
        "attachments": [
            {"name": name, "published": is_published(name), "preview": preview(name, data, max_chars=share)}
            for name, data in attachments.items()
        ],
        "files": [
            {"path": path, "size_bytes": len(data), "text": _shown(data)}
            for path, data in sorted(files.items())
            if path not in ENGINE_FILES and path not in attachments
        ],
        "checks": [check for check in task.checks if check.round == task.round],
        "earlier_checks": [check for check in task.checks if check.round < task.round],
    }


def _shown(data: bytes) -> str | None:
    """A text file's text, unless it is too long for a prompt."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return None
    return text if len(text) <= SHOWN_FILE_CHARS else None
