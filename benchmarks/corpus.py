"""How much the review notices: every good site and every slip of the corpus, with the readings recorded for them.

python -m benchmarks.corpus [TASK …]        from the root of the repository; some minutes a task

A slip counts as noticed when a rule or an evaluator's check fails on it, an acceptance test fails that holds on the
site it was made from, or an attachment was changed that the task does not want changed: all that the reader is asked
about before it costs a turn. A good site counts as doubted for each acceptance test that fails on it.
"""

import asyncio
import sys
from collections import Counter

from agent.browser.chromium import Browser
from agent.records import Review
from agent.review import doubts
from agent.review.review import Reviewer
from agent.sandbox.sandbox import Sandbox
from tests import corpus
from tests.corpus import Case


def failing(review: Review) -> set[str]:
    tests = {result.id for result in review.results if result.verdict == "fail" and not result.guess}
    return tests | {finding.id for finding in review.failures}


async def measure(case: Case, reviewer: Reviewer) -> tuple[Counter[str], Counter[str], int]:
    """Noticed and planted slips by kind, and how many tests doubt a good site."""
    given = case.reading()
    nothing = await reviewer.proves_nothing(given.tests(), case.subject(case.good("good-1"), given))
    gone = {
        t.id: t.model_copy(update={"standing": "dropped", "why": nothing[t.id]})
        for t in given.tests()
        if t.id in nothing
    }
    read = given.with_tests(gone)
    good = {name: failing(await reviewer.review(case.subject(case.good(name), read))) for name in case.goods()}
    noticed, planted = Counter[str](), Counter[str]()
    for slip in case.slips():
        site = case.slipped(slip)
        found = failing(await reviewer.review(case.subject(site, read))) - good[slip.base]
        planted[slip.kind] += 1
        noticed[slip.kind] += bool(found or doubts.changed(site, case.attachments, read))
    return noticed, planted, sum(map(len, good.values()))


async def main(names: list[str]) -> None:
    browser, sandbox = Browser(), Sandbox()
    noticed, planted, doubted = Counter[str](), Counter[str](), 0
    for case in corpus.cases():
        if names and case.name not in names:
            continue
        more, of, doubts_here = await measure(case, corpus.reviewer(browser, sandbox))
        noticed, planted, doubted = noticed + more, planted + of, doubted + doubts_here
        print(f"{case.name:45} {more.total():3} of {of.total():3}; {doubts_here} doubts of good sites", flush=True)
    await browser.aclose()
    for kind, count in (*sorted(planted.items()), ("all", planted.total())):
        found = noticed.total() if kind == "all" else noticed[kind]
        print(f"{kind:10} {found:4} of {count:4}  {found / max(1, count):.0%}")
    print(f"{doubted} doubts of good sites")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
