"""The only door to litellm: one request to one model, and what came of it, as plain values."""

import asyncio
import json
import logging
import os
import re
from collections.abc import AsyncIterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from agent.llm.faults import Fault
from agent.llm.messages import copied, outgoing
from agent.llm.providers import ModelChoice
from agent.records import NOTHING, Json, Usage

MAX_OUTPUT_TOKENS = 32_000
TRANSPORT_TIMEOUT_S = 86_400.0  # ours cuts earlier; litellm opens new connections for each other value
FILTERED = "content_filter"  # litellm's word for an answer that a filter or a refusal ended

# litellm reads these when it is imported, but for the third, which it reads at each call.
LITELLM_VARIABLES = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # else it fetches its prices from the network
    "LITELLM_MODE": "PRODUCTION",  # else it loads a `.env` from the working directory
    # Models of `openai/` are called as most others are, by litellm's own client. OpenAI's would walk through the whole
    # conversation in each turn: at 160 turns that is seven times the work.
    "EXPERIMENTAL_OPENAI_BASE_LLM_HTTP_HANDLER": "True",
    "MAX_BASE64_LENGTH_FOR_LOGGING": "0",  # else it looks for images in the whole conversation, for a log nobody keeps
}
RAW_ANSWER = "Original Response: "  # in litellm's words about an answer that it cannot read, before all of it
ODD_STREAM = "an answer in a stream"  # `faults` knows these words
_EVENT = re.compile(r"^(?:data|event):", re.MULTILINE)


@dataclass(frozen=True)
class Sent:
    """One request as it goes out. `bound`: of the answer, in tokens; 0 for none, None for ours."""

    messages: Sequence[Json]
    tools: Sequence[Json] = ()
    effort: str | None = None  # of reasoning
    bound: int | None = None
    stream: bool = False


@dataclass(frozen=True)
class Answer:
    """What one model answered, in OpenAI's form."""

    message: Json | None  # None: an answer without choices
    finish_reason: str  # in litellm's words
    own_reason: str = ""  # in the provider's, where they are known
    error: str = ""  # what its provider says went wrong after it had begun
    usage: Usage = NOTHING
    cached_tokens: int | None = None  # as the usage tells it; None where it does not
    reasoning_tokens: int | None = None


class Client:
    """litellm, once it is imported."""

    def __init__(self) -> None:
        self._litellm: Any = None
        self._importing = asyncio.Lock()

    async def load(self) -> None:
        """Imports litellm, in a thread: 2.5 s and 160 MB, never on the way to the open port."""
        async with self._importing:
            if self._litellm is None:
                self._litellm = await asyncio.to_thread(_import_litellm)

    async def send(self, choice: ModelChoice, sent: Sent, *, timeout_s: float) -> Answer | Fault:
        """An exception itself, which may hold the key, ends here."""
        if timeout_s <= 0:
            return Fault(408, "", "no time is left")
        optional = {
            # A local server wants no key, but it must not be sent the one that litellm finds in the environment.
            "api_key": key(choice) or (choice.base_url and "none"),
            "api_base": choice.base_url,
            # A copy, as of the messages: for some providers litellm changes what it is given.
            "tools": copied(list(sent.tools)),
            "max_tokens": self.bound(choice) if sent.bound is None else sent.bound,
            "reasoning_effort": sent.effort,
            "stream": sent.stream,
            "stream_options": {"include_usage": True} if sent.stream else None,
        }
        try:
            async with asyncio.timeout(timeout_s):
                response = await self._litellm.acompletion(
                    model=choice.name,
                    messages=outgoing(sent.messages, choice),
                    timeout=TRANSPORT_TIMEOUT_S,
                    num_retries=0,
                    max_retries=0,
                    drop_params=True,
                    **{name: value for name, value in optional.items() if value},
                )
                if sent.stream:
                    response = await self._gathered(response)
                return self._answer(response, choice)
        except TimeoutError:
            return Fault(408, "", f"no answer within {timeout_s:.3g} s")
        except Exception as error:  # noqa: BLE001 litellm lets the errors of many libraries through
            return self._read_anyway(str(error).partition(RAW_ANSWER)[2], choice) or _fault(error)

    def bound(self, choice: ModelChoice) -> int | None:
        """Ours on an answer, where the model is known to allow it and has room for as much again beside it."""
        if choice.provider.counts_bound_ahead:
            return None
        known = self._known(choice)
        if isinstance(limit := known.get("max_output_tokens"), int):
            window = known.get("max_input_tokens")
            return min(limit, MAX_OUTPUT_TOKENS, window // 2 if isinstance(window, int) else limit)
        # For a Claude it does not know litellm sends 4,096, which cuts a site in half.
        return MAX_OUTPUT_TOKENS if "claude" in choice.name else None

    def window_tokens(self, choice: ModelChoice) -> int | None:
        """How much it takes at once; None where nobody knows, or litellm is not imported."""
        window = self._known(choice).get("max_input_tokens")
        return window if isinstance(window, int) else None

    def _known(self, choice: ModelChoice) -> Mapping[str, Any]:
        """litellm's row of the model; empty where it has none."""
        rows: Mapping[str, Json] = self._litellm.model_cost if self._litellm else {}
        names = [choice.name, choice.name.partition("/")[2]]
        if not choice.base_url:  # at an address of its own a familiar name may stand for a smaller model
            names.append(choice.name.rpartition("/")[2])
        return next((rows[name] for name in names if name in rows), {})

    # -- what comes back ---------------------------------------------------------------------------------------------

    async def _gathered(self, stream: AsyncIterable[Any]) -> Any:
        return self._built([chunk.model_dump(exclude_none=True) async for chunk in stream])

    def _built(self, chunks: Sequence[Json]) -> Any:
        """The whole answer. A call without an id would be lost."""
        for choice in (choice for chunk in chunks for choice in chunk.get("choices") or ()):
            for call in (choice.get("delta") or {}).get("tool_calls") or ():
                if (call.get("function") or {}).get("name") and not call.get("id"):
                    call["id"] = f"call_{call.get('index', 0)}"
        whole = [self._litellm.ModelResponseStream(**{"choices": [], **chunk}) for chunk in chunks]
        return self._litellm.stream_chunk_builder(whole)

    def _read_anyway(self, text: str, choice: ModelChoice) -> Answer | Fault | None:
        """Of an answer that litellm cannot read: some stream unasked, or end their JSON as if it were a stream."""
        values = _json_values(text)
        # litellm's records refuse what is not theirs in each of these ways.
        with suppress(ValueError, TypeError, LookupError, AttributeError, self._litellm.APIError):
            if any("delta" in part for value in values for part in value.get("choices") or ()):
                return self._answer(self._built(values), choice)
            if values[0]["choices"][0]["message"]:
                return self._answer(self._litellm.ModelResponse(**values[0]), choice)
        for error in (value["error"] for value in values if value.get("error")):
            return Fault(503, "", str(error.get("message") or error) if isinstance(error, dict) else str(error))
        return Fault(200, ODD_STREAM, text) if _EVENT.search(text) else None

    def _answer(self, response: Any, choice: ModelChoice) -> Answer:
        usage = getattr(response, "usage", None)
        first = response.choices[0] if response.choices else None
        more = getattr(first, "provider_specific_fields", None) or {}
        error = more.get("error") or {}
        return Answer(
            message=first.message.model_dump(exclude_none=True) if first else None,
            finish_reason=(first and first.finish_reason) or "",
            own_reason=str(more.get("native_finish_reason") or ""),
            error=str(error.get("message") or error) if isinstance(error, dict) and error else "",
            usage=Usage(
                model_calls=1,
                prompt_tokens=getattr(usage, "prompt_tokens", None) or 0,
                completion_tokens=getattr(usage, "completion_tokens", None) or 0,
                cached_tokens=_detail_tokens(usage, "prompt_tokens_details", "cached_tokens") or 0,
                cost_usd=self._cost_usd(response, choice),
            ),
            cached_tokens=_detail_tokens(usage, "prompt_tokens_details", "cached_tokens"),
            reasoning_tokens=_detail_tokens(usage, "completion_tokens_details", "reasoning_tokens"),
        )

    def _cost_usd(self, response: Any, choice: ModelChoice) -> float | None:
        """None where it is unknown, and litellm says 0.0 of some models whose price it does not know."""
        try:
            return self._litellm.completion_cost(completion_response=response, model=choice.name) or None
        except Exception:  # noqa: BLE001 what an answer cost must not lose it, and litellm counts in a hundred ways
            return None


def key(choice: ModelChoice) -> str:
    return choice.api_key.get_secret_value().strip() if choice.api_key else ""


def _json_values(text: str) -> list[Json]:
    """The JSON objects of a stream's events; or the one that a text begins with, whatever follows it."""
    with suppress(ValueError, RecursionError):
        if isinstance(value := json.JSONDecoder().raw_decode(text.lstrip())[0], dict):
            return [value]
    values = []
    for event in re.findall(r"^data: ?(\{.*)$", text, re.MULTILINE):
        with suppress(ValueError, RecursionError):
            values.append(json.loads(event))
    return values


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
    os.environ.update(LITELLM_VARIABLES)  # noqa: TID251 written, not read
    # It hangs filters on other people's loggers that import more of it: a line logged meanwhile by another thread
    # would wait for this import, and this import for that line.
    logging.disable(logging.CRITICAL)
    try:
        import litellm
    finally:
        _remove_filters()
        logging.disable(logging.NOTSET)
    litellm.suppress_debug_info = True
    logging.getLogger("LiteLLM").setLevel(logging.CRITICAL)  # what matters is in our errors, without keys
    return litellm


def _remove_filters() -> None:
    """Loggers and handlers without litellm's filters."""
    known = (logger for logger in logging.root.manager.loggerDict.values() if isinstance(logger, logging.Logger))
    for logger in (logging.root, *known):
        for place in (logger, *logger.handlers):
            for found in [f for f in place.filters if type(f).__module__.startswith("litellm")]:
                place.removeFilter(found)
