"""kill -9 at fixed points of a task: it ends as if nothing had happened, and nothing is bought or published twice."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import httpx
import pytest
import sqlalchemy as sa

from agent.browser.chromium import find
from agent.settings import Settings
from agent.testing.github import FakeGitHub
from tests.harness import (
    PATIENCE_S,
    SECRET,
    Door,
    Evaluator,
    Gate,
    Json,
    evaluator,
    free_port,
    good_site,
    playing,
    replayed,
    settings,
    task,
)
from tests.loopback_github import TOKEN, github, pages_workflow
from tests.postgres import PostgresServer
from tests.provider import Answer, calls, hang, provider, says
from tests.reviewer import browser_needed

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
TURNS = good_site()[:1], good_site()  # a page without README.md fails the review


class Process:
    """The service as a process of its own, that can be killed and started again on the same folder."""

    def __init__(self, configured: Settings, log: Path) -> None:
        self._configured = configured
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None
        self._door = Door(base_url=f"http://127.0.0.1:{configured.port}", trust_env=False, timeout=PATIENCE_S)

    def start(self) -> Door:
        """Returns when the door is open."""
        process = self._launch()
        until = time.monotonic() + PATIENCE_S
        while True:
            try:
                self._door.get("/healthz")
                return self._door
            except httpx.TransportError:
                assert process.poll() is None, self._log.read_text()
                assert time.monotonic() < until, self._log.read_text()
                time.sleep(0.02)

    def run_to_its_end(self) -> tuple[int, str]:
        """Exit status, and what it said."""
        status = self._launch().wait(PATIENCE_S)
        return status, self._log.read_text()

    def kill(self) -> None:
        if self._process:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()

    def close(self) -> None:
        self._door.close()

    def _launch(self) -> subprocess.Popen[bytes]:
        names = [
            "browser",
            "data_dir",
            "github_api_url",
            "llm_base_url",
            "llm_model",
            "port",
            "publisher",
            "sites_port",
            "sites_url",
            "task_deadline_s",
        ]
        environment = {name.upper(): str(getattr(self._configured, name)) for name in names}
        if self._configured.database_url:
            environment["DATABASE_URL"] = self._configured.database_url.get_secret_value()
        secrets = {"SECRET": SECRET, "LLM_API_KEY": "canary-model-key", "ALLOW_PRIVATE_CALLBACKS": "1"}
        secrets["GITHUB_TOKEN"] = TOKEN
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "main.py"],
                cwd=ROOT,
                env={"PATH": os.environ["PATH"], "HOME": str(self._log.parent), **environment, **secrets},
                stdout=log,
                stderr=log,
            )
        return self._process


@contextmanager
def process(configured: Settings, log: Path) -> Iterator[Process]:
    made = Process(configured, log)
    try:
        yield made
    finally:
        made.kill()
        made.close()


def steps_done(data_dir: Path) -> Counter[str]:
    with closing(sqlite3.connect(f"file:{data_dir / 'agent.sqlite'}?mode=ro", uri=True, timeout=PATIENCE_S)) as db:
        return Counter(name for (name,) in db.execute("SELECT function_name FROM operation_outputs"))


def await_steps(data_dir: Path, **times: int) -> None:
    until = time.monotonic() + PATIENCE_S
    while not steps_done(data_dir) >= Counter(times):
        assert time.monotonic() < until, f"{times} were never stored: {steps_done(data_dir)}"
        time.sleep(0.005)


def await_rows(data_dir: Path, table: str) -> None:
    until = time.monotonic() + PATIENCE_S
    with closing(sqlite3.connect(f"file:{data_dir / 'agent.sqlite'}?mode=ro", uri=True, timeout=PATIENCE_S)) as db:
        while not db.execute(f"SELECT 1 FROM {table}").fetchall():  # noqa: S608
            assert time.monotonic() < until, f"nothing was ever stored in {table}"
            time.sleep(0.005)


@pytest.fixture
def grader() -> Iterator[Evaluator]:
    with evaluator() as running:
        yield running


def on_github(data_dir: Path, fake: FakeGitHub, model: str) -> Settings:
    host = {"publisher": "github", "github_token": TOKEN, "github_api_url": fake.api_url}
    return settings(data_dir, llm_model=model, **host)


def model_calls(record: Json) -> Json:
    """That were answered, by what they were for."""
    spent = record["usage"]["by_stage"].items()
    return {stage: usage["model_calls"] for stage, usage in spent if usage["model_calls"]}


def bought(log: Path) -> int:
    """Answers that a model gave."""
    return log.read_text().count('"event": "model.reply"')


@pytest.mark.representative
def test_a_task_killed_at_four_points_ends_as_if_it_had_run_once(tmp_path: Path, grader: Evaluator) -> None:
    data_dir, log, push = tmp_path / "data", tmp_path / "log", Gate()
    model = playing(tmp_path, *TURNS, silent_from=0)
    with github(tmp_path / "github", push) as fake, process(on_github(data_dir, fake, model), log) as service:
        body = task(grader.url)
        door = service.start()
        task_id = door.send_task(body)["id"]
        door.wait(task_id, lambda record: record["stage"] == "build")
        service.kill()  # 1: a model call in flight
        playing(tmp_path, *TURNS, silent_from=1)
        service.start()
        await_steps(data_dir, review=2)
        service.kill()  # 2: an answer, its tools and its review are stored; the next call is in flight
        playing(tmp_path, *TURNS)
        service.start()
        push.await_arrival()
        assert steps_done(data_dir)["commit"] == 1
        service.kill()  # 3: committed here, not yet known to be on GitHub
        push.open()
        grader.hold = Gate()
        service.start()
        grader.hold.await_arrival()
        service.kill()  # 4: the evaluator has the call back, its answer was never read
        grader.hold.open()
        grader.hold = None
        door = service.start()
        calls_back = grader.wait_for(body["nonce"], times=2)
        record = door.wait(task_id, lambda r: r["notification"]["state"] == "delivered")

    assert bought(log) == 2, "what was stored was not bought again"
    assert (record["stopped_by"], model_calls(record)) == ("passed", {"build": 2})
    assert len(set(map(str, calls_back))) == 1
    (repo,) = fake.repos.values()
    commits = fake.repositories.history(fake.git(repo))
    assert commits == [record["publication"]["commit_sha"]] == [calls_back[0]["commit_sha"]]
    assert (repo.pages, fake.served_commit(repo)) == ("legacy", commits[0])


def test_a_task_killed_after_a_failed_step_remembers_the_failure(tmp_path: Path, grader: Evaluator) -> None:
    data_dir, log = tmp_path / "data", tmp_path / "log"
    grader.hold = Gate()
    with process(settings(data_dir, llm_model=playing(tmp_path, TURNS[0])), log) as service:
        body = task(grader.url)
        task_id = service.start().send_task(body)["id"]
        grader.hold.await_arrival()
        before = steps_done(data_dir)
        service.kill()  # 5: every step is stored, one of them an error
        grader.hold.open()
        grader.hold = None
        door = service.start()
        grader.wait_for(body["nonce"], times=2)
        record = door.wait(task_id, lambda r: r["notification"]["state"] == "delivered")

    assert bought(log) == 1
    assert before["model_call"] == 2
    assert record["stopped_by"] == "model"
    assert "recorded replies" in record["error"]
    said = log.read_text()
    assert task_id in said
    assert not any(secret in said for secret in (SECRET, "canary-model-key", body["email"]))


def test_a_task_killed_while_it_fixes_what_github_objects_to_fixes_it_once(tmp_path: Path, grader: Evaluator) -> None:
    data_dir, log = tmp_path / "data", tmp_path / "log"
    flow = ("write_file", {"path": ".github/workflows/ci.yml", "content": pages_workflow(".", run="python count.py")})
    wrong, right = (("write_file", {"path": "count.py", "content": f"print({n})\n"}) for n in (1, 2))
    turns = (*good_site(), flow, wrong), (right,)
    model, push = playing(tmp_path, *turns, silent_from=1), Gate()
    push.open()
    with github(tmp_path / "github", push) as fake, process(on_github(data_dir, fake, model), log) as service:
        fake.switches.runs, fake.switches.log = ["failure"], "KeyError: 'ferry'"
        body = task(grader.url, brief=f"{task(grader.url)['brief']} Add .github/workflows/ci.yml that runs count.py.")
        task_id = service.start().send_task(body)["id"]
        await_steps(data_dir, objection=1)
        service.kill()  # 6: the objection is stored, the model is asked to fix it
        playing(tmp_path, *turns)
        push.shut()
        service.start()
        push.await_arrival()
        assert steps_done(data_dir)["commit"] == 2
        service.kill()  # 7: the commit that fixes it is stored
        push.open()
        record = service.start().finish(task_id)
        (call,) = grader.wait_for(body["nonce"])
    (repo,) = fake.repos.values()
    commits = fake.repositories.history(fake.git(repo))
    assert (len(commits), commits[0]) == (2, call["commit_sha"])
    assert (record["publication"]["live"], record["error"], bought(log)) == (True, None, 2)


@pytest.fixture
def database_url(postgres_server: PostgresServer) -> str:
    return postgres_server.new_database()


@pytest.mark.postgres
def test_the_tasks_of_a_dead_machine_are_taken_over(tmp_path: Path, grader: Evaluator, database_url: str) -> None:
    model = replayed(tmp_path, "Harbour", silent_from=0)
    machines = [settings(tmp_path / name, llm_model=model, database_url=database_url) for name in ("one", "other")]
    with process(machines[0], tmp_path / "log-1") as one, process(machines[1], tmp_path / "log-2") as other:
        door = one.start()
        body = task(grader.url)
        task_id = door.send_task(body)["id"]
        door.wait(task_id, lambda record: record["stage"] == "build")
        one.kill()
        age_workers(database_url)
        replayed(tmp_path, "Harbour")
        record = other.start().finish(task_id)
        grader.wait_for(body["nonce"])
    assert (record["state"], record["stopped_by"], model_calls(record)) == ("done", "passed", {"build": 1})


def age_workers(database_url: str) -> None:
    """As if the lease of every worker had run out."""
    engine = sa.create_engine(database_url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.begin() as db:
        db.execute(sa.text("UPDATE workers SET seen = 0"))
    engine.dispose()


def test_a_second_process_is_refused_and_the_first_ones_tasks_are_not_touched(
    tmp_path: Path, grader: Evaluator
) -> None:
    asked = Gate()

    def model(_: Json) -> Answer:
        asked.wait()
        return calls(*good_site())

    with provider(model) as llm:
        configured = settings(tmp_path / "data", llm_base_url=llm.url)
        with process(configured, tmp_path / "log") as first:
            door = first.start()
            task_id = door.send_task(task(grader.url))["id"]
            asked.await_arrival()
            elsewhere = {"port": free_port(), "sites_port": free_port()}
            for changes, named in ({}, "PORT"), (elsewhere, "DATA_DIR"):
                with closing(Process(configured.model_copy(update=changes), tmp_path / f"log-{named}")) as second:
                    status, said = second.run_to_its_end()
                assert status == 2
                assert len(said.strip().splitlines()) == 1, said
                assert named in said
            assert door.record(task_id)["stage"] == "build", "the first one was still at work"
            asked.open()
            assert door.finish(task_id)["state"] == "done"
        assert len(llm.requests) == 1


class Author:
    """A model that reads check 3 at once, and makes a good site only for a process that was started again."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()

    def read(self, _: Json) -> Answer:
        self.asked["reading"] += 1
        test = {"kind": "page", "steps": [], "expect": "document.querySelector('#total').textContent === '42'"}
        says_so = {"from": "check 3", "words": "how many ferries left", "says": "The total is 42.", "tests": [test]}
        return says(json.dumps({"requirements": [says_so]}))

    def __call__(self, _: Json) -> Answer:
        self.asked["build"] += 1
        return hang() if self.asked["build"] == 1 else calls(*good_site())


@pytest.mark.browser
def test_a_reading_that_was_bought_is_not_bought_again(tmp_path: Path, grader: Evaluator) -> None:
    with browser_needed():
        find("auto")
    data_dir, log, author = tmp_path / "data", tmp_path / "log", Author()
    with provider(author, reader=author.read) as llm:
        configured = settings(data_dir, llm_base_url=llm.url, browser="auto")
        with process(configured, log) as service:
            body = task(grader.url)
            body["checks"].append("Tells how many ferries left")
            task_id = service.start().send_task(body)["id"]
            await_rows(data_dir, "answers")
            service.kill()  # 8: the reading is stored, the turn beside it is in flight
            record = service.start().finish(task_id)
    assert (record["stopped_by"], model_calls(record)) == ("passed", {"build": 1, "reading": 1})
    assert author.asked == {"build": 2, "reading": 1}
    assert record["checks"][2]["verdict"] == "pass"
