"""GitHub workflow files: what GitHub would refuse, and what would publish no Pages."""

import re
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from agent.publish.workflows import (
    CHECKOUT,
    DEPLOY,
    MAX_FILES,
    MAX_STEPS,
    UPLOAD,
    Workflow,
    is_workflow,
    parse,
    steps,
    text,
    uses,
)
from agent.quoting import listing, quote
from agent.review.evidence import Faults
from agent.review.static.site import Site

KEYS = frozenset(("name", "run-name", "on", "permissions", "env", "defaults", "concurrency", "jobs"))
NEEDED = ("pages", "id-token")

# A file that a command is handed. What is written, downloaded or unpacked on the way is named a second time.
_RUNS_FILE = re.compile(
    r"(?:^|[\s;&|])(?:python3?|node|bash|sh)\s+(?:-u\s+)?([\w./-]+\.(?:py|js|mjs|cjs|sh))(?![\w./-])"
    r"|\bpip3?\s+install\s+(?:-\S+\s+){0,3}?-r\s+([\w./-]+)",
    re.M,
)


def workflows(site: Site) -> Faults:
    """Every workflow is one that GitHub runs, and the one that makes the pages can publish them."""
    found = []
    for path in islice(filter(is_workflow, site.workspace), MAX_FILES):
        try:
            found.append(parse(path, site.workspace[path]))
        except ValueError as error:
            yield f"{quote(path)}: {quote(str(error), 160)}"
    for workflow in found:
        yield from (f"{quote(workflow.path)}: {fault}" for fault in _faults(workflow, site))
    publishing = [workflow.path for workflow in found if workflow.publishes_pages]
    if len(publishing) > 1:
        yield f"{listing(publishing)} publish Pages, each over the other: let one do it"


def _faults(workflow: Workflow, site: Site) -> Iterator[str]:
    unknown = [key for key in workflow.document if key not in KEYS]
    if unknown:
        yield f"GitHub knows no key {listing(unknown)} there: the keys are {', '.join(sorted(KEYS))}"
    if not workflow.events:
        yield "it has no `on`: name what starts it, such as `on: push`"
    elif not workflow.starts_on_push and workflow.publishes_pages:
        yield "a push to `main` does not start it: let `on` hold push, with the branch main if any"
    if not workflow.jobs:
        yield "it has no `jobs`"
    for name, job in workflow.jobs.items():
        yield from (f"jobs.{quote(name)} {fault}" for fault in _job_faults(job, site))
    if workflow.publishes_pages:
        yield from _pages_faults(workflow)


def _job_faults(job: Mapping[str, Any], site: Site) -> Iterator[str]:
    if "uses" in job:
        return  # another workflow is its steps
    if not job.get("runs-on"):
        yield "has no `runs-on`: ubuntu-latest will do"
    listed = job.get("steps")
    if not isinstance(listed, list) or not listed:
        yield "has no list of `steps`"
        return
    for number, step in enumerate(listed[:MAX_STEPS], 1):
        if not isinstance(step, dict) or ("run" in step) == ("uses" in step):
            yield f"step {number} must have either `uses` or `run`"
    yield from _file_faults(job, site)


def _file_faults(job: Mapping[str, Any], site: Site) -> Iterator[str]:
    """A script that a step runs is in the repository, and the repository is there."""
    commands = "\n".join(text(step, "run") for step in steps(job))
    elsewhere = "defaults" in job or any("working-directory" in step for step in steps(job))
    if elsewhere or re.search(r"^\s*cd\s", commands, re.M):
        return
    named = {(one or other).removeprefix("./") for one, other in _RUNS_FILE.findall(commands)}
    lost = [name for name in sorted(named) if name not in site.workspace and commands.count(name) == 1]
    there = [name for name in sorted(named) if name in site.workspace]
    if lost:
        yield f"runs {listing(lost)}, which is no file of the site"
    if there and not any(uses(step, CHECKOUT) for step in steps(job)):
        yield f"runs {listing(there)} without a step `uses: {CHECKOUT}@v4` before it"


def _pages_faults(workflow: Workflow) -> Iterator[str]:
    jobs = workflow.jobs
    if not any(uses(step, UPLOAD) for job in jobs.values() for step in steps(job)):
        yield f"it deploys Pages, but no step `uses: {UPLOAD}@v3` hands over a folder"
    deploying = {name: job for name, job in jobs.items() if any(uses(step, DEPLOY) for step in steps(job))}
    if not deploying:
        yield f"it uploads pages, but no step `uses: {DEPLOY}@v4` publishes them"
    for name, job in deploying.items():
        if "environment" not in job:
            yield f"jobs.{quote(name)} deploys Pages without `environment: github-pages`, which GitHub refuses"
        granted = job.get("permissions", workflow.document.get("permissions"))
        lacking = [key for key in NEEDED if not _may_write(granted, key)]
        if lacking:
            wanted = " and ".join(f"`{key}: write`" for key in lacking)
            yield f"jobs.{quote(name)} deploys Pages without the permissions it needs: add {wanted} to `permissions`"


def _may_write(granted: Any, key: str) -> bool:
    return granted == "write-all" or (isinstance(granted, dict) and granted.get(key) == "write")
