"""GET an https address on a host that brief or checks name; `path` saves the bytes exactly, to be read or published."""

import asyncio
from urllib.parse import urlsplit

from agent.errors import ToolError
from agent.files.base import Window
from agent.files.previews import preview
from agent.files.tables import list_rows, lists_in
from agent.files.texts import csv_text
from agent.files.trees import json_tree
from agent.records import Fetched, Record
from agent.tools.registry import SHOWN_CHARS, ToolContext, ToolOutcome
from agent.workspace import MAX_DATA_BYTES

MAX_FETCHES = 24  # a task, refused and failed ones too
MAX_FETCHED_BYTES = 40_000_000  # a task
HEAD_CHARS, MAX_ROWS = 1_500, 500  # of JSON: the document, then rows of its longest list
MAX_LISTED_CELLS = 200_000
WHAT_ELSE = (
    "Try once more or another address of the same host. If it stays so, do not invent the data: "
    "let the page load it when it is opened, and say in the page and in README.md what is missing."
)


class Args(Record):
    url: str
    path: str = ""


async def run(context: ToolContext, args: Args) -> ToolOutcome:
    if context.fetch is None:
        raise ToolError("nothing may be fetched: neither brief nor checks name a host")
    _check_limits(context.fetched)
    if args.path:  # a path that is refused costs no fetch
        context.workspace.write(args.path, b"", workflows=context.workflows)
    fetched, data = await context.fetch(args.url)
    if fetched.error:
        return ToolOutcome(f"fetch failed: {fetched.error}. {WHAT_ELSE}", fetched=fetched)
    name = args.path or urlsplit(args.url).path.rpartition("/")[2] or "answer"
    shown = await asyncio.to_thread(_shown, name, data)
    if not args.path:
        return ToolOutcome(shown, fetched=fetched)
    workspace = context.workspace.write(args.path, data, workflows=context.workflows, max_bytes=MAX_DATA_BYTES)
    saved = fetched.model_copy(update={"path": args.path})
    return ToolOutcome(f"saved {args.path}, {len(data)} bytes\n{shown}", workspace, fetched=saved)


def _shown(name: str, data: bytes) -> str:
    """A first look; of larger JSON also the rows of its longest list, for those are what was asked for."""
    rows = _longest_list(data) if len(data) > SHOWN_CHARS / 4 else None
    if rows is None:
        return preview(name, data, max_chars=SHOWN_CHARS - 100)
    path, table = rows
    listed = preview(f"{path}.csv", table, max_chars=SHOWN_CHARS - HEAD_CHARS - 200, window=Window(count=MAX_ROWS))
    return f"{preview(name, data, max_chars=HEAD_CHARS)}\nIts longest list, here as csv:\n{listed}"


def _longest_list(data: bytes) -> tuple[str, bytes] | None:
    """Its path, and its objects as csv."""
    try:
        document = json_tree(data.decode())
    except (UnicodeDecodeError, ToolError):
        return None
    lists = list(lists_in(document)) if isinstance(document, dict | list) else []
    path, items = max(lists, key=lambda found: len(found[1]), default=("", []))
    rows = list_rows(items)
    width = len(next(rows)) if any(isinstance(item, dict) for item in items) else 0
    if not 0 < width * len(items) <= MAX_LISTED_CELLS:
        return None
    return path or "items", csv_text(list_rows(items), width).encode("utf-8", "replace")


def _check_limits(fetched: tuple[Fetched, ...]) -> None:
    size_bytes = sum(one.size_bytes for one in fetched)
    if len(fetched) >= MAX_FETCHES or size_bytes >= MAX_FETCHED_BYTES:
        raise ToolError(f"{len(fetched)} fetches of {size_bytes:,} bytes are all a task may make: use what is there")
