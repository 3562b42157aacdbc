"""What of a conversation goes to which provider: what one model wrote, another may not be able to read. Pure."""

import hashlib
from collections.abc import Sequence

from agent.llm.providers import ModelChoice
from agent.llm.reading import MADE_BY, SPOKEN, copied
from agent.llm.sight import content_chars, unseen
from agent.records import Json

# These refuse a request whose messages hold more than OpenAI's own keys, reasoning that they sent themselves included.
STRICT = ("cerebras", "groq", "mistral")
KEPT_CHARS = 300  # of an old tool answer; most say less
LEFT_OUT = " … (the rest of this old answer is left out; only the newest report counts)"
CLAUDE_DOORS = ("anthropic", "bedrock", "openrouter", "vertex_ai")  # those that take cache marks for a Claude
MARK: Json = {"type": "ephemeral"}
FOREIGN_ID_CHARS = 9  # with letters and digits only: what every provider takes, and Mistral demands


def outgoing(messages: Sequence[Json], choice: ModelChoice) -> list[Json]:
    """Copies of the messages as this model may read them: its own turns whole, those of others in plain words.

    Pictures are for models that see.
    """
    ids: dict[str, str] = {}  # of foreign calls, as they are known to this model
    sent = [_outgoing(message, choice, ids) for message in copied(list(messages))]
    return _marked(sent) if "claude" in choice.name and choice.provider in CLAUDE_DOORS else sent


def chars(messages: Sequence[Json]) -> int:
    """How long these are, roughly."""
    calls = (call["function"]["arguments"] for message in messages for call in message.get("tool_calls") or ())
    return sum(content_chars(message.get("content") or "") for message in messages) + sum(map(len, calls))


def shortened(messages: Sequence[Json]) -> list[Json]:
    """Without the long answers of tools, but for those to the newest turn."""
    newest = max((at for at, message in enumerate(messages) if message["role"] == "assistant"), default=0)
    return [_shortened(message) if at < newest else message for at, message in enumerate(messages)]


def _shortened(message: Json) -> Json:
    if message["role"] != "tool" or len(message["content"]) <= KEPT_CHARS + len(LEFT_OUT):
        return message
    return {**message, "content": message["content"][:KEPT_CHARS] + LEFT_OUT}


def _marked(messages: list[Json]) -> list[Json]:
    """With marks where a Claude's cache may end: after the system prompt, the request before this one, and this one."""
    turns = [at for at, message in enumerate(messages) if message["role"] == "assistant"]
    ends = {0, len(messages) - 1, *(at - 1 for at in turns[-1:])}
    return [_with_mark(message) if at in ends else message for at, message in enumerate(messages)]


def _with_mark(message: Json) -> Json:
    content = message.get("content")
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else list(content or ())
    return {**message, "content": [*parts[:-1], {**parts[-1], "cache_control": dict(MARK)}]} if parts else message


def _outgoing(message: Json, choice: ModelChoice, ids: dict[str, str]) -> Json:
    if message["role"] == "assistant":
        return _turn(message, choice, ids)
    if message["role"] == "tool":
        return {**message, "tool_call_id": ids.get(message["tool_call_id"], message["tool_call_id"])}
    return message if choice.sees else without_pictures(message)


def without_pictures(message: Json) -> Json:
    content = message.get("content")
    return {**message, "content": unseen(content)} if isinstance(content, list) else message


def _turn(message: Json, choice: ModelChoice, ids: dict[str, str]) -> Json:
    own = message.get(MADE_BY) == choice.name
    if own and not _strict(choice):
        return {key: value for key, value in message.items() if key not in (MADE_BY, SPOKEN)}
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


def _strict(choice: ModelChoice) -> bool:
    return choice.provider in STRICT or any(f"{name}." in (choice.base_url or "") for name in STRICT)
