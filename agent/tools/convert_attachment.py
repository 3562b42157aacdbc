"""Save an attachment (`part`: sheet, zip member, JSON path) as csv, json, txt or image, exactly, by code: never retype
data. `{sheet}` in path: one file a sheet. `header`: row of column names.

`header` is the number of the line or row, 0 where no row names the columns; -1: the one that is found. Which format
becomes which, and the rules for dates, numbers and empty cells, stand in `agent.files.conversions`.
"""

import asyncio

from pydantic import Field

from agent.files.base import ConversionOptions
from agent.files.conversions import convert
from agent.files.previews import preview
from agent.records import Record
from agent.tools.registry import ToolContext, ToolOutcome, attachment
from agent.workspace import MAX_DATA_BYTES

SHOWN_RESULT_CHARS = 700


class Args(Record):
    name: str
    path: str
    part: str = ""
    width: int = Field(0, ge=0)
    header: int = Field(-1, ge=-1)


async def run(context: ToolContext, args: Args) -> ToolOutcome:
    data = attachment(context, args.name)
    options = ConversionOptions(part=args.part, width=args.width, header=None if args.header < 0 else args.header)
    # in a thread: a large spreadsheet takes seconds, and other tasks share this loop
    converted = await asyncio.to_thread(convert, args.name, data, args.path, options)
    workspace = context.workspace
    for path, made in converted.files.items():
        workspace = workspace.write(path, made, workflows=context.workflows, max_bytes=MAX_DATA_BYTES)
    wrote = ", ".join(f"{path} ({len(made):,} bytes)" for path, made in converted.files.items())
    first, made = next(iter(converted.files.items()))
    shown = await asyncio.to_thread(preview, first, made, max_chars=SHOWN_RESULT_CHARS)
    return ToolOutcome("\n".join(filter(None, [f"wrote {wrote}", converted.note, shown])), workspace)
