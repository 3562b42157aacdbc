"""The model is chosen by the environment alone."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from agent.errors import ConfigError
from agent.llm.choice import (
    NO_MODEL,
    all_models,
    choose_models,
    choose_review_model,
    choose_review_models,
    open_model,
    open_review_model,
)
from agent.llm.gateway import Gateway
from agent.llm.providers import AIPIPE_VARIABLE, WITH_DEFAULT, ModelChoice
from agent.llm.replay import ReplayModel
from agent.records import Capabilities
from agent.settings import Settings

AIPIPE_OPENAI = "https://aipipe.org/openai/v1"
AIPIPE_OPENROUTER = "https://aipipe.org/openrouter/v1"
LOCAL = "http://127.0.0.1:11434/v1"

# what is set → (name, key, base URL) of each model
CHOSEN: dict[str, tuple[dict[str, str], list[tuple[str, str | None, str | None]]]] = {
    "openai's key": ({"OPENAI_API_KEY": "k"}, [("openai/gpt-5-mini", "k", None)]),
    "anthropic's key": ({"ANTHROPIC_API_KEY": "k"}, [("anthropic/claude-sonnet-4-5", "k", None)]),
    "gemini's key": ({"GEMINI_API_KEY": "k"}, [("gemini/gemini-2.5-flash", "k", None)]),
    "openrouter's key": ({"OPENROUTER_API_KEY": "k"}, [("openrouter/openai/gpt-5-mini", "k", None)]),
    "groq's key": ({"GROQ_API_KEY": "k"}, [("groq/openai/gpt-oss-120b", "k", None)]),
    "the first of two keys": (
        {"GROQ_API_KEY": "g", "ANTHROPIC_API_KEY": "a"},
        [("anthropic/claude-sonnet-4-5", "a", None)],
    ),
    "aipipe alone": ({"AIPIPE_TOKEN": "t"}, [("openai/gpt-5-mini", "t", AIPIPE_OPENAI)]),
    "aipipe and a bare name": (
        {"AIPIPE_TOKEN": "t", "llm_model": "gpt-4.1-mini"},
        [("openai/gpt-4.1-mini", "t", AIPIPE_OPENAI)],
    ),
    "aipipe's openrouter": (
        {"AIPIPE_TOKEN": "t", "llm_model": "openrouter/qwen/qwen3-coder"},
        [("openrouter/qwen/qwen3-coder", "t", AIPIPE_OPENROUTER)],
    ),
    "a provider's own key before aipipe": (
        {"AIPIPE_TOKEN": "t", "OPENAI_API_KEY": "k", "llm_model": "openai/gpt-5"},
        [("openai/gpt-5", "k", None)],
    ),
    "an anthropic key without a name": (
        {"llm_api_key": "sk-ant-1"},
        [("anthropic/claude-sonnet-4-5", "sk-ant-1", None)],
    ),
    "a gemini key without a name": ({"llm_api_key": "AIza1"}, [("gemini/gemini-2.5-flash", "AIza1", None)]),
    "an openrouter key without a name": (
        {"llm_api_key": "sk-or-1"},
        [("openrouter/openai/gpt-5-mini", "sk-or-1", None)],
    ),
    "a groq key without a name": ({"llm_api_key": "gsk_1"}, [("groq/openai/gpt-oss-120b", "gsk_1", None)]),
    "any other key without a name": ({"llm_api_key": "sk-1"}, [("openai/gpt-5-mini", "sk-1", None)]),
    "a key of another provider does not override": (
        {"llm_api_key": "sk-1", "ANTHROPIC_API_KEY": "a"},
        [("anthropic/claude-sonnet-4-5", "a", None)],
    ),
    "LLM_API_KEY before the provider's own": (
        {"llm_model": "anthropic/claude-x", "llm_api_key": "k", "ANTHROPIC_API_KEY": "a"},
        [("anthropic/claude-x", "k", None)],
    ),
    "any provider that litellm knows": ({"llm_model": "bedrock/claude"}, [("bedrock/claude", None, None)]),
    "a local server needs no key": (
        {"llm_model": "qwen3-coder", "llm_base_url": LOCAL},
        [("openai/qwen3-coder", None, LOCAL)],
    ),
    "a name with a slash that is no provider's": (
        {"llm_model": "meta-llama/Llama-3.3", "llm_base_url": LOCAL, "llm_api_key": "k"},
        [("openai/meta-llama/Llama-3.3", "k", LOCAL)],
    ),
    "ollama needs no key": ({"llm_model": "ollama_chat/qwen3"}, [("ollama_chat/qwen3", None, None)]),
    "fallbacks of the same provider share key and address": (
        {"llm_model": "openai/a", "llm_api_key": "k", "llm_base_url": LOCAL, "llm_fallback_models": "openai/b, c"},
        [("openai/a", "k", LOCAL), ("openai/b", "k", LOCAL), ("openai/c", "k", LOCAL)],
    ),
    "fallbacks of another provider have their own key": (
        {"llm_model": "openai/a", "llm_api_key": "k", "GROQ_API_KEY": "g", "llm_fallback_models": ",groq/b,"},
        [("openai/a", "k", None), ("groq/b", "g", None)],
    ),
    "a fallback may have the only key": (
        {"llm_model": "openai/a", "GROQ_API_KEY": "g", "llm_fallback_models": "groq/b"},
        [("openai/a", None, None), ("groq/b", "g", None)],
    ),
    "nothing": ({}, []),
    "a name without its key": ({"llm_model": "openai/gpt-5-mini", "GROQ_API_KEY": "g"}, []),
    "an address without a name": ({"llm_base_url": LOCAL}, []),
}


@pytest.fixture(autouse=True)
def _no_keys_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = [variable for row in WITH_DEFAULT for variable in row.key_variables]
    for name in (*Settings.model_fields, *keys, AIPIPE_VARIABLE):
        monkeypatch.delenv(name.upper(), raising=False)


def settings(**values: Any) -> Settings:
    """Names in capitals are variables of providers."""
    keys = {name: values.pop(name) for name in list(values) if name.isupper()}
    return Settings(secret="s", provider_keys=keys, **values)


@pytest.mark.parametrize("name", CHOSEN)
def test_settings_choose_the_models(name: str) -> None:
    values, expected = CHOSEN[name]
    choices = choose_models(settings(**values))
    assert [(c.name, c.api_key.get_secret_value() if c.api_key else None, c.base_url) for c in choices] == expected


def test_a_choice_names_the_variables_to_mend() -> None:
    first, second = choose_models(settings(llm_model="openai/a", OPENAI_API_KEY="k", llm_fallback_models="groq/b"))
    assert (first.name_variable, first.key_variable) == ("LLM_MODEL", "OPENAI_API_KEY")
    assert (second.name_variable, second.key_variable) == ("LLM_FALLBACK_MODELS", "GROQ_API_KEY")
    assert second.lacks_key


def test_a_key_is_never_printed() -> None:
    (choice,) = choose_models(settings(OPENAI_API_KEY="canary"))
    assert "canary" not in f"{choice!r} {choice} {choice.model_dump()} {choice.model_dump_json()}"


def test_without_a_model_the_sentence_names_what_to_set() -> None:
    assert open_model(settings()) is None
    assert all(row.key_variables[0] in NO_MODEL for row in WITH_DEFAULT)
    assert "LLM_MODEL" in NO_MODEL
    assert "AIPIPE_TOKEN" in NO_MODEL


def test_a_live_model_is_reached_through_the_gateway() -> None:
    model = open_model(settings(OPENAI_API_KEY="k"))
    assert isinstance(model, Gateway)
    assert model.name == "openai/gpt-5-mini"


@pytest.mark.parametrize("base_url", [None, LOCAL])
def test_a_recording_is_named_like_a_model(tmp_path: Path, base_url: str | None) -> None:
    file = tmp_path / "demo.json"
    file.write_text(json.dumps({"conversations": []}))
    model = open_model(settings(llm_model=f"replay/{file}", llm_base_url=base_url))
    assert isinstance(model, ReplayModel)
    assert model.name == "replay/demo.json"


def test_a_missing_recording_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"LLM_MODEL names the recording .*none\.json"):
        open_model(settings(llm_model=f"replay/{tmp_path / 'none.json'}"))


# -- the model that reads and judges -----------------------------------------------------------------------------------

# what is set → (name, key, base URL) of the models that read and judge
REVIEWING: dict[str, tuple[dict[str, str], list[tuple[str, str | None, str | None]]]] = {
    "nothing": ({"OPENAI_API_KEY": "k"}, [("openai/gpt-5-mini", "k", None)]),
    "a cheaper one of the same provider": (
        {"llm_model": "openai/gpt-5", "llm_api_key": "k", "llm_base_url": LOCAL, "review_model": "openai/gpt-5-nano"},
        [("openai/gpt-5-nano", "k", LOCAL), ("openai/gpt-5", "k", LOCAL)],
    ),
    "one of another provider has its own key": (
        {"llm_model": "openai/gpt-5", "llm_api_key": "k", "GROQ_API_KEY": "g", "review_model": "groq/b"},
        [("groq/b", "g", None), ("openai/gpt-5", "k", None)],
    ),
    "one that has none is passed over": (
        {"llm_model": "openai/gpt-5", "llm_api_key": "k", "review_model": "groq/b"},
        [("groq/b", None, None), ("openai/gpt-5", "k", None)],
    ),
    "a bare name": (
        {"OPENAI_API_KEY": "k", "ANTHROPIC_API_KEY": "a", "review_model": "claude-haiku-4-5"},
        [("anthropic/claude-haiku-4-5", "a", None), ("openai/gpt-5-mini", "k", None)],
    ),
    "the same again": ({"OPENAI_API_KEY": "k", "review_model": "gpt-5-mini"}, [("openai/gpt-5-mini", "k", None)]),
    "no model to build with": (
        {"llm_model": "groq/a", "OPENAI_API_KEY": "k", "review_model": "gpt-5-nano"},
        [("openai/gpt-5-nano", "k", None)],
    ),
    "no key at all": ({"review_model": "gpt-5-nano"}, []),
}


@pytest.mark.parametrize("name", REVIEWING)
def test_settings_choose_who_reads_and_judges(name: str) -> None:
    values, expected = REVIEWING[name]
    choices = choose_review_models(settings(**values))
    assert [(c.name, c.api_key.get_secret_value() if c.api_key else None, c.base_url) for c in choices] == expected


def test_a_review_model_without_its_key_names_the_variables_to_set() -> None:
    one = choose_review_model(settings(llm_model="openai/a", OPENAI_API_KEY="k", review_model="groq/b"))
    assert one is not None
    assert (one.lacks_key, one.name_variable, one.key_variable) == (True, "REVIEW_MODEL", "GROQ_API_KEY")


def test_each_model_that_may_be_called_is_listed_once() -> None:
    chosen = settings(llm_model="openai/a", OPENAI_API_KEY="k", llm_fallback_models="openai/b", review_model="openai/c")
    assert [choice.name for choice in all_models(chosen)] == ["openai/a", "openai/b", "openai/c"]
    assert [choice.name for choice in all_models(settings(OPENAI_API_KEY="k"))] == ["openai/gpt-5-mini"]


def test_a_recording_reads_and_judges_too_where_nothing_else_is_named(tmp_path: Path) -> None:
    file = tmp_path / "demo.json"
    file.write_text(json.dumps({"conversations": []}))
    recorded = settings(llm_model=f"replay/{file}")
    assert isinstance(open_review_model(recorded), ReplayModel)
    live = open_review_model(settings(llm_model=f"replay/{file}", OPENAI_API_KEY="k", review_model="gpt-5-nano"))
    assert isinstance(live, Gateway)
    assert live.name == "openai/gpt-5-nano"


def test_what_a_model_takes_at_once_is_known_once_it_is_loaded() -> None:
    model, unknown = open_model(settings(OPENAI_API_KEY="k")), Gateway([ModelChoice(name="openai/unknown")])
    assert model is not None
    before = model.window_tokens
    for one in (model, unknown):
        asyncio.run(one.warm_up())
    assert (before, model.window_tokens, unknown.window_tokens) == (None, 272_000, None)


def test_a_model_sees_images_when_a_probe_found_so() -> None:
    chosen = settings(OPENAI_API_KEY="k")
    (choice,), model = choose_models(chosen), open_model(chosen)
    assert model is not None
    seeing = Capabilities(key=choice.capabilities_key, made_at=0, images=True)
    assert model.sees_images([seeing])
    assert not model.sees_images([])
    assert not model.sees_images([seeing.model_copy(update={"key": "another"})])


# -- providers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("choice", "prefix"),
    [
        (ModelChoice(name="groq/x"), "groq"),
        (ModelChoice(name="openai/x", base_url="https://api.groq.com/openai/v1"), "groq"),
        (ModelChoice(name="openai/x", base_url="https://groq.com.example.org/v1"), "openai"),
        (ModelChoice(name="openai/x", base_url="https://example.org/mistral.ai"), "openai"),
        (ModelChoice(name="fireworks_ai/x"), "fireworks_ai"),
        (ModelChoice(name="no-provider/x"), ""),
    ],
    ids=str,
)
def test_a_model_has_the_quirks_of_whoever_answers(choice: ModelChoice, prefix: str) -> None:
    assert choice.provider.prefix == prefix


def test_a_key_of_the_environment_is_found_by_its_variable_and_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOOGLE_API_KEY", "canary-key")
    chosen = Settings(secret=SecretStr("s"))
    assert [choice.name for choice in choose_models(chosen)] == ["gemini/gemini-2.5-flash"]
    assert "canary-key" in chosen.secret_values
    assert "canary" not in f"{chosen!r} {chosen.model_dump()}"
