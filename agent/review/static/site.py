"""One workspace as the rules see it: each file is read and parsed once, within fixed limits."""

import json
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from typing import Any, NoReturn

from tree_sitter import Tree

from agent.errors import Undecided
from agent.quoting import missing
from agent.review.static.html import Page
from agent.review.static.javascript import Script, parse
from agent.workspace import INDEX, Workspace, is_published

MAX_TEXT_BYTES = 1_000_000  # of a file that is read as text
MAX_TOTAL_BYTES = 4_000_000  # of all of them: the smallest come first
MAX_CPU_S = 2.0  # of one review, on this thread; what is left then stays undecided

SCRIPT_ENDINGS = (".js", ".mjs")
PAGE_ENDINGS = (".html", ".htm")
JSON_ENDINGS = (".json", ".geojson", ".webmanifest")


class Site:
    """Everything a rule may look at."""

    def __init__(
        self,
        workspace: Workspace,
        attachments: Mapping[str, bytes],
        secrets: Sequence[str] = (),
        *,
        workflows: bool = False,
    ) -> None:
        """`workflows`: whether the task asks for a workflow file."""
        self.workspace = workspace
        self.attachments = {name: data for name, data in attachments.items() if is_published(name)}
        self.secrets = secrets  # values that no file and no evidence may hold
        self.workflows = workflows
        self.until = time.thread_time() + MAX_CPU_S
        self._readable = _smallest_first(workspace)
        self._trees: dict[Script, Tree] = {}
        self.pages: dict[str, Page] = {}  # those that could be parsed
        for path in self.readable(*PAGE_ENDINGS):
            with suppress(Undecided):
                self.pages[path] = Page(path, self.text(path))

    def text(self, path: str) -> str:
        """Raises Undecided for a missing or too large file."""
        if path not in self.workspace:
            raise Undecided(missing(path, self.workspace))
        if path not in self._readable:
            raise Undecided(f"{path} is too large to be read here")
        return self.workspace.text(path)

    def paths(self, *endings: str) -> list[str]:
        return [path for path in self.workspace if path.lower().endswith(endings)]

    def readable(self, *endings: str) -> list[str]:
        return [path for path in self.paths(*endings) if path in self._readable]

    def tree(self, script: Script) -> Tree:
        """Raises Undecided when the review has used up its time."""
        if script not in self._trees:
            self._trees[script] = parse(script.code, until=self.until)
        return self._trees[script]

    @cached_property
    def scripts(self) -> tuple[Script, ...]:
        """Inline scripts of every page, then script files."""
        inline = [script for page in self.pages.values() for script in page.scripts]
        return (*inline, *(Script(path, self.text(path)) for path in self.readable(*SCRIPT_ENDINGS)))

    @cached_property
    def code(self) -> str:
        """All code that the site itself brings, whatever its language."""
        handlers = [page.handlers for page in self.pages.values()]
        return "\n".join([*(s.code for s in self.scripts if s.kind != "json"), *handlers]).strip()


def parse_json(text: str) -> Any:
    """Raises ValueError for what a strict parser refuses."""
    try:
        return json.loads(text, parse_constant=_refuse)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")


def _smallest_first(workspace: Workspace) -> frozenset[str]:
    left = MAX_TOTAL_BYTES
    readable = []
    for path in sorted(workspace, key=lambda p: (p != INDEX, len(workspace[p]))):
        size = len(workspace[path])
        if size <= min(MAX_TEXT_BYTES, left):
            readable.append(path)
            left -= size
    return frozenset(readable)
