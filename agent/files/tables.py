"""Tables: which row names the columns, how large they are, what each column holds, the first rows and the last.

Preview, conversion and comparison read a table here, so that they cannot differ. The row with the names need not be the
first: titles, notes and `#` comments may stand above it. Where several rows could name the columns, that is said.
"""

import csv
import io
import json
import re
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import chain, count, islice, pairwise
from typing import Any, NamedTuple

from agent.errors import ToolError

SURVEYED_ROWS, SURVEYED_COLUMNS = 20_000, 40  # looked at to say what a column holds
SAMPLED_ROWS = 60  # looked at to find the names of the columns
MAX_PREAMBLE_ROWS = 30
MAX_COLUMNS = 16_384  # of spreadsheets
TAIL_ROWS, BRIEF_ROWS = 3, 3
ROW_CHARS = 300
PATH_KEY_CHARS = 80  # of each key in a path: long ones in each other would add up

NUMBER = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?")
_DATE = re.compile(r"\d{4}-\d\d-\d\d([ T].*)?|\d{1,2}[/.]\d{1,2}[/.]\d{2,4}")


class Row(NamedTuple):
    """A row as it stands in the file."""

    number: int  # of the line in a csv, of the row in a sheet: from 1
    cells: Sequence[str]  # none: a blank one
    raw: str = ""  # as written, where that is text


@dataclass(frozen=True)
class Header:
    """Which row names the columns."""

    number: int  # its `Row.number`; 0: none does
    cells: Sequence[str] = ()
    doubt: str = ""  # why it may be another one
    is_pairs: bool = False  # labels and their values: no table


@dataclass(frozen=True)
class RawTable:
    """A table of a file, with what stands above it."""

    name: str  # of the sheet, or the path in JSON; "" for the only one
    rows: Sequence[Row]
    header: Header


@dataclass(frozen=True)
class Survey:
    """A table, walked once. Item 1 is its first row that is not blank, names or not."""

    rows: int
    columns: int
    header: Header
    uncounted: bool  # there are more than `rows`
    held: str  # what each column holds
    repeated: tuple[str, ...]  # names that more than one column has
    ragged: int  # rows that are shorter or longer than that of the names
    shown: tuple[str, ...]
    tail: tuple[str, ...]  # the last rows, as far as they are not among the shown
    brief: tuple[str, ...]  # the names and the first rows under them
    first_number: int  # of the first row that is not blank


# -- the names of the columns ------------------------------------------------------------------------------------------


def find_header(rows: Iterable[Row]) -> Header:
    """From the first rows of a table, the blank ones included."""
    sample = _Sample([row for row in islice(rows, SAMPLED_ROWS)])
    if not sample.full:
        return Header(0)
    if sample.is_pairs:
        return Header(0, doubt="it holds labels and their values", is_pairs=True)
    if sample.comments:
        return _below_comments(sample)
    return _first_names(sample)


def chosen_header(rows: Sequence[Row] | Iterable[Row], number: int | None) -> Header:
    """The row of this number; for None the one that is found. Raises ToolError where there is none, or a doubt."""
    if number == 0:
        return Header(0)
    if number is not None:
        named = next((row for row in rows if row.number == number), None)
        if named is None or not any(named.cells):
            raise ToolError(f"there is nothing in line {number}: `header` is the line or row with the column names")
        return Header(number, named.cells)
    found = find_header(rows)
    if found.doubt:
        raise ToolError(f"it is not certain which row names the columns: {found.doubt}; give its number in `header`")
    return found


def column_names(header: Sequence[str], width: int = 0) -> list[str]:
    """Each once: a second `id` is `id_2`, a column without a name `column_3`; for at least `width` columns."""
    header = [*header, *[""] * (width - len(header))]
    if len(header) > MAX_COLUMNS:
        raise ToolError(f"the table has {len(header):,} columns; the limit is {MAX_COLUMNS:,}")
    names = [name or f"column_{number}" for number, name in enumerate(header, 1)]
    given, used = set(names), set[str]()
    suffixes: dict[str, Iterator[int]] = defaultdict(lambda: count(2))
    unique = []
    for name in names:
        repeated = (f"{name}_{suffix}" for suffix in suffixes[name])
        unique.append(next(key for key in repeated if key not in given) if name in used else name)
        used.add(name)
    return unique


class _Sample:
    """The first rows of a table, by what they could be."""

    def __init__(self, rows: list[Row]) -> None:
        self.rows = rows
        cells = [[cell.strip() for cell in row.cells] for row in rows]
        self.kinds = [[_kind(cell) for cell in row] for row in cells]
        self.widths = [max((at for at, cell in enumerate(row, 1) if cell), default=0) for row in cells]
        self.filled = [sum(map(bool, row)) for row in cells]
        lead = next((at for at, row in enumerate(cells) if self.filled[at] and not re.match("#.", row[0])), 0)
        self.comments = [at for at in range(lead) if self.filled[at]]
        usual = Counter(width for width in self.widths[lead:] if width)
        often = [width for width, times in usual.items() if times > 1]
        self.width = max(often or usual, default=0)
        self.full = [at for at in range(lead, len(rows)) if self.filled[at] and not self.is_narrow(at)]
        self.is_pairs = not self.comments and self._is_pairs(cells)

    def is_narrow(self, at: int) -> bool:
        """A title or a note: a few cells at the left, where the table has many."""
        return self.widths[at] < self.width and self.filled[at] * 2 <= self.width

    def is_broken(self, first: int, last: int) -> bool:
        """Whether something that is no row of a table stands between two rows."""
        return any(not self.filled[at] or self.is_narrow(at) for at in range(first, last))

    def are_names(self, at: int) -> bool:
        """Texts; or numbers or days that go on from one to the next, as years over columns do."""
        kinds = self.kinds[at]
        if "number" not in kinds and "date" not in kinds:
            return "text" in kinds
        values = [
            cell.strip() for cell, kind in zip(self.rows[at].cells, kinds, strict=True) if kind != "text" and cell
        ]
        numbers = [float(value) for value in values if NUMBER.fullmatch(value)]
        if len(numbers) == len(values):
            rising = all(left < right for left, right in pairwise(numbers))
            years = all(value.isdecimal() and 1500 < int(value) < 2200 for value in values)
            return rising and (years or (len(values) > 1 and "text" in kinds)) and self._differs_below(at, years=years)
        return not numbers and len(values) > 1 and values == sorted(set(values))

    def stands_over_values(self, at: int) -> bool:
        """Whether it is all text, and the next row of the table is not."""
        below = next((row for row in self.full if row > at), None)
        if below is None or set(self.kinds[at]) - {"text", "blank"}:
            return False
        pairs = zip(self.kinds[at], self.kinds[below], strict=False)
        return any(above == "text" and under in ("number", "date") for above, under in pairs)

    def _differs_below(self, at: int, *, years: bool) -> bool:
        """Whether the numbers of a row are of another sort than those under them."""
        below = next((row for row in self.full if row > at), None)
        if below is None or not years:
            return below is None or self.kinds[below] != self.kinds[at]
        under = [cell for cell, kind in zip(self.rows[below].cells, self.kinds[below], strict=True) if kind == "number"]
        return not all(cell.strip().isdecimal() and 1500 < int(cell) < 2200 for cell in under) or not under

    def _is_pairs(self, cells: list[list[str]]) -> bool:
        """Two columns, the first of labels, the second of values of all sorts."""
        rows = [at for at in range(len(cells)) if self.filled[at]]
        if len(self.rows) >= SAMPLED_ROWS or self.width != 2 or len(rows) < 3:
            return False
        labels = [cells[at][0] for at in rows]
        if len(set(labels)) < len(labels) or any(_kind(label) != "text" for label in labels):
            return False
        if sum(label.endswith(":") for label in labels) * 5 >= len(labels) * 4:
            return True
        sorts = Counter(self.kinds[at][1] for at in rows if len(self.kinds[at]) > 1 and self.kinds[at][1] != "blank")
        return sum(sorts.values()) > 2 and max(sorts.values()) * 2 <= sum(sorts.values())


def _below_comments(sample: _Sample) -> Header:
    first, last = sample.full[0], sample.comments[-1]
    header = _first_names(sample)
    if header.number and not header.doubt and sample.are_names(first) and sample.stands_over_values(first):
        return header
    if sample.widths[last] < sample.width - 1 or sample.width < 2:
        return header
    if len(sample.comments) == 1 and not sample.are_names(first):
        return Header(sample.rows[last].number, sample.rows[last].cells)
    return _doubtful(sample, first, last)


def _first_names(sample: _Sample) -> Header:
    first, tops = sample.full[0], sample.full[:MAX_PREAMBLE_ROWS]
    over = [at for at in tops if sample.stands_over_values(at)]
    if first not in over and over and sample.is_broken(first, over[0]):
        above = [at for at in tops if at < over[0]]
        notes = sum(sample.is_narrow(at) for at in range(first, over[0]))
        if notes >= 2 * len(above):
            return _named(sample, over[0])
        return _doubtful(sample, first, over[0])
    later = [at for at in over if at > first and at < MAX_PREAMBLE_ROWS and not sample.filled[at - 1]]
    if first in over and later:
        return _doubtful(sample, first, later[0])
    if not sample.are_names(first):
        return _doubtful(sample, first)
    return _named(sample, first)


def _named(sample: _Sample, at: int) -> Header:
    """The row at `at`, unless the one above it groups its columns."""
    above = sample.rows[at - 1] if at else None
    if above and sample.filled[at - 1] > 1 and not all(cell.strip() for cell in above.cells[: sample.widths[at - 1]]):
        return _doubtful(sample, at - 1, at)
    return Header(sample.rows[at].number, sample.rows[at].cells)


def _doubtful(sample: _Sample, *candidates: int) -> Header:
    rows = [sample.rows[at] for at in candidates]
    told = " or ".join(f"{row.number} ({clipped_row(row.cells)})" for row in rows)
    doubt = f"perhaps {told}" if len(rows) > 1 else f"{told} looks like data, 0 stands for none"
    likeliest = next((row for row, at in zip(rows, candidates, strict=True) if sample.are_names(at)), None)
    return Header(likeliest.number if likeliest else 0, likeliest.cells if likeliest else (), doubt=doubt)


def clipped_row(cells: Sequence[str]) -> str:
    """The first cells, short, as a quotation."""
    text = ", ".join(cell[:20] for cell in cells[:4])
    return f"`{' '.join(text.replace('`', chr(39)).split())[:60]}{'…' if len(cells) > 4 else ''}`"


# -- a look at a table -------------------------------------------------------------------------------------------------


def survey(rows: Iterable[Row], *, first: int, stop: int, max_cells: int, blanks: bool = False) -> Survey:
    """Shows the rows from `first` to before `stop`; ends when more than `max_cells` cells were walked.

    `blanks`: those without a cell count too, as in a sheet.
    """
    rows = iter(rows)
    sample = list(islice(rows, SAMPLED_ROWS))
    walk = _Walk(find_header(sample), first, stop, max_cells)
    counted = (row for row in chain(sample, rows) if row[1] or blanks)
    for row in islice(counted, max(stop, SURVEYED_ROWS)):
        walk.see(row)
    walk.count(counted)
    return walk.result(next((row.number for row in sample if row.cells or blanks), 0))


class _Walk:
    """Counts rows, cells and the width on the way through, and keeps what is shown."""

    def __init__(self, header: Header, first: int, stop: int, max_cells: int) -> None:
        self.header = header
        self.rows = self.width = self.ragged = 0
        self.stopped = False
        self._start, self._stop = first, stop
        self._cells_left = max_cells
        self._shown: list[str] = []
        self._brief: list[str] = []
        self._tail: deque[Row] = deque(maxlen=TAIL_ROWS)
        self._columns: list[_Column] = []
        self._usual = len(header.cells)

    def see(self, row: Row) -> None:
        """One that may be shown, or says what its columns hold."""
        width = len(row.cells)
        self._cells_left -= width or 1
        if self.stopped or self._cells_left < 0:
            self.stopped = True
            return
        self.rows += 1
        self.width = max(self.width, width)
        if self.rows >= self._stop:
            self._tail.append(row)
        elif self.rows >= self._start:
            self._shown.append(_row_text(row))
        if self.rows > SURVEYED_ROWS:
            self.ragged += width != self._usual
        elif row.number >= self.header.number:
            self._see_cells(row)

    def count(self, rows: Iterable[Row]) -> None:
        """The rest, of which there may be millions."""
        left, most, usual, seen, ragged = self._cells_left, self.width, self._usual, 0, 0
        for row in () if self.stopped else rows:
            width = len(row[1])
            left -= width or 1
            if left < 0:
                self.stopped = True
                break
            seen += 1
            ragged += width != usual
            if width > most:
                most = width
            self._tail.append(row)
        self.width, self.rows, self.ragged = most, self.rows + seen, self.ragged + ragged

    def _see_cells(self, row: Row) -> None:
        """Of the row with the names and of those below it."""
        number, cells, _ = row
        width = len(cells)
        if len(self._brief) < BRIEF_ROWS:
            self._brief.append(_row_text(row))
        self._usual = self._usual or width
        self.ragged += width != self._usual
        if number != self.header.number:
            columns = self._columns
            if width > len(columns) < SURVEYED_COLUMNS:
                columns += [_Column() for _ in range(len(columns), min(width, SURVEYED_COLUMNS))]
            for column, cell in zip(columns, cells, strict=False):
                column.see(cell)

    def result(self, first_number: int) -> Survey:
        names = self.header.cells[:SURVEYED_COLUMNS]
        whole = not self.stopped and self.rows <= SURVEYED_ROWS
        repeated = tuple(name for name, times in Counter(self.header.cells).items() if times > 1 and name.strip())
        shown = [*names, *(str(number) for number in range(len(names) + 1, len(self._columns) + 1))]
        held = zip(shown, self._columns, strict=False)
        return Survey(
            rows=self.rows,
            columns=self.width,
            header=self.header,
            uncounted=self.stopped,
            held="; ".join(f"{name[:40]}: {column.text(whole=whole)}" for name, column in held),
            repeated=repeated,
            ragged=self.ragged,
            shown=tuple(self._shown),
            tail=() if self.stopped else tuple(map(_row_text, self._tail)),
            brief=tuple(self._brief),
            first_number=first_number,
        )


@dataclass
class _Column:
    """What the cells of a column are."""

    kinds: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)
    total: Decimal | None = Decimal(0)  # exact, as a float's sum is not; None once a number has an exponent

    def see(self, cell: str) -> None:
        kind = _kind(cell)
        self.kinds[kind] += 1
        self.examples.setdefault(kind, cell)
        if kind == "number" and self.total is not None:
            self.total = None if "e" in cell.lower() else self.total + Decimal(cell.strip())

    def text(self, *, whole: bool) -> str:
        """`whole`: every row was seen, so that the sum is the column's."""
        found = [kind for kind, _ in self.kinds.most_common() if kind != "blank"]
        if not found:
            return "blank"
        total = [f"sum {self.total}"] if whole and found[0] == "number" and self.total is not None else []
        blank = [f"{self.kinds['blank']} blank"] if self.kinds["blank"] else []
        odd = [f"{self.kinds[kind]} {kind} such as {self.examples[kind][:20]!r}" for kind in found[1:]]
        return ", ".join([found[0], *total, *blank, *(odd if found[0] != "text" else [])])


def _kind(cell: str) -> str:
    cell = cell[:40].strip()
    if not cell:
        return "blank"
    if NUMBER.fullmatch(cell):
        return "number"
    return "date" if _DATE.fullmatch(cell) else "text"


def _row_text(row: Row) -> str:
    """As it was written, or as csv; on one line and not too long."""
    if row.raw:
        text = " ".join(row.raw[: ROW_CHARS + 1].rstrip("\r\n").splitlines())
        return text if len(text) <= ROW_CHARS else text[:ROW_CHARS] + "…"
    file = io.StringIO()
    csv.writer(file, lineterminator="").writerow(
        [" ".join(cell[:ROW_CHARS].splitlines()) for cell in row.cells[:ROW_CHARS]]
    )
    return file.getvalue() if file.tell() <= ROW_CHARS else file.getvalue()[:ROW_CHARS] + "…"


# -- lists of JSON as tables -------------------------------------------------------------------------------------------


def lists_in(document: Any) -> Iterator[tuple[str, list[Any]]]:
    """Every list of a JSON document that holds something, with its path."""
    waiting = [("", document)]
    while waiting:
        path, value = waiting.pop()
        inner = value.items() if isinstance(value, dict) else enumerate(value)
        waiting += [
            (f"{path}.{str(key)[:PATH_KEY_CHARS]}".lstrip("."), item)
            for key, item in inner
            if isinstance(item, dict | list)
        ]
        if isinstance(value, list) and value:
            yield path, value


def list_rows(items: Sequence[Any]) -> Iterator[list[str]]:
    """Objects as rows under a header, the keys of all of them; other items as a column without a name."""
    objects = [item if isinstance(item, dict) else {"": item} for item in items]
    header = list(dict.fromkeys(key for item in objects for key in item))
    yield header
    for item in objects:
        yield [_cell_text(item.get(key)) for key in header]


def _cell_text(value: Any) -> str:
    return value or "" if value is None or isinstance(value, str) else json.dumps(value, ensure_ascii=False)
