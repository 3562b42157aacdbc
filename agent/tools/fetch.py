"""GET an https address on a host that brief or checks name; `path` saves the bytes exactly. Never type such data."""

import asyncio
from urllib.parse import urlsplit

from agent.errors import ToolError
from agent.previews import preview
from agent.records import Fetched, Record
from agent.tools.toolbox import SHOWN_CHARS, Desk, Outcome
from agent.workspace import MAX_DATA_BYTES

MAX_FETCHES = 24  # a task, refused and failed ones too
MAX_FETCHED_BYTES = 40_000_000  # a task
WHAT_ELSE = (
    "Try once more or another address of the same host. If it stays so, do not invent the data: "
    "let the page load it when it is opened, and say in the page and in README.md what is missing."
)


class Args(Record):
    url: str
    path: str = ""


async def run(desk: Desk, args: Args) -> Outcome:
    if desk.fetch is None:
        raise ToolError("nothing may be fetched: neither brief nor checks name a host")
    _check_limits(desk.fetched)
    if args.path:  # a path that is refused costs no fetch
        desk.workspace.write(args.path, b"", workflows=desk.workflows)
    fetched, data = await desk.fetch(args.url)
    if fetched.error:
        return Outcome(f"fetch failed: {fetched.error}. {WHAT_ELSE}", fetched=fetched)
    name = args.path or urlsplit(args.url).path.rpartition("/")[2] or "answer"
    shown = await asyncio.to_thread(preview, name, data, max_chars=SHOWN_CHARS - 100)
    if not args.path:
        return Outcome(shown, fetched=fetched)
    workspace = desk.workspace.write(args.path, data, workflows=desk.workflows, max_bytes=MAX_DATA_BYTES)
    saved = fetched.model_copy(update={"path": args.path})
    return Outcome(f"saved {args.path}, {len(data)} bytes\n{shown}", workspace, fetched=saved)


def _check_limits(fetched: tuple[Fetched, ...]) -> None:
    size_bytes = sum(one.size_bytes for one in fetched)
    if len(fetched) >= MAX_FETCHES or size_bytes >= MAX_FETCHED_BYTES:
        raise ToolError(f"{len(fetched)} fetches of {size_bytes:,} bytes are all a task may make: use what is there")
