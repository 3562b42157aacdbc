r"""JSON, lines of JSON and YAML: their shape, their items, and the lists in them as tables.

- A list of objects becomes csv with the keys in the order of their first appearance, a list of lists row by row. null
  and what is missing are empty cells, true and false such, numbers as written, lists and objects their JSON.
- YAML and lines of JSON become JSON by the rules of `trees`, indented by two blanks; numbers as written.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import chain
from typing import Any

from agent.errors import ToolError
from agent.files.base import (
    ITEM_CHARS,
    ConversionOptions,
    Converter,
    Kind,
    Rendering,
    Window,
    doubt_of_encoding,
    render_text,
    told_encoding,
    unopened,
)
from agent.files.tables import Header, RawTable, Row
from agent.files.texts import decoded, readable_text
from agent.files.trees import follow, json_lines, json_text, json_tree, shape, yaml_tree
from agent.files.writing import MAX_CELLS, csv_bytes, encoded, too_large
from agent.quoting import clip

RAW_TREE_CHARS = 2_000  # of JSON or YAML shown as it stands

Parser = Callable[[str], Any]


def csv_from_tree(parse: Parser, data: bytes, options: ConversionOptions) -> bytes:
    rows = _rows_of(follow(parse(readable_text(data).text), options.part))
    if rows is None:
        raise ToolError("only a list of objects or a list of lists becomes csv: name the path to one in `part`")
    return csv_bytes(rows)


def json_from_tree(parse: Parser, data: bytes, options: ConversionOptions) -> bytes:
    return encoded([json_text(follow(parse(readable_text(data).text), options.part), 0), "\n"])


def tables(parse: Parser, data: bytes) -> Iterator[RawTable]:
    """The list that a document is; or those under its keys; or its columns; of GeoJSON the features."""
    document = parse(readable_text(data).text)
    for name, value in _candidates(document):
        rows = _rows_of(value)
        if rows is not None:
            header = Header(1, rows[0]) if rows else Header(0)
            yield RawTable(name, [Row(number, cells) for number, cells in enumerate(rows, 1)], header)


def render(what: str, parse: Parser, name: str, data: bytes, window: Window) -> Rendering:
    found = decoded(data)
    if found is None:
        return unopened(what, data, window, ToolError("it is no text"))
    try:
        value = parse(found.text)
    except ToolError as error:
        return render_text(f"text, {error}", data, found, window)
    if len(found.text) <= RAW_TREE_CHARS and window.is_first_look and not window.part:
        return render_text(what, data, found, window)
    value = follow(value, window.part)
    if isinstance(value, dict):
        items = (f"{json_text(key)}: {_item(item)}" for key, item in value.items())
    else:
        value = value if isinstance(value, list) else [value]
        items = (_item(item) for item in value)
    units = "keys" if isinstance(value, dict) else "items"
    facts = f"{what}, {len(data):,} bytes, {told_encoding(found)}, {len(value)} {units}"
    told_shape = f"shape: {clip(shape(value), 600)}"
    brief = [clip(told_shape, ITEM_CHARS), *(_item(item) for item in (value[:1] if isinstance(value, list) else []))]
    return Rendering(facts, window.cut(items), told_shape, units="items", total=len(value), brief=brief)


def _rows_of(value: Any) -> list[list[str]] | None:
    """A list of objects under their keys, a list of lists as it is; None for what is no table."""
    if not isinstance(value, list):
        return None
    if all(isinstance(item, dict) for item in value):
        keys = list(dict.fromkeys(chain.from_iterable(value)))
        if len(keys) * len(value) > MAX_CELLS:
            raise too_large()
        return [keys, *([_cell(item.get(key)) for key in keys] for item in value)] if value else []
    if all(isinstance(item, list) for item in value):
        return [[_cell(cell) for cell in row] for row in value]
    return None


def _candidates(document: Any) -> Iterator[tuple[str, Any]]:
    if not isinstance(document, dict):
        yield "", document
        return
    if document.get("type") == "FeatureCollection" and isinstance(document.get("features"), list):
        yield "", [_properties(feature) for feature in document["features"]]
        return
    columns = [value for value in document.values() if isinstance(value, list)]
    if len(columns) == len(document) > 1 and len({len(column) for column in columns}) == 1 and _are_flat(columns):
        yield "", [dict(zip(document, row, strict=True)) for row in zip(*columns, strict=True)]
        return
    yield from ((key, value) for key, value in document.items() if isinstance(value, list))


def _properties(feature: Any) -> Any:
    return feature.get("properties") or {} if isinstance(feature, dict) else feature


def _are_flat(columns: Sequence[list[Any]]) -> bool:
    return not any(isinstance(cell, dict | list) for column in columns for cell in column)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return str(value) if isinstance(value, str) else json_text(value)


def _item(value: Any) -> str:
    return clip(json_text(value), ITEM_CHARS)


def _kind(name: str, what: str, parse: Parser, endings: tuple[str, ...], becomes: dict[str, Converter]) -> Kind:
    return Kind(
        name,
        partial(render, what, parse),
        endings=endings,
        is_data=True,
        conversions=becomes,
        tables=partial(tables, parse),
        caveat=doubt_of_encoding,
    )


JSON = _kind("json", "JSON", json_tree, ("json", "geojson", "webmanifest"), {"csv": partial(csv_from_tree, json_tree)})
JSON_LINES = _kind(
    "jsonl",
    "lines of JSON",
    json_lines,
    ("jsonl", "ndjson"),
    {"csv": partial(csv_from_tree, json_lines), "json": partial(json_from_tree, json_lines)},
)
YAML = _kind("yaml", "YAML", yaml_tree, ("yaml", "yml"), {"json": partial(json_from_tree, yaml_tree)})
