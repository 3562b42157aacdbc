"""File tests: what stands in one file of the repository decides them."""

import json
from collections.abc import Mapping
from typing import Any

import jsonschema_rs
import regex

from agent.errors import CannotTell, ToolError, Undecided
from agent.files.compare import Part, differences
from agent.quoting import missing, quote
from agent.review.acceptance import FileTest
from agent.review.evidence import Outcome
from agent.review.static.site import MAX_TEXT_BYTES, parse_json
from agent.workspace import Workspace

MAX_PATTERN_CHARS = 400
PATTERN_S = 0.5
MAX_PATTERN_TEXT = 200_000
MAX_SHOWN_FAULTS = 4


def run_file_test(test: FileTest, workspace: Workspace, attachments: Mapping[str, bytes]) -> Outcome:
    """Never raises; what cannot be read is undecided."""
    there = test.path in workspace or any(path.startswith(f"{test.path.rstrip('/')}/") for path in workspace)
    if test.asks == "absent":
        return _outcome([f"{quote(test.path)} is there, although it is not wanted"] if there else [])
    if test.path not in workspace:
        return Outcome("fail", missing(test.path, workspace))
    try:
        return _outcome(_faults(test, workspace, attachments))
    except Undecided as undecided:
        return Outcome("unknown", str(undecided))


def _outcome(faults: list[str]) -> Outcome:
    return Outcome("fail", "; ".join(faults[:MAX_SHOWN_FAULTS])) if faults else Outcome("pass", "it holds")


def _faults(test: FileTest, workspace: Workspace, attachments: Mapping[str, bytes]) -> list[str]:
    data, value = workspace[test.path], test.value
    match test.asks:
        case "exists":
            return [] if data else [f"{quote(test.path)} is empty"]
        case "unchanged":
            if test.path not in attachments:
                raise Undecided(f"{test.path} is no attachment")
            return [] if data == attachments[test.path] else [f"{quote(test.path)} is not as it was sent"]
        case "copy" | "selection":
            return _copy_faults(test, data, workspace, attachments)
        case "text":
            found = str(value) in _text(test.path, data)
            return [] if found else [f"{quote(test.path)} does not hold {quote(str(value), 120)}{_holds(data)}"]
        case "pattern":
            return (
                []
                if _matches(str(value), _text(test.path, data))
                else [f"nothing in {quote(test.path)} matches {quote(str(value), 120)}{_holds(data)}"]
            )
        case "words":
            return _count_faults(test.path, len(_text(test.path, data).split()), value)
        case _:
            return _schema_faults(test.path, data, value)


def _text(path: str, data: bytes) -> str:
    if len(data) > MAX_TEXT_BYTES:
        raise Undecided(f"{path} is too large to be read here")
    return data.decode("utf-8-sig", "replace").replace("\r\n", "\n")


def _holds(data: bytes) -> str:
    return f": it begins with {quote(data[:400].decode('utf-8', 'replace'), 100)}"


def _count_faults(path: str, count: int, bounds: list[int | None]) -> list[str]:
    least, most = bounds
    if (least or 0) <= count <= (count if most is None else most):
        return []
    return [f"{quote(path)} has {count} words; asked are {least or 0} to {most if most is not None else 'any number'}"]


def _schema_faults(path: str, data: bytes, schema: dict[str, Any]) -> list[str]:
    if "$ref" in json.dumps(schema):
        raise Undecided("a schema that refers elsewhere is not followed")
    try:
        document = parse_json(_text(path, data))
    except ValueError as error:
        return [f"{quote(path)} is no JSON: {quote(str(error))}"]
    try:
        validator = jsonschema_rs.Draft202012Validator(schema, pattern_options=jsonschema_rs.RegexOptions())
    except (ValueError, jsonschema_rs.ValidationError) as error:
        raise Undecided(f"the schema is none: {error}") from None
    return [f"{quote(path)}: {quote(error.message, 160)}" for error in validator.iter_errors(document)]


def _copy_faults(test: FileTest, data: bytes, workspace: Workspace, attachments: Mapping[str, bytes]) -> list[str]:
    """Cell by cell; a selection may leave rows and columns out."""
    source = str(test.value)
    original = attachments.get(source, workspace.get(source))
    if original is None or source == test.path:
        raise Undecided(f"there is no source {source} to compare with")
    part: Part = "all" if test.asks == "copy" else "some"
    try:
        return differences(test.path, data, source, original, rows=part, columns=part)
    except (CannotTell, ToolError) as error:
        raise Undecided(str(error)) from None


def _matches(pattern: str, text: str) -> bool:
    if len(pattern) > MAX_PATTERN_CHARS:
        raise Undecided("the pattern is too long")
    try:
        return bool(regex.search(pattern, text[:MAX_PATTERN_TEXT], regex.MULTILINE, timeout=PATTERN_S))
    except (TimeoutError, regex.error) as error:
        raise Undecided(f"the pattern comes to no end, or is none: {error}") from None
