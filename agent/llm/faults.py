"""What went wrong with a model call, and who can mend it. Pure: an exception's facts in, a cause and a sentence out."""

import re
from collections.abc import Container
from dataclasses import dataclass
from typing import Literal

from agent.llm.providers import ModelChoice

Cause = Literal[
    "passing",  # nobody: the same call may succeed later
    "unreadable",  # something answered, but not as a model does: a passing fault, or a wrong address
    "mistake",  # the model: its tool call was malformed, and its provider refused it
    "tools",  # nobody: a model without tool calls can be asked in text
    "no_key",  # the rest is the operator's
    "key",
    "forbidden",
    "quota",
    "name",
    "context",
    "request",
]

MAX_DETAIL_CHARS = 200


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
    (range(200, 600), _UNREADABLE, "unreadable"),
    (range(400, 500), _ANY, "request"),
    (range(500, 600), _NO_KEY, "no_key"),
    (range(500, 600), _ANY, "passing"),
)

_SENTENCES: dict[Cause, str] = {
    "passing": "{model} cannot answer at the moment: {detail}",
    "unreadable": "what answers for {model} is no model: check {address} ({detail})",
    "mistake": "{model} made a malformed tool call: {detail}",
    "tools": "{model} takes no tools: set LLM_TOOL_MODE to text or auto ({detail})",
    "no_key": "{model} has no key: set {key}",
    "key": "{model} refuses the key: check {key}",  # without the provider's words: they may quote the key
    "forbidden": "{model} may not be used with this key: check {key} ({detail})",
    "quota": "{model} has no credit left: top up the account or set LLM_FALLBACK_MODELS",
    "name": "{model} does not exist: check {address} ({detail})",
    "context": "{model} cannot take this much at once: set {name} to a model with a larger context ({detail})",
    "request": "{model} refuses the request: set {name} to another model ({detail})",
}


def cause(fault: Fault) -> Cause:
    """By status first; the words decide where one status means several things."""
    text = fault.text.lower()
    for statuses, words, found in _RULES:
        if fault.status in statuses and any(word.lower() in text for word in words):
            return found
    return "unreadable"


def sentence(found: Cause, choice: ModelChoice, detail: str = "") -> str:
    """What the operator reads: who failed, and the setting to mend."""
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
