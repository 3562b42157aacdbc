"""The only door to litellm: the first configured model that can answers.

Here are the order of the models, the waits and the clock. `history` prepares what is sent, `reading` takes what comes
back, `faults` sorts what goes wrong, `text_protocol` stands in for tool calls where there are none.
"""

import asyncio
import json
import logging
import math
import os
import re
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from agent.errors import ModelError, Permanent, Transient
from agent.events import Redactor, emit
from agent.llm import text_protocol
from agent.llm.faults import Cause, Fault, cause, sentence
from agent.llm.history import outgoing, without_pictures
from agent.llm.model import Escalation, Model
from agent.llm.providers import ModelChoice, informed
from agent.llm.reading import SPOKEN, copied, read_reply
from agent.prompts import PROMPTS, Prompts
from agent.records import NOTHING, Json, Profile, Reply, Usage

MAX_OUTPUT_TOKENS = 32_000
COUNTED_AHEAD = ("cerebras", "groq")  # they take the whole bound off a minute's allowance, and refuse what exceeds it
PATIENCE_S = 8.0  # a model that must wait longer is passed over while another can be asked
MAX_BACKOFF_S = 30.0
EFFORT = "high"  # of reasoning, for what did not work without
TRANSPORT_TIMEOUT_S = 86_400.0  # ours cuts earlier; litellm opens new connections for each other value
UNREADABLE_TRIES = 3  # then it is no passing fault
FAILED = Usage(failed_calls=1)

# litellm reads these when it is imported, but for the third, which it reads at each call.
LITELLM_VARIABLES = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # else it fetches its prices from the network
    "LITELLM_MODE": "PRODUCTION",  # else it loads a `.env` from the working directory
    # Models of `openai/` are called as most others are, by litellm's own client. OpenAI's would walk through the whole
    # conversation in each turn: at 160 turns that is seven times the work.
    "EXPERIMENTAL_OPENAI_BASE_LLM_HTTP_HANDLER": "True",
    "MAX_BASE64_LENGTH_FOR_LOGGING": "0",  # else it looks for images in the whole conversation, for a log nobody keeps
}


class Gateway(Model):
    """A chain of models; every call begins with the first. It holds no conversation: one gateway serves all tasks."""

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
        self._redactor = Redactor([key for key in map(_key, self._choices) if key])
        self._litellm: Any = None
        self._importing = asyncio.Lock()

    @property
    def name(self) -> str:
        return self._choices[0].name

    async def warm_up(self) -> None:
        """Imports litellm, in a thread; without it the first call does."""
        async with self._importing:
            if self._litellm is None:
                self._litellm = await asyncio.to_thread(_import_litellm)

    async def complete(
        self,
        messages: Sequence[Json],
        tools: Sequence[Json],
        *,
        timeout_s: float,
        escalation: Escalation = 0,
        profiles: Sequence[Profile] = (),
    ) -> Reply:
        until = self._clock() + timeout_s
        try:
            async with asyncio.timeout(timeout_s):
                await self.warm_up()
        except TimeoutError:
            raise Transient(f"litellm was not imported within {timeout_s:.0f} s") from None
        question = _Question(messages, tools, EFFORT if escalation else None)
        order = [*self._choices[1:], *self._choices[:1]] if escalation == 2 else self._choices
        candidates = [_Candidate(informed(choice, profiles), ready_at=self._clock()) for choice in order]
        while able := [candidate for candidate in candidates if candidate.ready_at < until]:
            candidate = _next(able, self._clock())
            if (wait_s := candidate.ready_at - self._clock()) > 0:
                await self._sleep(wait_s)
            left_s = until - self._clock()
            try:
                # A model that hangs must leave time for the next one.
                share_s = left_s if len(able) == 1 else left_s / 2
                reply = await self._ask(candidate, question, until=self._clock() + share_s)
            except ModelError as fault:
                candidate.failed(fault, self._clock())
                emit("model.fault", model=candidate.choice.name, error=str(fault), tries=candidate.tries)
            else:
                return reply.model_copy(update={"usage": _spent(candidates, reply.usage.of(reply.model))})
        raise _verdict(candidates, timeout_s)

    async def observe(
        self, messages: Sequence[Json], tools: Sequence[Json] = (), *, timeout_s: float, effort: str | None = None
    ) -> "Observation":
        """What comes of one request to the first model: no retry, no other model, nothing left out. Never raises."""
        await self.warm_up()
        first, began = self._choices[0], self._clock()
        choice = informed(first, [Profile(key=first.profile_key, made_at=0, images=True)])  # pictures are not kept back
        if choice.lacks_key:
            return Observation("no_key", sentence("no_key", choice))
        response = await self._request(choice, _Question(messages, tools, effort), timeout_s=timeout_s)
        if isinstance(response, Fault):
            found = cause(response)
            words = sentence(found, choice, self._redactor.clean(response.detail))
            return Observation(found, words, retry_after_s=response.retry_after_s)
        usage = getattr(response, "usage", None)
        try:
            reply = _reply(response, choice)
        except ModelError as error:
            return Observation("unreadable", str(error))
        return Observation(
            reply=reply,
            seconds=self._clock() - began,
            cached_tokens=_detail_tokens(usage, "prompt_tokens_details", "cached_tokens"),
            reasoning_tokens=_detail_tokens(usage, "completion_tokens_details", "reasoning_tokens"),
        )

    async def _ask(self, candidate: "_Candidate", question: "_Question", *, until: float) -> Reply:
        """One answer of one model, as calls or in text, whichever it can."""
        choice = candidate.choice
        messages, turn = question.messages, sum(message["role"] == "assistant" for message in question.messages)
        may_be_text = bool(question.tools) and choice.tool_mode != "native"
        if not (may_be_text and text_protocol.is_due(messages, choice)):
            try:
                reply = await self._exchange(candidate, question, until=until)
            except _NoTools:
                if not may_be_text:
                    raise
                candidate.spent += FAILED
            else:
                fenced = may_be_text and not reply.calls and text_protocol.read(reply, turn, "fenced")
                return fenced if fenced and fenced.calls else reply
        instructions = self._prompts.render("text_protocol.md.j2", tools=[tool["function"] for tool in question.tools])
        spoken = replace(question, messages=text_protocol.in_words(messages, instructions), tools=())
        return text_protocol.read(await self._exchange(candidate, spoken, until=until), turn)

    async def _exchange(self, candidate: "_Candidate", question: "_Question", *, until: float) -> Reply:
        """What one model answers. Raises Transient or Permanent, without the provider's exception in them."""
        choice = candidate.choice
        if choice.lacks_key:
            raise Permanent(sentence("no_key", choice))
        response = await self._request(choice, question, timeout_s=until - self._clock())
        if not isinstance(response, Fault):
            return _reply(response, choice)
        if cause(response) == "request" and (plainer := question.plainer(choice)):
            candidate.spent += FAILED
            return await self._exchange(candidate, plainer, until=until)
        return self._answered_fault(response, choice)

    async def _request(self, choice: ModelChoice, question: "_Question", *, timeout_s: float) -> Any:
        """litellm's response, or a Fault. The exception itself, which may hold the key, ends here."""
        if timeout_s <= 0:
            return Fault(408, "", "no time is left")
        optional = {
            # A local server wants no key, but it must not be sent the one that litellm finds in the environment.
            "api_key": _key(choice) or (choice.base_url and "none"),
            "api_base": choice.base_url,
            # A copy, as of the messages: for some providers litellm changes what it is given.
            "tools": copied(list(question.tools)),
            "max_tokens": _max_tokens(choice, self._litellm.model_cost),
            "reasoning_effort": question.effort,
        }
        try:
            async with asyncio.timeout(timeout_s):
                return await self._litellm.acompletion(
                    model=choice.name,
                    messages=outgoing(question.messages, choice),
                    timeout=TRANSPORT_TIMEOUT_S,
                    num_retries=0,
                    max_retries=0,
                    drop_params=True,
                    **{key: value for key, value in optional.items() if value},
                )
        except TimeoutError:
            return Fault(408, "", f"no answer within {timeout_s:.3g} s")
        except Exception as error:  # noqa: BLE001 litellm lets the errors of many libraries through
            return _fault(error)

    def _answered_fault(self, fault: Fault, choice: ModelChoice) -> Reply:
        """The model's own mistake is its answer; every other fault is raised."""
        found = cause(fault)
        words = sentence(found, choice, self._redactor.clean(fault.detail))
        if found == "mistake":
            usage = Usage(model_calls=1, failed_calls=1, cost_usd=None)
            reply = read_reply({"content": words}, "tool_use_failed", usage, choice.name)
            return reply.model_copy(update={"message": {**reply.message, SPOKEN: "failed"}})
        if found == "passing":
            raise (_Hung if fault.status == 408 else Transient)(words, retry_after_s=fault.retry_after_s)
        if found == "unreadable":
            raise _Unreadable(words)
        raise _NoTools(words) if found == "tools" else Permanent(words)


class _NoTools(Permanent):
    """The model cannot be asked for tool calls, but perhaps for text."""


class _Hung(Transient):
    """No answer in the time there was: another try would take as long, so another model is the better one."""


class _Unreadable(Transient):
    """An answer, perhaps a paid one, that is no model's answer."""

    def __init__(self, message: str, usage: Usage | None = None) -> None:
        super().__init__(message)
        self.usage = usage or Usage()


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


@dataclass(frozen=True)
class _Question:
    messages: Sequence[Json]
    tools: Sequence[Json]
    effort: str | None

    def plainer(self, choice: ModelChoice) -> "_Question | None":
        """Without what a provider may refuse and a task can do without; None when nothing of that is left."""
        if self.effort:
            return replace(self, effort=None)
        plain = [without_pictures(message) for message in self.messages]
        return replace(self, messages=plain) if choice.sees and plain != list(self.messages) else None


@dataclass
class _Candidate:
    """A model within one call: when it may be asked next, and how it failed so far."""

    choice: ModelChoice
    ready_at: float
    tries: int = 0
    hangs: bool = False  # it gave no answer in all the time it had
    unreadable: int = 0
    fault: ModelError | None = None
    spent: Usage = field(default_factory=Usage)

    def failed(self, fault: ModelError, now: float) -> None:
        self.tries += 1
        self.hangs = isinstance(fault, _Hung)
        self.spent += FAILED
        if isinstance(fault, _Unreadable):
            self.unreadable += 1
            self.spent += fault.usage
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


def _key(choice: ModelChoice) -> str:
    return choice.api_key.get_secret_value().strip() if choice.api_key else ""


def _max_tokens(choice: ModelChoice, prices: Mapping[str, Json]) -> int | None:
    """Our bound on an answer, where the model's own is known to allow it; None leaves it to the provider."""
    if choice.provider in COUNTED_AHEAD:
        return None
    names = [choice.name, choice.name.partition("/")[2]]
    if not choice.base_url:  # at an address of its own a familiar name may stand for a smaller model
        names.append(choice.name.rpartition("/")[2])
    limit = next((prices[name] for name in names if name in prices), {}).get("max_output_tokens")
    if isinstance(limit, int):
        return min(limit, MAX_OUTPUT_TOKENS)
    # For a Claude it does not know litellm sends 4,096, which cuts a site in half.
    return MAX_OUTPUT_TOKENS if "claude" in choice.name else None


def _reply(response: Any, choice: ModelChoice) -> Reply:
    usage = _usage(response)
    if not response.choices:
        raise _Unreadable(sentence("unreadable", choice, "an answer without choices"), usage)
    first = response.choices[0]
    return read_reply(first.message.model_dump(exclude_none=True), first.finish_reason or "", usage, choice.name)


def _usage(response: Any) -> Usage:
    usage = getattr(response, "usage", None)
    return Usage(
        model_calls=1,
        prompt_tokens=getattr(usage, "prompt_tokens", None) or 0,
        completion_tokens=getattr(usage, "completion_tokens", None) or 0,
        cached_tokens=_detail_tokens(usage, "prompt_tokens_details", "cached_tokens") or 0,
        # litellm says 0.0 of some models whose price it does not know.
        cost_usd=response._hidden_params.get("response_cost") or None,
    )


def _detail_tokens(usage: Any, kind: str, name: str) -> int | None:
    tokens = getattr(getattr(usage, kind, None), name, None)
    return tokens if isinstance(tokens, int) else None


def _fault(error: Exception) -> Fault:
    headers = getattr(error, "litellm_response_headers", None) or {}
    retry_after = str(headers.get("retry-after", ""))
    status = getattr(error, "status_code", None)
    return Fault(
        status=status if isinstance(status, int) else None,
        text=f"{type(error).__name__} {error} {getattr(error, 'body', None)}",
        detail=_detail(error),
        retry_after_s=float(retry_after) if re.fullmatch(r"\d+(\.\d+)?", retry_after) else None,
    )


def _detail(error: Exception) -> str:
    """The provider's own words, without what litellm puts around them."""
    text = str(error).partition(" - ")[2].partition("Traceback")[0] or str(error)
    body = getattr(error, "body", None) or _first_object(text)
    said = body.get("error", body) if isinstance(body, dict) else None
    if isinstance(said, dict) and said.get("message"):
        return f"{said['message']} {said.get('failed_generation', '')}"
    return text


def _first_object(text: str) -> Any:
    """The JSON object that a text holds, if it does."""
    try:
        return json.JSONDecoder().raw_decode(text, text.index("{"))[0]
    except (ValueError, RecursionError):
        return None


def _import_litellm() -> Any:
    """2.5 s and 160 MB: never on the way to the open port."""
    os.environ.update(LITELLM_VARIABLES)  # noqa: TID251 written, not read
    # It hangs filters on other people's loggers that import more of it: a line logged meanwhile by another thread
    # would wait for this import, and this import for that line.
    logging.disable(logging.CRITICAL)
    try:
        import litellm
    finally:
        _take_down_filters()
        logging.disable(logging.NOTSET)
    litellm.suppress_debug_info = True
    logging.getLogger("LiteLLM").setLevel(logging.CRITICAL)  # what matters is in our errors, without keys
    return litellm


def _take_down_filters() -> None:
    """Loggers and handlers without litellm's filters."""
    known = (logger for logger in logging.root.manager.loggerDict.values() if isinstance(logger, logging.Logger))
    for logger in (logging.root, *known):
        for place in (logger, *logger.handlers):
            for found in [f for f in place.filters if type(f).__module__.startswith("litellm")]:
                place.removeFilter(found)
