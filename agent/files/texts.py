"""Bytes as text: in which encoding, with which line ends; and rows as csv. Alone knows charset-normalizer.

Text that is not UTF-8 or UTF-16 is read as its letters suggest. Where several encodings read it equally well and
differently, the likeliest is taken and the doubt told: whoever writes a file from the text must not do so silently.
"""

import csv
import io
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise

from agent.errors import ToolError

_BOMS = (
    (b"\xef\xbb\xbf", "UTF-8"),
    (b"\xff\xfe\0\0", "UTF-32-LE"),
    (b"\0\0\xfe\xff", "UTF-32-BE"),
    (b"\xff\xfe", "UTF-16-LE"),
    (b"\xfe\xff", "UTF-16-BE"),
)
_CONTROLS = bytes({*range(32)} - {*b"\t\n\r\f\x1b"})
_ENCODINGS = {  # by codec, the commonest first: what it is called, and whether its letters are Latin ones
    "cp1252": ("Windows-1252", True),
    "cp1250": ("Windows-1250", True),
    "cp1254": ("Windows-1254", True),
    "mac_roman": ("Mac Roman", True),
    "cp850": ("DOS 850", True),
    "cp1251": ("Windows-1251", False),
    "koi8_r": ("KOI8-R", False),
    "iso8859_5": ("ISO 8859-5", False),
    "cp866": ("DOS 866", False),
    "cp1253": ("Windows-1253", False),
    "cp1255": ("Windows-1255", False),
    "cp1256": ("Windows-1256", False),
    "gb18030": ("GB18030", False),
    "cp932": ("Shift-JIS", False),
    "euc_jp": ("EUC-JP", False),
    "cp949": ("EUC-KR", False),
    "big5": ("Big5", False),
}
_STRICTER = {"gb18030": "gb2312", "cp932": "shift_jis", "cp949": "euc_kr"}  # without the rare signs of the wider ones
MAX_SAMPLE_BYTES = 20_000  # of the lines that are not ASCII: all that says which encoding it is
CHAOS_LEEWAY = 0.05  # of charset-normalizer's measure: closer ones read the text equally well
COHERENCE_LEEWAY = 0.1


@dataclass(frozen=True)
class Text:
    """A file as text, without its byte order mark."""

    text: str
    encoding: str  # for people
    doubt: str = ""  # another encoding that reads it equally well, and what that makes of a word
    is_garbled: bool = False  # its letters cannot be relied on: it may be shown, and nothing may be made of it


def is_text(data: bytes) -> bool:
    """Whether `decoded` finds a text in it."""
    return data.startswith(tuple(bom for bom, _ in _BOMS)) or _has_no_controls(data) or bool(_utf16_codec(data))


def decoded(data: bytes) -> Text | None:
    """None for bytes that are no text."""
    for bom, codec in _BOMS:
        if data.startswith(bom):
            text = data[len(bom) :].decode(codec, "replace")
            return Text(text, f"{codec} with BOM", is_garbled="\ufffd" in text)
    if codec := _utf16_codec(data):
        return Text(data.decode(codec, "replace"), f"{codec} without BOM")
    if not _has_no_controls(data):
        return None
    try:
        return Text(data.decode(), "ASCII" if data.isascii() else "UTF-8")
    except UnicodeDecodeError:
        return _damaged_utf8(data) or _legacy(data)


def readable_text(data: bytes) -> Text:
    """As `decoded`. Raises ToolError for what is no text, or text in an encoding that cannot be told."""
    found = decoded(data)
    if found is None:
        raise ToolError("it is no text")
    if found.is_garbled:
        raise ToolError(
            f"its encoding cannot be told for certain ({found.encoding}{found.doubt and '; ' + found.doubt}), and its "
            "letters would be garbled: decode it in run_python with the encoding that fits"
        )
    return found


def line_ends(text: str) -> str:
    """Words to follow a number of lines; none for a single one."""
    breaks, crlf = text.count("\n"), text.count("\r\n")
    if not breaks:
        return ""
    return " ending in LF" if not crlf else " ending in CRLF" if crlf == breaks else ", ends mixed"


def csv_text(rows: Iterable[Sequence[str]], width: int) -> str:
    """The rows as csv with lines that end in LF, each filled up to `width` cells."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([*row, *[""] * (width - len(row))] for row in rows)
    return text.getvalue()


# -- encodings ---------------------------------------------------------------------------------------------------------


def _has_no_controls(data: bytes) -> bool:
    return b"\0" not in data and len(data) - len(data.translate(None, _CONTROLS)) <= len(data) // 100


def _utf16_codec(data: bytes) -> str:
    """Of UTF-16 without its mark, most letters of which are ASCII; "" for other bytes."""
    head = data[:4_000]
    if len(data) % 2 or len(head) < 8 or b"\0" not in head:
        return ""
    for codec, high, low in (("UTF-16-LE", head[1::2], head[::2]), ("UTF-16-BE", head[::2], head[1::2])):
        if (
            high.count(0) * 10 >= len(high) * 6
            and low.isascii()
            and not low.translate(None, bytes(range(32, 256))).strip()
        ):
            return codec
    return ""


def _damaged_utf8(data: bytes) -> Text | None:
    """UTF-8 with a few broken bytes, as of a file that was cut off."""
    sample = _sample(data).decode("utf-8", "replace")
    broken = sample.count("\ufffd")
    whole = sum(char > "\x7f" for char in sample) - broken
    if whole < 4 * broken and not (whole and broken == 1 and sample.endswith("\ufffd")):
        return None
    text = data.decode("utf-8", "replace")
    return Text(text, f"UTF-8 with {text.count(chr(0xFFFD))} broken characters", is_garbled=True)


def _legacy(data: bytes) -> Text:
    """In the likeliest encoding that reads every byte."""
    sample = _sample(data)
    for codec, rivals in _ranked(sample):
        text = _strictly(data, codec)
        if text is not None:
            name, is_latin = _ENCODINGS[codec]
            doubt = _doubt(sample, codec, rivals[0]) if rivals else ""
            garbled = bool(rivals) and not (is_latin and all(_ENCODINGS[rival][1] for rival in rivals))
            return Text(text, f"perhaps {name}" if doubt else name, doubt, garbled)
    return Text(data.decode("cp1252", "replace"), "in an unknown encoding", is_garbled=True)


def _ranked(sample: bytes) -> list[tuple[str, list[str]]]:
    """The likely codecs, those with the fewest oddities first, each with those that are as good and read otherwise."""
    likely = _likeliest(sample)
    latin = [codec for codec, (_, is_latin) in _ENCODINGS.items() if is_latin]
    oddities = [_oddities(codec, sample.decode(codec, "replace")) for codec in latin]
    codecs = latin if _stands_alone(sample) and min(oddities) * 50 <= len(sample) else likely
    readings = {codec: text for codec in codecs if (text := _strictly(sample, codec)) is not None}
    liked = {readings[codec] for codec in likely if codec in readings}
    rank = {codec: (_oddities(codec, text), text not in liked) for codec, text in readings.items()}
    ranked = sorted(readings, key=lambda codec: (*rank[codec], list(_ENCODINGS).index(codec)))
    return [
        (codec, [c for c in ranked if rank[c] == rank[codec] and readings[c] != readings[codec]]) for codec in ranked
    ]


def _doubt(sample: bytes, codec: str, rival: str) -> str:
    """What another codec makes of a word."""
    ours, theirs = _first_difference(sample.decode(codec, "replace"), sample.decode(rival, "replace"))
    return f"{_ENCODINGS[rival][0]} would read {theirs!r} for {ours!r}"


def _stands_alone(sample: bytes) -> bool:
    """Whether letters beyond ASCII stand among ASCII ones, as those of Latin alphabets do."""
    runs = re.findall(rb"[\x80-\xff]+", sample)
    return sum(len(run) == 1 for run in runs) * 2 > len(runs)


def _sample(data: bytes) -> bytes:
    """The lines that are not ASCII, and so much more that a short text is there as a whole."""
    lines = (line for line in data.splitlines(keepends=True) if len(data) < MAX_SAMPLE_BYTES or not line.isascii())
    return b"".join(islice(lines, 2_000))[:MAX_SAMPLE_BYTES]


def _likeliest(sample: bytes) -> list[str]:
    """The codecs that read it best, as a library judges: letters that occur together, no signs amid words."""
    from charset_normalizer import from_bytes

    found = [match for match in from_bytes(sample, cp_isolation=[*_ENCODINGS]) if match.encoding in _ENCODINGS]
    if not found:
        return []
    chaos = min(match.chaos for match in found)
    good = [match for match in found if match.chaos <= chaos + CHAOS_LEEWAY]
    coherence = max(match.coherence for match in good)
    good = [match for match in good if match.coherence >= coherence - COHERENCE_LEEWAY]
    strict = [match for match in good if _strictly(sample, _STRICTER.get(match.encoding, match.encoding)) is not None]
    order = list(_ENCODINGS)
    return sorted({match.encoding for match in strict or good}, key=order.index)


def _strictly(data: bytes, codec: str) -> str | None:
    try:
        return data.decode(codec)
    except UnicodeDecodeError:
        return None


_ODD = re.compile(
    r"(?<=[^\W\d_])[^\w\s\x00-\x7f\u2019\u00b4\u00b7\u00ad\u2010-\u2015](?=[^\W\d_])"  # a sign amid a word
    r"|(?<=[^\W\d_])[\u00b9\u00b2\u00b3\u00aa\u00ba\u0192](?=[^\W\d_])"
    r"|[\uff61-\uff9f]"  # katakana of half the width
    r"|[\uac00-\ud7a3][\u4e00-\u9fff]|[\u4e00-\u9fff][\uac00-\ud7a3]"  # Korean and Chinese signs in one word
    r"|\b[\u0431-\u0434\u0436\u0437\u0439-\u043d\u043f-\u0442\u0444-\u0449\u044a\u044c]{4,}\b"  # Cyrillic, no vowel
    r"|\b[\u03b1-\u03c9]{4,}\b"  # Greek without an accent
)
_EASTERN = re.compile("[\u0160\u0161\u017d\u017e]")  # letters that Windows-1252 has, and its languages do not
_WORD = re.compile(r"[^\W\d_]{2,}")


def _oddities(codec: str, text: str) -> int:
    """What a wrong encoding brings: signs and capitals amid words, and the like."""
    if text.isascii():
        return 0
    words = (word for word in _WORD.findall(text) if not word.isascii())
    turns: int = sum(left.islower() and right.isupper() for word in words for left, right in pairwise(word))
    return len(_ODD.findall(text)) + turns + (len(_EASTERN.findall(text)) if codec == "cp1252" else 0)


def _first_difference(ours: str, theirs: str) -> tuple[str, str]:
    """The first word that two readings of the same bytes differ in."""
    for mine, other in zip(_words(ours), _words(theirs), strict=False):
        if mine != other:
            return mine[:30], other[:30]
    return "", ""


def _words(text: str) -> Iterator[str]:
    return (unicodedata.normalize("NFC", match[0]) for match in re.finditer(r"[^\s,;|\t\"]+", text))
