"""Acceptance checks as evaluators really send them, in one form. Pure.

Each is read for what it says: an object with a selector and what is expected of it becomes an expression that compares.
What cannot be read so becomes a sentence, or is left out where it says nothing, and is listed with the reason.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from typing import Any, Literal

from agent.intake.json_text import unwrapped
from agent.intake.selectors import CONDITIONS, POLYFILL, XPATH, condition, equal_to, is_css, nodes
from agent.records import Check, Skipped

MAX_CHECKS = 200
MAX_CHECK_CHARS = 10_000
MAX_BARE_CHARS = 1_000  # longer texts are not searched for JavaScript
MAX_DEPTH = 5
MAX_ENTRIES = 500  # usable or not: no list of oddities grows without end

JS_KEYS = ("js", "javascript", "script", "code", "expression", "expr", "evaluate", "eval")
SELECTOR_KEYS = ("selector", "css", "locator", "query_selector")
TEXT_KEYS = (
    "text", "check", "description", "requirement", "criterion", "statement", "rule", "assertion", "test",
    "instruction", "question", "name", "title", "value", "content",
)  # fmt: skip
GROUP_KEYS = ("checks", "tests", "criteria", "items", "assertions", "rules", "requirements")
NAMED_AS_JS = ("js", "javascript", "script", "expression", "evaluate", "eval", "dom_js", "browser_js")
NAMED_AS_SELECTOR = ("selector", "css", "element", "dom", "exists")
NAMED_AS_PROSE = ("text", "prose", "manual", "llm", "semantic", "judge", "static", "dynamic", "readme", "review", "ai")
ABOUT = (  # what says nothing of the page
    "id", "name", "title", "type", "kind", "description", "points", "weight", "score", "max_score", "marks", "category",
    "group", "section", "level", "severity", "priority", "required", "optional", "timeout", "timeout_ms", "order",
    "number", "index", "round", "message", "hint", "feedback", "note", "error", "reason", "tags", "author",
)  # fmt: skip

Kind = Literal["js", "selector", "prose"]

CONSTANT = "it is a constant: no page could fail it, or none could pass it"
OTHER_TOOL = "read as a sentence: it is written for a tool of the evaluator, which no page has"
AS_WRITTEN = "read as a sentence: what it compares is in a form that is not known"


@dataclass(frozen=True)
class Entry:
    """One check as it was found. Without a kind it is none, and `why` says so; else `why` tells how it was read."""

    where: str
    kind: Kind | None
    text: str = ""
    why: str = ""


def read_checks(value: Any, round_number: int) -> tuple[tuple[Check, ...], tuple[Skipped, ...]]:
    """Takes null, one check or a list, as JSON text too: strings, objects by many names, groups of them."""
    checks: list[Check] = []
    skipped: list[Skipped] = []
    for number, entry in enumerate(islice(_entries(value, "checks", 0), MAX_ENTRIES + 1)):
        if number == MAX_ENTRIES:
            skipped.append(Skipped(what="checks", why=f"only the first {MAX_ENTRIES} entries are read"))
            continue
        why = entry.why if entry.kind is None else _unusable(entry.text, len(checks))
        if entry.kind is not None and not why:
            checks.append(Check(id=str(len(checks) + 1), kind=entry.kind, text=entry.text, round=round_number))
        if why or entry.why:
            skipped.append(Skipped(what=entry.where, why=why or entry.why))
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
    value = unwrapped(value)
    if depth > MAX_DEPTH:
        yield Entry(where, None, why="it is nested too deep")
    elif isinstance(value, str):
        yield _of_text(where, clean_text(value).strip())
    elif isinstance(value, list):
        for number, item in enumerate(value[: MAX_ENTRIES + 1], start=1):
            yield from _entries(item, f"{where}[{number}]", depth + 1)
    elif isinstance(value, dict):
        yield from _of_object({_plain_key(key): item for key, item in value.items()}, where, depth)
    elif value is not None or depth:
        yield Entry(where, None, why="it is no text")


def _unusable(text: str, count: int) -> str:
    if not text:
        return "it is empty"
    if len(text) > MAX_CHECK_CHARS:
        return f"it has more than {MAX_CHECK_CHARS} characters"
    return f"there are more than {MAX_CHECKS} checks" if count >= MAX_CHECKS else ""


# -- texts -------------------------------------------------------------------------------------------------------------


def _of_text(where: str, text: str) -> Entry:
    """JavaScript with its mark or by its look, a selector, an XPath, or a sentence; perhaps in a fence."""
    inner = _unfenced(text)
    expression = _without_mark(inner)
    if expression != inner:
        return _of_code(where, expression)
    if is_javascript(inner):
        return _of_code(where, inner)
    if _OTHER_TOOLS.search(inner):
        return Entry(where, "prose", text, OTHER_TOOL)
    if re.fullmatch(r"#[A-Za-z][\w-]*", inner) or _NOT_CSS.fullmatch(inner):
        return _of_selector(where, inner, {})
    return Entry(where, "prose", text)


def _of_code(where: str, code: str) -> Entry:
    """An expression; a constant is read for what its text says, or says nothing."""
    fence = _FENCE.fullmatch(code.strip())
    code = _unfenced(fence[1].strip() if fence else code.strip())
    if not code:
        return Entry(where, "js", "")
    if quoted := _QUOTED_WHOLE.fullmatch(code):
        inner = _of_text(where, quoted[2].strip())
        if inner.kind == "prose":
            return Entry(where, "prose", inner.text, "read as a sentence: as JavaScript it is a constant")
        return inner
    if _is_constant(code):
        return Entry(where, None, why=CONSTANT)
    if _OTHER_TOOLS.search(_STRING.sub("''", code)):
        return Entry(where, "prose", code, OTHER_TOOL)
    if re.search(r"\$x\s*\(|\$\$\s*\(", code):
        return Entry(where, "js", POLYFILL % code.rstrip("; "))
    return Entry(where, "js", f"{code.rstrip('; ')}.length > 0" if _EVERY_ONE.fullmatch(code) else code)


def _of_selector(where: str, selector: str, wanted: Mapping[str, Any]) -> Entry:
    """What the selector finds is there, or is as wanted."""
    selector = clean_text(selector).strip()
    if not wanted and is_css(selector):
        return Entry(where, "selector", selector)
    found = nodes(selector)
    if found is None:
        return Entry(where, "prose", _sentence({"selector": selector, **wanted}), OTHER_TOOL)
    if not wanted:
        return Entry(where, "js", f"{found}.length > 0")
    expression = condition(found, wanted)
    if expression is None:
        return Entry(where, "prose", _sentence({"selector": selector, **wanted}), AS_WRITTEN)
    return Entry(where, "js", expression)


def _unfenced(text: str) -> str:
    """Without a fence of backticks around the whole, if it is code that stands in it."""
    fenced = _FENCE.fullmatch(text) or re.fullmatch(r"`+([^`]+)`+", text)
    if not fenced:
        return text
    inner = fenced[1].strip()
    is_code = _without_mark(inner) != inner or is_javascript(inner) or re.fullmatch(r"#[A-Za-z][\w-]*", inner)
    return inner if is_code else text


def _is_constant(code: str) -> bool:
    """Whether nothing in it looks at a page: no name but those of constants."""
    if "${" in code:
        return False
    bare = _REGEX.sub(r"\1 ", _STRING.sub(" ", code))
    return not set(re.findall(r"[A-Za-z_$][\w$]*", bare)) - _CONSTANTS


# -- objects -----------------------------------------------------------------------------------------------------------


def _of_object(value: dict[str, Any], where: str, depth: int) -> Iterator[Entry]:
    named = _plain_key(value.get("type") or value.get("kind") or "")
    wanted = {key: value[key] for key in CONDITIONS if value.get(key) is not None}
    if (code := _text_of(value, JS_KEYS)) is not None or (
        named in NAMED_AS_JS and (code := _text_of(value, TEXT_KEYS)) is not None
    ):
        yield _compared(_of_code(where, _without_mark(clean_text(code).strip())), value)
    elif isinstance(path := value.get("xpath"), str):
        yield _found(where, f"xpath={path.removeprefix('xpath=')}", wanted, value)
    elif (selector := _text_of(value, SELECTOR_KEYS)) is not None:
        yield _found(where, selector, _named_wish(named, wanted), value)
    elif named in (*NAMED_AS_SELECTOR, "xpath") and isinstance(selector := value.get("value"), str):
        wanted.pop("value", None)
        yield _found(where, f"xpath={selector}" if named == "xpath" else selector, wanted, value)
    else:
        yield from _of_words(value, named, where, depth)


def _found(where: str, selector: str, wanted: Mapping[str, Any], value: Mapping[str, Any]) -> Entry:
    """What a selector finds is as wanted, where everything that is wanted of it is understood."""
    known = {*CONDITIONS, *ABOUT, *SELECTOR_KEYS, "xpath"}
    if any(item not in (None, "") for key, item in value.items() if key not in known):
        return Entry(where, "prose", _sentence(value), AS_WRITTEN)
    return _of_selector(where, selector, wanted)


def _of_words(value: dict[str, Any], named: str, where: str, depth: int) -> Iterator[Entry]:
    """Groups of checks, or one check in words."""
    group = next((key for key in GROUP_KEYS if value.get(key) is not None and not isinstance(value[key], bool)), None)
    text = next((value[key] for key in TEXT_KEYS if isinstance(value.get(key), str) and value[key].strip()), None)
    groups = {key: item for key, item in value.items() if isinstance(unwrapped(item), list | dict)}
    more = {key for key, item in value.items() if key not in (*TEXT_KEYS, *ABOUT) and isinstance(item, str) and item}
    if group and not isinstance(value[group], str):
        groups, text = {group: value[group]}, None
    elif text is None and more and not groups and not set(value) & set(ABOUT):
        groups = {key: value[key] for key in value if key in more}  # one check a name
    if groups and text is None:
        for key, item in islice(groups.items(), MAX_ENTRIES):
            yield from _entries(item, f"{where}.{key}", depth + 1)
    elif text is not None and not more and named in ("", *NAMED_AS_PROSE):
        yield from _entries(text, where, depth + 1)
    elif text is not None or more:
        yield Entry(where, "prose", _sentence(value), AS_WRITTEN)
    else:
        yield Entry(where, None, why="it has no js, selector or text")


def _compared(entry: Entry, value: Mapping[str, Any]) -> Entry:
    """An expression, held against the value that is expected of it."""
    expected = next((value[key] for key in ("expected", "equals") if value.get(key) is not None), None)
    if entry.kind != "js" or expected is None or not entry.text or expected is True:
        return entry
    return Entry(entry.where, "js", equal_to(entry.text.rstrip("; "), expected), entry.why)


def _named_wish(named: str, wanted: dict[str, Any]) -> dict[str, Any]:
    """What `value` is meant as, where the type of the check says so."""
    meant = {"count": "count", "contains": "contains", "includes": "contains"}.get(named)
    rest = {key: item for key, item in wanted.items() if key not in ("value", "expected", "text")}
    given = [wanted[key] for key in ("value", "expected", "text") if key in wanted]
    return {**rest, meant: given[0]} if meant and given else wanted


def _text_of(value: Mapping[str, Any], keys: Sequence[str]) -> str | None:
    return next((value[key] for key in keys if isinstance(value.get(key), str)), None)


def _sentence(value: Mapping[str, Any]) -> str:
    return clean_text(json.dumps(value, ensure_ascii=False))


def _plain_key(key: Any) -> str:
    return re.sub(r"[\s-]+", "_", str(key).strip().lower())


def _without_mark(text: str) -> str:
    return re.sub(r"^(?:js|javascript)\s*:\s*", "", text, flags=re.IGNORECASE)


_FENCE = re.compile(r"```[a-z]*\s*\n(.*?)\n?\s*```", re.DOTALL)
_CONSTANTS = {"true", "false", "null", "undefined", "NaN", "Infinity", "void", "typeof", "return"}
_QUOTED_WHOLE = re.compile(r"""(["'`])((?:\\.|(?!\1)[^\\$])*)\1;?""", re.DOTALL)
_EVERY_ONE = re.compile(r"""document\.(?:querySelectorAll|getElementsBy\w+)\(\s*(["'`])[^\n]*?\1\s*\);?""")
_OTHER_TOOLS = re.compile(
    r"(?:^|[\s(!;])(?:expect\s*\(|(?:page|browser|context)\.(?:\w+\s*\(|locator\b|keyboard\b|mouse\b)|cy\.\w+\s*\()"
)
_NOT_CSS = re.compile(
    rf"(?:{XPATH.pattern})|[\w#.\[\]='\"-]*:has-text\((['\"]).*\)|text=\S.*|css=\S.*|xpath=\S.*", re.DOTALL
)
_BROWSER = re.compile(
    r"\b(?:document|window|globalThis|localStorage|sessionStorage|navigator)\s*(?:\?\.|\.|\[)"
    r"|(?<![\w.$])\$[x$]\s*\(|\btypeof\s|\bgetComputedStyle\s*\(|[=!]=="
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
