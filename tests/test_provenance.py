"""Data in a site is held against where it came from: what was invented is found, what was asked for is left alone."""

import csv
import io
import json
import time
from collections.abc import Mapping, Sequence
from datetime import date, timedelta

import openpyxl
import pytest

from agent.files.spreadsheets import csv_from_xlsx
from agent.records import Finding, Task
from agent.review.review import review
from agent.workspace import Workspace
from tests.test_review import check, task

HEADER = ["day", "harbour", "boats", "fee"]
DAYS = [[date(2025, 1, 1) + timedelta(n), "Alder" if n % 3 else "n/a", n * 7 + 3, n * 1.25] for n in range(500)]
FILINGS = "https://filings.example/api/shares.json"
SHARES = {
    "name": "Alder Ferries",
    "units": {"shares": [{"fy": 2010 + n // 4, "val": 70_000_000 + n * 123_457} for n in range(60)]},
}


def workbook(rows: Sequence[Sequence[object]]) -> bytes:
    book = openpyxl.Workbook()
    book.create_sheet("Empty", 0)
    for row in (HEADER, *rows):
        book["Sheet"].append(row)
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


def as_csv(rows: Sequence[Sequence[object]], header: Sequence[str] = HEADER) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows([header, *rows])
    return text.getvalue().encode()


BOOK = workbook(DAYS)
EXACT = csv_from_xlsx(BOOK, "Sheet")
CONVERT = "Convert boats.xlsx to boats.csv and commit it. Show it in a table."
SELECT = f"Fetch {FILINGS} and read `.units.shares[]`. Save data.json with the highest and the lowest val of each fy."


def verdict(
    asked: Task | str,
    files: Mapping[str, bytes],
    attachments: Mapping[str, bytes] | None = None,
    downloads: Mapping[str, bytes | None] | None = None,
) -> Finding:
    """What the rule says."""
    asked = task(asked) if isinstance(asked, str) else asked
    attachments = attachments or {}
    found = review(asked, Workspace().put({**attachments, **files}), attachments, downloads=downloads or {})
    return next(finding for finding in found.findings if finding.id == "provenance")


def in_json(**values: object) -> Mapping[str, bytes]:
    return {"data.json": json.dumps(values).encode()}


COPIES: list[tuple[str, bytes, str, str]] = [
    ("exact", EXACT, "pass", ""),
    ("as pandas writes it", as_csv([[f"{d} 00:00:00", h, f"{b}.0", f"{f:.4f}"] for d, h, b, f in DAYS]), "pass", ""),
    ("with a mark and CRLF", b"\xef\xbb\xbf" + as_csv(DAYS), "pass", ""),
    ("six rows", as_csv(DAYS[:6]), "fail", "`boats.csv` has 6 rows, `boats.xlsx` has 500: use convert_attachment"),
    ("a column less", as_csv([row[:3] for row in DAYS], HEADER[:3]), "fail", "`boats`, `boats.xlsx` has"),
    ("an index more", as_csv([[n, *r] for n, r in enumerate(DAYS)], ["", *HEADER]), "fail", "has the columns"),
    ("other numbers", as_csv([[*row[:3], 9.5] for row in DAYS]), "fail", "`fee` sums up to 4750 in"),
    ("other words", EXACT.replace(b"n/a", b""), "fail", "has `` in `harbour`, `boats.xlsx` has `n/a`"),
    ("another order", as_csv(DAYS[::-1]), "fail", "in another order"),
    ("nothing", b"", "fail", "has the columns none"),
]  # fmt: skip


@pytest.mark.parametrize(("made", "expected", "evidence"), [case[1:] for case in COPIES], ids=[c[0] for c in COPIES])
def test_a_copy_in_another_form_holds_what_the_attachment_holds(made: bytes, expected: str, evidence: str) -> None:
    found = verdict(CONVERT, {"boats.csv": made}, {"boats.xlsx": BOOK})
    assert (found.verdict, evidence in found.evidence) == (expected, True), found.evidence


def test_rows_become_json_objects_and_are_held_too() -> None:
    rows = [dict(zip(HEADER, [str(day), *rest], strict=True)) for day, *rest in DAYS]
    asked = "Convert boats.csv to boats.json."
    whole, part = ({"boats.json": json.dumps(r).encode()} for r in (rows, rows[:9]))
    assert verdict(asked, whole, {"boats.csv": EXACT}).verdict == "pass"
    assert "has 9 rows" in verdict(asked, part, {"boats.csv": EXACT}).evidence


LEFT_ALONE: dict[str, tuple[str, str]] = {
    "a part was asked for": ("Filter boats.xlsx to the rows of Alder and save them as boats.csv.", "fail"),
    "sorted": ("Convert boats.xlsx to boats.csv sorted by fee.", "fail"),
    "worked out": ("Compute a forecast from boats.xlsx into boats.csv.", "unknown"),
    "nobody asked": ("Show the boats.", "unknown"),
}


@pytest.mark.parametrize(("brief", "expected"), LEFT_ALONE.values(), ids=LEFT_ALONE)
def test_a_part_is_no_fault_where_a_copy_was_not_asked_for_but_invented_rows_are(brief: str, expected: str) -> None:
    some = as_csv([row for row in DAYS if row[1] == "Alder"])
    assert verdict(brief, {"boats.csv": some}, {"boats.xlsx": BOOK}).verdict == "pass"
    invented = as_csv([["2025-01-01", "Alder", 12345, 1]])
    assert verdict(brief, {"boats.csv": invented}, {"boats.xlsx": BOOK}).verdict == expected


def test_a_check_that_wants_equal_data_is_decided() -> None:
    asked = task("Convert it.", check("boats.csv content equals boats.xlsx (attachment)"))
    for made, expected in ((EXACT, "pass"), (as_csv(DAYS[:6]), "fail")):
        found = review(asked, Workspace().put({"boats.csv": made, "boats.xlsx": BOOK}), {"boats.xlsx": BOOK}).findings[
            0
        ]
        assert (found.verdict, "has 6 rows" in found.evidence) == (expected, expected == "fail")


NUMBERS: dict[str, tuple[str, Mapping[str, bytes], str]] = {
    "taken": (SELECT, in_json(max={"val": 77_283_963, "fy": "2024"}, min={"val": 70_000_000, "fy": "2010"}), "pass"),
    "invented": (SELECT, in_json(max={"val": 148_000_000, "fy": "2021"}), "fail"),
    "invented as text": (SELECT, in_json(max="148000000"), "fail"),
    "short ones stand anywhere": (SELECT, in_json(rank=7, share=0.25, ok=True), "pass"),
    "summed up": (f"Read {FILINGS} and save the total val in data.json.", in_json(total=4_418_518_890), "pass"),
    "counted wrongly": (f"Read {FILINGS} and save the total val in data.json.", in_json(total=4_418_518_891), "fail"),
    "worked out": (f"Fetch {FILINGS} and save the growth in data.json.", in_json(growth=10.4056), "unknown"),
    "summed up in part": (f"Fetch {FILINGS} and save the total after 2020 in data.json.", in_json(t=99_999), "unknown"),
    "of another origin": (f"Fetch {FILINGS}.\n\nAlso write data.json with a riddle.", in_json(answer=1234), "unknown"),
}  # fmt: skip


@pytest.mark.parametrize(("brief", "files", "expected"), NUMBERS.values(), ids=NUMBERS)
def test_a_number_stands_in_its_source_or_follows_from_it(
    brief: str, files: Mapping[str, bytes], expected: str
) -> None:
    found = verdict(brief, files, {"uid.txt": b"1"}, {FILINGS: json.dumps(SHARES).encode()})
    assert found.verdict == expected, found.evidence
    assert expected == "pass" or "stands nowhere in `filings.example`" in found.evidence


def test_numbers_without_any_source_of_data_are_left_alone() -> None:
    assert verdict("Write data.json with a riddle.", in_json(answer=1234), {"uid.txt": b"1"}).verdict == "pass"


FETCHES: dict[str, tuple[Task | str, Mapping[str, bytes | None], str, str]] = {
    "never": (SELECT, {}, "fail", "nothing was fetched from `filings.example`: use fetch, then write `data.json`"),
    "from elsewhere": (SELECT, {"https://other.example/": b"{}"}, "fail", "`filings.example`"),
    "in vain": (SELECT, {FILINGS: None}, "unknown", "`filings.example` gave no answer"),
    "in an earlier round": (task(SELECT, round_=2), {}, "unknown", "nothing was fetched"),
    "by the page": (f"Commit data.json. In the browser the page gets {FILINGS} when it is opened.", {}, "pass", ""),
    "a library": ("Commit data.json. Get Bootstrap from https://cdn.jsdelivr.net/npm/bootstrap@5.3.3.", {}, "pass", ""),
    "for another file": (f"Fetch {FILINGS} and show it.\n\nCommit data.json with a riddle.", {}, "pass", ""),
}


@pytest.mark.parametrize(("asked", "downloads", "expected", "evidence"), FETCHES.values(), ids=FETCHES)
def test_a_file_made_from_an_address_needs_that_address_fetched(
    asked: Task | str, downloads: Mapping[str, bytes | None], expected: str, evidence: str
) -> None:
    found = verdict(asked, in_json(val=148_000_000), downloads=downloads)
    assert (found.verdict, evidence in found.evidence) == (expected, True), found.evidence


HOSTILE: dict[str, Mapping[str, bytes]] = {
    "braces": {"boats.csv": b"{0},{x!r}\n{0.__class__},%s\n"},
    "backticks and line breaks": {"boats.csv": b'"a`\n--- end",b\n`,\x1b[31m\n'},
    "deep": {"boats.json": b"[" * 900 + b"]" * 900},
    "wide": {"boats.csv": b"," * 900_000},
    "many": {"boats.csv": b"1234567\n" * 110_000},
    "no text": {"boats.csv": bytes(range(256)) * 100},
    "huge numbers": {"boats.json": b"[" + b"1e308," * 100 + b"1e999, -0.0]"},
    "long digits": {"boats.json": b'{"a": ' + b"9" * 4_000 + b"}"},
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_data_ends_soon_and_is_quoted(name: str) -> None:
    began = time.process_time()
    found = verdict(CONVERT + " Save boats.json too.", HOSTILE[name], {"boats.xlsx": BOOK, "boats.tsv": b"a\tb\n"})
    assert "broke" not in found.evidence
    assert found.evidence.isprintable()
    assert time.process_time() - began < 6


def test_a_source_too_large_to_be_read_here_is_undecided() -> None:
    large = {"boats.csv": b"day,boats\n" + b"2025-01-01,1234567\n" * 200_000}
    found = verdict("Convert boats.csv to boats.json.", {"boats.json": b'[{"day": "x", "boats": 1}]'}, large)
    assert (found.verdict, "too large" in found.evidence) == ("unknown", True)
