"""What the loop needs of a model: one call, one reply."""

from collections.abc import Sequence
from typing import Protocol

from agent.records import Json, Reply


class Model(Protocol):
    """A model, or a chain of them."""

    @property
    def name(self) -> str: ...

    async def complete(self, messages: Sequence[Json], tools: Sequence[Json], *, timeout_s: float) -> Reply:
        """One answer within `timeout_s`, retries and fallbacks included.

        `messages` and `tools` are in OpenAI's chat format; the reply's `message` is appended to `messages` as it is.
        Raises Permanent when no configured model will ever answer, Transient when time ran out on passing faults.
        """
        ...
