"""The corpus in tests/data: readings belong to their prompts, slips apply, and no good site is failed.

Six of its tasks lie beside it; the requests of the others are looked for beside the checkout, and left out where they
are not there. What share of the slips is noticed is measured by `python -m benchmarks.corpus`.
"""

import asyncio
from collections.abc import Iterator

import pytest

from agent.browser.chromium import Browser
from agent.records import Review
from tests import corpus
from tests.corpus import Case
from tests.reviewer import Chromium, running_chromium

CASES = [
    pytest.param(name, id=name) for name in sorted(path.parent.name for path in corpus.CORPUS.glob("*/slips.json"))
]


def case(name: str) -> Case:
    found = corpus.case_of(name)
    if found is None:
        pytest.skip("the request of this task is not here")
    return found


@pytest.fixture(scope="module")
def chromium() -> Iterator[Chromium]:
    with running_chromium() as chromium:
        yield chromium


@pytest.mark.parametrize("name", CASES)
def test_a_reading_belongs_to_the_prompt_that_it_was_given_for(name: str) -> None:
    read = case(name).reading()
    assert read.tests()
    assert not read.why_not


@pytest.mark.parametrize("name", CASES)
def test_every_slip_applies_and_names_its_kind(name: str) -> None:
    for slip in case(name).slips():
        assert slip.kind in ("behaviour", "data", "exactness", "files", "earlier")
        assert case(name).slipped(slip) != case(name).good(slip.base), slip.name


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.parametrize("name", CASES)
def test_a_good_site_is_not_failed(chromium: Chromium, name: str) -> None:
    async def reviewed(browser: Browser) -> dict[str, Review]:
        reviewer, read = corpus.reviewer(browser, chromium.sandbox), case(name).reading()
        goods = {good: case(name).good(good) for good in case(name).goods()}
        found = await asyncio.gather(*(reviewer.review(case(name).subject(site, read)) for site in goods.values()))
        return dict(zip(goods, found, strict=True))

    for good, review in chromium.do(reviewed(chromium.browser)).items():
        assert [(finding.id, finding.evidence) for finding in review.failures] == [], good
