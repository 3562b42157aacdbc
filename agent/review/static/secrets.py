"""Keys and other secrets that must never leave in a file. What is found is located, never repeated."""

import base64
import re
from collections.abc import Iterator, Sequence

from agent.workspace import Workspace

MIN_VALUE_CHARS = 6  # shorter values would be found by chance
MIN_ENCODED_CHARS = 12

_SHAPES = (
    ("GitHub token", ("ghp_", "gho_", "ghu_", "ghs_", "ghr_"), "[A-Za-z0-9]{36}"),
    ("GitHub token", ("github_pat_",), "[A-Za-z0-9_]{22,255}"),
    ("OpenAI key", ("sk-proj-", "sk-svcacct-", "sk-admin-"), "[A-Za-z0-9_-]{20,300}"),
    ("OpenAI key", ("sk-",), "[A-Za-z0-9]{32,64}"),
    ("Anthropic key", ("sk-ant-",), "[A-Za-z0-9_-]{20,200}"),
    ("OpenRouter key", ("sk-or-",), "[A-Za-z0-9_-]{20,200}"),
    ("Google key", ("AIza",), "[A-Za-z0-9_-]{35}"),
    ("AWS key", ("AKIA", "ASIA"), "[A-Z0-9]{16}(?<!EXAMPLE)"),
    ("Hugging Face token", ("hf_",), "[A-Za-z0-9]{30,50}"),
    ("Groq key", ("gsk_",), "[A-Za-z0-9]{40,60}"),
    ("Slack token", ("xoxa-", "xoxb-", "xoxe-", "xoxp-", "xoxr-", "xoxs-"), "[A-Za-z0-9-]{10,200}"),
    ("private key", ("PRIVATE KEY-----",), ""),
)
# Each pattern begins with its literal prefix, which lets `re` skip through megabytes; hence the late lookbehind.
_KEYS = tuple(
    (name, re.compile(rf"{prefix}(?<![A-Za-z0-9_-]{prefix}){rest}(?![A-Za-z0-9_-])".encode()))
    for name, prefixes, rest in _SHAPES
    for prefix in prefixes
)


def leaks(workspace: Workspace, values: Sequence[str], *, trusted: frozenset[str] = frozenset()) -> Iterator[str]:
    """Each file that holds a secret. In `trusted` files, which are not ours to change, only the exact values count."""
    needles = _needles(values)
    for path in workspace:
        data = workspace[path]
        if found := _found(data, needles, () if path in trusted else _KEYS):
            at, what = min(found)
            line = data.count(b"\n", 0, at) + 1
            yield f"{path}:{line} holds what must stay secret ({what}): take it out, a site is public"


def scrubbed(workspace: Workspace, values: Sequence[str], *, trusted: frozenset[str] = frozenset()) -> Workspace:
    """Without any secret: replaced where it stands in text, and a file that it is still found in is left out."""
    needles = _needles(values)
    for path in workspace:
        keys = () if path in trusted else _KEYS
        if _found(workspace[path], needles, keys):
            clean = redact(workspace.text(path), values).encode()
            still = _found(clean, needles, keys) or b"\0" in clean
            workspace = workspace.drop(path) if still else workspace.put({path: clean})
    return workspace


def redact(text: str, values: Sequence[str]) -> str:
    """The text without the exact values and without anything that looks like a key."""
    for value in sorted(values, key=len, reverse=True):
        if len(value) >= MIN_VALUE_CHARS:
            text = text.replace(value, "[secret]")
    data = text.encode("utf-8", "replace")
    for _, key in _KEYS:
        data = key.sub(b"[secret]", data)
    return data.decode()


def _needles(values: Sequence[str]) -> list[bytes]:
    return [form for value in values if len(value) >= MIN_VALUE_CHARS for form in _forms(value)]


def _found(
    data: bytes, needles: Sequence[bytes], keys: Sequence[tuple[str, re.Pattern[bytes]]]
) -> list[tuple[int, str]]:
    """Where each kind of secret first stands."""
    found = [(match.start(), name) for name, key in keys if (match := key.search(data))]
    return found + [(data.find(needle), "a secret of this service") for needle in needles if needle in data]


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
