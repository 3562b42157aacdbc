"""What each kind of file has to show a person who sees it first, and from where on when more is wanted.

Everything here reads hostile bytes: lines, rows, pages and items are bounded, and so is what is unpacked or parsed.
"""

import csv
import io
import wave
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from agent.errors import ToolError
from agent.files.archives import (
    MAX_CELLS,
    ZIP_MAGIC,
    SheetMarkup,
    formulas_without_value,
    is_xlsx,
    open_zip,
    read_member,
    sheet_markup,
    sheet_rows,
    workbook,
)
from agent.files.images import image_facts, svg_facts
from agent.files.outlines import language, outline
from agent.files.pdfs import PDF_MAGIC, pdf_pages
from agent.files.tables import Table, csv_rows, survey
from agent.files.texts import decoded, line_ends
from agent.files.trees import follow, json_text, json_tree, shape, yaml_tree
from agent.quoting import clip

RAW_TREE_CHARS = 2_000  # of JSON or YAML shown as it stands
SHEET_CELLS, CSV_CELLS = 300_000, 3_000_000  # walked for a first look, some 3 s each; beyond it says "more than"
SMALL_TABLE_ROWS, HEAD_ROWS, PAGE_ROWS = 40, 10, 200  # a small table is shown whole
OUTLINED_LINES = 60  # a shorter source file is its own outline
PDF_CHARS = 20_000  # read for a look
ITEM_CHARS = 300
MAX_LOOK_CHARS = 30_000  # no one is shown more at a time


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
class Look:
    """What one file has to show. `facts` are ours; all other texts are foreign."""

    facts: str
    lines: Iterable[str] = ()  # from the window's start on
    intro: str = ""
    tail: Sequence[str] = ()  # the last ones, where a first look skips the middle
    units: str = "lines"
    total: int = 0
    uncounted: bool = False  # there are more than `total`

    @property
    def number(self) -> str:
        return f"more than {self.total}" if self.uncounted else str(self.total)


def look(name: str, data: bytes, window: Window = FIRST_LOOK) -> Look:
    """By what the bytes are, then by the ending of the name. ToolError only for a part that is not there."""
    found = _look(name, data, window)
    return replace(found, lines=tuple(_bounded(found.lines)))


def text_look(data: bytes, window: Window) -> Look | None:
    """Text of any kind as its lines; None for bytes that are no text."""
    found = decoded(data)
    if found is None:
        return None
    shown = _text("text", data, *found, window)
    return replace(shown, lines=tuple(_bounded(shown.lines)))


def _bounded(lines: Iterable[str]) -> Iterator[str]:
    room = MAX_LOOK_CHARS
    for line in lines:
        yield line[:MAX_LOOK_CHARS]
        room -= len(line) + 1
        if room < 0:
            return


def _look(name: str, data: bytes, window: Window) -> Look:
    if found := _by_first_bytes(data, window):
        return found
    text = decoded(data)
    if text is None:
        return _unknown(data)
    suffix = name.lower().rpartition(".")[2]
    if suffix in _BY_SUFFIX:
        return _BY_SUFFIX[suffix](data, *text, window)
    if language(name):
        return _code(name, data, *text, window)
    if suffix != "txt" and text[0].lstrip()[:1] in ("{", "["):
        return _json(data, *text, window)
    return _text(svg_facts(text[0]) or "text", data, *text, window)


def _by_first_bytes(data: bytes, window: Window) -> Look | None:
    if not data:
        return Look("empty, 0 bytes")
    if image := image_facts(data):
        return Look(f"{image}, {len(data):,} bytes")
    if data.startswith(ZIP_MAGIC):
        return _archive(data, window)
    return _pdf(data, window) if data.startswith(PDF_MAGIC) else None


# -- texts -------------------------------------------------------------------------------------------------------------


def _text(kind: str, data: bytes, text: str, encoding: str, window: Window) -> Look:
    total = text.count("\n") + (not text.endswith("\n") and bool(text))
    lines = (line.removesuffix("\n").removesuffix("\r") for line in io.StringIO(text, newline="\n"))
    facts = f"{kind}, {len(data):,} bytes, {encoding}, {total:,} lines{line_ends(text)}"
    return Look(facts, window.cut(lines), total=total)


def _code(name: str, data: bytes, text: str, encoding: str, window: Window) -> Look:
    whole = _text(f"{language(name)} source", data, text, encoding, window)
    entries = outline(name, text) if window.is_first_look and whole.total > OUTLINED_LINES else []
    return replace(whole, intro="\n".join(["outline:", *entries, "source:"]) if entries else "")


def _pdf(data: bytes, window: Window) -> Look:
    """Page by page; a page's text is one item."""
    try:
        pages = pdf_pages(data, start=window.start, max_chars=PDF_CHARS)
    except ToolError as error:
        return _unopened("PDF", data, window, error)
    texts = [text.strip() for text in pages.texts]
    blank = "" if any(texts) or not texts else "; these pages hold no text, perhaps pictures of it"
    lines = (f"[page {number}]\n{text}" for number, text in enumerate(texts, window.start))
    facts = f"PDF, {len(data):,} bytes, {pages.total} pages{blank}"
    return Look(facts, islice(lines, window.count or None), units="pages", total=pages.total)


# -- archives and unknown bytes ----------------------------------------------------------------------------------------


def _archive(data: bytes, window: Window) -> Look:
    try:
        if is_xlsx(data):
            return _xlsx(data, window)
        with open_zip(data) as archive:
            if window.part:
                member = read_member(archive, window.part)
                return _member(window.part, member, replace(window, part=""))
            lines = [f"{entry.file_size:,} bytes  {clip(entry.filename, ITEM_CHARS)}" for entry in archive.infolist()]
    except ToolError as error:
        return _unopened("zip or Office file", data, window, error)
    facts = f"zip, {len(data):,} bytes, {len(lines)} entries"
    return Look(facts, window.cut(lines), units="entries", total=len(lines))


def _member(name: str, data: bytes, window: Window) -> Look:
    """A file of an archive as any other, but that no archive in it is listed."""
    return _unknown(data) if data.startswith(ZIP_MAGIC) and not is_xlsx(data) else _look(name, data, window)


def _unopened(kind: str, data: bytes, window: Window, error: ToolError) -> Look:
    """A first look says why; whoever asked for more is answered with the error."""
    if not window.is_first_look or window.part:
        raise error
    return Look(f"{kind}, {len(data):,} bytes, not opened: {error}")


_MAGIC = (
    (b"\xd0\xcf\x11\xe0", "old Office file (.xls, .doc)"),
    (b"\x1f\x8b", "gzip"),
    (b"SQLite format 3", "SQLite database"),
    (b"ID3", "MP3 audio"),
    (b"\xff\xfb", "MP3 audio"),
    (b"fLaC", "FLAC audio"),
    (b"OggS", "Ogg audio or video"),
    (b"RIFF", "RIFF (WAV audio or AVI video)"),
    (b"II*\0", "TIFF image"),
    (b"MM\0*", "TIFF image"),
    (b"\0\0\1\0", "icon (.ico)"),
    (b"wOF", "web font"),
)


def _unknown(data: bytes) -> Look:
    kind = _wave(data) or next((kind for magic, kind in _MAGIC if data.startswith(magic)), "unknown bytes")
    return Look(f"{'MP4 media' if data[4:8] == b'ftyp' else kind}, {len(data):,} bytes, first {data[:32].hex(' ')}")


def _wave(data: bytes) -> str | None:
    """WAV audio as its header describes it."""
    if not (data.startswith(b"RIFF") and data[8:12] == b"WAVE"):
        return None
    try:
        with wave.open(io.BytesIO(data)) as sound:
            duration_s = sound.getnframes() / sound.getframerate()
            return f"WAV audio, {duration_s:.1f} s, {sound.getnchannels()} channels, {sound.getframerate()} Hz"
    except (wave.Error, EOFError, ArithmeticError, RuntimeError):  # not PCM, cut off, nonsense
        return "WAV audio"


# -- tables ------------------------------------------------------------------------------------------------------------


def _csv(data: bytes, text: str, encoding: str, window: Window) -> Look:
    delimiter, rows = csv_rows(text)
    max_cells = CSV_CELLS if window.is_first_look else len(text) + 1
    try:
        table = survey(rows, delimiter, first=window.start, stop=window.stop, max_cells=max_cells)
    except csv.Error:  # an open quote, or no table at all
        return _text("text, no readable csv", data, text, encoding, window)
    crlf = " with CRLF line ends" if "\r\n" in text else ""
    word = {"\t": "tab"}.get(delimiter, f'"{delimiter}"')
    ragged = f"; {table.ragged} rows are shorter or longer than the first" if table.ragged else ""
    facts = f"csv, {len(data):,} bytes, {encoding}{crlf}, delimiter {word}{ragged}"
    return _table(table, facts, window)


def _xlsx(data: bytes, window: Window) -> Look:
    with workbook(data) as book:
        sheets = [f"{s.title} ({s.max_row or '?'} rows x {s.max_column or '?'} columns)" for s in book.worksheets]
        max_cells = SHEET_CELLS if window.is_first_look else MAX_CELLS
        rows = sheet_rows(book, window.part)
        table = survey(rows, ",", first=window.start, stop=window.stop, max_cells=max_cells)
        markup = sheet_markup(data, book, window.part)
    hollow = formulas_without_value(data)
    note = f"; {hollow} formulas have no stored value and read as empty" if hollow else ""
    found = _table(table, f"xlsx, {len(data):,} bytes, sheets: {len(sheets)}{note}; this sheet", window)
    intro = [f"sheets: {clip(', '.join(sheets), ITEM_CHARS)}", *_markup(markup), found.intro]
    return replace(found, intro="\n".join(filter(None, intro))) if window.is_first_look else found


def _markup(sheet: SheetMarkup) -> Iterator[str]:
    if sheet.merged:
        yield f"merged ranges, whose value stands in the first cell: {sheet.merged}, such as {', '.join(sheet.ranges)}"
    if sheet.formulas:
        yield f"formulas, read by their stored values: {sheet.formulas}, such as {', '.join(sheet.such_as)}"


def _table(table: Table, facts: str, window: Window) -> Look:
    more = "more than " if table.uncounted else ""
    first = "the header included" if table.has_header else "no header"
    overview = window.is_first_look
    whole = table.rows <= SMALL_TABLE_ROWS and not table.uncounted
    intro = [f"columns: {table.held}" if table.held else ""]
    intro += [f"more than one column is named: {clip(', '.join(table.repeated), ITEM_CHARS)}"] * bool(table.repeated)
    return Look(
        f"{facts}, {more}{table.rows} rows ({first}) x {table.columns} columns",
        table.shown if whole or not overview else table.shown[:HEAD_ROWS],
        intro="\n".join(filter(None, intro)) if overview else "",
        tail=table.tail if overview else (),
        units="rows",
        total=table.rows,
        uncounted=table.uncounted,
    )


# -- JSON and YAML -----------------------------------------------------------------------------------------------------


def _json(data: bytes, text: str, encoding: str, window: Window) -> Look:
    return _tree("JSON", json_tree, data, text, encoding, window)


def _yaml(data: bytes, text: str, encoding: str, window: Window) -> Look:
    return _tree("YAML", yaml_tree, data, text, encoding, window)


def _tree(kind: str, parse: Callable[[str], Any], data: bytes, text: str, encoding: str, window: Window) -> Look:
    try:
        value = parse(text)
    except ToolError as error:
        return _text(f"text, {error}", data, text, encoding, window)
    if len(text) <= RAW_TREE_CHARS and window.is_first_look and not window.part:
        return _text(kind, data, text, encoding, window)
    value = follow(value, window.part)
    if isinstance(value, dict):
        items = (f"{json_text(key)}: {_item(item)}" for key, item in value.items())
    else:
        value = value if isinstance(value, list) else [value]
        items = (_item(item) for item in value)
    facts = f"{kind}, {len(data):,} bytes, {encoding}, {len(value)} {'keys' if isinstance(value, dict) else 'items'}"
    return Look(facts, window.cut(items), f"shape: {clip(shape(value), 600)}", units="items", total=len(value))


def _item(value: Any) -> str:
    return clip(json_text(value), ITEM_CHARS)


_BY_SUFFIX: dict[str, Callable[[bytes, str, str, Window], Look]] = {
    **dict.fromkeys(("csv", "tsv"), _csv),
    **dict.fromkeys(("json", "geojson"), _json),
    **dict.fromkeys(("yaml", "yml"), _yaml),
}
