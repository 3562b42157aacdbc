"""The kinds of files: how one is recognised, and what its kind can do. A new kind is one file here and one line below.

The first kind that owns the bytes counts, then the one whose ending the name has. Bytes without either are text or
unknown.
"""

from agent.files.archives import ZIP, open_zip, read_member
from agent.files.base import Kind
from agent.files.delimited import CSV
from agent.files.images import IMAGE
from agent.files.outlines import SOURCES
from agent.files.pdfs import PDF
from agent.files.plain import OTHER, SVG, TEXT
from agent.files.spreadsheets import XLSX
from agent.files.structured import JSON, JSON_LINES, YAML
from agent.files.texts import is_text

KINDS: tuple[Kind, ...] = (IMAGE, XLSX, ZIP, PDF, CSV, JSON, JSON_LINES, YAML, *SOURCES, SVG, TEXT)
_BY_ENDING = {ending: kind for kind in KINDS for ending in kind.endings}


def kind_of(name: str, data: bytes) -> Kind:
    """By the bytes, then by the ending of the name."""
    owner = next((kind for kind in KINDS if kind.owns(data)), None)
    if owner:
        return owner
    named = kind_named(name)
    if not is_text(data):
        return XLSX if named is XLSX else OTHER  # it says why a file of that name cannot be opened
    return JSON if named is OTHER and data[:200].lstrip()[:1] in (b"{", b"[") else named


def kind_named(name: str) -> Kind:
    """By the ending of the name alone; `OTHER` where no kind has it."""
    return _BY_ENDING.get(ending(name), OTHER)


def endings(*names: str) -> tuple[str, ...]:
    """`.csv`, `.tsv` and so on: what names of files of these kinds end in. Raises KeyError for an unknown kind."""
    by_name = {kind.name: kind for kind in KINDS}
    return tuple(f".{ending}" for name in names for ending in by_name[name].endings)


def data_endings() -> tuple[str, ...]:
    """What names of data files end in: tables and trees of values."""
    return tuple(f".{ending}" for kind in KINDS if kind.is_data for ending in kind.endings)


def ending(name: str) -> str:
    return name.lower().rpartition(".")[2]


def unpacked(data: bytes, part: str) -> tuple[str, bytes] | None:
    """Name and bytes of the entry `part` of a zip archive; None for other files. Raises ToolError."""
    if not part or not is_archive(data):
        return None
    with open_zip(data) as archive:
        return part, read_member(archive, part)


def is_archive(data: bytes) -> bool:
    """Whether it is a zip archive of files, and no spreadsheet."""
    return ZIP.owns(data) and not XLSX.owns(data)
