r"""csv and tsv: any delimiter, any encoding that `texts` can tell, column names that need not stand in line 1.

Empty lines, and Excel's `sep=;` above all others, are no rows. Written as UTF-8 without a mark, with commas, `\n` ends
and quotes only where csv needs them, every row as wide as the widest.
"""

import csv
import io
import math
import re
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice

from agent.errors import ToolError
from agent.files.base import (
    ConversionOptions,
    Kind,
    Rendering,
    Window,
    doubt_of_encoding,
    render_table,
    render_text,
    told_encoding,
    unopened,
)
from agent.files.tables import NUMBER, RawTable, Row, chosen_header, column_names, find_header, survey
from agent.files.texts import Text, decoded, readable_text
from agent.files.trees import JSON_NUMBER, json_text
from agent.files.writing import MAX_CELLS, csv_bytes, json_table, too_large

FIRST_LOOK_CELLS = 3_000_000  # walked for a first look, some 3 s; beyond it says "more than"
MAX_SAFE_INTEGER = 2**53 - 1  # JavaScript reads a larger one as its neighbour
DELIMITERS = "\t;|,"  # of equals not the comma, which stands in numbers and sentences too
SAMPLE_LINES, SAMPLE_CHARS = 60, 40_000

_SEP_LINE = re.compile(r'"?sep=([^\r\n])"?(?:\r\n?|\n|\Z)', re.IGNORECASE)


class CsvFile:
    """A text as rows, to be walked as often as needed."""

    def __init__(self, text: str) -> None:
        mark = _SEP_LINE.match(text[:20])
        self.delimiter = mark[1] if mark else _delimiter(text)
        self._text = text
        self._skipped = 1 if mark else 0

    def rows(self) -> Iterator[Row]:
        """By the number of the line each begins in, the blank ones too. Raises csv.Error for a monstrous cell."""
        taken: list[str] = []
        lines = io.StringIO(self._text, newline="")
        reader = csv.reader(_kept(lines, taken.append), delimiter=self.delimiter)
        before = 0
        for cells in reader:
            if before >= self._skipped:
                yield Row(before + 1, cells, taken.pop() if len(taken) == 1 else "".join(taken))
            before = reader.line_num
            taken.clear()

    def bounded_rows(self) -> Iterator[Row]:
        """Raises ToolError for a monstrous cell and for too many cells."""
        left = MAX_CELLS
        try:
            for row in self.rows():
                left -= len(row.cells)
                if left < 0:
                    raise too_large()
                yield row
        except csv.Error as error:
            raise ToolError(f"no readable csv: {error}") from error


def render(name: str, data: bytes, window: Window) -> Rendering:
    found = decoded(data)
    if found is None:
        return unopened("csv", data, window, ToolError("it is no text"))
    file = CsvFile(found.text)
    max_cells = FIRST_LOOK_CELLS if window.is_first_look else len(found.text) + 1
    try:
        table = survey(file.rows(), first=window.start, stop=window.stop, max_cells=max_cells)
    except csv.Error:  # an open quote, or no table at all
        return render_text("text, no readable csv", data, found, window)
    return render_table(table, _facts(data, found, file.delimiter, table.ragged), window)


def csv_from_csv(data: bytes, options: ConversionOptions) -> bytes:
    rows = CsvFile(readable_text(data).text).bounded_rows()
    return csv_bytes([row.cells for row in rows if row.cells and row.number >= (options.header or 1)])


def json_from_csv(data: bytes, options: ConversionOptions) -> bytes:
    file = CsvFile(readable_text(data).text)
    header = chosen_header(file.bounded_rows(), options.header)
    width, texts = len(header.cells), set[int]()
    for row in file.bounded_rows():
        if row.number > header.number:
            width = max(width, len(row.cells))
            texts.update(at for at, cell in enumerate(row.cells) if _is_number(cell) and not _same_in_json(cell))
    return json_table(
        column_names(header.cells, width),
        (
            [_json_of_text(cell, as_text=at in texts) for at, cell in enumerate(row.cells)]
            for row in file.bounded_rows()
            if row.number > header.number and row.cells
        ),
    )


def tables(data: bytes) -> Iterator[RawTable]:
    rows = list(CsvFile(readable_text(data).text).bounded_rows())
    yield RawTable("", rows, find_header(rows))


CSV = Kind(
    "csv",
    render,
    endings=("csv", "tsv", "tab"),
    is_data=True,
    conversions={"csv": csv_from_csv, "json": json_from_csv},
    tables=tables,
    caveat=doubt_of_encoding,
)


def _kept(lines: Iterator[str], keep: Callable[[str], None]) -> Iterator[str]:
    for line in lines:
        keep(line)
        yield line


def _facts(data: bytes, found: Text, delimiter: str, ragged: int) -> str:
    crlf = " with CRLF line ends" if "\r\n" in found.text else ""
    word = {"\t": "tab"}.get(delimiter, f'"{delimiter}"')
    odd = f"; {ragged} rows are shorter or longer than the first" if ragged else ""
    return f"csv, {len(data):,} bytes, {told_encoding(found)}{crlf}, delimiter {word}{odd}"


def _delimiter(text: str) -> str:
    """What cuts most of the first lines into the same number of cells; of equals that into most."""
    head = text[:SAMPLE_CHARS]
    lines = [line for line in islice(io.StringIO(head, newline=None), SAMPLE_LINES) if line.strip()]
    if len(head) < len(text) and len(lines) > 1:
        lines.pop()  # the last one may be cut off
    scores = {delimiter: _score(lines, delimiter) for delimiter in DELIMITERS}
    best = max(scores, key=lambda delimiter: scores[delimiter])
    return best if scores[best][0] else ","


def _score(lines: list[str], delimiter: str) -> tuple[float, int]:
    """The share of rows that have the usual number of cells, two at least, and that number."""
    try:
        rows = list(csv.reader(lines, delimiter=delimiter))
    except csv.Error:
        return 0, 0
    widths = Counter(len(row) for row in rows)
    usual = max(widths, key=lambda width: (widths[width] * (width > 1), width), default=0)
    if usual < 2 or (delimiter != "," and len(rows[0]) < 2 and widths[usual] < 3):
        return 0, 0
    return widths[usual] / len(rows), usual


def _is_number(cell: str) -> bool:
    return bool(cell) and NUMBER.fullmatch(cell.strip()) is not None


def _same_in_json(cell: str) -> bool:
    """Whether a number, read from JSON by JavaScript, is still the one that the cell shows."""
    if not JSON_NUMBER.fullmatch(cell):
        return False
    if cell.lstrip("-").isdecimal():
        return len(cell) < 20 and abs(int(cell)) <= MAX_SAFE_INTEGER
    return math.isfinite(float(cell))


def _json_of_text(cell: str, *, as_text: bool) -> str:
    if not cell:
        return "null"
    return cell if not as_text and JSON_NUMBER.fullmatch(cell) else json_text(cell)
