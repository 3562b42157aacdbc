"""A model that plays recorded answers from a file: for demonstrations and tests."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from pydantic import Field, ValidationError

from agent.errors import ConfigError, Permanent
from agent.llm.messages import wire_call
from agent.llm.model import Model, ModelRequest
from agent.records import Json, Record, Reply, ToolCall, Usage

BYTES_PER_TOKEN = 4  # an estimate: nothing is counted where nothing is sent


class RecordedCall(Record):
    name: str
    arguments: Json = Field(default_factory=dict)


class RecordedReply(Record):
    text: str = ""
    calls: tuple[RecordedCall, ...] = ()
    latency_s: float | None = Field(None, ge=0)  # None: that of the recording


class Conversation(Record):
    """The replies, turn by turn, to every task whose first user message contains `when`.

    With `question` they answer what is asked about a task beside building it, which comes without tools.
    """

    when: str
    also: str = ""  # that the message must contain, too
    question: bool = False
    replies: tuple[RecordedReply, ...]


class Recording(Record):
    """The file. The first conversation that fits is played; `latency_s` lets people watch."""

    conversations: tuple[Conversation, ...]
    note: str = ""
    latency_s: float = Field(0.0, ge=0)


class ReplayModel(Model):
    """Stateless: which reply comes is told by the conversation alone. Token counts are estimates; the cost is 0."""

    def __init__(self, path: Path, *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._name = f"replay/{path.name}"
        self._recording = read_recording(path)
        self._sleep = sleep

    @property
    def name(self) -> str:
        return self._name

    async def complete(self, request: ModelRequest) -> Reply:
        conversation = self._conversation(_first_message(request.messages), question=not request.tools)
        turn = sum(message["role"] == "assistant" for message in request.messages)
        if turn >= len(conversation.replies):
            raise Permanent(f"{self._name} has only {turn} recorded replies for this task: set LLM_MODEL to a live one")
        recorded = conversation.replies[turn]
        latency_s = self._recording.latency_s if recorded.latency_s is None else recorded.latency_s
        await self._sleep(min(latency_s, request.timeout_s))
        return self._reply(recorded, turn, sent_tokens=_tokens([*request.messages, *request.tools]))

    def _conversation(self, request: str, *, question: bool) -> Conversation:
        for conversation in self._recording.conversations:
            fits = conversation.when in request and conversation.also in request
            if fits and conversation.question == question:
                return conversation
        raise Permanent(f"{self._name} holds no recorded answers for this task: set LLM_MODEL to a live one")

    def _reply(self, recorded: RecordedReply, turn: int, *, sent_tokens: int) -> Reply:
        calls = tuple(
            ToolCall(id=f"replay-{turn}-{index}", name=call.name, arguments=call.arguments)
            for index, call in enumerate(recorded.calls)
        )
        message: Json = {"role": "assistant", "content": recorded.text}
        if calls:
            message["tool_calls"] = [wire_call(call) for call in calls]
        return Reply(
            message=message,
            text=recorded.text,
            calls=calls,
            finish_reason="tool_calls" if calls else "stop",
            usage=Usage(model_calls=1, prompt_tokens=sent_tokens, completion_tokens=_tokens(message)).of(self._name),
            model=self._name,
        )


def read_recording(path: Path) -> Recording:
    """Raises ConfigError naming the file."""
    try:
        return Recording.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ConfigError(
            f"LLM_MODEL names the recording {str(path)!r}, which cannot be read: {error.strerror}"
        ) from error
    except ValidationError as error:
        where = error.errors()[0]
        place = ".".join(str(part) for part in where["loc"]) or "the file"
        raise ConfigError(f"{str(path)!r} is no recording of a model: {place}: {where['msg']}") from None


def _first_message(messages: Sequence[Json]) -> str:
    content = next((message["content"] for message in messages if message["role"] == "user"), "")
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


def _tokens(value: object) -> int:
    return len(json.dumps(value)) // BYTES_PER_TOKEN
