"""JSON and YAML as one tree of values: read within bounds, its shape, a path into it, and JSON again.

Numbers keep their digits. In YAML a word is a number only where JSON writes numbers so, and true, false or null only in
these words and `~`: `007`, `1:30`, `NO` and dates stay the text they are. Tags are ignored.
PyYAML is imported on first use.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from itertools import chain, islice
from typing import Any

from agent.errors import ToolError
from agent.quoting import clip

MAX_JSON_CHARS = 5_000_000  # read, it takes up to thirty times as much memory
MAX_YAML_CHARS = 1_000_000  # some 2 s, 4 s at worst
MAX_YAML_WEIGHT = 4_000_000  # nodes and their characters, aliases followed
MAX_DEPTH = 60
INDENTED_LEVELS = 8  # what lies deeper stays on one line

_INTEGER = r"(?:0|-?[1-9]\d*)"
_REAL = r"-?(?:0|[1-9]\d*)(?:\.\d+(?:[eE][-+]?\d+)?|[eE][-+]?\d+)"
JSON_NUMBER = re.compile(f"{_REAL}|{_INTEGER}", re.ASCII)

_encode = json.JSONEncoder(ensure_ascii=False).encode


class Number(str):
    """A number that is no integer, by its digits."""

    __slots__ = ()


def json_tree(text: str) -> Any:
    """The value of a JSON text. Raises ToolError."""
    if len(text) > MAX_JSON_CHARS:
        raise ToolError(f"too long to be read as JSON: the limit is {MAX_JSON_CHARS:,} characters")
    try:
        value = json.loads(text, parse_float=Number, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        raise ToolError(f"no valid JSON: line {error.lineno}: {error.msg}") from error
    except ValueError as error:
        raise ToolError("no valid JSON: it holds NaN, Infinity or a number of more than 4,300 digits") from error
    except RecursionError as error:
        raise _too_deep() from error
    return _of_bounded_depth(value)


def json_lines(text: str) -> list[Any]:
    """The values of a JSON text a line, blank lines left out. Raises ToolError."""
    if len(text) > MAX_JSON_CHARS:
        raise ToolError(f"too long to be read as JSON: the limit is {MAX_JSON_CHARS:,} characters")
    values = []
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                values.append(json_tree(line))
            except ToolError as error:
                raise ToolError(f"line {number}: {str(error).replace(': line 1', '')}") from error
    return values


def yaml_tree(text: str) -> Any:
    """The value of a YAML document, a list for several. Raises ToolError."""
    if len(text) > MAX_YAML_CHARS:
        raise ToolError(f"too long to be read as YAML: the limit is {MAX_YAML_CHARS:,} characters")
    import yaml

    try:
        _weigh(yaml.parse(text, _yaml_loader()))
        documents = list(yaml.load_all(text, _yaml_loader()))
    except (yaml.YAMLError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        raise ToolError("no valid YAML" + (f": line {mark.line + 1}" if mark else "")) from error
    return documents[0] if len(documents) == 1 else documents


def json_text(value: Any, level: int | None = None) -> str:
    """As JSON: on one line, or indented by two blanks a level from `level` on, as far as that can be read."""
    if isinstance(value, dict):
        parts, ends = [f"{json_text(key)}: {json_text(item, _deeper(level))}" for key, item in value.items()], "{}"
    elif isinstance(value, list):
        parts, ends = [json_text(item, _deeper(level)) for item in value], "[]"
    else:
        return str(value) if isinstance(value, Number) else _encode(value)
    if level is None or not parts:
        return ends[0] + ", ".join(parts) + ends[1]
    line = "\n" + "  " * level
    return f"{ends[0]}{line}  " + f",{line}  ".join(parts) + line + ends[1]


def follow(value: Any, path: str) -> Any:
    """`units.shares.0`: keys and list positions, separated by dots. Raises ToolError."""
    for key in filter(None, path.split(".")):
        if isinstance(value, dict) and key in value:
            value = value[key]
        elif isinstance(value, list) and key.isdecimal() and int(key[:9]) < len(value):
            value = value[int(key[:9])]
        else:
            raise ToolError(f"the path {path!r} ends before {key!r}: use keys and positions such as 'rows.0.name'")
    return value


def shape(value: Any, depth: int = 4) -> str:
    """The keys and types of a value; a list by its first item."""
    if isinstance(value, dict):
        keys = [f"{clip(k, 40)}: {shape(v, depth - 1)}" for k, v in islice(value.items(), 12)] if depth else []
        return "{" + ", ".join([*keys, *(["…"] if len(value) > len(keys) else [])]) + "}"
    if isinstance(value, list):
        return f"[{len(value)} x {shape(value[0], depth - 1) if depth else '…'}]" if value else "[]"
    return {bool: "boolean", int: "number", Number: "number", str: "string"}.get(type(value), "null")


def _deeper(level: int | None) -> int | None:
    return None if level is None or level + 1 >= INDENTED_LEVELS else level + 1


def _refuse_constant(word: str) -> None:
    raise ValueError(word)


def _too_deep() -> ToolError:
    return ToolError(f"it is nested deeper than {MAX_DEPTH} levels, which is the limit")


def _of_bounded_depth(value: Any) -> Any:
    level = _collections([value])
    for _ in range(MAX_DEPTH):
        level = _collections(chain.from_iterable(x.values() if isinstance(x, dict) else x for x in level))
        if not level:
            return value
    raise _too_deep()


def _collections(values: Iterable[Any]) -> list[Any]:
    return [value for value in values if isinstance(value, (dict, list))]


# -- YAML --------------------------------------------------------------------------------------------------------------


def _weigh(events: Iterator[Any]) -> None:
    """Refuses, before anything is built, what is too deep or grows too large once its aliases are followed."""
    weight = 0
    opened: list[tuple[str | None, int]] = []  # the collections around this event: anchor, weight before it
    anchored: dict[str | None, int] = {}  # anchor → weight of what it stands for
    for event in events:
        kind = type(event).__name__
        if kind in ("MappingStartEvent", "SequenceStartEvent"):
            opened.append((event.anchor, weight))
            weight += 1
        elif kind in ("MappingEndEvent", "SequenceEndEvent"):
            anchor, before = opened.pop()
            anchored[anchor] = weight - before
        elif kind == "ScalarEvent":
            anchored[event.anchor] = 1 + len(event.value)
            weight += anchored[event.anchor]
        elif kind == "AliasEvent":
            weight += _alias_weight(event.anchor, anchored)
        _refuse_beyond_limits(len(opened), weight)


def _alias_weight(anchor: str, anchored: Mapping[str | None, int]) -> int:
    if anchor not in anchored:
        raise ToolError("a YAML alias stands for nothing, or for something that it is a part of")
    return anchored[anchor]


def _refuse_beyond_limits(depth: int, weight: int) -> None:
    if depth > MAX_DEPTH:
        raise _too_deep()
    if weight > MAX_YAML_WEIGHT:
        raise ToolError(f"the YAML grows beyond {MAX_YAML_WEIGHT:,} characters when its aliases are followed")


@cache
def _yaml_loader() -> Any:
    """A safe loader that knows JSON's types alone, and merge keys."""
    import yaml

    class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # which of both depends on the build
        yaml_implicit_resolvers: dict[Any, Any] = {}  # noqa: RUF012 - as the base class has it
        yaml_constructors: dict[Any, Any] = {}  # noqa: RUF012

    tag = "tag:yaml.org,2002:"
    words = (("int", _INTEGER), ("float", _REAL), ("bool", "true|True|TRUE|false|False|FALSE"), ("merge", "<<"))
    for name, pattern in (*words, ("null", "~|null|Null|NULL|")):
        Loader.add_implicit_resolver(tag + name, re.compile(rf"(?:{pattern})\Z", re.ASCII), None)
    Loader.add_constructor(None, _built)
    return Loader


def _built(loader: Any, node: Any) -> Any:
    """A node as a value, whatever its tag."""
    if node.id == "mapping":
        loader.flatten_mapping(node)
        pairs = [(loader.construct_object(k, deep=True), loader.construct_object(v, deep=True)) for k, v in node.value]
        return {str(key) if isinstance(key, str) else json_text(key): value for key, value in pairs}
    if node.id == "sequence":
        return [loader.construct_object(item, deep=True) for item in node.value]
    return _scalar(node.tag.rpartition(":")[2], node.value)


def _scalar(kind: str, text: str) -> Any:
    if kind in ("int", "float") and JSON_NUMBER.fullmatch(text):
        return int(text) if re.fullmatch(_INTEGER, text) else Number(text)
    if kind == "bool" and text.lower() in ("true", "false"):
        return text.lower() == "true"
    return None if kind == "null" else text
