"""Files as people attach them, made here: spreadsheets, archives, PDFs, pictures and sounds."""

import io
import struct
import wave
import zipfile
import zlib
from collections.abc import Sequence
from typing import Any

import openpyxl
from PIL import Image


def xlsx(*sheets: tuple[str, Sequence[Any]]) -> bytes:
    book = openpyxl.Workbook()
    book.remove(book.active)
    for title, rows in sheets:
        sheet = book.create_sheet(title)
        for row in rows:
            sheet.append(row)
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


def repacked(data: bytes, **parts: bytes) -> bytes:
    """The archive with parts replaced; `__` stands for a slash and `_DOT_` for a dot in their names."""
    named = {name.replace("__", "/").replace("_DOT_", "."): part for name, part in parts.items()}
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as new:
        for name in [*old.namelist(), *(named.keys() - set(old.namelist()))]:
            new.writestr(name, named[name] if name in named else old.read(name))
    return file.getvalue()


def sheet_of(rows: bytes, head: bytes = b"", tail: bytes = b"") -> bytes:
    """A workbook whose only sheet holds this XML."""
    main = b'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
    xml = b"<worksheet %b>%b<sheetData>%b</sheetData>%b</worksheet>" % (main, head, rows, tail)
    return repacked(xlsx(("S", [])), xl__worksheets__sheet1_DOT_xml=xml)


def zipped(method: int = zipfile.ZIP_DEFLATED, /, **members: bytes) -> bytes:
    """An archive; `_DOT_` stands for a dot in the names."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name.replace("_DOT_", "."), data)
    return file.getvalue()


def pdf(*pages: str) -> bytes:
    """A page a text, a line of it a line of the page."""
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [%b] /Count %d >>"
        % (b" ".join(b"%d 0 R" % (4 + 2 * n) for n in range(len(pages))), len(pages)),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
    ]
    for number, page in enumerate(pages):
        shown = b" T* ".join(b"(%b) Tj" % line.encode("cp1252") for line in page.split("\n") if page)
        stream = b"BT /F1 12 Tf 14 TL 20 700 Td %b ET" % shown
        objects += [
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 600 800] /Contents %d 0 R" % (5 + 2 * number)
            + b" /Resources << /Font << /F1 3 0 R >> >> >>",
            b"<< /Length %d >>\nstream\n%b\nendstream" % (len(stream), stream),
        ]
    return _pdf_of(objects)


def _pdf_of(objects: Sequence[bytes]) -> bytes:
    file, places = b"%PDF-1.4\n", b""
    for number, content in enumerate(objects, 1):
        places += b"%010d 00000 n \n" % len(file)
        file += b"%d 0 obj\n%b\nendobj\n" % (number, content)
    size = len(objects) + 1
    table = b"xref\n0 %d\n0000000000 65535 f \n%btrailer << /Size %d /Root 1 0 R >>\n" % (size, places, size)
    return file + table + b"startxref\n%d\n%%%%EOF\n" % len(file)


def picture(kind: str, size: tuple[int, int] = (40, 20), mode: str = "RGB", **options: Any) -> bytes:
    """White, its left half red."""
    image = Image.new("RGBA", size, "white")
    image.paste("red", (0, 0, size[0] // 2, size[1]))
    file = io.BytesIO()
    image.convert(mode).save(file, kind, **options)
    return file.getvalue()


def blank_png(width: int, height: int) -> bytes:
    """One black picture, one bit a pixel: a huge one is made in no time."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0))
    rows = zlib.compress(bytes((1 + (width + 7) // 8) * height), 1)
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def sound(seconds: float) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as tape:
        tape.setnchannels(2)
        tape.setsampwidth(2)
        tape.setframerate(8_000)
        tape.writeframes(bytes(int(seconds * 8_000) * 4))
    return file.getvalue()


def strict_xlsx(*sheets: tuple[str, Sequence[Any]]) -> bytes:
    """As Excel saves a Strict Open XML spreadsheet: the same parts in other namespaces."""
    usual, strict = b"http://schemas.openxmlformats.org/", b"http://purl.oclc.org/ooxml/"
    data, file = xlsx(*sheets), io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            part = old.read(name)
            for family in (b"officeDocument/", b"spreadsheetml/", b"drawingml/"):
                part = part.replace(usual + family + b"2006/", strict + family)
            new.writestr(name, part)
    return file.getvalue()
