"""GET an https address on a host that brief or checks name; `path` saves the bytes exactly."""

import asyncio
from urllib.parse import urlsplit

from agent.errors import ToolError
from agent.previews import preview
from agent.records import Record
from agent.tools.toolbox import SHOWN_CHARS, Desk, Outcome
from agent.workspace import MAX_DATA_BYTES


class Args(Record):
    url: str
    path: str = ""


async def run(desk: Desk, args: Args) -> Outcome:
    if desk.fetch is None:
        raise ToolError("nothing may be fetched: neither brief nor checks name a host")
    data = await desk.fetch(args.url)
    name = args.path or urlsplit(args.url).path.rpartition("/")[2] or "answer"
    shown = await asyncio.to_thread(preview, name, data, max_chars=SHOWN_CHARS - 100)
    if not args.path:
        return Outcome(shown)
    workspace = desk.workspace.write(args.path, data, workflows=desk.workflows, max_bytes=MAX_DATA_BYTES)
    return Outcome(f"saved {args.path}, {len(data)} bytes\n{shown}", workspace)
