"""Acceptance checks as evaluators really send them, in one form. Pure; what cannot be used is listed with a reason."""

import re
from collections.abc import Iterator
from itertools import islice, pairwise
from typing import Any, Literal

from agent.records import Check, Skipped

MAX_CHECKS = 200
MAX_CHECK_CHARS = 10_000
MAX_BARE_CHARS = 1_000  # longer texts are not searched for JavaScript
MAX_DEPTH = 5
MAX_ENTRIES = 500  # usable or not: no list of oddities grows without end

Kind = Literal["js", "selector", "prose"]
Entry = tuple[str, Kind | None, str]  # where it stands, kind, text; without a kind the text says why it is no check


def read_checks(value: Any, round_number: int) -> tuple[tuple[Check, ...], tuple[Skipped, ...]]:
    """Takes null, one check or a list: strings, {"js"}, {"selector"}, {"text"}, and nested {"checks": […]}."""
    checks: list[Check] = []
    skipped: list[Skipped] = []
    for number, (where, kind, text) in enumerate(islice(_entries(value, "checks", 0), MAX_ENTRIES + 1)):
        if number == MAX_ENTRIES:
            skipped.append(Skipped(what="checks", why=f"only the first {MAX_ENTRIES} entries are read"))
        elif kind is None or (why := _unusable(text, len(checks))):
            skipped.append(Skipped(what=where, why=text if kind is None else why))
        else:
            checks.append(Check(id=str(len(checks) + 1), kind=kind, text=text, round=round_number))
    return tuple(checks), tuple(skipped)


def is_javascript(text: str) -> bool:
    """Whether a text without a mark is an expression about the page; in doubt it is prose, which is never lost."""
    if len(text) > MAX_BARE_CHARS or not _BROWSER.search(text):
        return False
    code = _REGEX.sub(r'\1""', _STRING.sub('""', text))
    if re.search(r"[^\x20-\x7e\n\t]|[#@\\'`]", code) or code.endswith(tuple(".?!,:=<>&|+*/-")):
        return False
    if ":" in code and not re.search(r"[?{]", code):
        return False
    balanced = all(code.count(left) == code.count(right) for left, right in ("()", "[]", "{}"))
    return balanced and not _reads_as_words(code)


def clean_text(text: str) -> str:
    """Without control characters but newline and tab; half a surrogate pair becomes U+FFFD."""
    text = re.sub(r"\r\n?", "\n", text)
    return re.sub(r"[\ud800-\udfff]", "\ufffd", re.sub(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", "", text))


def _entries(value: Any, where: str, depth: int) -> Iterator[Entry]:
    if depth > MAX_DEPTH:
        yield where, None, "it is nested too deep"
    elif isinstance(value, str):
        yield where, *_classified(clean_text(value).strip())
    elif isinstance(value, list):
        for number, item in enumerate(value[: MAX_ENTRIES + 1], start=1):
            yield from _entries(item, f"{where}[{number}]", depth + 1)
    elif isinstance(value, dict):
        yield from _entries_of_object(value, where, depth)
    elif value is not None or depth:
        yield where, None, "it is no text"


def _entries_of_object(value: dict[str, Any], where: str, depth: int) -> Iterator[Entry]:
    if isinstance(js := value.get("js"), str):
        yield where, "js", _without_mark(clean_text(js).strip())
    elif isinstance(selector := value.get("selector"), str):
        yield where, "selector", clean_text(selector).strip()
    elif value.get("checks") is not None:
        yield from _entries(value["checks"], f"{where}.checks", depth + 1)
    else:
        texts = [value[key] for key in ("text", "check", "description") if isinstance(value.get(key), str)]
        yield from _entries(texts[0], where, depth) if texts else [(where, None, "it has no js, selector or text")]


def _unusable(text: str, count: int) -> str:
    if not text:
        return "it is empty"
    if len(text) > MAX_CHECK_CHARS:
        return f"it has more than {MAX_CHECK_CHARS} characters"
    return f"there are more than {MAX_CHECKS} checks" if count >= MAX_CHECKS else ""


def _classified(text: str) -> tuple[Kind, str]:
    expression = _without_mark(text)
    if expression != text or is_javascript(text):
        return "js", expression
    return ("selector" if re.fullmatch(r"#[A-Za-z][\w-]*", text) else "prose"), text


def _without_mark(text: str) -> str:
    return re.sub(r"^js\s*:\s*", "", text, flags=re.IGNORECASE)


_BROWSER = re.compile(
    r"\b(?:document|window|globalThis|localStorage|sessionStorage|navigator)\s*(?:\?\.|\.|\[)"
    r"|\btypeof\s|\bgetComputedStyle\s*\(|[=!]=="
)
_STRING = re.compile(r""""(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|`(?:\\.|[^`\\])*`""")
_REGEX = re.compile(r"(^|[(,=:!&|?\[{;>]\s*)/(?![/*])(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\\[\n])+/[a-z]*")
_TOKEN = re.compile(r'[\w$]+|""|\n|\S')
_KEYWORD = re.compile("async|await|const|delete|else|function|in|instanceof|let|new|of|return|throw|typeof|var|void")


def _reads_as_words(code: str) -> bool:
    """Two operands side by side, as in any sentence and in no expression."""
    for left, right in pairwise(_TOKEN.findall(code)):
        ends = left in ('""', ")", "]") or left[-1].isalnum() or left[-1] in "_$"
        begins = right == '""' or right[0].isalnum() or right[0] in "_$"
        if ends and begins and not _KEYWORD.fullmatch(left) and not _KEYWORD.fullmatch(right):
            return True
    return False
