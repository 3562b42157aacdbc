"""Save an .xlsx attachment as csv, exactly, by code: never retype data. The first sheet unless named.

The rules for dates, numbers and empty cells are those of `archives.csv_from_xlsx`.
"""

import asyncio

from agent.archives import csv_from_xlsx, formulas_without_value
from agent.errors import ToolError
from agent.records import Record
from agent.tools.toolbox import Desk, Outcome, attachment
from agent.workspace import MAX_DATA_BYTES


class Args(Record):
    name: str
    path: str
    sheet: str = ""


async def run(desk: Desk, args: Args) -> Outcome:
    data = attachment(desk, args.name)
    if not (args.name.lower().endswith((".xlsx", ".xlsm")) and args.path.lower().endswith(".csv")):
        raise ToolError(f"only .xlsx to .csv can be converted, not {args.name[:80]!r} to {args.path[:80]!r}")
    # in a thread: a large spreadsheet takes seconds, and other tasks share this loop
    csv = await asyncio.to_thread(csv_from_xlsx, data, args.sheet)
    hollow = await asyncio.to_thread(formulas_without_value, data)
    workspace = desk.workspace.write(args.path, csv, workflows=desk.workflows, max_bytes=MAX_DATA_BYTES)
    lines = csv.count(b"\n")
    note = f"; {hollow} formulas in the file have no stored value: their cells are empty" if hollow else ""
    return Outcome(f"wrote {args.path}, {len(csv)} bytes, {lines} lines{note}", workspace)
