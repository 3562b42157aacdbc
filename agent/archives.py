"""Zip archives, and the spreadsheets that are ones: opened within bounds, whatever their bytes are.

The bounds count things, not seconds, so that the same bytes give the same answer on every machine and in every replay.
The only module that knows openpyxl, which it imports on first use.
"""

import csv
import io
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, time, timedelta
from typing import Any

from agent.errors import ToolError

ZIP_MAGIC = b"PK\x03\x04"
MAX_ENTRIES = 10_000
MAX_MEMBER_BYTES = 20_000_000  # unpacked
MAX_XLSX_BYTES = 100_000_000  # all parts, unpacked
MAX_XLSX_TAGS = 4_000_000  # of cells and strings: at worst some 12 s and 400 MB
MAX_XLSX_MARKUP_BYTES = 4_000_000  # styles and the like, each tag of which becomes an object
MAX_CELLS = 2_000_000
MAX_CSV_CHARS = 20_000_000

_FORMULA_WITHOUT_VALUE = re.compile(rb"(?:</f>|<f\b[^<>]{0,200}/>)(?:<v ?/>|<v></v>)?</c>")


def csv_from_xlsx(data: bytes, sheet: str = "") -> bytes:
    r"""One sheet (the first unless named) as UTF-8 csv with `\n` ends: the same bytes every time. Raises ToolError.

    Rows, columns and their order are the sheet's; empty rows and columns at its end are left out. Cells: a date
    2024-01-31, with a time of day 2024-01-31T10:30:00, a time 10:30:00, a duration 26:00:00; a whole number without
    `.0`, any other number by the shortest digits that give it back; TRUE or FALSE; text as it is, its line breaks `\n`;
    empty for empty; a formula by its stored value. Quotes only where csv needs them.
    """
    with workbook(data) as book:
        rows = list(sheet_rows(book, sheet))
    width = max(map(len, rows), default=0)
    if width * len(rows) > MAX_CELLS or sum(len(cell) for row in rows for cell in row) > MAX_CSV_CHARS:
        raise ToolError(f"the sheet is too large: the limits are {MAX_CELLS:,} cells and {MAX_CSV_CHARS:,} characters")
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([*row, *[""] * (width - len(row))] for row in rows)
    return text.getvalue().encode()


@contextmanager
def workbook(data: bytes) -> Iterator[Any]:
    """The workbook, for reading values. Any fault while it is open becomes a ToolError."""
    if not data.startswith(ZIP_MAGIC):
        raise ToolError("this is no .xlsx spreadsheet")
    _refuse_bombs(data)
    import openpyxl

    with _damage_reported("spreadsheet"):
        yield openpyxl.load_workbook(io.BytesIO(data), read_only=True, data_only=True, keep_links=False)


def sheet_rows(book: Any, name: str = "") -> Iterator[list[str]]:
    """Rows as `csv_from_xlsx` writes them, without empty cells at their end, up to the last that holds something."""
    titles = [sheet.title for sheet in book.worksheets]
    if not titles:
        raise ToolError("the spreadsheet has no sheet of cells")
    if name and name not in titles:
        raise ToolError(f"there is no sheet {name!r}; there are: {', '.join(repr(t[:40]) for t in titles[:10])}")
    sheet = book.worksheets[titles.index(name) if name else 0]
    sheet.reset_dimensions()  # what a file says of its size may be a lie
    walked = blank = 0
    for values in sheet.iter_rows(values_only=True):
        walked += max(1, len(values))
        if walked > MAX_CELLS:
            raise ToolError(f"the sheet has more than {MAX_CELLS:,} cells, which is the limit")
        row = [_cell(value) for value in values]
        while row and not row[-1]:
            row.pop()
        if not row:
            blank += 1
            continue
        yield from ([] for _ in range(blank))
        blank = 0
        yield row


def formulas_without_value(data: bytes) -> int:
    """How many cells read as empty because no program has stored the result of their formula."""
    with open_zip(data) as archive:
        sheets = [name for name in archive.namelist() if name.startswith("xl/worksheets/")]
        return sum(len(_FORMULA_WITHOUT_VALUE.findall(archive.read(name))) for name in sheets)


@contextmanager
def open_zip(data: bytes) -> Iterator[zipfile.ZipFile]:
    """The archive, for reading. Any fault while it is open becomes a ToolError."""
    if data.count(b"PK\x01\x02") > MAX_ENTRIES:
        raise ToolError(f"the archive has more than {MAX_ENTRIES:,} entries, which is the limit")
    with _damage_reported("archive"), zipfile.ZipFile(io.BytesIO(data)) as archive:
        yield archive


def read_member(archive: zipfile.ZipFile, name: str) -> bytes:
    if name not in archive.namelist():
        raise ToolError(f"there is no {name!r} in the archive: list its entries first")
    with archive.open(name) as file:
        data = file.read(MAX_MEMBER_BYTES + 1)
    if len(data) > MAX_MEMBER_BYTES:
        raise ToolError(f"{name!r} unpacks to more than {MAX_MEMBER_BYTES:,} bytes, which is the limit")
    return data


@contextmanager
def _damage_reported(kind: str) -> Iterator[None]:
    try:
        yield
    except ToolError:
        raise
    except Exception as error:  # on hostile bytes zipfile and openpyxl raise whatever they stumble over
        raise ToolError(f"the {kind} is damaged or of an unknown make ({type(error).__name__})") from error


def _refuse_bombs(data: bytes) -> None:
    with open_zip(data) as archive:
        parts = archive.infolist()
        unpacked = sum(part.file_size for part in parts)
        if unpacked > MAX_XLSX_BYTES:
            raise ToolError(f"the spreadsheet unpacks to {unpacked:,} bytes; the limit is {MAX_XLSX_BYTES:,}")
        cells = [part for part in parts if _holds_cells(part.filename)]
        markup = sum(p.file_size for p in parts if p.filename.endswith((".xml", ".rels")) and p not in cells)
        if markup > MAX_XLSX_MARKUP_BYTES or sum(archive.read(p).count(b"<") for p in cells) > MAX_XLSX_TAGS:
            raise ToolError("the spreadsheet holds too many cells or too much formatting to be opened")


def _holds_cells(part: str) -> bool:
    return part.startswith("xl/worksheets/") or part == "xl/sharedStrings.xml"


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, float):
        return repr(value).removesuffix(".0")
    if isinstance(value, datetime):
        return value.date().isoformat() if value.time() == time() else value.isoformat()
    if isinstance(value, timedelta):
        minutes, seconds = divmod(round(value.total_seconds()), 60)
        return f"{minutes // 60:02}:{minutes % 60:02}:{seconds:02}"
    return str(value).replace("\r\n", "\n").replace("\r", "\n")
