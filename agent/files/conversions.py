r"""A file in another format, carried over by code: the same bytes every time, and no cell changed.

One function a pair of formats, and its line in `CONVERSIONS`. The rules:

- csv and tsv are read with any delimiter and as UTF-8, UTF-16 with its mark or Windows-1252; written as UTF-8 without a
  mark, with commas, `\n` ends and quotes only where csv needs them, every row as wide as the widest. Empty lines are no
  rows.
- A sheet is written by the rules of `archives.csv_from_xlsx`.
- Tables become JSON as a list of objects, a row a line, the keys from the first row: a second `id` is `id_2`, a column
  without a name `column_3`. An empty cell is null. From a sheet, numbers and booleans are such and dates are text. From
  csv, a cell is a number if JSON writes it the same way, digit for digit; but a column with a number that JSON or
  JavaScript would not give back (`007`, `+5`, ` 5`, `9007199254740993`) is text throughout. All else is text.
- A list of objects becomes csv with the keys in the order of their first appearance, a list of lists row by row. null
  and what is missing are empty cells, true and false such, numbers as written, lists and objects their JSON.
- YAML becomes JSON by the rules of `trees`, indented by two blanks; numbers as written.
- The pages of a PDF are parted by form feeds; lines lose the blanks at their end.
- Pictures follow `images.converted_image`.
"""

import csv
import io
import math
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, count, zip_longest
from typing import Any, Literal

from agent.errors import ToolError
from agent.files.archives import (
    MAX_CELLS,
    ZIP_MAGIC,
    cell_text,
    formulas_without_value,
    is_xlsx,
    open_zip,
    read_member,
    sheet_csv,
    sheet_rows,
    sheet_titles,
    workbook,
)
from agent.files.images import converted_image
from agent.files.pdfs import MAX_TEXT_CHARS, pdf_pages
from agent.files.tables import NUMBER, csv_rows
from agent.files.texts import csv_text, decoded
from agent.files.trees import JSON_NUMBER, follow, json_text, json_tree, yaml_tree

EVERY_SHEET = "{sheet}"
MAX_SHEETS = 20
MAX_COLUMNS = 16_384  # of spreadsheets
MAX_OUTPUT_BYTES = 20_000_000
MAX_SAFE_INTEGER = 2**53 - 1  # JavaScript reads a larger one as its neighbour


@dataclass(frozen=True)
class Wish:
    """How a file is wanted: a part of it (sheet, zip member, path into JSON), an image `width` pixels wide."""

    part: str = ""
    width: int = 0


@dataclass(frozen=True)
class Converted:
    files: Mapping[str, bytes]  # by path
    note: str = ""  # what could not be carried over


Converter = Callable[[bytes, Wish], bytes]


def convert(name: str, data: bytes, path: str, wish: Wish) -> Converted:
    """The file at `path`, in the format of its ending; one a sheet where `path` holds `{sheet}`. Raises ToolError."""
    if data.startswith(ZIP_MAGIC) and not is_xlsx(data):
        name, data, wish = wish.part, _member(data, wish.part), replace(wish, part="")
        if _ending(name) == _ending(path):
            return Converted({path: data})
    converter = _converter(name, path)
    if _kind(name) != "xlsx":
        return Converted({path: converter(data, wish)})
    files = _every_sheet(data, path) if EVERY_SHEET in path else {path: converter(data, wish)}
    hollow = formulas_without_value(data)
    note = f"{hollow} formulas in the file have no stored value: their cells are empty" if hollow else ""
    return Converted(files, note)


# -- tables ------------------------------------------------------------------------------------------------------------


def csv_from_csv(data: bytes, _: Wish) -> bytes:
    return _csv(list(_csv_rows(data)))


def json_from_csv(data: bytes, _: Wish) -> bytes:
    rows = _csv_rows(data)
    header = next(rows, [])
    width, texts = len(header), set[int]()
    for row in rows:
        width = max(width, len(row))
        texts.update(
            at for at, cell in enumerate(row) if cell and NUMBER.fullmatch(cell.strip()) and not _same_in_json(cell)
        )
    body = _csv_rows(data)
    next(body, None)
    return _json_table(
        _keys([*header, *[""] * (width - len(header))]),
        ([_json_of_text(cell, as_text=at in texts) for at, cell in enumerate(row)] for row in body),
    )


def sheet_json(book: Any, sheet: str = "") -> bytes:
    rows = [row for row in sheet_rows(book, sheet, cell=lambda value: value)]
    first = next((at for at, row in enumerate(rows) if row), 0)
    width = max(map(len, rows), default=0)
    if width * len(rows) > MAX_CELLS:
        raise _too_large()
    header = [cell_text(value) for value in (rows[first] if rows else [])]
    keys = _keys([*header, *[""] * (width - len(header))])
    return _json_table(keys, (map(_json_of_value, row) for row in rows[first + 1 :]))


def csv_from_json(data: bytes, wish: Wish) -> bytes:
    value = follow(json_tree(_text(data)), wish.part)
    if isinstance(value, list) and all(isinstance(item, dict) for item in value):
        keys = list(dict.fromkeys(chain.from_iterable(value)))
        if len(keys) * len(value) > MAX_CELLS:
            raise _too_large()
        return _csv([keys, *([_csv_cell(item.get(key)) for key in keys] for item in value)] if value else [])
    if isinstance(value, list) and all(isinstance(item, list) for item in value):
        return _csv([[_csv_cell(cell) for cell in row] for row in value])
    raise ToolError("only a list of objects or a list of lists becomes csv: name the path to one in `part`")


def _csv_rows(data: bytes) -> Iterator[list[str]]:
    _, rows = csv_rows(_text(data))
    cells = 0
    try:
        for row in rows:
            cells += len(row)
            if cells > MAX_CELLS:
                raise _too_large()
            yield row
    except csv.Error as error:
        raise ToolError(f"no readable csv: {error}") from error


def _csv(rows: Sequence[Sequence[str]]) -> bytes:
    width = max(map(len, rows), default=0)
    if width * len(rows) > MAX_CELLS:
        raise _too_large()
    return _encoded([csv_text(([*map(_one_break, row)] for row in rows), width)])


def _one_break(cell: str) -> str:
    return cell.replace("\r\n", "\n").replace("\r", "\n")  # a lone CR would be written without quotes


def _csv_cell(value: Any) -> str:
    if value is None:
        return ""
    return str(value) if isinstance(value, str) else json_text(value)


def _keys(header: Sequence[str]) -> list[str]:
    """The names of the columns, each once."""
    if len(header) > MAX_COLUMNS:
        raise ToolError(f"the table has {len(header):,} columns; the limit is {MAX_COLUMNS:,}")
    names = [name or f"column_{number}" for number, name in enumerate(header, 1)]
    given, used = set(names), set[str]()
    suffixes: dict[str, Iterator[int]] = defaultdict(lambda: count(2))
    keys = []
    for name in names:
        repeated = (f"{name}_{suffix}" for suffix in suffixes[name])
        keys.append(next(key for key in repeated if key not in given) if name in used else name)
        used.add(name)
    return keys


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


def _json_of_value(value: Any) -> str:
    """A cell of a sheet."""
    if value in (None, ""):
        return "null"
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return json_text(value if isinstance(value, bool) else cell_text(value))
    return cell_text(value)


def _json_table(keys: Sequence[str], rows: Iterable[Iterable[str]]) -> bytes:
    heads = [f"{json_text(key)}: " for key in keys]
    lines = ("  {" + ", ".join(map("".join, zip_longest(heads, row, fillvalue="null"))) + "}" for row in rows)
    first = next(lines, None)
    if first is None:
        return b"[]\n"
    return _encoded(chain(["[\n", first], (f",\n{line}" for line in lines), ["\n]\n"]))


# -- the rest ----------------------------------------------------------------------------------------------------------


def json_from_yaml(data: bytes, wish: Wish) -> bytes:
    return _encoded([json_text(follow(yaml_tree(_text(data)), wish.part), 0), "\n"])


def text_from_pdf(data: bytes, _: Wish) -> bytes:
    pages = pdf_pages(data)
    if len(pages.texts) < pages.total or sum(map(len, pages.texts)) > MAX_TEXT_CHARS:
        raise ToolError("the PDF holds too much text to be converted: read it page by page")
    if not any(text.strip() for text in pages.texts):
        raise ToolError("the PDF holds no text, perhaps pictures of it")
    lines = ([line.rstrip() for line in text.strip().splitlines()] for text in pages.texts)
    return _encoded(["\n\f".join(map("\n".join, lines)), "\n"])


def _image(target: Literal["PNG", "JPEG", "WEBP"]) -> Converter:
    return lambda data, wish: converted_image(data, target, wish.width)


def _sheet(write: Callable[[Any, str], bytes]) -> Converter:
    def converter(data: bytes, wish: Wish) -> bytes:
        with workbook(data) as book:
            return write(book, wish.part)

    return converter


SHEETS = {"csv": sheet_csv, "json": sheet_json}  # how a sheet of an open workbook is written
CONVERSIONS: dict[tuple[str, str], Converter] = {  # kind of the file, ending of the path
    **{("xlsx", ending): _sheet(write) for ending, write in SHEETS.items()},
    ("csv", "csv"): csv_from_csv,
    ("csv", "json"): json_from_csv,
    ("json", "csv"): csv_from_json,
    ("yaml", "json"): json_from_yaml,
    ("pdf", "txt"): text_from_pdf,
    ("image", "png"): _image("PNG"),
    ("image", "jpg"): _image("JPEG"),
    ("image", "jpeg"): _image("JPEG"),
    ("image", "webp"): _image("WEBP"),
}
KINDS = {  # endings of a kind, where they are others than its name
    "xlsm": "xlsx",
    **dict.fromkeys(("tsv", "tab", "txt"), "csv"),
    "geojson": "json",
    "yml": "yaml",
    **dict.fromkeys(("png", "jpg", "jpeg", "gif", "webp", "bmp"), "image"),
}


def _converter(name: str, path: str) -> Converter:
    found = CONVERSIONS.get((_kind(name), _ending(path)))
    if found is None:
        pairs = ", ".join(f"{kind} to {ending}" for kind, ending in CONVERSIONS)
        raise ToolError(f"{name[:80]!r} does not become {path[:80]!r}; there are: {pairs}")
    return found


def _every_sheet(data: bytes, path: str) -> dict[str, bytes]:
    """One file a sheet, named after it in letters, digits, `.`, `-` and `_`."""
    with workbook(data) as book:
        titles = sheet_titles(book)
        if len(titles) > MAX_SHEETS:
            raise ToolError(f"the spreadsheet has {len(titles)} sheets; the limit is {MAX_SHEETS}: name one in `part`")
        stems = _keys([re.sub(r"[^\w.-]+", "_", title).strip("._") for title in titles])
        write = SHEETS[_ending(path)]
        return {path.replace(EVERY_SHEET, stem): write(book, title) for stem, title in zip(stems, titles, strict=True)}


def _member(data: bytes, name: str) -> bytes:
    if not name:
        raise ToolError("an archive is not converted as a whole: name one of its entries in `part`")
    with open_zip(data) as archive:
        return read_member(archive, name)


def _ending(name: str) -> str:
    return name.lower().rpartition(".")[2]


def _kind(name: str) -> str:
    return KINDS.get(_ending(name), _ending(name))


def _text(data: bytes) -> str:
    found = decoded(data)
    if found is None:
        raise ToolError("it is no text in UTF-8, UTF-16 with its mark or Windows-1252")
    return found[0]


def _encoded(parts: Iterable[str]) -> bytes:
    """As UTF-8; half of a character, which JSON can hold, becomes `?`."""
    written = io.BytesIO()
    for part in parts:
        written.write(part.encode("utf-8", "replace"))
        if written.tell() > MAX_OUTPUT_BYTES:
            raise _too_large()
    return written.getvalue()


def _too_large() -> ToolError:
    return ToolError(f"the table is too large: the limits are {MAX_CELLS:,} cells and {MAX_OUTPUT_BYTES:,} bytes")
