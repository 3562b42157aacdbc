"""JavaScript, parsed by tree-sitter, never run."""

import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass

import tree_sitter_javascript
from tree_sitter import Language, Node, Parser, Tree

from agent.errors import Undecided
from agent.quoting import quote

CHUNK_BYTES = 65_536

_LANGUAGE = Language(tree_sitter_javascript.language())
_IMPORTS = ("import_statement", "export_statement")
_CALLS = {"call_expression": "function", "new_expression": "constructor"}
_LOADERS = ("fetch", "import", "importScripts", "Worker", "SharedWorker")


@dataclass(frozen=True)
class Script:
    """A script of the site: a file of its own, or inline in the page `path` at `line`."""

    path: str
    code: str
    line: int = 1
    kind: str = "javascript"  # javascript, json, other (a language we do not read)


@dataclass(frozen=True)
class Load:
    """A call such as `fetch('data.csv')`, or an import, with its literal address."""

    target: str
    by: str
    line: int


def parse(code: str, *, until: float) -> Tree:
    """Raises Undecided when this thread's CPU clock passes `until`: hostile code can take minutes."""
    data = code.encode("utf-8", "replace")
    try:
        return Parser(_LANGUAGE).parse(
            lambda offset, _point: data[offset : offset + CHUNK_BYTES],
            progress_callback=lambda _offset, _error: time.thread_time() > until,
        )
    except ValueError:
        raise Undecided("the scripts take too long to parse") from None


def syntax_faults(script: Script, tree: Tree) -> Iterator[str]:
    """Where the code is no JavaScript, as `path:line: …`; the first only, the rest is mostly its echo."""
    for node in itertools.islice(_broken(tree.root_node), 1):
        line = script.line + node.start_point.row
        near = f"{quote(node.type, 20)} is missing" if node.is_missing else f"syntax error near {quote(text(node), 40)}"
        yield f"{script.path}:{line}: {near}"


def loads(script: Script, tree: Tree) -> Iterator[Load]:
    """Every literal address that the code loads by itself."""
    for node in _nodes(tree):
        if node.type in _IMPORTS:
            by, address = "import", node.child_by_field_name("source")
        elif node.type in _CALLS:
            callee = node.child_by_field_name(_CALLS[node.type])
            arguments = node.child_by_field_name("arguments")
            by = text(callee).removeprefix("window.") if callee and callee.end_byte - callee.start_byte < 40 else ""
            address = arguments.named_children[0] if arguments and by in _LOADERS and arguments.named_children else None
        else:
            continue
        literal = string_value(address) if address else None
        if literal is not None:
            yield Load(literal, by, script.line + node.start_point.row)


def string_value(node: Node) -> str | None:
    """The value of a string literal without rare escapes, else None."""
    if node.type not in ("string", "template_string") or any(c.type == "template_substitution" for c in node.children):
        return None
    body = text(node)[1:-1].replace("\\\\", "\0")
    for mark in "'\"`":
        body = body.replace(f"\\{mark}", mark)
    return None if "\\" in body else body.replace("\0", "\\")


def text(node: Node) -> str:
    return (node.text or b"").decode("utf-8", "replace")


def _broken(root: Node) -> Iterator[Node]:
    """Error and missing nodes in order, descending only where there is an error."""
    stack = [root]
    while stack:
        node = stack.pop()
        if node.is_error or node.is_missing:
            yield node
        elif node.has_error:
            stack.extend(reversed(node.children))


def _nodes(tree: Tree) -> Iterator[Node]:
    """All nodes, parents first, in time linear even where they nest without end."""
    cursor = tree.walk()
    while True:
        if cursor.node is not None:
            yield cursor.node
        if cursor.goto_first_child():
            continue
        while not cursor.goto_next_sibling():
            if not cursor.goto_parent():
                return
