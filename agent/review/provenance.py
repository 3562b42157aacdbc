"""Data comes from its source: what was carried over is held against it, and a number that stands in none is named.

Certain, and so a fault, is only what brief or checks say themselves: that this file comes from that source, and that
nothing is done to the data on the way. The rest is undecided, for people to see.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from urllib.parse import urlsplit

from agent.browser.network import LIBRARY_HOSTS
from agent.errors import Undecided
from agent.quoting import one_line, quote
from agent.review.datasets import (
    BOOK_ENDINGS,
    DATA_ENDINGS,
    TABLE_ENDINGS,
    Dataset,
    datasets,
    difference,
    known_numbers,
    numbers,
    telling,
)
from agent.review.evidence import Faults
from agent.review.site import JSON_ENDINGS, Site
from agent.review.wording import MAX_TEXT_CHARS, SENTENCE_END, file_names, plain

MAX_NAMED = 3  # of the numbers without a source

_URL = re.compile(r"https://[^\s\"'`<>)\]]{1,500}[^\s\"'`<>)\].,;]")
_PARAGRAPH = re.compile(r"\n[ \t]*\n")
_CARRIES = re.compile(r"\b(?:convert|export|turn|transform|copy|copie|save|equal|identical|match|same)\w*\b", re.I)
_ALTERS = re.compile(
    r"\b(?:filter|only|top|first|last|group|aggregat|summar|clean|drop|remov|without|sort|subset|select|unique|dedup"
    r"|total|sums?\b|average|mean|count|max|min|pivot|merge|join|comput|calculat|where|highest|lowest|largest|smallest"
    r"|per\b|limit|sampl|renam|round|normali|columns?\b)\w*",
    re.I,
)
_FILTERS = re.compile(r"\b(?:filter|only|where|whose|group|after|before|between|since|without|exclud|includ)\w*", re.I)
_AGGREGATES = re.compile(r"\b(?:sums?|totals?|mean|averages?|counts?|number of|how many)\b", re.I)
_COMPUTES = re.compile(
    r"\b(?:ratio|percent|growth|differen|chang|product|multipl|divid|rate|median|deviation|forecast|predict|estimat"
    r"|round|million|thousand|billion|revenue|score|correlat|trend|formula|comput|calculat|invent|random|synthetic"
    r"|per\s+(?:year|month|week|day|unit|head|capita|person|region|product|category|group)|generat|exampl|sampl)\w*|[%±]",
    re.I,
)
_FETCHES = re.compile(r"\b(?:fetch|download|retriev|query|pull|scrap|get|read|import|take|call|request)\w*\b", re.I)
_IN_THE_PAGE = re.compile(
    r"\b(?:browser|client[- ]side|on (?:page )?load|opened|runtime|proxy|visitors?|script)\b", re.I
)


@dataclass(frozen=True)
class Source:
    """Data from outside: an attachment, or what an address served."""

    word: str  # what the task calls it
    name: str  # its ending tells its kind
    label: str
    data: bytes
    fetched: bool = False


@dataclass(frozen=True)
class Passage:
    """A paragraph or a sentence of the task, and the files that it names."""

    text: str
    files: frozenset[str]
    sentences: "tuple[Passage, ...]" = ()


Notes = Iterator[tuple[bool, str]]  # whether it is certain, and what is to be said


def provenance(site: Site) -> Faults:
    """Data files hold what their sources hold."""
    notes = [note for look in (_unfetched, _carried, _sourceless) for note in _settled(look(site))]
    faults = [sentence for certain, sentence in notes if certain]
    yield from faults
    if notes and not faults:
        raise Undecided("; ".join(sentence for _, sentence in notes[:3]))


def copied(site: Site, path: str, name: str) -> Faults:
    """The file holds the table of an attachment, whatever its form. Raises Undecided where one of them is no table."""
    ours, theirs = datasets(path, site.workspace[path]), datasets(name, site.attached[name])
    if not ours or not theirs:
        raise Undecided("one of the two is no table")
    other = _difference(ours[0], theirs, quote(path), quote(name))
    if other:
        yield f"{one_line(other, 300)}: {_remedy(path, Source(name, name, name, b''))}"


def _settled(notes: Notes) -> list[tuple[bool, str]]:
    found = []
    try:
        for note in notes:
            found.append(note)
    except Undecided as doubt:
        found.append((False, str(doubt)))
    return found


def _unfetched(site: Site) -> Notes:
    """A file that the brief wants made from an address, which nobody asked."""
    asked = {urlsplit(url).hostname for url in site.downloads}
    served = {urlsplit(url).hostname for url, data in site.downloads.items() if data is not None}
    for path in _own_data(site):
        wanted = _hosts(site, path)
        if not wanted or wanted & served:
            continue
        host = min(wanted)
        if wanted & asked:
            yield False, f"{quote(host)} gave no answer: what {quote(path)} holds has no source"
        else:
            told = f"nothing was fetched from {quote(host)}: use fetch, then write {quote(path)} from what it serves"
            yield site.task.round == 1, told  # a later round may keep what an earlier one fetched


def _carried(site: Site) -> Notes:
    """Files that are the data of a source in another form."""
    for path in _own_data(site):
        copies = datasets(path, site.workspace[path])
        for source in _sources(site) if copies else ():
            tables = datasets(source.name, source.data)
            if _is_copy(site, path, source):
                other = _difference(copies[0], tables, quote(path), source.label)
            else:
                strange = any(_holds_others(copies[0], table) for table in tables)
                other = f"{quote(path)} has the columns of {source.label} and other rows" if strange else None
            if other:
                yield _is_copy(site, path, source), f"{one_line(other, 300)}: {_remedy(path, source)}"


def _sourceless(site: Site) -> Notes:
    """Numbers that a data file of the model's own holds and that no source does."""
    sources = _sources(site)
    labels = [source.label for source in sources if source.fetched or source.name.lower().endswith(DATA_ENDINGS)]
    if not labels:
        return
    known = frozenset[str]().union(*(known_numbers(source.name, source.data) for source in sources))
    for path in _own_data(site):
        if datasets(path, site.workspace[path]) and any(_is_copy(site, path, source) for source in sources):
            continue
        found = [(at, n) for at, n in numbers(path, site.workspace[path]) if telling(n) and n not in known]
        if found:
            named = ", ".join(f"{quote(at)} {number}" if at else number for at, number in found[:MAX_NAMED])
            told = f"{quote(path)}: {named} stands nowhere in {', '.join(labels[:3])}"
            yield (
                _is_selection(site, path),
                f"{told} and is no count, sum or mean of a column there: take it from there",
            )


def _sources(site: Site) -> list[Source]:
    attached = [Source(name, name, quote(name), data) for name, data in site.attached.items()]
    served = [_served(url, data) for url, data in site.downloads.items() if data is not None]
    return attached + served


def _served(url: str, data: bytes) -> Source:
    parts = urlsplit(url)
    name = parts.path.rpartition("/")[2] or "answer"
    is_json = data.lstrip()[:1] in (b"{", b"[") and not name.lower().endswith(DATA_ENDINGS)
    return Source(url, f"{name}.json" if is_json else name, quote(parts.hostname or url), data, fetched=True)


def _own_data(site: Site) -> list[str]:
    """Data files that the model wrote: neither attachments nor fetched bytes."""
    carried = {data for data in site.downloads.values() if data is not None}
    own = site.readable(*TABLE_ENDINGS, *JSON_ENDINGS)
    return [path for path in own if path not in site.attachments and site.workspace[path] not in carried]


def _is_copy(site: Site, path: str, source: Source) -> bool:
    """Whether the task has the file hold the source's data, whole."""
    naming = [sentence.text for sentence in _sentences(site) if path in sentence.files]
    both = [sentence for sentence in naming if source.word in sentence]
    if any(_CARRIES.search(sentence) and not _ALTERS.search(sentence) for sentence in both):
        return True
    twins = not source.fetched and _stem(path) == _stem(source.name)
    return twins and bool(naming) and not any(_ALTERS.search(sentence) for sentence in naming)


def _is_selection(site: Site, path: str) -> bool:
    """Whether the task has the file's numbers taken from a source that is here, not worked out from it."""
    words = [source.word for source in _sources(site) if source.name.lower().endswith(DATA_ENDINGS)]
    for paragraph in _paragraphs(site):
        if path in paragraph.files and any(word in paragraph.text for word in words):
            filtered = _AGGREGATES.search(paragraph.text) and _FILTERS.search(paragraph.text)
            return not filtered and not _COMPUTES.search(_URL.sub(" ", paragraph.text))
    return False


def _hosts(site: Site, path: str) -> set[str]:
    """Hosts of the addresses that the paragraph about this file wants fetched."""
    sentences = [s.text for paragraph in _paragraphs(site) if path in paragraph.files for s in paragraph.sentences]
    return {host for sentence in sentences for host in _fetched_hosts(sentence)} - LIBRARY_HOSTS


def _fetched_hosts(sentence: str) -> Iterator[str]:
    if not _IN_THE_PAGE.search(sentence):
        for match in _URL.finditer(sentence):
            if _FETCHES.search(sentence[: match.start()]):
                yield urlsplit(match[0]).hostname or ""


def _difference(copy: Dataset, tables: tuple[Dataset, ...], ours: str, theirs: str) -> str | None:
    """None when one of the source's tables is the copy's; else how the likeliest one differs."""
    told = [difference(copy, table, ours, theirs) for table in tables]
    if not told or None in told:
        return None
    return told[next((n for n, table in enumerate(tables) if table.header == copy.header), 0)]


def _holds_others(copy: Dataset, table: Dataset) -> bool:
    return len(copy.header) > 1 and copy.header == table.header and not set(copy.rows) <= set(table.rows)


def _remedy(path: str, source: Source) -> str:
    if source.fetched:
        return "save it with fetch and its `path`"
    if source.name.lower().endswith(BOOK_ENDINGS) and path.lower().endswith(".csv"):
        return "use convert_attachment"
    return "never type data, carry it over by code"


def _sentences(site: Site) -> list[Passage]:
    return [sentence for paragraph in _paragraphs(site) for sentence in paragraph.sentences]


def _paragraphs(site: Site) -> tuple[Passage, ...]:
    return _read((site.task.brief, *(check.text for check in site.task.checks if check.kind == "prose")))


@lru_cache(maxsize=8)
def _read(texts: tuple[str, ...]) -> tuple[Passage, ...]:
    parts = [part for text in texts for part in _PARAGRAPH.split(plain(text[:MAX_TEXT_CHARS]))]
    return tuple(replace(_passage(p), sentences=tuple(map(_passage, SENTENCE_END.split(p)))) for p in parts)


def _passage(text: str) -> Passage:
    return Passage(text, frozenset(file_names(text)))


def _stem(path: str) -> str:
    return path.rpartition("/")[2].rpartition(".")[0].lower()
