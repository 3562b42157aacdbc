"""Preview, conversion and comparison read a table alike: what was carried over is the same, what differs is named."""

import csv
import io
import json
from collections.abc import Sequence
from typing import Any

import pytest

from agent.errors import CannotTell, ToolError
from agent.files.base import ConversionOptions
from agent.files.compare import differences
from agent.files.conversions import convert
from agent.files.kinds import KINDS, data_endings, endings, kind_of
from agent.files.previews import preview
from agent.files.texts import decoded
from tests.files import repacked, strict_xlsx, xlsx

NOAA = (
    "Lake ice, days with cover, November-April\nUnits: days\nBase: 1951-2000\nMissing: -99\n"
    "Winter,Days\n1951,101\n1952,97\n1953,110\n"
)
BANK = (
    '"Source","Lakes of the north",\n\n"Last change","2024-05-01",\n\n"Lake","Code","Depth","1960","1961",\n'
    '"Mjosa","MJ","Deep","5","6",\n"Femund","FE","","7","",\n'
)
ODD: dict[str, tuple[str, bytes, list[dict[str, Any]]]] = {  # a source, and what is in it
    "Windows-1252": ("a.csv", "forêt;été\npinède;12\n".encode("cp1252"), [{"forêt": "pinède", "été": 12}]),
    "Windows-1252, capitals": ("a.csv", "ÉTAT;n\nœuvre;1\n".encode("cp1252"), [{"ÉTAT": "œuvre", "n": 1}]),
    "UTF-16": ("a.tsv", "köy\tn\nağaç\t3\n".encode("utf-16"), [{"köy": "ağaç", "n": 3}]),
    "UTF-16 without its mark": ("a.csv", b"t\0r\0e\0e\0,\0n\0\n\0o\0a\0k\0,\x003\0\n\0", [{"tree": "oak", "n": 3}]),
    "Cyrillic": (
        "a.csv",
        "озеро,глубина\nБайкал,1642\nЛадожское,230\nОнежское,127\n".encode("cp1251"),
        [
            {"озеро": "Байкал", "глубина": 1642},
            {"озеро": "Ладожское", "глубина": 230},
            {"озеро": "Онежское", "глубина": 127},
        ],
    ),
    "GB18030": (
        "a.csv",
        "湖泊,面积\n青海湖,4583\n鄱阳湖,3914\n洞庭湖,2625\n太湖,2445\n".encode("gb18030"),
        [
            {"湖泊": "青海湖", "面积": 4583},
            {"湖泊": "鄱阳湖", "面积": 3914},
            {"湖泊": "洞庭湖", "面积": 2625},
            {"湖泊": "太湖", "面积": 2445},
        ],
    ),
    "Shift-JIS": (
        "a.csv",
        "みずうみ,深さ\nびわこ,104\nとわだこ,327\n".encode("cp932"),
        [{"みずうみ": "びわこ", "深さ": 104}, {"みずうみ": "とわだこ", "深さ": 327}],
    ),
    "a name twice": (
        "a.csv",
        b"n,lake,n\n1,x,30\n2,y,50\n",
        [{"n": 1, "lake": "x", "n_2": 30}, {"n": 2, "lake": "y", "n_2": 50}],
    ),
    "a name thrice": ("a.csv", b"n,n,n\n1,2,3\n", [{"n": 1, "n_2": 2, "n_3": 3}]),
    "no last name": ("a.csv", b"lake,n,\nx,1,deep\n", [{"lake": "x", "n": 1, "column_3": "deep"}]),
    "no first name": (
        "a.csv",
        b",lake,n\n0,x,7\n1,y,8\n",
        [{"column_1": 0, "lake": "x", "n": 7}, {"column_1": 1, "lake": "y", "n": 8}],
    ),
    "an empty column at the end": (
        "a.csv",
        b"lake;n;\nx;1;\ny;2;\n",
        [{"lake": "x", "n": 1, "column_3": None}, {"lake": "y", "n": 2, "column_3": None}],
    ),
    "ragged rows": (
        "a.csv",
        b"lake,n,m\nx,1\ny,2,3\nz,4,5\n",
        [{"lake": "x", "n": 1, "m": None}, {"lake": "y", "n": 2, "m": 3}, {"lake": "z", "n": 4, "m": 5}],
    ),
    "sep": (
        "a.csv",
        b"sep=;\nlake;depth\nx;1,5\ny;2,25\n",
        [{"lake": "x", "depth": "1,5"}, {"lake": "y", "depth": "2,25"}],
    ),
    "sep that nobody would guess": ("a.csv", b"sep=^\r\nlake^n\r\nx^1\r\n", [{"lake": "x", "n": 1}]),
    "sep in quotes": ("a.csv", b'"sep=,"\nlake,n\nx,1\n', [{"lake": "x", "n": 1}]),
    "comments": ("a.csv", b"# lakes of the north\n# n, in km\nlake,n\nx,1\n", [{"lake": "x", "n": 1}]),
    "one comment": ("a.csv", b"# lakes\nlake,n\nx,1\ny,2\n", [{"lake": "x", "n": 1}, {"lake": "y", "n": 2}]),
    "a name that begins with a sharp": (
        "a.csv",
        b"#lake,n\nx,1\ny,2\n",
        [{"#lake": "x", "n": 1}, {"#lake": "y", "n": 2}],
    ),
    "bars in a name": (
        "a.csv",
        b"lake,length | width | depth\nx,1\ny,2\n",
        [{"lake": "x", "length | width | depth": 1}, {"lake": "y", "length | width | depth": 2}],
    ),
    "semicolons in a name": (
        "a.csv",
        b"n|lake; sea; pond\n1|x\n2|y\n",
        [{"n": 1, "lake; sea; pond": "x"}, {"n": 2, "lake; sea; pond": "y"}],
    ),
    "commas in cells": (
        "a.csv",
        b"lake;notes\nx;deep, cold, blue\ny;wide\n",
        [{"lake": "x", "notes": "deep, cold, blue"}, {"lake": "y", "notes": "wide"}],
    ),
    "notes above": (
        "a.csv",
        NOAA.encode(),
        [{"Winter": 1951, "Days": 101}, {"Winter": 1952, "Days": 97}, {"Winter": 1953, "Days": 110}],
    ),
    "notes and blank lines above": (
        "a.csv",
        BANK.encode(),
        [
            {"Lake": "Mjosa", "Code": "MJ", "Depth": "Deep", "1960": 5, "1961": 6, "column_6": None},
            {"Lake": "Femund", "Code": "FE", "Depth": None, "1960": 7, "1961": None, "column_6": None},
        ],
    ),
    "a title": ("a.csv", b"All the lakes\n\nlake,n,m\nx,1,2\n", [{"lake": "x", "n": 1, "m": 2}]),
    "a title in a sheet": (
        "a.xlsx",
        xlsx(("S", [["All the lakes"], [], ["lake", "n"], ["x", 1], ["y", 2]])),
        [{"lake": "x", "n": 1}, {"lake": "y", "n": 2}],
    ),
    "titles over words": (
        "a.xlsx",
        xlsx(("S", [["All the lakes"], ["As of May"], ["lake", "sort", "by"], ["x", "deep", "me"]])),
        [{"lake": "x", "sort": "deep", "by": "me"}],
    ),
    "years over columns": ("a.csv", b"lake,1990,1991\nx,5,6\n", [{"lake": "x", "1990": 5, "1991": 6}]),
    "lines of JSON": (
        "a.jsonl",
        b'{"lake": "x", "n": 1.50}\n\n{"lake": "y", "n": null}\n',
        [{"lake": "x", "n": 1.5}, {"lake": "y", "n": None}],
    ),
    "Strict Open XML": ("a.xlsx", strict_xlsx(("S", [["lake", "n"], ["x", 1.5]])), [{"lake": "x", "n": 1.5}]),
}


def made(name: str, data: bytes, path: str, **options: Any) -> bytes:
    return convert(name, data, path, ConversionOptions(**options)).files[path]


@pytest.mark.parametrize("odd", ODD)
def test_an_odd_table_is_converted_and_compared_alike(odd: str) -> None:
    name, data, rows = ODD[odd]
    as_json = made(name, data, "b.json")
    assert json.loads(as_json) == rows
    assert differences("b.json", as_json, name, data) == []
    assert differences("b.csv", made(name, data, "b.csv"), name, data) == []
    assert differences("b.csv", made("b.json", as_json, "b.csv"), name, data) == []


@pytest.mark.parametrize("odd", ODD)
def test_a_cell_that_was_changed_on_the_way_is_found(odd: str) -> None:
    name, data, rows = ODD[odd]
    key = next(iter(rows[-1]))
    wrong = json.dumps([*rows[:-1], {**rows[-1], key: "other"}]).encode()
    told = differences("b.json", wrong, name, data)
    assert [f"row {len(rows)} of `b.json` has `other` in " in text for text in told] == [True]


# -- which row names the columns ---------------------------------------------------------------------------------------

DOUBTFUL = {
    "a block of its own above": ("a.csv", b"By,Me\nDate,2024-05-01\n\nlake,n\nx,1\ny,2\n"),
    "groups of columns": ("a.csv", b",2023,,2024,\nlake,Q1,Q2,Q1,Q2\nx,1,2,3,4\ny,1,2,3,4\n"),
    "no names at all": ("a.csv", b"x,1\ny,2\nz,3\n"),
    "names in a comment": ("a.csv", b"# lakes\n# lake,n\nx,1\ny,2\n"),
    "labels and values": (
        "a.xlsx",
        xlsx(("S", [["Lake", "Mjosa"], ["Depth", 453], ["Since", "2001-01-01"], ["By", "Me"]])),
    ),
}


@pytest.mark.parametrize("name", DOUBTFUL)
def test_where_it_is_not_certain_nothing_is_made_until_the_row_is_named(name: str) -> None:
    file, data = DOUBTFUL[name]
    with pytest.raises(ToolError, match="not certain which row names the columns"):
        made(file, data, "b.json")
    assert json.loads(made(file, data, "b.json", header=1))
    assert "column_1" in json.loads(made(file, data, "b.json", header=0))[0]


def test_a_named_row_is_taken_and_what_stands_above_it_left_out() -> None:
    data = DOUBTFUL["a block of its own above"][1]
    assert json.loads(made("a.csv", data, "b.json", header=4)) == [{"lake": "x", "n": 1}, {"lake": "y", "n": 2}]
    assert made("a.csv", data, "b.csv", header=4) == b"lake,n\nx,1\ny,2\n"
    with pytest.raises(ToolError, match="nothing in line 3"):
        made("a.csv", data, "b.json", header=3)


def test_a_comparison_in_doubt_accepts_each_reading_and_fails_none() -> None:
    name, data = DOUBTFUL["a block of its own above"]
    assert differences("b.json", b'[{"lake": "x", "n": 1}, {"lake": "y", "n": 2}]', name, data) == []
    with pytest.raises(CannotTell):
        differences("b.json", b'[{"lake": "x", "n": 1}, {"lake": "y", "n": 3}]', name, data)


# -- encodings ---------------------------------------------------------------------------------------------------------

LETTERS = {
    "gb18030": ["湖,深\n镜,5\n", "姓名;城市\n张伟;广州\n李娜;成都\n"],
    "cp932": ["湖,深さ\n鏡,5\n", "氏名;県\n鈴木一郎;愛知\n高橋明;岩手\n"],
    "euc_jp": ["湖,深さ\n鏡,5\n", "氏名;県\n鈴木一郎;愛知\n"],
    "cp949": ["호수,깊이\n거울,5\n", "이름;도시\n박지민;대구\n최유리;광주\n"],
    "big5": ["湖,深\n鏡,5\n", "姓名;城市\n張偉;台南\n李娜;高雄\n"],
    "cp1251": ["озеро,км\nЗеркальное,5\n", "имя;город\nОльга;Пермь\n"],
    "koi8_r": ["озеро,км\nЗеркальное,5\n", "имя;город\nОльга;Пермь\n"],
    "cp1253": ["λίμνη,βάθος\nΠρέσπα,54\n"],
    "cp1255": ["אגם,עומק\nכנרת,43\n"],
}


@pytest.mark.parametrize(("codec", "text"), [(codec, text) for codec, texts in LETTERS.items() for text in texts])
def test_letters_are_read_as_they_are_or_refused_and_never_garbled(codec: str, text: str) -> None:
    found = decoded(text.encode(codec))
    assert found
    assert found.text == text or found.is_garbled
    if found.is_garbled:
        assert "letters may be garbled" in preview("a.csv", text.encode(codec), max_chars=2_000).split("\n")[0]
        with pytest.raises(ToolError, match="its encoding cannot be told"):
            made("a.csv", text.encode(codec), "b.json")
        with pytest.raises(CannotTell):
            differences("b.json", b'[{"a": 1}]', "a.csv", text.encode(codec))


def test_a_text_that_was_cut_amid_a_letter_is_not_taken_for_another_encoding() -> None:
    cut = "lake,note\nMjøsa,dyp og blå".encode()[:-1]
    assert "UTF-8 with 1 broken characters" in preview("a.csv", cut, max_chars=500)
    with pytest.raises(ToolError, match="its encoding"):
        made("a.csv", cut, "b.json")


def test_a_guess_among_latin_letters_is_told() -> None:
    converted = convert("a.csv", "año;n\nseñal;1\n".encode("cp1252"), "b.json", ConversionOptions())
    assert json.loads(converted.files["b.json"]) == [{"año": "señal", "n": 1}]
    assert converted.note == "read as Windows-1252, a guess: Windows-1250 would read 'ańo' for 'año'"


# -- comparison --------------------------------------------------------------------------------------------------------

HEADER = ["lake", "depth", "since"]
LAKES: list[list[Any]] = [
    ["Mjosa", 453, "2001-01-01"],
    ["Femund", 150.5, ""],
    ["Tyri", 295, "2003-07-01"],
    ["Mjosa", 1, "x"],
]


def as_csv(rows: Sequence[Sequence[Any]], header: Sequence[str] = HEADER) -> bytes:
    file = io.StringIO()
    csv.writer(file).writerows([header, *rows])
    return file.getvalue().encode()


def as_json(rows: Sequence[Sequence[Any]], header: Sequence[str] = HEADER) -> bytes:
    return json.dumps([dict(zip(header, row, strict=True)) for row in rows]).encode()


BOOK = xlsx(("Lakes", [HEADER, *LAKES]), ("Rivers", [["river", "km"], ["Glomma", 621]]))
SAME = {
    "csv": ("b.csv", as_csv(LAKES)),
    "json": ("b.json", as_json(LAKES)),
    "json under a key": ("b.json", json.dumps({"lakes": json.loads(as_json(LAKES)), "by": "me"}).encode()),
    "columns": ("b.json", json.dumps({name: [row[n] for row in LAKES] for n, name in enumerate(HEADER)}).encode()),
    "lists": ("b.json", json.dumps([HEADER, *LAKES]).encode()),
    "GeoJSON": (
        "b.geojson",
        json.dumps(
            {
                "type": "FeatureCollection",
                "features": [
                    {"type": "Feature", "geometry": None, "properties": dict(zip(HEADER, row, strict=True))}
                    for row in LAKES
                ],
            }
        ).encode(),
    ),
    "other spellings": (
        "b.csv",
        as_csv(
            [
                ["Mjosa", "453.0", "2001-01-01 00:00:00"],
                ["Femund", "150.50", "NaN"],
                ["Tyri", "295", "2003-07-01T00:00"],
                ["Mjosa", 1, "x"],
            ]
        ),
    ),
    "columns in another order": ("b.csv", as_csv([row[::-1] for row in LAKES], HEADER[::-1])),
    "a spreadsheet": ("b.xlsx", xlsx(("Other", [HEADER, *LAKES]))),
}


@pytest.mark.parametrize("form", SAME)
@pytest.mark.parametrize(("source", "data"), [("a.csv", as_csv(LAKES)), ("a.xlsx", BOOK), ("a.json", as_json(LAKES))])
def test_the_same_data_in_any_form_has_no_differences(form: str, source: str, data: bytes) -> None:
    name, target = SAME[form]
    assert differences(name, target, source, data) == []
    assert differences(name, target, source, data, rows="some", columns="some") == []


@pytest.mark.parametrize(
    ("target", "told"),
    [
        (
            as_csv([*LAKES[:2], ["Tyri", 259, "2003-07-01"], LAKES[3]]),
            "row 3 of `b.csv` has `259` in `depth`, `a.csv` has `295`",
        ),
        (as_csv(LAKES[:3]), "`b.csv` has 3 rows, `a.csv` has 4"),
        (as_csv([*LAKES, ["Own", 2, ""]]), "`b.csv` has 5 rows, `a.csv` has 4"),
        (as_csv(LAKES[::-1]), "`b.csv` has the rows of `a.csv` in another order"),
        (as_csv([row[:2] for row in LAKES], HEADER[:2]), "`b.csv` lacks `since` of the columns of `a.csv`"),
        (
            as_csv([[*row, 1] for row in LAKES], [*HEADER, "rank"]),
            "`b.csv` has `rank` as columns, `a.csv` has `lake`, ",
        ),
        (b"", "`b.csv` lacks `lake`, `depth`, `since` of the columns of `a.csv`"),
    ],
)
def test_what_a_copy_has_otherwise_is_told(target: bytes, told: str) -> None:
    assert differences("b.csv", target, "a.csv", as_csv(LAKES))[0].startswith(told)


@pytest.mark.parametrize(
    ("target", "told"),
    [
        (as_csv([LAKES[2], LAKES[0]]), []),
        (as_csv([[row[1], row[0]] for row in LAKES[1:3]], ["depth", "lake"]), []),
        (
            as_csv([LAKES[0], LAKES[0]]),
            ["row 2 of `b.csv`, `Mjosa, 453, 2001-01-01`, stands there more often than in `a.csv`"],
        ),
        (as_csv([["Mjosa", 451, "2001-01-01"]]), ["row 1 of `b.csv` has `451` in `depth`, `a.csv` has `453`"]),
        (as_csv([["Own", 2, "y"]]), ["row 1 of `b.csv`, `Own, 2, y`, stands nowhere in `a.csv`"]),
        (
            as_csv([[1]], ["rank"]),
            [
                "`b.csv` has `rank` as columns, `a.csv` has `lake`, `depth`, `since`",
                "`b.csv` lacks `lake`, `depth`, `since` of the columns of `a.csv`",
            ],
        ),
    ],
)
def test_a_selection_may_leave_out_and_sort_and_nothing_else(target: bytes, told: list[str]) -> None:
    assert differences("b.csv", target, "a.csv", as_csv(LAKES), rows="some", columns="some") == told


def test_every_sheet_is_held_against_its_namesake() -> None:
    good = {"lakes": json.loads(as_json(LAKES)), "rivers": [{"river": "Glomma", "km": 621}]}
    assert differences("b.json", json.dumps(good).encode(), "a.xlsx", BOOK) == []
    wrong = {**good, "rivers": [{"river": "Glomma", "km": 612}]}
    told = differences("b.json", json.dumps(wrong).encode(), "a.xlsx", BOOK)
    assert told == ["row 1 of `b.json` (`rivers`) has `612` in `km`, `a.xlsx` (`Rivers`) has `621`"]


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.md", b"# x\n"),
        ("a.json", b'{"a": 1}'),
        ("a.json", b"{"),
        ("a.xlsx", BOOK[:900]),
        ("a.csv", b"lake,n\n" + b"x,1\n" * 130_000),
        ("a.csv", b""),
    ],
)
def test_what_is_no_table_or_too_large_cannot_be_told(name: str, data: bytes) -> None:
    with pytest.raises(CannotTell):
        differences("b.csv", as_csv(LAKES), name, data)


# -- the registry ------------------------------------------------------------------------------------------------------


def test_each_ending_belongs_to_one_kind_and_each_kind_has_its_name() -> None:
    known = [ending for kind in KINDS for ending in kind.endings]
    assert len(set(known)) == len(known)
    assert len({kind.name for kind in KINDS}) == len(KINDS)
    assert endings("csv", "xlsx") == (".csv", ".tsv", ".tab", ".xlsx", ".xlsm")
    assert set(endings("json", "yaml", "csv", "xlsx", "jsonl")) == set(data_endings())


def test_the_bytes_of_a_file_count_more_than_its_name() -> None:
    assert [kind_of(name, BOOK).name for name in ("a.xlsx", "a.zip", "a.csv", "a")] == ["xlsx"] * 4
    assert kind_of("a.json", b"\0\1").name == "other"
    assert kind_of("answer", b' {"a": 1}').name == "json"


def test_the_sheet_whose_formulas_are_told_is_the_one_shown() -> None:
    """The parts of an archive need not be named in the order of its sheets."""
    book = repacked(
        xlsx(("One", [["a", "b"], [1, 2]]), ("Two", [["a", "b"], [1, "=A2*2"]])),
        xl___rels__workbook_DOT_xml_DOT_rels=_relations(("rId1", "sheet2"), ("rId2", "sheet1")),
    )
    shown = preview("b.xlsx", book, max_chars=2_000)
    assert shown.index("formulas, read by their stored values: 1, such as B2 =A2*2") < shown.index('sheet "Two"')


def _relations(*sheets: tuple[str, str]) -> bytes:
    kind = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/worksheet"
    parts = "".join(
        f'<Relationship Id="{id}" Type="{kind}" Target="/xl/worksheets/{part}.xml"/>' for id, part in sheets
    )
    return f'<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">{parts}</Relationships>'.encode()
