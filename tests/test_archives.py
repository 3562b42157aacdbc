"""A spreadsheet becomes csv exactly, and an archive made to do harm is refused before it does any."""

import csv
import io
import zipfile
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from xml.sax.saxutils import escape

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.errors import ToolError
from agent.files.archives import open_zip, read_member
from agent.files.spreadsheets import csv_from_xlsx, formulas_without_value
from tests.files import repacked, sheet_of, xlsx, zipped

PLAIN = xlsx(("Data", [["a", "b"], [1, 2]]), ("Notes, etc.", [["n"]]))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (0, "0"),
        (-7, "-7"),
        (3.0, "3"),
        (1500.5, "1500.5"),
        (1e21, "1e+21"),
        (1e-7, "1e-07"),
        (True, "TRUE"),
        (False, "FALSE"),
        ("007", "007"),
        ("n/a", "n/a"),
        (" é ☃ ", " é ☃ "),
        ("a,b", '"a,b"'),
        ('say "hi"', '"say ""hi"""'),
        ("two\nlines", '"two\nlines"'),
        (date(2024, 1, 31), "2024-01-31"),
        (datetime(2024, 1, 31), "2024-01-31"),
        (datetime(2024, 1, 31, 10, 30), "2024-01-31T10:30:00"),
        (time(10, 30), "10:30:00"),
        (timedelta(hours=26), "26:00:00"),
    ],
)
def test_a_cell_is_written_by_the_documented_rule(value: object, text: str) -> None:
    assert csv_from_xlsx(xlsx(("S", [["x", value, "y"]]))).decode() == f"x,{text},y\n"


def test_rows_columns_and_blanks_keep_their_place_and_the_empty_end_is_left_out() -> None:
    rows = [["id", "id", None, "note"], [1, None, None, None], [None], [2, "n/a", None, "é"], [None, None], [None]]
    assert csv_from_xlsx(xlsx(("S", rows))).decode() == "id,id,,note\n1,,,\n,,,\n2,n/a,,é\n"


def test_the_first_sheet_is_taken_unless_one_is_named() -> None:
    assert csv_from_xlsx(PLAIN) == b"a,b\n1,2\n"
    assert csv_from_xlsx(PLAIN, "Notes, etc.") == b"n\n"
    with pytest.raises(ToolError, match=r"there are: 'Data', 'Notes, etc\.'"):
        csv_from_xlsx(PLAIN, "data")


def test_an_empty_sheet_is_an_empty_csv() -> None:
    assert csv_from_xlsx(xlsx(("S", []))) == b""


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(-(10**18), 10**18) | st.floats(allow_nan=False, allow_infinity=False), min_size=1))
def test_a_number_is_the_one_that_was_stored(numbers: list[float]) -> None:
    data = sheet_of(b"".join(b"<row><c><v>%b</v></c></row>" % repr(number).encode() for number in numbers))
    texts = csv_from_xlsx(data).decode().splitlines()
    assert [type(number)(text) for number, text in zip(numbers, texts, strict=True)] == numbers
    assert not any(text.endswith(".0") for text in texts)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.text(st.characters(codec="utf-8", exclude_categories=["Cc"])), max_size=4), max_size=5))
def test_a_text_is_the_one_that_was_stored(rows: list[list[str]]) -> None:
    cell = b'<c t="inlineStr"><is><t>%b</t></is></c>'
    xml = (b"<row>%b</row>" % b"".join(cell % escape(text).encode() for text in row) for row in rows)
    read = list(csv.reader(io.StringIO(csv_from_xlsx(sheet_of(b"".join(xml))).decode(), newline="")))
    padded = [(row + [""] * 4)[:4] for row in read + [[]] * (len(rows) - len(read))]
    assert padded == [(row + [""] * 4)[:4] for row in rows]


def test_a_large_sheet_keeps_every_row() -> None:
    rows = [["n", "half", "word"], *([n, n / 2, f"w{n}"] for n in range(2_000))]
    lines = csv_from_xlsx(xlsx(("S", rows))).decode().splitlines()
    assert (len(lines), lines[1], lines[-1]) == (2_001, "0,0,w0", "1999,999.5,w1999")


@pytest.mark.parametrize(
    ("cell", "hollow"),
    [
        (b"<c><f>A1*2</f><v>4</v></c>", 0),
        (b"<c><f>A1*2</f><v></v></c>", 1),
        (b"<c><f>A1*2</f><v/></c>", 1),
        (b"<c><f>A1*2</f></c>", 1),
        (b'<c><f t="shared" si="0"/></c>', 1),
        (b'<c><f t="shared" si="0"/><v>4</v></c>', 0),
        (b"<c><v>4</v></c>", 0),
    ],
)
def test_formulas_without_a_stored_value_are_counted(cell: bytes, hollow: int) -> None:
    data = sheet_of(b"<row><c><v>2</v></c>" + cell + b"</row>")
    assert formulas_without_value(data) == hollow
    assert csv_from_xlsx(data) == (b"2\n" if hollow else b"2,4\n")


@pytest.mark.parametrize("claim", [b"A1", b"A1:XFD1048576", b"B2:B2"])
def test_the_size_that_a_sheet_claims_does_not_matter(claim: bytes) -> None:
    row = b"<row><c><v>2</v></c><c><v>3</v></c></row>"
    assert csv_from_xlsx(sheet_of(row * 2, head=b'<dimension ref="%b"/>' % claim)) == b"2,3\n2,3\n"


TEXT_CELL = b'<row><c t="inlineStr"><is><t>%b</t></is></c></row>'
HOSTILE: dict[str, tuple[Callable[[], bytes], str]] = {
    "truncated": (lambda: PLAIN[: len(PLAIN) // 2], "damaged"),
    "no zip": (lambda: b"a,b\n1,2\n", "no .xlsx"),
    "no spreadsheet": (lambda: repacked(PLAIN, xl__workbook_DOT_xml=b"<x/>"), "no sheet"),
    "broken sheet": (lambda: repacked(PLAIN, xl__worksheets__sheet1_DOT_xml=b"<worksheet><sheetData><row>"), "damaged"),
    "unknown entity": (lambda: sheet_of(b"<row><c><v>&lol;</v></c></row>"), "damaged"),
    "huge number": (lambda: sheet_of(b"<row><c><v>%b</v></c></row>" % (b"9" * 5_000)), "damaged"),
    "101 MB of zeros": (lambda: repacked(PLAIN, xl__media__image1_DOT_png=bytes(101_000_000)), "unpacks to"),
    "styles": (lambda: repacked(PLAIN, xl__styles_DOT_xml=b"<xf/>" * 1_000_000), "too much formatting"),
    "very many cells": (lambda: sheet_of(b"<row>%b</row>" % (b"<c/>" * 6_000_001)), "too many cells"),
    "very many strings": (
        lambda: repacked(PLAIN, xl__sharedStrings_DOT_xml=b"<sst>%b</sst>" % (b"<si/>" * 1_500_000)),
        "too many cells",
    ),
    "far row": (lambda: sheet_of(b'<row r="999999999"><c><v>1</v></c></row>'), "more than 2,000,000 cells"),
    "one wide row": (
        lambda: sheet_of(b'<row><c r="ZZZ1"><v>1</v></c></row>' + b"<row><c><v>1</v></c></row>" * 200),
        "too large",
    ),
    "long texts": (lambda: sheet_of((TEXT_CELL % (b"x" * 500_000)) * 41), "too large"),
}


@pytest.mark.parametrize(("data", "told"), HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_spreadsheet_is_refused_with_a_sentence(data: Callable[[], bytes], told: str) -> None:
    with pytest.raises(ToolError) as error:
        csv_from_xlsx(data())
    assert told in str(error.value)
    assert len(str(error.value)) < 200


def test_a_member_is_read_within_its_limit() -> None:
    with open_zip(zipped(small=b"hi", large=bytes(20_000_001))) as archive:
        assert read_member(archive, "small") == b"hi"
        with pytest.raises(ToolError, match="unpacks to more than"):
            read_member(archive, "large")
        with pytest.raises(ToolError, match="there is no 'other'"):
            read_member(archive, "other")


def test_an_archive_of_very_many_entries_is_not_opened() -> None:
    with pytest.raises(ToolError, match="entries"), open_zip(zipped(a=b"") + b"PK\x01\x02" * 10_000):
        pass


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_an_archive_that_may_ask_for_any_memory_is_not_opened(method: int) -> None:
    with pytest.raises(ToolError, match="another way than deflate"), open_zip(zipped(method, a=b"x")):
        pass


def test_a_fault_inside_the_archive_is_the_same_kind_of_error() -> None:
    data = bytearray(zipped(text=b"hello hello hello hello"))
    data[40] ^= 0xFF
    with pytest.raises(ToolError, match="damaged"), open_zip(bytes(data)) as archive:
        read_member(archive, "text")
