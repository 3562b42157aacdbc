"""What an evaluator may rely on, from the POST to the call back, with a model that plays a script over HTTP."""

import base64
import json
import os
import re
import secrets
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.harness import (
    PAGE,
    SECRET,
    Door,
    Evaluator,
    Gate,
    Json,
    attachment,
    evaluator,
    good_site,
    replayed,
    serving,
    settings,
    task,
    traces,
)
from tests.loopback_github import TOKEN as GITHUB_TOKEN
from tests.loopback_github import github
from tests.postgres import dump
from tests.provider import Answer, Provider, calls, fault, provider, says

CSV = b"ferry,passengers\r\nAurora,12\r\nBoreas,30\r\n"


ROOT = Path(__file__).parent.parent
SCRIPT = """import csv, json, sys
rows = list(csv.DictReader(open("ferries.csv", newline="")))
json.dump({"total": sum(int(row["passengers"]) for row in rows)}, open("total.json", "w"))
open("junk.txt", "w").write("junk")
print("rows:", len(rows), *sys.argv[1:])
"""
COMPUTE = {"path": "tools/total.py", "args": ["now"], "files": ["*.json"]}
TOKEN = "admin-token-that-a-model-came-by"
SPY = ("run_python", {"code": "import os; print(sorted(os.environ), os.getcwd(), os.listdir('/'))"})
# In front of the answer to a task that is cancelled, and to a round that others wait for.
HELD, SLOW = Gate(), Gate()
GATES = {"HOLD": HELD, "SLOW": SLOW}
RANDOM = "(another text each time)"
WRITES = {
    "SLOW": {"ferries.txt": RANDOM},
    "VANDAL": {"ferries.csv": "ferry\n"},
    "EDITOR": {"ferries.csv": "ferry\n"},
    "FOLDER": {"docs/a.html": "<p>a"},
    "LEAK": {"notes.txt": f"key: {TOKEN}", "blob.txt": base64.b64encode(TOKEN.encode()).decode()},
    "ESCAPE": dict.fromkeys(
        ("../outside.txt", "/etc/outside.txt", ".git/config", "CNAME", ".github/workflows/x.yml", "a\\b"), "x"
    ),
}
USELESS = {
    "NONSENSE": says("I would rather talk about the weather."),
    "REFUSED": fault(401, "Incorrect API key provided", code="invalid_api_key"),
}


def settled(question: str) -> Answer:
    """What the reader says of attachments that were changed: a VANDAL's are put back, of others it knows nothing."""
    answers = [{"test": "change:ferries.csv", "wrong": "site"}] if "VANDAL" in question else []
    return says(json.dumps({"answers": answers}))


def model(body: Json) -> Answer:
    """Answers by what the first user message asks for, so that one provider serves every test."""
    return written(body) if "tools" in body else settled(str(body["messages"][0]["content"]))


def written(body: Json) -> Answer:
    first = str(body["messages"][1]["content"])
    for word, gate in GATES.items():
        if word in first:
            gate.wait()
    if useless := next((answer for word, answer in USELESS.items() if word in first), None):
        return useless
    for word, files in WRITES.items():
        if word in first:
            writes = [
                ("write_file", {"path": p, "content": c.replace(RANDOM, secrets.token_hex())}) for p, c in files.items()
            ]
            return calls(*good_site(), *writes)
    if "COMPUTE" in first and len(body["messages"]) == 2:
        return calls(("write_file", {"path": "tools/total.py", "content": SCRIPT}), ("run_python", COMPUTE), SPY)
    if "Round 2" in first:
        return calls(("edit_file", {"path": "index.html", "edits": [{"old": ">42<", "new": ">43<"}]}))
    return calls(*good_site())


@pytest.fixture(scope="module")
def llm() -> Iterator[Provider]:
    with provider(model) as server:
        yield server


@pytest.fixture(scope="module")
def grader() -> Iterator[Evaluator]:
    with evaluator() as running:
        yield running


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory, any_database_url: str | None) -> Path:
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def door(data_dir: Path, llm: Provider, any_database_url: str | None) -> Iterator[Door]:
    configured = settings(data_dir, llm_base_url=llm.url, admin_token=TOKEN, database_url=any_database_url)
    with serving(configured) as running:
        yield running


def asked(llm: Provider, name: str) -> list[Json]:
    """The requests the model got for the task of this name."""
    building = (r.body for r in llm.requests if "tools" in r.body)
    return [body for body in building if f'"{name}"' in str(body["messages"][1]["content"])]


@pytest.fixture
def kept(data_dir: Path, any_database_url: str | None) -> Callable[..., list[str]]:
    """Where the service keeps one of these texts, whichever database it has."""

    def search(*texts: str) -> list[str]:
        if any_database_url:
            dump(any_database_url, data_dir / "database.dump")
        return traces(data_dir, *texts)

    return search


def model_calls(record: Json) -> Json:
    return {stage: usage["model_calls"] for stage, usage in record["usage"]["by_stage"].items()}


def git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], check=True, capture_output=True, text=True).stdout


@pytest.mark.representative
def test_a_brief_becomes_a_live_site_and_one_call_back(
    door: Door, llm: Provider, grader: Evaluator, tmp_path: Path
) -> None:
    body = task(grader.url, attachments=[attachment("ferries.csv", CSV)])
    accepted = door.send_task(body)
    assert accepted["status"] == "accepted"
    assert accepted["status_url"] == f"/tasks/{accepted['id']}"
    record = door.finish(accepted["id"])
    assert (record["state"], record["stopped_by"], record["error"]) == ("done", "passed", None)
    assert record["publication"]["live"] is True
    assert model_calls(record) == {"build": 1, "reading": 1}
    assert len(asked(llm, body["task"])) == 1
    found = [check["verdict"] for check in record["checks"]]
    assert (found[:2], set(found[2:])) == (["unknown", "unknown"], {"pass"}), "no page was opened, all files are right"

    (call,) = grader.wait_for(body["nonce"])
    publication = {k: record["publication"][k] for k in ("repo_url", "commit_sha", "pages_url")}
    assert call == {k: body[k] for k in ("email", "task", "round", "nonce")} | publication

    site = httpx.get(call["pages_url"], trust_env=False)
    assert site.text == PAGE.format(title="Harbour")
    assert httpx.get(call["pages_url"] + "ferries.csv", trust_env=False).content == CSV
    git("clone", "--quiet", call["repo_url"], str(tmp_path / "clone"))
    assert git("-C", str(tmp_path / "clone"), "rev-list", "HEAD").split() == [call["commit_sha"]]
    assert "is hereby granted" in (tmp_path / "clone" / "LICENSE").read_text()


def test_without_a_browser_what_a_page_must_show_is_unknown_and_the_record_says_why(
    door: Door, llm: Provider, grader: Evaluator
) -> None:
    body = task(grader.url, checks=["The page sounds friendly", {"selector": "#total"}])
    record = door.finish(door.send_task(body)["id"])
    assert record["stopped_by"] == "passed"
    assert [check["verdict"] for check in record["checks"][:2]] == ["unknown", "unknown"]
    assert "BROWSER=off" in record["browser"]
    assert model_calls(record) == {"build": 1, "reading": 1}


@pytest.mark.representative
def test_a_resent_task_runs_once_and_is_notified_again_with_the_same_bytes(
    door: Door, llm: Provider, grader: Evaluator
) -> None:
    body = task(grader.url, round="1")
    with ThreadPoolExecutor(4) as together:
        answers = list(together.map(door.send_task, [body] * 4))
    assert sorted(a["status"] for a in answers) == ["accepted", "duplicate", "duplicate", "duplicate"]
    assert len({a["id"] for a in answers}) == 1
    door.finish(answers[0]["id"])
    grader.wait_for(body["nonce"])
    assert door.send_task({**body, "round": 1})["status"] == "duplicate"
    first, again = grader.wait_for(body["nonce"], times=2)
    assert first == again
    assert first["round"] == "1"
    assert len(asked(llm, body["task"])) == 1


def test_round_2_changes_the_same_site_and_keeps_its_history(
    door: Door, llm: Provider, grader: Evaluator, tmp_path: Path
) -> None:
    one = task(grader.url, attachments=[attachment("ferries.csv", CSV)])
    two = {
        **one,
        "round": 2,
        "nonce": one["nonce"] + "-2",
        "attachments": [],
        "brief": "Show 43.",
        "checks": ["#total shows 43"],
    }
    door.send_task(one)
    record = door.finish(door.send_task(two)["id"])
    assert record["state"] == "done"
    assert [check["id"] for check in record["checks"]][:3] == ["1", "r1.1", "r1.2"]
    (first,) = grader.wait_for(one["nonce"])
    (second,) = grader.wait_for(two["nonce"])
    assert (second["repo_url"], second["pages_url"]) == (first["repo_url"], first["pages_url"])
    git("clone", "--quiet", second["repo_url"], str(tmp_path / "clone"))
    assert git("-C", str(tmp_path / "clone"), "rev-list", "HEAD").split() == [second["commit_sha"], first["commit_sha"]]
    assert (tmp_path / "clone" / "ferries.csv").read_bytes() == CSV
    assert ">43<" in httpx.get(second["pages_url"], trust_env=False).text
    prompt = str(asked(llm, two["task"])[-1]["messages"][1]["content"])
    assert PAGE.format(title="Harbour") in prompt


def test_names_that_no_commit_can_hold_are_left_out_and_said_and_the_task_goes_on(
    door: Door, grader: Evaluator
) -> None:
    odd = [attachment(name, CSV) for name in (". .", ".git .", "good.csv")]
    one = task(grader.url, brief="A page titled Harbour, in a FOLDER too", attachments=odd)
    first = door.finish(door.send_task(one)["id"])
    assert (first["state"], first["error"]) == ("done", None)
    assert [skipped["what"] for skipped in first["skipped"]] == [". .", ".git ."]
    clash = {"nonce": one["nonce"] + "-2", "round": 2, "brief": "Round 2", "attachments": [attachment("docs", CSV)]}
    second = door.finish(door.send_task(one | clash)["id"])
    assert (second["state"], second["publication"]["live"]) == ("done", True)
    assert "left out: 'docs' cannot stand beside 'docs/a.html'" in second["error"]
    url = second["publication"]["pages_url"]
    served = {path: httpx.get(f"{url}{path}", trust_env=False).status_code for path in ("docs/a.html", "good.csv")}
    assert served == {"docs/a.html": 200, "good.csv": 200}


def test_a_new_nonce_of_round_1_gets_a_repository_of_its_own(door: Door, grader: Evaluator) -> None:
    one = task(grader.url)
    urls = set()
    for nonce in ("a", "b"):
        record = door.finish(door.send_task({**one, "nonce": one["nonce"] + nonce})["id"])
        urls.add(record["publication"]["repo_url"])
    assert len(urls) == 2


@pytest.mark.parametrize(("brief", "stopped_by", "failed_calls"), [("NONSENSE", "silent", 0), ("REFUSED", "model", 1)])
def test_without_a_usable_answer_an_honest_page_is_published_and_notified(
    door: Door, grader: Evaluator, brief: str, stopped_by: str, failed_calls: int
) -> None:
    body = task(grader.url, brief=brief, attachments=[attachment("ferries.csv", CSV)])
    record = door.finish(door.send_task(body)["id"])
    assert (record["state"], record["stopped_by"]) == ("done", stopped_by)
    assert record["usage"]["failed_calls"] == failed_calls
    (call,) = grader.wait_for(body["nonce"])
    assert "did not finish" in httpx.get(call["pages_url"], trust_env=False).text
    for path in ("README.md", "ferries.csv", "LICENSE"):
        assert httpx.get(call["pages_url"] + path, trust_env=False).status_code == 200


@pytest.mark.parametrize(("brief", "published"), [("VANDAL", CSV), ("EDITOR", b"ferry\n")])
def test_an_attachment_that_the_model_changed_is_published_as_it_was_sent_if_the_task_wants_it_so(
    door: Door, grader: Evaluator, brief: str, published: bytes
) -> None:
    body = task(grader.url, brief=brief, attachments=[attachment("ferries.csv", CSV)])
    record = door.finish(door.send_task(body)["id"])
    (call,) = grader.wait_for(body["nonce"])
    assert model_calls(record) == {"build": 1, "reading": 1, "doubts": 1}
    assert httpx.get(call["pages_url"] + "ferries.csv", trust_env=False).content == published


def test_a_script_that_the_model_delivers_is_run_and_only_what_it_asks_for_is_published(
    door: Door, llm: Provider, grader: Evaluator, tmp_path: Path
) -> None:
    body = task(grader.url, brief="COMPUTE: titled Harbour", attachments=[attachment("ferries.csv", CSV)])
    record = door.finish(door.send_task(body)["id"])
    if record["sandbox"].startswith("none: "):
        pytest.skip(record["sandbox"])
    assert record["sandbox"].startswith("own root, no network, ")
    _, told, spied = (m["content"] for m in asked(llm, body["task"])[1]["messages"] if m["role"] == "tool")
    assert told.startswith(
        "the run ended with status 0\nkept: total.json, 13 bytes\nnot kept, as `files` does not name"
    )
    assert "\nrows: 2 now\n" in told
    assert "'HOME', 'LANG', " in spied
    assert not [name for name in os.environ if name.startswith(("PYTEST", "SECRET")) and name in spied]
    git("clone", "--quiet", record["publication"]["repo_url"], str(tmp_path / "clone"))
    assert json.loads((tmp_path / "clone" / "total.json").read_text()) == {"total": 42}
    assert (tmp_path / "clone" / "tools" / "total.py").read_text() == SCRIPT
    assert not (tmp_path / "clone" / "junk.txt").exists()


def test_a_secret_that_the_model_wrote_is_not_published(door: Door, grader: Evaluator, tmp_path: Path) -> None:
    body = task(grader.url, brief="LEAK: titled Harbour")
    record = door.finish(door.send_task(body)["id"])
    git("clone", "--quiet", record["publication"]["repo_url"], str(tmp_path / "clone"))
    assert (tmp_path / "clone" / "notes.txt").read_text() == "key: [secret]"
    assert not (tmp_path / "clone" / "blob.txt").exists()
    assert traces(tmp_path / "clone", TOKEN) == []


def test_paths_that_leave_the_site_are_refused_and_the_rest_is_published(
    door: Door, llm: Provider, grader: Evaluator, data_dir: Path, tmp_path: Path
) -> None:
    body = task(grader.url, brief="ESCAPE: titled Harbour")
    door.send_task(body)
    (call,) = grader.wait_for(body["nonce"])
    git("clone", "--quiet", call["repo_url"], str(tmp_path / "clone"))
    tree = git("-C", str(tmp_path / "clone"), "ls-tree", "-r", "--name-only", "HEAD").split()
    assert tree == [".nojekyll", "LICENSE", "README.md", "index.html"]
    assert not list(data_dir.rglob("outside.txt"))


def test_a_wrong_secret_leaves_no_trace(
    door: Door, llm: Provider, grader: Evaluator, kept: Callable[..., list[str]]
) -> None:
    before = len(llm.requests)
    for wrong in ("WRONG-canary-99", None, 7, ["WRONG-canary-99"], SECRET + "x"):
        body = task(grader.url, secret=wrong, task="untraceable-task")
        answer = door.post("/handle_task", json=body)
        assert answer.status_code == 403
        assert set(answer.json()) == {"error"}
    assert len(llm.requests) == before
    assert kept("WRONG-canary-99", "untraceable-task") == []


@pytest.mark.representative
def test_the_secret_ends_at_the_door(
    door: Door, llm: Provider, grader: Evaluator, kept: Callable[..., list[str]]
) -> None:
    body = task(grader.url)
    record = door.finish(door.send_task(body)["id"])
    grader.wait_for(body["nonce"])
    assert SECRET not in json.dumps(record)
    assert body["email"] not in json.dumps(record)
    assert kept(body["nonce"]), "the search finds what is there"
    assert kept(SECRET, "canary-model-key") == []
    sent = json.dumps([request.body for request in llm.requests]) + str(grader.bodies)
    assert not any(canary in sent for canary in (SECRET, "canary-model-key"))


def test_a_name_that_is_no_legal_repository_name_and_odd_characters_do_no_harm(door: Door, grader: Evaluator) -> None:
    body = task(grader.url, task="../../Fähre \U0001f6a2 №1.git", brief="A page\x07 titled\x1b[2J Harbour\u202e.")
    record = door.finish(door.send_task(body)["id"])
    (call,) = grader.wait_for(body["nonce"])
    assert call["task"] == body["task"]
    assert re.fullmatch(r".*/fahre-no1\.git-[0-9a-f]{6}\.git", record["publication"]["repo_url"])


@pytest.fixture
def operate(data_dir: Path, any_database_url: str | None) -> Callable[..., str]:
    """What `python main.py …` says, run beside the service as an operator would."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(data_dir), "DATA_DIR": str(data_dir)}
    environment |= {"DATABASE_URL": any_database_url} if any_database_url else {}

    def command(*arguments: str) -> str:
        line = [sys.executable, "main.py", *arguments]
        ran = subprocess.run(line, cwd=ROOT, env=environment, capture_output=True, text=True)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    return command


def test_an_operator_can_have_a_notification_sent_again(
    door: Door, grader: Evaluator, operate: Callable[..., str]
) -> None:
    body = task(grader.url)
    task_id = door.send_task(body)["id"]
    grader.wait_for(body["nonce"])
    door.finish(task_id)
    operate("resend", task_id)
    first, again = grader.wait_for(body["nonce"], times=2)
    assert first == again


def test_a_cancelled_task_stops_before_its_next_step(
    door: Door, grader: Evaluator, operate: Callable[..., str]
) -> None:
    HELD.shut()
    task_id = door.send_task(task(grader.url, brief="HOLD this one"))["id"]
    HELD.await_arrival()
    operate("cancel", task_id)
    HELD.open()
    record = door.finish(task_id)
    assert (record["state"], record["publication"]) == ("cancelled", None)
    assert "cancelled" in operate("show", task_id)


def test_an_evaluator_that_fails_is_tried_again(door: Door, grader: Evaluator) -> None:
    body = task(grader.url)
    grader.statuses[:] = [500, 404]
    task_id = door.send_task(body)["id"]
    grader.wait_for(body["nonce"], times=3)
    record = door.wait(task_id, lambda r: r["notification"]["state"] == "delivered")
    assert [attempt["status"] for attempt in record["notification"]["attempts"]] == [500, 404, 200]


def test_an_evaluator_that_cannot_be_reached_stays_pending_with_its_reason(door: Door) -> None:
    record = door.finish(door.send_task(task("http://127.0.0.1:9/notify"))["id"])
    record = door.wait(record["id"], lambda r: bool(r["notification"]["attempts"]))
    assert record["state"] == "done"
    assert record["notification"]["state"] == "pending"
    assert record["notification"]["attempts"][0]["status"] is None
    assert record["notification"]["attempts"][0]["error"]


def test_rounds_wait_for_each_other_in_the_order_they_came_and_other_tasks_do_not_wait_for_them(
    door: Door, grader: Evaluator, data_dir: Path
) -> None:
    SLOW.shut()
    one = task(grader.url, brief="SLOW")
    rounds = [{**one, "round": number, "nonce": f"{one['nonce']}-{number}"} for number in range(1, 6)]
    ids = [door.send_task(body)["id"] for body in rounds]
    SLOW.await_arrival()
    assert door.finish(door.send_task(task(grader.url))["id"])["state"] == "done", (
        "though more rounds wait than may run"
    )
    assert [door.record(task_id)["state"] for task_id in ids] == ["running", *["queued"] * 4]
    SLOW.open()
    records = [door.finish(task_id) for task_id in ids]
    (repository,) = (data_dir / "repositories").glob(f"{one['task']}-*.git")
    commits = git("-C", str(repository), "rev-list", "--reverse", "main").split()
    assert commits == [record["publication"]["commit_sha"] for record in records]


def test_a_task_whose_prompt_broke_fails_with_a_sentence_and_runs_again_when_resent(
    tmp_path: Path, llm: Provider, grader: Evaluator
) -> None:
    prompts = tmp_path / "prompts"
    shutil.copytree(ROOT / "prompts", prompts)
    whole = (prompts / "task.md.j2").read_text()
    with serving(settings(tmp_path / "data", llm_base_url=llm.url, prompts_dir=prompts)) as door:
        (prompts / "task.md.j2").write_text("{{ nobody }}")
        body = task(grader.url)
        failed = door.finish(door.send_task(body)["id"])
        assert failed["state"] == "failed"
        assert "task.md.j2" in failed["error"]
        (prompts / "task.md.j2").write_text(whole)
        assert door.send_task(body)["status"] == "duplicate"
        done = door.wait(failed["id"], lambda r: r["state"] == "done")
        assert done["error"] is None


def test_a_private_evaluator_is_blocked_unless_allowed(tmp_path: Path, llm: Provider, grader: Evaluator) -> None:
    with serving(settings(tmp_path, llm_base_url=llm.url, allow_private_callbacks=False)) as door:
        record = door.finish(door.send_task(task(grader.url))["id"])
        record = door.wait(record["id"], lambda r: r["notification"]["state"] != "pending")
        assert record["notification"]["state"] == "blocked"
        assert record["publication"]["commit_sha"]


@pytest.mark.slow
def test_a_build_that_never_ends_does_not_keep_the_call_back_and_is_watched_on(
    tmp_path: Path, grader: Evaluator
) -> None:
    with github(tmp_path / "github") as fake:
        fake.switches.builds = ["queued"]
        configured = settings(
            tmp_path / "data",
            publisher="github",
            github_token=GITHUB_TOKEN,
            github_api_url=fake.api_url,
            llm_model=replayed(tmp_path, "Harbour"),
            task_deadline_s=10,
        )
        with serving(configured) as door:
            body = task(grader.url)
            task_id = door.send_task(body)["id"]
            (call,) = grader.wait_for(body["nonce"])
            record = door.wait(task_id, lambda r: bool(r["notification"]["attempts"]))
            assert record["publication"]["live"] is False
            assert record["notification"]["attempts"][0]["at"] < record["deadline_at"]
            door.wait(task_id, lambda r: r["publication"]["live"])
        (repo,) = fake.repos.values()
        assert fake.repositories.history(fake.git(repo)) == [call["commit_sha"]], "nothing was pushed after it"
