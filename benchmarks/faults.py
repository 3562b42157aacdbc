"""What every fault of a model or its provider costs a task: the table of `tests/test_faults.py`, one by one.

python -m benchmarks.faults [SECONDS]     from the root of the repository; a task's deadline, 30 without it
"""

import asyncio
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from agent.llm.gateway import Gateway
from tests.harness import evaluator, serving, settings
from tests.provider import provider
from tests.test_faults import CASES, FALLBACK, MODEL, Faulty, body_of, ending

ROW = "| {:33} | {:9} | {:10} | {:>6} | {:>7} | {:>6} | {:>8} |"


def main(deadline_s: float) -> None:
    asyncio.run(Gateway([]).warm_up())
    print(f"A task's deadline is {deadline_s:g} s; cost at the price of {MODEL}.\n")
    print(ROW.format("fault", "stopped by", "published", "wall s", "answers", "failed", "cost $"))
    print("|---|---|---|---|---|---|---|")
    for fallback in (False, True):
        play([name for name, case in CASES.items() if case.fallback == fallback], deadline_s, fallback=fallback)


def play(names: list[str], deadline_s: float, *, fallback: bool) -> None:
    with ExitStack() as stack:
        server, grader = stack.enter_context(provider(Faulty())), stack.enter_context(evaluator())
        configured = settings(
            Path(stack.enter_context(TemporaryDirectory())),
            llm_model=MODEL,
            llm_fallback_models=FALLBACK if fallback else "",
            llm_base_url=server.url,
            task_deadline_s=deadline_s,
        )
        door = stack.enter_context(serving(configured))
        for name in names:
            began, body = time.monotonic(), body_of(name, grader.url)
            end = ending(door, grader, body, door.send_task(body)["id"])
            wall_s, usage = time.monotonic() - began, end.record["usage"]
            page = "plain page" if "did not finish" in end.page else "its site"
            figures = (f"{wall_s:.1f}", usage["model_calls"], usage["failed_calls"], f"{usage['cost_usd']:.6f}")
            print(ROW.format(name, end.record["stopped_by"], page, *figures), flush=True)


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 30)
