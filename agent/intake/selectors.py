"""Selectors of browsers and of Playwright, with what is expected of what they find, as one JavaScript expression."""

import json
import re
from collections.abc import Mapping
from typing import Any

XPATH = re.compile(r"xpath=(?P<marked>.+)|(?P<bare>\(*\.?//[\w*@.].*)", re.DOTALL)
CONDITIONS = ("expected", "equals", "text", "value", "contains", "count", "min", "max", "exists", "attribute")
POLYFILL = """(() => {
  const $x = globalThis.$x ?? ((path, root = document) => { const found = document.evaluate(path, root, null, 7, null);
    return Array.from({length: found.snapshotLength}, (_, at) => found.snapshotItem(at)); });
  const $$ = globalThis.$$ ?? ((selector, root = document) => [...root.querySelectorAll(selector)]);
  const value = (%s);
  return Array.isArray(value) ? value.length > 0 : value;
})()"""

_QUOTED = r"""(?P<quote>["'])(?P<text>.*)(?P=quote)"""
_TEXT = re.compile(rf"text=(?:{_QUOTED}|/(?P<pattern>.+)/(?P<flags>[a-z]*)|(?P<loose>.+))", re.DOTALL)
_WITH_TEXT = re.compile(rf"(?P<css>.*?):(?P<how>has-text|text|text-is)\(\s*{_QUOTED}\s*\)", re.DOTALL)
_ATTRIBUTE = re.compile(r"(?P<name>id|data-testid|data-test-id|data-test)=(?P<value>[\w-]+)")
_ONLY_PLAYWRIGHT = re.compile(
    r">>|:(?:has-text|text|text-is|text-matches|visible|nth-match|left-of|right-of|above|below|near)\b|^(?:role|text|_\w+)="
)


def nodes(selector: str) -> str | None:
    """An expression for the array of what a selector finds; None for one that only its own tool understands."""
    selector = selector.strip().removeprefix("css=")
    if path := XPATH.fullmatch(selector):
        return _xpath(path["marked"] or path["bare"])
    if text := _TEXT.fullmatch(selector):
        return _with_text("body :not(script, style, template)", text)
    if found := _WITH_TEXT.fullmatch(selector):
        if _ONLY_PLAYWRIGHT.search(found["css"]):
            return None
        return _with_text(found["css"] or "*", found, exact=found["how"] == "text-is")
    if named := _ATTRIBUTE.fullmatch(selector):
        css = f"[{named['name']}={_js(named['value'])}]"
        return f"[...document.querySelectorAll({_js(css)})]"
    return None if _ONLY_PLAYWRIGHT.search(selector) else f"[...document.querySelectorAll({_js(selector)})]"


def is_css(selector: str) -> bool:
    """Whether `document.querySelector` takes it as it is."""
    return nodes(selector) == f"[...document.querySelectorAll({_js(selector.strip())})]"


def condition(found: str, wanted: Mapping[str, Any]) -> str | None:
    """An expression that holds when what was found is as wanted; None where a request is of an unknown sort."""
    parts = [_part(key, value, wanted) for key, value in wanted.items() if key not in ("attribute", "exists")]
    if any(part is None for part in parts) or (not parts and "exists" not in wanted):
        return None
    exists = wanted.get("exists", True)
    if exists is False and not parts:
        return f"{found}.length === 0"
    if not isinstance(exists, bool) or exists is False:
        return None
    conditions = " && ".join(filter(None, parts)) or "found.length > 0"
    return f"(() => {{ const found = {found}; const line = {_line(wanted)}; return {conditions}; }})()"


def equal_to(expression: str, expected: Any) -> str:
    """An expression that holds when another comes to this value, or to its text; functions are called."""
    return (
        f"(async () => {{ let value = ({expression}); value = await (typeof value === 'function' ? value() : value); "
        f"const expected = {_js(expected)}; "
        "return JSON.stringify(value) === JSON.stringify(expected) || String(value) === String(expected); })()"
    )


def _part(key: str, value: Any, wanted: Mapping[str, Any]) -> str | None:
    if key in ("count", "min", "max"):
        if not isinstance(value, int) or isinstance(value, bool):
            return None
        return f"found.length {({'count': '===', 'min': '>=', 'max': '<='})[key]} {value}"
    if isinstance(value, bool) and key == "expected" and "attribute" not in wanted:
        return "found.length > 0" if value else "found.length === 0"
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        return None
    text = _js(" ".join(str(value).split()))
    if key == "contains":
        return f"found.some((e) => line(e).includes({text}))"
    number = "" if isinstance(value, str) else f" || (line(e) !== '' && Number(line(e)) === {value})"
    return f"found.some((e) => line(e) === {text}{number})"


def _line(wanted: Mapping[str, Any]) -> str:
    """How an element's text, or the value of a field or attribute, is read."""
    if isinstance(name := wanted.get("attribute"), str):
        return f"(e) => (e.getAttribute({_js(name)}) ?? '').trim()"
    fields = "/^(INPUT|SELECT|TEXTAREA)$/.test(e.tagName) ? e.value : e.textContent ?? ''"
    return f"(e) => ({fields}).replace(/\\s+/g, ' ').trim()"


def _xpath(path: str) -> str:
    return (
        f"((found) => Array.from({{length: found.snapshotLength}}, (_, at) => found.snapshotItem(at)))"
        f"(document.evaluate({_js(path)}, document, null, 7, null))"
    )


def _with_text(css: str, found: re.Match[str], *, exact: bool = False) -> str:
    """Elements by their text: all of it where it is exact or quoted after `text=`, else a part in any case."""
    groups = found.groupdict()
    wanted = " ".join((groups.get("text") or groups.get("loose") or "").split())
    line = "(e.innerText ?? e.textContent ?? '').replace(/\\s+/g, ' ').trim()"
    if groups.get("pattern"):
        test = f"/{groups['pattern']}/{groups['flags']}.test({line})"
    elif exact or ("loose" in groups and groups["text"] is not None):
        test = f"{line} === {_js(wanted)}"
    else:
        test = f"{line}.toLowerCase().includes({_js(wanted.lower())})"
    return f"[...document.querySelectorAll({_js(css)})].filter((e) => {test})"


def _js(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
