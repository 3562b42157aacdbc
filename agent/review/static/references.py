"""Local addresses in pages, styles, scripts and README: relative, and leading to a file of the site."""

import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from agent.errors import Undecided
from agent.publish.routing import page_at
from agent.publish.workflows import is_workflow
from agent.quoting import missing, quote
from agent.review.evidence import Faults
from agent.review.static.javascript import loads
from agent.review.static.repository import MAX_README_CHARS, README, without_fences
from agent.review.static.site import Site
from agent.workspace import INDEX

_CSS_URL = re.compile(r"url\(\s*[\"']?([^\"')\s]{1,2000})|@import\s+[\"']([^\"']{1,2000})")
_MARKDOWN_LINK = re.compile(r"(?<!`)!?\[[^\]\n]{0,300}\]\(<?([^)\s>]{1,300})")
_OPEN = re.compile(r"\$\{|\{\{|<%|\{%|%7B%7B", re.I)  # filled in at run time
_LOCAL_HOSTS = ("localhost", "127.0.0.1")


@dataclass(frozen=True)
class Address:
    """An address as written, and the folders of which it may be relative to any."""

    target: str
    where: str  # for people: index.html (img src)
    folders: tuple[str, ...] = ("",)
    link: bool = False  # followed by a click only


def references(site: Site) -> Faults:
    """Local references lead to files of the site."""
    told: set[str] = set()
    for address in _addresses(site):
        fault = _fault(site, address)
        if fault and fault not in told:
            told.add(fault)
            yield fault


def _addresses(site: Site) -> Iterator[Address]:
    for page in site.pages.values():
        if page.has_base or _as_sent(site, page.path):
            continue
        folder = posixpath.dirname(page.path)
        yield from (Address(r.target, f"{page.path} ({r.by})", (folder,), not r.loads) for r in page.references)
        yield from (Address(t, f"{page.path} (style)", (folder,)) for t in _css_targets(page.styles))
    for path in site.readable(".css"):
        if _as_sent(site, path):
            continue
        yield from (Address(t, path, (posixpath.dirname(path),)) for t in _css_targets(site.text(path)))
    if README in site.readable(".md"):
        prose, _ = without_fences(site.text(README)[:MAX_README_CHARS])
        yield from (Address(m[1], README, link=True) for m in _MARKDOWN_LINK.finditer(prose))
    yield from _loaded_by_scripts(site)


def _loaded_by_scripts(site: Site) -> Iterator[Address]:
    pages = tuple(posixpath.dirname(path) for path in site.pages) or ("",)
    for script in site.scripts:
        if script.kind != "javascript" or _as_sent(site, script.path):
            continue
        try:
            found = list(loads(script, site.tree(script)))
        except Undecided:
            continue
        for load in found:
            if load.by == "import" and not load.target.startswith((".", "/", "http")):
                continue  # a bare name: an import map decides
            own = load.by == "import" or script.path in site.pages
            folders = (posixpath.dirname(script.path),) if own else pages
            yield Address(load.target, f"{script.path}:{load.line} ({load.by})", folders)


def _as_sent(site: Site, path: str) -> bool:
    """What stands in an attachment was not written for this site."""
    return site.attachments.get(path) == site.workspace[path]


def _css_targets(css: str) -> Iterator[str]:
    return (match[1] or match[2] for match in _CSS_URL.finditer(css))


def _fault(site: Site, address: Address) -> str | None:
    target = address.target
    try:
        parts = urlsplit(target)
    except ValueError:
        return f"{address.where}: {quote(target)} is no address"
    if _OPEN.search(target):
        return None
    if parts.scheme == "http" and not address.link and parts.hostname not in _LOCAL_HOSTS:
        return f"{address.where}: browsers block {quote(target)} on an https page: use https"
    if parts.scheme or parts.netloc or not parts.path:
        return None
    if address.link and "." not in posixpath.basename(parts.path) and "pushState" in site.code:
        return None  # a router's, never fetched
    if parts.path.startswith("/"):
        return f"{address.where}: {quote(target)} leaves the site, which lives in a folder: make it relative"
    paths = [_path(folder, unquote(parts.path)) for folder in address.folders]
    if any(_served(site, path) for path in paths) or (address.where == README and paths[0].startswith("..")):
        return None
    return f"{address.where}: {missing(paths[0] or INDEX, site.workspace)}"


def _path(folder: str, written: str) -> str:
    """Below the site's address; a folder keeps its slash, since Pages answer something else without it."""
    joined = posixpath.join(folder, written)
    path = posixpath.normpath(joined)
    if path == ".":
        return ""
    return f"{path}/" if posixpath.basename(joined) in ("", ".", "..") else path


def _served(site: Site, path: str) -> bool:
    """Whether the site answers this path; what a workflow of the site may make is there for all that we can tell."""
    return page_at(site.workspace, path) is not None or path in site.attachments or made(site.workspace, path)


def made(files: Mapping[str, bytes], path: str) -> bool:
    """A workflow of the site names the file: it may well make it."""
    name = posixpath.basename(path).encode()
    return bool(name) and any(name in data for other, data in files.items() if is_workflow(other))
