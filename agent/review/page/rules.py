"""What is wrong on any page that runs, whatever its task: uncaught errors, failed requests, links to nowhere."""

import re
from collections.abc import Iterable, Mapping
from urllib.parse import unquote, urlsplit

from pydantic import TypeAdapter
from typing_extensions import TypedDict

from agent.browser.chromium import Tab
from agent.browser.network import LIBRARIES, LIBRARY_HOSTS, Sources
from agent.publish.routing import page_at
from agent.quoting import quote
from agent.records import Finding
from agent.review.evidence import Faults
from agent.review.static.references import made
from agent.workspace import INDEX

MAX_FAULTS = 4

_TELLING = re.compile(r"'integrity'|Mixed Content|MIME type|^Refused to|Content Security Policy")


class Seen(TypedDict):
    """What stands in a page that has loaded."""

    text: str
    links: list[str]  # without query and fragment


SEEN = TypeAdapter(Seen)
LOOK = """(page) => ({
  text: (page.get("body") ? page.get("body").innerText : "").slice(0, 100000),
  links: page.all("a[href]").map((a) => a.href.split("#")[0].split("?")[0]).slice(0, 300),
})"""


def loaded(tab: Tab, sources: Sources, seen: Seen, files: Mapping[str, bytes]) -> list[Finding]:
    """One finding a rule, of a page that has loaded and that nothing has touched yet."""
    return [
        rule("requests", "The page's own files and its libraries are there.", requests(tab, sources, files)),
        rule("links", "Links into the site lead to its files.", links(seen, sources, files)),
    ]


def looked_at(tab: Tab, sources: Sources, left: Mapping[str, str]) -> list[Finding]:
    """The same, of a page that was looked at for a while. `left`: where it went by itself, by host."""
    gone = (f"the page goes to {quote(url, 160)} by itself, which the task does not name" for url in left.values())
    return [
        rule("errors", "No script throws while the page loads.", errors(tab, sources)),
        rule("leaves", "The page stays on the site.", gone),
    ]


def errors(tab: Tab, sources: Sources) -> Faults:
    """Uncaught exceptions, each once, with the first place in the site's own files."""
    for error in dict.fromkeys(tab.errors):
        message, *frames = error.splitlines() or [""]
        place = next((frame for frame in frames if sources.base_url in frame), "")
        where = re.search(re.escape(sources.base_url) + r"([^\s?:]*)[^\s:]*:(\d+)", place)
        at = f" at {where[1] or INDEX}:{where[2]}" if where else ""
        yield f"uncaught {quote(message, 160)}{at}"


def requests(tab: Tab, sources: Sources, files: Mapping[str, bytes]) -> Faults:
    """Files that are not there, and what a browser does not let the page have."""
    missing = {path: why for path, why in sources.missing.items() if not made(files, path)}
    yield from (f"{quote(path)} is not found: {why}" for path, why in missing.items())
    for url, status in sources.failed.items():
        if urlsplit(url).hostname in LIBRARY_HOSTS:
            yield f"{quote(url, 160)} answers {status}: name a version and a file that exist"
    for host, asked in sources.refused.items():
        if asked.split()[-1] in LIBRARIES:
            yield f"{quote(host)} is not fetched here: load libraries from cdn.jsdelivr.net or keep them in the site"
    for line in dict.fromkeys(tab.console):
        if _TELLING.search(line):
            yield f"the browser says {quote(line.split(': The ')[0], 240)}"


def links(seen: Seen, sources: Sources, files: Mapping[str, bytes]) -> Faults:
    """Where a link made by a script leads nowhere as well."""
    for url in dict.fromkeys(seen["links"]):
        path = url.removeprefix(sources.base_url)
        if path != url and page_at(files, unquote(path)) is None and not made(files, path):
            yield f"a link leads to {quote(path)}, which is not in the site"


def rule(name: str, text: str, faults: Iterable[str]) -> Finding:
    """A finding of what was seen in the page."""
    found = list(faults)
    rest = [f"and {len(found) - MAX_FAULTS} more"] if len(found) > MAX_FAULTS else []
    evidence = "; ".join([*found[:MAX_FAULTS], *rest]) or "no fault found"
    return Finding(id=name, origin="rule", text=text, verdict="fail" if found else "pass", evidence=evidence)
