"""The outline of a source file: the lines where something is declared or a section begins, with their numbers."""

import ast
import re
import warnings
from collections.abc import Iterator
from dataclasses import replace

from agent.errors import ToolError
from agent.files.base import Kind, Rendering, Window, render_text, unopened
from agent.files.texts import decoded
from agent.quoting import clip

MAX_PARSED_CHARS = 100_000  # of Python, some 1 s at worst; longer files are outlined by their lines
MAX_ENTRIES = 60
OUTLINED_LINES = 60  # a shorter source file is its own outline
MAX_LINE_CHARS = 500  # looked at
ENTRY_CHARS = 100
FOREIGN = "<attachment>"

_SCRIPT = (
    r"(export\s+)?(default\s+)?(async\s+)?(function\b|class\s+\w|interface\s+\w|enum\s+\w"
    r"|(const|let|var)\s+\w+\s*=\s*(async\s*)?(function\b|\([^()]*\)\s*=>|\w+\s*=>))"
)
_MARKUP = r"<(h[1-6]|title|header|nav|main|section|article|aside|form|table|script|style|template|dialog|footer)\b"
_DECLARED = (
    r"((pub|public|private|protected|static|final|abstract|export|async|unsafe)\s+)*"
    r"(class|interface|enum|struct|trait|impl|module|namespace|type|record|object|func|fun|fn|def|sub|function)\b"
)
_TYPED = (
    rf"{_DECLARED}|(?!(return|else|if|for|while|switch|catch|new|throw)\b)"
    r"\w[\w\s*&:<>,\[\]]*\([^;{}]*\)\s*\{?\s*$"
)
_LANGUAGES = (  # name, endings, how a line of the outline begins
    ("Python", "py pyi", r"(async\s+)?(def|class)\s"),
    ("JavaScript", "js mjs cjs jsx", _SCRIPT),
    ("TypeScript", "ts tsx", _SCRIPT),
    ("HTML", "html htm vue svelte", rf"{_MARKUP}|{_SCRIPT}"),
    ("CSS", "css scss less", r"[^{};]+\{|@(media|import|layer|keyframes)\b"),
    ("Markdown", "md markdown", r"#{1,6}\s"),
    ("shell", "sh bash", r"(function\s+\w|[\w-]+\s*\(\))"),
    ("SQL", "sql", r"(?i:create|alter|insert\s+into|with)\b"),
    ("C-like", "c h cpp hpp cc cs java", _TYPED),
    ("program", "kt go rs rb php swift scala lua pl", _DECLARED),
)
_BY_SUFFIX = {end: (name, re.compile(begins)) for name, ends, begins in _LANGUAGES for end in ends.split()}


def language(name: str) -> str | None:
    """What a source file of this name is written in; None for what has no outline."""
    found = _BY_SUFFIX.get(_suffix(name))
    return found and found[0]


def outline(name: str, text: str) -> list[str]:
    """`12: def total(rows):` and so on, in order; for Python that does not parse the fault stands first."""
    if language(name) == "Python" and len(text) <= MAX_PARSED_CHARS:
        warnings.filterwarnings("ignore", module=re.escape(FOREIGN))  # about the attachment, of no use to the operator
        try:
            return [*_python(ast.parse(text, FOREIGN), text.splitlines())][:MAX_ENTRIES]
        except SyntaxError as error:
            return [f"does not parse: line {error.lineno}: {error.msg}", *_by_lines(name, text)]
        except (ValueError, RecursionError, MemoryError):  # a NUL; nested beyond what the parser takes
            pass
    return _by_lines(name, text)


def _python(tree: ast.AST, lines: list[str]) -> Iterator[str]:
    """Classes with their methods, and functions; with the lines that they take."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield f"{node.lineno}-{node.end_lineno}: {clip(lines[node.lineno - 1].rstrip(), ENTRY_CHARS)}"
            if isinstance(node, ast.ClassDef):
                yield from _python(node, lines)


def _by_lines(name: str, text: str) -> list[str]:
    _, pattern = _BY_SUFFIX[_suffix(name)]
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        if len(line) <= MAX_LINE_CHARS and pattern.match(line.lstrip()):
            found.append(f"{number}: {clip(line.rstrip(), ENTRY_CHARS)}")
            if len(found) == MAX_ENTRIES:
                break
    return found


def _suffix(name: str) -> str:
    return name.lower().rpartition(".")[2]


# -- as kinds of files -------------------------------------------------------------------------------------------------


def render(name: str, data: bytes, window: Window) -> Rendering:
    """A longer file's outline, then its lines."""
    found = decoded(data)
    if found is None:
        return unopened("source", data, window, ToolError("it is no text"))
    whole = render_text(f"{language(name)} source", data, found, window)
    entries = outline(name, found.text) if window.is_first_look and whole.total > OUTLINED_LINES else []
    return replace(whole, intro="\n".join(["outline:", *entries, "source:"]) if entries else "")


SOURCES = tuple(Kind(name, render, endings=tuple(ends.split())) for name, ends, _ in _LANGUAGES)
