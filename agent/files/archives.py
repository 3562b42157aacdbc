"""Zip archives, and the spreadsheets that are ones: opened within bounds, whatever their bytes are.

The bounds count things, not seconds, so that the same bytes give the same answer on every machine and in every replay.
The only module that knows openpyxl, which it imports on first use.
"""

import io
import re
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from itertools import islice
from typing import Any

from agent.errors import ToolError
from agent.files.texts import csv_text

ZIP_MAGIC = b"PK\x03\x04"
MAX_ENTRIES = 10_000
MAX_MEMBER_BYTES = 20_000_000  # unpacked
MAX_XLSX_BYTES = 100_000_000  # all parts, unpacked
MAX_XLSX_CELL_TAGS = 6_000_000  # in all sheets: a million cells with their values, some 12 s
MAX_XLSX_STRING_TAGS = 1_500_000  # of the strings that sheets share, all of which are read first: at worst some 10 s
MAX_XLSX_MARKUP_BYTES = 4_000_000  # styles and the like, each tag of which becomes an object
MAX_CELLS = 2_000_000
MAX_CSV_CHARS = 20_000_000

SHEETS, SHARED_STRINGS = "xl/worksheets/", "xl/sharedStrings.xml"
_FORMULA = (b"<f>", b"<f ", b"<f/>")
_FORMULA_TEXT = re.compile(rb'<c r="([A-Z]{1,3}\d{1,7})"[^<>]{0,100}><f(?: [^<>]{0,200})?>([^<>]{1,100})</f>')
_MERGED = re.compile(rb'<mergeCell ref="([A-Z0-9:]{1,30})"')
_FORMULA_WITHOUT_VALUE = re.compile(rb"(?:</f>|<f\b[^<>]{0,200}/>)(?:<v ?/>|<v></v>)?</c>")


def csv_from_xlsx(data: bytes, sheet: str = "") -> bytes:
    r"""One sheet (the first unless named) as UTF-8 csv with `\n` ends: the same bytes every time. Raises ToolError.

    Rows, columns and their order are the sheet's; empty rows and columns at its end are left out. Cells: a date
    2024-01-31, with a time of day 2024-01-31T10:30:00, a time 10:30:00, a duration 26:00:00; a whole number without
    `.0`, any other number by the shortest digits that give it back; TRUE or FALSE; text as it is, its line breaks `\n`;
    empty for empty; a formula by its stored value. Quotes only where csv needs them.
    """
    with workbook(data) as book:
        return sheet_csv(book, sheet)


def sheet_csv(book: Any, sheet: str = "") -> bytes:
    """`csv_from_xlsx` for a workbook that is open."""
    rows = list(sheet_rows(book, sheet))
    width = max(map(len, rows), default=0)
    if width * len(rows) > MAX_CELLS or sum(len(cell) for row in rows for cell in row) > MAX_CSV_CHARS:
        raise ToolError(f"the sheet is too large: the limits are {MAX_CELLS:,} cells and {MAX_CSV_CHARS:,} characters")
    return csv_text(rows, width).encode()


@contextmanager
def workbook(data: bytes) -> Iterator[Any]:
    """The workbook, for reading values. Any fault while it is open becomes a ToolError."""
    if not data.startswith(ZIP_MAGIC):
        raise ToolError("this is no .xlsx spreadsheet")
    _refuse_bombs(data)
    import openpyxl

    with _damage_reported("spreadsheet"):
        yield openpyxl.load_workbook(io.BytesIO(data), read_only=True, data_only=True, keep_links=False)


def sheet_titles(book: Any) -> list[str]:
    """Of the sheets with cells, in their order: at least one."""
    if not book.worksheets:
        raise ToolError("the spreadsheet has no sheet of cells")
    return [sheet.title for sheet in book.worksheets]


def is_xlsx(data: bytes) -> bool:
    """Whether it is a zip archive with the parts of a spreadsheet."""
    if not data.startswith(ZIP_MAGIC):
        return False
    with open_zip(data) as archive:
        return "xl/workbook.xml" in archive.namelist()


def cell_text(value: object) -> str:
    """A cell as `csv_from_xlsx` writes it."""
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


def sheet_rows(book: Any, name: str = "", cell: Callable[[object], Any] = cell_text) -> Iterator[list[Any]]:
    """What `cell` makes of each value: rows without empty cells at their end, up to the last that holds something."""
    sheet = _sheet(book, name)
    sheet.reset_dimensions()  # what a file says of its size may be a lie
    walked = blank = 0
    for values in sheet.iter_rows(values_only=True):
        walked += max(1, len(values))
        if walked > MAX_CELLS:
            raise ToolError(f"the sheet has more than {MAX_CELLS:,} cells, which is the limit")
        row = [cell(value) for value in values]
        while row and row[-1] in (None, ""):
            row.pop()
        if not row:
            blank += 1
            continue
        yield from ([] for _ in range(blank))
        blank = 0
        yield row


@dataclass(frozen=True)
class SheetMarkup:
    """What a sheet holds beside its values."""

    formulas: int
    merged: int  # ranges of cells; the value stands in the first one, the others are empty
    such_as: tuple[str, ...]  # the first formulas, as in `C2 =B2*2`
    ranges: tuple[str, ...]  # the first merged ones, as in `A1:C1`


def sheet_markup(data: bytes, book: Any, name: str = "") -> SheetMarkup:
    with open_zip(data) as archive:
        xml = archive.read(_sheet(book, name)._worksheet_path)
    formulas = (f"{cell.decode()} ={text.decode(errors='replace')}" for cell, text in _found(_FORMULA_TEXT, xml))
    ranges = tuple(found.decode() for (found,) in _found(_MERGED, xml))
    return SheetMarkup(sum(map(xml.count, _FORMULA)), xml.count(b"<mergeCell "), tuple(formulas), ranges)


def formulas_without_value(data: bytes) -> int:
    """How many cells read as empty because no program has stored the result of their formula."""
    with open_zip(data) as archive:
        sheets = [name for name in archive.namelist() if name.startswith(SHEETS)]
        return sum(len(_FORMULA_WITHOUT_VALUE.findall(archive.read(name))) for name in sheets)


@contextmanager
def open_zip(data: bytes) -> Iterator[zipfile.ZipFile]:
    """The archive, for reading. Any fault while it is open becomes a ToolError."""
    if data.count(b"PK\x01\x02") > MAX_ENTRIES:
        raise ToolError(f"the archive has more than {MAX_ENTRIES:,} entries, which is the limit")
    with _damage_reported("archive"), zipfile.ZipFile(io.BytesIO(data)) as archive:
        if any(entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for entry in archive.infolist()):
            raise ToolError("the archive is packed in another way than deflate")  # the others ask for memory unbounded
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


def _sheet(book: Any, name: str) -> Any:
    """The sheet of this name, the first for none."""
    titles = sheet_titles(book)
    if name and name not in titles:
        raise ToolError(f"there is no sheet {name!r}; there are: {', '.join(repr(t[:40]) for t in titles[:10])}")
    return book.worksheets[titles.index(name) if name else 0]


def _found(pattern: re.Pattern[bytes], xml: bytes) -> Iterator[tuple[bytes, ...]]:
    return (match.groups() for match in islice(pattern.finditer(xml), 3))


def _refuse_bombs(data: bytes) -> None:
    with open_zip(data) as archive:
        parts = archive.infolist()
        unpacked = sum(part.file_size for part in parts)
        if unpacked > MAX_XLSX_BYTES:
            raise ToolError(f"the spreadsheet unpacks to {unpacked:,} bytes; the limit is {MAX_XLSX_BYTES:,}")
        sheets = [part for part in parts if part.filename.startswith(SHEETS)]
        strings = [part for part in parts if part.filename == SHARED_STRINGS]
        markup = sum(p.file_size for p in parts if p.filename.endswith((".xml", ".rels")))
        markup -= sum(part.file_size for part in (*sheets, *strings))
        if (
            markup > MAX_XLSX_MARKUP_BYTES
            or _tags(archive, sheets) > MAX_XLSX_CELL_TAGS
            or _tags(archive, strings) > MAX_XLSX_STRING_TAGS
        ):
            raise ToolError("the spreadsheet holds too many cells, texts or too much formatting to be opened")


def _tags(archive: zipfile.ZipFile, parts: Iterable[zipfile.ZipInfo]) -> int:
    return sum(archive.read(part).count(b"<") for part in parts)
