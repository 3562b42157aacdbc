"""The commands keep their word: one sentence and a fitting exit code, nothing launched that need not be."""

import ast
import asyncio
import io
import json
import re
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from agent.api.schema import TaskStatus
from agent.cli import main as cli
from agent.cli.show import record
from agent.records import Finding, Skipped, Usage
from agent.settings import Settings
from agent.store import Store
from tests import routes
from tests.loopback import Loopback, answer
from tests.provider import fault, provider
from tests.test_gateway import CANARY
from tests.test_probe import capable

ROOT = Path(__file__).parent.parent
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command in an empty folder, with no setting but those given. Exit code, out, err."""
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)

    def command(*arguments: str, **environment: str) -> tuple[int, str, str]:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys, "argv", ["main.py", *arguments])
        with pytest.raises(SystemExit) as end:
            cli.main()
        out, err = capsys.readouterr()
        return int(end.value.code or 0), out, err

    return command


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def write(path: Path, task: object) -> str:
    path.write_text(task if isinstance(task, str) else json.dumps(task))
    return str(path)


def store(folder: Path) -> Store:
    folder.mkdir()
    return Store(f"sqlite:///{folder}/agent.sqlite", clock=lambda: 100.0)


# -- refusals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "environment", "sentence"),
    [
        (["serve"], {}, "SECRET is not set"),
        ([], {}, "SECRET is not set"),
        (["serve"], {"SECRET": "canary-secret", "PORT": "http"}, "PORT: "),
        (["show", "x"], {}, "DATA_DIR data does not exist"),
        (["show", "x"], {"DATA_DIR": "."}, "there is no task 'x' in the database of DATA_DIR ."),
        (["resend", "x"], {"DATA_DIR": "."}, "there is no task 'x'"),
        (["cancel", "x"], {"DATA_DIR": "."}, "there is no task 'x'"),
        (["show", "x"], {"DATABASE_URL": "mysql://u:canary-password@h/d"}, "DATABASE_URL begins with 'mysql'"),
        (["show", "x"], {"DATABASE_URL": "sqlite:////no/such/folder/a.db"}, "check DATABASE_URL"),
        (["send", "missing.json"], {}, "missing.json cannot be read: No such file"),
        (["run", "missing.json"], {}, "missing.json cannot be read: No such file"),
        (["send", str(ROOT / "README.md")], {}, "README.md is not JSON"),
        (["send", str(ROOT / "examples" / "hello.json")], {}, "SECRET is not set"),
        (
            ["send", str(ROOT / "examples" / "hello.json"), "http://127.0.0.1:1/", "--secret", "s"],
            {},
            "no service answers",
        ),
    ],
)
def test_what_cannot_be_done_is_one_sentence_on_stderr(
    run: Run, arguments: list[str], environment: dict[str, str], sentence: str
) -> None:
    code, out, err = run(*arguments, **environment)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert sentence in err
    assert "canary" not in err


@pytest.mark.parametrize("name", ["PORT", "SITES_PORT"])
def test_a_taken_port_is_named_before_anything_starts(run: Run, taken_port: int, tmp_path: Path, name: str) -> None:
    environment = {"SECRET": "canary-secret", "PORT": "0", "SITES_PORT": "0", name: str(taken_port)}
    code, _, err = run("serve", **environment)
    assert (code, err.count("\n")) == (2, 1)
    assert err.startswith(f"{name}: port {taken_port}")
    assert list(tmp_path.iterdir()) == []


def test_help_waits_for_no_web_framework_database_or_model() -> None:
    heavy = {"fastapi", "uvicorn", "sqlalchemy", "dbos", "litellm", "httpx", "pydantic"}
    code = f"import sys, agent.cli.main; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


# -- a Python that cannot run this ----------------------------------------------------------------------------------

OLD = "import runpy, sys; sys.version_info = (3, 10, 4); sys.argv = ['{0}']; runpy.run_path('{0}', run_name='__main__')"


@pytest.mark.parametrize("script", ["main.py", "send_task.py"])
@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        (["-S", "{0}"], "The package typer is missing from "),
        (["-c", OLD], "Python 3.11 or newer is needed and this is "),
    ],
    ids=["without the dependencies", "too old"],
)
def test_a_python_that_cannot_run_this_says_in_one_sentence_what_to_do(
    script: str, command: list[str], sentence: str
) -> None:
    arguments = [part.format(ROOT / script) for part in command]
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert done.stderr.startswith(sentence)
    assert ".venv/bin/python main.py after make demo" in done.stderr


@pytest.mark.parametrize("script", ["main.py", "send_task.py"])
def test_an_old_python_understands_the_file_that_tells_it_so(script: str) -> None:
    source = (ROOT / script).read_text(encoding="ascii")
    ast.parse(source, feature_version=(3, 5))


# -- send -----------------------------------------------------------------------------------------------------------

TASK = {
    "_note": "ours",
    "email": "a@b",
    "task": "t",
    "round": 1,
    "nonce": "n",
    "brief": "b",
    "evaluation_url": "http://e/",
}
ACCEPTED = answer(200, b'{"status": "accepted", "id": "1", "status_url": "/tasks/1"}')


def sent(run: Run, *arguments: str, answers: dict[str, Any] | None = None, **environment: str) -> tuple[Any, ...]:
    """Exit code, output and what the service was asked."""

    async def send() -> tuple[Any, ...]:
        async with Loopback({"/handle_task": ACCEPTED} | (answers or {})) as service:
            command = ("send", arguments[0], service.url("/handle_task"), *arguments[1:])
            code, out, err = await asyncio.to_thread(run, *command, **environment)
            return code, out, err, service

    return asyncio.run(send())


@pytest.mark.parametrize(
    ("secret", "options", "expected"),
    [
        ({}, [], "canary-secret"),
        ({"secret": "$SECRET"}, [], "canary-secret"),
        ({"secret": "own"}, [], "own"),
        ({"secret": ""}, [], ""),
        ({"secret": "own"}, ["--secret", "given"], "given"),
    ],
)
def test_send_posts_the_file_without_its_notes_and_with_a_secret(
    run: Run, tmp_path: Path, secret: dict[str, str], options: list[str], expected: str
) -> None:
    file = write(tmp_path / "task.json", TASK | secret)
    code, out, _, service = sent(run, file, *options, SECRET="canary-secret")
    assert code == 0
    assert out == f"accepted: {service.url('/tasks/1')}\n"
    assert json.loads(service.asked[0].body) == {k: v for k, v in TASK.items() if k != "_note"} | {"secret": expected}


def test_send_new_has_a_nonce_of_its_own(run: Run, tmp_path: Path) -> None:
    file = write(tmp_path / "task.json", TASK | {"secret": "s"})
    nonces = [json.loads(sent(run, file, "--new")[3].asked[0].body)["nonce"] for _ in range(2)]
    assert len({"n", *nonces}) == 3


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (answer(403, b'{"error": "the secret is missing or wrong"}'), "answered 403: the secret is missing or wrong"),
        (answer(502, b"<html>"), "answered 502"),
        (answer(200, b"<html>"), "did not answer with a JSON object"),
        (answer(200, b"{}"), "without a status_url"),
        (answer(403, b'{"error": "\\u001b[2Jred"}'), "answered 403: [2Jred"),
    ],
)
def test_send_tells_the_services_own_sentence(run: Run, tmp_path: Path, given: bytes, sentence: str) -> None:
    file = write(tmp_path / "task.json", TASK | {"secret": "s"})
    code, out, err, _ = sent(run, file, answers={"/handle_task": given})
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert sentence in err


def status(folder: Path, **changes: Any) -> bytes:
    """What the service answers about a finished task, with changes."""
    with closing(store(folder)) as database:
        routes.add_finished(database, routes.task())
        body = TaskStatus.of(database.view(routes.TASK_ID)).model_dump(mode="json") | changes
    return answer(200, json.dumps(body).encode())


@pytest.mark.parametrize(("verdict", "code"), [("pass", 0), ("unknown", 0), ("fail", 1)])
def test_send_wait_ends_well_only_without_a_failed_check(run: Run, tmp_path: Path, verdict: str, code: int) -> None:
    checks = [{"id": "1", "text": "#total", "verdict": verdict, "evidence": "seen"}]
    file = write(tmp_path / "task.json", TASK | {"secret": "s"})
    ended, out, _, _ = sent(run, file, "--wait", answers={"/tasks/1": status(tmp_path / "data", checks=checks)})
    assert ended == code
    assert routes.PUBLICATION.commit_sha in out


# -- show, resend, cancel -------------------------------------------------------------------------------------------


def test_show_prints_all_that_is_known(run: Run, tmp_path: Path) -> None:
    with closing(store(tmp_path / "data")) as database:
        routes.add_finished(database, routes.task())
        database.add_usage(routes.TASK_ID, Usage(failed_calls=3))
    code, out, _ = run("show", routes.TASK_ID)
    assert code == 0
    for known in (
        "harbour, round 1", "failed calls  3, retried",
        "state         done", "days ago", "#total", "no element matches", "license", "as written",
        routes.PUBLICATION.pages_url, routes.PUBLICATION.repo_url, routes.PUBLICATION.commit_sha, "(live)",
        "pending", "502", "2 model calls", "1,234 tokens", "$0.0125", "build", "its url is null", "passed",
    ):  # fmt: skip
        assert known in out
    for private in (routes.EMAIL, routes.NONCE):
        assert private not in out


HOSTILE = "[red]\x1b[2J\x9b2J\u202eevil\r\n[/nothing]"


def test_show_prints_hostile_text_as_text(tmp_path: Path) -> None:
    finding = Finding(id=HOSTILE, origin="rule", text=HOSTILE, verdict="fail", evidence=HOSTILE)
    task = routes.task(task=HOSTILE, skipped=(Skipped(what=HOSTILE, why=HOSTILE),))
    with closing(store(tmp_path / "data")) as database:
        database.add_task(task, [])
        database.update(task.id, state="failed", stage="failed", findings=(finding,), error=HOSTILE, stopped_by=HOSTILE)
        shown = TaskStatus.of(database.view(task.id))
    console = Console(width=400, color_system=None, record=True, file=io.StringIO())
    console.print(record(shown, now=100.0))
    text = console.export_text()
    assert text.count("[red] [2J 2J evil  [/nothing]") == 8
    assert all(c.isprintable() or c == "\n" for c in text)


def test_resend_and_cancel_refuse_what_makes_no_sense(run: Run, tmp_path: Path) -> None:
    with closing(store(tmp_path / "data")) as database:
        database.add_task(routes.task("1" * 32), [])
        routes.add_finished(database, routes.task("2" * 32))
    assert "has no notification yet" in run("resend", "1" * 32)[2]
    assert "has ended already: it is done" in run("cancel", "2" * 32)[2]


# -- doctor ---------------------------------------------------------------------------------------------------------

EVERYWHERE = "0.0.0.0"  # noqa: S104
HEALTHY = {
    "SECRET": "canary-secret",
    "OPENAI_API_KEY": "canary-key",
    "PORT": "0",
    "SITES_PORT": "0",
    "SITES_URL": "http://localhost:0",
    "BROWSER": "off",  # to start one takes longer than all the rest
}


def doctored(run: Run, **environment: str) -> tuple[int, dict[str, str]]:
    """Exit code, and what must be fixed, and how."""
    code, out, err = run("doctor", **environment)
    assert err == ""
    assert "canary" not in out
    rows = [row.split() for row in re.split(r"\n(?=[✓✗])", out)]
    return code, {words[1]: " ".join(words[2:]) for words in rows if words[0] == "✗"}


def test_doctor_looks_at_everything_and_names_the_model_and_its_variable(run: Run) -> None:
    from agent.cli.doctor import EXAMINATIONS

    code, out, _ = run("doctor", **HEALTHY | {"BROWSER": "auto"})
    assert code == 0
    assert [line.split("  ")[1] for line in out.splitlines()] == [f"{what}" for what in EXAMINATIONS]
    assert "the default of OPENAI_API_KEY" in out


@pytest.mark.parametrize(
    ("what", "environment", "remedy"),
    [
        ("settings", {"SECRET": ""}, "SECRET is not set"),
        ("settings", {"WORKER_TASKS": "0"}, "WORKER_TASKS"),
        ("SECRET", {"SECRET": "abc"}, "use 12 or more"),
        ("model", {"OPENAI_API_KEY": ""}, "set LLM_MODEL"),
        ("model", {"LLM_FALLBACK_MODELS": "anthropic/claude-x"}, "set ANTHROPIC_API_KEY or change LLM_FALLBACK_MODELS"),
        ("model", {"LLM_MODEL": "replay/none.json"}, "none.json"),
        ("DATA_DIR", {"DATA_DIR": "/dev/null/data"}, "name another folder"),
        ("database", {"DATABASE_URL": "sqlite:////no/such/folder/a.db"}, "check DATABASE_URL"),
        ("SITES_URL", {"SITES_URL": "http://127.0.0.1:9000"}, "another host name"),
        ("SITES_URL", {"SITES_URL": "http://localhost:9000"}, "set SITES_URL to http://localhost:0"),
        ("SITES_URL", {"HOST": EVERYWHERE}, "set a public SITES_URL"),
        ("publisher", {"PUBLISHER": "github"}, "GITHUB_TOKEN"),
        ("prompts", {"PROMPTS_DIR": "."}, "PROMPTS_DIR"),
        ("settings", {"OTEL_TRACES_EXPORTER": "pigeon"}, "OTEL_TRACES_EXPORTER"),
    ],
)
def test_doctor_names_what_must_be_fixed(run: Run, what: str, environment: dict[str, str], remedy: str) -> None:
    code, bad = doctored(run, **HEALTHY | environment)
    assert code == 1
    assert remedy in bad[what]
    assert bad.keys() <= {what, "database", "publisher"}


def test_doctor_names_a_taken_port(run: Run, taken_port: int) -> None:
    taken = {"SITES_PORT": str(taken_port), "SITES_URL": f"http://localhost:{taken_port}"}
    code, bad = doctored(run, **HEALTHY | taken)
    assert code == 1
    assert list(bad) == ["SITES_PORT"]


def test_doctor_call_asks_the_model_once(run: Run, tmp_path: Path) -> None:
    replay = {"conversations": [{"when": "", "question": True, "replies": [{"text": "ready"}]}]}
    file = write(tmp_path / "replay.json", replay)
    assert "said" not in run("doctor", **HEALTHY, LLM_MODEL=f"replay/{file}")[1]
    code, out, _ = run("doctor", "--call", **HEALTHY, LLM_MODEL=f"replay/{file}")
    assert code == 0
    assert "replay/replay.json said 'ready'" in out


# -- probe ------------------------------------------------------------------------------------------------------------


def test_the_command_keeps_what_it_found_and_doctor_tells_it(run: Run) -> None:
    with provider(capable) as server:
        live = {"LLM_MODEL": "openai/test", "LLM_BASE_URL": server.url, "LLM_API_KEY": CANARY}
        code, table, _ = run("probe", **live)
        assert code == 0
        assert "✓  images             saw yellow and blue" in table
        code, out, _ = run("probe", "--json")
    assert code == 0
    (one,) = json.loads(out)
    assert (one["model"], one["capabilities"]["tools"], one["lines"][0]["what"]) == ("openai/test", True, "reachable")
    told = " ".join(run("doctor", SECRET="canary-secret", BROWSER="off")[1].split())
    assert re.search(r"openai/test: probed \d s ago: tools, parallel calls, images", told)
    assert CANARY not in table + out + told


@pytest.mark.parametrize(
    ("environment", "code", "sentence"),
    [
        ({}, 2, "no model can be called: set LLM_MODEL"),
        ({"LLM_MODEL": "replay/x.json"}, 2, "set LLM_MODEL to a live model"),
        ({"OPENAI_API_KEY": CANARY, "DATABASE_URL": "sqlite:////no/such/folder/a.db"}, 2, "check DATABASE_URL"),
    ],
)
def test_what_cannot_be_probed_is_a_sentence(
    run: Run,
    environment: dict[str, str],
    code: int,
    sentence: str,
) -> None:
    ended, _, said = run("probe", **environment)
    assert ended == code
    assert sentence in said


def test_a_model_that_is_not_reached_keeps_what_was_known_of_it(run: Run, tmp_path: Path) -> None:
    with provider(capable) as server:
        live = {"LLM_MODEL": "openai/test", "LLM_BASE_URL": server.url, "LLM_API_KEY": CANARY}
        run("probe", **live)
    with provider(lambda _: fault(401, f"wrong key: {CANARY}")) as server:
        code, out, _ = run("probe", "--json", LLM_FALLBACK_MODELS="groq/x", LLM_BASE_URL=server.url)
    first, keyless = json.loads(out)
    assert (code, first["capabilities"], keyless["capabilities"]) == (1, None, None)
    assert keyless["lines"][0]["found"] == "groq/x has no key: set GROQ_API_KEY"
    assert CANARY not in out
    assert "probed" in run("doctor", SECRET="canary-secret", BROWSER="off", LLM_BASE_URL=live["LLM_BASE_URL"])[1]
