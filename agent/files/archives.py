"""Zip archives, opened within bounds, whatever their bytes are.

The bounds count things, not seconds, so that the same bytes give the same answer on every machine and in every replay.
"""

import io
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager

from agent.errors import ToolError
from agent.files.base import ITEM_CHARS, Kind, Rendering, Window, unopened
from agent.quoting import clip

ZIP_MAGIC = b"PK\x03\x04"
MAX_ENTRIES = 10_000
MAX_MEMBER_BYTES = 20_000_000  # unpacked
ENCRYPTED = 0x1  # flag of an entry


@contextmanager
def open_zip(data: bytes) -> Iterator[zipfile.ZipFile]:
    """The archive, for reading. Any fault while it is open becomes a ToolError."""
    if data.count(b"PK\x01\x02") > MAX_ENTRIES:
        raise ToolError(f"the archive has more than {MAX_ENTRIES:,} entries, which is the limit")
    with damage_reported("archive"), zipfile.ZipFile(io.BytesIO(data)) as archive:
        if any(entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for entry in archive.infolist()):
            raise ToolError("the archive is packed in another way than deflate")  # the others ask for memory unbounded
        yield archive


def read_member(archive: zipfile.ZipFile, name: str) -> bytes:
    if name not in archive.namelist():
        raise ToolError(f"there is no {name!r} in the archive: list its entries first")
    if archive.getinfo(name).flag_bits & ENCRYPTED:
        raise ToolError(f"{name!r} is encrypted: it opens with a password only")
    with archive.open(name) as file:
        data = file.read(MAX_MEMBER_BYTES + 1)
    if len(data) > MAX_MEMBER_BYTES:
        raise ToolError(f"{name!r} unpacks to more than {MAX_MEMBER_BYTES:,} bytes, which is the limit")
    return data


@contextmanager
def damage_reported(kind: str) -> Iterator[None]:
    """Any fault while it is open becomes a ToolError."""
    try:
        yield
    except ToolError:
        raise
    except Exception as error:  # on hostile bytes zipfile and openpyxl raise whatever they stumble over
        raise ToolError(f"the {kind} is damaged or of an unknown make ({type(error).__name__})") from error


def is_zip(data: bytes) -> bool:
    return data.startswith(ZIP_MAGIC)


def render(name: str, data: bytes, window: Window) -> Rendering:
    """Its entries; what one of them holds is shown as any other file."""
    try:
        with open_zip(data) as archive:
            entries = archive.infolist()
    except ToolError as error:
        return unopened("zip or Office file", data, window, error)
    lines = [f"{entry.file_size:,} bytes  {clip(entry.filename, ITEM_CHARS)}" for entry in entries]
    locked = sum(entry.flag_bits & ENCRYPTED for entry in entries)
    told = f", {locked} of them encrypted: they open with a password only" if locked else ""
    return Rendering(
        f"zip, {len(data):,} bytes, {len(lines)} entries{told}", window.cut(lines), units="entries", total=len(lines)
    )


ZIP = Kind("zip", render, endings=("zip",), owns=is_zip)
