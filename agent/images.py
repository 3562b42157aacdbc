"""What an image file says of itself in its header."""

from typing import Literal


def image_facts(data: bytes) -> str | None:
    """Kind and size in pixels; None for what is no PNG, GIF, JPEG or WebP."""
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return _pixels("PNG", data[16:20], data[20:24], "big")
    if data.startswith((b"GIF87a", b"GIF89a")):
        return _pixels("GIF", data[6:8], data[8:10], "little")
    if data.startswith(b"\xff\xd8\xff"):
        frame = _jpeg_frame(data[:1_000_000])
        return _pixels("JPEG", frame[2:], frame[:2], "big")
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return _webp(data)
    return None


def _pixels(kind: str, width: bytes, height: bytes, order: Literal["big", "little"]) -> str:
    if not width or not height:
        return f"{kind} image, damaged"
    return f"{kind} image, {int.from_bytes(width, order)} x {int.from_bytes(height, order)} pixels"


def _jpeg_frame(data: bytes) -> bytes:
    """Height and width, two bytes each, of the first start-of-frame segment; empty when there is none."""
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        if 0xC0 <= data[at + 1] <= 0xCF and data[at + 1] not in (0xC4, 0xC8, 0xCC):
            return data[at + 5 : at + 9]
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return b""


def _webp(data: bytes) -> str:
    if data[12:16] == b"VP8X":
        width, height = (1 + int.from_bytes(data[at : at + 3], "little") for at in (24, 27))
    elif data[12:16] == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        width, height = 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    else:
        width, height = (int.from_bytes(data[at : at + 2], "little") & 0x3FFF for at in (26, 28))
    return f"WebP image, {width} x {height} pixels"
