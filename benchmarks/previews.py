"""What a first look and a conversion cost: seconds and memory for a 20 MB csv, a 5 MB xlsx and 50,000 rows of one.

python -m benchmarks.previews        from the root of the repository

Each line is measured in a process of its own. What was converted is held against what was put into the file.
"""

import csv
import io
import json
import multiprocessing
import re
import sys
import time
from collections.abc import Callable
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from agent.files.base import ConversionOptions
from agent.files.conversions import convert
from agent.files.previews import preview

HEADER = ["id", "day", "region", "amount", "note"]
FIRST_PROMPT_CHARS = 6_000
ROWS = 50_000


def rows(number: int) -> list[list[Any]]:
    first = date(2024, 1, 1)
    return [
        [n, first + timedelta(days=n % 366), "north" if n % 2 else None, n / 8, f"Zoë {n}" if n % 3 else "n/a"]
        for n in range(number)
    ]


def texts(number: int) -> list[list[str]]:
    """The rows as csv shows them."""
    return [["" if cell is None else str(cell).removesuffix(".0") for cell in row] for row in rows(number)]


def csv_file(number: int) -> bytes:
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerows([HEADER, *texts(number)])
    return file.getvalue().encode()


def xlsx_file(number: int) -> bytes:
    import openpyxl

    book = openpyxl.Workbook()
    for row in [HEADER, *rows(number)]:
        book.active.append(row)
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


def main() -> None:
    show = partial(preview, max_chars=FIRST_PROMPT_CHARS)
    book = xlsx_file(ROWS)
    measure("first look at a csv", csv_file(500_000), partial(show, "a.csv"), first_line)
    measure("first look at a csv of one column", b"1\n" * 10_000_000, partial(show, "a.csv"), first_line)
    measure("first look at an xlsx", xlsx_file(180_000), partial(show, "a.xlsx"), first_line)
    measure(f"{ROWS} rows of xlsx to csv", book, partial(made, "a.xlsx", "b.csv"), partial(verdict, csv_file(ROWS)))
    measure(f"{ROWS} rows of xlsx to json", book, partial(made, "a.xlsx", "b.json"), is_what_was_put_in)
    measure("200000 rows of csv to json", csv_file(200_000), partial(made, "a.csv", "b.json"), size)


def made(name: str, path: str, data: bytes) -> bytes:
    return convert(name, data, path, ConversionOptions()).files[path]


def first_line(shown: str) -> str:
    return shown.split("\n")[0]


def size(data: bytes) -> str:
    return f"{len(data):,} bytes"


def verdict(expected: bytes, data: bytes) -> str:
    return f"{size(data)}, {'as' if data == expected else 'NOT'} what was put in"


def is_what_was_put_in(data: bytes) -> str:
    plain = ([cell.isoformat() if isinstance(cell, date) else cell for cell in row] for row in rows(ROWS))
    same = json.loads(data) == [dict(zip(HEADER, row, strict=True)) for row in plain]
    return f"{size(data)}, {'as' if same else 'NOT'} what was put in"


def measure(title: str, data: bytes, act: Callable[[bytes], Any], told: Callable[[Any], str]) -> None:
    """Prints a line, from a process of its own, whose peak of memory is that of `act`."""
    child = multiprocessing.get_context("spawn").Process(target=measured, args=(title, data, act, told))
    child.start()
    child.join()


def measured(title: str, data: bytes, act: Callable[[bytes], Any], told: Callable[[Any], str]) -> None:
    before_mb, cpu, started = peak_mb(), time.process_time(), time.perf_counter()
    result = act(data)
    seconds, cpu_s, more_mb = time.perf_counter() - started, time.process_time() - cpu, peak_mb() - before_mb
    spent = f"{seconds:5.2f} s ({cpu_s:5.2f} s of CPU) +{more_mb:4.0f} MB"
    sys.stdout.write(f"{title:34} {len(data) / 1e6:4.1f} MB  {spent}  {told(result)[:140]}\n")


def peak_mb() -> float:
    status = Path("/proc/self/status").read_text()  # getrusage would tell the parent's peak
    return int(re.findall(r"VmHWM:\s+(\d+)", status)[0]) / 1024


if __name__ == "__main__":
    main()
