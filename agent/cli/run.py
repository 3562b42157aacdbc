"""Builds one task in this process, without a service: the site and the call back stay on this machine."""

import time
from pathlib import Path

from rich.console import Console

from agent.cli import client, probe, show
from agent.cli.demo.harness import demo_harness
from agent.settings import Settings


async def run(file: Path, settings: Settings, data_dir: Path | None, console: Console) -> bool:
    """Whether the task passed. Raises AgentError."""
    task = client.read_task(file) | {"nonce": client.new_nonce()}
    folder = data_dir or settings.data_dir / "run"
    probe.copy_profiles(settings, folder)
    async with demo_harness(console, folder, port=0, model={}) as harness:
        status, _ = await harness.deliver(task, "task")
    console.print(show.record(status, now=time.time()))
    if status.publication:
        name = status.publication.repo_url.rpartition("/")[2]
        site = folder / "repositories" / name
        console.print(
            f"Nothing is served any more. To look at the site: git clone {site}", soft_wrap=True, markup=False
        )
    return status.passed
