"""What every page must keep when it runs, whatever its checks say. Each rule returns faults, as the static ones do."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import unquote

from agent.browser.chromium import PageFault, Tab
from agent.browser.network import LIBRARIES, Sources
from agent.publish.routing import page_at
from agent.quoting import quote
from agent.records import Check
from agent.review.datasets import tables
from agent.review.evidence import Faults, Undecided
from agent.workspace import INDEX

DATA_ENDINGS = (".csv", ".tsv", ".json")
MAX_DATA_BYTES = 1_000_000
MIN_SHOWN_CHARS = 4  # a shorter number may stand in a page by chance

_CELL = re.compile(r"(?<=[,;\t\n])(\"?)(-?(?:\d{1,15}|\d{1,3}(?:,\d{3}){1,4})(?:\.\d{1,10})?)\1(?=[,;\t\r\n]|$)")
_EXPECTED = re.compile(r"(?<![\w.])(?:\d{1,15}\.\d{2,10}|\d{5,15})(?![\w.])")
_TELLING = re.compile(r"blocked by CORS policy|'integrity'|Mixed Content|MIME type|^Refused to|Content Security Policy")

SEEN = """() => ({
  text: (document.body ? document.body.innerText : "").slice(0, 100000),
  values: [...document.querySelectorAll("input, textarea, output, meter, progress")].map((e) => String(e.value)),
  objects: document.querySelectorAll("img, svg, canvas, video, audio, iframe, input, object, button").length,
  broken: [...document.images].filter((i) => i.complete && i.getAttribute("src") && !i.naturalWidth
    && getComputedStyle(i).display !== "none").map((i) => i.currentSrc || i.src).slice(0, 20),
  links: [...document.querySelectorAll("a[href]")].map((a) => a.href.split("#")[0].split("?")[0]).slice(0, 300),
})"""
# A button does something when it, or anything around it, listens; or when the browser acts on it by itself.
DEAD_BUTTONS = """(() => {
  const heard = ["click", "mousedown", "mouseup", "pointerdown", "pointerup", "touchstart", "touchend", "submit"];
  const listens = (node) => heard.some((name) => node["on" + name] || (getEventListeners(node)[name] || []).length);
  return [...document.querySelectorAll("button, input[type=button], [role=button]")].slice(0, 60).filter((b) => {
    if (b.disabled || !b.getClientRects().length || b.closest("a[href], label, summary, dialog form")) return false;
    if (["popovertarget", "commandfor", "formaction"].some((name) => b.hasAttribute(name))) return false;
    if (b.form && b.type !== "button" && (b.form.hasAttribute("action") || b.type === "reset")) return false;
    for (let node = b; node; node = node.parentNode || node.host) if (listens(node)) return false;
    return !listens(window) && !(b.form && listens(b.form));
  }).map((b) => (b.id ? "#" + b.id : (b.innerText || b.value || b.tagName)).slice(0, 60));
})()"""


def errors(tab: Tab, sources: Sources) -> Faults:
    """Uncaught exceptions, each once, with the first place in the site's own files."""
    for error in dict.fromkeys(tab.errors):
        message, *frames = error.splitlines() or [""]
        place = next((frame for frame in frames if sources.base_url in frame), "")
        where = re.search(re.escape(sources.base_url) + r"([^\s?:]*)[^\s:]*:(\d+)", place)
        at = f" at {where[1] or INDEX}:{where[2]}" if where else ""
        yield f"uncaught {quote(message, 160)}{at}"


def requests(tab: Tab, sources: Sources, told: str) -> Faults:
    """Files that are not there, and answers that a browser does not hand to the page.

    `told`: the task in words; an address that it wants asked, word for word, may shut the page out.
    """
    for path, why in sources.missing.items():
        yield f"{quote(path)} is not found: {why}"
    for url, status in sources.failed.items():
        yield f"{quote(url, 160)} answers {status}: name a version and a file that exist"
    for host, asked in sources.refused.items():
        if asked.split()[-1] in LIBRARIES:
            yield f"{quote(host)} is not fetched here: load libraries from cdn.jsdelivr.net or keep them in the site"
    for line in dict.fromkeys(tab.console):
        shut_out = "CORS" in line and any(url in told for url in re.findall(r"'(https://[^']{10,})'", line)[:1])
        if _TELLING.search(line) and not shut_out:
            yield f"the browser says {quote(line.split(': The ')[0], 240)}"


def images(seen: Mapping[str, Any], sources: Sources) -> Faults:
    out_of_reach = (*sources.refused, *sources.unreached)
    for url in seen["broken"]:
        if not any(f"//{host}/" in url for host in out_of_reach):
            yield f"the image {quote(url.removeprefix(sources.base_url), 120)} does not show"


def links(seen: Mapping[str, Any], sources: Sources, files: Mapping[str, bytes]) -> Faults:
    for url in dict.fromkeys(seen["links"]):
        path = unquote(url.removeprefix(sources.base_url))
        if url.startswith(sources.base_url) and page_at(files, path) is None:
            yield f"a link leads to {quote(path or './')}, which is not in the site"


def content(seen: Mapping[str, Any]) -> Faults:
    if not seen["text"].strip() and not seen["objects"]:
        yield "the page shows nothing"


async def buttons(tab: Tab) -> list[str]:
    try:
        dead = await tab.inspect(DEAD_BUTTONS)
    except PageFault:
        return []
    return [f"nothing happens on the button {quote(name)}: no code listens to it" for name in dead or ()]


def totals(name: str, data: bytes) -> set[str]:
    """Sums and means of the numeric columns, as a page may write them."""
    found: set[str] = set()
    for column in _columns(name, data):
        mean = sum(column) / len(column)
        for value in (sum(column), mean):
            forms = {f"{value:.2f}", f"{value:,.2f}", f"{value:.1f}", f"{value:,.1f}"}
            if value == round(value):
                forms |= {f"{value:.0f}", f"{value:,.0f}"}
            found |= {form for form in forms if len(form) >= MIN_SHOWN_CHARS}
    return found


def expected(checks: Iterable[Check], brief: str) -> set[str]:
    """Numbers that only checks tell, long enough not to be anything else: a page computes them from its data."""
    told = {number for check in checks if check.kind == "js" for number in _EXPECTED.findall(check.text)}
    return {number for number in told if number not in brief}


def changed(name: str, data: bytes) -> bytes:
    """The same file with other numbers."""
    text = data.decode("utf-8", "replace")
    if name.lower().endswith(".json"):
        return json.dumps(_other(json.loads(text))).encode()
    return _CELL.sub(lambda match: _other_number(match[2].replace(",", "")), text).encode()


def shown(seen: Mapping[str, Any], forms: set[str]) -> list[str]:
    """Which of these numbers stand in the page as whole numbers."""
    tokens = set(re.findall(r"\d[\d,]*(?:\.\d+)?", " ".join([seen["text"], *seen["values"]])))
    return sorted(forms & tokens, key=len, reverse=True)


def _other_number(number: str) -> str:
    whole, point, rest = number.partition(".")
    return f"{int(whole) * 2 + 1 if whole not in ('', '-') else 1}{point}{rest}"


def _other(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _other(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_other(item) for item in value]
    return value * 2 + 1 if isinstance(value, int | float) and not isinstance(value, bool) else value


def _columns(name: str, data: bytes) -> Iterator[list[float]]:
    """Those of which most cells are numbers."""
    try:
        for table in tables(name, data[:MAX_DATA_BYTES]):
            for _, numbers in table.columns():
                if len(numbers) > 1 and len(numbers) > len(table.rows) / 2:
                    yield numbers
    except Undecided:
        return
