"""Show lines of a site file exactly, from `start` on."""

import asyncio

from pydantic import Field

from agent.files.base import Window
from agent.files.previews import excerpt
from agent.records import Record
from agent.tools.registry import SHOWN_CHARS, ToolContext, ToolOutcome, existing


class Args(Record):
    path: str
    start: int = Field(1, ge=1)
    count: int = Field(0, ge=0)


async def run(context: ToolContext, args: Args) -> ToolOutcome:
    path = existing(context, args.path)
    window = Window(start=args.start, count=args.count)
    # in a thread: a file that is no text may be a large spreadsheet or a PDF, and other tasks share this loop
    return ToolOutcome(
        await asyncio.to_thread(excerpt, path, context.workspace[path], max_chars=SHOWN_CHARS, window=window)
    )
