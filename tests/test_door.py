"""Whatever is thrown at the door of the running service: an answer in one sentence, no echo, nothing kept."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from tests.harness import SECRET, Door, serving, settings, task, traces
from tests.test_intake import FIELDS, JSON

pytestmark = pytest.mark.representative  # both databases

URL = "https://evaluator.example/notify"


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory, any_database_url: str | None) -> Path:
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def door(data_dir: Path, any_database_url: str | None) -> Iterator[Door]:
    """Without a model: a task that is in order is answered 503, and so nothing runs."""
    modelless = {"llm_model": None, "llm_api_key": None, "llm_base_url": None}
    with serving(settings(data_dir, **modelless, database_url=any_database_url)) as running:
        yield running


@given(changes=FIELDS, whole=st.booleans(), raw=JSON | st.binary(max_size=40))
@examples(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_an_odd_request_gets_a_sentence_and_leaves_nothing(door: Door, changes: Any, whole: bool, raw: Any) -> None:
    body = {**task(URL), "canary": "canary-in-the-body", **changes} if whole else raw
    sent = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = door.post("/handle_task", content=sent)
    assert answer.status_code in (403, 422, 503)
    assert list(answer.json()) == ["error"]
    assert answer.headers["content-type"] == "application/json"
    assert "canary" not in answer.text
    assert SECRET not in answer.text


def test_without_a_model_a_task_is_refused_the_reason_is_named_and_nothing_is_kept(door: Door, data_dir: Path) -> None:
    refused = door.post("/handle_task", json=task(URL, task="nothing-of-this-is-kept"))
    assert refused.status_code == 503
    assert refused.headers["retry-after"]
    assert "LLM_MODEL" in refused.json()["error"]
    assert "LLM_MODEL" in door.get("/readyz").text
    assert door.get("/healthz").status_code == 200
    assert traces(data_dir, "nothing-of-this") == []


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 422),
        (b"no json", 422),
        (b"[" * 100_000, 422),
        (b'"a string"', 422),
        (b"{}", 403),
        (json.dumps({"secret": SECRET}).encode(), 422),
        (json.dumps(task(URL, secret="wrong", round="odd")).encode(), 403),
        (json.dumps(task("ftp://x.example/")).encode(), 422),
        (json.dumps(task("https://user:pass@x.example/")).encode(), 422),
        (json.dumps(task(URL, round=True)).encode(), 422),
    ],
)
def test_errors_come_in_the_order_of_the_contract(door: Door, body: bytes, status: int) -> None:
    answer = door.post("/handle_task", content=body)
    assert answer.status_code == status
    assert list(answer.json()) == ["error"]


def test_an_idle_service_answers_before_what_is_heavy_or_not_asked_for_is_imported(tmp_path: Path) -> None:
    script = """
import asyncio, sys, httpx
from pathlib import Path
from agent.api.app import create_app
from tests.harness import settings

async def main():
    app = create_app(settings(Path(sys.argv[1])))
    async with app.open(), httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1") as client:
        assert (await client.get("/readyz")).status_code == 200
        assert "litellm" not in sys.modules, "litellm stood on the way to the first answer"
        assert "opentelemetry.sdk" not in sys.modules, "nobody asked for traces"

asyncio.run(main())
"""
    root = Path(__file__).parent.parent
    ran = subprocess.run([sys.executable, "-c", script, str(tmp_path)], cwd=root, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr


def test_a_broken_prompt_is_told_before_the_service_starts(tmp_path: Path) -> None:
    root = Path(__file__).parent.parent
    (tmp_path / "prompts").mkdir()
    environment = {"PATH": "/usr/bin:/bin", "SECRET": SECRET, "DATA_DIR": str(tmp_path / "data"), "BROWSER": "off"}
    environment |= {"PROMPTS_DIR": str(tmp_path / "prompts"), "PORT": "0", "SITES_PORT": "0"}
    ran = subprocess.run([sys.executable, "main.py"], cwd=root, env=environment, capture_output=True, text=True)
    assert ran.returncode == 2
    assert len(ran.stderr.strip().splitlines()) == 1
    assert ".md.j2: TemplateNotFound" in ran.stderr
