"""Plain text and SVG as their lines, and bytes of kinds that are only named: sounds, films, fonts, other archives."""

import io
import wave

from agent.errors import ToolError
from agent.files.base import Kind, Rendering, Window, render_text, unopened
from agent.files.delimited import CSV
from agent.files.images import svg_facts
from agent.files.texts import decoded

_MAGIC = (
    (b"\xd0\xcf\x11\xe0", "old Office file (.xls, .doc)"),
    (b"\x1f\x8b", "gzip"),
    (b"SQLite format 3", "SQLite database"),
    (b"ID3", "MP3 audio"),
    (b"\xff\xfb", "MP3 audio"),
    (b"fLaC", "FLAC audio"),
    (b"OggS", "Ogg audio or video"),
    (b"RIFF", "RIFF (WAV audio or AVI video)"),
    (b"II*\0", "TIFF image"),
    (b"MM\0*", "TIFF image"),
    (b"\0\0\1\0", "icon (.ico)"),
    (b"wOF", "web font"),
)
_BRANDS = (  # of ISO media files: bytes 8 to 12, then those it is compatible with
    ((b"avif", b"avis"), "AVIF image"),
    ((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx"), "HEIC image, which most browsers do not show"),
    ((b"mif1", b"msf1"), "HEIF image, which most browsers do not show"),
    ((b"M4A ", b"M4B ", b"M4P "), "M4A audio"),
    ((b"qt  ",), "QuickTime video"),
    ((b"3gp", b"3g2"), "3GP media"),
)


def render(name: str, data: bytes, window: Window) -> Rendering:
    """Text as its lines; other bytes as what they are known for."""
    if not data:
        return Rendering("empty, 0 bytes")
    found = decoded(data)
    if found is None:
        return Rendering(f"{_named(data)}, {len(data):,} bytes, first {data[:32].hex(' ')}")
    return render_text(svg_facts(found.text) or "text", data, found, window)


def _named(data: bytes) -> str:
    if data[4:8] == b"ftyp":
        return _iso_media(data)
    return _wave(data) or next((what for magic, what in _MAGIC if data.startswith(magic)), "unknown bytes")


def _iso_media(data: bytes) -> str:
    size = min(int.from_bytes(data[:4], "big"), 200)
    brands = [data[8:12], *(data[at : at + 4] for at in range(16, size, 4))]
    for brand in (brands[0], *brands[1:]) if brands[0] in (b"mif1", b"msf1") else brands[:1]:
        for known, what in _BRANDS:
            if brand.startswith(known) and brand not in (b"mif1", b"msf1"):
                return what
    return next((what for known, what in _BRANDS if brands[0] in known), "MP4 media")


def _wave(data: bytes) -> str | None:
    """WAV audio as its header describes it."""
    if not (data.startswith(b"RIFF") and data[8:12] == b"WAVE"):
        return None
    try:
        with wave.open(io.BytesIO(data)) as sound:
            duration_s = sound.getnframes() / sound.getframerate()
            return f"WAV audio, {duration_s:.1f} s, {sound.getnchannels()} channels, {sound.getframerate()} Hz"
    except (wave.Error, EOFError, ArithmeticError, RuntimeError):  # not PCM, cut off, nonsense
        return "WAV audio"


def render_lines(name: str, data: bytes, window: Window) -> Rendering:
    """Text of any kind, exactly."""
    found = decoded(data)
    if found is None:
        return unopened("bytes", data, window, ToolError("it is no text"))
    return render_text("text", data, found, window)


TEXT = Kind(
    "text", render, endings=("txt", "text", "log"), conversions=CSV.conversions, tables=CSV.tables, caveat=CSV.caveat
)
SVG = Kind("svg", render, endings=("svg",))
OTHER = Kind("other", render)
