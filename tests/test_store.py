"""What the store promises on either database."""

import secrets
import time
from collections.abc import Iterator

import pytest

from agent.intake.request import parse
from agent.records import Attempt, Capabilities, Publication, Task, Usage
from agent.store import Store
from agent.workspace import sha256
from tests.harness import attachment, settings
from tests.harness import task as request

pytestmark = pytest.mark.representative  # both databases

CSV = b"ferry,passengers\nAurora,12\n"
PUBLICATION = Publication(
    repo_url="https://h.example/a.git", commit_sha="0" * 40, pages_url="https://h.example/a/", live=True
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, any_database_url: str | None) -> Iterator[Store]:
    opened = Store(settings(tmp_path_factory.mktemp("data"), database_url=any_database_url).database)
    yield opened
    opened.close()


def received(store: Store, **changes: object) -> tuple[Task, tuple[bytes, ...]]:
    return parse(
        request("https://evaluator.example/", **changes),
        task_id=secrets.token_hex(16),
        received_at=time.time(),
        deadline_s=600,
        earlier=store.earlier_round,
    )


def added(store: Store, **changes: object) -> Task:
    task, attachments = received(store, **changes)
    assert store.add_task(task, attachments) == (task.id, True)
    return task


def test_a_task_is_new_once_and_its_attachments_are_there(store: Store) -> None:
    task, attachments = received(store, attachments=[attachment("ferries.csv", CSV)])
    assert store.add_task(task, attachments) == (task.id, True)
    again = task.model_copy(update={"id": secrets.token_hex(16)})
    assert store.add_task(again, attachments) == (task.id, False)
    assert store.task(task.id) == task
    assert store.get_blobs([task.attachments[0].sha256]) == {sha256(CSV): CSV}
    assert [event.name for event in store.events_after(task.id, 0)] == ["accepted"]


def test_a_task_or_blob_that_is_not_there_is_named(store: Store) -> None:
    for look in store.task, store.view:
        with pytest.raises(KeyError, match="nobody"):
            look("nobody")
    with pytest.raises(KeyError, match="missing"):
        store.get_blobs(["missing"])


def test_a_later_round_follows_the_newest_round_of_the_newest_site(store: Store) -> None:
    names = {"email": "a@example.org", "task": "rounds"}
    older, newer = added(store, **names), added(store, **names)
    second = added(store, **names, round=2)
    assert second.repo == newer.repo != older.repo
    assert store.rounds(second) == [second, newer]
    assert [store.number(task) for task in (newer, second)] == [1, 2]


def test_a_stage_is_an_event_once_and_a_cancelled_task_stays_cancelled(store: Store) -> None:
    task = added(store)
    for _ in range(2):
        store.update(task.id, state="running", stage="build")
    assert store.cancel(task.id)
    assert not store.cancel(task.id)
    store.update(task.id, state="done", stage="done")
    assert store.view(task.id).state == "cancelled"
    stages = [event.data["stage"] for event in store.events_after(task.id, 0) if event.name == "stage"]
    assert stages == ["build", "cancelled"]


def test_only_a_failed_task_runs_again(store: Store) -> None:
    task = added(store)
    assert store.run_again(task.id) is None
    store.update(task.id, state="failed", stage="failed", error="broken")
    assert store.run_again(task.id) == 2
    view = store.view(task.id)
    assert (view.state, view.attempt, view.error) == ("queued", 2, None)
    assert (task.id, 2) in store.unfinished("queued")


def test_what_is_written_again_is_kept_once(store: Store) -> None:
    task = added(store)
    for _ in range(2):
        store.put_blobs([b"a", b"a", b"b"])
        store.put_answer("key", {"text": "hello"})
        store.put_reading(task, {"requirements": []})
        store.put_capabilities(Capabilities(key="model", made_at=1.0))
        store.add_delivery(task.id, f"{task.id}.1", Attempt(at=1.0, status=200, error=None), "delivered")
    store.add_delivery(task.id, f"{task.id}.2", Attempt(at=2.0, status=None, error="late"), "dead")
    assert store.get_blobs([sha256(b"a"), sha256(b"b")]) == {sha256(b"a"): b"a", sha256(b"b"): b"b"}
    assert store.answer("key") == {"text": "hello"}
    assert store.reading(task.id) == {"requirements": []}
    assert [known.key for known in store.capabilities(["other", "model"])] == ["model"]
    view = store.view(task.id)
    assert (view.notification_state, [attempt.status for attempt in view.attempts]) == ("delivered", [200, None])


def test_usage_adds_up_and_a_publication_comes_back_as_it_was(store: Store) -> None:
    task = added(store)
    for _ in range(2):
        store.add_usage(task.id, Usage(model_calls=1, prompt_tokens=10, cost_usd=0.25).of("m").during("build"))
    store.update(task.id, publication=PUBLICATION, notification="{}")
    view = store.view(task.id)
    assert (view.usage.model_calls, view.usage.by_stage["build"].cost_usd) == (2, 0.5)
    assert (view.publication, view.notification) == (PUBLICATION, "{}")
    assert store.totals().usage.model_calls >= 2


def test_a_silent_worker_is_reported_dead_once_and_again_when_it_was_not_taken_over(store: Store) -> None:
    assert store.beat("one", lease_s=30) == []
    assert store.beat("other", lease_s=-1) == ["one"]
    assert store.beat("other", lease_s=30) == []
    store.tell_again("one")
    assert store.beat("other", lease_s=30) == ["one"]
