"""The files around the page: licence, README, attachments, refused paths, sizes."""

import re
from collections.abc import Iterator

from agent.quoting import listing, missing, quote
from agent.records import Task
from agent.review.documents import json_faults
from agent.review.evidence import Faults
from agent.review.markup import without_comments
from agent.review.site import JSON_ENDINGS, Site
from agent.review.wording import MAX_TEXT_CHARS, SENTENCE_END, clean
from agent.workspace import ENGINE_FILES, INDEX, MAX_FILE_BYTES, MAX_FILES, WORKFLOWS

README = "README.md"
MIN_README_WORDS = 80
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

_HEADING = re.compile(r"^ {0,3}#{1,6}[ \t]++([^\n]{1,300})", re.M)
_HEADING_HTML = re.compile(r"<h([1-6])\b[^>]{0,200}>([^<]{1,200})", re.I)
_UNDERLINED = re.compile(r"^ {0,3}(\S[^\n]{0,200})\n {0,3}(=++|-++)[ \t]*+$", re.M)
_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})", re.M)
_SECTIONS = {
    "summary": r"summary|overview|about|description|introduction|what |features|purpose",
    "setup": r"set.?up|install|getting started|quick.?start|prerequisite|requirements|deploy|run|local",
    "usage": r"usage|us(?:e|ing)\b|example|demo|how to",
    "code explanation": r"code|how it works|implement|architect|structure|technical|explanation|files|design|works",
    "license": r"licen[cs]e",
}
_PLACEHOLDER = re.compile(
    r"\byour[-_]?user[-_]?name\b|\byour[-_]repo(?:sitory)?(?:[-_]name)?\b|<your[^>\n]{0,40}>"
    r"|\[your [^\]\n]{0,40}\](?!\()|lorem ipsum"
    r"|^[\s>*-]{0,5}(?:TODO|FIXME|TBD):|\[(?:insert|add) [^\]\n]{0,40}\](?!\()",
    re.I | re.M,
)
_CHANGE = (
    r"(?:fix|repair|correct|modif(?:y|i)|chang|updat|edit|debug|refactor|rewrit|improv|extend|translat|reformat|clean)"
)
_OTHER_AIM = (
    r"(?:so|that|when|whenever|if|from|using|with|by|into|for|to"
    r"|(?:read|load|fetch|show|display|render|keep|sum|use|list)\w*)\b"
)
_STEPS = rf"(?:\s+(?!{_OTHER_AIM})[^\s.;!?]+){{0,4}}?"


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
    """README.md explains the project and is finished."""
    if README not in site.workspace:
        yield missing(README, site.workspace)
        return
    text = site.text(README)[:MAX_README_CHARS].replace("\r\n", "\n")
    prose, unclosed = without_fences(text)
    if unclosed:
        yield f"{README}:{unclosed}: this code fence is never closed"
    yield from _section_faults(prose)
    if len(text.split()) < MIN_README_WORDS:
        yield f"{README} has {len(text.split())} words: explain more, at least {MIN_README_WORDS}"
    asked = site.task.brief.lower()
    for match in _PLACEHOLDER.finditer(text):
        if match[0].lower() not in asked:
            yield f"{README} holds the placeholder {quote(match[0].strip(), 40)}: write what is true, or leave it out"
            break


def attachments(site: Site) -> Faults:
    """Every attachment stands at the root as it was sent, unless it is to be changed."""
    for name, data in site.attachments.items():
        if name not in site.workspace:
            yield f"the attachment {quote(name)} is missing: it belongs at the root under its own name"
        elif site.workspace[name] != data and not may_change(site.task, name):
            yield f"the attachment {quote(name)} was changed; nobody asked for that: leave it alone, use another file"


def paths(site: Site) -> Faults:
    """No file that a site may not hold, and none too large."""
    own = [path for path in site.workspace if path not in site.attachments and path not in ENGINE_FILES]
    refused = [path for path in own if _refused(path, workflows_allowed(site.task))]
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
            yield from json_faults(path, site.text(path))
    for script in site.scripts:
        if script.kind == "json":
            yield from json_faults(f"{script.path}:{script.line}", script.code)


def may_change(task: Task, name: str) -> bool:
    """Whether brief or checks ask for this attachment to be changed, or it is a file that the site writes anyway."""
    if name.lower() in (INDEX, README.lower()):
        return True
    file = rf"[`'\"(]*(?<![\w./-]){re.escape(name)}(?![\w-])(?!\.\w)"
    asked = re.compile(
        rf"\b{_CHANGE}\w*{_STEPS}\s+{file}"  # fix the error in execute.py
        rf"|{file}[`'\")]*\s+(?:after|by|once)\s+{_CHANGE}\w*"  # execute.py after fixing
        rf"|{file}[`'\")]*\s+(?:is|(?:must|should|has to|needs to) be)\s+{_CHANGE}\w*",
        re.I,
    )
    refused = re.compile(
        rf"(?:\bnot|n't|\bnever|\bwithout)\s+(?:\w+\s+){{0,2}}?{_CHANGE}"
        rf"|{file}\W+(?:\w+\W+){{0,2}}?(?:as[- ]is|unchanged|unmodified|verbatim)",
        re.I,
    )
    cleared = re.compile(rf"{file}[`'\")]*\s+(?:does not|doesn't|must not|no longer)\s+contain", re.I)
    texts = [task.brief, *(check.text for check in task.checks if check.kind == "prose")]
    sentences = [part for text in texts for part in SENTENCE_END.split(clean(text)) if name in part]
    return any(cleared.search(s) or (asked.search(s) and not refused.search(s)) for s in sentences)


def workflows_allowed(task: Task) -> bool:
    """Whether brief or checks (never an attachment) name a GitHub Actions workflow."""
    texts = [task.brief, *(check.text for check in task.checks)]
    sentences = (s for text in texts for s in SENTENCE_END.split(text[:MAX_TEXT_CHARS]))
    named = re.compile(r"\.github/workflows\b|\bgithub actions?\b", re.I)
    return any(named.search(s) and not re.search(r"\b(?:not|no|never|without)\b|n't\b", s, re.I) for s in sentences)


def _section_faults(prose: str) -> Iterator[str]:
    underlined = _UNDERLINED.findall(prose)
    html = _HEADING_HTML.findall(prose)
    headings = [*_HEADING.findall(prose), *(title for title, _ in underlined), *(title for _, title in html)]
    title = re.search(r"^ {0,3}#[ \t]++[^\n]", prose, re.M) or any(mark[0] == "=" for _, mark in underlined)
    if not title and not any(level == "1" for level, _ in html):
        yield f"{README} has no title: begin with `# Name`"
    introduction = re.search(r"^ {0,3}#[ \t]++[^\n]++\n\s*+[^#]", prose, re.M)
    missing = [
        name
        for name, words in _SECTIONS.items()
        if not (name == "summary" and introduction) and not any(re.search(words, h, re.I) for h in headings)
    ]
    if missing:
        yield f"{README} lacks sections on {', '.join(missing)}: headings are {listing(headings, 8)}"


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
