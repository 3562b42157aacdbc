"""The environment becomes settings, or one sentence that names the variable."""

from pathlib import Path

import pytest

from agent.errors import ConfigError
from agent.settings import Settings


@pytest.fixture(autouse=True)
def _empty_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


def test_a_missing_secret_is_named() -> None:
    with pytest.raises(ConfigError, match="SECRET is not set"):
        Settings.load()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "many"),
        ("TASK_DEADLINE_S", "-1"),
        ("SITES_URL", "ftp://x"),
        ("LLM_TOOL_MODE", "telepathy"),
        ("CONTACT", "a b"),
        ("CONTACT", "x\r\nCookie: y"),
        ("CONTACT", "a)b"),
    ],
)
def test_an_odd_value_is_one_sentence_that_names_its_variable(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=f"^{name}: ") as raised:
        Settings.load(secret="s")
    assert "\n" not in str(raised.value)


def test_a_dotenv_file_counts_less_than_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("SECRET=from-file\nPORT=8123\n")
    monkeypatch.setenv("PORT", "8124")
    monkeypatch.setenv("SECRET", "")  # set by the file and left behind by it: put back to nothing afterwards
    monkeypatch.delenv("SECRET")
    loaded = Settings.load()
    assert (loaded.secret.get_secret_value(), loaded.port) == ("from-file", 8124)


@pytest.mark.parametrize(
    ("changes", "url"),
    [
        ({}, "http://localhost:8001"),
        ({"sites_port": 9001}, "http://localhost:9001"),
        ({"sites_port": 0}, "http://localhost:8001"),
        ({"sites_port": 9001, "sites_url": "https://sites.example.org/"}, "https://sites.example.org"),
    ],
)
def test_sites_are_where_their_port_is_unless_they_are_said_to_be_elsewhere(
    changes: dict[str, object], url: str
) -> None:
    assert Settings.load(secret="s", **changes).sites_url == url


@pytest.mark.parametrize(
    ("changes", "traces"),
    [
        ({}, "none"),
        ({"otel_exporter_otlp_endpoint": "http://collector:4318"}, "otlp"),
        ({"otel_traces_exporter": "otlp"}, "otlp"),
        ({"otel_traces_exporter": "none", "otel_exporter_otlp_endpoint": "http://collector:4318"}, "none"),
    ],
)
def test_traces_go_somewhere_only_when_somebody_says_so(changes: dict[str, object], traces: str) -> None:
    assert Settings.load(secret="s", **changes).traces == traces


@pytest.mark.parametrize(
    ("given", "address"),
    [
        ("postgres://u:p@h/d", "postgresql+psycopg://u:p@h/d"),
        ("postgresql://u:p@h/d", "postgresql+psycopg://u:p@h/d"),
        ("sqlite:////var/x.sqlite", "sqlite:////var/x.sqlite"),
    ],
)
def test_a_database_is_named_in_any_usual_form(given: str, address: str) -> None:
    assert Settings.load(secret="s", database_url=given).database == address


def test_every_secret_that_the_process_holds_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_OTHER_API_KEY", "a-key-of-somebody")
    loaded = Settings.load(secret="the-secret", github_token="the-token")
    assert {"a-key-of-somebody", "the-secret", "the-token"} <= set(loaded.secret_values)
    assert not any(value in repr(loaded) for value in loaded.secret_values)
