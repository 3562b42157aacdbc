"""Prose checks, read as strictly as evaluators read them.

To add a rule: one function and one line in RULES. A rule looks at one kind of phrase; it yields faults, or raises
Undecided. A check fails if a rule finds a fault. It passes only if no rule does and their phrases are all that the
sentence says; a sentence that says more, or says "not" where no rule listens, is undecided.
"""

import operator
import re
from collections.abc import Callable, Iterator
from typing import Any

from agent.errors import Undecided
from agent.quoting import missing, quote
from agent.review import deliverables, documents, provenance, repository
from agent.review.dom import Dom
from agent.review.evidence import Faults, settle
from agent.review.shapes import kind_fits, kind_named
from agent.review.site import Site
from agent.review.wording import FILE, NUMBER, QUOTED, file_names, plain, words_asked
from agent.workspace import INDEX

MAX_CHECK_CHARS = 2_000
MAX_MATCHES = 20
STATIC = "not decided by static rules"

Match = re.Match[str]
Rule = Callable[[Site, Match], Faults]


def faults(site: Site, sentence: str) -> tuple[str, ...]:
    """What is wrong with the site by this check; nothing means that it holds. Raises Undecided."""
    found, rest = _read(sentence)
    if not found or _NEGATION.search(rest):
        raise Undecided(STATIC)
    faults: list[str] = []
    undecided = Undecided(STATIC) if _FILLER.sub("", rest) else None
    for rule, match in found:
        try:
            faults += settle(rule(site, match))
        except Undecided as error:
            undecided = error
    if undecided and not faults:
        raise undecided
    return tuple(dict.fromkeys(faults))


def decidable(sentence: str) -> bool:
    """Whether rules know all that the sentence says; any other they may refute, but never confirm."""
    found, rest = _read(sentence)
    complete = bool(found) and not _NEGATION.search(rest) and not _FILLER.sub("", rest)
    return complete and all(rule is not as_described for rule, _ in found)


def _read(sentence: str) -> tuple[list[tuple[Rule, Match]], str]:
    """The rules that listen to it, and what none of them has heard."""
    text = plain(sentence[:MAX_CHECK_CHARS]).strip()
    found = [(rule, match) for pattern, rule in RULES for match in list(pattern.finditer(text))[:MAX_MATCHES]]
    return found, _without(text, [match for _, match in found])


def _without(text: str, matches: list[Match]) -> str:
    letters = list(text)
    for match in matches:
        letters[match.start() : match.end()] = " " * len(match[0])
    return "".join(letters)


def licence(site: Site, _match: Match) -> Faults:
    return repository.licence(site)


def readme(site: Site, _match: Match) -> Faults:
    return repository.readme(site)


def named_file(site: Site, match: Match) -> Faults:
    """A file that the sentence names is there."""
    path = match["file"]
    wanted = deliverables.named(site.task)
    if path in site.workspace or path in wanted.absent:
        return
    if path not in wanted.files and not deliverables.expected_always(path):
        raise Undecided(f"there is no {path}")
    yield missing(path, site.workspace)


def as_described(site: Site, match: Match) -> Faults:
    """`odds.json matches the scenario`: it fails by what the task says of the file, and never passes by that alone."""
    found = list(deliverables.content_faults(site, match["file"]))
    if not found:
        raise Undecided(STATIC)
    yield from found


def readme_exists(site: Site, _match: Match) -> Faults:
    if repository.README not in site.workspace:
        yield missing(repository.README, site.workspace)


def required_files(site: Site, _match: Match) -> Faults:
    yield from deliverables.files(site)
    for path in (INDEX, "LICENSE", *site.attachments):
        if path not in site.workspace:
            yield missing(path, site.workspace)


def not_committed(site: Site, match: Match) -> Faults:
    if match["file"] in site.workspace:
        yield f"{quote(match['file'])} must not be committed"


def intact(site: Site, match: Match) -> Faults:
    path = match["file"]
    if path not in site.attachments:
        raise Undecided(f"{path} is no attachment")
    if site.workspace.get(path) != site.attachments[path]:
        yield f"{quote(path)} is not the attachment byte for byte: do not write it, it is laid there for you"


def same_data(site: Site, match: Match) -> Faults:
    """`data.csv equals data.xlsx`: the same table in another form."""
    path, source = match["file"], match["source"]
    if path == source or path not in site.workspace:
        return  # other rules say so
    if source not in site.attached:
        raise Undecided(f"{source} is no attachment")
    yield from provenance.copied(site, path, source)


def words(site: Site, match: Match) -> Faults:
    asked = words_asked(match["count"])
    if asked is None:
        raise Undecided(STATIC)
    if match["file"] in site.pages:
        raise Undecided
    count = len(site.text(match["file"]).split())
    if not asked.least <= count <= asked.most:
        yield f"{match['file']} has {count} words; asked are {asked}"


def lacks_literal(site: Site, match: Match) -> Faults:
    if match["quoted"] in site.text(match["file"]):
        yield f"{match['file']} still contains {quote(match['quoted'])}"


def has_literal(site: Site, match: Match) -> Faults:
    path, literal = match["file"], match["quoted"]
    if literal in site.text(path):
        return
    if path in site.pages and literal in site.complete().source:
        raise Undecided
    yield f"{path} does not contain {quote(literal)}"


def valid(site: Site, match: Match) -> Faults:
    path = match["file"]
    if match["kind"].lower() == "json":
        yield from documents.json_faults(path, site.text(path))
    else:
        yield from documents.xml_faults(path, site.text(path), svg=match["kind"].lower() == "svg")


def field(site: Site, match: Match) -> Faults:
    """`data.json has 'name' field matching 'x'`."""
    value = documents.field(site, match["file"], match["name"])
    if match["quoted"] is not None and value != match["quoted"]:
        yield f"{match['file']}: {quote(match['name'])} is {quote(str(value))}, must be {quote(match['quoted'])}"


def fields_of_kinds(site: Site, match: Match) -> Faults:
    """`data.json has 'max' object with 'val' (number) and 'fy' (string) fields`."""
    for name, word in re.findall(r"(\w+)[`'\"]?\s*\((\w+)\)", match["fields"]):
        full = f"{match['name']}.{name}"
        value = documents.field(site, match["file"], full)
        if not kind_fits(value, kind_named(word)):
            yield f"{match['file']}: {quote(full)} is {quote(repr(value))}, must be a {word}"


def comparison(site: Site, match: Match) -> Faults:
    """`data.json a.b and c.d are both > '2020'`, `data.json a.b is at least c.d`."""
    path, relation = match["file"], _RELATIONS[match["relation"].lower()]
    bound: Any = match["quoted"]
    if bound is None:
        bound = float(match["number"]) if match["number"] else documents.field(site, path, match["than"])
    for name in re.split(r"\s+and\s+", match["fields"]):
        value = documents.field(site, path, name)
        comparable = any(kind_fits(value, kind) and kind_fits(bound, kind) for kind in ("number", "string"))
        if not (comparable and relation(value, bound)):
            yield f"{path}: {quote(name)} is {quote(repr(value))}, must be {match['relation']} {quote(repr(bound))}"


def title(site: Site, match: Match) -> Faults:
    actual, wanted = Dom(site).document_property("title"), match["quoted"]
    if not (wanted in actual if match["contains"] else wanted == actual):
        yield f"the title is {quote(actual)}, must {'contain' if match['contains'] else 'be exactly'} {quote(wanted)}"


def title_of_field(site: Site, match: Match) -> Faults:
    """Read as equality, as evaluators compare even where they write `contains`."""
    wanted = str(documents.field(site, match["file"], match["name"]))
    if site.index.title != wanted:
        yield f"the static <title> is {quote(site.index.title or '')}, must be exactly {quote(wanted)}"


def element(site: Site, match: Match) -> Faults:
    name = match["id"] or match["hash"]
    nodes = [node for page in site.pages.values() for node in page.select(f"[id='{name}']")]
    if nodes:
        if match["tag"] and match["tag"].lower() not in ("element", *(node.tag for node in nodes)):
            yield f"{quote(name)} is a {nodes[0].tag}, must be a {match['tag'].lower()}"
    else:
        why = Dom(site).lacks(f"[id='{name}']")
        if why is None:
            raise Undecided
        yield why


def element_with_field(site: Site, match: Match) -> Faults:
    """The raw value stands in the static page, where evaluators read it without scripts."""
    name = match["id"] or match["hash"]
    path = match["file"] or documents.holder(site, match["name"])
    wanted = documents.field(site, path, match["name"])
    nodes = site.index.select(f"[id='{name}']")
    if isinstance(wanted, dict | list | bool | None):
        raise Undecided(STATIC)
    if nodes and nodes[0].text().strip() != str(wanted):
        yield f"the static text of {quote(name)} is {quote(nodes[0].text())}, must be exactly {quote(str(wanted))}"


def links(site: Site, match: Match) -> Faults:
    yield from _unlinked(site, list(file_names(match["files"])))


def links_to_all(site: Site, _match: Match) -> Faults:
    wanted = deliverables.named(site.task).files
    yield from _unlinked(site, [path for path in wanted if not path.startswith(".")])


def library(site: Site, match: Match) -> Faults:
    name = match["library"].lower().removesuffix(".js")
    host = (match["host"] or "").lower()
    version = rf"[a-z.]*[@/-]v?{match['version']}(?!\d)" if match["version"] else ""
    wanted = re.compile(rf"//[^/]*{re.escape(host) if host != 'cdn' else ''}[^/]*/.*{re.escape(name)}{version}", re.I)
    loaded = [r.target for r in site.index.references if r.by in ("script src", "link href")]
    if any(wanted.search(target[:500]) for target in loaded):
        return
    if name in site.complete().source.lower():
        raise Undecided
    yield f"nothing loads {quote(match['library'])}: add its script or stylesheet"


def parameter(site: Site, match: Match) -> Faults:
    if match["parameter"] not in site.complete().code:
        yield f"no script reads the query parameter {quote(match['parameter'])}"


def literal_fetch(site: Site, match: Match) -> Faults:
    """Evaluators look for the literal in index.html itself."""
    if "fetch(" not in site.index.source:
        yield f"{INDEX} holds no `fetch(`: keep the script inline"
    if match["url"] not in site.index.source:
        yield f"{INDEX} does not hold the literal address {quote(match['url'], 200)}"


def _unlinked(site: Site, paths: list[str]) -> Iterator[str]:
    linked = {r.target.removeprefix("./").split("?")[0].split("#")[0] for r in site.index.references}
    missing = [path for path in paths if path not in linked]
    if any(path in site.complete().code for path in missing):
        raise Undecided
    yield from (f"{INDEX} does not link to {quote(path)}" for path in missing)


_ADJECTIVE = r"(?:professional|complete|detailed|comprehensive|clear|thorough|good|well[- ](?:written|documented))"
_ADJECTIVES = rf"{_ADJECTIVE}(?:(?:,|\s+and|,\s+and)\s+{_ADJECTIVE}){{0,4}}"
_README = r"\bREADME(?:\.md)?(?:\s+file)?"
_IN_FILE = rf"[`'\"]?(?P<file>{FILE.pattern})[`'\"]?"
_FIELD_NAME = r"[A-Za-z_]\w{0,60}(?:\.\w{1,60}){0,5}"
_FIELD = rf"[`'\"]?(?P<name>{_FIELD_NAME})[`'\"]?"
_KIND = r"[`'\"]?\w{1,60}[`'\"]?\s*\(\w{1,20}\)"
_TITLE = r"(?:<title>|(?:^(?:the\s+)?|\b(?:page|document|site|html)(?:'s)?\s+(?:has\s+(?:the\s+)?)?)title\b)(?:\s+tag)?"
_TAG = r"(?P<tag>h[1-6]|p|div|span|form|button|input|table|ul|ol|select|section|main|canvas|img|textarea|element)"
_ID = r"(?:\bid\s*=\s*[\"'`]?(?P<id>[A-Za-z][\w-]*+)[\"'`]?(?![\w-]*[<{$*])|#(?P<hash>[A-Za-z][\w-]*+)(?!\S*[<{$*]))"
_ELEMENT = (
    r"(?:\b(?:contains|has|includes)\s+)?(?:\ban?\s+)?(?:<\s*)?"
    rf"(?:\b{_TAG}\s+)?(?:\bwith\s+)?(?:\ban?\s+)?{_ID}(?:\s*>)?"
)
_LIBRARY = (
    r"Bootstrap|jQuery|Tailwind|marked|highlight\.js|Chart\.js|D3|Leaflet|Vue|React|Three\.js|Tesseract\.js|Alpine\.js"
)
_RELATIONS: dict[str, Callable[[Any, Any], bool]] = {
    **dict.fromkeys((">=", "at least", "greater than or equal to"), operator.ge),
    **dict.fromkeys(("<=", "at most", "less than or equal to"), operator.le),
    **dict.fromkeys((">", "greater than"), operator.gt),
    **dict.fromkeys(("<", "less than"), operator.lt),
}
_RELATION = "|".join(re.escape(word) for word in sorted(_RELATIONS, key=len, reverse=True))
_NEGATION = re.compile(r"\b(?:not|no|never|without|neither|nor|or|only|unless|except|instead)\b|n't\b", re.I)
_FILLER = re.compile(
    r"\b(?:the|an?|is|are|has|have|with|and|also|in|at|of|on|its|it|repo|repository|site|page|web|webpage|html|files?"
    r"|exists?|present|must|should|be|there|root|element|github|all|both)\b|[\W_]+",
    re.I,
)


def _rules(*rules: tuple[str, Rule]) -> tuple[tuple[re.Pattern[str], Rule], ...]:
    return tuple((re.compile(phrase, re.I), rule) for phrase, rule in rules)


RULES = _rules(
    (
        r"\blicen[cs]e\b(?:\s+file)?(?:\s+(?:contains|is|has|holds)|:)?\s+(?:an?\s+|the\s+)?"
        r"MIT\b(?:\s+licen[cs]e)?(?:\s+text)?",
        licence,
    ),
    (r"\bMIT[\s-]+licen[cs]ed?\b(?:\s+(?:text|file))?|\bLICEN[CS]E(?:\s+file)?\s+exists\b", licence),
    (rf"{_README}\s+(?:is|are|looks|must\s+be|should\s+be)\s+{_ADJECTIVES}|{_ADJECTIVES}\s+{_README}", readme),
    (r"\bREADME\b(?!\.md)", readme_exists),
    (_IN_FILE, named_file),
    (
        rf"{_IN_FILE}\s+(?:data\s+|content\s+)?"
        rf"(?:is\s+consistent|(?:meets|matches|follows)\s(?!\s*(?:the\s+)?(?:attach|original|[`'\"]?{FILE.pattern})))",
        as_described,
    ),
    (
        rf"{_IN_FILE}(?:'s)?\s+(?:data\s+|contents?\s+|rows\s+)?(?:equals?|matches|is\s+identical\s+to|is\s+the\s+same\s+as)"
        rf"\s+(?:the\s+)?(?:attached\s+|attachment\s+)?[`'\"]?(?P<source>{FILE.pattern})[`'\"]?(?:\s+\(attach\w*\))?",
        same_data,
    ),
    (r"\b(?:each|every|all)\s+(?:of\s+the\s+)?(?:required|requested|named|listed)\s+files?\b", required_files),
    (
        rf"{_IN_FILE}\s+(?:is|are|must|should)\s+(?:not|never)\s+(?:be\s+)?(?:committed|present|in\s+the\s+repo\w*)",
        not_committed,
    ),
    (
        rf"{_IN_FILE}\s+(?:matches|equals|is\s+identical\s+to|is\s+the\s+same\s+as)\s+"
        r"(?:the\s+)?(?:attached|attachment|original)(?:\s+file)?",
        intact,
    ),
    (
        rf"{_IN_FILE}\s+(?:contains|has|is)\s+"
        rf"(?P<count>(?:[a-z]+\s+){{0,3}}?{NUMBER}[\w\s-]{{0,20}}?\bwords?\b)(?:\s+long)?",
        words,
    ),
    (
        rf"{_IN_FILE}\s+(?:does\s+not|doesn't|must\s+not|no\s+longer)\s+contains?\s+"
        rf"(?:the\s+|any\s+)?(?:\w+\s+)?{QUOTED}",
        lacks_literal,
    ),
    (
        rf"{_IN_FILE}\s+(?:contains|includes|mentions)\s+(?:the\s+)?(?:(?:word|text|string|phrase)\s+)?{QUOTED}",
        has_literal,
    ),
    (rf"{_IN_FILE}\s+(?:exists\s+and\s+)?(?:is|contains)\s+(?:a\s+)?valid\s+(?P<kind>JSON|SVG|XML)(?:\s+file)?", valid),
    (
        rf"{_IN_FILE}\s+(?:has|contains)\s+(?:an?\s+|the\s+)?{_FIELD}\s+(?:field|key|property)"
        rf"(?:\s+(?:matching|equal\s+to|equals|set\s+to|with\s+value|=)\s+{QUOTED})?",
        field,
    ),
    (
        rf"{_IN_FILE}\s+has\s+(?:an?\s+)?{_FIELD}\s+object\s+with\s+"
        rf"(?P<fields>(?:{_KIND}(?:\s*,)?(?:\s+and)?\s*){{1,10}})(?:fields?|keys?)?",
        fields_of_kinds,
    ),
    (
        rf"{_IN_FILE}\s+(?P<fields>{_FIELD_NAME}(?:\s+and\s+{_FIELD_NAME})?)\s+(?:is|are)\s+(?:both\s+)?"
        rf"(?P<relation>{_RELATION})\s+(?:{QUOTED}|(?P<number>-?\d{{1,15}}(?:\.\d{{1,15}})?)|(?P<than>{_FIELD_NAME}))",
        comparison,
    ),
    (
        rf"{_TITLE}\s*(?:is|equals|must\s+be|should\s+be|reads|matches|=+|:|(?P<contains>contains|includes))?\s*"
        rf"(?:exactly\s+|set\s+to\s+|the\s+(?:text|word)\s+)?{QUOTED}",
        title,
    ),
    (
        rf"{_TITLE}\s+(?:contains|includes|is|equals|matches)\s+(?:the\s+)?{_FIELD}\s+(?:from|of|in)\s+{_IN_FILE}",
        title_of_field,
    ),
    (_ELEMENT, element),
    (
        rf"{_ELEMENT}\s+(?:contains|containing|displays|displaying|shows|showing|holds|equals)\s+(?:the\s+)?{_FIELD}"
        rf"(?:\s+(?:from|of|in)\s+{_IN_FILE})?",
        element_with_field,
    ),
    (
        r"\b(?:index\.html|page|site)\s+links?\s+to\s+"
        rf"(?P<files>{FILE.pattern}(?:(?:,|,?\s+and)\s+{FILE.pattern}){{0,9}})",
        links,
    ),
    (
        r"\blinks?\s+to\s+(?:all|every|each)\s+(?:of\s+)?(?:the\s+)?"
        r"(?:(?:required|above|other|named)\s+){0,3}(?:assets?|files?)",
        links_to_all,
    ),
    (
        rf"\b(?:loads|uses|includes|imports)\s+(?P<library>{_LIBRARY})(?:\s+(?:v|version\s+)?(?P<version>\d{{1,2}}))?"
        r"(?:\s+(?:from|via)\s+(?:an?\s+|the\s+)?(?P<host>CDN|jsdelivr|unpkg|cdnjs))?\b",
        library,
    ),
    (r"(?:(?<![^\s\"'`(])|(?<=\.html))\?(?P<parameter>[A-Za-z]\w{0,30})=(?:\.{3})?", parameter),
    (
        r"(?:\bfetches\s+\S{1,60}\s+(?:using|with|via)\s+)?\bfetch\([\"'`](?P<url>https?://[^\"'`\s]{1,500})[\"'`]\)",
        literal_fetch,
    ),
)
