"""What of a conversation goes to which provider: what one model wrote, another may not be able to read. Pure."""

import hashlib
from collections.abc import Sequence

from agent.llm.providers import ModelChoice
from agent.llm.reading import MADE_BY, encodable
from agent.records import Json

# These refuse a request whose messages hold more than OpenAI's own keys, reasoning that they sent themselves included.
STRICT = ("cerebras", "groq", "mistral")
FOREIGN_ID_CHARS = 9  # with letters and digits only: what every provider takes, and Mistral demands


def outgoing(messages: Sequence[Json], choice: ModelChoice) -> list[Json]:
    """The messages as this model may read them: its own turns whole, those of others in plain words and calls."""
    ids: dict[str, str] = {}  # of foreign calls, as they are known to this model
    return [_outgoing(message, choice, ids) for message in encodable(list(messages))]


def _outgoing(message: Json, choice: ModelChoice, ids: dict[str, str]) -> Json:
    if message["role"] == "assistant":
        return _turn(message, choice, ids)
    if message["role"] == "tool":
        return {**message, "tool_call_id": ids.get(message["tool_call_id"], message["tool_call_id"])}
    return message


def _turn(message: Json, choice: ModelChoice, ids: dict[str, str]) -> Json:
    own = message.get(MADE_BY) == choice.name
    if own and not _strict(choice):
        return {key: value for key, value in message.items() if key != MADE_BY}
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
