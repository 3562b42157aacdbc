"""A file as a short text: the facts in our words, then foreign text inside a fence that it cannot imitate."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from agent.errors import ToolError
from agent.files.base import FIRST_LOOK, Rendering, Window
from agent.files.kinds import is_archive, kind_of, unpacked
from agent.files.plain import OTHER, render_lines
from agent.files.texts import decoded
from agent.quoting import clip, fence, label

MAX_RENDERED_CHARS = 30_000  # no one is shown more at a time
BRIEF_CHARS = 600  # of a file in a few lines, some 150 tokens
BRIEF_LINES, BRIEF_LINE_CHARS = 3, 160


def preview(name: str, data: bytes, *, max_chars: int, window: Window = FIRST_LOOK) -> str:
    """What it is and its most telling part, at most `max_chars` long.

    Hostile bytes never raise; ToolError only for a part or a start that is not there.
    """
    return _compose(name, rendered(name, data, window), window, max_chars)


def previews(files: Mapping[str, bytes], *, max_chars: int) -> dict[str, str]:
    """A first look at each file, by name, all together at most `max_chars` long.

    Short ones are shown whole; what they leave is shared evenly by the others.
    """
    found = {name: rendered(name, data) for name, data in files.items()}
    shown = {name: _compose(name, rendering, FIRST_LOOK, max_chars) for name, rendering in found.items()}
    share = _share([len(text) for text in shown.values()], max_chars)
    return {
        name: text if len(text) <= share else _compose(name, found[name], FIRST_LOOK, share)
        for name, text in shown.items()
    }


def brief_previews(files: Mapping[str, bytes]) -> dict[str, str]:
    """Each file in a few lines, by name: its columns and first rows, those of every sheet, its shape or first lines."""
    return {name: _compose(name, _brief(rendered(name, data)), FIRST_LOOK, BRIEF_CHARS) for name, data in files.items()}


def excerpt(name: str, data: bytes, *, max_chars: int, window: Window = FIRST_LOOK) -> str:
    """Like `preview`, but text of any kind is shown as its lines, exactly."""
    if decoded(data) is None or not data:
        return preview(name, data, max_chars=max_chars, window=window)
    return _compose(name, _bounded(render_lines(name, data, window)), window, max_chars)


def rendered(name: str, data: bytes, window: Window = FIRST_LOOK) -> Rendering:
    """By what the bytes are, then by the ending of the name. ToolError only for a part that is not there."""
    kind = kind_of(name, data) if data else OTHER
    if member := unpacked(data, window.part):
        name, data = member
        window = replace(window, part="")
        kind = OTHER if is_archive(data) else kind_of(name, data)  # no archive in an archive is listed
    return _bounded(kind.render(name, data, window))


# -- from a rendering to text ------------------------------------------------------------------------------------------


def _bounded(found: Rendering) -> Rendering:
    return replace(
        found, lines=tuple(_within(found.lines, MAX_RENDERED_CHARS)), sections=tuple(map(_bounded, found.sections))
    )


def _within(lines: Iterable[str], room: int) -> Iterator[str]:
    for line in lines:
        yield line[:MAX_RENDERED_CHARS]
        room -= len(line) + 1
        if room < 0:
            return


def _brief(found: Rendering) -> Rendering:
    lines = found.brief or tuple(found.lines)
    told = [clip(line, BRIEF_LINE_CHARS) for line in lines[: len(lines) if found.units == "lines" else BRIEF_LINES]]
    sections = [_brief(section) for section in found.sections]
    return replace(found, lines=told, intro="", tail=(), sections=sections, total=0)


def _share(wanted: Sequence[int], total: int) -> int:
    """What each may have, so that all have no more than `total`; those that want less leave it to the others."""
    for number, want in enumerate(sorted(wanted)):
        share = total // (len(wanted) - number)
        if want > share:
            return share
        total -= want
    return max(wanted, default=0)


def _compose(name: str, found: Rendering, window: Window, max_chars: int) -> str:
    if found.total and window.start > found.total:
        raise ToolError(f"{label(name)} ends before {window.start}: it has {found.number} {found.units}")
    title = f"{label(name)}: {found.facts}"
    room = max_chars - len(title) - 2 * len(label(name)) - 130
    body, shown = _sections(found, room) if found.sections else _fit(found, window.start, room)
    if not body:
        return clip(title, max_chars)
    title += shown
    return f"{title}\n{fence(name, body, max_chars=max_chars - len(title) - 1)}"


def _sections(found: Rendering, room: int) -> tuple[str, str]:
    """Each under its facts, in an even share of the room, of which the shorter ones leave what they do not need."""
    whole = [_section(section, room) for section in found.sections]
    share = _share([len(text) + 1 for text in whole], room - len(found.intro))
    fitted = [
        text if len(text) < share else _section(section, share - 1)
        for text, section in zip(whole, found.sections, strict=True)
    ]
    return "\n".join(filter(None, [*fitted, found.intro])) if room > 0 else "", ""


def _section(section: Rendering, room: int) -> str:
    body, shown = _fit(section, 1, room - len(section.facts) - 60)
    return clip("\n".join(filter(None, [section.facts + shown, body])), max(room, 0))


def _fit(found: Rendering, start: int, room: int) -> tuple[str, str]:
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


def _shown(found: Rendering, first: int, last: int, tail: int) -> str:
    if tail:
        return f"; {found.units} {first}-{last} and {tail}-{found.total} are shown"
    more = last < found.total or found.uncounted
    if last < first or (first == 1 and not more):
        return ""
    return f"; {found.units} {first}-{last} of {found.number} are shown" + (f", start={last + 1} shows more" * more)
