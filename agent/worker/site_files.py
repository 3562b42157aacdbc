"""The parts of a site that code writes, never a model: licence, attachments, and pages of last resort."""

import time
from collections.abc import Collection, Mapping, Sequence

from agent.prompts import Prompts
from agent.records import Task
from agent.review.static.secrets import scrubbed
from agent.workspace import Workspace, is_published

README = "README.md"
HOLDER = "The authors of this site"


def foundation(
    task: Task, attachments: Mapping[str, bytes], site: Mapping[str, bytes], templates: Prompts
) -> Workspace:
    """Where the model starts: the site of the round before, the licence, and the attachments under their names."""
    return Workspace().put({**site, **_engine_files(task, templates), **_published(attachments)})


def finished(
    task: Task,
    attachments: Mapping[str, bytes],
    workspace: Workspace,
    *,
    pages_url: str,
    reason: str,
    templates: Prompts,
    secrets: Sequence[str],
    refused: Collection[str] = (),
) -> Workspace:
    """What is committed: every attachment, no secret whatever a model wrote, an honest page if it left none.

    `refused`: paths that the host does not take.
    """
    lost = {name: data for name, data in _published(attachments).items() if name not in workspace}
    workspace = workspace.put({**lost, **_engine_files(task, templates)})
    intact = frozenset(name for name, data in attachments.items() if workspace.get(name) == data)
    workspace = scrubbed(workspace, secrets, trusted=intact).drop(*refused)
    if "index.html" not in workspace:
        page = templates.render("site/index.html.j2", task_name=task.task, reason=reason, files=list(workspace))
        workspace = workspace.put({"index.html": page.encode()})
    if "README.md" not in workspace:
        line = " ".join(task.brief.split())[:300]
        readme = templates.render(
            "site/README.md.j2", task_name=task.task, brief_line=line, pages_url=pages_url, files=list(workspace)
        )
        workspace = workspace.put({"README.md": readme.encode()})
    return workspace


def with_footer(workspace: Workspace, templates: Prompts, pages_url: str, repo_url: str) -> Workspace:
    """README.md with the site's address, set-up and licence, as soon as there is one that lacks the address."""
    readme = workspace.get(README, b"")
    if not readme.strip() or pages_url.encode() in readme:
        return workspace
    footer = templates.render("site/README-footer.md.j2", pages_url=pages_url, repo_url=repo_url)
    return workspace.put({README: readme.rstrip() + b"\n\n" + footer.encode()})


def _engine_files(task: Task, templates: Prompts) -> dict[str, bytes]:
    year = time.gmtime(task.received_at).tm_year
    return {"LICENSE": templates.render("site/LICENSE.j2", year=year, holder=HOLDER).encode(), ".nojekyll": b""}


def _published(attachments: Mapping[str, bytes]) -> dict[str, bytes]:
    return {name: data for name, data in attachments.items() if is_published(name)}
