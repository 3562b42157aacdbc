"""The files around the page: licence, README, attachments, refused paths, sizes."""

import re

from agent.quoting import listing, missing, quote
from agent.review.evidence import Faults
from agent.review.static.html import without_comments
from agent.review.static.site import JSON_ENDINGS, Site, parse_json
from agent.workspace import ENGINE_FILES, INDEX, MAX_FILE_BYTES, MAX_FILES, WORKFLOWS

README = "README.md"
MAX_README_CHARS = 100_000
MIT_BODY = """\
Permission is hereby granted, free of charge, to any person obtaining a copy
of this software and associated documentation files (the "Software"), to deal
in the Software without restriction, including without limitation the rights
to use, copy, modify, merge, publish, distribute, sublicense, and/or sell
copies of the Software, and to permit persons to whom the Software is
furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all
copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR
IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY,
FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE
AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER
LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM,
OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE
SOFTWARE.
"""

_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})", re.M)


def index(site: Site) -> Faults:
    """index.html stands at the root, is a page and nothing but a page."""
    if INDEX not in site.workspace:
        yield missing(INDEX, site.workspace)
        return
    text = site.text(INDEX).removeprefix("\ufeff").strip()
    tail = without_comments(text[text.lower().rfind("</html>") + 7 :]).strip() if "</html>" in text.lower() else ""
    if not text:
        yield f"{INDEX} is empty"
    elif not text.startswith("<"):
        yield f"{INDEX} begins with {quote(text, 40)}: the file must hold markup only, no fence and no explanation"
    elif tail and not tail.startswith("<"):
        yield f"{INDEX} goes on after </html> with {quote(tail, 40)}: end the file there"
    elif _cut_off(text.lower()):
        yield f"{INDEX} ends inside a script or style element: it was cut off, write it again, shorter or in two files"


def licence(site: Site) -> Faults:
    """LICENSE is the MIT licence, in full."""
    if "LICENSE" not in site.workspace:
        yield missing("LICENSE", site.workspace)
    elif _words(MIT_BODY) not in _words(site.text("LICENSE")):
        yield "LICENSE is not the full text of the MIT licence"


def readme(site: Site) -> Faults:
    """README.md is there and says something."""
    if README not in site.workspace:
        yield missing(README, site.workspace)
    elif not site.workspace[README].strip():
        yield f"{README} is empty"


def paths(site: Site) -> Faults:
    """No file that a site may not hold, and none too large."""
    own = [path for path in site.workspace if path not in site.attachments and path not in ENGINE_FILES]
    refused = [path for path in own if _refused(path, site.workflows)]
    large = [path for path in own if len(site.workspace[path]) > MAX_FILE_BYTES]
    if refused:
        yield f"a site may not hold {listing(refused)}"
    if large:
        yield f"{listing(large)}: larger than {MAX_FILE_BYTES} bytes"
    if len(own) > MAX_FILES:
        yield f"{len(own)} files are more than {MAX_FILES}: merge some"


def json_files(site: Site) -> Faults:
    """Every JSON file parses, and so does all JSON in pages."""
    for path in site.readable(*JSON_ENDINGS):
        if site.workspace[path] != site.attachments.get(path):
            yield from _json_faults(path, site.text(path))
    for script in site.scripts:
        if script.kind == "json":
            yield from _json_faults(f"{script.path}:{script.line}", script.code)


def _json_faults(where: str, text: str) -> Faults:
    try:
        parse_json(text)
    except ValueError as error:
        yield f"{where} is no JSON: {quote(str(error), 100)}"


def without_fences(text: str) -> tuple[str, int]:
    """The text outside code fences, and the line of a fence that is never closed (0: none)."""
    outside: list[str] = []
    opened, mark = 0, ""
    for number, line in enumerate(text.split("\n"), 1):
        fence = _FENCE.match(line)
        if fence and not mark:
            opened, mark = number, fence[1]
        elif fence and fence[1].startswith(mark) and line.strip() == fence[1]:
            opened, mark = 0, ""
        elif not mark:
            outside.append(line)
    return "\n".join(outside), opened


def _cut_off(page: str) -> bool:
    """An element that only its end tag can close is still open at the end, whether comments count or not."""
    return all(
        any(text.rfind(f"<{tag}") > text.rfind(f"</{tag}") for tag in ("script", "style"))
        for text in (page, without_comments(page))
    )


def _refused(path: str, workflows: bool) -> bool:
    git = any(part.lower().startswith(".git") and part != ".gitignore" for part in path.split("/"))
    licence = path.lower().startswith("license")
    return path.lower() == "cname" or licence or (git and not (workflows and path.lower().startswith(WORKFLOWS)))


def _words(text: str) -> str:
    return " ".join(re.findall(r"[a-z]+", text.lower()))
