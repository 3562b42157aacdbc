"""A chain of models: the first that can answers.

Here are the order of the models, the waits and the clock. `client` sends one request, `faults` sorts what goes wrong,
`messages` prepares and reads; `text_protocol` and `found_calls` find the calls that stand in words.
"""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace

from agent.errors import ModelError, Permanent, Transient
from agent.events import Redactor, emit
from agent.llm import found_calls, text_protocol
from agent.llm.client import FILTERED, Answer, Client, Sent, key
from agent.llm.faults import Cause, Fault, cause, sentence, smaller_bound
from agent.llm.messages import MADE_BY, NO_ANSWER, SPOKEN, call_ids, read_reply, refusal, without_pictures
from agent.llm.model import Model, ModelRequest
from agent.llm.providers import ModelChoice, informed
from agent.prompts import PROMPTS, Prompts
from agent.records import NOTHING, Capabilities, Reply, Usage

PATIENCE_S = 8.0  # a model that must wait longer is passed over while another can be asked
MAX_BACKOFF_S = 30.0
EFFORT = "high"  # of reasoning, for what did not work without
UNREADABLE_TRIES = 2  # then it is no passing fault; each may have been paid
MAX_CHANGES = 6  # of one request, each to what its provider can take
MISTAKE = "tool_use_failed"  # the finish reason of a call that a provider refused as malformed
MALFORMED_CALL = "MALFORMED_FUNCTION_CALL"  # Gemini's word for a call that it refused to hand over
FAILED = Usage(failed_calls=1)


class Gateway(Model):
    """Every call begins with the first model. It holds no conversation: one gateway serves all tasks."""

    def __init__(
        self,
        choices: Sequence[ModelChoice],
        *,
        prompts: Prompts | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._choices = tuple(choices)
        self._prompts = prompts or Prompts(PROMPTS)
        self._clock = clock
        self._sleep = sleep
        self._redactor = Redactor([own for own in map(key, self._choices) if own])
        self._client = Client()
        self._streaming: set[str] = set()  # keys of models that refused to answer otherwise

    @property
    def name(self) -> str:
        return self._choices[0].name

    @property
    def window_tokens(self) -> int | None:
        return self._client.window_tokens(self._choices[0])

    def sees_images(self, capabilities: Sequence[Capabilities]) -> bool:
        return informed(self._choices[0], capabilities).sees_images

    async def warm_up(self) -> None:
        await self._client.load()

    async def complete(self, request: ModelRequest) -> Reply:
        until = self._clock() + request.timeout_s
        try:
            async with asyncio.timeout(request.timeout_s):
                await self.warm_up()
        except TimeoutError:
            raise Transient(f"litellm was not imported within {request.timeout_s:.0f} s") from None
        order = [*self._choices[1:], *self._choices[:1]] if request.escalation == 2 else self._choices
        candidates = [_Candidate(informed(choice, request.capabilities), ready_at=self._clock()) for choice in order]
        if reply := await self._first_reply(candidates, request, until=until):
            return reply.model_copy(update={"usage": _spent(candidates, reply.usage.of(reply.model))})
        if reply := next((candidate.last_resort for candidate in candidates if candidate.last_resort), None):
            return reply.model_copy(update={"usage": _spent(candidates)})
        raise _verdict(candidates, request.timeout_s)

    async def _first_reply(
        self, candidates: Sequence["_Candidate"], request: ModelRequest, *, until: float
    ) -> Reply | None:
        """Of the models that answer in time; None when nobody can be asked any more."""
        while able := [candidate for candidate in candidates if candidate.ready_at < until]:
            candidate = _next(able, self._clock())
            wait_s = candidate.ready_at - self._clock()
            if wait_s > 0 and any(other.last_resort for other in candidates):
                return None
            if wait_s > 0:
                await self._sleep(wait_s)
            left_s = until - self._clock()
            try:
                # A model that hangs must leave time for the next one.
                share_s = left_s if len(able) == 1 else left_s / 2
                return await self._ask(candidate, request, until=self._clock() + share_s)
            except ModelError as fault:
                candidate.failed(fault, self._clock())
                emit("model.fault", model=candidate.choice.name, error=str(fault), tries=candidate.tries)
        return None

    async def observe(self, request: ModelRequest, *, effort: str | None = None) -> "Observation":
        """What comes of one request to the first model: no retry, no other model, nothing left out. Never raises."""
        await self.warm_up()
        first, began = self._choices[0], self._clock()
        # Pictures are not kept back.
        choice = informed(first, [Capabilities(key=first.capabilities_key, made_at=0, images=True)])
        if choice.lacks_key:
            return Observation("no_key", sentence("no_key", choice))
        sent = Sent(request.messages, request.tools, effort, stream=choice.capabilities_key in self._streaming)
        answer = await self._client.send(choice, sent, timeout_s=request.timeout_s)
        if isinstance(answer, Fault) and (changed := self._changed(sent, answer, choice, optional=False)):
            answer = await self._client.send(choice, changed, timeout_s=request.timeout_s)
        if isinstance(answer, Fault):
            found = cause(answer)
            words = sentence(found, choice, self._redactor.clean(answer.detail))
            return Observation(found, words, retry_after_s=answer.retry_after_s)
        if answer.message is None:
            return Observation("unreadable", sentence("unreadable", choice, "an answer without choices"))
        return Observation(
            reply=read_reply(answer.message, answer.finish_reason, answer.usage, choice.name),
            seconds=self._clock() - began,
            cached_tokens=answer.cached_tokens,
            reasoning_tokens=answer.reasoning_tokens,
        )

    async def _ask(self, candidate: "_Candidate", request: ModelRequest, *, until: float) -> Reply:
        """One answer of one model, as calls or in text, whichever it can."""
        choice, messages = candidate.choice, request.messages
        sent = Sent(
            messages,
            request.tools,
            EFFORT if request.escalation else None,
            stream=choice.capabilities_key in self._streaming,
        )
        may_be_text = bool(request.tools) and choice.tool_mode != "native"
        if not (may_be_text and text_protocol.is_due(messages, choice)):
            try:
                return await self._reply(candidate, request, sent, until=until)
            except _NoTools:
                if not may_be_text:
                    raise
                candidate.spent += FAILED
        instructions = self._prompts.render("text_protocol.md.j2", tools=[tool["function"] for tool in request.tools])
        spoken = replace(sent, messages=text_protocol.in_words(messages, instructions), tools=())
        return await self._reply(candidate, request, spoken, until=until, in_text=True)

    async def _reply(
        self, candidate: "_Candidate", request: ModelRequest, sent: Sent, *, until: float, in_text: bool = False
    ) -> Reply:
        """Reasoning that left no room for an answer is asked for once more without the effort."""
        try:
            answer = await self._exchange(candidate, sent, until=until)
            return self._read(answer, request, candidate.choice, in_text=in_text)
        except _NoAnswer as nothing:
            if not sent.effort:
                raise
            candidate.spent += FAILED + nothing.usage
        answer = await self._exchange(candidate, replace(sent, effort=None), until=until)
        return self._read(answer, request, candidate.choice, in_text=in_text)

    async def _exchange(self, candidate: "_Candidate", sent: Sent, *, until: float) -> Answer:
        """What one model answers. Raises Transient or Permanent, without the provider's exception in them."""
        choice = candidate.choice
        if choice.lacks_key:
            raise Permanent(sentence("no_key", choice))
        answer = await self._client.send(choice, sent, timeout_s=until - self._clock())
        for _ in range(MAX_CHANGES):
            if isinstance(answer, Answer) or not (changed := self._changed(sent, answer, choice)):
                break
            sent = changed
            candidate.spent += FAILED
            answer = await self._client.send(choice, sent, timeout_s=until - self._clock())
        if isinstance(answer, Answer):
            if sent.stream:
                self._streaming.add(choice.capabilities_key)
            return answer
        found = cause(answer)
        words = sentence(found, choice, self._redactor.clean(answer.detail))
        if found == "mistake":
            return Answer({"content": words}, MISTAKE, usage=Usage(model_calls=1, failed_calls=1, cost_usd=None))
        raise _error(found, words, answer)

    def _changed(self, sent: Sent, fault: Fault, choice: ModelChoice, *, optional: bool = True) -> Sent | None:
        """The request as its provider can take it, where that is known; `optional`: also without what it may refuse."""
        bound = self._client.bound(choice) if sent.bound is None else sent.bound
        if (smaller := smaller_bound(fault, bound)) is not None:
            return replace(sent, bound=smaller)
        if cause(fault) == "stream" and not sent.stream:
            return replace(sent, stream=True)
        if cause(fault) != "request" or not optional:
            return None
        if sent.effort:
            return replace(sent, effort=None)
        plain = [without_pictures(message) for message in sent.messages]
        return replace(sent, messages=plain) if choice.sees_images and plain != list(sent.messages) else None

    def _read(self, answer: Answer, request: ModelRequest, choice: ModelChoice, *, in_text: bool) -> Reply:
        """The reply with all its calls. Raises _NoAnswer where there is nothing in it to go on with."""
        if answer.message is None:
            raise _Unreadable(sentence("unreadable", choice, "an answer without choices"), answer.usage)
        used, turn = call_ids(request.messages), sum(message["role"] == "assistant" for message in request.messages)
        reply = read_reply(answer.message, answer.finish_reason, answer.usage, choice.name, used_ids=used)
        if answer.finish_reason == MISTAKE:
            return reply.model_copy(update={"message": {**reply.message, SPOKEN: "failed"}})
        if in_text:
            reply = text_protocol.read(reply, turn)
        elif not reply.calls and request.tools and choice.tool_mode != "native":
            fenced = text_protocol.read(reply, turn, "fenced")
            reply = fenced if fenced.calls else reply
        reply = reply if reply.calls else found_calls.take(reply, turn, found_calls.offered(request.tools))
        if reply.calls or not (why := _why_nothing(answer, reply)):
            return reply
        if answer.error:
            raise _Unreadable(sentence("passing", choice, self._redactor.clean(answer.error)), answer.usage)
        words = sentence("no_answer", choice, self._redactor.clean(why))
        raise _NoAnswer(words, answer.usage, _last_resort(reply, answer, why, request))


class _NoTools(Permanent):
    """The model cannot be asked for tool calls, but perhaps for text."""


class _Hung(Transient):
    """No answer in the time there was: another try would take as long, so another model is the better one."""


class _Unreadable(Transient):
    """An answer, perhaps a paid one, that is no model's answer."""

    def __init__(self, message: str, usage: Usage = NOTHING) -> None:
        super().__init__(message)
        self.usage = usage


class _NoAnswer(Permanent):
    """A model's answer with nothing in it to go on with: the same request is not made again."""

    def __init__(self, message: str, usage: Usage, last_resort: Reply | None) -> None:
        super().__init__(message)
        self.usage = usage
        self.last_resort = last_resort


@dataclass(frozen=True)
class Observation:
    """One request as it went: a reply, or why there is none and whose matter that is."""

    cause: Cause | None = None
    error: str = ""
    retry_after_s: float | None = None
    reply: Reply | None = None
    seconds: float = 0.0
    cached_tokens: int | None = None  # as the usage tells it; None where it does not
    reasoning_tokens: int | None = None


@dataclass
class _Candidate:
    """A model within one call: when it may be asked next, and how it failed so far."""

    choice: ModelChoice
    ready_at: float
    tries: int = 0
    hangs: bool = False  # it gave no answer in all the time it had
    unreadable: int = 0
    fault: ModelError | None = None
    last_resort: Reply | None = None  # what it answered, where no other model answers better
    spent: Usage = field(default_factory=Usage)

    def failed(self, fault: ModelError, now: float) -> None:
        self.tries += 1
        self.hangs = isinstance(fault, _Hung)
        self.spent += FAILED
        if isinstance(fault, _Unreadable | _NoAnswer):
            self.spent += fault.usage
        if isinstance(fault, _NoAnswer):
            self.last_resort = fault.last_resort
        self.unreadable += isinstance(fault, _Unreadable)
        if self.unreadable >= UNREADABLE_TRIES:
            fault = Permanent(str(fault))
        self.fault = fault
        if isinstance(fault, Transient):
            backoff_s = min(2.0 ** (self.tries - 1), MAX_BACKOFF_S)
            self.ready_at = now + max(backoff_s, fault.retry_after_s or 0.0)
        else:
            self.ready_at = math.inf


def _next(able: Sequence[_Candidate], now: float) -> _Candidate:
    """The first that answers and need not wait long, else the one that waits least."""
    soon = (candidate for candidate in able if candidate.ready_at - now <= PATIENCE_S and not candidate.hangs)
    return next(soon, None) or min(able, key=lambda candidate: candidate.ready_at)


def _verdict(candidates: Sequence[_Candidate], timeout_s: float) -> ModelError:
    """What all those faults come to, when nobody can be asked any more."""
    words = "; ".join(str(candidate.fault) for candidate in candidates if candidate.fault)
    spent = _spent(candidates).model_dump(mode="json")
    if all(isinstance(candidate.fault, Permanent) for candidate in candidates):
        return Permanent(words, spent)
    return Transient(f"no model answered within {timeout_s:.3g} s: {words}", spent=spent)


def _spent(candidates: Sequence[_Candidate], reply: Usage = NOTHING) -> Usage:
    """What the reply and all that failed before it took, by model."""
    failed = (candidate.spent.of(candidate.choice.name) for candidate in candidates if candidate.spent != NOTHING)
    return sum(failed, reply)


def _error(found: Cause, words: str, fault: Fault) -> ModelError:
    if found == "passing":
        return (_Hung if fault.status == 408 else Transient)(words, retry_after_s=fault.retry_after_s)
    if found == "unreadable":
        return _Unreadable(words)
    return _NoTools(words) if found == "tools" else Permanent(words)


def _why_nothing(answer: Answer, reply: Reply) -> str:
    """Why an answer without calls leaves nothing to go on with; empty where it says something."""
    message = answer.message or {}
    filtered = answer.finish_reason == FILTERED or answer.own_reason == MALFORMED_CALL
    if said_no := refusal(message):
        return f"it refuses: {said_no}"
    if not filtered and reply.text.strip():
        return ""
    reasoned = message.get("reasoning_content") or message.get("thinking_blocks")
    said = reply.text.strip() or ("only reasoning" if reasoned else "no word and no call")
    return f"{said}, finish_reason {answer.own_reason or answer.finish_reason}"


def _last_resort(reply: Reply, answer: Answer, why: str, request: ModelRequest) -> Reply | None:
    """The answer as a turn of the conversation, where the model's last turn was not like it already."""
    own = [message for message in request.messages if message.get(MADE_BY) == reply.model]
    if own and own[-1].get(NO_ANSWER):
        return None
    message = {**reply.message, NO_ANSWER: why}
    if answer.own_reason == MALFORMED_CALL and SPOKEN not in message:
        message |= {"content": f"({why})", SPOKEN: "failed"}
    return reply.model_copy(update={"message": message})
