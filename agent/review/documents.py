"""Structured files: a value in a JSON file by its dotted name, well-formed XML."""

from typing import Any
from xml.parsers import expat

from agent.errors import Undecided
from agent.quoting import quote
from agent.review.evidence import Faults
from agent.review.site import Site, parse_json

_SVG = "http://www.w3.org/2000/svg svg"
_MISSING = object()


def field(site: Site, path: str, name: str) -> Any:
    """The value, None when there is none. Raises Undecided where the file cannot be read."""
    value = _lookup(site, path, name)
    return None if value is _MISSING else value


def holder(site: Site, name: str) -> str:
    """The only JSON file that has this field. Raises Undecided."""
    found = [path for path in site.readable(".json") if _lookup(site, path, name) is not _MISSING]
    if len(found) != 1:
        raise Undecided(f"{len(found)} JSON files have a field {quote(name)}")
    return found[0]


def json_faults(where: str, source: str) -> Faults:
    try:
        parse_json(source)
    except ValueError as error:
        yield f"{where} is no valid JSON: {quote(str(error))}"


def xml_faults(path: str, text: str, *, svg: bool) -> Faults:
    """Not well-formed, or not an SVG. Documents that declare entities are refused: they can explode."""
    roots: list[str] = []
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.StartElementHandler = lambda name, _attributes: roots.append(name) if not roots else None
    parser.EntityDeclHandler = _refuse_entities
    try:
        parser.Parse(text.encode("utf-8", "replace"), True)
    except expat.ExpatError as error:
        yield f"{path} is no well-formed XML: {quote(str(error))}"
    if svg and roots and roots[0] != _SVG:
        yield f'{path}: the root element must be <svg xmlns="http://www.w3.org/2000/svg">'


def _refuse_entities(*_declaration: object) -> None:
    raise Undecided("the document declares entities")


def _lookup(site: Site, path: str, name: str) -> Any:
    try:
        value = site.json(path)
    except ValueError:
        raise Undecided(f"{path} is no valid JSON") from None
    for key in name.split("."):
        if not isinstance(value, dict) or key not in value:
            return _MISSING
        value = value[key]
    return value
