"""What went wrong with a model call, and who can fix it. Pure: an exception's facts in, a cause and a sentence out."""

import re
from collections.abc import Container
from dataclasses import dataclass
from typing import Literal

from agent.llm.providers import ModelChoice

Cause = Literal[
    "passing",  # nobody: the same call may succeed later
    "unreadable",  # something answered, but not as a model does: a passing fault, or a wrong address
    "mistake",  # the model: its tool call was malformed, and its provider refused it
    "no_answer",  # the model or its provider's filter: an answer came, with nothing in it to go on with
    "tools",  # we: it takes no tools, so it is asked in text
    "stream",  # we: it answers in a stream only
    "odd_stream",  # the operator, as all below: a stream that is not OpenAI's
    "no_key",
    "key",
    "forbidden",
    "quota",
    "name",
    "context",
    "request",
]
MAX_DETAIL_CHARS = 200
MIN_ANSWER_TOKENS = 1_000  # a smaller bound cuts off any file


@dataclass(frozen=True)
class Fault:
    """A failed call as litellm tells it."""

    status: int | None  # HTTP status, or what litellm takes for one
    text: str  # class, message and body of the exception
    detail: str = ""  # the provider's own words
    retry_after_s: float | None = None


_QUOTA = ("insufficient_quota", "billing_hard_limit", "billing_not_active", "credit balance is too low")
_MISTAKE = ("tool_use_failed", "failed_generation")
_TOOLS = (
    "support tool",
    "tools are not supported",
    "tools is not supported",
    "tool use is not supported",
    "tool calling is not supported",
    "support function call",
    "function calling is not",
    "enable-auto-tool-choice",
    "requires --jinja",
)
_STREAM = (" stream", '"stream', "`stream", "non-stream")
_ODD_STREAM = ("an answer in a stream",)  # our own words
_CONTEXT = ("ContextWindowExceededError", "context_length_exceeded", "maximum context length")
_NAME = ("LLM Provider NOT provided", "model_not_found", "not a valid model")
_NO_KEY = ("Missing credentials", "Missing Gemini API key", "Missing Anthropic API Key")
_UNREADABLE = (
    "Invalid response object",
    "Empty or invalid response",
    "Unable to get json response",
    "Error converting to valid response",
    "Expecting value: line",
    "that is not a list",
    "codec can't decode",
    "Traceback (most recent call last)",  # litellm stumbled over the answer
)
_ANY = ("",)

# The first rule whose status and one of whose words fit decides.
_RULES: tuple[tuple[Container[int | None], tuple[str, ...], Cause], ...] = (
    (range(400, 500), _QUOTA, "quota"),
    (range(400, 600), _TOOLS, "tools"),
    ((402,), _ANY, "quota"),
    ((401,), _ANY, "key"),
    ((403,), _ANY, "forbidden"),
    ((404,), _ANY, "name"),
    ((408, 409, 425, 429), _ANY, "passing"),
    ((413,), _ANY, "context"),
    (range(400, 500), _MISTAKE, "mistake"),
    (range(400, 500), _CONTEXT, "context"),
    (range(400, 500), _NAME, "name"),
    (range(200, 300), _ODD_STREAM, "odd_stream"),
    (range(200, 600), _UNREADABLE, "unreadable"),
    ((400, 405, 422), _STREAM, "stream"),
    (range(400, 500), _ANY, "request"),
    (range(500, 600), _NO_KEY, "no_key"),
    (range(500, 600), _ANY, "passing"),
)

_SENTENCES: dict[Cause, str] = {
    "passing": "{model} cannot answer at the moment: {detail}",
    "unreadable": "what answers for {model} is no model: check {address} ({detail})",
    "mistake": "{model} made a malformed tool call: {detail}",
    "no_answer": "{model} answered with nothing to go on with: {detail}",
    "tools": "{model} takes no tools: set LLM_TOOL_MODE to text or auto ({detail})",
    "stream": "{model} refuses the request, streamed or not: set {name} to another model ({detail})",
    "odd_stream": "what answers for {model} streams in a form that is not OpenAI's: check {address} ({detail})",
    "no_key": "{model} has no key: set {key}",
    "key": "{model} refuses the key: check {key}",  # without the provider's words: they may quote the key
    "forbidden": "{model} may not be used with this key: check {key} ({detail})",
    "quota": "{model} has no credit left: top up the account or set LLM_FALLBACK_MODELS",
    "name": "{model} does not exist: check {address} ({detail})",
    "context": "{model} cannot take this much at once: set {name} to a model with a larger context ({detail})",
    "request": "{model} refuses the request: set {name} to another model ({detail})",
}

_BOUND = re.compile(r"max[_ ]?(?:completion_|output_|new_)?tokens|max_?output_?tokens|in the completion", re.IGNORECASE)
_INPUT = re.compile(r"context|input|prompt|messages", re.IGNORECASE)
_AFFORDABLE = re.compile(r"\bafford\D{0,20}(\d[\d,]*)", re.IGNORECASE)
_NUMBER = re.compile(r"(?<![\w.-])\d+(?:,\d{3})*(?![\w-])")  # not the digits of a model's name


def cause(fault: Fault) -> Cause:
    """By status first; the words decide where one status means several things."""
    text = fault.text.lower()
    for statuses, words, found in _RULES:
        if fault.status in statuses and any(word.lower() in text for word in words):
            return found
    return "unreadable"


def smaller_bound(fault: Fault, sent: int | None) -> int | None:
    """A bound of the answer that fits where `sent`, or what the provider took for it, was too large.

    0: without a bound, for no figure tells which would fit. None: it is not the bound that was refused, or what is
    left for an answer is too little.
    """
    if fault.status not in (400, 402, 413, 422):
        return None
    if affordable := _AFFORDABLE.search(fault.detail):
        room: int | None = _int(affordable[1])
    elif sent and (sent in _numbers(fault.detail) or _BOUND.search(fault.detail)):
        room = _room(fault.detail, sent)
    else:
        return None
    if room is None or (sent and room >= sent):
        return 0 if sent and not affordable else None
    return room if room >= MIN_ANSWER_TOKENS else None


def sentence(found: Cause, choice: ModelChoice, detail: str = "") -> str:
    """What the operator reads: who failed, and the setting to change."""
    return _SENTENCES[found].format(
        model=choice.name,
        key=choice.key_variable,
        name=choice.name_variable,
        address=f"{choice.name_variable} and LLM_BASE_URL" if choice.base_url else choice.name_variable,
        detail=one_line(detail),
    )


def one_line(text: str) -> str:
    """The first words of a text that others wrote, fit for a log line."""
    return re.sub(r"[\s\x00-\x1f\x7f]+", " ", text).strip()[:MAX_DETAIL_CHARS]


def _room(text: str, sent: int) -> int | None:
    """What a refusal's figures leave for the answer: a window less what is in it, or else the limit that is named."""
    numbers = _numbers(text)
    sums = [number for number in numbers if number - sent in numbers]
    others = [number for number in numbers if number != sent and number not in sums]
    for windows in (others, [sent] if _INPUT.search(text) else []):  # the bound may have been as large as the window
        pairs = [(window, used) for window in windows for used in others if used < window < used + sent]
        if pairs:
            window, used = max(pairs)
            return window - used
    return max((number for number in others if number < sent), default=None)


def _numbers(text: str) -> list[int]:
    return [_int(found) for found in _NUMBER.findall(text)]


def _int(digits: str) -> int:
    return int(digits.replace(",", "")[:12])
