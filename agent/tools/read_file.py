"""Show lines of a site file exactly, from `start` on."""

import asyncio

from pydantic import Field

from agent.files.base import Window
from agent.files.previews import excerpt
from agent.records import Record
from agent.tools.registry import SHOWN_CHARS, Desk, Outcome, existing


class Args(Record):
    path: str
    start: int = Field(1, ge=1)
    count: int = Field(0, ge=0)


async def run(desk: Desk, args: Args) -> Outcome:
    path = existing(desk, args.path)
    window = Window(start=args.start, count=args.count)
    # in a thread: a file that is no text may be a large spreadsheet or a PDF, and other tasks share this loop
    return Outcome(await asyncio.to_thread(excerpt, path, desk.workspace[path], max_chars=SHOWN_CHARS, window=window))
