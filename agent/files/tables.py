"""Tables as a person looks at them: how large, what each column holds, the first rows and the last."""

import csv
import io
import json
import re
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

SURVEYED_ROWS, SURVEYED_COLUMNS = 20_000, 40  # looked at to say what a column holds
TAIL_ROWS = 3
ROW_CHARS = 300
PATH_KEY_CHARS = 80  # of each key in a path: long ones in each other would add up

NUMBER = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?")
_DATE = re.compile(r"\d{4}-\d\d-\d\d([ T].*)?|\d{1,2}[/.]\d{1,2}[/.]\d{2,4}")


@dataclass(frozen=True)
class Table:
    """A table, walked once. Row 1 is its first row, header or not."""

    rows: int
    columns: int
    has_header: bool
    uncounted: bool  # there are more than `rows`
    held: str  # what each column holds
    repeated: tuple[str, ...]  # names that more than one column has
    ragged: int  # rows that are shorter or longer than the first
    shown: tuple[str, ...]
    tail: tuple[str, ...]  # the last rows, as far as they are not among the shown


def survey(rows: Iterable[Sequence[str]], delimiter: str, *, first: int, stop: int, max_cells: int) -> Table:
    """Shows the rows from `first` to before `stop`; ends when more than `max_cells` cells were walked."""
    counter = _Counter(max_cells)
    shown: list[Sequence[str]] = []
    tail: deque[Sequence[str]] = deque(maxlen=TAIL_ROWS)
    columns: list[_Column] = []
    header: Sequence[str] = ()
    ragged = 0
    for number, row in enumerate(counter.count(rows), 1):
        if first <= number < stop:
            shown.append(row)
        elif number >= stop:
            tail.append(row)
        if number == 1:
            header = row
        ragged += len(row) != len(header)
        if 1 < number <= SURVEYED_ROWS:
            columns += [_Column() for _ in range(len(columns), min(len(row), SURVEYED_COLUMNS))]
            for column, cell in zip(columns, row, strict=False):
                column.see(cell)
    repeated = tuple(name for name, times in Counter(header).items() if times > 1 and name.strip())
    header = header[:SURVEYED_COLUMNS]
    has_header = bool(header) and all(_kind(cell) == "text" for cell in header)
    whole = not counter.stopped and counter.rows <= SURVEYED_ROWS
    names = header if has_header else [str(n) for n in range(1, len(columns) + 1)]
    return Table(
        rows=counter.rows,
        columns=counter.width,
        has_header=has_header,
        uncounted=counter.stopped,
        held="; ".join(
            f"{name[:40]}: {column.text(whole=whole)}" for name, column in zip(names, columns, strict=False)
        ),
        shown=tuple(_row_text(row, delimiter) for row in shown),
        repeated=repeated if has_header else (),
        ragged=ragged,
        tail=() if counter.stopped else tuple(_row_text(row, delimiter) for row in tail),
    )


def csv_rows(text: str) -> tuple[str, Iterator[list[str]]]:
    """The delimiter and the rows, without empty lines; they raise csv.Error for a monstrous cell."""
    delimiter = _delimiter("".join(text[:10_000].splitlines()[:1]))
    return delimiter, (row for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter) if row)


def _delimiter(line: str) -> str:
    """What cuts the line into most cells; of equals not the comma, which stands in numbers and sentences too."""
    cells = {delimiter: len(next(csv.reader([line], delimiter=delimiter), [])) for delimiter in "\t;|,"}
    best = max(cells, key=lambda delimiter: cells[delimiter])
    return best if cells[best] > 1 else ","


class _Counter:
    """Counts rows, cells and the width on the way through."""

    def __init__(self, max_cells: int) -> None:
        self.rows = self.width = 0
        self.stopped = False
        self._cells_left = max_cells

    def count(self, rows: Iterable[Sequence[str]]) -> Iterator[Sequence[str]]:
        for row in rows:
            self._cells_left -= max(1, len(row))
            if self._cells_left < 0:
                self.stopped = True
                return
            self.rows += 1
            self.width = max(self.width, len(row))
            yield row


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


def _row_text(row: Sequence[str], delimiter: str) -> str:
    text = io.StringIO()
    cells = [" ".join(cell[:ROW_CHARS].splitlines()) for cell in row[:ROW_CHARS]]
    csv.writer(text, delimiter=delimiter, lineterminator="").writerow(cells)
    return text.getvalue() if text.tell() <= ROW_CHARS else text.getvalue()[:ROW_CHARS] + "…"


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
