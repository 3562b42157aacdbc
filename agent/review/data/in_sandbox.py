"""Runs inside the sandbox, never here: all Python tests of a review, one after the other, beside the site's files.

Reads `[[id, code], …]` from stdin and prints a JSON line a test: `[id, verdict, evidence]`.
"""

import csv
import io
import json
import os
import re
import signal
import sys
from pathlib import Path
from typing import Any

TEST_S = 5  # of one test
LATE = f"the test takes longer than {TEST_S} s"
MAX_CHARS = 600
# Digits, with marks between them; a space only before three digits.
NUMBER = re.compile(r"-?\d+(?:(?:[.,]|['\u00a0\u202f ](?=\d{3}(?!\d)))\d+)*")
OWN_FAULTS = (SyntaxError, NameError, ImportError, RecursionError, MemoryError)


class Late(BaseException):
    """A test that takes too long; it may well catch every Exception."""


def text(path: str) -> str:
    """A file as text, whatever its line ends and its byte order mark."""
    data = Path(path).read_bytes()
    for codec in ("utf-8-sig", "cp1252"):
        try:
            return data.decode(codec).replace("\r\n", "\n")
        except UnicodeDecodeError:
            continue
    return data.decode("latin-1")


def rows(path: str, sheet: str = "") -> Any:
    """csv, tsv, json or xlsx as a list of dicts; of JSON what stands in it, if it is no table."""
    if path.endswith(".json"):
        return json.loads(text(path))
    if path.endswith((".xlsx", ".xlsm")):
        import openpyxl

        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
        table = [list(row) for row in (book[sheet] if sheet else book.worksheets[0]).iter_rows(values_only=True)]
        header, *rest = table or [[]]
        return [dict(zip([str(name) for name in header], row, strict=False)) for row in rest]
    whole = text(path)
    first = whole.split("\n", 1)[0]
    delimiter = max("\t;,|", key=first.count)
    return list(csv.DictReader(io.StringIO(whole), delimiter=delimiter))


def number(value: object) -> float:
    """The number in a text, whichever way its thousands and decimals are written: `1.234,50 €` is 1234.5."""
    if isinstance(value, (int, float)):
        return float(value)
    found = NUMBER.search(str(value).replace("\u2212", "-"))
    if not found:
        raise AssertionError(f"no number in {str(value)[:80]!r}")
    digits = re.sub(r"['\u00a0\u202f ]", "", found[0])
    marks = re.findall(r"[.,]", digits)
    thousands = len(marks) > len(set(marks)) or (marks == [","] and re.search(r"(?<!^0),\d{3}$", digits))
    if thousands and len(set(marks)) == 1:
        return float(re.sub(r"[.,]", "", digits))
    whole, _, decimals = digits.replace(",", ".").rpartition(".")
    return float(f"{whole.replace('.', '')}.{decimals}" if marks else digits)


def page(path: str = "index.html") -> Any:
    """The page as a selectolax tree: `page().css_first("#total").text()`."""
    from selectolax.lexbor import LexborHTMLParser

    return LexborHTMLParser(text(path))


def check(found: object, expected: object, what: str = "") -> None:
    """Fails with both values unless they are equal; numbers within a millionth."""
    same = found == expected
    if not same and isinstance(found, (int, float)) and isinstance(expected, (int, float)):
        same = abs(found - expected) <= 1e-6 * max(1.0, abs(expected))
    if not same:
        raise AssertionError(f"{what + ': ' if what else ''}expected {expected!r:.200}, found {found!r:.200}")


def outcome(code: str) -> tuple[str, str]:
    """The verdict of one test and what it says."""
    names = {"text": text, "rows": rows, "number": number, "page": page, "check": check, "__name__": "test"}
    signal.setitimer(signal.ITIMER_REAL, TEST_S, 0.1)  # again and again, should the first one be caught
    try:
        exec(compile(code, "test", "exec"), names)  # noqa: S102 - that is what the sandbox is for
    except AssertionError as error:
        return "fail", str(error) or "an assertion does not hold"
    except FileNotFoundError as error:
        return "fail", f"there is no {error.filename}"
    except OWN_FAULTS as error:
        return "unknown", f"the test itself does not run: {type(error).__name__}: {error}"
    except Late:
        return "unknown", LATE
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a test may fail in any way
        return "fail", f"{type(error).__name__}: {error}"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return "pass", "it holds"


def _late(*_: object) -> None:
    raise Late


if __name__ == "__main__":
    sys.path.append("")  # last: a file of the site called json.py is not Python's own
    signal.signal(signal.SIGALRM, _late)
    verdicts = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what a test prints is nobody's verdict
    for test_id, source in json.loads(sys.stdin.read()):
        try:
            verdict, evidence = outcome(source)
        except Late:  # once more, while the first one was being told
            verdict, evidence = "unknown", LATE
        print(json.dumps([test_id, verdict, evidence[:MAX_CHARS]]), file=verdicts, flush=True)
