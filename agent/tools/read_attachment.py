"""Show what an attachment or fetched file is: first rows, lines or items. `part`: sheet, zip member, JSON path."""

import asyncio

from pydantic import Field

from agent.files.base import Window
from agent.files.previews import preview
from agent.records import Record
from agent.tools.registry import SHOWN_CHARS, ToolContext, ToolOutcome, attachment


class Args(Record):
    name: str
    part: str = ""
    start: int = Field(1, ge=1)
    count: int = Field(0, ge=0)


async def run(context: ToolContext, args: Args) -> ToolOutcome:
    data = attachment(context, args.name)
    window = Window(part=args.part, start=args.start, count=args.count)
    # in a thread: a large spreadsheet takes seconds, and other tasks share this loop
    return ToolOutcome(await asyncio.to_thread(preview, args.name, data, max_chars=SHOWN_CHARS, window=window))
