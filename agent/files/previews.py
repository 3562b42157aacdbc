"""A file as a short text: the facts in our words, then foreign text inside a fence that it cannot imitate."""

from collections.abc import Mapping

from agent.errors import ToolError
from agent.files.looks import FIRST_LOOK, Look, Window, look, text_look
from agent.quoting import clip, fence, label


def preview(name: str, data: bytes, *, max_chars: int, window: Window = FIRST_LOOK) -> str:
    """What it is and its most telling part, at most `max_chars` long.

    Hostile bytes never raise; ToolError only for a part or a start that is not there.
    """
    return _compose(name, look(name, data, window), window, max_chars)


def previews(files: Mapping[str, bytes], *, max_chars: int) -> dict[str, str]:
    """A first look at each file, by name, all together at most `max_chars` long.

    Short ones are shown whole; what they leave is shared evenly by the others.
    """
    looks = {name: look(name, data) for name, data in files.items()}
    shown = {name: _compose(name, found, FIRST_LOOK, max_chars) for name, found in looks.items()}
    share = _share([len(text) for text in shown.values()], max_chars)
    return {
        name: text if len(text) <= share else _compose(name, looks[name], FIRST_LOOK, share)
        for name, text in shown.items()
    }


def excerpt(name: str, data: bytes, *, max_chars: int, window: Window = FIRST_LOOK) -> str:
    """Like `preview`, but text of any kind is shown as its lines, exactly."""
    found = text_look(data, window) or look(name, data, window)
    return _compose(name, found, window, max_chars)


# -- from a look to text -----------------------------------------------------------------------------------------------


def _share(wanted: list[int], total: int) -> int:
    """What each may have, so that all have no more than `total`; those that want less leave it to the others."""
    for number, want in enumerate(sorted(wanted)):
        share = total // (len(wanted) - number)
        if want > share:
            return share
        total -= want
    return max(wanted, default=0)


def _compose(name: str, found: Look, window: Window, max_chars: int) -> str:
    if found.total and window.start > found.total:
        raise ToolError(f"{label(name)} ends before {window.start}: it has {found.number} {found.units}")
    title = f"{label(name)}: {found.facts}"
    body, shown = _fit(found, window.start, max_chars - len(title) - 2 * len(label(name)) - 130)
    if not body:
        return clip(title, max_chars)
    title += shown
    return f"{title}\n{fence(name, body, max_chars=max_chars - len(title) - 1)}"


def _fit(found: Look, start: int, room: int) -> tuple[str, str]:
    """The lines that have room, and the words that say which ones these are."""
    intro = [clip(found.intro, room // 3)] if found.intro and room > 3 else []
    tail = found.tail if sum(map(len, found.tail)) < room // 3 else ()
    room -= sum(len(line) + 1 for line in (*intro, *tail))
    lines: list[str] = []
    cut = False
    for line in found.lines:
        if room <= 0 or (lines and len(line) > room):
            break
        cut = len(line) > room
        lines.append(clip(line, room))
        room -= len(line) + 1
    last = start + len(lines) - 1
    gap = bool(tail) and last < found.total - len(tail)
    body = "\n".join([*intro, *lines, *(["…"] if gap else []), *tail])
    shown = _shown(found, start, last if gap else last + len(tail), found.total - len(tail) + 1 if gap else 0)
    return body, shown + ("; the last one is cut" if cut else "")


def _shown(found: Look, first: int, last: int, tail: int) -> str:
    if tail:
        return f"; {found.units} {first}-{last} and {tail}-{found.total} are shown"
    more = last < found.total or found.uncounted
    if last < first or (first == 1 and not more):
        return ""
    return f"; {found.units} {first}-{last} of {found.number} are shown" + (f", start={last + 1} shows more" * more)
