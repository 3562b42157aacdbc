"""What the loop needs of a model: one call, one reply."""

from collections.abc import Sequence
from typing import Literal, Protocol

from agent.records import Json, Profile, Reply

Escalation = Literal[0, 1, 2]  # as ever · with more reasoning · that and by the next model, where there is one


class Model(Protocol):
    """A model, or a chain of them."""

    @property
    def name(self) -> str: ...

    async def complete(
        self,
        messages: Sequence[Json],
        tools: Sequence[Json],
        *,
        timeout_s: float,
        escalation: Escalation = 0,
        profiles: Sequence[Profile] = (),
    ) -> Reply:
        """One answer within `timeout_s`, retries and fallbacks included.

        `messages` and `tools` are in OpenAI's chat format; the reply's `message` is appended to `messages` as it is.
        `profiles`: what is known of the models, the same in each call of a conversation.
        Raises Permanent when no configured model will ever answer, Transient when time ran out on passing faults.
        """
        ...
