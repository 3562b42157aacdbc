"""An assistant's message, as litellm hands it over, becomes a Reply whose message can be sent again. Pure."""

import json
import re
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Literal, NoReturn, TypeVar, cast

from agent.records import Json, Reply, ToolCall, Usage

T = TypeVar("T")

MADE_BY = "made_by"  # our own key in a stored message: the model that wrote it (see `history`)
SPOKEN = "spoken"  # and how, when not by plain tool calls (see `text_protocol`)
Spoken = Literal[
    "text",  # asked for text, as `prompts/text_protocol.md.j2` says
    "fenced",  # asked for calls, it answered with fenced files
    "failed",  # asked for calls, its provider refused the one it made
]
NO_WORDS = "(empty answer)"  # providers refuse an assistant's turn without content and calls
NAMELESS = "unnamed"
MAX_NAME_CHARS = 64
CUT_OFF = "; finish_reason length: the answer was cut off, send fewer or smaller files a turn"

# A string, closed or not, or a comma before a closing bracket. Possessive, so that a hostile text costs linear time.
_STRING_OR_LAST_COMMA = re.compile(r'("(?:[^"\\]|\\.)*+"?)|,(?=\s*[}\]])', re.DOTALL)


class BrokenArguments(ValueError):
    """Arguments that are no JSON object; the text tells the model why."""


def read_reply(message: Json, finish_reason: str, usage: Usage, model: str) -> Reply:
    """Keeps the message whole (reasoning, signatures) except where a provider would refuse to take it back."""
    message = copied(message)
    text = _text(message)
    message = without_nothing(message)
    read = _read_calls(message.get("tool_calls") or (), finish_reason)
    if read:
        message["tool_calls"] = [wire for wire, _ in read]
    elif not message.get("content"):
        message["content"] = text or NO_WORDS
    return Reply(
        message={**message, "role": "assistant", MADE_BY: model},
        text=text,
        calls=tuple(call for _, call in read),
        finish_reason=finish_reason,
        usage=usage,
        model=model,
    )


def json_object(text: str) -> Json:
    """The outermost JSON object of an answer in words, fences and chatter around it or not. Raises ValueError."""
    begin, end = text.find("{"), text.rfind("}")
    try:
        value = copied(json.loads(text[begin : end + 1])) if 0 <= begin < end else None
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(value, dict):
        raise ValueError("the answer holds no JSON object")
    return value


def read_arguments(raw: object) -> tuple[Json, str]:
    """The arguments and their JSON text. Mends only what loses nothing. Raises BrokenArguments."""
    text = raw if isinstance(raw, str) else json.dumps(raw)
    if raw is None or not text.strip():
        return {}, "{}"
    try:
        value, is_json = _decoded(text)
        arguments = copied(value)
    except ValueError as error:
        raise BrokenArguments(f"arguments were no JSON: {error}") from None
    except RecursionError:
        raise BrokenArguments("arguments were nested too deep") from None
    if not isinstance(arguments, dict):
        raise BrokenArguments(f"arguments were a JSON {type(arguments).__name__}, not an object")
    return arguments, text if is_json and arguments == value else json.dumps(arguments)


def copied(value: T) -> T:
    """The same JSON in containers of its own, U+FFFD for each lone surrogate: those can neither be sent nor stored."""
    copy: Any = value
    if isinstance(value, str):
        copy = value if value.isascii() else value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    elif isinstance(value, dict):
        copy = {copied(key): copied(inner) for key, inner in value.items()}
    elif isinstance(value, list):
        copy = [copied(inner) for inner in value]
    return cast("T", copy)


def without_nothing(message: Json) -> Json:
    """Without the keys that hold nothing: strict providers refuse some of them, an empty text among them."""
    full = {key: without_nothing(value) if isinstance(value, dict) else value for key, value in message.items()}
    return {key: value for key, value in full.items() if value not in (None, "", [], {})}


def _text(message: Json) -> str:
    """What the model said in words; a refusal is words too."""
    content = message.get("content") or ""
    if isinstance(content, list):
        content = "".join(part.get("text") or "" for part in content if isinstance(part, dict))
    said_no = message.get("refusal") or (message.get("provider_specific_fields") or {}).get("refusal")
    return str(content or said_no or "")


def _read_calls(raw_calls: Sequence[Json], finish_reason: str) -> list[tuple[Json, ToolCall]]:
    """Each call as it is stored and as it is run; no two have the same id."""
    read: dict[str, tuple[Json, ToolCall]] = {}
    for raw in raw_calls:
        call_id = str(raw.get("id") or "call")
        while call_id in read:
            call_id = f"{call_id}_{len(read)}"
        read[call_id] = _read_call(raw, call_id, finish_reason)
    return list(read.values())


def _read_call(raw: Json, call_id: str, finish_reason: str) -> tuple[Json, ToolCall]:
    function = raw.get("function") or {}
    # Some models leave marks of their own format in the name, which other providers would refuse.
    name = re.sub(r"[^\w-]", "_", function.get("name") or "", flags=re.ASCII)[:MAX_NAME_CHARS]
    problem = "" if name else "the call names no tool"
    try:
        arguments, text = read_arguments(function.get("arguments"))
    except BrokenArguments as broken:
        arguments, text = {}, "{}"
        problem = problem or f"{broken}{CUT_OFF if finish_reason == 'length' else ''}"
    stored = {**function, "name": name or NAMELESS, "arguments": text}
    wire = {**raw, "id": call_id, "type": "function", "function": stored}
    return wire, ToolCall(id=call_id, name=name or NAMELESS, arguments=arguments, problem=problem)


def _decoded(text: str) -> tuple[Any, bool]:
    """The value, and whether the text is plain JSON; some models encode it twice."""
    try:
        value = _loads(text)
    except ValueError as error:
        return _mended(text, error), False
    return (_loads(value), False) if isinstance(value, str) else (value, True)


def _mended(text: str, error: ValueError) -> Any:
    """Lets pass raw line breaks in strings and commas before a closing bracket; anything else stays an error."""
    for candidate in (text, _STRING_OR_LAST_COMMA.sub(lambda found: found[1] or "", text)):
        with suppress(ValueError):
            return _loads(candidate, strict=False)
    raise error


def _loads(text: str, *, strict: bool = True) -> Any:
    return json.loads(text, strict=strict, parse_constant=_refuse)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")
