"""Spreadsheets (.xlsx, .xlsm): opened within bounds, read sheet by sheet. The only module that knows openpyxl.

openpyxl is imported on first use. A file saved as Strict Open XML differs in the names of its namespaces alone, which
are made the usual ones before it is opened.
"""

import io
import math
import re
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, time, timedelta
from itertools import islice
from typing import Any

from agent.errors import ToolError
from agent.files.archives import damage_reported, is_zip, open_zip
from agent.files.base import ITEM_CHARS, ConversionOptions, Kind, Rendering, Window, render_table, unopened
from agent.files.tables import RawTable, Row, chosen_header, column_names, find_header, survey
from agent.files.texts import csv_text
from agent.files.trees import json_text
from agent.files.writing import MAX_CELLS, json_table, too_large
from agent.quoting import clip

MAX_XLSX_BYTES = 100_000_000  # all parts, unpacked
MAX_XLSX_CELL_TAGS = 6_000_000  # in all sheets: a million cells with their values, some 12 s
MAX_XLSX_STRING_TAGS = 1_500_000  # of the strings that sheets share, all of which are read first: at worst some 10 s
MAX_XLSX_MARKUP_BYTES = 4_000_000  # styles and the like, each tag of which becomes an object
MAX_CSV_CHARS = 20_000_000
FIRST_LOOK_CELLS = 300_000  # of all sheets, walked for a first look, some 3 s; beyond it says "more than"
SHEET_CELLS = 2_000  # at least, of each sheet
MAX_SHOWN_SHEETS = 12
MAX_HEADER_ROWS = 1_000  # the names of the columns stand no lower

VISIBLE = "visible"  # a sheet's state; else hidden or veryHidden
WORKBOOK, SHEETS, SHARED_STRINGS = "xl/workbook.xml", "xl/worksheets/", "xl/sharedStrings.xml"
OLE_MAGIC = b"\xd0\xcf\x11\xe0"
_LOCKED = "EncryptedPackage".encode("utf-16-le")  # the part of an OLE container that holds a locked Office file
_STRICT = b"http://purl.oclc.org/ooxml/"
_USUAL_NAMESPACES = (
    (_STRICT + b"officeDocument/", b"http://schemas.openxmlformats.org/officeDocument/2006/"),
    (_STRICT + b"spreadsheetml/", b"http://schemas.openxmlformats.org/spreadsheetml/2006/"),
    (_STRICT + b"drawingml/", b"http://schemas.openxmlformats.org/drawingml/2006/"),
)
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


def sheet_csv(book: Any, sheet: str = "", first: int = 1) -> bytes:
    """`csv_from_xlsx` for a workbook that is open, from row `first` on."""
    rows = list(sheet_rows(book, sheet))[first - 1 :]
    width = max(map(len, rows), default=0)
    if width * len(rows) > MAX_CELLS or sum(len(cell) for row in rows for cell in row) > MAX_CSV_CHARS:
        raise ToolError(f"the sheet is too large: the limits are {MAX_CELLS:,} cells and {MAX_CSV_CHARS:,} characters")
    return csv_text(rows, width).encode()


@contextmanager
def workbook(data: bytes) -> Iterator[Any]:
    """The workbook, for reading values. Any fault while it is open becomes a ToolError."""
    if is_locked(data):
        raise ToolError("the file is encrypted: it opens with a password only")
    if data.startswith(OLE_MAGIC):
        raise ToolError("the file is encrypted, or of the old make (.xls): save it as .xlsx without a password")
    if not is_zip(data):
        raise ToolError("this is no .xlsx spreadsheet")
    _refuse_bombs(data)
    import openpyxl

    with damage_reported("spreadsheet"):
        data = _with_usual_namespaces(data)
        yield openpyxl.load_workbook(io.BytesIO(data), read_only=True, data_only=True, keep_links=False)


def sheet_titles(book: Any) -> list[str]:
    """Of the sheets with cells, in their order: at least one."""
    if not book.worksheets:
        raise ToolError("the spreadsheet has no sheet of cells")
    return [sheet.title for sheet in book.worksheets]


def is_xlsx(data: bytes) -> bool:
    """Whether it is a zip archive with the parts of a spreadsheet."""
    if not is_zip(data):
        return False
    try:
        with open_zip(data) as archive:
            return WORKBOOK in archive.namelist()
    except ToolError:
        return False


def is_locked(data: bytes) -> bool:
    """Whether it is an Office file that opens with a password only."""
    return data.startswith(OLE_MAGIC) and _LOCKED in data


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


def sheet_markup(data: bytes, title: str) -> SheetMarkup:
    with open_zip(data) as archive:
        xml = archive.read(_sheet_path(archive, title))
    formulas = (f"{cell.decode()} ={text.decode(errors='replace')}" for cell, text in _found(_FORMULA_TEXT, xml))
    ranges = tuple(found.decode() for (found,) in _found(_MERGED, xml))
    return SheetMarkup(sum(map(xml.count, _FORMULA)), xml.count(b"<mergeCell "), tuple(formulas), ranges)


def formulas_without_value(data: bytes) -> int:
    """How many cells read as empty because no program has stored the result of their formula."""
    with open_zip(data) as archive:
        sheets = [name for name in archive.namelist() if name.startswith(SHEETS)]
        return sum(len(_FORMULA_WITHOUT_VALUE.findall(archive.read(name))) for name in sheets)


def _sheet_path(archive: zipfile.ZipFile, title: str) -> str:
    """The part of the archive that holds a sheet."""
    from openpyxl.packaging.relationship import get_dependents, get_rels_path
    from openpyxl.xml.functions import fromstring

    related = get_dependents(archive, get_rels_path(WORKBOOK))
    for sheet in fromstring(archive.read(WORKBOOK)).iter():
        if sheet.tag.endswith("}sheet") and sheet.get("name") == title:
            id = next(value for key, value in sheet.items() if key.endswith("}id"))
            return str(related.get(id).target)
    raise ToolError(f"there is no sheet {title!r}")


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


def _with_usual_namespaces(data: bytes) -> bytes:
    with open_zip(data) as archive:
        if _STRICT not in archive.read(WORKBOOK):
            return data
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as usual:
            for name in dict.fromkeys(archive.namelist()):
                part = archive.read(name)
                for strict, transitional in _USUAL_NAMESPACES:
                    part = part.replace(strict, transitional)
                usual.writestr(name, part)
    return file.getvalue()


# -- as a kind of file -------------------------------------------------------------------------------------------------


def render(name: str, data: bytes, window: Window) -> Rendering:
    """Every sheet at a first look, else the one asked for, or the first."""
    try:
        with workbook(data) as book:
            titles = sheet_titles(book)
            if window.part or not window.is_first_look or len(titles) == 1:
                return _one_sheet(data, book, window)
            return _all_sheets(data, book)
    except ToolError as error:
        return unopened("Office file", data, window, error)


def _one_sheet(data: bytes, book: Any, window: Window) -> Rendering:
    sheet = _sheet(book, window.part)
    max_cells = FIRST_LOOK_CELLS if window.is_first_look else MAX_CELLS
    table = survey(
        numbered_rows(book, sheet.title), blanks=True, first=window.start, stop=window.stop, max_cells=max_cells
    )
    found = render_table(table, f"{_facts(data, book)}; this sheet", window)
    if not window.is_first_look:
        return found
    others = ", ".join(_named(other) for other in book.worksheets if other is not sheet)
    hidden = "this sheet is hidden" if sheet.sheet_state != VISIBLE else ""
    other_sheets = f"other sheets: {clip(others, ITEM_CHARS)}" if others else ""
    return _with_intro(found, hidden, other_sheets, *_markup(sheet_markup(data, sheet.title)))


def _all_sheets(data: bytes, book: Any) -> Rendering:
    left, sections = FIRST_LOOK_CELLS, []
    for sheet in book.worksheets[:MAX_SHOWN_SHEETS]:
        window = Window(part=sheet.title)
        table = survey(
            numbered_rows(book, sheet.title), blanks=True, first=1, stop=window.stop, max_cells=max(SHEET_CELLS, left)
        )
        left -= table.rows * table.columns
        found = render_table(table, f"sheet {_named(sheet)}", window)
        sections.append(_with_intro(found, *_markup(sheet_markup(data, sheet.title))))
    rest = ", ".join(_named(sheet) for sheet in book.worksheets[MAX_SHOWN_SHEETS:])
    return Rendering(_facts(data, book), sections=sections, intro=rest and f"more sheets: {clip(rest, ITEM_CHARS)}")


def _with_intro(found: Rendering, *lines: str) -> Rendering:
    return replace(found, intro="\n".join(filter(None, [*lines, found.intro])))


def _facts(data: bytes, book: Any) -> str:
    hollow = formulas_without_value(data)
    note = f"; {hollow} formulas have no stored value and read as empty" if hollow else ""
    return f"xlsx, {len(data):,} bytes, sheets: {len(book.worksheets)}{note}"


def _named(sheet: Any) -> str:
    return clip(f'"{sheet.title}"', 60) + (f" ({sheet.sheet_state})" if sheet.sheet_state != VISIBLE else "")


def _markup(sheet: SheetMarkup) -> Iterator[str]:
    if sheet.merged:
        yield f"merged ranges, whose value stands in the first cell: {sheet.merged}, such as {', '.join(sheet.ranges)}"
    if sheet.formulas:
        yield f"formulas, read by their stored values: {sheet.formulas}, such as {', '.join(sheet.such_as)}"


def csv_from_sheet(data: bytes, options: ConversionOptions) -> bytes:
    with workbook(data) as book:
        return sheet_csv(book, options.part, first=options.header or 1)


def json_from_sheet(data: bytes, options: ConversionOptions) -> bytes:
    with workbook(data) as book:
        return sheet_json(book, options.part, options.header)


def sheet_json(book: Any, title: str, header: int | None) -> bytes:
    rows = list(sheet_rows(book, title, cell=lambda value: value))
    width = max(map(len, rows), default=0)
    if width * len(rows) > MAX_CELLS:
        raise too_large()
    names = chosen_header([Row(n, [*map(cell_text, row)]) for n, row in enumerate(rows[:MAX_HEADER_ROWS], 1)], header)
    below = rows[names.number :]
    return json_table(
        column_names(names.cells, max(map(len, below), default=0)), (map(_json_of_value, r) for r in below)
    )


def tables(data: bytes) -> Iterator[RawTable]:
    with workbook(data) as book:
        for title in sheet_titles(book):
            rows = list(numbered_rows(book, title))
            yield RawTable(title, rows, find_header(rows))


def titles(data: bytes) -> list[str]:
    with workbook(data) as book:
        return sheet_titles(book)


def numbered_rows(book: Any, title: str) -> Iterator[Row]:
    return (Row(number, cells) for number, cells in enumerate(sheet_rows(book, title), 1))


def caveat(data: bytes) -> str:
    hollow = formulas_without_value(data)
    return f"{hollow} formulas in the file have no stored value: their cells are empty" if hollow else ""


def _json_of_value(value: Any) -> str:
    if value in (None, ""):
        return "null"
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return json_text(value if isinstance(value, bool) else cell_text(value))
    return cell_text(value)


XLSX = Kind(
    "xlsx",
    render,
    endings=("xlsx", "xlsm"),
    owns=lambda data: is_xlsx(data) or is_locked(data),
    is_data=True,
    conversions={"csv": csv_from_sheet, "json": json_from_sheet},
    tables=tables,
    parts=titles,
    caveat=caveat,
)
