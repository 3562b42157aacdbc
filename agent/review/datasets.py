"""Data files as what they say: a table with a header, or a set of numbers. Spelling does not count: 1.10 is 1.1.

Reads csv, tsv, JSON, .xlsx and, for numbers only, any text; bounded, and not anew for every question.
"""

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from agent.errors import CannotTell
from agent.files.compare import MAX_BYTES, MAX_CELLS, NUMBER, grids, spelled, spelled_number
from agent.files.kinds import endings, kind_of
from agent.files.tables import PATH_KEY_CHARS, list_rows, lists_in
from agent.quoting import listing, quote
from agent.review.evidence import Undecided
from agent.review.site import JSON_ENDINGS, parse_json

TABLE_ENDINGS = endings("csv")
BOOK_ENDINGS = endings("xlsx")
DATA_ENDINGS = (*TABLE_ENDINGS, *JSON_ENDINGS, *BOOK_ENDINGS)
TELLING_DIGITS = 3  # a shorter number stands anywhere by chance


@dataclass(frozen=True)
class Dataset:
    """A table: cells in their one spelling, blank for blank."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def columns(self) -> Iterator[tuple[str, list[float]]]:
        """Those that hold numbers, by name; other cells are left out."""
        for name, cells in zip(self.header, itertools.zip_longest(*self.rows, fillvalue=""), strict=False):
            numbers = [float(cell) for cell in cells if NUMBER.fullmatch(cell)]
            if numbers:
                yield name, numbers


@lru_cache(maxsize=8)
def datasets(name: str, data: bytes) -> tuple[Dataset, ...]:
    """Its tables: one, or one a sheet; none where the file is no table. Raises Undecided when they cannot be read."""
    if kind_of(name, data).tables is None or not name.lower().endswith(DATA_ENDINGS):
        return ()
    if name.lower().endswith(JSON_ENDINGS) and not _objects(_json(data)):
        return ()
    try:
        found = [readings[0] for readings in grids(name, data)]
    except CannotTell as doubt:
        raise Undecided(str(doubt)) from None
    if not all(grid.is_certain for grid in found):
        raise Undecided(f"it is not certain which row of {quote(name)} names the columns")
    return tuple(Dataset(grid.columns, grid.rows) for grid in found)


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
        found |= {spelled_number(len(table.rows))}
        for _, column in table.columns():
            mean = sum(column) / len(column)
            found |= {spelled_number(value) for value in (sum(column), mean, len(column))}
            found |= {spelled_number(round(value, digits)) for value in (sum(column), mean) for digits in range(5)}
    return frozenset(found)


def numbers(name: str, data: bytes) -> Iterator[tuple[str, str]]:
    """Each number and where it stands: a JSON path, a column, or nowhere in particular. Raises Undecided."""
    ending = name.lower()
    if ending.endswith(JSON_ENDINGS):
        yield from _leaves(_json(data), "")
    elif ending.endswith((*TABLE_ENDINGS, *BOOK_ENDINGS)):
        for table in datasets(name, data):
            yield from ((column, spelled_number(value)) for column, values in table.columns() for value in values)
    else:
        _check_size(data, MAX_BYTES)
        text = data.decode("utf-8", "replace") if b"\0" not in data[:1_000] else ""
        yield from (("", spelled(match[0])) for match in NUMBER.finditer(text))


def telling(number: str) -> bool:
    """Whether it has digits enough not to stand somewhere by chance."""
    return len(number.lstrip("-0.").replace(".", "")) >= TELLING_DIGITS


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
        elif not isinstance(value, bool) and NUMBER.fullmatch(text := spelled(str(value))):
            yield path, text


def _check_size(data: bytes, limit: int) -> None:
    if len(data) > limit:
        raise Undecided(f"a data file of {len(data):,} bytes is too large to be held against its source here")
