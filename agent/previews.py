"""What a person would want to see of a file first: the facts in our words, then foreign text inside a fence.

Everything here reads hostile bytes: lines, rows and items are bounded, and the fence cannot be imitated.
"""

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from agent.archives import MAX_CELLS, ZIP_MAGIC, formulas_without_value, open_zip, read_member, sheet_rows, workbook
from agent.errors import ToolError
from agent.images import image_facts
from agent.tables import Table, csv_rows, survey

MAX_JSON_BYTES = 5_000_000  # parsed, it takes up to twenty times as much memory
RAW_JSON_CHARS = 2_000  # shown as it stands
PREVIEW_CELLS = 500_000  # of a sheet, counted for a preview; beyond it says "more than"
SMALL_TABLE_ROWS, HEAD_ROWS, PAGE_ROWS = 40, 10, 200  # a small table is shown whole
ITEM_CHARS = 300
LABEL_CHARS = 80

_UNSHOWABLE = re.compile(  # controls, lone surrogates, marks of the text direction, what has no width, invisible tags
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)
_DASHES = (
    "\ufffd\u2010-\u2015\u2212\u2500-\u2503\ufe58\ufe63\uff0d=_~-"  # and what is left of a hidden sign between them
)
_FORGED_FENCE = re.compile(rf"^(?=[^\w\n]*[{_DASHES}]{{3,}}[^\w\n]*(?:begin|end)\b)", re.MULTILINE | re.IGNORECASE)


@dataclass(frozen=True)
class Window:
    """What is wanted: a part (sheet, zip member or JSON path), from item `start` on; `count` 0: as many as fit."""

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
class _Look:
    """What one kind of file has to show. `facts` are ours; all other texts are foreign."""

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


def preview(name: str, data: bytes, *, max_chars: int, window: Window = FIRST_LOOK) -> str:
    """What it is and its most telling part, at most `max_chars` long.

    Hostile bytes never raise; ToolError only for a part or a start that is not there.
    """
    return _compose(name, _look(name, data, window), window, max_chars)


def excerpt(name: str, data: bytes, *, max_chars: int, window: Window = FIRST_LOOK) -> str:
    """Like `preview`, but text of any kind is shown as its lines, exactly."""
    decoded = _decode(data)
    look = _text("text", data, *decoded, window) if decoded else _look(name, data, window)
    return _compose(name, look, window, max_chars)


def fence(name: str, text: str, *, max_chars: int) -> str:
    """Foreign text between two lines that it cannot imitate, at most `max_chars` long."""
    begin, end = f"--- begin {label(name)} (untrusted data) ---", f"--- end {label(name)} ---"
    room = max(0, max_chars - len(begin) - len(end) - 2)
    return f"{begin}\n{_clip(_FORGED_FENCE.sub('| ', plain(text)), room)}\n{end}"


def plain(text: str) -> str:
    """Without characters that hide text, upset a terminal or cannot be stored; each becomes U+FFFD."""
    return _UNSHOWABLE.sub("\ufffd", text)


def label(name: str) -> str:
    """A name as one short line, in quotes when it reads like a sentence."""
    line = _clip(" ".join(plain(name).split()), LABEL_CHARS)
    return f'"{line.replace(chr(34), chr(39))}"' if " " in line else line


# -- from a look to text -----------------------------------------------------------------------------------------------


def _compose(name: str, look: _Look, window: Window, max_chars: int) -> str:
    if look.total and window.start > look.total:
        raise ToolError(f"{label(name)} ends before {window.start}: it has {look.number} {look.units}")
    title = f"{label(name)}: {look.facts}"
    body, shown = _fit(look, window.start, max_chars - len(title) - 2 * len(label(name)) - 130)
    if not body:
        return _clip(title, max_chars)
    title += shown
    return f"{title}\n{fence(name, body, max_chars=max_chars - len(title) - 1)}"


def _fit(look: _Look, start: int, room: int) -> tuple[str, str]:
    """The lines that have room, and the words that say which ones these are."""
    intro = [_clip(look.intro, room // 3)] if look.intro and room > 3 else []
    tail = look.tail if sum(map(len, look.tail)) < room // 3 else ()
    room -= sum(len(line) + 1 for line in (*intro, *tail))
    lines: list[str] = []
    cut = False
    for line in look.lines:
        if room <= 0 or (lines and len(line) > room):
            break
        cut = len(line) > room
        lines.append(_clip(line, room))
        room -= len(line) + 1
    last = start + len(lines) - 1
    gap = bool(tail) and last < look.total - len(tail)
    body = "\n".join([*intro, *lines, *(["…"] if gap else []), *tail])
    shown = _shown(look, start, last if gap else last + len(tail), look.total - len(tail) + 1 if gap else 0)
    return body, shown + ("; the line is cut" if cut else "")


def _shown(look: _Look, first: int, last: int, tail: int) -> str:
    if tail:
        return f"; {look.units} {first}-{last} and {tail}-{look.total} are shown"
    more = last < look.total or look.uncounted
    if last < first or (first == 1 and not more):
        return ""
    return f"; {look.units} {first}-{last} of {look.number} are shown" + (f", start={last + 1} shows more" * more)


def _clip(text: str, max_chars: int) -> str:
    return text if len(text) <= max_chars else text[: max(0, max_chars - 1)] + "…"


# -- kinds -------------------------------------------------------------------------------------------------------------


def _look(name: str, data: bytes, window: Window) -> _Look:
    if not data:
        return _Look("empty, 0 bytes")
    if image := image_facts(data):
        return _Look(f"{image}, {len(data):,} bytes")
    if data.startswith(ZIP_MAGIC):
        return _archive(data, window)
    decoded = _decode(data)
    if decoded is None:
        return _unknown(data)
    text, encoding = decoded
    suffix = name.lower().rpartition(".")[2]
    if suffix in ("csv", "tsv"):
        return _csv(data, text, encoding, window)
    if suffix in ("json", "geojson") or (suffix not in ("js", "md", "txt") and text.lstrip()[:1] in ("{", "[")):
        return _json(data, text, encoding, window)
    return _text(_markup_kind(text), data, text, encoding, window)


def _text(kind: str, data: bytes, text: str, encoding: str, window: Window) -> _Look:
    breaks, crlf = text.count("\n"), text.count("\r\n")
    total = breaks + (not text.endswith("\n") and bool(text))
    ends = (
        "" if not breaks else " ending in LF" if not crlf else " ending in CRLF" if crlf == breaks else ", ends mixed"
    )
    lines = (line.removesuffix("\n").removesuffix("\r") for line in io.StringIO(text, newline="\n"))
    facts = f"{kind}, {len(data):,} bytes, {encoding}, {total:,} lines{ends}"
    return _Look(facts, window.cut(lines), total=total)


def _decode(data: bytes) -> tuple[str, str] | None:
    """Text and the name of its encoding; None for bytes that are no text."""
    for bom, codec in ((b"\xef\xbb\xbf", "UTF-8"), (b"\xff\xfe", "UTF-16-LE"), (b"\xfe\xff", "UTF-16-BE")):
        if data.startswith(bom):
            return data[len(bom) :].decode(codec, "replace"), f"{codec} with BOM"
    controls = len(data) - len(data.translate(None, bytes({*range(32)} - {*b"\t\n\r\f\x1b"})))
    if b"\0" in data or controls > len(data) // 100:
        return None
    try:
        return data.decode(), "ASCII" if data.isascii() else "UTF-8"
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace"), "not UTF-8, perhaps Windows-1252"


def _markup_kind(text: str) -> str:
    """`SVG image` with its size, else `text`."""
    tag = re.search(r"<svg\b[^>]{0,2000}>", text[:5000])
    if not tag:
        return "text"
    sizes = re.findall(r"\b(width|height|viewBox)\s*=\s*[\"']([\d .%-]{1,40}(?:px|em|mm)?)[\"']", tag[0])
    return " ".join(["SVG image", *(f"{key} {value}" for key, value in sizes[:3])])


_MAGIC = (
    (b"%PDF", "PDF"),
    (b"\xd0\xcf\x11\xe0", "old Office file (.xls, .doc)"),
    (b"\x1f\x8b", "gzip"),
    (b"SQLite format 3", "SQLite database"),
    (b"ID3", "MP3 audio"),
    (b"\xff\xfb", "MP3 audio"),
    (b"OggS", "Ogg audio or video"),
    (b"RIFF", "RIFF (WAV audio or AVI video)"),
    (b"wOF", "web font"),
)


def _unknown(data: bytes) -> _Look:
    kind = next((kind for magic, kind in _MAGIC if data.startswith(magic)), "unknown bytes")
    return _Look(f"{'MP4 media' if data[4:8] == b'ftyp' else kind}, {len(data):,} bytes, first {data[:32].hex(' ')}")


def _archive(data: bytes, window: Window) -> _Look:
    try:
        with open_zip(data) as archive:
            names = archive.namelist()
            if "xl/workbook.xml" in names:
                return _xlsx(data, window)
            if window.part:
                member = read_member(archive, window.part)
                inner = replace(window, part="")
                return _unknown(member) if member.startswith(ZIP_MAGIC) else _look(window.part, member, inner)
            lines = [f"{entry.file_size:,} bytes  {_clip(entry.filename, ITEM_CHARS)}" for entry in archive.infolist()]
    except ToolError as error:
        if not window.is_first_look or window.part:
            raise
        return _Look(f"zip or Office file, {len(data):,} bytes, not opened: {error}")
    facts = f"zip, {len(data):,} bytes, {len(lines)} entries"
    return _Look(facts, window.cut(lines), units="entries", total=len(lines))


# -- tables ------------------------------------------------------------------------------------------------------------


def _csv(data: bytes, text: str, encoding: str, window: Window) -> _Look:
    delimiter, rows = csv_rows(text)
    try:
        table = survey(rows, delimiter, first=window.start, stop=window.stop, max_cells=len(text) + 1)
    except csv.Error:  # an open quote, or no table at all
        return _text("text, no readable csv", data, text, encoding, window)
    crlf = " with CRLF line ends" if "\r\n" in text else ""
    word = {"\t": "tab"}.get(delimiter, f'"{delimiter}"')
    return _table(table, f"csv, {len(data):,} bytes, {encoding}{crlf}, delimiter {word}", window)


def _xlsx(data: bytes, window: Window) -> _Look:
    with workbook(data) as book:
        sheets = [f"{s.title} ({s.max_row or '?'} rows x {s.max_column or '?'} columns)" for s in book.worksheets]
        max_cells = PREVIEW_CELLS if window.is_first_look else MAX_CELLS
        rows = sheet_rows(book, window.part)
        table = survey(rows, ",", first=window.start, stop=window.stop, max_cells=max_cells)
    hollow = formulas_without_value(data)
    note = f"; {hollow} formulas have no stored value and read as empty" if hollow else ""
    look = _table(table, f"xlsx, {len(data):,} bytes, sheets: {len(sheets)}{note}; this sheet", window)
    names = f"sheets: {_clip(', '.join(sheets), ITEM_CHARS)}\n{look.intro}"
    return replace(look, intro=names) if window.is_first_look else look


def _table(table: Table, facts: str, window: Window) -> _Look:
    more = "more than " if table.uncounted else ""
    first = "the header included" if table.has_header else "no header"
    overview = window.is_first_look
    whole = table.rows <= SMALL_TABLE_ROWS and not table.uncounted
    return _Look(
        f"{facts}, {more}{table.rows} rows ({first}) x {table.columns} columns",
        table.shown if whole or not overview else table.shown[:HEAD_ROWS],
        intro=f"columns: {table.held}" if table.held and overview else "",
        tail=table.tail if overview else (),
        units="rows",
        total=table.rows,
        uncounted=table.uncounted,
    )


# -- JSON --------------------------------------------------------------------------------------------------------------


def _json(data: bytes, text: str, encoding: str, window: Window) -> _Look:
    if len(data) > MAX_JSON_BYTES:
        return _text("text, too long to be read as JSON", data, text, encoding, window)
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return _text("text, no valid JSON", data, text, encoding, window)
    if len(text) <= RAW_JSON_CHARS and window.is_first_look and not window.part:
        return _text("JSON", data, text, encoding, window)
    value = _follow(value, window.part)
    if isinstance(value, dict):
        items = (f"{json.dumps(key, ensure_ascii=False)}: {_short(item)}" for key, item in value.items())
    else:
        value = value if isinstance(value, list) else [value]
        items = (_short(item) for item in value)
    facts = f"JSON, {len(data):,} bytes, {encoding}, {len(value)} {'keys' if isinstance(value, dict) else 'items'}"
    return _Look(facts, window.cut(items), f"shape: {_clip(_shape(value), 600)}", units="items", total=len(value))


def _follow(value: Any, path: str) -> Any:
    """`units.shares.0`: keys and list positions, separated by dots."""
    for key in filter(None, path.split(".")):
        if isinstance(value, dict) and key in value:
            value = value[key]
        elif isinstance(value, list) and key.isdecimal() and int(key[:9]) < len(value):
            value = value[int(key)]
        else:
            raise ToolError(f"the JSON path {path!r} ends before {key!r}: use keys and positions such as 'rows.0.name'")
    return value


def _short(value: Any) -> str:
    return _clip(json.dumps(value, ensure_ascii=False), ITEM_CHARS)


def _shape(value: Any, depth: int = 4) -> str:
    """The keys and types of a JSON value; a list by its first item."""
    if isinstance(value, dict):
        keys = [f"{_clip(k, 40)}: {_shape(v, depth - 1)}" for k, v in islice(value.items(), 12)] if depth else []
        return "{" + ", ".join([*keys, *(["…"] if len(value) > len(keys) else [])]) + "}"
    if isinstance(value, list):
        return f"[{len(value)} x {_shape(value[0], depth - 1) if depth else '…'}]" if value else "[]"
    return {bool: "boolean", int: "number", float: "number", str: "string"}.get(type(value), "null")
