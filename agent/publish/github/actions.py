"""GitHub Actions: how the workflows of a commit fare, and what a failed one has to say."""

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from agent.errors import PublishError
from agent.events import emit
from agent.publish.git import Repositories
from agent.publish.github.api import GitHubApi, api_path
from agent.publish.publisher import BuildFix, Target
from agent.publish.workflows import Workflow, parsed
from agent.records import Json
from agent.workspace import WORKFLOWS

ASK_EVERY_S = 3.0
NO_RUN_S = 60.0  # a run is listed after a few seconds
LOG_BYTES = 64_000  # from the end of a job's log
LOG_LINES = 40
LINE_CHARS = 200
SUCCESSES = ("success", "neutral", "skipped")
FAILURES = ("failure", "startup_failure", "timed_out")

_STAMP = re.compile(r"^\ufeff?\d{4}-\d\d-\d\dT[\d:.]+Z ", re.M)
_COLOUR = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


@dataclass(frozen=True)
class Run:
    """The newest run of one workflow file for a commit."""

    id: int
    path: str
    status: str  # completed, or a word for not yet
    conclusion: str

    @classmethod
    def read(cls, body: Json) -> "Run":
        path = str(body.get("path") or "").partition("@")[0]
        return cls(int(body["id"]), path, str(body.get("status") or ""), str(body.get("conclusion") or ""))

    @property
    def pending(self) -> bool:
        return self.status != "completed"

    @property
    def succeeded(self) -> bool:
        return not self.pending and self.conclusion in SUCCESSES

    @property
    def failed(self) -> bool:
        return not self.pending and self.conclusion in FAILURES


@dataclass(frozen=True)
class CommitRuns:
    """The workflows that a commit holds, and the newest run of each that GitHub lists: path → run."""

    workflows: Sequence[Workflow] = ()
    runs: Mapping[str, Run] = field(default_factory=dict)

    @property
    def makers(self) -> list[Workflow]:
        """Those that make the site's pages."""
        return [workflow for workflow in self.workflows if workflow.publishes_pages]

    @property
    def published(self) -> bool:
        """Whether the pages were made."""
        return bool(self.makers) and all(w.path in self.runs and self.runs[w.path].succeeded for w in self.makers)

    @property
    def failed(self) -> Run | None:
        return next((run for run in self._own if run.failed), None)

    @property
    def pending(self) -> bool:
        awaited = any(w.starts_on_every_push and w.path not in self.runs for w in self.workflows)
        return awaited or any(run.pending for run in self._own)

    @property
    def _own(self) -> list[Run]:
        """Not those of GitHub itself, which builds pages by a run too."""
        return [self.runs[workflow.path] for workflow in self.workflows if workflow.path in self.runs]

    def fix(self, waited_s: float) -> BuildFix:
        """A run that was cancelled, or never began, needs a new commit; a queued or failed one is no better for it."""
        states = [self.runs.get(workflow.path) for workflow in self.makers]
        cancelled = any(run and run.conclusion in ("cancelled", "stale") for run in states)
        return "repeat" if cancelled or (None in states and waited_s >= NO_RUN_S) else "wait"


class Actions:
    """Asks GitHub about the commits that lie in `repositories`."""

    def __init__(self, api: GitHubApi, repositories: Repositories) -> None:
        self._api = api
        self._repositories = repositories
        self._asked: dict[str, tuple[float, dict[str, Run]]] = {}

    async def of(self, target: Target, sha: str) -> CommitRuns:
        """No request where there are no workflows; no runs where the token may not see them."""
        files = await asyncio.to_thread(self._repositories.files, target.repo, sha, under=WORKFLOWS)
        workflows = parsed(files)
        return CommitRuns(workflows, await self._runs(api_path(target.repo_url), sha)) if workflows else CommitRuns()

    async def _runs(self, where: str, sha: str) -> dict[str, Run]:
        asked_at, known = self._asked.get(sha, (0.0, {}))
        if self._api.clock() - asked_at < ASK_EVERY_S:
            return known
        listed = await self._listed(f"{where}/actions/runs?head_sha={sha}", "workflow_runs") or ()
        found = {run.path: run for run in map(Run.read, reversed(listed))}  # the newest stands first
        self._asked[sha] = (self._api.clock(), found)
        return found

    async def story(self, target: Target, run: Run) -> str:
        """What failed and the end of its log; to be fenced, for a log holds whatever a script printed."""
        where = api_path(target.repo_url)
        jobs = await self._listed(f"{where}/actions/runs/{run.id}/jobs", "jobs")
        failed = next((job for job in jobs or () if job.get("conclusion") in FAILURES), None)
        if jobs is not None and not jobs:
            return f"GitHub calls the workflow file {run.path} invalid: none of its jobs was begun."
        if failed is None:
            return f"The workflow {run.path} ended with {run.conclusion}."
        log = await self._api.tail(f"{where}/actions/jobs/{failed['id']}/logs", max_bytes=LOG_BYTES)
        step = next((step for step in failed.get("steps") or () if step.get("conclusion") in FAILURES), None)
        at = f", step {_word(step.get('name'))}" if step else ""
        head = f"The workflow {run.path} failed in job {_word(failed.get('name'))}{at}."
        shown = last_error(log.decode("utf-8", "replace"))
        return f"{head} The end of its log:\n{shown}" if shown else f"{head} Its log is not to be had."

    async def _listed(self, path: str, key: str) -> Sequence[Json] | None:
        """None where GitHub does not tell: what is published is published, whether its runs can be seen or not."""
        try:
            answer = await self._api.poll(path, also=(403, 404))
            return answer.object.get(key) or () if answer.status == 200 else None
        except PublishError as error:
            emit("actions.unseen", error=str(error))
            return None


def last_error(log: str) -> str:
    """The lines that lead to the last error: what a job does after it is tidying up."""
    lines = [line.rstrip() for line in _COLOUR.sub("", _STAMP.sub("", log)).splitlines()]
    errors = [at for at, line in enumerate(lines) if line.startswith("##[error]")]
    end = errors[-1] + 1 if errors else len(lines)
    return "\n".join(line[:LINE_CHARS] for line in lines[max(0, end - LOG_LINES) : end]).strip()


def _word(name: Any) -> str:
    return f'"{" ".join(str(name).split())[:80]}"'
