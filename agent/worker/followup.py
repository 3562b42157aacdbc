"""After the notification: screenshots for people, and a last look at a site that was not live by then."""

import asyncio
from contextlib import suppress

from agent.errors import PublishError
from agent.events import emit
from agent.publish.publisher import Target
from agent.publish.workflows import publish_pages
from agent.review.review import Subject
from agent.worker.parts import Parts
from agent.workspace import Workspace, sha256


async def take_screenshots(parts: Parts, task_id: str) -> None:
    """Keeps screenshots of the published page with the task, and what axe advises on it in place of earlier advice."""
    view = await asyncio.to_thread(parts.store.view, task_id)
    if view.publication is None:
        return
    files = await asyncio.to_thread(parts.repositories.files, view.task.repo, view.publication.commit_sha)
    seen = await parts.reviewer.looks(Subject(view.task, Workspace().put(files), {}))
    await asyncio.to_thread(parts.store.put_blobs, seen.pictures.values())
    details = view.details | {"screenshots": {name: sha256(shot) for name, shot in seen.pictures.items()}}
    findings = list(view.findings)
    if seen.accessibility:
        same = (seen.accessibility.id, seen.accessibility.origin)
        findings = [*(f for f in findings if (f.id, f.origin) != same), seen.accessibility]
    await asyncio.to_thread(parts.store.update, task_id, details=details, findings=tuple(findings))


async def is_live_by_now(parts: Parts, task_id: str, *, first: bool) -> bool:
    """Looks once, and records a site that has become live. The `first` look asks for a build; nothing is pushed."""
    view = await asyncio.to_thread(parts.store.view, task_id)
    seen = view.publication
    if seen is None or seen.live:
        return True
    files = await asyncio.to_thread(parts.repositories.files, view.task.repo, seen.commit_sha)
    target = Target(
        repo=view.task.repo,
        repo_url=seen.repo_url,
        pages_url=seen.pages_url,
        published=True,
        by_workflow=publish_pages(files),
    )
    live: bool = await parts.publisher.is_live(target, seen.commit_sha)
    if live:
        await asyncio.to_thread(parts.store.update, task_id, publication=seen.model_copy(update={"live": True}))
        emit("task.live", commit_sha=seen.commit_sha)
    elif first and not target.by_workflow and parts.publisher.builds:
        with suppress(PublishError):  # it was a help, not a promise
            await parts.publisher.builds.rebuild(target)
    return live
