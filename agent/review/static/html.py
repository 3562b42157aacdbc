"""One HTML page, parsed as a browser parses it. The only module that knows selectolax."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from selectolax.lexbor import LexborHTMLParser, LexborNode, SelectolaxError

from agent.errors import Undecided
from agent.review.static.javascript import Script

Node = LexborNode

MAX_DEPTH = 5_000  # the parser's time grows with the square of the depth
MAX_OPTIONS = 5_000  # … and of the options in a select
MAX_ATTRIBUTES = 2_000  # … and of the attributes of a tag
MAX_SELECTOR_CHARS = 500
MAX_NODES_COUNTED = 5_000  # … and of the elements a counting selector counts

_JSON_TYPES = ("application/json", "application/ld+json", "importmap", "speculationrules")
_SCRIPT_TYPES = ("", "text/javascript", "application/javascript", "text/ecmascript", "application/ecmascript", "module")
_VOID = frozenset(
    ["area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"]
)
_SELF_CLOSING = frozenset(["p", "li", "dt", "dd", "option", "optgroup", "tr", "td", "th", "tbody", "thead", "tfoot"])
_TAG = re.compile(r"<(/?)([a-zA-Z][\w-]*+)((?:[^>\"']|\"[^\"]*+\"|'[^']*+')*+)")
_QUOTED = re.compile(r"\"[^\"]*+\"|'[^']*+'")
_REFERRING = {
    "script": ("src",),
    "link": ("href",),
    "a": ("href",),
    "area": ("href",),
    "img": ("src", "srcset"),
    "source": ("src", "srcset"),
    "video": ("src", "poster"),
    "audio": ("src",),
    "track": ("src",),
    "iframe": ("src",),
    "embed": ("src",),
    "object": ("data",),
    "form": ("action",),
}


@dataclass(frozen=True)
class Reference:
    """A place that a page points to, as written. `loads`: the browser fetches it by itself."""

    target: str
    by: str  # for people: img src
    loads: bool


class Page:
    """A parsed page. Raises Undecided for one that would take too long to parse."""

    def __init__(self, path: str, source: str) -> None:
        self.path = path
        self.source = source.replace("\r\n", "\n").replace("\r", "\n")
        _refuse_bombs(path, self.source)
        self._tree = LexborHTMLParser(self.source)

    def select(self, selector: str) -> list[Node]:
        """Elements in document order, as `querySelectorAll` finds them. Raises Undecided for an unusual selector."""
        if len(selector) > MAX_SELECTOR_CHARS or (":nth" in selector and len(self._all) > MAX_NODES_COUNTED):
            raise Undecided
        try:
            found = self._tree.css(selector)
        except SelectolaxError:
            raise Undecided from None
        return [node for node in found if not any(a.tag in ("noscript", "template") for a in ancestors(node))]

    @cached_property
    def title(self) -> str | None:
        """As `document.title`: white space collapsed; None without a title element."""
        titles = [n for n in self.select("title") if not any(a.tag == "svg" for a in ancestors(n))]
        return " ".join(titles[0].text().split()) if titles else None

    @cached_property
    def ids(self) -> tuple[str, ...]:
        return tuple(node.attributes["id"] or "" for node in self.select("[id]"))

    @cached_property
    def scripts(self) -> tuple[Script, ...]:
        """Inline scripts in order, each with its line in the page."""
        found: list[Script] = []
        position = 0
        for node in self._tree.css("script:not([src])"):
            code = node.text()
            position = max(self.source.find(code, position), position)
            line = self.source.count("\n", 0, position) + 1
            found.append(Script(self.path, code, line, _script_kind(node)))
            position += len(code)
        return tuple(found)

    @cached_property
    def handlers(self) -> str:
        """The code in `on…` attributes and `javascript:` addresses."""
        code = [v for n in self._all for k, v in n.attributes.items() if v and _is_handler(k, v)]
        return "\n".join(code)

    @cached_property
    def templated(self) -> bool:
        """A framework's attributes or placeholders stand in the page: its texts are made at run time."""
        return "{{" in self.source or any(
            k[:2] in ("v-", "x-", "ng") or k[0] in ":@" for n in self._all for k in n.attributes if k
        )

    @cached_property
    def references(self) -> tuple[Reference, ...]:
        return tuple(_references(self._tree.css(",".join(_REFERRING))))

    @cached_property
    def styles(self) -> str:
        """The CSS in style elements and attributes."""
        inline = (node.attributes["style"] or "" for node in self._tree.css("[style]"))
        return "\n".join([*(node.text() for node in self._tree.css("style")), *inline])

    @property
    def has_base(self) -> bool:
        return self._tree.css_first("base[href]") is not None

    @cached_property
    def _all(self) -> list[Node]:
        return self._tree.css("*")


def without_comments(source: str) -> str:
    """The markup without comments; one that never ends takes the rest with it."""
    kept = []
    at = 0
    while (start := source.find("<!--", at)) >= 0:
        kept.append(source[at:start])
        end = source.find("-->", start + 4)
        at = end + 3 if end >= 0 else len(source)
    return "".join([*kept, source[at:]])


def ancestors(node: Node) -> Iterator[Node]:
    while node.parent is not None:
        node = node.parent
        yield node


def _script_kind(node: Node) -> str:
    kind = (node.attributes.get("type") or "").strip().lower().split(";")[0]
    if kind in _JSON_TYPES:
        return "json"
    return "javascript" if kind in _SCRIPT_TYPES else "other"


def _is_handler(name: str, value: str) -> bool:
    return name.lower().startswith("on") or value.lstrip()[:11].lower() == "javascript:"


def _references(nodes: list[Node]) -> Iterator[Reference]:
    for node in nodes:
        tag = node.tag or ""
        for name in _REFERRING[tag]:
            value = (node.attributes.get(name) or "").strip()
            loads = tag not in ("a", "area", "form")
            if name == "srcset":
                parts = [] if "data:" in value else [part.split()[0] for part in value.split(",") if part.strip()]
                yield from (Reference(part, f"{tag} {name}", loads) for part in parts)
            elif value:
                yield Reference(value, f"{tag} {name}", loads)


def _refuse_bombs(path: str, source: str) -> None:
    depth = options = 0
    for close, name, rest in _TAG.findall(source):
        tag = name.lower()
        if close:
            depth = max(0, depth - (tag not in _SELF_CLOSING))
        elif tag not in _VOID and tag not in _SELF_CLOSING:
            depth += not rest.endswith("/")
        options += tag == "option"
        attributes = len(_QUOTED.sub("", rest).split()) if len(rest) > MAX_ATTRIBUTES * 2 else 0
        if depth > MAX_DEPTH or options > MAX_OPTIONS or attributes > MAX_ATTRIBUTES:
            raise Undecided(f"{path} is nested too deeply, or too large, to be read here")
