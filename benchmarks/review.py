"""What a review in Chromium costs: wall time, CPU and memory of a warm review, one at a time, 4 and 8 at once.

python -m benchmarks.review        from the root of the repository
"""

import asyncio
import os
import time
from pathlib import Path

from agent.browser.chromium import Browser
from agent.records import Check, Task
from agent.review.acceptance import AcceptanceTest, PageTest, PythonTest, Reading, Requirement
from agent.review.review import Reviewer, Subject
from agent.sandbox.sandbox import Sandbox
from agent.workspace import Workspace
from tests.doubles import Recorded

ROUNDS = 8
TICKS = os.sysconf("SC_CLK_TCK")
PAGE = b"""<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Totals</title></head>
<body><h1>Totals</h1><p id="total"></p><input id="name"><button id="greet">Greet</button><p id="greeting"></p><script>
greet.onclick = () => { greeting.textContent = "Hello " + document.getElementById("name").value; };
fetch("data.csv").then((a) => a.text()).then((t) => {
  total.textContent = t.trim().split("\\n").slice(1).reduce((s, l) => s + Number(l.split(",")[1]), 0);
});</script></body></html>"""
CSV = b"a,b\nx,1\ny,2\n"
PAGE_TESTS, ACTING, PYTHON_TESTS = 16, 8, 4
CHECKS = ("document.title === 'Totals'", "document.querySelector('#total').textContent === '3'")


def task() -> Task:
    return Task(
        id="0" * 32, email="a@b", task="t", round=1, round_received=1, nonce="n", brief="Show a total.",
        checks=tuple(Check(id=str(n), kind="js", text=text, round=1) for n, text in enumerate(CHECKS, 1)),
        attachments=(), skipped=(), evaluation_url="https://evaluator.example/", repo="totals-abc123", previous_id=None,
        received_at=0, deadline_at=600,
    )  # fmt: skip


def reading() -> Reading:
    """Tests as a reader makes them: half of those of the page do something first."""
    looking = PageTest(kind="page", expect="document.querySelector('#total').textContent === '3'")
    steps = [["fill", "#name", "Ada"], ["click", "#greet"]]
    acting = PageTest.model_validate(
        {"kind": "page", "steps": steps, "expect": "document.querySelector('#greeting').textContent === 'Hello Ada'"}
    )
    python = PythonTest(kind="python", code="check(sum(int(r['b']) for r in rows('data.csv')), 3, 'sum')")
    made = [*[acting] * ACTING, *[looking] * (PAGE_TESTS - ACTING), *[python] * PYTHON_TESTS]
    tests = tuple(AcceptanceTest(id=f"need:1.1/{number}", test=test) for number, test in enumerate(made))
    return Reading(requirements=(Requirement(id="need:1.1", round=1, words="w", says="s", tests=tests),))


def contents(pid: int, name: str) -> str:
    """Of a process that may have ended by now."""
    try:
        return Path(f"/proc/{pid}/{name}").read_text()
    except OSError:
        return ""


def fields_of(pid: int) -> list[str]:
    """From the state of the process on."""
    return contents(pid, "stat").rpartition(")")[2].split() or ["0"] * 15


def family() -> set[int]:
    """This process and all below it."""
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal()]
    parents = {pid: int(fields_of(pid)[1]) for pid in pids}
    found = {os.getpid()}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def cpu_s() -> float:
    """Spent so far, with what ended children spent."""
    total = 0
    for pid in family():
        total += sum(map(int, fields_of(pid)[11:15]))
    return total / TICKS


def memory_mb() -> float:
    """Proportional set size: shared pages count once."""
    total = 0
    for pid in family():
        lines = contents(pid, "smaps_rollup").splitlines()
        total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total / 1024


async def main() -> None:
    bare_mb = memory_mb()
    browser = Browser(tabs_at_once=8)
    reviewer = Reviewer(browser, Recorded({}), Sandbox())
    workspace = Workspace().put({"index.html": PAGE, "data.csv": CSV})
    subject = Subject(task(), workspace, {}, reading())
    for _ in range(2):
        found = await reviewer.review(subject)
    print(f"{PAGE_TESTS} page tests ({ACTING} with steps), {PYTHON_TESTS} python tests")
    print(f"{sum(f.verdict == 'pass' for f in found.findings)} of {len(found.findings)} pass")
    print(f"{browser.status}; {bare_mb:.0f} MB without, {memory_mb() - bare_mb:.0f} MB more when idle")
    for at_once in (1, 4, 8):
        walls, began_s, peak_mb = [], cpu_s(), 0.0
        for _ in range(ROUNDS):
            began = time.perf_counter()
            reviews = [asyncio.create_task(reviewer.review(subject)) for _ in range(at_once)]
            await asyncio.sleep(0.2)
            peak_mb = max(peak_mb, memory_mb() - bare_mb)
            await asyncio.gather(*reviews)
            walls.append(time.perf_counter() - began)
        each_s = (cpu_s() - began_s) / ROUNDS / at_once
        median_s = sorted(walls)[len(walls) // 2]
        print(f"{at_once} at once: {median_s:.2f} s wall, {each_s:.2f} CPU s a review, {peak_mb:.0f} MB more")
    await browser.aclose()


if __name__ == "__main__":
    asyncio.run(main())
