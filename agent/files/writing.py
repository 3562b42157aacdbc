"""What conversions write: csv and JSON tables, the same bytes every time, within bounds."""

import io
from collections.abc import Iterable, Sequence
from itertools import chain, zip_longest

from agent.errors import ToolError
from agent.files.texts import csv_text
from agent.files.trees import json_text

MAX_CELLS = 2_000_000
MAX_OUTPUT_BYTES = 20_000_000


def csv_bytes(rows: Sequence[Sequence[str]]) -> bytes:
    """Every row as wide as the widest, each break inside a cell a single LF."""
    width = max(map(len, rows), default=0)
    if width * len(rows) > MAX_CELLS:
        raise too_large()
    return encoded([csv_text(([*map(_one_break, row)] for row in rows), width)])


def json_table(keys: Sequence[str], rows: Iterable[Iterable[str]]) -> bytes:
    """A list of objects, a row a line; the cells are JSON."""
    heads = [f"{json_text(key)}: " for key in keys]
    lines = ("  {" + ", ".join(map("".join, zip_longest(heads, row, fillvalue="null"))) + "}" for row in rows)
    first = next(lines, None)
    if first is None:
        return b"[]\n"
    return encoded(chain(["[\n", first], (f",\n{line}" for line in lines), ["\n]\n"]))


def encoded(parts: Iterable[str]) -> bytes:
    """As UTF-8; half of a character, which JSON can hold, becomes `?`."""
    written = io.BytesIO()
    for part in parts:
        written.write(part.encode("utf-8", "replace"))
        if written.tell() > MAX_OUTPUT_BYTES:
            raise too_large()
    return written.getvalue()


def too_large() -> ToolError:
    return ToolError(f"the table is too large: the limits are {MAX_CELLS:,} cells and {MAX_OUTPUT_BYTES:,} bytes")


def _one_break(cell: str) -> str:
    return cell.replace("\r\n", "\n").replace("\r", "\n")  # a lone CR would be written without quotes
