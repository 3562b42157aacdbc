"""How the demo's evaluator judges a site: one function a kind of check, on what it saw from outside."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from html.parser import HTMLParser

from agent.cli.demo.evaluator import Site
from agent.records import Json

VOID_TAGS = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}


@dataclass(frozen=True)
class Grade:
    held: bool
    evidence: str


def has_title(title: str, site: Site) -> Grade:
    found = start_page(site).find("title")
    return Grade(found is not None and found.text == title, f"the title is {found.text if found else None!r}")


def has_element(identity: str, site: Site, *, tag: str = "") -> Grade:
    found = start_page(site).find(tag, identity)
    return Grade(found is not None, f"<{found.tag} id={identity!r}>" if found else f"no {tag}#{identity} in the HTML")


def shows(identity: str, value: str, site: Site) -> Grade:
    found = start_page(site).find("", identity)
    text = found.text.strip() if found else None
    return Grade(text == value, f"#{identity} holds {text!r}")


def has_rows(identity: str, texts: list[str], site: Site) -> Grade:
    """The table has one body row for each text, and each text stands in one."""
    rows = [
        e for e in start_page(site).elements if e.tag == "tr" and e.is_inside(identity) and e.is_inside("", "tbody")
    ]
    missing = [text for text in texts if not any(text in row.text for row in rows)]
    found = f"{len(rows)} rows, without {', '.join(missing)}" if missing else f"{len(rows)} rows"
    return Grade(len(rows) == len(texts) and not missing, found)


def links_stylesheet(path: str, site: Site) -> Grade:
    linked = any(e.tag == "link" and e.attributes.get("href") == path for e in start_page(site).elements)
    size_bytes = len(site.pages.get(path, b""))
    return Grade(linked and size_bytes > 0, f"{'linked' if linked else 'not linked'}, {size_bytes} bytes served")


def is_unchanged(path: str, data: bytes, site: Site) -> Grade:
    held = site.files.get(path) == data == site.pages.get(path)
    return Grade(held, f"{len(data)} bytes, {'as they were sent' if held else 'changed in the commit or on the pages'}")


def is_json(path: str, value: object, site: Site) -> Grade:
    try:
        found = json.loads(site.pages.get(path, b""))
    except ValueError:
        return Grade(False, f"{path} is missing or no JSON")
    return Grade(found == value, "holds what was asked" if found == value else f"holds {json.dumps(found)[:100]}")


def readme_has_sections(titles: list[str], site: Site) -> Grade:
    text = site.files.get("README.md", b"").decode("utf-8", "replace")
    headings = [line.lstrip("# ") for line in text.splitlines() if line.startswith("#")]
    missing = [title for title in titles if not any(title in heading for heading in headings)]
    return Grade(not missing, f"no section {', '.join(missing)}" if missing else f"{len(headings)} headings")


def readme_mentions(word: str, site: Site) -> Grade:
    count = site.files.get("README.md", b"").decode("utf-8", "replace").count(word)
    return Grade(count > 0, f"{word!r} occurs {count} times")


def is_mit_licensed(site: Site) -> Grade:
    text = " ".join(site.files.get("LICENSE", b"").decode("utf-8", "replace").split())
    held = text.startswith("MIT License") and "Permission is hereby granted, free of charge" in text
    return Grade(held, f"LICENSE begins with {text[:11]!r}")


def pages_serve_the_commit(site: Site) -> Grade:
    """Every committed file is served as committed, and index.html is the start page."""
    visible = {path: data for path, data in site.files.items() if not path.startswith(".")}
    wrong = [path for path, data in visible.items() if site.pages.get(path) != data]
    if site.pages.get("") != site.files.get("index.html"):
        wrong.append("the start page")
    return Grade(not wrong, f"not as committed: {', '.join(wrong)}" if wrong else f"{len(visible)} files are the same")


def answers_the_task(call: Json, task: Json) -> Grade:
    """Exactly the seven fields, four of them as they were sent."""
    echoed = ("email", "task", "round", "nonce")
    changed = [key for key in echoed if json.dumps(call.get(key)) != json.dumps(task[key])]
    fields = {*echoed, "repo_url", "commit_sha", "pages_url"}
    odd = sorted(fields ^ call.keys()) + changed
    return Grade(not odd, f"missing, unexpected or changed: {', '.join(odd)}" if odd else "as they were sent")


def continues(call: Json, site: Site, earlier: Sequence[Json]) -> Grade:
    """Each round is one commit on top of the round before, in the same repository."""
    expected = (call["commit_sha"], *(old.get("commit_sha") for old in reversed(earlier)))
    moved = any(old.get("repo_url") != call["repo_url"] for old in earlier)
    found = " ← ".join(sha[:7] for sha in site.commits)
    return Grade(site.commits == expected and not moved, found + (", but in another repository" if moved else ""))


# -- reading a page -------------------------------------------------------------------------------------------------


@dataclass(eq=False)
class Element:
    tag: str
    attributes: dict[str, str]
    ancestors: "tuple[Element, ...]"
    text: str = ""  # of all that is inside

    def fits(self, tag: str, identity: str) -> bool:
        return self.tag == (tag or self.tag) and (not identity or self.attributes.get("id") == identity)

    def is_inside(self, identity: str, tag: str = "") -> bool:
        return any(ancestor.fits(tag, identity) for ancestor in self.ancestors)


class Page(HTMLParser):
    """The elements of static HTML, in order."""

    def __init__(self, html: bytes) -> None:
        super().__init__()
        self.elements: list[Element] = []
        self._open: list[Element] = []
        self.feed(html.decode("utf-8", "replace"))

    def find(self, tag: str, identity: str = "") -> Element | None:
        return next((element for element in self.elements if element.fits(tag, identity)), None)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {name: value or "" for name, value in attrs}, tuple(self._open))
        self.elements.append(element)
        if tag not in VOID_TAGS:
            self._open.append(element)

    def handle_endtag(self, tag: str) -> None:
        if any(element.tag == tag for element in self._open):
            while self._open.pop().tag != tag:
                pass

    def handle_data(self, data: str) -> None:
        for element in self._open:
            element.text += data


def start_page(site: Site) -> Page:
    return Page(site.pages.get("", b""))
