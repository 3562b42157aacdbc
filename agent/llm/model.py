"""What the rest of the service needs of a model: one request, one reply."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from agent.records import Capabilities, Json, Reply

Escalation = Literal[0, 1, 2]  # as ever · with more reasoning · that and by the next model, where there is one


@dataclass(frozen=True)
class ModelRequest:
    """One call of a model: messages and tools are in OpenAI's chat format."""

    messages: Sequence[Json]
    tools: Sequence[Json] = ()
    timeout_s: float = field(kw_only=True)  # retries and fallbacks included
    escalation: Escalation = 0
    capabilities: Sequence[Capabilities] = ()  # what is known of the models, the same in each call of a conversation


class Model(Protocol):
    """A model, or a chain of them."""

    @property
    def name(self) -> str: ...

    @property
    def window_tokens(self) -> int | None:
        """How much the first model takes at once; None while that is unknown, as it is before `warm_up`."""
        return None

    def sees_images(self, capabilities: Sequence[Capabilities]) -> bool:
        """Whether the first model is shown pictures."""
        return False

    async def warm_up(self) -> None:
        """Does now what would delay the first call."""
        return

    async def complete(self, request: ModelRequest) -> Reply:
        """One answer; its `message` is appended to the request's messages as it is.

        Raises Permanent when no configured model will ever answer, Transient when time ran out on passing faults.
        """
        ...
