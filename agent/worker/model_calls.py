"""Model calls with at-most-once billing: each reply is stored before anything else is done with it."""

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from agent import telemetry
from agent.errors import LimitReached, Permanent, Transient
from agent.events import emit
from agent.llm.choice import NO_MODEL
from agent.llm.model import Escalation, Model, ModelRequest
from agent.llm.providers import trace_name
from agent.records import Capabilities, Json, Reply, Stage
from agent.store import Store
from agent.workspace import sha256


@dataclass(frozen=True)
class ModelCall:
    """One call of one run of a task."""

    task_id: str
    attempt: int
    name: str | int  # the same in a replay, and no other call of the run has it
    stage: Stage
    messages: Sequence[Json]
    until: float  # Unix time, seconds
    tools: Sequence[Json] = ()
    escalation: Escalation = 0
    capabilities: Sequence[Capabilities] = ()

    @property
    def key(self) -> str:
        return sha256(json.dumps([self.task_id, self.attempt, self.name]).encode())


@dataclass(frozen=True)
class StoredModel:
    """The configured model, if there is one, behind the store of its replies."""

    store: Store
    model: Model | None
    clock: Callable[[], float]

    async def complete(self, call: ModelCall) -> Reply:
        """The stored reply, or a new one that is stored: a crash right after it costs nothing again.

        Raises LimitReached, ModelError.
        """
        stored = await asyncio.to_thread(self.store.answer, call.key)
        if stored:
            return Reply.model_validate(stored)
        reply = await self._ask(call)
        reply = reply.model_copy(update={"usage": reply.usage.during(call.stage)})
        await asyncio.to_thread(self.store.put_answer, call.key, reply.model_dump(mode="json"))
        await asyncio.to_thread(self.store.add_usage, call.task_id, reply.usage)
        tokens = reply.usage.completion_tokens
        emit("model.reply", model=reply.model, stage=call.stage, calls=len(reply.calls), tokens=tokens)
        return reply

    async def _ask(self, call: ModelCall) -> Reply:
        left_s = call.until - self.clock()
        if left_s <= 0:
            raise LimitReached("deadline")
        if self.model is None:
            raise Permanent(NO_MODEL)
        try:
            with telemetry.model_call(self.model.name, provider=trace_name(self.model.name)):
                reply = await self.model.complete(
                    ModelRequest(
                        call.messages,
                        call.tools,
                        timeout_s=left_s,
                        escalation=call.escalation,
                        capabilities=call.capabilities,
                    )
                )
                telemetry.answered(reply, provider=trace_name(reply.model))
                return reply
        except Transient as fault:
            if self.clock() >= call.until - 1:
                raise LimitReached("deadline", str(fault), fault.spent) from None
            raise
