"""What goes to a model and what comes from it: replies, arguments, pictures, and a conversation as each model reads it.

Pure. A stored message is in OpenAI's chat format, with the keys of our own that `OWN_KEYS` names.
"""

import ast
import hashlib
import json
import re
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any, Literal, NoReturn, TypeAlias, TypeVar, cast

from agent.llm.providers import ModelChoice
from agent.records import Json, Reply, ToolCall, Usage

T = TypeVar("T")
Content: TypeAlias = str | Sequence[Json]  # of a message

MADE_BY = "made_by"  # the model that wrote a stored message
SPOKEN = "spoken"  # and how, when not by plain tool calls (see `text_protocol`)
NO_ANSWER = "no_answer"  # and why there was nothing in it to go on with
OWN_KEYS = (MADE_BY, SPOKEN, NO_ANSWER)
Spoken = Literal[
    "text",  # asked for text, as `prompts/text_protocol.md.j2` says
    "fenced",  # asked for calls, it answered with fenced files
    "failed",  # asked for calls, it made one that its provider refused
]
NO_WORDS = "(empty answer)"  # providers refuse an assistant's turn without content and calls
NAMELESS = "unnamed"
MAX_NAME_CHARS = 64
CUT_OFF = "; finish_reason length: the answer was cut off, send fewer or smaller files a turn"

PICTURE_CHARS = 4_000  # a picture costs 800 to 1,600 tokens: as much as so much text
KEPT_CHARS = 300  # of an old tool answer; most say less
LEFT_OUT = " … (the rest of this old answer is left out; only the newest report counts)"
CACHE_MARK: Json = {"type": "ephemeral"}
FOREIGN_ID_CHARS = 9  # with letters and digits only: what every provider takes, and Mistral demands

# A string, closed or not, or a comma before a closing bracket. Possessive, so that a hostile text costs linear time.
_STRING_OR_LAST_COMMA = re.compile(r'("(?:[^"\\]|\\.)*+"?)|,(?=\s*[}\]])', re.DOTALL)
_ODD_ESCAPE = re.compile(
    r"""(?<!\\)(?:\\\\)*+\\(?![\\'"abfnrtvxuUN0-7\n])"""
)  # Python keeps the backslash, JSON has none
_FENCED = re.compile(r"\s*`{3,}\w*[ \t]*\n(.*)\n[ \t]*`{3,}\s*", re.DOTALL)


class BrokenArguments(ValueError):
    """Arguments that are no JSON object; the text tells the model why."""


# -- replies -----------------------------------------------------------------------------------------------------------


def read_reply(message: Json, finish_reason: str, usage: Usage, model: str, *, used_ids: Collection[str] = ()) -> Reply:
    """Keeps the message whole (reasoning, signatures) except where a provider would refuse to take it back.

    `used_ids`: those of the calls so far in the conversation.
    """
    message = copied(message)
    text = _text(message)
    message = without_nothing(message)
    made = message.get("tool_calls") or ()
    if legacy := message.pop("function_call", None):
        made = made or [{"function": legacy}]
    read = _read_calls(made, finish_reason, used_ids)
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


def call_ids(messages: Sequence[Json]) -> set[str]:
    """Those of all calls of a conversation."""
    return {call["id"] for message in messages for call in message.get("tool_calls") or ()}


def wire_call(call: ToolCall) -> Json:
    """A call as it stands in a message."""
    function = {"name": call.name, "arguments": json.dumps(call.arguments)}
    return {"id": call.id, "type": "function", "function": function}


def tool_name(raw: str) -> str:
    """The bare name of a tool: without a namespace before it, without marks of a model's own format behind it."""
    name = re.sub(r":\d+$", "", raw.partition("<|")[0].strip())
    return re.sub(r"[^\w-]", "_", re.split(r"[.:/]", name)[-1], flags=re.ASCII)[:MAX_NAME_CHARS]


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


def refusal(message: Json) -> str:
    """With which words the model refuses; empty when it does not."""
    return str(message.get("refusal") or (message.get("provider_specific_fields") or {}).get("refusal") or "")


def _text(message: Json) -> str:
    """What the model said in words; a refusal is words too."""
    content = message.get("content") or ""
    if isinstance(content, list):
        content = "".join(part.get("text") or "" for part in content if isinstance(part, dict))
    return str(content or refusal(message))


def _read_calls(
    raw_calls: Sequence[Json], finish_reason: str, used_ids: Collection[str]
) -> list[tuple[Json, ToolCall]]:
    """Each call as it is stored and as it is run; no two of a conversation have the same id."""
    read: dict[str, tuple[Json, ToolCall]] = {}
    for raw in raw_calls:
        first = call_id = str(raw.get("id") or "call")
        number = len(used_ids)
        while call_id in read or call_id in used_ids:
            call_id, number = f"{first}_{number}", number + 1
        read[call_id] = _read_call(raw, call_id, finish_reason)
    return list(read.values())


def _read_call(raw: Json, call_id: str, finish_reason: str) -> tuple[Json, ToolCall]:
    function = raw.get("function") or {}
    name = tool_name(function.get("name") or "")
    problem = "" if name else "the call names no tool"
    try:
        arguments, text = read_arguments(function.get("arguments"))
    except BrokenArguments as broken:
        arguments, text = {}, "{}"
        problem = problem or f"{broken}{CUT_OFF if finish_reason == 'length' else ''}"
    stored = {**function, "name": name or NAMELESS, "arguments": text}
    wire = {**raw, "id": call_id, "type": "function", "function": stored}
    return wire, ToolCall(id=call_id, name=name or NAMELESS, arguments=arguments, problem=problem)


# -- JSON that a model wrote -------------------------------------------------------------------------------------------


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
    """The arguments and their JSON text. Repairs only what loses nothing. Raises BrokenArguments."""
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


def _decoded(text: str) -> tuple[Any, bool]:
    """The value, and whether the text is plain JSON; some models encode it twice."""
    try:
        value = _loads(text)
    except ValueError as error:
        return _repaired(text, error), False
    return (_loads(value), False) if isinstance(value, str) else (value, True)


def _repaired(text: str, error: ValueError) -> Any:
    """Takes a fence around it, raw line breaks in strings, commas before a closing bracket, a Python dict."""
    fenced = _FENCED.fullmatch(text)
    text = fenced[1] if fenced else text
    for candidate in (text, _STRING_OR_LAST_COMMA.sub(lambda found: found[1] or "", text)):
        with suppress(ValueError):
            return _loads(candidate, strict=False)
    with suppress(ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        value = None if _ODD_ESCAPE.search(text) else ast.literal_eval(text.strip())
        if value and value == _loads(json.dumps(value, allow_nan=False)):  # else it holds what JSON has not
            return value
    raise error


def _loads(text: str, *, strict: bool = True) -> Any:
    return json.loads(text, strict=strict, parse_constant=_refuse)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")


# -- pictures ----------------------------------------------------------------------------------------------------------


def with_pictures(text: str, pictures: Mapping[str, str]) -> Content:
    """Each picture (name → data URI) behind its name, then the text."""
    parts = [part for name, uri in pictures.items() for part in (_words(f"{name}:"), _picture(uri))]
    return [*parts, _words(text)] if parts else text


def without_pictures(message: Json) -> Json:
    """The message with its text alone, as it was before `with_pictures`; what holds no picture stays as it is."""
    content = message.get("content")
    if not isinstance(content, list):
        return message
    pictures = {at for at, part in enumerate(content) if _is_picture(part)}
    names = {at - 1 for at in pictures}
    texts = [part["text"] for at, part in enumerate(content) if at not in pictures | names]
    return {**message, "content": "\n\n".join(texts)} if pictures else message


def _is_picture(part: Json) -> bool:
    return bool(part["type"] == "image_url")


def _picture(uri: str) -> Json:
    return {"type": "image_url", "image_url": {"url": uri}}


def _words(text: str) -> Json:
    return {"type": "text", "text": text}


# -- a conversation ----------------------------------------------------------------------------------------------------


def chars(messages: Sequence[Json]) -> int:
    """How long these are, roughly."""
    calls = (call["function"]["arguments"] for message in messages for call in message.get("tool_calls") or ())
    return sum(_content_chars(message.get("content") or "") for message in messages) + sum(map(len, calls))


def shortened(messages: Sequence[Json]) -> list[Json]:
    """Without the long answers of tools, but for those to the newest turn."""
    newest = max((at for at, message in enumerate(messages) if message["role"] == "assistant"), default=0)
    return [_shortened(message) if at < newest else message for at, message in enumerate(messages)]


def outgoing(messages: Sequence[Json], choice: ModelChoice) -> list[Json]:
    """Copies of the messages as this model may read them: its own turns whole, those of others in plain words.

    Pictures are for models that see.
    """
    ids: dict[str, str] = {}  # of other models' calls, as they are known to this model
    sent = [_outgoing(message, choice, ids) for message in copied(list(messages))]
    return _marked(sent) if "claude" in choice.name and choice.provider.takes_cache_marks else sent


def _content_chars(content: Content) -> int:
    if isinstance(content, str):
        return len(content)
    return sum(PICTURE_CHARS if _is_picture(part) else len(part.get("text") or "") for part in content)


def _shortened(message: Json) -> Json:
    if message["role"] != "tool" or len(message["content"]) <= KEPT_CHARS + len(LEFT_OUT):
        return message
    return {**message, "content": message["content"][:KEPT_CHARS] + LEFT_OUT}


def _outgoing(message: Json, choice: ModelChoice, ids: dict[str, str]) -> Json:
    if message["role"] == "assistant":
        return _turn(message, choice, ids)
    if message["role"] == "tool":
        return {**message, "tool_call_id": ids.get(message["tool_call_id"], message["tool_call_id"])}
    return message if choice.sees_images else without_pictures(message)


def _turn(message: Json, choice: ModelChoice, ids: dict[str, str]) -> Json:
    own = message.get(MADE_BY) == choice.name
    if own and not choice.provider.only_standard_keys:
        return {key: value for key, value in message.items() if key not in OWN_KEYS}
    calls = message.get("tool_calls") or []
    if not own:
        ids.update({call["id"]: _foreign_id(call["id"]) for call in calls})
    plain: Json = {"role": "assistant", "content": message.get("content")}
    if calls:
        plain["tool_calls"] = [_plain_call(call, ids) for call in calls]
    return plain


def _plain_call(call: Json, ids: dict[str, str]) -> Json:
    function = {"name": call["function"]["name"], "arguments": call["function"]["arguments"]}
    return {"id": ids.get(call["id"], call["id"]), "type": "function", "function": function}


def _foreign_id(call_id: str) -> str:
    return hashlib.sha256(call_id.encode()).hexdigest()[:FOREIGN_ID_CHARS]


def _marked(messages: list[Json]) -> list[Json]:
    """With marks where a Claude's cache may end: after the system prompt, the request before this one, and this one."""
    turns = [at for at, message in enumerate(messages) if message["role"] == "assistant"]
    ends = {0, len(messages) - 1, *(at - 1 for at in turns[-1:])}
    return [_with_mark(message) if at in ends else message for at, message in enumerate(messages)]


def _with_mark(message: Json) -> Json:
    content = message.get("content")
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else list(content or ())
    return {**message, "content": [*parts[:-1], {**parts[-1], "cache_control": dict(CACHE_MARK)}]} if parts else message
