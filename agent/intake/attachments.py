"""Attachments: `data:` URIs to bytes under safe names. Pure; what cannot be used is listed with a reason."""

import base64
import binascii
import mimetypes
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote_to_bytes

from agent.errors import ToolError
from agent.records import Attachment, Skipped
from agent.workspace import is_published, safe_path, sha256

MAX_FILES = 50
MAX_ENTRIES = 200  # usable or not: no list of oddities grows without end
MAX_FILE_BYTES = 10_000_000
MAX_TOTAL_BYTES = 20_000_000
MAX_NAME_CHARS = 120

_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_MEDIA_TYPE = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,100}/[a-z0-9][a-z0-9!#$&^_.+-]{0,100}")


class Unusable(Exception):
    """Why one attachment is left out."""


@dataclass
class Attachments:
    """What could be read so far: records, their bytes in the same order, and what was left out."""

    files: dict[str, tuple[Attachment, bytes]] = field(default_factory=dict)  # by name in lower case
    skipped: list[Skipped] = field(default_factory=list)

    @property
    def size_bytes(self) -> int:
        return sum(len(data) for _, data in self.files.values())


def read_attachments(value: Any) -> Attachments:
    """Accepts null, one entry or a list of {name, url} or of bare URIs. Of two with one name the last wins."""
    found = Attachments()
    entries = _entries(value)
    for number, entry in enumerate(entries[:MAX_ENTRIES], start=1):
        given = entry if isinstance(entry, dict) else {"url": entry}
        what = _printable(given.get("name"))[-MAX_NAME_CHARS:] or f"attachment {number}"
        try:
            _add(found, _decoded(given, number))
        except Unusable as why:
            found.skipped.append(Skipped(what=what, why=str(why)))
    if len(entries) > MAX_ENTRIES:
        found.skipped.append(Skipped(what="attachments", why=f"only the first {MAX_ENTRIES} entries are read"))
    return found


def decode_data_uri(uri: str) -> tuple[str, bytes]:
    """Media type ("" when none or malformed) and bytes of a `data:` URI. Raises Unusable."""
    header, comma, payload = uri.strip()[len("data:") :].partition(",")
    if not comma:
        raise Unusable("the data: URI has no comma")
    named, *_ = parts = [part.strip().lower() for part in header.split(";")]
    media_type = named if _MEDIA_TYPE.fullmatch(named) else ""
    try:
        data = unquote_to_bytes(payload)
    except UnicodeEncodeError:
        raise Unusable("the data: URI holds characters that are no text") from None
    if "base64" in parts:
        data = _from_base64(data)
    if not data and named and not media_type:
        raise Unusable("the data: URI is a placeholder: a malformed media type and no bytes")
    return media_type, data


def _entries(value: Any) -> Sequence[Any]:
    if value is None:
        return ()
    return value if isinstance(value, list) else (value,)


def _decoded(given: dict[str, Any], number: int) -> tuple[Attachment, bytes]:
    url = given.get("url")
    if not isinstance(url, str) or not url.strip():
        raise Unusable("it has no url")
    if url.lstrip()[:5].lower() != "data:":
        raise Unusable("not fetched: attachments are read from data: URIs only")
    media_type, data = decode_data_uri(url)
    if len(data) > MAX_FILE_BYTES:
        raise Unusable(f"it has {len(data)} bytes; the limit is {MAX_FILE_BYTES}")
    name = _file_name(given.get("name")) or f"attachment-{number}{mimetypes.guess_extension(media_type) or '.bin'}"
    return (
        Attachment(
            name=name,
            sha256=sha256(data),
            size_bytes=len(data),
            media_type=media_type or mimetypes.guess_type(name)[0] or "application/octet-stream",
            published=is_published(name),
        ),
        data,
    )


def _add(found: Attachments, new: tuple[Attachment, bytes]) -> None:
    attachment, data = new
    key = attachment.name.lower()
    earlier = found.files.get(key)
    if earlier is None and len(found.files) >= MAX_FILES:
        raise Unusable(f"there are more than {MAX_FILES} attachments")
    if found.size_bytes - (len(earlier[1]) if earlier else 0) + len(data) > MAX_TOTAL_BYTES:
        raise Unusable(f"the attachments have more than {MAX_TOTAL_BYTES} bytes in all")
    if earlier:
        del found.files[key]
        found.skipped.append(Skipped(what=earlier[0].name, why=f"a later attachment has the name {attachment.name!r}"))
    found.files[key] = new
    if not attachment.published:
        found.skipped.append(Skipped(what=attachment.name, why="readable, not published"))


def _file_name(name: Any) -> str:
    """The base name, safe at the root of a site; "" when there is none. Raises Unusable."""
    base = re.split(r"[/\\]", _printable(name).rstrip("/\\"))[-1].strip()
    if not base.strip("."):
        return ""
    if len(base) > MAX_NAME_CHARS or ":" in base:
        raise Unusable(f"its name has more than {MAX_NAME_CHARS} characters or a colon")
    if is_published(base):
        try:
            return safe_path(base)
        except ToolError as refused:
            raise Unusable(str(refused)) from None
    return base


def _printable(name: Any) -> str:
    return _UNPRINTABLE.sub("", unicodedata.normalize("NFC", name)).strip() if isinstance(name, str) else ""


def _from_base64(text: bytes) -> bytes:
    """Takes white space, the URL-safe alphabet and missing padding. Raises Unusable when cut off or not base64."""
    compact = b"".join(text.split()).translate(bytes.maketrans(b"-_", b"+/")).rstrip(b"=")
    try:
        data = binascii.a2b_base64(compact + b"=" * (-len(compact) % 4), strict_mode=True)
    except binascii.Error:
        raise Unusable("its base64 is broken or cut off") from None
    if base64.b64encode(data).rstrip(b"=") != compact:  # bits left over: the end is missing
        raise Unusable("its base64 is cut off")
    return data
