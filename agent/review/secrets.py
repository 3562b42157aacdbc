"""Keys and other secrets that must never leave in a file. What is found is located, never repeated."""

import base64
import re
from collections.abc import Iterator, Sequence

from agent.workspace import Workspace

MIN_VALUE_CHARS = 6  # shorter values would be found by chance
MIN_ENCODED_CHARS = 12

_KEY = re.compile(
    rb"(?<![A-Za-z0-9_-])(?:"
    rb"(?P<GitHub_token>gh[pousr]_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9_]{22,255})"
    rb"|(?P<Anthropic_key>sk-ant-[A-Za-z0-9_-]{20,200})"
    rb"|(?P<OpenRouter_key>sk-or-[A-Za-z0-9_-]{20,200})"
    rb"|(?P<OpenAI_key>sk-(?:proj|svcacct|admin)-[A-Za-z0-9_-]{20,300}|sk-[A-Za-z0-9]{32,64})"
    rb"|(?P<Google_key>AIza[A-Za-z0-9_-]{35})"
    rb"|(?P<AWS_key>(?:AKIA|ASIA)[A-Z0-9]{16})"
    rb"|(?P<Hugging_Face_token>hf_[A-Za-z0-9]{30,50})"
    rb"|(?P<Groq_key>gsk_[A-Za-z0-9]{40,60})"
    rb"|(?P<Slack_token>xox[abeprs]-[A-Za-z0-9-]{10,200})"
    rb")(?![A-Za-z0-9_-])(?<!EXAMPLE)"
    rb"|(?P<private_key>-----BEGIN (?:[A-Z0-9]{2,10} ){0,2}PRIVATE KEY-----)"
)


def leaks(workspace: Workspace, values: Sequence[str], *, trusted: frozenset[str] = frozenset()) -> Iterator[str]:
    """Each file that holds a secret. In `trusted` files, which are not ours to change, only the exact values count."""
    needles = [form for value in values if len(value) >= MIN_VALUE_CHARS for form in _forms(value)]
    for path in workspace:
        data = workspace[path]
        key = None if path in trusted else _KEY.search(data)
        if key:
            yield _located(path, data, key.start(), (key.lastgroup or "key").replace("_", " "))
        at = min((data.find(needle) for needle in needles if needle in data), default=None)
        if at is not None:
            yield _located(path, data, at, "secret of this service")


def redact(text: str, values: Sequence[str]) -> str:
    """The text without the exact values and without anything that looks like a key."""
    for value in sorted(values, key=len, reverse=True):
        if len(value) >= MIN_VALUE_CHARS:
            text = text.replace(value, "[secret]")
    data = text.encode("utf-8", "replace")
    return _KEY.sub(b"[secret]", data).decode() if _KEY.search(data) else text


def _located(path: str, data: bytes, at: int, what: str) -> str:
    line = data.count(b"\n", 0, at) + 1
    return f"{path}:{line} holds what must stay secret ({what}): take it out, a site is public"


def _forms(value: str) -> Iterator[bytes]:
    """The value itself and what it becomes inside base64 text, wherever in a triple of bytes it begins."""
    raw = value.encode()
    yield raw
    for shift in range(3):
        encoded = base64.b64encode(bytes(shift) + raw)
        certain = encoded[(0, 2, 3)[shift] : (len(raw) + shift) * 8 // 6]  # without bits of its neighbours
        if len(certain) >= MIN_ENCODED_CHARS:
            yield certain
            yield certain.translate(bytes.maketrans(b"+/", b"-_"))
