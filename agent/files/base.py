"""What each kind of file tells the others: how it is recognised, shown and converted, and which tables it holds."""

import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

from agent.errors import ToolError
from agent.files.tables import RawTable, Survey
from agent.files.texts import Text, decoded, line_ends
from agent.quoting import clip

SMALL_TABLE_ROWS, HEAD_ROWS, PAGE_ROWS = 40, 10, 200  # a small table is shown whole
ITEM_CHARS = 300


@dataclass(frozen=True)
class Window:
    """What is wanted: a part (sheet, zip member or path into JSON), from item `start` on; `count` 0: as many as fit."""

    part: str = ""
    start: int = 1
    count: int = 0

    @property
    def is_first_look(self) -> bool:
        return self.start == 1 and not self.count

    @property
    def stop(self) -> int:
        """The number of the row before which a table's page ends."""
        return self.start + (self.count or (SMALL_TABLE_ROWS if self.is_first_look else PAGE_ROWS))

    def cut(self, items: Iterable[str]) -> Iterator[str]:
        return islice(items, self.start - 1, self.start - 1 + self.count if self.count else None)


FIRST_LOOK = Window()


@dataclass(frozen=True)
class Rendering:
    """What one file has to show. `facts` are ours; all other texts are foreign."""

    facts: str
    lines: Iterable[str] = ()  # from the window's start on
    intro: str = ""
    tail: Sequence[str] = ()  # the last ones, where a first look skips the middle
    units: str = "lines"
    total: int = 0
    uncounted: bool = False  # there are more than `total`
    brief: Sequence[str] = ()  # the few lines that tell most, where these are not the first
    sections: Sequence["Rendering"] = ()  # instead of lines: the sheets of a workbook, say

    @property
    def number(self) -> str:
        return f"more than {self.total}" if self.uncounted else str(self.total)


@dataclass(frozen=True)
class ConversionOptions:
    """A part of the file (sheet, zip member, path into JSON), the place of the column names, an image's width."""

    part: str = ""
    width: int = 0  # in pixels; 0: as it is
    header: int | None = None  # the line or row that names the columns, from 1; 0: none does; None: the one found


Renderer = Callable[[str, bytes, Window], Rendering]  # name, bytes; ToolError only for a part that is not there
Converter = Callable[[bytes, ConversionOptions], bytes]  # raises ToolError


@dataclass(frozen=True)
class Kind:
    """One kind of file. A kind without endings is told by its bytes, one without `owns` by the ending of its name."""

    name: str
    render: Renderer
    endings: tuple[str, ...] = ()  # without the dot, the usual one first
    owns: Callable[[bytes], bool] = lambda data: False  # by the bytes alone, whatever the name
    is_data: bool = False  # tables or trees of values, which are carried over by code and never retyped
    conversions: Mapping[str, Converter] = field(default_factory=dict)  # by the ending of what is made
    tables: Callable[[bytes], Iterator[RawTable]] | None = None  # raises ToolError
    parts: Callable[[bytes], Sequence[str]] | None = None  # names of what becomes a file of its own each, as sheets do
    caveat: Callable[[bytes], str] = lambda data: ""  # what a conversion could not carry over for certain


def doubt_of_encoding(data: bytes) -> str:
    """What is to be told of a text whose letters were guessed."""
    found = decoded(data)
    return f"read as {found.encoding.removeprefix('perhaps ')}, a guess: {found.doubt}" if found and found.doubt else ""


def render_text(what: str, data: bytes, found: Text, window: Window) -> Rendering:
    """A text as its lines."""
    text = found.text
    total = text.count("\n") + (not text.endswith("\n") and bool(text))
    lines = (line.removesuffix("\n").removesuffix("\r") for line in io.StringIO(text, newline="\n"))
    facts = f"{what}, {len(data):,} bytes, {told_encoding(found)}, {total:,} lines{line_ends(text)}"
    return Rendering(facts, window.cut(lines), total=total)


def told_encoding(found: Text) -> str:
    """Its encoding, and the doubt about it."""
    doubts = [found.doubt] * bool(found.doubt) + ["letters may be garbled"] * found.is_garbled
    return f"{found.encoding} ({'; '.join(doubts)})" if doubts else found.encoding


def unopened(what: str, data: bytes, window: Window, error: ToolError) -> Rendering:
    """A first look says why; whoever asked for more is answered with the error."""
    if not window.is_first_look or window.part:
        raise error
    return Rendering(f"{what}, {len(data):,} bytes, not opened: {error}")


def render_table(table: Survey, facts: str, window: Window) -> Rendering:
    """Its columns, its first rows and its last; of a small one all."""
    more = "more than " if table.uncounted else ""
    overview = window.is_first_look
    whole = table.rows <= SMALL_TABLE_ROWS and not table.uncounted
    intro = [f"columns: {table.held}" if table.held else ""]
    intro += [f"more than one column is named: {clip(', '.join(table.repeated), ITEM_CHARS)}"] * bool(table.repeated)
    return Rendering(
        f"{facts}, {more}{table.rows} rows ({_told_header(table)}) x {table.columns} columns",
        table.shown if whole or not overview else table.shown[:HEAD_ROWS],
        intro="\n".join(filter(None, intro)) if overview else "",
        tail=table.tail if overview else (),
        units="rows",
        total=table.rows,
        uncounted=table.uncounted,
        brief=table.brief,
    )


def _told_header(table: Survey) -> str:
    header = table.header
    if header.is_pairs:
        return "labels and values, no header"
    if not header.number:
        return "no header"
    if header.doubt:
        return f"which row names the columns is not certain: {header.doubt}"
    return "the header included" if header.number == table.first_number else f"the header is row {header.number}"
