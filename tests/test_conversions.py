"""A conversion keeps every cell, number and line, gives the same bytes every time, and says what it cannot do."""

import csv
import io
import json
import time
import zipfile
from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta
from typing import Any

import pandas
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from agent.errors import ToolError
from agent.files.base import ConversionOptions
from agent.files.conversions import MAX_SHEETS, convert
from agent.files.kinds import KINDS
from agent.files.pdfs import pdf_pages
from agent.files.previews import preview
from agent.files.spreadsheets import csv_from_xlsx
from tests.files import pdf, picture, repacked, sheet_of, xlsx, zipped

SAMPLES = {
    "xlsx": xlsx(("Data", [["id", "name"], [1, "é"]]), ("More", [["x"]])),
    "csv": b"id,name\n1,\xc3\xa9\n",
    "text": b"id;name\n1;x\n",
    "json": b'[{"id": 1, "name": "x"}]',
    "jsonl": b'{"id": 1, "name": "x"}\n{"id": 2}\n',
    "yaml": b"id: 1\n",
    "pdf": pdf("Hello"),
    "image": picture("PNG"),
}


def converted(name: str, data: bytes, path: str, **wish: Any) -> bytes:
    """The one file that comes of it, made twice."""
    first, second = (convert(name, data, path, ConversionOptions(**wish)).files for _ in range(2))
    assert first == second
    assert list(first) == [path]
    return first[path]


def text(name: str, data: bytes, path: str, **wish: Any) -> str:
    return converted(name, data, path, **wish).decode()


CONVERSIONS = [(kind.name, ending) for kind in KINDS for ending in kind.conversions]


@pytest.mark.parametrize(("kind", "ending"), CONVERSIONS, ids=" to ".join)
def test_each_conversion_makes_a_file_of_the_kind_it_promises(kind: str, ending: str) -> None:
    name = {"image": "a.png", "text": "a.txt"}.get(kind, f"a.{kind}")
    made = converted(name, SAMPLES[kind], f"b.{ending}")
    told = {"csv": "csv", "json": "JSON", "txt": "text", "png": "PNG", "jpg": "JPEG", "jpeg": "JPEG", "webp": "WebP"}
    assert preview(f"b.{ending}", made, max_chars=500).startswith(f"b.{ending}: {told[ending]}")


# -- from csv ----------------------------------------------------------------------------------------------------------

ROWS = [["id", "name", "note"], ["1", "Zoë; or é", 'say "hi"'], ["2", "", "two\nlines"], ["3", "a,b", "tab\there"]]


def written(rows: list[list[str]], **form: Any) -> str:
    file = io.StringIO()
    csv.writer(file, **{"lineterminator": "\n", **form}).writerows(rows)
    return file.getvalue()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("lineterminator", ["\n", "\r\n"])
def test_csv_of_any_make_becomes_plain_csv(encoding: str, delimiter: str, lineterminator: str) -> None:
    data = written(ROWS, delimiter=delimiter, lineterminator=lineterminator).encode(encoding)
    assert text("a.txt", data, "b.csv") == written(ROWS)
    read = pandas.read_csv(io.BytesIO(data), sep=delimiter, encoding=encoding, dtype=str, keep_default_na=False)
    assert list(csv.reader(io.StringIO(text("a.csv", data, "b.csv"), newline=""))) == [[*read], *read.values.tolist()]


@pytest.mark.parametrize(
    ("given_csv", "expected"),
    [
        ("a,b\n1,\n", '[\n  {"a": 1, "b": null}\n]\n'),
        ("a,a,,a_2,a\n1,2,3,4,5\n", '[\n  {"a": 1, "a_3": 2, "column_3": 3, "a_2": 4, "a_4": 5}\n]\n'),
        (
            "a\n1.10\n-0.5\n1e5\n12345678901234567890.5\n",
            '"a": 1.10},"a": -0.5},"a": 1e5},"a": 12345678901234567890.5}',
        ),
        ("zip\n00501\n90210\n", '"zip": "00501"},"zip": "90210"}'),
        ("n\n5\n+5\n", '"n": "5"},"n": "+5"}'),
        ("n\n5\n 6\n", '"n": "5"},"n": " 6"}'),
        ("n\n5\n-0\n", '"n": "5"},"n": "-0"}'),
        ("id\n9007199254740991\n", '"id": 9007199254740991}'),
        ("id\n9007199254740992\n1\n", '"id": "9007199254740992"},"id": "1"}'),
        ("n\n1e999\n2\n", '"n": "1e999"},"n": "2"}'),
        ("n\n5\nn/a\n\n1,5\n", '"n": 5, "column_2": null},"n": "n/a", "column_2": null},"n": 1, "column_2": 5}'),
        ("b\ntrue\nTRUE\nnull\n", '"b": "true"},"b": "TRUE"},"b": "null"}'),
        ("d\n2024-01-31\n", '"d": "2024-01-31"}'),
        ('t\n"☃ ""x""\nline"\n', r'"t": "☃ \"x\"\nline"}'),
        ("a,b\n", "[]\n"),
        ("", "[]\n"),
    ],
)
def test_csv_becomes_json_by_the_documented_rules(given_csv: str, expected: str) -> None:
    made = text("a.csv", given_csv.encode(), "b.json")
    json.loads(made)
    lines = made if expected.startswith("[") else ",".join(line.strip(" {,") for line in made.split("\n")[1:-2])
    assert lines == expected


cells = st.one_of(
    st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), max_size=6),
    st.sampled_from(
        ["", "0", "-1", "1.50", "1e5", "007", "+1", " 2", "9007199254740993", "n/a", "null", "true", "a\nb"]
    ),
    st.integers().map(str),
    st.decimals(allow_nan=False, allow_infinity=False).map(str),
)
tables = st.integers(1, 4).flatmap(lambda width: st.lists(st.lists(cells, min_size=width, max_size=width), max_size=6))


@settings(max_examples=60, deadline=None)
@given(tables)
def test_csv_to_json_to_csv_keeps_every_cell(rows: list[list[str]]) -> None:
    header = [f"c{n}" for n in range(len(rows[0]) if rows else 1)]
    made = convert("a.csv", written([header, *rows]).encode(), "b.json", ConversionOptions(header=1)).files["b.json"]
    back = convert("b.json", made, "c.csv", ConversionOptions()).files["c.csv"].decode()
    assert list(csv.reader(io.StringIO(back, newline=""))) == ([header, *rows] if rows else [])


def test_fifty_thousand_rows_of_csv_keep_their_values_through_json() -> None:
    rows = [[str(n), f"{n / 8}", f"ünï{n}" if n % 7 else ""] for n in range(50_000)]
    data = written([["id", "n", "word"], *rows]).encode()
    made = convert("a.csv", data, "b.json", ConversionOptions()).files["b.json"]
    assert json.loads(made) == [{"id": int(id), "n": float(n), "word": word or None} for id, n, word in rows]
    assert convert("b.json", made, "c.csv", ConversionOptions()).files["c.csv"] == data


# -- from spreadsheets -------------------------------------------------------------------------------------------------


def ledger(number: int) -> list[tuple[Any, str, Any]]:
    """A row of cells: the value, its text in csv, its value in JSON."""
    day = date(2024, 1, 1) + timedelta(days=number)
    return [
        (number, str(number), number),
        (datetime(day.year, day.month, day.day), day.isoformat(), day.isoformat()),
        (number / 8, repr(number / 8).removesuffix(".0"), number / 8),
        ("n/a", "n/a", "n/a") if number % 5 == 0 else (None, "", None),
        (f"Zoë, {number} ☃", f"Zoë, {number} ☃", f"Zoë, {number} ☃"),
        (number % 2 == 0, str(number % 2 == 0).upper(), number % 2 == 0),
        (f"00{number}", f"00{number}", f"00{number}"),
    ]


def test_five_hundred_rows_of_a_spreadsheet_are_what_was_put_in() -> None:
    names = ["id", "day", "n", "odd", "name", "even", "name"]
    rows = [ledger(number) for number in range(500)]
    book = xlsx(("Ledger", [names, *([value for value, _, _ in row] for row in rows)]))
    assert text("a.xlsx", book, "b.csv") == written([names, *([cell for _, cell, _ in row] for row in rows)])
    keys = [*names[:-1], "name_2"]
    expected = [dict(zip(keys, (value for _, _, value in row), strict=True)) for row in rows]
    assert json.loads(converted("a.xlsx", book, "b.json")) == expected
    frame = pandas.read_excel(io.BytesIO(book))
    assert frame["n"].sum() == sum(row["n"] for row in json.loads(converted("a.xlsx", book, "b.json")))


def test_a_formula_is_its_stored_value_and_one_without_is_empty_and_told() -> None:
    row = b"<row><c><v>2</v></c><c><f>A1*2</f><v>4</v></c><c><f>A1*3</f></c><c><v>1</v></c></row>"
    made = convert("a.xlsx", sheet_of(row * 2), "b.json", ConversionOptions(header=1))
    assert made.files["b.json"] == b'[\n  {"2": 2, "4": 4, "column_3": null, "1": 1}\n]\n'
    assert made.note == "2 formulas in the file have no stored value: their cells are empty"


@settings(max_examples=20, deadline=None)
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**53), 2**53), min_size=1))
def test_a_number_of_a_sheet_is_the_same_number_in_json(numbers: list[float]) -> None:
    rows = b"".join(b"<row><c><v>%b</v></c></row>" % repr(n).encode() for n in [0, *numbers])
    assert [row["0"] for row in json.loads(converted("a.xlsx", sheet_of(rows), "b.json", header=1))] == numbers


def test_every_sheet_becomes_a_file_of_its_own() -> None:
    book = xlsx(("Q1 2024", [["a"]]), ("Q1/2024".replace("/", "-"), [["b"]]), ("Q1_2024", [["c"]]), ("…", [["d"]]))
    made = convert("a.xlsx", book, "data/{sheet}.csv", ConversionOptions()).files
    assert made == {
        "data/Q1_2024.csv": b"a\n",
        "data/Q1-2024.csv": b"b\n",
        "data/Q1_2024_2.csv": b"c\n",
        "data/column_4.csv": b"d\n",
    }
    assert next(iter(convert("a.xlsx", book, "{sheet}.json", ConversionOptions()).files)) == "Q1_2024.json"


def test_rows_above_the_header_of_a_sheet_are_no_part_of_its_json() -> None:
    book = xlsx(("S", [[None], ["a", None], [1, 2], [None], [3]]))
    assert json.loads(converted("a.xlsx", book, "b.json")) == [
        {"a": 1, "column_2": 2},
        {"a": None, "column_2": None},
        {"a": 3, "column_2": None},
    ]


# -- from JSON and YAML ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given_json", "part", "expected"),
    [
        ('[{"a": 1.10, "b": null}, {"b": true, "c": "007"}]', "", "a,b,c\n1.10,,\n,true,007\n"),
        ('{"rows": [[1, "x"], [null]]}', "rows", '1,x\n"",\n'.replace('""', "")),
        ('[{"a": [1, {"b": 2.50}]}]', "", 'a\n"[1, {""b"": 2.50}]"\n'),
        ('[{"a": "x\\r\\ny\\rz"}]', "", 'a\n"x\ny\nz"\n'),
        ('[{"a": 12345678901234567890, "b": 1E400}]', "", "a,b\n12345678901234567890,1E400\n"),
        ('[{"a": "\\ud800"}]', "", "a\n?\n"),
        ("[]", "", ""),
    ],
)
def test_a_list_in_json_becomes_csv(given_json: str, part: str, expected: str) -> None:
    assert text("a.json", given_json.encode(), "b.csv", part=part) == expected


def test_yaml_becomes_json_without_guessing_what_a_word_means() -> None:
    given_yaml = """
a: 1.10
b: &rows [1, 1e5, -3]
c: [007, 0x1F, 1:30, +1, .5, 1_000, NO, yes, 2024-01-31, "1", 'true']
d: [true, False, null, ~, ]
1: one
1.50: {<<: {x: 1}, y: *rows}
e: !!binary abc
f: !Ref name
"""
    assert json.loads(converted("a.yaml", given_yaml.encode(), "b.json"), parse_float=str) == {
        "a": "1.10",
        "b": [1, "1e5", -3],
        "c": ["007", "0x1F", "1:30", "+1", ".5", "1_000", "NO", "yes", "2024-01-31", "1", "true"],
        "d": [True, False, None, None],
        "1": "one",
        "1.50": {"x": 1, "y": [1, "1e5", -3]},
        "e": "abc",
        "f": "name",
    }
    assert text("a.yml", b"a: [1, {b: 2}]\n---\nc\n", "b.json").startswith('[\n  {\n    "a": [\n      1,\n      {\n')


words = st.text("abc é☃\n'\"#:-", max_size=8).map(lambda word: f"w{word}")
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(0.5, 1e9) | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=12,
)


@settings(max_examples=50, deadline=None)
@given(values)
def test_what_a_program_writes_as_yaml_is_the_same_in_json(value: Any) -> None:
    data = yaml.safe_dump(value, allow_unicode=True).encode()
    assert json.loads(convert("a.yaml", data, "b.json", ConversionOptions()).files["b.json"]) == value


LAUGHS = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 9))


@pytest.mark.parametrize(
    ("name", "data", "told"),
    [
        ("a.yaml", LAUGHS.encode(), "grows beyond"),
        ("a.yaml", b"a: &a [*a]", "a part of"),
        ("a.yaml", b"[" * 61 + b"]" * 61, "nested deeper"),
        ("a.yaml", b"- " * 100_000, "nested deeper"),
        ("a.yaml", b"x" * 1_000_001, "too long"),
        ("a.yaml", b"a: [", "no valid YAML: line 2"),
        ("a.json", b"[" * 61 + b"]" * 61, "nested deeper"),
        ("a.json", b"1" * 5_000_001, "too long"),
        ("a.json", b'{"a": 1}', "only a list of objects"),
        ("a.json", b"[1, 2]", "only a list of objects"),
        ("a.json", b"[NaN]", "NaN"),
        ("a.csv", b"\0\1\2", "no text"),
        ("a.csv", b"x" * 200_000, "no readable csv"),
        ("a.csv", b"a," * 20_000, "20,001 columns"),
        ("a.csv", (b"," * 999 + b"\n") * 2_001, "too large"),
        ("a.csv", b"k" * 100_000 + b"\n" + b"1\n" * 1_000, "too large"),
    ],
)
def test_a_bomb_or_a_wreck_is_refused_with_a_sentence(name: str, data: bytes, told: str) -> None:
    with pytest.raises(ToolError) as error:
        convert(name, data, "b.csv" if name == "a.json" else "b.json", ConversionOptions())
    assert told in str(error.value)
    assert len(str(error.value)) < 200


# -- from PDF ----------------------------------------------------------------------------------------------------------


def test_the_text_of_a_pdf_is_that_of_its_pages() -> None:
    pages = ["Annual report\nof the café", "", "Total 1,234.50"]
    assert text("a.pdf", pdf(*pages), "b.txt") == "Annual report\nof the café\n\f\n\fTotal 1,234.50\n"


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (pdf("x")[:200], "damaged"),
        (b"%PDF-1.4\n" + b"<<" * 100_000, "damaged"),
        (pdf(""), "no text"),
        (pdf("x" * 1_000_001), "too much text"),
    ],
)
def test_a_pdf_that_holds_no_text_that_can_be_read_is_refused(data: bytes, told: str) -> None:
    with pytest.raises(ToolError, match=told):
        convert("a.pdf", data, "b.txt", ConversionOptions())


def test_a_pdf_that_takes_too_long_is_given_up() -> None:
    started = time.monotonic()
    with pytest.raises(ToolError, match="takes more than"):
        pdf_pages(pdf("\n".join(["x"] * 400_000)), cpu_s=1)
    assert time.monotonic() - started < 30


# -- from images and archives ------------------------------------------------------------------------------------------


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


@pytest.mark.parametrize("source", ["PNG", "JPEG", "GIF", "WEBP", "BMP"])
@pytest.mark.parametrize(("ending", "kind"), [("png", "PNG"), ("jpg", "JPEG"), ("webp", "WEBP")])
def test_an_image_becomes_another_at_the_width_asked_for(source: str, ending: str, kind: str) -> None:
    made = opened(converted(f"a.{source.lower()}", picture(source, (400, 200)), f"b.{ending}", width=100))
    assert (made.format, made.size, made.info.get("exif")) == (kind, (100, 50), None)
    left, right = (made.convert("RGB").getpixel((x, 25)) for x in (20, 80))
    assert isinstance(left, tuple)
    assert isinstance(right, tuple)
    assert (left[0] > 240, left[1] < 15, min(right) > 240) == (True, True, True)
    assert opened(converted("a.png", picture("PNG"), f"b.{ending}")).size == (40, 20)


def test_a_photo_is_turned_as_its_camera_was_and_says_no_more_where_it_was_taken() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    exif[0x010E] = "at home"
    made = converted("a.jpg", picture("JPEG", exif=exif), "b.jpg")
    assert opened(made).size == (20, 40)
    assert b"at home" not in made


def test_what_is_transparent_is_white_in_a_jpeg_and_stays_so_elsewhere() -> None:
    clear = io.BytesIO()
    Image.new("RGBA", (9, 9), (0, 0, 0, 0)).save(clear, "PNG")
    assert opened(converted("a.png", clear.getvalue(), "b.jpg")).getpixel((4, 4)) == (255, 255, 255)
    assert opened(converted("a.png", clear.getvalue(), "b.webp")).getpixel((4, 4)) == (0, 0, 0, 0)


@pytest.mark.parametrize(
    ("data", "width", "told"),
    [
        (picture("PNG", (6_000, 6_000), "1"), 10, "25,000,000 pixels"),
        (picture("PNG")[:60], 0, "damaged"),
        (b"<svg/>", 0, "damaged"),
        (picture("PNG"), 8_001, "too many"),
        (picture("PNG", (1, 9_000)), 7_000, "too many"),
    ],
)
def test_an_image_too_large_or_damaged_is_refused(data: bytes, width: int, told: str) -> None:
    with pytest.raises(ToolError, match=told):
        convert("a.png", data, "b.png", ConversionOptions(width=width))


def test_an_entry_of_an_archive_is_taken_out_as_it_is_or_converted() -> None:
    archive = zipped(a_DOT_csv=b"a;b\r\n1;2\r\n", book_DOT_xlsx=SAMPLES["xlsx"], inner_DOT_zip=zipped(x=b""))
    assert converted("z.zip", archive, "a.csv", part="a.csv") == b"a;b\r\n1;2\r\n"
    assert converted("z.zip", archive, "a.json", part="a.csv") == b'[\n  {"a": 1, "b": 2}\n]\n'
    assert converted("z.zip", archive, "a.csv", part="book.xlsx") == csv_from_xlsx(SAMPLES["xlsx"])


HOSTILE: Mapping[str, Callable[[], tuple[str, bytes, str, str]]] = {
    "one of": lambda: ("z.zip", zipped(a=b""), "", "name one of its entries"),
    "there is no": lambda: ("z.zip", zipped(a=b""), "b", "there is no 'b'"),
    "unpacks": lambda: ("z.zip", zipped(a=bytes(20_000_001)), "a", "unpacks to more"),
    "nested": lambda: ("z.zip", zipped(a_DOT_zip=zipped(b=b"")), "a.zip", "does not become"),
    "packed": lambda: ("z.zip", zipped(zipfile.ZIP_LZMA, a=b""), "a", "another way"),
    "sheets": lambda: ("a.xlsx", xlsx(*((f"S{n}", []) for n in range(MAX_SHEETS + 1))), "", "21 sheets"),
    "damaged": lambda: ("a.xlsx", SAMPLES["xlsx"][:900], "", "damaged"),
    "no sheet": lambda: ("a.xlsx", repacked(SAMPLES["xlsx"], xl__workbook_DOT_xml=b"<x/>"), "", "no sheet"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_an_archive_that_would_do_harm_is_refused(case: str) -> None:
    name, data, part, told = HOSTILE[case]()
    with pytest.raises(ToolError, match=told):
        convert(name, data, "{sheet}.csv", ConversionOptions(part=part))
