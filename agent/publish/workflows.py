"""GitHub workflow files, read within bounds: what starts them, what they run, whether they publish Pages.

Every scalar is read as text, so `on` is no boolean and no number can be too long to read. What is no text is never made
one: a few aliases can name more than any memory holds.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import islice
from typing import Any

import yaml

from agent.workspace import WORKFLOWS

MAX_FILES = 3  # of one site
MAX_BYTES = 20_000
MAX_JOBS = 20
MAX_STEPS = 50  # of one job
BRANCH = "main"
UPLOAD, DEPLOY, CHECKOUT = "actions/upload-pages-artifact", "actions/deploy-pages", "actions/checkout"
WHOLE_REPOSITORY = (".", "./", "${{ github.workspace }}", "${{github.workspace}}")


@dataclass(frozen=True)
class Workflow:
    """One workflow file; `document` is what YAML makes of it, whatever its shape."""

    path: str
    document: Mapping[str, Any]

    @property
    def events(self) -> Mapping[str, Any]:
        """What starts it → its filters."""
        on = self.document.get("on")
        if isinstance(on, str):
            return {on: None}
        if isinstance(on, list):
            return {event: None for event in on if isinstance(event, str)}
        return on if isinstance(on, dict) else {}

    @property
    def jobs(self) -> Mapping[str, Mapping[str, Any]]:
        jobs = self.document.get("jobs")
        found = jobs.items() if isinstance(jobs, dict) else ()
        return {name: job for name, job in islice(found, MAX_JOBS) if isinstance(job, dict)}

    @property
    def starts_on_push(self) -> bool:
        """Whether a push to `main` starts it, of some files at least."""
        if "push" not in self.events:
            return False
        filters = self.events["push"]
        if not isinstance(filters, dict):
            return True
        if "branches" in filters:
            return _chosen(_strings(filters["branches"]))
        if "branches-ignore" in filters:
            return not any(fnmatchcase(BRANCH, pattern) for pattern in _strings(filters["branches-ignore"]))
        return "tags" not in filters and "tags-ignore" not in filters

    @property
    def starts_on_every_push(self) -> bool:
        filters = self.events.get("push")
        limited = isinstance(filters, dict) and ("paths" in filters or "paths-ignore" in filters)
        return self.starts_on_push and not limited

    @property
    def publishes_pages(self) -> bool:
        return any(uses(step, UPLOAD) or uses(step, DEPLOY) for job in self.jobs.values() for step in steps(job))

    @property
    def publishes_everything(self) -> bool:
        """Whether what it publishes is the repository as it is, and perhaps more."""
        uploads = [step for job in self.jobs.values() for step in steps(job) if uses(step, UPLOAD)]
        inputs = [given if isinstance(given := step.get("with"), dict) else {} for step in uploads]
        return bool(uploads) and all(text(given, "path") in WHOLE_REPOSITORY for given in inputs)


def steps(job: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The steps of a job that are any."""
    listed = job.get("steps")
    return (step for step in islice(listed if isinstance(listed, list) else (), MAX_STEPS) if isinstance(step, dict))


def uses(step: Mapping[str, Any], action: str) -> bool:
    """Whether a step is this action, in whatever version."""
    return text(step, "uses").lower().partition("@")[0] == action


def text(mapping: Mapping[str, Any], key: str) -> str:
    """The text of a key; empty for anything else."""
    value = mapping.get(key)
    return value if isinstance(value, str) else ""


def is_workflow(path: str) -> bool:
    """Whether GitHub takes the file for a workflow."""
    name = path.removeprefix(WORKFLOWS)
    return name != path and "/" not in name and name.endswith((".yml", ".yaml"))


def parse(path: str, data: bytes) -> Workflow:
    """Raises ValueError whose text names the line."""
    if len(data) > MAX_BYTES:
        raise ValueError(f"{len(data)} bytes are more than {MAX_BYTES}")
    try:
        document = yaml.load(data, Loader=yaml.BaseLoader)  # noqa: S506 - makes strings, lists and mappings only
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise ValueError(f"{line}{error.problem or 'no YAML'}") from None
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(f"no YAML ({type(error).__name__})") from None
    if not isinstance(document, dict):
        raise ValueError("line 1: no mapping of keys such as `on` and `jobs`")
    return Workflow(path, document)


def parsed(files: Mapping[str, bytes]) -> tuple[Workflow, ...]:
    """The workflows among these files; one that cannot be read is empty."""
    return tuple(_parsed(path, files[path]) for path in islice(filter(is_workflow, sorted(files)), MAX_FILES))


def publish_pages(files: Mapping[str, bytes]) -> bool:
    """Whether a workflow among these files makes the site's pages."""
    return any(workflow.publishes_pages for workflow in parsed(files))


def _parsed(path: str, data: bytes) -> Workflow:
    try:
        return parse(path, data)
    except ValueError:
        return Workflow(path, {})


def _chosen(patterns: list[str]) -> bool:
    """The last pattern that fits decides; `!` takes away what an earlier one chose."""
    chosen = False
    for pattern in patterns:
        if fnmatchcase(BRANCH, pattern.removeprefix("!")):
            chosen = not pattern.startswith("!")
    return chosen


def _strings(value: Any) -> list[str]:
    return [item for item in (value if isinstance(value, list) else [value]) if isinstance(item, str)]
