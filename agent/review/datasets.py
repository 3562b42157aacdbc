"""Data files as what they say: a table with a header, or a set of numbers. Spelling does not count: 1.10 is 1.1.

Reads csv, tsv, JSON, .xlsx and, for numbers only, any text; bounded, and not anew for every question.
"""

import csv
import itertools
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from agent.errors import ToolError, Undecided
from agent.files.archives import sheet_rows, workbook
from agent.files.tables import PATH_KEY_CHARS, csv_rows, list_rows, lists_in
from agent.quoting import listing, quote
from agent.review.site import JSON_ENDINGS, parse_json

TABLE_ENDINGS = (".csv", ".tsv")
BOOK_ENDINGS = (".xlsx", ".xlsm")
DATA_ENDINGS = (*TABLE_ENDINGS, *JSON_ENDINGS, *BOOK_ENDINGS)
MAX_BYTES = 3_000_000
MAX_BOOK_BYTES = 600_000  # a packed sheet: some 20,000 rows, a second to read
MAX_CELLS = 250_000  # a second
MAX_SHEETS = 5
TELLING_DIGITS = 3  # a shorter number stands anywhere by chance

_NUMBER = re.compile(r"-?(?:\d{1,3}(?:,\d{3}){1,5}|\d{1,18})(?:\.\d{1,12})?(?:[eE][-+]?\d{1,3})?")
_MIDNIGHT = re.compile(r"(\d{4}-\d\d-\d\d)[T ]00:00(?::00(?:\.0+)?)?")


@dataclass(frozen=True)
class Dataset:
    """A table: cells in their one spelling, blank for blank."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def columns(self) -> Iterator[tuple[str, list[float]]]:
        """Those that hold numbers, by name; other cells are left out."""
        for name, cells in zip(self.header, itertools.zip_longest(*self.rows, fillvalue=""), strict=False):
            numbers = [float(cell) for cell in cells if _NUMBER.fullmatch(cell)]
            if numbers:
                yield name, numbers


@lru_cache(maxsize=8)
def datasets(name: str, data: bytes) -> tuple[Dataset, ...]:
    """Its tables: one, or one a sheet; none where the file is no table. Raises Undecided when it is too large."""
    ending = name.lower()
    if ending.endswith(BOOK_ENDINGS):
        return tuple(_dataset(rows) for rows in _sheets(data))
    if ending.endswith(TABLE_ENDINGS):
        return (_dataset(_csv(data)),)
    objects = _objects(_json(data)) if ending.endswith(JSON_ENDINGS) else []
    if not objects:
        return ()
    return (_dataset(list_rows(objects)),)


def tables(name: str, data: bytes) -> Iterator[Dataset]:
    """As `datasets`, and in JSON every list of objects or numbers, however deep. Raises Undecided."""
    yield from datasets(name, data)
    yield from _lists(name, data)


def difference(copy: Dataset, source: Dataset, ours: str, theirs: str) -> str | None:
    """How the table called `ours` differs from `theirs`: in columns, rows, sums or a cell; None: not at all."""
    if copy.header != source.header:
        return f"{ours} has the columns {listing(copy.header)}, {theirs} has {listing(source.header)}"
    if len(copy.rows) != len(source.rows):
        return f"{ours} has {len(copy.rows)} rows, {theirs} has {len(source.rows)}"
    if copy.rows == source.rows:
        return None
    sums = dict(source.columns())
    for name, numbers in copy.columns():
        if name in sums and not math.isclose(sum(numbers), sum(sums[name]), rel_tol=1e-9):
            return f"{quote(name)} sums up to {sum(numbers):.12g} in {ours}, to {sum(sums[name]):.12g} in {theirs}"
    if sorted(copy.rows) == sorted(source.rows):
        return f"{ours} has the rows of {theirs} in another order"
    at = next(n for n, pair in enumerate(zip(copy.rows, source.rows, strict=True)) if pair[0] != pair[1])
    cells = itertools.zip_longest(copy.rows[at], source.rows[at], fillvalue="")
    column, (here, there) = next((n, pair) for n, pair in enumerate(cells) if pair[0] != pair[1])
    name = quote((*source.header, *[""] * column)[column])
    return f"row {at + 1} of {ours} has {quote(here)} in {name}, {theirs} has {quote(there)}"


@lru_cache(maxsize=8)
def known_numbers(name: str, data: bytes) -> frozenset[str]:
    """Every number of a source, and the count, sum, mean, least and greatest of its columns. Raises Undecided."""
    found = {number for _, number in numbers(name, data)}
    for table in tables(name, data):
        found |= {_spelled(len(table.rows))}
        for _, column in table.columns():
            mean = sum(column) / len(column)
            found |= {_spelled(value) for value in (sum(column), mean, len(column))}
            found |= {_spelled(round(value, digits)) for value in (sum(column), mean) for digits in range(5)}
    return frozenset(found)


def numbers(name: str, data: bytes) -> Iterator[tuple[str, str]]:
    """Each number and where it stands: a JSON path, a column, or nowhere in particular. Raises Undecided."""
    ending = name.lower()
    if ending.endswith(JSON_ENDINGS):
        yield from _leaves(_json(data), "")
    elif ending.endswith((*TABLE_ENDINGS, *BOOK_ENDINGS)):
        for table in datasets(name, data):
            yield from ((column, _spelled(value)) for column, values in table.columns() for value in values)
    else:
        _check_size(data, MAX_BYTES)
        text = data.decode("utf-8", "replace") if b"\0" not in data[:1_000] else ""
        yield from (("", spelled(match[0])) for match in _NUMBER.finditer(text))


def telling(number: str) -> bool:
    """Whether it has digits enough not to stand somewhere by chance."""
    return len(number.lstrip("-0.").replace(".", "")) >= TELLING_DIGITS


def spelled(cell: str) -> str:
    """A cell in its one spelling: numbers without idle zeros, dates without midnight, no word for nothing."""
    cell = " ".join(cell.split())
    if _NUMBER.fullmatch(cell) and not re.match(r"-?0\d", cell):  # 007 is a name
        return _spelled(float(cell.replace(",", "")))
    if cell.lower() in ("true", "false"):
        return cell.lower()
    midnight = _MIDNIGHT.fullmatch(cell)
    return midnight[1] if midnight else "" if cell in ("nan", "NaN", "None", "null") else cell


def _spelled(number: float) -> str:
    return f"{number:.15g}"


def _dataset(rows: Iterable[Sequence[str]]) -> Dataset:
    """The first row is the header; blanks at the end of a row, and blank rows at the end, do not count."""
    left = MAX_CELLS
    cleaned = []
    for row in rows:
        left -= max(1, len(row))
        if left < 0:
            raise Undecided(f"a table of more than {MAX_CELLS:,} cells is too large to be held against its source here")
        cleaned.append(_trimmed([spelled(cell) for cell in row]))
    while cleaned and not cleaned[-1]:
        cleaned.pop()
    return Dataset(cleaned[0] if cleaned else (), tuple(row for row in cleaned[1:] if row))


def _trimmed(row: list[str]) -> tuple[str, ...]:
    while row and not row[-1]:
        row.pop()
    return tuple(row)


def _csv(data: bytes) -> list[list[str]]:
    _check_size(data, MAX_BYTES)
    try:
        return list(csv_rows(data.decode("utf-8-sig", "replace"))[1])
    except csv.Error:
        return []


def _sheets(data: bytes) -> list[list[list[str]]]:
    _check_size(data, MAX_BOOK_BYTES)
    try:
        with workbook(data) as book:
            sheets = [list(sheet_rows(book, sheet.title)) for sheet in book.worksheets[:MAX_SHEETS]]
            return [rows for rows in sheets if rows]
    except ToolError as error:
        raise Undecided(str(error)) from None


def _json(data: bytes) -> Any:
    """None for what does not parse: another rule says so."""
    _check_size(data, MAX_BYTES)
    try:
        return parse_json(data.decode("utf-8-sig", "replace"))
    except ValueError:
        return None


def _objects(document: Any) -> list[dict[str, Any]]:
    """The objects of a list, or of the only list in an object."""
    if isinstance(document, dict):
        lists = [value for value in document.values() if isinstance(value, list)]
        document = lists[0] if len(lists) == 1 else None
    whole = isinstance(document, list) and all(isinstance(item, dict) for item in document)
    return document if whole and isinstance(document, list) else []


def _lists(name: str, data: bytes) -> Iterator[Dataset]:
    document = _json(data) if name.lower().endswith(JSON_ENDINGS) else None
    if isinstance(document, dict | list):
        yield from (_dataset(list_rows(items)) for _, items in lists_in(document))


def _leaves(value: Any, path: str) -> Iterator[tuple[str, str]]:
    waiting = [(path, value)]
    while waiting:
        path, value = waiting.pop()
        if isinstance(value, Mapping | list):
            inner = value.items() if isinstance(value, Mapping) else enumerate(value)
            waiting += [(f"{path}.{str(key)[:PATH_KEY_CHARS]}".lstrip("."), item) for key, item in inner]
        elif not isinstance(value, bool) and _NUMBER.fullmatch(text := spelled(str(value))):
            yield path, text


def _check_size(data: bytes, limit: int) -> None:
    if len(data) > limit:
        raise Undecided(f"a data file of {len(data):,} bytes is too large to be held against its source here")
