"""What the tools of a turn may reach beyond the workspace: guarded addresses, and the sandbox."""

import asyncio
from collections.abc import Awaitable, Callable

import httpx

from agent import net
from agent.errors import Blocked, NoSandbox, ToolError
from agent.net import hosts_in
from agent.records import Fetched, Json, Task
from agent.sandbox.sandbox import Run, Sandbox, Script
from agent.store import Store
from agent.tools import registry
from agent.workspace import MAX_DATA_BYTES, sha256

MAX_URL_CHARS = 2_000  # of an address, as far as the record tells it


async def schemas(sandbox: Sandbox) -> list[Json]:
    """The tools that work here: the same for the life of the process, so that every request begins alike."""
    try:
        await sandbox.start()
    except NoSandbox:
        return registry.schemas(without=("run_python",))
    return registry.schemas()


def fetcher(
    task: Task, http: httpx.AsyncClient, store: Store, clock: Callable[[], float]
) -> Callable[[str], Awaitable[tuple[Fetched, bytes]]] | None:
    """Reaches the hosts that brief or checks name: what an attachment or the model names opens nothing."""
    hosts = hosts_in(" ".join([task.brief, *(check.text for check in task.checks)]))

    async def fetch(url: str) -> tuple[Fetched, bytes]:
        asked = Fetched(url=url[:MAX_URL_CHARS], at=clock())
        try:
            found = await net.get(http, url, max_bytes=MAX_DATA_BYTES, allowed_hosts=hosts)
        except (Blocked, httpx.HTTPError) as error:
            status = error.response.status_code if isinstance(error, httpx.HTTPStatusError) else None
            return asked.model_copy(update={"status": status, "error": net.trouble(error)}), b""
        await asyncio.to_thread(store.put_blobs, [found.body])
        served = {"status": found.status, "size_bytes": len(found.body), "sha256": sha256(found.body)}
        return asked.model_copy(update=served), found.body

    return fetch if hosts else None


def script_runner(sandbox: Sandbox, left_s: Callable[[], float]) -> Callable[[Script], Awaitable[Run]]:
    """Runs scripts as long as there is time for them. `left_s`: how long the task may still be worked on."""

    async def run_script(script: Script) -> Run:
        if (timeout_s := left_s()) <= 0:
            raise ToolError("there is no time left to run anything")
        try:
            return await sandbox.run(script, timeout_s=timeout_s)
        except NoSandbox as error:
            raise ToolError(str(error)) from error

    return run_script
