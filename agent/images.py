"""What an image file says of itself in its header, and the picture that a model is shown of it."""

import base64
import io
from typing import Any, Literal

SEEN_SIDE = 1_024  # pixels of the longer side; beyond it providers scale down themselves, and charge for more
SEEN_PIXELS = 25_000_000  # of an image that is opened at all: decoded it takes four bytes each
SEEN_PNG_BYTES = 300_000  # a larger PNG is a photograph, which goes as JPEG


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


def picture_uri(data: bytes) -> str | None:
    """A `data:` URI of what a model is shown of an image: its first frame, made anew; None where there is none."""
    if image_facts(data) is None:
        return None
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data), formats=("PNG", "GIF", "JPEG", "WEBP")) as image:
            return _seen(image) if image.width * image.height <= SEEN_PIXELS else None
    except Exception:  # noqa: BLE001 - on hostile bytes pillow raises whatever it stumbles over
        return None


def _seen(image: Any) -> str:
    from PIL import Image, ImageOps

    image.draft("RGB", (SEEN_SIDE, SEEN_SIDE))  # a JPEG is decoded no larger than it is needed
    picture = ImageOps.exif_transpose(image).convert("RGBA")
    picture.thumbnail((SEEN_SIDE, SEEN_SIDE))
    picture.info = {}  # no metadata of others
    png = _saved(picture, "PNG")
    if len(png) <= SEEN_PNG_BYTES:
        return f"data:image/png;base64,{base64.b64encode(png).decode()}"
    plain = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")
    return f"data:image/jpeg;base64,{base64.b64encode(_saved(plain, 'JPEG')).decode()}"


def _saved(picture: Any, kind: str) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind)
    return file.getvalue()
