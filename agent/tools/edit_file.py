"""Change parts of a text file: each `old` must occur exactly once; all edits or none. Cheaper than rewriting."""

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from pydantic import Field

from agent.errors import ToolError
from agent.files.previews import excerpt
from agent.quoting import fence
from agent.records import Record
from agent.tools.registry import SHOWN_CHARS, ToolContext, ToolOutcome, existing

FAILURES_BEFORE_REWRITE = 2
WHOLE_FILE_CHARS = 12_000
NEAREST_LINES = 12
COMPARED_LINES, COMPARED_CHARS = 2_000, 160  # difflib takes a second for these


class Edit(Record):
    old: str
    new: str


class Args(Record):
    path: str
    edits: list[Edit] = Field(min_length=1)


async def run(context: ToolContext, args: Args) -> ToolOutcome:
    path = existing(context, args.path)
    before = context.workspace[path]
    try:
        after = edited(before, args.edits)
        if after == before:
            raise _Failed("the edits leave it as it is")
        broken = context.broken(path, after)
        if broken and not context.broken(path, before):
            raise _Failed(f"the edits would break it: {broken}")
    except _Failed as failure:
        return ToolOutcome(_refusal(context, path, failure), failed_edit=path)
    workspace = context.workspace.write(path, after, workflows=context.workflows)
    return ToolOutcome(f"edited {path}: {len(args.edits)} edits, {len(after)} bytes now", workspace)


def edited(data: bytes, edits: Sequence[Edit]) -> bytes:
    """The file after all edits, each made on the text that the one before it left; its line ends are kept."""
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise ToolError("the file is no UTF-8 text: it cannot be edited") from error
    crlf = text.count("\r\n") == text.count("\n") > 0
    text = text.replace("\r\n", "\n") if crlf else text
    for number, edit in enumerate(edits, 1):
        try:
            text = _replaced(text, edit.old.replace("\r\n", "\n"), edit.new.replace("\r\n", "\n"))
        except _Failed as failure:
            raise _Failed(f"edit {number} of {len(edits)}: {failure}", failure.nearest) from failure
    return (text.replace("\n", "\r\n") if crlf else text).encode()


class _Failed(Exception):
    """The reason why an edit was not made, and the lines of the file that come nearest to what it looked for."""

    def __init__(self, why: str, nearest: str = "") -> None:
        super().__init__(why)
        self.nearest = nearest


def _refusal(context: ToolContext, path: str, failure: _Failed) -> str:
    """The reason and the nearest lines; from the second failure on the whole text, for a rewrite."""
    why = f"{path} is unchanged: {failure}."
    if context.failed_edits.get(path, 0) + 1 >= FAILURES_BEFORE_REWRITE:
        whole = excerpt(path, context.workspace[path], max_chars=WHOLE_FILE_CHARS)
        return f"{why} Stop editing it: write the whole file anew with write_file. This is its text now.\n{whole}"
    return f"{why}\n{fence(path, failure.nearest, max_chars=SHOWN_CHARS)}" if failure.nearest else why


@dataclass(frozen=True)
class _Spot:
    """Where an `old` stands, and how much deeper or shallower than in the edit its lines are indented."""

    start: int
    end: int
    indent: str = ""
    instead_of: str = ""

    def indented(self, new: str) -> str:
        if self.indent == self.instead_of:
            return new
        cut = len(self.instead_of)
        lines = new.split("\n")
        return "\n".join(self.indent + x[cut:] if x.strip() and x.startswith(self.instead_of) else x for x in lines)


def _replaced(text: str, old: str, new: str) -> str:
    if not old:
        raise _Failed("`old` is empty: quote the lines to be replaced")
    spots = list(islice(_exact(text, old), 9)) or list(islice(_loose(text, old), 9))
    if not spots:
        raise _Failed("`old` does not occur; nearest lines (number| text) below", _nearest(text, old))
    if len(spots) > 1:
        lines = ", ".join(str(text.count("\n", 0, spot.start) + 1) for spot in spots)
        raise _Failed(f"`old` occurs more than once (lines {lines}): quote more lines around it")
    spot = spots[0]
    return text[: spot.start] + spot.indented(new) + text[spot.end :]


def _exact(text: str, old: str) -> Iterator[_Spot]:
    start = text.find(old)
    while start >= 0:
        yield _Spot(start, start + len(old))
        start = text.find(old, start + 1)


def _loose(text: str, old: str) -> Iterator[_Spot]:
    """Whole lines that differ from `old` only in trailing white space and in an indentation common to all of them."""
    wanted = old.removesuffix("\n").split("\n")
    bare_wanted = [line.strip() for line in wanted]
    if not any(bare_wanted):
        return
    lines = text.split("\n")
    bare = [line.strip() for line in lines]
    start = 0
    for at, line in enumerate(lines[: len(lines) - len(wanted) + 1]):
        found = lines[at : at + len(wanted)]
        if bare[at] == bare_wanted[0] and bare[at : at + len(wanted)] == bare_wanted and _aligned(found, wanted):
            end = start + len("\n".join(found)) + (old.endswith("\n") and at + len(wanted) < len(lines))
            yield _Spot(start, end, _indent(found), _indent(wanted))
        start += len(line) + 1


def _aligned(found: Sequence[str], wanted: Sequence[str]) -> bool:
    """Whether both lose only their common indentation to become the same."""
    deep, shallow = len(_indent(found)), len(_indent(wanted))
    return all(f[deep:].rstrip() == w[shallow:].rstrip() for f, w in zip(found, wanted, strict=True))


def _indent(lines: Sequence[str]) -> str:
    """The white space that all lines with text begin with."""
    first, last = (pick([line for line in lines if line.strip()]) for pick in (min, max))
    common = next((at for at, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first))
    return first[: min(common, len(first) - len(first.lstrip()))]


def _nearest(text: str, old: str) -> str:
    """The lines around the one that resembles the longest line of `old` most, numbered."""
    wanted = [line.strip()[:COMPARED_CHARS] for line in old.split("\n")]
    lines = text.split("\n")
    bare = [line.strip()[:COMPARED_CHARS] for line in lines]
    longest = max(wanted, key=len)
    close = difflib.get_close_matches(longest, list(dict.fromkeys(bare))[:COMPARED_LINES], n=1, cutoff=0.4)
    first = max(0, bare.index(close[0]) - wanted.index(longest)) if close else 0
    shown = enumerate(lines[first : first + min(NEAREST_LINES, len(wanted) + 2)], first + 1)
    return "\n".join(f"{number}| {line[:COMPARED_CHARS]}" for number, line in shown)
