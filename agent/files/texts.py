"""Bytes as text: in which encoding, with which line ends; text that is too long cut short, and rows as csv."""

import csv
import io
from collections.abc import Iterable, Sequence

_BOMS = ((b"\xef\xbb\xbf", "UTF-8"), (b"\xff\xfe", "UTF-16-LE"), (b"\xfe\xff", "UTF-16-BE"))
_CONTROLS = bytes({*range(32)} - {*b"\t\n\r\f\x1b"})


def decoded(data: bytes) -> tuple[str, str] | None:
    """Text without its BOM and the name of its encoding; None for bytes that are no text."""
    for bom, codec in _BOMS:
        if data.startswith(bom):
            return data[len(bom) :].decode(codec, "replace"), f"{codec} with BOM"
    controls = len(data) - len(data.translate(None, _CONTROLS))
    if b"\0" in data or controls > len(data) // 100:
        return None
    try:
        return data.decode(), "ASCII" if data.isascii() else "UTF-8"
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace"), "not UTF-8, perhaps Windows-1252"


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
