"""Text of strangers in our prompts, reports and sentences: short, marked as theirs, and without hidden characters."""

import difflib
import re
from collections.abc import Collection

LABEL_CHARS = 80

_UNSHOWABLE = re.compile(  # controls, lone surrogates, marks of the text direction, what has no width, invisible tags
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)
_DASHES = (
    "\ufffd\u2010-\u2015\u2212\u2500-\u2503\ufe58\ufe63\uff0d=_~-"  # and what is left of a hidden sign between them
)
_FORGED_FENCE = re.compile(rf"^(?=[^\w\n]*[{_DASHES}]{{3,}}[^\w\n]*(?:begin|end)\b)", re.MULTILINE | re.IGNORECASE)
QUOTE_CHARS = 80
MAX_NAMES_COMPARED = 500
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]+")


def fence(name: str, text: str, *, max_chars: int) -> str:
    """Foreign text between two lines that it cannot imitate, at most `max_chars` long."""
    begin, end = f"--- begin {label(name)} (untrusted data) ---", f"--- end {label(name)} ---"
    room = max(0, max_chars - len(begin) - len(end) - 2)
    return f"{begin}\n{clip(_FORGED_FENCE.sub('| ', plain(text)), room)}\n{end}"


def plain(text: str) -> str:
    """Without characters that hide text, upset a terminal or cannot be stored; each becomes U+FFFD."""
    return _UNSHOWABLE.sub("\ufffd", text)


def label(name: str) -> str:
    """A name as one short line, in quotes when it reads like a sentence."""
    line = clip(" ".join(plain(name).split()), LABEL_CHARS)
    return f'"{line.replace(chr(34), chr(39))}"' if " " in line else line


def quote(text: str, limit: int = QUOTE_CHARS) -> str:
    """Text from the site, fenced by backticks so that nobody takes it for an instruction."""
    return f"`{one_line(text[: limit * 4].replace('`', chr(39)), limit)}`"


def one_line(text: str, limit: int) -> str:
    """Without control characters and line breaks, at most `limit` characters."""
    return clip(" ".join(_CONTROL.sub(" ", text).split()), limit)


def listing(names: Collection[str], most: int = 6) -> str:
    """A few names, quoted, and how many more there are."""
    shown = ", ".join(quote(name) for name in list(names)[:most])
    rest = len(names) - most
    return (f"{shown} and {rest} more" if rest > 0 else shown) or "none"


def missing(path: str, paths: Collection[str]) -> str:
    close = _close(path, paths)
    return f"there is no {quote(path)}" + (f" (similar: {listing(close)})" if close else "")


def nearest(name: str, names: Collection[str]) -> str:
    """The names most like this one; without any, a few of those there are."""
    close = _close(name, names)
    return f"similar: {listing(close)}" if close else f"there are {listing(names)}"


def _close(name: str, names: Collection[str]) -> list[str]:
    short = [n for n in list(names)[:MAX_NAMES_COMPARED] if len(n) <= QUOTE_CHARS]
    return difflib.get_close_matches(name[:QUOTE_CHARS], short, n=3)


def clip(text: str, max_chars: int) -> str:
    if len(text) <= max_chars:
        return text
    return text[: max_chars - 1] + "…" if max_chars > 0 else ""
