"""What the document holds once its scripts have run, as far as that is certain without running them."""

import operator
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from agent.errors import Undecided
from agent.quoting import nearest, quote
from agent.review.markup import Node, ancestors
from agent.review.site import Site

UNDEFINED = object()  # JavaScript's; its null is None

_NAME = r"-?[A-Za-z_][\w-]*+"
_TOKEN = re.compile(rf"#(?P<id>{_NAME})|\.(?P<class>{_NAME})|[*^$|~]?=\s*['\"]?(?P<value>[^'\"\]]{{1,200}}+)")
_SUBJECT = re.compile(r"(?:^|[\s>+~])([a-z][a-z0-9]*)(?:[.#:\[][^\s>+~]*+)?$", re.I)
_LOADED = ("script", "link")  # what only a script that names the tag can add
_NAMES_IDS = re.compile(r"\bid\s*=\s*[\"']?\$\{|\.id\s*=\s*[A-Za-z(]")
_SETS_TITLE = re.compile(r"\btitle\s*(?:=(?!=)|\+=)|['\"`]title['\"`]|<title")
_LOOKUP = re.compile(r"(querySelector|querySelectorAll|getElementById)\(\s*([\"'`])([^\n]{1,300}?)\2\s*\)")
_MAY_WANT_ABSENCE = re.compile(
    r"!(?!=)|[=!]==?\s*(?:null|undefined|0\b|false)|\|\||\?\?|\?\.|length\s*<|\bcatch\b|\.every\("
)
_REACHES_ALL = re.compile(
    r"document\s*\.\s*(?:body|documentElement|write|children|all|forms|images|links)\b|['\"`]\*['\"`]"
    r"|\.(?:parent|children|childNodes|firstChild|firstElementChild|next|previous|closest|createTreeWalker)"
)


@dataclass(frozen=True)
class Count:
    """A number of elements; not exact when scripts may add some."""

    least: int
    exact: bool

    def compare(self, relation: Callable[[float, float], bool], other: float) -> bool:
        """Raises Undecided when more elements would change the answer."""
        if not self.exact and not (relation in (operator.gt, operator.ge) and relation(self.least, other)):
            raise Undecided
        return relation(self.least, other)


@dataclass(frozen=True)
class Elements:
    """The result of `querySelectorAll`."""

    length: Count


class Dom:
    """`document` of index.html. `seen` and `why` say what was looked at and why the last look found nothing."""

    def __init__(self, site: Site) -> None:
        self._site = site.complete()
        self._page = site.index
        self._moving = bool(site.code or site.libraries)
        self.seen: list[str] = []
        self.why = ""

    def find(self, selector: str) -> Node | None:
        """The first match, None when there is none for certain. Raises Undecided when a script may make one."""
        found = self._page.select(selector)
        if found:
            self.seen.append(f"{quote(selector)} is in the page")
            return found[0]
        self._nothing(selector)
        return None

    def all(self, selector: str) -> Elements:
        found = self._page.select(selector)
        if not found:
            self._nothing(selector)
        self.seen.append(f"{quote(selector)} matches {len(found)} in the page")
        return Elements(Count(len(found), exact=not found or not self._moving))

    def call(self, owner: Node | None, name: str, *words: str) -> Any:
        """A method of an element, or of the document when there is no owner."""
        if len(words) != 1:
            raise Undecided
        if owner is None and name in _QUERIES:
            method, selector = _QUERIES[name]
            return method(self, selector.format(words[0]))
        if owner is not None and name in ("getAttribute", "hasAttribute"):
            value = self._attribute(owner, words[0].lower())
            return value if name == "getAttribute" else value is not None
        raise Undecided

    def document_property(self, name: str) -> Any:
        if name == "title" and not _SETS_TITLE.search(self._site.code):
            title = self._page.title or ""
            self.seen.append(f"document.title is {quote(title)}")
            return title
        roots = {"body": "body", "head": "head", "documentElement": "html"}
        found = self._page.select(roots[name]) if name in roots else []
        if not found:
            raise Undecided
        return found[0]

    def property(self, node: Node, name: str) -> Any:
        if name in ("tagName", "nodeName"):
            tag = (node.tag or "").upper()
            self.seen.append(f"its tag is {tag}")
            return tag
        if name == "id":
            return node.attributes.get("id") or ""
        if name == "className":
            return self._attribute(node, "class") or ""
        if name == "dataset":
            return self._dataset(node)
        if name == "textContent" and self._settled(node):
            text = node.text()
            self.seen.append(f"its text is {quote(text)}{_hint(node, text)}")
            return text
        raise Undecided

    def unknown_name(self, name: str) -> bool:
        """Nothing on the site, nor a library, can define this global."""
        unknown = not self._site.libraries and not mentions(self._site.source, name)
        if unknown:
            self.seen.append(f"no script defines {quote(name)}")
        return unknown

    def lacks(self, selector: str) -> str | None:
        """Why nothing can ever match, where the page does not: no page or script mentions what the selector needs."""
        source = self._site.source
        subject = _SUBJECT.search(selector)
        tag = subject[1].lower() if subject else ""
        for kind, name in _tokens(selector):
            named = name in source if kind == "value" else mentions(source, name)
            if named or (kind == "class" and self._site.libraries) or (kind == "value" and tag not in _LOADED):
                continue
            if not composed(name, source):
                ids = f"; ids {nearest(name, self._page.ids)}" if kind == "id" else ""
                return f"neither the page nor its scripts mention {quote(name)}{ids}"
        if tag in _LOADED and not re.search(rf"['\"`<]{tag}\b", self._site.code):
            return f"there is no {quote(selector)}"
        return None if self._moving else f"there is no {quote(selector)} and no script to make it"

    def missing_part(self, expression: str) -> str | None:
        """Why an expression that cannot be evaluated here can never hold: an element it needs is nowhere."""
        if _MAY_WANT_ABSENCE.search(expression.replace("!!", "")):
            return None
        lookups = _LOOKUP.findall(expression)
        wanted = [f"[id='{what}']" if by == "getElementById" else what for by, _, what in lookups]
        absent = [selector for selector in wanted if not self._page.select(selector)]
        return next((why for why in map(self.lacks, absent) if why), None)

    def _nothing(self, selector: str) -> None:
        why = self.lacks(selector)
        if why is None:
            raise Undecided(f"needs a browser: {quote(selector)} can only be made by a script")
        self.why = why
        self.seen.append(why)

    def _attribute(self, node: Node, name: str) -> str | None:
        if not self._settled(node):
            raise Undecided
        value = node.attributes.get(name, UNDEFINED)
        shown = None if value is UNDEFINED else str(value or "")
        self.seen.append(f"its {quote(name)} is {quote(shown)}" if shown is not None else f"it has no {quote(name)}")
        return shown

    def _dataset(self, node: Node) -> dict[str, str]:
        if not self._settled(node):
            raise Undecided
        data = {k[5:]: v or "" for k, v in node.attributes.items() if k.startswith("data-")}
        return {re.sub(r"-([a-z])", lambda m: m[1].upper(), name): value for name, value in data.items()}

    def _settled(self, node: Node) -> bool:
        """No script can change this element: none names it, what holds it or what it holds, or walks the tree."""
        code = self._site.code
        if node.tag in ("script", "style") or not self._moving:
            return True
        if self._page.templated or _REACHES_ALL.search(code):
            return False
        family = [node, *ancestors(node), *node.css("*")[:50]]
        return not any(mentions(code, name) for name in {name for member in family for name in _names(member)})


_QUERIES: dict[str, tuple[Callable[[Dom, str], Any], str]] = {
    "querySelector": (Dom.find, "{}"),
    "querySelectorAll": (Dom.all, "{}"),
    "getElementById": (Dom.find, "[id='{}']"),
    "getElementsByClassName": (Dom.all, ".{}"),
    "getElementsByTagName": (Dom.all, "{}"),
}


def _tokens(selector: str) -> Iterator[tuple[str, str]]:
    by_id = re.fullmatch(r"\[id='([^']+)'\]", selector)
    if by_id:
        yield "id", by_id[1]
        return
    choices = "," in selector or "(" in selector
    for match in () if choices else _TOKEN.finditer(selector):
        yield str(match.lastgroup), match[match.lastgroup or 0]


def composed(name: str, source: str) -> bool:
    """Whether scripts may join this name from parts, as in `row-${n}`."""
    cut = max(name.rfind("-"), name.rfind("_"))
    heads = [name[: cut + 1] + mark for mark in ("${", "{{", "'", '"', "`")]
    tails = [mark + name[cut:] for mark in ("}", "'", '"', "`")]
    joined = cut > 0 and any(part in source for part in heads + tails)
    return joined or _NAMES_IDS.search(source) is not None


def _hint(node: Node, text: str) -> str:
    if node.tag == "script" and "src" in node.attributes:
        return ": it has a src; put the inline script before it"
    return " with white space around it" if text != text.strip() else ""


def _names(node: Node) -> Iterator[str]:
    attributes = node.attributes
    yield node.tag or ""
    for name in ("id", "name", "class"):
        yield from (attributes.get(name) or "").split()
    yield from (key for key in attributes if key.startswith("data-"))


def mentions(text: str, name: str) -> bool:
    return bool(name) and name in text and re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", text) is not None
