"""What a task names literally and a strict evaluator looks for: files, ids, JSON shapes, numbers of words."""

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from agent.errors import Undecided
from agent.quoting import missing, nearest, quote
from agent.records import Task
from agent.review.dom import Dom, composed, mentions
from agent.review.evidence import Faults
from agent.review.shapes import Shape, parse_shape, shape_faults
from agent.review.site import Site
from agent.review.wording import (
    FILE,
    MAX_TEXT_CHARS,
    QUOTED,
    SENTENCE_END,
    Words,
    clean,
    file_names,
    items,
    words_asked,
)

MAX_IDS = 200
MAX_SHAPES = 20

_OUTER_BRACE = re.compile(r"(?<!\[)\{(?:[^{}]|\{(?:[^{}]|\{(?:[^{}]|\{[^{}]*+\})*+\})*+\})*+\}")

_NAME_END = r"(?![\w-]*[<{$*])"  # not a template such as `user-<seed>`
_HASH_ID = re.compile(rf"(?<![\w&/#=?])#([A-Za-z][\w-]*+){_NAME_END}")
_QUOTED_ID = re.compile(r"(?<![?&\w-])ids?\s*(?:=|:|of|is|are)?\s*[\"'`]([A-Za-z][\w-]*+)(?=[\"'`])", re.I)
_BARE_ID = re.compile(rf"(?<![?&\w-])id=([A-Za-z][\w-]*+){_NAME_END}")
_ID_LIST = re.compile(r"\bids?\b[^`\n]{0,30}:\s*((?:[`'\"][A-Za-z][\w-]*+[`'\"][\s,]*+(?:and\s++)?)+)", re.I)
_TITLE = re.compile(
    r"\b(?:(?:page|site|website|app)\s+(?:with\s+(?:the\s+|a\s+)?title|titled)"
    r"|(?:page|document|site|whose|its|the|html)(?:'s)?\s+title\s+(?:is|to|to\s+be|should\s+be|must\s+be|reads))"
    rf"\s+(?:exactly\s+)?{QUOTED}",
    re.I,
)
_COLOUR = re.compile(r"(?:[0-9a-f]{3,4}|[0-9a-f]{6}|[0-9a-f]{8})", re.I)
_GONE = re.compile(
    r"\b(?:remove|delete|drop|rename|replace|without|not|never|hashtag)\b(?:\s+\S+){0,3}\s*[`'\"(]*$", re.I
)

_ALWAYS = re.compile(r"(?:.*/)?(?:licen[cs]e(?:\.\w+)?|readme\.md|index\.html|cname|\.nojekyll)", re.I)
_NEVER_COMMITTED = re.compile(
    r"(?:\bnot|n't|\bnever)\s+(?:\w+\s+){0,2}?"
    r"(?:commit|include|add|push|create|publish|store)\w*\s+(?:\S+\s+){0,2}?[`'\"]*$",
    re.I,
)
_NOT_COMMITTED = re.compile(
    r"^[`'\"]*\s+\w+(?:\s+\w+)?\s+(?:not|never)\s+(?:be\s+)?(?:commit|exist|present|includ|stored|in the)", re.I
)
_FROM_ELSEWHERE = re.compile(
    r"(?:\b(?:fetch|load|read|pars|import|upload|download|export|attach)\w*\s+(?:\S+\s+){0,3}?|>\s*|\bconvert\w*\s+"
    r"|\b(?:not|never|without|instead of|rather than|such as|like|e\.g\.,?|for example,?|remove|delete)\s+"
    r"(?:\S+\s+){0,2}?)[`'\"(]*$",
    re.I,
)
_ATTACHED = re.compile(
    r"^[`'\")]*,?\s*(?:\(?\w+\s+)?(?:\(attach|(?:from|in|of|as|with)\s+(?:the\s+)?attach|provided|attached|uploaded"
    r"|generated\s+(?:in|by|during)\s)",
    re.I,
)
_LIBRARY = re.compile(
    r"(?:[A-Z]\w*|node|next|nuxt|highlight|chart|three|d3|p5|vue|react|jquery|marked|tesseract|qrcode|leaflet|plotly"
    r"|anime|moment|alpine|socket\.io)(?:\.min)?\.js"
)
_LIBRARY_BEFORE = re.compile(r"\b(?:use|uses|using|via|library|through)\s+(?:\S+\s+){0,2}?[`'\"]*$", re.I)
_LIBRARY_AFTER = re.compile(
    r"^[`'\"]*\s+(?:library|framework|for\s|from\s+(?:a\s+|the\s+)?(?:cdn|jsdelivr|unpkg|cdnjs))", re.I
)


@dataclass(frozen=True)
class Named:
    """The literals of one task."""

    files: tuple[str, ...]  # must be in the commit
    absent: frozenset[str]  # must not
    ids: tuple[str, ...]
    title: str | None
    shapes: tuple[tuple[str, Shape], ...]  # of JSON files
    words: tuple[tuple[str, Words], ...]  # of text files


def files(site: Site) -> Faults:
    """Every file that brief or checks name is there, and none that must not be."""
    wanted = named(site.task)
    for path in wanted.files:
        if path not in site.workspace and path not in site.attachments:
            yield missing(path, site.workspace)
    for path in sorted(wanted.absent & set(site.workspace)):
        yield f"{quote(path)} must not be committed"


def ids(site: Site) -> Faults:
    """Every id that brief or checks name stands in the site."""
    everything = "\n".join([site.complete().source, *(site.text(p) for p in site.readable(".json", ".csv", ".tsv"))])
    known = [i for page in site.pages.values() for i in page.ids]
    for name in named(site.task).ids:
        if not mentions(everything, name) and not composed(name, everything):
            yield f"nothing has the id {quote(name)} ({nearest(name, known)})"


def content(site: Site) -> Faults:
    """Named files hold what brief and checks describe."""
    for path in dict.fromkeys(path for path, _ in (*named(site.task).shapes, *named(site.task).words)):
        if path in site.workspace and path not in site.attachments:
            yield from content_faults(site, path)


def content_faults(site: Site, path: str) -> Faults:
    """What is wrong with one file against the shapes and lengths that the task ties to it."""
    for shape in (shape for name, shape in named(site.task).shapes if name == path):
        try:
            document = site.json(path)
        except ValueError:
            return  # the rule on JSON says so
        yield from (f"{path}: {fault}" for fault in shape_faults(document, shape))
    for asked in (asked for name, asked in named(site.task).words if name == path):
        count = len(site.text(path).split())
        if not asked.least <= count <= asked.most:
            yield f"{path} has {count} words; asked are {asked}"


def title(site: Site) -> Faults:
    """The title is the one the brief asks for."""
    wanted = named(site.task).title
    if wanted is not None:
        actual = Dom(site).document_property("title")
        if actual != wanted and wanted in site.source:
            raise Undecided(f"the title is {quote(actual)}; {quote(wanted)} may be meant as another title")
        if actual != wanted:
            yield f"the title is {quote(actual)}, must be exactly {quote(wanted)}"


def expected_always(path: str) -> bool:
    """Files that every site has, whatever the task names."""
    return _ALWAYS.fullmatch(path) is not None


def named(task: Task) -> Named:
    checks = (check.text[:MAX_TEXT_CHARS] for check in task.checks if check.kind == "prose")
    return _named(task.brief[:MAX_TEXT_CHARS], tuple(checks))


@lru_cache(maxsize=16)
def _named(brief: str, checks: tuple[str, ...]) -> Named:
    texts = [clean(text) for text in (brief, *checks)]
    absent = frozenset(name for text in texts for name in _absent(text))
    wanted = dict.fromkeys(name for text in texts for name in required_files(text) if name not in absent)
    found = dict.fromkeys(name for text in texts for name in element_ids(text))
    chunks = [chunk for text in texts for chunk in items(text)]
    return Named(
        files=tuple(wanted),
        absent=absent,
        ids=tuple(found)[:MAX_IDS],
        title=next((match["quoted"] for match in _TITLE.finditer(texts[0])), None),
        shapes=tuple(tied for chunk in chunks for tied in _shapes(chunk)),
        words=tuple(tied for chunk in chunks for tied in _words(chunk)),
    )


def required_files(text: str) -> Iterator[str]:
    """Files the text wants in the commit: not those it reads from elsewhere, forbids or gives as an example."""
    for match in FILE.finditer(text):
        name, before, after = match[0], text[max(0, match.start() - 80) : match.start()], text[match.end() :][:80]
        before = SENTENCE_END.split(before)[-1]
        library = name.endswith(".js") and (
            _LIBRARY.fullmatch(name) or _LIBRARY_BEFORE.search(before) or _LIBRARY_AFTER.match(after)
        )
        elsewhere = _FROM_ELSEWHERE.search(before) or _ATTACHED.match(after) or _NOT_COMMITTED.match(after)
        if not (library or elsewhere or _ALWAYS.fullmatch(name)):
            yield name


def element_ids(text: str) -> Iterator[str]:
    """Ids that the text names as `#id`, `id="…"` or in a list of ids."""
    lists = (m for found in _ID_LIST.finditer(text) for m in re.finditer(r"[`'\"]([A-Za-z][\w-]*+)", found[1]))
    for match in (*_HASH_ID.finditer(text), *_QUOTED_ID.finditer(text), *_BARE_ID.finditer(text), *lists):
        colour = match[0].startswith("#") and _COLOUR.fullmatch(match[1])
        before = re.split(r"[.;,\n]", text[max(0, match.start() - 60) : match.start()])[-1]
        if not colour and not _GONE.search(before):
            yield match[1]


def _absent(text: str) -> Iterator[str]:
    for match in FILE.finditer(text):
        before = text[max(0, match.start() - 80) : match.start()]
        if _NEVER_COMMITTED.search(before) or _NOT_COMMITTED.match(text[match.end() :][:80]):
            yield match[0]


def _shapes(chunk: str) -> Iterator[tuple[str, Shape]]:
    """JSON shapes written in braces, each with the JSON file named last before it."""
    for match in itertools.islice(_OUTER_BRACE.finditer(chunk), MAX_SHAPES):
        documents = [name for name in file_names(chunk[: match.start()]) if name.endswith(".json")]
        shape = parse_shape(chunk, match.start()) if documents else None
        if shape:
            yield documents[-1], shape


def _words(chunk: str) -> Iterator[tuple[str, Words]]:
    """A number of words, with the only text file that this item names."""
    names = {name for name in file_names(chunk) if name.endswith((".txt", ".md"))}
    asked = words_asked(chunk)
    if len(names) == 1 and asked:
        yield names.pop(), asked
