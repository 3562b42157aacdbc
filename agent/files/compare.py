"""Whether a file holds the data of another: cell by cell, whatever the form of the two.

For files that are meant as a copy, a conversion or a selection of a source; csv, tsv, JSON, lines of JSON, GeoJSON,
YAML and spreadsheets, each way. Spelling does not count: 1.10 is 1.1. What can be read in two ways is the same when one
of them is.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import islice, product, zip_longest
from typing import Literal

from agent.errors import CannotTell, ToolError
from agent.files.kinds import kind_of
from agent.files.tables import MAX_PREAMBLE_ROWS, Header, RawTable, column_names
from agent.files.texts import decoded
from agent.quoting import listing, quote

Part = Literal["all", "some"]

MAX_BYTES = 3_000_000
MAX_BOOK_BYTES = 600_000  # a packed sheet: some 20,000 rows, a second to read
MAX_CELLS = 250_000  # a second
MAX_TOLD = 5  # differences

NUMBER = re.compile(r"-?(?:\d{1,3}(?:,\d{3}){1,5}|\d{1,18})(?:\.\d{1,12})?(?:[eE][-+]?\d{1,3})?")
_DECIMAL_COMMA = re.compile(r"-?(?:\d{1,3}(?:\.\d{3}){1,5}|\d{1,18})(?:,\d{1,12})?")
_MIDNIGHT = re.compile(r"(\d{4}-\d\d-\d\d)[T ]00:00(?::00(?:\.0+)?)?")


@dataclass(frozen=True)
class Grid:
    """A table under its column names: cells in one spelling, blank for blank, rows without blanks at their end."""

    name: str  # of the sheet or list; "" for the only one
    columns: tuple[str, ...]  # each once
    rows: tuple[tuple[str, ...], ...]
    nameless: frozenset[str] = frozenset()  # columns whose names were made up here: blank or repeated in the file
    is_certain: bool = True  # else the column names may stand in another row


def differences(
    target_name: str,
    target: bytes,
    source_name: str,
    source: bytes,
    *,
    rows: Part = "all",
    columns: Part = "all",
) -> list[str]:
    """In words, what a file has otherwise than the source it is made from; [] when it holds the same.

    `some`: the target may leave rows or columns out, and sort the rows. Of several sheets or lists each is held against
    its namesake, a single one against any. Raises CannotTell where one of the two is no table, is too large, or can be
    read in several ways of which none makes them equal.
    """
    ours, theirs = grids(target_name, target), grids(source_name, source)
    if not theirs[0][0].columns:
        raise CannotTell(f"{quote(source_name)} holds no table")
    told = _told(ours, theirs, target_name, source_name, rows, columns)
    certain = all(readings[0].is_certain for readings in (*ours, *theirs))
    if told and certain and (_has_doubt(target) or _has_doubt(source)):
        certain = bool(_told(_ascii(ours), _ascii(theirs), target_name, source_name, rows, columns))
    if told and not certain:
        raise CannotTell(f"{quote(target_name)} and {quote(source_name)} can be read in several ways: {told[0]}")
    return told[:MAX_TOLD]


@lru_cache(maxsize=8)
def grids(name: str, data: bytes) -> tuple[tuple[Grid, ...], ...]:
    """Its tables, each in the ways it can be read, the likeliest first. Raises CannotTell."""
    kind = kind_of(name, data)
    if kind.tables is None:
        raise CannotTell(f"{quote(name)} is no table")
    if len(data) > (MAX_BOOK_BYTES if kind.parts else MAX_BYTES):
        raise CannotTell(f"{quote(name)} has {len(data):,} bytes, it is too large to be compared here")
    try:
        tables = list(kind.tables(data))
    except ToolError as error:
        raise CannotTell(f"{quote(name)}: {error}") from error
    if not tables:
        raise CannotTell(f"{quote(name)} holds no table")
    filled = [table for table in tables if any(row.cells for row in table.rows)]
    return tuple(tuple(_readings(table)) for table in filled or tables[:1])


def spelled(cell: str) -> str:
    """A cell in its one spelling: numbers without idle zeros, dates without midnight, no word for nothing."""
    cell = " ".join(cell.split())
    if NUMBER.fullmatch(cell) and not re.match(r"-?0\d", cell):  # 007 is a name
        return spelled_number(float(cell.replace(",", "")))
    if cell.lower() in ("true", "false"):
        return cell.lower()
    midnight = _MIDNIGHT.fullmatch(cell)
    return midnight[1] if midnight else "" if cell in ("nan", "NaN", "None", "null") else cell


def spelled_number(number: float) -> str:
    return f"{number:.15g}"


# -- the ways to read a table ------------------------------------------------------------------------------------------


def _readings(table: RawTable) -> Iterator[Grid]:
    if sum(max(1, len(row.cells)) for row in table.rows) > MAX_CELLS:
        raise CannotTell(f"a table of more than {MAX_CELLS:,} cells is too large to be compared here")
    cells = [(row.number, _trimmed([spelled(cell) for cell in row.cells])) for row in table.rows]
    has_commas = any("," in cell and _DECIMAL_COMMA.fullmatch(cell) for _, row in cells for cell in row)
    for header in _headers(table):
        below = tuple(row for number, row in cells if row and number > header.number)
        grid = replace(_grid(table.name, header, below), is_certain=not table.header.doubt)
        yield grid
        if has_commas and (read := _with_decimal_commas(grid)) != grid:
            yield read


def _headers(table: RawTable) -> Iterator[Header]:
    """The likeliest, and where there is a doubt every other that could be meant."""
    yield table.header
    if table.header.doubt:
        others = (Header(row.number, row.cells) for row in table.rows[:MAX_PREAMBLE_ROWS] if row.cells)
        yield from (header for header in (Header(0), *others) if header.number != table.header.number)


def _grid(name: str, header: Header, rows: tuple[tuple[str, ...], ...]) -> Grid:
    cells = [" ".join(cell.split()) for cell in header.cells]
    width = max([len(_trimmed(cells)), *map(len, rows)])
    cells = [*cells[:width], *[""] * (width - len(cells))]
    columns = column_names(cells)
    times = Counter(cells)
    made_up = frozenset(column for column, cell in zip(columns, cells, strict=True) if not cell or times[cell] > 1)
    return Grid(name, tuple(columns), rows, made_up)


def _with_decimal_commas(grid: Grid) -> Grid:
    """The same with `1.234,56` read as a number, in columns where all cells are such."""
    columns = list(zip_longest(*grid.rows, fillvalue=""))
    read = [_decimal_commas(column) or column for column in columns]
    return replace(grid, rows=tuple(_trimmed(row) for row in zip(*read, strict=True))) if read != columns else grid


def _decimal_commas(column: Sequence[str]) -> list[str] | None:
    if not any("," in cell for cell in column) or any(cell and not _DECIMAL_COMMA.fullmatch(cell) for cell in column):
        return None
    return [cell and spelled_number(float(cell.replace(".", "").replace(",", "."))) for cell in column]


def _trimmed(row: Sequence[str]) -> tuple[str, ...]:
    width = max((at for at, cell in enumerate(row, 1) if cell), default=0)
    return tuple(row[:width])


def _has_doubt(data: bytes) -> bool:
    text = decoded(data)
    return bool(text and text.doubt)


def _ascii(tables: Sequence[Sequence[Grid]]) -> Sequence[Sequence[Grid]]:
    """The same with one sign for every letter that another encoding would read as another one."""
    return [
        [
            replace(
                grid,
                columns=tuple(map(_without_letters, grid.columns)),
                rows=tuple(tuple(map(_without_letters, row)) for row in grid.rows),
            )
            for grid in readings
        ]
        for readings in tables
    ]


def _without_letters(text: str) -> str:
    return re.sub(r"[^\x00-\x7f]", "?", text)


# -- the comparison ----------------------------------------------------------------------------------------------------


def _told(
    ours: Sequence[Sequence[Grid]],
    theirs: Sequence[Sequence[Grid]],
    target: str,
    source: str,
    rows: Part,
    columns: Part,
) -> list[str]:
    if len(ours) > 1 and len(theirs) > 1:
        pairs = _namesakes(ours, theirs)
        return [text for own, other in pairs for text in _least(own, other, target, source, rows, columns)]
    any_own, any_other = [own for readings in ours for own in readings], [o for readings in theirs for o in readings]
    return _least(any_own, any_other, target, source, rows, columns)


def _namesakes(
    ours: Sequence[Sequence[Grid]], theirs: Sequence[Sequence[Grid]]
) -> Iterator[tuple[Sequence[Grid], Sequence[Grid]]]:
    """Each of the target's tables with the source's of that name, else with all."""
    for own in ours:
        named = [other for other in theirs if _folded(other[0].name) == _folded(own[0].name)]
        yield own, [grid for other in named or theirs for grid in other]


def _folded(name: str) -> str:
    return re.sub(r"\W|_", "", name).lower()


def _least(
    ours: Sequence[Grid], theirs: Sequence[Grid], target: str, source: str, rows: Part, columns: Part
) -> list[str]:
    """Of the pairs that could be meant, the differences of the likeliest; [] when one pair has none."""
    likeliest: tuple[int, list[str]] | None = None
    for own, other in product(ours, theirs):
        told = list(islice(_Comparison(own, other, target, source).told(rows, columns), MAX_TOLD))
        if not told:
            return []
        shared = len(set(own.columns) & set(other.columns))
        if likeliest is None or shared > likeliest[0]:
            likeliest = shared, told
    return likeliest[1] if likeliest else []


class _Comparison:
    """Of one table with one other."""

    def __init__(self, ours: Grid, theirs: Grid, target: str, source: str) -> None:
        self.ours, self.theirs = ours, theirs
        self.target = quote(target) + (f" ({quote(ours.name)})" if ours.name else "")
        self.source = quote(source) + (f" ({quote(theirs.name)})" if theirs.name else "")
        self.pairs = _paired(ours, theirs)  # of positions of columns

    def told(self, rows: Part, columns: Part) -> Iterator[str]:
        yield from self._columns(columns)
        if self.pairs:
            own = [tuple(_at(row, here) for here, _ in self.pairs) for row in self.ours.rows]
            other = [tuple(_at(row, there) for _, there in self.pairs) for row in self.theirs.rows]
            yield from self._all_rows(own, other) if rows == "all" else self._some_rows(own, other)

    def _columns(self, columns: Part) -> Iterator[str]:
        here, there = ({pair[side] for pair in self.pairs} for side in (0, 1))
        more = [name for at, name in enumerate(self.ours.columns) if at not in here and not _is_blank(self.ours, at)]
        if more:
            yield f"{self.target} has {listing(more)} as columns, {self.source} has {listing(self.theirs.columns)}"
        if columns == "some" and self.pairs:
            return
        less = [
            name for at, name in enumerate(self.theirs.columns) if at not in there and not _is_blank(self.theirs, at)
        ]
        if less:
            yield f"{self.target} lacks {listing(less)} of the columns of {self.source}"

    def _all_rows(self, own: Sequence[tuple[str, ...]], other: Sequence[tuple[str, ...]]) -> Iterator[str]:
        if len(own) != len(other):
            yield f"{self.target} has {len(own)} rows, {self.source} has {len(other)}"
            yield from self._some_rows(own, other)
            lacking = Counter(other) - Counter(own)
            yield from (f"{self.target} lacks the row {_shown(row)} of {self.source}" for row in lacking)
        elif own != other and Counter(own) == Counter(other):
            yield f"{self.target} has the rows of {self.source} in another order"
        else:
            for number, (mine, its) in enumerate(zip(own, other, strict=True), 1):
                yield from self._cells(number, mine, its)

    def _some_rows(self, own: Sequence[tuple[str, ...]], other: Sequence[tuple[str, ...]]) -> Iterator[str]:
        left = Counter(other)
        for number, row in enumerate(own, 1):
            left[row] -= 1
            if left[row] >= 0:
                continue
            if left[row] + 1 == 0 and row in other:
                yield f"row {number} of {self.target}, {_shown(row)}, stands there more often than in {self.source}"
                continue
            alike = max(other, key=lambda its: sum(map(str.__eq__, row, its)), default=())
            if sum(map(str.__eq__, row, alike)) * 2 > len(row):
                yield from self._cells(number, row, alike)
            else:
                yield f"row {number} of {self.target}, {_shown(row)}, stands nowhere in {self.source}"

    def _cells(self, number: int, mine: Sequence[str], its: Sequence[str]) -> Iterator[str]:
        for (_, there), here_cell, there_cell in zip(self.pairs, mine, its, strict=True):
            if here_cell != there_cell:
                name = quote(self.theirs.columns[there])
                has = f"has {quote(here_cell)} in {name}, {self.source} has {quote(there_cell)}"
                yield f"row {number} of {self.target} {has}"


def _paired(ours: Grid, theirs: Grid) -> list[tuple[int, int]]:
    """Columns of one name; those without a name of their own in the order in which they stand."""
    places = {name: at for at, name in enumerate(ours.columns)}
    pairs = {there: places.pop(name) for there, name in enumerate(theirs.columns) if name in places}
    left = iter(places.values())
    for there, name in enumerate(theirs.columns):
        if there not in pairs and name in theirs.nameless:
            here = next(left, None)
            if here is None:
                break
            pairs[there] = here
    return [(here, there) for there, here in sorted(pairs.items())]


def _is_blank(grid: Grid, column: int) -> bool:
    return not any(_at(row, column) for row in grid.rows)


def _at(row: Sequence[str], column: int) -> str:
    return row[column] if column < len(row) else ""


def _shown(row: Sequence[str]) -> str:
    return quote(", ".join(row))
