"""GitHub Actions on loopback: runs begin at a push and end as they are told to, nothing is executed."""

import time
from collections.abc import Sequence
from typing import Any, Protocol

from starlette.requests import Request
from starlette.responses import Response

from agent.records import Json
from agent.testing.github.repositories import Repositories
from agent.testing.github.state import Call, Repo, Run, Switches
from agent.testing.github.workflows import workflows

NO_PAGES = "##[error]Get Pages site failed. Please verify that the repository has Pages enabled for GitHub Actions."
TIDY = "Post job cleanup.\nCleaning up orphan processes"
STAMP = "2026-01-01T00:00:00.0000000Z "


class Host(Protocol):
    """What runs need of the GitHub they belong to."""

    switches: Switches
    seen: list[Call]
    repositories: Repositories
    base_url: str

    def find(self, owner: str, name: str) -> Repo | None: ...

    def git(self, repo: Repo) -> str: ...


class Actions:
    """The runs of all repositories; a method that begins with an HTTP verb answers a REST call."""

    def __init__(self, github: Host) -> None:
        self._github = github

    def start(self, repo: Repo) -> None:
        """What a push to the head begins."""
        github = self._github
        head = github.repositories.head(github.git(repo))
        if head is None:
            return
        for workflow in workflows(github.repositories.files(github.git(repo), head)):
            ending = github.switches.runs.pop(0) if github.switches.runs else "success"
            if ending == "never" or (workflow.valid and not workflow.starts_on_push):
                continue
            if not workflow.valid or (workflow.publishes and repo.pages != "workflow"):
                ending = "failure"
            number, at = 1_000 * repo.number + len(repo.runs), time.monotonic()
            repo.runs.append(Run(number, workflow.path, head, ending, at, workflow.publishes, workflow.valid))

    def published(self, repo: Repo) -> Run | None:
        """The newest run whose pages are served."""
        done = [
            run for run in repo.runs if run.publishes and run.ending == "success" and self._status(run) == "completed"
        ]
        return done[-1] if done else None

    def get_runs(self, query: Json, owner: str, name: str) -> tuple[int, Any]:
        repo = self._github.find(owner, name)
        if repo is None:
            return 404, {"message": "Not Found"}
        found = [run for run in reversed(repo.runs) if query.get("head_sha") in (None, run.commit)]
        listed = [self._described(run) for run in found]
        if repo.pages == "legacy" and repo.builds:  # GitHub builds pages by a run of its own
            listed.insert(0, {**OWN_RUN, "head_sha": query.get("head_sha", "")})
        return 200, {"total_count": len(listed), "workflow_runs": listed}

    def get_jobs(self, _query: Json, owner: str, name: str, run: str) -> tuple[int, Any]:
        found = self._run(owner, name, int(run))
        if found is None:
            return 404, {"message": "Not Found"}
        jobs = [self._job(found)] if found.valid else []
        return 200, {"total_count": len(jobs), "jobs": jobs}

    def get_logs(self, _query: Json, owner: str, name: str, job: str) -> tuple[int, Any]:
        """Leads away to where logs lie, as GitHub does."""
        if self._run(owner, name, int(job)) is None:
            return 404, {"message": "Not Found"}
        elsewhere = self._github.base_url.replace("127.0.0.1", "localhost")
        return 302, f"{elsewhere}/logs/{owner}/{name}/{job}?signature=canary"

    async def log(self, request: Request) -> Response:
        """A store of files that wants no token: one that is sent is a leak."""
        github, path = self._github, request.path_params
        leaked = "authorization" in request.headers
        github.seen.append(Call("logs", request.method, request.url.path, None, 400 if leaked else 200, None))
        run = self._run(path["owner"], path["name"], int(path["job"]))
        if leaked or run is None:
            return Response("no", 400)
        repo = github.find(path["owner"], path["name"])
        may_publish = repo is not None and repo.pages == "workflow"
        said = github.switches.log if may_publish or not run.publishes else NO_PAGES
        lines = [*said.splitlines(), "##[error]Process completed with exit code 1.", *TIDY.splitlines()]
        return Response("\n".join(f"{STAMP}{line}" for line in lines), media_type="text/plain")

    def _run(self, owner: str, name: str, number: int) -> Run | None:
        repo = self._github.find(owner, name)
        return next((run for run in (repo.runs if repo else ()) if run.number == number), None)

    def _status(self, run: Run) -> str:
        return run.status(self._github.switches.run_s)

    def _conclusion(self, run: Run) -> str | None:
        return run.ending if self._status(run) == "completed" else None

    def _described(self, run: Run) -> Json:
        return {
            "id": run.number,
            "name": "ci" if run.valid else run.path,
            "path": run.path,
            "head_branch": "main",
            "head_sha": run.commit,
            "event": "push",
            "run_attempt": 1,
            "status": self._status(run),
            "conclusion": self._conclusion(run),
        }

    def _job(self, run: Run) -> Json:
        steps: Sequence[tuple[str, str | None]] = (
            ("Set up job", "success"),
            ("Run the commands", self._conclusion(run)),
            ("Complete job", "success"),
        )
        return {
            "id": run.number,
            "run_id": run.number,
            "name": "build",
            "status": self._status(run),
            "conclusion": self._conclusion(run),
            "steps": [
                {"name": name, "status": "completed", "conclusion": ending, "number": number}
                for number, (name, ending) in enumerate(steps, 1)
            ],
        }


OWN_RUN: Json = {
    "id": 1,
    "name": "pages build and deployment",
    "path": "dynamic/pages/pages-build-deployment",
    "event": "dynamic",
    "status": "completed",
    "conclusion": "failure",
}
