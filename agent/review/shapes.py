"""JSON shapes as people write them, `{city: "Paris", share: float (0-1), reason: str}`, and what differs from them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from agent.quoting import quote

MAX_SHAPE_CHARS = 3_000
MAX_DEPTH = 8

_KEY = re.compile(r"[\s,]*+(?:([\"'`])([^\"'`\n]{1,80})\1|([A-Za-z_$][\w$-]{0,80}))\s*\??\s*:\s*")
_END = re.compile(r"[\s,]*+(?:\.{3}|…)?[\s,]*+\}")
_LEAF = re.compile(r"(?:[^,{}()\[\]\"'`]|\([^()]*+\)|\"[^\"\n]*+\"|'[^'\n]*+'|`[^`\n]*+`)*+")
_BOUNDS = re.compile(r"\(\s*(-?\d+(?:\.\d+)?)\s*(?:-|to)\s*(-?\d+(?:\.\d+)?)")
_TYPES = {
    **dict.fromkeys(("str", "string", "text"), "string"),
    **dict.fromkeys(("int", "integer"), "integer"),
    **dict.fromkeys(("float", "double", "decimal"), "float"),
    "number": "number",
    **dict.fromkeys(("bool", "boolean"), "boolean"),
    **dict.fromkeys(("list", "array"), "list"),
    **dict.fromkeys(("object", "dict"), "object"),
}


@dataclass(frozen=True)
class Leaf:
    """One value: of a kind, or exactly this; a number perhaps within bounds."""

    kind: str  # string, integer, float, number, boolean, list, object, any
    exactly: Any = None
    bounds: tuple[float, float] | None = None


@dataclass(frozen=True)
class Shape:
    """An object with at least these keys."""

    keys: "tuple[tuple[str, Leaf | Shape], ...]"


def shape_faults(document: Any, shape: Shape, path: str = "") -> Iterator[str]:
    """Where the document differs from the shape, by dotted path."""
    if isinstance(document, list) and not path:
        return  # the shape may be that of its members
    if not isinstance(document, dict):
        yield f"{quote(path) if path else 'the document'} must be an object"
        return
    for key, expected in shape.keys:
        here = f"{path}.{key}" if path else key
        if key not in document:
            yield f"{quote(here)} is missing"
        elif isinstance(expected, Shape):
            yield from shape_faults(document[key], expected, here)
        elif not _fits(document[key], expected):
            yield f"{quote(here)} is {quote(repr(document[key])[:400])}, must be {_wanted(expected)}"


def parse_shape(text: str, at: int) -> Shape | None:
    """The shape at this brace; None for other braces. Of a mere example only keys and kinds are demanded."""
    parsed = _object(text[at : at + MAX_SHAPE_CHARS], 0, 0)
    if parsed is None:
        return None
    shape = parsed[0]
    return shape if any(leaf.exactly is None and leaf.kind != "list" for leaf in _leaves(shape)) else _kinds_only(shape)


def kind_fits(value: Any, kind: str) -> bool:
    """Strictly, as after Python's `json.loads`: 28 is no float, true is no number."""
    kinds: dict[str, tuple[type, ...]] = {
        "string": (str,),
        "integer": (int,),
        "float": (float,),
        "number": (int, float),
        "boolean": (bool,),
        "list": (list,),
        "object": (dict,),
    }
    if kind == "any":
        return True
    return isinstance(value, kinds[kind]) and (kind == "boolean" or not isinstance(value, bool))


def kind_named(word: str) -> str:
    """The kind that a word such as `str` names; `any` for other words."""
    return _TYPES.get(word.lower(), "any")


def _fits(value: Any, leaf: Leaf) -> bool:
    if leaf.exactly is not None:
        return type(value) is type(leaf.exactly) and bool(value == leaf.exactly)
    within = leaf.bounds is None or not isinstance(value, int | float) or leaf.bounds[0] <= value <= leaf.bounds[1]
    return kind_fits(value, leaf.kind) and within


def _wanted(leaf: Leaf) -> str:
    if leaf.exactly is not None:
        return quote(repr(leaf.exactly))
    bounds = f" from {leaf.bounds[0]:g} to {leaf.bounds[1]:g}" if leaf.bounds else ""
    return f"a {leaf.kind}{' written with a decimal point' if leaf.kind == 'float' else ''}{bounds}"


def _object(text: str, at: int, depth: int) -> tuple[Shape, int] | None:
    """The object at `at` and the position after it."""
    keys: list[tuple[str, Leaf | Shape]] = []
    at += 1
    while depth < MAX_DEPTH:
        if end := _END.match(text, at):
            return (Shape(tuple(keys)), end.end()) if keys else None
        key = _KEY.match(text, at)
        value = _value(text, key.end(), depth) if key else None
        if key is None or value is None:
            return None
        keys.append((key[2] or key[3], value[0]))
        at = value[1]
    return None


def _value(text: str, at: int, depth: int) -> tuple[Leaf | Shape, int] | None:
    if text.startswith("{", at):
        return _object(text, at, depth + 1)
    if text.startswith("[", at):
        end = _closing(text, at)
        return (Leaf("list"), end) if end else None
    match = _LEAF.match(text, at)
    return (_leaf(match[0]), match.end()) if match and match[0].strip() else None


def _closing(text: str, at: int) -> int | None:
    depth = 0
    for position in range(at, len(text)):
        depth += (text[position] == "[") - (text[position] == "]")
        if depth == 0:
            return position + 1
    return None


def _leaf(text: str) -> Leaf:
    text = text.strip()
    if len(text) > 1 and text[0] in "\"'`" and text[-1] == text[0]:
        return Leaf("string", text[1:-1]) if text[1:-1].strip(". …") else Leaf("string")
    if re.fullmatch(r"-?\d{1,15}", text):
        return Leaf("integer", int(text))
    if re.fullmatch(r"-?\d{1,15}\.\d{1,15}", text):
        return Leaf("float", float(text))
    if text in ("true", "false"):
        return Leaf("boolean", text == "true")
    bounds = _BOUNDS.search(text)
    kind = kind_named(re.split(r"\W", text, maxsplit=1)[0]) if "|" not in text and " or " not in text else "any"
    return Leaf(
        kind, bounds=(float(bounds[1]), float(bounds[2])) if bounds and kind in ("integer", "float", "number") else None
    )


def _leaves(shape: Shape) -> Iterator[Leaf]:
    for _, value in shape.keys:
        if isinstance(value, Shape):
            yield from _leaves(value)
        else:
            yield value


def _kinds_only(shape: Shape) -> Shape:
    """An example's values are not demanded, and its 4 may become 4.5."""
    loose = {"integer": "number", "float": "number"}
    return Shape(
        tuple(
            (key, _kinds_only(value) if isinstance(value, Shape) else Leaf(loose.get(value.kind, value.kind)))
            for key, value in shape.keys
        )
    )
