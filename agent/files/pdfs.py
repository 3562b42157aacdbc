"""The text of PDF files, page by page. The only module that knows pypdf.

A parser of PDF cannot be bounded by counting what the file holds, so it runs in a process of its own, with no
environment, which the system stops at its limits of time and memory. They are far above what a file of a person takes.
"""

import io
import json
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from agent.errors import ToolError
from agent.files.base import ConversionOptions, Kind, Rendering, Window, unopened
from agent.files.writing import encoded

PDF_MAGIC = b"%PDF"
MAX_PDF_BYTES = 20_000_000
MAX_PAGES = 2_000
MAX_TEXT_CHARS = 1_000_000
LOOK_CHARS = 20_000  # read for a look
CPU_S = 20
WALL_S = 60.0  # on a busy machine
MEMORY_BYTES = 1_000_000_000


@dataclass(frozen=True)
class Pages:
    """`texts` are those of the pages from the one asked for, until enough characters were read."""

    total: int
    texts: tuple[str, ...]


def pdf_pages(data: bytes, *, start: int = 1, max_chars: int = MAX_TEXT_CHARS, cpu_s: int = CPU_S) -> Pages:
    """The pages from number `start` on, up to the one with which their text exceeds `max_chars`. Raises ToolError."""
    if len(data) > MAX_PDF_BYTES:
        raise ToolError(f"the PDF has {len(data):,} bytes; the limit is {MAX_PDF_BYTES:,}")
    try:
        child = subprocess.run(  # noqa: S603 - this very module
            [sys.executable, "-m", "agent.files.pdfs", str(start), str(max_chars), str(cpu_s)],
            input=data, cwd=Path(__file__).parents[2], env={}, capture_output=True, timeout=WALL_S, check=True,
        )  # fmt: skip
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        raise ToolError(f"the PDF takes more than {cpu_s} s or {MEMORY_BYTES // 10**6} MB to be read") from error
    answer = json.loads(child.stdout)
    if "problem" in answer:
        raise ToolError(answer["problem"])
    return Pages(answer["total"], tuple(answer["texts"]))


def render(name: str, data: bytes, window: Window) -> Rendering:
    """Page by page; a page's text is one item."""
    try:
        pages = pdf_pages(data, start=window.start, max_chars=LOOK_CHARS)
    except ToolError as error:
        return unopened("PDF", data, window, error)
    texts = [text.strip() for text in pages.texts]
    blank = "" if any(texts) or not texts else "; these pages hold no text, perhaps pictures of it"
    lines = (f"[page {number}]\n{text}" for number, text in enumerate(texts, window.start))
    facts = f"PDF, {len(data):,} bytes, {pages.total} pages{blank}"
    return Rendering(facts, islice(lines, window.count or None), units="pages", total=pages.total)


def text_from_pdf(data: bytes, _: ConversionOptions) -> bytes:
    """Pages are parted by form feeds; lines lose the blanks at their end."""
    pages = pdf_pages(data)
    if len(pages.texts) < pages.total or sum(map(len, pages.texts)) > MAX_TEXT_CHARS:
        raise ToolError("the PDF holds too much text to be converted: read it page by page")
    if not any(text.strip() for text in pages.texts):
        raise ToolError("the PDF holds no text, perhaps pictures of it")
    lines = ([line.rstrip() for line in text.strip().splitlines()] for text in pages.texts)
    return encoded(["\n\f".join(map("\n".join, lines)), "\n"])


PDF = Kind(
    "pdf",
    render,
    endings=("pdf",),
    owns=lambda data: data.startswith(PDF_MAGIC),
    conversions={"txt": text_from_pdf},
)


# -- in the process of its own -----------------------------------------------------------------------------------------


def _main() -> None:
    import resource  # of Unix alone, as are the limits

    start, max_chars, cpu_s = map(int, sys.argv[1:])
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s))
    with suppress(ValueError, OSError):  # macOS has no limit of address space
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    data = sys.stdin.buffer.read()
    try:
        answer = _read(data, start, max_chars)
    except ToolError as error:
        answer = {"problem": str(error)}
    sys.stdout.write(json.dumps(answer))


def _read(data: bytes, start: int, max_chars: int) -> dict[str, Any]:
    try:
        return _pages(data, start, max_chars)
    except (ToolError, MemoryError):
        raise
    except Exception as error:  # on hostile bytes pypdf raises whatever it stumbles over
        raise ToolError(f"the PDF is damaged or of an unknown make ({type(error).__name__})") from error


def _pages(data: bytes, start: int, max_chars: int) -> dict[str, Any]:
    from pypdf import PasswordType, PdfReader

    reader = PdfReader(io.BytesIO(data))
    if reader.is_encrypted and reader.decrypt("") == PasswordType.NOT_DECRYPTED:
        raise ToolError("the PDF is encrypted: it opens with a password only")
    total = len(reader.pages)
    if total > MAX_PAGES:
        raise ToolError(f"the PDF has {total:,} pages; the limit is {MAX_PAGES:,}")
    texts: list[str] = []
    for page in reader.pages[start - 1 :]:
        texts.append(page.extract_text()[: max_chars + 1])
        if sum(map(len, texts)) > max_chars:
            break
    return {"total": total, "texts": texts}


if __name__ == "__main__":
    _main()
