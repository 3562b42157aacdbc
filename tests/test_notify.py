"""What the call back promises: seven fields as received, one attempt at a time, for a day."""

import asyncio
import json

import pytest

from agent import net
from agent.records import Attempt, Publication, Task
from agent.worker import notify
from tests.loopback import HANG, Loopback, answer

PUBLICATION = Publication(
    repo_url="http://localhost/x.git", commit_sha="a" * 40, pages_url="http://localhost/x/", live=False
)
TASK = Task(
    id="0" * 32,
    email="ünï@example.org",
    task="demo",
    round=2,
    round_received="2",
    nonce='n"1',
    brief="",
    checks=(),
    attachments=(),
    skipped=(),
    evaluation_url="http://example.org/notify",
    repo="demo-000000",
    previous_id=None,
    received_at=0.0,
    deadline_at=600.0,
)
BODY = notify.payload(TASK, PUBLICATION)


def deliver_to(status: int | None, *, allow_private: bool = True, path: str = "/?key=hush") -> tuple[Attempt, str]:
    """One attempt at an evaluator with this answer; None never answers."""

    async def attempt() -> tuple[Attempt, str]:
        given = HANG if status is None else answer(status)
        async with (
            Loopback({path: given}) as server,
            net.client(allow_private=allow_private, timeout_s=0.05 if status is None else 5) as http,
        ):
            result = await notify.deliver(http, server.url(path), BODY, clock=lambda: 7.0)
            assert [asked.body for asked in server.asked] == ([BODY.encode()] if allow_private else [])
            return result

    return asyncio.run(attempt())


@pytest.mark.parametrize("received", [2, "2"])
def test_the_payload_has_the_seven_fields_and_the_round_as_received(received: int | str) -> None:
    body = json.loads(notify.payload(TASK.model_copy(update={"round_received": received}), PUBLICATION))
    assert body == {
        "email": "ünï@example.org",
        "task": "demo",
        "round": received,
        "nonce": 'n"1',
        "repo_url": "http://localhost/x.git",
        "commit_sha": "a" * 40,
        "pages_url": "http://localhost/x/",
    }


def test_the_payload_of_one_publication_is_always_the_same_text() -> None:
    again = Publication.model_validate_json(PUBLICATION.model_copy(update={"live": True}).model_dump_json())
    assert notify.payload(Task.model_validate_json(TASK.model_dump_json()), again) == BODY


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_any_2xx_is_delivery(status: int) -> None:
    assert deliver_to(status) == (Attempt(at=7.0, status=status, error=None), "delivered")


@pytest.mark.parametrize(
    ("status", "outcome"), [*((status, "retry") for status in (304, 400, 404, 422, 429, 500, 503)), (410, "dead")]
)
def test_every_other_status_is_tried_again_except_410(status: int, outcome: str) -> None:
    expected = Attempt(at=7.0, status=status, error=f"127.0.0.1 answered {status}")
    assert deliver_to(status) == (expected, outcome)


def test_an_evaluator_that_does_not_answer_is_tried_again_and_its_query_is_not_told() -> None:
    attempt, outcome = deliver_to(None)
    assert outcome == "retry"
    assert attempt == Attempt(at=7.0, status=None, error="no answer from 127.0.0.1: ReadTimeout")


def test_a_private_evaluator_is_blocked_with_the_reason_unless_allowed() -> None:
    attempt, outcome = deliver_to(200, allow_private=False)
    assert outcome == "blocked"
    assert attempt.error == "127.0.0.1 may not be reached: 127.0.0.1 is not a public address"


def test_an_address_that_is_none_is_blocked() -> None:
    async def attempt() -> tuple[Attempt, str]:
        async with net.client() as http:
            return await notify.deliver(http, "http://h:x/", BODY, clock=lambda: 7.0)

    assert asyncio.run(attempt()) == (Attempt(at=7.0, status=None, error="the address is no URL"), "blocked")


def schedule(attempt_s: float) -> list[tuple[float, float]]:
    """(begin of the attempt, wait after it) until nobody tries again, when each attempt takes this long."""
    made: list[tuple[float, float]] = []
    began_s = 0.0
    while (wait_s := notify.wait_s(len(made) + 1, began_s + attempt_s)) is not None:
        made.append((began_s, wait_s))
        began_s += attempt_s + wait_s
    return made


def test_the_waits_double_to_a_minute_for_ten_minutes_then_to_an_hour_for_a_day() -> None:
    made = schedule(0.0)
    fast = [wait for began, wait in made if began < 600]
    assert fast == [1, 2, 4, 8, 16, 32] + [60] * 9
    slow = [wait for began, wait in made if began >= 600]
    assert slow[:5] == [123, 246, 492, 984, 1968]
    assert set(slow[5:]) == {3600}
    assert 86_400 - 3_600 <= made[-1][0] < 86_400


@pytest.mark.parametrize("attempt_s", [0.0, 0.3, 20.0])
def test_the_waits_never_shrink_and_end_after_a_day(attempt_s: float) -> None:
    waits = [wait for _, wait in schedule(attempt_s)]
    assert waits == sorted(waits)
    assert all(1 <= wait <= 3_600 for wait in waits)
    assert notify.wait_s(10**6, 86_400) is None
