"""What a rule says about a site: faults, or that it cannot decide. Text from the site is quoted and short."""

import difflib
import itertools
import re
from collections.abc import Collection, Iterator

from agent.errors import AgentError
from agent.files.texts import clip

Faults = Iterator[str]  # what is wrong, each with what would mend it; none: the rule holds

QUOTE_CHARS = 80
MAX_NAMES_COMPARED = 500

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]+")


class Undecided(AgentError):
    """Static rules cannot tell; the message says what could."""

    def __init__(self, why: str = "needs a browser") -> None:
        super().__init__(why)


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


def settle(faults: Faults, most: int = 5) -> tuple[str, ...]:
    """The first faults of a rule, and whether there are more. Raises Undecided."""
    found = tuple(itertools.islice(faults, most + 1))
    return found if len(found) <= most else (*found[:most], "and more")
