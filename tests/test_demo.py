"""The demo's evaluator finds what is wrong by itself, and the demo reports both rounds truthfully."""

import asyncio
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from rich.console import Console

from agent.api.openapi import STATUS_EXAMPLE
from agent.api.schema import TaskStatus
from agent.api.servers import listen, served
from agent.cli.demo import grading
from agent.cli.demo.demo import REPLAY, play
from agent.cli.demo.evaluator import Inbox, Site, visit
from agent.cli.demo.grading import Grade
from agent.cli.demo.results import asked
from agent.cli.demo.rounds import CSV, ROUNDS, TOTALS
from agent.errors import AgentError
from tests.loopback import Loopback, answer

ROOT = Path(__file__).parent.parent
RECORDING: dict[str, Any] = json.loads((ROOT / "examples" / "demo.replay.json").read_text())
SHAS = ("a" * 40, "b" * 40)


def recorded(*, rounds: int = 2, replies: int = 2) -> dict[str, bytes]:
    """The files after the recorded answers, made without the service."""
    answers = [talk for talk in RECORDING["conversations"] if not talk.get("question")]
    conversations = {number: talk["replies"] for number, talk in zip((2, 1), answers, strict=True)}
    files = {"LICENSE": b"MIT License\n\nPermission is hereby granted, free of charge", "ferries.csv": CSV}
    calls = [
        call for number in range(1, rounds + 1) for reply in conversations[number][:replies] for call in reply["calls"]
    ]
    for call in calls:
        path = call["arguments"]["path"]
        if call["name"] == "write_file":
            files[path] = call["arguments"]["content"].encode()
        for edit in call["arguments"].get("edits", ()):
            assert files[path].count(edit["old"].encode()) == 1, f"{path}: {edit['old']!r}"
            files[path] = files[path].replace(edit["old"].encode(), edit["new"].encode())
    return files


def site(files: dict[str, bytes], **changes: Any) -> Site:
    pages = files | {"": files.get("index.html", b"")}
    return Site(**({"pages": pages, "files": files, "commits": SHAS[:1]} | changes))


def html(text: str) -> Site:
    return site({"index.html": text.encode()})


@pytest.mark.parametrize("number", [1, 2])
def test_every_check_holds_on_the_recorded_site(number: int) -> None:
    found = site(recorded(rounds=number))
    asks = [ask for round_ in ROUNDS[:number] for ask in round_.asks]
    assert [(ask.text, ask.grade(found).evidence) for ask in asks if not ask.grade(found).held] == []


def test_first_recorded_answer_holds_one_honest_mistake() -> None:
    """One that only a running page shows: the HTML as it is fetched has the right total in it."""
    found = site(recorded(rounds=1, replies=1))
    assert [ask.text for ask in ROUNDS[0].asks if not ask.grade(found).held] == []
    assert b"sum + row.passengers" in found.files["index.html"]
    assert b"sum + row.passengers" not in recorded(rounds=1)["index.html"]


TABLE = '<table id="routes"><thead><tr><th>Route</th></tr></thead><tbody>{}</tbody></table>'


@pytest.mark.parametrize(
    ("grade", "found", "evidence"),
    [
        (partial(grading.has_title, "Ferries"), html("<title>Ferries!</title>"), "the title is 'Ferries!'"),
        (partial(grading.has_title, "Ferries"), html("<p>Ferries"), "the title is None"),
        (partial(grading.shows, "total", "65765"), html('<p id="total">65,765</p>'), "#total holds '65,765'"),
        (partial(grading.shows, "total", "65765"), html('<p id="sum">65765</p>'), "#total holds None"),
        (partial(grading.has_rows, "routes", ["A", "B"]), html(TABLE.format("<tr><td>A")), "1 rows, without B"),
        (partial(grading.has_rows, "routes", []), html(TABLE.format("<tr><td>Total")), "1 rows"),
        (partial(grading.has_rows, "routes", ["A"]), html("<table><tbody><tr><td>A"), "0 rows, without A"),
        (
            partial(grading.links_stylesheet, "style.css"),
            html('<link rel="stylesheet" href="/style.css">'),
            "not linked",
        ),
        (partial(grading.links_stylesheet, "style.css"), html('<link href="style.css">'), "linked, 0 bytes served"),
        (partial(grading.is_unchanged, "a.csv", b"1\n"), site({"a.csv": b"1\r\n"}), "changed in the commit"),
        (partial(grading.is_unchanged, "a.csv", b"1\n"), site({"a.csv": b"1\n"}, pages={}), "changed in the commit"),
        (partial(grading.is_json, "a.json", {"a": 1}), site({"a.json": b'{"a": "1"}'}), 'holds {"a": "1"}'),
        (partial(grading.is_json, "a.json", {}), site({}), "a.json is missing or no JSON"),
        (partial(grading.readme_has_sections, ["License"]), site({"README.md": b"# A\nLicense"}), "no section License"),
        (partial(grading.readme_mentions, "routes.json"), site({}), "'routes.json' occurs 0 times"),
        (grading.is_mit_licensed, site({"LICENSE": b"MIT License\n\nAsk first."}), "begins with 'MIT License'"),
        (grading.is_mit_licensed, site({}), "LICENSE begins with ''"),
        (
            grading.pages_serve_the_commit,
            site({"index.html": b"new"}, pages={"": b"old", "index.html": b"new"}),
            "start page",
        ),
        (grading.pages_serve_the_commit, site({"a.css": b"new"}, pages={"": b"", "a.css": b"old"}), "a.css"),
    ],
)
def test_a_broken_site_fails_with_evidence(grade: Callable[[Site], Grade], found: Site, evidence: str) -> None:
    result = grade(found)
    assert not result.held
    assert evidence in result.evidence


CALL = {"repo_url": "http://a/r.git", "commit_sha": SHAS[0], "pages_url": "http://a/r/"}
ECHO = {"email": "a@b", "task": "t", "round": 1, "nonce": "n"}


@pytest.mark.parametrize(
    ("call", "evidence"),
    [
        (CALL | ECHO, "as they were sent"),
        (CALL | ECHO | {"round": "1"}, "missing, unexpected or changed: round"),
        (CALL | ECHO | {"secret": "s"}, "missing, unexpected or changed: secret"),
        (CALL, "missing, unexpected or changed: email, nonce, round, task, email, task, round, nonce"),
    ],
)
def test_a_call_back_has_its_seven_fields_as_they_were_sent(call: dict[str, Any], evidence: str) -> None:
    assert grading.answers_the_task(call, ECHO | {"brief": "b"}).evidence == evidence


@pytest.mark.parametrize(
    ("commits", "repo_url", "held"),
    [
        (SHAS, "http://a/r.git", True),
        (SHAS[:1], "http://a/r.git", False),
        ((SHAS[0], "c" * 40, SHAS[1]), "http://a/r.git", False),
        (SHAS, "http://a/other.git", False),
    ],
)
def test_a_round_is_one_commit_on_top_of_the_round_before(commits: tuple[str, ...], repo_url: str, held: bool) -> None:
    earlier = {"repo_url": "http://a/r.git", "commit_sha": SHAS[1]}
    call = CALL | {"repo_url": repo_url}
    assert grading.continues(call, site({}, commits=commits), [earlier]).held is held


@pytest.mark.parametrize(
    ("service", "good", "verdict"),
    [
        ("pass", True, "pass"),
        ("pass", False, "fail"),
        ("fail", True, "fail"),
        ("unknown", True, "pass"),
        ("unknown", False, "fail"),
        (None, True, "pass"),
    ],
)
def test_a_check_passes_only_when_record_and_evaluator_say_so(service: str | None, good: bool, verdict: str) -> None:
    line = {"id": "1", "text": "the title", "verdict": service, "evidence": "seen"}
    status = TaskStatus.model_validate(STATUS_EXAMPLE | {"checks": [line] if service else []})
    found = html(f"<title>{'Port Alder ferries' if good else 'Ferries'}</title>")
    assert asked(ROUNDS[0], status, found)[0].verdict == verdict


def test_the_evaluator_clones_and_fetches_what_the_call_back_names(tmp_path: Path) -> None:
    def git(*arguments: str) -> str:
        who = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "init.defaultBranch=main", "-C", str(tmp_path))
        environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}  # without the GIT_DIR of a hook
        return subprocess.run(
            ["git", *who, *arguments], env=environment, check=True, capture_output=True, text=True
        ).stdout

    git("init", "--quiet")
    (tmp_path / "index.html").write_text("<title>Hello")
    git("add", ".")
    git("commit", "--quiet", "-m", "one")
    sha = git("rev-parse", "HEAD").strip()

    async def look(**changes: str) -> Site:
        async with Loopback({"/r/": answer(200, b"<title>Hello"), "/r/index.html": answer(404)}) as server:
            return await visit({"repo_url": str(tmp_path), "commit_sha": sha, "pages_url": server.url("/r/")} | changes)

    assert asyncio.run(look()) == Site({"": b"<title>Hello"}, {"index.html": b"<title>Hello"}, (sha,))
    for changes, sentence in [
        ({"commit_sha": "HEAD"}, "no full commit id"),
        ({"commit_sha": "0" * 40}, "git --git-dir"),
        ({"repo_url": str(tmp_path / "none")}, "failed: fatal: repository"),
        ({"pages_url": "http://127.0.0.1:1/"}, "cannot be fetched"),
    ]:
        with pytest.raises(AgentError, match=sentence):
            asyncio.run(look(**changes))


def test_a_call_back_reaches_whoever_expects_its_nonce() -> None:
    async def post(*calls: dict[str, str]) -> tuple[list[int], object]:
        inbox = Inbox()
        with closing(listen("127.0.0.1", 0, "PORT")) as sock:
            url = f"http://127.0.0.1:{sock.getsockname()[1]}/notify"
            async with served(inbox.app, sock), httpx.AsyncClient(trust_env=False) as http:
                expected = inbox.expect("mine")
                statuses = [(await http.post(url, json=call)).status_code for call in calls]
                return statuses, expected.result()

    calls = {"nonce": "other"}, {"nonce": "mine", "at": "first"}, {"nonce": "mine", "at": "again"}
    assert asyncio.run(post(*calls)) == ([404, 200, 200], calls[1])


# -- the whole ------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_demo_ends_well_with_both_rounds_on_one_repository(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "main.py"), "demo", "--once", "--json"]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)
    assert run.returncode == 0, run.stdout + run.stderr
    first, second = json.loads(run.stdout.splitlines()[-1])["rounds"]
    assert first["checks"] == {"passed": len(ROUNDS[0].asks), "failed": 0, "unknown": 0}
    assert second["checks"] == {"passed": len(ROUNDS[0].asks) + len(ROUNDS[1].asks), "failed": 0, "unknown": 0}
    assert (first["model_calls"], second["model_calls"]) == (3, 2), "a reading and the turns"
    assert first["repo_url"] == second["repo_url"]
    assert first["commit_sha"] != second["commit_sha"]
    assert "replayed" in run.stdout
    assert list(tmp_path.iterdir()) == []


def test_demo_ends_badly_when_a_check_of_either_round_fails(tmp_path: Path) -> None:
    spoiled = json.dumps(RECORDING | {"latency_s": 0}).replace("30195", "30194")
    (tmp_path / "spoiled.json").write_text(spoiled)
    output = io.StringIO()
    model = REPLAY | {"llm_model": f"replay/{tmp_path / 'spoiled.json'}", "browser": "off"}
    assert not asyncio.run(play(Console(file=output, width=200), model=model, once=True, as_json=True, port=0))
    first, second = json.loads(output.getvalue().splitlines()[-1])["rounds"]
    assert first["checks"]["failed"] == 0
    assert second["checks"]["failed"] == 1
    assert "1 of " in output.getvalue()
    assert TOTALS["North Quay"] == 30195
