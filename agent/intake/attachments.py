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
from agent.intake.json_text import unwrapped
from agent.records import Attachment, Skipped
from agent.workspace import is_published, safe_path, sha256

MAX_FILES = 50
MAX_ENTRIES = 200  # usable or not: no list of oddities grows without end
MAX_FILE_BYTES = 10_000_000
MAX_TOTAL_BYTES = 20_000_000
MAX_NAME_CHARS = 120
NAME_KEYS = ("name", "filename", "file_name", "path")
DATA_KEYS = ("url", "uri", "data_uri", "data_url", "href", "data", "content", "base64")
LONG_BASE64_CHARS = 40  # no word, number or name of a text is as long and consists of such letters alone

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
    """Accepts null, one entry or a list, as JSON text too; an entry has a name and a `data:` URI, base64 or text, or is
    a bare URI; `{name: URI}` holds several. Of two with one name the last wins.
    """
    found = Attachments()
    entries = _entries(value)
    for number, entry in enumerate(entries[:MAX_ENTRIES], start=1):
        given = entry if isinstance(entry, dict) else {"url": entry}
        what = _printable(_first(given, NAME_KEYS))[-MAX_NAME_CHARS:] or f"attachment {number}"
        try:
            _add(found, _decoded(given, number))
        except Unusable as why:
            found.skipped.append(Skipped(what=what, why=str(why)))
    if len(entries) > MAX_ENTRIES:
        found.skipped.append(Skipped(what="attachments", why=f"only the first {MAX_ENTRIES} entries are read"))
    return found


def decode_data_uri(uri: str) -> tuple[str, bytes]:
    """Media type ("" when none or malformed) and bytes of a `data:` URI. Raises Unusable."""
    header, comma, payload = uri.lstrip().rstrip("\r\n\t")[len("data:") :].partition(",")
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
    value = unwrapped(value)
    if value is None:
        return ()
    if isinstance(value, dict):
        return _by_name(value)
    return value if isinstance(value, list) else (value,)


def _by_name(value: dict[str, Any]) -> Sequence[Any]:
    """The entries of `{name: URI}` or `{name: {"content": …}}`; else the object is an entry itself."""
    if not value or any(key in value for key in (*NAME_KEYS, *DATA_KEYS)):
        return (value,)
    if all(isinstance(given, str) and given.lstrip()[:5].lower() == "data:" for given in value.values()):
        return [{"name": name, "url": given} for name, given in value.items()]
    if all(isinstance(given, dict) and _first(given, DATA_KEYS) for given in value.values()):
        return [{"name": name, **given} for name, given in value.items()]
    return (value,)


def _first(given: dict[str, Any], keys: Sequence[str]) -> Any:
    return next((given[key] for key in keys if given.get(key)), None)


def _decoded(given: dict[str, Any], number: int) -> tuple[Attachment, bytes]:
    media_type, data = _data(given)
    if len(data) > MAX_FILE_BYTES:
        raise Unusable(f"it has {len(data)} bytes; the limit is {MAX_FILE_BYTES}")
    name = (
        _file_name(_first(given, NAME_KEYS)) or f"attachment-{number}{mimetypes.guess_extension(media_type) or '.bin'}"
    )
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


def _data(given: dict[str, Any]) -> tuple[str, bytes]:
    """Media type and bytes: of a `data:` URI under any key, of base64 or text under `data` or `content`."""
    key = next((key for key in DATA_KEYS if isinstance(given.get(key), str) and given[key].strip()), None)
    if key is None:
        raise Unusable("it has no url")
    text = given[key]
    if text.lstrip()[:5].lower() == "data:":
        return decode_data_uri(text)
    if key == "base64" or (key in ("data", "content") and str(given.get("encoding", "")).lower() == "base64"):
        return "", _from_base64(text.encode("utf-8", "replace"))
    if key not in ("data", "content"):
        raise Unusable("not fetched: attachments are read from data: URIs only")
    if not given.get("encoding") and (data := _plain_base64(text)) is not None:
        return "", data
    return "", text.encode("utf-8", "replace")


def _plain_base64(text: str) -> bytes | None:
    """What a text stands for that can be nothing but base64: it is long, or holds a text itself."""
    compact = "".join(text.split())
    if len(compact) % 4 or not re.fullmatch(r"[A-Za-z0-9+/]{4,}={0,2}", compact):
        return None
    data = base64.b64decode(compact)
    try:
        is_text = not _UNPRINTABLE.search(data.decode().translate({9: " ", 10: " ", 13: " "}))
    except UnicodeDecodeError:
        is_text = False
    return data if is_text or len(compact) >= LONG_BASE64_CHARS else None


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
    """Takes white space, the URL-safe alphabet and missing padding. Raises Unusable when cut off or not base64.

    A `+` that became a blank on the way, as in a form, is put back.
    """
    compact = b"".join(_with_pluses(text).split()).translate(bytes.maketrans(b"-_", b"+/")).rstrip(b"=")
    try:
        data = binascii.a2b_base64(compact + b"=" * (-len(compact) % 4), strict_mode=True)
    except binascii.Error:
        raise Unusable("its base64 is broken or cut off") from None
    if base64.b64encode(data).rstrip(b"=") != compact:  # bits left over: the end is missing
        raise Unusable("its base64 is cut off")
    return data


def _with_pluses(text: bytes) -> bytes:
    """Blanks amid a line were pluses, unless they part it evenly as line breaks do, or pluses stand there too."""
    lines = text.splitlines()
    if len(lines) > 1:
        lines = [line.strip() for line in lines]
    joined = b"".join(lines)
    if len(joined.strip(b" ")) % 4 == 0:
        joined = joined.strip(b" ")  # with a plus at its end it would not be whole
    if b" " not in joined or any(sign in text for sign in b"+-_") or _is_wrapped(lines):
        return text
    return joined.replace(b" ", b"+")


def _is_wrapped(lines: Sequence[bytes]) -> bool:
    """Whether blanks part the text into pieces of one length, the last one no longer."""
    pieces = [piece for line in lines for piece in line.split()]
    sizes = {len(piece) for piece in pieces[:-1]}
    whole = sum(map(len, pieces)) % 4 == 0
    return whole and len(sizes) == 1 and min(sizes) >= 16 and min(sizes) % 4 == 0 and len(pieces[-1]) <= min(sizes)
