"""What a rule says about a site: faults, or that it cannot decide. Text from the site is quoted and short."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

from agent.records import Verdict

Faults = Iterator[str]  # what is wrong, each with what would fix it; none: the rule holds


@dataclass(frozen=True)
class Outcome:
    """What came of one check or test. `guess`: it fails, but perhaps only because of where the page was run."""

    verdict: Verdict
    evidence: str
    guess: bool = False


def settle(faults: Faults, most: int = 5) -> tuple[str, ...]:
    """The first faults of a rule, and whether there are more. Raises Undecided."""
    found = tuple(itertools.islice(faults, most + 1))
    return found if len(found) <= most else (*found[:most], "and more")
