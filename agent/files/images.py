"""Images: what the header says, what the pixels show, what a model is shown, and the same in another format and size.

A file is decoded only after its header was held against the limit of pixels, only by decoders of the formats below, and
only its first frame. The only module that knows pillow, which it imports on first use.
"""

import base64
import io
import re
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

from agent.errors import ToolError
from agent.files.base import ConversionOptions, Converter, Kind, Rendering, Window

FORMATS = ("PNG", "JPEG", "GIF", "WEBP", "BMP")
MAX_PIXELS = 25_000_000  # decoded, some 100 MB
MAX_SIDE = 8_000  # of an image that is made
QUALITY = {"JPEG": {"quality": 88}, "WEBP": {"quality": 85}, "PNG": {}}
MAIN_COLOURS = 5
SAMPLE_SIDE = 100  # pixels looked at along each side, to tell the main colours
PALETTE_COLOURS = 8  # of a palette that are named
MAX_PALETTE_PIXELS = 4_000_000  # beyond them its palette is not counted
SHADE_BITS = 5  # colours that differ only in the last five bits of a channel are counted as one
SEEN_SIDE = 1_024  # pixels of the longer side; beyond it providers scale down themselves, and charge for more
SEEN_PNG_BYTES = 300_000  # a larger PNG is a photograph, which goes as JPEG


def image_facts(data: bytes) -> str | None:
    """Kind, size in pixels, mode and main colours, as far as the file gives them away; None for what is no image."""
    header = _header_facts(data)
    if header is None and not data.startswith(b"BM"):
        return None
    try:
        with opened_image(data) as image:
            facts = header or f"{image.format} image, {image.width} x {image.height} pixels"
            moving = ", animated" if getattr(image, "is_animated", False) else ""
            return f"{facts}{moving}, mode {image.mode}{_palette(image)}, main colours {_main_colours(image)}"
    except ToolError as error:
        return header and f"{header}, not decoded: {error}"


def is_image(data: bytes) -> bool:
    """By its header; a bitmap, whose two letters begin texts as well, only where it opens."""
    if not data.startswith(b"BM"):
        return _header_facts(data) is not None
    try:
        with opened_image(data):
            return True
    except ToolError:
        return False


def svg_facts(text: str) -> str | None:
    """`SVG image` with its size; None for another text."""
    tag = re.search(r"<svg\b[^>]{0,2000}>", text[:5000])
    if not tag:
        return None
    sizes = re.findall(r"\b(width|height|viewBox)\s*=\s*[\"']([\d .%-]{1,40}(?:px|em|mm)?)[\"']", tag[0])
    return " ".join(["SVG image", *(f"{key} {value}" for key, value in sizes[:3])])


def converted_image(data: bytes, target: Literal["PNG", "JPEG", "WEBP"], width: int = 0) -> bytes:
    """The picture as a viewer shows it, `width` pixels wide (0: as it is), its height in proportion. Raises ToolError.

    Turned as its EXIF data says, then without any metadata; what is transparent becomes white in a JPEG.
    """
    with opened_image(data) as original:
        from PIL import Image, ImageOps

        image = _of_eight_bits(ImageOps.exif_transpose(original))
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
        if width:
            image = image.resize(_size(image, width), Image.Resampling.LANCZOS)
        return _saved(image, target)


def picture_uri(data: bytes) -> str | None:
    """A `data:` URI of what a model is shown of an image: its first frame, made anew; None where there is none."""
    if _header_facts(data) is None:
        return None
    try:
        with opened_image(data) as original:
            return _seen(original)
    except ToolError:
        return None


@contextmanager
def opened_image(data: bytes) -> Iterator[Any]:
    """Pillow's image, not decoded yet. Any fault while it is open becomes a ToolError."""
    from PIL import Image

    Image.MAX_IMAGE_PIXELS = MAX_PIXELS  # pillow's own guard, where a file holds more than its header tells
    warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # it raises at twice the limit, and we at the limit
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise ToolError(f"the limit is {MAX_PIXELS:,} pixels")
            yield image
    except ToolError:
        raise
    except Exception as error:  # on hostile bytes pillow raises whatever it stumbles over
        raise ToolError(f"the image is damaged or of an unknown make ({type(error).__name__})") from error


def _seen(image: Any) -> str:
    from PIL import ImageOps

    image.draft("RGB", (SEEN_SIDE, SEEN_SIDE))  # a JPEG is decoded no larger than it is needed
    picture = _of_eight_bits(ImageOps.exif_transpose(image)).convert("RGBA")
    picture.thumbnail((SEEN_SIDE, SEEN_SIDE))
    png = _saved(picture, "PNG")
    if len(png) <= SEEN_PNG_BYTES:
        return f"data:image/png;base64,{base64.b64encode(png).decode()}"
    return f"data:image/jpeg;base64,{base64.b64encode(_saved(picture, 'JPEG')).decode()}"


def _saved(image: Any, target: Literal["PNG", "JPEG", "WEBP"]) -> bytes:
    """Without metadata of others; a JPEG has nothing transparent."""
    from PIL import Image

    if target == "JPEG" and image.mode == "RGBA":
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    image.info = {}
    file = io.BytesIO()
    image.save(file, target, **QUALITY[target])
    return file.getvalue()


def _of_eight_bits(image: Any) -> Any:
    """An image of 16 bits a channel is cut off at 255 when pillow converts it by itself."""
    return image.convert("I").point(lambda value: value * (1 / 256)).convert("L") if image.mode[0] == "I" else image


def _size(image: Any, width: int) -> tuple[int, int]:
    height = max(1, round(image.height * width / image.width))
    if max(width, height) > MAX_SIDE or width * height > MAX_PIXELS:
        raise ToolError(f"{width} x {height} pixels are too many: a side may have {MAX_SIDE:,}")
    return width, height


def _palette(image: Any) -> str:
    """The colours that an image with a palette uses."""
    if image.mode != "P" or image.width * image.height > MAX_PALETTE_PIXELS:
        return ""
    channels = image.getpalette("RGB") or []
    used = sorted((-times, index) for times, index in image.getcolors(256) or [])
    names = [f"#{bytes(channels[3 * index : 3 * index + 3]).hex()}" for _, index in used[:PALETTE_COLOURS]]
    return f", palette of {len(used)} colours in use: {' '.join(names)}{' …' if len(used) > len(names) else ''}"


def _main_colours(image: Any) -> str:
    """`#ffffff 62 %, …`, commonest first; each stands for the shades near to it."""
    image.draft("RGB", (SAMPLE_SIDE, SAMPLE_SIDE))  # a JPEG is decoded no larger than it is needed
    sides = tuple(min(side, SAMPLE_SIDE) for side in image.size)
    sample = image.resize(sides, resample=0)  # 0: no colours that the image does not have
    sample = _of_eight_bits(sample).convert("RGBA")
    shades: dict[object, Counter[str]] = defaultdict(Counter)
    for count, (*rgb, alpha) in sample.getcolors(SAMPLE_SIDE**2):
        if alpha < 128:
            shades["transparent"]["transparent"] += count
        else:
            shades[tuple(channel >> SHADE_BITS for channel in rgb)][f"#{bytes(rgb).hex()}"] += count
    main = sorted(shades.values(), key=lambda shade: (-shade.total(), min(shade)))[:MAIN_COLOURS]
    shares = ((_commonest(shade), round(100 * shade.total() / (sample.width * sample.height))) for shade in main)
    return ", ".join(f"{colour} {percent} %" for colour, percent in shares if percent)


def _commonest(shade: Counter[str]) -> str:
    return min(shade, key=lambda colour: (-shade[colour], colour))


def _header_facts(data: bytes) -> str | None:
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


# -- as a kind of file -------------------------------------------------------------------------------------------------


def render(name: str, data: bytes, window: Window) -> Rendering:
    return Rendering(f"{image_facts(data)}, {len(data):,} bytes")


def _converter(target: Literal["PNG", "JPEG", "WEBP"]) -> Converter:
    def converter(data: bytes, options: ConversionOptions) -> bytes:
        return converted_image(data, target, options.width)

    return converter


IMAGE = Kind(
    "image",
    render,
    endings=("png", "jpg", "jpeg", "gif", "webp", "bmp"),
    owns=is_image,
    conversions={
        "png": _converter("PNG"),
        "jpg": _converter("JPEG"),
        "jpeg": _converter("JPEG"),
        "webp": _converter("WEBP"),
    },
)
